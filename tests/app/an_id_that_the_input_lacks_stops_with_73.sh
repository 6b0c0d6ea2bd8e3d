#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 5 > in
expect 0 run -i in -o out
cp out before
requests 2 8 > in
expect 73 run -i in -o out
grep -q '"r1"' stderr
cmp out before
cat in | expect 73 run -o out
