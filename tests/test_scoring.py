"""`fusedloss.score`: its numbers against NumPy in two passes, their bits, groups, errors, and how they are printed."""

import json
import math

import numpy as np
import pytest

import fusedloss as fl
from fusedloss.evaluate import BLOCK
from fusedloss.registry import parse
from fusedloss.scoring.score import CHUNK, NO_LABEL, Coded, Scorer
from fusedloss.scoring.table import Difference
from fusedloss.scoring.text import number, verdict

LOSSES = ["squared_error", "huber:delta=0.5"]
N = 2 * CHUNK + 5000


def squared(y, f):
    return (f - y) ** 2


def huber(y, f, delta=0.5):
    r = np.abs(f - y)
    return np.where(r <= delta, r * r / 2, delta * (r - delta / 2))


FORMULAS = {"squared_error": squared, "huber:delta=0.5": huber}


def moments(values, w):
    """The mean and its standard error, by their definitions."""
    mean = np.sum(w * values) / np.sum(w)
    return mean, math.sqrt(np.sum(w**2 * (values - mean) ** 2)) / np.sum(w)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(7)
    y = rng.normal(size=N)
    f = {"a": y + rng.normal(size=N), "b": y + 1.02 * rng.normal(size=N)}
    w = np.where(rng.random(N) < 0.1, 0.0, rng.exponential(size=N))
    mask = rng.random(N) < 0.05
    by = np.array(["AA", "B6", "late"])[rng.integers(0, 2, N) + (np.arange(N) > CHUNK + 100)]  # "late" is a late comer
    f["a"][mask.nonzero()[0][0]] = np.nan  # taken out, so it counts for nothing
    f["b"][(w == 0).nonzero()[0][0]] = np.nan
    return {"y_true": y, "y_pred": f, "sample_weight": w, "mask": mask, "by": by}


@pytest.fixture(scope="module")
def scores(data):
    return fl.score(losses=LOSSES, **data)


def bits(scores):
    return [tuple(x.hex() if isinstance(x, float) else x for x in row) for row in [*scores.rows, *scores.differences]]


# ---- the numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", [None, "AA", "B6", "late"])
def test_means_errors_and_paired_differences_are_those_of_numpy(data, scores, group):
    y, f, w = data["y_true"], data["y_pred"], data["sample_weight"]
    kept = ~data["mask"] & (w > 0) & ((data["by"] == group) | (group is None))
    taken_out = np.count_nonzero((data["by"] == group) | (group is None)) - kept.sum()
    for loss, formula in FORMULAS.items():
        values = {name: formula(y[kept], f[name][kept]) for name in f}
        for name in f:
            row = scores[loss, name, group]
            assert (row.value, row.standard_error) == pytest.approx(moments(values[name], w[kept]), rel=1e-12)
            assert (row.n, row.skipped) == (kept.sum(), taken_out)
            assert row.weight == pytest.approx(w[kept].sum(), rel=1e-14)
        pair = next(d for d in scores.differences if (d.loss, d.group) == (loss, group))
        assert (pair.pred, pair.baseline, pair.n) == ("b", "a", kept.sum())
        expected = moments(values["b"] - values["a"], w[kept])
        assert (pair.value, pair.standard_error) == pytest.approx(expected, rel=1e-10)
        assert pair.z == pair.value / pair.standard_error


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("names", [[], ["sample_weight"], ["mask"], ["sample_weight", "mask"]], ids=",".join)
def test_one_prediction_without_groups_has_the_same_errors(names, dtype):
    """The loss's own kernel makes the second moments then, without values; here beside those made from values."""
    rng, n = np.random.default_rng(3), CHUNK + 2 * BLOCK + 77
    y, f = rng.normal(size=(2, n)).astype(dtype)
    f[:BLOCK] += 1e3  # a block far from the others
    given = {"sample_weight": rng.integers(0, 3, n).astype(dtype), "mask": rng.random(n) < 0.3}
    given["mask"][2 * BLOCK: 4 * BLOCK] = True
    given = {name: given[name] for name in names}
    w = given.get("sample_weight", np.ones(n)).astype(float) * ~given.get("mask", np.zeros(n, bool))
    row = fl.score(y, f, ["half_squared_error"], **given)["half_squared_error"]
    grouped = fl.score(y, f, ["half_squared_error"], by=np.zeros(n, int), **given)["half_squared_error"]
    values = (dtype(0.5) * (f - y) ** 2).astype(np.float64)
    assert (row.value, row.standard_error) == pytest.approx(moments(values, w), rel=1e-12)
    assert row.standard_error == pytest.approx(grouped.standard_error, rel=1e-13)
    assert row._replace(standard_error=0) == grouped._replace(standard_error=0)
    one = fl.score(y, {"a": f, "b": f}, ["half_squared_error"], **given)
    assert one["half_squared_error", "a"].standard_error == pytest.approx(row.standard_error, rel=1e-13)
    assert one.differences[0].standard_error == 0


