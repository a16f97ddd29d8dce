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


heads_and_options(random.Random(11))
other_scores(random.Random(12))
latent(random.Random(13))
states(random.Random(14))
