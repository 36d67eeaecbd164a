"""The formulas of a loss on one sample in any arithmetic: in many digits, and in that of a dtype.

mpmath computes the many digits. A loss of one number, or of a single score, is a row with one column here.
"""

from __future__ import annotations

import math
import types
import weakref
from dataclasses import fields

import numpy as np

from .. import rowmath, vecmath
from ..loss import Loss

__all__ = ["FORMULAS", "NotComputable", "Subject", "rounded"]

FORMULAS = ("value", "gradient", "hessian")

LARGEST_EXPONENT = 1e300
"""Exponentials of larger numbers are 0 or infinity, in many digits too: their own exponents would not fit in memory."""


class NotComputable(Exception):
    """A formula uses what there is no exact form of."""


# ---- functions ---------------------------------------------------------------------------------------------------

_IN_MPMATH = {name: name for name in (
    "sinh", "cosh", "tan", "asin", "acos", "atan2", "asinh", "acosh", "atanh", "hypot", "floor", "ceil", "fabs", "sign",
    "log10", "gamma", "cbrt")}
_IN_MPMATH |= {"arctan": "atan", "arcsin": "asin", "arccos": "acos", "arctan2": "atan2", "arcsinh": "asinh",
               "arccosh": "acosh", "arctanh": "atanh", "absolute": "fabs", "abs": "fabs", "power": "power"}
_EXACT = {
    "maximum": lambda mp, a, b: max(a, b), "minimum": lambda mp, a, b: min(a, b), "square": lambda mp, x: x * x,
    "log2": lambda mp, x: mp.log(x, 2), "exp2": lambda mp, x: mp.power(2, x),
}


def _context():
    """mpmath's arithmetic, a copy for ourselves, in which no exponential is too large for memory."""
    try:
        import mpmath
    except ImportError:
        raise ImportError("fusedloss.check computes derivatives in many digits with mpmath, which is not installed: "
                          'pip install "fusedloss[check]"') from None
    mp = mpmath.mp.clone()

    def bounded(function, low, high):
        return lambda x: low if x < -LARGEST_EXPONENT else high if x > LARGEST_EXPONENT else function(x)

    for name, low, high in (("exp", mp.zero, mp.inf), ("expm1", -mp.one, mp.inf), ("tanh", -mp.one, mp.one),
                            ("sinh", -mp.inf, mp.inf), ("cosh", mp.inf, mp.inf)):
        setattr(mp, name, bounded(getattr(mp, name), low, high))
    return mp


def _mathematical(name, function):
    """A function of `math` or NumPy for numbers of any arithmetic, which the result stays in."""
    if name in vecmath.__all__:
        return getattr(vecmath, name)

    def computed(*arguments):
        for x in arguments:
            if hasattr(x, "context"):
                if name in _EXACT:
                    return _EXACT[name](x.context, *arguments)
                if name not in _IN_MPMATH:
                    raise NotComputable(f"there is no {name} for them")
                return getattr(x.context, _IN_MPMATH[name])(*arguments)
        result = function(*arguments)
        return np.float32(result) if any(type(x) is np.float32 for x in arguments) and type(result) is float else result

    return computed


