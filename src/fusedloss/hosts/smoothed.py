"""Smooth stand-ins for losses with a kink, for hosts that do not find the leaves of a custom objective again."""

from __future__ import annotations

from ..domain import OPEN_UNIT, POSITIVE
from ..loss import Elementwise, parameter
from ..vecmath import sqrt, tanh

__all__ = ["RootOfError", "SmoothedPinball"]


class RootOfError(Elementwise):
    """sqrt(|f - y|): the square of its mean is a scale of the errors that few large ones hardly move."""

    def value(self, y, f):
        return sqrt(abs(f - y))


class SmoothedPinball(Elementwise):
    r"""The pinball loss with its kink rounded off over 4 % of the errors' scale, times that scale.

    g = S/2 (tanh(x) + 1 - 2 tau), h = 12.5 max(tanh(x) / x, 3e-4), x = r / (0.04 S), r = f - y.

    `scale` is S = (mean sqrt|r|)^2, worked out for each round: the kink sharpens as the errors shrink. h belongs to the
    parabola that touches the smoothed loss and lies above it (tanh(x) / x falls in |x|), so a leaf's Newton value
    -sum(g) / sum(h) is a step of iteratively reweighted least squares towards its quantile.
    As XGBoost 3.4 grows trees for quantiles; Hunter and Lange, "Quantile Regression via an MM Algorithm", 2000.
    """

    quantile: float = parameter(0.5, OPEN_UNIT)
    scale: float = parameter(1.0, POSITIVE)

    @property
    def half_scale(self):
        return 0.5 * self.scale

    @property
    def rate(self):
        return 25.0 / self.scale

    @property
    def tilt(self):
        return 1.0 - 2.0 * self.quantile

    def gradient(self, y, f):
        return self.half_scale * (tanh(self.rate * (f - y)) + self.tilt)

    def hessian(self, y, f):
        x = max(self.rate * abs(f - y), 1e-8)  # the limit 1 at 0
        return 12.5 * max(tanh(x) / x, 3e-4)
