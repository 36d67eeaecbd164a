"""Losses of several yes-no labels per sample: y a row of C labels, f a row of C logits.

y_k = 1 where label k applies, 0 where it does not, NaN where nobody knows: an unknown label adds nothing to the value, and
its gradient and Hessian are 0.
"""

from __future__ import annotations

from math import inf
from types import SimpleNamespace
from typing import Any

from ..curvatures import BOUNDED_GRADIENT
from ..domain import BINARY, NON_NEGATIVE, POSITIVE, REAL, UNIT, Interval
from ..loss import Rowwise, numbers, parameter
from ..rowmath import (
    exp,
    exp_neg,
    first_largest,
    index,
    largest,
    log1p,
    log1p_unit,
    maximum,
    paired_total,
    pow,
    sigmoid,
    size,
    tanh,
    total,
    where,
)

__all__ = ["ZLPR", "AsymmetricLoss", "MultilabelBinaryCrossEntropy", "MultilabelMargin", "MultilabelSoftMargin"]


def _known(y, x):
    """x where the label is known, else 0."""
    return where(y == y, x, 0.0)


def _times(weight, x):
    """weight x, where weight 0 wins over an infinite x."""
    return where(weight == 0.0, 0.0, weight * x)


def _cross_entropy(y, f, pos_weight):
    """Of each label the cross-entropy -w y ln p - (1 - y) ln(1 - p), its two derivatives, a parabola above it, and its
    largest Hessian.

    As in `BinaryCrossEntropy`: from e = e^-|f| and the weight of the answer that f speaks against.
    """
    positive, negative = y if pos_weight is None else pos_weight * y, 1.0 - y
    both = 1.0 if pos_weight is None else positive + negative
    a = abs(f)
    e = exp_neg(a)
    inverse = 1.0 / (1.0 + e)
    wrong = where(f > 0.0, negative, positive)
    slope = wrong - both * (e * inverse)
    far = maximum(a, 1e-8)  # the limit 1/4 at 0
    return SimpleNamespace(
        value=_known(y, _times(wrong, a) + both * log1p_unit(e)),
        gradient=_known(y, where(f > 0.0, slope, -slope)),
        hessian=_known(y, both * (e * (inverse * inverse))),
        majorizer=_known(y, both * (0.5 * (tanh(0.5 * far) / far))),
        largest=_known(y, 0.25 * both),
    )


class _Multilabel(Rowwise):
    target = "row"
    unknown_targets = True
    y_domain = BINARY
    link = "logit"


class MultilabelBinaryCrossEntropy(_Multilabel):
    r"""Binary cross-entropy of every label, summed over the labels of a sample.

    l = sum_k [-w_k y_k ln p_k - (1 - y_k) ln(1 - p_k)], p = sigma(f).

    Domain: y a row of C numbers in [0, 1] (soft labels are fine) or NaN (unknown: adds nothing), f a row of C logits.
    `pos_weight = None`: an array of C factors w_k of the positive term (none: 1). They shift the optimal logit by ln w_k.
    Mean: over samples of the SUM over labels, the joint likelihood; torch and Keras average over all n C elements.
    Hessian: (w y + 1 - y) p (1 - p), never negative. Majorizer: Jaakkola and Jordan's bound.
    Good, "Rational decisions", J. R. Stat. Soc. B 14, 1952.
    """

    pos_weight: Any = numbers(POSITIVE, default=None)
    y_domain = UNIT
    formula = "sum_k [-w_k y_k ln p_k - (1 - y_k) ln(1 - p_k)],  p = 1/(1 + e^-f)"
    notes = ("The sum over labels: torch's and Keras' means divide by the number of labels too. NaN labels are unknown, "
             "where torch returns NaN.")
    peers = ("torch.nn.BCEWithLogitsLoss(reduction='none').sum(1)", "keras.losses.BinaryCrossentropy (mean)",
             "catboost MultiLogloss, MultiCrossEntropy (mean)", "xgboost binary:logistic with 2-D labels")
    strict = True
    claims = BOUNDED_GRADIENT

    def value(self, y, f):
        return total(_cross_entropy(y, f, self.pos_weight).value)

    def gradient(self, y, f):
        return _cross_entropy(y, f, self.pos_weight).gradient

    def hessian(self, y, f):
        return _cross_entropy(y, f, self.pos_weight).hessian

    def fisher_diagonal(self, y, f):
        return self.hessian(where(y == y, sigmoid(f), y), f)  # linear in the labels, whose mean is p

    def hessian_times(self, y, f, v):
        return _cross_entropy(y, f, self.pos_weight).hessian * v

    def majorizer(self, y, f):
        return _cross_entropy(y, f, self.pos_weight).majorizer

    def largest_curvature(self, y, f):
        return _cross_entropy(y, f, self.pos_weight).largest


