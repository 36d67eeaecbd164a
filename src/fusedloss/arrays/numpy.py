"""NumPy arrays, and what NumPy makes an array of: canonical views, and errors that say what to do."""

from __future__ import annotations

import math

import numpy as np

from . import Read, kind
from .apart import Apart, BFloat16, Spread, memory

CONTIGUOUS_ALIGNED = 0x101
"""NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED, of `flags.num`."""

COUNTED = 1 << 16
"""Bools counted at a time."""

COMPUTED_IN = {np.dtype(np.float32): np.float32, np.dtype(np.float64): np.float64, np.dtype(np.float16): np.float32}
"""Dtype of a prediction -> dtype of the arithmetic; integers and bools are computed in float64."""


def result_dtype(dtype):
    """The dtype of derivatives, and of values per sample, for predictions of this dtype."""
    return dtype if dtype == np.float16 else np.dtype(COMPUTED_IN.get(dtype, np.float64))


_REMEDIES = {
    "O": "convert it to numbers first, for instance with .astype(float)",
    "c": "take its real part or its absolute value first",
    "M": "subtract a reference date and divide by a unit first",
    "m": "divide by a unit such as numpy.timedelta64(1, 's') first",
    "S": "encode its categories as numbers first",
    "U": "encode its categories as numbers first",
    "T": "encode its categories as numbers first",
    "V": "pick one field, or convert it to numbers first",
}


def view(name, x):
    """`x` as one plain array of a dtype that can be computed with, without a copy where it is one already."""
    if isinstance(x, Apart):
        return x
    if type(x) is not np.ndarray:
        found = kind(x).read(name, x)
        if found.nulls is not None:
            raise null_error(name, found.nulls, "drop samples with a null, or fill them, first")
        x = found.values[:] if isinstance(found.values, Apart) else found.values
    return _checked(name, x)


def read(name, x) -> Read:
    """What NumPy makes an array of."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: pass {name}.data, and its mask as mask=")
    if not isinstance(x, np.ndarray) and type(x).__module__ == "builtins" and not isinstance(x, (list, tuple, int, float)):
        raise TypeError(f"{name} is a {type(x).__name__}: pass a NumPy array, a list or a number")
    array = np.asarray(x)
    if array.dtype.kind == "V" and array.dtype.name == "bfloat16":
        return Read(BFloat16(array.view(np.uint16)))
    return Read(_checked(name, array), copied="a list is no array" if isinstance(x, (list, tuple)) else "")


def wrap(result, like, nulls):
    return result.bits.view(like.dtype) if isinstance(result, BFloat16) else result


def _checked(name, array):
    dtype = array.dtype
    if dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {dtype}: {_REMEDIES.get(dtype.kind, 'convert it to float64 first')}")
    if dtype.kind == "f" and dtype.itemsize > 8:
        raise TypeError(f"{name} has dtype {dtype}: convert it with .astype(numpy.float64) first")
    if not dtype.isnative:
        raise ValueError(f"{name} is in the other byte order ({dtype.str}): convert it with "
                         f".astype({name}.dtype.newbyteorder('=')) first")
    return array


def null_error(name, nulls, remedy="pass nulls='ignore' to take samples with a null out, or fill them first"):
    """The first null of an array that must not have one."""
    for start in range(0, len(nulls), COUNTED):
        found = np.argwhere(nulls[start: start + COUNTED])
        if len(found):
            where = [int(found[0][0]) + start, *map(int, found[0][1:])]
            return ValueError(f"{name}[{', '.join(map(str, where))}] is null: {remedy}")
    raise AssertionError("an array was said to have nulls, and has none")


def target_like(y, f, name="y_true"):
    """The targets, broadcast to the predictions' shape if they are one number."""
    if y.shape == f.shape:
        return y
    if y.ndim == 0:
        return np.broadcast_to(y, f.shape)
    hint = ""
    if y.size == f.size:
        hint = f"; the sizes agree: reshape one, for instance {name}.reshape({f.shape})"
    raise ValueError(f"{name} has shape {y.shape} and y_pred has shape {f.shape}; they must be equal, or {name} one "
                     f"number{hint}")


def per_sample(name, w, f):
    """Weights or a mask, (n,) or like the predictions, broadcast to the predictions' shape."""
    if w.shape == f.shape:
        return w
    if f.ndim > 1 and w.shape == f.shape[:1]:
        return Spread(w, f.shape) if isinstance(w, Apart) else \
            np.broadcast_to(w.reshape(-1, *[1] * (f.ndim - 1)), f.shape)
    allowed = f"{f.shape[:1]} or {f.shape}" if f.ndim > 1 else f"{f.shape}"
    raise ValueError(f"{name} has shape {w.shape}; it must have shape {allowed}, as y_pred has")


