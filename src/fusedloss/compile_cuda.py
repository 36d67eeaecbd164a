"""Specialise a loop to a loss for CUDA devices, once, and keep the machine code.

The formulas are those of `compile`: cloned, with literals of the prediction's dtype, over the same scalar code of vecmath. A
kernel is compiled to PTX by Numba's CUDA target, assembled for the device it first runs on, and launched by `cuda.core`,
which takes addresses and numbers as they are. Besides `cuda_api` this is the only file that knows how these packages work.
"""

from __future__ import annotations

import builtins
import functools
import math
import re
import threading
from collections import namedtuple
from contextlib import contextmanager
from importlib import metadata, resources
from types import SimpleNamespace
from unittest.mock import patch

import numba
import numpy as np
from numba import types
from numba.extending import register_jitable

from . import cache, compile, trace
from . import vecmath as stubs
from .cuda_api import SIMULATED, THREADS, cuda
from .kernels import cuda as loops
from .kernels import cuda_rows
from .kernels.cuda_memory import of

PACKAGES = ("numba-cuda", "cuda-core", "cuda-bindings", "nvidia-nvvm", "nvidia-nvjitlink", "nvidia-cuda-nvcc-cu12",
            "nvidia-nvjitlink-cu12")
"""What else machine code depends on."""


class Request(namedtuple("Request", "F f y out v_in w w_rows mask mask_rows wide scaled sums v g h")):
    """What an elementwise kernel is to be compiled for: `F` the dtype of the arithmetic; the dtypes of predictions `f`, of
    targets `y` (None: one number for all), of outputs and of weights (None: none); `v_in`, whether the Hessian is multiplied
    by an array; whether weights and mask have one entry per row; `wide`, whether all arrays are aligned for reading four
    numbers at once; `scaled`, whether the factor of the derivatives is on the device; the names of the formulas
    behind each output, as in `compile.Request`."""


def elementwise(loss, request):
    """The kernel of `kernels.cuda.elementwise` for a loss of this class."""
    flags = compile.split_parameters(loss)[1]
    return _elementwise(type(loss), flags, (loss.y_domain, loss.pred_domain), request)


@functools.cache
def _elementwise(cls, flags, domains, request):
    F, value = request.F, request.sums or request.v
    formulas = [compile.formula(getattr(cls, name), F) if name else None for name in (value, request.g, request.h)]
    count = max(1, _count(cls, dict(flags)))

    def make(register):
        absent = register(lambda loss, y, f: f)
        return loops.elementwise(register, F, compile._vecmath(F).where, request,
                                 compile._self_maker(register, cls, flags)[0],
                                 *[f.function if f else absent for f in formulas],
                                 *[compile._outside(register, domain, F) for domain in domains])

    number, address = numba.from_dtype(np.dtype(F)), types.int64
    signature = (types.UniTuple(number, count), address, number, *[address] * 4, types.int64, number, *[address] * 5,
                 types.int64)
    parts = (compile.attributes(cls), flags, *map(repr, domains), *[f.digest if f else "-" for f in formulas], request)
    return Kernel(cls.__name__, make, signature, parts)


def _count(cls, flags):
    """How many numbers the formulas of a class read, those of its parts included."""
    return sum(_count(flags[name][0], dict(flags[name][1])) if isinstance(flags.get(name), tuple) else name not in flags
               for name in compile.attributes(cls))


class RowRequest(namedtuple("RowRequest", "F f y y_row out w mask ignoring class_factor scaled wanted lanes")):
    """What the kernel of a row loss is to be compiled for: dtypes as in `Request`; `y_row`, whether a target is a row;
    `wanted`, pairs of an output's place and the formula behind it ("weight": the weights themselves); `lanes`, how many
    threads have a row."""

    @property
    def weighted(self):
        return self.w is not None or self.mask or self.ignoring


class RowProgram:
    """A row loss traced for one request: its kernel, and the parameters that the kernel reads."""

    def __init__(self, loss, request):
        label = not request.y_row and loss.target in ("label", "classes")
        graph, roots = _weights_of_rows(loss, request, label) if request.wanted == (("sum", "weight"),) else trace.traced(
            loss, label, dict(request.wanted), request.weighted, request.class_factor, frugal=True)
        if any(roots[place].row for place in ("sum", "v") if place in roots):
            raise ValueError(f"{type(loss).__name__}: the derivative with respect to an array is not made on a device; pass "
                             "arrays on the host")
        writer = cuda_rows.Writer(graph, _not_admitted_is_nan(graph, roots, request), request.lanes, request.w is not None,
                                  request.mask, request.ignoring, request.scaled,
                                  "hessian_column" in dict(request.wanted).values())
        self.source = cuda_rows.helpers(request.lanes) + writer.source()
        self.constants, self.kept = writer.constants, len(writer.kept)
        self.tables, self.parameters = tuple(graph.tables), tuple(graph.parameters)
        constants = tuple(sorted((name, value.hex()) for name, value in self.constants.items()))
        self.kernel = _row_kernel(type(loss).__name__, self.source, constants, request, len(self.tables),
                                  len(self.parameters))


