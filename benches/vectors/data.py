"""Makes the vector sets that searching is measured on.

    python benches/vectors/data.py clustered-100k [--cache DIR]
    CENTO_SHARED=DIR python benches/vectors/data.py real-100k [--cache DIR]
    CENTO_SHARED=DIR python benches/vectors/data.py static-1m [--cache DIR]
    python benches/vectors/data.py truth SET --dimensions N [--how TEXT] [--cache DIR]
    python benches/vectors/data.py filters SET [--cache DIR]
    python benches/vectors/data.py list [--cache DIR]

A set is a folder of the cache (target/vectors unless said): base.f32 and
query.f32 (little-endian f32, row after row, unit length), truth.u32 (for each
query the 100 rows of base.f32 with the largest inner products, best first) and
about.json, which is written last: a set without it is not whole. A set that is
whole is not made again. `truth` finishes a set whose vectors come from
elsewhere.

`filters` adds bitmaps of the rows that may be found, each with the truth among
them: SET/filters/NAME.bits (one bit a row, bit i % 8 of byte i / 8 is row i),
NAME.truth.u32 and NAME.json. random-10 has a tenth of the rows, drawn at random;
near-10 the tenth that is nearest to one of them, so that many queries have their
neighbours outside of it. Where fewer rows pass than are asked for, the truth ends
with 2^32 - 1.

Every command can be ended and started anew. What real-100k has embedded stays
in blocks beside the set until the set is whole.
"""

import argparse
import collections
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import numpy as np

import windows

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / "target" / "vectors"
SEED = 20240917
QUERIES = 1_000
NEAREST = 100

CLUSTERED = "clustered-100k"
REAL = "real-100k"
REAL_COUNT = 100_000
STATIC = "static-1m"
STATIC_COUNT = 1_000_000

# The sets in English, then the others, which are taken only if passages lack.
ENGLISH = [
    "scifact",
    "cisi",
    "cosqa-search",
    "2wiki-500",
    "clapnq-dev",
    "climate-fever-sentences",
    "vaswani-npl",
    "locomo10-turns",
    "xquad-en",
]
OTHERS = ["xquad-de", "xquad-zh", "drcd-dev"]
# Two of a passage's tokens are [CLS] and [SEP].
SPECIAL = 2
SHORTEST = 8
SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
BLOCK = 2_000
BATCH = 32


# The files of a set


