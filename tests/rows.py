"""Row losses in the one table: what an example of one is, and how its formulas are evaluated without a compiler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import mpmath as mp
import numpy as np

import fusedloss as fl


@dataclass(frozen=True)
class RowExample:
    """One row loss with parameters, and what it is tested with.

    `columns`  how many columns the predictions have
    `y`        sampler (rng, n, columns) -> targets: (n,) labels or numbers, or (n, columns); None: labels
    `f`        sampler (rng, n, columns) -> predictions (n, columns); None: normal logits, a tenth of the rows confident
    `peer`     (y, f) -> n values by an independent library
    `scale`    (y, f) of one row -> the largest term of the textbook formula, which errors are measured against; None:
               against each answer itself
    """

    loss: fl.Loss
    columns: int = 4
    y: Callable | None = None
    f: Callable | None = None
    peer: Callable | None = None
    scale: Callable | None = None

    @property
    def id(self):
        return f"{self.loss!r}-{self.columns}".replace("\n", "")

    def draw(self, rng, n, F=np.float64):
        """n targets and rows of predictions, exact in the dtype F."""
        y = (self.y or labels)(rng, n, self.columns)
        f = (self.f or logits)(rng, n, self.columns)
        if np.asarray(y).dtype.kind == "f":
            y = np.asarray(y).astype(F).astype(float)
        return np.asarray(y), np.asarray(f, float).astype(F).astype(float)


def labels(rng, n, columns):
    return rng.integers(0, columns, n)


def multi_hot(rng, n, columns):
    return (rng.uniform(size=(n, columns)) < 0.4) * 1.0


def probabilities(rng, n, columns):
    """Rows of probabilities; every fourth one has a class without any."""
    p = rng.dirichlet(np.full(columns, 0.7), n) + 1e-3
    if columns > 1:
        p[::4, 0] = 0.0
    return p / p.sum(1, keepdims=True)


def numbers(rng, n, columns):
    return rng.normal(0.0, 2.0, n)


def positive(rng, n, columns):
    return np.exp(rng.normal(0.0, 1.0, n))


def logits(rng, n, columns):
    f = rng.normal(0.0, 1.5, (n, columns))
    f[::10] *= 12.0
    return f


# ---- formulas without a compiler ---------------------------------------------------------------------------------


def converted(loss, number, dtype):
    """The same loss with its parameters in another arithmetic."""
    twin = object.__new__(type(loss))
    for field in fields(loss):
        value = getattr(loss, field.name)
        if type(value) is float:
            value = number(value)
        elif isinstance(value, np.ndarray):
            value = np.array([number(x) for x in value.ravel().tolist()], dtype).reshape(value.shape)
        twin.__dict__[field.name] = value
    return twin


def exact(loss):
    return converted(loss, mp.mpf, object)


def exactly(x):
    """A row, or a number, of mpmath; a label as it is."""
    if isinstance(x, (int, np.integer)):
        return int(x)
    if np.ndim(x) == 0:
        return mp.mpf(float(x))
    return np.array([mp.mpf(float(v)) for v in np.asarray(x).tolist()], object)


def formula(loss, name):
    """A formula of rows (self, y, f, ...); one of a single score takes and gives rows of one column here."""
    function = getattr(type(loss), name)
    if not getattr(loss, "single_score", False):
        return function

    def of_rows(twin, y, f, *more):
        result = function(twin, y, f[0], *[x[0] for x in more])
        return result if name == "value" or name.startswith("gradient_") else np.array([result], f.dtype)

    return of_rows


def interpreted(loss, name, y, f, F, *more):
    """A row formula on one row in the arithmetic of F: a float, or an array of floats."""
    twin = converted(loss, F, F)
    y = int(y) if isinstance(y, (int, np.integer)) else F(y) if np.ndim(y) == 0 else np.asarray(y, F)
    with np.errstate(all="ignore"):
        result = formula(loss, name)(twin, y, np.asarray(f, F), *[np.asarray(x, F) for x in more])
    return np.asarray(result, float)
