"""Losses whose minimiser is a quantile or an expectile of y, with r = f - y, y the target and f the prediction.

`quantile` is tau throughout: an error below the target (r < 0) costs tau, one above it 1 - tau per unit, so tau near
1 pushes predictions up.
"""

from math import pi

from ..curvatures import BOUNDED_GRADIENT
from ..domain import OPEN_UNIT, POSITIVE
from ..loss import Elementwise, parameter
from ..vecmath import atan, sigmoid, softplus, where

__all__ = ["ArctanPinball", "Expectile", "HuberPinball", "Pinball", "SoftplusPinball"]


class Pinball(Elementwise):
    r"""The quantile loss: its minimiser is the tau-quantile of y.

    l = tau max(y - f, 0) + (1 - tau) max(f - y, 0).

    Domain: y and f any real number. At the kink f = y the gradient is the subgradient 0. The Hessian is 0 (almost
    everywhere). With tau = 1/2 half of `AbsoluteError`. The majorizer is 1 / (2 |r|), because the loss is |r| / 2
    plus a linear term; it has no finite limit at r = 0 and is held at 5e29 there.
    `quantile` (default 0.5) is tau, strictly between 0 and 1.
    Koenker and Bassett, "Regression Quantiles", Econometrica 46, 1978; the majorizer: Hunter and Lange, "Quantile
    Regression via an MM Algorithm", JCGS 9, 2000.
    """

    quantile: float = parameter(0.5, OPEN_UNIT)
    formula = "tau max(y - f, 0) + (1 - tau) max(f - y, 0)"
    smooth = False
    notes = ("gradient at f = y: 0; scikit-learn's _loss takes -tau, LightGBM 1 - tau. The Hessian is 0 everywhere, "
             "boosting needs hessian='majorizer'. LightGBM's default tau (alpha) is 0.9")
    peers = ("sklearn.metrics.mean_pinball_loss", "sklearn._loss.PinballLoss", "lightgbm.quantile",
             "xgboost.reg:quantileerror", "catboost.Quantile")

    @property
    def quantile_level(self):
        return self.quantile

    @property
    def over(self):
        return 1.0 - self.quantile

    def value(self, y, f):
        r = f - y
        return max(self.over * r, -self.quantile * r)

    def gradient(self, y, f):
        r = f - y
        return where(r > 0, self.over, where(r < 0, -self.quantile, 0.0))

    def hessian(self, y, f):
        return 0.0

    def majorizer(self, y, f):
        return 0.5 / max(abs(f - y), 1e-30)

    def fisher_diagonal(self, y, f):
        return self.quantile * self.over


class SoftplusPinball(Elementwise):
    r"""The quantile loss with its kink rounded off by a softplus: smooth, convex, positive curvature everywhere.

    l = smoothing log(1 + e^(r / smoothing)) - tau r.

    Domain: y and f any real number. Above the pinball loss by at most smoothing log 2, at r = 0, and equal to it in
    the tails, where the Hessian is positive but vanishes exponentially. The minimiser differs from the quantile by
    O(smoothing).
    `quantile` (default 0.5) is tau, strictly between 0 and 1. `smoothing` (default 0.1), in units of y, is the width
    of the rounded kink.
    Zheng, "Gradient Descent Algorithms for Quantile Regression With Smooth Approximation", IJMLC 2, 2011.
    """

    quantile: float = parameter(0.5, OPEN_UNIT)
    smoothing: float = parameter(0.1, POSITIVE)
    formula = "smoothing log(1 + exp(r/smoothing)) - tau r,  r = f - y"
    notes = "smoothing log 2 at r = 0, not 0; the minimiser is the quantile only up to O(smoothing)"
    strict = True
    claims = BOUNDED_GRADIENT

    @property
    def over(self):
        return 1.0 - self.quantile

    @property
    def inverse(self):
        return 1.0 / self.smoothing

    def value(self, y, f):
        r = f - y
        pinball = max(self.over * r, -self.quantile * r)        # the formula cancels for large r
        return pinball + self.smoothing * softplus(-abs(r * self.inverse))

    def gradient(self, y, f):
        r = f - y
        tail = sigmoid(-abs(r * self.inverse))
        return where(r > 0, self.over - tail, tail - self.quantile)

    def hessian(self, y, f):
        r = f - y
        tail = sigmoid(-abs(r * self.inverse))
        return self.inverse * (tail * (1 - tail))

    def largest_curvature(self, y, f):
        return 0.25 * self.inverse


