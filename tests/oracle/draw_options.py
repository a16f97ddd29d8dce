"""Random options of section 2 for a document whose inputs are there: scores, masks, positions, weights and what follows."""


def options(b):
    """b: the Builder of generate.py; adds keys to b.doc and b.weights."""
    given = b.past + b.keys
    appended = append(b)
    rope(b)
    norms(b)
    value_norm(b)
    concat_norm(b)
    embeddings_norm(b)
    clip(b)
    query_scale(b)
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
        b.weights["bias_v"] = draw.tensor(shape + (b.v * b.dv,))
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
    if option.get("over") != "width" and "rope" in b.doc and draw.chance(0.4):
        option["after"] = "rope"
    if draw.chance(0.4):
        option["eps"] = draw.rng.choice((1e-5, 1e-6, 0.01))
    width = option.get("over") == "width"
    # without a prefix or a list of heads there is one place for the norms' weights
    if isinstance(b.weights, dict) and b.variant != "simplified" and draw.chance(0.6):
        suffix = draw.rng.choice((".weight", ".weight", ".scale"))
        by_head = not width and draw.chance(0.3)
        for name, heads in (("q_norm", b.heads), ("k_norm", b.kv)):
            shape = (heads, b.dim) if by_head else (heads * b.dim if width else b.dim,)
            long = suffix == ".weight" and b.weights.get("prefix") is None and draw.chance(0.3)
            for end in (suffix, ".bias")[:2 if option["type"] == "layer" and draw.chance(0.5) else 1]:
                stem = name.replace("_norm", "_layernorm") if long else name
                if long and by_head and end == suffix and draw.chance(0.6):  # StableLM: one by one
                    b.weights.update({f"{stem}.norms.{h}{end}": draw.tensor((b.dim,)) for h in range(heads)})
                else:
                    b.weights[stem + end] = draw.tensor(shape)
        if draw.chance(0.4):
            option["plus_one"] = True
    b.doc["qk_norm"] = option


def value_norm(b):
    draw = b.draw
    if b.variant == "latent" or not draw.option("value_norm", 0.5):
        return
    b.doc["value_norm"] = {"type": "rms", "eps": draw.rng.choice((1e-5, 0.01))} if draw.chance(0.4) else {"type": "rms"}
    if isinstance(b.weights, dict) and b.variant != "simplified" and draw.chance(0.5):
        b.weights[draw.rng.choice(("v_norm.weight", "v_norm.scale"))] = draw.tensor((b.dv,))


def concat_norm(b):
    draw = b.draw
    if not draw.option("concat_norm", 0.6):
        return
    option = b.doc["concat_norm"] = {"type": draw.rng.choice(("rms", "rms", "layer"))}
    if draw.chance(0.4):
        option["eps"] = draw.rng.choice((1e-5, 0.01))
    if isinstance(b.weights, dict) and b.variant != "simplified" and draw.chance(0.6):
        b.weights[draw.rng.choice(("concat_norm.weight", "concat_norm.scale"))] = draw.tensor((b.contexts * b.dv,))
        if option["type"] == "layer" and draw.chance(0.5):
            b.weights["concat_norm.bias"] = draw.tensor((b.contexts * b.dv,))


def width_of(value):
    if isinstance(value, dict):
        return value["shape"][-1]
    return width_of(value[0]) if isinstance(value[0], list) else len(value)


def embeddings_norm(b):
    draw, doc = b.draw, b.doc
    if "embeddings" not in doc or not draw.option("embeddings_norm", 0.6):
        return
    option = doc["embeddings_norm"] = {"type": draw.rng.choice(("rms", "layer"))}
    if draw.chance(0.4):
        option["eps"] = draw.rng.choice((1e-5, 0.01))
    width = width_of(doc["embeddings"])
    if "key_embeddings" in doc and draw.chance(0.6):
        option["keys"] = True
    if not option.get("keys") or width_of(doc["key_embeddings"]) == width:
        if draw.chance(0.7):
            option["weight"] = draw.tensor((width,))
            if draw.chance(0.4):
                option["plus_one"] = True
        if option["type"] == "layer" and draw.chance(0.5):
            option["bias"] = draw.tensor((width,))


