#!/usr/bin/env bash
# check_lm_eval.py beside answers that lm-eval's hf model gives now, and not beside those that are kept.
#   scripts/check_lm_eval_live.sh SMOLLM2      PENSTOCK names the binary
# torch brings gigabytes of CUDA libraries, and lm-eval starts slower beside it: it has an environment of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
environment=build/lm_eval_hf golden=$(mktemp -d)
trap 'rm -rf "$golden"' EXIT
[ -x $environment/bin/python ] || python3 -m venv $environment
$environment/bin/pip install --quiet lm_eval==0.4.13 torch==2.11.0 transformers==5.24.0 accelerate==1.15.0
$environment/bin/python scripts/make_lm_eval_golden.py "$1" "$golden"
$environment/bin/python scripts/check_lm_eval.py "$1" "$golden"
