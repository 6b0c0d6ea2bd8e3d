"""Random small templates for the comparison with jinja2: mostly well typed, with some that must fail."""
import random

VARIABLES = {
    "n": 7, "z": 0, "neg": -3, "f": 2.5, "t": True, "no": None, "e": "", "s": "  Hello, Wörld! 日本\n", "w": "one-two  three",
    "html": "<a b='c'>&\"x\"</a>", "xs": [3, 1, 2], "words": ["b", "A", "c", "a"], "tree": [1, [2, [3]], []],
    "d": {"b": 1, "A": 2, "items": "shadow", "é": [1.0, None]}, "g": {"a": {"b": [10, 20]}, "k": "v"},
    "rows": [{"k": "x", "v": 1, "on": True}, {"k": "y", "v": 2, "on": False}, {"k": "X", "v": 3}],
}
SPACE = ["", " ", "\n", "  \n", "\n  ", "a", "b c", " x\n", "\n\n", "é "]


class Fuzz:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pick = self.random.choice
        self.scope = []  # names that the template has set
        self.loops = 0

    def chance(self, part):
        return self.random.random() < part

    def template(self):
        self.scope, self.loops = [], 0
        return "".join(self.statement(3) for _ in range(self.random.randint(1, 3)))

    def number(self, depth):
        if depth <= 0:
            return self.pick(["0", "1", "2", "3", "-1", "7", "1.5", "n", "z", "neg", "f", "t", "10", "xs[0]"])
        a, b = self.number(depth - 1), self.number(depth - 1)
        return self.pick([
            lambda: f"{a} {self.pick(['+', '-', '*', '//', '%', '/'])} {b}", lambda: f"({a} {self.pick(['+', '-', '*'])} {b})",
            lambda: f"-{a}", lambda: f"({a})|{self.pick(['abs', 'int', 'float', 'round', 'round(1)', 'string|int', 'filesizeformat'])}",
            lambda: f"{self.sequence(depth - 1)}|{self.pick(['length', 'sum', 'first', 'last', 'min', 'max', 'count'])}",
            lambda: f"({a}) ** {self.pick(['0', '1', '2', '-1', '0.5'])}", lambda: f"{self.text(depth - 1)}|{self.pick(['length', 'wordcount', 'int', 'float'])}",
            lambda: f"({self.text(depth - 1)}).{self.pick(['find', 'rfind', 'count', 'index'])}({self.text(0)})"])()

    def text(self, depth):
        if depth <= 0:
            return self.pick(["s", "w", "e", "html", "'a'", "'l'", "''", "' '", "'-'", "\"x'y\"", "'a\\nb'", "'日'", "'a,b,c'", "rows[0].k", "d.items"])
        a, b, deeper = self.text(depth - 1), self.text(0), depth - 1
        return self.pick([
            lambda: f"({a} ~ {self.any(deeper)})", lambda: f"({a} + {b})", lambda: f"({a})[{self.bound()}:{self.bound()}]", lambda: f"({a})[::{self.pick(['', '1', '2', '-1', '-3', 'z'])}]",
            lambda: f"{a}|{self.pick(['upper', 'lower', 'title', 'capitalize', 'trim', 'escape', 'safe', 'striptags', 'urlencode', 'tojson', 'reverse', 'indent', 'center(9)', 'e', 'forceescape', 'string', 'pprint'])}",
            lambda: f"({a})|{self.pick(['truncate(5)', 'truncate(4, true)', 'truncate(6, false, ``, 0)', 'wordwrap(4)', 'wordwrap(3, false)', 'indent(2, true)', 'trim(`a`)', 'replace(`l`, `L`)', 'default(`q`, true)', 'replace(` `, ``, 1)'])}".replace("`", "'"),
            lambda: f"({a}).{self.pick(['upper()', 'lower()', 'strip()', 'lstrip()', 'rstrip()', 'title()', 'capitalize()', 'swapcase()', 'casefold()', 'expandtabs()', 'center(8)', 'zfill(6)', 'isdigit()', 'istitle()', 'isalpha()', 'isidentifier()'])}",
            lambda: f"({a}).{self.pick(['strip', 'lstrip', 'rstrip', 'split', 'rsplit', 'partition', 'removeprefix', 'removesuffix', 'startswith', 'endswith'])}({b})",
            lambda: f"({a}).replace({b}, {self.text(0)})", lambda: f"{b}.join({self.sequence(deeper)}|map('string'))", lambda: f"{self.sequence(deeper)}|join({b})",
            lambda: f"'{self.pick(['{}', '{0}-{0}', '{:>6}', '{!r}', '{:^7}', '{:,}', '{:.2f}', '{:05d}', '{:x}', '{:.1%}', '{:+}', '{:<4}|'])}'.format({self.any(deeper)})",
            lambda: f"'%{self.pick(['s', 'd', 'r', '5s', '-5s|', '.2f', '05d', 'x', 'g', 'e', 'c', '+d'])}' % {self.pick([self.any(0), self.number(deeper)]) if self.chance(.5) else '(' + self.any(deeper) + ',)'}",
            lambda: f"{self.any(deeper)}|string", lambda: f"{self.any(deeper)}|tojson{self.pick(['', '(indent=2)', '(sort_keys=true)'])}",
            lambda: f"({a} if {self.boolean(deeper)} else {b})", lambda: f"({a} * {self.pick(['0', '2', '-1', 'n'])})", lambda: f"({a})[{self.pick(['0', '1', '-1', '9', 'n', ''])}]"])()

    def bound(self):
        return self.pick(["", "0", "1", "2", "-1", "-2", "5", "-9", "n"])

    def sequence(self, depth):
        if depth <= 0:
            return self.pick(["xs", "words", "rows", "tree", "[]", "[1, 'a', none]", "(1, 2)", "range(4)", "range(5, 0, -2)", "d", "d.keys()", "g.items()", "'abc'", "e", "missing"])
        a = self.sequence(depth - 1)
        return self.pick([
            lambda: f"{a}|{self.pick(['list', 'sort', 'reverse|list', 'unique|list', 'batch(2)|list', 'slice(2)|list', 'slice(3, 0)|list', 'dictsort', 'items|list', 'map(`string`)|list', 'map(`upper`)|list', 'select|list', 'reject(`none`)|list', 'sort(reverse=true)', 'select(`string`)|list', 'select(`gt`, 1)|list', 'random'])}".replace("`", "'"),
            lambda: f"rows|{self.pick(['map(attribute=`k`)', 'selectattr(`on`)', 'rejectattr(`on`)', 'selectattr(`v`, `gt`, 1)', 'sort(attribute=`k`)', 'groupby(`k`)', 'map(attribute=`on`, default=9)', 'unique(attribute=`k`)', 'groupby(`on`, default=false)', 'groupby(`k`, case_sensitive=true)', 'sum(attribute=`v`)'])}|list".replace("`", "'"),
            lambda: f"({a})[{self.bound()}:{self.bound()}:{self.pick(['', '1', '2', '-1', '-2', 'z'])}]", lambda: f"({self.text(depth - 1)}).{self.pick(['split()', 'splitlines()', 'rsplit(none, 1)', 'partition(`-`)'])}".replace("`", "'"),
            lambda: f"({a}|list + {self.pick(['[1]', '[]', '(1,)', a + '|list'])})", lambda: f"[{self.any(depth - 1)}, {self.any(0)}]", lambda: f"({self.any(depth - 1)},)", lambda: f"{self.mapping(depth - 1)}.{self.pick(['items', 'keys', 'values'])}()|list"])()

    def mapping(self, depth):
        if depth <= 0:
            return self.pick(["d", "g", "{}", "rows[0]", "g.a", "{'x': 1, 2: 'y'}", "dict(a=1, b=xs)"])
        return self.pick([f"{{{self.text(0)}: {self.any(depth - 1)}}}", f"dict({self.mapping(0)}, q={self.any(depth - 1)})"])

    def boolean(self, depth):
        a, b = self.any(depth - 1), self.any(depth - 1)
        if depth <= 0:
            return self.pick(["true", "false", "t", "z", "missing is defined", "n > 3", "f"] + ["loop.first", "loop.last"] * (self.loops > 0))
        return self.pick([
            f"{a} {self.pick(['==', '!=', '<', '>', '<=', '>='])} {b}", f"{self.number(0)} {self.pick(['<', '>='])} {self.number(0)} < {self.number(0)}", f"not {a}", f"{a} and {b}", f"{a} or {b}",
            f"{a} in {self.sequence(depth - 1)}", f"{self.text(0)} not in {self.text(depth - 1)}", f"{a} is {self.pick(['defined', 'none', 'string', 'mapping', 'iterable', 'sequence', 'number', 'integer', 'float', 'true', 'odd', 'even', 'upper', 'callable', 'boolean', 'divisibleby 2', 'in xs', 'eq 1', 'not none', 'escaped'])}"])

    def any(self, depth):
        if self.scope and self.chance(.2):
            return self.pick(self.scope)
        if depth <= 0:
            return self.pick(["n", "f", "t", "no", "e", "s", "xs", "d", "missing", "'a'", "1", "0", "2.0", "1e20", "true", "rows", "rows[0].v", "d.b", "d.zz", "xs[1]", "xs[9]", "g.a.b", "html|e", "range(3)"] + ["loop.index", "loop.revindex"] * (self.loops > 0))
        return self.pick([self.number, self.text, self.sequence, self.mapping, self.boolean])(depth)

    def tag(self, code):
        return "{%" + self.pick(["", "", "", "-", "+"]) + " " + code + " " + self.pick(["", "", "", "-", "+"]) + "%}"

    def body(self, depth):
        return self.pick(SPACE) + "".join(self.statement(depth) for _ in range(self.random.randint(1, 2)))

    def name(self):
        name = self.pick(["x", "y", "q", "n", "xs"])
        self.scope.append(name)
        return name

    def block(self, opening, closing, depth):
        known = len(self.scope)
        text = self.tag(opening) + self.body(depth - 1)
        if closing in ("endif", "endfor") and self.chance(.3):
            text += self.tag("else") + self.body(depth - 1)
        if self.chance(.7):
            del self.scope[known:]
        return text + self.tag(closing)

    def loop(self, depth):
        opening = f"for {self.name()} in {self.sequence(1)}" if self.chance(.85) else "for x, y in " + self.pick(["d.items()", "g|dictsort", "[(1, 2), 'ab']", "rows|groupby('k')", "tree"])
        opening += (f" if {self.boolean(1)}" if self.chance(.2) else "") + (" recursive" if self.chance(.1) else "")
        self.loops += 1
        text = self.block(opening, "endfor", depth)
        self.loops -= 1
        return text

    def macro(self, depth):
        parameters = self.pick(["", "x", "x, y=1", "x=n, y=x"])
        body = self.block(f"macro m({parameters})", "endmacro", depth).replace("endmacro", self.pick(["endmacro", "endmacro"]))
        call = self.pick(["m()", f"m({self.any(1)})", f"m(y={self.any(1)}, x=1)", "m(1, 2, 3)", "m(*xs)", "m(**g)", "m(x=2)", "m(n)", "m()"])
        return body + ("{{ " + call + " }}" if self.chance(.7) else self.tag("call " + call) + self.body(0) + self.tag("endcall"))

    def statement(self, depth):
        after = self.pick(SPACE)
        output = "{{" + self.pick(["", "", "-"]) + " " + self.any(self.pick([0, 0, 1, 1, 2, 2, 3])) + " " + self.pick(["", "", "-"]) + "}}"
        if depth <= 0 or self.chance(.35):
            return output + after
        loop_word = self.pick(["loop.index", "loop.index0", "loop.revindex", "loop.length", "loop.previtem", "loop.nextitem", "loop.cycle('a', 'b')", "loop.changed(x)", "loop.depth", "varargs", "kwargs", "caller()", "ns.a", "loop(xs)", "loop"]) if self.loops or self.chance(.1) else self.pick(self.scope or ["n"])
        return self.pick([
            lambda: self.tag(f"set {self.name()} = {self.any(2)}"), lambda: self.tag(f"set {self.name()} = {self.any(2)}"), lambda: self.tag("set x, y = " + self.pick([self.sequence(1), self.any(1) + ", " + self.any(0), "[n, s]"])),
            lambda: self.block(f"if {self.boolean(2)}", "endif", depth), lambda: self.block(f"if {self.any(2)}", "endif", depth), lambda: self.loop(depth), lambda: self.loop(depth), lambda: self.macro(depth),
            lambda: self.block(f"set {self.name()}" + self.pick(["", " | upper", " | trim | length"]), "endset", depth), lambda: self.block("filter " + self.pick(["upper", "trim", "indent", "replace('a', 'b')"]), "endfilter", depth),
            lambda: self.block(f"with x = {self.any(1)}, q = {self.any(0)}", "endwith", depth), lambda: self.block("generation", "endgeneration", depth), lambda: self.tag("raw") + " {{ x }} \n" + self.tag("endraw"),
            lambda: "{#" + self.pick(["", "-", "+"]) + " note " + self.pick(["", "-", "+"]) + "#}", lambda: self.tag(self.pick(["break", "continue"])) if self.loops or self.chance(.02) else output,
            lambda: "{% set ns = namespace(a=" + self.any(1) + ") %}" + self.block(f"for x in {self.sequence(0)}", "endfor", depth) + "{% set ns.a = " + self.any(1) + " %}{{ ns.a }}", lambda: "{{ " + loop_word + " }}", lambda: "{{ " + loop_word + " }}"])() + after
