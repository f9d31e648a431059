"""How well does cento find, on every judged set of the shared folder?

    cargo build --release
    python3 -m venv WORK/venv && WORK/venv/bin/pip install -r benches/peers/requirements.txt
    CENTO_SHARED=DIR WORK/venv/bin/python benches/quality.py --work WORK

Runs `cento eval` for each set, model, way of cutting and fusion, asks the usual
pipelines (benches/peers) for their passages on the sets that are judged by
spans, and writes the tables of docs/evaluation.md. Every answer is kept in WORK
and not asked for again, so that the command can be ended and started anew; a
new binary, model or set wants a new WORK. With --rows only BM25, the bundled
model and those named are asked; the page's other figures stay as they are. `naive` is a static
model that has learned from no text, made by data/models/recipe/naive.py.

Neural rows need ONNX Runtime: the one that requirements.txt installs is found.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
PAGE = ROOT / "docs" / "evaluation.md"

# name, split, further arguments
BEIR = [
    ("scifact", "test", []),
    ("cisi", "test", []),
    ("cosqa-search", "test", []),
    ("2wiki-500", "test", []),
    ("clapnq-dev", "test", []),
    ("climate-fever-sentences", "test", []),
    ("vaswani-npl", "test", []),
    ("locomo10-turns", "test", ["--filter-by", "metadata.conversation"]),
    ("xquad-en", "test", []),
    ("xquad-de", "test", []),
    ("xquad-zh", "test", []),
    ("drcd-dev", "test", []),
]
STATIC = "cento-static-en-v2"
SYSTEMS = ["langchain-1000-200", "langchain-400-0", "llamaindex-1024-200"]
PEER_LEGS = ["chroma", "bm25", "rrf"]
BUDGETS = [500, 1000, 2000, 4000]


class Bench:
    def __init__(self, cento, shared, model, work):
        self.cento, self.shared, self.model, self.work = cento, shared, model, work
        # What the page says already, and which models are asked.
        self.kept, self.embedders = {}, set(MODELS)
        (work / "results").mkdir(parents=True, exist_ok=True)

    def run(self, name, *args, command="eval"):
        """The JSON that a command prints, asked for once."""
        kept = self.work / "results" / f"{name}.json"
        if not kept.exists():
            print(f"… {name}", flush=True)
            command = [str(self.cento), "--json", command, *map(str, args)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(f"{' '.join(command)}\n{done.stderr}")
            kept.write_text(done.stdout)
        return json.loads(kept.read_text())

    def named(self, embedder):
        """What cento knows it by."""
        paths = {"static": STATIC, "naive": self.naive(), "minilm": self.model}
        return paths.get(embedder, self.model / "model_quantized.onnx")

    def naive(self):
        folder = self.work / "naive"
        if "naive" in self.embedders and not folder.exists():
            script = ROOT / "data/models/recipe/naive.py"
            subprocess.run([sys.executable, script, "--teacher", self.model, "--out", folder], check=True)
        return folder

    def eval_run(self, label, dataset, embedder, chunking, legs, fusion, *more):
        args = ["run", "--dataset", dataset, "--chunking", chunking, "--legs", legs]
        args += ["--embedder", self.named(embedder)]
        args += ["--index", self.work / "index" / f"{label}-{embedder}-{chunking}"]
        if legs == "hybrid":
            args += ["--fusion", fusion]
        name = f"{label}-{embedder}-{chunking}-{legs}-{fusion}"
        return self.run(name, *args, *more)


MODELS = ["static", "naive", "minilm", "minilm-int8"]
ALONE = [
    ("BM25", "static", "lexical", "-"),
    ("naive", "naive", "dense", "-"),
    ("static", "static", "dense", "-"),
    ("MiniLM int8", "minilm-int8", "dense", "-"),
    ("MiniLM", "minilm", "dense", "-"),
]
FUSED = [
    ("BM25", "static", "lexical", "-"),
    ("naive, adaptive", "naive", "hybrid", "adaptive"),
    ("static, adaptive", "static", "hybrid", "adaptive"),
    ("MiniLM int8, adaptive", "minilm-int8", "hybrid", "adaptive"),
    ("MiniLM, adaptive", "minilm", "hybrid", "adaptive"),
]
ROWS = [
    ("BM25", "static", "lexical", "-"),
    ("static", "static", "dense", "-"),
    ("MiniLM", "minilm", "dense", "-"),
    ("static, rrf", "static", "hybrid", "rrf"),
    ("static, convex", "static", "hybrid", "convex"),
    ("static, absolute", "static", "hybrid", "absolute"),
    ("static, adaptive", "static", "hybrid", "adaptive"),
    ("MiniLM, rrf", "minilm", "hybrid", "rrf"),
    ("MiniLM, convex", "minilm", "hybrid", "convex"),
    ("MiniLM, absolute", "minilm", "hybrid", "absolute"),
    ("MiniLM, adaptive", "minilm", "hybrid", "adaptive"),
]


def short(value):
    return f"{value:.3f}".lstrip("0") if value < 1 else f"{value:.3f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def stands(page):
    """The page's figures: (section, table's first cell, row's first cell, column) → cell."""
    found, head, section = {}, None, ""
    for line in page.splitlines():
        if line.startswith("<!-- ") and not line.startswith("<!-- /"):
            section = line.removeprefix("<!-- ").removesuffix(" -->")
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            head = None
        elif head is None:
            head = cells
        else:
            found.update({(section, head[0], cells[0], column): cell for column, cell in zip(head[1:], cells[1:])})
    return found


