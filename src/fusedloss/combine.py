"""Losses made of losses: weighted sums, and transformations of one.

A combination is a loss like any other. Its formulas are the chain rule over those of its parts, each written once here as a
function that encloses the parts' functions, so that a combination is compiled into one loop however deep it is nested.

The class of a combination is made for the classes of its parts (`made`): a `Sum` of two row losses is a row loss, and has a
Hessian if both have. The numbers of the parts stay parameters: `0.3 * Huber(1.0)` and `0.4 * Huber(2.0)` share a kernel.
"""

from __future__ import annotations

import functools
import math
import operator
from dataclasses import field, fields, replace
from typing import Any

from . import rowmath, vecmath
from .curvatures import FORMULAS
from .domain import NON_NEGATIVE, POSITIVE, UNIT, Interval, Labels
from .loss import Classification, Elementwise, Loss, Rowwise, _frozen, parameter

__all__ = ["Clipped", "Curved", "Focal", "Multiple", "Scaled", "ScaledByData", "Smoothed", "Sum", "Weighted", "made"]

QUADRATIC = tuple(name for name in FORMULAS.values() if name != "bounded_curvature")
"""The curvatures: linear in the loss, and 1 / s^2 of the part's where predictions are divided by s. The bounded one every
loss has from its own gradient and Hessian."""

DERIVATIVES = ("value", "gradient", "hessian_times", *QUADRATIC)
"""The formulas that a combination takes from its parts, where they have them."""

NORMAL_CONSISTENT = 1.4826022185056018
"""1 / (the median of |z|) for a standard normal z."""


def _part() -> Any:
    return field(metadata={"checked": "a loss"})


def made(recipe: type[Loss], *values: Any, **more: Any) -> Loss:
    """A combination of this kind: the values of its fields, in their order."""
    parts = [value for value in values if isinstance(value, Loss)]
    if any(getattr(part, "class_weight", None) is not None for part in parts):
        raise ValueError("a part has class_weight: give it to the whole, (a + b).weighted(class_weight)")
    ignored = {part.ignore_index for part in parts if getattr(part, "ignore_index", None) is not None}
    if len(ignored) > 1:
        raise ValueError(f"the parts ignore different labels, {' and '.join(map(str, sorted(ignored)))}")
    if ignored:
        values = [replace(value, ignore_index=None) if value in parts else value for value in values]
        more = {"ignore_index": ignored.pop(), **more}
    return _class(recipe, tuple(map(type, parts)))(*values, **more)


@functools.cache
def _class(recipe, parts):
    """The class of the combinations of parts of these classes: `recipe`, with their shape and the formulas they allow."""
    shape = Elementwise
    if parts[0].rowwise:
        shape = Classification if all(issubclass(part, Classification) for part in parts) else Rowwise
    names = {"__repr__": recipe.__repr__, "__doc__": recipe.__doc__, "__module__": recipe.__module__}
    for name in DERIVATIVES:
        functions = [getattr(part, name, None) for part in parts]
        formula = None if None in functions else recipe.derived(name, shape.rowwise, *functions, *parts)
        if formula is not None:
            names[name] = formula
    for name in recipe.passed_on:
        if hasattr(parts[0], name):
            names[name] = property(operator.attrgetter(f"part.{name}"))
    return type(recipe.__name__, (recipe, shape), names)


def _remade(recipe, values):
    names = [spec.name for spec in fields(recipe)]
    return made(recipe, *[values.pop(name) for name in names], **values)


