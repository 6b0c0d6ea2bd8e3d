#!/usr/bin/env bash
# What a request says stands in its own record at most: never on standard error or in the report, whatever goes wrong.
source "$(dirname "$0")/support/setup.sh"
secret=Xylophone-4711
{
  echo '{"id":"a","prompt":"'$secret'","max_tokens":2}'
  echo '{"id":"b","messages":[{"role":"user","content":"'$secret'"}],"max_tokens":2}'
  echo '{"id":"c","context":"'$secret'","continuation":"'$secret'"}'
  echo '{"id":"d","text":"'$secret'","rolling":true}'
  echo '{"id":"e","prompt":"'$secret'","max_tokens":"'$secret'"}'
  echo '{"id":"f","prompt":["'$secret'",1]}'
  echo '{"id":"g","prompt":"'$secret
  echo $secret
  echo '{"custom_id":"h","method":"POST","url":"/v1/completions","body":{"prompt":"'$secret'","stop":["'$secret'"],"max_tokens":2}}'
  echo '{"id":"i","prompt":"'$(printf "$secret %.0s" {1..400})'"}'
} > in
silent() {
  ! grep -q "$secret" stderr || fail "standard error: $(< stderr)"
  [[ ! -e report ]] || ! grep -q "$secret" report || fail 'the report'
  rm -f report
}
for mode in log bar none; do
  expect 65 "$PENSTOCK" run "$MODEL" -i in -o out --overwrite --progress $mode --report report
  [[ -s stderr && -s report ]]
  silent
done
expect 73 run -i in -o out --seed 1 && silent  # answered under other settings
sed 's/"id":"a","prompt":"/&No /' in > changed
expect 73 run -i changed -o out && silent
cp in foreign
expect 73 run -i in -o foreign && silent  # the output holds prompts
expect 74 run -i in -o /dev/full && silent
expect 65 "$PENSTOCK" tokenize "$MODEL" -i in -o tokens && silent
grep -q "$secret" tokens
