#!/usr/bin/env bash
# scripts/make_random_model: small shapes like those of samples/shapes: tied, biased, with QK norm, in one file and in shards.
scripts=$(realpath "$(dirname "$0")/../../scripts")
source "$(dirname "$0")/support/setup.sh"

# shape NAME CHANGES: a shape of samples/shapes, made small.
shape() {
  mkdir -p "$1"
  python3 - "$scripts/../samples/shapes/$1/config.json" "$1/config.json" <<'PY'
import json, sys
config = json.load(open(sys.argv[1]))
config.update(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
              vocab_size=1500)
if "head_dim" in config:
    config["head_dim"] = 16
config["bos_token_id"], config["eos_token_id"] = 1490, 1491
json.dump(config, open(sys.argv[2], "w"))
PY
}

requests 1 3 8 > in
echo '{"id":"chat","messages":[{"role":"user","content":"naïve ☃ and\nmore"}],"max_tokens":8,"ignore_eos":true}' >> in
for name in llama-3.1-8b llama-3.2-1b qwen3-8b qwen2.5-32b llama-3-70b; do
  shape $name
  "$scripts/make_random_model" "$name" "made-$name" --shard-gb 0.0002 --processes 2 > /dev/null
  [ "$(find "made-$name" -name '*.safetensors' | wc -l)" -ge 2 ] || fail "$name is in one shard"
  expect 0 "$PENSTOCK" run "made-$name" --device cpu -i in -o "$name.out" --progress none
  [ "$(grep -c '"completion_tokens":8' "$name.out")" = 4 ] || fail "$name: $(cat "$name.out")"
done

# Every id has a text, and the tokenizer gives back what it was given.
"$scripts/make_random_model" llama-3.1-8b one-file > /dev/null
[ -f one-file/model.safetensors ] || fail "a small model is one file"
python3 - > ids <<'PY'
import json
for first in range(0, 1500, 100):
    print(json.dumps({"id": str(first), "prompt_token_ids": list(range(first, first + 100)), "max_tokens": 0, "echo": True}))
PY
expect 0 "$PENSTOCK" run one-file --device cpu -i ids -o echoed --progress none
python3 - <<'PY'
import json
texts = {json.loads(line)["id"]: json.loads(line)["text"] for line in open("echoed", encoding="utf-8")}
assert len(texts) == 15 and all(len(text) >= 20 for text in texts.values()), texts
PY
expect 0 "$PENSTOCK" tokenize one-file -i in > tokens
grep -q 'naïve ☃ and' tokens
code=0
"$scripts/make_random_model" llama-3.1-8b one-file 2> stderr || code=$?
[ $code != 0 ] && grep -q 'not empty' stderr || fail "a folder that is in use was overwritten"
