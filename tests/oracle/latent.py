"""Multi-head latent attention: keys and values through one narrow latent, with a shared rotary part.

Source: DeepSeek-V2 (2024), section 2.1, equations 9 to 19; section 3 of the contract for names, caches and stages.
"""
import numpy as np

from rotary import norm_rows, rotate, split_heads, tables
from tensors import four_axes, step, tensor


def _latent_tokens(value):
    """A cached latent, [batch, token, latent], also as it is written in a trace with a head axis of 1."""
    t = tensor(value)
    if t is None:
        return None
    return t[:, 0] if t.ndim == 4 else t.reshape((1,) * (3 - t.ndim) + t.shape)


def project(document, weights, x, y, heads, put):
    """Stages queries .. values, and the parts that the cache and the rotary columns need; `put` keeps the latents."""
    q = weights.project(x, "query")
    parts = {}

    def normed(name, latent, weight):
        parts[name] = latent = put(name, latent)
        if weight is not None:  # DeepSeek-V2's report, section 3.1.2: an rms norm of compressed vectors, its eps 1e-6
            parts["normed_" + name] = latent = put("normed_" + name, norm_rows(latent, "rms", 1e-6, weight))
        return latent
    if q is None:
        q = weights.project(normed("query_latent", weights.project(x, "DQ"), weights.vector("q_a_layernorm.weight")), "UQ")
    latent = normed("latent", weights.project(y, "DKV"), weights.vector("kv_a_layernorm.weight"))
    parts |= {"queries": split_heads(q, heads),
             "keys": split_heads(weights.project(latent, "UK"), heads),
             "values": split_heads(weights.project(latent, "UV"), heads)}
    past = _latent_tokens(document.get("past_latent"))
    if past is not None:
        parts["past_keys"] = split_heads(step(weights.project(past, "UK")), heads)
        parts["past_values"] = split_heads(step(weights.project(past, "UV")), heads)
    return parts


def rotary_part(document, weights, y, parts, put):
    """With W_KR: rotated_queries and rotated_keys, after rope_keys; widens past_keys by past_rope_keys. `put` keeps all three."""
    w = weights.matrix("KR")
    if w is None:
        return None
    rope = dict(document.get("rope") or {})
    pairs = rope.get("pairs", "half")
    width = w.shape[1]
    past = parts["past_keys"].shape[2] if "past_keys" in parts else 0
    queries, keys = parts["queries"], parts["keys"]
    rope["dims"] = width
    turned = queries.copy()
    counts = {"query": queries.shape[2], "key": keys.shape[2]}
    cos, sin, _ = tables(rope, counts, past, width, "query")
    turned[..., -width:] = rotate(queries[..., -width:], cos, sin, pairs, width)
    cos, sin, _ = tables(rope, counts, past, width, "key")
    shared = put("rope_keys", rotate(step(weights.project(y, "KR"))[:, None], cos, sin, pairs, width))

    def widen(k, r):
        return np.concatenate([k, np.broadcast_to(r, k.shape[:3] + (width,))], axis=3)

    if past:
        old = four_axes(document["past_rope_keys"])
        if old.shape[0] == 1 and old.shape[1] == keys.shape[0]:  # [batch, token, rope dim]
            old = old.transpose(1, 0, 2, 3)
        parts["past_keys"] = widen(parts["past_keys"], old)
    return put("rotated_queries", turned), put("rotated_keys", widen(keys, shared))
