"""Every formula of every row loss, uncompiled: against high-precision differences of its own value, and against peers."""

import copy
import pickle
import re
from dataclasses import MISSING, FrozenInstanceError, fields

import mpmath as mp
import numpy as np
import pytest
from rows import exact, exactly, formula, interpreted

import fusedloss as fl
from examples import ROW_EXAMPLES
from fusedloss import registry
from fusedloss.domain import Interval
from fusedloss.losses import MODULE_OF

BAR = {np.float64: 1e-13, np.float32: 2e-6}
DTYPES = pytest.mark.parametrize("F", [np.float64, np.float32], ids=["f64", "f32"])
EXAMPLES = pytest.mark.parametrize("example", ROW_EXAMPLES, ids=lambda example: example.id)


def having(name):
    found = [example for example in ROW_EXAMPLES if hasattr(example.loss, name)]
    return pytest.mark.parametrize("example", found, ids=lambda example: example.id)


def assert_close(example, got, true, y, f, F, what):
    """Each component within a few roundings of the truth, or of the largest term of the textbook formula."""
    got, true = np.atleast_1d(got), np.atleast_1d(np.asarray(true, object))
    assert got.shape == true.shape, (what, got.shape, true.shape)
    scale = np.broadcast_to(0.0 if example.scale is None else np.asarray(example.scale(y, f), float), true.shape)
    tiny = float(np.finfo(F).tiny)
    for k, (x, t, s) in enumerate(zip(got.tolist(), true.tolist(), scale.tolist(), strict=True)):
        assert abs(x - t) <= BAR[F] * max(abs(t), s) + 4 * tiny, (what, y, f.tolist(), k, x, float(t))


def moved(f, k, h):
    f = f.copy()
    f[k] += h
    return f


def rounded(example, F):
    """The loss with parameters that F represents."""
    from rows import converted

    return converted(example.loss, lambda x: float(F(x)), float)


@DTYPES
@EXAMPLES
def test_value_gradient_and_hessian(example, F):
    """Against differences of the loss's own value in 60 digits."""
    loss = rounded(example, F)
    y, f = example.draw(np.random.default_rng(0), 24, F)
    with mp.workdps(60):
        twin, h = exact(loss), mp.mpf(10) ** -20
        for a, b in zip(y, f, strict=True):
            ya, fb = exactly(a), exactly(b)
            value = formula(loss, "value")
            here = value(twin, ya, fb)
            assert_close(example, interpreted(loss, "value", a, b, F), here, a, b, F, "value")
            ahead = [value(twin, ya, moved(fb, k, h)) for k in range(len(b))]
            behind = [value(twin, ya, moved(fb, k, -h)) for k in range(len(b))]
            slopes = [(p - q) / (2 * h) for p, q in zip(ahead, behind, strict=True)]
            slopes = [s if abs(s) > 1e-35 else mp.mpf(0) for s in slopes]
            assert_close(example, interpreted(loss, "gradient", a, b, F), slopes, a, b, F, "gradient")
            if hasattr(loss, "hessian"):
                ahead = [formula(loss, "gradient")(twin, ya, moved(fb, k, h))[k] for k in range(len(b))]
                behind = [formula(loss, "gradient")(twin, ya, moved(fb, k, -h))[k] for k in range(len(b))]
                bends = [(p - q) / (2 * h) for p, q in zip(ahead, behind, strict=True)]
                assert_close(example, interpreted(loss, "hessian", a, b, F), bends, a, b, F, "hessian")


@DTYPES
@having("hessian_times")
def test_hessian_times_a_row(example, F):
    """Against differences of the gradient along the row."""
    loss, rng = rounded(example, F), np.random.default_rng(1)
    y, f = example.draw(rng, 12, F)
    with mp.workdps(60):
        twin, h = exact(loss), mp.mpf(10) ** -20
        for a, b in zip(y, f, strict=True):
            v = rng.normal(0, 1, len(b)).astype(F).astype(float)
            ya, fb, d = exactly(a), exactly(b), exactly(v) * h
            true = (formula(loss, "gradient")(twin, ya, fb + d) - formula(loss, "gradient")(twin, ya, fb - d)) / (2 * h)
            got = interpreted(loss, "hessian_times", a, b, F, v)
            size = max(map(abs, true)) + float(0.0 if example.scale is None else np.max(example.scale(a, b)))
            assert got.shape == true.shape
            for k in range(len(b)):
                assert abs(got[k] - true[k]) <= 8 * BAR[F] * size + 1e-30, (a, b, v, k, got[k], float(true[k]))


@having("majorizer")
def test_majorizer_lies_above_the_loss(example):
    loss, rng = example.loss, np.random.default_rng(2)
    y, f = example.draw(rng, 60)
    for a, b in zip(y, f, strict=True):
        d = rng.normal(0, 1, len(b)) * 10.0 ** rng.uniform(-2, 2)
        if loss.pred_domain.outside(b + d).any():
            continue
        here, there = (float(interpreted(loss, "value", a, x, np.float64)) for x in (b, b + d))
        slope, bend = (interpreted(loss, name, a, b, np.float64) for name in ("gradient", "majorizer"))
        bound = here + slope @ d + 0.5 * bend @ (d * d)
        assert (bend >= 0).all()
        assert there <= bound + 1e-10 * (1 + abs(bound)), (a, b, d)


PEERED = [example for example in ROW_EXAMPLES if example.peer]


