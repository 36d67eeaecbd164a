import mpmath as mp
import numpy as np
from rows import RowExample, multi_hot, probabilities
from sklearn.metrics import log_loss

import fusedloss as fl

try:
    import torch
    from torch.nn import functional
except ModuleNotFoundError:  # the rows with this peer go without one then
    torch = functional = None


# ---- samplers ----------------------------------------------------------------------------------------------------


def one_hot(rng, n, columns):
    return np.eye(columns)[rng.integers(0, columns, n)]


def weighted(rng, n, columns):
    """Rows of targets that do not sum to 1, with zeros."""
    return probabilities(rng, n, columns) * rng.uniform(0.2, 3.0, (n, 1))


def inner_probabilities(rng, n, columns):
    return rng.dirichlet(np.ones(columns), n)


def candidates(rng, n, columns):
    """At least one 1 in each row."""
    return np.maximum(multi_hot(rng, n, columns), one_hot(rng, n, columns))


def moderate(rng, n, columns):
    return rng.normal(0.0, 0.4, (n, columns))


def confident(rng, n, columns):
    """One class has all but 1e-4 to 1e-8 of the softmax: 1 - P loses half its digits, or all of float32's."""
    f = rng.normal(0.0, 1.0, (n, columns))
    f[np.arange(n), rng.integers(0, columns, n)] += rng.uniform(10.0, 15.0, n)
    return f


# ---- peers -------------------------------------------------------------------------------------------------------


def of_torch(function):
    """(y, f) -> values by a function of tensors."""
    if torch is None:
        return None

    def peer(y, f):
        return function(torch.tensor(y), torch.tensor(f)).numpy()

    return peer


def cross_entropy(weight=None, temperature=1.0, **options):
    def values(y, f):
        weights = None if weight is None else torch.tensor(weight, dtype=torch.float64)
        return functional.cross_entropy(f / temperature, y, weight=weights, reduction="none", **options)

    return of_torch(values)


def multi_margin(**options):
    return of_torch(lambda y, f: functional.multi_margin_loss(f, y, reduction="none", **options))


def of_probabilities(function):
    """(y, f) -> values by a textbook formula of one row: o, its probabilities and logs of them, all of mpmath."""
    def peer(y, f):
        return [textbook(function, a, b) for a, b in zip(y, f, strict=True)]

    return peer


def textbook(function, y, f):
    with mp.workdps(40):
        z = [mp.mpf(x) for x in f.tolist()]
        e = [mp.exp(x) for x in z]
        o = [mp.mpf(int(k == y)) for k in range(len(z))] if np.ndim(y) == 0 else [mp.mpf(x) for x in y.tolist()]
        return float(function(o, [x / mp.fsum(e) for x in e]))


def right(function):
    """A function of the right class's probability alone."""
    return of_probabilities(lambda o, p: function(mp.fdot(o, p)))


def focal(gamma):
    return right(lambda p: -((1 - p) ** mp.mpf(gamma)) * mp.log(p))


def generalized(q):
    return right(lambda p: (1 - p ** mp.mpf(q)) / mp.mpf(q))


def blend(surprise, mistake):
    return right(lambda p: -mp.log(p) * mp.mpf(surprise) + mistake * (1 - p))


def brier(o, p):
    return mp.fsum((a - b) ** 2 for a, b in zip(o, p, strict=True))


def shifted(shift, scale=1.0):
    """Cross-entropy of scale (f + shift(y)) in plain NumPy."""
    def peer(y, f):
        z = scale * (f + np.array([shift(int(k)) for k in y]))
        z = z - z.max(1, keepdims=True)
        return np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]

    return peer


def log_losses(y, f):
    return [log_loss([a], [b], labels=range(len(b))) for a, b in zip(y, f, strict=True)]


def tempered(t1, t2):
    """The paper's formula, its normaliser by bisection."""
    def log_t(x, t):
        return mp.log(x) if t == 1 else (x ** (1 - mp.mpf(t)) - 1) / (1 - mp.mpf(t))

    def exp_t(x, t):
        return mp.exp(x) if t == 1 else (1 + (1 - mp.mpf(t)) * x) ** (1 / (1 - mp.mpf(t)))

    def value(y, f):
        with mp.workdps(30):
            z = [mp.mpf(x) for x in f.tolist()]
            low, high = max(z), max(z) - log_t(mp.mpf(1) / len(z), t2)
            for _ in range(90):
                middle = (low + high) / 2
                low, high = (middle, high) if mp.fsum(exp_t(x - middle, t2) for x in z) > 1 else (low, middle)
            p = [exp_t(x - low, t2) for x in z]
            o = [mp.mpf(int(k == y)) for k in range(len(z))]
            power = 2 - mp.mpf(t1)
            return float(mp.fsum((a * (log_t(a, t1) - log_t(b, t1)) if a else 0) - (a**power - b**power) / power
                                 for a, b in zip(o, p, strict=True)))

    return lambda y, f: [value(a, b) for a, b in zip(y, f, strict=True)]


