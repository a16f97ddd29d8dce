"""attn-calc diff of gradients from outside: names, shapes, inherited errors, laws, exit codes. Numbers come from tests/oracle."""
import json
import os
import sys
import tempfile

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [TESTS, os.path.join(TESTS, "oracle")]
sys.dont_write_bytecode = True
from harness import Report, execute, parser_of, program_of  # noqa: E402

try:
    import numpy as np
except ImportError:
    print("numpy is not there")
    sys.exit(77)
import backward  # noqa: E402
import mistaken_backward as mistaken  # noqa: E402


def document(batch=2, tokens=5, heads=4, kv_heads=2, width=6, dim=3, **more):
    rng = np.random.default_rng(7)

    def drawn(*shape):
        return np.round(rng.normal(size=shape), 3).tolist()
    weights = {"W_query.weight": drawn(heads * dim, width), "W_key.weight": drawn(kv_heads * dim, width),
               "W_value.weight": drawn(kv_heads * dim, width), "out_proj.weight": drawn(width, heads * dim)}
    doc = {"variant": "grouped_query", "num_heads": heads, "num_kv_heads": kv_heads, "causal": True, "dtype": "float64",
           "embeddings": drawn(batch, tokens, width), "weights": weights, "gradient": {"output": drawn(batch, tokens, width)}}
    return {**doc, **more}


class Bench:
    def __init__(self, program, folder, report):
        self.program, self.folder, self.report = program, folder, report

    def write(self, name, value):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            json.dump(value, file)
        return name

    def diff(self, theirs, doc, *words):
        """(exit status, the report, what was said)."""
        if isinstance(theirs, dict):
            np.savez(os.path.join(self.folder, "theirs.npz"), **theirs)
            theirs = "theirs.npz"
        done = execute([self.program, "diff", theirs, self.write("ours.json", doc), "-f", "json", *words], self.folder)
        return done.status, json.loads(done.out) if done.status in (0, 1) else {}, done.said

    def same(self, name, theirs, doc, names, *words):
        """All are compared with these gradients of ours, and equal."""
        status, found, said = self.diff(theirs, doc, *words)
        compared = [s["name"] for s in found.get("stages", []) if s["present"] and s["name"].startswith("d_")]
        self.report.check(status == 0 and sorted(compared) == sorted(names), f"{name}: exit {status}, compared {compared}: {said} "
                                                                            f"{found.get('not_compared')}")


