"""The same bits: over drivers, threads, layouts, subsets of outputs, chunks, and CPUs."""

import numpy as np
import pytest

import fusedloss as fl
from fusedloss.kernels.cpu import BLOCK

N = 40 * BLOCK + 77  # enough for two threads, and a part of a block at the end
RNG = np.random.default_rng(0)
F64 = 3 * RNG.normal(size=N)
LOSSES = {
    "huber": (fl.Huber(delta=1.35), RNG.normal(size=N)),
    "cross entropy": (fl.BinaryCrossEntropy(), RNG.integers(0, 2, N)),
}
CASES = pytest.mark.parametrize("case", LOSSES)
WEIGHTS = RNG.random(N)


def bits(results):
    """Everything that a call returned, as bytes."""
    return [np.asarray(x).tobytes() for x in (results if isinstance(results, tuple) else (results,))]


@pytest.mark.parametrize(("case", "F", "weighted"), [
    ("huber", np.float32, False), ("huber", np.float64, True), ("cross entropy", np.float64, False)])
def test_drivers_and_threads(case, F, weighted):
    """Numba's threads, our own, and none; one thread and two; more than once."""
    loss, y = LOSSES[case]
    f, w = F64.astype(F), WEIGHTS if weighted else None
    expected = bits(loss.value_and_grad(y, f, w, executor="serial"))
    for executor in ("auto", "numba", "threads", "serial"):
        for n_threads in (None, 1, 2, 64):
            for _ in range(2):
                assert bits(loss.value_and_grad(y, f, w, n_threads=n_threads, executor=executor)) == expected, \
                    (executor, n_threads)


@pytest.mark.parametrize(("case", "F"), [("huber", np.float64), ("cross entropy", np.float32)])
def test_which_outputs_are_asked_for(case, F):
    loss, y = LOSSES[case]
    f = F64.astype(F)
    value, grad, _ = loss.value_grad_hess(y, f)
    assert bits(loss(y, f)) == bits(value)
    assert bits(loss.value_and_grad(y, f)) == bits((value, grad))
    assert bits(loss.grad(y, f)) == bits(grad)
    unreduced = loss.value_grad_hess(y, f, reduction="none")
    assert bits(loss.elementwise(y, f)) == bits(unreduced[0])
    assert bits(loss.grad_and_hess(y, f)) == bits(unreduced[1:])


@CASES
def test_layouts(case):
    """Contiguous, strided, reversed, read-only, Fortran; with every driver."""
    loss, y = LOSSES[case]
    f = F64
    expected = bits(loss.value_and_grad(y, f))
    readonly = f.copy()
    readonly.flags.writeable = False
    same = [np.repeat(f, 2)[::2], f[::-1].copy()[::-1], readonly, np.asfortranarray(np.stack([f, f], axis=1))[:, 0]]
    for other in same:
        for executor in ("auto", "numba", "threads", "serial"):
            assert bits(loss.value_and_grad(y, other, executor=executor)) == expected
    table = np.asfortranarray(f[: 7 * BLOCK].reshape(-1, 7))
    targets = y[: 7 * BLOCK].reshape(-1, 7)
    assert bits(loss.value_and_grad(targets, table)) == bits(loss.value_and_grad(targets, np.ascontiguousarray(table)))


@CASES
def test_chunks_cut_on_block_boundaries(case):
    """A chunk's sum is that of its blocks: exact sums of the parts give the whole, and gradients are the same."""
    from fractions import Fraction

    loss, y = LOSSES[case]
    whole, grad = loss.value_and_grad(y, F64, reduction="sum")
    for blocks in (1, 3, 16):
        cuts = range(0, N, blocks * BLOCK)
        parts = [loss.value_and_grad(y[k: k + blocks * BLOCK], F64[k: k + blocks * BLOCK], reduction="sum") for k in cuts]
        if blocks == 1:
            assert whole == float(sum(Fraction(value) for value, _ in parts))
        assert whole == pytest.approx(sum(value for value, _ in parts), rel=1e-15)
        assert np.concatenate([g for _, g in parts]).tobytes() == grad.tobytes()


def test_partials_are_added_without_loss():
    """1e16 and then forty times 1: added one after the other, the ones would vanish."""
    f = np.zeros(41 * BLOCK)
    f[::BLOCK] = [1e8, *[1.0] * 40]
    assert fl.SquaredError()(0.0, f, reduction="sum") == 1e16 + 40


def test_permuting_rows_permutes_gradients():
    loss, y = LOSSES["cross entropy"]
    order = RNG.permutation(N)
    assert loss.grad(y, F64)[order].tobytes() == loss.grad(y[order], F64[order]).tobytes()


HEX = """
import hashlib, json
import numpy as np
import fusedloss as fl

rng = np.random.default_rng(1)
n = 36 * 4096 + 5
f, y, labels, counts = 4 * rng.normal(size=n), rng.normal(size=n), rng.integers(0, 2, n), rng.poisson(3, n)
found = {}
for loss, target in [(fl.PseudoHuber(), y), (fl.BinaryCrossEntropy(), labels), (fl.Probit(), labels),
                     (fl.Tweedie(), counts)]:
    for F in (np.float64, np.float32):
        value, grad = loss.value_and_grad(target, f.astype(F))
        found[f"{loss.name} {F.__name__}"] = value.hex() + " " + hashlib.sha256(grad.tobytes()).hexdigest()[:16]
print(json.dumps(found))
"""

ENVIRONMENTS = {
    "avx2": dict(NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES=""),
    "sse2": dict(NUMBA_CPU_NAME="generic"),
    "one thread": dict(NUMBA_NUM_THREADS=1),
    "two threads": dict(NUMBA_NUM_THREADS=2),
    "omp": dict(NUMBA_THREADING_LAYER="omp"),
    "workqueue": dict(NUMBA_THREADING_LAYER="workqueue"),
}


@pytest.mark.process
def test_cpus_threads_and_layers(run_python, tmp_path):
    """Kernels for AVX-512, AVX2 and SSE2, however many threads of whichever layer: one hex of every sum and gradient."""
    host = run_python(HEX, FUSEDLOSS_CACHE_DIR=tmp_path / "host")
    for name, env in ENVIRONMENTS.items():
        cache = tmp_path / ("host" if "NUMBA_CPU_NAME" not in env else name)
        assert run_python(HEX, FUSEDLOSS_CACHE_DIR=cache, **env) == host, name
