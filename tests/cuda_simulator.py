"""Tests that run in Numba's CUDA simulator: `test_cuda.py` starts them in a process of their own, where the environment
says so before Numba is imported. What every loss is compared with was computed on the CPU, and is in the file EXPECTED."""

import math
import os
import pickle

import numpy as np
import pytest

import fusedloss as fl
from examples import EXAMPLES, ROW_EXAMPLES
from fusedloss.cuda_api import SIMULATED, THREADS, cuda
from fusedloss.evaluate_cuda import run
from fusedloss.kernels import cuda as loops
from fusedloss.kernels import cuda_rows

assert SIMULATED
NAN, INF = math.nan, math.inf
RNG = np.random.default_rng(0)
DTYPES = pytest.mark.parametrize("F", [np.float64, np.float32], ids=["f64", "f32"])
N, ROWS = 19, 5

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the simulator computes with numbers of NumPy


def device(*arrays):
    found = [None if a is None else cuda.to_device(np.ascontiguousarray(a)) for a in arrays]
    return found if len(found) > 1 else found[0]


def host(result):
    if isinstance(result, tuple):
        return tuple(map(host, result))
    return np.asarray(result.copy_to_host())


def evaluate(loss, what, y, f, w=None, mask=None, reduction="mean", hessian=None, out=None, *more):
    return host(run(loss, what, *[a if isinstance(a, float) else device(a) for a in (y, f)], *[
        None if a is None else device(a) for a in (w, mask)], reduction, hessian, out, *more))


def close(a, b, bar=1e-12):
    a, b = np.asarray(a, float), np.asarray(b, float)
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=bar, atol=bar * max(1.0, np.abs(b[np.isfinite(b)]).max(initial=0.0)))


# ---- every loss --------------------------------------------------------------------------------------------------


def expected():
    with np.load(os.environ["EXPECTED"]) as file:
        return dict(file)


@pytest.mark.skipif("EXPECTED" not in os.environ or "rows" in os.environ["EXPECTED"], reason="needs the CPU's results")
def test_every_elementwise_loss():
    """Value, gradient and Hessian of each sample, the sum, and the sums behind param_grad."""
    results = expected()
    for k, example in enumerate(EXAMPLES):
        for F in (np.float64, np.float32):
            name = f"{k}-{F.__name__}"
            y, f, *wanted = (results[f"{name}-{part}"] for part in ("y", "f", "value", "gradient", "hessian"))
            got = evaluate(example.loss, "value_grad_hess", y, f, reduction="none", hessian="exact")
            for part, a, b in zip(("value", "gradient", "hessian"), got, wanted, strict=True):
                assert a.dtype == F
                compare(example, part, a, b, results[f"{name}-scale"], 1e-12 if F is np.float64 else 3e-5)
        total = evaluate(example.loss, "value", y, f, reduction="sum")
        assert total.shape == ()
        assert total.dtype == np.float64
        with np.errstate(all="ignore"):
            close(total, got[0].astype(float).sum(), 1e-6)


