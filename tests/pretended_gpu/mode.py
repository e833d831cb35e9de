"""Running code on a pretended GPU: what PyTorch's functions and operators do with its tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.tv_tensors import TVTensor

from tests.pretended_gpu.record import DeviceMismatch, Record
from tests.pretended_gpu.tensor import CUDA, GPUTensor, of_kind
from tests.pretended_gpu.trainer import in_lightning

aten = torch.ops.aten

WAITING = {  # operators whose result's size, or whose result on the host, depends on numbers on the GPU
    aten._local_scalar_dense.default, aten.nonzero.default, aten.equal.default, aten._unique2.default,
    aten.unique_dim.default, aten.unique_consecutive.default, aten.masked_select.default, aten.bincount.default,
}  # fmt: skip
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
COPYING = {aten.copy_.default, aten._to_copy.default}
JOINING = {aten.cat.default, aten.stack.default}  # take no numbers of the CPU
CARD = {"name": "pretended GPU", "multi_processor_count": 40, "total_memory": 16 << 30, "warp_size": 32}
TO_HOST = object()
HOST_ONLY = ("mkldnn", "_weight_norm_interface", "for_cpu", "quantized")


@contextmanager
def pretended_gpu(capability: tuple[int, int] = (7, 5)) -> Iterator[Record]:
    """Let `cuda` be a pretended GPU within a `with` statement: `model.to("cuda")`, `torch.zeros(3, device="cuda")`.

    Operators raise DeviceMismatch where tensors of the CPU and the GPU meet. `torch.cuda.is_available()` stays what it
    is.

    Args:
        capability: generation of the card, by default Turing, which has no kernels of ours: Triton's interpreter would
            take too long for whole tasks.
    """
    record = Record()
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    with ExitStack() as stack:
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrites)
        torch.__future__.set_overwrite_module_params_on_conversion(True)  # a parameter's data keeps its type
        stack.enter_context(patch.object(torch.cuda, "_lazy_init", lambda: None))
        for name in ("is_autocast_enabled", "get_autocast_dtype", "set_autocast_enabled", "set_autocast_dtype"):
            stack.enter_context(patch.object(torch, name, on_cpu(getattr(torch, name))))
        card = SimpleNamespace(major=capability[0], minor=capability[1], **CARD)
        stack.enter_context(patch.object(torch.cuda, "get_device_properties", lambda *_: card))
        stack.enter_context(patch.object(torch.cuda, "Event", Event))
        stack.enter_context(patch.object(torch.cuda, "is_current_stream_capturing", lambda: False))
        stack.enter_context(patch.object(torch.cuda, "current_stream", lambda *_: SimpleNamespace(cuda_stream=0)))
        stack.enter_context(patch.object(torch.cuda, "get_device_capability", lambda *_: capability))
        stack.enter_context(
            patch.object(torch._C, "_len_torch_dispatch_stack", lambda: MODES() - 1)
        )  # but for this one
        stack.enter_context(patch.object(torch._C, "_group_tensors_by_device_and_dtype", grouped))
        stack.enter_context(patch.object(torch, "autocast", Autocast))
        stack.enter_context(patch.object(torch.amp, "autocast", Autocast))
        stack.enter_context(in_lightning())
        calls: list[Any] = []
        stack.enter_context(Operators(record, calls))
        stack.enter_context(Functions(record, calls))
        yield record


class Event:
    """Event of the pretended GPU, which is never behind."""

    def record(self) -> None:
        """Do nothing."""

    def query(self) -> bool:
        """True: all before it is done."""
        return True

    def synchronize(self) -> None:
        """Return at once."""


class Autocast(torch.autocast):
    """Autocast of the CPU, as which PyTorch takes the pretended GPU."""

    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu" if device_type == "cuda" else device_type, *args, **kwargs)


def on_cpu(function: Callable[..., Any]) -> Callable[..., Any]:
    """Function of a device's type, asked for that of the CPU instead of the GPU."""
    return lambda *args: function(*("cpu" if value == "cuda" else value for value in args))


MODES = torch._C._len_torch_dispatch_stack
GROUP = torch._C._group_tensors_by_device_and_dtype


