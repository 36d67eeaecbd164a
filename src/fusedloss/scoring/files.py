"""Scoring the columns of a Parquet file, which is read as a stream: two parts of it are in memory at most.

A part has a multiple of CHUNK rows, so the numbers are those of one call on the whole file, bit for bit. A null is an
error, or takes its row out for all predictions alike, so that models are compared on the same rows.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager

import numpy as np

from .score import CHUNK, Coded, Scorer
from .table import Scores

PART = 16 * CHUNK
"""Rows read at a time (1,048,576): ten float64 columns of them are 84 MB."""

NULLS = ("raise", "ignore")


class DataError(Exception):
    """What is wrong with a file or the data in it, in one line: file, column, row, and the remedy."""


def score_file(path, target, preds, losses, *, weight=None, by=None, nulls="raise", n_threads=None,
               progress=None) -> Scores:
    """`fusedloss.score` of columns of a Parquet file.

    `target`, `preds` (a list), `weight` and `by` are names of columns. `nulls="ignore"` takes out the rows where one of
    them is null, and counts them by reason in `Scores.skipped`; a null in `by` makes a group of its own, "(null)".
    `progress(done, total)` is called with numbers of rows.
    """
    if nulls not in NULLS:
        raise ValueError(f"nulls must be one of {', '.join(map(repr, NULLS))}, found {nulls!r}")
    parquet = _pyarrow()
    started = time.perf_counter()
    numbers = list(dict.fromkeys([target, *preds, *([weight] if weight else [])]))
    scorer = Scorer(losses, preds, n_threads=n_threads, target=target, weight=weight, pred_names=preds)
    skipped = Counter()
    with _data_errors(path), _opened(parquet, path) as file:
        _check_columns(path, file.schema_arrow, numbers, by)
        total = file.metadata.num_rows
        columns = list(dict.fromkeys([*numbers, *([by] if by else [])]))
        for table in _parts(file.iter_batches(batch_size=PART, columns=columns), PART):
            values, null = {}, {}
            for name in numbers:
                values[name], null[name] = _numbers(table[name])
            if nulls == "raise":
                _refuse_nulls(path, null, scorer.rows)
            scorer.update(values[target], {name: values[name] for name in preds}, values.get(weight),
                          _labels(table[by]) if by else None,
                          _taken_out(null, table.num_rows, skipped) if nulls == "ignore" else None)
            if progress:
                progress(scorer.rows, total)
    scores = scorer.result()
    weightless = scores.rows[0].skipped - skipped.total()
    if weightless:
        skipped[f"{weight} is 0"] = weightless
    if not scores.rows[0].n:
        reasons = f", all of them taken out ({reasons_text(skipped)})" if skipped else ""
        raise DataError(f"{path}: no rows to score: it has {scores.rows_read:,}{reasons}")
    scores.by, scores.skipped, scores.seconds = by, dict(skipped), time.perf_counter() - started
    return scores


def reasons_text(skipped) -> str:
    """`arr_delay is null: 1,683; weight is 0: 12`."""
    return "; ".join(f"{reason}: {count:,}" for reason, count in skipped.items())


# ---- the file ----------------------------------------------------------------------------------------------------


def _pyarrow():
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError("reading Parquet files needs pyarrow: pip install fusedloss[cli]") from None
    return pyarrow.parquet


def _opened(parquet, path):
    # read ahead in small pieces: `pre_buffer` would hold all that is needed of the file (250 MB of one of 350 MB)
    return parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)


@contextmanager
def _data_errors(path):
    """Whatever is wrong with the file or the values in it, as a DataError of one line."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except Exception as error:
        from_arrow = type(error).__module__.startswith("pyarrow") or (isinstance(error, OSError) and not error.errno)
        if from_arrow:
            raise DataError(f"{path}: this is not a Parquet file, or it is damaged or cut short "
                            f"({_first_line(error)})") from None
        if isinstance(error, (OSError, ValueError)):
            raise DataError(f"{path}: {_first_line(error)}") from None
        raise


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _parts(batches, size):
    """The rows of `batches` in tables of exactly `size` rows, the last one excepted."""
    import pyarrow

    held, rows = [], 0
    for batch in batches:
        while rows + batch.num_rows >= size:
            taken = size - rows
            yield pyarrow.Table.from_batches([*held, batch.slice(0, taken)])
            batch, held, rows = batch.slice(taken), [], 0
        held.append(batch)
        rows += batch.num_rows
    if rows:
        yield pyarrow.Table.from_batches(held)


# ---- columns -----------------------------------------------------------------------------------------------------


def _check_columns(path, schema, numbers, by):
    for name in [*numbers, *([by] if by else [])]:
        if schema.names.count(name) != 1:
            found = "twice" if name in schema.names else "not"
            raise DataError(f"{path}: column {name!r} is {found} there; it has {', '.join(schema.names)}")
    for name in numbers:
        kind = schema.field(name).type
        if remedy := _not_a_number(_value_type(kind)):
            raise DataError(f"{path}: column {name!r} holds {kind}, which cannot be scored: {remedy}")
    if by and not _can_group(_value_type(schema.field(by).type)):
        raise DataError(f"{path}: column {by!r} holds {schema.field(by).type}, which makes no groups: use a column of "
                        "strings, whole numbers, booleans or dates (round or bin the values first)")


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


def _numbers(column):
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
    """The values of an Arrow array, those behind nulls included. (Arrow's own `to_numpy` would import pandas.)"""
    kind = str(array.type)
    if kind == "bool":  # Arrow has bits
        return _buffer(array.cast("uint8")).view(np.bool_)
    dtype = np.dtype({"halffloat": "f2", "float": "f4", "double": "f8"}.get(kind, kind))
    data = array.buffers()[1]
    return np.frombuffer(data or b"", dtype)[array.offset: array.offset + len(array)]


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


def _refuse_nulls(path, null, rows_before):
    for name, where in null.items():
        if where is not None:
            row = rows_before + int(where.argmax())
            raise DataError(f"{path}: column {name!r} is null in row {row} (counted from 0): "
                            "pass --nulls ignore to leave rows with a null out")


def _taken_out(null, rows, skipped):
    """The rows that are null somewhere, as a mask; each is counted for the first of its columns that is."""
    mask = np.zeros(rows, bool)
    for name, where in null.items():
        if where is not None:
            skipped[f"{name} is null"] += int(np.count_nonzero(where & ~mask))
            mask |= where
    return mask
