"""Every formula of every loss, uncompiled: against high-precision differences of its own value, and against peers."""

import copy
import functools
import math
import pickle
import re
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from mpmath import mp, mpf

import fusedloss as fl
from examples import EXAMPLES, ends, formulas_of, interpreted, rounded
from fusedloss.domain import Interval
from fusedloss.loss import snake_case
from fusedloss.losses import MODULE_OF
from fusedloss.registry import loss_class

INF = math.inf
BAR = {np.float64: 1e-13, np.float32: 1e-6}
DTYPES = pytest.mark.parametrize("F", [np.float64, np.float32], ids=["f64", "f32"])
LOSSES = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.id)
ELEMENTWISE = [name for name in MODULE_OF if not getattr(fl, name).rowwise]
CLASSES = pytest.mark.parametrize("cls", ELEMENTWISE, indirect=True)


@pytest.fixture
def cls(request):
    """A class of the catalogue by its name."""
    return getattr(fl, request.param)


# ---- evaluating one formula --------------------------------------------------------------------------------------


def exact(loss, **changed):
    """The same loss with parameters that are numbers of mpmath; its properties are then computed in many digits too."""
    twin = object.__new__(type(loss))
    for field in fields(loss):
        value = changed.get(field.name, getattr(loss, field.name))
        twin.__dict__[field.name] = mpf(value) if type(value) is float else value
    return twin


class Truth:
    """Value, gradient and Hessian of a loss at one point, by differences of its value in many digits.

    `gradient` and `hessian` are ranges: at a kink a formula may give anything between left and right, and at an end of
    the domain there is one side only. `blur` is how far the differences themselves may be off.
    """

    def __init__(self, loss, y, f, digits, step=40):
        distance = min((abs(x) for x in (f, f - y) if x), default=1.0)
        value = functools.partial(type(loss).value, exact(loss), mpf(y))
        self.arguments = loss, y, f, digits
        with mp.workdps(digits):
            h = mpf(10) ** -step * (distance if f != y else min(1.0, distance))
            here = value(mpf(f))
            noise = (abs(here) + 1) * mpf(10) ** (5 - digits) / h
            sides = []
            for d in (-h, h):
                if not loss.pred_domain.outside(f + math.copysign(1e-9 * min(1.0, abs(f) or 1.0), d)):
                    one, two = value(f + d), value(f + 2 * d)
                    sides.append(((one - here) / d, (two - 2 * one + here) / d**2))
        self.value, self.gradient, self.hessian = [here], [g for g, _ in sides], [second for _, second in sides]
        self.blur = {"value": 0, "gradient": noise, "hessian": noise / h}
        if f == y or len(sides) < 2:  # a power of the distance, which the step itself is
            self.blur = {"value": 0, "gradient": 1e-15 + noise, "hessian": 1e-15 + noise / h}

    def widened(self, name, F):
        """The range over a few roundings of f - y if there is a jump within them, and infinities if it has a pole."""
        loss, y, f, digits = self.arguments
        low, high = min(getattr(self, name)), max(getattr(self, name))
        finer = Truth(loss, y, f, digits, step=60)
        if max(map(abs, getattr(finer, name))) > 10 * max(abs(low), abs(high)) > 0:
            return -mp.inf, mp.inf
        d = 4 * float(np.finfo(F).eps) * max(abs(y), abs(f), 1.0)
        if not loss.pred_domain.outside(f - d) and not loss.pred_domain.outside(f + d):
            near = [t for x in (f - d, f + d) for t in getattr(Truth(loss, y, x, digits), name)]
            if max(near) - min(near) > 0.01 * max(map(abs, near)):
                return min(low, *near), max(high, *near)
        if low == high == 0:  # the value is constant here to all digits that count; its derivatives may know better
            return -1e-20 * abs(self.value[0]), 1e-20 * abs(self.value[0])
        return low, high


@functools.cache
def truths(index, F):
    loss = rounded(EXAMPLES[index].loss, F)
    ordinary, extreme = EXAMPLES[index].points(F, 12)
    return [(y, f, Truth(loss, y, f, digits)) for points, digits in ((ordinary, 150), (extreme, 450))
            for y, f in zip(*(x.tolist() for x in points), strict=True)]


