"""Arrays on a CUDA device: PyTorch's, CuPy's and Numba's, read by their addresses; results are the same library's.

New arrays come from the caller's library, so from its allocator; the work goes on the stream that is current there (of an
array of Numba: on the array's own). Nothing is copied, converted or waited for.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from typing import Any, NamedTuple

import numpy as np

DTYPES = frozenset(map(np.dtype, ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")))

_WIDTHS = {"bfloat16": "{}.float()", "complex64": "{}.real", "complex128": "{}.real"}


class Array(NamedTuple):
    """A C-contiguous array on a device: the caller's object, its library, and what a kernel needs to know."""

    given: Any
    library: Any
    shape: tuple[int, ...]
    dtype: np.dtype
    device: int
    address: Any

    @property
    def size(self):
        return math.prod(self.shape)

    @property
    def stream(self):
        return self.library.stream(self.given, self.device)

    def empty(self, shape, dtype):
        """A new array of the caller's library on the same device."""
        given = self.library.empty(shape, np.dtype(dtype), self.given)
        return Array(given, self.library, shape, dtype, self.device, self.library.address(given))

    def current(self):
        """A context in which allocations are made on the device; afterwards the caller's device is current again."""
        return self.library.current(self.device)


# ---- libraries ---------------------------------------------------------------------------------------------------


class _Torch:
    name, copied = "PyTorch", "torch.as_tensor({}, device='cuda')"

    @staticmethod
    def holds(x):
        return x.is_cuda

    @staticmethod
    def seen(name, x):
        """(shape, dtype, device, whether it is C-contiguous)"""
        torch = sys.modules["torch"]
        if x.layout != torch.strided:
            raise TypeError(f"{name} has layout {x.layout}; it must be dense: pass {name}.to_dense()")
        if x.requires_grad and torch.is_grad_enabled():
            raise ValueError(f"{name} requires grad, and the call gives the gradient itself: pass {name}.detach()")
        return tuple(x.shape), _torch_dtype(name, x.dtype), x.device.index, x.is_contiguous()

    @staticmethod
    def contiguous(name):
        return f"{name}.contiguous()"

    @staticmethod
    def address(x):
        return x.data_ptr()

    @staticmethod
    def stream(x, device):
        return sys.modules["torch"].cuda.current_stream(device).cuda_stream

    @staticmethod
    def empty(shape, dtype, like):
        return sys.modules["torch"].empty(shape, dtype=_as_torch(dtype), device=like.device)

    @staticmethod
    def from_host(array, like):
        return sys.modules["torch"].tensor(array, device=like.device)

    @staticmethod
    def current(device):
        return sys.modules["torch"].cuda.device(device)


@functools.cache
def _torch_dtype(name, dtype):
    word = str(dtype).removeprefix("torch.")
    if word in _WIDTHS or not hasattr(np, word if word != "bool" else "bool_"):
        raise TypeError(f"{name} has dtype {dtype}: pass {_WIDTHS.get(word, '{}.float()').format(name)}")
    return np.dtype(word)


@functools.cache
def _as_torch(dtype):
    return getattr(sys.modules["torch"], dtype.name)


class _Cupy:
    name, copied, to_host = "CuPy", "cupy.asarray({})", "get()"

    @staticmethod
    def holds(x):
        return True

    @staticmethod
    def seen(name, x):
        return x.shape, x.dtype, x.device.id, x.flags.c_contiguous

    @staticmethod
    def contiguous(name):
        return f"cupy.ascontiguousarray({name})"

    @staticmethod
    def address(x):
        return x.data.ptr

    @staticmethod
    def stream(x, device):
        return sys.modules["cupy"].cuda.get_current_stream(device).ptr

    @staticmethod
    def empty(shape, dtype, like):
        return sys.modules["cupy"].empty(shape, dtype)

    @staticmethod
    def from_host(array, like):
        return sys.modules["cupy"].asarray(array)

    @staticmethod
    def current(device):
        return sys.modules["cupy"].cuda.Device(device)


class _Numba:
    name, copied, to_host = "Numba", "numba.cuda.to_device({})", "copy_to_host()"

    @staticmethod
    def holds(x):
        return True

    @staticmethod
    def seen(name, x):
        from ..cuda_api import SIMULATED

        device = 0 if SIMULATED else x.gpu_data.context.device.id
        return tuple(x.shape), x.dtype, device, x.is_c_contiguous()

    @staticmethod
    def contiguous(name):
        return f"numba.cuda.to_device(numpy.ascontiguousarray({name}))"

    @staticmethod
    def address(x):
        from ..cuda_api import SIMULATED

        return x.reshape(-1) if SIMULATED else x.__cuda_array_interface__["data"][0]

    @staticmethod
    def stream(x, device):
        return int(getattr(x.stream, "handle", x.stream) or 0)

    @staticmethod
    def empty(shape, dtype, like):
        from ..cuda_api import cuda

        return cuda.device_array(shape, dtype, stream=like.stream)

    @staticmethod
    def from_host(array, like):
        from ..cuda_api import cuda

        return cuda.to_device(array, stream=like.stream)

    @staticmethod
    def current(device):
        from ..cuda_api import SIMULATED, cuda

        return contextlib.nullcontext() if SIMULATED else cuda.gpus[device]


