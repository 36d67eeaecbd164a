"""The bars of speed: every ratio measured interleaved in this process, printed as a table.

    python -m benchmarks.bars [--quick] [--only TEXT] [--rounds N]         (in asv_benchmarks/)

A ratio is given twice: the median over rounds of (ours / theirs), and our best time over their best. `reached` goes by
the median. Nothing fails.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import textwrap
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import numpy as np

import fusedloss as fl

from . import array_bars, host_bars, scoring_bars
from .bench_losses import LIGHT
from .bench_memory import extra_bytes
from .bench_peers import LIBRARIES, peers
from .bench_rows import COLUMNS, NUMBERS, RowExample, cross_entropy, row_problem
from .common import DTYPES, LARGE, best_ratio, example, interleaved, median_ratio, problem, threads


class Row(NamedTuple):
    """One line of the table. `ratio` is compared with `bar`: at most, or at least."""

    what: str
    conditions: str
    ours: str
    theirs: str
    ratio: float
    best: float
    bar: float
    at_least: bool = False
    unit: str = "×"

    def cells(self):
        reached = self.ratio >= self.bar if self.at_least else self.ratio <= self.bar
        sign = "≥" if self.at_least else "≤"
        return (self.what, self.conditions, self.ours, self.theirs, f"{self.ratio:.3g} ({self.best:.3g})",
                f"{sign} {self.bar:g} {self.unit}", "yes" if reached else "**no**")


class Settings(NamedTuple):
    n: int
    rounds: int

    def conditions(self, dtype, n=None, n_threads=None):
        n = n or self.n
        size = f"1e{round(np.log10(n))}" if n == 10 ** round(np.log10(n)) else f"{n:,}"
        return f"{size}, {dtype}, {n_threads or threads()}"


def per_sample(seconds, column, n):
    """Median time of a function in ns per sample."""
    return f"{np.median(seconds[:, column]) / n * 1e9:.3g} ns"


# ---- over the speed of memory ------------------------------------------------------------------------------------

OVER_TRIAD = [(name, {"float64": 1.15, "float32": 1.15}) for name in LIGHT] + [
    ("binary_cross_entropy", {"float64": 1.6, "float32": 1.5}),
    ("log_cosh", {"float64": 1.6, "float32": 1.5}),
    ("poisson", {"float64": 1.3, "float32": 1.3}),
    ("pseudo_huber", {"float64": 1.3, "float32": 1.3}),
    *[(name, {"float64": 4, "float32": 4}) for name in ("binary_focal", "tweedie", "general_robust")],
]


def value_and_grad_over_triad(settings):
    for name, bars in OVER_TRIAD:
        for dtype in reversed(DTYPES):
            p = problem(example(name), settings.n, dtype)
            seconds = interleaved(settings.rounds, p.value_and_grad, p.triad)
            yield Row(f"{type(p.loss).__name__} value_and_grad over triad", settings.conditions(dtype),
                      per_sample(seconds, 0, settings.n), per_sample(seconds, 1, settings.n),
                      median_ratio(seconds), best_ratio(seconds), bars[dtype])


def grad_and_hess_over_triad(settings):
    """The triad here writes two arrays, like ours: 16 bytes per sample for both."""
    p = problem(example("binary_cross_entropy"), settings.n, "float32")
    seconds = interleaved(settings.rounds, p.grad_and_hess, p.triad_with_two_outputs)
    yield Row("BinaryCrossEntropy grad_and_hess(out=) over triad with two outputs", settings.conditions("float32"),
              per_sample(seconds, 0, settings.n), per_sample(seconds, 1, settings.n),
              median_ratio(seconds), best_ratio(seconds), 1.5)


# ---- over peers --------------------------------------------------------------------------------------------------


def value_and_grad_over_peers(settings):
    """The fastest of the libraries; the others, and NumPy in cache-sized chunks, are named with their times."""
    for name, bar in (("binary_cross_entropy", 8), ("squared_error", 1.1)):
        for dtype in reversed(DTYPES):
            p = problem(example(name), settings.n, dtype)
            others = peers(p)
            names = list(others)
            seconds = interleaved(max(3, settings.rounds // 2), p.value_and_grad, *others.values(), pause=0.01)
            libraries = [1 + k for k, other in enumerate(names) if other in LIBRARIES]
            fastest = min(libraries, key=lambda k: np.median(seconds[:, k]))
            times = ", ".join(f"{other} {per_sample(seconds, 1 + k, settings.n)}" for k, other in enumerate(names))
            yield Row(f"{type(p.loss).__name__} value_and_grad, against {names[fastest - 1]}",
                      settings.conditions(dtype), per_sample(seconds, 0, settings.n), times,
                      median_ratio(seconds, fastest, 0), best_ratio(seconds, fastest, 0), bar, at_least=True)


def score_over_sklearn(settings):
    from sklearn.metrics import brier_score_loss, log_loss

    rng = np.random.default_rng(0)
    p = np.resize(rng.uniform(0.001, 0.999, 10**6), settings.n)
    y = np.resize((rng.random(10**6) < p[:10**6]).astype(np.int64), settings.n)
    ours = fl.score(y, p, ["log_loss", "brier"])
    np.testing.assert_allclose([row.value for row in ours], [log_loss(y, p), brier_score_loss(y, p)], rtol=1e-9)

    seconds = interleaved(max(3, settings.rounds // 5), lambda: fl.score(y, p, ["log_loss", "brier"]),
                          lambda: (log_loss(y, p), brier_score_loss(y, p)))
    yield Row("fl.score of log_loss and brier, against sklearn.metrics", settings.conditions("float64"),
              per_sample(seconds, 0, settings.n), per_sample(seconds, 1, settings.n),
              median_ratio(seconds, 1, 0), best_ratio(seconds, 1, 0), 50, at_least=True)


# ---- costs of a call, of a process, of memory --------------------------------------------------------------------


def small_call(settings):
    calls = 2000
    for name in ("squared_error", "binary_cross_entropy"):
        p = problem(example(name), 100, "float64")

        def repeat(p=p):
            for _ in range(calls):
                p.loss.value_and_grad(p.y, p.f)

        micros = interleaved(settings.rounds, repeat)[:, 0] / calls * 1e6
        yield absolute(f"{type(p.loss).__name__}.value_and_grad(y, f), warm", settings.conditions("float64", 100, 1),
                       micros, 5, "µs")


def absolute(what, conditions, found, bar, unit):
    """A row about a quantity that is no ratio: median and minimum."""
    median, best = float(np.median(found)), float(np.min(found))
    return Row(what, conditions, f"{median:.3g} {unit}", "–", median, best, bar, unit=unit)


IMPORT = """
import numpy, sys, time
start = time.perf_counter()
import fusedloss
print((time.perf_counter() - start) * 1e3)
assert "numba" not in sys.modules
"""

FIRST_CALL = """
import time
start = time.perf_counter()
import numba
middle = time.perf_counter()
import numpy as np, fusedloss as fl
y = np.zeros({n})
fl.BinaryCrossEntropy().value_and_grad(y, y)
print(time.perf_counter() - middle)
"""

PEAK = """
import re, sys
import numpy as np, fusedloss as fl

