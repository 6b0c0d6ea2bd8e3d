#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
mkfifo pipe
start -i pipe -o out
exec 7> pipe
requests 1 1 >&7
wait_until 20 test -s out
rm out
exec 7>&-
code=0
wait $pid || code=$?
[[ $code == 74 ]] || fail "exit $code"
