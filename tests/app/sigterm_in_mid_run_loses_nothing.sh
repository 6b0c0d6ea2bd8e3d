#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 300 400 > in
for attempt in 1 2 3 4; do
  start -i in -o out --max-batch 4 --grace 0.05
  sleep 0.3
  kill -TERM $pid 2> /dev/null || true
  code=0
  wait $pid || code=$?
  [[ $code == 75 || $code == 0 ]] || fail "exit $code: $(< stderr)"
done
expect 0 run -i in -o out
diff <(ids in | sort) <(ids out | sort)
expect 0 run -i in -o uninterrupted
diff <(sort out) <(sort uninterrupted)