# These say the same of the same.
WHOLE = ["models alone", "models fused", "documents, chunking none"]


def documents_table(bench, sections, chunking, sets, columns):
    """What was measured before stands in one of the sections."""
    rows = []
    corner = "set (documents, queries)"
    for name, split, more in sets:
        dataset = bench.shared / "datasets" / "beir" / name
        row, judged, found = [], 0, 0
        kept = {column: cell for (of, _, first, column), cell in bench.kept.items() if of in sections and first.split(" ")[0] == name}
        for label, embedder, legs, fusion in columns:
            if embedder not in bench.embedders:
                row.append(kept.get(label, "?"))
                continue
            told = bench.eval_run(
                name, dataset, embedder, chunking, legs, fusion, "--split", split, *more
            )
            measures = told["documents"]["measures"]
            judged, found = told["documents"]["with_relevant"], told["corpus"]["documents"]
            row.append(f"{short(measures['nDCG@10'])} / {short(measures['recall@100'])}")
        rows.append([f"{name} ({found:,}, {judged:,})", *row])
    return table([corner, *(row[0] for row in columns)], rows)


def costs_table(bench):
    rows, corner = [], "model"
    columns = ["megabytes", "passages of 128 tokens a second", "a query, median (p95)"]
    for label, embedder in [(row[0], row[1]) for row in ALONE[1:]]:
        if embedder not in bench.embedders:
            rows.append([label, *(bench.kept.get(("models' costs", corner, label, column), "?") for column in columns)])
            continue
        told = bench.run(f"costs-{embedder}", "bench", bench.named(embedder), command="models")
        speed, median, p95 = told["passages_per_second"], told["query_median_us"], told["query_p95_us"]
        rows.append([label, f"{told['bytes'] / 1e6:.1f}", f"{speed:,.0f}", f"{median:,.0f} ({p95:,.0f}) µs"])
    return table([corner, *columns], rows)


def recalls(told):
    by_budget = {row["budget"]: row for row in told["contexts"]}
    return [short(by_budget[budget]["evidence_recall"]) for budget in BUDGETS]


