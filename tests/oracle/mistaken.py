"""Attention with mistakes: every known mistake, made by hand in numpy, and random documents to make them in.

An oracle for `find_causes`: it shares no code with the program or with reference.py. Each mistake is written down from its
description in docs/mistakes.md, the way somebody would make it. stages(document, mistakes) gives float32 stages by name.
"""
import numpy as np

import mistaken_rotary

SINGLE = ["no_scale", "scale_d_model", "scale_without_root", "scale_twice", "scale_inverted", "scale_after_softmax", "no_mask",
          "mask_after_softmax", "mask_fill_zero", "mask_strict", "mask_one_future", "mask_inverted", "mask_transposed",
          "causal_alignment", "softmax_over_queries", "softmax_over_heads", "no_softmax", "exp2", "queries_keys_swapped",
          "keys_values_swapped", "values_are_keys", "values_are_embeddings", "weight_transposed:W_query",
          "weight_transposed:W_key", "weight_transposed:W_value", "weight_transposed:W_out", "weight_transposed:all",
          "split_without_transpose", "split_interleaved", "merge_without_transpose", "weights_transposed", "no_bias:b_query",
          "no_bias:b_key", "no_bias:b_value", "no_bias", "no_output_projection", "no_output_bias", "kv_heads_tiled",
          "rope_pairs", "rope_position", "rope_on_values", "window_off_by_one", "softcap_after_mask", "no_softcap",
          "empty_row_nan", "empty_row_uniform", "dropout_left_on", "init_order", "rounded:bf16", "rounded:f16",
          "scale_other", "no_position_bias", "no_alibi", "bias_scaled", "bias_transposed", "alibi_sign", "alibi_slopes",
          *mistaken_rotary.IDS]
# One way of making each; where there are several the others are left to tests/mistakes/reports_test.py.
LATER = ["softmax_twice", "blocks_not_rescaled", "blocks_averaged", "mask_added_as_numbers", "mask_other_item", "causal_for_mask",
         "window_for_chunk", "softcap_before_scale", "softcap_not_multiplied", "cache_zeros", "no_sinks", "sinks_scaled",
         "no_qk_norm", "norm_after_rope", "norm_plus_one", "norm_weight", "norm_type", "norm_extent", "source_other:keys",
         "source_other:values", "sources_exchanged", "weight_of_other:query=key", "weight_of_other:key=value",
         "weight_of_other:value=query", "key_reshaped", "split_without_transpose:query", "split_without_transpose:key",
         "split_without_transpose:value", "kv_head_other", "head_other", "one_head", "heads_averaged", "weights_averaged",
         "merge_head_order", "batch_for_tokens", "merge_batch_heads", "softmax_maximum_zero", "window_width"]
ALL = SINGLE + LATER
# Too rare to be tried beside another mistake.
ALONE = {"scale_other", "bias_scaled", "alibi_slopes", *mistaken_rotary.IDS} - {"no_rope", "rope_sign"}
STANDARD = ("W_query", "W_key", "W_value", "W_out")


class CannotBeMade(Exception):
    """The document has no room for this mistake."""


def need(condition):
    if not condition:
        raise CannotBeMade


def bf16(x):
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
    return bits.astype(np.uint32).view(np.float32)


def f16(x):
    return np.asarray(x, np.float32).astype(np.float16).astype(np.float32)


def softmax(s, axis):
    """-inf is no part of it; a line of -inf alone is NaN, as exp(-inf + inf) is."""
    top = np.max(s, axis=axis, keepdims=True)
    e = np.exp(s - top)
    return e / np.sum(e, axis=axis, keepdims=True)


