#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
for signal in TERM HUP USR1; do
  rm -f out pipe
  mkfifo pipe
  start -i pipe -o out
  exec 7> pipe
  requests 1 20 >&7
  wait_until 20 test -s out
  kill -$signal $pid
  code=0
  wait $pid || code=$?
  exec 7>&-
  [[ $code == 75 ]] || fail "SIG$signal: exit $code"
  requests 1 30 > in
  expect 0 run -i in -o out
  diff <(ids in | sort) <(ids out | sort)
done
