"""The one table that drives tests and benchmarks: losses with parameters, samplers and independent peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from types import SimpleNamespace

import numpy as np

import fusedloss as fl
from fusedloss.compile import attributes
from fusedloss.domain import Labels


@dataclass(frozen=True)
class Example:
    """One loss with parameters, and what it is tested with.

    `y`, `f`    samplers (rng, n) -> float64 array, where the loss's declared domain says too little
    `peer`      (y, f) -> values by an independent library
    `scale`     (y, f) -> the largest term of the textbook formula, which errors are measured against; None: against the
                answer itself
    """

    loss: fl.Loss
    y: Callable | None = None
    f: Callable | None = None
    peer: Callable | None = None
    scale: Callable | None = None

    @property
    def id(self):
        return repr(self.loss)

    def draw(self, rng, n):
        """n targets and predictions from the middle of the domain, its closed ends among them."""
        y = (self.y or sampler(self.loss.y_domain))(rng, n)
        f = (self.f or sampler(self.loss.pred_domain))(rng, n)
        return np.asarray(y, float), np.asarray(f, float)

    def points(self, F, n):
        """(y, f), twice: n ordinary points, and points at the ends of the domain; exact in the dtype F."""
        rng = np.random.default_rng(0)
        y, f = (x.astype(F).astype(float) for x in self.draw(rng, max(n, 100)))
        far = ends(self.loss.pred_domain, F)
        if self.loss.link in ("log", "cloglog", "logit", "half_logit"):
            far = far[abs(far) <= 1e4]
        if self.f:  # its sampler knows how far the loss is meant to go
            far = far[(far >= f.min()) & (far <= f.max())]
        targets = y if self.y else ends(self.loss.y_domain, F)
        same = rng.choice(targets, 4)  # where regression losses have their kink
        same = same[np.isin(same, far)]
        return (y[:n], f[:n]), (np.append(rng.choice(targets, 2 * len(far)), same), np.append(np.repeat(far, 2), same))

    def scales(self, y, f):
        """`scale` at each point; 0 where the answer itself is the scale."""
        if self.scale is None:
            return np.zeros(len(y))
        with np.errstate(all="ignore"):
            return np.broadcast_to(np.asarray(self.scale(np.asarray(y), np.asarray(f)), float), np.shape(y))


def sampler(domain):
    """(rng, n) -> n numbers of a domain; one in eight is a closed end of it."""
    if isinstance(domain, Labels):
        return lambda rng, n: rng.integers(0, 2, n).astype(float)
    low, high = domain.low, domain.high
    if np.isfinite(low) and np.isfinite(high):
        def middle(rng, n):
            return low + (high - low) * rng.uniform(0.001, 0.999, n)
    elif np.isfinite(low):
        def middle(rng, n):
            return low + np.exp(rng.normal(0.0, 1.5, n))
    elif np.isfinite(high):
        def middle(rng, n):
            return high - np.exp(rng.normal(0.0, 1.5, n))
    else:
        def middle(rng, n):
            return rng.normal(0.0, 3.0, n)
    ends = [end for end, closed in ((low, domain.low_closed), (high, domain.high_closed)) if closed]

    def sample(rng, n):
        x = middle(rng, n)
        for end in ends:
            x[rng.random(n) < 0.125 / len(ends)] = end
        return x

    return sample


def ends(domain, F):
    """Extreme members of a domain that the dtype F represents: its ends, the tiny, the huge, and infinities last."""
    if isinstance(domain, Labels):
        return np.array([0.0, 1.0])
    tiny, huge = (1e-30, 1e30) if F == np.float32 else (1e-200, 1e200)
    x = [0.0, tiny, 1e-8, 0.5, 1.0, 36.5, 745.0, 1e4, huge]
    x = np.array([*(-v for v in x[:0:-1]), *x, *(domain.low + np.array(x)), *(domain.high - np.array(x))])
    x = x.astype(F).astype(float)
    return np.unique(x[np.isfinite(x) & ~domain.outside(x)])


# ---- formulas without a compiler ---------------------------------------------------------------------------------


def interpreted(loss, name, y, f, F):
    """A formula evaluated sample by sample in the arithmetic of F, with what it reads from `self` in F, as kernels do."""
    read = {name: getattr(loss, name) for name in attributes(type(loss))}
    self = SimpleNamespace(**{name: x if isinstance(x, bool) else F(x) for name, x in read.items()})
    formula = getattr(type(loss), name)
    with np.errstate(all="ignore"):
        return np.array([float(formula(self, F(a), F(b))) for a, b in zip(y, f, strict=True)])


def rounded(loss, F):
    """The same loss with parameters that the dtype F represents."""
    numbers = {field.name: getattr(loss, field.name) for field in fields(loss)}
    return type(loss)(**{name: float(F(x)) if type(x) is float else x for name, x in numbers.items()})


def formulas_of(loss):
    return [name for name in ("value", "gradient", "hessian", "majorizer") if hasattr(loss, name)]


# ---- the table ---------------------------------------------------------------------------------------------------

EXAMPLES = []
import importlib
for family in ("regression", "binary", "count"):
    try:
        module = importlib.import_module("fragment_" + family)
    except ImportError as error:
        print(error)
        continue
    EXAMPLES += [Example(e.loss, e.y, e.f, e.peer, e.scale) for e in module.EXAMPLES]
