"""Metrics beside the losses: against scikit-learn and the definitions, weights, groups, masks, parts, errors."""

import json
import math

import numpy as np
import pytest
from sklearn import metrics as sk

import fusedloss as fl
from fusedloss.scoring.metrics import METRICS, area_under_curve, parse_metric
from fusedloss.scoring.score import CHUNK, Scorer

N = CHUNK + 20_000
SKLEARN = {
    "accuracy": lambda y, p, w: sk.accuracy_score(y, p >= 0.5, sample_weight=w),
    "precision": lambda y, p, w: sk.precision_score(y, p >= 0.5, sample_weight=w),
    "recall": lambda y, p, w: sk.recall_score(y, p >= 0.5, sample_weight=w),
    "f1": lambda y, p, w: sk.f1_score(y, p >= 0.5, sample_weight=w),
    "f1:threshold=0.3": lambda y, p, w: sk.f1_score(y, p >= 0.3, sample_weight=w),
    "auc": lambda y, p, w: sk.roc_auc_score(y, p, sample_weight=w),
    "log_loss": lambda y, p, w: sk.log_loss(y, p, sample_weight=w),
    "brier": lambda y, p, w: sk.brier_score_loss(y, p, sample_weight=w),
    "r2": lambda y, p, w: sk.r2_score(y, p, sample_weight=w),
    "mae": lambda y, p, w: sk.mean_absolute_error(y, p, sample_weight=w),
    "rmse": lambda y, p, w: sk.root_mean_squared_error(y, p, sample_weight=w),
}
NAMES = [*SKLEARN, "auc:bins=64", "ece"]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    p = np.clip(rng.random(N).round(3), 1e-3, 1 - 1e-3)  # with ties, some at the threshold and at the edges of bins
    return {"y_true": (rng.random(N) < p).astype(np.int8), "y_pred": p,
            "sample_weight": np.where(rng.random(N) < 0.1, 0.0, rng.exponential(size=N)),
            "mask": rng.random(N) < 0.05, "by": rng.integers(0, 3, N)}


def ece(y, p, w, bins=10):
    """By its definition, and its bins."""
    edges = np.linspace(0, 1, bins + 1)
    found = []
    for k in range(bins):
        inside = (p > edges[k]) & (p <= edges[k + 1])
        if w[inside].sum():
            found.append((w[inside].sum(), *(np.average(a[inside], weights=w[inside]) for a in (p, y))))
    weight, pred, target = np.array(found).T
    return (weight * abs(pred - target)).sum() / weight.sum(), found


# ---- the numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [(), ("sample_weight", "by"), ("mask", "by")], ids=["plain", "weighted", "masked"])
def test_metrics_are_those_of_scikit_learn(data, names):
    y, p = data["y_true"], data["y_pred"]
    scores = fl.score(y, p, [], metrics=NAMES, **{name: data[name] for name in names})
    for group in [None, *([0, 1, 2] if "by" in names else [])]:
        kept = np.ones(N, bool) if group is None else data["by"] == group
        if "mask" in names:
            kept &= ~data["mask"]
        w = data["sample_weight"][kept] if "sample_weight" in names else np.ones(kept.sum())
        for name, reference in SKLEARN.items():
            row = scores.metric(name, group=group)
            assert row.value == pytest.approx(reference(y[kept], p[kept], w), rel=1e-12), name
            assert row.n == np.count_nonzero(w)
        exact, binned = scores.metric("auc", group=group).value, scores.metric("auc:bins=64", group=group)
        assert 0 < abs(binned.value - exact) <= binned.details["bound"] < 0.01
        found, wanted = scores.metric("ece", group=group), ece(y[kept], p[kept], w)
        assert found.value == pytest.approx(wanted[0], rel=1e-11)
        assert [(b["weight"], b["pred"], b["target"]) for b in found.details["bins"]] == [
            pytest.approx(b, rel=1e-11) for b in wanted[1]]


