"""Losses of a real target: functions of the error r = f - y, with y the target and f the prediction.

Robust losses are normalised to curvature 1 at r = 0, so they are 0.5 r^2 for small errors; u = r / c is the error in
units of their scale. The `majorizer` is psi(r) / r with psi the gradient: the curvature of the parabola that touches
the loss at r and lies above it everywhere (iteratively reweighted least squares).
"""

from math import inf, pi

from ..curvatures import BOUNDED_GRADIENT, CONSTANT_HESSIAN
from ..domain import ABOVE_MINUS_ONE, NON_NEGATIVE, POSITIVE, Interval
from ..loss import Elementwise, parameter
from ..vecmath import copysign, cos, exp, expm1, expm1mx, fma, log1p, log1pmx, log_ratio, pow, pow1p, sin, sqrt, where

__all__ = [
    "AbsoluteError", "AbsolutePercentageError", "Andrews", "Cauchy", "Charbonnier", "EpsilonInsensitive", "Fair",
    "GemanMcClure", "GeneralRobust", "HalfSquaredError", "Huber", "Linex", "LogCosh", "Lq", "PseudoHuber", "SmoothL1",
    "SquaredEpsilonInsensitive", "SquaredError", "SquaredLogError", "SymmetricAbsolutePercentageError",
    "TukeyBiweight", "Welsch",
]

LN2 = 0.6931471805599453
AT_LEAST_ONE = Interval(low=1.0, low_closed=True)
EPS = 2.220446049250313e-16                    # the float64 epsilon, scikit-learn's floor of |y|


def _sign(r):
    """-1, 0 or 1."""
    return where(r > 0, 1.0, where(r < 0, -1.0, 0.0))


def _faded(x, w):
    """x w, and 0 where the weight w has underflowed to 0: there x may be infinite."""
    return where(w > 0, x * w, 0.0)


def _log1p_square(v):
    """log(1 + v^2) for v >= 0, also where v^2 overflows."""
    far = v > 1e18
    return where(far, 2.0, 1.0) * log1p(where(far, v, v * v))


def _difference(f, y):
    """f - y rounded, and what the rounding lost (two-sum): e^r amplifies that error |r| times."""
    r = f - y
    t = r - f
    return r, (f - (r - t)) - (y + t)


# ---- squared and absolute error ----------------------------------------------------------------------------------


class HalfSquaredError(Elementwise):
    r"""Half the squared error: the mean's loss, with the factor that makes gradient r and Hessian 1.

    l = r^2 / 2, with r = f - y.

    Domain: y and f any real number. Half of `SquaredError`. The minimising constant is the mean.
    Gauss, "Theoria combinationis observationum erroribus minimis obnoxiae", 1823.
    """

    formula = "r²/2,  r = f - y"
    notes = "half of what most libraries call MSE"
    peers = ("sklearn._loss.HalfSquaredError", "xgboost.reg:squarederror", "lightgbm.l2", "optax.l2_loss")
    strict = True
    claims = CONSTANT_HESSIAN

    def value(self, y, f):
        r = f - y
        return 0.5 * r * r

    def gradient(self, y, f):
        return f - y

    def hessian(self, y, f):
        return 1.0

    def majorizer(self, y, f):
        return 1.0

    def fisher_diagonal(self, y, f):
        return 1.0

    def largest_curvature(self, y, f):
        return 1.0

    def optimum(self, mean):
        return mean


class SquaredError(Elementwise):
    r"""Squared error: the mean's loss; its mean over samples is the MSE.

    l = r^2, with r = f - y.

    Domain: y and f any real number. Twice `HalfSquaredError`: gradient 2 r, Hessian 2. The minimising constant is the
    mean.
    Gauss, "Theoria combinationis observationum erroribus minimis obnoxiae", 1823.
    """

    formula = "r²,  r = f - y"
    notes = "no factor 1/2: for the one boosting libraries optimise take half_squared_error"
    peers = ("sklearn.metrics.mean_squared_error", "torch.nn.MSELoss", "keras.losses.MeanSquaredError",
             "optax.squared_error")
    strict = True
    claims = CONSTANT_HESSIAN

    def value(self, y, f):
        r = f - y
        return r * r

    def gradient(self, y, f):
        return 2.0 * (f - y)

    def hessian(self, y, f):
        return 2.0

    def majorizer(self, y, f):
        return 2.0

    def fisher_diagonal(self, y, f):
        return 2.0

    def largest_curvature(self, y, f):
        return 2.0

    def optimum(self, mean):
        return mean


class AbsoluteError(Elementwise):
    r"""Absolute error: the median's loss; its mean over samples is the MAE.

    l = |r|, with r = f - y.

    Domain: y and f any real number. At the kink r = 0 the gradient is the subgradient 0. The Hessian is 0 (almost
    everywhere). Equals 2 `Pinball(quantile=0.5)`. The minimising constant is the median. The majorizer 1 / |r| has no
    finite limit at r = 0 and is held at 1e30 there.
    Laplace, "Théorie analytique des probabilités", 1812.
    """

    formula = "|r|,  r = f - y"
    smooth = False
    notes = ("gradient at r = 0: 0, as torch and LightGBM (scikit-learn's _loss: -1); the Hessian is 0 everywhere, "
             "boosting needs hessian='majorizer'")
    peers = ("sklearn.metrics.mean_absolute_error", "sklearn._loss.AbsoluteError", "torch.nn.L1Loss", "lightgbm.l1",
             "xgboost.reg:absoluteerror", "catboost.MAE")

    @property
    def quantile_level(self):
        return 0.5

    def value(self, y, f):
        return abs(f - y)

    def gradient(self, y, f):
        return _sign(f - y)

    def hessian(self, y, f):
        return 0.0

    def majorizer(self, y, f):
        return 1.0 / max(abs(f - y), 1e-30)

    def fisher_diagonal(self, y, f):
        return 1.0


# ---- convex and robust -------------------------------------------------------------------------------------------


