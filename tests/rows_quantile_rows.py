import numpy as np
from rows import RowExample, numbers
from sklearn.metrics import mean_pinball_loss

import fusedloss as fl

SEVEN = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999)


def summed_pinballs(levels, non_crossing=False):
    """scikit-learn: samples as outputs of one row, a call per level."""
    def peer(y, f):
        q = np.cumsum(np.concatenate([f[:, :1], np.logaddexp(0.0, f[:, 1:])], axis=1), axis=1) if non_crossing else f
        return sum(mean_pinball_loss(y[None], q[None, :, k], alpha=level, multioutput="raw_values")
                   for k, level in enumerate(levels))

    return peer


def interval_score(y, lower, upper, alpha):
    return upper - lower + 2 / alpha * np.maximum(lower - y, 0.0) + 2 / alpha * np.maximum(y - upper, 0.0)


def weighted_interval_score(alphas):
    """Equation (1) of Bracher et al. (2021), w_0 = 1/2 and w_k = alpha_k/2."""
    def peer(y, f):
        intervals = sum(alpha / 2 * interval_score(y, f[:, 2 * k + 1], f[:, 2 * k + 2], alpha)
                        for k, alpha in enumerate(alphas))
        return (0.5 * abs(y - f[:, 0]) + intervals) / (len(alphas) + 0.5)

    return peer


def sums(y, f):
    """The largest quantile times the number of slopes that are added."""
    return f.size * (1.0 + abs(y) + abs(f[0]) + np.logaddexp(0.0, f[1:]).sum())


ROWS = [
    *(RowExample(fl.MultiQuantile(levels), columns=len(levels), y=numbers, peer=summed_pinballs(levels))
      for levels in ((0.3,), (0.1, 0.9), (0.05, 0.5, 0.95), SEVEN)),
    *(RowExample(fl.MultiQuantile(levels, non_crossing=True), columns=len(levels), y=numbers,
                 peer=summed_pinballs(levels, True), scale=sums)
      for levels in ((0.3,), (0.1, 0.9), (0.05, 0.5, 0.95), SEVEN)),
    *(RowExample(fl.WinklerScore(alpha=alpha), columns=2, y=numbers,
                 peer=lambda y, f, alpha=alpha: interval_score(y, f[:, 0], f[:, 1], alpha)) for alpha in (0.1, 0.5, 0.01)),
    *(RowExample(fl.WeightedIntervalScore(alphas), columns=2 * len(alphas) + 1, y=numbers,
                 peer=weighted_interval_score(alphas)) for alphas in ((0.2,), (0.5, 0.1), (0.02, 0.1, 0.4))),
]
