#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 3000 > in
set +o pipefail
{ code=0; run -i in 2> stderr || code=$?; echo $code > code; } | head -1 > first
[[ $(< code) == 74 && $(wc -l < first) == 1 ]]
