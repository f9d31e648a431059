"""What vector does the teacher give each text?

The int8 ONNX of all-MiniLM-L6-v2, mean pooling over the mask, L2 normalised. Dynamic int8 depends a little on the batch a text is in,
so batches are cut in one fixed way; the same texts give the same vectors on the same library and CPU kind.
"""
import time
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

TOKENS_A_BATCH = 2048  # enough to fill two cores, little enough to stay in cache
LONGEST_TOKENS = 160  # the frame of [CLS] and [SEP] counted


class Teacher:
    def __init__(self, folder, longest=LONGEST_TOKENS):
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # be fair to whoever shares the cores
        self.session = onnxruntime.InferenceSession(str(Path(folder) / "model_quantized.onnx"), options)
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(longest)

    def embed(self, texts):
        ids = [e.ids for e in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), i))  # like lengths together: little padding
        vectors = np.zeros((len(ids), 384), np.float32)
        start, done = time.time(), 0
        while done < len(order):
            width = len(ids[order[done]])
            batch = order[done : done + max(1, TOKENS_A_BATCH // width)]
            width = len(ids[batch[-1]])
            tokens = np.zeros((len(batch), width), np.int64)
            mask = np.zeros((len(batch), width), np.int64)
            for row, i in enumerate(batch):
                tokens[row, : len(ids[i])] = ids[i]
                mask[row, : len(ids[i])] = 1
            hidden = self.session.run(None, {"input_ids": tokens, "attention_mask": mask, "token_type_ids": tokens * 0})[0]
            vectors[batch] = (hidden * mask[..., None]).sum(1)
            if done // 20000 != (done + len(batch)) // 20000:
                print(f"embedded {done + len(batch)} of {len(order)}, {time.time() - start:.0f} s", flush=True)
            done += len(batch)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
