"""The cache of compiled kernels: correct or absent, whatever happens to its files. (Cases C1-C15 of the hazards.)"""

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fusedloss as fl
from fusedloss import cache

PACKAGE = Path(fl.__file__).parent

USE = """
import json
import numpy as np
import fusedloss as fl
value, grad = fl.Huber(delta=1.5).value_and_grad(np.zeros(3), np.array([1.0, 2.0, -4.0]))
print(json.dumps([value, grad.tolist(), dict(fl.cache.stats)]))
"""
RIGHT = [(0.5 + 1.5 * 1.25 + 1.5 * 3.25) / 3, [1 / 3, 0.5, -0.5]]


def outcome(printed):
    """The numbers that USE printed, checked, and its cache statistics."""
    import json

    value, grad, stats = json.loads(printed)
    assert value == pytest.approx(RIGHT[0], rel=1e-15)
    assert grad == pytest.approx(RIGHT[1], rel=1e-15)
    return stats


# ---- the files themselves ----------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache directory and fresh statistics."""
    folder = tmp_path / "kernels"
    monkeypatch.setenv("FUSEDLOSS_CACHE_DIR", str(folder))
    cache.stats.clear()
    return folder


def test_what_is_saved_is_loaded(place):
    assert cache.load("key") is None
    cache.save("key", b"kernel")
    assert cache.load("key") == b"kernel"
    assert cache.load("other") is None
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert [path.name for path in place.iterdir()] == ["key.kernel"]  # no temporary file is left
    assert cache.clear() == 1
    assert cache.load("key") is None


def test_a_flipped_bit_or_a_missing_end_is_noticed(place):
    cache.save("key", b"kernel" * 10)
    whole = (place / "key.kernel").read_bytes()
    spoilt = [whole[:k] for k in (0, 5, 31, 32, 40, len(whole) - 1)] + [whole + b"x"]
    spoilt += [whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1:] for k in range(0, len(whole), 7)]
    for k, content in enumerate(spoilt):
        (place / "key.kernel").write_bytes(content)
        assert cache.load("key") is None
        assert cache.stats["corrupt"] == k + 1
        assert not (place / "key.kernel").exists()


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o722])
def test_a_directory_that_others_can_write_to_is_not_used(place, mode):
    cache.save("key", b"planted")
    place.chmod(mode)
    assert cache.load("key") is None
    cache.save("new", b"kernel")
    assert not (place / "new.kernel").exists()
    assert "writable by" in cache.refusal(place)
    place.chmod(0o700)
    assert cache.load("key") == b"planted"


