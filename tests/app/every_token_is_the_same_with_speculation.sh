#!/usr/bin/env bash
# A thousand prompts of 128 tokens with every parameter: drafts, right and wrong ones, change no token.
source "$(dirname "$0")/support/setup.sh"
samples=$(dirname "$MODEL")
jobs() {
  python3 - "$1" << 'PY'
import json, random, sys
random.seed(8)
words = "the valve opens slowly and water runs down to a turbine while nobody counts it".split()
kinds = [{}, {"temperature": 0.8, "top_p": 0.9}, {"temperature": 1.2, "top_k": 12},
         {"temperature": 0.7, "min_p": 0.05, "repetition_penalty": 1.3},
         {"frequency_penalty": 0.4, "presence_penalty": 0.3}, {"temperature": 1, "logit_bias": {"30": 4, "31": -100}},
         {"temperature": 0.9, "ignore_eos": False, "min_tokens": 30}, {"temperature": 0.9, "n": 3, "max_tokens": 40},
         {"logprobs": 2}, {"stop": ["e", "a b"], "temperature": 0.5}]
for i in range(int(sys.argv[1])):
    words_of_prompt = random.choices(words, k=random.randint(1, 20)) * random.randint(1, 2)
    print(json.dumps({"id": f"p{i}", "prompt": " ".join(words_of_prompt), "max_tokens": 128, "ignore_eos": True,
                      "temperature": 0, "seed": i} | kinds[i % len(kinds)]))
PY
}
# same NAME ACCEPTED FLAGS…: the tokens of `plain`, with drafts rejected and at least so many accepted
same() {
  local name=$1 accepted=$2; shift 2
  expect 0 run -i in -o out --ordered --report report "$@"
  python3 - "$name" "$accepted" << 'PY'
import json, sys
def answers(path):
    for line in open(path):
        record = json.loads(line)
        choices = record.get("choices", [record])
        yield record["id"], [(c["token_ids"], c["text"], c["finish_reason"]) for c in choices]
different = [a[0] for a, b in zip(answers("plain"), answers("out"), strict=True) if a != b]
assert not different, f"{sys.argv[1]}: {len(different)} records differ, the first {different[0]}"
drafts = json.load(open("report"))["speculation"]
accepted, proposed = (sum(sum(drafts.get(who, {}).get(what, [])) for who in ("ngram", "model"))
                      for what in ("accepted", "proposed"))
assert int(sys.argv[2]) <= accepted < proposed, (sys.argv[1], accepted, proposed)
PY
  rm out
}
jobs 1000 > in
expect 0 run -i in -o plain --ordered
same n-grams 10 --speculate ngram --drafts 6
same "a small pool" 10000 --speculate auto --draft-model "$MODEL" --drafts 4 --block-size 16 --kv-blocks 60 --max-batch 24
same "another model" 100 --speculate draft --draft-model "$samples/tiny-llama3" --drafts 3 --tensor-parallel 2 --prefix-cache off
if [[ ${PENSTOCK_LONG:-} && ${PENSTOCK_SMOLLM2:-} ]]; then
  MODEL=$PENSTOCK_SMOLLM2
  expect 0 run -i in -o plain --ordered --overwrite
  same "SmolLM2, n-grams" 1000 --speculate ngram --drafts 6
  same "SmolLM2 for itself" 10000 --speculate draft --draft-model "$MODEL" --drafts 2
fi
