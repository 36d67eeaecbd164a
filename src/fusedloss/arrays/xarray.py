"""xarray's DataArrays: what they hold, and results with the same dimensions and coordinates."""

from __future__ import annotations

import numpy as np
import xarray as xr

from . import kind


def owns(cls):
    return issubclass(cls, (xr.DataArray, xr.Variable))


def run(loss, what, given, *more):
    """Where what `y_pred` holds is computed elsewhere."""
    held = {name: x.data if isinstance(x, (xr.DataArray, xr.Variable)) else x for name, x in given.items()}
    found = kind(held["y_pred"])
    result = found.run(loss, what, held, *more) if hasattr(found, "run") else NotImplemented
    if result is NotImplemented:
        return result
    parts = [_again(part, given["y_pred"]) for part in (result if isinstance(result, tuple) else (result,))]
    return tuple(parts) if isinstance(result, tuple) else parts[0]


def empty(shape, dtype):
    return np.empty(shape, dtype)


def read(name, x):
    return kind(x.data).read(name, x.data)


def wrap(result, like, nulls):
    return _again(kind(like.data).wrap(result, like.data, nulls), like)


def _again(result, like):
    """A result with the dimensions and coordinates of `like`; the value as it is."""
    if getattr(result, "ndim", 0) == 0:
        return result
    if result.shape == like.shape:
        return like.copy(data=result)
    if result.ndim == 1 and like.ndim == 2:
        return like.isel({like.dims[1]: 0}, drop=True).copy(data=result)
    return result


def check_together(named):
    """That dimensions are the same ones, and their coordinates where both have some: samples are paired by position."""
    (first, one), *others = [(name, x) for name, x in named.items() if isinstance(x, (xr.DataArray, xr.Variable))]
    for name, other in others:
        if other.dims != one.dims[: other.ndim]:
            raise ValueError(f"{first} has dimensions {one.dims} and {name} has {other.dims}: transpose one of them")
        for dim in set(getattr(one, "indexes", ())) & set(getattr(other, "indexes", ())):
            if other.sizes[dim] == one.sizes[dim] and not other.indexes[dim].equals(one.indexes[dim]):
                raise ValueError(f"{first} and {name} have different coordinates along {dim!r}, and samples are paired by "
                                 f"position: align them, for instance {name}.reindex_like({first}), or pass {name}.data")
