#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
expect 66 run -i nothing -o out
mkdir folder
expect 66 run -i folder -o out
requests 1 1 > in
expect 66 "$PENSTOCK" run "$here/no-model" -i in -o out
expect 66 run -o out <&-
[[ ! -e out ]]
