"""What docs/formats.md and docs/recipes.md say of programs that read traces.

Each recipe after a line `<!-- read by PROGRAM: WHAT -->` is run where PROGRAM is installed, on a document of two batch items, two
heads, twelve tokens (one of them `NA`, some of them twice) instead of the examples it names; what it prints is compared with the
numbers of the JSON trace. Programs that are not installed are skipped, by name.

sh tests/readers/run.sh installs them, and tries each line of the table "What each program needs" too (--all).
"""
import importlib.util
import json
import math
import os
import re
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from claims import CLAIMS, prepare
from harness import SOURCE, Report, environment, execute, parser_of, program_of

MARK = re.compile(r"<!-- read by ([\w-]+): ([^>]*?) -->\n```(\w+)[^\n]*\n(.*?)^```$", re.S | re.M)
TOKENS = "the NA the journey of NA words is the same as 007".split()
EMBEDDINGS = [[[math.sin(1 + 7 * b + 3 * i + 2.3 * j * i) for j in range(3)] for i in range(len(TOKENS))] for b in range(2)]
DOCUMENT = {"variant": "multi_head", "num_heads": 2, "causal": True, "mask_at": "scores", "tokens": TOKENS, "embeddings": EMBEDDINGS,
            "weights": {"init": "torch.nn.Linear", "seed": 123, "d_out": 4, "bias": False, "out_proj": True}}
ONE_WAY = {"journey_linear.json": {"causal": False}}  # the recipe that compares it with a causal run
FIGURE = re.compile(r"^-?\d+(\.\d+)?(e[-+]?\d+)?$")

# What a recipe's program runs, a file of a recipe given by its kind of block.
RUNNERS = {"sh": ["sh", "-e"], "r": ["Rscript"], "octave": ["octave-cli", "-q"], "sql": ["node", "duckdb.mjs"], "js": ["node"]}
SUFFIX = {"js": ".mjs", "octave": ".m"}

# Every picture that matplotlib draws is also written to drawn.json: its title, names and numbers.
DRAWN = '''
import json
from matplotlib.figure import Figure
save = Figure.savefig
def savefig(figure, *arguments, **options):
    found = [{"title": a.get_title(), "data": a.images[0].get_array().tolist(), "rows": [t.get_text() for t in a.get_yticklabels()],
              "columns": [t.get_text() for t in a.get_xticklabels()]} for a in figure.axes if a.images]
    json.dump(found, open("drawn.json", "w"))
    return save(figure, *arguments, **options)
Figure.savefig = savefig
'''


def have(program, modules):
    """Whether a program is installed; modules: the folder where npm put those of JavaScript, or None."""
    if program in ("duckdb", "polars"):
        name = {"duckdb": "@duckdb/node-api", "polars": "nodejs-polars"}[program]
        return shutil.which("node") is not None and modules is not None and os.path.isdir(os.path.join(modules, name))
    if program == "jsonlite":
        return shutil.which("Rscript") is not None and execute(["Rscript", "-e", "library(jsonlite)"], ".").status == 0
    if program in ("pandas", "numpy", "matplotlib"):
        return importlib.util.find_spec(program) is not None
    return shutil.which(program) is not None


def shown_rows(text, tokens, width):
    """[(token, numbers)]: the lines that have one of the tokens and `width` numbers behind it; a token may look like a number."""
    found = []
    for line in text.splitlines():
        words = re.split(r"[\s,|:]+", line.strip())
        for at, word in enumerate(words):
            behind = [w for w in words[at + 1:] if FIGURE.match(w)]
            if word in tokens and len(behind) >= width:
                found.append((word, behind[:width], words[:at]))
                break
    return found


def close(shown, exact):
    """Whether a printed number is the exact one, rounded to the digits that are shown (three or more, zeros left out)."""
    digits = len(shown.partition(".")[2]) if "e" not in shown else 3
    return abs(float(shown) - exact) <= 0.501 * 10.0 ** -max(digits, 3)


