"""Files of tensors that numpy and an independent writer made, in every type, order and version, read through documents.

Expected are numpy's own numbers. safetensors files are written here from the specification.
"""
import itertools
import json
import os
import struct
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Program, execute, run_tests  # noqa: E402

REAL = ("f2", "f4", "f8")
WHOLE = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
SAFE = {"f2": "F16", "f4": "F32", "f8": "F64", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64", "u1": "U8", "u2": "U16",
        "u4": "U32", "u8": "U64"}


def safetensors(tensors, metadata=None):
    """tensors: name -> (dtype, shape, bytes)"""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


class Tests(Program):
    def __init__(self, program, report, folder):
        super().__init__(program, report, folder)
        rng = np.random.default_rng(5)
        self.real = rng.normal(size=(3, 4))
        self.whole = rng.integers(0, 100, size=(3, 4))

    def read(self, reference, dtype="float64", **more):
        document = {"variant": "simplified", "embeddings": reference, "dtype": dtype, **more}
        with open(self.path("x.json"), "w", encoding="utf-8") as file:
            json.dump(document, file)
        done = self.call("x.json", "-f", "json", "--stages", "queries")
        if done.status:
            return done.said
        return np.array(json.loads(done.out)["stages"]["queries"]["data"], dtype=np.float64)[0, 0]

    def expect(self, name, reference, array):
        for dtype in ("float64", "float32"):
            found = self.read(reference, dtype)
            wanted = array.astype(dtype).astype(np.float64)
            good = not isinstance(found, str) and np.array_equal(found.astype(dtype).astype(np.float64), wanted)
            self.report.check(good, f"{name}, {dtype}", wanted, found)

    def array(self, code):
        return (self.real if code in REAL else self.whole).astype(code)

    def test_npy(self):
        for code, order, byte, version in itertools.product(REAL + WHOLE, "CF", "<>", ((1, 0), (2, 0), (3, 0))):
            array = np.asarray(self.array(code).astype(byte + code), order=order)
            with open(self.path("w.npy"), "wb") as file:
                np.lib.format.write_array(file, array, version=version)
            self.expect(f"npy {byte}{code} {order} {version}", {"file": "w.npy"}, self.array(code))
        np.save(self.path("w.npy"), np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)))
        found = self.read({"file": "w.npy"}, num_heads=1)
        self.report.check(np.array_equal(found, np.arange(12.0).reshape(3, 4)), "npy of three axes, Fortran order", "0 to 11", found)

    def test_npz(self):
        arrays = {code: self.array(code) for code in REAL + WHOLE}
        for name, save in (("stored", np.savez), ("deflated", np.savez_compressed)):
            save(self.path(f"{name}.npz"), **arrays, empty=np.zeros((0, 2)), scalar=np.float64(1), text_is_ignored=np.ones(1))
            for code, array in arrays.items():
                self.expect(f"npz {name} {code}", {"file": f"{name}.npz", "name": code}, array)
            for odd in ("empty", "scalar"):
                self.report.matches(f"npz {name} {odd}", self.read({"file": f"{name}.npz", "name": odd}), r"error: x\.json:1:\d+: /embeddings ")
        self.report.matches("a name that is not there", self.read({"file": "stored.npz", "name": "f5"}), r'/embeddings/name is "f5"(.|\n)*did you mean')

    def test_safetensors(self):
        tensors = {code: (SAFE[code], [3, 4], self.array(code).astype("<" + code).tobytes()) for code in REAL + WHOLE}
        bits = (self.real.astype("<f4").view("<u4") >> 16).astype("<u2")
        tensors["bf16"] = ("BF16", [3, 4], bits.tobytes())
        tensors["odd"] = ("U8", [3], b"abc")  # what follows is not aligned
        tensors["last"] = ("F64", [3, 4], self.real.astype("<f8").tobytes())
        with open(self.path("w.safetensors"), "wb") as file:
            file.write(safetensors(tensors, {"format": "pt"}))
        for code in REAL + WHOLE:
            self.expect(f"safetensors {code}", {"file": "w.safetensors", "name": code}, self.array(code))
        self.expect("safetensors bf16", {"file": "w.safetensors", "name": "bf16"}, (bits.astype("<u4") << 16).view("<f4"))
        self.expect("safetensors, not aligned", {"file": "w.safetensors", "name": "last"}, self.real)
        listed = json.loads(self.call("check", "w.safetensors", "-f", "json").out)
        self.report.equal("check lists names", [t["name"] for t in listed["tensors"]], list(tensors))
        self.report.equal("check lists shapes", [t["shape"] for t in listed["tensors"]], [t[1] for t in tensors.values()])
        self.report.matches("check as text", self.call("check", "w.safetensors").text, r"(?m)^bf16 +\[3, 4\] +bfloat16$")

    def test_weights(self):
        """A checkpoint: layers below prefixes, names that are no weights among them."""
        rng = np.random.default_rng(6)
        names, tensors = ("q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight"), {}
        for layer in range(2):
            for name in names:
                tensors[f"model.layers.{layer}.self_attn.{name}"] = rng.normal(size=(4, 4)).astype("<f4")
            tensors[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = np.ones(2, "<f4")
            tensors[f"model.layers.{layer}.mlp.up_proj.weight"] = rng.normal(size=(8, 4)).astype("<f4")
        with open(self.path("model.safetensors"), "wb") as file:
            file.write(safetensors({n: ("F32", list(t.shape), t.tobytes()) for n, t in tensors.items()}))
        np.savez(self.path("model.npz"), **tensors)
        prefix = "model.layers.1.self_attn."
        inside = {n: tensors[prefix + n].astype(float).tolist() for n in names}
        document = {"embeddings": rng.normal(size=(3, 4)).round(3).tolist(), "num_heads": 2, "causal": True}
        asked = {"literal.json": {**document, "weights": inside}, "none.json": document,
                 "file.json": {**document, "weights": {"file": "model.safetensors", "prefix": prefix}}}
        for name, content in asked.items():
            with open(self.path(name), "w", encoding="utf-8") as file:
                json.dump(content, file)
        whole = json.loads(self.call("literal.json", "-f", "json").out)["stages"]
        for arguments in (["file.json"], ["none.json", "--weights", "model.safetensors", "--prefix", prefix],
                          ["literal.json", "--weights", "model.npz", "--prefix", prefix]):
            done = self.call(*arguments, "-f", "json")
            found = json.loads(done.out) if done.status == 0 else {"stages": done.said, "plan": {"weights": {"from": ""}}}
            self.report.equal(f"{arguments}", found["stages"], whole)
            self.report.matches(f"{arguments}: the plan says so", found["plan"]["weights"]["from"], r"weights of model\.\w+, below .*not used: rotary_emb.inv_freq")
        self.report.matches("a wrong prefix", self.call("none.json", "--weights", "model.npz", "--prefix", "h.0.").said,
                            r"error: model\.npz: the file has no tensor whose name begins with \"h\.0\.\"(.|\n)*model\.layers\.0\.self_attn\.")

    def test_not_finite(self):
        for value in (np.nan, np.inf, -np.inf):
            array = self.real.copy()
            array[1, 2] = value
            np.save(self.path("w.npy"), array)
            self.report.matches(f"{value} among embeddings", self.read({"file": "w.npy"}), r"/embeddings is read from w\.npy, which holds -?(NaN|Infinity) at /1/2")
        np.save(self.path("m.npy"), np.array([[0, -np.inf, 0]] * 3))
        found = self.read(self.real.tolist(), mask={"add": {"file": "m.npy"}})
        self.report.check(not isinstance(found, str), "-inf in an additive mask", "accepted", found)
        np.save(self.path("k.npy"), np.array([[True, False, True]] * 3))
        found = self.read(self.real.tolist(), mask={"keep": {"file": "k.npy"}})
        self.report.check(not isinstance(found, str), "booleans in a mask to keep", "accepted", found)

    def write(self, name, document):
        with open(self.path(name), "w", encoding="utf-8") as file:
            json.dump(document, file)
        return name

    def test_file_in_a_list(self):
        """A file holds a whole tensor: inside a list it is refused by name, whatever stands beside it."""
        for axes in range(7):
            np.save(self.path(f"a{axes}.npy"), np.ones((2,) * axes))
        inside = {"file": "a2.npy"}
        lists = [[inside], [inside, [[1, 2], [3, 4]]], [[[1, 2], [3, 4]], inside], [[[1, 2], inside]], [1, inside]]
        lists += [[{"file": f"a{axes}.npy"}, [[1, 2]]] for axes in range(7)] + [[[[1, 2]], {"file": f"a{axes}.npy"}] for axes in range(7)]
        base = {"embeddings": [[1.0, 2.0], [3.0, 4.0]]}
        for number, (at, value) in enumerate(itertools.product(("embeddings", "key_embeddings", "rope", "mask", "weights", "tokens", "key_lengths"), lists)):
            inner = {"rope": {"positions": value}, "mask": {"add": value}, "weights": {"W_query": value}}.get(at, value)
            for command in (("run", "check") if number % 7 else ("run", "check", "explain", "blindspots")):
                done = self.call(command, self.write("x.json", {**base, at: inner}))
                self.report.equal(f"{command} {at} {value}: exit", (done.status, done.out), (3, b""))
                self.report.matches(f"{command} {at} {value}", done.said, r"^attn-calc: error: x\.json:1:\d+: \S*/\d+ is a reference to a file inside a list")

    def test_numbers_of_files(self):
        """Positions are numbers, integers or not; what has to be an integer or a text is not made one."""
        queries = [[1.0, 0.0], [0.0, 2.0]]
        for dtype, values in (("f2", [0.5, 1.75]), ("f4", [0.5, 1.75]), ("f8", [0.5, 1.7]), ("i4", [3, -4])):
            np.save(self.path("p.npy"), np.array(values, dtype))
            for positions in ({"file": "p.npy"}, values):
                done = self.call(self.write("x.json", {"queries": queries, "keys": queries, "values": queries, "dtype": "float64",
                                                       "rope": {"positions": positions}}), "-f", "json", "--stages", "rotated_queries")
                trace = json.loads(done.out) if done.status == 0 else {"stages": {"rotated_queries": {"data": [[[[0, 0], [0, 0]]]]}}, "plan": {}}
                wanted = [[np.cos(values[0]), np.sin(values[0])], [-2 * np.sin(values[1]), 2 * np.cos(values[1])]]
                found = np.array(trace["stages"]["rotated_queries"]["data"])[0, 0]
                self.report.check(np.allclose(found, wanted, atol=1e-15), f"positions {positions} {dtype}", wanted, done.said or found)
                self.report.equal(f"positions {positions} {dtype} in the plan", trace["plan"].get("rope", {}).get("query_positions"), values)
        np.save(self.path("f.npy"), np.array([0.5, 1.7]))
        np.save(self.path("n.npy"), np.array([1, np.nan]))
        np.save(self.path("b.npy"), np.array([True, False]))
        np.save(self.path("i.npy"), np.array([1, 2]))
        base = {"embeddings": [queries, queries]}
        for at, name, words in (("key_lengths", "f", "0.5"), ("key_lengths", "n", "NaN"), ("key_lengths", "b", "boolean"),
                                ("tokens", "f", "holds numbers, expected strings"), ("tokens", "i", "holds numbers"), ("tokens", "b", "holds numbers"),
                                ("key_tokens", "i", "holds numbers"), ("positions", "n", "NaN"), ("positions", "b", "boolean"), ("offset", "f", "0.5")):
            value = {"file": f"{name}.npy"}
            member = {"positions": {"rope": {"positions": value}}, "offset": {"causal": {"offset": value}}}.get(at, {at: value})
            done = self.call(self.write("x.json", {**base, **member}))
            self.report.equal(f"{at} from {name}: exit", (done.status, done.out), (3, b""))
            self.report.matches(f"{at} from {name}", done.said, rf"/{at}\S* .*{words}")
        done = self.call(self.write("x.json", {**base, "key_lengths": {"file": "i.npy"}}))
        self.report.equal("integers of a file", done.status, 0)

    def test_files_everywhere(self):
        """Any tensor in any place of a document: numbers, or one refusal."""
        arrays = {"a0": np.float32(1), "a1": np.arange(4, dtype="f4"), "a2": np.eye(4), "a3": np.ones((2, 4, 4), "f2"),
                  "a6": np.ones((1, 1, 1, 2, 2, 2)), "none": np.zeros((0, 4)), "nan": np.full((4, 4), np.nan), "bool": np.ones((4, 4), bool)}
        for name, array in arrays.items():
            np.save(self.path(name + ".npy"), array)
        square = np.eye(4).tolist()
        document = {"variant": "multi_head", "tokens": ["a", "b", "c", "d"], "embeddings": square, "num_heads": 2, "scale": 1.0, "causal": True,
                    "weights": {"W_query": square, "W_key": square, "W_value": square, "W_out.weight": square, "b_query": [0, 0, 0, 1]},
                    "rope": {"positions": [0, 1, 2, 3]}, "mask": [{"keep": square}, {"add": square}], "sinks": [0, 1], "key_lengths": [4],
                    "window": {"left": 1}, "dropout": {"p": 0.5, "keep": square}, "qk_norm": {"type": "rms"}, "alibi": [1, 2], "dtype": "float32"}

        def places(value, path=()):
            yield path
            for key in (value if isinstance(value, dict) else range(min(2, len(value))) if isinstance(value, list) else ()):
                yield from places(value[key], path + (key,))

        for path, name in itertools.product([p for p in places(document) if p], arrays):
            changed = json.loads(json.dumps(document))
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = {"file": name + ".npy"}
            done = self.call("check", self.write("x.json", changed))
            self.report.check(done.status in (0, 3) and (done.status == 0) == (len(done.out) > 0) and done.said.count(" error: ") == (done.status == 3),
                              f"{name} at {path}", "a plan, or one refusal", (done.status, done.said))

    def test_standard_input(self):
        np.save(self.path("w.npy"), self.real)
        done = execute([self.program, "-f", "json"], self.folder, stdin=b'{"variant": "simplified", "embeddings": {"file": "w.npy"}}')
        self.report.equal("standard input names no files", (done.status, done.out), (3, b""))


if __name__ == "__main__":
    sys.exit(run_tests(Tests, __doc__))
