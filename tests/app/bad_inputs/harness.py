"""One row of the tables is a Case (a process) or a Line (a line of a run that many share). This runs and judges them."""

import dataclasses
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import tempfile

PENSTOCK, MODEL = os.environ["PENSTOCK"], pathlib.Path(os.environ["MODEL"])
SANITIZED = re.search(r"/(asan|tsan)/", PENSTOCK) is not None  # then time and memory are theirs, not ours
SLOWER = 12 if SANITIZED else 1
LIMIT = 60 * SLOWER
RUN = ("run", "model", "-i", "in", "-o", "out", "--progress", "none")
GOOD = b'{"id":"good","prompt":"Hello","max_tokens":2}\n'


@dataclasses.dataclass
class Case:
    name: str  # "S04 what is wrong": the id of the list in the issue, where it has one
    exit: int
    says: tuple = ()  # regular expressions that standard error must match, every one
    model: object = None  # changes the folder `model`, a copy of the tiny model in one file
    sharded: bool = False  # the tiny model as it is: an index and two shards
    input: bytes | object = GOOD  # or a function that makes it, where it is large
    args: tuple = ()
    env: dict = dataclasses.field(default_factory=dict)
    before: object = None  # prepares the folder that the process runs in
    after: object = None  # asserts what must hold in it afterwards
    command: tuple = RUN
    wrap: tuple = ()  # a command in front of penstock
    records: int | None = None  # in `out`; by default one for each line of `input` where all were handled
    seconds: float = 5
    mib: int = 256


@dataclasses.dataclass
class Line:
    name: str
    text: bytes
    code: str | None  # a regular expression for its error record's code; None: it is answered
    says: tuple = ()  # regular expressions for the record's message
    args: tuple = ()
    check: object = None  # called with the record


class Raw(str):
    """JSON text that json.dumps cannot write: 1e400, NaN, a key twice."""


def dumps(value):
    def plain(item):
        if isinstance(item, Raw):
            return "@@" + item + "@@"
        if isinstance(item, dict):
            return {key: plain(part) for key, part in item.items()}
        return [plain(part) for part in item] if isinstance(item, list) else item

    text = json.dumps(plain(value), ensure_ascii=False)
    return re.sub(r'"@@(.*?)@@"', lambda found: json.loads(f'"{found[1]}"'), text).encode()


def replace(path, content):
    """Gives the file at `path` other contents. It is a hard link to the original, so it is not written in place."""
    path = pathlib.Path(path)
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def edit_json(file, **changes):
    """An edit of model/`file`: path__to__field=value; a value of ... deletes."""

    def edit(folder):
        path = folder / file
        root = json.loads(path.read_bytes()) if path.exists() else {}
        for place, value in changes.items():
            *outer, last = [int(part) if part.isdigit() else part for part in place.split("__")]
            at = root
            for part in outer:
                at = at[part]
            if value is ...:
                del at[last]
            elif isinstance(at, list) and last == len(at):
                at.append(value)
            else:
                at[last] = value
        replace(path, dumps(root))

    return edit


def write(file, content):
    return lambda folder: replace(folder / file, content)


