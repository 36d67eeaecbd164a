"""Negative log-likelihoods of distributions with two parameters: distributional regression, predictive uncertainty.

A row of predictions holds the two parameters on an unconstrained scale (the logarithm of what must be positive, the
logit of a probability); the target is one number. Every value is -log density (of counts: -log probability) with all
its constants, as `scipy.stats` has it, so that values of different distributions can be compared; it may be negative.

Large shapes are where textbook forms fail: lgamma(1e8) is 1.7e9, and what matters is its 17th digit. All gamma
functions are written here by Stirling's remainder S(x) = lgamma(x) - (x - 1/2) log x + x - log(2 pi)/2, which is
small, and its derivatives; what remains of the logarithms is of the form log(1 + u) - u.
"""

from __future__ import annotations

from functools import reduce
from math import cosh, pi, sinh

from ..domain import NON_NEGATIVE, OPEN_UNIT, POSITIVE
from ..loss import Rowwise, parameter
from ..rowmath import (
    digamma,
    exp,
    expm1,
    expm1mx,
    lgamma,
    log,
    log1p,
    log1pmx,
    maximum,
    minimum,
    sigmoid,
    softplus,
    stack,
    tanh,
    where,
)
from ..vecmath import HALF_LOG_2PI, tables

__all__ = [
    "BetaNLL", "GammaNLL", "GaussianNLL", "GumbelNLL", "LaplaceNLL", "LogNormalNLL", "LogisticNLL",
    "NegativeBinomialNLL", "StudentTNLL", "WeibullNLL", "ZeroInflatedPoissonNLL",
]

LOG_2 = 0.6931471805599453
EULER = 0.5772156649015329
TAIL_FROM = 2.5
"""From here on the polynomials of vecmath's lgamma and digamma are Stirling's remainder."""
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330,
             854513 / 138, -236364091 / 2730)
SHIFT = 8


# ---- gamma functions without their large terms -------------------------------------------------------------------


def _polynomial(coefficients, x):
    return reduce(lambda total, c: total * x + c, reversed(coefficients[:-1]), coefficients[-1])


def _precisely(x, formula):
    """formula(mp) for an x of mpmath, with the digits that its large terms cancel."""
    mp = x.context
    with mp.extraprec(40 + 3 * abs(mp.mag(x))):
        result = formula(mp)
    return +result


def stirling(x):
    """S(x) = lgamma(x) - (x - 1/2) log x + x - log(2 pi)/2 for x > 0: 1/(12 x) - ... for large x."""
    if hasattr(x, "context"):
        return _precisely(x, lambda mp: mp.loggamma(x) - (x - 0.5) * mp.log(x) + x - mp.log(2 * mp.pi) / 2)
    q = 1.0 / x
    direct = lgamma(x) - (x - 0.5) * log(x) + (x - HALF_LOG_2PI)
    return where(x < TAIL_FROM, direct, q * _polynomial(tables.LGAMMA_TAIL[8], q * q))


def stirling_slope(x):
    """S'(x) = digamma(x) - log x + 1/(2 x) for x > 0: -1/(12 x^2) + ... for large x."""
    if hasattr(x, "context"):
        return _precisely(x, lambda mp: mp.digamma(x) - mp.log(x) + 1 / (2 * x))
    q = 1.0 / x
    direct = (digamma(x) + 0.5 * q) - log(x)
    return where(x < TAIL_FROM, direct, -(q * q) * _polynomial(tables.DIGAMMA_TAIL[8], q * q))


def stirling_bend(x):
    """S''(x) = trigamma(x) - 1/x - 1/(2 x^2) for x > 0: 1/(6 x^3) - ... for large x. Positive and decreasing.

    S''(x) - S''(x + 1) = 1 / (2 x^2 (x + 1)^2), a sum without cancellation, up to where the asymptotic series has all
    digits.
    """
    if hasattr(x, "context"):
        return _precisely(x, lambda mp: mp.psi(1, x) - 1 / x - 1 / (2 * x * x))
    near = x < SHIFT
    u, steps = where(near, x, 1.0), 0.0
    for _ in range(SHIFT):
        q = 1.0 / (u * (u + 1.0))
        steps = steps + 0.5 * (q * q)
        u = u + 1.0
    q = 1.0 / where(near, u, x)
    return q * (q * q) * _polynomial(BERNOULLI, q * q) + where(near, steps, 0.0)


def _lagging(x, share):
    """log(1 + x) - share for x >= 0, where share = x / (1 + x)."""
    return where(x < 1.0, log1pmx(x) + x * share, log1p(x) - share)


def _log_scale(spread):
    """The log of a spread; targets that are all equal have no best one, and -30 is as narrow as anything."""
    import numpy as np

    return float(np.log(spread)) if spread > 0.0 else -30.0


# ---- all of them -------------------------------------------------------------------------------------------------


