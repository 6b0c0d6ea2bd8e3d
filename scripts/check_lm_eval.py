#!/usr/bin/env python3
"""Evaluates the tasks in tests/lm_eval with Penstock, by the command line that lm_eval_penstock.py documents, and
compares every answer and metric with those of lm-eval's own hf model in f32 (make_lm_eval_golden.py).

    check_lm_eval.py SMOLLM2 [GOLDEN]      needs lm-eval; PENSTOCK names the binary; GOLDEN: default tests/lm_eval/golden

The last case is killed after its first answer, and the same command must then continue it.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile
import time

TASKS = ["penstock_choice", "penstock_continuation", "penstock_generation", "penstock_rolling"]
# name: (model, tasks, max_length, chat). What is longer than max_length is cut, which hf takes long to do at 8192.
CASES = {
    "tiny-llama": ("samples/tiny-llama", TASKS, 512, False),
    "smollm2-chat": ("smollm2", ["penstock_choice", "penstock_generation"], 1024, True),
    "smollm2": ("smollm2", TASKS, 256, False),
}
LOGPROB_BOUND = 1e-3


def settings(name, smollm2):
    """The model's folder and the rest of the case."""
    model, *rest = CASES[name]
    return smollm2 if model == "smollm2" else model, *rest


def command(name, smollm2, work):
    model, tasks, max_length, chat = settings(name, smollm2)
    words = ["--model", "penstock", "--include_path", "tests/lm_eval", "--tasks", ",".join(tasks), "--log_samples",
             "--output_path", f"{work}/results", "--model_args",
             f"pretrained={model},penstock={os.environ['PENSTOCK']},max_length={max_length},work_dir={work}",
             "--device", "cpu"]
    return [sys.executable, "scripts/lm_eval_penstock.py", *words,
            *(["--apply_chat_template", "--fewshot_as_multiturn", "True"] if chat else [])]


def answers_of(work):
    return {path: open(path, "rb").read() for path in glob.glob(f"{work}/*.answers.jsonl")}


def kill_after_first_answer(words, work, environment):
    """What was answered by then."""
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any(answers_of(work).values()):
        assert process.poll() is None, f"exit {process.returncode} before the first answer"
        time.sleep(0.01)
    process.kill()
    process.wait()
    return answers_of(work)


def only(pattern):
    paths = glob.glob(pattern)
    assert len(paths) == 1, (pattern, paths)
    return open(paths[0], encoding="utf-8")


def evaluate(name, smollm2, environment, killed):
    """{"results", "resps"} as in a golden file."""
    with tempfile.TemporaryDirectory() as work:
        words = command(name, smollm2, work)
        before = kill_after_first_answer(words, work, environment) if killed else {}
        done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout[-4000:]
        for path, kept in answers_of(work).items():
            whole_lines = before.get(path, b"").rpartition(b"\n")[0]
            assert kept.startswith(whole_lines), f"{path} was not continued"
        results = json.load(only(f"{work}/results/*/results_*.json"))["results"]
        resps = {}
        for task in results:
            samples = [json.loads(line) for line in only(f"{work}/results/*/samples_{task}_*.jsonl")]
            resps[task] = [one["resps"] for one in sorted(samples, key=lambda one: one["doc_id"])]
        return {"results": results, "resps": resps}


def logged(value):
    """lm-eval writes numbers and flags of logged samples as text."""
    return json.loads(value.lower()) if isinstance(value, str) else value


def differences(want, got, generated):
    """Of one request's answers: how far its log-likelihood is off, and whether all the rest is equal."""
    if generated:
        return 0, want == got
    (want_sum, *want_flag), (got_sum, *got_flag) = (map(logged, one) if isinstance(one, list) else [logged(one)]
                                                   for one in (want, got))
    return abs(want_sum - got_sum), want_flag == got_flag


def compare(name, want, got):
    failures, worst, count = [], 0, 0
    for task, documents in want["resps"].items():
        assert len(documents) == len(got["resps"][task]), task
        for i, (wanted, answered) in enumerate(zip(documents, got["resps"][task])):
            for j, (one, other) in enumerate(zip(wanted, answered, strict=True)):
                off, equal = differences(one[0], other[0], task == "penstock_generation")
                count, worst = count + 1, max(worst, off)
                if not (equal and off <= LOGPROB_BOUND):
                    failures.append(f"{task}, document {i}, request {j}: hf has {one}, Penstock {other}")
        for metric, value in want["results"][task].items():
            if isinstance(value, float) and "stderr" not in metric:
                found = got["results"][task][metric]
                exact = "acc" in metric or "exact_match" in metric
                if not (found == value if exact else abs(found - value) <= LOGPROB_BOUND * abs(value)):
                    failures.append(f"{task}: {metric} is {value} with hf, {found} with Penstock")
    print(f"{name}: {count} answers, log-likelihoods within {worst:.1e} of hf's; {len(failures)} differences")
    print("".join(f"   {line}\n" for line in failures[:20]), end="")
    return not failures


def main():
    smollm2, golden = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "tests/lm_eval/golden"
    equal = True
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "HF_HOME": cache, "HF_HUB_OFFLINE": "1"}
        for name in CASES:
            got = evaluate(name, smollm2, environment, killed=name == list(CASES)[-1])
            with open(f"{golden}/{name}.json", encoding="utf-8") as file:
                equal &= compare(name, json.load(file), got)
    sys.exit(not equal)


if __name__ == "__main__":
    main()
