"""The one table that drives tests and benchmarks: losses with parameters, samplers and independent peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from types import SimpleNamespace

import mpmath as mp
import numpy as np
import sklearn.metrics
from scipy import special, stats
from scipy.special import xlogy
from sklearn._loss import loss as sk
from sklearn.linear_model import _sgd_fast as sgd

import fusedloss as fl
from fusedloss.compile import attributes
from fusedloss.domain import Labels

try:
    from statsmodels.genmod import families
    from statsmodels.robust import norms
except ModuleNotFoundError:  # its rows go without a peer then
    families = norms = None


@dataclass(frozen=True)
class Example:
    """One loss with parameters, and what it is tested with.

    `y`, `f`    samplers (rng, n) -> float64 array, where the loss's declared domain says too little
    `peer`      (y, f) -> values by an independent library
    `scale`     (y, f) -> the largest term of the textbook formula, which errors are measured against; None: against the
                answer itself
    """

    loss: fl.Loss
    y: Callable | None = None
    f: Callable | None = None
    peer: Callable | None = None
    scale: Callable | None = None

    @property
    def id(self):
        return repr(self.loss)

    def draw(self, rng, n):
        """n targets and predictions from the middle of the domain, its closed ends among them."""
        y = (self.y or sampler(self.loss.y_domain))(rng, n)
        f = (self.f or sampler(self.loss.pred_domain))(rng, n)
        return np.asarray(y, float), np.asarray(f, float)

    def points(self, F, n):
        """(y, f), twice: n ordinary points, and points at the ends of the domain; exact in the dtype F."""
        rng = np.random.default_rng(0)
        y, f = (x.astype(F).astype(float) for x in self.draw(rng, max(n, 100)))
        far = ends(self.loss.pred_domain, F)
        if self.loss.link in ("log", "cloglog", "logit", "half_logit"):
            far = far[abs(far) <= 1e4]
        if self.f:  # its sampler knows how far the loss is meant to go
            far = far[(far >= f.min()) & (far <= f.max())]
        targets = y if self.y else ends(self.loss.y_domain, F)
        same = rng.choice(targets, 4)  # where regression losses have their kink
        same = same[np.isin(same, far)]
        return (y[:n], f[:n]), (np.append(rng.choice(targets, 2 * len(far)), same), np.append(np.repeat(far, 2), same))

    def scales(self, y, f):
        """`scale` at each point; 0 where the answer itself is the scale."""
        if self.scale is None:
            return np.zeros(len(y))
        with np.errstate(all="ignore"):
            return np.broadcast_to(np.asarray(self.scale(np.asarray(y), np.asarray(f)), float), np.shape(y))


def sampler(domain):
    """(rng, n) -> n numbers of a domain; one in eight is a closed end of it."""
    if isinstance(domain, Labels):
        return lambda rng, n: rng.integers(0, 2, n).astype(float)
    low, high = domain.low, domain.high
    if np.isfinite(low) and np.isfinite(high):
        def middle(rng, n):
            return low + (high - low) * rng.uniform(0.001, 0.999, n)
    elif np.isfinite(low):
        def middle(rng, n):
            return low + np.exp(rng.normal(0.0, 1.5, n))
    elif np.isfinite(high):
        def middle(rng, n):
            return high - np.exp(rng.normal(0.0, 1.5, n))
    else:
        def middle(rng, n):
            return rng.normal(0.0, 3.0, n)
    ends = [end for end, closed in ((low, domain.low_closed), (high, domain.high_closed)) if closed]

    def sample(rng, n):
        x = middle(rng, n)
        for end in ends:
            x[rng.random(n) < 0.125 / len(ends)] = end
        return x

    return sample


def ends(domain, F):
    """Extreme members of a domain that the dtype F represents: its ends, the tiny, the huge, and infinities last."""
    if isinstance(domain, Labels):
        return np.array([0.0, 1.0])
    tiny, huge = (1e-30, 1e30) if np.float32 == F else (1e-200, 1e200)
    x = [0.0, tiny, 1e-8, 0.5, 1.0, 36.5, 745.0, 1e4, huge]
    x = np.array([*(-v for v in x[:0:-1]), *x, *(domain.low + np.array(x)), *(domain.high - np.array(x))])
    x = x.astype(F).astype(float)
    return np.unique(x[np.isfinite(x) & ~domain.outside(x)])


# ---- formulas without a compiler ---------------------------------------------------------------------------------


def interpreted(loss, name, y, f, F):
    """A formula evaluated sample by sample in the arithmetic of F, with what it reads from `self` in F, as kernels do."""
    read = {name: getattr(loss, name) for name in attributes(type(loss))}
    self = SimpleNamespace(**{name: x if isinstance(x, bool) else F(x) for name, x in read.items()})
    formula = getattr(type(loss), name)
    with np.errstate(all="ignore"):
        return np.array([float(formula(self, F(a), F(b))) for a, b in zip(y, f, strict=True)])


def rounded(loss, F):
    """The same loss with parameters that the dtype F represents."""
    numbers = {field.name: getattr(loss, field.name) for field in fields(loss)}
    return type(loss)(**{name: float(F(x)) if type(x) is float else x for name, x in numbers.items()})


def formulas_of(loss):
    return [name for name in ("value", "gradient", "hessian", "majorizer") if hasattr(loss, name)]


# ---- a real target, and quantiles -------------------------------------------------------------------------------------

def each(metric, **parameters):
    """A scikit-learn metric, one sample at a time."""
    return lambda y, f: np.array([metric([a], [b], **parameters) for a, b in zip(y, f, strict=True)])


def textbook(formula):
    """The textbook formula of r = f - y in 60 digits: for what no library has, or none without cancellation."""
    def peer(y, f):
        with mp.workdps(60):
            return np.array([float(formula(mp.mpf(float(b)) - mp.mpf(float(a)))) for a, b in zip(y, f, strict=True)])
    return peer


def sk_loss(loss):
    """A loss of scikit-learn's private module; like ours they drop what depends on y alone."""
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


