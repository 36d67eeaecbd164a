"""Row losses around the kernels: the best constant row, the way back from raw scores, and scores of many losses."""

import numpy as np
import pytest
from scipy import stats

import fusedloss as fl

rng = np.random.default_rng(11)
N = 400
LABELS = rng.choice(4, N, p=[0.5, 0.3, 0.15, 0.05])
WEIGHTS = rng.integers(0, 3, N).astype(float)
REAL, POSITIVE = rng.normal(2.0, 3.0, N), rng.gamma(4.0, 2.0, N)
COUNTS = rng.negative_binomial(3, 0.3, N).astype(float)
SHARES = rng.beta(2.0, 5.0, N)
ROWS = rng.dirichlet([2.0, 1.0, 0.5], N)
HOT = (rng.uniform(size=(N, 3)) < [0.2, 0.5, 0.7]) * 1.0

CASES = [
    (fl.CategoricalCrossEntropy(), LABELS), (fl.CategoricalCrossEntropy(label_smoothing=0.1), LABELS),
    (fl.CategoricalCrossEntropy(class_weight=[1.0, 2.0, 0.5, 3.0]), LABELS), (fl.CategoricalCrossEntropy(), ROWS),
    (fl.LogitAdjusted(class_counts=[50, 30, 15, 5]), LABELS), (fl.MulticlassBrier(), LABELS),
    (fl.RankedProbabilityScore(), LABELS), (fl.Corn(), LABELS), (fl.CumulativeLogit(thresholds=[-1.0, 0.0, 2.0]), LABELS),
    (fl.MultilabelBinaryCrossEntropy(), HOT), (fl.KullbackLeibler(), ROWS),
    (fl.GaussianNLL(), REAL), (fl.LogisticNLL(), REAL), (fl.StudentTNLL(df=5.0), REAL), (fl.GaussianCRPS(), REAL),
    (fl.GammaNLL(), POSITIVE), (fl.WeibullNLL(), POSITIVE), (fl.LogNormalNLL(), POSITIVE),
    (fl.NegativeBinomialNLL(), COUNTS), (fl.BetaNLL(), SHARES),
]


@pytest.mark.parametrize(("loss", "y"), CASES, ids=lambda case: repr(case)[:40] if isinstance(case, fl.Loss) else "")
def test_no_constant_row_near_it_is_better(loss, y):
    """The mean gradient is zero there, and small steps in random directions go up."""
    best = np.atleast_1d(loss.init_score(y))

    def repeated(c):
        return np.full(N, c[0]) if loss.single_score else np.broadcast_to(c, (N, c.size))

    value, gradient = loss.value_and_grad(y, repeated(best))
    assert abs(gradient.reshape(N, -1).sum(0)).max() < 1e-7
    for step in (1e-2, 0.3):
        for direction in rng.normal(0, 1, (4, best.size)):
            direction -= direction.mean() if loss.link == "softmax" else 0.0  # softmax does not see a common shift
            there = loss.value_and_grad(y, repeated(best + step * direction))[0]  # one kernel for all
            assert there >= value - 1e-14 or abs(direction).max() < 1e-12


def test_closed_forms():
    shares = np.log(np.bincount(LABELS) / N)
    assert fl.CategoricalCrossEntropy().init_score(LABELS) == pytest.approx(shares - shares.mean(), abs=1e-12)
    weighted = np.bincount(LABELS, WEIGHTS) / WEIGHTS.sum()
    assert fl.CategoricalCrossEntropy().init_score(LABELS, WEIGHTS) == pytest.approx(
        np.log(weighted) - np.log(weighted).mean(), abs=1e-12)
    assert fl.GaussianNLL().init_score(REAL) == pytest.approx([REAL.mean(), np.log(REAL.std())], abs=1e-12)
    median = np.median(REAL)
    assert fl.LaplaceNLL().init_score(REAL) == pytest.approx([median, np.log(abs(REAL - median).mean())], abs=1e-12)
    shape, _, scale = stats.weibull_min.fit(POSITIVE, floc=0.0)
    assert fl.WeibullNLL().init_score(POSITIVE) == pytest.approx([np.log(scale), np.log(shape)], abs=1e-3)


