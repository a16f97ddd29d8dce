"""Random options of section 2 for a document whose inputs are there: scores, masks, positions, weights and what follows."""


def options(b):
    """b: the Builder of generate.py; adds keys to b.doc and b.weights."""
    given = b.past + b.keys
    appended = append(b)
    norms(b)
    rope(b)
    masks(b, given)
    scores(b, given)
    at(b)
    rows(b, given + appended)


def append(b):
    count, draw = 0, b.draw
    dict_weights = isinstance(b.weights, dict)
    if b.embedded and dict_weights and b.weights and b.variant != "latent" and draw.option("bias_k", 0.5):
        shape = draw.rng.choice(((1, 1), ()))
        b.weights["bias_k"] = draw.tensor(shape + (b.kv * b.dim,))
        b.weights["bias_v"] = draw.tensor(shape + (b.kv * b.dv,))
        count += 1
    if b.variant != "latent" and draw.option("add_zero_attn", 0.7):
        b.doc["add_zero_attn"] = True
        count += 1
    return count


def norms(b):
    draw = b.draw
    if not b.norm_allowed or not draw.option("qk_norm"):
        return
    option = {"type": draw.rng.choice(("rms", "layer", "l2"))}
    if b.variant != "stacked_heads" and draw.chance(0.5):
        option["over"] = draw.rng.choice(("head", "width"))
    if draw.chance(0.4):
        option["eps"] = draw.rng.choice((1e-5, 1e-6, 0.01))
    width = option.get("over") == "width"
    # without a prefix or a list of heads there is one place for the norms' weights
    if isinstance(b.weights, dict) and b.variant != "simplified" and draw.chance(0.6):
        suffix = draw.rng.choice((".weight", ".weight", ".scale"))
        b.weights["q_norm" + suffix] = draw.tensor((b.heads * b.dim if width else b.dim,))
        b.weights["k_norm" + suffix] = draw.tensor((b.kv * b.dim if width else b.dim,))
        if draw.chance(0.4):
            option["plus_one"] = True
    b.doc["qk_norm"] = option


