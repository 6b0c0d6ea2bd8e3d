#!/usr/bin/env bash
# check_lm_eval.py beside answers that lm-eval's hf model gives now, and not beside those that are kept.
#   scripts/check_lm_eval_live.sh SMOLLM2
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
need_python lm_eval==0.4.13 transformers==5.24.0 accelerate==1.15.0 torch==2.11.0
golden=$(mktemp -d)
trap 'rm -rf "$golden"' EXIT
.venv/bin/python scripts/make_lm_eval_golden.py "$1" "$golden"
.venv/bin/python scripts/check_lm_eval.py "$1" "$golden"
