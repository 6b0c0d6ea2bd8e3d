#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
{
  requests 1 1
  echo '{bad'
  echo '[]'
  echo
  printf '{"id":"nul","prompt":"a\0b"}\n'
  printf '{"id":"\xff","prompt":"x"}\n'
  echo '{"id":"unknown","prompt":"x","colour":1}'
  requests 2 2 | tr -d '\n'
} > in
expect 65 run -i in -o out --ordered
[[ $(wc -l < out) == 7 ]]
[[ $(grep -c '"error"' out) == 5 ]]
grep -q '"line-2"' out && grep -q '"line-3"' out && grep -q '"line-5"' out
grep '"unknown"' out | grep -q colour
tail -1 out | grep -q '"r2"'
