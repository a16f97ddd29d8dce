"""probe and blindspots: what they say is held against the independent model of mistakes in tests/oracle/mistaken.py."""
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("needs numpy")
    sys.exit(77)

SOURCE = os.environ.get("ATTN_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ["ATTN_PROGRAM"]
TOOL = os.path.join(os.path.dirname(os.path.dirname(PROGRAM)), "attn-mistakes")
sys.path.insert(0, os.path.join(SOURCE, "tests", "oracle"))
sys.path.insert(0, os.path.join(SOURCE, "tests"))
import backward  # noqa: E402
import mistaken  # noqa: E402
import mistaken_backward  # noqa: E402
from harness import Report  # noqa: E402

APART = 1e-2
LEFT_OUT = ("rounded:bf16", "rounded:f16", "dropout_left_on")  # no wrong number; no one number
OPTIONS = [
    [], ["--seed", "5"], ["--causal", "false"], ["--tokens", "4", "--width", "6", "--heads", "3"], ["--heads", "1"],
    ["--tokens", "8", "--width", "16", "--heads", "4", "--kv-heads", "2"], ["--rope", "--width", "16"],
    ["--window", "2", "--softcap", "2"], ["--tokens", "10", "--width", "24", "--heads", "6", "--kv-heads", "2", "--rope"],
]


def run(*words, stdin=None):
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, input=stdin, check=False)


def outputs(doc):
    """The output of every mistake that the independent model can make, by id; "" is none."""
    found = {}
    for one in [""] + mistaken.SINGLE:
        if one in LEFT_OUT:
            continue
        try:
            with np.errstate(all="ignore"):
                found[one] = np.asarray(mistaken.stages(doc, [one] if one else [], np.random.default_rng(3))["output"], float)
        except mistaken.CannotBeMade:
            continue
    return found


def apart(a, b):
    """The largest difference; infinite where NaN or infinities differ."""
    if a.shape != b.shape:
        return math.inf
    with np.errstate(all="ignore"):
        d = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    return math.inf if not np.isfinite(d).all() else float(d.max())


def check_probe(report, options):
    name = "probe " + " ".join(options)
    made = run("probe", *options)
    if not report.equal(name, made.returncode, 0):
        return
    again = run("probe", *options)
    report.check(made.stdout == again.stdout, name + ": the same bytes twice")
    doc = json.loads(made.stdout)
    said = json.loads(run("blindspots", "-f", "json", stdin=made.stdout).stdout)
    by_id = {m["id"]: m for m in said["mistakes"]}
    same = {frozenset((m["id"], o)) for m in said["mistakes"] for o in m.get("same_as", [])}
    found = outputs(doc)
    pairs = 0
    for one, other in itertools.combinations(found, 2):
        if not one:  # against no mistake at all
            unseen = by_id.get(other, {}).get("sight") in ("unseen", "no place")
            report.check(unseen == (apart(found[one], found[other]) < 1e-5), f"{name}: {other} is seen", not unseen)
            continue
        if any(by_id.get(m, {}).get("sight") in ("unseen", "no place") for m in (one, other)):
            continue
        by = apart(found[one], found[other])
        alike = frozenset((one, other)) in same
        report.check(by > APART or alike and by < 1e-4, f"{name}: {one} and {other} are apart", "> 0.01", by)
        pairs += 1
    report.check(pairs > 200, name + ": pairs", "> 200", pairs)


