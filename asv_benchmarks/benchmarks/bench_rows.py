"""Every row loss of the table; cross-entropy at many numbers of columns, in both layouts; memory beyond the outputs."""

import sys

import numpy as np

import fusedloss as fl

from .bench_memory import extra_bytes
from .common import DTYPES, Missing, Problem, examples

RowExample = sys.modules["rows"].RowExample
"""A line of the table, which lies in `tests/`."""

FIRST = {}
"""Of every row loss the first row of the table with the most columns."""
for row in examples.ROW_EXAMPLES:
    known = FIRST.get(row.loss.name)
    if known is None or row.columns > known.columns:
        FIRST[row.loss.name] = row

COLUMNS = [3, 10, 100, 300, 1000, 50_000]
NUMBERS = 4 * 10**6
"""How many numbers the predictions hold, whatever the number of columns."""


def row_problem(row, n, dtype, order="C"):
    """n rows of targets as the table draws them and of ordinary predictions: its own go to the ends of the domain."""
    rng = np.random.default_rng(0)
    y = np.asarray((row.y or labels)(rng, n, row.columns))
    f = (1.0 if row.loss.columns else 2.0) * rng.normal(size=(n, row.columns))
    y = y.astype(dtype) if y.dtype.kind == "f" else y
    f = np.asarray(f[:, 0] if row.loss.single_score else f, dtype, order)
    return Problem(row.loss, y, f, np.zeros_like(f), np.zeros_like(f))


def labels(rng, n, columns):
    return rng.integers(0, columns, n)


def cross_entropy(columns, dtype, order="C", numbers=NUMBERS):
    """Softmax cross-entropy of so many logits."""
    return row_problem(RowExample(fl.CategoricalCrossEntropy(), columns), numbers // columns, dtype, order)


class EveryRowLoss:
    params = (sorted(FIRST), DTYPES)
    param_names = ("loss", "dtype")
    n = 10**5

    def setup(self, name, dtype):
        if isinstance(FIRST[name].loss, Missing):
            raise NotImplementedError(f"this commit has no {name}")  # asv: skip
        self.problem = row_problem(FIRST[name], self.n, dtype)
        self.problem.value_and_grad()
        self.problem.grad_and_hess()

    def time_value_and_grad(self, name, dtype):
        self.problem.value_and_grad()

    def time_grad_and_hess(self, name, dtype):
        self.problem.grad_and_hess()


class Columns:
    """Softmax cross-entropy of as many numbers in rows of any length."""

    params = (COLUMNS, DTYPES, ["C", "F"])
    param_names = ("columns", "dtype", "order")

    def setup(self, columns, dtype, order):
        if not hasattr(fl, "CategoricalCrossEntropy"):
            raise NotImplementedError("this commit has no losses of rows")  # asv: skip
        self.problem = cross_entropy(columns, dtype, order)
        self.problem.value_and_grad()

    def time_value_and_grad(self, columns, dtype, order):
        self.problem.value_and_grad()

    def track_extra_bytes(self, columns, dtype, order):
        return extra_bytes(self.problem.value_and_grad)

    track_extra_bytes.unit = "bytes"
