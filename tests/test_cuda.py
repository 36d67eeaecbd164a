"""CUDA without a GPU: every loss in Numba's simulator against the CPU, every kernel to PTX and to machine code, and a thread
of its PTX interpreted. Where there is a GPU, the bits of the CPU. What runs in the simulator is in `cuda_simulator.py`."""

import importlib.util
import operator
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ptx import first_thread
from rows import interpreted
from test_kernels import GROUPS, same_bits

import fusedloss as fl
from examples import EXAMPLES, ROW_EXAMPLES
from fusedloss import evaluate_rows

pytestmark = pytest.mark.cuda

HERE = Path(__file__).parent
N, ROWS = 19, 5
FORMULAS = ("value", "gradient", "hessian")
DTYPES = pytest.mark.parametrize("F", [np.float32, np.float64], ids=["f32", "f64"])


def has_numba_cuda():
    return importlib.util.find_spec("numba_cuda") is not None


def has_gpu():
    if not has_numba_cuda():
        return False
    from fusedloss.cuda_api import cuda

    return cuda.is_available()


needs_numba_cuda = pytest.mark.skipif(not has_numba_cuda(), reason="needs numba-cuda")


# ---- the simulator -----------------------------------------------------------------------------------------------


def simulate(*arguments, expected=None):
    """Run the simulator's tests in a process of their own."""
    env = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    env |= {"EXPECTED": str(expected)} if expected else {}
    done = subprocess.run([sys.executable, "-m", "pytest", HERE / "cuda_simulator.py", "-p", "no:cacheprovider", "-m", "",
                           *arguments], env=env, text=True, capture_output=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def test_calls_in_the_simulator():
    simulate("-k", "not every_elementwise and not every_row_loss")


def test_every_elementwise_loss_in_the_simulator(tmp_path):
    results = {}
    for k, example in enumerate(EXAMPLES):
        for F in (np.float64, np.float32):
            (y, f), _ = example.points(F, 100)
            y, f = y[:N].astype(F), f[:N].astype(F)
            found = example.loss.value_grad_hess(y, f, reduction="none") if F is np.float64 else in_double(example, y, f)
            parts = dict(zip(FORMULAS, found, strict=True), y=y, f=f, scale=example.scales(y.astype(float), f.astype(float)))
            results |= {f"{k}-{F.__name__}-{part}": array for part, array in parts.items()}
    np.savez(tmp_path / "elementwise.npz", **results)
    simulate("-k", "test_every_elementwise_loss", expected=tmp_path / "elementwise.npz")


def in_double(example, y, f):
    """The float64 kernel at float32's numbers, parameters included: what float32 is measured against, without compiling."""
    from examples import rounded

    return rounded(example.loss, np.float32).value_grad_hess(y.astype(float), f.astype(float), reduction="none")


def test_every_row_loss_in_the_simulator(tmp_path):
    """Against the CPU's kernel for the first example of every class; for the others, which would be kernels of their own,
    against the formulas in plain Python."""
    results, compiled = {}, set()
    for k, example in enumerate(ROW_EXAMPLES):
        y, f = example.draw(np.random.default_rng(1), ROWS, np.float32)  # exact in both dtypes
        scale = [example.scale(a, b) if example.scale else 0.0 for a, b in zip(y, f, strict=True)]
        if type(example.loss) in compiled:
            found = uncompiled(example.loss, y, f)
        f = f[:, 0] if example.loss.single_score else f
        if type(example.loss) not in compiled:
            found = example.loss.value_grad_hess(y, f, reduction="none")
            compiled.add(type(example.loss))
        parts = dict(zip(FORMULAS, found, strict=True), y=y, f=f, scale=np.array([float(np.max(x)) for x in scale]))
        results |= {f"{k}-{part}": array for part, array in parts.items()}
    np.savez(tmp_path / "rows.npz", **results)
    simulate("-k", "test_every_row_loss", expected=tmp_path / "rows.npz")


def uncompiled(loss, y, f):
    rows = [[np.broadcast_to(interpreted(loss, name, a, b, np.float64), b.shape if name != "value" else ())
             for a, b in zip(y, f, strict=True)] for name in FORMULAS]
    return [np.array(x)[:, 0] if loss.single_score and name != "value" else np.array(x)
            for name, x in zip(FORMULAS, rows, strict=True)]


# ---- PTX ---------------------------------------------------------------------------------------------------------

# what float32 may do in float64: hold, convert and add finished values
ARITHMETIC = re.compile(r"^\s+(?:@\S+ )?(?!mov|ld|st|cvt|selp|setp|add\.rn)[a-z]\w*(?:\.\w+)*\.f64\b.*", re.MULTILINE)
ADDITIONS = 40  # four samples, the last ones of the data (unrolled), the folding of a block
ROUNDED = re.compile(r"\b(?:add|sub|mul)\.f(?:32|64)\b")  # without .rn ptxas may contract them


def assembler():
    """ptxas of the nvidia-cuda-nvcc package, or of an installed toolkit."""
    places = [Path(path) for path in sys.path if (Path(path) / "nvidia").is_dir()]
    found = [binary for place in places for binary in sorted((place / "nvidia").glob("*/bin/ptxas"))]
    return str(found[0]) if found else shutil.which("ptxas")


@pytest.fixture
def both_capabilities(monkeypatch):
    """Kernel -> {"sm_80": PTX, "sm_90": PTX}: the code that Numba makes is given to NVVM twice."""
    from fusedloss.compile_cuda import nvvm_compiler

    nvvm = nvvm_compiler()
    compile_ir, older = nvvm.compile_ir, []

    def twice(modules, **options):
        assert options["arch"] == "compute_90"
        older.append(compile_ir(modules, **options | {"arch": "compute_80"}).decode().strip("\x00"))
        return compile_ir(modules, **options)

    monkeypatch.setattr(nvvm, "compile_ir", twice)

    def compiled(kernel):
        newer = kernel.ptx((9, 0))
        return {"sm_80": older.pop(), "sm_90": newer}

    return compiled


def check_ptx(code, F, tmp_path):
    for arch, ptx in code.items():
        assert f".target {arch}" in ptx
        assert not ROUNDED.search(ptx)
        assert ".approx" not in ptx
        assert ".ftz" not in ptx
        assert "call" not in ptx.replace("callseq", "")
        if F is np.float32:
            assert not ARITHMETIC.findall(ptx)
            assert len(re.findall(r"\badd\.rn\.f64\b", ptx)) <= ADDITIONS
        source = tmp_path / f"{arch}.ptx"
        source.write_text(ptx)
        done = subprocess.run([assembler(), "-v", f"-arch={arch}", source, "-o", tmp_path / "cubin"], text=True,
                              capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr) == \
            [("0", "0", "0")]


def plain_request(F, **changes):
    """Value, gradient and Hessian of aligned arrays of one dtype."""
    from fusedloss import compile_cuda

    dtype = np.dtype(F)
    return compile_cuda.Request(F=F, f=dtype, y=dtype, out=dtype, v_in=False, w=None, w_rows=False, mask=False,
                                mask_rows=False, wide=True, scaled=False, sums="value", v=None, g="gradient",
                                h="hessian")._replace(**changes)


@needs_numba_cuda
@DTYPES
@pytest.mark.parametrize("group", GROUPS)
def test_ptx_of_elementwise_losses(group, F, both_capabilities, tmp_path):
    from fusedloss import compile_cuda

    code = both_capabilities(compile_cuda.elementwise(GROUPS[group][0].loss, plain_request(F)))
    check_ptx(code, F, tmp_path)
    if F is np.float64 or group in list(GROUPS)[::6]:  # the CPU's kernels take as long to compile
        check_bits(GROUPS[group][0], F, code["sm_90"])


def check_bits(example, F, ptx):
    """What a thread computes of four samples, ordinary ones and those at the ends of the domain, has the bits of the CPU."""
    from fusedloss.compile import split_parameters

    (y, f), (far_y, far_f) = example.points(F, 100)
    n = 4 * min(4, len(far_y) // 4 + 2)
    y, f = np.append(y[:8], far_y[8 - n:]), np.append(f[:8], far_f[8 - n:])
    values, *expected = example.loss.value_grad_hess(y.astype(F), f.astype(F), reduction="none")
    theta = [F(x) for x in split_parameters(example.loss)[0]] or [F(0.0)]
    for k in range(0, n, 4):
        four = slice(k, k + 4)
        y_, f_, g, h = memory = [on_16_bytes(x, F) for x in (y[four], f[four], np.zeros(4), np.zeros(4))]
        at_y, at_f, at_g, at_h = (a.ctypes.data for a in memory)
        total = first_thread(ptx, [*theta, at_y, F(0.0), at_f, 0, 0, 0, 1, F(1.0), 0, 0, 0, at_g, at_h, 4])
        assert same_bits(g, expected[0][four]), (y_, f_, g)
        assert same_bits(h, expected[1][four]), (y_, f_, h)
        assert same_bits(total, float(np.add.accumulate([0.0, *values[four]])[-1])), (y_, f_, total)


def on_16_bytes(x, F):
    x = np.asarray(x, F)
    memory = np.zeros(x.nbytes + 16, np.uint8)
    start = -memory.ctypes.data % 16
    memory[start:start + x.nbytes] = np.frombuffer(x.tobytes(), np.uint8)
    return memory[start:start + x.nbytes].view(F)


@needs_numba_cuda
@DTYPES
def test_ptx_of_weights_masks_other_dtypes_and_combinations(F, both_capabilities, tmp_path):
    from fusedloss import compile_cuda

    half = np.dtype(np.float16 if F is np.float32 else F)
    for wide, rows, w, y in ((True, False, half, np.dtype(np.int64)), (False, True, np.dtype(np.float64), None)):
        request = plain_request(F, f=half, y=y, out=half, w=w, w_rows=rows, mask=True, mask_rows=rows, wide=wide,
                                scaled=True, sums=None, v="value", h=None)
        check_ptx(both_capabilities(compile_cuda.elementwise(fl.Huber(), request)), F, tmp_path)
        check_ptx(both_capabilities(compile_cuda.weights(request)), F, tmp_path)
    for loss in (0.7 * fl.Huber() + 0.3 * fl.Pinball(0.9), fl.BinaryCrossEntropy().clipped(1.0)):
        check_ptx(both_capabilities(compile_cuda.elementwise(loss, plain_request(F))), F, tmp_path)
    request = plain_request(F, v_in=True, sums=None, g=None)
    check_ptx(both_capabilities(compile_cuda.elementwise(fl.BinaryCrossEntropy(), request)), F, tmp_path)
    # one thread divides: these may compute in float64
    for kernel in (compile_cuda.mean(True), compile_cuda.mean(False), compile_cuda.denominator(F)):
        check_ptx(both_capabilities(kernel), np.float64, tmp_path)


def kernels_of_row_losses():
    """One example of every text; the request's lanes are part of it."""
    groups = defaultdict(list)
    for example in ROW_EXAMPLES:
        flags = [value for value in vars(example.loss).values() if isinstance(value, (bool, str))]
        groups[f"{type(example.loss).__name__}-{'-'.join(map(str, flags))}-{example.columns if example.loss.columns else ''}"
               ].append(example)
    return {name: examples[0] for name, examples in groups.items()}


ROW_GROUPS = kernels_of_row_losses()


@needs_numba_cuda
@DTYPES
@pytest.mark.parametrize("group", ROW_GROUPS)
def test_ptx_of_row_losses(group, F, both_capabilities, tmp_path):
    """One thread per row in float64, 16 in float32."""
    from fusedloss import compile_cuda

    example = ROW_GROUPS[group]
    y, _ = example.draw(np.random.default_rng(0), 2)
    dtype = np.dtype(F)
    request = compile_cuda.RowRequest(
        F=F, f=dtype, y=y.dtype if y.dtype.kind == "i" else dtype, y_row=y.ndim == 2, out=dtype, w=None, mask=False,
        ignoring=False, class_factor=False, scaled=False, lanes=16 if F is np.float32 else 1,
        wanted=(("sum", "value"), ("g", "gradient"), ("h", "hessian")))
    program = compile_cuda.RowProgram(replace(example.loss), request)
    code = both_capabilities(program.kernel)
    check_ptx(code, F, tmp_path)
    if F is np.float64:
        check_rows(example, program, request, code["sm_90"])


def check_rows(example, program, request, ptx):
    """What a thread computes of a row is what the formulas give."""
    loss = example.loss
    y, f = example.draw(np.random.default_rng(0), 2)
    if loss.single_score:
        f = f[:, :1]
    length = evaluate_rows._parameter_length(loss) if loss.single_score else f.shape[1]
    theta = [operator.attrgetter(name)(loss) for name in program.parameters] or [0.0]
    tables = [np.ascontiguousarray(operator.attrgetter(name)(loss), float) for name in program.tables]
    scratch = np.zeros(max(1, program.kept * length * 256))
    for k in range(2):
        y_, f_ = np.array(y[k], request.y), np.array(f[k], float)
        g, h = np.zeros_like(f_), np.zeros_like(f_)
        at_y, at_f, at_scratch, at_g, at_h = (a.ctypes.data for a in (y_, f_, scratch, g, h))
        total = first_thread(ptx, [*map(float, theta), *([a.ctypes.data for a in tables] or [0]), at_y, at_f, 0, 0, 0, 0,
                                   1.0, 0, 0, at_scratch, 0, at_g, at_h, 1, length, loss.n_classes(f.shape[1]), 0])
        for name, found in zip(FORMULAS, (total, g, h), strict=True):
            expected = interpreted(loss, name, y[k], f[k], np.float64)
            bar = 1e-12 * max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(found, np.broadcast_to(expected, np.shape(found)), rtol=1e-11, atol=bar)


# ---- what is launched --------------------------------------------------------------------------------------------


class HostArrays:
    """A library whose arrays stand for those of a device."""

    name, copied = "NumPy", "{}"
    holds = staticmethod(lambda x: True)
    seen = staticmethod(lambda name, x: (x.shape, x.dtype, 3, x.flags.c_contiguous))
    address = staticmethod(lambda x: x.ctypes.data)
    stream = staticmethod(lambda x, device: 77)
    empty = staticmethod(lambda shape, dtype, like: np.empty(shape, dtype))
    from_host = staticmethod(lambda array, like: array)
    current = staticmethod(lambda device: nullcontext())


class Driver:
    """`cuda.core` without a device: it assembles, and writes down what is launched."""

    def __init__(self):
        from cuda.core import Program, ProgramOptions

        self.Program, self.ProgramOptions, self.launches, self.current = Program, ProgramOptions, [], []

    def Device(self, number):
        driver = self

        class Device:
            compute_capability = (9, 0)

            def set_current(self):
                driver.current.append(number)

        return Device()

    class ObjectCode:
        def __init__(self, code):
            self.code = code

        from_cubin = classmethod(lambda cls, code: cls(code))

        def get_kernel(self, entry):
            assert self.code[:4] == b"\x7fELF"
            assert entry.encode() in self.code
            return entry

    class Stream:
        from_handle = staticmethod(lambda handle: ("stream", handle))

    @staticmethod
    def LaunchConfig(grid, block):
        return grid, block

    def launch(self, stream, configuration, kernel, *arguments):
        self.launches.append((stream, configuration, kernel, arguments))


@pytest.fixture
def driver(monkeypatch):
    """A driver that launches nothing, and {entry: PTX} of what was assembled for it."""
    from fusedloss import compile_cuda
    from fusedloss.arrays import cuda as arrays

    caches = [compile_cuda._core, compile_cuda._stream, compile_cuda._configuration, compile_cuda._elementwise,
              compile_cuda._row_kernel, compile_cuda.weights, compile_cuda.mean, compile_cuda.denominator, arrays._library]
    for cache in caches:
        cache.cache_clear()
    recorded, made, ptx = Driver(), {}, compile_cuda.Kernel.ptx

    def kept(kernel, capability):
        text = ptx(kernel, capability)
        made[re.search(r"\.entry\s+([\w$]+)", text)[1]] = text
        return text

    monkeypatch.setenv("FUSEDLOSS_CACHE_DIR", "")
    monkeypatch.setattr(compile_cuda, "_core", lambda: recorded)
    monkeypatch.setattr(compile_cuda.Kernel, "ptx", kept)
    monkeypatch.setitem(arrays._LIBRARIES, ("numpy", "ndarray"), HostArrays)
    yield recorded, made
    monkeypatch.undo()
    for cache in caches[1:]:
        cache.cache_clear()


def parameters_of(ptx):
    head = ptx[ptx.index(".entry"):]
    return re.findall(r"\.param \.(\w+)", head[:head.index(")")])


def check_launches(driver, made, expected):
    """Names of the kernels in their order, and arguments of the types that each takes."""
    for stream, (grid, block), kernel, arguments in driver.launches:
        assert stream == ("stream", 77)
        assert grid >= 1
        assert block == 256
        kinds = ["f32" if type(a) is np.float32 else "f64" if isinstance(a, float) else "u64" if type(a) is int else "?"
                 for a in arguments]
        assert kinds == parameters_of(made[kernel])
    assert [re.search(r"fusedloss_(\w+?)B", launch[2])[1] for launch in driver.launches] == expected
    assert set(driver.current) == {3}
    driver.launches.clear()


@needs_numba_cuda
def test_what_is_launched_for_single_numbers(driver):
    from fusedloss.evaluate_cuda import run

    driver, made = driver
    loss = replace(fl.Huber())
    y, f = np.zeros(10**6, np.float32), np.ones(10**6, np.float32)
    value, gradient = run(loss, "value_and_grad", y, f, None, None, "mean", None, None)
    assert value.shape == ()
    assert value.dtype == np.float64
    assert gradient.dtype == np.float32
    assert driver.launches[0][1] == (977, 256)
    assert driver.launches[1][1] == (1, 256)
    assert driver.launches[0][3][3] == f.ctypes.data
    assert gradient.ctypes.data in driver.launches[0][3]
    assert driver.launches[0][3][8] == np.float32(1e-6)  # what the gradient is multiplied with
    check_launches(driver, made, ["Huber", "mean"])
    run(loss, "value_grad_hess", y, f, np.ones(10**6), np.zeros(10**6, bool), "mean", "exact", None)
    check_launches(driver, made, ["weights", "denominator", "Huber", "mean"])
    run(loss, "grad_and_hess", y, f.astype(float), None, None, "none", "exact", None)
    check_launches(driver, made, ["Huber"])
    run(loss, "value", y[:0], f[:0], None, None, "sum", None, None)
    check_launches(driver, made, ["mean"])


@needs_numba_cuda
def test_what_is_launched_for_rows(driver):
    from fusedloss.evaluate_cuda import run

    driver, made = driver
    y, f = np.zeros(1000, np.int64), np.ones((1000, 100), np.float32)
    loss = fl.CategoricalCrossEntropy(class_weight=np.ones(100))
    value, gradient = run(loss, "value_and_grad", y, f, None, None, "mean", None, None)
    assert value.shape == ()
    assert gradient.shape == f.shape
    assert [launch[1] for launch in driver.launches] == [(63, 256), (1, 256), (63, 256), (1, 256)]  # 16 rows a block
    check_launches(driver, made, ["CategoricalCrossEntropy", "denominator", "CategoricalCrossEntropy", "mean"])
    run(fl.EnsembleCRPS(), "grad", np.zeros(1000), f.astype(float), None, None, "sum", None, None)
    check_launches(driver, made, ["EnsembleCRPS"])


@needs_numba_cuda
def test_tensors(driver, monkeypatch):
    """Of torch on the host, taken for such on a device."""
    torch = pytest.importorskip("torch")
    from fusedloss.arrays.cuda import _Torch
    from fusedloss.evaluate_cuda import run

    driver, _ = driver
    monkeypatch.setattr(_Torch, "holds", staticmethod(lambda x: True))
    monkeypatch.setattr(_Torch, "stream", staticmethod(lambda x, device: 77))
    monkeypatch.setattr(_Torch, "current", staticmethod(lambda device: nullcontext()))
    y, f, mask = torch.zeros(8, dtype=torch.int64), torch.ones(8), torch.zeros(8, dtype=torch.bool)
    huber = fl.Huber()

    def call(f, loss=huber, y=y, **changes):
        call = {"sample_weight": None, "mask": mask, "reduction": "mean", "hessian": None, "out": None} | changes
        return run(loss, "value_and_grad", y, f, *call.values())

    value, gradient = call(f)
    assert (value.dtype, value.shape, gradient.dtype, gradient.shape) == (torch.float64, (), torch.float32, (8,))
    assert {x.data_ptr() for x in (y, f, mask, gradient)} <= set(driver.launches[2][3])
    assert value.data_ptr() == driver.launches[3][3][-1]
    _, gradient = call(f.half(), reduction="none")
    assert gradient.dtype == torch.float16
    loss = fl.CategoricalCrossEntropy(class_weight=[1.0, 2.0])
    assert call(torch.ones(8, 2, dtype=torch.float64), loss)[1].dtype == torch.float64
    assert {tuple(x.tolist()) for x in loss.__dict__["_cuda_tables"].values()} == {(1.0, 2.0)}
    with pytest.raises(TypeError, match=r"y_pred has dtype torch.bfloat16: pass y_pred.float\(\)"):
        call(f.bfloat16())
    with pytest.raises(ValueError, match=r"y_pred requires grad, .*: pass y_pred.detach\(\)"):
        call(f.clone().requires_grad_())
    with torch.no_grad():
        call(f.clone().requires_grad_())
    with pytest.raises(ValueError, match=r"y_pred is not C-contiguous: pass y_pred.contiguous\(\)"):
        call(torch.ones(2, 8).t(), loss)
    with pytest.raises(TypeError, match=r"y_pred has layout torch.sparse_coo; it must be dense: pass y_pred.to_dense\(\)"):
        call(f.to_sparse())
    with pytest.raises(TypeError, match=r"y_true is an array of NumPy and y_pred of PyTorch: pass torch.as_tensor\(y_true"):
        call(f, y=np.zeros(8))


@needs_numba_cuda
def test_four_numbers_at_once_need_aligned_arrays(driver):
    from fusedloss.evaluate_cuda import run

    driver, made = driver
    memory = np.zeros(400, np.uint8)
    start = -memory.ctypes.data % 16
    y = memory[start:start + 160].view(np.float32)
    for offset in (160, 164, 176):
        f = memory[start + offset:start + offset + 160].view(np.float32)
        run(fl.SquaredError(), "value", y, f, None, None, "sum", None, None)
        assert ("ld.global.v4.f32" in made[driver.launches[-2][2]]) == (offset % 16 == 0)


@needs_numba_cuda
def test_machine_code_is_kept_on_disk(tmp_path, monkeypatch):
    from fusedloss import cache, compile_cuda

    monkeypatch.setenv("FUSEDLOSS_CACHE_DIR", str(tmp_path / "kernels"))

    def kernel(F):
        request = plain_request(F, g=None, h=None)
        return compile_cuda._elementwise.__wrapped__(fl.SquaredError, (), (fl.SquaredError.y_domain,) * 2, request)

    entry, code = kernel(np.float32).cubin((9, 0))
    assert entry.encode() in code
    assert len(list((tmp_path / "kernels").iterdir())) == 1
    monkeypatch.setattr(compile_cuda.Kernel, "ptx", None)  # not compiled again
    hits = cache.stats["hits"]
    assert kernel(np.float32).cubin((9, 0)) == (entry, code)
    assert cache.stats["hits"] == hits + 1
    with pytest.raises(TypeError):
        kernel(np.float32).cubin((8, 0))
    assert kernel(np.float64).digest != kernel(np.float32).digest


# ---- on a GPU, where there is one ----------------------------------------------------------------------------------


def library(name):
    """(array of NumPy -> one on the device, the way back)"""
    if name == "numba":
        from fusedloss.cuda_api import cuda

        return cuda.to_device, lambda a: a.copy_to_host()
    module = pytest.importorskip(name)
    if name == "torch":
        return lambda a: module.from_numpy(a).cuda(), lambda a: a.cpu().numpy()
    return module.asarray, lambda a: a.get()


on_a_gpu = pytest.mark.skipif("not has_gpu()", reason="needs a GPU")


@on_a_gpu
@pytest.mark.parametrize("name", ["torch", "cupy", "numba"])
@DTYPES
def test_on_a_gpu(name, F):
    """Per sample the bits of the CPU; the sums to the rounding of their order, and always the same."""
    from fusedloss.evaluate_cuda import run

    to, back = library(name)
    rng = np.random.default_rng(0)
    for loss in (fl.Huber(), fl.BinaryCrossEntropy(), fl.Gamma(), fl.Tweedie(power=1.3)):
        row = next(example for example in EXAMPLES if type(example.loss) is type(loss))
        y, f = (x.astype(F) for x in row.draw(rng, 100_003))
        w = rng.uniform(size=y.size).astype(F)
        expected = loss.value_grad_hess(y, f, w, "none")
        found = run(loss, "value_grad_hess", to(y), to(f), to(w), None, "none", "exact", None)
        assert all(same_bits(a, back(b)) for a, b in zip(expected, found, strict=True)), loss
        values = [back(run(loss, "value", to(y), to(f), to(w), None, "mean", None, None)) for _ in range(3)]
        np.testing.assert_allclose(values, loss(y, f, w), rtol=1e-6 if F is np.float32 else 1e-12)
        assert len({float(value) for value in values}) == 1
    for columns in (3, 40, 1000):
        y, f = rng.integers(0, columns, 999), rng.normal(size=(999, columns)).astype(F)
        value, gradient = run(fl.CategoricalCrossEntropy(), "value_and_grad", to(y), to(f), None, None, "mean", None, None)
        expected = fl.CategoricalCrossEntropy().value_and_grad(y, f)
        bar = 1e-5 if F is np.float32 else 1e-12
        np.testing.assert_allclose(back(value), expected[0], rtol=bar)
        np.testing.assert_allclose(back(gradient), expected[1], atol=bar / 999)


@on_a_gpu
def test_the_stream_of_the_caller_on_a_gpu():
    """Work queued before the call is done before, and the call does not wait for it."""
    import time

    from fusedloss.evaluate_cuda import run

    torch = pytest.importorskip("torch")
    stream = torch.cuda.Stream()
    few = torch.zeros(100, device="cuda")
    run(fl.SquaredError(), "value", few, few, None, None, "mean", None, None)  # compiles
    with torch.cuda.stream(stream):
        f = torch.zeros(10**6, device="cuda")
        torch.cuda._sleep(10**9)
        f += 2.0
        start = time.perf_counter()
        value = run(fl.SquaredError(), "value", torch.zeros_like(f), f, None, None, "mean", None, None)
        assert not stream.query(), time.perf_counter() - start
        assert value.item() == 4.0
