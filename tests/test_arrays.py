"""Arrays of other libraries: read where they lie, the bits of the same call on NumPy's, results of the same kind."""

from __future__ import annotations

import importlib
import sys
from itertools import pairwise

import numpy as np
import pytest

import fusedloss as fl
from fusedloss.arrays.apart import AnyOf, BFloat16, Bits, Chunks, Columns, Spread

pa = pytest.importorskip("pyarrow")

N = 4 * 4096 + 1000
CUTS = [0, 4096, 4097, 4097, 10_000, N]
"""Chunks that end on a block's boundary, hold one sample, are empty, and straddle blocks."""


def address(a):
    return a.__array_interface__["data"][0]


def data(dtype=np.float64, n=N):
    rng = np.random.default_rng(7)
    return [rng.normal(size=n).astype(dtype) for _ in range(2)] + [rng.uniform(0.5, 2.0, n).astype(dtype)]


def chunks(a):
    return pa.chunked_array([a[low:high] for low, high in pairwise(CUTS)])


def same_bits(ours, expected):
    ours = np.asarray(ours)
    assert ours.dtype == expected.dtype
    assert ours.shape == expected.shape
    assert ours.tobytes() == expected.tobytes()


def pandas_arrow(a):
    import pandas as pd

    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(a)), name="score", index=np.arange(len(a)) * 2)


def pandas_numpy(a):
    import pandas as pd

    return pd.Series(a, name="score", index=np.arange(len(a)) * 2, copy=False)


def pandas_nullable(a):
    import pandas as pd

    return pd.Series(pd.arrays.FloatingArray(a, np.zeros(len(a), bool)), name="score")


def polars(a):
    import polars as pl

    return pl.Series("score", a)


def polars_chunks(a):
    import polars as pl

    return pl.concat([pl.Series("score", a[low:high]) for low, high in pairwise(CUTS)], rechunk=False)


def torch(a):
    import torch

    return torch.from_numpy(a)


def jax(a):
    import jax

    return jax.device_put(a)


def xarray(a):
    import xarray as xr

    return xr.DataArray(a, dims="time", coords={"time": np.arange(len(a)) * 2}, name="score")


LIBRARIES = {"pandas": [pandas_numpy, pandas_arrow, pandas_nullable], "polars": [polars, polars_chunks], "torch": [torch],
             "jax": [jax], "xarray": [xarray]}
MAKERS = [pytest.param(pa.array, id="arrow"), pytest.param(chunks, id="arrow chunks"),
          *[pytest.param(make, id=make.__name__.replace("_", " "), marks=pytest.mark.hosts)
            for makers in LIBRARIES.values() for make in makers]]


@pytest.fixture(autouse=True)
def _libraries(request):
    make = getattr(request.node, "callspec", None) and request.node.callspec.params.get("make")
    for name, makers in LIBRARIES.items():
        if make in makers:
            pytest.importorskip(name)


# ---- the same numbers, of the same kind --------------------------------------------------------------------------


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
def test_numbers_to_the_bit_and_the_kind_of_the_predictions(make, dtype):
    if make is jax and dtype == np.float64:
        pytest.skip("JAX makes 64 bits 32 unless it is told otherwise before anything else")
    y, f, w = data(dtype)
    loss = fl.Huber(delta=1.2)
    Y, F, W = make(y), make(f), make(w)
    value, gradient = loss.value_and_grad(Y, F, W)
    expected, expected_gradient = loss.value_and_grad(y, f, w)
    assert value == expected
    assert type(gradient) is type(F)
    same_bits(gradient, expected_gradient)
    for name in ("index", "name", "coords", "dims"):
        if hasattr(F, name) and not callable(getattr(F, name)):
            assert str(getattr(gradient, name)) == str(getattr(F, name))
    same_bits(loss.elementwise(Y, f, W), loss.elementwise(y, f, w))  # kinds may be mixed
    same_bits(loss.grad_and_hess(y, F)[1], loss.grad_and_hess(y, f)[1])


