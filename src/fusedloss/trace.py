"""What a row formula computes, as a graph: the formula is run once on symbols, and every operation records itself.

Equal expressions are one node, so value, gradient and Hessian share what they have in common without being told. A node
is a number per sample or a row of them (`row`), of type "F" (the prediction's dtype), "int" or "bool". `level` says when
it can be known: a reduction over the row is known one pass over the row later than what it reduces.
"""

from __future__ import annotations

import functools
import operator
import types
from math import inf, nan

import numpy as np

from . import rowmath
from .loss import Loss
from .rowmath import Symbolic

REDUCTIONS = ("total", "largest", "smallest", "first_largest", "beside_largest", "any")
WHOLE_ROW = ("cumulative", "reverse_cumulative", "sort", "ranks", "pairs")
LEAVES = ("f", "y", "v", "index", "table", "matrix_row")
CHEAP = ("add", "sub", "mul", "neg", "abs", "where", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not", "cast",
         "maximum", "minimum")


class Node(Symbolic):
    """One value of a formula; operators make new ones."""

    __slots__ = ("__weakref__", "args", "graph", "level", "number", "op", "row", "type")

    def record(self, name, *arguments):
        """What a function of `rowmath` is on symbols."""
        return self.graph.call(name, arguments)

    def record_pairs(self, function, rows, others):
        return self.graph.pairs(function, rows, others)

    def __iter__(self):
        """The columns of a row of predictions whose columns the loss fixes: `mu, s = f`."""
        return iter(self.args if self.op == "stack" else self.graph.columns(self))

    def __bool__(self):
        raise TypeError("a row formula decides by its data: use where(condition, a, b) in place of `if`, `and`, `or`, "
                        "min and max (rowmath has minimum and maximum)")

    def __pow__(self, exponent):
        if not (isinstance(exponent, int) and 1 <= exponent <= 4):
            raise TypeError(f"x ** {exponent!r}: a row formula may write x ** 2, 3 or 4; use pow(x, y) for others")
        result = self
        for _ in range(exponent - 1):
            result = result * self
        return result

    __hash__ = object.__hash__


def _operator(op, swapped=False):
    def method(self, other):
        return self.graph.apply(op, *((other, self) if swapped else (self, other)))

    return method


for _name, _op in (("add", "add"), ("sub", "sub"), ("mul", "mul"), ("truediv", "div"), ("and", "and"), ("or", "or")):
    setattr(Node, f"__{_name}__", _operator(_op))
    setattr(Node, f"__r{_name}__", _operator(_op, swapped=True))
for _op in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Node, f"__{_op}__", _operator(_op))
for _name, _op in (("neg", "neg"), ("abs", "abs"), ("invert", "not")):
    setattr(Node, f"__{_name}__", lambda self, _op=_op: self.graph.apply(_op, self))


