"""Scores as a table for a person: what is better, by how much, and whether that is more than noise.

A number is shown to the digits that its standard error supports: two significant digits of the error, and as many
decimals of the number.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter

from .table import Difference, Scores

CLEAR = 2.0
"""|z| from which a difference is called clear."""

FEW = 30
"""Samples below which z says too little to call anything."""

MOST_GROUPS = 40
LONGEST_LABEL = 24


def report(scores: Scores, source: str = "", weight: str | None = None, compiled: bool = False) -> str:
    """The whole page: what was scored (`source`), the tables, what was read and how fast.

    `weight` is the name of the weights; `compiled` says whether kernels had to be compiled, not only loaded.
    """
    blocks = [*(_blocks(scores) if scores.rows else []), *_metric_blocks(scores)]
    return "\n\n".join([*([source] if source else []), *blocks, _footer(scores, weight, compiled)]) + "\n"


def written(scores: Scores, format: str, source: str, weight: str | None, compiled: bool) -> str:
    """The result as "table", "json", "csv" or "md"; the other arguments as for `report`."""
    if format == "json":
        return json.dumps(scores.to_dict(), indent=2, allow_nan=False) + "\n"
    if format == "csv":
        return as_csv(scores)
    return as_markdown(scores) if format == "md" else report(scores, source, weight, compiled)


FIELDS = ("kind", "name", "pred", "baseline", "group", "value", "standard_error", "n", "weight", "skipped")


def as_csv(scores: Scores) -> str:
    """Every number, unrounded, a line each; `kind` is loss, difference or metric."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    for kind, row in _all_rows(scores):
        values = [row[0], row.pred, getattr(row, "baseline", ""), "" if row.group is None else row.group, *_numbers(row)]
        writer.writerow([kind, *values])
    return text.getvalue()


def as_markdown(scores: Scores) -> str:
    """The same as a table of Markdown, rounded to what the errors support."""
    lines = ["| | prediction | group | value | standard error | n |", "|---|---|---|---|---|---|"]
    for kind, row in _all_rows(scores):
        value, error = number(row.value, row.standard_error)
        pred = f"{row.pred} - {row.baseline}" if kind == "difference" else row.pred
        group = "" if row.group is None else str(row.group)
        cells = [f"`{row[0]}`", pred, group, value, error if math.isfinite(row.standard_error) else "", f"{row.n:,}"]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _all_rows(scores):
    for kind, rows in (("loss", scores.rows), ("difference", scores.differences), ("metric", scores.metrics)):
        for row in rows:
            yield kind, row


def _numbers(row):
    return [repr(row.value), repr(row.standard_error), row.n, repr(row.weight), row.skipped]


def better(difference: Difference) -> str | None:
    """The name of the prediction that is clearly better, None where neither is."""
    if difference.n < FEW or not abs(difference.value) >= CLEAR * difference.standard_error or not difference.value:
        return None
    return difference.pred if difference.value < 0 else difference.baseline


def verdict(difference: Difference) -> str:
    """A paired difference in words."""
    name = better(difference)
    if name:
        return f"{name} better"
    if difference.value == difference.standard_error == 0:
        return "the same"
    return f"fewer than {FEW} rows" if difference.n < FEW else "no clear difference"


def number(value: float, error: float) -> tuple[str, str]:
    """A number and its standard error as text, rounded to what the error supports."""
    if not math.isfinite(value) or not math.isfinite(error) or error <= 0:
        return (f"{value:,.6g}" if math.isfinite(value) else str(value)), ("0" if error == 0 else "?")
    decimals = 1 - math.floor(math.log10(error))
    if decimals > 9 or abs(value) >= 1e12:
        digits = decimals + math.floor(math.log10(abs(value) or error))
        return f"{value:.{max(1, digits)}e}", f"{error:.1e}"
    shown = max(0, decimals)
    return f"{round(value, decimals):,.{shown}f}", f"{round(error, decimals):,.{shown}f}"


