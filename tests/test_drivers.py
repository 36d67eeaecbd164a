"""Threads and processes: which driver runs, and right answers after forks, under signals and from many threads.

The cases T1-T25 of the hazards. Each script ends by itself, with exit code 0 and the right numbers, or the test fails.
"""

import multiprocessing
import os
import sys
import threading
import time

import numba
import numpy as np
import pytest

import fusedloss as fl
from fusedloss import drivers

process = pytest.mark.process
N = 1 << 18


@pytest.fixture
def limits(monkeypatch):
    """No limit from the environment, sixteen CPUs, and no quota."""
    for name in ("FUSEDLOSS_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(drivers, "_cgroup_files", lambda: iter(()))
    drivers.cpu_limit.cache_clear()
    yield monkeypatch
    drivers.cpu_limit.cache_clear()


# ---- how many threads --------------------------------------------------------------------------------------------


def test_the_smallest_limit_counts(limits):
    assert drivers.thread_limit() == 16
    assert drivers.thread_limit(5) == 5
    assert drivers.thread_limit(50) == 16
    limits.setenv("OMP_NUM_THREADS", "9,2")
    assert drivers.thread_limit() == 9
    limits.setenv("NUMBA_NUM_THREADS", "7")
    assert drivers.thread_limit() == 7
    limits.setenv("FUSEDLOSS_NUM_THREADS", "3")
    assert drivers.thread_limit() == 3
    assert drivers.thread_limit(2) == 2
    assert drivers.thread_limit(4) == 3


@pytest.mark.parametrize("text", ["", "many", "-2", " "])
def test_nonsense_in_the_environment_is_no_limit(limits, text):
    limits.setenv("FUSEDLOSS_NUM_THREADS", text)
    assert drivers.thread_limit() == 16


def test_the_environment_is_read_at_each_call(limits):
    limits.setenv("FUSEDLOSS_NUM_THREADS", "2")
    assert drivers.thread_limit() == 2
    limits.setenv("FUSEDLOSS_NUM_THREADS", "1")
    assert drivers.choose("auto", 10**7, None)[1] == 1


CGROUPS = {
    "v2 half a CPU": ({"cpu.max": "50000 100000"}, 1),
    "v2 two and a half": ({"cpu.max": "250000 100000"}, 3),
    "v2 no limit": ({"cpu.max": "max 100000"}, 16),
    "v2 more than there are": ({"cpu.max": "6400000 100000"}, 16),
    "v1 two": ({"cpu.cfs_quota_us": "200000", "cpu.cfs_period_us": "100000"}, 2),
    "v1 no limit": ({"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, 16),
    "unreadable": ({}, 16),
    "empty": ({"cpu.max": ""}, 16),
}


@pytest.mark.parametrize("case", CGROUPS)
def test_quota_of_the_cgroup(limits, tmp_path, case):
    files, expected = CGROUPS[case]
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    paths = [str(tmp_path / name) for name in ("cpu.max", "cpu.cfs_quota_us")]
    limits.setattr(drivers, "_cgroup_files", lambda: iter(paths))
    assert drivers.cpu_limit() == expected


def test_the_cgroup_and_every_one_above_it_are_looked_at(monkeypatch, tmp_path):
    listing = tmp_path / "cgroup"
    listing.write_text("5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/user.slice/job\n")
    real = open
    monkeypatch.setattr("builtins.open", lambda path, *rest: real(listing if path == "/proc/self/cgroup" else path, *rest))
    assert list(drivers._cgroup_files()) == [
        "/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/docker/cpu.cfs_quota_us",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/user.slice/job/cpu.max",
        "/sys/fs/cgroup/user.slice/cpu.max", "/sys/fs/cgroup/cpu.max"]


@pytest.mark.parametrize("n", [10, N])
@pytest.mark.parametrize("executor", ["auto", "serial", "threads", "numba"])
@pytest.mark.parametrize("wrong", [0, -1, 1.5, "two", True])
def test_n_threads_must_be_a_whole_number(wrong, executor, n):
    with pytest.raises((ValueError, TypeError), match="n_threads must be a whole number of at least 1"):
        fl.SquaredError()(0.0, np.zeros(n), n_threads=wrong, executor=executor)


@pytest.mark.parametrize("n", [10, N])
def test_executor_must_be_known(n):
    with pytest.raises(ValueError, match="executor must be one of 'auto', 'numba', 'threads', 'serial', found 'gpu'"):
        fl.SquaredError()(0.0, np.zeros(n), executor="gpu")


# ---- which driver ------------------------------------------------------------------------------------------------


def test_choice_of_the_driver(limits):
    choose = drivers.choose
    assert choose("auto", 1000, None) == ("serial", 1)
    assert choose("serial", N, None) == ("nogil", 1)
    assert choose("auto", N, 1) == ("nogil", 1)
    assert choose("threads", N, 3) == ("threads", 3)
    assert choose("threads", 1000, 3) == ("threads", 3)
    with limits.context() as patch:
        patch.setattr(drivers, "numba_objection", lambda: None)
        assert choose("auto", N, None) == ("parallel", 16)
        assert choose("numba", N, 2) == ("parallel", 2)
    with limits.context() as patch:
        patch.setattr(drivers, "numba_objection", lambda: "forked")
        assert choose("auto", N, None) == ("threads", 16)
        assert choose("numba", N, 2) == ("threads", 2)
    with limits.context() as patch:
        patch.setattr(sys, "is_finalizing", lambda: True)
        assert choose("auto", N, None)[0] == "nogil"
    found = []
    drivers._as_worker(lambda: found.append(choose("auto", N, None)))
    assert found == [("nogil", 1)]  # nested calls are serial


def test_objections_to_numbas_threads(monkeypatch):
    monkeypatch.setattr(drivers, "_numba_layer", lambda: "omp")
    assert drivers.numba_objection() is None
    with monkeypatch.context() as patch:
        patch.setattr(drivers.forks, "forked", True)
        assert "forked" in drivers.numba_objection()
    with monkeypatch.context() as patch:
        patch.setattr(drivers, "_numba_layer", lambda: "workqueue")
        stop = threading.Event()
        other = threading.Thread(target=stop.wait)
        other.start()
        assert "workqueue" in drivers.numba_objection()
        stop.set()
        other.join()
    with monkeypatch.context() as patch:
        patch.setattr(multiprocessing, "parent_process", lambda: object())
        patch.setattr(multiprocessing, "get_start_method", lambda allow_none: "fork")
        assert "multiprocessing" in drivers.numba_objection()


def test_an_error_waits_for_all_helpers():
    """They write into the caller's arrays."""
    running, done = threading.Barrier(2), []

    def work(driver, first, last, step):
        if first == 0:
            running.wait(10)
            raise KeyboardInterrupt
        running.wait(10)
        time.sleep(0.2)
        done.append(first)

    with pytest.raises(KeyboardInterrupt):
        drivers._run_on_own_threads(work, 2, 2)
    assert done == [1]


def test_an_error_in_a_helper_is_raised():
    def work(driver, first, last, step):
        if first:
            raise RuntimeError("in a helper")

    with pytest.raises(RuntimeError, match="in a helper"):
        drivers._run_on_own_threads(work, 2, 2)


def test_numba_is_left_as_it_was():
    settings = {name: getattr(numba.config, name) for name in ("THREADING_LAYER", "NUMBA_NUM_THREADS", "OPT", "CACHE_DIR")}
    threads = numba.get_num_threads()
    for executor in drivers.EXECUTORS:
        fl.SquaredError()(0.0, np.zeros(N), n_threads=1 if executor == "numba" else 2, executor=executor)
        fl.SquaredError()(0.0, np.zeros(N), n_threads=2, executor=executor)
        assert numba.get_num_threads() == threads
    assert {name: getattr(numba.config, name) for name in settings} == settings


# ---- processes ---------------------------------------------------------------------------------------------------

START = f"""
import multiprocessing, os, signal, sys, threading, time
import numpy as np
import fusedloss as fl

N = {N}
y, f = np.ones(N), np.linspace(-3, 3, N)  # arrays that kernels read in place: only those go to Numba's threads
loss = fl.BinaryCrossEntropy()

def right(expected=[]):
    out = np.full(N, 7.0)
    value, grad = loss.value_and_grad(y, f, out=out)
    found = value.hex(), grad.sum().hex(), float(abs(grad).max()).hex()
    expected.append(found) if not expected else None
    assert abs(value - np.logaddexp(0.0, -f).mean()) < 1e-12, value
    assert grad.max() < 0
    return found == expected[0]

def in_child(work):
    '''Run work() in a forked child; it must return within 20 seconds.'''
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(20)
            os._exit(0 if work() else 1)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(2)
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child ended with status {{status}}"
"""

LAYERS = pytest.mark.parametrize("layer", ["omp", "workqueue"])
SCRIPTS = {
    "fork after use": "right(); in_child(right); assert right()",
    "fork of a fork": "right(); in_child(lambda: right() and in_child(right) is None and right())",
    "fork before use": "in_child(right); right(); in_child(right)",
    "fork with live helpers": """
loss.value_and_grad(y, f, executor="threads")
right()
in_child(right)
in_child(lambda: loss(y, f, executor="threads") > 0 and loss(y, f, executor="numba") > 0)
""",
    "handlers for SIGTERM and SIGABRT": """
caught = []
for name in (signal.SIGTERM, signal.SIGABRT):
    signal.signal(name, lambda *_: caught.append(1))
right()
for _ in range(3):
    in_child(lambda: right() and not caught)
""",
    "multiprocessing": """
right()
def task(k):
    assert right()
    return loss(y[: N // (1 + k % 2)], f[: N // (1 + k % 2)]).hex()
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map_async(task, range(6)).get(60)
    assert found == [task(k) for k in range(6)]
""",
    "six threads": """
right()
wrong = []
def work():
    for _ in range(20):
        if not right():
            wrong.append(1)
threads = [threading.Thread(target=work) for _ in range(6)]
[t.start() for t in threads]
[t.join() for t in threads]
assert not wrong
""",
    "six threads, cold, with handlers": """
signal.signal(signal.SIGABRT, lambda *_: None)
found = []
def work():
    for _ in range(5):
        found.append(loss(y, f).hex())
threads = [threading.Thread(target=work) for _ in range(6)]
[t.start() for t in threads]
[t.join() for t in threads]
assert len(found) == 30 and len(set(found)) == 1, set(found)
""",
    "fork while threads compute": """
right()
stop = threading.Event()
def work():
    while not stop.is_set():
        loss(y, f)
threads = [threading.Thread(target=work) for _ in range(3)]
[t.start() for t in threads]
for _ in range(8):
    in_child(right)
stop.set()
[t.join() for t in threads]
""",
    "inside a pool of threads": """
from concurrent.futures import ThreadPoolExecutor
expected = loss(y, f).hex()
with ThreadPoolExecutor(4) as pool:
    assert set(pool.map(lambda _: loss(y, f).hex(), range(40))) == {expected}
""",
}


@process
@LAYERS
@pytest.mark.parametrize("name", SCRIPTS)
def test_right_answers_in_every_process_and_thread(run_python, name, layer):
    run_python(START + SCRIPTS[name], NUMBA_THREADING_LAYER=layer)


@process
@pytest.mark.parametrize("slow", ["compiling", "saving", "loading"])
def test_fork_while_another_thread_makes_a_kernel(run_python, slow):
    """Every lock that is held while a kernel is made must be free in the child (T8)."""
    run_python(START + f"""
from fusedloss import cache, compile as specialise
slow = {slow!r}
entered = threading.Event()
def slowly(function):
    def wrapper(*args, **kwargs):
        entered.set()
        time.sleep(1.5)
        return function(*args, **kwargs)
    return wrapper
right()
if slow == "saving":
    cache.save = slowly(cache.save)
elif slow == "loading":
    cache.load = slowly(cache.load)
class Mine(fl.Elementwise):
    def value(self, y, f):
        return f * f
class Other(fl.Elementwise):
    def value(self, y, f):
        return f * f * f * f
thread = threading.Thread(target=lambda: [fl.Probit()(y, f) if slow == "compiling" else Mine()(y, f)])
thread.start()
entered.wait(0.3 if slow == "compiling" else 20)
cache.save, cache.load = [getattr(x, "__wrapped__", x) for x in (cache.save, cache.load)]
in_child(lambda: Other()(y, f) > 0 and right())
thread.join()
""", timeout=90)


@process
def test_spawned_workers_give_the_same_bits(run_python):
    run_python(START + """
if __name__ == "__main__":
    expected = loss(y, f).hex()
    for method in ("spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.apply_async(eval, (f"__import__('fusedloss').BinaryCrossEntropy()(__import__('numpy').ones({N}), "
                                           f"__import__('numpy').linspace(-3, 3, {N})).hex()",)).get(60) == expected
""")


@process
@pytest.mark.parametrize("executor", ["auto", "threads", "serial"])
@pytest.mark.parametrize("array", ["np.zeros(500_000_000, np.float32)", "np.broadcast_to(np.float32(0), (1_000_000_000,))"],
                         ids=["in place", "staged"])
def test_ctrl_c_is_served_in_the_middle_of_a_large_call(run_python, array, executor):
    """At most 4M samples go by between two looks at the signals, on any driver; helpers stop as well."""
    printed = run_python(f"""
import os, signal, threading, time
import numpy as np
import fusedloss as fl

f = {array}  # memory that is only read is not there
loss = fl.Probit()
loss(f[:1_000_000], f[:1_000_000], executor={executor!r})
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try:
    loss(f, f, executor={executor!r})
    print("done", time.monotonic() - start)
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - start)
""")
    word, seconds = printed.split()
    assert word == "interrupted"
    assert float(seconds) < 3  # 0.3, and one native call on a busy machine


@process
def test_calls_at_shutdown(run_python):
    """atexit handlers and __del__ may compute: no new threads are started then."""
    printed = run_python(START + """
import atexit
class Late:
    def __del__(self, loss=loss, y=y, f=f, print=print):  # globals are gone by then
        print("del", loss(y, f) > 1 and loss(y, f, executor="threads") > 1)
late = Late()
right()
loss(y, f, executor="serial")  # the kernel that is wanted then; nothing can be compiled any more
atexit.register(lambda: print("atexit", right()))
""")
    assert printed.split() == ["atexit", "True", "del", "True"]


@process
def test_another_layer_may_be_chosen_after_our_serial_calls(run_python):
    """`numba.config` is the user's: nothing is launched before the first parallel call."""
    run_python("""
import numba, numpy as np, fusedloss as fl
before = numba.config.THREADING_LAYER
fl.Huber()(0.0, np.ones(100))
assert numba.config.THREADING_LAYER == before
numba.config.THREADING_LAYER = "workqueue"
fl.Huber()(0.0, np.ones(1 << 18))
@numba.njit(parallel=True)
def user(x):
    total = 0.0
    for i in numba.prange(x.size):
        total += x[i]
    return total
assert user(np.ones(100)) == 100
assert numba.threading_layer() == "workqueue"
""")


@process
def test_env_set_in_mid_process(run_python):
    """NUMBA_NUM_THREADS set after the launch makes Numba's own compiler raise (T15); ours only reads it."""
    run_python(START + """
right()
os.environ["FUSEDLOSS_NUM_THREADS"] = "1"
assert right()
os.environ["OMP_NUM_THREADS"] = "2"
assert right()
""")


@pytest.mark.hosts
@process
def test_beside_the_openmp_of_torch(run_python):
    """torch uses OpenMP in the parent, the child of a fork calls us: no hang (T10)."""
    pytest.importorskip("torch")
    for first in ("right()", "pass"):
        run_python(START + f"""
import torch
torch.ones(1 << 20).exp().sum()
{first}
in_child(right)
""")
