"""Rotary frequencies of long sequences, by the types of config.json.

Sources: Chen et al. 2023 "Extending Context Window" (linear), "NTK-aware" dynamic scaling (bloc97 and emozilla 2023), Peng et al.
2023 "YaRN" (sections 3.2 and 3.4; the default of its attention factor, equation 22), Ding et al. 2024 "LongRoPE" with the attention factor
of Phi 3, Llama 3.1 (its apply_scaling), Gemma 4 (proportional: a share of all pairs).
"""
import math


def frequencies(scaling, base, dims, longest):
    """(radians per position of each pair, factor of cos and sin); longest: the largest position + 1."""
    half = dims // 2
    plain = [1 / base ** (2 * n / dims) for n in range(half)]
    kind = (scaling or {}).get("type", (scaling or {}).get("rope_type", "default"))
    kind = {"su": "longrope", "mrope": "default"}.get(kind, kind)
    made = {"default": lambda *_: (plain, 1.0), "linear": lambda *_: ([w / scaling["factor"] for w in plain], 1.0),
            "dynamic": dynamic, "llama3": llama3, "yarn": yarn, "longrope": longrope, "proportional": proportional}
    return made[kind](scaling, base, dims, plain, longest)


def dynamic(s, base, dims, plain, longest):
    length = s["max_position_embeddings"]
    if longest <= length:
        return plain, 1.0
    larger = base * (s["factor"] * longest / length - (s["factor"] - 1)) ** (dims / (dims - 2))
    return [larger ** (-2 * n / dims) for n in range(dims // 2)], 1.0


def llama3(s, _base, _dims, plain, _longest):
    old, low, high = s["original_max_position_embeddings"], s["low_freq_factor"], s["high_freq_factor"]

    def one(w):
        wave = 2 * math.pi / w
        if wave < old / high:
            return w
        if wave > old / low:
            return w / s["factor"]
        smooth = (old / wave - low) / (high - low)
        return (1 - smooth) * w / s["factor"] + smooth * w
    return [one(w) for w in plain], 1.0


def yarn(s, base, dims, plain, _longest):
    old = s.get("original_max_position_embeddings", s.get("max_position_embeddings"))
    factor = s["factor"] if "factor" in s else s["max_position_embeddings"] / old

    def turns(r):
        return dims * math.log(old / (r * 2 * math.pi)) / (2 * math.log(base))

    low, high = turns(s.get("beta_fast", 32)), turns(s.get("beta_slow", 1))
    if s.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dims - 1)
    if low == high:
        high += 0.001
    out = []
    for n, w in enumerate(plain):
        extrapolated = 1 - min(max((n - low) / (high - low), 0), 1)
        out.append(w / factor * (1 - extrapolated) + w * extrapolated)

    def scale(weight):
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0
    if "attention_factor" in s:
        return out, s["attention_factor"]
    if s.get("mscale") and s.get("mscale_all_dim"):
        return out, scale(s["mscale"]) / scale(s["mscale_all_dim"])
    return out, scale(1.0)


def longrope(s, _base, _dims, plain, longest):
    old = s.get("original_max_position_embeddings", s.get("max_position_embeddings"))
    divisors = s["long_factor"] if longest > old else s["short_factor"]
    if "attention_factor" in s:
        times = s["attention_factor"]
    else:
        both = "original_max_position_embeddings" in s and "max_position_embeddings" in s
        longer = s["max_position_embeddings"] / old if both else s["factor"]
        times = 1.0 if longer <= 1 else math.sqrt(1 + math.log(longer) / math.log(old))
    return [w / e for w, e in zip(plain, divisors)], times


def proportional(s, base, dims, plain, _longest):
    turning = int(s.get("partial_rotary_factor", 1.0) * dims / 2)
    return [w / s.get("factor", 1.0) if n < turning else 0.0 for n, w in enumerate(plain)], 1.0
