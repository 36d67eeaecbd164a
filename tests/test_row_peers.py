"""A peer's name gives the peer's number for row losses too: its clipping, factors, weights and means."""

import numpy as np
import pytest
from rows import interpreted

import fusedloss as fl
from fusedloss import evaluate_rows
from fusedloss.peers import PEERS

rng = np.random.default_rng(11)
N, C = 37, 5
LOGITS = rng.normal(0.0, 2.0, (N, C))
LABELS = rng.integers(0, C, N)
SOFT = rng.dirichlet(np.ones(C), N)
SOFT[::3, 1] = 0.0
HOT = (rng.random((N, C)) < 0.4) * 1.0
SHARES = rng.dirichlet(np.full(C, 0.5), N) * rng.uniform(0.5, 2.0, (N, 1))
SHARES[::4, 2] = 1e-9
PROBABILITIES = np.clip(SHARES, 0.0, 1.0)
PROBABILITIES[::5, 0], PROBABILITIES[1::5, 3] = 0.0, 1.0
LOG_P = LOGITS - np.log(np.exp(LOGITS).sum(1, keepdims=True))
NUMBERS = rng.normal(0.0, 2.0, N)
MOMENTS = np.stack([rng.normal(size=N), np.exp(rng.normal(size=N))], 1)
MOMENTS[::6, 1] = 1e-8
SCALES = np.stack([rng.normal(size=N), np.exp(rng.normal(size=N))], 1)
WEIGHTS = np.array([1.0, 0.5, 0.0, 3.0, 2.0])
ALPHA = (0.125, 0.5, 0.75, 0.25, 1.0)


def derivatives(torch, function, y, f):
    """Value, gradient, and Hessian of each row by automatic differentiation of a function of one row."""
    for target, row in zip(y, f, strict=True):
        target = torch.as_tensor(target)
        prediction = torch.tensor(row, requires_grad=True)
        value = function(prediction, target)
        gradient = torch.autograd.grad(value, prediction, create_graph=True)[0]
        hessian = torch.stack([torch.autograd.grad(g, prediction, retain_graph=True)[0] if g.requires_grad
                               else torch.zeros(len(row), dtype=torch.float64) for g in gradient])
        yield value.item(), gradient.detach().numpy(), hessian.numpy()


def check_formulas(torch, loss, y, f, function):
    assert evaluate_rows._Call(loss, "value_grad_hess", y, f, None, None, "exact", True, None).program.source  # traced
    direction = np.random.default_rng(0).normal(size=f.shape[1])
    for i, (value, gradient, hessian) in enumerate(derivatives(torch, function, y, f)):
        got = {name: interpreted(loss, name, y[i], f[i], np.float64) for name in ("value", "gradient", "hessian")}
        largest = max(abs(hessian).max(), abs(gradient).max())
        assert got["value"] == pytest.approx(value, rel=1e-12, abs=1e-13), (i, y[i], f[i])
        np.testing.assert_allclose(got["gradient"], gradient, rtol=1e-12, atol=1e-12 * abs(gradient).max())
        np.testing.assert_allclose(got["hessian"], np.diag(hessian), rtol=1e-11, atol=1e-11 * largest)
        times = interpreted(loss, "hessian_times", y[i], f[i], np.float64, direction)
        np.testing.assert_allclose(times, hessian @ direction, rtol=1e-11, atol=1e-10 * largest)


# ---- torch -------------------------------------------------------------------------------------------------------


@pytest.mark.hosts
@pytest.mark.parametrize(("name", "parameters", "y", "f"), [
    ("cross_entropy", {}, LABELS, LOGITS),
    ("cross_entropy", {"label_smoothing": 0.2}, LABELS, LOGITS),
    ("cross_entropy", {"weight": WEIGHTS}, SOFT, LOGITS),
    ("cross_entropy", {"weight": WEIGHTS, "label_smoothing": 0.2}, LABELS, LOGITS),
    ("cross_entropy", {"weight": WEIGHTS, "label_smoothing": 0.2}, SOFT, LOGITS),
    ("nll_loss", {}, LABELS, LOG_P),
    ("multilabel_soft_margin_loss", {}, HOT, LOGITS),
    ("multilabel_soft_margin_loss", {"weight": WEIGHTS}, SOFT, LOGITS),
    ("kl_div", {}, SOFT, LOG_P),
    ("kl_div", {"log_target": True}, np.log(SOFT + 0.01), LOG_P),
    ("gaussian_nll_loss", {}, NUMBERS, MOMENTS),
    ("gaussian_nll_loss", {"full": True, "eps": 0.3}, NUMBERS, MOMENTS),
])
def test_torch(name, parameters, y, f):
    torch = pytest.importorskip("torch")
    there = {k: torch.tensor(v) if k == "weight" else v for k, v in parameters.items()}
    function = getattr(torch.nn.functional, name)

    def of_row(prediction, target):
        if name == "gaussian_nll_loss":
            return function(prediction[0], target, prediction[1], reduction="none", **there)
        return function(prediction[None], target[None], reduction="none", **there).sum()

    check_formulas(torch, fl.get(f"torch.{name}", **parameters), y, f, of_row)


