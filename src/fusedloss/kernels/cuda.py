"""The loops on a CUDA device: the same shapes as on the CPU, a thread for four samples at a time.

(a) A result depends on the data, n and the dtype alone: the grid is fixed by n, a thread adds its samples in their order to
    a float64 sum, the threads of a block are folded in a fixed order, and the blocks' sums are added by one block. Nothing
    is added atomically, so there is no second result on a device that is busy or of another size.
(b) Four neighbouring samples per thread are read by 16-byte loads, all of them before anything is computed: what hides the
    latency of the memory is bytes on their way.
(c) In float32 the only float64 operations are additions of finished values; a float64 product costs as much as 2 on the
    devices of data centers, and 64 on the others.
(d) Nothing is reported back, for that would wait for the device: what a loss does not admit makes NaN.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import int64

from ..cuda_api import THREADS, cuda
from .cuda_memory import ITEMS, of

TILE = THREADS * ITEMS
"""Samples that a block takes at a time."""

BLOCKS = 4096
"""Blocks at most: many times what a device runs at once, so that the last ones to run are a small part."""


def blocks_of(n):
    """How many blocks n samples get."""
    return min(BLOCKS, (n + TILE - 1) // TILE)


def elementwise(register, F, where, wanted, parameters, value, gradient, hessian, y_outside, f_outside):
    """The kernel of losses of one prediction and one target at a time; `wanted` says which arrays there are.

    `theta` is a tuple; `number` is the target of all samples where there is no array of them; the Hessian is multiplied by
    `v_in` where there is one; `columns` is the length of the rows that have one weight, or one entry of the mask, each.
    Gradient and Hessian are multiplied by `scale` or scales[0].
    """
    zero, nan = F(0.0), F(np.nan)
    weight, four_weights = _weights(register, F, where, wanted)
    one_f, four_f = _reader(register, wanted.f, F, wanted.wide)
    one_y, four_y = _reader(register, wanted.y, F, wanted.wide)
    number_of = of(F, F).load
    if wanted.y is None:
        target = register(lambda y, number, i: number)
        targets = register(lambda y, number, i: (number, number, number, number))
    else:
        target, targets = register(lambda y, number, i: one_y(y, i)), register(lambda y, number, i: four_y(y, i))
    factor_of = register((lambda scale, scales: number_of(scales, 0)) if wanted.scaled else (lambda scale, scales: scale))
    add = register((lambda total, x: total + np.float64(x)) if wanted.sums else (lambda total, x: total))
    (put_v, put_v4), (put_g, put_g4), (put_h, put_h4) = (
        _writer(register, wanted.out, F, wanted.wide, there) for there in (wanted.v, wanted.g, wanted.h))
    one_v, four_v = _by_row(register, wanted.f if wanted.v_in else None, F, False, wanted.wide)
    times = register((lambda h, v: h * v) if wanted.v_in else (lambda h, v: h))
    block_sum = _block_sum(register) if wanted.sums else register(lambda partials, total: None)
    if wanted.w or wanted.mask:
        weighted = register(lambda x, wj: where(wj != zero, wj * x, zero))
    else:
        weighted = register(lambda x, wj: x)

    @register
    def sample(loss, factor, y, f, wj, vj):
        unknown = (y != y) | (f != f) | y_outside(y) | f_outside(f)
        return (weighted(where(unknown, nan, value(loss, y, f)), wj),
                factor * weighted(where(unknown, nan, gradient(loss, y, f)), wj),
                times(factor * weighted(where(unknown, nan, hessian(loss, y, f)), wj), vj))

    def kernel(theta, y, number, f, v_in, w, mask, columns, scale, scales, partials, v, g, h, n):
        loss, factor = parameters(theta), factor_of(scale, scales)
        total = 0.0
        i = (int64(cuda.blockIdx.x) * THREADS + int64(cuda.threadIdx.x)) * ITEMS
        step = int64(cuda.gridDim.x) * TILE
        while i < n:
            if i + ITEMS <= n:
                ys, fs = targets(y, number, i), four_f(f, i)
                ws, vs = four_weights(w, mask, columns, i), four_v(v_in, columns, i)
                a = sample(loss, factor, ys[0], fs[0], ws[0], vs[0])
                b = sample(loss, factor, ys[1], fs[1], ws[1], vs[1])
                c = sample(loss, factor, ys[2], fs[2], ws[2], vs[2])
                d = sample(loss, factor, ys[3], fs[3], ws[3], vs[3])
                total = add(add(add(add(total, a[0]), b[0]), c[0]), d[0])
                put_v4(v, i, a[0], b[0], c[0], d[0])
                put_g4(g, i, a[1], b[1], c[1], d[1])
                put_h4(h, i, a[2], b[2], c[2], d[2])
            else:
                for j in range(i, n):
                    a = sample(loss, factor, target(y, number, j), one_f(f, j), weight(w, mask, columns, j),
                               one_v(v_in, columns, j))
                    total = add(total, a[0])
                    put_v(v, j, a[0])
                    put_g(g, j, a[1])
                    put_h(h, j, a[2])
            i += step
        block_sum(partials, total)

    return kernel


def weights(register, F, where, wanted):
    """The kernel that sums the weights of samples that are not masked, each as `elementwise` sees it."""
    weight, four_weights = _weights(register, F, where, wanted)
    block_sum = _block_sum(register)

    def kernel(w, mask, columns, partials, n):
        total = 0.0
        i = (int64(cuda.blockIdx.x) * THREADS + int64(cuda.threadIdx.x)) * ITEMS
        step = int64(cuda.gridDim.x) * TILE
        while i < n:
            if i + ITEMS <= n:
                ws = four_weights(w, mask, columns, i)
                total = (((total + np.float64(ws[0])) + np.float64(ws[1])) + np.float64(ws[2])) + np.float64(ws[3])
            else:
                for j in range(i, n):
                    total += np.float64(weight(w, mask, columns, j))
            i += step
        block_sum(partials, total)

    return kernel


def mean(register, divided_on_device):
    """The kernel of one block that adds the blocks' sums and divides, by `denominator` or by denominators[0]: value[0]."""
    numbers, total_of = of(np.float64, np.float64), _total_of_partials(register)
    load, store = numbers.load, numbers.store
    divisor = register((lambda number, numbers: load(numbers, 0)) if divided_on_device else (lambda number, numbers: number))

    def kernel(partials, blocks, denominator, denominators, value):
        total = total_of(partials, blocks)
        if cuda.threadIdx.x == 0:
            store(value, 0, total / divisor(denominator, denominators))

    return kernel


