"""Losses by the names other libraries give them, with those libraries' numbers.

`PEERS["library.name"](**parameters)` is a loss whose values, one per sample, are the peer's exact ones, clipping
included; parameters are spelt as they are there. The note says what it equals here. Of the objectives of gradient
boosting the gradient is the peer's; Hessians there change from release to release, and metrics may add constants.
A peer's mean is ours where its weights are. Row losses that need a class of their own are in `peers_rows`.
`ALIASES` has bare names that mean the same everywhere; they are ours, and clip nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module

from .domain import ABOVE_MINUS_ONE, BINARY, NON_NEGATIVE, POSITIVE, UNIT, Interval
from .loss import Elementwise, Loss, parameter
from .losses import MODULE_OF
from .vecmath import log, log1p, where

__all__ = ["ALIASES", "PEERS", "Peer"]


# ---- what other libraries clip -----------------------------------------------------------------------------------


def _machine_epsilon(x):
    """Distance from 1 to the next number of the dtype of x: 3 (4/3 - 1) misses 1 by it."""
    third = 0.0 * x + 1.3333333333333333
    return abs(3.0 * (third - 1.0) - 1.0)


class ClippedLogLoss(Elementwise):
    r"""Cross-entropy of a probability as `sklearn.metrics.log_loss` computes it: clipped away from 0 and 1.

    l = -log(clip(p_t, eps, 1 - eps)), p_t = f for y = 1 and 1 - f for y = 0; eps: the machine epsilon of the dtype.

    Domain: y 0 or 1, f in [0, 1]. No sample costs more than -log(eps) = 36.04 (float32: 15.94). Gradient and Hessian
    are those of the clipped value: 0 outside [eps, 1 - eps]. float16 is computed, and clipped, as float32.
    Bishop, "Pattern Recognition and Machine Learning", 2006, p. 209.
    """

    formula = "-ln clip(p_t, eps, 1 - eps),  p_t = f if y = 1 else 1 - f"
    notes = "eps: the machine epsilon of the predictions' dtype. BinaryCrossEntropy(from_logits=False) clips nothing."
    peers = ("sklearn.metrics.log_loss",)
    y_domain = BINARY
    pred_domain = UNIT
    smooth = False
    convex = False

    def value(self, y, f):
        eps = _machine_epsilon(f)
        p = where(y == 1.0, f, 1.0 - f)
        return -log(min(max(p, eps), 1.0 - eps))

    def gradient(self, y, f):
        eps = _machine_epsilon(f)
        p = where(y == 1.0, f, 1.0 - f)
        inside = (p >= eps) & (p <= 1.0 - eps)
        i = 1.0 / max(p, eps)
        return where(inside, where(y == 1.0, -i, i), 0.0)

    def hessian(self, y, f):
        eps = _machine_epsilon(f)
        p = where(y == 1.0, f, 1.0 - f)
        inside = (p >= eps) & (p <= 1.0 - eps)
        i = 1.0 / max(p, eps)
        return where(inside, i * i, 0.0)


class ClippedBinaryCrossEntropy(Elementwise):
    r"""Cross-entropy of a probability that is first clipped to [epsilon, 1 - epsilon], as Keras does.

    l = -y log(p) - (1 - y) log(1 - p), p = clip(f, epsilon, 1 - epsilon).

    Domain: y and f in [0, 1]. `epsilon = 1e-7` is Keras's. Gradient and Hessian are 0 where f is clipped.
    """

    epsilon: float = parameter(1e-7, Interval(0.0, 0.5))
    formula = "-y ln p - (1 - y) ln(1 - p),  p = clip(f, epsilon, 1 - epsilon)"
    notes = "BinaryCrossEntropy(from_logits=False) clips nothing."
    peers = ("keras.losses.BinaryCrossentropy",)
    y_domain = UNIT
    pred_domain = UNIT
    smooth = False
    convex = False

    def value(self, y, f):
        p = min(max(f, self.epsilon), 1.0 - self.epsilon)
        return -(y * log(p) + (1.0 - y) * log(1.0 - p))

    def gradient(self, y, f):
        p = min(max(f, self.epsilon), 1.0 - self.epsilon)
        return where(p == f, (1.0 - y) / (1.0 - p) - y / p, 0.0)

    def hessian(self, y, f):
        p = min(max(f, self.epsilon), 1.0 - self.epsilon)
        return where(p == f, (1.0 - y) / ((1.0 - p) * (1.0 - p)) + y / (p * p), 0.0)


class ClampedBinaryCrossEntropy(Elementwise):
    r"""Cross-entropy of a probability with each logarithm at least -100, as torch does.

    l = -y max(log(f), -100) - (1 - y) max(log(1 - f), -100).

    Domain: y and f in [0, 1]. The gradient is torch's, (f - y) / max(f (1 - f), 1e-12): the value's own but for f
    within 1e-12 of 0 or 1. The Hessian is the gradient's derivative.
    """

    formula = "-y max(ln f, -100) - (1 - y) max(ln(1 - f), -100)"
    notes = "BinaryCrossEntropy(from_logits=False) clamps nothing: f = 0 with y = 1 costs inf there, 100 here."
    peers = ("torch.nn.BCELoss",)
    y_domain = UNIT
    pred_domain = UNIT

    def value(self, y, f):
        return (y - 1.0) * max(log1p(-f), -100.0) - y * max(log(f), -100.0)

    def gradient(self, y, f):
        return (f - y) / max(f * (1.0 - f), 1e-12)

    def hessian(self, y, f):
        p = max(f * (1.0 - f), 1e-12)
        numerator = where(p > 1e-12, y * ((1.0 - f) * (1.0 - f)) + (1.0 - y) * (f * f), p)
        return numerator / p / p


class PoissonOfMean(Elementwise):
    r"""Poisson likelihood of a predicted mean, with epsilon inside the logarithm, as torch and Keras do.

    l = f - y log(f + epsilon), without the terms of y alone.

    Domain: y >= 0, f >= 0. `epsilon = 1e-8` is torch's, 1e-7 Keras's. The minimum is at f = y - epsilon.
    """

    epsilon: float = parameter(1e-8, POSITIVE)
    formula = "f - y ln(f + epsilon)"
    notes = "The prediction is the mean, not its logarithm (for that: Poisson)."
    peers = ("torch.nn.PoissonNLLLoss(log_input=False)", "keras.losses.Poisson")
    y_domain = NON_NEGATIVE
    pred_domain = NON_NEGATIVE

    def value(self, y, f):
        return f - y * log(f + self.epsilon)

    def gradient(self, y, f):
        return 1.0 - y / (f + self.epsilon)

    def hessian(self, y, f):
        i = 1.0 / (f + self.epsilon)
        return (y * i) * i


class XGBoostSquaredLogError(Elementwise):
    r"""Half the squared error of log(1 + f), with f and the Hessian kept away from where they degenerate.

    l = (log(1 + g) - log(1 + y))^2 / 2, g = max(f, -1 + 1e-6).

    Domain: y > -1, f any real number. The gradient is that at g, even where f is clipped; the Hessian at least 1e-6.
    """

    formula = "(ln(1 + max(f, -1 + 1e-6)) - ln(1 + y))²/2"
    notes = "Half of SquaredLogError, and nothing is clipped there."
    peers = ("xgboost.reg:squaredlogerror",)
    y_domain = ABOVE_MINUS_ONE
    convex = False

    def value(self, y, f):
        d = log1p(max(f, -0.999999)) - log1p(y)
        return 0.5 * d * d

    def gradient(self, y, f):
        g = max(f, -0.999999)
        return (log1p(g) - log1p(y)) / (1.0 + g)

    def hessian(self, y, f):
        g = max(f, -0.999999)
        i = 1.0 / (1.0 + g)
        return max((1.0 - (log1p(g) - log1p(y))) * i * i, 1e-6)


# ---- the table ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peer:
    """A loss of another library: the class here that gives its number, a note on how they compare, what its
    parameters are called there (their name -> ours), and what they are by default."""

    loss: str | type
    note: str
    takes: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, object] = field(default_factory=dict)

    def __call__(self, **parameters) -> Loss:
        for name in parameters:
            if name not in self.takes:
                known = ", ".join(map(repr, self.takes)) or "none"
                raise TypeError(f"there is no parameter {name!r}; this loss has {known}")
        cls = _class(self.loss) if isinstance(self.loss, str) else self.loss
        return cls(**self.defaults | {self.takes[name]: value for name, value in parameters.items()})


def _class(name):
    """A class of the catalogue, or of `peers_rows`."""
    return getattr(import_module(MODULE_OF.get(name) or f"{__package__}.peers_rows"), name)


def _peer(loss, note="the same", takes="", **defaults):
    """`takes` lists the peer's parameters: "delta alpha->quantile" (its name -> ours)."""
    pairs = (word.partition("->") for word in takes.split())
    return Peer(loss, note, {theirs: ours or theirs for theirs, _, ours in pairs}, defaults)


