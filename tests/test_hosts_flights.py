"""The boosting libraries on `examples/flights.parquet`, its columns as they are there: their own objectives, and ours."""

import functools
from pathlib import Path

import numpy as np
import pytest

import fusedloss as fl

parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("pandas")
pytestmark = pytest.mark.hosts

FLIGHTS = Path(__file__).parent.parent / "examples/flights.parquet"
FEATURES = ["carrier", "origin", "distance", "hour", "linear"]
TARGETS = {"arr_delay": fl.SquaredError(), "late": fl.BinaryCrossEntropy()}
BY_TARGET = pytest.mark.parametrize("target", TARGETS)


@functools.cache
def flights():
    """The flights that arrived: a table of Arrow."""
    table = parquet.read_table(FLIGHTS)
    return table.filter(table["arr_delay"].is_valid())


def columns(target):
    """(features, strings as categories; the target, float32 or int8; `distance` as weights, int16), on their own dtypes."""
    table = flights()
    X = table.select(FEATURES).to_pandas().astype({"carrier": "category", "origin": "category"})
    y, w = table[target].to_numpy(), table["distance"].to_numpy()
    assert (str(y.dtype), str(w.dtype)) == ("float32" if target == "arr_delay" else "int8", "int16")
    return X, y, w


def assert_same(found, expected, tolerance):
    assert len(found) == 82609
    assert np.ptp(expected) > 0.5
    assert abs(found - expected).max() <= tolerance * np.ptp(expected)


@BY_TARGET
def test_xgboost(target):
    xgb = pytest.importorskip("xgboost")
    X, y, w = columns(target)
    a, dtrain = TARGETS[target].xgboost(), xgb.DMatrix(X, label=y, weight=w, enable_categorical=True, nthread=1)
    params = a.params(y, w, max_depth=5, nthread=1)
    ours = xgb.train(params, dtrain, 10, obj=a)
    theirs = xgb.train({**params, "base_score": None}, dtrain, 10)
    assert_same(ours.predict(dtrain, output_margin=True), theirs.predict(dtrain, output_margin=True), 1e-6)
    score = fl.BinaryCrossEntropy(from_logits=False) if target == "late" else fl.SquaredError()
    assert score(y, ours.predict(dtrain), w) < score(y, np.full(len(y), np.average(y, weights=w), np.float32), w)


@BY_TARGET
def test_lightgbm(target):
    lgb = pytest.importorskip("lightgbm")
    X, y, w = columns(target)
    a, options = TARGETS[target].lightgbm(), {"num_threads": 1, "deterministic": True, "verbose": -1}
    train = lgb.Dataset(X, y, weight=w, init_score=a.init_score(y, w))
    ours = a.finalize(lgb.train(a.params(**options), train, 10))
    name = "regression" if target == "arr_delay" else "binary"
    theirs = lgb.train({"objective": name, **options}, lgb.Dataset(X, y, weight=w), 10)
    assert_same(ours.predict(X, raw_score=True), theirs.predict(X, raw_score=True), 1e-6)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-6, atol=1e-6)


@BY_TARGET
def test_catboost(target):
    cb = pytest.importorskip("catboost")
    X, y, w = columns(target)
    options = {"iterations": 10, "depth": 4, "learning_rate": 0.3, "random_seed": 0, "thread_count": 1, "verbose": False,
               "allow_writing_files": False}
    a, categories = TARGETS[target].catboost(), {"cat_features": ["carrier", "origin"]}
    start = a.baseline(y, w)
    ours = cb.CatBoost(a.params(X.shape[1], **options)).fit(cb.Pool(X, y, weight=w, baseline=start, **categories))
    ours.set_scale_and_bias(1.0, start[0])
    name = "RMSE" if target == "arr_delay" else "Logloss"
    theirs = cb.CatBoost({"loss_function": name, **options}).fit(cb.Pool(X, y, weight=w, **categories))
    assert_same(*(model.predict(X, prediction_type="RawFormulaVal") for model in (ours, theirs)), 1e-6)