def grouped(tensors: list[list[Tensor | None]], with_indices: bool = False) -> dict[Any, Any]:
    """Tensors by device and type, as optimizers ask for them; none are on both devices."""
    device = next((x.device for x in tensors[0] if x is not None), torch.device("cpu"))
    return {(device, dtype): group for (_, dtype), group in GROUP(tensors, with_indices).items()}


def leaves(value: Any) -> list[Any]:
    """What lists and dictionaries of arguments hold; much faster than pytrees."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return [value]
    return [leaf for part in value for leaf in leaves(part)]


def each(function: Callable[[Any], Any], value: Any) -> Any:
    """The same lists and dictionaries, each of their leaves changed by a function."""
    if isinstance(value, dict):
        return {key: each(function, part) for key, part in value.items()}
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return type(value)([each(function, part) for part in value])
    return function(value)


@cache
def takes_device(func: Any) -> bool:
    """Whether an operator is told the device of its result."""
    return any(argument.name == "device" for argument in func._schema.arguments)


@cache
def waits(func: Any) -> bool:
    """Whether the host always waits for an operator."""
    return func in WAITING or "torchvision::nms" in str(func) or str(func) == "torchvision.nms.default"


@cache
def is_host_only(func: Any) -> bool:
    """Whether only a CPU has an operator."""
    return any(name in str(func) for name in HOST_ONLY)


def is_gpu(value: object) -> bool:
    """Whether a value is a tensor of the pretended GPU."""
    return isinstance(value, GPUTensor)


def is_cuda(device: Any) -> bool:
    """Whether a device, or its name, is the pretended GPU."""
    return device is not None and torch.device(device).type == "cuda"


class Functions(TorchFunctionMode):
    """Functions of PyTorch that ask a tensor for its device, or choose by it.

    Args:
        record: takes the notes.
        calls: of each function now running, whether it got a tensor of the GPU; `TO_HOST` for a copy to the CPU.
    """

    def __init__(self, record: Record, calls: list[Any]) -> None:
        super().__init__()
        self.record = record
        self.calls = calls

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function."""
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and is_cuda(kwargs.get("device")):
            return self.from_host(func, *args, **kwargs)
        if func is Tensor.to and (is_gpu(args[0]) or any(map(is_gpu, args)) or names_cuda(args[1:], kwargs)):
            return self.move(*args, **kwargs)
        if func is Tensor.cuda:
            return self.move(args[0], CUDA)
        if args and is_gpu(args[0]) and (own := OWN.get(func)) is not None:
            return own(self, *args, **kwargs)
        if func is Tensor.new_tensor and is_gpu(args[0]):
            return self.from_host(torch.tensor, args[1], **({"dtype": args[0].dtype} | kwargs))
        return self.run(func, args, kwargs)

    def run(self, func: Any, args: Any, kwargs: Any, to_host: bool = False) -> Any:
        """Call a function as it is; `to_host` is for a copy to the CPU that is asked for, not one within PyTorch."""
        self.calls.append(TO_HOST if to_host else any(map(is_gpu, leaves((args, kwargs)))))
        try:
            return func(*args, **kwargs)
        finally:
            self.calls.pop()

    def from_host(self, func: Any, data: Any, **options: Any) -> Tensor:
        """`torch.tensor` or `torch.as_tensor` on the GPU."""
        if is_gpu(data):
            return data.to(options.get("dtype") or data.dtype)
        self.record.note(self.record.copies, func.__name__)
        return GPUTensor(func(data, **(options | {"device": "cpu"})))

    def move(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """`Tensor.to` from or to the GPU."""
        device, dtype = target((*args, *kwargs.values()))
        options = {
            "dtype": x.dtype if dtype is None else dtype,
            "non_blocking": kwargs.get("non_blocking", is_true(args)),
        }
        if is_gpu(x) and (device is None or device.type == "cuda"):
            return self.run(Tensor.to, (x, options["dtype"]), {})
        plain = x if is_gpu(x) or isinstance(x, torch.nn.Parameter) else x.as_subclass(Tensor)
        moved = self.run(aten._to_copy.default, (plain,), {"device": device, **options}, to_host=is_gpu(x))
        return of_kind(moved, x) if isinstance(x, TVTensor) and is_gpu(moved) else moved

    def values(self, x: GPUTensor) -> Any:
        """Numbers as a list, for which the host waits."""
        self.record.note(self.record.waits, "tolist")
        return x.inner.detach().tolist()

    def attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
    ) -> Tensor:
        """Attention by its formula: PyTorch would take the CPU's own operator."""
        with self:
            scores = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
            return (scores if attn_mask is None else scores + attn_mask).softmax(-1) @ v

    def one_hot(self, labels: Tensor, num_classes: int = -1) -> Tensor:
        """`F.one_hot`, which looks at the labels on a CPU only."""
        with self:
            side = int(labels.max()) + 1 if num_classes < 0 else num_classes
            return (labels.unsqueeze(-1) == torch.arange(side, device=CUDA)).long()

    def backward(self, loss: Tensor, gradient: Tensor | None = None, **options: Any) -> None:
        """Backward pass, whose functions are seen, too."""
        self.calls.append(True)
        try:
            with self:
                torch.autograd.backward(loss, gradient, **options)
        finally:
            self.calls.pop()

    def refuse(self, x: GPUTensor, *_: Any) -> None:
        """Raise as PyTorch does for arrays of a GPU's tensor."""
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")


