"""Every loss of the table; some at many sizes; some over a STREAM triad of the same bytes, their floor."""

from .common import DTYPES, FIRST, LARGE, example, interleaved, median_ratio, problem

LIGHT = ["squared_error", "absolute_error", "huber", "pinball"]
HEAVY = ["pseudo_huber", "poisson", "binary_cross_entropy", "log_cosh", "binary_focal", "tweedie", "general_robust"]


class EveryLoss:
    params = (sorted(FIRST), DTYPES)
    param_names = ("loss", "dtype")
    n = 10**6

    def setup(self, name, dtype):
        self.problem = problem(example(name), self.n, dtype)
        self.problem.value_and_grad()

    def time_value_and_grad(self, name, dtype):
        self.problem.value_and_grad()


class Sizes:
    params = (["squared_error", "binary_cross_entropy", "tweedie"], DTYPES, [10**2, 10**3, 10**4, 10**5, 10**6, 10**7])
    param_names = ("loss", "dtype", "n")

    def setup(self, name, dtype, n):
        self.problem = problem(example(name), n, dtype)
        self.problem.value_and_grad()

    def time_value_and_grad(self, name, dtype, n):
        self.problem.value_and_grad()


CALLS = {
    "value": lambda loss, y, f, g, w, mask: loss(y, f),
    "elementwise": lambda loss, y, f, g, w, mask: loss.elementwise(y, f, out=g),
    "grad": lambda loss, y, f, g, w, mask: loss.grad(y, f, out=g),
    "value_and_grad, weights": lambda loss, y, f, g, w, mask: loss.value_and_grad(y, f, w, out=g),
    "value_and_grad, mask": lambda loss, y, f, g, w, mask: loss.value_and_grad(y, f, mask=mask, out=g),
    "value_and_grad, strided": lambda loss, y, f, g, w, mask: loss.value_and_grad(y[::2], f[::2], out=g[::2]),
    "grad_and_hess": lambda loss, y, f, g, w, mask: loss.grad_and_hess(y, f, out=(g, w)),
}


class Outputs:
    """What each output, weights, a mask, strides cost."""

    params = (["squared_error", "binary_cross_entropy"], DTYPES, list(CALLS))
    param_names = ("loss", "dtype", "call")
    n = 10**6

    def setup(self, name, dtype, call):
        p = problem(example(name), self.n, dtype)
        self.arguments = p.loss, p.y, p.f, p.g, abs(p.f) + 1, p.f > 3
        self.call = CALLS[call]
        self.call(*self.arguments)

    def time_call(self, name, dtype, call):
        self.call(*self.arguments)


class OverTriad:
    """1 is the speed of memory."""

    params = (LIGHT + HEAVY, DTYPES)
    param_names = ("loss", "dtype")
    rounds = 7

    def setup(self, name, dtype):
        self.problem = problem(example(name), LARGE, dtype)

    def track_value_and_grad(self, name, dtype):
        return median_ratio(interleaved(self.rounds, self.problem.value_and_grad, self.problem.triad))

    def track_grad_and_hess(self, name, dtype):
        return median_ratio(interleaved(self.rounds, self.problem.grad_and_hess, self.problem.triad_with_two_outputs))

    track_value_and_grad.unit = track_grad_and_hess.unit = "triads"
