"""A gate for CI jobs: which numbers over all rows are worse than limits, or than those of a run before."""

from __future__ import annotations

import json
import math
from pathlib import Path

from .metrics import HIGHER_IS_BETTER
from .sources import DataError
from .table import Scores, _same_loss


def beyond(scores: Scores, largest: dict[str, float], smallest: dict[str, float]) -> list[str]:
    """A line for each loss and metric above its `largest` or below its `smallest` value, or NaN."""
    lines = []
    for limits, word, option in ((largest, "above", "--max"), (smallest, "below", "--min")):
        for name, limit in limits.items():
            for row in _rows(scores):
                worse = row[3] > limit if option == "--max" else row[3] < limit
                if _is(row, name) and (worse or math.isnan(row[3])):
                    lines.append(f"{name} of {row[1]} is {row[3]:.10g}, {word} the {limit:.10g} that {option} allows")
    return lines


def worse_than(scores: Scores, baseline: Path, tolerance: str) -> list[str]:
    """A line for each loss and metric that is worse than in `baseline`, the JSON of a run before, by more than `tolerance`:
    a number, or percent of the number there ("1%"). Of coverage a change in either direction is worse."""
    known = _known(baseline)
    lines = []
    for row in _rows(scores):
        name, pred, value = row[0], row[1], row[3]
        kind = "metrics" if hasattr(row, "metric") else "results"
        if (kind, name, pred) not in known:
            raise DataError(f"{baseline}: it has no {name} of {pred}; it has "
                            f"{', '.join(f'{n} of {p}' for k, n, p in known if k == kind) or 'none at all'}")
        before = known[kind, name, pred]
        if before is None:
            raise DataError(f"{baseline}: its {name} of {pred} is no number")
        allowed = allowance(tolerance, before)
        change = value - before
        if kind == "metrics" and name.partition(":")[0] == "coverage":
            change = abs(change)
        elif kind == "metrics" and name.partition(":")[0] in HIGHER_IS_BETTER:
            change = -change
        if not change <= allowed:
            lines.append(f"{name} of {pred} is {value:.10g}, and was {before:.10g}: worse by {abs(value - before):.3g}, and "
                         f"{allowed:.3g} is allowed ({tolerance})")
    return lines


def allowance(tolerance: str, before: float) -> float:
    """How much worse than `before` a number may be. ValueError for a text that is no tolerance."""
    share = tolerance.endswith("%")
    try:
        number = float(tolerance.removesuffix("%"))
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError(f"a tolerance is a number of at least 0 such as 0.5, or percent such as 1%, found {tolerance!r}")
    return number / 100 * abs(before) if share else number


def _rows(scores):
    return [row for row in [*scores.rows, *scores.metrics] if row.group is None]


def _is(row, name):
    return row[0] == name or (not hasattr(row, "metric") and _same_loss(row[0], name))


def _known(path):
    """(kind, name, pred) -> value over all rows, from the JSON of a run."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["schema"] != 1:
            raise ValueError(f"it has schema {content['schema']!r}, and this version reads 1")
        names = {"results": "loss", "metrics": "metric"}
        return {(kind, row[name], row["pred"]): row["value"] for kind, name in names.items()
                for row in content.get(kind, []) if row["group"] is None}
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: this is no result of `fusedloss score --json` ({error})") from None
