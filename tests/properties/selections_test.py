"""A selection (--rows, --cols, --heads, --batch, --stages) is that part of the whole, in every format that holds bits."""
import json
import sys

import drawn_cases as cases
from drawn_cases import Wrong, first_difference, np, same
from formats_test import EXACT, exact_of

sys.path.insert(0, cases.os.path.join(cases.SOURCE, "tests", "oracle"))
import tensors  # noqa: E402

AXES = {"--batch": "batch", "--heads": "head", "--rows": "query", "--cols": "key"}


class Whole:
    """All stages of a document, and what its axes are."""

    def __init__(self, tools, document):
        listed = cases.stages_of(tools, "d.json")
        self.trace = tools.trace("d.json", "--stages", ",".join(listed))
        self.stages = self.trace["stages"]
        sizes = self.trace["plan"]["sizes"]
        self.sizes = {axis: sizes[axis] for axis in ("batch", "head", "query", "key")}
        self.kv = self.stages["values"]["shape"][1]
        past = document.get("past_keys", document.get("past_latent"))
        self.past = 0 if past is None else tensors.tensor(past).shape[-2]
        self.tile = document.get("kv_head_order") == "tile"
        self.grouped = "query_key_heads" in self.trace["plan"]

        self.pairs = self.trace["plan"].get("differential")

    def halved(self, name, heads):
        """The heads of a stage of differential attention: half heads of queries and keys, heads of values and of contexts."""
        def pairs(halves, count):
            return sorted({h % count if self.pairs["pairing"] == "halves" else h // 2 for h in halves})
        if name in ("differential_weights", "context", "normed_context", "gated_context", "head_outputs"):
            return pairs(heads, self.pairs["heads"])
        self.kv = 2 * self.kv
        read = self.kv_heads(heads)
        self.kv = self.kv // 2
        return read if name.endswith("keys") else pairs(read, self.kv) if name.endswith("values") else heads

    def kv_heads(self, heads):
        group = self.sizes["head"] // self.kv
        return sorted({h % self.kv if self.tile else h // group for h in heads})

    def cut(self, name, picks):
        """A stage's part, by its axes."""
        part, axes = self.stages[name]["array"], self.stages[name]["axes"]
        for at, axis in enumerate(axes):
            if axis not in picks:
                continue
            n, wanted = part.shape[at], picks[axis]
            if axis == "head":
                if self.pairs:
                    part = np.take(part, self.halved(name, wanted) if n > 1 else [0], axis=at)
                    continue
                if n == 1 < self.sizes["head"] and self.kv > 1:
                    continue  # shared by all heads
                grouped = self.sizes["head"] // n  # each head of queries and keys is read by so many of values
                wanted = wanted if grouped == 1 else sorted({h // grouped for h in wanted}) if self.grouped else self.kv_heads(wanted)
            if axis == "key" and n != self.sizes["key"]:
                wanted = [j - self.past for j in wanted if self.past <= j < self.past + n]
            part = np.take(part, wanted, axis=at)
        return part


def check(tools, document, rng):
    tools.write("d.json", document)
    whole = Whole(tools, document)
    for _ in range(2):
        picks = {axis: cases.pick(rng, n) for axis, n in whole.sizes.items() if rng.random() < 0.5}
        names = list(whole.stages) if rng.random() < 0.5 else [list(whole.stages)[k] for k in cases.pick(rng, len(whole.stages))]
        words = [w for option, axis in AXES.items() if axis in picks for w in (option, cases.spoken(picks[axis]))]
        words += ["--stages", ",".join(names)]
        outputs = [w for f in EXACT for w in ("-o", f"part.{f}")]
        tools.good("run", "d.json", "-q", *words, *outputs)
        part = cases.with_arrays(cases.json_values(tools.read("part.json"))[0])
        if part["order"] != [n for n in whole.stages if n in names]:
            raise Wrong("other stages", f"{words}: {part['order']}")
        restricted = {axis: picks[axis] for axis in whole.sizes if axis in picks}
        said = part.get("selection", {})
        if {a: p for a, p in restricted.items() if len(p) < whole.sizes[a]} != {a: p for a, p in said.items() if len(p) < whole.sizes[a]}:
            raise Wrong("another selection is said", f"{words}: {said}")
        for axis, tokens in part["tokens"].items():
            all_tokens = whole.trace["tokens"][axis]
            expected = [all_tokens[k] for k in picks[axis]] if axis in picks else all_tokens
            if tokens != expected:
                raise Wrong("tokens are not cut alike", f"{words}: {tokens}")
        for name in part["order"]:
            need_part(name, part["stages"][name]["array"], whole.cut(name, picks), words)
        numbers = {name: part["stages"][name]["array"] for name in part["order"]}
        found = exact_of_part(tools, part)
        for form in found:
            for name in part["order"]:
                if not same(found[form][name], numbers[name]):
                    raise Wrong(f"{form} of a part", f"{words} {name} {first_difference(found[form][name], numbers[name])}")


def need_part(name, found, expected, words):
    if found.shape != expected.shape:
        raise Wrong("the shape of a part", f"{words} {name}: {found.shape}, expected {expected.shape}")
    if same(found, expected):
        return
    finite = np.abs(expected[np.isfinite(expected)])
    largest = finite.max() if finite.size else 0.0
    near = (1e-5 if found.dtype == np.float32 else 1e-13) * (1 + largest)
    if not np.allclose(found, expected, rtol=0, atol=near, equal_nan=True):
        raise Wrong("the numbers of a part", f"{words} {name} {first_difference(found, expected)}")


def exact_of_part(tools, part):
    held = np.load(tools.path("part.npz"))
    import tensor_readers
    safe, _ = tensor_readers.safetensors(tools.read("part.safetensors"))
    return {"npz": {n: held[n] for n in part["order"]}, "safetensors": {n: safe[n] for n in part["order"]}}


if __name__ == "__main__":
    sys.exit(cases.run(check, __doc__, 120))
