"""--set KEY=JSON: a run with a member put in is the run of the document that has it, in every command that takes a document.

What is expected is the same program's trace of a document in which the member was written by hand, and, where a formula says so, numbers:
a causal row sees nothing after itself, a scale multiplies the scores.
"""
import json
import os
import shutil
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Program, execute, run_tests  # noqa: E402

try:
    import jsonschema
except ImportError:  # Debian: python3-jsonschema
    jsonschema = None

ROWS = [[((7 * i + 3 * j) % 11) / 7 - 0.6 for j in range(4)] for i in range(3)]
SQUARE = [[((5 * i + 2 * j) % 7) / 5 - 0.5 for j in range(4)] for i in range(4)]
OTHER = [[(i == j) * 0.5 for j in range(4)] for i in range(4)]
PLAIN = {"tokens": ["a", "b", "c"], "embeddings": ROWS, "weights": {"W_query": SQUARE, "W_key": OTHER, "W_value": SQUARE}}
ROPE = {**PLAIN, "rope": {"base": 10000, "pairs": "half"}}


class Tests(Program):
    def write(self, name, document):
        with open(self.path(name), "w", encoding="utf-8") as file:
            json.dump(document, file)
        return name

    def stages(self, *arguments, stdin=None):
        done = execute([self.program, "run", "-f", "json", *arguments], self.folder, stdin=stdin)
        if not self.report.equal(f"{arguments}: exit", (done.status, done.said), (0, "")):
            return {}
        return json.loads(done.out)

    def same(self, name, document, sets, edited, *more):
        """The document with --set, and the one that was edited by hand."""
        found = self.stages(self.write("x.json", document), *[w for s in sets for w in ("--set", s)], *more)
        expected = self.stages(self.write("edited.json", edited), *more)
        self.report.check("stages" in expected and found.get("stages") == expected["stages"], name, "the stages of the edited document", found.get("stages"))
        self.report.equal(f"{name}: the plan says so", found.get("plan", {}).get("set"), sets)
        return found

    def refused(self, name, status, pattern, *arguments, stdin=None):
        done = execute([self.program, *arguments], self.folder, stdin=stdin)
        self.report.equal(f"{name}: exit", (done.status, done.out), (status, b""))
        self.report.matches(name, done.said, pattern)

    def test_numbers(self):
        trace = self.same("causal", PLAIN, ["causal=true"], {**PLAIN, "causal": True})
        weights = np.array(trace["stages"]["weights"]["data"], float)[0, 0]
        self.report.check(np.array_equal(weights[np.triu_indices(3, 1)], np.zeros(3)), "a causal row sees nothing after itself", 0, weights)
        trace = self.same("scale", PLAIN, ["scale=0.25"], {**PLAIN, "scale": 0.25})
        scores, scaled = (np.array(trace["stages"][s]["data"], float) for s in ("scores", "scaled_scores"))
        self.report.check(np.allclose(scores * 0.25, scaled, rtol=1e-6, atol=0), "a scale multiplies the scores", scores * 0.25, scaled)
        self.same("several", PLAIN, ["causal=true", "scale=2"], {**PLAIN, "causal": True, "scale": 2})
        self.same("a list of strings", PLAIN, ['tokens=["dtype", "float64", "c"]'], {**PLAIN, "tokens": ["dtype", "float64", "c"]})
        self.same("numbers", PLAIN, [f"embeddings={json.dumps(SQUARE[:3])}"], {**PLAIN, "embeddings": SQUARE[:3]})
        self.same("float64 after its numbers", PLAIN, [f"embeddings={json.dumps(SQUARE[:3])}", 'dtype="float64"'], {**PLAIN, "dtype": "float64", "embeddings": SQUARE[:3]})
        trace = self.same("a gradient", PLAIN, ['gradient={"loss": "sum"}'], {**PLAIN, "gradient": {"loss": "sum"}}, "--stages", "d_context")
        self.report.equal("of a sum: ones", trace["stages"]["d_context"]["data"], [[[[1] * 4] * 3]])

    def test_paths(self):
        self.same("a member", ROPE, ["rope.base=500000"], {**ROPE, "rope": {"base": 500000, "pairs": "half"}})
        self.same("a new member", ROPE, ["rope.dims=2"], {**ROPE, "rope": {**ROPE["rope"], "dims": 2}})
        self.same("a whole, then a member", PLAIN, ['rope={"base": 10}', "rope.base=20"], {**PLAIN, "rope": {"base": 20}})
        self.same("the last one counts", PLAIN, ["scale=3", "scale=2"], {**PLAIN, "scale": 2}, "--stages", "scaled_scores")
        self.same("a weight", PLAIN, [f"weights.W_key={json.dumps(SQUARE)}"], {**PLAIN, "weights": {"W_query": SQUARE, "W_key": SQUARE, "W_value": SQUARE}})
        dotted = {"h.0.attn.c_attn.weight": [row + row + row for row in OTHER], "h.0.attn.c_proj.weight": OTHER, "prefix": "h.0.attn."}
        new = [row * 3 for row in SQUARE]
        self.same("a name with points", {**PLAIN, "weights": dotted}, [f"weights.h.0.attn.c_attn.weight={json.dumps(new)}"],
                  {**PLAIN, "weights": {**dotted, "h.0.attn.c_attn.weight": new}})
        both = {**PLAIN, "rope": {"scaling": {"type": "linear", "factor": 2}}}
        self.same("two levels", both, ["rope.scaling.factor=4"], {**PLAIN, "rope": {"scaling": {"type": "linear", "factor": 4}}})
        drawn = {**PLAIN, "weights": {"init": "torch.nn.Linear", "seed": 1, "d_out": 4}}
        self.same("a drawn one", drawn, ["weights.seed=2"], {**PLAIN, "weights": {"init": "torch.nn.Linear", "seed": 2, "d_out": 4}})

    def test_files(self):
        os.makedirs(self.path("in"))
        arrays = {"W_query": np.array(SQUARE, "f4"), "W_key": np.array(OTHER, "f4"), "W_value": np.array(SQUARE, "f4")}
        np.savez(self.path("in/w.npz"), **arrays, **{"b.W_query": arrays["W_key"], "b.W_key": arrays["W_key"], "b.W_value": arrays["W_key"]})
        np.savez(self.path("in/other.npz"), **{k: v + 1 for k, v in arrays.items()})
        np.save(self.path("e.npy"), np.array(SQUARE[:3], "f4"))
        document = {**PLAIN, "weights": {"file": "w.npz"}}
        key = json.dumps(SQUARE)
        def of(*arguments):
            return self.stages(*arguments)["stages"]

        self.write("in/x.json", document)
        expected = of(self.write("y.json", {**PLAIN, "weights": {**PLAIN["weights"], "W_key": SQUARE}}))
        self.report.equal("a weight of a file", of("in/x.json", "--set", f"weights.W_key={key}"), expected)
        self.write("in/prefix.json", {**PLAIN, "weights": {"file": "w.npz", "prefix": "b."}})
        expected = of(self.write("y.json", {**PLAIN, "weights": {**dict.fromkeys(PLAIN["weights"], OTHER), "W_key": SQUARE}}))
        self.report.equal("below a prefix", of("in/prefix.json", "--set", f"weights.W_key={key}"), expected)
        self.report.equal("the prefix itself", of("in/x.json", "--set", 'weights.prefix="b."', "--set", f"weights.W_key={key}"), expected)
        self.report.equal("--prefix, then the weight", of("in/x.json", "--prefix", "b.", "--set", f"weights.W_key={key}"), expected)
        expected = of("in/x.json", "--weights", "in/other.npz")
        self.report.equal("another file", of("in/x.json", "--set", 'weights.file="other.npz"'), expected)
        changed = of("in/x.json", "--weights", "in/other.npz", "--set", f"weights.W_key={key}")
        self.report.check(changed["keys"] != expected["keys"] and changed["queries"] == expected["queries"], "--weights, then a weight", "other keys, the same queries", changed)
        os.remove(self.path("in/other.npz"))
        self.write("in/gone.json", {**PLAIN, "weights": {"file": "gone.npz"}})
        self.report.equal("a file that is replaced is not opened", of("in/gone.json", "--set", f"weights={json.dumps(PLAIN['weights'])}"), of(self.write("y.json", PLAIN)))
        # Named on the command line: trusted wherever it is, from the document's folder on.
        expected = of(self.write("y.json", {**document, "weights": PLAIN["weights"], "embeddings": SQUARE[:3]}))
        self.report.equal("a file outside the folder", of("in/x.json", "--set", 'embeddings={"file": "../e.npy"}'), expected)
        raw = json.dumps(PLAIN).encode()
        self.report.equal("a file beside standard input", json.loads(execute([self.program, "-f", "json", "--set", 'embeddings={"file": "e.npy"}'], self.folder, stdin=raw).out)["stages"], expected)

    def test_model(self):
        shutil.copytree(os.path.join(SOURCE, "tests", "data", "models", "llama"), self.path("model"))
        rows = [[((3 * i + j) % 5) / 5 for j in range(32)] for i in range(2)]
        ask = ["--model", "model", "--layer", "1", "--set", "rope.base=77", "--set", f"embeddings={json.dumps(rows)}"]
        done = execute([self.program, "check", *ask, "-f", "json"], self.folder)
        self.report.equal("a model's layer", done.status, 0)
        self.report.equal("its rope", json.loads(done.out or b"{}").get("plan", {}).get("rope", {}).get("base"), 77)

    def test_commands(self):
        self.write("x.json", PLAIN)
        causal = ["--set", "causal=true"]
        with open(self.path("theirs.json"), "wb") as file:
            file.write(execute([self.program, "x.json", *causal, "-f", "json"], self.folder).out)
        for command in ("run", "check", "explain", "view", "blindspots"):
            plain, given = (execute([self.program, command, "x.json", *more], self.folder) for more in ([], causal))
            self.report.check(plain.status == 0 == given.status and plain.out != given.out, f"{command} obeys", "another output", given.said)
        self.report.equal("diff without", execute([self.program, "diff", "theirs.json", "x.json", "-q"], self.folder).status, 1)
        self.report.equal("diff with it", execute([self.program, "diff", "theirs.json", "x.json", "-q", *causal], self.folder).status, 0)
        text = execute([self.program, "check", "x.json", *causal, "--set", "scale=2"], self.folder).text
        self.report.check("set: causal=true · scale=2" in text, "check says it", "set: ...", text)
        listed = execute([self.program, "x.json", *causal, "--stages"], self.folder)
        self.report.check("masked_scores" in listed.text, "--stages lists what it makes", "masked_scores", listed)
        if jsonschema:
            schema = json.loads(execute([self.program, "schema", "trace"], self.folder).out)
            jsonschema.validate(json.load(open(self.path("theirs.json"), encoding="utf-8")), schema)

    def test_refusals(self):
        self.write("x.json", PLAIN)
        for word, message, hint in (("variant=mha", "is no JSON: ", 'hint: .*--set \'variant="mha"\''), ("causal=True", "is no JSON: ", "true"),
                                    ("scale=", "is no JSON", ""), ("scale=1 2", "is no JSON: has more behind its value", ""), ('rope={"base": 1, "base": 2}', "is no JSON: .*duplicate", ""),
                                    ("scale=[1,", "is no JSON", ""), ("causal", "expected KEY=JSON", "causal=true"), ("=1", "expected KEY=JSON", "")):
            self.refused(word, 2, rf"(?s)\Aattn-calc: error: --set .*{message}.*{hint}", "x.json", "--set", word)
        self.refused("an unknown key", 3, r"\Aattn-calc: error: --set scal: unknown key \"scal\"\n  hint: did you mean \"scale\"", "x.json", "--set", "scal=2")
        self.refused("a wrong type", 3, r"\Aattn-calc: error: --set num_heads: /num_heads is the string \"two\"", "x.json", "--set", 'num_heads="two"')
        self.refused("within a value", 3, r"\Aattn-calc: error: --set rope: /rope/base is ", "x.json", "--set", 'rope={"base": -1}')
        self.refused("no object on the way", 3, r"(?s)\A.*--set rope.base: unknown key.*--set 'rope=\{\"base\": 5\}'", "x.json", "--set", "rope.base=5")
        self.refused("an array on the way", 3, r"(?s)\A.*--set tokens.a: unknown key.*\"tokens\" is an array", "x.json", "--set", "tokens.a=5")
        self.refused("its own key wins no dtype", 2, r"--set dtype and --dtype exclude each other", "x.json", "--dtype", "float64", "--set", 'dtype="float32"')
        self.refused("weights twice", 2, r"--set weights and --weights exclude each other", "x.json", "--weights", "w.npz", "--set", "weights={}")
        np.save(self.path("w.npy"), np.ones((3, 3), "f4"))
        for words in (["view", "w.npy"], ["check", "w.npy"], ["diff", "w.npy", "w.npy"]):
            self.refused(f"{words} has no document", 2, r"--set has no use: ", *words, "--set", "scale=2")
        for words in (["convert", "w.npy"], ["init"], ["probe"]):
            self.refused(f"{words[0]} takes none", 2, r"takes no --set", *words, "--set", "scale=2")
        # What is wrong in the document itself still has its line.
        self.write("wrong.json", {**PLAIN, "num_heads": "two"})
        self.refused("the document's own fault", 3, r"\Aattn-calc: error: wrong.json:1:\d+: /num_heads", "wrong.json", "--set", "scale=2")


if __name__ == "__main__":
    sys.exit(run_tests(Tests, __doc__))
