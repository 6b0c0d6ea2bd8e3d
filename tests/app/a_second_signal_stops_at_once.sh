#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 64 400 > in
mkfifo pipe
start -i pipe -o out --grace 600
exec 7> pipe
cat in >&7
sleep 0.3
kill -TERM $pid
kill -HUP $pid
wait_until 10 bash -c "! kill -0 $pid 2> /dev/null"
code=0
wait $pid || code=$?
[[ $code == 75 ]] || fail "exit $code"
