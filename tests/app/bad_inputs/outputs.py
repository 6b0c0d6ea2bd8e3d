"""Outputs and the environment: O and E of the list."""

import os
import subprocess

from harness import GOOD, PENSTOCK, RUN, SANITIZED, Case, edit_json


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


def german_locale(folder):
    """Numbers with a decimal comma, for a program that asks for the user's locale."""
    (folder / "locales").mkdir()
    subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", folder / "locales/de_DE.UTF-8"], check=True)
    argv = ["python3", "-c", "import locale; locale.setlocale(locale.LC_ALL, ''); print(locale.localeconv()['decimal_point'])"]
    env = {**os.environ, "LC_ALL": "de_DE.UTF-8", "LOCPATH": "locales"}
    assert subprocess.check_output(argv, cwd=folder, env=env) == b",\n"


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
OUTPUTS = [
    Case("O01 the output is the input", 64, ("same file",), command=to("in"), after=unchanged(GOOD, "in")),
    Case(
        "O01 by a symbolic link", 64, ("same file",), before=lambda folder: (folder / "out").symlink_to("in"), after=unchanged(GOOD, "in")
    ),
    Case(
        "O01 by a hard link",
        64,
        ("same file",),
        before=lambda folder: (folder / "out").hardlink_to(folder / "in"),
        after=unchanged(GOOD, "in"),
    ),
    Case("O02 it exists, from the same command", 0, before=earlier_run()),
    Case("O03 a read-only folder", 73, ("closed/out", "Permission denied"), wrap=NOBODY, before=closed_folder, command=to("closed/out")),
    Case("O04 no such folder", 73, ("gone/out",), command=to("gone/out")),
    Case("O05 it is a folder", 73, ("model",), command=to("model")),
    Case("O06 /dev/full", 74, ("/dev/full", "No space left"), command=to("/dev/full")),
    Case(
        "O13 RLIMIT_FSIZE",
        74,
        ("out", "File too large"),
        wrap=("prlimit", "--fsize=400"),
        input=GOOD[:-1].replace(b"good", b"x" * 400) + b"\n",
    ),
    Case("O15 standard output is closed", 73, ("standard output|-",), wrap=("sh", "-c", 'exec "$@" >&-', "sh"), command=to("-")),
    Case("O18 a torn last line", 0, before=earlier_run(then=add_to("out", b'{"id":"go')), records=1),
    Case("O19 it is not JSON", 73, ("out", "line 1"), before=out_is(b"my notes\n"), after=unchanged(b"my notes\n")),
    Case("O19 it is binary", 73, ("out",), before=out_is(bytes(range(256)) * 8), after=unchanged(bytes(range(256)) * 8)),
    Case("O19 it is another's JSON", 73, ("out", "line 1"), before=out_is(b'{"a":1}\n'), after=unchanged(b'{"a":1}\n')),
    Case("O19 a record without request_id", 73, ("out",), before=out_is(b'{"id":"good","text":"a"}\n')),
    Case("O19 a request_id of another form", 73, ("out",), before=out_is(b'{"id":"good","text":"a","request_id":"x"}\n')),
    Case("O19 100,000 arrays", 73, ("out", "line 1"), before=out_is(b"[" * 100_000 + b"\n")),
    Case(
        "O19 one line of 300 MB",
        73,
        ("out",),
        before=lambda folder: ((folder / "out").write_bytes(b"{"), os.truncate(folder / "out", 300_000_000), add_to("out", b"\n")(folder)),
        mib=768,
    ),
    Case("O20 other parameters", 73, ("good",), before=earlier_run(), args=("--seed", "7")),
    Case(
        "J41 an id with another prompt",
        73,
        ("good",),
        before=earlier_run(then=lambda folder: (folder / "in").write_bytes(GOOD.replace(b"Hello", b"Other"))),
    ),
    Case(
        "an id that the input lacks",
        73,
        ("good",),
        before=earlier_run(then=lambda folder: (folder / "in").write_bytes(GOOD.replace(b"good", b"fine"))),
    ),
    Case("O22 the report is the output", 64, ("report",), args=("--report", "out")),
    Case("the report is the input", 64, ("report",), args=("--report", "in"), after=unchanged(GOOD, "in")),
    Case("the errors are the output", 64, ("errors",), args=("--errors", "out")),
    Case("the errors are the input", 64, ("errors",), args=("--errors", "in"), after=unchanged(GOOD, "in")),
    # UBSan opens files of its own to look at an object, and must be able to.
    *[Case(f"O23 {count} files may be open", 74, ("Too many open files",), wrap=("prlimit", f"--nofile={count}"))
      for count in (7, 8) if not SANITIZED],
    Case("O23 64 files may be open", 0, wrap=("prlimit", "--nofile=64")),
    Case("O04 the report's folder is missing", 73, ("gone",), args=("--report", "gone/report")),
]

