"""The continuous ranked probability score of a predicted distribution F and the number y that came.

CRPS = integral of (F(x) - 1[x >= y])^2 dx = E|X - y| - E|X - X'| / 2, with X, X' independent and distributed as F
predicts. It is in the units of y, a generalisation of the absolute error (which it is for a distribution in one point),
proper, and its gradients are bounded where those of the likelihood are not. Source of the closed forms: Jordan, Krueger
and Lerch, "Evaluating Probabilistic Forecasts with scoringRules", J. Stat. Softw. 90, 2019.

Losses of two columns predict ("location", "log_scale"): mu and s = ln sigma. Their Hessian is exact: its off-diagonal
element is `cross`. It has negative directions; what is positive definite everywhere is `metric`, the expected Hessian
if y is distributed as predicted, 2 times the integral of dF/dtheta_i dF/dtheta_j dx, the Riemannian metric that the CRPS
induces as the likelihood induces Fisher's (Duan et al., "NGBoost", ICML 2020). The natural gradient is metric^-1 times
the gradient.

A scale that underflows to 0, or whose inverse does, must not end in 0 inf: z = (y - mu) / sigma is held at 1e4, where
all tails have long been 0.
"""

from __future__ import annotations

from math import inf, pi
from types import SimpleNamespace

from ..domain import POSITIVE
from ..loss import Rowwise
from ..rowmath import (
    erf,
    erf_pos,
    erfcx,
    exp,
    exp_neg,
    expm1,
    index,
    log,
    log1p_unit,
    maximum,
    minimum,
    ranks,
    size,
    stack,
    total,
    where,
)

__all__ = ["EnsembleCRPS", "GaussianCRPS", "LaplaceCRPS", "LogNormalCRPS", "LogisticCRPS"]

LARGEST = 1e4
SQRT_HALF = 0.5**0.5
SQRT_2 = 2.0**0.5
SQRT_PI = pi**0.5
INVERSE_SQRT_PI = 1.0 / pi**0.5
SQRT_2_OVER_PI = (2.0 / pi) ** 0.5
LOGISTIC_SPREAD = (pi * pi - 6.0) / 9.0


def _times(x, factor):
    """x factor, where x = 0 wins over an infinite factor."""
    return where(x == 0.0, 0.0, x * factor)


class _TwoParameters(Rowwise):
    """A loss of a location and a log-scale, from its second derivatives and its metric, each (00, 01, 11)."""

    target = "number"
    columns = ("location", "log_scale")
    convex = False

    def hessian(self, y, f):
        location, _, scale = self._second_derivatives(y, f)
        return stack(location, scale)

    def cross(self, y, f):
        """The second derivative with respect to location and log-scale."""
        return self._second_derivatives(y, f)[1]

    def hessian_times(self, y, f, v):
        location, cross, scale = self._second_derivatives(y, f)
        a, b = v
        return stack(location * a + cross * b, cross * a + scale * b)

    def metric(self, y, f):
        """The expected Hessian, as three columns: location, off the diagonal, log-scale. Does not depend on y."""
        return stack(*self._metric(f))

    def fisher_diagonal(self, y, f):
        location, _, scale = self._metric(f)
        return stack(location, scale)


class _LocationScale(_TwoParameters):
    """sigma g(|z|), z = (y - mu) / sigma, where g is the CRPS of the standard distribution, symmetric about 0.

    A subclass gives `_standard(a)`: g'(a), g(a) - a g'(a) and g''(a) for a = |z|, and `expected`: the means of g''(|Z|)
    and of Z^2 g''(|Z|). The metric is diag(expected_0 / sigma, expected_1 sigma).
    """

    # |r| g' + sigma (g - |z| g') for sigma g: it does not need z where sigma is so small that r / sigma overflows

    def value(self, y, f):
        r, a, sigma, _ = _standardised(y, f)
        slope, rest, _ = self._standard(a)
        return abs(r) * slope + sigma * rest

    def gradient(self, y, f):
        r, a, sigma, _ = _standardised(y, f)
        slope, rest, _ = self._standard(a)
        return stack(where(r < 0.0, slope, -slope), sigma * rest)

    def natural_gradient(self, y, f):
        r, a, sigma, _ = _standardised(y, f)
        slope, rest, _ = self._standard(a)
        location, scale = self.expected
        return stack(where(r < 0.0, slope, -slope) * sigma * (1.0 / location), rest * (1.0 / scale))

    def _second_derivatives(self, y, f):
        r, a, sigma, inverse = _standardised(y, f)
        _, rest, bend = self._standard(a)
        return _times(bend, inverse), where(r < 0.0, -a, a) * bend, sigma * (rest + a * a * bend)

    def _metric(self, f):
        _, s = f
        location, scale = self.expected
        return location * exp(-s), 0.0 * s, scale * exp(s)


