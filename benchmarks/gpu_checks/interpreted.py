"""Kernels run on a CPU by Triton's interpreter, for a dry run of the checks."""

import os


def interpret() -> None:
    """Have Triton interpret kernels from now on; to be called before anything imports it.

    The interpreter keeps bfloat16 as the upper half of float32 and would multiply the integers; here it multiplies what
    they mean.
    """
    os.environ["TRITON_INTERPRET"] = "1"
    import numpy as np
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    product = InterpreterBuilder.create_dot

    def wide(handle: TensorHandle) -> TensorHandle:
        if handle.dtype.scalar != tl.bfloat16:
            return handle
        return TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    InterpreterBuilder.create_dot = lambda self, a, b, *rest: product(self, wide(a), wide(b), *rest)
