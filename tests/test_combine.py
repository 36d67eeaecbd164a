"""Losses made of losses: the chain rule, one kernel, terms, scales from the data, and what cannot be combined."""

import copy
import math
import pickle

import mpmath as mp
import numpy as np
import pytest

import fusedloss as fl
from fusedloss import compile as specialise
from fusedloss.combine import NORMAL_CONSISTENT, Sum

rng = np.random.default_rng(5)
N = 300
REAL, F = rng.normal(1.0, 2.0, N), rng.normal(0.0, 2.0, N)
LABELS, ROWS = rng.integers(0, 4, N), rng.normal(0.0, 2.0, (N, 4))
BINARY = rng.integers(0, 2, N)
WEIGHTS = rng.choice([0.0, 0.5, 2.0], N)

CE, BCE = fl.CategoricalCrossEntropy(), fl.BinaryCrossEntropy()
COMBINED = {  # loss, targets, predictions
    "sum": (0.7 * fl.Huber() + 0.3 * fl.LogCosh(), REAL, F),
    "nested": ((fl.Huber(0.5) + 2.0 * fl.PseudoHuber()).scaled(3.0).clipped(0.7) - 0.25 * fl.SquaredError(), REAL, F),
    "focal": (BCE.focal(1.5), BINARY, F),
    "smoothed": (BCE.smoothed(0.2).weighted([0.5, 3.0]), BINARY, F),
    "curved": (fl.Poisson().curved(2.0, 0.3), rng.poisson(2.0, N) * 1.0, F),
    "rows": (0.5 * CE + 2.0 * fl.MulticlassBrier(), LABELS, ROWS),
    "focal rows": ((CE.smoothed(0.1) + fl.MulticlassBrier()).focal(1.5), LABELS, ROWS),
    "columns": (fl.GaussianNLL() + 0.5 * fl.GaussianCRPS().curved(1.0, 0.1), REAL, ROWS[:, :2]),
}
CASES = pytest.mark.parametrize("case", COMBINED)


def sample(case, i, number):
    """Target and prediction i in an arithmetic; rows as arrays."""
    loss, y, f = COMBINED[case]
    if not loss.rowwise:
        return number(float(y[i])), number(float(f[i]))
    return (int(y[i]) if y.dtype.kind == "i" else number(float(y[i]))), np.array([number(float(x)) for x in f[i]])


@CASES
def test_derivatives_are_differences_of_the_value(case):
    """At 60 digits, per column; a floor or factor of the Hessian apart."""
    loss = COMBINED[case][0]
    with mp.workdps(60):
        h = mp.mpf(10) ** -20
        for i in range(12):
            y, f = sample(case, i, mp.mpf)
            gradient, hessian = np.atleast_1d(loss.gradient(y, f)), np.atleast_1d(loss.hessian(y, f))
            for k in range(gradient.size):
                step = np.array([h * (j == k) for j in range(gradient.size)]) if loss.rowwise else h
                up, down = f + step, f - step
                slope = (loss.value(y, up) - loss.value(y, down)) / (2 * h)
                assert abs(gradient[k] - slope) <= mp.mpf(10) ** -15 * (1 + abs(slope)), (i, k)
                bend = (np.atleast_1d(loss.gradient(y, up))[k] - np.atleast_1d(loss.gradient(y, down))[k]) / (2 * h)
                if case == "curved":
                    bend = max(2 * bend, mp.mpf(0.3))
                elif case == "columns":
                    part = (fl.GaussianCRPS().gradient(y, up)[k] - fl.GaussianCRPS().gradient(y, down)[k]) / (2 * h)
                    bend += max(part, mp.mpf(0.1)) / 2 - part / 2
                assert abs(hessian[k] - bend) <= mp.mpf(10) ** -14 * (1 + abs(bend)), (i, k)


