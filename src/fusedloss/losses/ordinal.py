"""Losses of a class label whose classes have an order: 0 < 1 < ... < K - 1."""

from __future__ import annotations

from math import inf
from types import SimpleNamespace
from typing import Any, ClassVar

from ..curvatures import BOUNDED_GRADIENT
from ..loss import Classification, numbers
from ..rowmath import (
    cumulative,
    exp,
    exp_neg,
    expm1,
    index,
    log1mexp,
    log1p_unit,
    maximum,
    reverse_cumulative,
    sigmoid,
    size,
    softmax,
    tanh,
    total,
    where,
)
from .divergence import centred, without_own

__all__ = ["Coral", "Corn", "CumulativeLogit", "RankedProbabilityScore"]


def _logistic(x):
    """Of one binary decision that x speaks against: its loss log(1 + e^x), and what that bends like.

    `majorizer` is the curvature of Jaakkola and Jordan's parabola above it, `largest` the largest bend.
    """
    a = abs(x)
    e = exp_neg(a)
    inverse = 1.0 / (1.0 + e)
    far = maximum(a, 1e-8)  # the limit 1/4 at 0
    return SimpleNamespace(
        value=maximum(x, 0.0) + log1p_unit(e),
        slope=where(x > 0.0, inverse, e * inverse),
        bend=e * (inverse * inverse),
        largest=0.25 + 0.0 * e,
        majorizer=0.5 * (tanh(0.5 * far) / far),
    )


class CumulativeLogit(Classification):
    r"""Proportional odds, ordered logit: one score per sample, and thresholds that cut its line into classes.

    l = -ln P(y), P(y <= k) = sigma(theta_k - f), so P(y) = sigma(theta_y - f) - sigma(theta_(y-1) - f).

    Domain: y a label 0 ... K - 1, f ONE score per sample, the location on the line (large f: high classes).
    `thresholds`: theta_0 < ... < theta_(K-2), K - 1 increasing numbers for K classes; no default. `param_grad` has their
    derivative. statsmodels keeps the first one and the logs of the differences instead.
    Hessian: sigma'(f - theta_y) + sigma'(theta_(y-1) - f), never negative. Majorizer: Jaakkola and Jordan's bound for both.
    McCullagh, "Regression models for ordinal data", J. R. Stat. Soc. B 42, 1980.
    """

    thresholds: Any = numbers()
    single_score = True
    example: ClassVar[dict] = {"thresholds": (-1.0, 0.5, 2.0)}
    formula = "-ln[σ(θ_y - f) - σ(θ_(y-1) - f)],  θ_(-1) = -∞,  θ_(K-1) = ∞"
    notes = "One score per sample. The difference is never formed: no log(0) where f is far from the right class."
    peers = ("statsmodels OrderedModel(distr='logit')", "R MASS::polr")
    strict = True
    claims = BOUNDED_GRADIENT

    def __post_init__(self):
        super().__post_init__()
        steps = self.thresholds[1:] - self.thresholds[:-1]
        if (steps <= 0.0).any():
            k = int((steps <= 0.0).argmax())
            raise ValueError(f"{type(self).__name__}: thresholds must increase, found thresholds[{k}] = "
                             f"{self.thresholds[k].item()!r} and thresholds[{k + 1}] = {self.thresholds[k + 1].item()!r}")

    def n_classes(self, columns):
        return len(self.thresholds) + 1

    @property
    def log_gaps(self):
        """ln(1 - e^-(theta_k - theta_(k-1))); 0 for k = 0, which has no lower threshold."""
        gaps = 0.0 * self.thresholds
        gaps[1:] = log1mexp(self.thresholds[1:] - self.thresholds[:-1])
        return gaps

    @property
    def gap_slopes(self):
        """The derivative of `log_gaps` with respect to the upper threshold."""
        slopes = 0.0 * self.thresholds
        slopes[1:] = 1.0 / expm1(self.thresholds[1:] - self.thresholds[:-1])
        return slopes

    @property
    def preceding(self):
        """For each threshold the one before it, -inf for the first."""
        shifted = self.thresholds - inf
        shifted[1:] = self.thresholds[:-1]
        return shifted

    @property
    def following(self):
        """For each threshold the one after it, inf for the last."""
        shifted = self.thresholds + inf
        shifted[:-1] = self.thresholds[1:]
        return shifted

    @property
    def width(self):
        """1 - e^(preceding - following): sigma(b) - sigma(a) = sigma(b) sigma(-a) (1 - e^(a - b))."""
        return -expm1(self.preceding - self.following)

    def decisions(self, y, f):
        """Below the upper threshold and above the lower one: two binary decisions, and whether there are such."""
        upper = total(where(index(self.thresholds) == y, self.thresholds, 0.0))
        lower = total(where(index(self.thresholds) + 1 == y, self.thresholds, 0.0))
        return _logistic(f - upper), _logistic(lower - f), y < size(self.thresholds), y > 0

    # P(y) = sigma(u) sigma(-l) (1 - e^(l - u)) with u = theta_y - f, l = theta_(y-1) - f.

    def value(self, y, f):
        below, above, bounded_above, bounded_below = self.decisions(y, f)
        log_gap = total(where(index(self.thresholds) == y, self.log_gaps, 0.0))
        return where(bounded_above, below.value, 0.0) + where(bounded_below, above.value, 0.0) - log_gap

    def gradient(self, y, f):
        below, above, bounded_above, bounded_below = self.decisions(y, f)
        return where(bounded_above, below.slope, 0.0) - where(bounded_below, above.slope, 0.0)

    def hessian(self, y, f):
        below, above, bounded_above, bounded_below = self.decisions(y, f)
        return where(bounded_above, below.bend, 0.0) + where(bounded_below, above.bend, 0.0)

    def fisher_diagonal(self, y, f):
        """sum_k sigma'(theta_k - f) (P(k) + P(k + 1)): threshold k bends the loss of the classes on both its sides."""
        p, q = sigmoid(self.thresholds - f), sigmoid(f - self.thresholds)
        sides = sigmoid(self.following - f) * sigmoid(f - self.preceding) * self.width
        return total(p * q * sides)

    def majorizer(self, y, f):
        below, above, bounded_above, bounded_below = self.decisions(y, f)
        return where(bounded_above, below.majorizer, 0.0) + where(bounded_below, above.majorizer, 0.0)

    def largest_curvature(self, y, f):
        below, above, bounded_above, bounded_below = self.decisions(y, f)
        return where(bounded_above, below.largest, 0.0) + where(bounded_below, above.largest, 0.0)

    def hessian_times(self, y, f, v):
        return self.hessian(y, f) * v

    def gradient_thresholds(self, y, f):
        below, above, _, _ = self.decisions(y, f)
        gap_slope = total(where(index(self.thresholds) == y, self.gap_slopes, 0.0))
        return (where(index(self.thresholds) + 1 == y, above.slope + gap_slope, 0.0)
                - where(index(self.thresholds) == y, below.slope + gap_slope, 0.0))


