"""Mathematical functions for formulas written on one sample.

A formula calls these plain Python functions; the compiler replaces them by the SIMD code of `scalar`.
Uncompiled, they take Python floats and NumPy doubles (IEEE double arithmetic: special values as in C, nothing
raises), np.float32 (computed in double, rounded) and numbers of mpmath (computed at their precision). Neither
Numba nor mpmath is imported.

"Error a / b ulp" is the largest error of the compiled code in float64 / float32, in units in the last place
of the exact result, subnormal results included.
"""

import functools
import math
from fractions import Fraction

from . import tables

__all__ = [
    "atan", "copysign", "cos", "digamma", "erf", "erf_pos", "erfc", "erfcx", "exp", "exp_neg", "expm1",
    "expm1mx", "fma", "lgamma", "log", "log1mexp", "log1p", "log1p_unit", "log1pmx", "log_ndtr", "log_ratio",
    "log_sigmoid", "pow", "pow1p", "sigmoid", "sin", "softplus", "sqrt", "tanh", "where",
]

LARGEST_ANGLE = 1e5
FAR = 1e12                                         # erfc is 0, even to mpmath's users
SQRT1_2, SQRT1_2_LOW = tables.SQRT1_2[8]
DIGAMMA_ROOT, DIGAMMA_ROOT_LOW = tables.DIGAMMA_ROOT[8]
EXP_SERIES = [1.0 / math.factorial(k) for k in range(2, 22)]
ATANH_SERIES = [1.0 / k for k in range(3, 51, 2)]
HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
LARGEST_SINGLE = 2**128 - 2**103                  # from here on a double rounds to infinity


def _single(single, x):
    """The double x as a np.float32; `single(x)` would warn where it overflows."""
    return single(x if not math.inf > abs(x) >= LARGEST_SINGLE else math.copysign(math.inf, x))


def _like(arguments, result):
    """The result as a np.float32 if NumPy's rules say so: one argument is, none is a np.float64."""
    singles = [type(x) for x in arguments if type(x).__name__ == "float32"]
    if singles and not any(type(x).__name__ == "float64" for x in arguments):
        return _single(singles[0], result)
    return result


def _function(precise):
    """Decorator: `f(*doubles)` also for np.float32 and, by `precise(context, *arguments)`, for mpmath."""
    def decorate(f):
        @functools.wraps(f)
        def function(*arguments):
            for x in arguments:
                if hasattr(x, "context"):
                    return precise(x.context, *map(x.context.convert, arguments))
            return _like(arguments, f(*map(float, arguments)))
        return function
    return decorate


def _horner(coefficients, x):
    total = 0.0
    for c in reversed(coefficients):
        total = total * x + c
    return total


# ---- exponentials and logarithms ---------------------------------------------------------------------------


@_function(lambda mp, x: mp.exp(x))
def exp(x):
    """e^x. 0 at -inf, inf at inf; right in the subnormal tail, then 0. Error 0.8 / 0.8 ulp."""
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


@_function(lambda mp, x: mp.exp(-x))
def exp_neg(x):
    """e^-x for x >= 0, the cheapest of all: what the losses of probabilities start from.

    1 at 0, 0 at inf; right in the subnormal tail. Undefined for x < 0. Error 2.6 / 2.4 ulp.
    """
    return math.exp(-x)


@_function(lambda mp, x: mp.expm1(x))
def expm1(x):
    """e^x - 1 without cancellation near 0. expm1(-inf) = -1; -0 is kept. Error 1.2 / 1.1 ulp."""
    try:
        return math.expm1(x)
    except OverflowError:
        return math.inf


def _expm1mx(mp, x):
    with mp.extraprec(10 + max(0, -2 * mp.mag(x)) if mp.isnormal(x) else 10):
        return mp.expm1(x) - x


@_function(lambda mp, x: mp.inf if mp.isinf(x) else +_expm1mx(mp, x))
def expm1mx(x):
    """e^x - 1 - x = x^2 / 2 + ... without cancellation. inf at -inf and inf. Error 2.2 / 2.0 ulp."""
    if abs(x) < 1.0:
        return x * x * _horner(EXP_SERIES, x)
    return math.inf if abs(x) == math.inf else expm1(x) - x


def _log(mp, x):
    return mp.nan if not x >= 0 else mp.log(x) if x > 0 else -mp.inf


