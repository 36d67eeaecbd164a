"""fusedloss: every loss with its gradient and Hessian, in one fused pass over your arrays.

>>> import numpy as np, fusedloss as fl
>>> fl.Huber(delta=1.0).value_and_grad(np.array([0.0, 0.0]), np.array([0.5, 3.0]))
(1.3125, array([0.25, 0.5 ]))
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

from . import forks as _forks  # a fork before the first call must be known too
from .losses import MODULE_OF as _MODULE_OF

if _TYPE_CHECKING:  # for type checkers and editors; at run time __getattr__ loads what is asked for
    from . import cache, domain, rowmath, vecmath
    from .checking import check
    from .linear import LinearObjective
    from .loss import Classification, Elementwise, Loss, Rowwise, choice, numbers, parameter
    from .losses.adversarial import *
    from .losses.binary import *
    from .losses.count import *
    from .losses.crps import *
    from .losses.distribution import *
    from .losses.divergence import *
    from .losses.multiclass import *
    from .losses.multilabel import *
    from .losses.ordinal import *
    from .losses.quantile import *
    from .losses.quantile_rows import *
    from .losses.regression import *
    from .registry import get, list_losses
    from .scoring import Accumulator, Scores, score, score_files

__version__ = "0.1.0"

_ELSEWHERE = {
    "Classification": "loss", "Elementwise": "loss", "Loss": "loss", "Rowwise": "loss",
    "choice": "loss", "numbers": "loss", "parameter": "loss",
    "get": "registry", "list_losses": "registry",
    "Accumulator": "scoring", "score": "scoring", "score_files": "scoring", "Scores": "scoring",
    "check": "checking",
    "LinearObjective": "linear",
}
_SUBMODULES = ("cache", "domain", "rowmath", "vecmath")

__all__ = [*_MODULE_OF, *_ELSEWHERE, *_SUBMODULES]


def __getattr__(name):
    """Public names are loaded when they are first asked for (PEP 562): `import fusedloss` loads no Numba."""
    if name in _MODULE_OF:
        value = getattr(_import_module(_MODULE_OF[name]), name)
    elif name in _ELSEWHERE:
        value = getattr(_import_module(f"{__name__}.{_ELSEWHERE[name]}"), name)
    elif name in _SUBMODULES:
        value = _import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
