"""`loss.catboost()`: the same models as CatBoost's own losses give, and what CatBoost would get wrong without a word."""

import copy
import pickle
import re

import numpy as np
import pytest

import fusedloss as fl

cb = pytest.importorskip("catboost")

from fusedloss.hosts.catboost import BUILT_IN, MeanLoss, _lower_quantile  # noqa: E402

pytestmark = pytest.mark.hosts

ROUNDS = 25
COMMON = {"iterations": ROUNDS, "depth": 4, "learning_rate": 0.1, "random_seed": 0, "thread_count": 1, "verbose": False,
          "allow_writing_files": False}


def data(name):
    """(X, y, weights in float32 as CatBoost keeps them) of a data set that ships with scikit-learn."""
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    if name == "diabetes":
        y = y / 50
    return X, y, np.random.default_rng(0).uniform(0.5, 2.0, len(y)).astype(np.float32)


def raw(model, X):
    return model.predict(X, prediction_type="RawFormulaVal")


def trained(a, X, y, w=None, **more):
    """A model of this objective, with its parameters and from its start, which it is made to remember."""
    start = a.baseline(y, w)
    model = cb.CatBoost(a.params(X.shape[1], **COMMON | more)).fit(cb.Pool(X, y, weight=w, baseline=start))
    model.set_scale_and_bias(1.0, start[0])
    return model


# ---- CatBoost's own losses ---------------------------------------------------------------------------------------

GRADIENT, NEWTON = {"leaf_estimation_method": "Gradient"}, {"leaf_estimation_method": "Newton"}
ROWS = {  # CatBoost's name -> (loss, the leaves of its own that CatBoost must do without, data)
    "RMSE": (fl.SquaredError(), {}, "diabetes"),
    "MAE": (fl.AbsoluteError(), GRADIENT, "diabetes"),
    "Quantile:alpha=0.9": (fl.get("catboost.Quantile", alpha=0.9), GRADIENT, "diabetes"),
    "MAPE": (fl.get("catboost.MAPE"), GRADIENT, "diabetes"),
    "Huber:delta=1": (fl.get("catboost.Huber", delta=1.0), {}, "diabetes"),  # y = 1 is there: a tie at the first step
    "Expectile:alpha=0.7": (fl.get("catboost.Expectile", alpha=0.7), {}, "diabetes"),
    "Lq:q=1.5": (fl.get("catboost.Lq", q=1.5), {}, "diabetes"),
    "Lq:q=3": (fl.get("catboost.Lq", q=3.0), {}, "diabetes"),
    "LogCosh": (fl.LogCosh(), NEWTON, "diabetes"),
    "Poisson": (fl.Poisson(), {}, "diabetes"),
    "Tweedie:variance_power=1.5": (fl.get("catboost.Tweedie", variance_power=1.5), {}, "diabetes"),
    "Logloss": (fl.BinaryCrossEntropy(), {}, "breast_cancer"),
    "CrossEntropy": (fl.BinaryCrossEntropy(), {}, "breast_cancer"),
    "Focal:focal_alpha=0.25;focal_gamma=2": (fl.get("catboost.Focal", focal_alpha=0.25, focal_gamma=2), {}, "breast_cancer"),
}


def test_every_loss_that_has_a_convention_is_compared():
    assert {type(loss) for loss, _, _ in ROWS.values()} == BUILT_IN.keys() - {fl.HalfSquaredError}


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("name", ROWS)
def test_models_are_those_of_the_own_loss(name, weighted):
    """Its own defaults: start value, leaf method, steps per leaf, line search."""
    loss, leaves, source = ROWS[name]
    X, y, w = data(source)
    w = w if weighted else None
    if name == "CrossEntropy":
        y = 0.1 + 0.8 * y
    theirs = cb.CatBoost(COMMON | leaves | {"loss_function": name}).fit(cb.Pool(X, y, weight=w))
    a = loss.catboost()
    more = {"class_names": None} if name == "CrossEntropy" else {}
    if "leaf_estimation_backtracking" not in a.params(X.shape[1], **COMMON):
        more["eval_metric"] = name  # spares the compilation of ours
    ours = trained(a, X, y, w, **more)
    assert np.abs(raw(ours, X) - raw(theirs, X)).max() < 1e-6
    assert np.ptp(raw(ours, X)) > 0.5  # they have learnt something
    for key in ("leaf_estimation_iterations", *leaves):
        assert ours.get_all_params()[key] == theirs.get_all_params()[key]


