"""Branch-free scalar code of the functions of vecmath: inlined into a loop, it is SIMD.

`build(np.float64)` and `build(np.float32)` compile one source, each in its own arithmetic. No fastmath flag
and an explicit fma: the bits are the same in the vector body and the scalar tail of a loop, and on every CPU.
`h, l` is an unevaluated sum h + l whose second word holds what the first has rounded away. Special values are
selected at the end; arguments are clamped before a conversion to integer (of NaN it is undefined).
"""

from functools import cache
from types import SimpleNamespace

import numpy as np
from numba.core.extending import register_jitable

from . import tables
from .intrinsics import bits, copysign, fma, from_bits, horner, where

__all__ = ["build"]


@cache
def build(F):
    """The functions of `fusedloss.vecmath` for numbers of type F, to be called from compiled code."""
    m = SimpleNamespace(F=F, fma=fma, where=where, copysign=copysign)
    m.size = np.dtype(F).itemsize
    m.I = np.int64 if F is np.float64 else np.int32
    for part in (_words, _exponential, _logarithm, _sigmoid, _power, _error_function, _gamma, _angle):
        m.__dict__.update({f.__name__: f for f in part(m)})
    return m


def _register(F):
    def register(f):
        # the symbol's name: functions of both formats may meet in one linker
        f.__qualname__ = f"vecmath.{F.__name__}.{f.__name__}"
        return register_jitable(fastmath=False, error_model="numpy", forceinline=True)(f)
    return register


def _constants(m, name):
    return [m.F(c) for c in getattr(tables, name)[m.size]]


def _polynomial(m, name):
    return horner(_constants(m, name))


def _even_odd(m, name):
    """The polynomial in two halves: less accurate by a rounding than Horner's rule, half as long to wait for."""
    coefficients = _constants(m, name)
    even, odd = horner(coefficients[0::2]), horner(coefficients[1::2])

    @_register(m.F)
    def polynomial(x):
        z = x * x
        return fma(odd(z), x, even(z))

    return polynomial


def _words(m):
    """Exact sums and products in two words (Dekker, Knuth)."""
    register = _register(m.F)

    @register
    def fast_two_sum(a, b):                             # |a| >= |b| or a == 0
        h = a + b
        return h, b - (h - a)

    @register
    def two_sum(a, b):
        h = a + b
        t = h - a
        return h, (a - (h - t)) + (b - t)

    @register
    def two_product(a, b):
        h = a * b
        return h, fma(a, b, -h)

    @register
    def sqrt(x):
        return np.sqrt(x)

    return fast_two_sum, two_sum, two_product, sqrt


