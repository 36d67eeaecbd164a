"""`fl.check`: the catalogue passes, and each thing that can be wrong with a loss is found and named."""

import json
import math
import re
import sys
from math import exp as builtin_exp
from pathlib import Path

import numpy as np
import pytest

import fusedloss as fl
from fusedloss import compile as specialise
from fusedloss.checking import exact, machine
from fusedloss.cli import main
from fusedloss.domain import BINARY, POSITIVE, Interval
from fusedloss.rowmath import at, largest, onehot, softmax, total
from fusedloss.vecmath import log, log1p, sigmoid, softplus, sqrt, where

ROOT = Path(__file__).parent.parent


def found(loss, about, verdict="wrong", compile=False):
    """The texts of the findings about one thing with one verdict, as one line."""
    report = fl.check(loss, compile=compile)
    assert report.ok == (not report.having("wrong"))
    return " | ".join(finding.text for finding in report.about(about) if finding.verdict == verdict)


# ---- what is right -----------------------------------------------------------------------------------------------

RIGHT = [
    fl.SquaredError(), fl.AbsoluteError(), fl.Huber(delta=1.35), fl.SoftplusPinball(smoothing=1e-15), fl.LogCosh(),
    fl.Cauchy(), fl.TukeyBiweight(), fl.GeneralRobust(alpha=-2.0), fl.EpsilonInsensitive(), fl.Linex(a=0.01), fl.Lq(q=1.5),
    fl.SquaredLogError(), fl.Pinball(quantile=0.9), fl.BinaryCrossEntropy(pos_weight=0.25, label_smoothing=0.125),
    fl.BinaryCrossEntropy(from_logits=False), fl.BinaryFocal(), fl.BinaryGeneralizedCrossEntropy(q=1.0), fl.SmoothedHinge(),
    fl.ComplementaryLogLog(), fl.Tweedie(power=1.5), fl.TweedieDeviance(power=-1.0), fl.WassersteinGAN(),
    0.7 * fl.Huber() + 0.3 * fl.Pinball(quantile=0.9),
    fl.CategoricalCrossEntropy(), fl.CategoricalCrossEntropy(class_weight=(0.5, 2.0, 0.0), label_smoothing=0.1),
    fl.CategoricalCrossEntropy(class_weight={1: 3.0}), fl.CostSensitive([[0.0, 1.0], [5.0, 0.0]]), fl.CrammerSinger(),
    fl.MultiQuantile([0.1, 0.5, 0.9]), fl.CumulativeLogit([-1.0, 0.5]), fl.GaussianNLL(), fl.WeibullNLL(), fl.GaussianCRPS(),
    fl.MultilabelMargin(),
]


@pytest.mark.parametrize("loss", RIGHT, ids=lambda loss: re.sub(r"\s+", " ", repr(loss)))
def test_the_catalogue_is_what_it_says(loss):
    report = fl.check(loss, compile=False)
    assert report.ok, "\n".join(map(str, report.having("wrong")))
    looked_at = {finding.about for finding in report}
    assert {"gradient", "hessian", "kinks", "convexity", "domain", "float64", "float32"} <= looked_at
    if loss.smooth:
        assert "none found" in report.about("kinks")[0].text
    else:
        assert "jumps from" in report.about("kinks")[0].text
    for finding in report.about("curvature"):
        assert finding.verdict == "ok"


def test_what_a_loss_has_is_looked_at():
    looked_at = {f.about for f in fl.check(fl.CategoricalCrossEntropy(temperature=2.0), compile=False)}
    assert {"hvp", "parameter", "optimum", "curvature"} <= looked_at
    assert "natural" in {f.about for f in fl.check(fl.GaussianNLL(), compile=False)}
    assert "optimum" in {f.about for f in fl.check(fl.Pinball(quantile=0.9), compile=False)}


