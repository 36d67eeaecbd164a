"""Losses of a row of scores, one per class, and the class that is right.

f is a row of C logits, P = softmax(f), and y the label of the right class, or where a loss says so a row of
probabilities; o is the target as a row (1 at the label). Losses of P_y write it as a number of log P_y: its distance
from 1 is `complement`, which loses no digits where one class has nearly everything.

With <P, v> = sum_k P_k v_k, all gradients here are of two kinds, and so are the Hessians:

* l = phi(log P_y): gradient A (P - o), Hessian A (diag P - P P^T) + B (P - o)(P - o)^T, A = -phi', B = phi''.
* l = sum_k psi_k(P_k): gradient g = P (u - <P, u>) with u_k = psi_k'(P_k), and Hessian times v
  kappa (v - <P, v>) - P <kappa, v - <P, v>> with kappa_k = g_k + P_k^2 psi_k''(P_k).

v - <P, v> is 0 but for rounding at a class that has all of P. `_centred` measures v from its value there, so that
nothing cancels.
"""

from math import inf
from types import SimpleNamespace
from typing import Any, ClassVar

from ..curvatures import BOUNDED_GRADIENT, NEVER_STUCK
from ..domain import BINARY, NON_NEGATIVE, POSITIVE, REAL, UNIT, Interval
from ..loss import Classification, choice, numbers, parameter
from ..rowmath import (
    at,
    cumulative,
    exp,
    expm1,
    expm1mx,
    first_largest,
    index,
    largest,
    log,
    log1p,
    maximum,
    onehot,
    pow,
    row_of,
    size,
    smallest,
    softmax,
    sort,
    sqrt,
    total,
    where,
)

__all__ = [
    "LDAM", "BiTempered", "Bootstrapped", "CategoricalCrossEntropy", "CategoricalFocal", "CostSensitive", "CrammerSinger",
    "ForwardCorrected", "GeneralizedCrossEntropy", "LogitAdjusted", "MultiMargin", "MulticlassBrier",
    "PartialLabel", "Poly1", "Sparsemax", "Spherical", "SymmetricCrossEntropy",
]

VANISHED = 1e-30  # a probability below it is computed from logarithms; far from underflow, in float32 too


# ---- what the losses share ---------------------------------------------------------------------------------------


def _leads(z):
    """Where the row has its largest element: there softmax(z) is accurate by its complement."""
    return index(z) == first_largest(z)


def _centred(leads, p, v):
    """v - <p, v>, accurate at the class that leads even if it has nearly all of p."""
    w = v - total(where(leads, v, 0.0))
    return w - total(p * w)


def _separable_hessian(kappa, leads, p, complement):
    """The diagonal for sums of psi_k(p_k): kappa (1 - p)^2 + p^2 (the sum of the other kappa)."""
    others = where(leads, total(where(leads, 0.0, kappa)), total(kappa) - kappa)
    return kappa * complement**2 + p**2 * others


def _separable_times(kappa, leads, p, complement, v):
    return _less_its_share(kappa * _centred(leads, p, v), leads, p, complement)


def _less_its_share(x, leads, p, complement):
    """x - p (the sum of x)."""
    return where(leads, x * complement - p * total(where(leads, 0.0, x)), x - p * total(x))


def _miss(y, s, f):
    """P - o for a label y."""
    return where(onehot(y, f) == 1.0, -s.complement, s.p)


def _pull(u, s):
    """The gradient of -sum_k u_k log P_k: U P - u with U = sum u.

    Where u_k is more than half of U it is written (U - u_k) - U (1 - P_k), so that a label's P_y - 1 keeps its digits.
    """
    all_of_u = total(u)
    return where(u > 0.5 * all_of_u, (all_of_u - u) - all_of_u * s.complement, all_of_u * s.p - u)


def _surprise(u, s):
    """-sum_k u_k log P_k, to which u_k = 0 adds nothing."""
    return total(where(u == 0.0, 0.0, -(u * s.log_p)))


def _spread_times(s, z, v):
    """(diag P - P P^T) v, P = softmax(z)."""
    return s.p * _centred(_leads(z), s.p, v)


def _right_class_hessian(slope, bend, y, s, f):
    """The diagonal for phi(log P_y); `bend` is B (1 - P_y), which is finite where B is not."""
    miss = _miss(y, s, f)
    return slope * (s.p * s.complement) + bend * (miss * (miss / _or_one(at(y, s.complement))))


def _right_class_times(slope, bend, y, s, f, v):
    vc = _centred(_leads(f), s.p, v)
    unit = _miss(y, s, f) / _or_one(at(y, s.complement))
    return slope * (s.p * vc) - bend * (unit * at(y, vc))


def _zeros(f):
    return where(f == f, 0.0, f)


def _or_one(x):
    return where(x == 0.0, 1.0, x)


def _centred_scores(scores):
    """A row whose finite elements have mean 0: raw scores that softmax turns into the same probabilities."""
    finite = scores > -inf
    return scores - total(where(finite, scores, 0.0)) / total(finite)


def _square(loss, name):
    """An error if a matrix parameter does not have one row and one column per class."""
    rows, columns = getattr(loss, name).shape
    if rows != columns:
        raise ValueError(f"{type(loss).__name__}: {name} must be a square matrix, one row and one column per class, "
                         f"found shape {(rows, columns)}")


# ---- cross-entropy -----------------------------------------------------------------------------------------------


def _target(y, f, smooths, label_smoothing, weighs, class_weights):
    """What multiplies -log P_k: the smoothed target times the weights of the classes."""
    u = onehot(y, f)
    if smooths:
        u = (1.0 - label_smoothing) * u + label_smoothing / size(f)
    return class_weights * u if weighs else u


