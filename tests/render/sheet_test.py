"""Workbooks of -o x.xlsx, calculated by tests/workbook.py: every formula gives the number of the trace, a changed number changes all
that follows, what is no formula is marked; texts do not act; equal documents are equal bytes; what does not fit is refused."""
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import NOT_FINITE, SANITIZED, SOURCE, Report, environment, execute, json_values, leaves, parser_of, program_of  # noqa: E402
from workbook import FAULT, LIMIT, Workbook, sheet_of  # noqa: E402

# Stages that hold values by design, and what their sheet says; every other stage of every document has formulas.
RECURRENT = {"linear", "delta"}
# What no formula of a cell says of gradients.
NO_FORMULA = {"what comes back from token to token is no formula of a cell", "what is carried from token to token is no formula of a cell",
              "what a convolution sends back is no formula of a cell", "what is clamped sends nothing back beyond its bound",
              "what a norm over all heads sends back is too long a formula", "the gate's own gradient is no stage of its own",
              "a rotary part is turned before it is a stage", "a sum over all that it served is no formula of a cell",
              "a sum of so many parts is too long a formula", "rows without a visible key have no part in it",
              "the gate is no product with a matrix here", "pairs of all distances share a bucket"}
STATE_STAGES = {"decay", "beta", "context", "state", "states"}
TOKENS = ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\t=1", "_x0041_", "a\x01b\x1b[31m\u202e", "<b>&amp;\"'", "\ufffe\uffff",
          "", " ", "x" * 40000, "\U0001F600" * 20000]


def close(a, b, tolerance):
    if isinstance(b, str):  # Infinity, -Infinity, NaN of the trace
        return a in ({"-Infinity": ("-inf",), "Infinity": ("inf", FAULT), "NaN": ("NaN", FAULT)}[b])
    return isinstance(a, float) and abs(a - b) <= tolerance * max(1.0, abs(b))


