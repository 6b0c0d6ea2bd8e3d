#!/usr/bin/env bash
# As SQLite does it: the n-th open, read, write, fsync, rename … fails, once or from then on, for every n until a run
# meets no fault. Each time the exit code is right, the disk holds whole lines, and the same command then completes.
source "$(dirname "$0")/support/setup.sh"
source "$support/faults.sh"
python3 - << 'PY'
import collections
import itertools
from durable import *
from durable_jobs import durable_jobs

CALLS = ["open", "read", "pread", "write", "fsync", "ftruncate", "rename", "close", "any"]
FAILURES = {"open": ["EIO", "EMFILE", "EINTR"], "read": ["EIO", "EINTR", "short"], "pread": ["EIO", "EINTR", "short"],
            "write": ["EIO", "ENOSPC", "EINTR", "short"], "fsync": ["EIO", "ENOSPC", "EINTR"], "rename": ["EIO", "ENOSPC"],
            "ftruncate": ["EIO", "EINTR"], "close": ["EIO", "EINTR"], "any": ["EIO"]}
MANY = ["open", "read", "pread", "write", "any"]
HARMLESS = {("once", "EINTR"), ("once", "short"), ("forever", "short")}


def codes_of_strike(job, call, path, what, mode):
    if (mode, what) in HARMLESS or (call, what) == ("close", "EINTR"):
        return {job.code}
    name = path.removeprefix(str(job.folder) + "/")
    if call == "close":  # the report is closed twice: when it is tried, and when it has been written
        return {74} if name in ("out", "errors") else {74, job.code} if name == "report" else {job.code}
    return {73, 74} if call == "open" and name != "in" and not path.startswith(MODEL) else {74}


def expected_codes(job, what, mode):
    """The run's own code only where none of the strikes can have lost anything."""
    codes = [codes_of_strike(job, call, path, what, mode) for call, path in job.struck()]
    return set().union(*codes) - ({job.code} if any(job.code not in code for code in codes) else set())


def check(job, fault, mode):
    job.reset()
    code = job.run(fault)
    if not job.struck():
        assert code == job.code, f"exit {code} without a fault"
        return False
    wanted = expected_codes(job, fault["do"], mode)
    assert code in wanted, f"exit {code} instead of {wanted}"
    assert job.stderr if code != 0 else True
    job.expect_prefix()
    if code == job.code:
        assert all(sorted(job.lines(path)) == job.wanted[path] for path in job.outputs), f"exit {code}, answers missing"
    job.expect_completion()
    return True


runs = collections.Counter()
for job, call in itertools.product(list(durable_jobs()), CALLS):
    for what, mode in itertools.product(FAILURES[call], ("once", "forever")):
        at, step = 1, 1 if LONG or call not in MANY else rng.randrange(8, 25)
        while True:
            fault = {"call": call, "at": at, "do": what} | ({"forever": 1} if mode == "forever" else {})
            try:
                if not check(job, fault, mode):
                    break
            except AssertionError as error:
                explain(job, fault, error)
            runs[call] += 1
            at += step
assert all(runs[call] for call in CALLS), runs
print(runs)
PY
