"""The loops over a matrix X: scores, loss and gradient of a linear model while a block of rows is in the cache.

(a) A leaf handles whole groups of rows, and a group has a gradient of its own in float64; the groups' are added in order.
    How rows are cut into groups and blocks depends on the shape of X alone, so results do not depend on threads. There are
    no kernels for Numba's threads: a share of X takes so long that ours are as fast, and those compile for twice as long.
(b) Both products with X are made of two loops: `along` (dot products along lines of numbers that lie together) and `across`
    (combinations of such lines). The lines are the rows of X in C order and its columns in Fortran order, so that one
    product in C order is the other one in Fortran order.
(c) float32: products and their sums in float32 inside a block of rows, in float64 over blocks.
"""

import numpy as np
from numba import uint64

from .lanes import STRIP, fold, nothing, section
from .vectors import ROWS, kit, lanes_of

TILE = 3
"""Vectors of columns of a tile of `product`."""

DEPTH = 256
"""Terms that `product` adds before it adds their sum to the output: a packed tile of float64 is 48 KB."""

CHUNK = 128
"""Rows of the output that one unit of work of `product` computes."""


# ---- losses of one prediction ------------------------------------------------------------------------------------


def elementwise(register, F, wanted, where, parameters, value, gradient, hessian, f_outside):
    """The leaf: sums of w*l and its gradient for each group of rows, or (`wanted.h`) the Hessian times v.

    partials[b] = (sum of w*l, of slopes, whether a prediction was outside); totals[b] = the gradient of coefficients.
    """
    zero, nan = F(0.0), F(np.nan)
    scores, pull = _products(register, F, wanted.layout)
    second, strip, room = wanted.h is not None, uint64(STRIP), uint64(lanes_of(F))

    if wanted.w:
        weight = register(lambda w, j: w[j])
        weighted = register(lambda x, wj: where(wj != zero, wj * x, zero))
    else:
        weight = register(lambda w, j: F(1.0))
        weighted = register(lambda x, wj: x)
    cut, folded = register(section if wanted.w else nothing), register(fold)

    @register
    def first_order(loss, y, w, z, slopes, values, value_sums):
        """Value and slope of up to STRIP rows; whether a prediction was outside."""
        bad = False
        for j in range(z.size):
            wj, yj, zj = weight(w, j), y[j], z[j]
            unknown = (yj != yj) | (zj != zj)
            bad = bad | (f_outside(zj) & (wj != zero))
            values[j] = weighted(where(unknown, nan, value(loss, yj, zj)), wj)
            slopes[j] = weighted(where(unknown, nan, gradient(loss, yj, zj)), wj)
        for j in range(z.size):
            value_sums[j] += values[j]
        return bad

    @register
    def second_order(loss, y, w, z, slopes, u):
        bad = False
        for j in range(z.size):
            wj, yj, zj = weight(w, j), y[j], z[j]
            unknown = (yj != yj) | (zj != zj)
            bad = bad | (f_outside(zj) & (wj != zero))
            slopes[j] = weighted(where(unknown, nan, hessian(loss, yj, zj)), wj) * u[j]
        return bad

    def leaf(theta, y, w, x, indices, indptr, coefficients, intercept, v, v_intercept, partials, totals,
             n, d, block, rows, first, last):
        loss = parameters(theta)
        n, d, block = uint64(n), uint64(d), uint64(block)
        z, u, slopes = np.empty(block + room, F), np.empty(block + room, F), np.empty(block + room, F)
        values, scratch = np.empty(STRIP, F), np.empty(totals.shape[1], F)
        value_sums, slope_sums = np.empty(STRIP, np.float64), np.empty(STRIP, np.float64)
        for b in range(first, last):
            start, stop = uint64(b * rows), min(n, uint64((b + 1) * rows))
            value_sums[:] = 0.0
            slope_sums[:] = 0.0
            bad = False
            total = totals[b]
            total[:] = 0.0
            while start < stop:
                m = min(block, stop - start)
                scores(x, indices, indptr, n, d, start, m, coefficients, intercept, z)
                if second:
                    scores(x, indices, indptr, n, d, start, m, v, v_intercept, u)
                i = uint64(0)
                while i < m:
                    end = min(i + strip, m)
                    ys, ws = y[start + i:start + end], cut(w, start + i, start + end)
                    if second:
                        bad = bad | second_order(loss, ys, ws, z[i:end], slopes[i:end], u[i:end])
                    else:
                        bad = bad | first_order(loss, ys, ws, z[i:end], slopes[i:end], values, value_sums)
                    part = slopes[i:end]
                    for j in range(part.size):
                        slope_sums[j] += part[j]
                    i = end
                for j in range(m, m + room):
                    slopes[j] = zero
                pull(x, indices, indptr, n, d, start, m, slopes, scratch, total)
                start += m
            partials[b, 0] = folded(value_sums, STRIP)
            partials[b, 1] = folded(slope_sums, STRIP)
            partials[b, 2] = 1.0 if bad else 0.0

    return leaf


