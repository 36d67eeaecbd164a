"""PySpark: accumulators filled on the workers and added on the driver, as docs/arrays.md shows."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest

import fusedloss as fl

pytestmark = pytest.mark.hosts

sql = pytest.importorskip("pyspark.sql")
pa = pytest.importorskip("pyarrow")


@pytest.fixture
def spark(monkeypatch):
    if shutil.which("java") is None:
        pytest.skip("PySpark needs Java")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    session = (sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
               .config("spark.driver.host", "127.0.0.1").getOrCreate())
    yield session
    session.stop()


@pytest.mark.filterwarnings("ignore")  # PySpark's own
def test_accumulators_filled_by_map_in_arrow(spark):
    y, f = np.random.default_rng(0).normal(size=(2, 10_000))
    frame = spark.createDataFrame(pa.table({"y": y, "f": f})).repartition(4)

    def partial(batches):
        accumulator = fl.Huber().accumulator()
        for batch in batches:
            accumulator.update(batch["y"], batch["f"])
        yield pa.record_batch({"state": [json.dumps(accumulator.to_dict())]})

    rows = frame.mapInArrow(partial, "state string").collect()
    parts = [fl.Accumulator.from_dict(json.loads(row.state)) for row in rows]
    assert len(parts) == 4
    total = sum(parts[1:], parts[0]).result()
    assert total.n == 10_000
    assert total.value == pytest.approx(fl.Huber()(y, f), rel=1e-14)
