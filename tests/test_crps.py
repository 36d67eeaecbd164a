"""CRPS losses against what defines them: integrals over the predicted distribution. Formulas run uncompiled."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from rows import exact, exactly, interpreted
from scipy import integrate, stats

import fusedloss as fl

DISTRIBUTION = {
    fl.GaussianCRPS(): lambda mu, sigma: stats.norm(mu, sigma),
    fl.LaplaceCRPS(): lambda mu, sigma: stats.laplace(mu, sigma),
    fl.LogisticCRPS(): lambda mu, sigma: stats.logistic(mu, sigma),
    fl.LogNormalCRPS(): lambda mu, sigma: stats.lognorm(sigma, scale=np.exp(mu)),
}
LOSSES = pytest.mark.parametrize("loss", DISTRIBUTION, ids=repr)
DTYPES = pytest.mark.parametrize("F", [np.float64, np.float32], ids=["f64", "f32"])
ROWS = [np.array([mu, s]) for mu in (-0.7, 1.2) for s in (-1.5, -0.4, 0.3)]
LEGENDRE = np.polynomial.legendre.leggauss(24)


def call(loss, name, y, f, F=np.float64):
    return interpreted(loss, name, F(y), f, F)


def predicted(loss, f):
    return DISTRIBUTION[loss](f[0], np.exp(f[1]))


def expected(loss, name, f, power=1):
    """The mean of a formula's answer for y as predicted: Gauss-Legendre between quantiles, with a kink at the median."""
    tail = 10.0 ** -np.arange(12.0, 0.0, -0.5)
    p = predicted(loss, f)
    edges = np.concatenate([p.ppf(tail), [p.median()], p.isf(tail[::-1])])
    nodes, weights = LEGENDRE
    total = 0.0
    for a, b in pairwise(edges):
        x = 0.5 * (a + b) + 0.5 * (b - a) * nodes
        values = np.array([call(loss, name, y, f) for y in x]) ** power
        total = total + 0.5 * (b - a) * ((weights * p.pdf(x)) @ values)
    return total


def squared_integral(function, low, high):
    return integrate.quad(lambda x: function(x) ** 2, low, high, epsabs=1e-11, epsrel=1e-10)[0]


@LOSSES
def test_crps_is_the_integral_of_the_squared_distance_of_distribution_functions(loss):
    for f in ROWS:
        p = predicted(loss, f)
        for u in (1e-3, 0.2, 0.5, 0.93, 0.9999):
            y = p.ppf(u)
            below = squared_integral(p.cdf, p.support()[0], y)
            above = squared_integral(p.sf, y, np.inf)
            assert call(loss, "value", y, f) == pytest.approx(below + above, rel=1e-8)


@LOSSES
def test_the_mean_gradient_is_zero_if_y_is_as_predicted(loss):
    for f in ROWS:
        size = np.sqrt(expected(loss, "gradient", f, power=2))
        mean = expected(loss, "gradient", f)
        assert (abs(mean) < 1e-8 * size).all()


@LOSSES
def test_the_metric_is_the_mean_hessian(loss):
    for f in ROWS:
        location, scale = expected(loss, "hessian", f)
        cross = expected(loss, "cross", f)
        metric = call(loss, "metric", 0.3, f)
        assert metric == pytest.approx([location, cross, scale], rel=1e-7, abs=1e-7 * max(location, scale))
        assert call(loss, "fisher_diagonal", 0.3, f) == pytest.approx(metric[[0, 2]], rel=1e-15)


@LOSSES
def test_the_metric_is_twice_the_integral_of_the_derivatives_of_the_distribution_function(loss):
    for f in ROWS:
        h = 1e-5
        p = predicted(loss, f)
        x = np.concatenate([np.linspace(a, b, 20001)[:-1] for a, b in
                            [p.ppf([1e-9, 0.5]), [p.median(), p.isf(1e-3)], p.isf([1e-3, 1e-9])]])
        slopes = [(predicted(loss, f + h * e).cdf(x) - predicted(loss, f - h * e).cdf(x)) / (2 * h) for e in np.eye(2)]
        products = [2 * integrate.trapezoid(slopes[i] * slopes[j], x) for i, j in ((0, 0), (0, 1), (1, 1))]
        size = max(products)
        assert call(loss, "metric", 0.3, f) == pytest.approx(products, rel=1e-5, abs=1e-5 * size)


