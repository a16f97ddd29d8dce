"""Readers of Markdown and LaTeX tables for md_test.py and tex_test.py, and what a table has to hold by the JSON trace."""
import glob
import html
import os
import re
import struct
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Report, parser_of, program_of  # noqa: E402

WIDE = ["--width", "10000"]

PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
CORNERS = ["a|b", "*b*", "`x`", "<b>", "[l](u)", "\\", "&amp;", "# h", "$x$", ":smile:", "@user", "~~x~~", "_i_", "--", "---",
           "1.", "=SUM(1)", "\\textbf{x}", "%c", "{", "}", "^", "~", "[0]", "*", "\"q\"", "``", "|", "\\|", "\\\\", "ü"]


def cut(tokens, most):
    """Tokens of one column a character, as long as a table shows them."""
    return [t if len(t) <= most else t[:most - 1] + "…" for t in tokens]


def cells_of(line):
    """The cells of a table row: GFM 0.29, section 4.10. A pipe with a backslash belongs to the text."""
    line = line.strip()
    line = line[1:] if line.startswith("|") else line
    cells = re.split(r"(?<!\\)((?:\\\\)*)\|", line)
    # the split keeps backslash pairs before a pipe: they belong to the cell before it
    joined = [cells[k] + (cells[k + 1] if k + 1 < len(cells) else "") for k in range(0, len(cells), 2)]
    return [c.strip() for c in (joined[:-1] if not joined[-1].strip() else joined)]


def plain(cell):
    """Inline text without markup: backslash escapes and entities (CommonMark 0.29, sections 6.1 and 6.2)."""
    text, at = "", 0
    while at < len(cell):
        if cell[at] == "\\" and at + 1 < len(cell) and cell[at + 1] in PUNCTUATION:
            text += cell[at + 1]
            at += 2
        elif cell[at] == "&" and (entity := re.match(r"&\w+;", cell[at:])):
            text += html.unescape(entity[0])
            at += entity.end()
        else:
            assert cell[at] not in "*_`[]<>~", f"markup in {cell!r}"
            text += cell[at]
            at += 1
    return text


def markdown_blocks(text):
    """("heading", level, text), ("table", header, rows) and ("text", line) in order."""
    lines, at, blocks = text.split("\n"), 0, []
    while at < len(lines):
        line = lines[at]
        if found := re.match(r"(#{1,6}) (.*)", line):
            blocks.append(("heading", len(found[1]), found[2]))
        elif line.startswith("|") and at + 1 < len(lines) and re.fullmatch(r"\|?( *:?-+:? *\|)+( *:?-+:? *)?", lines[at + 1]):
            header, rules = cells_of(line), cells_of(lines[at + 1])
            assert len(header) == len(rules), f"{header} over {rules}"
            at += 2
            rows = []
            while at < len(lines) and lines[at].strip():
                rows.append(cells_of(lines[at]))
                assert len(rows[-1]) == len(header), f"{len(rows[-1])} cells under {len(header)}"
                at += 1
            blocks.append(("table", header, rows))
        elif line.strip():
            blocks.append(("text", line))
        at += 1
    return blocks


def latex_parts(text):
    """("heading", text), ("table", header, rows), ("matrix", name, rows) and ("text", line), checked for balance."""
    parts, lines, at = [], text.split("\n"), 0
    balanced(text)
    while at < len(lines):
        line = lines[at]
        if found := re.fullmatch(r"\\subsection\*\{(.*)\}", line):
            parts.append(("heading", found[1]))
        elif found := re.fullmatch(r"\\begin\{tabular\}\{l\*\{(\d+)\}\{r\}\}", line):
            end = lines.index("\\end{tabular}\\par", at)
            body = [latex_cells(row) for row in lines[at + 1:end] if row != "\\hline"]
            assert all(len(row) == int(found[1]) + 1 for row in body), f"{found[1]} columns, but {body}"
            parts.append(("table", body[0], body[1:]))
            at = end
        elif line == "\\begin{bmatrix}":
            end = lines.index("\\end{bmatrix}", at)
            parts.append(("matrix", lines[at - 1], [latex_cells(row) for row in lines[at + 1:end]]))
            at = end
        elif line.strip():
            parts.append(("text", line))
        at += 1
    return parts


def latex_cells(row):
    assert row.endswith(" \\\\"), row
    return [cell.strip() for cell in re.split(r"(?<!\\)&", row[:-3])]