OWN: dict[Any, Callable[..., Any]] = {  # functions of a tensor of the GPU
    Tensor.device.__get__: lambda mode, x: CUDA,
    Tensor.is_cuda.__get__: lambda mode, x: True,
    Tensor.is_cpu.__get__: lambda mode, x: False,
    Tensor.get_device: lambda mode, x: 0,
    Tensor.data_ptr: lambda mode, x: x.inner.data_ptr(),
    Tensor.cpu: lambda mode, x: mode.move(x, torch.device("cpu")),
    Tensor.tolist: Functions.values,
    Tensor.numpy: Functions.refuse,
    Tensor.__array__: Functions.refuse,
    Tensor.backward: Functions.backward,
    F.scaled_dot_product_attention: Functions.attention,
    F.one_hot: Functions.one_hot,
}


def is_true(values: Any) -> bool:
    """Whether True is among arguments, as the first of the flags of `Tensor.to` and `Tensor.copy_`, `non_blocking`."""
    return any(value is True for value in values)


def names_cuda(args: Any, kwargs: Any) -> bool:
    """Whether arguments of `Tensor.to` name the GPU."""
    return any(is_cuda(value) for value in (*args, *kwargs.values()) if isinstance(value, str | torch.device))


def target(values: Any) -> tuple[torch.device | None, torch.dtype | None]:
    """Device and type that arguments of `Tensor.to` name; None for those that stay."""
    device, dtype = None, None
    for value in values:
        if isinstance(value, Tensor):
            device, dtype = value.device, value.dtype
        elif isinstance(value, str | torch.device):
            device = torch.device(value)
        elif isinstance(value, torch.dtype):
            dtype = value
    return device, dtype


