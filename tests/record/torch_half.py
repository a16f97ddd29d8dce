#!/usr/bin/env python3
"""Writes data/cases/half/*.json: attention in bfloat16 and float16 as PyTorch's eager operations compute it on a CPU, and
tests/data/half/*.json: the same of F.scaled_dot_product_attention (SDPBackend.MATH), which rounds elsewhere, for diff.

    python3 tests/record/torch_half.py data/cases/half tests/data/half      (needs PyTorch; the files are of 2.6.0)

Each document holds numbers with four decimals; they are rounded to the type here, as `.to(dtype)` does, and every line below
is one operation of PyTorch in that type. What a stage goes through on its way (a norm before its weight, a cosine) is written
out as Llama's and Gemma's modelling code has it.
"""
import json
import math
import os
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def word(x):
    if math.isfinite(x):
        return x
    return "NaN" if math.isnan(x) else "Infinity" if x > 0 else "-Infinity"


def tensor(x):
    x = x.detach().float()
    return {"shape": list(x.shape), "data": [word(v) for v in x.flatten().tolist()]}


class Case:
    """A document in the making: what is drawn is written into it as it is, and comes back rounded to the type."""

    def __init__(self, dtype, seed, **options):
        self.type, self.document, self.stages = TYPES[dtype], {"dtype": dtype, **options}, {}
        self.generator = torch.Generator().manual_seed(seed)

    def numbers(self, *shape, scale=1.0):
        x = (torch.randn(*shape, generator=self.generator) * scale * 1e4).round() / 1e4
        return x, x.to(self.type)

    def given(self, name, *shape, scale=1.0):
        x, rounded = self.numbers(*shape, scale=scale)
        self.document[name] = tensor(x)
        return rounded

    def weight(self, name, *shape, scale=0.5):
        x, rounded = self.numbers(*shape, scale=scale)
        self.document.setdefault("weights", {})[name] = tensor(x)
        return rounded

    def stage(self, name, x):
        self.stages[name] = x
        return x


def heads(x, n):
    return x.unflatten(-1, (n, -1)).transpose(-3, -2)


def joined(x):
    return x.transpose(-3, -2).flatten(-2)


def causal_mask(queries, keys):
    return torch.ones(queries, keys).tril(keys - queries) == 0


def scored(c, q, k, scale):
    s = c.stage("scores", q @ k.transpose(-2, -1))
    return c.stage("scaled_scores", s * scale) if scale else s


def attend(c, q, k, v, scale, change=lambda s: s):
    s = scored(c, q, k, scale)
    return c.stage("context", c.stage("weights", torch.softmax(change(s), -1)) @ v)


def multi_head(c):
    c.document.update(variant="multi_head", num_heads=3, causal=True)
    x = c.given("embeddings", 2, 6, 9)
    made = {}
    for name in ("query", "key", "value"):
        w = c.weight(f"W_{name}.weight", 12, 9)
        made[name] = heads(F.linear(x, w, c.weight(f"W_{name}.bias", 12)), 3)
    q, k, v = (c.stage(s, made[n]) for s, n in (("queries", "query"), ("keys", "key"), ("values", "value")))
    hidden = causal_mask(6, 6)
    o = attend(c, q, k, v, 4 ** -0.5, lambda s: c.stage("masked_scores", s.masked_fill(hidden, -torch.inf)))
    o = c.stage("concat", joined(o))
    w = c.weight("W_out.weight", 5, 12)
    c.stage("output", F.linear(o, w, c.weight("W_out.bias", 5)))
    c.stage("mean_weights", c.stages["weights"].mean(1))


def rms_norm(x, weight, eps=1e-6, plus_one=False):
    """LlamaRMSNorm; with plus_one GemmaRMSNorm."""
    y = x.float()
    y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + eps)
    return (y * (1.0 + weight.float())).type_as(x) if plus_one else weight * y.to(x.dtype)


