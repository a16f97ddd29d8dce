"""Laws that tie the oracle's options to each other, for those that no shared case reaches.

Each is an identity of the papers that two different paths through the oracle, or a closed form, have to agree on.
"""
import math

import numpy as np

from reference import compute

rng = np.random.default_rng(5)


def t(*shape):
    return rng.normal(size=shape)


def near(a, b):
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-11, atol=1e-12)


def given(q, k, v, **options):
    variant = options.pop("variant", "scaled_dot_product")
    return compute({"variant": variant, "queries": q, "keys": k, "values": v, **options})


def rope_counts_distances_only():
    q, k, v, at = t(1, 2, 5, 6), t(1, 2, 5, 6), t(1, 2, 5, 3), list(range(5))
    for pairs in ("half", "interleaved"):
        first = given(q, k, v, rope={"pairs": pairs})["scores"]
        moved = given(q, k, v, rope={"pairs": pairs, "positions": [p + 40 for p in at]})["scores"]
        if not near(first, moved):
            return False
    return True


def rope_is_a_complex_turn():
    q, k, v = t(1, 1, 4, 8), t(1, 1, 4, 8), t(1, 1, 4, 2)
    inter = given(q, k, v, rope={"pairs": "interleaved"})["rotated_queries"][0, 0]
    z = q[0, 0, :, 0::2] + 1j * q[0, 0, :, 1::2]
    z = z * np.exp(1j * np.arange(4)[:, None] * 10000.0 ** (-np.arange(4) / 4.0)[None])
    half = given(q[..., [0, 2, 4, 6, 1, 3, 5, 7]], k, v, rope={})["rotated_queries"][0, 0]
    both = np.concatenate([z.real, z.imag], axis=1)
    return near(inter[:, [0, 2, 4, 6, 1, 3, 5, 7]], both) and near(half, both)


def rope_with_cache_is_the_whole_sequence():
    q, k, v = t(1, 1, 5, 4), t(1, 1, 5, 4), t(1, 1, 5, 3)
    whole = given(q, k, v, rope={}, causal=True, alibi=True, window={"left": 2})
    part = given(q[:, :, 3:], k[:, :, 3:], v[:, :, 3:], rope={}, causal=True, alibi=True, window={"left": 2},
                 past_keys=whole["rotated_keys"][:, :, :3], past_values=v[:, :, :3])
    return near(part["context"], whole["context"][:, :, 3:])


def alibi_slopes_of_the_paper():
    q, k, v = np.zeros((1, 8, 2, 1)), np.zeros((1, 8, 2, 1)), t(1, 8, 2, 1)
    eight = given(q, k, v, alibi=True)["biased_scores"][0, :, 1, 0]
    six = given(q[:, :6], k[:, :6], v[:, :6], alibi=True)["biased_scores"][0, :, 1, 0]
    wanted = [2.0 ** -n for n in (2, 4, 6, 8)] + [2.0 ** -1, 2.0 ** -3]
    return near(eight, -np.array([2.0 ** -n for n in range(1, 9)])) and near(six, -np.array(wanted))


def grouped_is_repeated_keys():
    q, k, v = t(2, 6, 3, 4), t(2, 2, 5, 4), t(2, 2, 5, 3)
    for order, spread in (("interleave", [0, 0, 0, 1, 1, 1]), ("tile", [0, 1] * 3)):
        a = given(q, k, v, variant="grouped_query", kv_head_order=order)["context"]
        if not near(a, given(q, k[:, spread], v[:, spread])["context"]):
            return False
    return True


def sink_is_a_key_without_value():
    q, k, v = t(1, 1, 3, 1), t(1, 1, 4, 1), t(1, 1, 4, 2)
    a = given(q, k, v, sinks=[0.0])["context"]
    return near(a, given(q, k, v, add_zero_attn=True)["context"])


def latent_is_multi_head_with_joined_matrices():
    x, dkv, uk, uv, wq = t(2, 4, 5), t(5, 3), t(3, 6), t(3, 4), t(5, 6)
    a = compute({"variant": "latent", "num_heads": 2, "embeddings": x, "causal": True,
                 "weights": {"W_query": wq, "W_DKV": dkv, "W_UK": uk, "W_UV": uv}})
    b = compute({"variant": "multi_head", "num_heads": 2, "embeddings": x, "causal": True,
                 "weights": {"W_query": wq, "W_key": dkv @ uk, "W_value": dkv @ uv}})
    return near(a["concat"], b["concat"]) and near(a["scores"], b["scores"])


