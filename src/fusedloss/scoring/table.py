"""What a scoring run found: rows of mean losses, and rows of paired differences between predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from ..registry import parse


class ScoreRow(NamedTuple):
    """The mean loss of one prediction, over everything (`group` None) or over one group.

    `value` = sum(w*l) / sum(w); `standard_error` = sqrt(sum(w^2 (l - value)^2)) / sum(w); `n` samples counted, with
    `weight` = sum(w); `skipped` samples taken out by a mask, a null or a weight of 0.
    """

    loss: str
    pred: str
    group: object
    value: float
    standard_error: float
    n: int
    weight: float
    skipped: int


class Difference(NamedTuple):
    """The mean of l(pred) - l(baseline), sample by sample, and its standard error: negative means `pred` is better.

    `z` is the difference in standard errors: beyond about 2 in size it is unlikely to be noise, if samples are
    independent.
    """

    loss: str
    pred: str
    baseline: str
    group: object
    value: float
    standard_error: float
    n: int
    weight: float
    skipped: int

    @property
    def z(self) -> float:
        return self.value / self.standard_error if self.standard_error else math.nan


class MetricRow(NamedTuple):
    """A metric of one prediction or interval, over everything (`group` None) or over one group.

    `standard_error` is NaN where there is no formula for it (F1, AUC, ECE, R2, width). `details`: of a binned AUC {"bound":
    by how much it may be wrong}, of ECE {"bins": a list of {low, high, weight, pred, target}, means in the bin}, else None.
    """

    metric: str
    pred: str
    group: object
    value: float
    standard_error: float
    n: int
    weight: float
    skipped: int
    details: dict | None = None


@dataclass
class Scores:
    """The result of `fusedloss.score`: iterate over it for the rows; `scores["log_loss"]` is the row of that loss over
    everything, `scores["log_loss", "model"]` of one prediction, `scores["log_loss", "model", "AA"]` of one group.
    `differences` holds the paired comparisons, `metrics` the metrics: `scores.metric("auc", "model", "AA")`."""

    rows: list[ScoreRow]
    differences: list[Difference]
    rows_read: int
    metrics: list[MetricRow] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    by: str | None = None
    seconds: float = 0.0
    seconds_preparing: float = 0.0
    """Of `seconds`, what it took to load or compile the kernels."""

    def __iter__(self):
        return iter(self.rows)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, key) -> ScoreRow:
        loss, pred, group = (*key, None, None)[:3] if isinstance(key, tuple) else (key, None, None)
        found = [row for row in self.rows if _same_loss(row.loss, loss) and (pred is None or row.pred == pred)
                 and row.group == group]
        if not found:
            raise KeyError(f"no row for {key!r}; losses: {_names(self.rows, 'loss')}; predictions: "
                           f"{_names(self.rows, 'pred')}")
        if len(found) > 1:
            raise KeyError(f"{key!r} has a row for each of {_names(found, 'pred')}: ask for scores[loss, prediction]")
        return found[0]

    def metric(self, name, pred=None, group=None) -> MetricRow:
        """The row of a metric as it was spelled; the prediction may be left out where there is one."""
        found = [row for row in self.metrics if row.metric == name and pred in (None, row.pred) and row.group == group]
        if len(found) != 1:
            what = "no metric" if not found else "more than one metric"
            raise KeyError(f"{what} {name!r} of {pred!r} for {group!r}; metrics: {_names(self.metrics, 'metric')}; "
                           f"predictions: {_names(self.metrics, 'pred')}")
        return found[0]

    def to_dict(self) -> dict:
        """Numbers, strings and lists only, as the command line's `--json` prints them; NaN is None."""
        return {
            "schema": 1,
            "rows_read": self.rows_read,
            "skipped": dict(self.skipped),
            "by": self.by,
            "seconds": self.seconds,
            "seconds_preparing": self.seconds_preparing,
            "results": [_plain(row._asdict()) for row in self.rows],
            "differences": [_plain(row._asdict()) for row in self.differences],
            "metrics": [_plain(row._asdict()) for row in self.metrics],
        }


def _names(rows, attribute):
    return ", ".join(dict.fromkeys(repr(getattr(row, attribute)) for row in rows))


def _same_loss(label, wanted) -> bool:
    if label == wanted:
        return True
    try:
        return parse(label) == (parse(wanted) if isinstance(wanted, str) else wanted)
    except ValueError:
        return False


def _plain(value):
    """The same in numbers, strings, lists and dictionaries that JSON has."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.item() if hasattr(value, "item") else value
