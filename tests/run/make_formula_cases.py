#!/usr/bin/env python3
"""Writes data/cases/formula/*.json: cases whose stages are computed here from the formulas, in float64 with exactly
rounded sums (math.fsum), sharing nothing with the program. Run it again after a change; the files are committed.

    python3 tests/run/make_formula_cases.py
"""
import json
import math
import os
import random


def matmul(a, b):
    return [[math.fsum(x * y for x, y in zip(row, column)) for column in zip(*b)] for row in a]


def transpose(a):
    return [list(row) for row in zip(*a)]


def softmax(row):
    seen = [x for x in row if x > -math.inf]
    if not seen:
        return [0.0] * len(row)
    top = max(seen)
    e = [math.exp(x - top) for x in row]
    return [x / math.fsum(e) for x in e]


def attention(q, k, v, visible=None, added=None, scale=None):
    """The stages of one head. visible(i, j): a mask; added[i][j]: numbers added to the scaled scores."""
    scale = 1 / math.sqrt(len(q[0])) if scale is None else scale
    s = {"queries": q, "keys": k, "values": v, "scores": matmul(q, transpose(k))}
    s["scaled_scores"] = [[x * scale for x in row] for row in s["scores"]]
    last = s["scaled_scores"]
    if visible or added:
        s["masked_scores"] = [[(x + (added[i][j] if added else 0)) if not visible or visible(i, j) else -math.inf
                               for j, x in enumerate(row)] for i, row in enumerate(last)]
        last = s["masked_scores"]
    s["weights"] = [softmax(row) for row in last]
    s["context"] = matmul(s["weights"], v)
    return s


def flat(x):
    return [z for y in x for z in flat(y)] if isinstance(x, list) else [x]


def shape(x):
    return [len(x)] + shape(x[0]) if isinstance(x, list) else []


def word(x):
    return x if math.isfinite(x) else "-Infinity"


def write(name, source, document, stages):
    case = {"name": name, "source": source, "atol": 1e-12 if document.get("dtype") == "float64" else 2e-6, "rtol": 1e-6,
            "input": document,
            "expect": {k: {"shape": shape(v), "data": [word(x) for x in flat(v)]} for k, v in stages.items()}}
    folder = os.path.join(os.path.dirname(__file__), "..", "..", "data", "cases", "formula")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as f:
        json.dump(case, f, ensure_ascii=False)
        f.write("\n")


