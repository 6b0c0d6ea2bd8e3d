#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
# task ID MIN MAX STEP ARGUMENTS…: a run as that task of a job array
task() {
  SLURM_ARRAY_TASK_ID=$1 SLURM_ARRAY_TASK_MIN=$2 SLURM_ARRAY_TASK_MAX=$3 SLURM_ARRAY_TASK_STEP=$4 run -i in "${@:5}"
}
requests 1 11 > in
for i in 0 1 2; do expect 0 run -i in -o by_hand$i --ordered --shard $i/3; done

# 0-2, 1-3 and 5-12:3 (5, 8, 11; Slurm's own MAX is then 11) are all three shards.
for array in '0 1 2 0 2 1' '1 2 3 1 3 1' '5 8 11 5 11 3' '5 8 11 5 12 3'; do
  read -r a b c min max step <<< "$array"
  shard=0
  for id in $a $b $c; do
    expect 0 task $id $min $max $step -o auto --ordered --overwrite --shard auto
    cmp auto by_hand$shard || fail "task $id of $min-$max:$step"
    shard=$((shard + 1))
  done
done
expect 0 task 7 7 7 1 -o auto --ordered --overwrite --shard auto
[[ $(wc -l < auto) == 11 ]]

rm auto
expect 64 run -i in -o auto --shard auto
grep -q SLURM_ARRAY_TASK_ID stderr
refused() {
  local name=$1; shift
  expect 64 env "$@" "$PENSTOCK" run "$MODEL" -i in -o auto --shard auto
  grep -q "$name" stderr || fail "no word of $name: $(< stderr)"
}
good=(SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=2 SLURM_ARRAY_TASK_STEP=1)
for name in ID MIN MAX STEP; do
  refused SLURM_ARRAY_TASK_$name -u SLURM_ARRAY_TASK_$name "${good[@]/#SLURM_ARRAY_TASK_$name=*/A=B}"
  for value in '' x 1x -1 1.5 ' 1' 99999999999999999999; do
    refused SLURM_ARRAY_TASK_$name "${good[@]}" SLURM_ARRAY_TASK_$name="$value"
  done
done
refused SLURM_ARRAY_TASK_STEP "${good[@]}" SLURM_ARRAY_TASK_STEP=0
refused SLURM_ARRAY_TASK_MAX "${good[@]}" SLURM_ARRAY_TASK_MIN=3
refused SLURM_ARRAY_TASK_ID "${good[@]}" SLURM_ARRAY_TASK_ID=3
refused SLURM_ARRAY_TASK_ID "${good[@]}" SLURM_ARRAY_TASK_STEP=2
# 0,1,5 says 0-5:1 but has three tasks: shards 2 to 4 would never be answered.
refused SLURM_ARRAY_TASK_COUNT=3 "${good[@]}" SLURM_ARRAY_TASK_MAX=5 SLURM_ARRAY_TASK_COUNT=3
[[ ! -e auto ]]
