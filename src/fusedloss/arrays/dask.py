"""dask's arrays and columns: a lazy value and lazy gradients, the kernel run once for each block on dask's own workers.

Each block gives its results and its exact sum; sums are added exactly, in a tree, so the value does not depend on how the
data is cut: where blocks end at multiples of 4096 samples it is that of the arrays in memory, to the last bit.
"""

from __future__ import annotations

import math

import dask
import dask.array as da
import numpy as np
from dask.layers import ArraySliceDep

from ..exact import ExactSum
from . import Read, kind
from . import numpy as arrays

MERGED = 16
"""Sums added by one task."""

RESULTS = {
    "value": ("value",),
    "elementwise": ("values",),
    "grad": ("derivative",),
    "value_and_grad": ("value", "derivative"),
    "grad_and_hess": ("derivative", "derivative"),
    "value_grad_hess": ("value", "derivative", "derivative"),
    "hvp": ("derivative",),
    "natural_grad": ("derivative",),
}
"""What a method gives: a reduced value, one value per sample, or something shaped like the predictions."""


def owns(cls):
    return cls.__module__.startswith(("dask.array", "dask.dataframe"))


def read(name, x) -> Read:
    raise TypeError(f"{name} is lazy, and is needed at once here: pass {name}.compute()")


def run(loss, what, given, reduction, hessian, out, n_threads, executor, nulls, copy):
    """Lazily what `evaluate.run` gives: the value as a scalar of dask, results in the kind of `y_pred`."""
    _check(loss, what, out)
    f = given["y_pred"]
    cut = (_Arrays if isinstance(f, da.Array) else _Frames)(given)
    denominator = _denominator(loss, cut, given, reduction, nulls)
    results = cut.each(_block, given, loss=loss, what=what, reduction=reduction, denominator=denominator, hessian=hessian,
                       n_threads=n_threads, nulls=nulls, copy=copy)
    names = ["values" if name == "value" and reduction == "none" else name for name in RESULTS[what]]
    lazy = [cut.value(cut.total(results, k), denominator) if name == "value" else
            cut.joined(results, k, name == "values" and loss.rowwise) for k, name in enumerate(names)]
    return lazy[0] if len(lazy) == 1 else tuple(lazy)


def _check(loss, what, out):
    if what not in RESULTS:
        raise ValueError(f"{loss.name}: this method takes no dask collections: call it on the arrays of a block, with "
                         "y_pred.map_blocks or map_partitions")
    if out is not None:
        raise ValueError("out= cannot be a lazy result: leave it out")
    if loss.by_data or isinstance(getattr(loss, "class_weight", None), str):
        raise ValueError(f"{loss!r} takes a scale or class weights from all targets at once: give it numbers, worked out "
                         "before")


def _denominator(loss, cut, given, reduction, nulls):
    """What the reduction of the whole divides by: a number, or lazily one."""
    if reduction in ("sum", "none"):
        return 1.0
    f = given["y_pred"]
    by_label = getattr(loss, "ignore_index", None) is not None or getattr(loss, "class_weight", None) is not None
    counted = given["sample_weight"] is None and given["mask"] is None and not by_label and nulls == "raise"
    if counted and cut.starts[-1] is not None:
        return float(f.size if not loss.rowwise else len(f))
    # where the predictions are not needed for it they are not kept waiting for it
    stand_in = None if counted or nulls == "ignore" else (f.shape[1:] if f.ndim > 1 else (), str(_dtype(f)))
    needed = given if stand_in is None else {**given, "y_pred": None}
    sums = cut.each(_denominator_of, needed, loss=loss, stand_in=stand_in, reduction=reduction, nulls=nulls)
    return dask.delayed(ExactSum.value)(cut.delayed_total(sums))


# ---- what a block gives ------------------------------------------------------------------------------------------


