#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
mkfifo pipe
"$PENSTOCK" run "$MODEL" --progress none < pipe > out 2> stderr &
pid=$!
exec 7> pipe
requests 1 1 >&7
wait_until 20 test -s out
requests 2 2 >&7
wait_until 20 grep -q r2 out
exec 7>&-
wait $pid
[[ $(wc -l < out) == 2 ]]
