#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 2 > in
printf 'output = "out"\nmax-batch = 3\nordered = true\nprefix-cache = "off"\n' > job
expect 0 run -i in --config job --report report
[[ $(wc -l < out) == 2 ]]
echo 'nonsense = 1' > job
expect 64 run -i in --config job
echo 'max-batch = 0' > job
expect 64 run -i in --config job
expect 0 run -i in --config job --max-batch 2 > /dev/null
