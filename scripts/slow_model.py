#!/usr/bin/env python3
"""A slow and obvious model of what `penstock run` answers, to compare it with: plain numpy in f64, one sequence at a
time, the whole text anew for every token. For the tiny Llama of samples/, greedy lines and ASCII texts only.

    slow_model.py requests MODEL            prints lines that use every parameter
    slow_model.py compare MODEL IN OUT      answers the lines of IN and compares: tokens and texts equal, log-probabilities
                                            within 1e-4
"""

import codecs
import json
import math
import os
import re
import sys

import numpy as np

TOLERANCE = 1e-4


# --- the model --------------------------------------------------------------------------------------------------------

def read_tensors(folder):
    tensors = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".safetensors"):
            continue
        with open(os.path.join(folder, name), "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            data = file.read()
        header.pop("__metadata__", None)
        for tensor, info in header.items():
            begin, end = info["data_offsets"]
            if info["dtype"] == "BF16":
                values = (np.frombuffer(data[begin:end], "<u2").astype(np.uint32) << 16).view(np.float32)
            else:
                assert info["dtype"] == "F32", info["dtype"]
                values = np.frombuffer(data[begin:end], "<f4")
            tensors[tensor] = values.astype(np.float64).reshape(info["shape"])
    return tensors


class Model:
    def __init__(self, folder):
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            self.config = json.load(file)
        assert self.config["architectures"] == ["LlamaForCausalLM"] and not self.config["rope_scaling"]
        self.tensors = read_tensors(folder)
        self.known = {}

    def norm(self, x, name):
        scale = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.config["rms_norm_eps"])
        return x / scale * self.tensors[name + ".weight"]

    def linear(self, x, name):
        return x @ self.tensors[name + ".weight"].T

    def rotate(self, x):  # [heads, tokens, head_dim]
        half = x.shape[-1] // 2
        frequencies = self.config["rope_theta"] ** (-np.arange(half) / half)
        angles = np.arange(x.shape[1])[:, None] * frequencies
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)], -1)

    def attention(self, x, at):
        heads, kv_heads = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        split = lambda y, n: y.reshape(len(y), n, -1).transpose(1, 0, 2)
        q = self.rotate(split(self.linear(x, at + "q_proj"), heads))
        k = self.rotate(split(self.linear(x, at + "k_proj"), kv_heads)).repeat(heads // kv_heads, 0)
        v = split(self.linear(x, at + "v_proj"), kv_heads).repeat(heads // kv_heads, 0)
        weights = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        weights = np.where(np.tri(len(x), dtype=bool), weights, -np.inf)
        weights = np.exp(weights - weights.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return self.linear((weights @ v).transpose(1, 0, 2).reshape(len(x), -1), at + "o_proj")

    def mlp(self, x, at):
        gate = self.linear(x, at + "gate_proj")
        return self.linear(gate / (1 + np.exp(-gate)) * self.linear(x, at + "up_proj"), at + "down_proj")

    def logits(self, ids):
        """[tokens, vocab]: row i is what the model expects after ids[: i + 1]."""
        key = tuple(ids)
        if key not in self.known:
            x = self.tensors["model.embed_tokens.weight"][ids]
            for i in range(self.config["num_hidden_layers"]):
                at = f"model.layers.{i}."
                x = x + self.attention(self.norm(x, at + "input_layernorm"), at + "self_attn.")
                x = x + self.mlp(self.norm(x, at + "post_attention_layernorm"), at + "mlp.")
            self.known[key] = self.linear(self.norm(x, "model.norm"), "lm_head")
        return self.known[key]

    def logprobs(self, ids):
        x = self.logits(ids)
        x = x - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))


# --- the text ---------------------------------------------------------------------------------------------------------

def byte_alphabet():
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


class Text:
    # The tokenizer's own pattern, for ASCII.
    WORDS = re.compile(r"'(?i:s|t|re|ve|m|ll|d)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{1,3}| ?[^\sA-Za-z0-9]+[\r\n]*"
                       r"|\s*[\r\n]+|\s+(?!\S)|\s+")

    def __init__(self, folder):
        with open(os.path.join(folder, "tokenizer.json"), encoding="utf-8") as file:
            tokenizer = json.load(file)
        assert tokenizer["model"]["ignore_merges"]
        self.vocab = tokenizer["model"]["vocab"]
        self.ranks = {tuple(pair): rank for rank, pair in enumerate(tokenizer["model"]["merges"])}
        self.special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
        self.spelling = {id: text for text, id in self.vocab.items()}
        self.alphabet = byte_alphabet()
        self.bytes_by_character = {character: byte for byte, character in self.alphabet.items()}
        self.bos = self.special["<|begin|>"]

    def encode_word(self, word):
        parts = [self.alphabet[byte] for byte in word.encode()]
        if "".join(parts) in self.vocab:
            return [self.vocab["".join(parts)]]
        while True:
            pairs = [(self.ranks.get(pair, math.inf), i) for i, pair in enumerate(zip(parts, parts[1:]))]
            rank, i = min(pairs, default=(math.inf, 0))
            if rank == math.inf:
                return [self.vocab[part] for part in parts]
            parts[i : i + 2] = [parts[i] + parts[i + 1]]

    def encode(self, text, add_bos):
        assert text.isascii()
        ids = [self.bos] if add_bos else []
        for stretch in re.split("(" + "|".join(map(re.escape, self.special)) + ")", text):
            if stretch in self.special:
                ids.append(self.special[stretch])
            else:
                for word in self.WORDS.findall(stretch):
                    ids += self.encode_word(word)
        return ids

    def bytes_of(self, id):
        if id in self.special.values():
            return self.spelling[id].encode()
        if id not in self.spelling:  # the model has more ids than the tokenizer
            return b""
        return bytes(self.bytes_by_character[character] for character in self.spelling[id])

    def decode(self, ids):
        """Without special tokens."""
        return b"".join(self.bytes_of(id) for id in ids if id not in self.special.values()).decode(errors="replace")

    def show(self, id):
        return self.bytes_of(id).decode(errors="replace")

    def offsets(self, ids):
        """A token begins after the text before it; a part of a character, and what has no text, after what is certain."""
        decoder, offsets, length = codecs.getincrementaldecoder("utf-8")("replace"), [], 0
        for i, id in enumerate(ids):
            visible = b"" if id in self.special.values() else self.bytes_of(id)
            whole = visible and "\ufffd" not in self.show(id)
            offsets.append(len(self.decode(ids[:i])) if whole else length)
            length += len(decoder.decode(visible))
        return offsets


# --- the request ------------------------------------------------------------------------------------------------------

class AllBanned(Exception):
    pass


class Answerer:
    def __init__(self, folder):
        self.model, self.text = Model(folder), Text(folder)
        self.vocab, self.context = self.model.config["vocab_size"], self.model.config["max_position_embeddings"]
        with open(os.path.join(folder, "generation_config.json"), encoding="utf-8") as file:
            self.eos = json.load(file)["eos_token_id"]

    def draw(self, prompt, generated, p, stop_ids):
        x = self.model.logits(prompt + generated)[-1].copy()
        r = p.get("repetition_penalty", 1)
        for id in set(prompt + generated):
            x[id] = x[id] / r if x[id] > 0 else x[id] * r
        for id in set(generated):
            x[id] -= p.get("frequency_penalty", 0) * generated.count(id) + p.get("presence_penalty", 0)
        for id, bias in p.get("logit_bias", {}).items():
            x[int(id)] += bias
        if len(generated) < p.get("min_tokens", 0):
            x[stop_ids] = -np.inf
        if x.max() == -np.inf:
            raise AllBanned
        return int(x.argmax())

    def generate(self, prompt, p, max_tokens):
        """(ids, text, finish_reason)"""
        stop_ids = p.get("stop_token_ids", []) + ([] if p.get("ignore_eos") else self.eos)
        stops = p.get("stop", [])
        stops = [stops] if isinstance(stops, str) else stops
        generated = []
        while len(generated) < min(max_tokens, self.context - len(prompt)):
            generated.append(self.draw(prompt, generated, p, stop_ids))
            if generated[-1] in stop_ids:
                return generated, self.text.decode(generated[:-1]), "stop"
            text = self.text.decode(generated)
            found = [text.index(stop) for stop in stops if stop in text]
            if found:
                return generated, text[: min(found)], "stop"
        return generated, self.text.decode(generated), "length"

    def top(self, row, count):
        """Ids by falling log-probability, the lower id first."""
        return sorted(range(self.vocab), key=lambda id: (-row[id], id))[:count]

    def completion_logprobs(self, prompt, generated, p, lead):
        """`lead`: the echoed text, or None."""
        ids = prompt + generated
        rows = self.model.logprobs(ids)
        first = 0 if lead is not None else len(prompt)
        offsets = self.text.offsets(prompt) if lead is not None else []
        offsets += [len(lead or "") + offset for offset in self.text.offsets(generated)]
        shown = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": offsets}
        for i in range(first, len(ids)):
            shown["tokens"].append(self.text.show(ids[i]))
            shown["token_logprobs"].append(float(rows[i - 1][ids[i]]) if i else None)
            top = {}
            for id in self.top(rows[i - 1], p["logprobs"]) + [ids[i]]:
                top.setdefault(self.text.show(id), float(rows[i - 1][id]))
            shown["top_logprobs"].append(top if i else None)
        if p["logprobs"] == 0:
            shown["top_logprobs"] = None
        return shown

    def chat_logprobs(self, prompt, generated, p):
        rows = self.model.logprobs(prompt + generated)

        def token(row, id):
            return {"token": self.text.show(id), "logprob": float(row[id]), "bytes": list(self.text.bytes_of(id))}

        content = []
        for i, id in enumerate(generated):
            row = rows[len(prompt) + i - 1]
            tops = [token(row, other) for other in self.top(row, p.get("top_logprobs", 0))]
            content.append(token(row, id) | {"top_logprobs": tops})
        return {"content": content, "refusal": None}

    def choices(self, prompt, given, p, chat):
        """`given`: the prompt's text, None for ids. Without sampling all choices are alike."""
        max_tokens = p.get("max_tokens", self.context if chat else 16)
        generated, text, reason = self.generate(prompt, p, max_tokens)
        lead = None
        if p.get("echo"):
            lead = given if given is not None else self.text.decode(prompt)
        choice = {"text": (lead or "") + text, "token_ids": generated, "finish_reason": reason, "logprobs": None}
        if chat and p.get("logprobs"):
            choice["logprobs"] = self.chat_logprobs(prompt, generated, p)
        elif not chat and "logprobs" in p:
            choice["logprobs"] = self.completion_logprobs(prompt, generated, p, lead)
        return [choice] * p.get("n", 1)

    def prompts(self, line):
        """(ids, given text) of each prompt"""
        if "messages" in line:
            text = "".join(f"<|role|>{m['role']}\n{m['content']}<|turn|>\n" for m in line["messages"])
            return [(self.text.encode(text + "<|role|>assistant\n", False), None)]
        if "prompt_token_ids" in line:
            return [(line["prompt_token_ids"], None)]
        texts = line["prompt"] if isinstance(line["prompt"], list) else [line["prompt"]]
        return [(self.text.encode(text, True), text) for text in texts]

    def answer(self, line):
        if "context" in line:
            return self.scores(line)
        if "rolling" in line:
            return self.rolling(line)
        body = line.get("body", line)
        chat = "messages" in body
        prompts = self.prompts(body)
        try:
            choices = [choice for ids, given in prompts for choice in self.choices(ids, given, body, chat)]
        except AllBanned:
            return {"error": "all_ids_banned"}
        usage = {"prompt_tokens": sum(len(ids) for ids, _ in prompts),
                 "completion_tokens": sum(len(choice["token_ids"]) for choice in choices)}
        return {"choices": choices, "usage": usage, "batch": "body" in line, "chat": chat}

    # lm-evaluation-harness's rules.

    def encode_scored(self, text):
        return self.text.encode(text, not text.startswith("<|begin|>"))

    def pair(self, context, continuation):
        if context == "":
            ids = self.text.encode(continuation, False)
            return ([self.text.bos], ids) if ids[0] != self.text.bos else (ids[:1], ids[1:])
        spaces = len(context) - len(context.rstrip())
        if spaces:
            context, continuation = context[:-spaces], context[-spaces:] + continuation
        whole, before = self.encode_scored(context + continuation), self.encode_scored(context)
        return before, whole[len(before):]

    def score(self, context, continuation):
        ids = (context + continuation)[-(self.context + 1):]
        rows = self.model.logprobs(ids[:-1])[-len(continuation):]
        return {"sum_logprob": float(sum(row[id] for row, id in zip(rows, continuation))),
                "is_greedy": all(int(row.argmax()) == id for row, id in zip(rows, continuation)),
                "num_tokens": len(continuation)}

    def scores(self, line):
        texts = line["continuation"] if isinstance(line["continuation"], list) else [line["continuation"]]
        return {"scores": [self.score(*self.pair(line["context"], text)) for text in texts]}

    def rolling(self, line):
        ids, total = self.encode_scored(line["text"]), 0.0
        for begin in range(0, len(ids), self.context):
            end = min(begin + self.context, len(ids))
            before = [self.text.bos] if begin == 0 else ids[max(0, end - self.context - 1) : begin]
            total += self.score(before, ids[begin:end])["sum_logprob"]
        return {"sum_logprob": total, "num_tokens": len(ids)}


# --- the lines --------------------------------------------------------------------------------------------------------

def greedy_pair(answerer):
    """A continuation that the model would draw, and one that it would not."""
    for word in ("fox", "river", "sea", "water", "turbine", "words", "lazy dog", "station", "numbers", "shore", "the"):
        context = "The " + word
        id = int(answerer.model.logits(answerer.encode_scored(context))[-1].argmax())
        text = answerer.text.show(id)
        if text.isascii() and answerer.pair(context, text)[1] == [id]:
            return {"context": context, "continuation": [text, text + "!"]}
    raise AssertionError("no context has an ASCII token as its likeliest")


def make_requests(answerer):
    fox = {"prompt": "The quick brown fox", "temperature": 0, "max_tokens": 60, "ignore_eos": True}
    ids, text, _ = answerer.generate(answerer.text.encode(fox["prompt"], True), fox, 60)
    later = next(id for i, id in enumerate(ids) if i >= 4 and id not in ids[:i])  # first drawn as the fifth or later
    shown = [answerer.text.show(id) for id in ids]
    across = next(a[-1] + b[0] for a, b in zip(shown[3:], shown[4:]) if a and b and (a + b).isascii())
    halves = [str(answerer.text.vocab[answerer.text.alphabet[byte]]) for byte in "\u00e9".encode()]
    lines = {
        "plain": fox,
        "defaults": {"prompt": "A pump station", "temperature": 0},
        "repetition": fox | {"repetition_penalty": 1.3},
        "repetition-below-1": fox | {"repetition_penalty": 0.8},
        "frequency": fox | {"frequency_penalty": 0.7},
        "presence": fox | {"presence_penalty": 1.5},
        "negative-penalties": fox | {"presence_penalty": -0.5, "frequency_penalty": -0.25},
        "all-penalties": fox | {"repetition_penalty": 1.1, "frequency_penalty": 0.3, "presence_penalty": 0.4, "n": 3},
        "bias": fox | {"logit_bias": {str(ids[0]): -100, str(ids[1]): -3.5, "40": 1.25}},
        "forced": fox | {"logit_bias": {"200": 100}, "frequency_penalty": 1, "logprobs": 2},
        "stop-id": fox | {"stop_token_ids": [later]},
        "min-tokens": fox | {"stop_token_ids": [later], "min_tokens": 12},
        "min-tokens-and-bias": fox | {"stop_token_ids": [later], "min_tokens": 7, "logit_bias": {str(later): 100}},
        "eos-first": {"prompt": "x", "temperature": 0, "logit_bias": {"1": 100}},
        "eos-after-3": {"prompt": "x", "temperature": 0, "logit_bias": {"1": 100}, "min_tokens": 3},
        "all-banned": fox | {"stop_token_ids": list(range(512)), "min_tokens": 1},
        "stop": fox | {"stop": across},
        "stops": fox | {"stop": ["no such text", text[4:5], text[3:6]], "logprobs": 1},
        "stop-never": fox | {"stop": "no such text", "presence_penalty": 0.25, "n": 6},  # nobody knows when it will end
        # The two halves of a character take turns.
        "stop-in-a-character": fox | {"stop": "\u00e9", "logit_bias": dict.fromkeys(halves, 100), "frequency_penalty": 2,
                                      "presence_penalty": 2, "logprobs": 2},
        "halves": fox | {"logit_bias": dict.fromkeys(halves, 100), "frequency_penalty": 2, "logprobs": 2, "echo": True},
        "logprobs-0": fox | {"logprobs": 0},
        "logprobs-5": fox | {"logprobs": 5, "repetition_penalty": 1.2},
        "logprobs-20": fox | {"logprobs": 20, "max_tokens": 3},
        "echo": fox | {"echo": True},
        "echo-logprobs": fox | {"echo": True, "logprobs": 3},
        "echo-choices": fox | {"echo": True, "logprobs": 1, "n": 4, "presence_penalty": 0.5},
        "echo-alone": fox | {"echo": True, "logprobs": 2, "max_tokens": 0},
        "echo-alone-text": fox | {"echo": True, "max_tokens": 0, "n": 2},
        "echo-stop": fox | {"echo": True, "stop": across, "logprobs": 0},
        "echo-long": fox | {"prompt": "and the river runs down to the sea " * 12, "echo": True, "logprobs": 1},
        "ids": {"prompt_token_ids": [0, 45, 300, 17, 1, 210], "temperature": 0, "echo": True, "logprobs": 2},
        "one-id": {"prompt_token_ids": [77], "temperature": 0, "echo": True, "logprobs": 2},
        "chat": {"messages": [{"role": "user", "content": "How many words?"}], "temperature": 0, "max_tokens": 20,
                 "logprobs": True, "top_logprobs": 20},
        "chat-choices": {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}],
                         "temperature": 0, "max_tokens": 9, "n": 2, "logprobs": True, "repetition_penalty": 1.4},
        "pair": {"context": "The quick brown", "continuation": " fox jumps"},
        "pairs": {"context": "How many words does a tokenizer need? ", "continuation": ["Not many", "one", "3.14159"]},
        "white-space": {"context": "a sea \n ", "continuation": ["shore", " stones"]},
        "merged": {"context": "the wat", "continuation": ["er and the sea", "ch"]},
        "only-white-space": {"context": "  ", "continuation": "the sea"},
        "no-context": {"context": "", "continuation": ["the sea", "<|begin|>the sea"]},
        "begun": {"context": "<|begin|>the sea", "continuation": " and the river"},
        "truncated": {"context": "the river leads to the sea, 17 times. " * 60, "continuation": [" yes", " no, never"]},
        "greedy": greedy_pair(answerer),
        "rolling": {"text": "The quick brown fox jumps over the lazy dog", "rolling": True},
        "rolling-empty": {"text": "", "rolling": True},
        "rolling-begun": {"text": "<|begin|>The fox", "rolling": True},
        "rolling-windows": {"text": "a penstock leads water to the turbine (or 2024 of them). " * 40, "rolling": True},
    }
    for id, line in lines.items():
        yield {"id": id} | line
    batch = {"method": "POST", "url": "/v1/completions"}
    body = {"prompt": ["The sea", "The lazy dog and the fox"], "temperature": 0, "max_tokens": 6, "n": 2, "echo": True,
            "logprobs": 2, "frequency_penalty": 0.5}
    yield {"custom_id": "batch-completions"} | batch | {"body": body}
    body = {"messages": [{"role": "user", "content": "Count to 17."}], "temperature": 0, "max_tokens": 7,
            "logprobs": True, "top_logprobs": 3, "logit_bias": {"90": 2}}
    yield {"custom_id": "batch-chat"} | batch | {"url": "/v1/chat/completions", "body": body}


