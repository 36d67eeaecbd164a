"""What a process pays once: the import, and the first call with a warm kernel cache."""

FIRST_CALL = """
import numpy as np, fusedloss as fl
y = np.zeros({n})
fl.BinaryCrossEntropy().value_and_grad(y, y)
"""


class Processes:
    timeout = 120
    number = 1

    def timeraw_import(self):
        return "import fusedloss", "import numpy"

    def timeraw_first_call(self):
        return FIRST_CALL.format(n=100), "import numba"

    def timeraw_first_large_call(self):
        return FIRST_CALL.format(n=10**6), "import numba"

    def timeraw_import_numba(self):
        """What the first call cannot do without."""
        return "import numba", "import numpy"