@pytest.mark.parametrize("class_weights", [[1, 3], {0: 3.0, 1: 1.0}], ids=["list", "dict"])
def test_class_weights(class_weights):
    X, y, w = data("breast_cancer")
    theirs = cb.CatBoostClassifier(**COMMON, loss_function="Logloss", class_weights=class_weights).fit(X, y, sample_weight=w)
    a = fl.BinaryCrossEntropy().catboost()
    ours = cb.CatBoostClassifier(**a.params(class_weights=class_weights, **COMMON)).fit(X, y, sample_weight=w)
    assert np.abs(raw(ours, X) - raw(theirs, X)).max() < 1e-6
    np.testing.assert_allclose(ours.predict_proba(X)[:, 1], a.loss.inverse_link(raw(ours, X)), atol=1e-12)
    assert (ours.predict(X) == theirs.predict(X)).all()
    assert ours.classes_.tolist() == [0, 1]


def test_expectiles_take_five_steps_on_many_features():
    X, y, _ = data("diabetes")
    X = np.hstack([X, X**2])
    loss = ROWS["Expectile:alpha=0.7"][0]
    theirs = cb.CatBoost(COMMON | {"loss_function": "Expectile:alpha=0.7"}).fit(X, y)
    ours = trained(loss.catboost(), X, y)
    assert ours.get_all_params()["leaf_estimation_iterations"] == 5
    assert np.abs(raw(ours, X) - raw(theirs, X)).max() < 1e-6


def test_poisson_takes_ten_steps_on_many_features():
    """The line search would end elsewhere: CatBoost's metric of its own Poisson has float32 logarithms."""
    X, y, w = data("diabetes")
    X, more = np.hstack([X, X**2]), {"leaf_estimation_backtracking": "No"}
    theirs = cb.CatBoost(COMMON | more | {"loss_function": "Poisson"}).fit(cb.Pool(X, y, weight=w))
    ours = trained(fl.Poisson().catboost(), X, y, w, **more)
    assert ours.get_all_params()["leaf_estimation_iterations"] == 10
    assert np.abs(raw(ours, X) - raw(theirs, X)).max() < 1e-12


@pytest.mark.parametrize(("name", "iterations", "n_features", "steps"), [
    ("Logloss", 25, 10, 1), ("Logloss", 25, 20, 10), ("Logloss", 200, 10, 10), ("Expectile:alpha=0.7", 25, 19, 1),
    ("Poisson", 25, 20, 10), ("RMSE", 25, 20, 1)])
def test_steps_per_leaf_are_those_of_the_own_loss(name, iterations, n_features, steps):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, n_features)), rng.integers(0, 2, 50)
    more = {"loss_function": name, "iterations": iterations, "depth": 1}
    there = cb.CatBoost(COMMON | more).fit(X, y).get_all_params()
    a = ROWS[name][0].catboost()
    assert a.params(n_features, iterations=iterations)["leaf_estimation_iterations"] == steps
    assert a.params(n_features, n_estimators=iterations)["leaf_estimation_iterations"] == steps
    assert there["leaf_estimation_iterations"] == steps


@pytest.mark.parametrize("n", [10, 11, 300])
@pytest.mark.parametrize("name", ["RMSE", "MAE", "Quantile:alpha=0.9", "MAPE", "Huber:delta=1"])
def test_start_is_that_of_the_own_loss(name, n):
    """Ties of the targets and of the sums of weights too."""
    rng = np.random.default_rng(n)
    X, y = rng.normal(size=(n, 2)), np.round(rng.gamma(2.0, 2.0, n), 1)
    more = {"loss_function": name, "iterations": 1}
    for w in (None, rng.integers(1, 4, n).astype(np.float32), rng.uniform(0.5, 2.0, n).astype(np.float32)):
        there = cb.CatBoost(COMMON | more).fit(cb.Pool(X, y, weight=w)).get_scale_and_bias()[1]
        start = ROWS[name][0].catboost().baseline(y, w)
        assert (start.shape, start.dtype) == ((n,), np.float64)
        assert np.ptp(start) == 0.0
        assert start[0] == there


