"""Checks backward.py by itself: PyTorch's cases, central differences of reference.py, and laws.

    backward_test.py [--count 500] [--seed 1]

Cases: data/cases/gradients, PyTorch's autograd. Differences: random documents of generate.py with a "gradient"; the loss that the
document means, along a random direction of all stages, inputs and parameters at once, each weighted so that none hides the
others; where that fails, one by one. Central differences of three steps, extrapolated twice, and from smaller steps where these
are not small enough (behind a norm of a row of zeros); where they do not agree among themselves (a kink at hand, a sum of scores
near 0) nothing is concluded, and few may be so. Laws: what holds between
gradients of one document whatever its numbers are (sums of rows, equal products, norms kept).
"""
import argparse
import json
import os
import pathlib
import random
import sys

try:
    import numpy as np
except ImportError:
    print("needs numpy")
    sys.exit(77)

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import backward  # noqa: E402
import drawn  # noqa: E402
import generate  # noqa: E402
from backward_scores import SCORES  # noqa: E402
from reference import RECURRENT, compute  # noqa: E402
from rotary import join_heads  # noqa: E402
from self_check import difference  # noqa: E402
from tensors import batched, four_axes, tensor, without_comments  # noqa: E402

STEPS = 2e-3, 1e-4, 4e-6
NEAR = 1e-6
UNCLEAR = 0.03  # the largest share of documents with something that differences do not decide


# cases

def wrong_cases(folder):
    for path in sorted(folder.glob("*.json")):
        case = json.loads(path.read_text())
        found = {**compute(case["input"]), **backward.gradients(case["input"])}
        for name, value in {**case["expect"], **case.get("expect_by_name", {})}.items():
            if name not in found:
                yield "%s: %s is not there" % (path.stem, name)
            elif found[name].shape != tensor(value).shape:
                yield "%s: %s has shape %s" % (path.stem, name, found[name].shape)
            else:
                wrong = difference(found[name], tensor(value), case["atol"], case["rtol"])
                if wrong:
                    yield "%s: %s %s" % (path.stem, name, wrong)


# differences

def loss(document, stages):
    """The number whose gradient the document asks for."""
    option = document["gradient"]
    option = {"loss": "sum"} if option == "ones" else option
    name = next(n for n in ("output", "normed_concat", "concat", "gated_context", "normed_context", "context") if n in stages)
    y = stages[name] if stages[name].ndim == 3 else join_heads(stages[name])
    total = 0.0
    if "output" in option:
        total += np.sum(y * batched(option["output"]))
    if option.get("loss") == "sum":
        total += np.sum(y)
    if option.get("loss") == "mean_squared_error":
        total += np.mean((y - batched(option["target"])) ** 2)
    for stage in ("context", "state"):
        if stage in option:
            total += np.sum(stages[stage] * four_axes(option[stage]))
    return total


def changed(value, path, make):
    """The document with make(what is at the path) there."""
    if not path:
        return make(value)
    other = list(value) if isinstance(value, list) else dict(value)
    other[path[0]] = changed(value[path[0]], path[1:], make)
    return other


class Moved:
    """A document moved along directions of its gradients."""

    def __init__(self, document):
        self.document = drawn.resolved(without_comments(document))
        self.leaves = backward.leaves(self.document)

    def loss(self, directions, step):
        nudges, document = {}, self.document
        for name, direction in directions.items():
            if name not in self.leaves:
                nudges[name[2:]] = step * direction
                continue
            paths = self.leaves[name]
            for path, part in zip(paths, direction if len(paths) > 1 else [direction]):
                def moved(t, part=part):
                    return tensor(t) + step * np.asarray(part).reshape(tensor(t).shape)
                document = changed(document, path, moved)
        return loss(document, compute(document, nudges))

    def slope(self, directions, step):
        """(the derivative, how far its last two extrapolations are apart)."""
        central = [(self.loss(directions, h) - self.loss(directions, -h)) / (2 * h) for h in (step, step / 2, step / 4)]
        once = [(4 * b - a) / 3 for a, b in zip(central, central[1:])]
        best = (16 * once[1] - once[0]) / 15
        return best, abs(best - once[1])

    def judge(self, directions, found):
        """True or false, or None where the differences are not near enough to one another."""
        want = sum(np.sum(found[n] * d) for n, d in directions.items())
        scale = sum(np.sqrt(np.sum((found[n] * d) ** 2)) for n, d in directions.items())
        here = loss(self.document, compute(self.document))
        plain = 1.0 + abs(here)
        for step in STEPS:
            got, apart = self.slope(directions, step)
            noise = plain * 2e-14 / step
            if abs(got - want) <= NEAR * scale + noise:
                return True
        if scale * step > 10 * plain:  # no step is small here: weights that sum to nearly 0
            return None
        bend = abs(self.loss(directions, step) + self.loss(directions, -step) - 2 * here) / step
        return None if not np.isfinite(got) or max(apart + noise, 0.1 * bend) > 0.01 * abs(got - want) else False


