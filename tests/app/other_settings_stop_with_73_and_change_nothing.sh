#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 5 > in
expect 0 run -i in -o out
cp out before
expect 73 run -i in -o out --seed 7
cmp out before
expect 73 run -i in -o out --temperature 0.5
cmp out before
sed -i 's/Hello number 5/Hello number five/' in
requests 6 9 >> in
expect 73 run -i in -o out
grep -q '"r5"' stderr
cmp out before
expect 0 run -i in -o out --overwrite
diff <(ids in | sort) <(ids out | sort)
