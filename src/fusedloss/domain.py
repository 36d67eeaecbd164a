"""Where a target, a prediction or a parameter may lie, as data: checks, samplers, docs and errors all read it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Interval:
    """The numbers between `low` and `high`; each end belongs to it where its `*_closed` flag is set.

    NaN belongs to every interval: it is not a domain error, it makes the result NaN.
    """

    low: float = -inf
    high: float = inf
    low_closed: bool = False
    high_closed: bool = False

    @property
    def everything(self) -> bool:
        """Whether no number is outside."""
        return self.low == -inf and self.high == inf

    def outside(self, x):
        """Whether `x` (a number or an array) lies outside."""
        below = x < self.low if self.low_closed or self.low == -inf else x <= self.low
        above = x > self.high if self.high_closed or self.high == inf else x >= self.high
        return below | above

    def __str__(self) -> str:
        if self.everything:
            return "any real number"
        left, right = "([" [self.low_closed], ")]" [self.high_closed]
        return f"in {left}{self.low:g}, {self.high:g}{right}"


@dataclass(frozen=True)
class Labels:
    """Two allowed numbers, 0 and 1: a class label that has no in-between."""

    everything = False
    low, high = 0.0, 1.0

    def outside(self, x):
        """Whether `x` (a number or an array) is neither label (nor NaN)."""
        return (x != 0.0) & (x != 1.0) & (x == x)

    def __str__(self) -> str:
        return "0 or 1"


REAL = Interval()
POSITIVE = Interval(low=0.0)
NON_NEGATIVE = Interval(low=0.0, low_closed=True)
UNIT = Interval(0.0, 1.0, True, True)
OPEN_UNIT = Interval(0.0, 1.0)
ABOVE_MINUS_ONE = Interval(low=-1.0)
BINARY = Labels()
