"""The loops of row losses: a formula's graph written out as loops over tiles of rows, or along each row.

Both ways work on vectors of LANES numbers. "tiles", for few columns: the vector runs across LANES rows, which are
transposed into a tile, and a loop goes over the columns. "along", for many: the vector runs along one row. A sum over the
row is column by column in the first, in LANES partial sums in the second; which one runs depends on the number of columns
alone, so the bits do not depend on threads, layout or chunks.

The graph needs one pass over the row per level (see `trace`): largest, then the sum of exponentials, then the gradient.
What costs more than a few additions and is needed by a later pass is kept in a buffer of the tile or row; the rest is
computed again. `Writer` writes the text of the kernel; the functions below it are what the text calls.
"""

from __future__ import annotations

import numpy as np
from numba import prange, uint64

from ..trace import CHEAP, LEAVES, REDUCTIONS, WHOLE_ROW

BLOCK, ELEMENTS, LANES = 4096, 1 << 16, 128

ARGUMENTS = ("theta", "tables", "y", "f", "v_in", "w", "mask", "ignore", "scale", "partials", "row_sums", "v", "g", "h",
             "n", "columns", "n_classes", "unit", "block", "first", "last", "step")

OPERATORS = {"add": "({} + {})", "sub": "({} - {})", "mul": "({} * {})", "div": "({} / {})", "neg": "(-{})", "abs": "abs({})",
             "lt": "({} < {})", "le": "({} <= {})", "gt": "({} > {})", "ge": "({} >= {})", "eq": "({} == {})",
             "ne": "({} != {})", "and": "({} & {})", "or": "({} | {})", "not": "(not {})", "cast": "F({})"}


def block_of(columns):
    """Rows per block: the largest power of two up to 4096 with at most 65,536 numbers; at least 1."""
    rows = BLOCK
    while rows > 1 and rows * columns > ELEMENTS:
        rows //= 2
    return rows


