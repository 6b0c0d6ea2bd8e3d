#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
source "$support/faults.sh"
python3 - << 'PY'
import time
from durable import *

job = Job("stopped", {"in": "".join(line + "\n" for line in requests(1, 40, tokens=20))}, touched=[MODEL])
for call, at in (("pread", 10), ("read", 1), ("write", 1), ("write", 20), ("fsync", 1)):
    job.reset()
    process = job.start({"call": call, "at": at, "do": "STOP"})
    assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1]), call
    time.sleep(0.2)
    process.send_signal(signal.SIGCONT)
    job.stderr = process.communicate(timeout=30 * SLOW)[1]
    assert process.returncode == 0, (call, at, job.stderr)
    assert sorted(job.lines("out")) == job.wanted["out"], (call, at)
PY
