"""Weights by role, whatever family of names they come under: section 4 of the contract.

Every matrix is handed out as [d_in, d_out] for x · W. Families: mathematics (W_query), nn.Linear state dicts
(q_proj.weight, [d_out, d_in]), nn.MultiheadAttention (in_proj_weight [3E, E]), GPT-2 / nanoGPT (c_attn.weight [E, 3E] or
[3E, E]), TransformerLens (W_Q [head, d_model, d_head]); packed ones of many models (PACKED_NAMES) in blocks of some heads of queries, of keys and of values. Sources: the PyTorch documentation of nn.Linear and
nn.MultiheadAttention, Radford et al. 2019 (GPT-2, transformers' Conv1D), TransformerLens' Attention component.
"""
import numpy as np

from tensors import tensor

MATH = {"query": "W_query", "key": "W_key", "value": "W_value", "out": "W_out", "gate": "W_gate", "score": "W_score",
        "decay": "W_decay", "beta": "W_beta", "DQ": "W_DQ", "UQ": "W_UQ", "DKV": "W_DKV", "UK": "W_UK", "UV": "W_UV",
        "KR": "W_KR"}
LINEAR = {"query": ["q_proj", "query", "q", "q_lin", "wq", "to_q", "linears.0", "attn_q", "query_proj", "Wq", "W_q"],
          "key": ["k_proj", "key", "k", "k_lin", "wk", "to_k", "linears.1", "attn_k", "key_proj", "Wk", "W_k"],
          "value": ["v_proj", "value", "v", "v_lin", "wv", "to_v", "linears.2", "attn_v", "value_proj", "Wv", "W_v"],
          "out": ["out_proj", "o_proj", "o", "dense", "Wo", "attn_output", "out_lin", "wo", "to_out.0", "linears.3", "W_o"],
          "DQ": ["q_a_proj"], "UQ": ["q_b_proj"],
          "decay": ["W_alpha", "a_proj", "in_proj_a"], "beta": ["b_proj", "in_proj_b"], "gate": ["g_proj", "output_gate", "in_proj_z"]}
BIAS = {"query": "b_query", "key": "b_key", "value": "b_value", "out": "b_out", "gate": "b_gate"}
KERNELS = {"query": "query", "key": "key", "value": "value", "out": "attention_output"}  # Keras: [d_in, heads, dim], [heads, dim, d_out]
SHORT = {"query": ("W_q", "Wq", "b_q", "bq"), "key": ("W_k", "Wk", "b_k", "bk"), "value": ("W_v", "Wv", "b_v", "bv"), "out": ("W_o", "Wo", "b_o", "bo")}
LENS = {"query": "Q", "key": "K", "value": "V", "out": "O"}
PACKED = ("query", "key", "value")
PACKED_NAMES = ("query_key_value", "Wqkv", "qkv_proj", "qkv", "attn_qkv", "in_proj_qkv")
SETTINGS = ("weight_layout", "packed", "order", "packed_blocks")


