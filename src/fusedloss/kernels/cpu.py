"""The loops on the CPU: one leaf per shape of loss, and the drivers that run it over blocks.

(a) A leaf handles whole blocks of BLOCK samples and writes one float64 sum per block, so a result depends neither on the
    driver nor on the number of threads nor on where a chunked input was cut (on block boundaries).
(b) Inside a block it works in strips of STRIP samples: an arithmetic loop in the dtype of the prediction writes the
    strip's values, then they are added to STRIP float64 lanes, folded in a fixed order at the end of the block. That is
    SIMD without `reassoc`, hence the same bits whichever outputs are asked for and on any CPU; and a float64 accumulator
    in the arithmetic loop would halve the vector width of float32 (0.89 against 1.13 ns/element, cross-entropy).
(c) Inputs are loaded before anything is stored: a store might alias them, and `exp` would be computed twice.
(d) Outputs that nobody asked for are None, and Numba compiles them away.
(e) A sample without weight is taken out by a select, not by a product: 0 * NaN is NaN.
"""

import numpy as np
from numba import prange, uint64

from .lanes import STRIP, fold, nothing, section
from .moments import of_blocks

BLOCK = 4096


def elementwise(register, F, where, wanted, parameters, value, gradient, hessian, y_outside, f_outside):
    """The leaf of losses of one prediction and one target at a time; `wanted` says which arrays there are.

    Of block b it writes partials[b, 0], the sum of its values, and partials[b, 1], whether numbers lie outside the domains;
    with `wanted.moments` also partials[b, 2:], see `moments.of_blocks`.
    """
    zero, one, nan = F(0.0), F(1.0), F(np.nan)
    strip_length = uint64(STRIP)
    cut_w, cut_mask, cut_v, cut_g, cut_h = (
        register(section if present else nothing)
        for present in (wanted.w, wanted.mask, wanted.v, wanted.g, wanted.h))

    if wanted.w and wanted.mask:
        weight = register(lambda w, mask, j: where(mask[j], zero, F(w[j])))
    elif wanted.mask:
        weight = register(lambda w, mask, j: where(mask[j], zero, one))
    elif wanted.w:
        weight = register(lambda w, mask, j: F(w[j]))
    else:
        weight = register(lambda w, mask, j: one)

    if wanted.w or wanted.mask:
        weighted = register(lambda x, wj: where(wj != zero, wj * x, zero))
    else:
        weighted = register(lambda x, wj: x)

    folded = register(fold)
    if wanted.moments:
        length = BLOCK
        place = register(lambda start: start % uint64(BLOCK))
        spread = register(of_blocks(register, F, wanted.w, wanted.mask))
    else:
        length = STRIP
        place = register(lambda start: uint64(0))
        spread = register(lambda values, n, w, mask, total, partials, b, first: None)

    def leaf(theta, y, f, w, mask, scale, partials, sums, v, g, h, first, last, step):
        loss = parameters(theta)
        lanes = np.empty(STRIP, np.float64)
        values = np.empty(length, F)
        for b in range(first, last):
            start = uint64(b * BLOCK)
            stop = uint64(min(f.size, (b + 1) * BLOCK))
            lanes[:] = 0.0
            bad_y = bad_f = False
            while start < stop:
                end = min(start + strip_length, stop)
                ys, fs, ws, masks = y[start:end], f[start:end], cut_w(w, start, end), cut_mask(mask, start, end)
                vs, gs, hs = cut_v(v, start, end), cut_g(g, start, end), cut_h(h, start, end)
                k = place(start)
                for j in range(end - start):
                    yj = F(ys[j])
                    fj = fs[j]
                    wj = weight(ws, masks, j)
                    unknown = (yj != yj) | (fj != fj)
                    bad_y = bad_y | (y_outside(yj) & (wj != zero))
                    bad_f = bad_f | (f_outside(fj) & (wj != zero))
                    if sums is not None:
                        values[k + j] = weighted(where(unknown, nan, value(loss, yj, fj)), wj)
                    if v is not None:
                        vs[j] = weighted(where(unknown, nan, value(loss, yj, fj)), wj)
                    if g is not None:
                        gs[j] = scale * weighted(where(unknown, nan, gradient(loss, yj, fj)), wj)
                    if h is not None:
                        hs[j] = scale * weighted(where(unknown, nan, hessian(loss, yj, fj)), wj)
                if sums is not None:
                    for j in range(end - start):
                        lanes[j] += values[k + j]
                start = end
            total = folded(lanes, STRIP)
            partials[b, 0] = total
            partials[b, 1] = (1.0 if bad_y else 0.0) + (2.0 if bad_f else 0.0)
            begin = uint64(b * BLOCK)
            spread(values, stop - begin, cut_w(w, begin, stop), cut_mask(mask, begin, stop), total, partials, b, first)

    return leaf


def parallel(leaf):
    """The leaf over groups of `step` blocks, on Numba's threads."""

    def kernel(theta, y, f, w, mask, scale, partials, sums, v, g, h, first, last, step):
        for k in prange((last - first + step - 1) // step):
            start = first + k * step
            leaf(theta, y, f, w, mask, scale, partials, sums, v, g, h, start, min(last, start + step), 1)

    return kernel
