"""Losses as XGBoost calls them: its built-in objectives reproduced, and what it would get wrong in silence refused."""

import copy
import functools
import importlib.util
import json
import pickle
import re

import numpy as np
import pytest

import fusedloss as fl

xgb = pytest.importorskip("xgboost")
pytestmark = pytest.mark.hosts

from fusedloss.hosts import xgboost as host  # noqa: E402

OPTIONS = {"max_depth": 4, "nthread": 1, "seed": 0}
RENEWING = host.VERSION < (3, 4)


@functools.cache
def data(name):
    """(X, y, weights) of a data set that scikit-learn ships."""
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return X, y, np.random.default_rng(0).uniform(0.5, 2.0, len(y))


def margins(booster, X):
    return booster.predict(xgb.DMatrix(X), output_margin=True)


def splits(booster):
    """The trees without the values of their leaves."""
    return [re.sub(r"leaf=\S+", "leaf", tree) for tree in booster.get_dump()]


def base_score(booster):
    text = json.loads(booster.save_config())["learner"]["learner_model_param"]["base_score"]
    return np.array(json.loads(text))


# ---- the built-in objectives -------------------------------------------------------------------------------------


def small(y):
    return y / 100


def two_columns(y):
    return np.stack([y, np.sqrt(y)], axis=1)


def two_labels(y):
    return np.stack([y % 2, y > 4], axis=1)


ROWS = {  # name: loss, data set, targets, parameters of the built-in beside ours, whether it is reproduced to the last bit
    "squared": (fl.SquaredError(), "diabetes", None, {}, True),
    "multi-target": (fl.HalfSquaredError(), "diabetes", two_columns, {}, True),
    "pseudo-huber": (fl.PseudoHuber(delta=2.0), "diabetes", small, {}, True),
    "absolute": (fl.AbsoluteError(), "diabetes", None, {}, RENEWING),
    "absolute, multi-target": (fl.AbsoluteError(), "diabetes", two_columns, {}, RENEWING),
    "quantile": (fl.Pinball(quantile=0.9), "diabetes", None, {}, RENEWING),
    "quantiles": (fl.MultiQuantile(levels=(0.1, 0.5, 0.9)), "diabetes", None, {}, RENEWING),
    "squared log": (fl.SquaredLogError(), "diabetes", small, {}, False),
    "poisson": (fl.Poisson(), "diabetes", None, {}, False),
    "gamma": (fl.Gamma(), "diabetes", None, {}, False),
    "tweedie": (fl.Tweedie(power=1.3), "diabetes", None, {}, False),
    "logistic": (fl.BinaryCrossEntropy(), "breast_cancer", None, {}, False),
    "weighted": (fl.BinaryCrossEntropy().weighted([1.0, 3.0]), "breast_cancer", None, {"scale_pos_weight": 3.0}, False),
    "pos_weight": (fl.BinaryCrossEntropy(pos_weight=3.0), "breast_cancer", None, {"scale_pos_weight": 3.0}, False),
    "hinge": (fl.Hinge(), "breast_cancer", None, {}, True),
    "multilabel": (fl.MultilabelBinaryCrossEntropy(), "digits", two_labels, {}, False),
    "softmax": (fl.CategoricalCrossEntropy(), "digits", None, {}, False),
}
if host.VERSION >= (3, 3):
    ROWS["expectile"] = (fl.Expectile(quantile=0.8), "diabetes", None, {}, True)
BOTH = ("squared", "absolute", "quantile", "logistic", "softmax")  # without weights the rest differs in nothing


