"""Every stage of an attention document, in float64, straight from the formulas of the contract, sections 2 to 5.

This is an oracle: it shares no code and no idea of how to be fast with the program. compute(document) gives the stages by
name, in the contract's order; scores that are masked are -inf. head_outputs, states, lse and mean_weights are
there too, although the program shows them only where they are asked for by name.

Sources of the variants: Vaswani et al. 2017 (dot product, heads), Luong et al. 2015 (dot, general), Bahdanau et al. 2015
(additive), Shazeer 2019 (one kv head), Ainslie et al. 2023 (grouped kv heads), Beltagy et al. 2020 (window), Qiu et al.
2025 (gated attention), Wang et al. 2023 (BitNet: a norm of the joined heads), Ye et al. 2024 (differential). Others: latent.py (DeepSeek-V2), recurrent.py (linear, delta), rotary.py (RoPE, ALiBi, norms).
Softcap: Gemma 2 report 2024. Sinks: gpt-oss 2025, Xiao et al. 2023. bias_k, add_zero_attn: nn.MultiheadAttention.
"""
import numpy as np

import drawn
import latent as mla
import masks
import recurrent
import rotary
from tensors import batched, four_axes, step, tensor, without_comments
from weights import Weights

UNSCALED = ("simplified", "additive", "multiplicative")
RECURRENT = ("linear", "delta")
BY_NAME = ("head_outputs", "states", "lse", "mean_weights")


def infer(document):
    """The variant of a document that names none: the first of section 3 that fits."""
    if "queries" in document:
        return "scaled_dot_product"
    if isinstance(document.get("weights"), list):
        return "stacked_heads"
    if "weights" not in document:
        return "simplified"
    if "key_embeddings" in document:
        return "cross_attention"
    if document.get("num_heads", 1) > 1:
        return "multi_head"
    return "causal_attention" if document.get("causal") else "self_attention"