class _Combination(Loss):
    """Base of the kinds of combination: what is known of a combination, from what is known of its parts.

    A kind has a method `derived(name, rowwise, *functions, *classes)`: the formula of this name from the parts' functions of
    this name (and from their classes, where it needs others), or None where there is none. `passed_on` are names of what
    it has from its part as it is.
    """

    passed_on = ()

    def __post_init__(self):
        super().__post_init__()
        for part in self.parts[1:]:
            self._check_together(self.parts[0], part)

    def __reduce__(self):
        return _remade, (self.kind, {spec.name: getattr(self, spec.name) for spec in fields(self)})

    @property
    def kind(self) -> type[Loss]:
        """Sum, Multiple ...: the class of this instance is one made for its parts."""
        return next(cls for cls in type(self).__mro__ if cls in KINDS)

    @property
    def by_data(self):
        return any(part.by_data for part in self.parts)

    def of_columns(self, y, w=None, mask=None):
        """The same combination, of parts that know what they take from the data: one, or one for every column."""
        columns = [part.of_columns(y, w, mask) if part.by_data else [part] for part in self.parts]
        return [self.of_parts([losses[k % len(losses)] for losses in columns]) for k in range(max(map(len, columns)))]

    def of_parts(self, parts):
        """The same combination of other losses."""
        parts = iter(parts)
        values = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        return _remade(self.kind, {name: next(parts) if isinstance(x, Loss) else x for name, x in values.items()})

    @property
    def parts(self) -> tuple[Loss, ...]:
        """The losses it is made of."""
        return tuple(value for spec in fields(self) if isinstance(value := getattr(self, spec.name), Loss))

    def _check_together(self, one, other):
        def refuse(what, first, second):
            raise ValueError(f"{one!r} and {other!r} cannot be combined: {what} {first} and {second}")

        if one.rowwise != other.rowwise:
            refuse("their samples are", *("rows" if loss.rowwise else "single numbers" for loss in (one, other)))
        if one.link != other.link:
            refuse("their predictions are raw scores on different scales,", repr(one.link), repr(other.link))
        if one.rowwise:
            for name in ("columns", "single_score"):
                if getattr(one, name) != getattr(other, name):
                    refuse(f"they differ in {name}:", getattr(one, name), getattr(other, name))
            kinds = {one.target, other.target}
            if len(kinds) > 1 and kinds != {"label", "classes"}:
                refuse("their targets are of different kinds:", repr(one.target), repr(other.target))

    # ---- what is known ---------------------------------------------------------------------------------------

    @property
    def y_domain(self):
        return functools.reduce(_both, [part.y_domain for part in self.parts])

    @property
    def pred_domain(self):
        return functools.reduce(_both, [part.pred_domain for part in self.parts])

    @property
    def link(self):
        return self.parts[0].link

    @property
    def smooth(self):
        return all(part.smooth for part in self.parts)

    @property
    def convex(self):
        return all(part.convex for part in self.parts)

    @property
    def formula(self):
        return repr(self)

    # ---- of row losses ---------------------------------------------------------------------------------------

    @property
    def target(self):
        return "label" if any(part.target == "label" for part in self.parts) else self.parts[0].target

    @property
    def columns(self):
        return self.parts[0].columns

    @property
    def single_score(self):
        return self.parts[0].single_score

    @property
    def unknown_targets(self):
        return all(part.unknown_targets for part in self.parts)

    def n_classes(self, columns):
        return self.parts[0].n_classes(columns)

    def inverse_link(self, raw):
        return self.parts[0].inverse_link(raw)


class Multiple(_Combination):
    r"""A loss times a number: factor l.

    `factor`: any number; below 0 there is no majorizer and the loss is not convex.
    """

    factor: float
    part: Loss = _part()
    passed_on = ("optimum", "start", "quantile_level")

    def __repr__(self):
        return f"{self.factor:g} * {shown(self.part)}"

    @property
    def convex(self):
        return self.part.convex and self.factor >= 0.0

    @property
    def claims(self):
        return {name: None for name in FORMULAS if name not in ("exact", "bounded")} if self.factor < 0.0 else \
            self.part.claims

    @property
    def strict(self):
        return self.part.strict and self.factor > 0.0

    @staticmethod
    def derived(name, rowwise, function, part):
        def formula(self, y, f, *more):
            return self.factor * function(self.part, y, f, *more)

        return formula


class Sum(_Combination):
    """The sum of two losses. A sum of several is nested: (a + b) + c."""

    first: Loss = _part()
    second: Loss = _part()

    def __repr__(self):
        return " + ".join(shown(part) if not isinstance(part, (Sum, Multiple)) else repr(part) for part in self.parts)

    @property
    def strict(self):
        return self.convex and any(part.strict for part in self.parts)

    @property
    def claims(self):
        """Of curvatures that are never negative: one that is positive will do, all must majorize, all must be bounded."""
        known = [part.curvatures for part in self.parts]
        shared = {name: [kinds[name] for kinds in known] for name in FORMULAS if all(name in kinds for kinds in known)}
        return {name: {"positive": any(kind.positive for kind in shared[name]),
                       "majorizes": all(kind.majorizes for kind in shared[name]),
                       "bounded": all(kind.bounded for kind in shared[name])} if name in shared else None
                for name in FORMULAS if name not in ("exact", "bounded")}

    @staticmethod
    def derived(name, rowwise, one, other, *parts):
        def formula(self, y, f, *more):
            return one(self.first, y, f, *more) + other(self.second, y, f, *more)

        return formula


