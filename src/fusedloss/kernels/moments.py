"""Sums for standard errors: of d = w l - w c and its square, where c is a number near the mean of l.

Near the mean the squares do not cancel when sums of parts are put together.
"""

import numpy as np
from numba import uint64

from .lanes import STRIP, fold, nothing, section

MOMENTS = 5
"""How many numbers `joined` puts together."""


def joined(a, b):
    """The moments of samples of which some have moments a, the others b: a number near the mean of l, sum(w d) and sum(d^2)
    with d = w l - w times that number, sum(w), sum(w^2).

    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
    """
    center, first, second, weight, squares = a
    other_center, other_first, other_second, other_weight, other_squares = b
    both = weight + other_weight
    mean = center + (other_center - center) * (other_weight / both) if other_weight != 0.0 else center
    shift, other_shift = center - mean, other_center - mean
    second = second + 2.0 * shift * first + shift * shift * squares + (
        other_second + 2.0 * other_shift * other_first + other_shift * other_shift * other_squares)
    first = first + shift * squares + (other_first + other_shift * other_squares)
    return mean, first, second, both, squares + other_squares


def moments(register, F, wanted):
    """The kernel that finds them about a given c, of all values and of groups of them.

    a holds the products w l; where there is a b, l is the difference of two losses, in float64. totals[0] += sum(w d) and
    totals[1] += sum(d^2), in lanes as in `elementwise`; by_group[k] += (sum(d), sum(w d), sum(d^2)) over samples of group k.
    """
    cut_b, cut_w, cut_mask = (register(section if present else nothing)
                              for present in (wanted.b, wanted.w, wanted.mask))
    strip, folded = _strip_about(register, F, wanted.b, wanted.w, wanted.mask), register(fold)
    weigh, difference = register(_weights(F, wanted.w, wanted.mask)), _difference(register, wanted.b)

    def kernel(a, b, w, mask, groups, center, totals, by_group):
        first, second = np.zeros(STRIP), np.zeros(STRIP)
        start, n = uint64(0), uint64(a.size)
        while start < n:
            end = min(start + uint64(STRIP), n)
            strip(a[start:end], cut_b(b, start, end), cut_w(w, start, end), cut_mask(mask, start, end), center,
                  first, second)
            start = end
        totals[0] += folded(first, STRIP)
        totals[1] += folded(second, STRIP)
        if groups is not None:
            for j in range(a.size):
                wj = weigh(w, mask, j)
                d = difference(a, b, j) - wj * center
                k = groups[j]
                by_group[k, 0] += d
                by_group[k, 1] += wj * d
                by_group[k, 2] += d * d

    return kernel


def of_blocks(register, F, weighted, masked):
    """Writes to partials[b, 2:] what `joined` makes of the values of blocks first ... b, each about its own mean."""
    join, folded, weigh = register(joined), register(fold), register(_weights(F, weighted, masked))
    strip = _strip_about(register, F, False, weighted, masked)
    cut_w, cut_mask = (register(section if there else nothing) for there in (weighted, masked))
    every = not (weighted or masked)

    @register
    def strip_weights(n, w, mask, sums, squares):
        for j in range(n):
            wj = weigh(w, mask, j)
            sums[j] += wj
            squares[j] += wj * wj

    def spread(values, n, w, mask, total, partials, b, first):
        lanes = np.zeros((4, STRIP))
        if every:
            weight = squares = float(n)
        else:
            start = uint64(0)
            while start < n:
                end = min(start + uint64(STRIP), n)
                strip_weights(end - start, cut_w(w, start, end), cut_mask(mask, start, end), lanes[0], lanes[1])
                start = end
            weight, squares = folded(lanes[0], STRIP), folded(lanes[1], STRIP)
        center = total / weight if weight != 0.0 and np.isfinite(total) else 0.0
        start = uint64(0)
        while start < n:
            end = min(start + uint64(STRIP), n)
            strip(values[start:end], None, cut_w(w, start, end), cut_mask(mask, start, end), center, lanes[2], lanes[3])
            start = end
        found = center, folded(lanes[2], STRIP), folded(lanes[3], STRIP), weight, squares
        if b > first:
            before = partials[b - 1]
            found = join((before[2], before[3], before[4], before[5], before[6]), found)
        for k in range(MOMENTS):
            partials[b, 2 + k] = found[k]

    return spread


def _strip_about(register, F, paired, weighted, masked):
    """Adds a strip's w d to the lanes `first` and its d^2 to the lanes `second`."""
    weigh, difference = register(_weights(F, weighted, masked)), _difference(register, paired)

    @register
    def strip(a, b, w, mask, center, first, second):
        for j in range(a.size):
            wj = weigh(w, mask, j)
            d = difference(a, b, j) - wj * center
            first[j] += wj * d
            second[j] += d * d

    return strip


def _weights(F, weighted, masked):
    """The weight of sample j, in float64, rounded as in the products with the losses."""
    zero, one = np.float64(0.0), np.float64(1.0)
    if weighted and masked:
        return lambda w, mask, j: zero if mask[j] else np.float64(F(w[j]))
    if masked:
        return lambda w, mask, j: zero if mask[j] else one
    if weighted:
        return lambda w, mask, j: np.float64(F(w[j]))
    return lambda w, mask, j: one


def _difference(register, paired):
    """What the moments are of: a, or a - b."""
    if paired:
        return register(lambda a, b, j: np.float64(a[j]) - np.float64(b[j]))
    return register(lambda a, b, j: np.float64(a[j]))