class Run:
    """One document on its way through the stages. `nudges` are added to stages of their names where these are made."""

    def __init__(self, document, nudges=None):
        self.nudges = nudges or {}
        self.doc = drawn.resolved(without_comments(document))
        self.variant = self.doc.get("variant") or infer(self.doc)
        given = self.doc.get("weights")
        self.x = batched(self.doc.get("embeddings"))
        if isinstance(given, dict) and "init" in given or self.variant == "stacked_heads" and isinstance(given, dict):
            given = drawn.weights(given, self.x.shape[2], self.doc.get("num_heads", 1), self.variant == "stacked_heads")
        self.list = [Weights(g) for g in given] if isinstance(given, list) else None
        heads = self.doc.get("num_heads", 1)
        kv = self.doc.get("num_kv_heads", 1 if self.variant == "multi_query" else heads)
        self.w = Weights(None if self.list else given, heads, kv, self.doc.get("gate", {}).get("from") == "queries",
                         self.doc.get("num_value_heads", kv))
        self.stages = {}
        self.last = {}
        causal_by_default = self.variant in ("causal_attention", "sliding_window", "delta")
        self.causal = self.doc.get("causal", causal_by_default)
        self.y = batched(self.doc.get("key_embeddings")) if "key_embeddings" in self.doc else self.x
        self.z = batched(self.doc.get("value_embeddings")) if "value_embeddings" in self.doc else self.y
        self.norm_embeddings()
        self.gate = None
        self.sinks = tensor(self.doc.get("sinks"))

    def put(self, name, value):
        """Keeps a stage, and returns it: what comes after reads what is kept."""
        value = np.asarray(value, dtype=np.float64)
        self.stages[name] = value + self.nudges[name] if name in self.nudges else value
        return self.stages[name]

    # queries, keys, values

    def norm_embeddings(self):
        """The norm before the attention: of embeddings, and of key_embeddings where it says so."""
        norm = self.doc.get("embeddings_norm")
        if norm is None:
            return
        weight, bias = (tensor(norm.get(name)) for name in ("weight", "bias"))

        def normed(stage, x):
            return self.put(stage, rotary.norm_rows(x, norm["type"], norm.get("eps", 1e-6), weight, norm.get("plus_one", False), bias))
        keys = self.y
        self.x = normed("normed_embeddings", self.x)
        if "key_embeddings" not in self.doc:
            self.y = self.x
        elif norm.get("keys"):
            self.y = normed("normed_key_embeddings", keys)
        if "value_embeddings" not in self.doc:
            self.z = self.y

    def count_heads(self):
        doc = self.doc
        q, k = four_axes(doc.get("queries")), four_axes(doc.get("keys"))
        lens = self.w.heads_of("query"), self.w.heads_of("key")
        heads = q.shape[1] if q is not None else len(self.list) if self.list else lens[0] or 1
        self.halves = 2 if self.variant == "differential" else 1  # heads of queries and of keys for each head of values
        self.heads = self.halves * doc["num_heads"] if "num_heads" in doc else heads * (1 if q is not None or lens[0] else self.halves)
        kv = k.shape[1] if k is not None else 1 if self.variant == "multi_query" else lens[1] or self.heads
        self.kv_heads = self.halves * doc["num_kv_heads"] if "num_kv_heads" in doc else kv
        v = four_axes(doc.get("values"))
        self.value_heads = doc.get("num_value_heads", self.kv_heads // self.halves if v is None else v.shape[1])

    def kv_of(self, head):
        if self.doc.get("kv_head_order", "interleave") == "tile":
            return head % self.kv_heads
        return head // (self.heads // self.kv_heads)

    def project(self):
        doc, w = self.doc, self.w
        if "queries" in doc:
            return [four_axes(doc[name]) for name in ("queries", "keys", "values")]
        if self.list:
            sides = (("query", self.x), ("key", self.y), ("value", self.z))
            return [np.stack([one.project(t, role) for one in self.list], axis=1) for role, t in sides]
        if self.variant == "simplified":
            q, k, v = self.x, self.y, self.z
        elif self.variant == "multiplicative":
            q, k, v = self.x, self.y, w.project(self.z, "value")
        else:
            q, k, v = w.project(self.x, "query"), w.project(self.y, "key"), w.project(self.z, "value")
        v = self.z if v is None else v
        gate = doc.get("gate")
        if isinstance(gate, dict) and gate.get("from") == "queries":
            both = rotary.split_heads(q, self.heads)
            half = both.shape[3] // 2
            queries, self.gate = both[..., :half], step(both[..., half:])
        else:
            queries = rotary.split_heads(q, self.heads)
        return queries, rotary.split_heads(k, self.kv_heads), rotary.split_heads(v, self.value_heads)

    def clip(self, what):
        """Clamps what `clip_qkv` clamps: the projected ones, or the normed ones and values that have no norm."""
        option = self.doc.get("clip_qkv")
        option = option if isinstance(option, dict) else {"max": option}
        after = option.get("after") == "norm"
        acts = option["max"] is not None and (what == "values" or after == (what == "normed"))

        def clamp(x):
            return np.clip(x, -step(option["max"]), step(option["max"])) if acts else x
        clamp.after_norm = after
        return clamp

    def norms(self, q, k, v):
        def one(option, x, name, stage):
            if option is None:
                return x
            weight, bias = self.w.of_heads(name + ".weight", name + ".scale"), self.w.of_heads(name + ".bias")
            return self.put(stage, self.clip("normed")(rotary.qk_norm(option, x, weight, bias)))
        of_both, of_values = self.doc.get("qk_norm"), self.doc.get("value_norm")
        return one(of_both, q, "q_norm", "normed_queries"), one(of_both, k, "k_norm", "normed_keys"), \
            one(of_values, v, "v_norm", "normed_values")

    def turning(self, latent):
        """The rotary embedding, where there is one."""
        return self.doc.get("rope", {} if latent else None)

    def sources(self):
        """Stages up to all_values; leaves what the scores are made of in self.q, self.k, self.v."""
        doc, parts = self.doc, {}
        if self.variant == "latent":
            parts = mla.project(doc, self.w, self.x, self.y, self.heads, self.put)
            q, k, v = parts["queries"], parts["keys"], parts["values"]
            past_k, past_v = parts.get("past_keys"), parts.get("past_values")
        else:
            q, k, v = self.project()
            past_k, past_v = four_axes(doc.get("past_keys")), four_axes(doc.get("past_values"))
        self.past = 0 if past_k is None else past_k.shape[2]
        clip = self.clip("projected")
        q, k = clip(q), clip(k)
        v = v if "value_norm" in doc and clip.after_norm else self.clip("values")(v)
        q, k, v = self.put("queries", q), self.put("keys", k), self.put("values", v)
        for name in ("query_latent", "normed_query_latent", "latent", "normed_latent"):
            if name in parts:
                self.stages[name] = self.stages.pop(name)  # made first, shown here
        if "conv" in doc:
            q, k, v = recurrent.convolve(doc, self.w, (q, k, v))
            q, k, v = self.put("convolved_queries", q), self.put("convolved_keys", k), self.put("convolved_values", v)
        norm_last = doc.get("qk_norm", {}).get("after") == "rope"
        if not norm_last:
            q, k, v = self.norms(q, k, v)
        parts |= {"queries": q, "keys": k}
        turned = mla.rotary_part(doc, self.w, self.y, parts, self.put) if self.variant == "latent" else None
        if turned is not None:
            past_k = parts.get("past_keys")
            q, k = turned
        elif "rope" in doc:
            q, k = rotary.apply_rope(doc["rope"], q, k, self.past)
            q, k = self.put("rotated_queries", q), self.put("rotated_keys", k)
        if norm_last:
            q, k, v = self.norms(q, k, v)
        if "query_scale" in doc:
            q = self.put("tempered_queries", rotary.query_scale(doc["query_scale"], q, self.past, self.turning(turned is not None)))
        all_k, all_v = ([] if p is None else [p] for p in (past_k, past_v))
        all_k.append(k), all_v.append(v)
        self.given = self.past + k.shape[2]
        if self.w.has("bias_k"):
            for name, rows, like in (("bias_k", all_k, k), ("bias_v", all_v, v)):
                row = self.w.vector(name).reshape(like.shape[1], 1, -1)
                rows.append(np.broadcast_to(row, like.shape[:1] + row.shape))
        if doc.get("add_zero_attn"):
            all_k.append(np.zeros_like(k[:, :, :1])), all_v.append(np.zeros_like(v[:, :, :1]))
        if len(all_k) > 1:
            k, v = np.concatenate(all_k, axis=2), np.concatenate(all_v, axis=2)
            k, v = self.put("all_keys", k), self.put("all_values", v)
        self.q, self.k, self.v = q, k, v

    # scores and weights

    def scale(self):
        scale = self.doc.get("scale")
        if scale == "none":
            return None
        if scale is not None:
            return float(scale)
        if self.variant in UNSCALED or self.doc.get("normalizer"):
            return None
        return 1.0 / np.sqrt(self.q.shape[3])

    def scores(self):
        batch, _, queries, _ = self.q.shape
        keys = self.k.shape[2]
        s = np.zeros((batch, self.heads, queries, keys))
        middle = self.w.matrix("score") if self.variant == "multiplicative" else None
        v = self.w.vector("v") if self.variant == "additive" else None
        for b in range(batch):
            for h in range(self.heads):
                q, k = self.q[b, h], self.k[b, self.kv_of(h)]
                if v is not None:
                    for i in range(queries):
                        for j in range(keys):
                            s[b, h, i, j] = step(np.tanh(step(q[i] + k[j]))) @ v
                else:
                    s[b, h] = (q if middle is None else step(q @ middle)) @ k.T
        return s

    def attend(self):
        doc = self.doc
        s = self.put("scores", self.scores())
        offset = masks.offsets(doc, self.causal, s.shape[0], s.shape[2], self.past, self.given)
        seen = masks.visible(doc, self.causal, s.shape, self.given, offset)
        at = doc.get("mask_at", "scaled_scores") if masks.has_mask(doc, self.causal) else None

        def mask(t):
            return self.put("masked_scores", np.where(seen, t + masks.added(doc, t.shape, self.given), -np.inf))

        if at == "scores":
            s = mask(s)
        scale = self.scale()
        if scale is not None:
            s = self.put("scaled_scores", s * scale)
        if "softcap" in doc:
            s = self.put("capped_scores", doc["softcap"] * step(np.tanh(step(s / doc["softcap"]))))
        if doc.get("alibi") or "position_bias" in doc:
            bias = np.zeros(s.shape)
            if doc.get("alibi"):
                bias += masks.alibi_bias(rotary.slopes(doc["alibi"], self.heads), s.shape, self.given, offset)
            if "position_bias" in doc:
                if isinstance(doc["position_bias"], dict) and "buckets" in doc["position_bias"]:
                    bias += masks.bucket_bias(doc["position_bias"], s.shape, self.given, offset)
                else:
                    bias[..., :self.given] += tensor(doc["position_bias"])
            s = self.put("biased_scores", s + step(bias))
        if at == "scaled_scores":
            s = mask(s)
        if doc.get("normalize", "softmax") == "softmax":
            self.last["lse"] = self.log_sums(s)
        weights = self.put("weights", self.normalize(s))
        if at == "weights":
            weights = self.put("masked_weights", weights * seen)
            weights = self.put("renormalized_weights", self.renormalize(weights, seen))
        if "dropout" in doc:
            weights = self.put("dropped_weights", self.drop(weights))
        if self.halves == 2:
            weights = self.put("differential_weights", self.subtract(weights))
        self.last["mean_weights"] = weights.sum(axis=1) / weights.shape[1]
        context = np.zeros(weights.shape[:3] + self.v.shape[3:])
        for b in range(context.shape[0]):
            for h in range(self.heads):
                context[b, h] = weights[b, h] @ self.v[b, self.kv_of(h)]
        self.put("context", context)

    def subtract(self, weights):
        """Weights of the first half of each head less lambda times those of the second; from here on, heads are whole ones."""
        doc = self.doc
        self.heads, self.kv_heads = self.heads // 2, self.kv_heads // 2
        if "lambda" in doc:
            factor = doc["lambda"]
        else:
            q1, k1, q2, k2 = (self.w.vector("lambda_" + name) for name in ("q1", "k1", "q2", "k2"))
            factor = np.exp(np.sum(q1 * k1)) - np.exp(np.sum(q2 * k2)) + doc["lambda_init"]
        shape = weights.shape[:1] + ((2, self.heads) if doc.get("pairing") == "halves" else (self.heads, 2)) + weights.shape[2:]
        first, second = np.moveaxis(weights.reshape(shape), 1 if doc.get("pairing") == "halves" else 2, 0)
        return first - factor * second

    def empty_row(self, keys):
        rule = self.doc.get("empty_rows", "zero")
        return np.full(keys, {"zero": 0.0, "nan": np.nan, "uniform": 1.0 / keys}[rule])

    def normalize(self, s):
        rule = self.doc.get("normalize", "softmax")
        w = np.zeros(s.shape)
        for b, h, i in np.ndindex(s.shape[:3]):
            row = s[b, h, i]
            open_ = row != -np.inf
            if not open_.any():
                w[b, h, i] = self.empty_row(row.size)
            elif rule == "sum":
                w[b, h, i, open_] = row[open_] / step(row[open_].sum())
            elif rule == "sigmoid":
                w[b, h, i, open_] = 1.0 / (1.0 + np.exp(-row[open_]))
            else:
                sink = self.sinks[h] if "sinks" in self.doc else -np.inf
                top = max(row.max(), sink)
                e = np.exp(row - top)
                w[b, h, i] = e / (e.sum() + np.exp(sink - top))
        return w

    def log_sums(self, s):
        """log(sum of e^score), a sink among them; log 0 where there is nothing."""
        out = np.zeros(s.shape[:3])
        for b, h, i in np.ndindex(out.shape):
            row = s[b, h, i] if "sinks" not in self.doc else np.append(s[b, h, i], self.sinks[h])
            top = row.max()
            out[b, h, i] = top if top == -np.inf else top + np.log(np.exp(row - top).sum())
        return out

    def renormalize(self, w, seen):
        out = np.zeros(w.shape)
        for b, h, i in np.ndindex(w.shape[:3]):
            if seen[b, h, i].any():
                out[b, h, i] = w[b, h, i] / step(w[b, h, i].sum())
            else:
                out[b, h, i] = self.empty_row(w.shape[3])
        return out

    def drop(self, w):
        option = self.doc["dropout"]
        p = float(option["p"])
        if "keep" in option:
            keep = np.broadcast_to(tensor(option["keep"]) != 0, w.shape)
        else:
            import drawn
            keep = drawn.dropout(option, w.shape, self.variant == "stacked_heads")
        return w * keep * step(1.0 / (1.0 - p)) if p < 1 else w * 0.0

    # linear and delta

    def state_offsets(self, batch, queries, keys):
        """Query i reads the state after token i plus these; None: all read the last one."""
        if self.variant == "delta" or self.causal:
            return masks.offsets(self.doc, self.causal, batch, queries, 0, keys)
        return None

    def recur(self):
        doc = self.doc
        q, k, v = self.q, self.k, self.v
        name = doc.get("feature_map", "identity")
        if "feature_map" in doc:
            q, k = recurrent.feature_map(name, q), recurrent.feature_map(name, k)
            q, k = self.put("mapped_queries", q), self.put("mapped_keys", k)
            if doc.get("map_values"):
                v = self.put("mapped_values", recurrent.feature_map(name, v))
        x = self.y if "queries" not in doc else None
        group = self.value_heads // self.kv_heads
        if group > 1:  # head h of values reads head floor(h / group) of queries and keys
            q, k = np.repeat(q, group, axis=1), np.repeat(k, group, axis=1)
            self.heads = self.kv_heads = self.value_heads
        decay = recurrent.decay_of(doc, self.w, x, k.shape[0], self.kv_heads, k.shape[2], k.shape[3])
        beta = recurrent.beta_of(doc, self.w, x, k.shape[0], self.kv_heads, k.shape[2], v.shape[3]) if self.variant == "delta" else None
        decay, beta = (value if value is None else self.put(stage, value) for stage, value in (("decay", decay), ("beta", beta)))
        past = tensor(doc.get("past_state"))
        offsets = self.state_offsets(k.shape[0], q.shape[2], k.shape[2])
        context, state, states = recurrent.run(self.variant, q, k, v, decay, beta, past, self.scale(),
                                               doc.get("normalizer", False), offsets, self.kv_of, self.nudges.get("states"))
        self.put("context", context), self.put("state", state), self.put("states", states)

    # after the context

    def finish(self):
        doc, w = self.doc, self.w
        context = self.stages["context"]
        if self.halves == 2:
            option = {"type": "rms", "eps": 1e-5}
            context = rotary.qk_norm(option, context, w.vector("subln.weight")) * (1 if "lambda" in doc else 1 - doc["lambda_init"])
            context = self.put("normed_context", context)
        gate = doc.get("gate", {} if self.variant == "gated" else None)
        if gate is not None and gate is not False:
            g = self.gate
            if g is None:
                g = rotary.split_heads(step(w.project(self.x, "gate")), self.heads)  # one column of a head opens all of it
            if gate.get("norm") == "rms":
                option = {"type": "rms", "eps": gate.get("eps", 1e-6), "over": gate.get("over", "head")}
                context = rotary.qk_norm(option, context, w.vector("norm.weight", "norm.scale", "o_norm.weight"))
                context = self.put("normed_context", context)
            context = context * step({"sigmoid": lambda: 1.0 / (1.0 + np.exp(-g)), "silu": lambda: g * (1.0 / (1.0 + np.exp(-g))),
                                 "softplus": lambda: np.logaddexp(0.0, g)}[gate.get("activation", "sigmoid")]())
            context = self.put("gated_context", context)
        joined = rotary.join_heads(context)
        if self.heads > 1:
            joined = self.put("concat", joined)
        norm = doc.get("concat_norm")
        if norm is not None:
            joined = rotary.norm_rows(joined, norm["type"], norm.get("eps", 1e-6), w.vector("concat_norm.weight", "concat_norm.scale"),
                                      bias=w.vector("concat_norm.bias"))
            joined = self.put("normed_concat", joined)
        out = w.matrix("out")
        if out is not None:
            rows = np.split(out, self.heads)
            if norm is None:
                shares = [context[:, h] @ rows[h] for h in range(self.heads)]
                self.put("head_outputs", np.stack(shares, axis=1))
            self.put("output", w.project(joined, "out"))

    def all(self):
        self.count_heads()
        self.sources()
        if self.variant in RECURRENT:
            self.recur()
        else:
            self.attend()
        self.finish()
        for name, value in self.last.items():
            self.put(name, value)
        return self.stages


def compute(document, nudges=None):
    """All stages by name, float64, in order; see the module."""
    with np.errstate(all="ignore"):
        return Run(document, nudges).all()