class Huber(Elementwise):
    r"""Quadratic near zero, linear in the tails: least squares that outliers cannot pull away.

    l = r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2), with r = f - y.

    Domain: y and f any real number. Curvature 1 at zero; the Hessian is 0 in the tails.
    `delta` (default 1), in units of y, is where the tails begin; 1.345 standard deviations give 95 % efficiency for
    normal errors. Equals beta `SmoothL1(beta=delta)`.
    Huber, "Robust Estimation of a Location Parameter", Ann. Math. Statist. 35, 1964.
    """

    delta: float = parameter(1.0, POSITIVE)
    formula = "r²/2 if |r| ≤ delta else delta (|r| - delta/2),  r = f - y"
    notes = "the Hessian is 0 where |r| > delta (LightGBM: 1 everywhere); XGBoost's huber_slope is pseudo_huber's"
    peers = ("torch.nn.HuberLoss", "sklearn._loss.HuberLoss", "keras.losses.Huber", "lightgbm.huber",
             "catboost.Huber", "scipy.special.huber", "statsmodels.robust.norms.HuberT")
    claims = BOUNDED_GRADIENT

    def value(self, y, f):
        a = abs(f - y)
        q = min(a, self.delta)
        return q * (a - 0.5 * q)                # both cases of the formula

    def gradient(self, y, f):
        return max(-self.delta, min(self.delta, f - y))

    def hessian(self, y, f):
        return where(abs(f - y) <= self.delta, 1.0, 0.0)

    def majorizer(self, y, f):
        return self.delta / max(abs(f - y), self.delta)

    def largest_curvature(self, y, f):
        return 1.0


class SmoothL1(Elementwise):
    r"""Absolute error with its kink rounded off: Huber's loss divided by beta, so that the slope in the tails is 1.

    l = r^2 / (2 beta) where |r| < beta, else |r| - beta / 2, with r = f - y.

    Domain: y and f any real number. Curvature 1 / beta at zero; the Hessian is 0 in the tails.
    `beta` (default 1), in units of y, is where the tails begin. Equals `Huber(delta=beta)` / beta.
    Girshick, "Fast R-CNN", ICCV 2015.
    """

    beta: float = parameter(1.0, POSITIVE)
    formula = "r²/(2 beta) if |r| < beta else |r| - beta/2,  r = f - y"
    notes = "torch allows beta = 0: that is absolute_error"
    peers = ("torch.nn.SmoothL1Loss",)
    claims = BOUNDED_GRADIENT

    @property
    def inverse(self):
        return 1.0 / self.beta

    def value(self, y, f):
        a = abs(f - y)
        q = min(a, self.beta)
        return q * self.inverse * (a - 0.5 * q)

    def gradient(self, y, f):
        return max(-1.0, min(1.0, (f - y) * self.inverse))

    def hessian(self, y, f):
        return where(abs(f - y) < self.beta, self.inverse, 0.0)

    def majorizer(self, y, f):
        return 1.0 / max(abs(f - y), self.beta)

    def largest_curvature(self, y, f):
        return self.inverse


class PseudoHuber(Elementwise):
    r"""A smooth Huber loss: quadratic near zero, slope delta in the tails.

    l = delta^2 (sqrt(1 + u^2) - 1), with u = r / delta and r = f - y.

    Domain: y and f any real number. Curvature 1 at zero; the Hessian (1 + u^2)^(-3/2) is positive, tiny in the tails.
    `delta` (default 1), in units of y; 1.2871 standard deviations give 95 % efficiency for normal errors.
    Charbonnier et al., "Deterministic Edge-Preserving Regularization in Computed Imaging", IEEE TIP 6, 1997.
    """

    delta: float = parameter(1.0, POSITIVE)
    formula = "delta² (√(1 + (r/delta)²) - 1),  r = f - y"
    notes = "scipy.special.pseudo_huber and XGBoost (huber_slope) have the same normalisation"
    peers = ("scipy.special.pseudo_huber", "xgboost.reg:pseudohubererror")
    strict = True
    claims = BOUNDED_GRADIENT

    @property
    def inverse(self):
        return 1.0 / self.delta

    # sqrt(1 + v^2) - 1 cancels (error 4e-9 at v = 1e-4): it is v^2 / (1 + w). One division i serves 1 / w and
    # 1 / (1 + w). v stops at 1e18, where both are 1 / v: its square would overflow.

    def value(self, y, f):
        a = abs(f - y)
        v = min(a * self.inverse, 1e18)
        w = sqrt(1 + v * v)
        i = 1 / (w * (1 + w))
        return self.delta * a * (v * (w * i))

    def gradient(self, y, f):
        a = abs(f - y)
        v = min(a * self.inverse, 1e18)
        w = sqrt(1 + v * v)
        i = 1 / (w * (1 + w))
        return copysign(self.delta * (v * ((1 + w) * i)), f - y)

    def hessian(self, y, f):
        v = min(abs(f - y) * self.inverse, 1e18)
        w = sqrt(1 + v * v)
        i = 1 / (w * (1 + w))
        return ((1 + w) * i) ** 3

    def majorizer(self, y, f):
        v = min(abs(f - y) * self.inverse, 1e18)
        w = sqrt(1 + v * v)
        i = 1 / (w * (1 + w))
        return (1 + w) * i

    def largest_curvature(self, y, f):
        return 1.0


