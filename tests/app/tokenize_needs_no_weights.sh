#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
cp -rL "$MODEL" model
rm model/*.safetensors*
requests 1 2 > in
echo '{bad' >> in
expect 65 "$PENSTOCK" tokenize model -i in -o out
[[ $(wc -l < out) == 3 ]]
head -1 out | grep -q '"prompt":"Hello number 1","prompt_token_ids":\[[0-9,]*\]'
