"""`loss.scipy(X, y, ...)`: the loss of a linear model as `scipy.optimize.minimize` wants its objective.

It is `fusedloss.LinearObjective` under the names that SciPy uses. Only NumPy and Numba are needed; SciPy comes with the
optimiser.
"""

from __future__ import annotations

from ..linear import LinearObjective

__all__ = ["ScipyObjective"]


class ScipyObjective(LinearObjective):
    """`objective(theta)` is (value, gradient), theta the numbers of `LinearObjective`'s w."""

    parameter = "theta"

    def __init__(self, loss, X, y, sample_weight=None, l2=0.0, fit_intercept=True, n_outputs=None):
        super().__init__(loss, X, y, sample_weight, l2=l2, fit_intercept=fit_intercept, n_outputs=n_outputs)

    def __reduce__(self):
        arguments, options = self._arguments
        return type(self), (*arguments, options["l2"], options["fit_intercept"], options["n_outputs"])

    def hessp(self, theta, v):
        """The Hessian at theta times v, a new float64 array: `hessp=` of the methods "trust-ncg", "trust-krylov",
        "Newton-CG" and "trust-constr"."""
        return self.hvp(theta, v)
