#!/usr/bin/env bash
# A list of continuations computes its context once, and answers as if each had been asked alone.
source "$(dirname "$0")/support/setup.sh"
context=$(printf 'a river runs to the sea %.0s' {1..20})
ask() { echo '{"id":"'$1'","context":"'$context'","continuation":'$2'}'; }
ask all '[" and the fox"," and the dog"," not many"," 17"]' > in
ask 0 '" and the fox"' > alone
ask 1 '" and the dog"' >> alone
ask 2 '" not many"' >> alone
ask 3 '" 17"' >> alone
expect 0 run -i in -o out --block-size 16 --timings
expect 0 run -i alone -o out_alone --prefix-cache off --max-batch 1 --ordered
python3 - << 'PY'
import json
together = json.loads(open("out").read())
alone = [json.loads(line)["scores"][0] for line in open("out_alone")]
usage = together["usage"]
# All but the last block of the context, for three of the four.
assert usage["cached_tokens"] >= 3 * (usage["prompt_tokens"] / 4 - 2 * 16), usage
for got, want in zip(together["scores"], alone, strict=True):
    assert abs(got.pop("sum_logprob") - want.pop("sum_logprob")) < 1e-4 and got == want, (got, want)
PY
