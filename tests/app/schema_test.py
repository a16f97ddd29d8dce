"""Both JSON Schemas are those of the program: what it reads and writes is valid, what it refuses for its type is not.

Every document of data/ and of the fenced blocks of docs/ and README.md, documents with {"file": ...}, and their traces are held
against the schemas; then every key gets values of every type, and program and schema have to agree.
"""
import glob
import json
import os
import re
import shutil
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Program, execute, run_tests  # noqa: E402

try:
    import jsonschema
except ImportError:  # Debian: python3-jsonschema
    jsonschema = None

FENCE = re.compile(r"^```json[^\n]*\n(.*?)^```", re.S | re.M)
LARGEST = 30000  # characters of a trace that is looked at: validation in Python is slow


def documents():
    """name, text, folder of its files"""
    for path in sorted(glob.glob(os.path.join(SOURCE, "data", "**", "*.json"), recursive=True)):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if f"{os.sep}cases{os.sep}" in path:  # a document with what is expected of it
            text = json.dumps(json.loads(text)["input"])
        yield os.path.relpath(path, SOURCE), text, os.path.dirname(path)
    for path in [os.path.join(SOURCE, "README.md"), *sorted(glob.glob(os.path.join(SOURCE, "docs", "*.md")))]:
        with open(path, encoding="utf-8") as file:
            for number, block in enumerate(FENCE.findall(file.read())):
                yield f"{os.path.relpath(path, SOURCE)}, block {number}", block, SOURCE


def error_of(schema, value):
    error = jsonschema.exceptions.best_match(schema.iter_errors(value))
    return error and f"/{'/'.join(map(str, error.absolute_path))} {error.message[:200]}"


