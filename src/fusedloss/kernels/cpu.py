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

BLOCK = 4096
STRIP = 128


def elementwise(register, F, where, wanted, parameters, value, gradient, hessian, y_outside, f_outside):
    """The leaf of losses of one prediction and one target at a time; `wanted` says which arrays there are."""
    zero, one, nan = F(0.0), F(1.0), F(np.nan)
    strip_length = uint64(STRIP)
    cut_w, cut_mask, cut_v, cut_g, cut_h = (
        register(_section if present else _nothing)
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

    def leaf(theta, y, f, w, mask, scale, partials, sums, v, g, h, first, last, step):
        loss = parameters(theta)
        lanes = np.empty(STRIP, np.float64)
        values = np.empty(STRIP, F)
        for b in range(first, last):
            start = uint64(b * BLOCK)
            stop = uint64(min(f.size, (b + 1) * BLOCK))
            lanes[:] = 0.0
            bad_y = bad_f = False
            while start < stop:
                end = min(start + strip_length, stop)
                ys, fs, ws, masks = y[start:end], f[start:end], cut_w(w, start, end), cut_mask(mask, start, end)
                vs, gs, hs = cut_v(v, start, end), cut_g(g, start, end), cut_h(h, start, end)
                for j in range(end - start):
                    yj = F(ys[j])
                    fj = fs[j]
                    wj = weight(ws, masks, j)
                    unknown = (yj != yj) | (fj != fj)
                    bad_y = bad_y | (y_outside(yj) & (wj != zero))
                    bad_f = bad_f | (f_outside(fj) & (wj != zero))
                    if sums is not None:
                        values[j] = weighted(where(unknown, nan, value(loss, yj, fj)), wj)
                    if v is not None:
                        vs[j] = weighted(where(unknown, nan, value(loss, yj, fj)), wj)
                    if g is not None:
                        gs[j] = scale * weighted(where(unknown, nan, gradient(loss, yj, fj)), wj)
                    if h is not None:
                        hs[j] = scale * weighted(where(unknown, nan, hessian(loss, yj, fj)), wj)
                if sums is not None:
                    for j in range(end - start):
                        lanes[j] += values[j]
                start = end
            half = STRIP // 2
            while half > 0:
                for j in range(half):
                    lanes[j] += lanes[j + half]
                half //= 2
            partials[b, 0] = lanes[0]
            partials[b, 1] = (1.0 if bad_y else 0.0) + (2.0 if bad_f else 0.0)

    return leaf


def parallel(leaf):
    """The leaf over groups of `step` blocks, on Numba's threads."""

    def kernel(theta, y, f, w, mask, scale, partials, sums, v, g, h, first, last, step):
        for k in prange((last - first + step - 1) // step):
            start = first + k * step
            leaf(theta, y, f, w, mask, scale, partials, sums, v, g, h, start, min(last, start + step), 1)

    return kernel


def _section(a, start, stop):
    return a[start:stop]


def _nothing(a, start, stop):
    return None


def moments(register, F, wanted):
    """Sums for standard errors: of d = w l - w c and its square, where c is a number near the mean of l.

    a holds the products w l; where there is a b, l is the difference of two losses, in float64. Near the mean the squares
    do not cancel when the sums are put together later. totals[0] += sum(w d), totals[1] += sum(d^2), in lanes as in
    `elementwise`; by_group[k] += (sum(d), sum(w d), sum(d^2)) over the samples of group k.
    """
    zero, one = np.float64(0.0), np.float64(1.0)
    if wanted.b:
        difference = register(lambda a, b, j: np.float64(a[j]) - np.float64(b[j]))
    else:
        difference = register(lambda a, b, j: np.float64(a[j]))
    if wanted.w and wanted.mask:
        weight = register(lambda w, mask, j: zero if mask[j] else np.float64(F(w[j])))
    elif wanted.mask:
        weight = register(lambda w, mask, j: zero if mask[j] else one)
    elif wanted.w:
        weight = register(lambda w, mask, j: np.float64(F(w[j])))
    else:
        weight = register(lambda w, mask, j: one)
    cut_b, cut_w, cut_mask = (register(_section if present else _nothing)
                              for present in (wanted.b, wanted.w, wanted.mask))

    @register
    def strip(a, b, w, mask, center, first, second):
        for j in range(a.size):
            wj = weight(w, mask, j)
            d = difference(a, b, j) - wj * center
            first[j] += wj * d
            second[j] += d * d

    def kernel(a, b, w, mask, groups, center, totals, by_group):
        first, second = np.zeros(STRIP), np.zeros(STRIP)
        start, n = uint64(0), uint64(a.size)
        while start < n:
            end = min(start + uint64(STRIP), n)
            strip(a[start:end], cut_b(b, start, end), cut_w(w, start, end), cut_mask(mask, start, end), center,
                  first, second)
            start = end
        half = STRIP // 2
        while half > 0:
            for j in range(half):
                first[j] += first[j + half]
                second[j] += second[j + half]
            half //= 2
        totals[0] += first[0]
        totals[1] += second[0]
        if groups is not None:
            for j in range(a.size):
                wj = weight(w, mask, j)
                d = difference(a, b, j) - wj * center
                k = groups[j]
                by_group[k, 0] += d
                by_group[k, 1] += wj * d
                by_group[k, 2] += d * d

    return kernel
