"""Adapters and models that were pickled in one process and are used in a new one."""

import os

import numpy as np
import pytest

import fusedloss as fl

pytestmark = [pytest.mark.hosts, pytest.mark.process]

LOSSES = {"cross-entropy": fl.BinaryCrossEntropy(), "combined": fl.BinaryCrossEntropy().smoothed(0.2)}

RELOAD = """
import pickle
import sys

import numpy as np

with open(sys.argv[1], "rb") as file:
    adapter, model, X, derivatives, predicted = pickle.load(file)
name = type(adapter).__module__.rpartition(".")[2]
y, f = np.arange(3) % 2, np.array([0.5, -1.0, 2.0])
if name == "xgboost":
    import xgboost

    found, again = model.predict(xgboost.DMatrix(X)), adapter.sklearn(y, f, None)
elif name == "lightgbm":
    found, again = model.predict(X), adapter.sklearn(y, f, None)
else:
    found, again = model.predict(X), adapter.calc_ders_range(f, y.astype(np.float32), None)
np.testing.assert_array_equal(found, predicted)
np.testing.assert_array_equal(again, derivatives)
print(name)
"""


def xgboost(loss, X, y):
    xgb = pytest.importorskip("xgboost")
    a, dtrain = loss.xgboost(), xgb.DMatrix(X, label=y)
    booster = xgb.train(a.params(dtrain, nthread=1), dtrain, 5, obj=a)
    return a, booster, booster.predict(dtrain)


def lightgbm(loss, X, y):
    lgb = pytest.importorskip("lightgbm")
    a = loss.lightgbm()
    train = lgb.Dataset(X, y, init_score=a.init_score(y))
    booster = a.finalize(lgb.train(a.params(num_threads=1, verbose=-1), train, 5))
    return a, booster, booster.predict(X)


def catboost(loss, X, y):
    cb = pytest.importorskip("catboost")
    a = loss.catboost()
    model = cb.CatBoost(a.params(X.shape[1], iterations=5, thread_count=1, verbose=False, allow_writing_files=False))
    return a, model.fit(X, y), model.predict(X)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("host", [xgboost, lightgbm, catboost], ids=lambda host: host.__name__)
def test_a_new_process_goes_on_where_another_ended(host, name, run_python, tmp_path):
    cloudpickle = pytest.importorskip("cloudpickle")  # dask sends by it
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = (X[:, 0] + rng.normal(size=200) > 0).astype(float)
    adapter, model, predicted = host(LOSSES[name], X, y)
    few, f = np.arange(3) % 2, np.array([0.5, -1.0, 2.0])
    derivatives = adapter.calc_ders_range(f, few.astype(np.float32), None) if host is catboost else \
        adapter.sklearn(few, f, None)
    path = tmp_path / "pickled"
    path.write_bytes(cloudpickle.dumps((adapter, model, X, derivatives, predicted)))
    printed = run_python(RELOAD, path, FUSEDLOSS_CACHE_DIR=os.environ["FUSEDLOSS_CACHE_DIR"])
    assert printed.strip() == host.__name__
