#!/usr/bin/env python3
"""OpenAI Batch lines of every shape, and a check of the answers against the `openai` package's own types.

    check_openai_batch.py requests > IN
    check_openai_batch.py check OUT          needs openai

The types are taken strictly: no field of ours that they do not have, none missing, no conversion. Beside that the
answers must mean what the API reference says: order of choices, usage, log-probabilities, offsets, errors.
"""
import json
import sys

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
HELLO = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
SAMPLED = {"temperature": 1, "seed": 7, "max_tokens": 8}
STOPS = ["e", "r", " "]  # one of them comes within 40 tokens
GREEDY = {"temperature": 0, "max_tokens": 6, "ignore_eos": True}


def chat(**fields):
    return CHAT, {"model": "m", "messages": HELLO, "max_tokens": 4, **fields}


def completion(prompt, **fields):
    return COMPLETION, {"model": "m", "prompt": prompt, "max_tokens": 4, **fields}


ANSWERED = {
    "chat": chat(),
    "chat n": chat(n=3, temperature=1, seed=3),
    "chat max_completion_tokens": (CHAT, {"model": "m", "messages": HELLO, "max_completion_tokens": 3}),
    "chat logprobs": chat(logprobs=True, **GREEDY),
    "chat top_logprobs": chat(logprobs=True, top_logprobs=4, **GREEDY),
    "chat neutral": chat(stream=False, response_format={"type": "text"}, tool_choice="none", user="u", store=True,
                         metadata={"a": "b"}, service_tier="auto", stop=None, logit_bias=None),
    "chat tools": chat(tools=[TOOL], tool_choice="auto"),
    "chat parts": chat(messages=[{"role": "user", "content": [{"type": "text", "text": "a"},
                                                              {"type": "text", "text": "b"}]}]),
    "chat without model": (CHAT, {"messages": HELLO, "max_tokens": 2}),
    "text": completion("Hello"),
    "texts": completion(["Hello", "A longer prompt", "x"], **GREEDY),
    "texts n": completion(["Hello", "Other"], n=2, **SAMPLED),
    "ids": completion([5, 6, 7]),
    "id lists": completion([[5, 6, 7], [8]], **GREEDY),
    "first alone": completion("Hello", **GREEDY),
    "second alone": completion("A longer prompt", **GREEDY),
    "seed": completion("Hello", **SAMPLED),
    "seed again": completion("Hello", **SAMPLED),
    "logprobs 0": completion("Hello", logprobs=0, **GREEDY),
    "logprobs": completion("Hello é 🚀", logprobs=3, n=2, **GREEDY),
    "echo": completion("Hello there", echo=True),
    "echo ids": completion([[5, 6], [7]], echo=True, n=2),
    "echo logprobs": completion(["Hello é there", "x y"], echo=True, logprobs=2, **GREEDY),
    "echo alone": (COMPLETION, {"model": "m", "prompt": "Hello there", "max_tokens": 0, "echo": True, "logprobs": 1}),
    "penalties": completion("Hello", presence_penalty=1, frequency_penalty=-1, logit_bias={"5": -100, "6": 3.5},
                            top_p=0.9, **SAMPLED),
    "long": completion("Hello", **{**GREEDY, "max_tokens": 40}),
    "stop": completion("Hello", stop=STOPS, **{**GREEDY, "max_tokens": 40}),
    "stop text": chat(stop="zzzz"),
}
# Line, param, code.
REFUSED = {
    "stream": (chat(stream=True), "stream", "unsupported_parameter"),
    "tool required": (chat(tools=[TOOL], tool_choice="required"), "tool_choice", "unsupported_parameter"),
    "tool named": (chat(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "f"}}), "tool_choice",
                   "unsupported_parameter"),
    "json object": (chat(response_format={"type": "json_object"}), "response_format", "unsupported_parameter"),
    "json schema": (chat(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}),
                    "response_format", "unsupported_parameter"),
    "guided": (completion("a", guided_regex="a*"), "guided_regex", "unsupported_parameter"),
    "grammar": (chat(grammar="root ::= x"), "grammar", "unsupported_parameter"),
    "unknown": (completion("a", best_off=2), "best_off", "unknown_parameter"),
    "no messages": ((CHAT, {"model": "m"}), "messages", "missing_field"),
    "negative": (completion("a", max_tokens=-1), "max_tokens", "invalid_value"),
    "too long": (completion([5] * 600), "prompt", "context_length_exceeded"),
    "image": (chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
              "messages[0].content[0].type", "unsupported_content"),
    "other url": (("/v1/embeddings", {"input": "a"}), "url", "unsupported_url"),
}
NO_REQUESTS = ['{"custom_id":"no body","method":"POST","url":"/v1/completions"}',
               '{"method":"POST","url":"/v1/completions","body":{"prompt":"no id"}}']