def denominator(register, F):
    """The kernel of one block that adds the blocks' sums: denominators[0], and in F what to multiply by, scales[0] (0 where
    there is nothing to divide by)."""
    store_total, store_scale, total_of = of(np.float64, np.float64).store, of(F, F).store, _total_of_partials(register)

    def kernel(partials, blocks, denominators, scales):
        total = total_of(partials, blocks)
        if cuda.threadIdx.x == 0:
            store_total(denominators, 0, total)
            store_scale(scales, 0, F(1.0 / total) if total != 0.0 else F(0.0))

    return kernel


# ---- inside a block ----------------------------------------------------------------------------------------------


def _folded(register):
    """The sum over the threads of a block, in a fixed order: for thread 0."""

    @register
    def folded(total):
        shared = cuda.shared.array(THREADS, numba.float64)
        thread = cuda.threadIdx.x
        shared[thread] = total
        cuda.syncthreads()
        half = THREADS // 2
        while half > 0:
            if thread < half:
                shared[thread] += shared[thread + half]
            cuda.syncthreads()
            half //= 2
        return shared[0]

    return folded


def _block_sum(register):
    """Write the sum over the threads of a block to its place."""
    folded, store = _folded(register), of(np.float64, np.float64).store

    @register
    def block_sum(partials, total):
        total = folded(total)
        if cuda.threadIdx.x == 0:
            store(partials, int64(cuda.blockIdx.x), total)

    return block_sum