def _torch_poisson(log_input=True, eps=1e-8):
    return _class("Poisson")() if log_input else PoissonOfMean(epsilon=eps)


def _torch_multi_margin(p=1, margin=1.0, weight=None):
    return _class("WeightedMultiMargin")(power=f"{p:g}", margin=margin, weight=weight)


def _sklearn_log_loss(multiclass=False):
    return _class("ClippedClassLogLoss")() if multiclass else ClippedLogLoss()


def _sklearn_brier(multiclass=False, scale_by_half="auto"):
    if not multiclass:
        if scale_by_half not in ("auto", True):
            raise ValueError("scale_by_half=False is there for multiclass=True")
        return _class("BinaryBrier")(from_logits=False)
    return _class("ProbabilityBrier")(half={True: "always", False: "never"}.get(scale_by_half, scale_by_half))


def _sklearn_hinge(multiclass=False):
    return _class("CrammerSinger" if multiclass else "Hinge")()


def _keras_crossentropy(from_logits=False, **parameters):
    return _class("CategoricalCrossEntropy" if from_logits else "ClippedCategoricalCrossEntropy")(**parameters)


def _keras_focal(alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0):
    one = isinstance(alpha, (int, float))
    return _class("ClippedLogitFocal" if from_logits else "ClippedCategoricalFocal")(
        alpha=alpha if one else 1.0, class_alpha=None if one else alpha, gamma=gamma, label_smoothing=label_smoothing)