@pytest.mark.parametrize("make", MAKERS)
def test_nothing_is_copied(make, monkeypatch):
    """Where the kernel reads is where the data lies, and the result is what it wrote."""
    from fusedloss import evaluate

    y, f, _ = data(np.float32)
    F = make(f)
    seen = []
    run = evaluate._pass

    def spy(plan, y, f, *more):
        result = run(plan, y, f, *more)
        arrays = [f, *[a for a in more if isinstance(a, np.ndarray) and a.shape == (N,)]]
        seen.extend(address(b) for a in arrays for b in (a.memory if hasattr(a, "memory") else [a]))
        return result

    monkeypatch.setattr(evaluate, "_pass", spy)
    gradient = fl.SquaredError().grad(y, F, copy=False)
    if make is pandas_nullable:  # which hands its memory to NumPy, and not to Arrow
        assert address(F.to_numpy()) in seen
        return
    pieces = F.chunks if make is chunks else F.get_chunks() if make is polars_chunks else [F]
    assert {memory_of(piece) for piece in pieces if len(piece)} <= set(seen)
    assert memory_of(gradient) in seen


def memory_of(array):
    if hasattr(array, "to_arrow"):
        array = array.to_arrow()
    elif hasattr(array, "iloc"):
        array = pa.array(array)
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0)
    if isinstance(array, pa.Array):
        return array.buffers()[1].address + array.offset * array.type.bit_width // 8
    if hasattr(array, "data_ptr"):
        return array.data_ptr()
    if hasattr(array, "unsafe_buffer_pointer"):
        return array.unsafe_buffer_pointer()
    return address(getattr(array, "data", array) if not isinstance(array, np.ndarray) else array)


def test_out_of_another_kind_is_written_and_returned():
    torch_ = pytest.importorskip("torch")
    y, f, _ = data(np.float32)
    out = torch_.empty(N)
    assert fl.Huber().grad(y, torch_.from_numpy(f), out=out) is out
    same_bits(out, fl.Huber().grad(y, f))
    pair = torch_.empty(N), torch_.empty(N)
    grad, hess = fl.Huber().grad_and_hess(y, torch_.from_numpy(f), out=pair)
    assert grad is pair[0]
    assert hess is pair[1]
    with pytest.raises(ValueError, match="out is read-only"):
        fl.Huber().grad(y, pa.array(f), out=pa.array(f))


# ---- rows --------------------------------------------------------------------------------------------------------


def frame(a):
    return pa.table({str(k): chunks(np.ascontiguousarray(a[:, k])) for k in range(a.shape[1])})


@pytest.mark.parametrize("C", [3, 20, 400])
def test_columns_of_a_table_are_rows(C):
    n = N if C < 100 else 700
    rng = np.random.default_rng(1)
    f, y = rng.normal(size=(n, C)).astype(np.float32), rng.integers(0, C, n)
    table = frame(f) if n == N else pa.table({str(k): np.ascontiguousarray(f[:, k]) for k in range(C)})
    loss = fl.CategoricalCrossEntropy(class_weight=rng.uniform(1.0, 2.0, C))
    value, gradient = loss.value_and_grad(pa.array(y), table)
    expected, expected_gradient = loss.value_and_grad(y, f)
    assert value == expected
    assert gradient.column_names == table.column_names
    same_bits(np.column_stack([column.to_numpy() for column in gradient.columns]), expected_gradient)
    assert loss.elementwise(y, table).to_numpy().tobytes() == loss.elementwise(y, f).tobytes()


def test_tables_of_samples_that_are_numbers():
    rng = np.random.default_rng(1)
    y, f = rng.normal(size=(2, N, 3))
    w = rng.uniform(size=N)
    value, gradient = fl.Huber().value_and_grad(frame(y), frame(f), chunks(w))
    expected, expected_gradient = fl.Huber().value_and_grad(y, f, w)
    assert value == expected
    same_bits(np.column_stack([column.to_numpy() for column in gradient.columns]), expected_gradient)


