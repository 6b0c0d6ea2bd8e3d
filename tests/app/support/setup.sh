# Sourced by the shell tests. PENSTOCK: the binary; MODEL: a tiny model folder. The test runs in an empty folder.
set -euo pipefail
: "${PENSTOCK:?}" "${MODEL:?}"
PENSTOCK=$(realpath "$PENSTOCK") MODEL=$(realpath "$MODEL")
support=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
cd "$here"

fail() { echo "FAILED: $*" >&2; exit 1; }

# expect CODE COMMAND…: the exit code must be CODE; standard error goes to the file `stderr`.
expect() {
  local wanted=$1 code=0; shift
  "$@" 2> stderr || code=$?
  [[ $code == "$wanted" ]] || { cat stderr >&2; fail "exit $code instead of $wanted: $*"; }
}

# requests FIRST LAST [TOKENS]: bare requests r<FIRST> … r<LAST>
requests() {
  local i
  for ((i = $1; i <= $2; ++i)); do
    echo "{\"id\":\"r$i\",\"prompt\":\"Hello number $i\",\"max_tokens\":${3:-4},\"ignore_eos\":true}"
  done
}

run() { "$PENSTOCK" run "$MODEL" --progress none "$@"; }

# start ARGUMENTS…: the same in the background, as process $pid; standard error goes to the file `stderr`
start() {
  # bash starts background jobs with SIGINT ignored, and nohup leaves SIGHUP so.
  env --default-signal=HUP,INT "$PENSTOCK" run "$MODEL" --progress none "$@" 2> stderr &
  pid=$!
}

# wait_until SECONDS COMMAND…
wait_until() {
  local end=$((SECONDS + $1)); shift
  until "$@"; do
    ((SECONDS < end)) || fail "waited in vain for: $*"
    sleep 0.02
  done
}

ids() { grep -o '^{"id":"[^"]*"' "$1" | cut -d'"' -f4; }