def _standardised(y, f):
    """y - mu, |z|, sigma and 1 / sigma."""
    mu, s = f
    r, sigma = y - mu, exp(s)
    positive = sigma > 0.0
    inverse = where(positive, 1.0 / where(positive, sigma, 1.0), inf)
    return r, where(r == 0.0, 0.0, minimum(abs(r) * inverse, LARGEST)), sigma, inverse


class GaussianCRPS(_LocationScale):
    r"""CRPS of a predicted normal distribution.

    l = sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)), z = (y - mu) / sigma, for f = (mu, ln sigma).

    y: (n,) any real numbers; f: (n, 2) any real numbers. The second column is ln sigma, as in ngboost, not sigma
    (scoringrules, properscoring) and not ln sigma^2.
    Gradient: (-erf(z/sqrt(2)), sigma (2 phi(z) - 1/sqrt(pi))): an outlier moves mu by 1 at most.
    Hessian: (2 phi / sigma, sigma (2 phi (1 + z^2) - 1/sqrt(pi))); the second is negative for |z| > 1.963. Metric: (1 /
    (sigma sqrt(pi)), sigma / (2 sqrt(pi))), diagonal. No majorizer: sigma grows faster than any parabola.
    Gneiting, Raftery, Westveld and Goldman, "Calibrated Probabilistic Forecasting Using Ensemble Model Output
    Statistics and Minimum CRPS Estimation", Monthly Weather Review 133, 2005.
    """

    formula = "sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1/√pi),  z = (y - mu)/sigma,  f = (mu, ln sigma)"
    notes = ("The second column is ln sigma. ngboost 0.5.11's metric for the normal CRPS is off by a factor sigma. "
             "The natural gradient of ln sigma is never below -2.")
    peers = ("scoringrules.crps_normal", "properscoring.crps_gaussian", "ngboost Normal with CRPScore")
    expected = (INVERSE_SQRT_PI, 0.5 * INVERSE_SQRT_PI)

    def _standard(self, a):
        t = SQRT_HALF * a
        bend = SQRT_2_OVER_PI * exp_neg(t * t)
        return erf_pos(t), bend - INVERSE_SQRT_PI, bend


class LaplaceCRPS(_LocationScale):
    r"""CRPS of a predicted Laplace (double exponential) distribution.

    l = |y - mu| + sigma (e^-|z| - 3/4), z = (y - mu) / sigma, for f = (mu, ln sigma).

    y: (n,) any real numbers; f: (n, 2) any real numbers. sigma is the scale of the density e^-|z| / (2 sigma), not the
    standard deviation, which is sqrt(2) sigma.
    Gradient: (-sign(z) (1 - e^-|z|), sigma (e^-|z| (1 + |z|) - 3/4)), continuous although the density has a kink.
    Hessian: (e^-|z| / sigma, sigma (e^-|z| (1 + |z| + z^2) - 3/4)); the second is negative for |z| > 2.663. Metric: (1 /
    (2 sigma), sigma / 4), diagonal.
    Jordan, Krueger and Lerch, J. Stat. Softw. 90, 2019.
    """

    formula = "|y - mu| + sigma (e^-|z| - 3/4),  z = (y - mu)/sigma,  f = (mu, ln sigma)"
    notes = ("The second column is the logarithm of the scale, not of the standard deviation √2 sigma. ngboost 0.5.11's "
             "derivative by ln sigma lacks the term -3/4 sigma: it is never negative, and training only shrinks scales.")
    peers = ("scoringrules.crps_laplace", "ngboost Laplace with CRPScore")
    expected = (0.5, 0.25)

    def _standard(self, a):
        e = exp_neg(a)
        return -expm1(-a), e * (1.0 + a) - 0.75, e