class MultilabelSoftMargin(_Multilabel):
    r"""Binary cross-entropy of every label, averaged over the known labels of a sample.

    l = 1/K sum_k [-y_k ln p_k - (1 - y_k) ln(1 - p_k)], p = sigma(f), K the number of known labels.

    Domain: y a row of C numbers in [0, 1] or NaN (unknown), f a row of C logits. A row of unknown labels only costs 0.
    A sample counts as much as any other however many of its labels are known: that is the difference to
    `MultilabelBinaryCrossEntropy`, where each label does.
    Hessian: p (1 - p) / K, never negative. Majorizer: Jaakkola and Jordan's bound (2000).
    torch.nn.MultiLabelSoftMarginLoss.
    """

    y_domain = UNIT
    formula = "1/K sum_k [-y_k ln p_k - (1 - y_k) ln(1 - p_k)],  p = 1/(1 + e^-f),  K known labels"
    peers = ("torch.nn.MultiLabelSoftMarginLoss",)
    strict = True
    claims = BOUNDED_GRADIENT

    def share(self, y):
        return 1.0 / maximum(total(where(y == y, 1.0, 0.0)), 1.0)

    def value(self, y, f):
        return self.share(y) * total(_cross_entropy(y, f, None).value)

    def gradient(self, y, f):
        return self.share(y) * _cross_entropy(y, f, None).gradient

    def hessian(self, y, f):
        return self.share(y) * _cross_entropy(y, f, None).hessian

    def fisher_diagonal(self, y, f):
        return self.hessian(where(y == y, sigmoid(f), y), f)  # linear in the labels, whose mean is p

    def hessian_times(self, y, f, v):
        return self.share(y) * _cross_entropy(y, f, None).hessian * v

    def majorizer(self, y, f):
        return self.share(y) * _cross_entropy(y, f, None).majorizer

    def largest_curvature(self, y, f):
        return self.share(y) * _cross_entropy(y, f, None).largest