def compare(example, part, a, b, scale, bar):
    """Within `bar` of the CPU's answer, or of the largest term of the textbook's formula."""
    with np.errstate(all="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        size = np.maximum(np.abs(b), scale if np.ndim(scale) == np.ndim(b) else scale[:, None]).astype(float)
        wrong = ~(same | (np.abs(a.astype(float) - b) <= bar * np.maximum(size, 1e-30)))
    assert not wrong.any(), (example.id, part, np.argwhere(wrong)[:3].tolist(), a[wrong][:3], b[wrong][:3])


@pytest.mark.skipif("rows" not in os.environ.get("EXPECTED", ""), reason="needs the CPU's results")
@pytest.mark.parametrize(("lanes", "F", "bar"), [(1, np.float64, 1e-11), (2, np.float64, 1e-11), (1, np.float32, 2e-5)])
def test_every_row_loss(lanes, F, bar, monkeypatch):
    """The same, with a thread for every row and with threads that share a row."""
    monkeypatch.setattr(cuda_rows, "lanes_of", lambda columns: lanes)
    results = expected()
    for k, example in enumerate(ROW_EXAMPLES):
        example.loss.__dict__.pop("_cuda_programs", None)
        y, f, *wanted = (results[f"{k}-{part}"] for part in ("y", "f", "value", "gradient", "hessian"))
        got = evaluate(example.loss, "value_grad_hess", y.astype(F) if y.dtype.kind == "f" else y, f.astype(F),
                       reduction="none", hessian="exact")
        for part, a, b in zip(("value", "gradient", "hessian"), got, wanted, strict=True):
            assert a.dtype == F
            compare(example, part, a, b, results[f"{k}-scale"], bar)


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_threads_that_share_a_row_add_it_once(lanes, monkeypatch):
    """Groups that go from row to row, the scratch memory of the one before in their hands."""
    monkeypatch.setattr(cuda_rows, "lanes_of", lambda columns: lanes)
    monkeypatch.setattr(cuda_rows, "BLOCKS", 1)
    rng = np.random.default_rng(3)
    f, w = rng.normal(size=(ROWS, 6)), rng.uniform(0.5, 2.0, ROWS)
    for loss, y in ((fl.CategoricalCrossEntropy(), rng.integers(0, 6, ROWS)), (fl.EnsembleCRPS(), rng.normal(size=ROWS))):
        value, gradient = evaluate(loss, "value_and_grad", y, f, w)
        close(value, sum(k * loss.value(a, b) for k, a, b in zip(w, y, f, strict=True)) / w.sum())
        close(gradient, [k * loss.gradient(a, b) / w.sum() for k, a, b in zip(w, y, f, strict=True)])


# ---- reductions, weights, masks ----------------------------------------------------------------------------------


def samples(n=N, columns=None):
    shape = n if columns is None else (n, columns)
    return RNG.normal(size=shape), RNG.normal(size=shape), RNG.uniform(0.5, 2.0, n), RNG.random(n) < 0.3


@pytest.mark.parametrize("reduction", ["mean", "sum", "none", "sum_over_batch_size"])
@pytest.mark.parametrize("given", ["", "w", "m", "wm"])
def test_reductions_are_those_of_the_cpu(reduction, given):
    y, f, w, m = samples()
    w, m = (w if "w" in given else None), (m if "m" in given else None)
    value, gradient = evaluate(fl.Huber(), "value_and_grad", y, f, w, m, reduction)
    weight = np.where(False if m is None else m, 0.0, 1.0 if w is None else w) * np.ones(N)
    total = {"mean": weight.sum(), "sum_over_batch_size": N if m is None else (~m).sum()}.get(reduction, 1.0)
    values = np.array([fl.Huber().value(a, b) for a, b in zip(y, f, strict=True)])
    gradients = np.array([fl.Huber().gradient(a, b) for a, b in zip(y, f, strict=True)])
    close(value, weight * values if reduction == "none" else (weight * values).sum() / total)
    close(gradient, weight * gradients / total)


@pytest.mark.parametrize("reduction", ["mean", "sum_over_batch_size"])
def test_weights_and_mask_of_rows_of_an_elementwise_loss(reduction):
    y, f, w, m = samples(7, 3)
    got = evaluate(fl.SquaredError(), "value", y, f, w, m, reduction)
    weight = np.where(m, 0.0, w)[:, None] * np.ones((7, 3))
    total = weight.sum() if reduction == "mean" else 3 * (~m).sum()
    close(got, (weight * (f - y) ** 2).sum() / total)
    by_sample = np.where(RNG.random((7, 3)) < 0.5, 0.0, 1.5)
    close(evaluate(fl.SquaredError(), "value", y, f, by_sample, None, reduction),
          (by_sample * (f - y) ** 2).sum() / (by_sample.sum() if reduction == "mean" else 21))


@pytest.mark.parametrize("n", [1, 3, 4, 15, 16, 17, 40])
def test_every_sample_counts_once(n, monkeypatch):
    """Also where blocks take several tiles, and in the last, incomplete one."""
    monkeypatch.setattr(loops, "BLOCKS", 2)
    y, f = np.zeros(n), 2.0 ** np.arange(n)
    value, gradient = evaluate(fl.SquaredError(), "value_and_grad", y, np.sqrt(f), reduction="sum")
    close(value, f.sum())
    close(gradient, 2 * np.sqrt(f))
    rows = evaluate(fl.CategoricalCrossEntropy(), "elementwise", np.zeros(n, int), np.zeros((n, 3)), None, None, "none")
    close(rows, np.full(n, math.log(3.0)))
    close(evaluate(fl.CategoricalCrossEntropy(), "value", np.zeros(n, int), np.zeros((n, 3))), math.log(3.0))


def test_nothing_at_all():
    with pytest.warns(RuntimeWarning, match="mean of no samples"):
        value, gradient = evaluate(fl.Huber(), "value_and_grad", np.zeros(0), np.zeros(0))
    assert np.isnan(value)
    assert gradient.shape == (0,)
    assert evaluate(fl.Huber(), "value", np.zeros(0), np.zeros(0), reduction="sum") == 0.0
    value = evaluate(fl.Huber(), "value_and_grad", np.zeros(3), np.ones(3), np.zeros(3))
    assert np.isnan(value[0])
    assert (value[1] == 0.0).all()


def test_the_grid_depends_on_n_alone():
    assert loops.blocks_of(1) == 1
    assert loops.blocks_of(loops.TILE + 1) == 2
    assert loops.blocks_of(10**12) == loops.BLOCKS
    assert cuda_rows.blocks_of(10, 3, 1, 0, 8) == -(-10 // THREADS)
    kept = cuda_rows.blocks_of(10**9, 10**4, 1, 2, 8)  # scratch memory is bounded
    assert kept * THREADS * 10**4 * 2 * 8 <= cuda_rows.SCRATCH < (kept + 1) * THREADS * 10**4 * 2 * 8


@DTYPES
def test_threads_add_in_a_fixed_order(F):
    """A thread its samples, then the halves of a block, then the blocks: the sum is this one and no other."""
    n = 3 * loops.TILE + 5
    f = (10.0 ** RNG.uniform(-8, 8, n)).astype(F)
    got = evaluate(fl.AbsoluteError(), "value", np.zeros(n, F), f, reduction="sum")
    blocks = loops.blocks_of(n)
    partials = np.zeros((blocks, THREADS))
    for start in range(0, n, loops.ITEMS):
        block, thread = divmod(start // loops.ITEMS, THREADS)
        for x in f[start:start + loops.ITEMS]:
            partials[block, thread] += float(x)
    assert got == folded([folded(threads) for threads in partials])


def folded(numbers):
    lanes = np.zeros(THREADS)
    for k, x in enumerate(numbers):
        lanes[k % THREADS] += x
    half = THREADS // 2
    while half:
        lanes[:half] += lanes[half:2 * half]
        half //= 2
    return lanes[0]


# ---- dtypes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4", "u1", "?"])
def test_dtypes_of_predictions(dtype):
    f, y = np.array([0, 1, 1, 0, 1], dtype), np.array([1.0, 0.5, 2.0, 0.0, 1.0])
    value, gradient = evaluate(fl.SquaredError(), "value_and_grad", y, f, reduction="none")
    computed = {"f2": np.float16, "f4": np.float32}.get(dtype, np.float64)
    assert value.dtype == gradient.dtype == computed
    close(value, (f.astype(float) - y) ** 2)


@pytest.mark.parametrize("dtype", ["f2", "f8", "i1", "i2", "i8", "u2", "u4", "u8", "?"])
def test_dtypes_of_targets_and_weights(dtype):
    y, f = np.array([0, 1, 1, 0, 1], dtype), np.array([0.5, 1.0, -1.0, 2.0, 0.25], np.float32)
    w = np.array([1, 1, 0, 1, 1], dtype)
    value, gradient = evaluate(fl.SquaredError(), "value_and_grad", y, f, w, None, "sum")
    assert gradient.dtype == np.float32
    close(value, (w.astype(float) * (f - y.astype(float)) ** 2).sum(), 1e-6)


def test_literals_take_the_dtype_of_the_prediction():
    gradient = evaluate(fl.Huber(), "grad", np.zeros(3, np.float32), np.float32([0.1, 0.2, 3.0]), reduction="none")
    assert gradient.dtype == np.float32
    assert (gradient == np.float32([0.1, 0.2, 1.0])).all()


def test_one_target_for_all_samples():
    f = RNG.normal(size=5)
    close(evaluate(fl.SquaredError(), "elementwise", 2.0, f, reduction="none"), (f - 2.0) ** 2)
    with pytest.raises(ValueError, match=r"y_true = 3.0: binary_cross_entropy needs y_true to be"):
        run(fl.BinaryCrossEntropy(), "value", 3.0, device(f), None, None, "mean", None, None)


# ---- other methods -----------------------------------------------------------------------------------------------


def test_derivatives_with_respect_to_a_parameter():
    y, f, *_ = samples()
    loss = fl.GeneralRobust()
    names = [name for name in dir(loss) if name.startswith("gradient_")]
    for name in names:
        want = np.mean([getattr(loss, name)(a, b) for a, b in zip(y, f, strict=True)])
        close(evaluate(loss, name, y, f), want)
    assert names


def test_products_with_the_hessian_and_blocks_of_it():
    loss, y, f = fl.CategoricalCrossEntropy(), RNG.integers(0, 3, ROWS), RNG.normal(size=(ROWS, 3))
    p = np.exp(f) / np.exp(f).sum(1, keepdims=True)
    blocks = p[:, :, None] * (np.eye(3) - p[:, None, :])
    close(evaluate(loss, "hess_blocks", y, f, reduction="none"), blocks)
    v = RNG.normal(size=(ROWS, 3))
    close(evaluate(loss, "hvp", y, f, None, None, "mean", None, None, device(v)),
          np.einsum("ijk,ik->ij", blocks, v) / ROWS)
    f = np.array([0.5, -3.0, 0.1])
    v = np.array([1.0, 2.0, -4.0])
    close(evaluate(fl.Huber(), "hvp", np.zeros(3), f, np.array([1.0, 1.0, 2.0]), None, "mean", "exact", None, device(v)),
          np.array([1.0, 0.0, -8.0]) / 4)
    with pytest.raises(ValueError, match=r"v has shape \(2,\) and dtype float64; it must have those of y_pred"):
        evaluate(fl.Huber(), "hvp", np.zeros(3), f, None, None, "mean", "exact", None, device(v[:2]))
    gaussian = fl.GaussianNLL()
    y, f = RNG.normal(size=ROWS), RNG.normal(size=(ROWS, 2))
    want = [gaussian.natural_gradient(a, b) for a, b in zip(y, f, strict=True)]
    close(evaluate(gaussian, "natural_grad", y, f, reduction="none"), want)


def test_weights_of_classes_and_labels_to_ignore():
    weights = np.array([1.0, 2.0, 0.5])
    loss = fl.CategoricalCrossEntropy(class_weight=weights, ignore_index=-1)
    y, f, w = np.array([0, -1, 2, 1, 1]), RNG.normal(size=(ROWS, 3)), RNG.uniform(size=ROWS)
    values = np.array([0.0 if k < 0 else np.log(np.exp(row).sum()) - row[k] for k, row in zip(y, f, strict=True)])
    weight = np.where(y < 0, 0.0, w * weights[y])
    close(evaluate(loss, "value", y, f, w), (weight * values).sum() / weight.sum())
    close(evaluate(loss, "value", y, f, w, None, "sum_over_batch_size"), (weight * values).sum() / 4)
    for unusable in ("balanced", "effective_number"):
        with pytest.raises(ValueError, match="pass the weights as an array"):
            evaluate(fl.CategoricalCrossEntropy(class_weight=unusable), "value", y, f)


def test_losses_made_of_losses_and_of_users():
    class Quartic(fl.Elementwise):
        c: float = 2.0

        def value(self, y, f):
            return (f - y) ** 4 / self.c

        def gradient(self, y, f):
            return 4 * (f - y) ** 3 / self.c

    y, f, *_ = samples()
    for loss in (0.7 * fl.Huber(delta=0.5) + 0.3 * fl.Pinball(quantile=0.9), fl.SquaredError().clipped(1.0),
                 fl.Huber().scaled(2.5), Quartic(c=3.0)):
        value, gradient = evaluate(loss, "value_and_grad", y, f, reduction="none")
        close(value, [loss.value(a, b) for a, b in zip(y, f, strict=True)])
        close(gradient, [loss.gradient(a, b) for a, b in zip(y, f, strict=True)])
    y, f = RNG.integers(0, 3, ROWS), RNG.normal(size=(ROWS, 3))
    cross_entropy = fl.CategoricalCrossEntropy(temperature=2.0)
    for loss in (cross_entropy + 0.5 * fl.MulticlassBrier(), cross_entropy.focal()):
        value, gradient = evaluate(loss, "value_and_grad", y, f, reduction="none")
        close(value, [loss.value(a, b) for a, b in zip(y, f, strict=True)])
        close(gradient, [loss.gradient(a, b) for a, b in zip(y, f, strict=True)])


# ---- what a loss does not admit ----------------------------------------------------------------------------------


def test_what_is_not_admitted_is_nan():
    """Nothing is reported back: the sample's outputs are NaN, and the value with them."""
    y, f = np.array([0.0, 1.0, 2.0, 1.0]), np.zeros(4)
    value, gradient = evaluate(fl.BinaryCrossEntropy(), "value_and_grad", y, f)
    assert np.isnan(value)
    assert (np.isnan(gradient) == [False, False, True, False]).all()
    value, gradient = evaluate(fl.BinaryCrossEntropy(), "value_and_grad", y, f, np.array([1.0, 1.0, 0.0, 1.0]))
    close(value, math.log(2.0))
    assert gradient[2] == 0.0
    for w in (-1.0, NAN, INF):
        values = evaluate(fl.Huber(), "elementwise", np.zeros(3), np.ones(3), np.array([1.0, w, 2.0]), None, "none")
        assert (np.isnan(values) == [False, True, False]).all()
    lost = evaluate(fl.Huber(), "elementwise", np.zeros(2, np.float32), np.ones(2, np.float32), np.array([1.0, 1e-60]),
                    None, "none")
    assert np.isnan(lost[1])
    assert lost[0] == 0.5


def test_a_label_that_is_no_class_is_nan():
    f, y = np.zeros((4, 3)), np.array([0, 3, 2, -1])
    value, gradient = evaluate(fl.CategoricalCrossEntropy(), "value_and_grad", y, f, reduction="none")
    assert (np.isnan(value) == [False, True, False, True]).all()
    assert (np.isnan(gradient).all(1) == [False, True, False, True]).all()
    assert np.isfinite(gradient[[0, 2]]).all()
    out_of_domain = np.array([[0.2, 0.8], [1.5, -0.5]])
    values = evaluate(fl.MultilabelBinaryCrossEntropy(), "elementwise", out_of_domain, np.zeros((2, 2)), reduction="none")
    assert (np.isnan(values) == [False, True]).all()


def test_nan_in_nan_out():
    f = np.array([0.0, NAN, 1.0])
    value, gradient, hessian = evaluate(fl.Huber(), "value_grad_hess", np.zeros(3), f, None, None, "none", "exact")
    for x in (value, gradient, hessian):
        assert (np.isnan(x) == [False, True, False]).all()
    value = evaluate(fl.CategoricalCrossEntropy(), "elementwise", np.zeros(2, int), np.array([[0.0, NAN], [0.0, 0.0]]),
                     None, None, "none")
    assert (np.isnan(value) == [True, False]).all()


# ---- arguments ---------------------------------------------------------------------------------------------------


def test_outputs_given():
    y, f = RNG.normal(size=5), RNG.normal(size=5)
    y_, f_, out = device(y, f, np.zeros(5))
    result = run(fl.SquaredError(), "value_and_grad", y_, f_, None, None, "sum", None, out)
    assert result[1] is out
    close(host(out), 2 * (f - y))
    run(fl.SquaredError(), "grad", y_, f_, None, None, "sum", None, f_)  # y_pred itself
    close(host(f_), 2 * (f - y))
    g, h = device(np.zeros(5), np.zeros(5))
    value, gradient = run(fl.SquaredError(), "value_and_grad", y_, device(f), None, None, "none", None, g)
    assert gradient is g
    assert value is not g
    close(host(value), (f - y) ** 2)
    assert run(fl.SquaredError(), "elementwise", y_, device(f), None, None, "none", None, g) is g
    with pytest.raises(ValueError, match=r"out\[1\] overlaps out\[0\]"):
        run(fl.SquaredError(), "grad_and_hess", y_, device(f), None, None, "none", "exact", (g, g))
    assert run(fl.SquaredError(), "grad_and_hess", y_, device(f), None, None, "none", "exact", (g, h)) == (g, h)
    with pytest.raises(ValueError, match="out overlaps y_true"):
        run(fl.SquaredError(), "grad", y_, f_, None, None, "sum", None, y_)
    with pytest.raises(ValueError, match=r"out has dtype float32; it must have dtype float64"):
        run(fl.SquaredError(), "grad", y_, f_, None, None, "sum", None, device(np.zeros(5, np.float32)))
    with pytest.raises(ValueError, match=r"out has shape \(4,\)"):
        run(fl.SquaredError(), "grad", y_, f_, None, None, "sum", None, device(np.zeros(4)))
    with pytest.raises(TypeError, match=r"out must be a tuple \(grad, hess\)"):
        run(fl.SquaredError(), "grad_and_hess", y_, f_, None, None, "none", "exact", g)
    rows = device(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="out overlaps y_pred"):
        run(fl.CategoricalCrossEntropy(), "grad", device(np.zeros(2, int)), rows, None, None, "sum", None, rows)


@pytest.mark.parametrize(("name", "change", "error", "words"), [
    ("y_true", lambda a: np.zeros(4), TypeError, "y_true is on the host and y_pred on a CUDA device: pass numba.cuda.to"),
    ("y_true", lambda a: device(np.zeros(3)), ValueError, r"y_true has shape \(3,\) and y_pred has shape \(4,\)"),
    ("y_true", lambda a: device(np.zeros((4, 2)))[:, 0], ValueError, "y_true is not C-contiguous: pass numba.cuda.to_dev"),
    ("y_true", lambda a: device(np.zeros(4, "c16")), TypeError, "y_true has dtype complex128"),
    ("sample_weight", lambda a: np.ones(4), TypeError, "sample_weight is on the host"),
    ("sample_weight", lambda a: device(np.ones(3)), ValueError, r"sample_weight has shape \(3,\); it must have shape \("),
    ("mask", lambda a: device(np.ones(4)), TypeError, "mask has dtype float64; it must be bool"),
    ("reduction", lambda a: "average", ValueError, "reduction must be one of"),
    ("loss", lambda a: fl.SquaredError().scaled("std"), ValueError, r"pass the number, loss\.scaled\(2\.5\)"),
], ids=lambda x: x if isinstance(x, str) and x.isidentifier() else "")
def test_errors(name, change, error, words):
    y, f = device(np.zeros(4), np.ones(4))
    call = {"loss": fl.SquaredError(), "what": "value", "y_true": y, "y_pred": f, "sample_weight": None, "mask": None,
            "reduction": "mean", "hessian": None, "out": None}
    call[name] = change(call[name])
    with pytest.raises(error, match=words):
        run(*call.values())


def test_errors_of_rows():
    f, y = device(np.zeros((4, 3)), np.zeros(4, int))
    loss = fl.CategoricalCrossEntropy()
    with pytest.raises(ValueError, match=r"y_pred has shape \(4,\); categorical_cross_entropy needs one row per sample"):
        run(loss, "value", y, y, None, None, "mean", None, None)
    with pytest.raises(TypeError, match="labels must be integers"):
        run(loss, "value", device(np.zeros(4)), f, None, None, "mean", None, None)
    with pytest.raises(ValueError, match="y_true has shape"):
        run(loss, "value", device(np.zeros(3, int)), f, None, None, "mean", None, None)
    with pytest.raises(ValueError, match=r"sample_weight has shape \(3,\); it must have shape \(4,\), one per row"):
        run(loss, "value", y, f, device(np.ones(3)), None, "mean", None, None)
    with pytest.raises(ValueError, match="CumulativeLogit: the derivative with respect to an array is not made on a device"):
        run(fl.CumulativeLogit([0.0, 1.0]), "gradient_thresholds", y, device(np.zeros(4)), None, None, "mean", None, None)


def test_kinds_of_arrays():
    """The public methods find their way by the kind of y_pred."""
    y, f = np.zeros(3), np.array([0.5, 1.0, 2.0])
    value, gradient = fl.SquaredError().value_and_grad(*device(y, f), reduction="sum")
    assert float(host(value)) == 5.25
    assert (host(gradient) == 2 * f).all()
    assert (host(fl.SquaredError().hvp(*device(y, f), device(f), reduction="sum")) == 2 * f).all()
    with pytest.raises(TypeError, match=r"y_true is on a CUDA device and y_pred is not: pass y_true.copy_to_host\(\)"):
        fl.Huber()(device(y), f)

    class Foreign:
        __cuda_array_interface__ = None

    with pytest.raises(TypeError, match=r"y_true is a Foreign of .*: pass cupy.asarray\(y_true\)"):
        fl.Huber()(Foreign(), device(f))


def test_plans_are_not_pickled():
    loss = fl.Huber()
    evaluate(loss, "value", np.zeros(3), np.ones(3))
    assert "_cuda_plans" in loss.__dict__
    assert "_cuda_plans" not in pickle.loads(pickle.dumps(loss)).__dict__
