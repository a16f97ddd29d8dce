"""The gradient of every stage, input and parameter of a document with a "gradient", in float64, from the formulas.

gradients(document) gives them by name (d_scores, d_embeddings, d_W_query.weight, ...): first the stages' backwards, d_states
with them although it is shown only where asked for, then inputs, then parameters in the layouts they are given in. No number is -0. leaves(document)
says where in the document the inputs and parameters stand. Nothing is differentiated by a tool: each step is the chain rule of
the step in reference.py, which is also where values come from. Sources: the papers named there; for softmax and products
Dao et al. 2022 (FlashAttention, appendix B.2); for a row without keys what PyTorch's autograd was measured to give.
"""
import numpy as np

import backward_recurrent
import backward_steps as steps
import rotary
from backward_scores import Scores
from backward_sources import Sources
from parameters import Parameters
from reference import RECURRENT, Run
from tensors import batched, four_axes, tensor

PLAIN_INPUTS = ("embeddings", "key_embeddings", "value_embeddings", "past_keys", "past_values", "past_latent", "past_rope_keys",
                "past_state", "past_conv")


class Kept(Run):
    """A run that remembers what its stages do not show."""

    def count_heads(self):
        super().count_heads()
        self.counts = self.heads, self.kv_heads

    def project(self):
        self.raw = super().project()  # before they are clipped
        return self.raw


def leaves(document):
    """Where the inputs and parameters stand: name of the gradient -> paths, more than one where each head has its own tensor."""
    paths = {"d_" + name: [(name,)] for name in PLAIN_INPUTS + ("sinks", "lambda") if name in document}
    for name in ("weight", "bias"):
        if document.get("embeddings_norm", {}).get(name) is not None:
            paths["d_embeddings_norm." + name] = [("embeddings_norm", name)]
    if "position_bias" in document:
        of_table = isinstance(document["position_bias"], dict) and "buckets" in document["position_bias"]
        paths["d_position_bias"] = [("position_bias", "buckets") if of_table else ("position_bias",)]
    weights = document.get("weights")
    for at, given in enumerate(weights) if isinstance(weights, list) else [(None, weights)]:
        if not isinstance(given, dict) or "init" in given:
            continue
        prefix = given.get("prefix", "")
        for name in given:
            if name.startswith(prefix):
                paths.setdefault("d_" + name[len(prefix):], []).append(("weights", name) if at is None else ("weights", at, name))
    return paths


