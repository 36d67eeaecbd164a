"""The same value and gradient by other libraries, each in the fastest way found that gives both.

Reduced by a sum, which spares the peers a division. Buffers that a library can reuse are there before the clock starts.
Libraries that are not installed are left out.
"""

from __future__ import annotations

import functools

import numpy as np

from .common import DTYPES, LARGE, example, interleaved, problem, threads

LOSSES = ["squared_error", "binary_cross_entropy"]
CHUNK = 8192


class Numpy:
    """One array operation after another into buffers."""

    def __init__(self, name, y, f):
        self.function, self.y, self.f = getattr(self, name), y, f
        self.buffers = [np.empty_like(f) for _ in range(3)]

    def __call__(self):
        return self.function(self.y, self.f, *self.buffers)

    @staticmethod
    def squared_error(y, f, g, *buffers):
        np.subtract(f, y, out=g)
        value = g @ g
        return value, np.multiply(g, 2, out=g)

    @staticmethod
    def binary_cross_entropy(y, f, g, e, t):
        np.exp(np.negative(np.abs(f, out=e), out=e), out=e)  # e = exp(-|f|)
        value = np.log1p(e, out=t).sum() + np.maximum(f, 0, out=t).sum() - y @ f
        np.maximum(e, np.greater_equal(f, 0, out=t), out=g)
        g /= np.add(e, 1, out=e)  # sigmoid(f) = (1 or e) / (1 + e)
        return value, np.subtract(g, y, out=g)


class NumpyInChunks(Numpy):
    """The same, on chunks that stay in the cache: what somebody who knows would write."""

    def __init__(self, name, y, f):
        super().__init__(name, y, f)
        self.g, self.buffers = np.empty_like(f), [np.empty(CHUNK, f.dtype) for _ in range(2)]

    def __call__(self):
        value = 0.0
        for start in range(0, self.f.size, CHUNK):
            part = slice(start, start + CHUNK)
            g = self.g[part]
            value += float(self.function(self.y[part], self.f[part], g, *[b[:g.size] for b in self.buffers])[0])
        return value, self.g


class ScikitLearn:
    """The loss behind its gradient boosting and linear models. Half the squared error: no factor 2."""

    def __init__(self, name, y, f):
        from sklearn._loss.loss import HalfBinomialLoss, HalfSquaredError

        self.y, self.f, self.threads = y, f, threads()
        self.loss = {"squared_error": HalfSquaredError, "binary_cross_entropy": HalfBinomialLoss}[name]()
        self.factor = 2 if name == "squared_error" else 1
        self.values, self.g = np.empty_like(f), np.empty_like(f)

    def __call__(self):
        self.loss.loss_gradient(self.y, self.f, loss_out=self.values, gradient_out=self.g, n_threads=self.threads)
        return self.factor * self.values.sum(), self.g


class Torch:
    """Forward and backward."""

    def __init__(self, name, y, f):
        import torch

        torch.set_num_threads(threads())
        functional = torch.nn.functional
        self.loss = {"squared_error": functional.mse_loss,
                     "binary_cross_entropy": functional.binary_cross_entropy_with_logits}[name]
        self.name, self.torch = name, torch
        self.y, self.f = torch.from_numpy(y), torch.from_numpy(f).requires_grad_()
        self.g = torch.empty_like(self.f, requires_grad=False)

    def __call__(self):
        value = self.loss(self.f, self.y, reduction="sum")
        return value.item(), self.torch.autograd.grad(value, self.f)[0]


class TorchByHand(Torch):
    """The gradient's formula written out, into a buffer, no graph."""

    def __call__(self):
        torch, y, f, g = self.torch, self.y, self.f, self.g
        with torch.no_grad():
            if self.name == "squared_error":
                torch.sub(f, y, out=g)
                return torch.dot(g, g).item(), g.mul_(2)
            value = self.loss(f, y, reduction="sum").item()
            return value, torch.sigmoid(f, out=g).sub_(y)


class Jax:
    """jit(value_and_grad)."""

    def __init__(self, name, y, f):
        import jax

        jax.config.update("jax_enable_x64", True)
        formula = {"squared_error": lambda f, y: ((f - y) ** 2).sum(),
                   "binary_cross_entropy": lambda f, y: (jax.nn.softplus(f) - y * f).sum()}[name]
        self.function = jax.jit(jax.value_and_grad(formula))
        self.y, self.f = jax.device_put(y), jax.device_put(f)

    def __call__(self):
        value, g = self.function(self.f, self.y)
        return value.item(), g.block_until_ready()


PEERS = {"NumPy": Numpy, "NumPy in chunks": NumpyInChunks, "scikit-learn": ScikitLearn, "torch": Torch,
         "torch by hand": TorchByHand, "JAX": Jax}
LIBRARIES = [name for name in PEERS if name != "NumPy in chunks"]
"""What a bar compares with; NumPy in chunks is an engine of one's own."""


def peers(ours, names=tuple(PEERS)):
    """{name: function} for a problem; each of them is checked to give our numbers."""
    found = {}
    value, gradient = ours.value_and_grad()
    sample = gradient[:: max(1, gradient.size // 1000)].copy()
    tolerance = 1e-3 if ours.f.dtype == np.float32 else 1e-9  # some sum in float32
    for name in names:
        try:
            peer = PEERS[name](ours.loss.name, ours.y, ours.f)
        except ImportError:
            continue
        its_value, its_gradient = peer()
        its_sample = np.asarray(its_gradient)[:: max(1, gradient.size // 1000)] * getattr(peer, "factor", 1)
        np.testing.assert_allclose(its_value, value, rtol=tolerance, err_msg=name)
        np.testing.assert_allclose(its_sample, sample, rtol=tolerance, atol=tolerance, err_msg=name)
        found[name] = peer
    return found


class OverPeers:
    """Our time over that of the fastest library."""

    params = (LOSSES, DTYPES, [10**3, LARGE])
    param_names = ("loss", "dtype", "n")
    rounds = 5

    def setup(self, name, dtype, n):
        self.problem = problem(example(name), n, dtype)
        self.peers = peers(self.problem, LIBRARIES)

    def track_value_and_grad(self, name, dtype, n):
        repeat = max(1, 10**5 // n)
        functions = [functools.partial(_repeat, f, repeat) for f in (self.problem.value_and_grad, *self.peers.values())]
        seconds = interleaved(self.rounds, *functions)
        return float(np.median(seconds[:, 0] / seconds[:, 1:].min(axis=1)))

    track_value_and_grad.unit = "of the fastest peer's time"


def _repeat(function, times):
    for _ in range(times):
        function()
