"""Losses as LightGBM's objective: its built-in objectives reproduced, and what it would get wrong in silence refused."""

import copy
import functools
import pickle
import re

import numpy as np
import pytest

import fusedloss as fl

lgb = pytest.importorskip("lightgbm")
pytestmark = pytest.mark.hosts

from fusedloss.hosts import lightgbm as host  # noqa: E402

OPTIONS = {"num_leaves": 15, "num_threads": 1, "deterministic": True, "verbose": -1, "seed": 1}
BAGGING = {"bagging_fraction": 0.7, "bagging_freq": 1}
GOSS = {"data_sample_strategy": "goss", "learning_rate": 0.3}


@functools.cache
def data(name):
    """(X, y) of a data set that scikit-learn ships; "counts": diabetes in tens, "shares": breast_cancer between 0 and 1."""
    from sklearn import datasets

    loader = {"counts": "diabetes", "shares": "breast_cancer"}.get(name, name)
    X, y = getattr(datasets, f"load_{loader}")(return_X_y=True)
    if name == "counts":
        y = y // 10
    if name == "shares":
        y = 0.4 * y + np.linspace(0.0, 0.5, len(y))
    return X, y


def weights(n):
    return np.random.default_rng(0).uniform(0.5, 2.0, n)


def trained(a, X, y, w=None, rounds=25, **options):
    """A booster trained with an adapter, from its start value."""
    train = lgb.Dataset(X, y, weight=w, init_score=a.init_score(y, w))
    return lgb.train(a.params(**OPTIONS, **options), train, rounds)


def built_in(name, X, y, w=None, rounds=25, **options):
    return lgb.train({"objective": name, **OPTIONS, **options}, lgb.Dataset(X, y, weight=w), rounds)


class Labels:
    """As much of a Dataset as the adapter looks at."""

    def __init__(self, y, w=None, start=None):
        self.y, self.w, self.start = np.asarray(y, np.float32), None if w is None else np.asarray(w, np.float32), start

    def get_label(self):
        return self.y

    def get_weight(self):
        return self.w

    def get_init_score(self):
        return self.start


# ---- A3: the built-in objectives ---------------------------------------------------------------------------------

ROWS = {  # objective: (loss, data, LightGBM's parameters, the adapter's)
    "regression": (fl.HalfSquaredError(), "diabetes", {}, {}),
    "regression squared": (fl.SquaredError(), "diabetes", {}, {}),
    "huber": (fl.Huber(delta=30.0), "diabetes", {"alpha": 30.0}, {}),
    "fair": (fl.Fair(c=20.0), "diabetes", {"fair_c": 20.0}, {}),
    "poisson": (fl.Poisson(), "counts", {}, {}),
    "gamma": (fl.Gamma(), "diabetes", {}, {}),
    "tweedie": (fl.Tweedie(power=1.3), "counts", {"tweedie_variance_power": 1.3}, {}),
    "binary": (fl.BinaryCrossEntropy(), "breast_cancer", {}, {}),
    "binary sigmoid": (fl.BinaryCrossEntropy(), "breast_cancer", {"sigmoid": 2.0}, {"sigmoid": 2.0}),
    "binary weighted": (fl.BinaryCrossEntropy().weighted([1, 3]), "breast_cancer", {"scale_pos_weight": 3.0}, {}),
    "binary pos_weight": (fl.BinaryCrossEntropy(pos_weight=3.0), "breast_cancer", {"scale_pos_weight": 3.0}, {}),
    "binary unbalanced": (fl.BinaryCrossEntropy(), "breast_cancer", {"is_unbalance": True}, {"is_unbalance": True}),
    "cross_entropy": (fl.BinaryCrossEntropy(), "shares", {}, {}),
    "multiclass": (fl.CategoricalCrossEntropy(), "wine", {"num_class": 3}, {}),
    "multiclass digits": (fl.CategoricalCrossEntropy(), "digits", {"num_class": 10}, {}),
    "multiclassova": (fl.get("lightgbm.multiclassova"), "wine", {"num_class": 3}, {}),
    "multiclassova sigmoid": (fl.get("lightgbm.multiclassova"), "wine", {"num_class": 3, "sigmoid": 0.5}, {"sigmoid": 0.5}),
}
UNWEIGHTED = ("regression", "binary", "multiclass")