class _Distribution(Rowwise):
    """Base of the distributions: a subclass writes its formulas in the two parameters a, b as numbers.

    `_value(y, a, b)`; `_slopes(y, a, b)`, the two first derivatives; `_bends(y, a, b)`, the second ones as aa, ab, bb;
    `_information(a, b)`, the expectation of these under the distribution itself, Fisher's information (Laplace's kink
    counts: it is the expectation of the slopes' products). `_natural` solves information * step = slopes; written here
    for parameters that are orthogonal (ab = 0).

    From them, beside value, gradient and the Hessian's diagonal: `cross`, the Hessian's other entry; `hessian_times`;
    `fisher`, the information as aa, ab, bb; `fisher_diagonal`, its diagonal, which hessian="fisher" means: positive
    where the Hessian is not; `natural_gradient`.
    """

    target = "number"
    convex = False

    def value(self, y, f):
        a, b = f
        return self._value(y, a, b)

    def gradient(self, y, f):
        a, b = f
        return stack(*self._slopes(y, a, b))

    def hessian(self, y, f):
        a, b = f
        aa, _, bb = self._bends(y, a, b)
        return stack(aa, bb)

    def cross(self, y, f):
        a, b = f
        return self._bends(y, a, b)[1]

    def hessian_times(self, y, f, v):
        a, b = f
        p, q = v
        aa, ab, bb = self._bends(y, a, b)
        return stack(aa * p + ab * q, ab * p + bb * q)

    def fisher(self, y, f):
        a, b = f
        return stack(*self._information(a, b))

    def fisher_diagonal(self, y, f):
        a, b = f
        aa, _, bb = self._information(a, b)
        return stack(aa, bb)

    def natural_gradient(self, y, f):
        a, b = f
        return stack(*self._natural(y, a, b))

    def _natural(self, y, a, b):
        aa, _, bb = self._information(a, b)
        p, q = self._slopes(y, a, b)
        return p / aa, q / bb


# ---- location and scale ------------------------------------------------------------------------------------------


class _LocationScale(_Distribution):
    """Distributions of z = (y - mu) / sigma: l = s + c(z), s = log(sigma).

    A subclass writes `_standard(z)` = c; `_push(z)` = c'; `_stiffness(z)` = c''; and where the sums would cancel
    `_balance(z)` = 1 - z c' and `_twist(z)` = c' + z c''.
    """

    columns = ("location", "log_scale")

    def _value(self, y, mu, s):
        z = (y - mu) * exp(-s)
        return s + self._standard(z)

    def _slopes(self, y, mu, s):
        i = exp(-s)
        z = (y - mu) * i
        return -i * self._push(z), self._balance(z)

    def _bends(self, y, mu, s):
        i = exp(-s)
        z = (y - mu) * i
        twist = self._twist(z)
        return (i * i) * self._stiffness(z), i * twist, z * twist

    def _balance(self, z):
        return 1.0 - z * self._push(z)

    def _twist(self, z):
        return self._push(z) + z * self._stiffness(z)


class GaussianNLL(_LocationScale):
    r"""Negative log-likelihood of the normal distribution: a mean and a spread for every sample.

    l = s + z^2 / 2 + log(2 pi)/2,  z = (y - mu) e^-s, s = log(sigma).

    y any number (n,); y_pred (n, 2): location mu, log_scale s. Constant included: l = -scipy.stats.norm.logpdf.
    The second column is the log of the standard deviation, not of the variance. torch.nn.GaussianNLLLoss takes the
    variance itself, clamps it at eps = 1e-6 (the gradient with it), and without full=True leaves out log(2 pi)/2.
    Hessian: e^-2s and 2 z^2, with 2 z e^-s between them: not convex in both together. Fisher: e^-2s and 2.
    The best constant row is the mean and the log of the (uncorrected) standard deviation.
    Nix and Weigend, "Estimating the mean and variance of the target probability distribution", ICNN 1994.
    """

    formula = "s + z²/2 + ln(2π)/2,  z = (y - μ) e^-s"
    notes = ("log_scale is ln sigma, not ln sigma^2. torch leaves out ln(2 pi)/2 and clamps the variance. Far targets push "
             "with z^2 on the scale: StudentTNLL or LaplaceNLL bound that.")
    peers = ("torch.nn.GaussianNLLLoss (takes the variance)", "ngboost Normal", "catboost RMSEWithUncertainty",
             "lightgbmlss Gaussian", "-scipy.stats.norm.logpdf")

    def _standard(self, z):
        return 0.5 * (z * z) + HALF_LOG_2PI

    def _push(self, z):
        return z

    def _stiffness(self, z):
        return 1.0

    def _information(self, mu, s):
        i = exp(-s)
        return i * i, 0.0, 2.0

    def start(self, y, w):
        import numpy as np

        mean = w @ y
        return np.array([mean, _log_scale(np.sqrt(w @ (y - mean) ** 2))])


