#!/usr/bin/env bash
# samples/slurm/*.sbatch on a cluster of this machine: an array and its merge, rounds ended by --signal and by a
# deadline and continued by RequeueExit and by the script itself, scancel. They run side by side: Slurm looks twice a
# minute whether a signal is due. With PENSTOCK_LONG=1 more rounds, and a job that nothing warns of its limit.
project=$(cd "$(dirname "$0")/../../.." && pwd)
source "$project/tests/app/support/setup.sh"

# running WORD: processes that were given it. The braces keep grep out of its own list.
running() { { grep -lzsF "$1" /proc/[0-9]*/cmdline || true; } | cut -d/ -f3; }
left_over() { running "$here"; }
end() {
  trap '' INT TERM HUP
  [[ -z $(jobs -p) ]] || kill $(jobs -p) 2> /dev/null || true
  "$project/scripts/slurm_one_node.sh" stop "$here/slurm" || true
  local left
  left=$(left_over)
  [[ -z $left ]] || kill -KILL $left 2> /dev/null || true
  rm -rf "$here"
}
trap end EXIT
trap 'exit 1' INT TERM HUP
"$project/scripts/slurm_one_node.sh" start "$here/slurm"
export SLURM_CONF=$here/slurm/slurm.conf PENSTOCK

# submit SAMPLE [SBATCH OPTIONS…] -- ARGUMENTS…: prints the job's id
submit() {
  local sample=$project/samples/slurm/$1.sbatch options=(); shift
  while [[ $1 != -- ]]; do options+=("$1"); shift; done
  shift
  sbatch --parsable --cpus-per-task=1 --time=1 "${options[@]}" "$sample" "$@"
}
show() { scontrol --oneliner show job "$1"; }
state() { show "$1" | sed -n 's/.* JobState=\([A-Z_]*\).*/\1/p' | sort -u | tr -d '\n'; }
restarts() { show "$1" | sed -n 's/.* Restarts=\([0-9]*\).*/\1/p'; }
# finish JOB SECONDS STATE [CODE]
finish() {
  local now moved=0 end=$((SECONDS + $2))
  while now=$(state "$1"); [[ ! $now =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|PREEMPTED)$ ]]; do
    ((SECONDS < end)) || fail "job $1 has not ended: $(show "$1") $(tail -n 5 ./*.log)"
    if [[ $now == PENDING && $(restarts "$1") != "$moved" ]]; then
      moved=$(restarts "$1")
      sleep 2  # slurmd launches no job that has ended in the same second
      scontrol update jobid="$1" StartTime=now || true  # without it, two minutes; by now it may have started, and ended
    fi
    sleep 0.2
  done
  [[ $now == "$3" ]] || fail "job $1: $(show "$1") $(tail -n 5 ./*.log)"
  [[ $# -lt 4 ]] || show "$1" | grep -q "ExitCode=$4:0" || fail "job $1: $(show "$1")"
}

# in_rounds NAME SAMPLE REQUESTS RESTARTS SBATCH_OPTIONS… -- FLAGS…: a job in a folder of its own, which must be
# restarted so often. When the machine was too fast for that it is tried again with twice the work.
in_rounds() {
  local name=$1 sample=$2 count=$3 wanted=$4 job; shift 4
  local options=()
  while [[ $1 != -- ]]; do options+=("$1"); shift; done
  shift
  mkdir "$name"
  cd "$name"
  for attempt in 1 2 3; do
    rm -f out
    requests 1 "$count" 400 > in
    job=$(submit "$sample" "${options[@]}" -- "$MODEL" in out --max-batch 1 "$@")
    finish "$job" 400 COMPLETED 0
    diff <(ids in | sort) <(ids out | sort) || fail "$name: lines are missing"
    if [[ $(restarts "$job") -ge $wanted ]]; then
      answers_are_right penstock-"$job".log
      echo "$name: $(restarts "$job") restarts of job $job, $count requests"
      return
    fi
    count=$((2 * count))
  done
  fail "$name: $(restarts "$job") restarts: $(cat penstock-"$job".log)"
}
# Of the answers in `out`, those around each stop of this log; all with PENSTOCK_LONG=1.
answers_are_right() {
  local answered all=0
  for answered in $(sed -n 's/^penstock: \([0-9]*\) answered, 0 errors, .* loading$/\1/p' "$1"); do
    all=$((all + answered))
    sed -n "$((all > 20 ? all - 20 : 1)),$((all + 20))p" out
  done | sort -u > some
  [[ ${PENSTOCK_LONG:-0} != 1 ]] || sort out > some
  [[ -s some ]] || fail "no rounds in $1: $(cat "$1")"
  ids some | sed 's/.*/"id":"&",/' | grep -F -f - in > some_in
  expect 0 run -i some_in -o uninterrupted
  diff some <(sort uninterrupted)
}

# Requests that a job answers in a second, one after the other.
requests 1 60 400 > few
expect 0 run -i few -o few_answers --max-batch 1 --threads 1 --report report
per_second=$(python3 -c 'import json; print(int(json.load(open("report"))["rates"]["requests_per_second"]) + 1)')

background=()
(in_rounds signalled requeue $((32 * per_second)) 1 --signal=B:USR1@59 -- ) &
background+=($!)
(in_rounds deadline requeue $((4 * per_second)) 2 -- --deadline 1.5) &
background+=($!)
(in_rounds by_itself requeue_itself $((4 * per_second)) 2 -- --deadline 1.5) &
background+=($!)
if [[ ${PENSTOCK_LONG:-0} == 1 ]]; then
  (in_rounds signalled_more requeue_itself $((100 * per_second)) 2 --signal=USR1@59 -- ) &
  background+=($!)
  (in_rounds unwarned requeue $((120 * per_second)) 1 --signal=B:CONT@1 -- ) &
  background+=($!)
fi

# An array without shared state, its outputs merged by a job that waits for it: the unsharded run, byte for byte.
requests 1 101 20 > in
requests 7 9 >> in
expect 65 run -i in -o whole --ordered
array=$(submit array --array=3-12:3 -- "$MODEL" in answers)
merge=$(submit merge --dependency=afterany:"$array" -- in merged answers.{3,6,9,12}.jsonl)
finish "$merge" 60 FAILED 65  # three ids were used twice
cmp merged whole
[[ $(cat answers.*.jsonl | wc -l) == 104 ]]
[[ $(wc -l < answers.3.jsonl) == 26 ]]

# Ids with a hole would leave lines unanswered.
holes=$(submit array --array=0,1,3 -- "$MODEL" in holes)
finish "$holes" 60 FAILED 64
grep -q SLURM_ARRAY_TASK_COUNT penstock-"$holes"_0.log
! ls holes.* 2> /dev/null

# Cancelled: gone at once and by itself, nothing lost, and anyone can go on.
requests 1 $((4 * per_second)) 400 > in
job=$(submit requeue -- "$MODEL" in "$here/cancelled" --max-batch 1 --grace 1)
wait_until 60 test -s cancelled
scancel "$job"
finish "$job" 20 CANCELLED
cancelled_is_gone() { [[ -z $(running "$here/cancelled") ]]; }
wait_until 5 cancelled_is_gone
grep -q 'penstock: .* answered' penstock-"$job".log
[[ $(wc -l < cancelled) -lt $((4 * per_second)) ]]
expect 0 run -i in -o cancelled
diff <(ids in | sort) <(ids cancelled | sort)

for pid in "${background[@]}"; do wait "$pid"; done

"$project/scripts/slurm_one_node.sh" stop "$here/slurm"
[[ -z $(left_over) ]] || fail "left over: $(ps -o pid,args -p "$(left_over | paste -sd,)")"
