"""Rotary embeddings with mistakes, by hand in numpy: what tests/oracle/mistaken.py does to queries, keys and values.

Each follows its description in docs/mistakes.md. Arrays are [batch, head, token, dim].
"""
import numpy as np

IDS = ["no_rope", "rope_queries_only", "rope_base", "rope_scaling", "rope_exponent", "rope_inverted", "rope_sign", "rope_axis",
       "rope_partial", "rope_before_split", "rope_table_layout", "k_permuted"]


def rates_of(base, dims):
    return float(base) ** (-2.0 * np.arange(dims // 2) / dims)


def turn(x, positions, rates, interleaved, dims=None, layout=None):
    """The first `dims` columns, pair by pair; positions [token], or [head, token] with axes that broadcast.

    `layout`: the way of pairing that cosines and sines are laid out for, where it is another than that of the columns.
    """
    out = x.copy()
    dims = dims or x.shape[3]
    half = dims // 2
    angles = np.asarray(positions, np.float64)[..., None] * rates
    for p in range(half):
        i, j = (2 * p, 2 * p + 1) if interleaved else (p, p + half)
        at_i, at_j = (p, p) if layout is None else (i // 2, j // 2) if layout else (i % half, j % half)
        cos_i, sin_i = np.cos(angles[..., at_i]).astype(x.dtype), np.sin(angles[..., at_i]).astype(x.dtype)
        cos_j, sin_j = np.cos(angles[..., at_j]).astype(x.dtype), np.sin(angles[..., at_j]).astype(x.dtype)
        out[..., i] = x[..., i] * cos_i - x[..., j] * sin_i
        out[..., j] = x[..., i] * sin_j + x[..., j] * cos_j
    return out


def before_split(x, positions, base, interleaved):
    b, heads, n, dim = x.shape
    flat = np.concatenate([x[:, h] for h in range(heads)], axis=2)[:, None]
    flat = turn(flat, positions, rates_of(base, heads * dim), interleaved)
    return np.stack(np.split(flat[:, 0], heads, axis=2), axis=1)


def permuted(k, heads, made, need):
    """Columns of the joined keys, put into halves for another number of heads: those of the queries."""
    if "k_permuted" not in made:
        return k
    b, kv, n, dim = k.shape
    width = kv * dim
    need(kv != heads and dim % 2 == 0 and width % heads == 0 and width // heads % 2 == 0)
    flat = k.transpose(0, 2, 1, 3).reshape(b, n, kv, 2, dim // 2).transpose(0, 1, 2, 4, 3).reshape(b, n, width)
    wrong = flat.reshape(b, n, heads, width // heads // 2, 2).transpose(0, 1, 2, 4, 3).reshape(b, n, kv, dim)
    return np.ascontiguousarray(wrong.transpose(0, 2, 1, 3))


def rotated(q, k, v, rope, made, rng, need):
    """Queries, keys and values as somebody turns them."""
    dim, n, m = q.shape[3], q.shape[2], k.shape[2]
    base = float(rope.get("base", 10000))
    interleaved = (rope.get("pairs", "half") == "interleaved") != ("rope_pairs" in made)
    rates, dims, layout = rates_of(base, dim), dim, None
    pairs = np.arange(dim // 2)
    of_pairs = {"rope_pairs", "rope_base", "rope_exponent", "rope_inverted", "rope_table_layout"}
    need(dim > 2 or not made & of_pairs)
    places_q, places_k = np.arange(n), np.arange(m)
    if "rope_position" in made:
        places_q = places_q + 1
    if "rope_base" in made:
        rates = rates_of([b for b in (10000, 500000, 1000000) if b != base][rng.integers(2)], dim)
    if "rope_scaling" in made:
        rates = rates / (2, 4, 8)[rng.integers(3)]
    if "rope_exponent" in made:
        rates = base ** (-(2.0 * pairs + (1, 2)[rng.integers(2)]) / dim)
    if "rope_inverted" in made:
        rates = rates[::-1]
    if "rope_sign" in made:
        rates = -rates
    if "rope_partial" in made:
        need(dim % 4 == 0)
        dims = dim // 2
        rates = rates_of(base, dims) if rng.integers(2) else rates[:dims // 2]
    if "rope_table_layout" in made:
        layout = not interleaved
    if "rope_axis" in made:
        need(q.shape[1] > 1)
        q = turn(q, np.arange(q.shape[1])[:, None], rates, interleaved)
        k = turn(k, np.arange(k.shape[1])[:, None], rates, interleaved)
    elif "rope_before_split" in made:
        need(q.shape[1] > 1)
        q, k = before_split(q, places_q, base, interleaved), before_split(k, places_k, base, interleaved)
    elif "no_rope" not in made:
        q = turn(q, places_q, rates, interleaved, dims, layout)
        if "rope_queries_only" not in made:
            k = turn(k, places_k, rates, interleaved, dims, layout)
    if "rope_on_values" in made:
        v = turn(v, places_k, rates, interleaved)
    return q, k, v
