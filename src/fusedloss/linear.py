"""Linear models in one pass: the loss of X w + intercept with its gradient, X read once.

X @ w, a loss, X.T @ g read X twice and make arrays of scores and slopes between. Here a block of rows of X is in the cache
when both products want it. Losses of one prediction have a kernel for the whole (`kernels.linear.elementwise`); losses of
rows go block by block through the loss's own kernels, between two products of a block of rows with a matrix
(`kernels.linear.product`), so that the scores of all samples exist at no time.

Groups of rows are summed apart, in float64, and the sums are added in order. Groups and blocks depend on the shape of X and
on the number of scores alone.
"""

from __future__ import annotations

import functools
import math
import operator
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from . import compile, drivers, evaluate, evaluate_rows
from .arrays import numpy as arrays
from .init_score_rows import columns_of
from .kernels import linear as kernels
from .kernels.vectors import lanes_of

if TYPE_CHECKING:
    from numpy import ndarray
    from numpy.typing import ArrayLike

    from .loss import Loss

__all__ = ["LinearObjective"]

CACHED = 1 << 17
"""Bytes of a block of rows of X, so few that they stay in the second-level cache until the gradient wants them; twice as
many in Fortran order, whose columns are read in longer pieces then."""

GROUPS, GROUP_ROWS = 256, 256
"""At most so many groups of rows, and at least so many rows in one: their gradients take 1/256 of the memory of X."""

SCORES, NUMBERS, FEWEST_ROWS = 1 << 16, 1 << 19, 32
"""Scores of a block of a loss of rows, and numbers in its rows of X. With fewer rows than 32 a block would spend its time on
reading and writing the gradient of the coefficients."""

NUMBERS_PER_SAMPLE = 16
"""Numbers of X that take as long as a sample of a loss, by which `drivers` decides whether threads pay."""

LARGEST_HESSIAN = 1 << 27
"""Numbers in the largest matrix that `hess` makes: 1 GB."""


