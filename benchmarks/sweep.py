"""Time per pixel of every side, where cliffs would show: `python -m benchmarks.sweep [PART …]`."""

import argparse
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor, nn

from benchmarks.results import keep
from benchmarks.scaling import build, called, square
from benchmarks.scaling_report import dressed
from benchmarks.timing import machine, medians, table
from swinv2.backbone import Block, SwinTransformerV2
from swinv2.engines.cpu.engine import BYTES_IN_CACHE
from swinv2.engines.cpu.packing import Product, pack, packed_product
from swinv2.training.plots import save_figure

RESULT = Path(__file__).with_suffix(".md")
PICTURE = Path(__file__).parents[1] / "docs" / "scaling_sweep.png"
GOAL = 1.3  # time per pixel of any side, in multiples of the best, at most
EVERY, SOME = range(224, 1345, 8), (*range(224, 513, 8), *range(576, 1345, 64))  # sides
PIXELS = 2**19  # of a batch, at least
REFERENCE = 512  # pixels of the side that the others take turns with
SECONDS = 0.3  # that a side is timed for, after a first call; what takes longer is timed once
ROWS = BYTES_IN_CACHE // torch.float32.itemsize  # tokens that a block takes at a time
ENDS, MORE = 12, 6  # sides that are slowest and fastest so far, and further passes through these

PARTS = {  # name: window, sides, pixels of a call, title
    "8": (8, EVERY, PIXELS, "Every side, window 8"),
    "16": (16, EVERY, PIXELS, "Every side, window 16"),
    "single8": (8, EVERY, 1, "Single images, window 8"),
    "single16": (16, EVERY, 1, "Single images, window 16"),
    "products": (8, SOME, 1, "Matrix products alone, single images"),
}
ABOUT = f"""\
SwinV2-T, the four feature maps of square images, float32, `torch.inference_mode`, after
`swinv2.optimize_for_inference`. Every side has as many images in a call as come to half a million pixels, so that all
sides have about as much to do and what differs is how well a size can be cut into windows; large ones have one image.
Small images are measured one by one as well, where a call costs more by the pixel whatever the size: 110 MB of weights
are read, and two cores wait for each other in every operator. The matrix products alone are the same linear layers on
as many tokens, as many at a time, with nothing between; maps of odd sides are rounded up by each merging.

Sides come in random order, each beside 512 pixels in the same kind of call right before and after it, as a machine that
others use is slow at times; the {ENDS} sides that are slowest and fastest so far have {MORE} such ratios more, of which
the median counts. A call is timed after a first one of the same size, and for a third of a second if it is shorter.
"""

Points = Sequence[Mapping[str, Any]]


def main() -> None:
    """Measure the parts asked for, print the tables, write them beside this file, and draw the picture of the docs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; all if left out")
    for part in parser.parse_args().parts or PARTS:
        window, sides, pixels, _ = PARTS[part]
        model = build("ours", square(window, 256))
        found = keep("sweep", {part: sweep(Products(model) if part == "products" else model, sides, pixels)})
        text = report(found)
        RESULT.write_text(text)  # after each part, as they take minutes
        save_figure(PICTURE, draw(found))
    print(text)


class Products(nn.Module):
    """The linear layers of a model alone, on as many tokens as they have there.

    Args:
        model: whose layers are multiplied by.
    """

    def __init__(self, model: SwinTransformerV2):
        super().__init__()
        self.model = model

    def forward(self, images: Float[Tensor, "b channels h w"]) -> None:
        """One after the other, as many tokens at a time as a block takes."""
        tokens = shrunk(images.shape[2:], self.model.patch_embed.patch_size)
        for stage in self.model.stages:
            rows = len(images) * math.prod(tokens)
            for block in cast(list[Block], list(stage.blocks)):
                layers = block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2
                for start in range(0, rows, ROWS):
                    multiply(layers, min(rows - start, ROWS))
            if stage.downsample is not None:
                tokens = shrunk(tokens, stage.downsample.stride)
                multiply([stage.downsample.reduction], len(images) * math.prod(tokens))


def shrunk(size: Sequence[int], by: Sequence[int]) -> list[int]:
    """Lengths of axes divided and rounded up."""
    return [-(-length // divisor) for length, divisor in zip(size, by, strict=True)]


def multiply(layers: Sequence[nn.Linear], rows: int) -> None:
    """Products of so many rows, whatever is in them."""
    for layer in layers:
        multiplied_by(layer)(given(rows, layer.in_features))


@cache
def multiplied_by(layer: nn.Linear) -> Product:
    """A layer's product, by its weight packed where that can be."""
    packed = pack(layer.weight)
    return layer if packed is None else packed_product(packed, layer.bias)


