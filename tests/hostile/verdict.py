"""What is looked at in the outcome of a hostile case: each function gives the faults that it finds, as sentences."""
import csv
import html.parser
import io
import math
import os
import re
import struct
import xml.etree.ElementTree as ET

from harness import CSV_HEADER, NOT_FINITE, float32, json_values, leaves, number, same, shape_of

MEMBERS = ["schema", "tool", "variant", "plan", "tokens", "order", "stages", "warnings"]
SVG_ELEMENTS = {"svg", "title", "desc", "style", "defs", "linearGradient", "stop", "pattern", "path", "g", "text", "tspan", "rect", "image"}
HTML_ELEMENTS = {"html", "head", "meta", "title", "link", "style", "body", "header", "h1", "h2", "p", "nav", "main", "section", "div", "span",
                 "label", "select", "button", "canvas", "output", "script"}
HTML_ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "rel", "href", "id", "class", "type", "hidden", "role", "tabindex",
                   "aria-label", "aria-labelledby", "aria-describedby", "aria-live", "aria-hidden", "aria-roledescription"}
LONGEST_MESSAGE, LONGEST_SHORT_MESSAGE = 8000, 2000
# Marks that change the direction of text or end a line without being seen.
UNSEEN = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C, 0x2028, 0x2029}


def raw_characters(raw, allowed="\n"):
    """Characters that act on a terminal instead of being shown, broken UTF-8 among them."""
    def acts(code):
        return (code < 0x20 and chr(code) not in allowed or 0x7F <= code <= 0x9F or code in UNSEEN or
                0xDC80 <= code <= 0xDCFF)

    return " ".join(sorted({f"U+{ord(c):04X}" for c in raw.decode("utf-8", "surrogateescape") if acts(ord(c))})[:6])


def warned(result):
    """How many lines of standard error are warnings."""
    return sum(bool(re.search(r"\bwarning\b", line, re.I)) for line in result.said.split("\n"))


# --- an error ----------------------------------------------------------------------------------------------------


def faults_of_message(record, result, path):
    """The diagnostic: its form and length, the place, the name at fault, the name that was meant."""
    text = result.said
    first = text.split("\n")[0]
    if not text.strip():
        yield "FORM no diagnostic"
        return
    if not first.startswith("attn-calc: error: "):
        yield f"FORM expected `attn-calc: error: ...`, found {first[:80]}"
    most = LONGEST_SHORT_MESSAGE if "short_stderr" in record.get("checks", []) else LONGEST_MESSAGE
    if len(result.err) > most:
        yield f"FORM the diagnostic has {len(result.err)} bytes, more than {most}"
    file = os.path.basename(path)
    place = re.search(re.escape(file) + r":(\d+):(\d+)\b", first)
    if record.get("position") and not place:
        yield f"POSITION expected {file}:LINE:COLUMN, found {first[:120]}"
    if place and int(place[1]) != record.get("line", int(place[1])):
        yield f"POSITION expected line {record['line']}, found {place[1]}"
    # The name of the file and the quoted line of it do not count as naming what is wrong.
    words = text
    for name in filter(None, (path, file)):
        words = words.replace(name, "")
    words = "\n".join(line for line in words.split("\n") if not re.match(r"\s*\d*\s*\|", line))
    keys = record.get("key") or []
    keys = [keys] if isinstance(keys, str) else keys
    if keys and not any(key in words for key in keys):
        yield f"KEY expected {' or '.join(keys)}, found {words[:160]}"
    if record.get("suggest", "") not in words:
        yield f"SUGGEST expected {record['suggest']}, found {words[:160]}"
    unnamed = [name for name in record.get("names", []) if name not in words]
    if unnamed:
        yield f"KEY expected {' and '.join(unnamed)}, found {words[:160]}"


# --- a trace -----------------------------------------------------------------------------------------------------


def faults_of_trace(raw, record, whole):
    """-> the traces if all are well-formed, else none; what is wrong with their form."""
    try:
        traces = json_values(raw)
        wanted = record.get("documents", 1)
        if len(traces) != wanted:
            raise ValueError(f"expected {wanted} traces, found {len(traces)}")
        for trace in traces:
            expect_form(trace, whole)
    except (ValueError, RecursionError) as error:
        return [], [f"TRACE {str(error)[:160]}"]
    return traces, []


