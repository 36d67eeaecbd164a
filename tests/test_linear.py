"""Linear models in one pass: against the same model written with NumPy, and against scikit-learn's estimators."""

import functools
import pickle
import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize

import fusedloss as fl
from fusedloss import compile, drivers
from fusedloss.kernels import linear as kernels

RNG = np.random.default_rng
N, D = 1003, 21  # three groups of rows; a last block, a last group of 8 rows and a last vector that are not full

LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "csr": sparse.csr_array,
}


@functools.cache
def problem(n=N, d=D, classes=3):
    """(X with zeros in it, labels, weights): read-only."""
    rng = RNG(n + d + classes)
    X = np.where(rng.random((n, d)) < 0.3, 0.0, rng.normal(size=(n, d)))
    arrays = X, rng.integers(0, classes, n), rng.uniform(0.5, 2.0, n)
    for a in arrays:
        a.setflags(write=False)
    return arrays


class Reference:
    """The same objective with NumPy: every derivative from the values, gradients and Hessians of all scores."""

    def __init__(self, X, w, l2, fit_intercept, value, gradient, hessian):
        self.d, self.w, self.l2 = X.shape[1], w / w.sum(), l2
        self.X = np.column_stack([X, np.ones(len(X))]) if fit_intercept else X
        self.formulas = value, gradient, hessian

    def __call__(self, W):
        value, gradient, _ = self.formulas
        scores = self.X @ W
        slopes = (gradient(scores).T * self.w).T
        penalised = np.zeros_like(W)
        penalised[: self.d] = self.l2 * W[: self.d]
        return (self.w @ value(scores) + 0.5 * np.vdot(penalised, W), self.X.T @ slopes + penalised,
                np.multiply.outer(slopes, W[: self.d]) if W.ndim == 1 else slopes @ W[: self.d].T)

    def hess(self, W):
        """(N, N), W in C order."""
        blocks = self.formulas[2](self.X @ W).reshape(len(self.X), W[0].size, W[0].size)
        H = np.einsum("i,ik,il,iab->kalb", self.w, self.X, self.X, blocks).reshape(W.size, W.size)
        penalised = np.arange(W[: self.d].size)
        H[penalised, penalised] += self.l2
        return H


def logistic(y):
    def probability(z):
        return 1.0 / (1.0 + np.exp(-z))

    return (lambda z: np.logaddexp(0.0, z) - y * z, lambda z: probability(z) - y,
            lambda z: probability(z) * (1.0 - probability(z)))


def softmax(y):
    def probabilities(z):
        P = np.exp(z - z.max(axis=1, keepdims=True))
        return P / P.sum(axis=1, keepdims=True)

    def gradient(z):
        P = probabilities(z)
        P[np.arange(len(y)), y] -= 1.0
        return P

    def hessian(z):
        P = probabilities(z)
        return P[:, :, None] * (np.eye(P.shape[1]) - P[:, None, :])

    return lambda z: -np.log(probabilities(z)[np.arange(len(y)), y]), gradient, hessian


