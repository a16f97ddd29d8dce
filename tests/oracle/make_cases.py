"""Writes the cases of data/cases/formula that the oracle computes: make_cases.py [FOLDER]. Equal from run to run."""
import json
import pathlib
import random
import sys

import numpy as np

from reference import BY_NAME, compute

FOLDER = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2] / "data/cases/formula")


def matrix(rng, rows, columns, spread=1.0):
    return [[round(rng.gauss(0, spread), 4) for _ in range(columns)] for _ in range(rows)]


def number(x):
    x = float(x)
    return x if np.isfinite(x) else "NaN" if x != x else "Infinity" if x > 0 else "-Infinity"


def case(name, document, by_name=False):
    expect = {stage: {"shape": list(value.shape), "data": [number(x) for x in np.asarray(value, float).ravel()]}
              for stage, value in compute(document).items() if by_name or stage not in BY_NAME}
    text = {"name": name, "source": "tests/oracle/reference.py, float64", "atol": 2e-6, "rtol": 2e-5, "input": document,
            "expect": expect}
    (FOLDER / (name + ".json")).write_text(json.dumps(text, separators=(",", ":")) + "\n")


def heads_and_options(r):
    x = matrix(r, 5, 4)
    case("grouped_query", {"variant": "grouped_query", "num_heads": 4, "num_kv_heads": 2, "embeddings": x, "weights": {
        "W_query": matrix(r, 4, 8), "W_key": matrix(r, 4, 4), "W_value": matrix(r, 4, 4), "W_out": matrix(r, 8, 4)},
        "causal": True, "rope": {}})
    case("grouped_query_tile", {
        "variant": "grouped_query", "num_heads": 4, "num_kv_heads": 2, "kv_head_order": "tile", "embeddings": x,
        "weights": {"W_query": matrix(r, 4, 8), "W_key": matrix(r, 4, 4), "W_value": matrix(r, 4, 4)},
        "sinks": [0.5, -1.0, 2.0, 0.0], "softcap": 3.0})
    case("multi_query", {"variant": "multi_query", "num_heads": 3, "embeddings": x, "weights": {
        "W_query": matrix(r, 4, 6), "W_key": matrix(r, 4, 2), "W_value": matrix(r, 4, 2)}, "alibi": True, "causal": True})
    case("sliding_window", {"variant": "sliding_window", "embeddings": x, "window": {"left": 2}, "weights": {
        "W_query": matrix(r, 4, 4), "W_key": matrix(r, 4, 4), "W_value": matrix(r, 4, 4)}, "qk_norm": {"type": "rms"},
        "normalize": "softmax"})
    case("gated", {"variant": "gated", "num_heads": 2, "embeddings": x, "gate": {"activation": "silu", "norm": "rms"},
                   "weights": {"W_query": matrix(r, 4, 4), "W_key": matrix(r, 4, 4), "W_value": matrix(r, 4, 4),
                               "W_gate": matrix(r, 4, 4), "norm.weight": [1.5, 0.5]}})
    case("gate_from_queries", {"variant": "self_attention", "embeddings": x, "gate": {"from": "queries"}, "weights": {
        "W_query": matrix(r, 4, 8), "W_key": matrix(r, 4, 4), "W_value": matrix(r, 4, 4)}, "normalize": "sigmoid"})
    two = [[matrix(r, 2, 4), matrix(r, 2, 4)], [matrix(r, 2, 4), matrix(r, 2, 4)], [matrix(r, 2, 3), matrix(r, 2, 3)],
           [matrix(r, 3, 4), matrix(r, 3, 4)], [matrix(r, 3, 3), matrix(r, 3, 3)]]
    case("cache_and_appended_keys", {
        "variant": "scaled_dot_product", "queries": two[0], "keys": two[1], "values": two[2], "past_keys": two[3],
        "past_values": two[4], "causal": True, "window": {"left": 3}, "add_zero_attn": True,
        "rope": {"pairs": "interleaved", "dims": 2, "base": 100}})