def test_lower_quantiles_against_counting():
    rng = np.random.default_rng(0)
    y, w = rng.integers(0, 8, 60).astype(np.float32), rng.integers(1, 4, 60)
    repeated = np.sort(np.repeat(y, w))
    for level in (0.01, 0.25, 0.5, 0.9, 0.999):
        quantile, below, at = _lower_quantile(y, w, level)
        assert quantile == repeated[int(np.ceil(level * repeated.size)) - 1]
        assert below == pytest.approx((repeated < quantile).mean())
        assert at == pytest.approx((repeated == quantile).mean())


# ---- what CatBoost is given --------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("loss", [fl.BinaryCrossEntropy(), fl.Pinball(quantile=0.9)], ids=["cross-entropy", "pinball"])
def test_derivatives_are_a_new_array_of_minus_gradient_and_minus_hessian(loss, weighted):
    rng = np.random.default_rng(0)
    f, y = rng.normal(size=7), rng.integers(0, 2, 7).astype(np.float32)
    w = rng.uniform(0.5, 2.0, 7).astype(np.float32) if weighted else None
    a = loss.catboost()
    ders = a.calc_ders_range(f, y, w)
    assert type(ders) is np.ndarray
    assert (ders.shape, ders.dtype) == ((7, 2), np.float64)
    gradient, hessian = loss.grad_and_hess(y, f)
    if not loss.strict:  # the weight stands there, as in CatBoost's leaves without Hessian
        hessian = np.ones(7)
    expected = -np.stack([gradient, hessian], axis=1)
    np.testing.assert_allclose(ders, expected if w is None else expected * w[:, None], rtol=1e-15)
    assert not np.shares_memory(ders, a.calc_ders_range(f, y, w))
    np.testing.assert_array_equal(a.calc_ders_range(np.repeat(f, 2)[::2], y, w), ders)  # not what a kernel reads


def test_curvatures_of_other_libraries():
    f, y = np.zeros(2), np.array([3.0, 0.0], np.float32)
    ders = fl.Poisson().catboost(hessian="xgboost_3.5").calc_ders_range(f, y, None)
    np.testing.assert_allclose(ders, [[2.0, -5 / 3], [-1.0, -2 / 3]], rtol=1e-15)


def test_squared_error_is_handed_over_in_half_and_whole():
    f, y = np.array([1.0, 4.0]), np.array([2.0, 2.0], np.float32)
    assert fl.SquaredError().catboost().calc_ders_range(f, y, None).tolist() == [[1.0, -1.0], [-2.0, -1.0]]
    assert fl.SquaredError().catboost("exact").calc_ders_range(f, y, None).tolist() == [[2.0, -2.0], [-4.0, -2.0]]


def test_catboost_compiles_nothing_and_passes_chunks():
    """Warnings are errors here: CatBoost warns of methods that it cannot compile. Its `fit` puts compiled ones in place."""
    X, y, _ = data("breast_cancer")
    a = fl.BinaryCrossEntropy().catboost()
    cb.CatBoost(a.params(**COMMON | {"iterations": 2})).fit(np.repeat(X, 4, axis=0), np.repeat(y, 4))
    assert "calc_ders_range" not in vars(a)


def test_whole_weights_are_rows_repeated():
    """Features with few values: repeated rows do not move the borders between them."""
    rng = np.random.default_rng(0)
    X, y, w = rng.integers(0, 6, (120, 4)).astype(float), rng.integers(0, 2, 120), rng.integers(1, 4, 120)
    f = rng.normal(size=120)
    a = fl.BinaryCrossEntropy().catboost()
    once = a.calc_ders_range(f, y.astype(np.float32), w.astype(np.float32))
    often = a.calc_ders_range(np.repeat(f, w), np.repeat(y, w).astype(np.float32), None)
    np.testing.assert_allclose(once.sum(axis=0), often.sum(axis=0), rtol=1e-12)
    params = a.params(bootstrap_type="No", random_strength=0, boosting_type="Plain", **COMMON)
    once = cb.CatBoost(params | {"l2_leaf_reg": 3.0}).fit(X, y, sample_weight=w)
    often = cb.CatBoost(params | {"l2_leaf_reg": 3.0 * w.mean()}).fit(np.repeat(X, w, axis=0), np.repeat(y, w))
    assert np.abs(raw(once, X) - raw(often, X)).max() < 1e-6


