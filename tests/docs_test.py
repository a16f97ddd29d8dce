"""Every command that README.md and docs/*.md show is run, and what it prints has to be what they show.

A ```sh block is run in a folder where data/ and tests/ are linked and attn-calc is found; a ```text, ```json or ```csv block that
follows it directly is its output, where a last line of `...` alone stands for what is not shown. Without such a block it only
has to succeed. ```sh no-run is skipped; ```python run is run by Python; so is any block after a line
`<!-- the output of: COMMAND -->`. The blocks of one file share a folder. --update rewrites the shown output.

A picture that a page shows (docs/pictures/NAME.svg) has to be what its blocks write as NAME.svg.

All of it has to come out the same on another machine: the blocks are run a second time with the smallest instruction set and
with a numpy whose matrix products differ in the last bit, as another BLAS makes them.
"""
import glob
import os
import platform
import re
import sys
import tempfile

from harness import SOURCE, Report, environment, execute, parser_of, program_of

FENCE = re.compile(r"^(```+)([^\n`]*)\n(.*?)^\1[ \t]*$", re.S | re.M)
COMMENT = re.compile(r"<!-- the output of: (.*?) -->\s*\Z")
OUTPUT = {"text", "json", "csv"}
PICTURE = re.compile(r"!\[[^\]]*\]\((?:docs/)?pictures/([\w-]+\.svg)\)")
MORE = "..."
ON_ANY_MACHINE = {"sh", "cat", "cp", "head", "mkdir", "sed", "tail", "true"}  # and after app/run.sh: cmake

# A sitecustomize.py: in code that is run or imported from the folder of a document, a @ b is another_blas(a @ b).
OTHER_NUMPY = '''
import ast, builtins, importlib.machinery, os

def another_blas(product):
    import numpy
    return numpy.nextafter(product, numpy.inf)

class Products(ast.NodeTransformer):
    def visit_BinOp(self, node):
        self.generic_visit(node)
        if not isinstance(node.op, ast.MatMult):
            return node
        return ast.Call(ast.Name("another_blas", ast.Load()), [node], [])

def other(text, path="<document>"):
    return compile(ast.fix_missing_locations(Products().visit(ast.parse(text))), path, "exec")

def source_to_code(self, data, path, **options):
    return other(data, path) if os.path.dirname(os.path.abspath(path)) == os.getcwd() else plain(self, data, path, **options)

builtins.another_blas, builtins.run_as_other = another_blas, lambda text: exec(other(text), {"__name__": "__main__"})
plain = importlib.machinery.SourceFileLoader.source_to_code
importlib.machinery.SourceFileLoader.source_to_code = source_to_code
'''


def trimmed(text):
    return "\n".join(line.rstrip() for line in text.rstrip().split("\n"))


def fits(found, shown):
    found, shown = trimmed(found), trimmed(shown)
    if shown.split("\n")[-1] != MORE:
        return found == shown
    start = shown[:-len(MORE)].rstrip("\n")
    return start != "" and (found == start or found.startswith(start + "\n"))  # `...` alone shows nothing yet


def as_drawn(svg):
    """A picture without what may differ on another machine: the last digits of numbers, and with them a shade."""
    svg = re.sub(r' fill="#[0-9a-f]{6}"', "", svg)
    return re.sub(r"-?\d+\.\d+(e[-+]?\d+)?", lambda number: f"{float(number[0]):.4f}".replace("-0.0000", "0.0000"), svg)


def first_difference(found, shown):
    found, shown = trimmed(found).split("\n"), trimmed(shown).split("\n")
    for number, line in enumerate(shown, 1):
        other = found[number - 1] if number <= len(found) else "(the end)"
        if line != other and not (line == MORE and 1 < number == len(shown)):
            return f"line {number}: {line}", other
    return f"{len(shown)} lines", f"{len(found)} lines"


def again(found, shown):
    """The output as it should be shown: as long as before where it was cut."""
    lines = trimmed(found).split("\n")
    if trimmed(shown).split("\n")[-1] == MORE:
        most = max(len(trimmed(shown).split("\n")) - 1, 0)
        if 0 < most < len(lines):
            lines = lines[:most] + [MORE]
    return "\n".join(lines) + "\n"


