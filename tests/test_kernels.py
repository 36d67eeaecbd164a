"""Compiled kernels: they equal the formulas, agree with each other, take every kind of array, and are SIMD."""

import contextlib
import dataclasses
import math
import re
import tracemalloc

import numpy as np
import pytest

import fusedloss as fl
from examples import EXAMPLES, interpreted
from fusedloss import compile as specialise
from fusedloss.domain import Interval
from fusedloss.vecmath import exp, log1p, sqrt, where

NAN, INF = math.nan, math.inf
DTYPES = pytest.mark.parametrize("F", [np.float64, np.float32], ids=["f64", "f32"])
RNG = np.random.default_rng(0)
REDUCTIONS = ("mean", "sum", "none", "sum_over_batch_size")


def same_bits(a, b):
    """Whether two arrays or floats are equal to the bit, NaN equal to NaN, and of the same dtype and shape."""
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f") and \
        np.array_equal(np.signbit(a), np.signbit(b))


# ---- compiled equals interpreted, for every loss -----------------------------------------------------------------


def kernels_of_losses():
    """Examples that share a kernel: same class, same flags, same domains."""
    groups = {}
    for example in EXAMPLES:
        flags = specialise.split_parameters(example.loss)[1]
        domains = (example.loss.y_domain, example.loss.pred_domain)
        plain = (type(example.loss)().y_domain, type(example.loss)().pred_domain)
        name = "-".join([type(example.loss).__name__, *(f"{'' if on else 'not_'}{flag}" for flag, on in flags),
                         *(map(str, domains) if domains != plain else ())])
        groups.setdefault(name, []).append(example)
    return groups


GROUPS = kernels_of_losses()


@pytest.fixture
def fresh_kernels(monkeypatch):
    """The kernels compiled during a test, in a list: compiled here and not loaded, so that their code can be read."""
    monkeypatch.setenv("FUSEDLOSS_CACHE_DIR", "")
    made = {}
    monkeypatch.setattr(specialise, "_kernels", made)
    return made


def kernels_and_dtypes():
    """Every kernel in both dtypes: in one of them, by turns, at every run of the tests, in the other in the lane for it."""
    for k, group in enumerate(GROUPS):
        for F, name in ((np.float64, "f64"), (np.float32, "f32")):
            other = (F is np.float32) == (k % 2 == 0)
            yield pytest.param(group, F, id=f"{group}-{name}", marks=[pytest.mark.exhaustive] if other else [])


@pytest.mark.parametrize(("group", "F"), list(kernels_and_dtypes()))
def test_compiled_equals_interpreted(group, F, fresh_kernels):
    """To 4 ulp of the answer or of the scale; NaN in, NaN out; and the machine code is what it should be."""
    for example in GROUPS[group]:
        loss = dataclasses.replace(example.loss)  # of its own, without plans from other tests
        (y, f), (far_y, far_f) = example.points(F, 100)
        y, f = np.append(y, far_y), np.append(f, far_f)
        results = loss.value_grad_hess(y.astype(F), f.astype(F), reduction="none")
        for name, result in zip(("value", "gradient", "hessian"), results, strict=True):
            expected = interpreted(loss, name, y, f, F)
            assert result.dtype == F
            assert not np.isnan(result).any()
            with np.errstate(all="ignore"):
                size = np.maximum(abs(expected), example.scales(y, f))
                error = abs(result.astype(float) - expected) / (np.finfo(F).eps * size + float(np.finfo(F).tiny))
            error[result == expected] = 0.0  # infinities
            worst = int(np.nanargmax(error))
            assert error[worst] <= ULPS, (name, loss, y[worst], f[worst], result[worst], expected[worst], error[worst])

        a, b = y[:5].astype(F), f[:5].astype(F)
        a[1], b[3], a[4], b[4] = NAN, NAN, NAN, NAN
        for result in loss.value_grad_hess(a, b, reduction="none"):
            assert np.isnan(result).tolist() == [False, True, False, True, True]
    assert len(fresh_kernels) == 1
    (kernel,) = fresh_kernels.values()
    check_machine_code(kernel, F)


ULPS = 4


def check_machine_code(kernel, F):
    """SIMD arithmetic, nothing called, and for float32 no float64 outside the folding of the lanes."""
    (module,) = kernel.inspect_llvm().values()
    llvm = "".join(f for f in re.split(r"^define ", module, flags=re.M)[1:] if "cpython" not in f.partition("(")[0])
    word = {np.float32: "float", np.float64: "double"}[F]
    assert re.search(rf"(fadd|fsub|fmul|fdiv|fneg|fcmp \w+|select <\d+ x i1> .*?,) <\d+ x {word}>", llvm), "no SIMD"
    called = set(re.findall(r"call [^@\n]*@\"?([\w.$]+)", llvm))
    libm = {name for name in called if re.match(r"(llvm\.)?(exp|log|pow|sin|cos|tan|erf|lgamma|tgamma|fmod|ldexp)", name)}
    assert not libm, f"calls of the mathematical library: {libm}"
    assert not {name for name in called if re.match(r"fma|llvm\.fma\.f80|llvm\.fmuladd", name)}
    if np.float32 == F:
        wide = [line.strip() for line in llvm.splitlines()
                if re.search(r"\b(fpext|fptrunc|(fmul|fdiv|fsub|frem|fneg)\b[^=]*double|llvm\.fma\.\w*f64)", line)]
        assert not wide, wide[:3]


