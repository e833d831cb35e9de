"""Time per pixel of every side, where cliffs would show: `python -m benchmarks.sweep [PART …]`."""

import argparse
import random
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn

from benchmarks.results import keep
from benchmarks.scaling import build, called, square
from benchmarks.scaling_report import dressed
from benchmarks.timing import machine, medians, table
from swinv2.figures import save_figure

RESULT = Path(__file__).with_suffix(".md")
PICTURE = Path(__file__).parents[1] / "docs" / "scaling_sweep.png"
GOAL = 1.3  # time per pixel of any side, in multiples of the best, at most
EVERY = range(224, 1345, 8)  # sides
PIXELS = 2**19  # of a batch, at least
REFERENCE = 512  # pixels of the side that the others take turns with
SECONDS = 0.3  # that a side is timed for, after a first call; what takes longer is timed once
ENDS, MORE = 12, 6  # sides that are slowest and fastest so far, and further passes through these

PARTS = {  # name: window, sides, pixels of a call, title
    "8": (8, EVERY, PIXELS, "Every side, window 8"),
    "16": (16, EVERY, PIXELS, "Every side, window 16"),
    "single8": (8, EVERY, 1, "Single images, window 8"),
    "single16": (16, EVERY, 1, "Single images, window 16"),
}
ABOUT = f"""\
SwinV2-T, the four feature maps of square images, float32, `torch.inference_mode`, after
`swinv2.optimize_for_inference`. Every side has as many images in a call as come to half a million pixels, so that all
sides have about as much to do and what differs is how well a size can be cut into windows; large ones have one image.
Small images are measured one by one as well, where a call costs more by the pixel whatever the size: 110 MB of weights
are read, and two cores wait for each other in every operator.

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
        found = keep("sweep", {part: sweep(window, sides, pixels)})
        text = report(found)
        RESULT.write_text(text)  # after each part, as they take minutes
        save_figure(PICTURE, draw(found))
    print(text)


def sweep(window: int, sides: Sequence[int], pixels: int) -> list[dict[str, float]]:
    """Our seconds of an image at each side, as the median of ratios to the reference right before and after it.

    Args:
        window: tokens.
        sides: of the images.
        pixels: that a call has at least.
    """
    model = build("ours", square(window, 256))
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
    for part, (window, sides, _, title) in PARTS.items():
        if part in found:
            over = relative(found[part])
            style = {"color": "C1" if window == 16 else "C0", "linestyle": "-" if sides is EVERY else ":"}
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