def test_places_are_named_by_residual_prediction_or_target():
    assert "from -1 to 0 at r = f - y = -0.5" in found(fl.EpsilonInsensitive(epsilon=0.5), "kinks", "ok")
    assert "f = 1 for y = 1" in found(fl.Hinge(), "kinks", "ok")
    assert "where |r| > 2.3849, r = f - y" in found(fl.Cauchy(), "convexity", "ok")
    assert "where f/y > 2, as" in found(fl.GammaDeviance(), "convexity", "ok")


def test_class_weights_that_depend_on_data_are_left_out():
    report = fl.check(fl.CategoricalCrossEntropy(class_weight="balanced"), compile=False)
    assert report.ok
    assert "worked out from the targets of each call" in report.about("weights")[0].text


# ---- derivatives -------------------------------------------------------------------------------------------------


class WrongSign(fl.Elementwise):
    def value(self, y, f):
        return (f - y) ** 2

    def gradient(self, y, f):
        return 2 * (y - f)

    def hessian(self, y, f):
        return 2.0


class HalfAGradient(fl.Elementwise):
    c: float = 2.5
    convex = False

    def value(self, y, f):
        return self.c**2 * log1p(((f - y) / self.c) ** 2)

    def gradient(self, y, f):
        return (f - y) / (1 + ((f - y) / self.c) ** 2)


class RightAbove(fl.Elementwise):
    def value(self, y, f):
        return where(f > y, 2.0, 1.0) * (f - y) ** 2

    def gradient(self, y, f):
        return where(f > y, 4.0, 1.0) * (f - y)


class OneClassWrong(fl.Elementwise):
    y_domain = BINARY
    link = "logit"

    def value(self, y, f):
        return softplus(f) - y * f

    def gradient(self, y, f):
        return sigmoid(f) - 0.5 * y


class Shifted(fl.Elementwise):
    def value(self, y, f):
        return (f - y) ** 2

    def gradient(self, y, f):
        return 2 * (f - y) + 0.25


class ClippedHessian(fl.Elementwise):
    y_domain = BINARY
    link = "logit"

    def value(self, y, f):
        return softplus(f) - y * f

    def gradient(self, y, f):
        return sigmoid(f) - y

    def hessian(self, y, f):
        return max(sigmoid(f) * sigmoid(-f), 1e-6)


class WrongFarOut(fl.Elementwise):
    """The value turns linear at 50000, the gradient does not."""

    def value(self, y, f):
        q = min(abs(f - y), 50000.0)
        return q * (2 * abs(f - y) - q)

    def gradient(self, y, f):
        return 2 * (f - y)


class OffAtTheLabel(fl.Rowwise):
    target = "label"

    def value(self, y, f):
        return -at(y, softmax(f).log_p)

    def gradient(self, y, f):
        return softmax(f).p - 0.5 * onehot(y, f)


def test_wrong_sign():
    text = found(WrongSign, "gradient")
    assert text.startswith("wrong sign: it is minus the derivative of value")
    assert re.search(r"expected -?[\d.]+, found -?[\d.]+", text)
    assert "second derivative of value" in found(WrongSign, "hessian", "ok")  # not of the gradient, which is wrong


@pytest.mark.parametrize(("loss", "about", "words"), [
    (HalfAGradient, "gradient", "a factor is wrong: it is 0.5 times the derivative of value"),
    (RightAbove, "gradient", "it is the derivative of value where f > y, but not where f < y"),
    (OneClassWrong, "gradient", "it is the derivative of value for y = 0, but not for y = 1"),
    (Shifted, "gradient", "it is the derivative of value plus 0.25"),
    (ClippedHessian, "hessian", "it is not the derivative of gradient"),
    (WrongFarOut, "gradient", "it is the derivative of value, but not at the ends of the domain"),
    (OffAtTheLabel, "gradient", "in the other columns, but not in the label's column"),
], ids=lambda x: x.__name__ if isinstance(x, type) else None)
def test_what_is_wrong_with_a_derivative(loss, about, words):
    report = fl.check(loss, compile=False)
    assert not report.ok
    (finding,) = report.about(about)
    assert words in finding.text
    evidence = finding.evidence
    assert evidence["expected"] != pytest.approx(evidence["found"], rel=1e-6)
    y, f = evidence["y"], np.atleast_1d(evidence["f"])
    formula = getattr(loss(), about)
    got = formula(y, f)[evidence["column"]] if loss.rowwise else formula(y, f[0])
    assert got == pytest.approx(evidence["found"], rel=1e-12)