# --- the comparison ---------------------------------------------------------------------------------------------------

def difference(want, got, at=""):
    """Where the two differ, in words; None where they do not."""
    if isinstance(want, float) and isinstance(got, (int, float)):
        return None if abs(want - got) <= TOLERANCE * max(1, abs(want) / 100) else f"{at}: {got}, not {want}"
    if isinstance(want, dict) and isinstance(got, dict) and want.keys() == got.keys():
        return next(filter(None, (difference(want[key], got[key], f"{at}.{key}") for key in want)), None)
    if isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        return next(filter(None, (difference(w, g, f"{at}[{i}]") for i, (w, g) in enumerate(zip(want, got)))), None)
    return None if want == got and type(want) is type(got) else f"{at}: {json.dumps(got)}, not {json.dumps(want)}"


def expected_record(answer, line):
    """The record without its request_id."""
    if not answer.get("choices"):
        return {"id": line["id"]} | answer
    choices = [{"index": i} | choice for i, choice in enumerate(answer["choices"])]
    if answer["batch"]:
        for choice in choices:
            del choice["token_ids"]
            if answer["chat"]:
                choice["message"] = {"role": "assistant", "content": choice.pop("text"), "refusal": None}
        usage = answer["usage"] | {"total_tokens": sum(answer["usage"].values())}
        return {"custom_id": line["custom_id"], "choices": choices, "usage": usage}
    for choice in choices:
        if choice["logprobs"] is None:
            del choice["logprobs"]
    if len(choices) > 1:
        return {"id": line["id"], "choices": choices, "usage": answer["usage"]}
    del choices[0]["index"]
    return {"id": line["id"]} | choices[0] | {"usage": answer["usage"]}


