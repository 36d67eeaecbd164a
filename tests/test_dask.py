"""dask: lazy values and gradients, the numbers of the arrays in memory, one run of the kernel for each block."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

import fusedloss as fl

pytestmark = pytest.mark.hosts

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

N = 40_000


def arrays(chunk=8192):
    rng = np.random.default_rng(0)
    inside = [rng.normal(size=N), rng.normal(size=N), rng.uniform(0.5, 2.0, N)]
    return inside, [da.from_array(a, chunks=chunk) for a in inside]


def counted(monkeypatch):
    """How often a block was computed."""
    from fusedloss.arrays import dask as kind

    runs = []
    block = kind._block
    monkeypatch.setattr(kind, "_block", lambda *args, **more: runs.append(1) or block(*args, **more))
    return runs


@pytest.mark.parametrize("reduction", ["mean", "sum", "sum_over_batch_size", "none"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_the_numbers_of_the_arrays_in_memory(reduction, weighted, monkeypatch):
    (y, f, w), (Y, F, W) = arrays()
    runs = counted(monkeypatch)
    w, W = (w, W) if weighted else (None, None)
    lazy = fl.Huber().value_and_grad(Y, F, W, reduction)
    assert not runs
    assert lazy[1].chunks == F.chunks
    with dask.config.set(scheduler="threads"):
        value, gradient = dask.compute(*lazy)
    assert len(runs) == F.npartitions  # the value and the gradient share a run
    expected, expected_gradient = fl.Huber().value_and_grad(y, f, w, reduction)
    assert np.array_equal(value, expected)
    assert gradient.tobytes() == expected_gradient.tobytes()


def test_every_method_and_a_mask():
    (y, f, w), (Y, F, W) = arrays()
    mask = np.arange(N) % 5 == 0
    M = da.from_array(mask, chunks=8192)
    v = np.cos(f)
    for name, more in (("elementwise", ()), ("grad", ()), ("grad_and_hess", ()), ("value_grad_hess", ())):
        ours = dask.compute(getattr(fl.LogCosh(), name)(Y, F, W, mask=M))[0]
        expected = getattr(fl.LogCosh(), name)(y, f, w, mask=mask)
        for a, b in zip(ours if isinstance(ours, tuple) else [ours], expected if isinstance(expected, tuple) else [expected],
                        strict=True):
            assert np.array_equal(a, b), (name, more)
    assert np.array_equal(fl.LogCosh().hvp(Y, F, da.from_array(v, chunks=8192)).compute(), fl.LogCosh().hvp(y, f, v))
    # NumPy's arrays, one number, and other cuts go along
    assert fl.Huber()(y, F, w).compute() == fl.Huber()(y, f, w)
    assert fl.Huber()(0.5, F).compute() == fl.Huber()(0.5, f)
    assert fl.Huber()(da.from_array(y, chunks=5000), F).compute() == fl.Huber()(y, f)


def test_cut_anywhere_the_value_stays_within_ulps():
    (y, f, w), (Y, F, W) = arrays(chunk=3333)
    assert fl.Huber()(Y, F, W).compute() == pytest.approx(fl.Huber()(y, f, w), rel=4 * 2.0**-52)


@pytest.mark.parametrize("options", [{}, {"ignore_index": 2}, {"class_weight": [1.0, 2.0, 0.5]}], ids=str)
def test_rows(options):
    rng = np.random.default_rng(1)
    f, y, w = rng.normal(size=(N, 3)).astype(np.float32), rng.integers(0, 3, N), rng.uniform(size=N)
    loss = fl.CategoricalCrossEntropy(**options)
    Y, W = da.from_array(y, chunks=8192), da.from_array(w, chunks=8192)
    value, gradient = dask.compute(*loss.value_and_grad(Y, da.from_array(f, chunks=(8192, 3)), W))
    expected, expected_gradient = loss.value_and_grad(y, f, w)
    assert value == expected
    assert gradient.tobytes() == expected_gradient.tobytes()
    with pytest.raises(ValueError, match=r"y_pred has 3 blocks across its columns: y_pred.rechunk\(\{1: -1\}\)"):
        loss(Y, da.from_array(f, chunks=(8192, 1)))


def test_columns_of_a_data_frame():
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    (y, f, w), _ = arrays()
    frame = pd.DataFrame({"y": y, "f": f, "w": w}, index=np.arange(N) * 2)
    lazy = dd.from_pandas(frame, npartitions=5)
    value, gradient = dask.compute(*fl.Huber().value_and_grad(lazy.y, lazy.f, lazy.w))
    expected, expected_gradient = fl.Huber().value_and_grad(y, f, w)
    assert value == pytest.approx(expected, rel=4 * 2.0**-52)
    assert gradient.index.equals(frame.index)
    np.testing.assert_allclose(gradient.to_numpy(), expected_gradient, rtol=1e-15)
    total = fl.Huber()(lazy.y, lazy.f, reduction="sum").compute()
    assert total == pytest.approx(fl.Huber()(y, f, reduction="sum"), rel=1e-15)
    # a null is a null, in every partition
    holes = frame.astype("double[pyarrow]")
    holes.loc[holes.index[::7], "f"] = None
    lazy = dd.from_pandas(holes, npartitions=5)
    value, gradient = dask.compute(*fl.Huber().value_and_grad(lazy.y, lazy.f, nulls="ignore"))
    assert value == pytest.approx(fl.Huber()(y, f, mask=np.arange(N) % 7 == 0), rel=1e-15)
    assert np.array_equal(gradient.isna().to_numpy(), np.arange(N) % 7 == 0)
    with pytest.raises(ValueError, match=r"y_pred\[\d\] is null"):
        fl.Huber()(lazy.y, lazy.f).compute()
    with pytest.raises(ValueError, match=r"y_true and y_pred are cut differently: y_true\.repartition"):
        fl.Huber()(dd.from_pandas(frame, npartitions=4).y, lazy.f)


def test_arrays_of_xarray_that_are_lazy():
    xr = pytest.importorskip("xarray")
    (y, f, _), (Y, F, _) = arrays()
    made = [xr.DataArray(a, dims="time", coords={"time": np.arange(N)}) for a in (Y, F)]
    value, gradient = fl.Huber().value_and_grad(*made)
    assert gradient.dims == ("time",)
    assert isinstance(gradient.data, da.Array)
    assert np.array_equal(gradient.compute().values, fl.Huber().grad(y, f))
    assert value.compute() == fl.Huber()(y, f)


def test_errors():
    (y, f, _), (Y, F, _) = arrays()
    bad = da.from_array(np.where(np.arange(N) == 9000, 2.0, 0.0), chunks=8192)
    with pytest.raises(ValueError, match=r"y_true\[808\] = 2.0") as caught:
        fl.BinaryCrossEntropy()(bad, F).compute()
    assert "the block of y_pred that begins with sample 8,192" in caught.value.__notes__[0]
    for call, text in ((lambda: fl.Huber()(Y, f), "y_true is lazy, and is needed at once here"),
                       (lambda: fl.Huber().init_score(Y), r"y_true is lazy.*pass y_true.compute\(\)")):
        with pytest.raises(TypeError, match=text):
            call()
    for call, text in ((lambda: fl.Huber().grad(Y, F, out=np.empty(N)), "out= cannot be a lazy result"),
                       (lambda: fl.Huber()(Y[:5], F), "y_true has 5 samples and y_pred has 40000"),
                       (lambda: fl.Huber()(y[:5], F), "y_true has 5 samples and y_pred has 40000"),
                       (lambda: fl.Huber().scaled(by="std")(Y, F), "takes a scale or class weights from all targets")):
        with pytest.raises(ValueError, match=text):
            call()


@pytest.mark.process
def test_a_cluster_that_loses_a_worker(tmp_path):
    """The same number as in memory from two workers, one of which is killed half way."""
    distributed = pytest.importorskip("distributed")
    blocks, size = 24, 4096
    expected = fl.Huber()(*[np.concatenate([block(k, size, which) for k in range(blocks)]) for which in (0, 1)])
    with (distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50,
                                   local_directory=str(tmp_path)) as cluster, distributed.Client(cluster) as client):
        made = [da.concatenate([da.from_delayed(dask.delayed(slow)(k, size, which), (size,), float) for k in range(blocks)])
                for which in (0, 1)]
        value, gradient = client.compute(list(fl.Huber().value_and_grad(*made)))
        while sum(map(bool, client.who_has().values())) < blocks // 2:
            time.sleep(0.02)
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        assert value.result(timeout=120) == expected
        assert gradient.result(timeout=120).shape == (blocks * size,)


def block(k, size, which):
    return np.random.default_rng([k, which]).normal(size=size)


def slow(k, size, which):
    time.sleep(0.05)
    return block(k, size, which)