class CategoricalCrossEntropy(Classification):
    r"""Negative log-likelihood of the right class: softmax cross-entropy, the proper score for class probabilities.

    l = sum_k c_k t_k (-log P_k) + z_loss L^2, P = softmax(z), L = log sum_k e^z_k, z = f / temperature,
    with the smoothed target t = (1 - label_smoothing) o + label_smoothing / C and c = `class_weight`, or 1.
    With `from_logits=False` f holds probabilities: l = sum_k c_k t_k (-log f_k), gradient -c t / f.

    Targets: labels (n,), or rows of probabilities (n, C); a row's sum U need not be 1, its gradient is U P - t, and
    t_k = 0 adds nothing even where P_k is 0. Predictions: (n, C) logits, -inf included, or probabilities in [0, 1].
    `label_smoothing = 0` in [0, 1), spread over all C classes, the right one among them; `temperature = 1`;
    `param_grad` has the derivative with respect to the temperature, for calibration by temperature scaling.
    `z_loss = 0` (1e-4 where it is used) keeps L near 0 and has a meaning on logits only; `from_logits = True`.
    Class weights act inside, c_k on the term of class k, as in torch; "mean" divides by sum_i w_i c_(y_i), for rows
    of probabilities by sum_i w_i sum_k y_ik c_k (torch: by n then).
    Nothing is clipped and probabilities are not normalised: P_y = 0 costs inf. Keras divides by the sum and clips to
    [1e-7, 1 - 1e-7]; scikit-learn's log_loss clips to [eps, 1 - eps] and warns about sums that are not 1.
    Hessian: U P (1 - P) / temperature^2, never negative without `z_loss`. Majorizer: U / (2 temperature^2), Böhning's
    bound, plus z_loss (2 + max(L, 0)) / temperature^2; on probabilities no parabola lies above -log, so it is inf.
    Good, "Rational decisions", J. R. Stat. Soc. B 14, 1952; Böhning, "Multinomial logistic regression algorithm",
    Ann. Inst. Stat. Math. 44, 1992; label smoothing: Szegedy et al., CVPR 2016.
    """

    target = "classes"
    weighs_classes = True
    label_smoothing: float = parameter(0.0, Interval(0.0, 1.0, low_closed=True))
    temperature: float = parameter(1.0, POSITIVE)
    z_loss: float = parameter(0.0, NON_NEGATIVE)
    from_logits: bool = True
    formula = "sum_k c_k t_k (-ln P_k) + z_loss L²,  P = softmax(f/temperature),  t = (1 - eps) o + eps/C"
    notes = ("Class weights multiply each class's own term, and the mean divides by the weights of the targets, as in "
             "torch. Label smoothing gives eps/C to every class. On probabilities nothing is clipped or normalised.")
    peers = ("torch.nn.CrossEntropyLoss", "sklearn.metrics.log_loss (from_logits=False)",
             "keras.losses.SparseCategoricalCrossentropy", "keras.losses.CategoricalCrossentropy",
             "optax.losses.softmax_cross_entropy", "xgboost multi:softprob", "lightgbm multiclass", "catboost MultiClass")

    def __post_init__(self):
        super().__post_init__()
        if not self.from_logits and (self.temperature != 1 or self.z_loss != 0):
            raise ValueError("CategoricalCrossEntropy: temperature and z_loss act on logits; leave them out with "
                             "from_logits=False")

    @property
    def pred_domain(self):
        return REAL if self.from_logits else UNIT

    @property
    def link(self):
        return "softmax" if self.from_logits else "identity"

    @property
    def convex(self):
        return self.z_loss == 0

    @property
    def strict(self):
        return self.from_logits and self.convex

    @property
    def claims(self):
        """No parabola lies above a logarithm; z_loss is no likelihood, and its curvature grows with L."""
        if not self.from_logits:
            return {"majorizer": None, "constant": None, "fisher": {"positive": self.class_weight is None}}
        return {"fisher": None, "constant": None} if self.has_z_loss else BOUNDED_GRADIENT

    @property
    def smooths(self):
        return bool(self.label_smoothing != 0)

    @property
    def has_z_loss(self):
        return bool(self.z_loss != 0)

    @property
    def tempers(self):
        return bool(self.temperature != 1)

    @property
    def rate(self):
        return 1.0 / self.temperature

    def logits(self, f):
        return self.rate * f if self.tempers else f

    @property
    def class_weights(self):
        """The weights of the classes as a row. The engine puts what it resolved in this place."""
        return 1.0 if self.class_weight is None else self.class_weight

    def value(self, y, f):
        u = _target(y, f, self.smooths, self.label_smoothing, self.class_weight is not None, self.class_weights)
        if not self.from_logits:
            return total(where(u == 0.0, 0.0, -(u * log(f))))
        s = softmax(self.logits(f))
        result = _surprise(u, s) if self.smooths or self.class_weight is not None else -at(y, s.log_p)
        return result + self.z_loss * s.log_sum**2 if self.has_z_loss else result

    def gradient(self, y, f):
        u = _target(y, f, self.smooths, self.label_smoothing, self.class_weight is not None, self.class_weights)
        if not self.from_logits:
            return where(u == 0.0, 0.0, -(u / f))
        slope = self.slope(u, softmax(self.logits(f)))
        return self.rate * slope if self.tempers else slope

    def slope(self, u, s):
        """The derivative with respect to z."""
        if not self.has_z_loss:
            return _pull(u, s)
        return _pull(u, s) + 2.0 * self.z_loss * s.log_sum * s.p

    def gradient_temperature(self, y, f):
        u = _target(y, f, self.smooths, self.label_smoothing, self.class_weight is not None, self.class_weights)
        if not self.from_logits:
            return 0.0
        z = self.logits(f)
        terms = z * self.slope(u, softmax(z))
        return -(self.rate * total(where(z > -inf, terms, 0.0)))

    def hessian(self, y, f):
        u = _target(y, f, self.smooths, self.label_smoothing, self.class_weight is not None, self.class_weights)
        if not self.from_logits:
            return where(u == 0.0, 0.0, u / f / f)
        s = softmax(self.logits(f))
        bend = total(u) * (s.p * s.complement)
        if self.has_z_loss:
            bend = bend + 2.0 * self.z_loss * (s.p**2 + s.log_sum * (s.p * s.complement))
        return self.rate**2 * bend if self.tempers else bend

    def fisher_diagonal(self, y, f):
        return self.hessian(self.prediction(f), f)  # linear in the target, whose mean is P

    def gauss_newton(self, y, f):
        """With z_loss, of L -> L^2 without the curvature of L."""
        u = _target(y, f, self.smooths, self.label_smoothing, self.class_weight is not None, self.class_weights)
        s = softmax(self.logits(f))
        bend = total(u) * (s.p * s.complement) + 2.0 * self.z_loss * s.p**2
        return self.rate**2 * bend if self.tempers else bend

    def hessian_times(self, y, f, v):
        u = _target(y, f, self.smooths, self.label_smoothing, self.class_weight is not None, self.class_weights)
        if not self.from_logits:
            return where(u == 0.0, 0.0, u / f / f) * v
        z = self.logits(f)
        s = softmax(z)
        spread = _spread_times(s, z, v)
        result = total(u) * spread
        if self.has_z_loss:
            result = result + 2.0 * self.z_loss * (s.p * total(s.p * v) + s.log_sum * spread)
        return self.rate**2 * result if self.tempers else result

    # L^2 lies below L0^2 + 2 L0 <P, d> + (2 + max(L0, 0)) |d|^2 / 2: write it as L0^2 + 2 L0 (L - L0) + (L - L0)^2.
    # The last term is at most |d|^2; L - L0 is at least <P, d> and, by Böhning's bound, at most <P, d> + |d|^2 / 4.

    def majorizer(self, y, f):
        u = _target(y, f, self.smooths, self.label_smoothing, self.class_weight is not None, self.class_weights)
        if not self.from_logits:
            return _zeros(f) + inf
        bend = 0.5 * total(u) + _zeros(f)
        if self.has_z_loss:
            bend = bend + self.z_loss * (2.0 + maximum(softmax(self.logits(f)).log_sum, 0.0))
        return self.rate**2 * bend if self.tempers else bend

    def largest_curvature(self, y, f):
        return self.majorizer(y, f)

    def prediction(self, f):
        return softmax(self.logits(f)).p if self.from_logits else f

    def optimum(self, frequencies):
        u = self.class_weights * ((1.0 - self.label_smoothing) * frequencies + self.label_smoothing / len(frequencies))
        p = u / total(u)
        if not self.from_logits:
            return p
        scores = self.temperature * log(p)
        return scores if self.has_z_loss else _centred_scores(scores)  # with z_loss log sum e^z is 0, as it is for log p


