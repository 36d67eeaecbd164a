"""The best constants for the leaves of a tree: what boosting adds to the raw scores of the samples in each leaf.

With d the vector of constants, one per leaf, the summed loss is a sum of functions of one number each. Of losses whose
minimiser is a quantile the best d_k is the weighted quantile of the errors y - f in leaf k, found by selection. Any other
loss is minimised in all leaves at once by passes over the samples, O(n) each: one call of `grad_and_hess`, and sums per
leaf. In every leaf the search goes downhill from 0 until the slope changes its sign, and closes in on that place by Newton's
method, and by bisection where it does not help; leaves that have found it leave the passes.
"""

from __future__ import annotations

import numpy as np

from . import compile
from .arrays import numpy as arrays

__all__ = ["leaf_values"]

EPSILON = 2.0**-52
PASSES = 300
FARTHEST = 2.0**100
"""A loss that still falls so far out falls for ever; float32 ends soon after."""
VANISHED = 1e-30
"""A mean slope below it that then becomes 0 has underflowed: the loss falls for ever. No curvature below it is one."""


def leaf_values(loss, y_true, y_pred, leaf_ids, sample_weight=None):
    """See `Loss.leaf_value`."""
    if loss.rowwise and not loss.single_score:
        raise ValueError(f"{loss.name} has a row of raw scores per sample, whose best constants depend on one another; take "
                         "a Newton step -sum(g) / sum(h) per leaf and column, g, h = grad_and_hess(..., hessian=...) with "
                         f"one of {', '.join(map(repr, loss.curvatures))}")
    y, f = arrays.view("y_true", y_true), arrays.view("y_pred", y_pred)
    if f.ndim != 1:
        raise ValueError(f"y_pred has shape {f.shape}; leaf_value takes one raw score per sample, shape (n,)")
    y = arrays.target_like(y, f)
    ids = _ids(leaf_ids, f)
    w = None
    if sample_weight is not None:
        w = arrays.per_sample("sample_weight", arrays.view("sample_weight", sample_weight), f)
    leaves = int(ids.max(initial=-1)) + 1
    if hasattr(loss, "quantile_level"):
        loss(y, f, w, "sum")  # checks every target, prediction and weight
        return _quantiles(y, f, ids, w, leaves, loss.quantile_level)
    return _Search(loss, y, f, ids, w, leaves).run()


def _ids(leaf_ids, f):
    ids = arrays.view("leaf_ids", leaf_ids)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"leaf_ids has dtype {ids.dtype}; they must be integers: pass leaf_ids.astype(numpy.int64)")
    if ids.shape != f.shape:
        raise ValueError(f"leaf_ids has shape {ids.shape}; it must have the shape of y_pred, {f.shape}")
    wrong = np.flatnonzero(ids < 0)
    if wrong.size:
        raise ValueError(f"leaf_ids[{wrong[0]}] = {ids[wrong[0]]}: leaves are counted from 0; leave samples that are in no "
                         "leaf out, or give them a leaf and weight 0")
    return ids.astype(np.int64, copy=False)


def _quantiles(y, f, ids, w, leaves, level):
    with np.errstate(invalid="ignore"):  # of samples without weight
        residual = np.subtract(y, f, dtype=np.float64)
    weight = np.ones(f.size) if w is None else np.ascontiguousarray(w, np.float64)
    first, result = np.zeros(leaves + 1, np.int64), np.empty(leaves)
    compile.leaf_quantiles()(residual, weight, np.ascontiguousarray(ids), level, first, *np.empty((2, f.size)), result)
    return result


