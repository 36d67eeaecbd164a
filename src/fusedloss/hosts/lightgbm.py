"""`loss.lightgbm()`: a loss as LightGBM's `params["objective"]`, its start, its metric, and the link after training.

LightGBM keeps neither the start value nor the link of a custom objective: raw scores start at 0 unless the Dataset has an
`init_score`, which the model forgets, and `predict()` gives raw scores. `finalize` writes both into the model.

What a built-in objective does differently from its textbook loss stands in `CONVENTIONS`: measured with LightGBM 4.7.0.
LightGBM itself is imported by whoever trains.
"""

from __future__ import annotations

import copy
import math
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..combine import QUADRATIC, Weighted, _Combination, _part, made
from ..curvatures import positive_policy
from ..loss import Loss
from ..losses.binary import BinaryCrossEntropy
from ..losses.count import Gamma, Poisson, Tweedie
from ..losses.multiclass import CategoricalCrossEntropy
from ..losses.quantile import Pinball
from ..losses.regression import AbsoluteError, AbsolutePercentageError, Fair, HalfSquaredError, Huber, SquaredError
from ..peers_rows import OneVersusAll
from .labels import classes
from .smoothed import RootOfError, SmoothedPinball

__all__ = ["CONVENTIONS", "LightGBMObjective"]

SMALLEST_SHARE = 1e-15
"""LightGBM's bounds for the share of a class in the start value."""

SMALLEST_HESSIAN = 1e-16
"""Every Hessian handed over is at least this: where none is positive LightGBM grows no trees, and says nothing."""

CHUNK = 28 * 4096
"""Raw scores looked at together. LightGBM's scores are float64 and its derivatives float32: the float64 derivatives in
between never leave the cache."""

KEPT = 4
"""Data sets whose labels are kept, with what was worked out from them: training and validation."""


# ---- the conventions of the built-in objectives ------------------------------------------------------------------


@dataclass(frozen=True)
class Convention:
    """What a built-in objective makes of a loss: multiple * loss, with its curvature "lightgbm", and its start value.

    `objective` is its line in a model. `start(y, w)` is the raw score, or the row of them, where it begins; None: the
    constant that minimises the loss. No parameters of the loss but those in `takes` may differ from their defaults.
    `smoothed`: LightGBM renews the leaves of this objective after they have grown, which it does for none but its own.
    The derivatives are those of `SmoothedPinball`.
    """

    objective: str
    takes: tuple[str, ...] = ()
    multiple: float = 1.0
    start: Callable | None = None
    smoothed: bool = False


def _mean(y, w):
    return HalfSquaredError().init_score(y, w)


def _log_odds(y, w):
    return BinaryCrossEntropy().init_score(y, w)


def _log_shares(y, w):
    return np.log(_shares(y, w))


def _log_odds_of_classes(y, w):
    p = _shares(y, w)
    return np.log(p / (1.0 - p))


def _shares(y, w):
    """The share of each class, away from 0 and 1."""
    counts = np.bincount(y, w)
    return np.clip(counts / counts.sum(), SMALLEST_SHARE, 1.0 - SMALLEST_SHARE)


CONVENTIONS: dict[type[Loss], Convention] = {
    HalfSquaredError: Convention("regression"),
    SquaredError: Convention("regression", multiple=0.5),
    Huber: Convention("huber", ("delta",), start=_mean),
    Fair: Convention("fair", ("c",), start=_mean),
    Poisson: Convention("poisson"),
    Gamma: Convention("gamma"),
    Tweedie: Convention("tweedie", ("power",)),
    BinaryCrossEntropy: Convention("binary sigmoid:{sigmoid:g}", ("pos_weight",), start=_log_odds),
    CategoricalCrossEntropy: Convention("multiclass num_class:{n_classes}", start=_log_shares),
    OneVersusAll: Convention("multiclassova num_class:{n_classes} sigmoid:{sigmoid:g}", start=_log_odds_of_classes),
    AbsoluteError: Convention("regression_l1", smoothed=True),
    Pinball: Convention("quantile", ("quantile",), smoothed=True),
    AbsolutePercentageError: Convention("mape", ("epsilon",), smoothed=True),
}
"""The built-in objective behind a loss. Class weights of a cross-entropy do not make it another one."""

