"""Random weights under the names of section 4, for the documents of generate.py.

A document gets one family of names for its projections; matrices of section 3 (W_gate, W_DKV, ...) come as W_X or X.weight.
"""

LINEAR_NAMES = ({"query": "W_query", "key": "W_key", "value": "W_value", "out": "W_out"},
                {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "o_proj"},
                {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "out_proj"},
                {"query": "query", "key": "key", "value": "value", "out": "out_proj"},
                {"query": "W_query", "key": "W_key", "value": "W_value", "out": "out_proj"})
MATH_NAMES = {"query": "W_query", "key": "W_key", "value": "W_value", "out": "W_out"}


class Sizes:
    """Widths of the projections: inputs, heads, dims of a head; `out` is 0 without an output projection."""

    def __init__(self, **kw):
        self.__dict__.update(kw)

    def shapes(self):
        s = {"query": (self.d_query, self.heads * self.dim * (2 if self.wide_query else 1)),
             "key": (self.d_key, self.kv * self.dim), "value": (self.d_value, self.kv * self.dv)}
        if self.out:
            s["out"] = (self.heads * self.dv, self.out)
        return s

    def square(self):
        """Whether the shapes are those of nn.MultiheadAttention: one width E everywhere."""
        e = self.heads * self.dim
        return self.kv == self.heads and self.dv == self.dim and self.d_query == e and self.out in (0, e) \
            and not self.wide_query

    def packed(self):
        return self.square() and self.d_key == self.d_query == self.d_value


def plain(draw, names, shapes, linear, bias, layout=None):
    """Matrices (and biases with a probability) for roles; `layout` writes all of them as that says."""
    result = {}
    for role, (d_in, d_out) in shapes.items():
        name = names[role]
        transposed = layout == "out_in" if layout else linear
        shape = (d_out, d_in) if transposed else (d_in, d_out)
        result[name + ".weight" if linear else name] = draw.matrix(shape, d_in)
        if draw.chance(bias):
            result[name + ".bias" if linear else "b_" + name[2:]] = draw.tensor((d_out,), 0.3)
    if layout:
        result["weight_layout"] = layout
    return result


def lens(draw, sizes, bias):
    result = {"W_Q": draw.matrix((sizes.heads, sizes.d_query, sizes.dim), sizes.d_query),
              "W_K": draw.matrix((sizes.kv, sizes.d_key, sizes.dim), sizes.d_key),
              "W_V": draw.matrix((sizes.kv, sizes.d_value, sizes.dv), sizes.d_value)}
    if draw.chance(bias):
        result.update({"b_Q": draw.tensor((sizes.heads, sizes.dim), 0.3), "b_K": draw.tensor((sizes.kv, sizes.dim), 0.3),
                       "b_V": draw.tensor((sizes.kv, sizes.dv), 0.3)})
    if sizes.out:
        result["W_O"] = draw.matrix((sizes.heads, sizes.dv, sizes.out), sizes.heads * sizes.dv)
        if draw.chance(bias):
            result["b_O"] = draw.tensor((sizes.out,), 0.3)
    return result


def multihead(draw, sizes, bias, separate):
    e = sizes.heads * sizes.dim
    if separate:
        result = {"q_proj_weight": draw.matrix((e, e), e), "k_proj_weight": draw.matrix((e, sizes.d_key), sizes.d_key),
                  "v_proj_weight": draw.matrix((e, sizes.d_value), sizes.d_value)}
    else:
        result = {"in_proj_weight": draw.matrix((3 * e, e), e)}
    with_bias = draw.chance(bias)
    if with_bias:
        result["in_proj_bias"] = draw.tensor((3 * e,), 0.3)
    if sizes.out:
        result["out_proj.weight"] = draw.matrix((e, e), e)
        if with_bias:
            result["out_proj.bias"] = draw.tensor((e,), 0.3)
    return result


def gpt(draw, sizes, bias, nano):
    e = sizes.heads * sizes.dim
    result = {"c_attn.weight": draw.matrix((3 * e, e) if nano else (e, 3 * e), e)}
    with_bias = draw.chance(bias)
    if with_bias:
        result["c_attn.bias"] = draw.tensor((3 * e,), 0.3)
    if sizes.out:
        result["c_proj.weight"] = draw.matrix((e, e), e)
        if with_bias:
            result["c_proj.bias"] = draw.tensor((e,), 0.3)
    return result


def projections(draw, sizes, allow_layout=True, avoid=()):
    """Query, key, value and output projections under a random family of names."""
    bias = draw.rng.choice((0.0, 0.5, 1.0))
    families = ["math", "math", "linear", "linear"]
    if not sizes.wide_query:
        families.append("lens")
    if sizes.square():
        families += ["separate"] * 2
    if sizes.packed():
        families += ["packed", "gpt2", "nano"] * 2
    family = draw.rng.choice([f for f in families if f not in avoid] or ["math"])
    if family == "lens":
        return lens(draw, sizes, bias)
    if family in ("packed", "separate"):
        return multihead(draw, sizes, bias, family == "separate")
    if family in ("gpt2", "nano"):
        return gpt(draw, sizes, bias, family == "nano")
    layout = draw.rng.choice(("in_out", "out_in")) if allow_layout and draw.chance(0.1) else None
    names = MATH_NAMES if family == "math" else draw.rng.choice(LINEAR_NAMES)
    return plain(draw, names, sizes.shapes(), family == "linear", bias, layout)


def extra(draw, weights, name, d_in, d_out):
    """One more matrix, [d_in, d_out], as W_X or as X.weight; follows a weight_layout that is there."""
    linear = draw.chance(0.3)
    layout = weights.get("weight_layout") or ("out_in" if linear else "in_out")
    weights[name + ".weight" if linear else name] = draw.matrix((d_out, d_in) if layout == "out_in" else (d_in, d_out), d_in)


def with_prefix(draw, weights):
    """The same weights under a prefix."""
    prefix = draw.rng.choice(("model.layers.3.self_attn.", "h.0.attn."))
    result = {"prefix": prefix}
    for name, value in weights.items():
        result[name if name == "weight_layout" else prefix + name] = value
    return result
