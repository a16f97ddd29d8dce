"""Differential attention of more keys than a block holds: every path, parts of the rows and heads and several threads give the formula's numbers."""
import json
import os
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Report, execute, parser_of, program_of  # noqa: E402

HEADS, DIM, WIDTH, LAMBDA = 4, 8, 16, 0.37
PARTS = ((), ("--rows", "7"), ("--threads", "3"), ("--rows", "5,199", "--heads", "3"))
STAGES = ("context", "context,differential_weights", "differential_weights", "mean_weights,context", "normed_context")


def stages_of(document, kv):
    """Ye et al. 2024, equations 1 and 3, in float64."""
    q, k, v = (np.array(document[name]) for name in ("queries", "keys", "values"))
    k, v = np.repeat(k, HEADS // kv, axis=1), np.repeat(v, HEADS // kv, axis=1)
    n = q.shape[2]
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(DIM)
    scores[..., np.triu(np.ones((n, n), bool), 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    first, second = (weights[:, :HEADS], weights[:, HEADS:]) if document["pairing"] == "halves" else (weights[:, 0::2], weights[:, 1::2])
    rest = first - LAMBDA * second
    context = rest @ v
    normed = context / np.sqrt(np.mean(context ** 2, axis=-1, keepdims=True) + 1e-5)
    return {"differential_weights": rest, "context": context, "normed_context": normed, "mean_weights": rest.mean(axis=1)}


def part_of(value, words, pairing):
    for flag, text in zip(words[::2], words[1::2]):
        numbers = [int(n) for n in text.split(",")]
        if flag == "--rows":
            value = value[..., numbers, :]
        if flag == "--heads" and value.ndim == 4:
            value = value[:, sorted({n % HEADS if pairing == "halves" else n // 2 for n in numbers})]
    return value


def main():
    options = parser_of(__doc__).parse_args()
    program, report, rng = program_of(options), Report(options.only), np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        for pairing, kv in (("interleaved", 4), ("halves", 2), ("interleaved", 2)):
            n = 200
            shapes = {"queries": (2, 2 * HEADS, n, DIM), "keys": (2, 2 * kv, n, DIM), "values": (2, kv, n, WIDTH)}
            document = {"variant": "differential", "dtype": "float64", "pairing": pairing, "num_heads": HEADS, "causal": True, "lambda": LAMBDA,
                        **{name: rng.standard_normal(shape).tolist() for name, shape in shapes.items()}}
            with open(os.path.join(folder, "d.json"), "w", encoding="utf-8") as file:
                json.dump(document, file)
            expected, paths = stages_of(document, kv), set()
            for words in PARTS:
                for stages in STAGES:
                    asked = ["d.json", "--stages", stages, *words]
                    plan = json.loads(execute([program, "check", "-f", "json", *asked], folder).text)
                    paths.add(plan["cost"]["path"])
                    trace = json.loads(execute([program, "run", "-f", "json", *asked], folder).text)
                    for name, stage in trace["stages"].items():
                        wanted, found = part_of(expected[name], words, pairing), np.array(stage["data"])
                        title = f"{pairing}, {kv} kv heads, {' '.join(words) or 'whole'}, {stages}: {name}"
                        if report.check(found.shape == wanted.shape, title, wanted.shape, found.shape):
                            worst = np.abs(found - wanted).max()
                            report.check(worst < 1e-12, title, "below 1e-12", worst)
            report.equal(f"{pairing}, {kv} kv heads: paths", paths, {"fused", "traced", "single rows"})
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
