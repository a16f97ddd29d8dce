"""Backward passes with mistakes: each of docs/mistakes.md's for gradients, made by hand in the oracle of gradients.

An oracle for `find_gradient_causes`: gradients(document, mistake, rng) gives float64 numbers by name, made the way somebody
would make the mistake. CannotBeMade: the document has no place for it.
"""
import numpy as np

import backward
import backward_steps as steps
import masks
import rotary
from backward_scores import SCORES
from reference import RECURRENT
from tensors import tensor

SOFTMAX = ["softmax_passed_through", "softmax_no_sum", "softmax_diagonal", "softmax_sum_unweighted", "softmax_sum_over_queries",
           "delta_block", "delta_all_heads", "delta_undropped_output", "mask_not_recomputed", "causal_alignment_backward"]
CELLS = SOFTMAX + ["no_scale", "scale_twice", "scale_dq_only", "exp2_factor", "dk_not_transposed", "dv_not_transposed", "group_mean",
                   "group_last_head", "group_summed_tiled", "dropout_no_mask", "dropout_no_rescale", "dropout_factor_p",
                   "dv_undropped", "softcap_ignored", "sink_sign", "sink_zero", "position_bias_last", "position_bias_mean",
                   "softmax_severed"]
STEPS = ["rope_not_inverted", "norm_no_projection", "norm_no_weight", "shared_input_overwritten", "dW_transposed", "dW_first_item",
         "dW_mean_over_batch", "dx_from_dW", "heads_not_transposed", "upstream_scaled"]
STATES = ["normalizer_constant", "delta_state_identity", "delta_error_constant", "decay_not_in_backward", "state_not_carried",
          "decay_no_factor"]
ALL = CELLS + STEPS + STATES
INPUT_ROLES = "query", "key", "value", "gate", "DKV", "DQ", "KR", "beta", "decay"


class CannotBeMade(Exception):
    pass


def need(holds):
    if not holds:
        raise CannotBeMade


