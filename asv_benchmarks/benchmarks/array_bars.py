"""The bars of other libraries' arrays: against the same call on NumPy's, and dask against the kernels alone."""

from __future__ import annotations

import functools
import time

import numpy as np

import fusedloss as fl

from .bench_memory import extra_bytes

SIZE = 10**6
"""Samples of a call: arrays that do not fit the first caches, so a copy would show."""


def made(library, a):
    """An array of a library on the memory of `a`."""
    if library == "polars":
        return __import__("polars").Series(a)
    if library == "pandas":
        return __import__("pandas").Series(a, copy=False)
    if library == "Arrow":
        return __import__("pyarrow").array(a)
    if library == "torch":
        return __import__("torch").from_numpy(a)
    return __import__("jax").device_put(a)


def kinds(settings, interleaved, compared, absolute):
    """value_and_grad of arrays of other libraries."""
    rng = np.random.default_rng(0)
    y, f = (rng.uniform(size=SIZE) < 0.5).astype(np.float32), rng.normal(size=SIZE).astype(np.float32)
    loss = fl.BinaryCrossEntropy()
    for library in ("polars", "pandas", "Arrow", "torch", "JAX"):
        try:
            Y, F = made(library, y), made(library, f)
        except ModuleNotFoundError:
            continue
        calls = [lambda Y=Y, F=F: loss.value_and_grad(Y, F), lambda: loss.value_and_grad(y, f)]
        conditions = settings.conditions("float32", SIZE)
        seconds = interleaved(5 * settings.rounds, *calls)
        yield compared(f"value_and_grad, {library} over NumPy", conditions, seconds, SIZE, 1.1, False)
        copied = extra_bytes(calls[0], f.nbytes)
        yield absolute(f"copied of {library}, beyond the gradient, tracemalloc", conditions, [copied / 2**20], 0.1, "MiB")


def dask_overhead(settings, absolute):
    """What is added to the kernels' own time on two workers: in all, and beyond what dask takes for as many blocks of
    the same arrays and no loss. Each worker makes its blocks, but the numbers once: that takes twenty times as long as the
    loss."""
    import dask.array as da
    import distributed

    n, chunk = 10 * settings.n, 1 << 22
    loss = fl.Huber()
    chunks = da.core.normalize_chunks(chunk, (n,), dtype=np.float64)
    y, f = [da.map_blocks(_made, which, dtype=np.float64, chunks=chunks, meta=np.empty(0)) for which in (0, 1)]
    nothing = da.map_blocks(_nothing, y, f, dtype=np.float64, chunks=((1,) * y.npartitions,), meta=np.empty(0)).sum()
    overheads = []
    with (distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
          distributed.Client(cluster) as client):
        for _ in range(max(5, settings.rounds)):
            start = time.perf_counter()
            nothing.compute()
            dask_alone = time.perf_counter() - start
            loss(y, f).compute()
            wall = time.perf_counter() - start - dask_alone
            kernels = sum(client.run(_spent).values()) / 2  # side by side
            overheads.append((100 * (wall - kernels) / kernels, 100 * (wall - dask_alone - kernels) / kernels))
    conditions = settings.conditions("float64", n, 2)
    whats = "in all", "beyond dask's own for as many blocks"
    for what, found in zip(whats, zip(*overheads[1:], strict=True), strict=True):
        yield absolute(f"dask, 2 workers, blocks made there: time beyond the kernels', {what}", conditions, found, 20, "%")


def _nothing(y, f):
    return np.zeros(1)


@functools.cache
def _numbers(which, n):
    return np.random.default_rng(which).random(n)


def _made(which, block_info=None):
    """A block of numbers; and, in this worker, a clock around the kernel."""
    from fusedloss import evaluate

    if not hasattr(evaluate._pass, "spent"):
        evaluate._pass = _Clock(evaluate._pass)
    (low, high), = block_info[None]["array-location"]
    return _numbers(which, high - low)


class _Clock:
    def __init__(self, function):
        self.function, self.spent = function, 0.0

    def __call__(self, *args):
        start = time.perf_counter()
        self.function(*args)
        self.spent += time.perf_counter() - start


def _spent():
    """The seconds in kernels of this worker since it was last asked."""
    from fusedloss import evaluate

    spent, evaluate._pass.spent = evaluate._pass.spent, 0.0
    return spent