class LaplaceNLL(_LocationScale):
    r"""Negative log-likelihood of the Laplace distribution: a median and a mean deviation for every sample.

    l = s + |z| + log 2,  z = (y - mu) e^-s; e^s is the mean absolute deviation.

    y any number (n,); y_pred (n, 2): location mu, log_scale s. Constant included: l = -scipy.stats.laplace.logpdf.
    Hessian: 0 and |z| (a kink at y = mu: gradient 0 there in mu). Fisher: e^-2s and 1.
    The best constant row is the median and the log of the mean absolute deviation from it.
    Laplace 1774; Koenker and Machado, "Goodness of fit and related inference processes", JASA 94, 1999.
    """

    formula = "s + |z| + ln 2,  z = (y - μ) e^-s"
    smooth = False
    notes = "The Hessian in mu is 0, so Newton steps need hessian=\"fisher\"."
    peers = ("ngboost Laplace", "lightgbmlss Laplace", "-scipy.stats.laplace.logpdf")

    def _standard(self, z):
        return abs(z) + LOG_2

    def _push(self, z):
        return where(z > 0.0, 1.0, where(z < 0.0, -1.0, 0.0))

    def _stiffness(self, z):
        return 0.0

    def _information(self, mu, s):
        i = exp(-s)
        return i * i, 0.0, 1.0

    def start(self, y, w):
        import numpy as np

        from ..init_score import weighted_quantiles

        median = weighted_quantiles(y, w, [0.5])[0]
        return np.array([median, _log_scale(w @ abs(y - median))])


class StudentTNLL(_LocationScale):
    r"""Negative log-likelihood of Student's t distribution: location and scale that outliers hardly move.

    l = s + (df + 1)/2 log(1 + z^2/df) + c,  z = (y - mu) e^-s,
    c = lgamma(df/2) - lgamma((df + 1)/2) + log(df pi)/2.

    y any number (n,); y_pred (n, 2): location mu, log_scale s. Constants included: l = -scipy.stats.t(df).logpdf.
    `df = 3`, the degrees of freedom: 1 is Cauchy, infinity Gaussian; its derivative is in `param_grad`. e^s is the
    scale, not the standard deviation (that is e^s sqrt(df/(df - 2)) for df > 2).
    Hessian: negative in mu where |z| > sqrt(df); 2 df (df + 1) z^2 / (df + z^2)^2 in s. Fisher:
    (df + 1)/(df + 3) e^-2s and 2 df/(df + 3).
    Lange, Little and Taylor, "Robust statistical modeling using the t distribution", JASA 84, 1989.
    """

    df: float = parameter(3.0, POSITIVE)
    formula = "s + (df+1)/2 ln(1 + z²/df) + lnΓ(df/2) - lnΓ((df+1)/2) + ln(df π)/2,  z = (y - μ) e^-s"
    notes = "e^s is the scale, not the standard deviation. The Hessian in mu is negative where |z| > sqrt(df)."
    peers = ("ngboost TFixedDf", "lightgbmlss StudentT (df is predicted)", "-scipy.stats.t.logpdf")

    @property
    def constant(self):
        x = 0.5 * self.df  # lgamma(x + 1/2) - lgamma(x) by Stirling's remainder
        return HALF_LOG_2PI - x * log1pmx(0.5 / x) - (stirling(x + 0.5) - stirling(x))

    @property
    def constant_slope(self):
        x = 0.5 * self.df
        u = 0.5 / x
        return 0.5 * ((stirling_slope(x) - stirling_slope(x + 0.5)) - log1pmx(u) - u * u / (1.0 + u))

    def _standard(self, z):
        return 0.5 * (self.df + 1.0) * log1p(z * z / self.df) + self.constant

    def _push(self, z):
        r = 1.0 / (self.df + z * z)
        return (self.df + 1.0) * (z * r)

    def _stiffness(self, z):
        r = 1.0 / (self.df + z * z)
        return (self.df + 1.0) * r * ((self.df - z * z) * r)

    def _balance(self, z):
        r = 1.0 / (self.df + z * z)
        return self.df * ((1.0 - z * z) * r)

    def _twist(self, z):
        r = 1.0 / (self.df + z * z)
        return 2.0 * (self.df + 1.0) * (z * r) * (self.df * r)

    def _information(self, mu, s):
        i = exp(-s)
        q = 1.0 / (self.df + 3.0)
        return (self.df + 1.0) * q * (i * i), 0.0, 2.0 * self.df * q

    def gradient_df(self, y, f):
        mu, s = f
        z = (y - mu) * exp(-s)
        q = z * z / self.df
        share = z * z * (1.0 / (self.df + z * z))
        return self.constant_slope + 0.5 * (_lagging(q, share) - share / self.df)


