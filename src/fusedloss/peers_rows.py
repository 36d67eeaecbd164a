"""Row losses exactly as other libraries compute them, where ours differs by what is clipped, scaled or predicted.

`fusedloss.peers` names them. A gradient here is the one the peer's own automatic differentiation gives: 0 where a value
is clipped.
"""

from __future__ import annotations

from typing import Any

from .domain import NON_NEGATIVE, POSITIVE, REAL, UNIT, Interval
from .loss import Classification, Rowwise, choice, numbers, parameter
from .losses.crps import GaussianCRPS, LaplaceCRPS, LogisticCRPS, LogNormalCRPS
from .losses.distribution import GaussianNLL, LaplaceNLL, LogisticNLL, LogNormalNLL
from .losses.multiclass import CategoricalCrossEntropy, MultiMargin, _leads, _separable_hessian, _separable_times
from .losses.multilabel import _cross_entropy
from .peers import _machine_epsilon
from .rowmath import (
    at,
    exp,
    largest,
    log,
    maximum,
    minimum,
    onehot,
    pow,
    sigmoid,
    size,
    softmax,
    softplus,
    stack,
    tanh,
    total,
    where,
)
from .vecmath import HALF_LOG_2PI

# ---- torch -------------------------------------------------------------------------------------------------------


class TorchCrossEntropy(CategoricalCrossEntropy):
    r"""Softmax cross-entropy with torch's mean: over the weights of the labels, but over n for rows of probabilities.

    l = sum_k c_k t_k (-log P_k), all as in `CategoricalCrossEntropy`, which differs in this mean alone.
    """

    notes = "For rows of probabilities the mean divides by n whatever the class weights are."
    rows_weigh_one = True


class LabelLogLikelihood(Classification):
    r"""Minus the predicted log-probability of the right class: the second half of softmax cross-entropy.

    l = -f_y; f: (n, C) log-probabilities, which nothing here makes sum to 1. y: labels. Linear: the Hessian is 0.
    Class weights multiply the sample, and "mean" divides by them, as in torch.
    """

    formula = "-f_y"
    notes = "f holds log-probabilities. On logits: CategoricalCrossEntropy."
    peers = ("torch.nn.NLLLoss",)

    def value(self, y, f):
        return -at(y, f)

    def gradient(self, y, f):
        return -onehot(y, f)

    def hessian(self, y, f):
        return 0.0 * onehot(y, f)

    def hessian_times(self, y, f, v):
        return 0.0 * v


class WeightedMultiMargin(MultiMargin):
    r"""`MultiMargin` times a weight of the right class that the mean does not divide by, as in torch.

    l = weight_y (1/C) sum_(k != y) max(0, margin - f_y + f_k)^power; `weight = None` is 1. `class_weight` is ours:
    "mean" divides by it.
    """

    weight: Any = numbers(NON_NEGATIVE, default=None)
    formula = "weight_y (1/C) sum_{k≠y} max(0, margin - f_y + f_k)^power"
    notes = "The mean divides by n, not by the weights of the classes."

    def factor(self, y):
        return 1.0 if self.weight is None else at(y, self.weight)

    def value(self, y, f):
        return self.factor(y) * MultiMargin.value(self, y, f)

    def gradient(self, y, f):
        return self.factor(y) * MultiMargin.gradient(self, y, f)

    def hessian(self, y, f):
        return self.factor(y) * MultiMargin.hessian(self, y, f)

    def largest_curvature(self, y, f):
        return self.factor(y) * MultiMargin.largest_curvature(self, y, f)

    def hessian_times(self, y, f, v):
        return self.factor(y) * MultiMargin.hessian_times(self, y, f, v)


