"""Negative log-likelihoods of distributions: the parameters near and far from what the targets suggest, large shapes too."""

from __future__ import annotations

import numpy as np
from rows import RowExample, numbers, positive
from scipy import stats
from scipy.special import gammaln

import fusedloss as fl


def columns(first, second):
    """Two columns, each (mean, standard deviation) of a normal sampler."""
    def sampler(rng, n, _):
        return np.stack([rng.normal(*first, n), rng.normal(*second, n)], 1)

    return sampler


def counts(mean):
    def sampler(rng, n, _):
        return rng.negative_binomial(1.0, 1.0 / (1.0 + mean), n).astype(float)

    return sampler


def shares(rng, n, _):
    return np.clip(rng.beta(0.7, 1.2, n), 1e-6, 1.0 - 1e-6)


def logpdf(distribution, arguments):
    """-logpdf or -logpmf of scipy; `arguments(a, b)` turns two columns into its own parameters."""
    def peer(y, f):
        log = getattr(distribution, "logpdf", None) or distribution.logpmf
        return -log(y, **arguments(f[:, 0], f[:, 1]))

    return peer


def location_scale(a, b):
    return {"loc": a, "scale": np.exp(b)}


def steepness(y, f):
    """The push on a location is e^-s times the one on the log of the scale, which is a difference from 1."""
    return max(1.0, np.exp(-f[1]))


def steepness_of_shape(y, f):
    return max(1.0, np.exp(f[1]))


def gamma_scale(y, f):
    k, u = np.exp(f[1]), y * np.exp(-f[0])
    return max(1.0, abs(f[1]), abs(np.log(y)), k * max(1.0, u, abs(np.log(y) - f[0])))


def binomial_scale(y, f):
    r = np.exp(-f[1])
    return max(1.0, gammaln(y + 1.0), y * abs(f[0]), (y + r) * np.logaddexp(0.0, f.sum()))


def zero_scale(y, f):
    return max(1.0, np.exp(f[0]), y * abs(f[0]), gammaln(y + 1.0))


def beta_scale(y, f):
    a, b = np.exp(f)
    return max(1.0, *abs(f), a * abs(np.log(y)), b * abs(np.log1p(-y)), a * b / (a + b))


REAL_LINE = columns((0.0, 1.5), (0.2, 0.7))


def on_the_line(loss, distribution, **more):
    return RowExample(loss, columns=2, y=numbers, f=REAL_LINE, scale=steepness,
                      peer=logpdf(distribution, lambda a, b: {**location_scale(a, b), **more}))


ROWS = [
    on_the_line(fl.GaussianNLL(), stats.norm),
    on_the_line(fl.LaplaceNLL(), stats.laplace),
    *(on_the_line(fl.StudentTNLL(df=df), stats.t, df=df) for df in (1.0, 3.0, 4.5, 1e5)),
    on_the_line(fl.LogisticNLL(), stats.logistic),
    on_the_line(fl.GumbelNLL(), stats.gumbel_r),
    RowExample(fl.LogNormalNLL(), columns=2, y=positive, f=REAL_LINE, scale=steepness,
               peer=logpdf(stats.lognorm, lambda a, b: {"s": np.exp(b), "scale": np.exp(a)})),
    *(RowExample(fl.GammaNLL(), columns=2, y=positive, f=columns((0.0, 1.0), second), scale=gamma_scale,
                 peer=logpdf(stats.gamma, lambda a, b: {"a": np.exp(b), "scale": np.exp(a - b)}))
      for second in ((0.0, 1.0), (12.0, 4.0), (-8.0, 4.0))),
    RowExample(fl.WeibullNLL(), columns=2, y=positive, f=columns((0.0, 1.0), (0.3, 0.5)), scale=steepness_of_shape,
               peer=logpdf(stats.weibull_min, lambda a, b: {"c": np.exp(b), "scale": np.exp(a)})),
    *(RowExample(fl.NegativeBinomialNLL(), columns=2, y=counts(mean), f=columns((np.log(mean), 1.0), second),
                 scale=binomial_scale, peer=peer)
      for mean, second, peer in (
          (3.0, (0.0, 1.0), logpdf(stats.nbinom, lambda a, b: {"n": np.exp(-b), "p": 1.0 / (1.0 + np.exp(a + b))})),
          (40.0, (-12.0, 4.0), None),  # scipy's difference of lgammas has no digits for r = e^12
          (3.0, (-35.0, 0.5), logpdf(stats.poisson, lambda a, b: {"mu": np.exp(a)})),
          (10.0, (9.0, 3.0), None))),
    *(RowExample(fl.ZeroInflatedPoissonNLL(), columns=2, y=counts(mean), f=columns((np.log(mean), 1.5), (-0.5, 2.0)),
                 scale=zero_scale, peer=lambda y, f: -np.log(
                     (y == 0) / (1.0 + np.exp(-f[:, 1])) + stats.poisson.pmf(y, np.exp(f[:, 0])) / (1.0 + np.exp(f[:, 1]))))
      for mean in (0.05, 3.0)),
    *(RowExample(fl.BetaNLL(), columns=2, y=shares, f=columns(first, second), scale=beta_scale,
                 peer=logpdf(stats.beta, lambda a, b: {"a": np.exp(a), "b": np.exp(b)}))
      for first, second in (((0.5, 1.0), (0.3, 1.0)), ((9.0, 3.0), (9.0, 3.0)), ((-6.0, 3.0), (2.0, 3.0)))),
]