def assert_same_model(found, peer, X, y, tolerance=1e-6):
    """Raw scores and predictions within `tolerance` of their range."""
    for raw_score in (True, False):
        expected = peer.predict(X, raw_score=raw_score)
        atol = tolerance * np.ptp(expected)
        np.testing.assert_allclose(found.predict(X, raw_score=raw_score), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("row", ROWS)
def test_built_in_objective_is_reproduced_with_weights(row):
    loss, source, theirs, ours = ROWS[row]
    X, y = data(source)
    w, a = weights(len(y)), loss.lightgbm(**ours)
    rounds = 5 if source == "digits" else 25
    found = a.finalize(trained(a, X, y, w, rounds))
    peer = built_in(row.split()[0], X, y, w, rounds, **theirs)
    assert_same_model(found, peer, X, y)
    if row != "cross_entropy":  # a soft label looks like the binary objective, whose link is the same
        lines = [re.search("^objective=.*$", model.model_to_string(), re.M)[0] for model in (found, peer)]
        assert lines[0] == lines[1]


@pytest.mark.parametrize("sampling", [{}, BAGGING, GOSS], ids=["all", "bagging", "goss"])
@pytest.mark.parametrize("row", UNWEIGHTED)
def test_built_in_objective_is_reproduced_without_weights(row, sampling):
    loss, source, theirs, ours = ROWS[row]
    X, y = data(source)
    a = loss.lightgbm(**ours)
    assert_same_model(a.finalize(trained(a, X, y, **sampling)), built_in(row, X, y, **theirs, **sampling), X, y, 1e-12)


def test_exact_derivatives_are_not_the_conventions():
    """compat="exact" differs in curvature and start, and hessian= replaces the convention's curvature."""
    y, f = np.array([0.0, 1.0, 5.0]), np.array([0.3, -0.2, 1.0])
    w = np.array([1.0, 2.0, 0.5])
    majorizer = w / np.maximum(1, abs(f - y))
    for a, expected in ((fl.Poisson().lightgbm(), w * np.exp(f + 0.7)), (fl.Poisson().lightgbm("exact"), w * np.exp(f)),
                        (fl.SquaredError().lightgbm(), w), (fl.Huber().lightgbm(), w),
                        (fl.Poisson().lightgbm(hessian="xgboost_3.5"), w * (y + 2 * np.exp(f)) / 3),
                        (fl.Huber().lightgbm("exact", "lightgbm"), w),
                        (fl.Huber().lightgbm("exact"), majorizer), (fl.Huber().lightgbm(hessian="majorizer"), majorizer)):
        np.testing.assert_allclose(a(f, Labels(y, w))[1], expected, rtol=1e-6)
    assert fl.Huber().lightgbm().init_score([0, 0, 0, 8])[0] == 2.0
    assert fl.Huber().lightgbm("exact").init_score([0, 0, 0, 8])[0] == pytest.approx(1 / 3)


# ---- A4: the finalized model -------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ["binary", "multiclass", "poisson"])
def test_finalized_model_is_the_built_in_one(row, tmp_path):
    loss, source, theirs, _ = ROWS[row]
    X, y = data(source)
    a = loss.lightgbm()
    w = weights(len(y))
    raw = trained(a, X, y, w)
    before = raw.predict(X)
    found, expected = a.finalize(raw), built_in(row, X, y, w, **theirs).predict(X)
    found.save_model(tmp_path / "model.txt")
    for model in (found, lgb.Booster(model_file=tmp_path / "model.txt"), pickle.loads(pickle.dumps(found)),
                  pickle.loads(pickle.dumps(a)).finalize(raw), a.finalize(raw, init=a.init_score(y, w)[0])):
        np.testing.assert_allclose(model.predict(X), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(raw.predict(X), before)  # a copy was finalized
    with pytest.raises(ValueError, match="finalized already"):
        a.finalize(found)


@pytest.mark.parametrize("row", ["binary", "multiclass", "regression"])
def test_finalized_estimator_is_the_built_in_one(row):
    loss, source, _, _ = ROWS[row]
    X, y = data(source)
    a, start = loss.lightgbm(), None
    estimator = lgb.LGBMRegressor if row == "regression" else lgb.LGBMClassifier
    options = {"n_estimators": 10, "n_jobs": 1, "verbose": -1, "deterministic": True, "num_leaves": 15}
    w, start = weights(len(y)), a.init_score(y, weights(len(y)))
    model = estimator(objective=a.sklearn, metric="None", **options).fit(X, y, init_score=start, sample_weight=w)
    found, peer = a.finalize(model), estimator(**options).fit(X, y, sample_weight=w)
    method = "predict" if row == "regression" else "predict_proba"
    expected = getattr(peer, method)(X)
    for one in (found, pickle.loads(pickle.dumps(found))):
        np.testing.assert_allclose(getattr(one, method)(X), expected, rtol=0, atol=1e-6 * np.ptp(expected))
        np.testing.assert_allclose(one.predict(X), peer.predict(X), rtol=0, atol=1e-6 * np.ptp(expected))
    assert callable(model.get_params()["objective"])  # the original can be fitted again
    assert found.get_params()["objective"] == a.convention.objective.split()[0]


def test_links_without_built_in_objective():
    """What predict() gives is the loss's inverse link where LightGBM has it, else the raw score."""
    X, y = data("breast_cancer")
    a = fl.Exponential().lightgbm()
    raw = trained(a, X, y, weights(len(y)), 3)
    score = a.finalize(raw).predict(X, raw_score=True)
    np.testing.assert_allclose(score, raw.predict(X) + a.valid_init_score(1), rtol=1e-12)
    np.testing.assert_allclose(a.finalize(raw).predict(X), fl.Exponential().inverse_link(score), rtol=1e-12)
    np.testing.assert_allclose(fl.Probit().lightgbm().finalize(raw, 0.5).predict(X), raw.predict(X) + 0.5, rtol=1e-12)
    log = fl.NegativeBinomial().lightgbm().finalize(raw, 0.5)
    np.testing.assert_allclose(log.predict(X), np.exp(raw.predict(X) + 0.5), rtol=1e-12)


def test_early_stopping_is_kept_by_finalize():
    X, y = data("breast_cancer")
    a = fl.BinaryCrossEntropy().lightgbm()
    booster = trained(a, X, y, rounds=10)
    booster.best_iteration = 4
    final = a.finalize(booster)
    assert (final.best_iteration, final.num_trees()) == (4, 10)
    np.testing.assert_array_equal(final.predict(X), final.predict(X, num_iteration=4))


# ---- A6: nothing silently wrong ----------------------------------------------------------------------------------


def test_arrays_are_what_lightgbm_takes_without_a_copy():
    y, k = np.arange(7) % 2, np.arange(7) % 3
    rng = np.random.default_rng(0)
    for a, f, label in ((fl.BinaryCrossEntropy().lightgbm(), rng.normal(size=7), y),
                        (fl.CategoricalCrossEntropy().lightgbm(), np.asfortranarray(rng.normal(size=(7, 3))), k)):
        for preds in (f, np.ascontiguousarray(f), np.repeat(f, 2, axis=0)[::2]):
            for result in a(preds, Labels(label)):
                assert (result.dtype, result.shape) == (np.float32, f.shape)
                assert result.flags.f_contiguous
                assert result.flags.writeable
    g, h = a(f, Labels(k))
    p = np.exp(f) / np.exp(f).sum(1, keepdims=True)
    np.testing.assert_allclose(g, p - np.eye(3)[k], atol=1e-7)
    np.testing.assert_allclose(h, 1.5 * p * (1 - p), atol=1e-7)


def test_chunks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    f, y, w = rng.normal(size=1000), rng.integers(0, 2, 1000), rng.uniform(0.5, 2.0, 1000)
    F, k = np.asfortranarray(rng.normal(size=(1000, 3))), rng.integers(0, 3, 1000)
    scaled, balanced = fl.Huber().scaled("mad"), fl.CategoricalCrossEntropy(class_weight="balanced")
    for loss, preds, label in ((fl.BinaryCrossEntropy(), f, y), (scaled, f, w), (balanced, F, k)):
        whole = [a.copy() for a in loss.lightgbm()(preds, Labels(label, w))]
        monkeypatch.setattr(host, "CHUNK", 37)
        for found, expected in zip(loss.lightgbm()(preds, Labels(label, w)), whole, strict=True):
            np.testing.assert_array_equal(found, expected)
        monkeypatch.undo()


def test_every_hessian_is_positive():
    f = np.array([-800.0, -40.0, 0.0, 40.0, 800.0])
    for loss in (fl.BinaryCrossEntropy(), fl.BinaryFocal(), fl.Pinball(quantile=0.2)):
        _, h = loss.lightgbm()(f, Labels([0, 1, 1, 1, 0]))
        assert (h >= np.float32(1e-16)).all()
    _, h = fl.BinaryFocal().lightgbm(hessian="exact")(np.array([-3.0, 3.0]), Labels([1, 1]))
    assert h[0] == np.float32(1e-16)  # where the second derivative is negative


def test_a_gradient_that_is_not_finite_names_the_row(monkeypatch):
    monkeypatch.setattr(host, "CHUNK", 3)
    f = np.zeros(8)
    f[5] = np.nan
    with pytest.raises(ValueError, match=r"row 5 has label 1.0 and raw score nan.*give the row weight 0"):
        fl.BinaryCrossEntropy().lightgbm()(f, Labels(np.arange(8) % 2))
    f[5] = 200.0  # e^200 is beyond float32
    with pytest.raises(ValueError, match=r"row 5 .*has gradient inf and Hessian inf"):
        fl.Poisson().lightgbm()(f, Labels(np.zeros(8), np.ones(8)))
    f[5] = 1e39
    with pytest.raises(ValueError, match=r"row 5 .*has gradient inf and Hessian 1.0"):
        fl.HalfSquaredError().lightgbm()(f, Labels(np.zeros(8), np.ones(8)))
    f[5] = np.nan
    with pytest.raises(ValueError, match="row 5 has label"):
        fl.Pinball(quantile=0.9).lightgbm()(f, Labels(np.arange(8)))
    w = np.where(np.arange(8) == 5, 0.0, 1.0)
    g, _ = fl.BinaryCrossEntropy().lightgbm()(f, Labels(np.arange(8) % 2, w))
    assert g[5] == 0.0
    with pytest.raises(ValueError, match=r"y_true\[7\] = -1.0: binary_cross_entropy needs"):
        fl.BinaryCrossEntropy().lightgbm()(np.zeros(8), Labels([0, 1, 0, 1, 0, 1, 0, -1]))
    with pytest.raises(ValueError, match=r"label\[2\] = 1.5: categorical_cross_entropy needs the classes 0, 1, 2"):
        fl.CategoricalCrossEntropy().lightgbm()(np.zeros((3, 2)), Labels([0, 1, 1.5]))


def test_scores_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(4,\).*num_class=K"):
        fl.CategoricalCrossEntropy().lightgbm()(np.zeros(4), Labels(np.zeros(4)))
    with pytest.raises(ValueError, match=r"shape \(4, 2\).*train without num_class"):
        fl.HalfSquaredError().lightgbm()(np.zeros((4, 2)), Labels(np.zeros(4)))


def test_a_dataset_that_starts_elsewhere_is_refused():
    X, y = data("diabetes")
    a = fl.HalfSquaredError().lightgbm()
    start = a.init_score(y)
    for wrong in (None, start + 1.0):
        with pytest.raises(ValueError, match=r"152.1.* a Dataset starts elsewhere: .*valid_init_score\(n\)"):
            lgb.train(a.params(**OPTIONS), lgb.Dataset(X, y, init_score=wrong), 2)
    train = lgb.Dataset(X, y, init_score=start)
    with pytest.raises(ValueError, match="a Dataset starts elsewhere"):
        lgb.train(a.params(**OPTIONS), train, 2, [lgb.Dataset(X, y, reference=train)], feval=a.metric)
    lgb.cv(a.params(**OPTIONS), lgb.Dataset(X, y, init_score=start), 2, nfold=3, stratified=False, feval=a.metric)


@pytest.mark.parametrize(("more", "message"), [
    ({"boost_from_average": True}, "LightGBM ignores boost_from_average.*init_score=a.init_score"),
    ({"scale_pos_weight": 3.0}, r"LightGBM ignores scale_pos_weight.*loss.weighted\(\[1, scale_pos_weight\]\)"),
    ({"metric": "auc,binary_logloss"}, "would compute 'binary_logloss' of raw scores.*feval=a.metric"),
    ({"device_type": "gpu"}, "computed on the CPU: train with device_type='cpu'"),
    ({"num_class": 3}, "num_class is for losses of rows"),
], ids=lambda x: next(iter(x)) if isinstance(x, dict) else "")
def test_parameters_that_do_not_work_are_refused(more, message):
    with pytest.raises(ValueError, match=message):
        fl.BinaryCrossEntropy().lightgbm().params(**more)


def test_parameters():
    a = fl.CategoricalCrossEntropy().lightgbm()
    with pytest.raises(ValueError, match="pass num_class=, or call init_score first"):
        a.params()
    assert a.params(num_class=4)["num_class"] == 4
    a.init_score([0, 1, 2])
    assert a.params(metric="auc_mu") == {"objective": a, "metric": "auc_mu", "num_class": 3}
    assert fl.GaussianNLL().lightgbm().params()["num_class"] == 2
    assert fl.HalfSquaredError().lightgbm().params(metric="l1")["metric"] == "l1"


def test_what_cannot_be_is_said():
    class Straight(fl.Elementwise):
        def value(self, y, f):
            return abs(f - y)

        def gradient(self, y, f):
            return 1.0 if f > y else -1.0

    def refused(message, make, *arguments, **more):
        with pytest.raises(ValueError, match=message):
            make(*arguments, **more)

    refused("compat must be 'builtin' or 'exact'", fl.Huber().lightgbm, "native")
    refused("n_threads must be a whole number of at least 1, found 0", fl.Huber().lightgbm, n_threads=0)
    refused("hessian must be one of 'exact', .*found 'fisher'", fl.Huber().lightgbm, hessian="fisher")
    refused(r"hinge has no curvature that is positive everywhere.*loss.curved\(floor=1.0\)", fl.Hinge().lightgbm)
    refused("give the class a formula hessian", Straight().lightgbm)
    refused("one label per row.*use XGBoost", fl.MultilabelBinaryCrossEntropy().lightgbm)
    refused("sigmoid is the slope of logits.*'identity'", fl.Huber().lightgbm, sigmoid=2.0)
    refused("has no classes to weigh", fl.Huber().lightgbm, is_unbalance=True)
    refused("take a loss without any", fl.BinaryCrossEntropy(pos_weight=2.0).lightgbm, is_unbalance=True)
    refused("class_weight='balanced'", fl.CategoricalCrossEntropy().lightgbm, is_unbalance=True)
    refused("the labels are all alike", fl.BinaryCrossEntropy().lightgbm().init_score, [1, 1])
    refused("call init_score", fl.Huber().lightgbm().valid_init_score, 3)
    fl.Hinge().curved(floor=1.0).lightgbm()


def test_models_that_cannot_be_finalized_are_refused():
    X, y = data("diabetes")
    a = fl.HalfSquaredError().lightgbm()
    booster = lgb.train(a.params(**OPTIONS), lgb.Dataset(X, y), 1)
    with pytest.raises(ValueError, match=r"no start value is known.*init_score=a.init_score\(y, weight\).*init="):
        a.finalize(booster)
    np.testing.assert_allclose(a.finalize(booster, 3.0).predict(X), booster.predict(X) + 3.0)
    with pytest.raises(ValueError, match="has 2 numbers and the model 1 trees per round"):
        a.finalize(booster, [1.0, 2.0])
    linear = lgb.train(a.params(**OPTIONS, linear_tree=True), lgb.Dataset(X, y, params={"linear_tree": True}), 2)
    with pytest.raises(ValueError, match="linear leaves"):
        a.finalize(linear, 0.0)


# ---- A13: groups -------------------------------------------------------------------------------------------------


def test_groups_pass_through():
    """Weights are per row whatever the groups."""
    X, y = data("diabetes")
    w = weights(442)
    for sizes, weight, label in ((np.ones(442, int), w, y), ([42, 1, 399], w, y), ([442], None, np.full(442, 3.0))):
        a = fl.HalfSquaredError().lightgbm()
        start = a.init_score(label, weight)
        train, other = (lgb.Dataset(X, label, weight=weight, group=sizes, init_score=init) for init in (start, None))
        ours, peer = lgb.train(a.params(**OPTIONS), train, 5), lgb.train({"objective": "regression", **OPTIONS}, other, 5)
        assert_same_model(a.finalize(ours), peer, X, label)


# ---- A7: weights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ["regression", "binary", "quantile"])
def test_whole_weights_are_repeated_rows(row):
    loss = fl.Pinball(quantile=0.8) if row == "quantile" else ROWS[row][0]
    rng = np.random.default_rng(0)
    X = rng.integers(0, 20, (300, 3)).astype(float)
    y = (X[:, 0] + X[:, 1] + rng.normal(size=300) > 20).astype(float) if row == "binary" else X[:, 0] * X[:, 1] + X[:, 2]
    w = rng.integers(1, 4, 300)
    scores, options = [], {"min_data_in_leaf": 1, "min_data_in_bin": 1, "min_sum_hessian_in_leaf": 5.0}
    for rows, weight in ((np.arange(300), w), (np.repeat(np.arange(300), w), None)):
        a = loss.lightgbm()
        booster = trained(a, X[rows], y[rows], weight, 10, **options)
        scores.append(a.finalize(booster).predict(X, raw_score=True))
        g, h = loss.lightgbm()(np.full(len(rows), y.mean()), Labels(y[rows], weight))
        scores.append([g.sum(dtype=float), h.sum(dtype=float)])
    for weighted, repeated in zip(scores[:2], scores[2:], strict=True):
        np.testing.assert_allclose(weighted, repeated, rtol=0, atol=1e-6 * np.abs(repeated).max())


# ---- A9: the start -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exact PseudoHuber", "builtin BinaryCrossEntropy", "builtin Poisson", "builtin Gamma",
                                  "builtin CategoricalCrossEntropy"])
