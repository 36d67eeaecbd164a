"""Losses of a binary target: y = 1 for the positive class, 0 for the negative one.

f is a raw score, and m = s f with s = 2 y - 1 its margin, positive where the sign of f is right. Losses of the
probability p = sigma(f) = 1 / (1 + e^-f) write p_t = sigma(m) for what the right class was given and q = 1 - p_t =
sigma(-m) for what the wrong one was.

All losses of p start from e = e^-|f| in [0, 1]: the smaller one of p and 1 - p is e / (1 + e), to its last digits
however small it is, and softplus(x) = log(1 + e^x) = max(x, 0) + log(1 + e) for x = f and x = -f.
"""

from functools import cached_property
from math import inf, sqrt, tan

from ..curvatures import BOUNDED_GRADIENT, CONSTANT_HESSIAN, NEVER_STUCK
from ..domain import BINARY, NON_NEGATIVE, POSITIVE, REAL, UNIT, Interval
from ..loss import Elementwise, parameter
from ..vecmath import (
    atan,
    erfcx,
    exp,
    exp_neg,
    expm1,
    expm1mx,
    fma,
    log,
    log1mexp,
    log1p,
    log1p_unit,
    log_ndtr,
    pow,
    sigmoid,
    tanh,
    where,
)

__all__ = [
    "BinaryBrier", "BinaryCrossEntropy", "BinaryFocal", "BinaryGeneralizedCrossEntropy", "BinaryPoly1",
    "ComplementaryLogLog", "Exponential", "Hinge", "ModifiedHuber", "Perceptron", "Probit", "Savage", "SmoothedHinge",
    "SquaredHinge", "Tangent",
]

SQRT_HALF = 0.5**0.5
INVERSE_SQRT_2PI = 0.3989422804014327
SQRT_2_OVER_PI = 0.7978845608028654
BRIER_CURVATURE = 0.1540585701213506  # the largest 2 p^2 q (2 - 3 p): at p = (15 - sqrt(33)) / 24
TANGENT_CURVATURE = 8.484612157278836  # the largest second derivative of (2 atan(m) - 1)^2: at m = 0.12097934


def _times(weight, x):
    """weight x, where weight 0 wins over an infinite x."""
    return where(weight == 0, 0.0, weight * x)


def _over(a, b):
    """a / b for a, b >= 0, with 0 / 0 = 0 and else a / 0 = inf."""
    quotient = a / where(b == 0, 1.0, b)
    return where((b == 0) & (a > 0), inf, quotient)


def _right_and_wrong(m, e):
    """p_t = sigma(m) and q = sigma(-m) from e = exp(-|m|), both to full relative accuracy."""
    smaller = e / (1 + e)
    larger = 1 - smaller  # at least 1/2: nothing is lost
    return where(m > 0, larger, smaller), where(m > 0, smaller, larger)


def _power_of_sigmoid(k, m, log1p_e):
    """sigma(-m)^k = exp(-k softplus(m)) for k >= 0.

    The rounding error of an exponent is the relative error of the power, 16 ulp at k m = 32. So the exponent is kept
    in two words, s + d.
    """
    x = min(max(m, 0.0), 1e30)  # an infinite one would end in inf - inf
    top = k * x
    low = fma(k, log1p_e, fma(k, x, -top))
    s = top + low
    d = low - (s - top)
    power = exp_neg(s)
    return fma(-power, d, power)


def _logit(mean):
    return log(mean) - log(1 - mean)


def sign(x):
    return where(x > 0, 1.0, where(x < 0, -1.0, 0.0))


# ---- losses of the probability -----------------------------------------------------------------------------------


class _LogitsOrProbabilities:
    """Predictions are raw scores (logits) or, with `from_logits=False`, probabilities in [0, 1]."""

    @property
    def pred_domain(self):
        return REAL if self.from_logits else UNIT

    @property
    def link(self):
        return "logit" if self.from_logits else "identity"


def _class_weights(y, plain, pos_weight, label_smoothing):
    """What multiplies -log(p) and -log(1 - p), and the sum of both."""
    keep, floor = 1 - label_smoothing, 0.5 * label_smoothing
    positive = y if plain else pos_weight * (keep * y + floor)
    negative = 1 - y if plain else keep * (1 - y) + floor
    return positive, negative, 1.0 if plain else positive + negative


def _cross_entropy_bend(positive, negative, both, f, from_logits):
    if from_logits:
        e = exp_neg(abs(f))
        smaller = e / (1 + e)
        result = both * (smaller * (1 - smaller))
    else:
        result = _over(_over(negative, 1 - f), 1 - f) + _over(_over(positive, f), f)
    return result


