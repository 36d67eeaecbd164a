"""What a loss is: a small frozen dataclass with its formulas for one sample, and the public methods on arrays.

Numba is not imported here: formulas are plain Python, and the first call on arrays loads the rest.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

from .domain import REAL, Interval, Labels

if TYPE_CHECKING:
    from numpy import ndarray
    from numpy.typing import ArrayLike

__all__ = ["Elementwise", "Loss", "choice", "parameter"]


def parameter(default: float | None, domain: Interval | Labels = REAL) -> Any:
    """A numeric field of a loss, its default, and where its value must lie: `delta: float = parameter(1.0, POSITIVE)`."""
    return field(default=default, metadata={"domain": domain})


def choice(default: str, *others: str) -> Any:
    """A field of a loss that is one of a few words: `side: str = choice("discriminator", "generator")`."""
    return field(default=default, metadata={"choices": (default, *others)})


def snake_case(name: str) -> str:
    """`SmoothL1` -> `smooth_l1`, `LeastSquaresGAN` -> `least_squares_gan`, `GemanMcClure` -> `geman_mcclure`."""
    return re.sub(r"(?<=[a-z0-9])(?<!Mc)(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _run(*args):
    """The first call imports the machinery (and with it Numba); later calls go there directly."""
    global _run
    from .evaluate import run as _run

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
    `notes`        the traps: what peers do differently, what was dropped, what a zero Hessian means
    `peers`        the same loss elsewhere, by its name there
    """

    name: ClassVar[str]
    formula: ClassVar[str] = ""
    y_domain: ClassVar[Interval | Labels] = REAL
    pred_domain: ClassVar[Interval | Labels] = REAL
    link: ClassVar[str] = "identity"
    convex: ClassVar[bool] = True
    smooth: ClassVar[bool] = True
    notes: ClassVar[str] = ""
    peers: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.name = snake_case(cls.__name__)
        dataclass(frozen=True)(cls)

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
            elif not (value is None and spec.default is None):
                object.__setattr__(self, spec.name, _number(where, value, spec.metadata.get("domain", REAL)))

    def __getstate__(self):
        """The parameters alone: what was compiled for this object stays in this process."""
        return {spec.name: getattr(self, spec.name) for spec in fields(self)}

    # ---- one value -------------------------------------------------------------------------------------------

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None,
                 reduction: str = "mean", *, mask: ArrayLike | None = None, n_threads: int | None = None,
                 executor: str = "auto") -> Any:
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

        Raises
        ------
        ValueError, TypeError : naming the argument, the first offending index and value, and the remedy. After an
            error about a value inside the data the contents of `out` are unspecified.
        """
        return _run(self, "value", y_true, y_pred, sample_weight, mask, reduction, None, None, n_threads, executor)

    def elementwise(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None, *,
                    mask: ArrayLike | None = None, out: ndarray | None = None, n_threads: int | None = None,
                    executor: str = "auto") -> ndarray:
        """The values w*l, one per sample, in the dtype of the computation. `out` is written and returned if given."""
        return _run(self, "elementwise", y_true, y_pred, sample_weight, mask, "none", None, out, n_threads, executor)

    def grad(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None,
             reduction: str = "mean", *, mask: ArrayLike | None = None, out: ndarray | None = None,
             n_threads: int | None = None, executor: str = "auto") -> ndarray:
        """The gradient of the reduced value with respect to `y_pred`; per sample, times w, for `reduction="none"`."""
        return _run(self, "grad", y_true, y_pred, sample_weight, mask, reduction, None, out, n_threads, executor)

    def value_and_grad(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None,
                       reduction: str = "mean", *, mask: ArrayLike | None = None, out: ndarray | None = None,
                       n_threads: int | None = None, executor: str = "auto") -> tuple[Any, ndarray]:
        """The reduced value and its gradient, in one pass. `out` is the gradient's array."""
        return _run(self, "value_and_grad", y_true, y_pred, sample_weight, mask, reduction, None, out,
                    n_threads, executor)

    def grad_and_hess(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None,
                      hessian: str = "exact", *, mask: ArrayLike | None = None,
                      out: tuple[ndarray, ndarray] | None = None, n_threads: int | None = None,
                      executor: str = "auto") -> tuple[ndarray, ndarray]:
        """Gradient and Hessian diagonal per sample, times w and not reduced: the convention of gradient boosting.

        `hessian` is "exact" or "majorizer" (a positive curvature whose parabola lies above the loss, where the loss
        has one). `out` is the pair of arrays (grad, hess).
        """
        return _run(self, "grad_and_hess", y_true, y_pred, sample_weight, mask, "none", hessian, out,
                    n_threads, executor)

    def value_grad_hess(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None,
                        reduction: str = "mean", *, hessian: str = "exact", mask: ArrayLike | None = None,
                        out: tuple[ndarray, ndarray] | None = None, n_threads: int | None = None,
                        executor: str = "auto") -> tuple[Any, ndarray, ndarray]:
        """The reduced value, its gradient and the diagonal of its Hessian, in one pass. `out` is (grad, hess)."""
        return _run(self, "value_grad_hess", y_true, y_pred, sample_weight, mask, reduction, hessian, out,
                    n_threads, executor)

    def param_grad(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None,
                   reduction: str = "mean", *, mask: ArrayLike | None = None, n_threads: int | None = None,
                   executor: str = "auto") -> dict[str, Any]:
        """The derivatives of the reduced value with respect to the loss's own parameters: {"alpha": ..., ...}."""
        names = [name.removeprefix("gradient_") for name in dir(self) if name.startswith("gradient_")]
        if not names:
            raise ValueError(f"{self}: no derivative with respect to a parameter is defined; "
                             "give the class a formula gradient_<parameter>(self, y, f)")
        return {name: _run(self, f"gradient_{name}", y_true, y_pred, sample_weight, mask, reduction, None, None,
                           n_threads, executor) for name in names}

    # ---- constants and links ---------------------------------------------------------------------------------

    def init_score(self, y_true: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """The constant raw score that minimises the loss over `y_true`: a float, or (k,) floats for (n, k) targets.

        Where every point of an interval minimises it (a median of two values), the middle of the interval.
        """
        from .init_score import minimising_constant

        return minimising_constant(self, y_true, sample_weight)

    def inverse_link(self, raw: ArrayLike) -> ndarray:
        """Raw scores -> predictions in the target's units (probabilities, means), an array like `raw`."""
        from .links import LINKS

        return LINKS[self.link].elementwise(raw, raw)

    # ---- words -----------------------------------------------------------------------------------------------

    def describe(self) -> str:
        """Formula, domains, parameters, traps and peers' names, as text for a person."""
        from .describe import describe

        return describe(self)


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
    functions come from `fusedloss.vecmath`. Optional: `majorizer(self, y, f)`, `gradient_<parameter>(self, y, f)`,
    `optimum(self, mean)` (the minimising raw score, given the weighted mean of the targets).
    """


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
