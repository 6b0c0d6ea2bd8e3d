#!/usr/bin/env python3
"""Penstock as a model of lm-evaluation-harness, whose command line this is, with one model more:

    pip install lm-eval==0.4.13
    scripts/lm_eval_penstock.py --model penstock --tasks hellaswag \\
        --model_args pretrained=models/smollm2,penstock=build/release/penstock

All requests of a kind go through one `penstock run`; neither torch nor transformers is needed. Requests and answers
stay in `work_dir`, so an evaluation that was interrupted continues when it is started again. In Python, import this
module and name the model "penstock".

model_args: pretrained   the model folder
            penstock     the binary; default: this checkout's build/release/penstock
            work_dir     default: penstock_lm_eval
            max_length, max_gen_toks, think_end_token, enable_thinking, chat_template_args: as lm-eval's hf model has them
            any other    a flag of `penstock run`: dtype=bf16, threads=4, kv_blocks=1000
batch_size is ignored: Penstock batches by itself. So is a device other than cpu, for lm-eval passes "cuda:0" unasked.
"""
import ctypes
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import (
    handle_stop_sequences,
    normalize_gen_kwargs,
    postprocess_generated_text,
    resolve_max_length,
)

BINARY = Path(__file__).resolve().parent.parent / "build/release/penstock"
DTYPES = {"float32": "f32", "bfloat16": "bf16"}  # as hf's model_args spell them
CONTINUATIONS = 64  # a line; they share their context's KV blocks
# generation_kwargs to request fields. Those of IGNORED change no answer.
SAMPLING = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "min_p": "min_p", "seed": "seed",
            "repetition_penalty": "repetition_penalty", "presence_penalty": "presence_penalty",
            "frequency_penalty": "frequency_penalty", "min_new_tokens": "min_tokens", "min_tokens": "min_tokens"}
IGNORED = {"do_sample", "use_cache"}
STOPPED_EARLY = 75

libc = ctypes.CDLL(None)
logger = logging.getLogger(__name__)


def die_with_parent():
    """The output file survives any death; an orphan would keep it from the evaluation that continues."""
    PR_SET_PDEATHSIG = 1
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def flag_words(flags):
    for name, value in flags.items():
        if value is None or value is False:
            continue
        yield "--" + name.replace("_", "-")
        if value is not True:
            yield DTYPES.get(str(value), str(value))


class RequestError(Exception):
    """An error record."""

    def __init__(self, error):
        super().__init__(f"{error['code']}: {error['message']}")
        self.code = error["code"]


class Tokenizer:
    """A running `penstock tokenize` that is asked one line at a time."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        preexec_fn=die_with_parent)

    def ask(self, request):
        """The line's text and ids: `prompt` and `prompt_token_ids`."""
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"penstock tokenize ended with exit code {self.process.wait()}")
        record = json.loads(line)
        if "error" in record:
            raise RequestError(record["error"])
        return record


class Vocabulary:
    """What lm-eval's rules need to know of a model folder's special tokens."""

    def __init__(self, folder):
        self.config = read_json(folder / "tokenizer_config.json")
        self.special_map = read_json(folder / "special_tokens_map.json")
        added = read_json(folder / "tokenizer.json").get("added_tokens", [])
        self.special_ids = {token["content"]: token["id"] for token in added if token["special"]}
        template = folder / "chat_template.jinja"
        self.template = template.read_text(encoding="utf-8") if template.exists() else self.config.get("chat_template")

    def named(self, name):
        token = self.config.get(name) or self.special_map.get(name)
        return token["content"] if isinstance(token, dict) else token


