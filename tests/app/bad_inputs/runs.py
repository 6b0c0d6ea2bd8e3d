"""Flags, whole inputs, outputs and the environment: F, J, O and E of the list."""

import json
import os
import signal

from harness import GOOD, PENSTOCK, Case, dumps, edit_json, error_of, read_records, write
from weights import expect_record

RUN = ("run", "model", "-i", "in", "-o", "out", "--progress", "none")


def usage(name, *args, says=None):
    """A bad flag: its name is in the message."""
    return Case(f"flag: {name}", 64, (says or args[0],), args=args)


def numbers(flag, *values):
    return [usage(f"{flag} {value}", f"{flag}={value}", says=flag) for value in values]


NO_COUNTS = ("0", "-1", "1.5", "x", "", "1e400", "nan", "inf", "0x", "99999999999999999999", "1 2", "1,5")
FLAGS = [
    usage("an unknown one", "--nonsense"), usage("one letter too few", "--orderd"), usage("without its value", "--max-batch"), usage("a word too many", "surplus", says="surplus"),
    *[row for flag in ("--threads", "--max-batch", "--max-step-tokens", "--max-tokens", "--steps-in-flight", "--tensor-parallel") for row in numbers(flag, *NO_COUNTS)],
    *[row for flag in ("--max-context", "--kv-blocks") for row in numbers(flag, *NO_COUNTS[1:])],
    *numbers("--block-size", "0", "7", "-16", "16.5", "x"), *numbers("--seed", "-1", "18446744073709551616", "1.5", "x", "", "+1", "1e3"),
    *numbers("--temperature", "-0.1", "nan", "inf", "1e400", "x", ""), *numbers("--top-p", "-0.1", "1.5", "nan", "x"), *numbers("--top-k", "-1", "1.5", "x"),
    *numbers("--grace", "-1", "nan", "inf", "x"), *numbers("--gpu-memory-fraction", "0", "1.1", "nan"), *numbers("--shard", "2/2", "1", "-1/2", "0/0", "a/b", "1/2/3", "0/2x", "", "99999999999999999999/2"),
    *numbers("--dtype", "f64", "", "F32"), *numbers("--device", "tpu", ""), *numbers("--progress", "yes"), *numbers("--prefix-cache", "maybe"), *numbers("--graphs", "1"),
    usage("a context over the model's", "--max-context=513", says="--max-context.*512"), usage("E15 0 ranks", "--tensor-parallel=0", says="--tensor-parallel"), usage("E15 -1 ranks", "--tensor-parallel=-1", says="--tensor-parallel"),
    Case("flag: no command", 64, (), command=()), Case("flag: an unknown command", 64, ("subcommand",), command=("fly", "model")), Case("flag: no model", 64, ("MODEL",), command=("run",)),
    Case("flag: a template that is missing", 66, ("--chat-template", "gone"), args=("--chat-template", "gone")), Case("flag: a template that is a folder", 66, ("--chat-template",), args=("--chat-template", "model")),
    Case("flag: a config file that is missing", 64, ("gone",), args=("--config", "gone")),
    *[Case(f"flag: a config file with {text!r}", 64, (), before=lambda folder, text=text: (folder / "flags").write_bytes(text), args=("--config", "flags"))
      for text in (b"nonsense = 1\n", b"max-batch = 0\n", b"max-batch = x\n", b"[fly]\nmax-batch = 1\n")],
]

MODELS = [
    Case("a model that is missing", 66, ("gone",), command=("run", "gone", "-i", "in", "-o", "out")), Case("a model that is a file", 66, ("in",), command=("run", "in", "-i", "in", "-o", "out")),
    Case("an empty model folder", 66, ("config.json",), before=lambda folder: (folder / "empty").mkdir(), command=("run", "empty", "-i", "in", "-o", "out")),
    Case("a model of an empty name", 66, (), command=("run", "", "-i", "in", "-o", "out")),
]


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
SPECIAL_LINES = b"".join(dumps(line) + b"\n" for line in (
    {"id": "a", "prompt": SPECIAL}, {"id": "b", "messages": [{"role": "user", "content": SPECIAL}]}, {"id": "c", "messages": [{"role": "<|end|>", "content": SPECIAL}]}))
PROMPT_LINES = b"".join(b'{"prompt":%s}\n' % text for text in (rb'"a\u0000b"', rb'"\u0000"', rb'"\ud83d\ude00"', rb'"\uffff\ufeff"', rb'"\"\\\/\b\f\n\r\t"', rb'"\u2028\u0085"', '"é́"'.encode()))
TOKENIZE = ("tokenize", "model", "-i", "in", "-o", "out")