def run_process(argv, folder, env, limit):
    """Exit code, seconds and peak MiB. The seconds are of the processor, since this machine may be busy with other things;
    `limit` is what a process that sleeps may take. GNU time stands between, because a child's peak would count what its
    parent had before exec."""
    argv = ["/usr/bin/time", "--quiet", "--format=%U %S %M", "--output=peak", *argv]
    with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
        process = subprocess.Popen(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise AssertionError(f"still running after {limit:.1f} s") from None
    user, system, peak = (folder / "peak").read_text().split()[-3:]
    return code, float(user) + float(system), int(peak) / 1024


def read_records(path):
    lines = path.read_bytes().split(b"\n") if path.is_file() else [b""]
    assert lines.pop() == b"", "the output does not end with a whole line"
    return [json.loads(line) for line in lines]


def check_message(text):
    message = text.decode()  # UTF-8
    assert not re.search(r"internal error|terminate called|AddressSanitizer|runtime error", message), message[:500]
    assert len(text) < 4000, f"a message of {len(text)} bytes: {message[:200]}"
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", message), f"control characters: {message!r}"
    return message


def check_case(case, folder, code, message):
    assert code == case.exit, f"exit {code} instead of {case.exit}: {message[:600]}"
    for words in case.says:
        assert re.search(words, message), f"no word of {words}: {message[:600]}"
    if "out" in case.command and case.exit not in (64, 73, 74):
        wanted = case.records
        if wanted is None:
            lines = (folder / "in").read_bytes().split(b"\n") if case.exit in (0, 65) else []
            wanted = len([line for line in lines if line])
        assert len(read_records(folder / "out")) == wanted, f"{len(read_records(folder / 'out'))} records of {wanted}"
    if case.after:
        case.after(folder)


def prepare(case, folder, single):
    source = MODEL if case.sharded else single
    shutil.copytree(source, folder / "model", copy_function=os.link)
    (folder / "in").write_bytes(case.input() if callable(case.input) else case.input)
    if case.model:
        case.model(folder / "model")
    if case.before:
        case.before(folder)


def run_case(case, single):
    with tempfile.TemporaryDirectory(prefix="bad_inputs_", dir=single.parent) as name:
        folder = pathlib.Path(name)
        prepare(case, folder, single)
        env = {**os.environ, **case.env}
        argv = [*case.wrap, PENSTOCK, *case.command, *case.args]
        code, seconds, mib = run_process(argv, folder, env, LIMIT)
        check_case(case, folder, code, check_message((folder / "stderr").read_bytes()))
        assert seconds < case.seconds * SLOWER, f"{seconds:.1f} s"
        assert mib < case.mib or SANITIZED, f"{mib:.0f} MiB"


def run_lines(lines, single):
    """All lines with the same flags in one run; yields what is wrong with each."""
    with tempfile.TemporaryDirectory(prefix="bad_inputs_", dir=single.parent) as name:
        folder = pathlib.Path(name)
        command = (*RUN, "--ordered")
        case = Case("lines", 0, input=b"\n".join(line.text for line in lines) + b"\n", command=command)
        prepare(case, folder, single)
        argv = [PENSTOCK, *command, *lines[0].args]
        code, seconds, mib = run_process(argv, folder, os.environ, LIMIT)
        check_message((folder / "stderr").read_bytes())
        assert code == (65 if any(line.code for line in lines) else 0), f"exit {code}"
        assert seconds < 5 * SLOWER and (mib < 256 or SANITIZED), f"{seconds:.1f} s, {mib:.0f} MiB"
        records = read_records(folder / "out")
        assert len(records) == len(lines), f"{len(records)} records of {len(lines)} lines"
    for number, (line, record) in enumerate(zip(lines, records), 1):
        yield line, record_fault(line, record, number)


def error_of(record):
    response = record.get("response") or {}
    return record.get("error") or response.get("body", {}).get("error")


def record_fault(line, record, number):
    error = error_of(record)
    if bool(error) != bool(line.code) or error and not re.fullmatch(line.code, error["code"]):
        return f"got {error or 'an answer'} instead of {line.code}"
    if line.check:
        line.check(record)
    if not error:
        return None
    if f"line {number}: " not in error["message"]:
        return f"the message does not name line {number}: {error['message']}"
    if len(error["message"]) > 1500 or re.search(r"[\x00-\x1f\x7f]", error["message"]):
        return f"a long or unprintable message: {error['message'][:200]!r}"
    missing = [words for words in line.says if not re.search(words, error["message"])]
    return f"no word of {missing}: {error['message']}" if missing else None


def limit_memory():
    """A brake behind the bound of each row. The sanitizers' shadow memory needs the room."""
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))
