"""`loss.xgboost()`: a loss as XGBoost calls it, by XGBoost's own conventions where it has that loss built in.

XGBoost takes derivatives from `obj=`. The link, the default metric and the saved model it takes from the `objective` in its
parameters, and where it starts from `base_score`, which it works out for itself only where there is no `obj=`. So
`a.params(dtrain)` keeps the built-in objective and gives the start, and `a` gives the derivatives.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple

import numpy as np

try:
    import xgboost
except ModuleNotFoundError as error:
    raise ImportError('loss.xgboost() needs XGBoost: pip install "fusedloss[xgboost]"') from error

from ..combine import Weighted
from ..curvatures import positive_policy
from ..domain import POSITIVE
from ..loss import Elementwise, Loss, parameter
from ..losses.binary import BinaryCrossEntropy, Hinge
from ..losses.count import Gamma, Poisson, Tweedie
from ..losses.multiclass import CategoricalCrossEntropy
from ..losses.multilabel import MultilabelBinaryCrossEntropy
from ..losses.quantile import Expectile, Pinball
from ..losses.quantile_rows import MultiQuantile
from ..losses.regression import AbsoluteError, HalfSquaredError, PseudoHuber, SquaredError, SquaredLogError
from ..peers import XGBoostSquaredLogError
from ..vecmath import sqrt, where
from .labels import classes
from .smoothed import RootOfError, SmoothedPinball

__all__ = ["CONVENTIONS", "Convention", "XGBoostObjective", "convention"]

FLOOR = 1e-16
"""The smallest Hessian handed over: where none is positive XGBoost grows no trees, and says nothing."""

EPSILON = 1e-6
"""What XGBoost keeps shares of classes and sums of Hessians away from 0 by, where it works out a start."""

MAX_DELTA_STEP = 0.7
"""The limit to the leaves of a Poisson regression; its exponential is in the Hessian too."""

TINY = 1e-30
"""The scale of errors that are all 0."""

LARGEST_LOGIT = math.log((1.0 - EPSILON) / EPSILON)

OLDEST = (3, 2)
"""Before, classes and columns of targets started elsewhere, and labels of several columns arrived as one."""

VERSION = tuple(map(int, xgboost.__version__.split(".")[:2]))
if VERSION < OLDEST:
    raise ImportError(f"loss.xgboost() needs XGBoost 3.2 or newer, found {xgboost.__version__}: "
                      'pip install --upgrade "fusedloss[xgboost]"')


# ---- derivatives that no loss of ours has ------------------------------------------------------------------------


class _PseudoHuber(PseudoHuber):
    """The loss in the operations of XGBoost's float32 code, and so to its last bit: r^2 overflows beyond 1e19."""

    @property
    def square(self):
        return self.delta * self.delta

    def gradient(self, y, f):
        r = f - y
        return r / sqrt(1.0 + r * r / self.square)

    def hessian(self, y, f):
        r = f - y
        return self.square / ((self.square + r * r) * sqrt(1.0 + r * r / self.square))


class _StepPinball(Pinball):
    """The pinball loss with the slope from above at its kink, 1 - quantile in float32."""

    def gradient(self, y, f):
        return where(f >= y, 1.0 - self.quantile, -self.quantile)


class _HalfExpectile(Expectile):
    """Half the loss, its weight of errors above 1 - quantile in float32: from one that is rounded otherwise ties between
    splits are decided otherwise."""

    def gradient(self, y, f):
        r = f - y
        return where(r < 0, self.quantile, 1.0 - self.quantile) * r

    def hessian(self, y, f):
        return where(f - y < 0, self.quantile, 1.0 - self.quantile)


class _SmoothedAbsoluteError(Elementwise):
    """The absolute error with its kink rounded off at the errors' scale, times that scale: iteratively reweighted least
    squares. g = r c, h = c, c = scale / sqrt(scale^2 + r^2), r = f - y."""

    scale: float = parameter(1.0, POSITIVE)

    @property
    def rate(self):
        return 1.0 / self.scale

    def gradient(self, y, f):
        x = self.rate * (f - y)
        return (f - y) / sqrt(1.0 + x * x)

    def hessian(self, y, f):
        x = self.rate * (f - y)
        return 1.0 / sqrt(1.0 + x * x)