class _InUnits(_Combination):
    """Base of l(y / scale, f / scale): a subclass has `rate`, 1 / scale, and `squared_rate`."""

    passed_on = ("quantile_level",)

    def __post_init__(self):
        super().__post_init__()
        if self.part.rowwise or self.part.link != "identity" or not self.part.y_domain.everything:
            raise ValueError(f"{shown(self.part)} is not of real numbers in the units of y, and cannot be scaled: multiply "
                             "it by a number")

    @property
    def strict(self):
        return self.part.strict

    @property
    def claims(self):
        return self.part.claims

    @staticmethod
    def derived(name, rowwise, function, part):
        if name not in ("value", "gradient", *QUADRATIC):
            return None
        if name == "gradient":
            def gradient(self, y, f):
                return self.rate * function(self.part, self.rate * y, self.rate * f)

            return gradient
        if name in QUADRATIC:
            def curvature(self, y, f):
                return self.squared_rate * function(self.part, self.rate * y, self.rate * f)

            return curvature

        def value(self, y, f):
            return function(self.part, self.rate * y, self.rate * f)

        return value


class Scaled(_InUnits):
    r"""A loss of targets and predictions in units of `scale`: l(y / scale, f / scale).

    `scale` > 0, in the units of y: makes losses of outputs with different units alike, and gives a threshold such as
    Huber's delta in standard deviations. Gradient 1 / scale and Hessian 1 / scale^2 of the part's.
    """

    part: Loss = _part()
    scale: float = parameter(1.0, POSITIVE)

    def __repr__(self):
        return f"{shown(self.part)}.scaled({self.scale:g})"

    @property
    def rate(self):
        return 1.0 / self.scale

    @property
    def squared_rate(self):
        return self.rate * self.rate


class ScaledByData(_InUnits):
    r"""A loss in units that are worked out from the targets of each call, or differ from column to column.

    `by`: "std", "mad", or an array of one scale > 0 for every column of (n, k) predictions. Its formulas for one sample
    need a scale, which it does not have: `of_columns` gives the losses that do.
    """

    part: Loss = _part()
    by: Any = field(metadata={"checked": "'std', 'mad' or an array of scales"})
    by_data = True

    def __repr__(self):
        return f"{shown(self.part)}.scaled({self.by if isinstance(self.by, str) else self.by.tolist()!r})"

    def of_columns(self, y, w=None, mask=None):
        if y.ndim > 2:
            raise ValueError(f"y_true has shape {y.shape}; scales for columns need (n,) or (n, k)")
        columns = range(1 if y.ndim < 2 else y.shape[1])
        if not isinstance(self.by, str):
            if self.by.size != len(columns):
                raise ValueError(f"there are {self.by.size} scales and y_true has shape {y.shape}")
            return [made(Scaled, self.part, scale) for scale in self.by.tolist()]
        losses = []
        for k in columns:
            scale = _spread(self.by, *[a if a is None or y.ndim < 2 else a[:, k] for a in (y, w, mask)])
            if not scale > 0.0:
                raise ValueError(f"the {self.by} of y_true{f'[:, {k}]' if y.ndim > 1 else ''} is {scale}: it is no unit")
            losses.append(made(Scaled, self.part, scale))
        return losses


def _spread(by, y, w, mask):
    """The standard deviation of targets, or their median absolute deviation as an estimate of it."""
    import numpy as np

    from .init_score import weighted_quantiles
    from .losses.regression import SquaredError

    if mask is not None:
        w = np.where(mask, 0.0, 1.0 if w is None else w)
    if by == "std":
        mean = SquaredError().init_score(y, w)
        return math.sqrt(SquaredError()(y, np.broadcast_to(mean, y.shape), w))
    median = weighted_quantiles(y, w, [0.5])[0]
    return NORMAL_CONSISTENT * weighted_quantiles(abs(y - median), w, [0.5])[0]


