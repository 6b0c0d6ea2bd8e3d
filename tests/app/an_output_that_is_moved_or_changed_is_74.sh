#!/usr/bin/env bash
# Somebody rotates, replaces, cuts or deletes the output under a run: it says so, while it runs and not only at its end,
# and the next run answers what is missing.
source "$(dirname "$0")/support/setup.sh"
requests 1 3 > in
for harm in 'mv out out.1' 'cp out copy; mv copy out' ': > out' 'echo x >> out' 'rm out' 'mv out out.1; mkdir out'; do
  rm -rf out* pipe
  mkfifo pipe
  start -i pipe -o out
  exec 7> pipe
  requests 1 1 >&7
  wait_until 20 test -s out
  eval "$harm"
  sleep 1.1
  requests 2 2 >&7
  wait_until 20 bash -c "! kill -0 $pid 2> /dev/null"  # the pipe is still open
  code=0
  wait $pid || code=$?
  exec 7>&-
  [[ $code == 74 ]] || fail "$harm: exit $code"
  grep -q 'while the run was writing it' stderr || fail "$harm: $(< stderr)"
  [[ -d out || $harm == 'echo x'* ]] && continue
  expect 0 run -i in -o out
  diff <(ids in | sort) <(ids out | sort)
done
