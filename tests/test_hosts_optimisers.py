"""Losses as SciPy, scikit-learn, torch and JAX call them: against those libraries' own losses and optima."""

import copy
import functools
import pickle

import numpy as np
import pytest

import fusedloss as fl
from fusedloss.hosts.sklearn import _RAW_SCORE, _methods
from fusedloss.links import LINKS

pytestmark = pytest.mark.hosts
RNG = np.random.default_rng


def standardised(loader):
    """(X, y) of a data set, its columns scaled to mean 0 and variance 1."""
    from sklearn import datasets
    from sklearn.preprocessing import StandardScaler

    X, y = getattr(datasets, loader)(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@functools.cache
def small():
    """(X, labels of 3 classes, weights): a problem of 40 samples."""
    rng = RNG(0)
    X = rng.normal(size=(40, 3))
    return X, rng.integers(0, 3, 40), rng.uniform(0.5, 2.0, 40)


# ---- SciPy -------------------------------------------------------------------------------------------------------

LINEAR = {
    "binary": (fl.BinaryCrossEntropy(), lambda y: (y > 0).astype(np.int64)),
    "poisson": (fl.Poisson(), lambda y: y.astype(float)),
    "softmax": (fl.CategoricalCrossEntropy(), lambda y: y),
}


def linear(name, **more):
    """(objective, a theta that is nowhere special) of the small problem."""
    X, y, w = small()
    loss, target = LINEAR[name]
    objective = loss.scipy(X, target(y), w, l2=0.3, **more)
    return objective, RNG(1).normal(size=objective.x0().size)


def minimum(objective):
    """Where Newton's method ends, by the Hessian's products."""
    from scipy.optimize import minimize

    theta = minimize(objective, objective.x0(), jac=True, hessp=objective.hessp, method="trust-ncg",
                     options={"gtol": 1e-10, "maxiter": 1000}).x
    assert np.abs(objective(theta)[1]).max() < 1e-8  # it cannot always tell the last improvements from rounding
    return theta


def test_scipy_value_is_the_weighted_mean_and_the_penalty_of_the_coefficients():
    X, y, w = small()
    objective, theta = linear("binary")
    f = X @ theta[:3] + theta[3]
    expected = w @ (np.logaddexp(0, f) - (y > 0) * f) / w.sum() + 0.15 * theta[:3] @ theta[:3]
    value, gradient = objective(theta)
    assert type(value) is float
    assert value == pytest.approx(expected, rel=1e-14)
    assert (gradient.dtype, gradient.shape) == (np.float64, (4,))

    objective, theta = linear("softmax")
    W = theta.reshape(4, 3)
    f = X @ W[:3] + W[3]
    each = np.log(np.exp(f).sum(1)) - f[np.arange(40), y]
    assert objective(theta)[0] == pytest.approx(w @ each / w.sum() + 0.15 * (W[:3] ** 2).sum(), rel=1e-14)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("name", LINEAR)
def test_scipy_derivatives_are_those_of_the_value(name, fit_intercept):
    from scipy.optimize import check_grad

    objective, theta = linear(name, fit_intercept=fit_intercept)
    assert check_grad(lambda t: objective(t)[0], lambda t: objective(t)[1], theta) <= 1e-6
    v, step = RNG(2).normal(size=theta.size), 1e-5
    numeric = (objective(theta + step * v)[1] - objective(theta - step * v)[1]) / (2 * step)
    np.testing.assert_allclose(objective.hessp(theta, v), numeric, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("loader", ["load_breast_cancer", "load_wine"])
def test_scipy_optimum_is_that_of_logistic_regression(loader):
    """scikit-learn minimises C sum(w l) + ||coefficients||^2 / 2."""
    from sklearn.linear_model import LogisticRegression

    X, y = standardised(loader)
    w = RNG(0).uniform(0.5, 2.0, len(y))
    peer = LogisticRegression(C=0.5, tol=1e-12, max_iter=10000, solver="newton-cholesky").fit(X, y, sample_weight=w)
    loss = fl.BinaryCrossEntropy() if y.max() == 1 else fl.CategoricalCrossEntropy()
    theta = minimum(loss.scipy(X, y, w, l2=1 / (0.5 * w.sum()))).reshape(X.shape[1] + 1, -1)
    np.testing.assert_allclose(theta[:-1].T, peer.coef_, atol=1e-6)
    if len(peer.intercept_) > 1:  # softmax leaves one constant free
        theta[-1] -= theta[-1].mean()
        peer.intercept_ -= peer.intercept_.mean()
    np.testing.assert_allclose(theta[-1], peer.intercept_, atol=1e-6)


def test_scipy_optimum_is_that_of_poisson_regression_and_ridge():
    from sklearn.linear_model import PoissonRegressor, Ridge

    X, y = standardised("load_diabetes")
    y = y / 50
    w = RNG(0).uniform(0.5, 2.0, len(y))
    peer = PoissonRegressor(alpha=0.2, tol=1e-12, max_iter=10000, solver="newton-cholesky").fit(X, y, sample_weight=w)
    theta = minimum(fl.Poisson().scipy(X, y, w, l2=0.2))
    np.testing.assert_allclose(theta, [*peer.coef_, peer.intercept_], atol=1e-6)
    peer = Ridge(alpha=3.0).fit(X, y)
    theta = minimum(fl.HalfSquaredError().scipy(X, y, l2=3.0 / len(y)))
    np.testing.assert_allclose(theta, [*peer.coef_, peer.intercept_], atol=1e-6)


def test_scipy_optimum_is_that_of_robust_regression_at_its_scale():
    """At scale s scikit-learn's terms are 2/s Huber_(epsilon s), and its penalty is alpha ||coefficients||^2."""
    import statsmodels.api as sm
    from sklearn.linear_model import HuberRegressor

    X, y = standardised("load_diabetes")
    y = y / 50
    peer = sm.RLM(y, sm.add_constant(X), M=sm.robust.norms.HuberT(1.345)).fit(update_scale=False, maxiter=1000, tol=1e-12)
    theta = minimum(fl.Huber(delta=1.345 * peer.scale).scipy(X, y))
    np.testing.assert_allclose(theta, [*peer.params[1:], peer.params[0]], atol=1e-6)

    peer = HuberRegressor(epsilon=1.35, alpha=0.1, max_iter=1000).fit(X, y)
    objective = fl.Huber(delta=1.35 * peer.scale_).scipy(X, y, l2=0.1 * peer.scale_ / len(y))
    theta, peers = minimum(objective), np.array([*peer.coef_, peer.intercept_])
    np.testing.assert_allclose(theta, peers, atol=1e-4)  # its search ends at a gradient of 3e-6
    assert 0 <= objective(peers)[0] - objective(theta)[0] < 1e-9


def test_scipy_layouts_and_dtypes_of_X():
    from scipy import sparse

    X, y, w = small()
    X = np.where(np.abs(X) > 0.7, X, 0.0)
    theta, v = RNG(3).normal(size=(2, 12))
    loss = fl.CategoricalCrossEntropy()
    value, gradient = loss.scipy(X, y, w)(theta)
    product = loss.scipy(X, y, w).hessp(theta, v)
    for other in (np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], sparse.csr_matrix(X), sparse.csr_array(X)):
        objective = loss.scipy(other, y, w)
        assert objective(theta)[0] == pytest.approx(value, rel=1e-14)
        np.testing.assert_allclose(objective(theta)[1], gradient, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(objective.hessp(theta, v), product, rtol=1e-12, atol=1e-15)
    single = loss.scipy(X.astype(np.float32), y, w)(theta)
    assert single[0] == pytest.approx(value, rel=1e-6)
    assert single[1].dtype == np.float64
    np.testing.assert_allclose(single[1], gradient, atol=1e-6)


def test_scipy_several_targets_of_a_loss_of_numbers():
    X, y, _ = small()
    Y = np.stack([y, 2.0 * y], axis=1)
    objective = fl.HalfSquaredError().scipy(X, Y)
    np.testing.assert_allclose(objective.x0().reshape(4, 2), [[0, 0]] * 3 + [[y.mean(), 2 * y.mean()]])
    W = RNG(4).normal(size=(4, 2))
    R = X @ W[:3] + W[3] - Y
    value, gradient = objective(W.reshape(-1))
    assert value == pytest.approx((R**2).mean() / 2, rel=1e-14)
    np.testing.assert_allclose(gradient.reshape(4, 2), np.vstack([X.T @ R, R.sum(0)]) / R.size, rtol=1e-12)


def test_scipy_start():
    X, y, w = small()
    start = fl.CategoricalCrossEntropy().scipy(X, y, w).x0()
    assert start[:9].tolist() == [0] * 9
    np.testing.assert_allclose(np.exp(start[9:]) / np.exp(start[9:]).sum(), np.bincount(y, w) / w.sum())
    rate = w @ (y > 0) / w.sum()
    np.testing.assert_allclose(fl.BinaryCrossEntropy().scipy(X, (y > 0).astype(int), w).x0(),
                               [0, 0, 0, np.log(rate / (1 - rate))])
    assert fl.BinaryCrossEntropy().scipy(X, (y > 0).astype(int), fit_intercept=False).x0().tolist() == [0, 0, 0]
    more = fl.CategoricalCrossEntropy().scipy(X, np.where(y == 1, 0, y), n_outputs=4)  # no sample of classes 1 and 3
    assert more.loss.init_score(more.y)[1] == -np.inf
    assert more.x0().shape == (16,)
    assert more.x0()[[13, 15]].tolist() == [0, 0]
    assert more.x0()[12] - more.x0()[14] == pytest.approx(np.log((y != 2).sum() / (y == 2).sum()))
    assert np.isfinite(more(more.x0())[0])


def test_scipy_results_are_new():
    objective, theta = linear("binary")
    first, second = objective(theta)[1], objective(2 * theta)[1]
    kept = first.copy()
    assert not np.shares_memory(first, second)
    objective.hessp(theta, theta)
    assert (first == kept).all()
    assert (objective(theta)[1] == kept).all()
    theta_kept = theta.copy()
    objective(theta)
    theta += 1.0  # optimisers write their x again
    np.testing.assert_array_equal(objective(theta)[1], linear("binary")[0](theta_kept + 1.0)[1])


def test_scipy_pickles_what_it_was_made_of():
    objective, theta = linear("binary")
    again = pickle.loads(pickle.dumps(objective))
    assert again(theta)[0] == objective(theta)[0]
    assert (again.hessp(theta, theta) == objective.hessp(theta, theta)).all()
    X, y = np.zeros((5000, 1)), np.zeros(5000)
    assert len(pickle.dumps(fl.HalfSquaredError().scipy(X, y))) < X.nbytes + y.nbytes + 2000


def test_scipy_errors():
    from scipy import sparse

    X, y, _ = small()
    loss, rows = fl.BinaryCrossEntropy(), fl.CategoricalCrossEntropy()
    for call, error, words in [
            (lambda: loss.scipy(X[:, 0], y), ValueError, r"X has shape \(40,\); it must have shape \(n, features\); for"),
            (lambda: loss.scipy(X.astype(int), y), TypeError, "X has dtype int64; it must be float32 or float64: pass X"),
            (lambda: loss.scipy(X.astype(np.float16), y), TypeError, "X has dtype float16; it must be"),
            (lambda: loss.scipy(sparse.coo_matrix(X), y), TypeError, r"X is a sparse matrix in COO.*pass X.tocsr\(\)"),
            (lambda: loss.scipy(X, y[1:]), ValueError, r"y has shape \(39,\) and X has 40 rows"),
            (lambda: loss.scipy(X, np.zeros((40, 2, 2))), ValueError, r"y has shape \(40, 2, 2\); it must"),
            (lambda: loss.scipy(X, y, l2=-1), ValueError, "l2 must be finite and not negative, found -1"),
            (lambda: loss.scipy(X, y, l2=np.nan), ValueError, "l2 must be finite and not negative, found nan"),
            (lambda: loss.scipy(X, y, fit_intercept=2), TypeError, "fit_intercept must be True or False, found 2"),
            (lambda: loss.scipy(X, y, n_outputs=2), ValueError, "n_outputs is for losses of rows; binary_cross_entropy"),
            (lambda: rows.scipy(X, y, n_outputs=0), ValueError, "n_outputs must be at least 1, found 0"),
            (lambda: fl.EnsembleCRPS().scipy(X, y), ValueError, "ensemble_crps does not say.*pass n_outputs="),
            (lambda: rows.scipy(X, y)(np.zeros(4)), ValueError, r"theta has shape \(4,\); .* \(12,\): \(4, 3\)"),
            (lambda: rows.scipy(X, y).hessp(np.zeros(12), 0), ValueError, r"v has shape \(\); .* \(12,\)"),
            (lambda: loss.scipy(X, y)(np.zeros(4)), ValueError, r"y\[\d+\] = 2: binary_cross_entropy needs"),
    ]:
        with pytest.raises(error, match=words):
            call()
    assert fl.EnsembleCRPS().scipy(X, y, n_outputs=5)._shape == (4, 5)
    assert fl.GaussianNLL().scipy(X, y)._shape == (4, 2)
    assert fl.CumulativeLogit(thresholds=[0.0, 1.0]).scipy(X, y)._shape == (4,)


# ---- scikit-learn ------------------------------------------------------------------------------------------------


def logistic(loader, names=None):
    """(fitted LogisticRegression, X, y): labels are names where given."""
    from sklearn.linear_model import LogisticRegression

    X, y = standardised(loader)
    if names is not None:
        y = np.array(names)[y]
    return LogisticRegression(C=0.1, max_iter=1000).fit(X[::2], y[::2]), X[1::2], y[1::2]


@pytest.mark.parametrize("response_method", [None, "decision_function"])
@pytest.mark.parametrize(("loader", "names", "loss"), [
    ("load_breast_cancer", ["malignant", "benign"], fl.BinaryCrossEntropy()),  # sorted: benign is class 0
    ("load_breast_cancer", [7, -2], fl.BinaryCrossEntropy()),
    ("load_wine", ["red", "white", "grey"], fl.CategoricalCrossEntropy()),
], ids=["names", "numbers", "three"])
def test_scorer_is_neg_log_loss(loader, names, loss, response_method):
    from sklearn.metrics import get_scorer, log_loss

    estimator, X, y = logistic(loader, names)
    scorer = loss.sklearn_scorer(response_method)
    score = scorer(estimator, X, y)
    assert type(score) is float
    assert score == pytest.approx(get_scorer("neg_log_loss")(estimator, X, y), rel=1e-12)
    w = RNG(0).uniform(size=len(y))
    weighted = -log_loss(y, estimator.predict_proba(X), sample_weight=w)
    assert scorer(estimator, X, y, sample_weight=w) == pytest.approx(weighted, rel=1e-12)


def test_scorers_of_probabilities_and_margins():
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import get_scorer, hinge_loss
    from sklearn.svm import LinearSVC

    X, y = standardised("load_breast_cancer")
    half = X[::2], y[::2]
    forest = RandomForestClassifier(20, random_state=0).fit(X[::4], y[::4])  # probabilities of 0 and 1
    rest = X[1::2], y[1::2]
    brier = get_scorer("neg_brier_score")(forest, *rest)
    for loss in (fl.BinaryBrier(), fl.BinaryBrier(from_logits=False)):
        assert loss.sklearn_scorer()(forest, *rest) == pytest.approx(brier, rel=1e-12)
    clipped = fl.get("sklearn.log_loss").sklearn_scorer()(forest, *rest)
    assert clipped == pytest.approx(get_scorer("neg_log_loss")(forest, *rest), rel=1e-12)
    p = forest.predict_proba(rest[0])
    assert ((p == 0) | (p == 1)).any()
    wrong = (p[np.arange(len(p)), rest[1]] == 0).any()
    assert np.isfinite(fl.BinaryCrossEntropy().sklearn_scorer()(forest, *rest)) == (not wrong)
    margin = LinearSVC(C=0.1).fit(*half)
    expected = -hinge_loss(rest[1], margin.decision_function(rest[0]))
    assert fl.Hinge().sklearn_scorer()(margin, *rest) == pytest.approx(expected, rel=1e-12)


def test_scorer_of_a_link_that_is_undone_and_of_logits_that_probabilities_do_not_determine():
    estimator, X, y = logistic("load_wine")
    focal = fl.CategoricalFocal(gamma=2.0).sklearn_scorer()
    assert focal.response_method == "predict_proba"
    p = estimator.predict_proba(X)[np.arange(len(y)), y]
    assert focal(estimator, X, y) == pytest.approx(((1 - p) ** 2 * np.log(p)).mean(), rel=1e-12)
    tempered = fl.CategoricalCrossEntropy(temperature=2.0).sklearn_scorer()
    assert tempered.response_method == "decision_function"
    f = estimator.decision_function(X) / 2
    each = np.log(np.exp(f).sum(1)) - f[np.arange(len(y)), y]
    assert tempered(estimator, X, y) == pytest.approx(-each.mean(), rel=1e-12)


def test_scorers_of_regression():
    from sklearn.linear_model import PoissonRegressor, Ridge
    from sklearn.metrics import get_scorer

    X, y = standardised("load_diabetes")
    ridge, poisson = Ridge().fit(X, y), PoissonRegressor().fit(X, y)
    for loss, peer in ((fl.SquaredError(), "neg_mean_squared_error"), (fl.AbsoluteError(), "neg_mean_absolute_error"),
                       (fl.PoissonDeviance(), "neg_mean_poisson_deviance")):
        assert loss.sklearn_scorer()(poisson, X, y) == pytest.approx(get_scorer(peer)(poisson, X, y), rel=1e-12)
    mean = poisson.predict(X)
    expected = -fl.Poisson()(y, np.log(mean))
    assert fl.Poisson().sklearn_scorer()(poisson, X, y) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match=r"the prediction at \[\d+\] is -.*: poisson has a log link and"):
        fl.Poisson().sklearn_scorer()(ridge.fit(X, y - 150), X, y)


def test_scorer_of_several_labels():
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.tree import DecisionTreeClassifier

    X, y, _ = small()
    Y = np.stack([y == 1, y > 0], axis=1).astype(int)
    estimator = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    p = estimator.predict_proba(X)
    expected = (Y * np.log(p) + (1 - Y) * np.log(1 - p)).sum(1).mean()
    for method in (None, "decision_function"):
        scorer = fl.MultilabelBinaryCrossEntropy().sklearn_scorer(method)
        assert scorer(estimator, X, Y) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match=r"DecisionTreeClassifier.predict_proba gives a list.*OneVsRestClassifier"):
        fl.MultilabelBinaryCrossEntropy().sklearn_scorer()(DecisionTreeClassifier().fit(X, Y), X, Y)