# ---- the conventions of the built-in objectives ------------------------------------------------------------------


def _curved(loss):
    """The loss with max(h, 1e-16) for every curvature h, its weights of classes taken for weights of samples."""
    weights = getattr(loss, "class_weight", None)
    if weights is None:
        return loss.curved(floor=FLOOR)
    return replace(loss, class_weight=None).curved(floor=FLOOR).weighted(weights)


def _floored(loss):
    """The loss with max(h, 1e-16) for every curvature h; as it is where weights of classes are more than that."""
    return loss if getattr(loss, "class_weight", None) is not None and loss.weighs_classes else _curved(loss)


def _itself(loss):
    return loss


def _half_squared(loss):
    return HalfSquaredError()


def _half_expectile(loss):
    return _HalfExpectile(loss.quantile)


def _max_delta_step(loss):
    return MAX_DELTA_STEP


def _pseudo_huber(loss):
    return _PseudoHuber(loss.delta)


def _squared_log(loss):
    return XGBoostSquaredLogError()


def _levels(loss):
    return loss.levels.tolist() if loss.rowwise else [loss.quantile]


def _steps(loss):
    return tuple(_StepPinball(level) for level in _levels(loss))


def _smoothed_absolute(loss):
    return (_SmoothedAbsoluteError(),)


def _smoothed_pinballs(loss):
    return tuple(SmoothedPinball(level) for level in _levels(loss))


def _from_mean(loss, built_in, y, w):
    """The true minimiser, which is a function of the mean."""
    means = HalfSquaredError().init_score(_double(y), _double(w))
    return np.reshape([loss.optimum(mean) for mean in np.ravel(means)], np.shape(means))


def _log_odds(loss, built_in, y, w):
    """Those of the mean; but where a class is weighted one Newton step from 0."""
    if getattr(loss, "pos_weight", None) in (None, 1.0) and not isinstance(loss, Weighted):
        return _from_mean(BinaryCrossEntropy(), built_in, y, w)
    return _newton_from_zero(loss, built_in, y, w)


def _log_shares(loss, built_in, y, w):
    """Of each class, but for a constant."""
    if loss.class_weight is not None or loss.ignore_index is not None or y.min(initial=0) < 0:
        return loss.init_score(y, _double(w))
    with np.errstate(divide="ignore"):
        return np.log(np.bincount(y, w))


def _newton_from_zero(loss, built_in, y, w):
    """One Newton step from 0, which need not lead anywhere near the minimum."""
    return _newton_step(loss, built_in, y, w, 0.0)


def _newton_from_mean(loss, built_in, y, w):
    return _newton_step(loss, built_in, y, w, HalfSquaredError().init_score(_double(y), _double(w)))


def _newton_step(loss, built_in, y, w, start):
    """`start`, and a Newton step further, for each column of the targets."""
    raw = np.broadcast_to(np.asarray(start, np.float32), y.shape).copy()
    g, h = _grad_and_hess(built_in.derivatives(loss), built_in.curvature, y, raw, w)
    return start - g.sum(0, np.float64) / np.maximum(h.sum(0, np.float64), EPSILON)


def _side(loss, built_in, y, w):
    """1 for the class with more weight, 0 for the other."""
    return np.where(_newton_from_zero(loss, built_in, y, w) > 0.0, 1.0, 0.0)


def _medians(loss, built_in, y, w):
    columns = y.reshape(len(y), -1).T
    return np.reshape([_quantile(column, w, 0.5) for column in columns], y.shape[1:])


def _quantiles(loss, built_in, y, w):
    found = [_quantile(y, w, level) for level in _levels(loss)]
    return np.array(found) if loss.rowwise else found[0]


def _quantile(y, w, level):
    """XGBoost's: between the ranks of n + 1; with weights the first target that has enough weight up to it."""
    level = float(np.float32(level))
    if w is None:
        return float(np.quantile(_double(y), level, method="weibull"))
    order = np.argsort(y, kind="stable")
    weights = np.cumsum(w[order], dtype=np.float32)
    rank = int(np.searchsorted(weights, np.float32(float(weights[-1]) * level)))
    return float(y[order[min(rank, y.size - 1)]])


