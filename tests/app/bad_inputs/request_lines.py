"""What a request line says: J of the list."""

from harness import Line, Raw, dumps


def bare(name, code, *says, args=(), check=None, **fields):
    """A bare line. prompt=... leaves the prompt out."""
    fields = {"prompt": "Hello", "max_tokens": 2, **fields}
    return Line(name, dumps({key: value for key, value in fields.items() if value is not ...}), code, says, args, check)


def wrong(name, field, values, code="invalid_(type|value)", **more):
    """Each of the values at `field`. A message names the field and shows the value."""
    for value in values:
        raw_error = isinstance(value, Raw) and value in ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "+1", "0x10", ".5", "1.")
        yield bare(
            f"{name} {field} {value!r}"[:100],
            "invalid_json" if raw_error else code,
            r"byte \d+" if raw_error else field,
            **{field: value},
            **more,
        )


def chat(name, code, *says, args=(), check=None, **fields):
    fields = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2, **fields}
    return Line(name, dumps({key: value for key, value in fields.items() if value is not ...}), code, says, args, check)


def batch(name, code, *says, body=None, **fields):
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2} if body is None else body
    line = {"custom_id": name.replace(" ", "_"), "method": "POST", "url": "/v1/chat/completions", "body": body, **fields}
    return Line(name, dumps({key: value for key, value in line.items() if value is not ...}), code, says)


def message(name, code, *says, **fields):
    return chat(name, code, *says, messages=[{"role": "user", "content": "Hi", **fields}])


def score(name, code, *says, **fields):
    line = {"context": "a", "continuation": " b", **fields}
    return Line(name, dumps({key: value for key, value in line.items() if value is not ...}), code, says)


def same_id(wanted):
    def check(record):
        assert record["id"] == wanted, record["id"]

    return check


def cut_short(record):
    assert record["finish_reason"] == "length" and len(record["token_ids"]) == 2, record


JSON_NUMBERS = [Raw("NaN"), Raw("Infinity"), Raw("-Infinity"), Raw("1e400"), Raw("-1e400"), Raw("+1"), Raw("0x10"), Raw(".5"), Raw("1.")]
NO_NUMBERS = ["0.5", True, False, [], [1], {}]
NO_INTEGERS = [*JSON_NUMBERS, *NO_NUMBERS, 1.5, Raw("2.0"), Raw("1e1"), 2**63, 2**64, -(2**63) - 1, Raw("1e30"), Raw("-1e30")]
NO_TEXTS = [1, 1.5, True, [], {}, [["a"]]]