@pytest.mark.parametrize("link", ["logit", "half_logit", "probit"])
def test_links_undone_at_both_ends(link):
    p = np.array([1e-300, 1e-12, 1e-3, 0.3, 0.5])
    for f, g in zip(_RAW_SCORE[link](p, 1 - p), _RAW_SCORE[link](1 - p, p), strict=True):
        assert f == -g
    f = _RAW_SCORE[link](p, 1 - p)
    np.testing.assert_allclose([LINKS[link].value(0.0, x) for x in f], p, rtol=1e-10)
    assert _RAW_SCORE[link](np.array([0.0, 1.0]), np.array([1.0, 0.0])).tolist() == [-np.inf, np.inf]


def test_links_undone_that_are_not_symmetric():
    p = np.array([1e-300, 1e-12, 1e-3, 0.3, 0.5])
    f = _RAW_SCORE["cloglog"](p, 1 - p)
    np.testing.assert_allclose([LINKS["cloglog"].value(0.0, x) for x in f], p, rtol=1e-10)
    np.testing.assert_allclose(np.exp(-np.exp(_RAW_SCORE["cloglog"](1 - p, p))), p, rtol=1e-10)
    p = np.array([0.001, 0.5, 0.9])
    np.testing.assert_allclose([LINKS["tangent"].value(0.0, x) for x in _RAW_SCORE["tangent"](p, 1 - p)], p, rtol=1e-10)
    assert {"logit", "half_logit", "probit", "cloglog", "tangent"} == set(_RAW_SCORE)