def sparsemax_loss(y, f):
    """The paper's formula, with the projection by bisection."""
    values = []
    for a, z in zip(y, f, strict=True):
        low, high = z.max() - 1.0, z.max()
        for _ in range(100):
            tau = 0.5 * (low + high)
            low, high = (tau, high) if np.maximum(z - tau, 0.0).sum() > 1.0 else (low, tau)
        inside = z[z > tau]
        values.append(0.5 * (inside**2 - tau**2).sum() + 0.5 - z[a])
    return values


def crammer_singer(margin):
    return lambda y, f: [max(0.0, margin + max(np.delete(b, a)) - b[a]) for a, b in zip(y, f, strict=True)]


def bootstrapped(beta, hard):
    def value(o, p):
        r = [mp.mpf(int(x == max(p))) for x in p] if hard else p
        return -mp.fsum((beta * a + (1 - mp.mpf(beta)) * b) * mp.log(c) for a, b, c in zip(o, r, p, strict=True))

    return of_probabilities(value)


# ---- scales: the largest term of the textbook formula ------------------------------------------------------------


def one(y, f):
    """P and o, and what they are multiplied by."""
    return 1.0


def tails(y, f):
    """Float32 rounds an exponent of 60 by 2e-6: so far out, against a millionth. (1 - P would be wrong by 1e-16.)"""
    return 1e-6


def opposed(y, f):
    """Terms of both signs, each about as large as the wrong classes' share of a confident row."""
    return 1e-3


def exponents(scale):
    """The logits themselves: a rounding of scale f is a relative error of the probabilities."""
    return lambda y, f: max(1.0, scale, scale**2) * max(1.0, scale * float(np.ptp(f)))


def z_loss_terms(z_loss, temperature):
    def scale(y, f):
        largest = abs(f).max() / temperature
        return max(1.0, temperature**-2.0) * (1.0 + largest + 2.0 * z_loss * largest**2)

    return scale


def score_terms(y, f):
    return (1.0 + 2.0 * abs(f).max()) ** 2


COUNTS = {2: (90.0, 10.0), 3: (50.0, 30.0, 20.0), 7: (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)}
COSTS = {2: [[0.0, 1.0], [5.0, 0.0]], 3: [[0.0, 1.0, 4.0], [1.0, 0.0, 1.0], [9.0, -2.0, 0.5]]}
NOISES = {
    2: [[0.9, 0.1], [0.25, 0.75]],
    3: [[0.9, 0.05, 0.05], [0.125, 0.75, 0.125], [0.0, 0.25, 0.75]],
    7: (0.7 * np.eye(7) + 0.3 / 7).tolist(),
}


def adjusted(counts, tau):
    return shifted(lambda k: tau * np.log(np.array(counts) / sum(counts)))


def ldam(counts, max_margin, scale):
    margins = np.array(counts) ** -0.25
    margins = margins * max_margin / margins.max()
    return shifted(lambda k: -margins * (np.arange(len(counts)) == k), scale)


def cost(matrix):
    def values(y, f):
        return [textbook(lambda o, p, row=matrix[a]: mp.fdot(map(mp.mpf, row), p), a, b)
                for a, b in zip(y, f, strict=True)]

    return values


def forward(matrix):
    def value(column):
        return lambda o, p: -mp.log(mp.fdot(map(mp.mpf, column), p))

    return lambda y, f: [textbook(value([row[a] for row in matrix]), a, b) for a, b in zip(y, f, strict=True)]


SMOOTHED, WEIGHTS = {"label_smoothing": 0.1}, (0.5, 2.0, 0.0)

