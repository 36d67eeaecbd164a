"""The loops of row losses: a formula's graph written out as loops over tiles of rows, or along each row.

All work on vectors of LANES numbers. "tiles", for few columns: the vector runs across LANES rows, which are transposed into
a tile, and a loop goes over the columns; of at most UNROLLED columns there is no such loop, the text has every column, and
what is known of a row stays in registers. "along", for many: the vector runs along one row. A sum over the row is column by
column in the first, in LANES partial sums in the second; which one runs depends on the number of columns alone, so the bits
do not depend on threads, layout or chunks.

The graph needs one pass over the row per level (see `trace`): largest, then the sum of exponentials, then the gradient.
What costs more than a few additions and is needed by a later pass is kept in a buffer of the tile or row; the rest is
computed again ("frugal": all of it, and a softmax is one pass). `Writer` writes the text of the kernel; the functions below
it are what the text calls.
"""

from __future__ import annotations

import numpy as np
from numba import prange, uint64

from ..trace import CHEAP, LEAVES, REDUCTIONS, WHOLE_ROW

BLOCK, ELEMENTS, LANES = 4096, 1 << 16, 64

UNROLLED, UNROLLED_WORK = 8, 64
"""Columns, and expensive operations on a row times columns, up to which a row is computed in one piece."""

ARGUMENTS = ("theta", "tables", "y", "f", "v_in", "w", "mask", "ignore", "scale", "partials", "row_sums", "v", "g", "h",
             "n", "columns", "n_classes", "unit", "block", "first", "last", "step")

OPERATORS = {
    "add": "({} + {})", "sub": "({} - {})", "mul": "({} * {})", "div": "({} / {})", "neg": "(-{})", "abs": "abs({})",
    "lt": "({} < {})", "le": "({} <= {})", "gt": "({} > {})", "ge": "({} >= {})", "eq": "({} == {})", "ne": "({} != {})",
    "and": "({} & {})", "or": "({} | {})", "not": "(not {})", "cast": "F({})",
}


def block_of(columns):
    """Rows per block: the largest power of two up to 4096 with at most 65,536 numbers; at least 1."""
    rows = BLOCK
    while rows > 1 and rows * columns > ELEMENTS:
        rows //= 2
    return rows