class LogisticCRPS(_LocationScale):
    r"""CRPS of a predicted logistic distribution.

    l = sigma (z + 2 log(1 + e^-z) - 1), z = (y - mu) / sigma, for f = (mu, ln sigma).

    y: (n,) any real numbers; f: (n, 2) any real numbers. sigma is the scale of F = 1 / (1 + e^-z), not the standard
    deviation, which is pi sigma / sqrt(3).
    Gradient: (-tanh(z/2), sigma (g - z tanh(z/2))), where l = sigma g.
    Hessian: (b / sigma, sigma (g - z tanh(z/2) + z^2 b)) with b = 2 e^-z / (1 + e^-z)^2; the second is negative for
    |z| > 3.417. Metric: (1 / (3 sigma), sigma (pi^2 - 6) / 9), diagonal.
    Jordan, Krueger and Lerch, J. Stat. Softw. 90, 2019.
    """

    formula = "sigma (z + 2 ln(1 + e^-z) - 1),  z = (y - mu)/sigma,  f = (mu, ln sigma)"
    notes = "The second column is the logarithm of the scale, not of the standard deviation pi sigma/√3."
    peers = ("scoringrules.crps_logistic",)
    expected = (1.0 / 3.0, LOGISTIC_SPREAD)

    def _standard(self, a):
        e = exp_neg(a)
        inverse = 1.0 / (1.0 + e)
        smaller = e * inverse
        return -expm1(-a) * inverse, 2.0 * (log1p_unit(e) + a * smaller) - 1.0, 2.0 * smaller * inverse


class LogNormalCRPS(_TwoParameters):
    r"""CRPS of a predicted log-normal distribution: ln y is normal with mean mu and standard deviation sigma.

    l = y (2 Phi(w) - 1) - 2 E (Phi(w - sigma) + Phi(sigma/sqrt(2)) - 1), w = (ln y - mu) / sigma, E = e^(mu + sigma^2/2),
    for f = (mu, ln sigma).

    y: (n,) positive; f: (n, 2) any real numbers, both columns about ln y. In units of y, unlike `GaussianCRPS` of ln y.
    E overflows long before l does; here only B = e^(mu + sigma^2/4) is in the way, which l itself grows with.
    Gradient, with Q = l - y (2 Phi(w) - 1): (Q, sigma^2 Q + 2 sigma y phi(w) - sigma B / sqrt(pi)).
    Hessian: (Q + 2 y phi(w) / sigma, ...), exact, with negative values of both. Metric: B / sqrt(pi) times ((1/sigma,
    sigma/2), (sigma/2, sigma (2 + sigma^2) / 4)).
    Baran and Lerch, "Log-normal distribution based EMOS models for probabilistic wind speed forecasting", Q. J. R.
    Meteorol. Soc. 141, 2015.
    """

    formula = ("y (2 Phi(w) - 1) - 2 e^(mu + sigma²/2) (Phi(w - sigma) + Phi(sigma/√2) - 1),  w = (ln y - mu)/sigma,  "
               "f = (mu, ln sigma)")
    notes = ("The location is that of ln y: the predicted median is e^mu. ngboost's CRPScore for LogNormal is the normal "
             "CRPS of ln y, a different loss. Loss and gradient grow like e^(sigma²/4) and "
             "overflow for sigma > 53 (float32: 18); the natural gradient like that where y is far above the prediction.")
    peers = ("scoringrules.crps_lognormal",)
    y_domain = POSITIVE

    # Phi(w - sigma) + Phi(sigma/√2) - 1 = (erfc(a) - erfc(sigma/2)) / 2 with a = (sigma - w)/√2. E erfc(sigma/2) is
    # B erfcx(sigma/2), with B multiplied as √B · · √B: so it overflows only where the product does.

    def value(self, y, f):
        x = _lognormal(y, f)
        return y * erf(SQRT_HALF * x.w) + (x.root * x.tail * x.root - x.mass)

    def gradient(self, y, f):
        x = _lognormal(y, f)
        return stack(x.root * x.tail * x.root - x.mass,
                     x.root * x.common * x.root + x.sigma * (x.density - x.sigma * x.mass))

    def natural_gradient(self, y, f):
        x = _lognormal(y, f)
        # mass / B = g share and 2 y phi(w) / B = sqrt(2/pi) g v: B may be 0 where their quotients are not
        g = exp(0.25 * x.square - where(x.beyond, 0.0, x.a * x.a))
        v = where(x.beyond, exp_neg(x.a * x.a), 1.0)
        part = v * erfcx(abs(x.a))
        share = where(x.beyond, 2.0 - part, part)
        excess = 0.5 * SQRT_PI * (x.square - 2.0)
        return stack(x.sigma * ((x.sigma - excess * x.tail) + g * (excess * share - SQRT_2 * x.sigma * v)),
                     (SQRT_PI * x.sigma * x.tail - 2.0) + g * (2.0 * SQRT_2 * v - SQRT_PI * x.sigma * share))

    def _second_derivatives(self, y, f):
        x = _lognormal(y, f)
        bend = x.sigma * (x.sigma * (2.0 + x.square) * x.tail - (1.0 + 1.5 * x.square) * INVERSE_SQRT_PI)
        spread = x.sigma * (x.sigma * (x.sigma + x.w) + (1.0 + x.w * x.w))
        return (x.root * x.tail * x.root - x.mass + _times(x.density, x.inverse),
                x.root * x.common * x.root + ((x.sigma + x.w) * x.density - x.square * x.mass),
                x.root * bend * x.root + (spread * x.density - x.square * (2.0 + x.square) * x.mass))

    def _metric(self, f):
        mu, s = f
        sigma = minimum(exp(s), LARGEST)
        exponent = mu + 0.25 * sigma * sigma
        larger = INVERSE_SQRT_PI * exp(exponent + s)
        return INVERSE_SQRT_PI * exp(exponent - s), 0.5 * larger, (0.5 + 0.25 * sigma * sigma) * larger


