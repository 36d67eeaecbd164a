"""Writes src/fusedloss/vecmath/tables.py: minimax polynomials by Remez' exchange, in 60 digits.

    python tools/remez.py            # about a minute
"""

from pathlib import Path

import numpy as np
from mpmath import mp, mpf

mp.dps = 60
TARGET = Path(__file__).parents[1] / "src/fusedloss/vecmath/tables.py"
GAMMA_SPLIT = mpf(5) / 2           # below: polynomial; from here on: Stirling's series
ERF_SPLIT = mpf(1) / 2             # below: series of erf; from here on: erfcx
K = 3                              # erfcx is a polynomial in (K - x) / (K + x)
DIGAMMA_ROOT = mp.findroot(mp.digamma, 1.4616)


def horner(coefficients, x):
    total = mpf(0)
    for c in reversed(coefficients):
        total = total * x + c
    return total


def extrema(error, count):
    """Indices of `count` alternating local extrema of the sampled error, the largest ones."""
    runs, start = [], 0
    for i in range(1, len(error) + 1):
        if i == len(error) or (error[i] > 0) != (error[start] > 0):
            runs.append(max(range(start, i), key=lambda j: abs(error[j])))
            start = i
    while len(runs) > count:
        runs.pop(0 if abs(error[runs[0]]) < abs(error[runs[-1]]) else -1)
    return runs


def remez(f, weight, a, b, degree):
    """Coefficients c of the polynomial minimising max |weight(x) (f(x) - sum c_k x^k)| on [a, b]."""
    size = 40 * (degree + 2)
    xs = [(a + b) / 2 + (b - a) / 2 * mp.cos(mp.pi * (i + mpf(1) / 2) / size) for i in range(size)]
    fs, ws = [f(x) for x in xs], [abs(weight(x)) for x in xs]
    nodes = [20 + 40 * i for i in range(degree + 2)]
    for _ in range(12):
        system = mp.matrix([[xs[i] ** k for k in range(degree + 1)] + [(-1) ** j / ws[i]]
                            for j, i in enumerate(nodes)])
        solution = mp.lu_solve(system, mp.matrix([fs[i] for i in nodes]))
        coefficients, level = list(solution[:-1]), abs(solution[degree + 1])
        error = [w * (y - horner(coefficients, x)) for x, y, w in zip(xs, fs, ws, strict=True)]
        nodes = extrema(error, degree + 2)
        if len(nodes) < degree + 2 or max(map(abs, error)) < level * mpf("1.0001"):
            break
    return coefficients, max(map(abs, error))


def one(_):
    return mpf(1)


def exp(r):                        # e^r = 1 + r + r^2 P(r)
    return (mp.expm1(r) - r) / r**2


def exp_neg(r):                    # e^r = 1 + r P(r)
    return mp.expm1(r) / r


def log(z):                        # log((1 + s) / (1 - s)) = 2 s + s^3 P(s^2)
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) - 2 * s) / s**3


def pow_log(z):                    # P of `log` without its first term
    return (log(z) - mpf(2) / 3) / z


def erf(z):                        # erf(x) = x + x P(x^2)
    x = mp.sqrt(z)
    return mp.erf(x) / x - 1


def erfcx(u):                      # erfcx(x) = P((K - x) / (K + x)) / (K + x)
    x = K * (1 - u) / (1 + u)
    if x > 1000:                   # exp(x^2) would need too many digits
        return (x + K) / (x * mp.sqrt(mp.pi)) * mp.hyp2f0(1, 0.5, -1 / x**2)
    return (x + K) * mp.erfc(x) * mp.exp(x * x)


def sin(z):                        # sin r = r + r^3 P(r^2)
    r = mp.sqrt(z)
    return (mp.sin(r) / r - 1) / z


def cos(z):                        # cos r = 1 - r^2 / 2 + r^4 P(r^2)
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


def atan(z):                       # atan t = t + t^3 P(t^2)
    t = mp.sqrt(z)
    return (mp.atan(t) / t - 1) / z


def lgamma(u):                     # lgamma(2 + u) = (1 + u) u P(u): both zeros are factors
    return mp.loggamma(2 + u) / ((1 + u) * u)


def lgamma_tail(w):                # Stirling: the remainder, times x, in w = 1 / x^2
    x = 1 / mp.sqrt(w)
    return (mp.loggamma(x) - (x - mpf(1) / 2) * (mp.log(x) - 1) - (mp.log(2 * mp.pi) - 1) / 2) * x


def digamma(u):                    # digamma(2 + u) = (2 + u - root) P(u)
    return mp.digamma(2 + u) / (2 + u - DIGAMMA_ROOT)


def digamma_tail(w):               # digamma(x) = log x - 1 / (2 x) - w P(w), w = 1 / x^2
    x = 1 / mp.sqrt(w)
    return (mp.log(x) - 1 / (2 * x) - mp.digamma(x)) / w


