"""Settings of released models, data/examples/models: every stage against the oracle's formulas, in both dtypes.

What else a document claims is checked against its source's formula: the buckets of T5's table, YaRN's angles in GPT-OSS,
heads and keys' heads in the proportion of the configurations, and that docs/models.md has a row for each file.
"""
import json
import math
import os
import re
import subprocess
import sys

try:
    import numpy as np
except ImportError:
    print("needs numpy")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Report, parser_of, program_of  # noqa: E402

sys.path.insert(0, os.path.join(SOURCE, "tests", "oracle"))
from judge import Expected, judge  # noqa: E402

FOLDER = os.path.join(SOURCE, "data", "examples", "models")
# heads and heads of keys and values in each model's config.json (of the size that the comment names)
HEADS = {"gpt2": (12, 12), "bert": (12, 12), "t5": (8, 8), "llama3": (32, 8), "mistral": (32, 8), "gemma2": (32, 16),
         "gemma3": (8, 4), "qwen3": (32, 8), "gpt_oss": (64, 8), "deepseek": (128, 128), "vit": (12, 12),
         "whisper_cross": (6, 6)}
# options that have to stand in the document as the configuration has them
OPTIONS = {"t5": {"scale": "none"}, "llama3": {"rope": {"base": 500000, "pairs": "half"}},
           "mistral": {"rope": {"base": 10000, "pairs": "half"}, "window": {"left": 2}},
           "gemma2": {"softcap": 50, "rope": {"base": 10000, "pairs": "half"}, "window": {"left": 2}},
           "gemma3": {"qk_norm": {"type": "rms", "eps": 1e-6, "plus_one": True}, "rope": {"base": 10000, "pairs": "half"}},
           "qwen3": {"qk_norm": {"type": "rms", "eps": 1e-6, "over": "head"}, "rope": {"base": 1000000, "pairs": "half"}},
           "deepseek": {"rope": {"base": 10000, "pairs": "interleaved"}}}
# stages that tell the model from plain attention, and those that it does not have
STAGES = {"gpt2": ("masked_scores output", "rotated_queries"), "bert": ("masked_scores concat", "output"),
          "t5": ("biased_scores output", "scaled_scores masked_scores"), "llama3": ("rotated_keys", "normed_keys"),
          "mistral": ("rotated_keys masked_scores", "capped_scores"), "gemma2": ("capped_scores masked_scores", "normed_keys"),
          "gemma3": ("normed_queries rotated_queries", "capped_scores"), "qwen3": ("normed_keys rotated_keys", "capped_scores"),
          "gpt_oss": ("rotated_keys masked_scores", "biased_scores"), "deepseek": ("latent rope_keys rotated_keys", "normed_keys"),
          "vit": ("output", "masked_scores"), "whisper_cross": ("output", "masked_scores")}


def trace_of(program, path, *options):
    done = subprocess.run([program, path, "-f", "json", *options], capture_output=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr.decode()


def bucket(distance, buckets=32, most=128):
    """T5's bucket of key - query in an encoder: Raffel et al. 2020, relative_position_bucket of their code."""
    half = buckets // 2
    base, d, exact = half * (distance > 0), abs(distance), half // 2
    if d < exact:
        return base + d
    return base + min(half - 1, exact + int(math.log(d / exact) / math.log(most / exact) * (half - exact)))


def yarn(positions, dims, base, factor, length, fast, slow):
    """cos and sin times YaRN's attention factor: Peng et al. 2023, arXiv 2309.00071, sections 3.2 and 3.4."""
    def place(turns):
        return dims * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(base))
    low, high = max(place(fast), 0), min(place(slow), dims - 1)
    n = np.arange(dims // 2)
    ramp = np.clip((n - low) / (high - low), 0, 1)
    plain = base ** (-2.0 * n / dims)
    angle = np.outer(np.arange(positions), plain / factor * ramp + plain * (1 - ramp))
    m = 0.1 * math.log(factor) + 1
    return m * np.cos(angle), m * np.sin(angle)


def claims(report, name, document):
    heads, kv = HEADS[name]
    own = document["num_heads"], document.get("num_kv_heads", document["num_heads"])
    report.check(heads * own[1] == kv * own[0], f"{name}: proportion of heads", (heads, kv), own)
    for key, value in OPTIONS.get(name, {}).items():
        report.equal(f"{name}: {key}", document.get(key), value)
    report.matches(f"{name}: a comment with its source", document["comment"], r"Source: .*\d{4}")
    if name == "t5":
        table = document["_relative_attention_bias"]
        report.equal("t5: shape of the table", (len(table), {len(r) for r in table}), (32, {own[0]}))
        tokens = range(len(document["tokens"]))
        report.equal("t5: position_bias", document["position_bias"],
                     [[[table[bucket(j - i)][h] for j in tokens] for i in tokens] for h in range(own[0])])
    if name == "gpt_oss":
        for key, table in zip(("cos", "sin"), yarn(6, 4, 150000, 32, 4096, 32, 1)):
            far = np.abs(np.array(document["rope"][key]) - table).max()
            report.check(far < 1e-6, f"gpt_oss: {key}", "YaRN's, to 6 digits", far)
    if name == "gemma2":
        report.check(abs(document["scale"] - 144 ** -0.5) < 1e-15, "gemma2: scale", 144 ** -0.5, document["scale"])


def main():
    options = parser_of(__doc__.split("\n\n", maxsplit=1)[0]).parse_args()
    program, report = program_of(options), Report(options.only)
    files = sorted(f[:-5] for f in os.listdir(FOLDER))
    report.equal("every model is known here", files, sorted(HEADS))
    with open(os.path.join(SOURCE, "docs", "models.md"), encoding="utf-8") as file:
        listed = re.findall(r"(?m)^\|[^|]*\| `models/(\w+)` \|", file.read())
    report.equal("docs/models.md lists every file", sorted(listed), files)
    for name in files:
        path = os.path.join(FOLDER, name + ".json")
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        claims(report, name, document)
        expected = Expected(document)
        for dtype in ("float64", "float32"):
            trace = trace_of(program, path, "--dtype", dtype)
            failure = trace if isinstance(trace, str) else judge(expected, trace, dtype)
            report.check(failure is None, f"{name}, {dtype}", "the oracle's stages", str(failure))
        there, absent = (s.split() for s in STAGES[name])
        order = trace.get("order", []) if isinstance(trace, dict) else []
        report.check(set(there) <= set(order) and not set(absent) & set(order), f"{name}: its stages", STAGES[name], order)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
