"""Whether this process was forked after fusedloss was imported: asked for from the first import on, long before Numba's."""

import os

forked = False


def _remember():
    global forked
    forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_remember)
