"""The weighted quantile of every leaf of a tree, in O(n): a counting sort by leaf, then a selection in each."""

import numpy as np


def quantiles(register):
    """The kernel. Elements with weight 0 are left out; a leaf that holds NaN gets NaN, one without weight 0."""

    @register
    def select(x, w, low, high, wanted):
        """The smallest element of x[low:high] such that it and all below it weigh at least `wanted`; else the largest.

        Quickselect in three parts, the pivot a median of three at pseudo-random places: O(n) expected whatever the order.
        """
        state = high - low
        while high - low > 1:
            picks = np.empty(3)
            for k in range(3):
                state = state * 48271 % 2147483647  # Park and Miller's generator
                picks[k] = x[low + state % (high - low)]
            pivot = max(min(picks[0], picks[1]), min(max(picks[0], picks[1]), picks[2]))
            k, less, more = low, low, high
            below, equal = 0.0, 0.0
            while k < more:
                if x[k] < pivot:
                    below += w[k]
                    x[k], x[less], w[k], w[less] = x[less], x[k], w[less], w[k]
                    less += 1
                    k += 1
                elif x[k] > pivot:
                    more -= 1
                    x[k], x[more], w[k], w[more] = x[more], x[k], w[more], w[k]
                else:
                    equal += w[k]
                    k += 1
            if wanted <= below and less > low:
                high = less
            elif wanted <= below + equal or more == high:
                return pivot
            else:
                wanted -= below + equal
                low = more
        return x[low]

    def kernel(residual, weight, ids, level, first, x, w, result):
        """`first` has a place per leaf and one more; x and w are scratch of the length of the residuals."""
        for i in range(ids.size):
            if weight[i] > 0.0:
                first[ids[i] + 1] += 1
        for leaf in range(result.size):
            first[leaf + 1] += first[leaf]
        for i in range(ids.size):
            if weight[i] > 0.0:
                place = first[ids[i]]
                x[place], w[place] = residual[i], weight[i]
                first[ids[i]] = place + 1
        low = 0
        for leaf in range(result.size):
            high = first[leaf]
            total, bad = 0.0, False
            for i in range(low, high):
                total += w[i]
                bad = bad or x[i] != x[i]
            if bad:
                result[leaf] = np.nan
            elif high > low:
                slack = 1e-12 * total  # a tie of sums of weights holds up to rounding
                left = select(x, w, low, high, level * total - slack)
                reached = 0.0
                for i in range(low, high):
                    reached += w[i] if x[i] <= left else 0.0
                right = left if reached >= level * total + slack else select(x, w, low, high, level * total + slack)
                result[leaf] = left if left == right else 0.5 * left + 0.5 * right
            else:
                result[leaf] = 0.0
            low = high

    return kernel