@_function(_log)
def log(x):
    """Natural logarithm, x >= 0. log(0) = -inf, log(inf) = inf, NaN for x < 0. Error 0.9 / 1.0 ulp."""
    return math.log(x) if x > 0.0 else -math.inf if x == 0.0 else math.nan


def _log1p(mp, x):
    return mp.nan if not x >= -1 else mp.log1p(x) if x > -1 else -mp.inf


@_function(_log1p)
def log1p(x):
    """log(1 + x) without cancellation near 0, x >= -1.

    log1p(-1) = -inf, NaN for x < -1; -0 is kept. Error 0.9 / 1.0 ulp.
    """
    return math.log1p(x) if x > -1.0 else -math.inf if x == -1.0 else math.nan


@_function(_log1p)
def log1p_unit(x):
    """log(1 + x) for 0 <= x <= 1, cheaper than `log1p`. Undefined elsewhere. Error 2.0 / 1.9 ulp."""
    return math.log1p(x) if 0.0 <= x <= 1.0 else math.nan


@_function(lambda mp, s: mp.log1p(s) - mp.log1p(-s))
def log_ratio(s):
    """log((1 + s) / (1 - s)) = 2 atanh(s) for |s| <= 1/3. Undefined elsewhere. Error 1.0 / 0.7 ulp."""
    return 2.0 * math.atanh(s) if abs(s) <= 0.5 else math.nan


def _log1pmx(mp, x):
    with mp.extraprec(10 + max(0, -2 * mp.mag(x)) if mp.isnormal(x) else 10):
        return _log1p(mp, x) - x


@_function(lambda mp, x: -mp.inf if x == mp.inf else +_log1pmx(mp, x))
def log1pmx(x):
    """log(1 + x) - x = -x^2 / 2 + x^3 / 3 - ... without cancellation, x >= -1.

    -inf at -1 and inf, NaN for x < -1. Error 3.3 / 3.7 ulp.
    """
    if -0.6 < x < 1.0:
        s = x / (2.0 + x)                           # log(1 + x) = 2 s + 2 s^3 / 3 + ..., 2 s - x = -s x
        z = s * s
        return -s * (x - 2.0 * z * _horner(ATANH_SERIES, z))
    return -math.inf if x == math.inf else log1p(x) - x


def _log1mexp(mp, x):
    if not x > 0:
        return -mp.inf if x == 0 else mp.nan
    return mp.log(-mp.expm1(-x)) if x < 1 else mp.log1p(-mp.exp(-x))


@_function(_log1mexp)
def log1mexp(x):
    """log(1 - e^-x) without cancellation, x >= 0. -inf at 0, 0 at inf, NaN for x < 0. Error 1.8 / 2.0 ulp."""
    if not x > 0.0:
        return -math.inf if x == 0.0 else math.nan
    return math.log(-math.expm1(-x)) if x < math.log(2.0) else math.log1p(-math.exp(-x))


def _is_odd(y):
    return math.fmod(y, 2.0) in (-1.0, 1.0)


def _pow(mp, x, y):
    if x == 0 and y < 0:
        return mp.inf
    return mp.nan if x < 0 and not mp.isint(y) else mp.power(x, y)


@_function(_pow)
def pow(x, y):
    """x^y, with the special values of C: x^0 = 1^y = 1 even for NaN.

    NaN for x < 0 unless y is an integer. Error 0.7 / 1.6 ulp.
    """
    try:
        return math.pow(x, y)
    except OverflowError:
        return -math.inf if x < 0.0 and _is_odd(y) else math.inf
    except ValueError:
        return math.nan if x != 0.0 else math.copysign(math.inf, x) if _is_odd(y) else math.inf


def _pow1p(mp, x, y):
    return mp.nan if not x >= 0 else mp.exp(y * mp.log1p(x)) if x < mp.inf else _pow(mp, x, y)


@_function(_pow1p)
def pow1p(x, y):
    """(1 + x)^y for x >= 0, cheaper than `pow` beside log1p(x), and without losing a small x.

    Error 2.0 / 2.2 ulp for |y| < 10, and slowly more beyond.
    """
    if not 0.0 <= x < 1.0:
        return pow(1.0 + x, y) if x > 0.0 else math.nan
    return exp(y * math.log1p(x))


