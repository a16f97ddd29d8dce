"""Every row of the table "The edges as documents" of docs/numerics.md is run in the types that it speaks of, on its own values only."""
import json
import os
import re
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Report, execute, number, parser_of, program_of  # noqa: E402

ROW = re.compile(r"^\| (?P<case>[^|]+) \| `(?P<document>\{[^|]+\})` \| (?P<results>[^|]+) \|$", re.M)
RESULT = re.compile(r"(warning )?`([^`]+)`")
CLAIM = re.compile(r"(?P<stage>\w+)(?P<place>(\[\d+\])*) (?P<sign>[=≈]) (?P<value>.+?)(?P<units> within \d+ units)?")


def numbers(value):
    return [numbers(v) for v in value] if isinstance(value, list) else number(value)


class Case:
    def __init__(self, program, match, report):
        self.program, self.report = program, report
        self.name, self.document = match["case"].strip(), json.loads(match["document"])
        self.results = RESULT.findall(match["results"])

    def stage_of(self, trace, name):
        return np.array(numbers(trace["stages"][name]["data"]), dtype=np.float64)

    def claim(self, trace, text, dtype):
        claim = CLAIM.fullmatch(text)
        found = np.squeeze(self.stage_of(trace, claim["stage"]).astype(dtype).astype(np.float64), axis=(0, 1))
        for k in re.findall(r"\d+", claim["place"]):
            found = found[int(k)]
        mean = re.fullmatch(r"mean\((\w+)\)", claim["value"])
        wanted = (np.mean(self.stage_of(trace, mean[1]), axis=(0, 1, 2)) if mean
                  else np.array(numbers(json.loads(claim["value"])), dtype=np.float64))
        if wanted.ndim == 2 and wanted.shape != found.shape:
            return self.report.check(False, f"{self.name}, {dtype}: {text}", wanted.shape, found.shape)
        with np.errstate(over="ignore", under="ignore"):
            wanted = np.broadcast_to(wanted.astype(dtype).astype(np.float64), found.shape)
        units = int(re.search(r"\d+", claim["units"])[0]) if claim["units"] else 4
        with np.errstate(invalid="ignore"):
            slack = units * np.abs(np.spacing(wanted.astype(dtype))).astype(np.float64) if claim["sign"] == "≈" else 0
            same = (found == wanted) | (np.isnan(found) & np.isnan(wanted)) | (np.abs(found - wanted) <= slack)
        return self.report.check(bool(np.all(same)), f"{self.name}, {dtype}: {text}", wanted.tolist(), found.tolist())

    def run(self):
        for dtype in [self.document["dtype"]] if "dtype" in self.document else ["float32", "float64"]:
            done = execute([self.program, "-f", "json", "--dtype", dtype], os.curdir, stdin=json.dumps(self.document).encode())
            if not self.report.check(done.status == 0, f"{self.name}, {dtype}", "exit 0", done.said):
                continue
            trace = json.loads(done.out)
            expected = [text for warning, text in self.results if warning]
            said = trace["warnings"]
            self.report.check(len(said) == len(expected) and all(s.startswith(e) for s, e in zip(said, expected)),
                              f"{self.name}, {dtype}: warnings", expected, said)
            self.report.check(done.err.decode().count("warning: ") == len(expected), f"{self.name}, {dtype}: standard error",
                              f"{len(expected)} warnings", done.said)
            for warning, text in self.results:
                if not warning:
                    self.claim(trace, text, dtype)


def main():
    report = Report()
    program = program_of(parser_of(__doc__).parse_args())
    with open(os.path.join(SOURCE, "docs", "numerics.md"), encoding="utf-8") as file:
        table = file.read().split("## The edges as documents")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "`{" in line]
    cases = [Case(program, match, report) for match in ROW.finditer(table)]
    report.check(len(cases) == len(rows) >= 20, "every row is understood", len(rows), len(cases))
    for case in cases:
        report.check(bool(case.results), case.name, "something that comes out", "nothing")
        case.run()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
