#!/usr/bin/env bash
# One, two and three replicas give the same records, as do kills and resumption with other numbers of them.
source "$(dirname "$0")/support/setup.sh"
python3 - > in << 'PY'
import json
shared = "You are a helpful assistant who answers in few words and always tells the truth. "
for i in range(1, 91):
    prompt = (shared if i % 3 else "") + f"Hello number {i}"
    common = {"max_tokens": 3 + i % 23, "ignore_eos": True}
    if i % 10 == 5:
        print(json.dumps({"id": f"r{i}", "prompt": prompt, "n": 3, "temperature": 1.2, **common}))
    elif i % 10 == 7:
        print(json.dumps({"id": f"r{i}", "context": shared + str(i), "continuation": [" Yes", " No, never", " 7"]}))
    elif i % 30 == 8:
        print(json.dumps({"id": f"r{i}", "prompt": prompt, "n": 0}))
    else:
        print(json.dumps({"id": f"r{i}", "prompt": prompt, "temperature": 0.8 * (i % 2), "logprobs": i % 2, **common}))
PY
same() {
  python3 - "$@" << 'PY'
import json, sys
def near(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-4
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(near, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(near(a[k], b[k]) for k in a)
    return a == b
files = [[json.loads(line) for line in open(name)] for name in sys.argv[1:3]]
if "--ordered" not in sys.argv:
    files = [sorted(records, key=lambda record: record["id"]) for records in files]
assert len(files[0]) == 90 and near(*files), sys.argv
PY
}
settings=(--device cpu --max-batch 4 --threads 3 --block-size 16 --kv-blocks 60)
expect 65 run -i in -o one "${settings[@]}" --ordered
for replicas in 2 3; do
  expect 65 run -i in -o out$replicas "${settings[@]}" --replicas $replicas --report report
  same one out$replicas
  expect 65 run -i in -o ordered$replicas "${settings[@]}" --replicas $replicas --ordered
  same one ordered$replicas --ordered
  python3 - $replicas << 'PY'
import json, sys
r, n = json.load(open("report")), int(sys.argv[1])
each = r["replicas"]
assert r["device"]["replicas"] == len(each) == n and [one["replica"] for one in each] == list(range(n))
assert all(one["steps"] > 0 and one["decode_tokens"] > 0 for one in each), each
for name in ("prefill", "decode"):
    assert r["tokens"][name + "_computed"] == sum(one[name + "_tokens"] for one in each)
assert r["device"]["steps"] == sum(one["steps"] for one in each) == sum(step["steps"] for step in r["steps"])
assert r["kv"]["blocks"] == 60 * n == sum(one["blocks"] for one in each)
for name in ("prompt_tokens", "prefix_hit_tokens", "preemptions", "peak_used_blocks"):
    assert r["kv"][name] == sum(one[name] for one in each), name
assert abs(r["device"]["busy_seconds"] - sum(one["busy_seconds"] for one in each)) < 1e-6
PY
done
expect 65 run -i in -o both "${settings[@]}" --replicas 2 --tensor-parallel 2
[[ $(wc -l < both) == 90 ]]

# Killed, stopped and resumed, each time with another number.
for attempt in 1 2 3; do
  rm -f out
  for replicas in 3 2 1 3; do
    start -i in -o out "${settings[@]}" --replicas $replicas --grace 0.05
    sleep "0.$((RANDOM % 3))$((RANDOM % 10))"
    kill -$([[ $replicas == 2 ]] && echo TERM || echo KILL) $pid 2> /dev/null || true
    wait $pid || true
  done
  expect 65 run -i in -o out "${settings[@]}" --replicas 2
  same one out
done

expect 64 run -i in -o none --device cpu --devices 0
grep -q -e --devices stderr
expect 64 run -i in -o none --device cpu --replicas 0
[[ ! -e none ]]