class LogisticNLL(_LocationScale):
    r"""Negative log-likelihood of the logistic distribution: like the normal, with heavier tails and a bounded push.

    l = s + |z| + 2 log(1 + e^-|z|),  z = (y - mu) e^-s; the standard deviation is e^s pi / sqrt(3).

    y any number (n,); y_pred (n, 2): location mu, log_scale s. No constant is left out:
    l = -scipy.stats.logistic.logpdf.
    Hessian: e^-2s sech(z/2)^2 / 2 and z tanh(z/2) + z^2 sech(z/2)^2 / 2, neither negative. Fisher: e^-2s / 3 and
    (3 + pi^2)/9.
    Verhulst 1845; Johnson, Kotz and Balakrishnan, "Continuous Univariate Distributions 2", 1995.
    """

    formula = "s + |z| + 2 ln(1 + e^-|z|),  z = (y - μ) e^-s"
    notes = "e^s is the scale, not the standard deviation."
    peers = ("xgboost survival:aft logistic (on log time)", "-scipy.stats.logistic.logpdf")

    def _standard(self, z):
        return abs(z) + 2.0 * log1p(exp(-abs(z)))

    def _push(self, z):
        return tanh(0.5 * z)

    def _stiffness(self, z):
        e = exp(-abs(z))
        r = 1.0 / (1.0 + e)
        return 2.0 * (e * r) * r

    def _information(self, mu, s):
        i = exp(-s)
        return (i * i) / 3.0, 0.0, (3.0 + pi * pi) / 9.0


class GumbelNLL(_LocationScale):
    r"""Negative log-likelihood of the Gumbel distribution of maxima (floods, loads, records): skewed to the right.

    l = s + z + e^-z,  z = (y - mu) e^-s; mu is the mode.

    y any number (n,); y_pred (n, 2): location mu, log_scale s. No constant is left out:
    l = -scipy.stats.gumbel_r.logpdf. For minima pass -y and -mu (gumbel_l).
    Hessian: e^-2s e^-z, and z (1 - e^-z + z e^-z) >= 0. The parameters are not orthogonal; Fisher: e^-2s,
    -(1 - gamma) e^-s and pi^2/6 + (1 - gamma)^2, gamma = 0.5772.
    Gumbel, "Statistics of Extremes", 1958.
    """

    formula = "s + z + e^-z,  z = (y - μ) e^-s"
    notes = "The distribution of maxima. Targets far below mu cost e^-z."
    peers = ("-scipy.stats.gumbel_r.logpdf", "lightgbmlss Gumbel")

    def _standard(self, z):
        return z + exp(-z)

    def _push(self, z):
        return -expm1(-z)

    def _stiffness(self, z):
        return exp(-z)

    def _information(self, mu, s):
        i = exp(-s)
        return i * i, (EULER - 1.0) * i, pi * pi / 6.0 + (1.0 - EULER) ** 2

    def _natural(self, y, mu, s):
        # in units of sigma: information (1, -k; -k, pi^2/6 + k^2) with k = 1 - gamma, whose determinant is pi^2/6
        k, c = 1.0 - EULER, 6.0 / (pi * pi)
        z = (y - mu) * exp(-s)
        e = expm1(-z)  # slopes e and 1 + z e, kept together: far below mu they are inf and -inf
        return (k * c + e * (1.0 + (k * c) * (z + k))) * exp(s), c * (1.0 + (z + k) * e)


class LogNormalNLL(GaussianNLL):
    r"""Negative log-likelihood of the log-normal distribution: positive targets with relative errors.

    l = log y + s + z^2 / 2 + log(2 pi)/2,  z = (log y - mu) e^-s.

    y > 0 (n,); y_pred (n, 2): location mu and log_scale s of log y: mu is the log of the median.
    Constants included, log y too: l = -scipy.stats.lognorm(e^s, scale=e^mu).logpdf.
    Gradient, Hessian, Fisher and best constant row: those of GaussianNLL at log y.
    Aitchison and Brown, "The Lognormal Distribution", 1957.
    """

    formula = "ln y + s + z²/2 + ln(2π)/2,  z = (ln y - μ) e^-s"
    y_domain = POSITIVE
    notes = "e^mu is the median, the mean is e^(mu + sigma^2/2). log_scale is ln sigma, not ln sigma^2."
    peers = ("ngboost LogNormal", "xgboost survival:aft normal", "lightgbmlss LogNormal", "-scipy.stats.lognorm.logpdf")

    def _value(self, y, mu, s):
        return GaussianNLL._value(self, log(y), mu, s) + log(y)

    def _slopes(self, y, mu, s):
        return GaussianNLL._slopes(self, log(y), mu, s)

    def _bends(self, y, mu, s):
        return GaussianNLL._bends(self, log(y), mu, s)

    def start(self, y, w):
        import numpy as np

        return super().start(np.log(y), w)


