#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 300 100 > in
for attempt in 1 2 3; do
  start -i in -o out
  sleep 0.1
  kill -KILL $pid 2> /dev/null || true
  wait $pid 2> /dev/null || true
done
expect 0 run -i in -o out
expect 0 run -i in -o uninterrupted
diff <(sort out) <(sort uninterrupted)
