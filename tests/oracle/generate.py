"""Random valid documents over all variants and options of the contract, small, numbers of 4 decimals.

document(rng, size) combines options as freely as the contract permits. Left out on purpose, because the contract does not
say what they mean: caches with mask_at but no mask, rope or qk_norm on additive and multiplicative scores or beside a
latent cache, several heads in additive and multiplicative scores, options of scores in linear and delta.
"""
import draw_gradient
import draw_weights
from draw_weights import Sizes

PROJECTED = ("self_attention", "causal_attention", "multi_head", "cross_attention", "grouped_query", "multi_query",
             "sliding_window", "gated", "differential")
RECURRENT = ("linear", "delta")
VARIANTS = PROJECTED + RECURRENT + ("simplified", "stacked_heads", "scaled_dot_product", "additive", "multiplicative",
                                    "latent")
INFERRED = ("self_attention", "causal_attention", "multi_head", "cross_attention", "simplified", "stacked_heads",
            "scaled_dot_product")


# variants whose weights may be drawn
ONE_GENERATOR = ("self_attention", "causal_attention", "multi_head", "stacked_heads", "cross_attention")


class Draw:
    """Random numbers and tensors; `avoid` names options that are not to be used."""

    def __init__(self, rng, size, avoid=(), width=16, heads=6):
        self.rng, self.size, self.avoid, self.width, self.heads = rng, size, set(avoid), width, heads
        self.density = rng.choice((0.06, 0.15, 0.3, 0.5))

    def chance(self, p):
        return self.rng.random() < p

    def option(self, name, factor=1.0):
        """Whether an option is used in this document."""
        return name not in self.avoid and self.chance(min(0.9, self.density * factor))

    def number(self, spread=1.0):
        return round(self.rng.gauss(0, spread), 4) + 0.0

    def filled(self, shape, make):
        if not shape:
            return make()
        return [self.filled(shape[1:], make) for _ in range(shape[0])]

    def written(self, shape, make):
        """A tensor in one of the two notations."""
        nested = self.filled(tuple(shape), make)
        if not self.chance(0.2):
            return nested
        for _ in shape[1:]:
            nested = [x for row in nested for x in row]
        return {"shape": list(shape), "data": nested}

    def tensor(self, shape, spread=1.0):
        return self.written(shape, lambda: self.number(spread))

    def matrix(self, shape, d_in):
        return self.tensor(shape, 1.0 / max(1, d_in) ** 0.5)

    def booleans(self, shape, p):
        if self.chance(0.5):
            return self.written(shape, lambda: self.chance(p))
        return self.written(shape, lambda: int(self.chance(p)))

    def some(self, highest):
        """1 to highest, small ones more often."""
        return 1 + int(highest * self.rng.random() ** 1.7) if highest > 1 else 1

    def cut_left(self, shape):
        """The shape with some of its leading ones left out, as inputs of fewer axes."""
        shape = list(shape)
        while len(shape) > 2 and shape[0] == 1 and self.chance(0.6):
            shape.pop(0)
        return shape


def divisors(n):
    return [d for d in range(1, n + 1) if n % d == 0]


def document(rng, size=12, only=None, avoid=(), width=16, heads=6, gradient=False):
    """One document; `only` restricts the variants, `width` and `heads` are the largest; `gradient` adds what goes backwards."""
    draw = Draw(rng, size, avoid, width, heads)
    variants = [v for v in (only or VARIANTS) if v not in draw.avoid]
    doc = Builder(draw, {"variant": rng.choice(variants)}).build()
    if gradient:
        draw_gradient.gradient(draw, doc)
    return doc


