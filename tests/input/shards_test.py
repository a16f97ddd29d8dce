"""An index of shards wherever files of tensors are read; shards that are missing, wrong, or hold something else.

tests/data/files/sharded: what huggingface_hub wrote, and what was taken away from it.
"""
import json
import os
import shutil
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Program, run_tests  # noqa: E402
from case_files import check_case  # noqa: E402
from tensor_readers import safetensors  # noqa: E402

CASES = os.path.join(SOURCE, "tests", "data", "files", "sharded")
INDEX = "model.safetensors.index.json"


def stored(**arrays):
    header, data = {}, b""
    for name, array in arrays.items():
        raw = array.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


class Tests(Program):
    def put(self, name, content):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
        return name

    def refuses(self, name, weight_map, pattern, **more):
        self.put("m/" + INDEX, {"weight_map": weight_map, **more})
        self.put("d.json", {"variant": "simplified", "embeddings": {"file": "m/" + INDEX, "name": "x"}})
        self.report.matches(name, self.call("d.json").said, r"d\.json:1:\d+: /embeddings/file (.|\n)*" + pattern)
        done = self.call("check", "m/" + INDEX)
        self.report.equal(f"{name}: exit of check", done.status, 3)
        self.report.matches(f"{name}: check", done.said, pattern)

    def test_cases(self):
        for folder in sorted(os.listdir(CASES)):
            name, = (n[:-len(".json")] for n in os.listdir(os.path.join(CASES, folder)) if n.endswith((".index.json.json", "model.safetensors.json")))
            check_case(self.program, self.report, os.path.join(CASES, folder, name), f"{folder}/{name}")
        self.report.matches("the missing one", self.call("check", os.path.join(CASES, "missing_shard", INDEX)).said,
                            r'for "[\w.]+" the shard "model-00002-of-00003\.safetensors", which is not there')
        self.report.matches("the wrong one", self.call("check", os.path.join(CASES, "wrong_shard", INDEX)).said,
                            r'for "model\.layers\.0\.self_attn\.k_proj\.weight" the shard "model-00002-of-00003\.safetensors", which does not hold it')

    def test_commands(self):
        x = np.random.default_rng(31).normal(size=(3, 4)).astype("<f4")
        weights = {f"l.{n}_proj.weight": np.random.default_rng(32).normal(size=(4, 4)).astype("<f4") for n in "qkvo"}
        for k, (name, array) in enumerate(weights.items()):
            self.put(f"m/s{k}.safetensors", stored(**{name: array, f"left{k}": array}))
        self.put("m/sub/x.safetensors", stored(x=x))
        self.put("m/" + INDEX, {"metadata": {"total_size": 1.5, "y": "x"},
                                "weight_map": {**{n: f"s{k}.safetensors" for k, n in enumerate(weights)}, "x": "sub/x.safetensors"}})
        listed = json.loads(self.call("check", "m/" + INDEX, "-f", "json").out)
        self.report.equal("check", (listed["format"], [t["name"] for t in listed["tensors"]], listed["besides"]),
                          ("shards", [*weights, "x"], ["y, which is x"]))
        done = self.call("convert", "m/" + INDEX, "-o", "all.safetensors")
        self.report.matches("convert says what is not kept", done.said, r"not kept: y, which is x")
        with open(self.path("all.safetensors"), "rb") as file:
            found, _ = safetensors(file.read())
        self.report.check(all(np.array_equal(found[n], a) for n, a in {**weights, "x": x}.items()) and len(found) == 5, "convert", weights, found)
        document = {"embeddings": {"file": "m/" + INDEX, "name": "x"}, "num_heads": 2}
        self.put("files.json", {**document, "weights": {"file": "m/" + INDEX, "prefix": "l."}})
        self.put("none.json", document)
        self.put("whole.json", {"embeddings": x.astype(float).tolist(), "num_heads": 2,
                                "weights": {n[2:]: a.astype(float).tolist() for n, a in weights.items()}})
        wanted = json.loads(self.call("whole.json", "-f", "json").out)["stages"]
        for arguments in (["files.json"], ["none.json", "--weights", "m/" + INDEX, "--prefix", "l."]):
            done = self.call(*arguments, "-f", "json")
            self.report.equal(str(arguments), (done.said, done.status and {} or json.loads(done.out)["stages"]), ("", wanted))
        self.put("t/output.safetensors", stored(output=np.array(wanted["output"]["data"])))
        self.put("t/" + INDEX, {"weight_map": {"output": "output.safetensors"}})
        self.report.equal("diff", self.call("diff", "t/" + INDEX, "whole.json").status, 0)
        self.report.equal("view", self.call("view", "t/" + INDEX).status, 0)

    def test_refusals(self):
        shutil.rmtree(self.path("m"), ignore_errors=True)
        self.put("m/good.safetensors", stored(x=np.ones((2, 2))))
        self.put("m/cut.safetensors", stored(x=np.ones((2, 2)))[:-1])
        self.put("outside.safetensors", stored(x=np.ones((2, 2))))
        self.put("m/words.txt", b"words")
        for name, weight_map, pattern in (
                ("missing", {"x": "good.safetensors", "y": "no.safetensors"}, r'for "y" the shard "no\.safetensors", which is not there'),
                ("not in its shard", {"y": "good.safetensors", "x": "good.safetensors"}, r'for "y" the shard "good\.safetensors", which does not hold it'),
                ("cut", {"x": "cut.safetensors"}, r'for "x" the shard "cut\.safetensors", which holds "x", whose data_offsets go past the end'),
                ("above", {"x": "../outside.safetensors"}, r'"\.\./outside\.safetensors", which leads out of the folder'),
                ("absolute", {"x": self.path("m/good.safetensors")}, r"an absolute path"),
                ("itself", {"x": INDEX}, r'the shard "model\.safetensors\.index\.json", which is an index itself'),
                ("no file of tensors", {"x": "words.txt"}, r"is not a tensor file \(by its name\)"),
                ("a number", {"x": 1}, r'has the number 1 for "x" in its "weight_map", expected the name of a file'),
                ("no map", [], r'has .* as its "weight_map", expected an object')):
            self.refuses(name, weight_map, pattern)
        done = self.call("check", self.put("m/" + INDEX, b'{"weight_map":\n {"x": "good.safetensors"'))
        self.report.matches("cut JSON", done.said, r"index\.json:2:\d+: the file is not an index of shards: (.|\n)*end")
        done = self.call("check", self.put("m/" + INDEX, b'{"weight_map":\n {"x": true}}'))
        self.report.matches("the place of a fault", done.said, r"index\.json:2:\d+: the file has the boolean true for \"x\"(.|\n)*\{\"x\": true\}")
        self.report.matches("no map", self.call("check", self.put("m/" + INDEX, {})).said, r'has no "weight_map"')

    def test_part(self):
        """One shard in place of the index: its weights are not all of the layer's."""
        shutil.copytree(os.path.join(CASES, "safetensors"), self.path("m"))
        first, second = (f"m/model-0000{k}-of-00003.safetensors" for k in (1, 2))
        document = {"embeddings": [[1, 2, 3, 4, 5, 6]], "num_heads": 2}
        prefix = "model.layers.0.self_attn."
        self.put("none.json", document)
        self.put("part.json", {**document, "weights": {"file": first, "prefix": prefix}})
        pattern = r'is one of several shards, and "model\.layers\.0\.self_attn\.o_proj\.weight" lies in another one, "model-00002-of-00003\.safetensors"(.|\n)*m/model\.safetensors\.index\.json'
        self.report.matches("a document", self.call("part.json").said, pattern)
        self.report.matches("--weights", self.call("none.json", "--weights", first, "--prefix", prefix).said, pattern)
        self.report.matches("the other one", self.call("none.json", "--weights", second, "--prefix", prefix).said, r'q_proj\.weight" lies in another one, "model-00001')
        said = self.call("none.json", "--weights", "m/" + INDEX, "--prefix", prefix).said  # the cases' own o_proj fits no layer
        self.report.matches("the index has all of them", said, r"/weights/o_proj\.weight is \[4, 6\]")
        os.remove(self.path("m/" + INDEX))
        self.report.equal("nothing says that there is more", self.call("part.json").said, "")

    def test_links(self):
        """As Hugging Face's cache has them: an index and shards that are links to files elsewhere, without suffixes."""
        self.put("cache/blobs/1", stored(x=np.arange(4.0).reshape(2, 2)))
        self.put("cache/blobs/2", {"weight_map": {"x": "s.safetensors"}})
        os.makedirs(self.path("cache/snapshots/main"))
        os.symlink("../../blobs/1", self.path("cache/snapshots/main/s.safetensors"))
        os.symlink("../../blobs/2", self.path("cache/snapshots/main/" + INDEX))
        self.report.equal("check", self.call("check", "cache/snapshots/main/" + INDEX).status, 0)
        self.put("cache/snapshots/main/d.json", {"variant": "simplified", "embeddings": {"file": INDEX, "name": "x"}})
        self.report.matches("a document's files stay in its folder", self.call("cache/snapshots/main/d.json").said, r"leads out of the document's folder")
        self.report.equal("--root", self.call("cache/snapshots/main/d.json", "--root", "cache").status, 0)
        os.remove(self.path("cache/snapshots/main/" + INDEX))
        self.put("cache/snapshots/main/" + INDEX, {"weight_map": {"x": "s.safetensors"}})
        self.report.matches("a shard too", self.call("cache/snapshots/main/d.json").said, r'"s\.safetensors", a link that leads out of the folder')
        self.report.equal("--root for it", self.call("cache/snapshots/main/d.json", "--root", "cache/snapshots").status, 0)


if __name__ == "__main__":
    sys.exit(run_tests(Tests, __doc__))
