"""Distances between two distributions over the same C outcomes: a target row q and P = softmax(f) of a row of logits.

A divergence here is a function L(P) of the probabilities. In the logits its gradient is P (u - <P, u>) with u = dL/dP:
the covariance of u and the outcome. Written with a = P u it has no 1 / P, and `without_own` keeps the digits of an outcome
that has nearly all probability.
"""

from __future__ import annotations

from ..curvatures import BOUNDED_GRADIENT
from ..domain import NON_NEGATIVE, POSITIVE, REAL, UNIT
from ..loss import Rowwise, parameter
from ..rowmath import (
    at,
    cumulative,
    first_largest,
    index,
    log,
    log1p,
    log1pmx,
    minimum,
    reverse_cumulative,
    size,
    softmax,
    sqrt,
    total,
    where,
)

__all__ = ["Distillation", "Hellinger", "JensenShannon", "KullbackLeibler", "ReverseKL", "Wasserstein1D"]


def without_own(f, x):
    """For each k the sum of x without x_k; for the largest logit, whose x_k may be nearly all, added up without it."""
    leads = index(f) == first_largest(f)
    return where(leads, total(where(leads, 0.0, x)), total(x) - x)


def centred(s, f, a):
    """a - P sum(a), to its last digits where one P_k is nearly 1: the gradient of a loss with P dL/dP = a."""
    return s.complement * a - s.p * without_own(f, a)


def _excess(s, q, rest, mass):
    """mass P - q, from both rows' distances to the whole (`rest` = mass - q) where P is nearly 1."""
    return where(s.p > 0.5, rest - mass * s.complement, mass * s.p - q)


def _spread(s, f, c):
    """The diagonal of J^T diag(psi'') J, J the derivative of P, for c = P^2 psi''."""
    return s.complement**2 * c + s.p**2 * without_own(f, c)


class _Divergence(Rowwise):
    """L = sum_k psi_k(P_k). A subclass says what P psi'(P) and P^2 psi''(P) are: neither has a pole at P = 0."""

    target = "row"
    y_domain = UNIT
    link = "softmax"
    convex = False

    def gradient(self, y, f):
        s = softmax(f)
        a, _ = self.slopes(y, s)
        return centred(s, f, a)

    def hessian(self, y, f):
        s = softmax(f)
        a, c = self.slopes(y, s)
        return (s.complement - s.p) * centred(s, f, a) + _spread(s, f, c)

    def gauss_newton(self, y, f):
        s = softmax(f)
        return _spread(s, f, self.slopes(y, s)[1])

    def hessian_times(self, y, f, v):
        s = softmax(f)
        a, c = self.slopes(y, s)
        w = s.complement * v - without_own(f, s.p * v)  # v - <P, v>
        return w * (centred(s, f, a) + c) - s.p * total(w * (a + c))


class KullbackLeibler(Rowwise):
    r"""Kullback-Leibler divergence of the prediction from a soft target: cross-entropy less the entropy of the target.

    l = sum_k q_k ln(q_k / P_k), P = softmax(f), natural logarithm, in nats; q_k = 0 adds nothing.

    Domain: y = q a row of C numbers >= 0, f a row of C logits (-inf where q is 0 is fine). Rows are used as they are: where
    the sum of q is not 1 the value may be negative and the gradient is (sum q) P - q.
    Mean: per sample, torch's reduction="batchmean"; torch's "mean" divides by n C, which is no divergence.
    Hessian: (sum q) P (1 - P), never negative. Majorizer: (sum q) / 2 (Böhning's bound).
    Kullback and Leibler, "On information and sufficiency", Ann. Math. Stat. 22, 1951.
    """

    target = "row"
    y_domain = NON_NEGATIVE
    link = "softmax"
    formula = "sum_k q_k ln(q_k / P_k),  P = softmax(f)"
    notes = ("torch takes log-probabilities as the first argument, and its reduction='mean' divides by n C: the divergence "
             "is 'batchmean'. The entropy of q is part of the value: it is 0 at P = q.")
    peers = ("torch.nn.KLDivLoss (batchmean, on log_softmax)", "scipy.special.rel_entr", "scipy.stats.entropy(q, p)",
             "keras.losses.KLDivergence (on probabilities)", "optax.losses.kl_divergence")
    strict = True
    claims = BOUNDED_GRADIENT

    def value(self, y, f):
        return at(y, log(y) - softmax(f).log_p)

    def gradient(self, y, f):
        mass = total(y)
        return _excess(softmax(f), y, mass - y, mass)

    def hessian(self, y, f):
        s = softmax(f)
        return total(y) * (s.p * s.complement)

    def fisher_diagonal(self, y, f):
        return self.hessian(y, f)

    def hessian_times(self, y, f, v):
        s = softmax(f)
        return total(y) * centred(s, f, s.p * v)

    def majorizer(self, y, f):
        return where(f == f, 0.5 * total(y), 0.0)

    def largest_curvature(self, y, f):
        return self.majorizer(y, f)


