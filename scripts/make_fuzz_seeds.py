#!/usr/bin/env python3
"""Writes tests/fuzz/seeds: small valid inputs of every kind that a fuzz target reads, for libFuzzer to begin with."""

import json
import pathlib
import struct

ROOT = pathlib.Path(__file__).resolve().parents[1]
SAMPLES, SEEDS = ROOT / "samples", ROOT / "tests/fuzz/seeds"


def write(target, name, content):
    path = SEEDS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def dumps(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def tokenizers():
    """Name to (tokenizer.json, text)."""
    spaces = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}
    by_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    split = {"type": "Split", "pattern": {"Regex": r"\s+(?!\S)|\p{L}+|\p{N}{1,3}|[^\s]"}, "behavior": "Isolated", "invert": False}
    added = [
        {"id": 6, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": True, "normalized": False, "special": True},
        {"id": 7, "content": "ab", "single_word": True, "lstrip": True, "rstrip": False, "normalized": True, "special": False},
    ]
    vocab = {"a": 0, "b": 1, "▁": 2, "aa": 3, "Ġ": 4, "<0x61>": 5}
    bpe = {"type": "BPE", "vocab": vocab, "merges": ["a a"], "fuse_unk": True, "byte_fallback": True, "unk_token": "b"}
    post = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [6], "tokens": ["<s>"]}},
    }
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    back = {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    }
    pieces = [["<unk>", 0], ["a", -1], ["aa", -1.5], ["▁a", -2], ["é", -3]]
    base = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added}
    yield "bytes", {
        **base,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, {**by_bytes, "use_regex": False}]},
        "post_processor": post,
        "decoder": by_bytes,
        "model": {**bpe, "ignore_merges": True},
    }, "aa ab<s> b\u0301"
    yield "sentencepiece", {
        **base,
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]},
        "pre_tokenizer": None,
        "decoder": back,
        "model": bpe,
    }, "a a  ab é"
    yield "unigram", {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAAAAA=="},
        "pre_tokenizer": spaces,
        "decoder": spaces,
        "model": {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": False},
    }, "aa a é"
    yield "digits", {
        "version": "1.0",
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "Lowercase"}, {"type": "NFKD"}, {"type": "Strip", "strip_left": True, "strip_right": True}],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Digits", "individual_digits": True}],
        },
        "post_processor": {"type": "RobertaProcessing", "sep": ["b", 1], "cls": ["a", 0]},
        "model": bpe,
    }, " A1 ﬁ "
    for behavior in ("Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        yield behavior, {"version": "1.0", "pre_tokenizer": {**split, "behavior": behavior, "invert": True}, "model": bpe}, "ab ab1"


def safetensors():
    for name, tensors, size in (
        ("empty", {}, 0),
        ("one", {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, 8),
        (
            "metadata",
            {
                "__metadata__": {"format": "pt"},
                "a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
                "b": {"dtype": "I64", "shape": [], "data_offsets": [12, 20]},
            },
            20,
        ),
        (
            "sub_byte",
            {"a": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}, "b": {"dtype": "U8", "shape": [0, 7], "data_offsets": [2, 2]}},
            2,
        ),
    ):
        text = dumps(tensors)
        write("fuzz_safetensors", name, struct.pack("<I", size) + text)
        if name == "one":
            write("fuzz_safetensors", "whole", struct.pack("<Q", len(text)) + text + b"\0" * size)
    write(
        "fuzz_safetensors",
        "index",
        struct.pack("<I", 0) + dumps({"metadata": {"total_size": 8}, "weight_map": {"a": "x.safetensors", "b": "y.safetensors"}}),
    )


def main():
    for number, line in enumerate((SAMPLES / "requests.jsonl").read_bytes().splitlines()):
        write("fuzz_request", f"sample{number}", line)
        write("fuzz_json", f"sample{number}", line)
    for name, line in {
        "ids": {"prompt_token_ids": [2, 3], "max_tokens": 2, "n": 2, "seed": 5, "stop": ["a", "b"], "logit_bias": {"5": -1.5}},
        "prompts": {
            "custom_id": "a",
            "method": "POST",
            "url": "/v1/completions",
            "body": {"prompt": [[2], [3]], "echo": True, "logprobs": 2, "max_tokens": 0},
        },
        "parts": {
            "id": "p",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "<s>"}]}],
            "tools": [{"type": "function"}],
            "chat_template_kwargs": {"x": 1},
        },
        "continue": {
            "messages": [{"role": "assistant", "content": " a "}],
            "continue_final_message": True,
            "logprobs": True,
            "top_logprobs": 2,
        },
        "scores": {"context": "a ", "continuation": ["b", " c"]},
        "rolling": {"text": "ab ab", "rolling": True},
    }.items():
        write("fuzz_request", name, dumps(line))
    for name, text in {
        "numbers": b"[-0,1.5e-3,18446744073709551615,-9223372036854775808,1e308]",
        "strings": rb'["\u0000\ud83d\ude00\n","\u00e9"]',
        "nested": b'{"a":{"b":[{"c":null}]},"d":[[],{},true,false]}',
    }.items():
        write("fuzz_json", name, text)
    for folder in sorted(SAMPLES.glob("tiny-*")):
        generation = folder / "generation_config.json"
        write("fuzz_config", folder.name, dumps(json.loads((folder / "config.json").read_bytes())) + b"\0" + generation.read_bytes())
        chat = json.loads((folder / "tokenizer_config.json").read_bytes()).get("chat_template")
        if isinstance(chat, str) and folder.name == "tiny-llama":
            write("fuzz_template", folder.name, chat.encode())
    for number, source in enumerate(
        [
            "{%- for m in messages if m.content is string -%}{{ loop.index0 }}{{ m['content'] | trim | upper }}{% else %}-{%- endfor %}",
            "{% macro f(x, y=1) %}{{ x ~ y }}{% endmacro %}{{ f('a', y=2) }}{% set n = namespace(a=[]) %}{% set n.a = n.a + [1] %}{{ n.a }}",
            "{{ tools | tojson(indent=2) }}{{ messages | map(attribute='role') | join(', ') }}{{ messages[::-1][0].content[1:3] }}",
            "{% if tools and not (messages | length > 9) %}{{ '%s %5.2f' % ('a', 1.5) }}{% elif 1 %}{% break %}{% endif %}{{ {'a': 1}.items() | list }}",
            "{% for a in range(3) recursive %}{{ loop(messages) if a > 5 }}{% endfor %}{% filter indent(2) %}{{ 'a\\nb' | replace('a', 'é') | wordwrap(3) }}{% endfilter %}",
            "{{ messages | groupby('role') }}{{ 'a b'.split() | sort(reverse=true) | batch(2) | list }}{{ 7 // 2 ** 2 % 3 }}{{ raise_exception('x') if false }}",
        ]
    ):
        write("fuzz_template", f"template{number}", source.encode())
    write("fuzz_template", "variables", b'{{ a.b[0] }}{{ c }}\0{"a":{"b":["\xc3\xa9"]},"c":1.5,"messages":[]}')
    for name, file, text in tokenizers():
        write("fuzz_tokenizer", name, dumps(file) + b"\0" + text.encode())
    safetensors()


if __name__ == "__main__":
    main()
