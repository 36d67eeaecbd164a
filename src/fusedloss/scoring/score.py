"""Many losses of many predictions, over everything and over slices, in one pass.

(a) The data goes by in chunks of CHUNK samples that stay in the cache: for every loss and prediction the chunk's values
    and block sums come from the loss's own kernel, then their moments from `kernels.cpu.moments`. In smaller pieces the
    interpreter would take as long as the kernels.
(b) The mean is the sum of the block sums, as in `loss(y, f)`: the same bits.
(c) Second moments are taken about a number near the mean (the chunk's own), and moved to the mean of
    all chunks so far when a chunk is added to them: sum(l^2) - n mean^2 cancels.
(d) Chunks are independent and added in their order, so the result does not depend on the number of threads.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import namedtuple
from dataclasses import fields
from typing import NamedTuple

import numpy as np

from .. import compile, drivers
from ..arrays import numpy as arrays
from ..evaluate import BLOCK, PLAIN, domain_error, ordered_sum, weight_sums
from ..evaluate_rows import values_of_rows
from ..loss import Loss
from ..registry import parse
from .table import Difference, ScoreRow, Scores

CHUNK = 16 * BLOCK

CHUNKS_AT_ONCE = 32
"""Chunks (2M samples in all) whose sums are held before they are added up, in their order."""

NO_LABEL = "(null)"
"""The group of samples whose label is None or NaN. (A row's `group` None means everything.)"""


class Coded(NamedTuple):
    """Group labels by number: sample i belongs to group `labels[codes[i]]`."""

    codes: np.ndarray
    labels: list


def score(y_true, y_pred, losses, sample_weight=None, by=None, *, mask=None, n_threads=None) -> Scores:
    """The mean of many losses of one or many predictions, with standard errors, in one pass.

    Parameters
    ----------
    y_true : array (n,), or what the losses of rows among `losses` take.
    y_pred : array (n,), (n, C) for losses of rows, or a dict {name: array} of predictions to compare; every pair of them
        is compared sample by sample (`Scores.differences`).
    losses : losses, or their names as `fusedloss.get` and the command line take them ("huber:delta=15").
    sample_weight, mask : as for a loss; True in `mask` takes a sample out.
    by : array (n,) of group labels (strings, integers): the same numbers for every group as well. Samples whose label
        is None or NaN are the group "(null)".

    Returns
    -------
    Scores : iterate over its rows, or ask for `scores["log_loss"].value`.
    """
    if isinstance(y_pred, dict):
        scorer = Scorer(losses, y_pred, n_threads=n_threads)
    else:
        scorer = Scorer(losses, ["pred"], n_threads=n_threads, pred_names=["y_pred"])
    scorer.update(y_true, y_pred, sample_weight, by, mask)
    return scorer.result()


class Scorer:
    """Scores a stream: `update` with one part after another, then `result`.

    Parts of a multiple of CHUNK samples (65,536) give the same bits as one call on the whole. Errors call the targets
    and the weights by the names given here, and a prediction `y_pred['its name']`, or as `pred_names` says.
    """

    def __init__(self, losses, preds, *, n_threads=None, target="y_true", weight="sample_weight", pred_names=None):
        started = time.perf_counter()
        losses = [losses] if isinstance(losses, (str, Loss)) else list(losses)
        self.labels = [loss if isinstance(loss, str) else label(loss) for loss in losses]
        self.losses = [parse(loss) if isinstance(loss, str) else loss for loss in losses]
        self.preds = list(preds)
        self.target, self.weight = target, weight
        self.pred_names = pred_names or [f"y_pred[{name!r}]" for name in self.preds]
        if not self.losses or not self.preds:
            raise ValueError("nothing to score: give at least one loss and one prediction")
        for name in (name for name in set(self.labels) if self.labels.count(name) > 1):
            raise ValueError(f"losses holds {name!r} twice")
        for loss in self.losses:
            if getattr(loss, "class_weight", None) is not None or getattr(loss, "ignore_index", None) is not None:
                raise ValueError(f"{label(loss)}: scores weigh all losses alike; pass class weights as sample_weight= and "
                                 "labels to ignore as mask=")
        self.n_threads = n_threads
        self.pairs = list(itertools.combinations(range(len(self.preds)), 2))
        self.columns = [(i, a, None) for i in range(len(self.losses)) for a in range(len(self.preds))]
        self.columns += [(i, b, a) for i in range(len(self.losses)) for a, b in self.pairs]
        """What is summed: (loss, prediction, None) or (loss, prediction, baseline), all by number."""
        self.groups = {}
        self.total = _Total(self.columns)
        self.rows = 0
        self.seconds = time.perf_counter() - started
        self.seconds_preparing = 0.0

    def update(self, y_true, y_pred, sample_weight=None, by=None, mask=None):
        """Add samples; arguments as for `score`."""
        started = time.perf_counter()
        rows = any(loss.rowwise for loss in self.losses)
        y = _column(self.target, y_true, rows=rows)
        n = len(y)
        if isinstance(y_pred, dict):
            f = [_column(name, y_pred[key], n, rows) for key, name in zip(self.preds, self.pred_names, strict=True)]
        else:
            f = [_column("y_pred", y_pred, n, rows)]
        w = None if sample_weight is None else _column(self.weight, sample_weight, n)
        mask = None if mask is None else arrays.mask_like(mask, np.broadcast_to(False, n))
        by = by if by is None or isinstance(by, Coded) else np.asarray(by)
        labels = by.codes if isinstance(by, Coded) else by
        if labels is not None and labels.shape != (n,):
            raise ValueError(f"by has shape {labels.shape}; it must have one label per sample, shape ({n},)")
        codes = None if by is None else _codes(by, self.groups)
        preparing = time.perf_counter()
        part = _Part(self, y, f, w, mask, codes)
        self.seconds_preparing += time.perf_counter() - preparing
        threads = drivers.choose("threads", f[0].size, self.n_threads)[1]
        starts = range(0, n, CHUNK)
        for k in range(0, len(starts), CHUNKS_AT_ONCE):
            for chunk in _computed(part, starts[k: k + CHUNKS_AT_ONCE], threads):
                self.total.add(chunk)
        self.rows += n
        self.seconds += time.perf_counter() - started

    def result(self) -> Scores:
        """What was found so far."""
        started = time.perf_counter()
        values, errors, weights = self.total.result()
        groups = [(None, 0), *sorted(((name, code + 1) for name, code in self.groups.items()),
                                     key=lambda item: (str(type(item[0])), item[0]))]
        rows, differences = [], []
        for name, k in groups:
            n, weight, _, skipped = weights[k].tolist()
            for (i, a, b), value, error in zip(self.columns, values[:, k].tolist(), errors[:, k].tolist(), strict=True):
                numbers = (name, value, error, int(n), weight, int(skipped))
                if b is None:
                    rows.append(ScoreRow(self.labels[i], self.preds[a], *numbers))
                else:
                    differences.append(Difference(self.labels[i], self.preds[a], self.preds[b], *numbers))
        order = {name: k for k, name in enumerate(self.labels)}
        rows.sort(key=lambda row: (row.group is not None, order[row.loss]))
        differences.sort(key=lambda row: (row.group is not None, order[row.loss]))
        return Scores(rows, differences, self.rows, seconds=self.seconds + time.perf_counter() - started,
                      seconds_preparing=self.seconds_preparing)


def _computed(part, starts, threads):
    """The sums of the chunks that start there."""
    chunks = [None] * len(starts)

    def work(driver, first, last, step):
        for k in range(first, last):
            chunks[k] = part.chunk(starts[k], min(len(part.y), starts[k] + CHUNK))

    drivers.run(work, "threads" if threads > 1 and len(starts) > 1 else "serial", threads, len(starts))
    return chunks


class _Chunk:
    """The sums of one chunk. Column c of the moments is about the number `centers[c]`."""

    def __init__(self, losses, preds, columns, blocks, groups):
        self.sums = np.zeros((losses, preds, blocks))
        """sum(w l) of each block."""
        self.weight_sums = np.zeros(blocks)
        self.centers = np.zeros(columns)
        self.moments = np.zeros((columns, 1 + groups, 3))
        """sum(d), sum(w d), sum(d^2) with d = w l - w center: of everything in row 0 (there without the first), then of
        each group."""
        self.weights = np.zeros((1 + groups, 4))
        """n, sum(w), sum(w^2), skipped: of everything in row 0, then of each group."""


class _Total:
    """What chunks add up to, each column and group about its own mean so far."""

    def __init__(self, columns):
        self.columns = columns
        self.sums, self.weight_sums = [], []
        self.weights = np.zeros((1, 4))
        self.means, self.first, self.second, self.total, self.lost = np.zeros((5, len(columns), 1))

    def add(self, chunk):
        """Add a chunk's sums; its groups are those known before and maybe new ones."""
        self.sums.append(chunk.sums)
        self.weight_sums.append(chunk.weight_sums)
        self._grow(len(chunk.weights) - len(self.weights))
        weights = self.weights + chunk.weights
        sums, first, second = np.moveaxis(chunk.moments, 2, 0)
        centers = chunk.centers[:, None]
        sums = sums + centers * chunk.weights[:, 1]
        sums[:, 0] = self._over_everything(chunk.sums.sum(axis=2))
        with np.errstate(invalid="ignore", over="ignore"):
            self._add_to_total(sums)
            means = _quotient(self.total + self.lost, weights[:, 1])
            old = _moved(self.first, self.second, self.weights[:, 2], self.means - means)
            new = _moved(first, second, chunk.weights[:, 2], centers - means)
            self.first, self.second = old[0] + new[0], old[1] + new[1]
        self.means, self.weights = means, weights

    def result(self):
        """Means and standard errors (columns, groups), and the weights of the groups; group 0 is everything."""
        weights, means = self.weights.copy(), self.means.copy()
        if self.sums:
            weights[0, 1] = ordered_sum(np.concatenate(self.weight_sums))
            blocks = self._over_everything(np.concatenate(self.sums, axis=2))
            means[:, 0] = _quotient(np.array([ordered_sum(sums) for sums in blocks]), weights[0, 1])
        with np.errstate(invalid="ignore", over="ignore"):
            _, second = _moved(self.first, self.second, weights[:, 2], self.means - means)
            errors = _quotient(np.sqrt(np.maximum(second, 0.0)), weights[:, 1])
        empty = weights[:, 1] == 0
        return np.where(empty, np.nan, means), np.where(empty | ~np.isfinite(means), np.nan, errors), weights

    def _over_everything(self, sums):
        """The sums (losses, predictions, ...) of each column."""
        return [sums[i, a] if b is None else sums[i, a] - sums[i, b] for i, a, b in self.columns]

    def _grow(self, groups):
        if groups:
            self.weights = np.pad(self.weights, ((0, groups), (0, 0)))
            for name in ("means", "first", "second", "total", "lost"):
                setattr(self, name, np.pad(getattr(self, name), ((0, 0), (0, groups))))

    def _add_to_total(self, sums):
        """total += sums, and what its rounding lost goes to `lost`."""
        total = self.total + sums
        kept = total - self.total
        lost = self.lost + ((self.total - (total - kept)) + (sums - kept))
        self.total, self.lost = total, np.where(np.isfinite(total), lost, 0.0)


def _moved(first, second, squared_weights, shift):
    """sum(w d) and sum(d^2), about a number smaller by `shift`."""
    return first + shift * squared_weights, second + 2.0 * shift * first + shift * shift * squared_weights


def _quotient(a, weight):
    """a / weight, and 0 where there is no weight."""
    return np.divide(a, weight, out=np.zeros(np.broadcast_shapes(np.shape(a), np.shape(weight))), where=weight != 0)


class _Part:
    """The arrays of one update, and how a chunk of them is computed."""

    def __init__(self, scorer, y, f, w, mask, codes):
        self.scorer, self.y, self.f, self.w, self.mask, self.codes = scorer, y, f, w, mask, codes
        self.weight_type = min((arrays.COMPUTED_IN.get(pred.dtype, np.float64) for pred in f),
                               key=lambda F: np.dtype(F).itemsize)
        """Weights are rounded to the narrowest prediction's dtype, in products and in sums of weights alike."""
        w_dtype = None if w is None else np.dtype(self.weight_type)
        self.kernels, self.thetas = {}, {}
        for i, loss in enumerate(scorer.losses):
            for a, pred in enumerate(f):
                F = arrays.COMPUTED_IN.get(pred.dtype, np.float64)
                if loss.rowwise:
                    self.kernels[i, a] = _Rows(F), None
                    continue
                request = compile.Request(F=F, y=y.dtype if y.dtype in PLAIN else np.dtype(F), w=w_dtype,
                                          mask=mask is not None, sums="value", v="value", g=None, h=None)
                self.kernels[i, a] = request, compile.kernel(loss, request, "nogil")
                self.thetas[i, a] = np.array(compile.split_parameters(loss)[0], F)
        kinds = {F: compile.moments(compile.Moments(F, F, None, w_dtype, mask is not None, codes is not None))
                 for F in {request.F for request, _ in self.kernels.values()}}
        self.moments = {(a, None): kinds[self.kernels[0, a][0].F] for a in range(len(f))}
        for a, b in scorer.pairs:
            Fs = self.kernels[0, b][0].F, self.kernels[0, a][0].F
            self.moments[b, a] = compile.moments(
                compile.Moments(Fs[0], *Fs, w_dtype, mask is not None, codes is not None))

    def chunk(self, start, stop):
        """The sums over samples start..stop."""
        scorer = self.scorer
        n_losses, n_preds = len(scorer.losses), len(scorer.preds)
        singles = n_losses * n_preds
        state = _Chunk(n_losses, n_preds, singles + n_losses * len(scorer.pairs), -(-(stop - start) // BLOCK),
                       len(scorer.groups))
        with np.errstate(over="ignore"):  # weight_sums says which
            weights = _section(self.w, start, stop, self.weight_type)
        section = weights, _section(self.mask, start, stop), _section(self.codes, start, stop)
        values = [np.empty(stop - start, self.kernels[0, a][0].F) for a in range(n_preds)]
        self._weigh(state, *section, start, stop)
        for i in range(n_losses):
            for a in range(n_preds):
                self._values(i, a, start, stop, *section[:2], values[a], state.sums[i, a])
                self._moments(state, i * n_preds + a, i, a, None, values, *section)
            for k, (a, b) in enumerate(scorer.pairs):
                self._moments(state, singles + i * len(scorer.pairs) + k, i, b, a, values, *section)
        return state

    def _values(self, i, a, start, stop, w, mask, values, sums):
        """Fill `values` with w*l of samples start..stop, and `sums` with its block sums."""
        request, kernel = self.kernels[i, a]
        if kernel is None:
            self._values_of_rows(i, a, start, stop, w, mask, values, sums)
            return
        partials = np.empty((len(sums), 2))
        y, f = _section(self.y, start, stop, request.y), _section(self.f[a], start, stop, request.F)
        kernel(self.thetas[i, a], y, f, w, mask, request.F(1.0), partials, partials, values, None, None,
               0, len(sums), 1)
        if partials[:, 1].any():
            names = self.scorer.target, self.scorer.pred_names[a]
            raise domain_error(self.scorer.losses[i], request.F, y, f, w, mask, names, self.scorer.rows + start)
        sums[:] = partials[:, 0]

    def _values_of_rows(self, i, a, start, stop, w, mask, values, sums):
        """The same for a loss of rows."""
        loss, y, f = self.scorer.losses[i], self.y[start:stop], self.f[a][start:stop]
        names = self.scorer.target, self.scorer.pred_names[a]
        values_of_rows(loss, y, f, w, mask, values, names, self.scorer.rows + start)
        sums[:] = [values[k: k + BLOCK].sum(dtype=np.float64) for k in range(0, stop - start, BLOCK)]

    def _moments(self, state, column, i, a, b, values, w, mask, codes):
        """The second moments of a column, about its mean in this chunk."""
        weight = state.weights[0, 1]
        total = state.sums[i, a].sum() - (0.0 if b is None else state.sums[i, b].sum())
        state.centers[column] = total / weight if weight and math.isfinite(total) else 0.0
        self.moments[a, b](values[a], None if b is None else values[b], w, mask, codes, state.centers[column],
                           state.moments[column, 0, 1:], None if codes is None else state.moments[column, 1:])

    def _weigh(self, state, w, mask, codes, start, stop):
        """Add the counts and sums of the weights themselves."""
        n = stop - start
        if w is None and mask is None:
            state.weight_sums[:] = np.diff(np.append(np.arange(0, n, BLOCK), n))
            of_one = np.array([1.0, 1.0, 1.0, 0.0])
            state.weights[0] += n * of_one
            if codes is not None:
                state.weights[1:] += np.outer(np.bincount(codes, minlength=len(state.weights) - 1), of_one)
            return
        kept = np.ones(n) if mask is None else (~mask).astype(np.float64)
        weights = kept if w is None else np.where(kept, w, 0.0)
        if w is None:
            state.weight_sums[:] = np.add.reduceat(kept, np.arange(0, n, BLOCK))
        else:
            state.weight_sums[:] = weight_sums(
                self.w[start:stop], mask, self.weight_type, name=self.scorer.weight, offset=self.scorer.rows + start)
            kept = (weights != 0).astype(np.float64)
        sums = (kept, weights, weights * weights, 1 - kept)
        state.weights[0] += [x.sum() for x in sums]
        if codes is not None:
            state.weights[1:] += np.column_stack([np.bincount(codes, x, len(state.weights) - 1) for x in sums])


def label(loss: Loss) -> str:
    """A loss as the command line spells it, with the parameters that are not the defaults: `huber:delta=15`."""
    values = {spec.name: getattr(loss, spec.name) for spec in fields(loss)}
    values = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in values.items()}
    given = [f"{name}={str(value).lower().removesuffix('.0')}" for name, value in values.items()
             if value != loss.__dataclass_fields__[name].default]
    return loss.name + (":" + ",".join(given) if given else "")


_Rows = namedtuple("_Rows", "F")


def _column(name, x, size=None, rows=False):
    array = arrays.view(name, x)
    if array.ndim != 1 and not (rows and array.ndim == 2):
        raise ValueError(f"{name} has shape {array.shape}; scoring takes one-dimensional arrays, one number per sample"
                         + (", and here also one row per sample" if rows else ""))
    if size is not None and len(array) != size:
        raise ValueError(f"{name} has {len(array)} samples and y_true has {size}")
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
    if isinstance(by, Coded):
        return _known(by.labels, groups)[by.codes]
    codes = np.empty(by.size, np.int32)
    for start in range(0, by.size, CHUNK):
        part = by[start:start + CHUNK]
        if by.dtype == object:  # a dictionary needs no order among labels of several types, and is faster than sorting
            codes[start:start + CHUNK] = _known(part.tolist(), groups)
        else:
            labels, inverse = np.unique(part, return_inverse=True)
            codes[start:start + CHUNK] = _known(labels.tolist(), groups)[inverse]
    return codes


def _known(labels, groups):
    """The codes of these labels."""
    return np.array([groups.setdefault(NO_LABEL if name is None or name != name else name, len(groups))
                     for name in labels], np.int32)
