"""ONNX models and TensorProto files wherever files of tensors are read, and what is wrong with others.

tests/data/files/onnx: what onnx and torch.onnx wrote. The others are written here, field by field (onnx.proto3).
"""
import json
import os
import struct
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Program, run_tests  # noqa: E402
from case_files import check_case  # noqa: E402

CASES = os.path.join(SOURCE, "tests", "data", "files", "onnx")
FLOAT, UINT8, INT8, INT32, INT64, STRING, BOOL, FLOAT16, DOUBLE, BFLOAT16 = 1, 2, 3, 6, 7, 8, 9, 10, 11, 16
NUMPY = {FLOAT: "<f4", UINT8: "|u1", INT8: "|i1", INT32: "<i4", INT64: "<i8", BOOL: "|b1", FLOAT16: "<f2", DOUBLE: "<f8"}


def varint(n):
    n %= 1 << 64
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def part(field, content):
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def fixed32(field, x):
    return varint(field << 3 | 5) + struct.pack("<f", x)


def proto(name, kind, dims, *fields):
    """A TensorProto; the further fields are bytes."""
    return b"".join(number(1, n) for n in dims) + number(2, kind) + (part(8, name) if name else b"") + b"".join(fields)


def raw(name, kind, array):
    return proto(name, kind, array.shape, part(9, array.astype(NUMPY[kind]).tobytes()))


def external(name, kind, dims, **entries):
    return proto(name, kind, dims, number(14, 1), *(part(13, part(1, k) + part(2, str(v))) for k, v in entries.items()))


def constant(output, attribute, domain=""):
    return part(1, part(2, output) + part(4, "Constant") + part(5, attribute) + (part(7, domain) if domain else b""))


def model(*fields):
    """Fields of a graph."""
    return number(1, 8) + part(7, part(2, "g") + b"".join(fields)) + part(8, part(1, "") + number(2, 17))


def of_tensors(*protos):
    return model(*(part(5, p) for p in protos))