def check_blindspots(report):
    def sights(doc):
        answer = run("blindspots", "-f", "json", stdin=json.dumps(doc))
        return {m["id"]: m for m in json.loads(answer.stdout)["mistakes"]}
    x = [[1.0, 0.5], [0.25, -1.0], [2.0, 0.75]]
    one = [[1.0, 0.0], [0.0, 1.0]]
    plain = sights({"embeddings": x, "weights": {"W_query": one, "W_key": one, "W_value": one}})
    for name in ("weight_transposed:W_query", "weight_transposed:all", "values_are_embeddings", "values_are_keys",
                 "queries_keys_swapped", "keys_values_swapped"):
        report.equal(f"identity weights: {name}", plain[name]["sight"], "unseen")
    for name in ("no_mask", "mask_strict", "softmax_over_heads", "merge_without_transpose", "rope_pairs", "no_bias"):
        report.equal(f"one head, no mask: {name}", plain[name]["sight"], "no place")
    for name in ("no_scale", "softmax_over_queries", "exp2"):
        report.equal(f"identity weights: {name}", plain[name]["sight"], "shown")
    narrow = sights({"embeddings": x, "weights": {k: [[0.5], [2.0]] for k in ("W_query", "W_key", "W_value")}})
    report.equal("head width 1: no_scale", narrow["no_scale"]["sight"], "unseen")
    weak = sights({"embeddings": [[1e-3 * v for v in row] for row in x], "weights": {
        "W_query": one, "W_key": [[1.0, 0.5], [0.0, 1.0]], "W_value": [[1.0, 2.0], [3.0, 5.0]]}})
    report.equal("tiny scores: no_scale", weak["no_scale"]["sight"], "weakly")
    report.check(0 < weak["no_scale"]["roundings"] < 1000, "tiny scores: roundings", "0 to 1000", weak["no_scale"]["roundings"])
    text = run("blindspots", "--width", "60", stdin=json.dumps({"embeddings": x}))
    report.check(all(len(line) <= 60 for line in text.stdout.split("\n")), "text keeps to the width")


def gradients_of(doc):
    """The gradients of every mistake of a backward pass that the independent model can make, by id; "" is none."""
    found = {"": backward.gradients(doc)}
    for one in mistaken_backward.ALL:
        try:
            found[one] = mistaken_backward.gradients(doc, one, np.random.default_rng(4))
        except mistaken_backward.CannotBeMade:
            continue
    return found


def check_gradients(report, options):
    """Mistakes of backward passes: those of a probe are apart, or the same; what is called unseen changes nothing."""
    name = "probe --gradient " + " ".join(options)
    made = run("probe", "--gradient", *options)
    if not report.equal(name, made.returncode, 0):
        return
    doc = json.loads(made.stdout)
    said = json.loads(run("blindspots", "-f", "json", stdin=made.stdout).stdout)["gradients"]
    by_id = {m["id"]: m for m in said["mistakes"]}
    same = {frozenset((m["id"].split(":")[0], o.split(":")[0])) for m in said["mistakes"] for o in m.get("same_as", [])}
    found = gradients_of({**doc, "dtype": "float64"})
    for one, other in itertools.combinations(found, 2):
        by = max(apart(found[one][n], found[other][n]) for n in found[""])
        unseen = any(m and by_id[m]["sight"] in ("unseen", "no place") for m in (one, other))
        if not one:
            report.check(unseen == (by < 1e-9), f"{name}: {other} is seen", not unseen, by)
        elif unseen:
            continue
        else:
            report.check(by > APART / 2 or frozenset((one, other)) in same, f"{name}: {one} and {other} are apart", "> 0.005", by)
    report.check(len(found) > 15, name + ": mistakes", "> 15", len(found))


def check_ones(report):
    """Ones that enter at joined heads are the same in any order."""
    rng = np.random.default_rng(2)
    doc = {"variant": "multi_head", "num_heads": 2, "embeddings": rng.normal(size=(3, 4)).tolist(), "gradient": "ones",
           "weights": {k: rng.normal(size=(4, 4)).tolist() for k in ("W_query", "W_key", "W_value")}}

    def sights(document):
        return {m["id"]: m for m in json.loads(run("blindspots", "-f", "json", stdin=json.dumps(document)).stdout)["gradients"]["mistakes"]}
    found = sights(doc)
    report.equal("ones: heads_not_transposed", found["heads_not_transposed"]["sight"], "unseen")
    report.check("ones enter" in found["heads_not_transposed"]["why"], "ones: the reason", "ones enter", found["heads_not_transposed"].get("why"))
    report.equal("ones: softmax_no_sum", found["softmax_no_sum"]["sight"], "shown")
    report.equal("one batch item: dW_first_item", found["dW_first_item"]["sight"], "no place")
    other = sights({**doc, "gradient": {"output": rng.normal(size=(3, 4)).tolist()}})
    report.equal("no ones: heads_not_transposed", other["heads_not_transposed"]["sight"], "shown")
    text = run("blindspots", stdin=json.dumps(doc)).stdout
    report.check("\nthe backward pass\n" in text, "the text has a part on the backward pass", "the backward pass", text[-200:])


