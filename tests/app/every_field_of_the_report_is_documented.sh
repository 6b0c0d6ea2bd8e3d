#!/usr/bin/env bash
top=$(realpath "$(dirname "$0")/../..")
source "$top/tests/app/support/setup.sh"
requests 1 10 > in
expect 0 run -i in -o out --report report --replicas 2
for report in report "$top/samples/reports/smollm2.json"; do
  python3 - "$report" "$top/samples/reports/README.md" << 'PY'
import json, re, sys
report = json.load(open(sys.argv[1]))
text = open(sys.argv[2]).read()
documented = {name: set(re.findall(r"`([a-z0-9_]+)", row)) for row in text.splitlines() if row.startswith("| `")
              for name in re.findall(r"`(\w+)`", row.split("|")[1])}
assert f"Schema version {report['schema_version']}" in text

def names(value):
    if isinstance(value, list):
        value = value[0] if value and isinstance(value[0], dict) else {}
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        yield key
        yield from names(list(inner.values()) if key == "ops" and isinstance(inner, dict) else inner)  # by op

assert list(report)[0] == "schema_version" and len(report) >= 15
for field, value in report.items():
    assert field in documented, field
    if field in ("stages", "error_codes"):  # by names that are not the report's own
        value = list(value.values())
    missing = set(names(value)) - documented[field]
    assert not missing, (field, missing)
PY
done