class Distillation(Rowwise):
    r"""Knowledge distillation: the divergence of a student's logits from a teacher's, both softened by a temperature.

    l = T^2 sum_k Q_k ln(Q_k / P_k), Q = softmax(y / T), P = softmax(f / T), T = `temperature`.

    Domain: y a row of C logits of the teacher (no probabilities), f a row of C logits of the student.
    `temperature = 2`: 1 is the plain divergence, large T compares the logits themselves (Hinton et al. use 1 to 20). The
    factor T^2 is theirs: gradients T (P - Q) keep their size whatever T is; implementations often leave it to the user.
    Hessian: P (1 - P), never negative. Majorizer: 1/2 (Böhning's bound).
    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", NIPS workshop 2014, arXiv:1503.02531.
    """

    temperature: float = parameter(2.0, POSITIVE)
    target = "row"
    y_domain = REAL
    link = "softmax"
    formula = "T² sum_k Q_k ln(Q_k / P_k),  Q = softmax(y/T),  P = softmax(f/T)"
    notes = "The target is a row of logits. The inverse link is softmax(f), at temperature 1."
    peers = ("torch.nn.KLDivLoss(batchmean)(log_softmax(f / T), softmax(y / T)) * T**2",)
    strict = True
    claims = BOUNDED_GRADIENT

    def value(self, y, f):
        s, t = softmax(f / self.temperature), softmax(y / self.temperature)
        return self.temperature**2 * at(t.p, t.log_p - s.log_p)

    def gradient(self, y, f):
        s, t = softmax(f / self.temperature), softmax(y / self.temperature)
        return self.temperature * _excess(s, t.p, t.complement, 1.0)

    def hessian(self, y, f):
        s = softmax(f / self.temperature)
        return s.p * s.complement

    def hessian_times(self, y, f, v):
        z = f / self.temperature
        s = softmax(z)
        return centred(s, z, s.p * v)

    def majorizer(self, y, f):
        return where(f == f, 0.5, 0.0)

    def largest_curvature(self, y, f):
        return self.majorizer(y, f)


class ReverseKL(_Divergence):
    r"""Kullback-Leibler divergence the other way round: it punishes probability where the target has none.

    l = sum_k P_k ln(P_k / q_k), P = softmax(f), natural logarithm; P_k = 0 adds nothing.

    Domain: y = q a row of C numbers >= 0, used as they are, f a row of C logits. Where q_k = 0 and P_k > 0 the value is inf,
    and the gradient is not finite either: give such outcomes a small probability, or a logit of -inf.
    Mode-seeking: P may ignore outcomes of q. Gradient: P (u - <P, u>), u = ln(P / q), bounded in P.
    Hessian: exact, negative where ln(P / q) is far from its mean. Not convex in f.
    Kullback and Leibler, "On information and sufficiency", Ann. Math. Stat. 22, 1951.
    """

    y_domain = NON_NEGATIVE
    formula = "sum_k P_k ln(P_k / q_k),  P = softmax(f)"
    notes = "inf where q_k = 0 and P_k > 0: nothing is clipped."
    peers = ("torch.nn.KLDivLoss with arguments exchanged", "scipy.special.rel_entr(p, q)", "scipy.stats.entropy(p, q)")

    def value(self, y, f):
        a, _ = self.slopes(y, softmax(f))
        return total(a)

    def slopes(self, y, s):
        return where(s.p == 0.0, 0.0, s.p * (s.log_p - log(y))), s.p  # the constant 1 in psi' changes nothing


