"""The bars of scoring: files against merely decoding them, memory, AUC against scikit-learn, accumulators."""

import os
import tempfile

import numpy as np

import fusedloss as fl

ROWS = 5_000_000
LIGHT = ["squared_error"]
EIGHT = ["squared_error", "absolute_error", "huber:delta=0.5", "pinball:quantile=0.9", "pinball:quantile=0.1",
         "pseudo_huber", "brier", "log_loss"]
METRICS = ["accuracy", "f1", "r2", "auc:bins=1000"]


def write(path, rows):
    """Labels and probabilities as pyarrow writes them by default: int8 and float64, row groups of 2^20, snappy."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, pa.schema([("y", pa.int8()), ("p", pa.float64())])) as writer:
        for start in range(0, rows, 2**20):
            n = min(2**20, rows - start)
            p = rng.uniform(0.001, 0.999, n)
            writer.write_table(pa.table({"y": (rng.random(n) < p).astype(np.int8), "p": p}))


def files_over_decoding(settings, interleaved, row):
    """As the tool does it, kernels loaded, against pyarrow reading the two columns into memory, with as many threads."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from fusedloss.scoring import score_files

    from .common import threads

    before = pa.cpu_count()
    pa.set_cpu_count(threads())
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "scores.parquet")
            write(path, ROWS)
            for what, losses, metrics, bar in (
                    ("one loss (squared error)", LIGHT, [], 1.25), ("one loss (log loss)", ["log_loss"], [], 1.25),
                    ("eight losses and four metrics", EIGHT, METRICS, 1.5)):
                seconds = interleaved(
                    settings.rounds, lambda losses=losses, metrics=metrics: score_files(path, "y", ["p"], losses,
                                                                                        metrics=metrics),
                    lambda: pq.read_table(path, columns=["y", "p"]))
                yield row(f"fusedloss score of a Parquet file, two columns, {what}, over pyarrow.parquet.read_table",
                          settings.conditions("int8 and float64", ROWS), seconds, ROWS, bar, at_least=False)
    finally:
        pa.set_cpu_count(before)


PEAK = """
import re, sys
from fusedloss.scoring import score_files

def status(field):
    return int(re.search(field + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

losses, metrics = {losses!r}, {metrics!r}
score_files({small!r}, "y", ["p"], losses, metrics=metrics)  # loads pyarrow, Numba and the kernels
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # VmHWM starts anew
before = status("VmRSS")
score_files({path!r}, "y", ["p"], losses, metrics=metrics)
print((status("VmHWM") - before) / 1e6)
"""


def files_memory(in_child, row):
    """Above what the process had after scoring 65,536 rows."""
    with tempfile.TemporaryDirectory() as folder:
        small = os.path.join(folder, "small.parquet")
        write(small, 65536)
        for rows in (ROWS, 10 * ROWS):
            path = os.path.join(folder, "scores.parquet")
            write(path, rows)
            code = PEAK.format(losses=EIGHT, metrics=METRICS, small=small, path=path)
            yield row("peak memory, fusedloss score, eight losses and four metrics, VmHWM", f"{rows:,}", in_child(code, 2),
                      200, "MB")


def exact_auc(settings, interleaved, row):
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    n = settings.n
    p, w = rng.uniform(size=n), rng.random(n)
    y = (rng.random(n) < p).astype(np.int8)
    for weights, bar in ((None, 5), (w, 2)):
        def ours(weights=weights):
            return fl.score(y, p, [], weights, metrics="auc").metrics[0].value

        def theirs(weights=weights):
            return roc_auc_score(y, p, sample_weight=weights)

        np.testing.assert_allclose(ours(), theirs(), rtol=1e-12)
        seconds = interleaved(max(3, settings.rounds // 5), ours, theirs)
        yield row(f"exact AUC{', weighted' if weights is not None else ''}, against sklearn.metrics.roc_auc_score",
                  settings.conditions("float64"), seconds, n, bar)


def accumulator_update(settings, interleaved, row):
    rng = np.random.default_rng(0)
    y, f = rng.normal(size=(2, 100))
    calls = 2000
    for loss in (fl.Huber(), fl.PseudoHuber()):
        acc = loss.accumulator()

        def repeat(acc=acc):
            for _ in range(calls):
                acc.update(y, f)

        micros = interleaved(settings.rounds, repeat)[:, 0] / calls * 1e6
        yield row(f"{loss.name}: accumulator.update(y, f), warm", settings.conditions("float64", 100, 1), micros, 5, "µs")
