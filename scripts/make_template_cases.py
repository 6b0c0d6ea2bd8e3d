#!/usr/bin/env python3
"""Writes tests/engine/text/data/chat_template_cases.jsonl: small templates and what Hugging Face's Jinja makes of them.

Each line is {"template", "variables", "text"}, or {"template", "variables", "error": true} where rendering fails.
Needs jinja2; run it from anywhere.
"""
import itertools
import json
import pathlib

import template_oracle

OUT = pathlib.Path(__file__).parent.parent / "tests/engine/text/data/chat_template_cases.jsonl"

DATA = {
    "s": "  Hello, Wörld! 日本語\n", "e": "", "n": 7, "z": 0, "neg": -3, "f": 2.5, "t": True, "no": None,
    "xs": [3, 1, 2], "words": ["b", "A", "c", "a"], "d": {"b": 1, "A": 2, "items": "shadow", "é": [1.0, None, True]},
    "rows": [{"k": "x", "v": 1, "on": True}, {"k": "y", "v": 2, "on": False}, {"k": "X", "v": 3}],
    "html": "<a href=\"x\">'&'</a>", "bos_token": "<s>", "eos_token": "</s>", "nested": {"a": {"b": [10, 20]}},
    "messages": [{"role": "system", "content": " Be kind. "}, {"role": "user", "content": "Hi"},
                 {"role": "assistant", "content": "Hello.\n"}, {"role": "user", "content": "Bye"}],
    "add_generation_prompt": True,
}