def test_gradients_at_the_start_add_up_to_nothing(name):
    compat, cls = name.split()
    source = {"BinaryCrossEntropy": "breast_cancer", "CategoricalCrossEntropy": "wine"}
    _, y = data(source.get(cls, "diabetes"))
    w, a = weights(len(y)), getattr(fl, cls)().lightgbm(compat)
    start = np.asfortranarray(a.init_score(y, w))
    g, _ = a(start, Labels(y, w, start))
    assert abs(g.sum(0, dtype=float) / len(y)).max() < 1e-6
    if cls == "PseudoHuber":
        assert abs(start[0] - np.median(y)) < 10  # XGBoost's Newton step from 0 ends at 573409


# ---- A10: copies, pickles and searches ---------------------------------------------------------------------------


def test_copies_and_pickles():
    from sklearn.base import clone

    a = fl.BinaryCrossEntropy().lightgbm(sigmoid=2.0)
    assert copy.deepcopy(a) is a
    assert copy.deepcopy({"objective": a})["objective"] is a
    start = a.init_score([0, 0, 0, 1])
    f, labels = np.array([0.1, 0.2, -0.3, 0.4]), Labels([0, 0, 0, 1], np.ones(4), start)
    expected = [x.copy() for x in a(f, labels)]
    pickled = pickle.dumps(a)
    assert len(pickled) < 1000
    back = pickle.loads(pickled)
    np.testing.assert_array_equal(back.valid_init_score(4), start)
    assert repr(back) == repr(a)
    for found in (back(f, labels), back.sklearn(labels.y, f, labels.w),
                  clone(lgb.LGBMRegressor(objective=a.sklearn)).objective(labels.y, f, labels.w)):
        np.testing.assert_array_equal(found, expected)