@pytest.mark.hosts
def test_data_frames():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    rng = np.random.default_rng(1)
    f, y = rng.normal(size=(N, 3)), rng.integers(0, 3, N)
    loss = fl.CategoricalCrossEntropy()
    expected = loss.grad(y, f)
    columns = {name: np.ascontiguousarray(f[:, k]) for k, name in enumerate("abc")}
    for made in (pd.DataFrame(f, columns=list("abc"), index=np.arange(N) + 5), pd.DataFrame(columns), pl.DataFrame(columns),
                 pd.DataFrame({name: pandas_arrow(a) for name, a in columns.items()})):
        gradient = loss.grad(y, made)
        assert type(gradient) is type(made)
        assert list(gradient.columns) == list("abc")
        if isinstance(made, pd.DataFrame):
            assert gradient.index.equals(made.index)
        assert np.array_equal(gradient.to_numpy().astype(np.float64), expected)
        assert loss(pd.Series(y), f) == loss(y, f)
    # what pandas keeps in one block is read as one array
    block = pd.DataFrame(f, copy=False)
    from fusedloss.arrays import pandas

    assert address(pandas.read("y_pred", block).values) == address(f)


# ---- nulls -------------------------------------------------------------------------------------------------------


def test_nulls():
    y, f, w = data()
    where = [np.zeros(N, bool) for _ in range(3)]
    where[0][[0, 4096]], where[1][[9, 5000, N - 1]], where[2][[9, 4097]] = True, True, True
    Y, F, W = [chunks(pa.array(a, mask=mask)) for a, mask in zip((y, f, w), where, strict=True)]
    null = where[0] | where[1] | where[2]
    own = np.random.default_rng(3).uniform(size=N) < 0.1
    with pytest.raises(ValueError, match=r"y_true\[0\] is null: pass nulls='ignore'"):
        fl.Huber()(Y, F, W)
    with pytest.raises(ValueError, match=r"sample_weight\[9\] is null"):
        fl.Huber()(y, f, W)
    with pytest.raises(ValueError, match="nulls must be one of 'raise', 'ignore', found 'skip'"):
        fl.Huber()(Y, F, nulls="skip")
    for mask, expected_mask in ((None, null), (own, null | own)):
        value, gradient = fl.Huber().value_and_grad(Y, F, W, mask=mask, nulls="ignore")
        expected, expected_gradient = fl.Huber().value_and_grad(y, f, w, mask=expected_mask)
        assert value == expected
        assert np.array_equal(gradient.is_null().to_numpy(), null)
        assert np.array_equal(np.where(null, 0.0, gradient.fill_null(0.0).to_numpy()), expected_gradient)
    kept = ~null
    assert fl.Huber()(Y, F, reduction="sum", nulls="ignore") == pytest.approx(
        fl.Huber()(y[~(where[0] | where[1])], f[~(where[0] | where[1])], reduction="sum"), rel=1e-14)
    assert fl.Huber()(Y, F, W, nulls="ignore") == pytest.approx(fl.Huber()(y[kept], f[kept], w[kept]), rel=1e-14)


def test_nulls_of_rows():
    rng = np.random.default_rng(1)
    f, y = rng.normal(size=(N, 3)), rng.integers(0, 3, N)
    null = rng.uniform(size=(N, 3)) < 0.01
    table = pa.table({str(k): pa.array(f[:, k], mask=null[:, k]) for k in range(3)})
    loss = fl.CategoricalCrossEntropy()
    with pytest.raises(ValueError, match=r"y_pred\[\d+, \d\] is null"):
        loss(y, table)
    value, gradient = loss.value_and_grad(y, table, nulls="ignore")
    rows = null.any(1)
    expected, expected_gradient = loss.value_and_grad(y, f, mask=rows)
    assert value == expected
    assert all(np.array_equal(column.is_null().to_numpy(), rows) for column in gradient.columns)
    assert np.array_equal(gradient.column("1").fill_null(0.0).to_numpy(), expected_gradient[:, 1])
    # of samples that are numbers a null takes out its own
    gradient = fl.Huber().grad(f + 1.0, table, nulls="ignore")
    assert np.array_equal(gradient.column("2").is_null().to_numpy(), null[:, 2])