class ArctanPinball(Elementwise):
    r"""The quantile loss with its kink rounded off by an arctangent: curvature that decays slowly, made for boosting.

    l = (tau - 1/2 + atan(v) / pi) (y - f) + smoothing / pi, with v = (y - f) / smoothing.

    Domain: y and f any real number. Above the pinball loss by at most smoothing / pi, at r = 0, and equal to it in
    the tails, where the Hessian is positive and vanishes like 1 / r^4.
    `quantile` (default 0.5) is tau, strictly between 0 and 1. `smoothing` (default 0.1), in units of y (the authors
    take 0.05 to 0.1 of standardised targets), is the width of the rounded kink.
    Sluijterman et al., "Composite Quantile Regression With XGBoost Using the Novel Arctan Pinball Loss", 2024.
    """

    quantile: float = parameter(0.5, OPEN_UNIT)
    smoothing: float = parameter(0.1, POSITIVE)
    formula = "(tau - 1/2 + atan(v)/π) (y - f) + smoothing/π,  v = (y - f)/smoothing"
    notes = "smoothing/π at r = 0, not 0; the minimiser is the quantile only up to O(smoothing)"
    strict = True
    claims = BOUNDED_GRADIENT

    @property
    def tilt(self):
        return 0.5 - self.quantile

    @property
    def inverse(self):
        return 1.0 / self.smoothing

    @property
    def floor(self):
        return self.smoothing / pi

    @property
    def curvature(self):
        return 2.0 / (pi * self.smoothing)

    def value(self, y, f):
        r = f - y
        return (self.tilt + atan(r * self.inverse) * (1 / pi)) * r + self.floor

    def gradient(self, y, f):
        v = (f - y) * self.inverse
        i = 1 / (1 + v * v)
        return self.tilt + (atan(v) + where(i > 0, v * i, 0.0)) * (1 / pi)

    def hessian(self, y, f):
        v = (f - y) * self.inverse
        i = 1 / (1 + v * v)
        return self.curvature * (i * i)

    def largest_curvature(self, y, f):
        return self.curvature


class HuberPinball(Elementwise):
    r"""The quantile loss with its kink replaced by a parabola: its slopes are exact beyond delta.

    l = k Huber(r; delta) / delta, with k = tau where r < 0, else 1 - tau: k r^2 / (2 delta) where |r| <= delta, else
    k (|r| - delta / 2).

    Domain: y and f any real number. The Hessian k / delta is 0 in the tails; at r = 0 it is that of r > 0.
    `quantile` (default 0.5) is tau, strictly between 0 and 1. `delta` (default 1), in units of y, is half the width
    of the rounded kink.
    Aravkin et al., "Sparse Quantile Huber Regression for Efficient and Robust Estimation", 2014.
    """

    quantile: float = parameter(0.5, OPEN_UNIT)
    delta: float = parameter(1.0, POSITIVE)
    formula = "k r²/(2 delta) if |r| ≤ delta else k (|r| - delta/2),  k = tau if r < 0 else 1 - tau,  r = f - y"
    notes = "the Hessian is 0 where |r| > delta; with delta -> 0 pinball"
    peers = ("neuralforecast.losses.HuberQLoss",)
    claims = BOUNDED_GRADIENT

    @property
    def over(self):
        return 1.0 - self.quantile

    @property
    def larger(self):
        return max(self.quantile, 1.0 - self.quantile)

    @property
    def inverse(self):
        return 1.0 / self.delta

    def value(self, y, f):
        r = f - y
        k = where(r < 0, self.quantile, self.over)
        a = abs(r)
        q = min(a, self.delta)
        return k * (q * self.inverse * (a - 0.5 * q))

    def gradient(self, y, f):
        r = f - y
        k = where(r < 0, self.quantile, self.over)
        return k * max(-1.0, min(1.0, r * self.inverse))

    def hessian(self, y, f):
        r = f - y
        k = where(r < 0, self.quantile, self.over)
        return where(abs(r) <= self.delta, k * self.inverse, 0.0)

    def majorizer(self, y, f):
        return self.larger / max(abs(f - y), self.delta)        # k of r alone would not lie above the steeper side

    def largest_curvature(self, y, f):
        return self.larger * self.inverse


class Expectile(Elementwise):
    r"""Asymmetric squared error: its minimiser is the tau-expectile of y, for tau = 1/2 the mean.

    l = k r^2, with k = tau where r < 0, else 1 - tau, and r = f - y.

    Domain: y and f any real number. The Hessian is 2 k, always positive; at r = 0 it is that of r > 0. With tau = 1/2
    it is `HalfSquaredError`.
    `quantile` (default 0.5) is tau, the level of the expectile, strictly between 0 and 1.
    Newey and Powell, "Asymmetric Least Squares Estimation and Testing", Econometrica 55, 1987.
    """

    quantile: float = parameter(0.5, OPEN_UNIT)
    formula = "k r²,  k = tau if r < 0 else 1 - tau,  r = f - y"
    notes = "an expectile is not the quantile of the same level; no factor 1/2 or 2"
    peers = ("catboost.Expectile", "xgboost.reg:expectileerror")
    strict = True

    @property
    def over(self):
        return 1.0 - self.quantile

    @property
    def larger(self):
        return max(self.quantile, 1.0 - self.quantile)

    def value(self, y, f):
        r = f - y
        k = where(r < 0, self.quantile, self.over)
        return k * r * r

    def gradient(self, y, f):
        r = f - y
        k = where(r < 0, self.quantile, self.over)
        return 2 * k * r

    def hessian(self, y, f):
        return 2 * where(f - y < 0, self.quantile, self.over)

    def majorizer(self, y, f):
        return 2 * self.larger

    def largest_curvature(self, y, f):
        return 2 * self.larger