@pytest.mark.parametrize(("name", "weighted"), [(name, True) for name in ROWS] + [(name, False) for name in BOTH])
def test_built_in_objectives_are_reproduced(name, weighted):
    loss, source, transform, more, to_the_bit = ROWS[name]
    X, y, w = data(source)
    y, w = y if transform is None else transform(y), w if weighted else None
    a, dtrain = loss.xgboost(), xgb.DMatrix(X, label=y, weight=w)
    params = a.params(dtrain, start="xgboost", **OPTIONS)
    ours = xgb.train(params, dtrain, 25, obj=a)
    peer = xgb.train({**params, "base_score": None, **more}, dtrain, 25)

    found, expected = margins(ours, X), margins(peer, X)
    assert splits(ours) == splits(peer)
    assert np.abs(found - expected).max() <= (0.0 if to_the_bit else 1e-6 * np.ptp(expected))
    found, expected = ours.predict(dtrain), peer.predict(dtrain)
    np.testing.assert_allclose(found, expected, rtol=5e-6, atol=1e-6 * np.ptp(expected))
    np.testing.assert_allclose(base_score(ours), base_score(peer), rtol=1e-6, atol=5e-7)


def test_weights_of_classes_are_weights_of_samples():
    _, y, w = data("wine")
    weight = np.array([0.5, 1.0, 3.0])
    a, f = fl.CategoricalCrossEntropy(class_weight=weight).xgboost(), np.random.default_rng(0).normal(size=(len(y), 3))
    g, h = a.sklearn(y, f, w)
    p, total = np.exp(f) / np.exp(f).sum(1, keepdims=True), (w * weight[y])[:, None]
    np.testing.assert_allclose(g, total * (p - np.eye(3)[y]), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(h, total * 2 * p * (1 - p), rtol=1e-5)
    shares = np.bincount(y, total[:, 0]) / total.sum() + 1e-6
    np.testing.assert_allclose(a.params(y, w)["base_score"], np.log(shares) - np.log(shares).mean(), rtol=1e-6)


def test_subsampling_is_that_of_the_built_in():
    X, y, _ = data("diabetes")
    a, dtrain = fl.SquaredError().xgboost(), xgb.DMatrix(X, label=y)
    params = a.params(dtrain, subsample=0.5, colsample_bynode=0.5, **OPTIONS)
    ours, peer = xgb.train(params, dtrain, 25, obj=a), xgb.train(params, dtrain, 25)
    np.testing.assert_array_equal(margins(ours, X), margins(peer, X))


def test_conventions_depend_on_the_version():
    """XGBoost 3.4 stopped replacing the leaves of absolute and quantile errors; 3.3 brought expectiles."""
    for loss in (fl.AbsoluteError(), fl.Pinball(quantile=0.2), fl.MultiQuantile(levels=(0.2, 0.3))):
        assert host.convention(loss, (3, 3)).renews
        assert not host.convention(loss, (3, 4)).renews
        assert host.convention(loss, (4, 0)) == host.convention(loss, (3, 4))
    assert host.convention(fl.Expectile(), (3, 2)) is None
    assert host.convention(fl.Expectile(), (3, 3)).objective == "reg:expectileerror"
    assert host.convention(fl.BinaryCrossEntropy(label_smoothing=0.1)) is None
    assert host.convention(fl.BinaryCrossEntropy(from_logits=False)) is None
    assert host.convention(fl.MultilabelBinaryCrossEntropy(pos_weight=(1.0, 2.0))) is None
    assert host.convention(0.5 * fl.SquaredError()) is None


def test_curvatures_from_3_5_on():
    """Of XGBoost's sources, whichever version is installed: steps are bounded, and Poisson's leaves are not cut off."""
    rng = np.random.default_rng(2)
    y, f = rng.uniform(0.1, 5.0, 20).astype(np.float32), rng.normal(size=20).astype(np.float32)
    mu, r = np.exp(f.astype(float)), f.astype(float) - y
    rows, labels = rng.normal(size=(20, 3)).astype(np.float32), rng.integers(0, 3, 20)
    p = np.exp(rows.astype(float)) / np.exp(rows.astype(float)).sum(1, keepdims=True)
    cases = ((fl.Poisson(), y, f, (y + 2 * mu) / 3), (fl.Gamma(), y, f, (2 * y / mu + 1) / 3),
             (fl.Tweedie(power=1.3), y, f, (1.3 * y * mu**-0.3 + 1.7 * mu**0.7) / 3),
             (fl.PseudoHuber(delta=2.0), y, f, 1 / np.hypot(1, r / 2)),
             (fl.CategoricalCrossEntropy(), labels, rows, abs(p - np.eye(3)[labels])))
    for loss, target, scores, expected in cases:
        old, new = (host.convention(loss, version) for version in ((3, 4), (3, 5)))
        assert (old.objective, old.start) == (new.objective, new.start)
        g, h = host._grad_and_hess(new.derivatives(loss), new.curvature, target, scores, None)
        np.testing.assert_allclose(h, expected, rtol=3e-6)
        np.testing.assert_array_equal(g, host._grad_and_hess(old.derivatives(loss), old.curvature, target, scores, None)[0])
    assert host.convention(fl.Poisson(), (3, 4)).params
    assert not host.convention(fl.Poisson(), (3, 5)).params


def test_smoothed_derivatives_follow_the_errors():
    """Those of XGBoost 3.4, whichever version is installed: each column has the scale of its own errors."""
    rng = np.random.default_rng(1)
    y, w = rng.normal(size=50).astype(np.float32), rng.uniform(0.5, 2.0, 50).astype(np.float32)
    f = rng.normal(size=(50, 2)).astype(np.float32) * np.float32([1.0, 10.0])
    r = f.astype(float) - y[:, None]
    scale = np.average(np.sqrt(abs(r)), axis=0, weights=w) ** 2

    loss = fl.AbsoluteError()
    g, h = host._grad_and_hess(host.convention(loss, (3, 4)).derivatives(loss), "exact", np.stack([y, y], 1), f, w)
    c = scale / np.hypot(scale, r)
    np.testing.assert_allclose(g, w[:, None] * r * c, rtol=2e-6)
    np.testing.assert_allclose(h, w[:, None] * c, rtol=2e-6)
    for found, expected in zip(loss.xgboost().sklearn(np.stack([y, y], 1), f, w), (g, h), strict=True):
        np.testing.assert_array_equal(found, expected)  # no objective is kept there, and no leaves are replaced

    loss = fl.MultiQuantile(levels=(0.1, 0.7))
    g, h = host._grad_and_hess(host.convention(loss, (3, 4)).derivatives(loss), "exact", y, f, w)
    x = r / (0.04 * scale)
    np.testing.assert_allclose(g, w[:, None] * scale / 2 * (np.tanh(x) + 1 - 2 * loss.levels), rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(h, w[:, None] * 12.5 * np.maximum(np.tanh(x) / x, 3e-4), rtol=2e-6)

    single = fl.AbsoluteError().xgboost().sklearn(y, y)  # no error: nothing to divide by
    assert not single[0].any()
    assert (single[1] == 1.0).all()


# ---- the start ---------------------------------------------------------------------------------------------------


def test_start_is_the_minimum():
    X, y, w = data("diabetes")
    for loss, compat in ((fl.PseudoHuber(), "builtin"), (fl.Poisson(), "exact")):
        a, dtrain = loss.xgboost(compat), xgb.DMatrix(X, label=y, weight=w)
        y64, w64 = dtrain.get_label().astype(float), dtrain.get_weight().astype(float)
        start = a._start(dtrain.get_label(), dtrain.get_weight(), None, a._kept)
        g, _ = loss.grad_and_hess(y64, np.full(len(y), start), w64)
        assert abs(g.mean()) < 1e-6
        booster = xgb.train(a.params(y, w, **OPTIONS), dtrain, 0)  # labels and weights will do
        np.testing.assert_allclose(margins(booster, X), start, rtol=1e-6)


def test_pseudo_huber_starts_at_xgboosts_newton_step_only_if_asked_to():
    _, y, _ = data("diabetes")
    a = fl.PseudoHuber().xgboost()
    assert abs(a.params(y)["base_score"] - np.median(y)) < 5.0
    assert a.params(y, start="xgboost")["base_score"] == pytest.approx(573409, rel=1e-4)


def test_starts_at_the_ends():
    a = fl.BinaryCrossEntropy().xgboost()
    assert a.params(np.ones(9))["base_score"] == pytest.approx(1 - 1e-6, abs=1e-7)
    with pytest.raises(ValueError, match="the labels are all alike"):
        fl.Poisson().xgboost().params(np.zeros(9))
    params = fl.CategoricalCrossEntropy().xgboost().params([0, 1, 1], num_class=4)  # classes that are not in the labels
    assert params["num_class"] == 4
    shares = np.array([1, 2, 0, 0]) / 3 + 1e-6
    np.testing.assert_allclose(params["base_score"], np.log(shares) - np.log(shares).mean(), rtol=1e-6)


# ---- derivatives -------------------------------------------------------------------------------------------------


def test_arrays_are_what_xgboost_reads():
    y = np.array([0.0, 1.0, 1.0], np.float32)
    a, dtrain = fl.BinaryCrossEntropy().xgboost(), xgb.DMatrix(np.zeros((3, 1)), label=y)
    for f in (np.float32([1e3, -1e3, 3.0]), np.float64([1e3, -1e3, 3.0]), np.float32([1e3, 0, -1e3, 0, 3.0, 0])[::2]):
        for got in (*a(f, dtrain), *a.sklearn(y, f)):
            assert (got.dtype, got.shape, got.flags.c_contiguous, got.flags.owndata) == (np.float32, (3,), True, True)
        g, h = a(f, dtrain)
        np.testing.assert_allclose(g, [1.0, -1.0, -1 / (1 + np.exp(3.0))], rtol=1e-6)
        assert (h > 0).all()
    scores = np.asfortranarray(np.random.default_rng(0).normal(size=(3, 2)))
    g, h = fl.CategoricalCrossEntropy().xgboost()(scores, dtrain)
    assert g.flags.c_contiguous
    assert h.flags.c_contiguous
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(g, p - np.eye(2)[[0, 1, 1]], rtol=1e-6)
    np.testing.assert_allclose(h, 2 * p * (1 - p), rtol=1e-6)


def test_exact_derivatives_are_those_of_the_loss():
    _, y, w = data("breast_cancer")
    y, f = y.astype(np.float32), np.random.default_rng(0).normal(size=len(y)).astype(np.float32)
    a = fl.SquaredError().xgboost("exact")
    g, h = a.sklearn(y, f, w)
    np.testing.assert_allclose(g, 2 * w * (f - y), rtol=1e-5)
    np.testing.assert_allclose(h, 2 * w, rtol=1e-6)
    loss = fl.AbsoluteError()
    for compat, hessian, expected in (("exact", None, np.ones(len(y))), ("builtin", "majorizer", 1 / abs(f - y))):
        g, h = loss.xgboost(compat, hessian).sklearn(y, f)
        np.testing.assert_array_equal(g, np.sign(f - y))
        np.testing.assert_allclose(h, expected, rtol=1e-6)
    kept = "reg:squarederror" if RENEWING else "reg:absoluteerror"  # no leaves are replaced
    assert loss.xgboost("exact").params(y)["objective"] == kept
    assert fl.Poisson().xgboost("exact").params()["max_delta_step"] == 0.0     # which XGBoost would set


def test_curvature_is_the_first_that_is_positive():
    policies = {fl.LogCosh(): "exact", fl.BinaryFocal(): "gauss_newton", fl.GaussianNLL(): "fisher",
                fl.Cauchy(): "majorizer", fl.TukeyBiweight(): "constant"}
    g, h = fl.Poisson().xgboost(hessian="xgboost_3.5").sklearn(np.float32([3.0]), np.float32([0.0]))
    assert (g[0], h[0]) == (-2.0, pytest.approx(5 / 3))
    for loss, policy in policies.items():
        a = loss.xgboost()
        assert a._kept.policy == policy
        assert loss.curvatures[policy].positive
    with pytest.raises(ValueError, match=r"multi_margin has no curvature that is positive.*curved\(floor=1\.0\)"):
        fl.MultiMargin().xgboost()
    assert fl.MultiMargin().curved(floor=1.0).xgboost()._kept.policy == "exact"
    with pytest.raises(ValueError, match=r"hessian must be one of 'exact', 'majorizer'.*found 'newton'"):
        fl.Cauchy().xgboost(hessian="newton")


def test_integer_weights_are_repeated_rows():
    X, y, _ = data("breast_cancer")
    times = np.random.default_rng(0).integers(1, 4, len(y))
    a, predictions = fl.BinaryCrossEntropy().xgboost(), []
    repeated = np.repeat(np.arange(len(y)), times)
    for dtrain in (xgb.DMatrix(X, label=y, weight=times), xgb.DMatrix(X[repeated], label=y[repeated])):
        booster = xgb.train(a.params(dtrain, tree_method="exact", **OPTIONS), dtrain, 10, obj=a)
        predictions.append(booster.predict(xgb.DMatrix(X)))
        g, h = a(np.zeros(dtrain.num_row(), np.float32), dtrain)
        predictions.append([g.sum(dtype=float) / times.sum(), h.sum(dtype=float) / times.sum()])
    np.testing.assert_allclose(predictions[0], predictions[2], atol=1e-6)
    np.testing.assert_allclose(predictions[1], predictions[3], atol=1e-6)


# ---- what it goes through ----------------------------------------------------------------------------------------


def test_early_stopping_stops_with_the_built_in_metric():
    from sklearn.model_selection import train_test_split

    X, y, _ = data("breast_cancer")
    X, X_valid, y, y_valid = train_test_split(X, y, random_state=0)
    dtrain, dvalid = xgb.DMatrix(X, label=y), xgb.DMatrix(X_valid, label=y_valid)
    a, stopped = fl.BinaryCrossEntropy().xgboost(), []
    for more in ({"obj": a, "custom_metric": a.metric}, {}):
        history = {}
        booster = xgb.train(a.params(dtrain, **OPTIONS), dtrain, 200, evals=[(dvalid, "valid")], evals_result=history,
                            early_stopping_rounds=5, verbose_eval=False, **more)
        stopped.append((booster.best_iteration, booster.num_boosted_rounds()))
    assert stopped[0] == stopped[1]
    assert stopped[0][1] < 200
    expected = fl.BinaryCrossEntropy()(y_valid, margins(xgb.train(a.params(dtrain, **OPTIONS), dtrain, 1, obj=a), X_valid))
    assert a.metric(np.zeros(len(y), np.float32), dtrain) == ("mean_binary_cross_entropy", pytest.approx(np.log(2)))
    assert history["valid"]["logloss"][0] == pytest.approx(expected, abs=1e-5)


def test_metrics_are_minimised_whatever_the_loss_is_called():
    class PrecisionLoss(fl.losses.regression.HalfSquaredError):
        pass

    assert PrecisionLoss.name.startswith("pre")  # XGBoost maximises what begins so
    y = np.arange(50.0)
    dtrain, a = xgb.DMatrix(y[:, None], label=y), PrecisionLoss().xgboost()
    booster = xgb.train(a.params(dtrain, **OPTIONS), dtrain, 20, obj=a, custom_metric=a.metric, evals=[(dtrain, "train")],
                        early_stopping_rounds=3, verbose_eval=False)
    assert booster.num_boosted_rounds() == 20


def test_scikit_learn_interface_reproduces_the_built_in():
    X, y, w = data("diabetes")
    options = {"n_estimators": 10, "n_jobs": 1}
    a = fl.SquaredError().xgboost()
    ours = xgb.XGBRegressor(**a.sklearn_params(y, w, **options)).fit(X, y, sample_weight=w)
    peer = xgb.XGBRegressor(**options).fit(X, y, sample_weight=w)
    np.testing.assert_array_equal(ours.predict(X), peer.predict(X))

    params = fl.Poisson().xgboost().sklearn_params(y, w, **options)
    assert params["max_delta_step"] == 0.7
    ours = xgb.XGBRegressor(**params).fit(X, y, sample_weight=w)
    peer = xgb.XGBRegressor(objective="count:poisson", **options).fit(X, y, sample_weight=w)
    np.testing.assert_allclose(fl.Poisson().inverse_link(ours.predict(X)), peer.predict(X), rtol=5e-6)

    X, y, w = data("breast_cancer")
    a = fl.BinaryCrossEntropy().xgboost()
    ours = xgb.XGBClassifier(**a.sklearn_params(y, w, eval_metric=a.sklearn_metric, **options))
    ours.fit(X, y, sample_weight=w, eval_set=[(X, y)], verbose=False)
    peer = xgb.XGBClassifier(**options).fit(X, y, sample_weight=w)
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-6)
    values = ours.evals_result()["validation_0"]["mean_binary_cross_entropy"]
    assert values[-1] == pytest.approx(fl.BinaryCrossEntropy()(y, ours.predict(X, output_margin=True)), abs=1e-6)


def test_quantiles_by_the_scikit_learn_interface():
    """No leaves are replaced there, in any version: the smoothed gradient finds the quantiles all the same."""
    X, y, _ = data("diabetes")
    loss = fl.MultiQuantile(levels=(0.1, 0.5, 0.9))
    params = loss.xgboost().sklearn_params(y, n_estimators=50, max_depth=3, n_jobs=1)
    predicted = xgb.XGBRegressor(**params).fit(X, y).predict(X)
    assert predicted.shape == (len(y), 3)
    np.testing.assert_allclose((y[:, None] <= predicted).mean(0), [0.1, 0.5, 0.9], atol=0.06)


def test_losses_with_more_scores_than_labels():
    """A distribution's parameters are columns of raw scores; thresholds belong to one score and a class label."""
    params = fl.GaussianNLL().xgboost().params()
    assert (params["objective"], params["num_target"]) == ("reg:squarederror", 2)
    X, y, _ = data("diabetes")
    loss = fl.CumulativeLogit(thresholds=(-1.0, 1.0))
    dtrain, history = xgb.DMatrix(X, label=np.digitize(y, [100, 200])), {}
    a = loss.xgboost()
    booster = xgb.train(a.params(dtrain, **OPTIONS), dtrain, 10, obj=a, custom_metric=a.metric, evals=[(dtrain, "train")],
                        evals_result=history, verbose_eval=False)
    assert list(history["train"]) == ["mean_cumulative_logit"]  # no built-in metric knows this loss
    values = history["train"]["mean_cumulative_logit"]
    assert values[-1] < 0.9 * values[0]
    assert booster.predict(dtrain).shape == y.shape


def test_links_come_back_at_predict():
    links = {fl.BinaryFocal(): "binary:logistic", fl.NegativeBinomial(): "reg:gamma",
             fl.CategoricalFocal(): "multi:softprob", fl.Exponential(): "reg:squarederror",
             fl.CategoricalCrossEntropy(temperature=2.0): "reg:squarederror"}
    for loss, objective in links.items():
        params = loss.xgboost().params()
        assert (params["objective"], params["disable_default_eval_metric"]) == (objective, 1)


COPIES = [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy, copy.copy]
if importlib.util.find_spec("cloudpickle"):
    import cloudpickle

    COPIES.append(lambda x: pickle.loads(cloudpickle.dumps(x)))


@pytest.mark.parametrize("copied", COPIES, ids=["pickle", "deepcopy", "copy", "cloudpickle"][: len(COPIES)])
def test_copies(copied):
    from sklearn.base import clone

    y, f = np.float32([0, 1]), np.float32([0.2, 0.3])
    a = fl.BinaryCrossEntropy().weighted([1.0, 3.0]).xgboost(hessian="majorizer")
    a._kept  # noqa: B018  what is worked out does not travel
    b = copied(a)
    assert b == a
    assert "_kept" not in b.__dict__ or b._kept.policy == "majorizer"
    assert repr(b) == repr(a)
    assert copied(a.sklearn_metric) == a.sklearn_metric
    a = fl.BinaryCrossEntropy().xgboost()
    np.testing.assert_array_equal(copied(a.sklearn)(y, f), a.sklearn(y, f))
    model = clone(copied(xgb.XGBClassifier(**a.sklearn_params(y))))
    np.testing.assert_array_equal(model.get_params()["objective"](y, f), a.sklearn(y, f))
    assert len(pickle.dumps(a)) < 300


@pytest.mark.process
def test_searches_in_other_processes():
    from sklearn.model_selection import GridSearchCV

    X, y, _ = data("breast_cancer")
    a = fl.BinaryCrossEntropy().xgboost()
    found = [GridSearchCV(xgb.XGBClassifier(**a.sklearn_params(y, n_estimators=5, n_jobs=1)), {"max_depth": [2, 3]}, cv=2,
                          n_jobs=jobs).fit(X, y) for jobs in (1, 2)]
    assert found[0].best_params_ == found[1].best_params_
    np.testing.assert_array_equal(found[0].predict_proba(X), found[1].predict_proba(X))


def test_groups_pass_through():
    """Groups of one row have one weight per row; larger ones a weight each, which no loss of rows takes, as there."""
    X, y, w = data("diabetes")
    a = fl.SquaredError().xgboost()
    for sizes, weight, label in ((np.ones(442, int), w, y), ([42, 1, 399], None, y), ([442], None, np.full(442, 3.0))):
        dtrain = xgb.DMatrix(X, label=label, weight=weight)
        dtrain.set_group(sizes)
        params = a.params(dtrain, **OPTIONS)
        ours, peer = xgb.train(params, dtrain, 5, obj=a), xgb.train({**params, "base_score": None}, dtrain, 5)
        np.testing.assert_array_equal(margins(ours, X), margins(peer, X))
        assert a.metric(margins(ours, X), dtrain)[1] == pytest.approx(fl.SquaredError()(label, margins(ours, X), weight))


# ---- what is refused ---------------------------------------------------------------------------------------------


def refused(call, *words, error=ValueError):
    with pytest.raises(error) as raised:
        call()
    for word in words:
        assert word in str(raised.value)


def labelled(y, **more):
    return xgb.DMatrix(np.zeros((len(y), 1)), label=y, **more)


def test_gradients_that_are_not_finite_name_their_row():
    a, dtrain = fl.Poisson().xgboost(), labelled(np.ones(4))
    refused(lambda: a(np.float32([0, 0, 200, 0]), dtrain), "gradient of poisson in row 2 is inf, at the raw score 200.0",
            "max_delta_step")
    dtrain.set_base_margin(np.float32([0, np.nan, 0, 0]))
    refused(lambda: xgb.train(a.params(dtrain), dtrain, 1, obj=a), "row 1 is nan")


def test_a_start_that_nobody_gave_is_noticed():
    y = np.array([0.0, 1.0, 1.0, 1.0])
    a = fl.BinaryCrossEntropy().xgboost()
    refused(lambda: xgb.train({}, labelled(y), 1, obj=a), "raw score of 0.5", "starts at 1.0986", "a.params(dtrain")
    a = fl.SquaredError().xgboost()
    with pytest.warns(UserWarning, match=r"squared_error starts at 0\.75"):
        xgb.train({}, labelled(y), 1, obj=a)
    xgb.train({}, labelled(y % 2 * [1, 0, 1, 1]), 1, obj=a)  # 0.5 is their mean
    with pytest.warns(UserWarning, match=r"a\.sklearn_params\(y, \.\.\.\)"):
        xgb.XGBRegressor(objective=a.sklearn, n_estimators=1).fit(y[:, None], y)


def test_what_does_not_fit_is_refused_with_a_remedy():
    y = np.array([0.0, 1.0, 2.0])
    f = np.zeros(3, np.float32)
    a, rows = fl.SquaredError().xgboost(), fl.CategoricalCrossEntropy().xgboost()

    class Elsewhere:
        shape = (3,)

    refused(lambda: a(Elsewhere(), labelled(y)), "Elsewhere", "device='cpu'", error=TypeError)
    refused(lambda: a(f, y), "dtrain is a ndarray", "objective=a.sklearn", error=TypeError)
    refused(lambda: a.sklearn(f, labelled(y)), "obj=a", error=TypeError)
    refused(lambda: a(f, xgb.DMatrix(np.zeros((3, 1)))), "no labels")
    refused(lambda: rows(f, labelled(y)), "predt has shape (3,)", "a.params(dtrain")
    refused(lambda: rows(np.zeros((3, 3), np.float32), labelled([0.0, 0.5, 1.0])), "label[1] = 0.5", "classes 0, 1, 2")
    refused(lambda: a(f, labelled(y, weight=[1.0, 2.0], group=[1, 2])), "2 weights for 3 labels", "leave group and qid out")
    refused(lambda: fl.Poisson().xgboost()(f, labelled(-y)), "y_true[1] = -1.0")
    refused(lambda: fl.SquaredError().xgboost("fast"), "compat must be 'builtin' or 'exact', found 'fast'")
    refused(lambda: fl.PoissonDeviance().xgboost(), "(0, inf)", "raw scores")
    refused(lambda: fl.BinaryCrossEntropy(from_logits=False).xgboost(), "from_logits=True")


def test_parameters_that_contradict_the_loss_are_refused():
    y = np.array([0.0, 1.0, 1.0])
    a = fl.BinaryCrossEntropy().xgboost()
    assert a.params(y, objective="reg:logistic")["objective"] == "reg:logistic"
    assert a.params(y, base_score=0.25)["base_score"] == 0.25
    refused(lambda: a.params(y, objective="reg:squarederror"), "'binary:logistic'", "leave it out")
    refused(lambda: a.params(y, scale_pos_weight=3), "ignores scale_pos_weight", "loss.weighted([1, 3])")
    refused(lambda: a.sklearn_params(y, scale_pos_weight=3), "ignores scale_pos_weight")
    refused(lambda: a.params(y, start="mean"), "start must be")
    refused(lambda: fl.Huber().xgboost().params(y, start="xgboost"), "no objective like Huber")
    refused(lambda: a.params(labelled(y), [1.0, 1.0, 1.0]), "DMatrix(weight=)")
    refused(lambda: fl.PseudoHuber(delta=2.0).xgboost().params(huber_slope=1.0), "huber_slope=1.0 contradicts", "2.0")
    refused(lambda: fl.Poisson().xgboost().params(max_delta_step=0.1), "take compat='exact'")
    assert fl.Poisson().xgboost("exact").params(max_delta_step=0.1)["max_delta_step"] == 0.1
    assert fl.Pinball(quantile=0.3).xgboost().params(quantile_alpha=0.3)["quantile_alpha"] == 0.3


def test_a_missing_or_old_xgboost_is_named(run_python):
    printed = run_python("""
import sys
from types import SimpleNamespace
import fusedloss as fl
for module in (None, SimpleNamespace(__version__="3.1.3")):
    sys.modules["xgboost"] = module
    try:
        fl.Huber().xgboost()
    except ImportError as error:
        print(error)
""").splitlines()
    assert 'pip install "fusedloss[xgboost]"' in printed[0]
    assert "3.2 or newer, found 3.1.3" in printed[1]