def print_requests():
    lines = {**ANSWERED, **{name: line for name, (line, *_) in REFUSED.items()}}
    for name, (url, body) in lines.items():
        print(json.dumps({"custom_id": name, "method": "POST", "url": url, "body": body}))
    print("\n".join(NO_REQUESTS))


def parse(cls, value):
    """By the package's type, strictly and with no field that the type does not have."""
    from pydantic import BaseModel

    def check_known(model, path):
        assert not model.model_extra, f"{path}: {cls.__name__} has no {sorted(model.model_extra)}"
        for name in type(model).model_fields:
            field = getattr(model, name)
            for i, one in enumerate(field if isinstance(field, list) else [field]):
                if isinstance(one, BaseModel):
                    check_known(one, f"{path}.{name}[{i}]")

    parsed = cls.model_validate(value, strict=True)
    check_known(parsed, cls.__name__)
    return parsed


def take_first_nulls(body):
    """OpenAI writes null for an echoed prompt's first token; the package's type has no null there."""
    for choice in body["choices"]:
        logprobs = choice["logprobs"]
        if logprobs:
            assert logprobs["token_logprobs"][0] is None
            logprobs["token_logprobs"][0] = 0.0
            if logprobs["top_logprobs"]:
                assert logprobs["top_logprobs"][0] is None
                logprobs["top_logprobs"][0] = {logprobs["tokens"][0]: 0.0}


def check_descending(numbers):
    assert numbers == sorted(numbers, reverse=True), numbers


def check_completion_logprobs(request, choice):
    got, wanted = choice.logprobs, request["logprobs"]
    size = len(got.tokens)
    assert size == len(got.token_logprobs) == len(got.text_offset)
    for token, offset in zip(got.tokens, got.text_offset):
        if "\ufffd" not in token and token != "<|begin|>":  # special tokens are no part of the text
            assert choice.text[offset:].startswith(token), (token, offset, choice.text)
    if wanted == 0:
        assert got.top_logprobs is None
        return
    assert len(got.top_logprobs) == size
    begin = 1 if request.get("echo") else 0
    for token, logprob, top in list(zip(got.tokens, got.token_logprobs, got.top_logprobs))[begin:]:
        assert top[token] >= logprob and len(top) <= wanted + 1
        check_descending(list(top.values())[:wanted])


def check_chat_logprobs(request, choice):
    content = choice.logprobs.content
    assert choice.logprobs.refusal is None and len(content) == request["max_tokens"]
    assert b"".join(bytes(token.bytes) for token in content).decode(errors="replace") == choice.message.content
    for token in content:
        assert len(token.top_logprobs) == request.get("top_logprobs", 0)
        check_descending([one.logprob for one in token.top_logprobs])
        if token.top_logprobs:  # greedy
            assert token.top_logprobs[0].token == token.token and token.top_logprobs[0].logprob == token.logprob


