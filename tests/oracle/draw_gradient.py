"""What enters a document's backward pass, at random: contract's gradients.md, section 1."""
from reference import compute


def gradient(draw, doc):
    """Adds the key; shapes are those that the oracle's stages have."""
    stages = compute(doc)
    context = stages["context"].shape
    batch, queries = context[0], context[2]
    width = next((stages[n].shape[2] for n in ("output", "normed_concat", "concat") if n in stages), context[1] * context[3])

    def result():
        shape = (batch, queries, width)
        return draw.tensor(shape[1:] if batch == 1 and draw.chance(0.3) else shape)
    kinds = ["output"] * 4 + ["ones", "sum", "mean_squared_error", "context", "both"] + ["state", "all"] * ("state" in stages)
    kind = draw.rng.choice(kinds)
    if kind == "ones":
        doc["gradient"] = "ones"
    elif kind == "sum":
        doc["gradient"] = {"loss": "sum"}
    elif kind == "mean_squared_error":
        doc["gradient"] = {"loss": kind, "target": result()}
    else:
        found = doc["gradient"] = {}
        if kind in ("output", "both", "all"):
            found["output"] = result()
        if kind in ("context", "both") or kind == "state" and draw.chance(0.5):
            found["context"] = draw.tensor(context)
        if kind in ("state", "all"):
            found["state"] = draw.tensor(stages["state"].shape)
