"""Every command that README.md and docs/*.md show is run, and what it prints has to be what they show.

A ```sh block is run in a folder where data/ is linked and attn-calc is found; a ```text, ```json or ```csv block that
follows it directly is its output, where a last line of `...` alone stands for what is not shown. Without such a block it only
has to succeed. ```sh no-run is skipped; ```python run is run by Python; so is any block after a line
`<!-- the output of: COMMAND -->`. The blocks of one file share a folder. --update rewrites the shown output.
"""
import glob
import os
import re
import sys
import tempfile

from harness import SOURCE, Report, environment, execute, parser_of, program_of

FENCE = re.compile(r"^(```+)([^\n`]*)\n(.*?)^\1[ \t]*$", re.S | re.M)
COMMENT = re.compile(r"<!-- the output of: (.*?) -->\s*\Z")
OUTPUT = {"text", "json", "csv"}
MORE = "..."


def trimmed(text):
    return "\n".join(line.rstrip() for line in text.rstrip().split("\n"))


def fits(found, shown):
    found, shown = trimmed(found), trimmed(shown)
    if shown.split("\n")[-1] != MORE:
        return found == shown
    start = shown[:-len(MORE)].rstrip("\n")
    return start != "" and (found == start or found.startswith(start + "\n"))  # `...` alone shows nothing yet


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
        self.env = environment(PATH=os.pathsep.join([bins, os.path.dirname(sys.executable), os.environ.get("PATH", "")]), COLUMNS="80")
        self.changes = []

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

    def run(self):
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(os.path.join(SOURCE, "data"), os.path.join(folder, "data"))
            for kind, text, shown, line in self.blocks():
                name = f"{self.name}:{line}"
                if not self.report.wants(name):
                    continue
                command = ["sh", "-e", "-c", text] if kind == "sh" else [sys.executable, "-c", text]
                result = execute(command, folder, env=self.env)
                if shown is None:
                    self.report.check(result.status == 0, name, "exit 0", f"exit {result.status} {result.said}")
                    continue
                # An error that is shown stands in the block as it would on a terminal.
                found = result.text + result.said if result.status else result.text
                if fits(found, shown[3]):
                    self.report.check(True, name)
                else:
                    self.report.check(False, name, *first_difference(found, shown[3]))
                    self.changes.append((shown.span(3), again(found, shown[3])))

    def update(self):
        for (start, end), text in reversed(sorted(self.changes)):
            self.text = self.text[:start] + text + self.text[end:]
        if self.changes:
            with open(self.path, "w", encoding="utf-8") as file:
                file.write(self.text)
            print(f"{self.name}: {len(self.changes)} blocks rewritten")


def main():
    parser = parser_of(__doc__.split("\n\n")[0])
    parser.add_argument("--update", action="store_true", help="rewrite the output that is shown")
    parser.add_argument("pages", nargs="*", help="other files than README.md and docs/*.md")
    options = parser.parse_args()
    program, report = program_of(options), Report(options.only)
    with tempfile.TemporaryDirectory() as bins:
        os.symlink(program, os.path.join(bins, "attn-calc"))
        for path in options.pages or [os.path.join(SOURCE, "README.md"), *sorted(glob.glob(os.path.join(SOURCE, "docs", "*.md")))]:
            page = Page(os.path.abspath(path), os.path.join(bins, "attn-calc"), report)
            page.run()
            if options.update:
                page.update()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
