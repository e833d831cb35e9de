"""The tensor of a pretended GPU: a wrapper around a tensor of the CPU."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

CUDA = torch.device("cuda", 0)


class GPUTensor(Tensor):
    """Tensor that says that it is on `cuda:0`.

    PyTorch itself takes it for one of the CPU: there need be neither a GPU nor its libraries.

    Args:
        inner: what it holds.
    """

    inner: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # the mode of the pretended GPU sees every function

    @staticmethod
    def __new__(cls, inner: Tensor, requires_grad: bool = False) -> GPUTensor:
        """Wrap a plain tensor."""
        shape = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        with torch.inference_mode(False):  # whose tensors cannot be views of others
            return Tensor._make_wrapper_subclass(
                cls, inner.size(), **shape, dtype=inner.dtype, device=torch.device("cpu"), requires_grad=requires_grad
            )

    def __init__(self, inner: Tensor, requires_grad: bool = False) -> None:
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Refuse to compute outside of the pretended GPU."""
        raise RuntimeError(f"{func} of a tensor of a pretended GPU, outside of `with pretended_gpu()`.")

    def __repr__(self) -> str:
        return f"GPUTensor({self.inner})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied = GPUTensor(self.inner.clone(), self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, self.requires_grad)
        memo[id(self)] = copied
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle what it holds, as files of a GPU's tensors are read on a CPU."""
        return self.inner.detach().__reduce_ex__(protocol)

    @property
    def device(self) -> torch.device:
        """The pretended GPU."""
        return CUDA

    @property
    def is_cuda(self) -> bool:
        """True."""
        return True

    @property
    def is_cpu(self) -> bool:
        """False."""
        return False

    def as_subclass(self, kind: type) -> Tensor:
        """Itself, or what it holds without being an image, boxes or a mask."""
        return self if type(self) is GPUTensor else self.view_as(self)

    def get_device(self) -> int:
        """Number of the pretended GPU."""
        return 0

    def data_ptr(self) -> int:
        """Address of what it holds."""
        return self.inner.data_ptr()


def of_kind(tensor: GPUTensor, like: Tensor) -> GPUTensor:
    """Tensor that is an image, boxes or a mask as another one is, whose attributes it takes."""
    typed = kind_on_gpu(type(like))(tensor.inner)
    vars(typed).update(vars(like))
    return typed


@cache
def kind_on_gpu(kind: type) -> type:
    """Class of a kind of tensors on the GPU."""
    return type(kind.__name__, (GPUTensor, kind), {})
