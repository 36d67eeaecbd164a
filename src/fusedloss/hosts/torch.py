"""`loss.torch()`: a loss as a `torch.nn.Module`, called (input, target) as torch's are.

Value and gradient are computed in one fused pass when the module is called, on the memory of the tensors themselves; the
backward pass multiplies by the incoming gradient.
"""

from __future__ import annotations

try:
    import torch
except ModuleNotFoundError as error:
    raise ImportError('loss.torch() needs PyTorch: pip install "fusedloss[torch]"') from error

__all__ = ["TorchLoss"]

REDUCTIONS = ("mean", "sum", "none")


class TorchLoss(torch.nn.Module):
    """module(input, target, weight=None): the reduced loss of tensors on the CPU, differentiable in `input`.

    See `Loss.torch`.
    """

    def __init__(self, loss, reduction="mean"):
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {', '.join(map(repr, REDUCTIONS))}, found {reduction!r}")
        self.loss, self.reduction = loss, reduction

    def extra_repr(self):
        return f"{self.loss!r}, reduction={self.reduction!r}"

    @torch.compiler.disable  # it would trace into Numba's compiler, and break it for the rest of the process
    def forward(self, input, target, weight=None):
        for name, constant in (("target", target), ("weight", weight)):
            if getattr(constant, "requires_grad", False):
                raise ValueError(f"{name} requires grad, and only the gradient with respect to input is known: pass "
                                 f"{name}.detach()")
        for name, tensor in (("input", input), ("target", target), *([] if weight is None else [("weight", weight)])):
            _check(name, tensor, floating=tensor is input)
        if torch.is_grad_enabled() and input.requires_grad:
            return _Fused.apply(input, target, weight, self.loss, self.reduction)
        return _as_tensor(_called(self.loss, target, input, weight, self.reduction), input)


class _Fused(torch.autograd.Function):
    """The reduced loss of `input`, its gradient computed with it."""

    @staticmethod
    def forward(ctx, input, target, weight, loss, reduction):
        gradient = torch.empty_like(input)
        value, _ = _called(loss.value_and_grad, target, input, weight, reduction, out=gradient)
        ctx.reduced = reduction != "none"
        ctx.per_row = not ctx.reduced and gradient.ndim > value.ndim
        ctx.save_for_backward(gradient, input)
        return _as_tensor(value, input)

    @staticmethod
    def backward(ctx, grad_output):
        gradient, input = ctx.saved_tensors
        if ctx.per_row:
            grad_output = grad_output[:, None]
        unscaled = ctx.reduced and grad_output == 1.0  # value.backward(): spare a pass over the gradient
        result = gradient if unscaled else gradient * grad_output
        if torch.is_grad_enabled():  # create_graph=True
            result = _OnceDifferentiable.apply(result, input)
        return result, None, None, None, None


class _OnceDifferentiable(torch.autograd.Function):
    """The gradient, as something that depends on the input in a way that cannot be differentiated.

    `once_differentiable` raises only if what comes in from above requires grad as well: a gradient penalty would silently
    lack this loss's part.
    """

    @staticmethod
    def forward(ctx, gradient, input):
        return gradient.clone()

    @staticmethod
    def backward(ctx, *_):
        raise RuntimeError("a loss from loss.torch() can be differentiated once: it has no second derivative in torch. "
                           "loss.hvp(target.numpy(), input.numpy(), v) is the Hessian times v")


def _check(name, tensor, floating):
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} is a {type(tensor).__name__}; it must be a tensor: pass torch.as_tensor({name})")
    if tensor.device.type != "cpu":
        raise ValueError(f"{name} is on {tensor.device}, and this loss runs on the CPU: pass {name}.cpu()")
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} has layout {tensor.layout}; it must be dense: pass {name}.to_dense()")
    if floating and not tensor.is_floating_point():
        raise TypeError(f"{name} has dtype {tensor.dtype}: pass {name}.float()")


def _called(method, target, input, weight, reduction, **more):
    """A method of the loss on the memory of the tensors; its errors say which tensor they mean."""
    try:
        return method(target, input.detach(), weight, reduction, **more)
    except (TypeError, ValueError) as error:
        error.add_note("y_true is target here, y_pred is input, and sample_weight is weight.")
        raise


def _as_tensor(value, input):
    """The reduced value as a tensor, or the values, which are one."""
    return torch.tensor(value, dtype=input.dtype) if isinstance(value, float) else value