def test_derivatives_with_respect_to_parameters():
    loss = fl.GeneralRobust(alpha=0.7, scale=2.0)
    y, f, w = RNG.normal(size=300), RNG.normal(size=300), RNG.random(300)
    found = loss.param_grad(y, f, w)
    assert list(found) == ["alpha", "scale"]
    for name, derivative in found.items():
        terms = interpreted(loss, f"gradient_{name}", y, f, np.float64)
        assert derivative == pytest.approx((w * terms).sum() / w.sum(), rel=1e-12)
    with pytest.raises(ValueError, match=r"Huber.*no derivative with respect to a parameter"):
        fl.Huber().param_grad(y, f)


# ---- methods, reductions, weights --------------------------------------------------------------------------------

N = 5000  # one whole block and a part
Y = RNG.normal(size=N)
FS = Y + 2 * RNG.normal(size=N)
LABELS = RNG.integers(0, 2, N)
WEIGHTS = RNG.random(N).astype(np.float32).astype(float)
WEIGHTS[RNG.random(N) < 0.1] = 0.0
MASK = RNG.random(N) < 0.2
REPRESENTATIVES = pytest.mark.parametrize(
    ("loss", "y"), [(fl.Huber(delta=1.35), Y), (fl.BinaryCrossEntropy(), LABELS)], ids=["huber", "cross_entropy"])


@pytest.mark.parametrize(("loss", "y", "w", "mask"), [
    (fl.Huber(delta=1.35), Y, None, None), (fl.BinaryCrossEntropy(), LABELS, WEIGHTS, MASK),
    pytest.param(fl.BinaryCrossEntropy(), LABELS, WEIGHTS, None, marks=pytest.mark.exhaustive),
    pytest.param(fl.Huber(delta=1.35), Y, None, MASK, marks=pytest.mark.exhaustive),
], ids=["plain", "both", "weights", "mask"])
def test_methods_agree_to_the_bit(loss, y, w, mask):
    f = FS.astype(np.float32)
    given = dict(sample_weight=w, mask=mask)
    effective = np.ones(N) if w is None else w
    effective = np.where(mask, 0.0, effective) if mask is not None else effective
    samples = N - (0 if mask is None else mask.sum())
    values = loss.elementwise(y, f, **given)
    grad, hess = loss.grad_and_hess(y, f, **given)
    assert values.dtype == grad.dtype == hess.dtype == np.float32
    assert not values[effective == 0].any()
    assert not grad[effective == 0].any()
    total = math.fsum(values.astype(float))
    divisors = {"mean": math.fsum(effective), "sum": 1.0, "none": 1.0, "sum_over_batch_size": float(samples)}
    for reduction in REDUCTIONS:
        scale = np.float32(1.0 / divisors[reduction])
        value = loss(y, f, reduction=reduction, **given)
        v1, g1 = loss.value_and_grad(y, f, reduction=reduction, **given)
        v2, g2, h2 = loss.value_grad_hess(y, f, reduction=reduction, **given)
        assert same_bits(value, v1)
        assert same_bits(value, v2)
        assert same_bits(g1, g2)
        assert same_bits(g1, loss.grad(y, f, reduction=reduction, **given))
        assert same_bits(g1, scale * grad)
        assert same_bits(h2, scale * hess)
        if reduction == "none":
            assert same_bits(value, values)
        else:
            assert type(value) is float
            assert value == pytest.approx(total / divisors[reduction], rel=1e-14)


@pytest.mark.parametrize("loss", [fl.GeneralRobust(alpha=0.5), fl.Pinball(quantile=0.9), fl.PseudoHuber()], ids=repr)
def test_majorizer_as_the_hessian(loss):
    grad, hess = loss.grad_and_hess(Y, FS, hessian="majorizer")
    np.testing.assert_allclose(hess, interpreted(loss, "majorizer", Y, FS, np.float64), rtol=1e-13)
    assert same_bits(grad, loss.grad_and_hess(Y, FS)[0])


def test_value_is_the_exact_sum_divided_once():
    """Integers: no rounding anywhere, so whatever the order of the sum, this is the number."""
    y, f = np.zeros(9000), RNG.integers(-50, 50, 9000).astype(float)
    assert fl.SquaredError()(y, f, reduction="sum") == float((f * f).sum())
    assert fl.SquaredError()(y, f) == float((f * f).sum()) / 9000


