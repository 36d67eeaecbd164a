"""The curvatures behind `hessian=`: what each loss says of them holds on random pairs, and where it says no, it does not."""

import itertools
import math

import mpmath as mp
import numpy as np
import pytest
import rows
from mpmath import mpf
from scipy import integrate, stats
from test_formulas import exact

import fusedloss as fl
from examples import EXAMPLES, ROW_EXAMPLES, ends, interpreted
from fusedloss.curvatures import FORMULAS, Curvature, formula_of

ALL = [*EXAMPLES, *ROW_EXAMPLES]
EXAMPLE = pytest.mark.parametrize("example", ALL, ids=lambda example: example.id)


class Sampled:
    """Values, gradients and curvatures of one loss at one target and one prediction, as rows of numbers."""

    def __init__(self, loss, y, f):
        self.loss, self.y, self.f = loss, y, np.atleast_1d(f)

    def formula(self, name, f=None):
        f = self.f if f is None else f
        if self.loss.rowwise:
            return np.atleast_1d(rows.interpreted(self.loss, name, self.y, f, np.float64))
        return interpreted(self.loss, name, [self.y], f, np.float64)

    def curvature(self, policy):
        return self.formula(formula_of(self.loss, policy))

    def positive(self, policy):
        """Whether the curvature is positive: what is 0 as a double, in many digits."""
        h = self.curvature(policy)
        if (h > 0.0).all() or not (h >= 0.0).all():
            return bool((h > 0.0).all())
        name = formula_of(self.loss, policy)
        with mp.workdps(60):
            if self.loss.rowwise:
                h = np.atleast_1d(rows.formula(self.loss, name)(rows.exact(self.loss), rows.exactly(self.y),
                                                                rows.exactly(self.f)))
                return all(x > 0 for x in h[self.counted()])
            return getattr(type(self.loss), name)(exact(self.loss), mpf(self.y), mpf(float(self.f[0]))) > 0

    def counted(self):
        """The columns that count: not those of unknown labels, nor of a class without weight."""
        if self.loss.unknown_targets:
            return ~np.isnan(self.y)
        classes = self.loss.target != "number" and not self.loss.single_score and self.loss.n_classes(1) == 1
        return np.full(self.f.shape, self.f.size > 1 or not classes)

    def parabola_is_above(self, policy, d):
        """At f + d: True, False, or None where the parabola is the value itself up to rounding."""
        with np.errstate(all="ignore"):
            here, there = (float(self.formula("value", f)[0]) for f in (self.f, self.f + d))
            terms = self.formula("gradient") * d, 0.5 * self.curvature(policy) * d * d
            bound, size = here + sum(map(np.sum, terms)), abs(here) + abs(there) + sum(abs(t).sum() for t in terms)
        if not np.isfinite(size) or abs(there - bound) <= 1e-11 * size:
            return None
        return bool(there < bound)

    def ratio(self, policy):
        """The longest Newton step, |g| / h."""
        with np.errstate(all="ignore"):
            g, h = abs(self.formula("gradient")), self.curvature(policy)
            ratio = np.where(g == 0.0, 0.0, np.where(h > 0.0, g / h, np.inf))
        return ratio[np.isfinite(g) & np.isfinite(h)].max(initial=0.0)


def weighs_nothing(loss, y):
    """Whether a target has no weight in the loss: a class of weight 0, a row of zeros."""
    weights = getattr(loss, "class_weight", None)
    if weights is not None:
        return not np.any(np.asarray(weights) * (np.arange(len(weights)) == y if np.ndim(y) == 0 else y))
    return np.ndim(y) == 1 and not loss.unknown_targets and loss.y_domain.low >= 0 and not np.any(y)


def samples(example, n, rng):
    loss = example.loss
    y, f = example.draw(rng, n)
    return [Sampled(loss, a, b) for a, b in zip(y if loss.rowwise else y.tolist(), f, strict=True)
            if not loss.rowwise or not weighs_nothing(loss, a)]


