"""Compares a trace of the program with the oracle's stages: which, in which order, shapes, values."""
import numpy as np

import drawn

from backward import PLAIN_INPUTS, gradients
from backward_scores import SCORES
from reference import BY_NAME, compute
from tensors import tensor

# stages whose place the contract leaves open within bounds
LOOSE = ("convolved_queries", "convolved_keys", "convolved_values", "query_latent", "normed_query_latent", "latent", "normed_latent", "rope_keys", "mapped_queries", "mapped_keys", "mapped_values", "decay", "beta", "normed_context", "state")
EPS32 = 2.0 ** -24
INPUT_GRADIENTS = ["d_" + n for n in PLAIN_INPUTS]


class Failure:
    def __init__(self, kind, mode, stage, text):
        self.kind, self.mode, self.stage, self.text = kind, mode, stage, text

    def key(self):
        return self.kind, self.mode, self.stage

    def __str__(self):
        return "%s in %s%s: %s" % (self.kind, self.mode, ", stage " + self.stage if self.stage else "", self.text)


def shaken(value, rng, key=None):
    """The document with every fractional number moved by some units of float32's last place."""
    if isinstance(value, float):
        return value * (1.0 + EPS32 * 4 * rng.uniform(-1, 1))
    if isinstance(value, dict):
        return {k: v if k == "p" or k == "eps" else shaken(v, rng, k) for k, v in value.items()}
    return [shaken(v, rng) for v in value] if isinstance(value, list) else value


def all_of(document):
    """The stages, and the gradients where the document asks for them."""
    return compute(document) | (gradients(document) if "gradient" in document else {})


def is_by_name(stage):
    return stage in BY_NAME or stage == "d_states"


class Expected:
    """The oracle's stages of one document, and how far they may be missed."""

    def __init__(self, document):
        self.document = document = drawn.resolved(document)
        self.stages = all_of(document)
        self.order = [n for n in self.stages if not is_by_name(n)]
        self._spread = self._zeros = None
        # dividing by a sum that may be near 0 makes more of each rounding error on the way
        self.factor = 256 if document.get("normalize") == "sum" else 8

    def spread(self):
        """How far the stages move when inputs move by float32's last place: stage -> largest in each row."""
        if self._spread is None:
            rng = np.random.default_rng(7)
            self._spread = {n: 0.0 for n in self.stages}
            self._zeros = {n: v == 0 for n, v in self.stages.items()}
            for _ in range(4):
                other = all_of(shaken(self.document, rng))
                for name, value in self.stages.items():
                    self._zeros[name] &= other[name] == 0
                    with np.errstate(invalid="ignore"):
                        moved = np.abs(other[name] - value)
                    moved[~np.isfinite(moved)] = 0.0
                    self._spread[name] = np.maximum(self._spread[name], row_max(moved))
        return self._spread

    def zeros(self, name):
        """Where a gradient is 0 whatever the inputs' last places are: there it is +0, not nearly 0 (a key that nobody sees)."""
        self.spread()
        return self._zeros[name]

    def tolerance(self, name, single, careful):
        largest = row_max(np.where(np.isfinite(self.stages[name]), np.abs(self.stages[name]), 0.0))
        if single:
            return 64 * EPS32 * (1.0 + largest) + self.factor * self.spread()[name]
        plain = 1e-9 * (1.0 + largest)
        return plain + 2.0 ** -26 * self.spread()[name] if careful else plain


def without_ones(t):
    """The shape of an input or parameter, which may be written with more axes than it needs."""
    return [n for n in t.shape if n != 1]


def row_max(t):
    return t.max(axis=-1, keepdims=True) if t.size else t


def wrong_values(got, want, tolerance):
    """The first index where the values differ, or None."""
    with np.errstate(invalid="ignore"):
        near = np.abs(got - want) <= tolerance
    good = (got == want) | (np.isnan(got) & np.isnan(want)) | (near & np.isfinite(got) & np.isfinite(want))
    return None if good.all() else tuple(int(i) for i in np.argwhere(~good)[0])


def has_zeros(name, stages):
    """Gradients that are exactly 0 where nothing is seen: of scores, weights, keys and values. Elsewhere zeros may be of rounding,
    and so they are of scores and keys where a mask hides weights: there the row's sum alone takes part, which rounding leaves."""
    of, late = name[2:], "d_masked_weights" in stages
    return name[:2] == "d_" and (of.endswith("weights") or of in SCORES and not late or
                                 of.endswith(("values",) if late else ("keys", "values")) and "d_weights" in stages)


def wrong_zero(expected, name, got, cut):
    """The first index of a gradient that has to be +0 and is not; `cut` selects what was asked for."""
    if not has_zeros(name, expected.stages) or got.size == 0:
        return None
    doubtful = (cut(expected.stages[name]) == 0) & ((got != 0) | np.signbit(got))
    if doubtful.any():
        doubtful &= cut(expected.zeros(name))
    return tuple(int(i) for i in np.argwhere(doubtful)[0]) if doubtful.any() else None