def ignoring(y):
    y = y.copy()
    y[::7] = -100
    return y


@pytest.mark.hosts
@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "parameters", "y", "f"), [
    ("cross_entropy", {"weight": WEIGHTS, "label_smoothing": 0.2}, ignoring(LABELS), LOGITS),
    ("cross_entropy", {"ignore_index": 3}, LABELS, LOGITS),
    ("cross_entropy", {"weight": WEIGHTS, "label_smoothing": 0.2}, SOFT, LOGITS),
    ("nll_loss", {"weight": WEIGHTS}, ignoring(LABELS), LOG_P),
    ("multi_margin_loss", {}, LABELS, LOGITS),
    ("multi_margin_loss", {"margin": 2.5, "weight": WEIGHTS}, LABELS, LOGITS),
    ("multi_margin_loss", {"p": 2, "weight": WEIGHTS}, LABELS, LOGITS),
    ("multilabel_soft_margin_loss", {"weight": WEIGHTS}, HOT, LOGITS),
    ("gaussian_nll_loss", {}, NUMBERS, MOMENTS),
])
def test_torch_mean(name, parameters, y, f):
    """Compiled, and what the mean divides by: torch's default reduction."""
    torch = pytest.importorskip("torch")
    there = {k: torch.tensor(v) if k == "weight" else v for k, v in parameters.items()}
    prediction, target = torch.tensor(f, requires_grad=True), torch.tensor(y)
    of_two = name == "gaussian_nll_loss"
    arguments = (prediction[:, 0], target, prediction[:, 1]) if of_two else (prediction, target)
    mean = getattr(torch.nn.functional, name)(*arguments, **there)
    mean.backward()
    value, gradient = fl.get(f"torch.{name}", **parameters).value_and_grad(y, f)
    assert value == pytest.approx(mean.item(), rel=1e-12)
    there = prediction.grad.numpy()
    np.testing.assert_allclose(gradient, there, rtol=1e-12, atol=1e-14 * abs(there).max())


@pytest.mark.hosts
def test_torch_batchmean_of_kl():
    torch = pytest.importorskip("torch")
    mean = torch.nn.functional.kl_div(torch.tensor(LOG_P), torch.tensor(SOFT), reduction="batchmean").item()
    assert fl.get("torch.kl_div")(SOFT, LOG_P) == pytest.approx(mean, rel=1e-12)


@pytest.mark.hosts
def test_torch_multilabel_margin_takes_rows_here():
    torch = pytest.importorskip("torch")
    lists = np.full((N, C), -1)
    for i, row in enumerate(HOT):
        positive = np.flatnonzero(row)
        lists[i, : len(positive)] = positive
    there = torch.nn.functional.multilabel_margin_loss(torch.tensor(LOGITS), torch.tensor(lists), reduction="none")
    loss = fl.get("torch.multilabel_margin_loss")
    here = [interpreted(loss, "value", y, f, np.float64) for y, f in zip(HOT, LOGITS, strict=True)]
    np.testing.assert_allclose(here, there.numpy(), rtol=1e-12)


# ---- scikit-learn ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "parameters", "f"), [
    ("log_loss", {}, PROBABILITIES), ("brier_score_loss", {}, PROBABILITIES),
    ("brier_score_loss", {"scale_by_half": True}, PROBABILITIES), ("hinge_loss", {}, LOGITS),
])
@pytest.mark.filterwarnings("ignore:The y_pro")
def test_scikit_learn(name, parameters, f):
    metrics = pytest.importorskip("sklearn.metrics")
    w = np.random.default_rng(1).integers(0, 3, N).astype(float)
    if name != "hinge_loss":
        f = f / f.sum(1, keepdims=True)  # it refuses anything else
    loss = fl.get(f"sklearn.{name}", multiclass=True, **parameters)
    there = getattr(metrics, name)(LABELS, f, sample_weight=w, labels=range(C), **parameters)
    assert loss(LABELS, f, w) == pytest.approx(there, rel=1e-12)