class LogitAdjusted(Classification):
    r"""Cross-entropy of logits raised by the log-frequency of their class: f itself then ranks by balanced error.

    l = -log P_y, P = softmax(f + tau log pi), pi_k = n_k / sum n from `class_counts`.

    Targets: labels, or rows of probabilities. `tau = 1` is "balanced softmax", 0 plain cross-entropy. At prediction
    time the raw f is used, without the shift. Hessian: P (1 - P), never negative; majorizer: 1/2 (Böhning's bound).
    Menon et al., "Long-tail learning via logit adjustment", ICLR 2021; Ren et al., "Balanced meta-softmax", NeurIPS 2020.
    """

    target = "classes"
    class_counts: Any = numbers(POSITIVE)
    tau: float = parameter(1.0)
    formula = "-ln P_y,  P = softmax(f + tau ln pi),  pi = class_counts / sum(class_counts)"
    notes = "The link is the softmax of the raw scores: probabilities for classes that are equally frequent (tau = 1)."
    peers = ("google-research logit_adjustment", "balanced softmax (tau = 1)")
    link = "softmax"
    example: ClassVar = {"class_counts": (50, 30, 20)}
    strict = True
    claims = BOUNDED_GRADIENT

    @property
    def shift(self):
        return self.tau * log(self.class_counts / total(self.class_counts))

    def value(self, y, f):
        return -at(y, softmax(f + self.shift).log_p)

    def gradient(self, y, f):
        return _pull(onehot(y, f), softmax(f + self.shift))

    def hessian(self, y, f):
        s = softmax(f + self.shift)
        return total(onehot(y, f)) * (s.p * s.complement)

    def fisher_diagonal(self, y, f):
        return self.hessian(softmax(f + self.shift).p, f)

    def hessian_times(self, y, f, v):
        z = f + self.shift
        return total(onehot(y, f)) * _spread_times(softmax(z), z, v)

    def majorizer(self, y, f):
        return 0.5 * total(onehot(y, f)) + _zeros(f)

    def largest_curvature(self, y, f):
        return self.majorizer(y, f)

    def optimum(self, frequencies):
        return _centred_scores(log(frequencies) - self.shift)


class LDAM(Classification):
    r"""Label-distribution-aware margin: cross-entropy in which a rare class must win by more than a frequent one.

    l = -log P_y, P = softmax(scale (f - Delta o)), Delta_k = max_margin (min n / n_k)^(1/4), n = `class_counts`.

    Targets: labels. f: logits; the paper's are cosines in [-1, 1], which `scale = 30` spreads. `max_margin = 0.5` is
    the margin of the rarest class. Hessian: scale^2 P (1 - P), never negative; majorizer: scale^2 / 2.
    Cao et al., "Learning imbalanced datasets with label-distribution-aware margin loss", NeurIPS 2019.
    """

    class_counts: Any = numbers(POSITIVE)
    max_margin: float = parameter(0.5, NON_NEGATIVE)
    scale: float = parameter(30.0, POSITIVE)
    formula = "-ln P_y,  P = softmax(scale (f - Delta o)),  Delta_k = max_margin (min n / n_k)^(1/4)"
    peers = ("kaidic/LDAM-DRW LDAMLoss", "pytorch_optimizer.LDAMLoss")
    link = "softmax"
    notes = "Probabilities (inverse_link) are softmax(scale f): the margin acts in training alone."
    example: ClassVar = {"class_counts": (50, 30, 20)}
    strict = True
    claims = BOUNDED_GRADIENT

    @property
    def margins(self):
        return self.max_margin * sqrt(sqrt(smallest(self.class_counts) / self.class_counts))

    def prediction(self, f):
        return softmax(self.scale * f).p

    def value(self, y, f):
        return -at(y, softmax(self.scale * (f - self.margins * onehot(y, f))).log_p)

    def gradient(self, y, f):
        return self.scale * _miss(y, softmax(self.scale * (f - self.margins * onehot(y, f))), f)

    def hessian(self, y, f):
        s = softmax(self.scale * (f - self.margins * onehot(y, f)))
        return self.scale**2 * (s.p * s.complement)

    def hessian_times(self, y, f, v):
        z = self.scale * (f - self.margins * onehot(y, f))
        return self.scale**2 * _spread_times(softmax(z), z, v)

    def majorizer(self, y, f):
        return 0.5 * self.scale**2 + _zeros(f)

    def largest_curvature(self, y, f):
        return self.majorizer(y, f)


# ---- functions of the right class's probability ------------------------------------------------------------------


def _focal_rates(s, y, gamma):
    """phi(l) = -q^gamma l, q = 1 - e^l: -phi' and phi'' q. Where q is 0, -l / q is 1."""
    q, p, surprise = at(y, s.complement), at(y, s.p), -at(y, s.log_p)
    power = pow(q, gamma)
    ratio = where(q == 0.0, 1.0, surprise / _or_one(q))
    slope = power * (1.0 + gamma * (p * ratio))
    bend = gamma * power * p * ((2.0 - surprise) + (gamma - 1.0) * (p * ratio))
    return slope, bend


class CategoricalFocal(Classification):
    r"""Cross-entropy that fades where the right class is already likely.

    l = -q^gamma log P_y, q = 1 - P_y, P = softmax(f).

    Targets: labels. f: any logits. `gamma = 2`: how fast easy samples fade, 0 is cross-entropy. The paper's alpha is
    `class_weight` (keras: one alpha = 0.25 for all classes, a constant factor).
    Hessian: negative on the hardest samples. Not a proper score: the minimising P is less extreme than the frequency.
    Lin, Goyal, Girshick, He and Dollár, "Focal loss for dense object detection", ICCV 2017.
    """

    gamma: float = parameter(2.0, NON_NEGATIVE)
    formula = "-(1 - P_y)ᵞ ln P_y,  P = softmax(f)"
    notes = "Of a softmax: the binary focal loss of one class against the rest is BinaryFocal."
    peers = ("keras.losses.CategoricalFocalCrossentropy (times alpha)", "monai.losses.FocalLoss (use_softmax=True)")
    link = "softmax"
    claims = NEVER_STUCK

    @property
    def convex(self):
        return self.gamma == 0

    @property
    def strict(self):
        return self.convex

    def value(self, y, f):
        s = softmax(f)
        return -(pow(at(y, s.complement), self.gamma) * at(y, s.log_p))

    def gradient(self, y, f):
        s = softmax(f)
        slope, _ = _focal_rates(s, y, self.gamma)
        return slope * _miss(y, s, f)

    def hessian(self, y, f):
        s = softmax(f)
        slope, bend = _focal_rates(s, y, self.gamma)
        return _right_class_hessian(slope, bend, y, s, f)

    def gauss_newton(self, y, f):
        s = softmax(f)
        q, p, surprise = at(y, s.complement), at(y, s.p), -at(y, s.log_p)
        bend = self.gamma * ((self.gamma - 1.0) * p**2 * surprise + 2.0 * p * q) + q**2  # of l(P_y), times p^2 q^(2 - gamma)
        return pow(q, self.gamma) * bend * (_miss(y, s, f) / _or_one(q)) ** 2

    def hessian_times(self, y, f, v):
        s = softmax(f)
        slope, bend = _focal_rates(s, y, self.gamma)
        return _right_class_times(slope, bend, y, s, f, v)


