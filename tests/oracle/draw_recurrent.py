"""Random options for linear attention and the gated delta rule, which keep a state instead of scores."""
import draw_options
import draw_weights


def options(b):
    draw, rng, doc = b.draw, b.draw.rng, b.doc
    same = b.queries == b.keys and "key_embeddings" not in doc
    causal = b.variant == "delta"
    if b.variant == "linear" and same and draw.chance(0.6):
        doc["causal"] = causal = True
    draw_options.norms(b)
    if b.variant == "delta" and draw.chance(0.5) and "qk_norm" not in draw.avoid:
        doc.setdefault("qk_norm", {"type": "l2"})
    draw_options.rope(b)
    if draw.option("feature_map", 1.5):
        doc["feature_map"] = rng.choice(("elu1", "relu", "identity"))
    if b.variant == "linear" and draw.option("normalizer"):
        doc["normalizer"], doc["feature_map"] = True, "elu1"
    if draw.option("scale"):
        doc["scale"] = rng.choice(("none", 1, round(rng.uniform(0.05, 2.0), 4)))
    if "key_embeddings" not in doc:
        if draw.option("decay", 2):
            decay(b)
        if b.variant == "delta" and draw.option("beta", 2):
            beta(b)
    if draw.option("past_state") and "normalizer" not in doc:
        doc["past_state"] = draw.tensor((b.batch, b.kv, b.dim, b.dv))
        if "rope" in doc and "cos" not in doc["rope"]:  # how long the past was is not known
            doc["rope"]["query_positions"] = doc["rope"].pop("positions", list(range(b.queries)))
            doc["rope"]["key_positions"] = list(range(b.keys))


def decay(b):
    draw = b.draw
    if b.embedded:
        draw_weights.extra(draw, b.weights, draw.rng.choice(("W_decay", "W_decay", "W_alpha")), b.d_query, b.kv)
        for name in ("A_log", "dt_bias"):
            if draw.chance(0.5):
                b.weights[name] = draw.tensor((b.kv,))
    else:
        shape = (b.batch, b.kv if draw.chance(0.75) else 1, b.keys) + ((b.dim,) if draw.chance(0.4) else ())
        b.doc["decay"] = draw.written(shape, lambda: -abs(draw.number(0.5)))


def beta(b):
    draw = b.draw
    wide = draw.chance(0.4) and b.dv > 1
    if b.embedded:
        draw_weights.extra(draw, b.weights, "W_beta", b.d_query, b.kv * b.dv if wide else b.kv)
    else:
        shape = (b.batch, b.kv if draw.chance(0.75) else 1, b.keys) + ((b.dv,) if wide else ())
        b.doc["beta"] = draw.written(shape, lambda: round(draw.rng.random(), 4))