@dataclass(frozen=True)
class Convention:
    """A built-in objective: its name, its derivatives, and where it starts.

    `since`        the first version of XGBoost where it is so
    `takes`        the parameters of the loss that it has; of any other it has the default
    `derivatives`  loss -> the loss whose gradient is the objective's, or a tuple of losses, one for each column of scores
                   (or one for all); their `scale`, if they have one, is that of the column's errors in each round
    `curvature`    of these losses the one that the objective divides by
    `start`        (loss, convention, y, w) -> its first raw score, or one for each column
    `misled`       whether it may start far from the minimum: then it is followed only if asked to
    `params`       its parameters: their names there, and what gives them, loss -> value
    `renews`       whether it replaces the leaves of a tree once it has grown
    """

    objective: str
    since: tuple[int, int] = OLDEST
    takes: tuple[str, ...] = ()
    derivatives: Callable = _floored
    curvature: str = "xgboost"
    start: Callable = _from_mean
    misled: bool = False
    params: dict[str, Callable] = field(default_factory=dict)
    renews: bool = False


RENEWED_BEFORE = (3, 4)
"""From here on XGBoost replaces no leaves."""

BOUNDED_STEPS = (3, 5)
"""From here on the curvature of some objectives is another one, "xgboost_3.5". Written from XGBoost's sources."""


def _also_bounded(old, **changes):
    """An objective until 3.4, and as it is from 3.5 on."""
    return old, replace(old, since=BOUNDED_STEPS, curvature="xgboost_3.5", **changes)


_QUANTILE = {"takes": ("quantile", "levels"), "start": _quantiles, "params": {"quantile_alpha": _levels}}
_QUANTILES = (
    Convention("reg:quantileerror", derivatives=_steps, renews=True, **_QUANTILE),
    Convention("reg:quantileerror", RENEWED_BEFORE, derivatives=_smoothed_pinballs, curvature="exact", **_QUANTILE),
)
_SQUARED = Convention("reg:squarederror", derivatives=_half_squared)
_SQUARED_LOG = Convention("reg:squaredlogerror", derivatives=_squared_log, curvature="exact", start=_newton_from_zero)

CONVENTIONS: dict[type[Loss], tuple[Convention, ...]] = {
    HalfSquaredError: (_SQUARED,),
    SquaredError: (_SQUARED,),
    SquaredLogError: (_SQUARED_LOG,),
    XGBoostSquaredLogError: (_SQUARED_LOG,),
    PseudoHuber: _also_bounded(Convention(
        "reg:pseudohubererror", takes=("delta",), derivatives=_pseudo_huber, curvature="exact", start=_newton_from_zero,
        misled=True, params={"huber_slope": attrgetter("delta")})),
    AbsoluteError: (
        Convention("reg:absoluteerror", derivatives=_itself, start=_medians, renews=True),
        Convention("reg:absoluteerror", RENEWED_BEFORE, derivatives=_smoothed_absolute, curvature="exact",
                   start=_newton_from_mean),
    ),
    Pinball: _QUANTILES,
    MultiQuantile: _QUANTILES,
    Expectile: (Convention("reg:expectileerror", (3, 3), takes=("quantile",), derivatives=_half_expectile,
                           curvature="exact", start=_newton_from_mean, params={"expectile_alpha": _levels}),),
    Poisson: _also_bounded(Convention("count:poisson", params={"max_delta_step": _max_delta_step}), params={}),
    Gamma: _also_bounded(Convention("reg:gamma")),
    Tweedie: _also_bounded(Convention("reg:tweedie", takes=("power",),
                                      params={"tweedie_variance_power": attrgetter("power")})),
    BinaryCrossEntropy: (Convention("binary:logistic", takes=("pos_weight",), start=_log_odds),),
    Hinge: (Convention("binary:hinge", derivatives=_itself, start=_side),),
    MultilabelBinaryCrossEntropy: (Convention("binary:logistic", start=_log_odds),),
    CategoricalCrossEntropy: _also_bounded(Convention("multi:softprob", takes=("class_weight", "ignore_index"),
                                                      derivatives=_curved, start=_log_shares)),
}
"""The built-in objective behind a loss, the newest version last."""

