#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 30 > in
for i in 0 1 2; do expect 0 run -i in -o out$i --shard $i/3 --ordered; done
expect 0 run -i in -o whole --ordered
merge() { "$PENSTOCK" merge -i in "$@"; }

# A shard that is not there.
expect 65 merge -o merged out0 out2
[[ $(wc -l < merged) == 20 ]]
grep -q 'line 2: no part has a record of the id "r2"' stderr
grep -q '30 lines: 20 answers, 0 error records, 10 missing; 0 duplicates' stderr
# Once it is, the same output is replaced; or a run fills the gaps.
cp merged filled
expect 0 merge -o merged out0 out1 out2
cmp merged whole
expect 0 run -i in -o filled
diff <(sort filled) <(sort whole)

# A torn last line is a gap, whatever has been written of it, and the part is named.
for cut in 1 2 30; do
  head -c -$cut out1 > torn
  expect 65 merge -o merged_torn --overwrite out0 torn out2
  grep -q '^penstock: torn: its last line is torn' stderr
  grep -q 'line 29: no part has a record of the id "r29"' stderr
  grep -v '"r29"' whole | cmp - merged_torn
done

# Many gaps are counted, and ten are named.
expect 65 merge -o one_part out0
[[ $(grep -c 'no part has a record' stderr) == 10 ]]
grep -q 'and 10 more' stderr

# A record that two parts have counts once.
head -4 out1 > some
expect 65 merge -o merged2 out0 out1 out2 some
cmp merged2 whole
grep -q 'some: line 1: the id "r2" has a record in out1 already' stderr
grep -q '0 missing; 4 duplicates' stderr

# Of an error record and its answer, the answer counts, in either order.
echo '{"id":"big","prompt":"x","max_tokens":2000}' > in
expect 65 run -i in -o failed --kv-blocks 2 --block-size 16
expect 0 run -i in -o answered
expect 65 merge -o a failed answered
expect 65 merge -o b answered failed
cmp a answered
cmp b answered
# And an answer is not replaced by its error record.
expect 73 merge -o a failed
cmp a answered
expect 65 merge -o a failed --overwrite
cmp a failed