@pytest.mark.parametrize("name", fl.list_losses())
def test_every_loss_has_a_scorer_or_says_why_not(name):
    from fusedloss.registry import example

    loss = example(name)
    if _methods(loss):
        assert loss.sklearn_scorer().response_method == _methods(loss)[0]
    else:
        assert loss.target in ("number", "row")
        with pytest.raises(ValueError, match=f"{name} has no scorer: no scikit-learn estimator"):
            loss.sklearn_scorer()


def test_scorer_is_a_small_object_that_can_be_copied():
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    scorer = fl.BinaryCrossEntropy().sklearn_scorer()
    data = pickle.dumps(scorer)
    assert len(data) < 400
    again = pickle.loads(data)
    assert (again.loss, again.response_method, again.__name__) == (scorer.loss, "predict_proba", "neg_binary_cross_entropy")
    assert repr(again) == repr(scorer)
    assert "sklearn_scorer(response_method='predict_proba')" in repr(scorer)
    search = clone(GridSearchCV(LogisticRegression(), {"C": [1.0]}, scoring=scorer))
    assert search.scoring.loss == scorer.loss


def test_cross_validation_with_weights_that_are_routed():
    import sklearn
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    X, y = standardised("load_breast_cancer")
    w = RNG(0).uniform(0.1, 2.0, len(y))
    scorer = fl.BinaryCrossEntropy().sklearn_scorer()
    with sklearn.config_context(enable_metadata_routing=True):
        peer = sklearn.metrics.get_scorer("neg_log_loss").set_score_request(sample_weight=True)
        estimator = LogisticRegression(C=0.01).set_fit_request(sample_weight=True)
        scores = [cross_val_score(estimator, X, y, scoring=s, params={"sample_weight": w})
                  for s in (peer, scorer.set_score_request(sample_weight=True))]
        np.testing.assert_allclose(scores[1], scores[0], rtol=1e-12)
        unweighted = cross_val_score(estimator, X, y, scoring=scorer.set_score_request(sample_weight=False),
                                     params={"sample_weight": w})
        assert not np.allclose(unweighted, scores[0], rtol=1e-6)
        with pytest.raises(ValueError, match=r"sample_weight.*are passed but are not explicitly set as requested"):
            cross_val_score(estimator, X, y, scoring=fl.BinaryCrossEntropy().sklearn_scorer(), params={"sample_weight": w})