def wrong_ones(index, F, name):
    """(y, f, found, true range) wherever a formula is further from the truth than the bar."""
    example, wrong = EXAMPLES[index], []
    y, f, known = map(list, zip(*truths(index, F), strict=True))
    got = interpreted(rounded(example.loss, F), name, y, f, F)
    for a, b, x, s, truth in zip(y, f, got.tolist(), example.scales(y, f).tolist(), known, strict=True):
        sides = getattr(truth, name)
        if not sides or not all(map(mp.isfinite, sides)):
            if math.isnan(x):
                wrong.append((a, b, x))
        elif not within(x, min(sides), max(sides), bar(F, a, b, s, sides, truth.blur[name]), F):
            low, high = truth.widened(name, F)
            if not within(x, low, high, bar(F, a, b, s, sides, truth.blur[name]), F):
                wrong.append((a, b, x, float(low), float(high)))
    return wrong


def bar(F, y, f, scale, sides, blur):
    """How far an answer may be from the truth. Numbers beyond 1e15 are no data: there 1e-20 is as good as 1e-200."""
    far = 1e-20 if max(abs(y), abs(f)) > 1e15 else 0.0
    return BAR[F] * max(*map(abs, sides), mpf(scale), mpf(far)) + blur + mpf(float(np.finfo(F).tiny))


def within(x, low, high, bar, F):
    if math.isinf(x):
        largest = float(np.finfo(F).max) * (1 - 1e-6)
        return high + bar > largest if x > 0 else low - bar < -largest
    return low - bar <= x <= high + bar  # NaN is not


# ---- formulas ----------------------------------------------------------------------------------------------------

INDICES = pytest.mark.parametrize("index", range(len(EXAMPLES)), ids=[example.id for example in EXAMPLES])


@DTYPES
@INDICES
def test_value_gradient_and_hessian(index, F):
    """Against differences of the loss's own value, in the middle and at the ends of its domain."""
    wrong = {name: wrong_ones(index, F, name) for name in ("value", "gradient", "hessian")}
    assert not any(wrong.values()), "\n".join(f"{name} (y, f, found, true): {w[:4]}" for name, w in wrong.items() if w)


@INDICES
def test_smooth_means_that_the_gradient_has_no_jump(index):
    """No jump at the points looked at if it says smooth; a jump is found somewhere between -30 and 30 if it does not."""
    loss = EXAMPLES[index].loss
    if loss.smooth:
        for y, f, truth in truths(index, np.float64):
            if len(truth.gradient) == 2 and all(map(mp.isfinite, truth.gradient + truth.hessian)):
                bound = 1e-14 * max(map(abs, truth.gradient)) + 1e-30 * (1 + abs(f)) * max(map(abs, truth.hessian))
                assert abs(truth.gradient[1] - truth.gradient[0]) <= truth.blur["gradient"] + bound, (y, f)
    else:
        y = EXAMPLES[index].draw(np.random.default_rng(1), 1)[0][0]
        assert any(largest_jump(loss, y, low, high) > 1e-6 for low, high in ((-30.0, 30.0), (y - 3.0, y + 3.0)))


def largest_jump(loss, y, low, high):
    """The largest change of the gradient over less than 1e-9, found by bisection of the steepest steps."""
    if not loss.pred_domain.everything:
        low, high = max(low, loss.pred_domain.low + 1e-6), min(high, loss.pred_domain.high - 1e-6)
    grid = np.linspace(low, high, 401)
    slopes = np.array([loss.gradient(y, f) for f in grid.tolist()])
    best = 0.0
    for k in np.argsort(-abs(np.diff(slopes)))[:6]:
        a, b = grid[k: k + 2].tolist()
        while b - a > 1e-9:
            middle = 0.5 * (a + b)
            if abs(loss.gradient(y, middle) - loss.gradient(y, a)) >= abs(loss.gradient(y, b) - loss.gradient(y, middle)):
                b = middle
            else:
                a = middle
        best = max(best, abs(loss.gradient(y, b) - loss.gradient(y, a)))
    return best


PARAMETRIC = [(example, name) for example in EXAMPLES
              for name in dir(type(example.loss)) if name.startswith("gradient_")]


@pytest.mark.parametrize(("example", "name"), PARAMETRIC, ids=[f"{e.id}-{name}" for e, name in PARAMETRIC])
def test_gradient_with_respect_to_a_parameter(example, name):
    """Against differences of the value between losses whose parameter differs, in numbers of 60 digits."""
    loss, parameter = example.loss, name.removeprefix("gradient_")
    domain = loss.__dataclass_fields__[parameter].metadata["domain"]
    y, f = example.draw(np.random.default_rng(2), 12)
    got = interpreted(loss, name, y, f, np.float64)
    single = interpreted(rounded(loss, np.float32), name, y, f, np.float32)
    assert not np.isnan([got, single]).any()
    centre = getattr(loss, parameter)
    if domain.outside(np.nextafter(centre, INF)) or domain.outside(np.nextafter(centre, -INF)):
        return
    with mp.workdps(60):
        for a, b, x, x32 in zip(y.tolist(), f.tolist(), got.tolist(), single.tolist(), strict=True):
            h = mpf(10) ** -20 * abs(centre or 1)
            above, below = (type(loss).value(exact(loss, **{parameter: mpf(centre) + d}), mpf(a), mpf(b)) for d in (h, -h))
            true = (above - below) / (2 * h)
            size = max(abs(true), mpf(float(example.scale(a, b))) if example.scale else mpf(0))
            assert abs(x - true) <= 1e-9 * size + 1e-15, (a, b, x, float(true))
            assert abs(x32 - true) <= 1e-4 * size + 1e-5, (a, b, x32, float(true))