RANKS = (r"--tensor-parallel|tensor.parallel", r"\b1, 2\b|1 or 2|1 and 2")
ENVIRONMENT = [
    Case("E01 no GPU", 69, ("GPU|CUDA|cuda",), args=("--device", "cuda"), env={"CUDA_VISIBLE_DEVICES": ""}),
    *[
        Case(f"E12 CUDA_VISIBLE_DEVICES {value!r}", 0, env={"CUDA_VISIBLE_DEVICES": value}, args=("--device", "cpu"))
        for value in ("", "99", "0,0", "x", "GPU-1234")
    ],
    Case("E15 3 ranks of 4 heads", 78, RANKS, args=("--tensor-parallel", "3")),
    Case("E16 more ranks than divide the heads", 78, RANKS, args=("--tensor-parallel", "64")),
    Case(
        "E17 the MLP does not divide",
        78,
        ("intermediate_size|tensor-parallel",),
        edit_json("config.json", intermediate_size=127),
        args=("--tensor-parallel", "2"),
    ),
    Case("E22 ulimit -v", 69, ("memory",), wrap=("prlimit", "--as=200000000"), args=("--threads", "1", "--kv-blocks", "1000000")),
    Case("E22 ulimit -l 0", 0, wrap=("prlimit", "--memlock=0")),
    Case("C15 a context of 2^30", 0, model=edit_json("config.json", max_position_embeddings=1 << 30), args=("--max-context", "512")),
    Case("C15 a context that no memory holds", 69, ("max-context|memory",), edit_json("config.json", max_position_embeddings=1 << 30)),
    Case("--kv-blocks that no memory holds", 69, ("memory|kv-blocks",), args=("--kv-blocks", "1000000000")),
    Case(
        "E30 a decimal comma",
        0,
        env={"LC_ALL": "de_DE.UTF-8", "LOCPATH": "locales"},
        before=german_locale,
        input=b'{"id":"x","prompt":"a","max_tokens":2,"temperature":0.5,"logprobs":1}\n',
    ),
    Case("E31 no HOME", 0, wrap=("env", "-u", "HOME")),
    Case("E31 no environment", 0, wrap=("env", "-i")),
    Case("E32 standard input is a terminal", 0, wrap=("bash", "-c", 'script -qec "$(printf "%q " "$@")" /dev/null', "bash")),
    Case(
        "E33 resumed on other ranks",
        0,
        before=earlier_run(then=add_to("in", GOOD.replace(b"good", b"more"))),
        args=("--tensor-parallel", "2"),
        records=2,
    ),
    Case("OMP_NUM_THREADS is nonsense", 0, env={"OMP_NUM_THREADS": "-1"}),
    Case("PENSTOCK_CPU is nonsense", 64, ("PENSTOCK_CPU",), env={"PENSTOCK_CPU": "z80"}),
    Case("E27 stopped and continued", 0, wrap=("bash", "-c", '"$@" & p=$!; kill -STOP $p; sleep 0.2; kill -CONT $p; wait $p', "bash")),
    Case("E31 a read-only home", 0, env={"HOME": "/proc"}),
]

CASES = OUTPUTS + ENVIRONMENT
