"""Does `cento eval` compute what trec_eval computes?

    python3 -m venv venv && venv/bin/pip install pytrec-eval-terrier==0.5.11
    CENTO_SHARED=DIR venv/bin/python tests/conformance/trec_eval.py --cento target/release/cento

Compares, query by query, the figures of `cento eval run` (of the BM25 run of
every judged set below DIR/datasets/beir, documents whole) and of `cento eval
measure` (of the same runs, and of random ones full of ties, negative grades,
queries without a relevant document, missing queries and short lists) with those
of pytrec_eval, which is trec_eval's own code. MRR@10 is compared with the
recip_rank of the run cut at 10 in trec_eval's order: score as a 32-bit float,
then id, both descending. Ends with code 1 if any figure differs by more than
1e-6.
"""

import argparse
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

import pytrec_eval

TOLERANCE = 1e-6
MEASURES = {
    "nDCG@10": "ndcg_cut_10",
    "nDCG@3": "ndcg_cut_3",
    "nDCG": "ndcg",
    "MAP": "map",
    "MAP@10": "map_cut_10",
    "MRR": "recip_rank",
    "recall@10": "recall_10",
    "recall@100": "recall_100",
    "precision@10": "P_10",
    "precision@5": "P_5",
}
ASKED = {"ndcg_cut.3,10", "ndcg", "map", "map_cut.10", "recip_rank", "recall.10,100", "P.5,10"}


def as_float(score):
    return struct.unpack("f", struct.pack("f", score))[0]


def ordered(documents):
    """A ranking in trec_eval's order."""
    return sorted(documents.items(), key=lambda one: (as_float(one[1]), one[0].encode()), reverse=True)


def reference(qrels, run):
    """What trec_eval says of each judged query; a missing one has only zeros."""
    found = pytrec_eval.RelevanceEvaluator(qrels, ASKED).evaluate(run)
    cut = {query: dict(ordered(documents)[:10]) for query, documents in run.items()}
    first = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(cut)
    figures = {}
    for query in qrels:
        row = found.get(query, {})
        figures[query] = {ours: row.get(theirs, 0.0) for ours, theirs in MEASURES.items()}
        figures[query]["MRR@10"] = first.get(query, {}).get("recip_rank", 0.0)
    return figures


class Comparison:
    def __init__(self):
        self.figures = 0
        self.worst = (0.0, "nothing")

    def add(self, what, expected, rows, means=None):
        found = {row["query"]: row["measures"] for row in rows}
        if set(found) != set(expected):
            sys.exit(f"{what}: other queries: {set(found) ^ set(expected)}")
        for query, measures in found.items():
            for measure, figure in measures.items():
                self.note(f"{what}, {query}, {measure}", figure, expected[query][measure])
        if means:
            relevant = [row["query"] for row in rows if row["relevant"] > 0]
            for key, over in [("measures", relevant), ("measures_every_judged", list(expected))]:
                for measure, figure in means[key].items():
                    total = sum(expected[query][measure] for query in over)
                    self.note(f"{what}, {key}, {measure}", figure, total / max(len(over), 1))

    def note(self, what, figure, expected):
        self.figures += 1
        self.worst = max(self.worst, (abs(figure - expected), what))


