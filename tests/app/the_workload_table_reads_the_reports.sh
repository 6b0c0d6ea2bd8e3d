#!/usr/bin/env bash
# scripts/gpu_workloads.py on reports of a small run: its table needs fields that the report must keep.
scripts=$(realpath "$(dirname "$0")/../../scripts")
source "$(dirname "$0")/support/setup.sh"
cat > small << SH
#!/usr/bin/env bash
echo "\$*" >> commands
exec "$PENSTOCK" bench "$MODEL" --device cpu --input-tokens 16 --output-tokens 8 --requests 4 --report "\${@: -1}"
SH
chmod +x small
expect 0 python3 "$scripts/gpu_workloads.py" --penstock ./small --reports kept 8b-batch-8 8b-128-128-sampled -- --batch 7 > table
grep -Eq '^8b-batch-8 +[1-9][0-9,]* +[0-9.]+ % +1,578 ' table || { cat table; fail "no row of decoding"; }
grep -Eq '^8b-128-128-sampled +[1-9][0-9,]* +[0-9.]+ % +16,231-16,796 ' table || { cat table; fail "no row of a whole run"; }
[[ -s kept/8b-batch-8.json && -s kept/8b-128-128-sampled.json ]] || fail "the reports were not kept"
grep -q -- '--batch 7 .*--temperature 0.8 --top-p 0.95' commands || fail "flags were lost: $(cat commands)"
expect 2 python3 "$scripts/gpu_workloads.py" --penstock ./small no-such-workload
