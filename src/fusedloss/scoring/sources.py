"""Files of columns, read as a stream: Parquet, CSV, Arrow IPC (Feather), NPY and NPZ, from disk or from stdin.

A reader has `names`, `type(name)` (an Arrow type), `rows` (None: not known before the end) and `batches(columns, size)`,
Arrow record batches of about `size` rows. None of them holds the file in memory.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import zipfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np

FORMATS = ("parquet", "csv", "arrow", "npy", "npz")

_SUFFIXES = {"parquet": "parquet", "pq": "parquet", "csv": "csv", "tsv": "csv", "arrow": "arrow", "feather": "arrow",
             "ipc": "arrow", "arrows": "arrow", "npy": "npy", "npz": "npz"}
_ARROW_STREAM = b"\xff\xff\xff\xff"
_MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow", _ARROW_STREAM: "arrow", b"\x93NUMPY": "npy", b"PK\x03\x04": "npz"}
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"

STDIN = "-"
CSV_BLOCK = 8 << 20
"""Bytes of text parsed at a time."""


class DataError(Exception):
    """What is wrong with a file or the data in it, in one line: file, column, row, and the remedy."""


class File(NamedTuple):
    """One file of the data: its path as the user knows it, and the columns that its directories are named after."""

    path: str
    constants: dict

    @property
    def name(self):
        return "stdin" if self.path == STDIN else self.path


def files_of(paths) -> list[File]:
    """The files behind these paths: a directory means all that is in it and below, in the order of their names; below a
    directory called `region=north` every row has "north" in a column `region`. Names with . or _ in front are left out."""
    found = []
    for path in map(os.fspath, paths):
        if path != STDIN and os.path.isdir(path):
            inside = sorted(_walk(path))
            if not inside:
                raise DataError(f"{path}: there is no file in this directory")
            found += [File(file, _partition(os.path.relpath(file, path))) for file in inside]
        else:
            found.append(File(path, {}))
    numeric = {key for file in found for key in file.constants} - {
        key for file in found for key, value in file.constants.items() if not re.fullmatch(r"-?\d{1,18}|", value or "")}
    return [file._replace(constants={key: int(value) if key in numeric and value else value
                                     for key, value in file.constants.items()}) for file in found]


def _walk(directory):
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith((".", "_")) or "=" in name]
        for name in names:
            if not name.startswith((".", "_")):
                yield os.path.join(folder, name)


def _partition(path):
    pairs = [part.split("=", 1) for part in Path(path).parts[:-1] if "=" in part]
    return {unquote(key): None if value == _NULL_PARTITION else unquote(value) for key, value in pairs}


@contextmanager
def opened(file: File, format: str | None, types: dict, metadata=None):
    """The reader of a file. `types` says which columns of text are numbers (True) or labels (False); `metadata` of a Parquet
    file that was opened before need not be read again."""
    stream, name = None, file.name
    with errors_of(name, format):
        if file.path == STDIN:
            stream = sys.stdin.buffer
            format = format or _sniffed(stream.peek(8)[:8]) or "csv"
        elif os.path.isdir(file.path):
            raise DataError(f"{name}: this is a directory")
        else:
            format = format or format_of(file.path)
    with errors_of(name, format), ExitStack() as closing:
        if stream is not None and format != "csv" and not stream.peek(4).startswith(_ARROW_STREAM):
            stream = closing.enter_context(tempfile.TemporaryFile())  # the index of these is at their end
            shutil.copyfileobj(sys.stdin.buffer, stream, 1 << 20)
            stream.seek(0)
        reader = _READERS[format](file.path if stream is None else stream, types, *([metadata] if metadata else []))
        closing.callback(reader.close)
        yield reader


def format_of(path):
    """The format by the file's name, or by its first bytes."""
    suffixes = [suffix.lstrip(".").lower() for suffix in Path(path).suffixes]
    for suffix in reversed(suffixes):
        if suffix in _SUFFIXES:
            return _SUFFIXES[suffix]
        if suffix not in ("gz", "bz2", "zst", "lz4"):
            break
    with open(path, "rb") as stream:
        found = _sniffed(stream.read(8))
    if found is None:
        raise DataError(f"{path}: what format is this? Name it with --input-format: one of {', '.join(FORMATS)}")
    return found


