"""Which curvatures a loss offers in place of its second derivative, and what each of them guarantees.

A Newton step, and the value of a leaf in boosting, is -sum(g) / sum(h). Taken with the second derivative it is the best step
near the minimum, and elsewhere it may be endless (h = 0) or point uphill (h < 0). What stands in its place by name:

"exact"         the second derivative
"majorizer"     the curvature at f of a parabola that touches the loss there and lies above it (Hunter and Lange, "A tutorial
                on MM algorithms", 2004): with its sum the loss never rises
"fisher"        the mean of the second derivative over targets drawn from the model at f, of losses that are likelihoods
                (Fisher scoring; McCullagh and Nelder, "Generalized linear models", 1989)
"gauss_newton"  l''(mu) mu'(f)^2 where l is convex in mu but not in f: the curvature of f -> mu is left out. Of a loss that
                is convex in f the second derivative (Schraudolph, "Fast curvature matrix-vector products", 2002)
"bounded"       max(second derivative, |g|): no step is longer than 1, for raw scores that have no unit
"constant"      the smallest number that the second derivative never exceeds, whatever f (Böhning and Lindsay,
                "Monotonicity of quadratic-approximation algorithms", 1988); targets and parameters may be in it
"xgboost", "xgboost_3.5", "lightgbm"
                what these libraries' own objectives of this kind divide by: see `HOSTS`
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import inf
from typing import NamedTuple

from .vecmath import where

__all__ = ["FORMULAS", "HOSTS", "Curvature", "formula_of", "guarantees", "host_formulas", "positive_policy"]

FORMULAS = {
    "exact": "hessian",
    "majorizer": "majorizer",
    "fisher": "fisher_diagonal",
    "gauss_newton": "gauss_newton",
    "bounded": "bounded_curvature",
    "constant": "largest_curvature",
    "xgboost": "xgboost_curvature",
    "xgboost_3.5": "xgboost_3_5_curvature",
    "lightgbm": "lightgbm_curvature",
}
"""The formula behind each name."""

POSITIVE_FIRST = ("exact", "gauss_newton", "fisher", "majorizer", "bounded", "constant")
"""Which curvature a host that divides by its sum is given where none is asked for: the first that is positive."""

WITHOUT_UNIT = ("log", "logit", "half_logit", "probit", "cloglog", "softmax", "score", "tangent")
"""Links whose raw scores are pure numbers, so that a step of at most 1 means something."""

CONSTANT_HESSIAN = {"exact": {"majorizes": True}, "fisher": {"majorizes": True}}
"""`claims` of a loss whose second derivative is the same everywhere."""

BOUNDED_GRADIENT = {"constant": {"bounded": True}}
"""`claims` of a loss whose gradient is bounded."""

NEVER_STUCK = {"bounded": {"positive": True}}
"""`claims` of a loss whose gradient is 0 at most where its second derivative is positive."""


class Curvature(NamedTuple):
    """What holds of a curvature h, for all targets and predictions of the loss's domain; False: not guaranteed.

    `positive`   h > 0, as long as nothing underflows (of samples and labels that count, and of two classes or more)
    `majorizes`  l(f + d) <= l(f) + g d + h d^2 / 2 for every d (of rows: with the sums over the columns)
    `bounded`    |g| <= c h for some number c, whatever f: no Newton value of a leaf is beyond +-c. For "bounded" c is 1
    """

    positive: bool
    majorizes: bool
    bounded: bool


# ---- the curvatures of boosting libraries ------------------------------------------------------------------------


class _Host(NamedTuple):
    """The curvature of a library's own objective, of one sample.

    `formula`    the name of the curvature that it is the same as, or a function: class of the loss -> its formula
    `guarantee`  of a formula of its own
    `when`       for which parameters of the loss the library has it; default: for any
    """

    formula: str | Callable
    guarantee: Curvature | None = None
    when: Callable | None = None


def _times(factor):
    """factor h, h the second derivative."""
    def formula(cls):
        hessian = cls.hessian

        def curvature(self, y, f):
            return factor * hessian(self, y, f)

        return curvature

    return formula


def _of_all_classes(cls):
    """K / (K - 1) h, K the number of classes."""
    from .rowmath import maximum, size

    hessian = cls.hessian

    def curvature(self, y, f):
        return size(f) / maximum(size(f) - 1.0, 1.0) * hessian(self, y, f)

    return curvature


def _of_residuals(cls):
    """|g|: of a softmax |P - o|."""
    gradient = cls.gradient

    def curvature(self, y, f):
        return abs(gradient(self, y, f))

    return curvature


def _bounded_step(share):
    """h + share g. With A = y mu^(1 - p), B = mu^(2 - p), g = B - A and h = (p - 1) A + (2 - p) B the weighted mean
    (p A + (3 - p) B) / 3: share = (2 p - 3) / 3."""
    def formula(cls):
        gradient, hessian = cls.gradient, cls.hessian

        def curvature(self, y, f):
            h = hessian(self, y, f)
            return where(h < inf, h + share * gradient(self, y, f), h)

        return curvature

    return formula


def _bounded_step_of_power(cls):
    """The same where p is a parameter, a = 2 - p and b = p - 1."""
    gradient, hessian = cls.gradient, cls.hessian

    def curvature(self, y, f):
        h = hessian(self, y, f)
        return where(h < inf, h + (self.b - self.a) / 3.0 * gradient(self, y, f), h)

    return curvature


def _one(cls):
    """1, where the second derivative is 0: the leaves are replaced afterwards."""
    if cls.rowwise:
        from .rowmath import index

        def curvature(self, y, f):
            return 1.0 + 0.0 * index(f)
    else:
        def curvature(self, y, f):
            return 1.0

    return curvature


def _open(cls):
    """1 where a hinge is open, and where it is not the smallest normal float32."""
    def curvature(self, y, f):
        return where((2.0 * y - 1.0) * f < 1.0, 1.0, 1.1754943508222875e-38)

    return curvature


def _on_logits(loss):
    return loss.from_logits and not getattr(loss, "has_z_loss", False)


def _crossing(loss):
    return not loss.non_crossing


GROWTH = math.exp(0.7)
"""Of a Poisson mean: leaves of at most 0.7, the `max_delta_step` there, multiply it by no more."""

_SAME, _SAME_ON_LOGITS = _Host("exact"), _Host("exact", when=_on_logits)
_ONE = _Host(_one, Curvature(positive=True, majorizes=False, bounded=True))
_POISSON = _Host(_times(GROWTH), Curvature(positive=True, majorizes=False, bounded=False))
_STEP = Curvature(positive=True, majorizes=False, bounded=True)

HOSTS: dict[str, dict[str, _Host]] = {
    "xgboost": {
        **dict.fromkeys(("HalfSquaredError", "SquaredError", "PseudoHuber", "Expectile", "Gamma", "Tweedie",
                         "MultilabelBinaryCrossEntropy"), _SAME),
        "BinaryCrossEntropy": _SAME_ON_LOGITS,
        "AbsoluteError": _ONE,
        "Pinball": _ONE,
        "MultiQuantile": _ONE._replace(when=_crossing),
        "Hinge": _Host(_open, Curvature(positive=True, majorizes=False, bounded=True)),
        "Poisson": _POISSON,
        "CategoricalCrossEntropy": _Host(_times(2.0), Curvature(positive=True, majorizes=False, bounded=False), _on_logits),
    },
    "xgboost_3.5": {
        "PseudoHuber": _Host("majorizer"),
        "Poisson": _Host(_bounded_step(-1.0 / 3.0), _STEP),
        "Tweedie": _Host(_bounded_step_of_power, _STEP),
        "Gamma": _Host(_bounded_step(1.0 / 3.0), _STEP),
        "CategoricalCrossEntropy": _Host(_of_residuals, Curvature(positive=False, majorizes=False, bounded=True),
                                         _on_logits),
    },
    "lightgbm": {
        **dict.fromkeys(("HalfSquaredError", "SquaredError", "Fair", "Gamma", "Tweedie", "OneVersusAll"), _SAME),
        "BinaryCrossEntropy": _SAME_ON_LOGITS,
        "Huber": _Host("constant"),
        "AbsoluteError": _ONE,
        "Pinball": _ONE,
        "AbsolutePercentageError": _ONE,
        "Poisson": _POISSON,
        "CategoricalCrossEntropy": _Host(_of_all_classes, Curvature(positive=True, majorizes=False, bounded=False),
                                         _on_logits),
    },
}
"""By the name of a curvature and of a class of ours: what the objective of this kind divides by. Floors of 1e-16 and less
are left out.

