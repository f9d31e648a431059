"""Which passages of text does a fetched package hold?

One reader for each shape that documentation comes in. A reader gets the bytes of one file and yields passages; what markup it cannot
read cheaply it drops, since the teacher embeds whatever it is given and a table learns from the pairs, not from well-formedness.
"""
import ast
import gzip
import html
import io
import json
import random
import re
import sqlite3
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

LONGEST = 700  # characters; about 128 to 160 word pieces, past which the teacher slows and a bag of words says little more


def squeeze(text):
    return re.sub(r"\s+", " ", text).strip()


def pieces(text):
    """Paragraphs joined up to LONGEST, so that short ones keep their neighbours and long ones are cut at sentence ends."""
    held = ""
    for sentence in re.split(r"(?<=[.!?:])\s+", squeeze(text)):
        if held and len(held) + len(sentence) > LONGEST:
            yield held
            held = ""
        held = f"{held} {sentence}".strip()[:LONGEST]
    if held:
        yield held


def prose(text):
    """Drops what is not language: too few letters, or hardly any small words."""
    letters = sum(c.isalpha() or c == " " for c in text)
    return len(text) >= 12 and letters / len(text) > 0.75


def read_markup(data):
    """reStructuredText, Markdown and plain text: paragraphs, and headings with the paragraph that follows them."""
    text = data.decode("utf-8", "replace")
    text = re.sub(r"(?m)^\s*\.\. .*$|^\s*:[\w-]+:.*$|^```.*$", "", text)  # directives, field lists, fences
    text = re.sub(r":[\w:.+-]+:`~?([^`<]+?)\s*(?:<[^`]*>)?`", r"\1", text)  # roles and references
    text = re.sub(r"[`*|]+|\]\([^)]*\)|<https?:[^>]*>`?_*|https?://\S+", " ", text)
    heading = ""
    for block in re.split(r"\n\s*\n", text):
        underlined = re.fullmatch(r"\s*(.{3,80})\n\s*[=\-~^\"'#+.]{3,}\s*", block)
        hashed = re.fullmatch(r"\s*#+\s+(.{3,80})\s*", block)
        if underlined or hashed:
            heading = squeeze((underlined or hashed).group(1))
            yield heading
            continue
        for passage in pieces(block):
            yield f"{heading}. {passage}" if heading and len(passage) < 300 else passage


def strip_tags(text):
    text = re.sub(r"(?is)<(script|style|nav|pre|head)\b.*?</\1>", " ", text)
    return squeeze(html.unescape(re.sub(r"<[^>]+>", " ", text)))


def read_html(data):
    text = data.decode("utf-8", "replace")
    for block in re.findall(r"(?is)<(?:p|li|h[1-4])\b[^>]*>(.*?)</(?:p|li|h[1-4])>", text):
        yield from pieces(strip_tags(block))


def read_python_docs(data):
    """Docstrings and other long string constants (field descriptions): their paragraphs, and the first line alone as a short text."""
    for tree in parse_python(data):
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 30 and " " in node.value:
                blocks = re.split(r"\n\s*\n", node.value)
                if len(blocks) > 1 and len(blocks[0]) < 120:
                    yield squeeze(blocks[0])
                yield from (p for block in blocks for p in pieces(re.sub(r":\w+:`~?([^`]+)`|[`*]+", r" \1 ", block)))


def read_python_code(data):
    """Documented functions as they stand in the file: what people search for when they search code."""
    for tree in parse_python(data):
        lines = data.decode("utf-8", "replace").splitlines()
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node):
                yield "\n".join(lines[node.lineno - 1 : node.end_lineno])[:LONGEST]


def parse_python(data):
    try:
        yield ast.parse(data)
    except (SyntaxError, ValueError):
        return


