"""One call, from the caller's arrays to the result: canonical views, the kernel for this loss, one pass, the sum.

The way of the data: `arrays` (views, checks) -> `compile` (the kernel) -> `drivers` (one pass over blocks, a float64
partial each) -> the partials added in block order. Arrays that a kernel can read in place are; anything else (strided,
Fortran-ordered, broadcast, float16, unaligned) is staged through buffers of a few blocks, with the same bits.
"""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np

from . import compile, drivers
from .arrays import numpy as arrays
from .arrays.apart import Columns
from .curvatures import formula_of
from .domain import Interval
from .kernels.cpu import BLOCK
from .loss import Elementwise

REDUCTIONS = ("mean", "sum", "none", "sum_over_batch_size")

STAGED_BLOCKS = 4
"""Blocks staged at a time: with six arrays of float64 that is 0.8 MB per thread, inside the second-level cache."""

_RETURNS = {  # what a method returns: does it want the value, the gradient, the Hessian?
    "value": (True, False, False),
    "elementwise": (True, False, False),
    "grad": (False, True, False),
    "value_and_grad": (True, True, False),
    "grad_and_hess": (False, True, True),
    "value_grad_hess": (True, True, True),
    "hvp": (False, False, True),
}


class Share(NamedTuple):
    """In the place of a reduction: of one part of the samples, where the whole divides by this. The sums of the blocks come
    back as a list, in the place of the value."""

    denominator: float


class Denominator(NamedTuple):
    """In the place of a reduction: not the loss, but the numbers that add up to what this reduction divides by."""

    reduction: str


