"""Rows for examples.py: counts, claims, and deviances of a mean."""

from collections import namedtuple

import numpy as np
from scipy.special import xlogy
from sklearn._loss import HalfGammaLoss, HalfPoissonLoss, HalfTweedieLoss
from statsmodels.genmod.families import Gamma as GammaFamily
from statsmodels.genmod.families import InverseGaussian as InverseGaussianFamily
from statsmodels.genmod.families import NegativeBinomial as NegativeBinomialFamily
from statsmodels.genmod.families import Poisson as PoissonFamily

import fusedloss as fl

Example = namedtuple("Example", "loss y f peer scale", defaults=(None, None, None, None))


def log_mean(rng, n):
    return rng.normal(0.5, 2.0, n)


def _half(loss):
    """Values of scikit-learn's private losses, which drop the same terms of y alone."""
    return lambda y, f: loss.loss(y_true=np.ascontiguousarray(y), raw_prediction=np.ascontiguousarray(f))


def _half_tweedie(power):
    """scikit-learn drops 1/(2 - p) - y/(1 - p), too."""
    half = _half(HalfTweedieLoss(power=power))
    return lambda y, f: half(y, f) - 1.0 / (2.0 - power) + y / (1.0 - power)


def _tweedie_scale(power):
    a, b = 2.0 - power, power - 1.0

    def scale(y, f):
        # the two terms of the value or of the gradient; |f| is the limit of the former at an end
        first = np.maximum(np.exp(a * f), np.abs(f) if a == 0.0 else np.abs(np.expm1(a * f)) / a)
        second = np.maximum(np.exp(-b * f), np.abs(f) if b == 0.0 else np.abs(np.expm1(-b * f)) / b)
        return np.maximum(first, y * second)

    return scale


def _deviance_scale(power):
    def scale(y, f):
        if power == 0.0:
            return (y - f) ** 2
        if power == 1.0:
            return 2.0 * np.maximum(np.maximum(y, f), np.abs(xlogy(y, y / f)))
        if power == 2.0:
            return 2.0 * np.maximum(np.maximum(1.0, y / f), np.abs(np.log(f / y)))
        a, c = 2.0 - power, 1.0 - power
        terms = [np.maximum(y, 0.0) ** a / (a * c) if a > 0 else y ** a / (a * c), y * f**c / c, f**a / a]
        return 2.0 * np.max(np.abs(terms), axis=0)

    return scale


def _deviance(family):
    return lambda y, f: family.resid_dev(y, f) ** 2


def _tweedie_deviance(power):
    """The formula of scikit-learn's mean_tweedie_deviance, which gives means only."""
    def peer(y, f):
        a, c = 2.0 - power, 1.0 - power
        return 2.0 * (np.maximum(y, 0.0) ** a / (a * c) - y * f**c / c + f**a / a)

    return peer


def _negative_binomial(alpha):
    """statsmodels: minus log-likelihood, up to terms of y alone, which a perfect prediction has, too."""
    family = NegativeBinomialFamily(alpha=alpha)

    def peer(y, f):
        def own(mu):
            return -xlogy(y, mu) + (y + 1.0 / alpha) * np.log1p(alpha * mu)

        return 0.5 * family.resid_dev(y, np.exp(f)) ** 2 + own(y)

    return peer


EXAMPLES = [
    Example(fl.Poisson(), f=log_mean, peer=_half(HalfPoissonLoss()),
            scale=lambda y, f: np.maximum(np.maximum(np.exp(f), y), np.abs(y * f))),
    Example(fl.Gamma(), f=log_mean, peer=_half(HalfGammaLoss()),
            scale=lambda y, f: np.maximum(np.maximum(1.0, np.abs(f)), y * np.exp(-f))),
    *(Example(fl.Tweedie(power=p), f=log_mean, peer=_half_tweedie(p) if 1.0 < p < 2.0 and p != 1.00000001 else None,
              scale=_tweedie_scale(p))  # at the ends and next to them scikit-learn's form differs or cancels
      for p in (1.0, 1.00000001, 1.5, 1.9, 2.0)),
    Example(fl.InverseGaussian(), f=log_mean,
            scale=lambda y, f: np.max([1 / y, np.exp(-f), y * np.exp(-2 * f)], axis=0),
            peer=lambda y, f: 0.5 * InverseGaussianFamily().resid_dev(y, np.exp(f)) ** 2),
    *(Example(fl.NegativeBinomial(alpha=a), f=log_mean, peer=_negative_binomial(a),
              scale=lambda y, f, a=a: np.max([np.abs(y * f), (y + 1 / a) * np.log1p(a * np.exp(f)),
                                              np.maximum(y, np.exp(f)) / (1 + a * np.exp(f))], axis=0))
      for a in (0.1, 1.0, 50.0)),
    Example(fl.PoissonDeviance(), peer=_deviance(PoissonFamily()), scale=_deviance_scale(1.0)),
    Example(fl.GammaDeviance(), peer=_deviance(GammaFamily()), scale=_deviance_scale(2.0)),
    *(Example(fl.TweedieDeviance(power=p), scale=_deviance_scale(p),
              peer={1.0: _deviance(PoissonFamily()), 2.0: _deviance(GammaFamily()),
                    0.0: lambda y, f: (y - f) ** 2}.get(p, _tweedie_deviance(p)))
      for p in (-1.0, 0.0, 1.0, 1.5, 2.0, 3.0)),
    Example(fl.InverseGaussianDeviance(), peer=_deviance(InverseGaussianFamily()),
            scale=lambda y, f: np.max([1 / y, 1 / f, y / f**2], axis=0)),
]
