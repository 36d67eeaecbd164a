"""What the formulas of a loss do: derivatives against differences, digits lost, the shape along lines, the range."""

from __future__ import annotations

import math
from collections import namedtuple
from itertools import pairwise

import numpy as np

from .exact import rounded
from .samples import MANY, columns_of, distinct, grid, numbers_of, row_for, single, target_for

__all__ = ["DTYPES", "Arithmetic", "Shape", "compared", "lines", "reaches", "size"]

DTYPES = (np.float64, np.float32)

STEP = 40
"""Differences are taken over 1e-40 of the smallest distance that matters."""


# ---- derivatives -------------------------------------------------------------------------------------------------

Comparison = namedtuple("Comparison", "y f k low high found error ordinary")
"""One component of a derivative: between which numbers it must be (at a kink the slopes of both sides), what was found, how
far it is off as a part of the larger one, and whether the point is an ordinary one."""


def compared(subject, name, base, order, points, digits, ordinary=True):
    """The formula `name`, against differences of `base` of the first or second order, both in many digits. Poles, and
    the second derivative at kinks, are left out."""
    mp, results = subject.mp, []
    with mp.workdps(digits):
        self_ = subject.exact_self()
        for point in points:
            found = subject.exact_at(name, *point, self_)
            for k in columns_of(point):
                sides, noise = _sides(subject, self_, base, order, point, k, digits, STEP)
                if not sides or not all(map(mp.isfinite, sides)):
                    continue
                low, high = min(sides), max(sides)
                largest = max(abs(low), abs(high))
                if largest > 1e9:  # if it grows when the step shrinks it is a pole, or a jump of what it is the slope of
                    finer = _sides(subject, self_, base, order, point, k, digits, STEP + 10)[0]
                    if max(map(abs, finer)) > 2 * largest:
                        continue
                if noise < 1e-10 * largest or noise < 1e-30:
                    results.append((point, k, low, high, found[k], noise))
        sizes = sorted(float(max(abs(low), abs(high))) for _, _, low, high, _, _ in results)
        floor = 1e-13 * sizes[len(sizes) // 2] if sizes else 0.0  # constants of formulas have 16 digits
        return [_comparison(mp, *result, floor, ordinary) for result in results]


def _sides(subject, self_, base, order, point, k, digits, step):
    """(differences to the sides that belong to the domain, how far rounding may have moved them) in column k."""
    mp, f = subject.mp, subject.exactly(point.f)
    here = float(point.f[k])
    distances = [abs(x) for x in (here, here - float(point.y if np.ndim(point.y) == 0 else point.y[k])) if x]
    h = mp.mpf(10) ** -step * min([1.0, *distances])
    first = _component(subject, self_, base, point, f, k, 0)
    sides = []
    for d in (-h, h):
        if not subject.loss.pred_domain.outside(here + math.copysign(1e-9 * min(1.0, abs(here) or 1.0), d)):
            second = _component(subject, self_, base, point, f, k, d)
            if order == 1:
                sides.append((second - first) / d)
            else:
                sides.append((_component(subject, self_, base, point, f, k, 2 * d) - 2 * second + first) / d**2)
    noise = (abs(first) + 1) * mp.mpf(10) ** (6 - digits) / h**order
    # at a kink, or an end, the step itself is the distance that a power is taken of
    return sides, noise + (mp.mpf(10) ** -15 if len(distances) < 2 or len(sides) < 2 else 0)


def _component(subject, self_, base, point, f, k, d):
    moved = f.copy()
    moved[k] += d
    result = subject.exact(base, self_, subject.exactly(point.y), moved)
    return result if base == "value" else result[k]


def _comparison(mp, point, k, low, high, found, noise, floor, ordinary):
    error = math.inf
    if mp.isfinite(found):
        beyond = max(low - found, found - high, 0)
        error = 0.0 if beyond <= noise + floor else float(beyond / max(abs(low), abs(high), abs(found)))
    return Comparison(point.y, point.f, k, float(low), float(high), float(found), error, ordinary)


# ---- float64 and float32 -----------------------------------------------------------------------------------------

Answer = namedtuple("Answer", "y f k low high found lost")
"""One component of an answer in the arithmetic of a dtype: between which numbers it may be, f and y being rounded, what was
found, and how far it is beyond, as a part of the larger one; NaN where NaN was found."""

ROUNDINGS = 4
"""How many units in the last place the predictions and targets may be off that an answer is measured against."""

OVERFLOWS = 0.75
"""An answer beyond the largest number to this power may overflow on the way: its factors and squares do."""


def size(answer):
    """How large an answer should be."""
    return max(abs(answer.low), abs(answer.high))


class Arithmetic:
    """Answers in the arithmetic of F against many digits."""

    def __init__(self, subject, F, digits):
        self.subject, self.F, self.digits, self.loss = subject, F, digits, rounded(subject.loss, F)
        info = np.finfo(F)
        self.epsilon, self.largest, self.tiny = float(info.eps), float(info.max), float(info.tiny)
        with subject.mp.workdps(digits):
            self.self_ = subject.exact_self(self.loss)

    def answers(self, name, point, absolute=False):
        """An `Answer` per component whose truth is finite. With `absolute`, f and y may also be off by roundings of 1: for
        places where a formula jumps, or passes zero, at a sum of f and a number."""
        subject = self.subject
        with subject.mp.workdps(self.digits):
            exact = np.array([subject.exact_at(name, *near, self.self_) for near in self._near(point, absolute)])
            found = np.atleast_1d(subject.computed(name, *point, self.F, self.loss))
            return [self._answer(point, k, min(exact[:, k]), max(exact[:, k]), float(found[k]))
                    for k in (columns_of(point) if found.size > 1 else [0]) if all(map(subject.mp.isfinite, exact[:, k]))]

    def _near(self, point, absolute):
        """The point, and those that rounding may have moved there."""
        y, f = point
        yield y, f
        for epsilon in (-ROUNDINGS * self.epsilon, ROUNDINGS * self.epsilon):
            for k in columns_of(point):
                moved = f.copy()
                moved[k] += epsilon * (max(1.0, abs(f[k])) if absolute else f[k])
                if not self.loss.pred_domain.outside(moved[k]):
                    yield y, moved
            if not isinstance(y, (int, np.integer)):
                other = y + epsilon * (np.maximum(1.0, np.abs(y)) if absolute else y)
                if not np.any(self.loss.y_domain.outside(other)):
                    yield other, f

    def _answer(self, point, k, low, high, found):
        if math.isnan(found):
            lost = math.nan
        elif math.isinf(found):
            lost = 0.0 if (high if found > 0 else -low) > self.largest**OVERFLOWS else math.inf
        else:
            beyond, largest = max(low - found, found - high, 0), max(abs(low), abs(high))
            lost = 0.0 if beyond <= 4 * self.tiny else float(beyond / largest) if largest else math.inf
        return Answer(*point, k, float(low), float(high), found, lost)


# ---- the shape along a line --------------------------------------------------------------------------------------

Line = namedtuple("Line", "y origin direction grid")
"""The predictions origin + t direction for the t of a rising grid; of a loss of one number t is the prediction."""

Kink = namedtuple("Kink", "line t left right jump")
"""Where the slope along a line jumps from `left` to `right`, and the value by `jump`."""


def lines(subject):
    """Lines through the domain: one for each of a few targets; of rows along columns, and in between."""
    loss, columns, rng = subject.loss, subject.columns, np.random.default_rng(2)
    if not loss.rowwise:
        targets = distinct(numbers_of(loss.y_domain, rng, 8))[:4]
        return [Line(y, np.zeros(1), np.ones(1), grid(loss, y)) for y in targets]
    found, t = [], np.sinh(np.linspace(-4.0, 4.0, 34)) * (0.3 if loss.columns else 0.6) + 0.01234
    for k in range(6 if columns <= MANY else 3):
        y, f = target_for(loss, rng, columns, k), row_for(loss, rng, columns, k + 1)
        direction = single(rng.normal(0.0, 1.0, columns)) if k % 2 else np.eye(columns)[k // 2 % columns]
        inside = [not np.any(loss.pred_domain.outside(f + x * direction)) for x in t]
        found.append(Line(y, f, direction, t[inside]))
    return [line for line in found if len(line.grid) > 2]


class Shape:
    """Slopes of the value along one line, in many digits: where they jump, and where they fall."""

    STEP = 25

    def __init__(self, subject, line):
        self.subject, self.line, mp = subject, line, subject.mp
        self.self_, self.y = subject.exact_self(), subject.exactly(line.y)
        self.origin, self.direction = subject.exactly(line.origin), subject.exactly(line.direction)
        self.h = mp.mpf(10) ** -self.STEP
        self.points = [p for p in (self._at(mp.mpf(t)) for t in line.grid) if mp.isfinite(p[1]) and mp.isfinite(p[2])]
        values, slopes = (sorted(abs(p[j]) for p in self.points) for j in (1, 2))
        self.scale, self.typical = (x[len(x) // 2] if x else mp.zero for x in (values, slopes))
        self.kinks = []
        for a, b in pairwise(self.points):
            self._search(a, b, 3)
        self.kinks.sort(key=lambda kink: kink.t)
        self.kinks = [b for a, b in pairwise([None, *self.kinks]) if a is None or b.t - a.t > 1e-9 * max(1.0, abs(a.t))]

    def value(self, t):
        return self.subject.exact("value", self.self_, self.y, self.origin + t * self.direction)

    def _at(self, t):
        """(t, value, slope)."""
        here = self.value(t)
        return t, here, (self.value(t + self.h) - here) / self.h

    def _turn(self, a, b):
        """How much the slope changes between two points; if the value itself jumps, the slope of the jump."""
        width, turn = b[0] - a[0], abs(b[2] - a[2])
        rise = abs(b[1] - a[1] - a[2] * width)
        jumps = rise > 1e-12 * (abs(a[1]) + self.scale) and rise > 3 * turn * width
        return max(turn, rise / width) if jumps else turn

    def _search(self, a, b, depth):
        """Halve the interval towards the larger turn. A smooth turn is halved, too; that of a kink stays."""
        isfinite = self.subject.mp.isfinite
        first, last, whole = a, b, self._turn(a, b)
        if whole <= 1e-8 * max(abs(a[2]), abs(b[2]), self.typical):
            return
        turn, steps, before = whole, 0, whole
        while b[0] - a[0] > 1e-20 * max(1, abs(a[0])):
            if b[0] - a[0] > 1e-17 * max(1, abs(a[0])):
                before = turn
            middle = self._at((a[0] + b[0]) / 2)
            if not (isfinite(middle[1]) and isfinite(middle[2])):
                return
            left, right = self._turn(a, middle), self._turn(middle, b)
            a, b, turn = (a, middle, left) if left >= right else (middle, b, right)
            steps += 1
            if (steps == 4 and turn < 0.15 * whole) or (steps == 20 and turn < 1e-3 * whole):
                return
        if turn < 0.5 * before:
            return
        steepest = max(abs(a[2]), abs(b[2]), self.typical)
        jump = b[1] - a[1]
        if abs(jump) <= 1e-10 * (abs(a[1]) + self.scale) + 10 * steepest * (b[0] - a[0]):
            jump = 0
        if jump or turn > 1e-6 * steepest:
            self.kinks.append(Kink(self.line, float((a[0] + b[0]) / 2), float(a[2]), float(b[2]), float(jump)))
            if depth:
                self._search(first, a, depth - 1)
                self._search(b, last, depth - 1)

    def falls(self):
        """(the intervals of t in which the slope falls, to infinity where they reach the end of the grid; the t where it
        falls fastest; the second derivative there)."""
        steps = list(pairwise(self.points))
        falling = [b[2] - a[2] < -1e-12 * max(abs(a[2]), abs(b[2]), 1e-8 * self.typical) for a, b in steps]
        intervals, start = [], None
        for k, falls in enumerate([*falling, False]):
            if falls and start is None:
                start = k
            if not falls and start is not None:
                low = -math.inf if start == 0 else self._edge(self.points[start - 1], self.points[start + 1], False)
                high = math.inf if k == len(steps) else self._edge(self.points[k - 1], self.points[k + 1], True)
                intervals.append((low, high))
                start = None
        bends = [((b[2] - a[2]) / (b[0] - a[0]), (a[0] + b[0]) / 2) for (a, b), f in zip(steps, falling, strict=True) if f]
        deepest, where = min(bends, default=(0, 0))
        return intervals, float(where), float(deepest)

    def _edge(self, a, b, rising):
        """Where the second derivative changes its sign between two points; whether it is positive at the second."""
        a, b, h = a[0], b[0], self.subject.mp.mpf(10) ** -12
        for _ in range(40):
            t = (a + b) / 2
            up = self.value(t + h) - 2 * self.value(t) + self.value(t - h) >= 0
            a, b = (a, t) if up == rising else (t, b)
        return float(b)


# ---- the range ---------------------------------------------------------------------------------------------------

Reach = namedtuple("Reach", "name F sign last first y f fits")
"""How far out a formula is finite in one direction: `last` is, `first` (None: there is none) is not; the target and the
predictions of that one. `fits`: neither the answer nor the prediction is one of the largest numbers of this dtype, so the
answer was lost on the way."""


def reaches(subject, names, F, digits):
    """For a few targets and both directions, how far each formula is finite in one column."""
    loss, rng, found = subject.loss, np.random.default_rng(3), []
    largest = 0.99 * float(np.finfo(F).max)
    decades = np.arange(0.0, math.log10(largest), 0.25)
    if loss.rowwise:  # each takes a hundred times as long
        decades = np.append(np.arange(0.0, 12.0), np.arange(12.0, math.log10(largest), 8.0))
    sizes = np.append(10.0**decades, largest).astype(F).astype(float).tolist()
    if loss.rowwise and not loss.pred_domain.everything:
        return []
    for k, y in enumerate(_outermost(subject, rng)):
        row = row_for(loss, rng, subject.columns, k + 1) if loss.rowwise else np.zeros(1)
        for sign in (-1.0, 1.0):
            inside = [x for x in sizes if not loss.pred_domain.outside(sign * x)]
            if inside:
                found += [_reach(subject, name, F, y, row, k % subject.columns, sign, inside, digits) for name in names]
    return found


def _outermost(subject, rng):
    """Two targets."""
    if subject.loss.rowwise:
        return [target_for(subject.loss, rng, subject.columns, k) for k in (0, 1)]
    targets = distinct(numbers_of(subject.loss.y_domain, rng, 8))
    return [targets[0], targets[-1]]


def _reach(subject, name, F, y, row, k, sign, sizes, digits):
    def at(distance):
        f = row.copy()
        f[k] = sign * distance
        return f

    def finite(distance):
        return bool(np.isfinite(subject.computed(name, y, at(distance), F)).all())

    first, largest = next((distance for distance in sizes if not finite(distance)), None), float(np.finfo(F).max)
    if first is None:
        return Reach(name, F, sign, math.inf, None, y, row, False)
    last = max((distance for distance in sizes if distance < first), default=0.0)
    for _ in range(24):
        middle = float(F(math.sqrt(last) * math.sqrt(first) if last else 0.5 * first))
        if not last < middle < first:
            break
        last, first = (middle, first) if finite(middle) else (last, middle)
    with subject.mp.workdps(digits):
        truth = subject.exact_at(name, y, at(first))
        fits = all(subject.mp.isfinite(x) and abs(x) < largest**OVERFLOWS for x in truth) and first < 0.01 * largest
    return Reach(name, F, sign, last, first, y, at(first), fits)
