"""How well does the static model find documents by itself?

nDCG@10 and recall@100 on judged sets in BEIR layout, documents whole (title + ". " + text), exact cosine, no other leg, read from the
model's own files (int8), so what is measured is what ships. Sets used for tuning and the one used for reporting only are named apart.
"""
import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

TUNING = [("scifact", "train"), ("cisi", "test"), ("cosqa-search", "dev"), ("2wiki-500", "test")]
REPORTING = [("scifact", "test"), ("cosqa-search", "test")]


class Static:
    def __init__(self, folder):
        tensors = load_file(Path(folder) / "model.safetensors")
        self.table = tensors["embeddings"].astype(np.float32) * tensors["weights"].astype(np.float32)[:, None]
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self.unknown = self.tokenizer.token_to_id("[UNK]")

    def ids(self, text):
        return [i for i in self.tokenizer.encode(text, add_special_tokens=False).ids if i != self.unknown]

    def embed(self, texts):
        """Mean of the tokens' vectors, L2 normalised; a text without tokens is the zero vector."""
        out = np.zeros((len(texts), self.table.shape[1]), np.float32)
        for row, encoding in enumerate(self.tokenizer.encode_batch(texts, add_special_tokens=False)):
            ids = [i for i in encoding.ids if i != self.unknown]
            if ids:
                mean = self.table[ids].mean(0)
                out[row] = mean / max(np.linalg.norm(mean), 1e-12)
        return out


def load_set(folder, split):
    def lines(name):
        return [json.loads(line) for line in open(folder / name, encoding="utf-8")]

    documents = {d["_id"]: f"{d['title']}. {d['text']}" if d.get("title") else d["text"] for d in lines("corpus.jsonl")}
    gold = {}
    for line in (folder / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]:
        query, document, score = line.split("\t")
        if int(score) > 0:
            gold.setdefault(query, {})[document] = int(score)
    return documents, {q["_id"]: q["text"] for q in lines("queries.jsonl") if q["_id"] in gold}, gold


def measure(embed, documents, queries, gold):
    names = list(documents)
    matrix, asked = embed(list(documents.values())), embed(list(queries.values()))
    ndcg, recall = [], []
    for query, scores in zip(queries, asked @ matrix.T):
        best = [names[i] for i in np.argsort(-scores, kind="stable")[:100]]
        wanted = gold[query]
        gain = sum(wanted.get(d, 0) / np.log2(r + 2) for r, d in enumerate(best[:10]))
        ideal = sum(s / np.log2(r + 2) for r, s in enumerate(sorted(wanted.values(), reverse=True)[:10]))
        ndcg.append(gain / ideal)
        recall.append(sum(d in wanted for d in best) / len(wanted))
    return float(np.mean(ndcg)), float(np.mean(recall)), len(queries)


GOLDEN = [
    "How do I rotate an API key?",
    "The quick brown fox jumps over the lazy dog.",
    "Die Kündigungsfrist beträgt drei Monate zum Quartalsende.",
    "如何重置密码？",
    "fn parse_header(buf: &[u8]) -> Result<HeaderMap, ParseError> { todo!() }",
    "naïve café — ½ price!!! (really?)",
    "HTTPServer2 camelCase snake_case kebab-case",
    "!?… --- ***",
    "\U0001f9ec\U0001f680",
    "",
]


def golden(model):
    """Values for a loader in another language to agree with."""
    rows = []
    for text, vector in zip(GOLDEN, model.embed(GOLDEN)):
        ids = model.ids(text)
        norm = float(np.linalg.norm(model.table[ids].mean(0))) if ids else 0.0
        rows.append({"text": text, "ids": ids, "norm": round(norm, 6), "first": [round(float(x), 6) for x in vector[:8]]})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    root = Path(__file__).resolve().parents[3]
    parser.add_argument("--model", default=Path(__file__).resolve().parents[1] / "cento-static-en-v2")
    parser.add_argument("--datasets", default=root / "../shared/datasets/beir", type=Path)
    parser.add_argument("--report", action="store_true", help="also the sets that no choice was made by")
    parser.add_argument("--golden", action="store_true", help="write golden.json beside the model, and stop")
    arguments = parser.parse_args()
    model = Static(arguments.model)
    if arguments.golden:
        text = json.dumps(golden(model), ensure_ascii=False, indent=1)
        (Path(arguments.model) / "golden.json").write_text(text + "\n", encoding="utf-8")
        return
    for name, split in TUNING + (REPORTING if arguments.report else []):
        ndcg, recall, count = measure(model.embed, *load_set(arguments.datasets / name, split))
        print(f"{name:14} {split:6} {count:5} queries  nDCG@10 {ndcg:.4f}  recall@100 {recall:.4f}", flush=True)


if __name__ == "__main__":
    main()
