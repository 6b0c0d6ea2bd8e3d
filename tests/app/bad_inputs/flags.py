"""Flags and models that are not there: usage errors and 66."""

from harness import Case


def usage(name, *args, says=None):
    """A bad flag: its name is in the message."""
    return Case(f"flag: {name}", 64, (says or args[0],), args=args)


def numbers(flag, *values):
    return [usage(f"{flag} {value}", f"{flag}={value}", says=flag) for value in values]


NO_COUNTS = ("0", "-1", "1.5", "x", "", "1e400", "nan", "inf", "0x", "99999999999999999999", "1 2", "1,5")
FLAGS = [
    usage("an unknown one", "--nonsense"),
    usage("one letter too few", "--orderd"),
    usage("without its value", "--max-batch"),
    usage("a word too many", "surplus", says="surplus"),
    *[
        row
        for flag in ("--threads", "--max-batch", "--max-step-tokens", "--max-tokens", "--steps-in-flight", "--tensor-parallel")
        for row in numbers(flag, *NO_COUNTS)
    ],
    *[row for flag in ("--max-context", "--kv-blocks") for row in numbers(flag, *NO_COUNTS[1:])],
    *numbers("--block-size", "0", "7", "-16", "16.5", "x"),
    *numbers("--seed", "-1", "18446744073709551616", "1.5", "x", "", "+1", "1e3"),
    *numbers("--temperature", "-0.1", "nan", "inf", "1e400", "x", ""),
    *numbers("--top-p", "-0.1", "1.5", "nan", "x"),
    *numbers("--top-k", "-1", "1.5", "x"),
    *numbers("--grace", "-1", "nan", "inf", "x"),
    *numbers("--gpu-memory-fraction", "0", "1.1", "nan"),
    *numbers("--shard", "2/2", "1", "-1/2", "0/0", "a/b", "1/2/3", "0/2x", "", "99999999999999999999/2"),
    *numbers("--dtype", "f64", "", "F32"),
    *numbers("--device", "tpu", ""),
    *numbers("--progress", "yes"),
    *numbers("--prefix-cache", "maybe"),
    *numbers("--graphs", "1"),
    usage("a context over the model's", "--max-context=513", says="--max-context.*512"),
    usage("E15 0 ranks", "--tensor-parallel=0", says="--tensor-parallel"),
    usage("E15 -1 ranks", "--tensor-parallel=-1", says="--tensor-parallel"),
    Case("flag: no command", 64, (), command=()),
    Case("flag: an unknown command", 64, ("subcommand",), command=("fly", "model")),
    Case("flag: no model", 64, ("MODEL",), command=("run",)),
    Case("flag: a template that is missing", 66, ("--chat-template", "gone"), args=("--chat-template", "gone")),
    Case("flag: a template that is a folder", 66, ("--chat-template",), args=("--chat-template", "model")),
    Case("flag: a config file that is missing", 64, ("gone",), args=("--config", "gone")),
    *[
        Case(
            f"flag: a config file with {text!r}",
            64,
            (),
            before=lambda folder, text=text: (folder / "flags").write_bytes(text),
            args=("--config", "flags"),
        )
        for text in (b"nonsense = 1\n", b"max-batch = 0\n", b"max-batch = x\n", b"[fly]\nmax-batch = 1\n")
    ],
]

MODELS = [
    Case("a model that is missing", 66, ("gone",), command=("run", "gone", "-i", "in", "-o", "out")),
    Case("a model that is a file", 66, ("in",), command=("run", "in", "-i", "in", "-o", "out")),
    Case(
        "an empty model folder",
        66,
        ("config.json",),
        before=lambda folder: (folder / "empty").mkdir(),
        command=("run", "empty", "-i", "in", "-o", "out"),
    ),
    Case("a model of an empty name", 66, (), command=("run", "", "-i", "in", "-o", "out")),
]

CASES = FLAGS + MODELS
