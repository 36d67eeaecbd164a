"""What makes a loss the likelihood of a distribution: scores of mean zero, Fisher's information, digits for any shape."""

import mpmath as mp
import numpy as np
import pytest
from rows import exact, exactly, interpreted
from scipy import stats

import fusedloss as fl
from fusedloss.domain import NON_NEGATIVE, OPEN_UNIT, POSITIVE, REAL
from fusedloss.losses.distribution import stirling, stirling_bend, stirling_slope


def nbinom(m, d):
    return stats.nbinom(np.exp(-d), 1.0 / (1.0 + np.exp(m + d)))


# loss, its distribution for two columns, some rows of parameters
CONTINUOUS = [
    (fl.GaussianNLL(), lambda a, b: stats.norm(a, np.exp(b)), [(0.3, -0.5), (-2.0, 1.0)]),
    (fl.LaplaceNLL(), lambda a, b: stats.laplace(a, np.exp(b)), [(0.3, -0.5), (-2.0, 1.0)]),
    (fl.StudentTNLL(df=3.0), lambda a, b: stats.t(3.0, a, np.exp(b)), [(0.3, -0.5), (-2.0, 1.0)]),
    (fl.StudentTNLL(df=0.7), lambda a, b: stats.t(0.7, a, np.exp(b)), [(0.3, -0.5)]),
    (fl.LogisticNLL(), lambda a, b: stats.logistic(a, np.exp(b)), [(0.3, -0.5), (-2.0, 1.0)]),
    (fl.GumbelNLL(), lambda a, b: stats.gumbel_r(a, np.exp(b)), [(0.3, -0.5), (-2.0, 1.0)]),
    (fl.LogNormalNLL(), lambda a, b: stats.lognorm(np.exp(b), scale=np.exp(a)), [(0.3, -0.5), (-2.0, 0.4)]),
    (fl.GammaNLL(), lambda a, b: stats.gamma(np.exp(b), scale=np.exp(a - b)), [(0.3, -0.5), (-2.0, 1.0), (1.0, 4.0)]),
    (fl.WeibullNLL(), lambda a, b: stats.weibull_min(np.exp(b), scale=np.exp(a)), [(0.3, -0.5), (-2.0, 1.0)]),
    (fl.BetaNLL(), lambda a, b: stats.beta(np.exp(a), np.exp(b)), [(-0.5, 0.3), (1.0, 2.0), (4.0, 3.0)]),
]
COUNTS = [
    (fl.NegativeBinomialNLL(), nbinom, [(0.3, -0.5), (1.5, 1.0), (2.0, -5.0), (-3.0, 0.0)]),
    (fl.ZeroInflatedPoissonNLL(), None, [(0.3, -0.5), (2.0, 1.5), (-2.0, -3.0)]),
]
POINTS = [(loss, distribution, row) for loss, distribution, rows in [*CONTINUOUS, *COUNTS] for row in rows]
LOSSES = [loss for loss, *_ in [*CONTINUOUS, *COUNTS]]


def support(distribution, row):
    """Targets and the weights that make sums over them expectations."""
    if distribution is None:
        y, structural = np.arange(400), 1.0 / (1.0 + np.exp(-row[1]))
        return y, structural * (y == 0) + (1.0 - structural) * stats.poisson.pmf(y, np.exp(row[0]))
    distribution = distribution(*row)
    if hasattr(distribution.dist, "pmf"):
        y = np.arange(2000)
        return y, distribution.pmf(y)
    t = np.arange(-2.9, 3.2, 0.05)  # double exponential quadrature of both halves of the quantiles
    e = np.exp(-np.pi * np.sinh(t))
    level, weight = 0.5 / (1.0 + e), 0.5 * 0.05 * np.pi * np.cosh(t) * e / (1.0 + e) ** 2
    return np.concatenate([distribution.ppf(level), distribution.isf(level)]), np.concatenate([weight, weight])


@pytest.mark.parametrize(("loss", "distribution", "row"), POINTS, ids=lambda x: str(x) if not callable(x) or
                         isinstance(x, fl.Loss) else "")
def test_scores_have_mean_zero_and_fisher_is_the_expected_hessian(loss, distribution, row):
    y, p = support(distribution, row)
    kept = (p > 1e-25) & ~loss.y_domain.outside(y)  # a share next to 1 rounds to it
    f, y, p = np.array(row), y[kept].astype(float), p[kept]
    assert abs(p.sum() - 1.0) < 1e-11
    slopes = np.array([loss.gradient(a, f) for a in y])
    bends = np.array([[*loss.hessian(a, f), loss.cross(a, f)] for a in y])
    aa, ab, bb = loss.fisher(np.nan, f)
    root = np.sqrt([aa, bb])  # in units of each parameter's own information
    np.testing.assert_allclose((p @ slopes) / root, 0.0, atol=1e-9)
    products = (slopes * p[:, None]).T @ slopes
    np.testing.assert_allclose(products / np.outer(root, root), np.array([[aa, ab], [ab, bb]]) / np.outer(root, root),
                               atol=1e-9)
    if loss.smooth:
        np.testing.assert_allclose(p @ bends / [aa, bb, root[0] * root[1]], [1.0, 1.0, ab / (root[0] * root[1])],
                                   atol=1e-9)
    np.testing.assert_array_equal(loss.fisher_diagonal(0.5, f), [aa, bb])