@DTYPES
@pytest.mark.parametrize("weight", [0.1, 1 / 3, 0.7e-12])
def test_equal_weights_leave_the_mean_as_it_is(weight, F):
    """The weights of the sum and those of its denominator are the same numbers, whatever the dtype of the prediction."""
    f = FS.astype(F)
    value, grad = fl.Huber()(Y, f), fl.Huber().grad(Y, f)
    weighted, weighted_grad = fl.Huber().value_and_grad(Y, f, np.full(N, weight))
    tolerance = {np.float32: 5e-9, np.float64: 1e-13}[F]  # a product is rounded in F
    assert weighted == pytest.approx(value, rel=tolerance)
    np.testing.assert_allclose(weighted_grad, grad, rtol=8 * np.finfo(F).eps)


@pytest.mark.parametrize("weight", [1e-60, 1e60])
def test_weights_beyond_float32_are_not_taken_for_nothing(weight):
    """With float32 predictions a float64 weight of 1e-60 is 0, and 1e60 infinite: the mean is right, or an error."""
    f = FS.astype(np.float32)
    with contextlib.suppress(ValueError):
        assert fl.Huber()(Y, f, np.full(N, weight)) == pytest.approx(fl.Huber()(Y, f), rel=1e-6)


@REPRESENTATIVES
def test_integer_weights_equal_repeated_rows(loss, y):
    counts = RNG.integers(0, 4, N)
    repeated_y, repeated_f = np.repeat(y, counts), np.repeat(FS, counts)
    for reduction in ("mean", "sum"):
        assert loss(y, FS, counts, reduction) == pytest.approx(loss(repeated_y, repeated_f, reduction=reduction), rel=1e-14)
    grad, hess = loss.grad_and_hess(y, FS, counts)
    once, curvature = loss.grad_and_hess(y, FS)
    assert (grad == once * counts).all()
    assert (hess == curvature * counts).all()


def test_integer_weights_equal_repeated_rows_to_the_bit_where_sums_are_exact():
    f, counts = RNG.integers(-50, 50, N).astype(float), RNG.integers(0, 4, N)
    for reduction in ("mean", "sum"):
        repeated = fl.SquaredError()(0.0, np.repeat(f, counts), reduction=reduction)
        assert fl.SquaredError()(0.0, f, counts, reduction) == repeated


@pytest.mark.parametrize("way", ["weight", "mask"])
def test_a_sample_taken_out_might_not_be_there(way):
    """Its NaN, its infinity and its impossible target included."""
    loss = fl.BinaryCrossEntropy()
    y, f = LABELS.astype(float), FS.copy()
    out = RNG.random(N) < 0.3
    y[out], f[out] = RNG.choice([NAN, 7.0, -1.0, INF], out.sum()), RNG.choice([NAN, INF, 0.0], out.sum())
    given = dict(mask=out) if way == "mask" else dict(sample_weight=np.where(out, 0.0, 1.0))
    for reduction in ("mean", "sum", "sum_over_batch_size"):
        value, grad, hess = loss.value_grad_hess(y, f, reduction=reduction, **given)
        rest, rest_grad, rest_hess = loss.value_grad_hess(y[~out], f[~out], reduction=reduction)
        if reduction == "sum_over_batch_size" and way == "weight":
            rest, rest_grad, rest_hess = rest * (1 - out.mean()), rest_grad * (1 - out.mean()), rest_hess * (1 - out.mean())
        assert value == pytest.approx(rest, rel=1e-14)
        np.testing.assert_allclose(grad[~out], rest_grad, rtol=1e-14)
        np.testing.assert_allclose(hess[~out], rest_hess, rtol=1e-14)
        assert not grad[out].any()
        assert not hess[out].any()


@pytest.mark.parametrize("where_it_is", ["y_true", "y_pred"])
def test_nan_is_never_skipped(where_it_is):
    y, f = Y.copy(), FS.copy()
    (y if where_it_is == "y_true" else f)[4097] = NAN
    for loss in (fl.Huber(), fl.SquaredError()):
        value, grad, hess = loss.value_grad_hess(y, f)
        assert math.isnan(value)
        assert np.flatnonzero(np.isnan(grad)).tolist() == [4097]
        assert np.flatnonzero(np.isnan(hess)).tolist() == [4097]


@DTYPES
@pytest.mark.parametrize("n", [1, 2, 127, 128, 129, 4095, 4096, 4097, 8193])
def test_sizes(n, F):
    loss, y, f = fl.BinaryCrossEntropy(), np.resize(LABELS, n), np.resize(FS, n).astype(F)
    value, grad = loss.value_and_grad(y, f, reduction="sum")
    assert value == pytest.approx(math.fsum(loss.elementwise(y, f).astype(float)), rel=1e-15)
    assert grad.shape == (n,)
    assert same_bits(grad, np.resize(loss.grad(LABELS, FS.astype(F), reduction="sum"), n))
    assert loss(y, f) == value / n


def test_infinite_values_sum_to_infinity_and_both_infinities_to_nan():
    assert fl.SquaredError()(0.0, np.array([1e200, 1.0] * 5000), reduction="sum") == INF
    f = np.zeros(10000)
    f[0], f[9000] = INF, -INF
    loss = fl.WassersteinGAN()
    assert loss(0, np.where(f < 0, 0.0, f), reduction="sum") == INF
    assert loss(0, np.where(f > 0, 0.0, f), reduction="sum") == -INF
    assert math.isnan(loss(0, f, reduction="sum"))