class Backward(Scores, Sources):
    wrong = None  # a step that is done otherwise: mistaken_backward.py

    def __init__(self, document):
        self.run = run = Kept(document)
        self.s = run.all()
        self.doc, self.w = run.doc, run.w
        self.heads, self.kv = run.counts
        self.params = [Parameters(w) for w in run.list] if run.list else [Parameters(self.w)]
        self.d, self.inputs = {}, {}  # gradients of stages, and of inputs
        self.into = {"x": 0.0, "y": 0.0, "z": 0.0}  # of what queries, keys and values are projected from
        self.enter()

    def put(self, name, value):
        self.d[name] = np.asarray(value, dtype=np.float64) + 0.0  # +0 for -0
        return self.d[name]

    def input(self, name, value, shape=None):
        """Of an input, as it is written."""
        given = tensor(self.doc[name]).shape if shape is None else shape
        self.inputs["d_" + name] = np.asarray(value).reshape(given) + 0.0

    def param(self, d, *names):
        """Of a vector of the weights."""
        cells = self.params[0].cells.vector(*names)
        if cells is not None:
            self.params[0].add(d, cells)

    def project_back(self, role, x, dy, head=0):
        """y = x W + b: adds to W and b, returns dx; of what is not projected, dy."""
        w, params = self.run.list[head] if self.run.list else self.w, self.params[head]
        m = w.matrix(role)
        if m is None:
            return dy
        params.add(np.einsum("bti,bto->io", x, dy), params.cells.matrix(role))
        if w.bias(role) is not None:
            params.add(dy.sum(axis=(0, 1)), params.cells.bias(role))
        return dy @ m.T

    # what enters

    def result(self):
        """The name of the result, and it as [batch, query, width]."""
        name = next(n for n in ("output", "normed_concat", "concat", "gated_context", "normed_context", "context") if n in self.s)
        y = self.s[name]
        return name, y if y.ndim == 3 else rotary.join_heads(y)

    def enter(self):
        option = self.doc["gradient"]
        option = {"loss": "sum"} if option == "ones" else option
        name, y = self.result()
        self.entering = {n: np.zeros(value.shape) for n, value in self.s.items()}
        if "output" in option:
            self.at_result(name, batched(option["output"]))
        if option.get("loss") == "sum":
            self.at_result(name, np.ones(y.shape))
        if option.get("loss") == "mean_squared_error":
            self.at_result(name, 2.0 * (y - batched(option["target"])) / y.size)
        for stage in ("context", "state"):
            if stage in option:
                self.entering[stage] = self.entering[stage] + four_axes(option[stage])

    def at_result(self, name, d):
        self.entering[name] = self.entering[name] + (d if self.s[name].ndim == 3 else rotary.split_heads(d, 1))

    # after the context

    def finish(self):
        """Down to d of the context."""
        s, doc, w = self.s, self.doc, self.w
        context = next(n for n in ("gated_context", "normed_context", "context") if n in s)
        joined = rotary.join_heads(s[context])
        d = 0.0
        if "output" in s:
            d = self.project_back("out", s.get("normed_concat", joined), self.put("output", self.entering["output"]))
        if "normed_concat" in s:
            d = self.put("normed_concat", d + self.entering["normed_concat"])
            option = doc["concat_norm"]
            names = ("concat_norm.weight", "concat_norm.scale")
            weight = w.vector(*names)
            d, n = self.norm(joined, d, option, weight)
            if weight is not None:
                self.param((self.d["normed_concat"] * n).sum(axis=(0, 1)), *names)
            self.param(self.d["normed_concat"].sum(axis=(0, 1)), "concat_norm.bias")
        if "concat" in s:
            d = self.put("concat", d + self.entering["concat"])
        d = rotary.split_heads(np.zeros(joined.shape) + d, s[context].shape[1])
        self.gate_back = None
        if "gated_context" in s:
            d = self.put("gated_context", d + self.entering["gated_context"])
            d = self.through_gate(s.get("normed_context", s["context"]), d)
        if "normed_context" in s:
            d = self.put("normed_context", d + self.entering["normed_context"])
            d = self.through_context_norm(d)
        return d + self.entering["context"]

    @staticmethod
    def norm(x, dy, option, weight):
        e = dy if weight is None else dy * (weight + 1.0 if option.get("plus_one", False) else weight)
        return steps.norm(x, e, option["type"], option.get("eps", 1e-6))

    def through_gate(self, c, d):
        gate = self.doc.get("gate", {})
        of_queries = gate.get("from") == "queries"
        z = self.run.gate if of_queries else rotary.split_heads(self.w.project(self.run.x, "gate"), c.shape[1])
        name = gate.get("activation", "sigmoid")
        dz = d * c * steps.slope(name, z)
        if z.shape[3] == 1:
            dz = dz.sum(axis=3, keepdims=True)
        if of_queries:
            self.gate_back = dz
        else:
            self.into["x"] = self.into["x"] + self.project_back("gate", self.run.x, rotary.join_heads(dz))
        return d * steps.activated(name, z)

    def through_context_norm(self, d):
        s, w = self.s, self.w
        if self.run.halves == 2:
            option, names = {"type": "rms", "eps": 1e-5}, ("subln.weight",)
            d = d * (1 if "lambda" in self.doc else 1 - self.doc["lambda_init"])
        else:
            gate = self.doc["gate"]
            option = {"type": "rms", "eps": gate.get("eps", 1e-6), "over": gate.get("over", "head")}
            names = ("norm.weight", "norm.scale", "o_norm.weight")
        dx, dw, _ = steps.head_norm(option, s["context"], d, w.vector(*names), None)
        if dw is not None:
            self.param(dw, *names)
        return dx

    # linear and delta

    def recur(self, d):
        run, s, doc = self.run, self.s, self.doc
        q, k, v = (s.get("mapped_" + n, last) for n, last in (("queries", run.q), ("keys", run.k), ("values", run.v)))
        group = v.shape[1] // k.shape[1]
        wide = [np.repeat(t, group, axis=1) for t in (q, k)]
        past = tensor(doc.get("past_state"))
        found = backward_recurrent.through_states(
            run.variant, *wide, v, s.get("decay"), s.get("beta"), past, run.scale(), doc.get("normalizer", False),
            run.state_offsets(k.shape[0], q.shape[2], k.shape[2]), run.kv_of, d, self.entering["state"], self.wrong)
        dq, dk, dv, d_decay, d_beta, d_past, d_states = found
        self.put("states", d_states), self.put("state", d_states[:, :, -1]), self.put("context", d)
        if past is not None:
            self.input("past_state", d_past)
        for name, value, through in (("beta", d_beta, self.beta_back), ("decay", d_decay, self.decay_back)):
            if value is not None:
                through(self.put(name, value))
        return tuple(t.reshape(t.shape[0], -1, group, *t.shape[2:]).sum(axis=2) for t in (dq, dk)) + (dv,)

    def beta_back(self, d):
        if "beta" in self.doc:
            return
        factor = self.doc.get("beta_factor", 1)
        share = self.s["beta"] / factor
        dz = d * factor * share * (1.0 - share)
        dz = dz.transpose(0, 2, 1) if dz.ndim == 3 else rotary.join_heads(dz)
        self.into["y"] = self.into["y"] + self.project_back("beta", self.run.y, dz)

    def decay_back(self, d):
        if "decay" in self.doc:
            return
        w, y = self.w, self.run.y
        heads = d.shape[1]
        a_log, dt_bias = (w.vector(name) for name in ("A_log", "dt_bias"))
        z = y @ w.matrix("decay") + (0.0 if dt_bias is None else dt_bias)
        d = d.transpose(0, 2, 1)
        self.param((d * self.s["decay"].transpose(0, 2, 1)).sum(axis=(0, 1)), "A_log")
        dz = -d * np.exp(np.zeros(heads) if a_log is None else a_log) * steps.sigmoid(z)
        self.param(dz.sum(axis=(0, 1)), "dt_bias")
        self.into["y"] = self.into["y"] + self.project_back("decay", y, dz)

    # all

    def all(self):
        d = self.finish()
        self.sources(*(self.recur(d) if self.run.variant in RECURRENT else self.attend(d)))
        result = {"d_" + n: self.d[n] for n in reversed(list(self.s)) if n in self.d}
        inputs = ["d_" + n for n in PLAIN_INPUTS]
        result |= {n: self.inputs[n] for n in inputs if n in self.inputs}
        result |= {n: v for n, v in self.inputs.items() if n not in inputs}
        heads = [p.gradients() for p in self.params]
        for name in heads[0]:
            result[name] = (np.stack([h[name] for h in heads]) if self.run.list else heads[0][name]) + 0.0
        return result


def gradients(document):
    """All gradients by name, float64; see the module."""
    with np.errstate(all="ignore"):
        return Backward(document).all()