class Graph:
    """The nodes of a loss's formulas, and what they read: `tables` and `matrices` are its array parameters."""

    def __init__(self, loss, label=False, frugal=False):
        self.nodes, self._known, self.frugal = [], {}, frugal
        self.loss, self.tables, self.parameters = loss, [], []
        self.fixed = tuple(loss.columns)
        self.label = self.leaf("label", row=False, type="int") if label else None
        self.self = _Self(self, loss)

    # ---- making nodes ------------------------------------------------------------------------------------------

    def _node(self, op, args, row, type, level):
        key = (op, type, *[id(a) if isinstance(a, Node) else a for a in args])  # type: 1 and True are equal
        found = self._known.get(key)
        if found is None:
            found = Node()
            found.graph, found.number, found.op, found.args = self, len(self.nodes), op, tuple(args)
            found.row, found.type, found.level = row, type, level
            self._known[key] = found
            self.nodes.append(found)
        return found

    def leaf(self, op, *args, row=True, type="F"):
        return self._node(op, args, row, type, 0)

    def node(self, x, type="F"):
        """A node for a number of Python; the numbers of a row for an array."""
        if isinstance(x, Node):
            return x
        if isinstance(x, (bool, np.bool_)):
            return self.leaf("const", bool(x), row=False, type="bool")
        if isinstance(x, (int, float, np.integer, np.floating)):
            value = int(x) if type == "int" else float(x).hex()
            return self.leaf("const", value, row=False, type=type)
        raise TypeError(f"a row formula of {self.loss.name} computes with {x!r}: it may use numbers, rows and functions of "
                        "fusedloss.rowmath")

    def table(self, name, op="table"):
        """An array parameter of the loss: a row that is the same for every sample, or a matrix."""
        if name not in self.tables:
            self.tables.append(name)
        return self.leaf(op, name)

    def cast(self, x):
        """`x` as a number of the prediction's dtype."""
        x = self.node(x)
        if x.type != "F" and x.op == "const":
            return self.node(float(x.args[0]))
        return x if x.type == "F" else self._node("cast", (x,), x.row, "F", x.level)

    def apply(self, op, *args):
        """An operation on numbers or rows, element by element."""
        if any(isinstance(a, Node) and a.op == "stack" for a in args):
            return self._apply_to_columns(op, args)
        type = "F"
        if op in ("and", "or", "not"):
            args, type = [self._as_bool(self.node(a)) for a in args], "bool"
        elif op in ("lt", "le", "gt", "ge", "eq", "ne"):
            whole = all(a.type == "int" if isinstance(a, Node) else isinstance(a, (int, np.integer)) for a in args)
            args = [self.node(a, "int") if whole else self.cast(a) for a in args]
            type = "bool"
            if (op == "eq" and args[0].op == "cast" and args[0].args[0].type == "bool" and args[1].op == "const"
                    and args[1].args[0] == (1.0).hex()):
                return args[0].args[0]
            if op == "eq" and args[0] is args[1] and args[0].type == "int":
                return self.node(True)
            if args[0].op == args[1].op == "const" and "F" == args[0].type == args[1].type:
                return self.node(getattr(operator, op)(*[float.fromhex(a.args[0]) for a in args]))
        elif op == "where":
            condition, *rest = args
            rest = [self.node(a) for a in rest]
            if not all(a.type == "bool" for a in rest):
                rest = [self.cast(a) for a in rest]
            type = rest[0].type
            args = [self._as_bool(self.node(condition)), *rest]
            if args[0].op == "const":
                return rest[0] if args[0].args[0] else rest[1]
        else:
            args = [self.cast(a) for a in args]
            plain = _simplified(op, args)
            if plain is not None:
                return self.node(plain)
        return self._node(op, tuple(args), any(a.row for a in args), type, max(a.level for a in args))

    def _apply_to_columns(self, op, args):
        """The same where a row is given by its columns."""
        split = [list(a) if isinstance(a, Node) and a.row else None for a in args]
        columns = range(next(len(x) for x in split if x is not None))
        return self.call("stack", [self.apply(op, *[a if x is None else x[k] for a, x in zip(args, split, strict=True)])
                                   for k in columns])

    def _as_bool(self, x):
        return x if x.type == "bool" else self.apply("ne", x, 0)

    def call(self, name, args):
        """A function of `rowmath`."""
        if name in ("total", "largest", "smallest"):
            return self._reduced(name, self.cast(args[0]))
        if name == "first_largest":
            return self._reduced(name, self.cast(args[0]), "int")
        if name == "beside_largest":
            x = self.cast(args[0])
            return self._reduced(name, x) if self.frugal else rowmath.beside_largest.__wrapped__(x)
        if name in ("cumulative", "reverse_cumulative", "sort", "ranks"):
            x = self.cast(args[0])
            return self._node(name, (x,), True, "int" if name == "ranks" else "F", x.level + 1)
        if name == "index":
            return self.leaf("index", type="int")
        if name == "size":
            return self.leaf("size", row=False)
        if name == "at":
            return self.at(*args)
        if name == "onehot":
            y = args[0]
            return y if y.row else self.cast(self.apply("eq", self.leaf("index", type="int"), y))
        if name == "row_of":
            matrix = args[0]
            return self.leaf("matrix_row", matrix.args[0])
        if name == "stack":
            args = [self.cast(a) for a in args]
            return self._node("stack", tuple(args), True, "F", max(a.level for a in args))
        return self.apply(name, *args)

    def _reduced(self, op, x, type="F"):
        if op == "total" and x.op == "cast" and x.args[0].op == "eq" and any(a is self.label for a in x.args[0].args):
            return self.node(1.0)  # the target's row holds 1 once
        if op == "total":
            x = self.spread(x)
        return self._node(op, (x,), False, type, x.level + 1) if x.row else x

    def spread(self, x):
        """A number as a row of it."""
        return x if x.row else self._node("spread", (x,), True, x.type, x.level)

    def any(self, x):
        """Whether a condition holds anywhere in the row."""
        return self._node("any", (x,), False, "bool", x.level + 1) if x.row else x

    def at(self, y, x):
        y, x = self.node(y), self.node(x)
        if y.row:
            return self._reduced("total", self.apply("where", self.apply("eq", y, 0.0), 0.0, self.apply("mul", y, x)))
        return self._picked(x)

    def _picked(self, x):
        """x at the label. Picking commutes with computing, so what is cheap is computed from what was picked."""
        if not x.row:
            return x
        if x.op == "index":
            return self.label
        if x.op in LEAVES or x.op in WHOLE_ROW or (x.op not in CHEAP and not self.frugal):
            return self._node("pick", (x,), False, x.type, x.level + 1)
        if x.op == "spread":
            return x.args[0]
        return self._again(x, [self._picked(a) for a in x.args])

    def _again(self, x, args):
        """The operation of x on other arguments."""
        if x.op == "cast":
            return self.cast(args[0])
        return self.apply(x.op, *args)

    def split_at_label(self, x):
        """(x wherever the label is not, x at the label): two simpler things than a row that asks everywhere."""
        changed = {}

        def elsewhere(node):
            if not node.row or node.op in LEAVES or node.op in WHOLE_ROW:
                return node
            if node not in changed:
                if node.op == "eq" and node.args[0].op == "index" and node.args[1] is self.label:
                    changed[node] = self.node(False)
                elif node.op in ("stack", "spread"):
                    changed[node] = node
                else:
                    args = [elsewhere(a) for a in node.args]
                    same = all(a is b for a, b in zip(args, node.args, strict=True))
                    changed[node] = node if same else self._again(node, args)
            return changed[node]

        found = elsewhere(x)
        return (x, None) if found is x else (found, self._picked(x))

    def pairs(self, function, rows, others):
        rows, others = [self.cast(a) for a in rows], [self.cast(b) for b in others]
        outer = [self.leaf("outer", k, row=False) for k in range(len(rows))]
        inner = [self.leaf("inner", k, row=False) for k in range(len(others))]
        body = self.cast(function(*outer, *inner))
        level = max(a.level for a in (*rows, *others)) + 1
        return self._node("pairs", (body, len(rows), *rows, *others), True, "F", level)

    def columns(self, f):
        if f.op not in ("f", "v") or not self.fixed:
            raise TypeError("only the predictions of a loss with named columns can be taken apart into numbers")
        return [self.leaf("column", f.op, k, row=False) for k in range(len(self.fixed))]

    def unit_row(self):
        """The row that is 1 in the column with number `unit`, an argument of the kernel, and 0 elsewhere."""
        unit = self.leaf("unit", row=False, type="int")
        if self.fixed:
            return self.call("stack", [self.cast(self.apply("eq", unit, k)) for k in range(len(self.fixed))])
        return self.cast(self.apply("eq", self.leaf("index", type="int"), unit))

    # ---- formulas ----------------------------------------------------------------------------------------------

    def formula(self, name, *arguments):
        """The node that a formula of the loss returns."""
        return self.node(getattr(type(self.loss), name)(self.self, *arguments))


