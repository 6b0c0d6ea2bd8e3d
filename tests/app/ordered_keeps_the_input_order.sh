#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
for ((i = 1; i <= 200; ++i)); do requests $i $i $((1 + i * 7 % 13)); done > in
expect 0 run -i in -o out --ordered --max-batch 8
diff <(ids in) <(ids out)
head -c $(($(stat -c %s out) / 2)) out > half
expect 0 run -i in -o half --ordered
cmp half out
