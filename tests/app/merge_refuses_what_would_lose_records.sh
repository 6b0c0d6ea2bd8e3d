#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 12 > in
for i in 0 1 2; do expect 0 run -i in -o out$i --shard $i/3; done
mkdir originals
cp in out? originals
merge() { "$PENSTOCK" merge -i in "$@"; }
untouched() { for file in in out0 out1 out2; do cmp $file originals/$file; done; [[ ! -e merged ]]; }

# Usage.
expect 64 "$PENSTOCK" merge out0
expect 64 merge -o merged
expect 64 merge -o in out0
expect 64 merge -o out0 out0 out1 out2
expect 64 merge -o merged out0 out1 out0
grep -q 'named twice' stderr
ln -s out1 link
ln out2 hard
expect 64 merge -o link out0 out1
expect 64 merge -o merged out2 hard
expect 64 merge -o merged --errors merged out0
expect 64 merge -o merged --errors out0 out0
expect 64 merge -o merged in out0
mkfifo pipe
expect 64 merge -o merged pipe
untouched

# -o out*: the shell makes the first part the output. Its records are in no other part.
expect 73 merge -o out*
grep -q 'would be lost' stderr
untouched

# Not found.
expect 66 merge -o merged out0 absent
expect 66 merge -o merged out0 .
expect 66 "$PENSTOCK" merge -i absent -o merged out0
untouched

# Another job: a foreign line, an id that the input lacks, an answer by other settings.
echo '{"text":"no record"}' > foreign
expect 73 merge -o merged out0 foreign
grep -q 'foreign: line 1' stderr
printf 'half a line of something' > foreign
expect 73 merge -o merged out0 foreign
expect 73 "$PENSTOCK" merge -i <(tail -n +2 in) -o merged out0 out1 out2
grep -q 'the input has no id "r1"' stderr
expect 0 run -i in -o other --shard 0/3 --seed 7
expect 73 merge -o merged out0 out1 out2 other
grep -q '"r[0-9]*" is answered for another request' stderr
untouched

# A part, or the output, that a run is writing.
mkfifo feed
start -i feed -o busy
exec 7> feed
wait_until 20 test -e busy
cp in copy
wait_until 20 bash -c '! flock --nonblock busy true'
expect 73 merge -o merged out0 busy
grep -q 'busy: a run is still writing it' stderr
expect 73 merge -o busy out0 out1 out2
exec 7>&-
wait $pid
untouched

# A signal, while it waits for its input and while it waits for its reader: nothing is left behind.
for waiting in 'feed merged' 'in slow_reader'; do
  read -r input output <<< "$waiting"
  [[ $input == feed ]] || { mkfifo slow_reader; requests 1 3000 > in; expect 0 run -i in -o many; }
  exec 7<> feed 8<> ${output/merged/feed}
  env --default-signal=HUP,INT "$PENSTOCK" merge -i $input -o $output $([[ $input == in ]] && echo many || echo out0) 2> stderr &
  pid=$!
  sleep 1
  kill -TERM $pid
  code=0
  wait $pid || code=$?
  [[ $code == 75 ]] || fail "exit $code: $(< stderr)"
  exec 7>&- 8>&-
done
cp originals/in in
[[ $(ls -A | grep -c penstock-new) == 0 ]]
untouched

# What cannot be written.
expect 73 merge -o absent/merged out0 out1 out2
expect 74 merge -o /dev/full out0 out1 out2
code=0
(trap '' XFSZ; ulimit -f 1; "$PENSTOCK" merge -i in -o merged out0 out1 out2 2> stderr) || code=$?
[[ $code == 74 ]] || fail "exit $code: $(< stderr)"
[[ $(ls -A | grep -c penstock-new) == 0 ]]
untouched