"xgboost"       until 3.4; of absolute and quantile errors until 3.3 (afterwards it is of all samples together)
"xgboost_3.5"   what is another one since September 2026, with the version it is to come with: pull requests 12537 (softmax),
                12538 (power variances), 12576 (pseudo-Huber)
"lightgbm"      4.7
"""


def host_formulas(cls: type) -> dict[str, Callable]:
    """The formulas, by their names, that a class of the catalogue gets from `HOSTS`; of any other class none."""
    if cls.__module__.partition(".")[0] != __package__:
        return {}
    found = {policy: known[cls.__name__].formula for policy, known in HOSTS.items() if cls.__name__ in known}
    return {FORMULAS[policy]: getattr(cls, FORMULAS[formula]) if isinstance(formula, str) else formula(cls)
            for policy, formula in found.items()}


def _of_host(loss, policy, others):
    """What the curvature of a library guarantees, or None where the loss does not offer it."""
    parts = getattr(loss, "parts", ())
    if parts:  # of sums and positive multiples whatever holds of all parts
        kinds = [part.curvatures.get(policy) for part in parts]
        return None if None in kinds else Curvature(*map(all, zip(*kinds, strict=True)))
    host = next(HOSTS[policy][cls.__name__] for cls in type(loss).__mro__ if cls.__name__ in HOSTS[policy])
    if host.when and not host.when(loss):
        return None
    return others[host.formula] if isinstance(host.formula, str) else host.guarantee


# ---- what a loss offers ------------------------------------------------------------------------------------------


def guarantees(loss) -> dict[str, Curvature]:
    """The curvatures that a loss offers, and what they guarantee: a rule about the loss's data, and what the loss itself
    says in `claims`."""
    found = {}
    if hasattr(loss, "hessian"):
        found["exact"] = Curvature(loss.strict, False, False)
    if hasattr(loss, "majorizer"):
        found["majorizer"] = Curvature(True, True, False)
    if hasattr(loss, "fisher_diagonal"):
        found["fisher"] = Curvature(True, False, False)
    if hasattr(loss, "gauss_newton") or (loss.convex and "exact" in found):
        found["gauss_newton"] = Curvature(True, False, False)
    if hasattr(loss, "bounded_curvature") and "exact" in found and loss.link in WITHOUT_UNIT:
        found["bounded"] = Curvature(loss.strict, False, True)
    if hasattr(loss, "largest_curvature"):
        found["constant"] = Curvature(True, True, False)
    found = _as_claimed(loss, found)
    if loss.convex and "exact" in found and "gauss_newton" in found:
        found["gauss_newton"] = found["exact"]
    hosts = {policy: _of_host(loss, policy, found) for policy in HOSTS if hasattr(loss, FORMULAS[policy])}
    return found | _as_claimed(loss, {policy: kind for policy, kind in hosts.items() if kind})


def _as_claimed(loss, found):
    """These curvatures, with what the loss says otherwise in `claims`."""
    claims = {policy: loss.claims.get(policy, {}) for policy in found}
    return {policy: found[policy]._replace(**changes) for policy, changes in claims.items() if changes is not None}


def formula_of(loss, policy: str) -> str:
    """The name of the formula behind a curvature that the loss offers."""
    return "hessian" if policy == "gauss_newton" and loss.convex else FORMULAS[policy]


def positive_policy(loss, hessian: str | None, host: str) -> str:
    """The curvature to hand to a host that divides by its sum: `hessian`, or the first that is positive.

    Raises
    ------
    ValueError : the loss does not offer it, or offers none that is positive everywhere.
    """
    available = loss.curvatures
    if hessian is not None:
        if hessian not in available:
            raise ValueError(f"hessian must be one of {', '.join(map(repr, available)) or 'none'} for {loss.name}, "
                             f"found {hessian!r}")
        return hessian
    for policy in POSITIVE_FIRST:
        if policy in available and available[policy].positive:
            return policy
    raise ValueError(f"{loss.name} has no curvature that is positive everywhere, and {host} divides by its sum: "
                     + ("take loss.curved(floor=1.0), or name one by hessian=" if available else
                        "give the class a formula hessian(self, y, f)"))
