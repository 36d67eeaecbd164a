"""What one public call on a small array costs, in its various forms."""

import numpy as np

from .common import example, problem

CALLS = {
    "value": lambda loss, y, f, g, w: loss(y, f),
    "value_and_grad": lambda loss, y, f, g, w: loss.value_and_grad(y, f),
    "value_and_grad, out": lambda loss, y, f, g, w: loss.value_and_grad(y, f, out=g),
    "value_and_grad, weights": lambda loss, y, f, g, w: loss.value_and_grad(y, f, w),
    "value_and_grad, (n, 1)": lambda loss, y, f, g, w: loss.value_and_grad(y[:, None], f[:, None]),
    "grad_and_hess": lambda loss, y, f, g, w: loss.grad_and_hess(y, f),
}


class SmallCalls:
    params = (["squared_error", "binary_cross_entropy"], [1, 100, 1000], list(CALLS))
    param_names = ("loss", "n", "call")

    def setup(self, name, n, call):
        p = problem(example(name), n, "float64")
        self.arguments = p.loss, p.y, p.f, p.g, np.ones(n)
        self.call = CALLS[call]
        self.call(*self.arguments)

    def time_call(self, name, n, call):
        self.call(*self.arguments)
