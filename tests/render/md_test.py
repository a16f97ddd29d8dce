"""Markdown: read with GitHub's rules for tables, every number is the JSON trace's, and tokens stay what they are."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tables  # noqa: E402
from harness import SOURCE, Program, json_values  # noqa: E402


class Tests(Program):
    def both(self, path, *options, form=()):
        trace = json_values(self.call(path, "-f", "json", *options).out)[0]
        return trace, self.call(path, "-f", "md", *options, *form, *tables.WIDE).text

    def example(self, path):
        """Stages, headings, formulas and numbers of one document; at most 24 rows, so nothing is left out."""
        name = os.path.relpath(path, SOURCE)
        trace, text = self.both(path)
        blocks = tables.markdown_blocks(text)
        stages = [b[2] for b in blocks if b[:2] == ("heading", 2)]
        self.report.equal(f"{name}: stages", [tables.plain(s) for s in stages], trace["order"])
        found, places, stage = [], {}, None
        for block in blocks:
            if block[:2] == ("heading", 2):
                stage, where = tables.plain(block[2]), ""
            elif block[0] == "heading":
                where = block[2]
            elif block[0] == "text" and block[1].startswith("`"):
                formula = trace["stages"][stage]["formula"]
                self.report.check(block[1].startswith(f"`{stage} = {formula}` `["), f"{name}: {stage}", formula, block[1])
            elif block[0] == "table":
                found.append((stage, block))
                places.setdefault(stage, []).append(where)
        expected = [(s, m) for s in trace["order"] for m in tables.matrices(trace["stages"][s])]
        self.report.equal(f"{name}: tables", [s for s, _ in found], [s for s, _ in expected])
        for (stage, (_, header, rows)), (_, (_, _, _, numbers)) in zip(found, expected):
            wrong = tables.wrong_cell([r[1:] for r in rows], numbers, tables.shown(trace["stages"][stage]))
            self.report.check(wrong is None, f"{name}: {stage}", "the trace's numbers", wrong)
            axes = trace["stages"][stage]["axes"]
            if axes[-1] == "key" and len(axes) == 4:
                self.report.equal(f"{name}: {stage}: columns", [tables.plain(c) for c in header[1:]],
                                  tables.cut(trace["tokens"]["key"], 12))
            if axes[-2] == "query":
                self.report.equal(f"{name}: {stage}: rows", [tables.plain(r[0]) for r in rows],
                                  tables.cut(trace["tokens"]["query"], 16))
        for stage, wheres in places.items():
            data = trace["stages"][stage]
            several = data["shape"][0] > 1 or data["axes"][1] == "head" and data["shape"][1] > 1
            self.report.check(len(set(wheres)) == len(wheres) and (not several or all(wheres)), f"{name}: {stage}: headings",
                              "one for each table", wheres)

    def document(self, count, tokens=None, **more):
        path = os.path.join(self.folder, "d.json")
        made = {"embeddings": [[(i * 7 % 5) / 4, (i * 3 % 7) / 8] for i in range(count)], **more}
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**made, "tokens": tokens} if tokens else made, file)
        return path

    def corners(self):
        """Tokens that mean something in Markdown are shown as they are."""
        for token in tables.CORNERS:
            text = self.call(self.document(2, [token, "b"]), "-f", "md", "--stages", "scores", *tables.WIDE).text
            (_, header, rows), = [b for b in tables.markdown_blocks(text) if b[0] == "table"]
            self.report.equal(f"token {token!r}", [tables.plain(header[1]), tables.plain(rows[0][0])], [token, token])
        for token, visible in (("a\nb", "a\\nb"), ("\u202e", "\\u202e"), (" a", "␣a"), ("\x1b[1m", "\\x1b[1m"), ("", "")):
            text = self.call(self.document(2, [token, "b"]), "-f", "md", "--stages", "scores", *tables.WIDE).text
            (_, header, _), = [b for b in tables.markdown_blocks(text) if b[0] == "table"]
            self.report.equal(f"token {token!r}", tables.plain(header[1]), visible)
        text = self.call(self.document(2, ["ü·", "b"]), "-f", "md", "--ascii").text
        self.report.check(text.isascii() and "\\\\u00fc" in text, "--ascii", "ASCII", text)

    def cuts(self):
        """More rows or columns than are shown: both ends, and a sentence that says so."""
        path = self.document(40)
        trace = json_values(self.call(path, "-f", "json", "--stages", "scores").out)[0]
        numbers, write = trace["stages"]["scores"]["data"][0][0], tables.shown(trace["stages"]["scores"])
        text = self.call(path, "-f", "md", "--stages", "scores", "--width", "80").text
        (_, header, rows), = [b for b in tables.markdown_blocks(text) if b[0] == "table"]
        self.report.equal("cut: rows", [r[0] for r in rows], [*map(str, range(8)), "…", *map(str, range(36, 40))])
        self.report.check("…" in header and max(map(len, text.split("\n"))) <= 100, "cut: columns", "a mark", header)
        for row in rows:
            for column, cell in zip(header[1:], row[1:]):
                want = "…" if "…" in (row[0], column) else write(numbers[int(row[0])][int(column)])
                self.report.equal(f"cut: row {row[0]}, column {column}", cell, want)
        self.report.matches("cut: a note on rows", text, r"\n28 of 40 rows left out: --rows shows them\n")
        self.report.matches("cut: a note on columns", text, r"\n\d+ of 40 columns left out: --cols or --width shows them\n")
        text = self.call(path, "-f", "md", "--stages", "scores", "--rows", "0:40", *tables.WIDE).text
        (_, header, rows), = [b for b in tables.markdown_blocks(text) if b[0] == "table"]
        self.report.check(len(rows) == 40 and len(header) == 41 and "left out" not in text, "asked for: all", 40, len(rows))

    def options(self):
        path = self.document(3, causal=True, scale=1e7)
        trace, text = self.both(path, "--stages", "scaled_scores,masked_scores", form=("-p", "2"))
        found = [b for b in tables.markdown_blocks(text) if b[0] == "table"]
        for stage, (_, _, rows) in zip(trace["order"], found):
            wrong = tables.wrong_cell([r[1:] for r in rows], trace["stages"][stage]["data"][0][0],
                                      tables.shown(trace["stages"][stage], 2))
            self.report.check(wrong is None and "e+" in str(rows), f"-p 2, large numbers: {stage}", "1.00e+07", wrong)
        self.report.check("-inf" in str(found[1]), "-inf", "-inf", found[1])
        two = self.call(path, path, "-f", "md", "--stages", "scores").text
        self.report.equal("two documents: a heading each", len(re.findall(r"(?m)^# .*d\.json, document \d$", two)), 2)
        result = self.call(path, "-o", "out.md")
        with open(os.path.join(self.folder, "out.md"), encoding="utf-8") as file:
            self.report.check(result.status == 0 and not result.out and file.read() == self.call(path, "-f", "md", "--width", "80").text,
                              "-o out.md", "as -f md", result.said)


if __name__ == "__main__":
    sys.exit(tables.run(Tests, __doc__, ()))