@pytest.mark.parametrize("given", [[1.0, 2.0, 0.5, 3.0], {3: 4.0}, "balanced", "effective_number"], ids=str)
def test_class_weights_move_the_best_row(given):
    for cls in (fl.CategoricalCrossEntropy, fl.MulticlassBrier):
        loss = cls(class_weight=given)
        slope = loss.grad(LABELS, np.broadcast_to(loss.init_score(LABELS), (N, 4)))
        assert abs(slope.sum(0)).max() < 1e-12


def test_class_weights_alone():
    """Without sample_weight, mask or ignored labels; of labels and of rows."""
    f, weights = rng.normal(0, 2, (N, 4)), np.array([1.0, 2.0, 0.5, 3.0])
    plain, w = fl.MulticlassBrier(), weights[LABELS]
    each, slopes = plain.elementwise(LABELS, f), plain.grad(LABELS, f, reduction="none")
    for y in (LABELS, np.eye(4)[LABELS]):
        value, gradient = fl.MulticlassBrier(class_weight=weights).value_and_grad(y, f)
        assert value == pytest.approx((w * each).sum() / w.sum(), rel=1e-13)
        assert gradient == pytest.approx(slopes * (w / w.sum())[:, None], rel=1e-12, abs=1e-300)
    ordered = fl.CumulativeLogit(thresholds=[-1.0, 0.0, 1.0], class_weight=weights)
    plain = fl.CumulativeLogit(thresholds=[-1.0, 0.0, 1.0]).elementwise(LABELS, f[:, 0])
    assert ordered(LABELS, f[:, 0]) == pytest.approx((w * plain).sum() / w.sum(), rel=1e-13)


def test_ignored_labels_do_not_count():
    y = LABELS.copy()
    y[::3] = -1
    expected = fl.CategoricalCrossEntropy().init_score(y[y >= 0])
    assert fl.CategoricalCrossEntropy(ignore_index=-1).init_score(y) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match=r"y_true\[0\] = -1"):
        fl.CategoricalCrossEntropy().init_score(y)


def test_a_row_of_unknown_length_has_no_best_constant():
    with pytest.raises(ValueError, match="does not say how many columns"):
        fl.EnsembleCRPS().init_score(REAL)
    with pytest.raises(ValueError, match="y_true is empty"):
        fl.GaussianNLL().init_score(REAL[:0])
    with pytest.raises(ValueError, match="no sample has weight"):
        fl.GaussianNLL().init_score(REAL, np.zeros(N))


def test_inverse_links():
    f = rng.normal(0.0, 2.0, (50, 3))
    p = np.exp(f) / np.exp(f).sum(1, keepdims=True)
    assert fl.CategoricalFocal().inverse_link(f) == pytest.approx(p, rel=1e-13)
    warm = np.exp(f / 3.0) / np.exp(f / 3.0).sum(1, keepdims=True)
    assert fl.CategoricalCrossEntropy(temperature=3.0).inverse_link(f) == pytest.approx(warm, rel=1e-13)
    assert fl.LDAM([5, 2, 1], scale=1 / 3).inverse_link(f) == pytest.approx(warm, rel=1e-13)
    assert (fl.CategoricalCrossEntropy(from_logits=False).inverse_link(p) == p).all()
    assert fl.CategoricalCrossEntropy().inverse_link(f.astype(np.float32)).dtype == np.float32
    assert fl.MultilabelBinaryCrossEntropy().inverse_link(f) == pytest.approx(1 / (1 + np.exp(-f)), rel=1e-13)
    parameters = fl.GaussianNLL().inverse_link(f[:, :2])
    assert parameters == pytest.approx(np.column_stack([f[:, 0], np.exp(f[:, 1])]), rel=1e-13)
    quantiles = fl.MultiQuantile(levels=[0.1, 0.5, 0.9], non_crossing=True).inverse_link(f)
    assert quantiles[:, 0] == pytest.approx(f[:, 0], rel=1e-15)
    assert (np.diff(quantiles, axis=1) > 0).all()
    assert np.diff(quantiles, axis=1) == pytest.approx(np.log1p(np.exp(f[:, 1:])), rel=1e-12)