LINKED = {"logit": "binary:logistic", "log": "reg:gamma", "softmax": "multi:softprob"}
"""The built-in objective whose link is that of a loss without one; for any other link raw scores are predicted."""

RAW = "reg:squarederror"
SAME = {"binary:logistic": "reg:logistic", "multi:softprob": "multi:softmax"}
"""Objectives that differ in the default metric, or in what is predicted, and in nothing that is learnt."""


def _probability(raw):
    return 1.0 / (1.0 + np.exp(-raw))


UNITS = {"binary:logistic": _probability, "reg:gamma": np.exp, "reg:tweedie": np.exp, "count:poisson": np.exp}
"""How a raw score becomes `base_score`, for objectives that take it in the units of their predictions."""


def convention(loss: Loss, version: tuple[int, int] = VERSION) -> Convention | None:
    """The built-in objective that a loss is, as this version of XGBoost has it; None where it has none."""
    part = loss.part if isinstance(loss, Weighted) and type(loss.part) is BinaryCrossEntropy else loss
    found = [one for one in CONVENTIONS.get(type(part), ()) if one.since <= version]
    if not found:
        return None
    others = [spec for spec in fields(part) if spec.name not in found[-1].takes]
    return found[-1] if all(np.array_equal(getattr(part, spec.name), spec.default) for spec in others) else None


# ---- the adapter -------------------------------------------------------------------------------------------------


class _Way(NamedTuple):
    """How a loss is trained: the built-in objective that it is, and what is evaluated with which curvature."""

    built_in: Convention | None
    derivatives: Loss | tuple[Loss, ...]
    policy: str


