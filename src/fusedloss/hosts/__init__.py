"""Losses as other libraries expect them: a module per host, loaded when `loss.<host>()` is first asked for.

An adapter is a small class at module level that holds a loss and what it was called with, so it can be pickled, copied
and sent to other processes. Numbers come from the public methods of the loss; but CatBoost asks for 1000 rows at a time, and
its adapter calls the kernel by `evaluate.derivatives_of_few`, in half the time.
"""
