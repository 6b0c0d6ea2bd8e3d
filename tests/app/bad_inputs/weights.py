"""safetensors files: S of the list."""

import json
import os
import struct

from harness import Case, replace, write

FILE, INDEX, SHARD = "model.safetensors", "model.safetensors.index.json", "model-00002-of-00002.safetensors"
NORM, UP, INVERSE = "model.norm.weight", "model.layers.0.mlp.up_proj.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"


def read(path):
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def join_shards(source, target):
    """The tiny model as one file, which most rows change."""
    header, data = {}, b""
    for shard in sorted(source.glob("*.safetensors")):
        part, bytes_of_part = read(shard)
        part.pop("__metadata__", None)
        for name, tensor in part.items():
            header[name] = {**tensor, "data_offsets": [len(data) + at for at in tensor["data_offsets"]]}
        data += bytes_of_part
    target.write_bytes(assemble(json.dumps(header).encode(), data))


def assemble(text, data, size=None):
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def raw(content):
    return write(FILE, content)


def text(change, more=b"", file=FILE):
    """Changes the header's JSON text."""

    def edit(folder):
        header, data = read(folder / file)
        changed = change(json.dumps(header, separators=(",", ":")).encode())
        replace(folder / file, assemble(changed, data + more))

    return edit


def swap(old, new):
    """The first `old` of the header's text becomes `new`."""

    def change(header):
        assert old in header, old
        return header.replace(old, new, 1)

    return text(change)


def tensor(name=NORM, more=b"", **fields):
    """Changes fields of one tensor; ... deletes one. `more`: data behind the others."""

    def change(header):
        tensors = json.loads(header)
        entry = tensors.setdefault(name, {"dtype": "F32", "shape": [], "data_offsets": [0, 0]})
        entry.update(fields)
        tensors[name] = {key: value for key, value in entry.items() if value is not ...}
        return json.dumps(tensors).encode()

    return text(change, more)


def extra(shape, dtype="F32", more=b"", name=INVERSE):
    """One more tensor behind the others."""

    def edit(folder):
        end = len(read(folder / FILE)[1])
        tensor(name, more, dtype=dtype, shape=shape, data_offsets=[end, end + len(more)])(folder)

    return edit


def behind_a_hole(folder):
    end = len(read(folder / FILE)[1])
    tensor(INVERSE, b"123456", dtype="F32", shape=[1], data_offsets=[end + 2, end + 6])(folder)


def all_behind_two_bytes(header):
    tensors = json.loads(header)
    for entry in tensors.values():
        entry["data_offsets"] = [at + 2 for at in entry["data_offsets"]]
    return json.dumps(tensors).encode()


def offsets(begin, end, name=NORM):
    """Moves a tensor's range by that much."""

    def edit(folder):
        at = read(folder / FILE)[0][name]["data_offsets"]
        tensor(name, data_offsets=[at[0] + begin, at[1] + end])(folder)

    return edit


def cut(count):
    return lambda folder: replace(folder / FILE, (folder / FILE).read_bytes()[:count])


def instead(make, file=FILE):
    def edit(folder):
        (folder / file).unlink()
        make(folder / file)

    return edit


def million_tensors(folder):
    entry = b'"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    replace(folder / FILE, assemble(b"{" + b",".join(entry % i for i in range(1_500_000)) + b"}", b""))


