"""Counts, claims and other targets that are not negative: the exponential dispersion family, and its deviances.

The losses with a log link take f = log(mean); the deviances take the mean itself, as `sklearn.metrics` does. With
f = log(mu) a deviance is twice what the loss loses against a perfect prediction: 2 (value(y, f) - value(y, log y)).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from ..curvatures import BOUNDED_GRADIENT, CONSTANT_HESSIAN, NEVER_STUCK
from ..domain import NON_NEGATIVE, POSITIVE, REAL, Interval
from ..loss import Elementwise, parameter
from ..vecmath import exp, expm1, expm1mx, log, log1p, log1pmx, pow, sqrt, where

__all__ = ["Gamma", "GammaDeviance", "InverseGaussian", "InverseGaussianDeviance", "NegativeBinomial", "Poisson",
           "PoissonDeviance", "Tweedie", "TweedieDeviance"]


# ---- log link: f = log(mean) -------------------------------------------------------------------------------------


class Poisson(Elementwise):
    r"""Counts whose variance equals their mean: the negative log-likelihood of the Poisson distribution, log link.

    l = mu - y f, with mu = exp(f) the predicted mean; the terms of y alone, log(y!), are dropped.

    Domain: y >= 0, whole or not (rates with exposure as weight); f any real number, the log of the mean.
    The Hessian is mu: positive, but without bound, and tiny where far too little is predicted.
    McCullagh and Nelder, "Generalized Linear Models", 1989.
    """

    formula = "exp(f) - y f"
    y_domain = NON_NEGATIVE
    link = "log"
    notes = ("f is the log of the mean (keras.losses.Poisson takes the mean). log(y!) is dropped. XGBoost and "
             "LightGBM multiply the Hessian by exp(0.7) (max_delta_step).")
    peers = ("torch.nn.PoissonNLLLoss", "sklearn HalfPoissonLoss", "xgboost count:poisson", "lightgbm poisson",
             "catboost Poisson")
    strict = True

    def value(self, y, f):
        mu = exp(f)
        linear = where(y == 0.0, 0.0, y * f)  # 0 * inf is NaN
        return where(mu < inf, mu - linear, mu)

    def gradient(self, y, f):
        return exp(f) - y

    def hessian(self, y, f):
        return exp(f)

    def fisher_diagonal(self, y, f):
        return exp(f)

    def optimum(self, mean):
        return log(mean)


class Gamma(Elementwise):
    r"""Positive targets with a constant coefficient of variation (claim sizes, durations): gamma, log link.

    l = f + y exp(-f), the negative log-likelihood per unit of shape, without the terms of y alone.

    Domain: y > 0; f any real number, the log of the mean.
    The Hessian y exp(-f) goes to zero where too much is predicted: Newton steps are long there.
    McCullagh and Nelder, "Generalized Linear Models", 1989.
    """

    formula = "f + y exp(-f)"
    y_domain = POSITIVE
    link = "log"
    notes = "f is the log of the mean. log(y) + 1 is dropped."
    peers = ("sklearn HalfGammaLoss", "xgboost reg:gamma", "lightgbm gamma")
    strict = True

    def value(self, y, f):
        e = exp(-0.5 * f)
        t = (y * e) * e  # y exp(-f), where exp(-f) alone may leave the format
        return where(t < inf, f + t, t)

    def gradient(self, y, f):
        e = exp(-0.5 * f)
        t = (y * e) * e
        return 1.0 - t

    def hessian(self, y, f):
        e = exp(-0.5 * f)
        t = (y * e) * e
        return t

    def fisher_diagonal(self, y, f):
        return 1.0

    def optimum(self, mean):
        return log(mean)


def _half_powers(x):
    """exp(x/2) - 1 and exp(x/2), each to its last bits, from one evaluation.

    Textbook: a power mu^k = exp(x), and mu^k - 1. From expm1 alone, 1 + expm1(x) has lost exp(x) for x << 0; from exp
    alone, exp(x) - 1 is lost around 0. So expm1 is taken of |x|, where it gives both, and a reciprocal turns them
    round. The square root is kept, for y exp(x) is finite where exp(x) is not.
    """
    t = expm1(0.5 * abs(x))
    root = 1.0 + t
    reciprocal = 1.0 / root
    down = where(t > 1.0, reciprocal - 1.0, -t * reciprocal)
    negative = x < 0.0
    return where(negative, down, t), where(negative, reciprocal, root)


class Tweedie(Elementwise):
    r"""Targets with many exact zeros and a positive, skewed rest (claims per policy, rainfall), log link.

    l = expm1((2 - p) f) / (2 - p) - y expm1((1 - p) f) / (1 - p), with p = `power`: variance ~ mean^p.

    p = 1 is Poisson - 1 and p = 2 is Gamma - y, and the value is continuous in between. The textbook form
    mu^(2-p) / (2-p) - y mu^(1-p) / (1-p) differs by constants of y, and loses 8 digits at p = 1 + 1e-8.

    Domain: y >= 0 (y > 0 for p = 2); f any real number, the log of the mean.
    The Hessian is positive for every y and f, but for y = 0 at p = 2.
    `power = 1.5` is the common default; between 1 and 2 the distribution is a sum of Poisson many gamma claims.
    Jorgensen, "The Theory of Dispersion Models", 1997.
    """

    power: float = parameter(1.5, Interval(1.0, 2.0, True, True))
    formula = "expm1((2-p) f)/(2-p) - y expm1((1-p) f)/(1-p),  p = power"
    link = "log"
    notes = "f is the log of the mean. Peers drop the constant y/(1-p) - 1/(2-p); gradient and Hessian are the same."
    peers = ("sklearn HalfTweedieLoss", "xgboost reg:tweedie", "lightgbm tweedie", "catboost Tweedie")
    strict = True

    @property
    def y_domain(self):
        return POSITIVE if self.power == 2.0 else NON_NEGATIVE

    @property
    def a(self):
        return 2.0 - self.power

    @property
    def b(self):
        return self.power - 1.0

    @property
    def inverse_a(self):
        return 0.0 if self.a == 0.0 else 1.0 / self.a

    @property
    def inverse_b(self):
        return 0.0 if self.b == 0.0 else 1.0 / self.b

    @property
    def is_poisson(self):
        return self.power == 1.0

    @property
    def is_gamma(self):
        return self.power == 2.0

    def value(self, y, f):
        u, mu = _half_powers(where(self.is_gamma, 0.0, self.a * f))
        v, nu = _half_powers(where(self.is_poisson | (y == 0.0), 0.0, -self.b * f))  # y = 0: 0 * inf is NaN
        # expm1(x) = expm1(x/2) (1 + exp(x/2))
        first = where(self.is_gamma, f, u * (1.0 + mu) * self.inverse_a)
        second = where(self.is_poisson, where(y == 0.0, 0.0, -y * f), (y * v) * (1.0 + nu) * self.inverse_b)
        return where((first < inf) & (second < inf), first + second, inf)

    def gradient(self, y, f):
        _, mu = _half_powers(where(self.is_gamma, 0.0, self.a * f))
        _, nu = _half_powers(where(self.is_poisson | (y == 0.0), 0.0, -self.b * f))
        return mu * mu - (y * nu) * nu

    def hessian(self, y, f):
        _, mu = _half_powers(where(self.is_gamma, 0.0, self.a * f))
        _, nu = _half_powers(where(self.is_poisson | (y == 0.0), 0.0, -self.b * f))
        return self.a * (mu * mu) + self.b * ((y * nu) * nu)

    def fisher_diagonal(self, y, f):
        _, mu = _half_powers(where(self.is_gamma, 0.0, self.a * f))
        return mu * mu

    def optimum(self, mean):
        return log(mean)


class InverseGaussian(Elementwise):
    r"""Positive targets with a very heavy right tail (waiting times): inverse Gaussian likelihood, log link.

    l = (y - mu)^2 / (2 y mu^2), with mu = exp(f) the predicted mean; half the unit deviance, zero where mu = y.

    Domain: y > 0; f any real number, the log of the mean.
    The Hessian e^-f (2 y e^-f - 1) is negative where mu > 2 y: the loss is not convex in f. Its expectation is e^-f.
    Tweedie, "Statistical Properties of Inverse Gaussian Distributions", Ann. Math. Statist. 28, 1957.
    """

    formula = "(y - mu)²/(2 y mu²),  mu = exp(f)"
    y_domain = POSITIVE
    link = "log"
    convex = False
    notes = "f is the log of the mean. The Hessian is negative where mu > 2 y."
    peers = ("statsmodels InverseGaussian (link log)", "glum InverseGaussianDistribution")
    claims = NEVER_STUCK

    def value(self, y, f):
        t = exp(-f)
        d = y * t - 1.0
        return 0.5 * d * (d / y)  # textbook: d^2 / (2 y), where d^2 may overflow

    def gradient(self, y, f):
        t = exp(-f)
        d = y * t - 1.0
        return -t * d

    def hessian(self, y, f):
        t = exp(-f)
        return t * (2.0 * (y * t) - 1.0)

    def fisher_diagonal(self, y, f):
        return exp(-f)

    def optimum(self, mean):
        return log(mean)


class NegativeBinomial(Elementwise):
    r"""Counts that vary more than a Poisson: variance mu + alpha mu^2 (NB2), log link.

    l = -y f + (y + 1/alpha) log1p(alpha mu), with mu = exp(f); the terms of y and alpha alone are dropped.

    Domain: y >= 0; f any real number, the log of the mean.
    `alpha` > 0 is the overdispersion; towards 0 the loss becomes Poisson's. Gradient between -y and 1/alpha, Hessian
    (1 + alpha y) mu / (1 + alpha mu)^2 positive.
    Hilbe, "Negative Binomial Regression", 2011.
    """

    alpha: float = parameter(1.0, POSITIVE)
    formula = "-y f + (y + 1/alpha) log1p(alpha mu),  mu = exp(f)"
    y_domain = NON_NEGATIVE
    link = "log"
    notes = ("f is the log of the mean. The log-gamma terms of y and alpha are dropped: values at different alpha "
             "cannot be compared.")
    peers = ("statsmodels NegativeBinomial (alpha)", "glum NegativeBinomialDistribution (theta)")
    strict = True
    claims = BOUNDED_GRADIENT

    @property
    def inverse(self):
        return 1.0 / self.alpha

    @property
    def log_alpha(self):
        return log(self.alpha)

    def value(self, y, f):
        x = self.alpha * exp(f)
        overflow = f + self.log_alpha
        growth = where(x < inf, log1p(x), overflow)
        # textbook: -y f + (y + 1/alpha) growth, inf - inf at f = inf
        rest = where(x < inf, growth - f, self.log_alpha)
        return self.inverse * growth + where(y == 0.0, 0.0, y * rest)

    def gradient(self, y, f):
        # textbook: (mu - y) / (1 + alpha mu), inf / inf where mu overflows; both sides times exp(-f) there
        e = exp(-abs(f))
        positive = f > 0.0
        r = 1.0 / where(positive, e + self.alpha, 1.0 + self.alpha * e)
        return where(positive, 1.0 - y * e, e - y) * r

    def hessian(self, y, f):
        e = exp(-abs(f))
        positive = f > 0.0
        r = 1.0 / where(positive, e + self.alpha, 1.0 + self.alpha * e)
        p = e * r
        return p * r + (p * y) * (self.alpha * r)  # textbook: mu (1 + alpha y) / (1 + alpha mu)^2

    def fisher_diagonal(self, y, f):
        e = exp(-abs(f))
        positive = f > 0.0
        r = 1.0 / where(positive, e + self.alpha, 1.0 + self.alpha * e)
        return where(positive, 1.0, e) * r

    def largest_curvature(self, y, f):
        return 0.25 * (self.inverse + y)

    def optimum(self, mean):
        return log(mean)


# ---- deviances: the prediction is the mean -----------------------------------------------------------------------


def _excess(x, m):
    """x/m - 1 - log(x/m) for x, m > 0, without the cancellation of the textbook form around x = m.

    Far below m, x/m - 1 has lost x, and the logarithm is taken of the ratio (of roots, which cannot overflow).
    """
    q = (x - m) / m
    far = q < -0.75
    near_q = where(far, 0.0, q)
    ratio = sqrt(m) / sqrt(x)
    return where(far, q + 2.0 * log(where(far, ratio, 1.0)), -log1pmx(near_q))


class PoissonDeviance(Elementwise):
    r"""The Poisson deviance of a predicted mean: 0 where it equals the target, never negative.

    l = 2 (y log(y / f) - y + f), with y log y = 0 at y = 0; f is the mean, not its logarithm.

    Domain: y >= 0, f > 0. The Hessian 2 y / f^2 is zero at y = 0.
    Equal to 2 (Poisson(y, log f) - Poisson(y, log y)). Its mean is `sklearn.metrics.mean_poisson_deviance`.
    McCullagh and Nelder, "Generalized Linear Models", 1989.
    """

    formula = "2 (y log(y/f) - y + f)"
    y_domain = NON_NEGATIVE
    pred_domain = POSITIVE
    notes = "The prediction is the mean, not its logarithm (for that: Poisson). Exact also where f is close to y."
    peers = ("sklearn.metrics.mean_poisson_deviance", "torchmetrics TweedieDevianceScore(power=1)")

    def value(self, y, f):
        negligible = y <= 1e-20 * f  # also y = 0
        m = where(negligible, f, y)
        return 2.0 * where(negligible, f, m * _excess(f, m))

    def gradient(self, y, f):
        i = 1.0 / f
        return 2.0 * ((f - y) * i)

    def hessian(self, y, f):
        i = 1.0 / f
        return 2.0 * ((y * i) * i)

    def fisher_diagonal(self, y, f):
        return 2.0 / f

    def optimum(self, mean):
        return mean


class GammaDeviance(Elementwise):
    r"""The gamma deviance of a predicted mean: depends on the ratio of target and prediction only.

    l = 2 (log(f / y) + y / f - 1); f is the mean, not its logarithm.

    Domain: y > 0, f > 0. The Hessian 2 (2 y / f - 1) / f^2 is negative where f > 2 y: not convex in the mean.
    Equal to 2 (Gamma(y, log f) - Gamma(y, log y)). Its mean is `sklearn.metrics.mean_gamma_deviance`.
    McCullagh and Nelder, "Generalized Linear Models", 1989.
    """

    formula = "2 (log(f/y) + y/f - 1)"
    y_domain = POSITIVE
    pred_domain = POSITIVE
    convex = False
    notes = "The prediction is the mean, not its logarithm (for that: Gamma). Exact also where f is close to y."
    peers = ("sklearn.metrics.mean_gamma_deviance", "torchmetrics TweedieDevianceScore(power=2)")

    def value(self, y, f):
        return 2.0 * _excess(y, f)

    def gradient(self, y, f):
        i = 1.0 / f
        return 2.0 * (((f - y) * i) * i)

    def hessian(self, y, f):
        i = 1.0 / f
        return 2.0 * (((2.0 * (y * i) - 1.0) * i) * i)

    def fisher_diagonal(self, y, f):
        i = 1.0 / f
        return 2.0 * (i * i)

    def optimum(self, mean):
        return mean


@dataclass(frozen=True)
class _TweediePowers:
    """No distribution has a power between 0 and 1."""

    everything = False
    low, high = -inf, inf

    def outside(self, x):
        return (x > 0.0) & (x < 1.0)

    def __str__(self):
        return "at most 0, or at least 1"


def _log_ratio(x, m):
    """log(x/m) for x, m > 0 to its last bits: 2 log1p of larger root / smaller root - 1; nothing overflows."""
    low, high = sqrt(where(x < m, x, m)), sqrt(where(x < m, m, x))
    z = 2.0 * log1p(abs(x - m) / (low * (low + high)))
    return where(x < m, -z, z)


class TweedieDeviance(Elementwise):
    r"""The deviance of a predicted mean where the variance grows as mean^`power`.

    l = 2 (y^(2-p) / ((1-p)(2-p)) - y f^(1-p) / (1-p) + f^(2-p) / (2-p)), and its limits at p = 1 and p = 2.

    Domain: p < 0: any y, f > 0 (extreme stable); p = 0: any y and f (normal: squared error); 1 <= p < 2: y >= 0,
    f > 0 (1 Poisson, between compound Poisson); p >= 2: y > 0, f > 0 (2 gamma, 3 inverse Gaussian). No distribution
    has 0 < p < 1. For p < 0 and y < 0 the term y^(2-p) is 0, as in scikit-learn.
    Continuous in p, which the textbook form is not in floating point: where f is near y it is y^(2-p) times the
    difference of (e^(kz) - 1 - kz) / k at k = 2-p and k = 1-p, with z = log(f/y).
    The Hessian 2 f^-p (1 - p (f - y) / f) may be negative: convex in the mean only for p = 0 and p = 1.
    Equal to 2 (Tweedie(y, log f) - Tweedie(y, log y)). Its mean is `sklearn.metrics.mean_tweedie_deviance`.
    Jorgensen, "The Theory of Dispersion Models", 1997.
    """

    power: float = parameter(1.5, _TweediePowers())
    formula = "2 (y^(2-p)/((1-p)(2-p)) - y f^(1-p)/(1-p) + f^(2-p)/(2-p)),  p = power"
    notes = "The prediction is the mean, not its logarithm (for that: Tweedie). scikit-learn's default power is 0."
    peers = ("sklearn.metrics.mean_tweedie_deviance", "torchmetrics TweedieDevianceScore")

    @property
    def convex(self):
        return self.power in (0.0, 1.0)

    @property
    def strict(self):
        return self.power == 0.0

    @property
    def claims(self):
        return CONSTANT_HESSIAN if self.power == 0.0 else {}

    @property
    def y_domain(self):
        return POSITIVE if self.power >= 2.0 else NON_NEGATIVE if self.power >= 1.0 else REAL

    @property
    def pred_domain(self):
        return REAL if self.power == 0.0 else POSITIVE

    @property
    def a(self):
        return 2.0 - self.power

    @property
    def c(self):
        return 1.0 - self.power

    @property
    def e(self):
        return -1.0 - self.power

    @property
    def inverse_a(self):
        return 0.0 if self.a == 0.0 else 1.0 / self.a

    @property
    def inverse_c(self):
        return 0.0 if self.c == 0.0 else 1.0 / self.c

    @property
    def is_normal(self):
        return self.power == 0.0

    @property
    def is_poisson(self):
        return self.power == 1.0

    @property
    def is_gamma(self):
        return self.power == 2.0

    def value(self, y, f):
        positive = y > 0.0
        mu = where(f == 0.0, 1.0, abs(f))  # p = 0 admits f <= 0
        m = where(positive, y, mu)
        z = _log_ratio(mu, m)
        y_power = where(positive, pow(m, self.a), 0.0)
        f_power = pow(mu, self.a)
        i = 1.0 / where(f == 0.0, 1.0, f)
        y_f_power = where(abs(y) < f, f_power * (y * i), (f_power * i) * y)  # y f^(1-p)
        near = y_power * (expm1mx(self.a * z) * self.inverse_a - expm1mx(self.c * z) * self.inverse_c)
        # (f^(2-p) - y^(2-p)) / (2-p) and (y f^(1-p) - y^(2-p)) / (1-p): by expm1 where they would cancel
        first = where(positive & (abs(self.a * z) < 1.0),
                      y_power * where(self.is_gamma, z, expm1(self.a * z) * self.inverse_a),
                      (f_power - y_power) * self.inverse_a)
        second = where(positive & (abs(self.c * z) < 1.0),
                       y_power * where(self.is_poisson, z, expm1(self.c * z) * self.inverse_c),
                       (y_f_power - y_power) * self.inverse_c)
        half = where(positive & (abs(z) < 1.0), near, first - second)
        half = where((y_power < inf) & (f_power < inf), half, inf)
        return where(self.is_normal, (f - y) * (f - y), where(y == f, 0.0, 2.0 * half))

    def gradient(self, y, f):
        i = 1.0 / where(f == 0.0, 1.0, f)
        power = pow(abs(f), self.c)
        r = f - y
        q = r * i
        slope = where(abs(q) <= 1.0, power * q, (power * i) * r)  # textbook: f^-p (f - y), where f^-p overflows first
        return 2.0 * where(self.is_normal | (r == 0.0), r, slope)

    def hessian(self, y, f):
        i = 1.0 / where(f == 0.0, 1.0, f)
        power = pow(abs(f), self.c) * i
        ratio = self.c + self.power * (y * i)
        above = pow(abs(f), self.e) * (self.c * f + self.power * y)  # where y / f overflows or f^-p vanishes
        return 2.0 * where(self.is_normal, 1.0, where(abs(y) <= f, power * ratio, above))

    def fisher_diagonal(self, y, f):
        i = 1.0 / where(f == 0.0, 1.0, f)
        return 2.0 * where(self.is_normal, 1.0, pow(abs(f), self.c) * i)

    def optimum(self, mean):
        return mean if self.power == 0.0 or mean > 0.0 or mean != mean else 0.0


class InverseGaussianDeviance(Elementwise):
    r"""The inverse Gaussian deviance of a predicted mean.

    l = (y - f)^2 / (y f^2); f is the mean, not its logarithm.

    Domain: y > 0, f > 0. The Hessian 2 (3 y / f - 2) / f^3 is negative where f > 3 y / 2: not convex in the mean.
    Equal to 2 InverseGaussian(y, log f), and to `sklearn.metrics.mean_tweedie_deviance` with power=3.
    Tweedie, "Statistical Properties of Inverse Gaussian Distributions", Ann. Math. Statist. 28, 1957.
    """

    formula = "(y - f)²/(y f²)"
    y_domain = POSITIVE
    pred_domain = POSITIVE
    convex = False
    notes = "The prediction is the mean, not its logarithm (for that: InverseGaussian)."
    peers = ("sklearn.metrics.mean_tweedie_deviance(power=3)", "statsmodels InverseGaussian().deviance")

    def value(self, y, f):
        i = 1.0 / f
        q = (f - y) * i
        return q * (q / y)

    def gradient(self, y, f):
        i = 1.0 / f
        q = (f - y) * i
        return 2.0 * (q * i) * i

    def hessian(self, y, f):
        i = 1.0 / f
        return 2.0 * (((3.0 * (y * i) - 2.0) * i) * i) * i

    def fisher_diagonal(self, y, f):
        i = 1.0 / f
        return 2.0 * (i * i) * i

    def optimum(self, mean):
        return mean