def _exponential(m):
    """e^x = 2^n (1 + r + r^2 P(r)), x = n ln 2 + r; n times the first word of ln 2 is exact."""
    F, I, fast_two_sum, two_sum = m.F, m.I, m.fast_two_sum, m.two_sum
    register = _register(F)
    polynomial, expm1mx_polynomial = _polynomial(m, "EXP"), _polynomial(m, "EXPM1MX")
    LN2, LN2_LOW = _constants(m, "LN2")
    LOG2_E = F(1 / np.log(2.0))
    HALF, ONE, TWO = F(0.5), F(1), F(2)
    MANTISSA, BIAS = (I(52), I(1023)) if F is np.float64 else (I(23), I(127))
    # beyond: e^x is 0 or inf; below LOWEST: e^x - 1 is -1
    LOW, HIGH = (F(-746), F(710)) if F is np.float64 else (F(-105), F(89))
    LOWEST = F(-50)
    TINY, HUGE = F(2.0**-60), F(2.0**60)                # e^x - 1 is x; e^x is nothing beside x
    short = _even_odd(m, "EXP_NEG")
    ROUND, DOWN = F(1.5 * 2.0**int(MANTISSA)), F(2.0**-64)

    @register
    def pow2(n):
        return from_bits(I((n + BIAS) << MANTISSA))

    @register
    def scaled(x, n):                                   # x 2^n; 2^n alone may leave the format
        half = np.int32(n) >> np.int32(1)
        return x * pow2(I(half)) * pow2(I(np.int32(n) - half))

    @register
    def clamped(x, low, high):                          # NaN gives low
        x = where(x > low, x, low)
        return where(x < high, x, high)

    @register
    def reduced(x):                                     # n, r, low: x = n ln 2 + r - low
        n = np.rint(x * LOG2_E)
        return n, fma(n, -LN2, x), n * LN2_LOW

    @register
    def exp_parts(x):                                   # n, r, q: e^x = 2^n (1 + r + q)
        n, r, low = reduced(x)
        s = r - low
        return n, r, fma(s * s, polynomial(s), -low)

    @register
    def exp_words(x):                                   # n, h, l: e^x = 2^n (h + l)
        n, r, q = exp_parts(clamped(x, LOW, HIGH))
        h, l = fast_two_sum(ONE, r)
        h, l = fast_two_sum(h, l + q)
        return n, h, l

    @register
    def exp_of_sum(h, l):                               # e^(h + l), |l| far below 1
        n, r, q = exp_parts(clamped(h, LOW, HIGH))
        e = ONE + (r + q)
        return scaled(fma(e, l, e), n)

    @register
    def half_power(n):                                  # e^x may overflow where half of e^x - 1 does not
        return pow2(I(np.int32(n) - np.int32(1)))

    @register
    def half_of_expm1(n, r, q):
        t = half_power(n)
        h, l = fast_two_sum(t - HALF, t * r)
        return fast_two_sum(h, fma(t, q, l))

    @register
    def exp(x):
        n, h, _ = exp_words(x)
        return where(x == x, scaled(h, n), x)

    @register
    def exp_neg(x):                                     # e^-x, x >= 0: one word all along, 2^n by integer addition
        c = where(x < -LOW, x, -LOW)
        shifted = fma(c, -LOG2_E, ROUND)                # its last bits are n
        n = shifted - ROUND
        r = fma(n, -LN2_LOW, fma(n, -LN2, -c))
        # 2^64 too large, so that the one rounding into the subnormals is that of the last product
        raised = I(bits(fma(r, short(r), ONE)) + I((bits(shifted) + I(64)) << MANTISSA))
        return where(x == x, from_bits(raised) * DOWN, x)

    @register
    def expm1_words(x):                                 # half of e^x - 1
        n, r, q = exp_parts(clamped(x, LOWEST, HIGH))
        return half_of_expm1(n, r, q)

    @register
    def expm1_and_exp(x):                               # h, l, e: half of e^x - 1 for x > -50, e^x
        n, r, q = exp_parts(clamped(x, LOW, HIGH))
        h, l = half_of_expm1(n, r, q)
        return h, l, scaled(ONE + (r + q), n)

    @register
    def expm1(x):
        h, _ = expm1_words(x)
        return where(abs(x) > TINY, TWO * h, x)         # also keeps -0 and NaN

    @register
    def expm1mx(x):                                     # while n = 0 s^2 P(s) itself, no cancellation
        n, r, low = reduced(clamped(x, LOWEST, HIGH))
        s = r - low
        q = fma(s * s, expm1mx_polynomial(s), -low)
        t = half_power(n)
        h, l = fast_two_sum(t - HALF, t * r)
        h, h_low = two_sum(h, -HALF * where(x < HIGH, x, HIGH))
        result = TWO * (h + (h_low + fma(t, q, l)))
        return where(x < -HUGE, -x, where(x == x, result, x))

    return scaled, clamped, pow2, exp_words, exp_of_sum, exp, exp_neg, expm1_words, expm1_and_exp, expm1, expm1mx