class Charbonnier(Elementwise):
    r"""Absolute error made differentiable: the loss of image restoration.

    l = sqrt(r^2 + epsilon^2), with r = f - y.

    Domain: y and f any real number. The published form: a perfect prediction costs epsilon, the curvature at zero is
    1 / epsilon. Its Hessian is positive, tiny in the tails. Equals epsilon + `PseudoHuber(delta=epsilon)` / epsilon.
    `epsilon` (default 1e-3), in units of y, is the width of the rounded kink.
    Charbonnier et al., "Two Deterministic Half-Quadratic Regularization Algorithms", ICIP 1994.
    """

    epsilon: float = parameter(1e-3, POSITIVE)
    formula = "√(r² + epsilon²),  r = f - y"
    notes = "epsilon at r = 0, not 0; kornia's charbonnier_loss is √(r² + 1) - 1"
    peers = ("kornia.losses.charbonnier_loss",)
    strict = True
    claims = BOUNDED_GRADIENT

    @property
    def inverse(self):
        return 1.0 / self.epsilon

    def value(self, y, f):
        a = abs(f - y)
        v = min(a * self.inverse, 1e18)         # beyond, the loss is |r| and v^2 would overflow
        return max(a, self.epsilon * sqrt(1 + v * v))

    def gradient(self, y, f):
        v = min(abs(f - y) * self.inverse, 1e18)
        return copysign(v / sqrt(1 + v * v), f - y)

    def hessian(self, y, f):
        v = min(abs(f - y) * self.inverse, 1e18)
        i = 1 / sqrt(1 + v * v)
        return i * i * (self.inverse * i)

    def majorizer(self, y, f):
        a = abs(f - y)
        v = min(a * self.inverse, 1e18)
        return 1 / max(a, self.epsilon * sqrt(1 + v * v))

    def largest_curvature(self, y, f):
        return self.inverse


class LogCosh(Elementwise):
    r"""Logarithm of the hyperbolic cosine: quadratic near zero, |r| - log 2 in the tails, all derivatives smooth.

    l = log(cosh(r)), with r = f - y.

    Domain: y and f any real number. Curvature 1 at zero, slope 1 in the tails, where the Hessian 1 - tanh(r)^2 is
    positive but vanishes like 4 e^(-2|r|). Up to scale and constant the negative log-likelihood of hyperbolic secant
    errors.
    Green, "Bayesian Reconstructions from Emission Tomography Data Using a Modified EM Algorithm", IEEE TMI 9, 1990.
    """

    formula = "log cosh r,  r = f - y"
    notes = "keras and optax lose all digits for small r (float32: below 1e-4)"
    peers = ("keras.losses.LogCosh", "optax.log_cosh", "catboost.LogCosh")
    strict = True
    claims = BOUNDED_GRADIENT

    # |r| + log1p(e^-2|r|) - log 2 cancels for small r. With n / d = tanh(|r| / 2), n = 1 - e^-|r| and d = 1 + e^-|r|:
    # log cosh r = log((1 + s) / (1 - s)) for s = (n / d)^2, used near zero, and |r| - log 2 + log1p(e) with
    # e = e^-2|r| and log1p(e) = log((1 + s) / (1 - s)) for s = e / (2 + e) beyond; tanh |r| = n d / (1 + e).
    # One expm1, and one division i that serves s and tanh.

    def value(self, y, f):
        a = abs(f - y)
        n = -expm1(-a)
        d = 2 - n
        e = (1 - n) * (1 - n)
        near = a < 1.3
        q = where(near, d * d, 2 + e)
        i = 1 / (q * (1 + e))
        return where(near, 0.0, a - LN2) + log_ratio(where(near, n * n, e) * ((1 + e) * i))

    def gradient(self, y, f):
        a = abs(f - y)
        n = -expm1(-a)
        d = 2 - n
        e = (1 - n) * (1 - n)
        near = a < 1.3
        q = where(near, d * d, 2 + e)
        i = 1 / (q * (1 + e))
        return copysign(n * d * (q * i), f - y)

    def hessian(self, y, f):
        r, lost = _difference(f, y)
        e = exp(-2 * abs(r))                    # 1 - tanh^2 cancels in the tails: it is 4 e / (1 + e)^2
        shift = where(abs(lost) < 1, copysign(2.0, r) * lost, 0.0)
        return 4 * (e - e * shift) / ((1 + e) * (1 + e))

    def majorizer(self, y, f):
        a = abs(f - y)
        n = -expm1(-a)
        d = 2 - n
        e = (1 - n) * (1 - n)
        return where(a == 0, 1.0, n * d / ((1 + e) * where(a == 0, 1.0, a)))

    def fisher_diagonal(self, y, f):
        return 0.5

    def largest_curvature(self, y, f):
        return 1.0


class Fair(Elementwise):
    r"""Quadratic near zero, nearly linear in the tails, smooth everywhere, and it needs only one logarithm.

    l = c^2 (u - log(1 + u)), with u = |r| / c and r = f - y.

    Domain: y and f any real number. Curvature 1 at zero, slope c in the tails; the Hessian 1 / (1 + u)^2 is positive.
    `c` (default 1), in units of y; 1.3998 standard deviations give 95 % efficiency for normal errors.
    Fair, "On the Robust Estimation of Econometric Models", Ann. Econ. Soc. Meas. 3, 1974.
    """

    c: float = parameter(1.0, POSITIVE)
    formula = "c² (u - log(1 + u)),  u = |r|/c,  r = f - y"
    peers = ("lightgbm.fair",)
    strict = True
    claims = BOUNDED_GRADIENT

    @property
    def inverse(self):
        return 1.0 / self.c

    def value(self, y, f):
        return -self.c * (self.c * log1pmx(abs(f - y) * self.inverse))      # u - log1p(u) cancels for small u

    def gradient(self, y, f):
        u = min(abs(f - y) * self.inverse, 1e18)                            # infinite errors: u / (1 + u) -> 1
        return copysign(self.c * (u / (1 + u)), f - y)

    def hessian(self, y, f):
        i = 1 / (1 + abs(f - y) * self.inverse)
        return i * i

    def majorizer(self, y, f):
        return 1 / (1 + abs(f - y) * self.inverse)

    def largest_curvature(self, y, f):
        return 1.0


# ---- redescending: not convex ------------------------------------------------------------------------------------