def test_threads_do_not_share_arrays():
    from concurrent.futures import ThreadPoolExecutor

    a, labels = fl.BinaryCrossEntropy().lightgbm(), Labels([0, 1])
    here = a(np.zeros(2), labels)
    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(a, np.ones(2), labels).result()
    assert not any(np.shares_memory(x, y) for x, y in zip(here, there, strict=True))
    assert np.shares_memory(here[0], a(np.ones(2), labels)[0])


def test_few_data_sets_are_remembered():
    a, kept = fl.HalfSquaredError().lightgbm(), [Labels([k], [1.0]) for k in range(3 * host.KEPT)]
    for labels in kept:
        assert a(np.zeros(1), labels)[0] == -labels.y
    assert len(a._local.samples) == host.KEPT


@pytest.mark.process
def test_a_search_in_processes():
    from sklearn.model_selection import GridSearchCV

    X, y = data("breast_cancer")
    scores = []
    for objective in (fl.BinaryCrossEntropy().lightgbm().sklearn, "binary"):
        model = lgb.LGBMClassifier(objective=objective, n_estimators=5, n_jobs=1, verbose=-1, boost_from_average=False,
                                   metric="None")
        search = GridSearchCV(model, {"num_leaves": [3, 7]}, scoring="roc_auc", cv=2, n_jobs=2, error_score="raise")
        search.fit(X, y)
        scores.append(search.cv_results_["mean_test_score"])
    np.testing.assert_allclose(*scores, rtol=0, atol=1e-6)


