"""What diff measures and seeks rather than tries: windows, heads that are read, their order, blocks, slots of a cache.

Theirs are made by numpy with a number that no list of usual ones holds; diff has to name the mistake alone, with that number.
"""
import json
import os
import sys
import tempfile

SOURCE = os.environ.get("ATTN_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "tests"))
from harness import Report, execute, json_values, parser_of, program_of  # noqa: E402

try:
    import numpy as np
except ImportError:
    print("needs numpy")
    sys.exit(77)

TOKENS, DIM, HEADS = 30, 8, 6


class Attention:
    """Causal attention of several heads, with what goes wrong as arguments."""

    def __init__(self, seed, kv=HEADS):
        rng = np.random.default_rng(seed)
        width = HEADS * DIM
        self.x = rng.normal(size=(TOKENS, width)).round(3)
        self.w = {name: (rng.normal(size=(width, n)) / np.sqrt(width)).round(4)
                  for name, n in (("W_query", width), ("W_key", kv * DIM), ("W_value", kv * DIM), ("W_out", width))}
        self.kv = kv

    def document(self, **more):
        out = {"embeddings": self.x.tolist(), "num_heads": HEADS, "causal": True,
               "weights": {k: v.tolist() for k, v in self.w.items()}, **more}
        return out if self.kv == HEADS else {**out, "num_kv_heads": self.kv}

    def stages(self, left=None, kv_heads=None, order=None, block=None, slots=0):
        split = lambda t: t.reshape(TOKENS, -1, DIM).transpose(1, 0, 2)  # noqa: E731
        q, k, v = (split(self.x @ self.w[n]) for n in ("W_query", "W_key", "W_value"))
        reads = [h * self.kv // HEADS for h in range(HEADS)] if kv_heads is None else kv_heads
        s = q @ k[reads].transpose(0, 2, 1) / np.sqrt(DIM)
        i, j = np.arange(TOKENS)[:, None], np.arange(TOKENS)
        seen = (j <= i) & (left is None or j >= i - left)
        s = np.where(seen, s, -np.inf)
        e = np.exp(s)
        if block:
            parts = [e[..., a:a + block] for a in range(0, TOKENS, block)]
            sums = [p.sum(2, keepdims=True) for p in parts]
            shown = sum(x > 0 for x in sums)
            weights = np.concatenate([p / np.where(x > 0, x, 1) for p, x in zip(parts, sums)], axis=2) / shown
        else:
            weights = e / (e.sum(2, keepdims=True) + slots)
        context = weights @ v[reads]
        joined = context[list(range(HEADS)) if order is None else order].transpose(1, 0, 2).reshape(TOKENS, -1)
        return {"weights": weights[None].tolist(), "output": (joined @ self.w["W_out"]).tolist()}


def main():
    options = parser_of(__doc__.splitlines()[0]).parse_args()
    program, report = program_of(options), Report(options.only)
    plain, shared = Attention(1), Attention(2, kv=3)
    kv_heads, order = [2, 0, 1, 1, 0, 2], [3, 5, 0, 1, 4, 2]
    cases = [
        ("window_width", plain.document(window={"left": 9}), plain.stages(left=4), "left", 4),
        ("window_width", plain.document(window={"left": 9}), plain.stages(left=14), "left", 14),
        ("kv_head_other", shared.document(), shared.stages(kv_heads=kv_heads), "kv head of each head", kv_heads),
        ("merge_head_order", plain.document(), plain.stages(order=order), "head at each place", order),
        ("blocks_averaged", plain.document(), plain.stages(block=13), "keys of a block", 13),
        ("cache_zeros", plain.document(), plain.stages(slots=77), "slots", 77),
    ]
    for right, document, stages, what, number in cases:
        for given in (["output"], ["weights", "output"]):
            name = f"{right} {number}, from {' and '.join(given)}"
            with tempfile.TemporaryDirectory() as folder:
                for file, data in (("document", document), ("theirs", {k: stages[k] for k in given})):
                    with open(os.path.join(folder, file + ".json"), "w", encoding="utf-8") as out:
                        json.dump(data, out)
                run = execute([program, "diff", "theirs.json", "document.json", "-f", "json"], folder)
            said = json_values(run.out)[0]
            report.equal(f"{name}: named", [c["id"] for c in said.get("causes", [])], [right])
            measured = (said.get("causes") or [{}])[0].get("measured", {})
            report.equal(f"{name}: measured", (measured.get("what"), measured.get("theirs")), (what, number))
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