@LOSSES
def test_the_natural_gradient_solves_for_the_gradient(loss):
    rng = np.random.default_rng(0)
    for f in ROWS:
        p = predicted(loss, f)
        for y in p.ppf(rng.uniform(size=20)):
            a, b, c = call(loss, "metric", y, f)
            got = np.array([[a, b], [b, c]]) @ call(loss, "natural_gradient", y, f)
            gradient = call(loss, "gradient", y, f)
            assert abs(got - gradient).max() <= 1e-12 * max(a, b, c, abs(gradient).max())


@LOSSES
def test_cross_is_the_derivative_of_the_gradient(loss):
    rng = np.random.default_rng(1)
    with mp.workdps(50):
        h = mp.mpf(10) ** -20
        for f in ROWS:
            y = predicted(loss, f).ppf(rng.uniform())
            gradient = [type(loss).gradient(exact(loss), exactly(y), exactly(f) + np.array([0, d])) for d in (h, -h)]
            true = float((gradient[0] - gradient[1])[0] / (2 * h))
            assert call(loss, "cross", y, f) == pytest.approx(true, rel=1e-12, abs=1e-13)


# ---- the ends ----------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("loss", list(DISTRIBUTION)[:3], ids=repr)
def test_a_point_and_far_outliers(loss, F):
    """sigma and 1 / sigma underflow and overflow; the CRPS of a point is the absolute error."""
    for s in (-1e4, -1e3, -104.0):
        for mu, slope in ((1.5, -1.0), (3.0, 1.0), (2.0, 0.0)):
            f = np.array([mu, s])
            assert call(loss, "value", 2.0, f, F) == pytest.approx(abs(2.0 - mu), abs=1e-30)
            assert call(loss, "gradient", 2.0, f, F) == pytest.approx([slope, 0.0], abs=1e-30)
            if slope:
                assert call(loss, "hessian", 2.0, f, F) == pytest.approx([0.0, 0.0], abs=1e-30)
            natural = call(loss, "natural_gradient", 2.0, f, F)
            assert abs(natural[0]) < 1e-30
            assert abs(natural[1]) <= 3.0
    constant = -{"gaussian_crps": 1 / np.sqrt(np.pi), "laplace_crps": 0.75, "logistic_crps": 1.0}[loss.name]
    for y in (-1e6, 1e6):
        f = np.array([0.0, 0.0])
        assert call(loss, "value", y, f, F) == pytest.approx(1e6 + constant, rel=2e-7 if F is np.float32 else 1e-15)
        assert call(loss, "gradient", y, f, F) == pytest.approx([-np.sign(y), constant], rel=1e-6)
    for s in (1e3, 1e4):  # what overflows overflows to the right side
        assert call(loss, "value", 2.0, [0.0, s], F) == np.inf
        assert (call(loss, "gradient", 2.0, [0.0, s], F) == [0.0, np.inf]).all()