def test_a_link_or_a_file_is_not_a_directory(place, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    place.symlink_to(elsewhere)
    cache.save("key", b"kernel")
    assert list(elsewhere.iterdir()) == []
    place.unlink()
    place.write_text("a file")
    cache.save("key", b"kernel")
    assert cache.load("key") is None
    assert place.read_text() == "a file"


def test_failures_are_counted_and_never_raised(place, monkeypatch):
    """Each call of the operating system fails in turn: full disk, no permission, no such file."""
    for name in ("mkdir", "mkstemp", "write", "replace"):
        with monkeypatch.context() as patch:
            def fail(*_, **__):
                raise OSError(28, "No space left on device")

            target = {"mkdir": (Path, "mkdir"), "mkstemp": (cache.tempfile, "mkstemp"), "write": (os, "fdopen"),
                      "replace": (os, "replace")}[name]
            patch.setattr(*target, fail)
            before = cache.stats["errors"]
            cache.save("key", b"kernel")
            assert cache.stats["errors"] > before, name
        assert cache.load("key") is None, name
        assert not place.exists() or list(place.iterdir()) == [], name


def test_no_directory_at_all(monkeypatch):
    monkeypatch.setenv("FUSEDLOSS_CACHE_DIR", "")
    assert cache.directory() is None
    cache.save("key", b"kernel")
    assert cache.load("key") is None
    assert cache.clear() == 0


def test_default_directory_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("FUSEDLOSS_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform.startswith("linux"):
        assert cache.directory() == tmp_path / "fusedloss"
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        assert cache.directory() == tmp_path / "home" / ".cache" / "fusedloss"


def test_the_sweep_drops_the_old_and_the_oldest(place):
    now = time.time()
    for k in range(6):
        cache.save(f"k{k}", bytes(1000))
        os.utime(place / f"k{k}.kernel", (now - k * 86400, now - k * 86400))
    (place / "notes.txt").write_text("not ours")
    cache.sweep(place, max_bytes=10**6, max_age_seconds=3.5 * 86400)
    assert sorted(path.stem for path in place.glob("*.kernel")) == ["k0", "k1", "k2", "k3"]
    cache.sweep(place, max_bytes=2100, max_age_seconds=90 * 86400)
    assert sorted(path.stem for path in place.glob("*.kernel")) == ["k0", "k1"]
    assert (place / "notes.txt").exists()


# ---- in processes ------------------------------------------------------------------------------------------------

process = pytest.mark.process


@process
def test_a_second_process_compiles_nothing(run_python):
    first, second = outcome(run_python(USE)), outcome(run_python(USE))
    assert first["saved"] == first["misses"] == 1
    assert second == {"hits": 1}


@process
def test_switched_off(run_python, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    for _ in range(2):
        stats = outcome(run_python(USE, FUSEDLOSS_CACHE_DIR="", HOME=home, XDG_CACHE_HOME=home))
        assert stats == {"misses": 1}
    assert not list(home.rglob("*.kernel"))


@process
def test_every_spoilt_file_is_compiled_again(run_python, tmp_path):
    run_python(USE)
    (kernel,) = (tmp_path / "cache").glob("*.kernel")
    whole = kernel.read_bytes()
    half = len(whole) // 2
    for content in (b"", whole[:20], whole[:half], whole[:half] + bytes([whole[half] ^ 64]) + whole[half + 1:]):
        kernel.write_bytes(content)
        stats = outcome(run_python(USE))
        assert stats["corrupt"] == 1
        assert stats["saved"] == 1
    assert outcome(run_python(USE)) == {"hits": 1}


@process
def test_a_kernel_under_another_ones_name_does_not_run(run_python, tmp_path):
    """A file that is whole and signed, but holds the code of another signature (what numba #4807 could do)."""
    single = USE.replace("np.zeros(3)", "np.zeros(3, np.int32)")
    folder = tmp_path / "cache"
    run_python(USE)
    (double,) = folder.glob("*.kernel")
    run_python(single)
    (other,) = set(folder.glob("*.kernel")) - {double}
    shutil.copy(double, other)
    assert outcome(run_python(single))["misses"] == 1


@process
@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_directory_is_read(run_python, tmp_path):
    """And where it holds nothing yet, the kernel is compiled and lost, without an error."""
    run_python(USE)
    folder = tmp_path / "cache"
    folder.chmod(0o500)
    assert outcome(run_python(USE)) == {"hits": 1}
    folder.chmod(0o700)
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o500)
    stats = outcome(run_python(USE, FUSEDLOSS_CACHE_DIR=empty))
    assert stats["misses"] == stats["errors"] == 1


@process
def test_a_full_disk_costs_a_compilation(run_python, tmp_path):
    """RLIMIT_FSIZE makes every write beyond 1000 bytes fail, as a full disk does."""
    limited = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
""" + USE
    stats = outcome(run_python(limited))
    assert stats["errors"] == 1
    assert stats["misses"] == 1
    assert list((tmp_path / "cache").glob("*")) == []


@process
def test_a_home_that_cannot_be_written(run_python):
    stats = outcome(run_python(USE, FUSEDLOSS_CACHE_DIR=None, XDG_CACHE_HOME="/proc/nowhere", HOME="/proc/nowhere"))
    assert stats["misses"] == 1
    assert stats["errors"] == 1


@process
@pytest.mark.parametrize("processes", [2, 4])
def test_cold_processes_at_once_agree(run_python, tmp_path, processes):
    script = tmp_path / "use.py"
    script.write_text(USE)
    env = os.environ | {"FUSEDLOSS_CACHE_DIR": str(tmp_path / "cold")}
    running = [subprocess.Popen([sys.executable, script], env=env, stdout=subprocess.PIPE, text=True)
               for _ in range(processes)]
    for each in running:
        printed = each.communicate(timeout=120)[0]
        assert each.returncode == 0
        outcome(printed)
    assert len(list((tmp_path / "cold").iterdir())) == 1
    assert outcome(run_python(USE, FUSEDLOSS_CACHE_DIR=tmp_path / "cold")) == {"hits": 1}


@process
def test_flags_of_the_compiler_are_part_of_the_key(run_python):
    run_python(USE)
    assert outcome(run_python(USE, NUMBA_BOUNDSCHECK=1))["misses"] == 1
    assert outcome(run_python(USE, NUMBA_OPT=1))["misses"] == 1
    assert outcome(run_python(USE, NUMBA_CPU_NAME="generic"))["misses"] == 1
    assert outcome(run_python(USE)) == {"hits": 1}


MINE = '''
import json
import numpy as np
import fusedloss as fl
from fusedloss.vecmath import log1p
{imports}
CONSTANT = {constant}

def helper(x):
    """{helper_docstring}"""
    return {helper} * x

class Mine(fl.Elementwise):
    """{docstring}"""
    c: float = {default}
    def value(self, y, f):
        """{formula_docstring}"""
        return {formula} + helper(f) * CONSTANT
    def gradient(self, y, f):
        return f

print(json.dumps([Mine(c=2.0)(0.0, np.array([1.0, 3.0]), reduction="sum"), dict(fl.cache.stats)]))
'''
PLAIN = dict(imports="", constant="1.0", helper="2", docstring="A loss.", default="1.0", formula="self.c * f",
             helper_docstring="", formula_docstring="of one sample")


@process
def test_a_loss_of_ones_own_script_is_cached_and_never_stale(run_python):
    """Defined in `__main__`: the second process hits; an edit of formula, helper or constant is seen at once, and
    putting it back hits again; an edit of words or of a default changes nothing."""
    import json

    def use(**edits):
        return json.loads(run_python(MINE.format(**PLAIN | edits)))

    first, stats = use()
    assert first == 16.0
    assert stats["misses"] == 1
    assert use() == [16.0, {"hits": 1}]
    for edit, expected in ((dict(formula="self.c * f * f"), 28.0), (dict(formula="self.c - f"), 8.0),
                           (dict(formula="self.c + f"), 16.0), (dict(constant="3.0"), 32.0), (dict(helper="4"), 24.0),
                           (dict(helper="4.0"), 24.0)):
        value, stats = use(**edit)
        assert value == expected, edit
        assert stats["misses"] == 1, edit
    for edit in ({}, dict(docstring="Other words."), dict(helper_docstring="words"), dict(formula_docstring="more words"),
                 dict(default="7.0"), dict(imports="import math")):
        assert use(**edit) == [16.0, {"hits": 1}], edit


@pytest.fixture
def package(tmp_path):
    """A copy of the package that may be edited."""
    copy = tmp_path / "site" / "fusedloss"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@process
@pytest.mark.parametrize("file", ["kernels/cpu.py", "vecmath/scalar.py", "vecmath/tables.py", "compile.py", "domain.py"])
def test_an_upgrade_that_changes_one_file_alone_is_seen(run_python, package, file):
    """C1 and C2: not even the file that changed is imported by the one that is compiled. Undone, it hits again."""
    source = package / file
    text = source.read_text()
    assert outcome(run_python(USE, PYTHONPATH=package.parent))["misses"] == 1
    source.write_text(text + "\n# edited\n")
    assert outcome(run_python(USE, PYTHONPATH=package.parent))["misses"] == 1
    source.write_text(text)
    assert outcome(run_python(USE, PYTHONPATH=package.parent)) == {"hits": 1}


@process
def test_an_edited_formula_of_ours_is_compiled_again(run_python, package):
    """And an edit elsewhere in its file is not a reason to."""
    source = package / "losses" / "regression.py"
    text = source.read_text()
    run_python(USE, PYTHONPATH=package.parent)
    source.write_text(text.replace("class Huber(Elementwise):", "EDITED = 1\n\n\nclass Huber(Elementwise):"))
    assert outcome(run_python(USE, PYTHONPATH=package.parent)) == {"hits": 1}
    formula = text.index("return ", text.index("def value", text.index("class Huber(Elementwise):"))) + len("return ")
    source.write_text(text[:formula] + "100 + " + text[formula:])
    printed = run_python(USE, PYTHONPATH=package.parent)
    assert float(printed[1:].split(",")[0]) == pytest.approx(100 + RIGHT[0], rel=1e-14)


def test_corrupt_payload_with_a_good_checksum_is_compiled_again(tmp_path, monkeypatch):
    """Unpickling fails: an older layout, another Python. The kernel is made again."""
    monkeypatch.setenv("FUSEDLOSS_CACHE_DIR", str(tmp_path))
    os.chmod(tmp_path, 0o700)
    from fusedloss import compile as specialise

    monkeypatch.setattr(specialise, "_kernels", {})
    monkeypatch.setattr(cache, "load", lambda key: b"not a pickle")
    cache.stats.clear()
    assert fl.Huber(delta=3.125)(0.0, np.array([1.0]), reduction="sum") == 0.5
    assert cache.stats["errors"] == 1
    assert cache.stats["misses"] == 1
