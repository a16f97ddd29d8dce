"""All formats hold the same numbers, with any number of threads: JSON, NDJSON, CSV, npz, npy and safetensors every bit, text,
Markdown, LaTeX and torch as far as they have digits."""
import csv
import io
import json
import re
import sys

import drawn_cases as cases
from drawn_cases import Wrong, array, first_difference, need_same, np, same

sys.path.insert(0, cases.os.path.join(cases.SOURCE, "tests", "render"))
import tables  # noqa: E402
import tensor_readers  # noqa: E402

EXACT = ("json", "ndjson", "csv", "npz", "safetensors")
WORDS = {"inf": np.inf, "-inf": -np.inf, "nan": np.nan, "NaN": np.nan, "·": 0.0, "Infinity": np.inf, "-Infinity": -np.inf}


def matrices(stage):
    """The tables of a stage, in order: two axes each."""
    a, axes = stage["array"], stage["axes"]
    if axes[-2] == "head" or axes[-2] == "batch":  # one number for each key
        a = a[..., None, :]
    return a.reshape((-1,) + a.shape[-2:])


def from_ndjson(raw, trace):
    found = {n: np.full(s["shape"], np.nan, s["dtype"]) for n, s in trace["stages"].items()}
    filled = {n: np.zeros(s["shape"], bool) for n, s in trace["stages"].items()}
    events = [json.loads(line) for line in raw.decode().splitlines()]
    if [events[0]["event"], events[-1]["event"]] != ["begin", "end"] or events[-1]["stages"] != len(found):
        raise Wrong("ndjson: no begin or end")
    for event in events[1:-1]:
        stage = trace["stages"][event["name"]]
        rows = stage["axes"][-2] not in ("batch", "head")  # else one number for each key
        at = tuple(event[a] for a in stage["axes"][:-2 if rows else -1])
        place = at + (slice(*event["rows"]),) if rows else at
        block = array(event["data"], stage["dtype"]).reshape(found[event["name"]][place].shape)
        if filled[event["name"]][place].any():
            raise Wrong("ndjson: a block is there twice")
        found[event["name"]][place] = block
        filled[event["name"]][place] = True
    if not all(f.all() for f in filled.values()):
        raise Wrong("ndjson: a row is missing")
    return found


