"""Series and data frames of pandas: NumPy's, Arrow's and pandas' own nullable dtypes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from . import Read
from .apart import Columns, column
from .numpy import read as read_numpy

COPIED = "pandas hands out numbers with nulls only as a copy: convert them to an Arrow dtype, .astype('double[pyarrow]')"


def owns(cls):
    return issubclass(cls, (pd.Series, pd.DataFrame))


def read(name, x) -> Read:
    if isinstance(x, pd.Series):
        return _column(name, x)
    if not x.shape[1]:
        raise ValueError(f"{name} has no columns")
    reads = [_column(f"{name}[{label!r}]", x.iloc[:, k]) for k, label in enumerate(x.columns)]
    if _one_block([one.values for one in reads]):
        return Read(x.to_numpy())
    if any(one.nulls is not None for one in reads):
        from . import arrow

        return arrow.columns(reads)
    return Read(Columns([one.values for one in reads]), None, next((one.copied for one in reads if one.copied), ""))


def _one_block(columns):
    """Whether columns are those of one array: then pandas hands that out, without a copy."""
    if not all(isinstance(a, np.ndarray) and a.dtype == columns[0].dtype and a.strides == columns[0].strides
               for a in columns):
        return False
    steps = np.diff([a.__array_interface__["data"][0] for a in columns])
    # of one array the columns are next to one another in a row, or each begins where the one before ends
    return len(columns[0]) > 0 and bool(np.all(steps == steps[:1])) and (len(columns) == 1 or steps[0] in (
        columns[0].itemsize, columns[0].nbytes))


def _column(name, x):
    dtype = x.dtype
    if isinstance(dtype, np.dtype):
        return read_numpy(name, x.to_numpy())
    if isinstance(dtype, pd.ArrowDtype):
        from . import arrow

        return arrow.read(name, x.array.__arrow_array__())
    if not hasattr(dtype, "numpy_dtype"):
        raise TypeError(f"{name} has dtype {dtype}: convert it to numbers first, for instance with .astype('float64')")
    null = x.isna().to_numpy() if x.hasnans else None
    values = x.to_numpy(dtype=dtype.numpy_dtype, na_value=dtype.numpy_dtype.type(0)) if x.hasnans else \
        x.to_numpy(dtype=dtype.numpy_dtype)
    return Read(values, null, COPIED if x.hasnans else "")


def wrap(result, like, nulls):
    if result.ndim > 2:
        return result
    if result.ndim == 2 and isinstance(like, pd.DataFrame):
        if all(isinstance(dtype, np.dtype) for dtype in like.dtypes):
            return pd.DataFrame(result, index=like.index, columns=like.columns, copy=False)
        parts = {k: _like(result[:, k], dtype, column(nulls, k)) for k, dtype in enumerate(like.dtypes)}
        return pd.DataFrame(parts, index=like.index, copy=False).set_axis(like.columns, axis=1)
    dtype = like.dtype if isinstance(like, pd.Series) else like.dtypes.iloc[0]
    return pd.Series(_like(result, dtype, nulls), index=like.index, name=getattr(like, "name", None), copy=False)


def _like(values, dtype, nulls):
    """Values as an array of the family that `dtype` is of: NumPy's, Arrow's or pandas' own."""
    if isinstance(dtype, pd.ArrowDtype):
        from . import arrow

        return pd.arrays.ArrowExtensionArray(arrow.array(values, nulls))
    if isinstance(dtype, np.dtype) or values.dtype == np.float16:
        return values
    return pd.arrays.FloatingArray(np.ascontiguousarray(values), np.zeros(len(values), bool) if nulls is None else nulls[:])


def check_together(named):
    """That what has an index has the same one: samples are paired by position."""
    (first, one), *others = [(name, x) for name, x in named.items() if isinstance(x, (pd.Series, pd.DataFrame))]
    for name, other in others:
        if other.index is not one.index and len(other) == len(one) and not other.index.equals(one.index):
            raise ValueError(f"{first} and {name} have different indexes, and samples are paired by position: align them, "
                             f"for instance {name}.loc[{first}.index], or pass {name}.to_numpy()")