class RankedProbabilityScore(Classification):
    r"""Squared distance of cumulative probabilities: a proper score that forgives a miss by one class more than by five.

    l = sum_(k < C-1) (F_k - [y <= k])^2, F the cumulative sum of P = softmax(f).

    Domain: y a label of C ordered classes, f a row of C logits. The sum, in [0, C - 1]: some divide by C - 1. The
    discrete CRPS; for two classes half of Brier's score of both.
    Gradient: P (u - <P, u>), u_j = 2 sum_(k >= j) (F_k - [y <= k]). Hessian: exact, negative where P is confident and wrong.
    Epstein, "A scoring system for probability forecasts of ranked categories", J. Appl. Meteorology 8, 1969.
    """

    link = "softmax"
    convex = False
    formula = "sum_(k<C-1) (F_k - [y <= k])²,  F = cumsum softmax(f)"
    notes = "Not divided by C - 1. The gradient vanishes where P is confident and wrong."
    peers = ("scoringrules.rps_score (of probabilities)",)

    # Sums of squares of what lies on the wrong side: F_k before the label, and 1 - F_k behind it as a sum of P from the
    # back. Nothing is subtracted from 1.

    def tails(self, y, x):
        """The sums of x from the front, before the label, and from the back, behind it."""
        return where(index(x) < y, cumulative(x), 0.0), where(index(x) > y, reverse_cumulative(x), 0.0)

    def slope(self, y, x):
        """dL/dP at P = x, up to a constant; linear in x, so also the second derivative times x."""
        front, back = self.tails(y, x)
        return 2.0 * (reverse_cumulative(front) + cumulative(back))

    def value(self, y, f):
        front, back = self.tails(y, softmax(f).p)
        return total(front * front) + total(back * back)

    def gradient(self, y, f):
        s = softmax(f)
        return centred(s, f, s.p * self.slope(y, s.p))

    def hessian(self, y, f):
        s = softmax(f)
        return (s.complement - s.p) * centred(s, f, s.p * self.slope(y, s.p)) + self.gauss_newton(y, f)

    def gauss_newton(self, y, f):
        s = softmax(f)
        front, back = self.tails(y, s.p)
        lower, upper = where(index(f) < y, (1.0 - front) ** 2, 0.0), where(index(f) > y, (1.0 - back) ** 2, 0.0)
        spread = ((cumulative(front * front) - front * front) + reverse_cumulative(lower)
                  + (reverse_cumulative(back * back) - back * back) + cumulative(upper))
        return 2.0 * (s.p**2 * spread)

    def hessian_times(self, y, f, v):
        s = softmax(f)
        a = s.p * self.slope(y, s.p)
        w = s.complement * v - without_own(f, s.p * v)  # v - <P, v>
        return w * centred(s, f, a) - s.p * total(w * a) + centred(s, f, s.p * self.slope(y, s.p * w))


