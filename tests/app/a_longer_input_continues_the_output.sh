#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 10 > in
expect 0 run -i in -o out
requests 11 20 >> in
expect 0 run -i in -o out
diff <(ids in | sort) <(ids out | sort)
