"""The constants of `leaf_value` minimise the loss in every leaf."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import fusedloss as fl
from fusedloss import leaves
from fusedloss.init_score import weighted_quantiles
from fusedloss.kernels.leaves import quantiles
from fusedloss.vecmath import exp

INF = math.inf
N, K = 160, 5
rng = np.random.default_rng(11)
IDS = rng.integers(0, K, N)
SCORES = rng.normal(0.0, 1.0, N)
HEAVY = 3.0 + 2.0 * rng.standard_t(2, N)
POSITIVE = np.exp(rng.normal(0.0, 1.0, N))
LABELS = (rng.random(N) < 0.6) * 1.0
WEIGHTS = rng.integers(0, 4, N).astype(float)

CASES = [
    *((loss, HEAVY, SCORES) for loss in (
        fl.SquaredError(), fl.AbsoluteError(), fl.Pinball(quantile=0.9), fl.Huber(), fl.PseudoHuber(delta=0.1), fl.LogCosh(),
        fl.Fair(), fl.Lq(), fl.EpsilonInsensitive(), fl.SquaredEpsilonInsensitive(), fl.Expectile(quantile=0.9),
        fl.HuberPinball(quantile=0.2), fl.AbsolutePercentageError())),
    (fl.Linex(), SCORES[::-1].copy(), SCORES),
    *((loss, LABELS, SCORES) for loss in (
        fl.BinaryCrossEntropy(), fl.BinaryCrossEntropy(pos_weight=3.0, label_smoothing=0.1), fl.Probit(),
        fl.ComplementaryLogLog(), fl.Hinge(), fl.SquaredHinge(), fl.ModifiedHuber(), fl.Exponential())),
    *((loss, POSITIVE, SCORES) for loss in (fl.Poisson(), fl.Gamma(), fl.Tweedie(), fl.NegativeBinomial())),
    (fl.PoissonDeviance(), POSITIVE, np.exp(SCORES)),
    (fl.BinaryCrossEntropy(from_logits=False), LABELS, 0.25 + 0.25 * rng.random(N)),
]
NOT_CONVEX = [
    *((loss, HEAVY, 3.0 + SCORES) for loss in (fl.Cauchy(), fl.Welsch(), fl.TukeyBiweight(), fl.GeneralRobust(alpha=-2.0))),
    (fl.BinaryFocal(), LABELS, SCORES), (fl.Savage(), LABELS, SCORES), (fl.InverseGaussian(), POSITIVE, SCORES),
    (fl.GammaDeviance(), POSITIVE, np.exp(SCORES)),
]


@pytest.fixture
def interpreted(monkeypatch):
    """Gradients and Hessians without compiling them; how many passes over how many samples there were."""
    passes = []

    def of(name):
        def method(self, y, f, w=None, *_, **__):
            passes.append(f.size)
            assert not self.pred_domain.outside(f).any()
            weights = itertools.repeat(1.0) if w is None else w.tolist()
            rows = zip(y.tolist(), (f + 0.0 * y).tolist(), weights, strict=False)  # NaN is the loop's business
            return np.array([c * (b - b + float(getattr(self, name)(a, b))) if c else 0.0 for a, b, c in rows], f.dtype)
        return method

    def both(self, *arguments):
        g, h = of("gradient")(self, *arguments), of("hessian")(self, *arguments)
        passes.pop()
        return g, h

    def select(*arguments):
        quantiles(lambda function: function)(*arguments)

    monkeypatch.setattr(fl.Loss, "grad_and_hess", both)
    monkeypatch.setattr(fl.Loss, "grad", of("gradient"))
    monkeypatch.setattr(fl.Loss, "__call__", of("value"))
    monkeypatch.setattr(leaves.compile, "leaf_quantiles", lambda: select)
    return passes


def values(loss, y, f, w):
    return sum(c * float(loss.value(a, b)) for a, b, c in zip(y.tolist(), f.tolist(), w.tolist(), strict=True) if c)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize(("loss", "y", "f"), [*CASES, *NOT_CONVEX], ids=lambda x: str(x)[:44] * isinstance(x, fl.Loss))
def test_no_constant_is_better(loss, y, f, weights, interpreted):
    """By scipy's search over all constants, for losses that are not convex over those near 0."""
    found = loss.leaf_value(y, f, IDS, weights)
    assert found.shape == (K,)
    assert found.dtype == np.float64
    for leaf in range(K):
        inside = leaf == IDS
        w = np.ones(inside.sum()) if weights is None else weights[inside]

        def total(d, inside=inside, w=w):
            shifted = f[inside] + d
            return INF if loss.pred_domain.outside(shifted).any() else values(loss, y[inside], shifted, w)

        low = max(-10.0, float(np.nextafter(loss.pred_domain.low - f[inside].min(), INF)))
        high = min(10.0, float(np.nextafter(loss.pred_domain.high - f[inside].max(), -INF)))
        if not loss.convex:
            low, high = max(low, found[leaf] - 0.5), min(high, found[leaf] + 0.5)
        best = minimize_scalar(total, bounds=(low, high), method="bounded", options={"xatol": 1e-9})
        assert total(found[leaf]) <= best.fun + 1e-12 * abs(best.fun), (leaf, found[leaf], best.x)
        assert total(found[leaf]) <= total(0.0)


