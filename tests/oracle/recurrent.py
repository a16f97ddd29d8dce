"""Linear attention and the gated delta rule, token by token, with the state written out.

Sources: Katharopoulos et al. 2020 "Transformers are RNNs" (eq. 16 to 20, elu + 1), Sun et al. 2023 (RetNet) and Yang et
al. 2024 "Gated Linear Attention" for the decay; Schlag et al. 2021 and Yang, Kautz, Hatamizadeh 2024 "Gated Delta
Networks" (eq. 10) for the delta rule; Dao and Gu 2024 (Mamba-2) for -exp(A_log) softplus(x W + dt_bias).
"""
import numpy as np

from tensors import tensor


def feature_map(name, x):
    if name == "elu1":
        return np.where(x > 0, x + 1.0, np.exp(np.minimum(x, 0.0)))
    if name == "relu":
        return np.maximum(x, 0.0)
    if name == "silu":
        return x / (1.0 + np.exp(-x))
    return x


def convolved(x, taps, bias, before, silu):
    """A causal convolution of each channel: x [batch, head, token, dim], taps [width, taps], before [batch, width, taps - 1]."""
    batch, heads, tokens, dim = x.shape
    count = taps.shape[1]
    flat = x.transpose(0, 1, 3, 2).reshape(batch, heads * dim, tokens)
    before = np.zeros((batch, heads * dim, count - 1)) if before is None else before
    padded = np.concatenate([before, flat], axis=2)
    out = np.stack([(padded[:, :, t:t + count] * taps).sum(axis=2) for t in range(tokens)], axis=2)
    if bias is not None:
        out = out + bias[:, None]
    if silu:
        out = out / (1.0 + np.exp(-out))
    return out.reshape(batch, heads, dim, tokens).transpose(0, 1, 3, 2)


def convolve(document, weights, parts):
    """Queries, keys and values after the convolution that the document asks for."""
    widths = [x.shape[1] * x.shape[3] for x in parts]
    ends = np.cumsum([0] + widths)
    before = document.get("past_conv")
    before = None if before is None else tensor(before).reshape(parts[0].shape[0], int(ends[3]), -1)
    out = []
    for k, (letter, x) in enumerate(zip("qkv", parts)):
        own = slice(int(ends[k]), int(ends[k + 1]))
        taps, bias = weights.vector(letter + "_conv1d.weight"), weights.vector(letter + "_conv1d.bias")
        if taps is None:
            taps = weights.vector("conv1d.weight").reshape(int(ends[3]), -1)[own]
            bias = weights.vector("conv1d.bias")
            bias = None if bias is None else bias[own]
        out.append(convolved(x, taps.reshape(widths[k], -1), bias, None if before is None else before[:, own],
                             document["conv"].get("activation", "silu") == "silu"))
    return out


def softplus(x):
    return np.logaddexp(0.0, x)


def _spread(t, batch, heads, tokens, dim):
    """decay or beta as given, with axes of length 1 spread; a last axis of 1 is none."""
    if t.ndim == 4 and t.shape[3] != dim:
        t = t[..., 0]
    return np.broadcast_to(t, (batch, heads, tokens) + t.shape[3:]).copy()


def decay_of(document, weights, x, batch, heads, tokens, dim):
    """g, [batch, kv head, token] or with a last axis over the key's dim; None without one."""
    if "decay" in document:
        return _spread(tensor(document["decay"]), batch, heads, tokens, dim)
    w = weights.matrix("decay") if x is not None else None
    if w is None:
        return None
    a_log = weights.vector("A_log")
    dt_bias = weights.vector("dt_bias")
    a_log = np.zeros(heads) if a_log is None else a_log
    dt_bias = np.zeros(heads) if dt_bias is None else dt_bias
    return (-np.exp(a_log) * softplus(x @ w + dt_bias)).transpose(0, 2, 1)


def beta_of(document, weights, x, batch, heads, tokens, dim):
    """b, [batch, kv head, token] or with a last axis over the value's dim; None without one."""
    factor = document.get("beta_factor", 1)
    if "beta" in document:
        return factor * _spread(tensor(document["beta"]), batch, heads, tokens, dim)
    w = weights.matrix("beta") if x is not None else None
    if w is None:
        return None
    b = factor / (1.0 + np.exp(-(x @ w)))
    if w.shape[1] == heads:
        return b.transpose(0, 2, 1)
    return b.reshape(b.shape[0], b.shape[1], heads, -1).transpose(0, 2, 1, 3)


def run(variant, queries, keys, values, decay, beta, past, scale, normalizer, offsets, kv_of, nudge=None):
    """context [batch, head, query, dim], last state and all states per kv head.

    Query i of batch item b sees the state after token i + offsets[b]; without offsets (None) every query sees the last one.
    nudge is added to the states.
    """
    batch, kv_heads, tokens, dk = keys.shape
    dv = values.shape[3]
    states = np.zeros((batch, kv_heads, tokens, dk, dv))
    sums = np.zeros((batch, kv_heads, tokens, dk))
    for b in range(batch):
        for h in range(kv_heads):
            s = np.zeros((dk, dv)) if past is None else past[b, h].copy()
            z = np.zeros(dk)
            for t in range(tokens):
                k, v = keys[b, h, t], values[b, h, t]
                if decay is not None:
                    e = np.exp(decay[b, h, t])
                    s = (e[:, None] if np.ndim(e) else e) * s
                    z = e * z
                if variant == "delta":
                    rate = 1.0 if beta is None else beta[b, h, t]
                    s = s + np.outer(k, rate * (v - s.T @ k))
                else:
                    s = s + np.outer(k, v)
                if nudge is not None:
                    s = s + nudge[b, h, t]
                z = z + k
                states[b, h, t], sums[b, h, t] = s, z
    heads, count = queries.shape[1], queries.shape[2]
    context = np.zeros((batch, heads, count, dv))
    for b in range(batch):
        for h in range(heads):
            for i in range(count):
                t = tokens - 1 if offsets is None else min(i + offsets[b], tokens - 1)
                q = queries[b, h, i]
                before = np.zeros((dk, dv)) if past is None else past[b, kv_of(h)]
                c = (states[b, kv_of(h), t] if t >= 0 else before).T @ q
                if scale is not None:
                    c = c * scale
                if normalizer:
                    c = c / (q @ sums[b, kv_of(h), t] if t >= 0 else 0.0)
                context[b, h, i] = c
    return context, states[:, :, -1].copy(), states
