"""Kernels of row losses: they equal the formulas, in tiles and along the row, take every kind of array, and are SIMD."""

import math
import tracemalloc
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from rows import RowExample, interpreted, labels, multi_hot, numbers, probabilities
from rows_distribution import steepness
from rows_multiclass import one, score_terms
from rows_quantile_rows import sums
from test_kernels import check_machine_code, same_bits

import fusedloss as fl
from examples import ROW_EXAMPLES
from fusedloss import compile as specialise
from fusedloss import evaluate_rows
from fusedloss.kernels.rows import UNROLLED
from fusedloss.rowmath import (
    cumulative,
    index,
    largest,
    paired_total,
    ranks,
    reverse_cumulative,
    size,
    smallest,
    softmax,
    sort,
    total,
    where,
)

NAN, INF = math.nan, math.inf
DTYPES = pytest.mark.parametrize("F", [np.float64, np.float32], ids=["f64", "f32"])
BAR = {np.float64: 1e-13, np.float32: 4e-6}
FORMULAS = ("value", "gradient", "hessian")


# ---- compiled equals interpreted, for every loss -----------------------------------------------------------------


def program_of(loss, y, f, w=None, mask=None):
    """What a call of value_grad_hess compiles."""
    return evaluate_rows._Call(loss, "value_grad_hess", y, f, w, mask, "exact", True, None).program


def predictions(example, f):
    """Rows as the loss takes them: one number each where a prediction is one."""
    return f[:, 0] if example.loss.single_score else f


SINGLE = {  # one class of each kind of loop: a kernel takes seconds to compile, and its text is the same for both dtypes
    "CategoricalCrossEntropy", "CategoricalFocal", "MulticlassBrier", "AsymmetricLoss", "CumulativeLogit", "KullbackLeibler",
    "RankedProbabilityScore", "GaussianNLL", "GammaNLL", "GaussianCRPS", "EnsembleCRPS", "WinklerScore",
}


def kernels_of_losses():
    """Examples that share a kernel: of every class its first two kernels in float64, and of some the first in float32. One
    of them at every run of the tests, the others in the lane for it."""
    groups = defaultdict(list)
    for example in ROW_EXAMPLES:
        y, f = example.draw(np.random.default_rng(0), 4)
        program = program_of(replace(example.loss), y, predictions(example, f))
        groups[type(example.loss).__name__, program.source, str(program.constants)].append(example)
    by_class = defaultdict(list)
    for (name, *_), examples in groups.items():
        by_class[name].append(examples)
    for name, several in by_class.items():
        single = name in SINGLE
        for k, examples in enumerate(several[:1] if name == "BiTempered" else several[:2]):
            marks = [pytest.mark.exhaustive] if k or single else []
            yield pytest.param(examples, np.float64, id=f"{name}-{k + 1}-f64", marks=marks)
        if single:
            yield pytest.param(several[0], np.float32, id=f"{name}-1-f32")


def check_rows(example, results, y, f, F, w, bar=None):
    """Each row of value, gradient and Hessian within `bar` of the formula's answer, or of the textbook's largest term."""
    loss, bar = example.loss, bar or BAR[F]
    f = f[:, None] if f.ndim == 1 else f
    tiny = 8 * float(np.finfo(F).tiny)
    for i in range(len(f)):
        if w[i] == 0:
            assert not any(np.any(result[i]) for result in results), i  # not even NaN
            continue
        unknown = np.isnan(f[i]).any() or (not loss.unknown_targets and np.isnan(y[i]).any())
        for name, result in zip(FORMULAS, results, strict=True):
            got = np.atleast_1d(result[i].astype(float))
            if unknown:
                assert np.isnan(got).all(), (name, i, got)
                continue
            expected = w[i] * np.atleast_1d(interpreted(loss, name, y[i], f[i], F))
            scale = 0.0 if example.scale is None else w[i] * np.max(example.scale(y[i], f[i]))
            with np.errstate(all="ignore"):
                close = abs(got - expected) <= bar * np.maximum(abs(expected), scale) + tiny
            assert (close | (got == expected)).all(), (name, loss, i, y[i], f[i], got, expected)