def test_scikit_learn_halves_the_brier_score_of_two_classes():
    metrics = pytest.importorskip("sklearn.metrics")
    f = np.stack([SOFT[:, 0], 1.0 - SOFT[:, 0]], 1)
    y = LABELS % 2
    for half in ("auto", True, False):
        loss = fl.get("sklearn.brier_score_loss", multiclass=True, scale_by_half=half)
        here = np.mean([interpreted(loss, "value", *row, np.float64) for row in zip(y, f, strict=True)])
        assert here == pytest.approx(metrics.brier_score_loss(y, f, scale_by_half=half, labels=[0, 1]), rel=1e-12)
    assert fl.get("sklearn.brier_score_loss") == fl.BinaryBrier(from_logits=False)
    with pytest.raises(ValueError, match="multiclass=True"):
        fl.get("sklearn.brier_score_loss", scale_by_half=False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scikit_learn_clips_at_the_epsilon_of_the_dtype(dtype):
    p = np.array([[0.0, 1.0], [1.0, 0.0], [0.25, 0.75]], dtype)
    values, gradient = fl.get("sklearn.log_loss", multiclass=True).value_and_grad([0, 0, 0], p, reduction="none")
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(values, [-np.log(eps), eps, -np.log(0.25)], rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0.0, 0.0], [0.0, 0.0], [-4.0, 0.0]])


# ---- formulas of peers that need not be installed, differentiated by torch ---------------------------------------


def smoothed(torch, y, f, s):
    o = torch.nn.functional.one_hot(y, len(f)).to(f.dtype) if y.ndim == 0 else y
    return o * (1.0 - s) + s / len(f)


def clipped(torch, p):
    return torch.clip(p, 1e-7, 1.0 - 1e-7)


def keras_crossentropy(torch, f, y, s=0.0):
    return -(smoothed(torch, y, f, s) * torch.log(clipped(torch, f / f.sum()))).sum()


def keras_focal(torch, p, y, s=0.0, alpha=0.25, gamma=2.0):
    p = clipped(torch, p / p.sum())
    return (torch.as_tensor(alpha) * (1.0 - p) ** gamma * -smoothed(torch, y, p, s) * torch.log(p)).sum()


def keras_kl(torch, f, y):
    y, f = torch.clip(y, 1e-7, 1.0), torch.clip(f, 1e-7, 1.0)
    return (y * torch.log(y / f)).sum()


def keras_hinge(torch, f, y):
    o = smoothed(torch, y, f, 0.0)
    return torch.clip(((1.0 - o) * f).max() - (o * f).sum() + 1.0, min=0.0)


def squared_margins(torch, f, y):
    gaps = torch.clip(1.0 - f[y] + f, min=0.0) ** 2
    return WEIGHTS[y] * (gaps.sum() - 1.0) / len(f)


def one_versus_all(torch, f, y):
    return torch.nn.functional.binary_cross_entropy_with_logits(f, smoothed(torch, y, f, 0.0), reduction="sum")


def sklearn_log_loss(torch, f, y):
    eps = np.finfo(float).eps
    return -torch.log(torch.clip(f[y], eps, 1.0 - eps))


def phi(torch, x):
    return 0.5 * (1.0 + torch.erf(x / 2**0.5))


def crps_normal(torch, f, y):
    z = (y - f[0]) / f[1]
    return f[1] * (z * (2.0 * phi(torch, z) - 1.0) + 2.0 * torch.exp(-z * z / 2.0) / (2.0 * np.pi) ** 0.5 - np.pi**-0.5)


def crps_lognormal(torch, f, y):
    w = (torch.log(y) - f[0]) / f[1]
    inner = phi(torch, w - f[1]) + phi(torch, f[1] / 2**0.5) - 1.0
    return y * (2.0 * phi(torch, w) - 1.0) - 2.0 * torch.exp(f[0] + f[1] ** 2 / 2.0) * inner


