#!/usr/bin/env python3
"""Write the golden answers that the tests compare with: Hugging Face transformers in f32 on the CPU, greedy.

    make_golden.py --smollm2 DIR samples tests/model/golden        needs torch, transformers, tokenizers

One JSON line a prompt: {"prompt", "prompt_token_ids", "token_ids", "margins"}: the rendered text, its ids by
tokenizers.Tokenizer (AutoTokenizer drops SmolLM2's Digits step), the greedy ids (EOS ends them and is kept), and the gap
between the two largest logits at each of them.
And for scoring: {"prompt_token_ids", "score_from", "logprobs", "argmax"}.
"""

import argparse
import json
import os

import jinja2
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

QUESTIONS = [
    "What is the capital of France?", "Write a haiku about the sea.", "List three uses of a paper clip.",
    "Explain photosynthesis to a child.", "What is 17 times 23?", "Translate 'good morning' into Spanish.",
    "Give me a recipe for pancakes.", "Why is the sky blue?", "Summarize the plot of Hamlet in one sentence.",
    "Write a Python function that reverses a string.", "Who wrote Pride and Prejudice?",
    "Name five animals that live in Africa.", "What does HTTP stand for?", "Tell me a joke about computers.",
    "How do I tie a bowline knot?", "What is the boiling point of water in Fahrenheit?",
    "Describe a thunderstorm in two sentences.", "What are prime numbers?", "Convert 10 miles to kilometres.",
    "Write a polite email asking for a day off.", "¿Cuál es la capital de Perú?", "日本の首都はどこですか？",
    "What is the difference between a virus and a bacterium?", "Give three synonyms for 'happy'.",
    "Explain recursion with an example.", "What year did the Second World War end?", "Write one line of SQL that counts rows.",
    "How does a bicycle stay upright?", "What is the largest planet?", "Make up a name for a bakery. 🥐",
    "Is 91 a prime number? Explain.", "Finish this sentence: The old lighthouse keeper",
]
SYSTEM = ["You are a helpful assistant.", "Answer briefly.", None]


def chats():
    for i, question in enumerate(QUESTIONS):
        messages = [{"role": "user", "content": question}]
        if SYSTEM[i % 3]:
            messages.insert(0, {"role": "system", "content": SYSTEM[i % 3]})
        if i % 8 == 7:
            messages += [{"role": "assistant", "content": "Certainly."},
                         {"role": "user", "content": "Please go on, and give an example with the numbers 12 and 345."}]
        yield messages


def render(folder, messages):
    with open(os.path.join(folder, "tokenizer_config.json"), encoding="utf-8") as file:
        config = json.load(file)
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(config["chat_template"]).render(
        messages=messages, add_generation_prompt=True, bos_token=config["bos_token"], eos_token=config["eos_token"])


def stop_ids(folder):
    ids = set()
    for name in ("config.json", "generation_config.json"):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            eos = json.load(file).get("eos_token_id")
        ids |= set(eos if isinstance(eos, list) else [] if eos is None else [eos])
    return ids


def greedy(model, prompt, count, stops):
    ids, margins = [], []
    step, cache = torch.tensor([prompt]), None
    with torch.no_grad():
        for _ in range(count):
            out = model(step, past_key_values=cache, use_cache=True)
            cache, logits = out.past_key_values, out.logits[0, -1]
            top = torch.topk(logits, 2)
            ids.append(int(top.indices[0]))
            margins.append(round(float(top.values[0] - top.values[1]), 6))
            if ids[-1] in stops:
                break
            step = torch.tensor([[ids[-1]]])
    return ids, margins


def scores(model, ids, score_from):
    with torch.no_grad():
        logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
    wanted = range(score_from, len(ids))
    return {"prompt_token_ids": ids, "score_from": score_from,
            "logprobs": [round(float(logprobs[p - 1, ids[p]]), 6) for p in wanted],
            "argmax": [bool(logprobs[p - 1].argmax() == ids[p]) for p in wanted]}


def write(folder, out, count, num_prompts):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    stops = stop_ids(folder)
    with open(out, "w", encoding="utf-8") as file:
        for i, messages in enumerate(list(chats())[:num_prompts]):
            prompt = render(folder, messages)
            ids = tokenizer.encode(prompt, add_special_tokens=False).ids
            tokens, margins = greedy(model, ids, count, stops)
            line = {"prompt": prompt, "prompt_token_ids": ids, "token_ids": tokens, "margins": margins}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            if i % 4 == 0:
                file.write(json.dumps(scores(model, ids + tokens, max(1, len(ids) - 5))) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smollm2", help="folder of SmolLM2-135M-Instruct; without it only the tiny models")
    parser.add_argument("samples")
    parser.add_argument("out")
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    for name in sorted(os.listdir(arguments.samples)):
        if name.startswith("tiny-"):
            write(os.path.join(arguments.samples, name), os.path.join(arguments.out, name + ".jsonl"), 64, 16)
    if arguments.smollm2:
        write(arguments.smollm2, os.path.join(arguments.out, "smollm2.jsonl"), 64, 32)


if __name__ == "__main__":
    main()