def test_a_mean_far_from_zero_and_drifting_costs_no_digits():
    rng = np.random.default_rng(1)
    y = np.zeros(3 * CHUNK)
    f = rng.normal(size=y.size) + np.repeat([1e3, 2e6, -3e6], CHUNK)
    row = fl.score(y, f, fl.HalfSquaredError())["half_squared_error"]
    values = (0.5 * f * f).astype(np.longdouble)
    expected = moments(values, np.ones(y.size))
    assert (row.value, row.standard_error) == pytest.approx([float(x) for x in expected], rel=1e-13)
    near = 1e9 + rng.normal(size=CHUNK)  # sum(l^2) - n mean^2 would have no digit left
    row = fl.score(np.zeros(CHUNK), near, "half_squared_error")["half_squared_error"]
    assert row.standard_error == pytest.approx((0.5 * near**2).std() / math.sqrt(CHUNK), rel=1e-6)


def test_the_mean_is_the_loss_itself_bit_for_bit(data, scores):
    y, f = data["y_true"], data["y_pred"]
    plain = fl.score(y, {"b": np.nan_to_num(f["b"])}, LOSSES)
    for loss in LOSSES:
        made = parse(loss)
        assert plain[loss].value == made(y, np.nan_to_num(f["b"]), executor="serial")
        assert scores[loss, "b"].value == made(y, f["b"], data["sample_weight"], mask=data["mask"], executor="serial")


def test_one_array_alone_is_called_pred(data):
    scores = fl.score(data["y_true"], np.nan_to_num(data["y_pred"]["b"]), fl.Huber(delta=0.5))
    assert [row[:3] for row in scores] == [("huber:delta=0.5", "pred", None)]
    assert scores.differences == []
    assert scores.rows_read == N


def test_integer_weights_are_repeated_rows():
    rng = np.random.default_rng(3)
    y, f, w = rng.normal(size=500), rng.normal(size=500), rng.integers(0, 4, 500)
    weighted = fl.score(y, f, LOSSES, w)
    repeated = fl.score(np.repeat(y, w), np.repeat(f, w), LOSSES)
    for loss in LOSSES:
        assert weighted[loss].value == pytest.approx(repeated[loss].value, rel=1e-14)
        assert weighted[loss].weight == repeated[loss].n


# ---- the same bits -----------------------------------------------------------------------------------------------


def test_threads_change_no_bit(data, scores):
    for threads in (1, 2):
        assert bits(fl.score(losses=LOSSES, n_threads=threads, **data)) == bits(scores)


def test_parts_change_no_bit(data, scores):
    scorer = Scorer(LOSSES, data["y_pred"])
    for part in (slice(0, CHUNK), slice(CHUNK, N)):
        scorer.update(data["y_true"][part], {name: f[part] for name, f in data["y_pred"].items()},
                      data["sample_weight"][part], data["by"][part], data["mask"][part])
    assert bits(scorer.result()) == bits(scores)


def test_codes_change_no_bit(data, scores):
    labels, codes = np.unique(data["by"], return_inverse=True)
    coded = Coded(codes.astype(np.int32), [str(name) for name in labels])
    assert bits(fl.score(losses=LOSSES, **data | {"by": coded})) == bits(scores)
    assert bits(fl.score(losses=LOSSES, **data | {"by": data["by"].astype(object)})) == bits(scores)


# ---- groups ------------------------------------------------------------------------------------------------------


def test_no_label_is_a_group_of_its_own():
    y, f = np.zeros(5), np.arange(5.0)
    scores = fl.score(y, f, "squared_error", by=np.array(["x", None, "x", float("nan"), "y"], object))
    found = {row.group: (row.n, row.value) for row in scores}
    assert found == {None: (5, 6.0), NO_LABEL: (2, 5.0), "x": (2, 2.0), "y": (1, 16.0)}
    assert fl.score(y, f, "squared_error", by=[1.0, np.nan, 1.0, 2.0, np.nan])["squared_error", "pred", NO_LABEL].n == 2


def test_groups_come_in_the_order_of_their_labels():
    scores = fl.score(np.zeros(6), np.arange(6.0), "squared_error", by=[10, 9, 2, 10, 9, 2])
    assert [row.group for row in scores] == [None, 2, 9, 10]
    assert scores["squared_error", "pred", 9].value == (1 + 16) / 2


def test_a_nan_stays_in_its_group():
    f = np.array([1.0, np.nan, 3.0, 4.0])
    scores = fl.score(np.zeros(4), f, "squared_error", by=["a", "a", "b", "b"])
    assert math.isnan(scores["squared_error"].value)
    assert math.isnan(scores["squared_error", "pred", "a"].value)
    assert scores["squared_error", "pred", "b"].value == 12.5
    assert scores["squared_error", "pred", "b"].standard_error == pytest.approx(math.sqrt(2 * 3.5**2) / 2)


def test_an_infinite_loss_is_infinite_and_null_in_json():
    scores = fl.score([0.0, 0.0], [np.inf, 1.0], "squared_error")
    assert scores["squared_error"].value == math.inf
    assert math.isnan(scores["squared_error"].standard_error)
    plain = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert (plain["results"][0]["value"], plain["results"][0]["standard_error"]) == (None, None)