@pytest.mark.hosts
def test_nulls_of_data_frames():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    y, f, _ = data(n=1000)
    null = np.arange(1000) % 7 == 3
    expected = fl.Huber().value_and_grad(y, f, mask=null)
    nullable = pd.Series(pd.arrays.FloatingArray(f, null))
    for made, nulls in ((nullable, lambda s: s.isna().to_numpy()),
                        (pd.Series(pd.arrays.ArrowExtensionArray(pa.array(f, mask=null))), lambda s: s.isna().to_numpy()),
                        (pl.from_arrow(pa.array(f, mask=null)), lambda s: s.is_null().to_numpy())):
        value, gradient = fl.Huber().value_and_grad(y, made, nulls="ignore")
        assert value == expected[0]
        assert type(gradient) is type(made)
        assert np.array_equal(nulls(gradient), null)
    with pytest.raises(ValueError, match="y_pred can only be read from a copy, and copy=False: pandas hands out numbers"):
        fl.Huber()(y, nullable, nulls="ignore", copy=False)
    assert fl.Huber()(y, pd.Series([True, False] * 500, dtype="boolean")) == fl.Huber()(y, np.array([True, False] * 500))


# ---- dtypes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MAKERS)
def test_scores_and_accumulators_read_them_too(make):
    rng = np.random.default_rng(2)
    p, q, w = rng.random((3, N)).astype(np.float32)
    y, null, by = (rng.random(N) < p).astype(float), rng.random(N) < 0.1, rng.integers(0, 3, N)
    mask, metrics = rng.random(N) < 0.1, ["auc", "accuracy", "ece", "r2"]
    wanted = fl.score(y, {"p": p, "q": q}, ["brier"], w, by, mask=null | mask, metrics=metrics)
    found = fl.score(pa.array(y, mask=null), {"p": make(p), "q": q}, ["brier"], make(w), by, mask=mask, metrics=metrics,
                     nulls="ignore")
    for what in ("rows", "differences", "metrics"):
        assert list(map(repr, getattr(found, what))) == list(map(repr, getattr(wanted, what)))
    acc, plain = (fl.BinaryBrier(from_logits=False).accumulator(worst=2) for _ in range(2))
    acc.update(pa.array(y, mask=null), make(p), make(w), nulls="ignore")
    plain.update(y, p, w, null)
    assert acc.to_dict() == plain.to_dict()
    y = pa.array(y, mask=null)
    for call in (lambda: fl.score(y, make(p), ["brier"]), lambda: acc.update(y, p)):
        with pytest.raises(ValueError, match=rf"y_true\[{null.argmax()}\] is null: pass nulls='ignore'"):
            call()
    assert acc.to_dict() == plain.to_dict()  # nothing of it was added
    with pytest.raises(ValueError, match="nulls must be one of 'raise', 'ignore', found 'drop'"):
        fl.score(y, p, ["brier"], nulls="drop")


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "float16", "bool"])
def test_targets_of_every_dtype(dtype):
    rng = np.random.default_rng(2)
    y, f = rng.integers(0, 2, N).astype(dtype), rng.normal(size=N)
    Y = chunks(pa.array(y))
    assert fl.BinaryCrossEntropy()(Y, f) == fl.BinaryCrossEntropy()(y, f)
    Y = pa.array(y)[5:]  # bits that do not begin with a byte
    assert fl.BinaryCrossEntropy()(Y, f[5:]) == fl.BinaryCrossEntropy()(y[5:], f[5:])


def bfloat16(a):
    """The nearest bfloat16, ties to even, as float32: an independent rounding."""
    wide = a.astype(np.float64)
    exponent = np.floor(np.log2(np.abs(wide) + (wide == 0)))
    unit = 2.0 ** (np.maximum(exponent, -126) - 7)
    return (np.round(wide / unit) * unit).astype(np.float32)


