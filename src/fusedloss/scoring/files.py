"""Scoring columns of files, which are read as a stream: a few parts of it are in memory at most.

A part has a multiple of CHUNK rows, wherever files and their row groups end, so the numbers are those of one call on all of
it, bit for bit. Row groups of Parquet files are decoded and scored by several threads; what is left over at their ends is
put together to chunks, and all is added in its order. A null is an error, or takes its row out for all predictions alike, so
that models are compared on the same rows.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import re
import threading
import time
from collections import Counter
from typing import NamedTuple

import numpy as np

from .. import drivers
from .score import CHUNK, Coded, Scorer
from .sources import STDIN, DataError, arrow, errors_of, files_of, format_of, opened
from .table import Scores

BATCH_ROWS = 4 * CHUNK
"""Rows decoded at a time (262,144): ten float64 columns of them are 21 MB. Each thread has as many."""

STRETCH_ROWS = 16 * CHUNK
"""Row groups of Parquet files follow each other in one thread until they have so many rows: only at the ends of these
stretches are there rows left over."""

NULLS = ("raise", "ignore")


def score_files(paths, target, preds, losses=(), *, weight=None, by=None, metrics=(), intervals=(), nulls="raise",
                n_threads=None, batch_rows=BATCH_ROWS, input_format=None, progress=None) -> Scores:
    """`fusedloss.score` of columns of files, in bounded memory.

    Parameters
    ----------
    paths : a path, or a list: Parquet, CSV (with a header), Arrow IPC (Feather), NPY and NPZ files, directories of them (in
        one called `region=north` all rows have "north" in the column `region`), "-" for stdin.
    target, preds (a list), weight, by : names of columns. intervals : pairs of names (lower, upper).
    losses, metrics : as for `fusedloss.score`.
    nulls : "ignore" takes out the rows where one of the columns is null, and counts them by reason in `Scores.skipped`; a
        null in `by` makes a group of its own, "(null)".
    batch_rows : rows decoded at a time, a multiple of 65,536.
    input_format : "parquet", "csv", "arrow", "npy" or "npz", where neither name nor first bytes tell.
    progress : called with numbers of rows (done, total); total is None where it is not known.

    Raises
    ------
    DataError : a file that cannot be read, a column that is missing or holds no numbers, a null, a value that a loss does
        not admit; in one line with file, column and row.
    """
    if nulls not in NULLS:
        raise ValueError(f"nulls must be one of {', '.join(map(repr, NULLS))}, found {nulls!r}")
    if batch_rows < CHUNK or batch_rows % CHUNK:
        raise ValueError(f"batch_rows must be a multiple of {CHUNK:,}, found {batch_rows!r}")
    started = time.perf_counter()
    arrow()
    ends = [name for pair in intervals for name in pair]
    numbers = list(dict.fromkeys([target, *preds, *ends, *([weight] if weight else [])]))
    scorer = Scorer(losses, preds, n_threads=n_threads, target=target, weight=weight, pred_names=preds, metrics=metrics,
                    intervals=[f"{low},{high}" for low, high in intervals])
    threads = drivers.thread_limit(n_threads)
    data = _Data([paths] if isinstance(paths, str) or hasattr(paths, "__fspath__") else paths, numbers, by, input_format,
                 threads)

    def computed(part):
        """The chunks of a part, how many rows it has, and how many of them were taken out for which reason."""
        skipped, values = Counter(), part.values
        if nulls == "raise":
            _refuse_nulls(data, part)
        taken_out = _taken_out(part, skipped) if nulls == "ignore" else None
        try:
            ends = {f"{low},{high}": (values[low], values[high]) for low, high in intervals}
            ready = scorer.part(part.offset, values[target], {name: values[name] for name in preds}, values.get(weight),
                                part.labels, taken_out, ends)
            return ready.chunks(), part.rows, skipped
        except ValueError as error:
            raise DataError(data.located(str(error))) from None

    skipped = Counter()
    for chunks, rows, out in whole_chunks(in_order(data.streams(computed, batch_rows), threads), data, computed):
        scorer.add(chunks)
        scorer.rows += rows
        skipped += out
        if progress:
            progress(scorer.rows, data.total)
    scores = scorer.result()
    weightless = scorer.skipped - skipped.total()
    if weightless:
        skipped[f"{weight} is 0"] = weightless
    if not scorer.counted:
        reasons = f", all of them taken out ({reasons_text(skipped)})" if skipped else ""
        raise DataError(f"{data.name}: no rows to score: it has {scores.rows_read:,}{reasons}")
    scores.by, scores.skipped, scores.seconds = by, dict(skipped), time.perf_counter() - started
    return scores


def reasons_text(skipped) -> str:
    """`arr_delay is null: 1,683; weight is 0: 12`."""
    return "; ".join(f"{reason}: {count:,}" for reason, count in skipped.items())


# ---- all files as one stream -------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """Rows offset, offset + 1 ... of the stream as NumPy arrays: columns of numbers, where they are null (None: nowhere),
    and group labels."""

    offset: int
    rows: int
    values: dict
    null: dict
    labels: Coded | None


class Loose(NamedTuple):
    """Rows start, start + 1 ... of the stream that are less than a chunk."""

    start: int
    table: object


class _RowGroup(NamedTuple):
    """A row group of a Parquet file, its number there and how many rows it has."""

    file: object
    metadata: object
    number: int
    rows: int


class _Data:
    """The files, and which rows of the stream are whose."""

    def __init__(self, paths, numbers, by, format, threads):
        self.files = files_of(paths)
        self.numbers, self.by, self.format, self.threads = numbers, by, format, threads
        self.columns = list(dict.fromkeys([*numbers, *([by] if by else [])]))
        self.starts, self.total = [], None
        self.types = {}

    @property
    def name(self):
        return self.files[0].name if len(self.files) == 1 else f"{self.files[0].name} and {len(self.files) - 1} more"

    def streams(self, computed, size):
        """Iterators of functions that return `computed` of a part of `size` rows, or `Loose` rows: one for each stretch of
        row groups, which `threads` decode at the same time; one for data of other formats."""
        if not self._is_parquet():
            yield self._parts(computed, size, 0, self._batches(size))
            return
        rows = 0
        for stretch in self._stretches():
            yield self._parts(computed, size, rows, self._row_groups(stretch, size))
            rows += sum(group.rows for group in stretch)

    def _parts(self, computed, size, start, batches):
        for table in cut(batches, size, CHUNK, start):
            yield functools.partial(self._result, computed, start, table)
            start += table.num_rows

    def _result(self, computed, start, table):
        return Loose(start, table) if start % CHUNK or table.num_rows % CHUNK else computed(self.part(start, table))

    def _is_parquet(self):
        """Whether all of it is Parquet, in files that several threads can open."""
        for file in self.files:
            with errors_of(file.name, self.format):
                if file.path == STDIN or (self.format or format_of(file.path)) != "parquet":
                    return False
        return True

    def _stretches(self):
        """Lists of row groups that follow each other."""
        rows, stretch, inside = 0, [], 0
        for file in self.files:
            with opened(file, self.format, {}) as reader:
                self._check(file, reader)
                self.starts.append(rows)
                metadata = reader.metadata
            if len(self.files) == 1:
                self.total = metadata.num_rows
            for k in range(metadata.num_row_groups):
                stretch.append(_RowGroup(file, metadata, k, metadata.row_group(k).num_rows))
                inside += stretch[-1].rows
                if inside >= STRETCH_ROWS:
                    yield stretch
                    stretch, inside = [], 0
            rows += metadata.num_rows
        if stretch:
            yield stretch

    def _row_groups(self, stretch, size):
        """The columns of these row groups."""
        for file, groups in itertools.groupby(stretch, key=lambda group: group.file):
            groups = list(groups)
            with opened(file, self.format, {}, groups[0].metadata) as reader:
                yield from self._columns(file, reader, size, 1, row_groups=[group.number for group in groups])

    def _batches(self, size):
        """The columns of all files."""
        rows = 0
        kinds = {name: name in self.numbers for name in self.columns}
        for file in self.files:
            with opened(file, self.format, {k: v for k, v in kinds.items() if k not in file.constants}) as reader:
                self._check(file, reader)
                if len(self.files) == 1:
                    self.total = reader.rows
                self.starts.append(rows)
                for batch in self._columns(file, reader, size, self.threads):
                    rows += batch.num_rows
                    yield batch

    def _columns(self, file, reader, size, threads, **which):
        """The columns of a file, those that its directories are named after with the others."""
        pyarrow = arrow()
        inside = [name for name in self.columns if name not in file.constants]
        for batch in reader.batches(inside, size, threads, **which):
            for name in self.columns:
                if name in file.constants:
                    batch = batch.append_column(name, pyarrow.repeat(
                        pyarrow.scalar(file.constants[name], self.types[name]), batch.num_rows))
            yield batch.select(self.columns)

    def part(self, offset, table):
        """A table of rows of the stream, ready to be scored."""
        values, null = {}, {}
        for name in self.numbers:
            values[name], null[name] = as_numbers(table[name])
        return _Part(offset, table.num_rows, values, null, _labels(table[self.by]) if self.by else None)

    def located(self, message):
        """A message about `column[row of the stream]`, with the file and the row there."""
        found = re.match(r"([^\[\]]*)\[(\d+)(.*)", message, re.DOTALL)
        if not found:
            return f"{self.name}: {message}"
        file, row = self.place(int(found[2]))
        return f"{file}: {found[1]}[{row}{found[3]}"

    def place(self, row):
        """(file, row in it) of a row of the stream."""
        k = bisect.bisect_right(self.starts, row) - 1
        return self.files[k].name, row - self.starts[k]

    def _check(self, file, reader):
        names = [*reader.names, *file.constants]
        for name in self.columns:
            if name not in names or reader.names.count(name) > 1:
                found = "twice" if name in names else "not"
                raise DataError(f"{file.name}: column {name!r} is {found} there; it has {', '.join(names)}")
            kind = self._constant_type(file.constants[name]) if name in file.constants else reader.type(name)
            known = self.types.setdefault(name, kind)
            if name in self.numbers and (remedy := _not_a_number(_value_type(kind))):
                raise DataError(f"{file.name}: column {name!r} holds {kind}, which cannot be scored: {remedy}")
            if kind != known:
                raise DataError(f"{file.name}: column {name!r} holds {kind}, and {known} in {self.files[0].name}: convert "
                                "one, so that all files have the same type")
        if self.by and not _can_group(_value_type(self.types[self.by])):
            raise DataError(f"{file.name}: column {self.by!r} holds {self.types[self.by]}, which makes no groups: use a "
                            "column of strings, whole numbers, booleans or dates (round or bin the values first)")

    def _constant_type(self, value):
        pyarrow = arrow()
        return pyarrow.int64() if isinstance(value, int) else pyarrow.string()


def cut(batches, size, unit, start=0):
    """The rows of `batches`, of which the first is row `start` of a stream, in tables of `size` rows, a multiple of `unit`,
    that begin on multiples of `unit`; rows before the first and after the last multiple are tables of their own."""
    pyarrow = arrow()
    held, rows, wanted = [], 0, -start % unit or size
    for batch in batches:
        while rows + batch.num_rows >= wanted:
            taken = wanted - rows
            yield pyarrow.Table.from_batches([*held, batch.slice(0, taken)])
            batch, held, rows, wanted = batch.slice(taken), [], 0, size
        if batch.num_rows:  # a column of two chunks, an empty one too, is copied
            held.append(batch)
            rows += batch.num_rows
    if rows:
        table, whole = pyarrow.Table.from_batches(held), rows - rows % unit
        yield from (part for part in (table.slice(0, whole), table.slice(whole)) if part.num_rows)


def whole_chunks(results, data, computed):
    """The results, with `Loose` rows put together and `computed`."""
    pyarrow = arrow()
    start, held = 0, []

    def put_together():
        part = data.part(start, pyarrow.concat_tables(held))
        held.clear()
        return computed(part)

    for result in results:
        if not isinstance(result, Loose):
            yield result
            continue
        if not held:
            start = result.start
        held.append(result.table)
        if (result.start + result.table.num_rows) % CHUNK == 0:
            yield put_together()
    if held:
        yield put_together()


class _Stream:
    """An iterator of functions, how many were taken from it, and whether a thread is taking the next one."""

    def __init__(self, number, functions):
        self.number, self.functions, self.taken, self.busy = number, functions, 0, False


def in_order(streams, threads):
    """What the functions in the iterators that `streams` yields return, in their order; so many threads of ours call them.

    Making a function takes time, too: it decodes. So each thread has a stream of its own to take the next function from when
    it has done the last, and helps with another's when there are no more. What a function holds is held at most `threads`
    times. An error of an iterator or a function is raised in its place.
    """
    change, begun, outcomes, ends = threading.Condition(), [], {}, {}
    count, more, stopping = 0, True, False

    def chosen(mine):
        """The stream to take from next, None when there are no more."""
        nonlocal count, more
        while not stopping:
            if more and mine not in begun and len(begun) < threads:
                functions, error = _outcome(lambda: next(streams, None))
                if functions is None and error is None:
                    more = False
                    change.notify_all()
                else:
                    mine = _Stream(count, functions if error is None else _raising(error))
                    count += 1
                    begun.append(mine)
            free = [stream for stream in begun if not stream.busy]
            if free:
                return mine if mine in free else free[0]
            if not (begun or more):
                return None
            change.wait()
        return None

    def work():
        stream = None
        while True:
            with change:
                stream = chosen(stream)
                if stream is None:
                    return
                stream.busy = True
            function, error = _outcome(lambda stream=stream: next(stream.functions, None))
            with change:
                place = stream.number, stream.taken
                stream.busy = False
                if error is None and function is not None:
                    stream.taken += 1
                else:
                    begun.remove(stream)
                    ends[stream.number] = stream.taken + (error is not None)
                change.notify_all()
            result = None
            if error is None and function is not None:
                result, error = _outcome(function)
            function = None  # and with it the part, while others decode
            with change:
                if error is not None or result is not None:
                    outcomes[place] = result, error
                change.notify_all()

    workers = [threading.Thread(target=work, name=f"fusedloss-score-{k}", daemon=True) for k in range(threads)]
    for worker in workers:
        worker.start()
    number = index = 0

    def known():
        """Whether it is known what comes next: a result, the end of the stream, the end of all."""
        return (number, index) in outcomes or ends.get(number) == index or not (more or number < count)

    try:
        while True:
            with change:
                change.wait_for(known)
                if ends.get(number) == index:
                    number, index = number + 1, 0
                    continue
                if (number, index) not in outcomes:
                    return
                result, error = outcomes.pop((number, index))
            if error is not None:
                raise error
            index += 1
            yield result
    finally:
        with change:
            stopping = True
            change.notify_all()
        for worker in workers:
            worker.join()
        for stream in begun:
            stream.functions.close()
        streams.close()


def _raising(error):
    """An iterator that raises."""
    raise error
    yield


def _outcome(function):
    """(result, error) of a call."""
    try:
        return function(), None
    except BaseException as error:
        return None, error


# ---- columns -----------------------------------------------------------------------------------------------------


def _value_type(kind):
    """The type of the values behind a dictionary (pandas' categoricals)."""
    return getattr(kind, "value_type", kind) if str(kind).startswith("dictionary") else kind


def _not_a_number(kind):
    """What to do with a column of this type before it can be scored, or None where it can be."""
    from pyarrow import types

    if types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind) or types.is_null(kind):
        return None
    if types.is_decimal(kind):  # a number, which a float64 rounds as it rounds every other literal
        return None
    if _is_text(kind):
        return "encode it as numbers first (of two classes one as 0, the other as 1)"
    if types.is_temporal(kind):
        return "subtract a reference date and divide by a unit of time first"
    return "convert it to float64 first"


