"""Gradients through single steps that dense and recurrent attention share: norms, positions, convolution, feature maps."""
import numpy as np

import recurrent
from rotary import join_heads, split_heads


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def slope(activation, z):
    """a'(z)."""
    s = sigmoid(z)
    return {"sigmoid": lambda: s * (1.0 - s), "silu": lambda: s * (1.0 + z * (1.0 - s)), "softplus": lambda: s,
            "elu1": lambda: np.where(z > 0, 1.0, np.exp(np.minimum(z, 0.0))), "relu": lambda: (z > 0) * 1.0,
            "identity": lambda: np.ones_like(z)}[activation]()


def activated(activation, z):
    return {"sigmoid": lambda: sigmoid(z), "silu": lambda: z * sigmoid(z), "softplus": lambda: recurrent.softplus(z)}[activation]()


def norm(x, e, kind, eps):
    """y = n w + bias over the last axis, n = x r: (dx, n) of e = dy w. Reciprocal roots of mean squares (rms, layer) or sums (l2)."""
    reduce = np.sum if kind == "l2" else np.mean
    centred = x - np.mean(x, axis=-1, keepdims=True) if kind == "layer" else x
    r = 1.0 / np.sqrt(reduce(centred * centred, axis=-1, keepdims=True) + eps)
    n = centred * r
    inner = e - n * reduce(e * n, axis=-1, keepdims=True)
    if kind == "layer":
        inner = inner - np.mean(e, axis=-1, keepdims=True)
    return r * inner, n


def reduced(d, shape):
    """The sum of d over the axes along which a tensor of this shape was spread."""
    d = d.sum(axis=tuple(range(d.ndim - len(shape)))) if d.ndim > len(shape) else d
    for axis, n in enumerate(shape):
        if n == 1 and d.shape[axis] != 1:
            d = d.sum(axis=axis, keepdims=True)
    return d


def head_norm(option, x, dy, weight, bias):
    """A norm over heads or over the width: (dx, dw, db), the last two in the shapes of weight and bias, None without."""
    eps, plus = float(option.get("eps", 1e-6)), option.get("plus_one", False)
    width = option.get("over", "head") == "width"
    heads = x.shape[1]
    if width:
        x, dy = join_heads(x), join_heads(dy)
        weight, bias = (t if t is None else t.reshape(-1) for t in (weight, bias))
    shaped = None if weight is None else weight[:, None] if weight.ndim == 2 else weight
    e = dy if weight is None else dy * (shaped + 1.0 if plus else shaped)
    dx, n = norm(x, e, option["type"], eps)

    def of(t, d):
        return None if t is None else reduced(d, t[:, None].shape if t.ndim == 2 else t.shape)
    dw, db = of(weight, dy * n), of(bias, dy)
    return split_heads(dx, heads) if width else dx, dw, db


def turn_back(d, cos, sin, pairs, dims):
    """The transpose of rotary.rotate."""
    out = d.copy()
    half = dims // 2
    for b in range(d.shape[0]):
        c, s = (cos, sin) if cos.ndim == 2 else (cos[b % cos.shape[0]], sin[b % sin.shape[0]])
        for p in range(half):
            i, j = (p, p + half) if pairs == "half" else (2 * p, 2 * p + 1)
            of_i, of_j = (p, p) if c.shape[-1] == half else (i, j)
            first, second = d[b, :, :, i], d[b, :, :, j]
            out[b, :, :, i] = first * c[:, of_i] + second * s[:, of_j]
            out[b, :, :, j] = second * c[:, of_j] - first * s[:, of_i]
    return out


def convolution(x, taps, bias, before, silu, dy):
    """Of recurrent.convolved: (dx, dtaps [width, taps], dbias [width], dbefore [batch, width, taps - 1])."""
    batch, heads, tokens, dim = x.shape
    count = taps.shape[1]

    def flat(t):
        return t.transpose(0, 1, 3, 2).reshape(batch, heads * dim, tokens)
    d = flat(dy)
    if silu:
        d = d * slope("silu", flat(recurrent.convolved(x, taps, bias, before, False)))
    before = np.zeros((batch, heads * dim, count - 1)) if before is None else before
    padded = np.concatenate([before, flat(x)], axis=2)
    dpadded, dtaps = np.zeros(padded.shape), np.zeros(taps.shape)
    for t in range(tokens):
        dpadded[:, :, t:t + count] += d[:, :, t:t + 1] * taps
        dtaps += (d[:, :, t:t + 1] * padded[:, :, t:t + count]).sum(axis=0)
    dx = dpadded[:, :, count - 1:].reshape(batch, heads, dim, tokens).transpose(0, 1, 3, 2)
    return dx, dtaps, d.sum(axis=(0, 2)), dpadded[:, :, :count - 1]
