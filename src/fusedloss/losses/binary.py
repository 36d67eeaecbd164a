"""Losses of a binary target: y = 1 for the positive class, 0 for the negative one.

f is a raw score. Losses of the probability p = sigma(f) = 1 / (1 + e^-f) write p_t = sigma(m) and q = 1 - p_t = sigma(-m)
for the probabilities given to the right and to the wrong class; margin losses see only the margin m = s f, s = 2 y - 1,
which is positive where the sign of f is right.

All losses of p start from e = exp(-|f|), which neither overflows nor cancels: the smaller one of p and 1 - p is
e / (1 + e), the larger one 1 / (1 + e), and softplus(x) = log(1 + e^x) = max(x, 0) + log1p(e) for x = f and x = -f.
"""

from math import inf

from ..domain import BINARY, NON_NEGATIVE, POSITIVE, REAL, UNIT, Interval
from ..loss import Elementwise, parameter
from ..vecmath import atan, cos, erfcx, exp, expm1, expm1mx, fma, log, log1mexp, log1p, log_ndtr, pow, sin, where

__all__ = [
    "BinaryBrier", "BinaryCrossEntropy", "BinaryFocal", "BinaryGeneralizedCrossEntropy", "BinaryPoly1",
    "ComplementaryLogLog", "Exponential", "Hinge", "ModifiedHuber", "Perceptron", "Probit", "Savage", "SmoothedHinge",
    "SquaredHinge", "Tangent",
]

SQRT_HALF = 0.5**0.5
INVERSE_SQRT_2PI = 0.3989422804014327
SQRT_2_OVER_PI = 0.7978845608028654


def _times(weight, x):
    """weight x, where weight 0 wins over an infinite x."""
    return where(weight == 0, 0.0, weight * x)


def _over(a, b):
    """a / b for a, b >= 0, with 0 / 0 = 0 and else a / 0 = inf."""
    quotient = a / where(b == 0, 1.0, b)
    return where((b == 0) & (a > 0), inf, quotient)


def _right_and_wrong(m, e):
    """p_t = sigma(m) and q = sigma(-m) from e = exp(-|m|), both to full relative accuracy."""
    larger = 1 / (1 + e)
    smaller = e * larger
    return where(m > 0, larger, smaller), where(m > 0, smaller, larger)


def _power_of_sigmoid(k, m, log1p_e):
    """sigma(-m)^k = exp(-k softplus(m)) for k >= 0.

    The rounding error of an exponent is the relative error of the power, 16 ulp at k m = 32. So the exponent is kept in
    two words, s + d. Beyond m = 1e4 all that is multiplied by the power is 0, and k m would overflow.
    """
    x = min(max(m, 0.0), 1e4)
    top = k * x
    low = fma(k, x, -top) + k * log1p_e
    s = top + low
    d = low - (s - top)
    power = exp(-s)
    return power - power * d


def _logit(mean):
    return log(mean) - log(1 - mean)


