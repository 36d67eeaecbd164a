"""`fusedloss plot` and `fusedloss bench`: what the figures show, files, errors."""

import json
import math

import numpy as np
import pytest

import fusedloss as fl
from fusedloss.cli import main

pytest.importorskip("matplotlib")

from fusedloss.scoring import bench, plots


def run(capsys, *argv):
    code = main([*map(str, argv)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def line(axes, k=0):
    return axes.get_lines()[k].get_xydata().T


def texts(legend):
    return [text.get_text() for text in legend.get_texts()]


FORMULAS = {
    fl.Huber(delta=0.5): lambda r: (np.where(abs(r) <= 0.5, r * r / 2, 0.5 * (abs(r) - 0.25)), np.clip(r, -0.5, 0.5),
                                    (abs(r) <= 0.5) * 1.0),
    fl.Pinball(quantile=0.9): lambda r: (np.where(r > 0, 0.1 * r, -0.9 * r), np.where(r > 0, 0.1, np.where(r < 0, -0.9, 0)),
                                         0 * r),
}


def test_curves_are_the_formulas():
    figure = plots.of_losses(list(FORMULAS))
    assert [axes.get_title() for axes in figure.axes] == ["value", "gradient", "curvature"]
    for k, loss in enumerate(FORMULAS):
        f, _ = line(figure.axes[0], k)
        assert (f[0], f[-1]) == (-3.0, 3.0)
        for axes, curve in zip(figure.axes, FORMULAS[loss](f), strict=True):
            np.testing.assert_allclose(line(axes, k)[1], curve, rtol=1e-12, atol=1e-15)
    assert texts(figure.legends[0]) == ["huber:delta=0.5, y = 0", "pinball:quantile=0.9, y = 0"]


def test_curves_stay_inside_of_the_domain_and_their_poles_outside_of_the_picture():
    figure = plots.of_losses([fl.PoissonDeviance(), fl.GammaDeviance()], (-1.0, 2.0))
    f, _ = line(figure.axes[0])
    assert 0 < f[0] < 0.01
    assert f[-1] == 2.0
    assert figure.axes[0].get_ylim()[1] < np.nanmax(line(figure.axes[0], 1)[1])
    assert "y = 1" in figure.legends[0].get_texts()[0].get_text()


def test_a_history_marks_its_best_round():
    figure = plots._of_history("h.json", {"train": {"rmse": [3, 1, 2], "auc": [0.5, None, 0.7]},
                                          "valid": {"rmse": [3, 2, 9]}})
    rmse, auc = figure.axes
    assert (rmse.get_title(), auc.get_title()) == ("rmse", "auc")
    assert texts(rmse.get_legend()) == ["train: best 1 in round 1", "valid: best 2 in round 1"]
    assert texts(auc.get_legend()) == ["train: best 0.7 in round 2"]
    assert math.isnan(line(auc)[1][1])


def test_a_score_is_drawn_by_slices_and_reliability():
    rng = np.random.default_rng(0)
    p, by = rng.random(500), np.array(["a", "b"])[rng.integers(0, 2, 500)]
    y = (rng.random(500) < p).astype(float)
    scores = fl.score(y, {"m": p, "n": p**2}, ["brier"], by=by, metrics="ece:bins=4")
    content = scores.to_dict() | {"by": "side"}
    figure = plots._of_scores("s.json", json.loads(json.dumps(content)))
    reliability, slices = figure.axes
    bins = scores.metric("ece:bins=4", "m").details["bins"]
    np.testing.assert_array_equal(line(reliability, 1), [[b["pred"] for b in bins], [b["target"] for b in bins]])
    values = line(slices, 1)[0]
    groups = [label.get_text().split()[0] for label in slices.get_yticklabels()]
    assert sorted(groups) == ["a", "b"]
    np.testing.assert_array_equal(values, [scores["brier", "n", group].value for group in groups])
    assert slices.get_title() == "brier by side, ± 2 standard errors"


def test_plots_become_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "plot", "huber:delta=2", "log_loss") == (0, "huber.png\n", "")
    assert (tmp_path / "huber.png").read_bytes().startswith(b"\x89PNG")
    for _ in range(2):
        assert run(capsys, "plot", "huber", "-o", "a.svg", "--range", "-1", "1")[0] == 0
        content = (tmp_path / "a.svg").read_text()
    assert "<svg" in content
    (tmp_path / "h.json").write_text('{"loss": [2, 1]}')
    assert run(capsys, "plot", "h.json") == (0, "h.png\n", "")
    assert run(capsys, "plot", "h.json", "-o", "no/such/place.png")[0] == 3


@pytest.mark.parametrize(("argv", "code", "message"), [
    (["hubr"], 2, "no loss is called 'hubr'; did you mean 'huber'"),
    (["categorical_cross_entropy"], 2, "takes a row of predictions, and a curve is over one"),
    (["poisson_deviance", "--range", "-3", "-1"], 2, "takes predictions in (0, inf); none of them is in [-3, -1]"),
    (["huber", "-o", "a.txt"], 2, "must end in .png, .svg or .pdf, found a.txt"),
    (["huber", "--range", "1", "1"], 2, "LOW must be smaller than HIGH"),
    (["a.json", "huber"], 2, "one file at a time, found 2 names"),
    (["none.json"], 3, "none.json: No such file"),
    (["text.json"], 3, "text.json: this is no JSON"),
    (["list.json"], 3, "neither a result of `fusedloss score --json` nor a history"),
    (["score.json"], 3, "there is nothing to draw in it: score with --by"),
])
def test_what_cannot_be_drawn(argv, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.json").write_text("no")
    (tmp_path / "list.json").write_text('{"train": {"rmse": []}}')
    (tmp_path / "score.json").write_text('{"results": [], "rows_read": 1, "by": null}')
    found, out, err = run(capsys, "plot", *argv)
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


def test_without_matplotlib_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    code, _, err = run(capsys, "plot", "huber")
    assert (code, err) == (3, "fusedloss: plots need matplotlib: pip install fusedloss[plot]\n")


def test_the_benchmark_compares_the_same_numbers(monkeypatch, capsys):
    monkeypatch.setattr(bench, "find_spec", lambda name: None if name == "torch" else True)
    for name, (numpy_way, scipy_way, _) in bench.CASES.items():
        rng = np.random.default_rng(0)
        y, f, loss = (rng.random(1000) < 0.3).astype(float), rng.normal(size=1000), fl.get(name)
        value, gradient = (np.array([*map(formula, y, f)]) / 1000 for formula in (loss.value, loss.gradient))
        value = value.sum()
        assert numpy_way(y, f)[0] == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(numpy_way(y, f)[1], gradient, rtol=1e-9, atol=1e-15)
        if scipy_way:
            assert scipy_way(y, f) == pytest.approx(value, rel=1e-12)
    monkeypatch.setattr(bench, "CASES", {"huber": bench.CASES["huber"]})
    monkeypatch.setattr(bench.table, "__defaults__", (1000, 2))
    code, out, err = run(capsys, "bench")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "threads" in lines[0]
    assert lines[1].split()[:4] == ["value", "and", "gradient", "dtype"]
    assert [row.split()[:2] for row in lines[2:]] == [["huber", "float64"], ["huber", "float32"]]
    assert all("NumPy" in row for row in lines[2:])