def pairs(example, n, rng):
    """Samples with steps to other predictions of the domain, short and long."""
    for k, (here, there) in enumerate(zip(samples(example, n, rng), samples(example, n, rng), strict=False)):
        d = there.f - here.f if k % 3 == 0 else rng.normal(0, 1, here.f.shape) * 10.0 ** rng.uniform(-2, 1.5)
        if not np.any(example.loss.pred_domain.outside(here.f + d)):
            yield here, d


def walks(example, rng):
    """Samples whose predictions go to the ends of the domain, as far as the formulas do: lists from near to far."""
    domain = example.loss.pred_domain
    for here in samples(example, 4, rng):
        directions = [rng.choice([-1.0, 1.0], here.f.shape) for _ in range(2)]
        for direction in [*directions, -directions[0]] if domain.everything else ():
            with np.errstate(all="ignore"):
                yield [Sampled(here.loss, here.y, s * direction + (here.f if s < 1e3 else 0.0)) for s in
                       (1.0, 7.0, 30.0, 300.0, 1e4, 1e9, 1e12)[: 4 if here.loss.rowwise and here.loss.columns else 7]]
        if not domain.everything:
            yield [Sampled(here.loss, here.y, np.array([x])) for x in ends(domain, np.float64) if abs(x) < 1e100]


N = {False: 36, True: 9}
"""Points per example, of numbers and of rows."""


@EXAMPLE
def test_guarantees_hold(example):
    loss, rng = example.loss, np.random.default_rng(0)
    points, steps, far = (list(x) for x in (samples(example, N[loss.rowwise], rng), pairs(example, N[loss.rowwise], rng),
                                            walks(example, rng)))
    assert points
    for policy, guarantee in loss.curvatures.items():
        if guarantee.positive:
            for point in points:
                assert point.positive(policy), (policy, point.y, point.f)
        if guarantee.majorizes:
            for point, d in steps:
                assert point.parabola_is_above(policy, d) is not False, (policy, point.y, point.f, d)
        if guarantee.bounded:
            for walk in far:
                ratios = [point.ratio(policy) for point in walk]
                assert math.isfinite(max(ratios)), (policy, walk[0].y)
                assert ratios[-1] <= 1.01 * max(ratios[:-1]) + 1e-12, (policy, walk[0].y)
                assert max(ratios) <= 1.0 + 1e-12 or policy != "bounded"


def refuted(example, policy, name):
    rng = np.random.default_rng(1)
    if name == "positive":
        points = samples(example, 40, rng)
        if example.loss.rowwise and example.loss.target == "number":
            points += [Sampled(point.loss, point.f[0], point.f) for point in points if point.f[0] > 0]  # an error of 0
        elif example.loss.rowwise and example.loss.target == "classes":  # and here
            points += [Sampled(point.loss, np.full(len(point.f), 1 / len(point.f)), 0 * point.f) for point in points]
        return not all(point.positive(policy) for point in points)
    if name == "majorizes":
        return any(point.parabola_is_above(policy, d) is False for point, d in pairs(example, 40, rng))
    return any(point.ratio(policy) > 1e3 for walk in walks(example, rng) for point in walk)


@pytest.mark.parametrize("name", Curvature._fields)
def test_what_is_not_guaranteed_is_not_so(name):
    """A counterexample is found for nearly every class that does not guarantee it."""
    refutable = {}
    for example in ALL:
        for policy, guarantee in example.loss.curvatures.items():
            if not getattr(guarantee, name):
                refutable.setdefault((type(example.loss).__name__, policy), []).append(example)
    missed = [case for case, found in refutable.items() if not any(refuted(example, case[1], name) for example in found)]
    assert len(missed) <= 0.1 * len(refutable), missed


# ---- what the formulas compute -----------------------------------------------------------------------------------


def two(p):
    return [(0.0, 1 - p), (1.0, p)]