INPUTS = [
    Case("J01 an empty input", 0, input=b""), Case("J01 blank lines alone", 0, input=b"\n \n\r\n\t\n", records=0), Case("J02 no newline at the end", 0, input=GOOD[:-1]),
    Case("J03 blank lines", 0, input=b"\n\n" + GOOD + b" \r\n", records=1), Case("J05 a byte order mark", 0, input=b"\xef\xbb\xbf" + GOOD), Case("J04 CRLF", 0, input=GOOD[:-1] + b"\r\n" + b"\r\n", records=1),
    Case("J06 a file in UTF-16", 65, input=b"\xff\xfe" + GOOD.decode().encode("utf-16-le"), records=2), Case("J13 a truncated last line", 65, input=GOOD + b'{"id":"last","prom', records=2),
    Case("J14 a line of 10 MB", 65, input=lambda: b'{"id":"x","prompt":"' + b"a" * 10_000_000 + b'"}\n', after=lambda folder: expect_record(folder, "context_length_exceeded"), mib=1024),
    Case("J15 a line of 2 GB", 65, before=two_gigabytes, after=expect_three, records=3), Case("J25 10^7 tokens", 65, mib=768, after=lambda folder: expect_record(folder, "context_length_exceeded"),
         input=lambda: b'{"id":"x","prompt_token_ids":[' + b"5," * (10**7 - 1) + b"5]}\n"),
    Case("a line of 10^6 members", 0, input=lambda: many_members(10**6), mib=768), Case("a line of 5 * 10^6 empty lists", 0, input=lambda: b'{"id":"x","prompt":"a","max_tokens":1,"metadata":[' + b"[]," * (5 * 10**6) + b"[]]}\n", mib=1024),
    Case("J27 what the KV pool cannot hold", 65, input=b'{"id":"x","prompt":"a","max_tokens":400}\n', args=("--kv-blocks", "2", "--block-size", "16"), after=lambda folder: expect_record(folder, "context_length_exceeded")),
    Case("J35 a stop string across tokens", 0, input=b'{"id":"x","prompt":"Hello","max_tokens":20,"temperature":0,"stop":["\\ud83d\\ude00","The"]}\n'),
    Case("J11 prompts come back as they were", 0, command=TOKENIZE, input=PROMPT_LINES, after=roundtrip), Case("K11 special tokens are text", 0, command=TOKENIZE, args=("--literal-special-tokens",), input=SPECIAL_LINES, after=literal_ids),
    Case("an input that is missing", 66, ("gone",), command=("run", "model", "-i", "gone", "-o", "out")), Case("an input that is a folder", 66, ("model",), command=("run", "model", "-i", "model", "-o", "out")),
    Case("J26 a prompt over the context", 65, ("",), input=dumps({"id": "x", "prompt": "Hello " * 300}) + b"\n", args=("--max-context", "16"), after=lambda folder: expect_record(folder, "context_length_exceeded")),
]


def unchanged(content, file="out"):
    def check(folder):
        assert (folder / file).read_bytes() == content, (folder / file).read_bytes()[:200]

    return check


def out_is(content):
    return lambda folder: (folder / "out").write_bytes(content)


def earlier_run(*args, then=lambda folder: None):
    """`out` holds an answer from before."""

    def before(folder):
        os.spawnl(os.P_WAIT, "/bin/sh", "sh", "-c", f'cd "{folder}" && exec "{PENSTOCK}" {" ".join((*RUN, *args))} 2> /dev/null')
        then(folder)

    return before


def add_to(file, content):
    def change(folder):
        with open(folder / file, "ab") as target:
            target.write(content)

    return change


def to(out, *more):
    return ("run", "model", "-i", "in", "-o", out, "--progress", "none", *more)


