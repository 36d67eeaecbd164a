"""One thread of a PTX kernel, run by an interpreter: what a GPU would compute, to the bit, where there is none.

Knows the instructions that elementwise kernels of aligned arrays consist of; memory is this process's.
"""

import ctypes
import re
import struct

import numpy as np

LIBM = ctypes.CDLL(None)
FMA = {"f32": LIBM.fmaf, "f64": LIBM.fma}
FMA["f32"].restype, FMA["f32"].argtypes = ctypes.c_float, [ctypes.c_float] * 3
FMA["f64"].restype, FMA["f64"].argtypes = ctypes.c_double, [ctypes.c_double] * 3
REAL = {"f32": np.float32, "f64": np.float64}
CTYPE = {"f32": ctypes.c_float, "f64": ctypes.c_double, "u64": ctypes.c_uint64, "u32": ctypes.c_uint32,
         "s32": ctypes.c_int32}
SPECIAL = {"%tid.x": 0, "%ctaid.x": 0, "%ntid.x": 256, "%nctaid.x": 1}
INSTRUCTION = re.compile(r"(?:@(!?)(%p\d+)\s+)?([a-z][\w.]*)\s*(.*?);")
COMPARE = {"lt": lambda a, b: a < b, "le": lambda a, b: a <= b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b,
           "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "neu": lambda a, b: a != b,
           "num": lambda a, b: a == a and b == b, "nan": lambda a, b: a != a or b != b}
ARITHMETIC = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b}


def first_thread(ptx, arguments):
    """Run thread 0 of block 0 up to where it would wait for others; the float64 number that it shares with them."""
    return _Thread(ptx, arguments).run()


