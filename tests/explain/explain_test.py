"""Every calculation that explain shows, evaluated: as it is printed, and as JSON holds it.

A printed number stands for all that round to it. With these intervals a shown calculation has to be able to give the
shown result; with all digits (JSON) it has to give it up to the rounding of the run's type. Numbers of stages are held
to those of `run -f json`. Documents are drawn by tests/oracle/generate.py, over all variants and options.
"""
import glob
import json
import math
import os
import random
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SANITIZED, SOURCE, Report, execute, float32, json_values, parser_of, program_of, shape_of  # noqa: E402

sys.path.insert(0, os.path.join(SOURCE, "tests", "oracle"))
import generate  # noqa: E402

INF = math.inf
NOT_FINITE = {"Infinity": INF, "-Infinity": -INF, "NaN": math.nan}
TOKEN = re.compile(r"\s*(?:(?P<number>(?:\d+\.?\d*(?:e[+-]?\d+)?|inf|nan))|(?P<more>… \d+ more terms?:)|(?P<end>…)|"
                   r"(?P<name>tanh|ln|cos|sin|max|e\^)|(?P<mark>[-+×/()^²√,]))")


class Interval:
    """All numbers from lo to hi; NaN anywhere: nothing is known."""

    def __init__(self, lo, hi=None):
        self.lo, self.hi = lo, lo if hi is None else hi

    def over(self, *corners):
        corners = [c for c in corners]
        return Interval(math.nan) if any(math.isnan(c) for c in corners) else Interval(min(corners), max(corners))

    def __neg__(self):
        return Interval(-self.hi, -self.lo)

    def __add__(self, o):
        return Interval(self.lo + o.lo, self.hi + o.hi)

    def __sub__(self, o):
        return self + -o

    def __mul__(self, o):
        return self.over(*(times(a, b) for a in (self.lo, self.hi) for b in (o.lo, o.hi)))

    def __truediv__(self, o):
        if math.isnan(self.lo):
            return self
        if o.lo < 0 < o.hi:
            return Interval(-INF, INF)
        if o.lo == 0 and o.hi == 0:
            return Interval(math.nan) if self.lo <= 0 <= self.hi else Interval(-INF, INF)
        if o.lo == 0:
            o = Interval(5e-324, o.hi)
        if o.hi == 0:
            o = Interval(o.lo, -5e-324)
        return self.over(*(divided(a, b) for a in (self.lo, self.hi) for b in (o.lo, o.hi)))

    def rising(self, f):
        return Interval(f(self.lo), f(self.hi))


def times(a, b):
    return 0.0 if (a == 0 or b == 0) and math.isfinite(a) and math.isfinite(b) else a * b


def divided(a, b):
    if math.isinf(a) and math.isinf(b):
        return math.nan
    try:
        return a / b
    except OverflowError:
        return math.copysign(INF, a * b)


def exp(x):
    try:
        return math.exp(x)
    except OverflowError:
        return INF


def wave(f, x, first_top):
    """cos or sin of an interval: its ends, and the turning points between them."""
    if x.hi - x.lo >= 2 * math.pi:
        return Interval(-1, 1)
    found = [f(x.lo), f(x.hi)]
    k = math.ceil((x.lo - first_top) / math.pi)
    while first_top + k * math.pi <= x.hi:
        found.append(1.0 if k % 2 == 0 else -1.0)
        k += 1
    return Interval(min(found), max(found))