def main():
    rng = random.Random(20240)

    def draw(rows, columns):
        return [[round(rng.gauss(0, 1), 3) for _ in range(columns)] for _ in range(rows)]

    def cross(name, batch, queries, keys, wide, other, dim, value_dim, dtype):
        x = [draw(queries, wide) for _ in range(batch)]
        y = [draw(keys, other) for _ in range(batch)]
        wq, wk, wv = draw(wide, dim), draw(other, dim), draw(other, value_dim)
        items = [attention(matmul(a, wq), matmul(b, wk), matmul(b, wv)) for a, b in zip(x, y)]
        stages = {k: [item[k] for item in items] for k in items[0]}
        write(name, "formula: softmax(x Wq (y Wk)^T / sqrt(d)) y Wv",
              {"variant": "cross_attention", "dtype": dtype, "embeddings": x, "key_embeddings": y,
               "weights": {"W_query": wq, "W_key": wk, "W_value": wv}}, stages)

    cross("cross_other_width_and_length", 1, 3, 5, 4, 2, 3, 3, "float64")
    cross("cross_batch", 3, 2, 7, 5, 9, 4, 6, "float32")

    q, k, v = draw(4, 3), draw(6, 3), draw(6, 2)
    given = {"variant": "scaled_dot_product", "dtype": "float64", "queries": q, "keys": k, "values": v}
    source = "formula: softmax(q k^T / sqrt(d) + mask) v"
    write("given_plain", source, given, attention(q, k, v))
    write("given_scale", source, {**given, "scale": 0.3}, attention(q, k, v, scale=0.3))
    write("given_bottom_right", source, {**given, "causal": "bottom_right"}, attention(q, k, v, lambda i, j: j <= i + 2))
    write("given_top_left", source, {**given, "causal": "top_left"}, attention(q, k, v, lambda i, j: j <= i))
    write("given_offset", source, {**given, "causal": {"offset": -1}}, attention(q, k, v, lambda i, j: j <= i - 1))
    write("given_window", source, {**given, "causal": {"offset": 1}, "window": {"left": 1, "right": 1}},
          attention(q, k, v, lambda i, j: i + 1 - 1 <= j <= i + 1))
    write("given_window_alone", source, {**given, "window": {"left": 2, "right": 1}},
          attention(q, k, v, lambda i, j: i - 2 <= j <= i + 1))
    rows = [[x - y for x, y in zip(a, b)] for a, b in zip(k, k[1:] + k[:1])]
    square = {**given, "queries": rows}
    write("given_chunk", source, {**square, "causal": True, "chunk": 4},
          attention(rows, k, v, lambda i, j: j <= i and j // 4 == i // 4))
    write("given_chunk_and_window", source, {**given, "causal": {"offset": 2}, "window": {"left": 2}, "chunk": 3},
          attention(q, k, v, lambda i, j: i <= j <= i + 2 and j // 3 == (i + 2) // 3))
    write("given_prefix", source, {**square, "causal": True, "window": {"left": 1}, "prefix_keys": 2, "key_lengths": [5]},
          attention(rows, k, v, lambda i, j: (i - 1 <= j <= i or j < 2) and j < 5))
    write("given_blocks", source, {**square, "causal": True, "prefix_keys": [1], "token_blocks": [[1, 3], [3, 6]]},
          attention(rows, k, v, lambda i, j: j <= i or j < 1 or 1 <= i < 3 and j < 3 or i >= 3))
    write("given_lengths", source, {**given, "key_lengths": [4]}, attention(q, k, v, lambda i, j: j < 4))
    added = [[round(0.25 * (i - j), 2) for j in range(6)] for i in range(4)]
    keep = [True, True, False, True, True, False]
    write("given_masks_together", source, {**given, "mask": [{"add": added}, {"keep": keep}, {"drop": [[False], [False], [True], [False]]}]},
          attention(q, k, v, lambda i, j: keep[j] and i != 2, added))

    # Two batch items of two heads: a mask of rank 4 over the items, one of rank 3 over the heads.
    shape4 = [[draw(3, 2) for _ in range(2)] for _ in range(2)]
    keys4, values4 = [[draw(3, 2) for _ in range(2)] for _ in range(2)], [[draw(3, 4) for _ in range(2)] for _ in range(2)]
    by_item, by_head = [[[[True, True, False]]], [[[True, False, True]]]], [[[False, False, False]], [[True, False, False]]]
    items = [[attention(shape4[b][h], keys4[b][h], values4[b][h],
                        lambda i, j, b=b, h=h: by_item[b][0][0][j] and not by_head[h][0][j]) for h in range(2)] for b in range(2)]
    write("given_mask_ranks", source,
          {"variant": "scaled_dot_product", "dtype": "float64", "queries": shape4, "keys": keys4, "values": values4,
           "mask": [{"keep": by_item}, {"drop": by_head}]},
          {k: [[items[b][h][k] for h in range(2)] for b in range(2)] for k in items[0][0]})


    # Two softmaxes a head: Ye et al. 2024, equations 1 to 3. Half heads side by side, and in halves with shared keys.
    def rms(row, weight, factor):
        root = math.sqrt(math.fsum(x * x for x in row) / len(row) + 1e-5)
        return [x / root * w * factor for x, w in zip(row, weight)]

    def differential(name, document, q, k, v, pairs, key_of, value_of, factor, weight, times):
        halves = [attention(a, k[key_of(i)], v[0]) for i, a in enumerate(q)]
        stages = {"scores": [h["scores"] for h in halves], "weights": [h["weights"] for h in halves]}
        stages["differential_weights"] = [[[x - factor * y for x, y in zip(*rows)] for rows in zip(halves[a]["weights"], halves[b]["weights"])]
                                          for a, b in pairs]
        stages["context"] = [matmul(w, v[value_of(h)]) for h, w in enumerate(stages["differential_weights"])]
        stages["normed_context"] = [[rms(row, weight, times) for row in head] for head in stages["context"]]
        stages["concat"] = [[x for head in rows for x in head] for rows in zip(*stages["normed_context"])]
        write(name, "formula: (softmax(q1 k1^T / sqrt(d)) - lambda softmax(q2 k2^T / sqrt(d))) v, rms norm, times 1 - lambda_init", document, stages)

    x, wide, subln = draw(5, 4), 4, [round(rng.uniform(0.5, 1.5), 3) for _ in range(4)]
    wq, wk, wv = draw(4, 8), draw(4, 8), draw(4, 8)
    vectors = {n: [round(rng.gauss(0, 0.4), 3) for _ in range(2)] for n in ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2")}

    def columns(m, first, count):
        return [row[first:first + count] for row in m]
    q, k, v = matmul(x, wq), matmul(x, wk), matmul(x, wv)

    def dot(a, b):
        return math.fsum(y * z for y, z in zip(vectors[a], vectors[b]))
    factor = math.exp(dot("lambda_q1", "lambda_k1")) - math.exp(dot("lambda_q2", "lambda_k2")) + 0.7
    differential("differential", {"variant": "differential", "dtype": "float64", "num_heads": 2, "embeddings": x, "lambda_init": 0.7,
                                  "weights": {"W_query": wq, "W_key": wk, "W_value": wv, "subln.weight": subln, **vectors}},
                 [columns(q, 2 * i, 2) for i in range(4)], [columns(k, 2 * i, 2) for i in range(4)],
                 [columns(v, wide * h, wide) for h in range(2)], [(0, 1), (2, 3)], lambda i: i, lambda h: h, factor, subln, 1 - 0.7)
    q4, k2, v1 = [draw(3, 2) for _ in range(4)], [draw(4, 2) for _ in range(2)], [draw(4, 3)]
    differential("differential_halves_given", {"variant": "differential", "dtype": "float64", "pairing": "halves", "lambda": 0.45,
                                               "queries": q4, "keys": k2, "values": v1},
                 q4, k2, v1, [(0, 2), (1, 3)], lambda i: i // 2, lambda h: 0, 0.45, [1.0] * 3, 1)


    # DeepSeek-V2, equations 1 to 11 without rotary columns, under the names of its checkpoints: norms of both latents.
    def scaled(row, weight):
        root = math.sqrt(math.fsum(x * x for x in row) / len(row) + 1e-6)
        return [x / root * w for x, w in zip(row, weight)]
    x, down, up, kv_down, kv_up = draw(4, 5), draw(5, 3), draw(3, 4), draw(5, 2), draw(2, 10)
    gains = [round(rng.uniform(0.5, 1.5), 3) for _ in range(5)]
    lat = {"query_latent": matmul(x, down), "latent": matmul(x, kv_down)}
    lat["normed_query_latent"] = [scaled(row, gains[:3]) for row in lat["query_latent"]]
    lat["normed_latent"] = [scaled(row, gains[3:]) for row in lat["latent"]]
    q, kv = matmul(lat["normed_query_latent"], up), matmul(lat["normed_latent"], kv_up)
    heads = [attention(columns(q, 2 * h, 2), columns(kv, 5 * h, 2), columns(kv, 5 * h + 2, 3)) for h in range(2)]
    write("latent_norms", "formula: heads of [2 columns of a key, 3 of a value] from rms_norm(x W_DKV), queries from rms_norm(x W_DQ)",
          {"variant": "latent", "dtype": "float64", "num_heads": 2, "embeddings": x, "weights": {
              "q_a_proj.weight": transpose(down), "q_a_layernorm.weight": gains[:3], "q_b_proj.weight": transpose(up),
              "kv_a_proj_with_mqa.weight": transpose(kv_down), "kv_a_layernorm.weight": gains[3:], "kv_b_proj.weight": transpose(kv_up)}},
          {**lat, **{n: [h[n] for h in heads] for n in heads[0]}})

    # Kernels of Keras with an axis of heads.
    wq, wk, wv, wo, bias = draw(5, 4), draw(5, 4), draw(5, 6), draw(6, 3), draw(2, 2)
    q, k, v = [[a + b for a, b in zip(row, bias[0] + bias[1])] for row in matmul(x, wq)], matmul(x, wk), matmul(x, wv)
    heads = [attention(columns(q, 2 * h, 2), columns(k, 2 * h, 2), columns(v, 3 * h, 3)) for h in range(2)]
    joined = [a + b for a, b in zip(heads[0]["context"], heads[1]["context"])]
    write("keras_kernels", "formula: kernels [d_in, heads, dim], the output's [heads, dim, d_out]",
          {"dtype": "float64", "embeddings": x, "weights": {
              "query/kernel": [[r[:2], r[2:]] for r in wq], "query/bias": bias, "key/kernel": [[r[:2], r[2:]] for r in wk],
              "value/kernel": [[r[:3], r[3:]] for r in wv], "attention_output/kernel": [wo[:3], wo[3:]]}},
          {**{n: [h[n] for h in heads] for n in heads[0]}, "output": matmul(joined, wo)})


if __name__ == "__main__":
    main()
