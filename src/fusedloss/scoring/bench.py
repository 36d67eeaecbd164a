"""A few seconds of timing on this machine: value and gradient, ours against NumPy, SciPy and torch where they are."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import numpy as np

from .. import __version__, drivers
from ..registry import parse

SAMPLES = 1_000_000
ROUNDS = 11
PAUSE = 0.002
"""Seconds between measurements: threads of other libraries fall asleep."""


def _numpy_squared(y, f):
    r = f - y
    return np.mean(r * r), 2.0 * r / r.size


def _numpy_huber(y, f, delta=1.0):
    r = f - y
    size = np.abs(r)
    value = np.where(size <= delta, 0.5 * r * r, delta * (size - 0.5 * delta))
    return value.mean(), np.clip(r, -delta, delta) / r.size


def _numpy_cross_entropy(y, f):
    return np.mean(np.maximum(f, 0.0) - y * f + np.log1p(np.exp(-np.abs(f)))), (1.0 / (1.0 + np.exp(-f)) - y) / f.size


def _scipy_huber(y, f):
    from scipy.special import huber

    return huber(1.0, f - y).mean()


def _scipy_cross_entropy(y, f):
    from scipy.special import expit, log1p, xlogy

    p = expit(f)
    return -(xlogy(y, p) + (1.0 - y) * log1p(-p)).mean()


CASES = {
    "squared_error": (_numpy_squared, None, "mse_loss"),
    "huber": (_numpy_huber, _scipy_huber, "huber_loss"),
    "binary_cross_entropy": (_numpy_cross_entropy, _scipy_cross_entropy, "binary_cross_entropy_with_logits"),
}
"""A loss: its value and gradient in NumPy, its value in SciPy, its name in torch."""


def environment() -> str:
    """What the numbers depend on."""
    def installed(name):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return f"no {name}"

    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    packages = ", ".join(map(installed, ("numpy", "numba", "scipy", "torch")))
    return (f"{platform.machine()}, {os.cpu_count()} CPUs, {drivers.thread_limit()} threads{load}; Python "
            f"{platform.python_version()}, fusedloss {__version__}, {packages}")


def table(samples: int = SAMPLES, rounds: int = ROUNDS) -> str:
    """Nanoseconds per sample, the best of rounds in which the libraries take turns; and how many times ours that is."""
    lines = []
    for dtype in (np.float64, np.float32):
        for name in CASES:
            ways = _ways(name, samples, dtype)
            nanoseconds = _interleaved(list(ways.values()), rounds).min(axis=0) / samples * 1e9
            found = dict(zip(ways, nanoseconds, strict=True))
            ours = found.pop("fusedloss")
            others = ", ".join(f"{way} {ns:.2f} ({ns / ours:.1f} times)" for way, ns in found.items())
            lines.append(f"{name:<22}{np.dtype(dtype).name:<10}{ours:6.2f}   {others}")
    head = f"{'value and gradient':<22}{'dtype':<10}{'ours':>6}   others, in ns per sample of {samples:,}"
    return "\n".join([head, *lines])


def _ways(name, n, dtype):
    """The same by every library that is there: {library: function}."""
    rng = np.random.default_rng(0)
    y, f = (rng.random(n) < 0.3).astype(dtype), rng.normal(size=n).astype(dtype)
    loss, out = parse(name), np.empty_like(f)
    by_numpy, by_scipy, by_torch = CASES[name]
    ways = {"fusedloss": lambda: loss.value_and_grad(y, f, out=out), "NumPy": lambda: by_numpy(y, f)}
    if by_scipy and find_spec("scipy"):
        ways["SciPy, value alone"] = lambda: by_scipy(y, f)
    if find_spec("torch"):
        import torch

        function = getattr(torch.nn.functional, by_torch)
        target, leaf = torch.from_numpy(y), torch.from_numpy(f).requires_grad_()

        def backward():
            leaf.grad = None
            function(leaf, target).backward()

        ways["torch"] = backward
    return ways


def _interleaved(functions, rounds):
    """Seconds of each function in each round, (rounds, functions)."""
    for function in functions:
        function()
    seconds = np.empty((rounds, len(functions)))
    for r in range(rounds):
        for k in np.roll(np.arange(len(functions)), r):
            time.sleep(PAUSE)
            start = time.perf_counter()
            functions[k]()
            seconds[r, k] = time.perf_counter() - start
    return seconds
