"""Random options for linear attention and the gated delta rule, which keep a state instead of scores."""
import draw_options
import draw_weights


def options(b):
    draw, rng, doc = b.draw, b.draw.rng, b.doc
    same = b.queries == b.keys and "key_embeddings" not in doc
    causal = b.variant == "delta"
    if b.variant == "linear" and same and draw.chance(0.6):
        doc["causal"] = causal = True
    of_queries = isinstance(doc.get("gate"), dict) and doc["gate"].get("from") == "queries"
    if causal and not of_queries and isinstance(b.weights, dict) and draw.option("conv"):
        convolution(b)
    draw_options.norms(b)
    if b.variant == "delta" and draw.chance(0.5) and "qk_norm" not in draw.avoid:
        doc.setdefault("qk_norm", {"type": "l2"})
    draw_options.rope(b)
    draw_options.concat_norm(b)
    draw_options.embeddings_norm(b)
    if draw.option("feature_map", 1.5):
        doc["feature_map"] = rng.choice(("elu1", "relu", "silu", "identity"))
        if draw.chance(0.3):
            doc["map_values"] = True
    if b.variant == "linear" and draw.option("normalizer"):
        doc["normalizer"], doc["feature_map"] = True, "elu1"
    if draw.option("scale"):
        doc["scale"] = rng.choice(("none", 1, round(rng.uniform(0.05, 2.0), 4)))
    if "key_embeddings" not in doc:
        if draw.option("decay", 2):
            decay(b)
        if b.variant == "delta" and draw.option("beta", 2):
            beta(b)
            if draw.option("beta_factor"):
                doc["beta_factor"] = rng.choice((2, 0.5))
    if "conv" in doc and draw.chance(0.4):
        taps = len((b.weights.get("conv1d.weight") or b.weights.get("q_conv1d.weight"))[0][0])
        if taps > 1:
            doc["past_conv"] = draw.tensor((b.batch, (b.heads + b.kv) * b.dim + b.v * b.dv, taps - 1))
    if ("conv" not in doc or "past_conv" in doc) and draw.option("past_state") and "normalizer" not in doc:
        doc["past_state"] = draw.tensor((b.batch, b.v, b.dim, b.dv))
        if "rope" in doc and "cos" not in doc["rope"]:  # how long the past was is not known
            doc["rope"]["query_positions"] = doc["rope"].pop("positions", list(range(b.queries)))
            doc["rope"]["key_positions"] = list(range(b.keys))


def nested(draw, width, taps):
    return [[[draw.number(0.6) for _ in range(taps)]] for _ in range(width)]


def convolution(b):
    draw, rng = b.draw, b.draw.rng
    taps = rng.randint(1, 4)
    b.doc["conv"] = rng.choice(({}, {"activation": "silu"}, {"activation": "none"}))
    widths = {"q_": b.heads * b.dim, "k_": b.kv * b.dim, "v_": b.v * b.dv}
    if draw.chance(0.5):
        widths = {"": sum(widths.values())}
    for name, width in widths.items():
        b.weights[name + "conv1d.weight"] = nested(draw, width, taps)
        if draw.chance(0.4):
            b.weights[name + "conv1d.bias"] = [draw.number(0.6) for _ in range(width)]


def some_of_1(draw, shape):
    """Axes of length 1 serve all."""
    return tuple(n if draw.chance(0.75) else 1 for n in shape)


def decay(b):
    draw = b.draw
    if b.embedded and draw.chance(0.7):
        draw_weights.extra(draw, b.weights, draw.rng.choice(("W_decay", "W_decay", "W_alpha")), b.d_query, b.v)
        for name in ("A_log", "dt_bias"):
            if draw.chance(0.5):
                b.weights[name] = draw.tensor((b.v,))
    else:
        shape = some_of_1(draw, (b.batch, b.v, b.keys)) + ((b.dim,) if draw.chance(0.4) else (1,) if draw.chance(0.2) else ())
        b.doc["decay"] = draw.written(shape, lambda: -abs(draw.number(0.5)))


def beta(b):
    draw = b.draw
    wide = draw.chance(0.4) and b.dv > 1
    if b.embedded:
        draw_weights.extra(draw, b.weights, "W_beta", b.d_query, b.v * b.dv if wide else b.v)
    else:
        shape = some_of_1(draw, (b.batch, b.v, b.keys)) + ((b.dv,) if wide else ())
        b.doc["beta"] = draw.written(shape, lambda: round(draw.rng.random(), 4))