def counts(distribution):
    return [(float(k), distribution.pmf(k)) for k in range(int(distribution.isf(1e-15)) + 5)]


MODELS = {  # by the class of a loss: the distribution of y at (loss, f), or pairs of a target and its probability
    "HalfSquaredError": lambda loss, f: stats.norm(f),
    "SquaredError": lambda loss, f: stats.norm(f, 0.5**0.5),
    "LeastSquaresGAN": lambda loss, f: stats.norm(f),
    "LogCosh": lambda loss, f: stats.hypsecant(f),
    "AbsoluteError": lambda loss, f: stats.laplace(f),
    "Pinball": lambda loss, f: [(f - 1.0, loss.quantile), (f + 1.0, 1 - loss.quantile)],  # asymmetric Laplace: either side
    "BinaryCrossEntropy": lambda loss, f: two(stats.logistic.cdf(f) if loss.from_logits else f),
    "GANMinimax": lambda loss, f: two(stats.logistic.cdf(f)),
    "GANNonSaturating": lambda loss, f: two(stats.logistic.cdf(f)),
    "Probit": lambda loss, f: two(stats.norm.cdf(f)),
    "ComplementaryLogLog": lambda loss, f: two(-math.expm1(-math.exp(f))),
    "Poisson": lambda loss, f: counts(stats.poisson(math.exp(f))),
    "PoissonDeviance": lambda loss, f: counts(stats.poisson(f)),
    "NegativeBinomial": lambda loss, f: counts(stats.nbinom(1 / loss.alpha, 1 / (1 + loss.alpha * math.exp(f)))),
    "Gamma": lambda loss, f: stats.expon(scale=math.exp(f)),
    "GammaDeviance": lambda loss, f: stats.expon(scale=f),
    "InverseGaussian": lambda loss, f: stats.invgauss(math.exp(f)),
    "InverseGaussianDeviance": lambda loss, f: stats.invgauss(f),
    "Tweedie": lambda loss, f: [(math.exp(f), 1.0)],  # the Hessian is linear in y: its mean is that at the mean
    "TweedieDeviance": lambda loss, f: [(f, 1.0)],
}

LIKELIHOODS = [loss for loss in dict.fromkeys(example.loss for example in EXAMPLES) if "fisher" in loss.curvatures]


@pytest.mark.parametrize("loss", LIKELIHOODS, ids=repr)
def test_fisher_is_the_mean_of_the_hessian_over_the_model(loss):
    """By sums and integrals over the targets; of a loss whose Hessian is a kink the mean of the squared gradient."""
    real, positive, unit = (-1.5, 0.4, 2.0), (0.3, 1.0, 2.5), (0.2, 0.5, 0.9)
    for f in real if loss.pred_domain.everything else unit if loss.pred_domain.high == 1.0 else positive:
        def bend(y, f=f):
            return float(loss.hessian(y, f) if loss.smooth else loss.gradient(y, f) ** 2)

        model = MODELS[type(loss).__name__](loss, f)
        if isinstance(model, list):
            expected = math.fsum(p * bend(y) for y, p in model if p)
        else:
            expected = sum(integrate.quad(lambda y: bend(y) * model.pdf(y), *side, limit=400)[0]  # noqa: B023
                           for side in itertools.pairwise((model.ppf(1e-14), model.median(), model.isf(1e-14))))
        assert float(loss.fisher_diagonal(0.0, f)) == pytest.approx(expected, rel=1e-6)


def model_of_rows(loss, columns, row):
    """Pairs of a target and its probability."""
    if loss.unknown_targets:
        p = 1 / (1 + np.exp(-row))
        targets = [np.array(t, float) for t in itertools.product((0.0, 1.0), repeat=columns)]
        return [(t, np.prod(np.where(t == 1.0, p, 1 - p))) for t in targets]
    if isinstance(loss, fl.CategoricalCrossEntropy):  # smoothing and weights of classes are no part of the model
        return list(enumerate(loss.prediction(row)))
    return [(k, math.exp(-rows.interpreted(loss, "value", k, row, np.float64))) for k in range(loss.n_classes(columns))]