class GeneralizedCrossEntropy(Classification):
    r"""Between cross-entropy (q = 0) and absolute error of the probability (q = 1): robust to wrong labels.

    l = (1 - P_y^q) / q, P = softmax(f); -log P_y in the limit q = 0.

    Targets: labels. f: any logits; l is bounded by 1/q. `q = 0.7` as in the paper (keras: 0.5).
    Hessian: its right-class element is P^q (1 - P) (P - q (1 - P)), negative where P < q / (1 + q).
    Zhang and Sabuncu, "Generalized cross entropy loss for training deep neural networks with noisy labels",
    NeurIPS 2018.
    """

    q: float = parameter(0.7, UNIT)
    formula = "(1 - P_yᵠ)/q,  P = softmax(f)"
    notes = "The minimising probabilities are proportional to frequency^(1/(1 - q)): more extreme than the frequencies."
    peers = ("keras.losses.CategoricalGeneralizedCrossEntropy (of probabilities)",)
    link = "softmax"

    @property
    def convex(self):
        return self.q == 0

    @property
    def strict(self):
        return self.convex

    @property
    def claims(self):
        return NEVER_STUCK | {"gauss_newton": {"positive": self.q < 1}}

    def value(self, y, f):
        log_p = at(y, softmax(f).log_p)
        return where(self.q == 0.0, -log_p, -expm1(self.q * log_p) / _or_one(self.q))

    def gradient(self, y, f):
        s = softmax(f)
        return exp(self.q * at(y, s.log_p)) * _miss(y, s, f)

    def hessian(self, y, f):
        s = softmax(f)
        slope = exp(self.q * at(y, s.log_p))
        return _right_class_hessian(slope, -(self.q * slope * at(y, s.complement)), y, s, f)

    def gauss_newton(self, y, f):
        s = softmax(f)
        return (1.0 - self.q) * exp(self.q * at(y, s.log_p)) * _miss(y, s, f) ** 2

    def hessian_times(self, y, f, v):
        s = softmax(f)
        slope = exp(self.q * at(y, s.log_p))
        return _right_class_times(slope, -(self.q * slope * at(y, s.complement)), y, s, f, v)

    def optimum(self, frequencies):
        likeliest = frequencies == largest(frequencies)
        scores = log(frequencies) / (1.0 - self.q) if self.q < 1 else where(likeliest, 0.0, -inf)
        return _centred_scores(scores)


def _blend_value(s, y, surprise, mistake):
    """surprise (-log P_y) + mistake (1 - P_y)."""
    return -(surprise * at(y, s.log_p)) + mistake * at(y, s.complement)


def _blend_rates(s, y, surprise, mistake):
    p, q = at(y, s.p), at(y, s.complement)
    slope = where(p > 0.5, (surprise + mistake) - mistake * q, surprise + mistake * p)
    return slope, -(mistake * p * q)


class SymmetricCrossEntropy(Classification):
    r"""Cross-entropy plus reverse cross-entropy, in which the label's certainty is not taken at its word.

    l = alpha (-log P_y) + beta (-sum_k P_k log o_k) with log 0 := A, so beta's term is -A (1 - P_y); P = softmax(f).

    Targets: labels. f: any logits. `alpha = 0.1`, `beta = 1` and `log_of_zero` A = -4 are the paper's for CIFAR-10
    (CIFAR-100: 6 and 0.1). Implementations clip the one-hot target instead, at 1e-4 (A = -9.2, the authors' code) or
    at 1e-7 (A = -16.1), and their defaults for alpha and beta differ: compare beta A, nothing else counts.
    Hessian: may be negative on hard samples where -beta A > alpha; never else.
    Wang et al., "Symmetric cross entropy for robust learning with noisy labels", ICCV 2019.
    """

    alpha: float = parameter(0.1, NON_NEGATIVE)
    beta: float = parameter(1.0, NON_NEGATIVE)
    log_of_zero: float = parameter(-4.0, Interval(high=0.0, high_closed=True))
    formula = "alpha (-ln P_y) - beta A (1 - P_y),  A = log_of_zero,  P = softmax(f)"
    notes = "Only the product of beta and A counts. Peers set A by clipping targets: 1e-4 is A = -9.2, 1e-7 is -16.1."
    peers = ("HanxunH/SCELoss-Reproduce SCELoss",)
    link = "softmax"

    @property
    def convex(self):
        return self.mistake <= self.alpha

    @property
    def strict(self):
        return self.convex and self.alpha > 0

    @property
    def claims(self):
        return {"gauss_newton": {"positive": self.alpha > 0}, "bounded": {"positive": self.alpha > 0 or self.mistake > 0}}

    @property
    def mistake(self):
        return -self.beta * self.log_of_zero

    def value(self, y, f):
        return _blend_value(softmax(f), y, self.alpha, self.mistake)

    def gradient(self, y, f):
        s = softmax(f)
        slope, _ = _blend_rates(s, y, self.alpha, self.mistake)
        return slope * _miss(y, s, f)

    def hessian(self, y, f):
        s = softmax(f)
        slope, bend = _blend_rates(s, y, self.alpha, self.mistake)
        return _right_class_hessian(slope, bend, y, s, f)

    def gauss_newton(self, y, f):
        return self.alpha * _miss(y, softmax(f), f) ** 2

    def hessian_times(self, y, f, v):
        s = softmax(f)
        slope, bend = _blend_rates(s, y, self.alpha, self.mistake)
        return _right_class_times(slope, bend, y, s, f, v)


class Poly1(Classification):
    r"""Cross-entropy whose first Taylor coefficient, in 1 - P_y, is changed by epsilon.

    l = -log P_y + epsilon (1 - P_y), P = softmax(f).

    Targets: labels. f: any logits. `epsilon = 2` (as in optax; 0 is cross-entropy; below -1 the loss would reward
    mistakes). Hessian: may be negative on hard samples for epsilon > 1.
    Leng et al., "PolyLoss: a polynomial expansion perspective of classification loss functions", ICLR 2022.
    """

    epsilon: float = parameter(2.0, Interval(low=-1.0, low_closed=True))
    formula = "-ln P_y + epsilon (1 - P_y),  P = softmax(f)"
    peers = ("optax.losses.poly_loss_cross_entropy",)
    link = "softmax"
    claims = NEVER_STUCK

    @property
    def convex(self):
        return self.epsilon <= 1

    @property
    def strict(self):
        return self.convex

    def value(self, y, f):
        return _blend_value(softmax(f), y, 1.0, self.epsilon)

    def gradient(self, y, f):
        s = softmax(f)
        slope, _ = _blend_rates(s, y, 1.0, self.epsilon)
        return slope * _miss(y, s, f)

    def hessian(self, y, f):
        s = softmax(f)
        slope, bend = _blend_rates(s, y, 1.0, self.epsilon)
        return _right_class_hessian(slope, bend, y, s, f)

    def gauss_newton(self, y, f):
        return _miss(y, softmax(f), f) ** 2

    def hessian_times(self, y, f, v):
        s = softmax(f)
        slope, bend = _blend_rates(s, y, 1.0, self.epsilon)
        return _right_class_times(slope, bend, y, s, f, v)