PARAMETERS = [
    *wrong("J28", "max_tokens", [*NO_INTEGERS, 0, -1, 2**31]),
    *wrong("J29", "temperature", [*JSON_NUMBERS, *NO_NUMBERS, -0.1, 100.5, 1e300, Raw("-1e-300")]),
    *wrong("J30", "top_p", [*JSON_NUMBERS, *NO_NUMBERS, -0.1, 1.0001, 2]),
    *wrong("min_p:", "min_p", [*JSON_NUMBERS, *NO_NUMBERS, -0.1, 1.5]),
    *wrong("J31", "top_k", [*NO_INTEGERS, -5, 2**40]),
    *wrong("J32", "seed", [*[value for value in NO_INTEGERS if value != 2**63], -1]),
    *wrong("J33", "n", [*NO_INTEGERS, 0, -1, 10**6, 129]),
    *wrong("J34", "stop", [1, True, {}, "", [""], [1], [None], [["a"]], ["a"] * 10_000, "s" * 1_000_000, ["a", "b" * 5000]]),
    *wrong("J34", "stop_token_ids", ["1", 1, [1.5], ["1"], [-1], [512], [2**64], [True], [1] * 5000]),
    *wrong("J36", "logprobs", [*NO_INTEGERS, -1, 10**6, 21]),
    *wrong("presence:", "presence_penalty", [*JSON_NUMBERS, *NO_NUMBERS, -2.1, 2.1]),
    *wrong("frequency:", "frequency_penalty", [*JSON_NUMBERS, *NO_NUMBERS, -2.1, 2.1]),
    *wrong("repetition:", "repetition_penalty", [*JSON_NUMBERS, *NO_NUMBERS, 0, -1, 1e9]),
    *wrong("min_tokens:", "min_tokens", [*NO_INTEGERS, -1]),
    *wrong("min_tokens:", "min_tokens", [3], code="conflicting_parameters"),
    *wrong(
        "bias:",
        "logit_bias",
        [
            1,
            "a",
            [],
            [[1, 1]],
            {"a": 1},
            {"-1": 1},
            {"512": 1},
            {"1.0": 1},
            {"01": 1},
            {"": 1},
            {" 1": 1},
            {"1": 101},
            {"1": "1"},
            {"1": None},
            {"9" * 50: 1},
        ],
    ),
    *wrong("echo:", "echo", [1, "true", []]),
    *wrong("ignore_eos:", "ignore_eos", [1, "true", []]),
    *wrong("model:", "model", NO_TEXTS),
    *wrong("stream:", "stream", [1, "true"]),
    *wrong("stream:", "stream", [True], code="unsupported_parameter"),
    *wrong("J37", "temprature", [1, "x", {}, False], code="unknown_parameter"),
    *wrong("J37 for chats only:", "tools", [[]], code="unknown_parameter"),
    bare("J37 an unknown field of 1 MB", "unknown_parameter", **{"f" * 1_000_000: 1}),
    bare("J37 an unknown field with escapes", "unknown_parameter", r"\\u001b", **{"\u001b[31m": 1}),
    bare("J37 an unknown field that is empty", "unknown_parameter", '""', **{"": 1}),
    *[
        bare(f"J28 null is as absent: {field}", None, **{field: None})
        for field in ("max_tokens", "temperature", "top_p", "top_k", "seed", "n", "stop", "logprobs", "logit_bias", "nonsense")
    ],
    *[
        bare(f"good: {field} {value!r}", None, **{field: value})
        for field, value in [
            ("temperature", 0),
            ("temperature", Raw("-0.0")),
            ("temperature", 1e-300),
            ("top_p", 0),
            ("top_p", 1),
            ("top_k", -1),
            ("top_k", 2**31 - 1),
            ("seed", 2**64 - 1),
            ("seed", 0),
            ("n", 3),
            ("stop", ["a", "b"]),
            ("stop", []),
            ("logprobs", 20),
            ("max_tokens", 2**31 - 1),
            ("logit_bias", {"0": -100, "511": 100}),
            ("min_tokens", 2),
            ("metadata", {"a": [1e308]}),
            ("user", 5),
        ]
    ],
]

