#!/usr/bin/env python3
"""Write the golden answers that the tests compare with: Hugging Face transformers in f32 on the CPU, greedy.

    make_golden.py [--only NAME]... [--smollm2 DIR] samples tests/model/golden    needs torch, transformers, tokenizers

One JSON line a prompt: {"prompt", "prompt_token_ids", "token_ids", "margins"}: the text, its ids by
tokenizers.Tokenizer (AutoTokenizer drops SmolLM2's Digits step), the greedy ids (EOS ends them and is kept), and the gap
between the two largest logits at each of them.
And for scoring: {"prompt_token_ids", "score_from", "logprobs", "argmax", "logits_at"}. The logits at the positions
logits_at, [positions, vocab] as little-endian f32, lie one after the other in NAME.logits.

For the tiny models the script stops when an answer hangs on less than float noise: a gap below 1e-3, or logits that f64
moves by more than 3e-5.
"""

import argparse
import json
import os
import sys

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
PIECES = (1, 12, 30, 47, 48, 60, 17, 150)  # tokens
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
    """Without a cache, because a sequence that outgrows LongRoPE's original length changes all its keys."""
    ids, margins = [], []
    with torch.no_grad():
        while len(ids) < count and not (ids and ids[-1] in stops):
            logits = model(torch.tensor([prompt + ids]), use_cache=False).logits[0, -1]
            top = torch.topk(logits, 2)
            ids.append(int(top.indices[0]))
            margins.append(round(float(top.values[0] - top.values[1]), 6))
    return ids, margins


def all_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0]


def scores(logits, ids, score_from, logits_at):
    logprobs = torch.log_softmax(logits.double(), -1)
    wanted = range(score_from, len(ids))
    return {"prompt_token_ids": ids, "score_from": score_from,
            "logprobs": [round(float(logprobs[p - 1, ids[p]]), 6) for p in wanted],
            "argmax": [bool(logprobs[p - 1].argmax() == ids[p]) for p in wanted], "logits_at": logits_at}


def load(folder, dtype):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")


class Writer:
    def __init__(self, folder, out):
        self.name = os.path.basename(out)
        self.model = load(folder, torch.float32)
        self.stops = stop_ids(folder)
        self.lines = open(out + ".jsonl", "w", encoding="utf-8")
        self.least_margin, self.noise, self.generated, self.distinct = float("inf"), 0.0, 0, 0

    def line(self, value):
        self.lines.write(json.dumps(value, ensure_ascii=False) + "\n")

    def answer(self, prompt, ids, count=64):
        tokens, margins = greedy(self.model, ids, count, self.stops)
        self.line({"prompt": prompt, "prompt_token_ids": ids, "token_ids": tokens, "margins": margins})
        self.least_margin = min([self.least_margin, *margins])
        self.generated += len(tokens)
        self.distinct += len(set(tokens))
        return tokens

    def score(self, ids, score_from):
        self.line(scores(all_logits(self.model, ids), ids, score_from, []))

    def close(self):
        self.lines.close()


class TinyWriter(Writer):
    def __init__(self, folder, out):
        super().__init__(folder, out)
        self.exact = load(folder, torch.float64)
        self.logits = open(out + ".logits", "wb")

    def score(self, ids, score_from):
        logits = all_logits(self.model, ids)
        self.noise = max(self.noise, float((logits - all_logits(self.exact, ids)).abs().max()))
        # The first, those around the windows' and LongRoPE's edges, and the last.
        at = [p for p in (0, 16, 47, 48) if p < len(ids) - 1] + [len(ids) - 1]
        self.logits.write(logits[at].numpy().astype("<f4").tobytes())
        self.line(scores(logits, ids, score_from, at))

    def close(self):
        super().close()
        self.logits.close()
        print(f"{self.name}: {self.generated} tokens, {self.distinct} distinct within answers, "
              f"least margin {self.least_margin}, f64 moves logits by {self.noise:.1e}")
        is_older = self.name.startswith("tiny-llama")  # than the rule
        if self.least_margin < 1e-3 and not is_older or self.noise > 3e-5:
            sys.exit(f"{self.name}: another seed is needed")


def write_chats(writer, folder, num_prompts):
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    for i, messages in enumerate(list(chats())[:num_prompts]):
        prompt = render(folder, messages)
        ids = tokenizer.encode(prompt, add_special_tokens=False).ids
        tokens = writer.answer(prompt, ids)
        if i % 4 == 0:
            writer.score(ids + tokens, max(1, len(ids) - 5))


def write_pieces(writer, folder):
    """Pieces of one text, of the lengths that windows of 16 and LongRoPE's 48 make interesting."""
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    text = tokenizer.encode(" ".join(QUESTIONS), add_special_tokens=False).ids
    for i, length in enumerate(n for n in PIECES if n + 64 <= context(folder)):
        ids = text[97 * i:97 * i + length]
        tokens = writer.answer(tokenizer.decode(ids), ids)
        if i % 2:
            writer.score(ids, 1)
        elif i % 4 == 0:
            writer.score(ids + tokens, max(1, len(ids) - 5))


def context(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    scaling = config.get("rope_scaling") or {}
    stretch = scaling["factor"] if scaling.get("type") == "yarn" else 1
    return config["max_position_embeddings"] * stretch


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smollm2", help="folder of SmolLM2-135M-Instruct; without it only the tiny models")
    parser.add_argument("--only", action="append", help="a tiny model; without it all of them")
    parser.add_argument("samples")
    parser.add_argument("out")
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    for name in sorted(os.listdir(arguments.samples)):
        if not name.startswith("tiny-") or arguments.only and name not in arguments.only:
            continue
        folder = os.path.join(arguments.samples, name)
        writer = TinyWriter(folder, os.path.join(arguments.out, name))
        if name.startswith("tiny-llama"):
            write_chats(writer, folder, 16)
        else:
            write_pieces(writer, folder)
        writer.close()
    if arguments.smollm2:
        writer = Writer(arguments.smollm2, os.path.join(arguments.out, "smollm2"))
        write_chats(writer, arguments.smollm2, 32)
        writer.close()


if __name__ == "__main__":
    main()