def _can_group(kind):
    from pyarrow import types

    return _is_text(kind) or types.is_integer(kind) or types.is_boolean(kind) or types.is_date(kind)


def _is_text(kind):
    return str(kind) in ("string", "large_string", "string_view")


def as_numbers(column):
    """A column as a NumPy array, in place where Arrow has one, and where it is null (None: nowhere)."""
    import pyarrow
    from pyarrow import types

    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if _value_type(array.type) != array.type:
        array = array.cast(array.type.value_type)
    if types.is_decimal(array.type) or types.is_null(array.type):
        array = array.cast(pyarrow.float64())
    return _buffer(array), _buffer(array.is_null()) if array.null_count else None


def _buffer(array):
    """The values of an Arrow array as NumPy has them."""
    from ..arrays.arrow import values_of

    values = values_of("column", array)
    return values if isinstance(values, np.ndarray) else values[:]


def _labels(column):
    """A column of group labels, as codes."""
    import pyarrow
    from pyarrow import types

    if _value_type(column.type) != column.type:
        column = column.cast(column.type.value_type)
    if types.is_date(column.type):
        column = column.cast(pyarrow.string())
    array = column.dictionary_encode(null_encoding="encode").combine_chunks()
    return Coded(_buffer(array.indices), array.dictionary.to_pylist())


# ---- nulls -------------------------------------------------------------------------------------------------------


def _refuse_nulls(data, part):
    for name, where in part.null.items():
        if where is not None:
            file, row = data.place(part.offset + int(where.argmax()))
            raise DataError(f"{file}: column {name!r} is null in row {row} (counted from 0): "
                            "pass --nulls ignore to leave rows with a null out")


def _taken_out(part, skipped):
    """The rows that are null somewhere, as a mask; each is counted for the first of its columns that is."""
    mask = np.zeros(part.rows, bool)
    for name, where in part.null.items():
        if where is not None:
            skipped[f"{name} is null"] += int(np.count_nonzero(where & ~mask))
            mask |= where
    return mask