def _logarithm(m):
    """log u = k ln 2 + log(1 + f), sqrt(1/2) <= 1 + f < sqrt 2.

    log(1 + f) = log((1 + s) / (1 - s)) = f - s (f - s^2 P(s^2)), s = f / (2 + f).
    """
    F, I = m.F, m.I
    fast_two_sum, two_sum, pow2, expm1_and_exp = m.fast_two_sum, m.two_sum, m.pow2, m.expm1_and_exp
    register = _register(F)
    polynomial = _polynomial(m, "LOG")
    LN2, LN2_LOW = _constants(m, "LN2")
    ZERO, ONE, TWO = F(0), F(1), F(2)
    INF, NAN = F(np.inf), F(np.nan)
    MANTISSA = I(52) if F is np.float64 else I(23)
    MASK = I((1 << int(MANTISSA)) - 1)
    SQRT1_2 = I(F(0.5**0.5).view(I))
    MIN_NORMAL = F(np.finfo(F).tiny)
    LIFT = F(54)
    LIFTED = F(2.0**54)
    MAX_EXPONENT = F(1023) if F is np.float64 else F(127)
    TINY = F(2.0**-60)                                  # e^x - 1 is x

    @register
    def lifted(x):                                      # x 2^j, j: a normal number
        small = x < MIN_NORMAL
        return where(small, x * LIFTED, x), where(small, LIFT, ZERO)

    @register
    def log_parts(u):                                   # k, f
        i = I(bits(u) - SQRT1_2)
        k = F(np.int32(i >> MANTISSA))
        return k, from_bits(I((i & MASK) + SQRT1_2)) - ONE

    @register
    def shifted(c, k):                                  # c 2^-k, 0 at the largest numbers
        return c * pow2(I(-np.int32(where(k < MAX_EXPONENT, k, MAX_EXPONENT))))

    @register
    def over(c, s):                                     # c / (1 + f) as c (1 - 2 s (1 - s)), no division
        return fma(c * (-TWO * s), ONE - s, c)

    @register
    def log_tail(f, s):                                 # log(1 + f) - f
        z = s * s
        return -s * fma(-z, polynomial(z), f)

    @register
    def log_words(u, c):                                # log(u + c): u normal, c below its last bit
        k, f = log_parts(u)
        s = f / (TWO + f)
        h, l = fast_two_sum(k * LN2, f)
        return h, l + fma(k, LN2_LOW, log_tail(f, s)) + over(shifted(c, k), s)

    @register
    def log(x):
        u, j = lifted(x)
        k, f = log_parts(u)
        k = k - j
        s = f / (TWO + f)
        h, l = fast_two_sum(k * LN2, f)
        r = h + (l + fma(k, LN2_LOW, log_tail(f, s)))
        r = where(x < INF, r, x)
        return where(x > ZERO, r, where(x == ZERO, -INF, NAN))

    @register
    def log1p(x):
        u, c = two_sum(ONE, x)
        h, l = log_words(u, c)
        r = where(x < INF, h + l, x)
        r = where(x > -ONE, r, where(x == -ONE, -INF, NAN))
        return where(abs(x) > ZERO, r, x)

    @register
    def log1pmx(x):                                     # while k = 0 log_tail(x) itself, no cancellation
        u, c = two_sum(ONE, x)
        k, f = log_parts(u)
        f = where(k == ZERO, x, f)
        c = where(k == ZERO, ZERO, shifted(c, k))
        s = f / (TWO + f)
        h, l = fast_two_sum(k * LN2, f)
        h, low = two_sum(h, -x)
        r = h + (low + (l + (fma(k, LN2_LOW, log_tail(f, s)) + over(c, s))))
        r = where(x < INF, r, -x)
        return where(x > -ONE, r, where(x == -ONE, -INF, NAN))

    @register
    def log1mexp(x):                                    # log(-expm1(-x)) or log1p(-exp(-x))
        h, l, t = expm1_and_exp(-x)
        u = ONE - t
        near = x < LN2
        u, c = where(near, -TWO * h, u), where(near, -TWO * l, (ONE - u) - t)
        u = where(x < TINY, x, u)
        u, j = lifted(u)
        h, l = log_words(u, where(j > ZERO, c * LIFTED, c))
        r = (h - j * LN2) + (l - j * LN2_LOW)
        return where(x > ZERO, r, where(x == ZERO, -INF, NAN))

    return lifted, log_parts, log_tail, log_words, log, log1p, log1pmx, log1mexp


