#!/usr/bin/env bash
# Puts the 70 chat templates of llama-cpp-python's source package into FOLDER.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 FOLDER" >&2; exit 64; }
folder=$(realpath -m "$1")
cd "$(dirname "$0")/.."
. scripts/packages.sh

version=0.3.36 count=70
templates() { find "$folder" -name '*.jinja' 2>/dev/null | wc -l; }
[ "$(templates)" -eq $count ] && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# pip asks the package for its metadata, which its build system gives; it need not build anything.
need_python scikit_build_core
.venv/bin/pip download --quiet --no-deps --no-binary :all: --no-build-isolation --dest "$work" "llama-cpp-python==$version"
tar -xzf "$work"/llama_cpp_python-$version.tar.gz -C "$work" --wildcards '*/vendor/llama.cpp/models/templates/*.jinja'
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
mv "$work"/llama_cpp_python-$version/vendor/llama.cpp/models/templates "$folder"
[ "$(templates)" -eq $count ] || { echo "$folder: expected $count templates, got $(templates)" >&2; exit 1; }