class Writer:
    """Writes the kernel of one graph."""

    def __init__(self, graph, roots, along, weighted, masked, ignoring, frugal):
        self.graph, self.roots, self.along, self.frugal = graph, roots, along, frugal
        self.weighted, self.masked, self.ignoring = weighted, masked, ignoring
        self.constants, self.lines, self.depth = {}, [], 1
        self.kept = set()    # row nodes with a buffer
        self._plan()

    # ---- what is computed when ---------------------------------------------------------------------------------

    def _plan(self):
        """The passes over the row, last to first: what each must compute, and what earlier ones keep for it."""
        outputs = [node for name, node in self.roots.items() if node.row]
        self.levels = 1 + max([0, *[node.level for node in self.roots.values()]])
        self.row_wanted = [set() for _ in range(self.levels)]     # row nodes that a pass must compute
        self.scalars = set()
        for node in outputs:
            if node.op == "stack":
                for a in node.args:
                    self._want_scalar(a)
            else:
                self.row_wanted[node.level].add(node)
        for name, node in self.roots.items():
            if not node.row:
                self._want_scalar(node)
        for level in reversed(range(self.levels)):
            for node in sorted(self.row_wanted[level], key=lambda x: x.number):
                self._visit(node, level)
        self.reductions = [[] for _ in range(self.levels)]
        self.whole = [[] for _ in range(self.levels)]
        for node in sorted(self.scalars, key=lambda x: x.number):
            if node.op in REDUCTIONS:
                self.reductions[node.level - 1].append(node)
        for node in sorted(self.kept, key=lambda x: x.number):
            if node.op in WHOLE_ROW:
                self.whole[node.level - 1].append(node)

    def _want_scalar(self, node):
        if node in self.scalars or node.op in ("const", "parameter", "size", "scale", "label", "weight", "unit"):
            return
        self.scalars.add(node)
        if node.op in REDUCTIONS:
            x = node.args[0]
            if node.op == "first_largest":
                self._want_scalar(self.graph.call("largest", (x,)))
            self.row_wanted[node.level - 1].add(x)
            if node.level - 1 < self.levels and x.level < node.level - 1:
                self._visit(x, node.level - 1)
            self._visit(x, node.level - 1)
            return
        for a in node.args:
            if hasattr(a, "op"):
                self._want_scalar(a)

    def _visit(self, node, level, seen=None):
        """Row node `node` is computed in pass `level`: what it reads of earlier passes is kept there."""
        seen = set() if seen is None else seen
        if node in seen:
            return
        seen.add(node)
        if not node.row:
            self._want_scalar(node)
            return
        if node.op in LEAVES:
            return
        if node.op in WHOLE_ROW:
            self._keep(node)
            return
        if node.level < level and node.op not in CHEAP and not self.frugal:
            self._keep(node)
            return
        for a in node.args:
            if hasattr(a, "op"):
                self._visit(a, level, seen)

    def _keep(self, node):
        if node in self.kept:
            return
        self.kept.add(node)
        if node.op in WHOLE_ROW:
            rows = [a for a in node.args[2 if node.op == "pairs" else 0:]]
            if node.op == "pairs":
                self._scalars_of(node.args[0])
            for a in rows:
                self.kept.add(a) if a.row else None
                self.row_wanted[node.level - 1].add(a)
                self._visit(a, node.level - 1)
        else:
            self.row_wanted[node.level].add(node)
            self._visit(node, node.level)

    def _scalars_of(self, node):
        if node.op in ("outer", "inner"):
            return
        if not {"outer", "inner"} & {x.op for x in _below(node)}:
            self._want_scalar(node)
            return
        for a in node.args:
            if hasattr(a, "op"):
                self._scalars_of(a)

    # ---- text --------------------------------------------------------------------------------------------------

    def line(self, text):
        self.lines.append("    " * self.depth + text)

    def constant(self, node):
        value = float.fromhex(node.args[0]) if node.type == "F" else node.args[0]
        if node.type == "bool":
            return str(value)
        if node.type == "int":
            return f"I({value})"
        name = f"c{len(self.constants)}"
        for known, other in self.constants.items():
            if other.hex() == value.hex():
                return known
        self.constants[name] = value
        return name

    def atom(self, node):
        """The text for a number that is known throughout the kernel, or None."""
        if node.op == "const":
            return self.constant(node)
        if node.op == "parameter":
            return f"theta[{self.graph.parameters.index(node.args[0])}]"
        return {"size": "F(C)", "scale": "scale", "unit": "I(unit)"}.get(node.op)

    def expression(self, node, known, load):
        """The name of `node` in the loop being written; writes what it is made of first."""
        if node in known:
            return known[node]
        text = self.atom(node) or load(node)
        if text is None:
            args = [self.expression(a, known, load) for a in node.args if hasattr(a, "op")]
            text = OPERATORS[node.op].format(*args) if node.op in OPERATORS else f"{node.op}({', '.join(args)})"
        elif text.isidentifier():
            known[node] = text
            return text
        name = f"x{node.number}"
        self.line(f"{name} = {text}")
        known[node] = name
        return name

    def source(self):
        self.line("C = uint64(columns)")
        self.line("n_ = uint64(n)")
        if self.ignoring:
            self.line("ignored = int64(ignore)")
        (self._along if self.along else self._tiles)()
        return f"def leaf({', '.join(ARGUMENTS)}):\n" + "\n".join(self.lines) + "\n"

    # ---- both ways ---------------------------------------------------------------------------------------------

    def _stage(self, level):
        return sorted((x for x in self.scalars if x.level == level and x.op not in REDUCTIONS), key=lambda x: x.number)

    def _blocks(self):
        """Up to the loop over the strips of LANES rows of a block."""
        self.line("lanes = np.zeros(LANES, np.float64)")
        self.line("values = np.zeros(LANES, F)")
        self.line("bads_y = np.zeros(LANES, I)")
        self.line("bads_f = np.zeros(LANES, I)")
        if self.graph.label is not None:
            self.line("labels = np.zeros(LANES, I)")
        if self._has_weight:
            self.line("weights = np.zeros(LANES, F)")
        self.line("for b in range(first, last):")
        self.depth += 1
        self.line("start = uint64(b) * uint64(block)")
        self.line("stop = min(n_, start + uint64(block))")
        self.line("lanes[:] = 0.0")
        self.line("bads_y[:] = I(0)")
        self.line("bads_f[:] = I(0)")
        if "columns" in self.roots:
            self.line("row_sums[b * columns:(b + 1) * columns] = 0.0")
        self.line("while start < stop:")
        self.depth += 1
        self.line("end = min(start + uint64(LANES), stop)")
        self.line("m = end - start")
        if "sum" in self.roots:
            self.line("values[:] = ZERO")
        if self._has_weight:
            weight = "F(w[start + j])" if self.weighted else "ONE"
            self.line("for j in range(m):")
            if self.masked:
                self.line(f"    weights[j] = where(mask[start + j], ZERO, {weight})")
            else:
                self.line(f"    weights[j] = {weight}")
        if self.graph.label is not None:
            self.line("for j in range(m):")
            self.depth += 1
            self.line("given = int64(y[start + j])")
            self.line("inside = (given >= int64(0)) & (given < int64(n_classes))")
            taken_out = []
            if self.ignoring:
                self.line("weights[j] = where(given == ignored, ZERO, weights[j])")
            if self._has_weight:
                taken_out = ["weights[j] != ZERO"]
            self.line(f"bads_y[j] = where({' & '.join([f'({t})' for t in taken_out] + ['(not inside)'])}, I(1), bads_y[j])")
            self.line("labels[j] = where(inside, I(given), I(0))")
            self.depth -= 1

    @property
    def _has_weight(self):
        return self.weighted or self.masked or self.ignoring

    def _end_of_blocks(self):
        if "sum" in self.roots:
            self.line("for j in range(LANES):")
            self.line("    lanes[j] += values[j]")
        self.line("start = end")
        self.depth -= 1
        self.line("half = LANES // 2")
        self.line("while half > 0:")
        self.line("    for j in range(half):")
        self.line("        lanes[j] += lanes[j + half]")
        self.line("        bads_y[j] |= bads_y[j + half]")
        self.line("        bads_f[j] |= bads_f[j + half]")
        self.line("    half //= 2")
        self.line("partials[b, 0] = lanes[0]")
        self.line("partials[b, 1] = F(bads_y[0]) + 2.0 * F(bads_f[0])")

    def _scalar_outputs(self, level, known, load, j):
        for name, node in self.roots.items():
            if node.row and node.op != "stack" or node.level != level:
                continue
            if node.op == "stack":
                for k, a in enumerate(node.args):
                    place = f"{name}_[{k} * LANES + j]" if not self.along else f"{name}[{j} * C + {k}]"
                    self.line(f"{place} = {self.expression(a, known, load)}")
                continue
            text = self.expression(node, known, load)
            if name == "sum":
                self.line(f"values[{'j' if not self.along else 'r'}] = {text}")
            elif name in ("v", "g", "h"):
                self.line(f"{name}[{j}] = {text}")
            elif name in ("bad_y", "bad_f"):
                bads = "bads_" + name[-1] + ("[j]" if not self.along else "[r]")
                self.line(f"{bads} = where({text}, I(1), {bads})")

    def _start_of(self, node):
        return {"largest": "-INF", "smallest": "INF", "total": "ZERO", "pick": "ZERO" if node.type == "F" else "I(0)"}.get(
            node.op, "I(0)")

    def _reduce(self, node, x, name, k):
        """How the accumulator `name` of a reduction takes in `x`, the element at index `k`."""
        if node.op == "total":
            return f"{name} + {x}"
        if node.op in ("largest", "smallest"):
            return f"where({x} {'>' if node.op == 'largest' else '<'} {name}, {x}, {name})"
        if node.op == "any":
            return f"where({x}, I(1), {name})"
        raise AssertionError(node.op)

    # ---- tiles -------------------------------------------------------------------------------------------------

    def _tiles(self):
        """LANES rows at a time, transposed: number (k, j) of a tile stands at k * LANES + j."""
        graph, names = self.graph, {}
        read = {leaf.op for node in self._all() for leaf in _below(node) if leaf.op in ("f", "y", "v") and leaf.row}
        read |= {x.args[0] for x in self.scalars if x.op == "column"}
        for name in sorted(read):
            self.line(f"{name}_tile = np.empty(C * uint64(LANES), F)")
        for name, node in self.roots.items():
            if node.row:
                self.line(f"{name}_ = np.empty(C * uint64(LANES), F)")
        for node in sorted(self.kept, key=lambda x: x.number):
            self.line(f"r{node.number} = np.empty(C * uint64(LANES), {'I' if node.type == 'int' else 'F'})")
        stored = self._stored()
        for node in stored:
            names[node] = f"s{node.number}"
            self.line(f"s{node.number} = np.empty(LANES, {'F' if node.type == 'F' else 'I'})")
        if any(node.op in ("sort", "ranks") for node in self.kept):
            self.line("order, scratch = np.empty(columns, np.int64), np.empty(columns, np.int64)")
        self._blocks()
        for name in sorted(read):
            source = "v_in" if name == "v" else name
            self.line(f"load_{name}({source}, start, m, C, n_, {name}_tile)")

        def load_scalar(node):
            if node.op == "label":
                return "labels[j]"
            if node.op == "weight":
                return "weights[j]"
            if node.op in ("f", "y", "v"):
                return f"{'F(y' if node.op == 'y' else 'v_in' if node.op == 'v' else 'f'}[start + j]" + (
                    ")" if node.op == "y" else "")
            if node.op == "column":
                return f"{node.args[0]}_tile[{node.args[1]} * LANES + j]"
            if node.op == "pick" and node.args[0].op == "table":
                return f"tables[{graph.tables.index(node.args[0].args[0])}][uint64(labels[j])]"
            if node.op == "pick" and node.args[0].op == "matrix_row":
                return (f"tables[{graph.tables.index(node.args[0].args[0])}]"
                        "[uint64(labels[j]) * C + uint64(labels[j])]")
            if node.op in REDUCTIONS or node in names and node not in current:
                return f"{names[node]}[j]" if node.type == "F" or node.op in ("first_largest", "pick") or node.type == "int" \
                    else f"({names[node]}[j] != I(0))"
            return None

        for level in range(self.levels):
            current = set(self._stage(level))
            starts = [x for x in self.reductions[level] if not _direct(x)]
            outs = any(node.level == level and (not node.row or node.op == "stack") for node in self.roots.values())
            keep = [x for x in current if x in names]
            if starts or keep or outs:
                self.line("for j in range(m):")
                self.depth += 1
                known = {}
                writes = []
                for node in sorted(keep, key=lambda x: x.number):
                    text = self.expression(node, known, load_scalar)
                    writes.append(f"{names[node]}[j] = " + (text if node.type != "bool" else f"where({text}, I(1), I(0))"))
                self._scalar_outputs(level, known, load_scalar, "start + j")
                for text in writes:
                    self.line(text)
                for node in starts:
                    self.line(f"{names[node]}[j] = {self._start_of(node)}")
                self.depth -= 1
            self._tile_pass(level, names, load_scalar)
            for node in self.whole[level]:
                self._tile_whole(node, names, load_scalar)
        for name, node in self.roots.items():
            if node.row and name in ("g", "h"):
                self.line(f"store({name}, start, m, C, n_, {name}_)")
            elif name == "columns":
                self.line("for k in range(C):")
                self.line("    for j in range(m):")
                self.line("        row_sums[uint64(b) * C + k] += columns_[k * uint64(LANES) + j]")
        self._end_of_blocks()

    def _all(self):
        return [*self.roots.values(), *self.scalars, *self.kept]

    def _stored(self):
        """Scalars that are read by a row pass, by a later stage or by a loop of pairs."""
        used = set()
        for level in range(self.levels):
            for node in self.row_wanted[level]:
                used |= {x for x in self._scalar_leaves(node, level)}
        for node in self.kept:
            if node.op == "pairs":
                used |= {x for x in _below(node.args[0]) if x in self.scalars}
        for node in self.scalars:
            if node.op in REDUCTIONS:
                if not _direct(node):
                    used.add(node)
                continue
            for a in node.args:
                if hasattr(a, "op") and a in self.scalars and a.level < node.level:
                    used.add(a)
        for node in self.roots.values():
            args = node.args if node.op == "stack" else [] if node.row else [node]
            used |= {a for a in args if a in self.scalars and a.level < node.level}
        return sorted((x for x in used if not _direct(x) and x.op not in ("column", "f", "y", "v")),
                      key=lambda x: x.number)

    def _scalar_leaves(self, node, level):
        """The scalars that a pass reads to compute a row node."""
        found, seen, todo = set(), set(), [node]
        while todo:
            x = todo.pop()
            if x in seen:
                continue
            seen.add(x)
            if not x.row:
                if x in self.scalars:
                    found.add(x)
                continue
            if x in self.kept and (x.level < level or x.op in WHOLE_ROW):
                continue
            todo += [a for a in x.args if hasattr(a, "op")]
        return found

    def _tile_pass(self, level, names, load_scalar):
        wanted = sorted(self.row_wanted[level], key=lambda x: x.number)
        reductions = [x for x in self.reductions[level] if not _direct(x)]
        outputs = [(name, node) for name, node in self.roots.items()
                   if node.row and node.op != "stack" and node.level == level]
        stores = [x for x in wanted if x in self.kept and x.op not in WHOLE_ROW]
        if not (reductions or outputs or stores):
            return
        graph = self.graph
        self.line("for k in range(C):")
        self.depth += 1
        self.line("kk = I(k)")
        self.line("at = k * uint64(LANES)")
        self.line("for j in range(m):")
        self.depth += 1

        def load(node):
            if not node.row:
                return load_scalar(node)
            if node.op in ("f", "y", "v"):
                return f"{node.op}_tile[at + j]"
            if node.op == "index":
                return "kk"
            if node.op == "table":
                return f"tables[{graph.tables.index(node.args[0])}][k]"
            if node.op == "matrix_row":
                return f"tables[{graph.tables.index(node.args[0])}][uint64(labels[j]) * C + k]"
            if node in self.kept and (node.level < level or node.op in WHOLE_ROW):
                return f"r{node.number}[at + j]"
            if node.op == "spread":
                return self.expression(node.args[0], known, load)
            return None

        known, writes = {}, []
        for node in stores:
            writes.append(f"r{node.number}[at + j] = {self.expression(node, known, load)}")
        for node in sorted(reductions, key=lambda x: (x.op != "first_largest", x.number)):
            x, name = self.expression(node.args[0], known, load), f"{names[node]}[j]"
            if node.op == "pick":
                writes.append(f"{name} = where({self.expression(graph.label, known, load)} == kk, {x}, {name})")
            elif node.op == "first_largest":
                largest = names[graph.call("largest", node.args)]
                writes.append(f"{name} = where({x} > {largest}[j], kk, {name})")
            else:
                writes.append(f"{name} = {self._reduce(node, x, name, 'kk')}")
        for name, node in outputs:
            writes.append(f"{name}_[at + j] = {self.expression(node, known, load)}")
        for text in writes:
            self.line(text)
        self.depth -= 2

    def _tile_whole(self, node, names, load_scalar):
        out = f"r{node.number}"
        if node.op == "pairs":
            body, count, *rows = node.args
            self.line("for k in range(C):")
            self.line("    for j in range(m):")
            self.line(f"        {out}[k * uint64(LANES) + j] = ZERO")
            self.line("    for i in range(C):")
            self.line("        for j in range(m):")
            self.depth += 3
            known = {}

            def load(x):
                if x.op == "outer":
                    return f"r{rows[x.args[0]].number}[k * uint64(LANES) + j]"
                if x.op == "inner":
                    return f"r{rows[count + x.args[0]].number}[i * uint64(LANES) + j]"
                return load_scalar(x)

            text = self.expression(body, known, load)
            self.line(f"{out}[k * uint64(LANES) + j] += {text}")
            self.depth -= 3
            return
        source = f"r{node.args[0].number}"
        if node.op in ("cumulative", "reverse_cumulative"):
            backwards = node.op == "reverse_cumulative"
            self.line("for i in range(C):")
            self.depth += 1
            self.line("k = (C - uint64(1) - i) * uint64(LANES)" if backwards else "k = i * uint64(LANES)")
            self.line(f"before = k {'+' if backwards else '-'} uint64(LANES)")
            self.line("if i == uint64(0):")
            self.line("    for j in range(m):")
            self.line(f"        {out}[k + j] = {source}[k + j]")
            self.line("else:")
            self.line("    for j in range(m):")
            self.line(f"        {out}[k + j] = {out}[before + j] + {source}[k + j]")
            self.depth -= 1
            return
        self.line("for j in range(m):")
        self.line(f"    order_of({source}, j, uint64(LANES), C, order, scratch)")
        self.line("    for k in range(C):")
        if node.op == "sort":
            self.line(f"        {out}[k * uint64(LANES) + j] = {source}[uint64(order[k]) * uint64(LANES) + j]")
        else:
            self.line(f"        {out}[uint64(order[k]) * uint64(LANES) + j] = I(k)")

    # ---- along the row -----------------------------------------------------------------------------------------

    def _along(self):
        """One row at a time, in strips of LANES numbers."""
        graph = self.graph
        for node in sorted(self.kept, key=lambda x: x.number):
            self.line(f"r{node.number} = np.empty(columns, {'I' if node.type == 'int' else 'F'})")
        for level in range(self.levels):
            for node in self.reductions[level]:
                if node.op != "pick":
                    self.line(f"a{node.number} = np.empty(LANES, {'F' if node.type == 'F' else 'I'})")
        if "columns" in self.roots:
            self.line("columns_ = np.empty(columns, F)")
        if any(node.op in ("sort", "ranks") for node in self.kept):
            self.line("order, scratch = np.empty(columns, np.int64), np.empty(columns, np.int64)")
        self._blocks()
        self.line("for r in range(m):")
        self.depth += 1
        self.line("i = start + r")
        self.line("base = i * C")
        known = {}

        def load_scalar(node):
            if node.op == "label":
                return "labels[r]"
            if node.op == "weight":
                return "weights[r]"
            if node.op in ("f", "v"):
                return f"{'v_in' if node.op == 'v' else 'f'}[i]"
            if node.op == "y":
                return "F(y[i])"
            if node.op == "column":
                return f"{'v_in' if node.args[0] == 'v' else 'f'}[base + uint64({node.args[1]})]"
            if node.op == "pick":
                x = node.args[0]
                at = f"uint64({self.expression(graph.label, known, load_scalar)})"
                if x.op in ("f", "v"):
                    return f"{'v_in' if x.op == 'v' else 'f'}[base + {at}]"
                if x.op == "table":
                    return f"tables[{graph.tables.index(x.args[0])}][{at}]"
                if x.op == "matrix_row":
                    return f"tables[{graph.tables.index(x.args[0])}][{at} * C + {at}]"
                return f"r{x.number}[{at}]"
            return None

        for level in range(self.levels):
            for node in self._stage(level):
                self.expression(node, known, load_scalar)
            self._scalar_outputs(level, known, load_scalar, "i")
            self._row_pass(level, known, load_scalar)
            for node in self.whole[level]:
                self._row_whole(node, known, load_scalar)
        if "columns" in self.roots:
            self.line("for j in range(C):")
            self.line("    row_sums[uint64(b) * C + j] += columns_[j]")
        self.depth -= 1
        self._end_of_blocks()

    def _row_pass(self, level, known, load_scalar):
        graph = self.graph
        wanted = sorted(self.row_wanted[level], key=lambda x: x.number)
        reductions = [x for x in self.reductions[level] if x.op != "pick"]
        outputs = [(name, node) for name, node in self.roots.items()
                   if node.row and node.op != "stack" and node.level == level]
        stores = [x for x in wanted if x in self.kept and x.op not in WHOLE_ROW]
        if not (reductions or outputs or stores):
            return
        needed = set()
        for node in wanted:
            needed |= self._scalar_leaves(node, level)
        for node in sorted(needed, key=lambda x: x.number):
            self.expression(node, known, load_scalar)
        for node in wanted:
            if any(x.op == "matrix_row" for x in _below(node)) and graph.label is not None:
                self.expression(graph.label, known, load_scalar)
        for node in reductions:
            self.line(f"a{node.number}[:] = {self._start_of(node)}")
        self.line("t = uint64(0)")
        self.line("while t < C:")
        self.depth += 1
        self.line("q = min(uint64(LANES), C - t)")
        self.line("at = base + t")
        self.line("for j in range(q):")
        self.depth += 1

        def load(node):
            if not node.row:
                return load_scalar(node)
            if node.op in ("f", "v"):
                return f"{'v_in' if node.op == 'v' else 'f'}[at + j]"
            if node.op == "y":
                return "F(y[at + j])"
            if node.op == "index":
                return "I(t + j)"
            if node.op == "table":
                return f"tables[{graph.tables.index(node.args[0])}][t + j]"
            if node.op == "matrix_row":
                return f"tables[{graph.tables.index(node.args[0])}][uint64({known[graph.label]}) * C + t + j]"
            if node in self.kept and (node.level < level or node.op in WHOLE_ROW):
                return f"r{node.number}[t + j]"
            if node.op == "spread":
                return self.expression(node.args[0], inner, load)
            return None

        inner, writes = dict(known), []
        for node in stores:
            writes.append(f"r{node.number}[t + j] = {self.expression(node, inner, load)}")
        for node in sorted(reductions, key=lambda x: (x.op != "first_largest", x.number)):
            x, name = self.expression(node.args[0], inner, load), f"a{node.number}[j]"
            if node.op == "first_largest":
                largest = graph.call("largest", node.args)
                writes.append(f"{name} = where({x} > a{largest.number}[j], I(t + j), {name})")
            else:
                writes.append(f"{name} = {self._reduce(node, x, name, 'I(t + j)')}")
        for name, node in outputs:
            place = "columns_[t + j]" if name == "columns" else f"{name}[at + j]"
            writes.append(f"{place} = {self.expression(node, inner, load)}")
        for text in writes:
            self.line(text)
        self.depth -= 1
        self.line("t += uint64(LANES)")
        self.depth -= 1
        for node in sorted(reductions, key=lambda x: (x.op != "first_largest", x.number)):
            if node.op == "first_largest":
                largest = graph.call("largest", node.args)
                self.line(f"x{node.number} = fold_first_largest(a{largest.number}, a{node.number})")
            elif node.op == "any":
                self.line(f"x{node.number} = fold_any(a{node.number}) != I(0)")
            else:
                self.line(f"x{node.number} = fold_{node.op}(a{node.number})")
            known[node] = f"x{node.number}"

    def _row_whole(self, node, known, load_scalar):
        out = f"r{node.number}"
        if node.op == "pairs":
            body, count, *rows = node.args
            for x in sorted((x for x in _below(body) if x in self.scalars), key=lambda x: x.number):
                self.expression(x, known, load_scalar)
            self.line("for k in range(C):")
            self.depth += 1
            self.line("sum_ = ZERO")
            self.line("for j in range(C):")
            self.depth += 1

            def load(x):
                if x.op == "outer":
                    return f"r{rows[x.args[0]].number}[k]"
                if x.op == "inner":
                    return f"r{rows[count + x.args[0]].number}[j]"
                return load_scalar(x)

            self.line(f"sum_ += {self.expression(body, dict(known), load)}")
            self.depth -= 1
            self.line(f"{out}[k] = sum_")
            self.depth -= 1
            return
        source = f"r{node.args[0].number}"
        if node.op in ("cumulative", "reverse_cumulative"):
            self.line("sum_ = ZERO")
            self.line("for j in range(C):")
            self.line("    k = " + ("j" if node.op == "cumulative" else "C - uint64(1) - j"))
            self.line(f"    sum_ += {source}[k]")
            self.line(f"    {out}[k] = sum_")
            return
        self.line(f"order_of({source}, uint64(0), uint64(1), C, order, scratch)")
        self.line("for k in range(C):")
        if node.op == "sort":
            self.line(f"    {out}[k] = {source}[uint64(order[k])]")
        else:
            self.line(f"    {out}[uint64(order[k])] = I(k)")