def _sigmoid(m):
    """Functions of t = exp(-|x|) <= 1, which cannot overflow."""
    F, exp, fast_two_sum, expm1_words = m.F, m.exp, m.fast_two_sum, m.expm1_words
    register = _register(F)
    polynomial = _polynomial(m, "LOG_UNIT")
    ZERO, ONE, TWO = F(0), F(1), F(2)
    TINY = F(2.0**-60)                                  # tanh x is x

    short = _even_odd(m, "LOG_RATIO")

    @register
    def log_ratio(s):                                   # 2 s + s^3 P(s^2), |s| <= 1/3: no work with exponents
        z = s * s
        return fma(s * z, short(z), s + s)

    @register
    def log1p_unit(t):                                  # 0 <= t <= 1
        return log_ratio(t / (TWO + t))

    @register
    def softplus(x):                                    # log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)
        t = exp(-abs(x))
        s = t / (TWO + t)
        z = s * s
        return where(x > ZERO, x, ZERO) + fma(-s, fma(-z, polynomial(z), t), t)

    @register
    def log_sigmoid(x):
        return -softplus(-x)

    @register
    def sigmoid(x):                                     # 1 / (1 + t) or t / (1 + t)
        t = exp(-abs(x))
        d, low = fast_two_sum(ONE, t)
        positive = x >= ZERO
        numerator = where(positive, ONE, t)
        r = numerator / d
        # the remainder of the division, times 1 / d, which is r or 1 - r
        e = fma(-r, low, fma(-r, d, numerator))
        return fma(e, where(positive, r, ONE - r), r)

    @register
    def tanh(x):                                        # -h / (1 + h), h = (e^(-2 |x|) - 1) / 2
        h, l = expm1_words(-TWO * abs(x))
        d, low = fast_two_sum(ONE, h)
        r = -h / d
        # the remainder of the division, times 1 / d = 1 + r
        e = fma(-r, low + l, fma(-r, d, -h) - l)
        return where(abs(x) > TINY, copysign(fma(e, ONE + r, r), x), x)

    return log_ratio, log1p_unit, softplus, log_sigmoid, sigmoid, tanh


def _power(m):
    """x^y = exp(y log x), log x in two words: an error of one word would be amplified up to 745 times."""
    F = m.F
    fast_two_sum, two_sum, two_product, log_words = m.fast_two_sum, m.two_sum, m.two_product, m.log_words
    exp_of_sum = m.exp_of_sum
    lifted, log_parts, exp_words, scaled, clamped = m.lifted, m.log_parts, m.exp_words, m.scaled, m.clamped
    register = _register(F)
    polynomial = _polynomial(m, "POW_LOG")
    LN2, LN2_LOW = _constants(m, "LN2")
    TWO_THIRDS, TWO_THIRDS_LOW = _constants(m, "TWO_THIRDS")
    ZERO, HALF, ONE, TWO = F(0), F(0.5), F(1), F(2)
    INF, NAN = F(np.inf), F(np.nan)
    HUGE = F(2.0**66)                                   # |y| of this size saturates at every x != 1
    SATURATED = F(1024)                                 # e^1024 is inf, e^-1024 is 0

    @register
    def log_two_words(x):                               # s (2 + s^2 (2/3 + s^2 P(s^2)))
        u, j = lifted(x)
        k, f = log_parts(u)
        k = k - j
        d, d_low = fast_two_sum(TWO, f)
        s = f / d
        s_low = fma(-s, d_low, fma(-s, d, f)) / d
        z, z_low = two_product(s, s)
        z_low = fma(TWO * s, s_low, z_low)
        p, p_low = fast_two_sum(TWO_THIRDS, z * polynomial(z))
        p_low = p_low + TWO_THIRDS_LOW
        v, v_low = two_product(z, p)
        v_low = v_low + fma(z, p_low, z_low * p)
        w, w_low = fast_two_sum(TWO, v)
        w_low = w_low + v_low
        g, g_low = two_product(s, w)
        g_low = g_low + fma(s, w_low, s_low * w)
        h, l = fast_two_sum(k * LN2, g)
        return h, l + fma(k, LN2_LOW, g_low)

    @register
    def pow(x, y):
        a = abs(x)
        h, l = log_two_words(a)
        y_finite = clamped(y, -HUGE, HUGE)
        e, e_low = two_product(y_finite, h)
        e_low = fma(y_finite, l, e_low)
        n, h, l = exp_words(e)
        r = scaled(h + fma(h, where(abs(e) < SATURATED, e_low, ZERO), l), n)
        # log was wrong at 0 and inf: 0 if a < 1 and y > 0, or a > 1 and y < 0
        edge = where((a < ONE) == (y > ZERO), ZERO, INF)
        r = where((a == ZERO) | (a == INF), edge, r)
        # negative x: minus for odd y, nothing real between the integers
        integer = np.rint(y) == y
        odd = integer & (np.rint(HALF * y) != HALF * y)
        r = where((x < ZERO) & ~integer & (a < INF), NAN, r)
        r = copysign(r, where(odd, x, ONE))
        r = where((x == x) & (y == y), r, NAN)
        return where((y == ZERO) | (x == ONE) | ((a == ONE) & (abs(y) == INF)), ONE, r)

    @register
    def pow1p(x, y):                                    # exp(y log1p(x)), the logarithm in two words as log1p has it
        u, c = two_sum(ONE, x)
        h, l = log_words(u, c)
        h, l = fast_two_sum(h, l)
        p, p_low = two_product(y, h)
        p_low = fma(y, l, p_low)
        r = exp_of_sum(p, where(abs(p) < SATURATED, p_low, ZERO))
        return where(x < INF, r, where(x == x, where(y < ZERO, ZERO, where(y > ZERO, INF, ONE)), x))

    return pow, pow1p


