"""Which passages would the usual pipelines put into a context?

    cento eval export --dataset DIR --out EXPORT
    python contexts.py --export EXPORT --model MODEL --out CANDIDATES
    cento eval contexts --dataset DIR --candidates CANDIDATES/<system>.jsonl

For each system this writes a file of ranked passages, as code points of the
exported texts. `cento eval contexts` renders them with the same wrapper, packs
them into the same budget and scores them with the same measures as cento's own
contexts, so that only the choice of passages differs.

Systems: LangChain's RecursiveCharacterTextSplitter (1000/200 and 400/0) and
LlamaIndex's SentenceSplitter (1024/200 tokens), each with Chroma over
all-MiniLM-L6-v2 (dense), with BM25, and with both fused by RRF (k = 60). Each
part has the best setting that we know: Chroma's search looks at 2,000
candidates; BM25 drops English stop words and stems (LangChain's own retriever
splits at white space only, which is worse); the ranking is DEPTH deep, so that
packing never runs dry.
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")

import bm25s
import chromadb
import numpy as np
import onnxruntime
import Stemmer
import tokenizers
from langchain_text_splitters import RecursiveCharacterTextSplitter
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document, MetadataMode

DEPTH = 200
RRF_K = 60
MAX_TOKENS = 256


def read_lines(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


class MiniLM:
    """all-MiniLM-L6-v2 as sentence-transformers runs it: mean of the token
    vectors, unit length, 256 tokens."""

    def __init__(self, folder):
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
        self.inputs = {given.name for given in self.session.get_inputs()}
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.enable_padding()

    def embed(self, texts, size=16):
        vectors = np.zeros((len(texts), 384), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            encoded = self.tokenizer.encode_batch([texts[at] for at in batch])
            given = {
                "input_ids": np.array([e.ids for e in encoded], dtype=np.int64),
                "attention_mask": np.array([e.attention_mask for e in encoded], dtype=np.int64),
                "token_type_ids": np.array([e.type_ids for e in encoded], dtype=np.int64),
            }
            mask = given["attention_mask"][:, :, None].astype(np.float32)
            given = {name: value for name, value in given.items() if name in self.inputs}
            tokens = self.session.run(None, given)[0]
            pooled = (tokens * mask).sum(1) / np.maximum(mask.sum(1), 1e-9)
            vectors[batch] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return vectors


def langchain(size, overlap):
    splitter = RecursiveCharacterTextSplitter(
        chunk_size=size, chunk_overlap=overlap, add_start_index=True
    )

    def split(document):
        found = splitter.create_documents([document["text"]])
        return [
            (chunk.metadata["start_index"], chunk.page_content, chunk.page_content)
            for chunk in found
        ]

    return split


def llama_index(size, overlap):
    splitter = SentenceSplitter(chunk_size=size, chunk_overlap=overlap)

    def split(document):
        # As SimpleDirectoryReader loads files: their names are metadata, which
        # LlamaIndex puts in front of the text that both legs see.
        whole = Document(text=document["text"], metadata={"file_name": document["id"]})
        nodes = splitter.get_nodes_from_documents([whole])
        return [
            (
                node.start_char_idx,
                node.get_content(),
                node.get_content(metadata_mode=MetadataMode.EMBED),
            )
            for node in nodes
        ]

    return split


SPLITTERS = {
    "langchain-1000-200": langchain(1000, 200),
    "langchain-400-0": langchain(400, 0),
    "llamaindex-1024-200": llama_index(1024, 200),
}


def chunks_of(documents, split):
    chunks = []
    for document in documents:
        text = document["text"]
        for start, content, seen in split(document):
            if text[start : start + len(content)] != content:
                raise SystemExit(f"a chunk of {document['id']} is not at {start}")
            if content.strip():
                chunks.append((document["id"], start, start + len(content), seen))
    return chunks


def dense_rankings(model, chunks, queries):
    vectors = model.embed([chunk[3] for chunk in chunks])
    client = chromadb.EphemeralClient()
    name = f"chunks-{time.time_ns()}"
    settings = {"hnsw": {"space": "cosine", "ef_construction": 400, "ef_search": 2000, "max_neighbors": 64}}
    collection = client.create_collection(name, configuration=settings, embedding_function=None)
    for start in range(0, len(chunks), 4000):
        end = min(start + 4000, len(chunks))
        ids = [str(at) for at in range(start, end)]
        collection.add(ids=ids, embeddings=vectors[start:end].tolist())
    asked = model.embed([query["query"] for query in queries])
    depth = min(DEPTH, len(chunks))
    rankings = []
    for start in range(0, len(asked), 100):
        found = collection.query(
            query_embeddings=asked[start : start + 100].tolist(), n_results=depth, include=[]
        )
        rankings.extend([int(at) for at in ids] for ids in found["ids"])
    return rankings


def lexical_rankings(chunks, queries):
    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25(k1=1.2, b=0.75)
    corpus = [chunk[3] for chunk in chunks]
    options = {"stopwords": "en", "stemmer": stemmer, "show_progress": False}
    index.index(bm25s.tokenize(corpus, **options), show_progress=False)
    depth = min(DEPTH, len(chunks))
    asked = bm25s.tokenize([query["query"] for query in queries], **options)
    found, scores = index.retrieve(asked, k=depth, show_progress=False)
    return [
        [int(at) for at, score in zip(row, values) if score > 0]
        for row, values in zip(found, scores)
    ]


def fused(*legs):
    rankings = []
    for rows in zip(*legs):
        scores = {}
        for row in rows:
            for rank, at in enumerate(row, start=1):
                scores[at] = scores.get(at, 0.0) + 1.0 / (RRF_K + rank)
        rankings.append(sorted(scores, key=lambda at: (-scores[at], at))[:DEPTH])
    return rankings


def write(path, queries, chunks, rankings):
    with open(path, "w", encoding="utf-8") as out:
        for query, ranking in zip(queries, rankings):
            candidates = [
                {"document": chunks[at][0], "start": chunks[at][1], "end": chunks[at][2]}
                for at in ranking
            ]
            line = {"query_id": query["id"], "unit": "chars", "candidates": candidates}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--export", type=pathlib.Path, required=True, help="what `cento eval export` wrote")
    parser.add_argument("--model", type=pathlib.Path, required=True, help="a folder with all-MiniLM-L6-v2 in ONNX")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="where the candidates go")
    given = parser.parse_args()
    documents = read_lines(given.export / "documents.jsonl")
    queries = read_lines(given.export / "queries.jsonl")
    model = MiniLM(given.model)
    given.out.mkdir(parents=True, exist_ok=True)
    for name, split in SPLITTERS.items():
        begun = time.monotonic()
        chunks = chunks_of(documents, split)
        dense = dense_rankings(model, chunks, queries)
        lexical = lexical_rankings(chunks, queries)
        for leg, rankings in [
            ("chroma", dense),
            ("bm25", lexical),
            ("rrf", fused(lexical, dense)),
        ]:
            write(given.out / f"{name}-{leg}.jsonl", queries, chunks, rankings)
        print(f"{name}: {len(chunks)} chunks, {len(queries)} queries, {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