def _ensemble(estimator="qd"):
    if estimator not in ("nrg", "qd", "int", "pwm", "fair"):
        raise ValueError(f"estimator must be one of 'nrg', 'qd', 'int', 'pwm', 'fair' here, found {estimator!r}")
    return _class("EnsembleCRPS")(fair=estimator in ("pwm", "fair"))


def _ngboost(log_score, crp_score):
    """Both scores of a distribution there."""
    scores = {"LogScore": log_score, "CRPScore": crp_score}

    def make(score="LogScore"):
        if score not in scores:
            raise ValueError(f"score must be 'LogScore' or 'CRPScore', found {score!r}")
        return _class(scores[score])()

    return make


_CLASSES = "labels are 0 and 1 here, -1 and 1 there"
_BOOSTING = "the gradient is the same, and the Hessian"
_SOFTMAX = "on logits: the gradient is the same; its Hessian is 2 P (1 - P) (until 3.x)"
_MEAN_METRIC = "on logits: the derivatives are the same but for the sign; the metric is the mean over the columns"
_SIGN_OF_RESIDUAL = "the gradient is the same; its Hessian is 1, or depends on the release"

_SKLEARN = {
    "log_loss": _peer(_sklearn_log_loss, "probabilities clipped to [eps, 1 - eps] of their dtype; binary, or with "
                      "multiclass=True (n, C) rows, which are not normalised", "multiclass"),
    "brier_score_loss": _peer(_sklearn_brier, "squared error of probabilities; binary, or with multiclass=True (n, C) "
                              "rows, where scale_by_half='auto' halves for two classes", "multiclass scale_by_half"),
    "mean_squared_error": _peer("SquaredError"),
    "mean_absolute_error": _peer("AbsoluteError"),
    "mean_squared_log_error": _peer("SquaredLogError"),
    "mean_absolute_percentage_error": _peer("AbsolutePercentageError", "a fraction; |y| of at least 2.2e-16",
                                            epsilon=2.0**-52),
    "mean_pinball_loss": _peer("Pinball", takes="alpha->quantile", quantile=0.5),
    "mean_poisson_deviance": _peer("PoissonDeviance"),
    "mean_gamma_deviance": _peer("GammaDeviance"),
    "mean_tweedie_deviance": _peer("TweedieDeviance", "the same; by default power=0: squared error", "power",
                                   power=0.0),
    "hinge_loss": _peer(_sklearn_hinge, f"binary: {_CLASSES}; multiclass=True: (n, C) decisions (Crammer, Singer)",
                        "multiclass"),
}

