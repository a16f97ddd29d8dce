"""Every pair of options, on every variant: computed as the oracle computes it, or refused by the name of one of the two.

    pairs_test.py [--all] [--seed N]

REFUSALS says which pairs have no meaning; a pair that is refused without a row there fails, and so does one that is computed in
spite of its row. Without --all every option is paired with every variant, every pair with multi_head, and a seeded share of
the pairs with the other variants.
"""
import collections
import itertools
import json
import os
import random
import re
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SANITIZED, Report, parser_of, program_of  # noqa: E402

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "oracle"))
from compare import Program  # noqa: E402
from judge import Expected, judge  # noqa: E402

BATCH, TOKENS, CROSS, PAST, HEADS, DIM, WIDE = 2, 4, 5, 3, 4, 4, 6
D_IN = HEADS * DIM
GIVEN = {"scaled_dot_product"}
RECURRENT = {"linear", "delta"}
ONE_HEAD = {"additive", "multiplicative"}
VARIANTS = ("multi_head", "self_attention", "causal_attention", "cross_attention", "grouped_query", "multi_query", "sliding_window",
            "gated", "differential", "simplified", "stacked_heads", "scaled_dot_product", "additive", "multiplicative", "latent", "linear", "delta")
PER_PROCESS = 40
NUMBERS = [round(x, 4) or 0.25 for x in map(random.Random(1).gauss, [0] * 4096, [0.6] * 4096)]  # drawn from: one by one takes longer than a run


class Sizes:
    """What an option has to know of the others: made before any of them is written."""

    def __init__(self, variant, names):
        self.variant, self.names = variant, names
        self.heads = 1 if variant in ONE_HEAD else HEADS
        shared = variant == "grouped_query" or {"kv_shared", "kv_tiled"} & names
        self.each = 2 if variant == "differential" else 1  # half heads of queries and of keys
        self.kv = 1 if variant == "multi_query" or self.heads == 1 else 2 if shared else self.heads
        self.cross = variant == "cross_attention" or "key_embeddings" in names
        self.keys = CROSS if self.cross else TOKENS
        self.v = 2 * self.kv if "num_value_heads" in names and variant in RECURRENT else self.kv // self.each
        self.contexts = self.v if self.v * self.each != self.kv else self.heads // self.each
        self.past = PAST if {"past_keys", "past_latent"} & names else 0
        self.given = self.keys + self.past
        self.all_keys = self.given + len({"bias_k", "add_zero_attn"} & names)
        self.dim = D_IN if variant == "multiplicative" else DIM
        self.values = D_IN if variant in ONE_HEAD else WIDE if "wide_values" in names and variant != "simplified" else DIM


class Writer:
    def __init__(self, variant, options, seed):
        self.names = {o.name for o in options}
        self.size = Sizes(variant, self.names)
        self.rng = random.Random(f"{seed} {variant} {sorted(self.names)}")
        self.document = {"variant": variant}
        self.weights = {}
        self.base(variant)
        for option in options:
            option.write(self)
        if variant == "stacked_heads":
            self.document["weights"] = [{n: self.tensor(D_IN, self.size.values if n == "W_value" else DIM)
                                         for n in ("W_query", "W_key", "W_value")} for _ in range(HEADS)]
            if self.weights:
                self.document["weights"][0].update(self.weights)
        elif self.weights:
            self.document["weights"] = self.weights

    def tensor(self, *shape):
        if len(shape) < 2:
            return self.rng.choices(NUMBERS, k=shape[0]) if shape else self.rng.choice(NUMBERS)
        return [self.tensor(*shape[1:]) for _ in range(shape[0])]

    def booleans(self, *shape):
        return [self.booleans(*shape[1:]) for _ in range(shape[0])] if shape else self.rng.random() < 0.75

    def base(self, variant):
        s, doc, w = self.size, self.document, self.weights
        if variant in GIVEN:
            doc["queries"] = self.tensor(BATCH, s.heads, TOKENS, DIM)
            doc["keys"] = self.tensor(BATCH, s.kv, s.keys, DIM)
            doc["values"] = self.tensor(BATCH, s.kv, s.keys, s.values)
            return
        doc["embeddings"] = self.tensor(BATCH, TOKENS, D_IN)
        if variant == "sliding_window" and not {"window", "window_both"} & self.names:
            doc["window"] = {"left": 2}
        if variant == "cross_attention":
            doc["key_embeddings"] = self.tensor(BATCH, s.keys, D_IN)
        if variant not in ONE_HEAD and variant != "stacked_heads":
            doc["num_heads"] = s.heads // s.each
        if variant == "grouped_query":
            doc["num_kv_heads"] = s.kv
        if variant == "additive":
            w.update(W_query=self.tensor(D_IN, DIM), W_key=self.tensor(D_IN, DIM), v=self.tensor(DIM))
        elif variant == "multiplicative":
            w.update(W_score=self.tensor(D_IN, D_IN))
        elif variant == "latent":
            w.update(W_query=self.tensor(D_IN, s.heads * (DIM + 2)), W_DKV=self.tensor(D_IN, 3), W_KR=self.tensor(D_IN, 2),
                     W_UK=self.tensor(3, s.heads * DIM), W_UV=self.tensor(3, s.heads * s.values))
        elif variant not in ("simplified", "stacked_heads"):
            wide = 2 if "gate_from_queries" in self.names else 1
            w.update(W_query=self.tensor(D_IN, wide * D_IN), W_key=self.tensor(D_IN, s.kv * DIM), W_value=self.tensor(D_IN, s.v * s.values))
        if variant == "differential":
            doc["lambda_init"], w["subln.weight"] = 0.7, self.tensor(s.values)
            w.update({"lambda_" + name: self.tensor(DIM) for name in ("q1", "k1", "q2", "k2")})
        if variant == "gated" and not GATES & self.names:
            w["W_gate"] = self.tensor(D_IN, s.contexts * s.values)


