#!/usr/bin/env python3
"""Compares Penstock with llama.cpp on this machine's CPU: the same weights, the same prompts, the two in alternation.

    scripts/compare_peers.py MODEL_FOLDER [--runs 5] [--threads 2] [--cache build/peers] [--penstock PATH]
    scripts/compare_peers.py --gpu --peer vllm|transformers SHAPE …      (see scripts/compare_gpu_peers.py)

Two jobs: 32 prompts of 64 random tokens with 64 new tokens each, and one prompt of 64 with 128 new tokens; greedy, no
token stops a sequence. Each job runs in f32 and in bf16, `--runs` times on each side in turn, since the machine's own
speed drifts: the ratio is the median of the ratios of neighbours. Output tokens/s leave loading out on both sides. wall
is the whole process, RSS its peak; for llama.cpp without the start of Python (0.1 to 0.2 s).

llama.cpp's side is one llama_decode a step over all sequences, with its default f16 KV, n_batch = n_ubatch = 512 and
kv_unified = false (its faster setting), after a warm-up step that is not counted. What it reads is written once to the
cache folder, as F32 and as BF16 GGUF, from the very bf16 values of the folder.

Last come `penstock run`'s seconds from its start to the first answer, from the page cache.

It wants an idle machine: llama.cpp's threads spin, and lose far more than Penstock's when cores are shared.

Needs numpy, gguf and llama-cpp-python; run it with a Python that has them:
    CMAKE_ARGS=-DGGML_NATIVE=ON pip install numpy gguf llama-cpp-python==0.3.36
"""

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

PROMPT_TOKENS, BATCH_TOKENS = 64, 512
JOBS = {"batch 32": (32, 64), "batch 1": (1, 128)}  # requests, new tokens of each
DTYPES = ("f32", "bf16")


# --- the folder's weights as GGUF ------------------------------------------------------------------------------------

def gguf_name(name):
    """The inverse of convert_smollm2.hugging_face_name."""
    from convert_smollm2 import LAYER_NAMES, TOP_NAMES  # needs numpy, which main() checks for first

    for gguf, hugging_face in TOP_NAMES.items():
        if name == hugging_face:
            return gguf
    layer, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
    return next(f"blk.{layer}.{gguf}.weight" for gguf, hugging_face in LAYER_NAMES.items() if part == hugging_face)