class BinaryCrossEntropy(_LogitsOrProbabilities, Elementwise):
    r"""Negative log-likelihood of a Bernoulli target, log-loss: the proper score for probabilities.

    l = -w t log(p) - (1 - t) log(1 - p), p = sigma(f) or, with `from_logits=False`, p = f,
    with the smoothed target t = y (1 - label_smoothing) + label_smoothing / 2 and w = `pos_weight`.

    Domain: y in [0, 1] (soft targets are fine), f any logit, infinite ones included, or a probability in [0, 1].
    Natural logarithm; nothing is clipped: p = 0 with y = 1 costs inf, and 0 log(0) = 0.
    `pos_weight = 1` multiplies the positive term (it shifts the optimal logit by log w and is no part of the "mean"
    reduction's denominator); `label_smoothing = 0` moves targets towards 1/2.
    Hessian: w_+ w_- = (w t + 1 - t) p (1 - p) on logits, never negative. Majorizer: tanh(f/2) / (2 f) (Jaakkola and
    Jordan's bound), on logits only; on probabilities no parabola lies above -log(p), so it is inf.
    Good, "Rational decisions", J. R. Stat. Soc. B 14, 1952.
    """

    from_logits: bool = True
    pos_weight: float = parameter(1.0, POSITIVE)
    label_smoothing: float = parameter(0.0, UNIT)
    formula = "-w t ln p - (1 - t) ln(1 - p),  p = 1/(1 + e^-f),  t = y (1 - label_smoothing) + label_smoothing/2"
    notes = ("On probabilities nothing is clipped, where torch caps each logarithm at -100 and Keras clips p to "
             "[1e-7, 1 - 1e-7]. pos_weight moves the calibration of p by ln(pos_weight) in logits.")
    peers = ("sklearn.metrics.log_loss (from_logits=False)", "sklearn HalfBinomialLoss",
             "torch.nn.BCEWithLogitsLoss", "torch.nn.BCELoss (from_logits=False)", "xgboost binary:logistic",
             "lightgbm binary", "catboost Logloss, CrossEntropy")
    y_domain = UNIT
    strict = True

    @property
    def claims(self):
        return BOUNDED_GRADIENT if self.from_logits else {"majorizer": None, "constant": None}

    @property
    def plain(self):
        return self.pos_weight == 1 and self.label_smoothing == 0

    # Textbook: max(f, 0) - y f + log(1 + e) and gradient p - y. Where f is right (y = 1, f >> 0) both subtract nearly
    # equal numbers: the gradient is wrong in all digits from f = 37 on (float32: 17). `wrong`, the weight of the
    # class that f speaks against, is exactly 0 there.

    def value(self, y, f):
        positive, negative, both = _class_weights(y, self.plain, self.pos_weight, self.label_smoothing)
        if self.from_logits:
            e = exp_neg(abs(f))
            wrong = where(f > 0, negative, positive)
            result = _times(wrong, abs(f)) + both * log1p_unit(e)
        else:
            result = -_times(positive, log(f)) - _times(negative, log1p(-f))
        return result

    def gradient(self, y, f):
        positive, negative, both = _class_weights(y, self.plain, self.pos_weight, self.label_smoothing)
        if self.from_logits:
            e = exp_neg(abs(f))
            wrong = where(f > 0, negative, positive)
            smaller = e / (1 + e)
            slope = wrong - both * smaller
            result = where(f > 0, slope, -slope)
        else:
            result = _over(negative, 1 - f) - _over(positive, f)
        return result

    def hessian(self, y, f):
        positive, negative, both = _class_weights(y, self.plain, self.pos_weight, self.label_smoothing)
        return _cross_entropy_bend(positive, negative, both, f, self.from_logits)

    def fisher_diagonal(self, y, f):
        p = sigmoid(f) if self.from_logits else f  # the Hessian is linear in y, whose mean is p
        positive, negative, both = _class_weights(p, self.plain, self.pos_weight, self.label_smoothing)
        return _cross_entropy_bend(positive, negative, both, f, self.from_logits)

    def largest_curvature(self, y, f):
        _, _, both = _class_weights(y, self.plain, self.pos_weight, self.label_smoothing)
        return 0.25 * both

    def majorizer(self, y, f):
        _, _, both = _class_weights(y, self.plain, self.pos_weight, self.label_smoothing)
        a = max(abs(f), 1e-8)  # the limit 1/4 at 0
        return both * (0.5 * tanh(0.5 * a) / a) if self.from_logits else inf

    def optimum(self, mean):
        positive, negative, both = _class_weights(mean, self.plain, self.pos_weight, self.label_smoothing)
        return log(positive) - log(negative) if self.from_logits else positive / both