class Parameters(fl.Elementwise):
    c: float = 2.0

    def value(self, y, f):
        return self.c * (f - y) ** 2

    def gradient(self, y, f):
        return 2 * self.c * (f - y)

    def gradient_c(self, y, f):
        return f - y

    def majorizer(self, y, f):
        return self.c

    def optimum(self, mean):
        return mean + 1.0


class NearlyOptimal(Parameters):
    def optimum(self, mean):
        return mean + 1e-6


class Rows(fl.Rowwise):
    target = "row"

    def value(self, y, f):
        return total((f - y) ** 2)

    def gradient(self, y, f):
        return 2 * (f - y)

    def hessian_times(self, y, f, v):
        return 3 * v

    def natural_gradient(self, y, f):
        return y - f


def test_other_formulas():
    report = fl.check(Parameters, compile=False)
    assert "gradient_c is not the derivative of value with respect to c" in report.about("parameter")[0].text
    assert '"majorizer" is a parabola that does not lie above the loss' in report.about("curvature")[0].text
    assert "the gradient sums to 4, and" in report.about("optimum")[0].text
    assert "the gradient sums to 4e-06" in found(NearlyOptimal, "optimum")
    report = fl.check(Rows, compile=False)
    assert "not the derivative of the gradient along v" in report.about("hvp")[0].text
    assert "leads uphill" in report.about("natural")[0].text


class Negative(fl.Elementwise):
    strict = True

    def value(self, y, f):
        return (f - y) ** 2 - 0.5 * (f - y) ** 4

    def gradient(self, y, f):
        return 2 * (f - y) - 2 * (f - y) ** 3

    def hessian(self, y, f):
        return 2 - 6 * (f - y) ** 2


def test_a_curvature_that_is_said_to_be_positive():
    assert re.match(r'"exact" is -[\d.e+]+ at y = ', found(Negative, "curvature"))


# ---- shape and domain --------------------------------------------------------------------------------------------


class Kinked(fl.Elementwise):
    def value(self, y, f):
        return abs(f - y) + max(f, 0.0)

    def gradient(self, y, f):
        return where(f > y, 1.0, -1.0) + where(f > 0, 1.0, 0.0)


class Cusp(fl.Elementwise):
    convex = False

    def value(self, y, f):
        return sqrt(abs(f - y))

    def gradient(self, y, f):
        return where(f > y, 0.5, -0.5) / sqrt(abs(f - y))


class Jump(fl.Elementwise):
    convex = False

    def value(self, y, f):
        return where(f > 2.0, 1.0, 0.0) + (f - y) ** 2

    def gradient(self, y, f):
        return 2 * (f - y)


class Smooth(fl.Elementwise):
    smooth = False
    convex = False

    def value(self, y, f):
        return (f - y) ** 2

    def gradient(self, y, f):
        return 2 * (f - y)


class RowKink(fl.Rowwise):
    target = "number"

    def value(self, y, f):
        return total(abs(f - y))

    def gradient(self, y, f):
        return where(f > y, 1.0, 0.0) - where(f < y, 1.0, 0.0)


class Logs(fl.Elementwise):
    def value(self, y, f):
        return (log1p(f) - log1p(y)) ** 2

    def gradient(self, y, f):
        return 2 * (log1p(f) - log1p(y)) / (1 + f)


class Pole(fl.Elementwise):
    y_domain = POSITIVE
    pred_domain = Interval(-1.0, 5.0)
    convex = False

    def value(self, y, f):
        return y / f

    def gradient(self, y, f):
        return -y / (f * f)