@cache
def given(rows: int, channels: int) -> Float[Tensor, "rows channels"]:
    """What is multiplied, once for each shape."""
    return torch.randn(rows, channels)


def sweep(model: nn.Module, sides: Sequence[int], pixels: int) -> list[dict[str, float]]:
    """Seconds of an image at each side, as the median of ratios to the reference right before and after it.

    Args:
        model: that takes the images.
        sides: of the images.
        pixels: that a call has at least.
    """
    ratios: dict[int, list[float]] = {side: [] for side in sides}
    references = [timed(model, REFERENCE, pixels)]
    for i in range(1 + MORE):
        ordered = sorted(sides, key=lambda side: median(ratios[side] or [0]) / side**2)
        chosen = [*sides] if i == 0 else [*dict.fromkeys(ordered[:ENDS] + ordered[-ENDS:])]
        random.Random(i).shuffle(chosen)
        for side in chosen:
            seconds = timed(model, side, pixels)
            references.append(timed(model, REFERENCE, pixels))
            ratios[side].append(2 * seconds / sum(references[-2:]))
    return [{"side": side, "seconds": median(found) * median(references)} for side, found in ratios.items()]


def timed(model: nn.Module, side: int, pixels: int) -> float:
    """Median seconds of a forward pass by the image, after a first pass; short ones are timed more often."""
    images = -(-pixels // side**2)
    call = called(model, torch.randn(images, 3, side, side))
    once = medians({"": call}, 1)[""]
    rounds = round(SECONDS / once)
    return (medians({"": call}, rounds, first=0)[""] if rounds > 1 else once) / images


def report(found: Mapping[str, Points]) -> str:
    """What was measured as Markdown."""
    sections = [of_part(title, found[part]) for part, (*_, title) in PARTS.items() if part in found]
    return (
        "# Time per pixel of every side\n\n![time per pixel](../docs/scaling_sweep.png)\n\n"
        + "\n\n".join(sections)
        + f"\n\n{machine()}. `python -m benchmarks.sweep`.\n\n{ABOUT}"
    )


def of_part(title: str, points: Points) -> str:
    """The worst sides of a sweep."""
    over = relative(points)
    best, worst = min(over, key=lambda side: over[side]), sorted(over, key=lambda side: over[side])[-8:][::-1]
    above = sum(value > GOAL for value in over.values())
    rows = [[str(side), f"{over[side]:.2f}"] for side in worst]
    return (
        f"## {title}\n\n{table(['slowest sides, pixels', 'time per pixel / best'], rows)}\n\n"
        f"The best is {1e6 * per_pixel(points)[best]:.2f} µs a pixel, at {best}; the median side takes "
        f"{statistics.median(over.values()):.2f} of it;\n{above} of {len(over)} sides take more than {GOAL}."
    )


def draw(found: Mapping[str, Points]) -> Figure:
    """Time per pixel against the side, a line for each part, in multiples of the best of the same window."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    for part, (window, _, pixels, title) in PARTS.items():
        if part in found:
            over = relative(found[part])
            colour = "0.6" if part == "products" else "C1" if window == 16 else "C0"
            style = {"color": colour, "linestyle": ":" if pixels == 1 else "-"}
            axes.plot(list(over), list(over.values()), label=title[0].lower() + title[1:], **style)
    axes.axhline(GOAL, color="0.4", linewidth=0.8, label=f"goal {GOAL}")
    axes.set(xlabel="side, pixels", ylabel="time per pixel / best", ylim=(0.9, None))
    dressed(axes)
    return figure


def per_pixel(points: Points) -> dict[int, float]:
    """Seconds per pixel of each side."""
    return {point["side"]: point["seconds"] / point["side"] ** 2 for point in points}


def relative(points: Points) -> dict[int, float]:
    """Time per pixel of each side in multiples of the best."""
    seconds = per_pixel(points)
    return {side: value / min(seconds.values()) for side, value in seconds.items()}


if __name__ == "__main__":
    main()
