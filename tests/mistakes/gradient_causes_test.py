"""Gradients with mistakes made by an independent model (tests/oracle/mistaken_backward.py): are they named first and alone, and
nothing where there is none?

Some hundred random inputs; `--count N --seed S` takes any number, `--only id,id` some mistakes. Prints what was confused with what.
"""
import argparse
import collections
import json
import os
import random
import subprocess
import sys

try:
    import numpy as np
except ImportError:
    print("needs numpy")
    sys.exit(77)

sys.dont_write_bytecode = True
SOURCE = os.environ.get("ATTN_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "tests", "oracle"))
import backward  # noqa: E402
import generate  # noqa: E402
import mistaken_backward as mistaken  # noqa: E402
from reference import RECURRENT  # noqa: E402

DENSE = [v for v in generate.VARIANTS if v not in RECURRENT]
# Documents that have a place for them are rare otherwise.
WITH = {"sink": "sinks", "softcap": "softcap", "position_bias": "position_bias", "dropout": "dropout", "delta_undropped": "dropout",
        "dv_undropped": "dropout", "rope": "rope", "norm_": "qk_norm", "causal_alignment": "causal"}


def differs(a, b, by, least=1e-3):
    """Some number differs by more than this share of the largest."""
    scale = max(np.max(np.abs(b), initial=0.0), np.max(np.abs(a), initial=0.0), least)
    return not np.all(np.abs(a - b) <= by * scale)


def largest(found):
    """Of all: beside it a stage of much smaller numbers is equal within the tolerance."""
    return min(1.0, max(np.max(np.abs(d), initial=0.0) for d in found.values()))


def documents(rng, mistake):
    """Random documents with a gradient that may have a place for a mistake."""
    wanted = next((option for word, option in WITH.items() if mistake.startswith(word)), None)
    only = RECURRENT if mistake in mistaken.STATES else None if mistake in mistaken.STEPS else DENSE
    while True:
        try:
            doc = generate.document(rng, 6, only, avoid=("keras",), width=4, heads=4, gradient=True)
        except (ValueError, ZeroDivisionError):
            continue
        if wanted and wanted not in doc and mistake != "causal_alignment_backward":
            continue
        if "manual_seed" in doc or isinstance(doc.get("weights"), dict) and "init" in doc["weights"]:
            continue
        if doc["gradient"] == "ones" or isinstance(doc["gradient"], dict) and doc["gradient"].get("loss") == "sum":
            continue  # hides mistakes
        yield {**json.loads(json.dumps(doc)), "dtype": "float64"}


def in_use(found):
    """dQ, dK, dV as kernels return them: the first of each chain on the way back."""
    names = []
    for side in ("queries", "keys", "values"):
        names += [n for n in found if n.endswith(side) and n != "d_rope_keys"][:1]
    return names


def finite(found):
    return all(np.isfinite(d).all() for d in found.values())


def chosen(found, right, rng, mistake):
    """The gradients that are given away."""
    draw = rng.random()
    stages = [n for n in found if n != "d_states"]
    names = in_use(found) if draw < 0.5 else stages if draw < 0.75 else [n for n in stages if "W_" in n or "embeddings" in n or "_proj" in n]
    if any(differs(found[n], right[n], 1e-3, largest(right)) for n in names):
        return names
    return stages


class Case:
    def __init__(self, kind, doc, mistake, found, given):
        self.kind, self.doc, self.mistake, self.found, self.given = kind, doc, mistake, found, given

    def line(self):
        return json.dumps({"input": self.doc, "gradients": {n: np.float32(self.found[n]).astype(float).ravel().tolist() for n in self.given}})

    def right(self, report):
        """Named first and alone; what gives the same numbers counts as the same mistake."""
        named = [c["id"].split(":")[0] for c in report["causes"]]
        if self.kind != "single":
            return not named
        return bool(named) and all(n == self.mistake or self.gives_the_same(n) for n in named)

    def gives_the_same(self, other):
        for seed in range(24):
            try:
                found = mistaken.gradients(self.doc, other, np.random.default_rng(seed))
            except mistaken.CannotBeMade:
                continue
            if not any(differs(found[n], self.found[n], 2e-5) for n in self.given):
                return True
        return False


def case_of(kind, mistake, rng):
    made = np.random.default_rng(rng.randrange(1 << 30))
    for doc in documents(rng, mistake):
        right = backward.gradients(doc)
        if not finite(right):
            continue
        if kind == "none":
            given = chosen(right, {n: d + 1 for n, d in right.items()}, rng, mistake)
            return Case(kind, doc, None, right, given)
        if kind == "unknown":
            return unknown(doc, right, rng, made)
        try:
            found = mistaken.gradients(doc, mistake, made)
        except mistaken.CannotBeMade:
            continue
        if not finite(found) or not any(differs(found[n], right[n], 1e-3, largest(right)) for n in right if n != "d_states"):
            continue
        return Case(kind, doc, mistake, found, chosen(found, right, rng, mistake))
    return None


def unknown(doc, right, rng, made):
    """Noise in one gradient, or a number of it that is not what it should be."""
    given = in_use(right) if rng.random() < 0.5 else [n for n in right if n != "d_states"]
    name = rng.choice(given)
    size = max(np.max(np.abs(right[name]), initial=0.0), 0.1)
    noise = made.normal(0, 0.3 * size, right[name].shape)
    if rng.random() < 0.3:
        noise = noise * (made.random(noise.shape) < 0.3) + 0.1 * size
    return Case("unknown", doc, None, {**right, name: right[name] + noise}, given)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only")
    parser.add_argument("--tool", help="the attn-mistakes that is asked")
    parser.add_argument("--keep", help="a folder for the inputs that went wrong")
    options = parser.parse_args()
    program = options.tool or os.path.join(os.path.dirname(os.path.dirname(os.environ["ATTN_PROGRAM"])), "attn-mistakes")
    count = 40 if os.environ.get("ATTN_SANITIZE") == "ON" and options.count == 60 else options.count
    rng = random.Random(options.seed)
    ids = options.only.split(",") if options.only else mistaken.ALL
    failed = 0
    for kind, share, least in (("single", 1.0, 0.95), ("none", 0.25, 1.0), ("unknown", 0.25, 1.0)):
        cases = [case_of(kind, ids[k % len(ids)], rng) for k in range(max(8, int(count * share)))]
        run = subprocess.run([program, "gradients"], input="".join(c.line() + "\n" for c in cases), capture_output=True, text=True,
                             check=False)
        reports = [json.loads(line) for line in run.stdout.splitlines()]
        if run.returncode or len(reports) != len(cases):
            sys.exit(run.stdout[-2000:] + run.stderr[-2000:])
        confused, wrong = collections.Counter(), []
        for case, report in zip(cases, reports):
            if "error" in report:
                sys.exit("refused: " + report["error"] + "\n" + case.line()[:2000])
            if not case.right(report):
                wrong.append(case)
                said = [c["id"] for c in report["causes"]] or ["nothing: " + "; ".join(report["findings"][:2])[:120]]
                confused[(case.mistake or kind, " | ".join(said[:4]))] += 1
        right = len(cases) - len(wrong)
        print(f"{kind}: {right} of {len(cases)} right ({100 * right / len(cases):.1f} %), {sum(r['seconds'] for r in reports):.1f} s")
        for (mistake, said), n in sorted(confused.items()):
            print(f"  {n} x {mistake}: said {said}")
        failed += right < least * len(cases)
        for k, case in enumerate(wrong if options.keep else []):
            os.makedirs(options.keep, exist_ok=True)
            with open(os.path.join(options.keep, f"{kind}{k}.json"), "w", encoding="utf-8") as file:
                file.write(case.line())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