ROWS = [
    # cross-entropy
    *(RowExample(fl.CategoricalCrossEntropy(), columns=c, peer=cross_entropy()) for c in (1, 2, 3, 7)),
    RowExample(fl.CategoricalCrossEntropy(), columns=3, f=confident, peer=cross_entropy()),
    RowExample(fl.CategoricalCrossEntropy(), columns=4, y=one_hot, peer=cross_entropy()),
    *(RowExample(fl.CategoricalCrossEntropy(), columns=c, y=probabilities, scale=one, peer=cross_entropy())
      for c in (2, 5)),
    RowExample(fl.CategoricalCrossEntropy(), columns=4, y=weighted, scale=lambda y, f: 3.0, peer=cross_entropy()),
    *(RowExample(fl.CategoricalCrossEntropy(**SMOOTHED), columns=c, scale=one, peer=cross_entropy(**SMOOTHED))
      for c in (2, 5)),
    RowExample(fl.CategoricalCrossEntropy(**SMOOTHED), columns=5, y=probabilities, scale=one,
               peer=cross_entropy(**SMOOTHED)),
    RowExample(fl.CategoricalCrossEntropy(class_weight=WEIGHTS), columns=3, peer=cross_entropy(WEIGHTS)),
    RowExample(fl.CategoricalCrossEntropy(class_weight=WEIGHTS, **SMOOTHED), columns=3, scale=one,
               peer=cross_entropy(WEIGHTS, **SMOOTHED)),
    RowExample(fl.CategoricalCrossEntropy(class_weight=WEIGHTS, **SMOOTHED), columns=3, y=probabilities, scale=one,
               peer=cross_entropy(WEIGHTS, **SMOOTHED)),
    RowExample(fl.CategoricalCrossEntropy(temperature=2.5), columns=4, peer=cross_entropy(temperature=2.5)),
    RowExample(fl.CategoricalCrossEntropy(temperature=0.5), columns=3, f=moderate, peer=cross_entropy(temperature=0.5)),
    RowExample(fl.CategoricalCrossEntropy(z_loss=0.125), columns=3, scale=z_loss_terms(0.125, 1.0),
               peer=of_torch(lambda y, f: functional.cross_entropy(f, y, reduction="none") + 0.125 * f.logsumexp(1)**2)),
    RowExample(fl.CategoricalCrossEntropy(z_loss=0.125, temperature=2.0), columns=4, y=probabilities,
               scale=z_loss_terms(0.125, 2.0),
               peer=of_torch(lambda y, f: functional.cross_entropy(f / 2.0, y, reduction="none")
                             + 0.125 * (f / 2.0).logsumexp(1)**2)),
    *(RowExample(fl.CategoricalCrossEntropy(from_logits=False), columns=c, f=inner_probabilities, peer=log_losses)
      for c in (2, 5)),
    RowExample(fl.CategoricalCrossEntropy(from_logits=False, class_weight=WEIGHTS, **SMOOTHED), columns=3,
               f=inner_probabilities,
               peer=of_torch(lambda y, f: functional.cross_entropy(f.log(), y, weight=torch.tensor(WEIGHTS).double(),
                                                                   reduction="none", **SMOOTHED))),
    *(RowExample(fl.LogitAdjusted(COUNTS[c]), columns=c, scale=tails, peer=adjusted(COUNTS[c], 1.0)) for c in (2, 3, 7)),
    RowExample(fl.LogitAdjusted(COUNTS[3], -0.5), columns=3, f=confident, peer=adjusted(COUNTS[3], -0.5)),
    RowExample(fl.LogitAdjusted(COUNTS[3]), columns=3, y=probabilities, scale=one),
    *(RowExample(fl.LDAM(COUNTS[c]), columns=c, scale=exponents(30.0), peer=ldam(COUNTS[c], 0.5, 30.0)) for c in (2, 7)),
    RowExample(fl.LDAM(COUNTS[3], 0.25, 4.0), columns=3, f=moderate, peer=ldam(COUNTS[3], 0.25, 4.0)),

    # functions of the right class's probability
    *(RowExample(fl.CategoricalFocal(), columns=c, scale=one, peer=focal(2.0)) for c in (1, 2, 7)),
    *(RowExample(fl.CategoricalFocal(g), columns=3, scale=one, peer=focal(g)) for g in (0.0, 0.5, 1.0, 3.5)),
    RowExample(fl.CategoricalFocal(0.5), columns=3, f=confident),
    *(RowExample(fl.GeneralizedCrossEntropy(), columns=c, scale=one, peer=generalized(0.7)) for c in (1, 2, 7)),
    *(RowExample(fl.GeneralizedCrossEntropy(q), columns=3, scale=one, peer=generalized(q)) for q in (1e-9, 0.25, 1.0)),
    RowExample(fl.GeneralizedCrossEntropy(0.0), columns=3, scale=one, peer=cross_entropy()),
    RowExample(fl.GeneralizedCrossEntropy(), columns=4, f=confident),
    *(RowExample(loss, columns=4, f=confident) for loss in (
        fl.CategoricalFocal(), fl.SymmetricCrossEntropy())),
    *(RowExample(fl.Poly1(x), columns=4, f=confident, scale=opposed) for x in (-1.0, 2.0)),
    *(RowExample(fl.SymmetricCrossEntropy(), columns=c, scale=one, peer=blend(0.1, 4.0)) for c in (1, 2, 7)),
    RowExample(fl.SymmetricCrossEntropy(6.0, 0.125, -16.0), columns=3, scale=one, peer=blend(6.0, 2.0)),
    *(RowExample(fl.Poly1(), columns=c, scale=one, peer=blend(1.0, 2.0)) for c in (1, 2, 7)),
    *(RowExample(fl.Poly1(x), columns=3, scale=one, peer=blend(1.0, x)) for x in (-1.0, 0.5)),
    *(RowExample(fl.Spherical(), columns=c, scale=one, peer=of_probabilities(lambda o, p: -mp.fdot(o, p) / mp.norm(p)))
      for c in (1, 2, 3, 7)),
    RowExample(fl.Spherical(), columns=3, f=confident),

    # functions of the whole distribution
    *(RowExample(fl.MulticlassBrier(), columns=c, scale=one, peer=of_probabilities(brier)) for c in (1, 2, 3, 7)),
    RowExample(fl.MulticlassBrier(), columns=3, f=confident),
    *(RowExample(fl.MulticlassBrier(), columns=4, y=y, scale=one, peer=of_probabilities(brier))
      for y in (one_hot, probabilities)),
    *(RowExample(fl.CostSensitive(COSTS[c]), columns=c, scale=one, peer=cost(COSTS[c])) for c in (2, 3)),
    RowExample(fl.CostSensitive(COSTS[3]), columns=3, f=confident),
    *(RowExample(fl.Bootstrapped(), columns=c, scale=one, peer=bootstrapped(0.95, hard=False)) for c in (1, 2, 7)),
    RowExample(fl.Bootstrapped(0.5), columns=3, y=probabilities, scale=one, peer=bootstrapped(0.5, hard=False)),
    *(RowExample(fl.Bootstrapped(0.75, "hard"), columns=c, peer=bootstrapped(0.75, hard=True)) for c in (1, 2, 7)),
    RowExample(fl.Bootstrapped(0.75, "hard"), columns=3, y=probabilities, scale=one, peer=bootstrapped(0.75, hard=True)),
    *(RowExample(fl.BiTempered(), columns=c, scale=one, peer=tempered(0.8, 1.2)) for c in (1, 2, 7)),
    *(RowExample(fl.BiTempered(t1, t2), columns=3, scale=one, peer=tempered(t1, t2))
      for t1, t2 in ((0.5, 1.5), (1.0, 2.0), (0.5, 4.0), (0.0, 1.0625), (0.75, 1.0), (1.0, 1.0))),
    RowExample(fl.BiTempered(0.25, 1.0), columns=3, f=confident),

    # a right class that is not known
    *(RowExample(fl.ForwardCorrected(NOISES[c]), columns=c, scale=one, peer=forward(NOISES[c])) for c in (2, 3, 7)),
    RowExample(fl.ForwardCorrected(NOISES[3]), columns=3, f=confident, scale=opposed),
    *(RowExample(fl.PartialLabel(), columns=c, y=candidates, scale=tails, peer=right(lambda p: -mp.log(p)))
      for c in (1, 2, 3, 7)),
    RowExample(fl.PartialLabel(), columns=4, y=candidates, f=confident),

    # margins and projections
    *(RowExample(fl.MultiMargin(), columns=c, scale=score_terms, peer=multi_margin()) for c in (1, 2, 7)),
    *(RowExample(fl.MultiMargin(0.5, "2"), columns=c, scale=score_terms, peer=multi_margin(p=2, margin=0.5))
      for c in (2, 5)),
    *(RowExample(fl.CrammerSinger(), columns=c, scale=score_terms, peer=crammer_singer(1.0)) for c in (2, 3, 7)),
    RowExample(fl.CrammerSinger(0.25), columns=4, scale=score_terms, peer=crammer_singer(0.25)),
    *(RowExample(fl.Sparsemax(), columns=c, scale=score_terms, peer=sparsemax_loss) for c in (1, 2, 3, 7)),
    *(RowExample(fl.Sparsemax(), columns=c, f=moderate, scale=one, peer=sparsemax_loss) for c in (3, 7)),
]