def check_answer(record):
    from openai.types import Completion
    from openai.types.chat import ChatCompletion

    url, request = ANSWERED[record["custom_id"]]
    response = record["response"]
    assert record["error"] is None and response["status_code"] == 200 and response["request_id"].startswith("req_")
    if request.get("echo") and "logprobs" in request:
        take_first_nulls(response["body"])
    answer = parse(ChatCompletion if url == CHAT else Completion, response["body"])
    assert answer.id.startswith("chatcmpl-" if url == CHAT else "cmpl-") and answer.model == request.get("model", "")
    prompts = request.get("prompt")
    several = isinstance(prompts, list) and not isinstance(prompts[0], int)
    count = (len(prompts) if several else 1) * request.get("n", 1)
    assert [choice.index for choice in answer.choices] == list(range(count))
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    if several and not isinstance(prompts[0], str):
        assert usage.prompt_tokens == sum(map(len, prompts))
    most = request.get("max_tokens", request.get("max_completion_tokens"))
    assert usage.completion_tokens <= most * count
    for choice in answer.choices:
        if url == CHAT:
            assert choice.message.role == "assistant" and isinstance(choice.message.content, str)
        elif request.get("echo") and isinstance(prompts, (str, list)) and not isinstance(prompts[0], (int, list)):
            given = prompts if isinstance(prompts, str) else prompts[choice.index // request.get("n", 1)]
            assert choice.text.startswith(given)
        if request.get("ignore_eos") and "stop" not in request:
            assert choice.finish_reason == "length"
        assert (choice.logprobs is None) == (not request.get("logprobs", False) and request.get("logprobs") != 0)
        if choice.logprobs is not None:
            (check_chat_logprobs if url == CHAT else check_completion_logprobs)(request, choice)
    if request.get("ignore_eos") and "stop" not in request:
        assert usage.completion_tokens == most * count
    return answer


def check_refusal(record):
    from openai.types.shared import ErrorObject

    _, param, code = REFUSED[record["custom_id"]]
    response = record["response"]
    assert record["error"] is None and response["status_code"] == 400 and set(response["body"]) == {"error"}
    error = parse(ErrorObject, response["body"]["error"])
    assert (error.param, error.code, error.type) == (param, code, "invalid_request_error"), error
    assert param.split("[")[0] in error.message, error.message


def check_no_request(record):
    from openai.types import BatchError

    assert record["response"] is None
    error = parse(BatchError, record["error"])
    assert error.code and error.message and error.line > len(ANSWERED) + len(REFUSED)


def check_related(answers):
    """What one request's answer says about another's."""
    texts = {name: [choice.text for choice in answer.choices] for name, answer in answers.items()
             if name in ANSWERED and ANSWERED[name][0] == COMPLETION}
    assert texts["texts"][:2] == texts["first alone"] + texts["second alone"]
    assert texts["seed"] == texts["seed again"]
    assert texts["texts n"][0] == texts["seed"][0]
    assert len(set(texts["texts n"])) == 4, "choices are draws of their own"
    stop = answers["stop"].choices[0]
    assert stop.finish_reason == "stop" and not any(one in stop.text for one in STOPS)
    assert texts["long"][0].startswith(stop.text) and texts["long"][0][len(stop.text):].startswith(tuple(STOPS))


def main():
    if sys.argv[1] == "requests":
        return print_requests()
    records = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
    answers, refused, no_requests = {}, 0, 0
    for record in records:
        try:
            keys = ["id", "custom_id", "response", "error"]
            assert list(record)[:4] == keys and record["id"].startswith("batch_req_")
            assert set(record) - set(keys) <= {"request_id" if record["response"] is None else "timings"}
            if record["custom_id"] in ANSWERED:
                answers[record["custom_id"]] = check_answer(record)
            elif record["custom_id"] in REFUSED:
                refused += not check_refusal(record)
            else:
                no_requests += not check_no_request(record)
        except Exception:
            print("the record:", json.dumps(record)[:3000], file=sys.stderr)
            raise
    assert set(answers) == set(ANSWERED) and refused == len(REFUSED) and no_requests == len(NO_REQUESTS)
    check_related(answers)
    print(f"{len(answers)} answers and {refused + no_requests} error records are OpenAI's")


if __name__ == "__main__":
    main()
