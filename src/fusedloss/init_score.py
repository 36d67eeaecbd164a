"""The constant raw score that minimises a loss: where boosting and Newton's method start.

It is known for most losses: a function of the weighted mean of the targets (`optimum`), or a weighted quantile of
them (`quantile_level`). Of any other loss the minimum is searched in passes over the targets in chunks: `_Passes` is
the only part that evaluates losses, by their public methods, and holds no more than three chunks.

Convex losses: the summed gradient changes its sign at the minimum; Newton's method inside a bracket, bisection where
it does not help. Others: the best of a grid of starts, then the majorizer (a parabola above the loss: every step goes
down) or golden section, then the sign of the gradient again. That finds the best minimum near the grid, and
may miss a narrow one between its points.
"""

from __future__ import annotations

import math

import numpy as np

from .arrays import numpy as arrays
from .loss import Elementwise

__all__ = ["minimising_constant"]

CHUNK = 1 << 17
EPSILON = 2.0**-52
GRID = 31
"""Quantiles of the targets that are tried as starts for a loss that is not convex."""
SCORES = [s * x for s in (-1.0, 1.0) for x in (0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 14.0, 20.0)]
"""And raw scores, where the prediction is not in the target's units."""


def minimising_constant(loss, y_true, sample_weight=None):
    """The raw score c that minimises sum(w * l(y, c)): a float, or an array (k,) for targets (n, k), one per column.

    Where every point of an interval minimises it, the middle of the interval, and of an unbounded one its finite end.
    Where the loss falls for ever, what it falls towards: +-inf (cross-entropy of one class only), or an end of the
    predictions' domain. NaN where a target is NaN. A quantile, and the search for a loss that is not convex, sorts a
    copy of the targets; otherwise there is no copy.

    Raises
    ------
    ValueError : no targets, no weight, or a target or weight outside its domain.
    """
    if loss.rowwise:
        from .init_score_rows import minimising_row

        return minimising_row(loss, y_true, sample_weight)
    y = arrays.view("y_true", y_true)
    w = sample_weight
    if w is not None:
        w = arrays.per_sample("sample_weight", arrays.view("sample_weight", w), y)
    if y.size == 0:
        raise ValueError("y_true is empty: there is nothing to minimise over")
    loss(y, np.broadcast_to(_inside(loss.pred_domain), y.shape), w, "sum")  # checks every target and weight
    if y.ndim < 2:
        return _of_column(loss, y.reshape(-1), None if w is None else w.reshape(-1))
    result = np.empty(y.shape[1:])
    for j in np.ndindex(result.shape):
        column = (slice(None), *j)
        result[j] = _of_column(loss, y[column], None if w is None else w[column])
    return result


def _of_column(loss, y, w):
    mean = _weighted_mean(y, w)
    if math.isnan(mean):
        return math.nan
    if hasattr(loss, "optimum"):
        return float(loss.optimum(mean))
    if hasattr(loss, "quantile_level"):
        return weighted_quantiles(y, w, [loss.quantile_level])[0]
    passes = _Passes(loss, y, w)
    if loss.convex:
        return _convex(passes, _inside(loss.pred_domain, mean if loss.link == "identity" else 0.0), _spread(y))
    return _not_convex(passes, mean)


# ---- the targets -------------------------------------------------------------------------------------------------


class _Target(Elementwise):
    """The prediction itself: its mean is the weighted mean of what is passed for it."""

    def value(self, y, f):
        return f


def _weighted_mean(y, w):
    if w is not None and not np.any(w):
        raise ValueError("sample_weight is 0 for every sample: there is nothing to minimise over")
    return _Target()(y, y, w)


def _spread(y):
    """Largest minus smallest target, 1 where they are equal."""
    spread = float(np.fmax.reduce(y)) - float(np.fmin.reduce(y))
    return spread if 0.0 < spread < math.inf else 1.0


def weighted_quantiles(y, w, levels):
    """For each level q the middle of the points below which there is weight q: numpy.median for q = 1/2.

    Sorts a copy of the targets (without weights: only partly).
    """
    if w is None:
        ranks = [_ranks(q * y.size, y.size) for q in levels]
        x = np.partition(y, sorted({k for pair in ranks for k in pair}))
        return [_middle(x[low], x[high]) for low, high in ranks]
    order = np.argsort(y, kind="stable")
    order = order[w[order] > 0]
    below = np.cumsum(w[order], dtype=np.float64)
    results = []
    for q in levels:
        wanted, slack = q * below[-1], 1e-12 * below[-1]  # a tie of sums of weights holds up to rounding
        low, high = np.searchsorted(below, [wanted - slack, wanted + slack])
        results.append(_middle(*y[order[np.minimum([low, high], order.size - 1)]]))
    return results


def _ranks(wanted, n):
    """The ranks of the two order statistics around `wanted` of n samples."""
    slack = 1e-12 * n
    low, high = math.ceil(wanted - slack) - 1, math.floor(wanted + slack)
    return min(max(low, 0), n - 1), min(max(high, 0), n - 1)


