"""What all tests share: a kernel cache of the test run's own, quiet thread pools, and processes to try things in.

The environment is set here, before anything imports Numba, and inherited by the workers of pytest-xdist.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter

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


SAMPLED = {
    "test_accumulator.py::test_on_block_boundaries_it_is_the_loss_bit_for_bit": 4,
    "test_arrays.py::test_columns_of_a_table_are_rows": 3,
    "test_bits.py::test_drivers_and_threads": 2,
    "test_bits.py::test_which_outputs_are_asked_for": 2,
    "test_check.py::test_simd": 2,
    "test_check.py::test_the_catalogue_is_what_it_says": 2,
    "test_combine.py::test_compiled_equals_interpreted": 4,
    "test_curvature.py::test_compiled": 6,
    "test_kernels.py::test_compiled_equals_interpreted": 3,
    "test_kernels.py::test_domain_errors_name_argument_index_and_value": 2,
    "test_kernels.py::test_methods_agree_to_the_bit": 2,
    "test_kernels.py::test_out_may_be_the_predictions": 3,
    "test_kernels.py::test_sizes": 3,
    "test_linear.py::test_bits_do_not_depend_on_threads": 2,
    "test_linear.py::test_float32_is_computed_in_float32_and_summed_in_float64": 2,
    "test_linear.py::test_value_and_derivatives_are_those_of_numpy": 3,
    "test_metrics.py::test_metrics_are_those_of_scikit_learn": 3,
    "test_numba.py::test_equals_the_kernels_to_the_bit": 3,
    "test_row_bits.py::test_chunks_cut_on_block_boundaries": 3,
    "test_row_bits.py::test_drivers_and_threads": 3,
    "test_row_bits.py::test_float16_is_computed_in_float32_and_rounded_once": 2,
    "test_row_bits.py::test_layouts": 2,
    "test_row_bits.py::test_transposition": 9,
    "test_row_bits.py::test_which_outputs_are_asked_for": 2,
    "test_row_constants.py::test_no_constant_row_near_it_is_better": 8,
    "test_row_formulas.py::test_value_gradient_and_hessian": 2,
    "test_row_kernels.py::test_a_class_that_is_ruled_out": 2,
    "test_row_kernels.py::test_a_streamed_softmax_equals_the_one_in_two_passes": 2,
    "test_row_kernels.py::test_along_the_row_equals_interpreted": 5,
    "test_row_kernels.py::test_class_weights": 2,
    "test_row_kernels.py::test_compiled_equals_interpreted": 5,
    "test_row_kernels.py::test_hessian_times_a_row_and_its_blocks": 4,
    "test_row_kernels.py::test_many_columns_in_tiles_and_along_agree": 2,
    "test_row_kernels.py::test_more_columns_than_a_buffer_should_hold": 2,
    "test_row_kernels.py::test_natural_gradient_and_fisher_information": 2,
    "test_row_kernels.py::test_out_may_be_the_predictions": 4,
    "test_row_kernels.py::test_own_loss": 3,
    "test_row_kernels.py::test_rows_of_targets_of_every_dtype": 3,
}
"""Tests that do the same for each of many losses, dtypes or layouts: of every so many cases one is looked at in the plain
run, the others in the lane "exhaustive"."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    seen = Counter()
    for item in items:
        name = f"{item.path.name}::{getattr(item, 'originalname', item.name)}"
        if name in SAMPLED and not item.get_closest_marker("exhaustive"):
            if seen[name] % SAMPLED[name]:
                item.add_marker(pytest.mark.exhaustive)
            seen[name] += 1


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