MAJORIZED = [example for example in EXAMPLES if hasattr(example.loss, "majorizer")]


@pytest.mark.parametrize("example", MAJORIZED, ids=lambda example: example.id)
def test_majorizer_lies_above_the_loss(example):
    loss, rng = example.loss, np.random.default_rng(3)
    y, f = example.draw(rng, 40)
    step = rng.normal(0, 1, 40) * 10.0 ** rng.uniform(-3, 2, 40)
    for a, b, d in zip(y.tolist(), f.tolist(), step.tolist(), strict=True):
        if loss.pred_domain.outside(b + d):
            continue
        curvature = loss.majorizer(a, b)
        if curvature == INF:  # no parabola lies above it
            continue
        bound = loss.value(a, b) + loss.gradient(a, b) * d + 0.5 * curvature * d * d
        assert curvature >= 0
        assert loss.value(a, b + d) <= bound + 1e-12 * (1 + abs(bound)), (a, b, d)
    if symmetric(loss):
        for a, b in zip(y.tolist(), f.tolist(), strict=True):
            if a != b:
                assert loss.majorizer(a, b) * (b - a) == pytest.approx(loss.gradient(a, b), rel=1e-12, abs=1e-300)


def symmetric(loss):
    """Whether it is an even function of f - y."""
    pairs = ((2.0, 0.7), (0.3, 5.0), (1.0, -1.25))
    return loss.link == "identity" and all(
        loss.value(y, f) == pytest.approx(loss.value(f, y), rel=1e-13)
        and loss.value(y, f) == pytest.approx(loss.value(y + 1, f + 1), rel=1e-9) for y, f in pairs)


@DTYPES
@LOSSES
def test_no_nan_anywhere_in_the_domain(example, F):
    """Infinite predictions included, and plain Python floats give the same as NumPy's and raise nothing."""
    loss = example.loss
    y, f = map(np.ravel, np.meshgrid(ends(loss.y_domain, F), np.append(ends(loss.pred_domain, F), infinities(loss))))
    for name in formulas_of(loss):
        got = interpreted(loss, name, y, f, F)
        bad = np.flatnonzero(np.isnan(got))
        assert not bad.size, (name, y[bad[:4]], f[bad[:4]])
        if np.float64 == F:
            plain = [float(getattr(loss, name)(a, b)) for a, b in zip(y.tolist(), f.tolist(), strict=True)]
            np.testing.assert_array_equal(plain, got, err_msg=name)


def infinities(loss):
    """Of raw scores; a mean or a probability is finite."""
    if not loss.pred_domain.everything:
        return []
    return [x for x in (-INF, INF) if not loss.pred_domain.outside(x)]


@LOSSES
def test_infinite_predictions_give_the_limit(example):
    """Value, gradient and Hessian at infinity are what they tend to: as at the largest double, or infinite."""
    loss = example.loss
    for end in infinities(loss):
        for y in ends(loss.y_domain, np.float64)[::2]:
            if abs(y) > 1e6:
                continue
            for name in ("value", "gradient", "hessian"):
                limit = interpreted(loss, name, [y], [end], np.float64)[0]
                near = [interpreted(loss, name, [y], [math.copysign(x, end)], np.float64)[0] for x in (1e20, 1e40, 1e80)]
                case = (name, y, end, near, limit)
                assert not math.isnan(limit), case
                if near[2] == near[1] or abs(near[2] - near[1]) <= 1e-13 * abs(near[1]):  # it is there already
                    assert limit == pytest.approx(near[2], rel=1e-12), case
                elif abs(near[2]) > 1e15:  # it grows without bound
                    assert limit == math.copysign(INF, near[2]), case
                else:  # it still moves, slowly
                    assert (limit - near[2]) * (near[2] - near[1]) >= 0, case


PEERED = [example for example in EXAMPLES if example.peer]