def _sign(x):
    return (x > 0) - (x < 0) + 0.0


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

    @property
    def plain(self):
        return self.pos_weight == 1 and self.label_smoothing == 0

    # Textbook: max(f, 0) - y f + log1p(e) and gradient p - y. Where f is right (y = 1, f >> 0) both subtract nearly equal
    # numbers and are wrong in all digits from f = 37 on (float32: 17). `wrong`, the weight of the class that f speaks
    # against, is exactly 0 there.

    def value(self, y, f):
        positive, negative, both = _class_weights(y, self.plain, self.pos_weight, self.label_smoothing)
        if self.from_logits:
            e = exp(-abs(f))
            wrong = where(f > 0, negative, positive)
            result = _times(wrong, abs(f)) + both * log1p(e)
        else:
            result = -_times(positive, log(f)) - _times(negative, log1p(-f))
        return result

    def gradient(self, y, f):
        positive, negative, both = _class_weights(y, self.plain, self.pos_weight, self.label_smoothing)
        if self.from_logits:
            e = exp(-abs(f))
            wrong = where(f > 0, negative, positive)
            slope = wrong - both * (e * (1 / (1 + e)))
            result = where(f > 0, slope, -slope)
        else:
            result = _over(negative, 1 - f) - _over(positive, f)
        return result

    def hessian(self, y, f):
        positive, negative, both = _class_weights(y, self.plain, self.pos_weight, self.label_smoothing)
        if self.from_logits:
            e = exp(-abs(f))
            larger = 1 / (1 + e)
            result = both * (e * larger * larger)
        else:
            result = _over(_over(negative, 1 - f), 1 - f) + _over(_over(positive, f), f)
        return result

    def majorizer(self, y, f):
        both = _class_weights(y, self.plain, self.pos_weight, self.label_smoothing)[2]
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
    Hessian on logits: negative where the prediction is badly wrong (m < -ln 2 = -0.69 for y in {0, 1}); on probabilities
    it is 2. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.
    """

    from_logits: bool = True
    formula = "(p - y)²,  p = 1/(1 + e^-f)"
    notes = "On logits not convex: the gradient vanishes where the prediction is confident and wrong."
    peers = ("sklearn.metrics.brier_score_loss (from_logits=False)",)
    y_domain = UNIT

    @property
    def convex(self):
        return not self.from_logits

    # Textbook: p - y, with no digit left at f = 37, y = 1. As in BinaryCrossEntropy: |p - y| = wrong - smaller.

    def value(self, y, f):
        e = exp(-abs(f))
        smaller = e * (1 / (1 + e))
        error = where(f > 0, 1 - y, y) - smaller if self.from_logits else f - y
        return error * error

    def gradient(self, y, f):
        e = exp(-abs(f))
        larger = 1 / (1 + e)
        smaller = e * larger
        error = where(f > 0, 1 - y, y) - smaller
        slope = 2 * error * (smaller * larger)
        return where(f > 0, slope, -slope) if self.from_logits else 2 * (f - y)

    def hessian(self, y, f):
        e = exp(-abs(f))
        larger = 1 / (1 + e)
        smaller = e * larger
        variance = smaller * larger
        error = where(f > 0, 1 - y, y) - smaller
        return 2 * variance * (variance - error * (1 - 2 * smaller)) if self.from_logits else 2.0

    def optimum(self, mean):
        return _logit(mean) if self.from_logits else mean


class BinaryFocal(_LogitsOrProbabilities, Elementwise):
    r"""Cross-entropy that fades where the model is right, so that many easy samples do not drown a few hard ones.

    l = -a q^gamma log(p_t), p_t = p for y = 1 and 1 - p for y = 0, q = 1 - p_t,
    p = sigma(f) or, with `from_logits=False`, p = f; a = alpha for y = 1, 1 - alpha for y = 0, and 1 for alpha = None.

    Domain: y 0 or 1, f any logit, infinite ones included, or a probability in [0, 1]; nothing is clipped.
    `gamma = 2`: how fast easy samples fade, 0 is cross-entropy; `alpha = None`: no balancing.
    Hessian on logits: negative on the hardest samples (p_t < 0.058 for gamma = 2), where boosting needs another curvature.
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
        return self.gamma == 0

    @property
    def positive_weight(self):
        return 1.0 if self.alpha is None else self.alpha

    @property
    def negative_weight(self):
        return 1.0 if self.alpha is None else 1.0 - self.alpha

    def value(self, y, f):
        weight = where(y == 1, self.positive_weight, self.negative_weight)
        if self.from_logits:
            m = where(y == 1, f, -f)
            e = exp(-abs(f))
            log1p_e = log1p(e)
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
            e = exp(-abs(f))
            log1p_e = log1p(e)
            power = _power_of_sigmoid(self.gamma, m, log1p_e)
            surprise = max(-m, 0.0) + log1p_e
            right, wrong = _right_and_wrong(m, e)
            slope = power * (wrong + self.gamma * _times(right, surprise))
        else:
            right, wrong = where(y == 1, f, 1 - f), where(y == 1, 1 - f, f)
            power = pow(wrong, self.gamma)
            surprise = -where(y == 1, log(f), log1p(-f))
            ratio = where(wrong == 0, 1.0, surprise / where(wrong == 0, 1.0, wrong))
            slope = power * (self.gamma * ratio + _over(1.0, right))
        return _times(weight, where(y == 1, -slope, slope))

    def hessian(self, y, f):
        weight = where(y == 1, self.positive_weight, self.negative_weight)
        if self.from_logits:
            m = where(y == 1, f, -f)
            e = exp(-abs(f))
            log1p_e = log1p(e)
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


