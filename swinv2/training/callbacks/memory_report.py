"""What an error of too little GPU memory is told with: the batch, what would fit, and what needs less."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

GIB = 1 << 30
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": GIB}
WANTED = re.compile(r"Tried to allocate ([\d.]+) (KiB|MiB|GiB)")
MOMENTS = 2  # numbers that AdamW keeps for each weight, from its first step on
SIZES = ("size", "crop_size", "short_edge", "long_edge", "val_short_edge", "val_long_edge")
SMALLER = "smaller images or clips"


@dataclass(frozen=True)
class Memory:
    """Memory of a GPU when it was too little, in bytes.

    Attributes:
        total: of the card.
        others: taken by other processes and by what is not PyTorch's.
        before: taken when the batch began, by weights, moments and the batch itself.
        to_come: what the optimizer has yet to take.
        needed: most that was taken at a time, with what was asked for in vain; the batch may need more.
    """

    total: int
    others: int
    before: int
    to_come: int
    needed: int

    def fitting(self, items: int) -> int:
        """Items of a batch that fit at most, if each takes the same."""
        each = max(self.needed - self.before, 1) / items
        return min(max(int((self.total - self.others - self.before - self.to_come) / each), 0), items - 1)

    def __str__(self) -> str:
        free = self.total - self.others - self.before - self.to_come
        return (
            f"The GPU has {self.total / GIB:.1f} GiB; {self.before / GIB:.1f} were taken before the batch, "
            f"{self.to_come / GIB:.1f} the optimizer has yet to take, {self.others / GIB:.1f} are others'. The batch "
            f"needs {(self.needed - self.before) / GIB:.1f} or more, {max(free, 0) / GIB:.1f} are left for it."
        )


class MemoryReport(Callback):
    """Adds the batch, an estimate and remedies to an error of too little GPU memory, for the command line to print.

    Args:
        config: of the command: the recipe's keys, of all levels, and their values.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._batch: Any = None
        self._before = 0

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, *_: Any) -> None:
        """Remember the batch."""
        self._begin(module, batch)

    def on_validation_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, *_: Any) -> None:
        """Remember the batch."""
        self._begin(module, batch)

    def on_predict_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, *_: Any) -> None:
        """Remember the batch."""
        self._begin(module, batch)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Add a note to an error of too little memory."""
        if isinstance(exception, torch.OutOfMemoryError):
            shapes = input_shapes(self._batch)
            memory = memory_at(exception, module, trainer, self._before) if module.device.type == "cuda" else None
            exception.add_note("\n  ".join(advice(shapes, memory, self._config, trainer.training)))
        self._batch = None

    def _begin(self, module: LightningModule, batch: Any) -> None:
        self._batch = batch
        if module.device.type == "cuda":
            self._before = torch.cuda.memory_allocated(module.device)


def input_shapes(batch: Any) -> list[tuple[int, ...]]:
    """Sizes of each image or clip of a batch along its axes; none where the batch has no pixels."""
    if isinstance(batch, Tensor):
        return [tuple(batch.shape[2:])] * len(batch) if batch.ndim > 3 else []
    parts = list(batch) if isinstance(batch, list | tuple) else []
    if isinstance(batch, list) and all(isinstance(part, Tensor) and part.ndim in (3, 4) for part in parts):
        return [tuple(part.shape[1:]) for part in parts]  # images of sizes of their own
    return next(filter(None, map(input_shapes, parts)), [])


def memory_at(error: BaseException, module: LightningModule, trainer: Trainer, before: int) -> Memory:
    """Memory of the module's GPU after an error.

    Args:
        error: that memory is too little.
        module: the task.
        trainer: that runs it.
        before: bytes that were taken when the batch began.
    """
    device = module.device
    free, total = torch.cuda.mem_get_info(device)
    wanted = WANTED.search(str(error))
    asked = int(float(wanted[1]) * UNITS[wanted[2]]) if wanted else 0
    needed = max(torch.cuda.max_memory_allocated(device), torch.cuda.memory_allocated(device) + asked)
    begins = any(not optimizer.state for optimizer in trainer.optimizers) if trainer.training else False
    trained = [weight for weight in module.parameters() if weight.requires_grad] if begins else []
    to_come = MOMENTS * sum(weight.numel() * weight.element_size() for weight in trained)
    return Memory(total, max(total - free - torch.cuda.memory_reserved(device), 0), before, to_come, needed)


def advice(
    shapes: Sequence[tuple[int, ...]], memory: Memory | None, config: Mapping[str, Any], trains: bool
) -> Iterator[str]:
    """Lines for the user: the batch, the memory, and remedies.

    Args:
        shapes: sizes of the images or clips of the batch.
        memory: figures of the GPU, if known.
        config: keys of the recipe and their values.
        trains: whether gradients are computed.
    """
    items = len(shapes)
    fits = memory.fitting(items) if memory is not None and items else None
    if items:
        largest = " x ".join(str(max(axis)) for axis in zip(*shapes, strict=True))
        yield f"The batch had {items} of up to {largest} pixels."
    if fits is not None:
        yield str(memory)
        yield f"By this estimate at most {fits} of them fit." if fits else "By this estimate not even one of them fits."
    yield "Any of these needs less:"
    yield from (f"- {remedy}" for remedy in remedies(items, fits, config, trains))


def remedies(items: int, fits: int | None, config: Mapping[str, Any], trains: bool) -> Iterator[str]:
    """Options of the command that need less memory, by the keys of the recipe, and what they cost.

    Args:
        items: of the batch.
        fits: how many of them would, if known.
        config: keys of the recipe and their values.
        trains: whether gradients are computed.
    """
    if items > 1:
        fewer = max((n for n in range(1, items) if items % n == 0 and (fits is None or n <= max(fits, 1))), default=1)
        accumulated = items // fewer * (config.get("trainer.accumulate_grad_batches") or 1)
        same = f" --trainer.accumulate_grad_batches {accumulated} (as many a step)" if trains else ""
        yield f"--data.batch_size {fewer}{same}"
    again = ending(config, "backbone.checkpointing")
    if trains and again and not all_on(config[again]):
        yield f"--{again} true (computes blocks again in the backward pass)"
    if str(config.get("trainer.precision")) in ("None", "32", "32-true"):
        yield "--trainer.precision bf16-mixed"
    sizes = [f"--data.{name}" for name in SIZES if config.get(f"data.{name}") is not None]
    yield f"{SMALLER}: {', '.join(sizes)}" if sizes else SMALLER


def ending(config: Iterable[str], end: str) -> str | None:
    """The first key with this end."""
    return next((key for key in config if key.endswith(end)), None)


def all_on(value: Any) -> bool:
    """Whether an option that has one word, or one for each stage, is on everywhere."""
    return all(value) if isinstance(value, list | tuple) else bool(value)