def stripped_record(record):
    """What expected_record() tells of."""
    if "custom_id" in record:
        body = record["response"]["body"]
        return {"custom_id": record["custom_id"], "choices": body["choices"], "usage": body["usage"]}
    record = {key: value for key, value in record.items() if key != "request_id"}
    if "error" in record:
        record["error"] = record["error"]["code"]
    if "scores" in record or "sum_logprob" in record:
        del record["usage"]
    return record


def compare(answerer, requests, answers):
    with open(requests, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    with open(answers, encoding="utf-8") as file:
        records = {record.get("custom_id", record.get("id")): record for record in map(json.loads, file)}
    assert len(records) == len(lines), f"{len(records)} answers to {len(lines)} lines"
    wrong = 0
    for line in lines:
        id = line.get("custom_id", line.get("id"))
        want = expected_record(answerer.answer(line), line)
        found = difference(want, stripped_record(records[id]), id)
        if found:
            print(found)
            wrong += 1
    print(f"{len(lines) - wrong} of {len(lines)} lines are as the slow model answers them")
    return wrong


def main():
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "requests":
        for line in make_requests(Answerer(arguments[1])):
            print(json.dumps(line))
    elif len(arguments) == 4 and arguments[0] == "compare":
        sys.exit(compare(Answerer(arguments[1]), *arguments[2:]) > 0)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
