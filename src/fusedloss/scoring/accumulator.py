"""The mean of one loss over a stream: updated part by part, added up across workers, kept as JSON."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .. import compile
from ..arrays import numpy as arrays
from ..dispatch import check_nulls, check_together, masked, read_each
from ..evaluate import BLOCK, PLAIN, domain_error, weight_sums
from ..evaluate_rows import values_of_rows
from ..exact import ExactSum
from ..kernels.lanes import STRIP
from ..kernels.moments import joined
from ..loss import Loss
from ..registry import parse
from . import loops
from .score import CHUNK, blocks, check_streams, column, label, section
from .table import ScoreRow

__all__ = ["Accumulator", "Sample"]


class Sample(NamedTuple):
    """One sample of a stream: its number, the loss there, its target and its prediction (of row losses a list)."""

    index: int
    value: float
    y_true: object
    y_pred: object


class Accumulator:
    """What `loss.accumulator()` returns: `update` it with one part of the data after another, then ask for `result()`.

    Accumulators of the same loss are added with `+`, the left one's samples before the right one's, and are picklable;
    `to_dict` and `from_dict` make plain data of them for JSON. Block sums are added without rounding. So where parts end
    on block boundaries (4096 samples; of rows without weights `kernels.rows.block_of` columns) the mean is `loss(y, f, w)`
    of all of it bit for bit, whichever way parts were merged; where they do not, sums of blocks that were cut round
    differently.

    Beside the result: `min` and `max` of the values, `worst`, the samples of the largest values with the largest first,
    `nan` and `infinite`, how many values are that. All are about samples that are counted, not masked and of weight not 0,
    and about the loss itself, without the weight.
    """

    def __init__(self, loss: Loss, worst: int = 5):
        if isinstance(worst, bool) or not isinstance(worst, int) or worst < 0:
            raise ValueError(f"worst must be a whole number of samples to keep, 0 or more, found {worst!r}")
        check_streams(loss)
        self.loss = loss
        self.rows = 0
        self._state = np.zeros(len(loops.STATE))
        self._state[loops.LOW], self._state[loops.HIGH] = math.inf, -math.inf
        self._sum = np.zeros(loops.EXPANSION)
        self._weight, self._unweighted = ExactSum(), 0
        self._worst, self._index = np.full(worst, -math.inf), np.full(worst, -1)
        self._samples = {}
        self._plans = {}

    # ---- adding --------------------------------------------------------------------------------------------------

    def update(self, y_true, y_pred, sample_weight=None, mask=None, *, nulls="raise") -> None:
        """Add samples: y_pred (n,), or (n, C) for losses of rows; weights and mask (n,), as for the loss itself; arrays of
        any kind. With nulls="ignore" a sample that is null in one of them is left out.

        After an error nothing of this update has been added.
        """
        if sample_weight is None and mask is None and type(y_true) is type(y_pred) is np.ndarray:
            plan = self._plans.get((y_true.dtype, y_pred.dtype))
            if plan is not None and y_true.shape == y_pred.shape and plan.add(self, y_true, y_pred):
                return
        check_nulls(nulls)
        given = {"y_true": y_true, "y_pred": y_pred, "sample_weight": sample_weight, "mask": mask}
        check_together(given)
        given, several = read_each(given, nulls)
        part = type(self)(self.loss, len(self._worst))
        part._add(given["y_true"], given["y_pred"], given["sample_weight"],
                  masked(given["mask"], several, np.shape(given["y_pred"])[:1]))
        self._merge(part)
        self._plans |= part._plans

    def _add(self, y_true, y_pred, sample_weight, mask):
        """The same for an accumulator that is new, chunk by chunk."""
        f = column("y_pred", y_pred, rows=self.loss.rowwise)
        n, F = len(f), arrays.COMPUTED_IN.get(f.dtype, np.float64)
        y = arrays.view("y_true", y_true)
        y = np.broadcast_to(y, (n,)) if y.ndim == 0 else column("y_true", y, n, self.loss.rowwise, "y_pred")
        w = None if sample_weight is None else column("sample_weight", sample_weight, n, other="y_pred")
        mask = None if mask is None else arrays.mask_like(mask, np.broadcast_to(False, n))
        plan = None if self.loss.rowwise else self._plan(F, y.dtype, f.dtype, w is not None or mask is not None)
        for start in range(0, n, CHUNK):
            stop = min(n, start + CHUNK)
            weights, out = section(w, start, stop, F), section(mask, start, stop)
            if w is not None:
                self._weight.add(weight_sums(w[start:stop], out, F, offset=start).tolist())
                out = weights == 0 if out is None else out | (weights == 0)
            if plan is None:
                values = np.empty(stop - start, F)
                values_of_rows(self.loss, y[start:stop], f[start:stop], None, out, values, ("y_true", "y_pred"), start)
            else:
                values = plan.values(section(y, start, stop, plan.y), section(f, start, stop, F), out, start)
            counted = self._state[loops.N]
            kernel = loops.summary(F, w is not None, out is not None)
            self._summarise(kernel, values, weights, out, y[start:stop], f[start:stop])
            if w is None:
                self._unweighted += int(self._state[loops.N] - counted)

    def _plan(self, F, y, f, masked):
        plan = _Plan(self.loss, F, y if y in PLAIN else np.dtype(F), masked)
        if not masked and f == F and y in PLAIN:
            self._plans[y, f] = plan
        return plan

    def _summarise(self, kernel, values, w, mask, y, f):
        """Add a chunk's values to the state."""
        new = kernel(values, w, mask, *blocks(self.loss, f), self.rows, self._state, self._sum, self._worst, self._index)
        if new:
            self._remember(y, f)
        self.rows += len(values)

    def _remember(self, y, f):
        """Target and prediction of each of the worst samples, those that are new in a chunk among them."""
        known, self._samples = self._samples, {}
        for i in self._index.tolist():
            if i >= self.rows:
                self._samples[i] = y[i - self.rows].tolist(), f[i - self.rows].tolist()
            elif i >= 0:
                self._samples[i] = known[i]

    def __add__(self, other):
        """An accumulator of the samples of both, those of `self` first."""
        if not isinstance(other, Accumulator):
            return NotImplemented
        if other.loss != self.loss or len(other._worst) != len(self._worst):
            raise ValueError(f"accumulators of different kinds cannot be added: {self!r} and {other!r}")
        both = type(self)(self.loss, len(self._worst))
        both._merge(self)
        both._merge(other)
        return both

    def _merge(self, other):
        """Add the samples of another accumulator behind those that there are."""
        total = self._total()
        total.merge(other._total())
        total.compress()
        self._sum[: 1 + len(total.parts)] = [len(total.parts), *total.parts[::-1]]
        a, b = self._state, other._state
        a[loops.SPECIAL] = total.special
        moments = [loops.CENTER, loops.FIRST, loops.SECOND, loops.WEIGHT, loops.WEIGHT2]
        counts = [loops.N, loops.NANS, loops.INFINITE]
        with np.errstate(over="ignore", invalid="ignore"):
            a[moments] = joined(a[moments], b[moments])
        a[counts] += b[counts]
        a[loops.LOW], a[loops.HIGH] = min(a[loops.LOW], b[loops.LOW]), max(a[loops.HIGH], b[loops.HIGH])
        self._weight.merge(other._weight)
        self._unweighted += other._unweighted
        worst = [*self.worst, *(sample._replace(index=sample.index + self.rows) for sample in other.worst)]
        self._keep(sorted(worst, key=lambda sample: -sample.value))
        self.rows += other.rows

    def _total(self):
        """sum(w l)."""
        return ExactSum(self._sum[1: 1 + int(self._sum[0])].tolist(), self._state[loops.SPECIAL].item())

    def _keep(self, samples):
        """Make these the worst samples, as many as are kept."""
        k = len(self._worst)
        samples = samples[:k]
        self._worst[:], self._index[:] = -math.inf, -1
        self._worst[: len(samples)] = [sample.value for sample in samples]
        self._index[: len(samples)] = [sample.index for sample in samples]
        self._samples = {sample.index: (sample.y_true, sample.y_pred) for sample in samples}

    # ---- what was found ------------------------------------------------------------------------------------------

    def result(self) -> ScoreRow:
        """The row that `fusedloss.score` has for the samples so far; its value and error are NaN where none counts."""
        state = self._state
        weight = math.fsum([*self._weight.parts, self._unweighted])
        value, error = math.nan, math.nan
        if weight:
            value = self._total().value() / weight
            if math.isfinite(value):
                error = math.sqrt(max(_second(state, value), 0.0)) / weight
        n = int(state[loops.N])
        return ScoreRow(label(self.loss), "pred", None, value, error, n, weight, self.rows - n)

    @property
    def min(self) -> float:
        """The smallest value; NaN is left out, and is what this is where there is no other."""
        return self._state[loops.LOW].item() if self._has_order else math.nan

    @property
    def max(self) -> float:
        """The largest value, as `min`."""
        return self._state[loops.HIGH].item() if self._has_order else math.nan

    @property
    def _has_order(self):
        return self._state[loops.N] > self._state[loops.NANS]

    @property
    def nan(self) -> int:
        """How many values are NaN."""
        return int(self._state[loops.NANS])

    @property
    def infinite(self) -> int:
        """How many values are infinite."""
        return int(self._state[loops.INFINITE])

    @property
    def worst(self) -> list[Sample]:
        """The samples with the largest values, the largest first, of equal ones the earliest."""
        pairs = zip(self._index.tolist(), self._worst.tolist(), strict=True)
        return [Sample(i, value, *self._samples[i]) for i, value in pairs if i >= 0]

    def __repr__(self):
        return f"{self.loss!r}.accumulator(worst={len(self._worst)})"

    # ---- as plain data -------------------------------------------------------------------------------------------

    def to_dict(self) -> dict:
        """All of it in numbers, strings, lists and dictionaries; numbers that JSON does not have are strings ("inf")."""
        return _plain({
            "schema": 1,
            "loss": label(self.loss),
            "rows": self.rows,
            "sum": self._total().parts,
            "weight": self._weight.parts,
            "unweighted": self._unweighted,
            "state": dict(zip(loops.STATE, self._state.tolist(), strict=True)),
            "keep": len(self._worst),
            "worst": [sample._asdict() for sample in self.worst],
        })

    @classmethod
    def from_dict(cls, data: dict, loss: Loss | None = None) -> Accumulator:
        """The accumulator that `to_dict` was called on. `loss` is needed where its name in `data` is not one that
        `fusedloss.get` knows (a loss of your own, a combination, parameters that are arrays)."""
        data = _numbers(data)
        if data.get("schema") != 1:
            raise ValueError(f"data has schema {data.get('schema')!r}; this version of fusedloss reads 1")
        if loss is None:
            try:
                loss = parse(data["loss"])
            except ValueError as error:
                raise ValueError(f"{error}; pass the loss itself as loss=") from None
        if label(loss) != data["loss"]:
            raise ValueError(f"loss is {label(loss)}, and data is an accumulator of {data['loss']}")
        made = cls(loss, data["keep"])
        made.rows = data["rows"]
        made._sum[: 1 + len(data["sum"])] = [len(data["sum"]), *data["sum"]]
        made._weight, made._unweighted = ExactSum(data["weight"]), data["unweighted"]
        made._state[:] = [data["state"][name] for name in loops.STATE]
        made._keep([Sample(**sample) for sample in data["worst"]])
        return made

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_plans"}

    def __setstate__(self, state):
        self.__dict__.update(state, _plans={})


