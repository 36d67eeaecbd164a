"""Points, intervals and lists in words."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["at", "common_places", "lies", "listed", "plain", "regions", "show", "shown_place"]


def at(y, f, k=None):
    """"at y = 1, f = 2.5": a point, and a column of it."""
    return f"at y = {show(y)}, f = {show(f)}{'' if k is None else f', column {k}'}"


def show(x):
    """A number, or a row of numbers."""
    x = [_digits(v) for v in np.asarray(x, float).ravel().tolist()]
    return x[0] if len(x) == 1 else f"[{', '.join(x)}]"


def _digits(x):
    """As few digits as name a number of float32, and six of others."""
    with np.errstate(over="ignore", under="ignore"):
        short = float(np.float32(x)) == x and 1e-5 < abs(x) < 1e16
    return f"{float(str(np.float32(x))):.9g}" if short else f"{x:.6g}"


def shown_place(x):
    """A place that was found by halving, without the digits that it does not have."""
    return f"{0.0 if abs(x) < 1e-9 else x:.5g}"


def listed(words, last="and"):
    """"a, b and c"."""
    words = list(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


def lies(domain):
    text = str(domain)
    return f"is {text}" if text.startswith(("any", "0 or")) else text


def plain(value):
    """Evidence as numbers, lists and text, fit for JSON."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, list, tuple)):
        items = [plain(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
        return items[0] if isinstance(value, np.ndarray) and len(items) == 1 else items
    value = value.item() if isinstance(value, np.generic) else value
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def common_places(by_target):
    """Places {target: predictions} in words: as residuals or predictions where they are the same for every target."""
    for name, shift in (("r = f - y", 1.0), ("f", 0.0)):
        moved = [sorted(t - shift * y for t in places) for y, places in by_target.items()]
        if _same(moved, 1e-6) and (len(moved) > 1 or name == "f"):
            return "at " + listed(f"{name} = {shown_place(t)}" for t in moved[0])
    return "at " + "; ".join(f"f = {listed(map(shown_place, sorted(places)))} for y = {shown_place(y)}"
                             for y, places in by_target.items())


def regions(by_target, targets):
    """Intervals {target: [(low, high), ...]} in words: of residuals, predictions or ratios, where these are the same."""
    ends = {y: [end for interval in intervals for end in interval] for y, intervals in by_target.items()}
    forms = [("r", lambda end, y: end - y), ("f", lambda end, y: end)]
    if all(y > 0 for y in ends):
        forms.append(("f/y", lambda end, y: end / y))
    for name, form in forms:
        moved = [[form(end, y) for end in row] for y, row in ends.items()]
        if _same(moved, 1e-3) and len(moved) == targets > 1:
            return _intervals(moved[0], name) + (", r = f - y" if name == "r" else "")
    return "; ".join(f"{_intervals(row, 'f')} for y = {shown_place(y)}" for y, row in ends.items())


def _same(rows, tolerance):
    return len({len(row) for row in rows}) == 1 and np.allclose(rows, rows[0], rtol=tolerance, atol=tolerance)


def _intervals(ends, name):
    pairs = list(zip(ends[::2], ends[1::2], strict=True))
    if len(pairs) == 2 and -pairs[0][0] == pairs[1][1] == math.inf and _opposite(pairs[0][1], pairs[1][0]):
        return f"|{name}| > {shown_place(pairs[1][0])}"
    texts = []
    for low, high in pairs:
        if math.isfinite(high) and _opposite(low, high):
            texts.append(f"|{name}| < {shown_place(high)}")
        elif -low == high == math.inf:
            texts.append(f"{name} is any number")
        elif high == math.inf:
            texts.append(f"{name} > {shown_place(low)}")
        else:
            texts.append((f"{shown_place(low)} < " if low > -math.inf else "") + f"{name} < {shown_place(high)}")
    return listed(texts, "or")


def _opposite(a, b):
    return abs(a + b) < 1e-3 * max(abs(a), abs(b))