LINKS = {
    "identity": "regression",
    "log": "poisson",
    "logit": "binary sigmoid:{sigmoid:g}",
    "half_logit": "binary sigmoid:2",
}
ROW_LINKS = {
    "softmax": "multiclass num_class:{n_classes}",
    "logit": "multiclassova num_class:{n_classes} sigmoid:{sigmoid:g}",
}
"""The line of a model whose built-in link is that of a loss without convention."""

IGNORED = {
    "boost_from_average": "give the Dataset init_score=a.init_score(y, weight)",
    "is_unbalance": "pass it to loss.lightgbm(is_unbalance=)",
    "scale_pos_weight": "take loss.weighted([1, scale_pos_weight])",
    "sigmoid": "pass it to loss.lightgbm(sigmoid=)",
    "alpha": "it is a parameter of the loss: Huber(delta=), Pinball(quantile=)",
    "fair_c": "it is a parameter of the loss: Fair(c=)",
    "poisson_max_delta_step": "take loss.curved(factor=) with compat='exact'",
    "tweedie_variance_power": "it is a parameter of the loss: Tweedie(power=)",
    "reg_sqrt": "transform the labels yourself",
}
"""Host parameters that LightGBM passes over in silence where the objective is custom -> what to do instead."""

ON_RAW_SCORES = {"", "None", "none", "null", "na", "custom", "auc", "average_precision", "auc_mu", "ndcg", "map"}
"""Metrics of LightGBM that are right on raw scores whatever the link."""


def _convention(loss):
    """The convention of the built-in objective that a loss is, or None."""
    weighted = isinstance(loss, Weighted) and type(loss.part) is BinaryCrossEntropy
    part = loss.part if weighted else loss
    found = CONVENTIONS.get(type(part))
    plain = found and type(part)(**{name: getattr(part, name) for name in found.takes})
    return found if part == plain else None


# ---- losses of this host -----------------------------------------------------------------------------------------


class Sloped(_Combination):
    r"""A loss of logits of another slope: l(y, slope f), as LightGBM's parameter `sigmoid`."""

    slope: float
    part: Loss = _part()

    def __repr__(self):
        return f"{self.part!r} of {self.slope:g} f"

    @staticmethod
    def derived(name, rowwise, function, part):
        if name == "value":
            def value(self, y, f):
                return function(self.part, y, self.slope * f)

            return value
        if name == "gradient":
            def gradient(self, y, f):
                return self.slope * function(self.part, y, self.slope * f)

            return gradient
        if name in QUADRATIC:
            def curvature(self, y, f):
                return self.slope * self.slope * function(self.part, y, self.slope * f)

            return curvature
        return None


# ---- the adapter -------------------------------------------------------------------------------------------------


