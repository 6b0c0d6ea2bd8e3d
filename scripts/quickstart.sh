#!/usr/bin/env bash
# From a fresh clone to completions: installs what is missing, builds, fetches a small model, runs the sample job; on a
# GPU where there is one with a CUDA toolkit.
#   scripts/quickstart.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
need "${build_packages[@]}"
scripts/build.sh release penstock > build.log 2>&1 || { tail -n 40 build.log >&2; exit 70; }
grep 'CPU only' build.log >&2 || true  # where CMake says why
rm -f build.log
scripts/fetch_model.sh models/smollm2

out=build/quickstart/completions.jsonl report=build/quickstart/report.json
mkdir -p build/quickstart
code=0
build/release/penstock run models/smollm2 -i samples/requests.jsonl -o "$out" --report "$report" || code=$?
# 65: all lines handled, some got error records; two of the sample's lines are bad on purpose.
[ "$code" -eq 0 ] || [ "$code" -eq 65 ] || exit "$code"

echo
echo "A few of the $(wc -l < "$out") records:"
python3 - "$out" <<'PY'
import json, sys
shown = 0
for line in open(sys.argv[1], encoding="utf-8"):
    record = json.loads(line)
    text = record.get("text")
    if text and shown < 3:
        shown += 1
        print(f"  {record['id']}: {text.strip()[:200]!r}")
PY
echo "completions: $out"
echo "report:      $report"