class Spherical(Classification):
    r"""Spherical score: minus the right class's share of the probability vector's length. Proper and bounded.

    l = -P_y / |P|, |P|^2 = sum_k P_k^2, P = softmax(f).

    Targets: labels. f: any logits; l lies in [-1, 0). Written as -sqrt(Q_y), Q = softmax(2 f), which is the same.
    Hessian: negative where the prediction is confident and wrong.
    Good, "Comment on 'Measuring information and uncertainty'", Foundations of Statistical Inference, 1971.
    """

    formula = "-P_y / |P|,  P = softmax(f)"
    notes = "Negatively oriented and without an offset: the best value is -1. Not convex in f."
    peers = ("R package scoring, calcscore(fam = 'sph')",)
    convex = False
    link = "softmax"
    claims = NEVER_STUCK

    def value(self, y, f):
        return -exp(0.5 * at(y, softmax(2.0 * f).log_p))

    def gradient(self, y, f):
        s = softmax(2.0 * f)
        return exp(0.5 * at(y, s.log_p)) * _miss(y, s, f)

    def hessian(self, y, f):
        s = softmax(2.0 * f)
        slope = exp(0.5 * at(y, s.log_p))
        return _right_class_hessian(2.0 * slope, -(slope * at(y, s.complement)), y, s, f)

    def gauss_newton(self, y, f):
        """Of Q_y -> -sqrt(Q_y)."""
        s = softmax(2.0 * f)
        return exp(0.5 * at(y, s.log_p)) * _miss(y, s, f) ** 2

    def hessian_times(self, y, f, v):
        s = softmax(2.0 * f)
        slope = exp(0.5 * at(y, s.log_p))
        return _right_class_times(2.0 * slope, -(slope * at(y, s.complement)), y, s, f, v)

    def optimum(self, frequencies):
        return _centred_scores(log(frequencies))


# ---- functions of the whole distribution -------------------------------------------------------------------------


def _error(y, s, f):
    """P - o, for rows of probabilities too; where o > 1/2 the difference of the complements."""
    o = onehot(y, f)
    return where(o > 0.5, (1.0 - o) - s.complement, s.p - o)


class MulticlassBrier(Classification):
    r"""Squared distance of the probabilities from the target, Brier's own score: proper and bounded by 2.

    l = sum_k (P_k - o_k)^2, P = softmax(f).

    Targets: labels, or rows of probabilities. f: any logits. A sum over the classes, not a mean, without factor 1/2:
    for two classes twice `BinaryBrier`. Hessian: negative where the prediction is badly wrong.
    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.
    """

    target = "classes"
    formula = "sum_k (P_k - o_k)²,  P = softmax(f)"
    notes = "On logits not convex: the gradient vanishes where the prediction is confident and wrong."
    peers = ("sklearn.metrics.brier_score_loss (multiclass)",)
    convex = False
    link = "softmax"

    def value(self, y, f):
        return total(_error(y, softmax(f), f) ** 2)

    def gradient(self, y, f):
        s = softmax(f)
        return 2.0 * (s.p * _centred(_leads(f), s.p, _error(y, s, f)))

    def hessian(self, y, f):
        s = softmax(f)
        leads = _leads(f)
        kappa = 2.0 * (s.p * _centred(leads, s.p, _error(y, s, f))) + 2.0 * s.p**2
        return _separable_hessian(kappa, leads, s.p, s.complement)

    def gauss_newton(self, y, f):
        s = softmax(f)
        return _separable_hessian(2.0 * s.p**2, _leads(f), s.p, s.complement)

    def hessian_times(self, y, f, v):
        s = softmax(f)
        leads = _leads(f)
        kappa = 2.0 * (s.p * _centred(leads, s.p, _error(y, s, f))) + 2.0 * s.p**2
        return _separable_times(kappa, leads, s.p, s.complement, v)

    def optimum(self, frequencies):
        return _centred_scores(log(frequencies))


class CostSensitive(Classification):
    r"""Expected cost of predicting a class at random from P, when mistakes cost differently.

    l = sum_k cost[y, k] P_k, P = softmax(f); cost[y, k] is the cost of predicting k where y is right.

    Targets: labels. f: any logits. `cost`: C x C, any numbers, usually 0 on the diagonal.
    Linear in P, so the best constant P is a single class; on logits not convex. Hessian: of both signs.
    Elkan, "The foundations of cost-sensitive learning", IJCAI 2001.
    """

    cost: Any = numbers(REAL, ndim=2)
    formula = "sum_k cost[y, k] P_k,  P = softmax(f)"
    notes = "With cost 1 off the diagonal it is 1 - P_y, the absolute error of the probability."
    convex = False
    link = "softmax"
    example: ClassVar = {"cost": ((0, 1, 4), (1, 0, 1), (9, 2, 0))}

    def __post_init__(self):
        super().__post_init__()
        _square(self, "cost")

    def value(self, y, f):
        return total(row_of(self.cost, y) * softmax(f).p)

    def gradient(self, y, f):
        s = softmax(f)
        return s.p * _centred(_leads(f), s.p, row_of(self.cost, y))

    def hessian(self, y, f):
        s = softmax(f)
        leads = _leads(f)
        return _separable_hessian(s.p * _centred(leads, s.p, row_of(self.cost, y)), leads, s.p, s.complement)

    def hessian_times(self, y, f, v):
        s = softmax(f)
        leads = _leads(f)
        return _separable_times(s.p * _centred(leads, s.p, row_of(self.cost, y)), leads, s.p, s.complement, v)


def _finite(s, f):
    """The logits, 0 in place of those whose P is 0, which may be -inf. For `_centred` they are as good as log P."""
    return where(s.p == 0.0, 0.0, f)


def _tempted(leads, beta):
    """What hard bootstrapping adds to the target: all its mistrust at the class that leads."""
    return where(leads, 1.0 - beta, 0.0)


