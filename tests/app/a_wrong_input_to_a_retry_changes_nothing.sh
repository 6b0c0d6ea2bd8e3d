#!/usr/bin/env bash
# --retry-errors takes error records out only once the input is known to be this job's.
source "$(dirname "$0")/support/setup.sh"
requests 1 3 > in
echo '{"id":"e","prompt":"x","n":0}' >> in
expect 65 run -i in -o out
cp out before
requests 4 6 > other
expect 73 run -i other -o out --retry-errors
cmp out before
expect 73 run -i in -o out --retry-errors --seed 5
cmp out before
cp in out.penstock-new
expect 64 run -i out.penstock-new -o out --retry-errors
cmp in out.penstock-new
rm out.penstock-new
ln -s in out.penstock-new
expect 64 run -i in -o out --retry-errors
rm out.penstock-new
cp in precious
ln -s precious out.penstock-new
expect 73 run -i in -o out --retry-errors
cmp in precious
