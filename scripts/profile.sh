#!/usr/bin/env bash
# Measures the parts.
#   scripts/profile.sh matmul           our CPU matmul beside oneDNN's, alternating in one run
#   scripts/profile.sh ops [MODEL]      every op against the roofline measured in the same run
#   scripts/profile.sh gpu [WORKLOAD…]  the ops and vLLM's workloads on a GPU, beside vLLM's figures (--list names them,
#                                       --reports keeps their reports; PENSTOCK names a binary that is already built)
#   scripts/profile.sh speculation [PAIR…]  what drafts gain on a GPU: 8b, 32b
#   scripts/profile.sh tensor-parallel [PART…]  on a machine with two GPUs or more: all-reduce beside NCCL, two ranks and two
#                                       replicas beside one (--list names the parts; PENSTOCK as above)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
case ${1:-} in
  matmul)
    need "${build_packages[@]}" libdnnl-dev
    scripts/build.sh release kernels
    g++ -std=c++20 -O2 -I. tests/peers/onednn_matmul.cpp build/release/libkernels.a -ldnnl -lpthread -o build/release/onednn_matmul
    OMP_NUM_THREADS=1 build/release/onednn_matmul ;;
  ops)
    scripts/build.sh release penstock
    build/release/penstock bench "${2:-models/smollm2}" --ops ;;
  gpu)
    [ -n "${PENSTOCK:-}" ] || { scripts/build.sh release penstock; PENSTOCK=build/release/penstock; }
    python3 scripts/gpu_workloads.py --penstock "$PENSTOCK" "${@:2}" ;;
  speculation)
    [ -n "${PENSTOCK:-}" ] || { scripts/build.sh release penstock; PENSTOCK=build/release/penstock; }
    python3 scripts/measure_speculation.py --penstock "$PENSTOCK" "${@:2}" ;;
  tensor-parallel)
    [ -n "${PENSTOCK:-}" ] || { scripts/build.sh release penstock; PENSTOCK=build/release/penstock; }
    python3 scripts/tensor_parallel.py --penstock "$PENSTOCK" "${@:2}" ;;
  *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 64 ;;
esac
