#!/usr/bin/env python3
"""What several GPUs are good for, each figure as a ratio within this run; scripts/profile.sh tensor-parallel calls it.

    tensor_parallel.py --penstock FILE [PART...] [--list] [--model DIR] [--devices 0,1] [--rounds N]

A part is a name of --list; without any, all run. Two runs that are compared alternate, --rounds times; a ratio is of the
medians. --model: a folder with weights for "start-up" (scripts/make_random_model llama-3.1-8b DIR), which else loads
random ones and leaves the disk out.

all-reduce  own kernels against NCCL, 8 KiB to 128 MiB (libnccl.so.2 is looked for in PyTorch's packages, too)
batch-1, batch-64, saturated   Llama-3.1-8B's shape, two ranks against one: a decode step, or the whole job
prefill     prompts of 2,048 tokens, two ranks against one: a step of 8,192 tokens
overlap     the same on two ranks: in halves, whose sums and products overlap, against whole
replicas    two against one, saturated
start-up    from the process's start to its first token, two ranks against one
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHAPE = os.path.join(ROOT, "samples/shapes/llama-3.1-8b")
COMMON = ["--device", "cuda", "--max-context", "4096", "--prefix-cache", "off"]
# Requests, the batch, tokens of each prompt, and new ones.
JOBS = {"batch-1": (1, 1, 128, 257), "batch-64": (64, 64, 128, 257), "saturated": (2000, 1024, 128, 128)}
PREFILL = (160, 160, 2048, 1)
PARTS = ["all-reduce", *JOBS, "prefill", "overlap", "replicas", "start-up"]
GOALS = {"batch-1": 1.7, "replicas": 1.95}


def environment():
    """With PyTorch's NCCL where the system has none."""
    env = dict(os.environ)
    found = subprocess.run([sys.executable, "-c", "import nvidia.nccl; print(list(nvidia.nccl.__path__)[0])"],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if found.returncode == 0:
        env["LD_LIBRARY_PATH"] = env.get("LD_LIBRARY_PATH", "") + ":" + os.path.join(found.stdout.strip(), "lib")
    return env


def bench(options, flags, quiet=True):
    command = [options.penstock, "bench", *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nexit {done.returncode}: {done.stderr[-3000:]}")
    return done if not quiet else None


def report_of(options, model, job, flags):
    requests, batch, prompt, tokens = job
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        bench(options, [model, *COMMON, "--input-tokens", str(prompt), "--output-tokens", str(tokens), "--requests",
                        str(requests), "--batch", str(batch), "--report", file.name, *flags])
        return json.load(open(file.name, encoding="utf-8"))


def decode_step(report):
    """Milliseconds: on the device, and idle beside it."""
    steps = [step for step in report["steps"] if step["kind"] == "decode"]
    count = sum(step["steps"] for step in steps)
    idle = report["device"]["idle_seconds"] - report["device"]["idle_recording_seconds"]
    return sum(step["milliseconds"] for step in steps) / count + idle * 1e3 / report["device"]["steps"]


def prefill_step(report):
    """Milliseconds on the device, of a full step."""
    steps = max((step for step in report["steps"] if step["kind"] == "prefill"), key=lambda step: step["tokens"])
    return steps["milliseconds"] / steps["steps"]


def whole_job(report):
    return report["seconds"]["run"] * 1e3


def start_up(report):
    return report["seconds"]["process_start_to_first_token"] * 1e3


def compare(options, name, model, job, one, two, milliseconds):
    times = {1: [], 2: []}
    for _ in range(options.rounds):
        for side, flags in ((1, one), (2, two)):
            times[side].append(milliseconds(report_of(options, model, job, flags)))
    a, b = statistics.median(times[1]), statistics.median(times[2])
    goal = f"   goal {GOALS[name]}" if name in GOALS else ""
    print(f"{name:12} {a:12,.2f} ms {b:12,.2f} ms {a / b:8.2f} x{goal}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--penstock", required=True)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--model", metavar="DIR")
    parser.add_argument("--devices", default="0,1")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if options.list:
        print("\n".join(PARTS))
        return
    parts = options.parts or PARTS
    if not set(parts) <= set(PARTS):
        parser.error(f"no such part: {', '.join(part for part in parts if part not in PARTS)}")

    first = ["--devices", options.devices.split(",")[0]]
    both = ["--devices", options.devices]
    ranks, replicas = ["--tensor-parallel", "2", *both], ["--replicas", "2", *both]
    if "all-reduce" in parts:
        print("all-reduce of bf16 over two GPUs, in a graph", flush=True)
        print(bench(options, [SHAPE, *COMMON, "--all-reduce", *ranks], quiet=False).stdout, flush=True)
    if parts != ["all-reduce"]:
        print(f"{'':12} {'one':>15} {'two':>15} {'ratio':>10}")
    for name, job in JOBS.items():
        if name in parts:
            compare(options, name, SHAPE, job, first, ranks, whole_job if name == "saturated" else decode_step)
    if "prefill" in parts:
        compare(options, "prefill", SHAPE, PREFILL, first, ranks, prefill_step)
    if "overlap" in parts:
        compare(options, "overlap", SHAPE, PREFILL, [*ranks, "--overlap-from", "1000000"], ranks, prefill_step)
    if "replicas" in parts:
        compare(options, "replicas", SHAPE, (4000, 1024, 128, 128), first, replicas, whole_job)
    if "start-up" in parts:
        compare(options, "start-up", options.model or SHAPE, (1, 1, 128, 8), first, ranks, start_up)


main()