@dataclass(frozen=True)
class XGBoostObjective:
    """What `xgboost.train({**a.params(dtrain), ...}, dtrain, obj=a, custom_metric=a.metric)` takes; see `Loss.xgboost`."""

    loss: Loss
    compat: str = "builtin"
    hessian: str | None = None

    def __post_init__(self):
        if self.compat not in ("builtin", "exact"):
            raise ValueError(f"compat must be 'builtin' or 'exact', found {self.compat!r}")
        _ = self._kept

    def __reduce__(self):
        """Its parameters: what was worked out belongs to this version of XGBoost."""
        return type(self), (self.loss, self.compat, self.hessian)

    def __repr__(self):
        hessian = "" if self.hessian is None else f", hessian={self.hessian!r}"
        return f"{self.loss!r}.xgboost(compat={self.compat!r}{hessian})"

    # ---- what XGBoost calls --------------------------------------------------------------------------------------

    def __call__(self, predt, dtrain):
        """(grad, hess) at raw scores, times the weights: new float32 arrays like `predt`, (n,) or (n, k) in C order.

        Raises
        ------
        ValueError : a gradient that is not finite, naming the row; a label outside the loss's domain; scores of another
            shape than the loss takes; all scores 0.5, where XGBoost starts if it was given no objective.
        TypeError : arrays of another device; what scikit-learn's interface passes.
        """
        y, w = _labels_of(dtrain)
        return self._evaluated(self._kept, y, predt, w)

    def sklearn(self, y_true, y_pred, sample_weight=None):
        """The same for `XGBRegressor(objective=a.sklearn)` and `XGBClassifier`, which keep no objective."""
        if isinstance(y_pred, xgboost.DMatrix):
            raise TypeError("y_pred is a DMatrix: a.sklearn is for XGBRegressor and XGBClassifier; xgboost.train takes a "
                            "itself, obj=a")
        return self._evaluated(self._bare, np.asarray(y_true), y_pred, sample_weight)

    def metric(self, predt, dtrain):
        """(name, the weighted mean of the loss at raw scores): less is better, and so XGBoost takes it."""
        y, w = _labels_of(dtrain)
        return self.sklearn_metric.__name__, self.sklearn_metric(y, predt, w)

    @property
    def sklearn_metric(self):
        """The same for `XGBRegressor(eval_metric=a.sklearn_metric)`."""
        return XGBoostMetric(self)

    # ---- parameters ----------------------------------------------------------------------------------------------

    def params(self, data=None, sample_weight=None, *, start=None, **more):
        """Parameters for `xgboost.train`: the objective to keep, its own parameters, the start; and `more` of XGBoost's.

        Parameters
        ----------
        data : the training DMatrix, or its labels. Without it there is no start: XGBoost's 0.5 on the scale of
            predictions, which is far from most targets; and no number of columns.
        sample_weight : (n,), with labels.
        start : "xgboost" = where the built-in objective starts; "minimum" = the constant that minimises the loss. Default:
            under `compat="builtin"` the first, but not for `PseudoHuber`: there it is a Newton step from 0 that may
            land anywhere. Else the second.
        more : returned with the rest. `num_class` may be more than the labels say.

        Raises
        ------
        ValueError : a parameter in `more` that contradicts the loss, or that XGBoost would pass over in silence; a start
            that is infinite.
        """
        y, w = _given(data, sample_weight)
        built_in, objective = self._kept.built_in, self._objective(y)
        own = {"objective": objective}
        if built_in and built_in.objective == objective:
            own |= {name: value(self.loss) for name, value in built_in.params.items()}
            if self.compat == "exact" and "max_delta_step" in own:  # XGBoost sets it if nobody else does
                own["max_delta_step"] = more.get("max_delta_step", 0.0)
        else:
            own["disable_default_eval_metric"] = 1
        self._check(own, more)
        own |= self._columns(y, w, start, self._kept, UNITS.get(objective), more.get("num_class"))
        return own | more

    def sklearn_params(self, y, sample_weight=None, *, start=None, **more):
        """Parameters for `XGBClassifier`, of losses of logits with class labels, and for `XGBRegressor` else: this
        objective, the start, and `more`.

        An XGBRegressor predicts raw scores then, whatever the loss: `loss.inverse_link` makes predictions of them.
        """
        y, w = _given(y, sample_weight)
        own = {"objective": self.sklearn}
        probabilities = self._link == "logit" and not self.loss.rowwise
        if self._link not in ("identity", "softmax") and not probabilities:
            own["disable_default_eval_metric"] = 1
        if self.compat == "builtin" and self._bare.built_in and "max_delta_step" in self._bare.built_in.params:
            own["max_delta_step"] = MAX_DELTA_STEP
        self._check(own, more)
        own |= self._columns(y, w, start, self._bare, _probability if probabilities else None, None)
        own.pop("num_class", None)  # XGBClassifier counts them
        return own | more

    def _check(self, own, more):
        """An error for a parameter that contradicts the loss, or that a custom objective makes XGBoost ignore."""
        for name in own.keys() & more.keys() - {"disable_default_eval_metric"}:
            same = name == "objective" and more[name] == SAME.get(own[name])
            if not same and not np.array_equal(np.atleast_1d(more[name]), np.atleast_1d(own[name])):
                remedy = ", or change the loss" if name != "max_delta_step" else ", or take compat='exact'"
                raise ValueError(f"{name}={more[name]!r} contradicts {self.loss!r}, for which it is {own[name]!r}: leave it "
                                 f"out{remedy}")
        if more.get("scale_pos_weight", 1) != 1:
            raise ValueError("XGBoost ignores scale_pos_weight where the objective is custom: take "
                             f"loss.weighted([1, {more['scale_pos_weight']}])")

    def _columns(self, y, w, start, way, unit, num_class):
        """base_score, and how many columns the raw scores have where the labels do not say it."""
        if y is None:
            return {"num_target": len(self.loss.columns)} if self._has_rows and self.loss.columns else {}
        raw = self._start(y, w, start, way, num_class)
        own = {"base_score": np.asarray(raw if unit is None else unit(raw), np.float32).tolist()}
        if self._has_rows:
            own["num_class" if self._objective(y).startswith("multi:") else "num_target"] = raw.size
        return own

    def _start(self, y, w, which, way, num_class=None):
        """The first raw score, or one for each column, float64."""
        if which not in (None, "xgboost", "minimum"):
            raise ValueError(f"start must be 'xgboost', 'minimum' or None, found {which!r}")
        if which == "xgboost" and way.built_in is None:
            raise ValueError(f"XGBoost has no objective like {self.loss!r}: leave start out")
        as_built_in = which == "xgboost" or (
            which is None and self.compat == "builtin" and way.built_in is not None and not way.built_in.misled)
        y = self._targets(y)
        if as_built_in:
            raw = np.asarray(way.built_in.start(self.loss, way.built_in, y, w), np.float64)
        else:
            raw = np.asarray(self.loss.init_score(_double(y), _double(w)), np.float64)
        if self._has_rows and self._link == "softmax":
            shares = np.exp(raw - raw.max())
            shares = np.append(shares / shares.sum(), np.zeros(max(0, (num_class or 0) - raw.size)))
            raw = np.log(shares + EPSILON if as_built_in else np.maximum(shares, EPSILON))
            return raw - raw.mean()
        if self._link == "logit":
            raw = np.clip(raw, -LARGEST_LOGIT, LARGEST_LOGIT)
        if not np.isfinite(raw).all():
            raise ValueError(f"the start is {raw.tolist()}: the labels are all alike, there is nothing to learn")
        return raw

    # ---- what this loss is to XGBoost ----------------------------------------------------------------------------

    @cached_property
    def _kept(self):
        """The way of `xgboost.train`, which keeps an objective."""
        return self._way(VERSION)

    @cached_property
    def _bare(self):
        """The way of scikit-learn's interface: without an objective no leaves are replaced."""
        return self._way(max(VERSION, RENEWED_BEFORE))

    def _way(self, version):
        built_in = convention(self.loss, version)
        if self.compat == "builtin" and built_in and self.hessian is None:
            return _Way(built_in, built_in.derivatives(self.loss), built_in.curvature)
        halved = self.compat == "builtin" and type(self.loss) is SquaredError
        loss = HalfSquaredError() if halved else self.loss
        if not loss.pred_domain.everything:
            raise ValueError(f"a sum of trees may be any number, and {loss.name} needs predictions {loss.pred_domain}: take "
                             "a loss of raw scores" + (", from_logits=True" if hasattr(loss, "from_logits") else ""))
        return _Way(built_in, _floored(loss), positive_policy(loss, self.hessian, "XGBoost"))

    def _objective(self, y):
        """The objective to keep for the sake of its link."""
        built_in = self._kept.built_in
        if built_in and not (self.compat == "exact" and built_in.renews):
            objective = built_in.objective
        else:
            objective = LINKED.get(self._link, RAW)
        several_targets = y is not None and y.ndim == 2
        return RAW if several_targets and objective.startswith("multi:") else objective

    @cached_property
    def _link(self):
        """The loss's link, or "own" where it makes predictions in a way of its own."""
        if not hasattr(self.loss, "prediction"):
            return self.loss.link
        row = np.array([0.0, 1.0, -2.0])
        softmax = np.exp(row) / np.exp(row).sum()
        plain = self.loss.link == "softmax" and np.allclose(self.loss.prediction(row), softmax)
        return "softmax" if plain else "own"

    @property
    def _has_rows(self):
        return self.loss.rowwise and not self.loss.single_score

    # ---- one call ------------------------------------------------------------------------------------------------

    def _evaluated(self, way, y, predt, w):
        y, f = self._targets(y), self._scores(predt)
        if f.size and f.item(0) == 0.5 and (f == 0.5).all():
            self._check_start(way, y, w)
        g, h = _grad_and_hess(way.derivatives, way.policy, y, f, w)
        if not np.isfinite(g).all():
            at = tuple(map(int, np.argwhere(~np.isfinite(g))[0]))
            raise ValueError(f"the gradient of {self.loss.name} in row {at[0]} is {g[at]}, at the raw score {f[at]}: lower "
                             "learning_rate, set max_delta_step, or scale the labels")
        return g, h

    def _check_start(self, way, y, w):
        """All scores are 0.5: where XGBoost starts without a base_score."""
        start = self._start(y, w, None, way)
        if np.allclose(start, 0.5, rtol=1e-3):
            return
        call = "params(dtrain, ...)" if way is self._kept else "sklearn_params(y, ...)"
        problem = ("XGBoost starts at a raw score of 0.5, for it estimates none for a custom objective; "
                   f"{self.loss.name} starts at {np.round(start, 4).tolist()}: take the parameters from a.{call}")
        if way is self._kept and self._link != "identity":
            raise ValueError(f"{problem}, whose objective gives predict() its link too")
        warnings.warn(problem, stacklevel=4)

    def _targets(self, y):
        """Labels as the loss takes them: classes as integers."""
        if not (self.loss.rowwise and self.loss.target in ("label", "classes") and y.ndim == 1):
            return y
        return classes(self.loss, y)

    def _scores(self, predt):
        if not isinstance(predt, np.ndarray):
            raise TypeError(f"predt is a {type(predt).__module__}.{type(predt).__name__}, and the loss is computed on the "
                            "CPU: train with device='cpu', or on a GPU with a built-in objective")
        if self._has_rows and predt.ndim != 2:
            raise ValueError(f"predt has shape {predt.shape}, and {self.loss.name} needs a row of scores for each label: "
                             "take the parameters from a.params(dtrain, ...), which say how many")
        return np.ascontiguousarray(predt, np.float32)