def test_searches_hand_their_weights_to_the_scorer():
    """From scikit-learn 1.8 on, to all scorers or to none."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    X, y = standardised("load_breast_cancer")
    scoring = {"ours": fl.BinaryCrossEntropy().sklearn_scorer(), "peer": "neg_log_loss"}
    search = GridSearchCV(LogisticRegression(), {"C": [0.01]}, scoring=scoring, refit=False, cv=3)
    found = search.fit(X, y, sample_weight=RNG(0).uniform(0.1, 2.0, len(y))).cv_results_
    np.testing.assert_allclose(found["mean_test_ours"], found["mean_test_peer"], rtol=1e-12)


@pytest.mark.process
def test_scorer_in_a_search_of_two_processes():
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    X, y = standardised("load_wine")
    search = GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.01, 1.0]}, n_jobs=2, cv=3)
    ours, peer = [clone(search).set_params(scoring=scoring).fit(X, y) for scoring in (
        fl.CategoricalCrossEntropy().sklearn_scorer(), "neg_log_loss")]
    np.testing.assert_allclose(ours.cv_results_["mean_test_score"], peer.cv_results_["mean_test_score"], rtol=1e-12)
    assert ours.best_params_ == peer.best_params_


class Answering:
    """An estimator that gives fixed answers."""

    def __init__(self, classes=None, **answers):
        if classes is not None:
            self.classes_ = classes
        for method, answer in answers.items():
            setattr(self, method, lambda X, answer=answer: np.asarray(answer))


def test_scorer_errors():
    y = np.array([0, 1, 1])
    two, three = np.array([0, 1]), np.array([0, 1, 2])
    p = np.full((3, 2), 0.5)
    binary, rows = fl.BinaryCrossEntropy(), fl.CategoricalCrossEntropy()
    for call, error, words in [
            (lambda: binary.sklearn_scorer("proba"), ValueError, "response_method must be one of.* found 'proba'"),
            (lambda: fl.Hinge().sklearn_scorer("predict_proba"), ValueError, "not give hinge.*: 'decision_function'"),
            (lambda: fl.BinaryCrossEntropy(from_logits=False).sklearn_scorer("decision_function"), ValueError,
             "possible: 'predict_proba', 'predict'"),
            (lambda: rows.sklearn_scorer("predict"), ValueError, "possible: 'predict_proba', 'decision_function'"),
            (lambda: binary.sklearn_scorer()(Answering(two, decision_function=y), y, y), AttributeError,
             "Answering has no predict_proba, which.*: pass response_method='decision_function'"),
            (lambda: binary.sklearn_scorer()(Answering(two), y, y), AttributeError, "choose another estimator or"),
            (lambda: binary.sklearn_scorer()(Answering(three, predict_proba=p), y, y), ValueError, "with 3 classes"),
            (lambda: binary.sklearn_scorer()(Answering(two, predict_proba=p), y, y + 1), ValueError,
             r"y\[1\] = 2: Answering was trained without this label, its classes are \[0, 1\]: use a stratified split"),
            (lambda: binary.sklearn_scorer()(Answering(two, predict_proba=p), y, y[:, None]), ValueError, "y has shape"),
            (lambda: binary.sklearn_scorer()(Answering(None, predict_proba=p), y, y), ValueError, "has no array classes_"),
            (lambda: binary.sklearn_scorer("predict")(Answering(two, predict=y), y, y), ValueError, "gives labels, and"),
            (lambda: rows.sklearn_scorer("decision_function")(Answering(two, decision_function=y), y, y), ValueError,
             r"has shape \(3,\) for 2 classes; categorical_cross_entropy needs a row of scores.*use a binary loss"),
            (lambda: rows.sklearn_scorer("decision_function")(Answering(np.arange(4), decision_function=np.ones((3, 6))),
                                                              y, y), ValueError, "one score per class, not per pair"),
    ]:
        with pytest.raises(error, match=words):
            call()
    assert rows.sklearn_scorer()(Answering(two, predict_proba=p), y, y) == pytest.approx(np.log(0.5))
    unsorted = Answering(np.array(["b", "a"]), predict_proba=[[0.9, 0.1]] * 2)
    assert binary.sklearn_scorer()(unsorted, y, ["b", "b"]) == pytest.approx(np.log(0.9))
    assert binary.sklearn_scorer("predict")(Answering(predict=p[:, 0]), y, y) == pytest.approx(np.log(0.5))
    quantiles = Answering(predict=np.arange(9.0).reshape(3, 3))
    levels = [0.1, 0.5, 0.9]
    for loss in (fl.MultiQuantile(levels=levels), fl.MultiQuantile(levels=levels, non_crossing=True)):
        assert loss.sklearn_scorer()(quantiles, y, y) == -fl.MultiQuantile(levels=levels)(y, quantiles.predict(y))


# ---- torch -------------------------------------------------------------------------------------------------------


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def with_gradient(module, x, *arguments):
    """(value, gradient in x)."""
    x = x.detach().clone().requires_grad_()
    value = module(x, *arguments)
    value.sum().backward()
    return value.detach(), x.grad


def test_torch_modules_equal_torchs_own(torch):
    F = torch.nn.functional
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, generator=generator, dtype=torch.double)
    y = torch.randint(0, 2, (50,), generator=generator)
    counts = torch.randint(0, 5, (50,), generator=generator)
    logits = torch.randn(50, 3, generator=generator, dtype=torch.double)
    labels = torch.randint(0, 3, (50,), generator=generator)
    weights = torch.tensor([0.5, 2.0, 1.0], dtype=torch.double)
    cross_entropy = fl.CategoricalCrossEntropy(class_weight=weights.numpy())
    for loss, own, input, target, reductions in [
            (fl.BinaryCrossEntropy(), lambda f, y, **k: F.binary_cross_entropy_with_logits(f, y.double(), **k), x, y,
             ["mean", "sum", "none"]),
            (fl.SmoothL1(beta=0.7), lambda f, y, **k: F.smooth_l1_loss(f, y.double(), beta=0.7, **k), x, counts, ["mean"]),
            (fl.Poisson(), lambda f, y, **k: F.poisson_nll_loss(f, y, **k), x, counts, ["sum"]),
            (cross_entropy, lambda f, y, **k: F.cross_entropy(f, y, weights, **k), logits, labels, ["mean", "none"])]:
        for reduction in reductions:
            value, gradient = with_gradient(loss.torch(reduction), input, target)
            expected, expected_gradient = with_gradient(functools.partial(own, reduction=reduction), input, target)
            assert (value.dtype, value.shape) == (expected.dtype, expected.shape)
            torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-12)
    w = torch.rand(50, generator=generator, dtype=torch.double)
    value, gradient = with_gradient(fl.BinaryCrossEntropy().torch(), x, y, w)
    expected, expected_gradient = with_gradient(
        lambda f: F.binary_cross_entropy_with_logits(f, y.double(), w, reduction="sum") / w.sum(), x)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_torch_gradcheck(torch, reduction):
    generator = torch.Generator().manual_seed(1)
    y, w = torch.randint(0, 2, (6,), generator=generator), torch.rand(6, generator=generator, dtype=torch.double)
    x = torch.randn(6, generator=generator, dtype=torch.double, requires_grad=True)
    logits = torch.randn(6, 3, generator=generator, dtype=torch.double, requires_grad=True)
    scaled = fl.BinaryCrossEntropy().torch(reduction)
    assert torch.autograd.gradcheck(lambda f: 3.0 * scaled(f, y, w), (x,))
    assert torch.autograd.gradcheck(lambda f: fl.CategoricalCrossEntropy().torch(reduction)(f, y, w), (logits,))


def test_torch_reads_and_writes_the_memory_of_the_tensors(torch, monkeypatch):
    from fusedloss import dispatch

    seen, evaluate = {}, dispatch.evaluate

    def spy(loss, what, y_true, y_pred, sample_weight, mask, reduction, hessian, out, *more):
        seen.update(zip(("y", "f", "w", "g"), (a.ctypes.data for a in (y_true, y_pred, sample_weight, out)), strict=True))
        return evaluate(loss, what, y_true, y_pred, sample_weight, mask, reduction, hessian, out, *more)

    monkeypatch.setattr(dispatch, "evaluate", spy)
    x = torch.linspace(-3, 3, 100, requires_grad=True)
    y, w = torch.zeros(100), torch.ones(100)
    (fl.Huber().torch("sum")(x, y, w)).backward()
    assert seen == {"y": y.data_ptr(), "f": x.data_ptr(), "w": w.data_ptr(), "g": x.grad.data_ptr()}
    torch.testing.assert_close(x.grad, x.detach().clamp(-1, 1))


def test_torch_computes_no_gradient_that_nobody_needs(torch, monkeypatch):
    monkeypatch.setattr(fl.Huber, "value_and_grad", None)
    x, y = torch.linspace(-3, 3, 100), torch.zeros(100)
    module = fl.Huber().torch()
    expected = torch.nn.functional.huber_loss(x, y)
    assert not module(x, y).requires_grad
    torch.testing.assert_close(module(x, y), expected)
    x.requires_grad_()
    with torch.no_grad():
        torch.testing.assert_close(module(x, y), expected)
    with pytest.raises(TypeError):
        module(x, y)


def test_torch_gradients_more_than_once(torch):
    x = torch.linspace(-2, 2, 7, requires_grad=True)
    y = torch.zeros(7)
    value = fl.Huber().torch("sum")(x, y)
    value.backward(retain_graph=True)
    value.backward(retain_graph=True)
    (2 * value).backward()
    torch.testing.assert_close(x.grad, 4 * x.detach().clamp(-1, 1))


def test_torch_second_derivatives_are_refused(torch):
    module, y = fl.Huber().torch(), torch.zeros(7)
    x = torch.linspace(-2, 2, 7, requires_grad=True)
    (gradient,) = torch.autograd.grad(module(x, y), x, create_graph=True)
    torch.testing.assert_close(gradient.detach(), x.detach().clamp(-1, 1) / 7)
    with pytest.raises(RuntimeError, match="can be differentiated once"):
        torch.autograd.grad(gradient.sum(), x)
    scale = torch.ones((), requires_grad=True)  # a path besides the loss, which alone would be silently wrong
    (gradient,) = torch.autograd.grad(module((scale * x) ** 2, y), x, create_graph=True)
    with pytest.raises(RuntimeError, match="can be differentiated once"):
        torch.autograd.grad((gradient**2).sum(), scale)


def test_torch_layouts_and_dtypes(torch):
    X = torch.linspace(-3, 3, 60, dtype=torch.double).reshape(20, 3)
    transposed, strided = X.T.contiguous().T, torch.repeat_interleave(X, 2, dim=1)[:, ::2]
    for loss, y, views in ((fl.Huber(), torch.zeros(20, 3), [transposed, strided]),
                           (fl.CategoricalCrossEntropy(), torch.arange(20) % 3, [transposed])):
        module = loss.torch()
        value, gradient = with_gradient(module, X, y)
        for view in views:
            leaf = view.detach().requires_grad_()
            assert not leaf.is_contiguous()
            other = module(leaf, y)
            other.backward()
            assert other.detach() == value
            assert torch.equal(leaf.grad, gradient)
    for dtype, rtol in ((torch.float16, 2e-3), (torch.bfloat16, 1e-2)):
        value, gradient = with_gradient(fl.Huber().torch(), X.to(dtype), torch.zeros(20, 3))
        assert value.dtype == gradient.dtype == dtype
        torch.testing.assert_close(gradient.double(), X.clamp(-1, 1) / 60, rtol=rtol, atol=1e-6)
        values = fl.CategoricalCrossEntropy().torch(reduction="none")(X.to(dtype), torch.arange(20) % 3)
        assert values.dtype == dtype


def test_torch_minimises(torch):
    """LBFGS finds the optimum, and Adam goes down."""
    X, y, _ = small()
    X, y = torch.as_tensor(X), torch.as_tensor(y)
    model = torch.nn.Linear(3, 3, dtype=torch.double)
    loss = fl.CategoricalCrossEntropy().torch()
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=500, tolerance_grad=1e-10, tolerance_change=0,
                                   line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        value = loss(model(X), y)
        value.backward()
        return value

    optimiser.step(closure)
    assert float(model.weight.grad.norm()) < 1e-8
    W = minimum(fl.CategoricalCrossEntropy().scipy(X.numpy(), y.numpy(), l2=1e-12)).reshape(4, 3)
    expected = (X @ torch.tensor(W[:3]) + torch.tensor(W[3])).softmax(1)
    torch.testing.assert_close(model(X).softmax(1).detach(), expected, rtol=0, atol=1e-6)

    network = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    adam = torch.optim.Adam(network.parameters(), lr=0.05)
    values = []
    for _ in range(40):
        adam.zero_grad()
        value = loss(network(X.float()), y)
        value.backward()
        adam.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.8 * values[0]


def test_torch_modules_can_be_copied(torch):
    module = fl.CategoricalCrossEntropy(class_weight=[1.0, 2.0, 3.0]).torch("sum")
    for again in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        assert (again.loss, again.reduction) == (module.loss, "sum")
    assert list(module.parameters()) == []
    assert module.state_dict() == {}
    assert "reduction='sum'" in repr(torch.nn.Sequential(module))


@pytest.mark.process
def test_torch_compile_leaves_the_loss_alone(torch, run_python):
    """Kernels that are not compiled yet are, outside of its tracing."""
    printed = run_python("""
