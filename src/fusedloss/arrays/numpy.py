"""NumPy arrays, and what NumPy makes an array of: canonical views, and errors that say what to do."""

from __future__ import annotations

import numpy as np

COMPUTED_IN = {np.dtype(np.float32): np.float32, np.dtype(np.float64): np.float64, np.dtype(np.float16): np.float32}
"""Dtype of a prediction -> dtype of the arithmetic; integers and bools are computed in float64."""

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
    """`x` as a plain array of a dtype that can be computed with, without a copy where it is one already."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: pass {name}.data, and its mask as mask=")
    if not isinstance(x, np.ndarray) and type(x).__module__ == "builtins" and not isinstance(x, (list, tuple, int, float)):
        raise TypeError(f"{name} is a {type(x).__name__}: pass a NumPy array, a list or a number")
    array = np.asarray(x)
    dtype = array.dtype
    if dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {dtype}: {_REMEDIES.get(dtype.kind, 'convert it to float64 first')}")
    if dtype.kind == "f" and dtype.itemsize > 8:
        raise TypeError(f"{name} has dtype {dtype}: convert it with .astype(numpy.float64) first")
    if not dtype.isnative:
        raise ValueError(f"{name} is in the other byte order ({dtype.str}): convert it with "
                         f".astype({name}.dtype.newbyteorder('=')) first")
    return array


def target_like(y, f):
    """The targets, broadcast to the predictions' shape if they are one number."""
    if y.shape == f.shape:
        return y
    if y.ndim == 0:
        return np.broadcast_to(y, f.shape)
    hint = ""
    if y.size == f.size:
        hint = f"; the sizes agree: reshape one, for instance y_true.reshape({f.shape})"
    raise ValueError(f"y_true has shape {y.shape} and y_pred has shape {f.shape}; they must be equal, or y_true one "
                     f"number{hint}")


def per_sample(name, w, f):
    """Weights or a mask, (n,) or like the predictions, broadcast to the predictions' shape."""
    if w.shape == f.shape:
        return w
    if f.ndim > 1 and w.shape == f.shape[:1]:
        return np.broadcast_to(w.reshape(-1, *[1] * (f.ndim - 1)), f.shape)
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
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} is a {type(out).__name__}; it must be a NumPy array of dtype {np.dtype(dtype)}")
    if out.dtype != dtype:
        raise ValueError(f"{name} has dtype {out.dtype}; it must have dtype {np.dtype(dtype)} for these predictions")
    if out.shape != f.shape:
        raise ValueError(f"{name} has shape {out.shape}; it must have the shape of y_pred, {f.shape}")
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only: pass a writeable array")
    for other_name, other in inputs:
        if other is None or not np.may_share_memory(out, other):
            continue
        if other_name == "y_pred" and _address(out) == _address(other):
            continue
        raise ValueError(f"{name} overlaps {other_name} in memory: pass an array of its own (or y_pred itself)")
    return out


def _address(a):
    return a.__array_interface__["data"][0], a.shape, a.strides, a.dtype


def read(a, start, stop, into):
    """Copy samples start..stop of `a`, in C order, to the front of `into`, converting them; the filled part."""
    part = into[: stop - start]
    for rows, target in _pieces(a, start, stop, part):
        np.copyto(target, rows, casting="unsafe")
    return part


def write(a, start, stop, part):
    """Copy `part` to samples start..stop of `a`, in C order, converting them."""
    for rows, source in _pieces(a, start, stop, part):
        np.copyto(rows, source, casting="unsafe")


def _pieces(a, start, stop, flat):
    """Views of `a` and of `flat` that pair up samples start..stop in C order: a part of a row, whole rows, a part."""
    if a.ndim <= 1:
        yield a.reshape(-1)[start:stop] if a.ndim == 0 else a[start:stop], flat
        return
    if a.size == 0:
        return
    length = a[0].size
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