def other_scores(r):
    x, y = matrix(r, 4, 3), matrix(r, 5, 6)
    case("additive", {"variant": "additive", "embeddings": x, "key_embeddings": y, "key_lengths": [4], "weights": {
        "W_query": matrix(r, 3, 4), "W_key": matrix(r, 6, 4), "b_key": matrix(r, 1, 4)[0], "v": matrix(r, 1, 4)[0]}})
    case("additive_heads_given", {
        "variant": "additive", "queries": [matrix(r, 3, 2), matrix(r, 3, 2)], "keys": [matrix(r, 3, 2), matrix(r, 3, 2)],
        "values": [matrix(r, 3, 3), matrix(r, 3, 3)], "causal": True, "weights": {"v": [1.5, -0.5]}})
    case("multiplicative", {"variant": "multiplicative", "embeddings": x, "key_embeddings": y, "softcap": 2.0, "weights": {
        "W_score.weight": matrix(r, 6, 3), "W_value": matrix(r, 6, 2), "W_out": matrix(r, 2, 3)}})
    case("multiplicative_dot", {"variant": "multiplicative", "embeddings": x, "num_heads": 3})


def latent(r):
    x = matrix(r, 4, 6)
    case("latent", {"variant": "latent", "num_heads": 2, "causal": True, "embeddings": x, "weights": {
        "W_query": matrix(r, 6, 6), "W_DKV": matrix(r, 6, 2), "W_UK": matrix(r, 2, 6), "W_UV": matrix(r, 2, 4)}})
    case("latent_rope_cache", {
        "variant": "latent", "num_heads": 2, "causal": True, "embeddings": x[2:], "rope": {"pairs": "interleaved"},
        "past_latent": [matrix(r, 3, 2)], "past_rope_keys": [[matrix(r, 3, 4)]], "weights": {
            "W_DQ": matrix(r, 6, 3), "W_UQ": matrix(r, 3, 14), "W_DKV.weight": matrix(r, 2, 6), "W_UK": matrix(r, 2, 6),
            "W_UV": matrix(r, 2, 4), "W_KR": matrix(r, 6, 4), "W_out": matrix(r, 4, 6)}})


def states(r):
    x = matrix(r, 5, 4)
    weights = {"W_query": matrix(r, 4, 8), "W_key": matrix(r, 4, 4), "W_value": matrix(r, 4, 6)}
    case("linear", {"variant": "linear", "embeddings": x, "num_heads": 2, "feature_map": "elu1", "normalizer": True,
                    "weights": {**weights, "W_key": matrix(r, 4, 8)}}, True)
    case("linear_decay", {"variant": "linear", "embeddings": x, "num_heads": 4, "num_kv_heads": 2, "causal": True,
                          "rope": {}, "weights": {**weights, "W_decay": matrix(r, 4, 2), "A_log": [0.3, -0.5]}}, True)
    case("delta", {"variant": "delta", "embeddings": x, "num_heads": 4, "num_kv_heads": 2, "qk_norm": {"type": "l2"},
                   "weights": {**weights, "W_alpha": matrix(r, 4, 2), "dt_bias": [0.5, -1.0], "W_beta": matrix(r, 4, 2)}},
         True)
    given = {"queries": [matrix(r, 3, 2), matrix(r, 3, 2)], "keys": [matrix(r, 3, 2)], "values": [matrix(r, 3, 4)]}
    case("delta_by_column", {
        "variant": "delta", **given, "decay": [[[[-0.1, -2.0], [-0.5, 0.0], [-1.0, -0.3]]]],
        "beta": [[matrix(random.Random(3), 3, 4, 0.3)]], "past_state": [[matrix(r, 2, 4)]], "scale": 0.5}, True)


