"""Attention with mistakes: every known mistake, made by hand in numpy, and random documents to make them in.

An oracle for `find_causes`: it shares no code with the program or with reference.py. Each mistake is written down from its
description in docs/mistakes.md, the way somebody would make it. stages(document, mistakes) gives float32 stages by name.
"""
import numpy as np

SINGLE = ["no_scale", "scale_d_model", "scale_without_root", "scale_twice", "scale_inverted", "scale_after_softmax", "no_mask",
          "mask_after_softmax", "mask_fill_zero", "mask_strict", "mask_one_future", "mask_inverted", "mask_transposed",
          "causal_alignment", "softmax_over_queries", "softmax_over_heads", "no_softmax", "exp2", "queries_keys_swapped",
          "keys_values_swapped", "values_are_keys", "values_are_embeddings", "weight_transposed:W_query",
          "weight_transposed:W_key", "weight_transposed:W_value", "weight_transposed:W_out", "weight_transposed:all",
          "split_without_transpose", "split_interleaved", "merge_without_transpose", "weights_transposed", "no_bias:b_query",
          "no_bias:b_key", "no_bias:b_value", "no_bias", "no_output_projection", "no_output_bias", "kv_heads_tiled",
          "rope_pairs", "rope_position", "rope_on_values", "window_off_by_one", "softcap_after_mask", "no_softcap",
          "empty_row_nan", "empty_row_uniform", "dropout_left_on", "init_order", "rounded:bf16", "rounded:f16"]
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


def turn(x, positions, rope, interleaved):
    """Rotary embedding of [batch, head, token, dim], pair by pair."""
    out = x.copy()
    dims = x.shape[3]
    for p in range(dims // 2):
        angle = np.asarray(positions, np.float64) * float(rope.get("base", 10000)) ** (-2.0 * p / dims)
        c, s = np.cos(angle).astype(x.dtype), np.sin(angle).astype(x.dtype)
        i, j = (2 * p, 2 * p + 1) if interleaved else (p, p + dims // 2)
        out[..., i] = x[..., i] * c - x[..., j] * s
        out[..., j] = x[..., i] * s + x[..., j] * c
    return out


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


def visible(doc, made, shape):
    """Booleans [batch, head, query, key]; True: seen. None: no mask."""
    b, heads, n, m = shape
    causal, window = doc.get("causal", False), doc.get("window")
    if not causal and window is None and "key_lengths" not in doc and "mask" not in doc:
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
        seen &= j >= i + offset - left
    if "key_lengths" in doc:
        seen &= (j[None] < np.asarray(doc["key_lengths"])[:, None, None])[:, None]
    if "mask" in doc:
        seen &= np.asarray(doc["mask"].get("keep", 0), bool) if "keep" in doc["mask"] else ~np.asarray(doc["mask"]["drop"], bool)
    if "mask_inverted" in made:
        seen = ~seen
    if "mask_transposed" in made:
        need(n == m)
        seen = np.swapaxes(seen, 2, 3)
    return seen


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
    unknown = made - set(SINGLE)
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

    def project(t, name):
        out = t @ w["W_" + name]
        return out + w["b_" + name] if "b_" + name in w else out

    flat = {"queries": project(x, "query"), "keys": project(y, "key"), "values": project(y, "value")}
    how = "flat" if "split_without_transpose" in made else "interleaved" if "split_interleaved" in made else "split"
    need(how == "split" or heads > 1)
    if "values_are_embeddings" in made:
        need(y.shape[2] == flat["values"].shape[2])
        flat["values"] = y
    q, k, v = (as_heads(flat[n], h, how) for n, h in (("queries", heads), ("keys", kv), ("values", kv)))
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
    for name in ("rope_pairs", "rope_position", "rope_on_values"):
        need(name not in made or "rope" in doc)
    if "rope" in doc:
        inter = (doc["rope"].get("pairs", "half") == "interleaved") != ("rope_pairs" in made)
        need("rope_pairs" not in made or dim > 2)
        late = 1 if "rope_position" in made else 0
        q, k = turn(q, np.arange(n) + late, doc["rope"], inter), turn(k, np.arange(m), doc["rope"], inter)
        if "rope_on_values" in made:
            v = turn(v, np.arange(m), doc["rope"], inter)
        out["rotated_queries"], out["rotated_keys"] = q, k
    tile = doc.get("kv_head_order", "interleave") == "tile"
    if "kv_heads_tiled" in made:
        need(1 < kv < heads)
        tile = not tile
    repeat = (lambda t: np.concatenate([t] * (heads // kv), axis=1)) if tile else (lambda t: np.repeat(t, heads // kv, axis=1))
    big_k, big_v = repeat(k), repeat(v)
    s = np.einsum("bhid,bhjd->bhij", q, big_k).astype(f)
    small = bf16 if "rounded:bf16" in made else f16 if "rounded:f16" in made else None
    at_scores = small is not None and rng.integers(2) == 0
    at_weights = small is not None and not at_scores
    if at_scores:
        s = small(s)
    out["scores"] = s
    scale = doc.get("scale", 1.0 / np.sqrt(dim))
    after = 1.0
    for name in ("no_scale", "scale_d_model", "scale_without_root", "scale_twice", "scale_inverted", "scale_after_softmax"):
        if name not in made:
            continue
        need(scale is not None)
        if name == "no_scale":
            scale = 1.0
        elif name == "scale_d_model":
            need(heads > 1)
            scale = 1.0 / np.sqrt(heads * dim)
        elif name == "scale_without_root":
            scale = 1.0 / dim
        elif name == "scale_twice":
            scale = scale * scale
        elif name == "scale_inverted":
            scale = 1.0 / scale
        else:
            after, scale = scale, 1.0
    s = s * f(scale)
    if at_scores:
        s = small(s)
    out["scaled_scores"] = s
    seen = visible(doc, made, s.shape)
    masked = seen is not None
    for name in ("no_mask", "mask_after_softmax", "mask_fill_zero", "mask_strict", "mask_one_future", "mask_inverted",
                 "mask_transposed", "causal_alignment", "window_off_by_one", "softcap_after_mask", "empty_row_nan",
                 "empty_row_uniform"):
        need(name not in made or masked)
    need("window_off_by_one" not in made or "window" in doc)
    for name in ("softcap_after_mask", "no_softcap"):
        need(name not in made or "softcap" in doc)
    if "no_mask" in made:
        seen = None
    cap = doc.get("softcap") if "no_softcap" not in made else None
    late_cap = "softcap_after_mask" in made
    if cap and not late_cap:
        s = f(cap) * np.tanh(s / f(cap))
        out["capped_scores"] = s
    fill = 0.0 if "mask_fill_zero" in made or ("no_softmax" in made and rng.integers(2)) else -np.inf
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
        p = softmax(s, 3)
        if fill == -np.inf and not late_cap and "mask_after_softmax" not in made:
            p = fill_empty(p, seen, how_empty, m)
    if "mask_after_softmax" in made:
        p = np.where(seen, p, f(0))
    p = (p * f(after)).astype(f)
    if at_weights:
        p = small(p)
    if "dropout_left_on" in made:
        p = p * (rng.random(p.shape) >= 0.3) / f(0.7)
    out["weights"] = p
    if "weights_transposed" in made:
        need(n == m)
        p = np.swapaxes(p, 2, 3)
    context = np.einsum("bhij,bhjd->bhid", p, big_v).astype(f)
    out["context"] = context
    b = context.shape[0]
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
    return doc
