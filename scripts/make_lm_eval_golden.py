#!/usr/bin/env python3
"""Write what check_lm_eval.py compares with: the answers and metrics of lm-eval's own hf model in f32 on the CPU.

    make_lm_eval_golden.py SMOLLM2 [OUT]      needs lm-eval, torch, transformers, accelerate; OUT: default tests/lm_eval/golden

The tokenizer is a PreTrainedTokenizerFast (AutoTokenizer drops SmolLM2's Digits step). Softmax is in f64, by hf's own option:
torch's in f32 is off by 1e-5 a token with a vocabulary as large as SmolLM2's, always to the same side, which adds up to
1e-2 over a page of text.
"""
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from check_lm_eval import CASES, settings


def evaluate(name, smollm2):
    folder, tasks, max_length, chat = settings(name, smollm2)
    model = HFLM(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), max_length=max_length,
                 tokenizer=PreTrainedTokenizerFast.from_pretrained(folder), softmax_dtype=torch.float64)
    done = simple_evaluate(model, tasks=tasks, task_manager=TaskManager(include_path="tests/lm_eval"),
                           apply_chat_template=chat, fewshot_as_multiturn=chat)
    resps = {task: [one["resps"] for one in sorted(samples, key=lambda one: one["doc_id"])]
             for task, samples in done["samples"].items()}
    return {"results": done["results"], "resps": resps}


def main():
    smollm2, out = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "tests/lm_eval/golden"
    os.makedirs(out, exist_ok=True)
    for name in CASES:
        with open(f"{out}/{name}.json", "w", encoding="utf-8") as file:
            json.dump(evaluate(name, smollm2), file, indent=1, ensure_ascii=False)
            file.write("\n")


if __name__ == "__main__":
    main()
