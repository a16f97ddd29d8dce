"""attn-calc convert from outside: every pair of formats keeps names, shapes and numbers; what is lost is said."""
import json
import math
import os
import sys
import tempfile

import numpy

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Report, execute, parser_of, program_of  # noqa: E402
from tensor_readers import safetensors  # noqa: E402

READ = ("json", "csv", "npz", "safetensors")
WRITTEN = ("json", "csv", "npz", "safetensors")
TYPES = {"float16": "<f2", "float32": "<f4", "float64": "<f8"}
NUMBERS = [0.1, -2.5, 1e-9, 65520.0, 65519.999, 2049.0, 2051.0, 1e300, 3e-8, 2.98023223876953125e-08, 1 + 2**-11, 1 + 2**-11 + 2**-40,
           0.0, -0.0, 123456.789, 1 / 3]
TENSORS = {
    "vector": numpy.array([1.5, -2, 1e-300, math.inf, -math.inf, math.nan]),
    "matrix": numpy.arange(6.0).reshape(2, 3) / 7,
    "a.b/ü \"q\", x": numpy.array([[[0.25], [-0.0]]]),
    "number": numpy.array(5.0),
    "four": numpy.arange(24.0).reshape(2, 3, 1, 4),
}


def plain(value):
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value if math.isfinite(value) else "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def nested(value):
    return [nested(v) for v in value] if isinstance(value, list) else float(value.replace("Infinity", "inf")) \
        if isinstance(value, str) else value


