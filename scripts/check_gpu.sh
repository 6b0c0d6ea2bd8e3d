#!/usr/bin/env bash
# The tests that need a GPU; one line a check, and exit 1 if any failed. No GPU is a failure.
#   scripts/check_gpu.sh [quick|full|sanitize] [--binaries DIR] [--sanitizer PATH]
#     quick     the ops and the tiny models (under 3 minutes)
#     full      the default: also SmolLM2, where PENSTOCK_SMOLLM2 names its folder (else it is built or fetched)
#     sanitize  the tests tagged [sanitize] under compute-sanitizer: memcheck, racecheck, initcheck, synccheck
#   --binaries  a folder with tests_kernels and tests_model, built elsewhere with the tree in this place; else
#               scripts/build.sh makes them
#   --sanitizer compute-sanitizer; else it is looked for beside nvcc
# Tests of several ranks share the first GPU; PENSTOCK_TEST_GPUS=N spreads them over N.
# The tests read goldens and tiny models from PENSTOCK_SOURCE_DIR, or else from where they were compiled.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=full binaries= sanitizer=
while [ $# -gt 0 ]; do
  case $1 in
    quick|full|sanitize) mode=$1 ;;
    --binaries|--sanitizer)
      [ $# -gt 1 ] || { echo "check_gpu.sh: $1 needs a value" >&2; exit 64; }
      if [ "$1" = --binaries ]; then binaries=$2; else sanitizer=$2; fi
      shift ;;
    *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
  esac
  shift
done

if [ -z "$binaries" ]; then
  . scripts/packages.sh
  need "${build_packages[@]}" "${test_packages[@]}"
  scripts/build.sh release tests_kernels tests_model
  binaries=build/release
fi
export PENSTOCK_TEST_DEVICE=cuda PENSTOCK_SOURCE_DIR=$PWD
# One file of matmul algorithms for all programs, so that runs that are compared use the same ones.
XDG_CACHE_HOME=$(mktemp -d)
export XDG_CACHE_HOME
trap 'rm -rf "$XDG_CACHE_HOME"' EXIT

failed=()
# check NAME PROGRAM ARGUMENTS…
check() {
  local name=$1 start=$SECONDS log
  shift
  log=$(mktemp)
  if "$@" > "$log" 2>&1; then
    echo "ok      $((SECONDS - start)) s  $name: $(grep -E '^All tests passed|ERROR SUMMARY' "$log" | tail -n 1)"
  else
    echo "FAILED  $((SECONDS - start)) s  $name: $*"
    tail -n 80 "$log"
    failed+=("$name")
  fi
  rm -f "$log"
}
# tests NAME PROGRAM FILTER. Catch is content when a filter finds nothing to run; this is not.
tests() { check "$1" passes "$binaries/$2" "$3"; }
passes() {
  local output status=0
  output=$("$@" 2>&1) || status=$?
  echo "$output"
  [ $status -eq 0 ] && grep -q '^All tests passed' <<< "$output"
}

run_ops() {
  echo "left out, as they are about the host's code alone:"
  { "$binaries/tests_kernels" --list-tests "[cpu]" || true; } | grep -E '^  [^ ]' | sed 's/^/      /'  # its status is a count
  tests "ops" tests_kernels "~[.]~[cpu]"
  tests "CUDA beside the CPU, and its draws" tests_kernels "[.cuda]"
  PENSTOCK_TEST_KERNELS=generic tests "ops, by the kernels of any GPU" tests_kernels "~[.]~[cpu]"
  PENSTOCK_TEST_KERNELS=generic tests "those beside the CPU, and their draws" tests_kernels "[.cuda]"
}

run_sanitizer() {
  if [ -z "$sanitizer" ]; then
    sanitizer=$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer) ||
      { echo "check_gpu.sh: no compute-sanitizer (pip: nvidia-cuda-sanitizer-api); --sanitizer names one" >&2; exit 69; }
  fi
  # Library kernels are not ours to check for the order of their reads and writes.
  local ours=(--kernel-name-exclude 'regex=cutlass|gemm|cublas|nvjet|xmma|splitK')
  export CUDA_LAUNCH_BLOCKING=1  # kernels in flight cost the tools more memory than they can get
  for tool in memcheck racecheck initcheck synccheck; do
    local options=(--tool "$tool" --error-exitcode 9)
    local what="[sanitize],[.sanitize]"
    # The other tools of CUDA 13.0 lose track of a library's kernels and of those inside graphs.
    if [ "$tool" = memcheck ]; then what="$what,[.sanitize_memory]"; else options+=("${ours[@]}"); fi
    [ "$tool" = initcheck ] && export PENSTOCK_TEST_POISON=off
    for program in tests_kernels tests_model; do
      check "$tool, $program" "$sanitizer" "${options[@]}" "$binaries/$program" "$what"
    done
    unset PENSTOCK_TEST_POISON
  done
}

case $mode in
  sanitize) run_sanitizer ;;
  *)
    run_ops
    tests "tiny models" tests_model "[bf16]~[smollm2]"
    if [ "$mode" = full ]; then
      if [ -z "${PENSTOCK_SMOLLM2:-}" ]; then
        scripts/fetch_model.sh models/smollm2
        export PENSTOCK_SMOLLM2=$PWD/models/smollm2
      fi
      tests "SmolLM2" tests_model "[bf16][smollm2]"
    fi ;;
esac

if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
echo "all passed"