import fusedloss as fl, torch
module, y = fl.LogCosh().torch(), torch.zeros(5)
x = torch.linspace(-2, 2, 5, requires_grad=True)
value = torch.compile(lambda x: module(2 * x, y), backend="eager")(x)
value.backward()
expected = torch.log(torch.cosh(2 * x)).mean()
print(torch.allclose(value, expected), torch.allclose(x.grad, 2 * torch.tanh(2 * x) / 5))
""")
    assert printed == "True True\n"


def test_torch_errors(torch):
    x, y = torch.zeros(3, requires_grad=True), torch.tensor([0, 1, 0])
    module = fl.BinaryCrossEntropy().torch()
    for arguments, error, words in [
            ((x, y.float().requires_grad_()), ValueError, r"target requires grad.*pass target.detach\(\)"),
            ((x, y, torch.ones(3, requires_grad=True)), ValueError, r"weight requires grad.*pass weight.detach\(\)"),
            ((y, y), TypeError, r"input has dtype torch.int64: pass input.float\(\)"),
            ((x.to("meta"), y), ValueError, r"input is on meta, and this loss runs on the CPU: pass input.cpu\(\)"),
            ((x.to_sparse(), y), TypeError, r"input has layout torch.sparse_coo; it must be dense: pass input.to_dense"),
            (([0.0], y), TypeError, r"input is a list; it must be a tensor: pass torch.as_tensor\(input\)"),
            ((x, [0, 1, 0]), TypeError, "target is a list"),
            ((x, y[:2]), ValueError, r"y_true has shape \(2,\) and y_pred has shape \(3,\)"),
            ((x, y - 1), ValueError, r"y_true\[0\] = -1: binary_cross_entropy needs"),
    ]:
        with pytest.raises(error, match=words) as caught:
            module(*arguments)
        if "y_true" in words:
            assert caught.value.__notes__ == ["y_true is target here, y_pred is input, and sample_weight is weight."]
    with pytest.raises(ValueError, match="reduction must be one of 'mean', 'sum', 'none', found 'max'"):
        fl.Huber().torch("max")


# ---- JAX ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def jax():
    return pytest.importorskip("jax")


@pytest.fixture(params=[False, True], ids=["x32", "x64"])
def jax_dtype(jax, request):
    """float32 or, with jax_enable_x64, float64."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param)
    yield np.float64 if request.param else np.float32
    jax.config.update("jax_enable_x64", before)