def nan_weights(folder):
    header, data = read(folder / FILE)
    begin, end = header[NORM]["data_offsets"]
    replace(folder / FILE, assemble(json.dumps(header).encode(), data[:begin] + b"\xc0\x7f" * ((end - begin) // 2) + data[end:]))


def names_file(*words):
    return (r"model/model\.safetensors: ", *words)


def names_norm(*words):
    return names_file(r'tensor "?model\.norm\.weight', *words)


def bad(name, edit, *words):
    return Case(name, 78, names_file(*words), edit)


def bad_norm(name, edit, *words):
    return Case(name, 78, names_norm(*words), edit)


CASES = [
    bad("S01 0 bytes", raw(b""), "0 bytes"),
    bad("S02 7 bytes", raw(b"\2\0\0\0\0\0\0"), "7 bytes"),
    bad("S03 a header of length 0", raw(assemble(b"", b"")), "header length: 0"),
    bad("S04 a header longer than the file", raw(assemble(b"{}", b"", 3)), "header length: 3 passes the end"),
    bad("S05 a header of 2^64 - 1", raw(assemble(b"{}", b"", 2**64 - 1)), "header length: 18446744073709551615"),
    bad("S06 a header of 2^64 - 8", raw(assemble(b"{}", b"", 2**64 - 8)), "header length: 18446744073709551608"),
    bad("S07 a header of 100,000,001", raw(assemble(b"{}", b"", 100_000_001)), "header length: 100000001"),
    bad("S08 a header that is not UTF-8", swap(b"model.norm", b"model.\xff"), "header: .*UTF-8"),
    bad("S09 truncated JSON", text(lambda header: header[:-40]), "header: .*byte"),
    bad("S10 garbage behind the object", text(lambda header: header + b"x"), "header: .*byte"),
    bad("S11 two objects", text(lambda header: header + b"{}"), "header: .*byte"),
    bad("S12 an array", text(lambda header: b"[" + header + b"]"), "header: is not an object"),
    bad("S12 a number", raw(assemble(b"12", b"")), "header: is not an object"),
    bad("S13 a byte order mark", text(lambda header: b"\xef\xbb\xbf" + header), "header: byte order mark"),
    bad("S14 padding with NUL", text(lambda header: header + b"\0" * 8), "header: NUL byte"),
    Case("S15 leading spaces", 0, model=text(lambda header: b"  \n" + header)),
    bad("S16 two tensors in one range", tensor(data_offsets=[0, 128]), "overlap"),
    bad_norm("S17 ranges that overlap", offsets(-2, -2), "data_offsets", "overlap"),
    bad("S18 a hole", text(lambda header: header, b"1234"), "4 bytes behind the last tensor"),
    bad("S18 a hole in the middle", behind_a_hole, "data_offsets", "leave a hole"),
    bad("S19 the first tensor begins at 2", text(all_behind_two_bytes, more=b"12"), "data_offsets", "leave a hole after byte 0"),
    bad("S20 bytes behind the last tensor", text(lambda header: header, b"x"), "1 bytes behind the last tensor"),
    bad("S21 one byte short", cut(-1), "data_offsets", "end of the file", "truncated"),
    bad("S21 cut inside the header", cut(100), "header length", "truncated"),
    bad_norm("S22 the end before the begin", tensor(data_offsets=[128, 0]), "data_offsets", "before they begin"),
    bad_norm("S23 a negative offset", tensor(data_offsets=[-128, 0]), "data_offsets", "integers from 0"),
    bad_norm("S24 an offset of 0.0", tensor(data_offsets=[0.0, 128]), "data_offsets", "integers from 0"),
    bad("S25 an offset of 1.6e1", swap(b'"data_offsets":[0,', b'"data_offsets":[0e0,'), "data_offsets", "integers from 0"),
    bad_norm("S26 an offset that is text", tensor(data_offsets=["0", 128]), "data_offsets", "integers from 0"),
    bad_norm("S27 an offset over 2^64", tensor(data_offsets=[0, 2**64]), "data_offsets", "integers from 0"),
    bad_norm("S28 three offsets", tensor(data_offsets=[0, 128, 128]), "data_offsets", "two integers"),
    bad_norm("S28 one offset", tensor(data_offsets=[0]), "data_offsets", "two integers"),
    bad_norm("S28 no list of offsets", tensor(data_offsets=128), "data_offsets", "two integers"),
    bad_norm("S29 a shape of another size", tensor(shape=[63]), "hold 128 bytes; shape and dtype need 126"),
    bad_norm("S30 a negative dimension", tensor(shape=[-64]), "shape", "integers from 0"),
    bad_norm("S31 a product over 2^64", tensor(shape=[2**33, 2**33]), "shape", "overflow"),
    bad_norm("S32 a size over 2^64", tensor(shape=[2**62, 2]), "shape", "overflow"),
    bad("S33 [0, 2^63 - 1, 4]", extra([0, 2**63 - 1, 4]), "shape", "overflow"),
    Case("S34 rank 0", 0, model=extra([], more=b"1234")),
    bad("S35 rank 10,000", extra([1] * 10_000, more=b"1234"), "shape", "more than 8 dimensions"),
    Case("S36 a dimension of 0", 0, model=extra([0, 4])),
    bad("S36 a dimension of 0, and bytes", tensor(shape=[0]), "shape and dtype need 0"),
    bad_norm("S37 an unknown dtype", tensor(dtype="F128"), "dtype", '"F128"'),
    bad_norm("S38 a dtype in lower case", tensor(dtype="bf16"), "dtype", '"bf16"'),
    bad_norm("S39 no dtype", tensor(dtype=...), "dtype: is missing"),
    bad_norm("S39 no shape", tensor(shape=...), "shape: is missing"),
    bad_norm("S39 no offsets", tensor(data_offsets=...), "data_offsets: is missing"),
    bad_norm("S39 a dtype of null", tensor(dtype=None), "dtype: is not a string"),
    bad_norm("S39 a shape of null", tensor(shape=None), "shape"),
    bad_norm("S39 a field too many", tensor(stride=[1]), "stride"),
    bad("S40 a field twice", swap(b'"dtype":', b'"dtype":"F32","dtype":'), "duplicate key"),
    bad("S41 a tensor twice", swap(b"{", b'{"model.norm.weight":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'), "duplicate key"),
    bad(
        "S42 a tensor twice, the same", text(lambda header: header[:-1] + header[header.index(b',"model.norm.weight"') :]), "duplicate key"
    ),
    bad(
        "S43 a tensor twice, once escaped",
        swap(b"{", b'{"model.norm.weigh\\u0074":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'),
        "duplicate key",
    ),
    bad("S44 __metadata__ twice", swap(b"{", b'{"__metadata__":{},"__metadata__":{},'), "duplicate key"),
    bad("S45 a number in __metadata__", swap(b"{", b'{"__metadata__":{"a":1},'), "__metadata__", '"a"'),
    bad("S45 an object in __metadata__", swap(b"{", b'{"__metadata__":{"a":{}},'), "__metadata__", '"a"'),
    bad("S46 a tensor named __metadata__", swap(b"model.norm.weight", b"__metadata__"), "__metadata__"),
    bad_norm(
        "S47 a tensor that is null",
        text(lambda header: header.replace(b'"model.norm.weight":{', b'"model.norm.weight":null,"x":{')),
        "not an object",
    ),
    bad("S48 100,000 arrays inside each other", text(lambda header: b'{"a":' + b"[" * 100_000), 'tensor "a": is not an object'),
    bad("S49 a name with NUL", swap(b"model.norm.weight", b"model.\\u0000"), "NUL"),
    bad("S49 an empty name", swap(b"model.norm.weight", b""), "name is empty"),
    bad("S49 a name of 1 MB", swap(b"model.norm.weight", b"n" * 1_000_000), "more than 1024 bytes"),
    bad("S49 a name with an escape sequence", extra([1], more=b"1234", name="\x1b[31mred"), r"\\u001b", "no place"),
    bad("S50 a lone surrogate", swap(b"model.norm.weight", b"\\ud800"), "header: .*surrogate"),
    bad("S51 an odd number of F4", extra([3], "F4", b"12"), "whole bytes"),
    Case("S52 a header that ends at an odd byte", 0, model=text(lambda header: header + b" " * (1 + len(header) % 2))),
    Case("S53 1.5 million tensors", 78, names_file("1048576"), million_tensors, mib=1024),
    bad("S54 a Git-LFS pointer", raw(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), "Git-LFS pointer"),
    bad("S55 an HTML page", raw(b"<!DOCTYPE html><html><body>401</body></html>"), "HTML page"),
    bad("S56 a ZIP archive", raw(b"PK\3\4" + b"\0" * 100), "ZIP archive"),
    bad("S56 a GGUF file", raw(b"GGUF" + b"\0" * 100), "GGUF"),
    Case("S57 weights that are NaN", 65, model=nan_weights, after=lambda folder: expect_record(folder, "non_finite_logits")),
    bad("S59 a FIFO", instead(os.mkfifo), "FIFO"),
    bad("S59 a folder", instead(os.mkdir), "directory"),
    bad("S59 a device", instead(lambda path: path.symlink_to("/dev/zero")), "leaves the model folder"),
    bad("S60 a link out of the folder", instead(lambda path: path.symlink_to("/etc/passwd")), "leaves the model folder"),
    bad("S60 a link to nothing", instead(lambda path: path.symlink_to("gone")), "does not exist"),
    bad("S60 a link to itself", instead(lambda path: path.symlink_to("model.safetensors")), "symbolic links"),
    Case(
        "a tensor that is missing",
        78,
        names_file("model.norm.weight", "lack"),
        text(lambda header: header.replace(b"model.norm.weight", b"a.rotary_emb.inv_freq")),
    ),
    Case("a tensor too many", 78, names_file('tensor "surplus"', "no place"), extra([1], more=b"1234", name="surplus")),
    Case("no weights at all", 66, ("model.safetensors",), lambda folder: (folder / FILE).unlink()),
    bad_norm("a vector of another shape", tensor(shape=[8, 8]), "shape", r"\[64\]"),
    bad_norm("weights of I16", tensor(dtype="I16"), "dtype", "I16"),
]


def expect_record(folder, code):
    record = json.loads((folder / "out").read_bytes())
    assert record["error"]["code"] == code, record