@pytest.mark.hosts
@pytest.mark.parametrize(("name", "parameters", "y", "f", "function"), [
    ("keras.categorical_crossentropy", {}, SOFT, SHARES, keras_crossentropy),
    ("keras.categorical_crossentropy", {"label_smoothing": 0.2}, LABELS, SHARES, lambda *a: keras_crossentropy(*a, 0.2)),
    ("keras.categorical_focal_crossentropy", {}, SOFT, SHARES, keras_focal),
    ("keras.categorical_focal_crossentropy", {"alpha": ALPHA, "gamma": 1.5, "label_smoothing": 0.2}, LABELS, SHARES,
     lambda *a: keras_focal(*a, 0.2, ALPHA, 1.5)),
    ("keras.categorical_focal_crossentropy", {"from_logits": True, "label_smoothing": 0.2}, SOFT, 4.0 * LOGITS,
     lambda torch, f, y: keras_focal(torch, torch.softmax(f, 0), y, 0.2)),
    ("keras.kl_divergence", {}, SOFT, PROBABILITIES, keras_kl),
    ("keras.categorical_hinge", {}, SOFT, LOGITS, keras_hinge),
    ("keras.categorical_hinge", {}, LABELS, LOGITS, keras_hinge),
    ("torch.multi_margin_loss", {"p": 2, "weight": WEIGHTS}, LABELS, LOGITS, squared_margins),
    ("lightgbm.multiclassova", {}, LABELS, LOGITS, one_versus_all),
    ("sklearn.log_loss", {"multiclass": True}, LABELS, PROBABILITIES, sklearn_log_loss),
    ("sklearn.brier_score_loss", {"multiclass": True}, LABELS, PROBABILITIES,
     lambda torch, f, y: ((f - smoothed(torch, y, f, 0.0)) ** 2).sum()),
    ("scoringrules.crps_normal", {}, NUMBERS, SCALES, crps_normal),
    ("scoringrules.crps_lognormal", {}, np.exp(0.3 * NUMBERS), np.clip(SCALES, -1.0, 1.0), crps_lognormal),
    ("scoringrules.logs_laplace", {}, NUMBERS, SCALES,
     lambda torch, f, y: torch.log(2.0 * f[1]) + abs(y - f[0]) / f[1]),
])
def test_derivatives(name, parameters, y, f, function):
    torch = pytest.importorskip("torch")
    check_formulas(torch, fl.get(name, **parameters), y, f, lambda row, target: function(torch, row, target))


# ---- numbers of peers that need not be installed -----------------------------------------------------------------

Z = np.array([[0.5, -1.25, 2.0], [3.0, 0.25, -0.75], [-2.0, -1.5, -4.0]])
P = np.array([[0.25, 0.5, 0.375], [0.0, 0.75, 0.25], [1.0, 0.0, 0.0]])
L, O = np.array([2, 1, 0]), np.eye(3)[[2, 1, 0]]
Q = np.array([[0.25, 0.25, 0.5], [0.0, 1.0, 0.0], [0.625, 0.375, 0.0]])
T = np.array([1.25, 0.125, -2.0])
AT, LQ, LP = abs(T), np.log(Q + 0.125), Z - np.log(np.exp(Z).sum(1, keepdims=True))
X = np.array([[0.5, 1.5], [-1.0, 0.25], [2.0, 3.0]])
W5 = np.array([[0.5, -1.0, 2.0, -3.0, 4.0], [0.0, -0.5, 0.25, -2.0, 0.75], [1.0, 0.0, 2.0, 0.5, 3.0]])