PROMPTS = [
    bare("J02 a good line", None),
    Line("J04 CRLF", b'{"prompt":"a","max_tokens":1}\r', None),
    Line("J04 white space around", b' \t{"prompt":"a","max_tokens":1}\t ', None),
    bare("J11 U+0000 in a prompt", None, prompt="a\0b"),
    bare("J24 a prompt of white space", None, prompt=" \n\t "),
    bare("J23 an empty prompt, which gets BOS", None, prompt=""),
    bare("J18 no prompt", "missing_field", "prompt", prompt=...),
    bare("J18 nothing but an id", "missing_field", "prompt", prompt=..., max_tokens=..., id="only"),
    bare("J19 prompt null", "missing_field", "prompt", prompt=None),
    *wrong("J19", "prompt", [1, 1.5, True, [], {}, ["a"], [1, 2]]),
    bare("J20 prompt and messages", "conflicting_fields", "messages", messages=[{"role": "user", "content": "x"}]),
    bare("J21 prompt and ids", "conflicting_fields", "prompt_token_ids", prompt_token_ids=[1]),
    *[
        bare(f"J22 an id of {value!r}", "invalid_(type|value)", "prompt_token_ids", prompt=..., prompt_token_ids=value)
        for value in ([-1], [512], [1.5], ["1"], [True], [None], [[1]], [1, 2**64], [], {}, 1, "1")
    ],
    bare("J22 ids at the edge", None, prompt=..., prompt_token_ids=[0, 511]),
    bare("J25 512 tokens", "context_length_exceeded", "512 tokens", prompt=..., prompt_token_ids=[5] * 512),
    bare("J25 511 tokens", None, prompt=..., prompt_token_ids=[5] * 511),
    bare("J26 prompt + max_tokens over the context", None, prompt=..., prompt_token_ids=[5] * 510, max_tokens=1000, check=cut_short),
    *wrong("J39", "id", [1, 1.5, True, [], {}, "", "x" * 1_000_000, "line-7", "line-0"]),
    bare("J39 an id with newline, quote and NUL", None, id='a\n"\0b', check=same_id('a\n"\0b')),
    bare("J39 an id with an escape sequence", None, id="\u001b[31m", check=same_id("\u001b[31m")),
    bare("J40 an id", None, id="twice"),
    bare("J40 the id again", "duplicate_id", "twice", id="twice"),
    Line("J38 a key twice", b'{"prompt":"a","prompt":"a"}', "invalid_json", ("duplicate key", "prompt")),
    Line("a line that mimics the parser's words", b'{"prompt":"a\'; expected \xb2', "invalid_json", (r"byte \d+",)),
    Line("J43 a comment", b'// {"prompt":"a"}', "invalid_json"),
    Line("J08 an overlong NUL", b'{"prompt":"\xc0\x80"}', "invalid_json", (r"byte \d+",)),
    Line("J07 a bad byte", b'{"prompt":"\xff"}', "invalid_json", (r"byte \d+", "UTF-8")),
    Line("J09 a lone surrogate", rb'{"prompt":"\ud800"}', "invalid_json", ("surrogate",)),
    Line("J10 a raw NUL", b'{"prompt":"a\0"}', "invalid_json", ("NUL",)),
    Line("J12 a raw tab", b'{"prompt":"a\t"}', "invalid_json", ("control",)),
    Line("J05 a byte order mark later on", b'\xef\xbb\xbf{"prompt":"a"}', "invalid_json", ("byte order mark",)),
    Line("J06 UTF-16", '{"prompt":"a"}'.encode("utf-16-le"), "invalid_json"),
]