class BinaryBrier(_LogitsOrProbabilities, Elementwise):
    r"""Squared error of a probability, Brier score: a proper score that, unlike log-loss, is bounded.

    l = (p - y)^2, p = sigma(f) or, with `from_logits=False`, p = f.

    Domain: y in [0, 1], f any logit, infinite ones included, or a probability in [0, 1].
    Convention: no factor 1/2, and the one-class form (Brier's own sum over both classes is twice as large).
    Hessian on logits: negative where the prediction is badly wrong (m < -ln 2 = -0.69 for y in {0, 1}); on
    probabilities it is 2.
    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.
    """

    from_logits: bool = True
    formula = "(p - y)²,  p = 1/(1 + e^-f)"
    notes = "On logits not convex: the gradient vanishes where the prediction is confident and wrong."
    peers = ("sklearn.metrics.brier_score_loss (from_logits=False)",)
    y_domain = UNIT

    @property
    def convex(self):
        return not self.from_logits

    @property
    def strict(self):
        return not self.from_logits

    @property
    def claims(self):
        return BOUNDED_GRADIENT | (NEVER_STUCK if self.from_logits else CONSTANT_HESSIAN)

    # Textbook: p - y, with no digit left at f = 37, y = 1. As in BinaryCrossEntropy: |p - y| = wrong - smaller.

    def value(self, y, f):
        e = exp_neg(abs(f))
        smaller = e / (1 + e)
        error = where(f > 0, 1 - y, y) - smaller if self.from_logits else f - y
        return error * error

    def gradient(self, y, f):
        e = exp_neg(abs(f))
        smaller = e / (1 + e)
        error = where(f > 0, 1 - y, y) - smaller
        slope = 2 * error * (smaller * (1 - smaller))
        return where(f > 0, slope, -slope) if self.from_logits else 2 * (f - y)

    def hessian(self, y, f):
        e = exp_neg(abs(f))
        smaller = e / (1 + e)
        variance = smaller * (1 - smaller)
        error = where(f > 0, 1 - y, y) - smaller
        return 2 * variance * (variance - error * (1 - 2 * smaller)) if self.from_logits else 2.0

    def gauss_newton(self, y, f):
        variance = sigmoid(f) * sigmoid(-f)
        return 2 * variance * variance

    def largest_curvature(self, y, f):
        return BRIER_CURVATURE if self.from_logits else 2.0

    def optimum(self, mean):
        return _logit(mean) if self.from_logits else mean


class BinaryFocal(_LogitsOrProbabilities, Elementwise):
    r"""Cross-entropy that fades where the model is right, so that many easy samples do not drown a few hard ones.

    l = -a q^gamma log(p_t), p_t = p for y = 1 and 1 - p for y = 0, q = 1 - p_t,
    p = sigma(f) or, with `from_logits=False`, p = f; a = alpha for y = 1, 1 - alpha for y = 0, 1 for alpha = None.

    Domain: y 0 or 1, f any logit, infinite ones included, or a probability in [0, 1]; nothing is clipped.
    `gamma = 2`: how fast easy samples fade, 0 is cross-entropy; `alpha = None`: no balancing.
    Hessian on logits: negative on the hardest samples (p_t < 0.058 for gamma = 2): boosting needs another curvature.
    Not a proper score: the minimising p is less extreme than the frequency.
    Lin, Goyal, Girshick, He and Dollár, "Focal loss for dense object detection", ICCV 2017.
    """

    gamma: float = parameter(2.0, NON_NEGATIVE)
    alpha: float | None = parameter(None, UNIT)
    from_logits: bool = True
    formula = "-a qᵞ ln p_t,  q = 1 - p_t = 1/(1 + e^m),  m = (2y - 1) f,  a = alpha if y = 1 else 1 - alpha (or 1)"
    notes = ("torchvision balances with alpha = 0.25 by default, Keras only with apply_class_balancing=True. "
             "The paper's alpha = 0.25 goes with gamma = 2.")
    peers = ("torchvision.ops.sigmoid_focal_loss", "keras.losses.BinaryFocalCrossentropy",
             "optax.losses.sigmoid_focal_loss", "catboost Focal")
    y_domain = BINARY

    @property
    def convex(self):
        return self.gamma == 0 or not self.from_logits

    @property
    def strict(self):
        return self.gamma == 0 and self.weighs_both

    @property
    def claims(self):
        positive = {"positive": self.weighs_both}
        constant = positive | {"bounded": True} if self.from_logits else None
        return {"gauss_newton": positive, "bounded": positive, "constant": constant}

    @property
    def positive_weight(self):
        return 1.0 if self.alpha is None else self.alpha

    @property
    def negative_weight(self):
        return 1.0 if self.alpha is None else 1.0 - self.alpha

    @property
    def weighs_both(self):
        return min(self.positive_weight, self.negative_weight) > 0

    @cached_property
    def peak(self):
        """The largest curvature of -q^gamma ln p_t."""
        bend = BinaryFocal(gamma=self.gamma).hessian
        best = max((0.125 * k for k in range(-320, 321)), key=lambda m: bend(1.0, m))
        low, high = best - 0.125, best + 0.125
        while high - low > 1e-9:  # far narrower than the top of the peak is flat to rounding
            step = (high - low) / 3
            low, high = (low + step, high) if bend(1.0, low + step) < bend(1.0, high - step) else (low, high - step)
        return (1 + 1e-14) * bend(1.0, low)

    def value(self, y, f):
        weight = where(y == 1, self.positive_weight, self.negative_weight)
        if self.from_logits:
            m = where(y == 1, f, -f)
            e = exp_neg(abs(f))
            log1p_e = log1p_unit(e)
            power = _power_of_sigmoid(self.gamma, m, log1p_e)
            surprise = max(-m, 0.0) + log1p_e  # -log(p_t)
        else:
            power = pow(where(y == 1, 1 - f, f), self.gamma)
            surprise = -where(y == 1, log(f), log1p(-f))
        return _times(weight, power * surprise)

    def gradient(self, y, f):
        weight = where(y == 1, self.positive_weight, self.negative_weight)
        if self.from_logits:
            m = where(y == 1, f, -f)
            e = exp_neg(abs(f))
            log1p_e = log1p_unit(e)
            power = _power_of_sigmoid(self.gamma, m, log1p_e)
            surprise = max(-m, 0.0) + log1p_e
            right, wrong = _right_and_wrong(m, e)
            slope = power * (wrong + self.gamma * _times(right, surprise))
        else:
            right, wrong = where(y == 1, f, 1 - f), where(y == 1, 1 - f, f)
            power = pow(wrong, self.gamma)
            surprise = -where(y == 1, log(f), log1p(-f))
            ratio = where(wrong == 0, 1.0, surprise / where(wrong == 0, 1.0, wrong))
            slope = power * (_times(self.gamma, ratio) + _over(1.0, right))
        return _times(weight, where(y == 1, -slope, slope))

    def hessian(self, y, f):
        weight = where(y == 1, self.positive_weight, self.negative_weight)
        if self.from_logits:
            m = where(y == 1, f, -f)
            e = exp_neg(abs(f))
            log1p_e = log1p_unit(e)
            power = _power_of_sigmoid(self.gamma, m, log1p_e)
            surprise = max(-m, 0.0) + log1p_e
            right, wrong = _right_and_wrong(m, e)
            bend = (1 + 2 * self.gamma) * right * wrong
            result = power * (bend + self.gamma * _times(right, surprise) * (self.gamma * right - wrong))
        else:
            right, wrong = where(y == 1, f, 1 - f), where(y == 1, 1 - f, f)
            surprise = -where(y == 1, log(f), log1p(-f))
            ratio = where(wrong == 0, 1.0, surprise / where(wrong == 0, 1.0, wrong))
            odds = _over(1.0, right)
            bend = _times(self.gamma, pow(wrong, self.gamma - 1)) * ((self.gamma - 1) * ratio + 2 * odds)
            result = where(right == 0, inf, bend + pow(wrong, self.gamma) * odds * odds)
        return _times(weight, result)

    def gauss_newton(self, y, f):
        weight = where(y == 1, self.positive_weight, self.negative_weight)
        m = where(y == 1, f, -f)
        e = exp_neg(abs(f))
        log1p_e = log1p_unit(e)
        right, wrong = _right_and_wrong(m, e)
        surprise = _times(right, max(-m, 0.0) + log1p_e)
        bend = self.gamma * ((self.gamma - 1) * right * surprise + 2 * right * wrong) + wrong * wrong
        return _times(weight, _power_of_sigmoid(self.gamma, m, log1p_e) * bend)

    def largest_curvature(self, y, f):
        return self.peak * where(y == 1, self.positive_weight, self.negative_weight)


