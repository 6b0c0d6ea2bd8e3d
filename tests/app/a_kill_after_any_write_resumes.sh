#!/usr/bin/env bash
# kill -9 after the n-th system call on the job's files, for every n, and in the middle of every write: the same command
# then gives what an uninterrupted run gives, and keeps every record that was whole.
source "$(dirname "$0")/support/setup.sh"
source "$support/faults.sh"
python3 - << 'PY'
from durable import *
from durable_jobs import durable_jobs


def killed(job, fault):
    code = job.run(fault)
    if not job.struck():
        assert code == job.code, f"exit {code}: {job.stderr}"
        return False
    assert code == -signal.SIGKILL
    job.expect_prefix()
    return True


runs = 0
for job in durable_jobs():
    for call, what in (("any", "KILL"), ("write", "KILL"), ("write", "torn")):
        at = 1
        while True:
            fault = {"call": call, "at": at, "do": what}
            job.reset()
            try:
                if not killed(job, fault):
                    break
                job.expect_completion()
            except AssertionError as error:
                explain(job, fault, error)
            runs += 1
            at += 1 if LONG else rng.randrange(1, 16 if call == "any" else 8)
    # Killed again and again, a few records each time (a retry begins with its two errors each time).
    job.reset()
    fault = {"call": "write", "at": 6, "do": "torn"}
    try:
        while killed(job, fault):
            runs += 1
        job.expect_completion()
    except AssertionError as error:
        explain(job, fault, error)
print(runs, "kills")
PY
