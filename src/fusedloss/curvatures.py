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
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FORMULAS", "Curvature", "formula_of", "guarantees", "positive_policy"]

FORMULAS = {
    "exact": "hessian",
    "majorizer": "majorizer",
    "fisher": "fisher_diagonal",
    "gauss_newton": "gauss_newton",
    "bounded": "bounded_curvature",
    "constant": "largest_curvature",
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
    for policy, changes in loss.claims.items():
        if changes is None:
            found.pop(policy, None)
        elif policy in found:
            found[policy] = found[policy]._replace(**changes)
    if loss.convex and "exact" in found and "gauss_newton" in found:
        found["gauss_newton"] = found["exact"]
    return found


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
