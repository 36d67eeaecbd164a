"""From a raw score to a prediction in the target's units, by the name of the link.

A link is written like a loss of which only the value counts: `value(self, y, f)` is the inverse link of f, and y is
ignored. So it runs through the same engine, in one pass and in the dtype of the scores.
"""

from __future__ import annotations

import numpy as np

from . import rowmath
from .loss import Elementwise, Rowwise
from .vecmath import atan, erfc, exp, expm1, sigmoid

__all__ = ["LINKS", "inverse"]

SQRT1_2 = 0.7071067811865476


class Identity(Elementwise):
    """The score is the prediction."""

    formula = "f"

    def value(self, y, f):
        return f


class Log(Elementwise):
    """The score is the log of the mean."""

    formula = "exp(f)"

    def value(self, y, f):
        return exp(f)


class Logit(Elementwise):
    """The score is the log-odds of the probability."""

    formula = "1/(1 + exp(-f))"

    def value(self, y, f):
        return sigmoid(f)


class Probit(Elementwise):
    """The score is the normal quantile of the probability."""

    formula = "Phi(f), the normal distribution function"

    def value(self, y, f):
        return 0.5 * erfc(-SQRT1_2 * f)


class ComplementaryLogLog(Elementwise):
    """The score is log(-log(1 - p))."""

    formula = "1 - exp(-exp(f))"

    def value(self, y, f):
        return -expm1(-exp(f))


class HalfLogit(Elementwise):
    """The score is half the log-odds (AdaBoost's exponential loss)."""

    formula = "1/(1 + exp(-2 f))"

    def value(self, y, f):
        return sigmoid(2.0 * f)


class Score(Elementwise):
    """The score is an estimate of 2 p - 1, and may lie outside [-1, 1] (the hinge family)."""

    formula = "(f + 1)/2 clipped to [0, 1]"

    def value(self, y, f):
        return min(max(0.5 * f + 0.5, 0.0), 1.0)


class Tangent(Elementwise):
    """The score is tan(p - 1/2) (the tangent loss)."""

    formula = "atan(f) + 1/2 clipped to [0, 1]"

    def value(self, y, f):
        return min(max(atan(f) + 0.5, 0.0), 1.0)


class Softmax(Rowwise):
    """The scores are logits of a row of probabilities."""

    formula = "exp(f_k)/sum_j exp(f_j)"

    def prediction(self, f):
        return rowmath.softmax(f).p


LINKS: dict[str, Elementwise] = {
    "identity": Identity(),
    "log": Log(),
    "logit": Logit(),
    "probit": Probit(),
    "cloglog": ComplementaryLogLog(),
    "half_logit": HalfLogit(),
    "score": Score(),
    "tangent": Tangent(),
    "softmax": Softmax(),
}
"""The inverse links by name: `LINKS["logit"].elementwise(raw, raw)` gives probabilities."""

COLUMN_LINKS = {"log": "log", "logit": "logit"}
"""How a column called log_... or logit_... becomes a parameter of the distribution."""


def inverse(loss, raw):
    """`Loss.inverse_link`: by the loss's own `prediction(self, f)`, by its named columns, or by its link."""
    if hasattr(loss, "prediction"):
        from .evaluate_rows import predictions

        return predictions(loss, raw)
    if loss.rowwise and any(name.partition("_")[0] in COLUMN_LINKS for name in loss.columns):
        raw = np.asarray(raw)
        columns = [LINKS[COLUMN_LINKS.get(name.partition("_")[0], "identity")].elementwise(raw[:, k], raw[:, k])
                   for k, name in enumerate(loss.columns)]
        return np.stack(columns, axis=1)
    link = LINKS[loss.link]
    return inverse(link, raw) if link.rowwise else link.elementwise(raw, raw)
