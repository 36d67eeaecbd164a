"""What all tests share: a kernel cache of the test run's own, quiet thread pools, and processes to try things in.

The environment is set here, before anything imports Numba, and inherited by the workers of pytest-xdist.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap

import pytest

IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ

os.environ["OMP_WAIT_POLICY"] = "passive"  # a spinning neighbour costs every other test its core
KEPT_CACHE = os.environ.get("FUSEDLOSS_TEST_CACHE")  # a directory to keep, for who runs the tests again and again
if not IS_WORKER:
    os.environ["FUSEDLOSS_CACHE_DIR"] = KEPT_CACHE or tempfile.mkdtemp(prefix="fusedloss-tests-")  # mode 0700
if "PYTHONPATH" in os.environ:  # scripts run in directories of their own
    os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, os.environ["PYTHONPATH"].split(os.pathsep)))
for name in ("FUSEDLOSS_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.pop(name, None)


def pytest_unconfigure(config):
    if not IS_WORKER and not KEPT_CACHE:
        shutil.rmtree(os.environ["FUSEDLOSS_CACHE_DIR"], ignore_errors=True)


@pytest.fixture
def run_python(tmp_path):
    """Run a script in a process of its own, with a kernel cache of its own; what it printed.

    It must end by itself in `timeout` seconds with exit code 0. `env` adds variables, and removes those that are None.
    """

    def run(code, *arguments, timeout=120, check=True, **env):
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(code))
        return run_file(script, *arguments, timeout=timeout, check=check, **env)

    def run_file(script, *arguments, timeout=120, check=True, **env):
        full = os.environ | {"FUSEDLOSS_CACHE_DIR": str(tmp_path / "cache")} | env
        full = {name: str(value) for name, value in full.items() if value is not None}
        done = subprocess.run([sys.executable, str(script), *map(str, arguments)], env=full, cwd=tmp_path, text=True,
                              capture_output=True, timeout=timeout, check=False)
        if not check:
            return done
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run.file = run_file
    return run
