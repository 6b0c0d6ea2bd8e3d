#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 30 20 > in  # some of them are decoded when all have arrived
echo '{bad' >> in
expect 65 run -i in -o out --device cpu --report report --profile ops
grep -q 'decode steps: .* timed' stderr || fail "no times of ops in the summary"
python3 - << 'PY'
import json
r = json.load(open("report"))
assert r["schema_version"] == 3 and r["exit_code"] == 65
assert r["requests"]["answered"] == 30 and r["requests"]["errors"] == 1 and r["requests"]["lines"] == 31
assert r["tokens"]["completion"] == 600 == 20 * 30
for stage in ("load_weights", "read", "tokenize", "prefill", "decode", "detokenize", "write"):
    assert r["stages"][stage]["seconds"] >= 0, stage
assert r["latency_seconds"]["first_token"]["count"] == 30
assert r["kv"]["peak_used_blocks"] > 0 and r["buckets"]

# The device: every second between the first step and the last is busy, idle or without work.
device = r["device"]
assert device["busy_seconds"] > 0 and device["idle_seconds"] >= 0 and device["without_work_seconds"] >= 0
assert device["busy_seconds"] + device["idle_seconds"] <= device["loop_seconds"]
assert 0 <= device["idle_recording_seconds"] <= device["idle_seconds"]
assert abs(device["idle_share"] - device["idle_seconds"] / (device["idle_seconds"] + device["busy_seconds"])) < 1e-9
stages = sum(r["stages"][stage]["seconds"] for stage in ("prefill", "decode", "sample"))
assert abs(stages - device["busy_seconds"]) < 0.01 * device["busy_seconds"], (stages, device)

# Steps and heads, by bucket.
assert sum(step["steps"] for step in r["steps"]) == device["steps"]
assert {step["kind"] for step in r["steps"]} <= {"prefill", "mixed", "decode"}
milliseconds = sum(step["milliseconds"] for step in r["steps"])
assert abs(milliseconds - device["busy_seconds"] * 1e3) < 1e-3
assert r["head_buckets"] and all(0 <= head["padding_share"] < 1 for head in r["head_buckets"])
assert device["graphs"] > 0 and r["graphs"]["capture_seconds"] >= 0 and r["graphs"]["bytes"] == 0

# The work: a projection's FLOPs are twice its weights for each token that was computed.
for name in ("flops_per_second", "memory_bytes_per_second", "cache_bytes_per_second"):
    assert r["roofline"][name] > 1e8, name
tokens, layers, hidden, mlp = r["tokens"], 3, 64, 128
for stage in ("prefill", "decode"):
    assert r["work"][stage]["ops"]["matmul down"]["flops"] == tokens[stage + "_computed"] * layers * 2 * hidden * mlp
assert r["work"]["sample"]["ops"]["matmul logits"]["flops"] == 600 * 2 * hidden * 512
for stage, work in r["work"].items():
    assert work["flops"] == sum(op["flops"] for op in work["ops"].values()), stage
    assert 0 < work["roofline_share"] <= max(work["flops_share"] + work["bytes_share"], 1e-9) * 1.001, (stage, work)
assert 0 < r["work"]["total"]["run_share"] < 1

# The timed steps: each op as often as the decoder calls it.
for kind in r["profile"]:
    assert kind["timed_steps"] > 0 and kind["ops_milliseconds"] <= kind["timed_milliseconds"]
    ops = {op["op"]: op for op in kind["ops"]}
    assert ops["embed"]["calls"] == ops["sample"]["calls"] == 1
    assert ops["paged_attention"]["calls"] == ops["matmul qkv"]["calls"] == layers
    assert abs(sum(op["time_share"] for op in kind["ops"]) - 1) < 1e-9
PY
expect 0 run -i <(requests 1 3) -o plain --device cpu --report report
python3 - << 'PY'
import json
assert "profile" not in json.load(open("report"))
PY
