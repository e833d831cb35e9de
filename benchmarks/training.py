"""A training step beside timm, transformers, torchvision and compiled timm: `python -m benchmarks.training`."""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.comparison import (
    BASE24,
    COMPILED,
    OURS_COMPILED,
    REPEATS,
    TINY8,
    TINY16,
    Row,
    columns,
    compare,
    footer,
    header,
    rounds_of,
    small,
    times,
)
from benchmarks.limits import NOTE, limit
from benchmarks.peers import EAGER, Work, compiled, our_model, peers
from benchmarks.timing import medians, table
from swinv2.weights.conversion import to_official
from swinv2.weights.layouts import detect_format

POLICIES = {"ours": False, "ours, checkpointing": True}  # whether the backward pass computes whole blocks again
FEW = 2  # images whose gradients are compared
PASSES = 3  # the backward pass has two products for each one of the forward pass
ROWS = {
    "cpu": {
        "T-w8-256-float32": Row(Work(TINY8, 8, 8, 256, 256), torch.float32, 0.80, 0.90),
        "T-w16-256-float32": Row(Work(TINY16, 16, 8, 256, 256), torch.float32, 0.60, 0.80),
        "T-w8-256-bfloat16": Row(Work(TINY8, 8, 8, 256, 256), torch.bfloat16),
        "T-w16-256-bfloat16": Row(Work(TINY16, 16, 8, 256, 256), torch.bfloat16),
    },
    "cuda": {
        "T-w8-256-bfloat16": Row(Work(TINY8, 8, 64, 256, 256), torch.bfloat16, 0.35, 0.60),
        "B-w24-384-bfloat16": Row(Work(BASE24, 24, 16, 384, 384), torch.bfloat16, 0.25, 0.45),
    },
}
ABOUT = """\
A step is the forward pass, the mean cross-entropy, the backward pass and `zero_grad`; no optimizer. Weights and images
are float32, rows of bfloat16 run under autocast; no stochastic depth. All have the same random weights and take turns;
medians of {rounds} rounds. With `checkpointing` the backward pass computes whole blocks again. Kept are the tensors
that the graph holds between forward and backward pass, each storage once, without weights and images. Errors are
differences of the gradients on {few} images from those of timm in float64, relative to the largest gradient of the same
parameter: of the parameter where it is largest, and the root of the mean square over the parameters. The limit is three
times that of a forward pass.
"""


def main() -> None:
    """Time what is asked for, print the tables and write them beside this file."""
    compare(__file__, __doc__, ROWS, measure, report, rounds=5)


def measure(row: Row, rounds: int, compiling: bool, device: str) -> dict[str, Any]:
    """Milliseconds, MiB kept, errors of the gradients, and limit of a row."""
    half = row.dtype == torch.bfloat16
    models = peers(row.work) | {name: our_model(row.work, policy) for name, policy in POLICIES.items()}
    images = row.work.images()
    reference = gradients(copy.deepcopy(models["timm"]).train().double(), images[:FEW].double(), False)
    models = {name: model.train().to(device) for name, model in models.items()}
    images = images.to(device)
    found = {name: gradients(model, images[:FEW], half) for name, model in models.items()}
    held = {name: kept(model, images, half) for name, model in models.items()}
    if compiling and row.compiled is not None:
        models[COMPILED] = compiled(models["timm"])
        models |= {OURS_COMPILED: compiled(models["ours"])} if device == "cuda" else {}
    calls = {name: partial(step, model, images, half) for name, model in models.items()}
    return {
        "ms": {name: 1e3 * seconds for name, seconds in medians(calls, rounds, 1, REPEATS[device]).items()},
        "limit": limit(row.work, row.dtype, device, PASSES),
        "kept": held,
        "errors": {name: apart(mine, reference) for name, mine in found.items()},
        "from timm": apart(found["ours"], found["timm"]),
        "rounds": rounds,
    }


def loss(model: nn.Module, images: Tensor, half: bool) -> Tensor:
    """Mean cross-entropy, under autocast to bfloat16 if `half`."""
    labels = torch.arange(len(images), device=images.device)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
        return F.cross_entropy(model(images), labels)


def step(model: nn.Module, images: Tensor, half: bool) -> None:
    """What is timed."""
    loss(model, images, half).backward()
    model.zero_grad()


def gradients(model: nn.Module, images: Tensor, half: bool) -> dict[str, Tensor]:
    """Gradient of each parameter, under official names, on the CPU in float64."""
    loss(model, images, half).backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    found = {name: grad.double().cpu() for name, grad in grads.items() if grad is not None}
    model.zero_grad()
    return to_official(found, detect_format(model.state_dict()))


def apart(found: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> tuple[float, float]:
    """Difference of gradients relative to the parameter's largest one: largest, and root of the mean square."""
    relative = [((found[name] - x).abs().max() / x.abs().max()).item() for name, x in reference.items()]
    return max(relative), (sum(x**2 for x in relative) / len(relative)) ** 0.5


def kept(model: nn.Module, images: Tensor, half: bool) -> float:
    """MiB that the graph holds for the backward pass, without weights, buffers and images."""
    outside = {x.untyped_storage().data_ptr() for x in (*model.parameters(), *model.buffers(), images)}
    held: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        held[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x.detach()  # or an output that its own node keeps would never be freed

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        graph = loss(model, images, half)
    del graph  # until here nothing that is held is freed, so that no two have the same address
    return sum(size for address, size in held.items() if address not in outside) / 2**20


def report(rows: Mapping[str, Row], found: Mapping[str, Any], device: str) -> str:
    """The three tables as Markdown.

    Args:
        rows: those that were measured.
        found: what was measured, by name of the row.
        device: cpu or cuda.
    """
    names = columns((*EAGER, COMPILED, *POLICIES, OURS_COMPILED), rows, found)
    eager = [name for name in names if name not in (COMPILED, OURS_COMPILED)]
    lines = [times(name, row, found[name], names, device) for name, row in rows.items()]
    memory = [
        [name, *(f"{held[one]:.0f}" if one in held else "–" for one in eager)]
        for name, held in ((name, found[name]["kept"]) for name in rows)
    ]
    errors = [
        [name, *(small(found[name]["errors"].get(one)) for one in eager), small(found[name]["from timm"])]
        for name in rows
    ]
    return (
        f"# Training step\n\n{table(header(names, device), lines)}\n\n"
        f"{table(['kept for the backward pass, MiB', *eager], memory)}\n\n"
        f"{table(['error of the gradients', *eager, 'ours from timm'], errors)}\n\n"
        f"{footer(__file__, device)}\n\n{ABOUT.format(rounds=rounds_of(found), few=FEW)}\n{NOTE}\n"
    )


if __name__ == "__main__":
    main()