class _Namespace:
    """`math` or NumPy with functions of any arithmetic."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        value = getattr(self._module, name)
        return _mathematical(name, value) if callable(value) else value


_portables = weakref.WeakKeyDictionary()


def portable(function):
    """A formula of one number, and the functions it uses, for numbers of any arithmetic: `math.exp` would make floats."""
    clone = _portables.get(function)
    if clone is None:
        code, scope = function.__code__, dict(function.__globals__)
        cells = tuple(types.CellType() for _ in code.co_freevars)
        clone = types.FunctionType(code, scope, function.__name__, function.__defaults__, cells)
        clone.__kwdefaults__ = function.__kwdefaults__
        _portables[function] = clone  # before its globals are looked at: it may be one of them
        scope |= {name: _substitute(scope[name]) for name in set(_names(code)) if name in scope}
        for cell, known in zip(cells, function.__closure__ or (), strict=True):
            cell.cell_contents = _substitute(known.cell_contents)
    return clone


def _names(code):
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _names(const)


def _substitute(value):
    if value is math or value is np:
        return _Namespace(value)
    module = getattr(value, "__module__", None)
    if isinstance(value, np.ufunc) or (isinstance(value, types.BuiltinFunctionType) and module == "math"):
        return _mathematical(value.__name__, value)
    if isinstance(value, types.FunctionType) and module not in (vecmath.__name__, rowmath.__name__):
        return portable(value)
    return value


# ---- a loss ------------------------------------------------------------------------------------------------------


class _Self:
    """The `self` that formulas see: parameters and properties of a loss in another arithmetic, and methods bound to it."""

    def __init__(self, loss, number, array, exact=False, **changed):
        self.__dict__.update(_loss=loss, _number=number, _array=array, _exact=exact, **changed)

    def __getattr__(self, name):
        known = getattr(type(self._loss), name, None)
        if isinstance(known, types.FunctionType):
            return types.MethodType(known if self._loss.rowwise else portable(known), self)
        value = self._property(known) if self._exact else None
        self.__dict__[name] = value = self._converted(getattr(self._loss, name) if value is None else value)
        return value

    def _property(self, known):
        """A property in many digits; None where this is none, or where it cannot be computed in them."""
        function = known.fget if isinstance(known, property) else getattr(known, "func", None)
        if not isinstance(function, types.FunctionType):
            return None
        try:
            return (function if self._loss.rowwise else portable(function))(self)
        except Exception:  # a property may do whatever Python can, in doubles
            return None

    def _converted(self, value):
        if isinstance(value, Loss):  # a part of a combination
            return _Self(value, self._number, self._array, self._exact)
        if isinstance(value, (bool, np.bool_)) or hasattr(value, "context"):
            return value
        if isinstance(value, (int, float, np.number)):
            return self._number(float(value))
        return self._array(value) if isinstance(value, np.ndarray) and value.dtype != object else value


class Subject:
    """A loss whose formulas are evaluated on one sample: in many digits (`exact`), and in the arithmetic of a dtype
    (`computed`). Predictions are rows of `columns` numbers."""

    def __init__(self, loss):
        self.loss, self.mp = loss, _context()
        self.single = not loss.rowwise or loss.single_score
        self.columns = _columns(loss)

    def has(self, name):
        return hasattr(self.loss, name)

    def call(self, name, self_, y, f, *more):
        """What a formula returns; of one that gives a number per column always a row."""
        function = getattr(type(self.loss), name)
        function = function if self.loss.rowwise else portable(function)
        with np.errstate(all="ignore"):
            result = function(self_, y, *[x[0] if self.single else x for x in (f, *more)])
        if name == "value" or name.startswith("gradient_"):
            return result
        row = np.asarray(result, object)
        row = np.full(self.columns, row.item(), object) if row.ndim == 0 else row
        if row.shape != (self.columns,):
            raise TypeError(f"returns {row.size} numbers for a row of {self.columns} predictions")
        return row

    # ---- in many digits ----------------------------------------------------------------------------------------

    def exact_self(self, loss=None, **changed):
        """The loss with parameters in many digits, as many as are in force."""
        return _Self(loss or self.loss, self.mp.mpf, self.exact_row, exact=True, **changed)

    def exact_row(self, x):
        """An array of numbers of mpmath."""
        return np.vectorize(self.mp.mpf, otypes=[object])(np.asarray(x, float))

    def exactly(self, x):
        """A target or a row of predictions in many digits; a label as it is."""
        if isinstance(x, (int, np.integer)):
            return int(x)
        return self.mp.mpf(float(x)) if np.ndim(x) == 0 else self.exact_row(x)

    def exact(self, name, self_, y, f, *more):
        """A formula on numbers of mpmath: a number, or a row. NaN where it has no real value."""
        try:
            result = self.call(name, self_, y, f, *more)
        except (ZeroDivisionError, ValueError, OverflowError):
            result = self.mp.nan if name == "value" else np.full(self.columns, self.mp.nan, object)
        return np.array([self._real(x) for x in result], object) if isinstance(result, np.ndarray) else self._real(result)

    def _real(self, x):
        return self.mp.nan if isinstance(x, (self.mp.mpc, complex)) else self.mp.mpf(x)

    def exact_at(self, name, y, f, self_=None):
        """The same for a target and predictions that are floats, as a row of at least one number."""
        result = self.exact(name, self_ or self.exact_self(), self.exactly(y), self.exactly(f))
        return np.atleast_1d(np.asarray(result, object))

    # ---- in the arithmetic of a dtype --------------------------------------------------------------------------

    def computed(self, name, y, f, F, loss=None):
        """A formula in the arithmetic of F, what it reads from `self` rounded to F, as kernels do: a float, or a row."""
        self_ = _Self(loss or self.loss, F, lambda x: np.asarray(x, F))
        if not isinstance(y, (int, np.integer)):
            y = F(y) if np.ndim(y) == 0 else np.asarray(y, F)
        try:
            result = self.call(name, self_, y, np.asarray(f, F))
        except (ZeroDivisionError, ValueError, OverflowError):  # of Python's own numbers; a kernel gives infinity or NaN
            result = math.nan if name == "value" else np.full(self.columns, math.nan)
        return np.asarray(result, float)

    def computed_row(self, name, y, f, F):
        """The same as a row of at least one number."""
        return np.atleast_1d(self.computed(name, y, f, F))


def rounded(loss, F):
    """The loss with parameters that F represents."""
    twin = object.__new__(type(loss))
    for spec in fields(loss):
        value = getattr(loss, spec.name)
        if type(value) is float:
            value = float(F(value))
        elif isinstance(value, np.ndarray):
            value = value.astype(F).astype(float)
        elif isinstance(value, Loss):
            value = rounded(value, F)
        twin.__dict__[spec.name] = value
    return twin


def _columns(loss):
    """How many columns the predictions have: what the loss fixes, or 4."""
    if not loss.rowwise or loss.single_score:
        return 1
    if loss.columns:
        return len(loss.columns)
    for spec in fields(loss):
        value = getattr(loss, spec.name)
        if isinstance(value, np.ndarray):
            return value.shape[0] - (loss.n_classes(1) - 1)
    return 4