class Bootstrapped(Classification):
    r"""Cross-entropy to a target that is partly the model's own opinion, against wrong labels.

    l = -sum_k (beta o_k + (1 - beta) r_k) log P_k, P = softmax(f); r = P (`mode="soft"`) or the one-hot row of the
    likeliest class (`mode="hard"`).

    Targets: labels, or rows of probabilities. f: any logits. `beta = 0.95` (the paper's for soft; 0.8 for hard).
    The gradient of the soft form is the full one, through r as well: beta (P - o) - (1 - beta) P (log P - <P, log P>).
    Hard: r is constant but where the likeliest class changes, where the gradient jumps.
    Hessian: soft, of both signs; hard, P (1 - P).
    Reed et al., "Training deep neural networks on noisy labels with bootstrapping", ICLR 2015 workshop.
    """

    target = "classes"
    beta: float = parameter(0.95, UNIT)
    mode: str = choice("soft", "hard")
    formula = "-sum_k (beta o_k + (1 - beta) r_k) ln P_k,  r = P or onehot(argmax P),  P = softmax(f)"
    notes = "Soft: many implementations detach r = P; here the gradient goes through it, as in the paper."
    link = "softmax"

    @property
    def convex(self):
        return self.beta == 1

    @property
    def smooth(self):
        return self.mode == "soft" or self.beta == 1

    @property
    def strict(self):
        return self.mode == "hard" or self.beta == 1

    @property
    def claims(self):
        """The hard form is the smaller of cross-entropies to several targets: their parabola lies above it, too."""
        return BOUNDED_GRADIENT if self.strict else {"constant": None}

    def value(self, y, f):
        s = softmax(f)
        if self.mode == "hard":
            return _surprise(self.beta * onehot(y, f) + _tempted(_leads(f), self.beta), s)
        return -(self.beta * at(y, s.log_p)) + (1.0 - self.beta) * _surprise(s.p, s)

    def gradient(self, y, f):
        s = softmax(f)
        if self.mode == "hard":
            return _pull(self.beta * onehot(y, f) + _tempted(_leads(f), self.beta), s)
        return self.beta * _pull(onehot(y, f), s) - (1.0 - self.beta) * (s.p * _centred(_leads(f), s.p, _finite(s, f)))

    def hessian(self, y, f):
        s = softmax(f)
        if self.mode == "hard":
            return (self.beta * total(onehot(y, f)) + (1.0 - self.beta)) * (s.p * s.complement)
        leads = _leads(f)
        entropy = _separable_hessian(-s.p - s.p * _centred(leads, s.p, _finite(s, f)), leads, s.p, s.complement)
        return self.beta * total(onehot(y, f)) * (s.p * s.complement) + (1.0 - self.beta) * entropy

    def largest_curvature(self, y, f):
        return 0.5 * (self.beta * total(onehot(y, f)) + (1.0 - self.beta)) + _zeros(f)

    def hessian_times(self, y, f, v):
        s = softmax(f)
        if self.mode == "hard":
            return (self.beta * total(onehot(y, f)) + (1.0 - self.beta)) * _spread_times(s, f, v)
        leads = _leads(f)
        entropy = _separable_times(-s.p - s.p * _centred(leads, s.p, _finite(s, f)), leads, s.p, s.complement, v)
        return self.beta * total(onehot(y, f)) * _spread_times(s, f, v) + (1.0 - self.beta) * entropy


def _tempered(f, is_softmax, a, steps):
    """P_k = (1 + a (mu + max f - f_k))^(-1/a) with the mu for which they sum to 1; the softmax for a = 0.

    Newton's method from mu = 0 on (S^-a - 1) / a = 0, S the sum: increasing and concave in mu, so that the steps never
    pass the root, and linear where all logits are equal or a is 0. What 8 steps leave of a relative error in P was
    1e-14 at most for a <= 1 and C <= 1000 (1e-7 after 7 steps); a = 2 takes 10. S - 1 is summed without the class that
    leads, which is nearly 1 itself.
    """
    leads = _leads(f)
    if is_softmax:
        s = softmax(f)
        return SimpleNamespace(leads=leads, p=s.p, log_p=s.log_p, complement=s.complement, p_a=1.0)
    below = largest(f) - f
    mu = 0.0
    for _ in range(steps):
        log_top = -(log1p(a * mu) / a)
        stretch = 1.0 + a * (mu + below)
        p = where(leads, 0.0, exp(-(log1p(a * (mu + below)) / a)))
        excess = expm1(log_top) + total(p)
        falls = total(p / stretch) + exp(log_top) / (1.0 + a * mu)
        mu = mu + (1.0 + excess) * expm1(a * log1p(excess)) / (a * falls)
    log_p = -(log1p(a * (mu + below)) / a)
    p = exp(log_p)
    return SimpleNamespace(leads=leads, p=p, log_p=log_p, p_a=1.0 / (1.0 + a * (mu + below)),
                           complement=where(leads, total(where(leads, 0.0, p)), 1.0 - p))


def _tempered_gradient(right, s, a, k):
    """P^t2 (u - <e, u>) with u = dl/dP = P^k - o P^-t1, e = P^t2 / sum P^t2. P^t2 u is finite where u is not."""
    p_t2 = s.p * s.p_a
    h = exp(where(right, a + k, k) * s.log_p) * where(right, -s.complement, p_t2)
    u_top = total(where(s.leads, h, 0.0)) / total(where(s.leads, p_t2, 0.0))
    h = where(s.leads, 0.0, h - p_t2 * u_top)
    return h - p_t2 * (total(h) / total(p_t2))


def _tempered_kappa(right, s, a, k):
    """As kappa of the softmax, but for t2: t2 P^a g + P^(2 t2) u'. With it the escort e, and 1 - e."""
    g = _tempered_gradient(right, s, a, k)
    kappa = (1.0 + a) * s.p_a * g + _tempered_bend(right, s, a, k)
    return kappa, *_escort(s)


def _tempered_bend(right, s, a, k):
    """P^(2 t2) d^2 l / dP^2."""
    return exp((2.0 * a + k) * s.log_p) * (k * s.p + where(right, 1.0 - k, 0.0))


def _escort(s):
    """e = P^t2 / sum P^t2, and 1 - e."""
    p_t2 = s.p * s.p_a
    inverse = 1.0 / total(p_t2)
    escort = p_t2 * inverse
    return escort, where(s.leads, total(where(s.leads, 0.0, p_t2)) * inverse, 1.0 - escort)