def test_jax_values_and_gradients_equal_a_formula_in_jax(jax, jax_dtype):
    """A loss of numbers in float32, a loss of rows in float64."""
    jnp = jax.numpy
    rng = RNG(0)
    w = rng.uniform(0.5, 2.0, 60)
    if jax_dtype == np.float32:
        y, f, tolerance = rng.integers(0, 2, 60), rng.normal(size=60), {"rtol": 1e-5, "atol": 1e-7}
        ours = fl.BinaryCrossEntropy().jax()

        def formula(y, f, w):
            return jnp.sum(w * (jnp.logaddexp(0.0, f) - y * f)) / jnp.sum(w)
    else:
        y, f, tolerance = rng.integers(0, 3, 60), rng.normal(size=(60, 3)), {"rtol": 1e-12, "atol": 1e-14}
        ours = fl.CategoricalCrossEntropy().jax()

        def formula(y, f, w):
            return jnp.sum(w * (jax.scipy.special.logsumexp(f, axis=1) - f[jnp.arange(60), y])) / jnp.sum(w)

    expected, expected_gradient = jax.value_and_grad(formula, argnums=1)(y, f, w)
    for transform in (lambda function: function, jax.jit):
        value = transform(ours)(y, f, w)
        assert (value.dtype, value.shape) == (jax_dtype, ())
        np.testing.assert_allclose(value, expected, **tolerance)
        value, gradient = transform(jax.value_and_grad(ours, argnums=1))(y, f, w)
        np.testing.assert_allclose(value, expected, **tolerance)
        assert gradient.dtype == jax_dtype
        np.testing.assert_allclose(gradient, expected_gradient, **tolerance)

    def through_a_model(t, loss):
        return 3.0 * loss(y, jnp.tanh(t * f), w)

    slopes = [jax.jit(jax.grad(functools.partial(through_a_model, loss=loss)))(0.7) for loss in (ours, formula)]
    np.testing.assert_allclose(*slopes, **tolerance)


