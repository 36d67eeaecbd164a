"""Row losses, the same bits: over drivers, threads, layouts, subsets of outputs, chunks and permutations."""

from fractions import Fraction

import numpy as np
import pytest
from test_bits import ENVIRONMENTS, bits

import fusedloss as fl
from fusedloss import evaluate_rows
from fusedloss.kernels.rows import ELEMENTS, block_of

RNG = np.random.default_rng(0)
C = 5
N = 5 * 4096 + 77  # several blocks, enough numbers for two threads, and a part of a strip at the end
ROWS = 3 * RNG.normal(size=(N, C))
LABELS = RNG.integers(0, C, N)
SHARES = RNG.dirichlet(np.ones(C), N)
WEIGHTS = RNG.random(N)
CASES = {  # loss, targets, dtype, weights, along
    "cross-entropy": (fl.CategoricalCrossEntropy(), LABELS, np.float32, None, False),
    "cross-entropy of rows": (fl.CategoricalCrossEntropy(label_smoothing=0.1), SHARES, np.float64, WEIGHTS, False),
    "ranked": (fl.RankedProbabilityScore(), LABELS, np.float64, None, False),
    "along": (fl.CategoricalFocal(), LABELS, np.float32, None, True),
}


@pytest.fixture(params=CASES)
def case(request, monkeypatch):
    """(loss, targets, predictions, weights)"""
    loss, y, F, w, along = CASES[request.param]
    if along:
        monkeypatch.setattr(evaluate_rows, "ALONG_FROM", 1)
    return loss, y, ROWS.astype(F), w


