#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 20 > in
requests 3 3 >> in
for i in 0 1 2; do
  code=0
  run -i in -o out$i --shard $i/3 2> stderr || code=$?
  [[ $code == 0 || $code == 65 ]]
done
[[ $(cat out? | wc -l) == 21 ]]
expect 65 run -i in -o whole
diff <(sort out?) <(sort whole)
expect 73 run -i in -o out0 --shard 1/3