class WeightedMultilabelSoftMargin(Rowwise):
    r"""Binary cross-entropy of every label, times a weight per label, averaged over the C columns of a sample.

    l = 1/C sum_k weight_k [-y_k ln p_k - (1 - y_k) ln(1 - p_k)], p = sigma(f); `weight = None`: all 1.

    y: rows in [0, 1]; f: rows of logits. NaN in y makes the row NaN, where `MultilabelSoftMargin` takes it as unknown.
    """

    weight: Any = numbers(NON_NEGATIVE, default=None)
    target = "row"
    y_domain = UNIT
    link = "logit"
    formula = "1/C sum_k weight_k [-y_k ln p_k - (1 - y_k) ln(1 - p_k)],  p = 1/(1 + e^-f)"
    peers = ("torch.nn.MultiLabelSoftMarginLoss",)

    def weigh(self, x):
        return x if self.weight is None else self.weight * x

    def value(self, y, f):
        return total(self.weigh(_cross_entropy(y, f, None).value)) / size(f)

    def gradient(self, y, f):
        return self.weigh(_cross_entropy(y, f, None).gradient) * (1.0 / size(f))

    def hessian(self, y, f):
        return self.weigh(_cross_entropy(y, f, None).hessian) * (1.0 / size(f))

    def hessian_times(self, y, f, v):
        return self.weigh(_cross_entropy(y, f, None).hessian * v) * (1.0 / size(f))


class LogProbabilityKL(Rowwise):
    r"""Kullback-Leibler divergence of predicted log-probabilities from a target, as torch and optax have it.

    l = sum_k q_k (ln q_k - f_k), q = y or, with `log_target`, e^y; q_k = 0 adds -0 f_k (NaN where f_k is -inf).

    y: rows >= 0 (or their logarithms); f: rows of log-probabilities, which nothing here makes sum to 1. The gradient
    is -q, the Hessian 0. Mean: torch's "batchmean"; torch's "mean" divides by C too.
    """

    log_target: bool = False
    target = "row"
    formula = "sum_k q_k (ln q_k - f_k),  q = y or e^y"
    notes = "f holds log-probabilities. On logits: KullbackLeibler, which is convex and normalises."
    peers = ("torch.nn.KLDivLoss(reduction='batchmean')", "optax.losses.kl_divergence")

    @property
    def y_domain(self):
        return REAL if self.log_target else NON_NEGATIVE

    def value(self, y, f):
        if self.log_target:
            return total(exp(y) * (y - f))
        return total(where(y == 0.0, 0.0, y * log(y)) - y * f)

    def gradient(self, y, f):
        return -exp(y) if self.log_target else -y

    def hessian(self, y, f):
        return 0.0 * f

    def hessian_times(self, y, f, v):
        return 0.0 * v


class VarianceGaussianNLL(Rowwise):
    r"""Gaussian likelihood of a predicted mean and variance, the variance at least `eps`, as torch has it.

    l = (ln v + (y - mu)^2 / v) / 2 [+ ln(2 pi) / 2 if `full`], v = max(f_1, eps), for f = (mu, variance).

    y: (n,) any real numbers; f: (n, 2). `eps = 1e-6`. The gradient is torch's: that at v, not 0, even where f_1 is
    clamped. torch refuses a negative variance; here it is clamped like any other.
    """

    eps: float = parameter(1e-6, POSITIVE)
    full: bool = False
    columns = ("mean", "variance")
    convex = False
    formula = "(ln v + (y - mu)²/v)/2 [+ ln(2π)/2],  v = max(variance, eps)"
    notes = "The second column is the variance (GaussianNLL: ln sigma). Its gradient does not vanish where it is clamped."
    peers = ("torch.nn.GaussianNLLLoss",)

    def parts(self, y, f):
        mu, variance = f
        v = maximum(variance, self.eps)
        return y - mu, v, 1.0 / v

    def value(self, y, f):
        r, v, i = self.parts(y, f)
        result = 0.5 * (log(v) + r * r * i)
        return result + HALF_LOG_2PI if self.full else result

    def gradient(self, y, f):
        r, _, i = self.parts(y, f)
        return stack(-(r * i), 0.5 * (i * (1.0 - r * r * i)))

    def hessian(self, y, f):
        r, _, i = self.parts(y, f)
        return stack(i, i * i * (r * r * i - 0.5))

    def hessian_times(self, y, f, v):
        r, _, i = self.parts(y, f)
        a, b = v
        cross = r * (i * i)
        return stack(i * a + cross * b, cross * a + i * i * (r * r * i - 0.5) * b)


