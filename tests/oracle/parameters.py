"""Gradients of weights, in the layouts in which they are given.

Each matrix that weights.py hands out is a choice of cells of the tensors that were given. Asked with the numbers of the cells
in place of the tensors, it says which: there the gradient of each entry is added up.
"""
import copy

import numpy as np

from tensors import tensor


class Parameters:
    def __init__(self, weights):
        """weights: a Weights of weights.py."""
        self.cells, self.ends, count = copy.copy(weights), {}, 0
        self.cells.given = {}
        for name, value in weights.given.items():
            shape = tensor(value).shape
            size = int(np.prod(shape))
            self.cells.given[name] = np.arange(count, count + size, dtype=np.float64).reshape(shape)
            count += size
        self.sums, self.used = np.zeros(count), np.zeros(count, dtype=bool)

    def add(self, d, cells):
        """d: the gradient of what weights.py gave; cells: the same asked of self.cells."""
        at = cells.astype(int).ravel()
        np.add.at(self.sums, at, np.asarray(d, dtype=np.float64).reshape(-1))
        self.used[at] = True

    def gradients(self):
        """By the names in the document less their prefix, those that something was added to."""
        result = {}
        for name, cells in self.cells.given.items():
            at = cells.astype(int)
            if self.used[at].any():
                result["d_" + self.cells.theirs.get(name, name)] = self.sums[at]
        return result
