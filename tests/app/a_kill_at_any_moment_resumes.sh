#!/usr/bin/env bash
# kill -9 at random moments of a run, from its first instruction to its end; then the same command completes.
source "$(dirname "$0")/support/setup.sh"
source "$support/faults.sh"
python3 - << 'PY'
import time
from durable import *

lines = "".join(line + "\n" for line in requests(1, 200, tokens=30)) + '{"id":"e","prompt":"x","n":0}\n'
caught = 0
for arguments in (["--max-batch", "8"], ["--ordered", "--max-batch", "8"], ["--errors", "errors", "--max-batch", "4"]):
    job = Job("-".join(arguments).replace("-", ""), {"in": lines}, arguments, code=65)
    start = time.monotonic()
    job.run()
    length = time.monotonic() - start
    for attempt in range(67 if LONG else 10):
        job.reset()
        kept = {}
        for kills in range(rng.randrange(1, 4)):  # the resumed run may be killed as well
            moment = rng.uniform(0, length)
            process = job.start()
            time.sleep(moment)
            process.kill()
            job.stderr = process.communicate()[1]
            caught += process.returncode == -signal.SIGKILL
            try:
                job.expect_prefix(kept)
            except AssertionError as error:
                explain(job, f"kill -9 after {moment} s", error)
            kept = {path: job.lines(path) for path in job.outputs}
        try:
            job.expect_completion()
        except AssertionError as error:
            explain(job, f"kill -9 after {moment} s", error)
print(caught, "kills")
assert caught >= 10
PY
