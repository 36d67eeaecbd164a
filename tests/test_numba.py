"""loss.numba(): the formulas inside other people's compiled functions."""

import numba
import numpy as np
import pytest

import fusedloss as fl

rng = np.random.default_rng(3)
N = 1000
F = rng.normal(0.0, 2.0, N)
CASES = {
    "cross-entropy": (fl.BinaryCrossEntropy(label_smoothing=0.1), rng.integers(0, 2, N)),
    "combination": (0.5 * fl.Huber(delta=2.0) + fl.Cauchy(), rng.normal(0.0, 2.0, N)),
}


def mapped(function):
    """An array of what the function gives for each sample, from a loop of the caller's."""

    @numba.njit
    def loop(y, f, out):
        for i in range(f.size):
            out[i] = function(y[i], f[i])

    return loop


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_kernels_to_the_bit(case, dtype):
    loss, y = CASES[case]
    f, out = F.astype(dtype), np.empty(N, dtype)
    y = y.astype(dtype) if y.dtype.kind == "f" else y
    expected = loss.value_grad_hess(y, f, reduction="none")
    for function, known in zip(loss.numba(), expected, strict=True):
        loop = mapped(function)
        loop(y, f, out)
        assert out.tobytes() == known.tobytes()
    (code,) = loop.inspect_asm().values()
    assert "xmm" in code
    assert "call" not in code.split("\n.Lfunc_end0")[0].replace("NRT_", "")  # inlined: no call into a library


def test_nan_passes_through():
    value = fl.Huber().numba().value
    out = np.empty(2)
    mapped(value)(np.array([np.nan, 0.0]), np.array([1.0, np.nan]), out)
    assert np.isnan(out).all()


def test_what_is_not_there():
    class NoHessian(fl.Elementwise):
        def value(self, y, f):
            return abs(y - f)

        def gradient(self, y, f):
            return f - y

    assert NoHessian().numba().hessian is None
    assert fl.Huber().numba().value(1.0, 1.5) == 0.125  # outside of njit it is the formula
    with pytest.raises(TypeError, match="takes rows"):
        fl.CategoricalCrossEntropy().numba()