def latent_cache_is_the_whole_sequence():
    x = t(2, 5, 4)
    doc = {"variant": "latent", "num_heads": 2, "causal": True,
           "weights": {"W_query": t(4, 10), "W_DKV": t(4, 3), "W_UK": t(3, 6), "W_UV": t(3, 4), "W_KR": t(4, 2)}}
    whole = compute({**doc, "embeddings": x})
    part = compute({**doc, "embeddings": x[:, 3:], "past_latent": whole["latent"][:, :3],
                    "past_rope_keys": whole["rope_keys"][:, :, :3]})
    scale = math.sqrt(5) * whole["scaled_scores"]
    return near(part["context"], whole["context"][:, :, 3:]) and near(scale, whole["scores"])


def linear_is_attention_without_softmax():
    q, k, v = t(1, 2, 5, 3), t(1, 2, 5, 3), t(1, 2, 5, 4)
    s = np.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(3)
    causal = given(q, k, v, variant="linear", causal=True)["context"]
    whole = given(q, k, v, variant="linear")["context"]
    return near(causal, np.tril(s) @ v) and near(whole, s @ v)


def normalizer_is_sum_normalised_attention():
    q, k, v = np.abs(t(1, 2, 5, 3)), np.abs(t(1, 2, 5, 3)), t(1, 2, 5, 4)
    g = -np.abs(t(1, 2, 5))
    total = np.cumsum(g, axis=2)
    s = np.tril(np.einsum("bhqd,bhkd->bhqk", q, k) * np.exp(total[..., :, None] - total[..., None, :]))
    a = given(q, k, v, variant="linear", causal=True, normalizer=True, decay=g)["context"]
    return near(a, s / s.sum(-1, keepdims=True) @ v)


def delta_recalls_what_it_stored():
    k, v = np.eye(4)[None, None], t(1, 1, 4, 3)
    first = given(k, k, v, variant="delta", scale=1)["state"]
    new = t(1, 1, 4, 3)
    second = given(k, k, new, variant="delta", scale=1, past_state=first)
    return near(first[0, 0], v[0, 0]) and near(second["state"][0, 0], new[0, 0]) and near(second["context"], new)


def delta_without_correction_is_linear():
    """Keys that never meet (orthogonal) leave nothing to correct; a beta scales the values."""
    k, v, q, g = np.eye(5)[None, None], t(1, 1, 5, 3), t(1, 1, 5, 5), -np.abs(t(1, 1, 5, 5))
    b = np.abs(t(1, 1, 5, 3))
    one = given(q, k, v, variant="delta", decay=g, beta=b)
    other = given(q, k, v * b, variant="linear", causal=True, decay=g)
    return near(one["context"], other["context"]) and near(one["states"], other["states"])


def additive_is_bahdanau():
    x, y, wq, wk, v = t(1, 2, 3), t(1, 4, 5), t(3, 6), t(5, 6), t(6)
    s = compute({"variant": "additive", "embeddings": x, "key_embeddings": y,
                 "weights": {"W_query": wq, "W_key": wk, "v": v}})["scores"][0, 0]
    return near(s, np.array([[np.tanh(x[0, i] @ wq + y[0, j] @ wk) @ v for j in range(4)] for i in range(2)]))


def head_outputs_add_up():
    a = compute({"num_heads": 3, "embeddings": t(2, 4, 6), "weights": {
        "W_query": t(6, 6), "W_key": t(6, 6), "W_value": t(6, 9), "W_out": t(9, 5), "b_out": t(5)}, "scale": "none"})
    shares = a["head_outputs"].sum(axis=1) - a["output"]
    return near(shares, np.broadcast_to(shares[0, 0], shares.shape))


LAWS = (rope_counts_distances_only, rope_is_a_complex_turn, rope_with_cache_is_the_whole_sequence,
        alibi_slopes_of_the_paper, grouped_is_repeated_keys, sink_is_a_key_without_value,
        latent_is_multi_head_with_joined_matrices, latent_cache_is_the_whole_sequence,
        linear_is_attention_without_softmax, normalizer_is_sum_normalised_attention, delta_recalls_what_it_stored,
        delta_without_correction_is_linear, additive_is_bahdanau, head_outputs_add_up)


def broken():
    """The names of the laws that do not hold."""
    return [law.__name__ for law in LAWS if not law()]