ROW_LIKELIHOODS = [example for example in ROW_EXAMPLES if "fisher" in example.loss.curvatures
                   and (example.loss.target in ("label", "classes") or example.loss.unknown_targets)]


@pytest.mark.parametrize("example", ROW_LIKELIHOODS, ids=lambda example: example.id)
def test_fisher_of_rows_is_the_mean_of_the_hessian_over_the_model(example):
    loss = example.loss
    for row in example.draw(np.random.default_rng(4), 4)[1]:
        model = model_of_rows(loss, example.columns, row)
        assert sum(p for _, p in model) == pytest.approx(1.0, rel=1e-9)
        expected = sum(p * rows.interpreted(loss, "hessian", y, row, np.float64) for y, p in model)
        got = rows.interpreted(loss, "fisher_diagonal", model[0][0], row, np.float64)
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-290)


def logit(p):
    return mp.log(p / (1 - p))


def sigmoid(f):
    return 1 / (1 + mp.exp(-f))


def softmax(f):
    e = np.array([mp.exp(x) for x in f], object)
    return e / sum(e)


def logs(p):
    return np.array([mp.log(x) for x in p], object)


INNER = {  # class -> mu(f), and f(mu): the loss is convex in mu
    "SquaredLogError": (lambda f: mp.log(1 + f), lambda u: mp.exp(u) - 1),
    "Tangent": (mp.atan, mp.tan),
    **dict.fromkeys(("BinaryBrier", "BinaryFocal", "BinaryPoly1", "BinaryGeneralizedCrossEntropy", "Savage"),
                    (sigmoid, logit)),
    "AsymmetricLoss": (np.vectorize(sigmoid, otypes="O"), np.vectorize(logit, otypes="O")),
    "Spherical": (lambda f: softmax(2 * f), lambda p: logs(p) / 2),
}


def curved_inside(example):
    """Whether gauss_newton is a formula of its own, of a map mu that is known here."""
    loss = example.loss
    return (formula_of(loss, "gauss_newton") == "gauss_newton" and "gauss_newton" in loss.curvatures
            and not (isinstance(loss, fl.BiTempered) and loss.t2 != 1)
            and not getattr(loss, "has_z_loss", False))


@pytest.mark.parametrize("example", [*filter(curved_inside, ALL)], ids=lambda example: example.id)
def test_gauss_newton_is_the_curvature_along_a_straight_line_of_mu(example):
    """The second difference of the value along mu + e dmu/df_k, in 60 digits."""
    loss = example.loss
    mu, back = INNER.get(type(loss).__name__, (softmax, logs))
    y, f = example.draw(np.random.default_rng(5), 6)
    with mp.workdps(60):
        h = mpf(10) ** -18
        for a, b in zip(y, f, strict=True):
            if np.max(abs(b)) > 20:
                continue
            twin = rows.exact(loss) if loss.rowwise else exact(loss)
            target, point = (rows.exactly(a), rows.exactly(b)) if loss.rowwise else (mpf(float(a)), mpf(float(b)))
            got = Sampled(loss, a if loss.rowwise else float(a), b).formula("gauss_newton")
            for k, x in enumerate(got):
                step = h * np.array([mpf(int(j == k)) for j in range(len(got))], object) if loss.rowwise else h
                along = (mu(point + step) - mu(point - step)) / 2
                ahead, here, behind = (type(loss).value(twin, target, back(mu(point) + s * along)) for s in (1, 0, -1))
                assert x == pytest.approx(float((ahead - 2 * here + behind) / h**2), rel=1e-8, abs=1e-14), (a, b, k)