class Reader:
    """Reads a calculation; numbers of `digits` decimals (or with all of them: None) are as wide as their last digit."""

    def __init__(self, text, digits):
        self.digits, self.tokens, at = digits, [], 0
        while at < len(text.rstrip()):
            found = TOKEN.match(text, at)
            if not found:
                raise ValueError(f"not a calculation at {text[at:]!r} in {text!r}")
            self.tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()
        self.at = 0

    def read(self):
        value = self.sum()
        if self.at != len(self.tokens):
            raise ValueError(f"left over: {self.tokens[self.at:]}")
        return value

    def next(self, *marks):
        if self.at < len(self.tokens) and self.tokens[self.at][1] in marks:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return None

    def need(self, mark):
        if not self.next(mark):
            raise ValueError(f"{mark} is missing")

    def sum(self):
        value = self.product()
        while mark := self.next("+", "-"):
            right = self.product()
            value = value + right if mark == "+" else value - right
        return value

    def product(self):
        sign = self.next("-")
        value = self.factor()
        while mark := self.next("×", "/"):
            right = self.factor()
            value = value * right if mark == "×" else value / right
        return -value if sign else value

    def factor(self):
        if self.next("√"):
            return self.power().rising(lambda x: math.sqrt(x) if not x < 0 else 0.0)
        return self.power()

    def power(self):
        value = self.atom()
        if self.next("²"):
            lo, hi = sorted((abs(value.lo), abs(value.hi)))
            return Interval(0 if value.lo < 0 < value.hi else lo * lo, hi * hi)
        if self.next("^"):
            self.need("(")
            exponent = self.sum()
            self.need(")")
            return Interval(value.lo ** exponent.lo, value.hi ** exponent.hi) if exponent.lo >= 0 else \
                Interval(value.hi ** exponent.lo, value.lo ** exponent.hi)
        return value

    def arguments(self):
        values = [self.sum()]
        while self.next(","):
            values.append(self.sum())
        self.need(")")
        return values

    def atom(self):
        kind, text = self.tokens[self.at]
        self.at += 1
        if text == "(":
            return self.arguments()[0]
        if kind == "more":
            value = self.sum()
            self.need("…")
            return value
        if kind == "number":
            return self.number(text)
        if kind != "name":
            raise ValueError(f"unexpected {text}")
        self.need("(")
        x = self.arguments()
        if text == "max":
            return Interval(max(i.lo for i in x), max(i.hi for i in x))
        return {"tanh": lambda: x[0].rising(math.tanh), "e^": lambda: x[0].rising(exp),
                "ln": lambda: x[0].rising(math.log),
                "cos": lambda: wave(math.cos, x[0], 0), "sin": lambda: wave(math.sin, x[0], math.pi / 2)}[text]()

    def number(self, text):
        value = float(text)
        if self.digits is None or not math.isfinite(value):
            return Interval(value)
        mantissa, _, exponent = text.partition("e")
        decimals = len(mantissa.partition(".")[2])
        if decimals < self.digits:
            return Interval(value)  # in full
        half = 0.5 * 10.0 ** (int(exponent or 0) - decimals) * (1 + 1e-9)
        return Interval(value - half, value + half)


def rounding(value, dtype, parts=1.0):
    """What the run's own arithmetic may have rounded away."""
    return max(abs(value), parts, 1e-30) * (3e-6 if dtype == "float32" else 1e-12)


def size_of(line):
    sizes = [abs(number(t["value"])) for t in line["terms"] if math.isfinite(number(t["value"]))]
    return max(sizes + [0.0]) ** 2 * len(sizes) + max(sizes + [0.0])


def number(value):
    return NOT_FINITE.get(value, value) if isinstance(value, str) else value


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


def holds(interval, result, slack):
    if math.isnan(interval.lo) or math.isnan(interval.hi) or math.isnan(result.lo):
        return True  # held to NaN by the JSON
    return interval.lo - slack <= result.hi and result.lo <= interval.hi + slack


def leaves_of(tensor):
    return [x for item in tensor for x in leaves_of(item)] if isinstance(tensor, list) else [tensor]