class WeibullNLL(GumbelNLL):
    r"""Negative log-likelihood of the Weibull distribution: lifetimes, wind speeds.

    l = log y - log k - w + e^w,  w = k (log y - log lambda), k = e^log_shape, lambda = e^log_scale.

    y > 0 (n,); y_pred (n, 2): log_scale (of lambda, the 63 % quantile), log_shape (of k).
    No constant is left out: l = -scipy.stats.weibull_min(k, scale=lambda).logpdf.
    It is the Gumbel distribution of -log y, with location -log lambda and scale 1/k.
    Hessian: k^2 e^w, and w (e^w - 1 + w e^w) >= 0. Fisher: k^2, -(1 - gamma) k, pi^2/6 + (1 - gamma)^2,
    gamma = 0.5772.
    Weibull, "A statistical distribution function of wide applicability", J. Appl. Mech. 18, 1951.
    """

    columns = ("log_scale", "log_shape")
    formula = "ln y - ln k - w + e^w,  w = k (ln y - ln λ)"
    y_domain = POSITIVE
    notes = "The first column is the log of the scale, not of the mean lambda Gamma(1 + 1/k)."
    peers = ("ngboost Weibull (columns swapped)", "xgboost survival:aft extreme (its sigma is 1/k)", "lightgbmlss Weibull",
             "-scipy.stats.weibull_min.logpdf")

    def _value(self, y, scale, shape):
        return GumbelNLL._value(self, -log(y), -scale, -shape) + log(y)

    def _slopes(self, y, scale, shape):
        p, q = GumbelNLL._slopes(self, -log(y), -scale, -shape)
        return -p, -q

    def _bends(self, y, scale, shape):
        return GumbelNLL._bends(self, -log(y), -scale, -shape)

    def _information(self, scale, shape):
        return GumbelNLL._information(self, -scale, -shape)

    def _natural(self, y, scale, shape):
        p, q = GumbelNLL._natural(self, -log(y), -scale, -shape)
        return -p, -q


# ---- positive targets and shares ---------------------------------------------------------------------------------


class GammaNLL(_Distribution):
    r"""Negative log-likelihood of the gamma distribution by mean and shape: claims, durations, rainfall.

    l = lgamma(k) - k log k + k log mu - (k - 1) log y + k y / mu,  mu = e^log_mean, k = e^log_shape,
    computed as log y - log_shape/2 + log(2 pi)/2 + S(k) + k (y/mu - 1 - log(y/mu)), S Stirling's remainder.

    y > 0 (n,); y_pred (n, 2): log_mean, log_shape; the coefficient of variation is k^-1/2.
    Constants included: l = -scipy.stats.gamma(k, scale=mu/k).logpdf.
    Mean and shape are orthogonal, scale or rate and shape (scipy, ngboost, torch.distributions) are not.
    Hessian: k y / mu, and k (y/mu - 1 - log(y/mu) - log k + digamma(k)) + k^2 trigamma(k) - k, both positive.
    Fisher: k and k^2 trigamma(k) - k, between 1/2 (large k) and 1.
    Cox and Reid, "Parameter orthogonality and approximate conditional inference", J. R. Stat. Soc. B 49, 1987.
    """

    columns = ("log_mean", "log_shape")
    formula = "lnΓ(k) - k ln k + k ln μ - (k-1) ln y + k y/μ,  μ = e^f0, k = e^f1"
    y_domain = POSITIVE
    notes = "The first column is the log of the mean, not of scale or rate. The loss Gamma is this one at k = 1."
    peers = ("lightgbmlss Gamma", "torch.distributions.Gamma (rate = k/mu)", "-scipy.stats.gamma.logpdf")
    strict = True

    def _misfit(self, y, m):
        """u = y/mu - 1 and u - log(1 + u)."""
        e = exp(-0.5 * m)
        u = (y * e) * e - 1.0  # y e^-m, where e^-m alone may leave the format
        return u, where(abs(u) < 0.5, -log1pmx(u), u - (log(y) - m))

    def _value(self, y, m, s):
        k = exp(s)
        _, excess = self._misfit(y, m)
        return (log(y) + HALF_LOG_2PI) + (stirling(k) - 0.5 * s) + k * excess

    def _slopes(self, y, m, s):
        k = exp(s)
        u, excess = self._misfit(y, m)
        return -k * u, (k * stirling_slope(k) - 0.5) + k * excess

    def _bends(self, y, m, s):
        k = exp(s)
        u, excess = self._misfit(y, m)
        # S' + k S'', for k < 1 by the recurrences to k + 1: there both are 1/(2 k), and k log k is left
        near = k < 1.0
        x = where(near, k + 1.0, k)
        step = softplus(-s) - (k + 1.5) / ((k + 1.0) * (k + 1.0))
        shape = (stirling_slope(x) + k * stirling_bend(x)) + where(near, step, 0.0)
        return k * (1.0 + u), -k * u, k * shape + k * excess

    def _information(self, m, s):
        k = exp(s)
        return k, 0.0, 0.5 + k * (k * stirling_bend(k))