@pytest.mark.parametrize("out", [{}, {"mask": np.ones(3, bool)}, {"sample_weight": np.zeros(3)}])
def test_nothing_to_average_is_nan(out):
    size = 3 if out else 0
    row = fl.score(np.zeros(size), np.ones(size), "squared_error", **out)["squared_error"]
    assert math.isnan(row.value)
    assert math.isnan(row.standard_error)
    assert (row.n, row.skipped) == (0, size)


# ---- looking up --------------------------------------------------------------------------------------------------


def test_rows_are_found_by_any_spelling(scores):
    row = scores["huber:delta=0.5", "a"]
    assert scores["huber:delta=.5", "a"] is row
    assert scores[fl.Huber(delta=0.5), "a"] is row
    assert len(scores) == len(list(scores)) == 2 * 2 * 4
    with pytest.raises(KeyError, match=r"a row for each of 'a', 'b': ask for scores\[loss, prediction\]"):
        scores["squared_error"]
    with pytest.raises(KeyError, match=r"no row for .*losses: 'squared_error', 'huber:delta=0.5'; predictions: 'a'"):
        scores["absolute_error", "a"]


def test_to_dict_is_plain_data(scores):
    plain = scores.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["results"][0] == scores.rows[0]._asdict()
    assert plain["rows_read"] == N


# ---- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "message"), [
    ({"y_pred": {"a": np.zeros(3)}}, r"y_pred\['a'\] has 3 samples and y_true has 4"),
    ({"y_pred": np.zeros((4, 2))}, r"y_pred has shape \(4, 2\); scoring takes one-dimensional"),
    ({"losses": []}, "nothing to score"),
    ({"losses": ["huber", "huber"]}, "losses holds 'huber' twice"),
    ({"by": ["a", "b"]}, r"by has shape \(2,\)"),
    ({"sample_weight": [1, 1, -1, 1]}, r"sample_weight\[2\] = -1: weights must be finite"),
    ({"y_pred": {"a": np.ones(4), "b": np.array([1.0, 1, 0, 1])}, "losses": "poisson_deviance"},
     r"y_pred\['b'\]\[2\] = 0.0: poisson_deviance needs y_pred\['b'\] to be in"),
    ({"y_pred": np.array([1.0, 1, 0, 1]), "losses": "poisson_deviance"}, r"y_pred\[2\] = 0.0: .* needs y_pred to be"),
])
def test_errors_name_the_argument_the_place_and_the_value(arguments, message):
    given = {"y_true": np.zeros(4), "y_pred": np.ones(4), "losses": "squared_error"} | arguments
    with pytest.raises(ValueError, match=message):
        fl.score(**given)


def test_errors_count_from_the_first_sample_of_the_stream():
    scorer = Scorer("poisson_deviance", ["a"], target="claims", pred_names=["model"], weight="exposure")
    y, f, w = np.zeros(2 * CHUNK), np.ones(2 * CHUNK), np.ones(2 * CHUNK)
    scorer.update(y, {"a": f}, w)
    y[CHUNK + 17] = -1
    with pytest.raises(ValueError, match=rf"^claims\[{3 * CHUNK + 17}\] = -1.0: poisson_deviance needs claims to be"):
        scorer.update(y, {"a": f}, w)
    w[CHUNK + 5] = np.nan
    with pytest.raises(ValueError, match=rf"^exposure\[{3 * CHUNK + 5}\] = nan"):
        scorer.update(y, {"a": f}, w)


# ---- as text -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "error", "text"), [
    (1424.2956, 29.598, ("1,424", "30")),
    (24.272435, 0.10054, ("24.27", "0.10")),
    (-0.0522597, 0.0121, ("-0.052", "0.012")),
    (123456.0, 1234.0, ("123,500", "1,200")),
    (0.0, 0.25, ("0.00", "0.25")),
    (3.25e-12, 4.4e-14, ("3.250e-12", "4.4e-14")),
    (1.5e20, 2e18, ("1.500e+20", "2.0e+18")),
    (0.25, 0.0, ("0.25", "0")),
    (math.inf, math.nan, ("inf", "?")),
    (math.nan, math.nan, ("nan", "?")),
])
def test_a_number_has_the_digits_its_error_supports(value, error, text):
    assert number(value, error) == text


@pytest.mark.parametrize(("value", "error", "n", "words"), [
    (-2.0, 1.0, 100, "b better"),
    (2.0, 1.0, 100, "a better"),
    (1.9, 1.0, 100, "no clear difference"),
    (9.0, 1.0, 29, "fewer than 30 rows"),
    (0.0, 0.0, 100, "the same"),
    (math.nan, math.nan, 100, "no clear difference"),
])
def test_a_difference_in_words(value, error, n, words):
    assert verdict(Difference("huber", "b", "a", None, value, error, n, float(n), 0)) == words
