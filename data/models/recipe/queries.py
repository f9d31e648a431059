"""What might somebody ask of a passage?

Search compares a short text with a long one, and passages are all long. So each passage of some length also gives one short text: half the
time one of its sentences, else two to nine of its rarer words in their order, as people type them. Nobody wrote these; the teacher says
what they mean.
"""
import random
import re

WORD = re.compile(r"[A-Za-z][A-Za-z0-9'-]+")
LONG_ENOUGH = 150  # characters
COMMON = 0.06  # a word in a larger share of the passages is common
WINDOW = 40  # words


def queries(passages):
    counted = passages[::4]
    seen = {}
    for passage in counted:
        for word in set(WORD.findall(passage.lower())):
            seen[word] = seen.get(word, 0) + 1
    common = {word for word, count in seen.items() if count > len(counted) * COMMON}
    pick = random.Random("queries")
    found = (query(passage, common, pick) for passage in passages if len(passage) > LONG_ENOUGH)
    return [text for text in found if text]


def query(passage, common, pick):
    if pick.random() < 0.5:
        sentences = [s for s in re.split(r"(?<=[.!?:])\s+", passage) if 25 < len(s) < 200]
        if len(sentences) > 1:
            return pick.choice(sentences)
    words = WORD.findall(passage)
    start = pick.randrange(max(1, len(words) - 12))
    words = [w for w in words[start : start + WINDOW] if w.lower() not in common or pick.random() < 0.25]
    if len(words) < 3:
        return None
    places = sorted(pick.sample(range(len(words)), min(len(words), pick.randint(2, 9))))
    return " ".join(words[place].lower() for place in places)