class Cauchy(Elementwise):
    r"""Grows like a logarithm: the negative log-likelihood of Cauchy errors, up to factor and constant.

    l = c^2 / 2 log(1 + u^2), with u = r / c and r = f - y.

    Domain: y and f any real number. Curvature 1 at zero. Not convex: the Hessian is negative where |r| > c.
    `c` (default 2.3849), in units of y; the default gives 95 % efficiency for normal errors of standard deviation 1.
    Black and Anandan, "The Robust Estimation of Multiple Motions", CVIU 63, 1996 (there "Lorentzian").
    """

    c: float = parameter(2.3849, POSITIVE)
    formula = "c²/2 log(1 + (r/c)²),  r = f - y"
    convex = False
    notes = "the Hessian is negative where |r| > c; kornia's cauchy_loss is log(1 + r²/2)"
    peers = ("kornia.losses.cauchy_loss", "scipy.optimize.least_squares(loss='cauchy')",
             "statsmodels.robust.norms.Cauchy")
    claims = BOUNDED_GRADIENT

    @property
    def inverse(self):
        return 1.0 / self.c

    def value(self, y, f):
        u = abs(f - y) * self.inverse
        return 0.5 * self.c * (self.c * _log1p_square(u))

    def gradient(self, y, f):
        u = abs(f - y) * self.inverse
        return _faded(f - y, 1 / (1 + u * u))

    def hessian(self, y, f):
        u = abs(f - y) * self.inverse
        i = 1 / (1 + u * u)
        return i * (2 * i - 1)                  # (1 - u^2) / (1 + u^2)^2, without inf / inf

    def majorizer(self, y, f):
        u = abs(f - y) * self.inverse
        return 1 / (1 + u * u)

    def largest_curvature(self, y, f):
        return 1.0


class Welsch(Elementwise):
    r"""Bounded and smooth: an outlier costs c^2 / 2 and has no influence, like a Gaussian window (Leclerc's loss).

    l = c^2 / 2 (1 - e^(-u^2)), with u = r / c and r = f - y.

    Domain: y and f any real number. Curvature 1 at zero. Not convex: the Hessian is negative where u^2 > 1/2, and
    value and gradient are flat far out, so start from a convex fit.
    `c` (default 2.9846), in units of y; the default gives 95 % efficiency for normal errors of standard deviation 1.
    Dennis and Welsch, "Techniques for Nonlinear Least Squares and Robust Regression", Comm. Stat. B 7, 1978.
    """

    c: float = parameter(2.9846, POSITIVE)
    formula = "c²/2 (1 - exp(-(r/c)²)),  r = f - y"
    convex = False
    notes = "the Hessian is negative where (r/c)² > 1/2; kornia's and Barron's exponent is -(r/c)²/2"
    peers = ("kornia.losses.welsch_loss",)
    claims = BOUNDED_GRADIENT

    @property
    def inverse(self):
        return 1.0 / self.c

    def value(self, y, f):
        u = (f - y) * self.inverse
        return -0.5 * self.c * (self.c * expm1(-u * u))

    def gradient(self, y, f):
        u = (f - y) * self.inverse
        return _faded(f - y, exp(-u * u))

    def hessian(self, y, f):
        u = (f - y) * self.inverse
        return _faded(1 - 2 * u * u, exp(-u * u))

    def majorizer(self, y, f):
        u = (f - y) * self.inverse
        return exp(-u * u)

    def largest_curvature(self, y, f):
        return 1.0


class GemanMcClure(Elementwise):
    r"""Bounded: an outlier costs c^2 / 2, and its influence falls like 1 / |r|^3.

    l = r^2 / 2 / (1 + u^2), with u = r / c and r = f - y.

    Domain: y and f any real number. Curvature 1 at zero. Not convex: the Hessian is negative where u^2 > 1/3, and
    value and gradient are flat far out, so start from a convex fit.
    `c` (default 3.7874), in units of y; the default gives 95 % efficiency for normal errors of standard deviation 1.
    Geman and McClure, "Bayesian Image Analysis: An Application to Single Photon Emission Tomography", ASA 1985.
    """

    c: float = parameter(3.7874, POSITIVE)
    formula = "r²/2 / (1 + (r/c)²),  r = f - y"
    convex = False
    notes = "the Hessian is negative where (r/c)² > 1/3; kornia's geman_mcclure_loss is 2r²/(r² + 4)"
    peers = ("kornia.losses.geman_mcclure_loss",)
    claims = BOUNDED_GRADIENT

    @property
    def inverse(self):
        return 1.0 / self.c

    def value(self, y, f):
        u = (f - y) * self.inverse
        i = 1 / (1 + u * u)
        return 0.5 * self.c * (self.c * where(i > 0, u * u * i, 1.0))

    def gradient(self, y, f):
        u = (f - y) * self.inverse
        i = 1 / (1 + u * u)
        return _faded(f - y, i * i)

    def hessian(self, y, f):
        u = (f - y) * self.inverse
        i = 1 / (1 + u * u)
        return i * i * (4 * i - 3)              # (1 - 3 u^2) / (1 + u^2)^3, without inf / inf

    def majorizer(self, y, f):
        u = (f - y) * self.inverse
        i = 1 / (1 + u * u)
        return i * i

    def largest_curvature(self, y, f):
        return 1.0


