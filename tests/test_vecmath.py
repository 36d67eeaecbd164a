"""vecmath: accuracy in ulps after inlining, special values, SIMD, the same bits everywhere, stubs."""

import functools
import hashlib
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from mpmath import mp, mpf
from numba import njit

from fusedloss import vecmath
from fusedloss.vecmath.intrinsics import float_to_half, half_to_float
from fusedloss.vecmath.scalar import build

INF, NAN = math.inf, math.nan
FORMATS = [np.float64, np.float32]
EXPONENTS = {"pow1p": [-0.5, 0.5, 1.7, -3.0, 9.5]}
EXPONENTS["pow"] = [1.7, -0.3, 0.5, 2.0, 37.0, -150.0, 1e-3, 3e6, 1e15]

# name: linear range, edges; the bounds are those of the docstrings
RANGES = {
    "exp": ((-40, 40), [709.78, -708.4, -745.13, 88.72, -87.3, -103.97, 0.3466]),
    "exp_neg": ((0, 40), [708.4, 745.13, 745.2, 746, 87.3, 103.97, 104, 105, 0.3466]),
    "expm1": ((-5, 5), [709.78, 88.72, 0.3466, -0.3466, -37.4, -50]),
    "expm1mx": ((-3, 3), [0.3466, -0.3466, 1.04, -1.04, 709.78, 88.72]),
    "log": ((0, 4), [0.7071, 1, 1.4142]),
    "log1p": ((-1, 3), [-0.2929, 0.4142, 1, -0.5]),
    "log1p_unit": ((0, 1), [1, 0.5]),
    "log_ratio": ((-1 / 3, 1 / 3), [1 / 3, 0.1]),
    "log1pmx": ((-1, 3), [-0.2929, 0.4142, 1, -0.5]),
    "log1mexp": ((0, 4), [0.6931, 0.3466, 1, 36.7, 745.1, 103.9]),
    "sigmoid": ((-40, 40), [-708.4, -745.1, -87.3, -103.9, 36.7, 0]),
    "softplus": ((-40, 40), [-708.4, -745.1, -87.3, -103.9, 36.7, 0]),
    "log_sigmoid": ((-40, 40), [708.4, 745.1, 87.3, 103.9, -36.7, 0]),
    "tanh": ((-4, 4), [19.06, 9.01, 0.1733, 25]),
    "erf": ((-4, 4), [0.5, 5.9, 3.9, -0.5]),
    "erf_pos": ((0, 4), [0.5, 5.9, 3.9]),
    "erfc": ((-6, 10), [0.5, -0.5, 26.5, 27.2, 9.2, 10.05, 28, 11]),
    "erfcx": ((-6, 30), [0.5, -0.5, -26.6, -9.4, 1e12]),
    "log_ndtr": ((-10, 10), [0.7071, -0.7071, 37.5, 38.4, 14.1, -1e9, -1e12, -13.0]),
    "lgamma": ((0, 12), [1, 2, 2.5, 3, 0.5, 2.55e305, 4e36]),
    "digamma": ((0, 12), [1, 2, 2.5, 3, 0.5, 1.4616321449683623]),
    "sqrt": ((0, 4), [1]),
    "sin": ((-30, 30), [math.pi * k / 4 for k in (1, 2, 3, 4, 100, 12732, 127323)]),
    "cos": ((-30, 30), [math.pi * k / 4 for k in (1, 2, 3, 4, 101, 12733, 127322)]),
    "atan": ((-4, 4), [0.41421, 2.41421, 1, 1e16]),
    "pow": ((0, 4), [1, 0.7071, 1.4142]),
    "pow1p": ((0, 4), [1, 0.4142]),
}
POSITIVE = {"exp_neg", "erf_pos", "log", "log1p_unit", "log1mexp", "lgamma", "digamma", "sqrt", "pow", "pow1p"}
LIMIT = {"sin": 1e5, "cos": 1e5, "log1p_unit": 1.0, "log_ratio": 1 / 3}
LOWEST = {"log1p": -1, "log1pmx": -1, "erfcx": -26.6}
NAMES = list(RANGES)


