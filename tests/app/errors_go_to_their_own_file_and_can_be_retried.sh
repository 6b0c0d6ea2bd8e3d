#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 3 > in
echo '{"id":"e","prompt":"x","n":0}' >> in
expect 65 run -i in -o out --errors errors
[[ $(wc -l < out) == 3 && $(wc -l < errors) == 1 ]]
expect 65 run -i in -o out --errors errors
[[ $(wc -l < out) == 3 && $(wc -l < errors) == 1 ]]
expect 65 run -i in -o out --errors errors --retry-errors
[[ $(wc -l < out) == 3 && $(wc -l < errors) == 1 ]]
sed -i 's/"n":0/"n":1,"max_tokens":3/' in
expect 73 run -i in -o out --errors errors
expect 0 run -i in -o out --errors errors --retry-errors
[[ $(wc -l < out) == 4 && ! -s errors ]]