class JensenShannon(_Divergence):
    r"""Jensen-Shannon divergence: mean divergence of two distributions from their mixture, symmetric and bounded.

    l = 1/2 sum_k [P_k ln(2 P_k / (P_k + q_k)) + q_k ln(2 q_k / (P_k + q_k))], P = softmax(f), 0 ln 0 = 0.

    Domain: y = q a row of C probabilities (their sum is not checked), f a row of C logits. Natural logarithm: the value lies
    in [0, ln 2]; base 2 divides by ln 2. Its square root is a metric, and what scipy's `jensenshannon` returns.
    Gradient: P (u - <P, u>), u = 1/2 ln(2 P / (P + q)). Hessian: exact, negative where P is far from q.
    Lin, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37, 1991.
    """

    formula = "½ sum_k [P_k ln(2 P_k/(P_k + q_k)) + q_k ln(2 q_k/(P_k + q_k))],  P = softmax(f)"
    notes = "scipy returns the square root, and normalises both rows first."
    peers = ("scipy.spatial.distance.jensenshannon ** 2",)

    def value(self, y, f):
        # (P + q)/4 h(t), t = (P - q)/(P + q), h = (1 + t) ln(1 + t) + (1 - t) ln(1 - t) = t^2 + ...: of the textbook's
        # terms +-t + t^2/2 nothing would be left where P is near q.
        p = softmax(f).p
        t = (p - y) / where(p + y == 0.0, 1.0, p + y)
        bend = _times_log1pmx(t) + _times_log1pmx(-t)
        return 0.25 * total((p + y) * (2.0 * (t * t) + bend))

    def slopes(self, y, s):
        # ln(2 P / (P + q)) = -ln(1 + gap), right where P is near q and where it is far less; a subnormal P overflows
        gap = minimum(0.5 * ((y - s.p) / s.p), 1e38)
        a = where(s.p == 0.0, 0.0, -0.5 * (s.p * log1p(gap)))
        both = s.p + y
        return a, 0.5 * (s.p * (y / where(both == 0.0, 1.0, both)))


def _times_log1pmx(t):
    """(1 + t) (ln(1 + t) - t), 0 at t = -1."""
    return where(t == -1.0, 0.0, (1.0 + t) * log1pmx(t))


class Hellinger(_Divergence):
    r"""Squared Hellinger distance: half the squared distance between the roots of two distributions.

    l = 1/2 sum_k (sqrt P_k - sqrt q_k)^2 = 1 - sum_k sqrt(P_k q_k) for distributions, P = softmax(f).

    Domain: y = q a row of C probabilities (their sum is not checked), f a row of C logits; the value lies in [0, 1] and is
    computed from the differences, so it keeps its digits near 0, where 1 - sum sqrt(P q) has none.
    Gradient: P sum_j sqrt(P_j q_j) / 2 - sqrt(P q) / 2. Hessian: exact, negative where P is far from q.
    Hellinger, "Neue Begründung der Theorie quadratischer Formen von unendlichvielen Veränderlichen", J. reine angew. Math.
    136, 1909.
    """

    formula = "½ sum_k (√P_k - √q_k)²,  P = softmax(f)"
    notes = "The squared distance, with the factor 1/2; the distance itself is its root."

    def value(self, y, f):
        d = sqrt(softmax(f).p) - sqrt(y)
        return 0.5 * total(d * d)

    def slopes(self, y, s):
        root, target = sqrt(s.p), sqrt(y)
        return 0.5 * (root * (root - target)), 0.25 * (root * target)


class Wasserstein1D(_Divergence):
    r"""Earth mover's distance between histograms on a line: how much probability must be moved, times how far.

    l = w sum_(k < C-1) |F_k - G_k|, F and G the cumulative sums of P = softmax(f) and of q, w = `bin_width`.

    Domain: y = q a row of C probabilities of bins in their order (their sum is not checked: the last bin has what the others
    leave), f a row of C logits. `bin_width = 1`: the distance of neighbouring bins.
    Kinks where F_k = G_k (there sign(0) = 0). Gradient: P (u - <P, u>), u_j = w sum_(k >= j) sign(F_k - G_k).
    Hessian: exact where it exists; often negative, since L is piecewise linear in P. Squares instead of |.|, and a
    label as target: `RankedProbabilityScore`.
    Vaserstein 1969; Werman, Peleg and Rosenfeld, "A distance metric for multidimensional histograms", CVGIP 32, 1985.
    """

    bin_width: float = parameter(1.0, POSITIVE)
    smooth = False
    formula = "w sum_(k<C-1) |F_k - G_k|,  F = cumsum softmax(f),  G = cumsum q,  w = bin_width"
    peers = ("scipy.stats.wasserstein_distance (with the bins' positions as values, P and q as weights)",)
    claims = {"gauss_newton": None}  # noqa: RUF012

    def surplus(self, y, s):
        """F - G but for the last bin: what must be moved to the right across each border."""
        return where(index(y) < size(y) - 1, cumulative(_excess(s, y, 1.0 - y, 1.0)), 0.0)

    def value(self, y, f):
        return self.bin_width * total(abs(self.surplus(y, softmax(f))))

    def slopes(self, y, s):
        d = self.surplus(y, s)
        u = reverse_cumulative(where(d > 0.0, 1.0, where(d < 0.0, -1.0, 0.0)))
        return self.bin_width * (s.p * u), 0.0 * s.p