def test_elementwise_hvp_is_the_hessian_times_v():
    y, f, v = REAL, rng.normal(0, 2, N), rng.normal(0, 1, N)
    loss = fl.PseudoHuber()
    hessian = loss.value_grad_hess(y, f, WEIGHTS)[2]
    assert loss.hvp(y, f, v, WEIGHTS) == pytest.approx(hessian * v, rel=1e-14)


# ---- fl.score ----------------------------------------------------------------------------------------------------

LOSSES = [fl.CategoricalCrossEntropy(), fl.MulticlassBrier(), fl.CategoricalFocal(gamma=1.0)]


@pytest.mark.exhaustive
def test_scores_of_row_losses():
    f = {"a": rng.normal(0.0, 1.0, (N, 4)), "b": rng.normal(0.0, 1.0, (N, 4)).astype(np.float32)}
    by = rng.choice(["x", "y"], N)
    scores = fl.score(LABELS, f, LOSSES, WEIGHTS, by)
    for row in scores:
        loss = next(loss for loss in LOSSES if loss.name == row.loss.partition(":")[0])
        kept = slice(None) if row.group is None else by == row.group
        values = loss.elementwise(LABELS[kept], f[row.pred][kept]).astype(float)
        w = WEIGHTS[kept]
        mean = (w * values).sum() / w.sum()
        assert row.value == pytest.approx(mean, rel=1e-6)
        assert row.standard_error == pytest.approx(np.sqrt((w**2 * (values - mean) ** 2).sum()) / w.sum(), rel=1e-5)
    assert len(list(scores)) == 3 * 2 * 3
    assert scores["categorical_focal:gamma=1", "a"].n == N - (WEIGHTS == 0).sum()


def test_scores_of_rows_over_several_chunks_have_the_mean_of_the_loss():
    n = 70_000
    f, y = rng.normal(0.0, 1.0, (n, 3)), rng.integers(0, 3, n)
    score = fl.score(y, f, ["categorical_cross_entropy"])["categorical_cross_entropy"]
    assert score.value == pytest.approx(fl.CategoricalCrossEntropy()(y, f), rel=1e-14)
    y[69_999] = 3
    with pytest.raises(ValueError, match=r"y_true\[69999\] = 3"):
        fl.score(y, f, ["categorical_cross_entropy"])


def test_scores_refuse_weights_that_the_losses_do_not_share():
    with pytest.raises(ValueError, match="pass class weights as sample_weight="):
        fl.score(LABELS, np.zeros((N, 4)), [fl.CategoricalCrossEntropy(class_weight="balanced")])
    with pytest.raises(ValueError, match=r"y_pred has shape \(400, 4, 1\)"):
        fl.score(LABELS, np.zeros((N, 4, 1)), LOSSES)
    with pytest.raises(ValueError, match=r"scoring takes one-dimensional arrays"):
        fl.score(REAL, np.zeros((N, 4)), ["mse"])


def test_derivative_with_respect_to_the_temperature():
    """What temperature scaling needs, against a difference of the mean."""
    f, h = rng.normal(0.0, 3.0, (N, 4)), 1e-5
    above, below = (fl.CategoricalCrossEntropy(temperature=1.7 + d)(LABELS, f, WEIGHTS) for d in (h, -h))
    found = fl.CategoricalCrossEntropy(temperature=1.7).param_grad(LABELS, f, WEIGHTS)["temperature"]
    assert found == pytest.approx((above - below) / (2 * h), rel=1e-8)