def bound(name, F):
    """The error in ulp that the docstring promises."""
    promise = re.search(r"Error (\S+) / (\S+) ulp", getattr(vecmath, name).__doc__)
    return float(promise[FORMATS.index(F) + 1])


@functools.cache
def compiled(name, F):
    """o[i] = f(x[i]) with a sum beside it and flags that must not reach the inside of f."""
    f = getattr(build(F), name)
    kernel = njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
    if name in EXPONENTS:
        @kernel
        def run(x, o, y):
            s = y - y
            for i in range(x.size):
                v = f(x[i], y)
                o[i] = v
                s += v
            return s
    else:
        @kernel
        def run(x, o, y):
            s = y - y
            for i in range(x.size):
                v = f(x[i])
                o[i] = v
                s += v
            return s
    return run


def evaluate(name, x, y=1.7):
    o = np.empty_like(x)
    compiled(name, x.dtype.type)(x, o, x.dtype.type(y))
    return o


def neighbours(centres, F, steps=20):
    """The `steps` numbers on both sides of each centre."""
    integer = np.int64 if F is np.float64 else np.int32
    with np.errstate(over="ignore"):
        c = np.abs(np.array(centres, F)).view(integer)
    x = np.maximum(c[:, None] + np.arange(-steps, steps + 1, dtype=integer), 0).view(F).ravel()
    return np.where(np.repeat(np.array(centres) < 0, 2 * steps + 1), -x, x)


