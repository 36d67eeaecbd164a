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


class Outputs:
    """What each output, a weight and a mask cost."""

    params = (["squared_error", "binary_cross_entropy"], DTYPES)
    param_names = ("loss", "dtype")
    n = 10**6

    def setup(self, name, dtype):
        self.problem = problem(example(name), self.n, dtype)
        self.w = abs(self.problem.f) + 1
        self.mask = self.problem.f > 3
        for method in (method for method in dir(self) if method.startswith("time_")):
            getattr(self, method)(name, dtype)

    def time_value(self, name, dtype):
        self.problem.loss(self.problem.y, self.problem.f)

    def time_elementwise(self, name, dtype):
        self.problem.loss.elementwise(self.problem.y, self.problem.f, out=self.problem.g)

    def time_grad_and_hess(self, name, dtype):
        self.problem.grad_and_hess()

    def time_value_and_grad_weighted(self, name, dtype):
        p = self.problem
        p.loss.value_and_grad(p.y, p.f, self.w, out=p.g)

    def time_value_and_grad_masked(self, name, dtype):
        p = self.problem
        p.loss.value_and_grad(p.y, p.f, mask=self.mask, out=p.g)

    def time_value_and_grad_strided(self, name, dtype):
        p = self.problem
        p.loss.value_and_grad(p.y[::2], p.f[::2], out=p.g[::2])


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
