#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
samples=$(dirname "$MODEL")
requests 1 12 30 > in
for i in 1 2 3; do
  echo "{\"id\":\"s$i\",\"prompt\":\"abc abc abc\",\"max_tokens\":40,\"ignore_eos\":true,\"temperature\":0.9,\"repetition_penalty\":1.2,\"seed\":$i}"
done >> in
expect 0 run -i in -o plain --ordered
for drafts in "draft --draft-model $MODEL" "draft --draft-model $samples/tiny-llama3" "auto --draft-model $MODEL" ngram auto; do
  # shellcheck disable=SC2086
  expect 0 run -i in -o out --ordered --block-size 16 --report report --speculate $drafts
  cmp out plain || fail "--speculate $drafts"
  rm out
done
expect 0 run -i in -o out --speculate draft --draft-model "$MODEL" --report report
python3 - "$(dirname "$samples")/samples/reports/README.md" << 'PY'
import json, re, sys
plan = json.load(open("report"))["memory"]["plan"]
row = next(r for r in open(sys.argv[1]) if r.startswith("| `memory`"))
assert set(plan["draft"]) <= set(re.findall(r"`([a-z0-9_]+)", row)), plan["draft"]
draft = sum(v for k, v in plan["draft"].items() if k != "kv_block_bytes")
own = sum(v for k, v in plan.items() if k in plan["draft"] and k != "kv_block_bytes")
assert plan["total_bytes"] == own + draft + plan["workspace_bytes"], plan
assert plan["draft"]["kv_bytes"] == plan["kv_bytes"] > 0, plan  # the same shape
PY
# The same job: nothing is left to answer.
expect 0 run -i in -o out --speculate off
[[ $(wc -l < out) == 15 ]]

# The draft model's files are no place for an output.
cp -r "$MODEL" draft
before=$(md5sum draft/*)
expect 64 run -i in -o draft/config.json --overwrite --speculate draft --draft-model draft
[[ $(md5sum draft/*) == "$before" ]] || fail "the draft model has changed"
