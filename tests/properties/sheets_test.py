"""Workbooks of random documents: each formula, calculated by tests/workbook.py, gives the trace's number, and what the workbook tells
those who do not calculate is the trace's number too; also of parts of a run."""
import math
import sys

import drawn_cases as cases
from drawn_cases import Wrong

from workbook import FAULT, Bad, Workbook  # noqa: E402

sys.setrecursionlimit(100000)
WORDS = {math.inf: "inf", -math.inf: "-inf"}


def is_same(found, number, tolerance):
    if math.isfinite(number):
        return isinstance(found, float) and abs(found - number) <= tolerance * max(1.0, abs(number))
    return found is FAULT or found == WORDS.get(number, "NaN")


def check(tools, document, rng):
    document["dtype"] = "float64"  # as a spreadsheet calculates
    tools.write("d.json", document)
    words = ["--stages", ",".join(cases.stages_of(tools, "d.json"))]
    trace = tools.trace("d.json", *words)
    for flag, axis in (("--rows", "query"), ("--heads", "head"), ("--batch", "batch"), ("--cols", "key")):
        n = {"query": trace["tokens"]["query"], "key": trace["tokens"]["key"]}.get(axis)
        n = len(n) if n is not None else trace["plan"]["sizes"][axis]
        if n > 1 and rng.random() < 0.15:
            words += [flag, cases.spoken(cases.pick(rng, n))]
    trace = tools.trace("d.json", *words)
    tools.good("run", "d.json", "-q", *words, "-o", "d.xlsx")
    try:
        book = Workbook(tools.read("d.xlsx"))
        for name, stage in trace["stages"].items():
            sheet = book.sheets[name]
            places, numbers = list(book.cells(stage["axes"], stage["shape"])), [float(x) for x in stage["array"].ravel()]
            if len(places) != len(numbers):
                raise Wrong("a stage of another size", name)
            for at, number in zip(places, numbers):
                stored, found = sheet.values.get(at), book.value(name, at)
                if not is_same(stored, number, 1e-14) and not (at in sheet.arrays and not math.isfinite(number)):
                    raise Wrong(f"{name}: a number as written", f"{at}: {stored!r}, expected {number!r}")
                if not is_same(found, number, 1e-9):
                    raise Wrong(f"{name}: a formula", f"{at} {sheet.formulas.get(at)}: {found!r}, expected {number!r}")
    except Bad as bad:
        raise Wrong("a workbook that cannot be read", str(bad)) from bad


if __name__ == "__main__":
    sys.exit(cases.run(check, __doc__, 80))