REGRESSION = [
    Example(fl.HalfSquaredError(), peer=sk_loss(sk.HalfSquaredError())),
    Example(fl.SquaredError(), peer=each(sklearn.metrics.mean_squared_error)),
    Example(fl.AbsoluteError(), peer=each(sklearn.metrics.mean_absolute_error)),
    *[Example(fl.Huber(delta=d), peer=lambda y, f, d=d: special.huber(d, f - y))
      for d in (1.0, 1.35, 1e-3, 1e6)],
    *[Example(fl.SmoothL1(beta=b), peer=lambda y, f, b=b: special.huber(b, f - y) / b)
      for b in (1.0, 0.1, 1e5)],
    *[Example(fl.PseudoHuber(delta=d), peer=lambda y, f, d=d: special.pseudo_huber(d, f - y))
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
    *[Example(fl.TukeyBiweight(c=c), peer=norms and (lambda y, f, c=c: norms.TukeyBiweight(c).rho(f - y)), scale=windowed(c))
      for c in (4.685, 1.0, 100.0)],
    *[Example(fl.Andrews(c=c), peer=norms and (lambda y, f, c=c: norms.AndrewWave(c).rho(f - y)), scale=windowed(c))
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
              peer=lambda y, f, q=q, d=d: np.where(f < y, q, 1 - q) * special.huber(d, f - y) / d)
      for q, d in ((0.5, 1.0), (0.9, 0.1), (0.01, 50.0))],
    *[Example(fl.Expectile(quantile=q), peer=lambda y, f, q=q: np.where(f < y, q, 1 - q) * (f - y) ** 2)
      for q in (0.5, 0.9, 0.01)],
]

# ---- a binary target, and adversarial training ------------------------------------------------------------------------

def labels(rng, n):
    return rng.integers(0, 2, n).astype(float)


def logits(rng, n):
    """Mostly within +-10, some up to +-700, and the numbers where float64 and float32 formulas break."""
    f = np.where(rng.random(n) < 0.7, 4 * rng.standard_normal(n), rng.uniform(-700, 700, n))
    edges = [0.0, -0.0, 1e4, -1e4, 1e-300, -1e-8, 17.0, -17.0, 37.0, -37.0, 87.0, 104.0, 708.0, -708.0, 746.0]
    k = min(n, len(edges))
    f[:k] = edges[:k]
    return f