def _weights_of_rows(loss, request, label):
    """The graph of the weight of a row, and its root."""
    graph = trace.Graph(loss, label, frugal=True)
    weight = graph.leaf("weight", row=False) if request.weighted else graph.node(1.0)
    if request.class_factor:
        y = graph.label if label else graph.leaf("y")
        weight = graph.apply("mul", weight, graph.at(y, graph.table("class_weights")))
    return graph, {"sum": weight}


def _not_admitted_is_nan(graph, roots, request):
    """The roots of a graph with NaN for rows that the loss does not admit, and the element at the label in its row."""
    bad = [roots.pop(name) for name in ("bad_y", "bad_f") if name in roots]
    if graph.label is not None and request.wanted != (("sum", "weight"),):
        bad.append(graph.leaf("bad_label", row=False, type="bool"))
    bad = functools.reduce(lambda a, b: graph.apply("or", a, b), bad) if bad else None

    def admitted(node):
        return node if bad is None else graph.apply("where", bad, math.nan, node)

    done = {}
    for name, node in roots.items():
        if name.endswith("_at_label"):
            continue
        if f"{name}_at_label" in roots:
            here = graph.apply("eq", graph.leaf("index", type="int"), graph.label)
            node = graph.apply("where", here, roots[f"{name}_at_label"], node)
        done[name] = graph.call("stack", [admitted(a) for a in node.args]) if node.op == "stack" else admitted(node)
    return done


@functools.cache
def _row_kernel(name, source, constants, request, tables, parameters):
    F = request.F

    def make(register):
        functions = compile._vecmath(F)
        where = functions.where
        f, y = of(request.f, F), of(request.y, F)
        out, numbers = of(request.out, F) if request.out else None, of(F, F)
        w = of(request.w, np.float64 if request.w == np.float64 else F) if request.w else None
        names = {name: getattr(functions, name) for name in stubs.__all__}
        names |= {name: F(float.fromhex(value)) for name, value in constants}
        names |= {
            "cuda": cuda, "int64": np.int64, "float64": np.float64, "F": F, "I": np.int32 if F is np.float32 else np.int64,
            "ZERO": F(0.0), "ONE": F(1.0), "INF": F(np.inf), "numba_float64": types.float64,
            "numba_F": numba.from_dtype(np.dtype(F)), "numba_I": types.int32 if F is np.float32 else types.int64,
            "maximum": register(lambda a, b: where(a > b, a, b)), "minimum": register(lambda a, b: where(a < b, a, b)),
            "admitted": loops.admitted(register, F, where), "load_f": f.load, "load_y": y.load, "load_label": y.load_int,
            "load_w": w and w.load, "load_mask": of(np.bool_, F).load, "load_table": numbers.load,
            "load_scale": numbers.load, "load_scratch": numbers.load, "store_scratch": numbers.store,
            "store": out and out.store, "store_partial": of(np.float64, np.float64).store, "__name__": __name__,
        }
        before = set(names)
        exec(builtins.compile(source, f"<fusedloss {name}>", "exec"), names)
        for made in set(names) - before - {"kernel", "__builtins__"}:
            register(names[made])
        return names["kernel"]

    number, address = numba.from_dtype(np.dtype(F)), types.int64
    signature = (types.UniTuple(number, max(1, parameters)), types.UniTuple(address, max(1, tables)), *[address] * 5,
                 types.int64, number, *[address] * 6, *[types.int64] * 4)
    kernel = Kernel(name, make, signature, (source, constants, request))
    kernel.lanes = request.lanes
    return kernel


@functools.cache
def weights(request):
    """The kernel of `kernels.cuda.weights`; of a request F and what is said about weights and mask."""
    signature = (types.int64,) * 5
    return Kernel("weights", lambda register: loops.weights(register, request.F, compile._vecmath(request.F).where, request),
                  signature, (request,))


@functools.cache
def mean(divided_on_device):
    signature = (types.int64, types.int64, types.float64, types.int64, types.int64)
    return Kernel("mean", lambda register: loops.mean(register, divided_on_device), signature, (divided_on_device,))


@functools.cache
def denominator(F):
    return Kernel("denominator", lambda register: loops.denominator(register, F), (types.int64,) * 4, (F.__name__,))


# ---- kernels -----------------------------------------------------------------------------------------------------


