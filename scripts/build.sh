#!/usr/bin/env bash
# Builds Penstock into build/<preset>/penstock.
#   scripts/build.sh [release|asan|tsan|fuzz] [target…]      (default: release, everything; fuzz: clang's, tests/fuzz)
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
shift || true
case $preset in
  release) flags=(-DCMAKE_BUILD_TYPE=Release) ;;
  asan) flags=(-DCMAKE_BUILD_TYPE=Release -DPENSTOCK_SANITIZE=address) ;;
  tsan) flags=(-DCMAKE_BUILD_TYPE=Release -DPENSTOCK_SANITIZE=thread) ;;
  fuzz) flags=(-DCMAKE_BUILD_TYPE=Release -DPENSTOCK_SANITIZE=fuzz -DCMAKE_CXX_COMPILER=clang++-16) ;;
  *) echo "usage: scripts/build.sh [release|asan|tsan|fuzz] [target...]" >&2; exit 64 ;;
esac
command -v ninja >/dev/null && flags+=(-G Ninja)
command -v ccache >/dev/null && flags+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
[ -f "build/$preset/CMakeCache.txt" ] || cmake -S . -B "build/$preset" "${flags[@]}"
cmake --build "build/$preset" -j "$(nproc)" ${1:+--target "$@"}
