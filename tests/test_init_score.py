"""The constant that `init_score` returns minimises the loss."""

import math

import numpy as np
import pytest

import fusedloss as fl
from fusedloss import init_score
from fusedloss.vecmath import exp

rng = np.random.default_rng(3)
N = 61
HEAVY = 3.0 + 2.0 * rng.standard_t(2, N)
POSITIVE = np.abs(HEAVY) + 0.1
LABELS = (rng.random(N) < 0.7).astype(float)
WEIGHTS = rng.integers(0, 4, N)

REGRESSION = [
    fl.HalfSquaredError(), fl.SquaredError(), fl.AbsoluteError(), fl.Huber(), fl.SmoothL1(beta=0.1), fl.PseudoHuber(),
    fl.Charbonnier(), fl.LogCosh(), fl.Fair(), fl.Cauchy(), fl.Welsch(), fl.GemanMcClure(), fl.TukeyBiweight(),
    fl.Andrews(), fl.GeneralRobust(), fl.GeneralRobust(alpha=-2.0), fl.EpsilonInsensitive(),
    fl.SquaredEpsilonInsensitive(), fl.Lq(), fl.AbsolutePercentageError(), fl.SymmetricAbsolutePercentageError(),
    fl.Pinball(quantile=0.9), fl.SoftplusPinball(quantile=0.2), fl.ArctanPinball(quantile=0.2),
    fl.HuberPinball(quantile=0.2), fl.Expectile(quantile=0.8), fl.TweedieDeviance(power=0.0),
]
COUNTS = [
    fl.SquaredLogError(), fl.Poisson(), fl.Gamma(), fl.Tweedie(), fl.InverseGaussian(), fl.NegativeBinomial(),
    fl.PoissonDeviance(), fl.GammaDeviance(), fl.TweedieDeviance(), fl.InverseGaussianDeviance(),
]
BINARY = [
    fl.BinaryCrossEntropy(), fl.BinaryCrossEntropy(pos_weight=3.0, label_smoothing=0.1), fl.BinaryBrier(),
    fl.BinaryFocal(), fl.BinaryFocal(from_logits=False), fl.BinaryPoly1(), fl.BinaryGeneralizedCrossEntropy(),
    fl.Probit(), fl.ComplementaryLogLog(), fl.Hinge(), fl.SquaredHinge(), fl.SmoothedHinge(), fl.ModifiedHuber(),
    fl.Exponential(), fl.Savage(), fl.Tangent(), fl.Perceptron(), fl.get("sklearn.log_loss"),
]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize(("loss", "y"), [*((loss, HEAVY) for loss in REGRESSION),
                                         *((loss, POSITIVE) for loss in COUNTS),
                                         *((loss, LABELS) for loss in BINARY)], ids=lambda x: str(x)[:40])
def test_no_constant_is_better(loss, y, weights, monkeypatch):
    """The search itself, on formulas in plain Python: compiling them all is left to test_kernels."""
    monkeypatch.setattr(init_score, "_Passes", Interpreted)
    w = np.ones(N) if weights is None else weights
    c = init_score._of_column(loss, y, weights)
    assert isinstance(c, float)
    assert math.isfinite(c)
    passes = Interpreted(loss, y, w)
    best = passes.value(c)
    around = 10.0 ** np.arange(-9.0, 2.0)
    others = np.concatenate([c + around, c - around, np.quantile(y, np.linspace(0.01, 0.99, 20))])
    for other in others[~loss.pred_domain.outside(others)]:
        assert best <= passes.value(other) + 1e-12 * (1 + abs(best)), other


class Interpreted(init_score._Passes):
    """The same sums without compiling."""

    def value(self, c):
        return self._sum("value", c)

    def _curved(self, c, hessian):
        return self._sum("gradient", c), self._sum({"exact": "hessian"}.get(hessian, hessian), c)

    def _sum(self, name, c):
        formula, w = getattr(self.loss, name), np.ones(N) if self.w is None else self.w
        return float(sum(wi * formula(yi, c) for yi, wi in zip(self.y.tolist(), w.tolist(), strict=True) if wi))


def test_quantiles_are_numpys_median_and_the_middle_of_the_interval():
    y = rng.normal(size=60)
    assert fl.AbsoluteError().init_score(y) == np.median(y)
    assert fl.AbsoluteError().init_score(y[:59]) == np.median(y[:59])
    assert fl.Pinball(quantile=0.9).init_score(np.arange(10.0)) == 8.5  # any c in [8, 9]
    assert fl.Pinball(quantile=0.85).init_score(np.arange(10.0)) == 8.0
    repeated = np.repeat(y, WEIGHTS[:60])
    assert fl.AbsoluteError().init_score(y, WEIGHTS[:60]) == np.median(repeated)
    assert fl.AbsoluteError().init_score(y, 0.1 * WEIGHTS[:60]) == np.median(repeated)