def probabilities(rng, n):
    p = rng.random(n)
    edges = [0.0, 1.0, 0.5, 1e-300, 1 - 2.0**-53, 1e-9]
    k = min(n, len(edges))
    p[:k] = edges[:k]
    return p


def margins(rng, n):
    return np.where(rng.random(n) < 0.9, 2 * rng.standard_normal(n), rng.uniform(-1e4, 1e4, n))


def bounded(low, high):
    """Where the loss or its gradient overflows in float32 further out, or is not representable at all."""
    return lambda rng, n: rng.uniform(low, high, n)


def margin(y, f):
    return (2 * y - 1) * f


def surprise(m):
    """-log sigma(m)."""
    return -special.log_expit(m)


def bce(pos_weight=1.0, label_smoothing=0.0):
    def terms(y, f):
        t = y * (1 - label_smoothing) + label_smoothing / 2
        return pos_weight * t * surprise(f), (1 - t) * surprise(-f)
    return dict(peer=lambda y, f: sum(terms(y, f)), scale=lambda y, f: np.maximum(*terms(y, f)))


def bce_on_probabilities(y, p):
    return -special.xlogy(y, p) - special.xlog1py(1 - y, -p)


def bce_on_probabilities_scale(y, p):
    """The largest term of value, gradient and Hessian at once: y / p or (1 - y) / (1 - p)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(np.maximum(np.where(y > 0, y / p, 0), np.where(y < 1, (1 - y) / (1 - p), 0)), nan=0.0)


def brier_scale(y, f):
    """Of p = sigma(f) and y, where y is soft: p - y is a difference of the two."""
    return np.maximum(special.expit(f), y)


def brier_scale_of_labels(y, f):
    """The square, and the terms of 2 p (1 - p) (p (1 - p) + (p - y) (1 - 2 p))."""
    p, q = special.expit(margin(y, f)), special.expit(-margin(y, f))
    return q * q + 2 * p * q * (p * q + q)


def focal(gamma, alpha=None):
    def weight(y):
        return 1.0 if alpha is None else np.where(y == 1, alpha, 1 - alpha)

    def peer(y, f):
        m = margin(y, f)
        return weight(y) * special.expit(-m)**gamma * surprise(m)

    def scale(y, f):
        m = margin(y, f)
        p, q, s = special.expit(m), special.expit(-m), surprise(m)
        return weight(y) * q**gamma * (s + p * q * (1 + 2 * gamma) + gamma * p * s * (gamma * p + q))

    return dict(peer=peer, scale=scale)


def focal_on_probabilities(gamma):
    def peer(y, p):
        right, wrong = np.where(y == 1, p, 1 - p), np.where(y == 1, 1 - p, p)
        return wrong**gamma * -special.xlogy(np.ones_like(right), right)
    return peer


def poly1(epsilon):
    return dict(peer=lambda y, f: surprise(margin(y, f)) + epsilon * special.expit(-margin(y, f)),
                scale=lambda y, f: surprise(margin(y, f)) + abs(epsilon) * special.expit(-margin(y, f)))


def generalized(k):
    def scale(y, f):
        """Of the Hessian p^k q (p - k q); gradient and value are accurate themselves."""
        p, q = special.expit(margin(y, f)), special.expit(-margin(y, f))
        return p**k * q * (p + k * q)

    return dict(peer=lambda y, f: -np.expm1(-k * surprise(margin(y, f))) / k if k else surprise(margin(y, f)),
                scale=scale)


def savage(y, f):
    return special.expit(-margin(y, f))**2


def probit(y, f):
    return -special.log_ndtr(margin(y, f))


def probit_scale(y, f):
    """lambda^2 of the Hessian lambda (lambda + m), where m < 0; else the answer itself."""
    m = margin(y, f)
    return np.where(m < 0, (0.8 - m)**2, 0.0)


def cloglog(y, f):
    """The law of the logarithm of an exponential waiting time is a Gumbel distribution."""
    return np.where(y == 1, -stats.gumbel_l.logcdf(f), -stats.gumbel_l.logsf(f))


def cloglog_scale(y, f):
    """The value for y = 1, u >> 0 is e^-u, with an error of u ulp; gradient and Hessian are u and u^2 times it."""
    return cloglog(y, f) * np.maximum(1.0, np.exp(f))**3


def of_sgd(loss):
    """A loss of scikit-learn's SGDClassifier, whose targets are -1 and 1."""
    return np.vectorize(lambda y, f: loss.py_loss(f, 2 * y - 1), otypes=[float])