def _block(given, start, loss, what, reduction, denominator, hessian, n_threads, nulls, copy):
    """(its exact sum or values, derivatives ...) of one block."""
    from ..dispatch import run
    from ..evaluate import Share

    executor = "serial" if n_threads is None else "auto"  # dask runs blocks side by side
    of_whole = reduction if reduction == "none" else Share(denominator)
    y, f, w, mask, v = given.values()
    try:
        result = run(loss, what, y, f, w, mask, of_whole, hessian, None, n_threads, executor, nulls, copy, v)
    except ValueError as error:
        where = "of a block of y_pred" if start is None else f"of the block of y_pred that begins with sample {start:,}"
        error.add_note(f"Samples are counted from the first one {where}.")
        raise
    result = result if isinstance(result, tuple) else (result,)
    return tuple(_exact(part) if isinstance(part, list) else part for part in result)


def _denominator_of(given, start, loss, stand_in, reduction, nulls):
    from ..dispatch import run
    from ..evaluate import Denominator

    y, f, w, mask, _ = given.values()
    if f is None:
        n = next(len(x) for x in (w, mask, y) if x is not None and np.ndim(x))
        f = np.broadcast_to(np.zeros((), stand_in[1]), (n, *stand_in[0]))
    return (_exact(run(loss, "value", y, f, w, mask, Denominator(reduction), None, None, None, "serial", nulls, True)),)


def _exact(numbers):
    total = ExactSum(numbers)
    total.compress()
    return total


def _added(sums):
    total = ExactSum()
    for one in sums:
        total.merge(one)
    total.compress()
    return total


def _divided(total, denominator):
    return np.float64(total.value() / denominator if denominator else math.nan)


def _dtype(f):
    return getattr(f.dtype, "numpy_dtype", f.dtype) if hasattr(f, "dtype") else np.result_type(*map(str, f.dtypes))


# ---- arrays ------------------------------------------------------------------------------------------------------


class _Arrays:
    """Arguments cut like `y_pred`, an array. What happens to a block is one blockwise step, which dask merges with the
    steps that make the block: its parts never travel."""

    def __init__(self, given):
        self.f = f = given["y_pred"]
        if max(f.numblocks[1:], default=1) > 1:
            raise ValueError(f"y_pred has {f.numblocks[1]} blocks across its columns: y_pred.rechunk({{1: -1}})")
        self.starts = [None if math.isnan(n) else n for n in np.cumsum([0, *f.chunks[0]]).tolist()]
        self.cut = {name: self._like_predictions(name, x) for name, x in given.items()}

    def _like_predictions(self, name, x):
        f = self.f
        if x is None or np.ndim(x) == 0:
            return x
        known = self.starts[-1] is not None
        if known and not isinstance(x, da.Array) and not dask.is_dask_collection(x):
            x = da.from_array(np.asarray(x), chunks=-1)
        if not isinstance(x, da.Array):
            raise TypeError(f"{name} is a {type(x).__name__}, and the lengths of the blocks of y_pred, an array of dask, "
                            "are not known: make both the same kind")
        if known and not math.isnan(len(x)):
            if len(x) != len(f):
                raise ValueError(f"{name} has {len(x)} samples and y_pred has {len(f)}")
            x = x.rechunk({0: f.chunks[0], **{k: -1 for k in range(1, x.ndim)}})
        if x.numblocks != (f.numblocks[0], *[1] * (x.ndim - 1)):
            raise ValueError(f"{name} has {x.numblocks} blocks and y_pred {f.numblocks}, and their lengths are not known: "
                             "call compute_chunk_sizes() on both")
        return x

    def each(self, function, given, **more):
        """For each block what `function(its arguments, its first sample, **more)` gives: an array of one object a block."""
        arguments = [] if self.starts[-1] is None else [ArraySliceDep(self.f.chunks[:1]), "i"]  # makes no tasks
        lazy, constant = [], {}
        for name, x in self.cut.items():
            if given[name] is None or not isinstance(x, da.Array):
                constant[name] = None if given[name] is None else x
            else:
                lazy.append(name)
                arguments += [x, "ijk"[: x.ndim]]
        return da.blockwise(_of_block, "i", *arguments, function=function, names=list(self.cut), lazy=lazy,
                            constant=constant, more=more, concatenate=True, align_arrays=False,
                            adjust_chunks={"i": lambda size: 1}, dtype=object, meta=np.empty(0, object))

    def total(self, results, k):
        """The sum of what is at `k` in the results of each block, an array of dask without dimensions."""
        return da.reduction(results, chunk=_Sums(k), combine=_Sums(None), aggregate=_Sums(None, last=True), axis=0,
                            split_every=MERGED, concatenate=True, dtype=object, meta=np.empty((), object))

    def delayed_total(self, results):
        return dask.delayed(np.ndarray.item)(self.total(results, 0))

    def value(self, total, denominator):
        return da.map_blocks(_value, total, denominator=denominator, dtype=np.float64, meta=np.empty((), np.float64))

    def joined(self, results, k, of_rows):
        f = self.f
        dtype, rest = arrays.result_dtype(f.dtype), () if of_rows else f.shape[1:]
        return da.map_blocks(_pick, results, k=k, dtype=dtype, chunks=(f.chunks[0], *[(size,) for size in rest]),
                             new_axis=list(range(1, 1 + len(rest))) or None, meta=np.empty([0] * (1 + len(rest)), dtype))