class Tests(Program):
    def __init__(self, program, report, folder):
        super().__init__(program, report, folder)
        rng = np.random.default_rng(21)
        self.x = rng.normal(size=(3, 4)).astype("<f4")

    def put(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
        return name

    def queries(self, file, name=None, **more):
        """The numbers that a document takes from a file, or what is said."""
        document = {"variant": "simplified", "embeddings": {"file": file, **({"name": name} if name else {})}, "dtype": "float64", **more}
        done = self.call(self.put("d.json", document), "--stages", "queries", "-f", "json")
        return np.array(json.loads(done.out)["stages"]["queries"]["data"])[0, 0] if done.status == 0 else done.said

    def expect(self, name, content, wanted, tensor="x", file="m.onnx"):
        found = self.queries(self.put(file, content), tensor)
        self.report.check(isinstance(found, np.ndarray) and np.array_equal(found, wanted), name, wanted, found)

    def refuses(self, name, content, pattern, tensor="x", file="m.onnx"):
        found = self.queries(self.put(file, content), tensor)
        self.report.check(isinstance(found, str), f"{name}: refused", "an error", found)
        self.report.matches(name, str(found), r"d\.json:1:\d+: /embeddings/\w+(.|\n)*" + pattern)

    def test_cases(self):
        for name in sorted(n[:-len(".json")] for n in os.listdir(CASES) if n.endswith(".json")):
            check_case(self.program, self.report, os.path.join(CASES, name), name)
        said = self.call("check", os.path.join(CASES, "sequence_0.pb")).said
        self.report.matches("a sequence", said, r"not a TensorProto.*SequenceProto")
        done = self.call("check", os.path.join(CASES, "sparse.onnx"))
        self.report.matches("a sparse one is listed", done.text, r"(?m)^sp +\[3, 2\] +sparse_initializer$")
        done = self.call("check", os.path.join(CASES, "body_graph.onnx"))
        self.report.matches("graphs inside nodes", done.text, r"besides: 1 node.*2 graphs inside nodes, whose tensors are not listed")

    def test_lists(self):
        """Numbers packed, one by one, and both in turns; by the fields' own types."""
        x, flat = self.x, [float(v) for v in self.x.flat]
        floats = b"".join(fixed32(4, v) for v in flat)
        packed = part(4, self.x.tobytes())
        turns = part(4, self.x[:1].tobytes()) + b"".join(fixed32(4, v) for v in flat[4:8]) + part(4, b"") + part(4, self.x[2:].tobytes())
        for name, fields in (("one by one", floats), ("packed", packed), ("in turns", turns)):
            self.expect(name, of_tensors(proto("x", FLOAT, (3, 4), fields)), x)
            self.expect(f"{name}, the shape behind", model(part(5, fields + number(2, FLOAT) + part(8, "x") + part(1, varint(3)) + number(1, 4))), x)
        integers = np.array([[-128, 127], [0, -1]])
        for name, fields in (("one by one", b"".join(number(5, int(v)) for v in integers.flat)),
                             ("packed", part(5, b"".join(varint(int(v)) for v in integers.flat))),
                             ("in 32 bits", part(5, b"".join(varint(int(v) % 2**32) for v in integers.flat)))):
            self.expect(f"int8 {name}", of_tensors(proto("x", INT8, (2, 2), fields)), integers)
        self.expect("float16 as bits", of_tensors(proto("x", FLOAT16, (1, 2), part(5, varint(0x3C00) + varint(0xC500)))), [[1, -5]])
        self.expect("bfloat16 as bits", of_tensors(proto("x", BFLOAT16, (1, 2), number(5, 0x3FC0), number(5, 0x8000))), [[1.5, 0]])
        self.expect("double", of_tensors(proto("x", DOUBLE, (1, 2), part(10, struct.pack("<2d", 0.1, -2)))), [[0.1, -2]])
        self.expect("the last of a name counts", of_tensors(proto("y", FLOAT, (3, 4), part(8, "x"), packed)), x)

    def test_merged(self):
        """What stands in two pieces of one message is one message."""
        x = self.x
        two = number(1, 8) + part(7, part(5, raw("x", FLOAT, x))) + part(7, part(5, raw("y", FLOAT, -x)))
        self.expect("the first graph", two, x)
        self.expect("the second graph", two, -x, "y")
        halves = proto("", FLOAT, (3,), part(4, x[:2].tobytes())), number(1, 4) + part(4, x[2:].tobytes())
        self.expect("a tensor of two pieces", model(constant("x", part(1, "value") + part(5, halves[0]) + part(5, halves[1]))), x)

    def test_constants(self):
        x = self.x
        self.expect("value", model(constant("x", part(5, raw("other", FLOAT, x)) + part(1, "value"))), x)
        self.expect("ai.onnx", model(constant("x", part(1, "value") + part(5, raw("", FLOAT, x)), "ai.onnx")), x)
        listed = model(constant("f", part(1, "value_floats") + part(7, struct.pack("<2f", 0.5, 3)) + fixed32(7, -1)),
                       constant("i", part(1, "value_ints") + number(8, -7) + part(8, varint(2**40))),
                       constant("one", part(1, "value_float") + fixed32(2, 0.25)), constant("none", part(1, "value_int")),
                       constant("text", part(1, "value_string") + part(4, "words")), constant("far", part(1, "value_float"), "com.example"),
                       part(5, raw("x", FLOAT, x)))
        self.put("m.onnx", listed)
        done = self.call("convert", "m.onnx", "-o", "m.npz")
        found = np.load(self.path("m.npz"))
        wanted = {"f": np.array([0.5, 3, -1], "f4"), "i": np.array([-7, 2**40]), "one": np.array(0.25, "f4"), "none": np.array(0), "x": x}
        self.report.equal("names", sorted(found), sorted(wanted))
        for name, array in wanted.items():
            self.report.check(np.array_equal(found[name], array) and found[name].dtype == array.dtype, name, array, found[name])
        self.report.matches("others", done.said, r"not kept: 2 nodes")

    def test_external(self):
        x, double = self.x, self.x.astype("<f8") / 3
        os.mkdir(self.path("parts"))
        self.put("parts/w.bin", b"before" + x.tobytes() + double.tobytes() + b"behind")
        self.put("w.q", x.tobytes())
        for name, proto_, wanted in (
                ("offset and length", external("x", FLOAT, (3, 4), location="parts/w.bin", offset=6, length=48, checksum="none"), x),
                ("at an odd place", external("x", DOUBLE, (3, 4), location="./parts/../parts/w.bin", offset=54, length=96), double),
                ("a whole file", external("x", FLOAT, (3, 4), location="w.q"), x)):
            self.expect(name, of_tensors(proto_), wanted)
        self.expect("as a .pb", external("", FLOAT, (3, 4), location="w.q"), x, None, "m.pb")
        os.mkdir(self.path("deep"))
        self.put("deep/m.onnx", of_tensors(external("x", FLOAT, (3, 4), location="../w.q")))
        for arguments in (["check", "deep/m.onnx"], ["convert", "deep/m.onnx", "-f", "json"]):
            self.report.matches(f"{arguments[0]}: above the folder", self.call(*arguments).said, r'"x", whose external data are in "\.\./w\.q", which leads out')
        os.symlink("../w.q", self.path("deep/link"))
        self.put("deep/m.onnx", of_tensors(external("x", FLOAT, (3, 4), location="link")))
        found = self.queries("deep/m.onnx", "x")
        self.report.check(np.array_equal(found, x), "a link that stays in the folder of the document", x, found)
        self.put("deep/d.json", {"variant": "simplified", "embeddings": {"file": "m.onnx", "name": "x"}})
        self.report.matches("a link that leads out", self.call("deep/d.json").said, r'"link", a link that leads out of the folder')
        self.report.equal("--root allows it", self.call("deep/d.json", "--root", ".").status, 0)
        self.report.equal("a file of the command line may have links", self.call("check", "deep/m.onnx").status, 0)

    def test_refusals(self):
        x, good = self.x, raw("x", FLOAT, self.x)
        self.put("w.bin", bytes(48))
        short = proto("x", FLOAT, (3, 4), part(9, bytes(44)))
        for name, content, pattern in (
                ("raw_data that are short", of_tensors(short), r'"x", whose raw_data have 44 bytes, but 12 numbers of float32 have 48'),
                ("a list that is short", of_tensors(proto("x", FLOAT, (3, 4), fixed32(4, 1))), r"has 12 numbers, but float_data has 1"),
                ("another list", of_tensors(proto("x", FLOAT, (1,), number(5, 1))), r"float_data has 0: there are some in int32_data"),
                ("another list of no numbers", of_tensors(proto("x", FLOAT, (0,), number(5, 1))), r"float_data has 0: there are some in int32_data"),
                ("two places", of_tensors(good + fixed32(4, 1)), r"stand in raw_data and in float_data"),
                ("cut numbers", of_tensors(proto("x", FLOAT, (1,), part(4, b"12345"))), r"5 bytes in a field float_data"),
                ("a number that int8 has not", of_tensors(proto("x", INT8, (1, 2), part(5, varint(1) + varint(128)))), r"whose number 1 is 128, which int8 has not"),
                ("a number that float16 has not", of_tensors(proto("x", FLOAT16, (1, 1), number(5, -1))), r"whose number 0 is -1, which float16 has not"),
                ("a negative axis", of_tensors(proto("x", FLOAT, (-1, 4))), r"negative axis"),
                ("too many numbers", of_tensors(proto("x", FLOAT, (2**40, 2**40))), r"too many numbers"),
                ("too many axes", of_tensors(proto("x", FLOAT, (1,) * 65)), r"more than 64 axes"),
                ("a name twice", of_tensors(good, good), r'the tensor "x" twice'),
                ("a constant's name twice", model(part(5, good), constant("x", part(1, "value_int"))), r'the tensor "x" twice'),
                ("no name", of_tensors(raw("", FLOAT, x)), r"an initializer without a name"),
                ("a type of texts", of_tensors(proto("x", STRING, (1,), part(6, "a"))), r"stored as STRING(.|\n)*types that are read: FLOAT UINT8"),
                ("a type that there is not", of_tensors(proto("x", 99, (1,))), r"stored as type 99"),
                ("no graph", number(1, 8), r"has no graph"),
                ("another field's type", number(1, 8) + number(7, 1), r"field 7 \(graph\) of the wire type 0, expected 2"),
                ("a tensor as a model", raw("x", FLOAT, x), r"ONNX|wire type"),
                ("a group", number(1, 8) + varint(3 << 3 | 3), r"wire type 3, a group"),
                ("the wire type 7", varint(3 << 3 | 7), r"wire type 7, which there is not"),
                ("field 0", b"\x00\x01", r"field of the number 0"),
                ("a long varint", b"\x08" + b"\xff" * 9 + b"\x02", r"a varint of more than 64 bits"),
                ("a field past the end", b"\x3a\x05abc", r"field of 5 bytes in the model, but only 3 bytes are left"),
                ("external data without a place", of_tensors(external("x", FLOAT, (3, 4), offset=0)), r"no location"),
                ("external data past the end", of_tensors(external("x", FLOAT, (3, 4), location="w.bin", offset=1, length=48)), r'48 bytes from the offset 1 of "w\.bin", which go past its end: it has 48'),
                ("external data of another length", of_tensors(external("x", FLOAT, (3, 4), location="w.bin", length=44)), r"a length of 48 bytes follows from its shape"),
                ("a file that is not there", of_tensors(external("x", FLOAT, (3, 4), location="no.bin")), r'"no\.bin", which is not there'),
                ("an absolute path", of_tensors(external("x", FLOAT, (3, 4), location=self.path("w.bin"))), r"an absolute path"),
                ("a folder", of_tensors(external("x", FLOAT, (3, 4), location=".")), r"is a folder"),
                ("no number", of_tensors(external("x", FLOAT, (3, 4), location="w.bin", offset="0x8")), r'the offset "0x8", which is no number'),
                ("raw_data and external", of_tensors(external("x", FLOAT, (3, 4), location="w.bin") + part(9, bytes(48))), r"stand in external data and in raw_data")):
            self.refuses(name, content, pattern)
        self.refuses("a model as a tensor", of_tensors(good), r"is no TensorProto: it says no data_type", None, "m.pb")
        self.refuses("no bytes", b"", r"is empty", None, "m.pb")

    def test_other_types_beside(self):
        self.put("m.onnx", of_tensors(raw("x", FLOAT, self.x), proto("odd", STRING, (1,), part(6, "a"))))
        self.report.matches("check", self.call("check", "m.onnx").text, r"(?m)^odd +\[1\] +STRING$")
        done = self.call("convert", "m.onnx", "-f", "json")
        self.report.equal("convert: exit", done.status, 0)
        self.report.matches("convert", done.said, r'left out: it holds "odd", whose numbers are stored as STRING: not read')

    def test_commands(self):
        document = self.put("x.json", {"variant": "simplified", "embeddings": self.x.astype(float).tolist()})
        held = json.loads(self.call(document, "-f", "json").out)["stages"]
        arrays = {n: np.array(s["data"], "f4") for n, s in held.items()}
        self.put("theirs.onnx", of_tensors(*(raw(n, FLOAT, a) for n, a in arrays.items())))
        self.report.equal("diff: the same", self.call("diff", "theirs.onnx", document).status, 0)
        arrays["weights"][0, 0, 1, 0] += 0.5
        self.put("theirs.onnx", of_tensors(*(raw(n, FLOAT, a) for n, a in arrays.items())))
        done = self.call("diff", "theirs.onnx", document)
        self.report.equal("diff: another number", done.status, 1)
        self.report.matches("diff: which", done.text, r"weights")
        self.put("weights.pb", raw("", FLOAT, arrays["weights"][0, 0]))
        done = self.call("view", "weights.pb")
        self.report.equal("view: exit", done.status, 0)
        done = self.call("diff", "weights.pb", document, "--stages", "weights")
        self.report.equal("diff of a .pb", (done.status, "weights" in done.text), (1, True))
        listed = json.loads(self.call("check", "weights.pb", "-f", "json").out)
        self.report.equal("check", (listed["format"], listed["tensors"]), ("TensorProto", [{"name": "", "shape": [3, 3], "dtype": "float32"}]))

    def test_weights(self):
        rng = np.random.default_rng(22)
        weights = {f"{n}_proj.weight": rng.normal(size=(4, 4)).astype("<f4") for n in "qkvo"}
        document = {"embeddings": self.x.astype(float).tolist(), "num_heads": 2, "causal": True}
        self.put("m.onnx", of_tensors(*(raw(f"layer.1.{n}", FLOAT, w) for n, w in weights.items())))
        self.put("whole.json", {**document, "weights": {n: w.astype(float).tolist() for n, w in weights.items()}})
        self.put("none.json", document)
        self.put("file.json", {**document, "weights": {"file": "m.onnx", "prefix": "layer.1."}})
        wanted = json.loads(self.call("whole.json", "-f", "json").out)["stages"]
        for arguments in (["file.json"], ["none.json", "--weights", "m.onnx", "--prefix", "layer.1."]):
            self.report.equal(str(arguments), json.loads(self.call(*arguments, "-f", "json").out)["stages"], wanted)


if __name__ == "__main__":
    sys.exit(run_tests(Tests, __doc__))