def test_blocks():
    """The largest power of two up to 4096 with at most 65,536 numbers; at least one row."""
    assert [block_of(c) for c in (1, 16, 17, 32, 400, ELEMENTS // 2, ELEMENTS, ELEMENTS + 1, 10**6)] == \
        [4096, 4096, 2048, 2048, 128, 2, 1, 1, 1]


@pytest.mark.parametrize("case", ["cross-entropy", "cross-entropy of rows", "along"], indirect=True)
def test_drivers_and_threads(case):
    """Numba's threads, our own, and none; one thread and two; more than once."""
    loss, y, f, w = case
    expected = bits(loss.value_and_grad(y, f, w, executor="serial"))
    for executor in ("auto", "numba", "threads", "serial"):
        for n_threads in (None, 1, 2, 64):
            for _ in range(2):
                assert bits(loss.value_and_grad(y, f, w, n_threads=n_threads, executor=executor)) == expected, \
                    (executor, n_threads)


@pytest.mark.parametrize("case", ["cross-entropy", "cross-entropy of rows"], indirect=True)
def test_which_outputs_are_asked_for(case):
    loss, y, f, w = case
    n = 6000  # so many run serially: kernels for several threads take long to compile
    y, f, w = y[:n], f[:n], None if w is None else w[:n]
    value, grad, hess = loss.value_grad_hess(y, f, w)
    assert bits(loss(y, f, w)) == bits(value)
    assert bits(loss.value_and_grad(y, f, w)) == bits((value, grad))
    unreduced = loss.value_grad_hess(y, f, w, reduction="none")
    assert bits(loss.elementwise(y, f, w)) == bits(unreduced[0])
    assert bits(loss.grad_and_hess(y, f, w)) == bits(unreduced[1:])
    assert value * (n if w is None else w.sum()) == pytest.approx(unreduced[0].sum(dtype=float), rel=1e-12)
    assert hess.shape == f.shape


def readonly(a):
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS = {
    "read-only": readonly,
    "fortran": np.asfortranarray,
    "read-only fortran": lambda a: readonly(np.asfortranarray(a)),
    "reversed columns": lambda a: a[:, ::-1].copy()[:, ::-1],
    "reversed rows": lambda a: a[::-1].copy()[::-1],
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "columns of a wider array": lambda a: np.concatenate([a, a], axis=1)[:, : a.shape[1]],
    "unaligned": lambda a: unaligned(a),
    "list of arrays": list,
}


def unaligned(a):
    raw = np.empty(a.nbytes + 1, np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def test_layouts(case):
    """Predictions, targets and weights in every layout, each alone and all together."""
    loss, y, f, w = case
    y, f, w = y[:6000], f[:6000], None if w is None else w[:6000]
    expected = bits(loss.value_and_grad(y, f, w))
    for name, change in LAYOUTS.items():
        if name == "list of arrays" and f.dtype != np.float64:
            continue  # a list of numbers is float64
        arrays = [change(a) if a is not None and (a.ndim == 2 or "columns" not in name) else a for a in (y, f, w)]
        for tried in ((y, arrays[1], w), (arrays[0], f, arrays[2]), arrays):
            value, grad = loss.value_and_grad(*tried)
            assert bits((value, grad)) == expected, name
            if name == "fortran" and tried[1] is arrays[1]:
                assert grad.flags.f_contiguous  # in the order of the predictions


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 5, 8, 9])
def test_transposition(columns):
    """Groups of 16 or 8 rows are moved by shuffles, what is left one by one: as many numbers arrive, each at its place."""
    rng = np.random.default_rng(columns)
    for F in (np.float32, np.float64):
        for n in (1, 7, 8, 16, 17, 63, 64, 150):
            f, y = rng.normal(size=(n, columns)).astype(F), rng.integers(0, columns, n)
            loss = fl.CategoricalCrossEntropy()
            guarded = np.full((n + 2, columns), 7.0, F)
            value = loss.value_and_grad(y, f, reduction="sum", out=guarded[1:-1])[0]
            assert (guarded[[0, -1]] == 7.0).all()
            other, grad = loss.value_and_grad(y, np.asfortranarray(f), reduction="sum")
            assert bits((value, guarded[1:-1])) == bits((other, grad))


def test_float16_is_computed_in_float32_and_rounded_once(case):
    loss, y, f, w = case
    f = f[:500].astype(np.float16)
    w = None if w is None else w[:500].astype(np.float32)
    value, grad = loss.value_and_grad(y[:500], f, w, reduction="sum")
    wide_value, wide = loss.value_and_grad(y[:500], f.astype(np.float32), w, reduction="sum")
    assert value == wide_value
    assert bits(grad) == bits(wide.astype(np.float16))
    out = np.empty_like(f)
    assert loss.value_and_grad(y[:500], f, w, reduction="sum", out=out)[1] is out
    assert bits(out) == bits(grad)


def test_integers_are_computed_in_float64():
    loss, f = fl.RankedProbabilityScore(), np.arange(-150, 150).reshape(60, 5)
    for dtype in ("i2", "i8"):
        found = loss.value_and_grad(LABELS[:60], f.astype(dtype))
        assert bits(found) == bits(loss.value_and_grad(LABELS[:60], f.astype(float)))


def test_chunks_cut_on_block_boundaries(case):
    """A chunk's sum is that of its blocks: exact sums of the parts give the whole, and gradients are the same."""
    loss, y, f, w = case
    whole, grad = loss.value_and_grad(y, f, w, reduction="sum")
    for rows in (block_of(C), 3 * block_of(C)):
        parts = [loss.value_and_grad(y[k: k + rows], f[k: k + rows], None if w is None else w[k: k + rows], "sum")
                 for k in range(0, N, rows)]
        if rows == block_of(C):
            assert whole == float(sum(Fraction(value) for value, _ in parts))
        assert whole == pytest.approx(sum(value for value, _ in parts), rel=1e-15)
        assert np.concatenate([g for _, g in parts]).tobytes() == grad.tobytes()


def test_permuting_rows_permutes_gradients(case):
    loss, y, f, w = case
    order = RNG.permutation(N)
    grad = loss.value_and_grad(y, f, w, reduction="sum")[1]
    moved = loss.value_and_grad(y[order], f[order], None if w is None else w[order], reduction="sum")[1]
    assert grad[order].tobytes() == moved.tobytes()


def test_partials_are_added_without_loss():
    """1e16 and then forty times 1: added one after the other, the ones would vanish."""
    f = np.zeros((41 * block_of(1), 1))
    f[:: block_of(1), 0] = [1e16, *[1.0] * 40]
    assert fl.EnsembleCRPS()(np.zeros(len(f)), f, reduction="sum", executor="serial") == 1e16 + 40  # of one member: |y - f|


def test_float32_is_summed_in_float64():
    """Two classes at equal logits: ln 2 each, to the digits of float32, however many there are."""
    n = 1 << 22
    y, f = np.zeros(n, np.int8), np.zeros((n, 2), np.float32)
    value = fl.CategoricalCrossEntropy()(y, f, reduction="sum", executor="serial")
    assert value == n * float(np.float32(np.log(2.0)))


HEX = """
import hashlib, json
import numpy as np
import fusedloss as fl

rng = np.random.default_rng(1)
found = {}

def add(name, loss, y, f, F):
    value, grad = loss.value_and_grad(y, f.astype(F))
    found[name] = value.hex() + " " + hashlib.sha256(grad.tobytes()).hexdigest()[:16]

for C, n, F in ((2, 70_005, "f4"), (3, 50_001, "f8"), (11, 15_003, "f8"), (12, 15_003, "f4"), (500, 301, "f4"),
                (70_000, 3, "f8")):
    add(f"cross-entropy of {C}", fl.CategoricalCrossEntropy(), rng.integers(0, C, n), 2 * rng.normal(size=(n, C)), F)
n = 30_001
add("gaussian", fl.GaussianNLL(), rng.normal(size=n), rng.normal(size=(n, 2)), "f4")
add("ranked", fl.RankedProbabilityScore(), rng.integers(0, 5, n), np.asfortranarray(rng.normal(size=(n, 5))), "f8")
print(json.dumps(found))
"""


@pytest.mark.process
def test_cpus_and_threads(run_python, tmp_path):
    """AVX-512, AVX2 and SSE2, one thread and two: tiles of every mover, along the row, streamed; one hex of each."""
    host = run_python(HEX, timeout=300, FUSEDLOSS_CACHE_DIR=tmp_path / "host")
    for name in ("avx2", "sse2", "one thread"):
        cache = tmp_path / ("host" if name == "one thread" else name)
        assert run_python(HEX, timeout=300, FUSEDLOSS_CACHE_DIR=cache, **ENVIRONMENTS[name]) == host, name