@_function(lambda mp, x: mp.sqrt(x) if x >= 0 else mp.nan)
def sqrt(x):
    """Square root. NaN for x < 0; -0 is kept. Error 0.5 / 0.5 ulp: correctly rounded."""
    return math.sqrt(x) if x >= 0.0 else math.nan


# ---- sigmoids ----------------------------------------------------------------------------------------------


@_function(lambda mp, x: 1 / (1 + mp.exp(-x)))
def sigmoid(x):
    """1 / (1 + e^-x), from e^-|x|: cannot overflow.

    0 at -inf, 1 at inf; right in the subnormal tail. Error 1.5 / 1.5 ulp.
    """
    t = math.exp(-abs(x))
    return 1.0 / (1.0 + t) if x >= 0.0 else t / (1.0 + t)


def _softplus(mp, x):
    return max(x, mp.zero) + mp.log1p(mp.exp(-abs(x))) if x == x else x


@_function(_softplus)
def softplus(x):
    """log(1 + e^x) as max(x, 0) + log(1 + e^-|x|): cannot overflow.

    0 at -inf, inf at inf. Error 1.5 / 1.7 ulp.
    """
    return (x if x > 0.0 else 0.0) + math.log1p(math.exp(-abs(x)))


@_function(lambda mp, x: -_softplus(mp, -x))
def log_sigmoid(x):
    """log(sigmoid(x)) = -softplus(-x). -inf at -inf, 0 at inf. Error 1.6 / 1.7 ulp."""
    return -softplus(-x)


@_function(lambda mp, x: mp.tanh(x))
def tanh(x):
    """Hyperbolic tangent. -1 at -inf, 1 at inf; -0 is kept. Error 1.5 / 1.5 ulp."""
    return math.tanh(x)


# ---- the normal distribution -------------------------------------------------------------------------------


@_function(lambda mp, x: mp.erf(x) if not abs(x) > FAR else mp.sign(x))
def erf(x):
    """2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x.

    -1 at -inf, 1 at inf; -0 is kept. Error 0.9 / 1.0 ulp.
    """
    return math.erf(x)


@_function(lambda mp, x: mp.erf(x) if x <= FAR else mp.one)
def erf_pos(x):
    """erf(x) for x >= 0, cheaper than `erf`, above all where the formula needs `exp_neg(x * x)` too.

    0 at 0, 1 at inf. Undefined for x < 0. Error 2.6 / 3.8 ulp.
    """
    return math.erf(x)


def _erfc(mp, x):                                   # mpmath fails at the far ends
    return mp.erfc(x) if not abs(x) > FAR else mp.zero if x > 0 else 2 * mp.one


@_function(_erfc)
def erfc(x):
    """1 - erf(x) without cancellation.

    2 at -inf, 0 at inf; right in the subnormal tail. Error 1.4 / 1.5 ulp.
    """
    return math.erfc(x)


def _erfcx(mp, x):
    if x > FAR:
        return (1 - 1 / (2 * x * x)) / (x * mp.sqrt(mp.pi)) if x < mp.inf else mp.zero
    return mp.exp(x * x) * mp.erfc(x) if x > -mp.inf else mp.inf


@_function(_erfcx)
def erfcx(x):
    """e^(x^2) erfc(x), the scaled complement: falls like 1 / (x sqrt(pi)) where erfc itself vanishes.

    inf at -inf, 0 at inf. Error 1.9 / 2.4 ulp.
    """
    if x < 10.0:
        square = x * x
        low = fma(x, x, -square) if square < math.inf else 0.0
        return exp(square) * (1.0 + low) * math.erfc(x)
    q = 0.5 / (x * x)                               # asymptotic series 1 - q + 3 q^2 - 15 q^3 + ...
    series = 1.0
    for k in range(29, 0, -2):
        series = 1.0 - k * q * series
    return series / math.sqrt(math.pi) / x


def _log_ndtr(mp, x):
    if x < -FAR:
        return -x * x / 2 - mp.log(-x * mp.sqrt(2 * mp.pi)) + mp.log1p(-1 / (x * x))
    half_tail = _erfc(mp, abs(x) / mp.sqrt(2)) / 2
    return mp.log1p(-half_tail) if x > 0 else mp.log(half_tail)


