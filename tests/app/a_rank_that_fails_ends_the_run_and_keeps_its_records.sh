#!/usr/bin/env bash
# A rank that throws is 70, one that hangs or meets a device's error 75 once a record is written and else 70, a device
# that is gone 69: within a minute, by name, and with every record that was finished.
source "$(dirname "$0")/support/setup.sh"
faulty=${PENSTOCK}_with_faults
requests 1 200 30 > in
expect 0 run -i in -o wanted
export PENSTOCK_SILENCE=1

# strike KIND:REPLICA:RANK:STEP CODE WORDS ARGUMENTS…
strike() {
  local fault=$1 code=$2 words=$3 start=$SECONDS; shift 3
  rm -f out
  PENSTOCK=$faulty PENSTOCK_FAULT=$fault expect "$code" run -i in -o out --device cpu --max-batch 8 --threads 2 "$@"
  ((SECONDS - start < 30)) || fail "$fault took $((SECONDS - start)) s"
  grep -q "$words" stderr || fail "$fault: not in its message: $words: $(< stderr)"
  [[ $(wc -l < stderr) == 1 ]] || fail "$fault: more than its message: $(< stderr)"
}
# Whole records only, as many as $1 says (none, some), and the same command completes.
completes() {
  local fault=$1 kept=$2; shift 2
  [[ $(tail -c 1 out | wc -l) == "$(head -c 1 out | wc -c)" ]] || fail "$fault: a torn line"
  cp out kept
  if [[ $kept == none ]]; then [[ ! -s out ]]; else [[ -s out ]]; fi || fail "$fault: $(wc -l < out) records"
  expect 0 run -i in -o out --max-batch 8 "$@"
  cmp <(head -c "$(stat -c %s kept)" out) kept || fail "$fault: records were changed"
  diff <(sort out) <(sort wanted) > /dev/null || fail "$fault: not what an unbroken run gives"
}

lone=() ranks=(--tensor-parallel 2) pair=(--replicas 2)
for case in "0:0:60 lone the.CPU:" "0:1:60 ranks the.CPU.(rank.1.of.2):" "1:0:40 pair the.CPU.(replica.1.of.2):"; do
  read -r place name who <<< "$case"
  declare -n layout=$name
  who=${who//./ }
  strike "throws:$place" 70 "$who .*a test asked for" "${layout[@]}"
  completes throws some
  strike "errs:$place" 75 "$who .*illegal memory access.*the same command continues" "${layout[@]}"
  completes errs some
  strike "hangs:$place" 75 "$who no sign of life" "${layout[@]}"
  completes hangs some
done
strike loses:0:0:60 69 'the CPU: .*ECC error'
completes loses some
for kind in errs hangs; do
  strike $kind:0:1:1 70 'the CPU (rank 1 of 2):' --tensor-parallel 2
  ! grep -q continues stderr || fail "$kind: it got nowhere"
  completes $kind none
done
# What waits for the answer to an earlier line is not kept, so nothing was finished.
mv in first_lines
(requests 0 0 300; cat first_lines) > in
expect 0 run -i in -o wanted --overwrite
strike hangs:0:0:100 70 'no sign of life' --ordered
completes hangs none --ordered

mv first_lines in
expect 0 run -i in -o wanted --overwrite
# What is slow, or computes, or did not run for a while, is alive.
strike_none() { PENSTOCK=$faulty expect 0 run -i in -o "$@" --device cpu --max-batch 8; }
PENSTOCK_FAULT=slow:0:0:20 strike_none slow
PENSTOCK_FAULT=works:0:0:20 strike_none works
PENSTOCK_FAULT=slow:0:0:20 PENSTOCK=$faulty start -i in -o stopped --device cpu --max-batch 8
wait_until 20 test -s stopped
kill -STOP $pid
sleep 3
kill -CONT $pid
wait $pid || fail "taken for hung while it was stopped: $(< stderr)"
for out in slow works stopped; do diff <(sort $out) <(sort wanted) > /dev/null || fail "$out differs"; done
