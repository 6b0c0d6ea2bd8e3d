#!/usr/bin/env python3
"""Write the tiny random models of samples/ (a fixed seed, so the same bytes each time with the same package versions).

    make_tiny_models.py samples            needs torch, transformers, tokenizers, safetensors

tiny-llama:  Llama, 4 heads on 2 key/value heads, bf16, two shards and an index, untied, tokenizer like Llama 3's.
tiny-llama3: Llama with llama3 RoPE scaling and tied embeddings, f32, one file, the same tokenizer.
"""

import json
import os
import sys

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM

VOCAB = 512
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


def train_tokenizer():
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    words = r"'(?i:s|t|re|ve|m|ll|d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(words), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([TEXT] * 4, trainer)
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B",
                                      special_tokens=[("<|begin|>", tokenizer.token_to_id("<|begin|>"))]),
    ])
    return tokenizer


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


def write_text_files(folder, tokenizer):
    os.makedirs(folder, exist_ok=True)
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    write_json(os.path.join(folder, "tokenizer_config.json"), {
        "bos_token": "<|begin|>", "eos_token": "<|end|>", "chat_template": TEMPLATE, "model_max_length": 512,
        "tokenizer_class": "PreTrainedTokenizerFast"})
    write_json(os.path.join(folder, "generation_config.json"), {"bos_token_id": 0, "eos_token_id": [1, 3]})


def random_model(**changes):
    config = LlamaConfig(vocab_size=VOCAB, hidden_size=64, intermediate_size=128, num_hidden_layers=3,
                         num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
                         rms_norm_eps=1e-5, bos_token_id=0, eos_token_id=1, **changes)
    torch.manual_seed(20260101)
    model = LlamaForCausalLM(config)
    for name, weight in model.named_parameters():  # large enough that attention and logits are peaked
        with torch.no_grad():
            weight.copy_(1 + 0.1 * torch.randn_like(weight) if name.endswith("norm.weight")
                         else torch.randn_like(weight) * (1.6 / weight.shape[-1] ** 0.5))
    return model


def config_json(model, dtype, rope_scaling):
    c = model.config
    return {"architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": 0, "eos_token_id": 1,
            "hidden_act": "silu", "hidden_size": c.hidden_size, "intermediate_size": c.intermediate_size,
            "max_position_embeddings": c.max_position_embeddings, "mlp_bias": False, "model_type": "llama",
            "num_attention_heads": c.num_attention_heads, "num_hidden_layers": c.num_hidden_layers,
            "num_key_value_heads": c.num_key_value_heads, "rms_norm_eps": c.rms_norm_eps,
            "rope_scaling": rope_scaling, "rope_theta": 10000.0, "tie_word_embeddings": c.tie_word_embeddings,
            "torch_dtype": dtype, "vocab_size": c.vocab_size}


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


def main():
    out = sys.argv[1]
    tokenizer = train_tokenizer()
    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 64}
    plans = [("tiny-llama", torch.bfloat16, 2, None, False), ("tiny-llama3", torch.float32, 1, llama3, True)]
    for name, dtype, shards, rope_scaling, tied in plans:
        folder = os.path.join(out, name)
        write_text_files(folder, tokenizer)
        model = random_model(tie_word_embeddings=tied)
        tensors = {n: p.detach().to(dtype).clone().contiguous() for n, p in model.named_parameters()}
        write_shards(folder, tensors, shards)
        write_json(os.path.join(folder, "config.json"),
                   config_json(model, str(dtype).removeprefix("torch."), rope_scaling))


if __name__ == "__main__":
    main()
