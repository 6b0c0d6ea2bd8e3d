#!/usr/bin/env bash
# Every parameter, and scoring, against scripts/slow_model.py: alone, together, and in a pool that is too small for all.
scripts=$(realpath "$(dirname "$0")/../../scripts")
source "$(dirname "$0")/support/setup.sh"
python=python3
python3 -c 'import numpy' 2> /dev/null || python=/usr/bin/python3  # Debian's python3-numpy
$python "$scripts/slow_model.py" requests "$MODEL" > in
check() {
  rm -f out
  expect 65 run -i in -o out "$@"  # one line bans every id
  $python "$scripts/slow_model.py" compare "$MODEL" in out || fail "$*"
}
check
check --max-batch 1
check --block-size 16 --kv-blocks 34 --max-batch 32 --max-step-tokens 48 --steps-in-flight 3 --report report
python3 -c 'import json; assert json.load(open("report"))["kv"]["preemptions"] > 0'
check --prefix-cache off --steps-in-flight 1 --graphs off --tensor-parallel 2
check --tensor-parallel 4