def rotated(c, x, first):
    """apply_rotary_pos_emb of Llama."""
    dim = x.shape[-1]
    frequencies = 1.0 / (10000 ** (torch.arange(0, dim, 2).float() / dim))
    angles = torch.arange(first, first + x.shape[-2]).float()[:, None] * frequencies
    both = torch.cat((angles, angles), -1)
    cos, sin = both.cos().to(c.type), both.sin().to(c.type)
    turned = torch.cat((-x[..., dim // 2:], x[..., : dim // 2]), -1)
    return x * cos + turned * sin


def llama(c):
    c.document.update(variant="grouped_query", num_heads=4, num_kv_heads=2, causal=True, rope={"base": 10000, "pairs": "half"},
                      qk_norm={"type": "rms", "eps": 1e-6}, embeddings_norm={"type": "rms", "eps": 1e-6})
    x = c.given("embeddings", 1, 5, 8)
    gain, rounded = c.numbers(8)
    c.document["embeddings_norm"]["weight"] = tensor(gain)
    x = c.stage("normed_embeddings", rms_norm(x, rounded))
    q = c.stage("queries", heads(F.linear(x, c.weight("q_proj.weight", 24, 8)), 4))
    k = c.stage("keys", heads(F.linear(x, c.weight("k_proj.weight", 12, 8)), 2))
    v = c.stage("values", heads(F.linear(x, c.weight("v_proj.weight", 12, 8)), 2))
    q = c.stage("normed_queries", rms_norm(q, c.weight("q_norm.weight", 6, scale=1)))
    k = c.stage("normed_keys", rms_norm(k, c.weight("k_norm.weight", 6, scale=1)))
    past = c.given("past_keys", 1, 2, 3, 6), c.given("past_values", 1, 2, 3, 6)
    q, k = c.stage("rotated_queries", rotated(c, q, 3)), c.stage("rotated_keys", rotated(c, k, 3))
    k, v = c.stage("all_keys", torch.cat((past[0], k), 2)), c.stage("all_values", torch.cat((past[1], v), 2))
    k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
    mask = torch.zeros(5, 8).masked_fill(causal_mask(5, 8), torch.finfo(c.type).min).to(c.type)
    c.document["causal"] = False
    c.document["mask"] = {"add": tensor(mask)}
    o = attend(c, q, k, v, 6 ** -0.5, lambda s: c.stage("masked_scores", s + mask))
    c.stage("output", F.linear(c.stage("concat", joined(o)), c.weight("o_proj.weight", 8, 24)))


def gemma(c):
    c.document.update(variant="multi_head", num_heads=2, softcap=5.0, scale=0.25, causal=True,
                      qk_norm={"type": "rms", "eps": 1e-6, "plus_one": True}, window={"left": 2})
    x = c.given("embeddings", 1, 6, 6)
    q, k, v = (c.stage(s, heads(F.linear(x, c.weight(f"{n}_proj.weight", 16, 6, scale=2)), 2))
               for s, n in (("queries", "q"), ("keys", "k"), ("values", "v")))
    q = c.stage("normed_queries", rms_norm(q, c.weight("q_norm.weight", 8), plus_one=True))
    k = c.stage("normed_keys", rms_norm(k, c.weight("k_norm.weight", 8), plus_one=True))
    near = torch.ones(6, 6).tril(0).triu(-2) == 0

    def change(s):
        s = c.stage("capped_scores", torch.tanh(s / 5.0) * 5.0)
        return c.stage("masked_scores", s.masked_fill(near, -torch.inf))

    attend(c, q, k, v, 0.25, change)


def t5(c):
    c.document.update(variant="cross_attention", num_heads=2, scale="none", embeddings_norm={"type": "layer", "eps": 1e-5})
    x, y = c.given("embeddings", 2, 3, 6), c.given("key_embeddings", 2, 7, 5)
    gain, rounded = c.numbers(6)
    shift, b = c.numbers(6)
    c.document["embeddings_norm"].update(weight=tensor(gain), bias=tensor(shift))
    x = c.stage("normed_embeddings", F.layer_norm(x, (6,), rounded, b, 1e-5))
    q = c.stage("queries", heads(x @ c.weight("W_query", 6, 8), 2))
    k, v = (c.stage(s, heads(y @ c.weight(f"W_{n}", 5, 8), 2)) for s, n in (("keys", "key"), ("values", "value")))
    bias = c.given("position_bias", 2, 3, 7)
    lengths = torch.tensor([7, 4])
    c.document["key_lengths"] = lengths.tolist()
    hidden = (torch.arange(7) >= lengths[:, None])[:, None, None]

    def change(s):
        s = c.stage("biased_scores", s + bias)
        return c.stage("masked_scores", s.masked_fill(hidden, -torch.inf))

    attend(c, q, k, v, None, change)
    c.stage("concat", joined(c.stages["context"]))


def projected(c, queries, keys, dim, n=2, scale=1.0):
    c.document["variant"] = "scaled_dot_product"
    return c.stage("queries", c.given("queries", 1, n, queries, dim, scale=scale)), c.stage(
        "keys", c.given("keys", 1, n, keys, dim, scale=scale)), c.given("values", 1, n, keys, dim)


def sinks(c):
    q, k, v = projected(c, 4, 5, 3)
    sink = c.given("sinks", 2)

    def change(s):
        return torch.cat((s, sink[None, :, None, None].expand(1, 2, 4, 1)), -1)

    s = scored(c, q, k, 3 ** -0.5)
    c.stage("context", c.stage("weights", torch.softmax(change(s), -1)[..., :-1]) @ v)


def alibi(c):
    q, k, v = projected(c, 5, 5, 4)
    c.document.update(alibi=[0.3, 0.7], causal=True)
    far = torch.arange(5)[:, None] - torch.arange(5)
    bias = (-torch.tensor([0.3, 0.7])[:, None, None] * far).to(c.type)

    def change(s):
        s = c.stage("biased_scores", s + bias)
        return c.stage("masked_scores", s.masked_fill(causal_mask(5, 5), -torch.inf))

    attend(c, q, k, v, 0.5, change)


def renormalised(c):
    q, k, v = projected(c, 5, 5, 4)
    c.document.update(causal=True, mask_at="weights")
    s = scored(c, q, k, 0.5)
    w = c.stage("masked_weights", c.stage("weights", torch.softmax(s, -1)).masked_fill(causal_mask(5, 5), 0))
    w = c.stage("renormalized_weights", w / w.sum(-1, keepdim=True))
    c.stage("context", w @ v)


def sum_normalised(c):
    q, k, v = projected(c, 4, 6, 3)
    c.document["normalize"] = "sum"
    s = scored(c, q, k, 3 ** -0.5)
    w = c.stage("weights", s / s.sum(-1, keepdim=True))
    c.stage("context", w @ v)


def sigmoid(c):
    q, k, v = projected(c, 4, 6, 3)
    c.document["normalize"] = "sigmoid"
    s = scored(c, q, k, 3 ** -0.5)
    c.stage("context", c.stage("weights", torch.sigmoid(s)) @ v)


def dropout(c):
    q, k, v = projected(c, 4, 6, 3)
    c.document["dropout"] = {"p": 0.1, "seed": 7, "generator": "torch"}
    s = scored(c, q, k, 3 ** -0.5)
    w = c.stage("weights", torch.softmax(s, -1))
    torch.manual_seed(7)
    c.stage("context", c.stage("dropped_weights", F.dropout(w, 0.1, True)) @ v)


def overflow(c):
    """Scores above 65504 are infinite in float16, and the softmax of an infinity is NaN; bfloat16 goes on."""
    q, k, v = projected(c, 3, 4, 4, scale=150.0)
    attend(c, q, k, v, 0.5)


def additive(c):
    c.document["variant"] = "additive"
    x, y = c.given("embeddings", 3, 4), c.given("key_embeddings", 5, 4)
    q, k = c.stage("queries", x @ c.weight("W_query", 4, 5)), c.stage("keys", y @ c.weight("W_key", 4, 5))
    v = c.weight("v", 5)
    s = c.stage("scores", torch.tanh(q[:, None] + k[None]) @ v)
    c.stage("context", c.stage("weights", torch.softmax(s, -1)) @ y)


def multiplicative(c):
    c.document["variant"] = "multiplicative"
    x, y = c.given("embeddings", 3, 4), c.given("key_embeddings", 5, 6)
    s = c.stage("scores", (x @ c.weight("W_score", 4, 6)) @ y.T)
    c.stage("context", c.stage("weights", torch.softmax(s, -1)) @ y)


def gated(c):
    c.document.update(variant="gated", num_heads=2, gate={"activation": "sigmoid", "norm": "rms", "eps": 1e-6})
    x = c.given("embeddings", 5, 4)
    q, k, v, g = (heads(x @ c.weight(f"W_{n}", 4, 6), 2) for n in ("query", "key", "value", "gate"))
    o = attend(c, c.stage("queries", q), c.stage("keys", k), c.stage("values", v), 3 ** -0.5)
    o = c.stage("normed_context", rms_norm(o, c.weight("norm.weight", 3, scale=1)))
    c.stage("gated_context", o * torch.sigmoid(g))


def drawn(c):
    """Layers are made in float32 and converted, as a checkpoint is: a layer made in the type draws other numbers."""
    c.document.update(variant="causal_attention", weights={"init": "torch.nn.Linear", "seed": 123, "d_out": 4, "bias": True})
    x = c.given("embeddings", 6, 3)
    torch.manual_seed(123)
    q, k, v = (c.stage(n, torch.nn.Linear(3, 4).to(c.type)(x)) for n in ("queries", "keys", "values"))
    attend(c, q, k, v, 0.5, lambda s: c.stage("masked_scores", s.masked_fill(causal_mask(6, 6), -torch.inf)))


def fused(folder, dtype, short):
    """Somebody's context beside the document: the MATH backend keeps scores and weights in float32."""
    c = Case(dtype, 50)
    q, k, v = projected(c, 24, 24, 16)
    c.document["causal"] = True
    with sdpa_kernel(SDPBackend.MATH):
        context = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    with open(os.path.join(folder, f"sdpa_math_{short}.json"), "w", encoding="utf-8") as out:
        out.write(json.dumps({"source": f"PyTorch {torch.__version__.split('+')[0]}, F.scaled_dot_product_attention, SDPBackend.MATH",
                              "document": c.document, "theirs": {"context": dict(tensor(context), dtype=dtype)}}) + "\n")


def main():
    folder, of_diff = sys.argv[1:]
    os.makedirs(of_diff, exist_ok=True)
    os.makedirs(folder, exist_ok=True)
    torch.set_grad_enabled(False)
    for dtype, short in (("bfloat16", "bf16"), ("float16", "f16")):
        fused(of_diff, dtype, short)
    for number, make in enumerate((multi_head, llama, gemma, t5, sinks, alibi, renormalised, sum_normalised, sigmoid, dropout,
                                   overflow, additive, multiplicative, gated, drawn)):
        for dtype, short in (("bfloat16", "bf16"), ("float16", "f16")):
            c = Case(dtype, number)
            make(c)
            case = {"name": f"{make.__name__}_{short}",
                    "source": f"PyTorch {torch.__version__.split('+')[0]} on a CPU, eager, {dtype} (tests/record/torch_half.py)",
                    "atol": 0, "rtol": 0, "input": c.document, "expect": {n: tensor(x) for n, x in c.stages.items()}}
            if "mean_weights" in case["expect"]:
                case["expect_by_name"] = {"mean_weights": case["expect"].pop("mean_weights")}
            with open(os.path.join(folder, case["name"] + ".json"), "w", encoding="utf-8") as out:
                out.write(json.dumps(case) + "\n")


if __name__ == "__main__":
    main()
