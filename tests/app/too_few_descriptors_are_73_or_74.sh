#!/usr/bin/env bash
# With every number of file descriptors until one suffices: an error code, never a hang, a crash or a lost record.
source "$(dirname "$0")/support/setup.sh"
[[ $PENSTOCK != */asan/* && $PENSTOCK != */tsan/* ]] || { echo 'left out: a sanitizer needs descriptors of its own'; exit 0; }
requests 1 10 > in
expect 0 run -i in -o whole
codes=
for ((n = 4; n < 60; ++n)); do
  rm -f out
  code=0
  (exec 2> stderr; ulimit -n $n; exec "$PENSTOCK" run "$MODEL" --progress none -i in -o out --report report) || code=$?
  [[ $code == 0 ]] && break
  [[ $code == 73 || $code == 74 ]] || fail "$n descriptors: exit $code: $(< stderr)"
  [[ ! -s out ]] || fail "$n descriptors: answers"
  codes+=" $code"
done
[[ $codes ]] || fail 'the smallest number already sufficed'
diff <(sort out) <(sort whole)