def _middle(low, high):
    low, high = float(low), float(high)
    return low if low == high else 0.5 * low + 0.5 * high


def _inside(domain, x=0.0):
    """A member of a predictions' domain: x itself where it belongs to it."""
    low, high = float(domain.low), float(domain.high)
    if math.isfinite(x) and not domain.outside(x):
        return x
    if math.isinf(low) and math.isinf(high):
        return 0.0
    return low + 1.0 if math.isinf(high) else high - 1.0 if math.isinf(low) else 0.5 * (low + high)


# ---- passes over the data ----------------------------------------------------------------------------------------


class _Passes:
    """Sums of a loss and of its derivatives over the targets, for a constant prediction."""

    def __init__(self, loss, y, w):
        self.loss, self.y, self.w = loss, y, w
        size = min(y.size, CHUNK)
        self.predictions, self.gradients, self.curvatures = np.empty((3, size))

    def value(self, c):
        return self._sums(c, lambda y, f, w, g, h: (self.loss(y, f, w, "sum"),))[0]

    def gradient(self, c):
        """(gradient, curvature), both summed; curvature 0 where the loss has no Hessian."""
        if not hasattr(self.loss, "hessian"):
            return self._sums(c, lambda y, f, w, g, h: (self.loss.grad(y, f, w, "sum", out=g).sum(), 0.0))
        return self._curved(c, "exact")

    def majorized(self, c):
        """(gradient, curvature of the majorizer), both summed."""
        return self._curved(c, "majorizer")

    def _curved(self, c, hessian):
        def both(y, f, w, g, h):
            self.loss.grad_and_hess(y, f, w, hessian, out=(g, h))
            return g.sum(), h.sum()

        return self._sums(c, both)

    def _sums(self, c, of_chunk):
        """The sums of what `of_chunk(y, f, w, gradient buffer, Hessian buffer)` returns for each chunk."""
        self.predictions.fill(c)
        parts = []
        for start in range(0, self.y.size, CHUNK):
            y = self.y[start: start + CHUNK]
            w = None if self.w is None else self.w[start: start + CHUNK]
            f, g, h = (a[: y.size] for a in (self.predictions, self.gradients, self.curvatures))
            parts.append(of_chunk(y, f, w, g, h))
        return tuple(float(sum(column)) for column in zip(*parts, strict=True))


# ---- convex losses -----------------------------------------------------------------------------------------------


def _convex(passes, start, step):
    """Where the summed gradient changes its sign: the middle of where it is zero."""
    smooth = passes.loss.smooth
    slope, curvature = passes.gradient(start)
    if slope == 0.0:
        return start if smooth and curvature > 0.0 else _flat(passes, start, step, 0.0)
    other, beyond = _walk(passes, start, step if slope < 0.0 else -step)
    if beyond is None:
        return other
    tolerance = 0.0 if smooth else 1e-14 * max(abs(slope), abs(beyond))  # sums of kinks cancel up to rounding only
    if abs(beyond) <= tolerance:
        return _flat(passes, other, abs(other - start), tolerance)
    low, high = (start, other) if slope < 0.0 else (other, start)
    return _sign_change(passes, low, high, tolerance, start, slope, curvature)


def _walk(passes, start, step):
    """(c, gradient there) from `start` downhill to where the gradient no longer points on.

    The gradient is None where the loss falls all the way to +-inf or to an end of the domain, which c is then.
    """
    domain = passes.loss.pred_domain
    end = float(domain.high if step > 0.0 else domain.low)
    end_belongs = math.isfinite(end) and not domain.outside(end)
    c = start
    while True:
        following = c + step
        if (following - end) * step >= 0.0:  # not beyond the end, and not on one that does not belong to the domain
            following = end if end_belongs else 0.5 * (c + end)
        if following == c or math.isinf(following) or abs(c - end) < EPSILON * min(abs(start - end), 1.0):
            return end, None
        slope = passes.gradient(following)[0]
        if slope * step >= 0.0:
            vanished = slope == 0.0 and math.isinf(end) and _vanished(passes, c, following, step)
            return (end, None) if vanished else (following, slope)
        c, step = following, 2.0 * step


def _vanished(passes, c, zero, step):
    """Whether the gradient is 0 at `zero` by underflow: it fades before, and stays 0 beyond."""
    if passes.gradient(zero + 8.0 * step)[0] != 0.0:
        return False
    for _ in range(60):  # where it becomes 0
        middle = 0.5 * (c + zero)
        c, zero = (c, middle) if passes.gradient(middle)[0] == 0.0 else (middle, zero)
    weight = passes.y.size if passes.w is None else float(passes.w.sum())
    return abs(passes.gradient(c - 0.1 * math.copysign(max(1.0, abs(c)), step))[0]) < 1e-30 * weight


