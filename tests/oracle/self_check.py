"""Checks the oracle itself against cases that others computed.

    self_check.py FOLDER      FOLDER holds onnx/, torch/, tutorial/ with one JSON case a file

A case: {"input": document, "expect": {stage: {"shape", "data"}}, "atol", "rtol"}. A value fits when |got - want| <= atol +
rtol |want|; infinities and NaN must be equal; axes of length 1 may differ; `NAME:mean_over_heads` is a mean over axis 1. Then the laws of properties.py.
"""
import json
import pathlib
import sys

import numpy as np

sys.dont_write_bytecode = True
import properties  # noqa: E402
from reference import compute  # noqa: E402
from tensors import tensor  # noqa: E402


def difference(got, want, atol, rtol):
    """None, or what is wrong."""
    if [n for n in got.shape if n != 1] != [n for n in want.shape if n != 1]:
        return "shape %s, expected %s" % (got.shape, want.shape)
    got = got.reshape(want.shape)
    with np.errstate(invalid="ignore"):
        close = np.abs(got - want) <= atol + rtol * np.abs(want)
    good = (got == want) | (np.isnan(got) & np.isnan(want)) | (close & np.isfinite(want) & np.isfinite(got))
    if good.all():
        return None
    at = tuple(int(i) for i in np.argwhere(~good)[0])
    return "at %s: %r, expected %r" % (list(at), got[at], want[at])


def check(case):
    """The failures of one case."""
    stages = compute(case["input"])
    failures = []
    for name, value in case["expect"].items():
        stage, _, mean = name.partition(":")
        if stage not in stages:
            failures.append(name + ": not there")
            continue
        got = stages[stage].mean(axis=1) if mean else stages[stage]
        wrong = difference(got, tensor(value), case["atol"], case["rtol"])
        if wrong:
            failures.append(name + ": " + wrong)
    return failures


def main():
    root = pathlib.Path(sys.argv[1])
    failed = 0
    for folder in ("onnx", "torch", "tutorial"):
        passed = skipped = 0
        files = sorted((root / folder).glob("*.json"))
        for path in files:
            try:
                failures = check(json.loads(path.read_text()))
            except NotImplementedError as missing:
                skipped += 1
                print("skipped %s: %s" % (path.name, missing))
                continue
            passed += not failures
            failed += bool(failures)
            for failure in failures:
                print("FAILED %s/%s: %s" % (folder, path.name, failure))
        print("%s: %d of %d pass, %d skipped" % (folder, passed, len(files), skipped))
    broken = properties.broken()
    for name in broken:
        print("FAILED property: " + name)
    print("properties: %d of %d hold" % (len(properties.LAWS) - len(broken), len(properties.LAWS)))
    return 1 if failed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