@pytest.mark.parametrize(("examples", "F"), list(kernels_of_losses()))
def test_compiled_equals_interpreted(examples, F):
    """Row by row, more than two strips and not whole ones; rows of NaN, and in float32 weights and a mask."""
    several = examples if len(examples) < 5 else [*examples[:2], *examples[-2:]]
    for example in several:
        loss, rng, n = replace(example.loss), np.random.default_rng(10), 150 if example is examples[0] else 70
        y, f = example.draw(rng, n, F)
        w, mask = np.ones(n), np.zeros(n, bool)
        if np.float32 == F:
            w, mask = rng.choice([0.0, 0.5, 1.0, 4.0], n), rng.random(n) < 0.2
        f[[3, 64, n - 1], [0, -1, example.columns // 2]] = NAN
        if y.dtype.kind == "f" and not loss.unknown_targets:
            y[7 if y.ndim == 1 else (7, -1)] = NAN
        given = dict(sample_weight=w, mask=mask) if np.float32 == F else {}
        typed = y.astype(F) if y.dtype.kind == "f" else y
        results = loss.value_grad_hess(typed, predictions(example, f).astype(F), reduction="none", **given)
        assert [a.dtype for a in results] == [F] * 3
        check_rows(example, results, y, f, F, np.where(mask, 0.0, w))


# ---- along the row -----------------------------------------------------------------------------------------------


def gaussians(rng, n, _):
    return np.stack([rng.normal(0.0, 1.5, n), rng.normal(0.2, 0.7, n)], 1)


def levels(C):
    return tuple((np.arange(C) + 0.5) / C)


def costs(C):
    return np.random.default_rng(C).random((C, C))


ALONG = {  # columns -> the example; in float32 those that every user of many classes meets
    "cross-entropy": (np.float32, lambda C: RowExample(fl.CategoricalCrossEntropy(), C, scale=one)),
    "cross-entropy of rows": (np.float64, lambda C: RowExample(fl.CategoricalCrossEntropy(), C, y=probabilities, scale=one)),
    "focal": (np.float64, lambda C: RowExample(fl.CategoricalFocal(0.5), C, scale=one)),
    "ranked": (np.float64, lambda C: RowExample(fl.RankedProbabilityScore(), C, scale=one)),
    "cost matrix": (np.float64, lambda C: RowExample(fl.CostSensitive(costs(C)), C, scale=one)),
    "ensemble": (np.float64, lambda C: RowExample(fl.EnsembleCRPS(), C, y=numbers, scale=one)),
    "multilabel": (np.float32, lambda C: RowExample(fl.MultilabelBinaryCrossEntropy(), C, y=multi_hot, scale=one)),
    "bi-tempered": (np.float64, lambda C: RowExample(fl.BiTempered(0.75, 1.0), C, scale=one)),
    "bootstrapped": (np.float64, lambda C: RowExample(fl.Bootstrapped(0.5), C, scale=one)),
    "sparsemax": (np.float64, lambda C: RowExample(fl.Sparsemax(), C, scale=score_terms)),
    "multilabel margin": (np.float64, lambda C: RowExample(
        fl.MultilabelMargin(), C, y=multi_hot, scale=lambda y, f: 1.0 + np.max(abs(f)))),
    "quantiles": (np.float64, lambda C: RowExample(fl.MultiQuantile(levels(C)), C, y=numbers, scale=sums)),
    "non-crossing": (np.float64, lambda C: RowExample(
        fl.MultiQuantile(levels(C), non_crossing=True), C, y=numbers, scale=sums)),
    "gaussian": (np.float64, lambda C: RowExample(fl.GaussianNLL(), 2, y=numbers, f=gaussians, scale=steepness)),
    "thresholds": (np.float64, lambda C: RowExample(
        fl.CumulativeLogit(tuple(np.linspace(-3, 3, C))), 1, y=lambda rng, n, _: rng.integers(0, C + 1, n), scale=one)),
}


@pytest.mark.parametrize("case", ALONG)
def test_along_the_row_equals_interpreted(case, monkeypatch):
    """One kernel for any number of columns: below, at and above whole strips of 64."""
    F, make = ALONG[case]
    for C in (450, 1, 2, 7, 63, 64, 65):
        if C < 100:
            monkeypatch.setattr(evaluate_rows, "ALONG_FROM", 1)
        example, rng = make(C), np.random.default_rng(C)
        n = 70 if C == 7 else 4
        y, f = example.draw(rng, n, F)
        w, mask = rng.choice([0.5, 1.0, 4.0], n), np.arange(n) == 1
        w[0] = 0.0
        if C > 2:
            f[2, -1] = NAN
        typed = y.astype(F) if y.dtype.kind == "f" else y
        given = predictions(example, f).astype(F)
        results = example.loss.value_grad_hess(typed, given, w, "none", mask=mask)
        program = program_of(example.loss, typed, given, w, mask)
        assert program.request.along == (C != 450 or case not in ("gaussian",))
        check_rows(example, results, y, f, F, np.where(mask, 0.0, w), BAR[F] * (1 + C / 16))


@pytest.mark.parametrize("case", ["cross-entropy", "sparsemax"])
def test_many_columns_in_tiles_and_along_agree(case, monkeypatch):
    """The number of columns where one takes over from the other is a matter of speed."""
    F, make = ALONG[case]
    for C in (UNROLLED, UNROLLED + 1, 400):
        example, found = make(C), []
        y, f = example.draw(np.random.default_rng(C), 70, F)
        for start in (1, 10**6):
            monkeypatch.setattr(evaluate_rows, "ALONG_FROM", start)
            found.append(example.loss.value_grad_hess(y, f.astype(F), np.ones(70), "none", mask=np.zeros(70, bool)))
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, rtol=100 * BAR[F], atol=20 * BAR[F] * abs(b).max())


@pytest.mark.parametrize("rows", [False, True], ids=["labels", "rows"])
def test_more_columns_than_a_buffer_should_hold(rows):
    """From 16,384 columns on nothing is kept between passes, and the extra memory does not grow with them."""
    C, n, loss, rng = 70_000, 3, fl.CategoricalCrossEntropy(), np.random.default_rng(0)
    f = rng.normal(0.0, 2.0, (n, C))
    f[1, 5] = 1e3
    y = rng.dirichlet(np.ones(C), n) if rows else np.array([C - 1, 5, 0])
    target = y if rows else np.eye(1, C, y[:, None][0, 0]) if n == 1 else (np.arange(C) == y[:, None]) * 1.0
    shifted = f - f.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    p = np.exp(log_p)
    value, grad, hess = loss.value_grad_hess(y, f, reduction="none")
    np.testing.assert_allclose(value, -(target * log_p).sum(1), rtol=1e-12)
    np.testing.assert_allclose(grad, p - target, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(hess, p * (1 - p), rtol=1e-11, atol=1e-15)


@DTYPES
def test_a_streamed_softmax_equals_the_one_in_two_passes(F, monkeypatch):
    """Largest logits that come first, last, twice, after classes that are ruled out, in every lane; strips not whole."""
    monkeypatch.setattr(evaluate_rows, "ALONG_FROM", 1)
    loss, rng = fl.CategoricalCrossEntropy(), np.random.default_rng(0)
    for C in (1, 2, 63, 64, 65, 200):
        f = rng.normal(0.0, 3.0, (9, C))
        f[1], f[2], f[3], f[4] = np.sort(f[1]), np.sort(f[2])[::-1], 1.0, 40.0 * f[4]
        f[5, [0, C // 2, -1]] = f[5].max()
        f[6, : C // 2] = -INF
        f[7, C // 2:] = NAN
        f[8, :-1] = -INF
        f, y = f.astype(F), np.full(9, C - 1)
        y[2] = 0
        found = []
        for start in (1, 10**6):
            monkeypatch.setattr(evaluate_rows, "FRUGAL_FROM", start)
            found.append(replace(loss).value_grad_hess(y, f, reduction="none"))
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, rtol=30 * BAR[F], atol=1e-30)


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 4097])
def test_sizes(n):
    """Parts of strips and blocks: every row as if it were alone, and the sum is theirs."""
    rng, loss = np.random.default_rng(n), fl.CategoricalCrossEntropy()
    y, f = rng.integers(0, 3, n), rng.normal(size=(n, 3))
    value, grad = loss.value_and_grad(y, f, reduction="sum")
    assert grad.shape == (n, 3)
    assert value == pytest.approx(math.fsum(loss.elementwise(y, f)), rel=1e-14, abs=0.0)
    for i in {0, n // 2, n - 1} if n else ():
        assert same_bits(grad[i: i + 1], loss.grad(y[i: i + 1], f[i: i + 1], reduction="sum"))
    if n:
        assert loss(y, f) == value / n
    else:
        with pytest.warns(RuntimeWarning, match="mean of no samples"):
            assert math.isnan(loss(y, f))


# ---- extreme rows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("C", "F"), [(1, np.float64), (2, np.float32), (7, np.float64), (50_000, np.float32)])
def test_extreme_logits(C, F):
    """What cross-entropy is where the textbook's exponentials overflow, known in closed form."""
    loss, o = fl.CategoricalCrossEntropy(), np.arange(C)
    y = np.array([0, C - 1])
    tolerance = dict(rtol=BAR[F], atol=0.0)

    def of(row):
        return loss.value_grad_hess(y, np.stack([row, row]).astype(F), reduction="none")

    for constant in (0.0, 1e4, -1e4):
        value, grad, hess = of(np.full(C, constant))
        np.testing.assert_allclose(value, [math.log(C)] * 2, rtol=BAR[F], atol=2e-3 * np.finfo(F).eps * abs(constant))
        np.testing.assert_allclose(grad[0], 1 / C - (o == 0), **tolerance)
        np.testing.assert_allclose(hess[1], np.full(C, (1 - 1 / C) / C), **tolerance)
    ahead = 1e3 * (o == C - 1)
    value, grad, hess = of(ahead)
    assert value.tolist() == [0.0 if C == 1 else 1e3, 0.0]
    assert not hess.any()
    assert grad[0].tolist() == ((o == C - 1) * 1.0 - (o == 0)).tolist()
    assert not grad[1].any()
    if C > 1:
        value, grad, hess = of(np.where(o == 0, -1e4, np.where(o == C - 1, 1e4, 0.0)))
        assert value.tolist() == [2e4, 0.0]
        assert np.isfinite(grad).all()
        assert not hess.any()


@DTYPES
def test_a_class_that_is_ruled_out(F):
    """A logit of -inf is a class without probability: it may not be there, unless it is the right one."""
    loss, rng = fl.CategoricalCrossEntropy(), np.random.default_rng(1)
    f = rng.normal(size=(70, 5)).astype(F)
    fewer = np.delete(f, 2, axis=1)
    f[:, 2] = -INF
    y = rng.choice([0, 1, 3, 4], 70)
    soft = rng.dirichlet(np.ones(5), 70).astype(F)
    soft[:, 2] = 0.0
    for target, other in ((y, y - (y > 2)), (soft, np.delete(soft, 2, axis=1))):
        results = loss.value_grad_hess(target, f, reduction="none")
        expected = loss.value_grad_hess(other, fewer, reduction="none")
        for got, known in zip(results, expected, strict=True):
            if got.ndim == 2:
                assert not got[:, 2].any()
                got = np.delete(got, 2, axis=1)
            np.testing.assert_allclose(got, known, rtol=10 * BAR[F], atol=BAR[F])
    assert loss(np.array([2]), f[:1]) == INF
    assert fl.GeneralizedCrossEntropy(q=0.5)(np.array([2]), f[:1]) == 2.0  # its largest value


# ---- targets -----------------------------------------------------------------------------------------------------

INTEGERS = ["i1", "i4", "i8", "u1", "u8", "?"]
N = 2100  # for three columns: more than half a block
LABELS = np.random.default_rng(2).integers(0, 2, N)
LOGITS = np.random.default_rng(3).normal(size=(N, 3))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_labels_of_every_integer_dtype(dtype):
    """The same bits; and a label that is no class is found before it is used, at either end of the data."""
    loss = fl.CategoricalCrossEntropy()
    y = LABELS.astype(dtype)
    assert same_bits(loss(y, LOGITS), loss(LABELS, LOGITS))
    strided = np.repeat(y, 2)[::2]
    assert same_bits(loss(strided, LOGITS), loss(LABELS, LOGITS))
    if dtype == "?":
        return
    info = np.iinfo(dtype)
    for bad in {3, info.max, info.min} - {0}:
        for at in (0, N - 1):
            wrong = y.copy()
            wrong[at] = bad
            with pytest.raises(ValueError, match=rf"^y_true\[{at}\] = {bad}: .* needs a label from 0 to 2"):
                loss(wrong, LOGITS)


@pytest.mark.parametrize("along", [False, True], ids=["tiles", "along"])
@pytest.mark.parametrize("bad", [-1, 3, 1 << 62, -(1 << 63)])
def test_bad_labels(bad, along, monkeypatch):
    """They are never used as an index, whether the kernel reports them or the sample is taken out."""
    if along:
        monkeypatch.setattr(evaluate_rows, "ALONG_FROM", 1)
    loss, n = fl.CategoricalCrossEntropy(ignore_index=-100), 150
    y, f, mask, w = LABELS[:n].copy(), LOGITS[:n], np.zeros(n, bool), np.ones(n)
    for at in (0, 77, n - 1):
        wrong, out, weights = y.copy(), mask.copy(), w.copy()
        wrong[at] = bad
        with pytest.raises(ValueError, match=rf"^y_true\[{at}\] = {bad}: "):
            loss.value_and_grad(wrong, f, w, mask=mask)
        with pytest.raises(ValueError, match=rf"^y_true\[{at}\] = {bad}: "):
            loss.value_and_grad(np.where(np.arange(n) > at, -7, wrong), f, w, mask=mask)  # the first of several
        out[at], weights[at] = True, 0.0
        results = [loss.value_and_grad(wrong, f, w, mask=out), loss.value_and_grad(wrong, f, weights, mask=mask),
                   loss.value_and_grad(np.where(np.arange(n) == at, -100, y), f, w, mask=mask)]
        kept = ~out
        for value, grad in results:
            rest = loss.value_and_grad(y[kept], f[kept], w[kept], mask=mask[kept])
            assert value == pytest.approx(rest[0], rel=1e-14)
            np.testing.assert_allclose(grad[kept], rest[1], rtol=1e-14)
            assert not grad[at].any()


def test_unsigned_labels_do_not_meet_a_negative_ignore_index():
    """2^64 - 100 has the bits of -100."""
    y = LABELS.astype("u8")
    y[5] = 2**64 - 100
    with pytest.raises(ValueError, match=rf"^y_true\[5\] = {2**64 - 100}: "):
        fl.CategoricalCrossEntropy(ignore_index=-100)(y, LOGITS)


def test_an_ignore_index_that_is_a_class():
    y, f = LABELS, LOGITS
    value, grad = fl.CategoricalCrossEntropy(ignore_index=1).value_and_grad(y, f)
    kept = y != 1
    assert value == pytest.approx(fl.CategoricalCrossEntropy()(y[kept], f[kept]), rel=1e-14)
    assert not grad[~kept].any()


def test_nothing_but_ignored_rows():
    loss = fl.CategoricalCrossEntropy(ignore_index=-100)
    y, f = np.full(5, -100), LOGITS[:5]
    with pytest.warns(RuntimeWarning, match="mean of no samples"):
        value, grad = loss.value_and_grad(y, f)
    assert math.isnan(value)
    assert not grad.any()
    value, grad = loss.value_and_grad(y, f, reduction="sum")
    assert value == 0.0
    assert not grad.any()
    with pytest.warns(RuntimeWarning, match="mean of no samples"):
        assert math.isnan(loss.value_and_grad(LABELS[:5], f, np.zeros(5), mask=np.zeros(5, bool))[0])


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i1", "?"])
def test_rows_of_targets_of_every_dtype(dtype):
    """Converted number by number: the same bits as when the caller converts them."""
    rng = np.random.default_rng(4)
    y = rng.integers(0, 2, (300, 3)) if dtype in ("i1", "?") else rng.dirichlet(np.ones(3), 300)
    y, f = y.astype(dtype), LOGITS[:300]
    for loss in (fl.CategoricalCrossEntropy(), fl.MultilabelBinaryCrossEntropy())[: 2 if dtype in ("f8", "i1") else 1]:
        expected = loss.value_and_grad(y.astype(float), f)
        assert all(map(same_bits, loss.value_and_grad(y, f), expected))
        assert all(map(same_bits, loss.value_and_grad(np.repeat(y, 2, axis=1)[:, ::2], f), expected))


# ---- weights of classes ------------------------------------------------------------------------------------------


def class_weights(given, counts):
    """The documented formulas."""
    if isinstance(given, str):
        occurring = counts > 0
        K, n_k = occurring.sum(), np.where(occurring, counts, 1.0)
        weights = counts.sum() / (K * n_k) if given == "balanced" else (1 - 0.9999) / (1 - 0.9999**n_k)
        if given == "effective_number":
            weights *= K / weights[occurring].sum()
        return np.where(occurring, weights, 0.0)
    if isinstance(given, dict):
        return np.array([given.get(k, 1.0) for k in range(len(counts))])
    return np.array(given)


CLASS_WEIGHTS = {"array": (0.5, 2.0, 0.0, 1.5), "dict": {2: 3.0, 0: 0.25}, "balanced": "balanced",
                 "effective number": "effective_number"}


@pytest.mark.parametrize(("make", "case"), [
    (fl.CategoricalCrossEntropy, "array"), (fl.CategoricalFocal, "balanced"), *[
        pytest.param(fl.CategoricalCrossEntropy, case, marks=pytest.mark.exhaustive)
        for case in CLASS_WEIGHTS if case != "array"]])
def test_class_weights(make, case):
    """Against the plain loss of each row, weighted in NumPy; with weights, a mask and ignored rows, in tiles and along."""
    given, rng, n = CLASS_WEIGHTS[case], np.random.default_rng(5), 600
    for C in (4, 400) if given == "balanced" else (4,):
        f = rng.normal(size=(n, C))
        y = rng.choice(C, n, p=rng.dirichlet(np.ones(C)))
        y[y == C - 2] = C - 1  # a class without samples
        y[::7], w, mask = -100, rng.choice([0.0, 0.5, 2.0], n), rng.random(n) < 0.2
        kept = ~mask & (y != -100)
        counts = np.bincount(y[kept & (w > 0)], minlength=C).astype(float)
        safe = np.where(kept, y, 0)
        weights = np.where(kept, w * class_weights(given, counts)[safe], 0.0)
        plain, loss = make(), make(class_weight=given, ignore_index=-100)
        values, slopes = plain.value_and_grad(safe, f, reduction="none")
        denominators = {"mean": weights.sum(), "sum": 1.0, "sum_over_batch_size": kept.sum()}
        for reduction, denominator in denominators.items():
            value, grad = loss.value_and_grad(y, f, w, reduction, mask=mask)
            assert value == pytest.approx((weights * values).sum() / denominator, rel=1e-12)
            np.testing.assert_allclose(grad, weights[:, None] * slopes / denominator, rtol=1e-12, atol=1e-18)


def test_class_weights_of_rows_of_probabilities():
    """A row weighs sum_k y_k c_k, and "balanced" counts probabilities."""
    rng = np.random.default_rng(6)
    y, f = rng.dirichlet(np.ones(3), 300), LOGITS[:300]
    p = np.exp(f) / np.exp(f).sum(1, keepdims=True)
    for given in ((0.5, 2.0, 1.0), "balanced"):
        c = class_weights(given, y.sum(0))
        loss = fl.CategoricalCrossEntropy(class_weight=given)
        value, grad = loss.value_and_grad(y, f)
        u, total_weight = c * y, (c * y).sum()
        assert value == pytest.approx(-(u * np.log(p)).sum() / total_weight, rel=1e-12)
        np.testing.assert_allclose(grad, (u.sum(1, keepdims=True) * p - u) / total_weight, rtol=1e-10, atol=1e-16)


# ---- the same numbers as torch and scikit-learn ------------------------------------------------------------------


@pytest.mark.hosts
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "rows"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "class_weight"])
def test_equals_torch(soft, smoothing, weighted):
    torch = pytest.importorskip("torch")
    rng, n, C = np.random.default_rng(7), 200, 5
    f, c = 3 * rng.normal(size=(n, C)), rng.random(C)
    y = rng.dirichlet(np.ones(C), n) if soft else np.where(rng.random(n) < 0.2, -100, rng.integers(0, C, n))
    loss = fl.CategoricalCrossEntropy(label_smoothing=smoothing, class_weight=c if weighted else None, ignore_index=-100)
    for reduction in ("mean", "sum"):
        if soft and weighted and reduction == "mean":
            continue  # torch divides by n there
        z = torch.tensor(f, requires_grad=True)
        theirs = torch.nn.functional.cross_entropy(z, torch.tensor(y), torch.tensor(c) if weighted else None,
                                                   reduction=reduction, label_smoothing=smoothing)
        theirs.backward()
        value, grad = loss.value_and_grad(y, f, reduction=reduction)
        assert value == pytest.approx(theirs.item(), rel=1e-12)
        np.testing.assert_allclose(grad, z.grad.numpy(), rtol=1e-12, atol=1e-15 if reduction == "mean" else 1e-13)


def test_equals_scikit_learn():
    from sklearn.metrics import log_loss

    rng, n, C = np.random.default_rng(8), 200, 5
    y, p, w = rng.integers(0, C, n), rng.dirichlet(np.ones(C), n), rng.random(n)
    loss = fl.CategoricalCrossEntropy(from_logits=False)
    for weights in (np.ones(n), w):
        for normalize in (True, False):
            theirs = log_loss(y, p, sample_weight=weights, normalize=normalize, labels=range(C))
            assert loss(y, p, weights, "mean" if normalize else "sum") == pytest.approx(theirs, rel=1e-12)


# ---- errors ------------------------------------------------------------------------------------------------------


def test_numbers_outside_the_domain_are_named():
    p = np.random.default_rng(9).dirichlet(np.ones(4), 130)
    y = np.zeros(130, int)
    loss = fl.CategoricalCrossEntropy(from_logits=False)
    for at in ((0, 0), (64, 3), (129, 1)):
        for bad in (1.5, -1e-9, INF):
            wrong = p.copy()
            wrong[at] = bad
            message = rf"^y_pred\[{at[0]}, {at[1]}\] = {bad!r}: categorical_cross_entropy needs y_pred to be in \[0, 1\]"
            with pytest.raises(ValueError, match=message):
                loss.value_grad_hess(y, wrong, reduction="none")
    loss = fl.KullbackLeibler()
    for at in ((0, 3), (129, 0)):
        wrong = p.copy()
        wrong[at] = -0.25
        with pytest.raises(ValueError, match=rf"^y_true\[{at[0]}, {at[1]}\] = -0.25: kullback_leibler needs y_true to be"):
            loss.value_grad_hess(wrong, p, reduction="none")
        assert np.isfinite(loss.value_grad_hess(wrong, p, mask=np.arange(130) == at[0])[0])
    with pytest.raises(ValueError, match=r"^y_true\[2\] = -1.0: gamma_nll needs y_true to be"):
        fl.GammaNLL().value_grad_hess(np.array([1.0, 2.0, -1.0]), np.zeros((3, 2)), reduction="none")


F3 = np.zeros((4, 3))


@pytest.mark.parametrize(("loss", "y", "f", "given", "error", "message"), [
    (fl.CategoricalCrossEntropy(), np.zeros(4, int), np.zeros(3), {}, ValueError, r"shape \(3,\).*y_pred\[None, :\]"),
    (fl.CategoricalCrossEntropy(), np.zeros(4, int), np.zeros((4, 0)), {}, ValueError, "its rows are empty"),
    (fl.CategoricalCrossEntropy(), np.zeros(4), F3, {}, TypeError, "has dtype float64; labels must be integers.*int64"),
    (fl.CategoricalCrossEntropy(), np.zeros((4, 1), int), F3, {}, ValueError, r"y_true has shape \(4, 1\)"),
    (fl.CategoricalCrossEntropy(), np.zeros((4, 2)), F3, {}, ValueError, r"labels or \(4, 3\) probabilities"),
    (fl.CategoricalCrossEntropy(), np.zeros(5, int), F3, {}, ValueError, r"y_true has shape \(5,\)"),
    (fl.MultiMargin(), np.eye(4, 3), F3, {}, ValueError, r"y_true.argmax\(axis=1\)"),
    (fl.MultiMargin(), np.zeros((4, 1), int), F3, {}, ValueError, r"pass y_true\[:, 0\]"),
    (fl.MultilabelMargin(), np.zeros(4, int), F3, {}, ValueError, r"\(4, 3\), as y_pred"),
    (fl.GaussianNLL(), np.zeros(4), F3, {}, ValueError, "y_pred has 3 columns; gaussian_nll needs 2: "),
    (fl.CumulativeLogit((0.0,)), np.zeros(4, int), np.zeros((4, 1)), {}, ValueError, r"pass y_pred\[:, 0\]"),
    (fl.CategoricalCrossEntropy(), np.zeros(4, int), F3, dict(sample_weight=np.ones((4, 3))), ValueError,
     r"sample_weight has shape \(4, 3\); it must have shape \(4,\)"),
    (fl.CategoricalCrossEntropy(), np.zeros(4, int), F3, dict(mask=np.zeros(3, bool)), ValueError, "mask has shape"),
    (fl.CategoricalCrossEntropy(), np.zeros(4, int), F3, dict(mask=np.zeros(4)), TypeError, "mask has dtype float64"),
    (fl.CategoricalCrossEntropy(), np.zeros(4, int), F3, dict(sample_weight=np.array([1, 1, -1.0, 1])), ValueError,
     r"sample_weight\[2\] = -1.0"),
    (fl.CategoricalCrossEntropy(), np.zeros(4, int), F3, dict(reduction="avg"), ValueError, "reduction must be one of"),
    (fl.CategoricalCrossEntropy(class_weight=(1, 2)), np.zeros(4, int), F3, {}, ValueError, "class_weight has 2 weights"),
    (fl.CategoricalCrossEntropy(class_weight={3: 1}), np.zeros(4, int), F3, {}, ValueError, "class_weight has the label 3"),
    (fl.LogitAdjusted((1.0, 2.0)), np.zeros(4, int), F3, {}, ValueError, "LogitAdjusted.*y_pred has 3 columns"),
    (fl.CostSensitive(np.zeros((2, 2))), np.zeros(4, int), F3, {}, ValueError, "CostSensitive.*y_pred has 3 columns"),
])
def test_arrays_that_do_not_fit(loss, y, f, given, error, message):
    with pytest.raises(error, match=message):
        loss(y, f, **given)


# ---- out= --------------------------------------------------------------------------------------------------------


def test_out_is_what_is_returned():
    loss, f, y = fl.CategoricalCrossEntropy(), LOGITS, LABELS
    g, h, v = np.empty_like(f), np.empty_like(f), np.empty(N)
    expected = loss.value_grad_hess(y, f, reduction="none")
    found = loss.value_grad_hess(y, f, reduction="none", out=(g, h))
    assert found[1] is g
    assert found[2] is h
    assert all(map(same_bits, found, expected))
    assert loss.elementwise(y, f, out=v) is v
    assert same_bits(v, expected[0])
    wide = np.full((N, 6), 7.0)
    for out in (np.empty_like(f, order="F"), wide[:, ::2], np.empty_like(f)[::-1]):
        assert loss.value_grad_hess(y, f, reduction="none", out=(out, h))[1] is out
        assert same_bits(out, expected[1])
    assert (wide[:, 1::2] == 7.0).all()
    for out, message in ((np.empty((N, 2)), "out has shape"), (np.empty((N, 3), np.float32), "out has dtype"),
                         (np.empty(N), "out has shape"), ([], "out is a list"), (readonly(f), "out is read-only")):
        with pytest.raises((ValueError, TypeError), match=message):
            loss.value_and_grad(y, f, out=out)
    both = np.empty((N + 1, 3))
    with pytest.raises(ValueError, match="out overlaps y_pred"):
        loss.value_and_grad(y, both[:-1], out=both[1:])


def readonly(a):
    a = a.copy()
    a.flags.writeable = False
    return a


@pytest.mark.parametrize("along", [False, True], ids=["tiles", "along"])
@pytest.mark.parametrize("case", ["cross-entropy", "bootstrapped"])
def test_out_may_be_the_predictions(case, along, monkeypatch):
    """A row is read for the last time before anything is written over it: the Hessian of the last one needs a pass more."""
    if along:
        monkeypatch.setattr(evaluate_rows, "ALONG_FROM", 1)
    F, make = ALONG[case]
    example = make(7)
    w, mask = np.ones(150), np.zeros(150, bool)
    y, f = example.draw(np.random.default_rng(1), 150, F)
    for layout in (np.ascontiguousarray, np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]):
        expected = example.loss.value_grad_hess(y, f.astype(F), w, "none", mask=mask)
        for k in (0, 1):
            out = [np.empty_like(f, F), np.empty_like(f, F)]
            out[k] = layout(f.astype(F))
            found = example.loss.value_grad_hess(y, out[k], w, "none", mask=mask, out=tuple(out))
            assert found[k + 1] is out[k]
            assert all(map(same_bits, found, expected))


def test_no_temporaries_of_the_size_of_the_data():
    """Law 2: beyond the outputs, memory for blocks alone, strided and converted inputs included."""
    n, loss = 1 << 17, fl.CategoricalCrossEntropy()
    wide = np.random.default_rng(0).normal(size=(n, 6))
    f, y, out = np.ascontiguousarray(wide[:, :3]), np.zeros(n, int), np.empty((n, 3))
    for measured in (False, True):  # compiled at first
        if measured:
            tracemalloc.start()
        loss.value_and_grad(y, f, out=out, executor="serial")
        loss.value_and_grad(y, wide[:, ::2], out=out, executor="serial")
        loss.value_and_grad(y[::-1], f, out=out, executor="serial")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


# ---- machine code ------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh_kernels(monkeypatch):
    """The kernels compiled during a test, in a list: compiled here and not loaded, so that their code can be read."""
    monkeypatch.setenv("FUSEDLOSS_CACHE_DIR", "")
    made = {}
    monkeypatch.setattr(specialise, "_row_kernels", made)
    return made


@pytest.mark.parametrize("along", [False, True], ids=["tiles", "along"])
@pytest.mark.parametrize("case", ["cross-entropy", "multilabel"])
def test_float32_is_simd_and_single(case, along, monkeypatch, fresh_kernels):
    """No float64 outside the lanes, and nothing of the mathematical library."""
    if along:
        monkeypatch.setattr(evaluate_rows, "ALONG_FROM", 1)
    example = ALONG[case][1](7)
    y, f = example.draw(np.random.default_rng(1), 10, np.float32)
    example.loss.value_and_grad(y.astype(np.float32) if y.dtype.kind == "f" else y, f.astype(np.float32), reduction="none")
    (kernel,) = fresh_kernels.values()
    check_machine_code(kernel, np.float32)


def test_parameters_travel_at_run_time(fresh_kernels):
    """One kernel for every gamma, and for every number of columns that are not computed in one piece."""
    for gamma, C in ((0.5, UNROLLED + 1), (2.0, UNROLLED + 1), (2.0, UNROLLED + 9)):
        loss, f = fl.CategoricalFocal(gamma), np.zeros((2, C))
        assert loss(np.zeros(2, int), f) == pytest.approx((1 - 1 / C) ** gamma * math.log(C), rel=1e-14)
    assert len(fresh_kernels) == 1


# ---- derivatives of other kinds ----------------------------------------------------------------------------------

SECOND = {
    "cross-entropy": (fl.CategoricalCrossEntropy(), 4, None),
    "brier": (fl.MulticlassBrier(), 4, None),
    "kullback-leibler": (fl.KullbackLeibler(), 3, probabilities),
    "gaussian": (fl.GaussianNLL(), 2, numbers),
}


@pytest.mark.parametrize("case", SECOND)
def test_hessian_times_a_row_and_its_blocks(case):
    loss, C, sampler = SECOND[case]
    rng, n = np.random.default_rng(11), 70
    y = (sampler or labels)(rng, n, C)
    f, v, w = rng.normal(size=(n, C)), rng.normal(size=(n, C)), rng.choice([0.0, 0.5, 2.0], n)
    times = w[:, None] * np.array([interpreted(loss, "hessian_times", a, b, np.float64, d)
                                   for a, b, d in zip(y, f, v, strict=True)])
    for reduction, denominator in (("mean", w.sum()), ("none", 1.0)):
        got = loss.hvp(y, f, v, w, reduction)
        np.testing.assert_allclose(got, times / denominator, rtol=1e-12, atol=1e-14)
        assert same_bits(loss.hvp(y, np.asfortranarray(f), v, w, reduction), got)
    blocks = loss.hess_blocks(y, f, w)
    assert blocks.shape == (n, C, C)
    np.testing.assert_allclose(np.einsum("ikj,ij->ik", blocks, v), times, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(blocks, blocks.transpose(0, 2, 1), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(np.diagonal(blocks, axis1=1, axis2=2), loss.grad_and_hess(y, f, w)[1], rtol=1e-12, atol=1e-15)


def test_hessian_blocks_of_float32_and_of_labels_beyond_one():
    """Column `unit` of each block: the numbers of columns and of labels are not mixed up with truth values."""
    loss, f = fl.CategoricalCrossEntropy(), LOGITS[:5].astype(np.float32)
    p = np.exp(f) / np.exp(f).sum(1, keepdims=True)
    blocks = loss.hess_blocks(np.array([0, 1, 2, 0, 1]), f)
    assert blocks.dtype == np.float32
    np.testing.assert_allclose(blocks, p[:, :, None] * np.eye(3) - p[:, :, None] * p[:, None, :], rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("loss", [fl.GaussianNLL(), fl.StudentTNLL(df=4.5)], ids=repr)
def test_natural_gradient_and_fisher_information(loss):
    rng = np.random.default_rng(12)
    y, f, w = rng.normal(size=70), rng.normal(size=(70, 2)), rng.choice([0.0, 0.5, 2.0], 70)
    rows = list(zip(y, f, strict=True))
    expected = w[:, None] * np.array([interpreted(loss, "natural_gradient", a, b, np.float64) for a, b in rows])
    np.testing.assert_allclose(loss.natural_grad(y, f, w), expected, rtol=1e-12)
    grad, fisher = loss.grad_and_hess(y, f, w, hessian="fisher")
    information = w[:, None] * np.array([interpreted(loss, "fisher_diagonal", a, b, np.float64) for a, b in rows])
    np.testing.assert_allclose(fisher, information, rtol=1e-12)
    assert same_bits(grad, loss.grad_and_hess(y, f, w)[0])


@pytest.mark.parametrize("loss", [fl.CategoricalCrossEntropy(), fl.RankedProbabilityScore()], ids=["has", "has not"])
def test_majorizer_as_the_hessian(loss):
    y, f = LABELS[:70], LOGITS[:70]
    if not hasattr(loss, "majorizer"):
        with pytest.raises(ValueError, match=r"hessian must be one of 'exact'.*found 'majorizer'"):
            loss.grad_and_hess(y, f, hessian="majorizer")
        return
    _, hess = loss.grad_and_hess(y, f, hessian="majorizer")
    np.testing.assert_allclose(hess, [interpreted(loss, "majorizer", a, b, np.float64) for a, b in zip(y, f, strict=True)],
                               rtol=1e-13)


def test_derivatives_with_respect_to_parameters():
    """Of a number, and of an array: then they are sums for each of its elements."""
    rng = np.random.default_rng(13)
    for loss, y, f in (
            (fl.StudentTNLL(df=4.5), rng.normal(size=150), rng.normal(size=(150, 2))),
            (fl.CumulativeLogit((-1.0, 0.5, 2.0)), rng.integers(0, 4, 150), rng.normal(size=150))):
        w = rng.choice([0.0, 0.5, 2.0], 150)
        ((name, derivative),) = loss.param_grad(y, f, w).items()
        terms = np.array([interpreted(loss, f"gradient_{name}", a, np.atleast_1d(b), np.float64)
                          for a, b in zip(y, f, strict=True)])
        expected = np.tensordot(w, terms, 1) / w.sum()
        np.testing.assert_allclose(derivative, expected, rtol=1e-12)
    with pytest.raises(ValueError, match="no derivative with respect to a parameter"):
        fl.MulticlassBrier().param_grad(LABELS, LOGITS)


# ---- losses of one's own -----------------------------------------------------------------------------------------


def helper(x):
    return 2 * x + 0.5


class Own(fl.Rowwise):
    """What the notation has and no loss of the catalogue puts together: a level of everything upon everything."""

    target = "number"
    table: object = fl.numbers()
    c: float = 1.5
    squared: bool = False

    @property
    def inverse(self):
        return 1 / self.c

    def value(self, y, f):
        z = sort(f * self.table)
        pairs = paired_total(lambda a, b: abs(a - b) * self.inverse + y, [z], [f])
        steps = cumulative(where(f > y, f, 0)) + reverse_cumulative(pairs) * ranks(f)
        spread = largest(steps) - smallest(steps) + helper(total(f > 0))
        return spread**2 if self.squared else spread + total(softmax(f).p * index(f)) / size(f)

    def gradient(self, y, f):
        return (f - y) * (total(f == f) + 2**0.5) + where(index(f) == ranks(f), 1, 0)

    def hessian(self, y, f):
        return where((f > y) | ~(f < total(f)), self.table, 3)


@pytest.mark.parametrize("along", [False, True], ids=["tiles", "along"])
@DTYPES
def test_own_loss(F, along, monkeypatch):
    if along:
        monkeypatch.setattr(evaluate_rows, "ALONG_FROM", 1)
    for C in (1, 2, 5, 70):
        loss = Own(table=np.linspace(0.5, 2.0, C).astype(F), squared=np.float32 == F)
        example, rng = RowExample(loss, C, y=numbers, scale=lambda y, f: 40.0 * f.size**2), np.random.default_rng(C)
        y, f = example.draw(rng, 70, F)
        if C == 2:
            f[:, 1] = f[:, 0]  # equal ones keep their order
        check_rows(example, loss.value_grad_hess(y, f.astype(F), reduction="none"), y, f, F, np.ones(70),
                   BAR[F] * (40 if loss.squared else 1))


def test_formulas_that_cannot_be_traced_say_why():
    class Branches(fl.Rowwise):
        def value(self, y, f):
            return total(f) if y > 0 else y

    class Power(fl.Rowwise):
        def value(self, y, f):
            return total(f**0.5)

    class Word(fl.Rowwise):
        def value(self, y, f):
            return total(f * "a")

    for loss, message in ((Branches(), "decides by its data: use where"), (Power(), "use pow"), (Word(), "with 'a'")):
        with pytest.raises(TypeError, match=message):
            loss(np.zeros(3), np.ones((3, 2)))


def test_losses_survive_use():
    """Equality, hash, pickle and copies know nothing of the kernels that a loss has used."""
    import copy
    import pickle

    loss, fresh = fl.CategoricalFocal(class_weight=(1.0, 2.0, 3.0)), fl.CategoricalFocal(class_weight=(1.0, 2.0, 3.0))
    before = pickle.dumps(loss)
    value = loss(LABELS, LOGITS)
    assert loss == fresh
    assert hash(loss) == hash(fresh)
    assert pickle.dumps(loss) == before
    for twin in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss), replace(loss)):
        assert twin == loss
        assert same_bits(twin(LABELS, LOGITS), value)