def names(b):
    doc = document()
    g = backward.gradients(doc)
    in_use = ["d_queries", "d_keys", "d_values"]
    kernel = {"dq": g["d_queries"], "dk": g["d_keys"], "dv": g["d_values"]}
    b.same("our own names", {n: g[n] for n in g}, doc, list(g))
    b.same("dq, dk, dv", kernel, doc, in_use)
    b.same("tokens first, as flash-attention has them", {n.upper()[0].lower() + n[1:].upper(): d.transpose(0, 2, 1, 3) for n, d in kernel.items()},
           doc, in_use)
    b.same("of autograd", {"q.grad": g["d_queries"], "attn.k.grad": g["d_keys"], "values.grad": g["d_values"], "attn_weights.grad": g["d_weights"]},
           doc, in_use + ["d_weights"], "--map", "tutorial")
    state = {n: g["d_" + n] for n in ("W_query.weight", "W_key.weight", "W_value.weight", "out_proj.weight")}
    b.same("a state dict's .grad", {"model.layers.3.self_attn." + n + ".grad": d for n, d in state.items()}, doc, ["d_" + n for n in state])
    b.same("other names of the same weights", {"q_proj.weight.grad": state["W_query.weight"], "o_proj.weight.grad": state["out_proj.weight"]},
           doc, ["d_W_query.weight", "d_out_proj.weight"])
    b.same("gradients under the names of parameters", state, doc, ["d_" + n for n in state])
    b.same("the input, what enters, weights", {"dx": g["d_embeddings"], "dout": g["d_context"], "dP": g["d_weights"], "dS": g["d_masked_scores"]},
           doc, ["d_embeddings", "d_context", "d_weights", "d_masked_scores"])
    b.same("micrograd", {"dwei": g["d_weights"], "dWq": state["W_query.weight"].T}, doc, ["d_weights", "d_W_query.weight"], "--map", "micrograd")
    keras = document()
    keras["weights"] = {"query/kernel": np.array(doc["weights"]["W_query.weight"]).T.reshape(6, 4, 3).tolist(),
                        **{n: w for n, w in doc["weights"].items() if "query" not in n}}
    kernel_of_query = np.random.default_rng(5).normal(size=(6, 4, 3))
    status, found, said = b.diff({"layers/3/query/kernel.grad": kernel_of_query}, keras)
    b.report.check(status == 1 and found["first"] == "d_query/kernel", f"a kernel of Keras: exit {status} {said} {found.get('not_compared')}")
    plain = document(kv_heads=4)
    p = backward.gradients(plain)
    three = [p[n] for n in in_use]
    b.same("dqkv", {"dqkv": np.stack([d.transpose(0, 2, 1, 3) for d in three], axis=2)}, plain, in_use)
    b.same("dqkvr of llm.c", {"dqkvr": np.stack(three)}, plain, in_use, "--map", "llmc")
    flat = np.concatenate([d.transpose(0, 2, 1, 3).reshape(d.shape[0], d.shape[2], -1) for d in three], axis=2)
    b.same("dinp of llm.c", {"dinp": flat, "datt": p["d_weights"], "dpreatt": p["d_scaled_scores"], "dout": p["d_concat"]}, plain,
           in_use + ["d_weights", "d_scaled_scores", "d_context"], "--map", "llmc")
    lone = os.path.join(b.folder, "lone.npy")
    np.save(lone, g["d_keys"])
    b.same("an array without a name", "lone.npy", doc, ["d_keys"], "--stages", "d_keys")
    bare = {n: v for n, v in doc.items() if n != "gradient"}
    status, found, said = b.diff({**kernel, "queries": backward.Backward(doc).s["queries"]}, bare)
    b.report.check(status == 1 and any("says what enters" in n for n in found["not_compared"]),
                   f"without \"gradient\": exit {status}, {found.get('not_compared')} {said}")


def stage(found, name):
    return next(s for s in found["stages"] if s["name"] == name)


def judgements(b):
    doc = document()
    right, wrong = backward.gradients(doc), mistaken.gradients(doc, "softmax_no_sum", np.random.default_rng(1))
    order = [n for n in right]
    status, found, _ = b.diff({n: wrong[n] for n in order}, doc)
    new = [s["name"] for s in found["stages"] if s.get("new_error")]
    b.report.check(status == 1 and found["first"] == "d_masked_scores" and new == ["d_masked_scores"], f"inherited ones are new: {new}")
    b.report.check([c["id"] for c in found["causes"]] == ["softmax_no_sum"], f"causes {found['causes']}")
    b.report.check("look_at" in found["causes"][0], "no line to look at")
    kernel = {"dq": wrong["d_queries"], "dk": wrong["d_keys"], "dv": wrong["d_values"]}
    _, found, _ = b.diff(kernel, doc)
    b.report.check([c["id"] for c in found["causes"]] == ["softmax_no_sum"], f"from dq, dk, dv alone: {found['causes']}")
    # A second mistake, in what is made of wrong ones.
    both = dict(wrong)
    both["d_keys"] = wrong["d_keys"] / 2
    status, found, _ = b.diff({n: both[n] for n in order if n.startswith("d_") and "embeddings" not in n and "W_" not in n}, doc)
    new = [s["name"] for s in found["stages"] if s.get("new_error")]
    b.report.check(new == ["d_masked_scores", "d_keys"], f"two errors: new are {new}")
    # From their own weights.
    stages = backward.Backward(doc).s
    other = document(scale=0.2)
    theirs = {"weights": backward.Backward(other).s["weights"], "d_context": right["d_context"]}
    run = mistaken.Mistaken(doc, "none", np.random.default_rng(1))
    run.s["weights"] = theirs["weights"]
    run.d, run.inputs = {}, {}
    dq, dk, dv = run.attend(right["d_context"])
    theirs.update(d_queries=dq, d_keys=dk, d_values=dv)
    status, found, _ = b.diff(theirs, doc)
    inherited = [s["name"] for s in found["stages"] if s.get("new_error") is False and not s["equal"]]
    b.report.check(found["first"] == "weights" and sorted(inherited) == ["d_keys", "d_queries", "d_values"], f"from their weights: {inherited}")
    b.report.check(not np.allclose(stages["weights"], theirs["weights"]), "the other scale changes nothing")


