"""One call on arrays of a CUDA device: arrays of the same library out, on its stream, and no waiting for the device.

The counterpart of `evaluate`. What needs a sum over the weights launches it before the kernel that needs it, and the result
stays on the device; the value is a float64 array without dimensions. Errors are about arguments, not about the numbers in
them: a sample that a loss does not admit, and a weight that may not be, makes NaN.
"""

from __future__ import annotations

import warnings

import numpy as np

from . import compile, compile_cuda
from .arrays import cuda as arrays
from .arrays.numpy import COMPUTED_IN, result_dtype
from .evaluate import _RETURNS, check_reduction, curvature, remedy
from .kernels.cuda import blocks_of
from .kernels.cuda_memory import alignment


def run(loss, what, y_true, y_pred, sample_weight, mask, reduction, hessian, out, v=None):
    """Evaluate `what` of a loss, as `evaluate.run` does, on arrays of a device."""
    if loss.rowwise:
        from .evaluate_cuda_rows import run as run_rows

        return run_rows(loss, what, y_true, y_pred, sample_weight, mask, reduction, hessian, out, v)
    check_reduction(reduction)
    if loss.by_data:
        raise ValueError(f"{loss!r} is worked out from the targets of each call, or differs from column to column: on a "
                         "device pass the number, loss.scaled(2.5), or one column at a time")
    f = arrays.view("y_pred", y_pred)
    y = number = None
    if isinstance(y_true, (bool, int, float, np.generic)):
        number = float(y_true)
        if loss.y_domain.outside(number):
            raise ValueError(f"y_true = {number!r}: {loss.name} needs y_true to be {loss.y_domain}; "
                             f"{remedy(True, 'y_true', number, loss.y_domain, loss)}")
    else:
        y = arrays.view("y_true", y_true, f)
        if y.shape != f.shape:
            raise ValueError(f"y_true has shape {y.shape} and y_pred has shape {f.shape}; they must be equal, or y_true a "
                             "number of Python")
    w = None if sample_weight is None else per_sample("sample_weight", sample_weight, f)
    masked = None if mask is None else boolean(per_sample("mask", mask, f))
    v = None if v is None else like_predictions(v, f)
    plan = _plan(loss, what, hessian, reduction == "none", f.dtype, None if y is None else y.dtype, v is not None,
                 None if w is None else w.dtype, w is not None and w.shape != f.shape,
                 masked is not None, masked is not None and masked.shape != f.shape,
                 reduction in ("mean", "sum_over_batch_size") and (w is not None or masked is not None))
    with f.current():
        compile_cuda.make_current(f.device)
        return plan.run(f, y, number, w, masked, v, reduction, out)


class _Plan:
    """How one method of one loss is computed for arrays of given dtypes: its kernels and its parameters."""

    def __init__(self, loss, what, hessian, unreduced, f, y, v_in, w, w_rows, mask, mask_rows, scaled):
        F = COMPUTED_IN.get(f, np.float64)
        wants_value, wants_gradient, wants_hessian = _RETURNS.get(what, (True, False, False))
        value = what if what.startswith("gradient_") else "value"
        self.loss, self.F = loss, F
        self.out = result_dtype(f)
        self.request = compile_cuda.Request(
            F=F, f=f, y=y, out=self.out, v_in=v_in, w=w, w_rows=w_rows, mask=mask, mask_rows=mask_rows, wide=True,
            scaled=scaled, sums=value if wants_value and not unreduced else None,
            v=value if wants_value and unreduced else None,
            g="gradient" if wants_gradient else None, h=curvature(loss, hessian) if wants_hessian else None)
        for name in filter(None, (self.request.g, self.request.h)):
            if not hasattr(loss, name):
                raise ValueError(f"{type(loss).__name__} has no formula {name}(self, y, f), which this method needs")
        self.theta = tuple(map(F, compile.split_parameters(loss)[0])) or (F(0.0),)
        self.kernels = {}

    def run(self, f, y, number, w, mask, v, reduction, out):
        request, F, n, stream = self.request, self.F, f.size, f.stream
        written = self._outputs(f, [("y_true", y), ("sample_weight", w), ("mask", mask), ("v", v)], out)
        columns = f.shape[-1] if len(f.shape) == 2 else 1
        blocks = blocks_of(n)
        partials = f.empty((blocks,), np.float64) if request.sums or request.scaled else None
        sums = inverses = None
        count = 1.0 if reduction in ("sum", "none") else float(n)
        if request.scaled:
            sums, inverses = self._denominator(f, w, mask, stream, blocks, columns, partials, reduction)
        if blocks:
            kernel = self._kernel(arrays.aligned((f, y, w, mask, v, *written), alignment))
            kernel(f.device, stream, blocks, self.theta, _address(y), F(0.0 if number is None else number), f.address,
                   _address(v), _address(w), _address(mask), columns, F(1.0 / count if count else 0.0),
                   *map(_address, (inverses, partials, *written)), n)
        results = [a.given for a in written if a is not None]
        if not request.sums:
            return results[0] if len(results) == 1 else tuple(results)
        return result(f, stream, blocks, partials, count, sums, reduction, results)

    def _kernel(self, wide):
        found = self.kernels.get(wide)
        if found is None:
            found = self.kernels[wide] = compile_cuda.elementwise(self.loss, self.request._replace(wide=wide))
        return found

    def _denominator(self, f, w, mask, stream, blocks, columns, partials, reduction):
        """What the reduction divides by, and its inverse in F: arrays that the device fills."""
        if reduction == "sum_over_batch_size":
            w = None
        request = self.request._replace(f=None, y=None, out=None, v_in=False, scaled=True, sums=None, v=None, g=None, h=None,
                                        w=None if w is None else w.dtype, wide=arrays.aligned((w, mask), alignment))
        if blocks:
            compile_cuda.weights(request)(f.device, stream, blocks, _address(w), _address(mask), columns, partials.address,
                                          f.size)
        return denominator(f, stream, self.F, blocks, partials)

    def _outputs(self, f, others, out):
        """The arrays to write, (values, gradient, Hessian): those of `out`, checked, and new ones for what it leaves out."""
        request, inputs = self.request, [("y_pred", f), *others]
        shapes = [f.shape if wanted else None for wanted in (request.v, request.g, request.h)]
        return outputs(f, self.out, shapes, out, inputs, in_place=True)


