"""`loss.accumulator()`: the bits of the result in memory, merging, what is kept beside the mean, plain data, errors."""

import json
import math
import pickle
from functools import reduce

import numpy as np
import pytest

import fusedloss as fl
from fusedloss.exact import ExactSum, expansion
from fusedloss.rowmath import total
from fusedloss.scoring.loops import EXPANSION

BLOCK = 4096
N = 5 * BLOCK + 1234
LOSS = fl.Huber(delta=0.5)


class Mine(fl.Elementwise):
    def value(self, y, f):
        return (f - y) ** 2


class Spread(fl.Rowwise):
    target = "number"

    def value(self, y, f):
        return total((f - y) ** 2)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(11)
    y = rng.normal(size=N)
    f = y + rng.normal(size=N) * 10.0 ** rng.integers(-8, 8, N)
    w = np.where(rng.random(N) < 0.1, 0.0, rng.exponential(size=N))
    return {"y_true": y, "y_pred": f, "sample_weight": w, "mask": rng.random(N) < 0.05}


def accumulated(loss, data, cuts, worst=5):
    """An accumulator updated with the parts between the cuts."""
    acc = loss.accumulator(worst)
    for low, high in zip([0, *cuts], [*cuts, len(data["y_true"])], strict=True):
        acc.update(**{name: a[low:high] for name, a in data.items()})
    return acc


def ulps(a, b):
    return abs(a - b) / math.ulp(b)


def given(data, names):
    return {name: a for name, a in data.items() if name in ("y_true", "y_pred", *names)}


# ---- the numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [(), ("sample_weight",), ("mask",), ("sample_weight", "mask")], ids=",".join)
def test_on_block_boundaries_it_is_the_loss_bit_for_bit(data, names):
    some = given(data, names)
    row = fl.score(losses=LOSS, **some).rows[0]
    for cuts in ([], [BLOCK, 3 * BLOCK], [2 * BLOCK, 2 * BLOCK]):
        found = accumulated(LOSS, some, cuts).result()
        assert found.value == LOSS(**some) == row.value
        assert found.standard_error == pytest.approx(row.standard_error, rel=1e-14)
        assert found._replace(standard_error=row.standard_error) == row
        for cut in range(0, N, BLOCK):  # merges of two, and of many one by one
            parts = [{name: a[low:high] for name, a in some.items()} for low, high in ((0, cut), (cut, N))]
            first, second = (accumulated(LOSS, part, []) for part in parts)
            assert (first + second).result().value == row.value
    many = [accumulated(LOSS, {name: a[k: k + BLOCK] for name, a in some.items()}, []) for k in range(0, N, BLOCK)]
    assert reduce(lambda a, b: a + b, many).result().value == reduce(lambda a, b: b + a, many).result().value == row.value


def test_elsewhere_it_is_within_four_units_in_the_last_place(data):
    rng = np.random.default_rng(3)
    wanted = fl.score(losses=LOSS, **data).rows[0]
    for _ in range(5):
        found = accumulated(LOSS, data, np.sort(rng.integers(0, N, 40))).result()
        assert ulps(found.value, wanted.value) <= 4
        assert ulps(found.weight, wanted.weight) <= 4
        assert found.standard_error == pytest.approx(wanted.standard_error, rel=1e-13)
        assert (found.n, found.skipped) == (wanted.n, wanted.skipped)


def test_small_updates_are_those_of_one_large_one():
    rng = np.random.default_rng(5)
    y, f = rng.normal(size=(2, 3000))
    acc, strided = LOSS.accumulator(), LOSS.accumulator()
    for k in range(0, 3000, 100):
        acc.update(y[k: k + 100], f[k: k + 100])
        strided.update(np.repeat(y[k: k + 100], 2)[::2], np.repeat(f[k: k + 100], 2)[::2])
    row = fl.score(y, f, LOSS).rows[0]
    assert ulps(acc.result().value, row.value) <= 4
    assert acc.result().standard_error == pytest.approx(row.standard_error, rel=1e-13)
    assert acc.result()[3:] == pytest.approx(strided.result()[3:], rel=1e-14)
    assert acc.worst == strided.worst


