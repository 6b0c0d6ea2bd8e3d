#!/usr/bin/env bash
# The one check. Installs what the tests need, builds, runs the tests.
#   scripts/check.sh          what a change must pass: about 20 minutes on 2 cores from nothing
#   scripts/check.sh quick    under 2 minutes when little changed: no whole-model runs on SmolLM2
#   scripts/check.sh long     everything at full count
#   scripts/check.sh asan     the quick set under ASan and UBSan;   tsan: under TSan
#   scripts/check.sh fuzz [SECONDS]   every fuzz target for a minute, or so many seconds; alone, since it has its own build
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-default}
. scripts/packages.sh
need "${build_packages[@]}" "${test_packages[@]}"
if [ "$mode" = fuzz ]; then exec scripts/fuzz.sh "${2:-60}"; fi

preset=release
case $mode in
  default) export PENSTOCK_MODEL_CHECK=100000 ;;
  quick)   export PENSTOCK_MODEL_CHECK=5000 ;;
  long)    export PENSTOCK_MODEL_CHECK=1000000 PENSTOCK_LONG=1 ;;
  asan|tsan)
    preset=$mode
    export PENSTOCK_MODEL_CHECK=300
    export ASAN_OPTIONS=allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1:allocator_may_return_null=1:report_thread_leaks=0 ;;
  *) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 64 ;;
esac

python3 scripts/check_includes.py
scripts/build.sh "$preset"
scripts/fetch_model.sh models/smollm2
export PENSTOCK_SMOLLM2=$PWD/models/smollm2 PENSTOCK=$PWD/build/$preset/penstock MODEL=$PWD/samples/tiny-llama

failed=()
run() {
  local start=$SECONDS log
  log=$(mktemp)
  if "$@" > "$log" 2>&1; then
    echo "ok      $((SECONDS - start)) s  ${*##*/}"
  else
    echo "FAILED  $((SECONDS - start)) s  $*"
    tail -n 60 "$log"
    failed+=("${*##*/}")
  fi
  rm -f "$log"
}

# Whole runs of SmolLM2 are left out of the quick sets, tests that bound time or memory out of the sanitizers'.
for program in build/"$preset"/tests_*; do
  [ -x "$program" ] && [ -f "$program" ] || continue
  filter="~[.]"  # a filter of exclusions alone would run hidden tests too
  [[ $program == */tests_model && $mode != default && $mode != long ]] && filter="$filter~[smollm2]"
  [ "$preset" = release ] || filter="$filter~[large]"
  run "$program" "$filter"
done
# The ops once more with every instruction set the machine could have run.
if [ "$preset" = release ]; then
  for set in baseline avx2; do PENSTOCK_CPU=$set run "build/$preset/tests_kernels"; done
fi
# A GPU's samplers, their threads as fibers, where there is a toolkit.
if [ "$preset" = release ] && grep -q "PENSTOCK_CUDA:BOOL=ON" "build/$preset/CMakeCache.txt"; then
  export PENSTOCK_TEST_DEVICE=cuda_on_cpu
  sampler="[sampler]~[.]"
  [ "$mode" = long ] && sampler="$sampler,the GPU draws*,the GPU scores*"
  run "build/$preset/tests_kernels" "$sampler,[candidates]"
  PENSTOCK_TEST_KERNELS=generic run "build/$preset/tests_kernels" "$sampler"
  unset PENSTOCK_TEST_DEVICE
fi
need_python openai==3.57.0  # for tests/app/batch_answers_are_openai_objects.sh
for script in tests/app/*.sh; do
  # Hundreds of runs that die or fail at one system call: what they look at is on the disk.
  case $preset/$script in asan/*/any_failing_* | tsan/*/any_failing_* | asan/*/a_kill_* | tsan/*/a_kill_*) continue ;; esac
  run bash "$script"
done
if [ "$mode" = default ] || [ "$mode" = long ]; then
  # Jobs of a one-node Slurm cluster.
  need slurm-wlm munge
  for script in tests/app/slurm/*.sh; do PENSTOCK_LONG=$([ "$mode" = long ] && echo 1 || echo 0) run bash "$script"; done
  # Tokenizers with real vocabularies beside the tokenizers library and llama.cpp.
  scripts/fetch_tokenizers.sh models/smollm2 models/tokenizers
  PENSTOCK_TOKENIZERS=$PWD/models/tokenizers run "build/$preset/tests_engine_text" "[.real_tokenizers]"
  # Chat templates beside jinja2: conversations of every kind on the real ones, and random small ones.
  scripts/fetch_templates.sh models/chat_templates
  need_python jinja2==3.1.6
  check_templates=(.venv/bin/python -W ignore scripts/check_templates.py "build/$preset/tests_engine_text [.template-driver]")
  run "${check_templates[@]}" models/chat_templates
  run "${check_templates[@]}" --fuzz "$([ "$mode" = long ] && echo 100000 || echo 6000)" 1
  # lm-evaluation-harness with Penstock beside kept answers of its own hf model, and in `long` beside the model itself,
  # whose torch and transformers take longer to fetch than all the rest.
  need_python lm_eval==0.4.13
  run .venv/bin/python scripts/check_lm_eval.py models/smollm2
  if [ "$mode" = long ]; then run scripts/check_lm_eval_live.sh models/smollm2; fi
fi

if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}"
  exit 1
fi
echo "all passed"
