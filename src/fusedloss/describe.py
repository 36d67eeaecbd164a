"""A loss in words: everything known about it as data, as text for a person, and as tables of the catalogue."""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import MISSING, fields

from .losses import FAMILIES
from .registry import example, list_losses

WIDTH = 96


def facts(loss) -> dict:
    """What is known about a loss: text, numbers and lists only."""
    purpose, *body = _docstring(loss)
    return {
        "name": loss.name,
        "class": type(loss).__name__,
        "family": next((family for family, names in FAMILIES.items() if type(loss).__name__ in names), None),
        "purpose": purpose,
        "formula": loss.formula,
        "target": str(loss.y_domain),
        "prediction": str(loss.pred_domain),
        "link": loss.link,
        "convex": loss.convex,
        "smooth": loss.smooth,
        "parameters": [_parameter(loss, spec) for spec in fields(loss)],
        "hessian": hasattr(loss, "hessian"),
        "majorizer": hasattr(loss, "majorizer"),
        "fisher": hasattr(loss, "fisher_diagonal"),
        "curvatures": {name: [word for word, holds in kind._asdict().items() if holds]
                       for name, kind in loss.curvatures.items()},
        "rows": _rows(loss),
        "parameter_gradients": [name.removeprefix("gradient_") for name in dir(loss) if name.startswith("gradient_")],
        "init_score": "closed form" if hasattr(loss, "optimum") or hasattr(loss, "start") else
                      "a quantile" if hasattr(loss, "quantile_level") else "searched",
        "notes": loss.notes,
        "peers": list(loss.peers),
        "get": _names(loss),
        "details": body[-1] if body else "",
    }


def describe(loss) -> str:
    """`facts` as text for a person."""
    known = facts(loss)
    link = "" if known["link"] == "identity" else f", {known['link']} link"
    shape = ", ".join(["convex" if known["convex"] else "not convex",
                       "smooth" if known["smooth"] else "with kinks (its gradient jumps)"])
    methods = ["value", "gradient", *(name for name in ("hessian", "majorizer", "fisher") if known[name]),
               *(f"derivative in {name}" for name in known["parameter_gradients"])]
    lines = {
        "formula": known["formula"],
        "target": "" if known["rows"].startswith("target a class label") else f"y {_lies(known['target'])}",
        "prediction": f"f {_lies(known['prediction'])}{link}",
        "sample": known["rows"],
        "shape": shape,
        "parameters": "\n".join(map(_parameter_line, known["parameters"])) or "none",
        "has": ", ".join(methods),
        "curvature": "; ".join(f"{name}: {', '.join(words) or 'no guarantee'}"
                               for name, words in known["curvatures"].items()),
        "init_score": known["init_score"],
        "mind": known["notes"],
        "elsewhere": ", ".join(known["peers"]),
        "fl.get": ", ".join(map(repr, known["get"])),
        "details": known["details"],
    }
    title = known["class"] + (f": {known['purpose']}" if known["purpose"] else "")
    return "\n".join([_filled(title, "", "  "), "",
                      *[_filled(text, f"  {name:<12}", " " * 14) for name, text in lines.items() if text]])


def _rows(loss):
    """What a sample is: "" for one target and one prediction."""
    if not loss.rowwise:
        return ""
    targets = {"label": "a class label", "classes": "a class label or a row of probabilities", "row": "a row",
               "number": "a number"}[loss.target]
    columns = loss.columns if isinstance(loss.columns, tuple) else ()
    predictions = "one score" if loss.single_score else f"({', '.join(columns)})" if 0 < len(columns) < 4 else "a row"
    return f"target {targets}, prediction {predictions}"


def _docstring(loss):
    """The paragraphs of the docstring that its author wrote; the first is its purpose."""
    text = type(loss).__dict__.get("__doc__") or ""
    if text.startswith(f"{type(loss).__name__}("):  # dataclasses write one where there is none
        text = ""
    return [" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n")]


