"""Jinja as Hugging Face's apply_chat_template sets it up, for the scripts that compare ours with it. Needs jinja2."""
import datetime
import functools
import json

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox
import jinja2.utils


class Generation(jinja2.ext.Extension):
    """{% generation %}: its body is a call block, as in transformers, and so a scope of its own."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("render"), [], [], body).set_lineno(line)

    def render(self, caller):
        return caller()


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def strftime_now(format):
    return datetime.datetime.now().strftime(format)


class Namespace(jinja2.utils.Namespace):
    """transformers 5 refuses attributes whose names start with an underscore."""

    def __init__(*arguments, **attributes):
        jinja2.utils.Namespace.__init__(*arguments, **attributes)
        for name in dict(*arguments[1:], **attributes):
            Namespace.check(name)

    def __setitem__(self, name, value):
        Namespace.check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a namespace cannot store {name!r}")


ENVIRONMENT = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
ENVIRONMENT.filters["tojson"] = tojson
ENVIRONMENT.globals["raise_exception"] = raise_exception
ENVIRONMENT.globals["strftime_now"] = strftime_now
ENVIRONMENT.globals["namespace"] = Namespace

compiled = functools.lru_cache(maxsize=64)(ENVIRONMENT.from_string)


def render(source, variables):
    """The text, or the exception that Python raised."""
    try:
        text = compiled(source).render(**variables)
        text.encode("utf-8")  # half of a surrogate pair is no text that leaves the program
        return text
    except Exception as error:  # whatever Python raises is an error of the record
        return error
