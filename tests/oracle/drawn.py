"""Seeded tensors, weights and dropout masks as PyTorch draws them on a CPU: what the shared cases need, no more.

Source: the public algorithms of PyTorch's CPU generator (mt19937, uniform_ with one fused multiply-add, nn.Linear's
Kaiming bounds, nn.MultiheadAttention's Xavier bounds, bernoulli for dropout), as design/torch-rng.md restates them. Not
here: randn, nn.Embedding.
"""
import copy
from fractions import Fraction

import numpy as np


class Generator:
    def __init__(self, seed):
        self.mt = np.random.RandomState(seed & 0xFFFFFFFF)

    def r32(self):
        return int.from_bytes(self.mt.bytes(4), "little")

    def u53(self):
        high = self.r32()
        return ((high << 32 | self.r32()) & (2 ** 53 - 1)) * 2.0 ** -53

    def uniform(self, low, high, shape):
        lo, hi = np.float32(low), np.float32(high)
        span = np.float32(hi - lo)
        out = []
        for _ in range(int(np.prod(shape))):
            u = (self.r32() & 0xFFFFFF) * 2.0 ** -24
            exact = Fraction(u) * Fraction(float(span)) + Fraction(float(lo))
            out.append(_to_float32(exact))
        return np.array(out, dtype=np.float64).reshape(shape)


def _to_float32(exact):
    """The nearest float32 of a fraction, without rounding twice."""
    best = np.float32(float(exact))
    near = (np.nextafter(best, np.float32(-np.inf)), best, np.nextafter(best, np.float32(np.inf)))
    return float(min(near, key=lambda f: abs(Fraction(float(f)) - exact)))


def tensor(value):
    if value["init"] != "torch.rand":
        raise NotImplementedError("drawn tensor " + value["init"])
    return Generator(value["seed"]).uniform(0, 1, value["shape"])


def weights(given, d_in, heads, stacked, g=None):
    """The literal weights that an {"init": ...} stands for; a list of them for stacked_heads."""
    kind, width = given["init"], given.get("d_out")
    if kind not in ("torch.rand", "torch.nn.Linear", "torch.nn.MultiheadAttention"):
        raise NotImplementedError("drawn weights " + kind)
    g = g or Generator(given["seed"])
    if kind == "torch.nn.MultiheadAttention":
        return multihead(g, d_in, given)

    def linear(rows, columns, bias, name, into):
        bound = 1.0 / np.sqrt(columns)
        into[name + ".weight"] = g.uniform(-bound, bound, (rows, columns))
        if bias:
            into[name + ".bias"] = g.uniform(-bound, bound, (rows,))

    def head():
        result = {}
        for name in ("W_query", "W_key", "W_value"):
            if kind == "torch.rand":
                result[name] = g.uniform(0, 1, (d_in, width))
            else:
                linear(width, d_in, given.get("bias", False), name, result)
        return result

    if stacked:
        return [head() for _ in range(heads)]
    result = head()
    if given.get("out_proj"):
        linear(width, width, True, "out_proj", result)
    return result


def multihead(g, width, given):
    """A module of one width: out_proj is drawn before in_proj_weight, biases are zeros after all (activation.py, _reset_parameters)."""
    bound = 1.0 / np.sqrt(width)
    result = {"out_proj.weight": g.uniform(-bound, bound, (width, width))}
    if given.get("bias", True):
        g.uniform(-bound, bound, (width,))
        result |= {"out_proj.bias": np.zeros(width), "in_proj_bias": np.zeros(3 * width)}
    bound = np.sqrt(3.0) * np.sqrt(2.0 / (4 * width))
    result["in_proj_weight"] = g.uniform(-bound, bound, (3 * width, width))
    return result


def dropout(option, shape, head_first):
    """Booleans to keep, drawn batch, head, query, key; stacked_heads draws head first."""
    p = float(option["p"])
    order = (shape[1], shape[0], shape[2], shape[3]) if head_first else shape
    count = int(np.prod(order))
    if p in (0.0, 1.0):
        keep = np.full(count, p == 0.0)
    elif option.get("generator", "torch") == "torch":
        g = copy.deepcopy(option["drawn_by"]) if "drawn_by" in option else Generator(option["seed"])
        keep = np.array([g.u53() < 1 - p for _ in range(count)])
    else:
        x, keep = Generator(option["seed"]).r32() % (2 ** 31 - 1) or 1, []
        for _ in range(count):
            keep.append(x / (2 ** 31 - 1) < 1 - p)
            x = 1132489760 * x % (2 ** 31 - 1)
        keep = np.array(keep)
    keep = keep.reshape(order)
    return keep.transpose(1, 0, 2, 3) if head_first else keep


def resolved(document):
    """The document with what `manual_seed` draws written out: one generator, in the order of `draws` or of the document, as a
    script draws after one torch.manual_seed; a mask of dropout after all else."""
    if "manual_seed" not in document:
        return document
    doc = {key: value for key, value in document.items() if key not in ("manual_seed", "draws")}
    g = Generator(document["manual_seed"])
    for key in document.get("draws") or [k for k, v in doc.items() if isinstance(v, dict) and "init" in v and "seed" not in v]:
        if key == "weights":
            x = document["embeddings"]
            width = x["shape"][-1] if isinstance(x, dict) else np.shape(x)[-1]
            stacked = doc.get("variant") == "stacked_heads"
            drawn = weights(doc[key], width, doc.get("num_heads", 1), stacked, g)
            doc[key] = [written(head) for head in drawn] if stacked else written(drawn)
        elif key != "dropout":
            doc[key] = g.uniform(0, 1, doc[key]["shape"]).tolist()
    if "dropout" in doc and not {"seed", "keep"} & set(doc["dropout"]):
        doc["dropout"] = {**doc["dropout"], "drawn_by": g}
    return doc


def written(tensors):
    return {name: value.tolist() for name, value in tensors.items()}
