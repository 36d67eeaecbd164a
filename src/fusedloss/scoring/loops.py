"""The loops of scoring that know no loss: what goes over the values, or over targets and predictions as they are.

They are compiled and kept on disk like the kernels of losses, under a digest that covers this file.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from numba import types

from .. import compile
from ..kernels.lanes import STRIP, fold, nothing, section
from ..kernels.moments import joined

STATE = ("n", "weight", "weight2", "center", "first", "second", "low", "high", "nan", "infinite", "special")
"""What `summary` keeps: samples counted, sum(w), sum(w^2); a number near the mean, sum(w d) and sum(d^2) with
d = w (l - center); the smallest and the largest value; how many are NaN and infinite; the sum of block sums that are not
finite."""
N, WEIGHT, WEIGHT2, CENTER, FIRST, SECOND, LOW, HIGH, NANS, INFINITE, SPECIAL = range(len(STATE))

EXPANSION = 64
"""Room for an exact sum of float64 numbers: its length, and up to 40 numbers that do not overlap (2,098 bits in 53s)."""


@functools.cache
def _own_source():
    return Path(__file__).read_text(encoding="utf-8")


def _compiled(name, make, signature, *parts, driver="nogil"):
    """The compiled loop; "serial" ones keep the GIL, for what takes microseconds."""
    with compile._lock:
        return compile._dispatcher(name, make, signature, driver, (_own_source(), *parts))


_numbers = functools.partial(compile._array, np.float64, readonly=False)


@functools.cache
def block_sums(F):
    """The kernel that sums values of dtype F, block by block, as kernels of losses do."""

    def make(register):
        folded = register(fold)

        def kernel(values, block, strip, sums):
            lanes = np.empty(strip)
            for first in range(0, values.size, block):
                last = min(values.size, first + block)
                lanes[:] = 0.0
                for k in range(first, last, strip):
                    part = values[k: min(last, k + strip)]
                    for j in range(part.size):
                        lanes[j] += part[j]
                sums[first // block] = folded(lanes, strip)

        return kernel

    return _compiled("block_sums", make, (compile._array(F), types.intp, types.intp, _numbers()), F.__name__)


# ---- one loss over a stream --------------------------------------------------------------------------------------


@functools.cache
def summary(F, weighted, masked):
    """The kernel of `_summary` for values of dtype F, with weights of the same dtype and a mask where there are."""
    signature = (compile._array(F), compile._array(F if weighted else None), compile._array(np.bool_ if masked else None),
                 types.intp, types.intp, types.intp, _numbers(), _numbers(), _numbers(),
                 compile._array(np.int64, readonly=False))
    return _compiled("summary", lambda register: _summary(register, F, weighted, masked), signature, F.__name__, weighted,
                     masked, driver="serial")


def _summary(register, F, weighted, masked):
    """Adds values of samples `start`, `start + 1` ... of a stream to its state.

    Block sums are made as kernels of losses make them, in `strip` lanes, and join the exact sum `expansion` (Shewchuk,
    "Adaptive precision floating-point arithmetic", 1997): its rounding is `math.fsum` of all of them, in any order. Second
    moments are taken about the block's own mean, and moved to where the mean of all is.
    Returns how many samples are new among the largest, `worst` and `index`, sorted.
    """
    one = F(1.0)
    weight = register((lambda w, j: w[j]) if weighted else (lambda w, j: one))
    counted = register((lambda mask, j: not mask[j]) if masked else (lambda mask, j: True))
    cut_w, cut_mask = (register(section if there else nothing) for there in (weighted, masked))
    folded, join = register(fold), register(joined)

    @register
    def add(expansion, x):
        """expansion += x, exactly; x is finite. The part of it that overflows."""
        length = 0
        for i in range(1, int(expansion[0]) + 1):
            y = expansion[i]
            if abs(x) < abs(y):
                x, y = y, x
            high = x + y
            low = y - (high - x)
            if low != 0.0:
                length += 1
                expansion[length] = low
            x = high
        if np.isinf(x):
            expansion[0] = 0.0
            return x
        length += 1
        expansion[length] = x
        expansion[0] = length
        return 0.0

    def kernel(values, w, mask, block, strip, start, state, expansion, worst, index):
        lanes = np.empty((3, strip))
        bounds = np.empty((2, strip))
        inserted = 0
        for first in range(0, values.size, block):
            last = min(values.size, first + block)
            lanes[:] = 0.0
            n, squares, nans, infinite = 0, 0.0, 0, 0
            for j in range(strip):
                bounds[0, j], bounds[1, j] = np.inf, -np.inf
            sums, of_weights, of_squares, lowest, highest = lanes[0], lanes[1], lanes[2], bounds[0], bounds[1]
            for k in range(first, last, strip):
                end = min(last, k + strip)
                part, w_part, mask_part = values[k:end], cut_w(w, k, end), cut_mask(mask, k, end)
                for j in range(part.size):
                    l, wj, here = part[j], weight(w_part, j), counted(mask_part, j)
                    sums[j] += np.float64(wj * l) if here else 0.0
                    of_weights[j] += np.float64(wj) if here else 0.0
                    lowest[j] = l if here and l < lowest[j] else lowest[j]
                    highest[j] = l if here and l > highest[j] else highest[j]
            total, weights = folded(lanes[0], strip), folded(lanes[1], strip)
            low, high = np.inf, -np.inf
            for j in range(strip):
                low, high = min(low, bounds[0, j]), max(high, bounds[1, j])
            finite = np.isfinite(total)
            center = total / weights if finite and weights != 0.0 else 0.0
            lanes[:] = 0.0
            for k in range(first, last, strip):
                end = min(last, k + strip)
                part, w_part, mask_part = values[k:end], cut_w(w, k, end), cut_mask(mask, k, end)
                for j in range(part.size):
                    wj = np.float64(weight(w_part, j)) if counted(mask_part, j) else 0.0
                    d = np.float64(F(wj) * part[j]) - wj * center if wj != 0.0 else 0.0
                    sums[j] += wj * d
                    of_weights[j] += d * d
                    of_squares[j] += wj * wj
            about, second, squares = folded(lanes[0], strip), folded(lanes[1], strip), folded(lanes[2], strip)
            if not finite or high == np.inf or low == -np.inf:
                for k in range(first, last):
                    if counted(mask, k):
                        nans += np.isnan(values[k])
                        infinite += np.isinf(values[k])
            if masked:
                for k in range(first, last):
                    n += counted(mask, k)
            else:
                n = last - first
            if finite:
                state[SPECIAL] += add(expansion, total)
            else:
                state[SPECIAL] += total
            state[N] += n
            state[CENTER], state[FIRST], state[SECOND], state[WEIGHT], state[WEIGHT2] = join(
                (state[CENTER], state[FIRST], state[SECOND], state[WEIGHT], state[WEIGHT2]),
                (center, about, second, weights, squares))
            state[LOW], state[HIGH] = min(state[LOW], low), max(state[HIGH], high)
            state[NANS] += nans
            state[INFINITE] += infinite
            if worst.size > 0 and high > worst[-1]:
                for k in range(first, last):
                    if counted(mask, k) and values[k] > worst[-1]:
                        place = worst.size - 1
                        while place > 0 and values[k] > worst[place - 1]:
                            worst[place], index[place] = worst[place - 1], index[place - 1]
                            place -= 1
                        worst[place], index[place] = values[k], start + k
                        inserted += 1
        return inserted

    return kernel


# ---- many losses, chunk by chunk --------------------------------------------------------------------------------


@functools.cache
def merge():
    """The kernel that adds a chunk's sums to what there is, each column and group about its own mean so far.

    `sums` and `centers` are of the columns, `moments` (columns, groups, 3) and `chunk_weights` (groups, 4) as in
    `score._Chunk`; `weights` and `state` (5, columns, groups) are what there is, maybe of more groups: means, sum(w d),
    sum(d^2), and the sum with what its rounding lost.
    """

    def make(register):
        def kernel(sums, centers, moments, chunk_weights, weights, state):
            for c in range(sums.size):
                for g in range(len(chunk_weights)):
                    mean, first, second = state[0, c, g], state[1, c, g], state[2, c, g]
                    total, lost = state[3, c, g], state[4, c, g]
                    added = sums[c] if g == 0 else moments[c, g, 0] + centers[c] * chunk_weights[g, 1]
                    both = total + added
                    kept = both - total
                    lost = lost + ((total - (both - kept)) + (added - kept)) if np.isfinite(both) else 0.0
                    weight = weights[g, 1] + chunk_weights[g, 1]
                    new = (both + lost) / weight if weight != 0.0 else 0.0
                    old_shift, shift, about = mean - new, centers[c] - new, moments[c, g, 1]
                    old_squares, squares = weights[g, 2], chunk_weights[g, 2]
                    state[0, c, g] = new
                    state[1, c, g] = (first + old_shift * old_squares) + (about + shift * squares)
                    state[2, c, g] = (second + 2.0 * old_shift * first + old_shift * old_shift * old_squares) + (
                        moments[c, g, 2] + 2.0 * shift * about + shift * shift * squares)
                    state[3, c, g], state[4, c, g] = both, lost
            weights[: len(chunk_weights)] += chunk_weights

        return kernel

    numbers, table = compile._array(np.float64), compile._array(np.float64, ndim=2)
    signature = (numbers, numbers, compile._array(np.float64, ndim=3), table, _numbers(ndim=2), _numbers(ndim=3))
    return _compiled("merge", make, signature, driver="serial")


# ---- ranks -------------------------------------------------------------------------------------------------------

DIGIT = 11
"""Bits sorted at a time: 2,048 buckets, whose ends of lines fit the first-level cache."""


@functools.cache
def sort(F, weighted):
    """The kernel that sorts values of dtype F, and weights with them: a radix sort of `keys`, whole numbers in the order of
    the values, with `spare` memory of the same size (6 passes over float64, 3 over float32). True: they are in `spare`."""
    U, bits = (np.uint32, 32) if np.float32 == F else (np.uint64, 64)
    sign, one, shift_sign = U(1 << (bits - 1)), U(1), U(bits - 1)
    digits, buckets, low = -(-bits // DIGIT), 1 << DIGIT, U((1 << DIGIT) - 1)

    def make(register):
        def kernel(values, w, keys, spare, weights, spare_weights):
            n = values.size
            for i in range(n):
                keys[i] = values[i] + F(0.0)  # -0 becomes 0, which it is equal to
            whole = keys.view(U)
            other = spare.view(U)
            counts = np.zeros((digits, buckets), np.int64)
            for i in range(n):
                x = whole[i]
                x = ~x if x >> shift_sign == one else x | sign
                whole[i] = x
                for d in range(digits):
                    counts[d, (x >> U(DIGIT * d)) & low] += 1
            if weighted:
                weights[:] = w
            moved = False
            for d in range(digits):
                shift = U(DIGIT * d)
                if counts[d, (whole[0] >> shift) & low] == n:
                    continue
                place = 0
                for k in range(buckets):
                    count = counts[d, k]
                    counts[d, k] = place
                    place += count
                for i in range(n):
                    x = whole[i]
                    k = (x >> shift) & low
                    place = counts[d, k]
                    counts[d, k] = place + 1
                    other[place] = x
                    if weighted:
                        spare_weights[place] = weights[i]
                whole, other, moved = other, whole, not moved
                if weighted:
                    weights, spare_weights = spare_weights, weights
            return moved

        return kernel

    values, numbers = compile._array(F), _numbers() if weighted else types.none
    keys = compile._array(F, readonly=False)
    signature = (values, compile._array(np.float64 if weighted else None), keys, keys, numbers, numbers)
    return _compiled("sort", make, signature, F.__name__, weighted)


@functools.cache
def pairs_in_order(U, weighted):
    """The kernel that counts, of two sorted arrays of keys, twice the pairs a < b and once the pairs a == b; with weights v
    and w the sum of v w over the pairs a < b, and half of it over the pairs a == b."""

    def make(register):
        def counted(a, v, b, w):
            below, upto, pairs = 0, 0, 0
            for k in range(b.size):
                while below < a.size and a[below] < b[k]:
                    below += 1
                upto = max(upto, below)
                while upto < a.size and a[upto] <= b[k]:
                    upto += 1
                pairs += below + upto
            return pairs

        def weighed(a, v, b, w):
            below, upto, weight_below, weight_upto, total = 0, 0, 0.0, 0.0, 0.0
            for k in range(b.size):
                while below < a.size and a[below] < b[k]:
                    weight_below += v[below]
                    below += 1
                if upto < below:
                    upto, weight_upto = below, weight_below
                while upto < a.size and a[upto] <= b[k]:
                    weight_upto += v[upto]
                    upto += 1
                total += w[k] * (0.5 * weight_below + 0.5 * weight_upto)
            return total

        return weighed if weighted else counted

    numbers = compile._array(np.float64 if weighted else None)
    return _compiled("pairs_in_order", make, (compile._array(U), numbers, compile._array(U), numbers), U.__name__, weighted)


# ---- classes -----------------------------------------------------------------------------------------------------


@functools.cache
def confusion(Y, F):
    """The kernel that counts true negatives, false positives, false negatives and true positives of scores of dtype F. False
    where a target is neither 0 nor 1, or a score not in [low, high] (NaN is neither): then `counts` means nothing."""

    def make(register):
        def kernel(y, f, threshold, low, high, counts):
            threshold, low, high = F(threshold), F(low), F(high)
            positives, called, right, good = 0, 0, 0, 0
            for j in range(y.size):
                positive, call = y[j] == 1, f[j] >= threshold
                positives += positive
                called += call
                right += positive & call
                good += (positive | (y[j] == 0)) & (f[j] >= low) & (f[j] <= high)
            counts[0] = y.size - positives - called + right
            counts[1], counts[2], counts[3] = called - right, positives - right, right
            return good == y.size

        return kernel

    F = np.dtype(F).type
    signature = (compile._array(Y), compile._array(F), types.float64, types.float64, types.float64, _numbers())
    return _compiled("confusion", make, signature, np.dtype(Y).str, F.__name__)


@functools.cache
def score_bins(Y, F, from_logits):
    """The kernel that counts negatives and positives in bins of their scores, in turns; see `metrics.Ranking`. False as in
    `confusion`."""

    def squeezed(x):
        return 0.5 + 0.5 * x / (1.0 + abs(x)) if abs(x) < np.inf else (1.0 if x > 0.0 else 0.0)

    def make(register):
        of_probability = register(squeezed if from_logits else (lambda x: x))

        def kernel(y, f, counts):
            bins, good = np.int64(counts.size // 2), 0
            places, whole = np.empty(STRIP, np.int64), np.zeros(counts.size, np.int64)
            for start in range(0, y.size, STRIP):
                ys, fs = y[start: start + STRIP], f[start: start + STRIP]
                for j in range(ys.size):
                    known = fs[j] == fs[j]
                    x = of_probability(np.float64(fs[j]))
                    inside, positive = known & (x >= 0.0) & (x <= 1.0), ys[j] == 1
                    good += (positive | (ys[j] == 0)) & inside
                    places[j] = 2 * min(np.int64((x if inside else 0.0) * bins), bins - 1) + positive
                for j in range(ys.size):
                    whole[places[j]] += 1
            counts[:] = whole
            return good == y.size

        return kernel

    signature = (compile._array(Y), compile._array(F), _numbers())
    return _compiled("score_bins", make, signature, np.dtype(Y).str, np.dtype(F).name, from_logits)


@functools.cache
def spread(Y):
    """The kernel that finds the number, the mean and sum((y - mean)^2) of numbers of dtype Y."""

    def make(register):
        folded = register(fold)

        def kernel(y, found):
            lanes = np.zeros(STRIP)
            for k in range(0, y.size, STRIP):
                part = y[k: min(y.size, k + STRIP)]
                for j in range(part.size):
                    lanes[j] += part[j]
            mean = folded(lanes, STRIP) / y.size
            lanes[:] = 0.0
            for k in range(0, y.size, STRIP):
                part = y[k: min(y.size, k + STRIP)]
                for j in range(part.size):
                    d = part[j] - mean
                    lanes[j] += d * d
            found[0], found[1], found[2] = y.size, mean, folded(lanes, STRIP)

        return kernel

    return _compiled("spread", make, (compile._array(Y), _numbers()), np.dtype(Y).str)