def replace(path, data):
    """Writes a file under another name first, so that it is never half there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    os.replace(temporary, path)


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rows(path, dimensions):
    """A matrix in a file, without reading it."""
    width = 4 * dimensions
    size = path.stat().st_size
    if size == 0 or size % width:
        sys.exit(f"{path}: {size} bytes are no rows of {dimensions} f32 ({width} bytes each)")
    return np.memmap(path, dtype="<f4", mode="r", shape=(size // width, dimensions))


def read_about(folder):
    """What is told of a set that is whole, else None."""
    path = folder / "about.json"
    if not path.exists():
        return None
    try:
        about = json.loads(path.read_text())
        files = about["files"]
        int(about["dimensions"]), int(about["count"]), int(about["queries"])
    except (ValueError, KeyError, TypeError) as error:
        sys.exit(f"{path} is not what data.py writes ({error!r}); delete it and make the set again")
    for name, told in files.items():
        file = folder / name
        if not file.exists() or file.stat().st_size != told["bytes"]:
            sys.exit(f"{file} is not as {path} tells; delete {path} and make the set again")
    return about


def check_unit(path, matrix):
    for start in range(0, len(matrix), 65_536):
        norms = np.linalg.norm(matrix[start : start + 65_536], axis=1)
        wrong = np.flatnonzero(~(np.abs(norms - 1) < 1e-3))
        if wrong.size:
            at = wrong[0]
            sys.exit(f"{path}: row {start + at} has length {norms[at]}, not 1")


def nearest(base, queries, count, allowed=None, block=50_000):
    """The rows of base with the largest inner products, best first; of equal
    ones the lower row. Only rows that are allowed, where that is given."""
    best = np.empty((len(queries), 0), dtype=np.float32)
    ids = np.empty((len(queries), 0), dtype=np.int64)
    begun = time.monotonic()
    for start in range(0, len(base), block):
        here = np.arange(start, min(start + block, len(base)))
        if allowed is not None:
            here = here[allowed[here]]
        scores = queries @ base[here].T
        keep = min(count, len(here))
        top = np.empty((len(queries), keep), dtype=np.int64)
        for row in range(len(queries)):
            # A row at a time: partitioning all at once needs twice the memory.
            top[row] = np.argpartition(scores[row], len(here) - keep)[len(here) - keep :]
        best = np.concatenate([best, np.take_along_axis(scores, top, 1)], axis=1)
        ids = np.concatenate([ids, here[top]], axis=1)
        order = np.lexsort((ids, -best), axis=1)[:, :count]
        best, ids = np.take_along_axis(best, order, 1), np.take_along_axis(ids, order, 1)
        done = min(start + block, len(base))
        print(f"truth: {done:,} of {len(base):,} rows, {time.monotonic() - begun:.0f} s", flush=True)
    return ids.astype("<u4")


def finish(folder, name, dimensions, how):
    """The truth and about.json of a set whose vectors stand."""
    base, queries = rows(folder / "base.f32", dimensions), rows(folder / "query.f32", dimensions)
    if len(base) < NEAREST:
        sys.exit(f"{folder / 'base.f32'} has {len(base)} rows; {NEAREST} nearest are asked for")
    check_unit(folder / "base.f32", base)
    check_unit(folder / "query.f32", queries)
    replace(folder / "truth.u32", nearest(base, np.asarray(queries), NEAREST).tobytes())
    files = {
        file: {"bytes": (folder / file).stat().st_size, "sha256": sha256(folder / file)}
        for file in ["base.f32", "query.f32", "truth.u32"]
    }
    about = {
        "name": name,
        "count": len(base),
        "dimensions": dimensions,
        "queries": len(queries),
        "nearest": NEAREST,
        "metric": "inner product of unit vectors",
        "how": how,
        "files": files,
    }
    replace(folder / "about.json", (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())
    print(f"{folder}: {len(base):,} × {dimensions}, {len(queries):,} queries", flush=True)


def unit(matrix):
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


# Filters

SHARES = [("50", 0.5), ("10", 0.1), ("2", 0.02), ("0.1", 0.001), ("0.01", 0.0001)]
# What stands in the place of a neighbour where fewer pass than are asked for.
NOBODY = np.uint32(0xFFFF_FFFF)


def filters(folder, about):
    base = rows(folder / "base.f32", about["dimensions"])
    queries = np.asarray(rows(folder / "query.f32", about["dimensions"]))
    random = np.random.default_rng(SEED)
    made = [(f"random-{name}", random.random(len(base)) < share) for name, share in SHARES]
    scores = base @ base[random.integers(len(base))]
    for name, share in SHARES:
        least = int((1 - share) * len(base))
        made.append((f"near-{name}", scores >= np.partition(scores, least)[least]))
    for name, allowed in made:
        stem = folder / "filters" / name
        if (told := read_filter(stem)) and told["base_sha256"] == about["files"]["base.f32"]["sha256"]:
            print(f"{stem} is whole")
            continue
        replace(stem.with_name(f"{name}.bits"), np.packbits(allowed, bitorder="little").tobytes())
        asked = min(NEAREST, int(allowed.sum()))
        found = np.full((len(queries), NEAREST), NOBODY, dtype="<u4")
        found[:, :asked] = nearest(base, queries, asked, allowed)
        replace(stem.with_name(f"{name}.truth.u32"), found.tobytes())
        told = {"name": name, "rows": int(allowed.sum()), "base_sha256": about["files"]["base.f32"]["sha256"]}
        replace(stem.with_name(f"{name}.json"), (json.dumps(told, indent=1) + "\n").encode())
        print(f"{stem}: {allowed.sum():,} of {len(base):,} rows", flush=True)


def read_filter(stem):
    path = stem.with_name(f"{stem.name}.json")
    return json.loads(path.read_text()) if path.exists() else None


# Gaussian clusters


def clustered(cache):
    folder = cache / CLUSTERED
    count, dimensions, centres = 100_000, 384, 1_000
    random = np.random.default_rng(SEED)
    middle = random.standard_normal((centres, dimensions), dtype=np.float32)

    def draw(many):
        of = random.integers(0, centres, many)
        noise = random.standard_normal((many, dimensions), dtype=np.float32)
        return unit(middle[of] + np.float32(0.5) * noise).astype("<f4")

    replace(folder / "base.f32", draw(count).tobytes())
    replace(folder / "query.f32", draw(QUERIES).tobytes())
    how = {
        "kind": "synthetic",
        "centres": f"{centres} from a standard normal distribution",
        "points": "a centre, each as likely, and 0.5 of standard normal noise, made unit length; queries the same",
        "seed": SEED,
    }
    finish(folder, CLUSTERED, dimensions, how)


# Passages and their embeddings


def shared_folder():
    shared = pathlib.Path(os.environ.get("CENTO_SHARED") or ROOT.parent / "shared").resolve()
    model = "models/all-MiniLM-L6-v2"
    corpora = [f"datasets/beir/{name}/corpus.jsonl" for name in [*ENGLISH, *OTHERS]]
    for needed in [f"{model}/model_quantized.onnx", f"{model}/tokenizer.json", *corpora]:
        if not (shared / needed).exists():
            sys.exit(f"{shared / needed} does not exist; set CENTO_SHARED to the folder with models/ and datasets/")
    return shared


def documents(shared, names):
    """(source, text) of the judged sets."""
    for name in names:
        with open(shared / "datasets" / "beir" / name / "corpus.jsonl", encoding="utf-8") as lines:
            for line in lines:
                document = json.loads(line)
                title, text = document.get("title") or "", document.get("text") or ""
                yield name, f"{title}\n{text}" if title else text
    if names is ENGLISH:
        for name in ["chunking-evaluation", "legalbench-rag"]:
            below = shared / "datasets" / name
            for path in sorted([*below.glob("corpora/**/*.md"), *below.glob("corpus/**/*.txt")]):
                yield name, path.read_text(encoding="utf-8", errors="replace")


def sentences(text):
    start = 0
    for gap in SENTENCE.finditer(text):
        if text[start : gap.start()].strip():
            yield start, gap.start()
        start = gap.end()
    if text[start:].strip():
        yield start, len(text)


def pieces_of(tokenizer, text, limit):
    """(start, end, tokens) of the sentences; those above the limit are cut at
    words. Word pieces do not reach over white space, so that counts add up."""
    spans = list(sentences(text))
    encoded = tokenizer.encode_batch([text[a:b] for a, b in spans], add_special_tokens=False)
    for (start, end), found in zip(spans, encoded):
        tokens = found.ids
        if len(tokens) <= limit:
            yield start, end, len(tokens)
            continue
        words, first = found.word_ids, 0
        while first < len(tokens):
            last = min(first + limit, len(tokens))
            back = last
            while last < len(tokens) and back > first and words[back] == words[back - 1]:
                back -= 1
            last = back if back > first else last
            yield start + found.offsets[first][0], start + found.offsets[last - 1][1], last - first
            first = last


def passages_of(tokenizer, text, limit, shifted):
    """Whole sentences up to the limit; shifted ones begin with half a passage."""
    limit -= SPECIAL
    room = limit // 2 if shifted else limit
    start = end = None
    held = 0
    for a, b, tokens in pieces_of(tokenizer, text, limit):
        if start is not None and held + tokens > room:
            yield text[start:end]
            start, held, room = None, 0, limit
        if start is None:
            start = a
        end, held = b, held + tokens
    if start is not None:
        yield text[start:end]


WAYS = [
    ("English, at most 128 tokens", ENGLISH, 128, False),
    ("English, at most 64 tokens", ENGLISH, 64, False),
    ("English, at most 128 tokens, shifted by half a passage", ENGLISH, 128, True),
    ("English, at most 64 tokens, shifted by half a passage", ENGLISH, 64, True),
    ("other languages, at most 128 tokens", OTHERS, 128, False),
    ("other languages, at most 64 tokens", OTHERS, 64, False),
]


def make_passages(shared, tokenizer, count):
    """The texts in their shuffled order, and where they come from."""
    random = np.random.default_rng(SEED)
    seen, texts, told = set(), [], []
    for way, names, limit, shifted in WAYS:
        if len(texts) == count:
            break
        found = []
        for source, document in documents(shared, names):
            cut = list(passages_of(tokenizer, document, limit, shifted))
            for text, encoded in zip(cut, tokenizer.encode_batch(cut)):
                # The model sees tokens: texts that differ only in case or
                # white space are the same to it.
                key = hashlib.blake2b(np.array(encoded.ids, dtype="<u4").tobytes(), digest_size=16).digest()
                if len(encoded.ids) >= SHORTEST and key not in seen:
                    seen.add(key)
                    found.append((source, text))
        taken = found
        if len(texts) + len(found) > count:
            drawn = random.choice(len(found), count - len(texts), replace=False)
            taken = [found[at] for at in sorted(drawn)]
        texts += [text for _, text in taken]
        by_source = dict(collections.Counter(source for source, _ in taken))
        told.append({"way": way, "found": len(found), "taken": len(taken), "by_source": by_source})
        print(f"passages: {len(taken):,} of {len(found):,}, {way}", flush=True)
    if len(texts) < count:
        sys.exit(f"the shared folder yields {len(texts):,} passages; {count:,} are needed")
    order = random.permutation(count)
    return [texts[at] for at in order], told


class MiniLM:
    """all-MiniLM-L6-v2 in int8: mean of the token vectors, unit length."""

    def __init__(self, folder, tokenizer):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(
            str(folder / "model_quantized.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.inputs = {given.name for given in self.session.get_inputs()}
        self.tokenizer = tokenizer

    def embed(self, texts):
        encoded = self.tokenizer.encode_batch(texts)
        order = sorted(range(len(texts)), key=lambda at: len(encoded[at].ids))
        vectors = np.empty((len(texts), 384), dtype="<f4")
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            longest = max(len(encoded[at].ids) for at in batch)
            ids = np.zeros((len(batch), longest), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, at in enumerate(batch):
                ids[row, : len(encoded[at].ids)] = encoded[at].ids
                mask[row, : len(encoded[at].ids)] = 1
            given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            given = {name: value for name, value in given.items() if name in self.inputs}
            tokens = self.session.run(None, given)[0]
            weights = mask[:, :, None].astype(np.float32)
            vectors[batch] = unit((tokens * weights).sum(1) / weights.sum(1))
        return vectors


def real(cache):
    try:
        import tokenizers
    except ImportError:
        sys.exit("tokenizers is not installed: pip install -r benches/vectors/requirements.txt")
    shared = shared_folder()
    folder, work = cache / REAL, cache / f"{REAL}.work"
    model = shared / "models" / "all-MiniLM-L6-v2"
    tokenizer = tokenizers.Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    count = REAL_COUNT
    kept = work / "passages.json"
    if not kept.exists():
        texts, ways = make_passages(shared, tokenizer, count + QUERIES)
        replace(kept, json.dumps({"ways": ways, "texts": texts}, ensure_ascii=False).encode())
    given = json.loads(kept.read_text(encoding="utf-8"))
    texts, ways = given["texts"], given["ways"]

    embedder, done, begun = None, 0, time.monotonic()
    blocks = []
    for start in range(0, len(texts), BLOCK):
        block = work / f"block-{start:06}.f32"
        blocks.append(block)
        if block.exists():
            continue
        embedder = embedder or MiniLM(model, tokenizer)
        part = texts[start : start + BLOCK]
        replace(block, embedder.embed(part).tobytes())
        done += len(part)
        speed = done / (time.monotonic() - begun)
        left = (len(texts) - start - len(part)) / speed
        print(f"embedded {start + len(part):,} of {len(texts):,}, {speed:.0f} a second, {left / 60:.0f} min left", flush=True)

    vectors = np.concatenate([rows(block, 384) for block in blocks])
    if len(vectors) != len(texts):
        sys.exit(f"the blocks in {work} hold {len(vectors):,} rows for {len(texts):,} passages; delete them")
    replace(folder / "base.f32", vectors[:count].tobytes())
    replace(folder / "query.f32", vectors[count:].tobytes())
    how = {
        "kind": "real passages, embedded",
        "model": "all-MiniLM-L6-v2, ONNX int8 (dynamic), mean pooling, unit length; a vector depends slightly on its batch",
        "model_sha256": sha256(model / "model_quantized.onnx"),
        "batches": f"blocks of {BLOCK} passages, sorted by tokens, {BATCH} at a time",
        "texts": "whole sentences up to the limit, [CLS] and [SEP] counted; longer sentences cut at words; "
        f"none below {SHORTEST} tokens; of those with the same tokens one",
        "ways": ways,
        "order": f"shuffled; the last {QUERIES} are the queries",
        "overlap": "one text may be in several passages of different ways, so that a query often overlaps some of its nearest",
        "seed": SEED,
    }
    finish(folder, REAL, 384, how)
    for file in [*blocks, kept]:
        file.unlink()
    work.rmdir()


def static(cache):
    shared, folder, random = shared_folder(), cache / STATIC, np.random.default_rng(SEED)
    texts, told = windows.texts(documents(shared, ENGLISH), STATIC_COUNT, random)
    judged = [shared / "datasets" / "beir" / name for name in ENGLISH]
    asked = windows.questions(judged, QUERIES, random)
    for name, lines in [("base", texts), ("query", asked)]:
        replace(folder / f"{name}.txt", "".join(f"{line}\n" for line in lines).encode())
    command = ["cargo", "bench", "--quiet", "--bench", "vectors", "--", "embed", STATIC, "--cache", str(cache)]
    subprocess.run(command, cwd=ROOT, check=True)
    how = {
        "kind": "windows of words of the judged sets in English, embedded by the bundled model",
        "windows": told,
        "order": f"{STATIC_COUNT} drawn at random",
        "queries": "questions of the same sets, drawn at random",
        "seed": SEED,
    }
    finish(folder, STATIC, (folder / "query.f32").stat().st_size // (4 * QUERIES), how)


def truth(cache, name, dimensions, how):
    folder = cache / name
    for file in ["base.f32", "query.f32"]:
        if not (folder / file).exists():
            sys.exit(f"{folder / file} does not exist; put the set's vectors there first")
    finish(folder, name, dimensions, {"kind": "vectors from elsewhere", "told": how})


def list_sets(cache):
    abouts = [read_about(path.parent) for path in sorted(cache.glob("*/about.json"))]
    for about in abouts:
        print(f"{about['name']}: {about['count']:,} × {about['dimensions']}, {about['queries']:,} queries")
    if not abouts:
        print(f"{cache} has no whole set")


def set_name(text):
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text) or text.endswith(".work"):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a set")
    return text


def folder_of(given):
    cache = given.resolve()
    if cache.exists() and not cache.is_dir():
        sys.exit(f"{cache} is no folder; --cache is where the sets are kept")
    return cache


def positive(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def main():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--cache", type=pathlib.Path, default=CACHE, help="where the sets are kept")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(CLUSTERED, parents=[common], help="Gaussian clusters")
    commands.add_parser(REAL, parents=[common], help="passages of the judged sets, embedded")
    commands.add_parser(STATIC, parents=[common], help="a million windows of the judged sets, by the bundled model")
    told = commands.add_parser("truth", parents=[common], help="finish a set whose vectors come from elsewhere")
    told.add_argument("set", type=set_name)
    told.add_argument("--dimensions", type=positive, required=True)
    told.add_argument("--how", default="", help="where the vectors come from")
    told = commands.add_parser("filters", parents=[common], help="bitmaps and the truth among their rows")
    told.add_argument("set", type=set_name)
    commands.add_parser("list", parents=[common], help="the sets that are whole")
    given = parser.parse_args()
    cache = folder_of(given.cache)
    if given.command == "list":
        return list_sets(cache)
    name = given.set if "set" in given else given.command
    about = read_about(cache / name)
    if given.command == "filters":
        if not about:
            sys.exit(f"{cache / name} is no whole set; data.py list shows those that are")
        return filters(cache / name, about)
    if about:
        return print(f"{cache / name} is whole")
    if given.command == CLUSTERED:
        clustered(cache)
    elif given.command == REAL:
        real(cache)
    elif given.command == STATIC:
        static(cache)
    else:
        truth(cache, name, given.dimensions, given.how)


if __name__ == "__main__":
    main()