def _parameter(loss, spec):
    if choices := spec.metadata.get("choices"):
        allowed = "one of " + ", ".join(choices)
    elif isinstance(spec.default, bool):
        allowed = "True or False"
    else:
        kind = {1: "an array of numbers ", 2: "a matrix of numbers "}.get(spec.metadata.get("ndim"), "")
        allowed = kind + str(spec.metadata.get("domain", "any real number")) + (", or None" if spec.default is None else "")
        allowed = spec.metadata.get("checked", allowed)
    value, default = getattr(loss, spec.name), None if spec.default is MISSING else spec.default
    return {"name": spec.name, "value": value.tolist() if hasattr(value, "tolist") else value, "default": default,
            "required": spec.default is MISSING, "allowed": allowed}


def _parameter_line(parameter):
    if parameter["required"]:
        return f"{parameter['name']} (required), {parameter['allowed']}"
    changed = parameter["value"] != parameter["default"]
    default = f" (default {_short(parameter['default'])})" if changed else ""
    return f"{parameter['name']} = {_short(parameter['value'])}{default}, {parameter['allowed']}"


def _short(value):
    return f"{value:g}" if isinstance(value, float) else str(value)


def _lies(domain):
    return f"is {domain}" if domain == "0 or 1" or domain.startswith("any") else domain


def _filled(text, first, following):
    """`text` folded at WIDTH, each of its own lines for itself."""
    lines = []
    for line in text.splitlines():
        lines += textwrap.wrap(line, WIDTH, initial_indent=following if lines else first, subsequent_indent=following,
                               break_on_hyphens=False)
    return "\n".join(lines)


def _names(loss):
    """What `fusedloss.get` calls this very loss, with the parameters it has."""
    from .registry import _CLASS_OF

    names = [loss.name] if loss.name in _CLASS_OF and example(loss.name) == loss else []
    try:
        from .peers import ALIASES, PEERS
    except ImportError:
        return names
    for name, factory in {**ALIASES, **PEERS}.items():
        try:
            same = factory() == loss
        except TypeError:  # it cannot be made without parameters
            same = False
        names += [name] if same else []
    return names


# ---- the catalogue -----------------------------------------------------------------------------------------------


def table_text(family: str | None = None) -> str:
    """The catalogue, a line per loss: its name and what it is for."""
    width = max(map(len, list_losses(family)))
    blocks = []
    for title in [family] if family else FAMILIES:
        lines = [title]
        for name in list_losses(title):
            purpose = textwrap.shorten(facts(example(name))["purpose"], WIDTH - width, placeholder=" ...")
            lines.append(f"  {name:<{width}}  {purpose}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def table_markdown(family: str | None = None) -> str:
    """The catalogue as Markdown tables, a table per family: what the README shows."""
    blocks = []
    for title in [family] if family else FAMILIES:
        rows = ["| `fl.get` | class | loss of one sample | parameters | target | curvature |",
                "|---|---|---|---|---|---|"]
        rows += [_markdown_row(facts(example(name))) for name in list_losses(title)]
        blocks.append("\n".join([f"**{title}**", "", *rows]))
    return "\n\n".join(blocks)


def _markdown_row(known):
    parameters = ", ".join(f"`{p['name']}`" if p["required"] else f"`{p['name']}={_short(p['value'])}`"
                           for p in known["parameters"] if p["name"] not in ("class_weight", "ignore_index"))
    curvature = ", ".join(word for word in ("hessian", "majorizer", "fisher") if known[word])
    formula = known["formula"].replace("|", "\\|")
    target = "" if known["target"] == "any real number" else known["target"]
    if known["rows"]:
        target = known["rows"].removeprefix("target ").replace(", prediction", ";") + (f"; y {target}" if target else "")
    return f"| `{known['name']}` | {known['class']} | `{formula}` | {parameters} | {target} | {curvature} |"
