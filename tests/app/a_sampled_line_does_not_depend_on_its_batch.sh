#!/usr/bin/env bash
# The same line draws the same tokens alone and amid others, whatever n, the batch and the pool: choice k is choice k.
source "$(dirname "$0")/support/setup.sh"
line() {  # N
  echo '{"id":"seeded","prompt":"Once upon","temperature":1.5,"top_p":0.9,"seed":7,"max_tokens":40,"ignore_eos":true,"n":'$1'}'
  echo '{"id":"unseeded","prompt":"A penstock","temperature":0.8,"top_k":50,"repetition_penalty":1.2,"presence_penalty":0.5,'\
'"logit_bias":{"70":2},"min_tokens":9,"max_tokens":40,"n":'$1'}'
}
for n in 1 2 3 4; do
  line $n > in
  expect 0 run -i in -o alone$n
  { requests 1 25 30; line $n; requests 26 40 30; } | sed 's/"ignore_eos":true}/"ignore_eos":true,"frequency_penalty":0.5}/' > in
  expect 0 run -i in -o amid$n
  expect 0 run -i in -o small$n --block-size 16 --kv-blocks 20 --max-batch 12 --max-step-tokens 40 --steps-in-flight 3
done
python3 - << 'PY'
import json
def draws(path):
    found = {}
    for record in map(json.loads, open(path)):
        if record["id"].endswith("seeded"):
            found[record["id"]] = [choice["token_ids"] for choice in record.get("choices", [record])]
    return found
want = draws("amid4")
for id, choices in want.items():
    assert len({tuple(ids) for ids in choices}) == 4, f"{id}: choices are alike"
for n in range(1, 5):
    for path in (f"alone{n}", f"amid{n}", f"small{n}"):
        got = draws(path)
        for id, choices in want.items():
            assert got[id] == choices[:n], (path, id, got[id], choices[:n])
PY
