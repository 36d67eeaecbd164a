"""`loss.scipy(X, y, ...)`: the loss of a linear model as `scipy.optimize.minimize` wants its objective.

Two products with X and one fused pass over the scores between them. Only NumPy is needed; SciPy comes with the optimiser.
"""

from __future__ import annotations

import operator
import sys

import numpy as np

from ..arrays import numpy as arrays
from ..init_score_rows import columns_of

__all__ = ["ScipyObjective"]


class ScipyObjective:
    """sum(w l(y, X coefficients + intercept)) / sum(w) + l2/2 ||coefficients||^2 as a function of theta.

    theta is the coefficients, (d,), and then the intercept. Where a sample has C scores (losses of rows; targets (n, C))
    it is the (d + 1, C) matrix, row by row: its last row holds the intercepts. Without intercept it is (d,) or (d, C).

    The scores are computed in the dtype of X; theta, the value and the gradient are float64. Scores and their gradient
    live in two arrays that every call writes again, so one object serves one thread; what is returned is always new.
    """

    def __init__(self, loss, X, y, sample_weight=None, l2=0.0, fit_intercept=True, n_outputs=None):
        self.loss, self.sample_weight, self.n_outputs = loss, sample_weight, n_outputs
        self.X, self.sparse = _design(X)
        self.y = arrays.view("y", y)
        n, self.n_features = self.X.shape
        if self.y.shape[:1] != (n,):
            raise ValueError(f"y has shape {self.y.shape} and X has {n} rows; y must have one target per row of X")
        if not isinstance(fit_intercept, (bool, np.bool_)):
            raise TypeError(f"fit_intercept must be True or False, found {fit_intercept!r}")
        self.fit_intercept = bool(fit_intercept)
        self.l2 = float(l2)
        if not 0.0 <= self.l2 < np.inf:
            raise ValueError(f"l2 must be finite and not negative, found {l2!r}")
        outputs = _outputs(loss, self.y, n_outputs)
        self._shape = (self.n_features + self.fit_intercept, *outputs)
        self._scores = np.empty((n, *outputs), self.X.dtype)
        self._slopes = np.empty_like(self._scores)
        self._at = None

    def __reduce__(self):
        """Without the two arrays that every call writes again."""
        return type(self), (self.loss, self.X, self.y, self.sample_weight, self.l2, self.fit_intercept, self.n_outputs)

    def x0(self):
        """Where to start, float64: coefficients 0 and the intercept at `loss.init_score(y)`, or at 0 where that is
        infinite (a class without samples)."""
        theta = np.zeros(self._shape)
        if self.fit_intercept:
            start = np.atleast_1d(self.loss.init_score(self.y, self.sample_weight))
            intercept = theta[-1:].reshape(-1)
            intercept[: start.size] = np.where(np.isfinite(start), start, 0.0)[: intercept.size]
        return theta.reshape(-1)

    def __call__(self, theta):
        """(value, gradient): a float and a new float64 array like theta."""
        W = self._matrix("theta", theta)
        value, slopes = self.loss.value_and_grad(self.y, self._scores_at(W), self.sample_weight, out=self._slopes)
        coefficients = W[: self.n_features]
        return value + 0.5 * self.l2 * float(np.vdot(coefficients, coefficients)), self._pulled_back(slopes, W)

    def hessp(self, theta, v):
        """The Hessian at theta times v, a new float64 array: `hessp=` of the methods "trust-ncg", "trust-krylov",
        "Newton-CG" and "trust-constr"."""
        W, V = self._matrix("theta", theta), self._matrix("v", v)
        scores = self._scores_at(W)
        slopes = self.loss.hvp(self.y, scores, self._product(V, np.empty_like(scores)), self.sample_weight, out=self._slopes)
        return self._pulled_back(slopes, V)

    # ---- products with X -----------------------------------------------------------------------------------------

    def _matrix(self, name, theta):
        theta = np.asarray(theta, np.float64)
        size = int(np.prod(self._shape))
        if theta.shape != (size,):
            raise ValueError(f"{name} has shape {theta.shape}; it must have shape ({size},): {self._shape} in C order")
        return theta.reshape(self._shape)

    def _scores_at(self, W):
        """X coefficients + intercept, kept for the Hessian products that optimisers ask for at the same theta."""
        if self._at is None or not np.array_equal(self._at, W):
            self._at = None
            self._product(W, self._scores)
            self._at = W.copy()
        return self._scores

    def _product(self, W, out):
        coefficients = np.ascontiguousarray(W[: self.n_features], self.X.dtype)
        if self.sparse:
            out[...] = self.X @ coefficients
        else:
            np.dot(self.X, coefficients, out=out)
        if self.fit_intercept:
            out += W[-1].astype(self.X.dtype)
        return out

    def _pulled_back(self, slopes, W):
        """The derivative with respect to the coefficients, the penalty's at W included, and to the intercept."""
        result = np.empty(self._shape)
        d = self.n_features
        result[:d] = self.X.T @ slopes if self.sparse else np.dot(self.X.T, slopes)
        result[:d] += self.l2 * W[:d]
        if self.fit_intercept:
            result[d] = slopes.sum(axis=0, dtype=np.float64)
        return result.reshape(-1)


def _design(X):
    """(X, whether it is sparse), or an error that says what it must be."""
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
    return X, sparse


def _outputs(loss, y, n_outputs):
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