def expect_form(trace, whole=True):
    """Raises ValueError if a trace has not the form that was promised."""
    def expect(good, what):
        if not good:
            raise ValueError(what)

    expect(isinstance(trace, dict), "no object")
    expect(trace.get("schema") == "attn-calc/trace/1", f"schema {trace.get('schema')!r}")
    expect(isinstance(trace.get("warnings"), list), "no list of warnings")
    expect(isinstance(trace.get("stages"), dict), "no stages")
    if whole:
        expect([name for name in trace if name in MEMBERS] == MEMBERS, f"members {','.join(trace)[:120]}")
        expect(isinstance(trace["order"], list) and set(trace["order"]) <= set(trace["stages"]),
               "order names stages that are not there")
    for name, stage in trace["stages"].items():
        expect(isinstance(stage, dict) and "shape" in stage and "data" in stage, f"{name} has no shape or no data")
        numbers = leaves(stage["data"])
        expect(shape_of(stage["data"]) == stage["shape"] and len(numbers) == math.prod(stage["shape"]),
               f"{name}: shape {stage['shape']}, data {shape_of(stage['data'])} of {len(numbers)} numbers")
        odd = [x for x in numbers if isinstance(x, bool) or not isinstance(x, (int, float)) and
               not (isinstance(x, str) and x in NOT_FINITE)]
        expect(not odd, f"{name} holds {odd[:1]}")


def rows(trace, name):
    """(query, row) of a stage [batch, head, query, ...]."""
    for item in trace["stages"].get(name, {}).get("data", []):
        for head in item:
            for query, row in enumerate(head):
                yield query, [number(x) for x in row]


# --- numbers -----------------------------------------------------------------------------------------------------


def steps_between(a, b, dtype):
    """How many floats of a dtype lie from a to b."""
    small = dtype == "float32"

    def place(x):
        bits = struct.unpack("i", struct.pack("f", float32(x)))[0] if small else struct.unpack("q", struct.pack("d", x))[0]
        return bits if bits >= 0 else -(bits & (2**31 - 1 if small else 2**63 - 1))

    return abs(place(a) - place(b))


def fits(found, wanted, spec):
    if math.isnan(found) or math.isnan(wanted):
        return math.isnan(found) and math.isnan(wanted)
    if "bound" in spec:
        return abs(found - wanted) <= spec["bound"]
    return steps_between(found, wanted, spec.get("dtype", "float32")) <= spec.get("tol_ulp", 0)


def faults_of_stage(name, spec, trace):
    found = [number(x) for x in leaves(trace["stages"].get(name, {}).get("data", []))]
    if "each" in spec:
        wanted = {i: spec["each"] for i in range(len(found))}
    elif "at" in spec:
        wanted = {int(i): value for i, value in spec["at"].items()}
    else:
        wanted = dict(enumerate(leaves(spec["data"])))
        if len(found) != len(wanted):
            yield f"NUMBER expected {len(wanted)} numbers in {name}, found {len(found)}"
            return
    if not found or max(wanted) >= len(found):
        yield f"NUMBER {name} has only {len(found)} numbers"
        return
    for i, value in wanted.items():
        if not fits(found[i], number(value), spec):
            yield f"NUMBER expected {number(value)!r} in {name}[{i}], found {found[i]!r}"
            return


def faults_of_numbers(record, traces, document, quiet):
    checks = record.get("checks", [])
    if quiet and "nan_rows" not in record:
        for trace in traces:
            for name, stage in trace["stages"].items():
                allowed = {"-Infinity"} if name.endswith("_scores") else set()
                odd = sorted({x for x in leaves(stage["data"]) if isinstance(x, str)} - allowed)
                if odd:
                    yield f"SILENT {'/'.join(odd)} in {name} and no warning"
    if traces and isinstance(document, dict) and isinstance(document.get("tokens"), list):
        if traces[0]["tokens"].get("query") != document["tokens"]:
            yield f"TRACE expected the tokens {document['tokens']!r:.80}, found {traces[0]['tokens']!r:.80}"
    for trace in traces:
        for query, row in rows(trace, "weights") if "rows_sum_to_one" in checks else ():
            total = math.fsum(row) if all(map(math.isfinite, row)) else math.nan
            if not abs(total - 1) <= 1e-5:
                yield f"NUMBER expected 1 as the sum of row {query} of weights, found {total!r}"
                break
        for name in ("weights", "context"):
            if any(any(x != 0 for x in row) for query, row in rows(trace, name) if query in record.get("zero_rows", [])):
                yield f"NUMBER expected zeros in the empty rows of {name}"
        if not all(all(map(math.isnan, row)) for query, row in rows(trace, "weights")
                   if query in record.get("nan_rows", [])):
            yield "NUMBER expected NaN in the empty rows of weights"
        if "equal_rows" in checks and len({struct.pack(f"{len(row)}d", *row) for _, row in rows(trace, "weights")}) != 1:
            yield "NUMBER expected equal rows of weights"
        if "values" in record:
            found = [number(x) for x in leaves(trace["stages"].get("queries", {}).get("data", []))]
            wanted = [number(x) for x in record["values"]]
            if len(found) != len(wanted) or not all(map(same, found, wanted)):
                yield f"NUMBER expected the queries {wanted[:6]}, found {found[:6]}"
        for name, spec in record.get("stages", {}).items():
            yield from faults_of_stage(name, spec, trace)


