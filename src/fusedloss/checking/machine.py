"""The kernel that a loss became: its machine code, and why there is none."""

from __future__ import annotations

import dis
import re

import numpy as np

__all__ = ["arrays", "attributes_of", "has_loop", "instructions", "kernel", "llvm", "reason"]

_LIBRARY = re.compile(r"(?:llvm\.)?((?:a?(?:sin|cos|tan)h?|exp|log|pow|cbrt|erf|[lt]?gamma|fmod|ldexp|hypot)[a-z0-9]*)"
                      r"(?:\.v\d+f\d+|\.f\d+)?")


def arrays(loss, points, F):
    """Targets and predictions as the methods of a loss take them."""
    y, f = np.array([p.y for p in points]), np.array([p.f for p in points], F)
    labels = loss.rowwise and y.ndim == 1 and loss.target in ("label", "classes")
    return y.astype(np.int64 if labels else F), f[:, 0] if not loss.rowwise or loss.single_score else f


def kernel(loss, y, f):
    """The kernel behind `value_and_grad` of these arrays."""
    if loss.rowwise:
        from ..evaluate_rows import _Call

        return _Call(loss, "value_and_grad", y, f, None, None, None, False, None).program.kernel("serial")
    from ..evaluate import _plan

    return _plan(loss, "value_and_grad", None, False, f.dtype, y.dtype, None, None).kernel("serial")


def llvm(kernel):
    """The text of a kernel in LLVM's language. One that came from disk has none, and is compiled once more."""
    from numba import njit

    if kernel.stats.cache_hits:
        again = njit(error_model="numpy")(kernel.py_func)
        again.compile(kernel.signatures[0])
        kernel = again
    return next(iter(kernel.inspect_llvm().values()))


def instructions(text, F):
    """(vector instructions on numbers of F, how many numbers each takes, the functions of the C library that are called)."""
    text = "".join(f for f in re.split(r"^define ", text, flags=re.M)[1:] if "cpython" not in f.partition("(")[0])
    word = {np.float32: "float", np.float64: "double"}[F]
    vectors = re.findall(rf"= (?:fneg|fadd|fsub|fmul|fdiv|fcmp \w+|(?:tail )?call) <(\d+) x {word}>", text)
    # the lanes are added by vectors in any kernel, but only where the formulas are SIMD is the gradient scaled by them
    simd = re.search(rf"= fmul <\d+ x {word}>", text)
    calls = {found[1] for name in re.findall(r"call [^@\n]*@\"?([\w.$]+)", text) if (found := _LIBRARY.fullmatch(name))}
    if np.float32 == F:
        calls = {name if name == "erf" else name.removesuffix("f") for name in calls}
    return len(vectors) if simd else 0, max(map(int, vectors), default=1), sorted(calls)


def attributes_of(function):
    """The names of what a formula reads from objects."""
    return {i.argval for i in dis.get_instructions(function) if i.opname in ("LOAD_ATTR", "LOAD_METHOD")}


def has_loop(function):
    """Whether a formula jumps backwards."""
    return any("JUMP_BACKWARD" in instruction.opname for instruction in dis.get_instructions(function))


def reason(error):
    """What a compiler's message says, in one line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = ("Untyped global name", "Unknown attribute", "NameError", "Use of unsupported", "No implementation",
               "Cannot unify")
    told = [line for key in telling for line in lines if key in line]
    plain = [line for line in lines if not line.startswith(("Failed in nopython", "During:", "-"))]
    return (told or plain or [type(error).__name__])[0]