class BinaryPoly1(Elementwise):
    r"""Cross-entropy whose first Taylor coefficient in 1 - p_t is changed by epsilon: harder or softer on easy samples.

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

    @property
    def convex(self):
        return self.epsilon <= 1

    def value(self, y, f):
        m = where(y == 1, f, -f)
        e = exp(-abs(f))
        right, wrong = _right_and_wrong(m, e)
        return max(-m, 0.0) + log1p(e) + self.epsilon * wrong

    def gradient(self, y, f):
        m = where(y == 1, f, -f)
        e = exp(-abs(f))
        right, wrong = _right_and_wrong(m, e)
        slope = wrong * (1 + self.epsilon * right)
        return where(y == 1, -slope, slope)

    def hessian(self, y, f):
        m = where(y == 1, f, -f)
        e = exp(-abs(f))
        right, wrong = _right_and_wrong(m, e)
        return right * wrong * (1 + self.epsilon * (right - wrong))


class BinaryGeneralizedCrossEntropy(Elementwise):
    r"""Between cross-entropy (q = 0) and absolute error of the probability (q = 1): robust to wrong labels.

    l = (1 - p_t^q) / q, p_t = sigma(m), m = (2 y - 1) f; -log(p_t) in the limit q = 0.

    Domain: y 0 or 1, f any logit, infinite ones included; bounded by 1/q. `q = 0.7` as in the paper.
    Hessian: p_t^q (1 - p_t) (p_t - q (1 - p_t)), negative where p_t < q / (1 + q).
    Zhang and Sabuncu, "Generalized cross entropy loss for training deep neural networks with noisy labels", NeurIPS 2018.
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
    def largest(self):
        return 1 / self.q if self.q > 0 else inf

    # Textbook: (1 - p_t^q) / q cancels for small q and for p_t near 1, and is 0 / 0 at q = 0. With x = q log(p_t) it is
    # -log(p_t) (e^x - 1) / x.

    def value(self, y, f):
        m = where(y == 1, f, -f)
        surprise = max(-m, 0.0) + log1p(exp(-abs(f)))  # -log(p_t)
        x = -self.q * min(surprise, 1e30)
        share = where(x == 0, 1.0, expm1(x) / where(x == 0, 1.0, x))
        return where(x < -50, self.largest, surprise * share)

    def gradient(self, y, f):
        m = where(y == 1, f, -f)
        e = exp(-abs(f))
        right, wrong = _right_and_wrong(m, e)
        slope = _power_of_sigmoid(self.q, -m, log1p(e)) * wrong
        return where(y == 1, -slope, slope)

    def hessian(self, y, f):
        m = where(y == 1, f, -f)
        e = exp(-abs(f))
        right, wrong = _right_and_wrong(m, e)
        return _power_of_sigmoid(self.q, -m, log1p(e)) * wrong * (right - self.q * wrong)

    def optimum(self, mean):
        return _logit(mean) / (1 - self.q) if self.q < 1 else _sign(mean - 0.5) * inf if mean != 0.5 else 0.0


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

    def value(self, y, f):
        return -log_ndtr(where(y == 1, f, -f))

    def gradient(self, y, f):
        slope = _inverse_mills(where(y == 1, f, -f))
        return where(y == 1, -slope, slope)

    def hessian(self, y, f):
        m = where(y == 1, f, -f)
        slope = _inverse_mills(m)
        # lambda + m cancels for m << 0, down to inf - inf; there it is 1 / (x + 2 / (x + 3 / (x + ...))), x = -m
        w = 1 / max(m * m, 900.0)
        far = (1 + w * (27 + w * (168 + w * 192))) ...
        return where(m < -30, far, slope * (slope + m))

    def optimum(self, mean):
        from statistics import NormalDist

        return NormalDist().inv_cdf(mean) if 0 < mean < 1 else _sign(mean - 0.5) * inf


def _inverse_mills(m):
    """phi(m) / Phi(m). Textbook: 0 / 0 from m = -38 on; erfcx(x) = e^(x^2) erfc(x) has taken the exponential out."""
    square = m * m
    bell = exp(-0.5 * square)
    bell = bell - bell * (0.5 * fma(m, m, -square))  # the rounding error of m^2 is a relative error of the bell
    tail = erfcx(SQRT_HALF * abs(m))
    top = where(m < 0, SQRT_2_OVER_PI, INVERSE_SQRT_2PI * bell)
    return _over(top, where(m < 0, tail, 1 - 0.5 * bell * tail))