# keras 3.15.1 (backend torch), optax 0.2.8, scoringrules 0.10.0, properscoring 0.1, ngboost 0.5.11
@pytest.mark.parametrize(("name", "parameters", "y", "f", "there"), [
    ("keras.categorical_crossentropy", {}, Q, P, [1.1280580475822055, 0.2876820724517809, 6.044285931609373]),
    ("keras.categorical_crossentropy", {"label_smoothing": 0.2}, Q, P,
     [1.1300210981764787, 1.4162837969300908, 6.984508172081942]),
    ("keras.categorical_crossentropy", {"from_logits": True, "label_smoothing": 0.2}, Q, Z,
     [1.4992886497686995, 2.7171647995691153, 0.9739090561799075]),
    ("keras.sparse_categorical_crossentropy", {}, L, P, [1.0986122886681098, 0.2876820724517809, 1.0000000494736474e-07]),
    ("keras.sparse_categorical_crossentropy", {"from_logits": True}, L, Z,
     [0.23262198310203266, 2.833831466235782, 1.0239090561799076]),
    ("keras.categorical_focal_crossentropy", {}, Q, P, [0.1335440838206401, 0.004495032382059077, 1.5110711650630642]),
    ("keras.categorical_focal_crossentropy", {"alpha": (0.125, 0.5, 0.75), "gamma": 1.5, "label_smoothing": 0.1}, Q, P,
     [0.29346707168307284, 0.10645079104128005, 3.391515451161766]),
    ("keras.categorical_focal_crossentropy", {"from_logits": True}, Q, Z,
     [0.2791249694716544, 0.6276097682083515, 0.07386461423797419]),
    ("keras.kl_divergence", {}, Q, P, [-0.0294457589140959, 0.28768059927165185, 5.382722630951388]),
    ("keras.categorical_hinge", {}, Q, Z, [1.1875, 3.75, 2.0625]),
    ("keras.categorical_hinge", {}, L, Z, [0.0, 3.75, 3.0]),
    ("optax.softmax_cross_entropy", {}, Q, Z, [1.4201219831020326, 2.833831466235782, 0.8364090561799076]),
    ("optax.softmax_cross_entropy_with_integer_labels", {}, L, Z,
     [0.23262198310203264, 2.833831466235782, 1.0239090561799076]),
    ("optax.poly_loss_cross_entropy", {}, L, Z, [0.6477158279697941, 4.7162571051983, 2.3055328446148304]),
    ("optax.poly_loss_cross_entropy", {"epsilon": -0.5}, L, Z, [0.1288485218850923, 2.3632250564951525, 0.7035031090711769]),
    ("optax.kl_divergence", {}, Q, LP, [0.3804012122621146, 2.833831466235782, 0.1748458180219255]),
    ("optax.kl_divergence_with_log_targets", {}, LQ, LP, [1.0717310187279154, 3.2904137957676727, 0.5856096149185851]),
    ("optax.multiclass_hinge_loss", {}, L, Z, [0.0, 3.75, 1.5]),
    ("optax.multiclass_perceptron_loss", {}, L, Z, [0.0, 2.75, 0.5]),
    ("optax.multiclass_sparsemax_loss", {}, L, Z, [0.0, 2.75, 0.5625]),
    ("scoringrules.crps_normal", {}, T, X, [0.4971052968822835, 0.9839529512190838, 2.561801939605749]),
    ("scoringrules.crps_laplace", {}, T, X, [0.5347959895689501, 0.9402772491345606, 2.54079141434718]),
    ("scoringrules.crps_logistic", {}, T, X, [0.6722309525403201, 0.880523872424297, 2.4037751504652896]),
    ("scoringrules.logs_normal", {}, T, X, [1.4494036413128373, 9.657644172084781, 2.906439710761671]),
    ("scoringrules.logs_laplace", {}, T, X, [1.5986122886681096, 3.8068528194400546, 3.1250928025613884]),
    ("scoringrules.logs_logistic", {}, T, X, [1.8536190764683778, 3.135801128577297, 2.8998706721565397]),
    ("scoringrules.crps_lognormal", {}, AT, X, [0.8162526459152716, 0.20129926321039626, 21.477871689842477]),
    ("scoringrules.logs_lognormal", {}, AT, X, [1.5645804133334706, 6.7747549656380714, 2.8055793519704175]),
    ("scoringrules.crps_ensemble", {}, T, Z, [0.6111111111111112, 0.4583333333333333, 0.2777777777777778]),
    ("scoringrules.crps_ensemble", {"estimator": "nrg"}, T, Z, [0.611111111111111, 0.45833333333333337, 0.2777777777777778]),
    ("scoringrules.crps_ensemble", {"estimator": "fair"}, T, Z, [0.25, 0.04166666666666674, 0.0]),
    ("scoringrules.crps_ensemble", {"estimator": "pwm"}, T, Z, [0.25, 0.04166666666666652, 2.220446049250313e-16]),
    ("scoringrules.crps_ensemble", {"estimator": "qd"}, T, Z, [0.6111111111111112, 0.4583333333333333, 0.2777777777777778]),
    ("scoringrules.crps_ensemble", {"estimator": "int"}, T, Z, [0.611111111111111, 0.4583333333333334, 0.2777777777777778]),
    ("scoringrules.interval_score", {"alpha": 0.2}, T, X, [1.0, 1.25, 41.0]),
    ("scoringrules.weighted_interval_score", {"alpha": (0.5, 0.1)}, T, W5, [0.5900000000000001, 0.155, 2.65]),
    ("properscoring.crps_gaussian", {}, T, X, [0.49710529688228366, 0.9839529512190838, 2.561801939605749]),
    ("properscoring.crps_ensemble", {}, T, Z, [0.611111111111111, 0.4583333333333334, 0.2777777777777778]),
    ("ngboost.Normal", {"score": "LogScore"}, T, X, [2.4329411461831345, 1.5527587163040737, 3.9387685506180037]),
    ("ngboost.Normal", {"score": "CRPScore"}, T, X, [1.0973032273089116, 0.6699471188218096, 5.010637598393382]),
    ("ngboost.Laplace", {"score": "LogScore"}, T, X, [2.3604948006712676, 1.8192980615152758, 3.892295454031401]),
    ("ngboost.Laplace", {"score": "CRPScore"}, T, X, [1.1798186600665899, 0.696626698167128, 5.394506387094085]),
    ("ngboost.TFixedDf", {}, T, X, [2.5194723951896196, 1.706562088175835, 4.027155629318276]),
    ("ngboost.LogNormal", {}, AT, X, [2.6439901612975127, -0.5571400530104892, 4.614202399929843]),
])
def test_numbers(name, parameters, y, f, there):
    loss = fl.get(name, **parameters)
    here = [interpreted(loss, "value", target, row, np.float64) for target, row in zip(y, f, strict=True)]
    np.testing.assert_allclose(here, there, rtol=2e-14, atol=1e-15)