def test_kinks():
    text = found(Kinked, "kinks")
    assert "the gradient jumps from -1 to 0 at f = 0 and 0.567 for y = 0.567; f = -1.57 and 0 for y = -1.57" in text
    assert "but the loss says smooth = True: declare smooth = False" in text
    assert "the slope is infinite at r = f - y = 0" in found(Cusp, "kinks")
    assert "the value itself jumps by 1 at f = 2" in found(Jump, "kinks")
    assert found(Smooth, "kinks", "mind") == "the loss says smooth = False, but none was found"
    assert "the gradient jumps" in found(RowKink, "kinks")


def test_convexity():
    text = found(Negative, "convexity")
    assert "it bends down where |r| > 0.57735, r = f - y, but the loss says convex = True" in text
    evidence = fl.check(Negative, compile=False).about("convexity")[0].evidence
    assert evidence["curvature"] < 0
    assert "no negative curvature was found" in found(Smooth, "convexity", "mind")
    assert "along" in found(fl.CategoricalFocal(), "convexity", "ok")


def test_domain():
    text = found(Logs, "domain")
    assert "value and gradient are NaN where y < -1" in text
    assert "value and gradient are NaN where f < -1" in text
    assert "value is infinite at y = " in found(Pole, "domain")
    assert "gradient is NaN where f = y" in found(Cusp, "domain")


# ---- arithmetic --------------------------------------------------------------------------------------------------


class Cancels(fl.Elementwise):
    def value(self, y, f):
        return sqrt(1 + (f - y) ** 2) - 1

    def gradient(self, y, f):
        return (f - y) / sqrt(1 + (f - y) ** 2)


class CancelsVisibly(fl.Elementwise):
    def value(self, y, f):
        return ((f + 3000.0) - (y + 3000.0)) ** 2

    def gradient(self, y, f):
        return 2 * ((f + 3000.0) - (y + 3000.0))


class Overflows(fl.Elementwise):
    y_domain = BINARY
    link = "logit"

    def value(self, y, f):
        return math.log(1 + math.exp(f)) - y * f

    def gradient(self, y, f):
        return math.exp(f) / (1 + math.exp(f)) - y


class Underflows(fl.Elementwise):
    convex = False
    pred_domain = POSITIVE

    def value(self, y, f):
        return log(f * f)

    def gradient(self, y, f):
        return 2 * f / (f * f)


def test_cancellation():
    report = fl.check(Cancels, compile=False)
    assert report.ok  # below the rounding of a value of ordinary size
    (finding,) = [f for f in report.about("float32") if f.evidence["formula"] == "value"]
    assert finding.verdict == "mind"
    assert re.match(r"cancellation: value keeps (none|[12]) of 6 digits at y = .* the error is a rounding", finding.text)
    assert re.match(r"cancellation: value keeps \w+ of 6 digits at y = ", found(CancelsVisibly, "float32"))


def test_overflow():
    text = found(Overflows, "range")
    assert "value overflows: in float64 at y = 0, f = 709.783 expected 709.783, found inf" in text
    assert "in float32 at y = 0, f = 88.7228" in text
    assert "expected 88.7228, found inf" in text
    evidence = next(f for f in fl.check(Overflows, compile=False).about("range") if f.verdict == "note").evidence
    assert evidence["float32"][1] == pytest.approx(88.72, abs=0.01)
    assert evidence["float64"][1] == pytest.approx(709.78, abs=0.01)


def test_a_value_that_is_lost_in_the_middle():
    """1e-30 squared is 0 in float32 and its logarithm -inf: no overflow far out, yet no answer."""
    assert re.search(r"value is -inf at y = .*, f = 1e-30, expected -138", found(Underflows, "float32"))


def test_an_answer_that_overflows_itself_is_no_fault():
    report = fl.check(fl.SquaredError(), compile=False)
    (finding,) = report.about("range")
    assert finding.verdict == "ok"
    assert finding.evidence["float32"][1] == pytest.approx(2.0**64, rel=1e-3)
    assert finding.evidence["float64"][0] == pytest.approx(-(2.0**512), rel=1e-3)


# ---- formulas that do not run, or do not compile -----------------------------------------------------------------


class Unknown(fl.Elementwise):
    def value(self, y, f):
        return hubber(f - y)  # noqa: F821

    def gradient(self, y, f):
        return f - y