class BiTempered(Classification):
    r"""Bi-tempered logistic loss: bounded (t1 < 1) against far outliers, heavy-tailed (t2 > 1) against wrong labels.

    l = -log_t1(P_y) - (1 - sum_k P_k^(2 - t1)) / (2 - t1), P = the tempered softmax exp_t2(f - lambda(f)), sum P = 1;
    log_t(x) = (x^(1 - t) - 1) / (1 - t), exp_t its inverse; cross-entropy for t1 = t2 = 1.

    Targets: labels. f: any logits. `t1 = 0.8` in [0, 1] and `t2 = 1.2` in [1, 4] are the paper's for CIFAR-100 with
    noise (MNIST: 0.5 and 4; peers give no defaults); l is bounded by 1 / (1 - t1). lambda(f) takes 8 steps of Newton's
    method, for t2 > 2 12 steps, which is exact to rounding up to 1000 classes; peers take 5 steps of a fixed-point
    iteration, good to a few digits only.
    Label smoothing, an option of peers, is left out. Hessian: of both signs unless t1 = t2 = 1.
    Amid, Warmuth, Anil and Koren, "Robust bi-tempered logistic loss based on Bregman divergences", NeurIPS 2019.
    """

    t1: float = parameter(0.8, UNIT)
    t2: float = parameter(1.2, Interval(1.0, 4.0, True, True))
    formula = "-log_t1(P_y) - (1 - sum_k P_k^(2 - t1))/(2 - t1),  P = exp_t2(f - lambda),  sum P = 1"
    notes = "The probabilities are the tempered softmax of f, not the softmax, unless t2 = 1."
    peers = ("google/bi-tempered-loss bi_tempered_logistic_loss", "pytorch_optimizer.BiTemperedLogLoss")

    @property
    def convex(self):
        return self.t1 == 1 and self.t2 == 1

    @property
    def strict(self):
        return self.convex

    @property
    def link(self):
        return "softmax" if self.is_softmax else "identity"

    @property
    def is_softmax(self):
        return bool(self.t2 == 1)

    @property
    def is_heavy(self):
        return bool(self.t2 > 2)

    @property
    def a(self):
        return self.t2 - 1.0

    @property
    def k(self):
        return 1.0 - self.t1

    # Textbook: both terms are 1 - P_y + ... near P_y = 1, and the value is of second order. With l = log P_y they are
    # -l + ... and l + ... to the last digit: expm1mx(x) = e^x - 1 - x leaves them out.

    def value(self, y, f):
        s = _tempered(f, self.is_softmax, self.a, 12 if self.is_heavy else 8)
        k, power = self.k, 1.0 + self.k
        log_p = at(y, s.log_p)
        divisor = _or_one(k)
        near = expm1mx(power * log_p) / power - where(k == 0.0, 0.0, expm1mx(k * log_p) / divisor)
        far = expm1(power * log_p) / power - where(k == 0.0, log_p, expm1(k * log_p) / divisor)
        others = total(where(onehot(y, f) == 1.0, 0.0, exp(power * s.log_p)))
        return where(log_p > -1.0, near, far) + others / power

    def gradient(self, y, f):
        s = _tempered(f, self.is_softmax, self.a, 12 if self.is_heavy else 8)
        return _tempered_gradient(onehot(y, f) == 1.0, s, self.a, self.k)

    def hessian(self, y, f):
        s = _tempered(f, self.is_softmax, self.a, 12 if self.is_heavy else 8)
        kappa, escort, rest = _tempered_kappa(onehot(y, f) == 1.0, s, self.a, self.k)
        return _separable_hessian(kappa, s.leads, escort, rest)

    def gauss_newton(self, y, f):
        s = _tempered(f, self.is_softmax, self.a, 12 if self.is_heavy else 8)
        escort, rest = _escort(s)
        return _separable_hessian(_tempered_bend(onehot(y, f) == 1.0, s, self.a, self.k), s.leads, escort, rest)

    def hessian_times(self, y, f, v):
        s = _tempered(f, self.is_softmax, self.a, 12 if self.is_heavy else 8)
        kappa, escort, rest = _tempered_kappa(onehot(y, f) == 1.0, s, self.a, self.k)
        return _separable_times(kappa, s.leads, escort, rest, v)


# ---- a right class that is not known -----------------------------------------------------------------------------


def _mixture(f, weights, z):
    """l = -log <weights, P>, 0 <= weights <= 1; z = f + log(weights).

    `p`, `value`, `gradient` P - R and `posterior` R = P weights / <weights, P>, what a class has of the sum; R - P is
    P (weights - <weights, P>) / <weights, P>, which keeps its digits where R is nearly P.
    """
    s, r = softmax(f), softmax(z)
    leads = _leads(f)
    inner = total(s.p * weights)
    visible = inner > VANISHED
    value = where(inner > 0.5, -log1p(-total(s.p * (1.0 - weights))),
                  where(visible, -log(inner), s.log_sum - r.log_sum))
    slope = s.p * _centred(leads, s.p, weights) * (-1.0 / inner)
    return SimpleNamespace(p=s.p, leads=leads, value=value, r=r, r_leads=_leads(z),
                           gradient=where(visible, slope, s.p - r.p),
                           neither=where(r.p > 0.5, r.complement - s.p, s.complement - r.p))  # 1 - P - R


def _mixture_times(m, v):
    """With R = P - g: diag g + R R^T - P P^T = diag g + g g^T - g P^T - P g^T, and g sums to 0."""
    return _less_its_share(m.gradient * _centred(m.leads, m.p, v), m.r_leads, m.r.p, m.r.complement)


class ForwardCorrected(Classification):
    r"""Cross-entropy of the observed label when labels are known to be mistaken at given rates.

    l = -log sum_i P_i noise[i, y], P = softmax(f); noise[i, j] = p(j is observed | i is right).

    Targets: the observed labels. f: logits of the right class. `noise`: C x C, in [0, 1], its rows sum to 1; the unit
    matrix gives cross-entropy. Bounded where every label can be observed by mistake. Hessian: g (1 - P - R), R the
    posterior of the right class given y; of both signs.
    Patrini et al., "Making deep neural networks robust to label noise: a loss correction approach", CVPR 2017.
    """

    noise: Any = numbers(UNIT, ndim=2)
    formula = "-ln sum_i P_i noise[i, y],  P = softmax(f)"
    notes = "Rows of the matrix are right classes, columns observed ones. f stays a model of the right class."
    convex = False
    link = "softmax"
    example: ClassVar = {"noise": ((0.9, 0.05, 0.05), (0.1, 0.8, 0.1), (0.0, 0.2, 0.8))}
    claims = {"gauss_newton": {"positive": False}}  # noqa: RUF012

    def __post_init__(self):
        super().__post_init__()
        _square(self, "noise")
        for i, row_sum in enumerate(self.noise.sum(1).tolist()):
            if abs(row_sum - 1.0) > 1e-6:
                raise ValueError(f"ForwardCorrected: noise[{i}] must sum to 1 (noise[i, j] is the probability that j is "
                                 f"observed where i is right), found {row_sum!r}")

    @property
    def noise_of_label(self):
        """The transposed matrix: its row y holds the probability of observing y for each right class."""
        return self.noise.T.copy()

    def value(self, y, f):
        weights = row_of(self.noise_of_label, y)
        return _mixture(f, weights, f + log(weights)).value

    def gradient(self, y, f):
        weights = row_of(self.noise_of_label, y)
        return _mixture(f, weights, f + log(weights)).gradient

    def hessian(self, y, f):
        weights = row_of(self.noise_of_label, y)
        m = _mixture(f, weights, f + log(weights))
        return m.gradient * m.neither

    def gauss_newton(self, y, f):
        """Of <weights, P> -> -log."""
        return self.gradient(y, f) ** 2

    def hessian_times(self, y, f, v):
        weights = row_of(self.noise_of_label, y)
        return _mixture_times(_mixture(f, weights, f + log(weights)), v)


class PartialLabel(Classification):
    r"""Negative log-likelihood that the right class is one of several candidates.

    l = -log sum_(k in S) P_k, P = softmax(f), S the classes with y_k = 1.

    Targets: rows of 0 and 1, at least one 1 (else NaN); all candidates: l = 0. f: any logits.
    Hessian: g (1 - P - R), R = P within S, made to sum to 1; of both signs, a difference of two convex functions.
    Jin and Ghahramani, "Learning with multiple labels", NeurIPS 2002.
    """

    target = "row"
    y_domain = BINARY
    formula = "-ln sum_{k: y_k = 1} P_k,  P = softmax(f)"
    notes = "One candidate is cross-entropy. Which candidate is right is left to the model."
    convex = False
    link = "softmax"
    claims = {"gauss_newton": {"positive": False}}  # noqa: RUF012

    def value(self, y, f):
        return _mixture(f, y, where(y == 1.0, f, -inf)).value

    def gradient(self, y, f):
        return _mixture(f, y, where(y == 1.0, f, -inf)).gradient

    def hessian(self, y, f):
        m = _mixture(f, y, where(y == 1.0, f, -inf))
        return m.gradient * m.neither

    def gauss_newton(self, y, f):
        """Of <weights, P> -> -log."""
        return self.gradient(y, f) ** 2

    def hessian_times(self, y, f, v):
        return _mixture_times(_mixture(f, y, where(y == 1.0, f, -inf)), v)


