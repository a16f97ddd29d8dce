"""LaTeX: fragments whose groups, environments and columns fit together, with the JSON trace's numbers; tokens cannot act.

Whether LaTeX takes them is tested by latex_test.py, where there is one.
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tables  # noqa: E402
from harness import SOURCE, Program, json_values  # noqa: E402


class Tests(Program):
    def example(self, path, *form):
        """Stages in order and every number of one document."""
        name = " ".join([os.path.relpath(path, SOURCE), *form])
        trace = json_values(self.call(path, "-f", "json").out)[0]
        parts = tables.latex_parts(self.call(path, "-f", "tex", *form, *tables.WIDE).text)
        self.report.equal(f"{name}: stages", [tables.latex_plain(p[1]) for p in parts if p[0] == "heading"], trace["order"])
        expected = [(s, rows) for s in trace["order"] for *_, rows in tables.matrices(trace["stages"][s])]
        found = [p for p in parts if p[0] in ("table", "matrix")]
        self.report.equal(f"{name}: tables", len(found), len(expected))
        self.report.equal(f"{name}: form", {p[0] for p in found}, {"matrix" if form else "table"})
        for (_, title, rows), (stage, numbers) in zip(found, expected):
            cells = [[tables.latex_number(c) for c in (r if form else r[1:])] for r in rows]
            wrong = tables.wrong_cell(cells, numbers, tables.shown(trace["stages"][stage]))
            self.report.check(wrong is None, f"{name}: {stage}", "the trace's numbers", wrong)
            if form:
                self.report.check(tables.latex_plain(title).startswith("\\text{" + stage + "}"), f"{name}: {stage}: name", stage, title)
            elif trace["stages"][stage]["axes"][-2:] == ["query", "key"]:
                tokens = tables.cut(trace["tokens"]["key"], 12), tables.cut(trace["tokens"]["query"], 16)
                self.report.equal(f"{name}: {stage}: labels", ([tables.latex_plain(c) for c in title[1:]],
                                                               [tables.latex_plain(r[0]) for r in rows]), tokens)

    def document(self, count, **more):
        path = os.path.join(self.folder, "d.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"embeddings": [[(i * 7 % 5) / 4, (i * 3 % 7) / 8] for i in range(count)], **more}, file)
        return path

    def corners(self):
        for token in tables.CORNERS + ["\\input{/etc/passwd}", "\\end{tabular}", "^^5cinput", "$$", "\\\\[1cm]"]:
            text = self.call(self.document(2, tokens=[token, "b"]), "-f", "tex", "--stages", "scores", *tables.WIDE).text
            table, = [p for p in tables.latex_parts(text) if p[0] == "table"]
            shown = tables.cut([token], 12)[0], tables.cut([token], 16)[0]
            self.report.equal(f"token {token!r}", (tables.latex_plain(table[1][1]), tables.latex_plain(table[2][0][0])), shown)
            self.report.check("\\input{/" not in text and "^^" not in text, f"token {token!r}: harmless", "no command", text)
        text = self.call(self.document(2, tokens=["你", "ü"]), "-f", "tex", "--ascii").text
        self.report.check(text.isascii() and "textbackslash{}u4f60" in text, "--ascii", "ASCII", text)

    def cuts(self):
        path = self.document(40)
        for form in ((), ("--compact",)):
            text = self.call(path, "-f", "tex", "--stages", "scores", "--width", "80", *form).text
            part, = [p for p in tables.latex_parts(text) if p[0] in ("table", "matrix")]
            self.report.equal(f"cut {form}: rows", len(part[2]), 13)
            self.report.check(set(part[2][8]) <= {"$\\vdots$", "$\\ddots$", "\\vdots", "\\ddots"}, f"cut {form}: a mark",
                              "dots", part[2][8])
            self.report.matches(f"cut {form}: a note", text, r"28 of 40 rows left out: --rows|28 of 40 rows left out: -\{\}-\{\}rows")

    def options(self):
        path = self.document(12, scale=-1e7, causal=True)
        text = self.call(path, "-f", "tex", "--stages", "masked_scores", "--compact", *tables.WIDE).text
        self.report.check("\\setcounter{MaxMatrixCols}{12}" in text, "more columns than amsmath's 10", 12, text)
        self.report.check("\\times 10^{" in text and "-\\infty" in text and "e+" not in text, "powers and infinity", "10^", text)
        result = self.call(path, path, "-f", "tex")
        self.report.check(result.status == 2 and not result.out and "tex" in result.said, "two documents", "exit 2", result.said)
        result = self.call(path, "-o", "out.tex")
        self.report.check(result.status == 0 and os.path.exists(os.path.join(self.folder, "out.tex")), "-o out.tex", "", result.said)


if __name__ == "__main__":
    sys.exit(tables.run(Tests, __doc__, (), ("--compact",)))