def _lognormal(y, f):
    """What value and derivatives share; `mass` is E erfc(a), `tail` erfcx(sigma/2), `density` 2 y phi(w), `root` √B."""
    mu, s = f
    sigma, inverse = minimum(exp(s), LARGEST), exp(-s)
    square = sigma * sigma
    r = log(y) - mu
    w = where(r == 0.0, 0.0, maximum(minimum(r * inverse, LARGEST), -LARGEST))
    a = SQRT_HALF * (sigma - w)
    beyond = w > sigma
    at_w = y * exp_neg(0.5 * w * w)
    part = at_w * erfcx(abs(a))  # E erfc|a|, without E, which may overflow; beyond sigma it is less than y
    tail = erfcx(0.5 * sigma)
    return SimpleNamespace(
        sigma=sigma, inverse=inverse, square=square, w=w, a=a, beyond=beyond, tail=tail,
        root=exp(0.5 * mu + 0.125 * square),
        common=sigma * (sigma * tail - INVERSE_SQRT_PI),
        density=SQRT_2_OVER_PI * at_w,
        mass=where(beyond, 2.0 * exp(mu + 0.5 * square) - part, part),
    )


class EnsembleCRPS(Rowwise):
    r"""CRPS of an ensemble: the m columns are its members, x_1 ... x_m, equally likely.

    l = sum_i |x_i - y| / m - sum_i sum_j |x_i - x_j| / (2 m^2); `fair`: the double sum over 2 m (m - 1), and 0 for m = 1.

    y: (n,) any real numbers; f: (n, m) any real numbers in any order, m >= 1; equal members in their order.
    `fair` (default False): unbiased for the CRPS of the distribution that the members are drawn from, where the plain
    score prefers ensembles that are too narrow. scoringrules' "nrg" and "qd" are the plain score, its "fair" is fair.
    By ranks in O(m log m): with k members before x_i, it costs (2 k + 1) |x_i - y| / m^2 below y and
    (2 (m - k) - 1) |x_i - y| / m^2 above: a sum without cancellation, whatever the distance from 0.
    Gradient: sign(x_i - y) / m - (2 k - m + 1) / m^2, with sign(0) = 0. Hessian: 0 almost everywhere. Majorizer: 1 / (m
    |x_i - y|), because |x - y| lies below that parabola and minus the double sum, which is concave, below its tangent.
    Not convex for m > 1: of two members on one side of y the middle costs more than both.
    Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", JASA 102, 2007; fair: Ferro,
    "Fair scores for ensemble forecasts", Q. J. R. Meteorol. Soc. 140, 2014.
    """

    fair: bool = False
    target = "number"
    formula = "mean_i |x_i - y| - sum_ij |x_i - x_j| / (2 m²)  (fair: 2 m (m - 1))"
    convex = False
    smooth = False
    notes = "The Hessian is 0: boosting needs hessian='majorizer'. The gradient at x_i = y takes sign(0) = 0."
    peers = ("scoringrules.crps_ensemble", "properscoring.crps_ensemble")

    def _counts(self, f):
        """m, how many partners a member has, and how many more members it is above than below."""
        m = size(f)
        return m, maximum(m - 1, 1) if self.fair else m, 2 * ranks(f) - m + 1

    def value(self, y, f):
        m, pairs, lead = self._counts(f)
        d = f - y
        return total(abs(d) * where(d > 0.0, pairs - lead, pairs + lead)) * (1.0 / (m * pairs))

    def gradient(self, y, f):
        m, pairs, lead = self._counts(f)
        d = f - y
        return (where(d > 0.0, pairs, where(d < 0.0, -pairs, 0)) - lead) * (1.0 / (m * pairs))

    def hessian(self, y, f):
        return 0.0 * index(f)

    def majorizer(self, y, f):
        return 1.0 / (size(f) * maximum(abs(f - y), 1e-30))
