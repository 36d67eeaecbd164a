"""Value and gradient on a CUDA device: the bandwidth reached as a share of a copy's, and other libraries on the same data.

Needs a GPU, numba-cuda and PyTorch; CuPy is left out where it is not installed. Times are the device's own, between two
events, without the time to launch, which `track_call` measures.
"""

import importlib.util
import time

import numpy as np

import fusedloss as fl

LOSSES = {"squared_error": fl.SquaredError, "huber": fl.Huber, "binary_cross_entropy": fl.BinaryCrossEntropy}
SIZES = [2**16, 2**22, 2**28]
ROUNDS = 20

CUPY = {  # what CuPy's own kernels compute, by the loss: value, gradient
    "squared_error": ("(f - y) * (f - y)", "2 * (f - y)"),
    "huber": ("abs(f - y) <= 1 ? 0.5f * (f - y) * (f - y) : abs(f - y) - 0.5f", "max(-1.0f, min(1.0f, f - y))"),
    "binary_cross_entropy": ("max(f, 0.0f) - f * y + log1p(exp(-abs(f)))", "1 / (1 + exp(-f)) - y"),
}


def torch_with_a_gpu():
    """The module, or the reason for asv to skip."""
    for name in ("torch", "numba_cuda"):
        if importlib.util.find_spec(name) is None:
            raise NotImplementedError(f"needs {name}")
    import torch

    if not torch.cuda.is_available():
        raise NotImplementedError("needs a GPU")
    return torch


class OnDevice:
    """float32, the mean and its gradient."""

    params = (sorted(LOSSES), SIZES)
    param_names = ("loss", "n")
    timeout = 600

    def setup(self, name, n):
        self.torch = torch = torch_with_a_gpu()
        generator = torch.Generator("cuda").manual_seed(0)
        self.f = torch.randn(n, device="cuda", generator=generator)
        self.y = torch.randn(n, device="cuda", generator=generator)
        if name == "binary_cross_entropy":
            self.y = (self.y > 0.5).float()
        self.g = torch.empty_like(self.f)
        self.loss = LOSSES[name]()
        self.milliseconds = {"ours": self.measured(self.ours), "copy": self.measured(self.copy)}

    def ours(self):
        return self.loss.value_and_grad(self.y, self.f, out=self.g)

    def copy(self):
        self.g.copy_(self.f)

    def torch_eager(self):
        functional = self.torch.nn.functional
        function = {"squared_error": functional.mse_loss, "huber": functional.huber_loss,
                    "binary_cross_entropy": functional.binary_cross_entropy_with_logits}[self.loss.name]
        f = self.f.detach().requires_grad_()
        value = function(f, self.y)
        value.backward()
        return value, f.grad

    def torch_compiled(self):
        f = self.f.detach().requires_grad_()
        value = self.compiled(f, self.y)
        value.backward()
        return value, f.grad

    def measured(self, function):
        """Milliseconds on the device, the median of ROUNDS."""
        cuda = self.torch.cuda
        for _ in range(3):
            function()
        times = []
        for _ in range(ROUNDS):
            start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
            start.record()
            function()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end))
        return float(np.median(times))

    def track_share_of_the_copys_bandwidth(self, name, n):
        """12 bytes a sample (two arrays are read, one is written) against 8."""
        return 12 / self.milliseconds["ours"] / (8 / self.milliseconds["copy"])

    def track_over_torch_eager(self, name, n):
        return self.milliseconds["ours"] / self.measured(self.torch_eager)

    def track_over_torch_compile(self, name, n):
        functional = self.torch.nn.functional
        self.compiled = self.torch.compile({
            "squared_error": lambda f, y: ((f - y) ** 2).mean(),
            "huber": functional.huber_loss,
            "binary_cross_entropy": functional.binary_cross_entropy_with_logits,
        }[name])
        return self.milliseconds["ours"] / self.measured(self.torch_compiled)

    def track_over_cupy(self, name, n):
        """A reduction and an elementwise kernel, each written as one expression."""
        if importlib.util.find_spec("cupy") is None:
            raise NotImplementedError("needs cupy")
        import cupy

        value, gradient = CUPY[name]
        reduce = cupy.ReductionKernel("T f, T y", "T v", value, "a + b", "v = a", "0", f"value_{name}")
        differentiate = cupy.ElementwiseKernel("T f, T y, T scale", "T g", f"g = scale * ({gradient})", f"gradient_{name}")
        f, y, g = (cupy.from_dlpack(x) for x in (self.f, self.y, self.g))

        def both():
            with cupy.cuda.ExternalStream(self.torch.cuda.current_stream().cuda_stream):
                return reduce(f, y), differentiate(f, y, np.float32(1 / n), g)

        return self.milliseconds["ours"] / self.measured(both)

    def track_call(self, name, n):
        """Microseconds until a call returns, while the device has nothing else to do."""
        times = []
        for _ in range(200):
            self.torch.cuda.synchronize()
            start = time.perf_counter()
            self.ours()
            times.append(time.perf_counter() - start)
        return 1e6 * float(np.median(times))

    track_share_of_the_copys_bandwidth.unit = "of a copy's bandwidth"
    track_over_torch_eager.unit = track_over_torch_compile.unit = track_over_cupy.unit = "of the other's time"
    track_call.unit = "us"
