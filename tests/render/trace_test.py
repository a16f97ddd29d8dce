"""Traces from outside: JSON, NDJSON and CSV of every example and case hold the same numbers, twice the same bytes, for any
number of threads; both schemas are valid and hold; a selection is exactly a part of the whole; writing options change
only how numbers are written."""
import csv
import io
import itertools
import json
import math
import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import (CSV_HEADER, NOT_FINITE, SANITIZED, SOURCE, Report, execute, float32, json_values, leaves, number, parser_of,
                     program_of, same, shape_of)  # noqa: E402

try:
    import jsonschema
except ImportError:
    jsonschema = None

WRONG_FOR_SCHEMA = """
unknown__root_key unknown__typo_embeddings unknown__typo_seed unknown__variant_value unknown__variant_null
embeddings__number embeddings__string embeddings__true embeddings__bool_element embeddings__null_element
embeddings__nan_string heads__zero heads__null heads__fractional tokens__string tokens__null_element
tokens__number_element mask__bare_booleans mask__keep_and_drop scale__true scale__None dropout__p_negative
dropout__p_string dropout__unknown_key causal__case causal__one causal__extra_key window__number window__left_negative
key_lengths__number key_lengths__negative mask_at__bad_true normalize__bad_number empty_rows__typo_nan
dtype__bad_float8 weights__null weights__W_query_null weights__bias_true init__d_out_zero init__out_proj_string
shape__empty_object names__layout_typo
""".split()
PLACE = {"batch": 0, "head": 1, "query": 2, "key": 2}
WAITING = set()  # cases whose keys belong to a later release
MEMBERS = ["schema", "tool", "source", "variant", "plan", "tokens", "selection", "order", "stages", "warnings"]


def cached(trace, stage, axis):
    """What is added to a row of new keys to get its token: tokens begin with the cache."""
    return trace["plan"].get("cached_keys", 0) if axis == "key" and forward(stage) in NEW_KEYS else 0


def forward(stage):
    """The stage whose axes a gradient has; a stage itself."""
    return stage.removeprefix("d_") if stage else stage


class Document:
    def __init__(self, name, path):
        self.name, self.path = name, path
        with open(path, encoding="utf-8") as file:
            self.content = json.load(file)


def documents(folder):
    """Every example, and the input of every case as a file in `folder`."""
    for part in ("examples", "cases"):
        for place, _, names in sorted(os.walk(os.path.join(SOURCE, "data", part))):
            for name in sorted(names):
                if not name.endswith(".json"):
                    continue
                path = os.path.join(place, name)
                label = os.path.relpath(path, os.path.join(SOURCE, "data"))[:-5]
                if part == "cases":
                    with open(path, encoding="utf-8") as file:
                        content = json.load(file)["input"]
                    path = os.path.join(folder, label.replace("/", "_") + ".json")
                    with open(path, "w", encoding="utf-8") as file:
                        json.dump(content, file)
                yield Document(label, path)


# --- one map (stage, batch, head, row, column) -> number out of each format ---------------------------------------


# stages without the cache and without appended keys
NEW_KEYS = ("normed_key_embeddings", "keys", "values", "convolved_keys", "convolved_values", "latent", "normed_latent", "normed_keys", "normed_values", "rope_keys", "rotated_keys", "mapped_keys", "mapped_values", "decay", "beta", "states")
GROUPED = tuple(way + of for way in ("", "convolved_", "normed_", "rotated_", "mapped_") for of in ("queries", "keys"))
CONTEXT_HEADS = ("differential_weights", "context", "normed_context", "gated_context", "head_outputs")  # of two half heads each
VALUE_HEADS = ("values", "normed_values", "all_values")
KEY_HEADS = NEW_KEYS + ("all_keys", "all_values", "state")  # stages of heads of keys


