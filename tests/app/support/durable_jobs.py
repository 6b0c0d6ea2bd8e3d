"""The jobs that the fault tests break off: a fresh one, a resumed one, a retry of errors, one in order."""

import json

from durable import MODEL, Job, requests


def finished_part(lines, answered, torn, **more):
    """An output that answers the first `answered` of the lines and breaks off in the next one."""
    job = Job("finished_part", {"in": "".join(lines)}, ["--ordered", *more.get("arguments", [])], code=more.get("code", 0))
    job.run()
    records = [line + b"\n" for line in job.lines("out")]
    return b"".join(records[:answered]) + records[answered][:torn]


def durable_jobs():
    lines = [line + "\n" for line in requests(1, 24)]
    bad = [json.dumps({"id": f"e{i}", "prompt": "x", "n": 0}) + "\n" for i in (1, 2)]
    mixed = lines[:4] + bad[:1] + lines[4:12] + bad[1:]
    half = finished_part(mixed, 8, 30, code=65)
    yield Job("fresh", {"in": "".join(lines)}, ["--report", "report"], touched=[MODEL])
    yield Job("ordered", {"in": "".join(lines)}, ["--ordered"])
    yield Job("resumed", {"in": "".join(mixed), "out": half}, code=65)
    yield Job("retried", {"in": "".join(mixed), "out": half}, ["--retry-errors"], code=65)
    yield Job("two_outputs", {"in": "".join(mixed)}, ["--errors", "errors"], code=65)