EXPRESSIONS = r"""
1 + 2 * 3 - 4 | 7 // 2 | -7 // 2 | 7 // -2 | 7 % 3 | -7 % 3 | 7 % -3 | 7 / 2 | 6 / 3 | 2 ** 10 | 2 ** 3 ** 2 | -2 ** 2
2 ** -1 | 1.5 + 1 | 7.5 // 2 | -7.5 % 2 | 7.5 % -2 | 1e3 | 1e22 | 1e16 | 123456789012345678.0 | 1e-5 | 0.1 + 0.2 | 1e300 * 1e10
0x1F | 0b101 | 0o17 | 1_000 | 1_0.5e1_0 | 1/0 | 1//0 | 1%0 | 1.0//0 | true + 1 | +n | -f | -true | +"a" | -"a" | 10 ** 18 | -0.0
"a" + "b" | "a" ~ 1 ~ none ~ true | "ab" * 3 | 3 * "ab" | "ab" * -1 | [1] * 2 | [1] + [2] | (1,) + (2,) | [1] + (2,) | "a" + 1
"a" "b" 'c' | "\n\t\\\"\'\x41\u00e9\q\101" | 'é\é' | "tab\	x" | () | (1,) | (1, 2) | [] | {} | {"a": 1, "b": [1, (2,)]} | {1: 2, 1.0: 3, true: 4}
1 < 2 | 1 < 2 < 3 | 1 < 3 < 2 | 3 > 2 >= 2 != 1 | "a" < "b" | "a" < 1 | [1, 2] < [1, 3] | (1, 2) == [1, 2] | 1 == 1.0 | true == 1 | none == false
"a" == "a" | [1, {"a": 2}] == [1, {"a": 2}] | {"a": 1, "b": 2} == {"b": 2, "a": 1} | missing == missing | missing == none | missing < 1
1 in xs | 9 not in xs | "ell" in s | 1 in "1" | missing in s | "b" in d | "q" in d | [1] in d | 1 in missing | 1 in n | "x" in (1, "x")
t and n | z and n | z or n | e or no | not e | not not n | not 1 == 2 | 1 if t | 1 if z | 1 if z else 2 | "y" if n > 5 else "n" if n > 3 else "m"
n | s | f | t | no | xs | d | rows | missing | missing.x | missing[0] | missing() | no.x | no[0] | n.x | s.x | d.b | d["b"] | d.zz | d["zz"] | d.items | d["items"]
xs[0] | xs[-1] | xs[5] | xs["a"] | xs[1.5] | xs[true] | xs.0 | nested.a.b[1] | nested["a"]["b"][-1] | rows[0].k | rows.0.k | s[2] | s[-2] | s[100] | d[missing]
xs[1:] | xs[:-1] | xs[::-1] | xs[::2] | xs[5:] | xs[-2:] | xs[2:0:-1] | s[2:5] | s[::-1] | s[-6:-1] | s[::3] | "日本語"[1:] | (1, 2, 3)[1:] | xs[::0] | n[1:] | d[1:] | xs["a":]
range(5)[1:3] | range(3) | range(1, 10, 3) | range(5, 0, -2) | range(0) | range(100001) | range(1, 2, 0) | range("a") | range(3)|list | range(10)|length
s.strip() | s.lstrip() | s.rstrip() | s.strip(" \nH") | s.rstrip("\n語") | "xxaxx".strip("x") | "xxaxx".lstrip("x") | s.upper() | s.lower() | s.title() | s.capitalize()
"a,b,,c".split(",") | " a  b c ".split() | " a  b c ".split(none, 1) | " a  b c ".rsplit(none, 1) | "a,b,c".split(",", 1) | "a,b,c".rsplit(",", 1) | "abc".split("") | "".split() | "".split(",") | "a--b--c".split("--")[-1]
"a\nb\r\nc\n\nd".splitlines() | "a\nb\n".splitlines(true) | "abc".startswith("ab") | "abc".endswith(("x", "c")) | "abc".startswith(("x",)) | "abc".startswith("b", 1) | "abc".endswith("b", 0, 2) | "abc".startswith(1) | "abc".startswith(["a"])
"banana".find("an") | "banana".find("an", 2) | "banana".rfind("an") | "日本語本".find("本", 2) | "banana".index("x") | "banana".count("an") | "aaa".count("") | "banana".replace("an", "AN") | "banana".replace("an", "", 1) | "ab".replace("", "-") | "ab".replace("", "-", 2)
", ".join(["a", "b"]) | "".join([]) | ",".join([1]) | ",".join("abc") | "{} and {}".format(1, "b") | "{0}{1}{0} {x}".format("a", "b", x=3) | "{{}}{}".format(1) | "{}".format() | "%s is %d" % ("a", 3) | "%5.2f|%-5s|%05d|%x%%" % (3.14159, "ab", 42, 255) | "%s" % n | "%s %s" % (1,) | "%d" % "a" | "%r" % "a'b"
"abc".removeprefix("ab") | "abc".removesuffix("bc") | "a=b=c".partition("=") | "a=b=c".rpartition("=") | "abc".partition("x") | "42".isdigit() | "4a".isdigit() | "ab".isalpha() | "a1".isalnum() | " ".isspace() | "AB".isupper() | "aB".islower() | "7".zfill(3) | "-7".zfill(4) | "ab".ljust(4, ".") | "ab".rjust(4)
d.get("b") | d.get("zz") | d.get("zz", 5) | d.get([1]) | d.keys() | d.values() | d.items()|list | {"a": 1}.items() | d.keys()|list | d.copy()["b"] | d.pop("b") | d.update({}) | xs.append(1) | xs.append | xs.append is defined | xs.sort() | xs.index(2) | xs.count(3) | xs.index(9) | d.__class__ | s.__class__.__mro__ | d._x
s|trim | "xax"|trim("x") | n|trim | missing|trim | s|upper | s|lower | "hello wORLD-foo (bar) [baz]"|title | "hELLO"|capitalize | "straße ŉ ﬁ"|upper | "ΑΣ ΑΣΑ İ"|lower | "ǆ ß"|title | "ßa"|capitalize | n|upper | missing|upper
xs|length | s|length | d|length | missing|length | n|length | no|length | xs|count | xs|first | xs|last | []|first | []|last | s|first | d|first | d|last | "日本語"|last | missing|first | missing|last | n|first
xs|join | xs|join(", ") | words|join("-")|upper | rows|join(",", "k") | rows|join("+", attribute="v") | d|join(",") | missing|join | n|join | xs|join(1)
missing|default | missing|default("x") | e|default("x") | e|default("x", true) | e|d("x", boolean=true) | no|default("x") | missing.x|default("x") | missing|default(default_value=3) | n|default("a", "b", "c") | d.zz|default({})
xs|tojson | d|tojson | s|tojson | html|tojson | rows|tojson(indent=2) | []|tojson(indent=2) | {}|tojson(indent=4) | {"a": []}|tojson(indent=1) | d|tojson(ensure_ascii=true) | "😀\x7f\x01"|tojson(ensure_ascii=true) | "😀\x7f\x01\u2028"|tojson | d|tojson(sort_keys=true) | d|tojson(separators=(",", ":")) | d|tojson(indent=2, separators=(" ; ", "=")) | {1: 2, none: 3, true: 4, 1.5: 5}|tojson | missing|tojson | range(3)|tojson | (1, 2)|tojson | 1e22|tojson | d|tojson(indent="\t") | xs|tojson(indent=0) | xs|map("string")|tojson | {(1,): 2}|tojson
xs|list | s[:4]|list | d|list | n|list | missing|list | (1, 2)|list | n|string | f|string | t|string | d|string | missing|string | "42"|int | "4.7"|int | " 12 "|int | "x"|int | "x"|int(5) | "0x1f"|int(0, 16) | "ff"|int(base=16) | "1_000"|int | f|int | t|int | no|int | missing|int | "1e3"|int | "nan"|int | "inf"|int | [1]|int | "-0b11"|int(0, 2)
"2.5"|float | "x"|float | "x"|float(1.5) | n|float | "1e5"|float | "inf"|float | "-.5"|float | no|float | missing|float | "1_0.0"|float | -5|abs | f|abs | neg|abs | s|abs | 2.5|round | 3.5|round | 2.675|round(2) | 42|round | 42.123|round(1, "floor") | 42.123|round(1, "ceil") | 1234|round(-2) | 1234.5|round(-2) | f|round(method="x") | "a"|round
s|replace("l", "L") | s|replace("l", "L", 1) | n|replace(7, 8) | missing|replace("a", "b") | xs|sort | xs|sort(reverse=true) | words|sort | words|sort(case_sensitive=true) | rows|sort(attribute="k")|map(attribute="v")|list | rows|sort(attribute="k,v", reverse=true)|map(attribute="v")|list | [1, "a"]|sort | d|sort | [2, 1.5, true]|sort | [[2], [1, 5]]|sort | missing|sort
d|dictsort | d|dictsort(true) | {"x": 2, "y": 1}|dictsort(by="value") | d|dictsort(reverse=true) | {1: 2, "a": 3}|dictsort | n|dictsort | d|dictsort(false, "zz") | d|items|list | missing|items|list | n|items | {"a": 1}|items | words|unique|list | words|unique(true)|list | rows|unique(attribute="k")|map(attribute="v")|list | [[1]]|unique|list | [1, 1.0, true, 2]|unique|list
xs|reverse|list | s|reverse | d|reverse|list | n|reverse | xs|min | xs|max | words|min | words|max(true) | []|min | rows|max(attribute="v") | [1, "a"]|max | xs|sum | rows|sum("v") | rows|sum(attribute="v", start=10) | words|sum | []|sum | [0.1, 0.2]|sum | [[1], [2]]|sum(start=[]) | xs|batch(2)|list | xs|batch(2, "x")|list
rows|map(attribute="k")|list | rows|map(attribute="zz")|list | rows|map(attribute="on", default="-")|list | words|map("upper")|list | xs|map("string")|join | xs|map("zz")|list | words|map("replace", "a", "z")|list | rows|selectattr("on")|list | rows|selectattr("on", "defined")|map(attribute="k")|list | rows|rejectattr("on")|map(attribute="k")|list | rows|selectattr("v", ">", 1)|list|length | rows|selectattr("k", "equalto", "x")|first
xs|select("odd")|list | xs|reject("odd")|list | xs|select("in", [1, 2])|list | [0, 1, "", "a"]|select|list | [0, 1]|reject|list | xs|select("zz")|list | xs|select("odd")|length | xs|select("odd")|first | (xs|select("odd"))[0] | xs|map("abs") is iterable | xs|map("abs") is sequence | missing|map("upper")|list | rows|selectattr("k", "in", ["x", "y"])|map(attribute="v")|sum | nested|map(attribute="a")|list | [nested]|map(attribute="a.b.1")|list
html|e | html|escape | html|safe | html|safe + "<b>" | "<b>" + html|safe | html|safe ~ "<b>" | (html|e)|e | html|forceescape | html|safe|upper | html|safe|replace("<", "[") | (html|safe).replace("a", "<") | html|safe|string == html | [html|safe] | (html|safe)|tojson | n|safe | "a\nb\n\nc"|indent | "a\nb\n\nc"|indent(2, true) | "a\nb\n\nc"|indent(2, blank=true) | "a\nb"|indent("> ", first=true) | n|indent | ""|indent(2, true) | "a\n"|indent | s|wordcount | "%s-%s"|format(1, "x") | d|attr("b") | s|attr("x") is defined
missing is defined | missing is undefined | n is defined | d.zz is defined | missing is not defined | no is none | n is none | t is boolean | n is boolean | t is true | 1 is true | z is false | n is integer | t is integer | f is float | n is number | t is number | s is string | html|safe is string | d is mapping | xs is mapping | xs is sequence | s is sequence | d is sequence | range(3) is sequence | d.items() is sequence | missing is sequence | xs is iterable | n is iterable | missing is iterable | d.items is callable | n is callable
3 is odd | 4 is even | "a" is odd | 9 is divisibleby 3 | 9 is divisibleby(4) | 9 is not divisibleby 4 | 1 is eq 1 | 1 is equalto(2) | 1 is ne 2 | 1 is lt 2 | 1 is gt 2 | 2 is ge 2 | 2 is le 1 | 1 is in xs | 9 is in(xs) | "a" is lower | "A" is upper | no is sameas none | t is sameas true | html|safe is escaped | s is escaped | 1 is zz | "upper" is filter | "zz" is test | n is not none and n is number | 1 is defined is defined | missing.x is defined
dict(a=1, b=2) | dict([("a", 1)]) | dict({"a": 1}, b=2) | dict(1) | namespace(a=1).a | namespace(a=1) | namespace(_a=1) | namespace({"a": 1}).a | namespace().zz is defined | raise_exception("no") | raise_exception() | s|zz | zz(1) | n() | s() | d.b() | strftime_now("%%") | strftime_now("x") | strftime_now(1) | cycler("a", "b").next() | joiner("|")() | loop | caller | caller()
s|trim|upper|replace("HELLO", "Bye") | -xs|length | not xs|length | xs|length > 2 and "yes" | 1 + xs|length * 2 | (xs|join) ~ "!" | "a" if missing is not defined else "b" | [1, 2,] | {"a": 1,} | (1) | [x for x in xs] | xs | sum / 2 | n if n else missing.x | *xs | 1 +
"%s" % (1, 2) | 1 ~ 2 | 1 == 2 == false | "a" in "abc" in ["abc"] | xs == [3, 1, 2] | not missing | missing or "x" | missing ~ "x" | missing + "x" | missing * 2 | -missing | 1.0 | 100000000000000000000.0 | 3.0 * 2 | 9007199254740993 | 1e-7 | 5e-324 | 1.7976931348623157e308 | "\0" | ["it's", 'say "x"', "both ' \""] | ["\u00ad\u200b\u3000é\x7f"]
9223372036854775807 | [nested, [nested]] | "a\\b" | ["a\\b\n\t\r"] | {"k": "v"}.k | {"a": {"b": 1}}.a.b | [1, 2][1] | "abc"[1] | (1, 2)[0] | {"a": 1}["a"] | "x".upper() ~ "Y".lower() | "a-b"|replace("-", "_")|upper | messages[0].content|trim | messages[-1]["role"] | messages|map(attribute="role")|join(",") | messages|selectattr("role", "ne", "system")|list|length
html|striptags | "<!-- a --> b  <c>d</c>&amp;&lt;&#65;&#x42;&nbsp;e"|striptags | "a & b"|striptags | "a/b c?é=1&~"|urlencode | {"a b": "c/d", "é": 1}|urlencode | [("a", 1), ("b", "x y")]|urlencode | n|urlencode | {"a": 1, "b": none, "c d": 2}|xmlattr | {"id": "<x>", "b": none, "n": 3}|xmlattr | {"a": 1}|xmlattr(false) | {}|xmlattr | n|xmlattr
"foo bar baz qux"|truncate(9) | "foo bar baz qux"|truncate(9, true) | "foo bar baz qux"|truncate(11) | "foo bar baz qux"|truncate(9, true, "…", 0) | "foobarbazqux"|truncate(5, leeway=0) | "日本語日本語"|truncate(4, true, "", 0) | "foo"|truncate(2) | n|truncate | "the quick brown fox-jumps over"|wordwrap(9) | "aaaaaaaaaaaaaaa bb"|wordwrap(6) | "aaaaaaaaaaaaaaa bb"|wordwrap(6, false) | "well-known state-of-the-art a--b"|wordwrap(8) | "well-known state-of-the-art"|wordwrap(8, break_on_hyphens=false) | "a b c\nd  e   f"|wordwrap(3, wrapstring="|") | "日本語 日本語日本語"|wordwrap(4) | "x"|wordwrap(0) | ""|wordwrap | "abc-def-ghi-"|wordwrap(6) | "hello -- world--again 1-2-3"|wordwrap(5)
1|filesizeformat | 0|filesizeformat | 999|filesizeformat | 1000|filesizeformat | 123456789|filesizeformat | 123456789|filesizeformat(true) | 1e30|filesizeformat | "12345"|filesizeformat | -5|filesizeformat | 1.9|filesizeformat | 1024 ** 5|filesizeformat(binary=true) | "ab"|center(7) | "abc"|center(8) | "ab"|center | n|center(3) | d|pprint | [3, "a", none]|pprint | "a'b"|pprint | n|pprint
rows|groupby("on", default="q")|list | rows|groupby("k")|map("list")|list | rows|groupby("k")|map(attribute="grouper")|list | rows|groupby("k", case_sensitive=true)|map("first")|list | (rows|groupby("k")|first).list|length | (rows|groupby("k")|first)["grouper"] | xs|slice(2)|list | range(7)|slice(3)|map("list")|list | range(7)|slice(3, "-")|list | xs|slice(0)|list | xs|slice(5)|list | missing|groupby("a")|list | [1, "a"]|groupby(0)|list
"{:>6}|{:<6}|{:^7}|{:*^7}".format("ab", "ab", "ab", "ab") | "{:.2}".format("日本語") | "{:6.2f}|{:+}|{: d}|{:05d}|{:x}|{:#X}|{:#b}|{:o}|{:,}|{:_}".format(3.14159, 5, 5, -42, 255, 255, 5, 8, 1234567, 1234567) | "{:.3}|{:.3}|{:.3}|{:.3}|{:.3}".format(1234567.0, 1.0, 100.0, 12.0, 0.00001234) | "{:e}|{:E}|{:g}|{:G}|{:%}|{:.1%}|{:n}".format(12345.678, 0.5, 1e10, 1e-10, 0.25, 0.256, 3) | "{:010,}|{:08,}|{:+,.2f}".format(1234, 1234, 1234567.891) | "{!r}|{!s}|{!a}".format("é'", "x", "日") | "{0.b}|{0[A]}|{1[0]}|{2.a.b}".format(d, xs, nested) | "{:{}}|{:{w}.{p}f}".format("a", 4, 2.5, w=7, p=2) | "{a}{}".format(1, a=2) | "{}{0}".format(1) | "{" .format(1) | "}".format(1) | "{:q}".format(1) | "{:d}".format("a") | "{:d}".format(1.5) | "{:s}".format(1) | "{:5}|{:<5}|{:d}".format(true, 1, true) | "{}".format(none) | "{:5}".format(none) | "{:5}".format([1]) | "{x}".format_map({"x": 1}) | "{:c}|{:5c}".format(65, 66) | "{:.0f}|{:#.0f}|{:.0e}".format(2.5, 2.5, 15.0) | "{:inf}".format(1) | "{:5}|{:05}|{}".format(1e400, -1e400, 1e400 - 1e400) | "{:=+6}|{:0=6}".format(5, -5) | "{:\u65e5^5}".format("x") | "{0!x}".format(1) | "{:.2d}".format(3) | "{:,x}".format(3) | "{:_x}".format(1048575) | "{:z.1f}".format(-0.01)
"%(a)s-%(b)03d" % {"a": "x", "b": 7} | "%(zz)s" % {"a": 1} | "%(a)s" % 1 | "%*d|%-*d|" % (5, 42, 4, 7) | "%.*f" % (2, 3.14159) | "%c%c" % (65, "b") | "%5c|" % "x" | "%a" % "é" | "%.3d|%+d|% d|%#x|%#o|%X" % (7, 7, 7, 255, 8, 255) | "%x" % -255 | "%x" % 1.5 | "%d" % 3.99 | "%e|%g|%G" % (1234.5, 1e-7, 1e20) | "%5%|" % () | "%s" % ((1, 2),) | "%s %s" % [1, 2] | "%s" % [1, 2] | "%s" % {"a": 1} | "x" % {"a": 1} | "x" % [1] | "x" % 1 | "%" % 1 | "%y" % 1 | "%.2s|" % "日本語" | "%05s|%-5d|%05.1f|%+05d" % ("a", 3, 2.25, 3) | "%ld %hd" % (1, 2) | "%s" % missing | "%d" % missing | "%d" % true | "%(a)s"|format(a=1) | "%s %d"|format("x", 2) | "%s"|format(1, a=2) | "<%s>"|safe|format("<b>") | ("<%s>"|safe) % "<b>" | "<{}>"|safe|string | ("<{}>"|safe).format("<b>")
"٣²三Ⅷ½".isdigit() | "٣".isdigit() | "²".isdigit() | "²".isdecimal() | "½".isnumeric() | "三".isnumeric() | "三".isalpha() | "é日本".isalpha() | "é1".isalnum() | "ǅ".istitle() | "Hello World".istitle() | "Hello world".istitle() | "ⅷ".islower() | "ªa".islower() | "Éa".swapcase() | "Straße ŉ".swapcase() | "Straße ΑΣ".casefold() | "a\tbc\td".expandtabs() | "a\tb\nc\td".expandtabs(4) | "\t".expandtabs(0) | "ab".center(5, "*") | "ab".center(6) | "a b".isidentifier() | "_é1".isidentifier() | "1a".isidentifier() | "a\n".isprintable() | "".isprintable() | "".isascii() | "".isalpha() | "é".isascii() | "x".strip(chars="x") | "x".replace(old="x", new="y") | "a b".split(sep=" ", maxsplit=1) | "a\n".splitlines(keepends=true) | "x".upper(1) | "-5".zfill(5) | "+é".zfill(4) | "x".zfill(3, 4) | "x".ljust(3, "ab") | "abc".count("") | "abc".find("") | "abc".rfind("") | "".join("é日") | "a,b".split(",", -1) | "aXbX".rsplit("X", 1) | "ǆ".title() | "o'neil x-ray".title()
d.fromkeys(xs, 1) | d.fromkeys("ab") | dict.fromkeys([1, 2], 0) | dict(a=1).items()|list | dict([("a", 1)], b=2) | dict(1) | xs.copy() | xs.count(1) | (1, 2).index(2) | xs.insert(0, 1) | xs.index(2, 1) | namespace(a=1).a | namespace({"b": 2}).b | rows[] is defined | xs[1, 2] is defined | range(10)[::3] | range(10)[::-20] | range(5).index(3) | range(5).count(9) | 2 ** 62 | 1.0 ** 400 | 10 // 3.0 | -10 % 3.5 | 1 < 2 > 1 | 1 < 2 > 3 | "a" ~ 1.0 ~ [1] | not 1 in xs | 1 is not in xs | 5 is not divisibleby 3 | [1, 2] is eq [1, 2] | xs is sameas xs | "A" is upper | d in d.keys() | ("b", 1) in d.items() | 1 in d.values() | s|upper is string | -n|abs | -2|abs | n|string|int + 1 | 1 if z else (2 if z else 3) | ("a" if z) ~ "b" | ("a" if z) is defined | xs|select("divisibleby", 3)|list | ["a", none, "b"]|reject("none")|join | [[1, 2], [3]]|map("sum")|list | ["a", "b"]|map("replace", "a", "x")|join | rows|selectattr("k", "in", "xX")|list|length | words|map("lower")|unique|sort|join | [{"a": {"b": 1}}]|map(attribute="a.b")|list | xs|first|string ~ xs|last | d|items|list|first|first | "a.b"|attr("c") is defined
"""