def test_float32_is_summed_in_float64():
    """A float32 accumulator stops at 2^24."""
    f = np.ones((1 << 24) + 4096, np.float32)
    assert fl.SquaredError()(0.0, f, reduction="sum") == f.size


# ---- empty input, weights of nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)], ids=str)
def test_empty_input(shape):
    loss, none = fl.Huber(), np.empty(shape)
    assert loss(none, none, reduction="sum") == 0.0
    with pytest.warns(RuntimeWarning, match="mean of no samples"):
        assert math.isnan(loss(none, none))
    with pytest.warns(RuntimeWarning, match="mean of no samples"):
        value, grad = loss.value_and_grad(none, none)
    assert math.isnan(value)
    assert grad.shape == shape
    assert loss.elementwise(none, none).shape == shape
    assert [a.shape for a in loss.grad_and_hess(none, none)] == [shape, shape]


@pytest.mark.parametrize("given", [dict(sample_weight=np.zeros(3)), dict(mask=np.ones(3, bool))], ids=["weights", "mask"])
def test_nothing_has_weight(given):
    y, f = np.zeros(3), np.ones(3)
    with pytest.warns(RuntimeWarning, match="NaN"):
        assert math.isnan(fl.Huber()(y, f, **given))
    assert fl.Huber()(y, f, reduction="sum", **given) == 0.0
    assert fl.Huber().elementwise(y, f, **given).tolist() == [0.0, 0.0, 0.0]
    assert [a.tolist() for a in fl.Huber().grad_and_hess(y, f, **given)] == [[0.0] * 3] * 2


# ---- kinds of arrays ---------------------------------------------------------------------------------------------

SHAPE = (1700, 3)  # 5100 samples: blocks end in the middle of a row


def unaligned(a):
    raw = np.empty(a.nbytes + 1, np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    assert view.flags.aligned == (a.itemsize == 1)
    return view


def memmapped(a, folder):
    mapped = np.memmap(folder / "data", a.dtype, "w+", shape=a.shape)
    mapped[...] = a
    mapped.flush()
    return np.memmap(folder / "data", a.dtype, "r", shape=a.shape)


def readonly(a):
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS = {
    "contiguous": lambda a, _: a,
    "readonly": lambda a, _: readonly(a),
    "fortran": lambda a, _: np.asfortranarray(a),
    "every other row": lambda a, _: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a, _: a[::-1].copy()[::-1],
    "reversed columns": lambda a, _: a[:, ::-1].copy()[:, ::-1],
    "columns of a wider array": lambda a, _: np.concatenate([a, a], axis=1)[:, :3],
    "unaligned": lambda a, _: unaligned(a),
    "memmap": lambda a, folder: memmapped(a, folder),
    "list": lambda a, _: a.tolist(),
    "field of a record": lambda a, _: np.rec.fromarrays([a, a], names="a,b")["a"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_give_the_same_bits(layout, tmp_path):
    loss, rng = fl.BinaryCrossEntropy(), np.random.default_rng(1)
    y, f, w = rng.integers(0, 2, SHAPE).astype(float), rng.normal(size=SHAPE), rng.random(SHAPE)
    mask = rng.random(SHAPE) < 0.1
    change = LAYOUTS[layout]
    expected = loss.value_grad_hess(y, f, w, mask=mask)
    for k in range(4):
        arrays = [y, f, w, mask]
        arrays[k] = change(arrays[k], tmp_path)
        found = loss.value_grad_hess(*arrays[:3], mask=arrays[3])
        assert all(map(same_bits, found, expected)), k
    y, f, w, mask = (change(a, tmp_path) for a in (y, f, w, mask)) if layout != "memmap" else (y, f, w, mask)
    assert all(map(same_bits, loss.value_grad_hess(y, f, w, mask=mask), expected))


@pytest.mark.parametrize("layout", ["fortran", "every other row", "reversed", "columns of a wider array", "unaligned"])
def test_layouts_of_out(layout):
    loss, rng = fl.BinaryCrossEntropy(), np.random.default_rng(2)
    y, f = rng.integers(0, 2, SHAPE), rng.normal(size=SHAPE)
    expected = loss.grad_and_hess(y, f)
    out = tuple(LAYOUTS[layout](np.full(SHAPE, 7.0), None) for _ in "gh")
    found = loss.grad_and_hess(y, f, out=out)
    assert found[0] is out[0]
    assert found[1] is out[1]
    assert all(map(same_bits, found, expected))
    if layout == "columns of a wider array":
        assert (out[0].base[:, 3:] == 7.0).all()


def test_more_than_two_dimensions_and_none():
    loss, rng = fl.Huber(), np.random.default_rng(3)
    y, f, w = rng.normal(size=(7, 30, 41)), rng.normal(size=(7, 30, 41)), rng.random(7)
    value, grad = loss.value_and_grad(y, f, w)
    flat = loss.value_and_grad(y.ravel(), f.ravel(), np.repeat(w, 30 * 41))
    assert same_bits(value, flat[0])
    assert same_bits(grad, flat[1].reshape(f.shape))
    assert same_bits(grad.transpose(1, 2, 0), loss.grad(y.transpose(1, 2, 0), f.transpose(1, 2, 0),
                                                        np.broadcast_to(w, (30, 41, 7))))
    for scalar in (3.0, np.float64(3.0), np.array(3.0), 3):
        value, grad = loss.value_and_grad(1.0, scalar)
        assert value == 1.5
        assert grad.shape == ()
        assert float(grad) == 1.0


def test_one_target_for_all_and_weights_of_rows():
    loss, rng = fl.Huber(), np.random.default_rng(4)
    f, w = rng.normal(size=SHAPE), rng.random(SHAPE[0])
    full, rows = np.full(SHAPE, 0.25), np.repeat(w[:, None], 3, axis=1)
    for y in (0.25, np.float32(0.25), np.array(0.25), np.broadcast_to(0.25, SHAPE)):
        assert all(map(same_bits, loss.value_and_grad(y, f, w), loss.value_and_grad(full, f, rows)))
    mask = w < 0.5
    assert same_bits(loss(0.25, f, mask=mask), loss(full, f, mask=np.repeat(mask[:, None], 3, axis=1)))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i8", "?", *[
    pytest.param(dtype, marks=pytest.mark.exhaustive) for dtype in ("i2", "i4", "u1", "u2", "u4", "u8")]])