class BetaNLL(_Distribution):
    r"""Negative log-likelihood of the beta distribution: shares and rates strictly between 0 and 1.

    l = lgamma(a) + lgamma(b) - lgamma(a + b) - (a - 1) log y - (b - 1) log(1 - y),  a = e^log_alpha, b = e^log_beta.

    0 < y < 1 (n,); y_pred (n, 2): log_alpha, log_beta; the mean is p = a/(a + b).
    Constants included: l = -scipy.stats.beta(a, b).logpdf.
    Computed as -a log(y/p) - b log((1-y)/(1-p)), which is n times the divergence of p from y, plus terms of y, and of
    a and b by Stirling's remainder.
    Hessian: the Fisher diagonal plus the gradient; the cross term -a b trigamma(a + b) is the same in both.
    Fisher: a^2 (trigamma(a) - trigamma(n)), -a b trigamma(n), b^2 (trigamma(b) - trigamma(n)), n = a + b: nearly
    singular for large n, and solved by its small parts.
    Ferrari and Cribari-Neto, "Beta regression for modelling rates and proportions", J. Appl. Stat. 31, 2004.
    """

    columns = ("log_alpha", "log_beta")
    formula = "lnΓ(a) + lnΓ(b) - lnΓ(a+b) - (a-1) ln y - (b-1) ln(1-y),  a = e^f0, b = e^f1"
    y_domain = OPEN_UNIT
    notes = "Targets of exactly 0 or 1 have no finite likelihood and are errors."
    peers = ("lightgbmlss Beta", "torch.distributions.Beta", "-scipy.stats.beta.logpdf")

    def _shares(self, y, f, g):
        """The logs of y/p and (1-y)/(1-p), p = a/(a + b): by the difference where y is near p."""
        p, rest = sigmoid(f - g), sigmoid(g - f)
        d = where(p < 0.5, y - p, rest - (1.0 - y))
        u, v = d / p, -d / rest
        return (where(abs(u) < 0.5, log1p(u), log(y) + softplus(g - f)),
                where(abs(v) < 0.5, log1p(v), log1p(-y) + softplus(f - g)))

    def _value(self, y, f, g):
        a, b = exp(f), exp(g)
        log_u, log_v = self._shares(y, f, g)
        harmonic = minimum(f, g) - log1p(exp(-abs(f - g)))  # log(a b / (a + b))
        remainder = stirling(a) + stirling(b) - stirling(a + b)
        return (log(y) + log1p(-y)) - (a * log_u + b * log_v) + (HALF_LOG_2PI - 0.5 * harmonic) + remainder

    def _slopes(self, y, f, g):
        a, b = exp(f), exp(g)
        log_u, log_v = self._shares(y, f, g)
        p, rest = sigmoid(f - g), sigmoid(g - f)
        joint = stirling_slope(a + b)
        return (a * ((stirling_slope(a) - joint) - log_u) - 0.5 * rest,
                b * ((stirling_slope(b) - joint) - log_v) - 0.5 * p)

    def _bends(self, y, f, g):
        slope_a, slope_b = self._slopes(y, f, g)
        aa, ab, bb = self._information(f, g)
        return aa + slope_a, ab, bb + slope_b

    def _information(self, f, g):
        a, b = exp(f), exp(g)
        p, rest = sigmoid(f - g), sigmoid(g - f)
        joint = stirling_bend(a + b)
        return (a * rest + 0.5 * (rest * (1.0 + p)) + a * (a * maximum(stirling_bend(a) - joint, 0.0)),
                -(a * rest + 0.5 * (p * rest) + a * (b * joint)),
                b * p + 0.5 * (p * (1.0 + rest)) + b * (b * maximum(stirling_bend(b) - joint, 0.0)))

    def _natural(self, y, f, g):
        # information (c + i, -c; -c, c + j): the determinant c (i + j) + i j without a difference. i is
        # a (x(a) - x(n)) with x(a) = a trigamma(a) - 1, which falls
        a, b = exp(f), exp(g)
        p, rest = sigmoid(f - g), sigmoid(g - f)
        joint = stirling_bend(a + b)
        c = a * rest + 0.5 * (p * rest) + a * (b * joint)
        i = 0.5 * rest + a * maximum(a * stirling_bend(a) - (a + b) * joint, 0.0)
        j = 0.5 * p + b * maximum(b * stirling_bend(b) - (a + b) * joint, 0.0)
        slope_a, slope_b = self._slopes(y, f, g)
        both = c * (slope_a + slope_b)
        q = 1.0 / (c * (i + j) + i * j)
        return (both + j * slope_a) * q, (both + i * slope_b) * q


# ---- counts ------------------------------------------------------------------------------------------------------


def _double_exponential(step, reach):
    """Nodes and weights (log x, w) of the integral over 0 < x < 1, fit for any behaviour at 0 (Takahasi and Mori 1974)."""
    nodes = []
    for k in range(-round(reach / step), round(reach / step) + 1):
        u = pi * sinh(k * step)
        e = exp(-abs(u))
        nodes.append((-log1p(e) if u > 0.0 else u - log1p(e), step * pi * cosh(k * step) * e / (1.0 + e) ** 2))
    return tuple(nodes)