class Tests:
    def __init__(self, program, report, folder):
        self.program, self.report, self.folder = program, report, folder

    def run(self, *arguments, **more):
        return execute([self.program, *arguments], self.folder, **more)

    def write(self, content, name="x.json"):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            json.dump(content, file)
        return name

    def both(self, path, *arguments):
        """The workbook and the trace of one run."""
        result = self.run(path, "-o", "x.xlsx", "-f", "json", *arguments)
        if result.status != 0:
            return None, result
        with open(os.path.join(self.folder, "x.xlsx"), "rb") as file:
            raw = file.read()
        os.remove(os.path.join(self.folder, "x.xlsx"))
        return Workbook(raw), json_values(result.out)[0]

    def stages_of(self, path):
        listed = self.run(path, "--stages").text
        return ",".join(line.split()[0] for line in listed.splitlines())

    def agrees(self, name, book, trace, tolerance, written=1e-14):
        """Each number: as it is calculated, and as it was written for those who do not calculate."""
        for stage, content in trace["stages"].items():
            sheet, wrong = book.sheets[sheet_of(stage)], []
            for at, number in zip(book.cells(content["axes"], content["shape"]), leaves(content["data"])):
                found = book.value(sheet.name, at)
                stored = sheet.values.get(at)
                # The library writes 16 digits; of an array's cells those that are not finite are left out.
                if not close(stored, number, written) and not (at in sheet.arrays and isinstance(number, str) and stored is None):
                    wrong.append((at, "written", stored, number))
                elif not close(found, number, tolerance):
                    wrong.append((at, sheet.formulas.get(at), found, number))
            self.report.check(not wrong, f"{name}: {stage}", "the numbers of the trace", wrong[:3])
        for sheet in book.sheets.values():  # parts beside stages, masks, angles: what was written is what comes out
            for at in sheet.formulas:
                found, stored = book.value(sheet.name, at), sheet.values.get(at)
                good = found is FAULT and stored in ("NaN", "inf") or found == stored or (
                    isinstance(found, float) and isinstance(stored, float) and abs(found - stored) <= max(tolerance, 1e-6) * max(1, abs(found)))
                if not good:
                    self.report.check(False, f"{name}: {sheet.name} {at} {sheet.formulas[at]}", found, stored)

    def marks(self, name, book, trace):
        """Live sheets have a formula for each number, the others say why not."""
        live = set()
        for stage, content in trace["stages"].items():
            sheet = book.sheets[sheet_of(stage)]
            note = sheet.values[2, 0]
            formulas = [at in sheet.formulas or at in sheet.arrays for at in book.cells(content["axes"], content["shape"])]
            if all(formulas) and formulas:
                live.add(stage)
                self.report.check(note.startswith("formulas: "), f"{name}: {stage} says that it calculates", "formulas", note)
            else:
                self.report.check(note.startswith(("values, no formulas: ", "the document's own numbers")),
                                  f"{name}: {stage} says that it does not calculate", "values", note)
        return live

    # --- every document ---------------------------------------------------------------------------------------------

    def documents(self):
        for part in ("examples", "cases"):
            for place, _, names in sorted(os.walk(os.path.join(SOURCE, "data", part))):
                for name in sorted(names):
                    path = os.path.join(place, name)
                    label = os.path.relpath(path, os.path.join(SOURCE, "data"))[:-5]
                    if not name.endswith(".json") or not self.report.wants(label):
                        continue
                    with open(path, encoding="utf-8") as file:
                        content = json.load(file)
                    if part == "cases":
                        path = os.path.join(self.folder, self.write(content["input"]))
                    yield label, path, content.get("input", content)

    def every_document(self):
        backwards = []
        for label, path, content in self.documents():
            book, trace = self.both(path, "--dtype", "float64", "--stages", self.stages_of(path), "-q")
            if book is None:
                self.report.check(False, label, "a workbook", trace.said)
                continue
            self.agrees(label, book, trace, 1e-9)
            live = self.marks(label, book, trace)
            values = set(trace["stages"]) - live
            given = {"queries", "keys", "values"} if "queries" in content else set()
            recurrent = STATE_STAGES if trace["variant"] in RECURRENT else set()
            nan = set(trace["stages"]) if content.get("empty_rows") == "nan" else set()
            told = {s for s in values if s.startswith("d_") and book.sheets[sheet_of(s)].values[2, 0].removeprefix("values, no formulas: ") in NO_FORMULA}
            backwards += [s in live for s in trace["stages"] if s.startswith("d_")]
            unexpected = values - given - recurrent - nan - told
            self.report.check(not unexpected, f"{label}: all that a sheet can say is formulas", "none", unexpected)
        if self.report.wants("cases/gradients"):
            self.report.check(sum(backwards) > 0.75 * len(backwards) > 0, "most gradients have formulas", "three of four", (sum(backwards), len(backwards)))

    def tutorial(self):
        """In float32, as people run it: to 1e-6."""
        for label, path, _ in self.documents():
            if not label.startswith("cases/tutorial/"):
                continue
            book, trace = self.both(path, "-q")
            self.agrees(f"{label} float32", book, trace, 1e-6)
            live = self.marks(f"{label} float32", book, trace)
            self.report.equal(f"{label}: formulas everywhere", live, set(trace["stages"]))

    # --- a changed number -------------------------------------------------------------------------------------------

    def changed(self):
        document = {"tokens": ["a", "b", "c"], "embeddings": [[0.1, 0.2], [0.3, -0.4], [0.5, 0.6]], "num_heads": 2, "causal": True,
                    "softcap": 5, "alibi": True, "gradient": {"output": [[1, 0], [0.5, -1], [0.25, 2]]},
                    "weights": {"W_query": [[1, 2], [3, 4]], "W_key": [[0.5, -1], [2, 1]], "W_value": [[1, 0], [2, 1]], "W_out": [[1, 2], [0, 1]]}}
        book, _ = self.both(self.write(document), "--dtype", "float64")
        for sheet, at, number, change in [
                ("embeddings", (8, 3), 0.9, lambda d: d["embeddings"][1].__setitem__(1, 0.9)),
                ("W_key", (7, 2), -3.0, lambda d: d["weights"]["W_key"][0].__setitem__(0, -3.0)),
                ("W_out", (8, 3), 7.0, lambda d: d["weights"]["W_out"][1].__setitem__(1, 7.0))]:
            book.change(sheet, at, number)
            change(document)
            trace = json_values(self.run(self.write(document), "-f", "json", "--dtype", "float64").out)[0]
            for stage, content in trace["stages"].items():
                found = [book.value(sheet_of(stage), at) for at in book.cells(content["axes"], content["shape"])]
                self.report.check(all(close(a, b, 1e-9) for a, b in zip(found, leaves(content["data"]))),
                                  f"{sheet} changed: {stage}", content["data"], found)
        for name, number, key in (("softcap", 2.0, "softcap"), ("query_offset", 1.0, "causal")):
            book.change("plan", self.place_of(book, name), number)
            document[key] = {"offset": 1} if key == "causal" else number
            trace = json_values(self.run(self.write(document), "-f", "json", "--dtype", "float64").out)[0]
            for stage in ("masked_scores", "output"):
                content = trace["stages"][stage]
                found = [book.value(sheet_of(stage), at) for at in book.cells(content["axes"], content["shape"])]
                self.report.check(all(close(a, b, 1e-9) for a, b in zip(found, leaves(content["data"]))),
                                  f"{name} changed: {stage}", content["data"], found)

    def place_of(self, book, name):
        sheet, _, ref = book.names[name].partition("!")
        self.report.equal(f"{name} stands in the plan", sheet, "plan")
        from workbook import place
        return place(ref)

    # --- texts ------------------------------------------------------------------------------------------------------

    def texts(self):
        document = {"tokens": TOKENS, "embeddings": [[0.1 * i, 1] for i in range(len(TOKENS))]}
        book, trace = self.both(self.write(document, "=cmd.json"))
        if book is None:
            return self.report.check(False, "hostile tokens", "a workbook", trace.said)
        rows = [HEADING_ROW + i for i in range(len(TOKENS))]
        labels = [book.sheets["queries"].values.get((r, 0)) for r in rows]
        expected = ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\\t=1", "_x0041_", "a\\x01b\\x1b[31m\\u202e", "<b>&amp;\"'",
                    "\\ufffe\\uffff", None, "␣"]
        self.report.equal("tokens as text", labels[:len(expected)], expected)
        for k, label in enumerate(labels[len(expected):]):
            units = len(label.encode("utf-16-le")) // 2
            self.report.check(label.endswith("…") and LIMIT - 2 <= units <= LIMIT, f"long token {k} is cut", LIMIT, units)
        said = [v for v in book.sheets["plan"].values.values() if isinstance(v, str) and "are longer than" in v]
        self.report.equal("cut tokens are said", len(said), 1)
        for sheet in book.sheets.values():
            for at, value in sheet.values.items():
                if isinstance(value, str) and value.lstrip().startswith(("=", "+", "-", "@")) and value != "-inf":
                    self.report.check(at not in sheet.formulas, f"{sheet.name} {at} is text", value, sheet.formulas.get(at))
                    self.report.check(sheet.styles[at] == "@" or sheet.styles[at] == 49 or sheet.name == "plan",
                                      f"{sheet.name} {at} stays text when it is edited", "@", sheet.styles[at])
        for at, formula in ((a, f) for s in book.sheets.values() for a, f in s.formulas.items()):
            if "cmd" in formula or "1+1" in formula:
                self.report.check(False, f"formula {at}", "none of a text", formula)

    # --- the file ---------------------------------------------------------------------------------------------------

    def files(self):
        path = os.path.join(SOURCE, "data/examples/multi_head.json")
        first = self.run(path, "-f", "xlsx", "-q")
        again = self.run(path, "-o", "y.xlsx", "-q", "--threads", "3", env=environment(TZ="Asia/Tokyo"))
        with open(os.path.join(self.folder, "y.xlsx"), "rb") as file:
            second = file.read()
        self.report.equal("a pipe and a file", (first.status, again.status, first.out == second), (0, 0, True))
        self.report.equal("no date of today", Workbook(second).dates, {(1980, 1, 1, 0, 0, 0)})
        digits = {len(str(f).partition(".")[2]) for p in ("0", "2", "7") for f in [self.format_of(path, p)]}
        self.report.equal("-p says the digits that are shown", digits, {0, 2, 7})
        empty = tempfile.mkdtemp(dir=self.folder)
        self.run(path, "-o", "y.xlsx", env=environment(TMPDIR=empty))
        self.report.equal("nothing stays of temporary files", os.listdir(empty), [])

    def format_of(self, path, precision):
        book, trace = self.both(path, "-p", precision)
        content = trace["stages"]["weights"]
        return book.sheets["weights"].styles[next(iter(book.cells(content["axes"], content["shape"])))] if precision != "0" else "0"

    def refusals(self):
        path = os.path.join(SOURCE, "data/examples/multi_head.json")
        large = {"embeddings": {"init": "torch.rand", "seed": 1, "shape": [1200, 4]}}
        wide = {"queries": {"init": "torch.rand", "seed": 1, "shape": [1, 2]}, "keys": {"init": "torch.rand", "seed": 2, "shape": [9000, 2]},
                "values": {"init": "torch.rand", "seed": 3, "shape": [9000, 2]}}
        for name, document, arguments, words in (
                ("cells", large, [], "too large for a sheet"), ("columns", wide, [], "weights would have"),
                ("rows fit", large, ["--rows", "0:3"], None), ("stages fit", wide, ["--stages", "scores,context"], None)):
            self.write(document)
            result = self.run("x.json", "-o", "large.xlsx", *arguments)
            there = os.path.exists(os.path.join(self.folder, "large.xlsx"))
            if words is None:
                self.report.equal(f"{name}", (result.status, there), (0, True))
                os.remove(os.path.join(self.folder, "large.xlsx"))
                continue
            self.report.equal(f"{name}: exit 3, nothing written", (result.status, there), (3, False))
            self.report.matches(f"{name}: the reason and the remedy", result.said, rf"x\.json:1:1: [^\n]*{words}(.|\n)*hint: --rows")
        for arguments in (["--squeeze"], ["--ascii"], ["--width", "40"], ["--compact"], ["--nonfinite", "null"]):
            self.report.equal(f"{arguments[0]} has no effect: exit 2", self.run(path, "-o", "z.xlsx", *arguments).status, 2)
        self.report.equal("two documents", self.run(path, path, "-o", "z.xlsx").status, 2)
        lost = self.run(path, "-o", "z.xlsx", env=environment(TMPDIR=os.path.join(self.folder, "nowhere")))
        self.report.equal("no folder for temporary files: exit 4", lost.status, 4)
        self.report.matches("its name and remedy", lost.said, r"nowhere cannot be written: .*\n.*TMPDIR")
        self.report.equal("nothing half-written", os.path.exists(os.path.join(self.folder, "z.xlsx")), False)
        if SANITIZED:
            return
        # Temporary files may not grow as far as they have to, the workbook itself could: 4096 to a limit between both.
        self.write({"embeddings": {"init": "torch.rand", "seed": 1, "shape": [100, 4]}})
        for limit in (4096, 40960, 400000):
            def confine(most=limit):
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            done = subprocess.run([self.program, "x.json", "-o", "z.xlsx"], cwd=self.folder, preexec_fn=confine, capture_output=True,
                                  restore_signals=False, check=False)
            self.report.equal(f"files of at most {limit} bytes: exit 4, nothing half-written",
                              (done.returncode, os.path.exists(os.path.join(self.folder, "z.xlsx"))), (4, False))

    # --- parts of a run ---------------------------------------------------------------------------------------------

    def parts(self):
        path = os.path.join(SOURCE, "data/examples/grouped_query.json")
        whole = json_values(self.run(path, "-f", "json", "-q").out)[0]
        for arguments, dead in (
                (["--rows", "0,2:4"], set()), (["--heads", "1"], {"concat"}), (["--cols", "0:2"], set(whole["stages"])),
                (["--stages", "rotated_queries,rotated_keys,scores,weights,context"],
                 {"rotated_queries", "rotated_keys", "weights", "context"})):
            book, trace = self.both(path, "--dtype", "float64", *arguments)
            name = " ".join(arguments)
            self.agrees(name, book, trace, 1e-9)
            live = self.marks(name, book, trace)
            self.report.equal(f"{name}: values only where something is missing", set(trace["stages"]) - live, dead & set(trace["stages"]))


HEADING_ROW = 4 + 3


def main():
    options = parser_of(__doc__).parse_args()
    report = Report(options.only)
    sys.setrecursionlimit(100000)
    with tempfile.TemporaryDirectory() as folder:
        tests = Tests(program_of(options), report, folder)
        for part in (tests.every_document, tests.tutorial, tests.changed, tests.texts, tests.files, tests.refusals, tests.parts):
            part()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