# ---- scikit-learn ------------------------------------------------------------------------------------------------


class ClippedClassLogLoss(Classification):
    r"""Cross-entropy of class probabilities as `sklearn.metrics.log_loss` computes it: clipped away from 0 and 1.

    l = -log(clip(f_y, eps, 1 - eps)), eps the machine epsilon of the predictions' dtype. Nothing is normalised.

    y: labels; f: rows in [0, 1] (scikit-learn warns where they do not sum to 1). Gradient and Hessian are 0 where f_y is
    clipped. float16 is computed, and clipped, as float32.
    """

    pred_domain = UNIT
    smooth = False
    convex = False
    formula = "-ln clip(f_y, eps, 1 - eps)"
    notes = "CategoricalCrossEntropy(from_logits=False) clips nothing."
    peers = ("sklearn.metrics.log_loss",)

    def parts(self, y, f):
        p = at(y, f)
        eps = _machine_epsilon(p)
        held = minimum(maximum(p, eps), 1.0 - eps)
        return held, where(held == p, onehot(y, f), 0.0)

    def value(self, y, f):
        return -log(self.parts(y, f)[0])

    def gradient(self, y, f):
        p, live = self.parts(y, f)
        return -live * (1.0 / p)

    def hessian(self, y, f):
        p, live = self.parts(y, f)
        return live * (1.0 / (p * p))

    def hessian_times(self, y, f, v):
        p, live = self.parts(y, f)
        return live * (1.0 / (p * p)) * v


class ProbabilityBrier(Classification):
    r"""Squared distance of predicted class probabilities from the one-hot label.

    l = scale sum_k (f_k - o_k)^2; scale 1/2 with `half="always"`, 1 with "never", and with "auto" 1/2 for two classes.

    y: labels; f: rows in [0, 1], not normalised. Hessian: 2 scale.
    """

    half: str = choice("auto", "always", "never")
    pred_domain = UNIT
    formula = "scale sum_k (f_k - o_k)²"
    notes = "Of probabilities (MulticlassBrier: of logits)."
    peers = ("sklearn.metrics.brier_score_loss",)

    def twice(self, f):
        """2 scale."""
        if self.half == "auto":
            return where(size(f) < 3, 1.0, 2.0)
        return 1.0 if self.half == "always" else 2.0

    def value(self, y, f):
        return 0.5 * self.twice(f) * total((f - onehot(y, f)) ** 2)

    def gradient(self, y, f):
        return self.twice(f) * (f - onehot(y, f))

    def hessian(self, y, f):
        return where(f == f, self.twice(f), 0.0)

    def hessian_times(self, y, f, v):
        return self.twice(f) * v


# ---- Keras -------------------------------------------------------------------------------------------------------