NODES = _double_exponential(0.125, 2.875)


class NegativeBinomialNLL(_Distribution):
    r"""Negative log-likelihood of the negative binomial distribution by mean and dispersion: overdispersed counts.

    l = lgamma(y + 1) + lgamma(r) - lgamma(y + r) - y log(alpha mu) + (y + r) log(1 + alpha mu),
    mu = e^log_mean, alpha = e^log_dispersion, r = 1/alpha; variance mu + alpha mu^2 (NB2).

    y >= 0, counts (n,); y_pred (n, 2): log_mean, log_dispersion. Constants included:
    l = -scipy.stats.nbinom(r, 1/(1 + alpha mu)).logpmf. The loss NegativeBinomial leaves the lgamma terms out, which
    depend on alpha. Towards alpha = 0 value and derivatives go to Poisson's to the last digits.
    Hessian: (y + r) p (1 - p) with p = alpha mu/(1 + alpha mu), positive; in log_dispersion of either sign.
    Mean and dispersion are orthogonal. Fisher: mu/(1 + alpha mu), and r^2 sum_{j >= 2} B(r, j) p^j / j, an infinite sum
    that is computed as an integral with 47 nodes: positive, and for alpha mu <= 100, 1e4, 1e6 within 1e-11, 3e-7, 2e-5
    of itself.
    Lawless, "Negative binomial and mixed Poisson regression", Canad. J. Statist. 15, 1987.
    """

    columns = ("log_mean", "log_dispersion")
    formula = "lnΓ(y+1) + lnΓ(r) - lnΓ(y+r) - y ln(α μ) + (y+r) ln(1 + α μ),  μ = e^f0, α = e^f1, r = 1/α"
    y_domain = NON_NEGATIVE
    notes = ("The second column is ln alpha, the log of the dispersion; torch.distributions and scipy take r = 1/alpha. A "
             "y that is not whole is accepted.")
    peers = ("lightgbmlss NegativeBinomial", "torch.distributions.NegativeBinomial", "statsmodels NegativeBinomial(nb2)",
             "-scipy.stats.nbinom.logpmf")

    def _odds(self, m, d):
        """alpha, r, whether alpha mu > 1, and it or its reciprocal, the one below 1. (m + d would round exp's argument.)"""
        alpha = exp(d)
        r, large = 1.0 / alpha, m + d > 0.0
        return alpha, r, large, where(large, r, alpha) * exp(where(large, -m, m))

    def _parts(self, y, m, d):
        """r, u = alpha y, p, q = 1 - p, and mu q."""
        alpha, r, large, odds = self._odds(m, d)
        larger = 1.0 / (1.0 + odds)
        smaller = odds * larger
        return (r, y * alpha, where(large, larger, smaller), where(large, smaller, larger),
                where(large, r, exp(where(large, -m, m))) * larger)

    def _value(self, y, m, d):
        alpha, r, large, odds = self._odds(m, d)
        u, rest = y * alpha, log1p(odds)
        # lgamma(y + r) - lgamma(r) - y log r
        rising = (y + r - 0.5) * log1p(u) - y + (stirling(y + r) - stirling(r))
        # r and y times log(1 + alpha mu), and -y log mu, without the difference of two large numbers
        return ((lgamma(y + 1.0) - rising) + r * (where(large, m + d, 0.0) + rest)) + y * (where(large, d, -m) + rest)

    def _slope_dispersion(self, y, m, d):
        # textbook: r (digamma(y + r) - digamma(r)) - r log(1 + alpha mu) + r p - y q: sums of size y, of which alpha y
        # is left for small alpha
        r, u, p, q, mu_q = self._parts(y, m, d)
        _, _, large, odds = self._odds(m, d)
        logs = where(u < 1.0, r * log1pmx(u) + y * p, r * log1p(u) - y * q)
        shares = where(large, r * (m + d + log1p(odds)) - mu_q, r * (log1pmx(odds) + odds * p))
        return (logs + 0.5 * (u / (1.0 + u))) + r * (stirling_slope(y + r) - stirling_slope(r)) - shares

    def _slopes(self, y, m, d):
        _, _, _, q, mu_q = self._parts(y, m, d)
        return mu_q - y * q, self._slope_dispersion(y, m, d)

    def _bends(self, y, m, d):
        r, u, p, q, mu_q = self._parts(y, m, d)
        w = 1.0 / (1.0 + u)
        change = where(u < 1.0, p * (1.0 + q) - u * w, w - q * q)  # w - q^2
        rest = y * change + 0.5 * ((u * w) * (1.0 + w)) - r * (r * (stirling_bend(y + r) - stirling_bend(r)))
        return ((mu_q + y * p) * q,
                -p * (mu_q - y * q),
                (rest - p * mu_q) - self._slope_dispersion(y, m, d))

    def _information(self, m, d):
        # r^2 sum B(r, j) p^j / j = r p^2/(r + 1) integral_0^1 h(x^(1/(r + 1))) dx, h(s) = 1/(1 - z) + (log(1 - z) + z)/z^2
        # with z = p (1 - s): smooth, 1/2 at z = 0
        alpha = exp(d)
        _, _, p, q, mu_q = self._parts(0.0, m, d)
        power = alpha / (1.0 + alpha)
        integral = 0.0
        for log_x, weight in NODES:
            z = maximum(-p * expm1(log_x * power), 1e-15)  # h has its limit there, and z^2 is above 0
            rest = q + p * exp(log_x * power)
            integral = integral + weight * (1.0 / rest + where(z < 0.5, log1pmx(-z), log(rest) + z) / (z * z))
        return mu_q, 0.0, maximum((p * p) / (1.0 + alpha) * integral, 1e-37)  # positive in float32, too


