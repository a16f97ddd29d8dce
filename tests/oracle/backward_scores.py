"""The part of backward.py between the context and what the scores are made of."""
import numpy as np

import backward_steps as steps
import masks
from tensors import tensor

SCORES = ("scores", "scaled_scores", "capped_scores", "biased_scores", "masked_scores")


class Scores:
    def readers(self, halves):
        """The kv head of each query head, of half heads or of whole ones."""
        heads, kv = (n // (1 if halves else self.run.halves) for n in (self.heads, self.kv))
        tile = self.doc.get("kv_head_order", "interleave") == "tile"
        return np.array([h % kv if tile else h // (heads // kv) for h in range(heads)]), kv

    @staticmethod
    def gathered(d, of, count):
        """The sum over the query heads of each kv head."""
        out = np.zeros(d.shape[:1] + (count,) + d.shape[2:])
        for h, g in enumerate(of):
            out[:, g] += d[:, h]
        return out

    def attend(self, d):
        run, s, doc = self.run, self.s, self.doc
        d = self.put("context", d)
        names = list(s)
        weights = [n for n in names if n.endswith("weights") and n != "mean_weights"]
        of, kv = self.readers(False)
        dv = self.gathered(np.einsum("bhij,bhid->bhjd", s[weights[-1]], d), of, kv)
        d = np.einsum("bhid,bhjd->bhij", d, run.v[:, of])
        batch, _, queries, keys = d.shape
        shape = (batch, self.heads, queries, keys)
        offset = masks.offsets(doc, run.causal, batch, queries, run.past, run.given)
        self.seen = masks.visible(doc, run.causal, shape, run.given, offset)
        self.offset = offset
        for name in reversed(weights):
            before = weights[max(weights.index(name) - 1, 0)]
            d = getattr(self, "through_" + name)(self.put(name, d), s[before])
        for name in reversed([n for n in names if n in SCORES]):
            d = getattr(self, "through_" + name)(self.put(name, d))
        dq, dk = d
        return dq, dk, dv

    def through_differential_weights(self, d, dropped):
        doc, (q1, k1, q2, k2) = self.doc, (self.w.vector("lambda_" + n) for n in ("q1", "k1", "q2", "k2"))
        axis = 1 if doc.get("pairing") == "halves" else 2
        batch, heads = d.shape[:2]
        shape = (batch,) + ((2, heads) if axis == 1 else (heads, 2)) + d.shape[2:]
        second = np.take(dropped.reshape(shape), 1, axis=axis)
        d_factor = -np.sum(d * second)
        if "lambda" in doc:
            factor = doc["lambda"]
            self.input("lambda", d_factor, (1,))
        else:
            first_part, second_part = np.exp(np.sum(q1 * k1)), np.exp(np.sum(q2 * k2))
            factor = first_part - second_part + doc["lambda_init"]
            for name, other, of in (("q1", k1, first_part), ("k1", q1, first_part), ("q2", k2, -second_part), ("k2", q2, -second_part)):
                self.param(d_factor * of * other, "lambda_" + name)
        return np.stack([d, -factor * d], axis=axis).reshape((batch, 2 * heads) + d.shape[2:])

    def through_dropped_weights(self, d, _weights):
        factor = self.run.drop(np.ones(d.shape))
        return np.where(factor != 0, d * factor, 0.0)

    def empty(self, shape):
        """The gradient of a row without visible keys: nothing, or NaN where it was filled with NaN."""
        return np.full(shape, np.nan if self.doc.get("empty_rows") == "nan" else 0.0)

    def through_renormalized_weights(self, d, masked):
        result = self.s["renormalized_weights"]
        total = masked.sum(axis=3, keepdims=True)
        out = (d - (d * result).sum(axis=3, keepdims=True)) / total
        return np.where(self.seen.any(axis=3, keepdims=True), out, self.empty(out.shape))

    def through_masked_weights(self, d, _weights):
        return np.where(self.seen, d, 0.0)

    def through_weights(self, d, p):
        rule = self.doc.get("normalize", "softmax")
        scores = self.s[[n for n in self.s if n in SCORES][-1]]
        open_ = scores != -np.inf
        some = open_.any(axis=3, keepdims=True)
        inner = (np.where(open_, d * p, 0.0)).sum(axis=3, keepdims=True)
        if rule == "sigmoid":
            out = d * p * (1.0 - p)
        elif rule == "sum":
            out = (d - inner) / np.where(open_, scores, 0.0).sum(axis=3, keepdims=True)
        else:
            out = p * (d - inner)
            if "sinks" in self.doc:
                top = np.maximum(scores.max(axis=3), self.run.sinks[:, None])
                e = np.exp(self.run.sinks[:, None] - top)
                of_sink = e / (np.exp(scores - top[..., None]).sum(axis=3) + e)
                lost = np.where(some[..., 0], of_sink * inner[..., 0], 0.0)
                self.input("sinks", -lost.sum(axis=(0, 2)))
        return np.where(some, np.where(open_, out, 0.0), self.empty(out.shape))

    def through_masked_scores(self, d):
        return np.where(self.seen, d, 0.0)

    def through_biased_scores(self, d):
        given = self.doc.get("position_bias")
        own = d[..., :self.run.given]
        if isinstance(given, dict) and "buckets" in given:
            table = tensor(given["buckets"])
            total = np.zeros(table.shape)
            for b, _, i, j in np.ndindex(own.shape[:1] + (1,) + own.shape[2:]):
                row = masks.bucket(j - (i + self.offset[b]), len(table), given.get("max_distance", 128), given.get("bidirectional", True))
                total[row] += own[b, :, i, j]
            self.input("position_bias", total, table.shape)
        elif given is not None:
            self.input("position_bias", steps.reduced(own, tensor(given).shape))
        return d

    def through_capped_scores(self, d):
        share = self.s["capped_scores"] / self.doc["softcap"]
        return d * (1.0 - share * share)

    def through_scaled_scores(self, d):
        return d * self.run.scale()

    def through_scores(self, d):
        """Down to what the scores are made of."""
        of, kv = self.readers(True)
        q, k = self.run.q, self.run.k[:, of]
        if self.run.variant == "additive":
            v = self.w.vector("v")
            t = np.tanh(q[:, :, :, None] + k[:, :, None])
            self.param(np.einsum("bhij,bhijd->d", d, t), "v")
            u = d[..., None] * v * (1.0 - t * t)
            return u.sum(axis=3), self.gathered(u.sum(axis=2), of, kv)
        middle = self.w.matrix("score") if self.run.variant == "multiplicative" else None
        dk = np.einsum("bhij,bhid->bhjd", d, q)
        dq = np.einsum("bhij,bhjd->bhid", d, k)
        if middle is not None:
            self.params[0].add(np.einsum("bhid,bhje,bhij->de", q, k, d), self.params[0].cells.matrix("score"))
            dq, dk = dq @ middle.T, dk @ middle
        return dq, self.gathered(dk, of, kv)