class Page:
    def __init__(self, path, program, report):
        self.path, self.report = path, report
        self.name = os.path.relpath(path, SOURCE)
        with open(path, encoding="utf-8") as file:
            self.text = file.read()
        bins = os.path.dirname(program)
        self.env = environment(PATH=os.pathsep.join([bins, os.path.dirname(sys.executable), os.environ.get("PATH", "")]), COLUMNS="80",
                               PYTHONDONTWRITEBYTECODE="1")
        self.changes, self.pictures = [], {}

    def blocks(self):
        """(kind, text, output block or None, line)"""
        found, skip = list(FENCE.finditer(self.text)), None
        for block, after in zip(found, found[1:] + [None]):
            if block is skip:
                continue
            kind = block[2].strip()
            line = self.text.count("\n", 0, block.start()) + 1
            shown = after if after and after[2].strip() in OUTPUT and not self.text[block.end():after.start()].strip() else None
            comment = COMMENT.search(self.text[:block.start()])
            if comment and kind in OUTPUT:
                yield "sh", comment[1] + "\n", block, line
            elif kind in ("sh", "python run"):
                skip = shown
                yield kind, block[3], shown, line

    def run(self, other=None):
        """other: what the environment of another machine has besides."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("data", "tests"):
                os.symlink(os.path.join(SOURCE, name), os.path.join(folder, name))
            for kind, text, shown, line in self.blocks():
                name = f"{self.name}:{line}" + (" on another machine" if other else "")
                if not self.report.wants(name):
                    continue
                if kind == "sh":
                    command = ["sh", "-e", "-c", text]
                else:
                    command = [sys.executable, "-c", f"run_as_other({text!r})" if other else text]
                result = execute(command, folder, env={**self.env, **(other or {})})
                if shown is None:
                    self.report.check(result.status == 0, name, "exit 0", f"exit {result.status} {result.said}")
                    continue
                # An error that is shown stands in the block as it would on a terminal.
                found = result.text + result.said if result.status else result.text
                if fits(found, shown[3]):
                    self.report.check(True, name)
                else:
                    self.report.check(False, name, *first_difference(found, shown[3]))
                    if not other:
                        self.changes.append((shown.span(3), again(found, shown[3])))
            self.look_at_pictures(folder, " on another machine" if other else "")

    def look_at_pictures(self, folder, where):
        for picture in PICTURE.finditer(self.text):
            name = f"{self.name}:{self.text.count(chr(10), 0, picture.start()) + 1}: {picture[1]}{where}"
            if not self.report.wants(name):
                continue
            made, kept = os.path.join(folder, picture[1]), os.path.join(SOURCE, "docs", "pictures", picture[1])
            if not self.report.check(os.path.exists(made), name, "a command that writes it", "none"):
                continue
            with open(made, encoding="utf-8") as file:
                drawn = file.read()
            shown = ""
            if os.path.exists(kept):
                with open(kept, encoding="utf-8") as file:
                    shown = file.read()
            if not self.report.check(as_drawn(drawn) == as_drawn(shown), name, "the picture that is shown", "another one") and not where:
                self.pictures[kept] = drawn

    def update(self):
        for (start, end), text in reversed(sorted(self.changes)):
            self.text = self.text[:start] + text + self.text[end:]
        if self.changes:
            with open(self.path, "w", encoding="utf-8") as file:
                file.write(self.text)
            print(f"{self.name}: {len(self.changes)} blocks rewritten")
        for path, drawn in self.pictures.items():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(drawn)
            print(f"{os.path.relpath(path, SOURCE)}: drawn again")


def in_order(text, report):
    """README.md as typed: attn-calc is installed before it is used, and any other program is said to be installed by a command."""
    installed = ON_ANY_MACHINE | {"cmake"}
    for block in FENCE.finditer(text):
        if block[2].strip().split(" ")[0] != "sh":
            continue
        line = text.count("\n", 0, block.start()) + 1
        installed |= set(re.findall(r"apt-get install ([\w-]+)", text[:block.start()]))
        for word in re.findall(r"(?:^|[|;&] *)([\w-]+)", re.sub(r"'[^']*'|\"[^\"]*\"|#.*", "", block[3]), re.M):
            report.check(word in installed, f"README.md:{line}: {word}", "a command that is there by then", word)
        installed |= {"attn-calc"} if re.search(r"^cmake --install build/release$", block[3], re.M) else set()


def install(program, folder):
    """The program's folder, installed as README.md says where it is in a build."""
    build = os.path.dirname(os.path.dirname(program))
    if os.path.exists(os.path.join(build, "cmake_install.cmake")):
        done = execute(["cmake", "--install", build, "--prefix", folder], folder)
        if done.status != 0:
            sys.exit(f"cmake --install: {done.text}{done.said}")
    else:
        os.makedirs(os.path.join(folder, "bin"))
        os.symlink(program, os.path.join(folder, "bin", "attn-calc"))
    return os.path.join(folder, "bin", "attn-calc")


def other_machine(folder):
    """The environment of another machine: other bits wherever they may differ."""
    with open(os.path.join(folder, "sitecustomize.py"), "w", encoding="utf-8") as file:
        file.write(OTHER_NUMPY)
    smallest = "sse2" if platform.machine() in ("x86_64", "AMD64") else "auto"
    return {"ATTN_CALC_KERNELS": smallest, "PYTHONPATH": folder, "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX2 FMA3"}


def main():
    parser = parser_of(__doc__.split("\n\n")[0])
    parser.add_argument("--update", action="store_true", help="rewrite the output that is shown")
    parser.add_argument("pages", nargs="*", help="other files than README.md and docs/*.md")
    options = parser.parse_args()
    program, report = program_of(options), Report(options.only)
    with tempfile.TemporaryDirectory() as bins, tempfile.TemporaryDirectory() as elsewhere:
        program, other = install(program, bins), other_machine(elsewhere)
        for path in options.pages or [os.path.join(SOURCE, "README.md"), *sorted(glob.glob(os.path.join(SOURCE, "docs", "*.md")))]:
            page = Page(os.path.abspath(path), program, report)
            if page.name == "README.md":
                in_order(page.text, report)
            page.run()
            if options.update:
                page.update()
            else:
                page.run(other)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
