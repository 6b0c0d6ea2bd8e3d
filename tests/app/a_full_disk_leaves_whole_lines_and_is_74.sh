#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 400 > in
code=0
(ulimit -f 16; run -i in -o out 2> stderr) || code=$?
[[ $code == 74 ]] || fail "exit $code"
[[ -s out && $(tail -c 1 out | xxd -p) == 0a ]]
expect 0 run -i in -o out
diff <(ids in | sort) <(ids out | sort)
code=0
(ulimit -f 4; run -i in 2> stderr > whole) || code=$?
[[ $code == 74 ]] || fail "standard output: exit $code"
code=0
(ulimit -f 4; "$PENSTOCK" tokenize "$MODEL" -i in -o tokens 2> stderr) || code=$?
[[ $code == 74 ]] || fail "tokenize: exit $code"