def close(found, expected, rtol=1e-12):
    """Equal up to rounding, relative to the largest number."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=rtol * np.abs(expected).max())


# ---- values and derivatives --------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["logistic", "softmax"])
def test_value_and_derivatives_are_those_of_numpy(kind, layout):
    X, y, w = problem()
    rng = RNG(0)
    if kind == "logistic":
        y = y % 2
        loss, formulas, shape = fl.BinaryCrossEntropy(), logistic(y), (D + 1,)
    else:
        loss, formulas, shape = fl.CategoricalCrossEntropy(), softmax(y), (D + 1, 3)
    W, V = rng.normal(size=(2, *shape))
    reference = Reference(X, w, 0.3, True, *formulas)
    value, gradient, for_X = reference(W)
    H = reference.hess(W)
    objective = fl.LinearObjective(loss, LAYOUTS[layout](X), y, w, l2=0.3)
    found = objective.value_and_grad(W)
    assert type(found[0]) is float
    assert (found[1].dtype, found[1].shape) == (np.float64, shape)
    assert found[0] == pytest.approx(value, rel=1e-13)
    close(found[1], gradient)
    close(objective.hvp(W, V).reshape(-1), H @ V.reshape(-1))
    close(objective.hess(W), H)
    if layout == "csr":
        with pytest.raises(TypeError, match=r"X is sparse: pass X.toarray\(\)"):
            objective.value_and_grads(W)
    else:
        found = objective.value_and_grads(W)
        assert found[0] == pytest.approx(value, rel=1e-13)
        close(found[1], gradient)
        close(found[2], for_X)


SOME_LAYOUTS = ["C", *[pytest.param(layout, marks=pytest.mark.exhaustive) for layout in ("F", "csr")]]


@pytest.mark.parametrize("layout", SOME_LAYOUTS)
@pytest.mark.parametrize("loss", [fl.BinaryCrossEntropy(), fl.CategoricalCrossEntropy()], ids=lambda loss: loss.name)
def test_float32_is_computed_in_float32_and_summed_in_float64(loss, layout):
    X, y, w = problem(20_000, 9)
    y, X = y % 2, X.astype(np.float32)
    W = RNG(1).normal(size=(10, 2) if loss.rowwise else 10)
    formulas = (softmax if loss.rowwise else logistic)(y)
    value, gradient, _ = Reference(X.astype(np.float64), w, 0.0, True, *formulas)(W.astype(np.float32).astype(np.float64))
    objective = fl.LinearObjective(loss, LAYOUTS[layout](X), y, w)
    found = objective(W)
    assert found[0] == pytest.approx(value, rel=1e-7)
    assert found[1].dtype == np.float64
    close(found[1], gradient, 1e-6)
    assert (objective(W.astype(np.float32))[1] == found[1]).all()
    if layout == "C":
        assert objective.value_and_grads(W)[2].dtype == np.float32


@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("d", [1, 7, 8, 9, 16, 24, 31, 300])
def test_any_number_of_columns(d, layout):
    X, y, w = problem(77, d)
    W = RNG(2).normal(size=d) / np.sqrt(d)
    value, gradient, _ = Reference(X, w, 0.0, False, *logistic(y % 2))(W)
    objective = fl.LinearObjective(fl.BinaryCrossEntropy(), LAYOUTS[layout](X), y % 2, w, fit_intercept=False)
    assert objective(W)[0] == pytest.approx(value, rel=1e-13)
    close(objective(W)[1], gradient)


@pytest.mark.parametrize("F", [np.float64, np.float32])
@pytest.mark.parametrize(("M", "K", "N"), [(1, 1, 1), (9, 300, 25), (130, 257, 8), (8, 3, 49), (300, 5, 100)])
def test_product_of_matrices(M, K, N, F):
    rng = RNG(3)
    a, b, out = rng.normal(size=(K, M)).astype(F).T, rng.normal(size=(K, N)), rng.normal(size=(M, N))
    expected = out + a.astype(np.float64) @ b.astype(F).astype(np.float64)
    compile.product(F, b.dtype, "C", out.dtype, "serial")(a, b, out, 0, kernels.units(out.shape, F))
    close(out, expected, 1e-14 if F is np.float64 else 1e-5)


def test_w_comes_flat_or_as_a_matrix_and_the_gradient_in_its_shape():
    X, y, _ = problem()
    objective = fl.LinearObjective(fl.CategoricalCrossEntropy(), X, y, fit_intercept=False)
    W = RNG(4).normal(size=(D, 3))
    flat, matrix = objective(W.reshape(-1))[1], objective(np.asfortranarray(W))[1]
    assert (flat.shape, matrix.shape) == ((3 * D,), (D, 3))
    assert (flat == matrix.reshape(-1)).all()
    assert objective.hvp(W, W.reshape(-1)).shape == (D, 3)
    assert objective(np.zeros((D, 3), int))[0] == pytest.approx(np.log(3))


def test_several_targets_each_with_its_own_units():
    """A loss scaled by the data knows its units from all of y, not from a block."""
    X, y, w = problem(9001, 2)
    Y = np.column_stack([y, 10.0 * y + X[:, 0]])
    W = RNG(5).normal(size=(3, 2))
    scores = X @ W[:2] + W[2]
    for loss in (fl.SquaredError().scaled("std"), fl.SquaredError(), fl.SquaredError().scaled([1.0, 5.0])):
        value, slopes = loss.value_and_grad(Y, scores, w)
        objective = fl.LinearObjective(loss, X, Y, w)
        found = objective(W)
        assert found[0] == pytest.approx(value, rel=1e-13)
        close(found[1], np.vstack([X.T @ slopes, slopes.sum(axis=0)]))
    numeric = (objective(W + 1e-3)[1] - objective(W - 1e-3)[1]) / 2e-3
    close(objective.hvp(W, np.ones((3, 2))), numeric, 1e-9)
    close(objective.hess(W) @ np.ones(6), numeric.reshape(-1), 1e-9)


@pytest.mark.parametrize("options", [{"class_weight": "balanced"}, {"class_weight": {2: 3.0}, "ignore_index": 1}])
def test_classes_are_weighed_as_in_a_call_on_all_scores(options):
    X, y, w = problem(9001, 2)
    loss, W = fl.CategoricalCrossEntropy(**options), RNG(6).normal(size=(3, 3))
    value, slopes = loss.value_and_grad(y, X @ W[:2] + W[2], w)
    objective = fl.LinearObjective(loss, X, y, w)
    assert len(objective._engine.bounds) > 2
    assert objective(W)[0] == pytest.approx(value, rel=1e-13)
    close(objective(W)[1], np.vstack([X.T @ slopes, slopes.sum(axis=0)]))


def test_rows_of_one_score_and_of_a_distribution():
    X, y, w = problem(500, 3)
    for loss, target, shape in ((fl.CumulativeLogit(thresholds=[0.0, 1.0]), y, (4,)), (fl.GaussianNLL(), y + 0.5, (4, 2))):
        objective, W = fl.LinearObjective(loss, X, target, w), RNG(7).normal(size=shape)
        value, slopes = loss.value_and_grad(target, X @ W[:3] + W[3], w)
        assert objective(W)[0] == pytest.approx(value, rel=1e-13)
        close(objective(W)[1], np.concatenate([X.T @ slopes, slopes.sum(axis=0)[None]]))
        if loss.single_score:
            numeric = (objective(W + 1e-5)[1] - objective(W - 1e-5)[1]) / 2e-5
            close(objective.hvp(W, np.ones(shape)), numeric, 1e-7)
            close(objective.hess(W) @ np.ones(W.size), numeric.reshape(-1), 1e-7)


# ---- samples that are out ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["C", "F", "csr"])
@pytest.mark.parametrize("loss", [fl.BinaryCrossEntropy(), fl.CategoricalCrossEntropy()], ids=lambda loss: loss.name)
def test_weight_0_takes_a_sample_out_with_all_that_is_unknown(loss, layout):
    X, y, w = (a.copy() for a in problem(600, 5))
    y = y % 2
    w[::3] = 0.0
    W = RNG(8).normal(size=(6, 2) if loss.rowwise else 6)
    kept = w > 0
    options = {"n_outputs": 2} if loss.rowwise else {}
    expected = fl.LinearObjective(loss, LAYOUTS[layout](X[kept]), y[kept], w[kept], **options)(W)
    for unknown in (1.0, np.nan, np.inf):
        X[0, 2], X[3] = unknown, unknown
        y[0] = 7
        found = fl.LinearObjective(loss, LAYOUTS[layout](X), y, w, **options)(W)
        assert found[0] == pytest.approx(expected[0], rel=1e-13)
        close(found[1], expected[1])


def test_unknown_numbers_make_the_result_unknown():
    X, y, _ = (a.copy() for a in problem(600, 5))
    X[70, 1] = np.nan
    value, gradient = fl.LinearObjective(fl.BinaryCrossEntropy(), X, y % 2)(np.ones(6))
    assert np.isnan([value, *gradient]).all()


# ---- the same bits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", SOME_LAYOUTS)
@pytest.mark.parametrize("loss", [fl.BinaryCrossEntropy(), fl.CategoricalCrossEntropy()], ids=lambda loss: loss.name)
def test_bits_do_not_depend_on_threads(loss, layout):
    X, y, w = problem(20_000, 3)
    y, X = y % 2, LAYOUTS[layout](X)
    W, V = RNG(9).normal(size=(2, 4, 2) if loss.rowwise else (2, 4))

    def bits(**options):
        objective = fl.LinearObjective(loss, X, y, w, **options)
        assert (objective._engine.groups if loss.rowwise else len(objective._engine.y) // objective._engine.rows) > 2
        value, gradient = objective(W)
        return value, gradient.tobytes(), objective.hvp(W, V).tobytes(), objective.hess(W).tobytes()

    expected = bits(executor="serial")
    assert bits() == expected
    for executor in ("threads", "numba"):
        for n_threads in (2, 3):
            assert bits(executor=executor, n_threads=n_threads) == expected


def test_bits_of_many_columns_do_not_depend_on_threads(monkeypatch):
    """Here the threads share the products of one block."""
    monkeypatch.setattr(drivers, "thread_limit", lambda n_threads=None: n_threads or 1)
    X, _, w = problem(200, 150)
    W, Y = RNG(10).normal(size=(151, 60)), RNG(11).normal(size=(200, 60))
    found = [fl.LinearObjective(fl.SquaredError(), X, Y, w, executor=executor, n_threads=threads)(W)
             for executor, threads in (("serial", 1), ("threads", 3), ("numba", 2))]
    assert kernels.units((151, 60), np.float64) > 3
    assert len({(value, gradient.tobytes()) for value, gradient in found}) == 1


HEX = """
import hashlib
import numpy as np
import fusedloss as fl

