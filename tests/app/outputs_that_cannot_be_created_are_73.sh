#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 3 > in
mkdir folder
expect 73 run -i in -o folder
expect 73 run -i in -o missing/out
expect 73 run -i in -o in/out
expect 73 run -i in -o out --report missing/report
expect 73 run -i in -o out --report-html missing/page
expect 73 run -i in -o out --errors folder
expect 73 "$PENSTOCK" run "$MODEL" -i in >&-