def test_few_passes(interpreted):
    """Newton's steps: 2 for squares, under 10 for smooth losses; settled leaves are left out."""
    for loss, y, most in ((fl.SquaredError(), HEAVY, 2), (fl.Huber(), HEAVY, 9), (fl.BinaryCrossEntropy(), LABELS, 7),
                          (fl.Poisson(), POSITIVE, 8)):
        interpreted.clear()
        loss.leaf_value(y, SCORES, IDS)
        assert len(interpreted) <= most, loss
    interpreted.clear()
    ones = np.where(IDS == 0, 1.0, LABELS)  # one leaf runs off to infinity
    assert fl.BinaryCrossEntropy().leaf_value(ones, SCORES, IDS)[0] == INF
    assert min(interpreted) == (IDS == 0).sum()
    assert len(interpreted) <= 90  # to where its gradient underflows, and to see that it does


def test_quantiles_are_those_of_sorting():
    select = quantiles(lambda function: function)
    for n, leaf_count in ((1, 1), (40, 3), (300, 9)):
        for level, draw in itertools.product((0.5, 0.9, 0.01, 0.25), (rng.normal, rng.integers)):
            x = draw(size=n) if draw is rng.normal else draw(0, 6, n).astype(float)  # many ties
            ids = rng.integers(0, leaf_count, n)
            for w in (np.ones(n), rng.integers(0, 4, n).astype(float), rng.random(n), 0.1 * rng.integers(0, 4, n)):
                result = np.empty(leaf_count)
                select(x, w, ids, level, np.zeros(leaf_count + 1, np.int64), np.empty(n), np.empty(n), result)
                for leaf in range(leaf_count):
                    inside = ids == leaf
                    expected = weighted_quantiles(x[inside], w[inside], [level])[0] if w[inside].any() else 0.0
                    assert result[leaf] == expected


def test_median_of_each_leaf():
    error = HEAVY - SCORES
    medians = [np.median(error[leaf == IDS]) for leaf in range(K)]
    np.testing.assert_array_equal(fl.AbsoluteError().leaf_value(HEAVY, SCORES, IDS), medians)
    errors, ids = (np.repeat(x, WEIGHTS.astype(int)) for x in (error, IDS))
    repeated = [np.median(errors[ids == leaf]) for leaf in range(K)]
    np.testing.assert_array_equal(fl.AbsoluteError().leaf_value(HEAVY, SCORES, IDS, WEIGHTS), repeated)
    single = SCORES.astype(np.float32)
    expected = [np.median((HEAVY - single.astype(float))[leaf == IDS]) for leaf in range(K)]
    np.testing.assert_array_equal(fl.AbsoluteError().leaf_value(HEAVY, single, IDS), expected)


def test_closed_forms(interpreted):
    def sums(x):
        return np.bincount(IDS, WEIGHTS * x)

    mu = np.exp(SCORES)
    for loss, y, expected in (
            (fl.SquaredError(), HEAVY, sums(HEAVY - SCORES) / sums(1.0)),
            (fl.HalfSquaredError(), HEAVY, sums(HEAVY - SCORES) / sums(1.0)),
            (fl.Poisson(), POSITIVE, np.log(sums(POSITIVE) / sums(mu))),
            (fl.Gamma(), POSITIVE, np.log(sums(POSITIVE / mu) / sums(1.0))),
            (fl.Tweedie(power=1.5), POSITIVE, np.log(sums(POSITIVE * mu**-0.5) / sums(mu**0.5))),
            (fl.Exponential(), LABELS, 0.5 * np.log(sums(LABELS / mu) / sums((1 - LABELS) * mu)))):
        np.testing.assert_allclose(loss.leaf_value(y, SCORES, IDS, WEIGHTS), expected, rtol=1e-12, atol=1e-15)
        single = loss.leaf_value(y, SCORES.astype(np.float32), IDS, WEIGHTS)
        np.testing.assert_allclose(single, expected, rtol=2e-6, atol=2e-6)


def test_equal_to_the_start_value_where_there_is_one_leaf(interpreted):
    zeros = np.zeros(N)
    for loss, y in ((fl.Huber(), HEAVY), (fl.LogCosh(), HEAVY), (fl.BinaryFocal(), LABELS), (fl.Probit(), LABELS)):
        found = loss.leaf_value(y, zeros, np.zeros(N, int), WEIGHTS)[0]
        slope = sum(w * float(loss.gradient(a, found)) for a, w in zip(y.tolist(), WEIGHTS.tolist(), strict=True))
        assert abs(slope) < 1e-11


