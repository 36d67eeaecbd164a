"""Losses of a row of quantiles of one number: sums of pinball losses, and the interval scores, which are such sums too.

The pinball loss of a quantile q at the level tau is tau (y - q) below y and (1 - tau) (q - y) above it. Here it is
written with a slope for each side and column, `under` (what a unit costs that q is too small) and `over`, which hold
the level and any factor. At the kink q = y the gradient is the subgradient 0, as in `Pinball`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ..domain import OPEN_UNIT
from ..loss import Rowwise, numbers, parameter
from ..rowmath import cumulative, index, maximum, reverse_cumulative, sigmoid, softplus, stack, total, where

__all__ = ["MultiQuantile", "WeightedIntervalScore", "WinklerScore"]


class _Pinballs(Rowwise):
    """sum_k max(over_k r_k, -under_k r_k), r = q - y, of quantiles q at the levels under / (under + over)."""

    target = "number"
    smooth = False

    def prediction(self, f):
        """The row of quantiles that a row of scores stands for."""
        return f

    def value(self, y, f):
        r = self.prediction(f) - y
        return total(maximum(self.over * r, -self.under * r))

    def _slopes(self, y, f):
        r = self.prediction(f) - y
        return where(r > 0.0, self.over, where(r < 0.0, -self.under, 0.0))

    def gradient(self, y, f):
        return self._slopes(y, f)

    def hessian(self, y, f):
        return 0.0 * index(f)

    def majorizer(self, y, f):
        return _hunter_lange(self, y, f)

    def start(self, y, w):
        """The best constant row: the quantiles of y."""
        import numpy as np

        from ..init_score import weighted_quantiles

        return np.array(weighted_quantiles(y, w, (self.under / (self.under + self.over)).tolist()))


def _hunter_lange(loss, y, f):
    """The curvature of a parabola that touches a pinball loss at r and -r; held finite at r = 0."""
    return 0.5 * (loss.under + loss.over) / maximum(abs(f - y), 1e-30)


class MultiQuantile(_Pinballs):
    r"""Several quantiles at once: the sum of pinball losses, and if wanted quantiles that cannot cross.

    l = sum_k (tau_k (y - q_k)_+ + (1 - tau_k) (q_k - y)_+), with q = f or, with `non_crossing`,
    q_0 = f_0 and q_k = q_(k-1) + log(1 + e^f_k).

    y: (n,) any real numbers; f: (n, K) any real numbers, a column for each of the K `levels`, which are increasing and
    strictly between 0 and 1. `prediction(f)` gives q. A sum over the levels: peers also
    take the mean, or double it.
    Hessian: 0; with `non_crossing` T_k sigma'(f_k) for k > 0, diagonal, where T_k is the sum of the slopes from q_k on:
    of either sign. Majorizer: 1 / (2 |q_k - y|) for each k (Hunter and Lange 2000). With `non_crossing` it is sum_(j >= k)
    (j + 1) / (2 |q_j - y|) + max(T_k, 0) / 4 (no last term for k = 0): no column moves a quantile by more than it
    moves itself, (j + 1) columns move q_j, and log(1 + e^x) lies below a parabola of curvature 1/4.
    Koenker and Bassett, Econometrica 46, 1978; softplus steps as in Park et al., "Learning Quantile Functions without
    Quantile Crossing for Distribution-free Time Series Forecasting", AISTATS 2022.
    """

    levels: Any = numbers(OPEN_UNIT)
    non_crossing: bool = False
    example = {"levels": (0.1, 0.5, 0.9)}  # noqa: RUF012
    formula = "sum_k max(tau_k (y - q_k), (tau_k - 1) (y - q_k)),  q = f (non_crossing: q_k = q_(k-1) + ln(1 + e^f_k))"
    notes = ("The sum over the levels, not their mean. The Hessian is 0, boosting needs hessian='majorizer'. With "
             "non_crossing only column 0 is in the units of y, and quantiles keep a distance of ln 2 at scores 0.")
    peers = ("sklearn.metrics.mean_pinball_loss, summed over levels", "xgboost.reg:quantileerror (quantile_alpha=[...])",
             "catboost.MultiQuantile")

    def __post_init__(self):
        super().__post_init__()
        for k, (low, high) in enumerate(pairwise(self.levels)):
            if low >= high:
                raise ValueError(f"MultiQuantile: levels must be increasing, but levels[{k + 1}] = {high.item()!r} does not "
                                 f"lie above levels[{k}] = {low.item()!r}; sort them, with the columns of y_pred")

    @property
    def columns(self):
        return tuple(f"quantile_{level:g}" for level in self.levels)

    @property
    def convex(self):
        return not self.non_crossing

    @property
    def under(self):
        return self.levels

    @property
    def over(self):
        return 1.0 - self.levels

    def prediction(self, f):
        return cumulative(where(index(f) == 0, f, softplus(f))) if self.non_crossing else f

    def gradient(self, y, f):
        slopes = self._slopes(y, f)
        if self.non_crossing:
            slopes = reverse_cumulative(slopes) * where(index(f) == 0, 1.0, sigmoid(f))
        return slopes

    def hessian(self, y, f):
        if self.non_crossing:
            p = sigmoid(f)
            return reverse_cumulative(self._slopes(y, f)) * where(index(f) == 0, 0.0, p * sigmoid(-f))
        return 0.0 * index(f)

    def hessian_times(self, y, f, v):
        return self.hessian(y, f) * v

    def majorizer(self, y, f):
        if self.non_crossing:
            steep = reverse_cumulative(0.5 * (index(f) + 1) / maximum(abs(self.prediction(f) - y), 1e-30))
            return steep + where(index(f) == 0, 0.0, 0.25 * maximum(reverse_cumulative(self._slopes(y, f)), 0.0))
        return _hunter_lange(self, y, f)

    def start(self, y, w):
        import numpy as np

        quantiles = super().start(y, w)
        if self.non_crossing:
            steps = np.diff(quantiles)
            with np.errstate(divide="ignore"):  # quantiles that coincide are log(1 + e^-inf) apart
                quantiles[1:] = steps + np.log(-np.expm1(-steps))
        return quantiles


class WinklerScore(_Pinballs):
    r"""The interval score: the width of a prediction interval, and a penalty where it misses.

    l = (U - L) + (2/alpha) (L - y)_+ + (2/alpha) (y - U)_+, for f = (L, U).

    y: (n,) any real numbers; f: (n, 2) any real numbers, the lower end first. L > U is allowed, and costs: l is the sum of
    2/alpha pinball losses at alpha/2 and 1 - alpha/2, never negative. Its minimiser is that central interval.
    `alpha` (default 0.1): how often y lies outside, for an interval of 90 %.
    Gradient: -1 + (2/alpha) 1[L > y] and 1 - (2/alpha) 1[U < y]; 0 where an end is y. Hessian: 0. Majorizer: 1 / (alpha
    |L - y|), 1 / (alpha |U - y|).
    Winkler, "A Decision-Theoretic Approach to Interval Estimation", JASA 67, 1972; Gneiting and Raftery, JASA 102, 2007.
    """

    alpha: float = parameter(0.1, OPEN_UNIT)
    columns = ("lower", "upper")
    formula = "(U - L) + (2/alpha) max(L - y, 0) + (2/alpha) max(y - U, 0),  f = (L, U)"
    notes = ("The Hessian is 0: boosting needs hessian='majorizer'. alpha is the miss rate, not the coverage. "
             "R's scoringutils multiplies by alpha/2 unless weigh=FALSE.")
    peers = ("scoringrules.interval_score",)

    @property
    def under(self):
        return stack(1.0, 2.0 / self.alpha - 1.0)

    @property
    def over(self):
        return stack(2.0 / self.alpha - 1.0, 1.0)


class WeightedIntervalScore(_Pinballs):
    r"""A median and several central intervals at once: an approximation of the CRPS from quantiles.

    l = (|y - m| / 2 + sum_k (alpha_k / 2) Winkler_k) / (K + 1/2), where Winkler_k is `WinklerScore(alpha_k)` of (L_k, U_k).

    y: (n,) any real numbers; f: (n, 2 K + 1) any real numbers: m, L_1, U_1, L_2, U_2, ..., in the order of `alphas`, which
    are the intervals' miss rates (0.1: 90 %), strictly between 0 and 1.
    The same as 2 / (2 K + 1) times the sum of the pinball losses of all 2 K + 1 columns, at the levels 1/2, alpha_k / 2
    and 1 - alpha_k / 2. Twice their mean.
    Gradient at an end that is y: 0. Hessian: 0. Majorizer: 1 / ((2 K + 1) |f - y|).
    Bracher, Ray, Gneiting and Reich, "Evaluating epidemic forecasts in an interval format", PLoS Comput. Biol. 17, 2021.
    """

    alphas: Any = numbers(OPEN_UNIT)
    example = {"alphas": (0.5, 0.1)}  # noqa: RUF012
    formula = "(|y - m|/2 + sum_k (alpha_k/2) Winkler_k)/(K + 1/2),  f = (m, L_1, U_1, L_2, U_2, ...)"
    notes = "The Hessian is 0: boosting needs hessian='majorizer'. scoringrules takes m, lower and upper apart."
    peers = ("scoringrules.weighted_interval_score", "scoringutils wis (R)")

    @property
    def columns(self):
        return "median", *[f"{end}_{alpha:g}" for alpha in self.alphas for end in ("lower", "upper")]

    @property
    def under(self):
        """Twice the levels by the number of columns."""
        ends = [x for alpha in self.alphas for x in (alpha, 2.0 - alpha)]
        return stack(1.0, *ends) / (len(ends) + 1)

    @property
    def over(self):
        ends = [x for alpha in self.alphas for x in (2.0 - alpha, alpha)]
        return stack(1.0, *ends) / (len(ends) + 1)
