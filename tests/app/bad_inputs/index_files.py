"""model.safetensors.index.json and its shards: X of the list."""

import json
import os

from harness import Case, edit_json, replace, write
from weights import FILE, INDEX, NORM, SHARD, instead


def place_norm(shard):
    """The index says that model.norm.weight is in `shard`."""

    def edit(folder):
        content = json.loads((folder / INDEX).read_bytes())
        content["weight_map"][NORM] = shard
        replace(folder / INDEX, json.dumps(content).encode())

    return edit


def index_of(content):
    return write(INDEX, content)


def large_index(make):
    return lambda folder: replace(folder / INDEX, make())


def both(folder):
    os.link(folder / SHARD, folder / FILE)


def bad_index(name, edit, *words):
    return Case(name, 78, words, edit, sharded=True)


CASES = [
    bad_index("X01 a shard ../../x", place_norm("../../x"), r'"\.\./\.\./x"', "leaves the folder"),
    bad_index("X02 an absolute path", place_norm("/etc/passwd"), '"/etc/passwd"', "absolute"),
    bad_index("X03 a/../../b", place_norm("a/../../b"), r'"a/\.\./\.\./b"', "leaves the folder"),
    bad_index(
        "X04 a shard that is a link out", instead(lambda path: path.symlink_to("/etc/passwd"), SHARD), SHARD, "leaves the model folder"
    ),
    bad_index("X05 a shard that is missing", lambda folder: (folder / SHARD).unlink(), SHARD, "is missing"),
    bad_index("X06 a tensor that is listed only", edit_json(INDEX, weight_map__ghost=SHARD), '"ghost"', "is not in"),
    bad_index(
        "X07 a tensor that is not listed", index_of(b'{"weight_map":{"model.norm.weight":"%s"}}' % SHARD.encode()), "tensor", "not listed"
    ),
    bad_index("X08 a tensor in another shard", place_norm("model-00001-of-00002.safetensors"), "model.norm.weight", "places it in"),
    bad_index("X09 a shard that is a number", place_norm(1), "weight_map", "model.norm.weight", "not a string"),
    bad_index("X09 a shard that is null", place_norm(None), "weight_map", "not a string"),
    bad_index("X09 weight_map a list", index_of(b'{"weight_map":[]}'), "weight_map"),
    bad_index("X09 no weight_map", index_of(b'{"metadata":{}}'), "weight_map", "missing"),
    bad_index("X09 an empty weight_map", index_of(b'{"weight_map":{}}'), "weight_map", "empty"),
    bad_index("X09 a list", index_of(b"[]"), INDEX, "not an object"),
    bad_index("X09 not JSON", index_of(b"weight_map"), INDEX, "byte"),
    bad_index("X09 0 bytes", index_of(b""), INDEX, "empty"),
    bad_index("X09 a tensor twice", index_of(b'{"weight_map":{"a":"b","a":"b"}}'), "duplicate key"),
    Case("X10 total_size lies", 0, model=edit_json(INDEX, metadata__total_size=1), sharded=True),
    bad_index("X10 total_size is no size", edit_json(INDEX, metadata__total_size="big"), "metadata.total_size"),
    bad_index("X11 an index and a single file", both, "both model.safetensors and"),
    Case(
        "X12 10^6 shards",
        78,
        ("weight_map", "more than 1000 files"),
        large_index(lambda: b'{"weight_map":{' + b",".join(b'"t%d":"s%d"' % (i, i) for i in range(10**6)) + b"}}"),
        sharded=True,
    ),
    bad_index("X13 a shard's name with NUL", place_norm("a\0b"), r"a\\u0000b", "control character"),
    bad_index("X13 an empty name", place_norm(""), '""', "empty"),
    bad_index("X13 a name of 100,000 bytes", place_norm("a" * 100_000), "too long"),
    Case(
        "X14 an index of 200 MB",
        78,
        ("weight_map",),
        large_index(lambda: b'{"weight_map":{' + b" " * 200_000_000 + b"}}"),
        sharded=True,
        mib=512,
    ),
    bad_index("a shard that is config.json", place_norm("config.json"), "config.json", "header length"),
    bad_index("a shard that is a folder", lambda folder: (os.mkdir(folder / "a"), place_norm("a")(folder)), "model/a: ", "directory"),
]
