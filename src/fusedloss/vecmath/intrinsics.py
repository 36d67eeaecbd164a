"""What Numba lacks: fused multiply-add, select, bit casts, Horner's rule unrolled, float16 <-> float32.

An explicit `llvm.fma` (instead of the fastmath flag "contract") gives the same bits on every CPU; `select` is
certain not to become a branch. Both vectorise.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.extending import intrinsic, register_jitable

__all__ = ["bits", "copysign", "float_to_half", "fma", "from_bits", "half_to_float", "horner", "where"]

register = register_jitable(fastmath=False, error_model="numpy", forceinline=True)


@intrinsic
def fma(typing, a, b, c):
    """a * b + c with one rounding."""
    return a(a, a, a), lambda context, builder, signature, args: builder.fma(*args)


@intrinsic
def where(typing, condition, a, b):
    """a if condition else b, both already computed."""
    ty = typing.unify_types(a, b)
    return ty(types.boolean, ty, ty), lambda context, builder, signature, args: builder.select(*args)


@intrinsic
def copysign(typing, magnitude, sign):
    """The absolute value of `magnitude` with the sign bit of `sign`."""
    def code(context, builder, signature, args):
        ty = args[0].type
        function = builder.module.declare_intrinsic("llvm.copysign", [ty], ir.FunctionType(ty, [ty, ty]))
        return builder.call(function, args)
    return magnitude(magnitude, magnitude), code


@intrinsic
def bits(typing, x):
    """The bit pattern of a float as a signed integer."""
    integer = types.int32 if x == types.float32 else types.int64

    def code(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(integer))
    return integer(x), code


@intrinsic
def from_bits(typing, i):
    """The float with the bit pattern i."""
    real = types.float32 if i.bitwidth == 32 else types.float64

    def code(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(real))
    return real(i), code


def horner(coefficients):
    """x -> c[0] + x (c[1] + x (c[2] + ...)), unrolled: Numba leaves a long loop a loop, and it scalar."""
    @intrinsic
    def polynomial(typing, x):
        def code(context, builder, signature, args):
            *rest, total = (context.get_constant(x, c) for c in coefficients)
            for c in reversed(rest):
                total = builder.fma(total, args[0], c)
            return total
        return x(x), code
    return polynomial


# float16 has no arithmetic in Numba: arrays are seen as uint16 and each number goes through float32.

U16, U32 = np.uint16, np.uint32
SIGN, MAGNITUDE, HALF_INF, FLOAT_INF = U32(0x8000), U32(0x7FFF), U32(0x7C00), U32(0x7F800000)
MIN_NORMAL_HALF, TWO_TO_16 = U32(113 << 23), U32(143 << 23)
SHIFT, SIGN_SHIFT = U32(13), U32(16)                # 23 - 10 bits of mantissa, 32 - 16 bits in all
REBIAS = np.float32(2.0**112)                       # the exponents' biases are 127 and 15
HALF = np.float32(0.5)                              # its ulp, 2^-24, is the smallest half
HALF_BITS = U32(126 << 23)
ROUND = U32((15 - 127) % 2**9 << 23) + U32(0xFFF)   # rebias downwards; just below half an ulp
QUIET_NAN = U32(0x7E00)


@register
def half_to_float(h):
    """The float32 equal to the float16 with bit pattern h (uint16)."""
    h = U32(h)
    magnitude = U32(U32(h & MAGNITUDE) << SHIFT)
    finite = U32(bits(from_bits(magnitude) * REBIAS))           # exact, and right for subnormal halves too
    magnitude = where(U32(h & MAGNITUDE) >= HALF_INF, U32(magnitude | FLOAT_INF), finite)
    return from_bits(U32(magnitude | U32(U32(h & SIGN) << SIGN_SHIFT)))


@register
def float_to_half(x):
    """The bit pattern (uint16) of the float16 nearest to the float32 x, ties to even."""
    pattern = U32(bits(x))
    a = U32(bits(abs(x)))
    normal = U32(U32(a + ROUND + U32(U32(a >> SHIFT) & U32(1))) >> SHIFT)
    subnormal = U32(U32(bits(abs(x) + HALF)) - HALF_BITS)       # the addition rounds to a multiple of 2^-24
    h = where(a < MIN_NORMAL_HALF, subnormal, normal)           # may carry into 2^-14, as it should
    h = where(a < TWO_TO_16, h, HALF_INF)                       # from 65520 on it has carried already
    h = where(a > FLOAT_INF, QUIET_NAN, h)
    return U16(h | U32(U32(pattern >> SIGN_SHIFT) & SIGN))