class TukeyBiweight(Elementwise):
    r"""Bounded, and exactly flat beyond c: an outlier has no influence at all (bisquare).

    l = c^2 / 6 (1 - (1 - u^2)^3) where |u| < 1, else c^2 / 6, with u = r / c and r = f - y.

    Domain: y and f any real number. Curvature 1 at zero. Not convex: the Hessian is negative where 1/5 < u^2 < 1 and
    0 beyond, as is the gradient, so start from a Huber fit.
    `c` (default 4.685), in units of y; the default gives 95 % efficiency for normal errors of standard deviation 1.
    Beaton and Tukey, "The Fitting of Power Series, Meaning Polynomials, ...", Technometrics 16, 1974.
    """

    c: float = parameter(4.685, POSITIVE)
    formula = "c²/6 (1 - (1 - (r/c)²)³) if |r| < c else c²/6,  r = f - y"
    convex = False
    notes = "the gradient is 0 where |r| ≥ c: start from a Huber fit; statsmodels' rho is the same"
    peers = ("statsmodels.robust.norms.TukeyBiweight",)
    claims = {"majorizer": {"positive": False}, **BOUNDED_GRADIENT}  # noqa: RUF012

    @property
    def inverse(self):
        return 1.0 / self.c

    def value(self, y, f):
        u = min(abs(f - y) * self.inverse, 1.0)
        z = u * u
        return self.c * (self.c / 6 * (z * (3 - z * (3 - z))))      # 1 - (1 - z)^3 cancels for small z

    def gradient(self, y, f):
        u = min(abs(f - y) * self.inverse, 1.0)
        w = (1 - u) * (1 + u)
        return _faded(f - y, w * w)

    def hessian(self, y, f):
        u = min(abs(f - y) * self.inverse, 1.0)
        w = (1 - u) * (1 + u)
        return w * (1 - 5 * (u * u))

    def majorizer(self, y, f):
        u = min(abs(f - y) * self.inverse, 1.0)
        w = (1 - u) * (1 + u)
        return w * w

    def largest_curvature(self, y, f):
        return 1.0


class Andrews(Elementwise):
    r"""Bounded, and exactly flat beyond pi c: the gradient is one wave of a sine.

    l = c^2 (1 - cos u) where |u| < pi, else 2 c^2, with u = r / c and r = f - y.

    Domain: y and f any real number. Curvature 1 at zero. Not convex: the Hessian cos u is negative where
    pi / 2 < |u| < pi and 0 beyond, as is the gradient, so start from a Huber fit.
    `c` (default 1.339), in units of y; the default gives 95 % efficiency for normal errors of standard deviation 1.
    Andrews et al., "Robust Estimates of Location", Princeton 1972.
    """

    c: float = parameter(1.339, POSITIVE)
    formula = "c² (1 - cos(r/c)) if |r| < π c else 2c²,  r = f - y"
    convex = False
    notes = "the gradient is 0 where |r| ≥ π c: start from a Huber fit"
    peers = ("statsmodels.robust.norms.AndrewWave",)
    claims = {"majorizer": {"positive": False}, **BOUNDED_GRADIENT}  # noqa: RUF012

    @property
    def inverse(self):
        return 1.0 / self.c

    # 1 - cos u cancels for small u: it is 2 s^2, and sin u = 2 s k, with s and k the sine and cosine of h = |u| / 2.

    def value(self, y, f):
        h = 0.5 * min(abs(f - y) * self.inverse, pi)
        s = sin(h)
        return 2 * self.c * (self.c * s * s)

    def gradient(self, y, f):
        h = 0.5 * min(abs(f - y) * self.inverse, pi)
        s = sin(h)
        return where(h < 0.5 * pi, copysign(2 * self.c * (s * cos(h)), f - y), 0.0)

    def hessian(self, y, f):
        h = 0.5 * min(abs(f - y) * self.inverse, pi)
        s = sin(h)
        k = cos(h)
        return where(h < 0.5 * pi, (k - s) * (k + s), 0.0)

    def majorizer(self, y, f):
        h = 0.5 * min(abs(f - y) * self.inverse, pi)
        s = sin(h)
        return where(h < 0.5 * pi, where(h == 0, 1.0, s / where(h == 0, 1.0, h)) * cos(h), 0.0)

    def largest_curvature(self, y, f):
        return 1.0


def _power(v, h):
    """(1 + v^2)^h for v >= 0, also where v^2 overflows."""
    far = v > 1e18
    return pow1p(where(far, v, v * v), where(far, 2 * h, h))


def _expm1mx_near(x):
    """e^x - 1 - x for |x| <= 1/2 by its series; vecmath.expm1mx, right everywhere, takes three times as long."""
    p = fma(x, 1 / 87178291200, 1 / 6227020800)
    p = fma(p, x, 1 / 479001600)
    p = fma(p, x, 1 / 39916800)
    p = fma(p, x, 1 / 3628800)
    p = fma(p, x, 1 / 362880)
    p = fma(p, x, 1 / 40320)
    p = fma(p, x, 1 / 5040)
    p = fma(p, x, 1 / 720)
    p = fma(p, x, 1 / 120)
    p = fma(p, x, 1 / 24)
    p = fma(p, x, 1 / 6)
    return x * x * fma(p, x, 0.5)