def check_usage(report):
    for words, code in ((["probe", "--heads", "3", "--width", "8"], 2), (["probe", "x.json"], 2), (["probe", "--tokens", "1"], 2),
                        (["probe", "--rope", "--width", "6"], 2), (["probe", "--softcap", "-1"], 2),
                        (["probe", "--causal", "yes"], 2), (["blindspots", "none.json"], 3), (["blindspots", "-f", "csv", "-"], 2),
                        (["probe", "--help"], 0), (["blindspots", "--help"], 0)):
        report.equal(" ".join(words), run(*words, stdin="").returncode, code)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "probe.json")
        made = run("probe", "-q", "-o", path)
        report.equal("probe -q -o", (made.returncode, made.stdout, made.stderr), (0, "", ""))
        report.equal("the probe is computed", run("run", path, "--stages", "output").returncode, 0)
        arrays = os.path.join(folder, "probe.npz")
        report.equal("probe -o json -o npz", run("probe", "-q", "-o", path, "-o", arrays).returncode, 0)
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        with np.load(arrays) as found:
            wanted = {"embeddings": document["embeddings"], **document["weights"]}
            report.equal("names of the npz", sorted(found.files), sorted(wanted))
            for name, numbers in wanted.items():
                report.equal(f"numbers of {name}", found[name].tolist(), numbers)
        report.equal("probe -o x.csv", run("probe", "-o", os.path.join(folder, "x.csv")).returncode, 2)
        spots = os.path.join(folder, "spots.json")
        made = run("blindspots", path, "-o", spots)
        report.equal("blindspots -o", (made.returncode, made.stdout), (0, ""))
        with open(spots, encoding="utf-8") as file:
            report.check(isinstance(json.load(file), dict), "blindspots -o x.json writes JSON")


def check_page(report):
    script = os.path.join(SOURCE, "tests", "mistakes", "mistakes_page.py")
    made = subprocess.run([sys.executable, "-B", script, "--check", TOOL], capture_output=True, text=True, check=False)
    report.equal("docs/mistakes.md is current", (made.returncode, made.stdout, made.stderr), (0, "", ""))


def check_files(report):
    """Several outputs take their places together, or none does."""
    with tempfile.TemporaryDirectory() as folder:
        one, missing = os.path.join(folder, "probe.json"), os.path.join(folder, "missing", "probe.npz")
        report.equal("an output that cannot be written", run("probe", "-o", one, "-o", missing).returncode, 4)
        report.check(os.listdir(folder) == [], "leaves no other", [], os.listdir(folder))
        two = os.path.join(folder, "probe.npz")
        report.equal("both outputs", run("probe", "-o", one, "-o", two).returncode, 0)
        with np.load(two) as arrays:
            with open(one, encoding="utf-8") as file:
                embeddings = np.array(json.load(file)["embeddings"])
            report.check(np.array_equal(arrays["embeddings"], embeddings), "hold the same numbers", embeddings, arrays["embeddings"])


def main():
    report = Report()
    check_files(report)
    for options in OPTIONS[:3] if os.environ.get("ATTN_SANITIZE") == "ON" else OPTIONS:
        check_probe(report, options)
    for options in ([], ["--rope", "--softcap", "2", "--heads", "4", "--kv-heads", "2"]):
        check_gradients(report, options)
    check_ones(report)
    check_blindspots(report)
    check_usage(report)
    check_page(report)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
