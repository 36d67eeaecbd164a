"""Row losses by other libraries, each in the fastest way found that gives the same numbers, for `bars`.

As in `bench_peers`: reduced by a sum, buffers that a library can reuse are there before the clock starts. Each class
takes targets and predictions (n, C), and gives (value, gradient), or what its docstring says.
"""

from __future__ import annotations

import numpy as np

from .common import threads

CHUNK = 8192
"""Numbers of a chunk that stays in the cache."""

SQRT_HALF, INVERSE_SQRT_PI, HALF_LOG_2PI = np.sqrt(0.5), 1.0 / np.sqrt(np.pi), 0.5 * np.log(2.0 * np.pi)


class _Torch:
    """Forward and backward of `formula`."""

    def __init__(self, y, f):
        import torch

        torch.set_num_threads(threads())
        self.torch, self.y = torch, torch.from_numpy(y)
        self.leaves = [torch.from_numpy(a).requires_grad_() for a in self.parts(f)]

    def parts(self, f):
        return [f]

    def __call__(self):
        value = self.formula(self.y, *self.leaves)
        return value.item(), self.torch.autograd.grad(value, self.leaves)[0]


class _TorchMatrix:
    """Predictions are a matrix, as a network has them, and so is the gradient."""

    def parts(self, f):
        return [f]

    def __call__(self):
        value = self.formula(self.y, *self.leaves[0].unbind(1))
        return value.item(), self.torch.autograd.grad(value, self.leaves)[0]


class _TorchColumns(_Torch):
    """Predictions are columns of their own, which torch reads faster; nobody puts them together again."""

    def parts(self, f):
        return [np.ascontiguousarray(f[:, k]) for k in range(f.shape[1])]

    def __call__(self):
        value = self.formula(self.y, *self.leaves)
        return value.item(), self.torch.autograd.grad(value, self.leaves)


class TorchCrossEntropy(_Torch):
    def formula(self, y, f):
        return self.torch.nn.functional.cross_entropy(f, y, reduction="sum")


class TorchFocal(_Torch):
    def formula(self, y, f):
        log_p = self.torch.log_softmax(f, 1).gather(1, y[:, None])
        return -((1.0 - log_p.exp()) ** 2 * log_p).sum()


class TorchGaussianNLL(_TorchColumns):
    def formula(self, y, mu, s):
        z = (y - mu) * (-s).exp()
        return (s + 0.5 * (z * z)).sum() + HALF_LOG_2PI * len(y)


class TorchGaussianCRPS(_TorchColumns):
    def formula(self, y, mu, s):
        sigma = s.exp()
        z = (y - mu) / sigma
        root = np.sqrt(2.0 / np.pi)
        return (sigma * (z * self.torch.erf(SQRT_HALF * z) + root * (-0.5 * (z * z)).exp() - INVERSE_SQRT_PI)).sum()


class TorchMatrixGaussianNLL(_TorchMatrix, TorchGaussianNLL):
    pass


class TorchMatrixGaussianCRPS(_TorchMatrix, TorchGaussianCRPS):
    pass


class SklearnCrossEntropy:
    """The loss behind its gradient boosting and logistic regression, which takes labels as numbers like the logits."""

    def __init__(self, y, f):
        from sklearn._loss.loss import HalfMultinomialLoss

        self.y, self.f, self.threads = y.astype(f.dtype), f, threads()
        self.loss = HalfMultinomialLoss(n_classes=f.shape[1])
        self.values, self.g = np.empty(len(y), f.dtype), np.empty_like(f)

    def __call__(self):
        self.loss.loss_gradient(self.y, self.f, loss_out=self.values, gradient_out=self.g, n_threads=self.threads)
        return self.values.sum(), self.g


class JaxCrossEntropy:
    """jit(value_and_grad)."""

    def __init__(self, y, f):
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)

        def formula(f, y):
            return -jnp.take_along_axis(jax.nn.log_softmax(f, axis=1), y[:, None], 1).sum()

        self.function = jax.jit(jax.value_and_grad(formula))
        self.y, self.f = jax.device_put(y), jax.device_put(f)

    def __call__(self):
        value, g = self.function(self.f, self.y)
        return value.item(), g.block_until_ready()