class GeneralRobust(Elementwise):
    r"""One family from least squares to bounded losses, its robustness a parameter that can be learned (Barron).

    l = b / alpha ((1 + u^2 / b)^(alpha / 2) - 1), with u = r / scale, b = 2 - alpha and r = f - y.

    Domain: y and f any real number. The published form: curvature 1 / scale^2 at zero. The singular cases are limits:
    alpha = 2: u^2 / 2; alpha = 0: log(1 + u^2 / 2) (Cauchy). Also alpha = 1: sqrt(1 + u^2) - 1 (pseudo-Huber);
    alpha = -2: 2 u^2 / (u^2 + 4) (Geman-McClure); alpha -> -inf: 1 - e^(-u^2 / 2), which is
    `Welsch(c=sqrt(2) * scale)` / scale^2 and is refused here. Convex for alpha >= 1; below, the Hessian is negative
    where (1 - alpha) u^2 > b.
    `alpha` (default 1, at most 2) is the shape, smaller is more robust; `scale` (default 1), in units of y, is where
    the loss stops being quadratic. `gradient_alpha` and `gradient_scale` are the derivatives with respect to them; at
    alpha = 2 the one with respect to alpha is infinite. A likelihood also needs log(scale) and a normalising constant
    that depends on alpha.
    Barron, "A General and Adaptive Robust Loss Function", CVPR 2019.
    """

    alpha: float = parameter(1.0, Interval(-1e15, 2.0, True, True))
    scale: float = parameter(1.0, POSITIVE)
    formula = "b/alpha ((1 + u²/b)^(alpha/2) - 1),  b = 2 - alpha,  u = r/scale,  r = f - y"
    notes = ("convex for alpha ≥ 1, else the Hessian is negative far out; the derivative with respect to alpha is "
             "infinite at alpha = 2")
    peers = ("robust_loss_pytorch.lossfun",)

    @property
    def convex(self):
        return self.alpha >= 1

    @property
    def strict(self):
        return self.convex

    @property
    def claims(self):
        return CONSTANT_HESSIAN if self.alpha == 2 else BOUNDED_GRADIENT if self.alpha <= 1 else {}

    @property
    def b(self):
        return (2 - self.alpha) or 1.0          # at alpha = 2 the value is u^2 / 2 for any b

    @property
    def b_over_alpha(self):                     # times expm1mx(alpha L / 2), which vanishes faster
        return self.b / self.alpha if abs(self.alpha) > 1e-30 else 0.0

    @property
    def power(self):
        return (self.alpha - 2) / 2

    @property
    def inverse(self):
        return 1 / self.scale

    @property
    def inverse_width(self):
        return 1 / (self.scale * sqrt(self.b))

    @property
    def value_at_infinity(self):
        return -self.b / self.alpha if self.alpha < 0 else inf

    @property
    def slope_at_infinity(self):
        return 0.0 if self.alpha < 1 else self.inverse if self.alpha == 1 else inf

    # v = |u| / sqrt(b) and w = (1 + v^2)^(alpha/2 - 1), which is the weight psi(r) / r times scale^2. The
    # exponential of a logarithm loses digits where the exponent is large, a power of 1 + v^2 where v^2 is small: pow1p
    # loses neither. The formula cancels for small exponents x = alpha L / 2, L = log(1 + v^2):
    # there it is b / alpha (e^x - 1) = b L / 2 + b / alpha (e^x - 1 - x), also right at and around alpha = 0; with
    # alpha = 2 as with any other (1 + v^2)^(alpha / 2) = w + v^2 w.

    def value(self, y, f):
        v = abs(f - y) * self.inverse_width
        L = _log1p_square(v)
        w = _power(v, self.power)
        x = 0.5 * self.alpha * L
        near = 0.5 * self.b * L + self.b_over_alpha * _expm1mx_near(x)
        far = self.b_over_alpha * (w + v * w * v - 1)
        return where(v < inf, where(abs(x) < 0.5, near, far), self.value_at_infinity)

    def gradient(self, y, f):
        v = abs(f - y) * self.inverse_width
        w = _power(v, self.power)
        return where(v < inf, (f - y) * self.inverse * w * self.inverse, copysign(self.slope_at_infinity, f - y))

    def hessian(self, y, f):
        v = abs(f - y) * self.inverse_width
        w = _power(v, self.power)
        z = min(v * v, 1e36)
        return self.inverse * self.inverse * _faded((1 + (self.alpha - 1) * z) / (1 + z), w)

    def majorizer(self, y, f):
        v = abs(f - y) * self.inverse_width
        w = _power(v, self.power)
        return self.inverse * self.inverse * w

    def largest_curvature(self, y, f):
        return self.inverse * self.inverse

    def gradient_scale(self, y, f):
        """-(u^2 w) / scale; far out 0 for alpha < 0, -2 / scale for alpha = 0 and -inf above."""
        v = abs(f - y) * self.inverse_width
        u = abs(f - y) * self.inverse
        w = _power(v, self.power)
        return -self.inverse * where(v < inf, u * w * u, self.elasticity_at_infinity)

    @property
    def elasticity_at_infinity(self):
        return 0.0 if self.alpha < 0 else 2.0 if self.alpha == 0 else inf

    def gradient_alpha(self, y, f):
        """-(2 / alpha^2 (1 - P) + b / (2 alpha) P L + P q / 2), P = s^(alpha/2), s = 1 + u^2 / b, q = 1 - 1 / s."""
        v = abs(f - y) * self.inverse_width
        L = _log1p_square(v)
        if self.quadratic:
            slope = where(v == 0, 0.0, inf)
        elif self.nearly_quadratic:
            slope = _alpha_near_2(self.alpha, self.b, self.power, v * v, L)
        else:
            slope = _alpha_near_0(self.alpha, min(v * v, 1e36), L)
        return where(v < inf, where(slope == slope, slope, inf), self.alpha_slope_at_infinity)   # inf - inf: overflow

    @property
    def quadratic(self):
        return self.alpha == 2

    @property
    def nearly_quadratic(self):
        return self.alpha > 1

    @property
    def alpha_slope_at_infinity(self):
        return 2 / self.alpha**2 if self.alpha < 0 else inf


def _alpha_near_0(alpha, z, L):
    """The derivative with respect to alpha as L^2 phi(x) / 2 - P (L - q) / 2, where phi = (x e^x - e^x + 1) / x^2 is
    regular at 0: the textbook's terms are of order 1 / alpha^2 and cancel."""
    x = 0.5 * alpha * L
    P = exp(x)
    tiny = abs(x) < 1e-5
    safe = where(tiny, 1.0, x)
    phi = where(abs(x) < 1, P * expm1mx(-x), (x - 1) * P + 1) / (safe * safe)
    q = z / (1 + z)
    L_minus_q = where(z < 1, log1pmx(min(z, 1.0)) + z * q, L - q)
    return 0.5 * (L * L * where(tiny, 0.5 + x * (1 / 3 + x * (1 / 8 + x / 30)), phi) - P * L_minus_q)


def _alpha_near_2(alpha, b, power, z, L):
    """The same without the terms of order 1 / b, which cancel: (P, q) = ((1 + z) w, 1 - 1 / (1 + z)) put in, with
    w = (1 + z)^power, and b z = u^2."""
    x = power * L
    u2 = b * z
    inner = 0.5 * alpha * (0.5 * (b + u2)) * L - (1 + 0.5 * alpha) * (0.5 * u2)
    return 2 / (alpha * alpha) * (exp(x) * inner - expm1(x))


# ---- with an insensitive zone ------------------------------------------------------------------------------------


