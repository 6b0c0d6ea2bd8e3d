#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
requests 1 3 > in
mkdir folder
echo > folder/report
chmod 755 "$here"
chmod 555 folder
chmod 444 folder/report in
# Permissions do not bind root.
as_user() { "$@"; }
[[ $(id -u) != 0 ]] || as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
cp "$PENSTOCK" penstock
cp -rL "$MODEL" model
job=(as_user ./penstock run model -i in)
expect 73 "${job[@]}" -o folder/out
expect 73 "${job[@]}" -o /dev/null --errors folder/errors
expect 73 "${job[@]}" -o /dev/null --report folder/report
expect 73 "${job[@]}" -o /dev/null --report folder/another
expect 0 "${job[@]}" -o /dev/null
[[ $(ls folder) == report ]]