# ---- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "more", "says"), [
    (fl.CategoricalCrossEntropy(), {}, "loss_function='MultiClass'"),
    (fl.get("catboost.MultiLogloss"), {}, "'MultiLogloss' or 'MultiCrossEntropy'"),
    (fl.CategoricalFocal(), {}, "loss.xgboost()"),
    (fl.Huber().scaled("std"), {}, "scaled(y.std())"),
    (fl.Huber(), {"compat": "own"}, "'builtin', 'exact'"),
    (fl.Huber(), {"hessian": "fisher"}, "'majorizer'"),
    (fl.Cauchy(), {"hessian": "exact"}, "may be negative"),
], ids=["classes", "labels", "rows", "by data", "compat", "unknown", "negative"])
def test_what_cannot_be_trained_says_what_to_use_instead(loss, more, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        loss.catboost(**more)


def test_a_target_outside_the_domain_is_named():
    X, y, _ = data("diabetes")
    y[7] = -1.0
    with pytest.raises(cb.CatBoostError, match=r"y_true\[7\] = -1.0: poisson needs") as caught:
        cb.CatBoost(fl.Poisson().catboost().params(**COMMON)).fit(X, y)
    assert "of the 442 rows that CatBoost passes" in str(caught.value)


def test_labels_of_several_classes_are_named():
    from sklearn.datasets import load_wine

    X, y = load_wine(return_X_y=True)
    params = fl.BinaryCrossEntropy().catboost().params(class_names=None, **COMMON)
    with pytest.raises(cb.CatBoostError, match=r"y_true\[130\] = 2.0"):
        cb.CatBoost(params).fit(X, y)
    with pytest.raises(cb.CatBoostError, match="loss_function='MultiClass'"):
        cb.CatBoost(params | {"classes_count": 3, "eval_metric": "MultiClass"}).fit(X, y)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 800.0], ids=["NaN", "inf", "overflow"])
def test_derivatives_that_are_not_finite_are_an_error_that_names_the_row(bad):
    a = fl.Poisson().catboost()
    f, y = np.array([0.0, 1.0, bad]), np.ones(3, np.float32)
    with pytest.raises(ValueError, match=rf"target 1.0 and the raw score {bad} \(row 2 of the 3 rows"):
        a.calc_ders_range(f, y, None)
    # a row of weight 0 is not there at all
    w = np.array([1.0, 2.0, 0.0], np.float32)
    ders = a.calc_ders_range(f, y, w)
    np.testing.assert_allclose(ders, [[0.0, -1.0], [2 - 2 * np.e, -2 * np.e], [0.0, 0.0]], rtol=1e-15, atol=1e-15)


def test_a_target_of_weight_0_may_be_anything():
    a = fl.Poisson().catboost()
    y, w = np.array([1.0, -1.0], np.float32), np.array([1.0, 0.0], np.float32)
    assert a.calc_ders_range(np.zeros(2), y, w).tolist() == [[0.0, -1.0], [0.0, 0.0]]


def test_training_on_a_gpu_says_what_to_use_instead():
    with pytest.raises(ValueError, match="own loss_function='Logloss' or 'CrossEntropy'"):
        fl.BinaryCrossEntropy().catboost().params(task_type="GPU")
    with pytest.raises(ValueError, match="train on the CPU"):
        fl.Cauchy().catboost().params(task_type="GPU")


def test_what_the_caller_says_comes_first():
    params = fl.BinaryCrossEntropy().catboost().params(leaf_estimation_iterations=1, class_names=["no", "yes"], depth=4)
    assert (params["leaf_estimation_iterations"], params["class_names"], params["depth"]) == (1, ["no", "yes"], 4)
    assert "leaf_estimation_backtracking" not in params
    params = fl.BinaryCrossEntropy().catboost().params(eval_metric="AUC", class_names=None)
    assert "class_names" not in params
    assert "leaf_estimation_backtracking" not in params  # CatBoost refuses it with a metric of its own
    assert params["leaf_estimation_iterations"] == 10
    assert "class_names" not in fl.Huber().catboost().params()