class BinaryPoly1(Elementwise):
    r"""Cross-entropy whose first Taylor coefficient, in 1 - p_t, is changed by epsilon.

    l = -log(p_t) + epsilon q, p_t = sigma(m), q = 1 - p_t, m = (2 y - 1) f.

    Domain: y 0 or 1, f any logit, infinite ones included. `epsilon = 2` (0 is cross-entropy; below -1 the loss would
    reward mistakes). Hessian: may be negative on hard samples for epsilon > 1, and on easy ones never.
    Leng et al., "PolyLoss: a polynomial expansion perspective of classification loss functions", ICLR 2022.
    """

    epsilon: float = parameter(2.0, Interval(low=-1.0, low_closed=True))
    formula = "-ln p_t + epsilon (1 - p_t),  p_t = 1/(1 + e^-m),  m = (2y - 1) f"
    peers = ("optax.losses.poly_loss_cross_entropy (softmax)",)
    y_domain = BINARY
    link = "logit"
    claims = BOUNDED_GRADIENT | NEVER_STUCK

    @property
    def convex(self):
        return self.epsilon <= 1

    @property
    def strict(self):
        return self.convex

    @property
    def peak(self):
        """The largest p q (1 + epsilon (p - q)): at p - q = t."""
        t = self.epsilon / (1 + sqrt(1 + 3 * self.epsilon**2))
        return 0.25 * (1 - t * t) * (1 + self.epsilon * t)

    def value(self, y, f):
        m = where(y == 1, f, -f)
        e = exp_neg(abs(f))
        _, wrong = _right_and_wrong(m, e)
        return max(-m, 0.0) + log1p_unit(e) + self.epsilon * wrong

    def gradient(self, y, f):
        m = where(y == 1, f, -f)
        e = exp_neg(abs(f))
        right, wrong = _right_and_wrong(m, e)
        slope = wrong * (1 + self.epsilon * right)
        return where(y == 1, -slope, slope)

    def hessian(self, y, f):
        m = where(y == 1, f, -f)
        e = exp_neg(abs(f))
        right, wrong = _right_and_wrong(m, e)
        bend = where(m > 0, (1 + self.epsilon) - 2 * self.epsilon * wrong, (1 - self.epsilon) + 2 * self.epsilon * right)
        return right * wrong * bend  # textbook: 1 + epsilon (right - wrong), which is 0 too soon for epsilon = -1 or 1

    def gauss_newton(self, y, f):
        m = where(y == 1, f, -f)
        _, wrong = _right_and_wrong(m, exp_neg(abs(f)))
        return wrong * wrong

    def largest_curvature(self, y, f):
        return self.peak