def _error_function(m):
    """erf by a series below 1/2, else e^(-x^2) erfcx(x), a product of numbers in two words.

    erfcx(x) = e^(x^2) erfc(x) = q P(u), q = 1 / (3 + x), u = (3 - x) / (3 + x): falls like 1 / x.
    """
    F = m.F
    fast_two_sum, two_sum, two_product = m.fast_two_sum, m.two_sum, m.two_product
    exp_words, scaled, log_words, exp_neg = m.exp_words, m.scaled, m.log_words, m.exp_neg
    register = _register(F)
    series = _polynomial(m, "ERF")
    C, *coefficients, C_LOW = _constants(m, "ERFCX")
    rest = horner(coefficients)
    ZERO, HALF, ONE, TWO, THREE, SIX = F(0), F(0.5), F(1), F(2), F(3), F(6)
    SQRT1_2 = _constants(m, "SQRT1_2")[0]
    INF = F(np.inf)
    FAR = F(28) if F is np.float64 else F(11)           # erfc is 0
    INVERSE_SQRT_PI = F(np.pi**-0.5)
    VERY_FAR = F(1e12)                                  # log erfcx is nothing beside x^2

    @register
    def erfcx_words(x):                                 # x >= 1/2
        d, d_low = two_sum(x, THREE)
        q = ONE / d
        q_low = q * fma(-q, d_low, fma(-q, d, ONE))
        u = fma(SIX, q, -ONE) + SIX * q_low
        t = rest(u)
        p = fma(u, t, C)
        p_low = fma(u, t, C - p) + C_LOW
        g, g_low = two_product(p, q)
        return g, g_low + fma(p, q_low, p_low * q)

    @register
    def tail_words(h, l, g, g_low):                     # e^-(h + l) (g + g_low) = 2^n (p + p_low)
        n, e, e_low = exp_words(-h)
        e_low = fma(-e, l, e_low)
        p, p_low = two_product(e, g)
        return n, p, p_low + fma(e, g_low, e_low * g)

    @register
    def erfc_tail(a):                                   # n, p, p_low: erfc(a) = 2^n (p + p_low), a >= 1/2
        a = where(a < FAR, a, FAR)
        h, l = two_product(a, a)
        g, g_low = erfcx_words(a)
        return tail_words(h, l, g, g_low)

    @register
    def erf(x):
        a = abs(x)
        n, p, p_low = erfc_tail(a)
        t = scaled(p, n)
        h, l = fast_two_sum(ONE, -t)
        near = fma(a, series(a * a), a)
        r = where(a < HALF, near, h + (l - scaled(p_low, n)))
        return where(abs(x) > ZERO, copysign(r, x), x)

    @register
    def erf_pos(x):                                     # one word all along; below 1 the errors of the tail shrink
        q = ONE / (x + THREE)
        u = fma(SIX, q, -ONE)
        far = fma(-exp_neg(x * x), fma(u, rest(u), C) * q, ONE)
        return where(x < HALF, fma(x, series(x * x), x), far)

    @register
    def erfc(x):
        n, p, p_low = erfc_tail(abs(x))
        t = scaled(p + p_low, n)
        h, l = fast_two_sum(ONE, -x)
        near = h + fma(-x, series(x * x), l)
        r = where(abs(x) < HALF, near, where(x > ZERO, t, TWO - t))
        return where(x == x, r, x)

    @register
    def erfcx(x):                                       # e^(x^2) erfc(x); 2 e^(x^2) - erfcx(-x) on the left
        a = abs(x)
        g, g_low = erfcx_words(where(a < VERY_FAR, a, VERY_FAR))
        h, l = two_product(a, a)
        n, p, p_low = tail_words(-where(h < INF, h, INF), -where(h < INF, l, ZERO), ONE, ZERO)
        bell = scaled(p + p_low, n)
        one_minus, low = fast_two_sum(ONE, -x)
        near = bell * (one_minus + fma(-x, series(x * x), low))
        right = where(a < VERY_FAR, g + g_low, INVERSE_SQRT_PI / a)
        r = where(a < HALF, near, where(x > ZERO, right, TWO * bell - right))
        return where(x == x, r, x)

    @register
    def log_ndtr(x):                                    # log(1 - erfc(a) / 2) or log(erfcx(a) / 2) - x^2 / 2
        a = abs(x) * SQRT1_2
        h, l = two_product(HALF * x, x)
        l = where(h < INF, l, ZERO)
        g, g_low = erfcx_words(where(a < VERY_FAR, a, VERY_FAR))
        n, p, p_low = tail_words(h, where(h < FAR * FAR, l, ZERO), g, g_low)
        b = HALF * scaled(p + p_low, n)
        u, c = fast_two_sum(ONE, -b)
        left = x < ZERO
        u, c = where(left, HALF * g, u), where(left, HALF * g_low, c)
        # near 0 the argument itself: 1/2 + erf(x / sqrt 2) / 2
        near = a < HALF
        v = HALF * SQRT1_2 * x
        v, v_low = fast_two_sum(HALF, fma(v, series(HALF * x * x), v))
        u, c = where(near, v, u), where(near, v_low, c)
        w, w_low = log_words(u, c)
        r = w + w_low
        r = where(left & (a >= HALF), (r - h) - l, r)
        return where(x == x, r, x)

    return erf, erf_pos, erfc, erfcx, log_ndtr