# ---- A12: early stopping -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ["binary", "regression", "multiclass"])
def test_early_stopping_on_our_metric_stops_where_the_built_in_does(row):
    loss, source, theirs, _ = ROWS[row]
    X, y = data(source)
    order = np.random.default_rng(0).permutation(len(y))
    fit, held = order[::2], order[1::2]
    w, a = weights(len(y)), loss.lightgbm()
    records, rounds = [], []
    for ours in (True, False):
        start = (a.init_score(y[fit], w[fit]), a.valid_init_score(len(held))) if ours else (None, None)
        train = lgb.Dataset(X[fit], y[fit], weight=w[fit], init_score=start[0])
        valid = lgb.Dataset(X[held], y[held], weight=w[held], init_score=start[1], reference=train)
        params = a.params(**OPTIONS) if ours else {"objective": row, **OPTIONS, **theirs}
        records.append({})
        booster = lgb.train(params, train, 200, [valid], feval=a.metric if ours else None,
                            callbacks=[lgb.early_stopping(5, verbose=False), lgb.record_evaluation(records[-1])])
        rounds.append(booster.best_iteration)
    assert 1 < rounds[0] < 195
    assert rounds[0] == rounds[1]
    found, expected = (next(iter(record["valid_0"].values())) for record in records)
    assert list(records[0]["valid_0"]) == [loss.name]
    np.testing.assert_allclose(found, expected if row != "regression" else np.multiply(0.5, expected), rtol=1e-6)