class BinaryGeneralizedCrossEntropy(Elementwise):
    r"""Between cross-entropy (q = 0) and absolute error of the probability (q = 1): robust to wrong labels.

    l = (1 - p_t^q) / q, p_t = sigma(m), m = (2 y - 1) f; -log(p_t) in the limit q = 0.

    Domain: y 0 or 1, f any logit, infinite ones included; bounded by 1/q. `q = 0.7` as in the paper.
    Hessian: p_t^q (1 - p_t) (p_t - q (1 - p_t)), negative where p_t < q / (1 + q).
    Zhang and Sabuncu, "Generalized cross entropy loss for training deep neural networks with noisy labels",
    NeurIPS 2018.
    """

    q: float = parameter(0.7, UNIT)
    formula = "(1 - p_tᵠ)/q,  p_t = 1/(1 + e^-m),  m = (2y - 1) f"
    notes = "The minimising constant is logit(mean)/(1 - q): more extreme than the frequency."
    peers = ("keras.losses.CategoricalGeneralizedCrossEntropy (two classes)",)
    y_domain = BINARY
    link = "logit"

    @property
    def convex(self):
        return self.q == 0

    @property
    def strict(self):
        return self.q == 0

    @property
    def claims(self):
        return BOUNDED_GRADIENT | NEVER_STUCK | {"gauss_newton": {"positive": self.q < 1}}

    @property
    def peak(self):
        """The largest p^q (1 - p) (p - q (1 - p)): the upper root of its derivative."""
        q = self.q
        a, b = (1 + q) * (2 + q), (1 + q) * (1 + 2 * q)
        p = (b + sqrt(b * b - 4 * a * q * q)) / (2 * a)
        return p**q * (1 - p) * (p - q * (1 - p))

    # Textbook: (1 - p_t^q) / q cancels for small q and for p_t near 1, and is 0 / 0 at q = 0. With x = q log(p_t) it
    # is -log(p_t) (e^x - 1) / x.

    def value(self, y, f):
        m = where(y == 1, f, -f)
        surprise = max(-m, 0.0) + log1p_unit(exp_neg(abs(f)))  # -log(p_t)
        finite = min(surprise, 1e30)
        x = -self.q * finite
        return where(x == 0, surprise, finite * (expm1(x) / where(x == 0, 1.0, x)))

    def gradient(self, y, f):
        m = where(y == 1, f, -f)
        e = exp_neg(abs(f))
        _, wrong = _right_and_wrong(m, e)
        slope = _power_of_sigmoid(self.q, -m, log1p_unit(e)) * wrong
        return where(y == 1, -slope, slope)

    def hessian(self, y, f):
        m = where(y == 1, f, -f)
        e = exp_neg(abs(f))
        right, wrong = _right_and_wrong(m, e)
        return _power_of_sigmoid(self.q, -m, log1p_unit(e)) * wrong * (right - self.q * wrong)

    def gauss_newton(self, y, f):
        m = where(y == 1, f, -f)
        e = exp_neg(abs(f))
        _, wrong = _right_and_wrong(m, e)
        return (1 - self.q) * (_power_of_sigmoid(self.q, -m, log1p_unit(e)) * wrong) * wrong

    def largest_curvature(self, y, f):
        return self.peak

    def optimum(self, mean):
        return _logit(mean) / (1 - self.q) if self.q < 1 else sign(mean - 0.5) * inf if mean != 0.5 else 0.0


# ---- other links -------------------------------------------------------------------------------------------------


class Probit(Elementwise):
    r"""Negative log-likelihood of a Bernoulli target whose probability is the normal distribution function of f.

    l = -log(Phi(m)), m = (2 y - 1) f.

    Domain: y 0 or 1, f any real number, in standard deviations; l grows like m^2 / 2 where the sign is wrong.
    Hessian: lambda (lambda + m) with the inverse Mills ratio lambda = phi(m) / Phi(m); always positive, below 1.
    Bliss, "The method of probits", Science 79, 1934.
    """

    formula = "-ln Φ(m),  m = (2y - 1) f"
    peers = ("statsmodels.discrete.discrete_model.Probit",)
    y_domain = BINARY
    link = "probit"
    strict = True

    def value(self, y, f):
        return -log_ndtr(where(y == 1, f, -f))

    def gradient(self, y, f):
        slope = _inverse_mills(where(y == 1, f, -f))
        return where(y == 1, -slope, slope)

    # Textbook: lambda (lambda + m), which for m << 0 is the difference of two numbers near m^2, down to inf - inf.
    # There lambda = x + K, x = -m, K = 1 / (x + 2 / (x + 3 / (x + ...))), so that lambda (lambda + m) = (x + K) K.

    def hessian(self, y, f):
        m = where(y == 1, f, -f)
        slope = _inverse_mills(m)
        w = 1 / max(m * m, 400.0)
        xk = (1 + w * (25 + w * (141 + w * 105))) / (1 + w * (27 + w * (185 + w * 279)))
        return where(m < -20, xk * (1 + w * xk), _times(slope, slope + m))

    def fisher_diagonal(self, y, f):
        return _times(_inverse_mills(abs(f)), _inverse_mills(-abs(f)))

    def largest_curvature(self, y, f):
        return 1.0

    def optimum(self, mean):
        from statistics import NormalDist

        return NormalDist().inv_cdf(mean) if 0 < mean < 1 else sign(mean - 0.5) * inf


