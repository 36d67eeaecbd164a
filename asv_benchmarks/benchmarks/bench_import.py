"""What a process pays once: the import, and the first call with a warm kernel cache."""

from pathlib import Path

import numpy as np

import fusedloss as fl

BEFORE = f"import sys; sys.path.append({str(Path(fl.__file__).parents[1])!r}); import numpy"

FIRST_CALL = """
import numpy as np, fusedloss as fl
y = np.zeros({n})
fl.BinaryCrossEntropy().value_and_grad(y, y)
"""


class Processes:
    timeout = 120
    number = 1

    def setup(self):
        for n in (100, 10**6):  # fills the kernel cache
            fl.BinaryCrossEntropy().value_and_grad(np.zeros(n), np.zeros(n))

    def timeraw_import(self):
        return "import fusedloss", BEFORE

    def timeraw_first_call(self):
        return FIRST_CALL.format(n=100), f"{BEFORE}, numba"

    def timeraw_first_large_call(self):
        return FIRST_CALL.format(n=10**6), f"{BEFORE}, numba"

    def timeraw_import_numba(self):
        """What the first call cannot do without."""
        return "import numba", BEFORE
