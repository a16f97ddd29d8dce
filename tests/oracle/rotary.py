"""Positions and norms: rotary embedding, ALiBi slopes, query-key norms.

Sources: Su et al. 2021 "RoFormer" (eq. 34; pairs 2n, 2n + 1), GPT-NeoX / Llama code for the `half` pairing;
Press, Smith, Lewis 2022 "Train Short, Test Long" (slopes, and its get_slopes for numbers of heads that are no power of
two); Zhang and Sennrich 2019 (RMSNorm), Ba et al. 2016 (LayerNorm), Henry et al. 2020 (query-key norm).
"""
import math

import numpy as np

from tensors import tensor


def rotate(x, cos, sin, pairs):
    """x [batch, head, token, dim]; cos, sin [token, n] or [batch, token, n]: the first 2n columns turn."""
    out = x.copy()
    n = cos.shape[-1]
    for b in range(x.shape[0]):
        c, s = (cos, sin) if cos.ndim == 2 else (cos[b], sin[b])
        for p in range(n):
            i, j = (p, p + n) if pairs == "half" else (2 * p, 2 * p + 1)
            first, second = x[b, :, :, i], x[b, :, :, j]
            out[b, :, :, i] = first * c[:, p] - second * s[:, p]
            out[b, :, :, j] = first * s[:, p] + second * c[:, p]
    return out


def angles(positions, dims, base):
    """cos, sin [token, dims/2]: pair n at position p turns by p · base^(-2n/dims)."""
    turn = np.array([[p * base ** (-2.0 * n / dims) for n in range(dims // 2)] for p in positions])
    turn = turn.reshape(len(positions), dims // 2)
    return np.cos(turn), np.sin(turn)


def tables(rope, count, past, dim, side):
    """cos and sin of the queries (side "query") or the new keys (side "key")."""
    if "cos" in rope:
        return tensor(rope["cos"]), tensor(rope["sin"])
    positions = rope.get("positions", rope.get(side + "_positions"))
    if positions is None:
        positions = [past + i for i in range(count)]
    return angles(positions, rope.get("dims", dim), float(rope.get("base", 10000)))


def apply_rope(rope, queries, keys, past):
    pairs = rope.get("pairs", "half")
    result = []
    for x, side in ((queries, "query"), (keys, "key")):
        cos, sin = tables(rope, x.shape[2], past, x.shape[3], side)
        result.append(rotate(x, cos, sin, pairs))
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


def norm_rows(x, kind, eps, weight=None, plus_one=False):
    """One norm over the last axis."""
    if kind == "rms":
        y = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    elif kind == "layer":
        centred = x - np.mean(x, axis=-1, keepdims=True)
        y = centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps)
    elif kind == "l2":
        y = x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + eps)
    else:
        raise ValueError(kind)
    if weight is not None:
        y = y * (weight + 1.0 if plus_one else weight)
    return y


def join_heads(x):
    """[batch, head, token, dim] -> [batch, token, head * dim]."""
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def split_heads(x, heads):
    """[batch, token, head * dim] -> [batch, head, token, dim]."""
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(0, 2, 1, 3)


def qk_norm(option, x, weight):
    """A norm of queries or keys, over each head's dim or over the projected width before the split."""
    eps = float(option.get("eps", 1e-6))
    plus = option.get("plus_one", False)
    if option.get("over", "head") == "head":
        return norm_rows(x, option["type"], eps, weight, plus)
    return split_heads(norm_rows(join_heads(x), option["type"], eps, weight, plus), x.shape[1])
