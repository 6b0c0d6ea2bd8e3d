#!/usr/bin/env python3
"""Compares Penstock with vLLM or transformers on this machine's GPU: one workload, the two in alternation.

    scripts/compare_gpu_peers.py --peer vllm|transformers SHAPE --input-tokens A --output-tokens B --requests R
        [--batch N] [--runs 2] [--temperature T] [--top-p P] [--shared-prefix-tokens N] [--penstock PATH]
        (or scripts/compare_peers.py --gpu with the same flags)

Both sides have the architecture of SHAPE/config.json with random bf16 weights, take random token ids, ignore EOS and
make no text: `penstock bench` with its defaults, vLLM's LLM.generate() over all prompts at once with its own, and
transformers' generate() in static batches of --batch (64). The ratio is the median of the ratios of neighbours.
Output tokens/s leave loading out; of vLLM and transformers a first, short call is not counted either. start: from the
start of the process to the first token; for a peer, to the end of that first call for one token.

Run it with a Python that has the peer. Each side is a process of its own, so that the GPU is free for the other.
"""

import argparse
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RESULT = "RESULT "  # before the line that a peer's process ends with


def prompts_of(job, vocab):
    draw = random.Random(1)
    shared = [draw.randrange(vocab) for _ in range(job.shared_prefix_tokens)]
    return [shared + [draw.randrange(vocab) for _ in range(job.input_tokens)] for _ in range(job.requests)]


def read_config(shape):
    with open(os.path.join(shape, "config.json"), encoding="utf-8") as file:
        return json.load(file)


# --- the peers, each in a process of its own -------------------------------------------------------------------------


class Vllm:
    def __init__(self, job):
        from vllm import LLM, SamplingParams

        self.params = lambda tokens: SamplingParams(max_tokens=tokens, ignore_eos=True, detokenize=False,
                                                    temperature=job.temperature, top_p=job.top_p)
        more = {} if job.batch is None else {"max_num_seqs": job.batch}
        self.llm = LLM(model=job.shape, load_format="dummy", skip_tokenizer_init=True, dtype="bfloat16",
                       max_model_len=job.shared_prefix_tokens + job.input_tokens + job.output_tokens,
                       gpu_memory_utilization=0.92, enable_prefix_caching=job.shared_prefix_tokens > 0, seed=0, **more)

    def generate(self, prompts, tokens):
        outputs = self.llm.generate([{"prompt_token_ids": ids} for ids in prompts], self.params(tokens), use_tqdm=False)
        return sum(len(output.outputs[0].token_ids) for output in outputs)


class Transformers:
    def __init__(self, job):
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        self.torch, self.batch = torch, job.batch or 64
        self.how = {"do_sample": job.temperature > 0}
        if job.temperature > 0:
            self.how.update(temperature=job.temperature, top_p=job.top_p, top_k=0)
        config = AutoConfig.from_pretrained(job.shape)
        with torch.device("cuda"):
            try:
                model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
            except TypeError:  # before transformers 4.56
                model = AutoModelForCausalLM.from_config(config, torch_dtype=torch.bfloat16)
        self.model = model.eval()
        self.model.generation_config.eos_token_id = None
        self.model.generation_config.pad_token_id = 0

    def generate(self, prompts, tokens):
        count = 0
        with self.torch.inference_mode():
            for first in range(0, len(prompts), self.batch):
                ids = self.torch.tensor(prompts[first : first + self.batch], device="cuda")
                out = self.model.generate(ids, attention_mask=self.torch.ones_like(ids), max_new_tokens=tokens,
                                          min_new_tokens=tokens, **self.how)
                count += out.shape[0] * (out.shape[1] - ids.shape[1])
        self.torch.cuda.synchronize()
        return count


def peer_job(job):
    prompts = prompts_of(job, read_config(job.shape)["vocab_size"])
    peer = {"vllm": Vllm, "transformers": Transformers}[job.peer](job)
    peer.generate(prompts[:1], 1)
    start_up = time.time() - job.started
    peer.generate(prompts[: job.batch or 64], min(8, job.output_tokens))
    start = time.monotonic()
    tokens = peer.generate(prompts, job.output_tokens)
    seconds = time.monotonic() - start
    if tokens != job.requests * job.output_tokens:
        sys.exit(f"{job.peer} made {tokens} tokens instead of {job.requests * job.output_tokens}")
    print(RESULT + json.dumps({"output": tokens / seconds, "start": start_up}), flush=True)


# --- both sides ------------------------------------------------------------------------------------------------------


def flags_of(job):
    flags = [job.shape, "--input-tokens", job.input_tokens, "--output-tokens", job.output_tokens, "--requests",
             job.requests, "--shared-prefix-tokens", job.shared_prefix_tokens, "--temperature", job.temperature,
             "--top-p", job.top_p]
    return [str(flag) for flag in flags + ([] if job.batch is None else ["--batch", job.batch])]


def run_peer(job):
    command = [sys.executable, os.path.abspath(__file__), "--peer", job.peer, *flags_of(job), "--started", str(time.time())]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    lines = [line for line in result.stdout.splitlines() if line.startswith(RESULT)]
    if result.returncode != 0 or not lines:
        sys.exit(f"{job.peer} failed, exit code {result.returncode}")
    return json.loads(lines[-1].removeprefix(RESULT))


def run_penstock(job):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [job.penstock, "bench", *flags_of(job), "--device", job.device, "--report", file.name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        report = json.load(file)
    return {"output": report["rates"]["completion_tokens_per_second"],
            "start": report["seconds"]["process_start_to_first_token"]}


def compare(job):
    ours, theirs = [], []
    for _ in range(job.runs):
        ours.append(run_penstock(job))
        theirs.append(run_peer(job))
    print(f"{job.shape}: {job.shared_prefix_tokens}+{job.input_tokens} in, {job.output_tokens} out, {job.requests} requests")
    print(f"{'':14}output tokens/s    start s")
    for name, runs in (("penstock", ours), (job.peer, theirs)):
        output, start = (statistics.median(run[key] for run in runs) for key in ("output", "start"))
        print(f"{name:14}{output:15.0f}{start:11.2f}")
    ratios = [a["output"] / b["output"] for a, b in zip(ours, theirs)]
    starts = statistics.median(b["start"] / a["start"] for a, b in zip(ours, theirs))
    print(f"{'ratio':14}{statistics.median(ratios):15.2f}{starts:11.1f}   output {min(ratios):.2f} to {max(ratios):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", metavar="SHAPE", help="a folder with a config.json")
    parser.add_argument("--peer", choices=("vllm", "transformers"), required=True)
    for name, value in (("--input-tokens", 128), ("--output-tokens", 128), ("--requests", 256), ("--batch", None),
                        ("--runs", 2), ("--shared-prefix-tokens", 0)):
        parser.add_argument(name, type=int, default=value)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--device", default="cuda", help=argparse.SUPPRESS)  # of Penstock, for this script's test
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--penstock", default=os.path.join(ROOT, "build", "release", "penstock"))
    job = parser.parse_args()
    if job.started:
        return peer_job(job)
    if not importlib.util.find_spec(job.peer):
        sys.exit(f"{sys.executable} has no {job.peer}; run this with a Python that has it")
    compare(job)


if __name__ == "__main__":
    main()
