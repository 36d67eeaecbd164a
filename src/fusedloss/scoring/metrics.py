"""Metrics beside the losses: numbers for people that are no mean of a loss, from the same pass over the data.

A metric is worked out from the mean of a loss (`mae`, `rmse`, `r2`, `log_loss`, `brier`), or from a statistic: a few sums
over samples, per group, that are taken chunk by chunk and added in the order of the chunks. Metrics of the same statistic
share it. Samples that are taken out have left before. A NaN that counts makes a metric NaN, as it makes a mean.
"""

from __future__ import annotations

import difflib
import functools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..evaluate import PLAIN
from ..registry import _split
from . import loops


class Samples:
    """The samples of a chunk that count, for one prediction (or the two ends of an interval)."""

    def __init__(self, names, y, f, high, w, codes, groups, where):
        self.names, self.y, self.f, self.high, self.w, self.codes, self.groups = names, y, f, high, w, codes, groups
        self.where = where
        """The number of a sample, for errors."""

    @property
    def alone(self):
        """Whether there are neither weights nor groups, and a kernel reads the arrays as they are."""
        return self.w is None and not self.groups and all(
            a.dtype in PLAIN and a.flags.c_contiguous and a.flags.aligned for a in (self.y, self.f))

    @functools.cached_property
    def positive(self):
        """Which targets are 1; the others are 0."""
        positive = self.y == 1
        if not (positive | (self.y == 0)).all():
            wrong = np.flatnonzero(~positive & (self.y != 0) & (self.y == self.y))
            if wrong.size:
                raise self.error(self.names[0], wrong[0], self.y, "to be 0 or 1; encode the two classes as 0 and 1")
        return positive

    @functools.cached_property
    def unknown(self):
        """How many samples of each group have a target or a prediction that is NaN, None for none at all."""
        arrays = [a for a in (self.y, self.f, self.high)
                  if a is not None and a.dtype.kind == "f" and np.isnan(a.max(initial=0))]
        return self.count(np.any([np.isnan(a) for a in arrays], axis=0)) if arrays else None

    @functools.cached_property
    def checked(self):
        """The predictions, as probabilities."""
        if self.f.size and not (self.f.min() >= 0 and self.f.max() <= 1):
            wrong = np.flatnonzero((self.f < 0) | (self.f > 1))
            if wrong.size:
                raise self.error(self.names[1], wrong[0], self.f,
                                 "to be in [0, 1]; for raw scores pass from_logits=true, as in accuracy:from_logits=true")
        return self.f

    def error(self, name, i, array, needs):
        return ValueError(f"{name}[{self.where(int(i))}] = {array[i].item()!r}: this metric needs {name} {needs}")

    def count(self, which):
        """sum(w) of the samples that are `which`, per group: everything, then the groups."""
        return self.sums(np.where(which, 1.0 if self.w is None else self.w, 0.0)) if self.w is not None or self.groups else \
            np.array([float(np.count_nonzero(which))])

    def sums(self, x):
        """The sums of an array per group: everything, then the groups."""
        total = np.empty(1 + self.groups)
        total[0] = x.sum(dtype=np.float64)
        if self.groups:
            total[1:] = np.bincount(self.codes, x, self.groups)
        return total

    def histogram(self, places, size, w):
        """sum(w) per group and place, (1 + groups, size)."""
        found = np.empty((1 + self.groups, size))
        found[0] = np.bincount(places, w, size)
        if self.groups:
            found[1:] = np.bincount(self.codes * size + places, w, self.groups * size).reshape(-1, size)
        return found


# ---- statistics --------------------------------------------------------------------------------------------------


