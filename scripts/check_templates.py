#!/usr/bin/env python3
"""Renders chat templates with our interpreter and with Hugging Face's Jinja, and compares the bytes.

usage: check_templates.py DRIVER FOLDER…            every conversation of template_conversations.py with every template
       check_templates.py DRIVER --fuzz COUNT SEED  random small templates

DRIVER reads one JSON object a line, {"template", "variables"}, and answers each with a line {"text"} or {"error"}:
`tests_engine_text` does with `"[.template-driver]"` (see tests/engine/text/test_chat_template.cpp).
FOLDER holds *.jinja files, or a tokenizer_config.json with a chat_template. Needs jinja2.
"""
import glob
import json
import os
import subprocess
import sys

import template_oracle
from template_conversations import conversations
from template_fuzz import VARIABLES, Fuzz

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
# What jinja2 does and we refuse by name: an error of ours that says so is no difference, but it is counted.
REFUSED = ("64 bits", "is not supported")


def templates(folders):
    for folder in folders:
        for path in sorted(glob.glob(os.path.join(folder, "*.jinja"))):
            yield os.path.basename(path), open(path, encoding="utf-8", newline="").read()
        config = os.path.join(folder, "tokenizer_config.json")
        if os.path.exists(config):
            yield config, json.load(open(config, encoding="utf-8"))["chat_template"]


def answers(driver, cases):
    lines = "".join(json.dumps({"template": source, "variables": variables}) + "\n" for source, variables in cases)
    done = subprocess.run(driver, input=lines, text=True, capture_output=True)
    out = [json.loads(line) for line in done.stdout.split("\n") if line.startswith("{")]
    if len(out) != len(cases):
        print(f"the driver answered {len(out)} of {len(cases)} lines, exit {done.returncode}; it ended at")
        sys.exit(f"{cases[len(out)][0]!r}\n{done.stderr[-2000:]}")
    return out


def same(want, answer):
    return "error" in answer if isinstance(want, Exception) else answer.get("text") == want


def show(case, want, answer):
    print("   variables:", json.dumps(case, ensure_ascii=False)[:300])
    print("   expected: ", repr(want)[:300])
    print("   got:      ", repr(answer.get("error", answer.get("text")))[:300])


def check_folders(driver, folders):
    exact = count = total = equal = 0
    for name, source in templates(folders):
        cases = [{**one, **TOKENS} for one in conversations()]
        wanted = [template_oracle.render(source, case) for case in cases]
        got = answers(driver, [(source, case) for case in cases])
        failures = [one for one in zip(cases, wanted, got) if not same(one[1], one[2])]
        count, total = count + 1, total + len(cases)
        equal, exact = equal + len(cases) - len(failures), exact + (not failures)
        errors = sum(isinstance(want, Exception) for want in wanted)
        print(f"{len(cases) - len(failures):4}/{len(cases)} ({errors} errors) {name}")
        for one in failures[:2]:
            show(*one)
    print(f"{exact} of {count} templates equal throughout; {equal} of {total} renderings equal")
    return count > 0 and equal == total


def check_fuzz(driver, count, seed):
    fuzz, refused, differ, errors = Fuzz(seed), {}, 0, 0
    for begin in range(0, count, 2000):
        sources = [fuzz.template() for _ in range(min(2000, count - begin))]
        for source, answer in zip(sources, answers(driver, [(source, VARIABLES) for source in sources])):
            want = template_oracle.render(source, VARIABLES)
            errors += isinstance(want, Exception)
            if same(want, answer) or (isinstance(want, str) and (" at 0x" in want or " object " in want)):
                continue  # equal, or an address, which no two runs share
            reason = [part for part in REFUSED if part in answer.get("error", "")]
            if reason:
                refused[reason[0]] = refused.get(reason[0], 0) + 1
                continue
            differ += 1
            if differ <= 20:
                print("   template: ", repr(source))
                show({}, want, answer)
    print(f"fuzz, seed {seed}: {differ} of {count} templates differ; jinja2 fails on {errors}; refused: {refused}")
    return differ == 0 and sum(refused.values()) * 20 < count


def main():
    driver, arguments = sys.argv[1].split(), sys.argv[2:]
    if arguments[0] == "--fuzz":
        sys.exit(not check_fuzz(driver, int(arguments[1]), int(arguments[2])))
    sys.exit(not check_folders(driver, arguments))


if __name__ == "__main__":
    main()