def _sniffed(start):
    return next((format for magic, format in _MAGIC.items() if start.startswith(magic)), None)


def arrow():
    """pyarrow, or an error that says how to get it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError("reading files needs pyarrow: pip install fusedloss[cli]") from None
    return pyarrow


@contextmanager
def errors_of(name, format):
    """Whatever is wrong with this file or the values in it, as a DataError of one line."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{name}: there is no such file") from None
    except Exception as error:
        from_arrow = type(error).__module__.startswith("pyarrow") or (isinstance(error, OSError) and not error.errno)
        if from_arrow or isinstance(error, (zipfile.BadZipFile, EOFError)):
            article = "an" if format in ("arrow", "npy", "npz") else "a"
            word = {"parquet": "Parquet", "csv": "CSV", "arrow": "Arrow", "npy": "NPY", "npz": "NPZ"}.get(format, format)
            raise DataError(f"{name}: this is not {article} {word} file, or it is damaged or cut short "
                            f"({first_line(error)})") from None
        if isinstance(error, (OSError, ValueError)):
            raise DataError(f"{name}: {first_line(error)}") from None
        raise


def first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


# ---- readers -----------------------------------------------------------------------------------------------------


class _Parquet:
    def __init__(self, source, types, metadata=None):
        # read ahead in small pieces: `pre_buffer` would hold all that is needed of the file (250 MB of one of 350 MB)
        self.file = arrow().parquet.ParquetFile(source, metadata=metadata, pre_buffer=False, buffer_size=1 << 20)
        self.schema, self.metadata = self.file.schema_arrow, self.file.metadata
        self.names, self.rows = self.schema.names, self.metadata.num_rows

    def type(self, name):
        return self.schema.field(name).type

    def batches(self, columns, size, threads, row_groups=None):
        return self.file.iter_batches(batch_size=size, columns=columns, use_threads=threads > 1, row_groups=row_groups)

    def close(self):
        self.file.close()


class _Csv:
    """Text with a header line. Columns of numbers are read as float64, others as strings; an empty field is a null."""

    rows = None

    def __init__(self, source, types):
        arrow()
        from pyarrow import csv, input_stream

        self.tabs = ".tsv" in Path(source).suffixes if isinstance(source, str) else False
        self.types, self.stream, self.done = types, input_stream(source), 0
        parse = csv.ParseOptions(delimiter="\t" if self.tabs else ",")
        kinds = {name: "float64" if number else "string" for name, number in types.items()}
        convert = csv.ConvertOptions(column_types=kinds, strings_can_be_null=True)
        # one thread: its errors say in which row
        self.reader = csv.open_csv(self.stream, csv.ReadOptions(use_threads=False, block_size=CSV_BLOCK), parse, convert)
        self.names = self.reader.schema.names

    def type(self, name):
        return self.reader.schema.field(name).type

    def batches(self, columns, size, threads):
        for batch in self.reader:
            yield batch.select(columns)

    def close(self):
        self.reader.close()
        self.stream.close()


class _Arrow:
    """Arrow's IPC formats, the file (Feather version 2) and the stream."""

    def __init__(self, source, types):
        pyarrow = arrow()
        from pyarrow import ipc

        self.source = pyarrow.memory_map(source) if isinstance(source, str) else source
        if isinstance(source, str):
            start = self.source.read(4)
            self.source.seek(0)
        else:
            start = source.peek(4)
        opening = ipc.open_stream if start.startswith(_ARROW_STREAM) else ipc.open_file
        self.reader = opening(self.source)
        self.schema, self.rows = self.reader.schema, None
        self.names = self.schema.names

    def type(self, name):
        return self.schema.field(name).type

    def batches(self, columns, size, threads):
        if hasattr(self.reader, "num_record_batches"):
            batches = (self.reader.get_batch(k) for k in range(self.reader.num_record_batches))
        else:
            batches = iter(self.reader)
        for batch in batches:
            yield batch.select(columns)

    def close(self):
        self.source.close()