def test_one_sample_per_leaf_and_empty_leaves(interpreted):
    y, f, ids = HEAVY[:20], SCORES[:20], 3 * np.arange(20)
    for loss in (fl.SquaredError(), fl.AbsoluteError(), fl.Huber(), fl.LogCosh(), fl.Cauchy()):
        found = loss.leaf_value(y, f, ids)
        assert found.shape == (58,)
        assert not np.delete(found, ids).any()
        if loss.convex:
            np.testing.assert_allclose(found[ids], y - f, rtol=1e-9)
    assert fl.SquaredError().leaf_value([], [], np.zeros(0, int)).shape == (0,)
    assert fl.AbsoluteError().leaf_value([], [], np.zeros(0, int)).shape == (0,)
    weightless = np.where(ids == 6, 0.0, 1.0)
    assert fl.Huber().leaf_value(y, f, ids, weightless)[6] == 0.0
    assert fl.AbsoluteError().leaf_value(y, f, ids, weightless)[6] == 0.0


def test_where_the_loss_falls_for_ever(interpreted):
    y, ids = np.repeat([1.0, 0.0], 4), np.repeat([0, 2], 4)
    f = np.array([-1.0, 0.5, 2.0, 0.0] * 2)
    for loss in (fl.BinaryCrossEntropy(), fl.Probit(), fl.Exponential(), fl.WassersteinGAN(), fl.Savage()):
        for F in (np.float64, np.float32):
            assert loss.leaf_value(y, f.astype(F), ids).tolist() == [INF, 0.0, -INF], (loss, F)
    assert fl.Poisson().leaf_value(y, f, ids)[2] == -INF
    assert fl.GANNonSaturating(side="generator").leaf_value(y, f, ids).tolist() == [0.0, 0.0, INF]


def test_ends_of_the_domain(interpreted):
    y, ids = np.repeat([0.0, 1.0], 3), np.repeat([0, 1], 3)
    p = np.array([0.25, 0.5, 0.5] * 2)
    for F in (np.float64, np.float32):
        assert fl.BinaryCrossEntropy(from_logits=False).leaf_value(y, p.astype(F), ids).tolist() == [-0.25, 0.5]
        assert fl.PoissonDeviance().leaf_value(y, p.astype(F), ids)[0] == -0.25
        assert fl.PoissonDeviance().leaf_value(y, p.astype(F), ids, [0.0, 1.0, 1.0] * 2)[0] == -0.5
        nearly = fl.SquaredLogError().leaf_value(np.full(3, 1e-12 - 1.0), np.full(3, 0.5, F), ids[:3])
        assert nearly[0] == pytest.approx(-1.5, abs=1e-7)  # in float32 the best prediction is not above -1


def test_a_flat_minimum_is_left_at_the_point_nearest_to_0(interpreted):
    one = np.zeros(2, int)
    for F in (np.float64, np.float32):
        f = np.zeros(2, F)
        assert fl.Hinge().leaf_value([1.0, 1.0], f, one)[0] == pytest.approx(1.0, abs=1e-7)
        assert fl.SquaredHinge().leaf_value([0.0, 0.0], f, one)[0] == pytest.approx(-1.0, abs=1e-7)
        assert fl.EpsilonInsensitive(epsilon=1.0).leaf_value([5.0, 5.5], f, one)[0] == pytest.approx(4.5, abs=1e-6)
        assert fl.Huber().leaf_value([10.0, -10.0], f, one)[0] == 0.0
        assert fl.Huber().leaf_value([20.0, 2.0], f, one)[0] == pytest.approx(3.0, abs=1e-6)
    y, w = np.array([5.0] * 8 + [10.0]), np.array([0.1] * 8 + [0.8])  # 0.1 eight times is not 0.8, but for rounding
    flat = fl.EpsilonInsensitive(epsilon=1.0).leaf_value(y, np.zeros(9), np.zeros(9, int), w)[0]
    assert flat == pytest.approx(6.0, abs=1e-9)
    assert fl.AbsoluteError().leaf_value([20.0, 2.0], np.zeros(2), one)[0] == 11.0
    assert fl.TukeyBiweight().leaf_value([100.0, 200.0], np.zeros(2), one)[0] == 0.0  # no slope to follow