def _of_block(*parts, function, names, lazy, constant, more):
    start = int(parts[0][0].start) if len(parts) > len(lazy) else None
    given = {**constant, **dict(zip(lazy, parts[-len(lazy):], strict=True))}
    made = np.empty(1, object)
    made[0] = function({name: given[name] for name in names}, start, **more)
    return made


class _Sums:
    """A step of a reduction over blocks: exact sums added, of the results themselves those at `k`."""

    def __init__(self, k, last=False):
        self.k, self.last = k, last

    def __call__(self, blocks, axis, keepdims):
        made = np.empty(() if self.last else (1,), object)
        made[...] = _added([one if self.k is None else one[self.k] for one in blocks.reshape(-1)])
        return made


def _value(total, denominator):
    return np.asarray(_divided(total.item(), denominator))


def _pick(results, k):
    return results[0][k]


# ---- columns of data frames --------------------------------------------------------------------------------------


class _Frames:
    """Arguments in partitions like those of `y_pred`, a column or a frame of dask."""

    def __init__(self, given):
        self.f = f = given["y_pred"]
        self.starts = [None] * (f.npartitions + 1)
        self.parts = {name: self._like_predictions(name, x) for name, x in given.items()}

    def _like_predictions(self, name, x):
        f = self.f
        if x is None or np.ndim(x) == 0:
            return [x] * f.npartitions
        if not dask.is_dask_collection(x):
            raise TypeError(f"{name} is a {type(x).__name__}, and how y_pred is cut is not known: make it a collection of "
                            "dask with the same partitions")
        if getattr(x, "npartitions", None) != f.npartitions or getattr(x, "divisions", f.divisions) != f.divisions:
            raise ValueError(f"{name} and y_pred are cut differently: {name}.repartition(divisions=y_pred.divisions), "
                             "or take both from one data frame")
        return x.to_delayed().reshape(-1).tolist() if isinstance(x, da.Array) else x.to_delayed()

    def each(self, function, given, **more):
        function = dask.delayed(function)
        parts = {name: [None] * self.f.npartitions if given[name] is None else cut for name, cut in self.parts.items()}
        return [function(dict(zip(parts, block, strict=True)), None, **more) for block in zip(*parts.values(), strict=True)]

    def delayed_total(self, results):
        return self.total(results, 0)

    def total(self, results, k):
        sums = [result[k] for result in results]
        while True:
            sums = [dask.delayed(_added)(sums[j: j + MERGED]) for j in range(0, len(sums), MERGED)]
            if len(sums) == 1:
                return sums[0]

    def value(self, total, denominator):
        """As a collection that can be computed together with those of data frames."""
        import dask.dataframe as dd
        import pandas as pd

        value = dask.delayed(_divided)(total, denominator)
        return dd.from_delayed([dask.delayed(pd.Series)([value])], meta=pd.Series(dtype=np.float64)).sum()

    def joined(self, results, k, of_rows):
        import dask.dataframe as dd

        f = self.f
        empty = np.empty((0, len(f.columns)) if f.ndim > 1 and not of_rows else 0, arrays.result_dtype(_dtype(f)))
        return dd.from_delayed([result[k] for result in results], meta=kind(f._meta).wrap(empty, f._meta, None),
                               divisions=f.divisions)
