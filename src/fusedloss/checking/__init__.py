"""`check(loss)`: what a loss says about itself, compared with what its formulas do.

The formulas are plain Python on one sample, so they run on numbers of any kind: on numbers of mpmath with a hundred digits
and more, where differences of the value give the derivatives to forty of them; on NumPy's float64 and float32, with the
answers a kernel has for one sample; and compiled, in the kernel itself. Everything is deterministic.

`exact`     formulas in any arithmetic
`samples`   points inside the domain of a loss
`measure`   derivatives, lost digits, kinks and curvature along lines, the range
`machine`   the compiled code
`findings`  what all this comes to, in words
`report`    the findings as an object and as text
"""

from __future__ import annotations

from dataclasses import replace

from ..loss import Classification, Loss
from .report import Finding, Report

__all__ = ["Finding", "Report", "check"]


def check(loss: Loss | type[Loss], *, compile: bool = True) -> Report:
    """Compare what a loss says about itself with what its formulas do.

    Parameters
    ----------
    loss : a loss of any kind, built in or your own, or its class where all parameters have defaults.
    compile : whether the kernel of `value_and_grad` is compiled for float64 and float32 and its machine code looked at.
        Without it an elementwise loss takes about a second, a loss of rows a few.

    Returns
    -------
    Report : `.ok`; iterate over its findings; `str(report)` is for a person, `.to_dict()` for a program. It covers

        gradient, hessian   against differences of the value, 40 digits of them
        curvature           what `loss.curvatures` promises: majorizers lie above the loss, what is positive is
        hvp, natural, parameter, optimum
                            the other formulas, of a loss that has them
        kinks               where the gradient jumps, and whether `smooth` says so
        convexity           where the loss bends down, and whether `convex` says so
        domain              NaN and poles inside the domain that the loss claims
        float64, float32    digits lost to cancellation
        range               how far out the formulas are finite
        compiled            whether the loop became SIMD code, and gives the same numbers
        missing             what cannot be used without the formulas that were left out

    Raises
    ------
    ImportError : without mpmath: pip install "fusedloss[check]".
    TypeError : `loss` is no loss, or a class whose parameters have no defaults.
    """
    from .findings import Check

    loss, remarks = _checkable(loss)
    return Report(loss, [*remarks, *Check(loss).run(compile)])


def _checkable(loss):
    """A loss whose formulas can be run on one sample, and remarks about what had to be left out for that."""
    if isinstance(loss, type) and issubclass(loss, Loss):
        try:
            loss = loss()
        except TypeError as error:
            raise TypeError(f"{loss.__name__} needs parameters, pass {loss.__name__}(...): {error}") from None
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a loss, or the class of one, found {loss!r}")
    weight = loss.class_weight if isinstance(loss, Classification) else None
    if isinstance(weight, str):
        text = f"class_weight={weight!r} is worked out from the targets of each call: checked without class weights"
        return replace(loss, class_weight=None), [Finding("weights", "note", text, {})]
    if isinstance(weight, tuple):  # as a dictionary is kept
        weights = dict(weight)
        return replace(loss, class_weight=[weights.get(k, 1.0) for k in range(max(4, 1 + max(weights)))]), []
    return loss, []
