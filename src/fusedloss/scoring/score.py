"""Many losses of many predictions, over everything and over slices, in one pass.

(a) The data goes by in chunks of CHUNK samples, a chunk in portions that stay in the cache: for every loss and prediction
    the portion's values and block sums come from the loss's own kernel, then their moments from `kernels.cpu.moments`.
(b) The mean is the sum of the block sums, as in `loss(y, f)`: the same bits.
(c) Second moments are taken about a number near the mean (that of the chunk's first block) and moved to the mean at the
    end: sum(l^2) - n mean^2 cancels.
(d) Chunks are independent and put together in their order, so the result does not depend on the number of threads.
"""

from __future__ import annotations

import itertools
import math
import time

import numpy as np

from .. import compile, drivers
from ..arrays import numpy as arrays
from ..evaluate import BLOCK, PLAIN, domain_error, ordered_sum, weight_sums
from ..loss import Loss
from ..registry import parse
from .table import Difference, ScoreRow, Scores

CHUNK = 16 * BLOCK
PORTION = 4 * BLOCK


def score(y_true, y_pred, losses, sample_weight=None, by=None, *, mask=None, n_threads=None) -> Scores:
    """The mean of many losses of one or many predictions, with standard errors, in one pass.

    Parameters
    ----------
    y_true : array (n,).
    y_pred : array (n,), or a dict {name: array (n,)} of predictions to compare; every pair of them is compared sample by
        sample (`Scores.differences`).
    losses : losses, or their names as `fusedloss.get` and the command line take them ("huber:delta=15").
    sample_weight, mask : as for a loss; True in `mask` takes a sample out.
    by : array (n,) of group labels (strings, integers): the same numbers for every group as well.

    Returns
    -------
    Scores : iterate over its rows, or ask for `scores["log_loss"].value`.
    """
    scorer = Scorer(losses, y_pred if isinstance(y_pred, dict) else ["pred"], n_threads=n_threads)
    scorer.update(y_true, y_pred, sample_weight, by, mask)
    return scorer.result()


class Scorer:
    """Scores a stream: `update` with one part after another, then `result`.

    Parts of a multiple of CHUNK samples (65,536) give the same bits as one call on the whole.
    """

    def __init__(self, losses, preds, *, n_threads=None):
        started = time.perf_counter()
        losses = [losses] if isinstance(losses, (str, Loss)) else list(losses)
        self.labels = [loss if isinstance(loss, str) else label(loss) for loss in losses]
        self.losses = [parse(loss) if isinstance(loss, str) else loss for loss in losses]
        self.preds = list(preds)
        if not self.losses or not self.preds:
            raise ValueError("nothing to score: give at least one loss and one prediction")
        for name in (name for name in set(self.labels) if self.labels.count(name) > 1):
            raise ValueError(f"losses holds {name!r} twice")
        self.n_threads = n_threads
        self.pairs = list(itertools.combinations(range(len(self.preds)), 2))
        self.groups = {}
        self.by_group = False
        self.chunks = []
        self.rows = 0
        self.seconds = time.perf_counter() - started

    def update(self, y_true, y_pred, sample_weight=None, by=None, mask=None):
        """Add samples; arguments as for `score`."""
        started = time.perf_counter()
        y = _column("y_true", y_true)
        if isinstance(y_pred, dict):
            f = [_column(f"y_pred[{name!r}]", y_pred[name], y.size) for name in self.preds]
        else:
            f = [_column("y_pred", y_pred, y.size)]
        w = None if sample_weight is None else _column("sample_weight", sample_weight, y.size)
        mask = None if mask is None else arrays.mask_like(mask, y)
        by = None if by is None else np.asarray(by)
        if by is not None and by.shape != y.shape:
            raise ValueError(f"by has shape {by.shape}; it must have the shape of y_true, {y.shape}")
        self.by_group |= by is not None
        part = _Part(self, y, f, w, mask, by)
        starts = range(0, y.size, CHUNK)
        states = [None] * len(starts)

        def work(driver, first, last, step):
            for k in range(first, last):
                states[k] = part.chunk(starts[k], min(y.size, starts[k] + CHUNK))

        threads = drivers.choose("threads", y.size, self.n_threads)[1]
        drivers.run(work, "threads" if threads > 1 and len(starts) > 1 else "serial", threads, len(starts))
        self.chunks += states
        self.rows += y.size
        self.seconds += time.perf_counter() - started

    def result(self) -> Scores:
        """What was found so far."""
        started = time.perf_counter()
        rows, differences = [], []
        columns = [(i, a, None) for i in range(len(self.losses)) for a in range(len(self.preds))]
        columns += [(i, b, a) for i in range(len(self.losses)) for a, b in self.pairs]
        weights = _total_weights(self.chunks, None)
        weights[1] = ordered_sum(np.concatenate([np.zeros(0), *[chunk.weight_sums for chunk in self.chunks]]))
        found = {}
        for column, (i, a, b) in enumerate(columns):
            sums = [chunk.sums[i, a] if b is None else chunk.sums[i, a] - chunk.sums[i, b] for chunk in self.chunks]
            total = ordered_sum(np.concatenate([np.zeros(0), *sums]))
            error = _standard_error(self.chunks, column, None, total, weights)
            found[column, None] = (total, error, weights)
        for label_, code in sorted(self.groups.items(), key=lambda item: (str(type(item[0])), item[0])):
            weights = _total_weights(self.chunks, code)
            for column in range(len(columns)):
                total = math.fsum(chunk.group_sum(code, column) for chunk in self.chunks)
                found[column, label_] = (total, _standard_error(self.chunks, column, code, total, weights), weights)
        for (column, group), (total, error, (n, weight, _, skipped)) in found.items():
            i, a, b = columns[column]
            weight = float(weight)
            numbers = (group, total / weight if weight else math.nan, error, int(n), weight, int(skipped))
            if b is None:
                rows.append(ScoreRow(self.labels[i], self.preds[a], *numbers))
            else:
                differences.append(Difference(self.labels[i], self.preds[a], self.preds[b], *numbers))
        order = {name: k for k, name in enumerate(self.labels)}
        rows.sort(key=lambda row: (row.group is not None, order[row.loss]))
        differences.sort(key=lambda row: (row.group is not None, order[row.loss]))
        return Scores(rows, differences, self.rows, seconds=self.seconds + time.perf_counter() - started)