_TORCH = {
    "mse_loss": _peer("SquaredError"),
    "l1_loss": _peer("AbsoluteError"),
    "smooth_l1_loss": _peer("SmoothL1", "the same for beta > 0", "beta", beta=1.0),
    "huber_loss": _peer("Huber", takes="delta", delta=1.0),
    "binary_cross_entropy": _peer(ClampedBinaryCrossEntropy, "probabilities; each logarithm is at least -100"),
    "binary_cross_entropy_with_logits": _peer("BinaryCrossEntropy", takes="pos_weight"),
    "soft_margin_loss": _peer("BinaryCrossEntropy", f"on logits; {_CLASSES}"),
    "poisson_nll_loss": Peer(_torch_poisson, "log_input=True: Poisson; else the mean, with eps; full=False",
                             {"log_input": "log_input", "eps": "eps"}),
    "cross_entropy": _peer("TorchCrossEntropy", "on logits; labels, or rows of probabilities, whose mean is over n",
                           "weight->class_weight ignore_index label_smoothing", ignore_index=-100),
    "nll_loss": _peer("LabelLogLikelihood", "of log-probabilities", "weight->class_weight ignore_index",
                      ignore_index=-100),
    "multi_margin_loss": _peer(_torch_multi_margin, "the same; the mean is over n, whatever the weights", "p margin weight"),
    "multilabel_margin_loss": _peer("MultilabelMargin", "targets are rows of 0 and 1 here, lists of labels there"),
    "multilabel_soft_margin_loss": _peer("WeightedMultilabelSoftMargin", takes="weight"),
    "kl_div": _peer("LogProbabilityKL", "of log-probabilities; the mean is reduction='batchmean', the mean of rows: 'mean' "
                    "there divides by C too", "log_target"),
    "gaussian_nll_loss": _peer("VarianceGaussianNLL", "rows are (input, var): the mean and the variance", "full eps"),
}

