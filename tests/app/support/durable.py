"""Jobs that are broken off, and what must be true of their files afterwards. Imported by the shell tests.

The test runs in an empty folder (setup.sh); PENSTOCK, MODEL and FAULTS (faults.sh) are in the environment. Random
choices come from PENSTOCK_SEED, which is printed; PENSTOCK_LONG=1 leaves out none of them.
"""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys

PENSTOCK, MODEL = os.environ["PENSTOCK"], os.environ["MODEL"]
LONG = os.environ.get("PENSTOCK_LONG") == "1"
SEED = int(os.environ.get("PENSTOCK_SEED", random.SystemRandom().randrange(1 << 30)))
SLOW = 1 if "/release/" in PENSTOCK else 10  # sanitizers
rng = random.Random(SEED)
print(f"PENSTOCK_SEED={SEED}")


def requests(first, last, tokens=4, **more):
    for i in range(first, last + 1):
        yield json.dumps({"id": f"r{i}", "prompt": f"Hello number {i}", "max_tokens": tokens, "ignore_eos": True, **more})


def whole_lines(path):
    """The lines that end in a newline, and what follows them."""
    content = pathlib.Path(path).read_bytes() if os.path.exists(path) else b""
    *lines, torn = content.split(b"\n")
    return lines, torn


class Job:
    """One command in a folder of its own. `files` are what it starts from; its outputs are out and, with --errors, errors."""

    def __init__(self, name, files, arguments=(), model=MODEL, code=0, touched=()):
        self.name, self.files, self.model, self.code = name, files, model, code
        self.folder = pathlib.Path("jobs", name).absolute()
        self.arguments = ["run", model, "--progress", "none", "--threads", "1", "-i", "in", "-o", "out", *arguments]
        self.outputs = ["out", "errors"] if "--errors" in arguments else ["out"]
        self.watched = [str(self.folder), *touched]
        self.reset()
        # What it must come to, however it is broken off.
        assert self.run() == code, self.stderr
        self.wanted = {path: sorted(self.lines(path)) for path in self.outputs}
        self.reset()

    def reset(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for name, content in self.files.items():
            (self.folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        self.stderr = ""

    def lines(self, path):
        return whole_lines(self.folder / path)[0]

    def start(self, fault=None):
        environment = dict(os.environ)
        log = self.folder.parent / (self.name + ".strikes")
        log.unlink(missing_ok=True)
        if fault:
            environment |= {"LD_PRELOAD": os.environ["FAULTS"], "FAULT_PATHS": ":".join(self.watched), "FAULT_LOG": str(log)}
            environment |= {"FAULT_" + key.upper(): str(value) for key, value in fault.items()}
            environment["ASAN_OPTIONS"] = "verify_asan_link_order=0:" + environment.get("ASAN_OPTIONS", "")
        self.log = log
        return subprocess.Popen([PENSTOCK, *self.arguments], cwd=self.folder, env=environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def run(self, fault=None):
        process = self.start(fault)
        try:
            self.stderr = process.communicate(timeout=30 * SLOW)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"{self.name}: hangs under {fault}")
        return process.returncode

    def struck(self):
        """What the fault hit: [(call, path)]."""
        return [tuple(line.split(" ", 1)) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def expect_prefix(self, kept={}):
        """Every whole line is one of the uninterrupted run's, none twice, and those of `kept` come first."""
        for path in self.outputs:
            lines, torn = whole_lines(self.folder / path)
            assert len(set(lines)) == len(lines), f"{path}: a record stands twice"
            known = set(self.wanted[path])
            for line in lines:
                assert line in known, f"{path}: {line} is not an answer of the uninterrupted run"
            assert not torn or any(line.startswith(torn) for line in known), f"{path}: torn line {torn}"
            assert lines[: len(kept.get(path, []))] == kept.get(path, []), f"{path}: finished records were changed"

    def expect_completion(self):
        """The same command again answers everything, once, as if nothing had happened."""
        kept = {path: self.lines(path) for path in self.outputs}
        if "--retry-errors" in self.arguments:
            kept = {path: [line for line in lines if b'"error"' not in line] for path, lines in kept.items()}
        code = self.run()
        assert code == self.code, f"the run after it: exit {code}: {self.stderr}"
        self.expect_prefix(kept)
        for path in self.outputs:
            assert sorted(self.lines(path)) == self.wanted[path], f"{path}: incomplete"
            assert whole_lines(self.folder / path)[1] == b""
        litter = {path.name for path in self.folder.iterdir()} - {*self.files, *self.outputs, "report"}
        assert not litter, f"left behind: {litter}"


def sample(cases, count):
    """All of them in the long check, else `count` at random, in order."""
    return cases if LONG or len(cases) <= count else [cases[i] for i in sorted(rng.sample(range(len(cases)), count))]


def explain(job, fault, error):
    """Ends the test, with what is needed to see it again."""
    print(f"FAILED: {job.name} under {fault}: {error}\nstderr: {job.stderr}files: {job.folder}", file=sys.stderr)
    for path in job.outputs:
        print(path, (job.folder / path).read_bytes()[-2000:] if (job.folder / path).exists() else None, file=sys.stderr)
    sys.exit(1)
