"""The package as it is installed: what importing it loads, which names it has, what its documents say."""

import ast
import doctest
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import fusedloss as fl
from fusedloss.loss import snake_case
from fusedloss.losses import FAMILIES, MODULE_OF
from fusedloss.registry import example

PACKAGE = Path(fl.__file__).parent
ROOT = Path(__file__).parent.parent
OPTIONAL = {"scipy", "pandas", "pyarrow", "torch", "jax", "sklearn", "xgboost", "lightgbm", "catboost", "matplotlib",
            "mpmath", "polars", "cupy", "tqdm", "xarray", "dask"}
ARRAYS = {"arrow": "pyarrow", **{name: name for name in ("pandas", "polars", "torch", "jax", "xarray", "dask")}}
"""The modules of `arrays` that are loaded for arrays of this library alone."""


@pytest.mark.process
def test_import_loads_nothing_heavy(run_python):
    """Neither Numba nor any optional library, nor NumPy; and making and comparing losses needs none either."""
    printed = run_python(f"""
import sys
import fusedloss as fl
heavy = {sorted(OPTIONAL | {"numba", "llvmlite"})!r}
print([name for name in heavy + ["numpy"] if name in sys.modules])
from fusedloss.registry import example
losses = [example(name) for name in fl.list_losses()]
assert len(set(losses)) == len(losses)
fl.Huber(delta=2.0).value(0.0, 1.0)
print([name for name in heavy if name in sys.modules])
import numpy as np
fl.Huber()(0.0, np.ones(3))
print([name for name in heavy if name in sys.modules and name != "scipy"])  # Numba itself looks for SciPy
""")
    assert printed.splitlines() == ["[]", "[]", "['llvmlite', 'numba']"]


LIGHT = [PACKAGE / name for name in ("__init__.py", "loss.py", "domain.py", "registry.py", "cache.py")]


def imports_of(tree):
    """(module, at top level?) of every import in a file."""
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module, id(node) in top


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_imports_an_optional_library_at_its_top(path):
    own = ARRAYS.get(path.stem) if path.parent.name == "arrays" else None
    for module, at_top in imports_of(ast.parse(path.read_text())):
        assert not (at_top and module.split(".")[0] in OPTIONAL - {own}), module
        if path.parent.name == "losses" or path in LIGHT:
            assert not (at_top and module.split(".")[0] in ("numba", "numpy")), module


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_fastmath_and_no_numba_cache(path):
    """Laws 5 and 9."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.keyword) and node.arg in ("fastmath", "cache"):
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False


def test_public_names():
    for name in ("Elementwise", "Loss", "get", "list_losses", "score", "Scores", *MODULE_OF):
        assert getattr(fl, name) is not None
        assert name in dir(fl)
        assert name in fl.__all__
    for method in ("__call__", "elementwise", "grad", "value_and_grad", "param_grad", "grad_and_hess",
                   "value_grad_hess", "init_score", "inverse_link", "describe"):
        assert getattr(fl.Loss, method).__doc__
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        fl.no_such_name  # noqa: B018
    assert re.fullmatch(r"\d+\.\d+\.\d+", fl.__version__)


def test_every_public_class_is_in_the_catalogue():
    import importlib

    for family in FAMILIES:
        module = importlib.import_module(f"fusedloss.losses.{family}")
        assert set(module.__all__) == set(FAMILIES[family])


@pytest.mark.parametrize(("name", "snake"), [
    ("SmoothL1", "smooth_l1"), ("GANMinimax", "gan_minimax"), ("LeastSquaresGAN", "least_squares_gan"), ("Lq", "lq"),
    ("BinaryPoly1", "binary_poly1"), ("HalfSquaredError", "half_squared_error"), ("WassersteinGAN", "wasserstein_gan"),
    ("GemanMcClure", "geman_mcclure"), ("PseudoHuber", "pseudo_huber")])
def test_names_in_snake_case(name, snake):
    assert snake_case(name) == snake
    assert getattr(fl, name).name == snake
    assert fl.get(snake) == getattr(fl, name)()


def test_get_and_list():
    names = fl.list_losses()
    assert len(names) == len(set(names)) == len(MODULE_OF) == 107
    for name in names:
        assert example(name).name == name
    assert fl.get("huber", delta=1.35) == fl.Huber(delta=1.35)
    assert [name for family in FAMILIES for name in fl.list_losses(family)] == names
    with pytest.raises(ValueError, match=r"family must be one of 'regression'.*found 'other'"):
        fl.list_losses("other")
    with pytest.raises(ValueError, match="no loss is called 'hubber'; did you mean 'huber'"):
        fl.get("hubber")
    with pytest.raises(ValueError, match=r"no loss is called 'zzzzzz' \(fusedloss.list_losses"):
        fl.get("zzzzzz")
    with pytest.raises(TypeError, match="name must be a str such as 'huber', found 3"):
        fl.get(3)
    with pytest.raises(ValueError, match="Huber: delta must be"):
        fl.get("huber", delta=-1)
    with pytest.raises(TypeError, match="delte"):
        fl.get("huber", delte=1)
    with pytest.raises(TypeError, match="ldam needs class_counts=, which has no default"):
        fl.get("ldam")


@pytest.mark.parametrize("name", fl.list_losses())
def test_describe(name):
    loss = example(name)
    text = "".join(loss.describe().split())  # lines are broken anywhere
    for part in (type(loss).__name__, loss.formula, *loss.peers):
        assert "".join(part.split()) in text


def test_typed_and_versioned():
    assert (PACKAGE / "py.typed").exists()
    for method in ("value", "gradient"):
        assert not hasattr(fl.Loss, method)  # formulas and array methods do not mix


def test_docstrings_examples_work():
    results = doctest.testmod(fl, verbose=False)
    assert results.attempted >= 2
    assert results.failed == 0


@pytest.mark.process
def test_without_the_compiler(run_python):
    """NUMBA_DISABLE_JIT=1: the same library in plain Python, for debuggers and coverage."""
    code = """
import numpy as np
import fusedloss as fl
f, y, w = np.linspace(-2, 2, 200), np.arange(200) % 2, np.arange(200.0)
for F in (np.float64, np.float32):
    for loss in (fl.BinaryCrossEntropy(), fl.Huber(delta=0.5)):
        value, grad, hess = loss.value_grad_hess(y, f.astype(F), w, mask=f > 1.9)
        print(f"{value:.6f} {grad.sum():.5f} {hess.sum():.5f} {grad.dtype}")
"""
    assert run_python(code, NUMBA_DISABLE_JIT=1) == run_python(code)


def test_python_version_is_one_that_is_supported():
    assert sys.version_info >= (3, 11)
    assert np.lib.NumpyVersion(np.__version__) >= "1.26.0"