def test_dtypes_of_targets_and_weights(dtype):
    """Converted element by element, exactly: the same bits as when the caller converts them."""
    loss, rng = fl.HalfSquaredError(), np.random.default_rng(5)
    y, w = rng.integers(0, 100, 5000).astype(dtype), rng.integers(0, 3, 5000).astype(dtype)
    for F in (np.float32, np.float64):
        f = rng.normal(size=5000).astype(F)
        expected = loss.value_and_grad(y.astype(F), f, w.astype(F))
        assert all(map(same_bits, loss.value_and_grad(y, f, w), expected))


def test_negative_integers_keep_their_sign():
    assert fl.HalfSquaredError().grad(np.array([-3], "i1"), np.array([0.0]), reduction="sum").tolist() == [3.0]
    assert fl.HalfSquaredError().grad(np.array([255], "u1"), np.array([0.0]), reduction="sum").tolist() == [-255.0]


@pytest.mark.parametrize("dtype", ["i1", "i4", "i8", "u8", "?"])
def test_integer_predictions_are_computed_in_float64(dtype):
    loss, f = fl.PseudoHuber(), RNG.integers(0, 2, 5000).astype(dtype)
    found = loss.value_grad_hess(0.5, f)
    assert found[1].dtype == np.float64
    assert all(map(same_bits, found, loss.value_grad_hess(0.5, f.astype(float))))


def test_float16_is_computed_in_float32_and_rounded_once():
    loss, f, y = fl.PseudoHuber(), FS.astype(np.float16), Y.astype(np.float16)
    value, grad, hess = loss.value_grad_hess(y, f, reduction="sum")
    wide = loss.value_grad_hess(y.astype(np.float32), f.astype(np.float32), reduction="sum")
    assert same_bits(value, wide[0])
    assert same_bits(grad, wide[1].astype(np.float16))
    assert same_bits(hess, wide[2].astype(np.float16))
    out = np.empty_like(f)
    assert loss.grad(y, f, reduction="sum", out=out) is out
    assert same_bits(out, grad)


def test_inputs_are_left_as_they_were():
    y, f, w, mask = Y.copy(), FS.copy(), WEIGHTS.copy(), MASK.copy()
    fl.Huber().value_grad_hess(y, f, w, mask=mask)
    assert all(map(same_bits, (y, f, w, mask), (Y, FS, WEIGHTS, MASK)))


def test_no_temporaries_of_the_size_of_the_data():
    """Law 2: beyond the outputs, memory for blocks alone, strided and converted inputs included."""
    n = 1 << 20
    f, y, w = np.ones(n), np.zeros(n, np.int8), np.ones(2 * n)[::2]
    out = np.empty(n), np.empty(n)
    loss = fl.SquaredError()
    for measured in (False, True):  # compiled at first
        if measured:
            tracemalloc.start()
        loss.value_grad_hess(y, f, w, out=out)
        loss.value_grad_hess(y, f, out=out)
        loss(y[::-1], f)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20


# ---- out= --------------------------------------------------------------------------------------------------------


def test_out_is_what_is_returned():
    loss = fl.Huber()
    for dtype in (np.float32, np.float64):
        f = FS.astype(dtype)
        g, h, v = np.empty_like(f), np.empty_like(f), np.empty_like(f)
        assert loss.grad(Y, f, out=g) is g
        assert loss.value_and_grad(Y, f, out=g)[1] is g
        assert loss.elementwise(Y, f, out=v) is v
        found = loss.grad_and_hess(Y, f, out=(g, h))
        assert found[0] is g
        assert found[1] is h
        found = loss.value_grad_hess(Y, f, out=(g, h))
        assert found[1] is g
        assert found[2] is h
        assert same_bits(g, loss.grad(Y, f))
        assert same_bits(v, loss.elementwise(Y, f))


