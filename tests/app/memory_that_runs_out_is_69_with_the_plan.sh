#!/usr/bin/env bash
# The plan counts what the machine has; an address space that is smaller lets a later allocation fail.
source "$(dirname "$0")/support/setup.sh"
requests 1 1 > in
expect 69 run --device cpu -i in -o out --kv-blocks 1000000000
grep -q 'does not fit' stderr && grep -q 'kv blocks' stderr || fail "no plan"
case $PENSTOCK in */asan/* | */tsan/*) echo "a sanitizer's own memory exceeds the limit of the rest" && exit ;; esac
blocks=$((3 << 30))   # bytes of KV, in blocks of 64 tokens
per_block=$("$PENSTOCK" inspect "$MODEL" --device cpu | sed -n 's/.* \([0-9]*\) bytes each.*/\1/p')
[ -n "$per_block" ] || fail "inspect says nothing of a block's size"
code=0
(ulimit -v $((2 << 20)); run --device cpu --threads 2 -i in -o out --kv-blocks $((blocks / per_block))) 2> stderr || code=$?
[ $code = 69 ] || { cat stderr >&2; fail "exit $code instead of 69"; }
grep -q 'bytes left' stderr && grep -q 'kv blocks' stderr && grep -q 'left over' stderr || { cat stderr >&2; fail "no plan"; }
[ ! -s out ] || fail "an answer without memory"
