"""What would a static model be that has learned from no text?

The usual way to distil one (Model2Vec's): each token of the teacher's vocabulary is embedded alone, the vectors are turned to their 256 main axes,
and a token weighs a / (a + p), with a = 1e-4 and p what Zipf's law says of its rank (smooth inverse frequency, Arora et al. 2017). Here only to be
compared with.
"""
import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from teacher import Teacher

SIF = 1e-4


def main():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher", type=Path, default=here.parents[2] / "../shared/models/all-MiniLM-L6-v2")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dims", type=int, default=256)
    arguments = parser.parse_args()
    tokenizer = json.loads((arguments.teacher / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    names = sorted(vocabulary, key=vocabulary.get)
    vectors = Teacher(arguments.teacher).embed([name.removeprefix("##") for name in names])
    vectors -= vectors.mean(0)
    values, axes = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
    table = vectors @ axes[:, np.argsort(-values)[: arguments.dims]].astype(np.float32)
    zipf = 1 / (np.arange(len(names)) + 2)
    weights = (SIF / (SIF + zipf / zipf.sum())).astype(np.float32)
    table[vocabulary["[UNK]"]] = 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    save_file({"embeddings": np.ascontiguousarray(table, np.float32), "weights": weights}, arguments.out / "model.safetensors")
    tokenizer |= {"padding": None, "truncation": None, "post_processor": None}
    (arguments.out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    (arguments.out / "config.json").write_text(json.dumps({"model_type": "model2vec", "normalize": True}) + "\n")


if __name__ == "__main__":
    main()