def span_sets(bench):
    yield "chunking-evaluation", bench.shared / "datasets" / "chunking-evaluation", []
    yield "privacy_qa", bench.shared / "datasets" / "legalbench-rag", ["--split", "privacy_qa"]
    yield "demo", ROOT / "data" / "demo", []


def peers(bench, label, dataset, more):
    """Rows of the usual pipelines."""
    export, candidates = bench.work / "export" / label, bench.work / "candidates" / label
    if not export.exists():
        bench.run(f"{label}-export", "export", "--dataset", dataset, *more, "--out", export)
    last = candidates / f"{SYSTEMS[-1]}-{PEER_LEGS[-1]}.jsonl"
    if not last.exists():
        script = [sys.executable, HERE / "peers" / "contexts.py", "--export", export]
        script += ["--model", bench.model, "--out", candidates]
        subprocess.run([str(part) for part in script], check=True)
    for system in SYSTEMS:
        for leg in PEER_LEGS:
            name = f"{system}-{leg}"
            args = ["contexts", "--dataset", dataset, *more]
            args += ["--candidates", candidates / f"{name}.jsonl"]
            yield name, bench.run(f"{label}-peer-{name}", *args)


def contexts_tables(bench):
    tables = []
    for label, dataset, more in span_sets(bench):
        rows, judged = [], 0
        def as_it_stands(name):
            cells = {column: cell for (of, table, row, column), cell in bench.kept.items() if (of, table.split(" ")[0], row) == ("contexts", label, name)}
            return [name, *(cells.get(f"{budget:,}", "?") for budget in BUDGETS)]

        for name, embedder, legs, fusion in ROWS:
            if embedder not in bench.embedders:
                rows.append(as_it_stands(f"cento: {name}"))
                continue
            told = bench.eval_run(label, dataset, embedder, "default", legs, fusion, *more)
            judged = told["contexts"][0]["judged"]
            rows.append([f"cento: {name}", *recalls(told)])
        if "minilm" in bench.embedders:
            rows += [[name, *recalls(told)] for name, told in peers(bench, label, dataset, more)]
        else:
            rows += [as_it_stands(f"{system}-{leg}") for system in SYSTEMS for leg in PEER_LEGS]
        head = [f"{label} ({judged} queries)", *(f"{budget:,}" for budget in BUDGETS)]
        tables.append(table(head, rows))
    return "\n\n".join(tables)


def write(page, marker, text):
    begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    before, rest = page.split(begin, 1)
    _, after = rest.split(end, 1)
    return f"{before}{begin}\n{text}\n{end}{after}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cento", type=pathlib.Path, default=ROOT / "target/release/cento")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path, help="a folder with all-MiniLM-L6-v2 in ONNX")
    parser.add_argument("--only", choices=["none", "default", "contexts"], help="one table alone")
    parser.add_argument("--rows", nargs="+", choices=MODELS, help="these models, the bundled one and BM25, and no others")
    given = parser.parse_args()
    shared = os.environ.get("CENTO_SHARED") or ROOT.parent / "shared"
    shared = pathlib.Path(shared).resolve()
    model = given.model or shared / "models" / "all-MiniLM-L6-v2"
    os.environ.setdefault("VIRTUAL_ENV", sys.prefix)
    bench = Bench(given.cento, shared, model, given.work.resolve())
    page = PAGE.read_text()
    bench.kept = stands(page)
    bench.embedders = {"static", *(given.rows or MODELS)}
    if given.only in (None, "contexts"):
        page = write(page, "contexts", contexts_tables(bench))
    if given.only in (None, "none"):
        page = write(page, "models' costs", costs_table(bench))
        for section, columns in [("models alone", ALONE), ("models fused", FUSED), ("documents, chunking none", ROWS)]:
            page = write(page, section, documents_table(bench, WHOLE, "none", BEIR, columns))
    if given.only in (None, "default"):
        section = "documents, default chunking"
        page = write(page, section, documents_table(bench, [section], "default", BEIR[:1], ROWS))
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
