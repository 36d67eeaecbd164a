"""What the measurements say about a loss, in words."""

from __future__ import annotations

import math
from types import FunctionType

import numpy as np

from ..curvatures import formula_of
from ..domain import Labels
from . import machine
from .exact import FORMULAS, Subject
from .measure import DTYPES, Arithmetic, Shape, compared, lines, reaches, size
from .report import Finding
from .samples import distinct, far, grid, numbers_of, ordinary, single
from .words import at, common_places, lies, listed, plain, regions, show, shown_place

__all__ = ["Check"]

DIGITS = 110
FAR_DIGITS = 460
"""At the ends of the domain, where numbers are as small as 1e-30 and 1 - e^-745 is not 1."""
SCAN_DIGITS = 60

BAR = 1e-9
"""A derivative that is further off, as a part of itself, is wrong: formulas have constants of 16 digits."""

NO_DATA, NO_PARAMETER = 1e9, 40.0
"""Predictions beyond are no data, and named columns, mostly logarithms, no parameters: what happens there is said, and is no
error."""


class Check:
    """The findings about one loss, in the order of the report."""

    def __init__(self, loss):
        self.loss, self.subject, self.findings = loss, Subject(loss), []
        self.ordinary, self.far = ordinary(loss, self.subject.columns), far(loss, self.subject.columns)
        self.far_digits = DIGITS if loss.rowwise else FAR_DIGITS

    def add(self, about, verdict, text, **evidence):
        self.findings.append(Finding(about, verdict, text, plain(evidence)))

    def run(self, compile):
        names = [name for name in FORMULAS if self.subject.has(name) and self._runs(name) and self._is_exact(name)]
        if "value" in names:
            self._derivatives(names)
            if "gradient" in names:
                self._other_formulas()
            with self.subject.mp.workdps(SCAN_DIGITS):
                shapes = [Shape(self.subject, line) for line in lines(self.subject)]
                self._kinks(shapes)
                self._convexity(shapes)
            self._domain(names)
            found = {F: reaches(self.subject, names, F, SCAN_DIGITS) for F in DTYPES}
            for F in DTYPES:
                self._digits(names, F, {name: min(r.first for r in found[F] if r.fits and r.name == name)
                                        for name in {r.name for r in found[F] if r.fits}})
            self._range(found)
            if self._becomes_a_loop(names) and compile and "gradient" in names:
                self._machine_code()
            self._missing()
        return self.findings

    # ---- does it run -------------------------------------------------------------------------------------------

    def _runs(self, name):
        """Whether a formula gives a number, or a row of them, for an ordinary sample."""
        y, f = self.ordinary[0]
        try:
            result = self.subject.computed(name, y, f, np.float64)
            said = "is a row; it must be one number per row of predictions, for instance their total(...)"
            if name != "value" or not result.ndim:
                return True
        except Exception as error:  # a formula may raise anything
            said = str(error) if str(error).startswith("returns ") else f"raises {type(error).__name__}: {error}"
        self.add(name, "wrong", f"{name}(self, y, f) {said}, {at(y, f)}", y=y, f=f)
        return False

    def _is_exact(self, name):
        """Whether a formula stays in many digits: of floats no difference can be had."""
        subject, why = self.subject, ""
        with subject.mp.workdps(SCAN_DIGITS):
            self_ = subject.exact_self()
            for y, f in self.ordinary[:8]:
                y, rows = subject.exactly(y), [subject.exactly(x) for x in (f, 0.999 * f)]
                try:
                    results = [np.atleast_1d(np.asarray(subject.call(name, self_, y, x), object)) for x in rows]
                except (ZeroDivisionError, ValueError, OverflowError):
                    continue
                except Exception as error:  # a function that there is no exact form of, for one
                    why = str(error)
                    break
                for pair in zip(*results, strict=True):
                    if all(isinstance(x, float) and math.isfinite(x) for x in pair) and pair[0] != pair[1]:  # 0.5 is fine
                        why = "it makes floats of its arguments"
        if why:
            self.add(name, "wrong", f"{name} cannot be computed in many digits, so it cannot be checked: {why}; use "
                                    "functions of fusedloss.vecmath")
        return not why

    # ---- derivatives -------------------------------------------------------------------------------------------

    def _derivatives(self, names):
        if "gradient" not in names:
            return
        right = self._derivative("gradient", "value", 1, "the derivative of value")
        if "hessian" in names:
            base = ("gradient", 1, "the derivative of gradient") if right else ("value", 2, "the second derivative of value")
            self._derivative("hessian", *base)

    def _derivative(self, name, base, order, what):
        """Whether a formula is right."""
        found = [*compared(self.subject, name, base, order, self.ordinary, DIGITS),
                 *compared(self.subject, name, base, order, self.far, self.far_digits, ordinary=False)]
        points, wrong = _points(found), [c for c in found if c.error > BAR]
        if not found:
            self.add(name, "mind", f"{base} is nowhere finite and smooth enough to take a difference")
        elif not wrong:
            worst = max(c.error for c in found)
            closely = f"to {worst:.0e}" if worst > 1e-30 else "to 30 digits and more"
            self.add(name, "ok", f"{what} at {points} points, {closely}", points=points, worst=worst)
        else:
            c = max(wrong, key=lambda c: (c.ordinary, min(c.error, 10.0), -abs(float(c.f[c.k]))))
            expected = min((c.low, c.high), key=lambda x: abs(x - c.found))
            pattern = _pattern([c for c in found if c.ordinary], what, self.loss)
            text = f"{pattern}: {at(c.y, c.f, self._column(c.k))} expected {expected:.6g}, found {c.found:.6g}"
            self.add(name, "wrong", f"{text} (at {_points(wrong)} of {points} points)", y=c.y, f=c.f, column=c.k,
                     expected=expected, found=c.found, points=points)
        return not wrong

    def _column(self, k):
        return None if self.subject.single else k

    # ---- other formulas ----------------------------------------------------------------------------------------

    def _other_formulas(self):
        parameters = [name for name in dir(type(self.loss)) if name.startswith("gradient_")]
        for step, *arguments in ((self._curvatures,), (self._hessian_times,), (self._natural_gradient,),
                                 *[(self._parameter, name) for name in parameters], (self._optimum,)):
            try:
                step(*arguments)
            except Exception as error:  # a formula may raise anything
                name = listed(arguments) or step.__name__.lstrip("_")
                self.add("formulas", "wrong", f"{name} raises {type(error).__name__}: {error}")

    def _curvatures(self):
        """What the loss promises of its curvatures."""
        subject, above, positive = self.subject, [], []
        for policy, promise in self.loss.curvatures.items():
            formula, rng, failures = formula_of(self.loss, policy), np.random.default_rng(4), []
            if policy == "bounded" or not (promise.positive or promise.majorizes):
                continue
            with subject.mp.workdps(SCAN_DIGITS):
                self_ = subject.exact_self()
                for point in self.ordinary[:: 2 if self.loss.rowwise else 3]:
                    failures += self._broken_promises(self_, formula, promise, point, rng)
            if failures:
                _, text, evidence = max(failures, key=lambda failure: failure[0])
                self.add("curvature", "wrong", f'"{policy}" {text}', **evidence)
            else:
                positive += [f'"{policy}"'] * promise.positive
                above += [f'"{policy}"'] * promise.majorizes
        if positive:
            self.add("curvature", "ok", f"{listed(positive)} {'is' if len(positive) == 1 else 'are'} never negative")
        if above:
            self.add("curvature", "ok", f"{listed(above)}: the parabola lies above the loss")

    def _broken_promises(self, self_, formula, promise, point, rng):
        """[(by how much, what, evidence)] of a curvature at one point."""
        subject, mp = self.subject, self.subject.mp
        y, f = subject.exactly(point.y), subject.exactly(point.f)
        here, slope, bend = (subject.exact(name, self_, y, f) for name in ("value", "gradient", formula))
        if not all(map(mp.isfinite, [here, *slope])) or any(map(mp.isinf, bend)):  # infinite: no parabola lies above
            return []
        if not all(x >= 0 for x in bend):
            found = [float(x) for x in bend]
            return [(math.inf, f"is {show(found)} {at(*point)}", dict(y=point.y, f=point.f, found=found))]
        failures = []
        for scale in (1e-3, 0.1, 1.0, 10.0) if promise.majorizes else ():
            d = single(rng.normal(0.0, scale, subject.columns))
            if np.any(self.loss.pred_domain.outside(point.f + d)):
                continue
            step = subject.exactly(d)
            bound, there = here + slope @ step + bend @ (step * step) / 2, subject.exact("value", self_, y, f + step)
            excess = float((there - bound) / (abs(bound) + abs(there) + abs(here) + 1e-300)) if mp.isfinite(there) else 0.0
            if excess > 1e-12:
                text = f"is a parabola that does not lie above the loss: {at(*point)} it promises at most " \
                       f"{float(bound):.6g} for f = {show(point.f + d)}, where the loss is {float(there):.6g}"
                evidence = dict(y=point.y, f=point.f, step=d, expected=float(there), found=float(bound))
                failures.append((excess, text, evidence))
        return failures

    def _hessian_times(self):
        subject, mp, rng, worst = self.subject, self.subject.mp, np.random.default_rng(5), None
        if not subject.has("hessian_times"):
            return
        with mp.workdps(SCAN_DIGITS):
            self_, h = subject.exact_self(), mp.mpf(10) ** -20
            for point in self.ordinary[::3]:
                v = single(rng.normal(0.0, 1.0, subject.columns))
                y, f, d = subject.exactly(point.y), subject.exactly(point.f), subject.exactly(v)
                ahead, behind = (subject.exact("gradient", self_, y, f + x) for x in (h * d, -h * d))
                true, found = (ahead - behind) / (2 * h), subject.exact("hessian_times", self_, y, f, d)
                largest = max(map(abs, true)) + mp.mpf(10) ** -15
                error = float(max(map(abs, true - found)) / largest)
                if largest < 1e15 and not error <= (worst[0] if worst else BAR):
                    worst = error, point, v, true, found
        if worst:
            _, point, v, true, found = worst
            self.add("hvp", "wrong", f"hessian_times is not the derivative of the gradient along v: {at(*point)}, "
                                     f"v = {show(v)} expected {show(true)}, found {show(found)}",
                     y=point.y, f=point.f, v=v, expected=true.astype(float), found=found.astype(float))
        else:
            self.add("hvp", "ok", "hessian_times is the derivative of the gradient along v")

    def _natural_gradient(self):
        if not self.subject.has("natural_gradient"):
            return
        for y, f in self.ordinary:
            natural, slope = (self.subject.computed(name, y, f, np.float64)
                              for name in ("natural_gradient", "gradient"))
            if not natural @ slope >= -1e-12 * np.linalg.norm(natural) * np.linalg.norm(slope):
                self.add("natural", "wrong", f"a step against the natural gradient {show(natural)} leads uphill {at(y, f)}, "
                                             f"where the gradient is {show(slope)}", y=y, f=f, found=natural)
                return
        self.add("natural", "ok", "a step against the natural gradient never leads uphill")

    def _parameter(self, name):
        """The derivative with respect to a parameter, against differences between losses."""
        subject, mp, parameter, pairs = self.subject, self.subject.mp, name.removeprefix("gradient_"), []
        with mp.workdps(SCAN_DIGITS):
            self_, h = subject.exact_self(), mp.mpf(10) ** -20
            for point in self.ordinary[::4]:
                y, f = subject.exactly(point.y), subject.exactly(point.f)
                found = np.atleast_1d(np.asarray(subject.call(name, self_, y, f), object))
                for k in range(found.size):
                    known = getattr(self_, parameter)
                    sides = [subject.exact("value", subject.exact_self(**{parameter: _moved(known, k, d)}), y, f)
                             for d in (h, -h)]
                    pairs.append((point, float((sides[0] - sides[1]) / (2 * h)), float(found[k])))
        typical = float(np.median([abs(true) for _, true, _ in pairs]))
        point, true, found = max(pairs, key=lambda pair: _error(*pair[1:], typical))
        if _error(true, found, typical) > BAR:
            self.add("parameter", "wrong", f"{name} is not the derivative of value with respect to {parameter}: "
                                           f"{at(*point)} expected {true:.6g}, found {found:.6g}",
                     y=point.y, f=point.f, expected=true, found=found)
        else:
            self.add("parameter", "ok", f"{name} is the derivative of value with respect to {parameter}")

    def _optimum(self):
        """The constant that the loss names as the best: the gradient sums to zero there, and none next to it is better."""
        loss, subject = self.loss, self.subject
        name = next((name for name in ("optimum", "quantile_level") if subject.has(name)), None)
        weighs = getattr(loss, "class_weight", None) is not None and not loss.weighs_classes
        if name is None or weighs or (loss.rowwise and (loss.target not in ("label", "classes")
                                                        or not loss.pred_domain.everything)):
            return
        rng = np.random.default_rng(6)
        if loss.rowwise:
            targets = range(loss.n_classes(subject.columns))
            weights = rng.dirichlet(np.full(len(targets), 3.0))
            best = np.atleast_1d(np.asarray(loss.optimum(weights), float))
        else:
            targets = numbers_of(loss.y_domain, rng, 41)
            weights = np.full(len(targets), 1.0 / len(targets))
            best = np.array([loss.optimum(float(targets.mean())) if name == "optimum" else
                             np.quantile(targets, loss.quantile_level, method="inverted_cdf")], float)
        if not np.isfinite(best).all() or np.any(loss.pred_domain.outside(best)):
            return

        def mean(formula, c):
            return np.array([w * subject.computed(formula, y, c, np.float64)
                             for y, w in zip(targets, weights, strict=True)])

        slopes, lowest = mean("gradient", best), mean("value", best).sum()
        steps = [best + x * unit for x in (-1.0, -0.01, 0.01, 1.0) for unit in np.eye(best.size)]
        better = [c for c in steps if not np.any(loss.pred_domain.outside(c))
                  and mean("value", c).sum() < lowest - 1e-9 * (1 + abs(lowest))]
        bend = abs(mean("hessian", best)).sum(0) if subject.has("hessian") else 1.0
        rounding = 1e-8 * abs(slopes).sum(0) + 1e-12 + 1e-14 * np.maximum(1.0, abs(best)) * bend
        if better or (loss.smooth and (abs(slopes.sum(0)) > rounding).any()):
            given = f"classes of frequencies {show(weights)}" if loss.rowwise else f"targets of mean {targets.mean():.6g}"
            text = f"{name} gives {show(best)} as the best constant for {given}, but there the gradient sums to " \
                   f"{show(slopes.sum(0))}" + (f", and {show(better[0])} is better" if better else "")
            self.add("optimum", "wrong", text, found=best, gradient=slopes.sum(0))
        else:
            self.add("optimum", "ok", f"{name} gives the best constant")

    # ---- the shape ---------------------------------------------------------------------------------------------

    def _kinks(self, shapes):
        kinks, said = [kink for shape in shapes for kink in shape.kinks], f"smooth = {self.loss.smooth}"
        jumps = [kink for kink in kinks if kink.jump]
        kinks = [kink for kink in kinks if not kink.jump]
        if jumps:
            self.add("kinks", "wrong", f"the value itself jumps by {jumps[0].jump:.4g} {self._places(jumps)}",
                     **_evidence(jumps[0]))
        if kinks:
            kink = kinks[0]
            steep = max(abs(kink.left), abs(kink.right)) > 1e6 * (1.0 + float(shapes[0].typical))
            how = "the slope is infinite" if steep else f"the gradient jumps from {kink.left:.4g} to {kink.right:.4g}"
            claim = f", but the loss says {said}: declare smooth = False" if self.loss.smooth else f", as {said} says"
            self.add("kinks", "wrong" if self.loss.smooth else "ok", f"{how} {self._places(kinks)}{claim}",
                     **_evidence(kink))
        elif self.loss.smooth and not jumps:
            self.add("kinks", "ok", f"none found, as {said} says")
        elif not jumps:
            self.add("kinks", "mind", f"the loss says {said}, but none was found")

    def _places(self, kinks):
        if self.loss.rowwise:
            line, t, *_ = kinks[0]
            more = f" ({len(kinks) - 1} more found)" if len(kinks) > 1 else ""
            return at(line.y, line.origin + t * line.direction) + more
        by_target = {}
        for kink in kinks:
            by_target.setdefault(kink.line.y, []).append(kink.t)
        return common_places(by_target)

    def _convexity(self, shapes):
        found, said = [(shape.line, *shape.falls()) for shape in shapes], f"convex = {self.loss.convex}"
        down = [(line, intervals, t, bend) for line, intervals, t, bend in found if intervals]
        if not down and self.loss.convex:
            self.add("convexity", "ok", f"no negative curvature found, as {said} says")
        elif not down:
            self.add("convexity", "mind", f"the loss says {said}, but no negative curvature was found; init_score is surer "
                                          "for convex losses")
        else:
            line, _, t, bend = min(down, key=lambda item: item[3])
            deepest = line.origin + t * line.direction
            intervals = {line.y: intervals for line, intervals, _, _ in down} if not self.loss.rowwise else {}
            where = f"where {regions(intervals, len(found))}" if intervals else \
                f"along {len(down)} of {len(found)} lines looked at, most {at(line.y, deepest)}"
            claim = f", but the loss says {said}: declare convex = False" if self.loss.convex else f", as {said} says"
            self.add("convexity", "wrong" if self.loss.convex else "ok", f"it bends down {where}{claim}", y=line.y,
                     f=deepest, curvature=bend, regions=intervals)

    # ---- the domain --------------------------------------------------------------------------------------------

    def _domain(self, names):
        """NaN, and infinities off the ends of the domain, where many digits find no finite answer either."""
        missing, poles, loss = {}, {}, self.loss
        for point in (*self.ordinary, *self.far):
            for name in names:
                found = [self.subject.computed_row(name, *point, F) for F in DTYPES]
                if all(np.isfinite(x).all() for x in found) or self._has_answer(name, point):
                    continue
                if any(np.isnan(x).any() for x in found):
                    missing.setdefault(self._undefined(name, point), {}).setdefault(name, point)
                elif name != "hessian" and not self._at_an_end(point):
                    poles.setdefault(name, point)
        claimed = f"inside the domain that the loss claims: y {lies(loss.y_domain)}, f {lies(loss.pred_domain)}"
        for where, formulas in sorted(missing.items(), key=lambda item: "y <" not in item[0] and "y >" not in item[0])[:3]:
            point = next(iter(formulas.values()))
            self.add("domain", "wrong", f"{listed(formulas)} {'is' if len(formulas) == 1 else 'are'} NaN {where}, {claimed}",
                     y=point.y, f=point.f)
        for name, point in poles.items():
            self.add("domain", "wrong", f"{name} is infinite {at(*point)}, {claimed}", y=point.y, f=point.f)
        if not missing and not poles:
            self.add("domain", "ok", f"no NaN and no pole: y {lies(loss.y_domain)}, f {lies(loss.pred_domain)}")

    def _has_answer(self, name, point):
        with self.subject.mp.workdps(SCAN_DIGITS):
            return all(map(self.subject.mp.isfinite, self.subject.exact_at(name, *point)))

    def _at_an_end(self, point):
        domain = self.loss.pred_domain
        return bool(np.any((point.f == domain.low) | (point.f == domain.high)))

    def _undefined(self, name, point):
        """Where a formula is NaN, as a condition on f or y if it is one, else as a point."""
        if self.loss.rowwise:
            return at(*point)

        def is_nan(y, f):
            return bool(np.isnan(self.subject.computed(name, y, np.array([f]), np.float64)).any())

        if point.f[0] == point.y:
            return "where f = y"
        predictions = [f for f in grid(self.loss, point.y).tolist() if not self.loss.pred_domain.outside(f)]
        if not all(is_nan(point.y, f) for f in predictions):
            found = _condition("f", predictions, lambda f: is_nan(point.y, f))
            return f"where {found}" if found else at(*point)
        targets = sorted(distinct([p.y for p in self.ordinary]))
        for f in [p.f[0] for p in self.ordinary]:
            found = _condition("y", targets, lambda y, f=f: is_nan(y, f))
            if found:
                return f"where {found}"
        return f"at y = {show(point.y)}, whatever f"

    # ---- float64 and float32 -----------------------------------------------------------------------------------

    def _digits(self, names, F, overflows):
        """Digits that are lost in the arithmetic of a dtype, or all of the answer nearer than where a formula overflows."""
        near, away = (Arithmetic(self.subject, F, digits) for digits in (SCAN_DIGITS, self.far_digits))
        half, total, losses, worst = math.sqrt(near.epsilon), math.floor(-math.log10(near.epsilon)), 0, near.epsilon
        for name in names:
            answers = [(a, p, near) for p in self.ordinary[:: 3 if self.loss.rowwise else 2] for a in near.answers(name, p)]
            sizes = sorted(size(a) for a, _, _ in answers if size(a))
            typical = sizes[len(sizes) // 2] if sizes else 1.0
            answers += [(a, p, away) for p in self.far for a in away.answers(name, p)]
            # beside a typical answer one that is smaller than its rounding does not count
            answers = [(a, p, m) for a, p, m in answers if size(a) > 0.25 * near.epsilon * typical]
            gone = [a for a, _, _ in answers if not math.isfinite(a.lost) and abs(a.f).max() < overflows.get(name, math.inf)]
            answers = [(a, p, m) for a, p, m in answers if math.isfinite(a.lost)]
            if gone:
                losses, a = losses + 1, min(gone, key=lambda a: abs(a.f[a.k]))
                text = f"{name} is {a.found:g} {at(a.y, a.f, self._column(a.k))}, expected {a.low:.6g}"
                self.add(F.__name__, "wrong", text, formula=name, y=a.y, f=a.f, column=a.k, expected=a.low, found=a.found)
            lost = [a for a, p, m in answers if a.lost > half and _again(m, name, p, a.k).lost > half]
            if lost:
                losses += 1
                self._lost(name, F, lost, typical, total)
            worst = max([worst, *[a.lost for a, _, _ in answers if a.lost <= half]])
        if not losses:
            kept = min(total, math.floor(-math.log10(worst)))
            self.add(F.__name__, "ok", f"{listed(names)} {'keeps' if len(names) == 1 else 'keep'} "
                                       f"{'all' if kept == total else f'at least {kept}'} of {total} digits", digits=kept)

    def _lost(self, name, F, lost, typical, total):
        """A formula that loses more than half of its digits: wrong where the error is seen beside a typical answer, too."""
        def error(a):
            return min(abs(a.found - a.low), abs(a.found - a.high))

        worst = max(lost, key=error)
        visible = error(worst) > 64 * float(np.finfo(F).eps) * typical
        if not visible:
            worst = max(lost, key=lambda a: (min(a.lost, 1.0), size(a)))
        kept = max(0, math.floor(-math.log10(worst.lost)))
        text = f"cancellation: {name} keeps {kept or 'none'} of {total} digits {at(worst.y, worst.f, self._column(worst.k))}"
        text += f": expected {worst.low:.6g}, found {worst.found:.6g}"
        text += "" if visible else f"; beside a typical {name} of {typical:.2g} the error is a rounding"
        self.add(F.__name__, "wrong" if visible else "mind", text, formula=name, y=worst.y, f=worst.f, column=worst.k,
                 expected=worst.low, found=worst.found)

    # ---- the range ---------------------------------------------------------------------------------------------

    def _range(self, by_dtype):
        """How far out the formulas are finite, and where they overflow although the answer does not."""
        overflows = [reach for found in by_dtype.values() for reach in found if reach.fits]
        for name in dict.fromkeys(reach.name for reach in overflows):
            self._overflow([reach for reach in overflows if reach.name == name])
        if any(by_dtype.values()):
            texts, evidence = [], {}
            for F, found in by_dtype.items():
                ends = [min((r for r in found if r.sign == sign), key=lambda r: r.last, default=None)
                        for sign in (-1.0, 1.0)]
                evidence[F.__name__] = [None if r is None else r.sign * r.last for r in ends]
                texts.append(f"{F.__name__} {self._reach(*ends)}")
            self.add("range", "note" if overflows else "ok", "; ".join(texts), **evidence)

    def _reach(self, low, high):
        name = "f" if self.subject.single else "a column"
        ends = [r for r in (low, high) if r is not None and r.first is not None]
        if not ends:
            return "finite as far as its numbers go"
        if len(ends) == 2 and low.name == high.name and abs(low.last - high.last) < 1e-3 * high.last:
            return f"finite for |{name}| < {high.last:.4g} ({high.name})"
        return "finite for " + listed(f"{name} {'<' if r.sign > 0 else '>'} {r.sign * r.last:.4g} ({r.name})" for r in ends)

    def _overflow(self, found):
        """A formula that overflows where its answer is a number."""
        texts, nearest = [], {}
        for reach in sorted(reversed(found), key=lambda reach: -reach.first):
            nearest[reach.F] = reach
        for F, reach in nearest.items():
            with self.subject.mp.workdps(SCAN_DIGITS):
                true = self.subject.exact_at(reach.name, reach.y, reach.f).astype(float)
            wrong = self.subject.computed_row(reach.name, reach.y, reach.f, F)
            k = int(np.flatnonzero(~np.isfinite(wrong))[0])
            texts.append(f"in {F.__name__} {at(reach.y, reach.f)} expected {true[k]:.6g}, found {wrong[k]:.6g}")
            evidence = dict(formula=reach.name, dtype=F.__name__, y=reach.y, f=reach.f, expected=true[k], found=wrong[k])
        farthest = NO_PARAMETER if self.loss.rowwise and self.loss.columns else NO_DATA
        data = any(reach.first <= farthest for reach in nearest.values())
        self.add("range", "wrong" if data else "mind", f"{found[0].name} overflows: {'; '.join(texts)}", **evidence)

    # ---- the compiled code -------------------------------------------------------------------------------------

    def _becomes_a_loop(self, names):
        """Whether formulas of rows can be written out as a loop, and formulas of numbers use what a loop has."""
        if not self.loss.rowwise:
            used = {(name, method) for name in names for method in machine.attributes_of(getattr(type(self.loss), name))
                    if isinstance(getattr(type(self.loss), method, None), FunctionType)}
            for name, method in sorted(used):
                self.add("compiled", "wrong", f"{name} cannot be compiled: it uses self.{method}(...), and of self it may "
                                              f"read numbers and flags only: make {method} a function of the module",
                         formula=name)
            return not used
        from ..trace import traced

        label = self.loss.target in ("label", "classes")
        for name in names:
            try:
                traced(self.loss, label, {"v" if name == "value" else "g": name}, False, False)
            except Exception as error:  # a formula may do anything with symbols
                self.add("compiled", "wrong", f"{name} cannot be compiled: {machine.reason(error)}", formula=name)
                return False
        return True

    def _machine_code(self):
        import numba

        if numba.config.DISABLE_JIT:
            self.add("compiled", "note", "not looked at: NUMBA_DISABLE_JIT is set")
            return
        points = [p for p in self.ordinary if np.ndim(p.y) == np.ndim(self.ordinary[0].y)]  # labels, or rows, not both
        for F in DTYPES:
            y, f = machine.arrays(self.loss, points, F)
            try:
                found = machine.instructions(machine.llvm(machine.kernel(self.loss, y, f)), F)
                gradient = self.loss.value_and_grad(y, f, reduction="sum")[1]
            except Exception as error:  # of a compiler, of many kinds
                self.add("compiled", "wrong", f"it does not compile: {machine.reason(error)}", dtype=F.__name__)
                return
            self._simd(F, *found)
            self._same_numbers(F, points, np.asarray(gradient, float).reshape(len(points), -1))
        self._refuses()

    def _simd(self, F, vectors, width, calls):
        evidence = dict(dtype=F.__name__, vector_instructions=vectors, width=width, calls=calls)
        if calls:
            hint = ": for x ** 2.5 write pow(x, 2.5) of fusedloss.vecmath" if calls == ["pow"] else \
                "; fusedloss.vecmath has the functions that are SIMD"
            text = f"{listed(calls)} of the C library {'is' if len(calls) == 1 else 'are'} called one number at a time{hint}"
        elif not vectors:
            loops = [name for name in ("value", "gradient") if not self.loss.rowwise
                     and machine.has_loop(getattr(type(self.loss), name))]
            text = f"not SIMD: {listed(loops)} {'has' if len(loops) == 1 else 'have'} a loop" if loops else \
                "not SIMD: an `if` may be the reason, write where(condition, a, b) of fusedloss.vecmath"
        else:
            text = f"SIMD, {vectors} vector instructions, {width} numbers at a time"
        self.add("compiled", "wrong" if calls or not vectors else "ok", f"{F.__name__}: {text}", **evidence)

    def _same_numbers(self, F, points, gradient):
        """The kernel's gradient against the plain formula's: roundings may be amplified, but not so far."""
        formula = np.array([self.subject.computed("gradient", *p, F) for p in points])
        known = np.isfinite(formula) & np.isfinite(gradient)
        typical = float(np.median(abs(formula[known]))) if known.any() else 1.0
        with np.errstate(invalid="ignore"):
            off = np.where(known, abs(gradient - formula) / np.maximum(abs(formula), typical + 1e-300), 0.0)
        worst = int(off.max(1).argmax())
        if off[worst].max() > 100 * math.sqrt(float(np.finfo(F).eps)):
            y, f = points[worst]
            self.add("compiled", "wrong", f"{F.__name__}: the kernel's gradient is not the formula's: {at(y, f)} expected "
                                          f"{show(formula[worst])}, found {show(gradient[worst])}",
                     y=y, f=f, expected=formula[worst], found=gradient[worst])

    def _refuses(self):
        """Whether targets and predictions outside the domain are refused."""
        loss = self.loss
        for name, domain in (("y_true", loss.y_domain), ("y_pred", loss.pred_domain)):
            outside = domain.low - 1.0 if math.isfinite(domain.low) else domain.high + 1.0
            y, f = machine.arrays(loss, self.ordinary[:1], np.float64)
            wrong = y if name == "y_true" else f
            if not math.isfinite(outside) or wrong.dtype != np.float64:
                continue
            wrong.flat[0] = outside
            try:
                loss.value_and_grad(y, f)
            except ValueError:
                continue
            self.add("domain", "wrong", f"{name} = {outside:g} is accepted, although it must be {domain}", found=outside)

    # ---- what is missing ---------------------------------------------------------------------------------------

    def _missing(self):
        loss = self.loss
        if not hasattr(loss, "gradient"):
            self.add("missing", "note", "no gradient(self, y, f): it can score predictions, but train nothing")
            return
        others = [f'"{name}"' for name in loss.curvatures]
        if not hasattr(loss, "hessian"):
            instead = f"pass hessian={listed(others, 'or')}" if others else \
                "grad_and_hess, and with it gradient boosting (XGBoost, LightGBM, CatBoost), needs one, or a majorizer"
            self.add("missing", "note", f'no hessian(self, y, f), so no hessian="exact": {instead}')
        elif not loss.convex and "majorizer" not in loss.curvatures:
            instead = f"; there is hessian={listed(others[1:], 'or')}" if len(others) > 1 else ""
            self.add("missing", "note", "no majorizer(self, y, f): where the Hessian is negative a Newton step leads uphill"
                                        f"{instead}")
        if loss.rowwise and not hasattr(loss, "hessian_times"):
            self.add("missing", "note", "no hessian_times(self, y, f, v): no hvp and no hess_blocks")
        if not any(hasattr(loss, name) for name in ("optimum", "start", "quantile_level")):
            self.add("missing", "note", "no optimum: init_score searches for the best constant")


# ---- small things ------------------------------------------------------------------------------------------------


def _points(comparisons):
    return len({(str(c.y), str(c.f)) for c in comparisons})


def _pattern(found, what, loss):
    """What a wrong derivative has in common at all ordinary points."""
    if all(c.error <= BAR for c in found):
        return f"it is {what}, but not at the ends of the domain"
    ratios = np.array([c.found / c.low for c in found if c.low and abs(c.high - c.low) < 1e-12 * abs(c.low)])
    if ratios.size > 2 and np.isfinite(ratios).all() and np.ptp(ratios) < 1e-6 * abs(ratios).max():
        return f"wrong sign: it is minus {what}" if abs(ratios[0] + 1.0) < 1e-6 else \
            f"a factor is wrong: it is {ratios[0]:.6g} times {what}"
    sides = [("where f > 0", "where f < 0", lambda c: float(c.f[c.k]))]
    if isinstance(loss.y_domain, Labels) and not loss.rowwise:
        sides = [("for y = 1", "for y = 0", lambda c: c.y - 0.5), *sides]
    elif not loss.rowwise:
        sides = [("where f > y", "where f < y", lambda c: float(c.f[0]) - c.y), *sides]
    elif loss.target in ("label", "classes"):
        sides = [("in the label's column", "in the other columns",
                  lambda c: 0 if np.ndim(c.y) else 1 if c.y == c.k else -1), *sides]
    for *where, side in sides:
        above, below = (np.mean([c.error > BAR for c in found if sign * side(c) > 0] or [0.5]) for sign in (1, -1))
        if {above, below} == {0.0, max(above, below)} and max(above, below) > 0.9:
            right, wrong = where if above == 0.0 else where[::-1]
            return f"it is {what} {right}, but not {wrong}"
    added = np.array([c.found - c.low for c in found])
    if added.size > 2 and np.isfinite(added).all() and np.ptp(added) < 1e-9 * abs(added).max():
        return f"it is {what} plus {added[0]:.6g}"
    return f"it is not {what}"


def _error(true, found, typical):
    """How far a derivative is off; poles do not count, and NaN does."""
    error = abs(found - true) / (abs(true) + 1e-4 * typical + 1e-300)
    return 0.0 if not abs(true) < 1e12 else math.inf if math.isnan(error) else error


def _evidence(kink):
    line, t, left, right, jump = kink
    return dict(y=line.y, f=line.origin + t * line.direction, left=left, right=right, jump=jump)


def _condition(name, places, holds):
    """"f < 1.5": where something holds that does so on one side of a place, and is looked at in these, rising; else None."""
    known = [holds(x) for x in places]
    changes = [k for k in range(len(places) - 1) if known[k] != known[k + 1]]
    if len(changes) != 1:
        return None
    low, high = places[changes[0]], places[changes[0] + 1]
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if holds(middle) == known[0] else (low, middle)
    return f"{name} {'<' if known[0] else '>'} {shown_place(high)}"


def _again(arithmetic, name, point, k):
    """The answer, where f and y may be off by roundings of 1."""
    return next(a for a in arithmetic.answers(name, point, absolute=True) if a.k == k)


def _moved(x, k, d):
    if not isinstance(x, np.ndarray):
        return x + d
    x = x.copy()
    x.flat[k] += d
    return x