# --- other formats -----------------------------------------------------------------------------------------------


def faults_of_format(form, raw):
    allowed = {"text": "\n", "csv": "\n\r\t", "svg": "\n", "html": "\n"}.get(form)
    if allowed and raw_characters(raw, allowed):
        yield f"raw {raw_characters(raw, allowed)}"
    try:
        text = raw.decode("utf-8")
        if form == "csv":
            yield from faults_of_csv(text)
        elif form == "ndjson":
            yield from faults_of_ndjson(raw)
        elif form == "svg":
            yield from faults_of_svg(text)
        elif form == "html":
            yield from faults_of_html(text)
    except (ValueError, csv.Error, ET.ParseError) as error:
        yield f"malformed: {str(error)[:120]}"


class Elements(html.parser.HTMLParser):
    """Elements of a page in order, as a browser finds them, and the text of its scripts."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.scripts = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, attrs))
        if tag == "script":
            self.scripts.append("")

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        if self.scripts and self.found[-1][0] == "script":
            self.scripts[-1] += data


def faults_of_html(text):
    """No element or attribute but those of the page itself and of its picture; its data is JSON that ends no script."""
    page = Elements(text)
    pictures = {name.lower() for name in SVG_ELEMENTS}
    for tag, attributes in page.found:
        if tag not in HTML_ELEMENTS | pictures:
            yield f"an element {tag}"
        for name, value in attributes:
            if name not in HTML_ATTRIBUTES and (tag not in pictures or name.startswith("on")):
                yield f"an attribute {name} of {tag}"
            if name in ("src", "href", "xlink:href") and not (value or "").startswith("data:"):
                yield f"{tag} fetches {value}"
    kinds = [dict(attributes).get("type") for tag, attributes in page.found if tag == "script"]
    if kinds.count("module") != 1 or kinds[-1] != "module" or set(kinds) - {"module", "application/json", "text/plain"}:
        yield f"scripts {kinds[:6]}"
    data = [text for text, kind in zip(page.scripts, kinds) if kind == "application/json"]
    if len(data) != 1 or "<" in data[0] or not isinstance(json_values(data[0].encode())[0], dict):
        yield "the data is not one JSON object without <"


def faults_of_svg(text):
    """No element or attribute but those that a picture is made of; nothing is fetched."""
    for element in ET.fromstring(text).iter():
        name = element.tag.rsplit("}", 1)[-1]
        if name not in SVG_ELEMENTS:
            yield f"an element {name}"
        for attribute, value in element.attrib.items():
            if attribute.lower().startswith("on") or attribute == "href" and not value.startswith("data:image/png;base64,"):
                yield f"{name} {attribute}={value[:40]}"
    if re.search(r"<!|<\?|@import", text) or "url(" in re.sub(r"url\(#attn-[a-z]+\)", "", re.sub(r"<(title|text|desc)\b[^>]*>[^<]*", "", text)):
        yield "a declaration, an instruction, or a style from elsewhere"


def faults_of_csv(text):
    header, *lines = list(csv.reader(io.StringIO(text, newline=""), strict=True)) or [[]]
    if header != CSV_HEADER:
        yield f"expected the header {','.join(CSV_HEADER)}, found {','.join(header)[:100]}"
    if any(len(line) != len(CSV_HEADER) for line in lines):
        yield "lines of another length than the header"
        return
    for line in lines:
        for cell in (line[0], line[5], line[6]):
            if cell.startswith(("=", "+", "-", "@", "\t", "\r")):
                yield f"a cell begins a formula: {cell[:40]}"
                return


def faults_of_ndjson(raw):
    *lines, rest = raw.split(b"\n")
    if rest or not lines:
        yield "the last line has no end"
        return
    events = []
    for line in lines:
        values = json_values(line)
        if len(values) != 1 or not isinstance(values[0], dict) or "event" not in values[0]:
            yield f"a line is no event: {line[:80]!r}"
            return
        events.append(values[0]["event"])
    if events[0] != "begin" or events[-1] != "end":
        yield f"expected begin ... end, found {events[0]} ... {events[-1]}"
