"""The constant row of raw scores that minimises a row loss: where boosting and Newton's method start.

Known in closed form for some losses: a function of the classes' frequencies (`optimum`), or of the targets themselves
(`start`). Of any other it is searched by BFGS, with the loss's own value and gradient of one row repeated for all samples.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np

from .arrays import numpy as arrays

__all__ = ["minimising_row"]

STEPS = 200
TOLERANCE = 1e-10
"""The search ends where no component of the mean gradient is larger."""


def minimising_row(loss, y_true, sample_weight=None):
    """The row c that minimises sum(w l(y, c)), (C,) floats; a float for a loss of a single score."""
    y = arrays.view("y_true", y_true)
    if y.size == 0:
        raise ValueError("y_true is empty: there is nothing to minimise over")
    labels = loss.target == "label" or (loss.target == "classes" and y.ndim == 1)
    columns = columns_of(loss, y, labels)
    start = np.zeros(columns)
    repeated = _repeated(loss, start, len(y))
    loss(y, repeated, sample_weight, "sum")  # checks every target and weight
    w = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    if labels and loss.ignore_index is not None:
        w = np.where(y == loss.ignore_index, 0.0, w)
    if not w.any():
        raise ValueError("no sample has weight: there is nothing to minimise over")
    if getattr(loss, "class_weight", None) is not None and (hasattr(loss, "optimum") or hasattr(loss, "start")):
        loss, w = _weighed(loss, y, repeated, sample_weight, w, labels)
    if hasattr(loss, "optimum"):
        frequencies = np.bincount(y[w > 0], w[w > 0], columns) if labels else (w[:, None] * y).sum(0)
        return np.asarray(loss.optimum(frequencies / frequencies.sum()), np.float64)
    if hasattr(loss, "start"):
        return np.asarray(loss.start(y.astype(np.float64), w / w.sum()), np.float64)
    if loss.target == "number":
        start = _guess(loss, y, columns)

    def mean(c):
        value, gradient = loss.value_and_grad(y, _repeated(loss, c, len(y)), sample_weight)
        return value, gradient.reshape(len(y), -1).sum(0)

    best = _bfgs(mean, start)
    return float(best[0]) if loss.single_score else best


def _weighed(loss, y, repeated, sample_weight, w, labels):
    """The loss with its class weights worked out, or weights of samples that hold them."""
    from .evaluate_rows import class_weights

    weights = class_weights(loss, y, repeated, sample_weight)
    if loss.weighs_classes:
        return replace(loss, class_weight=weights), w
    return loss, w * (weights[np.where(w > 0, y, 0)] if labels else y @ weights)


def columns_of(loss, y, labels):
    """How many columns the predictions have, as far as the loss and its targets say: labels, or rows or numbers."""
    if loss.single_score:
        return 1
    if loss.columns:
        return len(loss.columns)
    if not labels:
        if y.ndim != 2:
            raise ValueError(f"{loss.name} does not say how many columns its predictions have: there is no init_score")
        return y.shape[1]
    kept = y if loss.ignore_index is None else y[y != loss.ignore_index]
    classes = int(kept.max(initial=0)) + 1
    for spec in fields(loss):
        value = getattr(loss, spec.name)
        if isinstance(value, np.ndarray):
            classes = max(classes, value.shape[0])
    return max(1, classes - (loss.n_classes(1) - 1))


def _repeated(loss, c, n):
    return np.broadcast_to(c[0], (n,)) if loss.single_score else np.broadcast_to(c, (n, c.size))


def _guess(loss, y, columns):
    """Where the search for a distribution's parameters starts: the targets' own location and scale where columns say so."""
    guess = np.zeros(columns)
    with np.errstate(all="ignore"):
        location, scale = float(np.median(y)), float(np.log(np.std(y)))
        log_mean = float(np.log(np.mean(y)))
    for k, name in enumerate(loss.columns):
        found = {"location": location, "log_scale": scale if "location" in loss.columns else log_mean, "log_mean": log_mean,
                 "log_rate": log_mean}.get(name, 0.0)
        guess[k] = found if math.isfinite(found) else 0.0
    return guess


def _bfgs(mean, c):
    """The minimum of a smooth function of a few numbers: steps that always go down, doubled back by halves."""
    inverse = np.eye(c.size)
    value, slope = mean(c)
    for _ in range(STEPS):
        if not np.abs(slope).max() > TOLERANCE:
            break
        direction = -inverse @ slope
        if direction @ slope >= 0.0:
            inverse, direction = np.eye(c.size), -slope
        step, floor = min(1.0, 10.0 / max(np.abs(direction).max(), 1e-300)), 1e-14
        while step > floor:
            new_value, new_slope = mean(c + step * direction)
            if new_value <= value + 1e-4 * step * (direction @ slope):
                break
            step *= 0.5
        else:
            break
        moved, turned = step * direction, new_slope - slope
        c, value, slope = c + moved, new_value, new_slope
        bend = moved @ turned
        if bend > 0.0:
            left = np.eye(c.size) - np.outer(moved, turned) / bend
            inverse = left @ inverse @ left.T + np.outer(moved, moved) / bend
    return c