rng = np.random.default_rng(0)
X, y = rng.normal(size=(1003, 21)), rng.integers(0, 2, 1003)
found = hashlib.sha256()
for loss, a, target in ((fl.BinaryCrossEntropy(), X, y), (fl.SquaredError(), np.asfortranarray(X, np.float32), y),
                        (fl.SquaredError(), X, np.stack([y, -y], axis=1))):
    objective = fl.LinearObjective(loss, a, target)
    value, gradient = objective(np.ones(objective.x0().size))
    found.update(value.hex().encode() + gradient.tobytes())
print(found.hexdigest())
"""


@pytest.mark.process
def test_bits_are_those_of_any_processor(run_python):
    """Vectors of 64 bytes, in one register, in two, in four."""
    assert run_python(HEX, NUMBA_CPU_NAME="generic") == run_python(HEX, NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES="") \
        == run_python(HEX)


def test_bits_of_a_strided_matrix_are_those_of_a_copy():
    X, y, w = problem()
    W = RNG(11).normal(size=D + 1)
    wide = np.repeat(X, 2, axis=1)
    rows = np.repeat(X, 3, axis=0)
    unaligned = np.frombuffer(b"x" + X.tobytes(), np.uint8)[1:].view(np.float64).reshape(X.shape)
    for other in (wide[:, ::2], rows[::3], unaligned):
        for executor in ("serial", "threads"):
            found, expected = (fl.LinearObjective(fl.BinaryCrossEntropy(), a, y % 2, w, executor=executor)(W)
                               for a in (other, X))
            assert (found[0], found[1].tobytes()) == (expected[0], expected[1].tobytes())


# ---- memory ------------------------------------------------------------------------------------------------------


def extra_bytes(function):
    """The peak of what a call allocates."""
    function()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_scores_of_many_classes_are_never_in_memory():
    n, d, C = 8000, 5, 2000
    X, y, _ = problem(n, d, C)
    objective = fl.LinearObjective(fl.CategoricalCrossEntropy(), X, y, n_outputs=C)
    W = np.zeros((d + 1, C))
    assert extra_bytes(lambda: objective(W)) - W.nbytes < 0.01 * 8 * n * C


def test_one_pass_makes_nothing_of_the_length_of_the_data():
    n = 100_000
    X, y, _ = problem(n, 4)
    for layout in ("C", "F", "csr", "strided"):
        objective = fl.LinearObjective(fl.BinaryCrossEntropy(), LAYOUTS[layout](X), (y % 2).astype(float), n_threads=1)
        assert extra_bytes(lambda objective=objective: objective(np.zeros(5))) < 0.25 * 8 * n


# ---- optima ------------------------------------------------------------------------------------------------------


@functools.cache
def standardised(loader):
    from sklearn import datasets
    from sklearn.preprocessing import StandardScaler

    X, y = getattr(datasets, loader)(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def minimum(objective, method="BFGS", **more):
    """Where SciPy ends."""
    found = minimize(objective, objective.x0(), jac=True, method=method, options={"gtol": 1e-9, "maxiter": 5000}, **more).x
    assert np.abs(objective(found)[1]).max() < 1e-7  # it cannot always tell the last improvements from rounding
    return found


@pytest.mark.parametrize("loader", ["load_breast_cancer", "load_wine"])
def test_optimum_is_that_of_logistic_regression(loader):
    """scikit-learn minimises C sum(w l) + ||coefficients||^2 / 2."""
    from sklearn.linear_model import LogisticRegression

    X, y = standardised(loader)
    w = RNG(0).uniform(0.5, 2.0, len(y))
    peer = LogisticRegression(C=0.5, tol=1e-12, max_iter=10000, solver="newton-cholesky").fit(X, y, sample_weight=w)
    loss = fl.BinaryCrossEntropy() if y.max() == 1 else fl.CategoricalCrossEntropy()
    objective = fl.LinearObjective(loss, X, y, w, l2=1 / (0.5 * w.sum()))
    W = minimum(objective, "trust-ncg", hessp=objective.hvp).reshape(X.shape[1] + 1, -1)
    np.testing.assert_allclose(W[:-1].T, peer.coef_, atol=1e-6)
    free = 0.0 if len(peer.intercept_) == 1 else W[-1].mean() - peer.intercept_.mean()  # softmax leaves one constant free
    np.testing.assert_allclose(W[-1] - free, peer.intercept_, atol=1e-6)


@pytest.mark.parametrize("kind", ["poisson", "tweedie"])
def test_optimum_is_that_of_generalised_linear_models(kind):
    from sklearn.linear_model import PoissonRegressor, TweedieRegressor

    X, y = standardised("load_diabetes")
    y, w = np.floor(y / 50), RNG(0).uniform(0.5, 2.0, len(y))
    options = dict(alpha=0.2, tol=1e-12, max_iter=10000, solver="newton-cholesky")
    peer, loss = {"poisson": (PoissonRegressor(**options), fl.Poisson()),
                  "tweedie": (TweedieRegressor(power=1.5, link="log", **options), fl.Tweedie(power=1.5))}[kind]
    peer.fit(X, y, sample_weight=w)
    found = minimum(fl.LinearObjective(loss, X, y, w, l2=0.2))
    np.testing.assert_allclose(found, [*peer.coef_, peer.intercept_], atol=1e-6)


def test_optimum_is_that_of_robust_regression_at_its_scale():
    """At scale s scikit-learn's terms are 2/s Huber_(epsilon s), and its penalty is alpha ||coefficients||^2."""
    from sklearn.linear_model import HuberRegressor

    X, y = standardised("load_diabetes")
    peer = HuberRegressor(epsilon=1.35, alpha=0.1, max_iter=1000).fit(X, y / 50)
    objective = fl.LinearObjective(fl.Huber(delta=1.35 * peer.scale_), X, y / 50, l2=0.1 * peer.scale_ / len(y))
    found, peers = minimum(objective), np.array([*peer.coef_, peer.intercept_])
    np.testing.assert_allclose(found, peers, atol=1e-4)  # its search ends at a gradient of 3e-6
    assert 0 <= objective(peers)[0] - objective(found)[0] < 1e-9


