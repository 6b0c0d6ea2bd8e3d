"""config.json, generation_config.json and chat templates: C of the list, and K14."""

from harness import Case, Raw, edit_json, write

CONFIG, GENERATION, TOKENIZER_CONFIG = "config.json", "generation_config.json", "tokenizer_config.json"


def bad(name, changes, *words, file=CONFIG):
    return Case(name, 78, (f"model/{file}: ", *words), edit_json(file, **changes))


def fine(name, changes, file=CONFIG):
    return Case(name, 0, (), edit_json(file, **changes))


def file_is(name, content, *words, file=CONFIG):
    return Case(name, 78, (f"model/{file}: ", *words), write(file, content))


# Values that no field with a size takes, each at every such field.
NO_SIZES = [0, -1, 1.5, 64.0, "64", True, [], {}, 2**40, 2**63, 2**64, -(2**63), Raw("1e400"), Raw("NaN"), Raw("-0.0"), Raw("0x10")]
SIZES = [
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
]
NO_NUMBERS = [0, -1, "1e-5", True, [], Raw("NaN"), Raw("Infinity"), Raw("1e400"), Raw("-1e-320")]


def says_of(field, value):
    return r"byte \d+" if isinstance(value, Raw) and value not in ("-0.0", "-1e-320") else rf"\b{field}: "