def points(name, F, count):
    (low, high), edges = RANGES[name]
    rng = np.random.default_rng(7)
    info = np.finfo(F)
    exponents = rng.uniform(np.log2(float(info.smallest_subnormal)), np.log2(float(info.max)), count // 3)
    everywhere = np.exp2(exponents).astype(F) * rng.choice(np.array([-1, 1], F), exponents.size)
    active = 2.0 ** rng.uniform(-12, 10, count // 3) * rng.choice([-1, 1], count // 3)
    x = np.concatenate([everywhere, active.astype(F), rng.uniform(low, high, count // 3).astype(F),
                        neighbours([*edges, info.tiny, info.max], F)])
    x = np.abs(x) if name in POSITIVE else x
    x = x[(np.abs(x) <= LIMIT.get(name, INF)) & np.isfinite(x)]
    return x[x > LOWEST.get(name, -INF)]


def unit(x, F):
    """The unit in the last place of the numbers of type F nearest to x."""
    with np.errstate(over="ignore"):
        return np.spacing(np.minimum(np.abs(x).astype(F), np.finfo(F).max))


def ulps(got, reference, low=0.0):
    """|got - reference| in units of the last place of got's format; `low`: more of the reference."""
    F = got.dtype.type
    largest = float(np.finfo(F).max)
    got, high = (np.clip(v.astype(np.float64), -largest, largest) for v in (got, reference))
    with np.errstate(over="ignore"):
        return np.abs((got - high) / unit(reference, F).astype(np.float64) - low)


def by_mpmath(name, x, y=1.7):
    """The exact values: rounded, and the rest in units of the last place."""
    f = getattr(vecmath, name)
    arguments = (mpf(y),) if name in EXPONENTS else ()
    with mp.workdps(45):
        exact = [f(mpf(v), *arguments) for v in x.tolist()]
        high = np.array([float(v) for v in exact])
        low = [float((v - mpf(h)) / mpf(u)) if math.isfinite(h) else 0.0
               for v, h, u in zip(exact, high, unit(high, np.float64), strict=True)]
    return high, np.array(low)


@pytest.mark.parametrize("name", NAMES)
def test_float64_against_mpmath(name):
    worst = 0
    exponents = EXPONENTS.get(name, [1.0])
    x = points(name, np.float64, 6000 // len(exponents))
    for y in exponents:
        error = ulps(evaluate(name, x, y), *by_mpmath(name, x, y))
        worst = max(worst, error.max())
        print(name, "float64", y, error.max(), x[error.argmax()])
    assert worst <= bound(name, np.float64)


@pytest.mark.parametrize("name", NAMES)
def test_float32_against_float64(name):
    worst = 0
    exponents = EXPONENTS.get(name, [1.0])
    x = points(name, np.float32, 200_000 // len(exponents))
    for y in exponents:
        error = ulps(evaluate(name, x, y), evaluate(name, x.astype(np.float64), np.float32(y)))
        worst = max(worst, error.max())
        print(name, "float32", y, error.max(), x[error.argmax()])
    assert worst <= bound(name, np.float32)


SPECIAL = {
    "exp": [(INF, INF), (-INF, 0), (0, 1), (-0.0, 1), (1e300, INF), (-1e300, 0)],
    "exp_neg": [(INF, 0), (0, 1), (-0.0, 1), (1e300, 0)],
    "expm1": [(INF, INF), (-INF, -1), (0, 0), (-0.0, -0.0), (5e-324, 5e-324), (-1e-30, -1e-30)],
    "expm1mx": [(INF, INF), (-INF, INF), (0, 0), (1e300, INF), (-2.0**80, 2.0**80)],
    "log": [(INF, INF), (-INF, NAN), (0, -INF), (-0.0, -INF), (-1, NAN), (1, 0)],
    "log1p": [(INF, INF), (-INF, NAN), (-1, -INF), (-2, NAN), (0, 0), (-0.0, -0.0), (5e-324, 5e-324)],
    "log1pmx": [(INF, -INF), (-INF, NAN), (-1, -INF), (-2, NAN), (0, 0), (2.0**80, -2.0**80)],
    "log1mexp": [(INF, 0), (-INF, NAN), (0, -INF), (-1, NAN), (1e300, 0)],
    "sigmoid": [(INF, 1), (-INF, 0), (0, 0.5), (1e300, 1), (-1e300, 0)],
    "softplus": [(INF, INF), (-INF, 0), (2.0**80, 2.0**80), (-1e300, 0)],
    "log_sigmoid": [(INF, 0), (-INF, -INF), (-2.0**80, -2.0**80), (1e300, 0)],
    "tanh": [(INF, 1), (-INF, -1), (0, 0), (-0.0, -0.0), (5e-324, 5e-324), (1e300, 1)],
    "erf": [(INF, 1), (-INF, -1), (0, 0), (-0.0, -0.0), (1e300, 1), (-1e300, -1)],
    "erf_pos": [(INF, 1), (0, 0), (1e300, 1)],
    "erfcx": [(INF, 0), (-INF, INF), (0, 1), (-0.0, 1), (-1e300, INF)],
    "erfc": [(INF, 0), (-INF, 2), (0, 1), (-0.0, 1), (1e300, 0), (-1e300, 2)],
    "log_ndtr": [(INF, 0), (-INF, -INF), (1e300, 0), (-1e300, -INF)],
    "lgamma": [(INF, INF), (0, INF), (1, 0), (2, 0), (-0.5, NAN), (-INF, NAN)],
    "digamma": [(INF, INF), (0, -INF), (-0.5, NAN), (-INF, NAN)],
    "sqrt": [(INF, INF), (0, 0), (-0.0, -0.0), (-1, NAN), (4, 2)],
    "sin": [(INF, NAN), (-INF, NAN), (0, 0), (-0.0, -0.0)],
    "cos": [(INF, NAN), (-INF, NAN), (0, 1)],
    "atan": [(INF, math.pi / 2), (-INF, -math.pi / 2), (0, 0), (-0.0, -0.0), (1e300, math.pi / 2)],
}


@pytest.mark.parametrize("F", FORMATS)
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name, F):
    with np.errstate(over="ignore", under="ignore"):
        x = np.array([x for x, _ in SPECIAL[name]] + [NAN], F)
        expected = np.array([y for _, y in SPECIAL[name]] + [NAN], F)
    for got in (evaluate(name, x), np.array([getattr(vecmath, name)(v) for v in x], F)):
        np.testing.assert_array_equal(got, expected)
        odd = name in ("expm1", "log1p", "tanh", "erf", "atan", "sin", "sqrt")
        assert not odd or np.array_equal(np.signbit(got[x == 0]), np.signbit(x[x == 0]))


@pytest.mark.parametrize("F", FORMATS)
def test_pow_special_values(F):
    x = np.array([0.0, -0.0, 0.5, 1, 2, INF, -INF, -0.5, -1, -2, -3, NAN, 1 + 1e-6, 1e30, 3e-30], F)
    for y in (0.0, -0.0, 1, 2, 3, -1, -2, -3, 0.3, -0.3, 2.5, INF, -INF, NAN, 1e30, -1e30, 5e-324):
        y = F(y)
        with np.errstate(all="ignore"):
            expected = (x.astype(np.float64) ** np.float64(y)).astype(F)
        for got in (evaluate("pow", x, y), np.array([vecmath.pow(v, y) for v in x], F)):
            np.testing.assert_allclose(got, expected, rtol=2 * np.finfo(F).eps, err_msg=f"y = {y}")
            assert np.array_equal(np.signbit(got[got == 0]), np.signbit(expected[got == 0]))


@pytest.mark.parametrize("F", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_stubs_agree_with_compiled_code(name, F):
    x = points(name, F, 900)
    arguments = (F(1.7),) if name in EXPONENTS else ()
    f = getattr(vecmath, name)
    stub = [f(v, *arguments) for v in x]
    assert all(type(v) is (np.float32 if F is np.float32 else float) for v in stub)
    assert ulps(np.array(stub, F), evaluate(name, x, F(1.7))).max() <= bound(name, F) + 3


@pytest.mark.parametrize("name", NAMES)
def test_stubs_against_mpmath(name):
    x = points(name, np.float64, 900)
    arguments = (1.7,) if name in EXPONENTS else ()
    stub = np.array([getattr(vecmath, name)(v, *arguments) for v in x.tolist()])
    error = ulps(stub, *by_mpmath(name, x))
    print(name, error.max(), x[error.argmax()])
    assert error.max() <= 6


def test_stubs_of_parts_of_numbers():
    assert vecmath.where(True, 1.0, 2.0) == 1.0
    assert type(vecmath.where(False, np.float32(1), 2.0)) is np.float32
    assert vecmath.copysign(2.0, -0.0) == -2.0
    assert vecmath.fma(1 + 2.0**-30, 1 - 2.0**-30, -1.0) == -(2.0**-60)
    assert vecmath.fma(INF, 1.0, 1.0) == INF
    assert vecmath.fma(1e300, 1e300, 1.0) == INF
    assert vecmath.pow(mpf(2), 0.5) == mp.sqrt(2)
    assert vecmath.copysign(mpf(2), -1.0) == -2
    assert vecmath.where(mpf(1) > 0, mpf(3), 0.0) == 3
    assert vecmath.fma(mpf(2), 3.0, 4.0) == 10


@pytest.mark.parametrize("F", FORMATS)
def test_compiled_parts_of_numbers(F):
    m = build(F)
    fma, where, copysign = m.fma, m.where, m.copysign

    @njit(error_model="numpy")
    def parts(x, y, z):
        return fma(x, y, z), where(x > y, x, y), copysign(x, z)
    eps = np.finfo(F).eps
    assert parts(F(1) + eps, F(1) - eps, F(-1)) == (-float(eps) ** 2, 1 + eps, -(1 + eps))


@pytest.mark.parametrize("F", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_loops_are_simd(name, F):
    evaluate(name, np.ones(1, F))
    assembly = next(iter(compiled(name, F).inspect_asm().values()))
    if "xmm" not in assembly or ("vfmadd" not in assembly and name != "sqrt"):
        pytest.skip("not an x86-64 processor with fused multiply-add")
    assert re.search(r"\bv(fn?m\w+|mul|sqrt)p[sd]\b", assembly)
    library = "exp|log|log1p|expm1|pow|tanh|erfc?x?|fma|rint|sin|cos|atan|[lt]gamma"
    assert not re.search(rf"(?<![\w.])({library})f?(?![\w.])", assembly)


@pytest.mark.parametrize("F", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_vector_body_and_scalar_tail_give_the_same_bits(name, F):
    x = points(name, F, 600)
    whole = evaluate(name, x)
    shifted = np.concatenate([x[:1], evaluate(name, x[1:])])[1:]
    pieces = np.concatenate([evaluate(name, x[i:i + 3]) for i in range(0, x.size, 3)])
    assert whole[1:].tobytes() == shifted.tobytes()
    assert whole.tobytes() == pieces.tobytes()


def python(code, **options):
    """What the program prints, in a process of its own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          **options).stdout.strip()


def fingerprint():
    """Of the bits of all functions in both formats."""
    digest = hashlib.sha256()
    for F in FORMATS:
        for name in NAMES:
            digest.update(evaluate(name, points(name, F, 600)).tobytes())
    return digest.hexdigest()


@pytest.mark.process
@pytest.mark.parametrize("cpu", ["haswell", "generic"])
def test_same_bits_on_every_processor(cpu):
    environment = os.environ | {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}
    code = f"import sys; sys.path[:0] = {sys.path!r}; import test_vecmath; print(test_vecmath.fingerprint())"
    assert python(code, env=environment, cwd=os.path.dirname(__file__)) == fingerprint()


def test_stubs_import_neither_numba_nor_mpmath():
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
import fusedloss.vecmath as v
v.exp(1.0), v.log_ndtr(-1.0)
print([name for name in ("numba", "mpmath") if name in sys.modules])
"""
    assert python(code) == "[]"


@njit
def widen(h, x):
    for i in range(h.size):
        x[i] = half_to_float(h[i])


@njit
def narrow(x, h):
    for i in range(x.size):
        h[i] = float_to_half(x[i])


def test_every_half():
    h = np.arange(2**16, dtype=np.uint16)
    x = np.empty(h.size, np.float32)
    widen(h, x)
    np.testing.assert_array_equal(x, h.view(np.float16).astype(np.float32))
    back = np.empty_like(h)
    narrow(x, back)
    number = ~np.isnan(x)
    np.testing.assert_array_equal(back[number], h[number])
    assert np.isnan(back[~number].view(np.float16)).all()


def test_halves_are_rounded_like_numpy():
    h = np.arange(0x7C01, dtype=np.uint16).view(np.float16).astype(np.float32)
    middle = np.append((h[:-2] + h[1:-1]) / 2, np.float32(65520))
    x = np.concatenate([middle, np.nextafter(middle, np.float32(0)), np.nextafter(middle, np.float32(INF)),
                        np.random.default_rng(1).integers(0, 2**32, 200_000, np.uint32).view(np.float32)])
    x = np.concatenate([x, -x])
    got = np.empty(x.size, np.uint16)
    narrow(x, got)
    with np.errstate(over="ignore", invalid="ignore"):
        np.testing.assert_array_equal(got.view(np.float16), x.astype(np.float16))


def test_half_conversions_are_simd():
    narrow(np.zeros(1, np.float32), np.zeros(1, np.uint16))
    assembly = next(iter(narrow.inspect_asm().values()))
    if "xmm" not in assembly:
        pytest.skip("not an x86-64 processor")
    assert re.search(r"\bv?psrld\b", assembly)
