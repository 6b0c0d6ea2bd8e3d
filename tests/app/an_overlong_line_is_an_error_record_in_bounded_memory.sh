#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
export ASAN_OPTIONS=quarantine_size_mb=4:${ASAN_OPTIONS:-}
{
  requests 1 1
  printf '{"id":"long","prompt":"'
  head -c 300M /dev/zero | tr '\0' a
  printf '"}\n'
  requests 2 2
} > in
code=0
run -i in -o out --report report 2> stderr || code=$?
[[ $code == 65 ]] || fail "exit $code: $(< stderr)"
[[ $(wc -l < out) == 3 ]]
grep -q '"line-2".*line_too_long' out
peak=$(grep -o '"peak_host_bytes": [0-9]*' report | cut -d' ' -f2)
limit=400000000
[[ $PENSTOCK == */tsan/* ]] && limit=1000000000  # its shadow memory counts
((peak < limit)) || fail "peak memory $peak"
