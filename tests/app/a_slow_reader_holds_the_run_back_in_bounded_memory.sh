#!/usr/bin/env bash
# Standard input to standard output: while nobody reads the answers, reading stops, and memory does not grow. When the
# reader goes on, so does the run; a signal ends it within the grace although nobody reads.
source "$(dirname "$0")/support/setup.sh"
source "$support/faults.sh"
export ASAN_OPTIONS=quarantine_size_mb=4:${ASAN_OPTIONS:-}
python3 - << 'PY'
import threading
import time
from durable import *

written = 0


def produce(pipe):
    global written
    try:
        for i in range(1 << 40):
            pipe.write(b'{"id":"r%d","prompt":"%s","max_tokens":3,"n":2}\n' % (i, b"word " * 60))
            written += 1
    except BrokenPipeError:
        pass


def settled():
    """How many lines have been taken once no more are."""
    before, end = -1, time.monotonic() + 60 * SLOW
    while before != written:
        assert time.monotonic() < end, "reading does not stop"
        before = written
        time.sleep(2)
    return written


def resident():
    for line in open(f"/proc/{run.pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024


run = subprocess.Popen([PENSTOCK, "run", MODEL, "--progress", "none", "--grace", "0.5", "--threads", "1"],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
threading.Thread(target=produce, args=[run.stdin], daemon=True).start()
first = settled()
memory = resident()
assert first < 4000, f"{first} lines taken for no answer read"
assert memory < (150 << 20) * (1 if SLOW == 1 else 8), f"{memory} bytes for {first} lines"

ids = set()
answers = open(run.stdout.fileno(), "rb", buffering=1 << 16, closefd=False)
for _ in range(3 * first):
    ids.add(json.loads(answers.readline())["id"])
assert len(ids) == 3 * first, "a record came twice"
second = settled()
assert second >= 3 * first and resident() < memory * 1.5, (second, resident(), memory)

start = time.monotonic()
run.send_signal(signal.SIGTERM)
code = run.wait(timeout=60)
assert code == 75 and time.monotonic() - start < 5.5 * SLOW, (code, time.monotonic() - start)
PY
