"""Points in the domain of a loss: ordinary ones, as data has them, and the ends of the domain."""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np

from ..domain import Interval, Labels

__all__ = ["Point", "columns_of", "distinct", "far", "grid", "inside", "numbers_of", "ordinary", "row_for", "single",
           "target_for"]

Point = namedtuple("Point", "y f")
"""A target and a row of predictions, both of numbers that float32 represents."""

TARGETS, PREDICTIONS, ROWS = 10, 48, 30
"""Of ordinary points: targets and, of all of them together, predictions; rows."""

MANY = 8
"""Columns from which fewer points are looked at, and not every column of each."""

SIZES = np.array([1e-30, 1e-8, 17.0, 36.5, 88.0, 104.0, 745.0, 1e4, 1e9])
"""Where exponentials, logarithms and squares break in float32 and in float64."""


def ordinary(loss, columns):
    """Points as data has them."""
    rng = np.random.default_rng(0)
    if loss.rowwise:
        return [Point(target_for(loss, rng, columns, k), row_for(loss, rng, columns, k))
                for k in range(ROWS if columns <= MANY else ROWS // 3)]
    targets = distinct(numbers_of(loss.y_domain, rng, TARGETS))
    each = max(6, PREDICTIONS // len(targets))
    return [Point(y, np.array([f])) for y in targets for f in distinct(_predictions_for(loss, y, rng, each))]


def far(loss, columns):
    """Points at the ends of the domain: tiny, large, and next to finite ends; rows in which one column is so."""
    domain, rng = loss.pred_domain, np.random.default_rng(1)
    x = np.concatenate([-SIZES[::-1], [0.0], SIZES])
    ends = [end for end in (domain.low, domain.high) if math.isfinite(end)]
    x = distinct(inside(single(np.concatenate([x, *[end + x for end in ends]])), domain))
    if not loss.rowwise:
        targets = distinct([*numbers_of(loss.y_domain, rng, 8), *inside(single([1e-8, 1e4]), loss.y_domain)])
        return [Point(targets[(k + shift) % len(targets)], np.array([f])) for k, f in enumerate(x) for shift in (0, 1)]
    if not domain.everything:
        return []
    largest = 40.0 if loss.columns else 1e4  # the logarithm of a scale, for one
    points = []
    for k, f in enumerate(x for x in x if abs(x) <= largest):
        row = row_for(loss, rng, columns, k)
        row[k % columns] = f
        points.append(Point(target_for(loss, rng, columns, k), row))
    return points


def columns_of(point):
    """The columns of a point that are looked at: of many the label, the farthest, and a few others."""
    n = point.f.size
    if n <= MANY:
        return range(n)
    label = [int(point.y)] if isinstance(point.y, (int, np.integer)) and point.y < n else []
    return sorted({*label, int(abs(point.f).argmax()), 0, n // 3, 2 * n // 3, n - 1})


def grid(loss, y):
    """Predictions of one number from small to large, denser around zero and around y."""
    domain = loss.pred_domain
    sizes = np.geomspace(1e-3, 1e3 if loss.link == "identity" else 40.0, 19)
    steps = np.concatenate([-sizes[::-1], sizes])
    x = np.concatenate([steps, y + steps] if loss.link == "identity" or not domain.everything else [steps])
    x += 1.2345e-5 * (1.0 + abs(x))  # not at places where a formula may be special
    if math.isfinite(domain.high - domain.low):
        x = np.concatenate([x, domain.low + (domain.high - domain.low) * np.linspace(0.001, 0.999, 41)])
    return np.sort(x[(x > domain.low) & (x < domain.high)])


# ---- numbers -----------------------------------------------------------------------------------------------------


def single(x):
    """Numbers as float32 has them, in float64."""
    return np.asarray(x, np.float32).astype(np.float64)


def short(x):
    """Numbers with three digits, as far as float32 has them: a report is read by people."""
    return single(np.vectorize(lambda v: float(f"{v:.3g}"), otypes=[float])(x))


def inside(x, domain):
    """The numbers of x that belong to a domain."""
    return x[~domain.outside(x)]


def distinct(x):
    """The numbers of x without repetitions, in their order."""
    return list(dict.fromkeys(np.asarray(x).tolist()))


def numbers_of(domain, rng, n):
    """n numbers of a domain, its closed ends among them."""
    if isinstance(domain, Labels):
        return np.arange(n) % 2.0
    low, high = domain.low, domain.high
    if math.isfinite(high - low):
        x = low + (high - low) * rng.uniform(0.001, 0.999, n)
    elif math.isfinite(low):
        x = low + np.exp(rng.normal(0.0, 1.5, n))
    elif math.isfinite(high):
        x = high - np.exp(rng.normal(0.0, 1.5, n))
    else:
        x = rng.normal(0.0, 3.0, n)
    for k, end in enumerate([end for end, closed in ((low, domain.low_closed), (high, domain.high_closed)) if closed]):
        x[k::8] = end
    return inside(short(x), domain)


def _predictions_for(loss, y, rng, n):
    """About 2 n predictions of one number for the target y: around zero, around y, at y, and next to ends of the domain."""
    domain = loss.pred_domain
    if not domain.everything:
        near = y * (1.0 + np.array([0.0, 1e-4, -1e-4, 0.1]))
        ends = [side for side in (domain.low + np.array([1e-5, 1e-3]), domain.high - np.array([1e-5, 1e-3]))
                if math.isfinite(side[0])]
        return inside(single(np.concatenate([numbers_of(domain, rng, n), near, *ends])), domain)
    sign, half = rng.choice([-1.0, 1.0], n // 2), n // 2
    around = [short(rng.normal(0.0, 3.0, n)), short(sign * 10.0 ** rng.uniform(-5, 1.5, half)), [0.0]]
    if loss.link == "identity":
        around += [y + short(sign * 10.0 ** rng.uniform(-5, 2.0, half)), [y]]
    return single(np.concatenate(around))


# ---- rows --------------------------------------------------------------------------------------------------------


def target_for(loss, rng, columns, k):
    """The target number k of a row loss."""
    kind, domain = loss.target, loss.y_domain
    if kind == "label" or (kind == "classes" and k % 2):
        return k // 2 % loss.n_classes(columns)
    if kind == "number":
        return float(rng.choice(numbers_of(domain, rng, 8)))
    if kind == "classes" or (isinstance(domain, Interval) and domain.low == 0.0):
        return single(rng.dirichlet(np.ones(columns)) * 0.99 + 0.01 / columns)
    if isinstance(domain, Labels):
        y = (rng.uniform(size=columns) < 0.4) * 1.0
        y[k % columns] = 1.0
        return y
    return short(rng.normal(0.0, 2.0, columns))


def row_for(loss, rng, columns, k):
    """The row number k of predictions: probabilities where the loss takes these, else raw scores, some of them confident."""
    domain = loss.pred_domain
    if loss.single_score:
        return short(rng.normal(0.0, 3.0, 1))
    if (domain.low, domain.high) == (0.0, 1.0):
        return single(rng.dirichlet(np.ones(columns)) * 0.99 + 0.01 / columns)
    if not domain.everything:
        return single(rng.choice(numbers_of(domain, rng, 16), columns))
    return short(rng.normal(0.0, 1.0 if loss.columns else 1.5 if k % 5 else 8.0, columns))