_KERAS = {
    "mean_squared_error": _peer("SquaredError"),
    "mean_absolute_error": _peer("AbsoluteError"),
    "huber": _peer("Huber", takes="delta", delta=1.0),
    "log_cosh": _peer("LogCosh"),
    "hinge": _peer("Hinge", "labels 0 and 1, which Keras turns into -1 and 1"),
    "squared_hinge": _peer("SquaredHinge", "labels 0 and 1, which Keras turns into -1 and 1"),
    "binary_crossentropy": _peer(ClippedBinaryCrossEntropy, "probabilities, clipped to [1e-7, 1 - 1e-7]",
                                 epsilon=1e-7),
    "poisson": _peer(PoissonOfMean, "the prediction is the mean; 1e-7 inside the logarithm", epsilon=1e-7),
    "categorical_crossentropy": _peer(_keras_crossentropy, "rows of probabilities, divided by their sum and clipped to "
                                      "[1e-7, 1 - 1e-7]; from_logits=True: nothing is clipped",
                                      "from_logits label_smoothing"),
    "sparse_categorical_crossentropy": _peer(_keras_crossentropy, "labels; else as categorical_crossentropy",
                                             "from_logits ignore_class->ignore_index"),
    "categorical_focal_crossentropy": _peer(_keras_focal, "rows of probabilities, divided by their sum and clipped to "
                                            "[1e-7, 1 - 1e-7]; from_logits=True clips too",
                                            "alpha gamma from_logits label_smoothing"),
    "kl_divergence": _peer("ClippedKL", "of probabilities, targets and predictions clipped to [1e-7, 1]"),
    "categorical_hinge": _peer("CategoricalHinge", "the same; targets are rows, or labels here"),
}

_OPTAX = {
    "squared_error": _peer("SquaredError"),
    "l2_loss": _peer("HalfSquaredError"),
    "huber_loss": _peer("Huber", takes="delta", delta=1.0),
    "log_cosh": _peer("LogCosh"),
    "sigmoid_binary_cross_entropy": _peer("BinaryCrossEntropy"),
    "sigmoid_focal_loss": _peer("BinaryFocal", "the same for labels 0 and 1", "alpha gamma", gamma=2.0),
    "hinge_loss": _peer("Hinge", _CLASSES),
    "perceptron_loss": _peer("Perceptron", _CLASSES),
    "softmax_cross_entropy": _peer("CategoricalCrossEntropy", "on logits; rows of any sum"),
    "softmax_cross_entropy_with_integer_labels": _peer("CategoricalCrossEntropy", "on logits; labels"),
    "poly_loss_cross_entropy": _peer("Poly1", "labels here, their one-hot rows there", "epsilon", epsilon=2.0),
    "kl_divergence": _peer("LogProbabilityKL", "of log-probabilities"),
    "kl_divergence_with_log_targets": _peer("LogProbabilityKL", "of log-probabilities, both", log_target=True),
    "multiclass_hinge_loss": _peer("CrammerSinger", margin=1.0),
    "multiclass_perceptron_loss": _peer("CrammerSinger", margin=0.0),
    "multiclass_sparsemax_loss": _peer("Sparsemax"),
}

_XGBOOST = {
    "reg:squarederror": _peer("HalfSquaredError", _BOOSTING),
    "reg:absoluteerror": _peer("AbsoluteError", _SIGN_OF_RESIDUAL),
    "reg:pseudohubererror": _peer("PseudoHuber", _BOOSTING, "huber_slope->delta", delta=1.0),
    "reg:squaredlogerror": _peer(XGBoostSquaredLogError, f"{_BOOSTING}; f and Hessian clipped"),
    "reg:quantileerror": _peer("Pinball", _SIGN_OF_RESIDUAL, "quantile_alpha->quantile"),
    "reg:logistic": _peer("BinaryCrossEntropy", f"on logits: {_BOOSTING}", "scale_pos_weight->pos_weight"),
    "reg:gamma": _peer("Gamma", f"log link: {_BOOSTING}"),
    "reg:tweedie": _peer("Tweedie", f"log link: {_BOOSTING}; the metric drops a constant",
                         "tweedie_variance_power->power", power=1.5),
    "binary:logistic": _peer("BinaryCrossEntropy", f"on logits: {_BOOSTING}", "scale_pos_weight->pos_weight"),
    "binary:logitraw": _peer("BinaryCrossEntropy", f"on logits: {_BOOSTING}", "scale_pos_weight->pos_weight"),
    "binary:hinge": _peer("Hinge", _SIGN_OF_RESIDUAL),
    "count:poisson": _peer("Poisson", "log link: the gradient is the same; the Hessian there is exp(max_delta_step) "
                           "times larger"),
    "multi:softprob": _peer("CategoricalCrossEntropy", _SOFTMAX),
    "multi:softmax": _peer("CategoricalCrossEntropy", _SOFTMAX),
}