@pytest.mark.exhaustive
def test_middle_of_a_flat_minimum():
    assert fl.EpsilonInsensitive(epsilon=3.0).init_score(np.array([0.0, 1.0, 2.0])) == pytest.approx(1.0, abs=1e-12)
    assert fl.SquaredEpsilonInsensitive(epsilon=3.0).init_score(np.array([0.0, 5.0])) == pytest.approx(2.5, abs=1e-12)
    y, w = np.array([1.0, 2.0, 4.0]), np.array([1 / 6, 2 / 3, 2 / 3])  # |r| / y: slopes 1/6, 1/3, 1/6
    flat = fl.AbsolutePercentageError().init_score(y, w)
    assert flat == pytest.approx(2.0, abs=1e-12)
    assert fl.AbsolutePercentageError().init_score(np.array([1.0, 2.0, 2.0])) == pytest.approx(1.5, abs=1e-12)
    assert fl.Hinge().init_score(np.array([0.0, 1.0])) == 0.0
    assert fl.Hinge().init_score(np.ones(3)) == 1.0


@pytest.mark.exhaustive
def test_finds_the_cluster_among_outliers():
    y = np.concatenate([rng.normal(5.0, 0.1, 300), rng.uniform(-1e3, 1e3, 200)])
    for loss in (fl.TukeyBiweight(), fl.Welsch(), fl.GemanMcClure(), fl.Cauchy()):
        assert loss.init_score(y) == pytest.approx(5.0, abs=0.1)


def test_columns_and_weights():
    y = rng.normal(size=(50, 3))
    w = rng.integers(1, 4, 50)
    for loss in (fl.SquaredError(), fl.AbsoluteError(), fl.Huber(delta=0.5)):
        scores = loss.init_score(y, w)
        assert scores.shape == (3,)
        for j in range(3):
            assert scores[j] == loss.init_score(y[:, j], w)
    np.testing.assert_allclose(fl.SquaredError().init_score(y), y.mean(0), rtol=1e-13)


@pytest.mark.exhaustive
def test_what_the_loss_falls_towards():
    ones, zeros = np.ones(5), np.zeros(5)
    for loss in (fl.BinaryCrossEntropy(), fl.Probit(), fl.Exponential(), fl.BinaryFocal()):
        assert loss.init_score(ones) == math.inf
        assert loss.init_score(zeros) == -math.inf
    assert fl.Poisson().init_score(zeros) == -math.inf
    assert fl.BinaryFocal(from_logits=False).init_score(ones) == 1.0


def test_nan_and_weight_zero():
    y = np.array([1.0, np.nan, 3.0])
    for loss in (fl.SquaredError(), fl.AbsoluteError(), fl.Huber(), fl.Cauchy(), fl.get("smape")):
        assert math.isnan(loss.init_score(y))
        assert loss.init_score(y, [1.0, 0.0, 1.0]) == pytest.approx(loss.init_score(y[[0, 2]]), rel=1e-12)


def test_errors():
    with pytest.raises(ValueError, match="empty"):
        fl.Huber().init_score([])
    with pytest.raises(ValueError, match="0 for every sample"):
        fl.Huber().init_score([1.0, 2.0], [0.0, 0.0])
    with pytest.raises(ValueError, match=r"y_true\[1\]"):
        fl.Poisson().init_score([1.0, -2.0])
    with pytest.raises(ValueError, match=r"sample_weight\[0\]"):
        fl.Huber().init_score([1.0, 2.0], [-1.0, 1.0])


@pytest.mark.exhaustive
def test_any_dtype_and_more_than_one_chunk():
    y = rng.integers(0, 9, 300_001)
    for loss in (fl.Huber(), fl.AbsoluteError()):
        expected = loss.init_score(y.astype(float))
        for dtype in (np.uint8, np.float32):
            assert loss.init_score(y.astype(dtype)) == expected
    assert fl.BinaryCrossEntropy().init_score(np.array([True, False, False])) == pytest.approx(-math.log(2.0))


def test_a_loss_without_a_hessian_or_an_optimum():
    class Lopsided(fl.Elementwise):
        """LINEX with its own minimum."""

        def value(self, y, f):
            return exp(f - y) - (f - y)

        def gradient(self, y, f):
            return exp(f - y) - 1.0

    y = rng.normal(size=100)
    assert Lopsided().init_score(y) == pytest.approx(-math.log(np.mean(np.exp(-y))), abs=1e-12)