@pytest.mark.parametrize("n", [100, 5000, 100_000])
def test_out_may_be_the_predictions(n):
    """Written over in place, block by block, for any layout."""
    loss = fl.PseudoHuber()
    y = np.resize(Y, n)
    for make in (lambda: np.resize(FS, n), lambda: np.repeat(np.resize(FS, n), 2)[::2],
                 lambda: np.resize(FS, n)[::-1], lambda: np.resize(FS, n).astype(np.float16)):
        f = make()
        expected = loss.value_and_grad(y, make())
        found = loss.value_and_grad(y, f, out=f)
        assert found[1] is f
        assert all(map(same_bits, found, expected))
        f, h = make(), np.empty_like(make())
        expected = loss.grad_and_hess(y, make())
        assert all(map(same_bits, loss.grad_and_hess(y, f, out=(f, h)), expected))
        f, g = make(), np.empty_like(make())
        assert all(map(same_bits, loss.grad_and_hess(y, f, out=(g, f)), expected))


def bad_outs():
    f, both = FS.copy(), np.empty(2 * N)
    yield "dtype", f, np.empty(N, np.float32), "out has dtype float32; it must have dtype float64"
    yield "ints", f, np.empty(N, np.int64), "out has dtype int64; it must have dtype float64"
    yield "short", f, np.empty(N - 1), "out has shape"
    yield "long", f, np.empty(N + 1), "out has shape"
    yield "two-dimensional", f, np.empty((N, 1)), "out has shape"
    yield "readonly", f, readonly(f), "out is read-only"
    yield "list", f, [0.0] * N, "out is a list"
    yield "shifted", both[:N], both[1: N + 1], "out overlaps y_pred"
    yield "reversed", both[:N], both[:N][::-1], "out overlaps y_pred"
    yield "tuple", f, (np.empty(N), np.empty(N)), "out is a tuple"