@pytest.mark.parametrize("example", PEERED, ids=lambda example: example.id)
def test_value_equals_the_independent_peer(example):
    y, f = example.draw(np.random.default_rng(4), 400)
    with np.errstate(all="ignore"):
        expected = np.asarray(example.peer(y, f), float)
    got = interpreted(example.loss, "value", y, f, np.float64)
    assert expected.shape == got.shape
    kept = np.isfinite(expected)
    assert kept.mean() > 0.5
    size = np.maximum(1.0, abs(expected[kept]))
    if example.scale is not None:
        size = np.maximum(size, np.broadcast_to(example.scale(y, f), y.shape)[kept])
    assert (abs(got[kept] - expected[kept]) / size).max() < 1e-11


@LOSSES
def test_convex_is_said_where_it_is_true(example):
    """No chord lies below the value if it says convex; some chord does if it does not."""
    loss, rng = example.loss, np.random.default_rng(5)
    (y, a), (_, b) = example.draw(rng, 300), example.draw(rng, 300)
    if loss.pred_domain.everything:
        a, b = (x * 10.0 ** rng.uniform(-1, 2.5, 300) for x in (a, b))
    close = b.copy()
    close[::2] = a[::2] + 0.1 * (b[::2] - a[::2])
    middle, low, high = (interpreted(loss, "value", y, x, np.float64) for x in (0.5 * (a + close), a, close))
    middle, low, high = (x[np.isfinite(low) & np.isfinite(high)] for x in (middle, low, high))
    gap = middle - 0.5 * (low + high)
    size = np.maximum(np.maximum(abs(low), abs(high)), 1e-3)
    if loss.convex:
        assert (gap <= 1e-12 * size).all()
    else:
        assert (gap > 1e-9 * size).any()


KNOWN_BEST = [example for example in EXAMPLES if hasattr(example.loss, "optimum") or hasattr(example.loss, "quantile_level")]


@pytest.mark.parametrize("example", KNOWN_BEST, ids=lambda example: example.id)
def test_optimum_is_the_best_constant(example):
    """`optimum(mean)` or the quantile of level `quantile_level`: no constant is better, and the gradient sums to zero."""
    loss, rng = example.loss, np.random.default_rng(6)
    y = example.draw(rng, 101)[0]
    if hasattr(loss, "optimum"):
        best = float(loss.optimum(float(y.mean())))
    else:
        best = float(np.quantile(y, loss.quantile_level, method="inverted_cdf"))

    def total(f, name="value"):
        return interpreted(loss, name, y, np.full(y.shape, f), np.float64).sum()

    if math.isinf(best):  # more is always better
        best = math.copysign(1e6, best)
    lowest = total(best)
    others = example.draw(rng, 30)[1]
    near = best + np.array([-0.1, -0.01, 0.01, 0.1]) if abs(best) < 1e6 else []
    for other in np.append(others, near):
        if not loss.pred_domain.outside(other):
            assert lowest <= total(other) + 1e-10 * (1 + abs(lowest)), (best, other)
    if loss.smooth and abs(best) != 1e6:
        sizes, curvature = (abs(interpreted(loss, name, y, np.full(y.shape, best), np.float64)).sum()
                            for name in ("gradient", "hessian"))
        assert abs(total(best, "gradient")) <= 1e-11 * sizes + 1e-15 * max(1.0, abs(best)) * curvature


# ---- what a loss is, as an object --------------------------------------------------------------------------------


@LOSSES
def test_immutable_hashable_comparable_picklable(example):
    loss = example.loss
    from_repr = eval(repr(loss), {type(loss).__name__: type(loss), "inf": INF})
    for twin in (pickle.loads(pickle.dumps(loss)), copy.copy(loss), copy.deepcopy(loss), from_repr):
        assert twin == loss
        assert hash(twin) == hash(loss)
        assert type(twin) is type(loss)
    assert [other for other in EXAMPLE_LOSSES if other == loss] == [loss]
    with pytest.raises(FrozenInstanceError):
        loss.name = "other"
    for field in fields(loss):
        with pytest.raises(FrozenInstanceError):
            setattr(loss, field.name, 1.0)


EXAMPLE_LOSSES = {example.loss for example in EXAMPLES}


def test_every_loss_of_the_catalogue_is_in_the_table_with_its_defaults():
    assert {type(example.loss).__name__ for example in EXAMPLES} == set(ELEMENTWISE)
    assert {loss_class(snake_case(name))() for name in ELEMENTWISE} <= EXAMPLE_LOSSES


