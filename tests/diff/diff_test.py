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
    found = b.same("TransformerLens", tlens, ours, "--map", "tlens")
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
    found = b.same("masked before the scale is not ours", {**tutorial, "masked": masked}, ours, "--map", "tutorial")
    b.report.check(any("mask_at" in n for n in found["notes"]), "and why is said", "mask_at", found["notes"])
    b.write("before.json", {**document, "mask_at": "scores"})
    found = b.same("masked", {"masked": masked}, "before.json", "--map", "tutorial")
    b.report.equal("masked is masked_scores", stage(found, "masked_scores").get("equal"), True)
    for given, hint in (({"hook_pattern": s["weights"]}, "--map tlens"), ({"weigths": s["weights"]}, "did you mean weights"), ({"xyz": s["weights"]}, "xyz")):
        done = b.run("diff", b.arrays("t.json", given), ours)
        b.report.check(done.status == 3 and hint in done.said, f"unknown name: {hint}", hint, f"{done.status} {done.said}")
    done = b.run("diff", b.arrays("t.json", {"a.weights": s["weights"], "b.weights": s["weights"]}), ours)
    b.report.check(done.status == 3 and "a.weights and b.weights are both weights" in done.said, "one name twice", 3, done.said)


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


def command_line(b):
    document, s = problem()
    ours = b.write("my.json", document)
    good, bad = b.arrays("good.json", s), b.arrays("bad.json", {**s, "output": s["output"] + 1})
    for words, status in (((good, ours), 0), ((bad, ours), 1), ((good,), 2), ((good, ours, good), 2), (("-", "-"), 2), (("none.json", ours), 3),
                          ((ours, ours), 3), ((good, ours, "--atol", "-1"), 2), ((good, ours, "--atol", "x"), 2), ((good, ours, "--map", "tlenz"), 2),
                          ((good, ours, "--stages", "wieghts"), 2), ((good, ours, "-f", "csv"), 2), ((good, ours, "--ulp", "1", "--atol", "1"), 2),
                          ((good, ours, "--rows", "1"), 2), ((bad, ours, "--stages", "weights"), 0), ((bad, ours, "--atol", "1.1"), 0)):
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


PARTS = (forms, alignments, comparisons, printed, judgements, names, many, command_line)


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
