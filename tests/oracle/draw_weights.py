"""Random weights under the names of section 4, for the documents of generate.py.

A document gets one family of names for its projections; matrices of section 3 (W_gate, W_DKV, ...) come as W_X or X.weight.
"""

LINEAR_NAMES = ({"query": "W_query", "key": "W_key", "value": "W_value", "out": "W_out"},
                {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "o_proj"},
                {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "out_proj"},
                {"query": "query", "key": "key", "value": "value", "out": "out_proj"},
                {"query": "W_query", "key": "W_key", "value": "W_value", "out": "out_proj"},
                {"query": "q_lin", "key": "k_lin", "value": "v_lin", "out": "out_lin"},
                {"query": "wq", "key": "wk", "value": "wv", "out": "wo"},
                {"query": "to_q", "key": "to_k", "value": "to_v", "out": "to_out.0"},
                {"query": "linears.0", "key": "linears.1", "value": "linears.2", "out": "linears.3"},
                {"query": "attn_q", "key": "attn_k", "value": "attn_v", "out": "attn_output"},
                {"query": "query_proj", "key": "key_proj", "value": "value_proj", "out": "dense"},
                {"query": "W_q", "key": "W_k", "value": "W_v", "out": "W_o"},
                {"query": "Wq", "key": "Wk", "value": "Wv", "out": "Wo"})
MATH_NAMES = {"query": "W_query", "key": "W_key", "value": "W_value", "out": "W_out"}


SETTINGS = ("weight_layout", "packed", "order", "packed_blocks")


class Sizes:
    """Widths of the projections: inputs, heads, dims of a head; `out` is 0 without an output projection."""

    def __init__(self, **kw):
        self.__dict__.update(kw)

    def shapes(self):
        s = {"query": (self.d_query, self.heads * self.dim * (2 if self.wide_query else 1)),
             "key": (self.d_key, self.kv * self.dim), "value": (self.d_value, self.v * self.dv)}
        if self.out:
            s["out"] = (self.contexts * self.dv, self.out)
        return s

    def square(self):
        """Whether the shapes are those of nn.MultiheadAttention: one width E everywhere."""
        e = self.heads * self.dim
        return self.kv == self.heads == self.v and self.dv == self.dim and self.d_query == e and self.out in (0, e) \
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
              "W_V": draw.matrix((sizes.v, sizes.d_value, sizes.dv), sizes.d_value)}
    if draw.chance(bias):
        result.update({"b_Q": draw.tensor((sizes.heads, sizes.dim), 0.3), "b_K": draw.tensor((sizes.kv, sizes.dim), 0.3),
                       "b_V": draw.tensor((sizes.v, sizes.dv), 0.3)})
    if sizes.out:
        result["W_O"] = draw.matrix((sizes.contexts, sizes.dv, sizes.out), sizes.contexts * sizes.dv)
        if draw.chance(bias):
            result["b_O"] = draw.tensor((sizes.out,), 0.3)
    return result


def keras(draw, sizes, bias):
    """Kernels of MultiHeadAttention, with an axis of heads, or of Dense, without."""
    whole, result = draw.chance(0.7), {}

    def kernel(name, d_in, heads, dim, last=None):
        shape = (heads, dim, last) if last else (d_in, heads, dim)
        flat = (heads * dim, last) if last else (d_in, heads * dim)
        result[name + "/kernel"] = draw.matrix(shape if whole else flat, d_in)
        if draw.chance(bias):
            result[name + "/bias"] = draw.tensor(((last,) if last else (heads, dim) if whole else (heads * dim,)), 0.3)
    kernel("query", sizes.d_query, sizes.heads, sizes.dim)
    kernel("key", sizes.d_key, sizes.kv, sizes.dim)
    kernel("value", sizes.d_value, sizes.v, sizes.dv)
    if sizes.out:
        kernel("attention_output", sizes.contexts * sizes.dv, sizes.contexts, sizes.dv, sizes.out)
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


PACKED_NAMES = (("qkv_proj", "o_proj"), ("query_key_value", "dense"), ("Wqkv", "Wo"), ("qkv", "out_proj"), ("attn_qkv", "attn_output"), ("in_proj_qkv", "out_proj"))


def one_matrix(draw, sizes, bias):
    """Queries, keys and values in one matrix: by the name alone, or as its settings say."""
    # what keeps a state has to be told how wide a value of in_proj_qkv is: here by its output projection
    name, out = draw.rng.choice(PACKED_NAMES[:-1] if sizes.state and not sizes.out else PACKED_NAMES)
    rows = ((2 if sizes.wide_query else 1) * sizes.heads + sizes.kv) * sizes.dim + sizes.v * sizes.dv
    result = {}
    if draw.chance(0.5):
        result["packed"] = draw.rng.choice(["stacked", "groups"] + ["heads"] * (sizes.heads == sizes.kv))
        if draw.chance(0.5):
            result["order"] = draw.rng.choice(("qvk", "kqv", "qkv", "vkq"))
        if result["packed"] == "stacked" and draw.chance(0.5):
            result["packed_blocks"] = draw.rng.choice([n for n in range(1, sizes.kv + 1) if sizes.kv // sizes.each % n == 0])
    in_out = draw.chance(0.15)
    if in_out:
        result["weight_layout"] = "in_out"
    result[name + ".weight"] = draw.matrix((sizes.d_query, rows) if in_out else (rows, sizes.d_query), sizes.d_query)
    if draw.chance(bias):
        result[name + ".bias"] = draw.tensor((rows,), 0.3)
    if sizes.out:
        shape = (sizes.contexts * sizes.dv, sizes.out)
        result[out + ".weight"] = draw.matrix(shape if in_out else shape[::-1], sizes.contexts * sizes.dv)
        if draw.chance(bias):
            result[out + ".bias"] = draw.tensor((sizes.out,), 0.3)
    return result


def projections(draw, sizes, allow_layout=True, avoid=()):
    """Query, key, value and output projections under a random family of names."""
    bias = draw.rng.choice((0.0, 0.5, 1.0))
    families = ["math", "math", "linear", "linear"]
    if not sizes.wide_query and sizes.v == sizes.kv // sizes.each:
        families += ["lens", "keras"]
    if sizes.square():
        families += ["separate"] * 2
    if sizes.packed():
        families += ["packed", "gpt2", "nano"] * 2
    if sizes.d_query == sizes.d_key == sizes.d_value and sizes.dv == sizes.each * sizes.dim:
        families += ["one_matrix"] * 2
    family = draw.rng.choice([f for f in families if f not in avoid] or ["math"])
    if family == "one_matrix":
        return one_matrix(draw, sizes, bias)
    if family == "lens":
        return lens(draw, sizes, bias)
    if family == "keras":
        return keras(draw, sizes, bias)
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
        result[name if name in SETTINGS else prefix + name] = value
    return renamed(draw, result, prefix)


def renamed(draw, weights, prefix):
    """Some of them under names that nothing but "names" knows."""
    own = [n[len(prefix):] for n in weights if n.startswith(prefix) and n not in SETTINGS + ("prefix",)]
    chosen = [n for n in own if draw.chance(0.3)] if draw.chance(0.4) else []
    if not chosen:
        return weights
    names = {n: "linear_%d.w_0" % k for k, n in enumerate(chosen)}
    return {"names": names, **{prefix + names[n[len(prefix):]] if n.startswith(prefix) and n[len(prefix):] in names else n: v for n, v in weights.items()}}
