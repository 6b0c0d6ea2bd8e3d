#!/usr/bin/env python3
"""Trains the small tokenizers of tests/engine/text/data and writes what the tokenizers library says about them.

    python scripts/make_tokenizer_cases.py [--smollm2 FOLDER]

Each folder there gets tokenizer.json and cases.jsonl, whose lines are either
{"text","add_special_tokens","ids","decoded","decoded_skip"} or, for decoding alone, {"ids","decoded","decoded_skip"}.
With --smollm2 (the model's folder) smollm2.jsonl is written as well. Needs the Python package `tokenizers`; never
AutoTokenizer, which rebuilds some tokenizers from other files than tokenizer.json.
"""
import argparse
import json
import pathlib
import random

import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests/engine/text/data"

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

CORPUS = """The river was low that summer, and the children of the village walked across it on the stones.
"Don't run," said the old man; he'd said it every day, and they'd never listened. I'm sure we've all done it.
Between 1984 and 2026 the bridge was rebuilt 3 times: in 1999, in 2007 and in 2021, at a cost of $1,250,000.50.
def merge(left, right):\n    result = []\n    while left and right:\n        result.append(left.pop(0))\n    return result
for (int i = 0; i < 10; ++i) { sum += values[i] * 2; }  // the sum of the doubled values
The naïve café owner's résumé; Straße, Ærø, Łódź. Привет, мир! Как дела? Γειά σου κόσμε. こんにちは世界。你好,世界!
नमस्ते दुनिया, สวัสดีชาวโลก, 안녕하세요 세계, שלום עולם, مرحبا بالعالم 👍🏽 👨‍👩‍👧 🇩🇪 e = mc² ½ + ⅓
""".split("\n")

WORDS = """the of and Hello world I'm you're we've it's don't they'll he'd I'M DON'T 's 'S ſ 'ſ 12345 1 23 3.14 1,000,000
foo_bar __init__ x==y != -> <= </s> <s> <pad> <mask> MASK <day> Day <|begin_of_text|> <|eot_id|> <|eot <unk>
http://a.b/c?d=e&f=g ½ ² Ⅷ ٣ naïve café cafe\u0301 Ω ﬁ ǆ İ ı ß ẞ Σς 👍🏽 👨‍👩‍👧‍👦 🇩🇪 हिन्दी ไทย 中文字 日本語 한국어 עברית
العربية # ## */ /* // {{ }} [INST] ▁ ▁a Ġ Ċ <0x0A> <0xE4> \u1e9b\u0323 \u1100\u1161\u11a8 \u0344 \u212b ㌀ ①""".split()
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2003", "\u180e", "\u200b", "\u200d",
          "\u2028", "\x0b", "\x1c", "\x85", "        ", "\x00"]
SCRIPTS = [(0x20, 0x7e), (0xa0, 0x24f), (0x300, 0x36f), (0x370, 0x3ff), (0x400, 0x4ff), (0x5d0, 0x5ea), (0x620, 0x64a),
           (0x900, 0x97f), (0xe00, 0xe7f), (0x1100, 0x11ff), (0x2010, 0x206f), (0x2150, 0x218f), (0x2460, 0x24ff),
           (0x3000, 0x30ff), (0x4e00, 0x4fff), (0xac00, 0xacff), (0xfb00, 0xfb4f), (0xff00, 0xffef), (0x1f300, 0x1f64f)]


def random_word(rnd):
    kind = rnd.random()
    if kind < 0.5:
        return rnd.choice(WORDS)
    if kind < 0.6:
        return "".join(rnd.choice("abcdefghijklmnopqrstuvwxyzABCDE") for _ in range(rnd.randint(1, 10)))
    if kind < 0.7:
        return str(rnd.randint(0, 10 ** rnd.randint(1, 9)))
    if kind < 0.9:
        low, high = rnd.choice(SCRIPTS)
        return "".join(chr(rnd.randint(low, high)) for _ in range(rnd.randint(1, 4)))
    return bytes(rnd.randint(0, 255) for _ in range(rnd.randint(1, 5))).decode("utf-8", "replace")