@CASES
def test_compiled_equals_interpreted(case):
    loss, y, f = COMBINED[case]
    value, gradient, hessian = loss.value_grad_hess(y, f, reduction="none")
    for i in range(40):
        one, row = sample(case, i, np.float64)
        assert value[i] == pytest.approx(float(loss.value(one, row)), rel=1e-13, abs=1e-15)
        assert gradient[i] == pytest.approx(np.asarray(loss.gradient(one, row), float), rel=1e-12, abs=1e-14)
        assert hessian[i] == pytest.approx(np.asarray(loss.hessian(one, row), float), rel=1e-12, abs=1e-14)
    mean, slope, _ = loss.value_grad_hess(y, f, WEIGHTS)
    assert mean == pytest.approx((WEIGHTS * value).sum() / WEIGHTS.sum(), rel=1e-13)
    weights = (WEIGHTS / WEIGHTS.sum()).reshape(-1, *[1] * (f.ndim - 1))
    assert slope == pytest.approx(weights * gradient, rel=1e-12, abs=1e-17)


def test_float32_is_computed_in_float32():
    loss = COMBINED["nested"][0]
    value, gradient = loss.value_and_grad(REAL.astype(np.float32), F.astype(np.float32))
    assert gradient.dtype == np.float32
    wide, slope = loss.value_and_grad(REAL, F)
    assert value == pytest.approx(wide, rel=1e-5)
    assert gradient == pytest.approx(slope, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(("whole", "named", "y", "f"), [
    (BCE.focal(2.0), fl.BinaryFocal(gamma=2.0), BINARY, 6 * F),
    (CE.focal(2.0), fl.CategoricalFocal(gamma=2.0), LABELS, 4 * ROWS),
    (CE.smoothed(0.2), fl.CategoricalCrossEntropy(label_smoothing=0.2), LABELS, ROWS),
    (2.0 * fl.HalfSquaredError(), fl.SquaredError(), REAL, F),
    (fl.Huber(1.0).scaled(2.0) * 4.0, fl.Huber(2.0), REAL, F),
], ids=lambda x: "" if isinstance(x, np.ndarray) else type(x).__name__)
def test_combinations_that_have_a_name(whole, named, y, f):
    for got, known in zip(whole.value_grad_hess(y, f), named.value_grad_hess(y, f), strict=True):
        np.testing.assert_allclose(got, known, rtol=1e-10, atol=1e-15)


def test_numbers_are_parameters(monkeypatch):
    """Two sums that differ in numbers alone share a kernel."""
    made = {}
    monkeypatch.setattr(specialise, "_kernels", made)
    for factor, delta in ((0.5, 1.0), (0.25, 2.0)):
        loss = factor * fl.Huber(delta) + fl.Cauchy(delta)
        assert loss(REAL, F) == pytest.approx(factor * fl.Huber(delta)(REAL, F) + fl.Cauchy(delta)(REAL, F), rel=1e-13)
    sums = [key for key in made if issubclass(key[0], Sum)]
    assert len(sums) == 1


@CASES
def test_they_are_values(case):
    loss = COMBINED[case][0]
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert copy.deepcopy(loss) == loss
    assert hash(pickle.loads(pickle.dumps(loss))) == hash(loss)
    assert loss != 2.0 * loss
    assert loss.describe()


def test_as_it_is_written():
    loss = 0.7 * fl.Huber() + 0.3 * fl.Pinball(quantile=0.9).scaled(2.0)
    assert repr(loss) == "0.7 * Huber() + 0.3 * Pinball(quantile=0.9).scaled(2)"
    assert repr(2 * (fl.Huber() + fl.Cauchy(2.0)).clipped(3)) == "2 * (Huber() + Cauchy(c=2.0)).clipped(3)"
    assert sum([fl.Huber(), fl.Cauchy()]) == fl.Huber() + fl.Cauchy()
    assert 2 * (3 * fl.Huber()) == 6 * fl.Huber()


# ---- what is known of a combination ------------------------------------------------------------------------------


def test_curvatures_are_those_that_all_parts_have():
    loss = 2.0 * fl.Huber() + fl.PseudoHuber()
    y, f = REAL, F
    for policy in ("exact", "majorizer", "constant"):
        parts = [part.grad_and_hess(y, f, hessian=policy)[1] for part in (fl.Huber(), fl.PseudoHuber())]
        assert loss.grad_and_hess(y, f, hessian=policy)[1] == pytest.approx(2.0 * parts[0] + parts[1], rel=1e-13)
    assert "majorizer" not in (fl.Huber() - fl.PseudoHuber()).curvatures
    assert "majorizer" not in (fl.Huber() + fl.Linex()).curvatures
    assert loss.convex
    assert not (-loss).convex
    assert not loss.clipped(2.0).convex
    assert not (fl.Huber() + fl.Pinball(0.5)).smooth


@pytest.mark.exhaustive
def test_the_best_constant():
    for loss, y in ((COMBINED["sum"][0], REAL), (COMBINED["rows"][0], LABELS), (fl.Huber().scaled("std"), REAL)):
        best = np.atleast_1d(loss.init_score(y))
        shape = (N,) if best.size == 1 else (N, best.size)
        slope = loss.grad(y, np.broadcast_to(best if best.size > 1 else best[0], shape))
        assert abs(slope.sum(0)).max() < 1e-7
    assert (3.0 * fl.SquaredError()).init_score(REAL) == fl.SquaredError().init_score(REAL)


def test_classes_are_weighed_and_ignored_by_the_whole():
    whole = (CE + fl.MulticlassBrier()).weighted([1.0, 2.0, 0.5, 3.0])
    weights = np.array([1.0, 2.0, 0.5, 3.0])[LABELS]
    each = CE.elementwise(LABELS, ROWS) + fl.MulticlassBrier().elementwise(LABELS, ROWS)
    assert whole(LABELS, ROWS) == pytest.approx((weights * each).sum() / weights.sum(), rel=1e-13)
    some = 0.5 * fl.CategoricalCrossEntropy(ignore_index=3) + fl.MulticlassBrier()
    kept = LABELS != 3
    assert some(LABELS, ROWS) == pytest.approx((0.5 * CE + fl.MulticlassBrier())(LABELS[kept], ROWS[kept]), rel=1e-13)


# ---- terms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum", "sum_over_batch_size"])
def test_terms_add_up(reduction):
    n = 3 * 4096 + 5
    y, f, w, mask = rng.normal(size=n), rng.normal(size=n), rng.random(n), rng.random(n) < 0.1
    loss = 0.7 * fl.Huber() + 0.3 * (fl.LogCosh() - 2.0 * fl.Cauchy())
    found = loss.terms(y, f, w, reduction, mask=mask)
    assert list(found) == ["0.7 * Huber()", "0.3 * LogCosh()", "-0.6 * Cauchy()"]
    assert sum(found.values()) == pytest.approx(loss(y, f, w, reduction, mask=mask), rel=1e-12)
    assert found["0.3 * LogCosh()"] == pytest.approx(0.3 * fl.LogCosh()(y, f, w, reduction, mask=mask), rel=1e-12)


def test_terms_of_rows():
    loss = (0.5 * CE + fl.MulticlassBrier()).weighted("balanced")
    found = loss.terms(LABELS, ROWS, WEIGHTS)
    assert sum(found.values()) == pytest.approx(loss(LABELS, ROWS, WEIGHTS), rel=1e-12)
    assert list(found) == ["0.5 * CategoricalCrossEntropy()", "MulticlassBrier()"]


# ---- scales ------------------------------------------------------------------------------------------------------


@pytest.mark.exhaustive
def test_scales_of_columns():
    """Outputs in different units; every column is its own loss, and the mean is over all."""
    n = 3 * 4096 + 5
    y, f = rng.normal(size=(n, 3)) * [1.0, 100.0, 0.01], rng.normal(size=(n, 3)) * [1.0, 100.0, 0.01]
    w = rng.random(n)
    for by, scales in (([1.0, 100.0, 0.01], [1.0, 100.0, 0.01]), ("std", None), ("mad", None)):
        loss = fl.Huber().scaled(by)
        if by == "std":
            mean = (w[:, None] * y).sum(0) / w.sum()
            scales = np.sqrt((w[:, None] * (y - mean) ** 2).sum(0) / w.sum())
        elif by == "mad":
            w = None
            scales = NORMAL_CONSISTENT * np.median(abs(y - np.median(y, axis=0)), axis=0)
        value, gradient = loss.value_and_grad(y, f, w)
        columns = [fl.Huber().scaled(s).value_and_grad(y[:, k], f[:, k], w) for k, s in enumerate(scales)]
        assert value == pytest.approx(np.mean([v for v, _ in columns]), rel=1e-11)
        for k, (_, slope) in enumerate(columns):
            assert gradient[:, k] == pytest.approx(slope / 3, rel=1e-10)
    for executor in ("serial", "threads", "numba"):
        assert loss.value_and_grad(y, f, executor=executor)[1].tobytes() == gradient.tobytes()
    nested = (2.0 * fl.Huber().scaled("std") + fl.SquaredError()).value_and_grad(y, f)[0]
    assert nested == pytest.approx(2.0 * fl.Huber().scaled("std")(y, f) + fl.SquaredError()(y, f), rel=1e-12)


def test_a_scale_is_that_of_each_call():
    loss = fl.SquaredError().scaled("std")
    for y in (REAL, 10.0 * REAL):
        assert loss(y, np.full(N, y.mean())) == pytest.approx(1.0, rel=1e-12)
    assert loss(REAL, np.zeros(N), mask=np.arange(N) > 100) == pytest.approx(
        loss(REAL[:101], np.zeros(101)), rel=1e-12)
    with pytest.raises(ValueError, match=r"the std of y_true is 0.0"):
        loss(np.ones(5), np.zeros(5))
    with pytest.raises(ValueError, match=r"the mad of y_true\[:, 1\] is 0.0"):
        fl.Huber().scaled("mad")(np.array([[1.0, 1.0], [2.0, 1.0]]), np.zeros((2, 2)))


# ---- what cannot be --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "error", "words"), [
    (lambda: fl.Huber() + fl.Poisson(), ValueError, "raw scores on different scales"),
    (lambda: fl.Huber() + CE, ValueError, "their samples are"),
    (lambda: fl.GaussianNLL() + fl.GammaNLL(), ValueError, "columns"),
    (lambda: fl.Huber() + 1.0, TypeError, "unsupported operand"),
    (lambda: fl.Huber() * fl.Huber(), TypeError, "unsupported operand"),
    (lambda: math.nan * fl.Huber(), ValueError, "factor must be"),
    (lambda: fl.Poisson().scaled(2.0), ValueError, "cannot be scaled"),
    (lambda: fl.Huber().scaled("iqr"), ValueError, "'std', 'mad'"),
    (lambda: fl.Huber().scaled(0.0), ValueError, "scale must be"),
    (lambda: fl.Huber().smoothed(0.1), ValueError, "does not take probabilities"),
    (lambda: fl.Huber().weighted([1.0, 2.0]), ValueError, "no classes to weigh"),
    (lambda: BCE.weighted("balanced"), ValueError, "depends on the targets"),
    (lambda: BCE.weighted({2: 1.0}), ValueError, "the classes are 0 and 1"),
    (lambda: CE + fl.CategoricalCrossEntropy(class_weight=[1.0, 2.0]), ValueError, "give it to the whole"),
])
def test_refusals(make, error, words):
    with pytest.raises(error, match=words):
        make()
