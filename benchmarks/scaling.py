"""Time and memory against the size of the image and of the window: `python -m benchmarks.scaling [PART …]`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import swinv2
from benchmarks.comparison import TINY8
from benchmarks.peers import Work, our_model, peer
from benchmarks.process import numbers_in_process, peak
from benchmarks.results import keep
from benchmarks.scaling_report import draw, report
from benchmarks.timing import medians

RESULT, PICTURES = Path(__file__).with_suffix(".md"), Path(__file__).parents[1] / "docs"
WHOSE = ("timm", "ours")
SIDES, OF_SIDES = (256, 512, 768, 1024, 1536, 2048), (8, 16)  # pixels, and windows that sides are compared at
WINDOWS, OF_WINDOWS = (8, 12, 16, 24, 32), 1024  # tokens, and the side that windows are compared at

Point = dict[str, Any]


def main() -> None:
    """Measure the parts asked for, print tables, write them beside this file, and draw the pictures of the docs."""
    parts: dict[str, Callable[[int], Any]] = {
        "sides": lambda rounds: curve([square(window, side) for window in OF_SIDES for side in SIDES], rounds),
        "windows": lambda rounds: curve([square(window, OF_WINDOWS) for window in WINDOWS], rounds),
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(parts)}; all if left out")
    parser.add_argument("--rounds", type=int, default=3, help="how often each model is timed")
    parser.add_argument("--peak", nargs="+", help=argparse.SUPPRESS)  # whose, windows and sides; by itself
    options = parser.parse_args()
    if options.peak:
        print(*peaks(options.peak[0], list(map(int, options.peak[1:]))))
        return
    for part in options.parts or parts:
        found = keep("scaling", {part: parts[part](options.rounds)})
        text = report(found, options.rounds)
        RESULT.write_text(text)  # after each part, as they take minutes
        draw(found, PICTURES)
    print(text)


def square(window: int, side: int) -> Work:
    """Feature maps of one square image."""
    return Work(TINY8, window, 1, side, side, features=True)


def build(whose: str, work: Work) -> nn.Module:
    """A model ready for inference."""
    return swinv2.optimize_for_inference(our_model(work)) if whose == "ours" else peer(whose, work).eval()


def called(model: nn.Module, images: Tensor) -> Callable[[], object]:
    """A forward pass without gradients."""
    return torch.inference_mode()(lambda: model(images))


def curve(works: list[Work], rounds: int) -> list[Point]:
    """Seconds and GiB of each model at each size and window."""
    cuts = [str(number) for work in works for number in (work.window, work.height)]
    memory = {whose: numbers_in_process("benchmarks.scaling", "--peak", whose, *cuts) for whose in WHOSE}
    points = []
    for i, work in enumerate(works):
        images = work.images()
        seconds = medians({whose: called(build(whose, work), images) for whose in WHOSE}, rounds)
        gib = {whose: memory[whose][i] for whose in WHOSE}
        points.append({"window": work.window, "side": work.height, "seconds": seconds, "peak": gib})
        print(points[-1], flush=True)
    return points


def peaks(whose: str, cuts: list[int]) -> list[float]:
    """Largest resident memory of a forward pass, GiB above that before, at each window and side."""
    works = [square(window, side) for window, side in zip(cuts[::2], cuts[1::2], strict=True)]
    first = [works[0]]  # twice: what PyTorch sets up once is not counted
    return [peak(called(build(whose, work), work.images())) for work in first + works][1:]


if __name__ == "__main__":
    main()