def test_standard_errors_are_those_of_means(data):
    y, p, w = data["y_true"], data["y_pred"], data["sample_weight"]
    called = p >= 0.5
    scores = fl.score(y, p, [], w, metrics=["accuracy", "precision", "recall", "rmse", "mae", "f1"])
    for name, right, of in (("accuracy", called == y, np.ones(N, bool)), ("precision", y == 1, called),
                            ("recall", called, y == 1)):
        mean = np.average(right[of], weights=w[of])
        error = math.sqrt((w[of] ** 2 * (right[of] - mean) ** 2).sum()) / w[of].sum()
        assert scores.metric(name).standard_error == pytest.approx(error, rel=1e-12)
    squared = fl.score(y, p, "mse", w)["mse"]
    assert scores.metric("rmse").standard_error == pytest.approx(squared.standard_error / (2 * math.sqrt(squared.value)))
    assert math.isnan(scores.metric("f1").standard_error)


def test_metrics_of_losses_are_the_losses_and_add_no_rows(data):
    y, p = data["y_true"], {"a": data["y_pred"], "b": data["y_pred"] ** 2}
    scores = fl.score(y, p, ["mae"], metrics=["mae", "rmse", "log_loss"])
    assert [row.loss for row in scores] == ["mae", "mae"]
    assert len(scores.differences) == 1
    assert scores.metric("mae", "b").value == scores["mae", "b"].value == fl.AbsoluteError()(y, p["b"])
    assert scores.metric("rmse", "a").value == math.sqrt(fl.SquaredError()(y, p["a"]))
    assert [(row.metric, row.pred) for row in scores.metrics] == [
        ("mae", "a"), ("mae", "b"), ("rmse", "a"), ("rmse", "b"), ("log_loss", "a"), ("log_loss", "b")]


def test_raw_scores_are_logits_where_it_is_said(data):
    y, p = data["y_true"], data["y_pred"]
    logits = np.log(p / (1 - p)).astype(np.float32)
    names = [("accuracy", "accuracy:from_logits=true"), ("auc", "auc"), ("ece:bins=7", "ece:bins=7,from_logits=true")]
    probabilities = fl.score(y, p, [], metrics=[name for name, _ in names])
    raw = fl.score(y, logits, [], metrics=[*[name for _, name in names], "auc:bins=500,from_logits=true"])
    for name, of_logits in names:
        assert raw.metric(of_logits).value == pytest.approx(probabilities.metric(name).value, rel=1e-6)
    binned = raw.metric("auc:bins=500,from_logits=true")
    assert abs(binned.value - raw.metric("auc").value) <= binned.details["bound"] < 0.002
    infinite = fl.score([0, 1, 1], [-np.inf, np.inf, 2.0], [], metrics=["auc:bins=500,from_logits=true"])
    assert infinite.metrics[0][3] == 1.0


