"""Which million texts, and which questions, does static-1m hold?

Windows of words of the judged sets in English, of four lengths, and questions of
the same sets, drawn at random. The bundled model embeds them.
"""

import json
import re

# Words of a window, and how many words after it the next one begins: each shares
# two thirds of its words with the next, as there are not more texts than that.
LENGTHS = [(12, 4), (24, 8), (48, 16), (96, 32)]
WORD = re.compile(r"\S+")


def windows(text, length, step):
    words = [found.span() for found in WORD.finditer(text)]
    for first in range(0, max(len(words) - length, 0) + 1, step):
        part = words[first : first + length]
        # A short document is one window, but not a few words' one.
        if len(part) >= LENGTHS[0][0]:
            # On one line, as texts are handed on a line each.
            yield " ".join(text[part[0][0] : part[-1][1]].split())


def texts(documents, count, random):
    """The texts in their shuffled order, and how many there were of each length."""
    documents = list(documents)
    seen, told = {}, {}
    for length, step in LENGTHS:
        before = len(seen)
        for _, text in documents:
            seen.update(dict.fromkeys(windows(text, length, step)))
        told[f"{length} words, each {step} after the one before"] = len(seen) - before
        print(f"windows: {len(seen) - before:,} of {length} words", flush=True)
    found = list(seen)
    if len(found) < count:
        raise SystemExit(f"the shared folder yields {len(found):,} windows; {count:,} are needed")
    return [found[at] for at in random.permutation(len(found))[:count]], told


def questions(folders, count, random):
    """Questions of the judged sets, each once."""
    found = {}
    for folder in folders:
        with open(folder / "queries.jsonl", encoding="utf-8") as lines:
            found.update(dict.fromkeys(" ".join(json.loads(line)["text"].split()) for line in lines))
    found = [text for text in found if text]
    if len(found) < count:
        raise SystemExit(f"the judged sets hold {len(found):,} questions; {count:,} are needed")
    return [found[at] for at in random.permutation(len(found))[:count]]
