"""Positions and norms: rotary embedding, ALiBi slopes, query-key norms.

Sources: Su et al. 2021 "RoFormer" (eq. 34; pairs 2n, 2n + 1), GPT-NeoX / Llama code for the `half` pairing;
Press, Smith, Lewis 2022 "Train Short, Test Long" (slopes, and its get_slopes for numbers of heads that are no power of
two); rotary frequencies of long sequences: scaling.py; Zhang and Sennrich 2019 (RMSNorm), Ba et al. 2016 (LayerNorm), Henry et al. 2020 (query-key norm).
"""
import math

import numpy as np

import scaling
from tensors import rounding, step, tensor


def rotate(x, cos, sin, pairs, dims):
    """x [batch, head, token, dim]; cos, sin [token, n] or [batch, token, n]: the first `dims` columns turn. n is dims / 2, or
    dims where each column has its own."""
    out = x.copy()
    half = dims // 2
    for b in range(x.shape[0]):
        c, s = (cos, sin) if cos.ndim == 2 else (cos[b % cos.shape[0]], sin[b % sin.shape[0]])
        for p in range(half):
            i, j = (p, p + half) if pairs == "half" else (2 * p, 2 * p + 1)
            of_i, of_j = (p, p) if c.shape[-1] == half else (i, j)
            first, second = x[b, :, :, i], x[b, :, :, j]
            out[b, :, :, i] = step(first * c[:, of_i]) - step(second * s[:, of_i])
            out[b, :, :, j] = step(first * s[:, of_j]) + step(second * c[:, of_j])
    return out


def places(rope, count, past, side):
    """Positions as [list, token]: one list, or one for each batch item."""
    found = rope.get("positions", rope.get(side + "_positions"))
    found = np.array([past + i for i in range(count)] if found is None else found, float)
    return found if found.ndim == 2 else found[None]


def tables(rope, counts, past, dim, side):
    """cos and sin of the queries (side "query") or the new keys (side "key"), and how many columns turn; counts: of both sides."""
    back = -1.0 if rope.get("reverse") else 1.0
    if "cos" in rope:
        cos, sin = tensor(rope["cos"]), tensor(rope["sin"])
        width = cos.shape[-1]
        whole = rope["dims"] == width if "dims" in rope else 2 * width > dim
        return cos, back * sin, width if whole else 2 * width
    both = {s: places(rope, counts[s], past, s) for s in ("query", "key")}
    longest = max(p.max() for p in both.values() if p.size) + 1
    dims = rope.get("dims", dim)
    turn, times = scaling.frequencies(rope.get("scaling"), float(rope.get("base", 10000)), dims, longest)
    angle = both[side][:, :, None] * np.array(turn).reshape(1, 1, dims // 2)
    return step(times * np.cos(angle)), step(back * times * np.sin(angle)), dims


def apply_rope(rope, queries, keys, past):
    pairs = rope.get("pairs", "half")
    counts = {"query": queries.shape[2], "key": keys.shape[2]}
    result = []
    for x, side in ((queries, "query"), (keys, "key")):
        cos, sin, dims = tables(rope, counts, past, x.shape[3], side)
        result.append(rotate(x, cos, sin, pairs, dims))
    return result


def paper_slopes(heads):
    """Geometric slopes; from twice the power of two below, every second one, for the heads that remain."""
    def of_power(n):
        start = 2.0 ** (-8.0 / n)
        return [start ** (i + 1) for i in range(n)]
    power = 2 ** int(math.floor(math.log2(heads)))
    if power == heads:
        return of_power(heads)
    return of_power(power) + of_power(2 * power)[0::2][:heads - power]


def slopes(alibi, heads):
    return paper_slopes(heads) if alibi is True else [float(s) for s in alibi]


def norm_rows(x, kind, eps, weight=None, plus_one=False, bias=None):
    """One norm over the last axis."""
    if kind == "rms":
        y = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
        y = y if plus_one else step(y)
    elif kind == "layer":
        centred = x - np.mean(x, axis=-1, keepdims=True)
        y = centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps)
    elif kind == "l2":
        y = x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + eps)
    else:
        raise ValueError(kind)
    if weight is not None:
        y = y * (weight + 1.0 if plus_one else weight)
    return y if bias is None else y + bias


def join_heads(x):
    """[batch, head, token, dim] -> [batch, token, head * dim]."""
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def split_heads(x, heads):
    """[batch, token, head * dim] -> [batch, head, token, dim]."""
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(0, 2, 1, 3)


def qk_norm(option, x, weight, bias=None):
    """A norm of queries or keys, over each head's dim or over the projected width before the split. Weights and biases of two
    axes are [heads, dim]."""
    eps = float(option.get("eps", 1e-6))
    plus = option.get("plus_one", False)
    if option.get("over", "head") == "head":
        weight, bias = (t[:, None] if t is not None and t.ndim == 2 else t for t in (weight, bias))
        return norm_rows(x, option["type"], eps, weight, plus, bias)
    weight, bias = (t if t is None else t.reshape(-1) for t in (weight, bias))
    return split_heads(norm_rows(join_heads(x), option["type"], eps, weight, plus, bias), x.shape[1])


def query_scale(option, queries, past, rope):
    """A factor for each query; as temperature tuning has it (Llama 4): 1 + beta ln(1 + floor((position + shift) / every))."""
    if not (isinstance(option, dict) and "beta" in option):
        with rounding(None):  # a factor in float32, as Llama 4 computes it
            t = np.asarray(tensor(option), float)
        return queries * t.reshape((1,) * (3 - t.ndim) + t.shape)[..., None]
    if rope is None or "cos" in rope:
        at = np.array([[past + i for i in range(queries.shape[2])]], float)
    else:
        at = places(rope, queries.shape[2], past, "query")
    factor = 1 + option["beta"] * np.log(1 + np.floor((at + option.get("shift", 0)) / option["every"]))
    return queries * factor[:, None, :, None]