class Tests:
    def __init__(self, program, report, folder):
        self.program, self.report, self.folder = program, report, folder

    def call(self, *arguments, stdin=None):
        return execute([self.program, "convert", *arguments], self.folder, stdin)

    def path(self, name):
        return os.path.join(self.folder, name)

    def arrays(self, name):
        path = self.path(name)
        if name.endswith(".npz"):
            with numpy.load(path) as arrays:
                return {k: arrays[k] for k in arrays.files}
        if name.endswith(".safetensors"):
            with open(path, "rb") as file:
                return safetensors(file.read())[0]
        with open(path, encoding="utf-8") as file:  # back to JSON by the program where it is CSV
            text = file.read() if name.endswith(".json") else self.call(name, "-q", "-f", "json").text
        return {k: numpy.array(nested(v["data"]), float).reshape(v["shape"]) if isinstance(v, dict) else
                numpy.array(nested(v)) for k, v in json.loads(text).items()}

    def write_json(self, name, tensors):
        with open(self.path(name), "w", encoding="utf-8") as file:
            json.dump({k: plain(v.tolist()) for k, v in tensors.items()}, file)

    def same(self, name, found, expected, exact_type=None):
        self.report.equal(f"{name}: names", sorted(found), sorted(expected))
        for key, value in expected.items():
            if key not in found:
                continue
            self.report.equal(f"{name}: {key}: shape", found[key].shape, value.shape)
            equal = found[key].shape == value.shape and numpy.array_equal(found[key], value, equal_nan=True) and \
                numpy.array_equal(numpy.signbit(found[key]), numpy.signbit(value))
            self.report.check(equal, f"{name}: {key}", value, found[key])
            if exact_type:
                self.report.equal(f"{name}: {key}: type", found[key].dtype.str, exact_type)

    def pairs(self):
        self.write_json("a.json", TENSORS)
        for first in WRITTEN:
            made = self.call("a.json", "-o", f"b.{first}")
            self.report.equal(f"json to {first}", (made.status, made.out, made.err), (0, b"", b""))
            self.same(f"json to {first}", self.arrays(f"b.{first}"), TENSORS, "<f8" if first in ("npz", "safetensors") else None)
        for first in READ:
            for second in WRITTEN:
                made = self.call(f"b.{first}", "-o", f"c.{second}")
                self.report.equal(f"{first} to {second}", (made.status, made.out, made.err), (0, b"", b""))
                with open(self.path(f"b.{second}"), "rb") as a, open(self.path(f"c.{second}"), "rb") as b:
                    self.report.check(a.read() == b.read(), f"{first} to {second}: the same bytes as from JSON")
        for name in ("vector", "matrix", "number", "four"):
            self.call("a.json", "-q", "--stages", name, "-o", "one.npy")
            self.same(f"npy: {name}", {name: numpy.load(self.path("one.npy"), mmap_mode="r")}, {name: TENSORS[name]})
            self.call("one.npy", "-q", "-o", "again.npz")
            self.same(f"npy read: {name}", self.arrays("again.npz"), {"one": TENSORS[name]})

    def trace(self):
        """A converted trace is the trace in another format."""
        for example in ("multi_head", "linear", "delta"):
            document = os.path.join(SOURCE, f"data/examples/{example}.json")
            for form in (*WRITTEN, "ndjson"):
                execute([self.program, document, "-q", "-o", f"trace.{form}"], self.folder)
            with numpy.load(self.path("trace.npz")) as arrays:
                expected = {k: arrays[k] for k in arrays.files if k != "attn_calc.json"}
            for form in ("npz", "safetensors"):
                for text in ("json", "ndjson"):
                    made = self.call(f"trace.{text}", "-o", f"d.{form}")
                    self.report.matches(f"{example}: {text} to {form}: what is lost", made.said, "not kept: what a trace says")
                    self.same(f"{example}: {text} to {form}", self.arrays(f"d.{form}"), expected, "<f4")
                    self.report.equal(f"{example}: {text} to {form}: order", list(self.arrays(f"d.{form}")), list(expected))
                self.call("trace.csv", "-q", "-o", f"e.{form}", "--dtype", "float32")
                self.same(f"{example}: csv to {form}", self.arrays(f"e.{form}"), expected, "<f4")
            self.call("trace.json", "-q", "-o", "f.csv")
            rows = [self.values_of(name) for name in ("trace.csv", "f.csv")]
            self.report.equal(f"{example}: json to csv", rows[1], rows[0])
        execute([self.program, document, document, "-q", "-o", "trace.ndjson"], self.folder)
        made = self.call("trace.ndjson", "-o", "two.npz")
        self.report.check(made.status == 3 and "trace.ndjson: holds several documents" in made.said, "two documents of events", "exit 3", made.said)

    def values_of(self, name):
        """The lines of a CSV trace without their tokens."""
        with open(self.path(name), encoding="utf-8", newline="") as file:
            return [(*line.split(",")[:5], line.split(",")[-1]) for line in file.read().split("\r\n") if line]

    def narrow(self):
        self.write_json("n.json", {"x": numpy.array(NUMBERS)})
        wide = numpy.array(NUMBERS)
        for name, code in TYPES.items():
            for form in ("npz", "safetensors"):
                made = self.call("n.json", "-o", f"n.{form}", "--dtype", name)
                with numpy.errstate(over="ignore"):
                    expected = wide.astype(code)
                self.same(f"{name}, {form}", self.arrays(f"n.{form}"), {"x": expected}, code)
                changed, infinite = int((expected != wide).sum()), int(numpy.isinf(expected).sum())
                said = "" if changed == 0 else f"attn-calc: warning: n.json: {changed} of {len(NUMBERS)} numbers are not the " \
                    f"same in {name}" + (f", {infinite} of them became infinite" if infinite else "") + "\n"
                self.report.equal(f"{name}, {form}: what is lost", made.said, said)
        made = self.call("n.json", "-o", "n.safetensors", "--dtype", "bfloat16")
        bits = numpy.frombuffer(safetensors(self.bytes_of("n.safetensors"))[0]["x"].tobytes(), "<u2").astype("<u4") << 16
        found = bits.view("<f4").astype(float)
        for step in (-1, 1):  # no neighbour is nearer
            neighbour = ((bits.astype("i8") >> 16) + step).clip(0).astype("<u4") << 16
            inside = (numpy.abs(wide) < 1e38) & (wide != 0)
            nearer = numpy.abs(neighbour.view("<f4").astype(float) - wide) < numpy.abs(found - wide)
            self.report.check(not nearer[inside].any(), f"bfloat16, {step}", wide, found)
        made = self.call("n.json", "-o", "bf.npz", "--dtype", "bfloat16")
        self.report.matches("bfloat16 in npz", made.said, "1 tensor of bfloat16 became float32")
        self.report.check(numpy.array_equal(self.arrays("bf.npz")["x"], bits.view("<f4")), "bfloat16 in npz: numbers")

    def bytes_of(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def others(self):
        given = b'{"mask": [[true, false]], "none": {"shape": [0, 3], "data": []}, "$id": 1, "x": [1]}'
        made = self.call("-", "-o", "o.npz", stdin=given)
        self.report.matches("what is no tensor", made.said, r"<stdin>: not kept: \$id")
        arrays = self.arrays("o.npz")
        self.report.equal("booleans", (arrays["mask"].dtype.str, arrays["mask"].tolist()), ("|b1", [[True, False]]))
        self.report.equal("an empty tensor", arrays["none"].shape, (0, 3))
        back = self.call("-", "-q", "-f", "json", stdin=given)
        self.report.equal("JSON again", json.loads(back.out), {"mask": [[True, False]], "none": {"shape": [0, 3], "data": []}, "x": [1]})
        made = self.call("-", "-f", "csv", stdin=given)
        self.report.matches("no line for an empty tensor", made.said, "1 tensor without numbers left no line")

        for name, arguments, text, status, said in (
                ("several in npy", ["-", "-o", "s.npy"], given, 2, "holds one tensor"),
                ("no such tensor", ["-", "-o", "s.npz", "--stages", "musk"], given, 2, 'did you mean "mask"'),
                ("nowhere", ["-"], given, 2, "-o OUT"),
                ("not a format of tensors", ["-", "-o", "s.txt"], given, 2, "npy or safetensors, not text"),
                ("five axes", ["-", "-o", "s.csv"], b'{"x": [[[[[1]]]]]}', 2, "5 axes"),
                ("ragged", ["-", "-o", "s.npz"], b'{"x": [[1, 2], [3]]}', 3, "/x/1 has 1 number"),
                ("no tensor", ["-", "-o", "s.npz"], b'{"x": "text"}', 3, "/x is the string"),
                ("drawn", ["-", "-o", "s.npz"], b'{"x": {"init": "torch.rand"}}', 3, "/x is drawn"),
                ("two documents", ["-", "-o", "s.npz"], b'{} {}', 3, "2 documents")):
            made = self.call(*arguments, stdin=text)
            self.report.equal(f"{name}: exit", made.status, status)
            self.report.check(said in made.said, f"{name}: message", said, made.said)
        header = "stage,batch,head,row,column,row_token,column_token,value\n"
        for name, text, said in (
                ("no header", "a,b\n", "first line"), ("another header", header.replace("head", "h"), "first line"),
                ("a hole", header + "x,,,0,0,,,1\nx,,,1,1,,,1\n", "has stage x with 2 lines, expected one for each cell of [2, 2]"),
                ("twice", header + "x,,,,0,,,1\nx,,,,0,,,1\nx,,,,1,,,1\n", "w.csv:3:1: the document has the cell x[0] again, which stands in line 2"),
                ("no number", header + "x,,,,0,,,one\n", 'w.csv:2:1: the document has "one"'),
                ("an axis that goes", header + "x,,,0,0,,,1\nx,,,,1,,,1\n", "w.csv:3:1"),
                ("an axis below 0", header + "x,,,,-1,,,1\n", 'has "-1"'),
                ("a cell without an end", header + '"x,,,,0,,,1\n', "without an end")):
            with open(self.path("w.csv"), "w", encoding="utf-8") as file:
                file.write(text)
            made = self.call("w.csv", "-o", "w.npz")
            self.report.equal(f"CSV, {name}: exit", (made.status, os.path.exists(self.path("w.npz"))), (3, False))
            self.report.check(said in made.said, f"CSV, {name}: message", said, made.said)
        self.report.equal("nothing was written", [f for f in os.listdir(self.folder) if f.startswith("s.")], [])
        self.report.equal("over the input", self.call("a.json", "-o", "a.json").status, 2)


def main():
    options = parser_of(__doc__).parse_args()
    report = Report(options.only)
    with tempfile.TemporaryDirectory() as folder:
        tests = Tests(program_of(options), report, folder)
        for test in (tests.pairs, tests.trace, tests.narrow, tests.others):
            test()
    return report.end()


sys.exit(main())