def test_intervals(data):
    y, w = data["y_pred"] ** 2, data["sample_weight"]
    low, high = data["y_pred"] - 0.2, (data["y_pred"] + 0.1).astype(np.float32)
    scores = fl.score(y, {}, [], w, data["by"], metrics=["coverage", "width"], intervals={"80 %": (low, high)})
    for group in (None, 0, 1, 2):
        kept = np.ones(N, bool) if group is None else data["by"] == group
        inside = (low <= y) & (y <= high)
        assert scores.metric("coverage", group=group).value == pytest.approx(np.average(inside[kept], weights=w[kept]))
        assert scores.metric("width", "80 %", group).value == pytest.approx(np.average((high - low)[kept], weights=w[kept]))
    row = scores.metric("coverage")
    error = math.sqrt((w**2 * (inside - row.value) ** 2).sum()) / w.sum()
    assert row.standard_error == pytest.approx(error, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("F", [np.float32, np.float64])
def test_the_area_counts_every_pair(weighted, F):
    rng = np.random.default_rng(9)
    a, b = rng.integers(0, 9, 70).astype(F), rng.integers(3, 12, 50).astype(F)
    v, w = (rng.random(70), rng.random(50)) if weighted else (None, None)
    pairs = (a[:, None] < b) + 0.5 * (a[:, None] == b)
    wanted = np.average(pairs, weights=np.outer(v, w) if weighted else None)
    assert area_under_curve(a, v, b, w) == pytest.approx(wanted, rel=1e-15 if not weighted else 1e-14)
    assert area_under_curve(a[:1], None if v is None else v[:1], b[:1], None if w is None else w[:1]) in (0.0, 0.5, 1.0)
    assert math.isnan(area_under_curve(a[:0], None if v is None else v[:0], b, w))


# ---- parts and threads -------------------------------------------------------------------------------------------


def test_threads_and_parts_change_no_bit(data):
    names = [*NAMES, "auc:bins=10"]
    data = {name: a for name, a in data.items() if name != "mask"}
    wanted = fl.score(losses=["mae"], metrics=names, n_threads=1, **data).metrics
    assert [*map(repr, fl.score(losses=["mae"], metrics=names, n_threads=2, **data).metrics)] == [*map(repr, wanted)]
    scorer = Scorer(["mae"], ["pred"], metrics=names)
    for part in (slice(0, CHUNK), slice(CHUNK, N)):
        scorer.update(data["y_true"][part], data["y_pred"][part], data["sample_weight"][part], data["by"][part])
    assert [*map(repr, scorer.result().metrics)] == [*map(repr, wanted)]


def test_groups_that_come_late():
    y, p = np.tile([0.0, 1.0], CHUNK // 2 + 50), np.tile([0.3, 0.6], CHUNK // 2 + 50)
    scorer = Scorer([], ["pred"], metrics=["accuracy", "auc", "r2", "ece", "auc:bins=4"])
    by = np.where(np.arange(y.size) < CHUNK, "early", "late")
    for part in (slice(0, CHUNK), slice(CHUNK, None)):
        scorer.update(y[part], p[part], by=by[part])
    scores = scorer.result()
    for metric, wanted in (("accuracy", 1.0), ("auc", 1.0), ("r2", 1 - 0.125 / 0.25), ("ece", 0.35), ("auc:bins=4", 1.0)):
        for group, n in ((None, CHUNK + 100), ("early", CHUNK), ("late", 100)):
            row = scores.metric(metric, group=group)
            assert (row.value, row.n) == (pytest.approx(wanted, rel=1e-12), n), (metric, group)


def test_r2_far_from_zero_and_with_groups_apart():
    rng = np.random.default_rng(2)
    by = rng.integers(0, 2, 2 * CHUNK)
    y = rng.normal(size=by.size) + 1e6 * by + np.repeat([1e3, -1e3], CHUNK)
    f = y + 0.1 * rng.normal(size=y.size)
    scores = fl.score(y, f, [], by=by, metrics="r2")
    for group in (None, 0, 1):
        kept = by == group if group is not None else np.ones(by.size, bool)
        yy, ff = y[kept].astype(np.longdouble), f[kept].astype(np.longdouble)
        share = float(((yy - ff) ** 2).sum() / ((yy - yy.mean()) ** 2).sum())
        assert 1 - scores.metric("r2", group=group).value == pytest.approx(share, rel=1e-9)


# ---- what is not a number ----------------------------------------------------------------------------------------


def test_a_nan_that_counts_makes_a_metric_nan_in_its_group():
    y, p, by = [0, 1, 0, 1], [0.2, np.nan, 0.3, 0.9], ["a", "a", "b", "b"]
    y = np.array(y, np.int8)
    scores = fl.score(y, np.array(p), [], by=np.array(by), metrics=list(METRICS[:11]))
    assert {row.metric for row in scores.metrics if row.group in (None, "a") and not math.isnan(row.value)} == set()
    assert {row.metric for row in scores.metrics if row.group == "b" and math.isnan(row.value)} == set()
    masked = fl.score(y, np.array(p), [], mask=np.isnan(p), metrics=["auc", "accuracy"])
    assert [row.value for row in masked.metrics] == [1.0, 1.0]
    json.dumps(scores.to_dict(), allow_nan=False)


@pytest.mark.parametrize("y", [np.zeros(5, int), np.ones(5, int)])
def test_one_class_alone(y):
    scores = fl.score(y, np.full(5, 0.7), [], metrics=["auc", "auc:bins=9", "precision", "recall", "r2"])
    assert math.isnan(scores.metric("auc").value)
    assert math.isnan(scores.metric("auc:bins=9").value)
    assert scores.metric("precision").value == y[0]
    assert scores.metric("recall").value == 1.0 or math.isnan(scores.metric("recall").value)
    assert math.isnan(scores.metric("r2").value)


def test_samples_without_weight_are_out_with_whatever_they_hold():
    y, p, w = np.array([0.0, 1, -1, 1]), np.array([0.3, 0.6, 7.0, np.nan]), np.array([1.0, 2, 0, 0])
    names = ["accuracy", "auc", "ece", "r2", "auc:bins=5"]
    found = fl.score(y, p, [], w, metrics=names)
    assert [row[3:] for row in found.metrics][:1] == [(1.0, 0.0, 2, 3.0, 2, None)]
    wanted = fl.score(y[:2], p[:2], [], w[:2], metrics=names)
    assert [row.value for row in found.metrics] == [row.value for row in wanted.metrics]


def test_zeros_of_both_signs_are_a_tie():
    assert fl.score([0, 1], [0.0, -0.0], [], metrics="auc").metrics[0].value == 0.5


def test_nothing_counts():
    scores = fl.score(np.zeros(3, np.int8), np.ones(3), [], np.zeros(3), metrics=list(METRICS[:11]))
    assert all(math.isnan(row.value) for row in scores.metrics)


# ---- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "message"), [
    ({"y_true": np.array([0.0, 1, -1, 1])}, r"y_true\[2\] = -1.0: this metric needs y_true to be 0 or 1; encode the two"),
    ({"y_pred": np.array([0.0, 1, 3, 1])}, r"y_pred\[2\] = 3.0: .* in \[0, 1\]; for raw scores pass from_logits=true"),
    ({"y_pred": {"a": np.array([0.0, 2, 3, 1])}, "mask": np.array([True, False, False, False])},
     r"y_pred\['a'\]\[1\] = 2.0: this metric"),
    ({"metrics": "ece", "y_true": np.array([0.0, 1, 0, 2])},
     r"y_true\[3\] = 2.0: this metric needs y_true to be in \[0, 1\]"),
    ({"y_pred": np.zeros((4, 2)), "losses": fl.CategoricalCrossEntropy(), "y_true": np.zeros(4, int)},
     r"y_pred has shape \(4, 2\); metrics take one number per sample"),
    ({"metrics": ["accuracy", "accuracy"]}, "metrics holds 'accuracy' twice"),
    ({"metrics": "coverage"}, "coverage needs an interval: pass intervals="),
    ({"intervals": {"i": (np.zeros(4), np.ones(4))}}, "there are intervals and no metric of them"),
    ({"metrics": ["accuracy", "width"], "intervals": {"i": (np.zeros(3), np.ones(4))}}, r"i \(lower\) has 3 samples"),
    ({"y_pred": {}, "intervals": {"i": (np.zeros(4), np.ones(4))}, "metrics": ["accuracy", "width"]},
     "accuracy needs a prediction"),
    ({"metrics": ["width"], "intervals": {"i": (np.zeros(4), np.ones(4))}}, "there are predictions, and no loss or metric"),
])
def test_errors_name_the_argument_the_place_and_the_value(arguments, message):
    given = {"y_true": np.array([0.0, 1, 0, 1]), "y_pred": np.full(4, 0.5), "losses": [], "metrics": "accuracy"} | arguments
    with pytest.raises(ValueError, match=message):
        fl.score(**given)