class ClippedCategoricalCrossEntropy(Classification):
    r"""Cross-entropy of class probabilities that are divided by their sum and clipped first, as Keras does.

    l = sum_k t_k (-log p_k), p = clip(f / sum f, epsilon, 1 - epsilon), t = (1 - label_smoothing) o + label_smoothing/C.

    y: labels or rows; f: rows >= 0. `epsilon = 1e-7`. A clipped p_k has no part in gradient and Hessian.
    """

    target = "classes"
    epsilon: float = parameter(1e-7, Interval(0.0, 0.5))
    label_smoothing: float = parameter(0.0, UNIT)
    pred_domain = NON_NEGATIVE
    smooth = False
    convex = False
    formula = "sum_k t_k (-ln p_k),  p = clip(f/sum f, epsilon, 1 - epsilon),  t = (1 - s) o + s/C"
    notes = "CategoricalCrossEntropy(from_logits=False) divides by nothing and clips nothing."
    peers = ("keras.losses.CategoricalCrossentropy", "keras.losses.SparseCategoricalCrossentropy")

    def smoothed(self, y, f):
        return (1.0 - self.label_smoothing) * onehot(y, f) + self.label_smoothing / size(f)

    def psi(self, p):
        """What a class costs, and its two derivatives by p."""
        i = 1.0 / p
        return -log(p), -i, i * i

    def costs(self, y, f, share):
        """The costs of all classes and their derivatives; `share` is f / sum f."""
        p = minimum(maximum(share, self.epsilon), 1.0 - self.epsilon)
        cost, slope, bend = self.psi(p)
        t = self.smoothed(y, f)
        live = where(p == share, t, 0.0)
        return t * cost, live * slope, live * bend

    def value(self, y, f):
        cost, _, _ = self.costs(y, f, f * (1.0 / total(f)))
        return total(cost)

    def gradient(self, y, f):
        inverse = 1.0 / total(f)
        p = f * inverse
        _, d, _ = self.costs(y, f, p)
        return inverse * (d - total(d * p))

    def hessian(self, y, f):
        inverse = 1.0 / total(f)
        p = f * inverse
        _, d, c = self.costs(y, f, p)
        return inverse**2 * (c * (1.0 - 2.0 * p) + total(c * p**2) + 2.0 * (total(d * p) - d))

    def hessian_times(self, y, f, v):
        inverse = 1.0 / total(f)
        p = f * inverse
        _, d, c = self.costs(y, f, p)
        moved = v - p * total(v)
        return inverse**2 * ((c * moved - total(c * p * moved)) - total(d * moved) - (d - total(d * p)) * total(v))


class ClippedCategoricalFocal(ClippedCategoricalCrossEntropy):
    r"""Focal loss of all classes' probabilities, divided by their sum and clipped first, as Keras does.

    l = sum_k alpha_k t_k (1 - p_k)^gamma (-log p_k), p and t as in `ClippedCategoricalCrossEntropy`.

    `alpha = 0.25` for all classes, or `class_alpha`, one for each, times alpha; `gamma = 2`.
    """

    alpha: float = parameter(0.25, NON_NEGATIVE)
    gamma: float = parameter(2.0, NON_NEGATIVE)
    class_alpha: Any = numbers(NON_NEGATIVE, default=None)
    formula = "sum_k alpha_k t_k (1 - p_k)ᵞ (-ln p_k),  p = clip(f/sum f, epsilon, 1 - epsilon)"
    notes = "A sum over all classes of the (smoothed) target, with alpha; CategoricalFocal has neither, and clips nothing."
    peers = ("keras.losses.CategoricalFocalCrossentropy",)

    def psi(self, p):
        q, i, surprise = 1.0 - p, 1.0 / p, -log(p)
        weight = self.alpha * pow(q, self.gamma)
        if self.class_alpha is not None:
            weight = weight * self.class_alpha
        fade = self.gamma / q
        return (weight * surprise, -weight * (fade * surprise + i),
                weight * (fade * ((self.gamma - 1.0) / q * surprise + 2.0 * i) + i * i))


class ClippedLogitFocal(ClippedCategoricalFocal):
    r"""`ClippedCategoricalFocal` of softmax(f): Keras clips the probabilities it makes of logits as well."""

    pred_domain = REAL
    link = "softmax"
    formula = "sum_k alpha_k t_k (1 - p_k)ᵞ (-ln p_k),  p = clip(softmax(f), epsilon, 1 - epsilon)"

    def value(self, y, f):
        cost, _, _ = self.costs(y, f, softmax(f).p)
        return total(cost)

    def gradient(self, y, f):
        s = softmax(f)
        _, d, _ = self.costs(y, f, s.p)
        return s.p * (d - total(s.p * d))

    def kappa(self, y, f, s):
        _, d, c = self.costs(y, f, s.p)
        return s.p * (d - total(s.p * d)) + s.p**2 * c

    def hessian(self, y, f):
        s = softmax(f)
        return _separable_hessian(self.kappa(y, f, s), _leads(f), s.p, s.complement)

    def hessian_times(self, y, f, v):
        s = softmax(f)
        return _separable_times(self.kappa(y, f, s), _leads(f), s.p, s.complement, v)


