"""Stages of half precision, checked one by one: each is computed from the program's own stages before it, in float64, and rounded
where `"dtype": "bfloat16"` and `"float16"` say (docs/numerics.md). So a rounding that is left out, or is at another place, shows
where it is made, and what a number near a tie becomes carries nothing with it.
"""
import numpy as np

import drawn
from judge import EPS32, Failure, row_max, wrong_order
from reference import Run
from tensors import nearest, rounding, tensor

NOISE = 64 * EPS32  # of sums in float32, at the size of the row


class Follower(Run):
    """A run that goes on from the program's stages; `failure` is the first that is not what the formula makes of them."""

    def __init__(self, document, stages, kind):
        self.found, self.kind, self.failure, self.order = stages, kind, None, []
        self.exact = self.all_numbers = 0
        super().__init__(document)

    def put(self, name, value):
        value = np.asarray(value, dtype=np.float64)
        if self.doc.get("normalize") == "sum" and name == "weights" or name == "lse":
            noise = 16 * NOISE * (1.0 + np.abs(value))
        else:
            noise = NOISE * (1.0 + row_max(np.where(np.isfinite(value), np.abs(value), 0.0)))
        got = self.found.get(name)
        if got is not None:
            got = tensor(got["data"]).reshape(value.shape)
            least, want, most = (nearest(v, self.kind) for v in (value - noise, value, value + noise))
            same = (got == want) | (np.isnan(got) & np.isnan(want))
            good = same | (least <= got) & (got <= most)
            self.exact += int(same.sum())
            self.all_numbers += got.size
            if not good.all() and not self.failure:
                at = tuple(int(i) for i in np.argwhere(~good)[0])
                self.failure = Failure("value", self.kind, name, "at %s found %r, expected %r" % (
                    list(at), float(got[at]), float(want[at])))
            value = got
        self.stages[name] = value
        return value


def judge(document, trace, kind):
    """(the first Failure of a trace or None, numbers that are equal to the last bit, all numbers)"""
    with rounding(kind), np.errstate(all="ignore"):
        run = Follower(drawn.resolved(document), trace["stages"], kind)
        stages = run.all()
    wrong = wrong_order(trace["order"], list(stages)) if run.failure is None else None
    return run.failure or (Failure("stages", kind, None, wrong) if wrong else None), run.exact, run.all_numbers
