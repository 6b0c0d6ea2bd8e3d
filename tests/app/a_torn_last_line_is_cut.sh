#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 10 > in
expect 0 run -i in -o out
sort out > whole
size=$(stat -c %s out)
for cut in 1 2 9 40; do
  truncate -s $((size - cut)) out
  expect 0 run -i in -o out
  diff <(sort out) whole
done