@pytest.mark.parametrize("example", PEERED, ids=lambda example: example.id)
def test_value_equals_the_independent_peer(example):
    y, f = example.draw(np.random.default_rng(3), 200)
    expected = np.asarray(example.peer(y, f), float)
    got = np.array([interpreted(example.loss, "value", a, b, np.float64) for a, b in zip(y, f, strict=True)])
    assert expected.shape == got.shape == (200,)
    kept = np.isfinite(expected)
    assert kept.mean() > 0.5
    size = np.maximum(1.0, abs(expected))
    if example.scale is not None:
        size = np.maximum(size, [np.max(example.scale(a, b)) for a, b in zip(y, f, strict=True)])
    assert (abs(got - expected) / size)[kept].max() < 1e-11


PARAMETRIC = [(example, name) for example in ROW_EXAMPLES
              for name in dir(type(example.loss)) if name.startswith("gradient_")]


@pytest.mark.parametrize(("example", "name"), PARAMETRIC, ids=[f"{e.id}-{name}" for e, name in PARAMETRIC])
def test_gradient_with_respect_to_a_parameter(example, name):
    """Against differences of the value between losses whose parameter differs."""
    loss, parameter = example.loss, name.removeprefix("gradient_")
    y, f = example.draw(np.random.default_rng(4), 12)
    with mp.workdps(60):
        h = mp.mpf(10) ** -20
        for a, b in zip(y, f, strict=True):
            got = np.atleast_1d(interpreted(loss, name, a, b, np.float64))
            for k in range(got.size):
                sides = []
                for d in (h, -h):
                    twin = exact(loss)
                    known = twin.__dict__[parameter]
                    twin.__dict__[parameter] = moved(known, k, d) if isinstance(known, np.ndarray) else known + d
                    sides.append(formula(loss, "value")(twin, exactly(a), exactly(b)))
                true = (sides[0] - sides[1]) / (2 * h)
                size = max(abs(true), 0.0 if example.scale is None else float(np.max(example.scale(a, b))))
                assert abs(got[k] - true) <= 1e-10 * size + 1e-15, (a, b, k, got[k], float(true))


@EXAMPLES
def test_extreme_rows(example):
    """Logits of +-1e4, one class that has everything, constant rows: finite answers wherever the value is finite."""
    if example.f is not None:
        pytest.skip("its sampler knows how far the loss is meant to go")
    loss, C = example.loss, example.columns
    y, _ = example.draw(np.random.default_rng(5), 8)
    rows = [np.zeros(C), np.full(C, 1e4), np.full(C, -1e4), np.linspace(-1e4, 1e4, C), 1e3 * (np.arange(C) == C - 1),
            -1e3 * (np.arange(C) == 0)]
    for a in y:
        for f in rows:
            for F in (np.float64, np.float32):
                for name in ("value", "gradient", "hessian"):
                    if hasattr(loss, name):
                        got = interpreted(loss, name, a, f, F)
                        assert np.isfinite(got).all(), (name, a, f, F, got)


# ---- the catalogue -----------------------------------------------------------------------------------------------

CLASSES = pytest.mark.parametrize("name", [name for name in MODULE_OF if getattr(fl, name).rowwise])


def test_every_row_loss_of_the_catalogue_is_in_the_table():
    assert {type(example.loss).__name__ for example in ROW_EXAMPLES} == {n for n in MODULE_OF if getattr(fl, n).rowwise}


@CLASSES
def test_parameters_out_of_range_are_refused_by_name(name):
    cls = getattr(fl, name)
    required = cls.example if any(field.default is MISSING for field in fields(cls)) else {}
    for field in fields(cls):
        if field.metadata.get("ndim"):
            kind, wrong = "must be an array", [3.0, [], [[[1.0]]]]
        elif "checked" in field.metadata:
            kind, wrong = "must be", ["nonsense", [-1.0]]
        elif "choices" in field.metadata or isinstance(field.default, bool):
            kind, wrong = "must be", ["nonsense"]
        else:
            domain = field.metadata.get("domain", Interval())
            beyond = [x for x in (domain.low - 1.0, domain.high + 1.0) if np.isfinite(x)]
            kind, wrong = "must be", [np.nan, "a word", *beyond]
        for value in wrong:
            with pytest.raises((TypeError, ValueError), match=rf"{name}: {field.name}(\[0\])? {kind}"):
                cls(**required | {field.name: value})


@CLASSES
def test_docstring_says_what_it_is(name):
    cls = getattr(fl, name)
    text = cls.__doc__
    assert cls.formula
    assert text.splitlines()[0].endswith((".", ":")), "one line of purpose"
    assert re.search(r"\b(1[789]|20)\d\d\b", text), "a source with its year"
    assert "essian" in text or "urvature" in text, "what the Hessian is"
    for field in fields(cls):
        assert field.name in text or field.name in ("class_weight", "ignore_index"), f"no word about {field.name}"
    for formula_name in ("value", "gradient"):
        assert hasattr(cls, formula_name)


@CLASSES
def test_losses_are_values(name):
    cls = getattr(fl, name)
    loss = registry.example(cls.name)
    assert pickle.loads(pickle.dumps(loss)) == loss == copy.deepcopy(loss)
    assert len({loss, pickle.loads(pickle.dumps(loss))}) == 1
    for field in fields(loss):
        with pytest.raises(FrozenInstanceError):
            setattr(loss, field.name, 1.0)
        if isinstance(getattr(loss, field.name), np.ndarray):
            assert not getattr(pickle.loads(pickle.dumps(loss)), field.name).flags.writeable
