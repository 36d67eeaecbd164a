"""Rows of quantiles: what the table of examples does not cover."""

import numpy as np
import pytest
from rows import interpreted

import fusedloss as fl

LEVELS = (0.05, 0.25, 0.5, 0.9)


def call(loss, name, y, f):
    return interpreted(loss, name, float(y), np.asarray(f, float), np.float64)


def test_levels_must_increase():
    with pytest.raises(ValueError, match=r"levels must be increasing, but levels\[2\] = 0.3 does not lie above levels\[1\]"):
        fl.MultiQuantile((0.1, 0.5, 0.3))
    with pytest.raises(ValueError, match=r"levels\[1\] = 0.1 does not lie above levels\[0\] = 0.1"):
        fl.MultiQuantile((0.1, 0.1))
    with pytest.raises(ValueError, match=r"levels\[1\] must be in \(0, 1\)"):
        fl.MultiQuantile((0.1, 1.0))


def test_columns_have_names():
    assert fl.MultiQuantile((0.1, 0.5)).columns == ("quantile_0.1", "quantile_0.5")
    assert fl.WeightedIntervalScore((0.5, 0.1)).columns == ("median", "lower_0.5", "upper_0.5", "lower_0.1", "upper_0.1")


def test_a_row_of_quantiles_costs_what_the_pinball_losses_do_kinks_included():
    f = np.array([-1.0, 0.5, 0.5, 2.0])
    for y in (-3.0, -1.0, 0.5, 1.0, 2.0, 7.0):
        pinballs = [(fl.Pinball(quantile=level), q) for level, q in zip(LEVELS, f, strict=True)]
        loss = fl.MultiQuantile(LEVELS)
        assert call(loss, "value", y, f) == pytest.approx(sum(one.value(y, q) for one, q in pinballs))
        assert call(loss, "gradient", y, f) == pytest.approx([one.gradient(y, q) for one, q in pinballs])
        assert call(loss, "majorizer", y, f) == pytest.approx([one.majorizer(y, q) for one, q in pinballs])


def test_quantiles_that_cannot_cross():
    rng = np.random.default_rng(0)
    crossing, loss = fl.MultiQuantile(LEVELS), fl.MultiQuantile(LEVELS, non_crossing=True)
    for _ in range(50):
        f, y = rng.normal(0.0, 20.0, 4), rng.normal()
        q = loss.prediction(f)
        assert (np.diff(q) >= 0).all()
        assert q[0] == f[0]
        assert call(loss, "value", y, f) == pytest.approx(call(crossing, "value", y, q), rel=1e-14)


@pytest.mark.parametrize("loss", [fl.MultiQuantile(LEVELS), fl.MultiQuantile(LEVELS, non_crossing=True),
                                  fl.WinklerScore(alpha=0.3), fl.WeightedIntervalScore((0.5, 0.2))], ids=repr)
def test_no_constant_row_is_better_than_the_start(loss):
    rng = np.random.default_rng(1)
    y, w = rng.gamma(2.0, 1.0, 41), rng.integers(1, 4, 41).astype(float)

    def cost(f):
        return sum(weight * call(loss, "value", target, f) for target, weight in zip(y, w, strict=True)) / w.sum()

    start = loss.start(y, w / w.sum())
    others = [start + rng.normal(0.0, 10.0 ** rng.uniform(-3, 0), start.size) for _ in range(60)]
    assert min(map(cost, others)) >= cost(start) * (1 - 1e-12)


def test_the_start_of_equal_quantiles_is_their_limit():
    loss = fl.MultiQuantile(LEVELS, non_crossing=True)
    start = loss.start(np.full(5, 2.0), np.full(5, 0.2))
    assert start.tolist() == [2.0, -np.inf, -np.inf, -np.inf]
    assert call(loss, "value", 2.0, start) == 0.0


def test_an_ideal_and_a_crossed_interval():
    loss = fl.WinklerScore(alpha=0.2)
    assert call(loss, "value", 1.0, [0.0, 3.0]) == pytest.approx(3.0)
    assert call(loss, "value", 1.0, [3.0, 0.0]) == pytest.approx(-3.0 + 10.0 * 2.0 + 10.0 * 1.0)
    assert call(loss, "gradient", 1.0, [0.0, 3.0]).tolist() == [-1.0, 1.0]
    assert call(loss, "gradient", 1.0, [3.0, 0.0]) == pytest.approx([9.0, -9.0])
    assert call(loss, "gradient", 1.0, [1.0, 1.0]).tolist() == [0.0, 0.0]
