"""tokenizer.json: K of the list."""

import json
import os

from harness import Case, Raw, dumps, edit_json, replace, write
from weights import expect_record

FILE = "tokenizer.json"


def bad(name, changes, *words, **bounds):
    return Case(name, 78, (r"model/tokenizer\.json: ", *words), edit_json(FILE, **changes), **bounds)


def file_is(name, content, *words, **bounds):
    return Case(name, 78, (r"model/tokenizer\.json: ", *words), write(FILE, content), **bounds)


def vocabulary(name, spelling, value, *words):
    """Spellings may hold what edit_json takes for a path."""

    def edit(folder):
        root = json.loads((folder / FILE).read_bytes())
        root["model"]["vocab"][spelling] = value
        replace(folder / FILE, dumps(root))

    return Case(name, 78, (r"model/tokenizer\.json: ", "vocab", *words), edit)


def added(content, id=None, **flags):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **flags}
    return {"id": 451 if id is None else id, "content": content, **flags}


def long_text(name, text, **changes):
    """A megabyte of text must be encoded in time that grows with its length. It is too long for the model."""

    def line():
        return dumps({"id": "long", "prompt": text}) + b"\n"

    return Case(
        name,
        65,
        (),
        edit_json(FILE, **changes) if changes else None,
        input=line,
        after=lambda folder: expect_record(folder, "context_length_exceeded"),
        seconds=2,
    )


def sparse(size):
    def edit(folder):
        replace(folder / FILE, b"{")
        os.truncate(folder / FILE, size)

    return edit


def split(regex):
    return {"pre_tokenizer__pretokenizers__0__pattern": {"Regex": regex}}


def record_is(name, changes, text, code, *words, seconds=5):
    return Case(
        name,
        65,
        words,
        edit_json(FILE, **changes),
        input=dumps({"id": "x", "prompt": text}) + b"\n",
        after=lambda folder: expect_record(folder, code),
        seconds=seconds,
    )


UNIGRAM = {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["a", -1]], "byte_fallback": False}


def unigram(**changes):
    return {"model": {**UNIGRAM, **changes}, "pre_tokenizer": None, "decoder": None, "post_processor": None, "added_tokens": []}


MEGABYTE = 1_000_000

