"""A peer's name gives the peer's number, its clipping included."""

import numpy as np
import pytest

import fusedloss as fl
from fusedloss.peers import ALIASES, PEERS

metrics = pytest.importorskip("sklearn.metrics")

rng = np.random.default_rng(7)
N = 257
Y = rng.normal(size=N)
F = Y + rng.normal(size=N)
POSITIVE, MEAN = rng.gamma(2.0, 3.0, N), rng.gamma(2.0, 3.0, N)
COUNTS = rng.poisson(1.0, N).astype(float)
LABELS = rng.integers(0, 2, N).astype(float)
P = rng.uniform(0.0, 1.0, N)
P[:4], LABELS[:4] = [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]
W = rng.integers(0, 3, N).astype(float)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "parameters", "y", "f"), [
    ("log_loss", {}, LABELS, P),
    ("brier_score_loss", {}, LABELS, P),
    ("mean_squared_error", {}, Y, F),
    ("mean_absolute_error", {}, Y, F),
    ("mean_squared_log_error", {}, COUNTS, MEAN),
    ("mean_absolute_percentage_error", {}, Y, F),
    ("mean_pinball_loss", {}, Y, F),
    ("mean_pinball_loss", {"alpha": 0.9}, Y, F),
    ("mean_poisson_deviance", {}, COUNTS, MEAN),
    ("mean_gamma_deviance", {}, POSITIVE, MEAN),
    ("mean_tweedie_deviance", {}, Y, F),
    ("mean_tweedie_deviance", {"power": -1.5}, Y, MEAN),
    ("mean_tweedie_deviance", {"power": 1}, COUNTS, MEAN),
    ("mean_tweedie_deviance", {"power": 1.7}, COUNTS, MEAN),
    ("mean_tweedie_deviance", {"power": 2}, POSITIVE, MEAN),
    ("mean_tweedie_deviance", {"power": 3}, POSITIVE, MEAN),
    ("hinge_loss", {}, LABELS, F),
])
def test_scikit_learn(name, parameters, y, f):
    there = getattr(metrics, name)
    y_there = 2 * y - 1 if name == "hinge_loss" else y
    loss = fl.get(f"sklearn.{name}", **parameters)
    assert loss(y, f) == pytest.approx(there(y_there, f, **parameters), rel=1e-12)
    assert loss(y, f, W) == pytest.approx(there(y_there, f, sample_weight=W, **parameters), rel=1e-12)


def test_scikit_learn_clips_at_the_epsilon_of_the_dtype():
    loss = fl.get("sklearn.log_loss")
    for dtype in (np.float32, np.float64):
        p, y = P[:4].astype(dtype), LABELS[:4]
        assert loss(y, p) == pytest.approx(metrics.log_loss(y, p, labels=[0, 1]), rel=1e-6)
        assert loss.elementwise(y, p)[1] == pytest.approx(-np.log(np.finfo(dtype).eps), rel=1e-6)
    assert fl.get("log_loss")(LABELS[:4], P[:4]) == np.inf


@pytest.mark.hosts
@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "parameters", "y", "f"), [
    ("mse_loss", {}, Y, F),
    ("l1_loss", {}, Y, F),
    ("smooth_l1_loss", {}, Y, F),
    ("smooth_l1_loss", {"beta": 0.3}, Y, F),
    ("huber_loss", {}, Y, F),
    ("huber_loss", {"delta": 0.3}, Y, F),
    ("binary_cross_entropy", {}, LABELS, P),
    ("binary_cross_entropy_with_logits", {}, LABELS, F),
    ("binary_cross_entropy_with_logits", {"pos_weight": 3.0}, LABELS, F),
    ("soft_margin_loss", {}, LABELS, F),
    ("poisson_nll_loss", {}, COUNTS, F),
    ("poisson_nll_loss", {"log_input": False}, COUNTS, MEAN),
])
def test_torch(name, parameters, y, f):
    torch = pytest.importorskip("torch")
    there = {k: torch.tensor(v) if k == "pos_weight" else v for k, v in parameters.items()}
    target = torch.tensor(2 * y - 1 if name == "soft_margin_loss" else y)
    prediction = torch.tensor(f, requires_grad=True)
    values = getattr(torch.nn.functional, name)(prediction, target, reduction="none", **there)
    values.sum().backward()
    loss = fl.get(f"torch.{name}", **parameters)
    np.testing.assert_allclose(loss.elementwise(y, f), values.detach().numpy(), rtol=1e-11, atol=1e-14)
    there = prediction.grad.numpy()
    rtol = np.where(abs(there) > 1e11, 1e-8, 1e-11)  # torch's 1e-12 is a float32
    assert (abs(loss.grad(y, f, reduction="sum") - there) <= rtol * abs(there) + 1e-14).all()