def _gamma(m):
    """[1, 5/2): a polynomial times the factors of the zeros. Below: recurrence. Above: Stirling's series."""
    F = m.F
    two_sum, lifted, log_parts, log_tail, log = m.two_sum, m.lifted, m.log_parts, m.log_tail, m.log
    register = _register(F)
    lgamma_middle, lgamma_stirling = _polynomial(m, "LGAMMA"), _polynomial(m, "LGAMMA_TAIL")
    digamma_middle, digamma_stirling = _polynomial(m, "DIGAMMA"), _polynomial(m, "DIGAMMA_TAIL")
    LN2, LN2_LOW = _constants(m, "LN2")
    ROOT, ROOT_LOW = _constants(m, "DIGAMMA_ROOT")
    ZERO, HALF, ONE, TWO, SPLIT = F(0), F(0.5), F(1), F(2), F(2.5)
    HALF_LOG_2PI_M1 = F((np.log(2 * np.pi) - 1) / 2)
    INF, NAN = F(np.inf), F(np.nan)

    @register
    def lgamma(x):
        near, middle = x < ONE, x < SPLIT
        # near: log Gamma(1 + x) - log x; the zeros' factors are exact in x
        u = x - where(near, ONE, TWO)
        v = where(near, x, x - ONE)
        g = v * u * lgamma_middle(u)
        # far: (x - 1/2) (log x - 1) + ..., the 1 taken from log x before its rounding
        y, j = lifted(x)
        k, f = log_parts(y)
        k = k - j
        h, l = two_sum(fma(k, LN2, where(middle, ZERO, -ONE)), f)
        log_x = h + (l + fma(k, LN2_LOW, log_tail(f, f / (TWO + f))))
        q = ONE / x
        far = fma(x - HALF, log_x, fma(q, lgamma_stirling(q * q), HALF_LOG_2PI_M1))
        r = where(middle, where(near, g - log_x, g), far)
        return where(x > ZERO, r, where(x == ZERO, INF, NAN))

    @register
    def digamma(x):
        near, middle = x < ONE, x < SPLIT
        q = ONE / x
        u = x - where(near, ONE, TWO)
        v = (x - where(near, ROOT - ONE, ROOT)) - ROOT_LOW
        g = v * digamma_middle(u)
        w = q * q
        far = log(x) - fma(w, digamma_stirling(w), HALF * q)
        r = where(middle, where(near, g - q, g), far)
        return where(x > ZERO, r, where(x == ZERO, -INF, NAN))

    return lgamma, digamma