class _Numpy:
    """One array operation after another into buffers."""

    chunk = None
    """How many numbers at a time; None: all."""

    def __init__(self, y, f):
        n, columns = f.shape
        rows = n if self.chunk is None else self.chunk // columns
        self.y, self.f, self.g, self.h = y, f, np.empty_like(f), np.empty_like(f)
        self.parts = [slice(start, min(n, start + rows)) for start in range(0, n, rows)]
        self.index, self.row = np.arange(rows), [np.empty((rows, 1), f.dtype) for _ in range(2)]

    def softmax(self, f, p):
        """p = softmax(f); largest logit and sum of exponentials of each row."""
        largest, sums = (row[: len(f)] for row in self.row)
        np.max(f, axis=1, out=largest, keepdims=True)
        np.exp(np.subtract(f, largest, out=p), out=p)
        np.sum(p, axis=1, out=sums, keepdims=True)
        np.divide(p, sums, out=p)
        return largest[:, 0], sums[:, 0]


class NumpyCrossEntropyHessian(_Numpy):
    """Gives gradient and Hessian diagonal, not summed."""

    def __call__(self):
        for rows in self.parts:
            f, p, h = self.f[rows], self.g[rows], self.h[rows]
            self.softmax(f, p)
            np.multiply(np.subtract(1.0, p, out=h), p, out=h)
            p[self.index[: len(f)], self.y[rows]] -= 1.0
        return self.g, self.h


class NumpyCrossEntropyHessianPlain:
    """As a custom objective is written: every step a new array."""

    def __init__(self, y, f):
        self.y, self.f, self.index = y, f, np.arange(len(y))

    def __call__(self):
        e = np.exp(self.f - self.f.max(1, keepdims=True))
        p = e / e.sum(1, keepdims=True)
        g = p.copy()
        g[self.index, self.y] -= 1.0
        return g, p * (1.0 - p)


class NumpyFocal(_Numpy):
    def __call__(self):
        value = 0.0
        for rows in self.parts:
            f, y, g = self.f[rows], self.y[rows], self.g[rows]
            index = self.index[: len(f)]
            largest, sums = self.softmax(f, g)
            log_p = (f[index, y] - largest) - np.log(sums)
            p = g[index, y]
            q = 1.0 - p
            value -= float((q * q * log_p).sum())
            g[index, y] -= 1.0
            np.multiply(g, (q * (q - 2.0 * p * log_p))[:, None], out=g)
        return value, self.g


class NumpyCrossEntropyHessianInChunks(NumpyCrossEntropyHessian):
    """What stays in the cache: an engine of one's own, and no bar."""

    chunk = CHUNK


class NumpyFocalInChunks(NumpyFocal):
    """What stays in the cache: an engine of one's own, and no bar."""

    chunk = CHUNK


class NumpyGaussianCRPS:
    """The formula of scoringrules.crps_normal as it stands there, of mu and sigma; the value alone."""

    def __init__(self, y, f):
        self.y, self.mu, self.sigma = y, np.ascontiguousarray(f[:, 0]), np.exp(f[:, 1])

    def __call__(self):
        from scipy.special import erf

        z = (self.y - self.mu) / self.sigma
        density = np.exp(-0.5 * z**2) * (SQRT_HALF * INVERSE_SQRT_PI)
        both = 0.5 * (1.0 + erf(SQRT_HALF * z))
        return (self.sigma * (z * (2.0 * both - 1.0) + 2.0 * density - INVERSE_SQRT_PI)).sum(dtype=np.float64), None


def row_peers(y, f, ours, classes):
    """{name: function}, each checked to give our numbers: `ours` is (value, gradient) or (gradient, Hessian)."""
    tolerance = 2e-3 if f.dtype == np.float32 else 1e-8  # some sum in float32
    found = {}
    for name, peer in classes.items():
        try:
            function = peer(y, f)
        except ImportError:
            continue
        for a, b in zip(function(), ours, strict=True):
            if a is not None:
                a = np.stack(a, 1) if isinstance(a, tuple) else np.asarray(a)
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=name)
        found[name] = function
    return found