def test_bfloat16_is_rounded_to_the_nearest():
    rng = np.random.default_rng(4)
    many = rng.normal(size=1000) * 10.0 ** rng.integers(-30, 30, 1000)
    numbers = np.concatenate([many, [0.0, -0.0, 1.00390625, 1.01171875, 1e-40]]).astype(np.float32)
    stored = BFloat16(np.zeros(len(numbers), np.uint16))
    stored[:] = numbers
    assert np.array_equal(stored[:], bfloat16(numbers))
    stored[:3] = [np.inf, -np.inf, np.nan]
    assert stored[0] == np.inf
    assert stored[1] == -np.inf
    assert np.isnan(stored[2])


@pytest.mark.hosts
@pytest.mark.parametrize("library", ["torch", "jax", "ml_dtypes"])
def test_bfloat16(library):
    pytest.importorskip(library)
    y, f, w = [bfloat16(a) for a in data(np.float32)]
    if library == "torch":
        import torch

        made = [torch.from_numpy(a).bfloat16() for a in (y, f, w)]
        wide = lambda a: a.float().numpy()  # noqa: E731
    else:
        import ml_dtypes

        made = [a.astype(ml_dtypes.bfloat16) for a in (y, f, w)]
        if library == "jax":
            made = [importlib.import_module("jax").numpy.asarray(a) for a in made]
        wide = lambda a: np.asarray(a).astype(np.float32)  # noqa: E731
    value, gradient = fl.Huber().value_and_grad(*made, reduction="sum")
    expected, expected_gradient = fl.Huber().value_and_grad(y, f, w, reduction="sum")
    assert value == expected
    assert type(gradient) is type(made[1])
    assert gradient.dtype == made[1].dtype
    assert np.array_equal(wide(gradient), bfloat16(expected_gradient))
    hess = fl.Huber().grad_and_hess(*made)[1]
    assert np.array_equal(wide(hess), bfloat16(fl.Huber().grad_and_hess(y, f, w)[1]))
    labels, rows = np.arange(90) % 3, made[1][:270].reshape(90, 3)
    assert fl.CategoricalCrossEntropy()(labels, rows) == fl.CategoricalCrossEntropy()(labels, f[:270].reshape(90, 3))


# ---- errors ------------------------------------------------------------------------------------------------------


def test_errors_name_the_argument_and_the_column():
    f = np.zeros(3)
    for wrong, text in ((pa.array(["a", "b", "c"]), r"y_true has type string: encode its categories"),
                        (pa.array(["a", "b", "a"]).dictionary_encode(), r"y_true has type dictionary<.*: decode it first"),
                        (pa.array([1, 2, 3], pa.timestamp("s")), "y_true has type timestamp.*reference date"),
                        (pa.nulls(3), "y_true has type null")):
        with pytest.raises(TypeError, match=text):
            fl.Huber()(wrong, f)
    with pytest.raises(TypeError, match=r"y_pred\['b'\] has type string"):
        fl.CategoricalCrossEntropy()([0], pa.table({"a": [0.5], "b": ["x"]}))
    with pytest.raises(ValueError, match="y_true can only be read from a copy, and copy=False: a list is no array"):
        fl.Huber()([1.0, 2.0, 3.0], f, copy=False)
    with pytest.raises(TypeError, match="copy must be True or False, found 'never'"):
        fl.Huber()(f, f, copy="never")
    with pytest.raises(ValueError, match=r"y_true has shape \(2,\) and y_pred has shape \(3,\)"):
        fl.Huber()(pa.array([1.0, 2.0]), pa.array(f))
    bad = chunks(np.where(np.arange(N) == 9000, 2.0, 0.0))
    with pytest.raises(ValueError, match=r"y_true\[9000\] = 2.0"):
        fl.BinaryCrossEntropy()(bad, np.zeros(N))