def random_text(rnd):
    parts = []
    for _ in range(rnd.choice([1, 2, 3, 5, 8])):
        parts.append(random_word(rnd))
        if rnd.random() < 0.75:
            parts.append(rnd.choice(SPACES) if rnd.random() < 0.5 else " ")
    if rnd.random() < 0.15:
        parts.insert(0, rnd.choice(SPACES))
    return "".join(parts)


def texts(rnd, count):
    fixed = [""] + SPACES + ["a" + s * 3 + "b" for s in SPACES] + CORPUS
    fixed += [" " * 50 + "x", "\n" * 20 + " ", "a" * 60, "1" * 7]
    return fixed + [random_text(rnd) for _ in range(count)]


def trained_bpe(byte_level, vocab_size, **options):
    """The "model" object of a tokenizer trained on the corpus."""
    tokenizer = Tokenizer(models.BPE(**options))
    if byte_level:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        special, alphabet, corpus = [], pre_tokenizers.ByteLevel.alphabet(), CORPUS
    else:
        special = ["<unk>", "<s>", "</s>"]
        if options.get("byte_fallback"):
            special += [f"<0x{byte:02X}>" for byte in range(256)]
        alphabet, corpus = [], ["▁" + line.replace(" ", "▁") for line in CORPUS]
        tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special, initial_alphabet=sorted(alphabet),
                                  limit_alphabet=300 if byte_level else 80, show_progress=False)
    tokenizer.train_from_iterator(corpus * 3, trainer)
    return json.loads(tokenizer.to_str())["model"]


def added(token_id, content, **flags):
    token = dict(id=token_id, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False,
                 special=True)
    return token | flags


