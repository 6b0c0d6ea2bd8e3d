#!/usr/bin/env bash
# SIGTERM, SIGINT, SIGUSR1 and SIGHUP while the model is read, the input is read, prompts run, answers come, and the output
# is flushed: exit 75 in time (or the run's own code when all was answered anyway), whole lines, and the rest comes later.
source "$(dirname "$0")/support/setup.sh"
source "$support/faults.sh"
python3 - << 'PY'
import time
from durable import *

PHASES = {"load": ("pread", [1, 3, 20, 60]), "open the output": ("open", [1, 8, 20]), "read": ("read", [1]),
          "answer": ("write", [1, 2, 20]), "flush": ("fsync", [1, 2])}
lines = "".join(line + "\n" for line in requests(1, 60, tokens=300))
job = Job("signals", {"in": lines}, ["--max-batch", "4", "--grace", "0.3"], touched=[MODEL])


def stops(fault, at_once):
    job.reset()
    start = time.monotonic()
    code = job.run(fault)
    seconds = time.monotonic() - start
    strikes = len(job.struck())
    assert strikes, "the signal was never sent"
    assert seconds < 5.3 * SLOW, f"took {seconds} s"
    whole = sorted(job.lines("out")) == job.wanted["out"]
    assert code == 75 or (code == 0 and whole), f"exit {code}"
    assert whole or fault["call"] != "fsync"
    assert not (at_once and whole) or fault["call"] == "fsync", "a second signal let the run end"
    job.expect_prefix()
    assert whole_lines(job.folder / "out")[1] == b"", "a torn line"
    job.expect_completion()


for phase, (call, moments) in PHASES.items():
    for at in moments:
        for sent in ("TERM", "INT", "HUP", "USR1") if LONG else rng.sample(["TERM", "INT", "HUP", "USR1"], 1):
            for forever in ({}, {"forever": 1}):  # for ever: a second signal, and a third
                fault = {"call": call, "at": at, "do": sent, **forever}
                try:
                    stops(fault, at_once=bool(forever) and call in ("pread", "write"))
                except AssertionError as error:
                    explain(job, fault, error)
PY
