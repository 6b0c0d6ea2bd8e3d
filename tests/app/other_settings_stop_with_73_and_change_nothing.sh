#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 5 > in
expect 0 run -i in -o out
cp out before
for setting in '--seed 7' '--temperature 0.5' '--top-p 0.5' '--top-k 3' '--max-tokens 9' '--dtype bf16' '--max-context 256' \
  --literal-special-tokens --deterministic; do
  expect 73 run -i in -o out $setting
  grep -q "other settings.*${setting%% *}" stderr || fail "$(< stderr)"
  cmp out before
done
cp -rL "$MODEL" model
sed -i 's/"bos_token_id"/ "bos_token_id"/' model/generation_config.json
expect 73 "$PENSTOCK" run model -i in -o out
grep -q 'another model' stderr
cmp out before
sed -i 's/Hello number 5/Hello number five/' in
requests 6 9 >> in
expect 73 run -i in -o out
grep -q '"r5" for another request' stderr
cmp out before
expect 0 run -i in -o out --overwrite
diff <(ids in | sort) <(ids out | sort)