def linear_scale(y, f):
    return 1 + abs(f)


def square_scale(y, f):
    return (1 + abs(f))**2


def generated_only(peer):
    return lambda y, f: np.where(y == 1, 0.0, peer(f))


def log_loss(y, f):
    """scikit-learn's. It is 0 for y = 1, f > 37, so it is a peer only where y is soft."""
    return sk.HalfBinomialLoss().loss(np.ascontiguousarray(y), np.ascontiguousarray(f))


def bernoulli(y, f):
    return surprise(margin(y, f))


BINARY = [
    # y in {0, 1}: the answer itself is accurate
    Example(fl.BinaryCrossEntropy(), y=labels, f=logits, peer=bernoulli),                            # textbook
    Example(fl.BinaryCrossEntropy(pos_weight=40.0), y=labels, f=logits, peer=bce(40.0)["peer"]),     # textbook
    Example(fl.BinaryCrossEntropy(), f=logits, peer=log_loss, scale=bce()["scale"]),
    Example(fl.BinaryCrossEntropy(pos_weight=0.25, label_smoothing=0.125), f=logits, **bce(0.25, 0.125)),
    Example(fl.BinaryCrossEntropy(label_smoothing=1.0), f=logits, **bce(1.0, 1.0)),
    Example(fl.BinaryCrossEntropy(from_logits=False), f=probabilities, peer=bce_on_probabilities,
            scale=bce_on_probabilities_scale),
    Example(fl.BinaryCrossEntropy(from_logits=False), y=labels, f=probabilities, peer=bce_on_probabilities),
    Example(fl.BinaryCrossEntropy(from_logits=False, pos_weight=4.0), y=labels, f=probabilities,
            peer=lambda y, p: bce_on_probabilities(y, p) * np.where(y == 1, 4, 1)),

    Example(fl.BinaryBrier(), y=labels, f=logits, peer=savage, scale=brier_scale_of_labels),         # textbook
    Example(fl.BinaryBrier(), f=logits, peer=lambda y, f: (special.expit(f) - y)**2, scale=brier_scale),
    Example(fl.BinaryBrier(from_logits=False), f=probabilities, peer=lambda y, p: (p - y)**2, scale=np.maximum),

    # torchvision, Keras and optax have it; none is at hand: textbook
    Example(fl.BinaryFocal(), f=logits, **focal(2.0)),
    Example(fl.BinaryFocal(gamma=0.0), f=logits, peer=bernoulli),
    Example(fl.BinaryFocal(gamma=0.5, alpha=0.25), f=logits, **focal(0.5, 0.25)),
    Example(fl.BinaryFocal(gamma=5.0, alpha=1.0), f=logits, **focal(5.0, 1.0)),
    Example(fl.BinaryFocal(from_logits=False), f=probabilities, peer=focal_on_probabilities(2.0)),
    Example(fl.BinaryFocal(gamma=0.5, from_logits=False), f=probabilities, peer=focal_on_probabilities(0.5)),
    Example(fl.BinaryFocal(gamma=0.0, from_logits=False), f=probabilities, peer=bce_on_probabilities),

    # optax has the softmax form only: textbook
    Example(fl.BinaryPoly1(), f=logits, **poly1(2.0)),
    Example(fl.BinaryPoly1(epsilon=-1.0), f=logits, **poly1(-1.0)),
    Example(fl.BinaryPoly1(epsilon=0.0), f=logits, peer=bernoulli),
    Example(fl.BinaryGeneralizedCrossEntropy(), f=logits, **generalized(0.7)),                       # textbook
    Example(fl.BinaryGeneralizedCrossEntropy(q=0.0), f=logits, **generalized(0.0)),
    Example(fl.BinaryGeneralizedCrossEntropy(q=2.0**-40), f=bounded(-600, 600), **generalized(2.0**-40)),
    Example(fl.BinaryGeneralizedCrossEntropy(q=1.0), f=logits, **generalized(1.0)),

    Example(fl.Probit(), f=bounded(-13, 13), peer=probit, scale=probit_scale),
    Example(fl.Probit(), y=lambda rng, n: np.ones(n), f=bounded(-1e4, 0), peer=probit, scale=probit_scale),
    Example(fl.ComplementaryLogLog(), f=bounded(-60, 4.4), peer=cloglog, scale=cloglog_scale),

    Example(fl.Hinge(), f=margins, peer=of_sgd(sgd.Hinge(1.0)), scale=linear_scale),
    Example(fl.SquaredHinge(), f=margins, peer=of_sgd(sgd.SquaredHinge(1.0)), scale=square_scale),
    Example(fl.SmoothedHinge(), f=margins, scale=linear_scale),                                     # no peer
    Example(fl.SmoothedHinge(gamma=2.0**-30), f=margins, scale=lambda y, f: 2.0**30 * linear_scale(y, f)),
    Example(fl.SmoothedHinge(gamma=2.5), f=margins, scale=linear_scale),
    Example(fl.SmoothedHinge(gamma=2.0**20), f=margins,                            # nowhere reaches its linear part
            peer=lambda y, f: of_sgd(sgd.SquaredHinge(1.0))(y, f) * 2.0**-21,
            scale=lambda y, f: square_scale(y, f) * 2.0**-20),
    Example(fl.ModifiedHuber(), f=margins, peer=of_sgd(sgd.ModifiedHuber()), scale=linear_scale),
    Example(fl.Exponential(), f=bounded(-85, 85), peer=lambda y, f: sk.ExponentialLoss().loss(y, f)),
    Example(fl.Savage(), f=logits, peer=savage, scale=savage),                                       # textbook
    Example(fl.Tangent(), f=margins, peer=lambda y, f: (2 * np.arctan(margin(y, f)) - 1)**2,         # textbook
            scale=lambda y, f: (2 * abs(np.arctan(f)) + 1)**2),
    Example(fl.Perceptron(), f=margins, peer=of_sgd(sgd.Hinge(0.0))),

    Example(fl.GANMinimax(), f=logits, peer=bernoulli),
    Example(fl.GANMinimax(side="generator"), f=logits, peer=generated_only(lambda f: special.log_expit(-f))),
    Example(fl.GANNonSaturating(), f=logits, peer=bernoulli),
    Example(fl.GANNonSaturating(side="generator"), f=logits, peer=generated_only(lambda f: -special.log_expit(f))),
    # no library has the others; the papers' formulas
    Example(fl.LeastSquaresGAN(), f=margins, peer=lambda y, f: (f - y)**2 / 2, scale=square_scale),
    Example(fl.LeastSquaresGAN(side="generator"), f=margins, peer=generated_only(lambda f: (f - 1)**2 / 2),
            scale=square_scale),
    Example(fl.HingeGAN(), f=margins, peer=of_sgd(sgd.Hinge(1.0)), scale=linear_scale),
    Example(fl.HingeGAN(side="generator"), f=margins, peer=generated_only(np.negative)),
    Example(fl.WassersteinGAN(), f=margins, peer=lambda y, f: np.where(y == 1, -f, f)),
    Example(fl.WassersteinGAN(side="generator"), f=margins, peer=generated_only(np.negative)),
]