def call(cento, *args):
    done = subprocess.run([cento, "--json", *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{args}: {done.stderr}")
    return json.loads(done.stdout)


def read_qrels(path):
    qrels = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        if line.strip():
            query, document, grade = line.split("\t")
            qrels.setdefault(query, {})[document] = int(grade)
    return qrels


def read_run(path):
    run = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        query, _, document, _, score, _ = line.split("\t")
        run.setdefault(query, {})[document] = float(score)
    return run


def measured(cento, qrels, run):
    names = ",".join([*MEASURES, "MRR@10"])
    return call(
        cento, "eval", "measure", "--qrels", qrels, "--run", run, "--per-query", "--measures", names
    )


def judged_set(cento, folder, split, work, comparison):
    run_file, rows_file = work / "run", work / "rows"
    args = ["--dataset", folder, "--split", split, "--legs", "lexical", "--chunking", "none"]
    if folder.name == "locomo10-turns":
        args += ["--filter-by", "metadata.conversation"]
    args += ["--index", work / "index", "--run", run_file, "--out", rows_file]
    report = call(cento, "eval", "run", *args)
    qrels = read_qrels(folder / "qrels" / f"{split}.tsv")
    expected = reference(qrels, read_run(run_file))
    rows = [json.loads(line) for line in rows_file.read_text(encoding="utf-8").splitlines()[1:]]
    name = f"{folder.name}/{split}"
    comparison.add(name, expected, rows, report["documents"])
    again = measured(cento, folder / "qrels" / f"{split}.tsv", run_file)
    comparison.add(f"{name} measured again", expected, again["queries"], again["documents"])
    means = report["documents"]["measures"]
    shown = "  ".join(f"{measure} {figure:.4f}" for measure, figure in means.items())
    print(f"{name:<28} {report['documents']['with_relevant']:>5} queries  {shown}", flush=True)


def random_case(seed):
    rng = random.Random(seed)
    documents = [f"d{n}" for n in range(rng.randint(1, 150))] + ["Ä", "é", "文", "😀"]
    scores = [rng.choice([0.0, -0.0, 1.0, 1 + 1e-9, -3.5, rng.random(), 1e-40]) for _ in range(6)]
    qrels, run = {}, {}
    for number in range(rng.randint(1, 12)):
        query = f"q{number}"
        judged = rng.sample(documents, rng.randint(1, len(documents)))
        grades = rng.choice([[0, 1], [-2, -1, 0, 1, 2, 3], [0], [-1, 0], [0, 1, 7, 20]])
        qrels[query] = {document: rng.choice(grades) for document in judged}
        # trec_eval never ends on a query whose grades are all negative.
        qrels[query][judged[0]] = max(qrels[query][judged[0]], 0)
        if rng.random() < 0.85:
            found = rng.sample(documents, rng.randint(1, len(documents)))
            run[query] = {
                document: rng.choice(scores) if rng.random() < 0.7 else rng.gauss(0, 1)
                for document in found
            }
    run["unjudged"] = {"d0": 1.0}
    return qrels, run


def write_case(qrels, run, work):
    lines = [f"{q} 0 {d} {g}" for q, judged in qrels.items() for d, g in judged.items()]
    (work / "qrels").write_text("\n".join(lines), encoding="utf-8")
    lines = [f"{q} Q0 {d} 0 {s!r} t" for q, found in run.items() for d, s in found.items()]
    (work / "run").write_text("\n".join(lines), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cento", default="target/release/cento")
    parser.add_argument("--random", type=int, default=500, help="how many random runs")
    given = parser.parse_args()
    comparison = Comparison()
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        for seed in range(given.random):
            qrels, run = random_case(seed)
            write_case(qrels, run, work)
            found = measured(given.cento, work / "qrels", work / "run")
            comparison.add(f"random {seed}", reference(qrels, run), found["queries"], found["documents"])
        print(f"{given.random} random runs: the largest difference is {comparison.worst[0]:.3g}", flush=True)
        sets = pathlib.Path(os.environ.get("CENTO_SHARED", "../shared")) / "datasets/beir"
        if not sets.is_dir():
            print("SKIPPED: set CENTO_SHARED to the folder that holds datasets/beir")
        for folder in sorted(sets.iterdir()) if sets.is_dir() else []:
            for split in sorted(path.stem for path in (folder / "qrels").glob("*.tsv")):
                judged_set(given.cento, folder, split, work, comparison)
    difference, where = comparison.worst
    print(f"{comparison.figures} figures; the largest difference is {difference:.3g} ({where})")
    if difference > TOLERANCE:
        sys.exit(1)


if __name__ == "__main__":
    main()