def selected(value, axes, picks):
    """A stage cut to the selected rows and batch items, by the names of its axes; inputs may be written with fewer."""
    value = value.reshape((1,) * (len(axes) - value.ndim) + value.shape)
    for axis, name in enumerate(axes):
        if name in picks:
            value = np.take(value, picks[name], axis=axis)
    return value


def wrong_order(found, expected):
    """What is wrong with the order of stages; of gradients, those of stages go backwards, then come inputs, then parameters."""
    backwards = [n for n in found if n[:2] == "d_" and n[2:] in found]
    forwards = [n for n in reversed(found) if "d_" + n in backwards]
    if backwards != ["d_" + n for n in forwards]:
        return "gradients in the order %s" % backwards
    rest = [n for n in found if n[:2] == "d_" and n not in backwards]
    places = [n in INPUT_GRADIENTS for n in rest]
    if sorted(places, reverse=True) != places or [n for n in found if n[:2] != "d_"] + backwards + rest != found:
        return "stages, gradients of stages, of inputs, of parameters are mixed: %s" % found
    if sorted(found) != sorted(expected):
        missing = [n for n in expected if n not in found]
        more = [n for n in found if n not in expected]
        return "stages missing: %s, not expected: %s" % (missing, more)
    fixed = [[n for n in names if n not in LOOSE and n[:2] != "d_"] for names in (found, expected)]
    if fixed[0] != fixed[1]:
        return "order %s, expected %s" % tuple(fixed)

    def before(first, second):
        return first not in found or second not in found or found.index(first) < found.index(second)
    pairs = [("values", "convolved_queries"), ("convolved_values", "normed_queries"), ("convolved_values", "rotated_queries"),
             ("latent", "scores"), ("rope_keys", "scores"), ("values", "mapped_queries"), ("rotated_keys", "mapped_queries"),
             ("mapped_queries", "mapped_keys"), ("mapped_keys", "mapped_values"), ("mapped_values", "decay"), ("mapped_values", "beta"), ("mapped_keys", "decay"), ("mapped_keys", "beta"), ("decay", "beta"),
             ("rotated_keys", "decay"), ("rotated_keys", "beta"), ("values", "decay"), ("beta", "context"),
             ("decay", "context"), ("context", "state"), ("context", "normed_context"), ("normed_context", "gated_context"), ("gated_context", "normed_concat"), ("concat", "normed_concat"), ("normed_embeddings", "queries"), ("normed_concat", "output")]
    for first, second in pairs:
        if not before(first, second):
            return "order: %s comes before %s in %s" % (second, first, found)
    return None


def judge(expected, trace, mode, names=None, picks=None):
    """The first Failure of a trace, or None. `names`: the stages asked for; `picks`: axis -> indices asked for."""
    single = mode == "float32"
    stages = trace.get("stages", {})
    wanted = expected.order if names is None else names
    wrong = wrong_order(trace.get("order", []), wanted)
    if not wrong and list(stages) != trace["order"]:
        wrong = "stages %s, but order %s" % (list(stages), trace["order"])
    for name in [n for n in expected.stages if n in wanted and n in stages]:
        stage = stages[name]
        got, want = tensor(stage["data"]), expected.stages[name]
        limits = None

        def fitted(t, stage=stage, name=name, got=got):
            """The oracle's numbers as the trace should have them."""
            if name in ("latent", "d_latent") and got.ndim == 4:  # [batch, 1, key, latent] is the same
                t = t[:, None]
            gradient = name[:2] == "d_"
            if picks and not (gradient and name[2:] not in expected.stages and name not in INPUT_GRADIENTS):  # of a parameter
                t = selected(t, stage["axes"], picks)
            return t.reshape(got.shape) if gradient and without_ones(got) == without_ones(t) else t
        for careful in (False, True):
            limits = fitted(np.broadcast_to(expected.tolerance(name, single, careful), want.shape))
            cut_want = fitted(want)
            if got.shape != cut_want.shape or list(got.shape) != stage["shape"] or len(stage["axes"]) != got.ndim:
                return Failure("shape", mode, name, "shape %s %s (data %s), expected %s" % (
                    stage["shape"], stage["axes"], got.shape, cut_want.shape))
            at = wrong_values(got, cut_want, limits)
            if at is None:
                break
        if at is not None:
            return Failure("value", mode, name, "at %s found %r, expected %r (tolerance %.3g)" % (
                list(at), float(got[at]), float(cut_want[at]), limits[at]))
        at = wrong_zero(expected, name, got, fitted)
        if at is not None:
            return Failure("zero", mode, name, "at %s found %r, expected +0" % (list(at), float(got[at])))
    return Failure("stages", mode, None, wrong) if wrong else None
