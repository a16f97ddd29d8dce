"""GGUF files wherever files of tensors are read: documents, --weights, check, diff, view, convert.

Files are written here from the format's description; the numbers of their blocks are calculated with numpy in float32.
"""
import json
import os
import struct
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Program, run_tests  # noqa: E402

CASES = os.path.join(SOURCE, "tests", "data", "files", "gguf")
TYPES = {"F32": 0, "F16": 1, "Q8_0": 8, "F64": 28, "BF16": 30, "IQ2_XS": 17}


def text(word):
    return struct.pack("<Q", len(word.encode())) + word.encode()


def gguf(tensors, pairs=()):
    """tensors: name -> (type, shape, bytes); pairs: (key, type, bytes)"""
    head, entries, data = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(pairs)), b"", b""
    for key, kind, raw in pairs:
        head += text(key) + struct.pack("<I", kind) + raw
    for name, (kind, shape, raw) in tensors.items():
        entries += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in reversed(shape))
        entries += struct.pack("<IQ", TYPES[kind], len(data))
        data += raw + b"\0" * (-len(raw) % 32)
    head += entries
    return head + b"\0" * (-len(head) % 32) + data


def stored(array, kind):
    """-> the tensor as gguf() takes it, and the numbers that it holds then"""
    if kind == "BF16":
        bits = (array.astype("<f4").view("<u4") >> 16).astype("<u2")
        return (kind, array.shape, bits.tobytes()), (bits.astype("<u4") << 16).view("<f4")
    if kind == "Q8_0":
        rows = array.reshape(-1, 32)
        scales = (abs(rows).max(axis=1, keepdims=True) / 127).astype("<f2")
        whole = np.rint(rows / scales.astype("f8")).clip(-128, 127).astype("i1")
        raw = b"".join(s.tobytes() + q.tobytes() for s, q in zip(scales, whole))
        return (kind, array.shape, raw), (whole.astype("f4") * scales.astype("f4")).reshape(array.shape)
    held = array.astype({"F32": "<f4", "F16": "<f2", "F64": "<f8"}[kind])
    return (kind, array.shape, held.tobytes()), held


