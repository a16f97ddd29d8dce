"""A trace equals itself in every format, as what a document computes and beside any other format; a changed number is named
at its place; a part of a trace equals the whole cut alike."""
import copy
import json
import sys

import drawn_cases as cases
from drawn_cases import Wrong, np

FORMATS = ("json", "ndjson", "csv", "npz", "safetensors")


def compare(tools, theirs, ours, status, *words):
    """The JSON report of diff."""
    done = tools.good("diff", theirs, ours, "-f", "json", *words, status=status)
    report = cases.json_values(done.out)[0]
    if report["equal"] != (status == 0):
        raise Wrong("diff: the report says otherwise than the exit", f"{theirs} {ours}: {done.text[:300]}")
    return report


def as_format(tools, stem, form, *words):
    name = f"{stem}.{form}"
    tools.good("run", "d.json", "-q", "-o", name, *words)
    return name


def change(trace, rng):
    """(trace, stage, place) with one number moved by much more than a tolerance; a word becomes a number."""
    trace = copy.deepcopy(trace)
    stage = rng.choice(trace["order"])
    shape = trace["stages"][stage]["shape"]
    place = [rng.randrange(n) for n in shape]
    row = trace["stages"][stage]["data"]
    for k in place[:-1]:
        row = row[k]
    old = row[place[-1]]
    numbers = [abs(x) for x in cases.np.ravel(cases.array(trace["stages"][stage]["data"], "float64")) if np.isfinite(x)]
    row[place[-1]] = 1.5 if isinstance(old, str) else old + rng.choice((-1, 1)) * (0.5 + 0.1 * max(numbers, default=0))
    return trace, stage, place


def as_four(place, shape):
    """Tokens and rows of `states` are one axis in diff, as in a CSV."""
    return place if len(place) < 5 else place[:2] + [place[2] * shape[3] + place[3], place[4]]


def check(tools, document, rng):
    tools.write("d.json", document)
    listed = cases.stages_of(tools, "d.json")
    words = [] if rng.random() < 0.7 else ["--stages", ",".join(listed[k] for k in cases.pick(rng, len(listed)))]
    theirs = as_format(tools, "theirs", rng.choice(FORMATS), *words)
    compare(tools, theirs, "d.json", 0)
    ours = as_format(tools, "ours", rng.choice(FORMATS), *words)
    compare(tools, theirs, ours, 0)
    trace = cases.json_values(tools.read(as_format(tools, "whole", "json", *words)))[0]
    check_part(tools, trace, ours, rng)
    changed, stage, place = change(trace, rng)
    tools.write("changed.json", changed)
    form = rng.choice(("json", "npz", "safetensors", "csv"))
    if form != "json":
        tools.good("convert", "changed.json", "-q", "-o", "changed." + form)
    for beside in ("d.json", ours):
        report = compare(tools, "changed." + form, beside, 1)
        wrong = [s["name"] for s in report["stages"] if not s.get("equal", True)]
        if wrong != [stage] or report["first"] != stage:
            raise Wrong("diff: another stage is named", f"{stage}{place}: {wrong}, first {report['first']}")
        found = [s for s in report["stages"] if s["name"] == stage][0]
        if found["at"] not in (place, as_four(place, trace["stages"][stage]["shape"])):
            raise Wrong("diff: another place is named", f"{stage}{place}: {found['at']}")
        if found["outside"] != 1:
            raise Wrong("diff: other numbers differ", f"{stage}{place}: {found['outside']}")


def check_part(tools, trace, ours, rng):
    sizes = trace["plan"]["sizes"]
    words = []
    for option, axis in (("--rows", "query"), ("--heads", "head"), ("--batch", "batch"), ("--cols", "key")):
        if rng.random() < 0.4:
            words += [option, cases.spoken(cases.pick(rng, sizes[axis]))]
    part = as_format(tools, "part", rng.choice(FORMATS), "--stages", ",".join(trace["order"]), *words)
    for beside in ("d.json", ours):
        done = tools.call("diff", part, beside)
        if done.status != 0:
            raise Wrong("diff: a part does not equal the whole", f"{part} {words} {beside}: {done.text[:300]}{done.said[:300]}")


if __name__ == "__main__":
    sys.exit(cases.run(check, __doc__, 120))