# catboost 1.2.10, utils.eval_metric: the mean of the rows, divided by the number of columns where `columns`
@pytest.mark.parametrize(("name", "y", "f", "columns", "there"), [
    ("MultiClass", L, Z, 1, 1.3634541685059076),
    ("MultiClassOneVsAll", L, Z, 3, 0.8567581190088304),
    ("MultiLogloss", O, Z, 3, 0.85675811900883),
    ("MultiCrossEntropy", Q, Z, 3, 0.9678692301199412),
    ("RMSEWithUncertainty", T, X, 1, 2.6414894710349976),
])
def test_catboost_metrics(name, y, f, columns, there):
    loss = fl.get(f"catboost.{name}")
    here = np.mean([interpreted(loss, "value", target, row, np.float64) for target, row in zip(y, f, strict=True)])
    assert here / columns == pytest.approx(there, rel=1e-12)


@pytest.mark.hosts
def test_xgboost_leaves():
    """Trees of one leaf per class: -sum(gradient) / sum(Hessian), with the Hessian that the note tells."""
    xgboost = pytest.importorskip("xgboost")
    start = np.tile(np.linspace(-0.3, 0.4, C), (N, 1))
    data = xgboost.DMatrix(np.zeros((N, 1)), LABELS, base_margin=start)
    model = xgboost.train({"objective": "multi:softprob", "num_class": C, "eta": 1.0, "lambda": 0.0, "max_depth": 1,
                           "min_child_weight": 0.0}, data, 1)
    leaf = model.predict(data, output_margin=True)[0] - start[0]
    gradient, hessian = fl.get("xgboost.multi:softprob").grad_and_hess(LABELS, start)
    np.testing.assert_allclose(leaf, -gradient.sum(0) / (2.0 * hessian.sum(0)), rtol=1e-4)
    assert "2 P (1 - P)" in PEERS["xgboost.multi:softprob"].note


@pytest.mark.exhaustive
def test_one_versus_all_is_the_multilabel_loss_of_the_one_hot_label():
    loss, ours = fl.get("catboost.MultiClassOneVsAll"), fl.get("catboost.MultiLogloss")
    for hessian in ("exact", "majorizer"):
        here = loss.value_grad_hess(LABELS, LOGITS, hessian=hessian)
        for a, b in zip(here, ours.value_grad_hess(np.eye(C)[LABELS], LOGITS, hessian=hessian), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_parameters_make_the_loss():
    assert fl.get("keras.sparse_categorical_crossentropy", ignore_class=2).ignore_index == 2
    assert fl.get("torch.cross_entropy").ignore_index == -100
    assert fl.get("scoringrules.crps_ensemble", estimator="pwm") == fl.EnsembleCRPS(fair=True)
    assert fl.get("ngboost.Normal", score="CRPScore") == fl.GaussianCRPS()
    assert fl.get("cross_entropy") == fl.CategoricalCrossEntropy()
    for name, parameters in (("ngboost.Normal", {"score": "CRPS"}), ("scoringrules.crps_ensemble", {"estimator": "akr"}),
                             ("torch.multi_margin_loss", {"p": 3})):
        with pytest.raises(ValueError, match="must be"):
            fl.get(name, **parameters)
