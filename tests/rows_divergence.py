import numpy as np
from rows import RowExample, probabilities
from scipy import spatial, special, stats

import fusedloss as fl


def masses(rng, n, columns):
    """Rows of numbers >= 0 whose sums are not 1."""
    return probabilities(rng, n, columns) * rng.uniform(0.5, 3.0, (n, 1))


def supported(rng, n, columns):
    """Rows of probabilities, none of them 0."""
    return rng.dirichlet(np.full(columns, 0.7), n) * 0.99 + 0.01 / columns


def teacher(rng, n, columns):
    return rng.normal(0.0, 3.0, (n, columns))


def softmax(f):
    return special.softmax(f, axis=-1)


def forward(y, f):
    return (special.xlogy(y, y) - y * special.log_softmax(f, 1)).sum(1)


def shannon(y, f):
    return np.array([spatial.distance.jensenshannon(q, p) ** 2 for q, p in zip(y, softmax(f), strict=True)])


def hellinger(y, f):
    return 1.0 - np.sqrt(softmax(f) * y).sum(1)


def moved(y, f, width):
    at = np.arange(f.shape[1]) * width
    return np.array([stats.wasserstein_distance(at, at, p, q) for q, p in zip(y, softmax(f), strict=True)])


def softened(y, f, T):
    return T**2 * special.rel_entr(softmax(y / T), softmax(f / T)).sum(1)


# The largest terms: of sums of x ln x, of differences of probabilities.

def forward_terms(y, f):
    return np.max(abs(special.xlogy(y, y)) + abs(y * special.log_softmax(f)) + y + softmax(f) * y.sum())


def reverse_terms(y, f):
    return np.max(softmax(f) * (abs(special.log_softmax(f)) + abs(np.log(y)) + 1.0))


def mixture_terms(y, f):
    return np.max(softmax(f) + y)


def root_terms(y, f):
    return np.max(np.sqrt(softmax(f) * y) + softmax(f))


def teacher_terms(T):
    def terms(y, f):
        return max(1.0, T**2 * np.max(softmax(y / T) * (abs(special.log_softmax(y / T)) + abs(special.log_softmax(f / T)))))
    return terms


ROWS = [
    *(RowExample(fl.KullbackLeibler(), c, y=y, peer=forward, scale=forward_terms)
      for c in (1, 2, 3, 7) for y in (probabilities, masses)),
    *(RowExample(fl.ReverseKL(), c, y=supported, peer=lambda y, f: special.rel_entr(softmax(f), y).sum(1),
                 scale=reverse_terms) for c in (1, 2, 3, 7)),
    *(RowExample(fl.JensenShannon(), c, y=probabilities, peer=shannon, scale=mixture_terms) for c in (2, 3, 7)),
    *(RowExample(fl.Hellinger(), c, y=probabilities, peer=hellinger, scale=root_terms) for c in (1, 2, 3, 7)),
    *(RowExample(fl.Wasserstein1D(w), c, y=probabilities, peer=lambda y, f, w=w: moved(y, f, w),
                 scale=lambda y, f, w=w: w * len(f)) for c, w in ((1, 1.0), (2, 1.0), (3, 0.25), (7, 1.0))),
    *(RowExample(fl.Distillation(T), c, y=teacher, peer=lambda y, f, T=T: softened(y, f, T), scale=teacher_terms(T))
      for c, T in ((1, 2.0), (2, 2.0), (3, 1.0), (3, 7.0), (7, 4.0))),
]