class Operators(TorchDispatchMode):
    """Operators of PyTorch, computed by the CPU; results are on the GPU if an argument is, or if asked for.

    Args:
        record: takes the notes.
        calls: of each function now running, whether it got a tensor of the GPU; `TO_HOST` for a copy to the CPU.
    """

    def __init__(self, record: Record, calls: list[Any]) -> None:
        super().__init__()
        self.record = record
        self.calls = calls

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute an operator."""
        kwargs = dict(kwargs or {})
        tensors = [value for value in leaves((args, kwargs)) if isinstance(value, Tensor)]
        gpu = any(map(is_gpu, tensors))
        to_gpu = self.makes_gpu_tensor(func, tensors, kwargs)
        if gpu:
            self.check(func, args, kwargs, tensors)
        if func in COPYING:
            self.note_copy(func, args, kwargs, to_gpu)
        to_cpu = gpu and func is aten._to_copy.default and self.moves_to_host
        if to_gpu:
            kwargs["device"] = torch.device("cpu")
        wrapped = {id(value.inner): value for value in tensors if is_gpu(value)}
        unwrapped = each(lambda value: value.inner if is_gpu(value) else value, (args, kwargs))
        is_pinned = unwrapped[1].get("pin_memory") and unwrapped[1].pop("pin_memory")
        found = func(*unwrapped[0], **unwrapped[1])
        if is_pinned:
            found.is_pinned_for_gpu = True
        if not (to_gpu or (gpu and not to_cpu)) or (func is aten.copy_.default and not is_gpu(args[0])):
            return found
        return each(lambda value: self.wrap(func, value, wrapped), found)

    @property
    def moves_to_host(self) -> bool:
        """Whether a tensor is being copied to the CPU, and not by PyTorch to where it takes ours to be."""
        return bool(self.calls) and self.calls[-1] is TO_HOST

    def makes_gpu_tensor(self, func: Any, tensors: list[Tensor], kwargs: dict[str, Any]) -> bool:
        """Whether an operator makes a tensor of the GPU of other arguments, or copies one to it."""
        if is_cuda(kwargs.get("device")):
            return True
        return not tensors and bool(self.calls) and self.calls[-1] and takes_device(func)

    def check(self, func: Any, args: Any, kwargs: dict[str, Any], tensors: list[Tensor]) -> None:
        """Note what a GPU lacks or waits for.

        Raises:
            DeviceMismatch: the tensors are not all on the GPU.
        """
        indexed = func in INDEXING and is_gpu(args[0])  # by numbers of the CPU, too, which are copied
        others = [x for x in tensors if not is_gpu(x) and (x.dim() or func in JOINING)]
        if others and not indexed and func not in COPYING:
            self.fail(func, others[0])
        if indexed:
            self.note_index(func, args)
        elif waits(func) or (func is aten.repeat_interleave.Tensor and kwargs.get("output_size") is None):
            self.record.note(self.record.waits, str(func))
        if is_host_only(func):
            self.record.note(self.record.host_only, str(func))

    def fail(self, func: Any, tensor: Tensor) -> None:
        """Raise for a tensor of the CPU."""
        if self.record.switched_on:
            raise DeviceMismatch(
                f"Expected all tensors to be on the same device: {func} got one of {tuple(tensor.shape)} on the CPU."
            )

    def note_index(self, func: Any, args: Any) -> None:
        """Note what indexing waits for: the number of true values in a mask, unless a number fills it."""
        indices = [index for index in args[1] if index is not None]
        by_mask = any(index.dtype in (torch.bool, torch.uint8) for index in indices)
        fills = func is not aten.index.Tensor and args[2].numel() == 1 and not is_gpu(args[2])
        if by_mask and not (fills and len(indices) == 1):
            self.record.note(self.record.waits, f"{func} by a mask")
        if any(not is_gpu(index) for index in indices):
            self.record.note(self.record.copies, f"{func} by an index of the CPU")

    def note_copy(self, func: Any, args: Any, kwargs: dict[str, Any], to_gpu: bool) -> None:
        """Note a copy between the devices."""
        source = args[1] if func is aten.copy_.default else args[0]
        non_blocking = kwargs.get("non_blocking") or is_true(args[2:])
        goes_to_gpu = is_gpu(args[0]) if func is aten.copy_.default else to_gpu
        goes_to_cpu = not is_gpu(args[0]) if func is aten.copy_.default else self.moves_to_host
        pinned = non_blocking and hasattr(args[0], "is_pinned_for_gpu")
        if is_gpu(source) and goes_to_cpu and not pinned:
            self.record.note(self.record.waits, "copy to the host")
        elif not is_gpu(source) and source.dim() and goes_to_gpu and not non_blocking:
            self.record.note(self.record.copies, "copy to the GPU")

    def wrap(self, func: Any, value: Any, wrapped: dict[int, GPUTensor]) -> Any:
        """Result on the GPU; an argument that was written to stays the same object."""
        if not isinstance(value, Tensor) or is_gpu(value):
            return value
        if id(value) in wrapped:
            return wrapped[id(value)]
        if value.dtype == torch.float64:
            self.record.note(self.record.float64, str(func))
        return GPUTensor(value)
