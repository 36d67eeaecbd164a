"""How the leaf is run over the blocks of an array: serial, on Numba's threads, or on our own.

All three give the same bits, so which one runs is a matter of speed and safety alone. Numba's threads are the fastest for
large arrays, but not always safe: after a fork its OpenMP layer kills or hangs the child, and its workqueue layer aborts
when two Python threads launch at once; guarded by signals that a server may have handlers for, such a launch can also
return without having run (gunicorn --preload: every loss 0.0). So Numba's threads run only where nothing speaks against
them, and our own threads take over everywhere else.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait

from . import forks

EXECUTORS = ("auto", "numba", "threads", "serial")

PARALLEL_FROM = 1 << 15
"""Samples from which several threads pay: a launch costs microseconds, and a neighbour on the core much more."""

BLOCKS_PER_CALL = 1024
"""Blocks per native call (4M samples, milliseconds), so that Ctrl-C is served."""

_inside = threading.local()
_pool = None
_pool_lock = threading.Lock()


def _after_fork_in_child():
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


# ---- how many threads, and whose ---------------------------------------------------------------------------------


def thread_limit(n_threads=None) -> int:
    """The smallest of what the call, the environment, the affinity and the cgroup's quota allow; at least 1."""
    limits = [cpu_limit()]
    for name in ("FUSEDLOSS_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0]
        if text.strip().isdigit():
            limits.append(int(text))
    if n_threads is not None:
        limits.append(n_threads)
    return max(1, min(limits))


@functools.cache
def cpu_limit() -> int:
    """CPUs this process may use: its affinity, and the quota of its cgroup rounded up."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota()
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def _cgroup_quota():
    """CPUs that the process's cgroup grants, None where it sets no limit."""
    return min(filter(None, map(_quota_of, _cgroup_files())), default=None)


def _quota_of(path):
    """CPUs that one file of a cgroup grants, None for no limit or where it cannot be read (its group may be going away)."""
    try:
        words = _words(path)
        if path.endswith("cpu.max"):
            return None if words[0] == "max" else int(words[0]) / int(words[1])
        return int(words[0]) / int(_words(path.removesuffix("quota_us") + "period_us")[0]) if int(words[0]) > 0 else None
    except (OSError, ValueError, IndexError, ZeroDivisionError):
        return None


def _words(path):
    with open(path) as file:
        return file.read().split()


def _cgroup_files():
    """The files that may hold a quota: of the process's cgroup and of every one above it, versions 2 and 1."""
    try:
        with open("/proc/self/cgroup") as file:
            groups = [line.rstrip("\n").split(":", 2)[1:] for line in file]
    except OSError:
        return
    for controllers, group in groups:
        if controllers == "":
            root, name = "/sys/fs/cgroup", "cpu.max"
        elif "cpu" in controllers.split(","):
            root, name = "/sys/fs/cgroup/cpu", "cpu.cfs_quota_us"
        else:
            continue
        while True:
            yield os.path.join(root, group.strip("/"), name)
            if group in ("", "/"):
                break
            group = os.path.dirname(group)


def numba_objection() -> str | None:
    """Why Numba's threads are not used in this process and thread, or None where nothing speaks against them."""
    if forks.forked:
        return "this process was forked after fusedloss was imported: an OpenMP layer would kill or hang it"
    if multiprocessing.parent_process() is not None and multiprocessing.get_start_method(allow_none=True) == "fork":
        return "this is a forked worker of multiprocessing: another OpenMP runtime may have run before the fork"
    if sys.is_finalizing():
        return "the interpreter is shutting down"
    if isinstance(threading.current_thread(), threading._DummyThread):
        return "this thread was not started by Python: it may be inside another parallel region"
    if _numba_layer() == "workqueue" and threading.active_count() > 1:
        return "Numba's workqueue layer aborts when two Python threads launch at once"
    return None


def _numba_layer() -> str | None:
    """The threading layer that Numba has launched, or launches now."""
    import numba
    from numba.np.ufunc import parallel

    try:
        parallel._launch_threads()
        return numba.threading_layer()
    except Exception:
        return "workqueue"


def choose(executor, n, n_threads):
    """(driver, threads) for `n` samples: driver is "serial", "nogil", "parallel" or "threads"."""
    if executor not in EXECUTORS:
        raise ValueError(f"executor must be one of {', '.join(map(repr, EXECUTORS))}, found {executor!r}")
    if n_threads is not None and (isinstance(n_threads, bool) or not isinstance(n_threads, int) or n_threads < 1):
        raise ValueError(f"n_threads must be a whole number of at least 1, found {n_threads!r}")
    if n < PARALLEL_FROM and executor == "auto":
        return "serial", 1
    threads = 1 if executor == "serial" or getattr(_inside, "worker", False) else thread_limit(n_threads)
    if threads == 1:
        return ("serial" if n < PARALLEL_FROM else "nogil"), 1
    if executor == "threads" or numba_objection():
        return ("nogil", 1) if sys.is_finalizing() else ("threads", threads)
    return "parallel", threads


# ---- running -----------------------------------------------------------------------------------------------------


def run(work, driver, threads, n_blocks):
    """Call `work(driver, first, last, step)` until every block is done."""
    if driver == "threads":
        _run_on_own_threads(work, threads, n_blocks)
    elif driver == "parallel":
        _run_on_numba_threads(work, threads, n_blocks)
    else:
        _run_here(work, driver, 0, n_blocks)


def _run_here(work, driver, first, last):
    for start in range(first, last, BLOCKS_PER_CALL):
        work(driver, start, min(last, start + BLOCKS_PER_CALL), 1)


def _run_on_numba_threads(work, threads, n_blocks):
    import numba

    before = numba.get_num_threads()
    threads = min(threads, before)
    numba.set_num_threads(threads)
    try:
        for start in range(0, n_blocks, BLOCKS_PER_CALL):
            stop = min(n_blocks, start + BLOCKS_PER_CALL)
            work("parallel", start, stop, -(-(stop - start) // (4 * threads)))  # as many groups for each thread
    finally:
        numba.set_num_threads(before)


def _run_on_own_threads(work, threads, n_blocks):
    """The caller takes the first share. Helpers write into the caller's arrays, so an error waits for all of them."""
    threads = min(threads, n_blocks)
    bounds = [n_blocks * k // threads for k in range(threads + 1)]
    try:
        futures = [_own_pool().submit(_as_worker, _run_here, work, "nogil", *bounds[k: k + 2])
                   for k in range(1, threads)]
    except RuntimeError:  # the interpreter is shutting down and starts no threads any more
        futures, bounds = [], [0, n_blocks]
    try:
        _run_here(work, "nogil", bounds[0], bounds[1])
    finally:
        wait(futures)
    for future in futures:
        future.result()


def _as_worker(function, *args):
    _inside.worker = True
    try:
        function(*args)
    finally:
        _inside.worker = False


def _own_pool():
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, cpu_limit()), thread_name_prefix="fusedloss")
        return _pool
