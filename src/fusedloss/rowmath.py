"""Mathematics for formulas written on one row: the functions of vecmath for whole rows, and what reduces a row.

A row formula is plain Python in the notation of the textbook: operators and functions act on every element, `total` and
`largest` reduce. It runs on NumPy arrays of one row (of floats, or of mpmath's numbers) and, with symbols in their place,
tells the compiler what it computes: each function here does the first or records itself for the second. So a formula has
no loops, no `if` on its data (`where` chooses) and no assignment to elements.

>>> softmax(numpy.array([0.0, 0.0])).p
array([0.5, 0.5])
"""

from __future__ import annotations

import functools
import operator
from types import SimpleNamespace

import numpy as np

from . import vecmath

__all__ = [
    "at", "beside_largest", "cumulative", "first_largest", "index", "largest", "maximum", "minimum", "onehot",
    "paired_total", "ranks", "reverse_cumulative", "row_of", "size", "smallest", "softmax", "sort", "stack", "total",
    *vecmath.__all__,
]


class Symbolic:
    """What a formula is traced with: `rows.trace.Node` answers every function of this module by `record`."""

    __slots__ = ()


def _recorded(arguments):
    return next((x for x in arguments if isinstance(x, Symbolic)), None)


# ---- element by element ------------------------------------------------------------------------------------------


def _lifted(function):
    """A function of numbers, for rows and symbols too."""
    @functools.wraps(function)
    def lifted(*arguments):
        symbol = _recorded(arguments)
        if symbol is not None:
            return symbol.record(function.__name__, *arguments)
        if any(isinstance(x, np.ndarray) for x in arguments):
            return _row(np.frompyfunc(function, len(arguments), 1)(*arguments), arguments)
        return function(*arguments)

    return lifted


def _row(objects, like):
    """An array of objects in the dtype that `like` have together, unless one holds objects itself (mpmath's numbers)."""
    dtypes = [x.dtype for x in like if isinstance(x, (np.ndarray, np.generic)) and x.dtype != np.bool_]
    if any(d.kind == "O" for d in dtypes) or any(hasattr(x, "context") for x in like):
        return objects
    return objects.astype(np.result_type(*dtypes) if dtypes else np.float64)


globals().update({name: _lifted(getattr(vecmath, name)) for name in vecmath.__all__})


def _maximum(a, b):
    return a if a > b else b


def _minimum(a, b):
    return a if a < b else b


_maximum.__name__, _minimum.__name__ = "maximum", "minimum"
maximum, minimum = _lifted(_maximum), _lifted(_minimum)
maximum.__doc__ = "The larger one; b where they cannot be compared."
minimum.__doc__ = "The smaller one; b where they cannot be compared."


# ---- a row to a number -------------------------------------------------------------------------------------------


def _on_rows(function):
    """A function of rows for arrays and symbols."""
    @functools.wraps(function)
    def either(*arguments):
        symbol = _recorded(arguments)
        return function(*arguments) if symbol is None else symbol.record(function.__name__, *arguments)

    return either


@_on_rows
def total(x):
    """The sum over the row; of bools, how many are true."""
    return functools.reduce(operator.add, x if x.dtype != np.bool_ else x.astype(int))


@_on_rows
def largest(x):
    """The largest element."""
    return functools.reduce(_maximum, reversed(x))


@_on_rows
def smallest(x):
    """The smallest element."""
    return functools.reduce(_minimum, reversed(x))


@_on_rows
def first_largest(x):
    """The position of the largest element, of the first one where there are several."""
    return max(range(len(x)), key=lambda k: (x[k], -k))


@_on_rows
def size(x):
    """How many elements the row has."""
    return len(x)


@_on_rows
def at(y, x):
    """x_y for a class label y; for a row y of weights the sum of y_k x_k, to which y_k = 0 adds nothing (0 inf is 0)."""
    if not isinstance(y, np.ndarray):
        return x[y]
    return total(where(y == 0, 0 * y, y * where(y == 0, 0 * x, x)))  # noqa: F821


# ---- a row to a row ----------------------------------------------------------------------------------------------


@_on_rows
def index(x):
    """0, 1, 2, ... along the row."""
    return np.arange(len(x))


@_on_rows
def onehot(y, x):
    """The target as a row like x: 1 at the class label and 0 elsewhere; a row of weights is returned as it is."""
    return y if isinstance(y, np.ndarray) else (np.arange(len(x)) == y) * 1.0


@_on_rows
def cumulative(x):
    """x_0, x_0 + x_1, ...: sums from the front, x_k included."""
    return np.add.accumulate(x)


@_on_rows
def reverse_cumulative(x):
    """Sums from the back, x_k included."""
    return np.add.accumulate(x[::-1])[::-1]


@_on_rows
def sort(x):
    """The elements from the smallest to the largest."""
    return np.array(sorted(x), dtype=x.dtype)


@_on_rows
def ranks(x):
    """How many elements come before x_k when they are sorted (equal ones in their order): 0 for the smallest."""
    order = sorted(range(len(x)), key=lambda k: (x[k], k))
    result = np.empty(len(x), int)
    result[order] = np.arange(len(x))
    return result


def paired_total(function, rows, others):
    """The row r_i = sum over k of function(*[a_i for a in rows], *[b_k for b in others]); takes C^2 evaluations."""
    symbol = _recorded([*rows, *others])
    if symbol is not None:
        return symbol.record_pairs(function, rows, others)
    n = len(rows[0])
    sums = [total(np.array([function(*[a[i] for a in rows], *[b[k] for b in others]) for k in range(n)]))
            for i in range(n)]
    return np.array(sums, dtype=object if rows[0].dtype == object else None)


@_on_rows
def row_of(matrix, y):
    """The row of a parameter matrix that belongs to the class label y."""
    return matrix[y]


def stack(*numbers):
    """A row of these numbers: what a formula returns where the loss fixes the columns."""
    symbol = _recorded(numbers)
    if symbol is not None:
        return symbol.record("stack", *numbers)
    plain = not any(hasattr(x, "context") for x in numbers)
    return np.array(numbers, dtype=np.result_type(*numbers) if plain else object)


@_on_rows
def beside_largest(z):
    """The sum of e^(z - max) over the row, without the largest element itself, which would add exactly 1."""
    return total(where(index(z) == first_largest(z), 0.0, exp_neg(largest(z) - z)))  # noqa: F821


def softmax(z):
    """The distribution that a row of logits stands for, accurate where one class has nearly all of it.

    `p`           e^z_k / sum_j e^z_j
    `complement`  1 - p, to its last digits
    `log_p`       z_k - log sum_j e^z_j
    `log_sum`     log sum_j e^z_j

    All start from e = e^(z - max) and rest, the sum of e without the largest element, whose e is exactly 1: the
    textbook's 1 - p and log p are 0 for the class that has all but 1e-17 of the sum.
    """
    top = first_largest(z)
    m = largest(z)
    e = exp_neg(m - z)  # noqa: F821
    leads = index(z) == top
    rest = beside_largest(z)
    inverse = 1.0 / (1.0 + rest)
    log_rest = log1p(rest)  # noqa: F821
    return SimpleNamespace(
        p=e * inverse,
        complement=where(leads, rest, (1.0 - e) + rest) * inverse,  # noqa: F821
        log_p=(z - m) - log_rest,
        log_sum=m + log_rest,
    )