def read_json_strings(data):
    """Every string of some length in a JSON file (service descriptions, interface texts), without its tags."""
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)

    def walk(value):
        if isinstance(value, str):
            if len(value) > 20 and " " in value:
                yield from pieces(strip_tags(value))
        elif isinstance(value, (dict, list)):
            for inner in value.values() if isinstance(value, dict) else value:
                yield from walk(inner)

    yield from walk(json.loads(data))


def read_xml_notes(data):
    """Titles and notes of a classification, each with the one above it."""
    above = ""
    for tag, text in re.findall(r"<(desc|note)>([^<]{8,})</\1>", data.decode("utf-8", "replace")):
        text = html.unescape(text)
        if tag == "desc":
            above = text
            yield text
        else:
            yield f"{above}: {text}"


def read_wordnet(data):
    """`words: gloss` for each meaning, examples included."""
    for line in data.decode("utf-8", "replace").splitlines():
        if line.startswith("  ") or " | " not in line:
            continue
        fields, gloss = line.split(" | ", 1)
        fields = fields.split(" ")
        count = int(fields[3], 16)
        words = ", ".join(fields[4 + 2 * i].replace("_", " ").split("(")[0] for i in range(count))
        yield f"{words}: {squeeze(gloss)}"[:LONGEST]


def read_gene_ontology(data):
    with tempfile.NamedTemporaryFile(suffix=".sqlite") as file:
        file.write(data)
        file.flush()
        rows = sqlite3.connect(file.name).execute("select term, definition from go_term where definition is not null order by _id")
        for term, definition in rows:
            if not term.startswith("obsolete"):
                yield term
                yield f"{term}. {definition}"[:LONGEST]


READERS = {
    "markup": read_markup,
    "html": read_html,
    "python-docs": read_python_docs,
    "python-code": read_python_code,
    "json-strings": read_json_strings,
    "xml-notes": read_xml_notes,
    "wordnet": read_wordnet,
    "gene-ontology": read_gene_ontology,
}


def members(path):
    """(name, bytes) of each file in a wheel, a source archive, an npm package or a Debian package, in the order of their names."""
    if path.suffix == ".whl":
        archive = zipfile.ZipFile(path)
        for name in sorted(archive.namelist()):
            yield name, lambda name=name: archive.read(name)
        return
    if path.suffix == ".deb":
        raw = io.BytesIO(subprocess.run(["dpkg-deb", "--fsys-tarfile", path], check=True, stdout=subprocess.PIPE).stdout)
        archive = tarfile.open(fileobj=raw)
    else:
        archive = tarfile.open(path)
    for item in sorted((i for i in archive.getmembers() if i.isfile()), key=lambda i: i.name):
        yield item.name, lambda item=item: archive.extractfile(item).read()


def collect(manifest, cache):
    """(single, joined) passages the manifest names, without doubles, each use cut to its `take` by a fixed shuffle, in a fixed order."""
    seen, chosen, joined = set(), [], []
    for package in manifest["packages"]:
        path = Path(cache) / package["file"]
        for use in package["use"]:
            wanted, reader, found = re.compile(use["files"]), READERS[use["reader"]], []
            for name, read in members(path):
                if wanted.search(name):
                    for passage in reader(read()):
                        code = use["reader"] == "python-code"
                        key = squeeze(passage).lower()
                        if key not in seen and (code or prose(passage)):
                            seen.add(key)
                            found.append(passage if code else squeeze(passage))
            if use["reader"] != "python-code":  # neighbours joined: documents are longer than paragraphs, and meaning must add up
                pick = random.Random(f"join/{package['name']}/{use['reader']}")
                for _ in range(min(len(found), use["take"]) // 4):
                    start = pick.randrange(len(found))
                    joined.append(". ".join(found[start : start + pick.randint(2, 6)])[:LONGEST])
            random.Random(f"{package['name']}/{use['reader']}").shuffle(found)
            chosen += found[: use["take"]]
            print(f"{package['name']:22} {use['reader']:14} {len(found):7} found, {min(len(found), use['take']):6} taken", flush=True)
    return chosen, joined
