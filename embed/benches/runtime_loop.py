"""Does a neural model lose anything of its runtime's speed in cento?

    cargo bench -p cento-embed --features fastembed --bench neural --no-run
    VIRTUAL_ENV=VENV VENV/bin/python embed/benches/runtime_loop.py BENCH MODEL CORPUS [DOCUMENTS] [ROUNDS]

BENCH is the program that the first command names, MODEL a folder with tokenizer.json or a graph in it, CORPUS a corpus.jsonl in BEIR's layout. VENV
has onnxruntime, tokenizers and numpy. The same documents, cut off where the model stops looking and put into the same batches, go through the same runtime with
as many threads, here by the shortest loop that Python allows, there by cento. The two take turns, so that a busy machine is busy for both.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

LONGEST = 256  # tokens, as all-MiniLM-L6-v2 has it
TEXTS, TOKENS_A_THREAD = 64, 128  # embed/src/neural.rs


def documents(corpus, wanted, tokenizer):
    """Cut off where the model stops looking: cento would embed the rest, too."""
    rows = [json.loads(line) for line in open(corpus, encoding="utf-8")]
    texts = [f"{row.get('title', '')}\n{row.get('text', '')}" for row in rows]
    texts = texts[:: max(1, len(texts) // wanted)][:wanted]
    ends = [encoding.offsets[: LONGEST - 2][-1][1] for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    return ["\n" + text[:end].strip() for text, end in zip(texts, ends)]


def batches(lengths, tokens):
    found = []
    for text in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if found and len(found[-1]) < TEXTS and lengths[found[-1][0]] * (len(found[-1]) + 1) <= tokens:
            found[-1].append(text)
        else:
            found.append([text])
    return found


class Loop:
    def __init__(self, model, threads):
        graph = model if model.suffix == ".onnx" else model / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(graph), options)
        self.tokenizer = Tokenizer.from_file(str(graph.parent / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(LONGEST)
        self.names = {one.name for one in self.session.get_inputs()}
        # A graph that quantises by what is in the batch gets one text at a time.
        self.tokens = 1 if "quantized" in graph.name else TOKENS_A_THREAD * threads

    def embed(self, texts):
        """Seconds in all, and in the runtime alone."""
        begun, running = time.perf_counter(), 0.0
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        vectors = np.zeros((len(texts), 384), np.float32)
        for batch in batches([len(one) for one in ids], self.tokens):
            width = len(ids[batch[0]])
            tokens = np.zeros((len(batch), width), np.int64)
            mask = np.zeros((len(batch), width), np.int64)
            for row, i in enumerate(batch):
                tokens[row, : len(ids[i])] = ids[i]
                mask[row, : len(ids[i])] = 1
            inputs = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": tokens * 0}
            started = time.perf_counter()
            hidden = self.session.run(None, {name: inputs[name] for name in self.names})[0]
            running += time.perf_counter() - started
            pooled = (hidden * mask[..., None]).sum(1)
            vectors[batch] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return time.perf_counter() - begun, running


def main():
    bench, model, corpus = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    wanted = int(sys.argv[4]) if len(sys.argv) > 4 else 300
    rounds = int(sys.argv[5]) if len(sys.argv) > 5 else 5
    threads = len(os.sched_getaffinity(0))
    loop = Loop(model, threads)
    texts = documents(corpus, wanted, loop.tokenizer)
    cut = Path(tempfile.mkdtemp()) / "corpus.jsonl"
    cut.write_text("".join(json.dumps({"title": "", "text": text[1:]}) + "\n" for text in texts), encoding="utf-8")
    loop.embed(texts[:16])
    ours, theirs, alone = [], [], []
    for _ in range(rounds):
        told = subprocess.run([bench, "--bench", model, cut, str(wanted)], capture_output=True, text=True, check=True).stdout
        ours.append(float(re.search(r"documents in .* s: ([\d.]+) a second", told)[1]))
        whole, running = loop.embed(texts)
        theirs.append(len(texts) / whole)
        alone.append(len(texts) / running)
        print(f"cento {ours[-1]:6.1f}   loop {theirs[-1]:6.1f}   its runtime alone {alone[-1]:6.1f} documents/s", flush=True)
    ratios = sorted(a / b for a, b in zip(ours, theirs))
    best = max(ours) / max(theirs)
    print(f"cento / loop: median {ratios[len(ratios) // 2]:.3f}, {ratios[0]:.3f} to {ratios[-1]:.3f}; of the best rounds {best:.3f}; "
          f"/ runtime alone {max(ours) / max(alone):.3f} ({onnxruntime.__version__}, {threads} threads)")


if __name__ == "__main__":
    main()