def _plan(loss, *key):
    plans = loss._kept("_cuda_plans")
    found = plans.get(key)
    if found is None:
        found = plans[key] = _Plan(loss, *key)
    return found


# ---- what calls on single numbers and on rows share ---------------------------------------------------------------


def outputs(f, dtype, shapes, out, inputs, in_place):
    """[values, gradient, Hessian] as arrays to write, None where there is no shape."""
    if out is None:
        return [None if shape is None else f.empty(shape, dtype) for shape in shapes]
    places = [k for k in (1, 2) if shapes[k] is not None] or [0]
    if len(places) == 2 and (not isinstance(out, tuple) or len(out) != 2):
        raise TypeError(f"out must be a tuple (grad, hess) here, found {type(out).__name__}")
    names, given = (["out[0]", "out[1]"], out) if len(places) == 2 else (["out"], [out])
    found = [None if shape is None or k in places else f.empty(shape, dtype) for k, shape in enumerate(shapes)]
    for k, name, one in zip(places, names, given, strict=True):
        found[k] = arrays.output(name, one, f, dtype, shapes[k], inputs, in_place)
        inputs = [*inputs, (name, found[k])]
    return found


def denominator(f, stream, F, blocks, partials):
    """Arrays of one number for the sum of the partials, and for its inverse in F."""
    sums, inverses = f.empty((1,), np.float64), f.empty((1,), F)
    compile_cuda.denominator(F)(f.device, stream, 1, _address(partials), blocks, _address(sums), _address(inverses))
    return sums, inverses


def result(f, stream, blocks, partials, count, sums, reduction, results):
    """The reduced value, divided by `count` or by the number in `sums`, and what else the method returns."""
    if f.size == 0 and reduction == "mean":
        warnings.warn("mean of no samples: the result is NaN", RuntimeWarning, stacklevel=5)
    value = f.empty((), np.float64)
    compile_cuda.mean(sums is not None)(f.device, stream, 1, _address(partials), blocks, count, _address(sums),
                                        _address(value))
    return (value.given, *results) if results else value.given


def _address(a):
    return 0 if a is None else a.address


def per_sample(name, a, f):
    """Weights or a mask, (n,) or like the predictions."""
    a = arrays.view(name, a, f)
    if a.shape != f.shape and not (len(f.shape) == 2 and a.shape == f.shape[:1]):
        allowed = f"{f.shape[:1]} or {f.shape}" if len(f.shape) == 2 else f"{f.shape}"
        raise ValueError(f"{name} has shape {a.shape}; it must have shape {allowed}, as y_pred has")
    return a


def like_predictions(v, f):
    v = arrays.view("v", v, f)
    if v.shape != f.shape or v.dtype != f.dtype:
        raise ValueError(f"v has shape {v.shape} and dtype {v.dtype}; it must have those of y_pred, {f.shape} and {f.dtype}")
    return v


def boolean(mask):
    if mask.dtype != np.bool_:
        raise TypeError(f"mask has dtype {mask.dtype}; it must be bool, True where a sample is taken out: for weights use "
                        "sample_weight=")
    return mask