def test_gauss_newton_of_a_squared_log_sum_and_of_the_tempered_softmax():
    """z_loss L^2 without the curvature of L; and at t1 = 1 the likelihood of the tempered softmax: e^2 / P_y^2(t2 - 1)."""
    f = np.array([0.3, -1.0, 0.9])
    p, L = np.exp(f) / np.exp(f).sum(), np.log(np.exp(f).sum())
    loss = fl.CategoricalCrossEntropy(z_loss=0.25)
    np.testing.assert_allclose(loss.hessian(1, f) - loss.gauss_newton(1, f), 2 * 0.25 * L * p * (1 - p), rtol=1e-12)
    tempered = fl.BiTempered(t1=1.0, t2=1.5)
    h = 1e-6
    slopes = [(right_class(tempered, f + h * e) - right_class(tempered, f - h * e)) / (2 * h) for e in np.eye(3)]
    np.testing.assert_allclose(tempered.gauss_newton(1, f), (np.array(slopes) / right_class(tempered, f)) ** 2, rtol=1e-7)


def right_class(loss, f):
    """P_1 of the tempered softmax, from l = -log P_1 for t1 = 1."""
    return math.exp(-loss.value(1, f))


CONSTANT = [example for example in ALL if "constant" in example.loss.curvatures]


@pytest.mark.parametrize("example", CONSTANT, ids=lambda example: example.id)
def test_constant_is_the_largest_hessian(example):
    """It does not depend on f; of losses of one number no smaller one would do (but for the concave one of a GAN)."""
    loss = example.loss
    points, reached = samples(example, 6, np.random.default_rng(6)), 0.0
    for point, other in itertools.pairwise(points):
        constant = point.curvature("constant")
        np.testing.assert_array_equal(Sampled(loss, point.y, other.f).curvature("constant"), constant)
        if not loss.rowwise:
            corner = 1 - 0.5 * getattr(loss, "gamma", 0.0)  # of SmoothedHinge
            near = [point.y + s * 10.0**k for s in (-1, 1) for k in range(-12, 2)]
            f = np.array([point.y, *near, -corner, corner, *np.linspace(-30, 30, 601)])
            f = f[~loss.pred_domain.outside(f)]
            bends = interpreted(loss, "hessian", np.full(f.shape, point.y), f, np.float64)
            assert bends.max() <= constant[0] * (1 + 1e-12), point.y
            reached = max(reached, bends.max() / constant[0] if constant[0] else 0.0)
    assert loss.rowwise or reached > 0.99 or loss == fl.GANMinimax(side="generator")


# ---- asking for them ---------------------------------------------------------------------------------------------


def test_a_loss_says_what_it_offers():
    assert fl.BinaryCrossEntropy().curvatures == {
        "exact": (True, False, False), "majorizer": (True, True, False), "fisher": (True, False, False),
        "gauss_newton": (True, False, False), "bounded": (True, False, True), "constant": (True, True, True),
        "xgboost": (True, False, False), "lightgbm": (True, False, False)}
    assert fl.SquaredError().curvatures["exact"] == Curvature(positive=True, majorizes=True, bounded=False)
    assert list(fl.AbsoluteError().curvatures) == ["exact", "majorizer", "fisher", "gauss_newton", "xgboost", "lightgbm"]
    assert set(fl.BinaryFocal().curvatures) == {"exact", "gauss_newton", "bounded", "constant"}
    assert {"majorizer", "xgboost"}.isdisjoint(fl.BinaryCrossEntropy(from_logits=False).curvatures)
    assert "constant" not in fl.CategoricalCrossEntropy(z_loss=0.1).curvatures
    with pytest.raises(TypeError):
        fl.Huber().curvatures["exact"] = None
    text = " ".join(fl.Poisson().describe().split())
    assert "exact: positive; fisher: positive; gauss_newton: positive; bounded: positive, bounded" in text


