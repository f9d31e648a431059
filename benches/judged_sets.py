"""How well does cento do on every judged set?

    CENTO_SHARED=DIR python3 benches/judged_sets.py --cento target/release/cento \
        --embedder cento-static-en-v1 --embedder MODEL_DIR --index INDEX

Runs `cento eval run` on every set below DIR/datasets and prints Markdown: for
sets judged by documents nDCG@10 and recall@100 of each leg and fusion, documents
whole; for sets judged by spans evidence recall at each budget, with the default
chunks. The index is kept in INDEX, so that a second run embeds nothing. Needs
Python's standard library only.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

SYSTEMS = [("dense", "absolute"), ("hybrid", "rrf"), ("hybrid", "convex"), ("hybrid", "absolute")]
FILTERED = {"locomo10-turns": "metadata.conversation"}


def call(given, folder, *args):
    command = [given.cento, "--json", "eval", "run", "--dataset", folder, "--index", given.index, *args]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{folder} {args}: {done.stderr}")
    return json.loads(done.stdout)


def name_of(embedder):
    return pathlib.Path(embedder).name


def systems(given):
    yield "BM25", given.embedder[0], "lexical", "absolute"
    for embedder in given.embedder:
        for legs, fusion in SYSTEMS:
            shown = "dense" if legs == "dense" else fusion
            yield f"{name_of(embedder)}: {shown}", embedder, legs, fusion


def table(heads, rows):
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def shown(figure):
    return f"{figure:.3f}".removeprefix("0") if figure < 1 else f"{figure:.3f}"


def judged_documents(given, sets):
    rows = []
    for folder in sets:
        for split in sorted(path.stem for path in (folder / "qrels").glob("*.tsv")):
            row = []
            for _, embedder, legs, fusion in systems(given):
                args = ["--split", split, "--legs", legs, "--fusion", fusion, "--embedder", embedder]
                if folder.name in FILTERED:
                    args += ["--filter-by", FILTERED[folder.name]]
                report = call(given, folder, "--chunking", "none", *args)
                means = report["documents"]["measures"]
                row.append(f"{shown(means['nDCG@10'])} / {shown(means['recall@100'])}")
            queries = report["documents"]["with_relevant"]
            rows.append([f"{folder.name}, {split}", str(queries), *row])
            print(f"{folder.name} {split}", file=sys.stderr, flush=True)
    table(["nDCG@10 / recall@100", "queries", *(system[0] for system in systems(given))], rows)


def judged_spans(given, folder, split):
    rows = []
    for parity in ["odd", "even"]:
        for name, embedder, legs, fusion in systems(given):
            args = ["--legs", legs, "--fusion", fusion, "--embedder", embedder, "--queries", parity]
            report = call(given, folder, *(["--split", split] if split else []), *args)
            contexts = report["contexts"]
            recall = [shown(means["evidence_recall"]) for means in contexts]
            budgets = [str(means["budget"]) for means in contexts]
            rows.append([name, f"{parity}, {contexts[0]['judged']}", *recall])
    print()
    table([f"{folder.name}{', ' + split if split else ''}", "queries", *budgets], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cento", default="target/release/cento")
    parser.add_argument("--embedder", action="append", required=True)
    parser.add_argument("--index", required=True)
    parser.add_argument("--only", action="append", help="only sets whose name holds this")
    given = parser.parse_args()
    datasets = pathlib.Path(os.environ.get("CENTO_SHARED", "../shared")) / "datasets"
    if not datasets.is_dir():
        sys.exit("set CENTO_SHARED to the folder that holds datasets/")
    wanted = lambda folder: not given.only or any(part in folder.name for part in given.only)
    judged_documents(given, [one for one in sorted((datasets / "beir").iterdir()) if wanted(one)])
    for folder in [datasets / "chunking-evaluation", datasets / "legalbench-rag"]:
        if folder.is_dir() and wanted(folder):
            benchmarks = sorted(path.stem for path in (folder / "benchmarks").glob("*.json"))
            for split in benchmarks or [None]:
                judged_spans(given, folder, split)


if __name__ == "__main__":
    main()
