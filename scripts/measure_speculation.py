#!/usr/bin/env python3
"""What speculation gains on this GPU, with random weights; scripts/profile.sh speculation calls it.

    measure_speculation.py --penstock FILE [--acceptance 0.8] [--batches 1,4,16,64,256] [PAIR...]

For each pair of shapes at batch 1: decoding without drafts, with fixed numbers k of drafts, and with as many as the
controller chooses, in output tokens/s of steps that only decode, the device's waiting included. T, T_verify(k) and
t_draft are medians by the reports; "best" is the largest E(k) T / (T_verify(k) + k t_draft) over the k that were run,
E(k) = (1 - a^(k+1)) / (1 - a), and "share" is the controller's gain over it. Then, for the first pair, the controller
beside decoding without drafts at larger batches, and where 2,000 requests saturate the device.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAIRS = {"8b": ("llama-3.1-8b", "llama-3.2-1b"), "32b": ("qwen2.5-32b", "qwen2.5-0.5b")}
FIXED = (2, 3, 4, 5, 7, 10)


def bench(args, target, *flags):
    shapes = os.path.join(ROOT, "samples/shapes")
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.json")
        command = [args.penstock, "bench", os.path.join(shapes, target), "--device", "cuda", "--max-context", "4096",
                   "--prefix-cache", "off", "--acceptance", str(args.acceptance), "--report", report, *map(str, flags)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\nexit {done.returncode}: {done.stderr[-2000:]}")
        with open(report, encoding="utf-8") as file:
            return json.load(file)


def drafting(pair, *flags):
    return "--draft-shape", os.path.join(ROOT, "samples/shapes", PAIRS[pair][1]), "--speculate", "draft", *flags


def decode_rate(report):
    """Output tokens/s without the prompts' steps and without recording graphs."""
    prefill = sum(step["milliseconds"] for step in report["steps"] if step["kind"] != "decode") / 1e3
    recording = report["device"]["idle_recording_seconds"]
    return report["tokens"]["completion"] / (report["seconds"]["run"] - prefill - recording)


def main_bucket(report):
    """Milliseconds of a step of the bucket that most decode steps had."""
    bucket = max((step for step in report["steps"] if step["kind"] == "decode"), key=lambda step: step["steps"])
    return bucket["milliseconds"] / bucket["steps"]


def batch_one(args, pair):
    target = PAIRS[pair][0]
    work = "--input-tokens", 128, "--output-tokens", 1024, "--requests", 1, "--batch", 1
    plain = bench(args, target, *work)
    rate, step = decode_rate(plain), main_bucket(plain)
    print(f"{pair}: {target} with {PAIRS[pair][1]}, acceptance {args.acceptance}, batch 1")
    print(f"  without  {rate:8.1f} tokens/s, T {step:.2f} ms", flush=True)
    best = 1.0
    for k in FIXED:
        report = bench(args, target, *work, *drafting(pair, "--drafts", k))
        done = report["speculation"]
        passes = sum(done["model"]["proposed"])
        t_draft = done["draft_seconds"] / passes * 1e3
        verify = main_bucket(report)
        expected = (1 - args.acceptance ** (k + 1)) / (1 - args.acceptance) if args.acceptance < 1 else k + 1
        ideal = expected * step / (verify + k * t_draft)
        best = max(best, ideal)
        print(f"  k = {k:<2}   {decode_rate(report):8.1f} tokens/s, {decode_rate(report) / rate:.2f} x; T_verify "
              f"{verify:.2f} ms, t_draft {t_draft:.2f} ms, ideal {ideal:.2f} x", flush=True)
    report = bench(args, target, *work, *drafting(pair))
    gain = decode_rate(report) / rate
    print(f"  auto     {decode_rate(report):8.1f} tokens/s, {gain:.2f} x, share of the best {gain / best:.2f}; "
          f"{report['speculation']['tokens_per_row']:.2f} tokens a row", flush=True)


def batches(args, pair):
    target = PAIRS[pair][0]
    loads = [(f"batch {b}", ("--input-tokens", 128, "--output-tokens", 1024, "--requests", b, "--batch", b))
             for b in args.batches]
    loads.append(("2000 requests", ("--input-tokens", 128, "--output-tokens", 128, "--requests", 2000)))
    print(f"{pair}: whole runs, output tokens/s")
    for name, work in loads:
        rates = [bench(args, target, *work, *flags)["rates"]["completion_tokens_per_second"]
                 for flags in ((), drafting(pair), ("--speculate", "ngram"))]
        print(f"  {name:14} without {rates[0]:9.1f}, draft model {rates[1]:9.1f} ({rates[1] / rates[0]:.3f} x), "
              f"n-grams {rates[2]:9.1f} ({rates[2] / rates[0]:.3f} x)", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--penstock", required=True)
    parser.add_argument("--acceptance", type=float, default=0.8)
    parser.add_argument("--batches", type=lambda text: [int(b) for b in text.split(",")], default=[4, 16, 64, 256])
    parser.add_argument("pairs", nargs="*", metavar="PAIR", help="8b, 32b; default: both")
    args = parser.parse_args()
    pairs = args.pairs or list(PAIRS)
    for pair in pairs:
        batch_one(args, pair)
    batches(args, pairs[0])


if __name__ == "__main__":
    main()