class ClippedKL(Rowwise):
    r"""Kullback-Leibler divergence of two rows of probabilities, both clipped first, as Keras does.

    l = sum_k q_k ln(q_k / p_k), q = clip(y, epsilon, 1), p = clip(f, epsilon, 1).

    y and f: rows in [0, 1], not normalised. `epsilon = 1e-7`. Gradient -q / p and Hessian q / p^2 are 0 where f is clipped.
    """

    epsilon: float = parameter(1e-7, Interval(0.0, 1.0))
    target = "row"
    y_domain = UNIT
    pred_domain = UNIT
    smooth = False
    convex = False
    formula = "sum_k q_k ln(q_k / p_k),  q = clip(y, epsilon, 1),  p = clip(f, epsilon, 1)"
    notes = "Of probabilities (KullbackLeibler: of logits, and nothing is clipped)."
    peers = ("keras.losses.KLDivergence",)

    def value(self, y, f):
        q = maximum(y, self.epsilon)
        return total(q * log(q / maximum(f, self.epsilon)))

    def gradient(self, y, f):
        return where(f >= self.epsilon, -maximum(y, self.epsilon) / maximum(f, self.epsilon), 0.0)

    def hessian(self, y, f):
        p = maximum(f, self.epsilon)
        return where(f >= self.epsilon, maximum(y, self.epsilon) / p / p, 0.0)

    def hessian_times(self, y, f, v):
        p = maximum(f, self.epsilon)
        return where(f >= self.epsilon, maximum(y, self.epsilon) / p / p, 0.0) * v


class CategoricalHinge(Classification):
    r"""Hinge loss of the right class against the best wrong one or 0, as Keras has it.

    l = max(0, 1 + max_k((1 - o_k) f_k) - sum_k o_k f_k): the right class takes part in the maximum, with 0.

    y: labels, or rows; f: any scores. Where several k are the best the first has the gradient (torch, under Keras,
    shares it out).
    """

    target = "classes"
    smooth = False
    formula = "max(0, 1 + max_k (1 - o_k) f_k - sum_k o_k f_k)"
    notes = "CrammerSinger's best wrong score may be negative."
    peers = ("keras.losses.CategoricalHinge",)

    def value(self, y, f):
        o = onehot(y, f)
        return maximum(largest((1.0 - o) * f) - total(o * f) + 1.0, 0.0)

    def gradient(self, y, f):
        o = onehot(y, f)
        against = (1.0 - o) * f
        active = largest(against) - total(o * f) + 1.0 > 0.0
        return where(active, where(_leads(against), 1.0 - o, 0.0) - o, 0.0)

    def hessian(self, y, f):
        return where(f == f, 0.0, f)

    def hessian_times(self, y, f, v):
        return 0.0 * v


# ---- gradient boosting -------------------------------------------------------------------------------------------