def test_what_a_loss_does_not_offer_is_an_error_that_lists_what_it_does():
    y, f = np.array([0.0, 1.0]), np.array([0.5, 0.5])
    for loss, hessian in ((fl.BinaryCrossEntropy(from_logits=False), "majorizer"), (fl.Huber(), "bounded"),
                          (fl.Hinge(), "constant"), (fl.Cauchy(), "gauss_newton"), (fl.CategoricalFocal(), "fisher")):
        targets, predictions = (np.array([0]), f[None]) if loss.rowwise else (y, f)
        offered = ", ".join(map(repr, loss.curvatures))
        with pytest.raises(ValueError, match=f"must be one of {offered} for {type(loss).__name__}, found '{hessian}'"):
            loss.grad_and_hess(targets, predictions, hessian=hessian)


def test_a_loss_of_ones_own():
    class Squares(fl.Elementwise):
        """Squared error, with the least that a loss can say."""

        link = "log"

        def value(self, y, f):
            return (f - y) ** 2

        def gradient(self, y, f):
            return 2 * (f - y)

    class Curved(Squares):
        def hessian(self, y, f):
            return 2.0

    class Said(Curved):
        strict = True
        claims = {"exact": {"majorizes": True}, "constant": {"bounded": True}, "gauss_newton": None}  # noqa: RUF012

        def largest_curvature(self, y, f):
            return 2.0

    assert Squares().curvatures == {}
    assert Curved().curvatures == {"exact": (False, False, False), "gauss_newton": (False, False, False),
                                   "bounded": (False, False, True)}
    assert Said().curvatures == {"exact": (True, True, False), "bounded": (True, False, True),
                                 "constant": (True, True, True)}
    assert Said().bounded_curvature(0.0, 3.0) == 6.0
    assert Said().bounded_curvature(0.0, 0.5) == 2.0


# ---- those of boosting libraries ---------------------------------------------------------------------------------


def test_curvatures_of_libraries():
    """As their sources have them, with r = f - y, mu = e^f, P the softmax of f and o the label as a row."""
    y, f = 2.5, 0.75
    mu = math.exp(f)
    values = {
        ("xgboost", fl.HalfSquaredError()): 1.0,
        ("xgboost", fl.SquaredError()): 2.0,                       # halved there, gradient and Hessian alike
        ("xgboost", fl.PseudoHuber(delta=2.0)): (1 + ((f - y) / 2) ** 2) ** -1.5,
        ("xgboost_3.5", fl.PseudoHuber(delta=2.0)): (1 + ((f - y) / 2) ** 2) ** -0.5,
        ("xgboost", fl.AbsoluteError()): 1.0,
        ("xgboost", fl.Pinball(quantile=0.9)): 1.0,
        ("xgboost", fl.Expectile(quantile=0.9)): 2 * 0.9,
        ("xgboost", fl.Poisson()): math.exp(f + 0.7),
        ("xgboost_3.5", fl.Poisson()): (y + 2 * mu) / 3,
        ("xgboost", fl.Gamma()): y / mu,
        ("xgboost_3.5", fl.Gamma()): (2 * y / mu + 1) / 3,
        ("xgboost", fl.Tweedie(power=1.3)): 0.7 * mu**0.7 + 0.3 * y * mu**-0.3,
        ("xgboost_3.5", fl.Tweedie(power=1.3)): (1.3 * y * mu**-0.3 + 1.7 * mu**0.7) / 3,
        ("lightgbm", fl.Huber(delta=0.5)): 1.0,
        ("lightgbm", fl.Fair(c=2.0)): (2.0 / (abs(f - y) + 2.0)) ** 2,
        ("lightgbm", fl.AbsoluteError()): 1.0,
        ("lightgbm", fl.Pinball(quantile=0.9)): 1.0,
        ("lightgbm", fl.AbsolutePercentageError(epsilon=1.0)): 1.0,
        ("lightgbm", fl.Poisson()): math.exp(f + 0.7),
        ("lightgbm", fl.Gamma()): y / mu,
        ("lightgbm", fl.Tweedie(power=1.3)): 0.7 * mu**0.7 + 0.3 * y * mu**-0.3,
    }
    for (policy, loss), expected in values.items():
        assert getattr(loss, formula_of(loss, policy))(y, f) == pytest.approx(expected, rel=1e-14), (policy, loss)
    for policy in ("xgboost", "lightgbm"):
        assert Sampled(fl.BinaryCrossEntropy(), 1.0, f).curvature(policy) == pytest.approx(mu / (1 + mu) ** 2, rel=1e-14)
    hinge = fl.Hinge()
    assert [hinge.xgboost_curvature(1, x) for x in (0.5, 1.0)] == [1.0, pytest.approx(1.1754944e-38)]

    row = np.array([0.3, -1.0, 0.9])
    P, o = np.exp(row) / np.exp(row).sum(), np.eye(3)[1]
    softmax = Sampled(fl.CategoricalCrossEntropy(), 1, row)
    for policy, expected in (("xgboost", 2 * P * (1 - P)), ("xgboost_3.5", abs(P - o)), ("lightgbm", 1.5 * P * (1 - P))):
        np.testing.assert_allclose(softmax.curvature(policy), expected, rtol=1e-14)
    p = 1 / (1 + np.exp(-row))
    np.testing.assert_allclose(Sampled(fl.get("lightgbm.multiclassova"), 1, row).curvature("lightgbm"), p * (1 - p))
    np.testing.assert_allclose(Sampled(fl.MultilabelBinaryCrossEntropy(), o, row).curvature("xgboost"), p * (1 - p))
    np.testing.assert_array_equal(Sampled(fl.MultiQuantile(levels=(0.1, 0.5, 0.9)), y, row).curvature("xgboost"), 1.0)