def clip(b):
    draw, doc = b.draw, b.doc
    if b.variant in ("latent", "simplified", "multiplicative", "additive") or "queries" in doc or not draw.option("clip_qkv", 0.7):
        return
    bound = draw.rng.choice((0.5, 1, 2.5))
    doc["clip_qkv"] = bound if draw.chance(0.5) else {"max": bound}
    if isinstance(doc["clip_qkv"], dict) and "qk_norm" in doc and draw.chance(0.6):
        doc["clip_qkv"]["after"] = "norm"


def query_scale(b):
    draw, rng = b.draw, b.draw.rng
    if b.variant in ("additive", "linear", "delta") or not draw.option("query_scale", 0.7):
        return
    if draw.chance(0.5):
        shape = (b.batch, b.heads, b.queries)[rng.randint(0, 2):]
        b.doc["query_scale"] = draw.tensor(tuple(n if i == len(shape) - 1 or draw.chance(0.8) else 1 for i, n in enumerate(shape)))
    else:
        b.doc["query_scale"] = {"beta": rng.choice((0.1, 0.5)), "every": rng.choice((1, 3, 2.5))}
        if draw.chance(0.5):
            b.doc["query_scale"]["shift"] = rng.randint(0, 1)


def rope(b):
    draw, rng = b.draw, b.draw.rng
    if not b.rope_allowed or b.dim < 2 or not draw.option("rope", 1.3):
        return
    highest = b.dim // 2 * 2
    option = {"pairs": rng.choice(("half", "interleaved"))} if draw.chance(0.7) else {}
    dims = highest if b.dim % 2 == 0 and draw.chance(0.6) else 2 * rng.randint(1, highest // 2)
    same = b.queries == b.keys
    kind = rng.choice(("default", "default", "positions", "sides", "tables"))
    if draw.chance(0.15):
        option["reverse"] = True
    if kind == "tables" and same:
        whole = draw.chance(0.3)
        shape = (b.queries, dims if whole else dims // 2)
        if whole and 2 * dims <= b.dim or draw.chance(0.1):
            option["dims"] = dims
        shape = (b.batch,) + shape if draw.chance(0.4) else shape
        option["cos"], option["sin"] = draw.tensor(shape), draw.tensor(shape)
    else:
        if dims != b.dim or draw.chance(0.2):
            option["dims"] = dims
        if draw.chance(0.4):
            option["base"] = rng.choice((10000, 100, 500000.0, 2.5))
        if kind == "positions" and same:
            option["positions"] = places(b, b.queries)
        elif kind == "sides":
            if draw.chance(0.8):
                option["query_positions"] = places(b, b.queries)
            if draw.chance(0.8):
                option["key_positions"] = places(b, b.keys)
        if draw.chance(0.3):
            option["scaling"] = scaling(b, option.get("dims", b.dim), dims == b.dim)
    b.doc["rope"] = option


def places(b, count):
    """Positions, whole or not, for all batch items or for each."""
    rng = b.draw.rng
    whole = b.draw.chance(0.8)

    def one():
        return [rng.randint(0, 60) if whole else round(rng.uniform(0, 60), 3) for _ in range(count)]
    return [one() for _ in range(b.batch)] if b.draw.chance(0.25) else one()


def scaling(b, dims, all_turn):
    """One of the types of config.json; its lengths lie among the positions drawn."""
    draw, rng = b.draw, b.draw.rng
    kinds = ["default", "linear", "llama3", "yarn", "longrope"] + ["dynamic"] * (dims > 2) + ["proportional"] * all_turn
    kind = rng.choice(kinds)
    word = {"longrope": "su", "default": "mrope"}.get(kind, kind) if draw.chance(0.3) else kind
    s = {rng.choice(("type", "rope_type")): word}
    old = rng.choice((4, 8, 30, 200))
    if kind in ("linear", "dynamic", "llama3") or kind == "proportional" and draw.chance(0.5):
        s["factor"] = rng.choice((2, 4.0, 1.5))
    if kind == "dynamic":
        s["max_position_embeddings"] = old
    if kind == "llama3":
        s.update(low_freq_factor=1, high_freq_factor=rng.choice((4.0, 2)), original_max_position_embeddings=old)
    if kind == "proportional" and draw.chance(0.7):
        s["partial_rotary_factor"] = rng.choice((0.25, 0.5, 1))
    if kind == "yarn":
        s["original_max_position_embeddings"] = old
        s[rng.choice(("factor", "max_position_embeddings"))] = old * 3 if draw.chance(0.5) else 40
        for key, value in (("beta_fast", 8), ("beta_slow", 0.5), ("truncate", False)):
            if draw.chance(0.3):
                s[key] = value
        if draw.chance(0.3):
            s["attention_factor"] = 1.25
        elif draw.chance(0.4):
            s.update(mscale=0.8, mscale_all_dim=rng.choice((0, 1.2)))
    if kind == "longrope":
        for key in ("short_factor", "long_factor"):
            s[key] = [round(rng.uniform(0.8, 6), 3) for _ in range(dims // 2)]
        s[rng.choice(("original_max_position_embeddings", "max_position_embeddings"))] = old
        if "original_max_position_embeddings" in s and draw.chance(0.5):
            s["max_position_embeddings"] = 3 * old
        else:
            s[rng.choice(("factor", "attention_factor"))] = 2
    return s


def masks(b, given):
    draw, rng, doc = b.draw, b.draw.rng, b.doc
    if draw.option("causal", 1.5):
        per_item = [rng.randint(-2, given) for _ in range(b.batch)]
        doc["causal"] = rng.choice((True, "top_left", "bottom_right", {"offset": rng.randint(-2, given)},
                                    {"offset": per_item}, False))
    if b.variant == "sliding_window" or draw.option("window"):
        window = {side: rng.randint(0, 4) for side in ("left", "right") if draw.chance(0.65)}
        doc["window"] = window or {"left": rng.randint(0, 4)}
    if draw.option("chunk"):
        doc["chunk"] = rng.randint(1, 4)
    if draw.option("prefix_keys"):
        per_item = [rng.randint(0, given) for _ in range(b.batch)]
        doc["prefix_keys"] = per_item if draw.chance(0.4) else per_item[0]
    if draw.option("token_blocks"):
        doc["token_blocks"] = [blocks(rng, given) for _ in range(b.batch)] if draw.chance(0.4) else blocks(rng, given) or [[0, 1]]
    if draw.option("key_lengths"):
        doc["key_lengths"] = [rng.randint(0 if draw.chance(0.15) else 1, given) for _ in range(b.batch)]
    if draw.option("mask", 1.5):
        found = [one_mask(b, given) for _ in range(1 if draw.chance(0.7) else rng.randint(2, 3))]
        doc["mask"] = found if len(found) > 1 or draw.chance(0.1) else found[0]


def blocks(rng, given):
    """None, one or two of them, which may overlap."""
    starts = [rng.randint(0, given - 1) for _ in range(rng.randint(0, 2))]
    return [[n, rng.randint(n + 1, given)] for n in starts]


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
        if draw.chance(0.4):
            both = draw.chance(0.5)
            option = {"buckets": draw.tensor((rng.randint(4 if both else 2, 12), b.heads))}
            if draw.chance(0.6):
                option["max_distance"] = rng.randint(7, 40)
            if not both or draw.chance(0.3):
                option["bidirectional"] = both
            doc["position_bias"] = option
        else:
            item = rng.choice(((), (), (1,), (b.batch,)))
            doc["position_bias"] = draw.tensor(item + (b.heads, b.queries, given))


def has_mask(b):
    doc = b.doc
    causal = doc.get("causal", b.variant in ("causal_attention", "sliding_window"))
    return causal is not False or any(k in doc for k in ("window", "chunk", "prefix_keys", "token_blocks", "key_lengths", "mask"))


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