def run(loss, what, y_true, y_pred, sample_weight, mask, reduction, hessian, out, n_threads, executor, v=None):
    """Evaluate `what` of a loss (see _RETURNS; or `gradient_<parameter>`, a value) on arrays."""
    if loss.rowwise:
        from .evaluate_rows import run as run_rows

        return run_rows(loss, what, y_true, y_pred, sample_weight, mask, reduction, hessian, out, n_threads, executor, v)
    y = arrays.view("y_true", y_true) if type(y_true) is not np.ndarray or y_true.dtype not in PLAIN else y_true
    f = arrays.view("y_pred", y_pred) if type(y_pred) is not np.ndarray or y_pred.dtype not in PLAIN else y_pred
    if y.shape != f.shape:
        y = arrays.target_like(y, f)
    n = f.size
    w = mask_array = None
    if mask is not None:
        mask_array = arrays.mask_like(mask, f)
    if sample_weight is not None:
        w = arrays.per_sample("sample_weight", arrays.view("sample_weight", sample_weight), f)
    check_reduction(reduction)
    losses = [loss]
    if loss.by_data:
        y, f, w, mask_array = [None if a is None else np.asarray(a) for a in (y, f, w, mask_array)]
        losses = loss.of_columns(y, w, mask_array)
    plans = [_plan(one, what, hessian, reduction == "none", f.dtype, y.dtype, w, mask_array) for one in losses]
    plan = plans[0]
    denominator = float(n) if reduction in ("mean", "sum_over_batch_size") else 1.0
    if w is not None or mask_array is not None or isinstance(reduction, Denominator):
        parts = _denominator(reduction, w, mask_array, f, plan.F, n_threads, executor)
        if isinstance(reduction, Denominator):
            return parts
        denominator = ordered_sum(np.array(parts))
    if isinstance(reduction, Share):
        denominator = reduction.denominator
    along = None if v is None else arrays.target_like(arrays.view("v", v), f, "v")
    if out is None:
        order = "F" if isinstance(f, Columns) else "C"
        values, g, h = [np.empty(f.shape, plan.result, order) if wanted else None for wanted in plan.outputs]
    else:
        values, g, h = _outputs(plan, f, out, y, w, mask_array, along)
    scale = plan.F(1.0 / denominator if denominator else 0.0)
    if len(plans) > 1:
        partials = _pass_over_columns(plans, (y, f, w, mask_array), (values, g, h), scale, n_threads, executor)
    else:
        partials = np.empty(((n + BLOCK - 1) // BLOCK, 2))
        _pass(plan, y, f, w, mask_array, scale, partials, values, g, h, n_threads, executor)
    if plan.checks and (partials.item(1) if len(partials) == 1 else partials[:, 1].any()):
        raise domain_error(loss, plan.F, y, f, w, mask_array)
    if plan.sums:
        value = partials[:, 0].tolist() if isinstance(reduction, Share) else reduced(partials, denominator, reduction)
        return value if g is None else (value, g) if h is None else (value, g, h)
    results = [a for a in (values, g, h) if a is not None]
    if along is not None:  # the Hessian is diagonal
        arrays.multiply(h, along)
    return results[0] if len(results) == 1 else tuple(results)


def derivatives_of_few(loss, hessian, y, f):
    """Gradient and Hessian of every sample, rows of a new (2, n) array: for hosts that call very often with few samples.

    `y` and `f` are (n,) arrays that a kernel reads as they are: plain dtypes, aligned, contiguous. `hessian` None: the
    second row is 1. None where they are something else, or where a sample is outside the loss's domain: `grad_and_hess`
    takes more, and says what is wrong with the rest.
    """
    if y.shape != f.shape:
        return None
    plan = _plan(loss, "grad" if hessian is None else "grad_and_hess", hessian, True, f.dtype, y.dtype, None, None)
    result, partials = np.empty((2, f.size), plan.F), np.empty(((f.size + BLOCK - 1) // BLOCK, 2))
    h = None if hessian is None else result[1]
    try:
        plan.kernel("serial")(plan.theta, y, f, None, None, plan.F(1.0), partials, None, None, result[0], h,
                              0, len(partials), 1)
    except TypeError:  # not arrays that this kernel was compiled for
        return None
    if plan.checks and (partials.item(1) if len(partials) == 1 else partials[:, 1].any()):
        return None
    if h is None:
        result[1] = 1.0
    return result


PLAIN = frozenset(map(np.dtype, ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")))
"""Dtypes that kernels read as they are; the others are looked at more closely by `arrays.view`."""


class _Plan:
    """How one method of one loss is computed for given dtypes: its kernels and its parameters."""

    def __init__(self, loss, what, hessian, unreduced, f_dtype, y_dtype, w_dtype, masked):
        self.F = F = arrays.COMPUTED_IN.get(f_dtype, np.float64)
        self.result = arrays.result_dtype(f_dtype)
        wants_value, wants_gradient, wants_hessian = _RETURNS.get(what, (True, False, False))
        value = what if what.startswith("gradient_") else "value"
        self.sums = wants_value and not unreduced
        self.loss = loss
        self.request = compile.Request(
            F=F, y=y_dtype if y_dtype in PLAIN else np.dtype(F),
            w=w_dtype if w_dtype is None or w_dtype in PLAIN else np.dtype(F), mask=masked,
            sums=value if self.sums else None,
            v=value if wants_value and unreduced else None, g="gradient" if wants_gradient else None,
            h=curvature(loss, hessian) if wants_hessian else None)
        for name in filter(None, (self.request.g, self.request.h)):
            if not hasattr(loss, name):
                raise ValueError(f"{type(loss).__name__} has no formula {name}(self, y, f), which this method needs")
        self.in_place = f_dtype == F and y_dtype in PLAIN and (w_dtype is None or w_dtype in PLAIN)
        self.outputs = (self.request.v, self.request.g, self.request.h)
        self.theta = np.array(compile.split_parameters(loss)[0], F)
        self.checks = not (loss.y_domain.everything and loss.pred_domain.everything)
        self.kernels = {}

    def kernel(self, driver):
        found = self.kernels.get(driver)
        if found is None:
            found = self.kernels[driver] = compile.kernel(self.loss, self.request, driver)
        return found


def _plan(loss, what, hessian, unreduced, f_dtype, y_dtype, w, mask):
    plans = loss._kept("_plans")
    key = (what, hessian, unreduced, f_dtype, y_dtype, None if w is None else w.dtype, mask is not None)
    found = plans.get(key)
    if found is None:
        found = plans[key] = _Plan(loss, what, hessian, unreduced, f_dtype, y_dtype, key[5], key[6])
    return found


def curvature(loss, hessian):
    """The formula behind `hessian=`."""
    available = loss.curvatures
    if hessian not in available:
        if not available or (hessian == "exact" and not hasattr(loss, "hessian")):
            instead = f"; pass hessian={' or '.join(map(repr, available))}" if available else ""
            raise ValueError(f"{type(loss).__name__} has no formula hessian(self, y, f), which this method needs{instead}")
        raise ValueError(f"hessian must be one of {', '.join(map(repr, available))} for {type(loss).__name__}, "
                         f"found {hessian!r}")
    return formula_of(loss, hessian)


# ---- the pass ----------------------------------------------------------------------------------------------------


def _pass(plan, y, f, w, mask, scale, partials, v, g, h, n_threads, executor):
    """Run the kernel over every block of these arrays."""
    n = f.size
    if n < drivers.PARALLEL_FROM and executor == "auto" and n_threads is None:
        driver, threads = "serial", 1
    else:
        driver, threads = drivers.choose(executor, n, n_threads)
    in_place, arguments = plan.in_place, []
    for a in (y, f, w, mask, v, g, h):
        if a is not None:
            in_place = in_place and a.flags.num & arrays.CONTIGUOUS_ALIGNED == arrays.CONTIGUOUS_ALIGNED
            if a.ndim != 1 and in_place:
                a = a.reshape(-1)
        arguments.append(a)
    if not in_place:
        def work(driver, first, last, step):
            _staged(plan, (y, f, w, mask), (v, g, h), scale, partials, driver, first, last)

        drivers.run(work, "threads" if driver == "parallel" else driver, threads, len(partials))
        return
    inputs = (plan.theta, *arguments[:4], scale, partials, partials if plan.sums else None, *arguments[4:])
    if driver == "serial":
        plan.kernel("serial")(*inputs, 0, len(partials), 1)
        return

    def work(driver, first, last, step):
        plan.kernel(driver)(*inputs, first, last, step)

    drivers.run(work, driver, threads, len(partials))


def _staged(plan, inputs, outputs, scale, partials, driver, first, last):
    """Blocks first..last, as many at a time as lie in memory for all arrays; others by way of small buffers."""
    request, kernel = plan.request, plan.kernel(driver)
    n, size = inputs[1].size, STAGED_BLOCKS * BLOCK
    dtypes = (request.y, request.F, request.w, np.bool_, *[request.F] * 3)
    buffers = [None] * 7
    block = first
    while block < last:
        start = block * BLOCK
        reach = [n if a is None else arrays.in_place(a, start, dtype)
                 for a, dtype in zip((*inputs, *outputs), dtypes, strict=True)]
        whole = min(reach) // BLOCK if start + min(reach) < n else last - block
        end = min(last, block + (whole or STAGED_BLOCKS))
        stop = min(n, end * BLOCK)
        parts = []
        for k, a in enumerate((*inputs, *outputs)):
            if a is None:
                parts.append(None)
            elif start + reach[k] >= stop:
                parts.append(arrays.section(a, start, stop))
            else:
                if buffers[k] is None:
                    buffers[k] = np.empty(size, dtypes[k])
                parts.append(arrays.gather(a, start, stop, buffers[k]) if k < 4 else buffers[k][: stop - start])
        part = partials[block:end]
        kernel(plan.theta, *parts[:4], scale, part, part if plan.sums else None, *parts[4:], 0, end - block, 1)
        for a, k in zip(outputs, (4, 5, 6), strict=True):
            if a is not None and start + reach[k] < stop:
                arrays.scatter(a, start, stop, parts[k])
        block = end


def _pass_over_columns(plans, inputs, outputs, scale, n_threads, executor):
    """Run a kernel of its own for each column of two-dimensional arrays, over the same blocks of rows; the partials."""
    f = inputs[1]
    blocks = (len(f) + BLOCK - 1) // BLOCK
    partials = np.empty((len(plans), blocks, 2))
    columns = [[None if a is None else a[:, k] for a in (*inputs, *outputs)] for k in range(len(plans))]

    def work(driver, first, last, step):
        for block in range(first, last, STAGED_BLOCKS):
            for plan, column, part in zip(plans, columns, partials, strict=True):
                _staged(plan, column[:4], column[4:], scale, part, driver, block, min(last, block + STAGED_BLOCKS))

    driver, threads = ("serial", 1) if f.size < drivers.PARALLEL_FROM else drivers.choose(executor, f.size, n_threads)
    drivers.run(work, "threads" if driver == "parallel" else driver, threads, blocks)
    return partials.reshape(-1, 2)


def _outputs(plan, f, out, y, w, mask, along):
    """The arrays to write, (values, gradient, Hessian): those of `out`, checked, and new ones for what it leaves out."""
    inputs = [("y_true", y), ("y_pred", f), ("sample_weight", w), ("mask", mask), ("v", along)]
    v, g, h = plan.outputs
    if g and h:
        if not isinstance(out, tuple) or len(out) != 2:
            raise TypeError(f"out must be a tuple (grad, hess) here, found {type(out).__name__}")
        g = arrays.output("out[0]", out[0], f, plan.result, inputs)
        h = arrays.output("out[1]", out[1], f, plan.result, [*inputs, ("out[0]", g)])
    elif g:
        g = arrays.output("out", out, f, plan.result, inputs)
    elif h:
        h = arrays.output("out", out, f, plan.result, inputs)
    elif v:
        return arrays.output("out", out, f, plan.result, inputs), None, None
    return np.empty(f.shape, plan.result) if v else None, g, h


# ---- sums and weights --------------------------------------------------------------------------------------------


def reduced(partials, denominator, reduction, stacklevel=5):
    """The partials added in block order and divided; a warning points `stacklevel` calls up."""
    total = partials.item(0) if len(partials) == 1 else ordered_sum(partials[:, 0])
    if denominator == 0.0:
        if reduction == "mean":
            warnings.warn("mean of no samples, or of samples without weight: the result is NaN", RuntimeWarning,
                          stacklevel=stacklevel)
            return math.nan
        return math.nan if reduction == "sum_over_batch_size" else total
    return total / denominator


def ordered_sum(parts):
    try:
        return math.fsum(parts.tolist())
    except (OverflowError, ValueError):  # infinities of both signs, or an overflow on the way
        with np.errstate(all="ignore"):
            return float(np.add.accumulate(parts)[-1])


class _Weight(Elementwise):
    """The weights themselves, as a loss: their sum is its value, and what a weight may be is its domain."""

    pred_domain = Interval(0.0, math.inf, low_closed=True, high_closed=False)

    def value(self, y, f):
        return f


_WEIGHT = _Weight()


def denominator(loss, y_true, y_pred, sample_weight, mask, reduction):
    """What the reduction of a loss divides by."""
    if loss.rowwise:
        from .evaluate_rows import _Call

        call = _Call(loss, "value", y_true, y_pred, sample_weight, mask, None, False, None)
        return ordered_sum(np.array(call.denominator(reduction, None, "auto")))
    f = arrays.view("y_pred", y_pred)
    w = None if sample_weight is None else arrays.per_sample("sample_weight", arrays.view("sample_weight", sample_weight), f)
    return ordered_sum(np.array(_denominator(reduction, w, None if mask is None else arrays.mask_like(mask, f), f,
                                             arrays.COMPUTED_IN.get(f.dtype, np.float64), None, "auto")))


def _denominator(reduction, w, mask, f, F, n_threads, executor):
    """The numbers that add up to what the reduction divides by, from one read of weights and mask; checks the weights for
    every reduction."""
    sums = None if w is None else weight_sums(w, mask, F, n_threads, executor).tolist()
    over = reduction.reduction if isinstance(reduction, Denominator) else reduction
    if over == "mean" and sums is not None:
        return sums
    if over not in ("mean", "sum_over_batch_size"):
        return [1.0]
    return [float(f.size if mask is None else f.size - arrays.count_true(mask))]


def check_reduction(reduction):
    if reduction not in REDUCTIONS and not isinstance(reduction, (Share, Denominator)):
        raise ValueError(f"reduction must be one of {', '.join(map(repr, REDUCTIONS))}, found {reduction!r}")


def weight_sums(w, mask, F, n_threads=None, executor="serial", name="sample_weight", offset=0):
    """The sum of the weights of each block as the kernels for `F` see them, after checking them; errors as in
    `domain_error`."""
    if np.dtype(F).itemsize < np.dtype(arrays.COMPUTED_IN.get(w.dtype, np.float64)).itemsize:
        return _narrowed_weight_sums(w, mask, F, name, offset)
    plan = _plan(_WEIGHT, "value", None, False, w.dtype, w.dtype, None, mask)
    partials = np.empty(((w.size + BLOCK - 1) // BLOCK, 2))
    _pass(plan, w, w, None, mask, plan.F(1.0), partials, None, None, None, n_threads, executor)
    if partials[:, 1].any() or not np.isfinite(partials[:, 0]).all():
        raise _weight_error(w, mask, name, offset)
    return partials[:, 0]


def _narrowed_weight_sums(w, mask, F, name, offset):
    """The same for weights that lose digits in `F`: a mean divides by what its samples were multiplied with."""
    sums, size = [np.zeros(0)], STAGED_BLOCKS * BLOCK
    for start in range(0, w.size, size):
        stop = min(w.size, start + size)
        part = arrays.gather(w, start, stop, np.empty(stop - start, np.float64))
        shown = None if mask is None else arrays.gather(mask, start, stop, np.empty(stop - start, np.bool_))
        kept = np.ones(part.size, np.bool_) if shown is None else ~shown
        with np.errstate(over="ignore"):
            narrow = part.astype(F)
        lost = np.flatnonzero(kept & np.isfinite(part) & ((narrow == 0) != (part == 0) | np.isinf(narrow)))
        if lost.size:
            where = _subscript(start + int(lost[0]), w.shape, offset)
            raise ValueError(f"{name}{where} = {part[lost[0]].item()!r}: this is {narrow[lost[0]]} in the dtype of y_pred, "
                             f"{np.dtype(F)}: divide the weights by their largest, or pass float64 predictions")
        sums.append(weight_sums(narrow, shown, F, name=name, offset=offset + start))
    return np.concatenate(sums)


# ---- errors ------------------------------------------------------------------------------------------------------


def _weight_error(w, mask, name, offset):
    """The first weight that is negative, infinite or NaN."""
    def wrong(part, kept):
        return ~(part >= 0) | np.isinf(part) if kept is None else (~(part >= 0) | np.isinf(part)) & kept

    found = _first(wrong, w, None, mask)
    if found is None:
        return ValueError(f"the sum of {name} overflows: divide the weights by their largest")
    index, value = found
    return ValueError(f"{name}{_subscript(index, w.shape, offset)} = {value!r}: weights must be finite and not negative; "
                      "to take a sample out give it weight 0 or mask it")


def domain_error(loss, F, y, f, w, mask, names=("y_true", "y_pred"), offset=0):
    """The first sample whose target or prediction the loss does not admit, by the caller's names for them and counted
    from `offset`."""
    for name, array, domain in zip(names, (y, f), (loss.y_domain, loss.pred_domain), strict=True):
        def wrong(part, kept, domain=domain):
            outside = domain.outside(part.astype(F))
            return outside if kept is None else outside & kept

        found = None if domain.everything else _first(wrong, array, w, mask)
        if found:
            index, value = found
            return ValueError(f"{name}{_subscript(index, f.shape, offset)} = {value!r}: {loss.name} needs {name} to be "
                              f"{domain}; {remedy(array is y, name, value, domain, loss)}")
    raise AssertionError("a kernel reported a value outside the domain, and there is none")


def remedy(is_target, name, value, domain, loss):
    if is_target and domain.low == 0.0 and domain.high == 1.0:
        if value == -1:
            return f"for labels -1 and 1 pass ({name} + 1) / 2"
        return f"encode the two classes as 0 and 1, or compare: {name} == positive_class"
    if not is_target and domain.high == 1.0 and hasattr(loss, "from_logits"):
        return "pass probabilities, or use from_logits=True for raw scores"
    return "correct the value, or take the sample out with mask= or a weight of 0"


def _first(wrong, a, w, mask):
    """(index, value) of the first sample of `a` that is `wrong` among those not taken out, looking block by block."""
    for start in range(0, a.size, BLOCK):
        stop = min(a.size, start + BLOCK)
        part = arrays.gather(a, start, stop, np.empty(stop - start, a.dtype))
        kept = None
        if w is not None:
            kept = arrays.gather(w, start, stop, np.empty(stop - start, w.dtype)) != 0
        if mask is not None:
            shown = ~arrays.gather(mask, start, stop, np.empty(stop - start, np.bool_))
            kept = shown if kept is None else kept & shown
        found = np.flatnonzero(wrong(part, kept))
        if found.size:
            return start + int(found[0]), part[found[0]].item()
    return None


def _subscript(index, shape, offset=0):
    """`[17]` or `[5, 2]`: where the sample with this flat index is; `offset` rows came before."""
    if not shape:
        return ""
    row, *rest = (int(i) for i in np.unravel_index(index, shape))
    return "[" + ", ".join(map(str, (row + offset, *rest))) + "]"