class _BinaryTasks(Classification):
    """K - 1 columns for K ordered classes: f_k is the logit of being above class k."""

    link = "logit"

    def n_classes(self, columns):
        return columns + 1

    def counted(self, y, x):
        """x, and 0 for the columns that say nothing about the label."""
        return x

    def value(self, y, f):
        return total(self.counted(y, _logistic(where(index(f) < y, -f, f)).value))

    def gradient(self, y, f):
        slope = _logistic(where(index(f) < y, -f, f)).slope
        return self.counted(y, where(index(f) < y, -slope, slope))

    def hessian(self, y, f):
        return self.counted(y, _logistic(where(index(f) < y, -f, f)).bend)

    def hessian_times(self, y, f, v):
        return self.hessian(y, f) * v

    def majorizer(self, y, f):
        return self.counted(y, _logistic(where(index(f) < y, -f, f)).majorizer)

    def largest_curvature(self, y, f):
        return self.counted(y, _logistic(f).largest)


class Coral(_BinaryTasks):
    r"""Rank-consistent ordinal regression: K - 1 yes-no questions "is the label above k?", all of them answered.

    l = -sum_(k < K-1) ([y > k] ln sigma(f_k) + [y <= k] ln(1 - sigma(f_k))).

    Domain: y a label 0 ... K - 1, f a row of K - 1 logits of P(y > k). They are consistent (falling in k) where the model
    shares its weights between the columns and they differ by biases only: that is the model's part. No importance weights.
    Mean: over samples of the sum over columns, like the authors' code. Hessian: p (1 - p), never negative.
    Majorizer: Jaakkola and Jordan's bound.
    Cao, Mirjalili and Raschka, "Rank consistent ordinal regression for neural networks with application to age
    estimation", Pattern Recognition Letters 140, 2020.
    """

    formula = "sum_(k<K-1) ln(1 + e^(-f_k if y > k else f_k))"
    notes = "K - 1 columns for K classes; the label is predicted as the number of columns with f_k > 0."
    peers = ("coral_pytorch.losses.coral_loss",)
    strict = True
    claims = BOUNDED_GRADIENT


class Corn(_BinaryTasks):
    r"""Conditional ordinal regression: "is the label above k?" asked only of samples known to be above k - 1.

    l = -sum_(k <= y, k < K-1) ([y > k] ln sigma(f_k) + [y = k] ln(1 - sigma(f_k))): -ln P(y) where
    P(y > k) = sigma(f_0) ... sigma(f_k), the product of conditional probabilities; so ranks are consistent by construction.

    Domain: y a label 0 ... K - 1, f a row of K - 1 logits of P(y > k | y > k - 1).
    Mean: over samples of the sum over columns, the likelihood of the sample. The authors' code averages over all the
    questions asked in the batch: divide our sum by sum(min(y + 1, K - 1)) for theirs.
    Hessian: p (1 - p) where column k counts (y >= k), else 0. Majorizer: Jaakkola and Jordan's bound.
    Shi, Cao and Raschka, "Deep neural networks for rank-consistent ordinal regression based on conditional probabilities",
    Pattern Analysis and Applications 26, 2023 (arXiv:2111.08851, 2021).
    """

    formula = "sum_(k<=y, k<K-1) ln(1 + e^(-f_k if y > k else f_k))"
    notes = "K - 1 columns for K classes. The inverse link gives conditional probabilities; multiply them up for P(y > k)."
    peers = ("coral_pytorch.losses.corn_loss (other mean)",)
    claims = {"majorizer": {"positive": False}, "constant": {"positive": False, "bounded": True}}  # noqa: RUF012

    def counted(self, y, x):
        return where(index(x) <= y, x, 0.0)

    def fisher_diagonal(self, y, f):
        """p (1 - p) times the probability that the question is asked, the product of the p before."""
        log_p = maximum(-_logistic(-f).value, -1e4)
        return exp(cumulative(log_p) - log_p) * _logistic(f).bend