def closed_folder(folder):
    """Root may write anywhere: the process is nobody, who may read all but write nothing."""
    for place in (folder.parent, folder):
        place.chmod(0o755)
    (folder / "model").chmod(0o755)
    (folder / "closed").mkdir(0o555)


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
OUTPUTS = [
    Case("O01 the output is the input", 64, ("same file",), command=to("in"), after=unchanged(GOOD, "in")),
    Case("O01 by a symbolic link", 64, ("same file",), before=lambda folder: (folder / "out").symlink_to("in"), after=unchanged(GOOD, "in")),
    Case("O01 by a hard link", 64, ("same file",), before=lambda folder: (folder / "out").hardlink_to(folder / "in"), after=unchanged(GOOD, "in")),
    Case("O02 it exists, from the same command", 0, before=earlier_run()), Case("O03 a read-only folder", 73, ("closed/out", "Permission denied"), wrap=NOBODY, before=closed_folder, command=to("closed/out")),
    Case("O04 no such folder", 73, ("gone/out",), command=to("gone/out")), Case("O05 it is a folder", 73, ("model",), command=to("model")), Case("O06 /dev/full", 74, ("/dev/full", "No space left"), command=to("/dev/full")),
    Case("O13 RLIMIT_FSIZE", 74, ("out", "File too large"), wrap=("prlimit", "--fsize=400"), input=GOOD[:-1].replace(b"good", b"x" * 400) + b"\n"), Case("O15 standard output is closed", 73, ("standard output|-",), wrap=("sh", "-c", 'exec "$@" >&-', "sh"), command=to("-")),
    Case("O18 a torn last line", 0, before=earlier_run(then=add_to("out", b'{"id":"go')), records=1), Case("O19 it is not JSON", 73, ("out", "line 1"), before=out_is(b"my notes\n"), after=unchanged(b"my notes\n")),
    Case("O19 it is binary", 73, ("out",), before=out_is(bytes(range(256)) * 8), after=unchanged(bytes(range(256)) * 8)), Case("O19 it is another's JSON", 73, ("out", "line 1"), before=out_is(b'{"a":1}\n'), after=unchanged(b'{"a":1}\n')),
    Case("O19 a record without request_id", 73, ("out",), before=out_is(b'{"id":"good","text":"a"}\n')), Case("O19 a request_id of another form", 73, ("out",), before=out_is(b'{"id":"good","text":"a","request_id":"x"}\n')),
    Case("O19 100,000 arrays", 73, ("out", "line 1"), before=out_is(b"[" * 100_000 + b"\n")), Case("O19 one line of 300 MB", 73, ("out",), before=lambda folder: ((folder / "out").write_bytes(b"{"), os.truncate(folder / "out", 300_000_000), add_to("out", b"\n")(folder)), mib=768),
    Case("O20 other parameters", 73, ("good",), before=earlier_run(), args=("--seed", "7")), Case("J41 an id with another prompt", 73, ("good",), before=earlier_run(then=lambda folder: (folder / "in").write_bytes(GOOD.replace(b"Hello", b"Other")))),
    Case("an id that the input lacks", 73, ("good",), before=earlier_run(then=lambda folder: (folder / "in").write_bytes(GOOD.replace(b"good", b"fine")))),
    Case("O22 the report is the output", 64, ("report",), args=("--report", "out")), Case("the report is the input", 64, ("report",), args=("--report", "in"), after=unchanged(GOOD, "in")), Case("the errors are the output", 64, ("errors",), args=("--errors", "out")),
    Case("the errors are the input", 64, ("errors",), args=("--errors", "in"), after=unchanged(GOOD, "in")), *[Case(f"O23 {count} files may be open", 74, ("Too many open files",), wrap=("prlimit", f"--nofile={count}")) for count in (7, 8)], Case("O04 the report's folder is missing", 73, ("gone",), args=("--report", "gone/report")),
]

RANKS = (r"--tensor-parallel|tensor.parallel", r"\b1, 2\b|1 or 2|1 and 2")
ENVIRONMENT = [
    Case("E01 no GPU", 69, (), args=("--device", "cuda")), *[Case(f"E12 CUDA_VISIBLE_DEVICES {value!r}", 0, env={"CUDA_VISIBLE_DEVICES": value}, args=("--device", "cpu")) for value in ("", "99", "0,0", "x", "GPU-1234")],
    Case("E15 3 ranks of 4 heads", 78, RANKS, args=("--tensor-parallel", "3")), Case("E16 more ranks than divide the heads", 78, RANKS, args=("--tensor-parallel", "64")),
    Case("E17 the MLP does not divide", 78, ("intermediate_size|tensor-parallel",), edit_json("config.json", intermediate_size=127), args=("--tensor-parallel", "2")),
    Case("E22 ulimit -v", 69, ("memory",), wrap=("prlimit", "--as=200000000"), args=("--threads", "1", "--kv-blocks", "1000000")), Case("E22 ulimit -l 0", 0, wrap=("prlimit", "--memlock=0")),
    Case("C15 a context of 2^30", 0, model=edit_json("config.json", max_position_embeddings=1 << 30), args=("--max-context", "512")), Case("C15 a context that no memory holds", 69, ("max-context|memory",), edit_json("config.json", max_position_embeddings=1 << 30)),
    Case("--kv-blocks that no memory holds", 69, ("memory|kv-blocks",), args=("--kv-blocks", "1000000000")),
    Case("E30 a decimal comma", 0, env={"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}, input=b'{"id":"x","prompt":"a","max_tokens":2,"temperature":0.5,"logprobs":1}\n'), Case("E31 no HOME", 0, wrap=("env", "-u", "HOME")),
    Case("E31 no environment", 0, wrap=("env", "-i")), Case("E32 standard input is a terminal", 0, wrap=()), Case("E33 resumed on other ranks", 0, before=earlier_run(then=add_to("in", GOOD.replace(b"good", b"more"))), args=("--tensor-parallel", "2"), records=2),
    Case("OMP_NUM_THREADS is nonsense", 0, env={"OMP_NUM_THREADS": "-1"}), Case("PENSTOCK_CPU is nonsense", 64, ("PENSTOCK_CPU",), env={"PENSTOCK_CPU": "z80"}), Case("E27 stopped and continued", 0, wrap=("bash", "-c", '"$@" & p=$!; kill -STOP $p; sleep 0.2; kill -CONT $p; wait $p', "bash")), Case("E31 a read-only home", 0, env={"HOME": "/proc"}),
]

CASES = FLAGS + MODELS + INPUTS + OUTPUTS + ENVIRONMENT