def test_jax_maps(jax):
    ours = fl.BinaryCrossEntropy().jax()
    F, y = RNG(0).normal(size=(4, 10)).astype(np.float32), np.arange(10) % 2
    each = [ours(y, f) for f in F]
    np.testing.assert_allclose(jax.vmap(ours, in_axes=(None, 0))(y, F), each, rtol=1e-6)
    gradients = jax.jit(jax.vmap(jax.grad(ours, argnums=1), in_axes=(None, 0)))(y, F)
    np.testing.assert_allclose(gradients, [jax.grad(ours, argnums=1)(y, f) for f in F], rtol=1e-6)


def test_jax_on_arrays_that_take_several_threads(jax):
    f = np.linspace(-5, 5, 300_000, dtype=np.float32)
    y = np.arange(f.size) % 2
    loss = fl.BinaryCrossEntropy()
    value, gradient = jax.jit(jax.value_and_grad(loss.jax(), argnums=1))(y, f)
    expected, expected_gradient = loss.value_and_grad(y.astype(np.int32), f)
    assert value == np.float32(expected)
    np.testing.assert_array_equal(gradient, expected_gradient)


def test_jax_compiles_equal_losses_once(jax):
    compiled = []

    def listen(event, duration, **_):
        if "compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        y, f = np.zeros(3, np.float32), np.ones(3, np.float32)
        first, second = fl.Huber(delta=2.0).jax(), fl.Huber(delta=2.0).jax()
        values = [first(y, f)]
        assert compiled
        compiled.clear()
        values.append(second(y, f))
        assert compiled == []
    finally:
        jax.monitoring.clear_event_listeners()
    assert values[0] == values[1] == 0.5
    assert pickle.loads(pickle.dumps(first)) == second


