#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 3 > in
expect 74 run -i in -o /dev/full
expect 74 run -i in > /dev/full
expect 74 run -i in -o out --report /dev/full
rm -f out
expect 74 run -i in -o out --report-html /dev/full
inspect() { "$PENSTOCK" inspect "$MODEL"; }
expect 74 inspect > /dev/full