CHATS = [
    chat("a chat", None),
    chat("no messages", "invalid_value", "messages", messages=[]),
    *[chat(f"messages {value!r}", "invalid_type", "messages", messages=value) for value in ("Hi", 1, {}, ["Hi"], [None], [[]])],
    *[
        message(f"content {value!r}", "invalid_type|missing_field|unsupported_content", r"messages\[0\]\.content", content=value)
        for value in (
            1,
            True,
            {},
            [1],
            [{}],
            [{"type": "text"}],
            [{"type": "text", "text": 1}],
            [{"type": "image_url", "image_url": "x"}],
            [{"type": 1}],
        )
    ],
    *[message(f"role {value!r}", "invalid_(type|value)", r"messages\[0\]\.role", role=value) for value in (1, "", [], {}, True)],
    chat("no role", "missing_field", r'messages\[0\].*"role"', messages=[{"content": "Hi"}]),
    message("a part of text", None, content=[{"type": "text", "text": "Hi"}]),
    message("content null", "template_error", content=None),
    *[chat(f"tools {value!r}", "invalid_type", "tools", tools=value) for value in (1, "x", {}, [1], ["x"])],
    *[
        chat(f"kwargs {value!r}", "invalid_(type|value)", "chat_template_kwargs", chat_template_kwargs=value)
        for value in (1, "x", [], {"messages": []}, {"chat_template": "x"})
    ],
    chat("kwargs with a number over 64 bits", "template_error", chat_template_kwargs={"x": 2**63}),
    *[
        chat(f"tool_choice {value!r}", "unsupported_parameter", "tool_choice", tool_choice=value)
        for value in ("required", {"type": "function"}, 1)
    ],
    *[
        chat(f"response_format {value!r}", "unsupported_parameter|invalid_type", "response_format", response_format=value)
        for value in ({"type": "json_object"}, {"type": "json_schema"}, {}, "text")
    ],
    *[
        chat(f"top_logprobs {value!r}", "invalid_(type|value)|conflicting_parameters", "top_logprobs", logprobs=True, top_logprobs=value)
        for value in (-1, 21, 1.5, "1", True)
    ],
    chat("top_logprobs alone", "conflicting_parameters", "top_logprobs", top_logprobs=1),
    chat("a chat's logprobs is no number", "invalid_type", "logprobs", logprobs=1),
    chat("echo is not of chats", "unknown_parameter", "echo", echo=True),
    chat("both at the end", "conflicting_parameters", "continue_final_message", add_generation_prompt=True, continue_final_message=True),
    chat("J25 a chat over the context", "context_length_exceeded", "messages", messages=[{"role": "user", "content": "x " * 5000}]),
    batch("a batch line", None),
    batch("no custom_id", "missing_field", "custom_id", custom_id=...),
    batch("custom_id a number", "invalid_type", "custom_id", custom_id=1),
    batch("body null", "missing_field", "body", body=Raw("null")),
    batch("no body", "missing_field", "body", body=...),
    *[batch(f"body {value!r}", "invalid_type", "body", body=value) for value in (1, "x", [])],
    batch("method GET", "invalid_value", "method", method="GET"),
    batch("method 1", "invalid_type", "method", method=1),
    batch("no url", "missing_field", "url", url=...),
    batch("another url", "unsupported_url", "/v1/embeddings", url="/v1/embeddings"),
    batch("url 1", "invalid_type", "url", url=1),
    batch("an unknown field beside the body", "unknown_parameter", "priority", priority=1),
    batch("an unknown field of the body", "unknown_parameter", "zoom", body={"messages": [{"role": "user", "content": "x"}], "zoom": 1}),
    *[
        batch(f"completions with prompt {value!r}"[:90], "invalid_(type|value)", "prompt", url="/v1/completions", body={"prompt": value})
        for value in (1, {}, [], [[]], [1, "a"], ["a", 1], [[1], "a"], [[-1]], [[1], []], [1.5], ["a"] * 2049)
    ],
    batch("too many sequences", "invalid_value", '"n"', url="/v1/completions", body={"prompt": ["a"] * 100, "n": 100}),
    score("scoring", None),
    score("an empty context", None, context=""),
    score("an empty continuation", "invalid_value", "continuation", continuation=""),
    *[score(f"context {value!r}", "invalid_type", "context", context=value) for value in (1, [], {}, ["a"])],
    *[
        score(f"continuation {value!r}", "invalid_(type|value)", "continuation", continuation=value)
        for value in (1, {}, [], [1], [""], ["a", None])
    ],
    score("no continuation", "missing_field", "continuation", continuation=...),
    score("no context", "missing_field", "context", context=...),
    score("a parameter", "unknown_parameter", "temperature", temperature=0),
    score("J25 a continuation over the context", "context_length_exceeded", "continuation", continuation=" b" * 2000),
    Line("rolling", b'{"text":"a b","rolling":true}', None),
    Line("rolling false", b'{"text":"a","rolling":false}', "invalid_value", ("rolling",)),
    Line("rolling 1", b'{"text":"a","rolling":1}', "invalid_type", ("rolling",)),
    Line("text alone", b'{"text":"a"}', "missing_field", ("rolling",)),
    Line("rolling without text", b'{"rolling":true}', "missing_field", ("text",)),
    Line("text 1", b'{"text":1,"rolling":true}', "invalid_type", ("text",)),
]

LINES = PARAMETERS + PROMPTS + CHATS