def halves_to_interleaved(weight, heads):
    """Hugging Face rotates rows (i, i + head_dim/2) of a head, llama.cpp rows (2i, 2i+1)."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def bf16_tensors(folder):
    """(name, array of bf16 bits) for each tensor of the one weight file."""
    import numpy as np

    with open(os.path.join(folder, "model.safetensors"), "rb") as file:
        data = file.read()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    for name, info in header.items():
        if info["dtype"] != "BF16":
            sys.exit(f"{name} is {info['dtype']}: this comparison is made for bf16 checkpoints")
        begin, end = info["data_offsets"]
        yield name, np.frombuffer(data, np.uint16, (end - begin) // 2, 8 + size + begin).reshape(info["shape"])


def write_gguf(folder, dtype, path):
    import gguf
    import numpy as np

    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(path + ".part", "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")  # prompts are token ids
    interleaved = {"self_attn.q_proj.weight": heads, "self_attn.k_proj.weight": kv_heads}
    for name, bits in bf16_tensors(folder):
        for ending, count in interleaved.items():
            if name.endswith(ending):
                bits = halves_to_interleaved(bits, count)
        if dtype == "f32" or bits.ndim == 1:
            writer.add_tensor(gguf_name(name), (bits.astype(np.uint32) << 16).view(np.float32))
        else:
            raw = np.ascontiguousarray(bits).view(np.uint8)
            writer.add_tensor(gguf_name(name), raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(path + ".part", path)


def cached_gguf(folder, dtype, cache):
    os.makedirs(cache, exist_ok=True)
    path = os.path.join(cache, f"{os.path.basename(os.path.normpath(folder))}-{dtype}.gguf")
    if not os.path.exists(path):  # in a process of its own: the peak RSS of a parent would become its children's
        subprocess.run([sys.executable, __file__, "--write-gguf", folder, dtype, path], check=True)
    return path


# --- llama.cpp, in a process of its own ------------------------------------------------------------------------------


class Llama:
    """One model and one context of the low-level interface; tokens go in by sequence, greedy ids come out."""

    def __init__(self, path, sequences, context, threads):
        import llama_cpp
        import numpy as np

        self.api, self.np = llama_cpp, np
        self.quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.quiet, None)
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        params = llama_cpp.llama_context_default_params()
        params.n_seq_max = sequences
        params.n_ctx = sequences * context
        params.n_batch = params.n_ubatch = BATCH_TOKENS
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = False
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        if not self.model or not self.context:
            sys.exit(f"llama.cpp refuses {path}")
        self.vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.batch = llama_cpp.llama_batch_init(BATCH_TOKENS, 0, 1)

    def step(self, tokens):
        """tokens: (id, position, sequence, whether its next token is wanted). The wanted ids, in that order."""
        batch = self.batch
        batch.n_tokens = len(tokens)
        for i, (token, position, sequence, wanted) in enumerate(tokens):
            batch.token[i], batch.pos[i] = token, position
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
            batch.logits[i] = wanted
        if self.api.llama_decode(self.context, batch) != 0:
            sys.exit("llama_decode failed")
        wanted = sum(token[3] for token in tokens)
        if wanted == 0:
            return []
        logits = self.np.ctypeslib.as_array(self.api.llama_get_logits(self.context), (wanted, self.vocab))
        return logits.argmax(axis=1).tolist()

    def forget(self):
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)


def llama_job(path, requests, new_tokens, threads):
    import random

    start = time.monotonic()
    llama = Llama(path, requests, PROMPT_TOKENS + new_tokens, threads)
    llama.step([(1, 0, 0, True)])
    llama.forget()
    loaded = time.monotonic()

    draw = random.Random(1)
    prompt = [(draw.randrange(llama.vocab), position, sequence, position == PROMPT_TOKENS - 1)
              for sequence in range(requests) for position in range(PROMPT_TOKENS)]
    ids = []
    for at in range(0, len(prompt), BATCH_TOKENS):
        ids += llama.step(prompt[at : at + BATCH_TOKENS])
    first = time.monotonic()
    for position in range(PROMPT_TOKENS, PROMPT_TOKENS + new_tokens - 1):
        ids = llama.step([(token, position, sequence, True) for sequence, token in enumerate(ids)])
    end = time.monotonic()
    print(json.dumps({"output": requests * new_tokens / (end - loaded), "prefill": len(prompt) / (first - loaded),
                      "decode": requests * (new_tokens - 1) / (end - first), "load": loaded - start,
                      "wall": end - start, "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def run_llama(path, job, threads):
    command = [sys.executable, __file__, "--llama-job", path, *map(str, JOBS[job]), str(threads)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


# --- Penstock --------------------------------------------------------------------------------------------------------


def run_penstock(program, folder, job, dtype, threads):
    requests, new_tokens = JOBS[job]
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [program, "bench", folder, "--device", "cpu", "--dtype", dtype, "--threads", str(threads),
                   "--input-tokens", str(PROMPT_TOKENS), "--output-tokens", str(new_tokens),
                   "--requests", str(requests), "--max-batch", str(requests),
                   "--max-step-tokens", str(BATCH_TOKENS), "--report", file.name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        report = json.load(file)
    return {"output": report["rates"]["completion_tokens_per_second"],
            "prefill": report["rates"]["prefill_tokens_per_second"],
            "decode": 1 / report["latency_seconds"]["per_output_token"]["mean"] * requests,
            "load": report["seconds"]["load"], "wall": report["seconds"]["wall"],
            "rss": report["memory"]["peak_host_bytes"] / 2**20}


def first_answer(program, folder, dtype, threads):
    """Wall seconds of `penstock run` over one short request for one token, and its own account of them."""
    with tempfile.TemporaryDirectory() as place:
        requests = os.path.join(place, "in.jsonl")
        with open(requests, "w", encoding="utf-8") as file:
            file.write(json.dumps({"id": "1", "prompt": "The capital of France is", "max_tokens": 1}) + "\n")
        report = os.path.join(place, "report.json")
        command = [program, "run", folder, "-i", requests, "-o", os.path.join(place, "out.jsonl"), "--device", "cpu",
                   "--dtype", dtype, "--threads", str(threads), "--report", report]
        start = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wall = time.monotonic() - start
        with open(report, encoding="utf-8") as file:
            return wall, json.load(file)


# --- the comparison --------------------------------------------------------------------------------------------------


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def compare(arguments, job, dtype, gguf_path):
    ours, theirs = [], []
    for _ in range(arguments.runs):
        ours.append(run_penstock(arguments.penstock, arguments.model, job, dtype, arguments.threads))
        theirs.append(run_llama(gguf_path, job, arguments.threads))
    for name, runs in (("penstock", ours), ("llama.cpp", theirs)):
        print(f"{job:9} {dtype:5} {name:10}{median(runs, 'output'):8.0f}{median(runs, 'prefill'):9.0f}"
              f"{median(runs, 'decode'):9.0f}{median(runs, 'load'):8.2f}{median(runs, 'wall'):8.2f}"
              f"{median(runs, 'rss'):8.0f}")
    ratios = {key: [a[key] / b[key] for a, b in zip(ours, theirs)] for key in ("output", "prefill", "decode")}
    print(f"{job:9} {dtype:5} {'ratio':10}" + "".join(
        f"{statistics.median(ratios[key]):{width}.2f}" for key, width in (("output", 8), ("prefill", 9), ("decode", 9)))
        + f"   output {min(ratios['output']):.2f} to {max(ratios['output']):.2f}", flush=True)


def show_first_answer(arguments, dtype):
    runs = [first_answer(arguments.penstock, arguments.model, dtype, arguments.threads) for _ in range(arguments.runs)]
    wall, report = sorted(runs, key=lambda run: run[0])[len(runs) // 2]
    stages = ", ".join(f"{name} {stage['seconds']:.3f}" for name, stage in report["stages"].items()
                       if stage["seconds"] >= 0.001)
    print(f"first answer {dtype}: {wall:.2f} s; {stages}; peak RSS {report['memory']['peak_host_bytes'] / 2**20:.0f} MiB")


def main():
    if sys.argv[1:2] == ["--llama-job"]:
        path, requests, new_tokens, threads = sys.argv[2:]
        return llama_job(path, int(requests), int(new_tokens), int(threads))
    if sys.argv[1:2] == ["--write-gguf"]:
        return write_gguf(*sys.argv[2:])
    if "--gpu" in sys.argv[1:]:
        rest = [word for word in sys.argv[1:] if word != "--gpu"]
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "compare_gpu_peers.py")
        os.execv(sys.executable, [sys.executable, script, *rest])
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder of the Llama architecture with bf16 weights in one file")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", default=os.path.join(root, "build", "peers"), help="where the GGUF files stay")
    parser.add_argument("--penstock", default=os.path.join(root, "build", "release", "penstock"))
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    arguments = parser.parse_args()
    missing = [name for name in ("numpy", "gguf", "llama_cpp") if not importlib.util.find_spec(name)]
    if missing:
        sys.exit(f"{sys.executable} lacks {', '.join(missing)}\n{__doc__[__doc__.index('Needs'):].strip()}")

    paths = {dtype: cached_gguf(arguments.model, dtype, arguments.cache) for dtype in arguments.dtypes}
    print(f"{'job':9} {'dtype':5} {'program':10}  output  prefill   decode  load s  wall s RSS MiB")
    for job in arguments.jobs:
        for dtype in arguments.dtypes:
            compare(arguments, job, dtype, paths[dtype])
    for dtype in arguments.dtypes:
        show_first_answer(arguments, dtype)


if __name__ == "__main__":
    main()
