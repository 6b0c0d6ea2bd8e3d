#!/usr/bin/env bash
# Neither output nor report may be what the model is read from, by whatever name; beside it they are welcome.
source "$(dirname "$0")/support/setup.sh"
cp -rL "$MODEL" model
cp -r model before
requests 1 3 > in
ln -s model/config.json link
ln model/model-00002-of-00002.safetensors hard
ln -s model/chat_template.jinja dangling
for name in model/config.json model/tokenizer.json model/model-00001-of-00002.safetensors model/model.safetensors.index.json \
  model/chat_template.jinja model/./generation_config.json link hard; do
  expect 64 "$PENSTOCK" run model -i in -o $name --overwrite
  expect 64 "$PENSTOCK" run model -i in -o out --report $name
  expect 64 "$PENSTOCK" run model -i in -o out --errors $name --overwrite
  [[ $name == *safetensors* || $name == hard ]] || expect 64 "$PENSTOCK" tokenize model -i in -o $name
done
diff -r model before
expect 0 "$PENSTOCK" run model -i in -o model/out --report model/report
expect 0 "$PENSTOCK" run model -i in -o model/out --report model/report
[[ $(wc -l < model/out) == 3 ]]
