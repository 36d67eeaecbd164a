"""The loops of row losses on a CUDA device: a formula's graph written out as the text of a kernel.

A group of threads has a row: one thread for few columns, more for many, neighbouring columns to neighbouring threads. A pass
over the row is a loop over the group's columns; what a level gives the next ones (see `trace`) stays in registers, and the
parts of a group are folded in shared memory, in a fixed order. Rows are computed again in every pass rather than kept
("frugal"): arithmetic costs less than memory here. Only what works on whole rows (sums from the front, sorting, pairs) keeps
rows, in scratch memory on the device, of a size that depends on the number of threads and not on the data.
"""

from __future__ import annotations

from ..cuda_api import THREADS
from ..trace import LEAVES, WHOLE_ROW
from . import rows
from .cuda import BLOCKS

ARGUMENTS = ("theta", "tables", "y", "f", "v_in", "w", "mask", "ignore", "scale", "scales", "partials", "scratch", "v", "g",
             "h", "n", "columns", "n_classes", "unit")

SCRATCH = 1 << 28
"""Bytes of scratch memory at most, unless one block needs more."""


def lanes_of(columns):
    """How many threads have a row, by the number of its columns alone."""
    lanes = 1 if columns <= 16 else 16 if columns <= 256 else 64 if columns <= 2048 else 256
    return min(lanes, THREADS)


