"""Benchmarks of fusedloss, from the same table as its tests. Nothing here fails on a clock.

This file is imported before anything else: thread pools read their settings when they are loaded. A pool that spins
after its work is done would be measured as a slowness of whoever runs next.
"""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

os.environ["OMP_WAIT_POLICY"] = "passive"  # Numba, scikit-learn, torch
os.environ["OPENBLAS_THREAD_TIMEOUT"] = "4"  # NumPy; by default its threads spin for 25 ms
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("FUSEDLOSS_CACHE_DIR", str(REPOSITORY / ".asv" / "kernels"))
