"""blindspots and diff agree: what blindspots calls shown is named by diff (or what gives the same numbers is), and what it
calls unseen makes no difference. Over random documents of tests/oracle/generate.py; reasons are held against the documents.

    blindspots_test.py [--count 150] [--seed 1] [--tool build/.../attn-mistakes]
"""
import argparse
import collections
import json
import os
import random
import subprocess
import sys

SOURCE = os.environ.get("ATTN_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "tests", "oracle"))
sys.path.insert(0, os.path.join(SOURCE, "tests"))
try:
    import numpy as np
    import reference
except ImportError:
    print("needs numpy")
    sys.exit(77)
import generate  # noqa: E402
from harness import SANITIZED, Report  # noqa: E402


def last_weights(document):
    """Of the oracle: the weights after the softmax and the mask; None: there are none."""
    with np.errstate(all="ignore"):
        stages = reference.compute(document)
    for name in ("renormalized_weights", "weights"):
        if name in stages:
            return np.asarray(stages[name])
    return None


def check_reasons(report, name, document, reasons):
    """A reason that can be seen from outside is so."""
    one_key = [m for m, why in reasons.items() if why.startswith(("each row sees one key", "each query sees one key"))]
    if one_key:
        weights = last_weights(document)
        most = None if weights is None else int((weights != 0).sum(-1).max())
        report.check(weights is None or most <= 1, f"{name}: {one_key}: each row sees one key", 1, most)
    for mistake, why in reasons.items():
        if why == "the matrix is symmetric" and ":W_" in mistake:
            matrix = document["weights"].get(mistake.split(":", 1)[1])
            if isinstance(matrix, list) and np.ndim(matrix) == 2:
                report.check(np.array_equal(matrix, np.transpose(matrix)), f"{name}: {mistake}: {why}", "symmetric", matrix)
        if why == "the scale is 1":
            report.check(document.get("scale", 1) == 1, f"{name}: {mistake}: {why}", 1, document.get("scale"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tool", help="the attn-mistakes that is asked")
    options = parser.parse_args()
    tool = options.tool or os.path.join(os.path.dirname(os.path.dirname(os.environ["ATTN_PROGRAM"])), "attn-mistakes")
    count = 20 if SANITIZED and options.count == 150 else options.count
    print(f"seed {options.seed}")
    report = Report()
    rng = random.Random(options.seed)
    documents = [generate.document(rng) for _ in range(count)]
    for kept in ("norms_of_one_number.json", "one_key_a_row.json"):
        with open(os.path.join(SOURCE, "tests", "data", kept), encoding="utf-8") as file:
            documents.append(json.load(file))
    run = subprocess.run([tool, "blindspots"], input="".join(json.dumps(d) + "\n" for d in documents), capture_output=True,
                         text=True, check=False)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    report.equal("answers", (run.returncode, len(answers)), (0, len(documents)))
    checked, whys = 0, collections.Counter()
    for number, (document, answer) in enumerate(zip(documents, answers)):
        name = f"document {number}"
        if not report.check("error" not in answer, name, "an answer", answer):
            continue
        checked += answer["checked"]
        whys.update(answer["reasons"].values())
        if not report.check(answer["wrong"] == [], name + ": diff and blindspots", [], answer["wrong"]):
            print("  " + json.dumps(document))
        check_reasons(report, name, document, answer["reasons"])
    report.check(checked > 10 * count, "mistakes made", f"> {10 * count}", checked)
    report.check(len(whys) > 3, "reasons", "> 3", sorted(whys))
    last = answers[-1]["reasons"]
    report.check(not any("symmetric" in last[m] for m in last if m.startswith("weight_transposed")), "one key a row: matrices", "no symmetry", last)
    report.check("all scores" not in last["softmax_over_queries"], "one key a row: scores", "", last["softmax_over_queries"])
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