class BuiltinExp(fl.Elementwise):
    def value(self, y, f):
        return builtin_exp(f - y) - (f - y)

    def gradient(self, y, f):
        return builtin_exp(f - y) - 1


class NoExactForm(fl.Elementwise):
    def value(self, y, f):
        return np.sinc(f - y) + (f - y) ** 2

    def gradient(self, y, f):
        return 2 * (f - y)


class Floats(fl.Elementwise):
    def value(self, y, f):
        return float(f - y) ** 2

    def gradient(self, y, f):
        return 2 * (f - y)


class Piecewise(fl.Elementwise):
    """The gradient is a float that does not come from its arguments."""

    smooth = False

    def value(self, y, f):
        return where(f > y, 0.75 * (f - y), 0.25 * (y - f))

    def gradient(self, y, f):
        return 0.75 if f > y else -0.25


class GradientOfFloats(Floats):
    def value(self, y, f):
        return (f - y) ** 2

    def gradient(self, y, f):
        return 2 * float(f - y)


class Method(fl.Elementwise):
    def square(self, r):
        return r * r

    def value(self, y, f):
        return self.square(f - y)

    def gradient(self, y, f):
        return 2 * (f - y)


class RowDecides(fl.Rowwise):
    target = "label"

    def value(self, y, f):
        if largest(f) > 3:
            return largest(f) - at(y, f)
        return 2 * (largest(f) - at(y, f))

    def gradient(self, y, f):
        return 0 * f


class RowValue(fl.Rowwise):
    target = "row"

    def value(self, y, f):
        return (f - y) ** 2

    def gradient(self, y, f):
        return 2 * (f - y)


class ShortRow(RowKink):
    def gradient(self, y, f):
        return f[:2]


def test_formulas_that_do_not_run():
    assert "raises NameError: name 'hubber' is not defined" in found(Unknown, "value")
    assert "there is no sinc for them; use functions of fusedloss.vecmath" in found(NoExactForm, "value")
    assert "it makes floats of its arguments" in found(Floats, "value")
    assert "gradient cannot be computed in many digits" in found(GradientOfFloats, "gradient")
    assert not found(Piecewise, "gradient")
    assert "is a row; it must be one number per row of predictions" in found(RowValue, "value")
    assert "returns 2 numbers for a row of 4 predictions" in found(ShortRow, "gradient")


def test_formulas_that_do_not_compile():
    assert "value cannot be compiled: a row formula decides by its data: use where(" in found(RowDecides, "compiled")
    text = found(Method, "compiled", compile=True)
    assert text.startswith("value cannot be compiled: it uses self.square(...)")
    assert " | " not in text  # the compiler was not asked
    text = found(BuiltinExp, "compiled", compile=True)
    assert "it does not compile: a formula uses builtin_exp = <built-in function exp>" in text
    assert "\n" not in text
    assert not found(BuiltinExp, "gradient")  # uncompiled it is computed in many digits all the same


class Library(fl.Elementwise):
    """Its hyperbolic functions come from the C library; vecmath has none."""

    def value(self, y, f):
        return math.cosh(f - y)

    def gradient(self, y, f):
        return math.sinh(f - y)


class Loops(fl.Elementwise):
    convex = False
    smooth = False

    def value(self, y, f):
        x = abs(f - y)
        while x > 1:
            x = 0.5 * x
        return x

    def gradient(self, y, f):
        x = abs(f - y)
        slope = where(f > y, 1.0, -1.0)
        while x > 1:
            x = 0.5 * x
            slope = 0.5 * slope
        return slope


def test_machine_code():
    text = found(Library, "compiled", compile=True)
    assert "float64: cosh and sinh of the C library are called one number at a time" in text
    assert "float32: cosh and sinh of the C library" in text
    assert "float64: not SIMD: value and gradient have a loop" in found(Loops, "compiled", compile=True)