class Statistic:
    """Sums over samples: `of` a chunk of them, put together by `add`. `total` has a row for everything, then one a group."""

    def __init__(self):
        self.total = None
        self.unknown = np.zeros(1)

    def chunk(self, samples):
        return self.of(samples), samples.unknown

    def add(self, found):
        found, unknown = found
        self.count(unknown)
        self.total = found if self.total is None else self.put_together(*_alike(self.total, found))

    def count(self, unknown):
        if unknown is not None:
            self.unknown = np.add(*_alike(self.unknown, unknown))

    def put_together(self, total, found):
        return total + found

    def is_unknown(self, group):
        return group < len(self.unknown) and self.unknown[group] > 0


def _alike(*arrays):
    """The arrays with as many groups as the largest has: a part may have come before a group was seen."""
    groups = max(map(len, arrays))
    if groups == min(map(len, arrays)):
        return arrays
    return [np.pad(a, [(0, groups - len(a)), *[(0, 0)] * (a.ndim - 1)]) for a in arrays]


def _scores(from_logits):
    """The smallest and the largest score there may be."""
    return (-math.inf, math.inf) if from_logits else (0.0, 1.0)


class Confusion(Statistic):
    """sum(w) and sum(w^2) of the true negatives, false positives, false negatives and true positives at a threshold."""

    def __init__(self, threshold, from_logits):
        super().__init__()
        self.threshold, self.from_logits = threshold, from_logits

    def of(self, samples):
        if samples.alone:
            counts = np.zeros((1, 4))
            kernel = loops.confusion(samples.y.dtype, samples.f.dtype)
            if kernel(samples.y, samples.f, self.threshold, *_scores(self.from_logits), counts[0]):
                return np.concatenate([counts, counts], axis=1)
        f = samples.f if self.from_logits else samples.checked
        positive, called = samples.positive, f >= f.dtype.type(self.threshold)
        places = 2 * positive.view(np.int8).astype(np.intp) + called
        w = np.ones(places.size) if samples.w is None else samples.w.astype(np.float64, copy=False)
        return np.concatenate([samples.histogram(places, 4, w), samples.histogram(places, 4, w * w)], axis=1)


class Calibration(Statistic):
    """sum(w), sum(w p) and sum(w y) in bins of equal width, (k/N, (k + 1)/N], the first one with 0."""

    def __init__(self, bins, from_logits):
        super().__init__()
        self.bins, self.from_logits = bins, from_logits
        self.edges = np.linspace(0.0, 1.0, bins + 1)

    def of(self, samples):
        with np.errstate(over="ignore", invalid="ignore"):
            p = (1.0 / (1.0 + np.exp(-samples.f.astype(np.float64))) if self.from_logits else
                 samples.checked.astype(np.float64, copy=False))
        if samples.y.size and not (samples.y.min() >= 0 and samples.y.max() <= 1):
            wrong = np.flatnonzero((samples.y < 0) | (samples.y > 1))
            if wrong.size:
                raise samples.error(samples.names[0], wrong[0], samples.y, "to be in [0, 1]")
        places = np.searchsorted(self.edges[1:-1], p)
        w = np.ones(p.size) if samples.w is None else samples.w.astype(np.float64, copy=False)
        return np.concatenate([samples.histogram(places, self.bins, x) for x in (w, w * p, w * samples.y)], axis=1)


class Ranking(Statistic):
    """sum(w) of negatives and positives in bins of the score: of probabilities of equal width, of logits f of equal width
    of f / (1 + |f|)."""

    def __init__(self, bins, from_logits):
        super().__init__()
        self.bins, self.from_logits = bins, from_logits

    def of(self, samples):
        if samples.alone:
            counts = np.zeros((1, 2 * self.bins))
            kernel = loops.score_bins(samples.y.dtype, samples.f.dtype, self.from_logits)
            if kernel(samples.y, samples.f, counts[0]):
                return counts
        with np.errstate(invalid="ignore"):
            f = samples.f if self.from_logits else samples.checked
            f = f.astype(np.float64, copy=False)
            if self.from_logits:
                f = np.where(np.isinf(f), 0.5 + 0.5 * np.sign(f), 0.5 + 0.5 * f / (1.0 + abs(f)))
            places = np.minimum(np.nan_to_num(f * self.bins).astype(np.intp), self.bins - 1)
        w = np.ones(f.size) if samples.w is None else samples.w.astype(np.float64, copy=False)
        return samples.histogram(2 * places + samples.positive, 2 * self.bins, w)


