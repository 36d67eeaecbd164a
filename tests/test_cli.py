"""The command line: the main job on the flights against NumPy and Arrow, files of every kind, exit codes, the rest."""

import csv
import itertools
import json
import math
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

import fusedloss as fl
from fusedloss import cache, describe
from fusedloss.cli import main
from fusedloss.registry import example, list_losses, parse
from fusedloss.scoring import DataError
from fusedloss.scoring.files import BATCH_ROWS, as_numbers, cut, score_files
from fusedloss.scoring.score import CHUNK

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

FLIGHTS = str(Path(__file__).parent.parent / "examples" / "flights.parquet")
DELAYS = ["score", FLIGHTS, "--target", "arr_delay", "--pred", "linear", "--pred", "boosted", "--loss", "squared_error",
          "--loss", "absolute_error", "--loss", "huber:delta=15", "--loss", "pinball:quantile=0.9", "--by", "carrier",
          "--nulls", "ignore"]
LATE = ["score", FLIGHTS, "--target", "late", "--pred", "linear_prob", "--pred", "boosted_prob", "--loss", "log_loss",
        "--loss", "brier", "--nulls", "ignore"]

FORMULAS = {
    "squared_error": lambda y, f: (f - y) ** 2,
    "absolute_error": lambda y, f: abs(f - y),
    "huber:delta=15": lambda y, f: np.where(abs(f - y) <= 15, (f - y) ** 2 / 2, 15 * (abs(f - y) - 7.5)),
    "pinball:quantile=0.9": lambda y, f: np.where(y > f, 0.9 * (y - f), 0.1 * (f - y)),
    "log_loss": lambda y, f: -np.log(np.where(y == 1, f, 1 - f)),
    "brier": lambda y, f: (f - y) ** 2,
}


@pytest.fixture
def write(tmp_path):
    """Write columns to a Parquet file; its path."""

    def written(columns, name="data.parquet", **options):
        pq.write_table(pa.table(columns), tmp_path / name, **options)
        return str(tmp_path / name)

    return written


def reference(y, f, formula):
    """Mean and standard error of the formula in float64, and of the values themselves."""
    values = formula(y, f) if formula else y
    return values.mean(), values.std() / math.sqrt(len(values))


def expect(row, wanted):
    # the file holds float32, and so are the values of one sample
    assert (row["value"], row["standard_error"]) == pytest.approx(wanted, rel=1e-6)


