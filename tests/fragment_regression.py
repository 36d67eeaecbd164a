"""Examples of the losses of a real target and of quantiles: see tests/examples.py."""

from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np
import scipy.special
import sklearn.metrics
import statsmodels.robust.norms as norms
import torch
from sklearn._loss import loss as sk

import fusedloss as fl


@dataclass(frozen=True)
class Example:
    loss: Any
    y: Any = None
    f: Any = None
    peer: Any = None
    scale: Any = None


def each(metric, **parameters):
    """A scikit-learn metric, one sample at a time."""
    return lambda y, f: np.array([metric([a], [b], **parameters) for a, b in zip(y, f, strict=True)])


def textbook(formula):
    """The textbook formula of r = f - y in 60 digits: for what no library has, or none without cancellation."""
    def peer(y, f):
        with mp.workdps(60):
            return np.array([float(formula(mp.mpf(float(b)) - mp.mpf(float(a)))) for a, b in zip(y, f, strict=True)])
    return peer


def torch_loss(module):
    return lambda y, f: module(torch.from_numpy(f), torch.from_numpy(y)).numpy()


def sk_loss(loss):
    return lambda y, f: loss.loss(y_true=y.copy(), raw_prediction=f.copy())


def pinball(quantile):
    return each(sklearn.metrics.mean_pinball_loss, alpha=quantile)


