"""npz, npy and safetensors from outside: numpy, and a reader of safetensors of our own, find what the JSON trace holds."""
import glob
import io
import json
import os
import struct
import sys
import tempfile
import zipfile

import numpy

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Report, execute, leaves, number, parser_of, program_of  # noqa: E402
from tensor_readers import safetensors  # noqa: E402

LOCAL_HEADER = 30  # bytes, then name and extra field (APPNOTE 4.3.7)
SELECTIONS = ([], ["--squeeze"], ["--rows", "0,2"], ["--cols", "1:2"], ["--dtype", "float64"],
              ["--threads", "3", "--batch", "0"])


def array_of(stage):
    return numpy.array([number(v) for v in leaves(stage["data"])], stage["dtype"]).reshape(stage["shape"])


def mapped(path, info):
    """An entry as numpy.memmap finds it: at its place in the zip, which is a multiple of 64."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        header = file.read(LOCAL_HEADER)
        name, extra = struct.unpack_from("<HH", header, 26)
        file.seek(info.header_offset + LOCAL_HEADER + name + extra)
        assert numpy.lib.format.read_magic(file) == (1, 0)
        shape, fortran, dtype = numpy.lib.format.read_array_header_1_0(file)
        return file.tell(), numpy.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


class Tests:
    def __init__(self, program, report, folder):
        self.program, self.report, self.folder = program, report, folder

    def call(self, *arguments, stdin=None):
        return execute([self.program, *arguments], self.folder, stdin)

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def same(self, name, arrays, trace):
        for stage, content in trace["stages"].items():
            expected, found = array_of(content), arrays[stage]
            self.report.equal(f"{name}: {stage}", (found.dtype, found.shape), (expected.dtype, expected.shape))
            self.report.check(numpy.array_equal(found, expected, equal_nan=True), f"{name}: {stage}: numbers", expected,
                              found)

    def document(self, path, arguments):
        name = " ".join([os.path.basename(path), *arguments])
        whole = self.call(path, *arguments, "-f", "json")
        if whole.status == 2:  # no such row or column
            return
        trace = json.loads(whole.out)
        rest = json.loads(whole.out)
        for stage in rest["stages"].values():
            del stage["data"]
        made = self.call(path, "-q", *arguments, "-o", "a.npz", "-o", "a.safetensors", "-o", "a.json", "-o", "a.ndjson")
        self.report.equal(f"{name}: exit", (made.status, made.out, made.err), (0, b"", b""))
        self.report.equal(f"{name}: the JSON beside them", self.read("a.json"), whole.out)
        for form in ("npz", "safetensors"):
            self.report.check(self.call(path, "-q", *arguments, "-f", form).out == self.read(f"a.{form}"),
                              f"{name}: {form}: a pipe gets the bytes of a file")
            self.call(path, "-q", *arguments, "-o", f"b.{form}")
            self.report.check(self.read(f"b.{form}") == self.read(f"a.{form}"), f"{name}: {form}: twice the same bytes")

        with numpy.load(self.path("a.npz")) as arrays:
            self.report.equal(f"{name}: npz: names", arrays.files, [*trace["order"], "attn_calc.json"])
            self.same(f"{name}: npz", arrays, trace)
            self.report.equal(f"{name}: npz: the trace", json.loads(arrays["attn_calc.json"]), rest)
        with zipfile.ZipFile(self.path("a.npz")) as archive:
            self.report.equal(f"{name}: npz: CRC-32", archive.testzip(), None)
            for info in archive.infolist()[:-1]:
                begin, array = mapped(self.path("a.npz"), info)
                stage = trace["stages"][info.filename[:-4]]
                self.report.check(begin % 64 == 0 and numpy.array_equal(array, array_of(stage), equal_nan=True),
                                  f"{name}: npz: {info.filename} mapped", 0, begin % 64)
        arrays, metadata = safetensors(self.read("a.safetensors"))
        self.report.equal(f"{name}: safetensors: names", list(arrays), trace["order"])
        self.same(f"{name}: safetensors", arrays, trace)
        self.report.equal(f"{name}: safetensors: the trace", json.loads(metadata["attn_calc.json"]), rest)

    def one_stage(self):
        path = os.path.join(SOURCE, "data/examples/multi_head.json")
        trace = json.loads(self.call(path, "-f", "json").out)
        for stage, content in trace["stages"].items():
            piped = self.call(path, "--stages", stage, "-f", "npy")
            self.call(path, "--stages", stage, "-o", "a.npy")
            self.report.equal(f"npy: {stage}: a pipe gets the bytes of a file", self.read("a.npy"), piped.out)
            array = numpy.load(self.path("a.npy"), mmap_mode="r")
            self.report.check(numpy.array_equal(array, array_of(content)) and array.dtype == "<f4" and
                              array.shape == tuple(content["shape"]), f"npy: {stage}")
            self.report.check(array.offset % 64 == 0, f"npy: {stage}: aligned")
        several = self.call(path, "-o", "none.npy")
        self.report.equal("npy of many stages: exit", (several.status, os.path.exists(self.path("none.npy"))), (2, False))
        self.report.matches("npy of many stages: hint", several.said, "--stages")

    def warnings(self):
        """What only the run can tell stands in headers that come before the numbers."""
        document = {"queries": [[3e38, 3e38]], "keys": [[3e38, 1], [1, 1]], "values": [[1], [2]],
                    "mask": {"keep": [[0, 0]]}}
        given = json.dumps(document).encode()
        warnings = json.loads(self.call("-f", "json", stdin=given).out)["warnings"]
        self.report.equal("two warnings of a run", len(warnings), 2)
        _, metadata = safetensors(self.call("-q", "-f", "safetensors", stdin=given).out)
        self.report.equal("safetensors: warnings", json.loads(metadata["attn_calc.json"])["warnings"], warnings)
        with numpy.load(io.BytesIO(self.call("-q", "-f", "npz", stdin=given).out)) as arrays:
            self.report.equal("npz: warnings", json.loads(arrays["attn_calc.json"])["warnings"], warnings)

    def long(self):
        """Many row blocks, several workers, heads that share keys out of order: places and CRC-32 of pieces."""
        def drawn(heads, tokens, seed):
            return {"init": "torch.randn", "seed": seed, "shape": [2, heads, tokens, 16]}
        with open(self.path("long.json"), "w", encoding="utf-8") as file:
            json.dump({"variant": "grouped_query", "queries": drawn(6, 300, 1), "keys": drawn(2, 300, 2), "values": drawn(2, 300, 3),
                       "kv_head_order": "tile", "causal": True}, file)
        self.document(self.path("long.json"), ["--threads", "3"])
        self.document(self.path("long.json"), ["--rows", "3,5:99,250", "--heads", "1,4", "--cols", "7,9"])

    def together(self):
        """Sinks of every order fed by one computation, standard output among them."""
        path = os.path.join(SOURCE, "data/examples/multi_head.json")
        forms = ("npz", "safetensors", "json", "ndjson", "csv", "torch")
        alone = {form: self.call(path, "-f", form).out for form in forms}
        for form in forms:
            others = [f for f in forms if f != form]
            words = [word for f in others for word in ("-o", f"t.x:{f}".replace("t.", f"t{f}."))]
            self.report.check(self.call(path, "-f", form, *words).out == alone[form], f"{form} on standard output, others in files")
            for other in others:
                self.report.check(self.read(f"t{other}.x") == alone[other], f"{other} beside {form}")

    def refusals(self):
        path = os.path.join(SOURCE, "data/examples/hello_shiny_sun.json")
        for form in ("npz", "npy", "safetensors"):
            many = self.call(path, path, "-q", "-f", form, "--stages", "weights")
            self.report.equal(f"{form} of two documents", (many.status, many.out), (2, b""))
        with open("/dev/full", "wb") as full:
            for form in ("npz", "npy", "safetensors"):
                found = execute([self.program, path, "--stages", "weights", "-f", form], self.folder, stdout=full)
                self.report.equal(f"{form} > /dev/full", found.status, 4)


def main():
    options = parser_of(__doc__).parse_args()
    report = Report(options.only)
    with tempfile.TemporaryDirectory() as folder:
        tests = Tests(program_of(options), report, folder)
        for number_, path in enumerate(sorted(glob.glob(os.path.join(SOURCE, "data/examples/*.json")))):
            for arguments in ([], SELECTIONS[1 + number_ % (len(SELECTIONS) - 1)]):
                tests.document(path, arguments)
        tests.one_stage()
        tests.warnings()
        tests.long()
        tests.together()
        tests.refusals()
    return report.end()


sys.exit(main())