@pytest.mark.parametrize(("f", "out", "message"), [case[1:] for case in bad_outs()], ids=[case[0] for case in bad_outs()])
def test_out_that_cannot_take_the_result(f, out, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        fl.Huber().grad(Y, f, out=out)


def test_outs_may_not_overlap_anything_else():
    f, w, y = FS.copy(), WEIGHTS.copy(), Y.copy()
    loss, g = fl.Huber(), np.empty(N)
    with pytest.raises(ValueError, match="out overlaps y_true"):
        loss.grad(y, f, out=y)
    with pytest.raises(ValueError, match="out overlaps sample_weight"):
        loss.grad(y, f, w, out=w)
    with pytest.raises(ValueError, match=r"out\[1\] overlaps out\[0\]"):
        loss.grad_and_hess(y, f, out=(g, g))
    with pytest.raises(ValueError, match=r"out\[1\] overlaps y_true"):
        loss.grad_and_hess(y, f, out=(g, y))
    for wrong in (g, [g, g], (g,), (g, g.copy(), g.copy())):
        with pytest.raises(TypeError, match=r"out must be a tuple \(grad, hess\)"):
            loss.grad_and_hess(y, f, out=wrong)
    with pytest.raises(ValueError, match=r"out\[1\] has dtype"):
        loss.value_grad_hess(y, f, out=(g, np.empty(N, np.float32)))


# ---- errors ------------------------------------------------------------------------------------------------------


def spoiled(x, at, value):
    x = np.array(x, float)
    x[at] = value
    return x


POSITIVES = np.exp(RNG.normal(size=N))
ONES = np.ones(N)
DOMAIN_ERRORS = {
    "poisson": (fl.Poisson(), POSITIVES, FS, "y_true", -1e-9),
    "gamma": (fl.Gamma(), POSITIVES, FS, "y_true", 0.0),
    "cross entropy": (fl.BinaryCrossEntropy(), LABELS, FS, "y_true", 1.5),
    "soft label": (fl.Hinge(), LABELS, FS, "y_true", 0.5),
    "minus one": (fl.BinaryCrossEntropy(), LABELS, FS, "y_true", -1.0),
    "infinite label": (fl.BinaryCrossEntropy(), LABELS, FS, "y_true", INF),
    "logit as probability": (fl.BinaryCrossEntropy(from_logits=False), LABELS, 0.5 * ONES, "y_pred", 1.0000001),
    "mean": (fl.PoissonDeviance(), POSITIVES, POSITIVES, "y_pred", 0.0),
}


@pytest.mark.parametrize("case", DOMAIN_ERRORS)
@pytest.mark.parametrize("method", ["__call__", "grad", "elementwise", "grad_and_hess"])
def test_domain_errors_name_argument_index_and_value(case, method):
    loss, y, f, name, value = DOMAIN_ERRORS[case]
    call = getattr(loss, method)
    for at in (0, 127, 4096, N - 1):
        arrays = {"y_true": y, "y_pred": f}
        arrays[name] = spoiled(spoiled(arrays[name], at, value), N - 1, value)
        message = f"{name}[{at}] = {value!r}: {loss.name} needs {name} to be "
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            call(arrays["y_true"], arrays["y_pred"])
    strided = np.repeat(arrays["y_pred"], 2)[::2]
    with pytest.raises(ValueError, match=rf"^{name}\[{N - 1}\] = "):
        call(arrays["y_true"], strided)


def test_domain_errors_give_the_remedy():
    loss = fl.BinaryCrossEntropy()
    with pytest.raises(ValueError, match=r"y_true\[1\] = -1.*\(y_true \+ 1\) / 2"):
        loss(np.array([1, -1]), np.zeros(2))
    with pytest.raises(ValueError, match=r"y_true\[0\] = 2.*encode the two classes as 0 and 1"):
        loss(np.array([2, 1]), np.zeros(2))
    with pytest.raises(ValueError, match=r"y_pred\[1\] = 3.0.*from_logits=True"):
        fl.BinaryCrossEntropy(from_logits=False)(np.array([1, 0]), np.array([0.5, 3.0]))
    with pytest.raises(ValueError, match=r"y_true\[1, 2\] = -9: poisson needs y_true to be .*mask="):
        fl.Poisson()(np.array([[1, 2, 3], [4, 5, -9]]), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"^y_true = -1.0: poisson"):
        fl.Poisson()(-1.0, 0.5)


@pytest.mark.parametrize("bad", [-1e-300, NAN, INF, -INF])
def test_weights_must_be_finite_and_not_negative(bad):
    w = spoiled(WEIGHTS, 4099, bad)
    for reduction in REDUCTIONS:
        with pytest.raises(ValueError, match=rf"sample_weight\[4099\] = {re.escape(repr(bad))}: weights must be"):
            fl.Huber()(Y, FS, w, reduction)
    hidden = spoiled(np.zeros(N), 4099, 1) == 1
    assert math.isfinite(fl.Huber()(Y, FS, w, mask=hidden))
    with pytest.raises(ValueError, match=r"sample_weight\[2, 0\] = -1"):
        fl.Huber()(np.zeros((3, 2)), np.zeros((3, 2)), np.array([1, 1, -1]))


def test_weights_whose_sum_overflows():
    with pytest.raises(ValueError, match="sample_weight"):
        fl.Huber()(np.zeros(2), np.ones(2), np.array([1e308, 1e308]))


REFUSED = {
    "masked array": (np.ma.masked_array(np.zeros(3), [1, 0, 0]), TypeError, "masked array.*mask="),
    "complex": (np.zeros(3, complex), TypeError, "complex128.*real part"),
    "object": (np.array([1, None, 2], object), TypeError, "object.*convert"),
    "string": (np.array(["a", "b", "c"]), TypeError, "<U1.*encode"),
    "bytes": (np.array([b"a", b"b", b"c"]), TypeError, "S1.*encode"),
    "datetime": (np.zeros(3, "M8[s]"), TypeError, r"datetime64.*subtract"),
    "timedelta": (np.zeros(3, "m8[s]"), TypeError, r"timedelta64.*divide"),
    "longdouble": (np.zeros(3, np.longdouble), TypeError, r"float128.*astype\(numpy.float64\)"),
    "big-endian": (np.zeros(3, ">f8"), ValueError, "other byte order.*newbyteorder"),
    "record": (np.zeros(3, [("a", float)]), TypeError, "pick one field"),
    "None": (None, TypeError, "NoneType"),
    "word": ("abc", TypeError, "str"),
    "dict": ({1: 2}, TypeError, "dict"),
    "set": ({1.0}, TypeError, "set"),
    "range": (range(3), TypeError, "range"),
    "complex number": (1j, TypeError, "complex"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_types(case):
    wrong, error, message = REFUSED[case]
    good = np.zeros(3)
    with pytest.raises(error, match=f"^y_true .*{message}"):
        fl.Huber()(wrong, good)
    with pytest.raises(error, match=f"^y_pred .*{message}"):
        fl.Huber()(good, wrong)
    if wrong is not None:
        with pytest.raises(error, match=f"^sample_weight .*{message}"):
            fl.Huber()(good, good, wrong)
        with pytest.raises(error, match=f"^mask .*{message}"):
            fl.Huber()(good, good, mask=wrong)


def test_shapes_must_agree():
    y, f = np.zeros(6), np.zeros((6, 1))
    with pytest.raises(ValueError, match=r"y_true has shape \(6,\) and y_pred has shape \(6, 1\).*reshape"):
        fl.Huber()(y, f)
    with pytest.raises(ValueError, match=r"y_true has shape \(5,\) and y_pred has shape \(6,\)"):
        fl.Huber()(y[:5], y)
    with pytest.raises(ValueError, match=r"y_true has shape \(1,\)"):
        fl.Huber()(y[:1], y)
    with pytest.raises(ValueError, match=r"sample_weight has shape \(5,\); it must have shape \(6,\)"):
        fl.Huber()(y, y, y[:5])
    with pytest.raises(ValueError, match=r"sample_weight has shape \(2,\); it must have shape \(3,\) or \(3, 2\)"):
        fl.Huber()(np.zeros((3, 2)), np.zeros((3, 2)), np.zeros(2))
    with pytest.raises(ValueError, match=r"mask has shape \(5,\)"):
        fl.Huber()(y, y, mask=np.zeros(5, bool))
    with pytest.raises(TypeError, match="mask has dtype float64; it must be bool"):
        fl.Huber()(y, y, mask=y)
    with pytest.raises(ValueError, match="reduction must be one of 'mean', 'sum', 'none', 'sum_over_batch_size', found"):
        fl.Huber()(y, y, reduction="avg")
    with pytest.raises(ValueError, match=r"hessian must be one of 'exact'.*found 'gauss'"):
        fl.Huber().grad_and_hess(y, y, hessian="gauss")


# ---- losses of one's own -----------------------------------------------------------------------------------------

HALF = 0.5


def helper(x):
    return 2 * x + HALF


class Custom(fl.Elementwise):
    """Uses what a formula may use: parameters, a property, a flag, globals, helpers, literals of every size."""

    c: float = 1.0
    double: bool = False

    @property
    def inverse(self):
        return 1 / self.c

    def value(self, y, f):
        r = (f - y) * self.inverse
        a = helper(log1p(r * r)) + 2**0.5 * exp(-r * r) + 300 * r**2 + sqrt(1 + r * r) / 3 + max(r, 0) + min(1, r)
        return where(r > 1, a, a + 1e-3 * abs(r)) * (2 if self.double else 1)

    def gradient(self, y, f):
        return f - y + math.exp(-f * f) + np.tanh(f)


@DTYPES
@pytest.mark.parametrize("loss", [Custom(), Custom(c=3.0, double=True)], ids=repr)
def test_custom_loss(loss, F, fresh_kernels):
    y, f = Y.astype(F), FS.astype(F)
    loss = dataclasses.replace(loss)
    values, grads = loss.value_and_grad(y, f, reduction="none")
    tolerance = dict(rtol=8 * np.finfo(F).eps, atol=8 * np.finfo(F).eps)
    np.testing.assert_allclose(values, interpreted(loss, "value", y, f, F), **tolerance)
    np.testing.assert_allclose(grads, [float(a) - float(b) + math.exp(-float(a)**2) + math.tanh(a)
                                       for a, b in zip(f, y, strict=True)], **tolerance)
    (kernel,) = fresh_kernels.values()
    check_machine_code(kernel, F)
    with pytest.raises(ValueError, match=r"Custom has no formula hessian"):
        loss.grad_and_hess(y, f)


def test_custom_loss_with_closure_and_domain():
    def make(k):
        class Shifted(fl.Elementwise):
            y_domain = Interval(0.0, 1.0, True, True)

            def value(self, y, f):
                return k * (f - y) * (f - y)

            def gradient(self, y, f):
                return 2 * k * (f - y)

        return Shifted()

    f = np.array([1.0, 2.0])
    assert make(3.0)(0.0, f, reduction="sum") == 15.0
    assert make(5.0)(0.0, f, reduction="sum") == 25.0  # the same code with another closed-over number
    with pytest.raises(ValueError, match=r"y_true\[0\] = 2.0"):
        make(5.0)(np.array([2.0, 0.0]), f)


def test_formulas_that_cannot_be_compiled_say_why():
    class Word(fl.Elementwise):
        word: str = dataclasses.field(default="a", metadata={"choices": ("a", "b")})

        def value(self, y, f):
            return f if self.word == "a" else y

    with pytest.raises(TypeError, match=r"Word: its formulas read self.word = 'a'.*property"):
        Word()(np.zeros(3), np.ones(3))

    table = [1.0, 2.0]

    class Table(fl.Elementwise):
        def value(self, y, f):
            return table[0] * f

    with pytest.raises(TypeError, match=r"a formula uses table = .*formulas may use"):
        Table()(np.zeros(3), np.ones(3))


def test_losses_survive_use():
    """Equality, hash, pickle and copies know nothing of the kernels that a loss has used."""
    import copy
    import pickle

    loss, fresh = fl.Huber(delta=1.25), fl.Huber(delta=1.25)
    before = pickle.dumps(loss)
    loss.value_and_grad(Y, FS)
    assert loss == fresh
    assert hash(loss) == hash(fresh)
    assert pickle.dumps(loss) == before
    for twin in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss), copy.copy(loss), dataclasses.replace(loss)):
        assert twin == loss
        assert same_bits(twin(Y, FS), loss(Y, FS))
    assert "plans" not in repr(loss)


def test_parameters_travel_at_run_time(fresh_kernels):
    """One kernel for every delta: nothing is compiled again for another number."""
    for delta in (0.5, 1.0, 2.0):
        loss = fl.Huber(delta=delta)
        assert loss(0.0, np.array([1.0, 3.0]), reduction="sum") == sum(loss.value(0.0, f) for f in (1.0, 3.0))
    assert len(fresh_kernels) == 1
