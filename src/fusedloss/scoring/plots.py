"""Plots for the command line: curves of losses, histories of training, reliability and slices of a score.

All of them are drawn by matplotlib without a display, and return a figure.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from ..loss import Loss
from .metrics import HIGHER_IS_BETTER
from .score import label
from .sources import DataError
from .text import FEW

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which the colour-blind can tell apart."""

POINTS = 801
MOST_SLICES = 30


def _figure(width, height):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise DataError("plots need matplotlib: pip install fusedloss[plot]") from None
    return Figure(figsize=(width, height), layout="constrained")


def _bare(axes):
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)


def save(figure, path: Path) -> None:
    """Write a figure; the format is that of the file's name (png, svg, pdf)."""
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "fusedloss"}):  # the same plot gives the same file
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)


# ---- losses ------------------------------------------------------------------------------------------------------


def of_losses(losses: list[Loss], bounds: tuple[float, float] | None = None):
    """Value, gradient and curvature of losses of one number, over predictions in `bounds`, at one target.

    The formulas are run as plain Python: nothing is compiled. Curves end where predictions leave a loss's domain.
    """
    rows = [label(loss) for loss in losses if loss.rowwise]
    if rows:
        raise ValueError(f"{rows[0]} takes a row of predictions, and a curve is over one: it cannot be drawn")
    if bounds is None:
        bounds = max((_bounds(loss) for loss in losses), key=lambda pair: pair[1] - pair[0])
    figure = _figure(11, 3.6)
    panels = figure.subplots(1, 3)
    for k, loss in enumerate(losses):
        y, f, curves = curves_of(loss, bounds)
        for axes, curve in zip(panels, curves, strict=True):
            if curve is not None:
                axes.plot(f, curve, color=COLORS[k % len(COLORS)], linestyle=("-", "--", ":")[k // len(COLORS) % 3],
                          label=f"{label(loss)}, y = {y:g}", linewidth=1.6)
    for axes, title in zip(panels, ("value", "gradient", "curvature"), strict=True):
        axes.set_title(title)
        axes.set_xlabel("prediction f")
        axes.set_xlim(bounds)
        _limit(axes)
        _bare(axes)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(3, len(losses)),
                  frameon=False)
    return figure


def curves_of(loss, bounds):
    """(target, predictions, (values, gradients, Hessians)) of a loss; None for a formula that it does not have."""
    y = _target(loss)
    f = np.linspace(*bounds, POINTS)
    f = f[~np.asarray(loss.pred_domain.outside(f), bool)]
    if not f.size:
        raise ValueError(f"{label(loss)} takes predictions {loss.pred_domain}; none of them is in "
                         f"[{bounds[0]:g}, {bounds[1]:g}]")
    curves = [_along(getattr(loss, name), y, f) if hasattr(loss, name) else None
              for name in ("value", "gradient", "hessian")]
    return y, f, curves


def _along(formula, y, f):
    values = []
    for point in f.tolist():
        try:
            values.append(float(formula(y, point)))
        except (ArithmeticError, ValueError):  # an end of the domain, where plain Python raises and a kernel has inf
            values.append(math.nan)
    return values


def _target(loss):
    """1 for classes and where 0 is no target, else 0."""
    domain = loss.y_domain
    return 0.0 if domain.everything else 1.0


def _bounds(loss):
    """Predictions to draw: about the target, inside of the domain."""
    low, high = loss.pred_domain.low, loss.pred_domain.high
    if math.isfinite(low) and math.isfinite(high):
        return low + 0.005 * (high - low), high - 0.005 * (high - low)
    if math.isfinite(low):
        return low + 0.05, low + 4.0
    return (-3.0, 3.0) if loss.y_domain.everything else (-4.0, 4.0)


def _limit(axes):
    """Cut off what a few points at a pole would stretch the axis to."""
    drawn = [np.asarray(line.get_ydata(), float) for line in axes.get_lines()]
    points = np.concatenate([*drawn, [0.0]])
    points = points[np.isfinite(points)]
    low, high = np.quantile(points, [0.05, 0.95])
    if points.max() - points.min() <= 6.0 * (high - low):
        low, high = points.min(), points.max()
    room = 0.08 * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)


# ---- files of JSON -----------------------------------------------------------------------------------------------