def test_baseline_says_what_is_wrong():
    a = fl.BinaryCrossEntropy().catboost("exact")
    with pytest.raises(ValueError, match="one class only"):
        a.baseline(np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"must have shape \(n,\)"):
        a.baseline(np.ones((3, 2)))
    with pytest.raises(ValueError, match="sample_weight has shape"):
        a.baseline(np.ones(3), np.ones(2))


# ---- "exact", and losses that CatBoost does not have -------------------------------------------------------------


@pytest.mark.parametrize(("loss", "compat", "method", "curvature"), [
    (fl.BinaryFocal(), "builtin", "Newton", "exact"),
    (fl.BinaryFocal(), "exact", "Newton", "gauss_newton"),
    (fl.Huber(), "exact", "Newton", "majorizer"),
    (fl.Cauchy(), "builtin", "Newton", "majorizer"),
    (fl.TukeyBiweight(), "builtin", "Newton", "constant"),
    (fl.Gamma(), "builtin", "Newton", "exact"),
    (fl.InverseGaussian(), "builtin", "Newton", "fisher"),
    (fl.AbsoluteError(), "exact", "Newton", "majorizer"),
    (fl.Hinge(), "builtin", "Gradient", None),
    (fl.Lq(q=1.5), "exact", "Gradient", None),
    (fl.Lq(q=3.0), "exact", "Newton", "exact"),
    (0.7 * fl.Huber() + 0.3 * fl.Pinball(), "builtin", "Newton", "majorizer"),
], ids=str)
def test_which_curvature(loss, compat, method, curvature):
    a = loss.catboost(compat)
    assert a.params()["leaf_estimation_method"] == method
    assert a._curvature == curvature
    assert curvature is None or compat == "builtin" or loss.curvatures[curvature].positive or loss.convex
    assert loss.catboost(compat, hessian="exact")._curvature == "exact" if loss.convex else True


def test_a_loss_that_catboost_does_not_have_starts_at_its_minimum_and_falls():
    X, y, _ = data("diabetes")
    y = y.astype(np.float32)
    loss = fl.Cauchy(c=0.5)
    a = loss.catboost()
    assert (a.baseline(y) == np.float32(loss.init_score(y))).all()
    model = trained(a, X, y)
    values = model.get_evals_result()["learn"]["MeanLoss"]
    assert (np.diff(values) < 0).all()
    assert values[-1] == pytest.approx(loss(y, raw(model, X)), rel=1e-12)
    assert values[0] < loss(y, a.baseline(y))