@pytest.mark.parametrize("loss", [fl.Huber(), Rows()], ids=["numbers", "rows"])
def test_simd(loss, monkeypatch):
    """Twice: the second time the kernels come from disk, which keeps no text to look at."""
    for _ in range(2):
        for name in ("_plans", "_programs"):
            loss.__dict__.pop(name, None)
        for name in ("_kernels", "_row_kernels"):
            monkeypatch.setattr(specialise, name, {})
        compiled = fl.check(loss, compile=True).about("compiled")
        assert [f.verdict for f in compiled] == ["ok", "ok"]
        for finding, F in zip(compiled, ("float64", "float32"), strict=True):
            assert re.match(F + r": SIMD, \d+ vector instructions, \d+ numbers at a time", finding.text)
            assert finding.evidence["vector_instructions"] > 5
            assert not finding.evidence["calls"]


class Divides(fl.Elementwise):
    """A loss whose compiled form is another one: `//` of floats is rounded differently from the plain formula's."""

    def value(self, y, f):
        return (f - y) ** 2

    def gradient(self, y, f):
        return 2 * (f - y)


def test_a_kernel_with_other_numbers(monkeypatch):
    kernel = fl.Elementwise.value_and_grad
    monkeypatch.setattr(Divides, "value_and_grad", lambda self, y, f, **more: (
        0.0, 1.5 * kernel(self, y, f, **more)[1]), raising=False)
    assert "float64: the kernel's gradient is not the formula's: at y = " in found(Divides, "compiled", compile=True)


def test_reasons_in_one_line():
    numba_error = ValueError("Failed in nopython mode pipeline (step: nopython frontend)\n\x1b[1m\x1b[1mUntyped global name "
                             "'foo': cannot determine Numba type\x1b[0m\n\nFile \"x.py\", line 3:")
    assert machine.reason(numba_error) == "Untyped global name 'foo': cannot determine Numba type"
    assert machine.reason(TypeError("short")) == "short"
    assert machine.reason(KeyError()) == "KeyError"


# ---- what is missing ---------------------------------------------------------------------------------------------


class ValueOnly(fl.Elementwise):
    def value(self, y, f):
        return (f - y) ** 2


def test_what_is_missing():
    assert "no gradient(self, y, f)" in found(ValueOnly, "missing", "note")
    assert 'no hessian="exact": grad_and_hess, and with it gradient boosting' in found(Smooth, "missing", "note")
    assert 'no hessian="exact": pass hessian="majorizer"' in found(Parameters, "missing", "note")
    focal = fl.BinaryCrossEntropy().focal(2.0)
    assert "no majorizer(self, y, f): where the Hessian is negative" in found(focal, "missing", "note")
    assert "no hvp and no hess_blocks" in found(RowKink, "missing", "note")
    assert "init_score searches" in found(Smooth, "missing", "note")


@pytest.mark.parametrize(("loss", "y", "f"), [
    (Smooth(), np.zeros(3), np.ones(3)), (RowKink(), np.zeros(3), np.ones((3, 2))),
], ids=["numbers", "rows"])
def test_methods_that_need_a_hessian_say_so(loss, y, f):
    for method in (loss.grad_and_hess, loss.value_grad_hess):
        with pytest.raises(ValueError, match=rf"{type(loss).__name__} has no formula hessian\(self, y, f\), which"):
            method(y, f)
    with pytest.raises(ValueError, match=r"Parameters has no formula hessian.*; pass hessian='majorizer'"):
        Parameters().grad_and_hess(np.zeros(3), np.ones(3))


# ---- the report --------------------------------------------------------------------------------------------------


def test_report():
    report = fl.check(Negative(), compile=False)
    assert len(report) == len(list(report)) == len(report.findings)
    assert [f.verdict for f in report.having("wrong")] == ["wrong"] * 3
    text = str(report)
    assert text.startswith("Negative(): 3 things are wrong\n")
    assert all(len(line) <= 96 for line in text.splitlines())
    assert text.count("WRONG") == 3
    assert repr(report) == text
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["loss"] == "Negative()"
    assert data["ok"] is False
    assert [f["about"] for f in data["findings"]] == [f.about for f in report]
    assert str(report.having("wrong")[0]).startswith("curvature: wrong: ")