def as_heads(x, heads, how):
    """[batch, token, width] -> [batch, head, token, dim]."""
    b, n, width = x.shape
    if how == "flat":
        return x.reshape(b, heads, n, width // heads)
    if how == "interleaved":
        return np.stack([x[:, :, h::heads] for h in range(heads)], axis=1)
    return np.stack(np.split(x, heads, axis=2), axis=1)


def weights_of(doc, made, rng):
    """W_query ... as [d_in, d_out], b_query ..."""
    w = {k: np.asarray(v, np.float32) for k, v in doc["weights"].items()} if "init" not in doc["weights"] else drawn(doc, made, rng)
    present = [name for name in STANDARD if name in w]
    for name in list(present):
        square = w[name].shape[0] == w[name].shape[1] and w[name].shape[0] > 1
        if "weight_transposed:" + name in made:
            need(square)
            w[name] = w[name].T
    if "weight_transposed:all" in made:
        square = [n for n in present if w[n].shape[0] == w[n].shape[1] and w[n].shape[0] > 1]
        need(len(square) > 1)
        for name in square:
            w[name] = w[name].T
    for name in ("b_query", "b_key", "b_value"):
        if "no_bias:" + name in made:
            need(name in w)
            del w[name]
    if "no_bias" in made:
        have = [n for n in ("b_query", "b_key", "b_value") if n in w]
        need(have)
        for name in have:
            del w[name]
    return w


def drawn(doc, made, rng):
    """Weights of nn.Linear from a seed; with init_order in another order of the layers."""
    import drawn as torch_draws
    option = doc["weights"]
    x = np.asarray(doc["embeddings"])
    given = torch_draws.weights(option, x.shape[-1], doc.get("num_heads", 1), False)
    out = {}
    names = ["W_query", "W_key", "W_value"]
    orders = [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    order = orders[rng.integers(5)] if "init_order" in made else [0, 1, 2]
    for to, name in enumerate(names):
        source = names[order[to]]
        m = given.get(source + ".weight", given.get(source))
        out[name] = np.asarray(m, np.float32).T if source + ".weight" in given else np.asarray(m, np.float32)
    return out


def normed(x, doc, name, made):
    """RMS norm of each head (or LayerNorm, or of all heads of a token), with a weight."""
    group = np.swapaxes(x, 1, 2)
    if "norm_extent" in made:
        need(x.shape[1] > 1)
        group = group.reshape(*group.shape[:2], 1, -1)
    mean = group.mean(axis=3, keepdims=True) if "norm_type" in made else np.float32(0)
    size = ((group - mean) ** 2).mean(axis=3, keepdims=True)
    group = ((group - mean) / np.sqrt(size + np.float32(1e-6))).reshape(x.shape[0], x.shape[2], x.shape[1], x.shape[3])
    weight = np.asarray(doc["weights"][name + ".weight"], np.float32)
    if "norm_weight" in made:
        weight = np.ones_like(weight)
    return (np.swapaxes(group, 1, 2) * (weight + np.float32("norm_plus_one" in made))).astype(np.float32)


def read_as(x, forth):
    """[batch, head, token, dim]: tokens of all items in one line, cut into items in the other order of the two axes."""
    b, h, n, d = x.shape
    line = np.swapaxes(x, 1, 2)
    if forth:
        return np.transpose(line.reshape(n, b, h, d), (1, 2, 0, 3))
    return np.swapaxes(np.swapaxes(line, 0, 1).reshape(b, n, h, d), 1, 2)


def weights_from(s, doc, made, scale, rng):
    """Softmax over the keys, with what a head's sink takes of it; or made of blocks of keys."""
    sinks = np.asarray(doc["sinks"], np.float32)[None, :, None, None] if "sinks" in doc else None
    for name in ("no_sinks", "sinks_scaled"):
        need(name not in made or sinks is not None)
    for name in ("cache_zeros", "blocks_not_rescaled", "blocks_averaged"):
        need(name not in made or sinks is None)
    if "no_sinks" in made:
        sinks = None
    if "sinks_scaled" in made:
        sinks = sinks * np.float32(scale)
    extra = np.zeros((*s.shape[:3], 0), np.float32)
    if sinks is not None:
        extra = np.broadcast_to(sinks, (*s.shape[:3], 1))
    if "cache_zeros" in made:
        extra = np.zeros((*s.shape[:3], int(rng.integers(1, 40))), np.float32)
    m = s.shape[3]
    if "softmax_maximum_zero" in made:
        need(s.max() < 80)
        e = np.exp(s - np.maximum(s.max(axis=3, keepdims=True), 0))
        total = e.sum(axis=3, keepdims=True)
        need((total == 0).any() and not ((total > 0) & (total < 1e-30)).any())
        return e / np.where(total == 0, 1, total)
    if not {"blocks_not_rescaled", "blocks_averaged"} & made:
        return softmax(np.concatenate([s, extra], axis=3), 3)[..., :m]
    need(m > 2)
    width = int(rng.integers(2, m))
    blocks = [s[..., k:k + width] for k in range(0, m, width)]
    if "blocks_averaged" in made:
        own = [np.nan_to_num(softmax(x, 3), nan=0.0) for x in blocks]
        shown = sum((~np.isinf(x)).any(axis=3, keepdims=True) for x in blocks)
        return np.concatenate(own, axis=3) / shown.astype(np.float32)
    top, context_parts, total = np.full((*s.shape[:3], 1), -np.inf, np.float32), [], 0
    for x in blocks:
        now = np.maximum(top, x.max(axis=3, keepdims=True))
        shift = np.where(np.isinf(now), 0, now)
        total = total * np.exp(np.where(np.isinf(top), -np.inf, top - shift)) + np.exp(x - shift).sum(axis=3, keepdims=True)
        context_parts.append(np.exp(x - shift))
        top = now
    return np.concatenate(context_parts, axis=3) / total


def visible(doc, made, shape, rng):
    """Booleans [batch, head, query, key]; True: seen. None: no mask."""
    b, heads, n, m = shape
    causal, window = doc.get("causal", False), doc.get("window")
    need("window_for_chunk" not in made or "chunk" in doc)
    if "causal_for_mask" in made:
        need(not causal and n == m)
        return np.broadcast_to(np.tril(np.ones((n, m), bool)), shape)
    if not causal and window is None and not {"key_lengths", "mask", "chunk"} & set(doc):
        return None
    i, j = np.arange(n)[:, None], np.arange(m)[None, :]
    offset = m - n if causal == "bottom_right" else 0
    if "causal_alignment" in made:
        need(causal and m != n and window is None)
        offset = 0 if causal == "bottom_right" else m - n
    late = 0
    for name, by in (("mask_strict", -1), ("mask_one_future", 1)):
        if name in made:
            need(causal)
            late += by
    seen = np.ones(shape, bool)
    if causal:
        seen &= j <= i + offset + late
    if window is not None:
        left = window["left"] - (1 if "window_off_by_one" in made else 0)
        if "window_width" in made:
            others = [w for w in range(m - 1) if abs(w - left) > 1]
            need(others)
            left = int(rng.choice(others))
        seen &= j >= i + offset - left
    if "chunk" in doc and "window_for_chunk" in made:
        seen &= j >= i - (doc["chunk"] - 1)
    elif "chunk" in doc:
        seen &= j // doc["chunk"] == i // doc["chunk"]
    if "mask_other_item" in made:
        need("key_lengths" in doc and b > 1 and heads > 1)
        item = np.arange(b * heads).reshape(b, heads) % b
        seen &= j[None, None] < np.asarray(doc["key_lengths"])[item][..., None, None]
    elif "key_lengths" in doc:
        seen &= (j[None] < np.asarray(doc["key_lengths"])[:, None, None])[:, None]
    if "mask" in doc:
        seen &= np.asarray(doc["mask"].get("keep", 0), bool) if "keep" in doc["mask"] else ~np.asarray(doc["mask"]["drop"], bool)
    if "mask_inverted" in made:
        seen = ~seen
    if "mask_transposed" in made:
        need(n == m)
        seen = np.swapaxes(seen, 2, 3)
    return seen


def add_biases(doc, made, s, scale, rng):
    """ALiBi and the position bias, after the scale and the cap."""
    _, heads, n, m = s.shape
    offset = m - n if doc.get("causal") == "bottom_right" else 0
    distance = np.arange(n)[:, None] + offset - np.arange(m)[None, :]
    for name in ("no_alibi", "alibi_sign", "alibi_slopes"):
        need(name not in made or "alibi" in doc)
    for name in ("no_position_bias", "bias_transposed"):
        need(name not in made or "position_bias" in doc)
    both = ("alibi" in doc) + ("position_bias" in doc)
    need("bias_scaled" not in made or (both == 1 and scale != 1))
    times = np.float32(scale if "bias_scaled" in made else 1)
    if "alibi" in doc:
        slopes = np.asarray(doc["alibi"])
        if "alibi_slopes" in made:
            how = rng.integers(3)
            slopes = slopes * 2.0 ** (8 / heads) if how == 0 else slopes * 0.6 if how == 1 else slopes[::-1]
            need(how < 2 or heads > 1)
        slopes = -slopes if "alibi_sign" in made else slopes
        if "no_alibi" not in made:
            s = s - times * (slopes[:, None, None] * distance).astype(np.float32)
    if "position_bias" in doc:
        bias = np.asarray(doc["position_bias"], np.float32)
        if "bias_transposed" in made:
            need(n == m)
            bias = np.swapaxes(bias, 1, 2)
        if "no_position_bias" not in made:
            s = s + times * bias
    return s


def fill_empty(weights, seen, how, m):
    """Rows that see nothing: the document's way, or that of a plain softmax or of a finite fill."""
    if seen is None:
        return weights
    empty = ~seen.any(axis=3, keepdims=True)
    value = {"zero": 0.0, "nan": np.nan, "uniform": 1.0 / m}[how]
    return np.where(empty, np.float32(value), weights)


def stages(doc, mistakes=(), rng=None, empty=None):
    """Stages by name. `mistakes`: ids; CannotBeMade where there is no room for one of them. `empty`: what this code does
    with rows that see no key (the document's way)."""
    made = set(mistakes)
    unknown = made - set(ALL) - {"scale_d_model:d_in"}
    assert not unknown, unknown
    rng = rng or np.random.default_rng(0)
    f = np.float32
    x = np.asarray(doc["embeddings"], f)
    x = x if x.ndim == 3 else x[None]
    y = np.asarray(doc["key_embeddings"], f) if "key_embeddings" in doc else x
    y = y if y.ndim == 3 else y[None]
    heads = doc.get("num_heads", 1)
    kv = doc.get("num_kv_heads", heads)
    need("init_order" not in made or "init" in doc["weights"])
    w = weights_of(doc, made, rng)

    for to, of in (("query", "key"), ("key", "value"), ("value", "query")):
        if f"weight_of_other:{to}={of}" in made:
            need("init" not in doc["weights"] and w["W_" + to].shape == w["W_" + of].shape)
            w["W_" + to] = w["W_" + of]
            if "b_query" in w:
                w["b_" + to] = w["b_" + of]
    values_from = y
    for name in ("source_other:keys", "source_other:values", "sources_exchanged"):
        need(name not in made or ("key_embeddings" in doc and x.shape == y.shape))
    if "source_other:keys" in made:
        y = x
    if "source_other:values" in made:
        values_from = x
    if "sources_exchanged" in made:
        x, y = y, x
        values_from = y

    def project(t, name):
        out = t @ w["W_" + name]
        return out + w["b_" + name] if "b_" + name in w else out

    flat = {"queries": project(x, "query"), "keys": project(y, "key"), "values": project(values_from, "value")}
    how = "flat" if "split_without_transpose" in made else "interleaved" if "split_interleaved" in made else "split"
    need(how == "split" or heads > 1)
    if "values_are_embeddings" in made:
        need(y.shape[2] == flat["values"].shape[2])
        flat["values"] = y
    one = {"queries": "query", "keys": "key", "values": "value"}
    need(heads > 1 or not any(i.startswith("split_without_transpose:") for i in made))
    if "one_head" in made:
        need(1 < heads == kv and not {"rope", "qk_norm", "sinks"} & set(doc))
        heads = kv = 1
    q, k, v = (as_heads(flat[n], h, "flat" if "split_without_transpose:" + one[n] in made else how)
               for n, h in (("queries", heads), ("keys", kv), ("values", kv)))
    dim = q.shape[3]
    if "queries_keys_swapped" in made:
        need(heads == kv and q.shape == k.shape)
        q, k = k, q
    if "keys_values_swapped" in made:
        k, v = v, k
    if "values_are_keys" in made:
        v = k
    out = {"queries": q, "keys": k, "values": v}
    n, m = q.shape[2], k.shape[2]
    need("rope" in doc or not made & {"rope_pairs", "rope_position", "rope_on_values", *mistaken_rotary.IDS})
    for name in ("no_qk_norm", "norm_after_rope", "norm_plus_one", "norm_weight", "norm_type", "norm_extent"):
        need(name not in made or "qk_norm" in doc)
    need("norm_after_rope" not in made or "rope" in doc)
    k = out["keys"] = mistaken_rotary.permuted(k, heads, made, need)
    norms = "qk_norm" in doc and "no_qk_norm" not in made
    if norms and "norm_after_rope" not in made:
        q, k = normed(q, doc, "q_norm", made), normed(k, doc, "k_norm", made)
        out["normed_queries"], out["normed_keys"] = q, k
    if "rope" in doc:
        q, k, v = mistaken_rotary.rotated(q, k, v, doc["rope"], made, rng, need)
        out["rotated_queries"], out["rotated_keys"] = q, k
    if norms and "norm_after_rope" in made:
        q, k = normed(q, doc, "q_norm", made), normed(k, doc, "k_norm", made)
        out["normed_queries"], out["normed_keys"] = q, k
    if "batch_for_tokens" in made:
        # [batch, token, ...] is read as [token, batch, ...], and tokens are looked for on the first axis.
        need(q.shape[0] > 1 and n == m)
        q, k, v = (read_as(t, forth=True) for t in (q, k, v))
    tile = doc.get("kv_head_order", "interleave") == "tile"
    if "kv_heads_tiled" in made:
        need(1 < kv < heads)
        tile = not tile
    repeat = (lambda t: np.concatenate([t] * (heads // kv), axis=1)) if tile else (lambda t: np.repeat(t, heads // kv, axis=1))
    big_k, big_v = repeat(k), repeat(v)
    if "kv_head_other" in made:
        need(1 < kv < heads)
        chosen = rng.integers(kv, size=heads).tolist()
        # As it should be, and kv_heads_tiled.
        need(chosen not in ([h * kv // heads for h in range(heads)], [h % kv for h in range(heads)]))
        big_k, big_v = k[:, chosen], v[:, chosen]
    if "key_reshaped" in made:
        big_k = np.swapaxes(big_k.reshape(*big_k.shape[:2], big_k.shape[3], m), 2, 3)
    s = np.einsum("bhid,bhjd->bhij", q, big_k).astype(f)
    small = bf16 if "rounded:bf16" in made else f16 if "rounded:f16" in made else None
    at_scores = small is not None and rng.integers(2) == 0
    at_weights = small is not None and not at_scores
    if at_scores:
        s = small(s)
    out["scores"] = s
    scale = doc.get("scale", 1.0 / np.sqrt(dim))
    after = 1.0
    for name in ("no_scale", "scale_d_model", "scale_d_model:d_in", "scale_without_root", "scale_twice", "scale_inverted", "scale_after_softmax"):
        if name not in made:
            continue
        need(scale is not None)
        if name == "no_scale":
            scale = 1.0
        elif name == "scale_d_model":
            need(heads > 1)
            scale = 1.0 / np.sqrt(heads * dim)
        elif name == "scale_d_model:d_in":
            need(heads > 1)
            scale = 1.0 / np.sqrt(np.shape(doc["embeddings"])[-1])
        elif name == "scale_without_root":
            scale = 1.0 / dim
        elif name == "scale_twice":
            scale = scale * scale
        elif name == "scale_inverted":
            scale = 1.0 / scale
        else:
            after, scale = scale, 1.0
    for name in ("softcap_before_scale", "softcap_not_multiplied"):
        need(name not in made or "softcap" in doc)
    if "softcap_before_scale" in made:
        s = f(doc["softcap"]) * np.tanh(s / f(doc["softcap"]))
    if "scale_other" in made:
        scale = float(rng.uniform(0.1, 2.5))
        need(abs(np.log(scale / doc.get("scale", 1 / np.sqrt(dim)))) > 0.1)
    s = s * f(scale)
    if at_scores:
        s = small(s)
    out["scaled_scores"] = s
    seen = visible(doc, made, s.shape, rng)
    masked = seen is not None
    for name in ("no_mask", "mask_after_softmax", "mask_fill_zero", "mask_strict", "mask_one_future", "mask_inverted",
                 "mask_transposed", "causal_alignment", "window_off_by_one", "softcap_after_mask", "empty_row_nan",
                 "empty_row_uniform"):
        need(name not in made or masked)
    need(not {"window_off_by_one", "window_width"} & made or "window" in doc)
    for name in ("softcap_after_mask", "no_softcap"):
        need(name not in made or "softcap" in doc)
    if "no_mask" in made:
        seen = None
    cap = doc.get("softcap") if "no_softcap" not in made else None
    late_cap = "softcap_after_mask" in made
    if cap and not late_cap and "softcap_before_scale" not in made:
        # Of the two, what was forgotten: to multiply after tanh, or to divide before it.
        outside, inside = (cap, cap) if "softcap_not_multiplied" not in made else (1, cap) if rng.integers(2) else (cap, 1)
        s = f(outside) * np.tanh(s / f(inside))
        out["capped_scores"] = s
    s = add_biases(doc, made, s, scale, rng)
    fill = 0.0 if "mask_fill_zero" in made or ("no_softmax" in made and rng.integers(2)) else -np.inf
    need("mask_added_as_numbers" not in made or masked)
    if "mask_added_as_numbers" in made:
        s, seen = s + seen.astype(f), None
    if seen is not None and "mask_after_softmax" not in made:
        s = np.where(seen, s, f(fill))
    if cap and late_cap:
        s = f(cap) * np.tanh(s / f(cap))
    if masked:
        out["masked_scores"] = s
    how_empty = empty or doc.get("empty_rows", "zero")
    if "empty_row_nan" in made:
        need(how_empty != "nan")
        how_empty = "nan"
    if "empty_row_uniform" in made:
        need(how_empty != "uniform")
        how_empty = "uniform"
    if "no_softmax" in made:
        p = s
    elif "softmax_over_queries" in made or "softmax_over_heads" in made:
        axis = 2 if "softmax_over_queries" in made else 1
        need(axis == 2 or heads > 1)
        # A finite fill leaves equal weights where nothing is seen.
        p = softmax(np.where(np.isinf(s), f(-1e30), s) if empty == "uniform" else s, axis)
    else:
        if "exp2" in made:
            s = s * f(np.log(2.0))
        p = weights_from(s, doc, made, scale, rng)
        if fill == -np.inf and not late_cap and "mask_after_softmax" not in made:
            p = fill_empty(p, seen, how_empty, m)
    if "mask_after_softmax" in made:
        p = np.where(seen, p, f(0))
    p = (p * f(after)).astype(f)
    if at_weights:
        p = small(p)
    if "dropout_left_on" in made:
        p = p * (rng.random(p.shape) >= 0.3) / f(0.7)
    if "softmax_twice" in made:
        p = softmax(p, 3)
    out["weights"] = p
    need(heads > 1 or not {"weights_averaged", "head_other", "heads_averaged", "merge_head_order"} & made)
    if "weights_averaged" in made:
        p = np.repeat(p.mean(axis=1, keepdims=True), heads, axis=1)
    if "weights_transposed" in made:
        need(n == m)
        p = np.swapaxes(p, 2, 3)
    context = np.einsum("bhij,bhjd->bhid", p, big_v).astype(f)
    if "batch_for_tokens" in made:
        context = read_as(context, forth=False)
    out["context"] = context
    b = context.shape[0]
    if "head_other" in made:
        context = np.repeat(context[:, :1], heads, axis=1)
    if "heads_averaged" in made:
        context = np.repeat(context.mean(axis=1, keepdims=True), heads, axis=1)
    if "merge_head_order" in made:
        order = np.arange(heads)[::-1]
        if n * min(dim, np.asarray(doc["weights"].get("W_out", np.eye(99))).shape[1]) > 2 * heads * heads:
            order = rng.permutation(heads)  # there are numbers enough to tell any order
        need((order != np.arange(heads)).any())
        context = context[:, order]
    if "merge_batch_heads" in made:
        need(b > 1 and heads > 1)
        context = context.swapaxes(0, 1).reshape(context.shape)
    if "merge_without_transpose" in made:
        need(heads > 1)
        joined = context.reshape(b, n, -1)
    else:
        joined = np.concatenate([context[:, h] for h in range(heads)], axis=2)
    if heads > 1:
        out["concat"] = joined
    for name in ("no_output_projection", "weight_transposed:W_out"):
        need(name not in made or "W_out" in w)
    need("no_output_bias" not in made or "b_out" in w)
    if "W_out" in w:
        if "no_output_projection" in made:
            need(joined.shape[2] == w["W_out"].shape[1])
            result = joined
        else:
            result = joined @ w["W_out"]
            if "b_out" in w and "no_output_bias" not in made:
                result = result + w["b_out"]
        out["output"] = result.astype(f)
    return out


def document(rng, large=False):
    """A random document that many mistakes can be made in."""
    pick = lambda *choices: choices[rng.integers(len(choices))]  # noqa: E731
    chance = lambda p: rng.random() < p  # noqa: E731
    heads = int(pick(1, 2, 2, 3, 4, 4, 6, 8))
    kv = int(pick(*[k for k in range(1, heads + 1) if heads % k == 0])) if chance(0.4) else heads
    dim = int(pick(2, 3, 4, 4, 5, 6, 8))
    n = int(rng.integers(3, 24 if large else 12))
    cross = chance(0.25)
    m = int(rng.integers(3, 24 if large else 12)) if cross else n
    d_in = heads * dim if chance(0.6) else int(rng.integers(2, 17))
    batch = int(pick(1, 1, 2))
    size = float(pick(0.7, 1.0, 1.5))
    tensor = lambda *shape: np.round(rng.normal(0, size, shape), 4).tolist()  # noqa: E731
    doc = {"embeddings": tensor(batch, n, d_in)}
    if cross:
        doc["variant"] = "cross_attention"
        doc["key_embeddings"] = tensor(batch, m, d_in)
    seeded = not cross and kv == heads and chance(0.12)
    out_width = heads * dim if chance(0.7) else int(rng.integers(2, 12))
    if seeded:
        doc["weights"] = {"init": "torch.nn.Linear", "seed": int(rng.integers(1000)), "d_out": heads * dim}
    else:
        w = {"W_query": tensor(d_in, heads * dim), "W_key": tensor(d_in, kv * dim), "W_value": tensor(d_in, kv * dim)}
        if chance(0.5):
            w.update(b_query=tensor(heads * dim), b_key=tensor(kv * dim), b_value=tensor(kv * dim))
        if heads > 1 and chance(0.75):
            w["W_out"] = tensor(heads * dim, out_width)
            if chance(0.5):
                w["b_out"] = tensor(out_width)
        # Sums of d_in products stay near 1: a softmax of large scores shows one key alone.
        by = 1.0 / np.sqrt(d_in)
        doc["weights"] = {k: np.round(np.asarray(v) * (by if k[0] == "W" else 1), 5).tolist() for k, v in w.items()}
    if heads > 1:
        doc["num_heads"] = heads
        doc.setdefault("variant", "multi_head")
    if kv != heads:
        doc["num_kv_heads"] = kv
        if not cross:
            doc["variant"] = "grouped_query"
        if chance(0.3):
            doc["kv_head_order"] = "tile"
    if chance(0.65):
        doc["causal"] = pick("top_left", "bottom_right") if cross else True
    if doc.get("causal") and chance(0.2):
        doc["window"] = {"left": int(rng.integers(0, max(1, m - 1)))}
    if chance(0.12):
        doc["key_lengths"] = [int(rng.integers(1, m + 1)) for _ in range(batch)]
    if chance(0.15):
        keep = (rng.random((n, m)) < 0.7)
        keep[0, 0] = True
        doc["mask"] = {"keep": keep.astype(int).tolist()} if chance(0.5) else {"drop": (~keep).astype(int).tolist()}
    if chance(0.2):
        doc["softcap"] = float(pick(1.0, 2.0, 5.0))
    if dim % 2 == 0 and chance(0.3):
        doc["rope"] = {"base": float(pick(100, 10000)), "pairs": pick("half", "interleaved")}
    if chance(0.1):
        doc["scale"] = float(np.round(rng.uniform(0.2, 1.5), 3))
    if chance(0.15):
        doc["empty_rows"] = pick("nan", "uniform")
    if not seeded and chance(0.12):
        doc["qk_norm"] = {"type": "rms"}
        for name in ("q_norm.weight", "k_norm.weight"):
            doc["weights"][name] = np.round(rng.uniform(0.5, 1.5, dim), 4).tolist()
    if chance(0.1) and not seeded:
        doc["sinks"] = np.round(rng.normal(0, 1, heads), 4).tolist()
        doc.pop("empty_rows", None)  # a row with a sink always has something to divide by
    if chance(0.08) and doc.get("causal") is True and "window" not in doc:
        doc["chunk"] = int(rng.integers(2, n))
    if "rope" not in doc and chance(0.25):
        if chance(0.5):
            doc["alibi"] = [float(2.0 ** (-8.0 * (h + 1) / heads)) for h in range(heads)]
        else:
            doc["position_bias"] = tensor(heads, n, m)
    return doc