class _Self:
    """The `self` that formulas see while they are traced: numbers are symbols, arrays rows, a part of a combination another
    such `self`, all else itself. `path` leads from the whole to the part."""

    def __init__(self, graph, loss, path=""):
        self.__dict__.update(_graph=graph, _loss=loss, _path=path)

    def __getattr__(self, name):
        graph, loss, path = self._graph, self._loss, self._path + name
        value = getattr(type(loss), name, None)
        if isinstance(value, types.FunctionType):
            return types.MethodType(value, self)
        if name == "class_weights" and loss.class_weight is not None:
            return graph.table(path)
        value = getattr(loss, name)
        if isinstance(value, Loss):
            return _Self(graph, value, path + ".")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if path not in graph.parameters:
                graph.parameters.append(path)
            return graph.leaf("parameter", path, row=False)
        if isinstance(value, np.ndarray):
            return graph.table(path, "table" if value.ndim == 1 else "matrix")
        return value


def traced(loss, label, wanted, weighted, class_factor, frugal=False):
    """The graph of a loss, and its roots: what a kernel is to compute.

    `wanted` maps an output ("sum", "v", "g", "h", "columns") to a formula's name; `weighted`: there are weights or samples
    to take out; `class_factor`: the weight is multiplied by the class's. A sample that holds NaN gets NaN, one without
    weight 0.
    A row that is special at the label is split: the root "g" then counts elsewhere only, "g_at_label" there.
    """
    graph = Graph(loss, label, frugal)
    f = graph.leaf("f", row=not loss.single_score)
    y = graph.label if label else graph.leaf("y", row=loss.target != "number")
    of_targets = not label and "prediction" not in wanted.values()
    known = [*(graph.columns(f) if graph.fixed else [f]), *([y] if of_targets and not loss.unknown_targets else [])]
    unknown = graph.any(functools.reduce(operator.or_, [x != x for x in known]))
    roots = {}
    bad_y = _outside(graph, y, loss.y_domain) if of_targets else None
    bad_f = _outside(graph, f, loss.pred_domain)
    weight = graph.leaf("weight", row=False) if weighted else None
    if class_factor:
        factor = graph.at(y, graph.table("class_weights"))
        weight = factor if weight is None else graph.apply("mul", weight, factor)
    for name, bad in (("bad_y", bad_y), ("bad_f", bad_f)):
        if bad is not None:
            bad = graph.any(bad)
            roots[name] = bad if weight is None else graph.apply("and", bad, graph.apply("ne", weight, 0.0))

    def output(node, scaled):
        factor = graph.leaf("scale", row=False) if scaled else None
        if weight is not None:
            factor = weight if factor is None else graph.apply("mul", factor, weight)
        if factor is None:
            return graph.apply("where", unknown, nan, graph.cast(node))
        node = graph.apply("mul", graph.apply("where", unknown, nan, factor), graph.cast(node))
        return node if weight is None else graph.apply("where", graph.apply("ne", weight, 0.0), node, 0.0)

    for place, name in wanted.items():
        more = {"hessian_times": lambda: [graph.leaf("v", row=f.row)], "hessian_column": lambda: [graph.unit_row()]}
        formula = "hessian_times" if name == "hessian_column" else name
        node = graph.formula(formula, *([] if name == "prediction" else [y]), f, *more.get(name, list)())
        scaled = place in ("g", "h")
        if node.op == "stack":
            roots[place] = graph.call("stack", [output(a, scaled) for a in node.args])
            continue
        roots[place], at_label = output(node, scaled), None
        if label and scaled and node.row:
            roots[place], at_label = graph.split_at_label(roots[place])
        if scaled and not loss.single_score:
            roots[place] = graph.spread(roots[place])
        if at_label is not None:
            roots[place + "_at_label"] = at_label
    return graph, roots


def _simplified(op, args):
    """What an operation on constants, or by 1, comes to; None where it must be computed."""
    values = [float.fromhex(a.args[0]) if a.op == "const" else None for a in args]
    if op == "mul" and 1.0 in values:
        return args[1 - values.index(1.0)]
    if op == "div" and values[1] == 1.0:
        return args[0]
    if None not in values and op in ("add", "sub", "mul"):
        a, b = values
        return {"add": a + b, "sub": a - b, "mul": a * b}[op]
    return None


def _outside(graph, x, domain):
    """Whether numbers lie outside a domain; NaN never does."""
    if domain.everything:
        return None
    if not hasattr(domain, "low_closed"):
        return (x != 0.0) & (x != 1.0) & (x == x)
    below = x < domain.low if domain.low_closed or domain.low == -inf else x <= domain.low
    above = x > domain.high if domain.high_closed or domain.high == inf else x >= domain.high
    return below | above
