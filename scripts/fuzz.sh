#!/usr/bin/env bash
# Runs the fuzz targets of tests/fuzz, each from its seeds for so many seconds. New inputs go to build/fuzz/corpus, where
# the next run goes on; what breaks a promise is left in build/fuzz and printed.
#   scripts/fuzz.sh [SECONDS [TARGET…]]      (default: 60 s each, all targets)
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
. scripts/packages.sh
need "${build_packages[@]}" "${fuzz_packages[@]}"
scripts/build.sh fuzz
targets=("$@")
[ $# -gt 0 ] || for source in tests/fuzz/fuzz_*.cpp; do targets+=("$(basename "$source" .cpp)"); done
failed=()
for target in "${targets[@]}"; do
  corpus=build/fuzz/corpus/$target dictionary=tests/fuzz/${target#fuzz_}.dict
  mkdir -p "$corpus"
  [ -f "$dictionary" ] || dictionary=tests/fuzz/json.dict
  log=build/fuzz/$target.log
  # An input may take 5 s under the sanitizers, and 2 GiB.
  if "build/fuzz/$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 \
    -dict="$dictionary" -artifact_prefix="build/fuzz/$target-" "$corpus" "tests/fuzz/seeds/$target" 2> "$log"; then
    echo "ok      $(grep -o 'number_of_executed_units: *[0-9]*' "$log" | grep -o '[0-9]*') executions  $target"
  else
    echo "FAILED  $target"
    tail -n 40 "$log"
    failed+=("$target")
  fi
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
