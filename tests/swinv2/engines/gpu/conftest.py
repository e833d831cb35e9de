"""Kernels run without a GPU, slowly, by Triton's interpreter; and what attention is, in ten lines."""

import importlib.util
import itertools
import math
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from swinv2.engines.gpu import choice, kernels

HERE = Path(__file__).parent
MODULES = (
    "tiles",
    "attention_forward",
    "attention_backward",
    "launch",
    "norm_kernels",
    "norm_launch",
)  # that need Triton
if importlib.util.find_spec("triton") is None:  # macOS and Windows have only the plain form
    collect_ignore = [path.name for path in HERE.glob("test_*.py") if "interpreted" in path.read_text()]


def forget():
    """Have the next import decide anew what the kernels are run by."""
    for module in MODULES:
        sys.modules.pop(f"{kernels.__name__}.{module}", None)
        vars(kernels).pop(module, None)


@pytest.fixture(scope="module")
def interpreted():
    """The kernels as Python, whatever imported Triton before and does so after."""
    import numpy as np
    import triton.language as tl
    from triton.runtime.interpreter import InterpretedFunction, InterpreterBuilder, TensorHandle
    from triton.runtime.jit import JITFunction

    product = InterpreterBuilder.create_dot

    def wide(handle):  # the interpreter keeps bfloat16 as the upper half of float32 and would multiply the integers
        if handle.dtype.scalar != tl.bfloat16:
            return handle
        return TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        patch.setattr(
            InterpreterBuilder, "create_dot", lambda self, a, b, *rest: product(self, wide(a), wide(b), *rest)
        )
        for name in ("sum", "max"):  # Python, too, only where Triton was imported under the variable
            if isinstance(function := getattr(tl, name), JITFunction):
                patch.setattr(tl, name, InterpretedFunction(function.fn))
        patch.setattr(choice, "unfit", lambda device: None)
        patch.setattr(choice, "mode", lambda: "on")
        yield
    forget()


@pytest.fixture
def without_kernels(monkeypatch):
    """A GPU that runs none."""
    monkeypatch.setattr(choice, "unfit", lambda device: "Triton is not installed")


@pytest.fixture
def official():
    """Scaled cosine attention window by window, as the official code computes one."""

    def attention(qkv, scale, bias, windows):
        axes, rows = len(windows.shape), []
        context = torch.empty_like(qkv[..., 0, :, :]).flatten(-2)
        slots = torch.arange(math.prod(windows.shape)).view(windows.shape)
        for window in itertools.product(*(itertools.pairwise(starts.tolist()) for starts in windows.starts)):
            where = tuple(slice(*segment) for segment in window)
            used = slots[tuple(slice(stop - start) for start, stop in window)].flatten()
            q, k, v = qkv[:, *where].flatten(1, axes).permute(2, 0, 3, 1, 4)
            scores = (
                F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT * scale[:, None, None] + bias[:, used][..., used]
            )
            rows.append((where, (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)))
        for where, row in rows:
            context[:, *where] = row.view_as(context[:, *where])
        return context

    return attention


@pytest.fixture
def compared():
    """Outcome and gradients of two functions of the same numbers, each in its type, as pairs to compare."""

    def compare(one, other, numbers, wide=torch.float64):
        inputs = [x.detach().requires_grad_() for x in numbers], [x.detach().to(wide).requires_grad_() for x in numbers]
        results = [function(*given) for function, given in zip((one, other), inputs, strict=True)]
        grad = torch.randn_like(results[0])
        grads = [
            torch.autograd.grad(result, given, grad.to(result.dtype), materialize_grads=True)
            for result, given in zip(results, inputs, strict=True)
        ]
        ours, theirs = ([result.detach(), *of_inputs] for result, of_inputs in zip(results, grads, strict=True))
        return list(zip(ours, theirs, strict=True))

    return compare


@pytest.fixture
def farthest():
    """Largest distance of pairs, relative to the length of the second, which may be zero."""
    return lambda pairs: max(float((a - b).norm() / b.norm().clamp(min=1e-3)) for a, b in pairs)