def above_minus_one(rng, n):
    """Values in (-1, inf), over many orders of magnitude and close to -1."""
    x = np.concatenate([10.0 ** rng.uniform(-6, 5, n - n // 4), 10.0 ** rng.uniform(-5, 0, n // 4) - 1])
    return rng.permutation(x)


def at_least_zero(rng, n):
    return 10.0 ** rng.uniform(-6, 5, n)


def errors(low, high):
    """Predictions of the target 0 with 10^low <= |r| <= 10^high, so that r is exact."""
    return lambda rng, n: rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(low, high, n)


def zero(rng, n):
    return np.zeros(n)


def windowed(c):
    """Largest term of c^2 (1 - window(r / c)), of its gradient r window(r / c) and of its Hessian."""
    return lambda y, f: np.maximum(max(c * c, 1.0), np.abs(f - y))


def size(y, f):
    """Largest term of losses with |r| in a sum, and the terms of size 1 in their gradients."""
    return np.maximum(1.0, np.abs(f - y))


def barron(alpha, scale=1.0):
    """Examples of one GeneralRobust: the answers themselves; around a zero of the Hessian, the size of its terms."""
    loss, b = fl.GeneralRobust(alpha=alpha, scale=scale), 2 - alpha

    def published(r):
        u2 = (r / scale) ** 2
        if alpha in (0, 2):
            return u2 / 2 if alpha == 2 else mp.log1p(u2 / 2)
        return mp.mpf(b) / alpha * ((1 + u2 / b) ** (mp.mpf(alpha) / 2) - 1)

    if alpha >= 1:
        return [Example(loss, y=zero, f=errors(-12, 5), peer=textbook(published))]
    log_zero = np.log10(scale * np.sqrt(b / (1 - alpha)))
    # in the tails a power beyond -2 amplifies the rounding of r and r / scale: there the error is one of the peak's
    peak = 1 / scale**2 if alpha < -2 else 0
    return [
        Example(loss, y=zero, f=errors(-12, log_zero - 0.5), peer=textbook(published)),
        Example(loss, y=zero, f=errors(-3, 5), peer=textbook(published), scale=lambda y, f: np.maximum(
            peak, (1 + ((f - y) / scale) ** 2 / b) ** (alpha / 2 - 1) / scale**2)),
    ]


EXAMPLES = [
    Example(fl.HalfSquaredError(), peer=sk_loss(sk.HalfSquaredError())),
    Example(fl.SquaredError(), peer=each(sklearn.metrics.mean_squared_error)),
    Example(fl.AbsoluteError(), peer=each(sklearn.metrics.mean_absolute_error)),
    *[Example(fl.Huber(delta=d), peer=lambda y, f, d=d: scipy.special.huber(d, f - y))
      for d in (1.0, 1.35, 1e-3, 1e6)],
    *[Example(fl.SmoothL1(beta=b), peer=torch_loss(torch.nn.SmoothL1Loss(reduction="none", beta=b)))
      for b in (1.0, 0.1, 1e5)],
    *[Example(fl.PseudoHuber(delta=d), peer=lambda y, f, d=d: scipy.special.pseudo_huber(d, f - y))
      for d in (1.0, 1e-3, 1e4)],
    *[Example(fl.Charbonnier(epsilon=e), peer=lambda y, f, e=e: np.hypot(f - y, e)) for e in (1e-3, 1.0, 1e-9)],
    Example(fl.LogCosh(), peer=lambda y, f: np.logaddexp(f - y, y - f) - np.log(2), scale=size),
    Example(fl.LogCosh(), y=zero, f=errors(-10, 1.5), peer=textbook(lambda r: mp.log(mp.cosh(r)))),
    *[Example(fl.Fair(c=c), peer=textbook(lambda r, c=c: c * c * (abs(r) / c - mp.log(1 + abs(r) / c))))
      for c in (1.0, 1.3998, 1e-3, 1e4)],
    *[Example(fl.Cauchy(c=c), peer=lambda y, f, c=c: 0.5 * c * c * np.log1p(((f - y) / c) ** 2), scale=size)
      for c in (2.3849, 0.1, 80.0)],
    *[Example(fl.Welsch(c=c), peer=lambda y, f, c=c: -0.5 * c * c * np.expm1(-(((f - y) / c) ** 2)),
              scale=windowed(c))
      for c in (2.9846, 1.0, 50.0)],
    *[Example(fl.GemanMcClure(c=c), peer=lambda y, f, c=c: 0.5 * c * c * ((f - y) / np.hypot(f - y, c)) ** 2,
              scale=windowed(c)) for c in (3.7874, 1.0, 50.0)],
    *[Example(fl.TukeyBiweight(c=c), peer=lambda y, f, c=c: norms.TukeyBiweight(c).rho(f - y), scale=windowed(c))
      for c in (4.685, 1.0, 100.0)],
    *[Example(fl.Andrews(c=c), peer=lambda y, f, c=c: norms.AndrewWave(c).rho(f - y), scale=windowed(c))
      for c in (1.339, 0.1, 30.0)],
    # fractions that float32 has exactly: the power alpha / 2 - 1, rounded, is amplified log(1 + u^2 / b) times
    *[example for alpha in (1.0, 0.0, 2.0, -2.0, 2 - 2**-20, 1.5, 0.75, 1e-9, -(2.0**-13), -10.0, -1000.0, -1e9)
      for example in barron(alpha)],
    *barron(1.0, 0.125), *barron(-2.0, 32.0), *barron(2.0, 5.0),
    *[Example(fl.EpsilonInsensitive(epsilon=e), peer=lambda y, f, e=e: np.maximum(np.abs(f - y) - e, 0), scale=size)
      for e in (0.1, 0.0, 3.0)],
    *[Example(fl.SquaredEpsilonInsensitive(epsilon=e), peer=lambda y, f, e=e: np.maximum(np.abs(f - y) - e, 0) ** 2,
              scale=lambda y, f: np.maximum(1.0, (f - y) ** 2)) for e in (0.1, 0.0, 3.0)],
    *[Example(fl.Linex(a=a), f=lambda rng, n, a=a: rng.uniform(-80, 80, n) / abs(a),
              peer=textbook(lambda r, a=a: mp.exp(a * r) - a * r - 1)) for a in (1.0, -2.0, 0.01)],
    Example(fl.Linex(), y=zero, f=errors(-10, 1.8), peer=textbook(lambda r: mp.exp(r) - r - 1)),
    *[Example(fl.Lq(q=q), peer=lambda y, f, q=q: np.abs(f - y) ** q) for q in (1.5, 1.0, 2.0, 3.7)],
    Example(fl.SquaredLogError(), y=at_least_zero, f=at_least_zero, peer=each(sklearn.metrics.mean_squared_log_error),
            scale=lambda y, f: np.maximum(1.0, np.maximum(np.log1p(y), np.log1p(f)) ** 2)),
    Example(fl.SquaredLogError(), y=above_minus_one, f=above_minus_one,
            peer=lambda y, f: (np.log1p(f) - np.log1p(y)) ** 2,
            scale=lambda y, f: np.maximum(1.0, np.maximum(np.abs(np.log1p(y)), np.abs(np.log1p(f))) ** 2)),
    Example(fl.AbsolutePercentageError(), peer=each(sklearn.metrics.mean_absolute_percentage_error)),
    Example(fl.AbsolutePercentageError(epsilon=1.0), peer=lambda y, f: np.abs(f - y) / np.maximum(np.abs(y), 1.0)),
    Example(fl.SymmetricAbsolutePercentageError(), peer=lambda y, f: 2 * np.abs(f - y) / (np.abs(y) + np.abs(f))),
    *[Example(fl.Pinball(quantile=q), peer=pinball(q)) for q in (0.5, 0.9, 0.01, 0.999)],
    # no library has the smoothed quantile losses: their textbook formulas
    *[Example(fl.SoftplusPinball(quantile=q, smoothing=s), scale=size,
              peer=lambda y, f, q=q, s=s: s * np.logaddexp(0.0, (f - y) / s) - q * (f - y))
      for q, s in ((0.5, 0.1), (0.9, 1.0), (0.01, 1e-3))],
    *[Example(fl.ArctanPinball(quantile=q, smoothing=s), scale=lambda y, f, s=s: np.maximum(size(y, f), s),
              peer=lambda y, f, q=q, s=s: (q - 0.5 + np.arctan((y - f) / s) / np.pi) * (y - f) + s / np.pi)
      for q, s in ((0.5, 0.1), (0.9, 0.05), (0.01, 2.0))],
    *[Example(fl.HuberPinball(quantile=q, delta=d),
              peer=lambda y, f, q=q, d=d: np.where(f < y, q, 1 - q) * scipy.special.huber(d, f - y) / d)
      for q, d in ((0.5, 1.0), (0.9, 0.1), (0.01, 50.0))],
    *[Example(fl.Expectile(quantile=q), peer=lambda y, f, q=q: np.where(f < y, q, 1 - q) * (f - y) ** 2)
      for q in (0.5, 0.9, 0.01)],
]