class Kernel:
    """One loop, compiled for a compute capability when it is first launched on a device that has it."""

    def __init__(self, name, make, signature, parts):
        self.name, self.make, self.signature, self.parts = name, make, signature, parts
        self.compiled, self.on_device = {}, {}

    def __call__(self, device, stream, blocks, *arguments):
        """Launch on the stream with this handle of device number `device`, whose context is current; returns at once."""
        if SIMULATED:
            self.function[blocks, THREADS](*arguments)
            return
        kernel = self.on_device.get(device)
        if kernel is None:
            kernel = self.on_device[device] = self._loaded(device)
        core = _core()
        flat = []
        for a in arguments:  # as Numba takes tuples
            (flat.extend if type(a) is tuple else flat.append)(a)
        core.launch(_stream(stream), _configuration(blocks), kernel, *flat)

    @functools.cached_property
    def function(self):
        """What is compiled; in the simulator what runs."""
        function = self.make(lambda f: register_jitable(**compile._FLAGS)(f))
        function.__name__ = function.__qualname__ = f"fusedloss_{self.name}"
        return cuda.jit(function) if SIMULATED else function

    @functools.cached_property
    def digest(self):
        return compile._digest(_toolchain_digest(), self.name, self.signature, *self.parts)

    def ptx(self, capability):
        """PTX for a compute capability such as (9, 0); no device is needed."""
        with compile._lock, _without_device(capability):
            return cuda.compile_ptx(self.function, self.signature, cc=capability)[0]

    def cubin(self, capability):
        """(name of the entry, machine code), from disk or made now; no device is needed."""
        key = f"cuda-{self.name}-sm_{capability[0]}{capability[1]}-{self.digest}"
        payload = cache.load(key)
        if payload is None:
            cache.stats["misses"] += 1
            ptx = self.ptx(capability)
            entry = re.search(r"\.entry\s+([\w$]+)", ptx)[1]
            core = _core()
            code = core.Program(ptx, "ptx", core.ProgramOptions(arch="sm_{}{}".format(*capability))).compile("cubin").code
            payload = entry.encode() + b"\0" + bytes(code)
            cache.save(key, payload)
        else:
            cache.stats["hits"] += 1
        entry, _, code = payload.partition(b"\0")
        return entry.decode(), code

    def _loaded(self, device):
        core = _core()
        capability = tuple(core.Device(device).compute_capability)
        with compile._lock:
            if capability not in self.compiled:
                entry, code = self.cubin(capability)
                self.compiled[capability] = core.ObjectCode.from_cubin(code).get_kernel(entry)
        return self.compiled[capability]


@functools.cache
def _core():
    import cuda.core as core

    return core


@functools.lru_cache(maxsize=64)
def _stream(handle):
    return _core().Stream.from_handle(handle)


@functools.cache
def _configuration(blocks):
    return _core().LaunchConfig(grid=blocks, block=THREADS)


def make_current(device):
    """Make the primary context of device number `device`, which all libraries share, the thread's."""
    if not SIMULATED:
        _core().Device(device).set_current()


# ---- Numba's private interface -----------------------------------------------------------------------------------


def nvvm_compiler():
    """The module that hands code to NVVM."""
    from numba.cuda.cudadrv import nvvm

    return nvvm


@contextmanager
def _without_device(capability):
    """Let functions inside a kernel be compiled for this capability, whatever device there is, and without contraction.

    NVVM makes a fused multiply-add of every product that is added to something, unless it is told not to; law: a fused
    multiply-add is an explicit one, and numbers are the same on every device.
    """
    from numba.cuda import dispatcher

    _teach_ufuncs()
    nvvm = nvvm_compiler()
    compile_ir, current_device, thread = nvvm.compile_ir, dispatcher.get_current_device, threading.get_ident()

    def device():
        return SimpleNamespace(compute_capability=capability) if threading.get_ident() == thread else current_device()

    def exactly(modules, **options):
        if threading.get_ident() != thread:  # somebody else's kernel
            return compile_ir(modules, **options)
        # a function that is called from two others comes twice, and so would its shared memory
        return compile_ir(list(dict.fromkeys(modules)), **options, fma=False)

    with patch.object(dispatcher, "get_current_device", device), patch.object(nvvm, "compile_ir", exactly):
        yield


@functools.cache
def _teach_ufuncs():
    """numba-cuda lacks the two functions of NumPy that the scalar code of vecmath calls; libdevice has them, exact."""
    from llvmlite import ir
    from numba.cuda import cgutils, ufuncs

    def of_libdevice(name):
        def call(context, builder, signature, args):
            kind = args[0].type
            symbol = f"__nv_{name}f" if isinstance(kind, ir.FloatType) else f"__nv_{name}"
            function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), symbol)
            return builder.call(function, args)

        return {"f->f": call, "d->d": call}

    for function in (np.rint, np.sqrt):
        ufuncs.ufunc_db().setdefault(function, of_libdevice(function.__name__))


@functools.cache
def _toolchain_digest():
    """Of all that every kernel here is made of besides its formulas."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    sources = [(resources.files(__package__) / name).read_text() for name in ("compile_cuda.py", "cuda_api.py")]
    return compile._digest(compile._engine_digest(), *sources, *versions)
