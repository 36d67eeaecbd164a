"""One call of a row loss, from the caller's arrays to the result: the counterpart of `evaluate` for samples that are rows.

Predictions (n, C) are read in place in C and in Fortran order, and gradients and Hessians come in the order of the
predictions. What a kernel cannot read in place (strided, float16; Fortran order where the kernel runs along rows) is
staged block by block, in C order (columns that lie apart: in Fortran order), with the same bits.
"""

from __future__ import annotations

import math
import operator
from dataclasses import fields

import numpy as np

from . import compile, drivers
from .arrays import numpy as arrays
from .arrays.apart import Apart, Columns
from .evaluate import PLAIN, Denominator, Share, check_reduction, curvature, reduced, remedy, weight_sums
from .kernels.rows import BLOCK, UNROLLED, block_of

ALONG_FROM = 384
"""Columns from which a kernel runs along the row instead of across rows."""

FRUGAL_FROM = 16384
"""Columns from which nothing of a row is kept between passes, and a softmax is streamed. Memory for staged rows and their
buffers stays below 2 MB."""

EFFECTIVE_NUMBER_BETA = 0.9999

_WANTED = {  # method -> the formulas behind (value, gradient, Hessian) outputs
    "value": ("value", None, None),
    "elementwise": ("value", None, None),
    "grad": (None, "gradient", None),
    "value_and_grad": ("value", "gradient", None),
    "grad_and_hess": (None, "gradient", "hessian"),
    "value_grad_hess": ("value", "gradient", "hessian"),
    "hvp": (None, "hessian_times", None),
    "hess_blocks": (None, "hessian_column", None),
    "natural_grad": (None, "natural_gradient", None),
    "prediction": (None, "prediction", None),
}

_NEEDS = {"hessian_column": "hessian_times"}


def run(loss, what, y_true, y_pred, sample_weight, mask, reduction, hessian, out, n_threads, executor, v=None):
    """Evaluate `what` of a row loss (see _WANTED; or `gradient_<parameter>`)."""
    check_reduction(reduction)
    call = _Call(loss, what, y_true, y_pred, sample_weight, mask, hessian, reduction == "none", v)
    parts = call.denominator(reduction, n_threads, executor)
    if isinstance(reduction, Denominator):
        return parts
    denominator = reduction.denominator if isinstance(reduction, Share) else math.fsum(parts)
    outputs = call.outputs(out)
    scale = 1.0 / denominator if denominator else 0.0
    units = range(call.columns) if what == "hess_blocks" else [0]
    for unit in units:
        results = [a if what != "hess_blocks" or a is None else a[:, :, unit] for a in outputs]
        call.run(results, scale, unit, n_threads, executor)
    call.check()
    return call.result(outputs, denominator, reduction)


def predictions(loss, raw):
    """The loss's `prediction(self, f)` of every row."""
    return run(loss, "prediction", 0, raw, None, None, "none", None, None, None, "auto")


def values_of_rows(loss, y, f, w, mask, out, names, offset):
    """Fill `out` with the value w*l of each row; errors call the arrays by these names and count rows from `offset`."""
    call = _Call(loss, "elementwise", y, f, w, mask, None, True, None)
    call.run([out, None, None], 1.0, 0, None, "auto")
    call.check(names, offset)


def class_weights(loss, y, f, sample_weight):
    """The weight of each class for these targets."""
    return _Call(loss, "value", y, f, sample_weight, None, None, False, None).class_weights


