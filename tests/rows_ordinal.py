import numpy as np
from rows import RowExample, labels
from scipy import special, stats

import fusedloss as fl

THRESHOLDS = ((0.3,), (-1.0, 0.5, 2.0), (-3.0, -2.9375, 0.0, 1.5, 4.0, 9.0))


def cumulative_logit(thresholds):
    """The difference of distribution functions, or of their complements, whichever is the smaller pair."""
    ends = np.array([-np.inf, *thresholds, np.inf])

    def peer(y, f):
        high, low = ends[y + 1] - f[:, 0], ends[y] - f[:, 0]
        cdf, sf = stats.logistic.cdf, stats.logistic.sf
        return -np.log(np.where(low > 0.0, sf(low) - sf(high), cdf(high) - cdf(low)))

    return peer


def classes(K):
    return lambda rng, n, columns: rng.integers(0, K, n)


def one_more(rng, n, columns):
    """Labels of one class more than there are columns."""
    return rng.integers(0, columns + 1, n)


def ranked(y, f):
    wrong = np.cumsum(special.softmax(f, 1), 1) - (y[:, None] <= np.arange(f.shape[1]))
    return (wrong[:, :-1] ** 2).sum(1)


def ranked_terms(y, f):
    """The largest P_j dL/dP_j."""
    p, k = special.softmax(f), np.arange(len(f))
    front, back = np.where(k < y, np.cumsum(p), 0.0), np.where(k > y, np.cumsum(p[::-1])[::-1], 0.0)
    return 2.0 * np.max(p * (np.cumsum(front[::-1])[::-1] + np.cumsum(back)))


def answers(y, f):
    above = y[:, None] > np.arange(f.shape[1])
    return -np.where(above, special.log_expit(f), special.log_expit(-f))


def asked(y, f):
    return np.where(y[:, None] >= np.arange(f.shape[1]), answers(y, f), 0.0)


ROWS = [
    *(RowExample(fl.CumulativeLogit(t), 1, y=classes(len(t) + 1), peer=cumulative_logit(t),
                 scale=lambda y, f, t=t: 1.0 + abs(f[0]) + np.max(np.abs(t))) for t in THRESHOLDS),
    *(RowExample(fl.RankedProbabilityScore(), c, y=labels, peer=ranked, scale=ranked_terms) for c in (1, 2, 3, 7)),
    *(RowExample(fl.Coral(), c, y=one_more, peer=lambda y, f: answers(y, f).sum(1)) for c in (1, 2, 3, 7)),
    *(RowExample(fl.Corn(), c, y=one_more, peer=lambda y, f: asked(y, f).sum(1)) for c in (1, 2, 3, 7)),
]