def status(field):
    return int(re.search(field + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

n = {n}
y, f, g = np.full(n, 0.25), np.full(n, 0.5), np.full(n, 1.0)
loss = fl.BinaryCrossEntropy()
loss.value_and_grad(y[:100_000], f[:100_000], out=g[:100_000])  # loads the kernel, starts the threads
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # VmHWM starts anew
before = status("VmRSS")
loss.value_and_grad(y, f, out=g)
print((status("VmHWM") - before) / 1e6)
"""


def in_child(code, times, **environment):
    """The numbers that `times` new processes print, a row for each."""
    code = textwrap.dedent(code)
    found = [subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True,
                            check=True).stdout.split() for _ in range(times + 1)]
    return np.array(found[1:], float)  # the first one fills the caches


def import_time(settings):
    yield absolute("`import fusedloss` after NumPy, Numba not loaded", "new process", in_child(IMPORT, settings.rounds),
                   15, "ms")


def first_call(settings):
    for n in (100, 10**6):
        seconds = in_child(FIRST_CALL.format(n=n), max(3, settings.rounds // 2))
        yield absolute(f"first value_and_grad of a process, n = {n:,}, warm cache, beyond `import numba`",
                       "new process", seconds, 0.35, "s")


def extra_memory(settings):
    p = problem(example("binary_cross_entropy"), settings.n, "float64")
    conditions = settings.conditions("float64")
    ways = {
        "value_and_grad(out=)": (p.value_and_grad, 0),
        "value_and_grad": (lambda: p.loss.value_and_grad(p.y, p.f), p.g.nbytes),
        "grad_and_hess(out=)": (p.grad_and_hess, 0),
        "value_and_grad(out=), strided": (lambda: p.loss.value_and_grad(p.y[::2], p.f[::2], out=p.g[::2]), 0),
        "fl.score": (lambda: fl.score(p.y, p.f, [p.loss]), 0),
    }
    for what, (function, outputs) in ways.items():
        megabytes = extra_bytes(function, outputs) / 1e6
        yield absolute(f"extra memory, {what}, tracemalloc", conditions, [megabytes], 2, "MB")
    if sys.platform == "linux":
        yield absolute("extra memory, value_and_grad(out=), VmHWM", conditions,
                       in_child(PEAK.format(n=settings.n), 3), 2, "MB")


# ---- losses of rows ----------------------------------------------------------------------------------------------

CROSS_ENTROPY = [  # columns, rows, bars of float32 and float64
    (3, 10**6, {"float32": 8, "float64": 5}),
    (10, 400_000, {"float32": 8, "float64": 5}),
    (100, 40_000, {"float32": 2.5}),
    (1000, 4000, {"float32": 2}),
    (50_000, 400, {"float32": 5}),
]


def over_fastest(settings, what, p, ours, others, bar, compared=None):
    """A row against the fastest of the `compared` among `others`, whose times are all named."""
    names = list(others)
    seconds = interleaved(max(5, settings.rounds // 2), ours, *others.values(), pause=0.01)
    fastest = min((1 + k for k, name in enumerate(names) if name in (compared or names)),
                  key=lambda k: np.median(seconds[:, k]))
    n = len(p.f)
    times = ", ".join(f"{name} {per_sample(seconds, 1 + k, n)}" for k, name in enumerate(names))
    return Row(f"{what}, against {names[fastest - 1]}", settings.conditions(p.f.dtype, n), per_sample(seconds, 0, n), times,
               median_ratio(seconds, fastest, 0), best_ratio(seconds, fastest, 0), bar, at_least=True)


def rows_value_and_grad_over_peers(settings):
    """A sample is a row: nanoseconds per sample are per row."""
    from .row_peers import JaxCrossEntropy, SklearnCrossEntropy, TorchCrossEntropy, row_peers

    for columns, n, bars in CROSS_ENTROPY:
        for dtype, bar in bars.items():
            p = cross_entropy(columns, dtype, numbers=columns * n)
            others = row_peers(p.y, p.f, p.value_and_grad(), {"torch": TorchCrossEntropy, "JAX": JaxCrossEntropy,
                                                              "scikit-learn": SklearnCrossEntropy})
            yield over_fastest(settings, f"CategoricalCrossEntropy value_and_grad, C = {columns:,}", p, p.value_and_grad,
                               others, bar)


def rows_value_and_grad_over_copy(settings):
    p = cross_entropy(1000, "float32")
    n = len(p.f)
    seconds = interleaved(settings.rounds, p.value_and_grad, lambda: np.copyto(p.g, p.f))
    yield Row("CategoricalCrossEntropy value_and_grad, C = 1,000, over a copy of the logits",
              settings.conditions("float32", n), per_sample(seconds, 0, n), per_sample(seconds, 1, n),
              median_ratio(seconds), best_ratio(seconds), 2.5)


def rows_grad_and_hess_over_numpy(settings):
    """Against NumPy as an objective is written with it, and as nobody writes it, with every buffer made beforehand."""
    from . import row_peers

    p = cross_entropy(3, "float64", "F", 3 * 10**6)
    for what, names in (("", {"NumPy": "Plain"}), (", their buffers made before", {"NumPy": "", "in chunks": "InChunks"})):
        others = row_peers.row_peers(p.y, p.f, p.grad_and_hess(), {
            name: getattr(row_peers, f"NumpyCrossEntropyHessian{kind}") for name, kind in names.items()})
        yield over_fastest(settings, f"CategoricalCrossEntropy grad_and_hess, C = 3, Fortran{what}", p, p.grad_and_hess,
                           others, 10, ["NumPy"])


def rows_focal_over_peers(settings):
    from .row_peers import NumpyFocal, NumpyFocalInChunks, TorchFocal, row_peers

    p = row_problem(RowExample(fl.CategoricalFocal(), 10), 400_000, "float32")
    others = row_peers(p.y, p.f, p.value_and_grad(), {"NumPy": NumpyFocal, "torch": TorchFocal,
                                                      "NumPy in chunks": NumpyFocalInChunks})
    yield over_fastest(settings, "CategoricalFocal value_and_grad, C = 10", p, p.value_and_grad, others, 15,
                       ["NumPy", "torch"])


def rows_distributions_over_peers(settings):
    """The formula in NumPy gives no gradient; it is a bar of its own."""
    from . import row_peers

    for name in ("GaussianNLL", "GaussianCRPS"):
        p = row_problem(RowExample(getattr(fl, name)(), 2, y=lambda rng, n, _: rng.normal(0.0, 2.0, n)), 10**6, "float32")
        others = row_peers.row_peers(p.y, p.f, p.value_and_grad(), {
            "torch": getattr(row_peers, f"TorchMatrix{name}"), "torch (two arrays)": getattr(row_peers, f"Torch{name}")})
        yield over_fastest(settings, f"{name} value_and_grad, both columns", p, p.value_and_grad, others, 8)
    others = row_peers.row_peers(p.y, p.f, p.value_and_grad(), {
        "scoringrules' formula in NumPy": row_peers.NumpyGaussianCRPS})
    yield over_fastest(settings, "GaussianCRPS value_and_grad, both columns (theirs: value)", p, p.value_and_grad, others, 8)


ROW_PEAK = """
import re, sys
import numpy as np, fusedloss as fl

def status(field):
    return int(re.search(field + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

loss = fl.CategoricalCrossEntropy()
for columns in {columns}:
    n = {numbers} // columns
    f = np.full((n, columns), 0.5, {dtype!r}, {order!r})
    f[:, 0] = 1.0
    y, g = np.arange(n) % columns, np.full_like(f, 1.0)
    loss.value_and_grad(y, f, out=g)
    loss.value_and_grad(y, f, out=g)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # VmHWM starts anew
    before = status("VmRSS")
    loss.value_and_grad(y, f, out=g)
    print((status("VmHWM") - before) / 1e6)
"""


def rows_extra_memory(settings):
    """tracemalloc sees the buffers of the kernels too. For VmHWM malloc must give back what is freed, else the warm-up
    has it already: the child's environment fixes the size from which it does."""
    for order in ("C", "F"):
        for dtype in DTYPES:
            conditions = f"4e6 numbers, {dtype}, {threads()}"
            found = []
            for columns in COLUMNS:
                p = cross_entropy(columns, dtype, order)
                found.append(extra_bytes(p.value_and_grad) / 1e6)
            what = f"extra memory, CategoricalCrossEntropy value_and_grad(out=), {order} order"
            yield largest(f"{what}, tracemalloc", conditions, found)
            if sys.platform == "linux":
                code = ROW_PEAK.format(columns=COLUMNS, numbers=NUMBERS, dtype=dtype, order=order)
                peaks = in_child(code, 3, MALLOC_MMAP_THRESHOLD_="32768", MALLOC_TRIM_THRESHOLD_="0")
                yield largest(f"{what}, VmHWM", conditions, np.median(peaks, axis=0))


def largest(what, conditions, found):
    """A row about the largest of what was found for each number of columns."""
    each = ", ".join(f"{columns:,}: {x:.2g}" for columns, x in zip(COLUMNS, found, strict=True))
    return Row(what, conditions, f"{max(found):.3g} MB", f"(C = {each})", max(found), min(found), 2, unit="MB")


# ---- linear models -----------------------------------------------------------------------------------------------

LINEAR = [(20, 4, 2), (100, 3, 1.8), (500, 2.5, 1.3), (2000, 1.8, 1.2)]  # columns, bars against scikit-learn and BLAS


def linear_value_and_grad_over_peers(settings):
    """Logistic regression on 320 MB of X: nanoseconds per sample are per row. Each with as many threads as it takes."""
    from sklearn._loss import HalfBinomialLoss
    from sklearn.linear_model._linear_loss import LinearModelLoss

    rng = np.random.default_rng(0)
    for d, *bars in LINEAR:
        n = 4 * settings.n // d
        X, y, w = rng.normal(size=(n, d)), rng.integers(0, 2, n).astype(float), rng.normal(size=d + 1) / np.sqrt(d)
        objective, peer, loss = fl.LinearObjective(fl.BinaryCrossEntropy(), X, y), LinearModelLoss(
            HalfBinomialLoss(), fit_intercept=True), fl.BinaryCrossEntropy()

        def blas(X=X, y=y, w=w, loss=loss):
            value, slopes = loss.value_and_grad(y, X @ w[:-1] + w[-1])
            return value, np.append(X.T @ slopes, slopes.sum())

        functions = [lambda objective=objective, w=w: objective(w),
                     lambda peer=peer, X=X, y=y, w=w: peer.loss_gradient(w, X, y, n_threads=threads()), blas]
        for function in functions[1:]:
            np.testing.assert_allclose(function()[1], functions[0]()[1], rtol=1e-7, atol=1e-12)
        seconds = interleaved(settings.rounds, *functions, pause=0.01)
        names = ("scikit-learn's LinearModelLoss", "X @ w, loss, X.T @ g")
        for k, (name, bar) in enumerate(zip(names, bars, strict=True), 1):
            what = f"LinearObjective logistic value_and_grad, d = {d:,}, against {name}"
            yield Row(what, settings.conditions("float64", n),
                      per_sample(seconds, 0, n), per_sample(seconds, k, n), median_ratio(seconds, k, 0),
                      best_ratio(seconds, k, 0), bar, at_least=True)


def linear_extra_memory(settings):
    """Of many classes: what is allocated beyond the gradient, in percent of the logits that are never made."""
    rng = np.random.default_rng(0)
    n, d, columns = 10_000, 100, 10_000
    W, y = np.zeros((d + 1, columns)), rng.integers(0, columns, n)
    for dtype in DTYPES:
        X = rng.normal(size=(n, d)).astype(dtype)
        objective = fl.LinearObjective(fl.CategoricalCrossEntropy(), X, y, n_outputs=columns)
        extra = extra_bytes(lambda objective=objective: objective(W), W.nbytes)
        yield absolute(f"extra memory, LinearObjective softmax value_and_grad, d = 100, C = {columns:,}, tracemalloc",
                       settings.conditions(dtype, n), [100 * extra / (n * columns * X.itemsize)], 1, "% of the logits")


# ---- inside other libraries --------------------------------------------------------------------------------------


def compared(what, conditions, seconds, n, bar, at_least=True):
    """A row of two functions: how many times as fast ours is as theirs, or (`at_least` False) how many times as long."""
    columns = (1, 0) if at_least else (0, 1)
    return Row(what, conditions, per_sample(seconds, 0, n), per_sample(seconds, 1, n), median_ratio(seconds, *columns),
               best_ratio(seconds, *columns), bar, at_least=at_least)


def host_objectives_over_numpy(settings):
    yield from host_bars.objectives(settings, interleaved, compared)


def host_torch_over_torch(settings):
    yield from host_bars.torch_cross_entropy(settings, interleaved, compared)


def host_training_over_numpy(settings):
    yield from host_bars.xgboost_training(settings, interleaved, compared)


def combination_over_dearest_term(settings):
    yield from host_bars.combination(settings, interleaved, compared)


# ---- arrays of other libraries -----------------------------------------------------------------------------------


def arrays_over_numpy(settings):
    yield from array_bars.kinds(settings, interleaved, compared, absolute)


def arrays_dask_overhead(settings):
    yield from array_bars.dask_overhead(settings, absolute)


# ---- scoring -----------------------------------------------------------------------------------------------------


def score_files_over_decoding(settings):
    yield from scoring_bars.files_over_decoding(settings, interleaved, compared)


def score_files_memory(settings):
    yield from scoring_bars.files_memory(in_child, absolute)


def score_auc_over_sklearn(settings):
    yield from scoring_bars.exact_auc(settings, interleaved, compared)


def score_accumulator_update(settings):
    yield from scoring_bars.accumulator_update(settings, interleaved, absolute)


# ---- the table ---------------------------------------------------------------------------------------------------


BARS = [value_and_grad_over_triad, grad_and_hess_over_triad, value_and_grad_over_peers, score_over_sklearn, small_call,
        import_time, first_call, extra_memory, rows_value_and_grad_over_peers, rows_value_and_grad_over_copy,
        rows_grad_and_hess_over_numpy, rows_focal_over_peers, rows_distributions_over_peers, rows_extra_memory,
        host_objectives_over_numpy, host_training_over_numpy, host_torch_over_torch, combination_over_dearest_term,
        linear_value_and_grad_over_peers, linear_extra_memory, arrays_over_numpy, arrays_dask_overhead,
        score_files_over_decoding, score_files_memory, score_auc_over_sklearn, score_accumulator_update]
HEADER = ("what", "n, dtype, threads", "ours", "theirs", "median (best)", "bar", "reached")


def machine():
    """What the numbers depend on, in a line."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {os.cpu_count()} CPUs, {threads()} threads; Python {platform.python_version()}, {versions()}"


def versions(packages=("numpy", "numba", "scikit-learn", "torch", "jax", "xgboost-cpu")):
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bars", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a million samples, few rounds: does it run?")
    parser.add_argument("--only", metavar="TEXT", default="", help=f"one of {', '.join(bar.__name__ for bar in BARS)}")
    parser.add_argument("--rounds", type=int, help="rounds of every measurement (21; quick: 5)")
    parser.add_argument("--json", metavar="FILE", help="the numbers too")
    options = parser.parse_args(arguments)
    settings = Settings(10**6 if options.quick else LARGE, options.rounds or (5 if options.quick else 21))
    print(machine(), f"; {settings.rounds} rounds", ", quick: arrays that fit the cache" if options.quick else "",
          "\n", sep="")
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}", flush=True)
    rows = []
    for bar in BARS:
        if options.only not in bar.__name__:
            continue
        for row in bar(settings):
            rows.append(row)
            print(f"| {' | '.join(row.cells())} |", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": machine(), "rows": [row._asdict() for row in rows]}, file, indent=1)


if __name__ == "__main__":
    main()