LN2_HALF = mp.log(2) / 2 * mpf("1.001")
LOG_Z = (mp.sqrt(2) - 1) ** 4      # s = (m - 1) / (m + 1) for m = sqrt 2
PI_4 = mp.pi / 4 * mpf("1.001")
U_MAX = (K - ERF_SPLIT) / (K + ERF_SPLIT)

# name: function, weight (makes the error relative to the final result), interval, degrees f64 and f32
POLYNOMIALS = {
    "EXP": (exp, lambda r: r, -LN2_HALF, LN2_HALF, 9, 4),
    "EXPM1MX": (exp, lambda r: 1 / exp(r), -LN2_HALF, LN2_HALF, 10, 5),   # when r^2 P(r) is the result
    "EXP_NEG": (exp_neg, lambda r: r / mp.exp(r), -LN2_HALF, LN2_HALF, 9, 4),
    "LOG": (log, lambda z: z / 2, mpf(0), LOG_Z, 6, 2),
    "LOG_UNIT": (log, lambda z: z / 2, mpf(0), mpf(1) / 9, 10, 4),
    "LOG_RATIO": (log, lambda z: z / 2, mpf(0), mpf(1) / 9, 8, 3),
    "POW_LOG": (pow_log, lambda z: z**2 / 2, mpf(0), LOG_Z, 7, 2),
    "ERF": (erf, one, mpf(0), ERF_SPLIT**2, 8, 4),
    "ERFCX": (erfcx, lambda u: 1 / erfcx(u), mpf(-1), U_MAX, 22, 10),
    "SIN": (sin, lambda z: z, mpf(0), PI_4**2, 5, 2),
    "COS": (cos, lambda z: z**2, mpf(0), PI_4**2, 5, 2),
    "ATAN": (atan, lambda z: z, mpf(0), mp.tan(mp.pi / 8) ** 2, 10, 4),
    "LGAMMA": (lgamma, lambda u: 1 / lgamma(u), mpf(-1), GAMMA_SPLIT - 2, 23, 10),
    "LGAMMA_TAIL": (lgamma_tail, lambda w: mp.sqrt(w) / mp.loggamma(1 / mp.sqrt(w)), mpf(0),
                    1 / GAMMA_SPLIT**2, 11, 3),
    "DIGAMMA": (digamma, lambda u: 1 / digamma(u), mpf(-1), GAMMA_SPLIT - 2, 25, 11),
    "DIGAMMA_TAIL": (digamma_tail, lambda w: w / mp.digamma(1 / mp.sqrt(w)), mpf(0),
                     1 / GAMMA_SPLIT**2, 12, 3),
}

# name: value, bits of each word; None: all the bits that the format has
WORDS = {
    "LN2": (mp.log(2), {8: (42, None), 4: (16, None)}),        # n * LN2[0] is exact for every exponent n
    "PI_2": (mp.pi / 2, {8: (None,) * 3, 4: (None,) * 3}),
    "SQRT1_2": (mp.sqrt(mpf(1) / 2), {8: (None,) * 2, 4: (None,) * 2}),
    "TWO_THIRDS": (mpf(2) / 3, {8: (None,) * 2, 4: (None,) * 2}),
    "DIGAMMA_ROOT": (DIGAMMA_ROOT, {8: (None,) * 2, 4: (None,) * 2}),
}
FLOAT = {8: np.float64, 4: np.float32}
PRECISION = {8: 53, 4: 24}


def rounded(x, size, bits=None):
    """x rounded to `bits` bits, as a number of the format with `size` bytes."""
    with mp.workprec(bits or PRECISION[size]):
        return FLOAT[size](+x)


def words(x, size, bits):
    """x as an unevaluated sum of numbers."""
    parts = []
    for b in bits:
        parts.append(rounded(x, size, b))
        x -= mpf(float(parts[-1]))
    return parts


def entry(name, values):
    lines = [f"{name} = {{"]
    for size, numbers in values.items():
        lines += [f"    {size}: (", *(f"        {x!s}," for x in numbers), "    ),"]
    return "\n".join([*lines, "}"])


def main():
    entries = [entry(name, {size: words(x, size, bits) for size, bits in sizes.items()})
               for name, (x, sizes) in WORDS.items()]
    for name, (f, weight, a, b, *degrees) in POLYNOMIALS.items():
        values = {}
        for size, degree in zip((8, 4), degrees, strict=True):
            coefficients, error = remez(f, weight, a, b, degree)
            values[size] = [rounded(c, size) for c in coefficients]
            print(f"{name:13} float{8 * size} degree {degree:2}  error 2^{float(mp.log(error, 2)):.1f}")
            if name == "ERFCX":    # the rounding of its leading coefficient would count: keep it, last
                values[size].append(words(coefficients[0], size, (None, None))[1])
        entries.append(entry(name, values))
    TARGET.write_text(HEADER + "\n".join(entries) + "\n")


HEADER = '''"""Minimax polynomials (lowest power first) and constants in several words, by the format's bytes.

Written by tools/remez.py, which also says what each one approximates. Do not edit.
"""

'''


if __name__ == "__main__":
    main()