@CLASSES
def test_parameters_out_of_range_are_refused_by_name(cls):
    for field in fields(cls):
        if "choices" in field.metadata:
            wrong = ["nonsense"]
        elif isinstance(field.default, bool):
            with pytest.raises(TypeError, match=rf"{cls.__name__}: {field.name} must be True or False, found 'yes'"):
                cls(**{field.name: "yes"})
            continue
        else:
            domain = field.metadata.get("domain", Interval())
            wrong = [math.nan, *outside(domain)]
            with pytest.raises(TypeError, match=rf"{cls.__name__}: {field.name} must be a number"):
                cls(**{field.name: "a word"})
            with pytest.raises(TypeError, match=rf"{cls.__name__}: {field.name} must be a number"):
                cls(**{field.name: True})
        for value in wrong:
            with pytest.raises(ValueError, match=rf"{cls.__name__}: {field.name} must be .* found"):
                cls(**{field.name: value})


OUT_OF_RANGE = {
    "Huber": dict(delta=(0, -1, INF)), "SmoothL1": dict(beta=(0, -1)), "PseudoHuber": dict(delta=(0, -1, INF)),
    "Charbonnier": dict(epsilon=(0, -1)), "Fair": dict(c=(0, -1)), "Cauchy": dict(c=(0, -1)), "Welsch": dict(c=(0, -1)),
    "GemanMcClure": dict(c=(0, -1)), "TukeyBiweight": dict(c=(0, -1)), "Andrews": dict(c=(0, -1)),
    "GeneralRobust": dict(alpha=(2.1, INF, -INF), scale=(0, -1)), "EpsilonInsensitive": dict(epsilon=(-1e-9, INF)),
    "SquaredEpsilonInsensitive": dict(epsilon=(-1,)), "Linex": dict(a=(0, INF)), "Lq": dict(q=(0.9, 0, INF)),
    "Pinball": dict(quantile=(0, 1, -0.1, 90)), "SoftplusPinball": dict(quantile=(0, 1), smoothing=(0, -1)),
    "ArctanPinball": dict(quantile=(0, 1), smoothing=(0,)), "HuberPinball": dict(quantile=(0, 1), delta=(0,)),
    "Expectile": dict(quantile=(0, 1)), "BinaryCrossEntropy": dict(pos_weight=(0, -1, INF), label_smoothing=(-0.1, 1.1)),
    "BinaryFocal": dict(gamma=(-0.1, INF), alpha=(-0.1, 1.1)), "BinaryGeneralizedCrossEntropy": dict(q=(-0.1, 1.1)),
    "SmoothedHinge": dict(gamma=(0, -1)), "Tweedie": dict(power=(0.9, 2.1)), "NegativeBinomial": dict(alpha=(0, -1)),
    "TweedieDeviance": dict(power=(0.5, 0.1, 0.9, INF)), "HingeGAN": dict(side=("critic", None)),
}
"""Said again, for a class cannot know that its own range is wrong."""


@pytest.mark.parametrize(("name", "parameter", "value"), [(name, parameter, value) for name, wrong in OUT_OF_RANGE.items()
                                                          for parameter, values in wrong.items() for value in values])
def test_these_parameters_are_refused(name, parameter, value):
    with pytest.raises(ValueError, match=rf"{name}: {parameter} must .*found {re.escape(repr(value))}"):
        getattr(fl, name)(**{parameter: value})


def outside(domain):
    """Numbers just outside and far outside."""
    if math.isfinite(domain.low):
        yield from [domain.low - 1, np.nextafter(domain.low, -INF) if domain.low_closed else domain.low]
    if math.isfinite(domain.high):
        yield from [domain.high + 1, np.nextafter(domain.high, INF) if domain.high_closed else domain.high]


@CLASSES
def test_unknown_parameters_are_refused(cls):
    with pytest.raises(TypeError, match="no_such_parameter"):
        cls(no_such_parameter=1.0)


@CLASSES
def test_docstring_says_what_it_is(cls):
    text = cls.__doc__
    assert cls.formula
    assert text.splitlines()[0].endswith((".", ":")), "one line of purpose"
    assert "Domain" in text
    assert re.search(r"\b(1[789]|20)\d\d\b", text), "a source with its year"
    assert "essian" in text or "urvature" in text, "what the Hessian is"
    for field in fields(cls):
        assert field.name in text, f"no word about {field.name}"
    for name in ("value", "gradient", "hessian"):
        assert name in vars(cls) or name in {n for base in cls.__mro__[1:-3] for n in vars(base)}


@CLASSES
def test_formulas_are_defined_in_the_class_without_loops(cls):
    """Straight-line code is what becomes SIMD: no jump backwards in any formula."""
    import dis

    for name in formulas_of(cls):
        jumps = [i.opname for i in dis.get_instructions(getattr(cls, name)) if "JUMP_BACKWARD" in i.opname]
        assert not jumps
