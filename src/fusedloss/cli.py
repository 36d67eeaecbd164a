"""The command line: score a file, check a loss, and look things up. A thin skin; Numba is loaded only to score, to check,
and by `doctor`.

Results go to stdout, all else to stderr. Exit codes: 0 done, 1 `check` found something wrong or a number is too bad, 2 wrong
usage, 3 something is wrong with the data or with reading and writing it, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from . import __version__, cache
from .losses import FAMILIES
from .registry import example, imported, list_losses, parse

OK, WRONG, USAGE, DATA, INTERRUPTED = 0, 1, 2, 3, 130

EXAMPLE = """example:
  fusedloss score examples/flights.parquet --target arr_delay --pred linear --pred boosted \\
      --loss squared_error --loss huber:delta=15 --by carrier --nulls ignore"""


def main(argv=None) -> int:
    """Run one command; the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without "±" gets "?" for it, not a traceback
            stream.reconfigure(errors="replace")
    try:
        arguments = _parser().parse_args(argv)
        code = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse: --help, --version, usage errors
        return stop.code or OK
    except KeyboardInterrupt:
        print("\nfusedloss: stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _fail(message, code=DATA):
    print(f"fusedloss: {message}", file=sys.stderr)
    return code


# ---- what may be asked -------------------------------------------------------------------------------------------


def _parser():
    parser = argparse.ArgumentParser(
        prog="fusedloss", description="Score predictions by many losses in one pass, and look losses up.",
        epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"fusedloss {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    score = commands.add_parser(
        "score", help="mean losses and metrics of predictions in files, and whether they differ",
        description="Mean losses of one or more predictions, their standard errors, the paired differences between "
                    "predictions, and metrics: over all rows and by groups, in one pass over the files. Exit code 1 where "
                    "--max, --min or --baseline find a number too bad.",
        epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter)
    score.add_argument("file", nargs="+", metavar="FILE",
                       help="Parquet, CSV, Arrow (Feather), NPY or NPZ; a directory of such files; - for stdin")
    score.add_argument("-t", "--target", required=True, metavar="COLUMN", help="the column of what happened")
    score.add_argument("-p", "--pred", action="append", default=[], metavar="COLUMN",
                       help="a column of predictions; again for each one to compare")
    score.add_argument("-l", "--loss", action="append", default=[], type=_loss, metavar="LOSS",
                       help="a loss, such as huber or huber:delta=15; again for more (see `fusedloss list`)")
    score.add_argument("-m", "--metric", action="append", default=[], type=_metric, metavar="METRIC",
                       help="accuracy, precision, recall, f1 (at the probability 0.5, or f1:threshold=0.3), auc, "
                            "auc:bins=1000, ece, log_loss, brier, r2, mae, rmse; of intervals coverage, width")
    score.add_argument("--interval", action="append", default=[], type=_interval, metavar="LOW,HIGH",
                       help="two columns with the ends of an interval, for --metric coverage and width")
    score.add_argument("--by", metavar="COLUMN", help="the same for each group of rows with the same value here")
    score.add_argument("-w", "--weight", metavar="COLUMN", help="weights of the rows")
    score.add_argument("--nulls", choices=("raise", "ignore"), default="raise",
                       help="a row with a null: stop there (the default), or leave it out for all predictions")
    score.add_argument("--threads", type=_threads, metavar="N", help="at most so many threads (default: all there are)")
    score.add_argument("--max", action="append", default=[], type=_limit, metavar="NAME=VALUE",
                       help="exit code 1 if this loss or metric is larger")
    score.add_argument("--min", action="append", default=[], type=_limit, metavar="NAME=VALUE",
                       help="exit code 1 if this loss or metric is smaller")
    score.add_argument("--baseline", type=Path, metavar="FILE",
                       help="the JSON of a run before: exit code 1 if a loss or metric is worse than there")
    score.add_argument("--tol", type=_tolerance, default="0", metavar="TOL",
                       help="how much worse than --baseline is all right: 0.5, or 1%% of the number there (default: 0)")
    score.add_argument("--batch-rows", type=_batch_rows, metavar="N",
                       help="rows in memory at a time, for each thread, a multiple of 65536 (default: 262144)")
    score.add_argument("--input-format", choices=("parquet", "csv", "arrow", "npy", "npz"),
                       help="of the files (default: by their names and first bytes)")
    score.add_argument("--format", choices=("auto", "table", "json", "csv", "md"), default="auto",
                       help="of the result (default: by the name of --output, else a table)")
    score.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    score.add_argument("--progress", action=argparse.BooleanOptionalAction, default=None,
                       help="a progress bar on stderr (default: when it takes long and stderr is a terminal)")
    score.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the result there, not to stdout")
    score.set_defaults(run=_score, parser=score)

    listing = commands.add_parser("list", help="the losses there are")
    listing.add_argument("--family", choices=tuple(FAMILIES), help="only these")
    listing.add_argument("--format", choices=("text", "md", "json"), default="text")
    listing.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    listing.set_defaults(run=_list)

    describe = commands.add_parser("describe", help="one loss: formula, domain, parameters, traps, other names")
    describe.add_argument("loss", type=_described, metavar="NAME", help="such as huber, huber:delta=15, sklearn.log_loss")
    describe.add_argument("--json", action="store_true")
    describe.set_defaults(run=_describe)

    check = commands.add_parser(
        "check", help="whether a loss does what it says: derivatives, kinks, convexity, domain, range, SIMD",
        description="Compare what a loss says about itself with what its formulas do. Exit code 1 if something is wrong.",
        epilog="example:\n  fusedloss check my_losses.py:Cauchy:c=2.5",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    check.add_argument("loss", metavar="LOSS",
                       help="MODULE:NAME or FILE.py:NAME, a loss or its class, with parameters as in FILE.py:NAME:c=2.5; or "
                            "one of `fusedloss list`, such as huber:delta=15")
    check.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True,
                       help="compile it and look at the machine code, too (the default)")
    check.add_argument("--json", action="store_true", help="print JSON, unrounded")
    check.set_defaults(run=_check, parser=check)

    plot = commands.add_parser(
        "plot", help="losses as curves; a history of training, slices and reliability from files of JSON",
        description="Value, gradient and curvature of losses; or, of a file: losses and metrics over the rounds of "
                    "training, losses by slice and reliability of a `fusedloss score --json`.",
        epilog="examples:\n  fusedloss plot huber:delta=1 log_cosh -o robust.svg\n  fusedloss plot history.json",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    plot.add_argument("what", nargs="+", metavar="LOSS|FILE.json", help="losses, or one file of JSON")
    plot.add_argument("--range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="predictions to draw losses over")
    plot.add_argument("-o", "--output", type=Path, metavar="FILE", help="a .png, .svg or .pdf (default: NAME.png)")
    plot.set_defaults(run=_plot, parser=plot)

    bench = commands.add_parser("bench", help="a few seconds of timing on this machine, against NumPy, SciPy and torch")
    bench.set_defaults(run=_bench)

    kernels = commands.add_parser("cache", help="where compiled kernels are kept; `clear` deletes them")
    kernels.add_argument("what", nargs="?", choices=("info", "clear"), default="info")
    kernels.set_defaults(run=_cache)

    doctor = commands.add_parser("doctor", help="versions, threads and cache, as fusedloss finds them here")
    doctor.set_defaults(run=_doctor)
    return parser


def _described(text):
    """The same, and losses whose parameters have no defaults."""
    return text if text in list_losses() else _loss(text)


def _loss(text):
    try:
        parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _metric(text):
    from .scoring.metrics import parse_metric

    try:
        parse_metric(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _interval(text):
    low, comma, high = text.partition(",")
    if not (low and comma and high) or "," in high:
        raise argparse.ArgumentTypeError(f"must be two columns as in low,high, found {text!r}")
    return low, high


def _limit(text):
    name, _, value = text.rpartition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a name and a number as in huber=0.4, found {text!r}") from None


def _tolerance(text):
    from .scoring.gate import allowance

    try:
        allowance(text, 1.0)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _batch_rows(text):
    if not text.isdecimal() or int(text) == 0 or int(text) % 65536:
        raise argparse.ArgumentTypeError(f"must be a multiple of 65536, found {text!r}")
    return int(text)


def _threads(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, found {text!r}")
    return int(text)


# ---- score -------------------------------------------------------------------------------------------------------


def _score(arguments):
    _check_score(arguments)
    output = arguments.output
    if output and not os.access(output if output.exists() else output.parent, os.W_OK):
        return _fail(f"{output}: cannot be written")  # better now than after a long run

    from .scoring import DataError, gate, score_files
    from .scoring.text import written

    bar = _Progress(arguments.progress)
    try:
        scores = score_files(
            arguments.file, arguments.target, arguments.pred, arguments.loss, weight=arguments.weight, by=arguments.by,
            metrics=arguments.metric, intervals=arguments.interval, nulls=arguments.nulls, n_threads=arguments.threads,
            **({"batch_rows": arguments.batch_rows} if arguments.batch_rows else {}),
            input_format=arguments.input_format, progress=bar)
        bar.clear()
        failures = gate.beyond(scores, dict(arguments.max), dict(arguments.min))
        if arguments.baseline:
            failures += gate.worse_than(scores, arguments.baseline, arguments.tol)
    except DataError as error:
        bar.clear()
        return _fail(error)
    predictions = [*arguments.pred, *[" to ".join(pair) for pair in arguments.interval]]
    source = f"{', '.join(arguments.file)}: {arguments.target}, predicted by {', '.join(predictions)}"
    text = written(scores, _format(arguments), source, arguments.weight, compiled=cache.stats["misses"] > 0)
    if output is None:
        sys.stdout.write(text)
    else:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            return _fail(f"{output}: {error.strerror}")
    for line in failures:
        _fail(line)
    return WRONG if failures else OK


def _check_score(arguments):
    """What argparse cannot see: names given twice, limits of what was not asked for, nothing to do."""
    given = {"--pred": arguments.pred, "--loss": arguments.loss, "--metric": arguments.metric,
             "--interval": [",".join(pair) for pair in arguments.interval]}
    for option, names in given.items():
        for name in sorted({name for name in names if names.count(name) > 1}):
            arguments.parser.error(f"argument {option}: {name} is given twice")
    of_intervals = [name for name in arguments.metric if name in ("coverage", "width")]
    others = [*arguments.loss, *(name for name in arguments.metric if name not in of_intervals)]
    if not others and not of_intervals:
        arguments.parser.error("one of these is required: -l/--loss, -m/--metric")
    if bool(of_intervals) != bool(arguments.interval):
        arguments.parser.error("argument --interval: " + (f"{of_intervals[0]} needs one" if of_intervals else
                               "it needs --metric coverage or width"))
    if bool(others) != bool(arguments.pred):
        arguments.parser.error("argument -p/--pred: " + (f"{others[0]} needs a prediction" if others else
                               "there is no loss or metric of it"))
    for option, limits in (("--max", arguments.max), ("--min", arguments.min)):
        for name, _ in limits:
            if name not in [*arguments.loss, *arguments.metric]:
                arguments.parser.error(f"argument {option}: {name} is no loss or metric that was asked for")


def _format(arguments):
    if arguments.format != "auto":
        return arguments.format
    suffix = arguments.output.suffix.lower() if arguments.output else ""
    return {".json": "json", ".csv": "csv", ".md": "md"}.get(suffix, "table")


class _Progress:
    """A bar on stderr. Unless `wanted` says so or forbids it: on a terminal only, and after a second."""

    def __init__(self, wanted):
        self.shown = wanted if wanted is not None else sys.stderr.isatty()
        self.started = time.monotonic()
        self.first = None
        self.quiet = 0.0 if wanted else 1.0
        self.drawn = False

    def __call__(self, done, total):
        now = time.monotonic()
        self.first = self.first or (now, done)  # the first part waited for the kernels, the rest do not
        if not self.shown or now - self.started < self.quiet:
            return
        if total is None:
            sys.stderr.write(f"\r{done:,} rows\x1b[K")
            sys.stderr.flush()
            self.drawn = True
            return
        passed, scored = now - self.first[0], done - self.first[1]
        left = f"{passed * (total - done) / scored:.0f} s left" if scored else ""
        filled = round(30 * done / total)
        bar = "#" * filled + "." * (30 - filled)
        sys.stderr.write(f"\r[{bar}] {done / total:4.0%}  {done:,} of {total:,} rows  {left}\x1b[K")
        sys.stderr.flush()
        self.drawn = True

    def clear(self):
        """Leave the line as it was."""
        if self.drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


# ---- looking things up -------------------------------------------------------------------------------------------


def _list(arguments):
    from .describe import facts, table_markdown, table_text

    if arguments.format == "json":
        print(json.dumps([facts(example(name)) for name in list_losses(arguments.family)], indent=2))
    else:
        print((table_markdown if arguments.format == "md" else table_text)(arguments.family))
    return OK


def _describe(arguments):
    from .describe import describe, facts

    loss = example(arguments.loss) if arguments.loss in list_losses() else parse(arguments.loss)
    print(json.dumps(facts(loss), indent=2) if arguments.json else describe(loss))
    return OK


def _check(arguments):
    from .checking import check

    try:
        loss = imported(arguments.loss)
    except (TypeError, ValueError) as error:
        arguments.parser.error(f"argument LOSS: {error}")
    try:
        report = check(loss, compile=arguments.compile)
    except ImportError as error:
        return _fail(error, USAGE)
    print(json.dumps(report.to_dict(), indent=2, allow_nan=False) if arguments.json else report)
    return OK if report.ok else WRONG


def _plot(arguments):
    from .scoring import DataError, plots

    what, output = arguments.what, arguments.output
    file = Path(what[0]) if what[0].endswith(".json") else None
    if file and len(what) > 1:
        arguments.parser.error(f"argument LOSS|FILE.json: one file at a time, found {len(what)} names")
    if arguments.range and arguments.range[0] >= arguments.range[1]:
        arguments.parser.error("argument --range: LOW must be smaller than HIGH")
    output = output or Path(f"{file.stem if file else what[0].partition(':')[0]}.png")
    if output.suffix not in (".png", ".svg", ".pdf"):
        arguments.parser.error(f"argument -o/--output: must end in .png, .svg or .pdf, found {output}")
    try:
        figure = plots.of_file(file) if file else plots.of_losses([parse(text) for text in what], arguments.range)
        plots.save(figure, output)
    except ValueError as error:
        arguments.parser.error(f"argument LOSS|FILE.json: {error}")
    except OSError as error:
        return _fail(f"{output}: {error.strerror}")
    except DataError as error:
        return _fail(error)
    print(output)
    return OK


def _bench(arguments):
    from .scoring import bench

    print(bench.environment())
    print(bench.table())
    return OK


def _cache(arguments):
    if arguments.what == "clear":
        print(f"{cache.clear()} kernels deleted")
    else:
        print(_cache_state())
    return OK


def _cache_state():
    place = cache.directory()
    if place is None:
        return "off (FUSEDLOSS_CACHE_DIR is empty, or there is no home directory)"
    if not place.exists():
        return f"{place}, made when the first kernel is compiled"
    if refusal := cache.refusal(place):
        return f"not used: {refusal}"
    sizes = [file.stat().st_size for file in place.glob("*.kernel")]
    return f"{place}: {len(sizes)} kernels, {sum(sizes) / 2**20:.1f} MiB (at most {cache.MAX_BYTES >> 20} are kept)"


def _doctor(arguments):
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import llvmlite.binding

    from . import drivers

    def installed(name):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return f"{name} not installed"

    threads = drivers.thread_limit()
    named = [f"{name}={os.environ[name]}" for name in
             ("FUSEDLOSS_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS") if os.environ.get(name)]
    objection = drivers.numba_objection()
    if threads == 1:
        executor = "serial: there is one thread"
    else:
        executor = f"our own threads: {objection}" if objection else f"Numba's threads, layer {drivers._numba_layer()}"
    for name, value in {
        "fusedloss": f"{__version__}, {Path(__file__).parent}",
        "python": f"{platform.python_version()} on {platform.platform()}",
        "packages": ", ".join(map(installed, ("numpy", "numba", "llvmlite", "pyarrow"))),
        "cpu": f"{llvmlite.binding.get_host_cpu_name()}, {os.cpu_count()} in the machine",
        "threads": f"{threads}: {drivers.cpu_limit()} allowed by affinity and cgroup"
                   + (f"; {', '.join(named)}" if named else ""),
        "executor": executor,
        "cache": _cache_state(),
    }.items():
        print(f"{name:<10} {value}")
    return OK
