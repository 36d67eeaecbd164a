"""What one public call on a small array costs, in its various forms."""

import numpy as np

from .common import example, problem


class SmallCalls:
    params = (["squared_error", "binary_cross_entropy"], [1, 100, 1000])
    param_names = ("loss", "n")

    def setup(self, name, n):
        self.p = problem(example(name), n, "float64")
        self.w, self.columns = np.ones(n), (self.p.y.reshape(-1, 1), self.p.f.reshape(-1, 1))
        for method in (method for method in dir(self) if method.startswith("time_")):
            getattr(self, method)(name, n)

    def time_value(self, name, n):
        self.p.loss(self.p.y, self.p.f)

    def time_value_and_grad(self, name, n):
        self.p.loss.value_and_grad(self.p.y, self.p.f)

    def time_value_and_grad_out(self, name, n):
        self.p.loss.value_and_grad(self.p.y, self.p.f, out=self.p.g)

    def time_value_and_grad_weighted(self, name, n):
        self.p.loss.value_and_grad(self.p.y, self.p.f, self.w)

    def time_value_and_grad_column(self, name, n):
        self.p.loss.value_and_grad(*self.columns)

    def time_grad_and_hess(self, name, n):
        self.p.loss.grad_and_hess(self.p.y, self.p.f)
