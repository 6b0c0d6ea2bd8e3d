#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 3 > in
cp in before
ln -s in link
ln in hard
for name in in link hard ./in; do
  expect 64 run -i in -o $name
  expect 64 run -i $name -o in
done
expect 64 run -o in < in
expect 64 run -i in -o out --report in
expect 64 run -i in -o out --report out
expect 64 run -i in -o out --report ./out
expect 64 run -i in -o out --report-html hard
expect 64 run -i in -o out --report-html ./out
expect 64 run -i in -o out --errors errors --report-html ./errors
expect 64 run -i in -o out --report report --report-html ./report
expect 64 "$PENSTOCK" bench "$MODEL" --report in --report-html link
expect 64 run -i in -o out --errors ./out
expect 64 run -i /dev/stdin -o in < in
expect 64 run -o /dev/stdin < in
expect 64 run -i in -o - 1<> in
expect 64 run -i in -o /dev/stdout 1<> in
cmp in before
[[ ! -e out && ! -e errors && ! -e report ]]
# Links to files that come to be only when they are opened.
ln -s out later
expect 64 run -i in -o out --report later --errors errors
rm out errors
expect 64 run -i in -o later --report out