class LightGBMObjective:
    """A loss as `objective` of `lightgbm.train`; see `Loss.lightgbm`.

    It remembers the constant of `init_score`, so `lightgbm.train`, which copies its parameters deeply, gets the object
    itself. Gradient and Hessian live in two arrays per thread, which the next call writes again.
    """

    def __init__(self, loss, compat="builtin", hessian=None, sigmoid=1.0, is_unbalance=False, n_threads=1):
        if compat not in ("builtin", "exact"):
            raise ValueError(f"compat must be 'builtin' or 'exact', found {compat!r}")
        if isinstance(n_threads, bool) or not isinstance(n_threads, int) or n_threads < 1:
            raise ValueError(f"n_threads must be a whole number of at least 1, found {n_threads!r}")
        if loss.rowwise and loss.target == "row":
            raise ValueError(f"LightGBM has one label per row, and {loss.name} needs a row of targets: use XGBoost, whose "
                             "labels may be (n, k), or train one model for each column")
        self.loss, self.compat, self.n_threads = loss, compat, n_threads
        self.sigmoid = _checked_sigmoid(loss, sigmoid)
        self.is_unbalance = _checked_is_unbalance(loss, is_unbalance)
        self.convention = _convention(loss) if compat == "builtin" else None
        self.hessian = hessian
        self._policy = "exact" if self._smooths else "lightgbm" if self.convention and hessian is None else \
            positive_policy(loss, hessian, "LightGBM")
        self._constant = None
        self._local = _Local()

    def __repr__(self):
        others = {"sigmoid": 1.0, "is_unbalance": False, "n_threads": 1}
        given = [f"{name}={getattr(self, name)!r}" for name, default in others.items() if getattr(self, name) != default]
        return f"{self.loss!r}.lightgbm({', '.join([repr(self.compat), repr(self.hessian), *given])})"

    def __deepcopy__(self, memo):
        return self

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_local"}

    def __setstate__(self, state):
        self.__dict__.update(state, _local=_Local())

    # ---- what LightGBM calls -------------------------------------------------------------------------------------

    def __call__(self, preds, dataset):
        """(grad, hess) at raw scores, times the weights: float32, (n,), or (n, K) in Fortran order.

        Raises
        ------
        ValueError : a gradient that is not finite, naming the row; a label outside the loss's domain; scores of another
            shape than the loss takes; a Dataset that does not start at the constant of `init_score`.
        """
        return self._derivatives(self._sample_of(dataset, preds), preds)

    def sklearn(self, y_true, y_pred, weight):
        """The same for `LGBMRegressor(objective=a.sklearn)` and its like."""
        return self._derivatives(self._sample(y_true, weight, y_pred), y_pred)

    def metric(self, preds, dataset):
        """(name, the weighted mean of the loss, False: less is better), for `feval=`."""
        return self._mean(self._sample_of(dataset, preds), preds)

    def sklearn_metric(self, y_true, y_pred, weight):
        """The same for `fit(eval_metric=a.sklearn_metric)`, of raw scores, which is what LightGBM passes then."""
        return self._mean(self._sample(y_true, weight, y_pred), y_pred)

    # ---- start and end -------------------------------------------------------------------------------------------

    def init_score(self, y_true, sample_weight=None):
        """The array for `Dataset(init_score=)` of the training set, float64, (n,) or (n, K); its constant is remembered.

        Under `compat="builtin"` where the built-in objective starts (class weights do not count there), else the constant
        that minimises the loss. Labels and weights are taken as float32, as LightGBM keeps them.

        Raises
        ------
        ValueError : the constant is infinite: all labels are of one class, or 0 under a log link.
        """
        y = np.asarray(y_true, np.float32)
        y = classes(self.loss, y) if self._takes_classes else y.astype(np.float64)
        w = None if sample_weight is None else np.asarray(sample_weight, np.float32).astype(np.float64)
        if self.convention and self.convention.start:
            constant = self.convention.start(y, w)
        else:
            constant = self._weighted(y).init_score(y, w)
        constant = np.asarray(constant, np.float64) / self.sigmoid
        if not np.isfinite(constant).all():
            raise ValueError(f"the start value is {constant.tolist()}: the labels are all alike, there is nothing to learn")
        self._constant = constant
        return self.valid_init_score(len(y))

    def valid_init_score(self, n):
        """The same constant for n other rows: `Dataset(init_score=)` of a validation set."""
        if self._constant is None:
            raise ValueError("no start value is known: call init_score(y, sample_weight) of the training set first")
        return np.tile(self._constant, (n, 1)) if self._constant.ndim else np.full(n, self._constant)

    def params(self, num_class=None, **more):
        """Parameters for `lightgbm.train`: this objective, no built-in metric, num_class of a loss of rows, and `more`.

        `num_class` is needed where neither the loss nor a call of `init_score` says it.

        Raises
        ------
        ValueError : a parameter in `more` that LightGBM would pass over in silence, or apply to raw scores.
        """
        for name in IGNORED.keys() & more:
            raise ValueError(f"LightGBM ignores {name} where the objective is custom: {IGNORED[name]}")
        if more.get("device_type", more.get("device", "cpu")) != "cpu":
            raise ValueError("the derivatives of a custom objective are computed on the CPU: train with device_type='cpu', "
                             "or on the GPU with a built-in objective")
        metrics = more.get("metric", "None")
        for metric in metrics.split(",") if isinstance(metrics, str) else metrics:
            if metric not in ON_RAW_SCORES and (self.loss.link != "identity" or self.loss.rowwise):
                raise ValueError(f"LightGBM would compute {metric!r} of raw scores, as if they were predictions: leave "
                                 "metric out and pass feval=a.metric")
        if not self._has_rows:
            if num_class is not None:
                raise ValueError(f"num_class is for losses of rows; {self.loss.name} has one score for each label")
            return {"objective": self, "metric": "None", **more}
        columns = num_class or len(self.loss.columns) or (0 if self._constant is None else self._constant.size)
        if not columns:
            raise ValueError(f"{self.loss.name} does not say how many scores a row has: pass num_class=, or call "
                             "init_score first")
        return {"objective": self, "metric": "None", "num_class": columns, **more}

    def finalize(self, booster, init=None):
        """A copy of a trained Booster, or of a fitted LGBMModel, with the start value and the link in it.

        Its `predict()` gives what that of a built-in objective does, after `save_model` or `pickle` too. Where LightGBM has
        no such link (probit, hinge, columns of a distribution) it gives raw scores: apply `loss.inverse_link`. The copy of
        an LGBMModel has the built-in's name as `objective`: to fit again take the original.

        `init` is the start value of the training set, a number or K of them; default: what `init_score` found.

        Raises
        ------
        ValueError : no start value is known; the model has no trees, linear leaves, or an objective in it already.
        """
        constant = self._constant if init is None else np.asarray(init, np.float64)
        if constant is None:
            raise ValueError("no start value is known: train with Dataset(init_score=a.init_score(y, weight)), or pass "
                             "init=, 0.0 for a model that was trained without one")
        if hasattr(booster, "booster_"):
            final = copy.deepcopy(booster)
            final._Booster = self.finalize(booster.booster_, constant)
            return final.set_params(objective=self._line.split()[0]) if self._line else final
        text, per_round = booster.model_to_string(num_iteration=-1), booster.num_model_per_iteration()
        leaves = [int(count) for count in re.findall(r"^num_leaves=(\d+)$", text, re.M)][:per_round]
        if not leaves:
            raise ValueError("the model has no trees: there is nowhere to put the start value")
        if constant.size not in (1, per_round):
            raise ValueError(f"the start value has {constant.size} numbers and the model {per_round} trees per round")
        if re.search("^objective=", text, re.M):
            raise ValueError("the model has an objective in it: it is finalized already, or was trained with a built-in one")
        if re.search("^is_linear=1$", text, re.M):
            raise ValueError("the start value cannot be put into linear leaves: train with linear_tree=False, or add it to "
                             "predict(raw_score=True)")
        final = type(booster)(model_str=self._with_link(text, per_round))
        for tree, (count, value) in enumerate(zip(leaves, np.broadcast_to(constant, per_round).tolist(), strict=True)):
            for leaf in range(count):
                final.set_leaf_output(tree, leaf, final.get_leaf_output(tree, leaf) + value)
        final.best_iteration, final.best_score = booster.best_iteration, copy.deepcopy(booster.best_score)
        return final

    def _with_link(self, text, n_classes):
        """The text of a model with the line that says the link."""
        if not self._line:
            return text
        line = self._line.format(sigmoid=self.sigmoid, n_classes=n_classes)
        text = re.sub("^max_feature_idx=.*$", rf"\g<0>\nobjective={line}", text, count=1, flags=re.M)
        text = text.replace("[objective: custom]", f"[objective: {line.split()[0]}]")
        return re.sub(r"^\[sigmoid: .*\]$", f"[sigmoid: {self.sigmoid:g}]", text, flags=re.M)

    # ---- what is known of the loss -------------------------------------------------------------------------------

    @property
    def _has_rows(self):
        return self.loss.rowwise and not self.loss.single_score

    @property
    def _takes_classes(self):
        return self.loss.rowwise and self.loss.target != "number"

    @property
    def _smooths(self):
        return self.convention is not None and self.convention.smoothed and self.hessian is None

    @property
    def _line(self):
        """The objective as a model spells it; None where LightGBM has no link like the loss's."""
        if self.convention:
            return self.convention.objective
        first = self.loss
        while hasattr(first, "parts"):
            first = first.parts[0]
        if hasattr(first, "prediction") and getattr(first, "temperature", None) != 1.0:
            return None
        return (ROW_LINKS if self._has_rows else LINKS).get(first.link)

    def _weighted(self, y):
        """The loss with the weights of its classes, where these targets decide about them."""
        if not self.is_unbalance:
            return self.loss
        positive = np.count_nonzero(y > 0)
        negative = len(y) - positive
        if not positive or not negative:
            return self.loss
        return self.loss.weighted([max(positive / negative, 1.0), max(negative / positive, 1.0)])

    # ---- what is worked out once for each data set ---------------------------------------------------------------

    def _sample_of(self, dataset, preds):
        """The labels and weights of a Dataset, which must start where `init_score` said."""
        label, weight = dataset.get_label(), dataset.get_weight()
        sample = self._sample(label, weight, preds)
        if self._constant is not None and sample.start_of != self._constant.tobytes():
            given = dataset.get_init_score()
            if given is None or np.shape(given)[1:] != self._constant.shape or (np.asarray(given) != self._constant).any():
                raise ValueError(f"init_score() returned {self._constant.tolist()} for every row, and a Dataset starts "
                                 "elsewhere: make the training set with init_score=a.init_score(y, weight), then validation "
                                 "sets with init_score=a.valid_init_score(n); for other starts take a new adapter")
            sample.start_of = self._constant.tobytes()
        return sample

    def _sample(self, label, weight, preds):
        samples, key = self._local.samples, (id(label), id(weight), preds.shape[1:])
        if key not in samples:  # a sample holds its arrays, so no others can have these ids
            while len(samples) >= KEPT:
                del samples[next(iter(samples))]
            samples[key] = self._new_sample(label, weight, preds)
        return samples[key]

    def _new_sample(self, label, weight, preds):
        if preds.ndim != 1 + self._has_rows:
            raise ValueError(f"the raw scores have shape {preds.shape}; {self.loss.name} needs "
                             + ("a row of them for each label: train with a.params(num_class=K)" if self._has_rows else
                                "one for each label: train without num_class"))
        y, w = classes(self.loss, label) if self._takes_classes else label, weight
        loss = self._weighted(y)
        if loss.by_data:
            loss, = loss.of_columns(y, w)
        if isinstance(getattr(loss, "class_weight", None), str):
            from ..evaluate_rows import class_weights

            loss = replace(loss, class_weight=class_weights(loss, y, preds, w))
        if self.sigmoid != 1.0:
            loss = made(Sloped, self.sigmoid, loss)
        if self._smooths:
            if isinstance(loss, AbsolutePercentageError):
                w = ((1.0 if w is None else w) / np.maximum(abs(y), loss.epsilon)).astype(np.float32)
            loss = None
        elif self.convention:
            loss = loss if self.convention.multiple == 1.0 else self.convention.multiple * loss
        return _Sample(label, weight, y, w, loss)

    # ---- derivatives and value -----------------------------------------------------------------------------------

    def _derivatives(self, sample, preds):
        loss = sample.loss or self._smoothed(sample, preds)
        local, n = self._local, len(preds)
        grad, hess = local.arrays("result", preds.shape, np.float32)
        rows = -(-n // max(1, -(-preds.size // (CHUNK * self.n_threads))))  # chunks of one size: one kernel will do
        in_place = preds.ndim == 1 and preds.dtype == np.float64
        with np.errstate(over="ignore"):
            for start in range(0, n, rows):
                part = slice(start, min(n, start + rows))
                f = preds[part]
                if not in_place:  # the columns of these rows, one after the other
                    f = local.arrays("scores", f.shape, np.float64)[0]
                    f[...] = preds[part]
                g, h = local.arrays("chunk", f.shape, np.float64)
                try:
                    loss.grad_and_hess(sample.y[part], f, None if sample.w is None else sample.w[part], self._policy,
                                       out=(g, h), n_threads=self.n_threads)
                except ValueError:
                    loss.grad_and_hess(sample.y, preds, sample.w, self._policy)  # the same error, which counts all rows
                    raise
                grad[part], hess[part] = g, h
                if not (np.isfinite(grad[part]).all() and hess[part].max() < np.inf):
                    self._refuse(sample, preds, grad, hess, part)
                if hess[part].min() < SMALLEST_HESSIAN:
                    np.maximum(hess[part], np.float32(SMALLEST_HESSIAN), out=hess[part])
        return grad, hess

    def _refuse(self, sample, preds, grad, hess, part):
        """Raise for the first row whose derivatives are not finite."""
        finite = np.isfinite(grad[part]) & np.isfinite(hess[part])
        row = part.start + int(np.flatnonzero(~finite.reshape(len(finite), -1).all(1))[0])
        raise ValueError(f"row {row} has label {sample.label[row]} and raw score {preds[row]}, where {self.loss.name} has "
                         f"gradient {grad[row]} and Hessian {hess[row]}: correct the label, or give the row weight 0; where "
                         "scores run away lower learning_rate or set max_delta_step")

    def _smoothed(self, sample, preds):
        """The smoothed loss of this round."""
        root = RootOfError()(sample.y, preds, sample.w, n_threads=self.n_threads)
        scale = max(root * root, 1e-300) if math.isfinite(root) else 1.0
        return SmoothedPinball(getattr(self.loss, "quantile", 0.5), scale)

    def _mean(self, sample, preds):
        loss = self.loss if self.sigmoid == 1.0 else made(Sloped, self.sigmoid, self.loss)
        return self.loss.name, float(loss(sample.y, preds, sample.weight, n_threads=self.n_threads)), False


class _Sample:
    """The labels and weights of a data set, and what the loss makes of them."""

    def __init__(self, label, weight, y, w, loss):
        self.label, self.weight = label, weight
        self.y, self.w, self.loss = y, w, loss
        self.start_of = None


class _Local(threading.local):
    """What one thread keeps between two calls."""

    def __init__(self):
        self.samples, self.memory = {}, {}

    def arrays(self, name, shape, dtype):
        """Two arrays in Fortran order, in memory that the next call with this name gets again."""
        size = math.prod(shape)
        if self.memory.get(name, np.empty(0)).size < 2 * size:
            self.memory[name] = np.empty(2 * size, dtype)
        memory = self.memory[name]
        return memory[:size].reshape(shape, order="F"), memory[size:2 * size].reshape(shape, order="F")


# ---- what may be asked for ---------------------------------------------------------------------------------------


def _checked_sigmoid(loss, sigmoid):
    if not 0.0 < sigmoid < math.inf:
        raise ValueError(f"sigmoid must be positive and finite, found {sigmoid!r}")
    if sigmoid != 1.0 and loss.link != "logit":
        raise ValueError(f"sigmoid is the slope of logits; the scores of {loss.name} have the link {loss.link!r}")
    return float(sigmoid)


def _checked_is_unbalance(loss, is_unbalance):
    if not is_unbalance:
        return False
    if loss.rowwise:
        raise ValueError(f"is_unbalance is for losses of one score; {loss.name} has class_weight='balanced'")
    if isinstance(loss, Weighted) or getattr(loss, "pos_weight", 1.0) != 1.0:
        raise ValueError("is_unbalance=True works out the weights of the classes: take a loss without any")
    loss.weighted([1.0, 1.0])
    return True