# ---- counts, claims, and deviances of a mean --------------------------------------------------------------------------

def log_mean(rng, n):
    return rng.normal(0.5, 2.0, n)


def half_tweedie(power):
    """scikit-learn drops 1/(2 - p) - y/(1 - p), too."""
    half = sk_loss(sk.HalfTweedieLoss(power=power))
    return lambda y, f: half(y, f) - 1.0 / (2.0 - power) + y / (1.0 - power)


def tweedie_scale(power):
    a, b = 2.0 - power, power - 1.0

    def scale(y, f):
        # the two terms of the value or of the gradient; |f| is the limit of the former at an end
        first = np.maximum(np.exp(a * f), np.abs(f) if a == 0.0 else np.abs(np.expm1(a * f)) / a)
        second = np.maximum(np.exp(-b * f), np.abs(f) if b == 0.0 else np.abs(np.expm1(-b * f)) / b)
        return np.maximum(first, y * second)

    return scale


def deviance_scale(power):
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


def deviance(name):
    """Of a family of statsmodels."""
    return families and (lambda y, f: getattr(families, name)().resid_dev(y, f) ** 2)


def tweedie_deviance(power):
    """The formula of scikit-learn's mean_tweedie_deviance, which gives means only."""
    def peer(y, f):
        a, c = 2.0 - power, 1.0 - power
        return 2.0 * (np.maximum(y, 0.0) ** a / (a * c) - y * f**c / c + f**a / a)

    return peer


