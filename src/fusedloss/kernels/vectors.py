"""Vectors of LLVM inside Numba's loops: 64 bytes of numbers, 8 of float64 or 16 of float32.

A sum over the columns of a row is SIMD only if somebody says in which lanes it is kept: LLVM may not reorder it, and the
same bits everywhere need it said. Here every operation is written out, `fma` included, so a processor with shorter
vectors does two or four instructions for one and gets the same bits.

A group of vectors is a homogeneous tuple; LLVM keeps its members in registers over a loop. Arrays are passed by the address
of their memory: passed as arrays they would be counted, atomically, at every call. Whoever takes an address uses the array
afterwards too, for Numba frees it after its last use.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

ROWS = 8
"""Rows whose dot products are computed together: as many chains of additions that do not wait for one another."""

BYTES = 64


class Vector(types.Type):
    """One vector of float32 or float64."""

    def __init__(self, number, lanes):
        self.number, self.lanes = number, lanes
        super().__init__(f"Vector({number}, {lanes})")


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        number = ir.FloatType() if kind.number == types.float32 else ir.DoubleType()
        super().__init__(manager, kind, ir.VectorType(number, kind.lanes))


@functools.cache
def lanes_of(F):
    return BYTES // np.dtype(F).itemsize


@functools.cache
def kit(F):
    """The operations on vectors of `F`. x, w, z, s, t, b are addresses, what stands in brackets counts numbers.

    address(array)                          of its first number
    zeros[m]()                              m vectors of zeros
    dots(sums, x, at, pitch, ahead, w, k)   sums[r] += x[at + r pitch : ...] * w[k : ...] for ROWS rows
    dots_of(..., count)                     the same, of the first `count` numbers of x; w goes on with zeros
    fold(sums, z, i)                        z[i + r] = the sum of the lanes of sums[r], two neighbours at a time
    combine[m](x, at, pitch, ahead, s, i, t, k)   t[k : ...] += s[i + r] * x[at + r pitch : ...] for m rows, the even ones
                                            first and then the odd ones
    combine_of[m](..., count)               the same, of the first `count` numbers of x
                                            `ahead`: where x is read, what stands so much further on is asked for; or None
    outer[m, v](sums, a, down, right, last, i, k, b, j)    sums[r v + q] += a[min(i + r, last), k] * b[j + q lanes : ...],
                                            of a matrix with these strides in bytes
    store[m](sums, t)                       the vectors, one after another
    """
    lanes, size = lanes_of(F), np.dtype(F).itemsize
    number = types.float32 if size == 4 else types.float64
    vector = Vector(number, lanes)
    kinds = _Kinds(ir.FloatType() if size == 4 else ir.DoubleType(), lanes, size)
    shapes = [(ROWS, 1), (ROWS, 3)]
    return SimpleNamespace(
        lanes=lanes, address=_address, zeros={m: _zeros(kinds, vector, m) for m in (ROWS, 3 * ROWS)},
        dots=_dots(kinds, False), dots_of=_dots(kinds, True), fold=_fold(kinds),
        combine={m: _combine(kinds, m, False) for m in (1, ROWS)},
        combine_of={m: _combine(kinds, m, True) for m in (1, ROWS)},
        outer={shape: _outer(kinds, *shape) for shape in shapes},
        store={m * v: _store(kinds, m * v) for m, v in shapes})


class _Kinds:
    """The LLVM types, and what is built from them again and again."""

    def __init__(self, number, lanes, size):
        self.number, self.lanes, self.size = number, lanes, size
        self.vector = ir.VectorType(number, lanes)
        self.mangled = f"v{lanes}f{8 * size}"

    def place(self, builder, address, index):
        return builder.gep(builder.inttoptr(address, self.number.as_pointer()), [index])

    def load(self, builder, place, count=None):
        """The vector at this place; its first `count` numbers and zeros, where nothing beyond them is read."""
        place = builder.bitcast(place, self.vector.as_pointer())
        if count is None:
            return builder.load(place, align=self.size)
        index = ir.VectorType(ir.IntType(64), self.lanes)
        lane = ir.Constant(index, [ir.Constant(ir.IntType(64), k) for k in range(self.lanes)])
        shown = builder.icmp_unsigned("<", lane, self.splat(builder, count))
        # the alignment as an argument is the older form, which every LLVM reads
        kind = ir.FunctionType(self.vector, [place.type, ir.IntType(32), shown.type, self.vector])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.{self.mangled}.p0")
        return builder.call(function, [place, ir.Constant(ir.IntType(32), self.size), shown, ir.Constant(self.vector, None)])

    def prefetch(self, builder, place):
        """Bring the line of this place into the second-level cache."""
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(function, [builder.bitcast(place, byte), *[ir.Constant(number, x) for x in (0, 2, 1)]])

    def line(self, builder, x, at, ahead, count):
        """`load` at x[at], while x[at + ahead] is asked for."""
        place = self.place(builder, x, at)
        if isinstance(ahead.type, ir.IntType):
            self.prefetch(builder, builder.gep(place, [ahead]))
        return self.load(builder, place, *count)

    def splat(self, builder, x):
        kind = ir.VectorType(x.type, self.lanes)
        first = builder.insert_element(ir.Constant(kind, ir.Undefined), x, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None)
        return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)

    def fma(self, builder, a, b, c):
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.{self.mangled}")
        return builder.call(function, [a, b, c])

    def store(self, builder, x, place):
        builder.store(x, builder.bitcast(place, x.type.as_pointer()), align=self.size)


def _rows(builder, at, pitch, m):
    """The places at, at + pitch, ..."""
    return [builder.add(at, builder.mul(pitch, ir.Constant(at.type, r))) for r in range(m)]


def _group(builder, kind, vectors):
    result = ir.Constant(kind, ir.Undefined)
    for k, x in enumerate(vectors):
        result = builder.insert_value(result, x, k)
    return result


@intrinsic
def _address(context, array):
    def generate(ctx, builder, signature, args):
        return builder.ptrtoint(ctx.make_array(signature.args[0])(ctx, builder, args[0]).data, ir.IntType(64))

    return types.uint64(array), generate


def _zeros(kinds, vector, m):
    @intrinsic
    def zeros(context):
        def generate(ctx, builder, signature, args):
            return ir.Constant(ctx.get_value_type(signature.return_type), None)

        return types.UniTuple(vector, m)(), generate

    return zeros


def _dots(kinds, partial):
    def generate(ctx, builder, signature, args):
        sums, x, at, pitch, ahead, w, k, *count = args
        weights = kinds.load(builder, kinds.place(builder, w, k))
        result = []
        for r, row in enumerate(_rows(builder, at, pitch, ROWS)):
            numbers = kinds.line(builder, x, row, ahead, count)
            result.append(kinds.fma(builder, numbers, weights, builder.extract_value(sums, r)))
        return _group(builder, sums.type, result)

    @intrinsic
    def dots(context, sums, x, at, pitch, ahead, w, k):
        return sums(sums, x, at, pitch, ahead, w, k), generate

    @intrinsic
    def dots_of(context, sums, x, at, pitch, ahead, w, k, count):
        return sums(sums, x, at, pitch, ahead, w, k, count), generate

    return dots_of if partial else dots


def _fold(kinds):
    def neighbours(builder, a, b):
        """The sums of neighbours of a, then those of b."""
        n = a.type.count
        even, odd = ([ir.Constant(ir.IntType(32), p) for p in range(first, 2 * n, 2)] for first in (0, 1))
        index = ir.VectorType(ir.IntType(32), n)
        return builder.fadd(*[builder.shuffle_vector(a, b, ir.Constant(index, places)) for places in (even, odd)])

    def halves(builder, a):
        n = a.type.count // 2
        index = ir.VectorType(ir.IntType(32), n)
        return builder.fadd(*[builder.shuffle_vector(a, a, ir.Constant(index, [ir.Constant(ir.IntType(32), first + p)
                                                                             for p in range(n)])) for first in (0, n)])

    @intrinsic
    def fold(context, sums, z, i):
        def generate(ctx, builder, signature, args):
            sums, z, i = args
            parts = [builder.extract_value(sums, r) for r in range(ROWS)]
            while parts[0].type.count > ROWS:
                parts = [halves(builder, part) for part in parts]
            while len(parts) > 1:
                parts = [neighbours(builder, a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
            kinds.store(builder, parts[0], kinds.place(builder, z, i))
            return ctx.get_dummy_value()

        return types.void(sums, z, i), generate

    return fold


def _combine(kinds, m, partial):
    def generate(ctx, builder, signature, args):
        x, at, pitch, ahead, s, i, t, k, *count = args
        target = kinds.place(builder, t, k)
        totals = [kinds.load(builder, target), None]  # two chains: half as long to wait for
        for r, row in enumerate(_rows(builder, at, pitch, m)):
            numbers = kinds.line(builder, x, row, ahead, count)
            factor = builder.load(kinds.place(builder, s, builder.add(i, ir.Constant(i.type, r))))
            factor, total = kinds.splat(builder, factor), totals[r % 2]
            totals[r % 2] = kinds.fma(builder, factor, numbers, total) if total else builder.fmul(factor, numbers)
        kinds.store(builder, totals[0] if m == 1 else builder.fadd(*totals), target)
        return ctx.get_dummy_value()

    @intrinsic
    def combine(context, x, at, pitch, ahead, s, i, t, k):
        return types.void(x, at, pitch, ahead, s, i, t, k), generate

    @intrinsic
    def combine_of(context, x, at, pitch, ahead, s, i, t, k, count):
        return types.void(x, at, pitch, ahead, s, i, t, k, count), generate

    return combine_of if partial else combine


def _outer(kinds, m, v):
    @intrinsic
    def outer(context, sums, a, down, right, last, i, k, b, j):
        def generate(ctx, builder, signature, args):
            sums, a, down, right, last, i, k, b, j = args
            data = builder.inttoptr(a, ir.IntType(8).as_pointer())
            start = kinds.place(builder, b, j)
            columns = [kinds.load(builder, builder.gep(start, [ir.Constant(j.type, q * kinds.lanes)])) for q in range(v)]
            result = []
            for r in range(m):
                row = builder.add(i, ir.Constant(i.type, r))
                row = builder.select(builder.icmp_signed("<", row, last), row, last)
                offset = builder.add(builder.mul(row, down), builder.mul(k, right))
                place = builder.bitcast(builder.gep(data, [offset]), kinds.number.as_pointer())
                factor = kinds.splat(builder, builder.load(place, align=kinds.size))
                result += [kinds.fma(builder, factor, column, builder.extract_value(sums, r * v + q))
                           for q, column in enumerate(columns)]
            return _group(builder, sums.type, result)

        return sums(sums, a, down, right, last, i, k, b, j), generate

    return outer


def _store(kinds, m):
    @intrinsic
    def store(context, sums, t):
        def generate(ctx, builder, signature, args):
            sums, t = args
            for r in range(m):
                place = kinds.place(builder, t, ir.Constant(ir.IntType(64), r * kinds.lanes))
                kinds.store(builder, builder.extract_value(sums, r), place)
            return ctx.get_dummy_value()

        return types.void(sums, t), generate

    return store