def mask_like(mask, f):
    """The mask as a bool array shaped like the predictions."""
    return per_sample("mask", boolean("mask", mask), f)


def boolean(name, mask):
    """A mask as a plain bool array."""
    mask = view(name, mask)
    if mask.dtype != np.bool_:
        raise TypeError(f"{name} has dtype {mask.dtype}; it must be bool, True where a sample is taken out: for weights "
                        "use sample_weight=")
    return mask


def output(name, out, f, dtype, inputs):
    """`out` if it can take the result, else an error. It may be y_pred itself, and overlap nothing else."""
    if not isinstance(out, (np.ndarray, BFloat16)):
        raise TypeError(f"{name} is a {type(out).__name__}; it must be a NumPy array of dtype {np.dtype(dtype)}")
    if out.dtype != dtype:
        raise ValueError(f"{name} has dtype {out.dtype}; it must have dtype {np.dtype(dtype)} for these predictions")
    if out.shape != f.shape:
        raise ValueError(f"{name} has shape {out.shape}; it must have the shape of y_pred, {f.shape}")
    if not memory(out)[0].flags.writeable:
        raise ValueError(f"{name} is read-only: pass a writeable array")
    for other_name, other in inputs:
        if other is None or not overlap(out, other):
            continue
        if other_name == "y_pred" and _address(out) == _address(other):
            continue
        raise ValueError(f"{name} overlaps {other_name} in memory: pass an array of its own (or y_pred itself)")
    return out


def overlap(a, b):
    """Whether two arrays may share memory."""
    return any(np.may_share_memory(one, other) for one in memory(a) for other in memory(b))


def _address(a):
    return type(a), [(b.__array_interface__["data"][0], b.shape, b.strides, b.dtype) for b in memory(a)]


def count_true(mask):
    """How many of some bools are true."""
    if isinstance(mask, np.ndarray):
        return int(np.count_nonzero(mask))
    return sum(int(np.count_nonzero(mask[start:start + COUNTED])) for start in range(0, len(mask), COUNTED))


def multiply(a, b):
    """Multiply `a` by `b`, arrays of one shape and of any kind, a part at a time."""
    for start in range(0, len(a) if a.ndim else 0, COUNTED):
        a[start: start + COUNTED] = a[start: start + COUNTED] * b[start: start + COUNTED]
    if not a.ndim:
        a *= b


def in_place(a, start, dtype):
    """How many samples of `a` from `start` on, in C order, a kernel that takes `dtype` can read or write where they lie."""
    if a.dtype != dtype:
        return 0
    if isinstance(a, np.ndarray):
        return a.size - start if a.flags.num & CONTIGUOUS_ALIGNED == CONTIGUOUS_ALIGNED else 0
    return a.reach(start)


def section(a, start, stop):
    """Samples start..stop of an array that has them in place."""
    return a.reshape(-1)[start:stop] if isinstance(a, np.ndarray) else a[start:stop]


def gather(a, start, stop, into):
    """Copy samples start..stop of `a`, in C order, to the front of `into`, converting them; the filled part."""
    part = into[: stop - start]
    for rows, target in _pieces(a, start, stop, part):
        np.copyto(target, rows, casting="unsafe")
    return part


def scatter(a, start, stop, part):
    """Copy `part` to samples start..stop of `a`, in C order, converting them."""
    if isinstance(a, BFloat16):
        BFloat16(a.bits.reshape(-1))[start:stop] = part
        return
    for rows, source in _pieces(a, start, stop, part):
        np.copyto(rows, source, casting="unsafe")


def _pieces(a, start, stop, flat):
    """Views of `a` and of `flat` that pair up samples start..stop in C order: a part of a row, whole rows, a part."""
    if a.ndim <= 1:
        yield a.reshape(-1)[start:stop] if a.ndim == 0 else a[start:stop], flat
        return
    if a.size == 0:
        return
    length = math.prod(a.shape[1:])
    first, offset = divmod(start, length)
    last, rest = divmod(stop, length)
    done = 0
    if offset:
        end = min(length, offset + stop - start)
        yield from _pieces(a[first], offset, end, flat[: end - offset])
        done, first = end - offset, first + 1
    if last > first:
        size = (last - first) * length
        yield a[first:last], flat[done: done + size].reshape(last - first, *a.shape[1:])
        done += size
    if rest and done < stop - start:
        yield from _pieces(a[last], 0, rest, flat[done:])
