"""`loss.catboost()`: a loss as CatBoost calls it, `CatBoost(a.params(depth=4))`, with CatBoost's own conventions.

CatBoost maximises: it takes [-gradient, -Hessian] of every row, weights multiplied in, in chunks of at most 1000 rows; so
what a call costs counts, and the loss's kernel is called without the care that its public methods take of their arguments.
The conventions are those of CatBoost 1.2. Only NumPy is needed here; CatBoost comes with the training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..arrays import numpy as arrays
from ..domain import BINARY, UNIT
from ..evaluate import derivatives_of_few
from ..losses.binary import BinaryCrossEntropy, BinaryFocal
from ..losses.count import Poisson, Tweedie
from ..losses.quantile import Expectile, Pinball
from ..losses.regression import (
    AbsoluteError,
    AbsolutePercentageError,
    HalfSquaredError,
    Huber,
    LogCosh,
    Lq,
    SquaredError,
)
from ..peers import PEERS
from ..vecmath import where

__all__ = ["CatBoostObjective", "MeanLoss"]

COMPATS = ("builtin", "exact")

BEST_FIRST = ("exact", "gauss_newton", "majorizer", "fisher", "bounded", "constant")
"""Curvatures in the order in which they are looked at for one that is positive everywhere."""

LARGEST, MAJORIZED_STEPS = 10.0, 10
"""For losses with a kink: see `_cap`, and the steps per leaf in which a majorizer comes near the leaf's quantile."""

ITERATIONS = ("iterations", "n_estimators", "num_boost_round", "num_trees")

FEW_ITERATIONS, FEW_FEATURES = 200, 20
"""Below both CatBoost makes one step per leaf, whatever its built-in losses do else."""


GAP = 1e-6
"""CatBoost's `delta` of MAE and Quantile: errors below it have no gradient, and the start is so far from the quantile."""


# ---- CatBoost's own losses ---------------------------------------------------------------------------------------


class GappedPinball(Pinball):
    r"""`Pinball` as CatBoost differentiates it: the gradient is 0 where |r| < 1e-6."""

    def gradient(self, y, f):
        r = f - y
        return where(abs(r) < 1e-6, 0.0, where(r > 0, self.over, -self.quantile))


class AbsolutePercentageErrorFromAbove(AbsolutePercentageError):
    r"""`AbsolutePercentageError` as CatBoost differentiates it: at r = 0 the gradient is that of r > 0."""

    def gradient(self, y, f):
        return where(f - y >= 0, 1.0, -1.0) / max(abs(y), self.epsilon)


class _BuiltIn(NamedTuple):
    """How CatBoost trains a loss of its own: how it finds leaf values, in how many steps, and from which constant."""

    method: str
    steps: int = 1
    start: str = "zero"


BUILT_IN = {
    SquaredError: _BuiltIn("Newton", 1, "mean"),
    HalfSquaredError: _BuiltIn("Newton", 1, "mean"),
    AbsoluteError: _BuiltIn("Gradient", 1, "quantile"),
    Pinball: _BuiltIn("Gradient", 1, "quantile"),
    AbsolutePercentageError: _BuiltIn("Gradient", 1, "relative median"),
    Huber: _BuiltIn("Newton"),
    LogCosh: _BuiltIn("Newton"),
    Lq: _BuiltIn("Newton"),
    Expectile: _BuiltIn("Newton", 5),
    Poisson: _BuiltIn("Newton", 10),
    Tweedie: _BuiltIn("Newton"),
    BinaryCrossEntropy: _BuiltIn("Newton", 10),
    BinaryFocal: _BuiltIn("Newton"),
}
"""Of CatBoost 1.2. Its "Exact" leaves (MAE, Quantile, MAPE, LogCosh) are for its own losses only; here is what it can do
beside them. Newton's leaves it refuses for MAE, Quantile, MAPE, and for Lq with q < 2."""


def _built_in(loss):
    if type(loss) is Lq and loss.q < 2:
        return _BuiltIn("Gradient")
    return BUILT_IN.get(type(loss))