class EpsilonInsensitive(Elementwise):
    r"""Errors up to epsilon cost nothing: the loss of support vector regression.

    l = max(0, |r| - epsilon), with r = f - y.

    Domain: y and f any real number. The gradient is 0 inside the zone and on its edge; the Hessian is 0 everywhere.
    `epsilon` (default 0.1), in units of y, is half the width of the zone; 0 gives `AbsoluteError`.
    Vapnik, "The Nature of Statistical Learning Theory", Springer 1995.
    """

    epsilon: float = parameter(0.1, NON_NEGATIVE)
    formula = "max(0, |r| - epsilon),  r = f - y"
    smooth = False
    notes = "the Hessian is 0 everywhere; scikit-learn's SGDRegressor has the same default"
    peers = ("sklearn.linear_model.SGDRegressor(loss='epsilon_insensitive')",)

    def value(self, y, f):
        return max(abs(f - y) - self.epsilon, 0.0)

    def gradient(self, y, f):
        r = f - y
        return where(abs(r) > self.epsilon, _sign(r), 0.0)

    def hessian(self, y, f):
        return 0.0


class SquaredEpsilonInsensitive(Elementwise):
    r"""Errors up to epsilon cost nothing, larger ones the square of what is beyond.

    l = max(0, |r| - epsilon)^2, with r = f - y.

    Domain: y and f any real number. The Hessian is 2 outside the zone and 0 inside.
    `epsilon` (default 0.1), in units of y, is half the width of the zone; 0 gives `SquaredError`.
    Vapnik, "The Nature of Statistical Learning Theory", 1995.
    """

    epsilon: float = parameter(0.1, NON_NEGATIVE)
    formula = "max(0, |r| - epsilon)²,  r = f - y"
    notes = "no factor 1/2; scikit-learn's SGDRegressor has the same form and default"
    peers = ("sklearn.linear_model.SGDRegressor(loss='squared_epsilon_insensitive')",)

    def value(self, y, f):
        t = max(abs(f - y) - self.epsilon, 0.0)
        return t * t

    def gradient(self, y, f):
        t = max(abs(f - y) - self.epsilon, 0.0)
        return copysign(2 * t, f - y)

    def hessian(self, y, f):
        return where(abs(f - y) >= self.epsilon, 2.0, 0.0)

    def largest_curvature(self, y, f):
        return 2.0


# ---- asymmetric, and powers --------------------------------------------------------------------------------------


def _exponent(a, y, f):
    """a (f - y) rounded, and what the two roundings lost; 0 where that is not a number."""
    r, lost = _difference(f, y)
    x = a * r
    low = fma(a, r, -x) + a * lost
    return x, where(abs(low) < 1, low, 0.0)


class Linex(Elementwise):
    r"""Linear on one side, exponential on the other: for errors that are dangerous in one direction only.

    l = e^(a r) - a r - 1, with r = f - y.

    Domain: y and f any real number; overflows to inf where a r > 709 (float32: 88). The Hessian a^2 e^(a r) is
    positive, tiny on the linear side.
    `a` (default 1), in 1 / units of y and not 0: with a > 0 predictions above the target cost exponentially, with a <
    0 those below. For small |a r| the loss is (a r)^2 / 2.
    Varian, "A Bayesian Approach to Real Estate Assessment", 1975.
    """

    a: float = parameter(1.0)
    formula = "exp(a r) - a r - 1,  r = f - y"
    notes = "overflows to inf where a r > 709 (float32: 88)"
    strict = True

    def __post_init__(self):
        super().__post_init__()
        if self.a == 0:
            raise ValueError(f"Linex: a must not be 0 (the loss would be 0 everywhere), found {self.a!r}; "
                             "the limit of linex / a^2 is half_squared_error")

    # expm1(x) - x cancels (error 3e-11 at x = 7e-6): expm1mx. The rounding error of the exponent x = a r is the
    # relative error of e^x, 32 ulp at x = 64: what it lost is put back as the factor 1 + low.

    def value(self, y, f):
        x, low = _exponent(self.a, y, f)
        return expm1mx(x) * (1 + where(x > 0, low, 0.0))

    def gradient(self, y, f):
        x, low = _exponent(self.a, y, f)
        return self.a * (expm1(x) * (1 + where(x > 0, low, 0.0)))

    def hessian(self, y, f):
        x, low = _exponent(self.a, y, f)
        return self.a * (self.a * (exp(x) * (1 + low)))


class Lq(Elementwise):
    r"""A power of the absolute error, between the median (q = 1) and the mean (q = 2) and beyond.

    l = |r|^q, with r = f - y.

    Domain: y and f any real number. The gradient at r = 0 is 0. The Hessian q (q - 1) |r|^(q-2) is 0 for q = 1, and
    infinite at r = 0 for 1 < q < 2.
    `q` (default 1.5) is at least 1. q = 1 is `AbsoluteError`, q = 2 `SquaredError`.
    Nyquist, "The Optimal Lp Norm Estimator in Linear Regression Models", Commun. Stat. Theory Methods 12, 1983.
    """

    q: float = parameter(1.5, AT_LEAST_ONE)
    formula = "|r|^q,  r = f - y"
    notes = "for 1 < q < 2 the Hessian is infinite at r = 0; CatBoost's Lq has no default for q"
    peers = ("catboost.Lq",)

    @property
    def smooth(self):
        return self.q > 1

    @property
    def strict(self):
        return 1 < self.q <= 2

    @property
    def claims(self):
        return CONSTANT_HESSIAN if self.q == 2 else {}

    @property
    def curvature(self):
        return self.q * (self.q - 1)

    def value(self, y, f):
        a = abs(f - y)
        return a * pow(a, self.q - 1)

    def gradient(self, y, f):
        a = abs(f - y)
        return _sign(f - y) * (self.q * pow(a, self.q - 1))

    def hessian(self, y, f):
        a = abs(f - y)
        return where(self.curvature > 0, self.curvature * pow(a, self.q - 2), 0.0)