def tensor_named(doc, name):
    """What the document holds under the name of a place: "embeddings", "W_query", "weights[0].W_query", "mask[1].keep"."""
    name = name[len("input."):] if name.startswith("input.") else name
    weights = doc.get("weights")
    if isinstance(weights, dict) and name in weights:
        return weights[name]
    at = doc
    for word in re.findall(r"\[\d+\]|[^.\[\]]+(?:\.[^.\[\]]+)*?(?=\.|\[|$)", name):
        if word.startswith("["):
            at = at[int(word[1:-1])] if isinstance(at, list) and int(word[1:-1]) < len(at) else None
        elif isinstance(at, dict):
            rest = name[name.index(word):]
            if rest in at:  # a name with dots
                return at[rest]
            at = at.get(word)
        if at is None:
            return None
    return at


def check_a_cell(judge, name, trace, rng):
    """Some number of some stage, batch item and head: its history, with the same care."""
    stage = rng.choice(trace["order"])
    place = f"{stage}[{','.join(str(rng.randrange(n)) for n in trace['stages'][stage]['shape'])}]"
    found = judge.explanation(f"{name} {place}", name, trace, "--cell", place)
    if found:
        judge.report.equal(f"{name} --cell {place}", found["cell"], place)


class Judge:
    def __init__(self, program, report, folder):
        self.program, self.report, self.folder, self.seen, self.lines = program, report, folder, set(), 0
        self.doc, self.known, self.rules, self.rng = {}, 0, 0, None

    def call(self, name, *words):
        path = os.path.join(self.folder, name + ".json")
        return execute([self.program, *words, path, "-q"], self.folder)

    def document(self, name, doc, *words):
        with open(os.path.join(self.folder, name + ".json"), "w", encoding="utf-8") as file:
            json.dump(doc, file)
        self.doc = doc
        trace = self.call(name, "run", "-f", "json", "--stages", self.stages(name))
        if not self.report.check(trace.status == 0, f"{name} run", "exit 0", trace.said):
            return None
        trace = json_values(trace.out)[0]
        shape = trace["stages"]["queries"]["shape"]
        for option, n in (("--batch", shape[0]), ("--head", shape[1]), ("--row", shape[2])):
            if n > 1 and self.rng.random() < 0.4:
                words += (option, str(self.rng.randrange(n)))
        return self.explanation(name, name, trace, *words) and trace

    def stages(self, name):
        listed = self.call(name, "run", "--stages=").text
        return ",".join(line.split()[0] for line in listed.splitlines() if line.strip())

    def explanation(self, name, file, trace, *words):
        told = self.call(file, "explain", "-f", "json", *words)
        if not self.report.check(told.status == 0, f"{name} explain", "exit 0", f"{told.status} {told.said}"):
            return None
        found = json_values(told.out)[0]
        for step in found["steps"]:
            self.seen.add(step["stage"])
            for line in step["lines"]:
                if "left_out" not in line:
                    self.line(f"{name} {step['stage']} {line['label']}", found, line, trace)
            self.places(f"{name} {step['stage']}", step)
        if "cell" not in found:
            wanted = [s for s in trace["order"] if s not in ("head_outputs", "lse", "mean_weights")]
            missing = set(wanted) - {s["stage"] for s in found["steps"]}
            self.report.equal(f"{name}: every stage has a step", missing, set())
        self.text(name, file, found, *words)
        return found

    def places(self, name, step):
        """A place is that of one line, and has the number that this line gives it."""
        lines = [line for line in step["lines"] if "left_out" not in line]
        names = [line["place"] for line in lines]
        self.report.equal(f"{name}: places that two lines have", sorted({p for p in names if names.count(p) > 1}), [])
        results = {line["place"]: number(line["result"]) for line in lines}
        for line in lines:
            for term in line["terms"]:
                if term.get("place") in results:
                    self.report.check(same(results[term["place"]], number(term["value"])), f"{name} {line['label']}: {term['place']}",
                                      results[term["place"]], term["value"])

    def line(self, name, found, line, trace):
        """All digits: the calculation gives the result, and the stage's numbers are those of the trace."""
        self.lines += 1
        result = number(line["result"])
        if line.get("stage_number"):
            self.place(name, line["place"], result, trace)
        for term in line["terms"]:
            if "place" in term and term["place"].partition("[")[0] not in trace["stages"]:
                self.document_place(f"{name}: {term['place']}", term, found["dtype"])
            if "place" in term and re.fullmatch(r"[^\[\]]+\[[\d,]+\]", term["place"]) and \
                    term["place"].partition("[")[0] in trace["stages"]:
                self.place(name, term["place"], number(term["value"]), trace)
        if line["expression"] is None:
            self.rule(name, line["note"])
            return
        try:
            value = Reader(line["expression"], None).read().lo
        except (ValueError, IndexError, ZeroDivisionError, OverflowError) as error:
            self.report.check(False, name, "a calculation", f"{line['expression']}: {error}")
            return
        good = same(value, result) or abs(value - result) <= rounding(result, found["dtype"], size_of(line))
        self.report.check(good, f"{name}: {line['expression']}", value, result)

    def document_place(self, name, term, dtype):
        """A number of the document stands where its place says."""
        found = re.fullmatch(r"(.*?)\[([\d,]+)\]", term["place"])
        tensor = found and tensor_named(self.doc, found[1])
        if not isinstance(tensor, (list, dict)) or isinstance(tensor, dict) and "data" not in tensor:
            return
        at = [int(k) for k in found[2].split(",")]
        shape = tensor["shape"] if isinstance(tensor, dict) else shape_of(tensor)
        if len(shape) == len(at) + 1:
            # A matrix of [d, heads, dim], or of [heads, dim, d], is told of as one of two axes; its bias as one of one.
            weights = self.doc.get("weights")
            named = weights.get("names", {}) if isinstance(weights, dict) else {}
            joins_first = "output" in found[1] or any("output" in ours and found[1].endswith(theirs) for ours, theirs in named.items())
            shape = [shape[0] * shape[1], *shape[2:]] if joins_first else [*shape[:-2], shape[-2] * shape[-1]]
        at = at[len(at) - len(shape):]
        flat = 0
        for k, n in zip(at, shape):
            flat = flat * n + k
        numbers = tensor["data"] if isinstance(tensor, dict) else leaves_of(tensor)
        written = float(number(numbers[flat]))
        self.known += 1
        rounded = float32 if dtype == "float32" else float
        self.report.check(same(rounded(number(term["value"])), rounded(written)), name, written, term["value"])

    def rule(self, name, note):
        """The rule that hid a key is one that hides it."""
        found = re.fullmatch(r"hidden: (?:window: )?key (\d+) ([<>]) query (\d+)((?: [+-] \d+)*)", note)
        if found:
            self.rules += 1
            query = int(found[3]) + sum(int(part.replace(" ", "")) for part in re.findall(r"[+-] \d+", found[4]))
            self.report.check(int(found[1]) > query if found[2] == ">" else int(found[1]) < query, f"{name}: {note}", "true", "false")
            return
        found = re.fullmatch(r"hidden: chunk: key (\d+) is in chunk (\d+), query (\d+)((?: [+-] \d+)*) in chunk (-?\d+)", note)
        if found:
            self.rules += 1
            size, query = self.doc["chunk"], int(found[3]) + sum(int(part.replace(" ", "")) for part in re.findall(r"[+-] \d+", found[4]))
            chunks = [int(found[1]) // size, query // size]
            self.report.equal(f"{name}: {note}", chunks, [int(found[2]), int(found[5])])
            self.report.check(chunks[0] != chunks[1], f"{name}: {note}", "two chunks", chunks)
            return
        found = re.fullmatch(r"hidden: key (\d+) is past the key length (\d+)", note)
        if found:
            self.rules += 1
            self.report.check(int(found[1]) >= int(found[2]), f"{name}: {note}", "true", "false")
            return
        if note == "no key is visible: log 0":  # lse of an empty row
            return
        self.report.check(re.fullmatch(r"hidden: mask.*(drops it|does not keep it|is -inf)", note), f"{name}: {note}", "a rule", note)

    def place(self, name, place, value, trace):
        stage, _, rest = place.partition("[")
        at = trace["stages"][stage]["data"]
        for k in rest[:-1].split(","):
            at = at[int(k)]
        self.report.check(same(number(at), value), f"{name}: {place}", number(at), value)

    def text(self, name, file, found, *words):
        """The printed digits: what they stand for can give what is printed as the result."""
        digits = int(words[words.index("-p") + 1]) if "-p" in words else 4
        out = self.call(file, "explain", "--width", "80", *words).text
        count = 0
        for label, parts, notes in equations(out):
            if "," in parts[-1] and not any(c in parts[-1] for c in "("):
                continue  # numbers that are taken over
            try:
                result = Reader(parts[-1], digits).read()
                for part in parts["full" in words:-1]:  # places go first there
                    count += 1
                    value = Reader(part, digits).read()
                    slack = 2 * rounding(max(abs(v) for v in (result.lo, 1.0) if math.isfinite(v)), found["dtype"])
                    self.report.check(holds(value, result, slack), f"{name} {label}: {part}",
                                      (value.lo, value.hi), (result.lo, result.hi))
            except (ValueError, IndexError, ZeroDivisionError, OverflowError) as error:
                self.report.check(False, f"{name} {label}", "a calculation", f"{parts}: {error!r}")
        long = [line for line in out.splitlines() if len(line) > 80]
        self.report.check(len(long) <= len(out.splitlines()) // 20, f"{name}: 80 columns", "no long lines", long[:2])
        return count


def equations(text):
    """(label, calculations and result, note) of every line, continued lines joined."""
    joined = []
    for line in text.splitlines():
        if re.match(r"   \S", line) and not line.startswith("   ("):
            joined.append(line[3:])
        elif line.startswith("    ") and joined:
            joined[-1] += " " + line.strip()
        else:
            joined.append("")
    for line in joined:
        line, _, note = line.partition("   (")
        line = re.split(r" \((?=[^()]*(?:hidden|digits|visible|kept|dropped|turn|radians|of |carries|sum|row|bias)[^()]*\)$)", line)[0]
        for piece in re.split(r"   (?=[^= ][^=]* = )", line) if line.count(" = ") > 1 and "   " in line.strip() else [line]:
            parts = [p.strip() for p in re.split(r"\s=\s+", piece)]
            if len(parts) >= 2:
                yield parts[0], parts[1:], note


HELLO = [[0.34, 0.22, 0.54], [0.53, 0.34, 0.98], [0.29, 0.54, 0.93]]
CAUSAL = {"tokens": ["Hello", "shiny", "sun"], "key_tokens": ["Hello", "shiny", "sun"], "queries": HELLO,
          "keys": HELLO, "values": HELLO, "causal": True}
# Worked out by hand, with more digits than are shown.
LINES = r"""
   shiny·Hello = 0.53×0.34 + 0.34×0.22 + 0.98×0.54
               = 0.1802 + 0.0748 + 0.5292 = 0.7842
   shiny·shiny = 0.53×0.53 + 0.34×0.34 + 0.98×0.98
               = 0.2809 + 0.1156 + 0.9604 = 1.3569
   Hello = 0.7842 / √3 = 0.4528
   shiny = 1.3569 / √3 = 0.7834
   sun   =   -inf   (hidden: key 2 > query 1)
   maximum = 0.7834   (masked_scores of shiny)
   e^Hello = e^(0.4528 - 0.7834) = 0.7185
   e^shiny = e^(0.7834 - 0.7834) = 1.0000
   sum     = 0.7185 + 1.0000 = 1.7185
   Hello   = 0.7185 / 1.7185 = 0.4181
   shiny   = 1.0000 / 1.7185 = 0.5819
   sun     = 0.0000   (e^(-inf) is 0)
   d0 = 0.4181×0.34 + 0.5819×0.53 = 0.4506
"""


class Command:
    def __init__(self, program, report, folder):
        self.program, self.report, self.folder = program, report, folder

    def file(self, name, doc):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(doc if isinstance(doc, str) else json.dumps(doc))
        return name

    def run(self, *words, stdin=None):
        return execute([self.program, "explain", *words], self.folder, stdin)

    def good(self, *words):
        found = self.run(*words)
        self.report.check(found.status == 0 and not found.died, " ".join(words), "exit 0", f"{found.status} {found.said}")
        return found.text


def check_goldens(c):
    c.file("causal.json", CAUSAL)
    text = c.good("causal.json")
    c.report.check(text.startswith('row 1 of 0 to 2: "shiny"\n'), "title", 'row 1 of 0 to 2: "shiny"', text[:40])
    for line in LINES.strip("\n").split("\n"):
        c.report.check(line + "\n" in text, f"golden: {line}", line, text)
    c.report.equal("--row by token, by number, the default", {c.good("causal.json", "--row", r) for r in ("shiny", "1")}, {text})
    c.report.equal("standard input", c.run(stdin=json.dumps(CAUSAL).encode()).text, text)
    several = json_values(c.good("causal.json", "--all-rows", "-f", "json").encode())
    c.report.equal("--all-rows", [e["row"] for e in several], [0, 1, 2])
    c.report.equal("schema", {e["schema"] for e in several}, {"attn-calc/explain/1"})
    one = c.good("causal.json", "--row", "0", "-p", "2", "--level", "brief")
    c.report.check("Hello = 1.00   shiny = 0.00   sun = 0.00" in one, "brief", "numbers side by side", one)
    # 0.1² + 0.2² with two digits: 0.01 + 0.04, but 0.14 · 0.14 = 0.0196 and 0.0196 + 0.0196 shows 0.02 + 0.02 = 0.04.
    rounded = {"embeddings": [[0.125, 0.125], [0.125, 0.125]]}  # products 0.015625, their sum 0.03125: 0.02 + 0.02 = 0.03
    text = c.good(c.file("rounded.json", rounded), "-p", "2")
    c.report.check("0.02 + 0.02 = 0.03   (the shown digits give 0.04)" in text, "a note on rounding", "0.04", text)


def check_cells(c):
    c.file("causal.json", CAUSAL)
    text = c.good("causal.json", "--cell", "weights[1,0]")
    c.report.check(text.startswith("weights[0,0,1,0] = 0.4181"), "--cell: title", "0.4181", text[:50])
    steps = re.findall(r"^\d+ +(\w+) = ", text, re.M)
    c.report.equal("--cell: from the number to the inputs", steps,
                   ["weights", "masked_scores", "scaled_scores", "scores", "keys", "queries"])
    c.report.check("sun·" not in text and "·sun" not in text, "--cell: only what it is made of", "no sun", text)


def check_refusals(c):
    c.file("causal.json", CAUSAL)
    heads = {**CAUSAL, "tokens": ["a", "a", "b"]}
    c.file("twice.json", heads)
    for words, pattern in (
            (("causal.json", "--row", "moon"), "--row moon: there is no such row"),
            (("causal.json", "--row", "3"), "--row 3: there is no row 3"),
            (("causal.json", "--row", "0:2"), "several rows: 0, 1"),
            (("twice.json", "--row", "a"), "several rows: 0, 1"),
            (("causal.json", "--head", "1"), "there is no head 1"),
            (("causal.json", "--batch", "1"), "there is no batch item 1"),
            (("causal.json", "--cell", "weights[1,3]"), "there is no key 3"),
            (("causal.json", "--cell", "wieghts[1,0]"), "did you mean \"weights\""),
            (("causal.json", "--cell", "capped_scores[1,0]"), "this input has no such stage"),
            (("causal.json", "--cell", "weights[1,0]", "--row", "1"), "--row has no use"),
            (("causal.json", "--all-rows", "--row", "1"), "exclude each other"),
            (("causal.json", "--blank", "wieghts"), "there is no such stage"),
            (("causal.json", "--key"), "--blank weights,context --key"),
            (("causal.json", "--standalone"), "--standalone is for tex"),
            (("causal.json", "-f", "csv"), "writes text, json, md, tex or html, not csv"),
            (("causal.json", "--level", "high"), "expected brief, normal or full"),
            (("causal.json", "-o", "x.pdf"), "does not say the format"),
            (("causal.json", "causal.json"), "takes one file"),
            (("causal.json", "--top", "1"), "takes no --top")):
        found = c.run(*words)
        name = " ".join(words)
        c.report.equal(f"{name}: exit", found.status, 2)
        c.report.check(re.search(pattern, found.said), name, pattern, found.said)
        c.report.equal(f"{name}: nothing written", found.text, "")
    c.report.equal("a wrong document", c.run(c.file("bad.json", '{"embeddings": [[1], [1, 2]]}')).status, 3)


def balanced(text):
    depth = 0
    for k, letter in enumerate(text):
        if letter in "{}" and (k == 0 or text[k - 1] != "\\"):
            depth += 1 if letter == "{" else -1
        if depth < 0:
            return False
    return depth == 0


WORST = ["a_b", "100% & #1", "\\x{}$^~", "\u4f60\u597d \U0001f600", "<b>|x|</b>", "caf\u00e9 \u202e\u001b[31m"]


def check_markup(c):
    doc = {"tokens": WORST, "embeddings": [[0.1 * k, 0.2, -0.3 * k] for k in range(len(WORST))], "causal": True, "scale": 0.5}
    c.file("worst.json", doc)
    for level in ("brief", "normal", "full"):
        md = c.good("worst.json", "--row", "5", "-f", "md", "--level", level)
        blocks = re.findall(r"```math\n(.*?)\n```", md, re.S)
        c.report.check(len(blocks) >= 7, f"md {level}: a block for each step", 7, len(blocks))
        c.report.equal(f"md {level}: fences", md.count("```"), 2 * len(blocks))
        tex = c.good("worst.json", "--row", "5", "-f", "tex", "--standalone", "--level", level)
        for name, text in [("tex", tex)] + [("md", b) for b in blocks]:
            c.report.check(balanced(text), f"{name} {level}: braces", "balanced", text)
            c.report.check(text.isprintable() or not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", text), f"{name} {level}: control characters", "none", text)
            c.report.check(all(ord(letter) < 0x100 for letter in text), f"{name} {level}: letters that a bare LaTeX has", "Latin",
                           [letter for letter in text if ord(letter) >= 0x100])
            bare = re.sub(r"\\[#$%&_{}]", "", text)
            c.report.check(not re.search(r"[%#]", bare), f"{name} {level}: escaped", "no bare % or #", bare)
        opened = re.findall(r"\\begin\{(.*?)\}", tex)
        c.report.equal(f"tex {level}: environments", sorted(opened), sorted(re.findall(r"\\end\{(.*?)\}", tex)))
        c.report.equal(f"tex {level}: packages", re.findall(r"\\usepackage(?:\[.*?\])?\{(.*?)\}", tex), ["inputenc", "amsmath"])
        if shutil.which("pdflatex"):
            c.file("worst.tex", tex)
            made = execute(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "worst.tex"], c.folder)
            c.report.equal(f"tex {level} compiles", made.status, 0)
    plain = c.good("worst.json", "--row", "5", "--ascii")
    c.report.check(plain.isascii(), "--ascii", "ASCII", plain)
    c.report.check("\x1b" not in c.good("worst.json", "--row", "5"), "tokens cannot act on a terminal", "no escapes", "one")
    c.report.check("\x1b[1m" in c.good("worst.json", "--color", "always"), "--color always", "bold", "none")
    c.good("worst.json", "-o", "out.tex")
    with open(os.path.join(c.folder, "out.tex"), encoding="utf-8") as file:
        c.report.check(file.read().startswith("\\section*"), "-o out.tex", "a section", "")


def check_worksheets(c):
    c.file("causal.json", CAUSAL)
    blank = ("causal.json", "--blank", "weights,context")
    numbers = ("0.4181", "0.5819", "0.7185", "1.7185", "0.4506")
    for form in ("text", "json", "md", "tex"):
        empty, key = c.good(*blank, "-f", form), c.good(*blank, "-f", form, "--key")
        for n in numbers:
            known = n if form != "json" else n[:5]
            c.report.check(known not in empty, f"worksheet {form}: {n} is not given away", "a box", known)
            c.report.check(known in key, f"solution {form}: {n}", known, "not there")
    md = c.good(*blank, "-f", "md")
    c.report.check("| weights[0,0] | 0 Hello | 1 shiny | 2 sun |\n| --- | --- | --- | --- |\n| 1 shiny |  |  |  |\n" in md, "the table to fill in", "weights", md)
    solved = c.good(*blank, "-f", "md", "--key")
    c.report.check("| 1 shiny | 0.4181 | 0.5819 | 0.0000 |\n" in solved, "the table filled in", "0.4181", solved)
    for form, label in (("json", "blank"), ("json", "solved")):
        words = blank + (("--key",) if label == "solved" else ())
        found = json_values(c.good(*words, "-f", form).encode())[0]
        results = [line["result"] for s in found["steps"] if s["stage"] == "weights" for line in s["lines"]]
        c.report.equal(f"JSON: {label}", (found[label], all(r is None for r in results)), (["weights", "context"], label == "blank"))


def main():
    parser = parser_of(__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=25 if SANITIZED else 250)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    program, report = program_of(options), Report(options.only)
    with tempfile.TemporaryDirectory() as folder:
        command = Command(program, report, folder)
        for check in (check_goldens, check_cells, check_refusals, check_markup, check_worksheets):
            check(command)
        judge = Judge(program, report, folder)
        for k in range(options.count):
            rng = random.Random(options.seed * 100003 + k)
            backwards = k % 3 == 0
            sizes = (2, 3, 6) if backwards else (3, 6, 14)
            doc = generate.document(rng, size=rng.choice(sizes), width=rng.choice((3, 6, 12)), heads=3, gradient=backwards)
            doc["dtype"] = rng.choice(("float32", "float64"))
            words = ["-p", str(rng.choice((2, 4, 4, 6)))]
            if rng.random() < 0.2:
                words += ["--level", "full"]
            judge.rng = rng
            trace = judge.document(f"drawn{k}", doc, *words)
            if trace and rng.random() < 0.5:
                check_a_cell(judge, f"drawn{k}", trace, rng)
        examples = sorted(glob.glob(os.path.join(SOURCE, "data", "examples", "**", "*.json"), recursive=True))
        for path in examples[::8 if SANITIZED else 1]:
            with open(path, encoding="utf-8") as file:
                doc = json.load(file)
            judge.rng = random.Random(os.path.basename(path))
            trace = judge.document(os.path.basename(path)[:-5], doc)
            if trace:
                check_a_cell(judge, os.path.basename(path)[:-5], trace, judge.rng)
        report.check(judge.lines > options.count * 10, "enough lines were evaluated", "many", judge.lines)
        report.check(judge.known > options.count * 10, "enough numbers were found in their documents", "many", judge.known)
        report.check(judge.rules > options.count // 5, "enough keys were hidden", "many", judge.rules)
        if options.count >= 200:
            from_table = {line.split()[0] for line in
                          open(os.path.join(SOURCE, "lib", "plan", "stage.cpp"), encoding="utf-8").read().split("{Stage::")[1:]
                          for line in [line.partition('"')[2].partition('"')[0]] if line}
            report.equal("stages that no document had", from_table - judge.seen, set())
        if options.count > 20 and not SANITIZED:
            print(f"seed {options.seed}: {judge.lines} lines evaluated, {judge.known} numbers found in their documents, {judge.rules} rules that hid a key")
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
