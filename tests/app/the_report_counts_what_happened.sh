#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 30 5 > in
echo '{bad' >> in
expect 65 run -i in -o out --report report
python3 - << 'PY'
import json
r = json.load(open("report"))
assert r["schema_version"] == 2 and r["exit_code"] == 65
assert r["requests"]["answered"] == 30 and r["requests"]["errors"] == 1 and r["requests"]["lines"] == 31
assert r["tokens"]["completion"] == 150 == 5 * 30
for stage in ("load_weights", "read", "tokenize", "prefill", "decode", "detokenize", "write"):
    assert r["stages"][stage]["seconds"] >= 0, stage
assert r["latency_seconds"]["first_token"]["count"] == 30
assert r["kv"]["peak_used_blocks"] > 0 and r["buckets"]
PY
