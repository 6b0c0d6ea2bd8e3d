#!/usr/bin/env bash
# Over 1500 rows: tests/app/bad_inputs.py. Each bounds time and memory.
table=$(realpath "$(dirname "$0")/bad_inputs.py")
source "$(dirname "$0")/support/setup.sh"
[[ -x /usr/bin/time ]] || fail "needs GNU time (Debian: time)"
python3 "$table"