def test_exact_quantiles_are_not_held_by_ties():
    """Counts: one in five is the median, where the majorizer 1 / (2 |r|) is infinite and a leaf would never move."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 4))
    y = rng.poisson(np.exp(0.7 * X[:, 0] + 0.5)).astype(float)
    loss = fl.Pinball()
    y = y.astype(np.float32)
    start = loss(y, np.full(1500, np.median(y)))
    a = loss.catboost("exact")
    assert a.params()["leaf_estimation_iterations"] == 10
    params = {"iterations": 60}
    theirs = cb.CatBoost(COMMON | params | {"loss_function": "Quantile:alpha=0.5"}).fit(X, y)
    ours = trained(a, X, y, **params)
    assert loss(y, raw(ours, X)) < 1.03 * loss(y, raw(theirs, X)) < 0.8 * start
    ders = a.calc_ders_range(np.zeros(5), np.array([0.0, 1.0, 1.0, 1.0, 1.0], np.float32), None)
    np.testing.assert_allclose(-ders[:, 1], [10 * 0.5 / 0.8, 0.5, 0.5, 0.5, 0.5])


# ---- the metric --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_the_metric_is_the_mean_loss_and_stops_where_the_own_metric_does(weighted):
    from sklearn.metrics import log_loss

    X, y, w = data("breast_cancer")
    y = np.where(np.random.default_rng(1).random(len(y)) < 0.2, 1 - y, y)  # noise, to stop for
    w = w if weighted else None
    halves = slice(None, 400), slice(400, None)
    parts = [cb.Pool(X[half], y[half], weight=None if w is None else w[half]) for half in halves]
    more = {"iterations": 200, "learning_rate": 0.3, "early_stopping_rounds": 10}
    theirs = cb.CatBoost(COMMON | more | {"loss_function": "Logloss"}).fit(parts[0], eval_set=parts[1])
    a = fl.BinaryCrossEntropy().catboost()
    ours = cb.CatBoost(a.params(**COMMON | more)).fit(parts[0], eval_set=parts[1])
    assert ours.get_best_iteration() == theirs.get_best_iteration() < 100
    for part in ("learn", "validation"):  # CatBoost's logarithms are good to 1e-4
        np.testing.assert_allclose(ours.get_evals_result()[part]["MeanLoss"], theirs.get_evals_result()[part]["Logloss"],
                                   rtol=2e-4)
    best = ours.get_evals_result()["validation"]["MeanLoss"][ours.get_best_iteration()]
    labels = y[halves[1]]
    probabilities = a.loss.inverse_link(raw(ours, X[halves[1]]))
    assert best == pytest.approx(log_loss(labels, probabilities, sample_weight=parts[1].get_weight() if weighted else None),
                                 rel=1e-9)


def test_the_metric_by_itself():
    metric = fl.BinaryCrossEntropy().catboost().metric
    f, y, w = np.array([0.0, np.log(3.0)]), np.array([1.0, 0.0], np.float32), np.array([1.0, 3.0], np.float32)
    assert metric.evaluate((f,), y, w) == pytest.approx((7.0 * np.log(2.0), 4.0), rel=1e-15)
    assert metric.evaluate((f,), y, None) == pytest.approx((3.0 * np.log(2.0), 2.0), rel=1e-15)
    assert metric.get_final_error(7.5, 4.0) == 1.875
    assert np.isnan(metric.get_final_error(0.0, 0.0))
    assert metric.is_max_optimal() is False
    with pytest.raises(ValueError, match="3 scores for each row"):
        metric.evaluate((f, f, f), y, w)


# ---- copies and processes ----------------------------------------------------------------------------------------


def test_copies():
    from sklearn.base import clone

    a = fl.Pinball(quantile=0.9).catboost("exact", hessian="fisher")
    assert repr(a) == "Pinball(quantile=0.9).catboost(compat='exact', hessian='fisher')"
    for one in (a, a.metric):
        again = pickle.loads(pickle.dumps(one))
        assert again == one
        assert hash(again) == hash(one)
        assert copy.deepcopy(one) is one
    assert len(pickle.dumps(a)) < 500
    f, y = np.array([0.0, 1.0]), np.array([0.5, 0.5], np.float32)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(a)).calc_ders_range(f, y, None), a.calc_ders_range(f, y, None))
    estimator = cb.CatBoostRegressor(**a.params(**COMMON))
    assert clone(estimator).get_params()["loss_function"] is a
    assert clone(estimator).get_params()["eval_metric"] == MeanLoss(a.loss)
    clone(cb.CatBoostClassifier(**fl.BinaryCrossEntropy().catboost().params(**COMMON)))  # its class_names too


def test_models_are_pickled_and_saved_with_their_start(tmp_path):
    X, y, _ = data("diabetes")
    model = trained(fl.SquaredError().catboost(), X, y)
    expected = raw(model, X)
    np.testing.assert_array_equal(raw(pickle.loads(pickle.dumps(model)), X), expected)
    model.save_model(tmp_path / "model.cbm")
    np.testing.assert_array_equal(raw(cb.CatBoost().load_model(tmp_path / "model.cbm"), X), expected)


@pytest.mark.process
def test_search_in_two_processes():
    from sklearn.model_selection import GridSearchCV, cross_val_score

    X, y, _ = data("breast_cancer")
    loss = fl.BinaryFocal(alpha=0.25)
    model = cb.CatBoostClassifier(**loss.catboost().params(**COMMON))
    grid, scorer = {"learning_rate": [0.02, 0.2]}, fl.BinaryCrossEntropy().sklearn_scorer()
    here, there = (GridSearchCV(model, grid, cv=3, scoring=scorer, n_jobs=n).fit(X, y) for n in (1, 2))
    np.testing.assert_array_equal(here.cv_results_["mean_test_score"], there.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(raw(here.best_estimator_, X), raw(there.best_estimator_, X))
    assert here.best_params_ == {"learning_rate": 0.2}
    one, two = (cross_val_score(model, X, y, cv=3, scoring=scorer, n_jobs=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