class _Transformed(_Combination):
    """Base of phi(l): a subclass gives `slopes(math)`, a function (self, l) -> phi, phi', phi''."""

    @property
    def convex(self):
        return False

    @classmethod
    def derived(cls, name, rowwise, function, part):
        slopes, value = cls.slopes(rowmath if rowwise else vecmath), part.value
        if name == "value":
            def transformed(self, y, f):
                return slopes(self, value(self.part, y, f))[0]

            return transformed
        if name == "gradient":
            def gradient(self, y, f):
                _, slope, _ = slopes(self, value(self.part, y, f))
                return slope * function(self.part, y, f)

            return gradient
        if name == "hessian":
            first = part.gradient

            def hessian(self, y, f):
                _, slope, bend = slopes(self, value(self.part, y, f))
                g = first(self.part, y, f)
                return bend * (g * g) + slope * function(self.part, y, f)

            return hessian
        return None


class Clipped(_Transformed):
    r"""A loss that no sample can exceed: min(l, limit).

    `limit` > 0. Beyond it gradient and Hessian are 0: such samples do not count.
    Truncated losses against outliers and wrong labels; Zhang and Sabuncu, "Generalized cross entropy loss", 2018.
    """

    part: Loss = _part()
    limit: float = parameter(1.0, POSITIVE)
    smooth = False

    def __repr__(self):
        return f"{shown(self.part)}.clipped({self.limit:g})"

    @staticmethod
    def slopes(math):
        where = math.where

        def slopes(self, l):
            inside = l < self.limit
            return where(inside, l, self.limit), where(inside, 1.0, 0.0), 0.0

        return slopes


class Focal(_Transformed):
    r"""A likelihood's loss with less weight where it is small: (1 - p)^gamma l, p = e^-l the probability of what came.

    `gamma` >= 0; 0 is the loss itself. The part must be a negative log-likelihood, l >= 0.
    Of `BinaryCrossEntropy` it is `BinaryFocal`, of `CategoricalCrossEntropy` `CategoricalFocal`.
    Lin, Goyal, Girshick, He and Dollar, "Focal Loss for Dense Object Detection", 2017.
    """

    part: Loss = _part()
    gamma: float = parameter(2.0, NON_NEGATIVE)

    def __repr__(self):
        return f"{shown(self.part)}.focal({self.gamma:g})"

    @staticmethod
    def slopes(math):
        where, expm1, exp, pow = math.where, math.expm1, math.exp, math.pow

        def slopes(self, l):
            p, q = exp(-l), -expm1(-l)
            some = l > 0.0
            safe = where(some, q, 1.0)
            ratio = where(some, l / safe, 1.0)   # l / q, 1 at 0
            power = where(some, pow(safe, self.gamma), where(self.gamma > 0.0, 0.0, 1.0))
            pull = self.gamma * (p * ratio)
            bend = self.gamma * p * power * ((2.0 + (self.gamma - 1.0) * (p * ratio)) / safe - ratio)
            return power * l, power * (1.0 + pull), where(some, bend, 0.0)

        return slopes


class Smoothed(_Combination):
    r"""A loss of smoothed labels: of two classes y (1 - smoothing) + smoothing / 2; of rows of C classes
    o (1 - smoothing) + smoothing / C, o the row with 1 at the label.

    0 <= `smoothing` <= 1. The part must take probabilities as targets.
    Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception Architecture", 2016.
    """

    part: Loss = _part()
    smoothing: float = parameter(0.1, UNIT)

    def __post_init__(self):
        super().__post_init__()
        soft = self.part.target == "classes" if self.part.rowwise else self.part.y_domain == UNIT
        if not soft:
            raise ValueError(f"{self.part!r} does not take probabilities as targets: its labels cannot be smoothed")

    def __repr__(self):
        return f"{shown(self.part)}.smoothed({self.smoothing:g})"

    @property
    def kept(self):
        return 1.0 - self.smoothing

    @property
    def strict(self):
        return self.part.strict

    @property
    def claims(self):
        return self.part.claims

    @staticmethod
    def derived(name, rowwise, function, part):
        if not rowwise:
            def formula(self, y, f):
                return function(self.part, self.kept * y + 0.5 * self.smoothing, f)

            return formula
        onehot, size = rowmath.onehot, rowmath.size

        def row_formula(self, y, f, *more):
            return function(self.part, self.kept * onehot(y, f) + self.smoothing / size(f), f, *more)

        return row_formula


