"""Rows into tiles and back: number (k, j) of a tile is column k of row j, and stands at k * lanes + j.

A plain loop moves one number per cycle, which is as long as computing an exponential takes. Here groups of columns of 16
rows (8 in float64) are loaded as vectors, transposed inside 128-bit lanes by shuffles and stored as vectors: 0.08-0.2 ns
a number instead of 0.28.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import uint64
from numba.core import types
from numba.extending import intrinsic


def loaders(register, F, lanes, layout):
    """(load, store) for arrays of `F` in C order ("C") or Fortran order ("F"), read and written in place.

    load(a, start, m, C, n, tile) reads rows start .. start + m of an (n, C) array; `a` is its flat memory.
    """
    if layout == "F":
        return _columns(register, F, uint64(lanes))
    size = np.dtype(F).itemsize
    height, widest = uint64(64 // size), 16 // size
    widths = range(2, widest + 1)
    loads = {width: register(_mover(F, width, False, register)) for width in widths}
    stores = {width: register(_mover(F, width, True, register)) for width in widths}

    def moving(movers, one, pairs):
        last = movers[widest]
        two, three = movers[2], movers.get(3, last)
        span = uint64(widest)
        pitch = uint64(lanes)

        def move(a, start, m, C, n, tile):
            base = start * C
            full = uint64(0)
            if uint64(2) == C and m == pitch:
                pairs(a, base, tile)
                full = m
            elif uint64(1) < C:
                full = m // height * height
                r = uint64(0)
                while r < full:
                    if uint64(2) == C:
                        two(a, base + r * C, C, tile, r, pitch)
                    elif span > C:
                        three(a, base + r * C, C, tile, r, pitch)
                    else:
                        c = uint64(0)
                        while c + span < C:
                            last(a, base + r * C + c, C, tile, c * pitch + r, pitch)
                            c += span
                        c = C - span
                        last(a, base + r * C + c, C, tile, c * pitch + r, pitch)
                    r += height
            for k in range(C):
                for j in range(full, m):
                    one(a, base + j * C + k, tile, k * pitch + j)

        return register(move)

    def load_one(a, i, tile, j):
        tile[j] = a[i]

    def store_one(a, i, tile, j):
        a[i] = tile[j]

    def load_pairs(a, i, tile):  # two columns lie interleaved, which LLVM has vectors for
        for j in range(lanes):
            tile[j], tile[lanes + j] = a[i + uint64(2 * j)], a[i + uint64(2 * j + 1)]

    def store_pairs(a, i, tile):
        for j in range(lanes):
            a[i + uint64(2 * j)], a[i + uint64(2 * j + 1)] = tile[j], tile[lanes + j]

    return (moving(loads, register(load_one), register(load_pairs)),
            moving(stores, register(store_one), register(store_pairs)))


def _columns(register, F, pitch):
    def load(a, start, m, C, n, tile):
        for k in range(C):
            for j in range(m):
                tile[k * pitch + j] = a[k * n + start + j]

    def store(a, start, m, C, n, tile):
        for k in range(C):
            for j in range(m):
                a[k * n + start + j] = tile[k * pitch + j]

    return register(load), register(store)


def prefetcher(register, F, lanes, layout):
    """prefetch(a, start, k, C, n, write): bring the k-th of C parts of the strip of rows from `start` on into the cache.

    A strip is read and written at once and computed in between; asked for one strip ahead, memory works meanwhile.
    """
    span, line = uint64(lanes), uint64(64 // np.dtype(F).itemsize)
    for_reading, for_writing = _prefetch_intrinsic(0), _prefetch_intrinsic(1)

    def prefetch(a, start, k, C, n, write):
        first = k * n + start if layout == "F" else start * C + k * span
        i = uint64(0)
        while i < span:
            if write:
                for_writing(a, first + i)
            else:
                for_reading(a, first + i)
            i += line

    return register(prefetch)


def _prefetch_intrinsic(write):
    @intrinsic
    def prefetch(context, a, i):
        def generate(ctx, builder, signature, args):
            data = ctx.make_array(signature.args[0])(ctx, builder, args[0]).data
            byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
            function = builder.module.declare_intrinsic(
                "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, number, number, number]))
            place = builder.bitcast(builder.gep(data, [args[1]]), byte)
            builder.call(function, [place, *[ir.Constant(number, x) for x in (write, 3, 1)]])
            return ctx.get_dummy_value()

        return types.void(a, i), generate

    return prefetch


def putter(register, layout):
    """put(a, row, k, C, n, x): one number of an (n, C) array."""
    def put(a, row, k, C, n, x):
        a[k * n + row if layout == "F" else row * C + k] = x

    return register(put)


def converting_loader(register, F, lanes, layout):
    """A loader for arrays of any dtype."""
    pitch = uint64(lanes)
    if layout == "F":
        def load(a, start, m, C, n, tile):
            for k in range(C):
                for j in range(m):
                    tile[k * pitch + j] = F(a[k * n + start + j])
    else:
        def load(a, start, m, C, n, tile):
            base = start * C
            for k in range(C):
                for j in range(m):
                    tile[k * pitch + j] = F(a[base + j * C + k])

    return register(load)


def _mover(F, width, out, register):
    """move(a, i, C, t, j, pitch): rows of `width` numbers at i, i + C, ... of a to columns at j, j + pitch, ... of t;
    `out`: from the columns to the rows."""
    move = _mover_intrinsic(F, width, out)
    return lambda a, i, C, t, j, pitch: move(a, i, C, t, j, pitch)


def _mover_intrinsic(F, width, out):
    size = np.dtype(F).itemsize
    number = ir.FloatType() if size == 4 else ir.DoubleType()
    index, i64 = ir.IntType(32), ir.IntType(64)
    lane = 16 // size                # numbers in 128 bits, and columns of a group
    height = 64 // size              # rows of a group: 512 bits
    groups = height // lane
    row, column = ir.VectorType(number, width), ir.VectorType(number, height)

    def shuffle(builder, a, b, places):
        mask = ir.Constant(ir.VectorType(index, len(places)), [ir.Constant(index, p) for p in places])
        return builder.shuffle_vector(a, b, mask)

    def joined(builder, parts):
        while len(parts) > 1:
            width = parts[0].type.count
            parts = [shuffle(builder, a, b, range(2 * width)) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]

    def in_lanes(pattern):
        """A pattern of one lane (x < lane: from the first vector, else from the second), in every lane."""
        return [g * lane + x if x < lane else height + g * lane + x - lane for g in range(groups) for x in pattern]

    def transposed(builder, v):
        if lane == 2:
            return [shuffle(builder, v[0], v[1], in_lanes(p)) for p in ((0, 2), (1, 3))]
        low, high, first, second = map(in_lanes, ((0, 4, 1, 5), (2, 6, 3, 7), (0, 1, 4, 5), (2, 3, 6, 7)))
        a, b = shuffle(builder, v[0], v[1], low), shuffle(builder, v[2], v[3], low)
        c, d = shuffle(builder, v[0], v[1], high), shuffle(builder, v[2], v[3], high)
        return [shuffle(builder, x, y, p) for x, y in ((a, b), (c, d)) for p in (first, second)]

    @intrinsic
    def move(context, a, i, C, t, j, pitch):
        def generate(ctx, builder, signature, args):
            rows = ctx.make_array(signature.args[0])(ctx, builder, args[0]).data
            tile = ctx.make_array(signature.args[3])(ctx, builder, args[3]).data

            def pointer(base, first, step, k, kind):
                place = builder.add(first, builder.mul(step, ir.Constant(i64, k)))
                return builder.bitcast(builder.gep(base, [place]), kind.as_pointer())

            row_at = [pointer(rows, args[1], args[2], r, row) for r in range(height)]
            column_at = [pointer(tile, args[4], args[5], c, column) for c in range(width)]
            if not out:
                parts = [builder.load(p, align=size) for p in row_at]
                if width < lane:
                    parts = [shuffle(builder, p, p, [min(x, width - 1) for x in range(lane)]) for p in parts]
                v = [joined(builder, parts[q::lane]) for q in range(lane)]
                for p, value in zip(column_at, transposed(builder, v), strict=False):
                    builder.store(value, p, align=size)
            else:
                v = [builder.load(p, align=size) for p in column_at]
                v = transposed(builder, [*v, *[v[0]] * (lane - width)])
                for r, p in enumerate(row_at):
                    g, q = divmod(r, lane)
                    builder.store(shuffle(builder, v[q], v[q], [g * lane + x for x in range(width)]), p, align=size)
            return ctx.get_dummy_value()

        return types.void(a, i, C, t, j, pitch), generate

    return move
