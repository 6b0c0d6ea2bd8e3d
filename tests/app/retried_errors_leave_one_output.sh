#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 3 > in
echo '{"id":"e","prompt":"x","n":0}' >> in
ln -s real out
expect 65 run -i in -o out
sed -i 's/"n":0/"n":1,"max_tokens":3/' in
expect 0 run -i in -o out --retry-errors
[[ -L out && $(wc -l < out) == 4 ]]
diff <(ids in | sort) <(ids out | sort)
