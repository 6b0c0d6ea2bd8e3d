#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
: > in
expect 0 run -i in -o out
[[ -e out && ! -s out ]]
printf '\n  \n\r\n' > in
expect 0 run -i in -o out
[[ ! -s out ]]