def _sign_change(passes, low, high, tolerance, c, slope, curvature):
    """The root in [low, high] of a gradient that does not fall; `slope` and `curvature` are known at one end, c."""
    width = high - low
    finest = EPSILON * EPSILON * width
    step = width
    while True:
        if high - low <= max(EPSILON * max(abs(low), abs(high)), finest):
            return 0.0 if low <= 0.0 <= high else _better(passes, low, high)
        newton = -slope / curvature if 0.0 < curvature < math.inf else math.inf
        if abs(newton) <= max(4.0 * EPSILON * abs(c), finest):
            return c + newton
        if low < c + newton < high and abs(newton) <= 0.5 * abs(step):
            c, step = c + newton, newton
        elif abs(newton) <= 64.0 * EPSILON * width:  # the steps shrink no more: rounding errors are left
            return c
        else:
            step = 0.5 * (high - low)
            c = low + step
        if not low < c < high:
            return _better(passes, low, high)
        slope, curvature = passes.gradient(c)
        if abs(slope) <= tolerance:
            return c if curvature > 0.0 and passes.loss.smooth else _flat(passes, c, 0.0, tolerance, low, high)
        low, high = (c, high) if slope < 0.0 else (low, c)


def _flat(passes, c, step, tolerance, low=None, high=None):
    """The middle of the interval around c where the gradient is zero; its finite end where it is unbounded."""
    left = _edge(passes, c, low, -step, tolerance)
    right = _edge(passes, c, high, step, tolerance)
    if math.isinf(left) and math.isinf(right):
        return c
    return right if math.isinf(left) else left if math.isinf(right) else _middle(left, right)


def _edge(passes, inside, outside, step, tolerance):
    """Where the zero of the gradient ends, between `inside` and `outside` (looked for where it is None)."""
    domain = passes.loss.pred_domain
    scale = abs(step) if outside is None else abs(outside - inside)
    if outside is None:
        outside = inside + step
        for _ in range(80):
            if domain.outside(outside):
                return domain.high if step > 0.0 else domain.low
            if abs(passes.gradient(outside)[0]) > tolerance:
                break
            inside, step = outside, 2.0 * step
            outside = inside + step
        else:
            return math.copysign(math.inf, step)
    while abs(outside - inside) > max(EPSILON * max(abs(inside), abs(outside)), EPSILON * EPSILON * scale):
        middle = 0.5 * (inside + outside)
        if middle in (inside, outside):
            break
        if abs(passes.gradient(middle)[0]) > tolerance:
            outside = middle
        else:
            inside = middle
    return inside


def _better(passes, a, b):
    return b if passes.value(b) <= passes.value(a) else a


# ---- other losses ------------------------------------------------------------------------------------------------


def _not_convex(passes, mean):
    """The best of a grid of starts, improved."""
    loss, y = passes.loss, passes.y
    low, high = float(loss.pred_domain.low), float(loss.pred_domain.high)
    levels = [(k + 0.5) / GRID for k in range(GRID)]
    if math.isfinite(high - low):
        grid = [low + (high - low) * q for q in levels]
    elif loss.link == "identity":
        grid = [mean, *weighted_quantiles(y, passes.w, levels)]
    else:
        grid = SCORES
    grid = sorted({float(c) for c in (*grid, low, high) if not loss.pred_domain.outside(c)})
    values = [passes.value(c) for c in grid]
    values = [math.inf if math.isnan(v) else v for v in values]
    order = sorted(range(len(grid)), key=lambda k: (values[k], math.isinf(grid[k])))
    best = order[0]
    if math.isinf(grid[best]):
        return grid[best]
    if hasattr(loss, "majorizer"):
        found = [_descend(passes, grid[k], _spread(y)) for k in order[:3] if math.isfinite(grid[k])]
    else:
        around = [c for c in grid[max(best - 1, 0): best + 2] if math.isfinite(c)]
        found = [_golden(passes, around[0], around[-1])]
    return min([*found, grid[best]], key=passes.value)


def _descend(passes, c, scale):
    """Steps to the minimum of the majorizer, which never go up; Newton's, near the end, while they shrink."""
    step, newton = math.inf, False
    for _ in range(500):
        previous, longest = step, abs(step) * (0.5 if newton else 10.0)
        newton = False
        if abs(previous) <= 1e-2 * scale:
            slope, curvature = passes.gradient(c)
            newton = curvature > 0.0 and abs(slope) <= curvature * longest
        if not newton:
            slope, curvature = passes.majorized(c)
            if not 0.0 < curvature < math.inf:
                break
        step = -slope / curvature
        c += step
        if abs(step) <= (1e-9 if newton else EPSILON) * scale:
            break
    return c


def _golden(passes, low, high):
    """Golden section until the values tell no more, then the sign of the gradient."""
    ratio = 0.5 * (math.sqrt(5.0) - 1.0)
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = passes.value(a), passes.value(b)
    for _ in range(30):
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = passes.value(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = passes.value(b)
    slope, curvature = passes.gradient(low)
    if not (slope < 0.0 < passes.gradient(high)[0]):
        return a if at_a <= at_b else b
    return _sign_change(passes, low, high, 0.0, low, slope, curvature)