class Mistaken(backward.Backward):
    def __init__(self, document, mistake, rng):
        self.wrong, self.rng = mistake, rng
        self.way = int(rng.integers(1 << 20))
        super().__init__(document)
        need((self.run.variant in RECURRENT) == (mistake in STATES) or mistake in STEPS)
        if mistake in SOFTMAX:
            need(self.doc.get("normalize", "softmax") == "softmax")

    # what enters, heads

    def enter(self):
        super().enter()
        if self.wrong == "upstream_scaled":
            _, y = self.result()
            need(y.size > 1)
            by = 1.0 / y.size if self.way % 2 else float(y.size)
            self.entering = {n: by * d for n, d in self.entering.items()}

    def put(self, name, value):
        value = super().put(name, value)
        if name == "concat" and self.wrong == "heads_not_transposed":
            heads = next(self.s[n] for n in ("gated_context", "normed_context", "context") if n in self.s).shape[1]
            need(heads > 1 and value.shape[1] > 1)
            return rotary.join_heads(value.reshape(value.shape[0], heads, value.shape[1], -1))
        return value

    # queries x keys

    def attend(self, d):
        s = self.s
        weights = [n for n in s if n.endswith("weights") and n != "mean_weights"]
        self.d_context, self.recomputed = d, None
        if self.wrong in ("mask_not_recomputed", "causal_alignment_backward"):
            self.recompute()
        if self.wrong == "group_summed_tiled":
            need(1 < self.kv < self.heads and self.run.halves == 1)
        if self.wrong in ("group_mean", "group_last_head"):
            need(self.kv < self.heads and self.run.halves == 1)
        dq, dk, dv = super().attend(d)
        of, kv = self.readers(False)
        a = s[weights[-1]]
        if self.wrong == "dv_not_transposed":
            need(a.shape[2] == a.shape[3])
            dv = self.gathered(np.einsum("bhij,bhjd->bhid", a, d), of, kv)
        if self.wrong == "dv_undropped":
            need("dropped_weights" in s and self.run.halves == 1)
            dv = self.gathered(np.einsum("bhij,bhid->bhjd", s[weights[-2]], d), of, kv)
        if self.recomputed is not None and self.way // 2 % 2:  # else dV is made of what was saved
            dv = self.gathered(np.einsum("bhij,bhid->bhjd", self.recomputed, d), of, kv)
        return dq, dk, dv

    def gathered(self, d, of, count):
        of = list(of)
        if self.wrong == "group_summed_tiled":
            heads = len(of)
            tile = self.doc.get("kv_head_order", "interleave") == "tile"
            of = [h // (heads // count) if tile else h % count for h in range(heads)]
        if self.wrong == "group_last_head":
            chosen = [max(h for h in range(len(of)) if of[h] == g) for g in range(count)]
            return d[:, chosen] if self.way % 2 else d[:, [min(h for h in range(len(of)) if of[h] == g) for g in range(count)]]
        out = backward.Backward.gathered(d, of, count)
        return out * count / len(of) if self.wrong == "group_mean" else out

    def recompute(self):
        """P of another mask: by a softmax of its own, or by what the forward pass has saved."""
        s, doc = self.s, self.doc
        need("masked_scores" in s and "sinks" not in doc and "dropped_weights" not in s and self.run.halves == 1)
        names = [n for n in s if n in SCORES]
        before, after, p = s[names[names.index("masked_scores") - 1]], s["masked_scores"], s["weights"]
        need(doc.get("mask_at", "scaled_scores") != "weights" and names[-1] == "masked_scores")
        hidden = np.isneginf(after)
        need(hidden.any() and not hidden.all(axis=3).any() and np.all((after == before) | hidden))
        batch, heads, queries, keys = before.shape
        self.seen_again = np.ones(before.shape, bool)
        if self.wrong == "causal_alignment_backward":
            given = self.run.given
            need(self.run.causal and keys == given and queries != keys)
            need(not {"window", "chunk", "prefix_keys", "token_blocks", "key_lengths", "mask"} & set(doc))
            offset = masks.offsets(doc, True, batch, queries, self.run.past, given)
            corner = keys - queries
            other = np.zeros_like(offset) if np.all(np.asarray(offset) == corner) else np.full_like(offset, corner)
            need(np.all(np.asarray(offset) == corner) or np.all(np.asarray(offset) == 0))
            self.seen_again = masks.visible(doc, True, before.shape, given, other)
        top = after.max(axis=3, keepdims=True)
        log_sum = top + np.log(np.exp(after - top).sum(axis=3, keepdims=True))
        shown = np.where(self.seen_again, before, -np.inf)
        if self.way % 2:
            need(self.seen_again.any(axis=3).all())
            e = np.exp(shown - shown.max(axis=3, keepdims=True))
            self.recomputed = e / e.sum(axis=3, keepdims=True)
        else:
            self.recomputed = np.where(self.seen_again, np.exp(before - log_sum), 0.0)

    def through_masked_scores(self, d):
        if self.recomputed is not None:
            return np.where(self.seen_again, d, 0.0)
        return super().through_masked_scores(d)

    def through_weights(self, d, p):
        if self.wrong == "softmax_severed":
            return np.zeros(d.shape)
        right = super().through_weights(d, p)
        if self.wrong not in SOFTMAX:
            return right
        p = p if self.recomputed is None else self.recomputed
        total = (d * p).sum(axis=3, keepdims=True)
        scores = self.s[[n for n in self.s if n in SCORES][-1]]
        open_ = scores != -np.inf
        some = open_.any(axis=3, keepdims=True)
        need(some.all())
        if self.wrong == "softmax_passed_through":
            return d
        if self.wrong == "softmax_no_sum":
            return p * d
        if self.wrong == "softmax_diagonal":
            return p * (1.0 - p) * d
        if self.wrong == "softmax_sum_unweighted":
            return p * (d - (d if self.way % 2 else np.where(open_, d, 0.0)).sum(axis=3, keepdims=True))
        if self.wrong == "softmax_sum_over_queries":
            return p * (d - (d * p).sum(axis=2, keepdims=True))
        if self.wrong == "delta_block":
            need(p.shape[3] > 2)
            width = 2 + self.way % (p.shape[3] - 2)
            out = np.zeros(p.shape)
            for j in range(0, p.shape[3], width):
                block = p[..., j:j + width]
                own = (d[..., j:j + width] * block).sum(axis=3, keepdims=True) / np.maximum(block.sum(axis=3, keepdims=True), 1e-300)
                out[..., j:j + width] = block * (d[..., j:j + width] - own)
            return out
        if self.wrong == "delta_all_heads":
            need(p.shape[1] > 1)
            return p * (d - total.sum(axis=1, keepdims=True))
        if self.wrong == "delta_undropped_output":
            need("dropped_weights" in self.s and self.run.halves == 1 and "renormalized_weights" not in self.s)
            of, _ = self.readers(False)
            undropped = np.einsum("bhid,bhjd->bhij", self.d_context, self.run.v[:, of])
            return p * (d - (undropped * p).sum(axis=3, keepdims=True))
        return p * (d - total)

    def through_dropped_weights(self, d, weights):
        kept = self.run.drop(np.ones(d.shape))
        p = 1.0 - 1.0 / kept.max() if kept.any() else 1.0
        if self.wrong == "dropout_no_mask":
            return d / (1.0 - p) if self.way % 2 else d
        if self.wrong == "dropout_no_rescale":
            return np.where(kept != 0, d, 0.0)
        if self.wrong == "dropout_factor_p":
            return np.where(kept != 0, d * p, 0.0)
        return super().through_dropped_weights(d, weights)

    def through_capped_scores(self, d):
        return d if self.wrong == "softcap_ignored" else super().through_capped_scores(d)

    def through_scaled_scores(self, d):
        scale = self.run.scale()
        by = {"no_scale": 1.0, "scale_twice": scale * scale, "exp2_factor": scale / np.log(2.0) if self.way % 2 else scale}.get(self.wrong, scale)
        return d * by

    def through_biased_scores(self, d):
        if self.wrong in ("position_bias_last", "position_bias_mean"):
            given = self.doc.get("position_bias")
            need(given is not None and d.shape[0] > 1)
            need(isinstance(given, dict) and "buckets" in given or tensor(given).ndim < 4 or tensor(given).shape[0] == 1)
            mean = self.wrong.endswith("mean")
            part = d / d.shape[0] if mean else d * (np.arange(d.shape[0]) == d.shape[0] - 1)[:, None, None, None]
            super().through_biased_scores(part)
            return d
        return super().through_biased_scores(d)

    def through_scores(self, d):
        if self.wrong in ("no_scale", "scale_twice", "scale_dq_only", "exp2_factor"):
            need("scaled_scores" in self.s)
        dq, dk = super().through_scores(d)
        if self.wrong == "exp2_factor" and not self.way % 2:
            dq = dq / np.log(2.0)
        if self.wrong == "scale_dq_only":
            dk = dk / self.run.scale()
        if self.wrong == "dk_not_transposed":
            need(d.shape[2] == d.shape[3] and self.run.variant not in ("additive", "multiplicative"))
            of, kv = self.readers(True)
            dk = self.gathered(np.einsum("bhij,bhjd->bhid", d, self.run.q), of, kv)
        return dq, dk

    # inputs and parameters

    def input(self, name, value, shape=None):
        if name == "sinks" and self.wrong.startswith("sink_"):
            value = np.asarray(value) * (-1.0 if self.wrong == "sink_sign" else 0.0)
        super().input(name, value, shape)

    def project_back(self, role, x, dy, head=0):
        w, params = self.run.list[head] if self.run.list else self.w, self.params[head]
        m = w.matrix(role)
        if self.wrong == "shared_input_overwritten" and role in INPUT_ROLES:
            need(not {"key_embeddings", "value_embeddings"} & set(self.doc) and self.run.variant != "latent")
            need(not self.run.list and m is not None)
            dx = super().project_back(role, x, dy, head)
            return dx if role == ("query", "key", "value")[self.way % 3] else 0.0 * dx
        if m is None or not (self.wrong.startswith("dW_") or self.wrong == "dx_from_dW"):
            return super().project_back(role, x, dy, head)
        need(self.run.variant not in ("multiplicative", "latent"))
        dw = np.einsum("bti,bto->io", x, dy)
        if self.wrong == "dW_transposed" and dw.shape[0] == dw.shape[1]:
            need(not self.run.list)
            dw = dw.T
        if self.wrong == "dW_first_item":
            dw = np.einsum("bti,bto->io", x[:1], dy[:1])
        if self.wrong == "dW_mean_over_batch":
            dw = dw / x.shape[0]
        params.add(dw, params.cells.matrix(role))
        if w.bias(role) is not None:
            params.add(dy.sum(axis=(0, 1)), params.cells.bias(role))
        return dy @ (dw if self.wrong == "dx_from_dW" else m).T


def norm_without_projection(x, e, kind, eps):
    reduce = np.sum if kind == "l2" else np.mean
    centred = x - np.mean(x, axis=-1, keepdims=True) if kind == "layer" else x
    r = 1.0 / np.sqrt(reduce(centred * centred, axis=-1, keepdims=True) + eps)
    return r * (e - np.mean(e, axis=-1, keepdims=True) if kind == "layer" else e), centred * r


def changed_steps(mistake):
    """Steps of backward_steps that stand in for the right ones."""
    turn_back, head_norm = steps.turn_back, steps.head_norm
    if mistake == "rope_not_inverted":
        return {"turn_back": lambda d, cos, sin, pairs, dims: turn_back(d, cos, -np.asarray(sin), pairs, dims)}
    if mistake == "norm_no_projection":
        return {"norm": norm_without_projection}
    if mistake == "norm_no_weight":
        return {"head_norm": lambda option, x, dy, w, b: (head_norm(option, x, dy, None, None)[0], *head_norm(option, x, dy, w, b)[1:])}
    return {}


def gradients(document, mistake, rng):
    """All gradients by name, as somebody with this mistake has them."""
    if mistake == "norm_no_weight" and ({"embeddings_norm", "concat_norm"} & set(document) or document.get("variant") == "latent"):
        raise CannotBeMade
    kept = {name: getattr(steps, name) for name in changed_steps(mistake)}
    for name, other in changed_steps(mistake).items():
        setattr(steps, name, other)
    try:
        with np.errstate(all="ignore"):
            return Mistaken(document, mistake, rng).all()
    finally:
        for name, right in kept.items():
            setattr(steps, name, right)
