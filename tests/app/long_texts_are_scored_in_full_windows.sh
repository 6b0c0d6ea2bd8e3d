#!/usr/bin/env bash
# The tiny model's context is 512 tokens: what is scored is cut to it, or goes through it window by window.
source "$(dirname "$0")/support/setup.sh"
words=$(printf 'hello world %.0s' {1..600})
cat > in <<END
{"id":"long context","context":"$words","continuation":[" yes"," no"]}
{"id":"rolling","text":"$words","rolling":true}
END
expect 0 run -i in -o out
[[ $(wc -l < out) == 2 ]]
grep '"long context"' out | grep -q '"sum_logprob":-.*"sum_logprob":-'
grep '"rolling"' out | grep -q '"sum_logprob":-'