@dataclass(frozen=True)
class XGBoostMetric:
    """metric(y_true, y_pred, sample_weight=None): the weighted mean of the loss at raw scores."""

    objective: XGBoostObjective

    @property
    def __name__(self):
        """XGBoost maximises what is called pre..., map..., auc... or ndcg...; no name here begins so."""
        return f"mean_{self.objective.loss.name}"

    def __call__(self, y_true, y_pred, sample_weight=None):
        objective = self.objective
        return objective.loss(objective._targets(np.asarray(y_true)), objective._scores(y_pred), sample_weight)


# ---- arrays ------------------------------------------------------------------------------------------------------


def _labels_of(dtrain):
    """(labels, weights or None) of a DMatrix, float32."""
    if not isinstance(dtrain, xgboost.DMatrix):
        raise TypeError(f"dtrain is a {type(dtrain).__name__}; xgboost.train passes a DMatrix: XGBRegressor and "
                        "XGBClassifier take objective=a.sklearn")
    y, w = dtrain.get_label(), dtrain.get_weight()
    if not y.size:
        raise ValueError("dtrain has no labels: pass DMatrix(label=)")
    if w.size not in (0, len(y)):
        raise ValueError(f"dtrain has {w.size} weights for {len(y)} labels: with groups XGBoost's weights are per "
                         "group, and this loss needs one per row: leave group and qid out")
    return y, w if w.size else None