CASES = [
    file_is("K01 not JSON", b"vocab", "byte 0"),
    file_is("K01 0 bytes", b"", "empty"),
    file_is("K01 a list", b"[]", "must be an object"),
    Case("K01 500 MB", 78, ("tokenizer.json", "500000000 bytes"), sparse(500_000_000)),
    file_is("K01 truncated", b'{"version": "1.0', "byte"),
    file_is("K01 not UTF-8", b'{"version": "\xff"}', "byte 13", "UTF-8"),
    file_is("K01 a lone surrogate", b'{"version": "\\ud800"}', "surrogate"),
    file_is("K01 a key twice", b'{"model": 1, "model": 2}', "duplicate key"),
    file_is("K01 100,000 arrays", b"[" * 100_000 + b"]" * 100_000, "nested deeper"),
    Case("K01 no tokenizer.json", 66, ("tokenizer.json",), lambda folder: (folder / FILE).unlink()),
    bad("K01 an unknown field", {"zoom": 1}, "zoom"),
    bad("K01 another version", {"version": "2.0"}, "version"),
    bad("K01 truncation", {"truncation": {"max_length": 1}}, "truncation"),
    bad("K01 padding", {"padding": {}}, "padding"),
    bad("K02 no model", {"model": ...}, "model"),
    bad("K02 model null", {"model": None}, "model"),
    bad("K02 a list for a model", {"model": []}, "model must be an object"),
    bad("K02 WordPiece", {"model__type": "WordPiece"}, "model", "WordPiece"),
    bad("K02 a type that is a number", {"model__type": 1}, "model.type", "string"),
    bad("K02 an unknown field", {"model__zoom": 1}, "model", "zoom"),
    bad("K02 dropout", {"model__dropout": 0.1}, "model.dropout"),
    bad("K02 unk_token outside the vocabulary", {"model__unk_token": "nope"}, "unk_token"),
    bad("K02 continuing_subword_prefix", {"model__continuing_subword_prefix": "##"}, "continuing_subword_prefix"),
    bad("K03 an unknown normalizer", {"normalizer": {"type": "BertNormalizer"}}, "normalizer", "BertNormalizer"),
    bad("K03 a normalizer without type", {"normalizer": {}}, "normalizer", "type"),
    bad("K03 a normalizer that is text", {"normalizer": "NFC"}, "normalizer must be an object"),
    bad(
        "K03 a normalizer inside a sequence",
        {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Nmt"}]}},
        r"normalizer.normalizers\[0\]",
        "Nmt",
    ),
    bad(
        "K03 a charsmap that is not base64",
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "!"}},
        "precompiled_charsmap",
        "base64",
    ),
    bad("K03 a charsmap of 0 bytes", {"normalizer": {"type": "Precompiled", "precompiled_charsmap": ""}}, "precompiled_charsmap"),
    bad(
        "K03 a charsmap with a false size",
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="}},
        "precompiled_charsmap",
    ),
    bad("K03 an unknown pre-tokenizer", {"pre_tokenizer": {"type": "BertPreTokenizer"}}, "pre_tokenizer", "BertPreTokenizer"),
    bad("K03 an unknown field of a pre-tokenizer", {"pre_tokenizer": {"type": "Whitespace", "zoom": 1}}, "pre_tokenizer", "zoom"),
    bad("K03 an unknown split behaviour", {"pre_tokenizer__pretokenizers__0__behavior": "Shredded"}, "behavior", "Shredded"),
    bad("K03 an unknown decoder", {"decoder": {"type": "CTC"}}, "decoder", "CTC"),
    bad("K03 an unknown post-processor", {"post_processor": {"type": "Zoom"}}, "post_processor", "Zoom"),
    bad(
        "K03 a post-processor with a negative id",
        {"post_processor__processors__1__special_tokens": {"<|begin|>": {"id": "x", "ids": [-1], "tokens": ["x"]}}},
        "ids",
    ),
    bad("K03 a post-processor with an unknown token", {"post_processor__processors__1__special_tokens": {}}, "special_tokens", "<|begin|>"),
    bad("K04 a merge outside the vocabulary", {"model__merges__0": "zzz qqq"}, r"merges\[0\]", "zzz", "vocabulary"),
    bad("K04 a merge with an escape sequence", {"model__merges__0": "\u001b[31m q"}, r"merges\[0\]", r"\\u001b"),
    bad("K04 a merge of 1 MB", {"model__merges__0": "a" * MEGABYTE + " b"}, r"merges\[0\]", "vocabulary"),
    bad("K05 a merge of one token", {"model__merges__0": "a"}, r"merges\[0\]"),
    bad("K05 a merge of three tokens", {"model__merges__0": "a b c"}, r"merges\[0\]"),
    bad("K05 a merge that is a number", {"model__merges__0": 1}, r"merges\[0\]"),
    bad("K05 a merge list of three", {"model__merges__0": ["a", "b", "c"]}, r"merges\[0\]"),
    bad("K05 merges is text", {"model__merges": "a b"}, "merges must be an array"),
    bad("K05 no merges", {"model__merges": ...}, "merges"),
    *[vocabulary(f"K06 a token id of {value!r}", "a", value) for value in (-1, 2**31, 2**64, 1.5, "1", None, True, [], Raw("1e2"))],
    vocabulary("K06 an id twice", "a", 300, "300"),
    vocabulary("K06 a bad id of a token with an escape sequence", "\u001b[31m", -1, r"\\u001b"),
    vocabulary("K06 a bad id of a token of 1 MB", "a" * MEGABYTE, -1),
    bad("K06 the vocabulary is a list", {"model__vocab": []}, "vocab must be an object"),
    record_is("K07 an id over vocab_size", {"model__vocab__zz": 600}, "zz", "invalid_value"),
    Case("K13 fewer tokens than embedding rows", 0),
    bad("K09 a byte token is missing", {"model__vocab__a": ...}, "vocabulary"),
    bad("K10 an added token that is empty", {"added_tokens__4": added("")}, r"added_tokens\[4\]", "empty content"),
    bad("K10 an added token twice", {"added_tokens__4": added("<|end|>")}, r"added_tokens\[4\]", "<|end|>"),
    bad("K10 an added token with another's id", {"added_tokens__4": added("<|x|>", 1)}, r"added_tokens\[4\]", "id 1"),
    bad("K10 an added token with a negative id", {"added_tokens__4": added("<|x|>", -1)}, r"added_tokens\[4\]", "id"),
    bad("K10 an added token with an id of 2^31", {"added_tokens__4": added("<|x|>", 2**31)}, r"added_tokens\[4\]", "id"),
    bad("K10 an added token that is text", {"added_tokens__4": "x"}, r"added_tokens\[4\]"),
    bad("K10 an added token with an escape sequence", {"added_tokens__4": added("\u001b[31m", 7)}, r"added_tokens\[4\]", r"\\u001b"),
    bad("K10 an added token of 1 MB", {"added_tokens__4": added("x" * MEGABYTE, 7)}, r"added_tokens\[4\]"),
    bad("K10 added_tokens an object", {"added_tokens": {}}, "added_tokens must be an array"),
    bad("Unigram: unk_id outside", unigram(unk_id=2), "unk_id"),
    bad("Unigram: a piece twice", unigram(vocab=[["a", 0], ["a", 0]]), r"vocab\[1\]"),
    bad("Unigram: a score that is text", unigram(vocab=[["a", "0"]]), r"vocab\[0\]"),
    bad("Unigram: a score of 1e400", unigram(vocab=[["a", Raw("1e400")]]), "byte"),
    bad("Unigram: no pieces", unigram(vocab=[]), "model"),
    record_is("Unigram: text without a piece", unigram(unk_id=None), "zoë", "internal_error"),
    bad("K08 a regex that does not compile", split("("), "Regex|pattern", "regex"),
    bad("K08 a regex with a back reference", split(r"(a)\1"), "pattern"),
    bad("K08 a pattern of another kind", {"pre_tokenizer__pretokenizers__0__pattern": {"Glob": "*"}}, "pattern"),
    bad("K08 a regex with an escape that it lacks", split(r"\é"), "pattern", 'a backslash before "é"'),
    bad("K08 a regex of 10^9 repetitions", split("(?:(?:a{1000}){1000}){1000}"), "pattern"),
    bad("K08 a regex of 100,000 groups", split("(" * 100_000 + "a" + ")" * 100_000), "pattern"),
    bad("K08 a regex of 100,000 alternatives", split("|".join(f"w{i}" for i in range(100_000))), "pattern", "too large"),
    record_is("K08 a regex with nested quantifiers", split("(a+)+$"), "a" * 500 + "!", "internal_error"),
    record_is("K08 nested quantifiers, and a megabyte", split("(?:a*)*b"), "a" * MEGABYTE, "internal_error"),
    record_is(
        "a normalizer that multiplies the text",
        {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}] * 8}},
        "a" * 100,
        "internal_error",
    ),
    bad(
        "a post-processor that has the text twice",
        {"post_processor__processors__1__single": [{"Sequence": {"id": "A", "type_id": 0}}] * 2},
        r"single\[1\]",
        "second time",
    ),
    bad(
        "a post-processor of 100,000 tokens",
        {"post_processor__processors__1__single": [{"SpecialToken": {"id": "<|begin|>", "type_id": 0}}] * 100_000},
        "single",
        "1024",
    ),
    Case(
        "a decoder that multiplies the text",
        65,
        (),
        edit_json(
            FILE, decoder={"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"Regex": "."}, "content": "a" * 1000}] * 8}
        ),
        after=lambda folder: expect_record(folder, "internal_error"),
    ),
    record_is("K08 a regex that tries every place", split("a*[bc]"), "a" * MEGABYTE, "context_length_exceeded"),
    long_text("K12 1 MB of a", "a" * MEGABYTE),
    long_text("K12 1 MB of ^", "^" * MEGABYTE),
    long_text("K12 1 MB of spaces", " " * MEGABYTE),
    long_text("K12 1 MB of newlines", "\n" * MEGABYTE),
    long_text("K12 1 MB of U+200D", "\u200d" * (MEGABYTE // 3)),
    long_text("K12 1 MB of combining marks", "\u0301" * (MEGABYTE // 2)),
    long_text("K12 1 MB of combining marks, NFC", "\u0301\u0316" * (MEGABYTE // 4), normalizer={"type": "NFC"}),
    long_text("K12 1 MB of combining marks, NFKD", "\u0316\u0301" * (MEGABYTE // 4), normalizer={"type": "NFKD"}),
    long_text("K12 1 MB of U+FDFA, NFKC", "\ufdfa" * (MEGABYTE // 12), normalizer={"type": "NFKC"}),
    long_text("K12 1 MB of emoji with joiners", "\U0001f468\u200d" * (MEGABYTE // 7)),
    long_text("K12 1 MB of U+0000", "\0" * (MEGABYTE // 6)),
    long_text("K12 1 MB of <|", "<|" * (MEGABYTE // 2)),
    long_text("K12 1 MB of special tokens", "<|end|>" * (MEGABYTE // 7)),
    long_text(
        "K12 1 MB in one word",
        "a" * MEGABYTE,
        pre_tokenizer__pretokenizers=[{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}],
    ),
]