@register_model("penstock")
class PenstockLM(LM):
    def __init__(self, pretrained, penstock=BINARY, work_dir="penstock_lm_eval", max_length=None, max_gen_toks=256,
                 think_end_token=None, enable_thinking=None, chat_template_args=None, device=None,
                 batch_size=None, max_batch_size=None, **flags):
        super().__init__()
        if enable_thinking and not think_end_token:
            raise ValueError("enable_thinking needs a think_end_token")
        self.folder, self.work_dir = Path(pretrained), Path(work_dir)
        self.vocabulary = Vocabulary(self.folder)
        self.max_length = int(max_length or self._model_length())
        self.max_gen_toks = int(max_gen_toks)
        self.think_end_token = think_end_token
        self.template_args = dict(chat_template_args or {})
        if enable_thinking is not None:
            self.template_args["enable_thinking"] = enable_thinking
        # A context that will be cut is tokenized whole.
        self._tokenizer = Tokenizer([str(penstock), "tokenize", str(pretrained), "--max-context", str(1 << 30)])
        self._command = [str(penstock), "run", str(pretrained), "--max-context", str(self.max_length),
                         *flag_words({"device": "cpu" if device == "cpu" else "auto", **flags})]

    def _model_length(self):
        config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"),
                            object_hook=lambda fields: SimpleNamespace(**fields))
        return resolve_max_length(config, SimpleNamespace(**self.vocabulary.config))

    # The requests.

    def loglikelihood(self, requests, disable_tqdm=False):
        lines = []
        for context, continuation in (request.args for request in requests):
            last = lines[-1] if lines else None
            if last and last["context"] == context and len(last["continuation"]) < CONTINUATIONS:
                last["continuation"].append(continuation)
            else:
                lines.append({"id": str(len(lines)), "context": context, "continuation": [continuation]})
        scores = [score for record in self._run("loglikelihood", lines) for score in record["scores"]]
        return self._keep("loglikelihood", requests, [(one["sum_logprob"], one["is_greedy"]) for one in scores])

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        lines = [{"id": str(i), "text": request.args[0], "rolling": True} for i, request in enumerate(requests)]
        records = self._run("loglikelihood_rolling", lines)
        return self._keep("loglikelihood_rolling", requests, [record["sum_logprob"] for record in records])

    def generate_until(self, requests, disable_tqdm=False):
        kwargs = [normalize_gen_kwargs(request.args[1], self.max_gen_toks) for request in requests]
        eos = self.vocabulary.named("eos_token")
        for one in kwargs:
            one["until"] = [stop for stop in handle_stop_sequences(one["until"], eos) if stop]
        lines = [{"id": str(i), **self._generation(request.args[0], one)}
                 for i, (request, one) in enumerate(zip(requests, kwargs))]
        texts = [postprocess_generated_text(record["text"], one["until"], self.think_end_token)
                 for record, one in zip(self._run("generate_until", lines), kwargs)]
        return self._keep("generate_until", requests, texts)

    def _generation(self, context, kwargs):
        room = self.max_length - kwargs["max_gen_toks"]
        if room <= 0:
            raise ValueError(f"max_gen_toks, {kwargs['max_gen_toks']}, must be below the context, {self.max_length}")
        # What a thinking model writes before its answer may hold the stops: they cut the text afterwards.
        eos = self.vocabulary.named("eos_token")
        stops = [stop for stop in kwargs["until"] if stop == eos or not self.think_end_token]
        # lm-eval looks for stops in the text with its special tokens, Penstock in the text without.
        special = [id for text, id in self.vocabulary.special_ids.items() if any(stop in text for stop in stops)]
        line = {"prompt_token_ids": self._encode(context)[-room:], "max_tokens": kwargs["max_gen_toks"],
                "temperature": 0.0, "stop": stops, "stop_token_ids": special}
        for name, value in kwargs.items():
            if name in SAMPLING:
                line[SAMPLING[name]] = value
            elif name not in IGNORED | {"until", "max_gen_toks"} and (name, value) != ("num_beams", 1):
                raise ValueError(f"generation_kwargs: {name}={value!r} is not supported by Penstock")
        return line

    def _encode(self, text):
        """With the tokens that the tokenizer adds, unless the text, of a chat template, has its BOS already."""
        bos = self.vocabulary.named("bos_token")
        begun = bos and text.startswith(bos)  # scoring adds nothing in front of such a text
        request = {"context": "", "continuation": text} if begun else {"prompt": text}
        return self._tokenizer.ask(request)["prompt_token_ids"]

    def _keep(self, kind, requests, answers):
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial(kind, request.args, answer)
        return answers

    # One run.

    def _run(self, kind, lines):
        """The lines' records, in their order."""
        text = "".join(json.dumps(line) + "\n" for line in lines)
        job = json.dumps([self._command[2:], os.path.realpath(self.folder), text])
        base = self.work_dir / f"{kind}-{hashlib.sha256(job.encode()).hexdigest()[:16]}"
        source, output = base.with_suffix(".requests.jsonl"), base.with_suffix(".answers.jsonl")
        self.work_dir.mkdir(parents=True, exist_ok=True)
        source.write_text(text, encoding="utf-8")
        code = subprocess.Popen([*self._command, "-i", str(source), "-o", str(output)],
                                preexec_fn=die_with_parent).wait()
        if code == STOPPED_EARLY:
            sys.exit(code)
        if code not in (0, 65):
            raise RuntimeError(f"penstock run ended with exit code {code}")
        records = [json.loads(line) for line in output.open(encoding="utf-8")]
        failed = [record for record in records if "error" in record]
        if failed:
            raise RuntimeError(f"{len(failed)} of {len(lines)} requests failed, see {output}; the first, "
                               f"{failed[0]['id']}: {RequestError(failed[0]['error'])}")
        by_id = {record["id"]: record for record in records}
        return [by_id[line["id"]] for line in lines]

    # Chats.

    @property
    def tokenizer_name(self):
        return str(self.folder).replace("/", "__")

    def apply_chat_template(self, chat_history, add_generation_prompt=True):
        def render(messages):
            request = {"messages": messages, "chat_template_kwargs": self.template_args,
                       "add_generation_prompt": add_generation_prompt,
                       "continue_final_message": not add_generation_prompt}
            return self._tokenizer.ask(request)["prompt"]

        try:
            return render(chat_history)
        except RequestError as error:
            if error.code != "template_error":
                raise
            logger.warning("The chat template fails (%s); trying without the system message.", error)
            return render([message for message in chat_history if message["role"] != "system"])

    def chat_template(self, chat_template=False):
        """For lm-eval's records: Penstock itself takes the folder's default template."""
        template = self.vocabulary.template
        if not chat_template or template is None:
            return None
        if isinstance(template, list):
            template = {one["name"]: one["template"] for one in template}["default"]
        return template


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