@DTYPES
def test_lognormal_at_the_ends(F):
    loss = fl.LogNormalCRPS()

    def near(name, y, f, true):
        assert call(loss, name, y, f, F) == pytest.approx(true, rel=2e-6 if F is np.float32 else 1e-13), (name, y, f)

    for s in (-1e4, -1e3, -104.0):  # a point at e^mu
        near("value", 2.0, [0.0, s], 1.0)
        near("gradient", 2.0, [0.0, s], [-1.0, 0.0])
        near("value", 0.5, [0.0, s], 0.5)
        near("gradient", 0.5, [0.0, s], [1.0, 0.0])
        near("value", 1.0, [0.0, s], 0.0)
        near("hessian", 2.0, [0.0, s], [-1.0, 0.0])
        near("natural_gradient", 2.0, [0.0, s], [0.0, -2.0])
    for mu in (-1e3, -1e4):  # all at 0
        near("value", 3.0, [mu, 0.0], 3.0)
        near("gradient", 3.0, [mu, 0.0], [0.0, 0.0])
        for name in ("gradient", "hessian", "metric", "natural_gradient"):
            assert np.isfinite(call(loss, name, 3.0, [mu, 0.0], F)).all()
        near("natural_gradient", 3.0, [mu, 0.0], np.array(limit_of_natural_gradient(1.0), float))
    for f in ([0.0, 5.0], [0.0, 1e3], [0.0, 1e4], [1e4, 0.0], [1e4, 1e4]):
        assert call(loss, "value", 3.0, f, F) == np.inf
        gradient = call(loss, "gradient", 3.0, f, F)
        assert gradient[0] == np.inf
        assert abs(gradient[1]) == np.inf
        assert not np.isnan(call(loss, "hessian", 3.0, f, F)).any()
        assert not np.isnan(call(loss, "natural_gradient", 3.0, f, F)).any()
    largest, s = (60.0, 2.5) if F is np.float32 else (650.0, 3.5)  # e^(mu + sigma^2/2) overflows, the loss does not
    f = np.array([largest - 0.25 * np.exp(2 * s), s]).astype(F).astype(float)
    assert f[0] + 0.5 * np.exp(2 * s) > np.log(float(np.finfo(F).max))
    with mp.workdps(60):
        twin = exact(loss)
        for name in ("value", "gradient", "hessian"):
            true = np.asarray(getattr(fl.LogNormalCRPS, name)(twin, mp.mpf(3), exactly(f)), float)
            got = call(loss, name, 3.0, f, F)
            assert got == pytest.approx(true, rel=1e-4 if F is np.float32 else 1e-12)
            assert np.isfinite(got).all()


def limit_of_natural_gradient(sigma):
    """For y far above the prediction, where l = y - E + B erfcx(sigma/2)."""
    with mp.workdps(40):
        sigma = mp.mpf(sigma)
        E, B = mp.exp(sigma**2 / 2), mp.exp(sigma**2 / 4)
        loss_mu = -2 * E + E * mp.erfc(sigma / 2)
        loss_s = -2 * sigma**2 * E + sigma**2 * E * mp.erfc(sigma / 2) - sigma * B / mp.sqrt(mp.pi)
        metric = B / mp.sqrt(mp.pi) * mp.matrix([[1 / sigma, sigma / 2], [sigma / 2, sigma * (2 + sigma**2) / 4]])
        return list(metric**-1 * mp.matrix([loss_mu, loss_s]))


# ---- ensembles ---------------------------------------------------------------------------------------------------


def test_ensemble_crps_is_the_integral_over_its_steps():
    rng = np.random.default_rng(2)
    for m in (1, 2, 5, 12):
        for _ in range(20):
            y, f = rng.normal(), np.round(rng.normal(0.0, 1.0, m), 1)  # with equal members
            x = np.sort(np.append(f, y))
            steps = [np.mean(f <= a) - (a >= y) for a in x[:-1]]
            assert call(fl.EnsembleCRPS(), "value", y, f) == pytest.approx(np.diff(x) @ np.square(steps), rel=1e-13)


def test_fair_ensemble_crps_is_unbiased():
    """Over all draws of 3 members from 4 numbers its mean is the CRPS of the 4 numbers; that of the plain one is not."""
    population, y = np.array([-1.0, 0.3, 0.8, 2.5]), 0.5
    draws = np.stack(np.meshgrid(*[population] * 3), axis=-1).reshape(-1, 3)
    whole = call(fl.EnsembleCRPS(), "value", y, population)
    assert np.mean([call(fl.EnsembleCRPS(fair=True), "value", y, f) for f in draws]) == pytest.approx(whole, rel=1e-13)
    assert np.mean([call(fl.EnsembleCRPS(), "value", y, f) for f in draws]) > 1.1 * whole


def test_one_member_is_the_absolute_error():
    for fair in (False, True):
        loss = fl.EnsembleCRPS(fair=fair)
        assert call(loss, "value", 2.0, [5.0]) == 3.0
        assert call(loss, "gradient", 2.0, [5.0]) == [1.0]
        assert call(loss, "gradient", 2.0, [2.0]) == [0.0]


def test_ensembles_far_from_zero_lose_nothing():
    """Multiples of 1/4 around 2^40: every difference is exact, and so must be the score."""
    rng = np.random.default_rng(3)
    f, y = rng.integers(-20, 20, 8) / 4.0, 0.25
    for loss in (fl.EnsembleCRPS(), fl.EnsembleCRPS(fair=True)):
        assert call(loss, "value", y + 2.0**40, f + 2.0**40) == call(loss, "value", y, f)