def _as_built_in(loss):
    """The loss whose derivatives are those of CatBoost's own loss of this kind."""
    if type(loss) is SquaredError:
        return HalfSquaredError()
    if type(loss) is AbsoluteError:  # MAE is its Quantile
        return GappedPinball(0.5)
    if type(loss) is Pinball:
        return GappedPinball(loss.quantile)
    if type(loss) is AbsolutePercentageError:
        return AbsolutePercentageErrorFromAbove(loss.epsilon)
    if type(loss) is Huber:  # at |r| = delta its second derivative is 0
        return Huber(math.nextafter(loss.delta, 0.0))
    return loss


# ---- the adapter -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CatBoostObjective:
    """What `CatBoost(loss_function=)` takes: `calc_ders_range`, and with it `metric`, `params()` and `baseline(y, w)`.

    See `Loss.catboost`.
    """

    loss: object
    compat: str = "builtin"
    hessian: str | None = None

    no_jit = True
    """CatBoost compiles the methods of an objective again in every fit unless it has this."""

    def __post_init__(self):
        if self.compat not in COMPATS:
            raise ValueError(f"compat must be one of {', '.join(map(repr, COMPATS))}, found {self.compat!r}")
        _check(self.loss)
        built_in = _built_in(self.loss)
        curvature = self.hessian
        if curvature is not None:
            _check_curvature(self.loss, curvature)
        elif built_in and (self.compat == "builtin" or type(self.loss) is Lq):
            curvature = "exact" if built_in.method == "Newton" else None
        else:
            curvature = _positive(self.loss)
        object.__setattr__(self, "_loss", _as_built_in(self.loss) if self.compat == "builtin" else self.loss)
        object.__setattr__(self, "_curvature", curvature)
        object.__setattr__(self, "_capped", curvature == "majorizer" and not self.loss.smooth)

    def __deepcopy__(self, memo):
        """Itself: `sklearn.clone` of an estimator compares what it was given with a copy, by identity."""
        return self

    def __repr__(self):
        hessian = "" if self.hessian is None else f", hessian={self.hessian!r}"
        return f"{self.loss!r}.catboost(compat={self.compat!r}{hessian})"

    # ---- what CatBoost calls -------------------------------------------------------------------------------------

    def calc_ders_range(self, approxes, targets, weights):
        """[-gradient, -Hessian] of every row, times its weight: a new (n, 2) float64 array.

        `approxes` (n,) are the raw scores, float64; `targets` (n,) float32; `weights` (n,) float32 or None.

        Raises
        ------
        ValueError : a target outside the loss's domain, or derivatives that are NaN or infinite; the row is counted inside
            the chunk.
        """
        # CatBoost has checked the weights, and so they are multiplied in here: a loss that is given weights checks them in a
        # pass of its own.
        ders = derivatives_of_few(self._loss, self._curvature, targets, approxes)
        if ders is None or not math.isfinite(ders[0].dot(ders[1])):  # as NaN or inf anywhere makes it
            ders = self._checked(approxes, targets, weights)
        if self._capped:
            _cap(ders[1])
        if weights is None:
            np.negative(ders, ders)
        else:
            ders *= np.negative(weights, dtype=np.float64)
        return ders.T

    def calc_ders_multi(self, approxes, target, weight):
        """CatBoost calls this, row by row, where there are several classes or targets."""
        raise TypeError(f"{self.loss.name} has one score for each row, and there are several classes or targets here: use "
                        "CatBoost's own loss_function='MultiClass', 'MultiLogloss' or 'MultiRMSE'")

    def _checked(self, approxes, targets, weights):
        """Gradient and Hessian, (2, n), 0 where the weight is 0, or an error that says which row is wrong."""
        rows = f"of the {len(approxes)} rows that CatBoost passes in its order"
        given = {"mask": None if weights is None else weights == 0.0, "executor": "serial"}
        try:
            if self._curvature is None:
                gradient = self._loss.grad(targets, approxes, None, "none", **given)
                hessian = np.ones(len(gradient))
            else:
                gradient, hessian = self._loss.grad_and_hess(targets, approxes, None, self._curvature, **given)
        except ValueError as error:
            error.add_note(f"y_true and y_pred are those {rows}.")
            raise
        wrong = np.flatnonzero(~(np.isfinite(gradient) & np.isfinite(hessian)))
        if wrong.size:
            k = wrong[0]
            raise ValueError(f"gradient and Hessian of {self.loss.name} are {gradient[k]} and {hessian[k]} for the target "
                             f"{targets[k]} and the raw score {approxes[k]} (row {k} {rows}): check this target; if scores "
                             "have run away, lower learning_rate or start from baseline(y)")
        return np.stack([gradient, hessian])

    # ---- what goes with it ---------------------------------------------------------------------------------------

    @property
    def metric(self):
        """The mean loss, for `eval_metric=`."""
        return MeanLoss(self.loss)

    def params(self, n_features=None, **more):
        """CatBoost's parameters: what belongs to the loss, and `more`, any of CatBoost's own, which come first.

        `CatBoost(a.params(X.shape[1], iterations=100, depth=4))`. The loss decides on `loss_function`, `eval_metric`,
        `leaf_estimation_method`, `leaf_estimation_iterations` and, where those are more than 1,
        `leaf_estimation_backtracking`; for losses of two classes `class_names` is (0, 1) (without it CatBoost ignores
        class weights and `CatBoostClassifier.predict` fails; pass `class_names=None` for targets that are probabilities).

        `n_features`: CatBoost's own losses make one step per leaf, and not their usual number, where there are fewer than
        200 iterations on fewer than 20 features. So does this where it is told of the features.

        Raises
        ------
        ValueError : `task_type="GPU"`, where CatBoost calls no objective in Python.
        """
        if str(more.get("task_type")).upper() == "GPU":
            raise ValueError("task_type is 'GPU', and CatBoost calls this objective on the CPU only: "
                             f"{_own(self.loss) or 'train on the CPU'}")
        built_in = _built_in(self.loss)
        steps = MAJORIZED_STEPS if self._capped else built_in.steps if built_in else 1
        iterations = next((more[name] for name in ITERATIONS if name in more), 1000)
        if not self._capped and iterations < FEW_ITERATIONS and n_features is not None and n_features < FEW_FEATURES:
            steps = 1
        params = {
            "loss_function": self,
            "eval_metric": self.metric,
            "leaf_estimation_method": "Gradient" if self._curvature is None else "Newton",
            "leaf_estimation_iterations": steps,
        }
        if self.loss.y_domain in (UNIT, BINARY):
            params["class_names"] = (0, 1)  # no list: `sklearn.clone` compares it with its copy, by identity
        params |= more
        if params["leaf_estimation_iterations"] > 1 and params["eval_metric"] == self.metric:
            # CatBoost halves steps that go too far, but of custom losses only if asked to; it measures by the metric
            params.setdefault("leaf_estimation_backtracking", "AnyImprovement")
        return {name: value for name, value in params.items() if name != "class_names" or value is not None}

    def baseline(self, y_true, sample_weight=None):
        """Where training starts, the same raw score for every row: (n,) float64, for `Pool(baseline=)`.

        "builtin": where CatBoost starts this loss of its own (0 for most). "exact", and losses that CatBoost does not have:
        `loss.init_score`. Rounded to float32, as labels and baselines are in a Pool. A model does not remember its baseline;
        after `model.set_scale_and_bias(1.0, a.baseline(y)[0])` it does.

        Raises
        ------
        ValueError : y_true is not (n,), or no finite score minimises the loss (labels of one class only).
        """
        y = arrays.view("y_true", y_true)
        if y.ndim != 1:
            raise ValueError(f"y_true has shape {y.shape}; it must have shape (n,)")
        w = sample_weight
        if w is not None:
            w = arrays.per_sample("sample_weight", arrays.view("sample_weight", w), y)
        start = float(np.float32(self._start(y, w)))
        if not math.isfinite(start):
            raise ValueError(f"the constant that minimises {self.loss.name} is {start}: y_true has one class only, or NaN")
        return np.full(len(y), start)

    def _start(self, y, w):
        built_in = _built_in(self.loss)
        if self.compat == "exact" or not built_in:
            return self.loss.init_score(y, w)
        y, w = y.astype(np.float32), w if w is None else w.astype(np.float32)
        if built_in.start == "mean":  # the products in float32, as there
            total = len(y) if w is None else w.sum(dtype=np.float64)
            return (y if w is None else y * w).sum(dtype=np.float64) / total
        if built_in.start == "quantile":
            level = self.loss.quantile_level
            quantile, below, at = _lower_quantile(y, w, level)
            return quantile - GAP if below + at * level >= level else quantile + GAP
        if built_in.start == "relative median":
            scale = np.maximum(np.abs(y), self.loss.epsilon)
            return _lower_quantile(y, (1.0 if w is None else w) / scale, 0.5)[0]
        return 0.0