# ---- margins and projections -------------------------------------------------------------------------------------


def _gaps(y, f, margin):
    """How much each wrong class misses the margin by."""
    return where(onehot(y, f) == 1.0, 0.0, maximum(margin + (f - at(y, f)), 0.0))


def _balanced(y, f, x):
    """x, whose element at the label is made minus the sum of the others."""
    return where(onehot(y, f) == 1.0, -total(x), x)


class MultiMargin(Classification):
    r"""Hinge loss of the right class against every other one (Weston and Watkins), as torch has it.

    l = (1/C) sum_(k != y) max(0, margin - f_y + f_k)^power.

    Targets: labels. f: any scores. `margin = 1`; `power` "1" or "2". The factor 1/C (not 1/(C - 1)) is torch's.
    Gradient at the margin itself: 0. Hessian: 0 for power 1; for power 2 that of the active terms, never negative.
    Weston and Watkins, "Support vector machines for multi-class pattern recognition", ESANN 1999.
    """

    margin: float = parameter(1.0, NON_NEGATIVE)
    power: str = choice("1", "2")
    formula = "(1/C) sum_{k≠y} max(0, margin - f_y + f_k)^power"
    notes = "Scores are no probabilities; only their order and differences are learnt."
    peers = ("torch.nn.MultiMarginLoss",)

    @property
    def smooth(self):
        return self.power == "2"

    @property
    def claims(self):
        return {"constant": None} if self.power == "1" else {}

    def value(self, y, f):
        gaps = _gaps(y, f, self.margin)
        return total(gaps if self.power == "1" else gaps**2) / size(f)

    def gradient(self, y, f):
        gaps = _gaps(y, f, self.margin)
        slope = where(gaps > 0.0, 1.0, 0.0) if self.power == "1" else 2.0 * gaps
        return _balanced(y, f, slope) * (1.0 / size(f))

    def hessian(self, y, f):
        if self.power == "1":
            return _zeros(f)
        active = where(_gaps(y, f, self.margin) > 0.0, 2.0, 0.0)
        return where(onehot(y, f) == 1.0, total(active), active) * (1.0 / size(f))

    def largest_curvature(self, y, f):
        return 2.0 + _zeros(f)

    def hessian_times(self, y, f, v):
        if self.power == "1":
            return _zeros(f)
        active = where(_gaps(y, f, self.margin) > 0.0, 2.0, 0.0)
        return _balanced(y, f, active * (v - at(y, v))) * (1.0 / size(f))


class CrammerSinger(Classification):
    r"""Hinge loss of the right class against the best wrong one.

    l = max(0, margin + max_(k != y) f_k - f_y).

    Targets: labels. f: any scores. `margin = 1`, 0 is the multiclass perceptron. Gradient where several wrong classes
    are the best: that of the first; at the margin itself: 0. Hessian: 0 everywhere.
    Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based vector machines", JMLR 2, 2001.
    """

    margin: float = parameter(1.0, NON_NEGATIVE)
    formula = "max(0, margin + max_{k≠y} f_k - f_y)"
    notes = ("Scores are no probabilities; only their order and differences are learnt. keras.losses.CategoricalHinge "
             "differs: its best wrong score is 0 where all are negative.")
    peers = ("optax.losses.multiclass_hinge_loss", "optax.losses.multiclass_perceptron_loss (margin = 0)",
             "sklearn.metrics.hinge_loss (multiclass)", "sklearn.svm.LinearSVC(multi_class='crammer_singer')")
    smooth = False

    def value(self, y, f):
        others = where(onehot(y, f) == 1.0, -inf, f)
        return maximum(self.margin + (largest(others) - at(y, f)), 0.0)

    def gradient(self, y, f):
        o = onehot(y, f)
        others = where(o == 1.0, -inf, f)
        active = self.margin + (largest(others) - at(y, f)) > 0.0
        return where(active, where(_leads(others), 1.0, 0.0) - o, 0.0)

    def hessian(self, y, f):
        return _zeros(f)


def _projection(f):
    """Sparsemax: P_k = max(0, threshold - below_k), the point of the simplex nearest to f; and its support.

    `below` is the distance from the largest logit; sorted upwards, the support is where 1 + sum_(i <= j) below_i is more
    than j below_j.
    """
    below = largest(f) - f
    ordered = sort(below)
    held = 1.0 + cumulative(ordered) > (index(f) + 1.0) * ordered
    count = total(where(held, 1.0, 0.0))
    threshold = (1.0 + total(where(held, ordered, 0.0))) / count
    return SimpleNamespace(below=below, threshold=threshold, count=count, support=below < threshold,
                           p=maximum(threshold - below, 0.0))


class Sparsemax(Classification):
    r"""The loss whose minimiser is sparsemax: probabilities some of which are exactly 0.

    l = (1/2) sum_(k in S) (f_k^2 - tau^2) + 1/2 - f_y, with P = max(0, f - tau) the projection of f on the simplex and
    S its support; 0 as soon as f_y leads by 1.

    Targets: labels. f: any scores; P is found by sorting. Computed as |P - o|^2 / 2 + max(0, tau - f_y), which is the
    same without its cancellation. Hessian: 1 - 1/|S| in the support, 0 outside; majorizer: 1.
    Martins and Astudillo, "From softmax to sparsemax", ICML 2016.
    """

    formula = "|P - o|²/2 + max(0, tau - f_y),  P = max(0, f - tau),  sum P = 1"
    notes = "Probabilities are the projection of f on the simplex, not its softmax."
    peers = ("optax.losses.multiclass_sparsemax_loss", "entmax.SparsemaxLoss")
    claims = BOUNDED_GRADIENT

    def value(self, y, f):
        q = _projection(f)
        return 0.5 * total(_balanced(y, f, where(onehot(y, f) == 1.0, 0.0, q.p)) ** 2) + maximum(
            at(y, q.below) - q.threshold, 0.0)

    def gradient(self, y, f):
        return _balanced(y, f, where(onehot(y, f) == 1.0, 0.0, _projection(f).p))

    def hessian(self, y, f):
        q = _projection(f)
        return where(q.support, 1.0 - 1.0 / q.count, 0.0)

    def hessian_times(self, y, f, v):
        q = _projection(f)
        return where(q.support, v - total(where(q.support, v, 0.0)) / q.count, 0.0)

    def majorizer(self, y, f):
        return 1.0 + _zeros(f)

    def largest_curvature(self, y, f):
        return self.majorizer(y, f)

    def optimum(self, frequencies):
        return frequencies - 1.0 / len(frequencies)
