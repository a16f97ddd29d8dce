"""Weights by role, whatever family of names they come under: section 4 of the contract.

Every matrix is handed out as [d_in, d_out] for x · W. Families: mathematics (W_query), nn.Linear state dicts
(q_proj.weight, [d_out, d_in]), nn.MultiheadAttention (in_proj_weight [3E, E]), GPT-2 / nanoGPT (c_attn.weight [E, 3E] or
[3E, E]), TransformerLens (W_Q [head, d_model, d_head]). Sources: the PyTorch documentation of nn.Linear and
nn.MultiheadAttention, Radford et al. 2019 (GPT-2, transformers' Conv1D), TransformerLens' Attention component.
"""
import numpy as np

from tensors import tensor

MATH = {"query": "W_query", "key": "W_key", "value": "W_value", "out": "W_out", "gate": "W_gate", "score": "W_score",
        "decay": "W_decay", "beta": "W_beta", "DQ": "W_DQ", "UQ": "W_UQ", "DKV": "W_DKV", "UK": "W_UK", "UV": "W_UV",
        "KR": "W_KR"}
LINEAR = {"query": ["q_proj", "query", "q"], "key": ["k_proj", "key", "k"], "value": ["v_proj", "value", "v"],
          "out": ["out_proj", "o_proj", "o"], "decay": ["W_alpha"]}
BIAS = {"query": "b_query", "key": "b_key", "value": "b_value", "out": "b_out", "gate": "b_gate"}
LENS = {"query": "Q", "key": "K", "value": "V", "out": "O"}
PACKED = ("query", "key", "value")


class Weights:
    """The weights of one document, or of one head of stacked_heads."""

    def __init__(self, given):
        given = dict(given or {})
        self.layout = given.pop("weight_layout", None)
        prefix = given.pop("prefix", "")
        self.given = {k[len(prefix):]: v for k, v in given.items() if k.startswith(prefix)}

    def has(self, name):
        return name in self.given

    def vector(self, *names):
        """A tensor that has no layout (a bias, a norm, A_log), flat; None if absent."""
        for name in names:
            if name in self.given:
                return tensor(self.given[name]).reshape(-1)
        return None

    def _plain(self, name, default):
        m = tensor(self.given[name])
        return m.T if (self.layout or default) == "out_in" else m

    def matrix(self, role):
        """[d_in, d_out] or None."""
        names = [MATH[role]] + (["W_alpha"] if role == "decay" else [])
        for name in names:
            if name in self.given:
                return self._plain(name, "in_out")
        for name in [MATH[role]] + LINEAR.get(role, []):
            if name + ".weight" in self.given:
                return self._plain(name + ".weight", "out_in")
        if role in LENS and "W_" + LENS[role] in self.given:
            t = tensor(self.given["W_" + LENS[role]])
            if role == "out":  # [head, d_head, d_model]
                return t.reshape(-1, t.shape[2])
            return np.concatenate(list(t), axis=1)  # heads side by side
        if role in PACKED:
            return self._packed(role)
        if role == "out" and self.has("c_proj.weight"):
            m = tensor(self.given["c_proj.weight"])
            return m.T if self._gpt_is_nano() else m
        return None

    def _gpt_is_nano(self):
        rows, columns = tensor(self.given["c_attn.weight"]).shape
        return rows == 3 * columns

    def _packed(self, role):
        part = PACKED.index(role)
        if self.has(role[0] + "_proj_weight"):
            return tensor(self.given[role[0] + "_proj_weight"]).T
        if self.has("in_proj_weight"):
            return np.split(tensor(self.given["in_proj_weight"]), 3)[part].T
        if self.has("c_attn.weight"):
            m = tensor(self.given["c_attn.weight"])
            m = m.T if self._gpt_is_nano() else m
            return np.split(m, 3, axis=1)[part]
        return None

    def bias(self, role):
        """[d_out] or None."""
        names = [BIAS.get(role, "b_" + role)]
        names += [n + ".bias" for n in [MATH[role]] + LINEAR.get(role, [])]
        if role in LENS:
            names.append("b_" + LENS[role])
        if role == "out":
            names.append("c_proj.bias")
        found = self.vector(*names)
        if found is None and role in PACKED:
            packed = self.vector("in_proj_bias", "c_attn.bias")
            if packed is not None:
                found = np.split(packed, 3)[PACKED.index(role)]
        return found

    def project(self, x, role):
        """x · W + b; None if there is no such matrix."""
        m = self.matrix(role)
        if m is None:
            return None
        b = self.bias(role)
        return x @ m + (0.0 if b is None else b)

    def heads_of(self, role):
        """The head axis of a TransformerLens weight, or None."""
        name = "W_" + LENS[role]
        return tensor(self.given[name]).shape[0] if name in self.given else None
