#!/usr/bin/env bash
# After EIO the kernel forgets: a second fsync of the same file would succeed, and nothing would be on the disk.
source "$(dirname "$0")/support/setup.sh"
source "$support/faults.sh"
requests 1 5 > in
strike() { LD_PRELOAD=$FAULTS FAULT_PATHS=$here/$1 FAULT_CALL=fsync FAULT_AT=1 FAULT_DO=EIO FAULT_LOG=$here/log "${@:2}"; }
for forever in '' 1; do
  rm -f out log
  expect 74 strike out env ${forever:+FAULT_FOREVER=1} "$PENSTOCK" run "$MODEL" -i in -o out --progress none
  grep -q 'Input/output error' stderr
  [[ $(grep -c '^fsync' log) == 1 ]] || fail "$(< log)"
done
requests 1 5 | sed 's/r5","prompt"/r5","n":0,"prompt"/' > in
rm -f out log
expect 65 run -i in -o out
cp out before
expect 74 strike out.penstock-new "$PENSTOCK" run "$MODEL" -i in -o out --progress none --retry-errors
cmp out before
[[ $(grep -c '^fsync' log) == 1 && ! -e out.penstock-new ]]
