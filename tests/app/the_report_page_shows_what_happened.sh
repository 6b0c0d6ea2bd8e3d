#!/usr/bin/env bash
support=$(realpath "$(dirname "$0")/support")
source "$support/setup.sh"
# The page is read back and compared with the JSON report: escaping, every plot's shapes, the tables.
name=$'a <b onclick="x"> & \'quoted\' model'
cp -r "$MODEL" "$name"
requests 1 70 20 > in
printf '%s\n' '{bad' '{"id":"x","prompt":"a","temprature":1}' '{"id":"y","prompt":"a","tops":1}' '{"id":"r3","prompt":"b"}' >> in
expect 65 "$PENSTOCK" run "$name" -i in -o out --max-batch 16 --progress none --report report --report-html page
grep -q '"model": "a <b onclick' report
python3 "$support/report_page.py" page report
python3 -c 'import json; assert json.load(open("report"))["error_codes"] == {"duplicate_id": 1, "invalid_json": 1, "unknown_parameter": 2}'

expect 0 "$PENSTOCK" bench "$MODEL" --input-tokens 30 --output-tokens 12 --requests 20 --report bench --report-html bench.html
python3 "$support/report_page.py" bench.html bench

# Bytes that are no UTF-8 and control characters neither break the page nor pass for others.
name=$'\xff\x01\nmodel'
cp -r "$MODEL" "$name"
expect 65 "$PENSTOCK" run "$name" -i in -o other --progress none --report-html page2
python3 - << 'PY'
text = open("page2", encoding="utf-8").read()
assert "<bdi>\ufffd\ufffd\ufffdmodel</bdi>" in text
PY

# The reader of pages is no rubber stamp: a report that differs in one number is not what the page shows.
python3 - "$support" << 'PY'
import copy, json, sys
sys.path.insert(0, sys.argv[1])
import report_page
report = json.load(open("report"))

def scale(*path):
    def change(r):
        for key in path[:-1]:
            r = r[key]
        r[path[-1]] = r[path[-1]] * 1.1 + 1
    return change

middle = len(report["time_series"]["sequences"]) // 2
changes = [scale("stages", "decode", "seconds"), scale("stages", "write", "count"), scale("buckets", 0, "steps"),
           scale("buckets", -1, "milliseconds"), scale("buckets", -1, "padding_share"), scale("kv", "blocks"),
           scale("error_codes", "invalid_json"), scale("memory", "plan", "kv_bytes"), scale("requests", "answered"),
           scale("latency_seconds", "queue", "count"), scale("latency_seconds", "first_token", "histogram", "counts", 0),
           scale("tokens", "prefill_computed"), scale("tokens", "decode_computed"),
           scale("time_series", "kv_blocks", middle), scale("time_series", "sequences", middle),
           scale("time_series", "decode_tokens_per_second", middle), scale("time_series", "prefill_tokens_per_second", middle)]
for number, change in enumerate(changes):
    changed = copy.deepcopy(report)
    change(changed)
    json.dump(changed, open("changed", "w"))
    try:
        report_page.main("page", "changed")
    except (AssertionError, ValueError):
        continue
    sys.exit(f"change {number} was not noticed")
PY
