"""Memory beyond inputs and outputs, to the byte: tracemalloc sees every array that NumPy makes."""

import tracemalloc

import numpy as np

import fusedloss as fl

from .common import example, problem


def extra_bytes(function, outputs=0):
    """The peak of what `function` allocates, less `outputs` bytes that it returns."""
    function()  # compiles
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = function()
        peak = tracemalloc.get_traced_memory()[1]
        del result
    finally:
        tracemalloc.stop()
    return peak - before - outputs


class Extra:
    params = (["squared_error", "binary_cross_entropy"], [10**5, 10**7])
    param_names = ("loss", "n")

    def setup(self, name, n):
        self.p = problem(example(name), n, "float64")

    def track_value_and_grad_out(self, name, n):
        return extra_bytes(self.p.value_and_grad)

    def track_value_and_grad(self, name, n):
        return extra_bytes(lambda: self.p.loss.value_and_grad(self.p.y, self.p.f), self.p.g.nbytes)

    def track_value_and_grad_strided(self, name, n):
        p = self.p
        return extra_bytes(lambda: p.loss.value_and_grad(p.y[::2], p.f[::2], out=p.g[::2]))

    def track_score(self, name, n):
        p, w = self.p, np.ones(n)
        return extra_bytes(lambda: fl.score(p.y, p.f, [p.loss, fl.HalfSquaredError()], sample_weight=w))


for method in (getattr(Extra, name) for name in dir(Extra) if name.startswith("track_")):
    method.unit = "bytes"
