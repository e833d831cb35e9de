"""The plan of a training as text."""

from collections.abc import Iterable, Sequence
from typing import Any

from jsonargparse import Namespace
from torch import nn

from ..training.checks import backbone_of
from ..training.schedules import OptimizerConfig
from ..training.task import Task
from .dataset_sizes import Size
from .models import cost
from .training_length import Length

CLASSIFIERS = ("classification", "video")  # tasks whose models can be traced as a whole without memory
BYTES = {"bf16-true": 2, "16-true": 2, "64-true": 8, "64": 8}  # of a number; 4 in other precisions


def describe(name: str, config: Namespace, task: Task, size: Size, length: Length) -> str:
    """All lines.

    Args:
        name: of the task.
        config: the recipe, complete.
        task: what it makes, with weights that need no memory.
        size: of the data.
        length: of the training.
    """
    optimizer = task.optimizer_config
    rows = [
        ("model", type(task.model).__name__),
        ("parameters", parameters(task.model)),
        ("multiply-adds", multiply_adds(name, task.model, input_size(config.data))),
        ("memory", memory(task.model, BYTES.get(str(config.trainer.precision), 4))),
        ("optimizer", groups(optimizer.groups(task.model))),
        ("data", f"{size.items:,} to train on ({size.origin})"),
        ("batch", batch(length)),
        ("length", f"{count(length.epochs)} epochs of {length.steps_per_epoch:,} steps = {length.total_steps:,} steps"),
        ("seen", f"{length.total_steps * length.items_per_step:,} with repetition"),
        *schedule(optimizer, length),
    ]
    return "\n".join(f"{key:15}{text}" for key, text in rows)


def parameters(model: nn.Module) -> str:
    """Of backbone and heads, trained and frozen."""
    whole, backbone = number(model.parameters()), number(backbone_of(model).parameters())
    frozen = number(p for p in model.parameters() if not p.requires_grad)
    return (
        f"{millions(whole)}: backbone {millions(backbone)}, heads {millions(whole - backbone)}; "
        f"trained {millions(whole - frozen)}, frozen {millions(frozen)}"
    )


def multiply_adds(name: str, model: nn.Module, size: Sequence[int]) -> str:
    """For one input, of backbone and head of classifiers, of the backbone of others."""
    whole = name in CLASSIFIERS
    counted = cost(model if whole else backbone_of(model), 1, 3, *size)
    return (
        f"{counted.official / 1e9:,.2f} G as the authors count, {counted.hooked / 1e9:,.2f} G as the mm- tables, for "
        f"one input of {' x '.join(map(str, size))}; {'the whole model' if whole else 'the backbone only'}"
    )


def input_size(data: Namespace) -> tuple[int, ...]:
    """Frames (of a clip), height and width of the greatest input in training.

    Args:
        data: that part of a recipe.
    """
    side = data.get("crop_size") or data.get("size")
    if side is None:
        short = data.short_edge
        return short if isinstance(short, int) else short[1], data.long_edge
    return (data.frames, side, side) if "frames" in data else (side, side)


def memory(model: nn.Module, bytes_each: int) -> str:
    """What a device must hold beside activations if nothing is sharded."""
    trained = number(p for p in model.parameters() if p.requires_grad)
    total = bytes_each * (number(model.parameters()) + 3 * trained)  # weights; gradients and two moments
    return f"{total / 1e9:,.2f} GB on each device for weights, gradients and AdamW's moments, if they are not sharded"


def groups(of_optimizer: Sequence[dict[str, Any]]) -> str:
    """Number, learning rates and decay of the optimizer's groups."""
    rates = [group["lr"] for group in of_optimizer]
    span = f"lr {rates[0]:.4g}" if rates[0] == rates[-1] else f"lr {rates[-1]:.4g} to {rates[0]:.4g}"
    decays = {decay: number(p for group in of_optimizer if group["weight_decay"] == decay for p in group["params"])
              for decay in sorted({group["weight_decay"] for group in of_optimizer}, reverse=True)}  # fmt: skip
    texts = [f"weight decay {decay:g} on {millions(weights)}" for decay, weights in decays.items()]
    return f"AdamW, {len(of_optimizer)} groups, {span}; {', '.join(texts)}"


def batch(length: Length) -> str:
    """The arithmetic of a step."""
    return (
        f"{length.batch_size} a device x {length.devices} devices x {length.nodes} nodes x {length.accumulation} "
        f"accumulated = {length.items_per_step:,} a step"
    )


def schedule(optimizer: OptimizerConfig, length: Length) -> list[tuple[str, str]]:
    """Warm-up, falls, and the highest learning rate at some steps."""
    each, total = length.steps_per_epoch, length.total_steps
    warmup = optimizer.warmup_length(each)
    rows = [("warm-up", f"{warmup:,} steps = {count(warmup / each)} epochs"), ("schedule", optimizer.schedule)]
    if optimizer.milestones:
        falls = [f"step {round(epoch * each):,} (epoch {count(epoch)})" for epoch in optimizer.milestones]
        rows[1] = ("schedule", f"{optimizer.schedule}, a tenth from {', '.join(falls)}")
    places = {0: "start", warmup: "after warm-up", **{total * part // 4: f"{25 * part} %" for part in (1, 2, 3)}}
    for step, place in sorted({**places, total - 1: "last"}.items()):
        rate = optimizer.lr * optimizer.factor(step, each, total)
        rows.append(("", f"{place:15}step {step:>9,}   lr {rate:.4g}"))
    return rows


def number(parameters: Iterable[nn.Parameter]) -> int:
    """How many weights there are."""
    return sum(parameter.numel() for parameter in parameters)


def millions(count: int) -> str:
    """A number of weights."""
    return f"{count / 1e6:,.2f} M"


def count(epochs: float) -> str:
    """Epochs, with a decimal where they are not whole."""
    return f"{epochs:,.0f}" if epochs == round(epochs) else f"{epochs:,.1f}"
