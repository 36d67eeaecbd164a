"""One call of a row loss on arrays of a CUDA device: the counterpart of `evaluate_rows`, by the rules of `evaluate_cuda`."""

from __future__ import annotations

import operator
from types import SimpleNamespace

import numpy as np

from . import compile_cuda, evaluate_rows
from .arrays import cuda as arrays
from .arrays.numpy import COMPUTED_IN, result_dtype
from .evaluate import check_reduction, curvature
from .evaluate_cuda import _address, boolean, denominator, like_predictions, outputs, result
from .kernels import cuda_rows


def run(loss, what, y_true, y_pred, sample_weight, mask, reduction, hessian, out, v=None):
    """Evaluate `what` of a row loss, as `evaluate_rows.run` does."""
    check_reduction(reduction)
    call = _Call(loss, what, y_true, y_pred, sample_weight, mask, hessian, reduction, v)
    with call.f.current():
        compile_cuda.make_current(call.f.device)
        return call.run(reduction, out)


class _Call:
    """The arrays of one call, and what is to be computed from them."""

    def __init__(self, loss, what, y_true, y_pred, sample_weight, mask, hessian, reduction, v):
        self.loss, self.what = loss, what
        self.f = f = arrays.view("y_pred", y_pred)
        shape = evaluate_rows._predictions(loss, _standing_for(f)).shape
        self.n, self.columns = shape
        self.F = COMPUTED_IN.get(f.dtype, np.float64)
        self.row_length = evaluate_rows._parameter_length(loss) if loss.single_score else self.columns
        self.n_classes = loss.n_classes(self.columns)
        self.y = y = arrays.view("y_true", y_true, f)
        if not y.shape:
            raise ValueError(f"y_true has shape (); {loss.name} needs one target per row of y_pred, an array on the device")
        _, self.labels = evaluate_rows._targets(loss, _standing_for(y), np.broadcast_to(np.empty((), f.dtype), shape),
                                                self.n_classes)
        self.w = None if sample_weight is None else self._per_row("sample_weight", sample_weight)
        self.mask = None if mask is None else boolean(self._per_row("mask", mask))
        self.v = None if v is None else like_predictions(v, f)
        self.ignore = getattr(loss, "ignore_index", None) if self.labels else None
        if self.ignore is not None and ((self.ignore < 0 and y.dtype.kind != "i") or abs(self.ignore) >= 1 << 63):
            self.ignore = None  # these targets cannot be it, but as int64 another one might
        weighting = getattr(loss, "class_weight", None) is not None
        if weighting and isinstance(loss.class_weight, str):
            raise ValueError(f"class_weight={loss.class_weight!r} counts the labels of each call, which is not made on a "
                             "device: pass the weights as an array")
        self.class_factor = weighting and not loss.weighs_classes
        self.program = self._program(hessian, reduction)

    def _per_row(self, name, a):
        a = arrays.view(name, a, self.f)
        if a.shape != (self.n,):
            raise ValueError(f"{name} has shape {a.shape}; it must have shape {(self.n,)}, one per row of y_pred")
        return a

    # ---- the kernels -------------------------------------------------------------------------------------------

    def _program(self, hessian, reduction):
        loss, what = self.loss, self.what
        value, gradient, second = evaluate_rows._WANTED.get(what, (what, None, None))
        if second:
            second = curvature(loss, hessian)
        for name in filter(None, (gradient, second)):
            needed = evaluate_rows._NEEDS.get(name, name)
            if not hasattr(loss, needed):
                raise ValueError(f"{type(loss).__name__} has no formula {needed}, which {what} needs")
        self.by_class = getattr(loss, "class_weight", None) is not None and (self.labels or not loss.rows_weigh_one)
        divided = reduction in ("mean", "sum_over_batch_size") and what != "hess_blocks"
        counted = self.w is not None or self.mask is not None or self.ignore is not None
        self.scaled = divided and (counted or (self.by_class and reduction == "mean"))
        places = [("v" if reduction == "none" else "sum", value), ("g", gradient), ("h", second)]
        self.wanted = tuple((place, name) for place, name in places if name)
        self.out = result_dtype(self.f.dtype)
        return self._traced(self.wanted, self.scaled, self.out, self.w, self.class_factor)

    def _traced(self, wanted, scaled, out, w, class_factor):
        y, f = self.y, self.f
        request = compile_cuda.RowRequest(
            F=self.F, f=f.dtype, y=y.dtype, y_row=len(y.shape) == 2, out=out,
            w=None if w is None else w.dtype, mask=self.mask is not None, ignoring=self.ignore is not None,
            class_factor=class_factor, scaled=scaled, wanted=wanted, lanes=cuda_rows.lanes_of(self.row_length))
        programs = self.loss._kept("_cuda_programs")
        if request not in programs:
            programs[request] = compile_cuda.RowProgram(self.loss, request)
        return programs[request]

    def run(self, reduction, out):
        f, n, F, stream = self.f, self.n, self.F, self.f.stream
        program, places = self.program, dict(self.wanted)
        block = cuda_rows.blocks_of(n, self.row_length, program.kernel.lanes, program.kept, np.dtype(F).itemsize)
        shapes = [(n,) if "v" in places else None, *[f.shape if place in places else None for place in "gh"]]
        if self.what == "hess_blocks":
            shapes[1] = (n, self.columns, self.columns)
        inputs = [("y_true", self.y), ("y_pred", f), ("sample_weight", self.w), ("mask", self.mask), ("v", self.v)]
        written = outputs(f, self.out, shapes, out, inputs, in_place=False)
        partials = f.empty((block,), np.float64)
        sums = inverses = None
        count = 1.0 if reduction in ("sum", "none") or self.what == "hess_blocks" else float(n)
        if self.scaled:
            sums, inverses = self._denominator(reduction, stream, partials)
        for unit in range(self.columns if self.what == "hess_blocks" else 1):
            self._launch(program, stream, block, F(1.0 / count if count else 0.0), inverses, partials, written, unit)
        results = [a.given for a in written if a is not None]
        if "sum" not in places:
            return results[0] if len(results) == 1 else tuple(results)
        return result(f, stream, block, partials, count, sums, reduction, results)

    def _launch(self, program, stream, blocks, scale, inverses, partials, written, unit):
        if not blocks:
            return
        f, F, kernel = self.f, self.F, program.kernel
        theta = tuple(F(operator.attrgetter(name)(self.loss)) for name in program.parameters) or (F(0.0),)
        tables = [self._table(name) for name in program.tables]
        groups = blocks * (compile_cuda.THREADS // kernel.lanes)
        scratch = f.empty((program.kept * self.row_length * groups,), F) if program.kept else None
        kernel(f.device, stream, blocks, theta, tuple(map(f.library.address, tables)) or (0,),
               *map(_address, (self.y, f, self.v, self.w, self.mask)), 0 if self.ignore is None else self.ignore, scale,
               *map(_address, (inverses, partials, scratch, *written)), self.n, self.row_length, self.n_classes, unit)

    def _denominator(self, reduction, stream, partials):
        """What the reduction divides by, and its inverse in F: arrays that the device fills."""
        w, by_class = (self.w, self.by_class) if reduction == "mean" else (None, False)
        program = self._traced((("sum", "weight"),), False, None, w, by_class)
        self._launch(program, stream, partials.shape[0], self.F(1.0), None, partials, [None] * 3, 0)
        return denominator(self.f, stream, self.F, partials.shape[0], partials)

    def _table(self, name):
        """An array parameter on the device, copied there once."""
        tables = self.loss._kept("_cuda_tables")
        key = (name, self.F, self.f.library, self.f.device, self.n_classes, self.row_length)
        if key not in tables:
            call = SimpleNamespace(loss=self.loss, F=self.F, n_classes=self.n_classes, row_length=self.row_length,
                                   columns=self.columns)
            if name == "class_weights":
                call.class_weights = evaluate_rows._Call._class_weights(call)
            tables[key] = self.f.library.from_host(evaluate_rows._Call._table(call, name), self.f.given)
        return tables[key]


def _standing_for(a):
    """An array of NumPy of the same shape and dtype, without memory: the checks of shapes are those of `evaluate_rows`."""
    return np.broadcast_to(np.empty((), a.dtype), a.shape)
