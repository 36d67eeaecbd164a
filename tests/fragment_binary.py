"""Rows of the table of examples for losses/binary.py and losses/adversarial.py (to be merged into examples.py).

A peer is a function of an independent library where one has the loss; else it is the textbook formula on SciPy's
special functions, marked "textbook". A scale is the largest term of the textbook formula.
"""

from collections import namedtuple

import numpy as np
from scipy import special, stats
from sklearn._loss.loss import ExponentialLoss, HalfBinomialLoss
from sklearn.linear_model import _sgd_fast as sgd

import fusedloss as fl

Example = namedtuple("Example", "loss y f peer scale", defaults=(None, None, None, None))


# ---- samplers ----------------------------------------------------------------------------------------------------


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


# ---- scales and textbook formulas --------------------------------------------------------------------------------


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
    return HalfBinomialLoss().loss(np.ascontiguousarray(y), np.ascontiguousarray(f))


def bernoulli(y, f):
    return surprise(margin(y, f))


EXAMPLES = [
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
    Example(fl.Exponential(), f=bounded(-85, 85), peer=lambda y, f: ExponentialLoss().loss(y, f)),
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