def test_jax_errors(jax):
    ours = fl.BinaryCrossEntropy().jax()
    y, f, w = np.array([0.0, 1.0]), np.array([0.5, -0.5]), np.ones(2)
    for argnum, name in ((0, "y_true"), (2, "sample_weight")):
        with pytest.raises(ValueError, match=rf"{name} is differentiated.*pass jax.lax.stop_gradient\({name}\)"):
            jax.grad(ours, argnums=argnum)(y, f, w)
    for dtype in (jax.numpy.bfloat16, np.int32):
        with pytest.raises(TypeError, match=r"y_pred has dtype .*: pass y_pred.astype\(jax.numpy.float32\)"):
            ours(y, f.astype(dtype))
    with pytest.raises(Exception, match=r"y_true\[0\] = -1.0: binary_cross_entropy needs y_true") as caught:
        ours(y - 1, f).block_until_ready()
    assert "JaxRuntimeError" in type(caught.value).__name__
    with pytest.raises(ValueError, match="JVP"):
        jax.hessian(ours, argnums=1)(y, f)


# ---- all of them -------------------------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_library_that_is_missing_is_named(library, run_python):
    printed = run_python(f"""
import sys
import fusedloss as fl
sys.modules[{library!r}] = None
try:
    fl.Huber().{library}()
except ImportError as error:
    print(error)
print([name for name in ("numba", "sklearn", "scipy", "torch", "jax") if sys.modules.get(name)])
""")
    assert f'pip install "fusedloss[{library}]"' in printed
    assert printed.splitlines()[1] == "[]"