class Weighted(_Combination):
    r"""A loss of two classes that counts one of them more: (negative + (positive - negative) y) l.

    Both weights >= 0. They are a part of the loss, and of no denominator, unlike `sample_weight`.
    """

    part: Loss = _part()
    negative: float = parameter(1.0, NON_NEGATIVE)
    positive: float = parameter(1.0, NON_NEGATIVE)

    def __repr__(self):
        return f"{shown(self.part)}.weighted([{self.negative:g}, {self.positive:g}])"

    @property
    def more(self):
        return self.positive - self.negative

    @property
    def strict(self):
        return self.part.strict and min(self.negative, self.positive) > 0.0

    @property
    def claims(self):
        return self.part.claims

    @staticmethod
    def derived(name, rowwise, function, part):

        def formula(self, y, f):
            return (self.negative + self.more * y) * function(self.part, y, f)

        return formula


class Curved(_Combination):
    r"""A loss with other curvatures: max(factor h, floor) for every h that the part offers; the rest is the part's.

    `factor` > 0 and `floor` >= 0: conventions of boosting libraries, whose built-in objectives divide by more than the
    second derivative, and by no less than a floor.
    """

    part: Loss = _part()
    factor: float = parameter(1.0, POSITIVE)
    floor: float = parameter(0.0, NON_NEGATIVE)
    passed_on = ("optimum", "start", "quantile_level")

    def __repr__(self):
        return f"{shown(self.part)}.curved(factor={self.factor:g}, floor={self.floor:g})"

    @property
    def convex(self):
        return self.part.convex

    @property
    def strict(self):
        return self.part.strict or self.floor > 0.0

    @property
    def claims(self):
        """The part's: a floor makes them positive, a smaller factor takes them below the majorizing ones."""
        known = self.part.curvatures
        return {name: {"positive": known[name].positive or self.floor > 0.0,
                       "majorizes": known[name].majorizes and self.factor >= 1.0,
                       "bounded": known[name].bounded} if name in known else None for name in FORMULAS}

    @staticmethod
    def derived(name, rowwise, function, part):
        if name not in QUADRATIC:
            return _of_part(function)
        where = (rowmath if rowwise else vecmath).where

        def curvature(self, y, f):
            h = self.factor * function(self.part, y, f)
            return where(h > self.floor, h, self.floor)

        return curvature


def _of_part(function):
    """A formula that is the part's own."""
    def formula(self, y, f, *more):
        return function(self.part, y, f, *more)

    return formula


KINDS = (Multiple, Sum, Scaled, ScaledByData, Clipped, Focal, Smoothed, Weighted, Curved)


# ---- what the operators and methods of a loss make ---------------------------------------------------------------


def multiple(loss: Loss, factor: Any) -> Loss:
    """factor * loss; a multiple of a multiple is one multiple."""
    if isinstance(loss, Multiple):
        return multiple(loss.part, loss.factor * factor)
    return made(Multiple, factor, loss)


def weighted(loss: Loss, class_weight: Any) -> Loss:
    """`Loss.weighted`."""
    if isinstance(loss, Classification):
        return replace(loss, class_weight=class_weight)
    if loss.rowwise or loss.y_domain not in (UNIT, Labels()):
        raise ValueError(f"{loss!r} has no classes to weigh: use sample_weight=")
    if isinstance(class_weight, str):
        raise ValueError(f"class_weight={class_weight!r} depends on the targets: for a loss of one score pass the weights "
                         "of the classes 0 and 1, or sample_weight=")
    given = class_weight
    if isinstance(class_weight, dict):
        for key in (key for key in class_weight if key not in (0, 1)):
            raise ValueError(f"class_weight has the label {key!r}; the classes are 0 and 1")
        given = [class_weight.get(0, 1.0), class_weight.get(1, 1.0)]
    weights = _frozen("class_weight", given, 1, NON_NEGATIVE).tolist()
    if len(weights) != 2:
        raise ValueError(f"class_weight has {len(weights)} weights; there are two classes, 0 and 1")
    return made(Weighted, loss, *weights)


def scaled(loss: Loss, by: Any) -> Loss:
    """`Loss.scaled`."""
    if isinstance(by, str):
        if by not in ("std", "mad"):
            raise ValueError(f"by must be 'std', 'mad', a number or an array, found {by!r}")
        return made(ScaledByData, loss, by)
    if hasattr(by, "__len__") or getattr(by, "ndim", 0):
        return made(ScaledByData, loss, _frozen("by", by, 1, POSITIVE))
    return made(Scaled, loss, by)