def _inverse_mills(m):
    """lambda = phi(m) / Phi(m). Textbook: 0 / 0 from m = -38 on; with erfcx(x) = e^(x^2) erfc(x) the bell cancels."""
    a = abs(m)
    x = min(a, 1e4)
    square = x * x
    bell = exp_neg(0.5 * square)
    bell = bell - bell * (0.5 * fma(x, x, -square))  # what rounding took from x^2 is a relative error of the bell
    tail = erfcx(SQRT_HALF * a)
    top = where(m < 0, SQRT_2_OVER_PI, INVERSE_SQRT_2PI * bell)
    return _over(top, where(m < 0, tail, 1 - 0.5 * bell * tail))


class ComplementaryLogLog(Elementwise):
    r"""Negative log-likelihood of "at least one event" when events come at rate u = e^f (grouped survival times).

    l = -log(1 - e^-u) for y = 1, u for y = 0.

    Domain: y 0 or 1, f the log of the rate, any real number, infinite ones included. p = 1 - exp(-e^f) is not
    symmetric: p(0) = 0.63. Hessian: never negative; 0 in the limits f = inf, y = 1 and f = -inf.
    Fisher, "On the mathematical foundations of theoretical statistics", Phil. Trans. R. Soc. A 222, 1922.
    """

    formula = "-ln(1 - e^-u) if y = 1 else u,  u = e^f"
    peers = ("statsmodels GLM(family=Binomial(link=CLogLog()))",)
    y_domain = BINARY
    link = "cloglog"
    strict = True

    # For y = 1, f << 0 the value is -f + u/2 - ..., exact where u itself is 0 already. For y = 1, u >> 0 all is 0; a
    # finite u avoids inf / inf.

    def value(self, y, f):
        u = exp(f)
        return where(y == 1, where(f < -20, 0.5 * u - f, -log1mexp(u)), u)

    def gradient(self, y, f):
        u = exp(f)
        slope = _bernoulli(min(u, 1e3))
        return where(y == 1, -slope, u)

    def hessian(self, y, f):
        u = exp(f)
        x = min(u, 1e3)
        slope = _bernoulli(x)
        # u + slope - 1, without its cancellation for small u, where it is near u / 2
        small = max(min(u, 1.0), 1e-16)
        bend = where(u < 1, u * (1 - expm1mx(small) / (small * expm1(small))), x + slope - 1)
        return where(y == 1, slope * bend, u)

    def fisher_diagonal(self, y, f):
        u = min(exp(f), 1e3)
        return u * _bernoulli(u)

    def optimum(self, mean):
        return log(-log1p(-mean))


def _bernoulli(u):
    """u / (e^u - 1), 1 at u = 0. e^u - 1 = h (h + 2), whose factors only overflow where the quotient is 0."""
    h = expm1(0.5 * u)
    return where(h == 0, 1.0, u / where(h == 0, 1.0, h) / (h + 2))


# ---- margins -----------------------------------------------------------------------------------------------------


class Hinge(Elementwise):
    r"""Linear in the margin up to 1, then 0: the loss of support vector machines; only the sign of f is learnt.

    l = max(0, 1 - m), m = (2 y - 1) f.

    Domain: y 0 or 1 (not -1), f any real number. Gradient at m = 1: 0. Hessian: 0 everywhere.
    Cortes and Vapnik, "Support-vector networks", Machine Learning 20, 1995.
    """

    formula = "max(0, 1 - m),  m = (2y - 1) f"
    notes = "Targets are 0 and 1 where scikit-learn takes any two labels and torch -1 and 1; f is no estimate of p."
    peers = ("sklearn.metrics.hinge_loss", "keras.losses.Hinge", "optax.losses.hinge_loss", "xgboost binary:hinge")
    y_domain = BINARY
    link = "score"
    smooth = False

    def value(self, y, f):
        return max(1 - (2 * y - 1) * f, 0.0)

    def gradient(self, y, f):
        s = 2 * y - 1
        return where(s * f < 1, -s, 0.0)

    def hessian(self, y, f):
        return 0.0

    def optimum(self, mean):
        return sign(mean - 0.5)


