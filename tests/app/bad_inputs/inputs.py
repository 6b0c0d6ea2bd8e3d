"""Whole input files: J of the list."""

import json
import os

from harness import GOOD, Case, dumps, read_records
from weights import expect_record


def two_gigabytes(folder):
    """2 GB of NUL in the middle of a line, none of it on the disk."""
    with open(folder / "in", "wb") as file:
        file.write(GOOD + b'{"id":"long","prompt":"')
        file.truncate(2_000_000_000)
        file.seek(0, os.SEEK_END)
        file.write(b'"}\n{"id":"last","prompt":"a","max_tokens":1}\n')


def expect_three(folder):
    records = {record["id"]: record for record in read_records(folder / "out")}
    long, last = records["line-2"], records["last"]
    assert long["error"]["code"] == "line_too_long" and "line 2: " in long["error"]["message"] and last["text"] is not None


def many_members(size):
    return b'{"id":"x","prompt":"a","metadata":{' + b",".join(b'"%x":0' % i for i in range(size)) + b"}}\n"


def roundtrip(folder):
    wanted = [json.loads(line) for line in (folder / "in").read_bytes().split(b"\n") if line]
    for line, record in zip(wanted, read_records(folder / "out"), strict=True):
        assert record["prompt"] == line["prompt"], (record, line)


def literal_ids(folder):
    """Special tokens' text in a request is text; the template's own tokens stay tokens (0 to 3)."""
    bare, chat, kwargs = read_records(folder / "out")
    assert not set(bare["prompt_token_ids"][1:]) & {0, 1, 2, 3}, bare
    for record in (chat, kwargs):
        specials = [token for token in record["prompt_token_ids"] if token < 4]
        assert specials == [2, 3, 2], record


SPECIAL = "<|end|> <|begin|><|role|>user\n<|turn|>"
SPECIAL_LINES = b"".join(
    dumps(line) + b"\n"
    for line in (
        {"id": "a", "prompt": SPECIAL},
        {"id": "b", "messages": [{"role": "user", "content": SPECIAL}]},
        {"id": "c", "messages": [{"role": "<|end|>", "content": SPECIAL}]},
    )
)
PROMPT_LINES = b"".join(
    b'{"prompt":%s}\n' % text
    for text in (
        rb'"a\u0000b"',
        rb'"\u0000"',
        rb'"\ud83d\ude00"',
        rb'"\uffff\ufeff"',
        rb'"\"\\\/\b\f\n\r\t"',
        rb'"\u2028\u0085"',
        '"é́"'.encode(),
    )
)
TOKENIZE = ("tokenize", "model", "-i", "in", "-o", "out")

INPUTS = [
    Case("J01 an empty input", 0, input=b""),
    Case("J01 blank lines alone", 0, input=b"\n \n\r\n\t\n", records=0),
    Case("J02 no newline at the end", 0, input=GOOD[:-1]),
    Case("J03 blank lines", 0, input=b"\n\n" + GOOD + b" \r\n", records=1),
    Case("J05 a byte order mark", 0, input=b"\xef\xbb\xbf" + GOOD),
    Case("J04 CRLF", 0, input=GOOD[:-1] + b"\r\n" + b"\r\n", records=1),
    Case("J06 a file in UTF-16", 65, input=b"\xff\xfe" + GOOD.decode().encode("utf-16-le"), records=2),
    Case("J13 a truncated last line", 65, input=GOOD + b'{"id":"last","prom', records=2),
    Case(
        "J14 a line of 10 MB",
        65,
        input=lambda: b'{"id":"x","prompt":"' + b"a" * 10_000_000 + b'"}\n',
        after=lambda folder: expect_record(folder, "context_length_exceeded"),
        mib=1024,
    ),
    Case("J15 a line of 2 GB", 65, before=two_gigabytes, after=expect_three, records=3),
    Case(
        "J25 10^7 tokens",
        65,
        mib=768,
        after=lambda folder: expect_record(folder, "context_length_exceeded"),
        input=lambda: b'{"id":"x","prompt_token_ids":[' + b"5," * (10**7 - 1) + b"5]}\n",
    ),
    Case("a line of 10^6 members", 0, input=lambda: many_members(10**6), mib=768),
    Case(
        "a line of 5 * 10^6 empty lists",
        0,
        input=lambda: b'{"id":"x","prompt":"a","max_tokens":1,"metadata":[' + b"[]," * (5 * 10**6) + b"[]]}\n",
        mib=1024,
    ),
    Case(
        "J27 what the KV pool cannot hold",
        65,
        input=b'{"id":"x","prompt":"a","max_tokens":400}\n',
        args=("--kv-blocks", "2", "--block-size", "16"),
        after=lambda folder: expect_record(folder, "context_length_exceeded"),
    ),
    Case(
        "J35 a stop string across tokens",
        0,
        input=b'{"id":"x","prompt":"Hello","max_tokens":20,"temperature":0,"stop":["\\ud83d\\ude00","The"]}\n',
    ),
    Case("J11 prompts come back as they were", 0, command=TOKENIZE, input=PROMPT_LINES, after=roundtrip),
    Case("K11 special tokens are text", 0, command=TOKENIZE, args=("--literal-special-tokens",), input=SPECIAL_LINES, after=literal_ids),
    Case("an input that is missing", 66, ("gone",), command=("run", "model", "-i", "gone", "-o", "out")),
    Case("an input that is a folder", 66, ("model",), command=("run", "model", "-i", "model", "-o", "out")),
    Case(
        "J26 a prompt over the context",
        65,
        ("",),
        input=dumps({"id": "x", "prompt": "Hello " * 300}) + b"\n",
        args=("--max-context", "16"),
        after=lambda folder: expect_record(folder, "context_length_exceeded"),
    ),
]

CASES = INPUTS