def balanced(text):
    """Braces and dollars that are not escaped come in pairs on each line; a % stands in the first line only."""
    for number, line in enumerate(text.split("\n")):
        bare = re.sub(r"\\(?:[A-Za-z]+\*?|.)", "", line)
        assert number == 0 or "%" not in bare, line
        assert "#" not in bare and "~" not in bare, line
        assert bare.count("$") % 2 == 0, line
        depth = 0
        for c in bare:
            depth += (c == "{") - (c == "}")
            assert depth >= 0, line
        assert depth == 0, line


ESCAPED = {"\\textbackslash{}": "\\", "\\textasciicircum{}": "^", "\\textasciitilde{}": "~", "\\textless{}": "<",
           "\\textgreater{}": ">", "\\textbar{}": "|", "\\symbol{34}": "\"", "\\symbol{36}": "$", "\\`{}": "`", "-{}": "-",
           "{[}": "[", "{]}": "]", "{*}": "*", "\\textvisiblespace{}": "␣", "\\dots{}": "…",
           **{"\\" + c: c for c in "{}&#%_"}}
ESCAPES = re.compile("|".join(re.escape(k) for k in sorted(ESCAPED, key=len, reverse=True)))


def latex_plain(cell):
    return ESCAPES.sub(lambda m: ESCAPED[m[0]], cell)


def latex_number(cell):
    """A cell of mathematics as the text has it."""
    cell = cell[1:-1] if cell.startswith("$") else cell
    cell = {"\\cdot": "·", "\\infty": "inf", "-\\infty": "-inf", "\\mathrm{NaN}": "nan", "{\\sim}0": "~0",
            "-{\\sim}0": "-~0"}.get(cell, cell)
    if found := re.fullmatch(r"(.*)\\times 10\^\{(-?\d+)\}", cell):
        return "%se%+03d" % (found[1], int(found[2]))
    return cell


def matrices(stage):
    """(batch, head or None, token or None, rows of numbers) of a stage of a JSON trace, in order."""
    axes, data = stage["axes"], stage["data"]
    for b, item in enumerate(data):
        if axes[1] != "head":
            yield b, None, None, item
            continue
        for h, part in enumerate(item):
            if len(axes) == 5:
                for t, rows in enumerate(part):
                    yield b, h, t, rows
            else:
                yield b, h, None, [part] if len(axes) == 3 else part


def value(written, dtype):
    named = {"Infinity": float("inf"), "-Infinity": float("-inf"), "NaN": float("nan")}
    number = named[written] if isinstance(written, str) else float(written)
    return struct.unpack("f", struct.pack("f", number))[0] if dtype == "float32" else number


def shown(stage, precision=4):
    """A function from a number of the stage to its text: the digits of its exact value, rounded half to even.

    Exponents where the largest is 1e6 or more or below 1e-3; ~0 for what is not 0 and has no digit but 0.
    """
    numbers = [value(x, stage["dtype"]) for *_, rows in matrices(stage) for row in rows for x in row]
    largest = max((abs(v) for v in numbers if v - v == 0), default=0)
    form = "%.*e" if largest >= 1e6 or 0 < largest < 1e-3 else "%.*f"

    def text_of(x):
        number = value(x, stage["dtype"])
        text = form % (precision, number)
        if number == 0 or number - number != 0 or re.search("[1-9]", text):
            return text
        return "-~0" if number < 0 else "~0"

    return text_of


def wrong_cell(cells, rows, write):
    """The first cell that is not its number, or None. A · is a weight of 0."""
    if [len(r) for r in cells] != [len(r) for r in rows]:
        return "%s cells for %s numbers" % ([len(r) for r in cells], [len(r) for r in rows])
    for i, row in enumerate(rows):
        for j, number in enumerate(row):
            if cells[i][j] != write(number) and not (cells[i][j] == "·" and float(number) == 0):
                return "row %d, column %d: %s, expected %s" % (i, j, cells[i][j], write(number))
    return None


def run(tests, description, *forms):
    """The examples of data/, in each of the forms (options), then the tests of corners, cuts and options."""
    options = parser_of(description.split("\n\n", maxsplit=1)[0]).parse_args()
    report = Report(options.only)
    with tempfile.TemporaryDirectory() as folder:
        made = tests(program_of(options), report, folder)
        for path in sorted(glob.glob(os.path.join(SOURCE, "data", "examples", "**", "*.json"), recursive=True)):
            for form in forms:
                made.example(path, *form)
        made.corners()
        made.cuts()
        made.options()
    return report.end()