class LinearObjective:
    """sum(w l(y, X coefficients + intercept)) / sum(w) + l2/2 ||coefficients||^2, with derivatives, X read once.

    `scipy.optimize.minimize(objective, objective.x0(), jac=True)` minimises it; with `hessp=objective.hvp` by Newton's
    method.

    Parameters
    ----------
    loss : any loss. A combination that takes units or class weights from the data takes them from `y`, here, once.
    X : array (n, d), or SciPy matrix in CSR format, float32 or float64. Its dtype is that of the arithmetic; sums over
        blocks are float64. C and Fortran order and CSR are read in place, anything else is copied group by group of rows.
    y : array (n,), or what the loss takes as targets of n predictions; for a loss of numbers also (n, k). They are checked
        here, once.
    sample_weight : array (n,), not negative; 0 takes a sample out entirely, NaN in y and in its row of X included (where X
        has such rows, the others are copied).
    l2 : not negative.
    fit_intercept : the intercept is the last element of w, (d + 1,). Of losses of rows w is the matrix (d + 1, C), the
        intercepts its last row; flattened in C order it will do as well.
    n_outputs : C of a loss of rows, where more than the largest label plus one, or not known from the loss and y.
    n_threads, executor : as in `Loss.__call__`, with the same bits; X itself is never read by Numba's threads, but by ours.

    Raises
    ------
    ValueError, TypeError : naming the argument, what was found, and the remedy. A prediction outside the loss's domain
        (raw scores have none) is an error when it comes up.
    """

    parameter = "w"
    """What errors call it."""

    def __init__(self, loss: Loss, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, *, l2: float = 0.0,
                 fit_intercept: bool = True, n_outputs: int | None = None, n_threads: int | None = None,
                 executor: str = "auto"):
        self._arguments = (loss, X, y, sample_weight), dict(l2=l2, fit_intercept=fit_intercept, n_outputs=n_outputs,
                                                            n_threads=n_threads, executor=executor)
        self.X = design(X)
        y = arrays.view("y", y)
        n, self.n_features = self.X.shape
        if y.shape[:1] != (n,):
            raise ValueError(f"y has shape {y.shape} and X has {n} rows; y must have one target per row of X")
        if n == 0:
            raise ValueError("X has no rows: there is nothing to fit")
        if not isinstance(fit_intercept, (bool, np.bool_)):
            raise TypeError(f"fit_intercept must be True or False, found {fit_intercept!r}")
        self.fit_intercept = bool(fit_intercept)
        self.l2 = float(l2)
        if not 0.0 <= self.l2 < math.inf:
            raise ValueError(f"l2 must be finite and not negative, found {l2!r}")
        drivers.choose(executor, 0, n_threads)
        self.n_threads, self.executor = n_threads, executor
        outputs = outputs_of(loss, y, n_outputs)
        self._shape = (self.n_features + self.fit_intercept, *outputs)
        w = None if sample_weight is None else arrays.view("sample_weight", sample_weight)
        F = self.X.dtype.type
        self.loss, self._losses, self._divisor = _settled(loss, y, w, (n, *outputs), F)
        if w is not None and not w.all():
            self.X, y, w = _without_unknown_rows(self.X, y, w)
        self.y, self.sample_weight = y, w
        engine = _Blocks if loss.rowwise or outputs else _OnePass
        self._engine = engine(self)

    def __reduce__(self):
        arguments, options = self._arguments
        return functools.partial(type(self), **options), arguments

    def x0(self) -> ndarray:
        """Where to start, float64, flat: coefficients 0 and the intercept at `loss.init_score(y)`, or at 0 where that is
        infinite (a class without samples)."""
        start = np.zeros(self._shape)
        if self.fit_intercept:
            best = np.atleast_1d(self.loss.init_score(self.y, self.sample_weight))
            intercept = start[-1:].reshape(-1)
            intercept[: best.size] = np.where(np.isfinite(best), best, 0.0)[: intercept.size]
        return start.reshape(-1)

    def value_and_grad(self, w: ArrayLike) -> tuple[float, ndarray]:
        """The value and its gradient, a new float64 array shaped like w."""
        W, shape = self._matrix(self.parameter, w)
        value, gradient, _ = self._engine.first_order(W, False)
        return self._penalised(value, W), self._finished(gradient, W).reshape(shape)

    __call__ = value_and_grad

    def value_and_grads(self, w: ArrayLike) -> tuple[float, ndarray, ndarray]:
        """The value and its gradients with respect to w and to X, an array like X in its dtype: for what comes before a
        linear layer. Not for sparse X."""
        if self._sparse:
            raise TypeError("the gradient for X has a number in every place, and X is sparse: pass X.toarray()")
        W, shape = self._matrix(self.parameter, w)
        value, gradient, slopes = _Blocks(self).first_order(W, True)
        return self._penalised(value, W), self._finished(gradient, W).reshape(shape), slopes

    def hvp(self, w: ArrayLike, v: ArrayLike) -> ndarray:
        """The Hessian at w times v, a new float64 array shaped like w."""
        (W, shape), (V, _) = self._matrix(self.parameter, w), self._matrix("v", v)
        return self._finished(self._engine.second_order(W, V), V).reshape(shape)

    def hess(self, w: ArrayLike) -> ndarray:
        """The Hessian at w, (N, N) float64 for the N numbers of w in C order.

        ValueError where it would take more than 1 GB: `hvp` gives its products.
        """
        W, _ = self._matrix(self.parameter, w)
        if W.size**2 > LARGEST_HESSIAN:
            raise ValueError(f"the Hessian has {W.size:,} x {W.size:,} numbers, {W.size**2 * 8e-9:.3g} GB: use "
                             "hvp(w, v), its product with a vector")
        hessian = _Blocks(self).hessian(W) / self._divisor
        penalised = np.arange(W[: self.n_features].size)
        hessian[penalised, penalised] += self.l2
        return hessian

    # ---- what the engines need -----------------------------------------------------------------------------------

    @property
    def _sparse(self):
        return not isinstance(self.X, np.ndarray)

    def _matrix(self, name, w):
        """(w as a matrix or vector of this objective, the shape in which it came)."""
        w = np.asarray(w)
        if w.dtype not in (np.float32, np.float64):
            w = arrays.view(name, w).astype(np.float64)
        size = math.prod(self._shape)
        if w.shape not in ((size,), self._shape):
            flat = f"({size},): {self._shape} in C order" if len(self._shape) > 1 else f"({size},)"
            raise ValueError(f"{name} has shape {w.shape}; it must have shape {flat}")
        return np.ascontiguousarray(w).reshape(self._shape), w.shape

    def _penalised(self, value, W):
        coefficients = W[: self.n_features].reshape(-1)
        penalty = 0.5 * self.l2 * float(np.einsum("i,i", coefficients, coefficients, dtype=np.float64)) if self.l2 else 0.0
        return value / self._divisor + penalty

    def _finished(self, gradient, W):
        """The sums over samples made the derivative of a mean, with the penalty's."""
        gradient /= self._divisor
        if self.l2:
            for k in range(self.n_features):  # of very many classes a row, and no copy of all
                gradient[k] += self.l2 * W[k]
        return gradient