class _Call:
    """The arrays of one call, and what is to be computed from them."""

    def __init__(self, loss, what, y_true, y_pred, sample_weight, mask, hessian, unreduced, v):
        self.loss, self.what = loss, what
        f = arrays.view("y_pred", y_pred)
        self.f = f = _predictions(loss, f)
        self.n, self.columns = f.shape
        self.F = arrays.COMPUTED_IN.get(f.dtype, np.float64)
        self.result_dtype = arrays.result_dtype(f.dtype)
        self.row_length = _parameter_length(loss) if loss.single_score else self.columns
        self.n_classes = loss.n_classes(self.columns)
        if what == "prediction":
            self.y, self.labels = np.broadcast_to(np.int64(0), (self.n,)), False
        else:
            self.y, self.labels = _targets(loss, arrays.view("y_true", y_true), f, self.n_classes)
        self.w = None if sample_weight is None else _per_row("sample_weight", arrays.view("sample_weight", sample_weight), f)
        self.mask = None if mask is None else _per_row("mask", arrays.boolean("mask", mask), f)
        self.v = None if v is None else _like_predictions("v", arrays.view("v", v), f)
        self.ignore = getattr(loss, "ignore_index", None) if self.labels else None
        if self.ignore is not None and ((self.ignore < 0 and self.y.dtype.kind != "i") or abs(self.ignore) >= 1 << 63):
            self.ignore = None  # these targets cannot be it, but as int64 another one might
        weighting = getattr(loss, "class_weight", None) is not None
        self.class_weights = self._class_weights() if weighting else None
        self.class_factor = weighting and not loss.weighs_classes
        self.program = self._program(hessian, unreduced)

    # ---- weights -----------------------------------------------------------------------------------------------

    def _chunks(self):
        """(rows, whether each counts, its labels or its row of targets) in chunks."""
        size = 8 * BLOCK if self.y.ndim == 1 else block_of(self.row_length)
        for start in range(0, self.n, size):
            rows = slice(start, min(self.n, start + size))
            counts = np.ones(rows.stop - start, np.bool_)
            if self.mask is not None:
                counts &= ~self.mask[rows]
            if self.ignore is not None:
                counts &= self.y[rows] != self.ignore
            yield rows, counts, self.y[rows]

    def _class_weights(self):
        """One weight per class, for "balanced" and "effective_number" from the targets of this call."""
        loss, K = self.loss, self.n_classes
        given = loss.class_weight
        if isinstance(given, tuple):
            weights = np.ones(K)
            for label, weight in given:
                if not 0 <= label < K:
                    raise ValueError(f"class_weight has the label {label}; y_pred has {K} classes, 0 to {K - 1}")
                weights[label] = weight
            return weights
        if not isinstance(given, str):
            if given.size != K:
                raise ValueError(f"class_weight has {given.size} weights; y_pred has {K} classes")
            return given
        counts = np.zeros(K)
        for rows, kept, y in self._chunks():
            if self.w is not None:
                kept = kept & (self.w[rows] != 0)
            if self.labels:
                y = y[kept].astype(np.int64, copy=False)
                counts += np.bincount(y[(y >= 0) & (y < K)], minlength=K)[:K]
            else:
                counts += y[kept].sum(0, dtype=np.float64)
        present = counts > 0
        if given == "balanced":
            weights = counts.sum() / (max(present.sum(), 1) * np.where(present, counts, 1.0))
        else:
            volume = -np.expm1(np.where(present, counts, 1.0) * math.log(EFFECTIVE_NUMBER_BETA))
            weights = (1.0 - EFFECTIVE_NUMBER_BETA) / volume
            weights *= present.sum() / max(weights[present].sum(), 1e-300)
        return np.where(present, weights, 0.0)

    def denominator(self, reduction, n_threads, executor):
        """The numbers that add up to what the reduction divides by, from one read of weights, mask and targets; checks the
        weights."""
        if isinstance(reduction, Denominator):
            reduction = reduction.reduction
        if self.w is not None:
            sums = weight_sums(self.w, self.mask, self.F, n_threads, executor)
        if self.what == "hess_blocks" or reduction not in ("mean", "sum_over_batch_size"):
            return [1.0]
        weighed, loss, F = reduction == "mean", self.loss, self.F
        by_class = weighed and self.class_weights is not None and (self.labels or not loss.rows_weigh_one)
        if self.ignore is None and not by_class:
            if weighed and self.w is not None:
                return sums.tolist()
            return [float(self.n if self.mask is None else self.n - arrays.count_true(self.mask))]
        total = []
        for rows, kept, y in self._chunks():
            weight = np.ones(kept.size, F) if self.w is None or not weighed else self.w[rows].astype(F)
            if by_class:
                table = self.class_weights.astype(F)
                if self.labels:
                    inside = (y >= 0) & (y < self.n_classes)
                    weight = weight * table[np.where(inside, y, 0).astype(np.int64)]
                else:
                    weight = weight * (y.astype(F) * table).sum(1)
            total.append(float(np.where(kept, weight, 0.0).sum(dtype=np.float64)))
        return total

    # ---- the kernel --------------------------------------------------------------------------------------------

    def _program(self, hessian, unreduced):
        loss, what, f, F = self.loss, self.what, self.f, self.F
        value, gradient, second = _WANTED.get(what, (what, None, None))
        if second:
            second = curvature(loss, hessian)
        for name in filter(None, (gradient, second)):
            if not hasattr(loss, _NEEDS.get(name, name)):
                raise ValueError(f"{type(loss).__name__} has no formula {_NEEDS.get(name, name)}, which {what} needs")
        self.along = self.row_length >= ALONG_FROM
        order = _order(f) if f.dtype == F else None
        in_place = order is not None and not (self.along and order == "F")
        y_rows = self.y.ndim == 2
        y_order = _order(self.y) if y_rows and self.y.dtype in PLAIN else None
        for a in (self.w, self.mask, None if y_rows else self.y):
            in_place = in_place and (a is None or (a.dtype in PLAIN and bool(a.flags.aligned) and a.flags.c_contiguous))
        if self.v is not None:
            in_place = in_place and self.v.dtype == F and _order(self.v, order) == order
        if y_rows:
            in_place = in_place and y_order is not None and not (self.along and y_order == "F")
        if what == "hess_blocks":
            in_place = False
        self.in_place = in_place
        self.order = order if in_place else "F" if isinstance(f, Columns) and not self.along else "C"
        places = [("sum" if not unreduced else "v", value), ("g", gradient), ("h", second)]
        wanted = tuple((place, name) for place, name in places if name)
        w_dtype = None if self.w is None else self.w.dtype
        frugal = self.row_length >= FRUGAL_FROM
        key = (wanted, f.dtype, self.y.dtype, self.y.ndim, y_order, in_place, order, w_dtype, self.mask is not None,
               self.along, frugal, min(self.row_length, UNROLLED + 1))
        programs = loss._kept("_programs")
        if key not in programs:
            programs[key] = self._new_program(wanted, y_order, frugal)
        return programs[key]

    def _new_program(self, wanted, y_order, frugal):
        loss, F, y = self.loss, self.F, self.y
        request = compile.RowRequest(
            F=F, y=y.dtype if y.dtype in PLAIN else np.dtype(F),
            y_layout=None if y.ndim == 1 else y_order if self.in_place else "C", layout=self.order,
            w=None if self.w is None else self.w.dtype if self.w.dtype in PLAIN else np.dtype(F),
            mask=self.mask is not None, ignoring=self.ignore is not None, class_factor=self.class_factor, wanted=wanted,
            along=self.along, frugal=frugal)
        try:
            program = compile.RowProgram(loss, request, self.row_length)
        except compile.RowOutput as row:  # the derivative with respect to an array parameter
            program = compile.RowProgram(loss, request._replace(wanted=(("columns", row.name),)),
                                         self.row_length)
        return program

    def outputs(self, out):
        """(v, g, h): arrays to write, new ones in the order of the predictions."""
        f, places = self.f, dict(self.program.request.wanted)
        inputs = [("y_true", self.y), ("y_pred", f), ("sample_weight", self.w), ("mask", self.mask), ("v", self.v)]
        given = {}
        if out is not None and "g" in places and "h" in places:
            if not isinstance(out, tuple) or len(out) != 2:
                raise TypeError(f"out must be a tuple (grad, hess) here, found {type(out).__name__}")
            g = arrays.output("out[0]", out[0], self.shaped, self.result_dtype, inputs)
            given = {"g": g, "h": arrays.output("out[1]", out[1], self.shaped, self.result_dtype, [*inputs, ("out[0]", g)])}
        elif out is not None and "g" in places:
            given = {"g": arrays.output("out", out, self.shaped, self.result_dtype, inputs)}
        elif out is not None:
            given = {"v": arrays.output("out", out, np.empty(self.n, np.bool_), self.result_dtype, inputs)}
        order = "F" if isinstance(f, Columns) or (f.flags.f_contiguous and not f.flags.c_contiguous) else "C"
        shapes = {"v": (self.n,), "g": self.shaped.shape, "h": self.shaped.shape}
        if self.what == "hess_blocks":
            shapes["g"], order = (self.n, self.columns, self.columns), "C"
        return [None if p not in places else given[p] if p in given else np.empty(shapes[p], self.result_dtype, order)
                for p in "vgh"]

    @property
    def shaped(self):
        """The predictions as the caller shaped them: (n,) for one score per sample."""
        if not self.loss.single_score:
            return self.f
        return self.f.columns[0] if isinstance(self.f, Columns) else self.f[:, 0]

    def run(self, outputs, scale, unit, n_threads, executor):
        """Run the kernel over every block."""
        program, F, n = self.program, self.F, self.n
        block = block_of(self.row_length)
        blocks = (n + block - 1) // block
        self.partials = np.empty((blocks, 2))
        self.row_sums = np.empty(blocks * self.row_length) if "columns" in dict(program.request.wanted) else None
        theta = np.array([operator.attrgetter(name)(self.loss) for name in program.parameters], F)
        tables = tuple(self._table(name) for name in program.tables)
        size = n * self.row_length
        if size < drivers.PARALLEL_FROM and executor == "auto" and n_threads is None:
            driver, threads = "serial", 1
        else:
            driver, threads = drivers.choose(executor, size, n_threads)
        fixed = (theta, tables)
        ignore = 0 if self.ignore is None else self.ignore
        flat = self.in_place and all(a is None or (a.dtype == F and ((a.ndim == 1 and a.flags.c_contiguous) or
                                                                 (a.ndim == 2 and _order(a, self.order) == self.order)))
                                     for a in outputs)
        if self.along and any(a is not None and arrays.overlap(a, self.f) for a in outputs):
            flat = False  # the gradient may be known a pass over the row before the Hessian, which needs the predictions
        if flat:
            memory = [None if a is None else _flat(a) for a in (self.y, self.f, self.v, self.w, self.mask)]
            results = [None if a is None else _flat(a) for a in outputs]

            def work(driver, first, last, step):
                program.kernel(driver)(*fixed, *memory, ignore, F(scale), self.partials, self.row_sums, *results, n,
                                       self.row_length, self.n_classes, unit, block, first, last, step)

            drivers.run(work, driver, threads, blocks)
            return

        def work(driver, first, last, step):
            self._staged(program.kernel(driver), fixed, ignore, F(scale), outputs, unit, block, first, last)

        drivers.run(work, "threads" if driver == "parallel" else driver, threads, blocks)

    def _staged(self, kernel, fixed, ignore, scale, outputs, unit, block, first, last):
        """Blocks first..last by way of small contiguous buffers, in the order that the kernel was compiled for."""
        request, n, F, order = self.program.request, self.n, self.F, self.order
        kinds = ((self.y, request.y, request.y_layout or "C"), (self.f, F, order), (self.v, F, order),
                 (self.w, request.w, "C"), (self.mask, np.bool_, "C"), *[(a, F, order) for a in outputs])
        memory = [None if a is None else np.empty(block * math.prod(a.shape[1:]), dtype) for a, dtype, _ in kinds]
        for b in range(first, last):
            start, stop = b * block, min(n, (b + 1) * block)
            flat = [None if a is None else a[: (stop - start) * (a.size // block)] for a in memory]
            parts = [None if a is None else flat[k].reshape((stop - start, *a.shape[1:]), order=layout)
                     for k, (a, _, layout) in enumerate(kinds)]
            for (a, *_), part in zip(kinds[:5], parts, strict=False):
                if a is not None:
                    np.copyto(part, a[start:stop], casting="unsafe")
            L = self.row_length
            sums = None if self.row_sums is None else self.row_sums[b * L:(b + 1) * L]
            kernel(*fixed, *flat[:5], ignore, scale, self.partials[b:b + 1], sums, *flat[5:], stop - start, L,
                   self.n_classes, unit, block, 0, 1, 1)
            for (a, *_), part in zip(kinds[5:], parts[5:], strict=True):
                if a is not None:
                    a[start:stop] = part

    def _table(self, name):
        if name == "class_weights":
            return self.class_weights.astype(self.F)
        array = np.asarray(operator.attrgetter(name)(self.loss))
        if array.shape[-1] != self.row_length or (array.ndim == 2 and array.shape[0] != self.n_classes):
            raise ValueError(f"{type(self.loss).__name__}: its {name} has shape {array.shape}; y_pred has "
                             f"{self.columns} columns and there are {self.n_classes} classes")
        return np.ascontiguousarray(array, self.F).reshape(-1)

    # ---- the result --------------------------------------------------------------------------------------------

    def result(self, outputs, denominator, reduction):
        places = dict(self.program.request.wanted)
        if "columns" in places:
            sums = self.row_sums.reshape(-1, self.row_length)
            total = np.array([math.fsum(column) for column in sums.T.tolist()]).astype(float)
            return total / denominator if denominator else total * math.nan
        arrays_ = [a for a in outputs if a is not None]
        if "sum" in places:
            value = self.partials[:, 0].tolist() if isinstance(reduction, Share) else \
                reduced(self.partials, denominator, reduction, stacklevel=7)
            return (value, *arrays_) if arrays_ else value
        return arrays_[0] if len(arrays_) == 1 else tuple(arrays_)

    def check(self, names=("y_true", "y_pred"), offset=0):
        """Raise for the first label, target or prediction that a kernel found to be outside."""
        if not self.partials[:, 1].any():
            return
        bad = int(np.flatnonzero(self.partials[:, 1])[0])
        block = block_of(self.row_length)
        rows = slice(bad * block, min(self.n, (bad + 1) * block))
        kept = np.ones(rows.stop - rows.start, np.bool_)
        if self.mask is not None:
            kept &= ~self.mask[rows]
        if self.w is not None:
            kept &= self.w[rows] != 0
        y, f, loss = self.y[rows], self.f[rows], self.loss
        if self.labels:
            if self.ignore is not None:
                kept &= y != self.ignore
            wrong = np.flatnonzero(((y < 0) | (y >= self.n_classes)) & kept)
            if wrong.size:
                raise self._label_error(names[0], offset + rows.start + int(wrong[0]), int(y[wrong[0]]))
        for name, a, domain in zip(names, (y, f), (loss.y_domain, loss.pred_domain), strict=True):
            if domain.everything or (a is y and self.labels):
                continue
            outside = domain.outside(a.astype(self.F))
            wrong = np.argwhere(outside & (kept[:, None] if a.ndim == 2 else kept))
            if wrong.size:
                at = tuple(map(int, wrong[0]))
                where = f"{name}[{', '.join(map(str, (at[0] + rows.start + offset, *at[1:])))}]"
                value = a[at].item()
                raise ValueError(f"{where} = {value!r}: {loss.name} needs {name} to be {domain}; "
                                 f"{remedy(a is y, name, value, domain, loss)}")
        raise AssertionError("a kernel reported a value outside the domain, and there is none")

    def _label_error(self, name, row, label):
        remedy = "labels count from 0: subtract the smallest label" if label == self.n_classes else \
            "correct it, or take the sample out with ignore_index=, mask= or a weight of 0"
        return ValueError(f"{name}[{row}] = {label}: {self.loss.name} needs a label from 0 to {self.n_classes - 1}, since "
                          f"y_pred has {self.columns} columns; {remedy}")


# ---- shapes ------------------------------------------------------------------------------------------------------


def _predictions(loss, f):
    """The predictions as (n, C)."""
    if loss.single_score:
        if f.ndim == 2 and f.shape[1] == 1:
            raise ValueError(f"y_pred has shape {f.shape}; {loss.name} takes one score per sample: pass y_pred[:, 0]")
        if f.ndim != 1:
            raise ValueError(f"y_pred has shape {f.shape}; {loss.name} takes one score per sample, shape (n,)")
        return Columns([f]) if isinstance(f, Apart) else f[:, None]
    if f.ndim != 2:
        raise ValueError(f"y_pred has shape {f.shape}; {loss.name} needs one row per sample, shape (n, columns)"
                         + ("; for one row pass y_pred[None, :]" if f.ndim == 1 else ""))
    if f.shape[1] == 0:
        raise ValueError(f"y_pred has shape {f.shape}: its rows are empty")
    if loss.columns and f.shape[1] != len(loss.columns):
        raise ValueError(f"y_pred has {f.shape[1]} columns; {loss.name} needs {len(loss.columns)}: "
                         f"{', '.join(loss.columns)}")
    return f


def _parameter_length(loss):
    """The length of the rows of a loss of a single score: that of its array parameter, or of its part's."""
    values = [getattr(loss, spec.name) for spec in fields(loss) if spec.name != "class_weight"]
    sizes = [value.size for value in values if isinstance(value, np.ndarray)]
    return sizes[0] if sizes else _parameter_length(loss.parts[0])


def _targets(loss, y, f, n_classes):
    """(targets, whether they are labels)."""
    n, C = f.shape
    kind = loss.target
    as_rows = kind == "row" or (kind == "classes" and y.ndim == 2)
    expected = (n, C) if as_rows else (n,)
    if y.ndim == 0 and not as_rows:
        y = np.broadcast_to(y, (n,))
    if y.shape != expected:
        wanted = {"label": f"(n,) labels, here ({n},)", "classes": f"({n},) labels or ({n}, {C}) probabilities",
                  "row": f"({n}, {C}), as y_pred", "number": f"({n},), one number per row of y_pred"}[kind]
        hint = "; pass y_true[:, 0]" if y.shape == (n, 1) and kind != "row" else ""
        if kind == "label" and y.shape == (n, C) and C > 1:
            hint = "; for one-hot rows pass y_true.argmax(axis=1)"
        raise ValueError(f"y_true has shape {y.shape}; {loss.name} needs {wanted}{hint}")
    labels = kind == "label" or (kind == "classes" and not as_rows)
    if labels and y.dtype.kind not in "iub":
        raise TypeError(f"y_true has dtype {y.dtype}; labels must be integers: pass y_true.astype(numpy.int64)"
                        + (", or rows of probabilities" if kind == "classes" else ""))
    return y, labels


def _per_row(name, w, f):
    if w.shape == f.shape[:1]:
        return w
    raise ValueError(f"{name} has shape {w.shape}; it must have shape {f.shape[:1]}, one per row of y_pred")


def _like_predictions(name, v, f):
    v = v[:, None] if v.ndim == 1 and f.shape[1] == 1 else v
    if v.shape != f.shape:
        raise ValueError(f"{name} has shape {v.shape}; it must have the shape of y_pred, {f.shape}")
    return v


def _order(a, preferred=None):
    """"C" or "F" where the array lies in memory in that order, else None; `preferred` where it is both."""
    if not a.flags.aligned:
        return None
    orders = [order for order, flag in (("C", a.flags.c_contiguous), ("F", a.flags.f_contiguous)) if flag]
    return preferred if preferred in orders else orders[0] if orders else None


def _flat(a):
    """The memory of a contiguous array, as one dimension."""
    return a.reshape(-1) if a.flags.c_contiguous else a.T.reshape(-1)
