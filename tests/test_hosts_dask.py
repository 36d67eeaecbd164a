"""XGBoost and LightGBM on two dask workers, with losses of ours, against one process and against the built-in objective."""

import os
import re

import pytest

pytest.importorskip("distributed")
pytest.importorskip("dask.dataframe")
pytestmark = [pytest.mark.hosts, pytest.mark.process]

CLUSTER = """
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

import fusedloss as fl

LOSSES = {"binary": fl.BinaryCrossEntropy(), "multiclass": fl.CategoricalCrossEntropy(), "poisson": fl.Poisson()}


def data(name):
    '''Features of few values, which both workers see: so they agree on the borders between them.'''
    rng = np.random.default_rng(0)
    X = rng.integers(0, 8, (400, 4)).astype(float)
    z = X[:, 0] - X[:, 1] + 0.5 * X[:, 2] + rng.normal(size=400)
    y = {"binary": z > 0.5, "multiclass": np.digitize(z, [-1.0, 2.0]), "poisson": np.exp(0.3 * z)}[name]
    return X, y.astype(np.float32), rng.uniform(0.5, 2.0, 400).astype(np.float32)


def halves(a):
    return da.from_array(a, chunks=(200, *a.shape[1:]))


def same(found, expected):
    assert np.ptp(expected) > 0.5
    error = abs(found - expected).max() / np.ptp(expected)
    assert error <= 1e-6, error


def main():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        for name, loss in LOSSES.items():
            train(client, name, loss, *data(name))
            print("the same:", name)

"""

XGBOOST = """
import xgboost as xgb
import xgboost.dask


def train(client, name, loss, X, y, w):
    a, whole = loss.xgboost(), xgb.DMatrix(X, label=y, weight=w)
    params = a.params(y, w, max_depth=3, nthread=1)
    parts = xgb.dask.DaskDMatrix(client, halves(X), halves(y), weight=halves(w))
    out = xgb.dask.train(client, params, parts, num_boost_round=10, obj=a, custom_metric=a.metric, evals=[(parts, "train")],
                         verbose_eval=False)
    found = out["booster"].predict(whole, output_margin=True)
    same(found, xgb.train(params, whole, 10, obj=a).predict(whole, output_margin=True))
    peer = xgb.dask.train(client, {**params, "base_score": None}, parts, num_boost_round=10)["booster"]
    same(found, peer.predict(whole, output_margin=True))
    values = [a.metric(found[part], xgb.DMatrix(X[part], label=y[part], weight=w[part]))[1]
              for part in (slice(200), slice(200, None))]
    assert abs(out["history"]["train"]["mean_" + loss.name][-1] - np.mean(values)) < 1e-5  # of the workers' means

"""

LIGHTGBM = """
import lightgbm as lgb


def train(client, name, loss, X, y, w):
    a, kind = loss.lightgbm(), "Regressor" if name == "poisson" else "Classifier"
    local, distributed = getattr(lgb, "LGBM" + kind), getattr(lgb, "DaskLGBM" + kind)
    # Across workers LightGBM counts the rows of leaves by their Hessians: so no least number of rows.
    options = {"n_estimators": 10, "num_leaves": 7, "min_child_samples": 0, "min_data_in_bin": 1, "verbose": -1}
    start = a.init_score(y, w)
    ours = distributed(objective=a.sklearn, metric="None", client=client, tree_learner="data", **options)
    ours.fit(halves(X), halves(y), sample_weight=halves(w), init_score=halves(start))
    found = ours.booster_.predict(X, raw_score=True)
    peer = distributed(objective=name, client=client, tree_learner="data", **options)
    peer.fit(halves(X), halves(y), sample_weight=halves(w), init_score=halves(start))
    same(found, peer.booster_.predict(X, raw_score=True))
    options["n_jobs"] = 1
    one = local(objective=a.sklearn, metric="None", **options).fit(X, y, sample_weight=w, init_score=start)
    same(found, one.booster_.predict(X, raw_score=True))
    final, peer = a.finalize(ours.to_local()), local(objective=name, **options).fit(X, y, sample_weight=w)
    predict = "predict" if name == "poisson" else "predict_proba"
    np.testing.assert_allclose(getattr(final, predict)(X), getattr(peer, predict)(X), rtol=1e-5)

"""

END = """
if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize(("library", "train"), [("xgboost", XGBOOST), ("lightgbm", LIGHTGBM)], ids=["xgboost", "lightgbm"])
def test_two_workers_train_what_one_process_does(run_python, library, train):
    pytest.importorskip(library)
    printed = run_python(CLUSTER + train + END, timeout=300, FUSEDLOSS_CACHE_DIR=os.environ["FUSEDLOSS_CACHE_DIR"])
    assert re.findall("^the same: (.*)$", printed, flags=re.M) == ["binary", "multiclass", "poisson"]
