"""What vector should each token carry, so that their mean comes closest to what the teacher says of the whole text?

1. Passages (passages.py, manifest.json) and what might be asked of them (queries.py) are embedded by the teacher.
2. Vocabulary: the teacher's WordPiece, and after it the words that it cuts into pieces, the most frequent in the passages first, up to
   --entries. The tokenizer stays the same: a longer vocabulary only makes more words whole. Each entry is embedded alone ("out of context").
3. Prior: unit out-of-context vectors, centred, x IDF over the passages, scaled once to fit.
4. Ridge: with X = token counts / length and Y = centred teacher vectors, minimise |XE - Y|^2 + lambda |E - prior|^2 by conjugate
   gradients. Y is centred, X is not extended by a constant: the table's own mean needs no correction when it is used.
5. PCA to --dims: the axes along which whole passages vary most; the teacher's vectors are turned the same way.
6. Refinement: ridge spends itself on the length of vectors, but search looks only at their direction. Adam from ridge's solution on
   1 - cosine(pooled, teacher) + KL between how teacher and table spread their similarity over the other texts of a batch. Texts that the
   teacher finds alike come in one batch (leaves of a random projection tree, drawn anew each epoch): telling near ones apart is what
   search asks for. In what might be asked, tokens count by IDF, because that is how a query is made up when a collection is searched.
7. int8 a row with one f32 scale (Model2Vec's `embeddings` and `weights`), tokenizer without its sentence frame.
"""
import argparse
import hashlib
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
import scipy.sparse
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from passages import collect
from queries import queries
from teacher import LONGEST_TOKENS, Teacher

RECIPE = 2
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def token_shares(tokenizer, texts, vocabulary):
    """X: a row a text, how large a share of its tokens each token is."""
    unknown = tokenizer.token_to_id("[UNK]")
    tokens, ends = [], [0]
    for start in range(0, len(texts), 5000):
        for encoding in tokenizer.encode_batch(texts[start : start + 5000], add_special_tokens=False):
            tokens += [i for i in encoding.ids[: LONGEST_TOKENS - 2] if i != unknown]  # what the teacher saw, its frame aside
            ends.append(len(tokens))
    counts = scipy.sparse.csr_matrix((np.ones(len(tokens), np.float32), tokens, ends), shape=(len(texts), vocabulary))
    counts.sum_duplicates()
    length = np.maximum(np.asarray(counts.sum(1)).ravel(), 1)
    return scipy.sparse.diags((1 / length).astype(np.float32)) @ counts


def remembered(teacher, texts, teacher_hash, cache):
    """The teacher's vectors, kept beside the packages: they are most of the time, and trials of what follows need them again."""
    key = hashlib.sha256(json.dumps([teacher_hash, LONGEST_TOKENS, texts]).encode()).hexdigest()[:16]
    path = cache / f"teacher-{key}.npy"
    if not path.exists():
        np.save(path, teacher.embed(texts))
    return np.load(path)


def longer_vocabulary(tokenizer_json, tokenizer, passages, entries):
    """The tokenizer with words added that it cut into pieces: plain ones, of 3 to 30 characters, in at least two passages."""
    vocabulary = tokenizer_json["model"]["vocab"]
    seen = Counter()
    for passage in passages:
        cut = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(passage))
        seen.update({word for word, _ in cut if word not in vocabulary})
    new = [w for w, n in seen.items() if n > 1 and w.isascii() and 3 <= len(w) <= 30 and any(c.isalpha() for c in w)]
    new.sort(key=lambda word: (-seen[word], word))
    vocabulary |= {word: len(vocabulary) + i for i, word in enumerate(new[: entries - len(vocabulary)])}
    tokenizer_json |= {"padding": None, "truncation": None, "post_processor": None}
    return Tokenizer.from_str(json.dumps(tokenizer_json))


def out_of_context(vectors):
    return unit(vectors - vectors.mean(0))