class AsymmetricLoss(_Multilabel):
    r"""Focal loss of every label with its own exponents for present and absent ones, and a shift for the absent.

    l = sum over y = 1 of -(1 - p)^gamma_pos ln p, plus sum over y = 0 of -p_m^gamma_neg ln(1 - p_m),
    p = sigma(f), p_m = max(p - clip, 0).

    Domain: y a row of 0 and 1, or NaN (unknown: adds nothing), f a row of C logits.
    `gamma_neg = 4`, `gamma_pos = 1`: how fast easy labels fade (0: not at all); `clip = 0.05`: absent labels with a smaller
    p cost nothing, and their gradient and Hessian are 0. These are the defaults of the authors' code.
    Smooth but for gamma_neg = 0 with clip > 0 (a kink at p = clip); for 0 < gamma_neg < 1 the Hessian is unbounded there.
    Hessian: exact, negative on hard labels (a confident and wrong f). Not a proper score.
    Ridnik, Ben-Baruch, Zamir, Noy, Friedman, Protter and Zelnik-Manor, "Asymmetric loss for multi-label
    classification", ICCV 2021.
    """

    gamma_neg: float = parameter(4.0, NON_NEGATIVE)
    gamma_pos: float = parameter(1.0, NON_NEGATIVE)
    clip: float = parameter(0.05, Interval(0.0, 1.0, low_closed=True))
    formula = "sum_k -(1 - p)^γ₊ ln p if y = 1 else -p_m^γ₋ ln(1 - p_m),  p_m = max(p - clip, 0)"
    notes = ("timm clamps the arguments of the logarithms at 1e-8: its value ends at 18.4 and its gradient dies there; "
             "nothing is clamped here. timm sums over the whole batch. timm's other option, "
             "disable_torch_grad_focal_loss, takes the focal factor as a constant: that gradient is no derivative.")
    peers = ("timm.loss.AsymmetricLossMultiLabel (sum over the batch)",)

    @property
    def convex(self):
        return self.gamma_neg == 0 and self.gamma_pos == 0 and self.clip == 0

    @property
    def smooth(self):
        return self.gamma_neg > 0 or self.clip == 0

    @property
    def strict(self):
        return self.convex

    @property
    def claims(self):
        return {"gauss_newton": {"positive": self.clip == 0}, "bounded": {"positive": self.clip == 0}}

    def parts(self, y, f):
        """Both kinds of label as one: L = u^g S of P = sigma(m), what the wrong answer got, Q = 1 - P, u = max(P - c, 0).

        S = -ln(1 - u) = ln(1 + u / (Q + c)); plain (c = 0) ln(1 + e^m), which cannot overflow. `b` is P / u and `d`
        c / (Q + c), `a` = 1 - d; a plain label has b = a = 1 and d = 0 even where P or Q is 0 in floating point.
        """
        c = where(y == 1.0, 0.0, self.clip)
        plain = c == 0.0
        m = where(y == 1.0, -f, f)
        e = exp_neg(abs(f))
        inverse = 1.0 / (1.0 + e)
        P, Q = where(m > 0.0, inverse, e * inverse), where(m > 0.0, e * inverse, inverse)
        u = maximum(P - c, 0.0)
        r = 1.0 / where(plain, 1.0, Q + c)
        gamma = where(y == 1.0, self.gamma_pos, self.gamma_neg)
        return SimpleNamespace(
            P=P, Q=Q, gamma=gamma, power=pow(u, gamma), live=plain | (u > 0.0),
            S=where(plain, maximum(m, 0.0), 0.0) + log1p(where(plain, e, u * r)),
            b=where(plain, 1.0, P / where(u == 0.0, 1.0, u)), a=where(plain, 1.0, Q * r), d=c * r,
        )

    def value(self, y, f):
        k = self.parts(y, f)
        return total(_known(y, k.power * k.S))

    def gradient(self, y, f):
        k = self.parts(y, f)
        slope = where(k.live, k.power * (k.gamma * (k.b * _times(k.Q, k.S)) + k.P * k.a), 0.0)
        return _known(y, where(y == 1.0, -slope, slope))

    def hessian(self, y, f):
        k = self.parts(y, f)
        Qb, Pa = k.Q * k.b, k.P * k.a
        focus = k.gamma * ((k.b * _times(k.Q, k.S)) * ((k.gamma - 1.0) * Qb + (k.Q - k.P)) + 2.0 * (Qb * Pa))
        return _known(y, where(k.live, k.power * (focus + Pa * (k.Q - k.P * k.d)), 0.0))

    def gauss_newton(self, y, f):
        k = self.parts(y, f)
        Qb, Pa = k.Q * k.b, k.P * k.a
        focus = k.gamma * ((k.gamma - 1.0) * (Qb * (k.b * _times(k.Q, k.S))) + 2.0 * (Qb * Pa))
        return _known(y, where(k.live, k.power * (focus + Pa * Pa), 0.0))

    def hessian_times(self, y, f, v):
        return self.hessian(y, f) * v


