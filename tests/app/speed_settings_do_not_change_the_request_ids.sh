#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 5 > in
expect 0 run -i in -o out
cp out before
expect 0 run -i in -o out --max-batch 2 --block-size 16 --threads 1 --max-step-tokens 64 --prefix-cache off --ordered
cmp out before