def _angle(m):
    """sin, cos: x = n pi/2 + r, pi/2 in three words. atan: from the nearest of 0, pi/4, pi/2."""
    F = m.F
    fast_two_sum, two_sum, two_product = m.fast_two_sum, m.two_sum, m.two_product
    register = _register(F)
    sin_polynomial, cos_polynomial = _polynomial(m, "SIN"), _polynomial(m, "COS")
    atan_polynomial = _polynomial(m, "ATAN")
    PI_2, PI_2_LOW, PI_2_LOWEST = _constants(m, "PI_2")
    TWO_OVER_PI = F(2 / np.pi)
    ZERO, HALF, ONE = F(0), F(0.5), F(1)
    NAN = F(np.nan)
    LARGEST = F(1e5)                                    # so far three words are enough
    TAN_PI_8, TAN_3PI_8 = F(np.sqrt(2) - 1), F(np.sqrt(2) + 1)
    INT1, INT2 = np.int32(1), np.int32(2)

    @register
    def sin_quadrant(a, turn):                          # sin(a + turn pi/2), 0 <= a <= LARGEST
        n = np.rint(a * TWO_OVER_PI)
        p, p_low = two_product(n, -PI_2_LOW)
        r, low = two_sum(fma(n, -PI_2, a), p)           # the fma is exact
        low = fma(n, -PI_2_LOWEST, low + p_low)
        z = r * r
        s = r + fma(r * z, sin_polynomial(z), low)
        h, l = fast_two_sum(ONE, -HALF * z)
        c = h + (l + fma(z * z, cos_polynomial(z), -r * low))
        quadrant = np.int32(n) + turn
        value = where((quadrant & INT1) == 0, s, c)
        return where((quadrant & INT2) == 0, value, -value)

    @register
    def sin(x):
        a = abs(x)
        inside = a <= LARGEST
        r = sin_quadrant(where(inside, a, ZERO), np.int32(0))
        return where(inside, r * copysign(ONE, x), NAN)

    @register
    def cos(x):
        a = abs(x)
        inside = a <= LARGEST
        r = sin_quadrant(where(inside, a, ZERO), INT1)
        return where(inside, r, NAN)

    @register
    def atan(x):
        a = abs(x)
        middle, far = a > TAN_PI_8, a > TAN_3PI_8
        t = where(far, -ONE, where(middle, a - ONE, a)) / where(far, a, where(middle, a + ONE, ONE))
        turn = where(far, ONE, where(middle, HALF, ZERO))
        z = t * t
        r = turn * PI_2 + (t + fma(t * z, atan_polynomial(z), turn * PI_2_LOW))
        return where(x == x, copysign(r, x), x)

    return sin, cos, atan
