#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 3 > in
for text in 'hello' '{"id":"r1"}' '{"id":"r1","text":"x","request_id":"req_1"}' '[1]' '{"name":"x"}'; do
  printf '%s\n' "$text" > out
  cp out before
  expect 73 run -i in -o out
  cmp out before
done
printf 'no newline at its end' > out
expect 73 run -i in -o out
[[ $(< out) == 'no newline at its end' ]]