def test_nan_and_weight_zero(interpreted):
    far, zeros = np.array([1.0, 1e6, 3.0, 1.5]), np.zeros(4, int)
    for loss in (fl.LogCosh(), fl.PseudoHuber(delta=0.1), fl.Pinball(quantile=0.3), fl.Welsch(c=0.2)):
        without = loss.leaf_value(far[[0, 2, 3]], zeros[:3], zeros[:3])
        assert loss.leaf_value(far, zeros, zeros, [1.0, 0.0, 1.0, 1.0]) == without  # not even by a rounding
    y, f, ids = np.array([1.0, np.nan, 3.0, 4.0]), np.zeros(4), np.array([0, 0, 0, 1])
    for loss in (fl.SquaredError(), fl.AbsoluteError(), fl.Huber(), fl.EpsilonInsensitive()):
        first, second = loss.leaf_value(y, f, ids)
        assert math.isnan(first)
        assert second == pytest.approx(4.0, abs=0.11)
        assert 1.0 <= loss.leaf_value(y, f, ids, [1.0, 0.0, 1.0, 1.0])[0] <= 3.0


def test_a_loss_without_a_hessian(interpreted):
    class Lopsided(fl.Elementwise):
        """LINEX with its own minimum."""

        def value(self, y, f):
            return exp(f - y) - (f - y)

        def gradient(self, y, f):
            return exp(f - y) - 1.0

    found = Lopsided().leaf_value(SCORES, SCORES[::-1].copy(), IDS)
    error = SCORES[::-1] - SCORES
    np.testing.assert_allclose(found, -np.log(np.bincount(IDS, np.exp(error)) / np.bincount(IDS)), rtol=1e-12, atol=1e-14)


def test_leaves_of_scikit_learn():
    """Gradient boosting of least absolute deviations sets a leaf to the median of its errors."""
    from sklearn.ensemble import GradientBoostingRegressor

    X = rng.normal(size=(N, 3))
    y = X[:, 0] ** 2 + rng.standard_t(2, N)
    model = GradientBoostingRegressor(loss="absolute_error", n_estimators=1, learning_rate=1.0, max_depth=2).fit(X, y)
    tree = model.estimators_[0, 0]
    start = np.full(N, np.median(y))
    ids = tree.apply(X)
    ours = fl.AbsoluteError().leaf_value(y, start, ids)
    theirs = tree.tree_.value[:, 0, 0]
    for leaf in np.unique(ids):
        inside = np.sort((y - start)[ids == leaf])
        near = inside[[(inside.size - 1) // 2, inside.size // 2]]
        assert near[0] - 1e-12 <= theirs[leaf] <= near[1] + 1e-12  # its median is the lower one of two
        assert ours[leaf] == pytest.approx(near.mean(), abs=1e-12)


def test_compiled():
    """The kernels' gradients, and many samples."""
    n = 30_000
    y, f, ids = rng.standard_t(2, n), rng.normal(size=n), rng.integers(0, 40, n)
    w = rng.integers(0, 3, n).astype(np.float32)
    for F in (np.float64, np.float32):
        found = fl.Huber().leaf_value(y, f.astype(F), ids.astype(np.uint8), w)
        g = fl.Huber().grad(y, f + found[ids], w, "none")
        bar = {np.float64: 1e-11, np.float32: 1e-4}[F]
        assert (abs(np.bincount(ids, g)) <= bar * np.bincount(ids, w)).all()
    score = fl.CumulativeLogit((-1.0, 0.5, 2.0))
    labels = rng.integers(0, 4, 500)
    found = score.leaf_value(labels, f[:500], ids[:500])
    assert abs(np.bincount(ids[:500], score.grad(labels, f[:500] + found[ids[:500]], None, "none"))).max() < 1e-12


def test_errors():
    y, f, ids = np.ones(3), np.zeros(3), np.zeros(3, int)
    with pytest.raises(TypeError, match="leaf_ids has dtype float64; they must be integers"):
        fl.Huber().leaf_value(y, f, np.zeros(3))
    with pytest.raises(ValueError, match=r"leaf_ids\[1\] = -1: leaves are counted from 0"):
        fl.Huber().leaf_value(y, f, np.array([0, -1, 0]))
    with pytest.raises(ValueError, match=r"leaf_ids has shape \(2,\); it must have the shape of y_pred, \(3,\)"):
        fl.Huber().leaf_value(y, f, np.array([0, 1]))
    with pytest.raises(ValueError, match=r"y_pred has shape \(3, 1\); leaf_value takes one raw score"):
        fl.Huber().leaf_value(y, f[:, None], ids)
    with pytest.raises(ValueError, match=r"categorical_cross_entropy has a row of raw scores.*'majorizer'"):
        fl.CategoricalCrossEntropy().leaf_value(ids, np.zeros((3, 2)), ids)
    with pytest.raises(ValueError, match=r"y_true\[0\]"):
        fl.Poisson().leaf_value(-y, f, ids)
    with pytest.raises(ValueError, match=r"sample_weight\[2\] = -1.0"):
        fl.AbsoluteError().leaf_value(y, f, ids, [1.0, 1.0, -1.0])
