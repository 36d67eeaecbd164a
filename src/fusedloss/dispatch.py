"""From the caller's kinds of arrays to the one that is computed with, and back: the kind of `y_pred` decides.

Arrays of NumPy go straight on. What is read where it lies, in chunks or with nulls, becomes an array that `evaluate` reads
block by block; results are made on memory that the caller's library takes over.
"""

from __future__ import annotations

import numpy as np

from .arrays import kind
from .arrays import numpy as arrays
from .arrays.apart import AnyOf, BFloat16
from .evaluate import run as evaluate

NULLS = ("raise", "ignore")

PAIRS = ("grad_and_hess", "value_grad_hess")
GRADIENTS = ("grad", "value_and_grad", "hvp", "natural_grad")


def run(loss, what, y_true, y_pred, sample_weight, mask, reduction, hessian, out, n_threads, executor, nulls, copy, v=None):
    """Evaluate `what` of a loss (see `evaluate.run`) on arrays of any kind."""
    if (type(y_pred) is np.ndarray and type(y_true) is np.ndarray and (sample_weight is None or type(sample_weight) is
            np.ndarray) and (mask is None or type(mask) is np.ndarray) and y_pred.dtype in arrays.COMPUTED_IN and v is None
            and nulls == "raise" and copy is True):
        return evaluate(loss, what, y_true, y_pred, sample_weight, mask, reduction, hessian, out, n_threads, executor)
    check_nulls(nulls)
    if not isinstance(copy, bool):
        raise TypeError(f"copy must be True or False, found {copy!r}")
    given = {"y_true": y_true, "y_pred": y_pred, "sample_weight": sample_weight, "mask": mask, "v": v}
    target = kind(y_pred)
    if hasattr(target, "run"):
        result = target.run(loss, what, given, reduction, hessian, out, n_threads, executor, nulls, copy)
        if result is not NotImplemented:
            return result
    call = _Foreign(loss, what, given, nulls, copy, out)
    result = evaluate(loss, what, *call.arguments, reduction, hessian, call.out, n_threads, executor, call.v)
    return call.wrapped(result)


def check_nulls(nulls):
    if nulls not in NULLS:
        raise ValueError(f"nulls must be one of {', '.join(map(repr, NULLS))}, found {nulls!r}")


def check_together(given):
    """That arrays which know their samples by name have the same ones."""
    for found in {kind(x) for x in given.values() if x is not None}:
        if hasattr(found, "check_together"):
            found.check_together(given)


def read_each(given, nulls, copy=True):
    """The arrays by name as what the library reads (None stays None), and where they are null: a list, empty for nowhere."""
    values, several = {}, []
    for name, x in given.items():
        if x is None:
            values[name] = None
            continue
        one = kind(x).read(name, x)
        if one.copied and not copy:
            raise ValueError(f"{name} can only be read from a copy, and copy=False: {one.copied}")
        if one.nulls is not None:
            if nulls == "raise" or name in ("mask", "v"):
                raise arrays.null_error(name, one.nulls)
            several.append(one.nulls)
        values[name] = one.values
    return values, several


def masked(mask, several, shape):
    """The samples that are masked or null."""
    return mask if not several else AnyOf(several if mask is None else [mask, *several], shape)


class _Foreign:
    """The arrays of one call as `evaluate` takes them."""

    def __init__(self, loss, what, given, nulls, copy, out):
        self.like, self.kind, self.what = given["y_pred"], kind(given["y_pred"]), what
        values, several = read_each(given, nulls, copy)
        check_together(given)
        y, f, w, mask, self.v = values.values()
        shape = np.shape(f)[:1] if loss.rowwise else np.shape(f)
        self.nulls = masked(None, several, shape)
        self.arguments = y, f, w, masked(mask, several, shape)
        self.given = out if isinstance(out, tuple) else (out,)
        self.own = self._outputs(loss, f) if out is None else tuple(_memory_of(name, x) for name, x in zip(
            ("out",) if len(self.given) == 1 else ("out[0]", "out[1]"), self.given, strict=False))
        self.out = self.own if isinstance(out, tuple) or len(self.own) > 1 else self.own[0]

    def _outputs(self, loss, f):
        """Arrays for the results where not just any memory will do."""
        if not (hasattr(self.kind, "empty") or isinstance(f, BFloat16)):
            return (None,)
        shape = f.shape[:1] if loss.rowwise and self.what == "elementwise" else f.shape
        many = 2 if self.what in PAIRS else 1 if self.what in (*GRADIENTS, "elementwise") else 0
        if isinstance(f, BFloat16):
            made = [BFloat16(np.empty(shape, np.uint16)) for _ in range(many)]
        else:
            made = [self.kind.empty(shape, arrays.result_dtype(f.dtype)) for _ in range(many)]
        return tuple(made) or (None,)

    def wrapped(self, result):
        """The result in the kind of the predictions; what was written to `out` is the object that was passed."""
        if isinstance(result, tuple):
            return tuple(map(self.wrapped, result))
        for own, given in zip(self.own, self.given, strict=False):
            if given is not None and result is own:
                return given
        if not isinstance(result, (np.ndarray, BFloat16)) or self.what.startswith("gradient_"):
            return result
        return self.kind.wrap(result, self.like, self.nulls)


def _memory_of(name, out):
    """The memory of an array to write to, in any kind that has some."""
    found = kind(out)
    return out if found is arrays else found.read(name, out).values
