#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 20 > in
expect 0 run -i in -o out
cp out before
expect 0 run -i in -o out
cmp out before