class _Plan:
    """How the values of an elementwise loss are computed for given dtypes."""

    def __init__(self, loss, F, y, masked):
        self.loss, self.F, self.y = loss, F, y
        request = compile.Request(F=F, y=y, w=None, mask=masked, sums=None, v="value", g=None, h=None)
        self.kernel = compile.kernel(loss, request, "nogil")
        self.few = self.kernel if masked else compile.kernel(loss, request, "serial")
        self.summary = None if masked else loops.summary(F, False, False)
        self.theta, self.one = np.array(compile.split_parameters(loss)[0], F), F(1.0)
        self.buffer, self.partials = np.empty(BLOCK, F), np.empty((CHUNK // BLOCK, 2))

    def add(self, accumulator, y, f):
        """Add at most one block of samples without weights or mask; False where these arrays need `_add`."""
        n = f.size
        if n > BLOCK or f.ndim != 1:
            return False
        values = self.buffer[:n]
        try:
            self.few(self.theta, y, f, None, None, self.one, self.partials, None, values, None, None, 0, 1, 1)
        except TypeError:  # not arrays that this kernel reads as they are
            return False
        if n == 0 or self.partials.item(1):
            return False
        if self.summary(values, None, None, BLOCK, STRIP, accumulator.rows, accumulator._state, accumulator._sum,
                        accumulator._worst, accumulator._index):
            accumulator._remember(y, f)
        accumulator.rows += n
        accumulator._unweighted += n
        return True

    def values(self, y, f, mask, start):
        """The loss of each sample of a chunk, 0 for masked ones."""
        values, blocks = np.empty(f.size, self.F), -(-f.size // BLOCK)
        self.kernel(self.theta, y, f, None, mask, self.one, self.partials, None, values, None, None, 0, blocks, 1)
        if self.partials[:blocks, 1].any():
            raise domain_error(self.loss, self.F, y, f, None, mask, offset=start)
        return values


def _second(state, center):
    """sum(d^2) of a state, about another number."""
    shift = state[loops.CENTER] - center
    with np.errstate(over="ignore", invalid="ignore"):
        return state[loops.SECOND] + 2.0 * shift * state[loops.FIRST] + shift * shift * state[loops.WEIGHT2]


def _plain(x):
    """Plain data with strings for the numbers that JSON does not have."""
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return [_plain(value) for value in x]
    return repr(x) if isinstance(x, float) and not math.isfinite(x) else x


def _numbers(x):
    """The inverse of `_plain`."""
    if isinstance(x, dict):
        return {key: _numbers(value) for key, value in x.items()}
    if isinstance(x, list):
        return [_numbers(value) for value in x]
    return float(x) if x in ("nan", "inf", "-inf") else x
