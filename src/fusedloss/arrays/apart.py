"""Arrays that do not lie in memory as NumPy's do: in chunks, column by column, as bits, as bfloat16.

They have what the library asks of an array, `dtype`, `shape` and a part of the samples (`a[start:stop]`, a NumPy array), and
are read a few blocks at a time; as a whole they are never put together.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from types import SimpleNamespace

import numpy as np

FLAGS = SimpleNamespace(num=0, aligned=True, c_contiguous=False, f_contiguous=False)
"""That no kernel can read such an array as it is."""


class Apart:
    """Base of such arrays. A subclass gives `dtype`, `shape`, the NumPy arrays behind it as `memory`, and `_part`."""

    flags = FLAGS

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def size(self):
        return math.prod(self.shape)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, samples):
        """A part of the samples, `a[start:stop]`, or one of them."""
        if isinstance(samples, slice):
            start, stop, _ = samples.indices(len(self))
            return self._part(start, max(start, stop))
        return self._part(samples, samples + 1)[0]

    def __array__(self, dtype=None, copy=None):
        return self[:] if dtype is None else self[:].astype(dtype)

    def reach(self, start):
        """How many samples from `start` on lie in memory as one NumPy array."""
        return 0


class Chunks(Apart):
    """One dimension in several pieces, NumPy arrays or `Bits` of one dtype."""

    def __init__(self, pieces):
        self.pieces = [piece for piece in pieces if len(piece)] or pieces[:1]
        self.dtype = self.pieces[0].dtype
        self.starts = [0]
        for piece in self.pieces:
            self.starts.append(self.starts[-1] + len(piece))
        self.shape = (self.starts[-1],)

    @property
    def memory(self):
        return [a for piece in self.pieces for a in memory(piece)]

    def reach(self, start):
        k = bisect_right(self.starts, start) - 1
        if k == len(self.pieces) or not isinstance(self.pieces[k], np.ndarray):
            return 0
        return self.starts[k + 1] - start

    def _part(self, start, stop):
        parts = []
        for k in range(bisect_right(self.starts, start) - 1, len(self.pieces)):
            low = self.starts[k]
            if low >= stop:
                break
            parts.append(self.pieces[k][max(start - low, 0): stop - low])
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty(0, self.dtype)


class Columns(Apart):
    """(n, k) numbers that lie column by column, each of them an array of one dimension."""

    def __init__(self, columns):
        self.columns = columns
        self.dtype = np.result_type(*[column.dtype for column in columns])
        self.shape = (len(columns[0]), len(columns))

    @property
    def memory(self):
        return [a for column in self.columns for a in memory(column)]

    def _part(self, start, stop):
        part = np.empty((stop - start, len(self.columns)), self.dtype, "F")
        for k, column in enumerate(self.columns):
            part[:, k] = column[start:stop]
        return part


class Bits(Apart):
    """Bools kept as bits, the lowest first: from bit `offset` of `buffer` (bytes), `inverted` or as they are."""

    dtype = np.dtype(np.bool_)

    def __init__(self, buffer, offset, n, inverted=False):
        self.buffer, self.offset, self.inverted = buffer, offset, inverted
        self.shape = (n,)

    @property
    def memory(self):
        return [self.buffer]

    def _part(self, start, stop):
        first, skipped = divmod(self.offset + start, 8)
        found = np.unpackbits(self.buffer[first: (self.offset + stop + 7) // 8], bitorder="little")
        found = found[skipped: skipped + stop - start]
        return found == 0 if self.inverted else found.view(np.bool_)


class AnyOf(Apart):
    """Bools of one shape, true where one of several arrays is: of that shape, or of one bool per sample."""

    dtype = np.dtype(np.bool_)

    def __init__(self, several, shape):
        self.several, self.shape = several, shape

    @property
    def memory(self):
        return [a for one in self.several for a in memory(one)]

    def _part(self, start, stop):
        found = np.zeros((stop - start, *self.shape[1:]), np.bool_)
        for one in self.several:
            part = one[start:stop]
            found |= part if part.ndim == found.ndim else part.any(1) if found.ndim == 1 else part[:, None]
        return found


class Column(Apart):
    """Column `k` of an array of rows."""

    def __init__(self, a, k):
        self.a, self.k, self.dtype, self.shape = a, k, a.dtype, a.shape[:1]

    @property
    def memory(self):
        return memory(self.a)

    def _part(self, start, stop):
        return self.a[start:stop][:, self.k]


class Spread(Apart):
    """An array of one number per sample, repeated to the shape of samples that are rows."""

    def __init__(self, a, shape):
        self.a, self.shape, self.dtype = a, shape, a.dtype

    @property
    def memory(self):
        return memory(self.a)

    def _part(self, start, stop):
        return np.broadcast_to(self.a[start:stop].reshape(-1, *[1] * (len(self.shape) - 1)), (stop - start, *self.shape[1:]))


class BFloat16(Apart):
    """bfloat16, which NumPy lacks: the upper half of a float32, kept in `bits` (uint16); read and written as float32."""

    dtype = np.dtype(np.float32)

    def __init__(self, bits):
        self.bits = bits
        self.shape = bits.shape

    @property
    def memory(self):
        return [self.bits]

    def _part(self, start, stop):
        return (self.bits[start:stop].astype(np.uint32) << 16).view(np.float32)

    def __setitem__(self, samples, values):
        """Write float32 numbers, rounded to the nearest, of two the even one."""
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
        self.bits[samples] = np.where(values != values, 0x7FC0, rounded)


def memory(a):
    """The NumPy arrays behind an array of any kind."""
    return a.memory if isinstance(a, Apart) else [a]


def column(a, k):
    """Column `k` of an array of any kind; an array of one number per sample is every column of its own."""
    return a if a is None or a.ndim == 1 else a[:, k] if isinstance(a, np.ndarray) else Column(a, k)