def of_file(path: Path):
    """What a file of JSON holds: the result of `fusedloss score`, or a history {metric: [numbers]} of training, maybe one
    for each data set, as `evals_result` of XGBoost and LightGBM is."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path}: this is no JSON ({error})") from None
    if isinstance(content, dict) and "results" in content and "rows_read" in content:
        return _of_scores(path, content)
    return _of_history(path, content)


def _of_history(path, content):
    series = _histories(content)
    if not series:
        raise DataError(f"{path}: it is neither a result of `fusedloss score --json` nor a history such as "
                        '{"train": {"rmse": [0.9, 0.7]}}')
    names = list(dict.fromkeys(metric for _, metric, _ in series))
    sets = list(dict.fromkeys(data for data, _, _ in series))
    figure = _figure(5.2 * min(2, len(names)), 3.4 * math.ceil(len(names) / 2))
    panels = np.ravel(figure.subplots(math.ceil(len(names) / 2), min(2, len(names)), squeeze=False))
    for axes, name in zip(panels, names, strict=False):
        for data, metric, values in series:
            if metric != name:
                continue
            color = COLORS[sets.index(data) % len(COLORS)]
            best = (np.nanargmax if name.partition(":")[0] in HIGHER_IS_BETTER else np.nanargmin)(values)
            axes.plot(range(len(values)), values, color=color, linewidth=1.6,
                      label=f"{data + ': ' if data else ''}best {values[best]:.5g} in round {best}")
            axes.plot(best, values[best], "o", color=color, markersize=5)
        axes.set_title(name)
        axes.set_xlabel("round")
        axes.legend(frameon=False, fontsize="small")
        _bare(axes)
    for axes in panels[len(names):]:
        axes.remove()
    return figure


def _histories(content):
    """[(data set, metric, values)]; empty where this is no history."""
    if not isinstance(content, dict) or not content:
        return []
    nested = content if all(isinstance(value, dict) for value in content.values()) else {"": content}
    series = [(data, metric, values) for data, metrics in nested.items() for metric, values in metrics.items()]
    for k, (data, metric, values) in enumerate(series):
        if not isinstance(values, list) or not values or not all(
                isinstance(value, (int, float)) or value is None for value in values):
            return []
        series[k] = data, metric, np.array([math.nan if value is None else value for value in values], float)
    return [item for item in series if np.isfinite(item[2]).any()]


def _of_scores(path, content):
    reliability = [row for row in content.get("metrics", []) if row["metric"].startswith("ece") and row["group"] is None
                   and row["details"]]
    losses = list(dict.fromkeys(row["loss"] for row in content["results"] if row["group"] is not None))
    if not reliability and not losses:
        raise DataError(f"{path}: there is nothing to draw in it: score with --by for losses by slice, with --metric ece "
                        "for reliability")
    slices = {loss: _slices([row for row in content["results"] if row["loss"] == loss]) for loss in losses}
    columns = len(losses) + bool(reliability)
    tallest = max([4.2, *(1.4 + 0.3 * len(found) for found in slices.values())])
    figure = _figure(1.0 + 4.6 * columns, tallest)
    panels = list(figure.subplots(1, columns, squeeze=False)[0])
    if reliability:
        _draw_reliability(panels.pop(0), reliability)
    for axes, loss in zip(panels, losses, strict=True):
        _draw_slices(axes, loss, content["by"], slices[loss])
    return figure


def _draw_reliability(axes, rows):
    """Mean targets over mean predictions of the bins, by size of the bin; on the diagonal predictions are what happens."""
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--")
    for k, row in enumerate(rows):
        bins = row["details"]["bins"]
        weight = np.array([item["weight"] for item in bins])
        pred, target = ([item[name] for item in bins] for name in ("pred", "target"))
        color = COLORS[k % len(COLORS)]
        axes.plot(pred, target, color=color, linewidth=1.4, label=f"{row['pred']}: {row['metric']} {row['value']:.4f}")
        axes.scatter(pred, target, s=12 + 140 * weight / weight.max(), color=color, alpha=0.6, linewidths=0)
    axes.set_title("reliability (area of a point: weight of its bin)", fontsize="medium")
    axes.set_xlabel("mean prediction")
    axes.set_ylabel("mean target")
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.legend(frameon=False, fontsize="small")
    _bare(axes)


def _slices(rows):
    """{group: its rows}, the largest groups, at most MOST_SLICES of them, the largest first."""
    groups = {}
    for row in rows:
        if row["group"] is not None and row["value"] is not None:
            groups.setdefault(row["group"], []).append(row)
    largest = sorted(groups, key=lambda group: -groups[group][0]["n"])[:MOST_SLICES]
    return {group: groups[group] for group in largest}


def _draw_slices(axes, loss, by, groups):
    """The mean loss of each group with two standard errors to either side."""
    preds = list(dict.fromkeys(row["pred"] for rows in groups.values() for row in rows))
    wide = []
    for k, pred in enumerate(preds):
        places, values, errors = [], [], []
        for place, rows in enumerate(groups.values()):
            for row in rows:
                if row["pred"] == pred:
                    places.append(place + 0.22 * (k - 0.5 * (len(preds) - 1)))
                    values.append(row["value"])
                    errors.append(2.0 * (row["standard_error"] or 0.0))
                    if row["n"] >= FEW or len(groups) == 1:
                        wide += [values[-1] - errors[-1], values[-1] + errors[-1]]
        axes.errorbar(values, places, xerr=errors, fmt="o", color=COLORS[k % len(COLORS)], markersize=4, linewidth=1.2,
                      label=pred)
    axes.set_yticks(range(len(groups)), [f"{group} ({rows[0]['n']:,})" for group, rows in groups.items()])
    axes.invert_yaxis()
    if wide and min(wide) < max(wide):  # a group of five rows would stretch the axis
        room = 0.05 * (max(wide) - min(wide))
        axes.set_xlim(min(wide) - room, max(wide) + room)
    axes.set_title(f"{loss} by {by}, ± 2 standard errors", fontsize="medium")
    axes.legend(frameon=False, fontsize="small")
    _bare(axes)
