"""Tensors of torch on the CPU, on their own memory."""

from __future__ import annotations

import numpy as np
import torch

from . import Read
from .apart import BFloat16


def owns(cls):
    return issubclass(cls, torch.Tensor)


def read(name, x) -> Read:
    if x.device.type != "cpu":
        raise ValueError(f"{name} is on {x.device}, and y_pred is not: pass {name}.cpu()")
    if x.layout != torch.strided:
        raise TypeError(f"{name} has layout {x.layout}; it must be dense: pass {name}.to_dense()")
    if x.requires_grad and torch.is_grad_enabled():
        raise ValueError(f"{name} requires grad, which only the value with respect to y_pred keeps: pass {name}.detach()")
    if x.dtype == torch.bfloat16:
        return Read(BFloat16(x.detach().view(torch.int16).numpy().view(np.uint16)))
    return Read(x.detach().resolve_neg().numpy())


def wrap(result, like, nulls):
    if isinstance(result, BFloat16):
        return torch.from_numpy(result.bits.view(np.int16)).view(torch.bfloat16)
    tensor = torch.from_numpy(result)
    return tensor.bfloat16() if like.dtype == torch.bfloat16 else tensor


def run(loss, what, given, reduction, hessian, out, n_threads, executor, nulls, copy):
    """On a GPU, and where the value has to be differentiable in `y_pred`."""
    y_pred = given["y_pred"]
    if y_pred.device.type == "cuda":
        from . import cuda

        return cuda.run(loss, what, given, reduction, hessian, out, n_threads, executor, nulls, copy)
    if what != "value" or not (y_pred.requires_grad and torch.is_grad_enabled()):
        return NotImplemented
    if given["mask"] is not None:
        raise ValueError("mask= and a y_pred that requires grad do not go together: give these samples weight 0")
    others = [x if x is None else torch.as_tensor(x) for x in (given["y_true"], given["sample_weight"])]
    return loss.torch(reduction)(y_pred, *others)