class OneVersusAll(Classification):
    r"""Binary cross-entropy of each class against the rest, summed: C logistic regressions with one label.

    l = sum_k [-o_k ln p_k - (1 - o_k) ln(1 - p_k)], p = sigma(f); y: labels; f: any logits.

    The p need not sum to 1. Hessian: p (1 - p). Majorizer: Jaakkola and Jordan's bound.
    """

    link = "logit"
    formula = "sum_k [-o_k ln p_k - (1 - o_k) ln(1 - p_k)],  p = 1/(1 + e^-f)"
    notes = "MultilabelBinaryCrossEntropy of the one-hot label."
    peers = ("lightgbm multiclassova", "catboost MultiClassOneVsAll (its metric is a mean over the classes)")

    def against(self, y, f):
        """The logits, with the sign by which each speaks against the label."""
        return where(onehot(y, f) == 1.0, -f, f)

    def value(self, y, f):
        return total(softplus(self.against(y, f)))

    def gradient(self, y, f):
        p = sigmoid(self.against(y, f))
        return where(onehot(y, f) == 1.0, -p, p)

    def hessian(self, y, f):
        return sigmoid(f) * sigmoid(-f)

    def hessian_times(self, y, f, v):
        return sigmoid(f) * sigmoid(-f) * v

    def majorizer(self, y, f):
        far = maximum(abs(f), 1e-8)  # the limit 1/4 at 0
        return 0.5 * (tanh(0.5 * far) / far)


# ---- scoring rules: the scale itself, not its logarithm ----------------------------------------------------------


class _OfScale(Rowwise):
    """A loss of (location, ln scale), `of_log`, as one of (location, scale); NaN where the scale is negative."""

    columns = ("location", "scale")
    convex = False
    notes = "The second column is sigma itself, which must be positive: for training take the loss of ln sigma."

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.formula = cls.of_log.formula + ", of sigma itself"
        cls.y_domain, cls.smooth = cls.of_log.y_domain, cls.of_log.smooth

    def logged(self, f):
        mu, sigma = f
        return stack(mu, log(sigma)), 1.0 / sigma

    def value(self, y, f):
        row, _ = self.logged(f)
        return self.of_log.value(y, row)

    def gradient(self, y, f):
        row, i = self.logged(f)
        a, b = self.of_log.gradient(y, row)
        return stack(a, i * b)

    def hessian(self, y, f):
        row, i = self.logged(f)
        _, b = self.of_log.gradient(y, row)
        aa, bb = self.of_log.hessian(y, row)
        return stack(aa, i * i * (bb - b))

    def hessian_times(self, y, f, v):
        row, i = self.logged(f)
        p, q = v
        _, b = self.of_log.gradient(y, row)
        aa, bb = self.of_log.hessian(y, row)
        ab = i * self.of_log.cross(y, row)
        return stack(aa * p + ab * q, ab * p + i * i * (bb - b) * q)


class ScaleGaussianCRPS(_OfScale):
    """`GaussianCRPS` of (mu, sigma)."""

    of_log = GaussianCRPS()
    peers = ("scoringrules.crps_normal", "properscoring.crps_gaussian")


class ScaleLaplaceCRPS(_OfScale):
    """`LaplaceCRPS` of (mu, sigma)."""

    of_log = LaplaceCRPS()
    peers = ("scoringrules.crps_laplace",)


class ScaleLogisticCRPS(_OfScale):
    """`LogisticCRPS` of (mu, sigma)."""

    of_log = LogisticCRPS()
    peers = ("scoringrules.crps_logistic",)


class ScaleLogNormalCRPS(_OfScale):
    """`LogNormalCRPS` of (mu, sigma), the mean and standard deviation of ln y."""

    of_log = LogNormalCRPS()
    peers = ("scoringrules.crps_lognormal",)


class ScaleGaussianNLL(_OfScale):
    """`GaussianNLL` of (mu, sigma)."""

    of_log = GaussianNLL()
    peers = ("scoringrules.logs_normal",)


class ScaleLaplaceNLL(_OfScale):
    """`LaplaceNLL` of (mu, sigma)."""

    of_log = LaplaceNLL()
    peers = ("scoringrules.logs_laplace",)


class ScaleLogisticNLL(_OfScale):
    """`LogisticNLL` of (mu, sigma)."""

    of_log = LogisticNLL()
    peers = ("scoringrules.logs_logistic",)


class ScaleLogNormalNLL(_OfScale):
    """`LogNormalNLL` of (mu, sigma), the mean and standard deviation of ln y."""

    of_log = LogNormalNLL()
    peers = ("scoringrules.logs_lognormal",)