@dataclass(frozen=True)
class MeanLoss:
    """sum(w l) / sum(w) as a metric of CatBoost, which shows it by the name of this class. Less is better."""

    loss: object

    no_jit = True

    def __deepcopy__(self, memo):
        return self

    def is_max_optimal(self):
        return False

    def evaluate(self, approxes, target, weight):
        """(sum(w l), sum(w)) of `approxes`, a tuple with one array of raw scores."""
        if len(approxes) != 1:
            raise ValueError(f"there are {len(approxes)} scores for each row, and {self.loss.name} has one: it is no metric "
                             "of this loss_function")
        total = float(len(target)) if weight is None else float(np.sum(weight, dtype=np.float64))
        return self.loss(target, approxes[0], weight, "sum", executor="serial"), total

    def get_final_error(self, error, weight):
        return error / weight if weight else math.nan


# ---- what can be trained -----------------------------------------------------------------------------------------


def _check(loss):
    """An error, with what to do instead, for a loss that CatBoost cannot train through Python."""
    if loss.by_data:
        raise ValueError(f"{loss!r} takes its scale from the targets of each call, and CatBoost calls with 1000 rows at a "
                         "time: give a number, .scaled(y.std())")
    if loss.rowwise:
        remedy = _own(loss) or "use loss.xgboost() or loss.lightgbm(), or a loss_function of CatBoost's own"
        raise ValueError(f"{loss.name} has a row of scores for each sample: CatBoost would call Python for every row, 10 "
                         f"to 35 times slower than its own losses: {remedy}")


