#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 1 > in
for flag in --nonsense '--max-batch 0' '--max-batch x' '--max-batch 1.5' '--max-step-tokens -1' '--kernels fast' '--temperature nan' '--temperature -1' '--top-p 1.5' '--shard 2/2' \
  '--shard 1' '--deadline 5x' '--deadline 0' '--deadline -1' '--deadline @' '--deadline 2h3h' '--block-size 7' '--dtype f64' '--seed -1' '--grace inf' '--max-context 100000000' '--speculate on'; do
  expect 64 run -i in -o out $flag
  grep -q -e "${flag%% *}" stderr || fail "no word of $flag: $(< stderr)"
done
expect 64 "$PENSTOCK"
expect 64 "$PENSTOCK" run
expect 0 "$PENSTOCK" --help > help
expect 0 "$PENSTOCK" run --help > help
expect 0 "$PENSTOCK" --version > version
[[ ! -e out ]]