@pytest.mark.hosts
def test_samples_are_paired_by_position_or_not_at_all():
    pd, xr = pytest.importorskip("pandas"), pytest.importorskip("xarray")
    y, f = pd.Series([1.0, 2.0, 3.0]), pd.Series([1.0, 2.0, 3.0], index=[2, 1, 0])
    with pytest.raises(ValueError, match=r"y_true and y_pred have different indexes.*y_pred.loc\[y_true.index\]"):
        fl.SquaredError()(y, f)
    assert fl.SquaredError()(y, f.to_numpy()) == 0.0
    with pytest.raises(ValueError, match=r"y_true and y_pred\['a'\] have different indexes"):
        fl.score(y, {"a": f}, ["squared_error"])
    with pytest.raises(ValueError, match="y_true and by have different indexes"):
        fl.score(y, f.to_numpy(), ["squared_error"], by=f)
    with pytest.raises(ValueError, match="y_true and y_pred have different indexes"):
        fl.SquaredError().accumulator().update(y, f)
    one, other = [xr.DataArray(np.zeros(3), dims="t", coords={"t": t}) for t in ([1, 2, 3], [3, 2, 1])]
    with pytest.raises(ValueError, match="y_true and y_pred have different coordinates along 't'"):
        fl.SquaredError()(one, other)
    with pytest.raises(ValueError, match=r"y_true has dimensions \('t',\) and y_pred has \('x',\)"):
        fl.SquaredError()(one, other.rename(t="x"))
    assert fl.SquaredError().grad(one.variable, other.variable).dims == ("t",)  # which have no coordinates


@pytest.mark.hosts
def test_tensors_that_require_grad():
    torch = pytest.importorskip("torch")
    y, f = torch.tensor([0.0, 0.0]), torch.tensor([0.5, 3.0], requires_grad=True)
    value = fl.Huber()(y, f)
    value.backward()
    assert np.allclose(f.grad.numpy(), fl.Huber().grad(y.numpy(), f.detach().numpy()))
    with pytest.raises(ValueError, match=r"y_pred requires grad.*y_pred.detach\(\)"):
        fl.Huber().value_and_grad(y, f)
    with torch.no_grad():
        assert fl.Huber()(y, f) == float(value)


@pytest.mark.hosts
def test_under_a_trace_of_jax():
    jax = pytest.importorskip("jax")
    y, f = jax.numpy.zeros(3), jax.numpy.asarray([0.5, 3.0, -1.0])
    gradient = jax.jit(jax.grad(lambda f: fl.Huber()(y, f)))(f)
    assert np.allclose(gradient, fl.Huber().grad(np.zeros(3), np.asarray(f)))
    with pytest.raises(TypeError, match="y_pred has no values inside jit"):
        jax.jit(lambda f: fl.Huber().grad(y, f))(f)


def test_no_library_is_imported_to_look():
    before = {name for name in ("pandas", "polars", "torch", "jax", "xarray", "dask") if name in sys.modules}
    fl.Huber()(pa.array([1.0]), [2.0])
    assert before == {name for name in ("pandas", "polars", "torch", "jax", "xarray", "dask") if name in sys.modules}


# ---- arrays that do not lie in memory as NumPy's do --------------------------------------------------------------


def test_parts_of_arrays_that_lie_apart():
    rng = np.random.default_rng(5)
    numbers, bools = rng.normal(size=(100, 3)), rng.uniform(size=(100, 3)) < 0.4
    packed = np.packbits(bools[:, 0], bitorder="little")
    made = {
        "chunks": (Chunks([numbers[:7, 0], numbers[7:7, 0], numbers[7:, 0]]), numbers[:, 0]),
        "columns": (Columns([numbers[:, k] for k in range(3)]), numbers),
        "bits": (Bits(packed, 3, 90), bools[3:93, 0]),
        "no bits": (Bits(packed, 3, 90, inverted=True), ~bools[3:93, 0]),
        "any of": (AnyOf([bools[:, 0], bools], (100,)), bools[:, 0] | bools.any(1)),
        "any of numbers": (AnyOf([bools[:, 0], bools], (100, 3)), bools[:, :1] | bools),
        "spread": (Spread(numbers[:, 0], (100, 3)), np.repeat(numbers[:, :1], 3, 1)),
    }
    for array, expected in made.values():
        assert array.shape == expected.shape
        assert array.size == expected.size
        assert np.array_equal(np.asarray(array), expected)
        for start, stop in ((0, 0), (0, 1), (5, 9), (7, 90), (89, 100)):
            assert np.array_equal(array[start:stop], expected[start:stop])
        assert np.array_equal(array[7], expected[7])