# ---- products with a block of rows -------------------------------------------------------------------------------


def _products(register, F, layout):
    """(scores, pull): z = X w + intercept for m rows from `start` on, and total += X^T s over them.

    Arrays of coefficients and slopes go on with zeros to a whole vector; what is written may be longer, too.
    """
    if layout == "csr":
        return _sparse_products(register, F)
    along, across = lines(register, F)
    address = kit(F).address

    @register
    def added(z, m, intercept):
        for j in range(m):
            z[j] += intercept

    @register
    def cleared(a, m):
        for j in range(m):
            a[j] = F(0.0)

    @register
    def gathered(total, part, m):
        for k in range(m):
            total[k] += part[k]

    if layout == "C":
        def scores(x, indices, indptr, n, d, start, m, coefficients, intercept, z):
            along(address(x), start * d, d, m, d, m * d, address(coefficients), address(z))
            added(z, m, intercept)

        if F is np.float64:
            def pull(x, indices, indptr, n, d, start, m, slopes, scratch, total):
                across(address(x), start * d, d, m, d, m * d, address(slopes), address(total))
        else:
            def pull(x, indices, indptr, n, d, start, m, slopes, scratch, total):
                cleared(scratch, scratch.size)
                across(address(x), start * d, d, m, d, m * d, address(slopes), address(scratch))
                gathered(total, scratch, d)
    else:
        def scores(x, indices, indptr, n, d, start, m, coefficients, intercept, z):
            cleared(z, z.size)
            across(address(x), start, n, d, m, m, address(coefficients), address(z))
            added(z, m, intercept)

        def pull(x, indices, indptr, n, d, start, m, slopes, scratch, total):
            along(address(x), start, n, d, m, m, address(slopes), address(scratch))
            gathered(total, scratch, d)

    return register(scores), register(pull)


def lines(register, F):
    """(along, across) over `count` lines of `length` numbers of x, at `at`, at + pitch ...:
    z[r] = (line r) . w, and t += sum_r s[r] (line r).

    What stands `ahead` numbers further on is asked for, every other vector by `along` and the others by `across`: so memory
    has work all the time, and a large X is read at 0.6 to 0.9 of the speed of a plain sum (0.45 to 0.6 when `across` asks
    for all of it).
    """
    k = kit(F)
    dots, dots_of, fold, zeros = k.dots, k.dots_of, k.fold, k.zeros[ROWS]
    combine, combine_of, combine_one, combine_one_of = k.combine[ROWS], k.combine_of[ROWS], k.combine[1], k.combine_of[1]
    lanes, together = uint64(k.lanes), uint64(ROWS)

    @register
    def of_some(x, at, pitch, length, ahead, w, z, r):
        sums = zeros()
        whole = length // lanes * lanes
        j = uint64(0)
        while j < whole:
            sums = dots(sums, x, at + j, pitch, ahead, w, j)
            j += lanes
            if j < whole:
                sums = dots(sums, x, at + j, pitch, None, w, j)
                j += lanes
        if j < length:
            sums = dots_of(sums, x, at + j, pitch, ahead, w, j, length - j)
        fold(sums, z, r)

    @register
    def along(x, at, pitch, count, length, ahead, w, z):
        r = uint64(0)
        while r < count:  # of the last few lines each in every place; what is written beyond it the next one overwrites
            whole = r + together <= count
            of_some(x, at + r * pitch, pitch if whole else uint64(0), length, ahead, w, z, r)
            r += together if whole else uint64(1)

    @register
    def across(x, at, pitch, count, length, ahead, s, t):
        whole = length // lanes * lanes
        r = uint64(0)
        while r + together <= count:
            j = uint64(0)
            while j < whole:
                combine(x, at + r * pitch + j, pitch, None, s, r, t, j)
                j += lanes
                if j < whole:
                    combine(x, at + r * pitch + j, pitch, ahead, s, r, t, j)
                    j += lanes
            if j < length:
                combine_of(x, at + r * pitch + j, pitch, None, s, r, t, j, length - j)
            r += together
        while r < count:
            j = uint64(0)
            while j < whole:
                combine_one(x, at + r * pitch + j, pitch, None, s, r, t, j)
                j += lanes
            if j < length:
                combine_one_of(x, at + r * pitch + j, pitch, None, s, r, t, j, length - j)
            r += uint64(1)

    return along, across