def sample(loss, rng):
    """A target and parameters that may be far from it, with shapes from tiny to huge."""
    y = {OPEN_UNIT: rng.beta(0.5, 0.5), REAL: rng.normal(0.0, 3.0),
         POSITIVE: np.exp(rng.normal(0.0, 2.0)),
         NON_NEGATIVE: float(np.floor(np.exp(rng.normal(1.5, 3.0))))}[loss.y_domain]
    if isinstance(loss, fl.BetaNLL):
        y = np.clip(y, 1e-9, 1.0 - 1e-9)
        return float(y), rng.normal(0.0, 2.0, 2) * rng.choice([1.0, 4.0], 2) + rng.choice([0.0, 20.0])
    return float(y), rng.normal(0.0, 2.0, 2) * rng.choice([1.0, 4.0], 2)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_natural_gradient_solves_its_equation(loss):
    """Against the 2 by 2 system in 60 digits, which does not mind a determinant that cancels."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        y, f = sample(loss, rng)
        got = interpreted(loss, "natural_gradient", y, f, np.float64)
        with mp.workdps(60):
            twin, ym, fm = exact(loss), exactly(y), exactly(f)
            aa, ab, bb = type(loss).fisher(twin, ym, fm)
            p, q = type(loss).gradient(twin, ym, fm)
            det = aa * bb - ab * ab
            assert det > 0
            true = np.array([(bb * p - ab * q) / det, (aa * q - ab * p) / det], object)
            # the gradient's own rounding, turned by the inverse
            rounding = 1e-15 * max(1, abs(p), abs(q), abs(y) if loss.y_domain == NON_NEGATIVE else 0)
            slack = [rounding * (bb + abs(ab)) / det, rounding * (aa + abs(ab)) / det]
            for x, t, s in zip(got, true, slack, strict=True):
                assert x == float(t) or abs(x - t) <= 1e-9 * abs(t) + s, (y, f, x, float(t))


def beta(y, a, b):
    a, b = mp.exp(a), mp.exp(b)
    return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b) - (a - 1) * mp.log(y) - (b - 1) * mp.log(1 - y)


def gamma(y, m, s):
    k = mp.exp(s)
    return mp.loggamma(k) - k * s + k * m - (k - 1) * mp.log(y) + k * y * mp.exp(-m)


def negative_binomial(y, m, d):
    r = mp.exp(-d)
    return (mp.loggamma(y + 1) + mp.loggamma(r) - mp.loggamma(y + r) - y * (m + d)
            + (y + r) * mp.log1p(mp.exp(m + d)))


def zero_inflated_poisson(y, m, t):
    p, rate = 1 / (1 + mp.exp(-t)), mp.exp(m)
    return -mp.log(p * (y == 0) + (1 - p) * mp.exp(-rate + y * m) / mp.gamma(y + 1))


@pytest.mark.parametrize(("loss", "textbook"), [
    (fl.BetaNLL(), beta), (fl.GammaNLL(), gamma), (fl.NegativeBinomialNLL(), negative_binomial),
    (fl.ZeroInflatedPoissonNLL(), zero_inflated_poisson)], ids=lambda x: type(x).__name__)
def test_values_keep_their_digits_for_any_shape(loss, textbook):
    """Against the textbook formula in 120 digits: relative to the value, and for counts to log(y!) and y log(mu)."""
    rng = np.random.default_rng(1)
    for _ in range(120):
        y, f = sample(loss, rng)
        with mp.workdps(120):
            true = textbook(*exactly(np.array([y, *f])))
            got = interpreted(loss, "value", y, f, np.float64)
            counts = 0.0 if loss.y_domain.low_closed is False else max(mp.loggamma(y + 1), y * abs(f[0]))
            assert abs(got - true) <= 3e-14 * max(1, abs(true), counts, abs(f[0]), abs(f[1])), (y, f, float(true), got)


def test_negative_binomial_without_dispersion_is_poisson():
    loss, rng = fl.NegativeBinomialNLL(), np.random.default_rng(2)
    for _ in range(50):
        m = rng.normal(2.0, 3.0)
        y = float(rng.poisson(np.exp(m)))
        f = np.array([m, -60.0])
        poisson = -stats.poisson.logpmf(y, np.exp(m))
        assert abs(loss.value(y, f) - poisson) <= 1e-13 * max(1.0, y * max(1.0, abs(m)))
        # the derivative by alpha, ((y - mu)^2 - y) / 2 with the other sign, times alpha
        limit = -0.5 * ((y - np.exp(m)) ** 2 - y)
        assert abs(loss.gradient(y, f)[1] * np.exp(60.0) - limit) <= 1e-12 * max(1.0, y * y)


@pytest.mark.parametrize(("odds", "bound"), [(0.01, 1e-11), (1.0, 1e-11), (100.0, 1e-11), (1e4, 3e-7), (1e6, 2e-5)])
def test_information_of_the_dispersion(odds, bound):
    """The integral over log(1 + alpha mu) that r^2 sum B(r, j) p^j / j is, too."""
    p, q, end = odds / (1 + mp.mpf(odds)), 1 / (1 + mp.mpf(odds)), mp.log1p(odds)

    def integrand(n):
        bend = mp.mpf(1) / 2 if n == 0 else -1 / mp.expm1(-n) - n * mp.exp(-n) / mp.expm1(-n) ** 2
        return max((mp.exp(-n) - q) / p, 0) ** r * bend

    for r in (0.05, 1.0, 30.0):
        with mp.workdps(30):
            cuts = [0, *sorted(x for x in (end / r, 8 * end / r, end - 1, end - 8) if 0 < x < end), end]
            true = r * p * mp.quad(integrand, cuts)
        got = fl.NegativeBinomialNLL().fisher(0.0, np.array([np.log(odds * r), -np.log(r)]))[2]
        assert abs(got / true - 1) < bound


def test_stirling_remainders():
    for x in np.exp(np.linspace(-30.0, 30.0, 500)):
        with mp.workdps(70):
            z = mp.mpf(x)
            remainder = mp.loggamma(z) - (z - 0.5) * mp.log(z) + z - mp.log(2 * mp.pi) / 2
            slope = mp.digamma(z) - mp.log(z) + 1 / (2 * z)
            bend = mp.psi(1, z) - 1 / z - 1 / (2 * z * z)
        with np.errstate(over="ignore", invalid="ignore"):  # in the tail that is not chosen
            assert abs(stirling(x) / remainder - 1) < 2e-13
            assert abs(stirling_slope(x) / slope - 1) < 5e-13
            assert abs(stirling_bend(x) / bend - 1) < 4e-15


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("F", [np.float64, np.float32])
def test_extreme_parameters(loss, F):
    """Scales and shapes of e^+-30, locations of +-1e4: no NaN, and information that is positive."""
    location = loss.columns[0] in ("location", "log_mean", "log_rate")
    targets = {OPEN_UNIT: (1e-6, 0.3, 1.0 - 1e-6), REAL: (-100.0, 0.0, 1.7),
               POSITIVE: (1e-20, 0.3, 1e6),
               NON_NEGATIVE: (0.0, 1.0, 1e6)}[loss.y_domain]
    for a in (-1e4, -30.0, -1.0, 0.0, 2.0, 30.0, 1e4) if location else (-30.0, -1.0, 0.0, 2.0, 30.0):
        for b in (-30.0, -1.0, 0.0, 2.0, 30.0):
            for y in targets:
                for name in ("value", "gradient", "hessian", "cross", "fisher", "natural_gradient"):
                    if abs(a) < 1e3 or name in ("value", "gradient", "hessian"):
                        got = interpreted(loss, name, y, np.array([a, b]), F)
                        assert not np.isnan(got).any(), (name, y, a, b, got)
                        assert name != "fisher" or (got[[0, 2]] > 0.0).all(), (y, a, b, got)


@pytest.mark.parametrize("loss", [fl.GaussianNLL(), fl.LaplaceNLL(), fl.LogNormalNLL()], ids=repr)
def test_start_minimises_the_mean_loss(loss):
    rng = np.random.default_rng(3)
    y, w = np.exp(rng.normal(0.0, 1.0, 51)), rng.uniform(0.1, 1.0, 51)
    w /= w.sum()
    start = loss.start(y, w)
    assert start.shape == (2,)

    def mean(row):
        return sum(v * loss.value(a, row) for a, v in zip(y, w, strict=True))

    for step in (1e-3, 0.3):
        for direction in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1)):
            assert mean(start) < mean(start + step * np.array(direction))
    slope = sum(v * loss.gradient(a, start) for a, v in zip(y, w, strict=True))
    assert abs(slope[1]) < 1e-14
    assert np.isfinite(loss.start(np.full(3, 2.0), np.full(3, 1.0 / 3.0))).all()
