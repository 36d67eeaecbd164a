"""`loss.jax()`: a loss as a function that JAX can trace, compile and differentiate.

The kernels run on the host, called back from JAX's program: right under `jit`, `grad` and `vmap`, and no faster than a
callback is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

try:
    import jax
except ModuleNotFoundError as error:
    raise ImportError('loss.jax() needs JAX: pip install "fusedloss[jax]"') from error

from ..loss import Loss

__all__ = ["JaxLoss"]


@dataclass(frozen=True)
class JaxLoss:
    """loss(y_true, y_pred, sample_weight=None): the mean loss, a scalar of y_pred's dtype, differentiable in y_pred.

    See `Loss.jax`.
    """

    loss: Loss

    def __call__(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = jax.numpy.asarray(y_true), jax.numpy.asarray(y_pred)
        if y_pred.dtype not in (np.float16, np.float32, np.float64):
            raise TypeError(f"y_pred has dtype {y_pred.dtype}: pass y_pred.astype(jax.numpy.float32)")
        if sample_weight is not None:
            sample_weight = jax.numpy.asarray(sample_weight)
        return _mean(self.loss, y_true, y_pred, sample_weight)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _mean(loss, y_true, y_pred, sample_weight):
    scalar = jax.ShapeDtypeStruct((), y_pred.dtype)
    return jax.pure_callback(_Value(loss), scalar, y_true, y_pred, sample_weight, vmap_method="sequential")


def _forward(loss, y_true, y_pred, sample_weight):
    """(value, gradient) for the reverse pass; an argument says whether it is being differentiated."""
    for name, argument in (("y_true", y_true), ("sample_weight", sample_weight)):
        if argument is not None and argument.perturbed:
            raise ValueError(f"{name} is differentiated, and only the gradient with respect to y_pred is known: pass "
                             f"jax.lax.stop_gradient({name})")
    weight = None if sample_weight is None else sample_weight.value
    f = y_pred.value
    results = (jax.ShapeDtypeStruct((), f.dtype), jax.ShapeDtypeStruct(f.shape, f.dtype))
    return jax.pure_callback(_ValueAndGradient(loss), results, y_true.value, f, weight, vmap_method="sequential")


def _backward(loss, gradient, incoming):
    return None, incoming * gradient, None


_mean.defvjp(_forward, _backward, symbolic_zeros=True)


@dataclass(frozen=True)
class _Value:
    """What runs on the host. Equal for equal losses: JAX compiles a callback once, and finds it again by this."""

    loss: Loss

    def __call__(self, y_true, y_pred, sample_weight):
        y_true, y_pred, sample_weight = _arrays(y_true, y_pred, sample_weight)
        return np.asarray(self.loss(y_true, y_pred, sample_weight), y_pred.dtype)


@dataclass(frozen=True)
class _ValueAndGradient:
    loss: Loss

    def __call__(self, y_true, y_pred, sample_weight):
        y_true, y_pred, sample_weight = _arrays(y_true, y_pred, sample_weight)
        value, gradient = self.loss.value_and_grad(y_true, y_pred, sample_weight)
        return np.asarray(value, y_pred.dtype), gradient


def _arrays(*arguments):
    return [None if a is None else np.asarray(a) for a in arguments]