def negative_binomial(alpha):
    """statsmodels: minus log-likelihood, up to terms of y alone, which a perfect prediction has, too."""
    if families is None:
        return None
    family = families.NegativeBinomial(alpha=alpha)

    def peer(y, f):
        def own(mu):
            return -xlogy(y, mu) + (y + 1.0 / alpha) * np.log1p(alpha * mu)

        return 0.5 * family.resid_dev(y, np.exp(f)) ** 2 + own(y)

    return peer


COUNT = [
    Example(fl.Poisson(), f=log_mean, peer=sk_loss(sk.HalfPoissonLoss()),
            scale=lambda y, f: np.maximum(np.maximum(np.exp(f), y), np.abs(y * f))),
    Example(fl.Gamma(), f=log_mean, peer=sk_loss(sk.HalfGammaLoss()),
            scale=lambda y, f: np.maximum(np.maximum(1.0, np.abs(f)), y * np.exp(-f))),
    *(Example(fl.Tweedie(power=p), f=log_mean, peer=half_tweedie(p) if 1.0 < p < 2.0 and p != 1.00000001 else None,
              scale=tweedie_scale(p))  # at the ends and next to them scikit-learn's form differs or cancels
      for p in (1.0, 1.00000001, 1.5, 1.9, 2.0)),
    Example(fl.InverseGaussian(), f=log_mean,
            scale=lambda y, f: np.max([1 / y, np.exp(-f), y * np.exp(-2 * f)], axis=0),
            peer=families and (lambda y, f: 0.5 * families.InverseGaussian().resid_dev(y, np.exp(f)) ** 2)),
    *(Example(fl.NegativeBinomial(alpha=a), f=log_mean, peer=negative_binomial(a),
              scale=lambda y, f, a=a: np.max([np.abs(y * f), (y + 1 / a) * np.log1p(a * np.exp(f)),
                                              np.maximum(y, np.exp(f)) / (1 + a * np.exp(f))], axis=0))
      for a in (0.1, 1.0, 50.0)),
    Example(fl.PoissonDeviance(), peer=deviance("Poisson"), scale=deviance_scale(1.0)),
    Example(fl.GammaDeviance(), peer=deviance("Gamma"), scale=deviance_scale(2.0)),
    *(Example(fl.TweedieDeviance(power=p), scale=deviance_scale(p),
              peer={1.0: deviance("Poisson"), 2.0: deviance("Gamma"),
                    0.0: lambda y, f: (y - f) ** 2}.get(p, tweedie_deviance(p)))
      for p in (-1.0, 0.0, 1.0, 1.5, 2.0, 3.0)),
    Example(fl.InverseGaussianDeviance(), peer=deviance("InverseGaussian"),
            scale=lambda y, f: np.max([1 / y, 1 / f, y / f**2], axis=0)),
]

EXAMPLES: list[Example] = [*REGRESSION, *BINARY, *COUNT]


def _row_examples():
    """The tables of the families of row losses, a module each."""
    from importlib import import_module

    return [row for family in ("multiclass", "multilabel", "ordinal", "divergence", "quantile_rows", "distribution", "crps")
            for row in import_module(f"rows_{family}").ROWS]


ROW_EXAMPLES = _row_examples()