def test_optimum_is_that_of_quantile_regression():
    """The pinball loss has a kink at every residual 0: SciPy follows a smooth loss down to it, and the value that it reaches
    is the linear program's up to the width of the smoothing."""
    from sklearn.linear_model import QuantileRegressor

    X, y = standardised("load_diabetes")
    X, y = X[:, :4], y / 50
    peer = QuantileRegressor(quantile=0.8, alpha=0.0).fit(X, y)
    objective = fl.LinearObjective(fl.Pinball(quantile=0.8), X, y)
    found = objective.x0()
    for width in (0.3, 0.03, 0.003, 3e-4):
        smooth = fl.LinearObjective(fl.HuberPinball(quantile=0.8, delta=width), X, y)
        found = minimize(smooth, found, jac=True, method="BFGS", options={"gtol": 1e-7}).x
    best = objective([*peer.coef_, peer.intercept_])[0]
    assert -1e-12 < objective(found)[0] - best < 1e-4 * best
    assert objective(objective.x0())[0] > 1.05 * best


# ---- the object --------------------------------------------------------------------------------------------------


def test_start_is_the_best_constant():
    X, y, w = problem()
    objective = fl.LinearObjective(fl.BinaryCrossEntropy(), X, y % 2, w)
    rate = w @ (y % 2) / w.sum()
    np.testing.assert_allclose(objective.x0(), [0.0] * D + [np.log(rate / (1 - rate))], rtol=1e-12)
    assert fl.LinearObjective(fl.BinaryCrossEntropy(), X, y % 2, fit_intercept=False).x0().tolist() == [0.0] * D
    start = fl.LinearObjective(fl.CategoricalCrossEntropy(), X, y, n_outputs=4).x0()
    assert start.shape == (4 * (D + 1),)
    assert np.isfinite(start).all()