def _given(data, sample_weight):
    """(labels, weights or None) of a DMatrix or an array of labels, float32; None for none."""
    if isinstance(data, xgboost.DMatrix):
        if sample_weight is not None:
            raise ValueError("sample_weight goes with labels; a DMatrix has its own: pass DMatrix(weight=)")
        return _labels_of(data)
    return tuple(None if a is None else np.asarray(a, np.float32) for a in (data, sample_weight))


def _double(a):
    """float32 in float64, so that sums are XGBoost's; classes as they are."""
    return a.astype(np.float64) if a is not None and a.dtype == np.float32 else a


def _grad_and_hess(derivatives, policy, y, f, w):
    """New arrays like f, of one loss, or of a loss for each column."""
    if not isinstance(derivatives, tuple):
        g, h = derivatives.grad_and_hess(y, f, w, policy)
        if getattr(derivatives, "weighs_classes", False):  # where `_floored` leaves it alone
            np.maximum(h, FLOOR, out=h)
        return g, h
    g, h = np.empty_like(f), np.empty_like(f)
    scores, slopes, bends = (a.reshape(len(f), -1) for a in (f, g, h))
    targets = np.broadcast_to(y.reshape(len(y), -1), scores.shape)
    for k in range(scores.shape[1]):
        loss, column = derivatives[k % len(derivatives)], (targets[:, k], scores[:, k])
        if hasattr(loss, "scale"):
            loss = replace(loss, scale=max(RootOfError()(*column, w) ** 2, TINY))
        loss.grad_and_hess(*column, w, policy, out=(slopes[:, k], bends[:, k]))
    return g, h
