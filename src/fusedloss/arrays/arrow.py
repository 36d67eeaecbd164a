"""Arrow's arrays, chunked arrays and tables, read where they lie, nulls and all."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from . import Read
from .apart import Bits, Chunks, Columns, column

PACKED = 1 << 16
"""Nulls made bits at a time: a multiple of 8."""

REMEDIES = {
    "decimal": "cast it to float64 first, .cast('float64')",
    "dictionary": "decode it first, .cast({0}.type.value_type), or encode its categories as numbers",
    "string": "encode its categories as numbers first",
    "large_string": "encode its categories as numbers first",
    "date": "subtract a reference date and divide by a unit first",
    "timestamp": "subtract a reference date and divide by a unit first",
    "null": "it has no values",
}


def owns(cls):
    return issubclass(cls, (pa.Array, pa.ChunkedArray, pa.Table, pa.RecordBatch))


def read(name, x):
    if isinstance(x, (pa.Table, pa.RecordBatch)):
        if not x.num_columns:
            raise ValueError(f"{name} has no columns")
        return columns([read(f"{name}[{label!r}]", x.column(label)) for label in x.column_names])
    if isinstance(x, pa.Array) and not x.null_count:
        return Read(values_of(name, x))
    return chunks(name, x.chunks if isinstance(x, pa.ChunkedArray) else [x], x.type)


def chunks(name, arrays, kind):
    """Several arrays of one type, one after the other."""
    values = [values_of(name, array) for array in arrays] or [np.empty(0, _dtype(name, kind))]
    nulls = None
    if any(array.null_count for array in arrays):
        nulls = [_nulls(array) for array in arrays]
        nulls = nulls[0] if len(nulls) == 1 else Chunks(nulls)
    return Read(values[0] if len(values) == 1 else Chunks(values), nulls)


def columns(reads):
    """Columns, each read on its own, as the columns of one array."""
    nulls = None
    if any(one.nulls is not None for one in reads):
        n = len(reads[0].values)
        nulls = Columns([np.broadcast_to(False, n) if one.nulls is None else one.nulls for one in reads])
    return Read(Columns([one.values for one in reads]), nulls, next((one.copied for one in reads if one.copied), ""))


def _dtype(name, kind):
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return np.dtype(kind.to_pandas_dtype())
    remedy = REMEDIES.get(str(kind).partition("[")[0].partition("(")[0].partition("<")[0].rstrip("0123456789"),
                          "cast it to float64 first")
    raise TypeError(f"{name} has type {kind}: {remedy.format(name)}")


def values_of(name, array):
    """The values of an array where they lie, those behind nulls included. (Arrow's own `to_numpy` would import pandas.)"""
    dtype, buffer = _dtype(name, array.type), array.buffers()[1]
    if dtype == np.bool_:
        return Bits(np.frombuffer(buffer or b"", np.uint8), array.offset, len(array))
    values = np.frombuffer(buffer or b"", dtype, len(array), array.offset * dtype.itemsize)
    values.flags.writeable = False  # it may be memory of NumPy's: an array of Arrow is never written to
    return values


def _nulls(array):
    if not array.null_count:
        return np.broadcast_to(False, len(array))
    return Bits(np.frombuffer(array.buffers()[0], np.uint8), array.offset, len(array), inverted=True)


def wrap(result, like, nulls):
    if result.ndim > 2:
        return result
    if isinstance(like, (pa.Table, pa.RecordBatch)) and result.ndim == 2:
        made = [array(result[:, k], column(nulls, k)) for k in range(result.shape[1])]
        return type(like).from_arrays(made, names=like.column_names)
    made = array(result, nulls)
    return pa.chunked_array([made]) if isinstance(like, (pa.ChunkedArray, pa.Table)) else made


def array(values, nulls):
    """An Arrow array on the memory of `values` (one dimension), null where `nulls` is true."""
    n, valid = len(values), None
    values = np.ascontiguousarray(values)
    if nulls is not None:
        valid = np.empty((n + 7) // 8, np.uint8)
        for start in range(0, n, PACKED):
            packed = np.packbits(~nulls[start: start + PACKED], bitorder="little")
            valid[start // 8: start // 8 + len(packed)] = packed
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), n,
                                 [None if valid is None else pa.py_buffer(valid), pa.py_buffer(values)])
