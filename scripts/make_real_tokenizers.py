#!/usr/bin/env python3
"""Turns real vocabularies into tokenizer.json files, with what the tokenizers library says about >= 10,000 texts each.

    python scripts/make_real_tokenizers.py --ggml FOLDER --qwen FILE.tiktoken --smollm2 FOLDER --out FOLDER

FOLDER of --ggml: the models folder of llama.cpp (ggml-vocab-*.gguf with .inp and .out). Each folder of --out gets
tokenizer.json and cases.jsonl as in tests/engine/text/data. Needs the Python packages tokenizers and gguf.
"""
import argparse
import base64
import json
import pathlib
import random
import shutil
import unicodedata

from gguf import GGUFReader
from tokenizers import Tokenizer, normalizers

import make_tokenizer_cases as small

QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4  # token types of GGUF


def spelling_of_bytes():
    """GPT-2's printable character for each byte."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def merges_of(vocab, priority):
    """All ways to make a piece of two others, in order of the whole's priority, then of the parts' ids."""
    merges = []
    for piece, number in vocab.items():
        parts = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in vocab and piece[i:] in vocab]
        parts.sort(key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
        merges += [(priority[number], pair) for pair in parts]
    merges.sort(key=lambda merge: merge[0])
    return [list(pair) for _, pair in merges]


def bpe(vocab, merges, **options):
    return {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": vocab, "merges": merges} | options


def qwen(path):
    ranks = dict((base64.b64decode(token), int(rank)) for token, rank in map(str.split, path.read_text().splitlines()))
    spell = spelling_of_bytes()
    text = lambda token: "".join(spell[b] for b in token)
    merges = [[text(left), text(right)] for left, right in merges_of(ranks, range(len(ranks)))]
    vocab = {text(token): rank for token, rank in ranks.items()}
    added = [small.added(len(ranks) + i, t) for i, t in enumerate(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])]
    return small.tokenizer_json(bpe(vocab, merges), added_tokens=added, normalizer={"type": "NFC"},
                                pre_tokenizer=small.chain("pre", small.split(QWEN), small.byte_level()),
                                post_processor=small.byte_level(), decoder=small.byte_level())


def ggml_fields(path):
    fields = GGUFReader(path).fields
    return {name.removeprefix("tokenizer.ggml."): field.contents() for name, field in fields.items()
            if name.startswith("tokenizer.ggml.")}


def ggml_byte_level(path, pattern, normalizer=None, **options):
    fields = ggml_fields(path)
    kinds = fields["token_type"]
    vocab = {token: i for i, token in enumerate(fields["tokens"]) if kinds[i] == NORMAL}
    added = [small.added(i, token) for i, token in enumerate(fields["tokens"]) if kinds[i] in (CONTROL, USER_DEFINED)]
    return small.tokenizer_json(bpe(vocab, fields["merges"], **options), added_tokens=added, normalizer=normalizer,
                                pre_tokenizer=small.chain("pre", small.split(pattern), small.byte_level()),
                                decoder=small.byte_level())


def ggml_sentencepiece(path, metaspace):
    """As transformers converts SentencePiece's BPE: by a normalizer (legacy), or by the Metaspace pre-tokenizer."""
    fields = ggml_fields(path)
    kinds = fields["token_type"]
    vocab = {token: i for i, token in enumerate(fields["tokens"])}
    mergeable = {token: i for token, i in vocab.items() if kinds[i] == NORMAL}
    merges = merges_of(mergeable, [-score for score in fields["scores"]])
    added = [small.added(i, token, normalized=kinds[i] == USER_DEFINED, special=kinds[i] != USER_DEFINED,
                         rstrip=kinds[i] == USER_DEFINED)
             for i, token in enumerate(fields["tokens"]) if kinds[i] in (UNKNOWN, CONTROL, USER_DEFINED)]
    to_mark = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    scheme = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    decoder = small.chain("decoder", {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                          {"type": "ByteFallback"}, {"type": "Fuse"},
                          {"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return small.tokenizer_json(
        bpe(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True), added_tokens=added, decoder=decoder,
        normalizer=None if metaspace else small.chain("normalizer", {"type": "Prepend", "prepend": "▁"}, to_mark),
        pre_tokenizer=scheme if metaspace else None, post_processor=small.template([("<s>", 1)]))


def texts(seed):
    """Random texts, runs, and every code point once that this Python's Unicode (14 on Debian 12, as PCRE2's) knows."""
    rnd = random.Random(seed)
    yield from small.texts(rnd, 6000)
    for run in ["a", "A", " ", "\n", "1", "é", "中", "👍", "\u0301", "!", "\t", "\u200d", "▁", "\0", "Ġ", "\U0010fffd"]:
        yield from (run * count for count in (2, 3, 7, 64, 1000))
    known = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    marks = [c for c in known if unicodedata.combining(c)]
    for mark in marks:  # among older ones, which may go before it or join what stands before
        yield f"a\u0301{mark}\u0316{mark}\u0301"
    for begin in range(0, len(known), 32):
        yield rnd.choice(["", " ", "a"]).join(known[begin:begin + 32])


def write(folder, description, seed, ggml=None):
    folder.mkdir(parents=True)
    content = json.dumps(description, ensure_ascii=False)
    (folder / "tokenizer.json").write_text(content, encoding="utf-8", newline="\n")
    tokenizer = Tokenizer.from_str(content)
    rnd = random.Random(seed)
    count = 0
    with open(folder / "cases.jsonl", "w", encoding="utf-8", newline="\n") as cases:
        def case(text, add, ids):
            cases.write(small.dump({"text": text, "add_special_tokens": add, "ids": ids,
                                    "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                                    "decoded_skip": tokenizer.decode(ids, skip_special_tokens=True)}))
        for text in texts(seed):
            add = rnd.random() < 0.2
            case(text, add, tokenizer.encode(text, add_special_tokens=add).ids)
            count += 1
        if ggml:
            inputs = pathlib.Path(f"{ggml}.inp").read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
            outputs = pathlib.Path(f"{ggml}.out").read_text().split("\n")
            for text, ids in zip(inputs, outputs):
                case(text, False, [int(i) for i in ids.split()])
                count += 1
    assert count >= 10000, count
    print(folder.name, count, "texts")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("ggml", "qwen", "smollm2", "out"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    vocab = lambda name: arguments.ggml / f"ggml-vocab-{name}.gguf"
    shutil.rmtree(arguments.out, ignore_errors=True)
    smollm2 = json.loads((arguments.smollm2 / "tokenizer.json").read_text(encoding="utf-8"))
    made = [
        ("smollm2", smollm2, None),
        ("qwen", qwen(arguments.qwen), None),
        ("llama3", ggml_byte_level(vocab("llama-bpe"), small.LLAMA3, ignore_merges=True), vocab("llama-bpe")),
        ("qwen2", ggml_byte_level(vocab("qwen2"), QWEN, {"type": "NFC"}), vocab("qwen2")),
        ("llama_spm", ggml_sentencepiece(vocab("llama-spm"), False), vocab("llama-spm")),
        ("llama_spm_metaspace", ggml_sentencepiece(vocab("llama-spm"), True), None),
        ("phi3", ggml_sentencepiece(vocab("phi-3"), False), vocab("phi-3")),
        ("phi3_metaspace", ggml_sentencepiece(vocab("phi-3"), True), None),
    ]
    for seed, (name, description, ggml) in enumerate(made):
        write(arguments.out / name, description, seed, ggml)


if __name__ == "__main__":
    main()