class SquaredHinge(Elementwise):
    r"""Hinge with a continuous gradient, which estimates the probability (f + 1) / 2: the L2-SVM.

    l = max(0, 1 - m)^2, m = (2 y - 1) f.

    Domain: y 0 or 1, f any real number. Hessian: 2 where m < 1, 0 beyond.
    Chang, Hsieh and Lin, "Coordinate descent method for large-scale L2-loss linear SVM", JMLR 9, 2008.
    """

    formula = "max(0, 1 - m)²,  m = (2y - 1) f"
    peers = ("sklearn.svm.LinearSVC(loss='squared_hinge')", "keras.losses.SquaredHinge")
    y_domain = BINARY
    link = "score"

    def value(self, y, f):
        d = max(1 - (2 * y - 1) * f, 0.0)
        return d * d

    def gradient(self, y, f):
        s = 2 * y - 1
        return -2 * s * max(1 - s * f, 0.0)

    def hessian(self, y, f):
        return where((2 * y - 1) * f < 1, 2.0, 0.0)

    def largest_curvature(self, y, f):
        return 2.0

    def optimum(self, mean):
        return 2 * mean - 1


class SmoothedHinge(Elementwise):
    r"""Hinge whose corner is rounded off by a parabola over a width of gamma.

    l = 0 for m >= 1, (1 - m)^2 / (2 gamma) for 1 - gamma < m < 1, 1 - m - gamma / 2 below; m = (2 y - 1) f.

    Domain: y 0 or 1, f any real number. `gamma = 1` (0 would be the hinge). Hessian: 1 / gamma on the band, else 0.
    Rennie and Srebro, "Loss functions for preference levels", IJCAI 2005 (gamma = 1);
    Shalev-Shwartz and Zhang, "Stochastic dual coordinate ascent methods", JMLR 14, 2013.
    """

    gamma: float = parameter(1.0, POSITIVE)
    formula = "0 if m ≥ 1 else (1 - m)²/(2 gamma) if m > 1 - gamma else 1 - m - gamma/2,  m = (2y - 1) f"
    y_domain = BINARY
    link = "score"
    claims = BOUNDED_GRADIENT

    @property
    def curvature(self):
        return 1 / self.gamma

    # d = max(0, 1 - m); c d - c^2 / 2 with c = min(d, gamma) is d^2 / 2 on the band and gamma (d - gamma / 2) beyond.

    def value(self, y, f):
        d = max(1 - (2 * y - 1) * f, 0.0)
        c = min(d, self.gamma)
        return c * self.curvature * (d - 0.5 * c)

    def gradient(self, y, f):
        s = 2 * y - 1
        return -s * min(max(1 - s * f, 0.0) * self.curvature, 1.0)

    def hessian(self, y, f):
        d = 1 - (2 * y - 1) * f
        return where((d > 0) & (d < self.gamma), self.curvature, 0.0)

    def largest_curvature(self, y, f):
        return self.curvature

    def optimum(self, mean):
        larger = max(mean, 1 - mean)
        f = 1 - self.gamma * (1 - larger) / larger if 2 * larger >= self.gamma else 2 * larger - 1
        return sign(mean - 0.5) * f


class ModifiedHuber(Elementwise):
    r"""Squared hinge that is only linear for large mistakes: robust to outliers, and estimates p = (f + 1) / 2.

    l = max(0, 1 - m)^2 for m >= -1, -4 m below; m = (2 y - 1) f.

    Domain: y 0 or 1, f any real number. Hessian: 2 for -1 <= m < 1, else 0.
    Zhang, "Solving large scale linear prediction problems using stochastic gradient descent algorithms", ICML 2004.
    """

    formula = "max(0, 1 - m)² if m ≥ -1 else -4m,  m = (2y - 1) f"
    peers = ("sklearn.linear_model.SGDClassifier(loss='modified_huber')",)
    y_domain = BINARY
    link = "score"
    claims = BOUNDED_GRADIENT

    # d = max(0, 1 - m); c (2 d - c) with c = min(d, 2) is d^2 down to m = -1 and 4 d - 4 = -4 m below.

    def value(self, y, f):
        d = max(1 - (2 * y - 1) * f, 0.0)
        c = min(d, 2.0)
        return c * (2 * d - c)

    def gradient(self, y, f):
        s = 2 * y - 1
        return -2 * s * min(max(1 - s * f, 0.0), 2.0)

    def hessian(self, y, f):
        m = (2 * y - 1) * f
        return where((m >= -1) & (m < 1), 2.0, 0.0)

    def largest_curvature(self, y, f):
        return 2.0

    def optimum(self, mean):
        return 2 * mean - 1


