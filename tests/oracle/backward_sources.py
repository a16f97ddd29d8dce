"""The part of backward.py between what the scores or states are made of and the embeddings."""
import numpy as np

import backward_steps as steps
import rotary
from tensors import batched, tensor


class Sources:
    def sources(self, dq, dk, dv):
        run, doc = self.run, self.doc
        if "all_keys" in self.s:
            dk, dv = self.through_all(self.put("all_keys", dk), self.put("all_values", dv))
        found = {}
        for side, d in (("queries", dq), ("keys", dk), ("values", dv)):
            chain = [n for n in self.s if n.endswith(side) and n not in ("all_" + side, "rope_" + side)]
            for name, before in zip(chain[:0:-1], chain[-2::-1]):
                how = getattr(self, "through_" + name.split("_")[0])
                d = how(side, self.s[before], self.put(name, d))
            found[side] = self.put(side, d)
        if "queries" in doc:
            return
        if run.variant == "latent":
            self.latents(found)
        else:
            self.projections(found)
        self.embeddings()

    def through_all(self, dk, dv):
        """Cuts what was put side by side: the cache, the new ones, bias_k and bias_v; the row of zeros learns nothing."""
        past, given = self.run.past, self.run.given
        if past and self.run.variant == "latent":
            self.past_parts = dk[:, :, :past], dv[:, :, :past]
        elif past:
            self.input("past_keys", dk[:, :, :past]), self.input("past_values", dv[:, :, :past])
        if self.w.has("bias_k"):
            self.param(dk[:, :, given].sum(axis=0), "bias_k")
            self.param(dv[:, :, given].sum(axis=0), "bias_v")
        return dk[:, :, past:given], dv[:, :, past:given]

    def through_mapped(self, _side, x, d):
        return d * steps.slope(self.doc["feature_map"], x)

    def through_tempered(self, _side, x, d):
        rope = self.run.turning("rope_keys" in self.s)
        return d * rotary.query_scale(self.doc["query_scale"], np.ones(x.shape), self.run.past, rope)

    def through_rotated(self, side, x, d):
        rope = dict(self.doc.get("rope") or {})
        counts = {"query": self.s["queries"].shape[2], "key": self.s["keys"].shape[2]}
        word = "query" if side == "queries" else "key"
        if "rope_keys" not in self.s:
            return steps.turn_back(d, *self.turns(rope, counts, d.shape[3], word))
        width = rope["dims"] = self.s["rope_keys"].shape[3]
        last = d[..., -width:]
        if side == "keys":
            self.put("rope_keys", last.sum(axis=1, keepdims=True))
            shared = steps.turn_back(self.d["rope_keys"], *self.turns(rope, counts, width, word))
            self.into["y"] = self.into["y"] + self.project_back("KR", self.run.y, shared[:, 0])
            return d[..., :-width]
        return np.concatenate([d[..., :-width], steps.turn_back(last, *self.turns(rope, counts, width, word))], axis=3)

    def turns(self, rope, counts, dim, side):
        cos, sin, dims = rotary.tables(rope, counts, self.run.past, dim, side)
        return cos, sin, rope.get("pairs", "half"), dims

    def passes(self, x, what):
        """Where clip_qkv let x pass."""
        return self.run.clip(what)(x) == x

    def through_normed(self, side, x, d):
        option = self.doc["value_norm" if side == "values" else "qk_norm"]
        name = {"queries": "q_norm", "keys": "k_norm", "values": "v_norm"}[side]
        weights = (name + ".weight", name + ".scale"), (name + ".bias",)
        weight, bias = (self.w.of_heads(*names) for names in weights)
        d = np.where(self.passes(rotary.qk_norm(option, x, weight, bias), "normed"), d, 0.0)
        dx, *rest = steps.head_norm(option, x, d, weight, bias)
        for names, value in zip(weights, rest):
            if value is not None:
                self.params[0].add(value, self.params[0].cells.of_heads(*names))
        return dx

    def through_convolved(self, side, x, d):
        parts = [self.s[n] for n in ("queries", "keys", "values")]
        widths = [p.shape[1] * p.shape[3] for p in parts]
        ends = np.cumsum([0] + widths)
        at = ("queries", "keys", "values").index(side)
        own = slice(int(ends[at]), int(ends[at + 1]))
        whole = self.w.vector("conv1d.weight") is not None
        prefix = "" if whole else side[0] + "_"

        def mine(t):
            return t if t is None or not whole else t.reshape(int(ends[3]), -1)[own]
        cells = self.params[0].cells
        names = prefix + "conv1d.weight", prefix + "conv1d.bias"
        taps, bias = (mine(self.w.vector(n)) for n in names)
        before = self.doc.get("past_conv")
        before = None if before is None else tensor(before).reshape(x.shape[0], int(ends[3]), -1)
        silu = self.doc["conv"].get("activation", "silu") == "silu"
        dx, dtaps, dbias, dbefore = steps.convolution(x, taps.reshape(widths[at], -1), None if bias is None else bias.reshape(-1),
                                                      None if before is None else before[:, own], silu, d)
        for name, value in zip(names, (dtaps, dbias)):
            if cells.vector(name) is not None:
                self.params[0].add(value, mine(cells.vector(name)))
        if before is not None:
            self.past_conv = getattr(self, "past_conv", np.zeros(before.shape))
            self.past_conv[:, own] = dbefore
            self.input("past_conv", self.past_conv)
        return dx

    def latents(self, found):
        """Queries, keys and values of latent attention, and the cached latents, which W_UK and W_UV read too."""
        run, s = self.run, self.s

        def up(dk, dv, latent):
            return self.project_back("UK", latent, rotary.join_heads(dk)) + self.project_back("UV", latent, rotary.join_heads(dv))

        def down(name, d, role, weight, side):
            """From what is projected upwards to the embeddings."""
            if "normed_" + name in s:
                d = self.put("normed_" + name, d)
                dn, n = steps.norm(s[name], d * self.w.vector(weight), "rms", 1e-6)
                self.param((d * n).sum(axis=(0, 1)), weight)
                d = dn
            source = {"x": run.x, "y": run.y}[side]
            self.into[side] = self.into[side] + self.project_back(role, source, self.put(name, d))
        latent = s.get("normed_latent", s["latent"])
        down("latent", up(found["keys"], found["values"], latent), "DKV", "kv_a_layernorm.weight", "y")
        dq = rotary.join_heads(found["queries"])
        if "query_latent" in s:
            d = self.project_back("UQ", s.get("normed_query_latent", s["query_latent"]), dq)
            down("query_latent", d, "DQ", "q_a_layernorm.weight", "x")
        else:
            self.into["x"] = self.into["x"] + self.project_back("query", run.x, dq)
        if hasattr(self, "past_parts"):
            dk, dv = self.past_parts
            if "rope_keys" in s:
                width = s["rope_keys"].shape[3]
                self.input("past_rope_keys", dk[..., -width:].sum(axis=1))
                dk = dk[..., :-width]
            given = tensor(self.doc["past_latent"])
            past = given.reshape(dk.shape[0], -1, given.shape[-1])
            self.input("past_latent", up(dk, dv, past))

    def projections(self, found):
        run = self.run
        roles = (("query", "queries", "x"), ("key", "keys", "y"), ("value", "values", "z"))
        sources = {"x": run.x, "y": run.y, "z": run.z}
        for (role, side, letter), raw in zip(roles, run.raw):
            d = found[side]
            clipped = "values" if side == "values" else "projected"
            if side != "values" or not ("value_norm" in self.doc and run.clip(clipped).after_norm):
                d = np.where(self.passes(raw, clipped), d, 0.0)
            if side == "queries" and self.gate_back is not None:
                d = np.concatenate([d, self.gate_back], axis=3)
            elif side == "queries" and run.gate is not None:
                d = np.concatenate([d, np.zeros(run.gate.shape)], axis=3)
            if run.list:
                back = sum(self.project_back(role, sources[letter], d[:, h], h) for h in range(d.shape[1]))
            elif run.variant == "simplified" or run.variant == "multiplicative" and role != "value":
                back = rotary.join_heads(d)
            else:
                back = self.project_back(role, sources[letter], rotary.join_heads(d))
            self.into[letter] = self.into[letter] + back

    def embeddings(self):
        """Sums over uses; then the norm before the attention."""
        doc, into = self.doc, self.into
        if "value_embeddings" in doc:
            self.input("value_embeddings", into["z"])
        else:
            into["y"] = into["y"] + into["z"]
        if "key_embeddings" not in doc:
            into["x"] = into["x"] + into["y"]
        option = doc.get("embeddings_norm", {})
        sums = {n: 0.0 for n in ("weight", "bias") if option.get(n) is not None}
        for stage, name, letter in (("normed_key_embeddings", "key_embeddings", "y"), ("normed_embeddings", "embeddings", "x")):
            if name not in doc:
                continue
            d = into[letter]
            if stage in self.s:
                d = self.put(stage, d)
                dx, n = self.norm(batched(doc[name]), d, option, tensor(option.get("weight")))
                sums = {part: total + (d * n if part == "weight" else d).sum(axis=(0, 1)) for part, total in sums.items()}
                d = dx
            self.input(name, d)
        for name, value in sums.items():
            self.input("embeddings_norm." + name, value, tensor(option[name]).shape)