def run(capsys, *argv):
    """(exit code, stdout, stderr) of a command."""
    code = main([*map(str, argv)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


# ---- the main job ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("job", [DELAYS, LATE], ids=["delays", "late"])
def test_the_main_job_is_what_numpy_computes(job, capsys):
    code, out, err = run(capsys, *job, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    target, preds = job[3], [job[5], job[7]]
    table = pq.read_table(FLIGHTS)
    table = table.filter(table[target].is_valid())
    y, (a, b) = table[target].to_numpy().astype(float), (table[name].to_numpy().astype(float) for name in preds)
    carrier = np.array(table["carrier"].to_pylist())
    groups = [None, *sorted(set(carrier))] if found["by"] else [None]
    losses = [job[k + 1] for k, word in enumerate(job) if word == "--loss"]
    assert found["skipped"] == {f"{target} is null": 1683}
    assert found["rows_read"] == 84_292
    assert len(found["results"]) == 2 * len(found["differences"]) == 2 * len(losses) * len(groups)
    rows = {(r["loss"], r["pred"], r["group"]): r for r in found["results"]}
    pairs = {(r["loss"], r["group"]): r for r in found["differences"]}
    for loss in losses:
        for group in groups:
            kept = (carrier == group) | (group is None)
            for name, f in zip(preds, (a, b), strict=True):
                expect(rows[loss, name, group], reference(y[kept], f[kept], FORMULAS[loss]))
                assert rows[loss, name, group]["n"] == kept.sum()
            pair, formula = pairs[loss, group], FORMULAS[loss]
            difference = formula(y, b) - formula(y, a)
            mean, error = reference(difference[kept], None, None)
            assert pair["value"] == pytest.approx(mean, rel=1e-5, abs=2e-3 * error)
            assert pair["standard_error"] == pytest.approx(error, rel=1e-5)
            assert (pair["pred"], pair["baseline"]) == (preds[1], preds[0])
        assert sum(r["n"] for (of, _), r in pairs.items() if of == loss) == 82_609 * (2 if found["by"] else 1)
        assert sum(r["skipped"] for (of, g), r in pairs.items() if of == loss and g is not None) in (0, 1683)


def test_in_float64_it_agrees_to_ten_digits(write, capsys):
    table = pq.read_table(FLIGHTS).select(["arr_delay", "linear", "boosted", "carrier"])
    for k, name in enumerate(table.column_names[:3]):
        table = table.set_column(k, name, table[name].cast("float64"))
    path = write({name: table[name] for name in table.column_names}, row_group_size=10_000)
    code, out, _ = run(capsys, "score", path, "-t", "arr_delay", "-p", "linear", "-p", "boosted", "--by", "carrier",
                       "-l", "huber:delta=15", "--nulls", "ignore", "--json")
    assert code == 0
    table = table.filter(table["arr_delay"].is_valid())
    y, a, b = (table[name].to_numpy() for name in table.column_names[:3])
    carrier, formula = np.array(table["carrier"].to_pylist()), FORMULAS["huber:delta=15"]
    found = json.loads(out)
    for row in [*found["results"], *found["differences"]]:
        kept = (carrier == row["group"]) | (row["group"] is None)
        values = formula(y, a if row["pred"] == "linear" else b) - (formula(y, a) if "baseline" in row else 0)
        wanted = values[kept].mean(), values[kept].std() / math.sqrt(kept.sum())
        assert (row["value"], row["standard_error"]) == pytest.approx(wanted, rel=1e-10, abs=1e-10 * wanted[1])


def test_the_table_is_what_a_person_needs(capsys):
    code, out, err = run(capsys, *DELAYS)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 110
    assert "squared_error              1,424 ± 30       1,392 ± 30        -31.8 ± 1.7   -18.2   boosted better" in lines
    assert "squared_error by carrier: boosted better in 9, linear in 1, neither clearly in 6" in lines
    ua = next(k for k, line in enumerate(lines) if line.startswith("UA "))
    assert lines[ua].split() == ["UA", "14,681", "1,292", "±", "46", "1,262", "±", "46", "-30.8", "±", "3.9", "-7.8",
                                 "boosted", "better"]
    assert lines[ua - 1].split() == ["carrier", "n", "linear", "boosted", "boosted", "-", "linear", "z"]
    assert lines[ua + 15].endswith("fewer than 30 rows")
    assert "84,292 rows read, 82,609 scored; 1,683 skipped: arr_delay is null" in lines
    assert lines[-1].endswith("rows per second")


def test_one_model_has_a_column_per_loss_and_three_have_all_pairs(capsys):
    common = ["--nulls", "ignore", "--by", "origin", "-l", "squared_error", "-l", "absolute_error", "-t", "arr_delay"]
    _, out, _ = run(capsys, "score", FLIGHTS, "-p", "linear", *common)
    header, *rows = out.splitlines()[2:7]
    assert header.split() == ["origin", "n", "squared_error", "absolute_error"]
    assert [row.split()[0] for row in rows] == ["(all)", "EWR", "LGA", "JFK"]
    _, out, _ = run(capsys, "score", FLIGHTS, "-p", "linear", "-p", "boosted", "-p", "boosted_prob", *common)
    assert out.count("best - next") == 3
    assert [line.split()[0:4] for line in out.splitlines() if line.startswith("squared_error  ") and " - " in line] == [
        ["squared_error", "boosted", "-", "linear"], ["squared_error", "boosted_prob", "-", "linear"],
        ["squared_error", "boosted_prob", "-", "boosted"]]


def test_json_is_to_dict_and_goes_to_a_file_if_asked(tmp_path, capsys):
    target = tmp_path / "out.json"
    assert run(capsys, *DELAYS, "--json", "-o", target) == (0, "", "")
    found = json.loads(target.read_text())
    scores = score_files(FLIGHTS, "arr_delay", ["linear", "boosted"], DELAYS[9:17:2], by="carrier", nulls="ignore")
    for name, value in scores.to_dict().items():
        assert found[name] == value or name.startswith("seconds")


# ---- files -------------------------------------------------------------------------------------------------------


def test_a_file_in_parts_has_the_bits_of_arrays_in_memory(write):
    rng, n = np.random.default_rng(5), BATCH_ROWS + CHUNK + 321
    y, w, null = rng.normal(size=n).astype(np.float32), rng.integers(0, 3, n).astype(np.int8), rng.random(n) < 0.01
    f = {name: (y + rng.normal(size=n)).astype(np.float32) for name in "ab"}
    by = rng.integers(0, 5, n).astype(np.int16)
    path = write({"y": pa.array(y, mask=null), **f, "w": w, "g": pa.array(by, mask=by == 3)}, row_group_size=77_777)
    seen = []
    scores = score_files(path, "y", ["a", "b"], ["squared_error"], weight="w", by="g", nulls="ignore",
                        progress=lambda *done: seen.append(done))
    wanted = fl.score(y, f, ["squared_error"], w, np.where(by == 3, None, by), mask=null)
    assert [*map(repr, scores.rows), *map(repr, scores.differences)] == \
        [*map(repr, wanted.rows), *map(repr, wanted.differences)]
    assert [row.group for row in scores if row.pred == "a"] == [None, 0, 1, 2, 4, "(null)"]
    assert scores.skipped == {"y is null": null.sum(), "w is 0": (~null & (w == 0)).sum()}
    assert seen == [(BATCH_ROWS, n), (BATCH_ROWS + CHUNK, n), (n, n)]


def test_batches_of_any_size_are_cut_into_whole_parts():
    x = np.arange(1000, dtype=np.float32)
    batches = [pa.record_batch({"x": pa.array(x[low: low + n], mask=x[low: low + n] % 7 == 0)})
               for low, n in ((0, 1), (1, 99), (100, 0), (100, 650), (750, 250))]
    tables = list(cut(batches, 200, 100))
    assert [table.num_rows for table in tables] == [200] * 5
    values, null = zip(*[as_numbers(table["x"]) for table in tables], strict=True)
    kept = ~np.concatenate(null)
    assert np.array_equal(np.concatenate(values)[kept], x[kept])
    assert np.array_equal(kept, x % 7 != 0)
    assert [table.num_rows for table in cut(batches, 333, 111)] == [333, 333, 333, 1]
    assert [table["x"].num_chunks for table in cut(batches, 50, 1)] == [2, *[1] * 19]  # the rest lie in one batch, in place


@pytest.mark.parametrize(("start", "unit", "wanted"), [
    (0, 100, [200, 200, 200, 200, 100, 40]), (30, 100, [70, 200, 200, 200, 200, 70]), (960, 1000, [40, 900]),
    (99, 1000, [901, 39]), (40, 1000, [940]), (41, 940, [899, 41]), (0, 1000, [940]),
])
def test_what_lies_on_no_chunk_is_apart(start, unit, wanted):
    x = np.arange(940.0)
    batches = [pa.record_batch({"x": x[low: low + 90]}) for low in range(0, 940, 90)]
    size = unit if unit > 900 else 200
    tables = list(cut(batches, size, unit, start))
    assert [table.num_rows for table in tables] == wanted
    assert np.array_equal(np.concatenate([table["x"] for table in tables]), x)
    for table in tables:
        if start % unit == 0:
            assert table.num_rows % unit == 0 or table is tables[-1]
        start += table.num_rows


def test_a_row_is_skipped_for_all_predictions_and_counted_once(write, capsys):
    path = write({"y": [1.0, None, 3.0, 4.0, 5.0], "a": [1.0, None, None, 4.0, 5.0], "b": [1.0, 1.0, 1.0, None, 1.0],
                  "w": [1, 1, 1, 1, None]})
    code, out, _ = run(capsys, "score", path, "-t", "y", "-p", "a", "-p", "b", "-l", "squared_error", "-w", "w",
                       "--nulls", "ignore", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["skipped"] == {"y is null": 1, "a is null": 1, "b is null": 1, "w is null": 1}
    assert [row["n"] for row in found["results"]] == [1, 1]


@pytest.mark.parametrize("make", [
    lambda y: pa.array(y.astype(np.int64)), lambda y: pa.array(y.astype(np.uint8)), lambda y: pa.array(y == 1),
    lambda y: pa.array(y.astype(np.float16)), lambda y: pa.array([Decimal(int(v)) for v in y], pa.decimal128(5, 2)),
    lambda y: pa.array(y).dictionary_encode(),
], ids=["int64", "uint8", "bool", "float16", "decimal", "dictionary"])
def test_numbers_of_every_type_are_read_as_they_are(write, make):
    y = np.array([0, 1, 1, 0, 1.0])
    found = score_files(write({"y": make(y), "f": y * 0.5}), "y", ["f"], "half_squared_error")
    assert found["half_squared_error"].value == (0.125 * 3) / 5


@pytest.mark.parametrize(("labels", "groups"), [
    (pa.array(["b", "a", None, "a"]), ["(null)", "a", "b"]),
    (pa.array(["b", "a", "b", "a"]).dictionary_encode(), ["a", "b"]),
    (pa.array([True, None, False, True]), [False, True, "(null)"]),
    (pa.array([10, 9, 10, 9], pa.int8()), [9, 10]),
    (pa.array([19000, 19001, 19000, None], pa.date32()), ["(null)", "2022-01-08", "2022-01-09"]),
], ids=["string", "dictionary", "bool", "int8", "date"])
def test_groups_of_every_type(write, labels, groups):
    path = write({"y": np.zeros(4), "f": np.ones(4), "g": labels})
    scores = score_files(path, "y", ["f"], "half_squared_error", by="g")
    assert [row.group for row in scores][1:] == groups
    assert json.loads(json.dumps(scores.to_dict()))["by"] == "g"


# ---- formats -----------------------------------------------------------------------------------------------------


def columns_of(n=3000):
    rng = np.random.default_rng(8)
    y = rng.normal(size=n)
    return {"y": y, "f": y + rng.normal(size=n), "w": rng.integers(0, 3, n).astype(np.int16),
            "g": np.array(["north", "south", "east"])[rng.integers(0, 3, n)]}


def written_as(kind, columns, folder):
    """The columns in a file of this kind."""
    from pyarrow import csv as text
    from pyarrow import feather, ipc

    path, table = folder / f"data.{kind}", pa.table(columns)
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=700)
    elif kind == "csv":
        text.write_csv(table, path)
    elif kind == "csv.gz":
        with pa.CompressedOutputStream(str(path), "gzip") as stream:
            text.write_csv(table, stream)
    elif kind == "tsv":
        text.write_csv(table, path, text.WriteOptions(delimiter="\t"))
    elif kind == "feather":
        feather.write_feather(table, path)
    elif kind == "arrows":
        with ipc.new_stream(path, table.schema) as stream:
            stream.write_table(table, 500)
    elif kind == "npz":
        np.savez_compressed(path, **columns)
    elif kind == "npy":
        kinds = [(name, a.dtype) for name, a in columns.items()]
        np.save(path, np.array(list(zip(*columns.values(), strict=True)), kinds))
    return path


KINDS = ("parquet", "csv", "csv.gz", "tsv", "feather", "arrows", "npy", "npz")


def numbers_of(scores):
    return [*map(repr, scores.rows), *map(repr, scores.differences), *map(repr, scores.metrics)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_has_the_bits_of_arrays_in_memory(kind, tmp_path):
    columns = columns_of()
    if kind in ("csv", "csv.gz", "tsv"):
        columns["w"] = columns["w"].astype(float)  # text has no types: numbers are float64
    found = score_files(written_as(kind, columns, tmp_path), "y", ["f"], ["squared_error"], weight="w", by="g")
    wanted = fl.score(columns["y"], {"f": columns["f"]}, ["squared_error"], columns["w"], columns["g"])
    assert numbers_of(found) == numbers_of(wanted)
    assert found.rows_read == 3000


def test_a_matrix_has_columns_that_are_numbers(tmp_path):
    columns = columns_of()
    np.save(tmp_path / "m.npy", np.stack([columns["y"], columns["f"]], axis=1))
    found = score_files(tmp_path / "m.npy", "0", ["1"], ["squared_error"])
    assert found["squared_error"].value == fl.SquaredError()(columns["y"], columns["f"])


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrows", "feather", "npz"])
def test_stdin_is_a_file_of_any_format(kind, tmp_path, monkeypatch, capsys):
    columns = columns_of()
    path = written_as(kind, columns, tmp_path)
    with open(path, "rb") as stream:
        monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": stream}))
        code, out, err = run(capsys, "score", "-", "-t", "y", "-p", "f", "-l", "squared_error", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["results"][0]["value"] == fl.SquaredError()(columns["y"], columns["f"])
    monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": open(path, "rb")}))  # noqa: SIM115
    with sys.stdin.buffer:
        code, out, err = run(capsys, "score", "-", "-t", "y", "-p", "ff", "-l", "squared_error")
    assert (code, out) == (3, "")
    assert err == "fusedloss: stdin: column 'ff' is not there; it has y, f, w, g\n"


def test_directories_are_one_stream_of_files_in_order(tmp_path, capsys):
    n = 2 * CHUNK + 77
    columns = columns_of(n)
    bounds = [0, 10, CHUNK - 3, CHUNK - 3, n]
    for k, (low, high) in enumerate(itertools.pairwise(bounds)):
        folder = tmp_path / "data" / f"year={2020 + k % 2}" / f"region={'a%20b' if k else '__HIVE_DEFAULT_PARTITION__'}"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({name: a[low:high] for name, a in columns.items()}), folder / f"{k}.parquet")
        (folder / "_SUCCESS").touch()
    order = [k for year in (0, 1) for k in ([0, 2] if year == 0 else [1, 3])]
    # year=2020/region=__HIVE.../0, year=2020/region=a b/2, year=2021/region=a b/1 and 3
    index = np.concatenate([np.arange(bounds[k], bounds[k + 1]) for k in order])
    years = np.concatenate([np.full(bounds[k + 1] - bounds[k], 2020 + k % 2) for k in order])
    data = [columns[name][index] for name in ("y", "f")]
    found = score_files(tmp_path / "data", "y", ["f"], ["squared_error"], weight="year")
    wanted = fl.score(data[0], {"f": data[1]}, ["squared_error"], years)
    assert numbers_of(found) == numbers_of(wanted)
    found = score_files([tmp_path / "data" / "year=2020", tmp_path / "data" / "year=2021"], "y", ["f"], ["squared_error"],
                        by="region", batch_rows=CHUNK)
    wanted = fl.score(data[0], {"f": data[1]}, ["squared_error"], by=["(null)"] * 10 + ["a b"] * (n - 10))
    assert numbers_of(found) == numbers_of(wanted)


def test_errors_name_the_file_and_the_row_in_it(tmp_path, capsys):
    paths = []
    for k in range(3):
        y, f = np.zeros(50_000), np.ones(50_000)
        if k == 2:
            f[123] = -1.0
        paths.append(tmp_path / f"{k}.parquet")
        pq.write_table(pa.table({"y": y, "f": f, "t": pa.array(y, mask=y + k > 1), "k": pa.array(y.astype(
            np.int64 if k else np.float64))}), paths[-1])
    for argv, message in ((["-p", "f"], f"{paths[2]}: f[123] = -1.0: poisson_deviance needs f to be in (0, inf)"),
                          (["-p", "t"], f"{paths[2]}: column 't' is null in row 0 (counted from 0)"),
                          (["-p", "k"], f"{paths[1]}: column 'k' holds int64, and double in {paths[0]}: convert one")):
        code, out, err = run(capsys, "score", *paths, "-t", "y", *argv, "-l", "poisson_deviance")
        if argv == ["-p", "t"]:
            message = f"{paths[2]}: column 't' is null in row 0"
        assert (code, out) == (3, "")
        assert message in err
        assert err.count("\n") == 1


@pytest.mark.parametrize(("content", "message"), [
    ("y,f\n1,2\n3,four\n", "CSV conversion error to double: invalid value 'four'"),
    ("y,f\n1,2\n3\n", "Expected 2 columns, got 1"),
    ("y,f\n1,2\n3,\n", "column 'f' is null in row 1 (counted from 0)"),
    ("y,g\n1,2\n", "column 'f' is not there; it has y, g"),
    ("", "Empty CSV file"),
])
def test_what_is_wrong_with_text(content, message, tmp_path, capsys):
    path = tmp_path / "data.csv"
    path.write_text(content)
    code, out, err = run(capsys, "score", path, "-t", "y", "-p", "f", "-l", "squared_error")
    assert (code, out) == (3, "")
    assert err.startswith(f"fusedloss: {path}: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("kind", ["feather", "arrows", "npy", "npz"])
def test_files_that_are_cut_short(kind, tmp_path, capsys):
    path = written_as(kind, columns_of(), tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    code, out, err = run(capsys, "score", path, "-t", "y", "-p", "f", "-l", "squared_error")
    assert (code, out) == (3, "")
    assert err.startswith(f"fusedloss: {path}: this is not a")
    assert "damaged or cut short" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("save", "message"), [
    (lambda path: np.save(path, np.array([{}], object)), "it holds Python objects"),
    (lambda path: np.save(path, np.zeros((2, 2, 2))), "it has shape (2, 2, 2); a matrix"),
    (lambda path: np.save(path, np.zeros((2, 2)).T.copy("F")), "it is in Fortran order"),
    (lambda path: np.save(path, np.zeros((2, 2), complex)), "it holds complex128, which is no column"),
])
def test_arrays_that_are_no_columns(save, message, tmp_path, capsys):
    save(tmp_path / "a.npy")
    code, out, err = run(capsys, "score", tmp_path / "a.npy", "-t", "0", "-p", "1", "-l", "squared_error")
    assert (code, out) == (3, "")
    assert message in err


def test_a_file_of_no_known_format(tmp_path, capsys):
    (tmp_path / "data.txt").write_text("y,f\n1,2\n")
    argv = ["score", tmp_path / "data.txt", "-t", "y", "-p", "f", "-l", "squared_error"]
    code, _, err = run(capsys, *argv)
    assert code == 3
    assert "what format is this? Name it with --input-format: one of parquet, csv, arrow, npy, npz" in err
    assert run(capsys, *argv, "--input-format", "csv")[0] == 0


def test_the_memory_does_not_grow_with_the_file():
    """No more parts are made than threads hold, and one that is being decoded."""
    from fusedloss.scoring.files import in_order

    alive, most = 0, 0

    def functions(stream):
        nonlocal alive, most
        for k in range(10):
            with lock:
                alive += 1
                most = max(most, alive)
            yield lambda k=10 * stream + k: task(k)

    def task(k):
        nonlocal alive
        time.sleep(0.002 * (k % 3))
        with lock:
            alive -= 1
        return k

    lock = threading.Lock()
    for streams in (1, 2, 7):
        assert list(in_order((functions(k) for k in range(streams)), 3)) == list(range(10 * streams))
        assert 2 <= most <= 3


def test_threads_help_with_the_last_stream():
    """While one decodes, another scores: of two streams or of one."""
    from fusedloss.scoring.files import in_order

    seen = set()

    def functions(n):
        for _ in range(n):
            time.sleep(0.001)
            yield task

    def task():
        time.sleep(0.003)
        seen.add(threading.current_thread().name)
        return True

    for lengths in ([20], [0, 3, 0, 20, 0], [1, 1, 40]):
        seen.clear()
        assert len(list(in_order((functions(n) for n in lengths), 2))) == sum(lengths)
        assert len(seen) == 2
    assert list(in_order((functions(n) for n in ()), 2)) == []


def test_threads_stop_with_who_reads_and_with_errors():
    from fusedloss.scoring.files import in_order

    closed = []

    def streams(broken=None, wrong=None):
        try:
            for k in range(100):
                if k == broken:
                    raise OSError("the disk is gone")
                yield functions(k, wrong)
        finally:
            closed.append(True)

    def functions(k, wrong):
        if k == wrong:
            yield lambda: 1
            raise EOFError("cut short")
        for _ in range(2):
            yield lambda: 1 / (k != 7)

    reader = in_order(streams(), 2)
    next(reader)
    reader.close()
    assert closed == [True]
    for given, count, error, match in (({"broken": 5}, 10, OSError, "the disk is gone"), ({"wrong": 5}, 11, EOFError, "cut"),
                                       ({}, 14, ZeroDivisionError, "division")):
        found = in_order(streams(**given), 2)
        assert [next(found) for _ in range(count)] == [1] * count
        with pytest.raises(error, match=match):
            next(found)
    assert closed == [True] * 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fusedloss-score")]


@pytest.mark.parametrize("size", [CHUNK, 2 * CHUNK, CHUNK // 2, CHUNK + 1, 17_777])
@pytest.mark.parametrize("stretch", [1, 2 * CHUNK])
def test_row_groups_read_by_several_threads_change_no_bit(size, stretch, write, monkeypatch):
    monkeypatch.setattr("fusedloss.scoring.files.STRETCH_ROWS", stretch)
    rng, n = np.random.default_rng(6), 5 * CHUNK + 99
    p = rng.random(n)
    y, null = (rng.random(n) < p).astype(np.int8), rng.random(n) < 0.01
    by = np.array(["a", "b", "c"])[np.minimum(np.arange(n) // (2 * CHUNK) + (rng.random(n) < 0.5), 2)]  # late comers
    path = write({"y": pa.array(y, mask=null), "p": p, "g": by}, row_group_size=size)
    names = ["accuracy", "auc", "r2", "ece", "auc:bins=9"]
    wanted = fl.score(y, {"p": p}, ["brier"], by=by, mask=null, metrics=names)
    seen = []
    for threads in (1, 2):
        scores = score_files(path, "y", ["p"], ["brier"], by="g", nulls="ignore", metrics=names, n_threads=threads,
                             batch_rows=CHUNK, progress=lambda *rows: seen.append(rows))
        assert numbers_of(scores) == numbers_of(wanted)
        assert scores.skipped == {"y is null": null.sum()}
        assert seen[-1] == (n, n)
    p[4 * CHUNK + 5] = 1.5
    path = write({"y": y, "p": p}, row_group_size=size)
    with pytest.raises(DataError, match=rf"p\[{4 * CHUNK + 5}\] = 1.5"):
        score_files(path, "y", ["p"], ["brier"])


# ---- results -----------------------------------------------------------------------------------------------------


def test_results_in_other_formats(tmp_path, capsys):
    argv = [*LATE, "-m", "auc", "-m", "ece:bins=5", "--by", "origin"]
    found = json.loads(run(capsys, *argv, "--format", "json")[1])
    text = run(capsys, *argv, "--format", "csv")[1]
    lines = list(csv.DictReader(text.splitlines()))
    for kind, name, rows in (("loss", "loss", "results"), ("difference", "loss", "differences"),
                             ("metric", "metric", "metrics")):
        wanted = [(row[name], row["pred"], row["group"] or "", row["value"], str(row["n"])) for row in found[rows]]
        assert [(line["name"], line["pred"], line["group"], float(line["value"]), line["n"])
                for line in lines if line["kind"] == kind] == wanted
    assert found["metrics"][2]["details"]["bins"][0].keys() == {"low", "high", "weight", "pred", "target"}
    table = run(capsys, *argv, "--format", "md")[1].splitlines()
    assert table[0] == "| | prediction | group | value | standard error | n |"
    assert table[2] == "| `log_loss` | linear_prob |  | 0.5252 | 0.0019 | 82,609 |"
    assert len(table) == 2 + len(lines)
    for suffix in ("json", "csv", "md"):
        target = tmp_path / f"out.{suffix}"
        assert run(capsys, *argv, "-o", target)[:2] == (0, "")
        if suffix != "json":
            assert target.read_text() == run(capsys, *argv, "--format", suffix)[1]


def test_metrics_alone_and_in_the_table(capsys):
    code, out, _ = run(capsys, *LATE[:8], "-m", "auc", "-m", "auc:bins=100", "-m", "accuracy", "--nulls", "ignore", "--by",
                       "origin")
    assert code == 0
    lines = out.splitlines()
    head = next(k for k, line in enumerate(lines) if line.startswith("metric"))
    assert lines[head].split() == ["metric", "linear_prob", "boosted_prob"]
    assert lines[head + 1].split() == ["auc", "0.627482", "0.634228"]
    assert "0.634038 (off by 0.01 at most)" in lines[head + 2]
    assert lines[head + 3].split() == ["accuracy", "0.7695", "±", "0.0015", "0.7702", "±", "0.0015"]
    assert any(line.startswith("auc by origin:") for line in lines)


# ---- the gate ----------------------------------------------------------------------------------------------------


def test_limits_are_exit_code_1_and_a_line_each(capsys):
    argv = [*LATE, "-m", "auc"]
    limits = ["--max", "log_loss=0.6", "--min", "auc=0.5", "--max", "brier=0.1717"]
    code, out, err = run(capsys, *argv, *limits)
    assert code == 1
    assert out.startswith(FLIGHTS)
    assert err.splitlines() == ["fusedloss: brier of linear_prob is 0.171788399, above the 0.1717 that --max allows"]
    code, _, err = run(capsys, *argv, *limits[:4], "--min", "brier=0.2")
    assert (code, err.count("below the 0.2 that --min allows")) == (1, 2)
    assert run(capsys, *argv, *limits[:4])[0] == 0


def test_a_baseline_is_exit_code_1_where_it_was_better(tmp_path, capsys):
    before = tmp_path / "before.json"
    argv = [*LATE, "-m", "auc"]
    assert run(capsys, *argv, "-o", before)[0] == 0
    assert run(capsys, *argv, "--baseline", before)[0] == 0
    content = json.loads(before.read_text())
    for row in content["results"]:
        row["value"] /= 1.02
    for row in content["metrics"]:
        row["value"] += 0.01
    before.write_text(json.dumps(content))
    code, _, err = run(capsys, *argv, "--baseline", before, "--tol", "1%")
    assert code == 1
    assert len(err.splitlines()) == 2 * 2 + 2
    assert "fusedloss: log_loss of linear_prob is 0.5251" in err
    assert "worse by 0.0103, and 0.00515 is allowed (1%)" in err
    assert "auc of boosted_prob is 0.6342283092, and was 0.6442283092: worse by 0.01" in err
    assert run(capsys, *argv, "--baseline", before, "--tol", "0.02")[0] == 0
    code, _, err = run(capsys, *argv, "--baseline", before, "--tol", "1%", "-l", "absolute_error")
    assert code == 3
    assert "it has no absolute_error of linear_prob; it has log_loss of linear_prob, " in err
    before.write_text("{}")
    code, _, err = run(capsys, *argv, "--baseline", before)
    assert code == 3
    assert "this is no result of `fusedloss score --json`" in err


# ---- errors ------------------------------------------------------------------------------------------------------


COLUMNS = {"y": [1.0, 2.0, None], "f": [1.0, 2.0, 3.0], "neg": [1.0, -2.0, 3.0], "name": ["a", "b", "c"],
           "when": pa.array([1, 2, 3], pa.timestamp("s")), "list": [[1.0], [2.0], [3.0]], "none": [None, None, None]}


@pytest.mark.parametrize(("argv", "message"), [
    (["-t", "y", "-p", "f"], "column 'y' is null in row 2 (counted from 0): pass --nulls ignore"),
    (["-t", "f", "-p", "y"], "column 'y' is null in row 2"),
    (["-t", "yy", "-p", "f"], "column 'yy' is not there; it has y, f, neg, name, when, list, none"),
    (["-t", "f", "-p", "ff"], "column 'ff' is not there"),
    (["-t", "f", "-p", "f", "--by", "gg"], "column 'gg' is not there"),
    (["-t", "name", "-p", "f"], "column 'name' holds string, which cannot be scored: encode it as numbers first"),
    (["-t", "when", "-p", "f"], "column 'when' holds timestamp[ms], which cannot be scored: subtract a reference date"),
    (["-t", "f", "-p", "list"], "column 'list' holds list<element: double>, which cannot be scored: convert it"),
    (["-t", "f", "-p", "f", "--by", "neg"], "column 'neg' holds double, which makes no groups"),
    (["-t", "f", "-p", "f", "-w", "neg"], "neg[1] = -2.0: weights must be finite and not negative"),
    (["-t", "f", "-p", "neg", "-l", "poisson_deviance"], "neg[1] = -2.0: poisson_deviance needs neg to be in (0, inf)"),
    (["-t", "f", "-p", "none", "--nulls", "ignore"],
     "no rows to score: it has 3, all of them taken out (none is null: 3)"),
    (["-t", "f", "-p", "f", "-o", "no/such/place.txt"], "no/such/place.txt: cannot be written"),
])
def test_wrong_data_is_code_3_and_one_line(argv, message, write, capsys):
    path = write(COLUMNS)
    loss = [] if "-l" in argv else ["-l", "half_squared_error"]
    code, out, err = run(capsys, "score", path, *argv, *loss)
    assert (code, out) == (3, "")
    assert err.startswith("fusedloss: " + ("" if "-o" in argv else f"{path}: "))
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("kind", "message"), [
    ("missing", "there is no such file"), ("directory", "there is no file in this directory"),
    ("text", "not a Parquet file"), ("cut", "not a Parquet file, or it is damaged or cut short"),
    ("empty", "not a Parquet file"),
    ("damaged", "damaged"), ("no rows", "no rows to score: it has 0"),
])
def test_a_file_that_cannot_be_read_is_code_3(kind, message, write, tmp_path, capsys):
    path = Path(write({"y": np.arange(5000.0), "f": np.arange(5000.0)}, use_dictionary=False))
    content = path.read_bytes()
    if kind == "missing":
        path = tmp_path / "nothing.parquet"
    elif kind == "directory":
        path = tmp_path / "empty"
        path.mkdir()
    elif kind == "text":
        path.write_text("y,f\n1,2\n")
    elif kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "damaged":
        path.write_bytes(content[:20] + bytes(4000) + content[4020:])
    elif kind == "no rows":
        path = Path(write({"y": np.zeros(0), "f": np.zeros(0)}))
    code, out, err = run(capsys, "score", path, "-t", "y", "-p", "f", "-l", "half_squared_error")
    assert (code, out) == (3, "")
    assert err.startswith(f"fusedloss: {path}: ")
    assert message in err
    assert err.count("\n") == 1


SCORE = ["score", FLIGHTS, "-t", "arr_delay", "-p", "linear"]


@pytest.mark.parametrize(("argv", "message"), [
    ([], "required: COMMAND"),
    (["scores"], "invalid choice"),
    ([*SCORE], "one of these is required: -l/--loss, -m/--metric"),
    ([*SCORE, "-l", "hubr"], "no loss is called 'hubr'; did you mean 'huber'"),
    ([*SCORE, "-l", "huber:delta=-1"], "Huber: delta must be in (0, inf)"),
    ([*SCORE, "-l", "huber:delta=wide"], "Huber: delta must be a number, found 'wide'"),
    ([*SCORE, "-l", "huber:width=1"], "huber has no parameter 'width'"),
    ([*SCORE, "-l", "huber", "-l", "huber"], "huber is given twice"),
    ([*SCORE, "-l", "huber", "-p", "linear"], "linear is given twice"),
    ([*SCORE, "-l", "huber", "--threads", "0"], "whole number of at least 1"),
    ([*SCORE, "-l", "huber", "--nulls", "maybe"], "invalid choice"),
    ([*SCORE, "-m", "acuracy"], "no metric is called 'acuracy'; did you mean 'accuracy'"),
    ([*SCORE, "-m", "auc:size=3"], "auc has no parameter 'size'; it has 'bins'"),
    ([*SCORE, "-m", "coverage"], "--interval: coverage needs one"),
    ([*SCORE, "-l", "huber", "--interval", "a,b"], "it needs --metric coverage or width"),
    ([*SCORE, "-l", "huber", "--interval", "a"], "must be two columns as in low,high"),
    (["score", FLIGHTS, "-t", "late", "-l", "huber"], "huber needs a prediction"),
    ([*SCORE, "-l", "huber", "--max", "huber"], "must be a name and a number as in huber=0.4"),
    ([*SCORE, "-l", "huber", "--max", "brier=1"], "brier is no loss or metric that was asked for"),
    ([*SCORE, "-l", "huber", "--tol", "much"], "a tolerance is a number of at least 0"),
    ([*SCORE, "-l", "huber", "--batch-rows", "1000"], "must be a multiple of 65536"),
    (["list", "--family", "wild"], "invalid choice"),
    (["describe", "hubr"], "did you mean"),
])
def test_wrong_usage_is_code_2(argv, message, capsys):
    code, out, err = run(capsys, *argv)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_without_pyarrow_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    code, out, err = run(capsys, *SCORE, "-l", "huber")
    assert (code, out) == (3, "")
    assert "pip install fusedloss[cli]" in err


def test_ctrl_c_is_code_130_without_a_traceback(monkeypatch, capsys):
    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("fusedloss.scoring.score_files", stopped)
    code, out, err = run(capsys, *SCORE, "-l", "huber")
    assert (code, out, err) == (130, "", "\nfusedloss: stopped\n")


def test_progress_goes_to_stderr(capsys):
    plain = run(capsys, *DELAYS, "--no-progress", "--json")
    code, out, err = run(capsys, *DELAYS, "--progress", "--json")
    assert code == 0
    assert plain[2] == ""
    assert err.startswith("\r[#######################.......]  78%  65,536 of 84,292 rows")
    assert "\r[##############################] 100%  84,292 of 84,292 rows" in err
    assert err.endswith("\r\x1b[K")
    assert json.loads(out)["results"] == json.loads(plain[1])["results"]


# ---- other commands ----------------------------------------------------------------------------------------------


def test_nothing_heavy_for_looking_things_up(run_python):
    out = run_python("""
        import sys
        import fusedloss.cli
        for command in (["list"], ["list", "--json"], ["describe", "huber"], ["cache"]):
            assert fusedloss.cli.main(command) == 0
        sys.exit([name for name in ("numba", "scipy", "pandas", "pyarrow") if name in sys.modules] or 0)
        """)
    assert "pseudo_huber" in out


def test_python_m_and_closed_pipes(run_python):
    done = run_python("""
        import subprocess, sys
        command = [sys.executable, "-m", "fusedloss"]
        print(subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout)
        print(subprocess.run([*command, "describe", "hubr"], capture_output=True, check=False).returncode)
        reader = subprocess.Popen([*command, "list", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        reader.stdout.close()
        print(reader.stderr.read().decode() or "quiet", reader.wait())
        """)
    assert done.split() == ["fusedloss", fl.__version__, "2", "quiet", "0"]


def test_list_has_every_loss_in_every_format(capsys):
    names = list_losses()
    _, text, _ = run(capsys, "list")
    _, markdown, _ = run(capsys, "list", "--format", "md")
    _, plain, _ = run(capsys, "list", "--json")
    assert [line.split()[0] for line in text.splitlines() if line.startswith("  ")] == names
    assert max(map(len, text.splitlines())) <= 100
    rows = [line for line in markdown.splitlines() if line.startswith("| `") and "fl.get" not in line]
    assert [row.split("`")[1] for row in rows] == names
    assert all(row.replace("\\|", "").count("|") == 7 for row in rows)
    assert [row["name"] for row in json.loads(plain)] == names
    _, text, _ = run(capsys, "list", "--family", "quantile")
    assert [line.split()[0] for line in text.splitlines()[1:]] == list_losses("quantile")


def test_describe_says_all_there_is(capsys):
    code, text, _ = run(capsys, "describe", "huber:delta=15")
    assert code == 0
    assert text.rstrip() == parse("huber:delta=15").describe()
    for part in ("Huber: ", parse("huber").formula, "delta = 15 (default 1), in (0, inf)", "hessian, majorizer",
                 "torch.nn.HuberLoss", "1964"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 100
    _, out, _ = run(capsys, "describe", "huber:delta=15", "--json")
    assert json.loads(out) == describe.facts(parse("huber:delta=15"))


@pytest.mark.parametrize("name", list_losses())
def test_every_loss_is_described(name):
    known = describe.facts(example(name))
    assert known["purpose"].endswith(".")
    assert known["formula"]
    assert known["family"]
    assert name in known["get"]
    json.dumps(known, allow_nan=False)


def test_a_loss_without_docstring_is_described():
    class Mine(fl.Elementwise):
        c: float = 2.0

        def value(self, y, f):
            return self.c * (f - y) ** 2

    text = Mine(3.0).describe()
    assert text.startswith("Mine\n")
    assert "c = 3 (default 2), any real number" in text


def test_cache_and_doctor(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FUSEDLOSS_CACHE_DIR", str(tmp_path / "kernels"))
    assert "made when" in run(capsys, "cache")[1]
    cache.save("key", b"payload")
    assert "1 kernels" in run(capsys, "cache", "info")[1]
    code, out, err = run(capsys, "doctor")
    assert (code, err) == (0, "")
    for word in ("fusedloss", "numba", "threads", "executor", "cpu", str(tmp_path / "kernels")):
        assert word in out
    (tmp_path / "kernels").chmod(0o777)
    assert "not used" in run(capsys, "cache")[1]
    (tmp_path / "kernels").chmod(0o700)
    assert run(capsys, "cache", "clear")[1] == "1 kernels deleted\n"
    monkeypatch.setenv("FUSEDLOSS_CACHE_DIR", "")
    assert "off" in run(capsys, "cache")[1]