class Exponential(Elementwise):
    r"""The loss of AdaBoost: grows exponentially with a wrong margin, so wrong labels dominate it.

    l = exp(-m), m = (2 y - 1) f.

    Domain: y 0 or 1, f half a logit, p = 1 / (1 + e^-2f); overflows to inf below m = -709 (float32: -88).
    Hessian: l itself.
    Freund and Schapire, "A decision-theoretic generalization of on-line learning and an application to boosting",
    J. Comput. Syst. Sci. 55, 1997.
    """

    formula = "e^-m,  m = (2y - 1) f"
    peers = ("sklearn.ensemble.GradientBoostingClassifier(loss='exponential')",)
    y_domain = BINARY
    link = "half_logit"
    strict = True
    claims = {"exact": {"bounded": True}}  # noqa: RUF012

    def value(self, y, f):
        return exp((1 - 2 * y) * f)

    def gradient(self, y, f):
        return (1 - 2 * y) * exp((1 - 2 * y) * f)

    def hessian(self, y, f):
        return exp((1 - 2 * y) * f)

    def optimum(self, mean):
        return 0.5 * _logit(mean)


class Savage(Elementwise):
    r"""Bounded and proper: a wrong label costs at most 1 (SavageBoost). Equals BinaryBrier where y is 0 or 1.

    l = q^2, q = 1 / (1 + e^m), m = (2 y - 1) f.

    Domain: y 0 or 1, f any logit, infinite ones included. Hessian: negative for m < -ln 2.
    Masnadi-Shirazi and Vasconcelos, "On the design of loss functions for classification", NIPS 2008; there f is half
    a logit: theirs is this loss at 2 f.
    """

    formula = "1/(1 + e^m)²,  m = (2y - 1) f"
    y_domain = BINARY
    link = "logit"
    convex = False
    claims = BOUNDED_GRADIENT | NEVER_STUCK

    def value(self, y, f):
        m = where(y == 1, f, -f)
        _, wrong = _right_and_wrong(m, exp_neg(abs(f)))
        return wrong * wrong

    def gradient(self, y, f):
        m = where(y == 1, f, -f)
        right, wrong = _right_and_wrong(m, exp_neg(abs(f)))
        slope = 2 * wrong * wrong * right
        return where(y == 1, -slope, slope)

    def hessian(self, y, f):
        m = where(y == 1, f, -f)
        right, wrong = _right_and_wrong(m, exp_neg(abs(f)))
        return 2 * wrong * wrong * right * (2 * right - wrong)

    def gauss_newton(self, y, f):
        variance = sigmoid(f) * sigmoid(-f)
        return 2 * variance * variance

    def largest_curvature(self, y, f):
        return BRIER_CURVATURE

    def optimum(self, mean):
        return _logit(mean)


class Tangent(Elementwise):
    r"""Bounded, and it also penalises margins that are too large: the loss of TangentBoost.

    l = (2 atan(m) - 1)^2, m = (2 y - 1) f; smallest at m = tan(1/2) = 0.546, and at most (pi + 1)^2 = 17.2.

    Domain: y 0 or 1, f any real number, infinite ones included; p = atan(f) + 1/2 (clipped to [0, 1]).
    Hessian: negative for m < -0.51 and for m > 1.26.
    Masnadi-Shirazi, Mahadevan and Vasconcelos, "On the design of robust classifiers for computer vision", CVPR 2010.
    """

    formula = "(2 atan(m) - 1)²,  m = (2y - 1) f"
    y_domain = BINARY
    link = "tangent"
    convex = False
    claims = BOUNDED_GRADIENT | NEVER_STUCK

    def value(self, y, f):
        d = 2 * atan((2 * y - 1) * f) - 1
        return d * d

    def gradient(self, y, f):
        s = 2 * y - 1
        return 4 * s * (2 * atan(s * f) - 1) / (1 + f * f)

    def hessian(self, y, f):
        m = (2 * y - 1) * f
        r = 1 / (1 + f * f)
        return where(r == 0, 0.0, 8 * r * (r * (1 - m * (2 * atan(m) - 1))))

    def gauss_newton(self, y, f):
        r = 1 / (1 + f * f)
        return 8 * r * r

    def largest_curvature(self, y, f):
        return TANGENT_CURVATURE

    def optimum(self, mean):
        return tan(mean - 0.5)


class Perceptron(Elementwise):
    r"""Distance to the right side of the boundary; no margin is asked for.

    l = max(0, -m), m = (2 y - 1) f.

    Domain: y 0 or 1, f any real number. Gradient at m = 0, where learning starts: -s, as if wrong. Hessian: 0.
    f = 0 minimises it for any constant: it separates classes, and says nothing about how sure it is.
    Rosenblatt, "The perceptron", Psychological Review 65, 1958.
    """

    formula = "max(0, -m),  m = (2y - 1) f"
    notes = "At m = 0 the gradient is -s as in scikit-learn; optax has 0 there, where training would never start."
    peers = ("sklearn.linear_model.Perceptron", "optax.losses.perceptron_loss")
    y_domain = BINARY
    link = "score"
    smooth = False

    def value(self, y, f):
        return max((1 - 2 * y) * f, 0.0)

    def gradient(self, y, f):
        s = 2 * y - 1
        return where(s * f <= 0, -s, 0.0)

    def hessian(self, y, f):
        return 0.0

    def optimum(self, mean):
        return 0.0
