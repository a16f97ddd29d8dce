"""Reads xlsx files, by themselves or as LibreOffice saves them, and calculates the formulas that attn-calc writes.

Of the functions of spreadsheets only those that are used are here, each as ISO 26300-2 (OpenFormula) says: text in a range is no
number of SUM or MAX, but arithmetic with it is an error; an error goes through whatever reads it.
"""
import io
import math
import re
import zipfile
from xml.etree import ElementTree

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
RELATED = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
HEADING = 4  # lines of a sheet before its first block: lib/render/sheet/grid.hpp
FIRST = 2    # columns before the numbers
LIMIT = 32767


class Bad(Exception):
    """The file is not as it has to be."""


class Fault:
    """An error as a value: #VALUE!, #DIV/0!, ..."""

    def __repr__(self):
        return "#ERROR"


FAULT = Fault()


def sheet_of(stage):
    """The sheet of a stage; of two with the same one the later ends with _2."""
    return re.sub(r"[^A-Za-z0-9]", "_", stage)[:31]


def column_number(letters):
    n = 0
    for c in letters:
        n = n * 26 + ord(c) - 64
    return n - 1


def column_letters(n):
    out = ""
    n += 1
    while n:
        n, rest = divmod(n - 1, 26)
        out = chr(65 + rest) + out
    return out


def place(ref):
    found = re.fullmatch(r"\$?([A-Z]+)\$?([0-9]+)", ref)
    if not found:
        raise Bad(f"no reference: {ref}")
    return int(found[2]) - 1, column_number(found[1])


def text_of(element):
    return re.sub("_x([0-9A-Fa-f]{4})_", lambda m: chr(int(m[1], 16)), "".join(t.text or "" for t in element.iter(MAIN + "t")))


class Sheet:
    def __init__(self, name):
        self.name = name
        self.values = {}    # (row, column) -> number, text: as written, for formulas their results
        self.formulas = {}  # (row, column) -> text
        self.arrays = {}    # (row, column) -> ((row, column) of the first cell, (rows, columns))
        self.styles = {}    # (row, column) -> number format


class Workbook:
    def __init__(self, raw):
        self.raw = raw
        archive = zipfile.ZipFile(io.BytesIO(raw))
        if archive.testzip():
            raise Bad("a part of the archive is damaged")
        parts = {n: archive.read(n) for n in archive.namelist()}
        self.dates = {i.date_time for i in archive.infolist()}
        trees = {n: ElementTree.fromstring(data) for n, data in parts.items() if n.endswith((".xml", ".rels"))}
        shared = [text_of(e) for e in trees["xl/sharedStrings.xml"].iter(MAIN + "si")] if "xl/sharedStrings.xml" in trees else []
        targets = {e.get("Id"): e.get("Target") for e in trees["xl/_rels/workbook.xml.rels"]}
        book = trees["xl/workbook.xml"]
        self.names = {e.get("name"): e.text.replace("$", "") for e in book.iter(MAIN + "definedName")}
        codes = {int(e.get("numFmtId")): e.get("formatCode") for e in trees["xl/styles.xml"].iter(MAIN + "numFmt")}
        looks = [int(e.get("numFmtId", 0)) for e in trees["xl/styles.xml"].find(MAIN + "cellXfs")]
        self.sheets = {}
        for e in book.iter(MAIN + "sheet"):
            path = "xl/" + targets[e.get(RELATED + "id")].lstrip("/").removeprefix("xl/")
            self.sheets[e.get("name")] = self.read(e.get("name"), trees[path], shared, [codes.get(k, k) for k in looks])
        self.made = {}

    @staticmethod
    def read(name, tree, shared, looks):
        sheet = Sheet(name)
        last = -1
        for row in tree.iter(MAIN + "row"):
            number = int(row.get("r")) - 1
            if number <= last:
                raise Bad(f"{name}: row {number} after row {last}")
            last = number
            for cell in row.iter(MAIN + "c"):
                at = place(cell.get("r"))
                kind, value = cell.get("t"), cell.find(MAIN + "v")
                sheet.styles[at] = looks[int(cell.get("s", 0))]
                if kind == "inlineStr":
                    sheet.values[at] = text_of(cell)
                elif value is not None and value.text is not None:
                    sheet.values[at] = (shared[int(value.text)] if kind == "s" else FAULT if kind == "e" else
                                        value.text if kind == "str" else float(value.text))
                formula = cell.find(MAIN + "f")
                if formula is None:
                    continue
                if formula.get("t") == "array":
                    first, _, end = formula.get("ref").partition(":")
                    (r0, c0), (r1, c1) = place(first), place(end or first)
                    for r in range(r0, r1 + 1):
                        for c in range(c0, c1 + 1):
                            sheet.arrays[r, c] = (at, (r - r0, c - c0))
                sheet.formulas[at] = formula.text or ""
        return sheet

    # --- calculating ------------------------------------------------------------------------------------------------

    def value(self, name, at):
        """What a cell holds once everything is calculated; None: it is empty."""
        key = (name, at)
        if key in self.made:
            return self.made[key]
        sheet = self.sheets[name]
        array = sheet.arrays.get(at)
        if array:
            whole = self.result(name, array[0])
            rows = matrix(whole)
            r, c = array[1]
            r, c = (0 if len(rows) == 1 else r), (0 if len(rows[0]) == 1 else c)
            out = rows[r][c] if r < len(rows) and c < len(rows[0]) else FAULT
        elif at in sheet.formulas:
            out = self.result(name, at)
            if isinstance(out, list):
                if len(out) != 1 or len(out[0]) != 1:
                    raise Bad(f"{name}!{column_letters(at[1])}{at[0] + 1}: a cell for a whole range")
                out = out[0][0]
        else:
            out = sheet.values.get(at)
        self.made[key] = out
        return out

    def result(self, name, at):
        key = (name, at, "whole")
        if key not in self.made:
            self.made[key] = Reader(self, name, self.sheets[name].formulas[at]).all()
        return self.made[key]

    def change(self, name, at, number):
        if at in self.sheets[name].formulas or at not in self.sheets[name].values:
            raise Bad(f"{name} {at} is no number to be changed")
        self.sheets[name].values[at] = number
        self.made = {}

    # --- the geometry of a sheet ------------------------------------------------------------------------------------

    @staticmethod
    def cells(axes, shape):
        """The place of each number of a stage, row-major."""
        one_row = len(axes) == 1 or len(axes) == 3 and list(axes[:2]) == ["batch", "head"]
        rows, columns = 1 if one_row else shape[-2], shape[-1]
        for k in range(math.prod(shape[:-1]) if one_row else math.prod(shape[:-2])):
            for i in range(rows):
                for j in range(columns):
                    yield HEADING + k * (rows + 4) + 3 + i, FIRST + j


