#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
mkfifo pipe
start -i pipe -o out
exec 7> pipe
requests 1 1 >&7
wait_until 20 test -s out
expect 73 run -i /dev/null -o out
grep -q 'another run' stderr
exec 7>&-
wait $pid
[[ $(wc -l < out) == 1 ]]