@pytest.mark.parametrize(("text", "message"), [
    ("acuracy", "no metric is called 'acuracy'; did you mean 'accuracy'"),
    ("auc:size=3", "auc has no parameter 'size'; it has 'bins'"),
    ("mae:bins=3", "mae has no parameter 'bins'; it has none"),
    ("auc:bins=2.5", "bins must be a whole number from 1 to 1,000,000, found 2.5"),
    ("ece:bins=0", "bins must be a whole number"),
    ("f1:threshold=high", "threshold must be a number, found 'high'"),
    ("f1:from_logits=1", "from_logits must be true or false, found 1.0"),
])
def test_metrics_that_there_are_not(text, message):
    with pytest.raises(ValueError, match=message):
        parse_metric(text)


def test_a_metric_is_looked_up_by_name_prediction_and_group():
    scores = fl.score(np.array([0, 1]), {"a": np.array([0.1, 0.9]), "b": np.array([0.9, 0.1])}, [], metrics="auc")
    assert (scores.metric("auc", "a").value, scores.metric("auc", "b").value) == (1.0, 0.0)
    with pytest.raises(KeyError, match="more than one metric 'auc' of None for None; metrics: 'auc'; predictions: 'a', 'b'"):
        scores.metric("auc")
    with pytest.raises(KeyError, match="no metric 'f1'"):
        scores.metric("f1", "a")