class Writer:
    """Writes the kernel of one graph."""

    def __init__(self, graph, roots, columns, along, weighted, masked, ignoring, frugal):
        self.graph, self.roots, self.along, self.frugal = graph, roots, along, frugal
        self.weighted, self.masked, self.ignoring = weighted, masked, ignoring
        self.constants, self.lines, self.depth, self.suffix = {}, [], 1, ""
        self.kept = set()    # row nodes with a buffer
        self._plan()
        self.unrolled = columns if self._unrolls(columns) else 0

    # ---- what is computed when ---------------------------------------------------------------------------------

    def _plan(self):
        """The passes over the row, last to first: what each must compute, and what earlier ones keep for it."""
        outputs = [node for node in self.roots.values() if node.row]
        self.levels = 1 + max([0, *[node.level for node in self.roots.values()]])
        self.row_wanted = [set() for _ in range(self.levels)]     # row nodes that a pass must compute
        self.scalars = set()
        for node in outputs:
            if node.op == "stack":
                for a in node.args:
                    self._want_scalar(a)
            else:
                self.row_wanted[node.level].add(node)
        for node in self.roots.values():
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
        if node.op == "pick":
            if node.args[0].op not in LEAVES:
                self._keep(node.args[0])
            return
        if node.op in REDUCTIONS:
            x = node.args[0]
            if node.op in ("first_largest", "beside_largest"):
                self._want_scalar(self.graph.call("largest", (x,)))
            self.row_wanted[node.level - 1].add(x)
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
            if node.op == "pairs":
                self._scalars_of(node.args[0])
            for a in node.args[2 if node.op == "pairs" else 0:]:
                self._keep(a)
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

    def _unrolls(self, columns):
        """Whether all columns of a row are computed side by side: few of them, and not too much text."""
        rows = {x for node in self._all() for x in _below(node) if x.row and x.op not in LEAVES}
        dear = sum(x.op not in CHEAP for x in rows)
        return (not self.along and columns <= UNROLLED and not any(x.op in WHOLE_ROW for x in rows)
                and dear * columns <= UNROLLED_WORK)

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
            return f"p{self.graph.parameters.index(node.args[0])}"
        return {"size": "size_", "scale": "scale", "unit": "unit_"}.get(node.op)

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
        name = f"x{node.number}{self.suffix if node.row else ''}"
        self.line(f"{name} = {text}")
        known[node] = name
        return name

    def slot(self, type, key, index="j"):
        """LANES numbers of the scratch memory: the text for one of them. One array holds them all, at distances that LLVM
        knows: separate arrays would each be checked for overlap before every loop."""
        return f"{'S' if type == 'F' else 'N'}[uint64({self.slot_start(type, key)}) + {index}]"

    def slot_start(self, type, key):
        """Where in the scratch memory they start."""
        slots = self.slots["F" if type == "F" else "I"]
        return slots.setdefault(key, len(slots)) * LANES

    def source(self):
        self.slots = {"F": {}, "I": {}}
        self.line(f"C = uint64({self.unrolled or 'columns'})")
        self.line("n_ = uint64(n)")
        self.line("size_ = F(columns)")
        self.line("unit_ = I(unit)")
        for k in range(len(self.graph.parameters)):
            self.line(f"p{k} = theta[{k}]")
        if self.ignoring:
            self.line("ignored = int64(ignore)")
        head = len(self.lines)
        (self._along if self.along else self._tiles)()
        self.lines[head:head] = [f"    {name} = np.zeros({max(1, len(slots)) * LANES}, {type})"
                                 for name, type, slots in (("S", "F", self.slots["F"]), ("N", "I", self.slots["I"]))]
        return f"def leaf({', '.join(ARGUMENTS)}):\n" + "\n".join(self.lines) + "\n"

    # ---- both ways ---------------------------------------------------------------------------------------------

    @property
    def _has_weight(self):
        return self.weighted or self.masked or self.ignoring

    def _stage(self, level):
        return sorted((x for x in self.scalars if x.level == level and x.op not in REDUCTIONS), key=lambda x: x.number)

    def _block_of_strips(self):
        """Up to the loop over the strips of LANES rows of a block."""
        self.line("lanes = np.zeros(LANES, np.float64)")
        self.line("for b in range(first, last):")
        self.depth += 1
        self.line("start = uint64(b) * uint64(block)")
        self.line("stop = min(n_, start + uint64(block))")
        self.line("lanes[:] = 0.0")
        self.line("found_y = found_f = I(0)")
        if "columns" in self.roots:
            self.line("row_sums[b * columns:(b + 1) * columns] = 0.0")
        self.line("while start < stop:")
        self.depth += 1
        self.line("end = min(start + uint64(LANES), stop)")
        self.line("m = end - start")
        if self._has_weight:
            weight = "F(w[start + j])" if self.weighted else "ONE"
            self.line("for j in range(m):")
            if self.masked:
                weight = f"where(mask[start + j], ZERO, {weight})"
            self.line(f"    {self.slot('F', 'weight')} = {weight}")
        if self.graph.label is not None:
            self.line("for j in range(m):")
            self.depth += 1
            self.line("given = int64(y[start + j])")
            self.line("inside = (given >= int64(0)) & (given < int64(n_classes))")
            weight = self.slot("F", "weight") if self._has_weight else None
            if self.ignoring:
                self.line(f"{weight} = where(given == ignored, ZERO, {weight})")
            outside = f"({weight} != ZERO) & (not inside)" if weight else "not inside"
            self.line(f"found_y |= where({outside}, I(1), I(0))")
            self.line(f"{self.slot('I', 'label')} = where(inside, I(given), I(0))")
            self.depth -= 1

    def _end_of_strip(self):
        """What the rows of a strip gave, for those that there are."""
        places = [name for name in ("sum", "v", "bad_y", "bad_f") if name in self.roots]
        single = [name for name in ("g", "h") if name in self.roots and not self.roots[name].row]
        if places or single:
            self.line("for j in range(m):")
            if "sum" in places:
                self.line(f"    lanes[j] += {self.slot('F', 'sum')}")
            for name in [n for n in places if n == "v"] + single:
                self.line(f"    {name}[start + j] = {self.slot('F', name)}")
            for name in (n for n in places if n.startswith("bad")):
                self.line(f"    found_{name[-1]} |= {self.slot('I', name)}")
        self.line("start = end")
        self.depth -= 1
        self.line("half = LANES // 2")
        self.line("while half > 0:")
        self.line("    for j in range(half):")
        self.line("        lanes[j] += lanes[j + half]")
        self.line("    half //= 2")
        self.line("partials[b, 0] = lanes[0]")
        self.line("partials[b, 1] = found_y + I(2) * found_f")

    def _scalar_outputs(self, level, known, load, index="j"):
        """[(place, text)] of the outputs that are one number per row and known at this level."""
        found = []
        for name, node in self.roots.items():
            if node.level == level and not node.row:
                text = self.expression(node, known, load)
                found.append((self.slot(node.type, name, index),
                              text if node.type == "F" else f"where({text}, I(1), I(0))"))
        return found

    def _start_of(self, node):
        """What an accumulator holds before the first element."""
        if node.op == "largest":
            return "-INF"
        if node.op == "smallest":
            return "INF"
        return "ZERO" if node.type == "F" else "I(0)"

    def _accumulated(self, reductions, known, load, index, slot_of, inside=None, places=None):
        """[(place, text)]: the accumulators after one more element. `slot_of` says where they are now, `places` where they
        go (the same place if None); `inside` is the text of whether there is one more."""
        writes = []
        also = f" & {inside}" if inside else ""
        for node in reductions:
            place, x = slot_of(node), self.expression(node.args[0], known, load)
            new = f"n{node.number}{self.suffix}"
            if node.op == "total":
                x = f"where({inside}, {x}, ZERO)" if inside else x
                self.line(f"{new} = {place} + {x}")
            elif node.op == "any":
                self.line(f"{new} = where({x}{also}, I(1), {place})")
            elif node.op == "first_largest":
                largest = slot_of(self.graph.call("largest", node.args))
                self.line(f"{new} = where(({x} > {largest}){also}, {index}, {place})")
            elif node.op == "beside_largest":
                largest = slot_of(self.graph.call("largest", node.args))
                self.line(f"{new} = one_more({place}, {largest}, {x})")
                if inside:
                    self.line(f"{new} = where({inside}, {new}, {place})")
            else:
                sign = ">" if node.op == "largest" else "<"
                self.line(f"{new} = where(({x} {sign} {place}){also}, {x}, {place})")
            writes.append(((places or slot_of)(node), new))
        return writes

    def _write(self, writes):
        for place, text in writes:
            self.line(f"{place} = {text}")

    def _table(self, node):
        return f"tables[{self.graph.tables.index(node.args[0])}]"

    def _rows_of(self, node):
        """The name of the tile that holds a matrix's rows for the labels."""
        return f"matrix{self.graph.tables.index(node.args[0])}"

    def _passes(self, level):
        """(reductions, whole outputs, what is kept) of a pass over the row."""
        reductions = self.reductions[level]
        outputs = [(name, node) for name, node in self.roots.items()
                   if node.row and node.op != "stack" and node.level == level]
        stores = [x for x in sorted(self.row_wanted[level], key=lambda x: x.number)
                  if x in self.kept and x.op not in WHOLE_ROW]
        return reductions, outputs, stores

    def _buffers(self, length):
        for node in sorted(self.kept, key=lambda x: x.number):
            self.line(f"r{node.number} = np.empty({length}, {'I' if node.type == 'int' else 'F'})")
        if any(node.op in ("sort", "ranks") for node in self.kept):
            self.line("order, scratch = np.empty(columns, np.int64), np.empty(columns, np.int64)")

    # ---- tiles -------------------------------------------------------------------------------------------------

    def _tiles(self):
        """LANES rows at a time, transposed: number (k, j) of a tile stands at k * LANES + j. Rows that are missing at the
        end of the data are computed from what the tile held before, and not written."""
        leaves = {leaf for node in self._all() for leaf in _below(node) if leaf.row}
        read = {leaf.op for leaf in leaves if leaf.op in ("f", "y", "v")}
        read |= {x.args[0] for x in self.scalars if x.op == "column"}
        matrices = sorted((leaf for leaf in leaves if leaf.op == "matrix_row"), key=lambda x: x.number)
        for name in (*sorted(read), *map(self._rows_of, matrices)):
            self.line(f"{name}_tile = {self._tile(name, 'np.zeros')}")
        for name, node in self.roots.items():
            if node.row:
                self.line(f"{name}_ = {self._tile(name + '_', 'np.empty')}")
        if not self.unrolled:
            self._buffers("C * L")
        stored = set(self._stored())
        self._block_of_strips()
        for name in sorted(read):
            self.line(f"load_{name}({'v_in' if name == 'v' else name}, start, m, C, n_, {name}_tile)")
        for node in matrices:
            self.line("for j in range(L):")
            self.line(f"    at = uint64({self.slot('I', 'label')}) * C")
            self.line("    for k in range(C):")
            self.line(f"        {self._rows_of(node)}_tile[k * L + j] = {self._table(node)}[at + k]")
        for name in ("f", "y", "v"):
            if name not in read and any(x.op == name and not x.row for x in self.scalars):
                source = {"f": "f[start + j]", "y": "F(y[start + j])", "v": "v_in[start + j]"}[name]
                self.line("for j in range(m):")
                self.line(f"    {self.slot('F', name)} = {source}")
        if self.unrolled:
            self._unrolled_strip()
        else:
            self._passes_over_tiles(stored)
        for name, node in self.roots.items():
            if node.row and name in ("g", "h"):
                self.line(f"store({name}, start, m, C, n_, {name}_)")
                if f"{name}_at_label" in self.roots and not self.unrolled:
                    # into memory, not the tile: a vector read over a number just written would wait for it
                    at_label = f"uint64({self.slot('I', 'label')}), C, n_, {self.slot('F', name + '_at_label')}"
                    self.line("for j in range(m):")
                    self.line(f"    put({name}, start + j, {at_label})")
            elif name == "columns":
                self.line("for k in range(C):")
                self.line("    for j in range(m):")
                self.line("        row_sums[uint64(b) * C + k] += columns_[k * L + j]")
        self._end_of_strip()

    def _tile(self, name, make):
        """The text that makes a tile: of few columns it is a part of the scratch memory."""
        if not self.unrolled:
            return f"{make}(C * L, F)"
        first, *_ = [self.slot_start("F", (name, k)) for k in range(self.unrolled)]
        return f"S[{first}:{first + self.unrolled * LANES}]"

    def _unrolled_strip(self):
        """One loop over the rows of a strip, with all columns of a row in registers."""
        C, shared, accumulators, outputs, writes = self.unrolled, {}, {}, {}, []
        columns = [_Names(shared) for _ in range(C)]
        # of a single score there may be more classes than columns
        by_place = [x for x in self.scalars if x.op == "pick" and self.graph.loss.single_score]
        for node in by_place:
            self._pick(node, self.slot(node.type, node))

        def load_scalar(node):
            if node.op == "label":
                return self.slot("I", "label")
            if node.op in ("weight", "f", "y", "v"):
                return self.slot("F", node.op)
            if node.op == "column":
                return self.slot("F", node.args)
            if node.op == "pick":
                return self.slot(node.type, node) if node in by_place else self._chosen(node, columns, load_at)
            return None

        def load_at(k):
            def load(node):
                if not node.row:
                    return load_scalar(node)
                if node.op in ("f", "y", "v"):
                    return self.slot("F", (node.op, k))
                if node.op == "matrix_row":
                    return self.slot("F", (self._rows_of(node), k))
                if node.op == "index":
                    return f"I({k})"
                if node.op == "table":
                    return f"{self._table(node)}[{k}]"
                if node.op == "spread":
                    return self.expression(node.args[0], shared, load)
                return None
            return load

        self.line("for k in range(C):")
        self.depth += 1
        for name in ("g", "h"):
            if name in self.roots and self.roots[name].row:
                self.line(f"prefetch({name}, start, k, C, n_, True)")
        self.line("prefetch(f, end, k, C, n_, False)")
        self.depth -= 1
        self.line("for j in range(L):")
        self.depth += 1
        for level in range(self.levels):
            for node in self._stage(level):
                self.expression(node, shared, load_scalar)
            for name, node in self.roots.items():
                if node.op == "stack" and node.level == level:
                    outputs[name] = [self.expression(a, shared, load_scalar) for a in node.args]
            reductions, rows, _ = self._passes(level)
            accumulators = {node: self._start_of(node) for node in reductions}
            for k, known in enumerate(columns):
                self.suffix = f"_{k}"
                for name, node in rows:
                    outputs.setdefault(name, []).append(self.expression(node, known, load_at(k)))
                after = self._accumulated(reductions, known, load_at(k), f"I({k})", accumulators.get, places=lambda x: x)
                accumulators.update(after)
            self.suffix = ""
            shared.update({node: f"({x} != I(0))" if node.type == "bool" else x for node, x in accumulators.items()})
        at_label = {}
        for name, node in self.roots.items():
            if not node.row:
                text = self.expression(node, shared, load_scalar)
                if name.endswith("_at_label"):
                    at_label[name[0]] = text
                else:
                    writes.append((self.slot(node.type, name), text if node.type == "F" else f"where({text}, I(1), I(0))"))
        for name, texts in outputs.items():
            for k, text in enumerate(texts):
                if name in at_label:
                    text = f"where({self.slot('I', 'label')} == I({k}), {at_label[name]}, {text})"
                writes.append((self.slot("F", (name + "_", k)), text))
        self._write(writes)
        self.depth -= 1

    def _chosen(self, node, columns, load_at):
        """The text for the element at the label of a row that is in registers."""
        text = None
        for k, known in enumerate(columns):
            self.suffix = f"_{k}"
            x = self.expression(node.args[0], known, load_at(k))
            text = x if text is None else f"where({self.slot('I', 'label')} == I({k}), {x}, {text})"
        self.suffix = ""
        return text

    def _passes_over_tiles(self, stored):
        """A loop over the columns for every level; what a level gives the next ones is stored."""
        def stored_slot(node):
            return self.slot(node.type, node)

        def load_stored(node):
            place = stored_slot(node)
            return f"({place} != I(0))" if node.type == "bool" else place

        def load_scalar(node):
            if node.op == "label":
                return self.slot("I", "label")
            if node.op in ("weight", "f", "y", "v"):
                return self.slot("F", node.op)
            if node.op == "column":
                return f"{node.args[0]}_tile[uint64({node.args[1] * LANES}) + j]"
            if node.op in REDUCTIONS or node.op == "pick" or (node in stored and node.level < self.level):
                return load_stored(node)
            return None

        for level in range(self.levels):
            self.level = level
            reductions, outputs, stores = self._passes(self.level)
            keep = [x for x in self._stage(self.level) if x in stored and x.op != "pick"]
            stacks = [(name, node) for name, node in self.roots.items() if node.op == "stack" and node.level == self.level]
            ready = any(node.level == self.level and not node.row for node in self.roots.values())
            for node in (x for x in self._stage(self.level) if x.op == "pick"):
                self._pick(node, stored_slot(node))
            if reductions or keep or stacks or ready:
                self.line("for j in range(L):")
                self.depth += 1
                known = {}
                writes = []
                for node in keep:
                    text = self.expression(node, known, load_scalar)
                    writes.append((stored_slot(node), text if node.type != "bool" else f"where({text}, I(1), I(0))"))
                writes += self._scalar_outputs(self.level, known, load_scalar)
                for name, node in stacks:
                    writes += [(f"{name}_[uint64({k * LANES}) + j]", self.expression(a, known, load_scalar))
                               for k, a in enumerate(node.args)]
                self._write([*writes, *[(stored_slot(node), self._start_of(node)) for node in reductions]])
                self.depth -= 1
            if reductions or outputs or stores:
                self._tile_pass(reductions, outputs, stores, stored, stored_slot, load_stored, load_scalar)
            for node in self.whole[self.level]:
                self._tile_whole(node, stored, load_stored, load_scalar)

    def _all(self):
        return [*self.roots.values(), *self.scalars, *self.kept]

    def _stored(self):
        """Scalars that are read by a pass over the row, by a later stage or by a loop of pairs."""
        used = set()
        for level in range(self.levels):
            for node in self.row_wanted[level]:
                used |= self._scalar_leaves(node, level)
        for node in self.kept:
            if node.op == "pairs":
                used |= {x for x in _below(node.args[0]) if x in self.scalars}
        for node in self.scalars:
            if node.op in REDUCTIONS:
                used.add(node)
            else:
                used |= {a for a in node.args if hasattr(a, "op") and a in self.scalars and a.level < node.level}
        for node in self.roots.values():
            args = node.args if node.op == "stack" else [] if node.row else [node]
            used |= {a for a in args if a in self.scalars and a.level < node.level}
        return sorted((x for x in used if x.op not in ("column", "f", "y", "v")),
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

    def _tile_pass(self, reductions, outputs, stores, stored, stored_slot, load_stored, load_scalar):
        """Two columns at a time where accumulators are most of the work, which are then stored half as often."""
        if not reductions or any(self._is_dear(node) for node in self.row_wanted[self.level]):
            self.line("for k in range(C):")
            self.depth += 1
            self._columns([""], reductions, outputs, stores, stored, stored_slot, load_stored, load_scalar)
            self.depth -= 1
            return
        self.line("k = uint64(0)")
        for together in (["", "_b"], [""]):
            self.line(f"while k + uint64({len(together)}) <= C:")
            self.depth += 1
            self._columns(together, reductions, outputs, stores, stored, stored_slot, load_stored, load_scalar)
            self.line(f"k += uint64({len(together)})")
            self.depth -= 1

    def _pick(self, node, place):
        """Element number `label` of a row, in a loop of its own: reading where the data say keeps a loop from being
        vectorised."""
        x, label = node.args[0], self.slot("I", "label")
        if x.op in ("table", "matrix_row"):
            self.line("for j in range(L):")
            at = f"uint64({label})"
            self.line(f"    {place} = {self._table(x)}[{at}" + (f" * C + {at}]" if x.op == "matrix_row" else "]"))
            return
        tile = f"{x.op}_tile" if x.op in LEAVES else f"r{x.number}"
        self.line("for j in range(L):")
        self.line(f"    {place} = {tile}[uint64({label}) * L + j]")

    def _prefetch(self, k):
        """In the first pass the memory of the outputs, in the one with most to compute the rows that come next."""
        if self.level == 0:
            for name in ("g", "h"):
                if name in self.roots and self.roots[name].row:
                    self.line(f"prefetch({name}, start, {k}, C, n_, True)")
        if self.level == min(1, self.levels - 2):
            self.line(f"prefetch(f, end, {k}, C, n_, False)")

    def _is_dear(self, node):
        """Whether the pass at this level computes more for a row node than a few additions."""
        if not node.row or node.op in LEAVES or (node in self.kept and (node.level < self.level or node.op in WHOLE_ROW)):
            return False
        return node.op not in CHEAP or any(self._is_dear(a) for a in node.args if hasattr(a, "op"))

    def _columns(self, suffixes, reductions, outputs, stores, stored, stored_slot, load_stored, load_scalar):
        for number, suffix in enumerate(suffixes):
            self.line(f"k{suffix} = k" if not number else f"k{suffix} = k + uint64({number})")
            self.line(f"kk{suffix} = I(k{suffix})")
            self.line(f"at{suffix} = k{suffix} * L")
            self._prefetch(f"k{suffix}")
        self.line("for j in range(L):")
        self.depth += 1
        numbers, writes, carried = {}, [], {}
        for self.suffix in suffixes:
            suffix, known = self.suffix, dict(numbers)

            def load(node, suffix=suffix, known=known):
                if not node.row:
                    return load_stored(node) if node in stored else load_scalar(node)
                if node.op in ("f", "y", "v"):
                    return f"{node.op}_tile[at{suffix} + j]"
                if node.op == "index":
                    return f"kk{suffix}"
                if node.op == "table":
                    return f"{self._table(node)}[k{suffix}]"
                if node.op == "matrix_row":
                    return f"{self._rows_of(node)}_tile[at{suffix} + j]"
                if node in self.kept and (node.level < self.level or node.op in WHOLE_ROW):
                    return f"r{node.number}[at{suffix} + j]"
                if node.op == "spread":
                    return self.expression(node.args[0], known, load)
                return None

            writes += [(f"r{node.number}[at{suffix} + j]", self.expression(node, known, load)) for node in stores]
            writes += [(f"{name}_[at{suffix} + j]", self.expression(node, known, load)) for name, node in outputs]
            carried.update(self._accumulated(reductions, known, load, f"kk{suffix}",
                                             lambda node: carried.get(stored_slot(node), stored_slot(node)),
                                             places=stored_slot))
            numbers = {node: name for node, name in known.items() if not node.row}
        self.suffix = ""
        self._write([*carried.items(), *writes])
        self.depth -= 1

    def _tile_whole(self, node, stored, load_stored, load_scalar):
        out = f"r{node.number}"
        if node.op == "pairs":
            body, count, *rows = node.args

            def load(x):
                if x.op in ("outer", "inner"):
                    row, at = (rows[x.args[0]], "k") if x.op == "outer" else (rows[count + x.args[0]], "i")
                    return f"r{row.number}[{at} * L + j]"
                return load_stored(x) if x in stored else load_scalar(x)

            self.line("for k in range(C):")
            self.line("    for j in range(L):")
            self.line(f"        {out}[k * L + j] = ZERO")
            self.line("    for i in range(C):")
            self.line("        for j in range(L):")
            self.depth += 3
            self.line(f"{out}[k * L + j] += {self.expression(body, {}, load)}")
            self.depth -= 3
            return
        source = f"r{node.args[0].number}"
        if node.op in ("cumulative", "reverse_cumulative"):
            backwards = node.op == "reverse_cumulative"
            self.line("for i in range(C):")
            self.depth += 1
            self.line("k = (C - uint64(1) - i) * L" if backwards else "k = i * L")
            self.line(f"before = k {'+' if backwards else '-'} L")
            self.line("if i == uint64(0):")
            self.line("    for j in range(L):")
            self.line(f"        {out}[k + j] = {source}[k + j]")
            self.line("else:")
            self.line("    for j in range(L):")
            self.line(f"        {out}[k + j] = {out}[before + j] + {source}[k + j]")
            self.depth -= 1
            return
        self.line("for j in range(m):")
        self.line(f"    order_of({source}, j, L, C, order, scratch)")
        self.line("    for k in range(C):")
        if node.op == "sort":
            self.line(f"        {out}[k * L + j] = {source}[uint64(order[k]) * L + j]")
        else:
            self.line(f"        {out}[uint64(order[k]) * L + j] = I(k)")

    # ---- along the row -----------------------------------------------------------------------------------------

    def _along(self):
        """One row at a time, in strips of LANES numbers. The last strip is filled up with what the one before it held:
        loops of a fixed length have no scalar remainder, and the accumulators leave out what does not belong to the row."""
        graph = self.graph
        self._buffers("(C + L - uint64(1)) // L * L")
        if "columns" in self.roots:
            self.line("columns_ = np.empty(columns, F)")
        self._block_of_strips()
        self.line("for r in range(m):")
        self.depth += 1
        self.line("i = start + r")
        self.line("base = i * C")
        if graph.label is not None:
            self.line(f"label = {self.slot('I', 'label', 'r')}")
        if self._has_weight:
            self.line(f"weight = {self.slot('F', 'weight', 'r')}")
        known = {}

        def load_scalar(node):
            if node.op in ("label", "weight"):
                return node.op
            if node.op in ("f", "v", "y"):
                return {"f": "f[i]", "v": "v_in[i]", "y": "F(y[i])"}[node.op]
            if node.op == "column":
                return f"{'v_in' if node.args[0] == 'v' else 'f'}[base + uint64({node.args[1]})]"
            if node.op == "pick":
                x, at = node.args[0], "uint64(label)"
                if x.op in ("f", "v"):
                    return f"{'v_in' if x.op == 'v' else 'f'}[base + {at}]"
                if x.op in ("table", "matrix_row"):
                    return f"{self._table(x)}[{at}" + (f" * C + {at}]" if x.op == "matrix_row" else "]")
                return f"r{x.number}[{at}]"
            return None

        for level in range(self.levels):
            self.level = level
            for node in self._stage(self.level):
                self.expression(node, known, load_scalar)
            self._write(self._scalar_outputs(self.level, known, load_scalar, "r"))
            for name, node in self.roots.items():
                if node.op == "stack" and node.level == self.level:
                    self._write([(f"{name}[base + uint64({k})]", self.expression(a, known, load_scalar))
                                 for k, a in enumerate(node.args)])
            self._row_pass(known, load_scalar)
            for node in self.whole[self.level]:
                self._row_whole(node, known, load_scalar)
        for name in [name for name in self.roots if name.endswith("_at_label")]:
            self.line(f"{name[0]}[base + uint64(label)] = {self.slot('F', name, 'r')}")
        if "columns" in self.roots:
            self.line("for j in range(C):")
            self.line("    row_sums[uint64(b) * C + j] += columns_[j]")
        self.depth -= 1
        self._end_of_strip()

    def _row_pass(self, known, load_scalar):
        reductions, outputs, stores = self._passes(self.level)
        if not (reductions or outputs or stores):
            return
        for wanted in self.row_wanted[self.level]:
            for node in sorted(self._scalar_leaves(wanted, self.level), key=lambda x: x.number):
                self.expression(node, known, load_scalar)

        def accumulator(node):
            return self.slot(node.type, node)

        if reductions:
            self.line("for j in range(L):")
            for node in reductions:
                self.line(f"    {accumulator(node)} = {self._start_of(node)}")
        self.line("t = uint64(0)")
        self.line("while t < C:")
        self.depth += 1
        self.line("q = min(L, C - t)")
        self.line("at = base + t")
        leaves = {x for node in self.row_wanted[self.level] for x in self._row_leaves(node)}
        for node in sorted(leaves, key=lambda x: x.number):
            self.line("for j in range(q):")
            self.line(f"    {self.slot('F', node)} = {self._leaf_in_memory(node)}")
        self.line("first_k, end_k = I(t), I(C)")
        self.line("for j in range(L):")
        self.depth += 1
        self.line("kk = first_k + I(j)")

        def load(node):
            if not node.row:
                return load_scalar(node)
            if node.op == "index":
                return "kk"
            if node.op in LEAVES:
                return self.slot("F", node)
            if node in self.kept and (node.level < self.level or node.op in WHOLE_ROW):
                return f"r{node.number}[t + j]"
            if node.op == "spread":
                return self.expression(node.args[0], inner, load)
            return None

        inner = dict(known)
        writes = [(f"r{node.number}[t + j]", self.expression(node, inner, load)) for node in stores]
        writes += [(self.slot("F", f"{name}_"), self.expression(node, inner, load)) for name, node in outputs]
        self._write([*self._accumulated(reductions, inner, load, "kk", accumulator, "(kk < end_k)"), *writes])
        self.depth -= 1
        for name, _ in outputs:
            self.line("for j in range(q):")
            self.line(f"    {'columns_[t + j]' if name == 'columns' else f'{name}[at + j]'} = {self.slot('F', f'{name}_')}")
        self.line("t += L")
        self.depth -= 1
        before_largest = ("beside_largest", "first_largest")
        for node in sorted(reductions, key=lambda x: (*before_largest, x.op).index(x.op)):
            begin, name = self.slot_start(node.type, node), f"x{node.number}"
            if node.op in before_largest:
                at = self.slot_start("F", self.graph.call("largest", node.args))
                self.line(f"{name} = fold_{node.op}(S, {at}, {'N' if node.type == 'int' else 'S'}, {begin})")
            else:
                array = "S" if node.type == "F" else "N"
                self.line(f"{name} = fold_{node.op}({array}, {begin})" + (" != I(0)" if node.type == "bool" else ""))
            known[node] = name

    def _row_leaves(self, node):
        """The rows that a pass reads from memory to compute a row node."""
        found, seen, todo = set(), set(), [node]
        while todo:
            x = todo.pop()
            if x in seen or not x.row:
                continue
            seen.add(x)
            if x.op in LEAVES:  # read from memory although a buffer may hold it for what works on whole rows
                found |= {x} if x.op != "index" else set()
            elif not (x in self.kept and (x.level < self.level or x.op in WHOLE_ROW)):
                todo += [a for a in x.args if hasattr(a, "op")]
        return found

    def _leaf_in_memory(self, node):
        if node.op == "table":
            return f"{self._table(node)}[t + j]"
        if node.op == "matrix_row":
            return f"{self._table(node)}[uint64(label) * C + t + j]"
        return {"f": "f[at + j]", "v": "v_in[at + j]", "y": "F(y[at + j])"}[node.op]

    def _row_whole(self, node, known, load_scalar):
        out = f"r{node.number}"
        if node.op == "pairs":
            body, count, *rows = node.args
            for x in sorted((x for x in _below(body) if x in self.scalars), key=lambda x: x.number):
                self.expression(x, known, load_scalar)

            def load(x):
                if x.op in ("outer", "inner"):
                    row, at = (rows[x.args[0]], "k") if x.op == "outer" else (rows[count + x.args[0]], "j")
                    return f"r{row.number}[{at}]"
                return load_scalar(x)

            self.line("for k in range(C):")
            self.depth += 1
            self.line("sum_ = ZERO")
            self.line("for j in range(C):")
            self.depth += 1
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


class _Names(dict):
    """The names of what is known of one column, and, shared with the other columns, of the row."""

    def __init__(self, shared):
        super().__init__()
        self.shared = shared

    def __contains__(self, node):
        return super().__contains__(node) if node.row else node in self.shared

    def __getitem__(self, node):
        return super().__getitem__(node) if node.row else self.shared[node]

    def __setitem__(self, node, name):
        if node.row:
            super().__setitem__(node, name)
        else:
            self.shared[node] = name


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


def helpers(register, F, functions, layouts, dtypes):
    """The functions that the text of a kernel calls. `functions`: vecmath for `F`; `layouts` and `dtypes`: of predictions
    and of targets."""
    from . import transpose

    where, exp_neg, ONE = functions.where, functions.exp_neg, F(1.0)

    def folding(combine):
        combine = register(combine)

        def fold(S, at):
            half = LANES // 2
            while half > 0:
                for j in range(at, at + half):
                    S[j] = combine(S[j], S[j + half])
                half //= 2
            return S[at]

        return register(fold)

    fold_total, fold_any = folding(lambda a, b: a + b), folding(lambda a, b: a | b)
    fold_largest = folding(lambda a, b: where(b > a, b, a))
    fold_smallest = folding(lambda a, b: where(b < a, b, a))

    @register
    def fold_first_largest(S, at, N, place):
        """The largest ends up in its lane 0, where `fold_largest` finds it."""
        half = LANES // 2
        while half > 0:
            for j in range(half):
                one, other = S[at + j], S[at + j + half]
                k, after = N[place + j], N[place + j + half]
                better = (other > one) | ((other == one) & (after < k))
                S[at + j] = where(better, other, one)
                N[place + j] = where(better, after, k)
            half //= 2
        return N[place]

    @register
    def one_more(rest, largest, x):
        """The sum beside the largest element so far, after one more: an online log-sum-exp with one exponential."""
        e = where(x == largest, ONE, exp_neg(abs(x - largest)))
        return where(x > largest, (rest + ONE) * e, rest + e)

    @register
    def fold_beside_largest(S, at, R, rest):
        """Every lane's sum, as seen from the largest element of all, which is left out once."""
        m, lane = S[at], 0
        for j in range(1, LANES):
            if S[at + j] > m:
                m, lane = S[at + j], j
        for j in range(LANES):
            R[rest + j] = where(j == lane, R[rest + j], (R[rest + j] + ONE) * exp_neg(m - S[at + j]))
        return fold_total(R, rest)

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
    return {
        "fold_total": fold_total, "fold_largest": fold_largest, "fold_smallest": fold_smallest, "fold_any": fold_any,
        "fold_first_largest": fold_first_largest, "fold_beside_largest": fold_beside_largest, "one_more": one_more,
        "order_of": order_of, "load_f": load_f, "load_y": load_y,
        "load_v": load_f, "store": store, "L": uint64(LANES),
        "put": transpose.putter(register, layouts[0]), "prefetch": transpose.prefetcher(register, F, LANES, layouts[0]),
    }
