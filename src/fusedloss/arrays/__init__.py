"""Array types: the caller's arrays as canonical views, and results in the caller's kind.

A kind of array is a module here with `owns(cls)`, whether a class is one of its kind; `read(name, x)`, an array as something
the library reads; and `wrap(result, like, nulls)`, a result as the kind that `like` is. It may have `empty(shape, dtype)`,
memory that its results need; `check_together(named)` for arguments that know their samples by name; and `run`, where it
computes elsewhere (lazily, on a GPU). Which kind an array is stands in one dictionary, by its exact type; a type seen for
the first time is looked for by the package of its classes, so nothing optional is imported to look.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

__all__ = ["Read", "kind"]

MODULES = {"pandas": "pandas", "polars": "polars", "pyarrow": "arrow", "torch": "torch", "jax": "jax", "jaxlib": "jax",
           "xarray": "xarray", "dask": "dask", "cupy": "cuda", "numba": "cuda"}
"""The package that a class comes from -> the module here that knows its arrays."""

_KINDS = {}


class Read(NamedTuple):
    """What was read: an array, where it is null (None: nowhere), and why it had to be copied (empty: it was not)."""

    values: Any
    nulls: Any = None
    copied: str = ""


def kind(x):
    """The module that knows the kind of array that `x` is: `arrays.numpy` for all that is not one of another library."""
    found = _KINDS.get(type(x))
    if found is None:
        found = _KINDS[type(x)] = _recognized(type(x))
    return found


def _recognized(cls):
    for base in cls.__mro__:
        module = MODULES.get(base.__module__.partition(".")[0])
        found = module and import_module(f".{module}", __name__)
        if found and found.owns(cls):
            return found
    return import_module(".numpy", __name__)
