"""What the benchmarks share: the table of losses, problems of a given size, interleaved timing, the STREAM triad.

asv forks its workers from a process that has imported these modules. So they import fusedloss, which loads no Numba,
and leave the rest to `setup`: after a fork fusedloss does not use Numba's threads, and others would be measured.
"""

from __future__ import annotations

import functools
import math
import sys
import time
from importlib import import_module
from typing import NamedTuple

import numpy as np

import fusedloss as fl

from . import REPOSITORY

DTYPES = ["float32", "float64"]
LARGE = 10**7


# ---- the table of losses -----------------------------------------------------------------------------------------


class Missing(NamedTuple):
    """A loss that the commit under test does not have."""

    name: str


def _examples():
    """The rows of tests/examples.py of the working tree.

    asv runs them on older commits too and finds rows by their position, so losses that a commit lacks leave a gap.
    """
    plain = fl.__getattr__

    def with_gaps(name):
        try:
            return plain(name)
        except (AttributeError, ImportError):
            if not name[:1].isupper():
                raise
            return lambda *args, **parameters: Missing(fl.loss.snake_case(name))

    fl.__getattr__ = with_gaps
    sys.path.insert(0, str(REPOSITORY / "tests"))
    try:
        return import_module("examples")
    finally:
        sys.path.remove(str(REPOSITORY / "tests"))
        fl.__getattr__ = plain


examples = _examples()

FIRST = {}
"""The first row of every loss, by the loss's name."""
for row in examples.EXAMPLES:
    FIRST.setdefault(row.loss.name, row)


def example(name):
    """The row of a loss with its default parameters, or one made for it."""
    if name in FIRST and isinstance(FIRST[name].loss, Missing):
        raise NotImplementedError(f"this commit has no {name}")  # asv: skip
    loss = fl.get(name)
    rows = [row for row in examples.EXAMPLES if row.loss == loss]
    return rows[0] if rows else examples.Example(loss)


class Problem(NamedTuple):
    """A loss, targets and predictions to compute it on, and arrays for its gradient and Hessian."""

    loss: fl.Loss
    y: np.ndarray
    f: np.ndarray
    g: np.ndarray
    h: np.ndarray

    def value_and_grad(self):
        return self.loss.value_and_grad(self.y, self.f, reduction="sum", out=self.g)

    def grad_and_hess(self):
        return self.loss.grad_and_hess(self.y, self.f, out=(self.g, self.h))

    def triad(self):
        """The same bytes as `value_and_grad`: two arrays are read, one is written."""
        triads()[0](self.g, self.y, self.f, self.f.dtype.type(3))

    def triad_with_two_outputs(self):
        """The same bytes as `grad_and_hess`."""
        triads()[1](self.g, self.h, self.y, self.f, self.f.dtype.type(3))


def problem(row, n, dtype):
    """n ordinary samples for a row's loss; beyond a million they repeat."""
    y, f = ordinary(row.loss, np.random.default_rng(0), min(n, 10**6))
    y, f = np.resize(y.astype(dtype), n), np.resize(f.astype(dtype), n)
    return Problem(row.loss, y, f, np.zeros_like(f), np.zeros_like(f))


def ordinary(loss, rng, n):
    """Targets and predictions as models make them: the table's own samplers go to the ends of the domain, where every
    twentieth logit is beyond 458 and its exponential subnormal, which processors compute many times more slowly."""
    def member(domain, of_reals):
        if domain.low == 0.0 and domain.high == 1.0:
            return rng.uniform(0.01, 0.99, n)
        return rng.gamma(2.0, 1.0, n) + 0.01 if math.isfinite(domain.low) else of_reals

    labels = loss.y_domain.low == 0.0 and loss.y_domain.high == 1.0
    y = (rng.random(n) < 0.3).astype(float) if labels else member(loss.y_domain, rng.normal(size=n))
    return y, member(loss.pred_domain, 2.0 * rng.normal(size=n))


# ---- the floor ---------------------------------------------------------------------------------------------------


@functools.cache
def triads():
    """STREAM's triad on Numba's threads, with one output and with two."""
    from numba import njit, prange

    @njit(parallel=True, error_model="numpy")
    def triad(a, b, c, s):
        for i in prange(a.size):
            a[i] = b[i] + s * c[i]

    @njit(parallel=True, error_model="numpy")
    def triad_with_two_outputs(a, d, b, c, s):
        for i in prange(a.size):
            bi, ci = b[i], c[i]
            a[i] = bi + s * ci
            d[i] = bi - s * ci

    return triad, triad_with_two_outputs


def threads():
    """Threads that ours, and every peer that can be told, may use."""
    from fusedloss.drivers import thread_limit

    return thread_limit()


# ---- timing ------------------------------------------------------------------------------------------------------


def interleaved(rounds, *functions, pause=0.002):
    """Seconds of each function in each round, an array (rounds, functions).

    The functions take turns, and the order turns too: what the machine does meanwhile meets all of them alike. The
    pause lets a peer's threads fall asleep.
    """
    for function in functions:  # compiles, touches the pages
        function()
    seconds = np.empty((rounds, len(functions)))
    for r in range(rounds):
        for k in np.roll(np.arange(len(functions)), r):
            time.sleep(pause)
            start = time.perf_counter()
            functions[k]()
            seconds[r, k] = time.perf_counter() - start
    return seconds


def median_ratio(seconds, a=0, b=1):
    """The median over rounds of function a's time over function b's."""
    return float(np.median(seconds[:, a] / seconds[:, b]))


def best_ratio(seconds, a=0, b=1):
    """The best time of function a over the best of function b."""
    return float(seconds[:, a].min() / seconds[:, b].min())