def _direct(node):
    """A pick from an array parameter: read where it is needed."""
    return node.op == "pick" and node.args[0].op in ("table", "matrix_row")


def _below(node):
    """The node and all that it is made of."""
    found, todo = set(), [node]
    while todo:
        x = todo.pop()
        if x not in found:
            found.add(x)
            todo += [a for a in x.args if hasattr(a, "op")]
    return found


def parallel(leaf):
    """The leaf over groups of `step` blocks, on Numba's threads."""

    def kernel(theta, tables, y, f, v_in, w, mask, ignore, scale, partials, row_sums, v, g, h, n, columns, n_classes, unit,
               block, first, last, step):
        for k in prange((last - first + step - 1) // step):
            start = first + k * step
            leaf(theta, tables, y, f, v_in, w, mask, ignore, scale, partials, row_sums, v, g, h, n, columns, n_classes,
                 unit, block, start, min(last, start + step), 1)

    return kernel


# ---- what the text calls -----------------------------------------------------------------------------------------


def helpers(register, F, where, layouts, dtypes):
    """The functions that the text of a kernel calls. `layouts` and `dtypes`: of predictions and of targets."""
    from . import transpose

    I = np.int32 if F is np.float32 else np.int64
    lanes, one = uint64(LANES), uint64(1)

    @register
    def fold_total(a):
        half = LANES // 2
        while half > 0:
            for j in range(half):
                a[j] += a[j + half]
            half //= 2
        return a[0]

    @register
    def fold_largest(a):
        half = LANES // 2
        while half > 0:
            for j in range(half):
                a[j] = where(a[j + half] > a[j], a[j + half], a[j])
            half //= 2
        return a[0]

    @register
    def fold_smallest(a):
        half = LANES // 2
        while half > 0:
            for j in range(half):
                a[j] = where(a[j + half] < a[j], a[j + half], a[j])
            half //= 2
        return a[0]

    @register
    def fold_any(a):
        half = LANES // 2
        while half > 0:
            for j in range(half):
                a[j] |= a[j + half]
            half //= 2
        return a[0]

    @register
    def fold_first_largest(largest, position):
        """Destroys neither: the lanes of `largest` are folded after it."""
        best, at = largest[0], position[0]
        for j in range(1, LANES):
            better = (largest[j] > best) | ((largest[j] == best) & (position[j] < at))
            best, at = where(better, largest[j], best), where(better, position[j], at)
        return at

    @register
    def order_of(keys, first, stride, n, order, scratch):
        """order[k] = where the k-th smallest of keys[first + i * stride] stands; stable, by merging."""
        count = np.int64(n)
        for i in range(count):
            order[i] = i
        width = 1
        while width < count:
            low = 0
            while low < count:
                middle, high = min(low + width, count), min(low + 2 * width, count)
                a, b = low, middle
                for k in range(low, high):
                    left = a < middle
                    if left and b < high:
                        left = keys[first + uint64(order[a]) * stride] <= keys[first + uint64(order[b]) * stride]
                    if left:
                        scratch[k] = order[a]
                        a += 1
                    else:
                        scratch[k] = order[b]
                        b += 1
                low += 2 * width
            for k in range(count):
                order[k] = scratch[k]
            width *= 2

    load_f, store = transpose.loaders(register, F, LANES, layouts[0])
    load_y = load_f
    if dtypes[1] != np.dtype(F) or layouts[1] != layouts[0]:
        load_y = transpose.converting_loader(register, F, LANES, layouts[1])
    load_v = load_f
    return dict(locals())