def wrong_slopes(document, found, rng):
    """(wrong names, unclear names)."""
    moved = Moved(document)
    found = {n: d for n, d in found.items() if n != "d_state"}  # d_states holds it
    norms = {n: np.sqrt(np.sum(d * d)) for n, d in found.items()}
    least = min((n for n in norms.values() if n > 0), default=1.0)
    directions = {n: rng.choice((-1.0, 1.0), size=d.shape) * (max(1e-3, least / norms[n]) if norms[n] > 0 else 1.0)
                  for n, d in found.items()}
    if moved.judge(directions, found):
        return [], []
    verdicts = {n: moved.judge({n: np.sign(directions[n])}, found) for n in found}
    return [n for n, v in verdicts.items() if v is False], [n for n, v in verdicts.items() if v is None]


# laws

def close(a, b, scale):
    return np.all(np.abs(a - b) <= 1e-9 * (1.0 + scale))


def broken_laws(document, stages, found):
    doc = without_comments(document)
    size = max(np.max(np.abs(d), initial=0.0) for d in found.values())
    if "d_weights" in found:
        read = [n for n in stages if n in SCORES][-1]
        rows = found["d_" + read].sum(axis=3)
        if doc.get("normalize", "softmax") == "softmax":
            if "sinks" in doc:
                if not close(rows.sum(axis=(0, 2)) + found["d_sinks"], 0.0, size * rows.size):
                    yield "with sinks, d_%s of a head and d_sink sum to 0" % read
            elif not close(rows, 0.0, size):
                yield "rows of d_%s sum to 0" % read
        last = [n for n in stages if n.endswith("weights") and n != "mean_weights"][-1]
        if np.allclose(stages[last].sum(axis=3), 1.0, rtol=0, atol=1e-14):
            d = found["d_" + [n for n in stages if n.endswith("values")][-1]]
            if not close(d.sum(axis=(1, 2)), found["d_context"].sum(axis=(1, 2)), size * d.shape[2]):
                yield "d_values sum to d_context where rows of weights sum to 1"
    if "d_scores" in found and doc.get("variant") != "additive":
        q, k = (next((n for n in reversed(stages) if n.endswith(side)), None) for side in ("queries", "keys"))
        k = "all_keys" if "all_keys" in stages else "rotated_keys" if "rotated_keys" in stages and k == "rope_keys" else k
        sums = [np.sum(stages[n] * found["d_" + n]) for n in (q, k, "scores")]
        if not (close(sums[0], sums[1], np.abs(stages[q] * found["d_" + q]).sum()) and
                close(sums[1], sums[2], np.abs(stages["scores"] * found["d_scores"]).sum())):
            yield "the products of queries, keys and scores with their gradients are equal"
    rope = doc.get("rope")
    if rope is not None and not {"cos", "scaling"} & set(rope):
        for name in ("queries", "keys"):
            before = [n for n in stages if n.endswith(name)]
            at = before.index("rotated_" + name) if "rotated_" + name in before else 0
            if at and "rope_keys" not in stages:
                rows = [np.sum(found["d_" + before[at - n]] ** 2, axis=3) for n in (0, 1)]
                if before[at - 1] == "normed_" + name and "clip_qkv" in doc:
                    continue
                if not close(rows[0], rows[1], np.max(rows[0], initial=0.0)):
                    yield "rope keeps the norms of rows of d_" + name


# all

def arguments():
    parser = argparse.ArgumentParser(description="Check the oracle of gradients by itself.")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one", type=int, help="only this document, with names of all that is wrong or unclear")
    return parser.parse_args()


def main():
    chosen = arguments()
    source = pathlib.Path(os.environ.get("ATTN_SOURCE", pathlib.Path(__file__).parents[2]))
    failures = list(wrong_cases(source / "data" / "cases" / "gradients"))
    unclear = judged = 0
    for number in range(chosen.count) if chosen.one is None else [chosen.one]:
        only = RECURRENT if number % 3 == 0 else None
        document = generate.document(random.Random(chosen.seed * 1000003 + number), 4, only, width=4, heads=3, gradient=True)
        document = json.loads(json.dumps(document))
        found = backward.gradients(document)
        for name, d in found.items():
            if np.any(np.signbit(d) & (d == 0)):
                failures.append("document %d: -0 in %s" % (number, name))
        if not all(np.isfinite(d).all() for d in found.values()):
            continue  # rows of NaN have no differences
        judged += 1
        wrong, open_ = wrong_slopes(document, found, np.random.default_rng(number))
        unclear += bool(open_)
        failures += ["document %d: differences give another %s" % (number, name) for name in wrong]
        failures += ["document %d: %s, but not here" % (number, law) for law in broken_laws(document, compute(document), found)]
        if chosen.one is not None:
            print(json.dumps(document), "\nunclear: %s" % open_)
    for failure in failures[:20]:
        print("FAILED " + failure)
    if unclear > UNCLEAR * judged + 1:
        failures.append("unclear")
        print("FAILED differences decide nothing in %d documents" % unclear)
    print("%d documents judged by differences, %d of them not in all parts; %d failures" % (judged, unclear, len(failures)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
