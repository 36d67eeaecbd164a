"""Compiled kernels of row losses: they equal the formulas, in tiles and along the row, take every kind of array, and are SIMD."""

import math
import re
import tracemalloc
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

import fusedloss as fl
from examples import ROW_EXAMPLES
from fusedloss import compile as specialise
from fusedloss import evaluate_rows
from fusedloss.kernels.rows import block_of
from fusedloss.rowmath import (
    cumulative, index, largest, paired_total, ranks, reverse_cumulative, size, smallest, softmax, sort, total, where,
)
from rows import interpreted
from test_kernels import check_machine_code, same_bits

try:
    import torch
except ModuleNotFoundError:
    torch = None

NAN, INF = math.nan, math.inf
DTYPES = pytest.mark.parametrize("F", [np.float64, np.float32], ids=["f64", "f32"])
BAR = {np.float64: 1e-13, np.float32: 4e-6}
FORMULAS = ("value", "gradient", "hessian")


# ---- compiled equals interpreted, for every loss -----------------------------------------------------------------


def program_of(loss, y, f, w=None, mask=None):
    """What a call of value_grad_hess compiles."""
    return evaluate_rows._Call(loss, "value_grad_hess", y, f, w, mask, "exact", True, None).program


def predictions(example, f):
    """Rows as the loss takes them: one number each where a prediction is one."""
    return f[:, 0] if example.loss.single_score else f


def kernels_of_losses():
    """Examples that share a kernel. A class with one kernel runs it in both dtypes, one with several in turns."""
    groups = defaultdict(list)
    for example in ROW_EXAMPLES:
        y, f = example.draw(np.random.default_rng(0), 4)
        program = program_of(replace(example.loss), y, predictions(example, f))
        groups[type(example.loss).__name__, program.source, str(program.constants)].append(example)
    by_class = defaultdict(list)
    for (name, *_), examples in groups.items():
        by_class[name].append(examples)
    for name, several in by_class.items():
        for k, examples in enumerate(several if len(several) > 1 else several * 2):
            F = (np.float64, np.float32)[k % 2]
            yield pytest.param(examples, F, id=f"{name}-{k // 2 + 1}-{'f64' if k % 2 == 0 else 'f32'}")


def check_rows(example, results, y, f, F, w):
    """Each row of value, gradient and Hessian within BAR of the formula's answer, or of the textbook's largest term."""
    loss = example.loss
    f = f[:, None] if f.ndim == 1 else f
    known = loss.unknown_targets or np.asarray(y).ndim == 1
    tiny = 8 * float(np.finfo(F).tiny)
    for i in range(len(f)):
        if w[i] == 0:
            assert not any(np.any(result[i]) for result in results), i  # not even NaN
            continue
        unknown = np.isnan(f[i]).any() or not known and np.isnan(y[i]).any() or known and np.ndim(y[i]) == 0 and y[i] != y[i]
        for name, result in zip(FORMULAS, results, strict=True):
            got = np.atleast_1d(result[i].astype(float))
            if unknown:
                assert np.isnan(got).all(), (name, i, got)
                continue
            expected = w[i] * np.atleast_1d(interpreted(loss, name, y[i], f[i], F))
            scale = 0.0 if example.scale is None else w[i] * np.max(example.scale(y[i], f[i]))
            with np.errstate(all="ignore"):
                close = abs(got - expected) <= BAR[F] * np.maximum(abs(expected), scale) + tiny
            assert (close | (got == expected)).all(), (name, loss, i, y[i], f[i], got, expected)


@pytest.mark.parametrize(("examples", "F"), list(kernels_of_losses()))
def test_compiled_equals_interpreted(examples, F):
    """Row by row, more than two strips and not whole ones; rows of NaN, and in float32 weights and a mask."""
    several = examples if len(examples) < 5 else [*examples[:2], *examples[-2:]]
    for example in several:
        loss, rng, n = replace(example.loss), np.random.default_rng(10), 150 if example is examples[0] else 70
        y, f = example.draw(rng, n, F)
        w, mask = np.ones(n), np.zeros(n, bool)
        if np.float32 == F:
            w, mask = rng.choice([0.0, 0.5, 1.0, 4.0], n), rng.random(n) < 0.2
        f[[3, 64, n - 1], [0, -1, example.columns // 2]] = NAN
        if y.dtype.kind == "f" and not loss.unknown_targets:
            y[7 if y.ndim == 1 else (7, -1)] = NAN
        given = dict(sample_weight=w, mask=mask) if np.float32 == F else {}
        typed = y.astype(F) if y.dtype.kind == "f" else y
        results = loss.value_grad_hess(typed, predictions(example, f).astype(F), reduction="none", **given)
        assert [a.dtype for a in results] == [F] * 3
        check_rows(example, results, y, f, F, np.where(mask, 0.0, w))