def byte_level(use_regex=False, add_prefix_space=False):
    return {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": use_regex}


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def chain(kind, *parts):
    field = {"normalizer": "normalizers", "pre": "pretokenizers", "post": "processors", "decoder": "decoders"}[kind]
    return {"type": "Sequence", field: list(parts)}


def template(before, after=()):
    def special(token):
        return {"SpecialToken": {"id": token[0], "type_id": 0}}
    single = [special(t) for t in before] + [{"Sequence": {"id": "A", "type_id": 0}}] + [special(t) for t in after]
    return {"type": "TemplateProcessing", "single": single,
            "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]} for name, i in [*before, *after]}}


def tokenizer_json(model, **parts):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": parts.get("added_tokens", []),
            "normalizer": parts.get("normalizer"), "pre_tokenizer": parts.get("pre_tokenizer"),
            "post_processor": parts.get("post_processor"), "decoder": parts.get("decoder"), "model": model}


def with_string_merges(model):
    return model | {"merges": [" ".join(pair) for pair in model["merges"]]}


def byte_level_tokenizers():
    model = trained_bpe(True, 420)
    size = len(model["vocab"])
    llama3_added = [added(size, "<|begin_of_text|>"), added(size + 1, "<|eot_id|>"), added(size + 2, "<|eot_id|>\n"),
                    added(size + 3, "<pad>", special=False)]
    bos = [("<|begin_of_text|>", size)]
    # ignore_merges shows only where a token cannot be reached by merging.
    unreachable = model | {"ignore_merges": True, "vocab": dict(model["vocab"]) | {"ĠHello": size, "foo": size + 1}}
    shifted = [dict(token, id=token["id"] + 2) for token in llama3_added]
    yield "llama3_ignore_merges", tokenizer_json(
        unreachable, added_tokens=shifted, pre_tokenizer=chain("pre", split(LLAMA3), byte_level()),
        post_processor=chain("post", byte_level(), template([("<|begin_of_text|>", size + 2)])), decoder=byte_level())
    yield "llama3_string_merges", tokenizer_json(
        with_string_merges(model), added_tokens=llama3_added, pre_tokenizer=chain("pre", split(LLAMA3), byte_level()),
        post_processor=template(bos, [("<|eot_id|>", size + 1)]), decoder=byte_level())
    yield "digits_byte_level", tokenizer_json(
        with_string_merges({**model, "vocab": dict(model["vocab"])}),
        pre_tokenizer=chain("pre", {"type": "Digits", "individual_digits": True}, byte_level(use_regex=True)),
        decoder=byte_level())
    flags = [added(size, "<s>", lstrip=True), added(size + 1, "</s>", rstrip=True),
             added(size + 2, "<mask>", lstrip=True, rstrip=True), added(size + 3, "MASK", single_word=True),
             added(size + 4, "<DAY>", normalized=True, special=False),
             added(size + 5, "Day", normalized=True, single_word=True, special=False),
             added(size + 6, "<Pad>", normalized=True, special=True, lstrip=True),
             added(size + 7, "  ", special=False), added(size + 8, "<|eot", special=False)]
    yield "added_token_flags", tokenizer_json(model, added_tokens=flags, normalizer={"type": "Lowercase"},
                                              pre_tokenizer=byte_level(use_regex=True), decoder=byte_level())
    yield "qwen_nfc", tokenizer_json(model, added_tokens=llama3_added, normalizer={"type": "NFC"},
                                     pre_tokenizer=chain("pre", split(LLAMA3.replace("{1,3}", "")), byte_level()),
                                     post_processor=byte_level(), decoder=byte_level())
    yield "deepseek_splits", tokenizer_json(
        model, pre_tokenizer=chain(
            "pre", split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"),
            split("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
                  "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"), byte_level()), decoder=byte_level())
    yield "gpt4o_split", tokenizer_json(model, pre_tokenizer=chain("pre", split(GPT4O), byte_level()),
                                        decoder=byte_level())
    yield "split_behaviors", tokenizer_json(
        model, pre_tokenizer=chain("pre", split(r"\s", "MergedWithNext"), split("[aeiou]", "MergedWithPrevious"),
                                   split(r"\p{N}", "Contiguous"), split(r"[\w\s]+", "Removed", invert=True),
                                   split("th", "Isolated", kind="String"), split(r"x*", "Isolated"), byte_level()),
        decoder=byte_level())
    yield "roberta", tokenizer_json(
        model | {"vocab": dict(model["vocab"])}, added_tokens=[added(size, "<s>"), added(size + 1, "</s>")],
        pre_tokenizer=byte_level(use_regex=True, add_prefix_space=True), decoder=byte_level(),
        post_processor={"type": "RobertaProcessing", "sep": ["</s>", size + 1], "cls": ["<s>", size],
                        "trim_offsets": True, "add_prefix_space": True})


def character_tokenizers():
    fallback = trained_bpe(False, 520, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    control = [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")]
    to_space = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    to_mark = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    llama2_decoder = chain("decoder", to_space, {"type": "ByteFallback"}, {"type": "Fuse"},
                           {"type": "Strip", "content": " ", "start": 1, "stop": 0})
    yield "llama2_byte_fallback", tokenizer_json(
        fallback, added_tokens=control, post_processor=template([("<s>", 1)]), decoder=llama2_decoder,
        normalizer=chain("normalizer", {"type": "Prepend", "prepend": "▁"}, to_mark))
    yield "gemma_byte_fallback", tokenizer_json(
        fallback | {"fuse_unk": False}, added_tokens=control + [added(len(fallback["vocab"]), "<mask>", rstrip=True)],
        normalizer=to_mark, pre_tokenizer=split(" ", "MergedWithPrevious", kind="String"),
        post_processor=template([("<s>", 1)]),
        decoder=chain("decoder", to_space, {"type": "ByteFallback"}, {"type": "Fuse"}))
    # A fallback that lacks bytes: some characters fall back, some are unknown.
    holes = {t: i for t, i in fallback["vocab"].items() if t not in ("<0xE4>", "<0xF0>", "<0xCC>")}
    # Strip with a stop panics in the library on tokens shorter than that.
    yield "fallback_holes", tokenizer_json(
        fallback | {"vocab": holes}, pre_tokenizer={"type": "WhitespaceSplit"}, normalizer={"type": "NFKD"},
        decoder=chain("decoder", {"type": "ByteFallback"}, {"type": "Strip", "content": "e", "start": 2, "stop": 0}))
    plain = trained_bpe(False, 300, unk_token="<unk>")
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}
    yield "metaspace_first", tokenizer_json(
        plain, added_tokens=control, pre_tokenizer=metaspace, decoder=metaspace,
        normalizer=chain("normalizer", {"type": "NFKC"}, {"type": "Strip", "strip_left": True, "strip_right": True}))
    always = metaspace | {"prepend_scheme": "always", "split": False}
    yield "metaspace_always", tokenizer_json(
        plain | {"fuse_unk": True}, added_tokens=control, pre_tokenizer=always, decoder=always,
        normalizer={"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "})
    yield "whitespace_no_decoder", tokenizer_json(
        plain, normalizer=chain("normalizer", {"type": "NFD"}, {"type": "Lowercase"}),
        pre_tokenizer=chain("pre", {"type": "Whitespace"}, {"type": "Digits", "individual_digits": False}))


def trained_unigram(**options):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256) if options.get("byte_fallback")]
    trainer = trainers.UnigramTrainer(vocab_size=420 + len(special), special_tokens=special, unk_token="<unk>",
                                      show_progress=False)
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    return json.loads(tokenizer.to_str())["model"] | options


