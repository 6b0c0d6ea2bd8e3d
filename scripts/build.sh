#!/usr/bin/env bash
# Builds Penstock into build/<preset>/penstock, with CUDA where there is a toolkit.
#   scripts/build.sh [release|asan|tsan|fuzz] [--all-archs] [target…]      (default: release, everything)
# --all-archs: kernels for every GPU from sm_80 on, and PTX of sm_90 for those to come; else for Hopper, for Ampere and
# Ada by their common kernels, and for the GPUs of this machine. fuzz: clang's, tests/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=release
case ${1:-} in release|asan|tsan|fuzz) preset=$1; shift ;; esac
archs='80-real;90a-real'
if [ "${1:-}" = --all-archs ]; then
  archs='80-real;86-real;89-real;90a-real;100-real;120-real;90-virtual'
  shift
elif command -v nvidia-smi > /dev/null; then
  for capability in $(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2> /dev/null | tr -d . | sort -u); do
    case $capability in 1[0-9][0-9]) archs="$archs;$capability-real" ;; esac  # 8x runs sm_80's, 90 runs sm_90a's
  done
fi
case ${1:-} in -*) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 64 ;; esac

flags=(-DCMAKE_BUILD_TYPE=Release)
case $preset in
  asan) flags+=(-DPENSTOCK_SANITIZE=address) ;;
  tsan) flags+=(-DPENSTOCK_SANITIZE=thread) ;;
  fuzz) flags+=(-DPENSTOCK_SANITIZE=fuzz -DCMAKE_CXX_COMPILER=clang++-16) ;;
esac
command -v nvcc > /dev/null || [ ! -x /usr/local/cuda/bin/nvcc ] || export PATH=$PATH:/usr/local/cuda/bin
command -v ninja > /dev/null && flags+=(-G Ninja)
command -v ccache > /dev/null && flags+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
cache=build/$preset/CMakeCache.txt
if [ ! -f "$cache" ] || ! grep -qxF "PENSTOCK_CUDA_ARCHITECTURES:STRING=$archs" "$cache"; then
  cmake -S . -B "build/$preset" "${flags[@]}" "-DPENSTOCK_CUDA_ARCHITECTURES=$archs"
fi
cmake --build "build/$preset" -j "$(nproc)" ${1:+--target "$@"}