# ---- blocks ------------------------------------------------------------------------------------------------------


def _blocks(scores):
    """A line per loss over everything, then a table per loss over the groups (for one model: a column per loss)."""
    found = {(row.loss, row.pred, row.group): row for row in scores}
    differences = {}
    for row in scores.differences:
        differences.setdefault((row.loss, row.group), []).append(row)
    losses = list(dict.fromkeys(row.loss for row in scores))
    preds = list(dict.fromkeys(row.pred for row in scores))

    def line(name, loss, group):
        return name, [found[loss, pred, group] for pred in preds], differences.get((loss, group), [])

    groups, left_out = _shown_groups(scores)
    if scores.by and len(preds) == 1:
        return [_table(scores.by, losses, [(name, [found[loss, preds[0], group] for loss in losses], [])
                                           for name, group in [("(all)", None), *groups]]), *left_out]
    blocks = [_overview("loss", preds, [line(loss, loss, None) for loss in losses])]
    if len(preds) > 2:
        blocks.append(_overview("pair", [], [(f"{row.loss}  {row.pred} - {row.baseline}", [], [row])
                                             for row in scores.differences if row.group is None]))
    if scores.by:
        for loss in losses:
            lines = [line(name, loss, group) for name, group in groups]
            blocks.append(f"{loss} by {scores.by}: {_tally(lines)}\n{_table(scores.by, preds, lines)}")
    return [*blocks, *left_out]


def _metric_blocks(scores):
    """A line per metric over everything, then a table per metric over the groups."""
    if not scores.metrics:
        return []
    found = {(row.metric, row.pred, row.group): _of_metric(row) for row in scores.metrics}
    names, preds = (list(dict.fromkeys(column)) for column in list(zip(*scores.metrics, strict=True))[:2])

    def table(corner, lines):
        columns = [_column(corner, [name for name, _, _ in lines], str.ljust)]
        columns += [_column(pred, [found.get((metric, pred, group), "") for _, metric, group in lines]) for pred in preds]
        return _joined(columns)

    blocks = [table("metric", [(name, name, None) for name in names])]
    if scores.by:
        groups, left_out = _shown_groups(scores)
        blocks += [f"{name} by {scores.by}:\n{table(scores.by, [(text, name, group) for text, group in groups])}"
                   for name in names]
        blocks += [] if scores.rows else left_out
    return blocks


def _of_metric(row):
    if math.isfinite(row.standard_error):
        return " ± ".join(number(row.value, row.standard_error))
    text = f"{row.value:,.6g}" if math.isfinite(row.value) else str(row.value)
    return f"{text} (off by {row.details['bound']:.1g} at most)" if row.details and "bound" in row.details else text


def _tally(lines):
    """`boosted better in 11, linear in 1, neither clearly in 4`."""
    counts = Counter(better(_best_and_next(rows, differences)) for _, rows, differences in lines)
    neither = counts.pop(None, 0)
    words = [f"{name} {'' if k else 'better '}in {count}" for k, (name, count) in enumerate(counts.most_common())]
    return ", ".join([*words, *([f"neither clearly in {neither}"] if neither else [])])


def _shown_groups(scores):
    """(text, label) of at most MOST_GROUPS groups, names by size and numbers in their order; a line on the others."""
    all_rows = scores.rows or scores.metrics
    rows = [row for row in all_rows if row[:2] == all_rows[0][:2] and row.group is not None]
    largest = sorted(rows, key=lambda row: -row.n)[:MOST_GROUPS]
    by_name = all(isinstance(row.group, str) for row in rows)
    shown = largest if by_name else [row for row in rows if row in largest]
    left_out = len(rows) - len(shown)
    return ([(_shortened(row.group), row.group) for row in shown],
            [f"{left_out:,} smaller groups are not shown (--json has all)."] if left_out else [])


def _shortened(label):
    text = str(label)
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 3] + "..."


