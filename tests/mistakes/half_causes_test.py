"""`diff` of half precision: where theirs rounds elsewhere is told, by numbers that are equal to the last bit. Theirs are PyTorch's
(tests/data/half) and the oracle's with stages that are kept in float32; what is rounded as ours is not called a mistake."""
import json
import os
import random
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("needs numpy")
    sys.exit(77)

sys.dont_write_bytecode = True
SOURCE, PROGRAM = os.environ["ATTN_SOURCE"], os.environ["ATTN_PROGRAM"]
sys.path.insert(0, os.path.join(SOURCE, "tests", "oracle"))
from reference import Run  # noqa: E402
from tensors import nearest, rounding  # noqa: E402

failures = []
SCORES, WEIGHTS = ("scores", "scaled_scores", "masked_scores"), ("weights",)
KEPT = {"scores": SCORES, "weights": WEIGHTS, "cells": SCORES + WEIGHTS}


def check(what, found, wanted):
    if found != wanted:
        failures.append(f"{what}: {found!r}, expected {wanted!r}")


class Half(Run):
    """A run in half precision that keeps some stages in float32."""

    def __init__(self, document, kind, kept=()):
        self.kind, self.kept = kind, kept
        super().__init__(document)

    def put(self, name, value):
        value = np.asarray(value, dtype=np.float64)
        self.stages[name] = value.astype(np.float32).astype(np.float64) if name in self.kept else nearest(value, self.kind)
        return self.stages[name]


def theirs_of(document, kind, kept, shown):
    with rounding(kind), np.errstate(all="ignore"):
        stages = Half(document, kind, kept).all()
    return {n: {"shape": list(stages[n].shape), "data": stages[n].ravel().tolist(), "dtype": kind} for n in shown}


def document_of(kind, seed):
    rng = random.Random(seed)
    draw = lambda *shape: [draw(*shape[1:]) for _ in range(shape[0])] if shape else round(rng.gauss(0, 1), 4)  # noqa: E731
    return {"variant": "multi_head", "num_heads": 2, "causal": True, "dtype": kind, "embeddings": draw(2, 20, 12),
            "weights": {name: draw(12, 12) for name in ("W_query", "W_key", "W_value", "W_out")}}


class Diff:
    def __init__(self, folder):
        self.folder = folder

    def __call__(self, theirs, document, *options):
        names = []
        for name, content in (("theirs.json", theirs), ("ours.json", document)):
            names.append(os.path.join(self.folder, name))
            with open(names[-1], "w", encoding="utf-8") as out:
                json.dump(content, out)
        done = subprocess.run([PROGRAM, "diff", *names, "-f", "json", *options], capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            failures.append(f"exit {done.returncode}: {done.stderr[:300]}")
            return set(), ""
        report = json.loads(done.stdout)
        return {c["id"] for c in report.get("causes", [])}, " ".join(report.get("notes", []))


def main():
    with tempfile.TemporaryDirectory() as folder:
        diff = Diff(folder)
        for kind, short in (("bfloat16", "bf16"), ("float16", "f16")):
            with open(os.path.join(SOURCE, "tests", "data", "half", f"sdpa_math_{short}.json"), encoding="utf-8") as file:
                recorded = json.load(file)
            causes, notes = diff(recorded["theirs"], recorded["document"])
            check(f"{kind}: PyTorch's MATH backend, told: {notes[:200]}", "kept_in_float32:cells" in notes, True)
            check(f"{kind}: PyTorch's MATH backend, within a step", causes, set())
            causes = diff(recorded["theirs"], recorded["document"], "--ulp", "0")[0]
            check(f"{kind}: PyTorch's MATH backend, to the last bit", causes, {"kept_in_float32:cells"})
            unscaled = dict(recorded["document"], scale="none")
            check(f"{kind}: a scale is no rounding", diff(recorded["theirs"], unscaled)[0] & {"scale_other"}, {"scale_other"})
            for seed, (name, kept) in enumerate(KEPT.items()):
                document = document_of(kind, seed)
                notes = diff(theirs_of(document, kind, kept, ["context", "output"]), document)[1]
                check(f"{kind}: {name} kept in float32: {notes[:200]}", f"kept_in_float32:{name}" in notes, True)
            document = document_of(kind, 9)
            causes, notes = diff(theirs_of(document, kind, (), ["weights", "context", "output"]), document)
            check(f"{kind}: the same places: {notes[:200]}", (causes, "kept_in_float32" in notes), (set(), False))
            other = dict(document, dtype="float32")
            check(f"{kind} beside float32", f"--dtype {kind}" in diff(theirs_of(document, kind, (), ["output"]), other)[1], True)
            with np.errstate(all="ignore"):
                single = {n: {"shape": list(v.shape), "data": v.ravel().tolist(), "dtype": "float32"} for n, v in Run(document).all().items()
                          if n in ("weights", "output")}
            check(f"float32 beside {kind}", f"weights: theirs are not numbers of {kind}" in diff(single, document)[1], True)
    for failure in failures[:20]:
        print(failure)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


sys.exit(main())