class Weights:
    """The weights of one document, or of one head of stacked_heads."""

    def __init__(self, given, heads=1, kv_heads=1, gated=False, value_heads=1):
        given = dict(given or {})
        self.layout, self.packing, self.order, self.blocks = (given.pop(name, None) for name in SETTINGS)
        prefix, ours = given.pop("prefix", ""), {theirs: name for name, theirs in given.pop("names", {}).items()}
        self.given = {ours.get(k[len(prefix):], k[len(prefix):]): v for k, v in given.items() if k.startswith(prefix)}
        self.theirs = {name: theirs for theirs, name in ours.items()}
        self.heads, self.kv_heads, self.value_heads, self.wide = heads, kv_heads, value_heads, 2 if gated else 1

    def has(self, name):
        return name in self.given

    def vector(self, *names):
        """A tensor that has no layout (a bias, a norm, A_log), flat; None if absent."""
        for name in names:
            if name in self.given:
                return tensor(self.given[name]).reshape(-1)
        return None

    def of_heads(self, *names):
        """The same, as it is written: [dim] or [heads, dim]."""
        by_head = [n.replace("_norm", "_layernorm.norms.%d") for n in names if n.endswith((".weight", ".bias"))]
        for name in by_head:
            if name % 0 in self.given:
                count = sum(1 for given in self.given if given.startswith(name.split("%")[0]) and given.endswith(name.rsplit(".", 1)[1]))
                return np.stack([tensor(self.given[name % h]) for h in range(count)])
        names += tuple(n.replace("_norm", "_layernorm") for n in names)
        return next((tensor(self.given[name]) for name in names if name in self.given), None)

    def _plain(self, name, default):
        m = tensor(self.given[name])
        return m.T if (self.layout or default) == "out_in" else m

    def matrix(self, role):
        """[d_in, d_out] or None."""
        names = [MATH[role]] + (["W_alpha"] if role == "decay" else []) + list(SHORT.get(role, ()))[:2]
        for name in names:
            if name in self.given:
                return self._plain(name, "in_out")
        for name in [MATH[role]] + LINEAR.get(role, []):
            if name + ".weight" in self.given:
                return self._plain(name + ".weight", "out_in")
        if role in KERNELS and KERNELS[role] + "/kernel" in self.given:
            t = tensor(self.given[KERNELS[role] + "/kernel"])
            return t.reshape(-1, t.shape[-1]) if role == "out" or t.ndim == 2 else t.reshape(t.shape[0], -1)
        if role in ("DKV", "KR") and self.has("kv_a_proj_with_mqa.weight"):
            m = self._plain("kv_a_proj_with_mqa.weight", "out_in")
            narrow = self._plain("kv_b_proj.weight", "out_in").shape[0]
            return m[:, :narrow] if role == "DKV" else m[:, narrow:] if m.shape[1] > narrow else None
        if role in ("UK", "UV") and self.has("kv_b_proj.weight"):
            m = self._plain("kv_b_proj.weight", "out_in").reshape(-1, self.heads, self._plain("kv_b_proj.weight", "out_in").shape[1] // self.heads)
            turned = self.matrix("KR")
            queries = self.matrix("query") if self.matrix("query") is not None else self.matrix("UQ")
            key = queries.shape[1] // self.heads - (0 if turned is None else turned.shape[1])
            part = m[..., :key] if role == "UK" else m[..., key:]
            return part.reshape(part.shape[0], -1)
        if role in LENS and "W_" + LENS[role] in self.given:
            t = tensor(self.given["W_" + LENS[role]])
            if role == "out":  # [head, d_head, d_model]
                return t.reshape(-1, t.shape[2])
            return np.concatenate(list(t), axis=1)  # heads side by side
        if role in PACKED:
            return self._packed(role)
        if role == "gate" and self.has("in_proj_qkvz.weight"):
            return self._of_heads(tensor(self.given["in_proj_qkvz.weight"]), self.value_dims(), 3)
        if role in ("beta", "decay") and self.has("in_proj_ba.weight"):
            group = self.value_heads // self.kv_heads
            return self._of_heads(tensor(self.given["in_proj_ba.weight"]), (group, group), ("beta", "decay").index(role))
        if role == "out" and self.has("c_proj.weight"):
            m = tensor(self.given["c_proj.weight"])
            return m.T if self._gpt_is_nano() else m
        return None

    def _gpt_is_nano(self):
        rows, columns = tensor(self.given["c_attn.weight"]).shape
        return rows == 3 * columns or self.heads != self.kv_heads  # GPT-BigCode: one head of keys, a nn.Linear

    def _packed(self, role):
        part = PACKED.index(role)
        if self.has(role[0] + "_proj_weight"):
            return tensor(self.given[role[0] + "_proj_weight"]).T
        if self.has("in_proj_weight"):
            return self._part(tensor(self.given["in_proj_weight"]), part).T
        if self.has("c_attn.weight"):
            m = tensor(self.given["c_attn.weight"])
            return self._part(m if self._gpt_is_nano() else m.T, part).T
        if self.has("in_proj_qkvz.weight"):
            return self._of_heads(tensor(self.given["in_proj_qkvz.weight"]), self.value_dims(), part)
        for name in PACKED_NAMES:
            if self.has(name + ".weight"):
                m = tensor(self.given[name + ".weight"])
                return self._part(m.T if self.layout == "in_out" else m, part).T
        return None

    def _of_heads(self, m, widths, part):
        """[d_in, d_out] of the rows of a part, key head by key head."""
        m = m.T if self.layout == "in_out" else m
        return np.concatenate([np.split(head, np.cumsum(widths)[:-1])[part] for head in np.split(m, self.kv_heads)]).T

    def value_dims(self):
        """Rows of q, k, v and z for each head of keys in in_proj_qkvz (Qwen3-Next); the norm's weight has the width of a value."""
        rows = tensor(self.given["in_proj_qkvz.weight"]).shape[1 if self.layout == "in_out" else 0] // self.kv_heads
        group = self.value_heads // self.kv_heads
        norm = self.vector("norm.weight", "o_norm.weight")
        dv = rows // (2 + 2 * group) if norm is None else len(norm)
        dk = (rows - 2 * group * dv) // 2
        return dk, dk, group * dv, group * dv

    def _part(self, m, part):
        """The rows of queries (part 0), keys or values. In each block: some heads of each, in the order that is asked for."""
        packing = self.packing or ("groups" if self.has("query_key_value.weight") else "stacked")
        blocks = self.kv_heads if packing in ("groups", "heads") else self.blocks or 1
        shares = {"q": self.wide * self.heads, "k": self.kv_heads, "v": self.value_heads}
        rows = []
        for block in np.split(m, blocks):
            order = self.order or "qkv"
            ends = np.cumsum([shares[c] for c in order])[:-1] * len(m) // sum(shares.values()) // blocks
            rows.append(np.split(block, ends)[order.index("qkv"[part])])
        return np.concatenate(rows)

    def bias(self, role):
        """[d_out] or None."""
        names = [BIAS.get(role, "b_" + role)] + list(SHORT.get(role, ()))[2:] + [KERNELS.get(role, "") + "/bias"]
        names += [n + ".bias" for n in [MATH[role]] + LINEAR.get(role, [])]
        if role in LENS:
            names.append("b_" + LENS[role])
        if role == "out":
            names.append("c_proj.bias")
        found = self.vector(*names)
        if found is None and role in PACKED:
            packed = self.vector("in_proj_bias", "c_attn.bias", *(name + ".bias" for name in PACKED_NAMES))
            if packed is not None:
                found = np.split(packed, 3)[PACKED.index(role)] if self.has("q_proj_weight") else self._part(packed, PACKED.index(role))
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