def test_the_same_report_every_time():
    assert str(fl.check(fl.BinaryFocal(), compile=False)) == str(fl.check(fl.BinaryFocal, compile=False))


def test_what_is_no_loss():
    with pytest.raises(TypeError, match="loss must be a loss, or the class of one, found 'huber'"):
        fl.check("huber")
    with pytest.raises(TypeError, match="CostSensitive needs parameters, pass CostSensitive"):
        fl.check(fl.CostSensitive)


def test_without_mpmath(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpmath", None)
    with pytest.raises(ImportError, match=r'pip install "fusedloss\[check\]"'):
        fl.check(fl.Huber())


def test_formulas_in_many_digits():
    """math's functions are replaced, helpers too, even where they call themselves; the formula itself stays as it is."""
    subject = exact.Subject(BuiltinExp())
    with subject.mp.workdps(50):
        value = subject.exact_at("value", 0.0, np.ones(1))[0]
        assert abs(value - (subject.mp.e - 1)) < 1e-49

    def countdown(x, n):
        return math.exp(x) if n == 0 else countdown(x, n - 1)

    with subject.mp.workdps(50):
        assert abs(exact.portable(countdown)(subject.mp.mpf(1), 3) - subject.mp.e) < 1e-49
    assert BuiltinExp().value(0.0, 1.0) == math.e - 1
    assert subject.mp.exp(subject.mp.mpf(10) ** 400) == subject.mp.inf  # and does not fill the memory


# ---- the command line --------------------------------------------------------------------------------------------

FILE = """
import fusedloss as fl
from fusedloss.vecmath import log1p

class Cauchy(fl.Elementwise):
    c: float = 1.0
    convex = False
    def value(self, y, f):    return log1p(((f - y) / self.c) ** 2)
    def gradient(self, y, f): return 2 * (f - y) / (self.c**2 + (f - y) ** 2)

class Convex(Cauchy):
    convex = True

made = Cauchy(c=3.0)
number = 3
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file with losses, in the working directory; what is imported from there is forgotten afterwards."""
    path = tmp_path / "losses_to_check.py"
    path.write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    known = set(sys.modules)
    yield str(path)
    for name in set(sys.modules) - known:
        if "losses_to_check" in name:
            del sys.modules[name]


@pytest.mark.parametrize(("loss", "code", "title"), [
    ("{file}:Cauchy", 0, "Cauchy(c=1.0): nothing is wrong"), ("{file}:Cauchy:c=2.5", 0, "Cauchy(c=2.5): nothing"),
    ("{file}:made", 0, "Cauchy(c=3.0)"), ("{file}:made:c=4", 0, "Cauchy(c=4.0)"),
    ("{file}:Convex", 1, "Convex(c=1.0): 1 thing is wrong"), ("losses_to_check:Convex", 1, "Convex(c=1.0): 1 thing"),
    ("huber:delta=1.35", 0, "Huber(delta=1.35): nothing is wrong"), ("xgboost.reg:squarederror", 0, "HalfSquaredError()"),
])
def test_command(loss, code, title, file, capsys):
    assert main(["check", loss.format(file=file), "--no-compile"]) == code
    assert capsys.readouterr().out.startswith(title)


def test_command_json(file, capsys):
    assert main(["check", f"{file}:Convex", "--no-compile", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert not data["ok"]
    assert [f["about"] for f in data["findings"] if f["verdict"] == "wrong"] == ["convexity"]


@pytest.mark.parametrize(("loss", "said"), [
    ("{file}:Cauchi", r"has no 'Cauchi'; did you mean Cauchy"), ("{file}:number", r"is no loss and no class of one, but 3"),
    ("{file}:Cauchy:d=1", r"unexpected keyword argument 'd'; pass parameters as in"), ("none.py:X", r"there is no such"),
    ("no_such_module:X", r"cannot be imported: ModuleNotFoundError"), ("hubber", r"did you mean 'huber'"),
])
def test_command_usage(loss, said, file, capsys):
    assert main(["check", loss.format(file=file)]) == 2
    assert re.search(said, capsys.readouterr().err)
