"""What a loss is: a small frozen dataclass with its formulas for one sample, and the public methods on arrays.

Numba is not imported here: formulas are plain Python, and the first call on arrays loads the rest.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import MISSING, dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

from .curvatures import host_formulas
from .domain import NON_NEGATIVE, REAL, Interval, Labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy import ndarray
    from numpy.typing import ArrayLike

    from .curvatures import Curvature
    from .scoring import Accumulator

__all__ = ["Classification", "Elementwise", "Loss", "Rowwise", "choice", "numbers", "parameter"]


def parameter(default: float | None, domain: Interval | Labels = REAL) -> Any:
    """A numeric field of a loss, its default, and where its value must lie: `delta: float = parameter(1.0, POSITIVE)`."""
    return field(default=default, metadata={"domain": domain})


def numbers(domain: Interval | Labels = REAL, *, ndim: int = 1, default: Any = MISSING) -> Any:
    """A field of a loss that is an array of numbers (`ndim` 2: a matrix), frozen when the loss is made."""
    return field(default=default, metadata={"domain": domain, "ndim": ndim})


def choice(default: str, *others: str) -> Any:
    """A field of a loss that is one of a few words: `side: str = choice("discriminator", "generator")`."""
    return field(default=default, metadata={"choices": (default, *others)})


def snake_case(name: str) -> str:
    """`SmoothL1` -> `smooth_l1`, `LeastSquaresGAN` -> `least_squares_gan`, `GemanMcClure` -> `geman_mcclure`,
    `StudentTNLL` -> `student_t_nll`, `Wasserstein1D` -> `wasserstein_1d`."""
    word = r"(?<=[a-z])(?<!Mc)(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])|(?<=[A-Z])(?=NLL$)|(?<=[a-z])(?=[0-9][A-Z])"
    return re.sub(word, "_", name).lower()


def _run(*args):
    """The first call imports the machinery (and with it Numba); later calls go there directly."""
    global _run
    from .dispatch import run as _run

    return _run(*args)


@dataclass_transform(frozen_default=True)
class Loss:
    """Base of every loss: its parameters, what is known about it as data, and its methods on arrays.

    A subclass becomes a frozen dataclass whose annotated fields are its parameters, so a loss is immutable, hashable,
    picklable and comparable. What is known about a loss stands in class attributes:

    `formula`      the value for one sample, as text
    `y_domain`     where targets may lie; anything else is an error that names the sample
    `pred_domain`  where predictions may lie
    `link`         how a raw score becomes a prediction in the target's units (see `fusedloss.links`)
    `convex`       whether the value is convex in the prediction
    `smooth`       whether the gradient is continuous in the prediction
    `strict`       whether the second derivative is positive everywhere; False: not said
    `claims`       where the rule of `fusedloss.curvatures` says the wrong thing about a curvature of this loss: by its name
                   what holds instead, {"constant": {"bounded": True}}, or None where the loss does not offer it
    `notes`        the traps: what peers do differently, what was dropped, what a zero Hessian means
    `peers`        the same loss elsewhere, by its name there
    """

    name: ClassVar[str]
    rowwise: ClassVar[bool] = False
    by_data: ClassVar[bool] = False
    """Whether a parameter is worked out from the targets of each call, or differs from column to column."""
    formula: ClassVar[str] = ""
    y_domain: ClassVar[Interval | Labels] = REAL
    pred_domain: ClassVar[Interval | Labels] = REAL
    link: ClassVar[str] = "identity"
    convex: ClassVar[bool] = True
    smooth: ClassVar[bool] = True
    strict: ClassVar[bool] = False
    claims: ClassVar[Mapping[str, Mapping[str, bool] | None]] = MappingProxyType({})
    notes: ClassVar[str] = ""
    peers: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.name = snake_case(cls.__name__)
        for name, formula in host_formulas(cls).items():
            setattr(cls, name, formula)
        dataclass(frozen=True, eq=False)(cls)

    def __post_init__(self):
        for spec in fields(self):
            value = getattr(self, spec.name)
            where = f"{type(self).__name__}: {spec.name}"
            if choices := spec.metadata.get("choices"):
                if value not in choices:
                    raise ValueError(f"{where} must be one of {', '.join(map(repr, choices))}, found {value!r}")
            elif isinstance(spec.default, bool):
                if not isinstance(value, bool):
                    raise TypeError(f"{where} must be True or False, found {value!r}")
            elif value is None and spec.default is None:
                continue
            elif ndim := spec.metadata.get("ndim"):
                object.__setattr__(self, spec.name, _frozen(where, value, ndim, spec.metadata["domain"]))
            elif "checked" not in spec.metadata:
                object.__setattr__(self, spec.name, _number(where, value, spec.metadata.get("domain", REAL)))

    def __getstate__(self):
        """The parameters alone: what was compiled for this object stays in this process."""
        return {spec.name: getattr(self, spec.name) for spec in fields(self)}

    def _kept(self, name):
        """The dictionary of that name that stays with this object: kernels, plans, tables on a device."""
        found = self.__dict__.get(name)
        return self.__dict__.setdefault(name, {}) if found is None else found

    def __setstate__(self, state):
        for value in state.values():
            if hasattr(value, "setflags"):
                value.setflags(write=False)
        self.__dict__.update(state)

    def _identity(self):
        values = (getattr(self, spec.name) for spec in fields(self))
        return type(self), *[(x.shape, x.tobytes()) if hasattr(x, "tobytes") else x for x in values]

    def __eq__(self, other):
        if not isinstance(other, Loss):
            return NotImplemented
        return self is other or self._identity() == other._identity()

    def __hash__(self):
        return hash(self._identity())

    # ---- one value -------------------------------------------------------------------------------------------

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, reduction: str = "mean",
                 *, mask: ArrayLike | None = None, n_threads: int | None = None, executor: str = "auto",
                 nulls: str = "raise", copy: bool = True) -> Any:
        """The reduced value, a float (for `reduction="none"` the array of `elementwise`).

        Parameters
        ----------
        y_true : array of any real, integer or bool dtype, shaped like `y_pred`, or one number for all samples.
        y_pred : array, (n,) or (n, k); the raw score unless the loss says otherwise. float32 and float64 are computed
            in their own dtype (sums always in float64), float16 in float32, integers and bools in float64.
        sample_weight : array (n,) or shaped like `y_pred`, not negative; 0 takes a sample out entirely, its NaN included.
        reduction : "mean" = sum(w*l) / sum(w); "sum" = sum(w*l); "none" = w*l;
            "sum_over_batch_size" = sum(w*l) / number of samples that are not masked.
        mask : bool array (n,) or shaped like `y_pred`; True takes a sample out entirely.
        n_threads : at most so many threads; default: what the machine and the environment allow.
        executor : "auto", "numba", "threads" or "serial"; all of them give the same bits.
        nulls : of Arrow, polars and pandas: "raise", or "ignore": a sample with a null is taken out, and null in the result.
        copy : False: an error where an argument cannot be read where it lies.

        Arrays may be of NumPy, pandas, polars, Arrow, xarray, torch and JAX; what comes back per sample is of the kind of
        `y_pred`. Samples are paired by position.

        Raises
        ------
        ValueError, TypeError : naming the argument, the first offending index and value, and the remedy. After an
            error about a value inside the data the contents of `out` are unspecified.
        """
        return _run(self, "value", y_true, y_pred, sample_weight, mask, reduction, None, None, n_threads, executor, nulls,
                    copy)

    def elementwise(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, *,
                    mask: ArrayLike | None = None, out: ndarray | None = None, n_threads: int | None = None,
                    executor: str = "auto", nulls: str = "raise", copy: bool = True) -> ndarray:
        """The values w*l, one per sample, in the dtype of the computation. `out` is written and returned if given."""
        return _run(self, "elementwise", y_true, y_pred, sample_weight, mask, "none", None, out, n_threads, executor, nulls,
                    copy)

    def grad(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, reduction: str = "mean", *,
             mask: ArrayLike | None = None, out: ndarray | None = None, n_threads: int | None = None, executor: str = "auto",
             nulls: str = "raise", copy: bool = True) -> ndarray:
        """The gradient of the reduced value with respect to `y_pred`; per sample, times w, for `reduction="none"`."""
        return _run(self, "grad", y_true, y_pred, sample_weight, mask, reduction, None, out, n_threads, executor, nulls,
                    copy)

    def value_and_grad(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None,
                       reduction: str = "mean", *, mask: ArrayLike | None = None, out: ndarray | None = None,
                       n_threads: int | None = None, executor: str = "auto", nulls: str = "raise",
                       copy: bool = True) -> tuple[Any, ndarray]:
        """The reduced value and its gradient, in one pass. `out` is the gradient's array."""
        return _run(self, "value_and_grad", y_true, y_pred, sample_weight, mask, reduction, None, out,
                    n_threads, executor, nulls, copy)

    def grad_and_hess(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None,
                      hessian: str = "exact", *, mask: ArrayLike | None = None, out: tuple[ndarray, ndarray] | None = None,
                      n_threads: int | None = None, executor: str = "auto", nulls: str = "raise",
                      copy: bool = True) -> tuple[ndarray, ndarray]:
        """Gradient and Hessian diagonal per sample, times w and not reduced: the convention of gradient boosting.

        `hessian` is one of `curvatures`: "exact", the second derivative; "majorizer", whose parabola lies above the loss;
        "fisher", its mean over targets drawn from the model (of a CRPS its metric); "gauss_newton", without the curvature of
        the link; "bounded", at least |g|; "constant", a number that is never exceeded; "xgboost", "xgboost_3.5" and
        "lightgbm", what these libraries' own objectives divide by. `out` is the pair of arrays (grad, hess).
        """
        return _run(self, "grad_and_hess", y_true, y_pred, sample_weight, mask, "none", hessian, out,
                    n_threads, executor, nulls, copy)

    def value_grad_hess(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None,
                        reduction: str = "mean", *, hessian: str = "exact", mask: ArrayLike | None = None,
                        out: tuple[ndarray, ndarray] | None = None, n_threads: int | None = None, executor: str = "auto",
                        nulls: str = "raise", copy: bool = True) -> tuple[Any, ndarray, ndarray]:
        """The reduced value, its gradient and the diagonal of its Hessian, in one pass. `out` is (grad, hess)."""
        return _run(self, "value_grad_hess", y_true, y_pred, sample_weight, mask, reduction, hessian, out,
                    n_threads, executor, nulls, copy)

    def param_grad(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None,
                   reduction: str = "mean", *, mask: ArrayLike | None = None, n_threads: int | None = None,
                   executor: str = "auto", nulls: str = "raise", copy: bool = True) -> dict[str, Any]:
        """The derivatives of the reduced value with respect to the loss's own parameters: {"alpha": ..., ...}."""
        names = [name.removeprefix("gradient_") for name in dir(self) if name.startswith("gradient_")]
        if not names:
            raise ValueError(f"{self}: no derivative with respect to a parameter is defined; "
                             "give the class a formula gradient_<parameter>(self, y, f)")
        return {name: _run(self, f"gradient_{name}", y_true, y_pred, sample_weight, mask, reduction, None, None,
                           n_threads, executor, nulls, copy) for name in names}

    def hvp(self, y_true: ArrayLike, y_pred: ArrayLike, v: ArrayLike, sample_weight: ArrayLike | None = None,
            reduction: str = "mean", *, mask: ArrayLike | None = None, out: ndarray | None = None,
            n_threads: int | None = None, executor: str = "auto", nulls: str = "raise", copy: bool = True) -> ndarray:
        """The Hessian of the reduced value with respect to `y_pred`, times `v`, an array shaped like `y_pred`."""
        return _run(self, "hvp", y_true, y_pred, sample_weight, mask, reduction, "exact", out, n_threads, executor, nulls,
                    copy, v)

    @functools.cached_property
    def curvatures(self) -> Mapping[str, Curvature]:
        """What `hessian=` may be for this loss, and what each guarantees: is it positive, does its parabola lie above the
        loss, is the Newton value of a leaf bounded? `fusedloss.curvatures` says what they are."""
        from .curvatures import guarantees

        return MappingProxyType(guarantees(self))

    # ---- constants and links ---------------------------------------------------------------------------------

    def init_score(self, y_true: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """The constant raw score that minimises the loss over `y_true`: a float, or (k,) floats for (n, k) targets.

        For row losses the row of raw scores, (C,); of class labels C is the largest label plus one.

        Where every point of an interval minimises it (a median of two values), the middle of the interval.
        """
        from .init_score import minimising_constant

        return minimising_constant(self, y_true, sample_weight)

    def leaf_value(self, y_true: ArrayLike, y_pred: ArrayLike, leaf_ids: ArrayLike,
                   sample_weight: ArrayLike | None = None) -> ndarray:
        """For each leaf of a tree the constant that minimises the loss when it is added to the leaf's raw scores.

        The d_k that minimise sum(w * l(y, y_pred + d_k)) over the samples with leaf_ids = k: weighted medians and
        quantiles by selection, all else by a safeguarded Newton's method for all leaves at once, in O(n).

        Parameters
        ----------
        y_true : (n,) targets. y_pred : (n,) raw scores so far. leaf_ids : (n,) integers >= 0.
        sample_weight : (n,), not negative; 0 takes a sample out.

        Returns
        -------
        (largest id + 1,) floats; 0 for a leaf without samples of any weight. Where a whole interval minimises the loss:
        of losses of a quantile its middle, else the point nearest to 0. Where the loss falls for ever +-inf (logits of a
        leaf of one class), or the step to the end of the predictions' domain. NaN where a sample is NaN. Of a loss that is
        not convex a minimum downhill from 0.

        Raises
        ------
        ValueError, TypeError : naming the argument and the remedy; for losses of rows of scores.
        """
        from .leaves import leaf_values

        return leaf_values(self, y_true, y_pred, leaf_ids, sample_weight)

    def inverse_link(self, raw: ArrayLike) -> ndarray:
        """Raw scores -> predictions in the target's units (probabilities, means), an array like `raw`.

        For a loss with named columns: its parameters without the logarithms, in the same columns.
        """
        from .links import inverse

        return inverse(self, raw)

    # ---- combinations ----------------------------------------------------------------------------------------

    def __add__(self, other: Loss) -> Loss:
        """The sum of two losses, compiled into one loop: `0.7 * Huber() + 0.3 * Pinball(0.9)`."""
        if isinstance(other, (int, float)) and other == 0:  # where `sum` starts
            return self
        if not isinstance(other, Loss):
            return NotImplemented
        from .combine import Sum, made

        return made(Sum, self, other)

    __radd__ = __add__

    def __mul__(self, factor: float) -> Loss:
        """The loss times a number."""
        if isinstance(factor, bool) or (not isinstance(factor, (int, float)) and not hasattr(factor, "__float__")):
            return NotImplemented
        from .combine import multiple

        return multiple(self, factor)

    __rmul__ = __mul__

    def __sub__(self, other: Loss) -> Loss:
        return self + -1.0 * other

    def __neg__(self) -> Loss:
        return -1.0 * self

    def terms(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None,
              reduction: str = "mean", *, mask: ArrayLike | None = None) -> dict[str, float]:
        """What each term of a sum contributes to its value, in one pass over the arrays: {"0.7 * Huber()": ..., ...}.

        The contributions add up to the value. A loss that is no sum has one term, itself.
        """
        from .combine import terms

        return terms(self, y_true, y_pred, sample_weight, reduction, mask)

    def scaled(self, by: float | ArrayLike | str) -> Loss:
        """l(y / s, f / s): the loss of targets and predictions in units of s.

        `by`: a number; an array with one for every column of (n, k) predictions, whose units differ; or "std" or "mad", the
        standard deviation or 1.4826 times the median absolute deviation of the targets of each call (by `sample_weight`),
        of each column its own.
        """
        from .combine import scaled

        return scaled(self, by)

    def clipped(self, limit: float) -> Loss:
        """min(l, limit): no sample costs more than `limit` > 0; beyond it gradient and Hessian are 0."""
        from .combine import Clipped, made

        return made(Clipped, self, limit)

    def smoothed(self, smoothing: float = 0.1) -> Loss:
        """The loss of smoothed labels, y (1 - smoothing) + smoothing / (number of classes); Szegedy et al. 2016.

        For losses that take probabilities as targets.
        """
        from .combine import Smoothed, made

        return made(Smoothed, self, smoothing)

    def focal(self, gamma: float = 2.0) -> Loss:
        """(1 - e^-l)^gamma l: less weight for samples that are predicted well; Lin et al. 2017. For negative
        log-likelihoods of classes, whose e^-l is the probability of the right one."""
        from .combine import Focal, made

        return made(Focal, self, gamma)

    def weighted(self, class_weight: ArrayLike | dict[int, float] | str) -> Loss:
        """The loss with weights for classes. Of rows of scores: with this `class_weight=`. Of one score: the loss of class 0
        times its weight, that of class 1 times its own; an array of two or a dictionary."""
        from .combine import weighted

        return weighted(self, class_weight)

    def curved(self, factor: float = 1.0, floor: float = 0.0) -> Loss:
        """The loss with max(factor h, floor) in place of every curvature h that `hessian=` may ask for."""
        from .combine import Curved, made

        return made(Curved, self, factor, floor)

    def numba(self) -> Any:
        """The formulas for use inside your own `@njit` functions: a named tuple (value, gradient, hessian).

        Each is a function of one target and one prediction, with this loss's parameters as constants. It is inlined, in
        float32 if the prediction is (literals too), else in float64, and SIMD where your loop is. NaN in, NaN out; domains
        are not checked. `hessian` is None for a loss without. TypeError for a row loss.

        >>> value = fusedloss.Huber(delta=1.35).numba().value
        >>> @numba.njit
        ... def total(y, f):
        ...     s = 0.0
        ...     for i in range(y.size):
        ...         s += value(y[i], f[i])
        ...     return s
        """
        from .compile import inlined

        return inlined(self)

    # ---- streams ---------------------------------------------------------------------------------------------

    def accumulator(self, worst: int = 5) -> Accumulator:
        """For data that comes in parts: `acc = loss.accumulator()`, then `acc.update(y_true, y_pred)` with each of them.

        `acc.result()` is the row that `fusedloss.score` has, with the mean and its standard error; `acc.worst` has the
        `worst` samples of the largest values. `a + b` adds accumulators of other workers; they are picklable, and
        `acc.to_dict()` is plain data for JSON. ValueError for a loss that needs all targets at once: class weights,
        `ignore_index`, scales taken from the data.
        """
        from .scoring import Accumulator

        return Accumulator(self, worst)

    # ---- words -----------------------------------------------------------------------------------------------

    def describe(self) -> str:
        """Formula, domains, parameters, traps and peers' names, as text for a person."""
        from .describe import describe

        return describe(self)

    # ---- hosts -----------------------------------------------------------------------------------------------

    def catboost(self, compat: str = "builtin", hessian: str | None = None) -> Any:
        """The loss for CatBoost: `a = loss.catboost()`, then `CatBoost(a.params(X.shape[1], depth=4)).fit(X, y)`.

        `a` is the `loss_function`, `a.metric` the `eval_metric` (the mean loss), `a.params(n_features, **more)` both, how
        leaf values are found, and `more`; `a.baseline(y, sample_weight)` is where to start, for `Pool(baseline=)`.

        Parameters
        ----------
        compat : "builtin": the conventions of CatBoost's own loss of this kind, so that the models are the same (of
            `SquaredError` half the derivatives; start at 0 but for RMSE, MAE, Quantile and MAPE). "exact", and losses that
            CatBoost does not have: a curvature that is positive everywhere, and `init_score` as start.
        hessian : another one of `curvatures`, not negative, for leaf values by Newton's method.

        Raises
        ------
        ValueError : row losses, which CatBoost would call for every single row; scales taken from the data; an unknown
            compat or hessian, or a hessian that may be negative. In training, as CatBoostError: a target outside the loss's
            domain; derivatives that are NaN or infinite; more classes than two.
        """
        from .hosts.catboost import CatBoostObjective

        return CatBoostObjective(self, compat, hessian)

    def scipy(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, l2: float = 0.0,
              fit_intercept: bool = True, *, n_outputs: int | None = None) -> Any:
        """The loss of a linear model as an objective of `scipy.optimize.minimize`: `minimize(o, o.x0(), jac=True)`.

        `o(theta)` is (value, gradient), a float and a float64 array like theta; the value is
        sum(w*l) / sum(w) + l2/2 * (sum of the squared coefficients, without the intercept). `o.x0()` has coefficients 0
        and the intercept at `init_score`; `o.hessp(theta, v)` is the Hessian times v, for the methods that take `hessp=`.

        Parameters
        ----------
        X : array (n, d) or SciPy matrix in CSR format, float32 or float64; the scores are computed in its dtype, and X is
            read once a call. `fusedloss.LinearObjective` is the same with more to ask for.
        y : array (n,), or what the loss takes as targets of n predictions.
        sample_weight : array (n,), not negative.
        l2 : not negative.
        fit_intercept : the intercept is the last element of theta, (d + 1,). Of row losses theta is the matrix
            (d + 1, C) in C order, the intercepts its last row.
        n_outputs : C of a row loss, where more than the largest label plus one, or not known from the loss and y.

        Raises
        ------
        ValueError, TypeError : naming the argument, what was found, and the remedy.
        """
        from .hosts.scipy import ScipyObjective

        return ScipyObjective(self, X, y, sample_weight, l2, fit_intercept, n_outputs)

    def sklearn_scorer(self, response_method: str | None = None) -> Any:
        """Minus the mean loss as a scorer: for `scoring=` of `cross_val_score`, `GridSearchCV` and their like.

        `scorer(estimator, X, y, sample_weight=None)` is a float, and greater is better. `response_method`:

        "predict_proba"      the default where raw scores stand for probabilities: the link is undone, or the loss on
                             probabilities is taken where it has one (`from_logits=False`). Nothing is clipped.
        "decision_function"  raw scores as they are, if the estimator's are on this loss's scale; the default for margins
                             (hinge) and wherever probabilities do not determine the scores
        "predict"            predictions in the target's units; the default of regression. A log link is undone.

        Class labels may be anything: they become positions in `estimator.classes_`, and so do the keys of the loss's
        `class_weight`. Of two classes the second is the positive one.

        Raises
        ------
        ValueError : no estimator gives what the loss takes (a distribution's parameters, rows of probabilities as
            targets), or the response method does not. When called, what `SklearnScorer.__call__` says.
        """
        from .hosts.sklearn import SklearnScorer

        return SklearnScorer(self, response_method)

    def torch(self, reduction: str = "mean") -> Any:
        """The loss as a `torch.nn.Module`: `module(input, target, weight=None)`, in torch's order of arguments.

        Parameters
        ----------
        reduction : "mean" = sum(w*l) / sum(w), "sum" = sum(w*l), "none" = w*l per sample (per row, of row losses).

        `input` holds the predictions, `target` what the loss takes as targets (labels in any integer dtype), `weight` one
        weight per sample, unlike torch's (weights of classes are the loss's `class_weight`). All are dense tensors on the
        CPU, read without a copy; input of any floating dtype. The result has the dtype of input.
        The gradient, with respect to input alone, is computed in the forward pass, where input requires it.

        Raises
        ------
        ImportError : without PyTorch. When called, TypeError or ValueError: another device, dtype or layout; a target
            or weight that requires grad; what the loss raises. RuntimeError: a second derivative.
        """
        from .hosts.torch import TorchLoss

        return TorchLoss(self, reduction)

    def jax(self) -> Any:
        """The mean loss as a function for JAX: `f(y_true, y_pred, sample_weight=None)`, a scalar of y_pred's dtype.

        Under `jit`, `grad`, `value_and_grad` and `vmap` it gives the right numbers by calling back to the host, which
        costs what a callback costs: it is there to use a loss, not to be fast. y_pred is float16, float32 or float64;
        JAX makes 64 bits 32 unless `jax_enable_x64` is set.

        Raises
        ------
        ImportError : without JAX. When called, ValueError: y_true or sample_weight is differentiated. What the loss
            raises about values comes as JAX's runtime error, with the message in it.
        """
        from .hosts.jax import JaxLoss

        return JaxLoss(self)

    def xgboost(self, compat: str = "builtin", hessian: str | None = None) -> Any:
        """The loss for XGBoost: `xgboost.train(a.params(dtrain, max_depth=6), dtrain, obj=a, custom_metric=a.metric)`.

        `a.params(dtrain)` has the objective to keep, which makes predictions of raw scores and names the saved model, the
        start, and what else belongs to the loss; `a.metric` is the mean loss, which early stopping minimises. For
        scikit-learn's interface `XGBRegressor(**a.sklearn_params(y))` (`XGBClassifier` for losses of logits with class
        labels) and `eval_metric=a.sklearn_metric`.

        Parameters
        ----------
        compat : "builtin": the derivatives, start and parameters of XGBoost's own objective of this kind, as the installed
            version has it, so that the models are the same (of `SquaredError` half the derivatives). "exact", and losses
            that XGBoost does not have: our derivatives, and the constant that minimises the loss as start.
        hessian : another one of `curvatures`; default: the built-in's, or else the first one that is positive of "exact",
            "gauss_newton", "fisher", "majorizer", "bounded" and "constant". At least 1e-16 is handed over.

        Raises
        ------
        ImportError : without XGBoost, or with one before 3.2.
        ValueError : an unknown compat or hessian, a loss without positive curvature, or one whose predictions cannot be any
            number; or what the methods of the result say.
        """
        from .hosts.xgboost import XGBoostObjective

        return XGBoostObjective(self, compat, hessian)

    def lightgbm(self, compat: str = "builtin", hessian: str | None = None, *, sigmoid: float = 1.0,
                 is_unbalance: bool = False, n_threads: int = 1) -> Any:
        """The loss as LightGBM's `objective`: `lightgbm.train(a.params(...), dataset, feval=a.metric)`.

        The training set starts at `init_score=a.init_score(y, weight)`, validation sets at `a.valid_init_score(n)`, and
        `a.finalize(booster)` puts the start value and the link into the model, so that its `predict()` needs neither.
        `LGBMRegressor(objective=a.sklearn, metric="None")` and `fit(eval_metric=a.sklearn_metric)` take the same object.

        Parameters
        ----------
        compat : "builtin" = LightGBM's own convention, curvature and start included, where it has this loss as an
            objective; its leaves of absolute and quantile errors, which it renews for built-in objectives alone, are grown
            with a smoothed gradient instead. "exact" = our derivatives, and the minimising constant as start.
        hessian : one of `curvatures`; default: the built-in's, or else the first one that is positive of "exact",
            "gauss_newton", "fisher", "majorizer", "bounded" and "constant". At least 1e-16 is handed over.
        sigmoid : of losses of logits: their slope, as LightGBM's parameter of this name.
        is_unbalance : weigh the rarer of two classes up to the other's number of samples, as LightGBM's parameter does.
        n_threads : for gradient and Hessian, while LightGBM's own threads wait.

        Raises
        ------
        ValueError : the loss has a row of targets, or no positive curvature; or what the methods of the result say.
        """
        from .hosts.lightgbm import LightGBMObjective

        return LightGBMObjective(self, compat, hessian, sigmoid, is_unbalance, n_threads)


class Elementwise(Loss):
    """A loss of one prediction and one target at a time: subclass it and write the formulas for one sample.

    >>> class Cauchy2(Elementwise):
    ...     '''Squared error that grows like a logarithm.'''
    ...     c: float = 1.0
    ...     def value(self, y, f):
    ...         return 0.5 * self.c**2 * log1p(((f - y) / self.c) ** 2)
    ...     def gradient(self, y, f):
    ...         return (f - y) / (1 + ((f - y) / self.c) ** 2)

    `value(self, y, f)`, `gradient(self, y, f)` and `hessian(self, y, f)` are plain Python on one sample; mathematical
    functions come from `fusedloss.vecmath`. Optional: `majorizer(self, y, f)`, `fisher_diagonal(self, y, f)`,
    `gauss_newton(self, y, f)` (of a loss that is not convex), `largest_curvature(self, y, f)` (the same for all f),
    `gradient_<parameter>(self, y, f)`, `optimum(self, mean)` (the minimising raw score, given the weighted mean of the
    targets).
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "gradient") and hasattr(cls, "hessian"):
            cls.bounded_curvature = _bounded(cls.gradient, cls.hessian)


def _bounded(gradient, hessian):
    """The formula behind hessian="bounded": like any formula it can read no formula from `self`, so it encloses them."""

    def bounded_curvature(self, y, f):
        return max(hessian(self, y, f), abs(gradient(self, y, f)))

    return bounded_curvature


class Rowwise(Loss):
    """A loss of one row of predictions and its target: subclass it and write the formulas for one row.

    `y_pred` is (n, C) then: a sample is a row. What a target is stands in `target`:

    "label"    a class, 0 ... C - 1, of any integer dtype: `y` is that number
    "classes"  a label, or a row of C probabilities: `y` is the number or the row (`at` and `onehot` take either)
    "row"      C numbers: `y` is a row
    "number"   one number: `y` is it

    `value(self, y, f)` returns a number; `gradient(self, y, f)` and `hessian(self, y, f)` (the diagonal) return rows.
    They are written with the operators and functions of `fusedloss.rowmath`, which act on whole rows, and run
    uncompiled on NumPy arrays:

    >>> class Spread(Rowwise):
    ...     target = "number"
    ...     def value(self, y, f):
    ...         return total((f - y) ** 2)
    ...     def gradient(self, y, f):
    ...         return 2.0 * (f - y)
    >>> Spread().value(1.0, numpy.array([1.0, 3.0]))
    4.0

    Optional: `majorizer(self, y, f)`, a row; `hessian_times(self, y, f, v)`, the Hessian times a row v;
    `fisher_diagonal(self, y, f)`, `gauss_newton(self, y, f)` and `largest_curvature(self, y, f)`, rows;
    `natural_gradient(self, y, f)`, a row; `gradient_<parameter>(self, y, f)`, a number, or a row for a parameter that
    is an array.

    `columns` names the columns where the loss fixes them ("location", "log_scale"); the formula takes them apart by
    `mu, s = f` and returns `stack(...)`.
    """

    rowwise = True
    target: ClassVar[str] = "number"
    columns: ClassVar[tuple[str, ...]] = ()
    unknown_targets: ClassVar[bool] = False
    """Whether NaN in a row of targets means "unknown" to the formulas, and is not passed on to the result."""
    single_score: ClassVar[bool] = False
    """Whether a prediction is one number although there are classes: `y_pred` is (n,), and rows are as long as the loss's
    array parameters."""

    def bounded_curvature(self, y, f):
        """The formula behind hessian="bounded"."""
        from .rowmath import maximum

        return maximum(self.hessian(y, f), abs(self.gradient(y, f)))

    def n_classes(self, columns: int) -> int:
        """How many classes there are when `y_pred` has so many columns: labels lie below."""
        return columns

    def hess_blocks(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, *,
                    mask: ArrayLike | None = None, n_threads: int | None = None, executor: str = "auto",
                    nulls: str = "raise", copy: bool = True) -> ndarray:
        """The Hessian of every row, (n, C, C), per sample and times w: what a Newton step for all columns needs.

        One pass over the predictions for each of the C columns.
        """
        return _run(self, "hess_blocks", y_true, y_pred, sample_weight, mask, "none", None, None, n_threads, executor, nulls,
                    copy)

    def natural_grad(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, *,
                     mask: ArrayLike | None = None, out: ndarray | None = None, n_threads: int | None = None,
                     executor: str = "auto", nulls: str = "raise", copy: bool = True) -> ndarray:
        """The natural gradient per sample, times w: the gradient times the inverse of the Fisher information (for a CRPS:
        of the metric it induces) at `y_pred`. Amari, "Natural gradient works efficiently in learning", 1998."""
        return _run(self, "natural_grad", y_true, y_pred, sample_weight, mask, "none", None, out, n_threads, executor, nulls,
                    copy)


class Classification(Rowwise):
    """A loss of one row of scores and the class it belongs to.

    `class_weight` multiplies the weight of every sample of a class: an array of one weight per class, a dictionary
    {label: weight} (1 for a label not in it), "balanced" (n / (K n_k), n_k the number of samples of class k among the n
    that are not taken out, K the number of classes that occur) or "effective_number" ((1 - b) / (1 - b^n_k), b = 0.9999,
    made to sum to K; Cui et al. 2019); both are worked out from `y_true` at each call. A row of
    probabilities weighs sum_k y_k class_weight_k.
    `ignore_index`: a sample with this label is taken out, like a masked one. None: every label must be a class.
    """

    target = "label"
    weighs_classes: ClassVar[bool] = False
    """Whether the formulas use `self.class_weights`, a row, themselves; else they multiply the sample's weight."""
    rows_weigh_one: ClassVar[bool] = False
    """Whether a row of probabilities counts as one sample in a mean whatever the weights of its classes, as in torch."""
    class_weight: Any = field(default=None, kw_only=True, metadata={
        "checked": "an array, a dict, 'balanced', 'effective_number' or None"})
    ignore_index: int | None = field(default=None, kw_only=True, metadata={"checked": "a label or None"})

    def __post_init__(self):
        super().__post_init__()
        where, weight = type(self).__name__, self.class_weight
        if isinstance(weight, str):
            if weight not in ("balanced", "effective_number"):
                raise ValueError(f"{where}: class_weight must be an array, a dict, 'balanced' or 'effective_number', "
                                 f"found {weight!r}")
        elif isinstance(weight, dict):
            items = [(_label(f"{where}: a key of class_weight", k), _number(f"{where}: class_weight[{k!r}]", v,
                                                                          NON_NEGATIVE)) for k, v in weight.items()]
            object.__setattr__(self, "class_weight", tuple(sorted(items)))
        elif weight is not None and not _is_items(weight):
            object.__setattr__(self, "class_weight", _frozen(f"{where}: class_weight", weight, 1, NON_NEGATIVE))
        if self.ignore_index is not None:
            object.__setattr__(self, "ignore_index", _label(f"{where}: ignore_index", self.ignore_index))


def _is_items(weight):
    """Whether this is a dictionary of class weights as it is kept: a tuple of pairs."""
    return isinstance(weight, tuple) and bool(weight) and all(isinstance(item, tuple) for item in weight)


def _label(where, value):
    """A class label as an int."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{where} must be a whole number, found {value!r}")
    return value.__index__()


def _frozen(where, values, ndim, domain):
    """A read-only float64 copy of an array parameter, or an error that says what is wrong with it."""
    import numpy as np

    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{where} must be an array of numbers, found {values!r}") from None
    if array.ndim != ndim or array.size == 0:
        raise ValueError(f"{where} must be an array with {ndim} dimension{'s' * (ndim > 1)} and at least one number, "
                         f"found shape {array.shape}")
    wrong = np.argwhere(~np.isfinite(array) | domain.outside(array))
    if wrong.size:
        at = tuple(map(int, wrong[0]))
        raise ValueError(f"{where}[{', '.join(map(str, at))}] must be {domain} and finite, found {array[at].item()!r}")
    array.setflags(write=False)
    return array


def _number(where, value, domain):
    """`value` as a float inside `domain`, or an error that says what is wrong with it."""
    if isinstance(value, (bool, str, bytes, complex)):
        raise TypeError(f"{where} must be a number, found {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{where} must be a number, found {value!r}") from None
    if not math.isfinite(number) or domain.outside(number):
        raise ValueError(f"{where} must be {domain} and finite, found {value!r}")
    return number