def value_heads(r):
    x = matrix(r, 4, 6)
    case("value_heads", {"variant": "delta", "num_heads": 2, "num_value_heads": 4, "embeddings": x, "qk_norm": {"type": "l2"}, "conv": {}, "gate": {"activation": "silu", "norm": "rms"},
                         "weights": {"in_proj_qkv.weight": matrix(r, 16, 6), "conv1d.weight": [[t] for t in matrix(r, 16, 3)], "W_gate.weight": matrix(r, 8, 6),
                                     "norm.weight": [1.5, 0.5], "W_beta.weight": matrix(r, 4, 6), "W_decay.weight": matrix(r, 4, 6),
                                     "A_log": matrix(r, 1, 4)[0], "dt_bias": matrix(r, 1, 4)[0], "W_out": matrix(r, 8, 3)}}, True)
    net = {"variant": "delta", "num_heads": 2, "num_value_heads": 4, "embeddings": x, "qk_norm": {"type": "l2"}, "gate": {"activation": "silu", "norm": "rms", "eps": 1e-5}}
    case("packed_key_heads", {**net, "conv": {}, "weights": {"in_proj_qkvz.weight": matrix(r, 32, 6), "in_proj_ba.weight": matrix(r, 8, 6), "norm.weight": [1.5, 0.5, 2.0],
                                                 "conv1d.weight": [[t] for t in matrix(r, 20, 3)], "A_log": matrix(r, 1, 4)[0], "out_proj.weight": matrix(r, 3, 12)}}, True)
    case("recurrent_names", {**net, "weights": {"q_proj.weight": matrix(r, 4, 6), "k_proj.weight": matrix(r, 4, 6), "v_proj.weight": matrix(r, 8, 6), "g_proj.weight": matrix(r, 8, 6),
                                                "o_norm.weight": [1.5, 0.5], "a_proj.weight": matrix(r, 4, 6), "b_proj.weight": matrix(r, 4, 6), "o_proj.weight": matrix(r, 3, 8)}})
    case("value_heads_given", {"variant": "linear", "causal": True, "queries": [matrix(r, 3, 2)], "keys": [matrix(r, 3, 2)], "values": [matrix(r, 3, 2), matrix(r, 3, 2)],
                               "feature_map": "elu1", "normalizer": True, "decay": [[[-0.5], [-0.1]]]}, True)


def rotary_positions(r):
    given = {"variant": "scaled_dot_product", "queries": [[matrix(r, 3, 6)], [matrix(r, 3, 6)]],
             "keys": [[matrix(r, 3, 6)], [matrix(r, 3, 6)]], "values": [[matrix(r, 3, 2)], [matrix(r, 3, 2)]], "causal": True}
    case("rope_dynamic_long", {**given, "rope": {"positions": [[7, 8, 9], [0, 1.5, 2.25]], "scaling": {
        "rope_type": "dynamic", "factor": 3, "max_position_embeddings": 4}}})
    case("rope_yarn_mscale", {**given, "rope": {"reverse": True, "scaling": {
        "type": "yarn", "factor": 40, "original_max_position_embeddings": 64, "mscale": 0.7, "mscale_all_dim": 1.2, "beta_fast": 8}}})
    case("rope_proportional", {**given, "rope": {"query_positions": [3, 4, 5], "pairs": "interleaved", "scaling": {
        "type": "proportional", "factor": 2, "partial_rotary_factor": 0.7}}})
    case("rope_longrope_short", {**given, "rope": {"scaling": {
        "type": "longrope", "factor": 4, "short_factor": [1, 1.1, 1.25], "long_factor": [2, 4, 8], "max_position_embeddings": 16}}})
    case("rope_columns", {**given, "rope": {"cos": matrix(r, 3, 6), "sin": matrix(r, 3, 6)}})


def bounds_and_factors(r):
    x = matrix(r, 4, 6)
    weights = {"W_query": matrix(r, 6, 4), "W_key": matrix(r, 6, 4), "W_value": matrix(r, 6, 4)}
    case("clip_qkv", {"variant": "multi_head", "num_heads": 2, "embeddings": x, "weights": weights, "clip_qkv": 0.8, "value_norm": {"type": "rms"}})
    case("clip_qkv_after_norm", {"variant": "multi_head", "num_heads": 2, "embeddings": x, "weights": {**weights, "q_norm.weight": [1.5, 2]},
                                 "qk_norm": {"type": "rms", "eps": 0.1}, "clip_qkv": {"max": 0.9, "after": "norm"}})
    case("query_scale", {"variant": "multi_head", "num_heads": 2, "embeddings": x, "weights": weights, "query_scale": matrix(r, 2, 4)})