def test_metric_of_the_estimators():
    y, w, f = np.float32([0.0, 1.0, 1.0]), np.float32([1.0, 2.0, 0.5]), np.array([0.3, -0.2, 1.0])
    a = fl.BinaryCrossEntropy().lightgbm(sigmoid=2.0)
    name, value, higher_is_better = a.sklearn_metric(y, f, w)
    assert (name, higher_is_better) == ("binary_cross_entropy", False)
    assert value == pytest.approx(fl.BinaryCrossEntropy()(y, 2.0 * f, w), rel=1e-14)
    assert type(value) is float
    assert a.metric(f, Labels(y, w)) == pytest.approx((name, value, False))


# ---- A17: quantiles without renewed leaves -----------------------------------------------------------------------


def synthetic():
    """Heavy-tailed noise whose scale depends on a feature."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 5))
    return X, 2 * X[:, 0] + np.sin(3 * X[:, 1]) + np.exp(0.5 * X[:, 2]) * rng.standard_t(4, 3000)


@pytest.mark.parametrize("name", ["diabetes", "synthetic"])
@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_pinball_loss_is_within_three_percent_of_the_built_in(name, quantile):
    from sklearn.model_selection import KFold

    X, y = data(name) if name == "diabetes" else synthetic()
    loss, found, peer = fl.Pinball(quantile=quantile), 0.0, 0.0
    for fit, held in KFold(3, shuffle=True, random_state=0).split(X):
        a = loss.lightgbm()
        found += loss(y[held], a.finalize(trained(a, X[fit], y[fit], rounds=150)).predict(X[held]))
        peer += loss(y[held], built_in("quantile", X[fit], y[fit], rounds=150, alpha=quantile).predict(X[held]))
    assert found <= 1.03 * peer


def test_smoothed_pinball_formula():
    """g is the derivative of S^2/50 log cosh x + S/2 (1 - 2 tau) r, and h bends a parabola that lies above it."""
    loss = host.SmoothedPinball(quantile=0.3, scale=2.0)

    def value(r):
        x = abs(r) / 0.08
        return 0.08 * (x + np.log1p(np.exp(-2 * x)) - np.log(2)) + (1 - 2 * 0.3) * r

    for r in (-3.0, -0.1, 0.0, 0.02, 0.5):
        assert loss.gradient(1.0, 1.0 + r) == pytest.approx((value(r + 1e-6) - value(r - 1e-6)) / 2e-6, abs=1e-8)
        for d in (-2.0, -0.3, 0.1, 1.0):
            parabola = value(r) + loss.gradient(1.0, 1.0 + r) * d + loss.hessian(1.0, 1.0 + r) * d * d / 2
            assert value(r + d) <= parabola + 1e-12
    assert loss.hessian(0.0, 0.0) == 12.5
    assert loss.hessian(0.0, 1e9) == 12.5 * 3e-4


def test_smoothing_follows_the_errors():
    """The scale is (mean sqrt|r|)^2 by weight; percentage errors weigh 1 / max(|y|, epsilon); no error, no gradient."""
    y, f, w = np.array([1.0, 2.0, -4.0, 0.5]), np.array([1.5, 0.0, 2.0, 0.5]), np.array([1.0, 2.0, 0.5, 1.0])
    for loss, quantile, more in ((fl.Pinball(quantile=0.9), 0.9, 1.0), (fl.AbsoluteError(), 0.5, 1.0),
                                 (fl.AbsolutePercentageError(epsilon=1.0), 0.5, 1.0 / np.maximum(abs(y), 1.0))):
        weight = w * more
        scale = np.average(np.sqrt(abs(f - y)), weights=weight) ** 2
        g, h = loss.lightgbm()(f, Labels(y, w))
        x = (f - y) / (0.04 * scale)
        np.testing.assert_allclose(g, weight * scale / 2 * (np.tanh(x) + 1 - 2 * quantile), rtol=1e-6, atol=1e-7)
        bend = np.divide(np.tanh(x), x, out=np.ones(4), where=x != 0)
        np.testing.assert_allclose(h, weight * 12.5 * np.maximum(bend, 3e-4), rtol=1e-6)
    g, h = fl.Pinball(quantile=0.9).lightgbm(hessian="fisher")(f, Labels(y, w))  # as asked for, nothing smoothed
    np.testing.assert_allclose(g, w * [0.1, -0.9, 0.1, 0.0], rtol=1e-6)
    np.testing.assert_allclose(h, w * 0.09, rtol=1e-6)
    g, h = fl.Pinball(quantile=0.9).lightgbm()(y, Labels(y))
    assert not np.abs(g).max() > 0
    assert (h > 0).all()