CONFIGS = [
    *[bad(f"C03 {field} {value!r}", {field: value}, says_of(field, value)) for field in SIZES for value in NO_SIZES],
    *[
        bad(f"C13 {field} {value!r}", {field: value}, says_of(field, value))
        for field in ("rms_norm_eps", "rope_theta")
        for value in NO_NUMBERS
    ],
    *[bad(f"a size that is missing: {field}", {field: ...}, f"{field}: is missing") for field in SIZES if field != "num_key_value_heads"],
    *[bad(f"a size of null: {field}", {field: None}, f"{field}: is missing") for field in SIZES if field != "num_key_value_heads"],
    file_is("C01 not JSON", b"hidden_size: 64", "byte 0"),
    file_is("C01 0 bytes", b"", "empty"),
    file_is("C01 a list", b"[]", "not an object"),
    file_is("C01 truncated", b'{"hidden_size": 6', r"byte 17"),
    file_is("C01 with a comment", b'{"a": 1 // one\n}', "byte 8"),
    file_is("C01 with a last comma", b'{"a": 1,}', "byte 8"),
    file_is("C01 17 MiB", b" " * (17 << 20) + b"{}", "17825794 bytes"),
    file_is("C01 an HTML page", b"<html>", "HTML"),
    file_is("C01 UTF-16", '{"a": 1}'.encode("utf-16"), "byte"),
    Case("C01 no config.json", 66, ("config.json",), lambda folder: (folder / CONFIG).unlink()),
    bad("C02 no architectures", {"architectures": ...}, "architectures: is missing"),
    bad("C02 unknown architectures", {"architectures": ["Mamba\u001b[31m"]}, "architectures", r"Mamba\\u001b", "LlamaForCausalLM"),
    bad("C02 two architectures", {"architectures": ["LlamaForCausalLM", "x"]}, "architectures"),
    bad("C02 architectures is text", {"architectures": "LlamaForCausalLM"}, "architectures"),
    bad("C02 no model_type", {"model_type": ...}, "model_type: is missing"),
    bad("C02 another model_type", {"model_type": "gpt2"}, "model_type", "gpt2"),
    bad("C04 0 heads", {"num_attention_heads": 0}, "num_attention_heads"),
    bad("C05 heads % kv_heads", {"num_key_value_heads": 3}, "num_key_value_heads", "does not divide"),
    bad("C05 more kv_heads than heads", {"num_key_value_heads": 8}, "num_key_value_heads", "does not divide"),
    bad("C06 hidden % heads", {"hidden_size": 66}, "num_attention_heads", "does not divide hidden_size"),
    bad("C07 head_dim 7", {"head_dim": 7}, "head_dim"),
    bad("C07 head_dim 9", {"head_dim": 9}, "head_dim"),
    bad("C07 head_dim 1024", {"head_dim": 1024}, "head_dim"),
    bad("C08 10^9 layers", {"num_hidden_layers": 10**9}, "num_hidden_layers"),
    Case("C08 1000 layers", 78, ("model.layers.3", "lack"), edit_json(CONFIG, num_hidden_layers=1000)),
    Case("C09 vocab_size over the rows", 78, ("model.embed_tokens.weight", "shape"), edit_json(CONFIG, vocab_size=513)),
    Case("C09 a vocab_size of 2^24", 78, ("model.embed_tokens.weight", "shape"), edit_json(CONFIG, vocab_size=1 << 24)),
    Case("C09 a hidden_size of 2^20", 78, ("model", "shape"), edit_json(CONFIG, hidden_size=1 << 20, head_dim=16)),
    Case("C10 fewer layers than tensors", 78, ("model.layers.2", "no place"), edit_json(CONFIG, num_hidden_layers=2)),
    bad("C11 rope_theta twice, and different", {"rope_parameters": {"rope_type": "default", "rope_theta": 5}}, "rope_theta"),
    bad("C12 an unknown rope type", {"rope_scaling": {"rope_type": "spiral", "factor": 2}}, "rope_type", "spiral"),
    bad(
        "C12 an unknown field of rope_scaling", {"rope_scaling": {"rope_type": "linear", "factor": 2, "twist": 1}}, "rope_scaling", "twist"
    ),
    bad("C12 rope_scaling is text", {"rope_scaling": "linear"}, "rope_scaling"),
    *[
        bad(f"C12 a {kind} factor of {factor!r}", {"rope_scaling": {"rope_type": kind, "factor": factor}}, "rope_scaling.factor")
        for kind in ("linear", "dynamic", "yarn")
        for factor in (0, -1, 0.5, "2", True, 1e300)
    ],
    bad("C12 linear without a factor", {"rope_scaling": {"rope_type": "linear"}}, "rope_scaling.factor: is missing"),
    bad("C12 llama3 without its fields", {"rope_scaling": {"rope_type": "llama3", "factor": 8}}, "low_freq_factor"),
    bad(
        "C12 longrope with too few factors",
        {"rope_scaling": {"rope_type": "longrope", "short_factor": [1], "long_factor": [1]}},
        "short_factor",
    ),
    bad("C12 no rotated dimension", {"partial_rotary_factor": 0.001}, "partial_rotary_factor"),
    Case(
        "C14 tied, but an lm_head that differs", 78, ("lm_head.weight", "tie_word_embeddings"), edit_json(CONFIG, tie_word_embeddings=True)
    ),
    bad("C14 tie_word_embeddings is text", {"tie_word_embeddings": "true"}, "tie_word_embeddings"),
    bad("C15 max_position 2^31", {"max_position_embeddings": 2**31}, "max_position_embeddings"),
    bad("C16 quantization_config", {"quantization_config": {"bits": 4}}, "quantization_config"),
    bad("C16 compression_config", {"compression_config": {}}, "compression_config"),
    *[
        bad(f"C17 an EOS of {value!r}", {"eos_token_id": value}, "eos_token_id")
        for value in (512, -1, "1", 1.0, True, [1, 512], [[1]], [None], 2**64, {})
    ],
    *[bad(f"C17 a BOS of {value!r}", {"bos_token_id": value}, "bos_token_id") for value in (512, -1, "1", 1.0, True, 2**64)],
    fine("C17 a list of EOS ids", {"eos_token_id": [1, 2]}),
    fine("C17 an EOS of null", {"eos_token_id": None}),
    bad("C18 float64", {"torch_dtype": "float64"}, "torch_dtype", "float64"),
    bad("C18 a dtype that is a number", {"torch_dtype": 16}, "torch_dtype"),
    file_is("C19 100,000 arrays", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested deeper"),
    file_is("C20 a key twice", b'{"hidden_size":64,"hidden_size":64}', "duplicate key", "hidden_size"),
    bad("C21 a negative window", {"sliding_window": -1}, "sliding_window"),
    bad("C21 a window that Llama lacks", {"sliding_window": 8}, "sliding_window", "not supported"),
    bad("an unknown activation", {"hidden_act": "relu"}, "hidden_act", "relu"),
    bad("attention_bias is a number", {"attention_bias": 1}, "attention_bias"),
    bad("experts", {"num_local_experts": 8}, "num_local_experts"),
    bad("experts, one", {"num_experts": 1}, "num_experts"),
    bad("a long value is cut", {"hidden_act": "r" * 100_000}, "hidden_act"),
    Case(
        "a config of 10^6 fields",
        78,
        ("config.json",),
        write(CONFIG, b"{" + b",".join(b'"f%d":0' % i for i in range(10**6)) + b"}"),
        mib=512,
    ),
]

GENERATIONS = [
    file_is("C01 generation_config: not JSON", b"x", "byte 0", file=GENERATION),
    file_is("C01 generation_config: a list", b"[]", "not an object", file=GENERATION),
    *[
        bad(f"C17 generation_config: an EOS of {value!r}", {"eos_token_id": value}, "eos_token_id", file=GENERATION)
        for value in (512, -1, "1", [1, 1.5])
    ],
    *[
        bad(f"generation_config: {field} {value!r}", {field: value}, rf"\b{field}: |byte \d+", file=GENERATION)
        for field, values in {
            "temperature": (-1, "1", True, Raw("NaN"), Raw("1e400")),
            "top_p": (-0.1, 1.1, "1", True),
            "top_k": (-1, 1.5, 2**31, "50"),
            "min_p": (-0.1, 2, []),
            "repetition_penalty": (0, -1, "1"),
            "do_sample": (1, "true"),
        }.items()
        for value in values
    ],
]

CHAT = b'{"id":"chat","messages":[{"role":"user","content":"Hi"}],"max_tokens":2}\n'


def template(name, source, code, *words, seconds=5, mib=256, exit=65):
    """`exit` 78: the template is refused when it is read; else its conversations are."""
    from weights import expect_record

    after = (lambda folder: expect_record(folder, code)) if code else None
    return Case(name, exit, words, edit_json(TOKENIZER_CONFIG, chat_template=source), input=CHAT, after=after, seconds=seconds, mib=mib)


TEMPLATES = [
    template("K14 a loop of 10^12", "{% for i in range(10**12) %}x{% endfor %}", "template_error"),
    template(
        "K14 loops inside each other",
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
        "template_error",
    ),
    template("K14 a macro that calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "template_error"),
    template(
        "K14 text that doubles",
        "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "template_error",
    ),
    template("K14 'a' * 10^12", "{{ 'a' * 10**12 }}", "template_error"),
    template("K14 2 ** 10^9", "{{ 2 ** 10**9 }}", "template_error"),
    template(
        "K14 a list that doubles",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "template_error",
    ),
    template("K14 a width of 10^12", "{{ '%1000000000000d' % 1 }}", "template_error"),
    template("K14 center(10^12)", "{{ 'a' | center(1000000000000) }}", "template_error"),
    template("K14 raise_exception", "{{ raise_exception('no') }}", "template_error"),
    template("K14 an undefined method", "{{ messages.nope() }}", "template_error"),
    template("K14 an include", "{% include '/etc/passwd' %}", None, "tokenizer_config.json", "include", exit=78),
    template("K14 an import", "{% import 'x' as y %}", None, "tokenizer_config.json", "import", exit=78),
    template("K14 an unclosed block", "{% for m in messages %}", None, "tokenizer_config.json", exit=78),
    template("K14 an unclosed expression", "{{ messages", None, "tokenizer_config.json", exit=78),
    template("K14 100,000 parentheses", "{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}", None, "tokenizer_config.json", exit=78),
    template("K14 100,000 lists", "{{ " + "[" * 100_000 + "]" * 100_000 + " }}", None, "tokenizer_config.json", exit=78),
    template("K14 100,000 nots", "{{ " + "not " * 100_000 + "1 }}", None, "tokenizer_config.json", exit=78),
    template("K14 100,000 minus signs", "{{ " + "-" * 100_000 + "1 }}", None, "tokenizer_config.json", exit=78),
    template("K14 100,000 ifs", "{% if 1 %}" * 100_000 + "{% endif %}" * 100_000, None, "tokenizer_config.json", exit=78),
    bad("K14 a template that is a number", {"chat_template": 1}, "chat_template", file=TOKENIZER_CONFIG),
    bad("K14 a template list without names", {"chat_template": [{}]}, "chat_template", file=TOKENIZER_CONFIG),
    bad("a BOS token that is a number", {"bos_token": 1}, "bos_token", file=TOKENIZER_CONFIG),
    file_is("tokenizer_config: not JSON", b"{", "byte 1", file=TOKENIZER_CONFIG),
    file_is("tokenizer_config: a list", b"[]", "object", file=TOKENIZER_CONFIG),
    file_is("special_tokens_map: not JSON", b"x", "byte 0", file="special_tokens_map.json"),
    file_is("special_tokens_map: a number", b'{"eos_token": 1}', "eos_token", file="special_tokens_map.json"),
    Case("a template that is not UTF-8", 78, ("chat_template.jinja", "UTF-8"), write("chat_template.jinja", b"{{ '\xff' }}"), input=CHAT),
]

CASES = CONFIGS + GENERATIONS + TEMPLATES