class Scores01(Statistic):
    """The scores of negatives and of positives themselves, with their weights and groups: 4 to 20 bytes a sample, and up to
    three times as much for a moment when they are sorted."""

    def chunk(self, samples):
        positive = samples.positive
        keep = ~np.isnan(samples.f) if samples.unknown is not None else None
        sides = []
        for side in (~positive, positive):
            side = side if keep is None else side & keep
            sides.append(tuple(None if a is None else a[side] for a in (samples.f, samples.w, samples.codes)))
        return sides, samples.unknown

    def add(self, found):
        sides, unknown = found
        self.count(unknown)
        self.total = self.total or ([], [])
        for side, new in zip(self.total, sides, strict=True):
            side.append(new)

    @functools.cached_property
    def areas(self):
        """The areas under the curve: of everything, then of the groups."""
        sides = [[None if side[0][k] is None else np.concatenate([piece[k] for piece in side]) for k in range(3)]
                 for side in self.total]
        self.total = ([], [])
        groups = 1 + max((int(codes.max(initial=-1)) for _, _, codes in sides if codes is not None), default=-1)
        areas = []
        if groups:
            orders = [np.argsort(codes, kind="stable") for *_, codes in sides]
            bounds = [np.searchsorted(codes[order], np.arange(groups + 1))
                      for (*_, codes), order in zip(sides, orders, strict=True)]
            for g in range(groups):
                inside = [order[bound[g]: bound[g + 1]] for order, bound in zip(orders, bounds, strict=True)]
                areas.append(area_under_curve(*[a for (f, w, _), k in zip(sides, inside, strict=True)
                                                for a in (f[k], None if w is None else w[k])]))
        return [area_under_curve(sides[0][0], sides[0][1], sides[1][0], sides[1][1]), *areas]


class Spread(Statistic):
    """sum(w), the weighted mean of the targets, and sum(w (y - mean)^2)."""

    def of(self, samples):
        if samples.alone and samples.y.size:
            found = np.empty((1, 3))
            loops.spread(samples.y.dtype)(samples.y, found[0])
            return found
        y = samples.y.astype(np.float64, copy=False)
        w = np.ones(y.size) if samples.w is None else samples.w.astype(np.float64, copy=False)
        weight = samples.sums(w)
        with np.errstate(invalid="ignore"):
            mean = np.divide(samples.sums(w * y), weight, out=np.zeros(weight.size), where=weight != 0)
            about = samples.sums(w * (y - mean[0]) ** 2)
            if samples.groups:
                about[1:] = np.bincount(samples.codes, w * (y - mean[1:][samples.codes]) ** 2, samples.groups)
        return np.stack([weight, mean, about], axis=1)

    def put_together(self, total, found):
        """Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979."""
        weight = total[:, 0] + found[:, 0]
        share = np.divide(found[:, 0], weight, out=np.zeros(weight.size), where=weight != 0)
        distance = found[:, 1] - total[:, 1]
        return np.stack([weight, total[:, 1] + distance * share,
                         total[:, 2] + found[:, 2] + distance * distance * share * total[:, 0]], axis=1)


class Cover(Statistic):
    """sum(w) and sum(w^2) of targets outside and inside of an interval, and sum(w width)."""

    def of(self, samples):
        with np.errstate(invalid="ignore"):
            inside = (samples.f <= samples.y) & (samples.y <= samples.high)
            width = samples.high.astype(np.float64) - samples.f
        w = np.ones(inside.size) if samples.w is None else samples.w.astype(np.float64, copy=False)
        places = inside.astype(np.intp)
        return np.concatenate([samples.histogram(places, 2, w), samples.histogram(places, 2, w * w),
                               samples.sums(w * width)[:, None]], axis=1)


