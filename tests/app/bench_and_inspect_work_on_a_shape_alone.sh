#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
mkdir shape
cp "$MODEL"/config.json shape
expect 0 "$PENSTOCK" inspect shape > plan
grep -q total plan
expect 0 "$PENSTOCK" bench shape --input-tokens 16 --output-tokens 4 --requests 5 --report report
python3 -c 'import json; r = json.load(open("report")); assert r["tokens"]["completion"] == 20, r'
expect 64 "$PENSTOCK" bench shape --input-tokens 100000
