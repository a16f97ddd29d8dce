"""diff of two documents: which settings differ, and from which stage on the numbers do.

The first stage that differs follows from what was changed: a base of the rotary embedding changes the rotated queries and nothing before
them, a scale the scaled scores, a weight of values only what reads the values.
"""
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Program, execute, run_tests  # noqa: E402

ROWS = [[((7 * i + 3 * j) % 11) / 7 - 0.6 for j in range(4)] for i in range(3)]
SQUARE = [[((5 * i + 2 * j) % 7) / 5 - 0.5 for j in range(4)] for i in range(4)]
PLAIN = {"tokens": ["a", "b", "c"], "embeddings": ROWS, "rope": {"base": 10000, "dims": 4}, "weights": {"W_query": SQUARE, "W_key": SQUARE, "W_value": SQUARE}}


def changed(number):
    out = [list(row) for row in SQUARE]
    out[1][2] += number
    return out


class Tests(Program):
    def compare(self, theirs, ours, *more):
        for name, document in (("a.json", theirs), ("b.json", ours)):
            with open(self.path(name), "w", encoding="utf-8") as file:
                json.dump(document, file)
        done = execute([self.program, "diff", "a.json", "b.json", "-f", "json", *more], self.folder)
        self.report.equal(f"{more}: said", done.said, "")
        return done.status, json.loads(done.out or b"{}")

    def test_settings(self):
        for name, ours, settings, first in (
                ("nothing", PLAIN, [], None),
                ("what is ignored", {**PLAIN, "comment": "b", "_x": 1}, [], None),
                ("a number written otherwise", {**PLAIN, "rope": {"base": 1e4, "dims": 4}}, [], None),
                ("labels", {**PLAIN, "tokens": ["a", "b", "d"]}, [{"key": "tokens", "theirs": ["a", "b", "c"], "ours": ["a", "b", "d"]}], None),
                ("a number within", {**PLAIN, "rope": {"base": 500, "dims": 4}}, [{"key": "rope.base", "theirs": 10000, "ours": 500}], "rotated_queries"),
                ("only in ours", {**PLAIN, "scale": 2}, [{"key": "scale", "ours": 2}], "scaled_scores"),
                ("only in theirs", {k: v for k, v in PLAIN.items() if k != "tokens"}, [{"key": "tokens", "theirs": ["a", "b", "c"]}], None),
                ("a weight", {**PLAIN, "weights": {**PLAIN["weights"], "W_value": changed(0.25)}},
                 [{"key": "weights.W_value", "theirs": {"shape": [4, 4]}, "ours": {"shape": [4, 4]}, "max_abs": 0.25, "at": [1, 2]}], "values"),
                ("two at once", {**PLAIN, "scale": 2, "weights": {**PLAIN["weights"], "W_key": changed(1)}}, None, "keys")):
            status, found = self.compare(PLAIN, ours)
            if settings is not None:
                for s in found.get("settings", []):
                    if "max_abs" in s:
                        s["max_abs"] = round(s["max_abs"], 6)
                self.report.equal(f"{name}: settings", found.get("settings"), settings)
            self.report.equal(f"{name}: the first stage, exit", (found.get("first"), status), (first, 1 if first else 0))
            self.report.equal(f"{name}: no cause is looked for", found.get("tried"), 0)

    def test_text(self):
        self.compare(PLAIN, {**PLAIN, "scale": 2, "weights": {**PLAIN["weights"], "W_value": changed(0.25)}})
        text = execute([self.program, "diff", "a.json", "b.json"], self.folder).text
        self.report.matches("text", text, r"\Awhat the documents say differently\n  weights.W_value: the largest difference 0.25 at \[1,2\]\n  scale: theirs not there, ours 2\n\nstage ")
        self.report.matches("the first", text, r"\nfirst difference: values\[")

    def test_shapes(self):
        status, found = self.compare(PLAIN, {**PLAIN, "tokens": ["a", "b"], "embeddings": ROWS[:2]})
        self.report.equal("other tokens", (status, found["settings"][1]), (1, {"key": "embeddings", "theirs": {"shape": [3, 4]}, "ours": {"shape": [2, 4]}}))

    def test_heads(self):
        """Two batch items of one head are not two heads, and no axis is turned for a shape to fit."""
        drawn = {"embeddings": [ROWS, ROWS[::-1]], "variant": "multi_head", "num_heads": 2, "weights": {"init": "torch.nn.Linear", "seed": 1, "d_out": 2}}
        status, found = self.compare(drawn, {**drawn, "num_heads": 1})
        self.report.equal("heads", (status, [n for n in found["notes"] if "read as" in n], [s["name"] for s in found["stages"] if "their_shape" in s and s["name"] == "queries"]), (1, [], ["queries"]))
        one = {"variant": "scaled_dot_product", "queries": [[ROWS, ROWS]], "keys": [[ROWS, ROWS]], "values": [[ROWS, ROWS]]}
        two = {"variant": "scaled_dot_product", **{k: [[ROWS], [ROWS]] for k in ("queries", "keys", "values")}}
        status, found = self.compare(one, two)
        self.report.equal("batch items and heads", (status, found["first"]), (1, "queries"))

    def test_files(self):
        np.savez(self.path("w.npz"), **{k: np.array(v, "f4") for k, v in PLAIN["weights"].items()})
        status, found = self.compare(PLAIN, {**PLAIN, "weights": {"file": "w.npz"}})
        self.report.equal("weights of a file are its numbers", (status, [s for s in found["settings"] if s.get("max_abs", 1) > 1e-7]), (0, []))

    def test_options(self):
        status, found = self.compare(PLAIN, PLAIN, "--set", "scale=3")
        self.report.equal("--set changes ours", (status, found["settings"], found["first"]), (1, [{"key": "scale", "ours": 3}], "scaled_scores"))
        status, found = self.compare(PLAIN, PLAIN, "--set", "scale=3", "--stages", "queries,keys")
        self.report.equal("--stages chooses", (status, [s["name"] for s in found["stages"] if s["present"]]), (0, ["queries", "keys"]))
        status, _ = self.compare(PLAIN, {**PLAIN, "causal": True})
        self.report.equal("a stage that one side lacks", status, 1)
        status, found = self.compare({**PLAIN, "gradient": {"loss": "sum"}}, {**PLAIN, "gradient": {"loss": "sum"}})
        self.report.check(status == 0 and any(s["name"] == "d_scores" and s["present"] for s in found["stages"]), "gradients", "equal", found)

    def test_several(self):
        for name, scale in (("a.json", 1), ("b.json", 2)):
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write(json.dumps(PLAIN) + "\n" + json.dumps({**PLAIN, "scale": scale}))
        done = execute([self.program, "diff", "a.json", "b.json", "-f", "json"], self.folder)
        layers = json.loads(done.out or b"{}").get("layers", [])
        self.report.equal("each with its own", (done.status, [layer["settings"] for layer in layers]), (1, [[], [{"key": "scale", "theirs": 1, "ours": 2}]]))

    def test_kept(self):
        """What is no document stays numbers; a document beside numbers is refused."""
        self.compare({"queries": ROWS, "keys": ROWS, "values": ROWS}, PLAIN)
        with open(self.path("t.json"), "wb") as file:
            file.write(execute([self.program, "b.json", "-f", "json"], self.folder).out)
        done = execute([self.program, "diff", "b.json", "t.json"], self.folder)
        self.report.equal("a document, then a trace", done.status, 3)
        self.report.matches("a document, then a trace", done.said, r"\Aattn-calc: error: b.json: the document is an input, and OURS holds numbers")
        found = json.loads(execute([self.program, "diff", "a.json", "b.json", "-f", "json"], self.folder).out)
        self.report.check("settings" not in found, "queries, keys and values alone are numbers", "no settings", found)


if __name__ == "__main__":
    sys.exit(run_tests(Tests, __doc__))
