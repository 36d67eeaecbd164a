"""Losses by name: ours, the peers', and from the text of a command line."""

from __future__ import annotations

import difflib
import os
import sys
from dataclasses import MISSING, fields, replace
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from .loss import Loss, snake_case
from .losses import FAMILIES, MODULE_OF

_CLASS_OF = {snake_case(name): name for name in MODULE_OF}
_BY_LETTERS = {name.replace("_", ""): name for name in _CLASS_OF}


def list_losses(family: str | None = None) -> list[str]:
    """The names `get` takes, of the whole catalogue or of one family ("regression", "binary", "multiclass" ...)."""
    if family is not None and family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(map(repr, FAMILIES))}, found {family!r}")
    return [snake_case(name) for names in ([FAMILIES[family]] if family else FAMILIES.values()) for name in names]


def get(name: str, **parameters) -> Loss:
    """A loss by name.

    A bare name is ours in snake_case (`"pseudo_huber"`; where the underscores are does not matter), or one of a few
    aliases that mean the same everywhere (`"mse"`, `"log_loss"`: probabilities, as scikit-learn means them). A name with
    the library in front (`"torch.huber_loss"`, `"sklearn.log_loss"`, `"xgboost.reg:tweedie"`) gives that library's exact
    number, its clipping included; parameters are then spelt as they are there.

    >>> get("huber", delta=1.35)
    Huber(delta=1.35)
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a str such as 'huber', found {name!r}")
    ours = _BY_LETTERS.get(name.replace("_", ""))
    if ours:
        cls = loss_class(ours)
        known = [spec.name for spec in fields(cls)]
        for wrong in (key for key in parameters if key not in known):
            raise TypeError(f"{ours} has no parameter {wrong!r}; it has {', '.join(map(repr, known)) or 'none'}")
        for spec in fields(cls):
            if spec.default is MISSING and spec.name not in parameters:
                raise TypeError(f"{ours} needs {spec.name}=, which has no default")
        return cls(**parameters)
    from .peers import ALIASES, PEERS

    factory = PEERS.get(name) or ALIASES.get(name)
    if factory is None:
        close = difflib.get_close_matches(name, [*_CLASS_OF, *ALIASES, *PEERS], 3)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(f"no loss is called {name!r}{hint} (fusedloss.list_losses() has all)")
    return factory(**parameters)


def loss_class(name: str) -> type[Loss]:
    """The class behind a name of `list_losses`."""
    class_name = _CLASS_OF[name]
    return getattr(import_module(MODULE_OF[class_name]), class_name)


def example(name: str) -> Loss:
    """The loss of this name with its defaults, and with made-up parameters where there are none."""
    cls = loss_class(name)
    required = any(spec.default is MISSING for spec in fields(cls))
    return cls(**cls.example) if required else cls()


def parse(text: str) -> Loss:
    """A loss from the text of a command line: `huber:delta=15`, `tweedie:power=1.7`, `xgboost.reg:tweedie`."""
    name, parameters = _split(text)
    try:
        return get(name, **parameters)
    except TypeError as error:
        raise ValueError(f"{text}: {error}") from None


def imported(text: str) -> Loss:
    """The same, or a loss of somebody's own: `module:Name`, `file.py:Name` (a loss, or its class), `file.py:Name:c=2.5`.

    Modules are looked for in the working directory first. ValueError, TypeError: it cannot be had, and why.
    """
    name, parameters = _split(text)
    place, _, attribute = name.rpartition(":")
    from .peers import PEERS

    if not place or name in PEERS:
        return parse(text)
    module = _module(place)
    found = getattr(module, attribute, None)
    if found is None:
        close = difflib.get_close_matches(attribute, [key for key, value in vars(module).items() if _is_loss(value)], 3, 0.3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ValueError(f"{place} has no {attribute!r}{hint}")
    if not _is_loss(found):
        raise TypeError(f"{text} is no loss and no class of one, but {found!r}")
    if isinstance(found, Loss):
        return replace(found, **parameters)
    try:
        return found(**parameters)
    except TypeError as error:
        raise ValueError(f"{text}: {error}; pass parameters as in {name}:c=2.5") from None


def _is_loss(value):
    return isinstance(value, Loss) or (isinstance(value, type) and issubclass(value, Loss))


def _module(place):
    """A module by its name, or by the name of its file."""
    path = Path(place).resolve() if place.endswith(".py") else None
    if path and not path.is_file():
        raise ValueError(f"{place}: there is no such file")
    folder = str(path.parent) if path else os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        if path is None:
            return import_module(place)
        spec = spec_from_file_location(str(path), path)  # its stem may be the name of another module
        module = sys.modules[spec.name] = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except Exception as error:  # a module may raise anything
        raise ValueError(f"{place} cannot be imported: {type(error).__name__}: {error}") from None


def _split(text):
    """(name, parameters) of the text of a command line."""
    name, parameters = text, {}
    while ":" in name and "=" in name.rpartition(":")[2]:
        name, _, pairs = name.rpartition(":")
        for pair in pairs.split(","):
            key, _, value = pair.partition("=")
            parameters[key.strip()] = _value(value.strip())
    return name, parameters


def _value(text: str):
    for word, value in (("true", True), ("false", False), ("none", None)):
        if text.lower() == word:
            return value
    try:
        return float(text)
    except ValueError:
        return text
