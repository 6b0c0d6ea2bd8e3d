#!/usr/bin/env python3
"""Write the tiny random models of samples/ (a fixed seed, so the same bytes each time with the same package versions).

    make_tiny_models.py samples [NAME...]        needs torch, transformers, tokenizers, safetensors

tiny_families.py is the table of them. Every folder is loaded again by transformers, which must find each tensor that it
wants and want each tensor that it finds.
"""

import json
import os
import re
import shutil
import sys

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM

from tiny_families import FAMILIES

SPECIAL = ["<|begin|>", "<|end|>", "<|role|>", "<|turn|>"]
# Words for the tokenizer to learn; the models are random, so nothing more is needed of the text.
TEXT = """The quick brown fox jumps over the lazy dog while seventeen small rivers run down to the sea, and nobody
counts the stones on the shore in 2024. A pump station lifts water; a penstock leads it to the turbine. How many words
does a tokenizer need? Not many: the, of, and, to, in, is, that, it, for, was, on, are, as, with, they, at, be, this.
def add(a, b): return a + b  # comments, numbers 3.14159, and brackets (like these) [or these] {or even these}."""

TEMPLATE = (
    "{% for message in messages %}{{ '<|role|>' + message['role'] + '\\n' + message['content'] + '<|turn|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|role|>assistant\\n' }}{% endif %}"
)


def train_tokenizer(vocab):
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    words = r"'(?i:s|t|re|ve|m|ll|d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(words), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([TEXT] * 4, trainer)
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B",
                                      special_tokens=[("<|begin|>", tokenizer.token_to_id("<|begin|>"))]),
    ])
    return tokenizer


def write_json(path, value):
    """Indented, but lists of plain values on one line."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda m: "[" + re.sub(r"\s*\n\s*", " ", m[0][1:-1]).strip() + "]", text)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")


def write_text_files(folder, family):
    os.makedirs(folder, exist_ok=True)
    train_tokenizer(family.config["vocab_size"]).save(os.path.join(folder, "tokenizer.json"))
    write_json(os.path.join(folder, "tokenizer_config.json"), {
        "bos_token": "<|begin|>", "eos_token": "<|end|>", "chat_template": TEMPLATE, "model_max_length": 512,
        "tokenizer_class": "PreTrainedTokenizerFast"})
    write_json(os.path.join(folder, "generation_config.json"), {"bos_token_id": 0, "eos_token_id": [1, 3]})
    write_json(os.path.join(folder, "config.json"), family.config)


def random_weight(name, like, family):
    """Large enough that attention and logits are peaked, and that no bias, norm or cap could be left out unseen."""
    noise = torch.randn_like(like)
    if name.endswith("norm.weight"):
        # A tied head would answer each token with itself, were the last norm's weights all near one.
        spread = family.last_norm_spread if name == "model.norm.weight" else family.norm_spread
        return family.norm_neutral + spread * noise
    if name.endswith("bias"):
        return 0.5 * noise
    wide = family.head_scale if name in ("lm_head.weight", "model.embed_tokens.weight") else 1.6
    return noise * (wide / like.shape[-1] ** 0.5)


def random_tensors(folder, family):
    torch.manual_seed(family.seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
    dtype = getattr(torch, family.dtype)
    return {name: random_weight(name, weight.detach(), family).to(dtype) for name, weight in model.named_parameters()}


def write_shards(folder, tensors, count):
    names = sorted(tensors)
    cuts = [names[i * len(names) // count:(i + 1) * len(names) // count] for i in range(count)]
    if count == 1:
        save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        return
    weight_map = {}
    for i, part in enumerate(cuts):
        name = f"model-{i + 1:05}-of-{count:05}.safetensors"
        save_file({n: tensors[n] for n in part}, os.path.join(folder, name), metadata={"format": "pt"})
        weight_map.update({n: name for n in part})
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    write_json(os.path.join(folder, "model.safetensors.index.json"),
               {"metadata": {"total_size": total}, "weight_map": weight_map})


def write_weights(out, folder, family):
    if family.weights_of:  # a copy, because the engine refuses links that leave a model folder; git stores it once
        shutil.copyfile(os.path.join(out, family.weights_of, "model.safetensors"),
                        os.path.join(folder, "model.safetensors"))
    else:
        write_shards(folder, random_tensors(folder, family), family.shards)


def check_loads(folder):
    _, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    wrong = {kind: found for kind, found in info.items() if found}
    if wrong:
        sys.exit(f"{folder}: transformers loads it with {wrong}")


def main():
    out, wanted = sys.argv[1], sys.argv[2:]
    for family in FAMILIES:
        if wanted and family.name not in wanted:
            continue
        folder = os.path.join(out, family.name)
        write_text_files(folder, family)
        write_weights(out, folder, family)
        check_loads(folder)


if __name__ == "__main__":
    main()
