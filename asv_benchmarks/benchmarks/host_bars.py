"""The bars of what runs inside other libraries: objectives against the same formulas in NumPy, torch, combinations."""

import numpy as np

import fusedloss as fl

SAMPLES = 10**6


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def numpy_squared(y, z):
    return z - y, np.ones_like(z)


def numpy_logistic(y, z):
    p = sigmoid(z)
    return p - y, p * (1.0 - p)


def numpy_focal(y, z, gamma=2.0):
    """Gradient and Hessian of (1 - p)^gamma (-log p), p the probability of the class that came."""
    sign = 2.0 * y - 1.0
    p = np.clip(sigmoid(sign * z), 1e-7, 1.0 - 1e-7).astype(z.dtype)
    q, log_p = 1.0 - p, np.log(p)
    slope = q**gamma * (gamma * p * log_p - q)
    bend = p * q**gamma * ((2.0 * gamma + 1.0) * q - gamma * log_p * (gamma * p - q))
    return sign * slope, bend


def numpy_softmax(y, z):
    e = np.exp(z - z.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    g = p.copy()
    g[np.arange(len(y)), y] -= 1.0
    return g, p * (1.0 - p)


OBJECTIVES = [  # loss, the same in NumPy, the bars for float32 (XGBoost's margins) and float64 (LightGBM's)
    (fl.BinaryFocal(gamma=2.0), numpy_focal, 20, 8),
    (fl.CategoricalCrossEntropy(), numpy_softmax, 10, 6),
    (fl.BinaryCrossEntropy(), numpy_logistic, 3.5, 6),
    (fl.HalfSquaredError(), numpy_squared, 1, 5),
]


def objectives(settings, interleaved, row):
    """grad_and_hess as boosting asks for it: one thread, dtypes and layouts as XGBoost and LightGBM hand them."""
    rng = np.random.default_rng(0)
    for loss, peer, *bars in OBJECTIVES:
        for dtype, order, bar in zip(("float32", "float64"), "CF", bars, strict=True):
            if loss.rowwise:
                y, z = rng.integers(0, 3, SAMPLES), np.asarray(rng.normal(size=(SAMPLES, 3)), dtype, order)
            else:
                y, z = rng.integers(0, 2, SAMPLES).astype(dtype), rng.normal(size=SAMPLES).astype(dtype)
            out = np.empty_like(z), np.empty_like(z)
            for ours, theirs in zip(loss.grad_and_hess(y, z), peer(y, z), strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)

            def own(loss=loss, y=y, z=z, out=out):
                return loss.grad_and_hess(y, z, out=out, n_threads=1)

            seconds = interleaved(settings.rounds, own, lambda peer=peer, y=y, z=z: peer(y, z))
            yield row(f"{type(loss).__name__} grad_and_hess, one thread, {order} order, against NumPy",
                      settings.conditions(dtype, SAMPLES, 1), seconds, SAMPLES, bar)


def torch_cross_entropy(settings, interleaved, row):
    """Forward and backward of binary cross-entropy with logits, torch's own module against ours."""
    import torch

    rng = np.random.default_rng(0)
    target = torch.from_numpy(rng.integers(0, 2, SAMPLES).astype(np.float32))
    leaf = torch.from_numpy(rng.normal(size=SAMPLES).astype(np.float32)).requires_grad_()
    modules = fl.BinaryCrossEntropy().torch(), torch.nn.BCEWithLogitsLoss()

    def run(module):
        leaf.grad = None
        module(leaf, target).backward()

    seconds = interleaved(settings.rounds, *[lambda module=module: run(module) for module in modules])
    yield row("BinaryCrossEntropy().torch() forward and backward, against torch",
              settings.conditions("float32", SAMPLES), seconds, SAMPLES, 4)


ROUNDS, FEATURES = 20, 10


def xgboost_training(settings, interleaved, row):
    """Twenty rounds of XGBoost with a focal objective: ours, and the formulas in NumPy, in its float32."""
    import xgboost as xgb

    rng = np.random.default_rng(0)
    X = rng.normal(size=(SAMPLES, FEATURES)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=SAMPLES) > 1.0).astype(np.float32)
    dtrain, a = xgb.DMatrix(X, label=y), fl.BinaryFocal(gamma=2.0).xgboost(hessian="exact")
    params = a.params(y, max_depth=6, nthread=2, tree_method="hist")

    def peer(predt, dtrain):
        gradient, hessian = numpy_focal(dtrain.get_label(), predt)
        return gradient, np.maximum(hessian, 1e-16)

    def train(objective):
        return xgb.train(params, dtrain, ROUNDS, obj=objective)

    ours, theirs = (train(objective).predict(dtrain) for objective in (a, peer))
    assert abs(ours - theirs).mean() < 0.01
    seconds = interleaved(max(3, settings.rounds // 5), lambda: train(a), lambda: train(peer), pause=0.05)
    yield row(f"{ROUNDS} rounds of XGBoost with a focal objective, {FEATURES} features, against NumPy",
              settings.conditions("float32", SAMPLES, 2), seconds, SAMPLES, 2)


def combination(settings, interleaved, row):
    """Three terms in one loop against the dearest of them alone."""
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        y, f = (np.resize(rng.normal(size=10**6), settings.n).astype(dtype) for _ in range(2))
        whole, g = 0.5 * fl.LogCosh() + 0.3 * fl.Huber() + 0.2 * fl.Pinball(quantile=0.9), np.empty_like(f)
        seconds = interleaved(settings.rounds, lambda y=y, f=f, g=g, whole=whole: whole.value_and_grad(y, f, out=g),
                              lambda y=y, f=f, g=g: fl.LogCosh().value_and_grad(y, f, out=g))
        yield row("0.5 LogCosh + 0.3 Huber + 0.2 Pinball value_and_grad over LogCosh alone", settings.conditions(dtype),
                  seconds, settings.n, 1.6, at_least=False)