class Builder:
    def __init__(self, draw, doc):
        self.draw, self.doc, self.variant = draw, doc, doc["variant"]
        rng = draw.rng
        self.batch = rng.choice((1, 1, 2, 3))
        self.heads = 1 if self.variant in ("additive", "multiplicative") or "num_heads" in draw.avoid else draw.some(draw.heads)
        if self.variant == "multi_query":
            self.kv = 1
        elif self.variant in ("latent", "simplified", "stacked_heads") or not \
                (self.variant == "grouped_query" or draw.option("num_kv_heads", 2)):
            self.kv = self.heads
        else:
            self.kv = rng.choice(divisors(self.heads))
        # with a state, several heads of values may read one of queries and keys
        grouped = self.variant in RECURRENT and self.kv == self.heads and draw.option("num_value_heads", 2)
        self.v = self.kv * (rng.choice((2, 3)) if grouped else 1)
        self.contexts = self.v if grouped else self.heads
        self.each = 2 if self.variant == "differential" else 1  # half heads of queries and of keys
        self.heads, self.kv = self.each * self.heads, self.each * self.kv
        self.queries = draw.some(draw.size)
        self.keys = self.queries
        self.dim = draw.some(max(1, draw.width // (2 if self.heads > 3 else 1)))
        if draw.chance(0.5):
            self.dim += self.dim % 2
        self.dv = draw.some(draw.width) if draw.chance(0.4) and "dv" not in draw.avoid else self.each * self.dim
        self.past = 0
        self.weights = {}
        self.rope_allowed = self.norm_allowed = self.embedded = True

    def build(self):
        maker = {"simplified": self.simplified, "stacked_heads": self.stacked, "scaled_dot_product": self.literal,
                 "additive": self.additive, "multiplicative": self.multiplicative, "latent": self.latent}
        make = maker.get(self.variant)
        if make is None:
            can_be_given = self.variant in ("grouped_query", "multi_query", "sliding_window", "differential") + RECURRENT
            make = self.literal if can_be_given and self.draw.chance(0.35) else self.projected
        make()
        if self.variant == "differential":
            self.subtracted()
        if self.variant in RECURRENT:
            import draw_recurrent
            draw_recurrent.options(self)
        else:
            import draw_options
            draw_options.options(self)
        self.finish()
        return self.doc

    # inputs

    def embed(self, name, tokens, width):
        shape = (self.batch, tokens, width)
        self.doc[name] = self.draw.tensor(shape[1:] if self.batch == 1 and self.draw.chance(0.6) else shape)

    def sources(self, d_query, d_key=None, d_value=None, cross=0.0):
        """embeddings and maybe key_embeddings, value_embeddings; returns the three widths."""
        self.d_in = d_query
        self.embed("embeddings", self.queries, d_query)
        wanted = "key_embeddings" not in self.draw.avoid and self.draw.chance(cross)
        if self.variant == "cross_attention" or wanted:
            d_key = d_key or self.draw.some(self.draw.width)
            self.keys = self.draw.some(self.draw.size)
            self.embed("key_embeddings", self.keys, d_key)
        else:
            d_key = d_query
        if "value_embeddings" not in self.draw.avoid and (d_value or self.draw.chance(cross * 0.5)):
            d_value = d_value or self.draw.some(self.draw.width)
            self.embed("value_embeddings", self.keys, d_value)
        else:
            d_value = d_key
        return d_query, d_key, d_value

    def head_counts(self, needed=True):
        if needed or self.draw.chance(0.4):
            if self.heads > self.each or self.draw.chance(0.2) or self.variant == "multi_head":
                self.doc["num_heads"] = self.heads // self.each
        if self.kv != self.heads and self.variant != "multi_query" and (needed or self.draw.chance(0.5)) \
                or self.variant == "grouped_query":
            self.doc["num_heads"], self.doc["num_kv_heads"] = self.heads // self.each, self.kv // self.each
        if self.kv != self.heads and self.draw.option("kv_head_order", 2):
            self.doc["kv_head_order"] = self.draw.rng.choice(("tile", "tile", "interleave"))

    def projected(self):
        draw = self.draw
        gate = self.gate_kind()
        e = self.heads * self.dim
        if gate == "queries" and self.v != self.kv or gate and self.each == 2:
            gate = "weights"
        square = self.kv == self.heads and self.v == self.kv and draw.chance(0.4) and gate != "queries"
        if square:
            self.dv = self.dim
        if gate == "queries":
            self.dv = self.dim
        cross = 0.0 if self.variant == "delta" else 0.2
        d_query, d_key, d_value = self.sources(e if square else draw.some(draw.width), cross=cross)
        out = (e if square else draw.some(draw.width)) if draw.chance(0.5) else 0
        sizes = Sizes(heads=self.heads, kv=self.kv, v=self.v, contexts=self.contexts, dim=self.dim, dv=self.dv, d_query=d_query, d_key=d_key,
                      each=self.each, state=self.variant in RECURRENT, d_value=d_value, out=out, wide_query=gate == "queries")
        self.d_query, self.d_key = d_query, d_key
        self.weights = draw_weights.projections(draw, sizes, avoid=draw.avoid)
        self.head_counts()
        if self.v != self.kv and self.each == 1:
            self.doc["num_value_heads"] = self.v
        self.gate(gate, d_query)
        if draw.option("past_keys") and self.variant not in RECURRENT:
            self.cache()

    def literal(self):
        """queries, keys and values given."""
        draw = self.draw
        self.embedded = False
        if self.variant not in RECURRENT or self.variant == "linear" and draw.chance(0.3):
            self.keys = draw.some(draw.size)
        shapes = ((self.batch, self.heads, self.queries, self.dim), (self.batch, self.kv, self.keys, self.dim),
                  (self.batch, self.v, self.keys, self.dv))
        for name, shape in zip(("queries", "keys", "values"), shapes):
            self.doc[name] = draw.tensor(draw.cut_left(shape))
        self.head_counts(needed=False)
        if self.v != self.kv and self.each == 1 and draw.chance(0.5):
            self.doc["num_value_heads"] = self.v
        if draw.chance(0.2):
            draw_weights.extra(draw, self.weights, "W_out", self.contexts * self.dv, draw.some(draw.width))
        if draw.option("past_keys") and self.variant not in RECURRENT:
            self.cache()

    def cache(self, kv=None):
        self.past = self.draw.some(self.draw.size)
        kv = kv or self.kv
        for name, heads, width in (("past_keys", kv, self.dim), ("past_values", kv // self.each, self.dv)):
            self.doc[name] = self.draw.tensor(self.draw.cut_left((self.batch, heads, self.past, width)))

    def subtracted(self):
        """Lambda, which half heads belong together, the norm of contexts."""
        draw, doc = self.draw, self.doc
        if draw.chance(0.5):
            doc["pairing"] = draw.rng.choice(("interleaved", "halves", "halves"))
        if draw.chance(0.4):
            doc["lambda"] = draw.number(0.6)
        else:
            doc["lambda_init"] = round(draw.rng.uniform(0.1, 0.9), 4)
            for name in ("q1", "k1", "q2", "k2"):
                self.weights["lambda_" + name] = draw.tensor((self.dim,), 0.4)
        if draw.chance(0.6):
            self.weights["subln.weight"] = draw.tensor((self.dv,))

    def simplified(self):
        draw = self.draw
        widths = draw.some(draw.width) * self.heads if draw.chance(0.5) else None
        d_query, _, d_value = self.sources(self.heads * self.dim, self.heads * self.dim, widths, cross=0.3)
        self.dv = d_value // self.heads
        if d_value % self.heads:  # a width of values that the heads do not divide
            self.doc.pop("value_embeddings")
            self.dv = self.dim
        self.head_counts()
        if draw.option("past_keys"):
            self.cache()

    def stacked(self):
        draw = self.draw
        d_query, d_key, d_value = self.sources(draw.some(draw.width), cross=0.2)
        one = Sizes(heads=1, kv=1, v=1, contexts=1, each=1, state=False, dim=self.dim, dv=self.dv, d_query=d_query, d_key=d_key, d_value=d_value, out=0,
                    wide_query=False)
        linear, bias = draw.chance(0.5), draw.rng.choice((0.0, 1.0))
        names = draw.rng.choice(draw_weights.LINEAR_NAMES) if linear else draw_weights.MATH_NAMES
        self.weights = [draw_weights.plain(draw, names, one.shapes(), linear, bias) for _ in range(self.heads)]
        if draw.chance(0.5):
            self.doc["num_heads"] = self.heads
        if draw.option("past_keys"):
            self.cache()

    def scored(self, d_query, d_key):
        """Common to additive and multiplicative: embeddings, maybe W_value, no rope, no norms."""
        draw = self.draw
        self.rope_allowed = self.norm_allowed = False
        d_query, d_key, d_value = self.sources(d_query, d_key, cross=0.5)
        if draw.chance(0.5):
            draw_weights.extra(draw, self.weights, "W_value", d_value, self.dv)
        else:
            self.dv = d_value
        if draw.chance(0.2):
            draw_weights.extra(draw, self.weights, "W_out", self.dv, draw.some(draw.width))
        return d_query, d_key

    def additive(self):
        d_query, d_key = self.scored(self.draw.some(self.draw.width), None)
        draw_weights.extra(self.draw, self.weights, "W_query", d_query, self.dim)
        draw_weights.extra(self.draw, self.weights, "W_key", d_key, self.dim)
        self.weights["v"] = self.draw.tensor((self.dim,))
        if self.draw.option("past_keys"):
            self.cache()

    def multiplicative(self):
        plain = self.draw.chance(0.25)
        d_query, d_key = self.scored(self.dim, self.dim if plain else None)
        if not plain:
            draw_weights.extra(self.draw, self.weights, "W_score", d_query, d_key)
        self.dim = d_key
        if self.draw.option("past_keys"):
            self.cache()

    def latent(self):
        draw = self.draw
        self.norm_allowed = self.rope_allowed = False
        d_in, narrow, turned = draw.some(draw.width), draw.some(draw.width // 2), 2 * draw.some(min(3, draw.width)) if draw.chance(0.6) else 0
        self.embed("embeddings", self.queries, d_in)
        w, whole, middle = self.weights, self.heads * (self.dim + turned), 0
        if draw.chance(0.5):
            draw_weights.extra(draw, w, "W_query", d_in, whole)
        else:
            middle = draw.some(draw.width // 2)
            draw_weights.extra(draw, w, "W_DQ", d_in, middle)
            draw_weights.extra(draw, w, "W_UQ", middle, whole)
        draw_weights.extra(draw, w, "W_DKV", d_in, narrow)
        draw_weights.extra(draw, w, "W_UK", narrow, self.heads * self.dim)
        draw_weights.extra(draw, w, "W_UV", narrow, self.heads * self.dv)
        if turned:
            draw_weights.extra(draw, w, "W_KR", d_in, turned)
            if draw.option("rope", 2):
                self.doc["rope"] = {k: v for k, v in (("base", draw.rng.choice((10000, 500.0))),
                                                      ("pairs", draw.rng.choice(("half", "interleaved"))))
                                    if draw.chance(0.7)}
                if draw.chance(0.3):
                    import draw_options
                    self.doc["rope"]["scaling"] = draw_options.scaling(self, turned, False)
        if draw.chance(0.5):
            draw_weights.extra(draw, w, "W_out", self.heads * self.dv, draw.some(draw.width))
        if draw.chance(0.35):  # as released
            for name in ("W_DKV", "W_KR", "W_UK", "W_UV"):
                w.pop(name, None), w.pop(name + ".weight", None)
            w["kv_a_proj_with_mqa.weight"] = draw.matrix((narrow + turned, d_in), d_in)
            w["kv_b_proj.weight"] = draw.matrix((self.heads * (self.dim + self.dv), narrow), narrow)
        if draw.chance(0.4):
            w["kv_a_layernorm.weight"] = draw.tensor((narrow,))
        if middle and draw.chance(0.5):
            w["q_a_layernorm.weight"] = draw.tensor((middle,))
        self.doc["num_heads"] = self.heads
        self.gate("weights" if draw.option("gate") else None, d_in)
        if draw.option("past_latent", 2):
            self.past = draw.some(draw.size)
            self.doc["past_latent"] = draw.tensor((self.batch, self.past, narrow))
            if turned:
                self.doc["past_rope_keys"] = draw.tensor((self.batch, 1, self.past, turned))

    # gate, and what closes a document

    def gate_kind(self):
        if self.variant != "gated" and not self.draw.option("gate"):
            return None
        return "queries" if self.draw.chance(0.35) else "weights"

    def gate(self, kind, d_query):
        if kind is None:
            return
        draw, gate = self.draw, {}
        if kind == "queries":
            gate["from"] = "queries"
        else:
            draw_weights.extra(draw, self.weights, "W_gate", d_query, self.contexts * (1 if draw.chance(0.3) else self.dv))
        if draw.chance(0.6) or self.variant != "gated" and kind == "weights":
            gate["activation"] = draw.rng.choice(("sigmoid", "silu", "softplus"))
        if self.each == 1 and draw.chance(0.4):
            gate["norm"] = "rms"
            width = draw.chance(0.4)
            if width or draw.chance(0.3):
                gate["over"] = "width" if width else "head"
            if draw.chance(0.4):
                gate["eps"] = draw.rng.choice((1e-5, 0.02))
            if draw.chance(0.7):
                self.weights["norm.weight"] = draw.tensor((self.contexts * self.dv if width else self.dv,))
        if gate or self.variant != "gated":
            self.doc["gate"] = gate

    def one_generator(self):
        """Embeddings, weights and a mask of dropout from one manual_seed, in an order of their own or that of the document."""
        draw, doc = self.draw, self.doc
        stacked = self.variant == "stacked_heads"
        extra = () if stacked else [n for n in self.weights if any(part in n for part in ("norm", "bias_", "gate"))]
        if doc.get("normalize") == "sum" or extra or self.kv != self.heads or self.dv != self.dim or {"value_embeddings", "key_embeddings", "gate"} & set(doc):
            return
        kind = draw.rng.choice(("torch.nn.Linear", "torch.nn.Linear", "torch.rand"))
        given = {"init": kind, "d_out": self.dim if stacked else self.heads * self.dim}
        if kind == "torch.nn.Linear" and draw.chance(0.5):
            given["bias"] = draw.chance(0.7)
        if not stacked and draw.chance(0.4):
            given["out_proj"] = True
        if stacked or self.heads > 1:
            doc["num_heads"] = self.heads
        tensors = {"embeddings": {"init": "torch.rand", "shape": [self.batch, self.queries, self.d_in]}, "weights": given}
        order = draw.rng.sample(sorted(tensors), 2)
        if draw.chance(0.5):
            doc["draws"], order = list(order), draw.rng.sample(sorted(tensors), 2)
        self.weights = {}
        doc.pop("embeddings")
        for name in order:
            doc[name] = tensors[name]
        doc["manual_seed"] = draw.rng.randint(0, 2 ** 32)
        if "seed" in doc.get("dropout", {}) and doc["dropout"]["generator"] == "torch":
            doc["dropout"] = {"p": doc["dropout"]["p"]}

    def finish(self):
        draw, doc = self.draw, self.doc
        if self.variant in ONE_GENERATOR and draw.option("manual_seed", 1.5):
            self.one_generator()
        if self.weights:
            plain = isinstance(self.weights, dict)
            doc["weights"] = draw_weights.with_prefix(draw, self.weights) if plain and draw.option("prefix", 0.5) \
                else self.weights
        if self.variant in INFERRED and draw.chance(0.25) and not (self.variant == "stacked_heads" and "manual_seed" in doc) and not (self.variant == "causal_attention" and "causal" not in doc):
            del doc["variant"]
        if draw.chance(0.1):
            doc["comment"] = "drawn"