_LIGHTGBM = {
    "regression": _peer("HalfSquaredError", f"{_BOOSTING}; the metric l2 is SquaredError"),
    "regression_l1": _peer("AbsoluteError", _SIGN_OF_RESIDUAL),
    "huber": _peer("Huber", _SIGN_OF_RESIDUAL, "alpha->delta", delta=0.9),
    "fair": _peer("Fair", _BOOSTING, "fair_c->c", c=1.0),
    "poisson": _peer("Poisson", "log link: the gradient is the same; the Hessian there is exp(0.7) times larger"),
    "quantile": _peer("Pinball", _SIGN_OF_RESIDUAL, "alpha->quantile", quantile=0.9),
    "mape": _peer("AbsolutePercentageError", "the gradient is the same: |y| of at least 1", epsilon=1.0),
    "gamma": _peer("Gamma", f"log link: {_BOOSTING}"),
    "tweedie": _peer("Tweedie", f"log link: {_BOOSTING}; the metric drops a constant",
                     "tweedie_variance_power->power", power=1.5),
    "binary": _peer("BinaryCrossEntropy", f"on logits, sigmoid=1: {_BOOSTING}", "scale_pos_weight->pos_weight"),
    "cross_entropy": _peer("BinaryCrossEntropy", f"on logits, soft targets: {_BOOSTING}"),
    "multiclass": _peer("CategoricalCrossEntropy", "on logits: the gradient is the same; its Hessian is "
                        "C/(C - 1) P (1 - P)"),
    "multiclassova": _peer("OneVersusAll", f"on logits, sigmoid=1: {_BOOSTING}"),
}

_CATBOOST = {
    "RMSE": _peer("HalfSquaredError", "the derivatives are the same but for the sign; the metric is the root of the "
                  "mean SquaredError"),
    "MAE": _peer("AbsoluteError"),
    "Quantile": _peer("Pinball", takes="alpha->quantile", quantile=0.5),
    "Huber": _peer("Huber", "the same; delta has no default there", "delta"),
    "Expectile": _peer("Expectile", takes="alpha->quantile", quantile=0.5),
    "LogCosh": _peer("LogCosh"),
    "Lq": _peer("Lq", "the same; q has no default there", "q"),
    "MAPE": _peer("AbsolutePercentageError", "|y| of at least 1", epsilon=1.0),
    "Poisson": _peer("Poisson", "log link"),
    "Tweedie": _peer("Tweedie", "log link: the derivatives are the same; the metric drops a constant; variance_power has no "
                     "default there", "variance_power->power"),
    "Logloss": _peer("BinaryCrossEntropy", "on logits"),
    "CrossEntropy": _peer("BinaryCrossEntropy", "on logits, soft targets"),
    "Focal": _peer("BinaryFocal", "on logits; its parameters have no defaults there",
                   "focal_alpha->alpha focal_gamma->gamma"),
    "MultiClass": _peer("CategoricalCrossEntropy", "on logits"),
    "MultiClassOneVsAll": _peer("OneVersusAll", _MEAN_METRIC),
    "MultiLogloss": _peer("MultilabelBinaryCrossEntropy", _MEAN_METRIC),
    "MultiCrossEntropy": _peer("MultilabelBinaryCrossEntropy", _MEAN_METRIC),
    "RMSEWithUncertainty": _peer("GaussianNLL", "rows are (mean, ln sigma): the metric is the same; the derivative by "
                                 "the mean there is sigma² times ours"),
}

_ON_SCALE = "rows are (location, scale)"

