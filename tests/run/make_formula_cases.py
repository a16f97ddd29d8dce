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
    folder = os.path.join(os.path.dirname(__file__), "..", "data", "cases", "formula")
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


if __name__ == "__main__":
    main()