class _Search:
    """All leaves on their way to their minima, each along the line downhill from 0: at `side` t, t >= 0."""

    def __init__(self, loss, y, f, ids, w, leaves):
        self.loss, self.domain, self.leaves = loss, loss.pred_domain, leaves
        self.y, self.f, self.ids, self.w = y, f, ids, w
        self.dtype = arrays.COMPUTED_IN.get(f.dtype, np.float64)
        self.precision = float(np.finfo(self.dtype).eps)
        self.tolerance = 0.0 if loss.smooth else 8.0 * self.precision  # slopes of kinks cancel up to rounding

    def run(self):
        """The constants."""
        result, going = np.zeros(self.leaves), np.ones(self.leaves, np.bool_)

        def settle(leaves, values):
            leaves = leaves & going
            result[leaves] = np.broadcast_to(values, result.shape)[leaves]
            going[leaves] = False

        with np.errstate(all="ignore"):
            weight = np.bincount(self.ids, self.w, self.leaves)
            raw, curvature, size = self.slopes(result)
            side = -np.sign(raw)
            settle(np.isnan(raw), np.nan)
            settle(raw == 0.0, 0.0)
            end, (scale, size_of_score) = self.ends(side), self.scales()
            # the slope along the line is negative up to `low`, where it is -`left`, and is not at `high`, if that is known
            t, low, high, left, slope = np.zeros(self.leaves), np.zeros(self.leaves), end.copy(), abs(raw), -abs(raw)
            step = scale * (0.5 if self.loss.convex else 0.0625)
            for passes in range(PASSES):
                self.forget(going)
                usable = (curvature > VANISHED * weight) & np.isfinite(curvature) & np.isfinite(slope)
                newton = np.where(usable, -slope / curvature, np.inf)
                better = t + newton
                bracketed, shrinks = high < end, abs(newton) <= 0.5 * step
                rounding = self.precision * size
                resolution = self.precision * (size_of_score + t)
                converged = (abs(slope) <= 2.0 * rounding) | (abs(newton) <= 4.0 * resolution)
                noise = ~shrinks & ((abs(slope) <= 64.0 * rounding) | (abs(newton) <= 64.0 * resolution))
                settle(usable & (converged | noise), side * np.clip(better, low, high))
                walks = ~bracketed & (newton <= np.maximum(scale, 4.0 * step)) & ((passes < 8) | (newton >= 2.0 * step))
                blind = np.where(bracketed | (t + 2.0 * step >= end), 0.5 * low + 0.5 * high, t + 2.0 * step)
                following = np.where((low < better) & (better < high) & (shrinks & bracketed | walks), better, blind)
                narrow = ~((low < following) & (following < high)) | (high - low <= EPSILON * EPSILON * scale)
                settle(narrow & bracketed & (left < VANISHED * weight), side * np.inf)
                settle(narrow, side * high)
                settle(following > FARTHEST, side * np.inf)
                if not going.any():
                    break
                t, step = np.where(going, following, t), abs(following - t)
                raw, curvature, size = self.slopes(side * t)
                slope = side * raw
                settle(np.isnan(slope), np.nan)
                settle((slope == 0.0) & (curvature > VANISHED * weight), side * t)
                falls = slope < 0.0
                low, left, high = np.where(falls, t, low), np.where(falls, -slope, left), np.where(falls, high, t)
            settle(going, side * (0.5 * low + 0.5 * high))
        return result

    def slopes(self, constants):
        """Per leaf the sums of gradient, Hessian and |gradient| with these constants added to the raw scores."""
        f = (self.f + constants[self.ids]).astype(self.dtype, copy=False)
        if not self.domain.everything:
            f = np.clip(f, *self.innermost())
        if hasattr(self.loss, "hessian"):
            g, h = self.loss.grad_and_hess(self.y, f, self.w)
            curvature = np.bincount(self.ids, h, self.leaves)
        else:
            g, curvature = self.loss.grad(self.y, f, self.w, "none"), np.zeros(self.leaves)
        slope, size = np.bincount(self.ids, g, self.leaves), np.bincount(self.ids, abs(g), self.leaves)
        slope[abs(slope) <= self.tolerance * size] = 0.0
        return slope, curvature, size

    def forget(self, going):
        """Leave out the samples of leaves that are settled, once they are many."""
        kept = going[self.ids]
        if np.count_nonzero(kept) <= 0.75 * kept.size:
            self.y, self.f, self.ids = self.y[kept], self.f[kept], self.ids[kept]
            self.w = None if self.w is None else self.w[kept]

    def innermost(self):
        """The smallest and the largest number of the predictions' domain: a rounding may lead beyond."""
        domain, F = self.domain, self.dtype
        return (F(domain.low) if domain.low_closed else np.nextafter(F(domain.low), F(np.inf)),
                F(domain.high) if domain.high_closed else np.nextafter(F(domain.high), F(-np.inf)))

    def counted(self):
        """An index of the samples that have weight."""
        return slice(None) if self.w is None else self.w > 0

    def ends(self, side):
        """How far each leaf may go before one of its predictions leaves the domain."""
        end = np.full(self.leaves, np.inf)
        if self.domain.everything:
            return end
        smallest, largest = np.full(self.leaves, np.inf), np.full(self.leaves, -np.inf)
        counts = self.counted()
        np.minimum.at(smallest, self.ids[counts], self.f[counts])
        np.maximum.at(largest, self.ids[counts], self.f[counts])
        return np.where(side < 0.0, smallest - self.domain.low, self.domain.high - largest)

    def scales(self):
        """The size of a first step, and that of a raw score, whose roundings limit how well a constant can be known: the
        errors' root mean square and the scores' mean size, where predictions have the targets' unit; else 1 and 1 more."""
        counts = self.counted()
        f, ids = self.f[counts].astype(np.float64), self.ids[counts]
        samples = np.bincount(ids, minlength=self.leaves)
        size = np.bincount(ids, abs(f), self.leaves) / samples
        if self.loss.link != "identity" or self.loss.rowwise:
            return np.ones(self.leaves), 1.0 + size
        error = self.y[counts] - f
        step = np.sqrt(np.bincount(ids, error * error, self.leaves) / samples)
        return np.where((step > 0) & (step < np.inf), step, 1.0), size