_SCORINGRULES = {
    "crps_normal": _peer("ScaleGaussianCRPS", _ON_SCALE),
    "crps_laplace": _peer("ScaleLaplaceCRPS", _ON_SCALE),
    "crps_logistic": _peer("ScaleLogisticCRPS", _ON_SCALE),
    "crps_lognormal": _peer("ScaleLogNormalCRPS", f"{_ON_SCALE} of ln y"),
    "crps_ensemble": _peer(_ensemble, "the same for two members and more of equal weight; 'akr' is not here",
                           "estimator"),
    "logs_normal": _peer("ScaleGaussianNLL", _ON_SCALE),
    "logs_laplace": _peer("ScaleLaplaceNLL", _ON_SCALE),
    "logs_logistic": _peer("ScaleLogisticNLL", _ON_SCALE),
    "logs_lognormal": _peer("ScaleLogNormalNLL", f"{_ON_SCALE} of ln y"),
    "interval_score": _peer("WinklerScore", "rows are (lower, upper); alpha has no default there", "alpha"),
    "weighted_interval_score": _peer("WeightedIntervalScore", "rows are the median, then lower and upper for each alpha; "
                                     "canonical weights", "alpha->alphas"),
}

_PROPERSCORING = {
    "crps_gaussian": _peer("ScaleGaussianCRPS", _ON_SCALE),
    "crps_ensemble": _peer("EnsembleCRPS", "the same for equal weights"),
}

_NGBOOST = {
    "Normal": _peer(_ngboost("GaussianNLL", "GaussianCRPS"), "rows are (loc, ln scale); the natural gradient of the CRPS "
                    "there is off by a factor scale", "score"),
    "Laplace": _peer(_ngboost("LaplaceNLL", "LaplaceCRPS"), "rows are (loc, ln scale); the gradient of the CRPS there lacks "
                     "-3/4 scale by ln scale", "score"),
    "LogNormal": _peer("LogNormalNLL", "rows are (loc, ln scale) of ln y; LogScore, nothing censored"),
    "TFixedDf": _peer("StudentTNLL", "rows are (loc, ln scale), 3 degrees of freedom; the natural gradient by ln scale is "
                      "another", df=3.0),
}

PEERS: dict[str, Peer] = {
    f"{library}.{name}": peer
    for library, table in (("sklearn", _SKLEARN), ("torch", _TORCH), ("keras", _KERAS), ("optax", _OPTAX),
                           ("xgboost", _XGBOOST), ("lightgbm", _LIGHTGBM), ("catboost", _CATBOOST),
                           ("scoringrules", _SCORINGRULES), ("properscoring", _PROPERSCORING), ("ngboost", _NGBOOST))
    for name, peer in table.items()
}
"""What `get` makes of a name with the library in front."""

ALIASES: dict[str, Peer] = {
    "mse": _peer("SquaredError", "(f - y)²"),
    "mae": _peer("AbsoluteError", "|f - y|"),
    "mape": _peer("AbsolutePercentageError", "a fraction, not per cent", "epsilon"),
    "smape": _peer("SymmetricAbsolutePercentageError", "2 |f - y|/(|y| + |f|), a fraction between 0 and 2"),
    "msle": _peer("SquaredLogError", "(ln(1 + f) - ln(1 + y))²"),
    "log_loss": _peer("BinaryCrossEntropy", "of probabilities; nothing is clipped: certain and wrong costs inf",
                      "pos_weight label_smoothing", from_logits=False),
    "brier": _peer("BinaryBrier", "squared error of a probability", from_logits=False),
    "bce_with_logits": _peer("BinaryCrossEntropy", "of raw scores", "pos_weight label_smoothing"),
    "cross_entropy": _peer("CategoricalCrossEntropy", "of rows of raw scores; labels, or rows of probabilities",
                           "class_weight ignore_index label_smoothing"),
    "kl_divergence": _peer("KullbackLeibler", "of rows of raw scores, from rows of probabilities"),
    "crps_gaussian": _peer("GaussianCRPS", "rows are (location, ln scale)"),
    **_XGBOOST,
}
"""Bare names: ours, clipping nothing, and XGBoost's objectives, which no one else's names look like."""
