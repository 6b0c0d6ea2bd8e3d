#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 3 > in
requests 2 2 >> in
requests 4 4 >> in
expect 65 run -i in -o out
grep '"line-4"' out | grep -q '"duplicate_of":"line-2"'
[[ $(wc -l < out) == 5 ]]
cp out before
expect 65 run -i in -o out
cmp out before