def _table(corner, models, lines):
    """Lines of (name, a row per model, their paired differences) as aligned text."""
    counts = _column("n", [f"{rows[0].n:,}" for _, rows, _ in lines])
    names, *numbers = _columns(corner, models, lines, _on_the_point)
    return _joined([names, counts, *numbers])


def _overview(corner, models, lines):
    """The same, where each line has its own unit."""
    return _joined(_columns(corner, models, lines, list))


def _columns(corner, models, lines, align):
    """Names, models, and the paired difference: of several the one between the best model and the next."""
    yield _column(corner, [name for name, _, _ in lines], str.ljust)
    for k, model in enumerate(models):
        yield _column(model, _measured([rows[k] for _, rows, _ in lines], align))
    if any(differences for _, _, differences in lines):
        compared = [_best_and_next(rows, differences) for _, rows, differences in lines]
        yield _column(_pair(models, compared), _measured(compared, align))
        yield _column("z", [f"{row.z:.1f}" if math.isfinite(row.z) else "?" for row in compared])
        yield _column("", [verdict(row) for row in compared], str.ljust)


def _joined(columns):
    return "\n".join("   ".join(cells).rstrip() for cells in zip(*columns, strict=True))


def _column(head, cells, align=str.rjust):
    width = max(map(len, [head, *cells]))
    return [align(cell, width) for cell in [head, *cells]]


def _measured(rows, align):
    """`value ± error` of each row."""
    pairs = [number(row.value, row.standard_error) for row in rows]
    values, errors = (align([pair[k] for pair in pairs]) for k in range(2))
    return [f"{value} ± {error}" for value, error in zip(values, errors, strict=True)]


def _on_the_point(texts):
    """Padded so that the decimal points stand below each other."""
    whole = max(len(text.partition(".")[0]) for text in texts)
    padded = [" " * (whole - len(text.partition(".")[0])) + text for text in texts]
    return _column("", padded, str.ljust)[1:]


def _best_and_next(rows, differences):
    if len(rows) < 3:
        return differences[0]
    best, second = sorted(rows, key=lambda row: (math.isnan(row.value), row.value))[:2]
    found = next(row for row in differences if {row.pred, row.baseline} == {best.pred, second.pred})
    if found.pred == best.pred:
        return found
    return found._replace(pred=found.baseline, baseline=found.pred, value=-found.value)


def _pair(models, compared):
    if len(models) == 2:
        return f"{compared[0].pred} - {compared[0].baseline}"
    return "best - next" if models else "difference"


# ---- below the tables --------------------------------------------------------------------------------------------


def _footer(scores, weight, compiled):
    rows = [*scores.rows, *scores.metrics]
    lines = []
    if any(math.isfinite(row.standard_error) for row in rows):
        lines.append("± standard error, of rows taken as independent (in clusters, such as days or customers, it is "
                     "larger).")
    if scores.differences:
        lines.append(f"z = difference / its standard error, called better from {CLEAR:g} on. Losses: lower is better.")
    if weight:
        lines.append(f"Rows are weighted by {weight}.")
    if any(math.isnan(row.value) for row in rows if row.n):
        lines.append("nan: a number there is NaN. That is not a null, and never left out silently.")
    skipped = "; ".join(f"{count:,} skipped: {reason}" for reason, count in scores.skipped.items())
    lines.append(f"{scores.rows_read:,} rows read, {rows[0].n:,} scored" + (f"; {skipped}" if skipped else ""))
    return "\n".join([*lines, _time(scores, compiled)])


def _time(scores, compiled):
    running = max(scores.seconds - scores.seconds_preparing, 1e-9)
    rate = f"{float(f'{scores.rows_read / running:.2g}'):,.0f} rows per second"
    if scores.seconds_preparing < 0.1 * scores.seconds:
        return f"{scores.seconds:.2g} s, {rate}"
    what = "compile the kernels (kept for the next run)" if compiled else "load the kernels"
    return f"{scores.seconds:.2g} s: {scores.seconds_preparing:.2g} s to {what}, {running:.2g} s for the data, {rate}"