class Tests(Program):
    def __init__(self, program, report, folder):
        super().__init__(program, report, folder)
        self.schemas = {}
        for kind in ("input", "trace"):
            text = execute([program, "schema", kind], folder).out
            jsonschema.Draft202012Validator.check_schema(json.loads(text))
            self.schemas[kind] = jsonschema.Draft202012Validator(json.loads(text))

    def call(self, document, *arguments):
        with open(self.path("x.json"), "w", encoding="utf-8") as file:
            file.write(document if isinstance(document, str) else json.dumps(document))
        return execute([self.program, *arguments, "x.json"], self.folder)

    def valid(self, kind, value, name):
        error = error_of(self.schemas[kind], value)
        return self.report.check(error is None, f"{name}: schema {kind}", "valid", error)

    def holds(self, name, text, *arguments):
        """A document that is read is valid, and so is its trace. Says whether it is read."""
        try:
            value = json.loads(text) if isinstance(text, str) else text
        except ValueError:
            return False
        done = self.call(text, "run", "-f", "json", *arguments)
        if done.status != 0:
            return False
        self.valid("input", value, name)
        if len(done.out) <= LARGEST:
            self.valid("trace", json.loads(done.out), name)
        return True

    def test_documents(self):
        read = 0
        for name, text, folder in documents():
            for file in glob.glob(os.path.join(folder, "*.np[yz]")) + glob.glob(os.path.join(folder, "*.safetensors")):
                shutil.copy(file, self.folder)
            read += self.holds(name, text)
        self.report.check(read > 120, "documents that are read", "more than 120", read)

    def files(self):
        square = np.eye(4)
        np.save(self.path("a.npy"), square)
        np.savez(self.path("w.npz"), **{f"h.0.{n}": square for n in ("q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight")}, W_query=square)
        np.save(self.path("v.npy"), np.ones(4))
        np.save(self.path("i.npy"), np.array([4]))
        np.save(self.path("k.npy"), np.ones((4, 4), bool))

    def test_files(self):
        self.files()
        x, vector, named = {"file": "a.npy"}, {"file": "v.npy"}, {"file": "w.npz", "name": "W_query"}
        for document in ({"embeddings": x}, {"embeddings": named}, {"embeddings": {"file": "a.npy", "comment": "x"}}, {"queries": x, "keys": x, "values": x},
                         {"embeddings": x, "weights": {"file": "w.npz", "prefix": "h.0."}}, {"embeddings": x, "weights": {"file": "w.npz", "prefix": "h.0.", "weight_layout": "in_out"}},
                         {"embeddings": x, "weights": {"W_query": named, "W_key": x, "W_value": x, "b_query": vector}}, {"embeddings": x, "mask": {"keep": {"file": "k.npy"}}},
                         {"embeddings": x, "mask": [{"add": x}, {"drop": {"file": "k.npy"}}]}, {"embeddings": x, "key_lengths": {"file": "i.npy"}}, {"embeddings": x, "rope": {"positions": vector}},
                         {"embeddings": x, "num_heads": 4, "sinks": vector}, {"embeddings": x, "num_heads": 4, "alibi": vector}, {"embeddings": x, "causal": {"offset": {"file": "i.npy"}}},
                         {"embeddings": x, "dropout": {"p": 0.5, "keep": {"file": "k.npy"}}}, {"embeddings": x, "dropout": {"p": 0.5, "seed": 2**64 - 1}},
                         {"embeddings": x, "rope": {"positions": [0.5, 1, 2, 3.25]}}, {"embeddings": {"shape": [2, 2], "data": vector}},
                         {"embeddings": {"init": "torch.nn.Embedding", "seed": 2**63, "num_embeddings": 9, "dim": 2, "ids": {"file": "i.npy"}}}):
            self.report.check(self.holds(json.dumps(document), document), f"{document}", "is read", self.call(document, "check").said)

    def test_types(self):
        """A value of each type at each key: what is read is valid, and what is refused for its type is not."""
        self.files()
        x = [[1.0, 2.0, 3.0, 4.0]] * 4
        values = [None, True, 0, -1, 1.5, "x", [], [1], [1, "x"], [[1]], [None], {}, {"x": 1}, {"shape": [1], "data": "x"}, [True], [[[[[1]]]]], ["a"], {"file": 1}, {"init": 1}]
        keys = list(self.schemas["input"].schema["properties"])
        self.report.check(len(keys) > 35, "keys in the schema", "more than 35", len(keys))
        inner = {"rope": ("base", "pairs", "dims", "positions"), "qk_norm": ("type", "eps", "over", "plus_one"), "gate": ("activation", "norm", "from"), "window": ("left", "right"),
                 "dropout": ("p", "seed", "generator"), "causal": ("offset",), "mask": ("keep", "add"), "weights": ("W_query", "prefix", "file", "weight_layout")}
        kind = re.compile(r"/\S* is (null|the boolean|the number|the string|a bare|an array|an object|an empty object|not an integer|\"|-?\d|a list of|an empty string|drawn)|unknown key|, expected ")
        tried = refused = 0
        for key in keys:
            for value in values:
                for member in (None, *inner.get(key, ())):
                    more = {"rope": {}, "qk_norm": {"type": "rms"}, "dropout": {"p": 0.5, "seed": 1}, "window": {"left": 1}}.get(key, {})
                    document = {"embeddings": x, key: value if member is None else {**more, member: value}}
                    done = self.call(document, "check")
                    tried += 1
                    if done.status == 0:
                        self.valid("input", document, f"{key} {member} {value}")
                    elif kind.search(done.said.splitlines()[0]) and not re.search(r"but |outside|odd|above|below|there are|no variant|not a variant|has no|stands|cannot be read", done.said.splitlines()[0]):
                        refused += 1
                        self.report.check(not self.schemas["input"].is_valid(document), f"{key} {member} {value}: refused for its type", "not valid", done.said.splitlines()[0])
        self.report.check(refused > 300, f"refusals of {tried}", "more than 300", refused)


def main():
    if jsonschema is None:
        print("FAIL jsonschema: expected Debian's python3-jsonschema")
        return 1
    return run_tests(Tests, __doc__)


if __name__ == "__main__":
    sys.exit(main())
