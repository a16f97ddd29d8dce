"""attn-calc diff from outside: forms, alignments, tolerances, the table's numbers, exit codes. Expectations come from numpy."""
import json
import math
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Report, execute, environment, json_values, parser_of, program_of  # noqa: E402

try:
    import numpy as np
except ImportError:
    print("numpy is not there")
    sys.exit(77)

HEADS, TOKENS, WIDTH = 3, 5, 6
KEYS_OF_REPORT = ["equal", "tolerance", "stages", "first", "causes", "tried"]
KEYS_OF_STAGE = ["name", "present", "equal", "max_abs", "at", "theirs", "ours", "needed_atol", "new_error"]


def problem(seed=3, tokens=TOKENS, heads=HEADS, width=WIDTH, batch=1, **more):
    """A document and its stages by numpy, float64."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, tokens, width))
    w = {k: rng.normal(size=(width, width)) / 1.5 for k in ("W_query", "W_key", "W_value", "W_out")}
    document = {"variant": "multi_head", "num_heads": heads, "causal": True, "dtype": "float64", "embeddings": x.tolist(),
                "weights": {k: v.tolist() for k, v in w.items()}, **more}
    q, k, v = ((x @ w[n]).reshape(batch, tokens, heads, -1).transpose(0, 2, 1, 3) for n in ("W_query", "W_key", "W_value"))
    s = {"queries": q, "keys": k, "values": v, "scores": q @ k.transpose(0, 1, 3, 2)}
    s["scaled_scores"] = s["scores"] / math.sqrt(width // heads)
    s["masked_scores"] = np.where(np.tril(np.ones((tokens, tokens), bool)), s["scaled_scores"], -np.inf)
    e = np.exp(s["masked_scores"] - s["masked_scores"].max(-1, keepdims=True))
    s["weights"] = e / e.sum(-1, keepdims=True)
    s["context"] = s["weights"] @ v
    s["concat"] = s["context"].transpose(0, 2, 1, 3).reshape(batch, tokens, width)
    s["output"] = s["concat"] @ w["W_out"]
    return document, s


def nested(array):
    """Nested lists, with words for what is no JSON number."""
    if isinstance(array, np.ndarray):
        array = array.tolist()
    if isinstance(array, list):
        return [nested(a) for a in array]
    return array if math.isfinite(array) else "NaN" if array != array else "Infinity" if array > 0 else "-Infinity"


class Bench:
    def __init__(self, program, folder, report):
        self.program, self.folder, self.report = program, folder, report

    def write(self, name, value):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(value if isinstance(value, str) else json.dumps(value))
        return name

    def arrays(self, name, stages):
        return self.write(name, {k: nested(v) for k, v in stages.items()})

    def run(self, *words, stdin=None):
        return execute([self.program, *words], self.folder, stdin=stdin, seconds=300, env=environment(COLUMNS="80"))

    def diff(self, theirs, ours, *more, status=None):
        done = self.run("diff", theirs, ours, "-f", "json", *more)
        if status is not None:
            self.report.check(done.status == status, f"exit of {theirs} {' '.join(more)}", status, f"{done.status} {done.said}")
        return json_values(done.out)[0] if done.out else {}

    def same(self, name, stages, ours, *more):
        found = self.diff(self.arrays("t.json", stages), ours, *more)
        self.report.check(found.get("equal") is True, name, "equal", json.dumps(found)[:600])
        return found


def stage(found, name):
    return next((s for s in found.get("stages", []) if s["name"] == name), {})


def forms(b):
    document, s = problem(batch=2)
    ours = b.write("my.json", document)
    b.report.equal("all stages in their own names", b.same("every stage", s, ours)["first"], None)
    for suffix in ("json", "ndjson", "csv"):
        b.run("run", ours, "-o", f"trace.{suffix}")
        found = b.diff(f"trace.{suffix}", ours, "--atol", "0", "--rtol", "0", status=0)
        b.report.check(len(found["stages"]) == 10 and all(x["present"] for x in found["stages"]), f"{suffix}: every stage is there")
        b.diff(f"trace.{suffix}", "trace.json", "--atol", "0", "--rtol", "0", status=0)
    b.run("run", ours, "-f", "json", "--squeeze", "-o", "squeezed.json")
    b.diff("squeezed.json", ours, status=0)
    b.diff("trace.json", "squeezed.json", status=0)
    b.run("run", ours, "--rows", "1,3", "--heads", "2", "-o", "part.json")
    b.diff("part.json", ours, "--atol", "0", "--rtol", "0", status=0)
    b.write("lone.json", nested(s["output"]))
    found = b.diff("lone.json", ours, status=0)
    b.report.check(stage(found, "output").get("equal") is True, "a lone array is the last stage", True, found)
    b.write("lone_weights.json", nested(s["weights"]))
    b.report.check(stage(b.diff("lone_weights.json", ours, status=0), "weights").get("equal") is True, "or the last that it fits")
    b.write("rows.txt", "# saved by hand\n" + "\n".join(" ".join(repr(x) for x in row) for row in s["output"][0].tolist()))
    one, _ = problem(batch=2)
    one["embeddings"] = one["embeddings"][0]
    b.write("one.json", one)
    # Files of tensors: a lone array, stages by name, a trace.
    np.save(os.path.join(b.folder, "output.npy"), s["output"])
    found = b.diff("output.npy", ours, status=0)
    b.report.check(stage(found, "output").get("equal") is True, "npy: the last stage", True, found)
    np.save(os.path.join(b.folder, "wrong.npy"), s["output"] + 1)
    b.report.equal("npy: a difference", b.diff("wrong.npy", ours, status=1)["first"], "output")
    np.savez(os.path.join(b.folder, "stages.npz"), **s)
    found = b.diff("stages.npz", ours, status=0)
    b.report.check(all(x["present"] for x in found["stages"]), "npz: every stage by name")
    np.savez(os.path.join(b.folder, "wrong.npz"), **{**s, "context": s["context"] + 1})
    b.report.equal("npz: a difference", b.diff("wrong.npz", ours, status=1)["first"], "context")
    for suffix in ("npz", "safetensors"):
        b.run("run", ours, "-o", f"trace.{suffix}")
        found = b.diff(f"trace.{suffix}", ours, "--atol", "0", "--rtol", "0", status=0)
        b.report.check(all(x["present"] for x in found["stages"]), f"{suffix}: a trace")
        b.diff(f"trace.{suffix}", "trace.json", "--atol", "0", "--rtol", "0", status=0)
        b.diff("trace.json", f"trace.{suffix}", "--atol", "0", "--rtol", "0", status=0)
    b.diff("rows.txt", "one.json", status=0)
    b.write("flat.json", {"weights": {"shape": list(s["weights"].shape), "data": s["weights"].ravel().tolist()}})
    b.diff("flat.json", ours, status=0)
    # Python writes bare words.
    b.write("bare.json", json.dumps({"masked_scores": s["masked_scores"].tolist()}))
    b.diff("bare.json", ours, status=0)
    with open(os.path.join(b.folder, "trace.json"), "rb") as file:
        b.report.equal("standard input", b.run("diff", "-", ours, "-q", stdin=file.read()).status, 0)


def alignments(b):
    document, s = problem(batch=2)
    ours = b.write("my.json", document)
    context, heads_last = s["context"], s["context"].transpose(0, 2, 1, 3)
    for said, array in {"[batch, query, head, dim]": heads_last, "[batch, query, head*dim]": heads_last.reshape(2, TOKENS, WIDTH),
                        "[query, batch, head, dim]": heads_last.transpose(1, 0, 2, 3),
                        "[query, batch, head*dim]": heads_last.transpose(1, 0, 2, 3).reshape(TOKENS, 2, WIDTH),
                        "[batch, head, dim, query]": context.transpose(0, 1, 3, 2)}.items():
        found = b.same(f"context {said}", {"context": array}, ours)
        b.report.check(any(f"read as {said}" in note for note in found.get("notes", [])), f"{said} is said", said, found.get("notes"))
    found = b.same("batch and head merged", {"weights": s["weights"].reshape(-1, TOKENS, TOKENS)}, ours)
    b.same("output, tokens first", {"output": s["output"].transpose(1, 0, 2)}, ours)
    b.same("concat with heads", {"concat": heads_last}, ours)
    b.same("concat as [batch, head, query, dim]", {"concat": context}, ours)
    document["embeddings"] = document["embeddings"][:1]
    ours = b.write("one.json", document)
    b.same("axes of length 1 are missing", {"context": context[0], "output": s["output"][0]}, ours)
    b.same("and more of them", {"output": s["output"][:1, :, None, None, :]}, ours)
    # As many heads as tokens: our order is taken, unless it is said otherwise.
    square, t = problem(tokens=3, heads=3)
    ours = b.write("square.json", square)
    given = b.arrays("square_t.json", {"context": t["context"].transpose(0, 2, 1, 3)})
    found = b.diff(given, ours, status=1)
    b.report.check(any("fit" in note and "--layout" in note for note in found["notes"]), "sizes that fit twice are said", "", found["notes"])
    b.diff(given, ours, "--layout", "tokens-first", status=0)
    found = b.diff(b.arrays("odd.json", {"weights": np.zeros((2, 4, 4)), "output": s["output"][:1]}), "one.json", status=1)
    b.report.equal("a shape that fits nowhere", (found["first"], stage(found, "weights")["max_abs"]), ("weights", None))


def comparisons(b):
    document, s = problem()
    ours = b.write("my.json", document)
    b.run("run", ours, "-o", "mine.json")
    with open(os.path.join(b.folder, "mine.json"), encoding="utf-8") as file:
        mine = {k: np.array(v["data"], dtype=object) for k, v in json.load(file)["stages"].items()}
    own = mine["context"].astype(float)
    rng = np.random.default_rng(1)
    for trial in range(8):
        theirs = own + rng.normal(size=own.shape) * 10.0 ** -rng.integers(1, 9)
        rtol = [0, 1e-7, 1e-3][trial % 3]
        name = b.arrays("near.json", {"context": theirs})
        found = stage(b.diff(name, ours, "--atol", "0", "--rtol", repr(rtol)), "context")
        distance = np.abs(theirs - own)
        needed = found["needed_atol"]
        passes = lambda a: bool(np.all((distance <= a + rtol * np.abs(own)) | (theirs == own)))
        b.report.check(passes(needed) and (needed == 0 or not passes(np.nextafter(needed, 0))), f"needed_atol {trial} is exact", "", needed)
        b.report.equal(f"max_abs {trial}", found["max_abs"], float(distance.max()))
        at = np.unravel_index(distance.argmax(), distance.shape)
        b.report.equal(f"at {trial}", (found["at"], found["theirs"], found["ours"]), ([int(i) for i in at], theirs[at], own[at]))
        b.diff(name, ours, "--atol", repr(needed), "--rtol", repr(rtol), status=0)
        if needed > 0:
            b.diff(name, ours, "--atol", repr(float(np.nextafter(needed, 0))), "--rtol", repr(rtol), status=1)
    # Units in the last place.
    stepped = own.copy()
    for _ in range(3):
        stepped = np.nextafter(stepped, np.inf)
    name = b.arrays("steps.json", {"context": stepped})
    found = stage(b.diff(name, ours, "--ulp", "3", status=0), "context")
    b.report.equal("needed_ulp", found["needed_ulp"], 3)
    b.diff(name, ours, "--ulp", "2", status=1)
    narrow = own.astype(np.float32)
    b.diff(b.arrays("narrow.json", {"context": np.nextafter(narrow, np.float32(np.inf)).astype(float)}), ours, "--dtype", "float32", "--ulp", "40", status=0)
    # Defaults by type, as torch.testing.assert_close.
    tolerance = lambda *more: b.diff(name, ours, *more)["tolerance"]
    b.report.equal("float64", tolerance(), {"atol": 1e-7, "rtol": 1e-7})
    b.report.equal("float32", tolerance("--dtype", "float32"), {"atol": 1e-5, "rtol": 1.3e-6})
    for dtype, (atol, rtol) in {"float16": (1e-5, 1e-3), "bfloat16": (1e-5, 1.6e-2), "float32": (1e-5, 1.3e-6)}.items():
        b.write("typed.json", {"context": {"dtype": dtype, "data": nested(own)}})
        b.report.equal(f"theirs are {dtype}", b.diff("typed.json", ours)["tolerance"], {"atol": atol, "rtol": rtol})
    b.report.equal("--atol alone", tolerance("--atol", "0.5"), {"atol": 0.5, "rtol": 1e-7})
    # NaN and infinities.
    strange = s["masked_scores"].copy()
    b.diff(b.arrays("inf.json", {"masked_scores": strange}), ours, status=0)
    for value, shown in ((np.nan, "NaN"), (1e30, "Infinity")):
        strange = s["masked_scores"].copy()
        strange[0, 1, 0, 4] = value
        found = stage(b.diff(b.arrays("inf.json", {"masked_scores": strange}), ours, "--atol", "1e300", status=1), "masked_scores")
        b.report.equal(f"{value} for -inf", (found["max_abs"], found["at"], found["ours"], found["needed_atol"]),
                       (shown, [0, 1, 0, 4], "-Infinity", None))
    wrong = s["context"].copy()
    wrong[0, 0, 0, 0] = np.nan
    b.diff(b.arrays("nan.json", {"context": wrong}), ours, "--atol", "1e300", status=1)


def printed(b):
    document, s = problem()
    ours = b.write("my.json", document)
    text = lambda array, form: "[" + ",".join(text(a, form) for a in array) + "]" if isinstance(array, (list, np.ndarray)) else format(array, form)
    for form, digits in ((".4f", 4), (".3e", 3), (".2f", 2)):
        b.write("book.json", '{"output": ' + text(s["output"], form) + ', "weights": ' + text(s["weights"], form) + "}")
        found = b.diff("book.json", ours, status=0)
        b.report.check(any(f"{digits} digits after the point" in n for n in found["notes"]), f"{form} is said", digits, found["notes"])
        b.diff("book.json", ours, "--digits", "full", status=1)
    # One unit of the last digit off is a difference.
    book = np.round(s["output"], 4)
    book[0, 2, 3] += 0.0001
    b.write("book.json", '{"output": ' + text(book, ".4f") + "}")
    found = b.diff("book.json", ours, status=1)
    b.report.equal("a digit that was misread", (found["first"], stage(found, "output")["at"], stage(found, "output")["outside"]), ("output", [0, 2, 3], 1))
    # Few digits that are all there is are no print: 0.25 is exact, 0.2501 is not equal to it.
    b.write("even.json", {"variant": "simplified", "dtype": "float64", "embeddings": [[1, 0.001], [1, 0], [1, 0], [1, 0]]})
    b.write("quarters.json", {"weights": [[0.25] * 4] * 4})
    b.diff("quarters.json", "even.json", status=1)
    b.diff("quarters.json", "even.json", "--digits", "2", status=0)


def judgements(b):
    document, s = problem()
    ours = b.write("my.json", document)
    wrong = dict(s)
    scores = s["scores"]  # not scaled; all that follows, follows
    wrong["scaled_scores"] = scores
    wrong["masked_scores"] = np.where(np.isinf(s["masked_scores"]), -np.inf, scores)
    e = np.exp(wrong["masked_scores"] - wrong["masked_scores"].max(-1, keepdims=True))
    wrong["weights"] = e / e.sum(-1, keepdims=True)
    wrong["context"] = wrong["weights"] @ s["values"]
    wrong["concat"] = wrong["context"].transpose(0, 2, 1, 3).reshape(s["concat"].shape)
    wrong["output"] = wrong["concat"] @ np.array(document["weights"]["W_out"])
    found = b.diff(b.arrays("wrong.json", wrong), ours, status=1)
    b.report.equal("first", found["first"], "scaled_scores")
    b.report.equal("new errors", {x["name"]: x["new_error"] for x in found["stages"]},
                   {k: k == "scaled_scores" for k in s})
    b.report.check([c["id"] for c in found["causes"]] == ["no_scale"] and found["tried"] > 30, "the cause", ["no_scale"], found["causes"])
    wrong["output"] = wrong["output"] + 1
    found = b.diff(b.arrays("wrong.json", wrong), ours, status=1)
    b.report.equal("a second error", stage(found, "output")["new_error"], True)
    # A constant added to a row of scores changes no weight.
    shifted = {"scores": s["scores"] + 1, "weights": s["weights"], "output": s["output"]}
    found = b.diff(b.arrays("shifted.json", shifted), ours, status=1)
    b.report.equal("agreement again", (found["first"], stage(found, "weights")["equal"], stage(found, "weights").get("equal_again")), ("scores", True, True))
    b.report.matches("agreement again, text", b.run("diff", "shifted.json", ours).text, r"weights, output: equal again")
    # Two traces: no plan, so no causes.
    b.run("run", ours, "-o", "mine.json")
    found = b.diff("wrong.json", "mine.json", status=1)
    b.report.equal("two traces", (found["first"], found["causes"], found["tried"]), ("scaled_scores", [], 0))


def names(b):
    document, s = problem()
    ours = b.write("my.json", document)
    z = s["context"].transpose(0, 2, 1, 3)
    tlens = {"blocks.0.attn.hook_q": s["queries"].transpose(0, 2, 1, 3), "blocks.0.attn.hook_attn_scores": s["masked_scores"],
             "blocks.0.attn.hook_pattern": s["weights"], "blocks.0.attn.hook_z": z, "blocks.0.hook_attn_out": s["output"],
             "blocks.0.hook_resid_pre": s["output"]}
    found = b.diff(b.arrays("t.json", tlens), ours, "--map", "tlens", status=1)
    b.report.equal("an array that is not compared is a difference", (found["equal"], found["first"], found["not_compared"]),
                   (False, None, ["blocks.0.hook_resid_pre"]))
    found = b.same("TransformerLens", tlens, ours, "--map", "tlens", "--ignore-unknown")
    b.report.equal("hook_attn_scores is scaled and masked", stage(found, "masked_scores").get("equal"), True)
    b.report.check(any("hook_resid_pre" in n for n in found["notes"]), "what is unknown is named", "", found["notes"])
    onnx = {"Q": s["queries"], "qk_matmul_output": s["scaled_scores"], "qk_matmul_output_mode_1": s["scaled_scores"], "Y": s["context"]}
    del onnx["qk_matmul_output_mode_1"]
    b.same("ONNX", {**onnx, "qk_matmul_output_mode_2": s["masked_scores"], "qk_matmul_output_mode_3": s["weights"]}, ours, "--map", "onnx")
    b.same("ONNX before 1.22", {"qk_matmul_output_mode_1": s["masked_scores"]}, ours, "--map", "onnx-1.21")
    b.same("ONNX 1.22, mode 1 without a cap", {"qk_matmul_output_mode_1": s["scaled_scores"]}, ours, "--map", "onnx")
    b.same("llama.cpp", {"kq-0": s["scores"], "kq_soft_max-0": s["weights"], "kqv-0": s["context"], "kqv_out-0": s["concat"]}, ours, "--map", "llama")
    tutorial = {"attn_scores": s["scores"], "attn_weights": s["weights"], "context_vec": s["concat"]}
    b.same("the tutorial", tutorial, ours, "--map", "tutorial")
    masked = np.where(np.isinf(s["masked_scores"]), -np.inf, s["scores"])
    found = b.diff(b.arrays("t.json", {**tutorial, "masked": masked}), ours, "--map", "tutorial", status=1)
    b.report.check(len(found["not_compared"]) == 1 and "mask_at" in found["not_compared"][0], "masked before the scale is not ours, and why is said",
                   "mask_at", found["not_compared"])
    b.write("before.json", {**document, "mask_at": "scores"})
    found = b.same("masked", {"masked": masked}, "before.json", "--map", "tutorial")
    b.report.equal("masked is masked_scores", stage(found, "masked_scores").get("equal"), True)
    for given, hint in (({"qk_matmul_output_mode_3": s["weights"]}, "--map onnx"), ({"weigths": s["weights"]}, "did you mean weights"), ({"xyz": s["weights"]}, "xyz")):
        done = b.run("diff", b.arrays("t.json", given), ours)
        b.report.check(done.status == 3 and hint in done.said, f"unknown name: {hint}", hint, f"{done.status} {done.said}")
    done = b.run("diff", b.arrays("t.json", {"a.weights": s["weights"], "b.weights": s["weights"]}), ours)
    b.report.check(done.status == 3 and "a.weights and b.weights are both weights" in done.said, "one name twice", 3, done.said)


def uncompared(b):
    """What stands in THEIRS and beside nothing is a difference, and said."""
    document, s = problem()
    ours = b.write("my.json", document)
    b.run("run", ours, "-o", "mine.json")
    off = {"scores": s["scores"], "weights": s["weights"] + 0.5, "output": s["output"] + 1}
    name = b.arrays("off.json", off)
    for chosen, status in (("scores,weights", 1), ("weights,scores", 1), ("scores", 0), ("output,scores", 1), ("scores,scaled_scores", 0)):
        for beside in (ours, "mine.json"):
            found = b.diff(name, beside, "--stages", chosen, status=status)
            b.report.equal(f"--stages {chosen}: nothing else is compared", {x["name"] for x in found["stages"]} <= set(chosen.split(",")), True)
    b.write("lone.json", nested(s["weights"]))
    found = b.diff("lone.json", ours, "--stages", "scores,weights", status=0)
    b.report.equal("a lone array among two stages", stage(found, "weights").get("equal"), True)
    given = {"weights": s["weights"], "contexts": s["context"]}
    for beside in (ours, "mine.json"):
        found = b.diff(b.arrays("t.json", given), beside, status=1)
        b.report.equal("a name that is mistyped", (found["equal"], found["first"], found["not_compared"]), (False, None, ["contexts (did you mean context?)"]))
        b.diff("t.json", beside, "--ignore-unknown", status=0)
        b.diff("t.json", beside, "--stages", "weights", status=0)
        done = b.run("diff", "t.json", beside, "-q")
        b.report.check(done.status == 1 and done.out == b"" and "contexts" in done.said, "-q names it", "contexts", done.said)
        done = b.run("diff", "t.json", beside)
        b.report.matches("and the report", done.text, r"(?m)^not compared: contexts \(did you mean context\?\)$")
    simple = b.write("simple.json", {"embeddings": [[1, 2], [3, 4]], "dtype": "float64"})
    b.run("run", simple, "-o", "simple_trace.json")
    for beside in (simple, "simple_trace.json"):
        found = b.diff(b.arrays("t.json", {"queries": np.array([[1., 2], [3, 4]]), "output": np.full((2, 2), 9.)}), beside, status=1)
        b.report.equal("a stage that ours does not have", (found["equal"], stage(found, "output").get("missing_in_ours")), (False, True))
    # Names that no stage has, in both.
    b.write("foo.json", {"foo": [[1, 2], [3, 4]], "weights": [[1.0]]})
    b.diff(b.write("t.json", {"foo": [[1, 2], [3, 4]]}), "foo.json", status=0)
    found = b.diff(b.write("t.json", {"foo": [[1, 2], [3, 5]], "weights": [[1.0]]}), "foo.json", status=1)
    b.report.equal("the same name on both sides", (found["first"], stage(found, "foo")["first_at"], stage(found, "foo")["outside"]), ("foo", [1, 1], 1))
    b.diff(b.write("t.json", {"foo": [[1, 2, 3], [3, 5, 6]], "weights": [[1.0]]}), "foo.json", status=1)
    # Layers: what stands beside them.
    layered = {f"layers.{k}.weights": s["weights"] for k in range(2)}
    b.write("two.json", json.dumps(document) + json.dumps(document))
    b.diff(b.arrays("t.json", layered), "two.json", status=0)
    found = b.diff(b.arrays("t.json", {**layered, "final_norm": s["output"]}), "two.json", status=1)
    b.report.check("final_norm" in json.dumps(found), "an array of the whole model", "final_norm", found)


def where(b):
    """The first difference in order, the largest, and the pattern."""
    document, s = problem(tokens=6)
    ours = b.write("my.json", document)
    weights = s["weights"].copy()
    weights[0, 1, 3:] += 0.25
    weights[0, 1, 4, 2] += 0.5
    found = stage(b.diff(b.arrays("t.json", {"weights": weights}), ours, status=1), "weights")
    b.report.equal("first and largest", (found["first_at"], found["at"], found["outside"]), ([0, 1, 3, 0], [0, 1, 4, 2], 18))
    b.report.equal("the numbers of the first", (found["first_theirs"], abs(found["first_ours"] - s["weights"][0, 1, 3, 0]) < 1e-12), (weights[0, 1, 3, 0], True))
    b.report.equal("as flags take it", found["differ_in"], {"head": "1", "query": "3:6"})
    b.report.equal("in words", found["where"], ["head 1 alone", "rows 0-2 agree, 3-5 differ"])
    text = b.run("diff", "t.json", ours).text
    b.report.matches("text: first", text, r"first difference: weights\[0,1,3,0\]: theirs ")
    b.report.matches("text: largest", text, r"  the largest: weights\[0,1,4,2\]: theirs ")
    b.report.matches("text: pattern", text, r"  head 1 alone; rows 0-2 agree, 3-5 differ")
    for name, change, words in (("columns", np.s_[..., [1, 3, 5]], ["every second column, 1 to 5"]), ("all but one", np.s_[:, [0, 2]], ["all heads but 1"]),
                                ("one number", np.s_[0, 0, 2, 1], None)):
        changed = s["weights"].copy()
        changed[change] += 0.25
        found = stage(b.diff(b.arrays("t.json", {"weights": changed}), ours, status=1), "weights")
        b.report.equal(f"pattern: {name}", found.get("where"), words)
    future = s["weights"] + np.triu(np.full((6, 6), 0.1), 1)
    found = stage(b.diff(b.arrays("t.json", {"weights": future}), ours, status=1), "weights")
    b.report.check("only right of the diagonal" in found["where"], "the future", "right", found["where"])
    done = b.run("diff", "t.json", ours, "-f", "json", "--compact")
    b.report.equal("--compact: one line, the same", (done.text.count("\n"), json_values(done.out)[0]), (1, b.diff("t.json", ours)))


def parts(b):
    """A part of a trace equals the whole, in every format, beside the input and beside a trace of every format."""
    document, s = problem(batch=2, tokens=6)
    document["num_kv_heads"] = 1
    document["weights"] = {k: [r[:2] for r in v] if k in ("W_key", "W_value") else v for k, v in document["weights"].items()}
    b.write("my.json", document)
    formats = ("json", "ndjson", "csv", "npz", "safetensors")
    for f in formats:
        b.run("run", "my.json", "-o", f"whole.{f}")
    for flags in (("--rows", "1,3"), ("--rows", "0:2", "--heads", "2"), ("--cols", "1:4"), ("--batch", "1", "--rows", "5"), ("--heads", "0", "--cols", "2,5")):
        for f in formats:
            b.run("run", "my.json", *flags, "-o", f"part.{f}")
            for beside in ("my.json", *(f"whole.{g}" for g in formats)):
                b.diff(f"part.{f}", beside, "--atol", "0", "--rtol", "0", status=0)
        b.diff("part.csv", "part.json", status=0)
    # A number for each query or key, and the mean over heads, which are made on request.
    b.write("more.json", {**document, "sinks": [0.1, 0.2, 0.3]})
    for flags in (("--rows", "1,3"), ("--rows", "2", "--heads", "1"), ("--cols", "1:4"), ("--batch", "0", "--rows", "0:3")):
        for f in formats:
            b.run("run", "more.json", "--stages", "lse,weights,mean_weights", "-o", f"all.{f}")
            b.run("run", "more.json", "--stages", "lse,weights,mean_weights", *flags, "-o", f"piece.{f}")
            for beside in ("more.json", f"all.{f}", "all.json"):
                b.diff(f"piece.{f}", beside, *(("--stages", "lse,weights") if "--heads" in flags and beside != "more.json" else ()), status=0)
    # The decimals of a CSV file read back as float32 on either side.
    b.write("narrow.json", {**document, "dtype": "float32"})
    for f in formats:
        b.run("run", "narrow.json", "-o", f"narrow_trace.{f}")
    for one in formats:
        for other in formats:
            b.diff(f"narrow_trace.{one}", f"narrow_trace.{other}", "--atol", "0", "--rtol", "0", status=0)
    # Arrays that do not say what they are a part of.
    rows = b.arrays("rows.json", {"weights": np.ones((2, 3, 2, 6)) / 6})
    b.diff(rows, "my.json", status=1)
    b.run("run", "my.json", "-o", "weights.json", "--stages", "weights")
    with open(os.path.join(b.folder, "weights.json"), encoding="utf-8") as file:
        weights = np.array(json.load(file)["stages"]["weights"]["data"])
    rows = b.arrays("rows.json", {"weights": weights[:, :, 1:3]})
    for beside in ("my.json", "whole.json", "whole.csv"):
        b.diff(rows, beside, "--rows", "1:3", status=0)
        b.diff(rows, beside, "--rows", "2:4", status=1)
        b.report.equal("a row that is not there", b.run("diff", rows, beside, "--rows", "7").status, 2)
    wrong = weights[:, :, 1:3] + 0.5
    b.diff(b.arrays("rows.json", {"weights": wrong}), "my.json", "--rows", "1:3", status=1)


def broken(b):
    """What is cut short, stands twice or lies about itself is refused."""
    document, s = problem()
    b.write("my.json", document)
    b.run("run", "my.json", "-f", "ndjson", "-o", "t.ndjson")
    b.run("run", "my.json", "-o", "t.json", "-o", "t.csv")
    read = lambda name: open(os.path.join(b.folder, name), encoding="utf-8").read()
    events = read("t.ndjson").splitlines(True)
    trace = json.loads(read("t.json"))
    lines = read("t.csv").splitlines(True)

    def lying(**more):
        trace_again = json.loads(json.dumps(trace))
        trace_again["stages"]["weights"].update(more)
        return json.dumps(trace_again)

    event = next(k for k, e in enumerate(events) if '"weights"' in e and '"stage"' in e)
    changed = lambda old, new: "".join(events[:event] + [events[event].replace(old, new)] + events[event + 1:])
    for name, text, said in (
            ("an NDJSON trace without its end", "".join(events[:-1]), '"end"'),
            ("an end that counts other stages", "".join(events[:-1]) + events[-1].replace('"stages": 10', '"stages": 11'), "/stages says 11"),
            ("rows that lie", changed('"rows": [0, 5]', '"rows": [0, 4]'), "/rows says [0, 4]"),
            ("a block's shape that lies", changed('"shape": [5, 5]', '"shape": [5, 6]'), "/shape says [5, 6]"),
            ("a shape that lies", lying(shape=[1, 3, 5, 6]), "/stages/weights/shape says [1, 3, 5, 6]"),
            ("a shape that is exchanged", lying(shape=[3, 1, 5, 5]), "/stages/weights/shape"),
            ("a flat one", lying(data=trace["stages"]["weights"]["data"][0][0][0]), "has 5 numbers, but the shape [1, 3, 5, 5] needs 75"),
            ("a cell that stands twice", "".join(lines + [lines[7]]), f":{len(lines) + 1}:1: the document has the cell queries"),
            ("a cell that is missing", "".join(lines[:9] + lines[10:]), "has stage queries with 29 lines"),
            ("a value that is missing", "".join(lines[:9] + [lines[9].rsplit(",", 1)[0] + ",\n"] + lines[10:]), "nothing where a value stands")):
        done = b.run("diff", b.write("w.txt", text), "my.json")
        b.report.check(done.status == 3 and said in done.said and not done.died, name, f"3, {said}", f"{done.status} {done.said}")
        done = b.run("diff", "t.json", b.write("w.txt", text))
        b.report.equal(f"{name}, as OURS", done.status, 3)


def averaged(b):
    document, s = problem(batch=2)
    ours = b.write("my.json", document)
    b.run("run", ours, "-o", "mine.npz")
    mean = s["weights"].mean(1)
    for beside in (ours, "mine.npz"):
        found = b.diff(b.arrays("t.json", {"weights": mean, "output": s["output"]}), beside, status=0)
        b.report.equal("weights as nn.MultiheadAttention returns them", stage(found, "mean_weights").get("equal"), True)
        b.report.check(any("mean" in n for n in found["notes"]), "it is said", "mean_weights", found["notes"])
    b.diff(b.arrays("t.json", {"mean_weights": mean}), ours, status=0)
    found = b.diff(b.arrays("t.json", {"weights": mean + 0.1}), ours, status=1)
    b.report.equal("a mean that differs", found["first"], "mean_weights")
    one = b.write("one.json", {**document, "embeddings": document["embeddings"][0]})
    b.diff(b.arrays("t.json", {"weights": mean[0]}), one, status=0)
    b.diff(b.arrays("t.json", {"weights": s["weights"][0, 0]}), one, status=1)


def by_request(b):
    """Stages that are shown only where they are asked for are compared where THEIRS have them."""
    document, s = problem(batch=2)
    ours = b.write("my.json", document)
    top = s["masked_scores"].max(-1, keepdims=True)
    given = {"lse": np.log(np.exp(s["masked_scores"] - top).sum(-1)) + top[..., 0], "mean_weights": s["weights"].mean(1), "output": s["output"]}
    b.run("run", ours, "--stages", "lse,mean_weights,output", "-o", "asked.json")
    for beside in (ours, "asked.json"):
        for suffix in ("json", "npz"):
            if suffix == "npz":
                np.savez(os.path.join(b.folder, "t.npz"), **given)
            else:
                b.arrays("t.json", given)
            found = b.diff(f"t.{suffix}", beside, status=0)
            b.report.equal(f"{suffix} beside {beside}", [stage(found, n).get("equal") for n in given], [True] * 3)
        for name, at in (("lse", (1, 2, 3)), ("mean_weights", (1, 3, 2))):
            wrong = {n: a.copy() for n, a in given.items()}
            wrong[name][at] += 0.25
            found = b.diff(b.arrays("wrong.json", wrong), beside, status=1)
            b.report.equal(f"a wrong {name}", (found["first"], stage(found, name)["at"], stage(found, name)["equal"]), (name, list(at), False))
            b.report.check(abs(stage(found, name)["max_abs"] - 0.25) < 1e-9, f"by how much {name} is wrong", 0.25, stage(found, name)["max_abs"])
            b.diff("wrong.json", beside, "--stages", "output", status=0)
    # A part of a stage that has a number for each token.
    b.run("run", ours, "--stages", "lse,output", "-o", "whole.json")
    for suffix in ("json", "ndjson", "csv", "npz"):
        b.run("run", ours, "--stages", "lse,output", "--rows", "1,3", "--heads", "0,2", "-o", f"rows.{suffix}")
        for beside in (ours, "whole.json"):
            found = b.diff(f"rows.{suffix}", beside, "--atol", "0", "--rtol", "0", status=0)
            b.report.equal(f"rows of lse, {suffix} beside {beside}", stage(found, "lse").get("equal"), True)


def by_column(b):
    """A decay or a beta with a number for each column has an axis more: its places say it, its parts are cut by keys."""
    rng = np.random.default_rng(5)
    q, k, v = (rng.normal(size=(2, 2, 4, 3)) for _ in range(3))
    document = {"variant": "delta", "dtype": "float64", "queries": q.tolist(), "keys": k.tolist(), "values": v.tolist()}
    for decay, beta in ((-rng.random((2, 2, 4, 3)), rng.random((2, 2, 4, 3))), (-rng.random((2, 2, 4)), rng.random((2, 2, 4)))):
        ours = b.write("my.json", {**document, "decay": decay.tolist(), "beta": beta.tolist()})
        for suffix in ("json", "ndjson", "npz", "csv"):
            b.run("run", ours, "-o", f"whole.{suffix}")
            b.run("run", ours, "--cols", "1:3", "-o", f"part.{suffix}")
        for name, array in (("decay", decay), ("beta", beta)):
            wrong = array.copy()
            at = (1, 0, 2, 1)[:array.ndim]
            wrong[at] += 0.5
            given = {"decay": decay, "beta": beta, name: wrong}
            for beside in (ours, "whole.json", "whole.ndjson", "whole.npz"):
                found = b.diff(b.arrays("wrong.json", given), beside, status=1)
                b.report.equal(f"the place of {name} {array.ndim} beside {beside}", (stage(found, name)["at"], stage(found, name)["first_at"]), (list(at), list(at)))
                part = {n: a[:, :, 1:3] for n, a in given.items()}
                found = b.diff(b.arrays("wrong.json", part), beside, "--cols", "1:3", status=1)
                b.report.equal(f"in a part of {name} {array.ndim} beside {beside}", stage(found, name)["at"], [*at[:2], 1, *at[3:]])
        for suffix in ("json", "ndjson", "npz", "csv"):
            for beside in (ours, "whole.json", "whole.ndjson", "whole.npz"):
                b.diff(f"part.{suffix}", beside, "--atol", "0", "--rtol", "0", status=0)
    # One key alone: a row of its columns is no row of all tokens.
    one = {**document, "queries": q[:, :, :1].tolist(), "keys": k[:, :, :1].tolist(), "values": v[:, :, :1].tolist()}
    decay, beta = -rng.random((2, 2, 1, 3)), rng.random((2, 2, 1, 3))
    ours = b.write("my.json", {**one, "decay": decay.tolist(), "beta": beta.tolist()})
    for suffix in ("json", "ndjson", "npz", "csv"):
        b.run("run", ours, "-o", f"whole.{suffix}")
    for beside in (ours, "whole.json", "whole.ndjson", "whole.npz"):
        for suffix in ("json", "ndjson", "npz", "csv"):
            b.diff(f"whole.{suffix}", beside, "--atol", "0", "--rtol", "0", status=0)
        wrong = decay.copy()
        wrong[1, 0, 0, 2] += 0.5
        found = b.diff(b.arrays("wrong.json", {"decay": wrong}), beside, status=1)
        b.report.equal(f"the place of one key's decay beside {beside}", stage(found, "decay")["at"], [1, 0, 0, 2])


def unread(b):
    """A tensor of a type that is not read does not keep the others from being compared, and is said."""
    document, s = problem()
    ours = b.write("my.json", document)
    np.savez(os.path.join(b.folder, "t.npz"), weights=s["weights"], output=s["output"], context=s["context"] + 0j)
    np.savez(os.path.join(b.folder, "good.npz"), weights=s["weights"], output=s["output"])
    b.run("run", ours, "-o", "mine.npz")
    for beside in (ours, "mine.npz"):
        found = b.diff("t.npz", beside, status=1)
        b.report.equal("the others are compared", [stage(found, n).get("equal") for n in ("weights", "output")], [True, True])
        b.report.equal("it is not compared", (found["first"], found["not_compared"]), (None, ["context"]))
        done = b.run("diff", "t.npz", beside)
        b.report.check("left out: it holds" in done.said and "context" in done.said, "it is said", "context", done.said)
        b.diff("t.npz", beside, "--ignore-unknown", status=0)
        b.diff("t.npz", beside, "--stages", "weights,output", status=0)
        done = b.run("diff", "t.npz", beside, "--stages", "context")
        b.report.check(done.status == 3 and "dtype" in done.said, "it is asked for", "3, dtype", f"{done.status} {done.said}")
    done = b.run("diff", "good.npz", "t.npz")
    b.report.check(done.status == 0 and "left out" in done.said, "as OURS", "0, left out", f"{done.status} {done.said}")


def torch_text(array, name="tensor", comma=", "):
    """Nested brackets, four digits, as torch.Tensor prints them."""
    inner = lambda a: "[" + comma.join(map(inner, a)) + "]" if a.ndim else ("-inf" if a == -np.inf else f"{a:.4f}")
    return name + "(" + inner(array) + ")"


def prints(b):
    """What people paste: prints of tensors, tables, objects of other languages."""
    for batch in (1, 2):
        document, s = problem(batch=batch)
        document["tokens"] = ["Your", "jour|ney", "x y", "2024", "nan"]
        if batch == 1:
            document["embeddings"] = document["embeddings"][0]
        ours = b.write("my.json", document)
        w, t = s["weights"], lambda text: b.write("t.txt", text)
        for form in ("text", "md", "torch"):
            for flags in ((), ("--ascii",), ("-p", "2")):
                if form == "torch" and flags:
                    continue
                printed = b.run("run", ours, "-f", form, *(() if form == "torch" else ("--width", "200")), *flags)
                found = b.diff(t(printed.text), ours, status=0)
                b.report.check(len(found.get("stages", [])) == 10 and all(x["present"] for x in found["stages"]), f"-f {form} {flags}: all stages", 10, found)
        changed = b.run("run", ours, "-f", "text", "--stages", "weights").text
        number = next(word for word in changed.split() if word.startswith("0.") and word != "0.0000")
        found = b.diff(t(changed.replace(number, "0.9876")), ours, status=1)
        b.report.equal("a number of a table", stage(found, "weights")["outside"], 1)
        with np.printoptions(linewidth=75):
            for name, text in {"numpy": str(w), "numpy repr": repr(w), "named": f"weights:\n{w}\noutput = {s['output']!r}",
                               "a dict": str({"weights": w, "output": s["output"]}), "a prompt": f">>> weights\n{w!r}\n>>> output\n{s['output']!r}\n",
                               "IPython": f"In [3]: weights\nOut[3]: \n{w!r}", "a size beside it": f"torch.Size([2, 3])\nweights {torch_text(w)}"}.items():
                b.diff(t(text), ours, status=0)
            found = b.diff(t(repr(w).replace("0.", "0.1", 1) if "0." in repr(w) else ""), ours, status=1)
        tails = torch_text(w, "weights = tensor", ",\n   ")[:-1] + ", device='cuda:0', dtype=torch.float64,\n       grad_fn=<SoftmaxBackward0>)\n"
        b.diff(t(tails + torch_text(s["output"], "output = tensor")), ours, status=0)
        b.diff(t("Parameter containing:\n" + torch_text(s["output"])[:-1] + ", requires_grad=True)"), ours, status=0)
        for text in (str(np.arange(3000.)), "tensor([[0.1, 0.2, ..., 0.3]])", "0.1 0.2 ... 0.3\n", "weights = tensor([[0.1, 0.2],\n ...,\n [0.1, 0.2]])",
                     b.run("run", ours, "-f", "text", "--width", "30").text if batch == 1 else "[1. ... 2.]"):
            done = b.run("diff", t(text), ours)
            b.report.check(done.status == 3 and "leaves numbers out" in done.said, "a summarised print is refused", 3, f"{text[:60]}: {done.status} {done.said}")
        flat = w.ravel().tolist()
        for key in ("shape", "dims"):
            for more in ({}, {"dtype": "float64"}, {"type": "float64", "size": w.size, "dataLocation": "cpu"}):
                for data in (flat, {str(k): x for k, x in enumerate(flat)}):
                    found = b.diff(t(json.dumps({"weights": {key: list(w.shape), "data": data, **more}})), ours, status=0)
                    b.report.equal(f"{key}, {sorted(more)}", stage(found, "weights")["shape"], list(w.shape))
        merged = lambda a: a.transpose(0, 2, 1, 3).reshape(batch, TOKENS, -1)
        for names_of in (("queries", "keys"), ("queries", "keys", "values"), ("queries",), ("queries", "concat")):
            for form in (lambda a: a, lambda a: merged(a) if a.ndim == 4 else a):
                b.same(f"{names_of} alone", {n: form(s[n]) for n in names_of}, ours)
    b.report.equal("queries, keys and values as OURS are computed", b.run("diff", b.arrays("t.json", {"context": s["context"]}),
                   b.arrays("qkv.json", {n: s[n] for n in ("queries", "keys", "values")}), "-q").status, 1)  # not causal: it differs
    # A matrix as a table.
    document, s = problem(heads=1)
    document["embeddings"] = document["embeddings"][0]
    ours = b.write("my.json", document)
    rows = [[format(x, ".9f") for x in row] for row in s["output"][0]]
    tokens, header = ["Your", "journey", "starts", "with", "one"], list("abcdef")
    for separator in (",", ";", "\t", " ", "   "):
        join = lambda cells, by=separator: by.join(cells) + "\n"
        for name, text in {"rows": "".join(map(join, rows)), "a token before each": "".join(join([t, *r]) for t, r in zip(tokens, rows)),
                           "a header": join(header) + "".join(map(join, rows)), "both": join(header) + "".join(join([t, *r]) for t, r in zip(tokens, rows)),
                           "row numbers": join(list("012345")) + "".join(join([str(k), *r]) for k, r in enumerate(rows)),
                           "a corner": join(["token", *header]) + "".join(join([t, *r]) for t, r in zip(tokens, rows))}.items():
            b.report.equal(f"{name}, {separator!r}", b.run("diff", b.write("t.txt", text), ours, "-q").status, 0)
    for text in ("| | a | b |\n| --- | ---: | ---: |\n", ""):
        b.report.equal("no numbers", b.run("diff", b.write("t.txt", text), ours).status, 3)
    table = "| | " + " | ".join(header) + " |\n|---" * 1 + "|---" * 6 + "|\n" + "".join(f"| {t} | {' | '.join(r)} |\n" for t, r in zip(tokens, rows))
    b.report.equal("Markdown", b.run("diff", b.write("t.txt", table), ours, "-q").status, 0)


def words(b):
    """Words for what is not finite, and files that other programs made of ours; convert reads them alike."""
    document, s = problem()
    ours = b.write("my.json", document)
    b.run("run", ours, "-o", "t.csv", "-o", "t.json")
    read = lambda name: open(os.path.join(b.folder, name), encoding="utf-8").read()
    csv, trace = read("t.csv").replace("\r", ""), read("t.json")
    lines = [line.split(",") for line in csv.splitlines()]
    r_lines = "\n".join(",".join(([f'"{k}"'] if k else ['""']) + [f'"{c}"' if k == 0 or j in (0, 5, 6) else c or "NA" for j, c in enumerate(line)])
                        for k, line in enumerate(lines)) + "\n"
    floats = "\n".join(",".join(f"{c}.0" if k and 1 <= j <= 4 and c else c for j, c in enumerate(line)) for k, line in enumerate(lines)) + "\n"
    texts = {"csv": csv, "R": r_lines.replace("-Infinity", "-Inf").replace("-inf", "-Inf"), "pandas": "\n".join(("" if k == 0 else str(k - 1)) + "," + x for k, x in enumerate(floats.splitlines())),
             "columns in another order": "\n".join(",".join(line[::-1]) for line in lines) + "\n"}
    minus = "-Infinity" if "-Infinity" in csv else "-inf"
    for word in ("-Infinity", "-inf", "-Inf", "-INF", '"-Inf"', '"-Infinity"'):
        texts[f"csv {word}"] = csv.replace(minus, word)
    for name, text in texts.items():
        b.diff(b.write("w.csv", text), ours, "--atol", "0", "--rtol", "0", status=0)
        done = b.run("convert", "w.csv", "-q", "-o", "w.npz")
        b.report.equal(f"convert: {name}", (done.status, done.said), (0, ""))
        if done.status == 0:
            b.diff("w.npz", ours, status=0)
    bare = b.run("run", ours, "-f", "json", "--nonfinite", "bare").text
    for word in ("-Infinity", '"-Infinity"', "-Inf", "-inf", '"-Inf"', '"-inf"'):
        for name, text in (("a trace", bare.replace("-Infinity", word)), ("arrays", '{"masked_scores": ' + json.dumps(s["masked_scores"].tolist()).replace("-Infinity", word) + "}")):
            b.diff(b.write("w.json", text), ours, status=0)
            b.run("convert", "w.json", "-q", "-o", "w.npz")
            b.diff("w.npz", ours, status=0)
    # A document has only our own words, and may have tokens that are called so.
    b.write("tokens.json", {"embeddings": [[1, 2], [3, 4]], "tokens": ["nan", "Inf"]})
    b.run("run", "tokens.json", "--rows", "Inf", "-o", "part.json")
    b.diff("part.json", "tokens.json", "--rows", "Inf", status=0)
    b.write("w.json", '{"embeddings": [[1, 2]], "mask": {"add": [[-Inf]]}}')
    b.report.equal("a document with other words", b.run("diff", "part.json", "w.json").status, 3)
    for word in ("NaN", "nan", '"nan"', '"NaN"'):
        b.write("w.json", '{"weights": [[[%s]]]}' % word)
        b.report.equal(f"{word} is a number", b.diff("w.json", b.write("one.json", {"embeddings": [[1, 2]]}), status=1)["first"], "weights")


def many(b):
    documents, stages = zip(*(problem(seed=k) for k in range(3)))
    b.write("layers_in.json", "\n".join(json.dumps(d) for d in documents))
    layered = {f"model.layers.{k}.self_attn.{n}": s[n] for k, s in enumerate(stages) for n in ("weights", "output")}
    found = b.same("layers by prefix", layered, "layers_in.json")
    b.report.equal("as many", len(found.get("layers", [])), 3)
    layered["model.layers.2.self_attn.weights"] = stages[0]["weights"]
    layered["model.layers.1.self_attn.output"] = stages[1]["output"] + 0.5
    found = b.diff(b.arrays("layers.json", layered), "layers_in.json", status=1)
    b.report.equal("the first layer and stage", found["first"], {"layer": "model.layers.1", "stage": "output"})
    done = b.run("diff", "layers.json", "layers_in.json")
    b.report.matches("the same in words", done.text, r"the first that differs: model\.layers\.1\n")
    b.diff("layers.json", "layers_in.json", "--layer", "0", status=0)
    b.report.equal("a layer that is not there", b.run("diff", "layers.json", "layers_in.json", "--layer", "7").status, 3)
    b.run("run", "layers_in.json", "-f", "ndjson", "-o", "layers.ndjson")
    b.diff("layers.ndjson", "layers_in.json", status=0)
    b.run("run", "layers_in.json", "-o", "stream.json")
    b.diff("stream.json", "layers_in.json", status=0)
    b.diff("layers.ndjson", "stream.json", status=0)
    del layered["model.layers.1.self_attn.output"], layered["model.layers.1.self_attn.weights"]
    layered["model.layers.2.self_attn.weights"] = stages[2]["weights"]
    found = b.diff(b.arrays("layers.json", layered), "layers_in.json", status=1)
    b.report.check(any("document 1" in m for m in found["missing"]), "a missing layer is named", "document 1", found["missing"])
    b.write("single.json", documents[0])
    b.report.equal("layers beside one computation", b.run("diff", "layers.json", "single.json").status, 3)
    # Folders.
    for k in range(3):
        b.write(f"OURS/{k}.json", documents[k])
        b.arrays(f"THEIRS/{k}.json", {"output": stages[k]["output"]})
    found = b.diff("THEIRS", "OURS", status=0)
    b.report.equal("three files", [f["name"] for f in found["files"]], ["0.json", "1.json", "2.json"])
    b.arrays("THEIRS/1.json", {"output": stages[1]["output"] + 1})
    b.arrays("THEIRS/other.json", {"output": stages[1]["output"]})
    found = b.diff("THEIRS/", "OURS/", status=1)
    b.report.equal("the first file", (found["first"], len(found["missing"])), ("1.json", 1))
    text = b.run("diff", "THEIRS", "OURS").text
    b.report.matches("the missing one", text, r"missing: other\.json is not in OURS")
    b.report.matches("the count", text, r"2 of 3 equal, 1 missing")
    os.remove(os.path.join(b.folder, "THEIRS/1.json"))
    os.remove(os.path.join(b.folder, "THEIRS/other.json"))
    b.report.equal("a missing file is a difference", b.run("diff", "THEIRS", "OURS", "-q").status, 1)


def code(b):
    """The line of code to look at: whose, from --map or names, in text, JSON and the page."""
    document, s = problem()
    q = s["queries"] @ s["keys"].transpose(0, 1, 3, 2)
    hidden = np.triu(np.ones((TOKENS, TOKENS), bool), 1)
    e = np.exp(np.where(hidden, -np.inf, q) - np.where(hidden, -np.inf, q).max(-1, keepdims=True))
    theirs = b.arrays("unscaled.json", {"weights": e / e.sum(-1, keepdims=True)})
    plain = b.write("plain.json", document)
    names = {"W_query": "q_proj", "W_key": "k_proj", "W_value": "v_proj", "W_out": "o_proj"}
    document["weights"] = {f"{names[k]}.weight": np.array(v).T.tolist() for k, v in document["weights"].items()}
    named = b.write("named.json", document)
    line = "attn_weights = torch.matmul(query_states, key_states.transpose(2, 3)) * self.scaling"
    cause = b.diff(theirs, named, status=1)["causes"][0]
    b.report.equal("the cause", cause["id"], "no_scale")
    b.report.equal("the line, by the names of the weights", cause.get("look_at"), {"system": "Transformers", "lines": [line]})
    b.report.equal("no line where nobody's names are known", b.diff(theirs, plain)["causes"][0].get("look_at"), None)
    found = b.diff(theirs, plain, "--map", "llama")["causes"][0].get("look_at", {})
    b.report.equal("the line, by --map", found, {"system": "llama.cpp", "lines": ["kq = ggml_soft_max_ext(ctx0, kq, kq_mask, kq_scale, max_bias)"]})
    nested_name = b.write("prefixed.json", {"transformer.h.0.attn.weights": nested(e / e.sum(-1, keepdims=True))})
    b.report.equal("the line, by the names of theirs", b.diff(nested_name, plain)["causes"][0].get("look_at", {}).get("system"), "GPT-2")
    text = " ".join(b.run("diff", theirs, named).text.split())
    b.report.check(f"look at, in Transformers: {line} with this one change" in text, "the line in text", line, text)
    b.run("diff", theirs, named, "-o", "d.html", "-o", "d.svg")
    for name in ("d.html", "d.svg"):
        with open(os.path.join(b.folder, name), encoding="utf-8") as file:
            b.report.check("look at, in Transformers: attn_weights" in file.read(), f"the line in {name}")
    # Two mistakes, two lines.
    both = np.where(np.triu(np.ones((TOKENS, TOKENS), bool), 2), -np.inf, q)
    e = np.exp(both - both.max(-1, keepdims=True))
    cause = b.diff(b.arrays("both.json", {"weights": e / e.sum(-1, keepdims=True)}), named)["causes"][0]
    b.report.equal("two mistakes", sorted([cause["id"], *cause.get("with", [])]), ["mask_one_future", "no_scale"])
    b.report.equal("two lines", len(cause["look_at"]["lines"]), 2)
    b.report.check(line in cause["look_at"]["lines"], "one of them", line, cause["look_at"])


def command_line(b):
    document, s = problem()
    ours = b.write("my.json", document)
    good, bad = b.arrays("good.json", s), b.arrays("bad.json", {**s, "output": s["output"] + 1})
    for words, status in (((good, ours), 0), ((bad, ours), 1), ((good,), 2), ((good, ours, good), 2), (("-", "-"), 2), (("none.json", ours), 3),
                          ((ours, ours), 0), ((ours, good), 3), ((good, ours, "--atol", "-1"), 2), ((good, ours, "--atol", "x"), 2), ((good, ours, "--map", "tlenz"), 2),
                          ((good, ours, "--stages", "wieghts"), 2), ((good, ours, "-f", "csv"), 2), ((good, ours, "--ulp", "1", "--atol", "1"), 2),
                          ((good, ours, "--rows", "9"), 2), ((good, ours, "--rows", "1"), 1), ((bad, ours, "--stages", "weights"), 0), ((bad, ours, "--atol", "1.1"), 0)):
        done = b.run("diff", *words)
        b.report.check(done.status == status and not done.died, f"exit of {' '.join(words)}", status, f"{done.status} {done.said}")
    for name, status in ((good, 0), (bad, 1)):
        done = b.run("diff", name, ours, "-q")
        b.report.equal(f"-q {name}", (done.status, done.out, done.err), (status, b"", b""))
    done = b.run("diff", bad, ours, "-o", "report.json", "-o", "report.txt")
    b.report.equal("-o", (done.status, done.out), (1, b""))
    with open(os.path.join(b.folder, "report.json"), "rb") as file:
        found = json_values(file.read())[0]
    b.report.equal("keys of the report", list(found)[:6], KEYS_OF_REPORT)
    for one in found["stages"]:
        b.report.equal(f"keys of {one['name']}", list(one)[:9], KEYS_OF_STAGE)
    with open(os.path.join(b.folder, "report.txt"), encoding="utf-8") as file:
        text = file.read()
    b.report.matches("the table", text, r"(?m)^output +1×5×6 +NO +1 +q \d, dim \d +1\.\d$|^output +1×5×6 +NO +1 +q \d, dim \d +1$")
    b.report.check(max(map(len, text.split("\n"))) <= 80, "80 columns", 80, max(map(len, text.split("\n"))))
    b.report.check(b.run("diff", bad, ours, "--ascii").out.isascii(), "--ascii")
    b.report.check(b"\x1b[" in b.run("diff", bad, ours, "--color", "always").out, "--color")
    b.write("partly.json", {"weights": nested(s["weights"])})
    found = b.diff("partly.json", ours, status=0)
    b.report.equal("a stage that is not given", stage(found, "scores"), {"name": "scores", "present": False})
    b.write("null.json", {"weights": [[1, None], [0.5, 0.5]]})
    done = b.run("diff", "null.json", ours)
    b.report.check(done.status == 3 and "null" in done.said, "null is no number", 3, done.said)
    b.write("ragged.json", {"weights": [[1, 0], [0.5]]})
    done = b.run("diff", "ragged.json", ours)
    b.report.check(done.status == 3 and "/weights/1" in done.said, "ragged rows", 3, done.said)


PARTS = (forms, alignments, comparisons, printed, judgements, names, uncompared, where, parts, broken, averaged, by_request, by_column, unread, prints, words, many, code, command_line)


def main():
    options = parser_of(__doc__).parse_args()
    report = Report()
    for part in PARTS:
        if options.only and options.only not in part.__name__:
            continue
        with tempfile.TemporaryDirectory() as folder:
            part(Bench(program_of(options), folder, report))
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
