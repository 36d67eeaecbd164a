"""Many losses of many predictions, over everything and over slices, in one pass.

(a) The data goes by in chunks of CHUNK samples that stay in the cache: for every loss and prediction the chunk's block sums
    and moments come from the loss's own kernel; for groups and pairs of predictions its values too, whose moments then come
    from `kernels.moments`. In smaller pieces the interpreter would take as long as the kernels.
(b) The mean is the sum of the block sums, as in `loss(y, f)`: the same bits.
(c) Second moments are taken about a number near the mean (the block's or the chunk's own), and moved to the mean of
    all chunks so far when a chunk is added to them: sum(l^2) - n mean^2 cancels.
(d) Chunks are independent and added in their order, so the result does not depend on the number of threads.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
import threading
import time
from collections import namedtuple
from dataclasses import fields
from typing import NamedTuple

import numpy as np

from .. import compile, drivers
from ..arrays import numpy as arrays
from ..dispatch import check_nulls, check_together, masked, read_each
from ..evaluate import BLOCK, PLAIN, domain_error, weight_sums
from ..evaluate_rows import _parameter_length, values_of_rows
from ..exact import ExactSum
from ..kernels.lanes import STRIP
from ..kernels.moments import MOMENTS
from ..kernels.rows import LANES, block_of
from ..loss import Loss
from ..registry import parse
from . import loops
from .metrics import Found, Samples, parse_metric
from .table import Difference, MetricRow, ScoreRow, Scores

CHUNK = 16 * BLOCK

CHUNKS_AT_ONCE = 32
"""Chunks (2M samples in all) whose sums are held before they are added up, in their order."""

NO_LABEL = "(null)"
"""The group of samples whose label is None or NaN. (A row's `group` None means everything.)"""


class Coded(NamedTuple):
    """Group labels by number: sample i belongs to group `labels[codes[i]]`."""

    codes: np.ndarray
    labels: list


def score(y_true, y_pred, losses, sample_weight=None, by=None, *, mask=None, metrics=(), intervals=None, nulls="raise",
          n_threads=None) -> Scores:
    """The mean of many losses of one or many predictions, with standard errors, in one pass.

    Parameters
    ----------
    y_true : array (n,), or what the losses of rows among `losses` take. All arrays may be of any kind that a loss takes,
        pandas' and polars' columns and Arrow's chunks among them, and are read where they lie.
    y_pred : array (n,), (n, C) for losses of rows, or a dict {name: array} of predictions to compare; every pair of them
        is compared sample by sample (`Scores.differences`).
    losses : losses, or their names as `fusedloss.get` and the command line take them ("huber:delta=15").
    sample_weight, mask : as for a loss; True in `mask` takes a sample out.
    by : array (n,) of group labels (strings, integers): the same numbers for every group as well. Samples whose label
        is None or NaN are the group "(null)".
    metrics : names of metrics of one-dimensional predictions: "accuracy", "precision", "recall", "f1" (of probabilities at
        the threshold 0.5; "f1:threshold=0.3", "f1:from_logits=true"), "auc" (exact; keeps the scores, 4 to 20 bytes a
        sample), "auc:bins=1000" (with a bound of its error), "ece" ("ece:bins=20"), "log_loss", "brier", "r2", "mae",
        "rmse"; of intervals "coverage", "width".
    intervals : a dict {name: (lower, upper)} of arrays (n,) for the metrics of intervals.
    nulls : "raise", or "ignore": a sample that is null in one of the arrays is taken out for all predictions. (NaN is a
        number.)

    Returns
    -------
    Scores : iterate over its rows, or ask for `scores["log_loss"].value`; `scores.metric("auc").value`.
    """
    intervals = intervals or {}
    if isinstance(y_pred, dict):
        scorer = Scorer(losses, y_pred, n_threads=n_threads, metrics=metrics, intervals=intervals)
    else:
        scorer = Scorer(losses, ["pred"], n_threads=n_threads, pred_names=["y_pred"], metrics=metrics, intervals=intervals)
    scorer.update(y_true, y_pred, sample_weight, by, mask, intervals, nulls)
    return scorer.result()


class Scorer:
    """Scores a stream: `update` with one part after another, then `result`.

    Parts of a multiple of CHUNK samples (65,536) give the same bits as one call on the whole. Errors call the targets
    and the weights by the names given here, and a prediction `y_pred['its name']`, or as `pred_names` says.
    """

    def __init__(self, losses, preds, *, n_threads=None, target="y_true", weight="sample_weight", pred_names=None,
                 metrics=(), intervals=()):
        started = time.perf_counter()
        losses = [losses] if isinstance(losses, (str, Loss)) else list(losses)
        self.labels = [loss if isinstance(loss, str) else label(loss) for loss in losses]
        self.losses = [parse(loss) if isinstance(loss, str) else loss for loss in losses]
        self.preds = list(preds)
        self.target, self.weight = target, weight
        self.pred_names = pred_names or [f"y_pred[{name!r}]" for name in self.preds]
        self.metrics = [parse_metric(text) for text in ([metrics] if isinstance(metrics, str) else metrics)]
        self.intervals = list(intervals)
        self._check()
        self.shown = len(self.losses)
        """Losses asked for; those behind are for metrics alone."""
        for name in dict.fromkeys(name for metric in self.metrics for name in metric.losses):
            if parse(name) not in self.losses:
                self.losses.append(parse(name))
        self.statistics = {}
        """By key and whose: the number of a prediction, or the name of an interval."""
        for metric in self.metrics:
            for whose in self.intervals if metric.of_interval else range(len(self.preds)):
                if metric.key and (metric.key, whose) not in self.statistics:
                    self.statistics[metric.key, whose] = metric.statistic()
        self.n_threads = n_threads
        self.pairs = list(itertools.combinations(range(len(self.preds)), 2))
        self.columns = [(i, a, None) for i in range(len(self.losses)) for a in range(len(self.preds))]
        self.columns += [(i, b, a) for i in range(self.shown) for a, b in self.pairs]
        """What is summed: (loss, prediction, None) or (loss, prediction, baseline), all by number."""
        self.kernels = functools.cache(functools.partial(_Kernels, self))
        self.lock = threading.Lock()
        self.groups = {}
        self.total = _Total(self.columns)
        self.rows = 0
        self.seconds = time.perf_counter() - started
        self.seconds_preparing = 0.0

    def _check(self):
        """Refuse what makes no sense together."""
        if not (self.losses or self.metrics) or not (self.preds or self.intervals):
            raise ValueError("nothing to score: give at least one loss or metric, and one prediction")
        for what, names in (("losses", self.labels), ("metrics", [metric.label for metric in self.metrics])):
            for name in (name for name in set(names) if names.count(name) > 1):
                raise ValueError(f"{what} holds {name!r} twice")
        of_intervals = [metric.label for metric in self.metrics if metric.of_interval]
        others = [*self.labels, *[metric.label for metric in self.metrics if not metric.of_interval]]
        if bool(of_intervals) != bool(self.intervals):
            raise ValueError(f"{of_intervals[0]} needs an interval: pass intervals= (--interval low,high)" if of_intervals
                             else "there are intervals and no metric of them: add the metrics coverage and width")
        if bool(others) != bool(self.preds):
            raise ValueError(f"{others[0]} needs a prediction" if others else
                             "there are predictions, and no loss or metric of them")
        for loss in self.losses:
            check_streams(loss)

    @property
    def counted(self):
        """How many samples counted so far."""
        return int(self.total.weights[0, 0])

    @property
    def skipped(self):
        """How many samples were taken out so far."""
        return int(self.total.weights[0, 3])

    def update(self, y_true, y_pred, sample_weight=None, by=None, mask=None, intervals=None, nulls="raise"):
        """Add samples; arguments as for `score`."""
        started = time.perf_counter()
        check_nulls(nulls)
        preds = [y_pred[key] for key in self.preds] if isinstance(y_pred, dict) else [y_pred]
        ends = [(f"{name} ({end})", a) for name in self.intervals
                for end, a in zip(("lower", "upper"), intervals[name], strict=True)]
        given = {self.target: y_true, self.weight: sample_weight, "mask": mask, **dict(ends),
                 **dict(zip(self.pred_names, preds, strict=False))}
        check_together(given | {"by": by})
        given, several = read_each(given, nulls)
        y_true, sample_weight, mask = (given[name] for name in (self.target, self.weight, "mask"))
        y_pred = {key: given[name] for key, name in zip(self.preds, self.pred_names, strict=False)}
        intervals = {name: (given[f"{name} (lower)"], given[f"{name} (upper)"]) for name in self.intervals}
        mask = masked(mask, several, np.shape(y_true)[:1])
        part = self.part(self.rows, y_true, y_pred, sample_weight, by, mask, intervals)
        threads = drivers.choose("threads", part.size, self.n_threads)[1]
        starts = range(0, part.rows, CHUNK)
        for k in range(0, len(starts), CHUNKS_AT_ONCE):
            self.add(_computed(part, starts[k: k + CHUNKS_AT_ONCE], threads))
        self.rows += part.rows
        self.seconds += time.perf_counter() - started

    def add(self, chunks):
        """Add the chunks of a part, which come in the order of the samples."""
        for chunk in chunks:
            self.total.add(chunk)
            for key, found in chunk.statistics.items():
                self.statistics[key].add(found)

    def part(self, offset, y_true, y_pred, sample_weight=None, by=None, mask=None, intervals=None):
        """Samples offset, offset + 1 ... of the stream, ready to be computed; by any thread. Arguments as for `score`."""
        rows = any(loss.rowwise for loss in self.losses)
        y = column(self.target, y_true, rows=rows)
        n = len(y)
        f = [column(name, y_pred[key], n, rows) for key, name in zip(self.preds, self.pred_names, strict=True)]
        for name, array in zip(self.pred_names, f, strict=False):
            if array.ndim > 1 and any(not metric.of_interval for metric in self.metrics):
                raise ValueError(f"{name} has shape {array.shape}; metrics take one number per sample")
        ends = {name: tuple(column(f"{name} {end}", a, n) for end, a in zip(("(lower)", "(upper)"), intervals[name],
                                                                            strict=True)) for name in self.intervals}
        w = None if sample_weight is None else column(self.weight, sample_weight, n)
        mask = None if mask is None else arrays.mask_like(mask, np.broadcast_to(False, n))
        by = by if by is None or isinstance(by, Coded) else np.asarray(by)
        labels = by.codes if isinstance(by, Coded) else by
        if labels is not None and labels.shape != (n,):
            raise ValueError(f"by has shape {labels.shape}; it must have one label per sample, shape ({n},)")
        with self.lock:
            codes = None if by is None else _codes(by, self.groups)
            preparing = time.perf_counter()
            part = _Part(self, offset, y, f, w, mask, codes, ends)
            self.seconds_preparing += time.perf_counter() - preparing
        return part

    def result(self) -> Scores:
        """What was found so far."""
        started = time.perf_counter()
        values, errors, weights = self.total.result()
        groups = [(None, 0), *sorted(((name, code + 1) for name, code in self.groups.items()),
                                     key=lambda item: (str(type(item[0])), item[0]))]
        rows, differences, metrics = [], [], []
        of_losses = {}
        for name, k in groups:
            n, weight, _, skipped = weights[k].tolist()
            for (i, a, b), value, error in zip(self.columns, values[:, k].tolist(), errors[:, k].tolist(), strict=True):
                numbers = (name, value, error, int(n), weight, int(skipped))
                if b is not None:
                    differences.append(Difference(self.labels[i], self.preds[a], self.preds[b], *numbers))
                    continue
                of_losses[i, a] = ScoreRow(self.losses[i].name, self.preds[a], *numbers)
                if i < self.shown:
                    rows.append(of_losses[i, a]._replace(loss=self.labels[i]))
            metrics += self._metrics(name, k, of_losses, (int(n), weight, int(skipped)))
        order = {name: k for k, name in enumerate(self.labels)}
        rows.sort(key=lambda row: (row.group is not None, order[row.loss]))
        differences.sort(key=lambda row: (row.group is not None, order[row.loss]))
        order = {metric.label: k for k, metric in enumerate(self.metrics)}
        metrics.sort(key=lambda row: (row.group is not None, order[row.metric]))
        return Scores(rows, differences, self.rows, metrics=metrics, seconds=self.seconds + time.perf_counter() - started,
                      seconds_preparing=self.seconds_preparing)

    def _metrics(self, group, k, of_losses, counts):
        """The metrics of one group."""
        for metric in self.metrics:
            behind = [self.losses.index(parse(name)) for name in metric.losses]
            for whose in self.intervals if metric.of_interval else range(len(self.preds)):
                statistic = self.statistics.get((metric.key, whose))
                rows = [of_losses[i, whose] for i in behind]
                found = metric.value(rows, statistic, k) if counts[0] else Found(math.nan)
                yield MetricRow(metric.label, whose if metric.of_interval else self.preds[whose], group, found.value,
                                found.standard_error, *counts, found.details)


def _computed(part, starts, threads):
    """The sums of the chunks that start there."""
    chunks = [None] * len(starts)

    def work(driver, first, last, step):
        for k in range(first, last):
            chunks[k] = part.chunk(starts[k])

    drivers.run(work, "threads" if threads > 1 and len(starts) > 1 else "serial", threads, len(starts))
    return chunks


_buffers = threading.local()


def _scratch(k, F):
    """The k-th array of CHUNK values of this thread: the pages of a new one take as long as a light loss."""
    found = _buffers.__dict__.get((k, F))
    if found is None:
        found = _buffers.__dict__[k, F] = np.empty(CHUNK, F)
    return found


class _Chunk:
    """The sums of one chunk. Column c of the moments is about the number `centers[c]`."""

    def __init__(self, losses, preds, columns, blocks, weight_blocks, groups):
        self.sums = np.zeros((losses, preds, blocks))
        """sum(w l) of each block."""
        self.weight_sums = np.zeros(weight_blocks)
        self.centers = np.zeros(columns)
        self.moments = np.zeros((columns, 1 + groups, 3))
        """sum(d), sum(w d), sum(d^2) with d = w l - w center: of everything in row 0 (there without the first), then of
        each group."""
        self.weights = np.zeros((1 + groups, 4))
        """n, sum(w), sum(w^2), skipped: of everything in row 0, then of each group."""
        self.statistics = {}


class _Total:
    """What chunks add up to, each column and group about its own mean so far."""

    def __init__(self, columns):
        self.columns = columns
        self.sums, self.weight_sum = [ExactSum() for _ in columns], ExactSum()
        """Of all block sums, over everything."""
        self.weights, self.state = np.zeros((1, 4)), np.zeros((5, len(columns), 1))

    def add(self, chunk):
        """Add a chunk's sums; its groups are those known before and maybe new ones."""
        groups = len(chunk.weights) - len(self.weights)
        if groups > 0:
            self.weights = np.pad(self.weights, ((0, groups), (0, 0)))
            self.state = np.pad(self.state, ((0, 0), (0, 0), (0, groups)))
        self.weight_sum.add(chunk.weight_sums.tolist())
        sums = np.empty(len(self.columns))
        for k, (i, a, b) in enumerate(self.columns):
            of_blocks = chunk.sums[i, a].tolist()
            if b is not None:
                of_blocks = list(map(operator.sub, of_blocks, chunk.sums[i, b].tolist()))
            self.sums[k].add(of_blocks)
            sums[k] = sum(of_blocks)
        loops.merge()(sums, chunk.centers, chunk.moments, chunk.weights, self.weights, self.state)

    def result(self):
        """Means and standard errors (columns, groups), and the weights of the groups; group 0 is everything."""
        weights, (means, first, second) = self.weights.copy(), self.state[:3].copy()
        weights[0, 1] = self.weight_sum.value()
        exact = np.array([total.value() for total in self.sums])
        shift = means.copy()
        means[:, 0] = _quotient(exact, weights[0, 1])
        with np.errstate(invalid="ignore", over="ignore"):
            shift -= means
            second = second + 2.0 * shift * first + shift * shift * weights[:, 2]
            errors = _quotient(np.sqrt(np.maximum(second, 0.0)), weights[:, 1])
        empty = weights[:, 1] == 0
        return np.where(empty, np.nan, means), np.where(empty | ~np.isfinite(means), np.nan, errors), weights


def _quotient(a, weight):
    """a / weight, and 0 where there is no weight."""
    return np.divide(a, weight, out=np.zeros(np.broadcast_shapes(np.shape(a), np.shape(weight))), where=weight != 0)


class _Kernels:
    """The kernels for arrays of these dtypes."""

    def __init__(self, scorer, y_dtype, f_dtypes, w_dtype, masked, grouped):
        self.values, self.thetas = {}, {}
        for i, loss in enumerate(scorer.losses):
            for a, f_dtype in enumerate(f_dtypes):
                F = arrays.COMPUTED_IN.get(f_dtype, np.float64)
                if loss.rowwise:
                    self.values[i, a] = _Rows(F), None
                    continue
                alone = not grouped and not (scorer.pairs and i < scorer.shown)
                request = compile.Request(F=F, y=y_dtype if y_dtype in PLAIN else np.dtype(F), w=w_dtype, mask=masked,
                                          sums="value", v=None if alone else "value", g=None, h=None, moments=alone)
                self.values[i, a] = request, compile.kernel(loss, request, "nogil")
                self.thetas[i, a] = np.array(compile.split_parameters(loss)[0], F)
        kinds = {F: compile.moments(compile.Moments(F, F, None, w_dtype, masked, grouped))
                 for F in {request.F for request, _ in self.values.values()}}
        self.moments = {(a, None): kinds[request.F] for (_, a), (request, _) in self.values.items()}
        for a, b in scorer.pairs if scorer.shown else ():
            Fs = self.values[0, b][0].F, self.values[0, a][0].F
            self.moments[b, a] = compile.moments(compile.Moments(Fs[0], *Fs, w_dtype, masked, grouped))


class _Part:
    """The arrays of one update, and how a chunk of them is computed."""

    def __init__(self, scorer, offset, y, f, w, mask, codes, intervals):
        self.scorer, self.offset, self.y, self.f, self.w, self.mask, self.codes = scorer, offset, y, f, w, mask, codes
        self.intervals, self.groups = intervals, 0 if codes is None else len(scorer.groups)
        self.rows, self.size = len(y), max(a.size for a in (y, *f))
        self.weight_type = min((arrays.COMPUTED_IN.get(pred.dtype, np.float64) for pred in f),
                               key=lambda F: np.dtype(F).itemsize, default=np.float64)
        """Weights are rounded to the narrowest prediction's dtype, in products and in sums of weights alike."""
        self.block = min((blocks(loss, pred)[0] for loss in scorer.losses for pred in f), default=BLOCK)
        """Samples per block; of losses of rows maybe fewer than of the others, which leave block sums at 0 then."""
        self.kernels = scorer.kernels(y.dtype, tuple(pred.dtype for pred in f),
                                      None if w is None else np.dtype(self.weight_type), mask is not None, codes is not None)

    def chunks(self):
        """The sums of all its chunks."""
        return [self.chunk(start) for start in range(0, self.rows, CHUNK)]

    def chunk(self, start):
        """The sums over the samples of the chunk that starts there."""
        scorer, stop = self.scorer, min(self.rows, start + CHUNK)
        n_losses, n_preds = len(scorer.losses), len(scorer.preds)
        singles = n_losses * n_preds
        n = stop - start
        state = _Chunk(n_losses, n_preds, len(scorer.columns), -(-n // self.block), -(-n // BLOCK),
                       self.groups)
        with np.errstate(over="ignore"):  # weight_sums says which
            w = section(self.w, start, stop, self.weight_type)
        counting = w, section(self.mask, start, stop), section(self.codes, start, stop)
        values = [_scratch(a, self.kernels.values[0, a][0].F)[:n] for a in range(n_preds if n_losses else 0)]
        self._weigh(state, *counting, start, stop)
        for i in range(n_losses):
            for a in range(n_preds):
                column = i * n_preds + a
                if self._values(state, column, i, a, start, stop, *counting[:2], values[a]):
                    self._moments(state, column, i, a, None, values, *counting)
            for k, (a, b) in enumerate(scorer.pairs if i < scorer.shown else ()):
                self._moments(state, singles + i * len(scorer.pairs) + k, i, b, a, values, *counting)
        self._statistics(state, *counting, start, stop)
        return state

    def _statistics(self, state, w, mask, codes, start, stop):
        """The statistics of the metrics, over the samples that count."""
        scorer, offset = self.scorer, self.offset + start
        kept = None if mask is None else ~mask
        if w is not None:
            kept = w != 0 if kept is None else kept & (w != 0)
        where = (lambda i: offset + i) if kept is None else (lambda i: offset + int(np.flatnonzero(kept)[i]))

        def counted(a):
            return a if a is None or kept is None else a[kept]

        y, w, codes, samples = counted(section(self.y, start, stop)), counted(w), counted(codes), {}
        for key, whose in scorer.statistics:
            if whose not in samples:
                low, high = self.intervals[whose] if isinstance(whose, str) else (self.f[whose], None)
                name = whose if isinstance(whose, str) else scorer.pred_names[whose]
                low, high = (None if a is None else counted(section(a, start, stop, arrays.COMPUTED_IN.get(a.dtype, "f8")))
                             for a in (low, high))
                samples[whose] = Samples((scorer.target, name), y, low, high, w, codes,
                                         self.groups, where)
            state.statistics[key, whose] = scorer.statistics[key, whose].chunk(samples[whose])

    def _values(self, state, column, i, a, start, stop, w, mask, values):
        """The block sums of w l of samples start..stop, and their moments, or else (True) `values` filled with w l."""
        request, kernel = self.kernels.values[i, a]
        sums = state.sums[i, a]
        if kernel is None:
            self._values_of_rows(i, a, start, stop, w, mask, values, sums)
            return True
        n_blocks = -(-(stop - start) // BLOCK)
        partials = np.empty((n_blocks, 2 + MOMENTS))
        y, f = section(self.y, start, stop, request.y), section(self.f[a], start, stop, request.F)
        kernel(self.kernels.thetas[i, a], y, f, w, mask, request.F(1.0), partials, partials, values if request.v else None,
               None, None, 0, n_blocks, 1)
        if np.count_nonzero(partials[:, 1]):  # in a third of the time of any()
            names = self.scorer.target, self.scorer.pred_names[a]
            raise domain_error(self.scorer.losses[i], request.F, y, f, w, mask, names, self.offset + start)
        sums[:n_blocks] = partials[:, 0]
        if request.moments:
            state.centers[column], *state.moments[column, 0, 1:] = partials[-1, 2:5]
        return not request.moments

    def _values_of_rows(self, i, a, start, stop, w, mask, values, sums):
        """The same for a loss of rows."""
        loss, y, f = self.scorer.losses[i], self.y[start:stop], self.f[a][start:stop]
        names = self.scorer.target, self.scorer.pred_names[a]
        values_of_rows(loss, y, f, w, mask, values, names, self.offset + start)
        loops.block_sums(values.dtype.type)(values, *blocks(loss, f), sums)

    def _moments(self, state, column, i, a, b, values, w, mask, codes):
        """The second moments of a column, about its mean in this chunk."""
        weight = state.weights[0, 1]
        total = state.sums[i, a].sum() - (0.0 if b is None else state.sums[i, b].sum())
        state.centers[column] = total / weight if weight and math.isfinite(total) else 0.0
        self.kernels.moments[a, b](values[a], None if b is None else values[b], w, mask, codes, state.centers[column],
                           state.moments[column, 0, 1:], None if codes is None else state.moments[column, 1:])

    def _weigh(self, state, w, mask, codes, start, stop):
        """Add the counts and sums of the weights themselves."""
        n = stop - start
        if w is None and mask is None:
            state.weight_sums[:] = BLOCK
            state.weight_sums[-1] = n - (len(state.weight_sums) - 1) * BLOCK
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
                self.w[start:stop], mask, self.weight_type, name=self.scorer.weight, offset=self.offset + start)
            kept = (weights != 0).astype(np.float64)
        sums = (kept, weights, weights * weights, 1 - kept)
        state.weights[0] += [x.sum() for x in sums]
        if codes is not None:
            state.weights[1:] += np.column_stack([np.bincount(codes, x, len(state.weights) - 1) for x in sums])


def check_streams(loss: Loss) -> None:
    """Refuse a loss whose numbers depend on more than the sample they are about."""
    if getattr(loss, "class_weight", None) is not None or getattr(loss, "ignore_index", None) is not None:
        raise ValueError(f"{label(loss)}: scores weigh all losses alike; pass class weights as sample_weight= and "
                         "labels to ignore as mask=")
    if loss.by_data:
        raise ValueError(f"{loss!r} takes its units from all targets, which a stream does not have: pass the unit, as in "
                         "loss.scaled(2.5)")


def blocks(loss: Loss, f) -> tuple[int, int]:
    """(samples per block, lanes) of the kernels that sum the losses of these predictions."""
    if not loss.rowwise:
        return BLOCK, STRIP
    return block_of(_parameter_length(loss) if loss.single_score else f.shape[1]), LANES


def label(loss: Loss) -> str:
    """A loss as the command line spells it, with the parameters that are not the defaults: `huber:delta=15`."""
    values = {spec.name: getattr(loss, spec.name) for spec in fields(loss)}
    values = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in values.items()}
    given = [f"{name}={str(value).lower().removesuffix('.0')}" for name, value in values.items()
             if value != loss.__dataclass_fields__[name].default]
    return loss.name + (":" + ",".join(given) if given else "")


_Rows = namedtuple("_Rows", "F")


def column(name, x, size=None, rows=False, other="y_true"):
    """A column of the data: (n,), or with `rows` also (n, C); as many samples as `other` has."""
    array = arrays.view(name, x)
    if array.ndim != 1 and not (rows and array.ndim == 2):
        raise ValueError(f"{name} has shape {array.shape}; scoring takes one-dimensional arrays, one number per sample"
                         + (", and here also one row per sample" if rows else ""))
    if size is not None and len(array) != size:
        raise ValueError(f"{name} has {len(array)} samples and {other} has {size}")
    return array


def section(a, low, high, dtype=None):
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
