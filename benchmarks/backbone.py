"""Forward pass beside timm, transformers, torchvision and compiled timm: `python -m benchmarks.backbone`."""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import swinv2
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
from benchmarks.peers import EAGER, Work, compiled, error, our_model, peers
from benchmarks.timing import medians, table

PLAIN = "ours, not optimised"
FEW = 8  # images, at most, whose outputs are compared
ROWS = {
    "cpu": {
        "T-w8-256-float32": Row(Work(TINY8, 8, 8, 256, 256), torch.float32, 0.58, 0.70),
        "T-w8-256-bfloat16": Row(Work(TINY8, 8, 8, 256, 256), torch.bfloat16, 0.68, 0.77),
        "T-w16-256-float32": Row(Work(TINY16, 16, 8, 256, 256), torch.float32, 0.43, 0.63),
        "T-w16-256-bfloat16": Row(Work(TINY16, 16, 8, 256, 256), torch.bfloat16, 0.50),
        "B-w24-384-float32": Row(Work(BASE24, 24, 2, 384, 384), torch.float32, 0.34, 0.68),
        "B-w24-384-bfloat16": Row(Work(BASE24, 24, 2, 384, 384), torch.bfloat16, 0.40),
        "T-w16-512-features": Row(Work(TINY16, 16, 2, 512, 512, True), torch.float32),
        "T-w8-800x1216-features": Row(Work(TINY8, 8, 1, 800, 1216, True), torch.float32, 0.50, 0.66),
        "T-w16-800x1216-features": Row(Work(TINY16, 16, 1, 800, 1216, True), torch.float32, 0.33),
    },
    "cuda": {
        "T-w8-256-bfloat16": Row(Work(TINY8, 8, 64, 256, 256), torch.bfloat16, 0.25, 0.45),
        "B-w24-384-bfloat16": Row(Work(BASE24, 24, 64, 384, 384), torch.bfloat16, 0.15, 0.33),
    },
}
ABOUT = """\
T is `swinv2_tiny_*`, B `swinv2_base_window12to24_192to384`. A row's name has the window, the size of the images in
pixels and the type of weights and images; features are four maps, in float32. All have the same random weights, made
in float32, run in `torch.inference_mode` and take turns; medians of {rounds} rounds. torchvision's models have windows
of 8. Ours is after `swinv2.optimize_for_inference`, and beside it without. Compiled is `torch.compile`; beside it
stands the faster one of ours. Errors are differences of the logits (of the coarsest map) from those of timm in float64,
the largest and the root of the mean square, in multiples of the largest logit. At 800 x 1216 windows do not fill the
maps: timm pads them after the shift, transformers and torchvision before it, which are other functions than cutting
them, at the borders.
"""


def main() -> None:
    """Time what is asked for, print the tables and write them beside this file."""
    compare(__file__, __doc__, ROWS, measure, report, rounds=7)


def measure(row: Row, rounds: int, compiling: bool, device: str) -> dict[str, Any]:
    """Milliseconds, errors and limit of a row."""
    models = {name: model.eval() for name, model in {**peers(row.work), PLAIN: our_model(row.work)}.items()}
    images = row.work.images()
    reference = in_double(models["timm"], images[:FEW])
    models = {name: model.to(device, row.dtype) for name, model in models.items()}
    models["ours"] = swinv2.optimize_for_inference(copy.deepcopy(models[PLAIN]))
    images = images.to(device, row.dtype)
    with torch.inference_mode():
        outputs = {name: model(images[:FEW]) for name, model in models.items()} if row.work.whole else {}
        errors = {name: error(output, reference) for name, output in outputs.items()}
        apart = error(outputs["ours"], outputs["timm"]) if outputs else None
        if compiling and row.compiled is not None:
            models[COMPILED] = compiled(models["timm"])
            models |= {OURS_COMPILED: compiled(models[PLAIN])} if device == "cuda" else {}
        took = medians({name: partial(model, images) for name, model in models.items()}, rounds, 1, REPEATS[device])
    return {
        "ms": {name: 1e3 * seconds for name, seconds in took.items()},
        "limit": limit(row.work, row.dtype, device),
        "errors": errors,
        "from timm": apart,
        "rounds": rounds,
    }


def in_double(model: nn.Module, images: Tensor) -> Any:
    """What a model gives in float64."""
    with torch.inference_mode():
        return copy.deepcopy(model).double()(images.double())


def report(rows: Mapping[str, Row], found: Mapping[str, Any], device: str) -> str:
    """Both tables as Markdown.

    Args:
        rows: those that were measured.
        found: what was measured, by name of the row.
        device: cpu or cuda.
    """
    names = columns((*EAGER, COMPILED, PLAIN, "ours", OURS_COMPILED), rows, found)
    whose = [*EAGER, PLAIN, "ours"]
    errors = [
        [name, *(small(found[name]["errors"].get(one)) for one in whose), small(found[name]["from timm"])]
        for name in rows
        if found[name]["errors"]
    ]
    lines = [times(name, row, found[name], names, device) for name, row in rows.items()]
    return (
        f"# Forward pass, inference\n\n{table(header(names, device), lines)}\n\n"
        f"{table(['error', *whose, 'ours from timm'], errors)}\n\n"
        f"{footer(__file__, device)}\n\n{ABOUT.format(rounds=rounds_of(found))}\n{NOTE}\n"
    )


if __name__ == "__main__":
    main()
