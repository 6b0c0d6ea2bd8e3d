#!/usr/bin/env python3
"""Bad inputs through the real binary: every row of the tables in bad_inputs/, and that they cover the issue's list.

PENSTOCK=… MODEL=samples/tiny-llama bad_inputs.py [WORDS…]: only the rows whose names contain all the words
"""

import concurrent.futures
import itertools
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent / "bad_inputs"))

import covered  # noqa: E402
import flags  # noqa: E402
import harness  # noqa: E402
import index_files  # noqa: E402
import inputs  # noqa: E402
import json_texts  # noqa: E402
import model_files  # noqa: E402
import outputs  # noqa: E402
import request_lines  # noqa: E402
import tokenizers  # noqa: E402
import weights  # noqa: E402

CASES = weights.CASES + index_files.CASES + model_files.CASES + tokenizers.CASES + flags.CASES + inputs.CASES + outputs.CASES
LINES = json_texts.LINES + request_lines.LINES


def run_case(case, single):
    try:
        harness.run_case(case, single)
    except Exception as fault:  # a row that breaks the harness has failed, too
        return [(case.name, f"{type(fault).__name__}: {fault}")]
    return [(case.name, None)]


def run_lines(lines, single):
    try:
        return [(line.name, fault) for line, fault in harness.run_lines(lines, single)]
    except Exception as fault:
        return [(f"{len(lines)} lines from {lines[0].name}", f"{type(fault).__name__}: {fault}")]


def main(words):
    wanted = [row for row in CASES + LINES if all(word in row.name for word in words)]
    if harness.SANITIZED:  # whose shadow memory passes any limit on the address space
        wanted = [row for row in wanted if not any("--as=" in word for word in getattr(row, "wrap", ()))]
    cases = [row for row in wanted if isinstance(row, harness.Case)]
    lines = [row for row in wanted if isinstance(row, harness.Line)]
    groups = [list(group) for _, group in itertools.groupby(lines, key=lambda line: line.args)]
    harness.limit_memory()
    with tempfile.TemporaryDirectory(prefix="bad_inputs_") as name:
        single = pathlib.Path(name) / "single"
        single.mkdir()
        for file in harness.MODEL.glob("*.json"):
            if file.name != weights.INDEX:
                (single / file.name).write_bytes(file.read_bytes())
        weights.join_shards(harness.MODEL, single / weights.FILE)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(run_lines, group, single) for group in groups]
            jobs += [pool.submit(run_case, case, single) for case in cases]
            results = [result for job in jobs for result in job.result()]
    faults = [f"{name}: {fault}" for name, fault in results if fault]
    if not words:
        faults += covered.gaps([row.name for row in CASES + LINES])
    print("\n".join(faults))
    print(f"{len(results)} rows ({len(cases)} processes, {len(lines)} lines), {len(faults)} failed; {covered.summary()}")
    return 1 if faults or not results else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
