#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 400 > in
code=0
(ulimit -f 16; run -i in -o out 2> stderr) || code=$?
[[ $code == 74 ]] || fail "exit $code"
[[ -s out && $(tail -c 1 out | xxd -p) == 0a ]]
expect 0 run -i in -o out
diff <(ids in | sort) <(ids out | sort)