class ZeroInflatedPoissonNLL(_Distribution):
    r"""Negative log-likelihood of the zero-inflated Poisson distribution: counts with more zeros than Poisson has.

    l = -log(pi + (1 - pi) e^-lambda) for y = 0, and -log(1 - pi) + lambda - y log(lambda) + lgamma(y + 1) for y > 0,
    lambda = e^log_rate, pi = sigma(logit_zero), the probability of a structural zero.

    y >= 0, counts (n,); y_pred (n, 2): log_rate, logit_zero. Constants included: log(y!) is not dropped
    (torch.nn.PoissonNLLLoss drops it, or with full=True approximates it).
    The mean is (1 - pi) lambda.
    Hessian: lambda and pi (1 - pi) for y > 0. For y = 0, with q = sigma(logit_zero + lambda) the probability that this
    zero is structural, negative in log_rate where q lambda > 1 and in logit_zero where pi + q < 1.
    Fisher in closed form, with a cross term.
    Lambert, "Zero-inflated Poisson regression", Technometrics 34, 1992.
    """

    columns = ("log_rate", "logit_zero")
    formula = "y = 0: -ln(π + (1-π) e^-λ);  y > 0: -ln(1-π) + λ - y ln λ + ln y!;  λ = e^f0, π = σ(f1)"
    y_domain = NON_NEGATIVE
    notes = "The zero part has a logit, not a probability. exp(log_rate) is not the mean: (1 - pi) exp(log_rate) is."
    peers = ("statsmodels ZeroInflatedPoisson", "lightgbmlss ZIPoisson")

    def _zero(self, m, t):
        """lambda, 1 - e^-lambda, 1 - pi, the probability that a zero is structural, and that it is not times lambda."""
        rate = exp(m)
        finite = minimum(rate, 1e15)  # the product is 0 long before, and not 0 * inf
        return rate, -expm1(-rate), sigmoid(-t), sigmoid(t + rate), sigmoid(-t - finite) * finite

    def _value(self, y, m, t):
        rate, positive, c, _, _ = self._zero(m, t)
        lost = c * positive
        # log(1 + e^-t) - log(1 + e^-(t + rate)), and the log of 1 - lost where that is near 1
        unlikely = (minimum(maximum(-t, 0.0), rate) + log1p(exp(-abs(t)))) - log1p(exp(-abs(t + rate)))
        zero = where(lost < 0.5, -log1p(-lost), unlikely)
        return where(y == 0.0, zero, softplus(t) + ((rate - y * m) + lgamma(y + 1.0)))

    def _slopes(self, y, m, t):
        rate, positive, c, structural, chance = self._zero(m, t)
        zero = y == 0.0
        return where(zero, chance, rate - y), where(zero, -structural * (c * positive), sigmoid(t))

    def _bends(self, y, m, t):
        rate, positive, c, structural, chance = self._zero(m, t)
        zero = y == 0.0
        finite = minimum(rate, 1e15)
        return (where(zero, chance * (1.0 - structural * finite), rate),
                where(zero, -structural * chance, 0.0),
                where(zero, -structural * (c * positive) * (c - structural), sigmoid(t) * c))

    def _information(self, m, t):
        rate, positive, c, structural, _ = self._zero(m, t)
        x = minimum(rate, 1e15) * exp(-rate)
        return (c * rate) * (1.0 - structural * x), -structural * (c * x), (c * structural) * (sigmoid(t) * positive)

    def _natural(self, y, m, t):
        # a zero or not says one thing, and the positive counts another, the rate alone: each is inverted by itself.
        # The variance of a positive count is rate * spread / positive^2.
        rate, positive, c, structural, _ = self._zero(m, t)
        e = exp(-rate)
        x = minimum(rate, 1e15) * e
        spread = where(rate < 1.0, e * expm1mx(rate), positive - x)
        excess = (1.0 - y) * positive + expm1mx(-rate)  # rate - y positive
        step = where(y == 0.0, 0.0, (excess / rate) / (c * spread))
        p = sigmoid(t)
        return step, where(y == 0.0, -1.0 / p, 1.0 / (c * structural * positive)) + x / (p * positive) * step