class Option:
    def __init__(self, name, key, write):
        self.name, self.key, self.write = name, key, write


OPTIONS = []


def option(name, key=None):
    def take(write):
        OPTIONS.append(Option(name, key or name, write))
        return write
    return take


def plain(name, key, value):
    OPTIONS.append(Option(name, key, lambda w: w.document.__setitem__(key, value(w) if callable(value) else value)))


plain("causal", "causal", True)
plain("causal_top_left", "causal", "top_left")
plain("causal_bottom_right", "causal", "bottom_right")
plain("causal_offsets", "causal", {"offset": [0, 2]})
plain("window", "window", {"left": 1})
plain("window_both", "window", {"left": 2, "right": 1})
plain("chunk", "chunk", 3)
plain("prefix_keys", "prefix_keys", 2)
plain("prefix_keys_of_items", "prefix_keys", [1, 3])
plain("token_blocks", "token_blocks", [[0, 2], [1, 4]])
plain("token_blocks_of_items", "token_blocks", [[[1, 3]], []])
plain("key_lengths", "key_lengths", lambda w: [w.size.given, 2])
plain("mask_keep", "mask", lambda w: {"keep": w.booleans(w.size.heads, TOKENS, w.size.given)})
plain("mask_drop", "mask", lambda w: {"drop": w.booleans(BATCH, 1, 1, w.size.given)})
plain("mask_add", "mask", lambda w: {"add": w.tensor(TOKENS, w.size.given)})
plain("mask_at_scores", "mask_at", "scores")
plain("mask_at_weights", "mask_at", "weights")
plain("normalize_sum", "normalize", "sum")
plain("normalize_sigmoid", "normalize", "sigmoid")
plain("empty_rows_nan", "empty_rows", "nan")
plain("empty_rows_uniform", "empty_rows", "uniform")
plain("rope", "rope", {"base": 100})
plain("rope_interleaved", "rope", {"pairs": "interleaved", "dims": 2})
plain("rope_positions", "rope", {"positions": [5, 1, 0, 9]})
plain("rope_tables", "rope", lambda w: {n: w.tensor(TOKENS, 1 if w.size.variant == "latent" else 2) for n in ("cos", "sin")})
plain("rope_yarn", "rope", {"scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 16}})
plain("rope_items", "rope", {"positions": [[5, 1, 0, 9], [0.5, 2, 7.25, 1]], "reverse": True})
plain("rope_columns", "rope", lambda w: {n: w.tensor(BATCH, TOKENS, 2 if w.size.variant == "latent" else 4) for n in ("cos", "sin")})
plain("alibi", "alibi", True)
plain("alibi_slopes", "alibi", lambda w: [0.5 / (h + 1) for h in range(w.size.heads)])
plain("position_bias", "position_bias", lambda w: w.tensor(w.size.heads, TOKENS, w.size.given))
plain("position_bias_of_items", "position_bias", lambda w: w.tensor(BATCH, w.size.heads, TOKENS, w.size.given))
plain("buckets", "position_bias", lambda w: {"buckets": w.tensor(6, w.size.heads), "max_distance": 5})
plain("buckets_back", "position_bias", lambda w: {"buckets": w.tensor(4, w.size.heads), "bidirectional": False})
plain("qk_norm_l2", "qk_norm", {"type": "l2"})
plain("qk_norm_layer_width", "qk_norm", {"type": "layer", "over": "width", "eps": 1e-5})
plain("value_norm", "value_norm", {"type": "rms", "eps": 1e-5})
plain("clip_qkv", "clip_qkv", 0.75)
plain("concat_norm", "concat_norm", {"type": "rms", "eps": 1e-5})
plain("embeddings_norm", "embeddings_norm", lambda w: {"type": "rms", "plus_one": True, "weight": w.tensor(D_IN)})
plain("query_scale", "query_scale", lambda w: w.tensor(w.size.heads, TOKENS))
plain("query_scale_steps", "query_scale", {"beta": 0.5, "every": 2, "shift": 1})
plain("sinks", "sinks", lambda w: w.tensor(w.size.heads))
plain("dropout", "dropout", {"p": 0.5, "seed": 3})
plain("dropout_keep", "dropout", lambda w: {"p": 0.25, "keep": w.booleans(BATCH, w.size.heads, TOKENS, w.size.all_keys)})
plain("softcap", "softcap", 1.5)
plain("scale_none", "scale", "none")
plain("scale_negative", "scale", -0.4)
plain("add_zero_attn", "add_zero_attn", True)
plain("value_embeddings", "value_embeddings", lambda w: w.tensor(BATCH, w.size.keys, D_IN))
plain("feature_map", "feature_map", "elu1")
plain("num_value_heads", "num_value_heads", lambda w: w.size.v)
plain("feature_map_silu", "feature_map", "silu")
plain("past_state", "past_state", lambda w: w.tensor(BATCH, w.size.v, DIM, w.size.values))


BY_REQUEST = ("lse", "mean_weights")  # stages that are asked for by name, alone
for requested in BY_REQUEST:
    OPTIONS.append(Option(requested, "--stages", lambda w: None))


@option("qk_norm_weights", "qk_norm")
def qk_norm_weights(w):
    w.document["qk_norm"] = {"type": "rms", "plus_one": True}
    w.weights.update({"q_norm.weight": w.tensor(w.size.dim), "k_norm.weight": w.tensor(w.size.dim)})


@option("qk_norm_after", "qk_norm")
def qk_norm_after(w):
    w.document["qk_norm"] = {"type": "layer", "after": "rope"}
    w.document.setdefault("rope", {})
    w.weights.update({"q_norm.weight": w.tensor(w.size.heads, w.size.dim), "k_norm.weight": w.tensor(w.size.kv, w.size.dim),
                      "k_norm.bias": w.tensor(w.size.kv, w.size.dim)})


@option("kv_shared", "num_kv_heads")
def kv_shared(w):
    w.document["num_kv_heads"] = w.size.kv // w.size.each


@option("kv_tiled", "num_kv_heads")
def kv_tiled(w):
    w.document.update(num_kv_heads=w.size.kv // w.size.each, kv_head_order="tile")


@option("key_embeddings")
def key_embeddings(w):
    w.document["key_embeddings"] = w.tensor(BATCH, w.size.keys, D_IN)


@option("wide_values", "values")
def wide_values(w):
    """Only sizes differ; simplified, additive and multiplicative take their values as they are."""


@option("past_keys")
def past_keys(w):
    w.document["past_keys"] = w.tensor(BATCH, w.size.kv, PAST, w.size.dim)
    w.document["past_values"] = w.tensor(BATCH, w.size.kv // w.size.each, PAST, w.size.values)


@option("past_latent")
def past_latent(w):
    w.document["past_latent"], w.document["past_rope_keys"] = w.tensor(BATCH, PAST, 3), w.tensor(BATCH, 1, PAST, 2)


@option("latent_norm", "kv_a_layernorm")
def latent_norm(w):
    w.weights["kv_a_layernorm.weight"] = w.tensor(3)


@option("bias_k")
def bias_k(w):
    w.weights.update(bias_k=w.tensor(1, 1, w.size.kv * w.size.dim), bias_v=w.tensor(1, 1, w.size.kv // w.size.each * w.size.values))


@option("gate")
def gate(w):
    w.document["gate"] = {"activation": "silu"}
    w.weights["W_gate"] = w.tensor(D_IN, w.size.contexts * w.size.values)


@option("gate_norm", "gate")
def gate_norm(w):
    w.document["gate"] = {"activation": "sigmoid", "norm": "rms"}
    w.weights.update({"W_gate.weight": w.tensor(w.size.contexts * w.size.values, D_IN), "norm.weight": w.tensor(w.size.values)})


@option("embeddings_norm_keys", "embeddings_norm")
def embeddings_norm_keys(w):
    w.document["embeddings_norm"] = {"type": "layer", "weight": w.tensor(D_IN), "bias": w.tensor(D_IN)}
    if w.size.cross:
        w.document["embeddings_norm"]["keys"] = True


@option("gate_by_head", "gate")
def gate_by_head(w):
    w.document["gate"] = {"activation": "softplus", "norm": "rms", "over": "width", "eps": 0.01}
    w.weights.update({"W_gate": w.tensor(D_IN, w.size.contexts), "norm.weight": w.tensor(w.size.contexts * w.size.values)})


@option("concat_norm_weights", "concat_norm")
def concat_norm_weights(w):
    w.document["concat_norm"] = {"type": "layer"}
    w.weights.update({"concat_norm.weight": w.tensor(w.size.contexts * w.size.values), "concat_norm.bias": w.tensor(w.size.contexts * w.size.values)})


@option("gate_from_queries", "gate")
def gate_from_queries(w):
    w.document["gate"] = {"from": "queries"}


@option("output", "W_out")
def output(w):
    w.weights.update(W_out=w.tensor(w.size.contexts * w.size.values, 5), b_out=w.tensor(5))


@option("normalizer")
def normalizer(w):
    w.document.update(normalizer=True, feature_map="elu1")


@option("decay")
def decay(w):
    if w.size.variant in GIVEN:
        w.document["decay"] = w.tensor(BATCH, w.size.v, w.size.keys)
    else:
        w.weights.update(W_decay=w.tensor(D_IN, w.size.v), A_log=w.tensor(w.size.v))


@option("map_values")
def map_values(w):
    w.document.update(map_values=True, feature_map="silu")


@option("conv")
def conv(w):
    s = w.size
    w.document.update(conv={})
    w.document.setdefault("causal", True)
    for name, width in (("q", s.heads * DIM), ("k", s.kv * DIM), ("v", s.v * s.values)):
        w.weights[name + "_conv1d.weight"] = w.tensor(width, 1, 3)


@option("decay_by_head", "decay")
def decay_by_head(w):
    w.document["decay"] = [[[-0.1 * (h + 1)] for h in range(w.size.v)]]


@option("beta_factor", "beta")
def beta_factor(w):
    beta(w)
    w.document["beta_factor"] = 2


@option("beta")
def beta(w):
    if w.size.variant in GIVEN:
        w.document["beta"] = w.tensor(BATCH, w.size.v, w.size.keys)
    else:
        w.weights["W_beta"] = w.tensor(D_IN, w.size.v)


BY_NAME = {o.name: o for o in OPTIONS}

STATE = {"num_value_heads", "conv", "feature_map", "feature_map_silu", "map_values", "normalizer", "decay", "decay_by_head", "beta", "beta_factor", "past_state"}
OF_SCORES = {"window", "window_both", "chunk", "prefix_keys", "prefix_keys_of_items", "token_blocks", "token_blocks_of_items",
             "key_lengths", "mask_keep", "mask_drop", "mask_add", "mask_at_scores", "mask_at_weights",
             "normalize_sum", "normalize_sigmoid", "empty_rows_nan", "empty_rows_uniform", "alibi", "alibi_slopes",
             "position_bias", "position_bias_of_items", "buckets", "buckets_back", "sinks", "dropout", "dropout_keep", "softcap", "add_zero_attn", "bias_k", "past_keys", "past_latent"}
OF_WEIGHTS = {"latent_norm", "qk_norm_weights", "qk_norm_after", "bias_k", "gate", "gate_norm", "gate_by_head", "gate_from_queries", "concat_norm_weights", "output", "decay", "beta", "beta_factor", "conv"}
GATES = {"gate", "gate_norm", "gate_by_head", "gate_from_queries"}
NORMS = {"qk_norm_l2", "qk_norm_layer_width", "qk_norm_weights", "qk_norm_after"}
QUERY_SCALES = {"query_scale", "query_scale_steps"}
OF_POSITIONS = {"rope_positions", "rope_tables", "rope_items", "rope_columns"}
ROPES = {"rope", "rope_interleaved", "rope_yarn"} | OF_POSITIONS
SHARED = {"kv_shared", "kv_tiled"}

# (why, the variants or None for all, each of these is refused there)
ALONE = (
    ("has a state instead of scores", RECURRENT, OF_SCORES),
    ("has no state", set(VARIANTS) - RECURRENT, STATE),
    ("a sum has no rate", {"linear"}, {"beta", "beta_factor"}),
    ("the delta rule corrects what it has added", {"delta"}, {"normalizer"}),
    ("is the norm of a latent", set(VARIANTS) - {"latent"}, {"latent_norm"}),
    ("is the cache of latent", set(VARIANTS) - {"latent"}, {"past_latent"}),
    ("everything is made from one latent", {"latent"},
     NORMS | SHARED | {"value_norm", "clip_qkv", "past_keys", "value_embeddings", "bias_k", "gate_from_queries"}),
    ("nothing is projected", GIVEN, {"key_embeddings", "value_embeddings", "clip_qkv", "embeddings_norm", "embeddings_norm_keys"} | GATES),
    ("something is not projected", {"simplified"} | ONE_HEAD, {"clip_qkv"}),
    ("scores are no products of queries", RECURRENT | {"additive"}, QUERY_SCALES),
    ("has no weights", {"simplified"}, OF_WEIGHTS),
    ("each head has weights of its own", {"stacked_heads"}, OF_WEIGHTS | SHARED),
    ("queries and keys are not multiplied column by column", ONE_HEAD, ROPES | {"qk_norm_after"}),
    ("queries are not projected to twice the width", ONE_HEAD, {"gate_from_queries"}),
    ("a norm of each head comes before the gate, which is made of two queries", {"differential"}, {"gate_norm", "gate_by_head", "gate_from_queries"}),
    ("keys are the embeddings, as wide as the queries", {"simplified"}, SHARED),
)
# (why, an option of these, and an option of those)
TOGETHER = (
    ("additive numbers after the softmax", {"mask_at_weights"}, {"mask_add"}),
    ("a cap after the mask would lift hidden scores", {"mask_at_scores"}, {"softcap"}),
    ("a scale below 0 would turn hidden scores over", {"mask_at_scores"}, {"scale_negative"}),
    ("sinks take part in a softmax", {"sinks"}, {"normalize_sum", "normalize_sigmoid"}),
    ("a row with a sink is never NaN", {"sinks"}, {"empty_rows_nan"}),
    ("positions serve as many keys as queries", OF_POSITIONS, {"key_embeddings"}),
    ("the tokens before the first are not known", {"conv"}, {"past_state"}),
    ("a head of values reads one of queries and keys", {"num_value_heads"}, SHARED | {"gate_from_queries"}),
    ("half of what is convolved would be the gate", {"conv"}, {"gate_from_queries"}),
    ("the sum of the cached keys is not known", {"normalizer"}, {"past_state"}),
    ("half a query is as wide as a key, not as a value", {"wide_values"}, {"gate_from_queries"}),
)


def refused_by(variant, names):
    """(why, keys of which one is named)"""
    def keys(of):
        return {BY_NAME[n].key for n in of} | ({"weights"} if of & OF_WEIGHTS else set())

    found = [(why, keys(names & refused)) for why, variants, refused in ALONE if variant in variants and names & refused]
    found += [(why, keys(names & (these | those))) for why, these, those in TOGETHER if names & these and names & those]
    if variant == "cross_attention" and names & OF_POSITIONS:
        found.append(("positions serve as many keys as queries", {"rope"}))
    if variant in ONE_HEAD and "qk_norm_after" in names:
        found.append(("queries and keys are not multiplied column by column", {"rope"}))
    return found


class Pairs:
    def __init__(self, program, seed, report):
        self.program, self.seed, self.report = program, seed, report
        self.computed = self.refused = 0
        self.unexpected = collections.defaultdict(list)

    def cases(self, everything):
        rng = random.Random(self.seed)
        for variant in VARIANTS:
            yield variant, ()
            # The release build goes over more of them.
            for one in OPTIONS:
                if everything or not SANITIZED or rng.random() < 0.3:
                    yield variant, (one,)
            share = 1.0 if everything else 0.01 if SANITIZED else 1.0 if variant == "multi_head" else 0.06
            for pair in itertools.combinations(OPTIONS, 2):
                if pair[0].key != pair[1].key and rng.random() < share:
                    yield variant, pair

    def run(self, everything):
        batch = []
        for variant, options in self.cases(everything):
            batch.append((variant, options, Writer(variant, options, self.seed).document))
            if len(batch) == PER_PROCESS:
                self.take(batch)
                batch = []
        self.take(batch)

    def take(self, batch):
        """Those that are expected to be computed in one process for each stage that is asked for, the others one by one."""
        good = [b for b in batch if not refused_by(b[0], {o.name for o in b[1]})]
        for stage in (None, *BY_REQUEST):
            self.compute([b for b in good if stage == next((o.name for o in b[1] if o.name in BY_REQUEST), None)], stage)
        self.refuse(batch)

    def compute(self, good, stage):
        """A stage that the oracle does not make is refused by its name."""
        expectations = [Expected(document) for _, _, document in good]
        asked = ["--stages", stage] if stage else []
        there = [stage is None or stage in e.stages for e in expectations]
        answers = iter(self.program.run_all([b[2] for b, made in zip(good, there) if made], ["--dtype", "float64", *asked]))
        for (variant, options, document), expected, made in zip(good, expectations, there):
            if not made:
                (answer,) = self.program.run_all([document], asked)
                found = isinstance(answer, tuple) and answer[0] == 2 and f"--stages {stage}: this input has no such stage" in answer[1]
                self.refused += self.report.check(found, f"{variant}: {' + '.join(o.name for o in options)}", f"no stage {stage}", str(answer)[:200])
                continue
            answer = next(answers)
            name = f"{variant}: {' + '.join(o.name for o in options) or 'alone'}"
            if isinstance(answer, tuple):
                self.unexpected[re.sub(r"\d+", "N", answer[1].splitlines()[0].split(": ", 3)[-1])].append(name)
                self.report.check(False, name, "to be computed", f"exit {answer[0]}: {answer[1][:200]}")
                continue
            try:
                failure = judge(expected, answer, "float64", [stage] if stage else None)
            except (ValueError, KeyError, IndexError, TypeError) as error:
                failure = f"the oracle refuses: {error!r}"
            self.computed += self.report.check(failure is None, name, "as the oracle computes it", str(failure))

    def refuse(self, batch):
        for variant, options, document in batch:
            names = {o.name for o in options}
            rules = refused_by(variant, names)
            if not rules:
                continue
            name = f"{variant}: {' + '.join(sorted(names))}"
            (answer,) = self.program.run_all([document], ["--dtype", "float64"])
            keys = set().union(*(keys for _, keys in rules))
            good = isinstance(answer, tuple) and answer[0] == 3 and any(k in answer[1] for k in keys)
            self.refused += self.report.check(good, name, f"refused by {sorted(keys)}: {rules[0][0]}",
                                              answer[1][:200] if isinstance(answer, tuple) else "computed")


def main():
    parser = parser_of(__doc__.split("\n\n")[0])
    parser.add_argument("--all", action="store_true", help="every pair on every variant")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = Report(options.only)
    with tempfile.TemporaryDirectory() as folder:
        pairs = Pairs(Program(program_of(options), folder), options.seed, report)
        pairs.run(options.all)
    for message, names in sorted(pairs.unexpected.items(), key=lambda m: -len(m[1])):
        print(f"{len(names):5}  {message}: {', '.join(names[:3])}")
    print(f"seed {options.seed}, {len(OPTIONS)} options, {len(VARIANTS)} variants: "
          f"{pairs.computed} computed as the oracle does, {pairs.refused} refused by name")
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