_LIBRARIES = {("torch", "Tensor"): _Torch, ("cupy", "ndarray"): _Cupy, ("numba", "DeviceNDArray"): _Numba,
              ("numba", "FakeCUDAArray"): _Numba}


@functools.cache
def _library(kind):
    """The library that a type of arrays belongs to, or None."""
    for base in kind.__mro__:
        found = _LIBRARIES.get((base.__module__.partition(".")[0], base.__name__))
        if found:
            return found
    return None


# ---- a kind of array, as `arrays` has them -----------------------------------------------------------------------


def owns(cls):
    """CuPy's and Numba's; tensors are looked at by `arrays.torch`."""
    return _library(cls) in (_Cupy, _Numba)


def read(name, x):
    """Only where y_pred is on the host."""
    raise TypeError(f"{name} is on a CUDA device and y_pred is not: pass {name}.{_library(type(x)).to_host}")


def run(loss, what, given, reduction, hessian, out, n_threads, executor, nulls, copy):
    """`evaluate_cuda.run`; threads and executors are the host's, arrays on a device have no nulls and are not copied."""
    from ..evaluate_cuda import run

    y_true, y_pred, sample_weight, mask, v = (given[name] for name in ("y_true", "y_pred", "sample_weight", "mask", "v"))
    return run(loss, what, y_true, y_pred, sample_weight, mask, reduction, hessian, out, v)


# ---- the arguments of a call -------------------------------------------------------------------------------------


def view(name, x, like=None) -> Array:
    """`x` as an array to read or write; `like`: y_pred, whose library and device it must share."""
    library = _library(type(x))
    if library is None or not library.holds(x):
        if hasattr(type(x), "__cuda_array_interface__"):
            raise TypeError(f"{name} is a {type(x).__name__} of {type(x).__module__}: pass cupy.asarray({name}) or "
                            f"torch.as_tensor({name}, device='cuda'), which share its memory")
        raise TypeError(f"{name} is on the host and y_pred on a CUDA device: pass {like.library.copied.format(name)}")
    if like is not None and library is not like.library:
        raise TypeError(f"{name} is an array of {library.name} and y_pred of {like.library.name}: pass "
                        f"{like.library.copied.format(name)}, which shares its memory")
    shape, dtype, device, contiguous = library.seen(name, x)
    if dtype not in DTYPES:
        raise TypeError(f"{name} has dtype {dtype}: convert it to a float, an integer or bool on the device first")
    if like is not None and device != like.device:
        raise ValueError(f"{name} is on device {device} and y_pred on device {like.device}: copy one to the other's")
    if not contiguous:
        raise ValueError(f"{name} is not C-contiguous: pass {library.contiguous(name)}")
    return Array(x, library, shape, dtype, device, library.address(x))


def output(name, out, f, dtype, shape, inputs, in_place=False):
    """`out` if it can take the result, else an error; it may be y_pred itself where `in_place`."""
    a = view(name, out, f)
    if a.dtype != dtype:
        raise ValueError(f"{name} has dtype {a.dtype}; it must have dtype {dtype} for these predictions")
    if a.shape != shape:
        raise ValueError(f"{name} has shape {a.shape}; it must have shape {shape}")
    for other_name, other in inputs:
        if other is None or not _overlap(a, other):
            continue
        if not (in_place and other is f and _span(a) == _span(f)):
            instead = " (or y_pred itself)" if in_place else ""
            raise ValueError(f"{name} overlaps {other_name} in memory: pass an array of its own{instead}")
    return a


def _span(a):
    """Where the memory of an array begins and ends."""
    start = a.address
    if not isinstance(start, int):  # the simulator's
        start = start.__array_interface__["data"][0]
    return start, start + a.size * a.dtype.itemsize


def _overlap(a, b):
    (a_start, a_stop), (b_start, b_stop) = _span(a), _span(b)
    return a_start < b_stop and b_start < a_stop


def aligned(arrays, alignment):
    """Whether the address of every array is a multiple of what its dtype needs to be read four numbers at once."""
    return all(a is None or not isinstance(a.address, int) or a.address % alignment(a.dtype) == 0 for a in arrays)
