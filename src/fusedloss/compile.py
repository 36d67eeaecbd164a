"""Specialise a loop to a loss, once, and keep the machine code.

A loss's formulas are plain Python. `_Formula` clones each with its literals in the dtype of the prediction (a bare 0.5
would make float32 arithmetic float64) and its mathematical functions replaced by the SIMD ones of vecmath; a kernel
template of `kernels` is closed over the clones, compiled for one declared signature, and stored under the digest of
everything it was made of. This is the only file that touches Numba's private interface.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import math
import os
import pickle
import sys
import threading
import types as python_types
from collections import namedtuple
from importlib import resources

import llvmlite
import numba
import numpy as np
from numba import njit, types
from numba.core import caching, compiler, serialize
from numba.core.compiler_lock import global_compiler_lock
from numba.core.runtime import rtsys
from numba.extending import overload, register_jitable

from . import cache, trace
from . import vecmath as stubs
from .curvatures import FORMULAS
from .kernels import cpu, leaves, linear, rows
from .kernels import moments as sums
from .loss import Loss

# Pinned for every function that is inlined into a kernel. forceinline: above LLVM's threshold the loop would be scalar
# (22 ns against 3.1 for erfc); no fastmath: `reassoc` around a range reduction made exp wrong by 41 %; the numpy error
# model: one possible ZeroDivisionError makes a loop multi-exit and scalar.
_FLAGS = dict(fastmath=False, error_model="numpy", forceinline=True)

DRIVERS = {
    # the GIL is kept for small arrays: a call that drops it waits up to 5 ms for it in a busy process
    "serial": dict(nogil=False, parallel=False),
    "nogil": dict(nogil=True, parallel=False),
    "parallel": dict(nogil=True, parallel=True),
}

_lock = threading.RLock()


def _hold():
    _lock.acquire()
    global_compiler_lock.acquire()


def _release():
    global_compiler_lock.release()
    _lock.release()


if hasattr(os, "register_at_fork"):
    # A child forked while another thread compiles would inherit a locked compiler and hang at its first compilation.
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_release)


# ---- formulas ----------------------------------------------------------------------------------------------------


class _Formula:
    """A plain Python function made ready for a kernel: `function` to compile, `digest` of what it does."""

    def __init__(self, function, F):
        self.parts = [F.__name__, _code_digest(function.__code__)]
        code = _retyped(function.__code__, F)
        known = {name: function.__globals__[name] for name in _global_names(function.__code__)
                 if name in function.__globals__}
        cells = dict(zip(function.__code__.co_freevars, (c.cell_contents for c in function.__closure__ or ()), strict=True))
        converted = {name: self._convert(name, value, F) for name, value in (known | cells).items()}
        closure = tuple(python_types.CellType(converted[name]) for name in cells)
        clone = python_types.FunctionType(code, {"__name__": __name__} | {n: converted[n] for n in known},
                                          function.__name__, function.__defaults__, closure)
        self.digest = _digest(*self.parts)
        clone.__qualname__ = f"{function.__qualname__}.{self.digest[:16]}"
        self.function = register_jitable(**_FLAGS)(clone)

    def _convert(self, name, value, F):
        """A global or a closed-over value of the formula, as the kernel sees it."""
        self.parts.append(name)
        if getattr(value, "__module__", None) == stubs.__name__ and value.__name__ in stubs.__all__:
            self.parts.append(value.__name__)
            return getattr(_vecmath(F), value.__name__)
        if isinstance(value, python_types.FunctionType):
            helper = formula(value, F)
            self.parts.append(helper.digest)
            return helper.function
        if value is math or value is np or value is stubs:
            return _namespace(value, F)
        if isinstance(value, (bool, np.bool_)):
            self.parts.append(repr(bool(value)))
            return bool(value)
        if isinstance(value, (int, float, np.integer, np.floating)):
            self.parts.append(float(value).hex())
            return F(value)
        raise TypeError(f"a formula uses {name} = {value!r}: formulas may use numbers, functions of fusedloss.vecmath, "
                        "math or numpy, and other plain Python functions")


@functools.cache
def formula(function, F):
    """The compiled form of `function` for the dtype `F`; the same object for the same function."""
    return _Formula(function, F)


@functools.cache
def _vecmath(F):
    if numba.config.DISABLE_JIT:
        return stubs
    from .vecmath.scalar import build

    return build(F)


@functools.cache
def _namespace(module, F):
    """`math`, `numpy` or `vecmath` as a formula sees it: what vecmath has comes from there, as SIMD code."""
    shadow = python_types.ModuleType(module.__name__)
    shadow.__dict__.update({name: F(value) if isinstance(value, float) else value
                            for name, value in vars(module).items() if not name.startswith("__")})
    shadow.__dict__.update({name: getattr(_vecmath(F), name) for name in stubs.__all__})
    return shadow


def _global_names(code):
    return sorted({i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")})


def _retyped(code, F):
    """`code` with its number literals in the dtype `F`. Integer exponents stay, for `x ** 2` is a multiplication, and
    subscripts."""
    consts = [F(value) if type(value) is float else value for value in code.co_consts]
    raw = bytearray(code.co_code)
    instructions = list(dis.get_instructions(code))
    for here, after in zip(instructions, [*instructions[1:], None], strict=True):
        if here.opname not in ("LOAD_CONST", "LOAD_SMALL_INT", "RETURN_CONST") or type(here.argval) is not int:
            continue
        if after is not None and (after.opname == "BINARY_SUBSCR" or after.argrepr in ("**", "**=", "[]")):
            continue
        consts.append(F(here.argval))
        if len(consts) > 256:
            raise ValueError(f"{code.co_qualname}: too many literals in one formula; name some at module level")
        if here.opname == "LOAD_SMALL_INT":
            raw[here.offset] = dis.opmap["LOAD_CONST"]
        raw[here.offset + 1] = len(consts) - 1
    return code.replace(co_consts=tuple(consts), co_code=bytes(raw))


def _code_digest(code):
    consts = [c.hex() if type(c) is float else repr(c) for c in code.co_consts[1 if _has_docstring(code) else 0:]]
    return _digest(code.co_code.hex(), *consts, *code.co_names, *code.co_varnames, *code.co_freevars)


def _has_docstring(code):
    return bool(code.co_consts) and isinstance(code.co_consts[0], str)


def _digest(*parts):
    sha = hashlib.sha256()
    for part in parts:
        text = str(part).encode()
        sha.update(len(text).to_bytes(8, "little") + text)
    return sha.hexdigest()


# ---- parameters and domains --------------------------------------------------------------------------------------


@functools.cache
def attributes(cls):
    """The fields and properties that the formulas of a loss class read from `self`, sorted."""
    used = {name for role in vars_of(cls) for name in _names_in(getattr(cls, role))}
    return tuple(sorted(name for name in used if name in getattr(cls, "__dataclass_fields__", ())
                        or isinstance(getattr(cls, name, None), (property, functools.cached_property))))


def vars_of(cls):
    """The names of the formulas that a loss class has."""
    return [name for name in dir(cls) if name in ("value", "gradient", *FORMULAS.values()) or name.startswith("gradient_")]


def _names_in(function):
    """The names that a function reads, and the functions that it encloses."""
    names = _all_names(function.__code__)
    for cell in function.__closure__ or ():
        if isinstance(cell.cell_contents, python_types.FunctionType):
            names |= _names_in(cell.cell_contents)
    return names


def _all_names(code):
    names = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, python_types.CodeType):
            names |= _all_names(const)
    return names


def split_parameters(loss):
    """What the formulas read from `loss`: the numbers, which travel at run time, and the flags, which are compiled in; of a
    part of a combination the numbers follow in their place, and its class and flags are a flag."""
    numbers, flags = [], []
    for name in attributes(type(loss)):
        value = getattr(loss, name)
        if isinstance(value, bool):
            flags.append((name, value))
        elif isinstance(value, Loss):
            inner, its_flags = split_parameters(value)
            numbers += inner
            flags.append((name, (type(value), its_flags)))
        elif isinstance(value, (int, float)):
            numbers.append(float(value))
        else:
            raise TypeError(f"{type(loss).__name__}: its formulas read self.{name} = {value!r}; they may read numbers "
                            "and flags (make a property of what else they need)")
    return tuple(numbers), tuple(flags)


def _self_maker(register, cls, flags, k=0):
    """(theta -> the `self` of the formulas, and where in theta the next one starts): `self` is a named tuple of numbers,
    from theta[k] on, of constant flags, and of the same for its parts."""
    names, flags = attributes(cls), dict(flags)
    if not names:
        return register(lambda theta: None), k
    Self = namedtuple(cls.__name__, names)

    def with_number(head, k):
        return register(lambda theta: head(theta) + (theta[k],))

    def with_flag(head, flag):
        return register(lambda theta: head(theta) + (flag,))

    def with_part(head, part):
        return register(lambda theta: head(theta) + (part(theta),))

    fields = register(lambda theta: ())
    for name in names:
        flag = flags.get(name)
        if isinstance(flag, tuple):
            part, k = _self_maker(register, *flag, k)
            fields = with_part(fields, part)
        elif name in flags:
            fields = with_flag(fields, flag)
        else:
            fields, k = with_number(fields, k), k + 1
    return register(lambda theta: Self(*fields(theta))), k


def _outside(register, domain, F):
    """Whether a number lies outside `domain`; NaN never does (it makes the result NaN instead)."""
    if domain.everything:
        return register(lambda x: False)
    low, high = F(domain.low), F(domain.high)
    if not hasattr(domain, "low_closed"):
        return register(lambda x: (x != low) & (x != high) & (x == x))
    below = register((lambda x: x < low) if domain.low_closed or math.isinf(low) else (lambda x: x <= low))
    above = register((lambda x: x > high) if domain.high_closed or math.isinf(high) else (lambda x: x >= high))
    return register(lambda x: below(x) | above(x))


# ---- for others' compiled code -----------------------------------------------------------------------------------


class Inlined(namedtuple("Inlined", "value gradient hessian")):
    """Functions (y, f) -> number for use inside `numba.njit`; None where the loss has no such formula."""


def inlined(loss):
    """The formulas of an elementwise loss with its parameters as constants."""
    if loss.rowwise:
        raise TypeError(f"{loss!r} takes rows, whose loops are written around its formulas: call it on arrays, not in njit")
    return Inlined(*[_inlined(loss, name) if hasattr(loss, name) else None for name in Inlined._fields])


def _inlined(loss, name):
    numbers, flags = split_parameters(loss)

    def formula_of_one_sample(y, f):
        return getattr(loss, name)(y, f)

    formula_of_one_sample.__name__ = formula_of_one_sample.__qualname__ = f"{loss.name}_{name}"

    @overload(formula_of_one_sample, jit_options=_FLAGS)
    def compiled(y, f):
        F = np.float32 if f == types.float32 else np.float64
        register = register_jitable(**_FLAGS)
        function, where = formula(getattr(type(loss), name), F).function, _vecmath(F).where
        make, theta, nan = _self_maker(register, type(loss), flags)[0], tuple(map(F, numbers)), F(np.nan)

        def implementation(y, f):
            y, f = F(y), F(f)
            return where((y != y) | (f != f), nan, F(function(make(theta), y, f)))

        return implementation

    return formula_of_one_sample


# ---- kernels -----------------------------------------------------------------------------------------------------


class Request(namedtuple("Request", "F y w mask sums v g h moments", defaults=[False])):
    """What a kernel is to be compiled for: `F` the dtype of predictions and outputs, `y` and `w` the dtypes of targets and
    weights (w None: no weights), `mask` whether there is one, and the names of the formulas behind each output (None: not
    asked for): `sums` and `v` reduced and elementwise value, `g` gradient, `h` Hessian; `moments`: whether `partials` has
    room for the moments of the values."""

    def signature(self):
        F = self.F
        partials = _array(np.float64, ndim=2, readonly=False)
        return (_array(F), _array(self.y), _array(F), _array(self.w), _array(np.bool_ if self.mask else None),
                numba.from_dtype(np.dtype(F)), partials, partials if self.sums else types.none,
                *[_array(F if wanted else None, readonly=False) for wanted in (self.v, self.g, self.h)],
                types.intp, types.intp, types.intp)


_kernels = {}


def kernel(loss, request, driver):
    """The compiled loop for a loss of this class, from memory, from disk, or made now."""
    flags = split_parameters(loss)[1]
    domains = (loss.y_domain, loss.pred_domain)
    key = (type(loss), flags, domains, request, driver)
    found = _kernels.get(key)
    if found is None:
        with _lock:
            found = _kernels.get(key)
            if found is None:
                found = _kernels[key] = _compiled(type(loss), flags, domains, request, driver)
    return found


def _compiled(cls, flags, domains, request, driver):
    F = request.F
    value = request.sums or request.v
    formulas = [formula(getattr(cls, name), F) if name else None for name in (value, request.g, request.h)]

    def make(register):
        absent = register(lambda loss, y, f: y)
        leaf = cpu.elementwise(register, F, _vecmath(F).where, request, _self_maker(register, cls, flags)[0],
                               *[f.function if f else absent for f in formulas],
                               *[_outside(register, domain, F) for domain in domains])
        return cpu.parallel(register(leaf)) if DRIVERS[driver]["parallel"] else leaf

    parts = (attributes(cls), flags, *map(repr, domains), *[f.digest if f else "-" for f in formulas], request.moments)
    return _dispatcher(cls.__name__, make, request.signature(), driver, parts)


class Moments(namedtuple("Moments", "F a b w mask groups")):
    """What the kernel of `kernels.moments.moments` is to be compiled for: dtypes, None where there is no such array."""

    def signature(self):
        return (_array(self.a), _array(self.b), _array(self.w), _array(np.bool_ if self.mask else None),
                _array(np.int32 if self.groups else None), types.float64, _array(np.float64, readonly=False),
                _array(np.float64 if self.groups else None, ndim=2, readonly=False))


@functools.cache
def moments(request):
    """The loop behind standard errors."""
    with _lock:
        return _dispatcher("moments", lambda register: sums.moments(register, request.F, request), request.signature(),
                           "nogil", (request.F.__name__,))


@functools.cache
def leaf_quantiles():
    """The weighted quantile of every leaf: `kernels.leaves.quantiles`."""
    numbers, counts = (_array(dtype, readonly=False) for dtype in (np.float64, np.int64))
    signature = (_array(np.float64), _array(np.float64), _array(np.int64), types.float64, counts, *[numbers] * 3)
    with _lock:
        return _dispatcher("leaf_quantiles", leaves.quantiles, signature, "nogil", ())


class Linear(namedtuple("Linear", "F layout index w h")):
    """What the kernel of `kernels.linear.elementwise` is to be compiled for: `F` the dtype of X, targets and weights;
    `layout`, "C", "F" or "csr" with indices of dtype `index`; `w` whether there are weights; `h` the formula behind the
    Hessian, None for value and gradient."""

    def signature(self):
        F, numbers = self.F, _array(np.float64, ndim=2, readonly=False)
        scalar, index = numba.from_dtype(np.dtype(F)), _array(self.index)
        return (_array(F), _array(F), _array(F if self.w else None), _array(F), index, index, _array(F), scalar, _array(F),
                scalar, numbers, numbers, *[types.intp] * 6)


def linear_model(loss, request, driver):
    """The loop over X for a loss of this class."""
    return _linear_model(type(loss), split_parameters(loss)[1], loss.pred_domain, request, driver)


@functools.cache
def _linear_model(cls, flags, domain, request, driver):
    F = request.F
    names = ("value", "gradient") if request.h is None else (request.h,)
    formulas = {name: formula(getattr(cls, name), F) for name in names}

    def make(register):
        absent = register(lambda loss, y, f: y)
        used = [formulas[name].function if name in formulas else absent for name in ("value", "gradient", request.h)]
        return linear.elementwise(register, F, request, _vecmath(F).where, _self_maker(register, cls, flags)[0], *used,
                                  _outside(register, domain, F))

    parts = (attributes(cls), flags, repr(domain), request.layout, *[f.digest for f in formulas.values()])
    with _lock:
        return _dispatcher(f"linear-{cls.__name__}", make, request.signature(), driver, parts)


@functools.cache
def product(F, b, b_layout, out, driver):
    """out += A B: `kernels.linear.product`, for matrices of these dtypes."""
    a, b = (types.Array(numba.from_dtype(np.dtype(dtype)), 2, layout, readonly=True)
            for dtype, layout in ((F, "A"), (b, b_layout)))
    signature = (a, b, _array(out, ndim=2, readonly=False), types.intp, types.intp)
    with _lock:
        return _dispatcher("product", lambda register: linear.product(register, F), signature, driver, (F.__name__,))


@functools.cache
def sparse_product(F, index, b, out, transposed, driver):
    """out += X B or X^T B: `kernels.linear.sparse_product`."""
    index = _array(index)
    signature = (_array(F), index, index, types.intp, types.intp, _array(b, ndim=2), _array(out, ndim=2, readonly=False),
                 types.intp, types.intp)
    with _lock:
        return _dispatcher("sparse_product", lambda register: linear.sparse_product(register, F, transposed), signature,
                           driver, (F.__name__, transposed))


class RowRequest(namedtuple("RowRequest", "F y y_layout layout w mask ignoring class_factor wanted along frugal")):
    """What the kernel of a row loss is to be compiled for: dtypes as in `Request`; `layout` of predictions and outputs and
    `y_layout` of a row of targets ("C" or "F", None for labels and numbers); `wanted`, pairs of an output's place (see
    `trace.traced`) and the formula behind it; `along` and `frugal`, see `kernels.rows`."""

    def signature(self, tables):
        F, places = self.F, dict(self.wanted)
        table = _array(F)
        partials = _array(np.float64, ndim=2, readonly=False)
        outputs = [_array(F if place in places else None, readonly=False) for place in ("v", "g", "h")]
        v_in = _array(F if "hessian_times" in places.values() else None)
        scale = numba.from_dtype(np.dtype(F))
        return (table, types.UniTuple(table, tables) if tables else types.Tuple(()), _array(self.y), table, v_in,
                _array(self.w), _array(np.bool_ if self.mask else None), types.int64, scale, partials,
                _array(np.float64 if "columns" in places else None, readonly=False), *outputs, *[types.intp] * 8)


class RowOutput(Exception):
    """The formula of a reduced output is a row: the derivative with respect to an array parameter."""

    def __init__(self, name):
        self.name = name


class RowProgram:
    """A row loss traced for one request: the text of its kernel, and the parameters that the kernel reads."""

    def __init__(self, loss, request, columns):
        self.loss, self.request, self.kernels = loss, request, {}
        graph, roots = trace.traced(loss, request.y_layout is None and loss.target in ("label", "classes"),
                                    dict(request.wanted), request.w is not None or request.mask or request.ignoring,
                                    request.class_factor, request.frugal)
        for place in ("sum", "v"):
            if place in roots and roots[place].row:
                name = dict(request.wanted)[place]
                if name == "value":
                    raise TypeError(f"{type(loss).__name__}: its value(self, y, f) is a row; it must be one number per row "
                                    "of predictions, for instance their total(...)")
                raise RowOutput(name)
        writer = rows.Writer(graph, roots, columns, request.along, request.w is not None, request.mask, request.ignoring,
                             request.frugal)
        self.source, self.constants = writer.source(), writer.constants
        self.tables, self.parameters = tuple(graph.tables), tuple(graph.parameters)

    def kernel(self, driver):
        """The compiled kernel, from memory, from disk, or made now."""
        found = self.kernels.get(driver)
        if found is None:
            found = self.kernels[driver] = self._kernel(driver)
        return found

    def _kernel(self, driver):
        constants = tuple(f"{name}={value.hex()}" for name, value in self.constants.items())  # NaN is not equal to itself
        key = (self.source, constants, self.request, len(self.tables), driver)
        with _lock:
            if key not in _row_kernels:
                signature = self.request.signature(len(self.tables))
                parts = (self.source, *constants, self.request.layout, self.request.y_layout)
                _row_kernels[key] = _dispatcher(type(self.loss).__name__, self._make(driver), signature, driver, parts)
            return _row_kernels[key]

    def _make(self, driver):
        F, request = self.request.F, self.request

        def make(register):
            functions = _vecmath(F)
            names = {name: getattr(functions, name) for name in stubs.__all__}
            where = functions.where
            names |= rows.helpers(register, F, functions, (request.layout, request.y_layout), (F, request.y))
            names |= {name: F(value) for name, value in self.constants.items()}
            names |= {
                "np": np, "uint64": numba.uint64, "int64": np.int64, "F": F, "LANES": rows.LANES,
                "I": np.int32 if np.float32 == F else np.int64, "ZERO": F(0.0), "ONE": F(1.0), "INF": F(np.inf),
                "maximum": register(lambda a, b: where(a > b, a, b)), "minimum": register(lambda a, b: where(a < b, a, b)),
                "__name__": __name__,
            }
            exec(compile(self.source, f"<fusedloss {self.loss.name}>", "exec"), names)
            leaf = names["leaf"]
            return rows.parallel(register(leaf)) if DRIVERS[driver]["parallel"] else leaf

        return make


_row_kernels = {}


def _array(dtype, ndim=1, readonly=True):
    """The Numba type of a contiguous array; inputs declared read-only take writeable arrays too."""
    if dtype is None:
        return types.none
    return types.Array(numba.from_dtype(np.dtype(dtype)), ndim, "C", readonly=readonly)


def _dispatcher(name, make, signature, driver, parts):
    """`make(register)` compiled for one signature, or loaded."""
    digest = _digest(_engine_digest(), name, driver, DRIVERS[driver], signature, *parts)

    def register(function):
        # Two kernels loaded from disk must not share a symbol: the linker would take the first for both.
        clone = python_types.FunctionType(function.__code__, function.__globals__, function.__name__,
                                          function.__defaults__, function.__closure__)
        clone.__qualname__ = f"{function.__qualname__}.{digest}"
        return register_jitable(**_FLAGS)(clone)

    function = make(register)
    function.__qualname__ = f"{name}.{driver}.{digest}"
    dispatcher = njit(error_model="numpy", **DRIVERS[driver])(function)
    if not numba.config.DISABLE_JIT:
        dispatcher._cache = _Store(f"{name}-{driver}-{digest}")
        dispatcher.compile(signature)
        dispatcher.disable_compile()
    return dispatcher


class _Store(caching._Cache):
    """What a Numba dispatcher asks of a cache, on top of cache.py."""

    def __init__(self, key):
        self.key = key

    cache_path = "fusedloss"

    def load_overload(self, sig, target_context):
        payload = cache.load(self.key)
        if payload is not None:
            try:
                rtsys.initialize(target_context)  # all that a loaded kernel needs of refresh(), in a tenth of its time
                result = compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))
                if tuple(result.signature.args) == tuple(sig if isinstance(sig, tuple) else sig.args):
                    cache.stats["hits"] += 1
                    return result
            except Exception:
                cache.stats["errors"] += 1
        cache.stats["misses"] += 1
        return None

    def save_overload(self, sig, result):
        try:
            if not any(not lifted.can_cache for lifted in result.lifted) and not result.library.has_dynamic_globals:
                cache.save(self.key, serialize.dumps(result._reduce()))
        except Exception:
            cache.stats["errors"] += 1

    def enable(self):
        pass

    def disable(self):
        pass

    def flush(self):
        pass


@functools.cache
def _engine_digest():
    """Of all that every kernel is made of besides its formulas: our sources, the toolchain, its settings, the CPU."""
    package = resources.files(__package__)
    sources = [package / "compile.py", package / "domain.py",
               *sorted((f for room in ("kernels", "vecmath") for f in (package / room).iterdir() if f.name.endswith(".py")),
                       key=lambda f: f.name)]
    settings = {name: getattr(numba.config, name, None) for name in
                ("OPT", "BOUNDSCHECK", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX", "DISABLE_INTEL_SVML", "DEBUG",
                 "DEBUGINFO_DEFAULT", "FULL_TRACEBACKS")}
    codegen = numba.core.registry.cpu_target.target_context.codegen()
    return _digest(*[source.read_text() for source in sources], numba.__version__, llvmlite.__version__,
                   np.__version__, sys.version, *codegen.magic_tuple(), sorted(settings.items()))