def blocks_of(n, columns, lanes, kept, itemsize):
    """How many blocks n rows get, of which `kept` buffers are needed."""
    rows_per_block = THREADS // lanes
    blocks = min(BLOCKS, (n + rows_per_block - 1) // rows_per_block)
    if kept:
        blocks = min(blocks, max(1, SCRATCH // (kept * columns * rows_per_block * itemsize)))
    return blocks


class Writer(rows.Writer):
    """Writes the kernel of one graph for groups of `lanes` threads."""

    def __init__(self, graph, roots, lanes, weighted, masked, ignoring, scaled, blocks_of_hessian):
        self.lanes, self.scaled, self.blocks_of_hessian = lanes, scaled, blocks_of_hessian
        super().__init__(graph, roots, 0, True, weighted, masked, ignoring, True)
        self.places = {node: k for k, node in enumerate(sorted(self.kept, key=lambda x: x.number))}

    def source(self):
        self.line("C = int64(columns)")
        self.line("size_ = F(columns)")
        self.line("unit_ = I(unit)")
        if self.scaled:
            self.line("scale = load_scale(scales, 0)")
        for k in range(len(self.graph.parameters)):
            self.line(f"p{k} = theta[{k}]")
        self.line("thread = int64(cuda.threadIdx.x)")
        self.line(f"lane = thread % {self.lanes}")
        self.line(f"group = int64(cuda.blockIdx.x) * {THREADS // self.lanes} + thread // {self.lanes}")
        self.line(f"groups = int64(cuda.gridDim.x) * {THREADS // self.lanes}")
        self.line("total_ = 0.0")
        self.line("for step in range((n + groups - 1) // groups):")
        self.depth += 1
        # all threads of a block take as many steps, for they wait for one another: the last ones compute a row again
        self.line("there = group + step * groups < n")
        self.line("i = min(group + step * groups, n - 1)")
        self.line("base = i * C")
        self._row()
        self.depth -= 1
        if "sum" in self.roots:
            self.line("block_sum(partials, total_)")
        return f"def kernel({', '.join(ARGUMENTS)}):\n" + "\n".join(self.lines) + "\n"

    def _row(self):
        if self.kept:
            self._wait()
        if self.weighted or self.masked or self.ignoring:
            weight = "admitted(load_w(w, i))" if self.weighted else "ONE"
            if self.masked:
                weight = f"where(load_mask(mask, i) != ZERO, ZERO, {weight})"
            self.line(f"weight = {weight}")
        if self.graph.label is not None:
            self.line("given = load_label(y, i)")
            self.line("inside = (given >= 0) & (given < n_classes)")
            self.line("label = where(inside, I(given), I(0))")
            if self.ignoring:
                self.line("weight = where(given == ignore, ZERO, weight)")
            has_weight = self.weighted or self.masked or self.ignoring
            self.line("bad_label = (not inside)" + (" & (weight != ZERO)" if has_weight else ""))
        self.known = {}
        for level in range(self.levels):
            self.level = level
            for node in self._stage(self.level):
                self.expression(node, self.known, self._load_scalar)
            self._outputs_of_level()
            self._pass()
            for node in self.whole[self.level]:
                self._whole(node)

    def _load_scalar(self, node):
        """The text for a number per row that is read from memory."""
        if node.op in ("label", "weight", "bad_label"):
            return node.op
        if node.op in ("f", "v", "y"):
            return {"f": "load_f(f, i)", "v": "load_f(v_in, i)", "y": "load_y(y, i)"}[node.op]
        if node.op == "column":
            return f"load_f({'v_in' if node.args[0] == 'v' else 'f'}, base + {node.args[1]})"
        if node.op == "pick":
            return self._element(node.args[0], "int64(label)")
        return None

    def _element(self, node, k):
        """The text for column `k` of a row in memory."""
        if node.op == "table":
            return f"load_table({self._table(node)}, {k})"
        if node.op == "matrix_row":
            return f"load_table({self._table(node)}, int64(label) * C + {k})"
        if node.op in ("f", "v", "y"):
            name, array = {"f": ("load_f", "f"), "v": ("load_f", "v_in"), "y": ("load_y", "y")}[node.op]
            return f"{name}({array}, base + {k})"
        text = f"load_scratch(scratch, {self._place(node, k)})"
        return f"I({text})" if node.type == "int" else text

    def _place(self, node, k):
        """Where column `k` of a kept row is; neighbouring threads at neighbouring places."""
        place = self.places[node]
        if self.lanes == 1:
            return f"({place} * C + {k}) * groups + group"
        return f"(group * {len(self.places)} + {place}) * C + {k}"

    def _keep_element(self, node, k, text):
        self.line(f"store_scratch(scratch, {self._place(node, k)}, {f'F({text})' if node.type == 'int' else text})")

    def _wait(self):
        """For what other threads of the group have written."""
        if self.lanes > 1:
            self.line("cuda.syncthreads()")

    def _at(self, k):
        """Where column `k` of the row goes."""
        return f"(base + {k}) * C + int64(unit)" if self.blocks_of_hessian else f"base + {k}"

    def _outputs_of_level(self):
        """The outputs that are known now and are no rows: one thread of the group writes them."""
        for name, node in self.roots.items():
            if node.level != self.level or (node.row and node.op != "stack"):
                continue
            texts = [self.expression(a, self.known, self._load_scalar) for a in (node.args if node.row else [node])]
            self.line("if there & (lane == 0):")
            if name == "sum":
                self.line(f"    total_ += float64({texts[0]})")
            elif node.row:
                for k, text in enumerate(texts):
                    self.line(f"    store({name}, {self._at(k)}, {text})")
            else:
                self.line(f"    store({name}, i, {texts[0]})")

    def _pass(self):
        reductions, outputs, stores = self._passes(self.level)
        if not (reductions or outputs or stores):
            return
        for wanted in self.row_wanted[self.level]:
            for node in sorted(self._scalar_leaves(wanted, self.level), key=lambda x: x.number):
                self.expression(node, self.known, self._load_scalar)
        for node in reductions:
            self.line(f"a{node.number} = {self._start_of(node)}")
        inner = dict(self.known)

        def load(node):
            if not node.row:
                return self._load_scalar(node)
            if node.op == "index":
                return "kk"
            if node.op in LEAVES or (node in self.kept and (node.level < self.level or node.op in WHOLE_ROW)):
                return self._element(node, "k")
            if node.op == "spread":
                return self.expression(node.args[0], inner, load)
            return None

        self._each_column("k")
        self.line("kk = I(k)")
        kept = [(node, self.expression(node, inner, load)) for node in stores]
        written = [(name, self.expression(node, inner, load)) for name, node in outputs]
        self._write(self._accumulated(reductions, inner, load, "kk", lambda node: f"a{node.number}"))
        for node, text in kept:
            self._keep_element(node, "k", text)
        if written:
            self.line("if there:")
            for name, text in written:
                self.line(f"    store({name}, {self._at('k')}, {text})")
        self._next_column("k")
        if kept:
            self._wait()
        for node in reductions:
            self._fold(node)

    def _each_column(self, k):
        self.line(f"{k} = lane")
        self.line(f"while {k} < C:")
        self.depth += 1

    def _next_column(self, k):
        self.line(f"{k} += {self.lanes}")
        self.depth -= 1

    def _fold(self, node):
        """What the threads of a group found, put together; every one of them knows it then."""
        name, own = f"x{node.number}", f"a{node.number}"
        if self.lanes == 1:
            text = own
        elif node.op in ("first_largest", "beside_largest"):
            largest = f"a{self.graph.call('largest', node.args).number}"
            text = f"fold_{node.op}(thread, lane, {largest}, {own})"
        else:
            text = f"fold_{node.op}(thread, lane, {own})"
        self.line(f"{name} = {text}" + (" != I(0)" if node.type == "bool" else ""))
        self.known[node] = name

    def _whole(self, node):
        """What works on whole rows: every thread its columns, sums from the front one thread."""
        if node.op in ("cumulative", "reverse_cumulative"):
            self.line("if lane == 0:")
            self.depth += 1
            self.line("sum_ = ZERO")
            self.line("for j in range(C):")
            self.depth += 1
            self.line("k = " + ("j" if node.op == "cumulative" else "C - 1 - j"))
            self.line(f"sum_ += {self._element(node.args[0], 'k')}")
            self._keep_element(node, "k", "sum_")
            self.depth -= 2
            self._wait()
            return
        if node.op == "pairs":
            body, count, *others = node.args
            for x in sorted((x for x in rows._below(body) if x in self.scalars), key=lambda x: x.number):
                self.expression(x, self.known, self._load_scalar)

            def load(x):
                if x.op in ("outer", "inner"):
                    row, k = (others[x.args[0]], "k") if x.op == "outer" else (others[count + x.args[0]], "j")
                    return self._element(row, k)
                return self._load_scalar(x)

            self._each_column("k")
            self.line("sum_ = ZERO")
            self.line("for j in range(C):")
            self.depth += 1
            self.line(f"sum_ += {self.expression(body, dict(self.known), load)}")
            self.depth -= 1
            self._keep_element(node, "k", "sum_")
        else:
            key = self._element(node.args[0], "k")
            self._each_column("k")
            self.line(f"key = {key}")
            self.line("rank = int64(0)")
            self.line("for j in range(C):")
            self.depth += 1
            self.line(f"other = {self._element(node.args[0], 'j')}")
            self.line("rank += int64((other < key) | ((other == key) & (j < k)))")
            self.depth -= 1
            if node.op == "ranks":
                self._keep_element(node, "k", "I(rank)")
            else:
                self._keep_element(node, "rank", "key")
        self._next_column("k")
        self._wait()


TEXT = '''
def block_sum(partials, total):
    shared = cuda.shared.array({threads}, numba_float64)
    thread = cuda.threadIdx.x
    shared[thread] = total
    cuda.syncthreads()
    half = {threads} // 2
    while half > 0:
        if thread < half:
            shared[thread] += shared[thread + half]
        cuda.syncthreads()
        half //= 2
    if thread == 0:
        store_partial(partials, int64(cuda.blockIdx.x), shared[0])

def one_more(rest, largest, x):
    e = where(x == largest, ONE, exp_neg(abs(x - largest)))
    return where(x > largest, (rest + ONE) * e, rest + e)
'''
"""Functions that wait for other threads stand in the text, for the simulator lends them a block there."""

FOLD = '''
def fold_{name}(thread, lane, x):
    shared = cuda.shared.array({threads}, {number})
    shared[thread] = x
    cuda.syncthreads()
    half = {lanes} // 2
    while half > 0:
        if lane < half:
            shared[thread] = {combined}
        cuda.syncthreads()
        half //= 2
    result = shared[thread - lane]
    cuda.syncthreads()
    return result
'''

COMBINED = {
    "total": ("numba_F", "shared[thread] + shared[thread + half]"),
    "largest": ("numba_F", "where(shared[thread + half] > shared[thread], shared[thread + half], shared[thread])"),
    "smallest": ("numba_F", "where(shared[thread + half] < shared[thread], shared[thread + half], shared[thread])"),
    "any": ("numba_I", "shared[thread] | shared[thread + half]"),
    "first": ("numba_I", "where(shared[thread + half] < shared[thread], shared[thread + half], shared[thread])"),
}

PAIRS = '''
def fold_first_largest(thread, lane, largest, k):
    m = fold_largest(thread, lane, largest)
    return fold_first(thread, lane, where(largest == m, k, I(2147483647)))

def fold_beside_largest(thread, lane, largest, rest):
    m = fold_largest(thread, lane, largest)
    leader = fold_first(thread, lane, where(largest == m, I(lane), I({lanes})))
    return fold_total(thread, lane, where(I(lane) == leader, rest, (rest + ONE) * exp_neg(m - largest)))
'''
"""The sum beside the largest element, as seen from the largest of all, which the first group of columns that has it leaves
out once."""


def helpers(lanes):
    """The text of what a kernel calls. One text with the kernel: the simulator knows shared arrays by their lines."""
    text = TEXT.format(threads=THREADS)
    if lanes > 1:
        text += "".join(FOLD.format(name=name, threads=THREADS, lanes=lanes, number=number, combined=combined)
                        for name, (number, combined) in COMBINED.items()) + PAIRS.format(lanes=lanes)
    return text
