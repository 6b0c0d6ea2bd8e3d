#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 200 > in
expect 0 run -i in -o out
diff <(ids in | sort) <(ids out | sort)