STATEMENTS = [
    "{% set s %}[{{ s }}]{% endset %}{{ s }}", "{% filter trim %}{% set n %}{{ n }}{% endset %}{{ n }}{% endfilter %}{{ n }}", "{% macro m() %}{{ n }}{% endmacro %}{{ m() }}|{% set n = 1 %}{{ m() }}", "{% if z %}{% set n = 1 %}{% endif %}{{ n }}", "{% for x in xs %}{{ q }}{% set q = x %}{{ q }} {% endfor %}{{ q }}", "{% for x in xs %}{{ n }}{% set n = x %}{% endfor %}{{ n }}", "{% for x in xs %}{% set n = n + x %}{{ n }}{% endfor %}{{ n }}", "{% with n = n + 1 %}{{ n }}{% endwith %}{{ n }}", "{% macro m(n=n) %}{{ n }}{% endmacro %}{{ m() }}", "{% set n = n %}{{ n }}", "{% set n, q = q, n %}{{ n }}{{ q }}",
    "{% for x in xs %}{% filter upper %}a{% if x == 1 %}{% break %}{% endif %}b{% endfilter %}{% endfor %}!", "{% for x in xs %}{% set y %}a{% continue %}{% endset %}{{ y }}{% else %}none{% endfor %}", "{% for x in xs %}{% with y = x %}{% if y == 1 %}{% break %}{% endif %}{{ y }}{% endwith %}{% endfor %}", "{% for x in xs %}{% break %}{% else %}else{% endfor %}", "{% for x in xs %}{% continue %}{% else %}else{% endfor %}", "{% for loop in xs %}{% endfor %}", "{% for x in xs %}{% set loop = 1 %}{% endfor %}", "{% set loop = 1 %}{{ loop }}", "{% for x in xs %}{{ loop }}{% endfor %}", "{% for x in xs if x > 1 %}{{ loop.revindex }}{{ loop.length }}{% endfor %}",
    "{% generation %}{{ varargs }}{{ kwargs }}{% endgeneration %}", "{% for x in xs %}{% generation %}{% break %}{% endgeneration %}{% endfor %}", "{% generation %}{% macro g() %}x{% endmacro %}{{ g() }}{% endgeneration %}{{ g is defined }}", "{% macro m() %}{{ caller }}{{ caller.name }}{% endmacro %}{% call m() %}{% endcall %}", "{% macro m() %}{{ kwargs }}{% endmacro %}{{ m(a=1) }}{{ m.catch_kwargs }}{{ m.catch_varargs }}{{ m.caller }}", "{% macro m(a, b='x') %}{{ caller(a) }}{% endmacro %}{% call(v) m(3) %}<{{ v }}{{ n }}>{% endcall %}", "{% macro a() %}A{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}",
    "{% set ns = namespace(a=1) %}{% set ns.a, ns.b = 5, 6 %}{{ ns.a }}{{ ns.b }}", "{% for k, g in rows|groupby('on', default=none) %}{{ k }}{{ g|length }};{% endfor %}", "{% for g in rows|groupby('k') %}{{ g.grouper }}:{{ g.list|map(attribute='v')|join('+') }} {% endfor %}", "{{ s|trim.x }}", "{% if t %}{{ s|no.such }}{% endif %}", "{% set x = s|trim|upper if t else none %}{{ x }}", "{% for a, (b, c) in {'k': (1, 2)}.items() %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% filter indent(2) | upper %}a\nb{% endfilter %}", "{% set x | replace('a', 'b') | upper %}aab{% endset %}{{ x }}", "{% call n() %}{% endcall %}", "{% do xs %}", "{% include 'x' %}", "{%- -%}", "{{- -}}", "{% set x = 1 -%}   y", "a   {%- set x = 1 %}", "{#- a -#}  {#+ b +#}\n c", "{% if t %}a\n{%- else +%}b{% endif %}\n\nx", "  {%- if t %}  x  {% endif -%}  y",
    "{% for x in xs %}{{ x }},{% endfor %}", "{% for x in [] %}a{% else %}none{% endfor %}", "{% for x in missing %}a{% else %}none{% endfor %}",
    "{% for x in n %}a{% endfor %}", "{% for x in no %}a{% endfor %}", "{% for k in d %}{{ k }} {% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}",
    "{% for a, b in [(1, 2), [3, 4], 'xy'] %}{{ a }}{{ b }} {% endfor %}", "{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for c in 'añb' %}[{{ c }}]{% endfor %}",
    "{% for x in xs if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% else %}none{% endfor %}",
    "{% for x in xs if x > 9 %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in xs %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for x in xs %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}", "{% for x in xs %}{{ loop.previtem is defined }}{{ loop.nextitem is undefined }} {% endfor %}",
    "{% for x in xs %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in xs %}{{ loop.cycle() }}{% endfor %}",
    "{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {% endfor %}", "{% for x in xs %}{{ loop.zz }}{{ loop['index'] }}{% endfor %}",
    "{% for x in xs %}{% for y in xs %}{{ loop.index }}{% endfor %}{{ loop.index }} {% endfor %}",
    "{% for x in xs %}{% set outer = loop %}{% for y in 'ab' %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for x in xs %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in xs %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% else %}e{% endfor %}",
    "{% for x in xs %}{% for y in xs %}{% if y == 1 %}{% break %}{% endif %}{{ y }}{% endfor %}|{% endfor %}", "{% break %}", "{% if t %}{% continue %}{% endif %}",
    "{% for i in range(3) recursive %}{{ i }}{% endfor %}", "{% for x in [[1, [2]], [3]] recursive %}{% if x is sequence %}({{ loop(x) }}){% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}",
    "{% for x in xs %}{{ loop(xs) }}{% endfor %}", "{% for x in xs|reverse %}{{ x }}{{ loop.last }}{% endfor %}", "{% for x in xs|map('string') %}{{ x }}{{ loop.length }}{% endfor %}",
    "{% set g = xs|select('odd') %}{{ g|list }}{{ g|list }}", "{% set g = xs|select('odd') %}{{ 1 in g }}{{ g|list }}",
    "{% set x = 1 %}{% for i in xs %}{{ x }}{% set x = i %}{% endfor %}{{ x }}", "{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% if z %}{% set y = 2 %}{% endif %}{{ y }}|{{ y is defined }}", "{% if z %}{% set n = 2 %}{% endif %}{{ n }}", "{{ n }}{% set n = 1 %}{{ n }}",
    "{% set ns = namespace(c=0, l=[]) %}{% for x in xs %}{% set ns.c = ns.c + x %}{% set ns.l = ns.l + [x] %}{% endfor %}{{ ns.c }}{{ ns.l }}",
    "{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{{ ns.b }}{{ ns['a'] }}", "{% set ns = {} %}{% set ns.a = 1 %}", "{% set q.a = 1 %}", "{% set ns = namespace() %}{% set ns._a = 1 %}",
    "{% set ns = namespace(seen=[]) %}{% for x in [1, 1, 2] if x not in ns.seen %}{{ x }}{% set ns.seen = ns.seen + [x] %}{% endfor %}",
    "{% set ns = namespace(seen=[]) %}{% for x in [1, 1, 2] if x not in ns.seen %}{{ x }}{{ loop.last }}{% set ns.seen = ns.seen + [x] %}{% endfor %}",
    "{% set ns = namespace(seen=[]) %}{% for x in [1, 1, 2, 2] if x not in ns.seen %}{{ x }}{{ loop.length }}{% set ns.seen = ns.seen + [x] %}{% endfor %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = [1, 2, 3] %}", "{% set (a, b) = 'xy' %}{{ b }}{{ a }}", "{% set a = 1, %}{{ a }}", "{% set a = b = 1 %}", "{% set true = 1 %}", "{% set 1 = 1 %}",
    "{% set x %} body {{ n }} {% endset %}[{{ x }}]", "{% set x | trim | upper %} body {% endset %}[{{ x }}]", "{% set x %}{% set y = 1 %}{{ y }}{% endset %}{{ x }}{{ y }}", "{% set ns = namespace() %}{% set ns.x %}b{% endset %}{{ ns.x }}",
    "{% filter upper %}abc {{ s }}{% endfilter %}", "{% filter trim|replace('a', 'b') %} aaa {% endfilter %}|", "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}", "{% with a = 1, b = a %}{{ b }}{% endwith %}",
    "{% if n > 5 %}a{% elif n > 3 %}b{% else %}c{% endif %}", "{% if z %}a{% elif no %}b{% elif t %}c{% else %}d{% endif %}", "{% if missing %}a{% else %}b{% endif %}", "{% if xs and d and s %}a{% endif %}", "{% if not z %}a{% endif %}",
    "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=4, a=5) }} {{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(zz=2) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}", "{% macro f(k) %}{% if k > 0 %}{{ k }}{{ f(k - 1) }}{% endif %}{% endmacro %}{{ f(4) }}",
    "{% macro m() %}{{ n }}{% set n = 1 %}{{ n }}{% endmacro %}{{ m() }}{{ n }}", "{% macro m() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ m() }}", "{% for x in xs %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro m() %}{{ x }}{% endmacro %}{% for x in xs %}{{ m() }}{% endfor %}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}body {{ n }}{% endcall %}", "{% macro m() %}<{{ caller(1, b=2) }}>{% endmacro %}{% call(a, b) m() %}{{ a }}{{ b }}{% endcall %}", "{% macro m() %}x{% endmacro %}{% call m() %}b{% endcall %}", "{% macro m() %}{{ caller }}{% endmacro %}{{ m() }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m }}{{ m.name }}{{ m.arguments }}", "{% macro m(a) %} {{ a }} {% endmacro %}{{ m('x')|trim ~ '!' }}{{ m('y').strip() }}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m(a, a) %}{% endmacro %}", "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(*[1]) }}{{ m(**{'x': 2}) }}",
    "{% macro loopy() %}{{ loop }}{% endmacro %}{% for x in xs %}{{ loopy() }}{% endfor %}", "{% macro m(xs) %}{% for x in xs %}{% if x is sequence %}[{{ m(x) }}]{% else %}{{ x }}{% endif %}{% endfor %}{% endmacro %}{{ m([1, [2, [3]], 4]) }}",
    "{% generation %}{{ n }}{% endgeneration %}!", "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}", "{% generation %}{% set g = 1 %}{% endgeneration %}{{ g }}",
    "{% raw %}{{ not }} {% this %}{% endraw %}!", "{% raw -%}  a {% raw %} {%- endraw %} b", "  {% raw %}\n x\n  {% endraw %}\ny", "{% raw %}never ends", "a {# comment #} b", "a\n  {# comment #}\nb", "a {#- c -#} b", "{# {{ x }} {% y %} #}", "{# open", "a {#--#} b",
    "  {% if t %}\n  x\n  {% endif %}\ny\n", "  {%+ if t %}\n  x\n  {%- endif -%}\n  y", "a\n\n  {%- if t -%}\n\n b {% endif %} c", "{{- s -}}  x", "a {{- ' b ' -}} c", "a  {{ n }}  b\n\n", "x\n", "x\n\n", "\nx", "a\r\nb\rc\r\n", "{% if t %}\n\nx{% endif %}", "{% if t +%}\nx{% endif %}", "  {{ n }}\n  {{ n }}", "\t {% set q = 1 %} x", "x {% set q = 1 %}\n y",
    "{{ n }}\n{% set a = 1 %}\n{% set b = 2 %}\n{{ a }}{{ b }}", "{%- for x in xs -%}\n  {{- x -}}\n{%- endfor -%}\n end", "{{ '{{' }}{{ '%}' }}{{ \"}}\" }}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ {'a':{'b':1}} }}", "{{ n}}}", "{{ n", "{% if t", "{% if t %}", "{% endif %}", "{% zz %}", "{% %}", "{{ }}", "{% if %}{% endif %}", "{{ n n }}", "{{ (n }}", "{{ n) }}", "{{ [1 }}", "{{ 'open }}", "{{ a ! b }}", "{{ $ }}", "{{ 1 if }}", "{% for x xs %}{% endfor %}", "{% for x in xs %}{% endif %}", "{% if t %}{{ s|zz }}{% endif %}", "{% if z %}{{ s|zz }}{% endif %}ok", "{{ s|zz if z else 1 }}", "{{ 1 is zz if z else 1 }}", "{% if z %}{% for x in xs %}{{ x|zz }}{% endfor %}{% endif %}",
    "{% print n, s %}", "{% set _ = n %}{{ _ }}", "{{ not_a_name.not_an_attribute.x if t }}", "{{ range(2)|list + [5] }}", "{% set x = xs %}{% set y = x[1:] %}{{ y }}{{ x }}", "{% set j = joiner(' / ') %}{% for x in xs %}{{ j() }}{{ x }}{% endfor %}", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.current }}",
    "{{ messages[1:]|map(attribute='content')|list }}", "{% if messages[0]['role'] == 'system' %}{% set m = messages[1:] %}{% else %}{% set m = messages %}{% endif %}{{ m|length }}", "{{ raise_exception('Roles must alternate ' ~ n) }}", "{% if n > 100 %}{{ raise_exception('big') }}{% endif %}fine",
    "{{ [[[[1]]]] }}", "{% set x = [] %}{% for i in range(50) %}{% set x = [x] %}{% endfor %}{{ x }}", "{{ 'a' 'b' ~ 'c' }}", "{{ xs.0 }}{{ rows.1.k }}", "{{ nested.a['b'].1 }}", "{{ 1.5.x }}", "{{ s.strip().upper()[0:3] ~ n|string }}", "{% for line in s.split('\n') %}[{{ line }}]{% endfor %}", "{{ \"line1\nline2\" }}", "{{ '日本' ~ 'é'|upper }}", "日本 {{ n }} é", "{% set é = 1 %}{{ é }}",
]