def test_keras_formulas():
    p = np.clip(P, 1e-7, 1 - 1e-7)
    there = -(LABELS * np.log(p) + (1 - LABELS) * np.log(1 - p))
    np.testing.assert_allclose(fl.get("keras.binary_crossentropy").elementwise(LABELS, P), there, rtol=1e-12)
    there = MEAN - COUNTS * np.log(MEAN + 1e-7)
    np.testing.assert_allclose(fl.get("keras.poisson").elementwise(COUNTS, MEAN), there, rtol=1e-12)


def test_xgboost_squared_log_error_is_clipped():
    f = np.array([-5.0, -1.0, -0.5, 0.0, 2.0, 50.0])
    y = np.array([0.0, 1.0, 3.0, 0.0, 2.0, 1.0])
    clipped = np.maximum(f, -1 + 1e-6)
    gradient, hessian = fl.get("xgboost.reg:squaredlogerror").grad_and_hess(y, f)
    np.testing.assert_allclose(gradient, (np.log1p(clipped) - np.log1p(y)) / (1 + clipped), rtol=1e-9)
    there = np.maximum((-np.log1p(clipped) + np.log1p(y) + 1) / (1 + clipped) ** 2, 1e-6)
    np.testing.assert_allclose(hessian, there, rtol=1e-9)


@pytest.mark.hosts
@pytest.mark.parametrize(("objective", "y", "link"), [
    ("reg:squarederror", Y, None), ("reg:pseudohubererror", Y, None), ("binary:logistic", LABELS, None),
    ("count:poisson", COUNTS, "log"), ("reg:gamma", POSITIVE, "log"), ("reg:tweedie", COUNTS, "log"),
])
def test_xgboost_leaf(objective, y, link):
    """One tree of one leaf: its value is -sum(gradient) / sum(Hessian), with the peer's own gradients."""
    xgboost = pytest.importorskip("xgboost")
    start = 0.25
    extra = {"max_delta_step": 0.0} if objective == "count:poisson" else {}
    data = xgboost.DMatrix(np.zeros((N, 1)), y, base_margin=np.full(N, start))
    model = xgboost.train({"objective": objective, "eta": 1.0, "lambda": 0.0, "max_depth": 1, "min_child_weight": 0.0,
                           **extra}, data, 1)
    leaf = model.predict(data, output_margin=True)[0] - start
    gradient, hessian = fl.get(f"xgboost.{objective}").grad_and_hess(y, np.full(N, start))
    assert leaf == pytest.approx(-gradient.sum() / hessian.sum(), rel=1e-4)


def test_every_entry_can_be_made_and_says_what_it_is():
    values = {"log_input": False, "power": 1.25, "q": 1.25, "tweedie_variance_power": 1.25, "variance_power": 1.25,
              "weight": (1.0, 2.0), "class_weight": "balanced", "ignore_index": -1, "ignore_class": -1, "p": 2,
              "estimator": "fair", "score": "LogScore"}
    flags = ("multiclass", "from_logits", "log_target", "full", "scale_by_half")
    needed = {"scoringrules.weighted_interval_score": {"alpha": (0.5, 0.1)}}
    for name, peer in (PEERS | ALIASES).items():
        required = needed.get(name, {})
        loss = fl.get(name, **required)
        assert isinstance(loss, fl.Loss)
        assert peer.note
        for parameter in peer.takes:
            value = required.get(parameter, True if parameter in flags else values.get(parameter, 0.5))
            assert isinstance(fl.get(name, **{parameter: value}), fl.Loss)


def test_parameters_are_spelt_as_there():
    assert fl.get("lightgbm.quantile", alpha=0.3) == fl.Pinball(quantile=0.3)
    assert fl.get("lightgbm.quantile") == fl.Pinball(quantile=0.9)
    assert fl.get("xgboost.reg:tweedie", tweedie_variance_power=1.2) == fl.Tweedie(power=1.2)
    assert fl.get("reg:tweedie") == fl.Tweedie(power=1.5)
    with pytest.raises(TypeError, match="this loss has 'alpha'"):
        fl.get("sklearn.mean_pinball_loss", quantile=0.3)


def test_bare_names_are_ours():
    assert fl.get("mse") == fl.SquaredError()
    assert fl.get("log_loss") == fl.BinaryCrossEntropy(from_logits=False)
    assert fl.get("brier") == fl.BinaryBrier(from_logits=False)
    assert fl.get("bce_with_logits", pos_weight=2.0) == fl.BinaryCrossEntropy(pos_weight=2.0)