class _Chunk:
    """The sums of one chunk. Column c of the moments belongs to the number `centers[c]`."""

    def __init__(self, losses, preds, columns, blocks, groups):
        self.sums = np.zeros((losses, preds, blocks))
        self.centers = np.zeros(columns)
        self.totals = np.zeros((columns, 2))
        self.by_group = np.zeros((columns, groups, 3))
        self.weights = np.zeros((groups + 1, 4))
        """n, sum(w), sum(w^2), skipped: of everything in row 0, then of each group."""
        self.weight_sums = np.zeros(blocks)
        """sum(w) of each block."""

    def group_sum(self, code, column):
        """sum(w l) of a group in this chunk."""
        if code + 1 >= len(self.weights):
            return 0.0
        return self.by_group[column, code, 0] + self.centers[column] * self.weights[code + 1, 1]


class _Part:
    """The arrays of one update, and how a chunk of them is computed."""

    def __init__(self, scorer, y, f, w, mask, by):
        self.scorer, self.y, self.f, self.w, self.mask = scorer, y, f, w, mask
        self.codes = None if by is None else _codes(by, scorer.groups)
        w_dtype = None if w is None else w.dtype if w.dtype in PLAIN else np.dtype(np.float64)
        self.kernels, self.thetas = {}, {}
        for i, loss in enumerate(scorer.losses):
            for a, pred in enumerate(f):
                F = arrays.COMPUTED_IN.get(pred.dtype, np.float64)
                request = compile.Request(F=F, y=y.dtype if y.dtype in PLAIN else np.dtype(F), w=w_dtype,
                                          mask=mask is not None, sums="value", v="value", g=None, h=None)
                self.kernels[i, a] = request, compile.kernel(loss, request, "nogil")
                self.thetas[i, a] = np.array(compile.split_parameters(loss)[0], F)
        kinds = {F: compile.moments(compile.Moments(F, F, None, w_dtype, mask is not None, by is not None))
                 for F in {request.F for request, _ in self.kernels.values()}}
        self.moments = {(a, None): kinds[self.kernels[0, a][0].F] for a in range(len(f))}
        for a, b in scorer.pairs:
            Fs = self.kernels[0, b][0].F, self.kernels[0, a][0].F
            self.moments[b, a] = compile.moments(
                compile.Moments(Fs[0], *Fs, w_dtype, mask is not None, by is not None))

    def chunk(self, start, stop):
        """The sums over samples start..stop."""
        scorer = self.scorer
        n_losses, n_preds = len(scorer.losses), len(scorer.preds)
        singles = n_losses * n_preds
        state = _Chunk(n_losses, n_preds, singles + n_losses * len(scorer.pairs), -(-(stop - start) // BLOCK),
                       len(scorer.groups))
        values = [np.empty(PORTION, self.kernels[0, a][0].F) for a in range(n_preds)]
        for low in range(start, stop, PORTION):
            high = min(stop, low + PORTION)
            section = _section(self.w, low, high), _section(self.mask, low, high), _section(self.codes, low, high)
            blocks = slice((low - start) // BLOCK, -(-(high - start) // BLOCK))
            self._weigh(state, *section, high - low, blocks)
            for i in range(n_losses):
                for a in range(n_preds):
                    self._values(i, a, low, high, values[a], state.sums[i, a, blocks])
                    self._moments(state, i * n_preds + a, i, a, None, values, *section, low == start, high - low)
                for k, (a, b) in enumerate(scorer.pairs):
                    self._moments(state, singles + i * len(scorer.pairs) + k, i, b, a, values, *section,
                                  low == start, high - low)
        return state

    def _values(self, i, a, low, high, values, sums):
        """Fill `values` with w*l of samples low..high, and `sums` with its block sums."""
        request, kernel = self.kernels[i, a]
        partials = np.empty((len(sums), 2))
        y, f = _section(self.y, low, high, request.y), _section(self.f[a], low, high, request.F)
        w, mask = _section(self.w, low, high, request.w), _section(self.mask, low, high)
        kernel(self.thetas[i, a], y, f, w, mask, request.F(1.0), partials, partials, values[: high - low], None, None,
               0, len(sums), 1)
        if partials[:, 1].any():
            raise domain_error(self.scorer.losses[i], request.F, y, f, w, mask, self.scorer.rows + low)
        sums[:] = partials[:, 0]

    def _moments(self, state, column, i, a, b, values, w, mask, codes, is_first, n):
        if is_first:
            weight = state.weights[0, 1]
            center = state.sums[i, a, : -(-n // BLOCK)].sum() - (
                0.0 if b is None else state.sums[i, b, : -(-n // BLOCK)].sum())
            state.centers[column] = center / weight if weight and math.isfinite(center) else 0.0
        self.moments[a, b](values[a][:n], None if b is None else values[b][:n], w, mask, codes, state.centers[column],
                           state.totals[column], None if codes is None else state.by_group[column])

    def _weigh(self, state, w, mask, codes, n, blocks):
        """Add the counts and sums of the weights themselves."""
        kept = np.ones(n) if mask is None else (~mask).astype(np.float64)
        weights = kept if w is None else np.where(kept, w, 0.0)
        if w is None:
            state.weight_sums[blocks] = np.add.reduceat(kept, np.arange(0, n, BLOCK))
        else:
            state.weight_sums[blocks] = weight_sums(w, mask)
            kept = (weights != 0).astype(np.float64)
        sums = (kept, weights, weights * weights, 1 - kept)
        state.weights[0] += [x.sum() for x in sums]
        if codes is not None:
            state.weights[1:] += np.column_stack([np.bincount(codes, x, len(state.weights) - 1) for x in sums])


def label(loss: Loss) -> str:
    """A loss as the command line spells it, with the parameters that are not the defaults: `huber:delta=15`."""
    given = [f"{name}={getattr(loss, name):g}" if isinstance(getattr(loss, name), float)
             and not isinstance(getattr(loss, name), bool) else f"{name}={str(getattr(loss, name)).lower()}"
             for name, spec in loss.__dataclass_fields__.items() if getattr(loss, name) != spec.default]
    return loss.name + (":" + ",".join(given) if given else "")


def _column(name, x, size=None):
    array = arrays.view(name, x)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; scoring takes one-dimensional arrays, one number per sample")
    if size is not None and array.size != size:
        raise ValueError(f"{name} has {array.size} samples and y_true has {size}")
    return array


def _section(a, low, high, dtype=None):
    """Samples low..high of a column as a kernel reads them: in place where possible."""
    if a is None:
        return None
    part = a[low:high]
    dtype = part.dtype if dtype is None else np.dtype(dtype)
    if part.dtype == dtype and part.flags.c_contiguous and part.flags.aligned:
        return part
    return part.astype(dtype)


def _codes(by, groups):
    """Group labels as int32 codes; `groups` maps label -> code and grows. Looked up chunk by chunk."""
    codes = np.empty(by.size, np.int32)
    for start in range(0, by.size, CHUNK):
        labels, inverse = np.unique(by[start:start + CHUNK], return_inverse=True)
        known = [groups.setdefault(name, len(groups)) for name in labels.tolist()]
        codes[start:start + CHUNK] = np.array(known, np.int32)[inverse]
    return codes


def _total_weights(chunks, code):
    """n, sum(w), sum(w^2), skipped of everything (code None) or of a group."""
    row = 0 if code is None else code + 1
    parts = [chunk.weights[row] for chunk in chunks if row < len(chunk.weights)]
    return np.sum(parts, axis=0) if parts else np.zeros(4)


def _standard_error(chunks, column, code, total, weights):
    """sqrt(sum(w^2 (l - mean)^2)) / sum(w), from second moments about other numbers."""
    weight = float(weights[1])
    if not weight or not math.isfinite(total):
        return math.nan
    mean, squares = total / weight, []
    for chunk in chunks:
        row = 0 if code is None else code + 1
        if row >= len(chunk.weights):
            continue
        first, second = chunk.totals[column] if code is None else chunk.by_group[column, code, 1:]
        shift = chunk.centers[column] - mean
        squares.append(second + 2.0 * shift * first + shift * shift * chunk.weights[row, 2])
    return math.sqrt(max(0.0, math.fsum(squares))) / weight
