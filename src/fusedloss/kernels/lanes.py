"""What the loops over strips share: STRIP float64 lanes, sample j of a strip in lane j, folded in a fixed order."""

STRIP = 128


def fold(lanes, n):
    """The sum of n lanes, in place; n is a power of two."""
    half = n // 2
    while half > 0:
        for j in range(half):
            lanes[j] += lanes[j + half]
        half //= 2
    return lanes[0]


def section(a, start, stop):
    """Part of an array that is there."""
    return a[start:stop]


def nothing(a, start, stop):
    """Part of one that is not: Numba compiles it away."""
    return None
