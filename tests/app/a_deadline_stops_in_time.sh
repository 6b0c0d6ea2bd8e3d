#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
seconds() { date +%s.%N; }
# took START SECONDS: it is now less than that after START
took() { awk -v start="$1" -v end="$(seconds)" -v limit="$2" 'BEGIN { exit !(end - start < limit) }'; }
# within SECONDS CODE COMMAND…: what `expect` says, and in that time; a machine that is busy with other things may be late.
within() {
  local start=$(seconds) limit=$1; shift
  expect "$@"
  took "$start" $((limit + 5)) || fail "took from $start to $(seconds), not $limit s: $*"
}

# Rounds of a job that is too long for its deadline. What is begun is finished: of a batch of 16 hardly anything is
# computed in vain, though each round ends in the midst of the work.
# As much work as takes this machine about six seconds.
requests 1 200 300 > probe
start=$(seconds)
expect 0 run -i probe -o probed --max-batch 16
count=$(awk -v start="$start" -v end="$(seconds)" 'BEGIN { n = int(200 * 6 / (end - start)); print n < 200 ? 200 : n }')
requests 1 "$count" 300 > in
rounds=0 in_time=0 code=75
while [[ $code == 75 ]]; do
  rounds=$((rounds + 1))
  [[ $rounds -lt 100 ]] || fail "no end after $rounds rounds"
  start=$(seconds) code=0
  run -i in -o out --max-batch 16 --deadline 2 --report report$rounds 2> stderr || code=$?
  [[ $code == 75 || $code == 0 ]] || fail "exit $code: $(< stderr)"
  if [[ $code == 75 ]]; then
    took "$start" 7 || fail "round $rounds was late"
    if took "$start" 2; then in_time=$((in_time + 1)); fi
    grep -q 'stopped for the deadline' stderr
  fi
done
[[ $rounds -ge 2 && $in_time -gt 0 ]] || fail "of $rounds rounds $in_time ended in time"
expect 0 run -i in -o uninterrupted
diff <(sort out) <(sort uninterrupted)
python3 - << PY
import json
reports = [json.load(open(f"report{i}")) for i in range(1, $rounds)]
vain = [r["tokens"]["decode_computed"] - (r["tokens"]["completion"] - r["requests"]["answered"]) for r in reports]
assert min(vain) < 300, f"tokens computed in vain: {vain}"
PY

# The end of the Slurm job counts by itself, and the earlier of the two.
requests 1 30000 30 > in
rm out
end() { echo $(($(date +%s) + $1)); }
SLURM_JOB_END_TIME=$(end 3) within 3 75 run -i in -o out
[[ -s out ]] || fail "nothing was answered"
SLURM_JOB_END_TIME=$(end 1000) within 2 75 run -i in -o out --overwrite --deadline 2
SLURM_JOB_END_TIME=$(end 3) within 3 75 run -i in -o out --overwrite --deadline 1h
within 3 75 run -i in -o out --overwrite --deadline @$(end 3)

# An end that is past: nothing is begun.
SLURM_JOB_END_TIME=$(end -100) within 2 75 run -i in -o out --overwrite
[[ ! -s out ]]
grep -q 'stopped for the deadline' stderr
requests 1 3 > few
expect 0 run -i few -o few_answers
SLURM_JOB_END_TIME=$(end -100) expect 75 run -i few -o few_again
SLURM_JOB_END_TIME=$(end -100) expect 0 run -i few -o few_again --deadline none
cmp few_again few_answers
SLURM_JOB_END_TIME=soon expect 64 run -i few -o absent
grep -q SLURM_JOB_END_TIME stderr
[[ ! -e absent ]]

# Nothing to do but to wait for the input.
mkfifo pipe
exec 7<> pipe
cat few >&7
within 2 75 run -i pipe -o from_pipe --deadline 2
exec 7>&-
diff <(sort from_pipe) <(sort few_answers)

# A signal after admission has ended leaves --grace, not the time to the deadline.
requests 1 2000 500 > in
start -i in -o late --max-batch 2000 --deadline 10 --grace 0.1
sleep 4.5  # half of the time has passed, and nothing has ended
kill -TERM $pid
began=$SECONDS code=0
wait $pid || code=$?
[[ $code == 75 ]] || fail "exit $code"
[[ $((SECONDS - began)) -le 2 ]] || fail "the signal was not obeyed at once"
grep -q 'stopped for the deadline' stderr || fail "$(< stderr)"