@_function(_log_ndtr)
def log_ndtr(x):
    """log of the standard normal distribution function.

    Like -x^2 / 2 at -inf, 0 at inf. Error 2.4 / 2.6 ulp.
    """
    if x < -20.0:
        q = 1.0 / (x * x)                           # asymptotic series 1 - q + 1 3 q^2 - 1 3 5 q^3 + ...
        series = 0.0
        for k in range(15, 0, -2):
            series = -k * q * (1.0 + series)
        return -0.5 * x * x - math.log(-x * math.sqrt(2.0 * math.pi)) + math.log1p(series)
    a = abs(x) * SQRT1_2
    low = fma(abs(x), SQRT1_2, -a) + abs(x) * SQRT1_2_LOW
    # e^(-a^2) falls so fast that the rounding of a would be amplified 2 a^2 times
    half_tail = 0.5 * math.erfc(a) - (math.exp(-a * a) * low / math.sqrt(math.pi) if low == low else 0.0)
    return math.log1p(-half_tail) if x > 0.0 else math.log(half_tail)


# ---- the gamma function ------------------------------------------------------------------------------------


def _domain(mp, x, at_zero, f):
    return f(x) if x > 0 and x != mp.inf else mp.inf if x == mp.inf else at_zero if x == 0 else mp.nan


@_function(lambda mp, x: _domain(mp, x, mp.inf, lambda x: mp.loggamma(x)))
def lgamma(x):
    """log of the gamma function, x > 0. inf at 0 and inf; NaN for x < 0. Error 2.9 / 2.6 ulp."""
    if not x > 0.0:
        return math.inf if x == 0.0 else math.nan
    if x < 2.5:                                     # below 1: Gamma(x) = Gamma(x + 1) / x
        u, v, log_x = (x - 1.0, x, math.log(x)) if x < 1.0 else (x - 2.0, x - 1.0, 0.0)
        return v * u * _horner(tables.LGAMMA[8], u) - log_x
    q = 1.0 / x
    return (x - 0.5) * (math.log(x) - 1.0) + (HALF_LOG_2PI - 0.5 + q * _horner(tables.LGAMMA_TAIL[8], q * q))


@_function(lambda mp, x: _domain(mp, x, -mp.inf, lambda x: mp.digamma(x)))
def digamma(x):
    """Derivative of lgamma, x > 0. -inf at 0, inf at inf; NaN for x < 0. Error 2.2 / 2.4 ulp."""
    if not x > 0.0:
        return -math.inf if x == 0.0 else math.nan
    if x < 2.5:
        u, root, step = (x - 1.0, DIGAMMA_ROOT - 1.0, 1.0 / x) if x < 1.0 else (x - 2.0, DIGAMMA_ROOT, 0.0)
        return (x - root - DIGAMMA_ROOT_LOW) * _horner(tables.DIGAMMA[8], u) - step
    q = 1.0 / x
    return math.log(x) - (0.5 * q + q * q * _horner(tables.DIGAMMA_TAIL[8], q * q))


# ---- angles ------------------------------------------------------------------------------------------------


@_function(lambda mp, x: mp.sin(x))
def sin(x):
    """Sine of x radians. Error 0.9 / 0.9 ulp; NaN for |x| > 1e5."""
    return math.sin(x) if abs(x) <= LARGEST_ANGLE else math.nan


@_function(lambda mp, x: mp.cos(x))
def cos(x):
    """Cosine of x radians. Error 0.9 / 0.9 ulp; NaN for |x| > 1e5."""
    return math.cos(x) if abs(x) <= LARGEST_ANGLE else math.nan


@_function(lambda mp, x: mp.atan(x))
def atan(x):
    """Inverse of the tangent. -pi/2 at -inf, pi/2 at inf; -0 is kept. Error 1.7 / 1.9 ulp."""
    return math.atan(x)


# ---- parts of numbers --------------------------------------------------------------------------------------


@_function(lambda mp, a, b: -abs(a) if b < 0 else abs(a))
def copysign(a, b):
    """|a| with the sign of b (of a zero, too)."""
    return math.copysign(a, b)


@_function(lambda mp, a, b, c: mp.fdot([(a, b), (c, 1)]))
def fma(a, b, c):
    """a b + c with one rounding."""
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)) or a * b == 0.0:
        return a * b + c
    try:
        return float(Fraction(a) * Fraction(b) + Fraction(c))
    except OverflowError:
        return math.copysign(math.inf, a * b)


def where(condition, a, b):
    """a if condition else b; both are computed, so neither may raise."""
    return _like((a, b), a if condition else b)
