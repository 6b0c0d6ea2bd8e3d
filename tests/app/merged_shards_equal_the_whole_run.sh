#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
{
  requests 1 20
  requests 3 5  # used ids: their records are named after their lines
  echo '{bad'
  echo
  echo '{"prompt":"no id","max_tokens":3}'
  echo '{"custom_id":"b","method":"POST","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"Hi"}],"max_tokens":3}}'
  echo '{"custom_id":"r7","method":"POST","url":"/v1/completions","body":{"prompt":"x"}}'
  echo '{"id":"line-3","prompt":"x"}'
  echo '{"id":"ids","prompt_token_ids":[99999999]}'
  echo '{"id":"colour","prompt":"x","colour":1}'
  requests 21 30
} > in
expect 65 run -i in -o whole --ordered
expect 65 run -i in -o whole_answers --errors whole_errors --ordered
for i in 0 1 2; do
  expect 65 run -i in -o answers$i --errors errors$i --shard $i/3
  expect 65 run -i in -o out$i --shard $i/3
done
merge() { "$PENSTOCK" merge -i in "$@"; }

expect 65 merge -o merged out0 out1 out2
cmp merged whole
grep -q '40 lines: 32 answers, 8 error records, 0 missing; 0 duplicates' stderr
expect 65 merge out2 out0 out1 > streamed
cmp streamed whole
"$PENSTOCK" merge -i - out2 out0 out1 < in > streamed 2> stderr && fail "exit 0 with error records"
cmp streamed whole
expect 65 merge -o merged_answers --errors merged_errors answers? errors?
cmp merged_answers whole_answers
cmp merged_errors whole_errors
# Records of either kind come from any part; a merged file is a part as well, and a journal.
expect 65 merge -o again merged_answers merged_errors
cmp again whole
expect 65 run -i in -o merged
cmp merged whole

requests 1 9 > in
for i in 0 1; do expect 0 run -i in -o clean$i --shard $i/2; done
expect 0 merge -o clean clean0 clean1
expect 0 run -i in -o clean_whole --ordered
cmp clean clean_whole
[[ $(ls -A | grep -c penstock-new) == 0 ]]