def test_bounded_steps_are_bounded_by_three():
    """-g / h of single samples, and so of leaves, whose g and h are sums; until 3.4 there is no bound."""
    for loss in (fl.Poisson(), fl.Gamma()):
        steps = {policy: [-loss.gradient(y, f) / getattr(loss, formula_of(loss, policy))(y, f)
                          for y in (1e-6, 1.0, 1e6) for f in (-20.0, -2.0, 0.0, 2.0, 20.0)]
                 for policy in ("xgboost", "xgboost_3.5")}
        assert max(map(abs, steps["xgboost_3.5"])) <= 3 + 1e-12
        assert max(map(abs, steps["xgboost"])) > 100


def test_libraries_curvatures_are_those_of_the_catalogue_alone():
    class Poisson(fl.Poisson):
        """Of one's own: it has what it inherits."""

    class Gamma(fl.Elementwise):
        def value(self, y, f):
            return (f - y) ** 2

    assert Poisson().curvatures == fl.Poisson().curvatures
    assert not Gamma().curvatures
    with pytest.raises(ValueError, match=r"must be one of .*'lightgbm' for Huber, found 'xgboost'"):
        fl.Huber().grad_and_hess(np.zeros(1), np.zeros(1), hessian="xgboost")
    assert "xgboost" not in fl.CategoricalCrossEntropy(z_loss=0.1).curvatures
    assert "xgboost" not in fl.MultiQuantile(levels=(0.1, 0.9), non_crossing=True).curvatures


