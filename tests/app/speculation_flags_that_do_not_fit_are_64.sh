#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 1 > in
for flags in "--speculate draft" "--draft-model $MODEL" "--speculate off --draft-model $MODEL" \
  "--speculate ngram --draft-model $MODEL" "--speculate always" "--drafts 3"; do
  # shellcheck disable=SC2086
  expect 64 run -i in -o out $flags
  grep -q -e '--speculate' stderr || fail "no word of --speculate: $(< stderr)"
  [[ ! -e out ]]
done
expect 0 run -i in -o out --speculate auto

mkdir shape draft
cp "$MODEL"/config.json shape
sed 's/"num_hidden_layers": *[0-9]*/"num_hidden_layers": 1/; s/"vocab_size": *[0-9]*/"vocab_size": 500/' "$MODEL"/config.json > draft/config.json
expect 0 "$PENSTOCK" inspect shape --speculate draft --draft-model draft > plan
for part in 'draft weights' 'draft activations' 'draft graphs' 'draft kv blocks'; do grep -q "  $part" plan || fail "no $part"; done
bench() { "$PENSTOCK" bench shape --input-tokens 16 --output-tokens 40 --requests 20 "$@" > /dev/null; }
expect 0 bench --draft-shape draft --acceptance 0.8
expect 0 bench --draft-shape draft --acceptance 0.8 --drafts 3 --report report
python3 -c 'import json; r = json.load(open("report"))
model = r["speculation"]["model"]
rate = model["accepted"][0] / model["proposed"][0]
assert 0.7 < rate < 0.9, model
assert len(model["proposed"]) == 3, model
assert r["stages"]["draft"]["seconds"] > 0 and r["memory"]["plan"]["draft"]["weight_bytes"] > 0, r'
expect 0 bench --acceptance 0.8
expect 64 bench --speculate off --draft-shape draft
expect 64 bench --draft-shape draft --acceptance 1.5
expect 64 bench --drafts 16
sed 's/"num_attention_heads": *[0-9]*/"num_attention_heads": 3/; s/"num_key_value_heads": *[0-9]*/"num_key_value_heads": 3, "head_dim": 16/' "$MODEL"/config.json > draft/config.json
expect 78 bench --draft-shape draft --tensor-parallel 2
grep -q 'the draft model: --tensor-parallel 2' stderr || fail "$(< stderr)"
