"""The pages of docs/ and the README print what they say: every `>>>`, in order, numbers compared as printed."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOSTS = {"Curvatures": "xgboost", "XGBoost": "xgboost", "LightGBM": "lightgbm", "CatBoost": "catboost", "SciPy": "scipy",
         "scikit-learn": "sklearn", "torch": "torch", "JAX": "jax"}
"""The library each section of docs/hosts.md is for."""


def runs(text, name, monkeypatch):
    """Run the examples of `text` in one namespace, from the project's root; each prints what it says."""
    monkeypatch.chdir(ROOT)
    test = doctest.DocTestParser().get_doctest(re.sub(r"^```.*$", "", text, flags=re.M), {}, name, name, 0)
    assert len(test.examples) >= 5, f"{name} has examples"
    report, runner = [], doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


@pytest.mark.process
@pytest.mark.parametrize("page", ["README.md", "docs/custom_losses.md", "docs/linear.md", "docs/rows.md", "docs/scoring.md"])
def test_examples_of_a_page(page, monkeypatch):
    runs((ROOT / page).read_text(), page, monkeypatch)


@pytest.mark.hosts
@pytest.mark.parametrize("page", ["docs/arrays.md", "docs/scale.md"])
def test_examples_of_a_page_on_others_arrays(page, monkeypatch):
    for library in ("dask.array", "jax", "pandas", "polars", "pyarrow", "torch", "xarray"):
        pytest.importorskip(library)
    runs((ROOT / page).read_text(), page, monkeypatch)


@pytest.mark.hosts
@pytest.mark.parametrize(("section", "library"), HOSTS.items(), ids=HOSTS)
def test_examples_of_a_host(section, library, monkeypatch):
    """Each section stands for itself."""
    pytest.importorskip(library)
    page = (ROOT / "docs/hosts.md").read_text()
    text = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", page, flags=re.M | re.S)[1]
    runs(text, f"docs/hosts.md, {section}", monkeypatch)


def test_every_page_with_examples_is_run():
    """No page is forgotten by the lists above."""
    here = Path(__file__).read_text()
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        if ">>> " in page.read_text() and page.name != "hosts.md":
            assert f'"{page.relative_to(ROOT)}"' in here, page
    sections = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", (ROOT / "docs/hosts.md").read_text(), flags=re.M | re.S)
    assert {name for name, text in sections if ">>> " in text} == set(HOSTS)