def _own(loss):
    """Advice to use CatBoost's own loss, None where it has none."""
    names = [repr(name.removeprefix("catboost.")) for name, peer in PEERS.items()
             if name.startswith("catboost.") and peer.loss == type(loss).__name__]
    return f"use CatBoost's own loss_function={' or '.join(names)}" if names else None


def _check_curvature(loss, hessian):
    """An error for a curvature that the loss does not have, or that may be negative: leaf values would point uphill."""
    usable = [name for name, curvature in loss.curvatures.items() if curvature.positive or loss.convex]
    if hessian not in usable:
        raise ValueError(f"hessian must be None or one of {', '.join(map(repr, usable))} for {loss.name}, found {hessian!r}"
                         + (", which may be negative" if hessian in loss.curvatures else ""))


def _positive(loss):
    """The best curvature that is positive everywhere; None, for CatBoost's "Gradient" leaves, where there is none."""
    return next((name for name in BEST_FIRST if name in loss.curvatures and loss.curvatures[name].positive), None)


def _cap(h):
    """Majorizers of a kink, in place, none of them more than `LARGEST` times the harmonic mean of those of its chunk.

    The majorizer of |r| is 1 / |r|: a sample that is met exactly, as many are by the constant at the start, would hold its
    leaf where it is. The cap is a floor of |r| at a tenth of its mean.
    """
    kept = h[h > 0.0]
    if kept.size:
        np.minimum(h, LARGEST * kept.size / (1.0 / kept).sum(), out=h)


def _lower_quantile(y, w, level):
    """(the smallest target up to which there is a share `level` of the weight, the share below it, the share at it)."""
    order = np.argsort(y, kind="stable")
    y, weight = y[order], np.ones(len(y)) if w is None else w[order]
    shares = np.cumsum(weight, dtype=np.float64)
    shares /= shares[-1]
    quantile = y[np.searchsorted(shares, level - 1e-15)]
    first, after = np.searchsorted(y, quantile), np.searchsorted(y, quantile, side="right")
    below = shares[first - 1] if first else 0.0
    return float(quantile), below, shares[after - 1] - below
