"""Numbers in the memory of a CUDA device, by address: what the loops of `cuda` and `cuda_rows` read and write.

A kernel takes addresses as integers: an array of Numba would be seven arguments. All but float16 is stored as it is computed
with or converted when it is read. Four neighbours are read at once, 16 bytes at a time; their address must be a multiple of
`alignment`. In the simulator an array stands for its address.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numba
import numpy as np

from ..cuda_api import SIMULATED

ITEMS = 4


def alignment(dtype):
    """What the address of an array of this `numpy.dtype` must be a multiple of for four numbers to be read at once."""
    return min(16, ITEMS * dtype.itemsize)


@functools.cache
def of(dtype, F):
    """The functions (address, index) that read and write numbers of `dtype` as numbers of `F`: `load`, `store`, and the same
    for four in a row, `load4` (a tuple) and `store4`. `load_int` reads an int64."""
    return (_simulated if SIMULATED else _on_device)(np.dtype(dtype), F)


def _simulated(dtype, F):
    def load(a, i):
        return F(a[i])

    def store(a, i, x):
        a[i] = x

    def load4(a, i):
        return tuple(F(a[i + k]) for k in range(ITEMS))

    def store4(a, i, *numbers):
        for k, x in enumerate(numbers):
            a[i + k] = x

    return SimpleNamespace(load=load, load4=load4, load_int=lambda a, i: np.int64(a[i]), store=store, store4=store4)


def _on_device(dtype, F):
    from llvmlite import ir
    from numba.core import types
    from numba.cuda.extending import intrinsic

    integer = ir.IntType(8 * dtype.itemsize)
    kind = {"f2": ir.HalfType(), "f4": ir.FloatType(), "f8": ir.DoubleType()}.get(dtype.str[1:], integer)
    number = numba.from_dtype(np.dtype(F))
    real = ir.FloatType() if number == types.float32 else ir.DoubleType()
    address, index = types.int64, types.int64

    def place(builder, kind, args):
        """A pointer to global memory (address space 1)."""
        start = builder.inttoptr(args[0], ir.PointerType(integer if kind is integer else dtype_kind, 1))
        return builder.bitcast(builder.gep(start, [args[1]]), ir.PointerType(kind, 1))

    dtype_kind = kind

    def computed(builder, x):
        """A stored number as one of F."""
        if dtype.kind == "b":
            return builder.uitofp(builder.icmp_unsigned("!=", x, ir.Constant(kind, 0)), real)
        if dtype.kind in "iu":
            return (builder.sitofp if dtype.kind == "i" else builder.uitofp)(x, real)
        if kind == real:
            return x
        return (builder.fpext if dtype.itemsize < np.dtype(F).itemsize else builder.fptrunc)(x, real)

    def stored(builder, x):
        return x if kind == real else builder.fptrunc(x, kind)

    four = ir.VectorType(kind, ITEMS)
    lanes = [ir.Constant(ir.IntType(32), k) for k in range(ITEMS)]

    @intrinsic
    def load(context, a, i):
        def generate(context, builder, signature, args):
            return computed(builder, builder.load(place(builder, kind, args), align=dtype.itemsize))

        return number(address, index), generate

    @intrinsic
    def load_int(context, a, i):
        def generate(context, builder, signature, args):
            x = builder.load(place(builder, kind, args), align=dtype.itemsize)
            if dtype.itemsize == 8:
                return x
            return (builder.sext if dtype.kind == "i" else builder.zext)(x, ir.IntType(64))

        return types.int64(address, index), generate

    @intrinsic
    def load4(context, a, i):
        def generate(context, builder, signature, args):
            numbers = builder.load(place(builder, four, args), align=alignment(dtype))
            return context.make_tuple(builder, signature.return_type,
                                      [computed(builder, builder.extract_element(numbers, lane)) for lane in lanes])

        return types.UniTuple(number, ITEMS)(address, index), generate

    @intrinsic
    def store(context, a, i, x):
        def generate(context, builder, signature, args):
            builder.store(stored(builder, args[2]), place(builder, kind, args), align=dtype.itemsize)
            return context.get_dummy_value()

        return types.void(address, index, number), generate

    @intrinsic
    def store4(context, a, i, x0, x1, x2, x3):
        def generate(context, builder, signature, args):
            numbers = ir.Constant(four, ir.Undefined)
            for lane, x in zip(lanes, args[2:], strict=True):
                numbers = builder.insert_element(numbers, stored(builder, x), lane)
            builder.store(numbers, place(builder, four, args), align=alignment(dtype))
            return context.get_dummy_value()

        return types.void(address, index, number, number, number, number), generate

    return SimpleNamespace(load=load, load4=load4, load_int=load_int, store=store, store4=store4)
