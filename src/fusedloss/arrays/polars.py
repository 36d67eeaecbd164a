"""Series and data frames of polars, read by way of NumPy or Arrow, which share their memory."""

from __future__ import annotations

import polars as pl

from . import Read, arrow
from .apart import column

PLAIN = frozenset((pl.Float32, pl.Float64, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32,
                   pl.UInt64))
"""Dtypes that NumPy has as well."""


def owns(cls):
    return issubclass(cls, (pl.Series, pl.DataFrame, pl.LazyFrame, pl.Expr))


def read(name, x) -> Read:
    if isinstance(x, (pl.LazyFrame, pl.Expr)):
        raise TypeError(f"{name} is a polars.{type(x).__name__}, which has no values yet: collect it first"
                        + (f", {name}.collect()" if isinstance(x, pl.LazyFrame) else ""))
    if isinstance(x, pl.DataFrame):
        if not x.width:
            raise ValueError(f"{name} has no columns")
        return arrow.columns([read(f"{name}[{column.name!r}]", column) for column in x.get_columns()])
    if x.n_chunks() == 1 and not x.null_count() and x.dtype in PLAIN:
        return Read(x.to_numpy(allow_copy=False))
    if not (x.dtype.is_numeric() or x.dtype == pl.Boolean) or x.dtype.is_decimal():
        raise TypeError(f"{name} has dtype {x.dtype}: cast it to numbers first, for instance {name}.cast(polars.Float64)")
    arrays = [x.to_arrow()] if x.n_chunks() <= 1 else [chunk.to_arrow() for chunk in x.get_chunks()]
    return arrow.chunks(name, arrays, arrays[0].type)


def wrap(result, like, nulls):
    if result.ndim > 2:
        return result
    if result.ndim == 2 and isinstance(like, pl.DataFrame):
        return pl.DataFrame([_series(name, result[:, k], column(nulls, k)) for k, name in enumerate(like.columns)])
    return _series(like.name if isinstance(like, pl.Series) else "", result, nulls)


def _series(name, values, nulls):
    return pl.Series(name, values if nulls is None else arrow.array(values, nulls))