def after_the_context(r):
    x = matrix(r, 4, 6)
    weights = {"W_query": matrix(r, 6, 4), "W_key": matrix(r, 6, 4), "W_value": matrix(r, 6, 6), "W_out": matrix(r, 6, 3)}
    heads = {"variant": "multi_head", "num_heads": 2, "embeddings": x, "causal": True}
    case("concat_norm", {**heads, "weights": {**weights, "concat_norm.weight": matrix(r, 1, 6)[0]}, "concat_norm": {"type": "rms", "eps": 1e-5}})
    case("concat_norm_layer", {**heads, "weights": {**weights, "W_gate": matrix(r, 6, 6), "concat_norm.weight": matrix(r, 1, 6)[0],
                                                    "concat_norm.bias": matrix(r, 1, 6)[0]}, "gate": {}, "concat_norm": {"type": "layer"}})
    case("gate_by_head", {**heads, "weights": {**weights, "W_gate": matrix(r, 6, 2, 3)}, "gate": {"activation": "softplus"}})
    case("gate_norm_over_width", {**heads, "weights": {**weights, "W_gate.weight": matrix(r, 6, 6), "norm.weight": matrix(r, 1, 6)[0]},
                                  "gate": {"norm": "rms", "over": "width", "eps": 0.001, "activation": "softplus"}})
    case("embeddings_norm", {**heads, "weights": {**weights, "W_gate": matrix(r, 6, 2)}, "gate": {}, "value_norm": {"type": "rms"},
                             "embeddings_norm": {"type": "rms", "eps": 1e-5, "plus_one": True, "weight": matrix(r, 1, 6)[0]}})
    case("embeddings_norm_keys", {"variant": "cross_attention", "embeddings": x, "key_embeddings": matrix(r, 5, 6), "num_heads": 2, "weights": weights,
                                  "embeddings_norm": {"type": "layer", "keys": True, "weight": matrix(r, 1, 6)[0], "bias": matrix(r, 1, 6)[0]}})


def packed(r):
    x = matrix(r, 4, 6)
    heads = {"variant": "grouped_query", "num_heads": 4, "num_kv_heads": 2, "embeddings": x, "causal": True}
    case("packed_stacked", {**heads, "weights": {"qkv_proj.weight": matrix(r, 16, 6), "qkv_proj.bias": matrix(r, 1, 16)[0], "o_proj.weight": matrix(r, 6, 8)}})
    case("packed_groups", {**heads, "weights": {"query_key_value.weight": matrix(r, 16, 6), "query_key_value.bias": matrix(r, 1, 16)[0], "dense.weight": matrix(r, 6, 8)}})
    case("packed_blocks", {"variant": "multi_head", "num_heads": 4, "embeddings": x, "weights": {
        "qkv_proj.weight": matrix(r, 24, 6), "packed_blocks": 2, "order": "qvk", "packed": "stacked"}})
    case("packed_names", {"variant": "multi_head", "num_heads": 2, "embeddings": x, "weights": {
        "prefix": "h.3.", "names": {"Wqkv.weight": "mix.w", "Wo.weight": "out.w"}, "packed": "heads", "h.3.mix.w": matrix(r, 12, 6), "h.3.out.w": matrix(r, 6, 4)}})


heads_and_options(random.Random(11))
other_scores(random.Random(12))
latent(random.Random(13))
states(random.Random(14))
rotary_positions(random.Random(15))
bounds_and_factors(random.Random(16))
after_the_context(random.Random(17))
packed(random.Random(18))
value_heads(random.Random(19))
