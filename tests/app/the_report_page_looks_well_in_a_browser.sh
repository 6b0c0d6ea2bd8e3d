#!/usr/bin/env bash
support=$(realpath "$(dirname "$0")/support")
source "$support/setup.sh"
look() { python3 "$support/look_at_pages.py" "$@"; }

# A run with errors, under a long name; one that finds everything answered; and a bench.
name=a-model-with-a-very-long-name-that-no-phone-can-show-in-one-line-of-its-narrow-screen
cp -r "$MODEL" $name
requests 1 60 30 > in
printf '%s\n' '{bad' '{"id":"x","prompt":"a","temprature":1}' >> in
expect 65 "$PENSTOCK" run $name -i in -o out --progress none --report-html run.html
expect 65 "$PENSTOCK" run $name -i in -o out --progress none --report-html again.html
expect 0 "$PENSTOCK" bench "$MODEL" --input-tokens 30 --output-tokens 10 --requests 20 --report-html bench.html
look run.html again.html bench.html

# Each of these would be seen.
spoilt() {
  local wanted=$1
  sed "$2" run.html > spoilt.html
  ! cmp -s run.html spoilt.html || fail "nothing was spoilt by $2"
  expect 1 look spoilt.html
  grep -q "$wanted" stderr || fail "no word of '$wanted': $(tail -n 1 stderr)"
}
spoilt 'the plot throughput is empty' 's/^path {/path { display: none;/'
spoilt 'the page is' 's/^main {/main { min-width: 500px;/'
spoilt 'contrast' 's/--soft: #9aa7b8/--soft: #444/'
spoilt 'on text' 's/^text {/text { letter-spacing: 9px;/'
spoilt 'example.org' 's|</main>|<img src="https://example.org/x.png"></main>|'
spoilt 'script' 's|</main>|<script>let a = 1;</script></main>|'
