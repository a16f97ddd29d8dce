"""LibreOffice and the workbooks of -o x.xlsx: it opens them, calculates by itself, and gets the trace's numbers to 1e-6, also after a
number was changed. Skipped without `soffice` (apt-get install --no-install-recommends libreoffice-calc-nogui, some 300 MB: too much
for every run; sheet_test.py calculates the same workbooks by itself)."""
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Report, environment, execute, json_values, leaves, parser_of, program_of  # noqa: E402
from workbook import FAULT, Workbook  # noqa: E402

SKIPPED = 77
DOCUMENTS = ["cases/tutorial/" + n for n in sorted(os.listdir(os.path.join(SOURCE, "data/cases/tutorial")))] + [
    f"examples/{n}.json" for n in ("additive", "cross_attention", "gated", "grouped_query", "latent", "mask_add", "mask_keep", "multiplicative",
                                   "padding_key_lengths", "sliding_window", "translation_cross_attention", "dropout_torch")]
TOKENS = ["=1+1", "@SUM(A1)", "=cmd|' /C calc'!A0", "_x0041_", "a\x01b", "<&>\"'", "\U0001F600", "x" * 40000]
RICH = {"tokens": TOKENS, "embeddings": [[0.3 * i, 1 - 0.2 * i, 0.5, -0.1 * i] for i in range(8)], "num_heads": 2, "causal": True, "softcap": 3,
        "rope": {}, "alibi": True, "qk_norm": {"type": "layer"}, "sinks": [0.5, -1], "window": {"left": 3},
        "mask": {"drop": [[i == 5 for _ in range(8)] for i in range(8)]},
        "weights": {"init": "torch.nn.Linear", "seed": 3, "d_out": 4, "bias": True, "out_proj": True}}


# It trusts the results that stand in a file, as other programs do, unless it is told to calculate whatever it opens.
CALCULATE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Calc/Formula/Load"><prop oor:name="OOXMLRecalcMode" oor:op="fuse"><value>0</value></prop></item>
</oor:items>
"""


def same(found, number):
    if isinstance(number, str):
        return found == number.replace("Infinity", "inf") or number == "NaN" and found in ("NaN", FAULT)
    return isinstance(found, float) and abs(found - number) <= 1e-6 * max(1, abs(number))


def without_results(path, changes):
    """The workbook with other results of its formulas, so that what comes back was calculated, and with changed numbers."""
    os.rename(path, path + ".in")
    with open(path + ".in", "rb") as file:
        names = list(Workbook(file.read()).sheets)
    with zipfile.ZipFile(path + ".in") as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name in archive.namelist():
            data = archive.read(name)
            number = re.fullmatch(r"xl/worksheets/sheet(\d+)\.xml", name)
            if number:
                text = re.sub(r"(</f>)<v>[^<]*</v>", r"\1<v>777</v>", data.decode())
                for ref, value in changes.get(names[int(number[1]) - 1], []):
                    text, count = re.subn(rf'(<c r="{ref}"[^>]*>)<v>[^<]*</v>', rf"\g<1><v>{value}</v>", text)
                    assert count == 1, (name, ref)
                data = text.encode()
            out.writestr(name, data)


class Tests:
    def __init__(self, program, office, report, folder):
        self.program, self.office, self.report, self.folder = program, office, report, folder
        self.wanted = {}

    def prepare(self, name, content, changes, changed):
        """A workbook of `content`; the numbers that it has to come to are those of `changed`."""
        document, other, path = (os.path.join(self.folder, name + end) for end in (".json", ".other.json", ".xlsx"))
        for file, what in ((document, content), (other, changed)):
            with open(file, "w", encoding="utf-8") as out:
                json.dump(what, out)
        result = execute([self.program, document, "-o", path, "-q"], self.folder)
        trace = execute([self.program, other, "-f", "json", "-q"], self.folder)
        if self.report.equal(f"{name}: written", (result.status, trace.status), (0, 0)):
            without_results(path, changes)
            self.wanted[name] = json_values(trace.out)[0]

    def compare(self):
        files = [os.path.join(self.folder, n + ".xlsx") for n in self.wanted]
        out = os.path.join(self.folder, "out")
        profile = os.path.join(self.folder, "profile")
        os.makedirs(os.path.join(profile, "user"))
        with open(os.path.join(profile, "user", "registrymodifications.xcu"), "w", encoding="utf-8") as file:
            file.write(CALCULATE)
        result = execute([self.office, f"-env:UserInstallation=file://{profile}", "--headless", "--convert-to", "xlsx",
                          "--outdir", out, *files], self.folder, seconds=600, env=environment(HOME=self.folder))
        self.report.equal("soffice ends well", result.status, 0)
        said = "".join(line for line in result.said.splitlines() if "javaldx" not in line)  # it has no Java, and needs none
        self.report.equal("soffice has no complaint", said, "")
        for name, trace in self.wanted.items():
            path = os.path.join(out, name + ".xlsx")
            if not self.report.check(os.path.exists(path), f"{name}: opened and saved", path, "nothing"):
                continue
            with open(path, "rb") as file:
                book = Workbook(file.read())
            for stage, content in trace["stages"].items():
                values = book.sheets[stage].values
                pairs = [(at, values.get(at), n) for at, n in zip(book.cells(content["axes"], content["shape"]), leaves(content["data"]))]
                wrong = [p for p in pairs if not same(p[1], p[2])]
                self.report.check(not wrong, f"{name}: {stage}", "the trace's numbers", wrong[:3])
            if name == "rich":
                labels = [book.sheets["queries"].values.get((7 + i, 0)) for i in range(len(TOKENS))]
                self.report.equal("tokens are text", labels[:7], [*TOKENS[:4], "a\\x01b", *TOKENS[5:7]])


def main():
    options = parser_of(__doc__).parse_args()
    office = shutil.which("soffice")
    if not office:
        print("skipped: there is no soffice (Debian: libreoffice-calc-nogui)")
        return SKIPPED
    report = Report(options.only)
    with tempfile.TemporaryDirectory() as folder:
        tests = Tests(program_of(options), office, report, folder)
        for label in DOCUMENTS:
            path = os.path.join(SOURCE, "data", label)
            if not os.path.exists(path):
                continue
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
            content = content["input"] if label.startswith("cases/") else content
            tests.prepare(re.sub(r"\W", "_", label[:-5]), content, {}, content)
        tests.prepare("rich", RICH, {}, RICH)
        other = json.loads(json.dumps(RICH))
        other["embeddings"][2][1], other["softcap"] = 2.5, 1.5
        tests.prepare("changed", RICH, {"embeddings": [("D10", 2.5)], "plan": [(cap_of(folder), 1.5)]}, other)
        tests.compare()
    return report.end()


def cap_of(folder):
    """Where the plan of `rich` has its softcap."""
    with open(os.path.join(folder, "rich.xlsx.in"), "rb") as file:
        return Workbook(file.read()).names["softcap"].partition("!")[2]


if __name__ == "__main__":
    sys.exit(main())