class _Thread:
    def __init__(self, ptx, arguments):
        entry = ptx[ptx.index(".entry"):]
        names = re.findall(r"\.param \.\w+ (\w+)", entry[:entry.index(")")])
        self.parameters = dict(zip(names, arguments, strict=True))
        self.program, self.labels, self.registers = [], {}, {}
        for line in map(str.strip, entry[entry.index("{") + 1:].splitlines()):
            if label := re.match(r"(\$\w+):", line):
                self.labels[label[1]] = len(self.program)
            elif found := INSTRUCTION.match(line):
                negated, predicate, name, operands = found.groups()
                self.program.append((negated, predicate, name.split("."), re.findall(r"\{[^}]*\}|[^,\s][^,]*", operands)))

    def run(self):
        at = 0
        with np.errstate(all="ignore"):
            while True:
                negated, predicate, (name, *kinds), operands = self.program[at]
                at += 1
                if predicate and self.registers[predicate] == bool(negated):
                    continue
                if name == "bra":
                    at = self.labels[operands[0].strip()]
                elif name == "st" and kinds[0] == "shared":
                    return float(self.value(operands[1], "f64"))
                elif name == "ret":
                    return None
                else:
                    self.step(name, kinds, [x.strip() for x in operands])

    def step(self, name, kinds, operands):
        kind = kinds[-1]
        if name == "ld" and kinds[0] == "param":
            self.write(operands[0], self.parameters[operands[1].strip("[]")], kind)
        elif name in ("ld", "st"):
            place, numbers = operands[::-1] if name == "ld" else operands
            base, _, offset = place.strip("[]").partition("+")
            address = self.value(base, "u64") + int(offset or 0)
            for k, one in enumerate(x.strip() for x in numbers.strip("{}").split(",")):
                memory = CTYPE[kind].from_address(address + k * ctypes.sizeof(CTYPE[kind]))
                if name == "ld":
                    self.write(one, memory.value, kind)
                else:
                    memory.value = self.value(one, kind)
        elif name == "setp":
            self.registers[operands[0]] = bool(COMPARE[kinds[0]](*[self.value(x, kind) for x in operands[1:]]))
        elif name == "selp":
            self.write(operands[0], self.value(operands[1 if self.registers[operands[3]] else 2], kind), kind)
        elif name == "cvt":
            self.write(operands[0], self.converted(kinds, self.value(operands[1], kind)), kinds[-2])
        elif name == "mul" and kinds[0] == "wide":
            self.write(operands[0], self.value(operands[1], kind) * self.value(operands[2], kind), "s64")
        else:
            self.write(operands[0], self.computed(name, kind, [self.value(x, kind) for x in operands[1:]]), kind)

    def computed(self, name, kind, x):
        if name in ("mov", "cvta"):
            return x[0]
        if kind in REAL and name == "fma":
            return FMA[kind](*x)
        if kind in REAL and name in ("min", "max"):
            a, b = x
            if a != a or b != b:
                return b if a != a else a
            if a == b:
                return a if np.signbit(a) == (name == "min") else b
            return min(a, b) if name == "min" else max(a, b)
        if name == "copysign":
            return np.copysign(x[1], x[0])
        if name in ("sqrt", "rcp", "abs", "neg"):
            return {"sqrt": np.sqrt, "rcp": lambda a: type(a)(1) / a, "abs": abs, "neg": lambda a: -a}[name](x[0])
        if name in ("div", "rem") and kind not in REAL:
            quotient = abs(x[0]) // abs(x[1]) * (1 if (x[0] < 0) == (x[1] < 0) else -1)
            return quotient if name == "div" else x[0] - quotient * x[1]
        if name == "mad":
            return x[0] * x[1] + x[2]
        if name in ARITHMETIC:
            return ARITHMETIC[name](*x)
        if name in ("min", "max"):
            return {"min": min, "max": max}[name](x)
        if name in ("and", "or", "xor"):
            return {"and": x[0] & x[-1], "or": x[0] | x[-1], "xor": x[0] ^ x[-1]}[name]
        if name == "not":
            return not x[0] if kind == "pred" else ~x[0]
        if name in ("shl", "shr"):
            return x[0] << min(x[1], 64) if name == "shl" else x[0] >> min(x[1], 64)
        raise NotImplementedError(f"{name}.{kind}")

    def converted(self, kinds, x):
        if kinds[0] == "rni":
            return np.rint(x)
        if kinds[0] == "rzi":
            bits = int(kinds[1][1:]) - 1
            return 0 if x != x else int(np.clip(np.trunc(float(x)), -2.0**bits, 2.0**bits - 1))
        return REAL[kinds[-2]](x) if kinds[-2] in REAL else x

    def value(self, text, kind):
        """An operand as a number of this kind: of registers of another kind the bits."""
        if text.startswith("0f") and kind == "f32":
            return np.float32(struct.unpack("!f", bytes.fromhex(text[2:]))[0])
        if text.startswith("0d"):
            return np.float64(struct.unpack("!d", bytes.fromhex(text[2:]))[0])
        if text in SPECIAL:
            return SPECIAL[text]
        if text.startswith("%p"):
            return self.registers[text]
        if kind == "pred":
            return text != "0"
        if not text.startswith("%"):
            return int(text, 0) if re.match(r"-?\d", text) else 0  # the address of shared memory
        return as_kind(self.registers[text], kind)

    def write(self, register, x, kind):
        if kind == "pred":
            self.registers[register] = bool(x)
        else:
            own = "f64" if register.startswith("%fd") else "f32" if register.startswith("%f") else None
            own = own or ("u64" if register.startswith("%rd") else "u32")
            self.registers[register] = as_kind(as_kind(x, kind), own)


def as_kind(x, kind):
    """A number as one of this kind; between floats and integers the bits."""
    if kind in REAL:
        return REAL[kind](x) if isinstance(x, (float, np.floating)) else np.array(
            x, f"u{int(kind[1:]) // 8}").view(REAL[kind])[()]
    bits = int(kind[1:])
    if isinstance(x, (float, np.floating)):
        x = int(REAL[f"f{bits}"](x).view(f"u{bits // 8}"))
    x = int(x) & ((1 << bits) - 1)
    return x - (1 << bits) if kind[0] == "s" and x >> (bits - 1) else x