class _Numpy:
    """An array in NumPy's format, read piece by piece: fields of a structured one, or the columns 0, 1 ... of a matrix."""

    def __init__(self, source, types):
        self.stream = open(source, "rb") if isinstance(source, str) else source  # noqa: SIM115 (`close` does)
        try:
            self.array = _NpyStream(self.stream)
        except BaseException:
            self.stream.close()
            raise
        dtype, shape = self.array.dtype, self.array.shape
        if len(shape) not in (1, 2) or (dtype.names and len(shape) != 1):
            self.stream.close()
            raise ValueError(f"it has shape {shape}; a matrix (n, columns) or a structured array (n,) has columns")
        self.rows = shape[0]
        self.names = list(dtype.names) if dtype.names else [str(k) for k in range(1 if len(shape) == 1 else shape[1])]

    def type(self, name):
        dtype = self.array.dtype
        return _arrow_type(dtype[name] if dtype.names else dtype)

    def batches(self, columns, size, threads):
        for piece in self.array.pieces(size):
            if piece.dtype.names:
                arrays = [piece[name] for name in columns]
            else:
                arrays = [(piece if piece.ndim == 1 else piece[:, int(name)]) for name in columns]
            yield _batch(columns, arrays)

    def close(self):
        self.stream.close()


class _Npz:
    """The arrays (n,) of an NPZ file, a column each."""

    def __init__(self, source, types):
        self.zip = zipfile.ZipFile(source)
        self.arrays = {}
        for member in self.zip.namelist():
            if member.endswith(".npy"):
                with self.zip.open(member) as stream:
                    self.arrays[member.removesuffix(".npy")] = _NpyStream(stream)
        self.names = list(self.arrays)
        self.rows = None

    def type(self, name):
        array = self.arrays[name]
        if len(array.shape) != 1 or array.dtype.names:
            raise DataError(f"array {name!r} has shape {array.shape}; a column is an array (n,)")
        return _arrow_type(array.dtype)

    def batches(self, columns, size, threads):
        sizes = {name: self.arrays[name].shape[0] for name in columns}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"the arrays have different lengths: {', '.join(f'{k} {v:,}' for k, v in sizes.items())}")
        self.rows = sizes[columns[0]]
        streams = [_NpyStream(self.zip.open(f"{name}.npy")) for name in columns]
        for pieces in zip(*[stream.pieces(size) for stream in streams], strict=True):
            yield _batch(columns, pieces)

    def close(self):
        self.zip.close()


class _NpyStream:
    """An array in NumPy's format at the start of a stream that may not be able to seek."""

    def __init__(self, stream):
        self.stream = stream
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        self.shape, self.fortran, self.dtype = read(stream)
        if self.dtype.hasobject:
            raise ValueError("it holds Python objects, which only unpickling could read: convert them to numbers first")
        if self.fortran and len(self.shape) > 1:
            raise ValueError("it is in Fortran order, whose rows are not together: save numpy.ascontiguousarray(...) of it")

    def pieces(self, size):
        """The array in pieces of `size` rows."""
        for start in range(0, self.shape[0], size):
            shape = (min(size, self.shape[0] - start), *self.shape[1:])
            piece = np.empty(shape, self.dtype)
            memory = memoryview(piece.reshape(-1).view(np.uint8)) if piece.size else b""
            filled = 0
            while filled < len(memory):
                got = self.stream.readinto(memory[filled:])
                if not got:
                    row = start + filled // max(1, len(memory) // shape[0])
                    raise EOFError(f"it ends in row {row:,} of {self.shape[0]:,}")
                filled += got
            yield piece


def _arrow_type(dtype):
    pyarrow = arrow()
    if dtype.kind == "U":
        return pyarrow.string()
    try:
        return pyarrow.from_numpy_dtype(dtype.newbyteorder("="))
    except (pyarrow.ArrowNotImplementedError, NotImplementedError):
        raise ValueError(f"it holds {dtype}, which is no column of numbers or labels") from None


def _batch(columns, arrays):
    pyarrow = arrow()
    native = [np.ascontiguousarray(a, a.dtype.newbyteorder("=")) for a in arrays]
    return pyarrow.RecordBatch.from_arrays([pyarrow.array(a) for a in native], names=list(columns))


_READERS = {"parquet": _Parquet, "csv": _Csv, "arrow": _Arrow, "npy": _Numpy, "npz": _Npz}
