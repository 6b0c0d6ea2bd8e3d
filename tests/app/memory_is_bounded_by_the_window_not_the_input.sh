#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
export ASAN_OPTIONS=quarantine_size_mb=4:${ASAN_OPTIONS:-}
python3 - > in << 'PY'
for i in range(60000):
    print('{"id":"r%d","prompt":"%s","max_tokens":1,"n":0}' % (i, "word " * 200))
PY
expect 65 run -i in -o out --report report
[[ $(wc -l < out) == 60000 ]]
peak=$(grep -o '"peak_host_bytes": [0-9]*' report | cut -d' ' -f2)
((peak < 150000000)) || fail "peak memory $peak"