def _total_of_partials(register):
    folded, load = _folded(register), of(np.float64, np.float64).load

    @register
    def total_of(partials, blocks):
        total = 0.0
        k = int64(cuda.threadIdx.x)
        while k < blocks:
            total += load(partials, k)
            k += THREADS
        return folded(total)

    return total_of


# ---- samples -----------------------------------------------------------------------------------------------------


def _reader(register, dtype, F, wide):
    """Functions (address, i) that read sample i, and samples i to i + 3."""
    if dtype is None:
        return None, None
    numbers = of(dtype, F)
    one = numbers.load
    if wide:
        return one, numbers.load4
    return one, register(lambda a, i: (one(a, i), one(a, i + 1), one(a, i + 2), one(a, i + 3)))


def _writer(register, dtype, F, wide, there):
    """Functions that write one sample, and four; they do nothing where nobody asked for the output."""
    if not there:
        return register(lambda a, i, x: None), register(lambda a, i, x0, x1, x2, x3: None)
    numbers = of(dtype, F)
    one = numbers.store
    if wide:
        return one, numbers.store4

    @register
    def four(a, i, x0, x1, x2, x3):
        one(a, i, x0)
        one(a, i + 1, x1)
        one(a, i + 2, x2)
        one(a, i + 3, x3)

    return one, four


def _weights(register, F, where, wanted):
    """Functions (w, mask, columns, i) -> the weight of sample i, and of samples i to i + 3, in F; 0 takes a sample out."""
    zero, one, given = F(0.0), F(1.0), admitted(register, F, where)
    one_w, four_w = _by_row(register, wanted.w, np.float64 if wanted.w == np.float64 else F, wanted.w_rows, wanted.wide)
    one_mask, four_mask = _by_row(register, np.bool_ if wanted.mask else None, F, wanted.mask_rows, wanted.wide)

    if wanted.w and wanted.mask:
        weight = register(lambda w, mask: where(mask != zero, zero, given(w)))
    elif wanted.w:
        weight = register(lambda w, mask: given(w))
    elif wanted.mask:
        weight = register(lambda w, mask: where(mask != zero, zero, one))
    else:
        weight = register(lambda w, mask: one)

    @register
    def single(w, mask, columns, i):
        return weight(one_w(w, columns, i), one_mask(mask, columns, i))

    @register
    def four(w, mask, columns, i):
        ws, masks = four_w(w, columns, i), four_mask(mask, columns, i)
        return (weight(ws[0], masks[0]), weight(ws[1], masks[1]), weight(ws[2], masks[2]), weight(ws[3], masks[3]))

    return single, four


def admitted(register, F, where):
    """A weight as a number of F: NaN if it is negative, infinite or NaN, or not 0 but 0 in F."""
    zero, inf, nan = F(0.0), F(np.inf), F(np.nan)

    @register
    def admitted(w):
        x = F(w)
        return where((x >= zero) & (x < inf) & ((x != zero) | (w == 0)), x, nan)

    return admitted


def _by_row(register, dtype, F, rows, wide):
    """Functions (address, columns, i) that read what belongs to sample i, and to samples i to i + 3; `rows`: there is one
    for every `columns` samples. 1 where there is no array."""
    one = F(1.0)
    if dtype is None:
        return register(lambda a, columns, i: one), register(lambda a, columns, i: (one, one, one, one))
    single, several = _reader(register, dtype, F, wide)
    if not rows:
        return register(lambda a, columns, i: single(a, i)), register(lambda a, columns, i: several(a, i))
    return (register(lambda a, columns, i: single(a, i // columns)),
            register(lambda a, columns, i: (single(a, i // columns), single(a, (i + 1) // columns),
                                            single(a, (i + 2) // columns), single(a, (i + 3) // columns))))
