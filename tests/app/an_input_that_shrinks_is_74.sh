#!/usr/bin/env bash
# An input that is cut while it is read must not look like a job that is done.
source "$(dirname "$0")/support/setup.sh"
source "$support/faults.sh"
requests 1 9000 1 > in  # more than one read
LD_PRELOAD=$FAULTS FAULT_PATHS=$here/in FAULT_CALL=read FAULT_AT=1 FAULT_DO=STOP start -i in -o out
wait_until 20 grep -q '^State:.*stopped' /proc/$pid/status
cp in whole
truncate -s 300000 in
kill -CONT $pid
code=0
wait $pid || code=$?
[[ $code == 74 ]] || fail "exit $code"
grep -q 'shrank' stderr
mv whole in
expect 0 run -i in -o out
diff <(ids in | sort) <(ids out | sort)