def rope(b):
    draw, rng = b.draw, b.draw.rng
    if not b.rope_allowed or b.dim < 2 or not draw.option("rope", 1.3):
        return
    highest = b.dim // 2 * 2
    option = {"pairs": rng.choice(("half", "interleaved"))} if draw.chance(0.7) else {}
    dims = highest if b.dim % 2 == 0 and draw.chance(0.6) else 2 * rng.randint(1, highest // 2)
    same = b.queries == b.keys
    kind = rng.choice(("default", "default", "positions", "sides", "tables"))
    if kind == "tables" and same:
        shape = (b.queries, dims // 2)
        shape = (b.batch,) + shape if draw.chance(0.4) else shape
        option["cos"], option["sin"] = draw.tensor(shape), draw.tensor(shape)
    else:
        if dims != b.dim or draw.chance(0.2):
            option["dims"] = dims
        if draw.chance(0.4):
            option["base"] = rng.choice((10000, 100, 500000.0, 2.5))
        if kind == "positions" and same:
            option["positions"] = [rng.randint(0, 60) for _ in range(b.queries)]
        elif kind == "sides":
            if draw.chance(0.8):
                option["query_positions"] = [rng.randint(0, 60) for _ in range(b.queries)]
            if draw.chance(0.8):
                option["key_positions"] = [rng.randint(0, 60) for _ in range(b.keys)]
    b.doc["rope"] = option


def masks(b, given):
    draw, rng, doc = b.draw, b.draw.rng, b.doc
    if draw.option("causal", 1.5):
        per_item = [rng.randint(-2, given) for _ in range(b.batch)]
        doc["causal"] = rng.choice((True, "top_left", "bottom_right", {"offset": rng.randint(-2, given)},
                                    {"offset": per_item}, False))
    if b.variant == "sliding_window" or draw.option("window"):
        window = {side: rng.randint(0, 4) for side in ("left", "right") if draw.chance(0.65)}
        doc["window"] = window or {"left": rng.randint(0, 4)}
    if draw.option("key_lengths"):
        doc["key_lengths"] = [rng.randint(0 if draw.chance(0.15) else 1, given) for _ in range(b.batch)]
    if draw.option("mask", 1.5):
        found = [one_mask(b, given) for _ in range(1 if draw.chance(0.7) else rng.randint(2, 3))]
        doc["mask"] = found if len(found) > 1 or draw.chance(0.1) else found[0]


def one_mask(b, given):
    draw, rng = b.draw, b.draw.rng
    shape = [n if draw.chance(0.75) else 1 for n in (b.batch, b.heads, b.queries, given)]
    shape = shape[4 - rng.randint(1, 4):]
    kind = rng.choice([k for k in ("keep", "drop", "add") if "mask_" + k not in draw.avoid])
    if kind == "add":
        return {"add": draw.written(shape, lambda: "-Infinity" if draw.chance(0.15) else draw.number(2.0))}
    return {kind: draw.booleans(shape, 0.75 if kind == "keep" else 0.25)}


def scores(b, given):
    draw, rng, doc = b.draw, b.draw.rng, b.doc
    if draw.option("scale"):
        doc["scale"] = rng.choice(("none", round(rng.uniform(0.05, 2.0), 4), round(rng.uniform(0.05, 2.0), 4),
                                   round(rng.uniform(-1.0, 0.0), 4), 1, 0.5))
    if draw.option("softcap"):
        doc["softcap"] = rng.choice((round(rng.uniform(0.2, 5.0), 4), 30, 1))
    if draw.option("alibi"):
        doc["alibi"] = True if draw.chance(0.5) else [round(rng.uniform(0, 1), 4) for _ in range(b.heads)]
    if draw.option("position_bias"):
        doc["position_bias"] = draw.tensor((b.heads, b.queries, given))


def has_mask(b):
    doc = b.doc
    causal = doc.get("causal", b.variant in ("causal_attention", "sliding_window"))
    return causal is not False or any(k in doc for k in ("window", "key_lengths", "mask"))


def at(b):
    draw, doc = b.draw, b.doc
    if not has_mask(b) or not draw.option("mask_at", 1.5):
        return
    masks_given = doc.get("mask", [])
    masks_given = masks_given if isinstance(masks_given, list) else [masks_given]
    choices = ["scaled_scores"]
    scale = doc.get("scale", 1)
    if "softcap" not in doc and (scale == "none" or scale > 0):
        choices += ["scores"] * 2
    if not any("add" in m for m in masks_given):
        choices += ["weights"] * 2
    doc["mask_at"] = draw.rng.choice(choices)


def rows(b, keys):
    draw, rng, doc = b.draw, b.draw.rng, b.doc
    if draw.option("normalize"):
        doc["normalize"] = rng.choice([n for n in ("sum", "sigmoid", "softmax") if n not in draw.avoid])
    if draw.option("sinks") and doc.get("normalize", "softmax") == "softmax":
        doc["sinks"] = [draw.number(1.5) for _ in range(b.heads)]
    if has_mask(b) and draw.option("empty_rows", 1.5):
        doc["empty_rows"] = rng.choice(("zero", "uniform") if "sinks" in doc else ("zero", "nan", "uniform"))
    if draw.option("dropout"):
        p = rng.choice((0.5, 0.1, 0.25, 0))
        shape = draw.cut_left((b.batch, b.heads, b.queries, keys))
        doc["dropout"] = {"p": p, "keep": draw.booleans(shape, 1 - p)}
    elif draw.option("seeded_dropout", 0.3):
        doc["dropout"] = {"p": rng.choice((0.5, 0.1, 0.3)), "seed": rng.randint(0, 2 ** 31),
                          "generator": rng.choice(("torch", "torch-mkl"))}