def from_csv(raw, trace):
    found = {n: np.full(s["shape"], np.nan, s["dtype"]) for n, s in trace["stages"].items()}
    counts = {n: 0 for n in found}
    for line in csv.DictReader(io.StringIO(raw.decode(), newline="")):
        stage = trace["stages"][line["stage"]]
        axes, shape = stage["axes"], stage["shape"]
        at = [int(line["batch"])] + ([int(line["head"])] if axes[1] == "head" else [])
        row = int(line["row"]) if line["row"] else 0
        if len(shape) == 5:
            at += [row // shape[3], row % shape[3]]
        elif len(shape) > len(at) + 1:
            at.append(row)
        at.append(int(line["column"]))
        text = line["value"]
        found[line["stage"]][tuple(at)] = WORDS[text] if text in WORDS else float(text)
        counts[line["stage"]] += 1
    for name, n in counts.items():
        if n != found[name].size:
            raise Wrong("csv: cells are missing or there twice", name)
    return found


def exact_of(tools, stem, trace):
    """{format: {stage: array}}"""
    numpy_file = np.load(tools.path(stem + ".npz"))
    held, _ = tensor_readers.safetensors(tools.read(stem + ".safetensors"))
    return {"ndjson": from_ndjson(tools.read(stem + ".ndjson"), trace), "csv": from_csv(tools.read(stem + ".csv"), trace),
            "npz": {n: numpy_file[n] for n in trace["order"]}, "safetensors": {n: held[n] for n in trace["order"]}}


def stands_for(text, x, digits=0):
    """A printed number is the nearest one of its digits; ~0 is not 0, but rounds to it."""
    text = text.replace("{\\sim}", "~")
    if text in ("~0", "-~0"):
        return 0 < abs(x) <= 0.5 * 10.0 ** -digits and (x < 0) == (text[0] == "-")
    if text in WORDS:
        v = WORDS[text]
        return x == v or (np.isnan(x) and np.isnan(v))
    if not re.fullmatch(r"-?\d+\.?\d*(e[+-]?\d+)?", text):
        return False
    mantissa, _, exponent = text.partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return abs(float(text) - float(x)) <= 0.5 * unit * (1 + 1e-6) + 1e-15 * abs(float(x))


def need_digits(kind, cells, numbers, digits):
    if [len(r) for r in cells] != [numbers.shape[1]] * numbers.shape[0]:
        raise Wrong(kind + ": other rows or columns", f"{[len(r) for r in cells]} and {numbers.shape}")
    for i, row in enumerate(cells):
        for j, text in enumerate(row):
            if not stands_for(text, numbers[i, j], digits):
                raise Wrong(kind, f"row {i}, column {j} is {text}, expected {numbers[i, j]!r}")


def check_tables(kind, found, trace, digits):
    """found: (stage, rows of cells) in order"""
    expected = [(n, m) for n in trace["order"] for m in matrices(trace["stages"][n])]
    if [n for n, _ in found] != [n for n, _ in expected]:
        raise Wrong(kind + ": other tables", f"{[n for n, _ in found]} and {[n for n, _ in expected]}")
    for (name, cells), (_, numbers) in zip(found, expected):
        need_digits(f"{kind}: a number", cells, numbers, digits)


def from_text(text, trace):
    """The last rows of each block of lines; its first lines are names and columns."""
    name, found = None, []
    for block in re.split(r"\n\n+", text.strip("\n")):
        lines = [line for line in block.split("\n") if not line.startswith("~0 is not 0")]
        heading = re.match(r"(\w+) = ", lines[0])
        if heading and heading[1] in trace["order"]:
            name, lines = heading[1], lines[1:]
        elif name is None:
            continue
        shape = matrices(trace["stages"][name]).shape[1:]
        found.append((name, [line.split()[-shape[1]:] for line in lines[-shape[0]:]]))
    return found


def from_md(text, _):
    name, found = None, []
    for block in tables.markdown_blocks(text):
        if block[:2] == ("heading", 2):
            name = tables.plain(block[2])
        elif block[0] == "table":
            found.append((name, [row[1:] for row in block[2]]))
    return found


def from_tex(text, _):
    name, found = None, []
    for part in tables.latex_parts(text):
        if part[0] == "heading":
            name = tables.latex_plain(part[1]).split(" ")[0] if " = " in part[1] else tables.latex_plain(part[1])
        elif part[0] == "table":
            found.append((name, [[tables.latex_number(c) for c in row[1:]] for row in part[2]]))
    return found


def check_torch(text, trace):
    parts = re.split(r"(?m)^(\w+) = ?$", text)[1:] if len(trace["order"]) > 1 else [trace["order"][0], text]
    if parts[::2] != trace["order"]:
        raise Wrong("torch: other stages", f"{parts[::2]}")
    for name, part in zip(parts[::2], parts[1::2]):
        numbers = trace["stages"][name]["array"]
        if "..." in part:
            continue
        cells = re.findall(r"-?(?:inf|nan|\d+\.?\d*(?:e[+-]?\d+)?)", re.sub(r"tensor|dtype=torch\.float64", "", part))
        if len(cells) != numbers.size:
            raise Wrong("torch: other numbers", f"{name}: {len(cells)} of {numbers.size}")
        for cell, x in zip(cells, numbers.ravel()):
            if not stands_for(cell, x):
                raise Wrong("torch: a number", f"{name}: {cell}, expected {x!r}")


def check(tools, document, rng):
    tools.write("d.json", document)
    listed = cases.stages_of(tools, "d.json")
    stages = [] if rng.random() < 0.5 else ["--stages", ",".join(listed[k] for k in cases.pick(rng, len(listed)))]
    outputs = [w for f in EXACT for w in ("-o", f"a.{f}")]
    tools.good("run", "d.json", "-q", *stages, *outputs, "--threads", "1")
    trace = cases.with_arrays(cases.json_values(tools.read("a.json"))[0])
    outputs = [w for f in EXACT for w in ("-o", f"b.{f}")]
    tools.good("run", "d.json", "-q", *stages, *outputs, "--threads", str(rng.randint(2, 7)))
    for form in EXACT:
        if tools.read("a." + form) != tools.read("b." + form):
            raise Wrong(f"{form}: other bytes with other threads")
    for form, found in exact_of(tools, "a", trace).items():
        for name in trace["order"]:
            need_same(f"{form}: a number", found[name], trace["stages"][name]["array"])
    one = rng.choice(trace["order"])
    tools.good("run", "d.json", "-q", "--stages", one, "-o", "a.npy")
    alone, whole = np.load(tools.path("a.npy")), trace["stages"][one]["array"]
    if not same(alone, whole) and not np.allclose(alone, whole, rtol=1e-4 if whole.dtype == np.float32 else 1e-10, atol=1e-5, equal_nan=True):
        raise Wrong("npy: a number", f"{one} {first_difference(alone, whole)}")
    digits = str(rng.choice((2, 4, 4, 9)))
    if max(matrices(stage).shape[1] for stage in trace["stages"].values()) > 24:
        return  # the tables leave rows out
    for form, read in (("txt", from_text), ("md", from_md), ("tex", from_tex)):
        tools.good("run", "d.json", "-q", *stages, "-o", "t." + form, "-p", digits, "--width", "10000")
        check_tables(form, read(tools.read("t." + form).decode(), trace), trace, int(digits))
    check_torch(tools.good("run", "d.json", "-q", *stages, "-f", "torch").text, trace)


if __name__ == "__main__":
    sys.exit(cases.run(check, __doc__, 120))
