"""Who sees whom: causal, window, chunk, prefix_keys, token_blocks, key_lengths and given masks (section 2 of the contract), and
the biases of ALiBi and of T5's buckets.

A pair is visible where every rule lets it be; rules cover the given keys (cache included), appended keys are visible.
Sources: Vaswani et al. 2017 (3.2.3), Beltagy et al. 2020 (windows), PyTorch's scaled_dot_product_attention and ONNX
Attention for the offsets; Raffel et al. 2020 (2.1) and its code for the buckets.
"""
import math

import numpy as np

from tensors import step, tensor


def offsets(document, causal, batch, queries, past, given):
    """The offset of each batch item. `given` counts the keys that are there without the appended ones."""
    if causal == "top_left":
        n = 0
    elif causal == "bottom_right":
        n = given - queries
    elif isinstance(causal, dict):
        n = causal["offset"]
    else:
        n = past
    return list(n) if isinstance(n, list) else [n] * batch


def mask_list(document):
    m = document.get("mask")
    return [] if m is None else m if isinstance(m, list) else [m]


RULES = ("window", "chunk", "prefix_keys", "token_blocks", "key_lengths")


def item_of(value, b, is_list):
    return value[b] if is_list else value


def together(document, b, place, key):
    """Some block of the batch item holds both places."""
    blocks = document.get("token_blocks", [])
    per_item = any(not block or isinstance(block[0], list) for block in blocks)
    return any(first <= place < end and first <= key < end for first, end in item_of(blocks, b, per_item))


def has_mask(document, causal):
    return bool(causal is not None and causal is not False) or any(k in document for k in RULES) \
        or bool(mask_list(document))


def visible(document, causal, shape, given, offset):
    """Booleans [batch, head, query, key]."""
    batch, heads, queries, keys = shape
    seen = np.ones(shape, dtype=bool)
    window = document.get("window") or {}
    for b in range(batch):
        for i in range(queries):
            for j in range(given):
                ok = True
                if causal is not None and causal is not False and j > i + offset[b]:
                    ok = False
                if "left" in window and j < i + offset[b] - window["left"]:
                    ok = False
                if "right" in window and j > i + offset[b] + window["right"]:
                    ok = False
                if "chunk" in document and math.floor(j / document["chunk"]) != math.floor((i + offset[b]) / document["chunk"]):
                    ok = False
                prefix = document.get("prefix_keys", 0)
                if j < item_of(prefix, b, isinstance(prefix, list)) or together(document, b, i + offset[b], j):
                    ok = True
                if "key_lengths" in document and j >= document["key_lengths"][b]:
                    ok = False
                if not ok:
                    seen[b, :, i, j] = False
    for mask in mask_list(document):
        if "add" in mask:
            continue
        t = tensor(mask.get("keep", mask.get("drop"))) != 0
        keep = t if "keep" in mask else ~t
        seen[..., :given] &= np.broadcast_to(keep, (batch, heads, queries, given))
    return seen


def added(document, shape, given):
    """The sum of all additive masks, 0 for appended keys."""
    batch, heads, queries, _ = shape
    total = np.zeros(shape)
    for mask in mask_list(document):
        if "add" in mask:
            total[..., :given] += np.broadcast_to(tensor(mask["add"]), (batch, heads, queries, given))
    return step(total)


def alibi_bias(slope, shape, given, offset):
    """-slope · (i + offset - j) for the given keys, 0 for appended ones."""
    batch, heads, queries, _ = shape
    bias = np.zeros(shape)
    for b in range(batch):
        for h in range(heads):
            for i in range(queries):
                for j in range(given):
                    bias[b, h, i, j] = -slope[h] * (i + offset[b] - j)
    return bias


def bucket(distance, count, farthest, both):
    """Of a key so many places after the query: half of them near ones, one each, the others by the logarithm in float32."""
    first, apart = 0, -distance
    if both:
        count //= 2
        first, apart = (count if distance > 0 else 0), abs(distance)
    apart = max(apart, 0)
    near = count // 2
    if apart < near:
        return first + apart
    share = np.log(np.float32(apart) / np.float32(near)) / np.log(np.float32(farthest) / np.float32(near))
    return first + min(near + int(share * np.float32(count - near)), count - 1)


def bucket_bias(option, shape, given, offset):
    """The number of the bucket and the head for the given keys, 0 for appended ones."""
    batch, heads, queries, _ = shape
    table = tensor(option["buckets"])
    bias = np.zeros(shape)
    for b in range(batch):
        for i in range(queries):
            for j in range(given):
                row = bucket(j - (i + offset[b]), len(table), option.get("max_distance", 128), option.get("bidirectional", True))
                bias[b, :, i, j] = table[row]
    return bias
