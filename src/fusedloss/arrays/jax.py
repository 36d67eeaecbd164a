"""JAX's arrays on the CPU: read where they lie, and results on memory that JAX shares."""

from __future__ import annotations

import math

import jax
import numpy as np

from . import Read
from .apart import BFloat16
from .numpy import read as read_numpy

ALIGNMENT = 64
"""Bytes: what lies at a multiple of it JAX takes over without a copy."""


def owns(cls):
    return issubclass(cls, jax.core.Tracer) or cls.__module__.startswith("jaxlib")


def read(name, x) -> Read:
    if isinstance(x, jax.core.Tracer):
        raise TypeError(f"{name} has no values inside jit, grad or vmap: use loss.jax(), a function for them")
    if any(device.platform != "cpu" for device in x.devices()):
        raise ValueError(f"{name} is on {next(iter(x.devices()))}: pass jax.device_put({name}, jax.devices('cpu')[0])")
    return read_numpy(name, np.asarray(x))


def run(loss, what, given, reduction, hessian, out, n_threads, executor, nulls, copy):
    """Inside jit, grad and vmap, where arrays have no values: `loss.jax()`."""
    if not isinstance(given["y_pred"], jax.core.Tracer):
        return NotImplemented
    if what != "value" or reduction != "mean" or given["mask"] is not None:
        raise TypeError("y_pred has no values inside jit, grad or vmap, where only the mean loss can be computed, "
                        "loss(y_true, y_pred, sample_weight): jax.value_and_grad differentiates it")
    return loss.jax()(given["y_true"], given["y_pred"], given["sample_weight"])


def empty(shape, dtype):
    """A new array where JAX can take it over."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    offset = -buffer.__array_interface__["data"][0] % ALIGNMENT
    return buffer[offset: offset + size].view(dtype).reshape(shape)


def wrap(result, like, nulls):
    if isinstance(result, BFloat16):
        return jax.numpy.asarray(result.bits.view(jax.numpy.bfloat16))
    if result.__array_interface__["data"][0] % ALIGNMENT or not result.flags.c_contiguous or not result.size:
        return jax.numpy.asarray(result)
    return jax.dlpack.from_dlpack(result)
