#!/usr/bin/env bash
# Batch lines of every shape: each answer and each error record parses, strictly, into the openai package's own types.
project=$(realpath "$(dirname "$0")/../..")
source "$(dirname "$0")/support/setup.sh"
check="$project/.venv/bin/python $project/scripts/check_openai_batch.py"  # check.sh installs openai there
$check requests > in
for extra in "" --timings "--max-batch 1 --ordered"; do
  rm -f out
  expect 65 run -i in -o out $extra
  $check check out || fail "with '$extra'"
done