def terms(loss, y_true, y_pred, sample_weight, reduction, mask) -> dict[str, float]:
    """`Loss.terms`: chunk by chunk, so that every chunk is read from memory once for all terms."""
    import numpy as np

    from .arrays import numpy as arrays
    from .evaluate import denominator
    from .evaluate_rows import class_weights
    from .kernels.cpu import BLOCK

    if reduction not in ("mean", "sum", "sum_over_batch_size"):
        raise ValueError(f"reduction must be 'mean', 'sum' or 'sum_over_batch_size', found {reduction!r}")
    f, y = arrays.view("y_pred", y_pred), arrays.view("y_true", y_true)
    y = np.broadcast_to(y, f.shape[:1]) if y.ndim == 0 else y
    given = [y, f, *[None if a is None else arrays.view(name, a) for name, a in
                     (("sample_weight", sample_weight), ("mask", mask))]]
    for name, a in zip(("y_true", "sample_weight", "mask"), (y, *given[2:]), strict=True):
        if a is not None and a.shape[:1] != f.shape[:1]:
            raise ValueError(f"{name} has shape {a.shape} and y_pred has shape {f.shape}")
    names = [repr(part) if isinstance(part, _Combination) else shown(part) for part in _terms(loss, 1.0)]
    if loss.by_data:
        loss, *others = loss.of_columns(y, *given[2:])
        if others:
            raise ValueError(f"y_pred has shape {f.shape}; ask for the terms of a loss that is scaled by column for "
                             "one column at a time")
    parts, rows = _terms(loss, 1.0), max(BLOCK, CHUNK // max(1, math.prod(f.shape[1:])) // BLOCK * BLOCK)
    if isinstance(loss, Classification):
        weights = loss.class_weight
        if weights is not None:
            weights = class_weights(loss, y, f, sample_weight)
        parts = [replace(part, class_weight=weights, ignore_index=loss.ignore_index) for part in parts]
    sums = [[] for _ in parts]
    for start in range(0, len(f), rows):
        y_, f_, w_, mask_ = (None if a is None else a[start:start + rows] for a in given)
        for found, part in zip(sums, parts, strict=True):
            found.append(part(y_, f_, w_, "sum", mask=mask_))
    divisor = denominator(loss, y, f, sample_weight, mask, reduction)
    totals = [math.fsum(found) / divisor if divisor else math.nan for found in sums]
    return dict(zip(names, totals, strict=True))


CHUNK = 1 << 18
"""Numbers that `terms` looks at together, so many that they stay in the cache."""


def _terms(loss, factor):
    """The terms of a sum with their factors; each weighs and ignores classes as the whole does."""
    if isinstance(loss, Multiple):
        return _terms(loss.part, factor * loss.factor)
    if isinstance(loss, Sum):
        return [term for part in loss.parts for term in _terms(part, factor)]
    return [loss if factor == 1.0 else made(Multiple, factor, loss)]


def shown(loss) -> str:
    """A part in words: without what is the default, in brackets if it is a sum or a multiple."""
    if isinstance(loss, _Combination):
        return f"({loss!r})" if isinstance(loss, (Sum, Multiple)) else repr(loss)
    given = [f"{spec.name}={getattr(loss, spec.name)!r}" for spec in fields(loss)
             if getattr(loss, spec.name) is not spec.default and getattr(loss, spec.name) != spec.default]
    return f"{type(loss).__name__}({', '.join(given)})"


def _both(one, other):
    """The numbers that are in both domains."""
    if one == other or other.everything:
        return one
    if one.everything:
        return other
    labels = [domain for domain in (one, other) if isinstance(domain, Labels)]
    low, high = max(one.low, other.low), min(one.high, other.high)
    if low >= high or (labels and any(domain.outside(x) for domain in (one, other) for x in (0.0, 1.0))):
        raise ValueError(f"losses of numbers {one} and of numbers {other} cannot be combined")
    return labels[0] if labels else Interval(
        low, high, low_closed=all(d.low_closed or d.low < low for d in (one, other)),
        high_closed=all(d.high_closed or d.high > high for d in (one, other)))