class Readers:
    def __init__(self, program, report, options, folder):
        self.program, self.report, self.options, self.folder = program, report, options, folder
        self.known, self.skipped = {}, set()
        self.weights, self.oneway = self.weights_of(DOCUMENT), self.weights_of({**DOCUMENT, "causal": False})
        path = [folder, os.path.dirname(sys.executable), os.environ.get("PATH", "")]
        self.env = environment(PATH=os.pathsep.join(path), PYTHONDONTWRITEBYTECODE="1")
        os.makedirs(self.path("data/examples"))
        os.makedirs(self.path("drawn"))
        self.write("drawn/sitecustomize.py", DRAWN)
        self.write(".Rprofile", "options(width = 500)\n")  # a row of a matrix in one line
        shutil.copy(os.path.join(HERE, "duckdb.mjs"), folder)
        os.symlink(program, self.path("attn-calc"))
        if options.modules:
            os.symlink(os.path.abspath(options.modules), self.path("node_modules"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def weights_of(self, document):
        done = execute([self.program, "-f", "json", "--stages", "weights", "-q"], self.folder, stdin=json.dumps(document).encode())
        if done.status != 0:
            sys.exit(f"the document: {done.said}")
        return json.loads(done.text)["stages"]["weights"]["data"]

    def installed(self, name):
        if name not in self.known:
            self.known[name] = have(name, self.options.modules)
        if not self.known[name]:
            self.skipped.add(name)
        return self.known[name]

    def run(self, kind, text, env):
        name = "recipe" + SUFFIX.get(kind, "")
        self.write(name, text)
        return execute([*RUNNERS[kind], name], self.folder, env=env)

    def recipes(self):
        """Those of both pages; the programs that have one."""
        readers = set()
        for page in ("docs/formats.md", "docs/recipes.md"):
            with open(os.path.join(SOURCE, page), encoding="utf-8") as file:
                text = file.read()
            for name in set(re.findall(r"data/examples/(\w+\.json)", text)):
                self.write(f"data/examples/{name}", json.dumps({**DOCUMENT, **ONE_WAY.get(name, {})}))
            for found in MARK.finditer(text):
                readers.add(found[1])
                self.recipe(f"{page}:{text.count(chr(10), 0, found.start()) + 1}: {found[1]}: {found[2]}", *found.groups())
        return readers

    def recipe(self, name, reader, what, kind, text):
        imported = [m for m in ("pandas", "matplotlib") if re.search(rf"^import .*\b{m}\b", text, re.M)]
        if not self.report.wants(name) or not all([self.installed(n) for n in [reader, *imported]]):
            return
        env = {**self.env, "PYTHONPATH": self.path("drawn")} if "matplotlib" in imported else self.env
        done = self.run(kind, text, env)
        if self.report.check(done.status == 0, name, "exit 0", f"exit {done.status} {done.said}"):
            self.check(what, name, done.text)

    def claims(self):
        prepare(self.program, self.folder, DOCUMENT)
        for claim in CLAIMS:
            name = f"{claim.reader}: {claim.what}"
            if self.report.wants(name) and self.installed(claim.reader):
                done = self.run(claim.kind, claim.code, self.env)
                self.report.matches(name, done.text + done.said, claim.expected)

    def matrix(self, name, text, matrices, places=False):
        """The rows of some heads, in order; places: each behind its batch item and head."""
        expected = [(b, h, row) for b, h in matrices for row in range(len(TOKENS))]
        found = shown_rows(text, set(TOKENS), len(TOKENS))
        if not self.report.equal(f"{name}: tokens", [token for token, _, _ in found], [TOKENS[row] for _, _, row in expected]):
            return
        if places:
            self.report.equal(f"{name}: places", [before for _, _, before in found], [[str(b), str(h)] for b, h, _ in expected])
        wrong = [(b, h, row) for (b, h, row), (_, numbers, _) in zip(expected, found)
                 if not all(map(close, numbers, self.weights[b][h][row]))]
        self.report.equal(f"{name}: rows that differ", wrong, [])

    def check(self, what, name, text):
        heads = [(b, h) for b in range(2) for h in range(2)]
        if what == "files":
            return
        if what == "a row":
            row = self.weights[0][0][TOKENS.index("journey")]
            found = json.loads(text.splitlines()[0])
            self.report.check(len(found) == len(row) and all(abs(a - b) < 1e-4 for a, b in zip(found, row)), name, row, found)
        elif what == "the largest":
            rows = self.oneway[0][0]
            best = [row.index(max(row)) for row in rows]
            self.report.equal(name, text.splitlines(), [f"{i} {TOKENS[i]} -> {k} {TOKENS[k]}" for i, k in enumerate(best)])
        elif what == "the first head":
            self.matrix(name, text, [(0, 0)])
        elif what == "every head":
            self.matrix(name, text, heads, places=True)
        elif what == "a head":
            self.matrix(name, text, [(1, 1)])
        elif what == "a head with names":
            self.report.equal(f"{name}: names", text.split()[:len(TOKENS)], TOKENS)
            self.matrix(name, text, [(1, 1)])
        elif what == "a join":
            self.join(name, text)
        elif what == "a plot":
            self.plot(name, heads)
        else:
            self.report.check(False, name, "a kind of recipe that is known here", what)

    def join(self, name, text):
        cells = [(b, h, i, k) for b in range(2) for h in range(2) for i in range(len(TOKENS)) for k in range(len(TOKENS))]
        change = {c: self.weights[c[0]][c[1]][c[2]][c[3]] - self.oneway[c[0]][c[1]][c[2]][c[3]] for c in cells}
        lines = [line.split() for line in text.splitlines()[1:]]
        self.report.equal(f"{name}: lines", len(lines), 3)
        for b, h, i, k, row, column, before, after, shown in lines:
            cell = tuple(map(int, (b, h, i, k)))
            self.report.equal(f"{name}: tokens of {cell}", (row, column), (TOKENS[cell[2]], TOKENS[cell[3]]))
            self.report.check(close(shown, change[cell]) and close(after, self.weights[cell[0]][cell[1]][cell[2]][cell[3]]), f"{name}: {cell}", change[cell], shown)
        shown = sorted(float(line[-1]) for line in lines)
        self.report.check(all(abs(a - b) < 1e-4 for a, b in zip(shown, sorted(change.values())[-3:])), f"{name}: the largest", "the largest changes", shown)

    def plot(self, name, heads):
        with open(self.path("drawn.json"), encoding="utf-8") as file:
            drawn = json.load(file)
        self.report.equal(f"{name}: pictures", [p["title"] for p in drawn], [f"batch {b}, head {h}" for b, h in heads])
        for picture, (b, h) in zip(drawn, heads):
            self.report.equal(f"{name}: tokens of {b} {h}", (picture["rows"], picture["columns"]), (TOKENS, TOKENS))
            same = all(abs(x - y) < 1e-9 for found, row in zip(picture["data"], self.weights[b][h]) for x, y in zip(found, row))
            self.report.check(same, f"{name}: numbers of {b} {h}", "those of the trace", picture["data"])


def main():
    parser = parser_of(__doc__.split("\n\n")[0])
    parser.add_argument("--all", action="store_true", help="claims.py too; a program that is not installed is a failure")
    parser.add_argument("--modules", help="the folder of JavaScript's modules (node_modules)")
    options = parser.parse_args()
    program, report = program_of(options), Report(options.only)
    with tempfile.TemporaryDirectory() as folder:
        readers = Readers(program, report, options, folder)
        found = readers.recipes()
        for reader in ("jq", "python3", "Rscript", "octave-cli", "duckdb", "sqlite3", "polars"):
            report.check(reader in found, f"a recipe for {reader}", "one at least", "none")
        if options.all:
            readers.claims()
    for name in sorted(readers.skipped):
        print(f"skipped: {name} is not installed")
        report.check(not options.all, f"{name} is installed", "yes", "no")
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
