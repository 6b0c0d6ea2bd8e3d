#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
mkdir shape
cp "$MODEL"/config.json shape
expect 0 "$PENSTOCK" inspect shape > plan
for part in weights activations workspace graphs 'kv blocks' total 'left over'; do grep -q "  $part" plan || fail "no $part"; done
expect 0 "$PENSTOCK" bench shape --input-tokens 16 --output-tokens 4 --requests 5 --report report
python3 -c 'import json; r = json.load(open("report")); assert r["tokens"]["completion"] == 20, r
assert 0 < r["seconds"]["process_start_to_first_token"] < r["seconds"]["wall"] + 1, r["seconds"]'
expect 64 "$PENSTOCK" bench shape --input-tokens 100000

# Sequences at a time, sampling, and a prefix that the requests share: all but the first find it in the cache.
expect 0 "$PENSTOCK" bench shape --input-tokens 8 --output-tokens 4 --requests 5 --batch 1 --block-size 16 \
  --shared-prefix-tokens 64 --temperature 0.8 --top-p 0.9 --top-k 40 --report report
python3 -c 'import json; r = json.load(open("report"))
assert r["tokens"]["prompt"] == 5 * 72 and r["tokens"]["completion"] == 20, r["tokens"]
assert r["kv"]["prefix_hit_tokens"] == 4 * 64, r["kv"]
assert r["memory"]["plan"]["max_batch"] == 1, r["memory"]'
expect 64 "$PENSTOCK" bench shape --shared-prefix-tokens 100000
expect 64 "$PENSTOCK" bench shape --batch 2 --max-batch 2