def test_curvatures_of_combinations():
    """What holds of all parts holds of a sum and of a positive multiple; nothing is said of a negative one."""
    both = Curvature(positive=True, majorizes=True, bounded=True)
    assert fl.Huber().curvatures["lightgbm"] == (0.3 * fl.Huber()).curvatures["lightgbm"] == both
    assert (fl.Huber() + fl.Fair()).curvatures["lightgbm"] == (True, False, False)
    assert (fl.Huber() + fl.Cauchy()).curvatures["constant"] == both
    tukey = fl.TukeyBiweight()                                  # beyond c its majorizer is 0
    for loss in (tukey, tukey.scaled(2.0), tukey + tukey.scaled(2.0)):
        assert loss.majorizer(0.0, 50.0) == 0.0
        assert loss.curvatures["majorizer"] == (False, True, False)
    assert (tukey + fl.Huber()).curvatures["majorizer"].positive
    assert "lightgbm" not in (fl.Huber() + fl.LogCosh()).curvatures
    assert "lightgbm" not in (-fl.Huber()).curvatures
    mixed = 0.3 * fl.Huber() + fl.AbsoluteError().scaled(2.0)
    assert mixed.lightgbm_curvature(0.0, 5.0) == pytest.approx(0.3 + 0.25)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_floor_and_a_factor_change_what_is_guaranteed(factor):
    """With a floor all are positive; of a factor below 1 no parabola lies above."""
    for loss in (fl.Huber(), fl.Pinball(), fl.TukeyBiweight()):
        y, f = 0.0, 50.0
        curved = loss.curved(factor, floor=0.125)
        assert set(curved.curvatures) == set(loss.curvatures)
        for policy, kind in curved.curvatures.items():
            h = getattr(curved, formula_of(curved, policy))(y, f)
            assert h == max(factor * getattr(loss, formula_of(loss, policy))(y, f), 0.125)
            before = loss.curvatures[policy]
            assert kind == (True, before.majorizes and factor >= 1.0, before.bounded)
    assert not fl.Huber().curved(factor).curvatures["exact"].positive
    assert fl.BinaryFocal().curved(floor=0.1).curvatures["bounded"] == (True, False, True)


COMPILED = [
    (fl.BinaryFocal(alpha=0.25), "gauss_newton"), (fl.BinaryFocal(alpha=0.25), "bounded"),
    (fl.NegativeBinomial(), "constant"), (fl.Probit(), "fisher"), (fl.Poly1(), "gauss_newton"), (fl.Poly1(), "bounded"),
    (fl.Tweedie(power=1.3), "xgboost_3.5"), (fl.CategoricalCrossEntropy(), "lightgbm"),
    (fl.Coral(), "constant"), (fl.CumulativeLogit((-1.0, 0.5, 2.0)), "fisher"),
]


@pytest.mark.parametrize(("loss", "policy"), COMPILED, ids=lambda x: x if isinstance(x, str) else type(x).__name__)
def test_compiled(loss, policy):
    rng, n = np.random.default_rng(7), 300
    f = rng.normal(size=n if not loss.rowwise or loss.single_score else (n, 4))
    y, w = rng.integers(0, 4 if loss.rowwise else 2, n), rng.integers(0, 3, n).astype(float)
    g, h = loss.grad_and_hess(y, f, w, hessian=policy)
    expected = [Sampled(loss, a, b).curvature(policy) for a, b in zip(y if loss.rowwise else y.tolist(), f, strict=True)]
    np.testing.assert_allclose(h, np.array(expected).reshape(f.shape) * (w if f.ndim == 1 else w[:, None]), rtol=1e-12)
    np.testing.assert_array_equal(g, loss.grad(y, f, w, "none"))


NUMBERS = [example for example in EXAMPLES if {"fisher", "gauss_newton", "constant"} & set(example.loss.curvatures)]


@pytest.mark.parametrize("F", [np.float64, np.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("example", NUMBERS, ids=lambda example: example.id)
def test_no_nan_at_the_ends_of_the_domain(example, F):
    loss = example.loss
    far = ends(loss.pred_domain, F)
    far = np.append(far, [-math.inf, math.inf]) if loss.pred_domain.everything else far
    y, f = map(np.ravel, np.meshgrid(ends(loss.y_domain, F), far))
    for policy in loss.curvatures:
        h = interpreted(loss, formula_of(loss, policy), y, f, F)
        assert not np.isnan(h).any(), (policy, y[np.isnan(h)][:3], f[np.isnan(h)][:3])
    assert set(loss.curvatures) <= set(FORMULAS)
