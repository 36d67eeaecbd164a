"""The machine code of value_and_grad, which no neighbour disturbs. It depends on the CPU that compiles it."""

import os
import platform
import re

import numpy as np

from .common import DTYPES, FIRST, example

ARITHMETIC = re.compile(r"^\s+v?(?:add|sub|mul|div|sqrt|min|max|f?n?m(?:add|sub)\d+)([ps])[sd]\s", re.MULTILINE)
INSTRUCTION = re.compile(r"^\s+[a-z]\w*\s", re.MULTILINE)
LIBM = re.compile(r"\b(?:exp|expm1|exp2|log|log1p|log2|pow|sin|cos|tan|atan|tanh|erf|erfc|lgamma|tgamma)f?\b")


class Codegen:
    params = (sorted(FIRST), DTYPES)
    param_names = ("loss", "dtype")

    def setup(self, name, dtype):
        if platform.machine().lower() not in ("x86_64", "amd64"):
            raise NotImplementedError("reads x86 assembly")
        from fusedloss import compile

        os.environ["FUSEDLOSS_CACHE_DIR"] = ""  # a kernel loaded from disk has no assembly to show
        F = getattr(np, dtype)
        request = compile.Request(F=F, y=np.dtype(F), w=None, mask=False, sums="value", v=None, g="gradient", h=None)
        kernel = compile.kernel(example(name).loss, request, "serial")
        self.assembly = next(iter(kernel.inspect_asm().values()))

    def track_scalar_per_packed(self, name, dtype):
        """Scalar arithmetic over packed arithmetic; the ends of arrays and the folding of sums are always scalar."""
        kinds = ARITHMETIC.findall(self.assembly)
        return kinds.count("s") / max(1, kinds.count("p"))

    def track_libm_calls(self, name, dtype):
        """Functions of the C library that the loop calls, one sample at a time."""
        return len(LIBM.findall("\n".join(re.findall(r"\$[a-z]\w*", self.assembly))))

    def track_instructions(self, name, dtype):
        """The size of the kernel."""
        return len(INSTRUCTION.findall(self.assembly))

    track_scalar_per_packed.unit = "instructions"
    track_libm_calls.unit = "calls"
    track_instructions.unit = "instructions"
