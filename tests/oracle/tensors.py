"""Tensors of a document: nested lists or {"shape", "data"}, as float64 arrays.

Source: section 2 of the contract ("A tensor is ..."). Drawn tensors are in drawn.py, files are not read here.
"""
import contextlib

import numpy as np

_rounding = [None]


def nearest(x, kind):
    """x in float32, then the nearest bfloat16 or float16, ties to even, as float64: IEEE 754."""
    with np.errstate(over="ignore"):
        x = np.asarray(x, dtype=np.float64).astype(np.float32)
        if kind == "float16":
            return x.astype(np.float16).astype(np.float64)
    bits = np.atleast_1d(x).view(np.uint32).astype(np.uint64)
    up = ((bits + 0x7FFF + (bits // 65536 % 2)) & 0xFFFF0000).astype(np.uint32).view(np.float32).reshape(x.shape)
    return np.where(np.isnan(x), x, up).astype(np.float64)


@contextlib.contextmanager
def rounding(kind):
    """Within it, what enters and what step() is called of is rounded to a type of 16 bits; None: nothing is."""
    before, _rounding[0] = _rounding[0], kind
    try:
        yield
    finally:
        _rounding[0] = before


def step(x):
    """What an operation makes on the way to a stage: in half precision it is rounded."""
    return x if _rounding[0] is None or x is None else nearest(x, _rounding[0])



def is_ignored(key):
    return key.startswith("$") or key.startswith("_") or key == "comment"


def without_comments(value):
    """The same JSON value without keys that the contract ignores."""
    if isinstance(value, dict):
        return {k: without_comments(v) for k, v in value.items() if not is_ignored(k)}
    if isinstance(value, list):
        return [without_comments(v) for v in value]
    return value


def tensor(value):
    """A literal or drawn tensor as a float64 array ("Infinity", "-Infinity", "NaN" are numbers to numpy, too); None stays None."""
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        return step(value.astype(np.float64))
    if isinstance(value, dict):
        if "init" in value:
            import drawn
            return step(drawn.tensor(value))
        if "shape" not in value or "data" not in value:
            raise NotImplementedError("tensor of %s" % sorted(value))
        return step(np.array(value["data"], dtype=np.float64)).reshape(value["shape"])
    return step(np.array(value, dtype=np.float64))


def batched(value):
    """[token, d] or [batch, token, d] as [batch, token, d]."""
    t = tensor(value)
    return t if t is None or t.ndim == 3 else t[None]


def four_axes(value):
    """[token, dim], [head, token, dim] or [batch, head, token, dim] as the last, filled with 1 from the left."""
    t = tensor(value)
    if t is None:
        return None
    return t.reshape((1,) * (4 - t.ndim) + t.shape)