class ZLPR(_Multilabel):
    r"""Zero-bounded log-sum-exp and pairwise rank-based loss: present labels above 0, absent ones below, as a softmax.

    l = ln(1 + sum over y = 0 of e^f) + ln(1 + sum over y = 1 of e^-f).

    Domain: y a row of 0 and 1, or NaN (unknown: in neither sum), f a row of C logits; predicted are the labels with f > 0.
    Only the worst labels of each kind have a gradient, so thousands of absent labels do not drown a few present ones.
    Hessian: pi (1 - pi), pi the label's share of its sum, never negative. Majorizer: 1/2 (Böhning's bound).
    Su, Murtadha, Pan, Hou, Sun, Huang, Wen and Liu, "ZLPR: a novel loss for multi-label classification", 2022
    (arXiv:2208.02955).
    """

    formula = "ln(1 + sum_(y=0) e^f) + ln(1 + sum_(y=1) e^-f)"
    notes = "sigma(f) is no calibrated probability here; the zero that decides is right."
    peers = ("bert4keras multilabel_categorical_crossentropy",)
    strict = True
    claims = BOUNDED_GRADIENT

    def parts(self, y, f):
        """The two softmaxes, each with one more logit 0: `p`, its distance from 1, and where it is largest."""
        positive = y == 1.0
        x = where(positive, -f, f)
        tops, leads = {}, {}
        for label in (0.0, 1.0):
            members = where(y == label, x, 0.0)
            tops[label] = maximum(largest(members), 0.0)
            leads[label] = (index(f) == first_largest(members)) & (members > 0.0)
        e = exp(x - where(positive, tops[1.0], tops[0.0]))
        rest = {label: total(where((y != label) | leads[label], 0.0, e)) + where(top > 0.0, exp_neg(top), 0.0)
                for label, top in tops.items()}
        inverse = where(positive, 1.0 / (1.0 + rest[1.0]), 1.0 / (1.0 + rest[0.0]))
        lead = leads[0.0] | leads[1.0]
        others = where(positive, rest[1.0], rest[0.0])
        return SimpleNamespace(
            value=sum(tops[label] + log1p(rest[label]) for label in (0.0, 1.0)),
            p=_known(y, e * inverse),
            complement=where(lead, others, (1.0 - e) + others) * inverse,
            lead=lead,
        )

    def value(self, y, f):
        return self.parts(y, f).value

    def gradient(self, y, f):
        p = self.parts(y, f).p
        return where(y == 1.0, -p, p)

    def hessian(self, y, f):
        s = self.parts(y, f)
        return _known(y, s.p * s.complement)

    def hessian_times(self, y, f, v):
        s = self.parts(y, f)
        pv = s.p * v
        sums = {label: (total(where((y != label) | s.lead, 0.0, pv)), total(where(y != label, 0.0, pv)))
                for label in (0.0, 1.0)}
        besides_lead = where(y == 1.0, sums[1.0][0], sums[0.0][0])
        all_of_it = where(y == 1.0, sums[1.0][1], sums[0.0][1])
        return _known(y, s.p * (s.complement * v - where(s.lead, besides_lead, all_of_it - pv)))

    def majorizer(self, y, f):
        return _known(y, where(f == f, 0.5, 0.0))

    def largest_curvature(self, y, f):
        return self.majorizer(y, f)


class MultilabelMargin(_Multilabel):
    r"""Hinge loss of every pair of a present and an absent label: all present ones shall lie a margin above.

    l = 1/C sum over y_j = 1, y_i = 0 of max(0, margin - (f_j - f_i)).

    Domain: y a row of 0 and 1, or NaN (unknown: in no pair), f a row of C scores. C is the number of columns, as in torch,
    unknown labels included. `margin = 1`.
    torch takes the target as a list of label indices that ends at the first -1: here it is a row of 0 and 1.
    Kinks where f_j - f_i = margin (slope 0 is taken there). Hessian: 0. Cost: C^2 pairs per sample.
    Crammer and Singer, "A family of additive online algorithms for category ranking", JMLR 3, 2003;
    torch.nn.MultiLabelMarginLoss.
    """

    margin: float = parameter(1.0, REAL)
    link = "identity"
    smooth = False
    formula = "1/C sum_(y_j=1, y_i=0) max(0, margin - (f_j - f_i))"
    notes = "torch's targets are lists of label indices, ended by -1."
    peers = ("torch.nn.MultiLabelMarginLoss",)

    def sides(self, y, f):
        """What a present and an absent label bring to a pair's hinge; -inf in the place of any other."""
        return where(y == 1.0, self.margin - f, -inf), where(y == 0.0, f, -inf)

    def value(self, y, f):
        present, absent = self.sides(y, f)
        return total(paired_total(lambda a, b: maximum(a + b, 0.0), [present], [absent])) / size(f)

    def gradient(self, y, f):
        present, absent = self.sides(y, f)
        below = paired_total(lambda a, b: where(a + b > 0.0, 1.0, 0.0), [present], [absent])
        above = paired_total(lambda a, b: where(a + b > 0.0, 1.0, 0.0), [absent], [present])
        return (above - below) / size(f)

    def hessian(self, y, f):
        return 0.0 * f