# Shapes of widespread templates, written anew: ChatML with a default system prompt, and header blocks with trimmed content.
CHATML = """{% for message in messages %}{% if loop.first and message.role != 'system' %}{{ '[begin]system
Default.[end]
' }}{% endif %}{{ '[begin]' + message['role'] + '
' + message['content'] + '[end]' + '
' }}{% endfor %}{% if add_generation_prompt %}{{ '[begin]assistant
' }}{% endif %}"""
HEADERS = """{%- set ns = namespace(first=true) -%}
{% for m in messages %}
  {%- set text = '[h]' ~ m.role ~ '[/h]\\n\\n' ~ m.content | trim ~ '[eot]' -%}
  {%- if ns.first %}{% set text = bos_token + text %}{% set ns.first = false %}{% endif -%}
  {{ text }}
{%- endfor %}
{%- if tools is defined and tools %}
    {{- "Tools:\\n" }}
    {%- for tool in tools %}
        {{- tool | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{%- if add_generation_prompt %}{{ '[h]assistant[/h]\\n\\n' }}{% endif %}
"""


def cases():
    for line in EXPRESSIONS.strip().split("\n"):
        for expression in line.split(" | "):
            yield "{{ " + expression.strip() + " }}", DATA
    for template in STATEMENTS:
        yield template, DATA
    contents = ["", "Hi", "  padded\n", "日本 👍🏽", "a \"quoted\" \\ word", "[end]\n{{ 1 }}"]
    tools = [None, [], [{"type": "function", "function": {"name": "f", "parameters": {"é": [1, 2.5, None, True]}}}]]
    for template, content, tool, prompt in itertools.product([CHATML, HEADERS], contents, tools, [True, False]):
        for roles in (["user"], ["system", "user", "assistant"]):
            messages = [{"role": role, "content": content} for role in roles]
            yield template, {"messages": messages, "tools": tool, "add_generation_prompt": prompt, "bos_token": "<s>"}


def used(template, variables):
    """Only the variables that the template could mean, so that the file stays small."""
    return {name: value for name, value in variables.items() if name in template}


def main():
    lines = []
    for template, variables in cases():
        case = {"template": template, "variables": used(template, variables)}
        text = template_oracle.render(template, case["variables"])
        if isinstance(text, Exception):
            case["error"] = True
        elif " at 0x" in text:
            continue  # an address: not reproducible
        else:
            case["text"] = text
        lines.append(json.dumps(case, ensure_ascii=False) + "\n")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("".join(lines), encoding="utf-8")
    print(f"{len(lines)} cases, {sum('error' in json.loads(line) for line in lines)} of them errors: {OUT}")


if __name__ == "__main__":
    main()
