#!/usr/bin/env bash
source "$(dirname "$0")/support/setup.sh"
samples=$(dirname "$MODEL")
requests 1 2 > in

# refused WORDS: the draft model in the folder `draft` is refused before anything is written.
refused() {
  expect 78 run -i in -o out --speculate draft --draft-model draft
  grep -q -e '--draft-model: the tokenizer of draft is another' stderr || fail "$(< stderr)"
  grep -q -e "$1" stderr || fail "no word of $1: $(< stderr)"
  [[ ! -e out ]] || fail "an output"
}
# changed PYTHON: tiny-llama3 with a tokenizer in which PYTHON has changed `t`
changed() {
  rm -rf draft
  cp -r "$samples"/tiny-llama3 draft
  python3 - "$1" << 'PY'
import json, sys
t = json.load(open("draft/tokenizer.json"))
exec(sys.argv[1])
json.dump(t, open("draft/tokenizer.json", "w"), indent=1)
PY
}

cp -r "$samples"/tiny-qwen3 draft
refused 'its id [0-9]* is "\|it lacks id [0-9]*\|it also has id [0-9]*'
changed 'v = t["model"]["vocab"]; a, b = [k for k, i in v.items() if i in (300, 301)]; v[a], v[b] = v[b], v[a]'
refused 'its id 300 is "'
changed 't["model"]["merges"].reverse()'
refused 'its merges differ from number 1 on'
changed 't["added_tokens"].append({"id": max(t["model"]["vocab"].values()) + 1, "content": "<new>", "single_word": False,
  "lstrip": False, "rstrip": False, "normalized": False, "special": True})'
refused 'it also has id [0-9]*, "<new>"'

# Spelled in another way it is the same; so is one whose model has other rows of padding.
changed 't["model"]["merges"] = [m.split(" ") if isinstance(m, str) else " ".join(m) for m in t["model"]["merges"]]'
expect 0 run -i in -o out --speculate draft --draft-model draft
expect 66 run -i in -o out2 --speculate draft --draft-model nowhere