def laws(b):
    doc = document()
    g = backward.gradients(doc)
    noisy = g["d_masked_scores"] + 0.1 * np.random.default_rng(3).normal(size=g["d_masked_scores"].shape)
    _, found, _ = b.diff({"d_masked_scores": noisy}, doc)
    told = " ".join(found["findings"])
    b.report.check(not found["causes"] and "sum to 0" in told and "hidden cells get 0" in told, f"rows and hidden cells: {found['findings']}")
    keys = g["d_keys"] * np.array([1.0, 1.3])[None, :, None, None]
    _, found, _ = b.diff({"d_queries": g["d_queries"], "d_keys": keys}, doc)
    b.report.check(any("they are equal" in f for f in found["findings"]), f"products: {found['findings']}")
    values = g["d_values"] + 0.1
    _, found, _ = b.diff({"d_values": values}, doc)
    b.report.check(any(f.startswith("d_values: the sum over keys") for f in found["findings"]), f"values: {found['findings']}")


def parts_and_pictures(b):
    doc = document()
    g = backward.gradients(doc)
    b.same("rows of ours", {"d_queries": g["d_queries"][:, :, 1:3]}, doc, ["d_queries"], "--rows", "1:3")
    np.savez(os.path.join(b.folder, "theirs.npz"), d_scores=g["d_scores"] + 1.0)
    for name in ("p.svg", "p.html"):
        done = execute([b.program, "diff", "theirs.npz", b.write("ours.json", doc), "-o", name], b.folder)
        with open(os.path.join(b.folder, name), encoding="utf-8") as file:
            b.report.check(done.status == 1 and "d_scores" in file.read(), f"{name}: exit {done.status} {done.said}")
    # A trace of ours in the place of the document.
    for form in ("json", "npz", "ndjson", "csv"):
        made = execute([b.program, "run", "ours.json", "-o", "trace." + form], b.folder)
        done = execute([b.program, "diff", "trace." + form, "ours.json", "-f", "json"], b.folder)
        found = json.loads(done.out) if done.status in (0, 1) else {"stages": []}
        compared = [s["name"] for s in found["stages"] if s["present"] and s["name"].startswith("d_")]
        b.report.check(made.status == 0 and done.status == 0 and len(compared) == len(g), f"trace.{form}: exit {done.status} {done.said} {compared}")
        wrong = execute([b.program, "diff", "theirs.npz", "trace." + form, "-f", "json"], b.folder)
        b.report.check(wrong.status == 1 and json.loads(wrong.out)["first"] == "d_scores", f"beside trace.{form}: exit {wrong.status} {wrong.said}")


def tolerances(b):
    doc = document(dtype="float32")
    g = backward.gradients({**doc, "dtype": "float64"})
    kernel = {n: (g[m] * 1000).astype(np.float32) for n, m in (("dq", "d_queries"), ("dk", "d_keys"), ("dv", "d_values"))}
    loud = {**doc, "gradient": {"output": (1000 * np.array(doc["gradient"]["output"])).tolist()}}
    b.same("float32 of any size", kernel, loud, ["d_queries", "d_keys", "d_values"])
    quiet = {**doc, "gradient": {"output": (1e-5 * np.array(doc["gradient"]["output"])).tolist()}}
    status, _, _ = b.diff({"dq": (g["d_queries"] * 1.01e-5).astype(np.float32)}, quiet)
    b.report.check(status == 1, "a percent of small gradients is not seen")


def main():
    options = parser_of(__doc__).parse_args()
    report = Report(options.only)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(program_of(options), folder, report)
        for part in (names, judgements, laws, parts_and_pictures, tolerances):
            part(bench)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