def test_a_mean_far_from_zero_and_drifting_costs_no_digits():
    rng = np.random.default_rng(1)
    y, f = np.zeros(3 * BLOCK), 0.5 * rng.normal(size=3 * BLOCK) + np.repeat([1e3, 2e6, -3e6], BLOCK)
    acc = LOSS.accumulator()
    for k in range(0, f.size, BLOCK // 2):
        acc.update(y[k: k + BLOCK // 2], f[k: k + BLOCK // 2])
    values = LOSS.elementwise(y, f).astype(np.longdouble)
    assert acc.result().standard_error == pytest.approx(float(values.std() / math.sqrt(f.size)), rel=1e-13)
    near = 1e9 + rng.normal(size=BLOCK)  # sum(l^2) - n mean^2 would have no digit left
    acc = LOSS.accumulator()
    acc.update(np.zeros(BLOCK), near)
    assert acc.result().standard_error == pytest.approx((0.5 * near).std() / 64, rel=1e-6)


@pytest.mark.exhaustive
def test_rows_have_the_bits_of_the_loss_and_of_score():
    rng = np.random.default_rng(2)
    n, loss = 2 * BLOCK + 700, Spread()  # 40 columns: blocks of 1024 rows
    y, w = rng.normal(size=n), rng.integers(0, 3, n) * 0.75  # whose sums are exact
    preds = {name: rng.normal(size=(n, 40)) for name in "abcdef"}
    scores = fl.score(y, preds, loss, w)
    for name, f in preds.items():
        some = {"y_true": y, "y_pred": f, "sample_weight": w}
        acc, row = accumulated(loss, some, [1024, BLOCK]), scores["spread", name]
        assert acc.result().value == row.value == loss(**some)
        assert acc.result()[5:] == row[5:]
        values = ((f - y[:, None]) ** 2).sum(1)
        worst = np.argsort(np.where(w > 0, -values, 0), kind="stable")[:5]
        assert [sample.index for sample in acc.worst] == worst.tolist()
        assert acc.worst[0].y_pred == f[worst[0]].tolist()


# ---- beside the mean ---------------------------------------------------------------------------------------------


def test_extremes_worst_and_non_finite_values():
    y = np.zeros(10)
    f = np.array([1.0, 8.0, np.nan, 8.0, np.inf, 0.5, 99.0, 99.0, 3.0, -4.0])
    mask = np.zeros(10, bool)
    mask[6] = True
    w = np.where(f == 99.0, 0.0, 2.0)
    acc = Mine().accumulator(worst=4)
    for k in (slice(0, 3), slice(3, 8), slice(8, 10)):
        acc.update(y[k], f[k], w[k], mask[k])
    assert (acc.nan, acc.infinite, acc.min, acc.max) == (1, 1, 0.25, math.inf)
    assert [sample[:2] for sample in acc.worst] == [(4, math.inf), (1, 64.0), (3, 64.0), (9, 16.0)]
    assert acc.worst[1] == (1, 64.0, 0.0, 8.0)
    assert math.isnan(acc.result().value)
    assert math.isnan(acc.result().standard_error)
    assert (acc.result().n, acc.result().skipped, acc.result().weight) == (8, 2, 16.0)
    one = Mine().accumulator(worst=1)
    one.update(y[:4], f[:4], mask=np.isnan(f[:4]))
    assert one.worst[0].index == 1
    few = Mine().accumulator(worst=2)
    few.update(y[:4], f[:4], mask=np.isnan(f[:4]))
    assert [sample[:2] for sample in few.worst] == [(1, 64.0), (3, 64.0)]
    few.update(y[3:4], f[3:4])
    few.update(y, np.where(f == 1.0, 8.0, 0.5))
    assert [sample.index for sample in few.worst] == [1, 3]  # of equal ones the earliest
    infinite = Mine().accumulator()
    infinite.update(y[:2], np.array([np.inf, 1.0]))
    assert infinite.result().value == math.inf == Mine()(y[:2], np.array([np.inf, 1.0]))


def test_the_worst_of_both_are_numbered_through(data):
    whole = accumulated(LOSS, data, [], worst=7)
    parts = [accumulated(LOSS, {name: a[k] for name, a in data.items()}, [], worst=7)
             for k in (slice(0, 9000), slice(9000, 9001), slice(9001, N))]
    assert (parts[0] + parts[1] + parts[2]).worst == whole.worst
    counted = ~data["mask"] & (data["sample_weight"] > 0)
    values = np.where(counted, LOSS.elementwise(data["y_true"], data["y_pred"]), -1)
    assert [sample.index for sample in whole.worst] == np.argsort(-values, kind="stable")[:7].tolist()
    sample = whole.worst[3]
    assert sample == (sample.index, values[sample.index], data["y_true"][sample.index], data["y_pred"][sample.index])
    assert accumulated(LOSS, data, [], worst=0).worst == []


def test_nothing_yet_is_nan():
    acc = LOSS.accumulator()
    acc.update(np.zeros(0), np.zeros(0))
    acc.update(np.zeros(3), np.ones(3), np.zeros(3))
    row = acc.result()
    assert (row.loss, row.n, row.weight, row.skipped, acc.worst) == ("huber:delta=0.5", 0, 0.0, 3, [])
    assert all(map(math.isnan, (row.value, row.standard_error, acc.min, acc.max)))


# ---- exact sums --------------------------------------------------------------------------------------------------


def test_an_expansion_is_the_sum_without_rounding():
    from fractions import Fraction

    rng = np.random.default_rng(0)
    numbers = (rng.normal(size=3000) * 2.0 ** rng.integers(-1000, 1000, 3000)).tolist()
    parts = expansion(numbers)
    assert sum(map(Fraction, parts)) == sum(map(Fraction, numbers))
    assert len(parts) < EXPANSION
    assert parts[0] == math.fsum(numbers)
    whole = ExactSum()
    for number in numbers:
        whole.add([number])
    assert whole.value() == parts[0]
    assert len(whole.parts) < EXPANSION


def test_small_values_are_not_lost_beside_large_ones():
    acc, one = Mine().accumulator(), np.ones(1)
    acc.update(np.zeros(1), 2.0**27 * one)
    for _ in range(1000):
        acc.update(np.zeros(1), one)
    assert acc.result().value == (2.0**54 + 1000) / 1001 != 2.0**54 / 1001


@pytest.mark.parametrize(("numbers", "wanted"), [
    ([1e308, 1e308, -1.0], math.inf), ([math.inf, 1.0, -1e308], math.inf), ([math.inf, -math.inf, 1.0], math.nan),
    ([math.nan, 1.0], math.nan), ([], 0.0), ([1e308, 1e308, -1e308], math.inf),
])
def test_sums_beyond_float64(numbers, wanted):
    whole = ExactSum()
    whole.add(numbers)
    assert whole.value() == wanted or (math.isnan(wanted) and math.isnan(whole.value()))


def test_a_sum_that_overflows_is_infinite():
    acc = Mine().accumulator()
    for _ in range(2):
        acc.update(np.zeros(BLOCK), np.full(BLOCK, 1.8e152))
    assert acc.result().value == math.inf
    assert (acc + acc).result().value == math.inf


# ---- plain data --------------------------------------------------------------------------------------------------


def test_it_travels_as_json_and_as_pickle(data):
    whole = accumulated(LOSS, data, [BLOCK])
    half = accumulated(LOSS, {name: a[:BLOCK] for name, a in data.items()}, [])
    for copy in (fl.Accumulator.from_dict(json.loads(json.dumps(half.to_dict(), allow_nan=False))),
                 pickle.loads(pickle.dumps(half))):
        copy.update(**{name: a[BLOCK:] for name, a in data.items()})
        assert copy.result() == whole.result()
        assert (copy.worst, copy.min, copy.max) == (whole.worst, whole.min, whole.max)
    empty = fl.Accumulator.from_dict(json.loads(json.dumps(LOSS.accumulator(2).to_dict(), allow_nan=False)))
    assert repr(empty) == "Huber(delta=0.5).accumulator(worst=2)"


def test_losses_without_a_name_come_from_the_caller():
    acc = Mine().accumulator()
    acc.update(np.zeros(2), np.array([1.0, np.inf]))
    data = json.loads(json.dumps(acc.to_dict(), allow_nan=False))
    with pytest.raises(ValueError, match=r"no loss is called 'mine'.*; pass the loss itself as loss="):
        fl.Accumulator.from_dict(data)
    assert fl.Accumulator.from_dict(data, Mine()).result().value == math.inf
    with pytest.raises(ValueError, match=r"loss is huber:delta=0\.5, and data is an accumulator of mine"):
        fl.Accumulator.from_dict(data, LOSS)
    with pytest.raises(ValueError, match="data has schema 2"):
        fl.Accumulator.from_dict(data | {"schema": 2})


# ---- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("update", "error", "message"), [
    ((np.zeros(3), np.zeros(4)), ValueError, "y_true has 3 samples and y_pred has 4"),
    ((np.zeros(4), np.zeros((4, 1))), ValueError, r"y_pred has shape \(4, 1\); scoring takes one-dimensional"),
    ((np.zeros(4), np.zeros(4), np.array([1.0, 1, -1, 1])), ValueError, r"sample_weight\[2\] = -1.0: weights must be"),
    ((np.zeros(4), np.zeros(4), np.ones(3)), ValueError, "sample_weight has 3 samples and y_pred has 4"),
    ((np.zeros(4), np.zeros(4), None, np.zeros(4)), TypeError, "mask has dtype float64"),
])
def test_errors_name_the_argument_and_add_nothing(update, error, message):
    acc = LOSS.accumulator()
    acc.update(np.zeros(4), np.ones(4))
    before = acc.to_dict()
    with pytest.raises(error, match=message):
        acc.update(*update)
    assert acc.to_dict() == before


def test_a_sample_outside_the_domain_is_named_and_nothing_of_its_part_is_kept():
    acc = fl.PoissonDeviance().accumulator()
    y, f = np.zeros(70_000), np.ones(70_000)
    acc.update(y, f)
    before = acc.to_dict()
    for size, place in ((100, 17), (70_000, 66_000)):  # in a part of one block, and after a chunk that was in order
        wrong = f[:size].copy()
        wrong[place] = -1.0
        with pytest.raises(ValueError, match=rf"^y_pred\[{place}\] = -1.0: poisson_deviance needs y_pred to be in"):
            acc.update(y[:size], wrong)
        assert acc.to_dict() == before


@pytest.mark.parametrize(("make", "message"), [
    (lambda: LOSS.accumulator(-1), "worst must be a whole number of samples to keep, 0 or more, found -1"),
    (lambda: fl.CategoricalCrossEntropy(class_weight="balanced").accumulator(), "pass class weights as sample_weight="),
    (lambda: LOSS.scaled("std").accumulator(), "takes its units from all targets, which a stream does not have"),
    (lambda: fl.score([1.0], [1.0], LOSS.scaled("std")), "takes its units from all targets"),
    (lambda: LOSS.accumulator() + Mine().accumulator(), "different kinds cannot be added: Huber"),
    (lambda: LOSS.accumulator(1) + LOSS.accumulator(2), "different kinds cannot be added"),
])
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
    with pytest.raises(TypeError):
        LOSS.accumulator() + 1.0