class Tests(Program):
    def __init__(self, program, report, folder):
        super().__init__(program, report, folder)
        rng = np.random.default_rng(11)
        self.arrays = {kind: rng.normal(size=(3, 64)) for kind in ("F32", "F16", "BF16", "F64", "Q8_0")}
        made = {kind: stored(array, kind) for kind, array in self.arrays.items()}
        self.held = {kind: held for kind, (_, held) in made.items()}
        self.put("w.gguf", gguf({kind: tensor for kind, (tensor, _) in made.items()}, [("general.architecture", 8, text("llama"))]))

    def put(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
        return name

    def stages(self, *arguments):
        done = self.call(*arguments, "-f", "json")
        self.report.equal(f"{arguments}: exit", (done.status, done.said), (0, ""))
        return json.loads(done.out)["stages"] if done.status == 0 else {}

    def test_documents(self):
        for kind, held in self.held.items():
            for dtype in ("float32", "float64"):
                document = {"variant": "simplified", "embeddings": {"file": "w.gguf", "name": kind}, "dtype": dtype}
                found = np.array(self.stages(self.put("x.json", document), "--stages", "queries")["queries"]["data"])[0, 0]
                self.report.check(np.array_equal(found.astype(dtype), held.astype(dtype)), f"{kind}, {dtype}", held, found)

    def test_check(self):
        listed = json.loads(self.call("check", "w.gguf", "-f", "json").out)
        self.report.equal("format", listed["format"], "gguf")
        self.report.equal("names", [t["name"] for t in listed["tensors"]], list(self.arrays))
        self.report.equal("shapes", {tuple(t["shape"]) for t in listed["tensors"]}, {(3, 64)})
        self.report.equal("types", [t["dtype"] for t in listed["tensors"]], ["float32", "float16", "bfloat16", "float64", "float32"])
        self.report.equal("types of blocks", [t.get("stored") for t in listed["tensors"]], [None] * 4 + ["Q8_0"])
        self.report.equal("besides", listed["besides"], ["1 pair of metadata"])
        said = self.call("check", "w.gguf").text
        size = 3 * 64 * (4 + 2 + 2 + 8) + 6 * 34
        self.report.matches("bytes", said, rf"^w\.gguf: gguf, 5 tensors, {size} bytes\n")
        self.report.matches("as text", said, r"(?m)^Q8_0 +\[3, 64\] +float32 from Q8_0$")

    def test_types_with_tables(self):
        """One tensor of a type that is not read leaves the others of its file readable."""
        self.put("t.gguf", gguf({"good": stored(np.eye(4), "F32")[0], "odd": ("IQ2_XS", [2, 256], bytes(148))}))
        self.report.matches("check", self.call("check", "t.gguf").text, r"(?m)^odd +\[2, 256\] +IQ2_XS$")
        done = self.call("convert", "t.gguf", "-f", "json")
        self.report.equal("convert: exit", done.status, 0)
        self.report.matches("convert", done.said, r"odd.*IQ2_XS")
        for name, status in (("good", 0), ("odd", 3)):
            done = self.call(self.put("x.json", {"variant": "simplified", "embeddings": {"file": "t.gguf", "name": name}}))
            self.report.equal(f"{name}: exit", done.status, status)
        self.report.matches("odd", done.said, r'/embeddings.*t\.gguf.*"odd".*IQ2_XS(.|\n)*types that are read: F32 F16 Q4_0')

    def test_convert(self):
        done = self.call("convert", "w.gguf", "-o", "w.npz")
        self.report.matches("what is lost", done.said, r"not kept: 1 pair of metadata")
        found = np.load(self.path("w.npz"))
        for kind, held in self.held.items():
            self.report.check(np.array_equal(found[kind].astype("f8"), held.astype("f8")), f"convert {kind}", held, found[kind])

    def test_weights(self):
        rng = np.random.default_rng(12)
        weights = {f"{n}_proj.weight": rng.normal(size=(32, 32)).astype("<f4") for n in "qkvo"}
        document = {"embeddings": rng.normal(size=(3, 32)).round(3).tolist(), "num_heads": 4, "causal": True}
        self.put("m.gguf", gguf({f"layer.1.{n}": stored(w, "F32")[0] for n, w in weights.items()}))
        self.put("whole.json", {**document, "weights": {n: w.astype(float).tolist() for n, w in weights.items()}})
        self.put("none.json", document)
        self.put("file.json", {**document, "weights": {"file": "m.gguf", "prefix": "layer.1."}})
        wanted = self.stages("whole.json")
        self.report.equal("of a file", self.stages("file.json"), wanted)
        self.report.equal("--weights", self.stages("none.json", "--weights", "m.gguf", "--prefix", "layer.1."), wanted)

    def test_diff_and_view(self):
        document = self.put("x.json", {"variant": "simplified", "embeddings": self.arrays["F32"].round(2).tolist(), "dtype": "float64"})
        held = {n: np.array(s["data"]) for n, s in self.stages(document).items()}
        self.put("theirs.gguf", gguf({n: stored(a, "F64")[0] for n, a in held.items()}))
        self.report.equal("the same", self.call("diff", "theirs.gguf", document).status, 0)
        held["weights"][0, 0, 1, 0] += 0.5
        self.put("theirs.gguf", gguf({n: stored(a, "F64")[0] for n, a in held.items()}))
        done = self.call("diff", "theirs.gguf", document)
        self.report.equal("another number: exit", done.status, 1)
        self.report.matches("another number", done.text, r"weights")
        done = self.call("view", "theirs.gguf", "--stages", "weights")
        self.report.equal("view: exit", done.status, 0)
        self.report.matches("view", done.text, r"weights")

    def test_pairs_of_rope(self):
        """llama.cpp's order of the rows of q and k, with pairs of neighbours, is Hugging Face's with halves."""
        for suffix in ("gguf", "safetensors"):
            with open(os.path.join(CASES, f"llama_permuted.{suffix}"), "rb") as file:
                self.put(f"m.{suffix}", file.read())
        rows = np.random.default_rng(13).normal(size=(5, 16)).round(3).tolist()
        document = {"embeddings": rows, "num_heads": 4, "num_kv_heads": 2, "causal": True, "dtype": "float64"}
        names = {"W_query.weight": "q", "W_key.weight": "k", "W_value.weight": "v", "W_out.weight": "output"}
        ours = {n: {"file": "m.gguf", "name": f"blk.0.attn_{there}.weight"} for n, there in names.items()}
        theirs = {"file": "m.safetensors", "prefix": "model.layers.0.self_attn."}
        found = [np.array(self.stages(self.put("x.json", {**document, "weights": weights, "rope": {"pairs": pairs}}))["output"]["data"])
                 for weights, pairs in ((ours, "interleaved"), (theirs, "half"), (ours, "half"))]
        self.report.check(np.allclose(found[0], found[1], rtol=1e-13, atol=1e-15), "one layer", found[1], found[0])
        self.report.check(not np.allclose(found[2], found[1], rtol=1e-3), "other pairs", "another output", found[2])


if __name__ == "__main__":
    sys.exit(run_tests(Tests, __doc__))