def test_pickles_and_results_are_new():
    X, y, w = problem()
    objective = fl.LinearObjective(fl.Huber(delta=0.5), X, y.astype(float), w, l2=0.1, fit_intercept=False)
    again, W = pickle.loads(pickle.dumps(objective)), np.ones(D)
    first, second = objective(W), again(W)
    assert first[0] == second[0]
    assert (first[1] == second[1]).all()
    kept = first[1].copy()
    objective(2 * W)
    assert (first[1] == kept).all()


def test_parameters_reach_the_same_kernel():
    X, y, _ = problem()
    one, other = (fl.LinearObjective(fl.Huber(delta=delta), X, y.astype(float)) for delta in (0.5, 2.0))
    W = np.ones(D + 1)
    residuals = X.sum(axis=1) + 1.0 - y
    for objective, delta in ((one, 0.5), (other, 2.0)):
        assert objective(W)[1][-1] == pytest.approx(np.clip(residuals, -delta, delta).mean(), rel=1e-12)


def errors():
    X, y, w = problem()
    y2, loss, rows = y % 2, fl.BinaryCrossEntropy(), fl.CategoricalCrossEntropy()
    new = fl.LinearObjective
    bad_index = sparse.csr_array(X)
    bad_index.indices[5] = D
    negative = np.where(np.arange(N) == 7, -1.0, w)

    class NoHessian(fl.Elementwise):
        """Squares."""

        def value(self, y, f):
            return (f - y) ** 2

        def gradient(self, y, f):
            return 2 * (f - y)

    return {
        "one dimension": (lambda: new(loss, X[:, 0], y2), ValueError, r"X has shape \(1003,\).*X\[:, None\]"),
        "integers": (lambda: new(loss, X.astype(int), y2), TypeError, r"X has dtype int64.*X.astype\(numpy.float64\)"),
        "float16": (lambda: new(loss, X.astype(np.float16), y2), TypeError, "X has dtype float16; it must be float32"),
        "COO": (lambda: new(loss, sparse.coo_array(X), y2), TypeError, r"COO format.*pass X.tocsr\(\)"),
        "index beyond": (lambda: new(loss, bad_index, y2), ValueError, "indices"),
        "length": (lambda: new(loss, X, y2[1:]), ValueError, r"y has shape \(1002,\) and X has 1003 rows"),
        "empty": (lambda: new(loss, X[:0], y2[:0]), ValueError, "X has no rows"),
        "l2": (lambda: new(loss, X, y2, l2=-1.0), ValueError, "l2 must be finite and not negative, found -1"),
        "intercept": (lambda: new(loss, X, y2, fit_intercept=1), TypeError, "fit_intercept must be True or False, found 1"),
        "executor": (lambda: new(loss, X, y2, executor="gpu"), ValueError, "executor must be one of.*found 'gpu'"),
        "n_outputs": (lambda: new(loss, X, y2, n_outputs=2), ValueError, "n_outputs is for losses of rows"),
        "n_outputs=0": (lambda: new(rows, X, y, n_outputs=0), ValueError, "n_outputs must be at least 1, found 0"),
        "outputs unknown": (lambda: new(fl.EnsembleCRPS(), X, w), ValueError, "pass n_outputs="),
        "label": (lambda: new(loss, X, np.where(y2 == 0, -1, 1)), ValueError, r"y\[\d+\] = -1: .*\(y \+ 1\) / 2"),
        "label of rows": (lambda: new(rows, X, y, n_outputs=2), ValueError, r"y\[\d+\] = 2: .*needs a label from 0 to 1"),
        "row of targets": (lambda: new(fl.KullbackLeibler(), X, np.full((N, 2), -0.5)), ValueError, r"y\[0, 0\] = -0.5"),
        "weights": (lambda: new(loss, X, y2, negative), ValueError, r"sample_weight\[7\] = -1.0"),
        "no weight": (lambda: new(loss, X, y2, 0 * w), ValueError, "no sample has weight"),
        "shape of w": (lambda: new(loss, X, y2)(np.zeros(D)), ValueError, r"w has shape \(21,\).*\(22,\)$"),
        "shape of W": (lambda: new(rows, X, y)(np.zeros(D)), ValueError, r"must have shape \(66,\): \(22, 3\) in C order"),
        "shape of v": (lambda: new(loss, X, y2).hvp(np.zeros(D + 1), 0.0), ValueError, r"v has shape \(\)"),
        "outside": (lambda: new(fl.BinaryCrossEntropy(from_logits=False), X, y2)(np.r_[np.zeros(D), 1.5]), ValueError,
                    r"X @ w\[0\] = 1.5: .*from_logits=True"),
        "outside by a rounding": (lambda: new(fl.BinaryCrossEntropy(from_logits=False), X, y2)._engine._raise_outside(
            np.r_[np.zeros(D), 1.0], slice(0, 9)), ValueError, "outside in rows 0 to 9, by a rounding: binary_cross"),
        "no hessian": (lambda: new(NoHessian(), X, w).hvp(np.zeros(D + 1), np.zeros(D + 1)), ValueError,
                       "NoHessian has no formula hessian"),
        "large hess": (lambda: new(rows, X, y, n_outputs=1000).hess(np.zeros((D + 1, 1000))), ValueError,
                       r"22,000 x 22,000 numbers, 3.87 GB: use hvp"),
    }


@pytest.mark.parametrize("case", errors())
def test_errors(case):
    call, error, words = errors()[case]
    with pytest.raises(error, match=words):
        call()
