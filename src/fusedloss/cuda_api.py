"""The one import of Numba's CUDA target, which moves between packages: `numba.cuda` as numba-cuda provides it.

Without a GPU the same loops run in Numba's simulator, where an array stands for its address: NUMBA_ENABLE_CUDASIM=1, and
NUMBA_DISABLE_JIT=1, without which the formulas would be compiled for the CPU.
"""

from __future__ import annotations

import numba
from numba import cuda

SIMULATED = bool(numba.config.ENABLE_CUDASIM)

THREADS = 4 if SIMULATED else 256
"""Threads of a block; in the simulator each is one of the operating system's."""

if SIMULATED:
    if not numba.config.DISABLE_JIT:
        raise ImportError("NUMBA_ENABLE_CUDASIM is set: set NUMBA_DISABLE_JIT=1 too, for the simulator runs plain Python")
elif getattr(cuda, "implementation", None) != "NVIDIA":
    raise ImportError('arrays on a CUDA device need numba-cuda: pip install "fusedloss[cuda]", or "fusedloss[cuda12]" for '
                      "drivers of CUDA 12")