def matrix(value):
    return value if isinstance(value, list) else [[value]]


def is_number(v):
    return isinstance(v, (int, float)) and not isinstance(v, bool)


def finite(f, *arguments):
    try:
        out = f(*arguments)
    except (OverflowError, ZeroDivisionError, ValueError):
        return FAULT
    return out if isinstance(out, (bool, str)) or math.isfinite(out) else FAULT


def each(f, *values):
    """f for each cell: what has one row or column serves all."""
    if not any(isinstance(v, list) for v in values):
        return f(*values)
    grids = [matrix(v) for v in values]
    rows, columns = max(len(g) for g in grids), max(len(g[0]) for g in grids)
    for g in grids:
        if len(g) not in (1, rows) or len(g[0]) not in (1, columns):
            raise Bad(f"arrays of {len(g)} x {len(g[0])} and {rows} x {columns}")
    return [[f(*(g[r if len(g) > 1 else 0][c if len(g[0]) > 1 else 0] for g in grids)) for c in range(columns)]
            for r in range(rows)]


def arithmetic(f):
    def one(*values):
        plain = [0.0 if v is None else float(v) if isinstance(v, bool) else v for v in values]
        if not all(is_number(v) for v in plain):
            return FAULT
        return finite(f, *plain)
    return lambda *values: each(one, *values)


def comparison(f):
    def one(a, b):
        a, b = (0.0 if v is None else v for v in (a, b))
        if FAULT in (a, b):
            return FAULT
        if is_number(a) != is_number(b):
            return f(isinstance(a, str), isinstance(b, str))  # text is above every number
        return f(a, b)
    return lambda a, b: each(one, a, b)


def numbers(arguments):
    """The numbers of ranges and arguments, and whether an error is among them."""
    found, faulty = [], False
    for a in arguments:
        for row in matrix(a):
            for v in row:
                faulty = faulty or v is FAULT
                if is_number(v):
                    found.append(v)
    return found, faulty


def of_numbers(f):
    def call(*arguments):
        found, faulty = numbers(arguments)
        return FAULT if faulty else finite(f, found)
    return call


def multiply(a, b):
    a, b = matrix(a), matrix(b)
    if not all(is_number(v) for g in (a, b) for row in g for v in row):
        return FAULT
    if len(a[0]) != len(b):
        raise Bad(f"MMULT of {len(a)} x {len(a[0])} and {len(b)} x {len(b[0])}")
    columns = list(zip(*b))
    return [[math.fsum(x * y for x, y in zip(row, column)) for column in columns] for row in a]


def choose(condition, yes, no):
    def one(c, a, b):
        if c is FAULT or isinstance(c, str):
            return FAULT
        return a if c else b
    return each(one, condition, yes, no)


def sum_product(*arguments):
    product = each(lambda *v: math.prod(v) if all(is_number(x) for x in v) else FAULT, *arguments)
    return of_numbers(math.fsum)(product)


def spread(found):
    mean = math.fsum(found) / len(found)
    return math.fsum((v - mean) ** 2 for v in found)


def every(*arguments):
    flat = [v for a in arguments for row in matrix(a) for v in row]
    return FAULT if any(v is FAULT or isinstance(v, str) for v in flat) else all(flat)