class _OnePass:
    """Losses of one prediction for each row of X: one kernel for everything."""

    def __init__(self, objective):
        self.objective, X = objective, objective.X
        F = self.F = X.dtype.type
        n, d = X.shape
        self.layout = _layout(X)
        line = max(1, d * X.dtype.itemsize)
        if self.layout == "csr":
            self.block, most = kernels.STRIP, max(1, X.nnz // (2 * max(1, d)))
        else:
            limits = (2 * CACHED // line, kernels.STRIP, 1024) if self.layout == "F" else (CACHED // line, 8, kernels.STRIP)
            self.block, most = _power_of_two(*limits), GROUPS
        groups = max(1, min(GROUPS, most, n // GROUP_ROWS))
        self.rows = -(-n // (groups * self.block)) * self.block
        self.groups = -(-n // self.rows)
        lanes = lanes_of(F)
        self.width = (d // lanes + 2) * lanes
        self.y = np.ascontiguousarray(objective.y, F)
        self.w = None if objective.sample_weight is None else np.ascontiguousarray(objective.sample_weight, F)
        self.loss, = objective._losses
        self.theta = np.array(compile.split_parameters(self.loss)[0], F)
        self.kernels = {}

    def first_order(self, W, _):
        partials, totals = self._run(W, W, None)
        return evaluate.ordered_sum(partials[:, 0]), self._gradient(partials, totals), None

    def second_order(self, W, V):
        return self._gradient(*self._run(W, V, evaluate.curvature(self.loss, "exact")))

    def _gradient(self, partials, totals):
        objective = self.objective
        gradient = np.empty(objective._shape)
        np.add.reduce(totals[:, : objective.n_features], axis=0, out=gradient[: objective.n_features])
        if objective.fit_intercept:
            gradient[-1] = evaluate.ordered_sum(partials[:, 1])
        return gradient

    def _run(self, W, V, hessian):
        """(partials, totals) of all groups, see `kernels.linear.elementwise`."""
        objective, F, d = self.objective, self.F, self.objective.n_features
        X = objective.X
        lines = []
        for vector in (W, V):
            line = np.zeros(self.width, F)
            line[:d] = vector[:d]
            lines += [line, F(vector[d]) if objective.fit_intercept else F(0.0)]
        partials, totals = np.empty((self.groups, 3)), np.empty((self.groups, self.width))

        def call(driver, y, w, memory, partials, totals, first, last):
            self._kernel(hessian, driver)(self.theta, y, w, *memory, *lines, partials, totals, y.size, d, self.block,
                                          self.rows, first, last)

        def in_place(driver, first, last, step):
            call(driver, self.y, self.w, _memory(X, self.layout), partials, totals, first, last)

        def staged(driver, first, last, step):
            for b in range(first, last):
                rows = slice(b * self.rows, (b + 1) * self.rows)
                memory = np.ascontiguousarray(X[rows]).reshape(-1), None, None
                call(driver, self.y[rows], None if self.w is None else self.w[rows], memory, partials[b:b + 1],
                     totals[b:b + 1], 0, 1)

        drivers.run(staged if self.layout is None else in_place, *_driver(objective, _numbers(X)), self.groups)
        for b in np.flatnonzero(partials[:, 2]):
            self._raise_outside(W, slice(b * self.rows, (b + 1) * self.rows))
        return partials, totals

    def _kernel(self, hessian, driver):
        found = self.kernels.get((hessian, driver))
        if found is None:
            index = self.objective.X.indices.dtype if self.layout == "csr" else None
            request = compile.Linear(self.F, self.layout or "C", index, self.w is not None, hessian)
            found = self.kernels[hessian, driver] = compile.linear_model(self.loss, request, driver)
        return found

    def _raise_outside(self, W, rows):
        """The error of the first prediction in these rows that is outside the loss's domain."""
        objective, d = self.objective, self.objective.n_features
        z = objective.X[rows] @ W[:d].astype(self.F)
        if objective.fit_intercept:
            z += self.F(W[d])
        w = None if self.w is None else self.w[rows]
        if not (self.loss.pred_domain.outside(z) & (True if w is None else w != 0)).any():  # NumPy rounds another way
            raise ValueError(f"X @ w is outside in rows {rows.start} to {rows.stop}, by a rounding: {self.loss.name} needs "
                             f"it to be {self.loss.pred_domain}")
        raise evaluate.domain_error(self.loss, self.F, self.y[rows], z, w, None, ("y", "X @ w"), rows.start)


class _Blocks:
    """Block by block of rows: scores, the loss's own kernels, products with the rows. For losses of rows of scores and all
    that `_OnePass` has no kernel for."""

    def __init__(self, objective):
        self.objective, X = objective, objective.X
        self.F, self.layout = X.dtype.type, _layout(X)
        self.shape = (*objective._shape, 1)[:2]
        n, d = X.shape
        C = self.shape[1]
        numbers = max(1, _numbers(X) // n)
        self.rows = _power_of_two(min(SCORES // C, NUMBERS // numbers), FEWEST_ROWS, 4096)
        groups = n // (GROUP_ROWS * max(1, d))  # their gradients take 1/256 of the memory of all scores
        self.groups = min(64, groups) if groups >= 16 else 1
        blocks = -(-n // self.rows)
        self.groups = min(self.groups, blocks)
        self.bounds = [blocks * g // self.groups * self.rows for g in range(self.groups)] + [n]
        losses = objective._losses
        self.loss = losses[0] if len(losses) == 1 else _ByColumn(losses)

    def first_order(self, W, for_X):
        """(sum of w*l, its gradient for W, for X or None)."""
        W, (n, d) = W.reshape(self.shape), self.objective.X.shape
        slopes_of_X = np.zeros((n, d), self.F) if for_X else None

        def block(rows, state, total, executor):
            f, g = state
            self._scores(rows, W, f, executor)
            value, _ = self._call(self.loss.value_and_grad, rows, f, out=g, executor=executor)
            self._pull(rows, g, total, executor)
            if for_X:
                self._multiply(g, W[:d].T, slopes_of_X[rows], executor)
                slopes_of_X[rows] /= self.F(self.objective._divisor)
            return value

        values, gradient = self._over_blocks(block, 2)
        return evaluate.ordered_sum(values), gradient, slopes_of_X

    def second_order(self, W, V):
        W, V = W.reshape(self.shape), V.reshape(self.shape)

        def block(rows, state, total, executor):
            f, v, g = state
            self._scores(rows, W, f, executor)
            self._scores(rows, V, v, executor)
            self._call(self.loss.hvp, rows, f, v, out=g, executor=executor)
            self._pull(rows, g, total, executor)
            return 0.0

        return self._over_blocks(block, 3)[1]

    def hessian(self, W):
        """The sum of w times the Hessians, (N, N)."""
        D, C = self.shape
        W, result = W.reshape(self.shape), np.zeros((D, C, D, C))
        mixed = self.objective.loss.rowwise and not self.objective.loss.single_score
        step = max(1, min(self.rows, SCORES // (C * C))) if mixed else self.rows
        f, part = np.empty((step, C), self.F), np.empty((D, D))
        for start in range(0, self.objective.X.shape[0], step):
            rows = slice(start, min(start + step, self.objective.X.shape[0]))
            m = rows.stop - start
            self._scores(rows, W, f[:m], self.objective.executor)
            lines = np.ones((m, D), self.F)
            lines[:, : self.objective.n_features] = self._dense(rows)
            if mixed:
                blocks = self._call(self.loss.hess_blocks, rows, f[:m])
                pairs = [(a, b, blocks[:, a, b]) for a in range(C) for b in range(a + 1)]
            else:
                diagonal = self._call(self.loss.hvp, rows, f[:m], np.ones((m, C), self.F)).reshape(m, C)
                pairs = [(a, a, diagonal[:, a]) for a in range(C)]
            for a, b, curvature in pairs:
                part[:] = 0.0
                self._multiply((lines * curvature[:, None]).T, lines, part, self.objective.executor)
                result[:, a, :, b] += part
                if a != b:
                    result[:, b, :, a] += part.T
        result = result.reshape(D * C, D * C)
        result += result.T.copy()
        result *= 0.5
        return result

    def _over_blocks(self, block, buffers):
        """(the values of all blocks in order, the sum of the groups' gradients): `block` computes one of them."""
        starts = range(0, self.bounds[-1], self.rows)
        values, totals = np.zeros(len(starts)), np.zeros((self.groups, *self.shape))
        n, C = self.bounds[-1], self.shape[1]
        inner = self.objective.executor if self.groups == 1 else "serial"

        def work(driver, first, last, step):
            state = [np.empty((min(self.rows, n), C), self.F) for _ in range(buffers)]
            for g in range(first, last):
                for start in range(self.bounds[g], self.bounds[g + 1], self.rows):
                    rows = slice(start, min(start + self.rows, self.bounds[g + 1]))
                    values[start // self.rows] = block(rows, [a[: rows.stop - start] for a in state], totals[g], inner)

        if self.groups == 1:
            work("serial", 0, 1, 1)
            return values, totals[0].reshape(self.objective._shape)
        drivers.run(work, *_driver(self.objective, n * (C + self.objective.n_features)), self.groups)
        return values, np.add.reduce(totals, axis=0).reshape(self.objective._shape)

    def _call(self, method, rows, f, *more, out=None, **options):
        """A method of the loss on a block of rows, its sums not divided."""
        objective = self.objective
        if not objective._shape[1:]:
            f, *more = (a[:, 0] for a in (f, *more))
            out = None if out is None else out[:, 0]
        if method.__name__ != "hess_blocks":
            options |= dict(reduction="sum", out=out)
        w = None if objective.sample_weight is None else objective.sample_weight[rows]
        try:
            return method(objective.y[rows], f, *more, w, n_threads=objective.n_threads, **options)
        except ValueError as error:
            raise ValueError(f"rows {rows.start} to {rows.stop} of X, whose product with w is y_pred: {error}") from None

    # ---- products ------------------------------------------------------------------------------------------------

    def _scores(self, rows, W, out, executor):
        d = self.objective.n_features
        out[...] = W[d] if self.objective.fit_intercept else 0.0
        self._with_X(rows, W[:d], out, False, executor)

    def _pull(self, rows, g, total, executor):
        d = self.objective.n_features
        self._with_X(rows, g, total[:d], True, executor)
        if self.objective.fit_intercept:
            total[d] += g.sum(axis=0, dtype=np.float64)

    def _with_X(self, rows, b, out, transposed, executor):
        """out += X[rows] b, or the transposed X[rows] times b."""
        X = self.objective.X
        if self.layout != "csr":
            self._multiply(X[rows].T if transposed else X[rows], b, out, executor)
            return
        memory, m = _memory(X, "csr"), rows.stop - rows.start

        def work(driver, first, last, step):
            kernel = compile.sparse_product(self.F, X.indices.dtype, b.dtype, out.dtype, transposed, driver)
            kernel(*memory, rows.start, m, b, out, first, last)

        numbers = X.nnz * m // X.shape[0] * b.shape[1]
        drivers.run(work, *_driver(self.objective, numbers, executor), -(-b.shape[1] // kernels.CHUNK))

    def _multiply(self, a, b, out, executor):
        """out += a b."""
        layout = "C" if b.flags.c_contiguous else "A"

        def work(driver, first, last, step):
            compile.product(self.F, b.dtype, layout, out.dtype, driver)(a, b, out, first, last)

        drivers.run(work, *_driver(self.objective, a.size * b.shape[1], executor), kernels.units(out.shape, self.F))

    def _dense(self, rows):
        X = self.objective.X[rows]
        return X.toarray() if self.layout == "csr" else X


class _ByColumn:
    """One loss for every column of predictions (n, k), as if they were one."""

    def __init__(self, losses):
        self.losses = losses

    def value_and_grad(self, y, f, w, reduction, out, **options):
        values = [loss.value_and_grad(y[:, k], f[:, k], _column(w, k), reduction, out=out[:, k], **options)[0]
                  for k, loss in enumerate(self.losses)]
        return evaluate.ordered_sum(np.array(values)), out

    def hvp(self, y, f, v, w, reduction, out=None, **options):
        out = np.empty_like(f) if out is None else out
        for k, loss in enumerate(self.losses):
            loss.hvp(y[:, k], f[:, k], v[:, k], _column(w, k), reduction, out=out[:, k], **options)
        return out


def _column(w, k):
    return w if w is None or w.ndim == 1 else w[:, k]


# ---- checks ------------------------------------------------------------------------------------------------------


def design(X):
    """X, or an error that says what it must be."""
    scipy_sparse = sys.modules.get("scipy.sparse")
    sparse = scipy_sparse is not None and scipy_sparse.issparse(X)
    if sparse and X.format != "csr":
        raise TypeError(f"X is a sparse matrix in {X.format.upper()} format; it must be in CSR format: pass X.tocsr()")
    if not sparse:
        X = arrays.view("X", X)
    if X.ndim != 2:
        raise ValueError(f"X has shape {X.shape}; it must have shape (n, features)"
                         + ("; for one feature pass X[:, None]" if X.ndim == 1 else ""))
    if X.dtype not in (np.float32, np.float64):
        raise TypeError(f"X has dtype {X.dtype}; it must be float32 or float64: pass X.astype(numpy.float64)")
    if sparse:
        X.check_format(full_check=True)  # kernels read at every index
    return X


def outputs_of(loss, y, n_outputs):
    """(C,) where a sample has a row of scores, () where it has one."""
    if not loss.rowwise or loss.single_score:
        if n_outputs is not None:
            raise ValueError(f"n_outputs is for losses of rows; {loss.name} has one score for each target")
        if y.ndim > 2:
            raise ValueError(f"y has shape {y.shape}; it must have shape (n,) or (n, outputs)")
        return y.shape[1:]
    if n_outputs is not None:
        n_outputs = operator.index(n_outputs)
        if n_outputs < 1:
            raise ValueError(f"n_outputs must be at least 1, found {n_outputs}")
        return (n_outputs,)
    if loss.target == "number" and not loss.columns:
        raise ValueError(f"{loss.name} does not say how many scores a sample has: pass n_outputs=")
    return (columns_of(loss, y, loss.target == "label" or (loss.target == "classes" and y.ndim == 1)),)


def _settled(loss, y, w, shape, F):
    """(the loss with what it takes from the data, the same for every column if they differ, what its sum is divided by),
    after checking targets and weights."""
    scores = np.broadcast_to(F(0.0), shape)
    losses = [loss]
    if loss.rowwise:
        call = evaluate_rows._Call(loss, "value", y, scores, w, None, None, False, None)
        divisor = math.fsum(call.denominator("mean", None, "auto"))
        _check_rows(call)
        if call.class_weights is not None and isinstance(loss.class_weight, str):
            loss = replace(loss, class_weight=call.class_weights)
        losses = [loss]
    else:
        each = None if w is None else arrays.per_sample("sample_weight", w, y)
        divisor = evaluate.denominator(loss, y, scores, w, None, "mean")
        outside = loss.y_domain.outside(y.astype(F))
        if w is not None:
            outside &= each != 0
        if not loss.y_domain.everything and outside.any():
            raise evaluate.domain_error(loss, F, y, scores, each, None, ("y", "X @ w"))
        if loss.by_data:
            losses = loss.of_columns(y, each)
    if not divisor > 0.0:
        raise ValueError("no sample has weight: there is nothing to fit")
    return loss, losses, divisor


def _check_rows(call):
    """An error for the first target of a loss of rows that it does not admit."""
    loss, y = call.loss, call.y
    for start in range(0, call.n, 4096):
        part = y[start:start + 4096]
        if call.labels:
            outside = (part < 0) | (part >= call.n_classes)
            if call.ignore is not None:
                outside &= part != call.ignore
        else:
            outside = loss.y_domain.outside(part.astype(call.F))
        if call.w is not None:
            outside &= (call.w[start:start + 4096] != 0).reshape(-1, *[1] * (part.ndim - 1))
        wrong = np.argwhere(outside)
        if wrong.size:
            row, *column = map(int, wrong[0])
            value = part[(row, *column)].item()
            if call.labels:
                raise call._label_error("y", start + row, value)
            where = ", ".join(map(str, (start + row, *column)))
            raise ValueError(f"y[{where}] = {value!r}: {loss.name} needs y to be {loss.y_domain}; "
                             f"{evaluate.remedy(True, 'y', value, loss.y_domain, loss)}")


def _without_unknown_rows(X, y, w):
    """(X, y, w) without the samples of weight 0, if X has numbers there that no factor 0 makes 0."""
    out = np.flatnonzero(w == 0 if w.ndim == 1 else ~w.any(axis=1))
    known = all(np.isfinite(part.data if hasattr(part, "indptr") else part).all()
                for part in (X[out[k:k + GROUP_ROWS]] for k in range(0, out.size, GROUP_ROWS)))
    if known:
        return X, y, w
    kept = np.flatnonzero(w != 0 if w.ndim == 1 else w.any(axis=1))
    return X[kept], y[kept], w[kept]


# ---- threads and memory ------------------------------------------------------------------------------------------


def _driver(objective, numbers, executor=None):
    """(driver, threads) for work on so many numbers; with our threads wherever Numba's could be used."""
    driver, threads = drivers.choose(executor or objective.executor, numbers // NUMBERS_PER_SAMPLE, objective.n_threads)
    return "threads" if driver == "parallel" else driver, threads


def _layout(X):
    """"C", "F" or "csr": how a kernel reads X in place; None where it cannot."""
    if not isinstance(X, np.ndarray):
        return "csr"
    if not X.flags.aligned:
        return None
    return "C" if X.flags.c_contiguous else "F" if X.flags.f_contiguous else None


def _memory(X, layout):
    """The arrays that a kernel reads: numbers, and for CSR the indices of columns and where rows begin."""
    if layout == "csr":
        return X.data, X.indices, X.indptr
    return (X if layout == "C" else X.T).reshape(-1), None, None


def _numbers(X):
    return X.size if isinstance(X, np.ndarray) else X.nnz


def _power_of_two(limit, smallest, largest):
    """The largest power of two up to `limit`, between two others."""
    return max(smallest, min(largest, 1 << max(0, int(limit).bit_length() - 1)))