def on_axis(plan, stage, axis, chosen):
    """What is chosen of query heads and of all keys, in the numbers of a stage's own axis."""
    stage = forward(stage)
    if axis == "head" and stage == "rope_keys":
        return [0]
    if axis == "head" and stage in GROUPED and "query_key_heads" in plan:
        return sorted({h * plan["query_key_heads"] // plan["sizes"]["head"] for h in chosen})
    if axis == "head" and "differential" in plan and stage in CONTEXT_HEADS + VALUE_HEADS:
        halves, count = plan["differential"]["pairing"] == "halves", plan["differential"]["heads" if stage in CONTEXT_HEADS else "value_heads"]
        of_keys = chosen if stage in CONTEXT_HEADS else on_axis(plan, "keys", axis, chosen)
        return sorted({h % count if halves else h // 2 for h in of_keys})
    if axis == "head" and stage in KEY_HEADS and "kv_heads" in plan:
        count, group = plan["kv_heads"]["count"], plan["sizes"]["head"] // plan["kv_heads"]["count"]
        tile = plan["kv_heads"]["order"] == "tile"
        return sorted({h % count if tile else h // group for h in chosen})
    if axis == "key" and stage in NEW_KEYS:
        cache, appended = plan.get("cached_keys", 0), plan.get("appended_keys", 0)
        return [j - cache for j in chosen if cache <= j < plan["sizes"]["key"] - appended]
    return chosen


def original(trace, axis, size, stage=None):
    chosen = trace.get("selection", {}).get(axis)
    return list(range(size)) if chosen is None else on_axis(trace["plan"], stage, axis, chosen)


def place_of(stage, batch, head, token, row, column):
    """Indices of a number, one for each axis of its stage. What has no such axis is None in the formats of rows."""
    axes = stage["axes"]
    if len(axes) <= 2:
        return (row, column)[-len(axes):]
    tail = (column,) if axes[-2:] == ["head", "key"] else (row, column)
    return ((batch,) if "batch" in axes else ()) + ((head,) if "head" in axes else ()) + ((token,) if len(axes) == 5 else ()) + tail


def cells_of_json(trace):
    cells = {}
    for name, stage in trace["stages"].items():
        axes = stage["axes"]
        labels = [original(trace, axis, size, name) for axis, size in zip(axes, stage["shape"])]
        for place, value in zip(itertools.product(*labels), leaves(stage["data"])):
            cells[(name, *place)] = number(value)
    return cells


def cells_of_ndjson(raw, trace):
    cells, begin, end, order = {}, None, None, []
    for line in raw.decode("utf-8").splitlines():
        event = json_values(line.encode())[0]
        if event["event"] == "begin":
            begin = event
        elif event["event"] == "end":
            end = event
        else:
            name, rows, data = event["name"], event["rows"], event["data"]
            if name not in order:
                order.append(name)
            stage = trace["stages"][name]
            columns = original(trace, stage["axes"][-1], stage["shape"][-1], name)
            if event["shape"] != [rows[1] - rows[0], len(columns)] or event["shape"] != shape_of(data):
                raise ValueError(f"{name}: rows {rows}, shape {event['shape']}, data {shape_of(data)}")
            for row, values in zip(range(*rows), data):
                for column, value in zip(columns, values):
                    place = (name, *place_of(stage, event.get("batch"), event.get("head"), event.get("key"), row, column))
                    if place in cells:
                        raise ValueError(f"{place} comes twice")
                    cells[place] = number(value)
    return cells, begin, end, order


def cells_of_csv(raw, trace):
    lines = list(csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), strict=True))
    if lines[0] != CSV_HEADER:
        raise ValueError(f"header {lines[0]}")
    cells, tokens, order = {}, {}, []
    for name, batch, head, row, column, row_token, column_token, value in lines[1:]:
        stage = trace["stages"][name]
        token = None
        if len(stage["axes"]) == 5:  # rows are counted through all tokens
            token, row = divmod(int(row), stage["shape"][-2])
        place = (name, *place_of(stage, int(batch or 0), int(head or 0), token, int(row or 0), int(column)))
        if not order or order[-1] != name:
            order.append(name)
        cells[place] = float(value)
        if not math.isfinite(cells[place]) and value not in ("inf", "-inf", "NaN"):
            raise ValueError(f"{place} is {value!r}")
        tokens[place] = (row_token, column_token)
    return cells, tokens, order


def nothing(shape):
    """The nested lists of a shape with an axis of length 0."""
    return [nothing(shape[1:]) for _ in range(shape[0])]


def differences(found, wanted):
    """The first cell that is not the same, or None. The order of cells counts."""
    if list(found) != list(wanted):
        return f"cells {list(found)[:2]}... of {len(found)}, not {list(wanted)[:2]}... of {len(wanted)}"
    return next((f"{place}: {found[place]!r}, not {wanted[place]!r}" for place in found
                 if not same(found[place], wanted[place])), None)


def shortest(text, dtype):
    """Whether no text of fewer digits reads back to the same float."""
    value = float(text)
    digits = len(re.sub(r"[eE].*|[.-]", "", text).strip("0"))
    if digits <= 1:
        return True
    shorter = float("%.*e" % (digits - 2, value))
    return (float32(shorter) != float32(value)) if dtype == "float32" else shorter != value


# --- the tests ---------------------------------------------------------------------------------------------------


class Tests:
    def __init__(self, program, report, folder):
        self.program, self.report, self.folder = program, report, folder
        self.wholes = {}

    def run(self, *arguments, stdin=None):
        return execute([self.program, "run", *arguments], self.folder, stdin)

    def trace(self, name, *arguments):
        result = self.run(*arguments, "-f", "json")
        if not self.report.check(result.status == 0, name, "exit 0", f"exit {result.status} {result.said}"):
            return None
        try:
            return json_values(result.out)[0]
        except ValueError as error:
            self.report.check(False, name, "JSON", str(error))

    def guarded(self, test, document, *more):
        """A trace that is too odd to look at is a failure, not the end."""
        try:
            test(document, *more)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            self.report.check(False, f"{document.name}: {test.__name__}", "no exception", repr(error))

    def load_schemas(self):
        self.schemas = {}
        if jsonschema is None:
            self.report.check(False, "schema", "Debian's python3-jsonschema", "no such module")
            return
        for kind in ("input", "trace"):
            result = execute([self.program, "schema", kind], self.folder)
            try:
                schema = json_values(result.out)[0]
                jsonschema.Draft202012Validator.check_schema(schema)
                self.report.equal(f"schema {kind} names its draft", schema.get("$schema"),
                                  "https://json-schema.org/draft/2020-12/schema")
                self.schemas[kind] = jsonschema.Draft202012Validator(schema)
            except (ValueError, IndexError, jsonschema.SchemaError) as error:
                self.report.check(False, f"schema {kind}", "a JSON Schema", f"exit {result.status} {error}")

    def holds(self, kind, value, name):
        if kind in self.schemas:
            error = next(self.schemas[kind].iter_errors(value), None)
            where = error and "/".join(map(str, error.absolute_path))
            self.report.check(error is None, f"{name}: schema {kind}", "valid", error and f"/{where} {error.message}")

    def refuses(self, name):
        path = os.path.join(SOURCE, "tests", "hostile", "attn", name + ".json")
        with open(path, encoding="utf-8") as file:
            wrong = json.load(file)
        if "input" in self.schemas:
            self.report.check(not self.schemas["input"].is_valid(wrong), f"schema input refuses {name}", "refused", "valid")

    def formats(self, document):
        """One document in all three formats, twice, with one worker and two."""
        report, name = self.report, document.name
        first = self.run(document.path, "-f", "json")
        if name in WAITING:
            report.check(first.status == 3 and not first.out, f"{name} waits", "exit 3", f"exit {first.status}: WAITING is out of date")
            return
        self.holds("input", document.content, name)
        if not report.check(first.status == 0, f"{name}: json", "exit 0", f"exit {first.status} {first.said}"):
            return
        try:
            traces = json_values(first.out)
            report.equal(f"{name}: one trace", len(traces), 1)
            trace = self.wholes[name] = traces[0]
        except ValueError as error:
            report.check(False, f"{name}: json", "strict JSON", str(error))
            return
        self.holds("trace", trace, name)
        report.equal(f"{name}: members", list(trace), [m for m in MEMBERS if m != "selection"])
        report.equal(f"{name}: order", list(trace["stages"]), trace["order"])
        report.equal(f"{name}: warnings", len(re.findall(r"^attn-calc: warning: ", first.said, re.M)),
                     len(trace["warnings"]))
        for stage_name, stage in trace["stages"].items():
            numbers = leaves(stage["data"])
            report.check(shape_of(stage["data"]) == stage["shape"] and len(numbers) == math.prod(stage["shape"]) and
                         len(stage["axes"]) == len(stage["shape"]) and list(stage)[-1] == "data",
                         f"{name}: {stage_name}", f"data of {stage['shape']}", shape_of(stage["data"]))
        self.tokens(document, trace)
        written = json.loads(first.out, parse_float=str, parse_int=str)["stages"]
        long = [(s, x) for s, stage in written.items() for x in set(leaves(stage["data"]))
                if x not in NOT_FINITE and not shortest(x, stage["dtype"])]
        report.check(not long, f"{name}: shortest numbers", "no shorter text", long[:2])
        outputs = {}
        for form in ("json", "ndjson", "csv"):
            runs = [self.run(document.path, "-f", form, *more) for more in ([], ["--threads", "1"], ["--threads", "2"])]
            outputs[form] = runs[0].out
            report.check(all(r.status == 0 and r.out == runs[0].out for r in runs), f"{name}: {form} three times",
                         "equal bytes", [(r.status, len(r.out)) for r in runs])
        self.compare(name, trace, outputs["ndjson"], outputs["csv"])

    def tokens(self, document, trace):
        sizes = self.sizes(trace)
        tokens = trace["tokens"]
        self.report.equal(f"{document.name}: tokens", [len(tokens["query"]), len(tokens["key"])],
                          [sizes["query"], sizes["key"]])
        given = document.content.get("tokens")
        self.report.equal(f"{document.name}: tokens of queries", tokens["query"],
                          given or [str(i) for i in range(sizes["query"])])
        if "key_tokens" in document.content:
            named = document.content["key_tokens"]
            self.report.equal(f"{document.name}: tokens of keys", tokens["key"][:len(named)], named)

    def compare(self, name, trace, ndjson, table):
        report, wanted = self.report, cells_of_json(trace)
        try:
            cells, begin, end, order = cells_of_ndjson(ndjson, trace)
            report.equal(f"{name}: ndjson order", sorted(order), sorted(trace["order"]))
            difference = differences(dict(sorted(cells.items(), key=str)), dict(sorted(wanted.items(), key=str)))
            report.check(difference is None, f"{name}: ndjson against json", "the same numbers", difference)
            for member in ("variant", "plan", "tokens", "order", "selection"):
                report.equal(f"{name}: ndjson begin has {member}", begin.get(member), trace.get(member))
            report.equal(f"{name}: ndjson end", [end["stages"], end["warnings"]],
                         [len(trace["order"]), trace["warnings"]])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            report.check(False, f"{name}: ndjson", "events", repr(error))
        try:
            cells, labels, order = cells_of_csv(table, trace)
            report.equal(f"{name}: csv order", order, trace["order"])
            difference = differences(cells, wanted)
            report.check(difference is None, f"{name}: csv against json", "the same numbers", difference)
            names = {axis: dict(zip(original(trace, axis, len(words)), words)) for axis, words in trace["tokens"].items()}

            def words(place):
                """The tokens of a row and of a column."""
                axes, stage = trace["stages"][place[0]]["axes"], place[0]
                if "batch" not in axes:  # parameters, and their gradients
                    return ["", ""]
                by_axis = [names.get(axis, {}).get(index + cached(trace, stage, axis), "")
                           for axis, index in zip(axes, place[1:])]
                row = by_axis[2] if len(axes) == 5 else "" if len(axes) == 1 or axes[-2] == "head" else by_axis[-2]
                return [word.lstrip("'") for word in (row, by_axis[-1])]
            wrong = [(place, found) for place, found in labels.items()
                     if [cell.lstrip("'") for cell in found] != words(place)]
            report.check(not wrong, f"{name}: csv tokens", "those of the trace", wrong[:2])
        except (ValueError, KeyError, IndexError, csv.Error) as error:
            report.check(False, f"{name}: csv", "a table", repr(error))

    def selection(self, document, whole, arguments, chosen):
        """`chosen`: axis -> numbers that the arguments ask for; the rest is whole."""
        report, name = self.report, f"{document.name} {' '.join(arguments)}"
        part = self.trace(name, document.path, *arguments)
        if part is None:
            return
        stages = chosen.pop("stages", whole["order"])
        self.holds("trace", part, name)
        report.equal(f"{name}: order", part["order"], stages)
        restricted = {axis: keep for axis, keep in part.get("selection", {}).items()
                      if keep != list(range(self.sizes(whole)[axis]))}
        report.equal(f"{name}: selection", restricted, chosen)
        report.equal(f"{name}: members", list(part), [m for m in MEMBERS if m != "selection" or m in part])
        for axis, words in whole["tokens"].items():
            report.equal(f"{name}: tokens of {axis}", part["tokens"][axis],
                         [words[i] for i in chosen.get(axis, range(len(words)))])
        wanted = {}
        for (stage, *at), value in cells_of_json({**whole, "stages": {n: whole["stages"][n] for n in stages}}).items():
            axes = whole["stages"][stage]["axes"]
            place = dict(zip(axes, at))
            if all(place.get(axis) in on_axis(whole["plan"], stage, axis, keep) for axis, keep in chosen.items() if axis in axes):
                wanted[(stage, *at)] = value
        try:
            difference = differences(cells_of_json(part), wanted)
        except (KeyError, TypeError, ValueError) as error:
            difference = repr(error)
        report.check(difference is None, f"{name}: part of the whole", "the same numbers", difference)
        self.compare(name, part, self.run(document.path, *arguments, "-f", "ndjson").out,
                     self.run(document.path, *arguments, "-f", "csv").out)

    @staticmethod
    def sizes(whole):
        return {axis: whole["plan"]["sizes"][axis] for axis in ("batch", "head", "query", "key")}

    def selections(self, document, whole):
        sizes = self.sizes(whole)
        batch, heads, queries, keys = sizes.values()
        last = queries - 1
        some = "weights" if "weights" in whole["order"] else "values"
        cases = [(["--rows", f"1:{queries}"], {"query": list(range(1, queries))}),
                 (["--rows", f"0,{last}"], {"query": [0, last] if last else [0]}),
                 (["--cols", "0:2"], {"key": [0, 1]}),
                 (["--cols", f"{keys - 1}", "--rows", "0"], {"key": [keys - 1], "query": [0]}),
                 (["--heads", f"{heads - 1}"], {"head": [heads - 1]}),
                 (["--batch", f"{batch - 1}"], {"batch": [batch - 1]}),
                 (["--stages", f"{some},context"], {"stages": [some, "context"]}),
                 (["--stages", whole["order"][-1]], {"stages": whole["order"][-1:]}),
                 (["--stages", some, "--rows", f"{last}", "--cols", "0", "--heads", f"{heads - 1}", "--batch", "0"],
                  {"stages": [some], "batch": [0], "head": [heads - 1], "query": [last], "key": [0]})]
        tokens = whole["tokens"]["query"]
        if "tokens" in document.content:
            rows = [i for i, token in enumerate(tokens) if token == tokens[-1]]
            cases.append((["--rows", tokens[-1]], {"query": rows}))
        for arguments, chosen in cases:
            # A choice of everything restricts nothing.
            self.selection(document, whole, arguments, {what: keep for what, keep in chosen.items()
                                                        if what == "stages" or len(keep) < sizes[what]})

    def writing(self, document, whole):
        """Options that change how a number is written, and nothing else."""
        report, name, path = self.report, document.name, document.path
        plain = self.run(path, "-f", "json").text
        squeezed = self.trace(f"{name} --squeeze", path, "--squeeze")
        if squeezed:
            for stage_name, stage in whole["stages"].items():
                kept = [(a, s) for a, s in zip(stage["axes"], stage["shape"]) if s != 1]
                found = squeezed["stages"][stage_name]
                report.equal(f"{name} --squeeze: {stage_name}",
                             [list(zip(found["axes"], found["shape"])), leaves(found["data"])],
                             [kept, leaves(stage["data"])])
            self.holds("trace", squeezed, f"{name} --squeeze")
        for policy, words in (("null", {k: "null" for k in NOT_FINITE}), ("bare", {k: k for k in NOT_FINITE})):
            wanted = re.sub(r'(?<=[\[,\s])"(-?Infinity|NaN)"(?=[,\]\s])', lambda m: words[m[1]], plain)
            found = self.run(path, "-f", "json", "--nonfinite", policy)
            report.check(found.text == wanted, f"{name} --nonfinite {policy}", "the same text but for those words",
                         found.text[:200] if found.status == 0 else found.said)
        compact = self.run(path, "-f", "json", "--compact")
        report.check(compact.status == 0 and json.loads(compact.out) == json.loads(plain) and len(compact.text) <= len(plain)
                     and compact.out.count(b"\n") == 1, f"{name} --compact", "one line, the same content", compact.text[:200])
        self.torch(document, whole)
        self.listing(document, whole)

    def without_numbers(self):
        """Columns that are all cached, or all appended: nothing is left of the stages of new keys."""
        report, rows = self.report, [[[[1, 2]], [[3, 4]]], [[[5, 6]], [[7, 8]]]]
        given = {"queries": rows, "keys": rows, "values": rows, "past_keys": rows, "past_values": rows, "add_zero_attn": True,
                 "qk_norm": {"type": "rms"}, "rope": {}}
        path = os.path.join(self.folder, "cached.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(given, file)
        empty = ["keys", "values", "normed_keys", "rotated_keys"]
        for column in ("0", "2"):
            for options in ([], ["--compact"], ["--squeeze"], ["--squeeze", "--compact"]):
                name = f"--cols {column} {' '.join(options)}"
                trace = self.trace(name, path, "--cols", column, *options)
                if not trace:
                    continue
                self.holds("trace", trace, name)
                for stage in empty:
                    shape = [2, 2, 0, 2]
                    found = trace["stages"][stage]
                    report.equal(f"{name}: {stage}", (found["shape"], found["data"]), (shape, nothing(shape)))
                if not options:
                    cells = [{k: v for k, v in cells.items() if k[0] not in empty} for cells in (
                        cells_of_json(trace), cells_of_csv(self.run(path, "--cols", column, "-f", "csv").out, trace)[0],
                        cells_of_ndjson(self.run(path, "--cols", column, "-f", "ndjson").out, trace)[0])]
                    report.check(len(cells[0]) > 0 and all(sorted(c.items()) == sorted(cells[0].items()) for c in cells),
                                 f"{name}: csv, ndjson", "what there is", [len(c) for c in cells])
            for form, pattern in (("text", r"\nkeys = as given +\[batch 2, head 2, key 0, dim 2\]\n\nvalues"),
                                  ("md", r"\n## keys\n\n`keys = as given` `\[batch 2, head 2, key 0, dim 2\]`\n\n## values"),
                                  ("tex", r"\{\[\}batch 2, head 2, key 0, dim 2\{\]\}\\par\n\n\\subsection\*\{values\}"),
                                  ("torch", r"\nkeys = \ntensor\(\[\], size=\(2, 2, 0, 2\)\)\nvalues")):
                made = self.run(path, "--cols", column, "-f", form)
                report.check(made.status == 0 and re.search(pattern, made.text), f"--cols {column}: {form}", pattern, made.text[:400])
        one = {k: [[1]] for k in ("queries", "keys", "values", "past_keys", "past_values")}
        squeezed = self.run("--cols", "0", "-f", "json", "--squeeze", stdin=json.dumps(one).encode())
        report.equal("--squeeze of [1, 1, 0, 1]", json_values(squeezed.out)[0]["stages"]["keys"]["data"], [])

    def ascii(self, document):
        """--ascii: no byte above 127 in any format; JSON has the same content, tokens of CSV are escaped."""
        report, name = self.report, document.name
        for form in ("text", "md", "tex", "json", "ndjson", "csv"):  # torch has nothing but ASCII, and refuses it
            made, plain = (self.run("-q", document.path, "-f", form, *more) for more in (["--ascii"], []))
            report.check(made.status == 0 and made.out.isascii() and made.out, f"{name} --ascii -f {form}", "ASCII",
                         [line for line in made.text.splitlines() if not line.isascii()][:2])
            if form in ("json", "ndjson"):
                report.check(json_values(made.out) == json_values(plain.out), f"{name} --ascii -f {form}: content", "the same", made.text[:99])
            if form == "csv":
                back = [re.sub(r"\\u([0-9a-f]{4})|\\U([0-9a-f]{8})", lambda m: chr(int(m[1] or m[2], 16)), text)
                        for text in (made.text, plain.text)]
                report.check(back[0] == back[1], f"{name} --ascii -f csv: cells", "escapes", made.text[:99])
        for form in ("text", "json"):
            checked = execute([self.program, "check", "-q", document.path, "-f", form, "--ascii"], self.folder)
            report.check(checked.out.isascii() and checked.out, f"{name} check --ascii -f {form}", "ASCII", checked.text[:99])
        for form in ("text", "md", "tex"):
            told = execute([self.program, "explain", "-q", document.path, "-f", form, "--ascii"], self.folder)
            report.check(told.status != 0 or told.out.isascii() and told.out, f"{name} explain --ascii -f {form}", "ASCII",
                         [line for line in told.text.splitlines() if not line.isascii()][:2])

    def every_letter(self):
        """Tokens of every kind, more of them than fit, in --ascii."""
        tokens = ["ü", "日本", "\U0001f600", "·", "φ", "Σ", "\u202e", " é", "…", "\u0001", "=1", "x" * 40] + [f"é{i}" for i in range(30)]
        path = os.path.join(self.folder, "letters.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"tokens": tokens, "embeddings": [[i % 5, (i * 3) % 7] for i in range(len(tokens))], "causal": True}, file)
        self.ascii(Document("letters", path))

    def nonfinite(self):
        """Infinities and NaN in CSV: inf, -inf, NaN whatever JSON has, or nothing."""
        given = {"queries": [[1]], "keys": [[2], [2], [3]], "values": [[4], [6], [5]], "mask": {"add": [["Infinity", 0, "-Infinity"]]}}
        wanted = {"masked_scores": ["inf", "2", "-inf"], "weights": ["NaN"] * 3}
        for policy in ("string", "bare", "null"):
            made = self.run("-q", "-f", "csv", "--stages", "masked_scores,weights", "--nonfinite", policy, stdin=json.dumps(given).encode())
            found = {}
            for line in made.text.split("\r\n")[1:-1]:
                cells = line.split(",")
                found.setdefault(cells[0], []).append(cells[-1])
            kept = {s: ["" if policy == "null" and v not in "0123456789" else v for v in values] for s, values in wanted.items()}
            self.report.equal(f"csv --nonfinite {policy}", found, kept)

    def torch(self, document, whole):
        report, name, path = self.report, document.name, document.path
        for more in ([], ["--squeeze"]):
            text = self.run(path, "-f", "torch", *more).text
            parts = re.split(r"^(\w+) = ?\n", text, flags=re.M)
            report.equal(f"{name} -f torch {more}: names", parts[1::2], whole["order"])
            blocks = dict(zip(parts[1::2], parts[2::2]))
            for stage in (whole["order"][-1], whole["order"][0]):
                alone = self.run(path, "-f", "torch", "--stages", stage, *more)
                report.equal(f"{name} -f torch {more} --stages {stage}", alone.text.strip("\n"),
                             blocks.get(stage, "").strip("\n"))
                brackets = len(re.match(r"tensor\((\[*)", alone.text + "tensor(")[1])
                rank = len([s for s in whole["stages"][stage]["shape"] if s != 1 or not more])
                report.equal(f"{name} -f torch {more} --stages {stage}: axes", brackets, rank)

    def listing(self, document, whole):
        report, name = self.report, document.name
        for arguments in (["--stages"], ["--stages="]):
            result = self.run(document.path, *arguments)
            report.equal(f"{name} {arguments[0]} as the last word",
                         [result.status, [w for w in re.findall(r"^(\w+)", result.text, re.M) if w not in ("head_outputs", "states", "lse", "mean_weights")]],
                         [0, whole["order"]])

    def refused(self, document):
        for arguments, word in ((["--stages", "weigths"], "weights"), (["--stages", "nothing_like_it"], "nothing_like_it"),
                                (["--heads", "99"], "99"), (["--rows", "99"], "99"), (["--cols", "0:99"], "99"),
                                (["--batch", "7"], "7"), (["--rows", "nosuchtoken"], "nosuchtoken"),
                                (["--rows", "2:1"], "2:1"), (["--heads", "-1"], "-1"), (["--rows", ""], "--rows")):
            result = self.run(document.path, *arguments, "-f", "json")
            self.report.check(result.status == 2 and not result.out and word in result.said and
                              result.said.startswith("attn-calc: error: "), f"{document.name} {arguments}",
                              f"exit 2 naming {word}", f"exit {result.status} {result.said or result.text[:80]}")

    def head_outputs(self, document, whole):
        """Each head's share of the output: with the bias, which is the same for every query, they sum to it."""
        name = f"{document.name} --stages head_outputs"
        part = self.trace(name, document.path, "--stages", "head_outputs")
        if not part:
            return
        self.report.equal(f"{name}: order", part["order"], ["head_outputs"])
        biases = []
        for shares, output in zip(part["stages"]["head_outputs"]["data"], whole["stages"]["output"]["data"]):
            for query, row in enumerate(output):
                biases.append([number(x) - math.fsum(number(head[query][d]) for head in shares) for d, x in enumerate(row)])
        biases = [row for row in biases if not any(map(math.isnan, row))]
        worst = max((abs(x - y) for row in biases for x, y in zip(row, biases[0])), default=0)
        size = max((abs(y) for y in map(number, leaves(whole["stages"]["output"]["data"])) if y == y), default=0)
        rounded = {"bfloat16": 2.0 ** -6, "float16": 2.0 ** -9}.get(whole["plan"]["dtype"], 0)
        self.report.check(worst < (rounded or 1e-6) * (1 + size), f"{name}: sum and bias are the output", "one bias for all queries", worst)

    def states(self, document, whole):
        """The state after each token, in every format; the last one is `state`."""
        name, arguments = f"{document.name} --stages states", ["--stages", "state,states"]
        part = self.trace(name, document.path, *arguments)
        if not part:
            return
        self.holds("trace", part, name)
        self.report.equal(f"{name}: the last", [head[-1] for item in part["stages"]["states"]["data"] for head in item],
                          [head for item in whole["stages"]["state"]["data"] for head in item])
        self.compare(name, part, self.run(document.path, *arguments, "-f", "ndjson").out,
                     self.run(document.path, *arguments, "-f", "csv").out)
        self.selection(document, part, ["--stages", "states", "--cols", "1"], {"stages": ["states"], "key": [1]})


def main():
    options = parser_of(__doc__).parse_args()
    program, report = program_of(options), Report(options.only)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as workers:
        tests = Tests(program, report, folder)
        tests.load_schemas()
        found = list(documents(folder))[::5 if SANITIZED else 1]  # the release build goes over all of them
        list(workers.map(lambda d: tests.guarded(tests.formats, d), (d for d in found if report.wants(d.name))))
        for name in WRONG_FOR_SCHEMA:
            tests.refuses(name)
        known = [(d, tests.wholes[d.name]) for d in found if d.name in tests.wholes]
        examples = [(d, w) for d, w in known if d.name.startswith("examples/")]
        list(workers.map(lambda pair: tests.guarded(tests.selections, *pair), examples))
        list(workers.map(lambda pair: tests.guarded(tests.writing, *pair), examples))
        for document, whole in examples[:1]:
            tests.refused(document)
        tests.without_numbers()
        tests.nonfinite()
        tests.every_letter()
        list(workers.map(lambda pair: tests.guarded(tests.ascii, pair[0]), examples))
        for document, whole in known:
            if "output" in whole["stages"] and "normed_concat" not in whole["stages"] and whole["plan"]["sizes"]["head"] > 1:
                tests.guarded(tests.head_outputs, document, whole)
            if "state" in whole["stages"]:
                tests.guarded(tests.states, document, whole)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