def weigh_by_idf(X, passages):
    """In place: the rows after the passages, what might be asked of them, times IDF over the passages (and a constant that keeps their size)."""
    whole = X[:passages]
    frequency = np.asarray((whole > 0).sum(0)).ravel()
    idf = np.log(1 + (passages - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
    asked = slice(X.indptr[passages], None)
    X.data[asked] *= idf[X.indices[asked]] / 5


def ridge(X, Y, prior, strength, steps):
    """Conjugate gradients on the normal equations of E - prior, one for each column, all at once."""
    change = np.zeros_like(prior)
    residual = X.T @ (Y - X @ prior)
    direction, norm = residual.copy(), (residual**2).sum(0)
    for _ in range(steps):
        applied = X.T @ (X @ direction) + strength * direction
        step = norm / np.maximum((direction * applied).sum(0), 1e-20)
        change += step * direction
        residual -= step * applied
        former, norm = norm, (residual**2).sum(0)
        direction = residual + norm / np.maximum(former, 1e-20) * direction
    return prior + change


def held_out_cosine(X, Y, table):
    guess = X @ table
    return float(((guess * Y).sum(1) / np.maximum(np.linalg.norm(guess, axis=1) * np.linalg.norm(Y, axis=1), 1e-12)).mean())


def main_axes(table, X, dims):
    pooled = X @ table
    values, axes = np.linalg.eigh(pooled.T.astype(np.float64) @ pooled)
    axes = axes[:, np.argsort(-values)[:dims]]
    axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])  # an axis's sign is arbitrary; pin it
    return axes.astype(np.float32)


def unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def softmax(scores):
    np.fill_diagonal(scores, -1e4)  # a passage is always like itself
    scores -= scores.max(1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(1, keepdims=True)
    return scores


def leaves(Y, size, random):
    """Rows in groups of at most `size` that lie together: halved again and again between two random rows."""
    groups, stack = [], [np.arange(len(Y))]
    while stack:
        rows = stack.pop()
        if len(rows) <= size:
            groups.append(rows)
            continue
        one, other = random.choice(len(rows), 2, replace=False)
        order = np.argpartition(Y[rows] @ (Y[rows[one]] - Y[rows[other]]), len(rows) // 2)
        stack += [rows[order[: len(rows) // 2]], rows[order[len(rows) // 2 :]]]
    return [groups[i] for i in random.permutation(len(groups))]


def refine(X, Y, Y_small, table, epochs, rate, batch=1024, leaf=128, temperature=0.05):
    """Y: centred unit teacher vectors, for similarities; Y_small: the same in the table's dimensions, for directions."""
    shuffle = np.random.default_rng(1)
    first, second = np.zeros_like(table), np.zeros_like(table)
    rate *= float(np.sqrt((table**2).mean()))  # so that --rate is a share of a usual coordinate
    batches, step = len(Y) // batch, 0
    for epoch in range(epochs):
        order, loss, start = np.concatenate(leaves(Y, leaf, shuffle)), 0.0, time.time()
        for b in range(batches):
            rows = order[b * batch : (b + 1) * batch]
            cut = X[rows]
            used, places = np.unique(cut.indices, return_inverse=True)  # only the rows of the table that the batch touches
            cut = scipy.sparse.csr_matrix((cut.data, places, cut.indptr), shape=(len(rows), len(used)))
            pooled = cut @ table[used]
            length = np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-6)
            direction = pooled / length
            loss += 1 - float((direction * Y_small[rows]).sum(1).mean())
            spread = softmax(direction @ direction.T / temperature) - softmax(Y[rows] @ Y[rows].T / temperature)
            # tau x KL: the tau cancels against the inner derivative
            slope = (spread @ direction + spread.T @ direction - Y_small[rows]) / batch
            slope = (slope - (slope * direction).sum(1, keepdims=True) * direction) / length
            gradient = cut.T @ slope
            step += 1
            mean, square = first[used], second[used]
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            first[used], second[used] = mean, square
            now = rate * (1 - (step - 1) / (epochs * batches))
            table[used] -= now * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        print(f"epoch {epoch}: 1 - cosine {loss / batches:.4f}, {time.time() - start:.0f} s", flush=True)


def foreign_symbol(name):
    """Punctuation beyond ASCII: in a language whose words are all unknown it would be all that two texts are compared by."""
    return not name.isascii() and not any(c.isalnum() for c in name)


def write(folder, table, tokenizer_json, teacher_hash, dims):
    folder.mkdir(parents=True, exist_ok=True)
    for name, i in tokenizer_json["model"]["vocab"].items():
        if name in SPECIAL or name.startswith("[unused") or foreign_symbol(name.removeprefix("##")):
            table[i] = 0  # never in a text, or says nothing: then [UNK] may also be left in, the direction stays
    weights = (np.abs(table).max(1) / 127).astype(np.float32)
    codes = np.rint(table / np.maximum(weights, 1e-20)[:, None]).astype(np.int8)
    save_file({"embeddings": codes, "weights": weights}, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    config = {
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "tokenizer_name": "sentence-transformers/all-MiniLM-L6-v2",
        "apply_pca": dims,
        "hidden_dim": dims,
        "seq_length": 1000000,
        "normalize": True,
        "embedding_dtype": "int8",
        "name": "cento-static-en-v2",
        "recipe": RECIPE,
        "teacher": "sentence-transformers/all-MiniLM-L6-v2",
        "teacher_sha256": teacher_hash,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def main():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="where fetch.py put the packages")
    parser.add_argument("--teacher", type=Path, default=here.parents[2] / "../shared/models/all-MiniLM-L6-v2")
    parser.add_argument("--out", type=Path, default=here.parent / "cento-static-en-v2")
    parser.add_argument("--entries", type=int, default=60000, help="of the vocabulary")
    parser.add_argument("--dims", type=int, default=256)
    parser.add_argument("--strength", type=float, default=0.1, help="ridge's lambda")
    parser.add_argument("--steps", type=int, default=25, help="of ridge's conjugate gradients")
    parser.add_argument("--epochs", type=int, default=4, help="of the refinement")
    parser.add_argument("--rate", type=float, default=0.1, help="the refinement's first step")
    arguments = parser.parse_args()

    teacher_hash = hashlib.sha256((arguments.teacher / "model_quantized.onnx").read_bytes()).hexdigest()
    tokenizer_json = json.loads((arguments.teacher / "tokenizer.json").read_text())
    single, joined = collect(json.loads((here / "manifest.json").read_text()), arguments.cache)
    tokenizer = longer_vocabulary(tokenizer_json, Tokenizer.from_str(json.dumps(tokenizer_json)), single, arguments.entries)
    names = sorted(tokenizer_json["model"]["vocab"], key=tokenizer_json["model"]["vocab"].get)
    asked = queries(single + joined)
    teacher = Teacher(arguments.teacher)
    parts = [remembered(teacher, part, teacher_hash, arguments.cache) for part in (single, joined, asked)]
    alone = out_of_context(remembered(teacher, [name.removeprefix("##") for name in names], teacher_hash, arguments.cache))
    Y, passages = np.concatenate(parts), len(single) + len(joined)
    Y = unit(Y - Y[:passages].mean(0))
    X = token_shares(tokenizer, single + joined + asked, len(names)).tocsr()
    weigh_by_idf(X, passages)

    kept = np.arange(len(Y)) % 50 != 0  # every fiftieth text is only looked at
    whole = (np.arange(len(Y)) < passages)[kept]
    held, X, held_Y, Y = X[~kept], X[kept], Y[~kept], Y[kept]
    frequency = np.asarray((X[whole] > 0).sum(0)).ravel()
    prior = alone * np.log((whole.sum() + 1) / (frequency + 1)).astype(np.float32)[:, None]
    guess = X[whole] @ prior
    prior *= (guess * Y[whole]).sum() / (guess**2).sum()
    print(f"prior: cosine on held-out texts {held_out_cosine(held, held_Y, prior):.4f}")
    table = ridge(X[whole], Y[whole], prior, arguments.strength, arguments.steps)
    print(f"ridge: cosine on held-out texts {held_out_cosine(held, held_Y, table):.4f}")
    axes = main_axes(table, X[whole], arguments.dims)
    table = np.ascontiguousarray(table @ axes)
    refine(X, Y, unit(Y @ axes), table, arguments.epochs, arguments.rate)
    print(f"refined: cosine on held-out texts {held_out_cosine(held, held_Y @ axes, table):.4f} in {arguments.dims} dimensions")
    write(arguments.out, table, tokenizer_json, teacher_hash, arguments.dims)


if __name__ == "__main__":
    main()
