#!/usr/bin/env python3
"""Runs vLLM's measured workloads through `penstock bench` on this GPU and prints a table; scripts/profile.sh gpu calls it.

    gpu_workloads.py --penstock FILE [WORKLOAD...] [--list] [--reports [DIR]] [-- FLAG VALUE...]

A workload is a name of --list; without any, all run. "ops" is `bench --ops` of the 8B shape. --reports writes each
workload's report there (samples/reports). Flags after -- go to every bench, in place of those below.

tokens/s      output tokens over the whole run, graphs recorded in it included; for "batch" rows the sequences of a step
              over its time on the device and the idle time after it.
of the limit  the least time that the roofline measured at the end of the same run allows, over the time taken.
vLLM          the constants below; the ratio is to its best.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCE = ("vLLM 0.26.0 at its defaults on one H200, 2026-11-23: bf16, random weights, max_num_seqs 1024, token ids in, "
          "no detokenisation, EOS ignored; this project's own measurement (its anchors page)")
FLAGS = {"--device": "cuda", "--batch": "1024", "--max-step-tokens": "8192", "--max-context": "4096"}
SHAPES = {"8b": "llama-3.1-8b", "1b": "llama-3.2-1b"}


def job(shape, input_tokens, output_tokens, requests, vllm, **more):
    flags = {"--input-tokens": input_tokens, "--output-tokens": output_tokens, "--requests": requests}
    flags.update({"--" + name.replace("_", "-"): value for name, value in more.items()})
    return {"shape": shape, "flags": flags, "vllm": vllm, "batch": None}


def decode(shape, batch, input_tokens, vllm):
    """vLLM's figure is of the steps between the first token and the 257th."""
    entry = job(shape, input_tokens, 257, 2 * batch, vllm, batch=batch)
    entry["batch"] = batch
    return entry


# vLLM's output tokens/s: lowest and highest of its runs; none where it was not measured.
WORKLOADS = {
    "8b-batch-1": decode("8b", 1, 128, (202, 202)),
    "8b-batch-8": decode("8b", 8, 128, (1578, 1578)),
    "8b-batch-32": decode("8b", 32, 128, (5806, 5806)),
    "8b-batch-64": decode("8b", 64, 128, (10473, 10473)),
    "8b-batch-128": decode("8b", 128, 128, (17315, 17315)),
    "8b-batch-64-context-1024": decode("8b", 64, 1024, (8233, 8233)),
    "1b-batch-1": decode("1b", 1, 128, (718, 718)),
    "1b-batch-64": decode("1b", 64, 128, (30286, 30286)),
    "8b-128-128": job("8b", 128, 128, 2000, (15862, 16990)),
    "8b-128-128-sampled": job("8b", 128, 128, 2000, (16231, 16796), temperature=0.8, top_p=0.95),
    "8b-1000-1000": job("8b", 1000, 1000, 1000, (8599, 8655)),
    "8b-2048-128": job("8b", 2048, 128, 500, (2030, 2066)),
    "8b-128-2048": job("8b", 128, 2048, 512, (13453, 13453)),
    "8b-shared-1024-64-64": job("8b", 64, 64, 2000, (11814, 11814), shared_prefix_tokens=1024),
    "1b-128-128": job("1b", 128, 128, 2000, (46827, 46827)),
    "1b-1000-1000": job("1b", 1000, 1000, 1000, (35925, 35925)),
}


def bench(penstock, shape, flags, report):
    command = [penstock, "bench", os.path.join(ROOT, "samples/shapes", SHAPES[shape])]
    for name, value in flags.items():
        command += [name, str(value)]
    done = subprocess.run(command + ["--report", report], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nexit {done.returncode}: {done.stderr[-2000:]}")
    with open(report, encoding="utf-8") as file:
        return json.load(file)


def decode_rate(report, batch):
    """Tokens/s, and the share of the limit. What recording graphs took lies before the first steps, and is no step's."""
    steps = [step for step in report["steps"] if step["kind"] == "decode"]
    count = sum(step["steps"] for step in steps)
    device = sum(step["milliseconds"] for step in steps) / count
    least = [step["roofline_share"] * step["milliseconds"] for step in steps if "roofline_share" in step]
    idle = report["device"]["idle_seconds"] - report["device"]["idle_recording_seconds"]
    step = device + idle * 1e3 / report["device"]["steps"]
    return batch / step * 1e3, sum(least) / count / step if least else None


def rate(report, batch):
    if batch:
        return decode_rate(report, batch)
    return report["rates"]["completion_tokens_per_second"], report["work"]["total"].get("run_share")


def row(name, report, entry):
    tokens, share = rate(report, entry["batch"])
    low, high = entry["vllm"]
    device = report["device"]
    limit = "" if share is None else f"{100 * share:.1f} %"
    vllm = f"{low:,}" if low == high else f"{low:,}-{high:,}"
    print(f"{name:26} {tokens:10,.0f} {limit:>13} {vllm:>16} {tokens / high:6.2f} {100 * device['idle_share']:6.1f} % "
          f"{device['idle_recording_seconds']:7.2f} s {report['kv']['preemptions']:6}", flush=True)


def main():
    arguments, extra = sys.argv[1:], []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, extra = arguments[:at], arguments[at + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD")
    parser.add_argument("--penstock", required=True)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--reports", nargs="?", const=os.path.join(ROOT, "samples/reports"), metavar="DIR")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(["ops", *WORKLOADS]))
        return
    chosen = options.workloads or ["ops", *WORKLOADS]
    unknown = [name for name in chosen if name != "ops" and name not in WORKLOADS]
    if unknown or len(extra) % 2:
        parser.error(f"no such workload: {', '.join(unknown)}" if unknown else "after --: FLAG VALUE pairs")
    overrides = dict(zip(extra[::2], extra[1::2]))

    if "ops" in chosen:
        shape = os.path.join(ROOT, "samples/shapes", SHAPES["8b"])
        device = {"--device": FLAGS["--device"], **overrides}["--device"]
        subprocess.run([options.penstock, "bench", shape, "--ops", "--device", device], check=True)
    names = [name for name in chosen if name != "ops"]
    if not names:
        return
    print(f"\nvLLM: {SOURCE}")
    print(f"{'workload':26} {'tokens/s':>10} {'of the limit':>13} {'vLLM':>16} {'ratio':>6} {'idle':>8} {'recording':>9} "
          f"{'preempted':>6}")
    with tempfile.TemporaryDirectory() as folder:
        reports = options.reports or folder
        os.makedirs(reports, exist_ok=True)
        for name in names:
            entry = WORKLOADS[name]
            flags = {**FLAGS, **entry["flags"], **overrides}
            row(name, bench(options.penstock, entry["shape"], flags, os.path.join(reports, name + ".json")), entry)


main()