def _sparse_products(register, F):
    """Of X in CSR format: row i has the columns indices[indptr[i]:indptr[i + 1]]."""
    def scores(x, indices, indptr, n, d, start, m, coefficients, intercept, z):
        for j in range(m):
            first, last = indptr[start + j], indptr[start + j + uint64(1)]
            even = odd = F(0.0)
            p = first
            while p + 1 < last:
                even += x[p] * coefficients[indices[p]]
                odd += x[p + 1] * coefficients[indices[p + 1]]
                p += 2
            if p < last:
                even += x[p] * coefficients[indices[p]]
            z[j] = even + odd + intercept

    def pull(x, indices, indptr, n, d, start, m, slopes, scratch, total):
        for j in range(m):
            for p in range(indptr[start + j], indptr[start + j + uint64(1)]):
                total[indices[p]] += np.float64(slopes[j]) * np.float64(x[p])

    return register(scores), register(pull)


# ---- products of matrices ----------------------------------------------------------------------------------------


def product(register, F):
    """The leaf of out += A B, in units of CHUNK rows of `out` times the columns of a tile.

    A is (M, K) with any strides, B (K, N) in C order of any float dtype, out (M, N) in C order. A tile of B is packed, in
    `F`, and read from the first-level cache.
    """
    k = kit(F)
    lanes, rows, address = k.lanes, ROWS, k.address
    narrow, wide = (k.outer[ROWS, v] for v in (1, TILE))
    store_narrow, store_wide = (k.store[ROWS * v] for v in (1, TILE))
    zeros_narrow, zeros_wide = (k.zeros[ROWS * v] for v in (1, TILE))

    def leaf(a, b, out, first, last):
        M, K = a.shape
        N = b.shape[1]
        width = lanes if lanes >= N else TILE * lanes
        tiles = (N + width - 1) // width
        packed, part = np.empty(DEPTH * width, F), np.empty(rows * width, F)
        a_at, packed_at, part_at = address(a), address(packed), address(part)
        down, right, end = a.strides[0], a.strides[1], M - 1
        for unit in range(first, last):
            top, left = unit // tiles * CHUNK, unit % tiles * width
            bottom, shown = min(M, top + CHUNK), min(width, N - left)
            for k0 in range(0, K, DEPTH):
                depth = min(DEPTH, K - k0)
                for p in range(depth):
                    line = packed[p * width:(p + 1) * width]
                    for c in range(shown):
                        line[c] = b[k0 + p, left + c]
                    for c in range(shown, width):
                        line[c] = F(0.0)
                for i in range(top, bottom, rows):
                    if width == lanes:
                        sums = zeros_narrow()
                        for p in range(depth):
                            sums = narrow(sums, a_at, down, right, end, i, k0 + p, packed_at, p * width)
                        store_narrow(sums, part_at)
                    else:
                        more = zeros_wide()
                        for p in range(depth):
                            more = wide(more, a_at, down, right, end, i, k0 + p, packed_at, p * width)
                        store_wide(more, part_at)
                    for r in range(min(rows, bottom - i)):
                        target, line = out[i + r, left:left + shown], part[r * width:r * width + shown]
                        for c in range(shown):
                            target[c] += line[c]

    return leaf


def units(shape, F):
    """How many units `product` has for an output of this shape."""
    lanes = lanes_of(F)
    width = lanes if shape[1] <= lanes else TILE * lanes
    return -(-shape[0] // CHUNK) * -(-shape[1] // width)


def sparse_product(register, F, transposed):
    """The leaf of out += X B, or out += X^T B, for rows start ... start + m of X in CSR format, in units of columns.

    B is (d, N) or, transposed, (m, N); out (m, N) or (d, N), both in C order.
    """
    def leaf(x, indices, indptr, start, m, b, out, first, last):
        N = b.shape[1]
        for unit in range(first, last):
            left = unit * CHUNK
            right = min(N, left + CHUNK)
            for j in range(m):
                for p in range(indptr[start + j], indptr[start + j + 1]):
                    i = indices[p]
                    target, line = (out[i, left:right], b[j, left:right]) if transposed else (
                        out[j, left:right], b[i, left:right])
                    factor = x[p]
                    for c in range(right - left):
                        target[c] += factor * F(line[c])

    return leaf