# ---- relative errors ---------------------------------------------------------------------------------------------


def _log_error(y, f):
    """log(1 + f) - log(1 + y) from one logarithm, of 1 + |f - y| / (1 + the smaller): a difference of two cancels."""
    return copysign(log1p(abs(f - y) / (1 + min(y, f))), f - y)


class SquaredLogError(Elementwise):
    r"""Squared error of log(1 + y): relative errors of targets that span orders of magnitude, zeros allowed.

    l = d^2, with d = log(1 + f) - log(1 + y).

    Domain: y > -1 and f > -1, in the units of the target (no link). No factor 1/2: its mean is
    sklearn.metrics.mean_squared_log_error (which also refuses targets in (-1, 0)). Not convex: the Hessian
    2 (1 - d) / (1 + f)^2 is negative where d > 1.
    Finney, "On the Distribution of a Variate Whose Logarithm is Normally Distributed", J. R. Stat. Soc. Suppl. 7, 1941.
    """

    formula = "(log(1 + f) - log(1 + y))²"
    y_domain = ABOVE_MINUS_ONE
    pred_domain = ABOVE_MINUS_ONE
    convex = False
    notes = "no factor 1/2 (XGBoost's squaredlogerror has it, and clamps f); the Hessian is negative where d > 1"
    peers = ("sklearn.metrics.mean_squared_log_error", "keras.losses.MeanSquaredLogarithmicError",
             "xgboost.reg:squaredlogerror")

    def value(self, y, f):
        d = _log_error(y, f)
        return d * d

    def gradient(self, y, f):
        d = _log_error(y, f)
        return _faded(2 * d, 1 / (1 + f))

    def hessian(self, y, f):
        d = _log_error(y, f)
        i = 1 / (1 + f)
        return _faded(2 * (1 - d) * i, i)

    def gauss_newton(self, y, f):
        i = 1 / (1 + f)
        return 2 * i * i


class AbsolutePercentageError(Elementwise):
    r"""Absolute error relative to the target; its mean is the MAPE, as a fraction and not in per cent.

    l = |r| / max(|y|, epsilon), with r = f - y.

    Domain: y and f any real number; a target of 0 costs |f| / epsilon. At r = 0 the gradient is the subgradient 0;
    the Hessian is 0 everywhere. The minimising constant is a median with weights 1 / |y|. The majorizer has no finite
    limit at r = 0 and is held at 1e30 / max(|y|, epsilon) there.
    `epsilon` (default 2.2e-16, scikit-learn's), in units of y, is the smallest |y| that is divided by.
    De Myttenaere et al., "Mean Absolute Percentage Error for regression models", Neurocomputing 192, 2016.
    """

    epsilon: float = parameter(EPS, POSITIVE)
    formula = "|r| / max(|y|, epsilon),  r = f - y"
    smooth = False
    notes = ("a fraction, not per cent; targets near 0 dominate: LightGBM and CatBoost take epsilon = 1, "
             "torchmetrics 1.17e-6, keras 1e-7 (and per cent); the Hessian is 0 everywhere")
    peers = ("sklearn.metrics.mean_absolute_percentage_error", "lightgbm.mape", "catboost.MAPE",
             "keras.losses.MeanAbsolutePercentageError", "torchmetrics.MeanAbsolutePercentageError")

    def value(self, y, f):
        return abs(f - y) / max(abs(y), self.epsilon)

    def gradient(self, y, f):
        return _sign(f - y) / max(abs(y), self.epsilon)

    def hessian(self, y, f):
        return 0.0

    def majorizer(self, y, f):
        return 1 / max(abs(f - y), 1e-30) / max(abs(y), self.epsilon)


class SymmetricAbsolutePercentageError(Elementwise):
    r"""Absolute error relative to the mean of |y| and |f|; its mean is the SMAPE, a fraction between 0 and 2.

    l = 2 |r| / (|y| + |f|), with r = f - y, and 0 where y = f = 0.

    Domain: y and f any real number. Constant, 2, where y and f have opposite signs or y = 0: gradient and Hessian are
    0 there. At f = 0 the derivatives are those from y's side, at r = 0 the gradient is the subgradient 0. Not convex:
    the Hessian is negative where |f| > |y|.
    Armstrong, "Long-Range Forecasting", Wiley 1985; Makridakis and Hibon, "The M3-Competition", 2000.
    """

    formula = "2 |r| / (|y| + |f|), 0 if y = f = 0,  r = f - y"
    convex = False
    smooth = False
    notes = ("a fraction between 0 and 2: others leave out the 2 or multiply by 100; no gradient where y = 0 or f "
             "has the wrong sign")
    peers = ("torchmetrics.SymmetricMeanAbsolutePercentageError", "neuralforecast.losses.SMAPE")

    # The textbook's gradient, 2 (sign(r) / D - |r| sign(f) / D^2) with D = |y| + |f| = 2 d, cancels for |f| >> |y|:
    # it is sign(r) |y| / d^2 where y and f have one sign, and 0 elsewhere. Halves before the sum: D may overflow.

    def value(self, y, f):
        d = 0.5 * abs(y) + 0.5 * abs(f)
        return where(d < inf, 2 * abs(0.5 * f - 0.5 * y) / where(d == 0, 1.0, d), 2.0)

    def gradient(self, y, f):
        d = 0.5 * abs(y) + 0.5 * abs(f)
        i = 1 / where(d == 0, 1.0, d)
        one_side = ((y > 0) & (f >= 0)) | ((y < 0) & (f <= 0))
        return where(one_side, _sign(f - y) * (abs(y) * i) * i, 0.0)

    def hessian(self, y, f):
        d = 0.5 * abs(y) + 0.5 * abs(f)
        i = 1 / where(d == 0, 1.0, d)
        one_side = ((y > 0) & (f >= 0)) | ((y < 0) & (f <= 0))
        return where(one_side, -_sign(f - y) * (y * i) * i * i, 0.0)