def unigram_tokenizers():
    control = [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")]
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    yield "unigram", tokenizer_json(
        trained_unigram(), added_tokens=control, normalizer={"type": "NFKC"}, decoder=metaspace,
        pre_tokenizer=chain("pre", {"type": "WhitespaceSplit"}, metaspace), post_processor=template([], [("</s>", 2)]))
    yield "unigram_byte_fallback", tokenizer_json(
        trained_unigram(byte_fallback=True), added_tokens=control, pre_tokenizer=metaspace | {"split": False},
        decoder=chain("decoder", {"type": "ByteFallback"}, metaspace))


def dump(record):
    return json.dumps(record, ensure_ascii=False) + "\n"


def write_cases(name, description, seed):
    folder = DATA / name
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_str(json.dumps(description))
    (folder / "tokenizer.json").write_text(json.dumps(description, ensure_ascii=False), encoding="utf-8")
    rnd = random.Random(seed)
    lines = []
    for text in texts(rnd, 200):
        add = rnd.random() < 0.5
        ids = tokenizer.encode(text, add_special_tokens=add).ids
        lines.append(dump({"text": text, "add_special_tokens": add, "ids": ids, "decoded": tokenizer.decode(
            ids, skip_special_tokens=False), "decoded_skip": tokenizer.decode(ids, skip_special_tokens=True)}))
    size = tokenizer.get_vocab_size()
    for _ in range(60):
        ids = [rnd.randrange(size + 2) for _ in range(rnd.choice([1, 2, 4, 12]))]
        lines.append(dump({"ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                           "decoded_skip": tokenizer.decode(ids, skip_special_tokens=True)}))
    (folder / "cases.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")


def write_smollm2(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rnd = random.Random(2)
    chat = "<|im_start|>user\nIs 7 > 5?<|im_end|>\n<|im_start|>assistant\n"
    lines = [dump({"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids})
             for text in [chat, *texts(rnd, 400)]]
    (DATA / "smollm2.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smollm2", type=pathlib.Path)
    arguments = parser.parse_args()
    for seed, (name, description) in enumerate([*byte_level_tokenizers(), *character_tokenizers(), *unigram_tokenizers()]):
        write_cases(name, description, seed)
    if arguments.smollm2:
        write_smollm2(arguments.smollm2)
    print("tokenizers", tokenizers.__version__)


if __name__ == "__main__":
    main()