FUNCTIONS = {
    "MMULT": multiply, "TRANSPOSE": lambda a: [list(r) for r in zip(*matrix(a))], "IF": choose, "AND": every,
    "SUM": of_numbers(math.fsum), "MAX": of_numbers(lambda v: max(v, default=0)), "MIN": of_numbers(lambda v: min(v, default=0)),
    "COUNT": lambda *a: float(len(numbers(a)[0])), "ISNUMBER": lambda v: each(is_number, v), "SUMPRODUCT": sum_product,
    "SUMSQ": of_numbers(lambda v: math.fsum(x * x for x in v)), "DEVSQ": of_numbers(spread),
    "AVERAGE": of_numbers(lambda v: math.fsum(v) / len(v)), "EXP": arithmetic(math.exp), "LN": arithmetic(math.log), "ABS": arithmetic(abs),
    "OR": lambda *a: FAULT if every(*a) is FAULT else any(v for x in a for row in matrix(x) for v in row),
    "INT": arithmetic(lambda v: float(math.floor(v))), "SQRT": arithmetic(math.sqrt), "TANH": arithmetic(math.tanh), "COS": arithmetic(math.cos), "SIN": arithmetic(math.sin),
}
PRECEDENCE = {"=": 1, "<>": 1, "<": 1, "<=": 1, ">": 1, ">=": 1, "+": 2, "-": 2, "*": 3, "/": 3, "^": 4}
OPERATORS = {
    "+": arithmetic(lambda a, b: a + b), "-": arithmetic(lambda a, b: a - b), "*": arithmetic(lambda a, b: a * b),
    "/": arithmetic(lambda a, b: a / b), "^": arithmetic(lambda a, b: a ** b),
    "=": comparison(lambda a, b: a == b), "<>": comparison(lambda a, b: a != b), "<": comparison(lambda a, b: a < b),
    "<=": comparison(lambda a, b: a <= b), ">": comparison(lambda a, b: a > b), ">=": comparison(lambda a, b: a >= b),
}
TOKEN = re.compile(r'\s*(?:([0-9.]+(?:[eE][-+]?[0-9]+)?)|"((?:[^"]|"")*)"|((?:\w+!)?\$?[A-Z]{1,3}\$?[0-9]+(?![\w(])(?::\$?[A-Z]{1,3}\$?[0-9]+)?)'
                   r'|([A-Za-z_]\w*)|(<=|>=|<>|[-+*/^=<>(),]))')


class Reader:
    """One formula, calculated as it is read."""

    def __init__(self, book, sheet, text):
        if len(text) > 8192:
            raise Bad(f"a formula of {len(text)} characters")
        self.book, self.sheet, self.text, self.tokens, at = book, sheet, text, [], 0
        while at < len(text):
            found = TOKEN.match(text, at)
            if not found:
                raise Bad(f"{sheet}: {text!r} is no formula at {at}")
            self.tokens.append((found.lastindex, found[found.lastindex]))
            at = found.end()
        self.next = 0

    def all(self):
        out = self.expression(0)
        if self.next != len(self.tokens):
            raise Bad(f"{self.sheet}: {self.text!r} goes on")
        return out

    def peek(self):
        return self.tokens[self.next] if self.next < len(self.tokens) else (0, "")

    def take(self, wanted=None):
        token = self.peek()
        if wanted and token != (5, wanted):
            raise Bad(f"{self.sheet}: {self.text!r}: expected {wanted}")
        self.next += 1
        return token

    def expression(self, least):
        if self.peek() == (5, "-"):
            self.take()
            left = OPERATORS["*"](-1.0, self.expression(4))  # binds more closely than ^, as spreadsheets have it
        else:
            left = self.primary()
        while self.peek()[0] == 5 and PRECEDENCE.get(self.peek()[1], 0) > least:
            operator = self.take()[1]
            left = OPERATORS[operator](left, self.expression(PRECEDENCE[operator]))
        return left

    def primary(self):
        kind, text = self.take()
        if kind == 1:
            return float(text)
        if kind == 2:
            return text.replace('""', '"')
        if kind == 3:
            return self.reference(text)
        if kind == 5 and text == "(":
            out = self.expression(0)
            self.take(")")
            return out
        if kind != 4:
            raise Bad(f"{self.sheet}: {self.text!r}: {text!r} is no value")
        if self.peek() != (5, "("):
            if text not in self.book.names:
                raise Bad(f"{self.sheet}: {text} is no name")
            return self.reference(self.book.names[text])
        self.take("(")
        arguments = []
        while self.peek() != (5, ")"):
            arguments.append(self.expression(0))
            if self.peek() == (5, ","):
                self.take()
        self.take(")")
        return FUNCTIONS[text](*arguments)

    def reference(self, text):
        sheet, mark, cells = text.rpartition("!")
        sheet = sheet if mark else self.sheet
        if sheet not in self.book.sheets:
            raise Bad(f"{self.sheet}: {self.text!r}: there is no sheet {sheet}")
        first, colon, last = cells.partition(":")
        if not colon:
            return self.book.value(sheet, place(first))
        (r0, c0), (r1, c1) = place(first), place(last)
        return [[self.book.value(sheet, (r, c)) for c in range(c0, c1 + 1)] for r in range(r0, r1 + 1)]