def area_under_curve(negatives, negative_weights, positives, positive_weights) -> float:
    """The probability that a positive has a larger score than a negative, ties half: sorted, then merged, O(n log n).

    Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve", 1982.
    """
    if not len(negatives) or not len(positives):
        return math.nan
    with ThreadPoolExecutor(1) as other:
        sorting = other.submit(_sorted, negatives, negative_weights)
        b, w = _sorted(positives, positive_weights)
        a, v = sorting.result()
    pairs = loops.pairs_in_order(a.dtype.type, v is not None)(a, v, b, w)
    return pairs / (2 * len(a) * len(b) if v is None else v.sum() * w.sum())


def _sorted(values, weights):
    """Whole numbers in the order of the values, sorted, and the weights with them."""
    keys, spare = np.empty((2, len(values)), values.dtype)
    w = [None] * 3 if weights is None else [weights.astype(np.float64, copy=False), *np.empty((2, len(values)))]
    moved = loops.sort(values.dtype.type, weights is not None)(values, w[0], keys, spare, *w[1:])
    whole = spare if moved else keys
    return whole.view(np.uint32 if values.dtype == np.float32 else np.uint64), w[2] if moved else w[1]


# ---- metrics -----------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """What a metric is for one prediction and group; `details` for JSON."""

    value: float
    standard_error: float = math.nan
    details: dict | None = None


