"""Sums of float64 numbers without rounding: as few numbers that add up to exactly the same."""

from __future__ import annotations

import math


def expansion(numbers) -> list[float]:
    """A few numbers, the largest first, whose sum is exactly that of the finite `numbers`; the first is their `math.fsum`.

    Raises OverflowError where the sum is beyond float64.
    """
    parts, rest = [], list(numbers)
    while total := math.fsum(rest):
        parts.append(total)
        rest.append(-total)
    return parts


class ExactSum:
    """A sum that does not depend on the order in which numbers, and sums of numbers, were added to it."""

    HELD = 1024
    """Numbers that may wait before they are put together."""

    def __init__(self, parts=(), special=0.0):
        self.parts, self.special = list(parts), special
        """Finite numbers whose sum is the sum of the finite ones; the sum of those that are infinite or NaN, or 0."""

    def add(self, numbers: list[float]) -> None:
        self.parts += numbers
        if len(self.parts) > self.HELD:
            self.compress()

    def merge(self, other: ExactSum) -> None:
        self.special += other.special
        self.add(other.parts)

    def compress(self) -> None:
        """As few parts as there can be."""
        if not all(map(math.isfinite, self.parts)):
            self.special += sum(x for x in self.parts if not math.isfinite(x))
            self.parts = [x for x in self.parts if math.isfinite(x)]
        try:
            self.parts = expansion(self.parts)
        except OverflowError:
            self.special += sum(self.parts)
            self.parts = []

    def value(self) -> float:
        """The sum, rounded once."""
        self.compress()
        return self.special if self.special != 0.0 else math.fsum(self.parts)