@dataclass(frozen=True)
class Metric:
    """One metric with its parameters. `label` is how it was spelled, `losses` the losses whose means it is made of,
    `statistic` makes its statistic (None: it has none), and `key` says which share one."""

    label: str
    name: str
    losses: tuple = ()
    key: tuple = ()
    of_interval: bool = False

    def statistic(self):
        kind, *parameters = self.key
        return kind(*parameters)

    def value(self, rows, statistic, group) -> Found:
        """Of a group (0: everything), from the rows of its losses and its statistic."""
        if statistic is not None and statistic.is_unknown(group):
            return Found(math.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return _FORMULAS[self.name](*rows) if statistic is None else _FORMULAS[self.name](statistic, group, *rows)


def _quotient(a, b):
    return float(a / b) if b else math.nan


def _share(right, wrong, right2, wrong2):
    """right / (right + wrong), and its standard error from the squared weights."""
    total = right + wrong
    if not total:
        return Found(math.nan)
    p = float(right / total)
    return Found(p, math.sqrt(right2 * (1.0 - p) ** 2 + wrong2 * p**2) / float(total))


def _accuracy(confusion, g):
    tn, fp, fn, tp, *squares = confusion.total[g]
    return _share(tp + tn, fp + fn, squares[3] + squares[0], squares[1] + squares[2])


def _precision(confusion, g):
    _, fp, _, tp, _, fp2, _, tp2 = confusion.total[g]
    return _share(tp, fp, tp2, fp2)


def _recall(confusion, g):
    _, _, fn, tp, _, _, fn2, tp2 = confusion.total[g]
    return _share(tp, fn, tp2, fn2)


def _f1(confusion, g):
    _, fp, fn, tp = confusion.total[g][:4]
    return Found(_quotient(2.0 * tp, 2.0 * tp + fp + fn))


def _auc(statistic, g):
    if isinstance(statistic, Scores01):
        return Found(statistic.areas[g] if g < len(statistic.areas) else math.nan)
    negative, positive = statistic.total[g].reshape(-1, 2).T
    pairs = negative.sum() * positive.sum()
    below = np.cumsum(negative) - negative
    return Found(_quotient((positive * (below + 0.5 * negative)).sum(), pairs), math.nan,
                 {"bound": _quotient(0.5 * (positive * negative).sum(), pairs)})


def _ece(calibration, g):
    w, wp, wy = calibration.total[g].reshape(3, -1)
    bins = [{"low": low, "high": high, "weight": float(a), "pred": _quotient(b, a), "target": _quotient(c, a)}
            for low, high, a, b, c in zip(calibration.edges[:-1].tolist(), calibration.edges[1:].tolist(), w, wp, wy,
                                          strict=True) if a]
    return Found(_quotient(abs(wp - wy).sum(), w.sum()), math.nan, {"bins": bins})


def _r2(spread, g, squared_error):
    weight, _, about = spread.total[g]
    if not about:
        return Found(math.nan)
    return Found(1.0 - squared_error.value * float(weight) / float(about))


def _rmse(squared_error):
    root = math.sqrt(squared_error.value)
    return Found(root, squared_error.standard_error / (2.0 * root) if root else math.nan)


def _mean(loss):
    return Found(loss.value, loss.standard_error)


def _coverage(cover, g):
    outside, inside, outside2, inside2, _ = cover.total[g]
    return _share(inside, outside, inside2, outside2)


def _width(cover, g):
    outside, inside, _, _, width = cover.total[g]
    return Found(_quotient(width, outside + inside))


_FORMULAS = {"accuracy": _accuracy, "precision": _precision, "recall": _recall, "f1": _f1, "auc": _auc, "ece": _ece,
             "log_loss": _mean, "brier": _mean, "mae": _mean, "rmse": _rmse, "r2": _r2, "coverage": _coverage,
             "width": _width}

METRICS = tuple(_FORMULAS)
"""The names of all metrics."""

HIGHER_IS_BETTER = ("accuracy", "precision", "recall", "f1", "auc", "r2")

_LOSSES = {"log_loss": "log_loss", "brier": "brier", "mae": "mae", "rmse": "mse", "r2": "mse"}


def parse_metric(text: str) -> Metric:
    """A metric from its text: `accuracy`, `f1:threshold=0.3`, `auc:bins=1000`, `ece:bins=20,from_logits=true`."""
    name, given = _split(text)
    if name not in METRICS:
        close = difflib.get_close_matches(name, METRICS, 3)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(f"no metric is called {name!r}{hint} (there are {', '.join(METRICS)})")

    def of(**defaults):
        for wrong in (key for key in given if key not in defaults):
            has = f"it has {', '.join(map(repr, defaults))}" if defaults else "it has none"
            raise ValueError(f"{text}: {name} has no parameter {wrong!r}; {has}")
        return [given.get(key, default) for key, default in defaults.items()]

    def bins_in(value):
        if isinstance(value, bool) or not isinstance(value, float) or value != int(value) or not 1 <= value <= 1_000_000:
            raise ValueError(f"{text}: bins must be a whole number from 1 to 1,000,000, found {value!r}")
        return int(value)

    def flag_in(value):
        if not isinstance(value, bool):
            raise ValueError(f"{text}: from_logits must be true or false, found {value!r}")
        return value

    if name in ("accuracy", "precision", "recall", "f1"):
        threshold, from_logits = of(threshold=None, from_logits=False)
        if threshold is None:
            threshold = 0.0 if flag_in(from_logits) else 0.5
        if isinstance(threshold, bool) or not isinstance(threshold, float) or not math.isfinite(threshold):
            raise ValueError(f"{text}: threshold must be a number, found {threshold!r}")
        return Metric(text, name, key=(Confusion, threshold, flag_in(from_logits)))
    if name == "auc" and "bins" in given:
        bins, from_logits = of(bins=None, from_logits=False)
        return Metric(text, name, key=(Ranking, bins_in(bins), flag_in(from_logits)))
    if name == "auc":
        of(bins=None)
        return Metric(text, name, key=(Scores01,))
    if name == "ece":
        bins, from_logits = of(bins=10.0, from_logits=False)
        return Metric(text, name, key=(Calibration, bins_in(bins), flag_in(from_logits)))
    of()
    if name in ("coverage", "width"):
        return Metric(text, name, key=(Cover,), of_interval=True)
    return Metric(text, name, losses=(_LOSSES[name],), key=(Spread,) if name == "r2" else ())
