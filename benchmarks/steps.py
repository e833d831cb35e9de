"""Steps and inference of whole models, beside another checkout: `python -m benchmarks.steps --before FOLDER`."""

import argparse
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import swinv2
from benchmarks.timing import machine, medians, table
from detection import MaskRCNN
from segmentation import UPerNet
from swinv2 import BackboneConfig
from video.classifier import VideoClassifier

HERE, RESULT = Path(__file__).parents[1], Path(__file__).with_suffix(".md")
SIDE, FRAMES = 512, 16
NOTE = f"""\
SwinV2-T, float32. Images of {SIDE} x {SIDE}, windows of 16 tokens, 80 and 150 classes; a step of the detector has one
with 10 objects, one of UPerNet two. A clip of {FRAMES} x 224 x 224, windows of 8 x 7 x 7, 400 classes. A step is the
forward and the backward pass, without the optimizer; inference is after `swinv2.optimize_for_inference`. Each line and
checkout in processes of its own, in turns; medians. Peak memory is resident, of a process with one step, above that
with the model built.
"""


def main() -> None:
    """Measure, print the table and write it beside this file; with `--work`, one model of the code in PYTHONPATH."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="another checkout of this project")
    parser.add_argument("--rows", nargs="+", choices=WORKS, default=list(WORKS), help="some of the models")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed in a process")
    parser.add_argument("--turns", type=int, default=2, help="how many processes each gets")
    parser.add_argument("--work", choices=WORKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print(*measure(options.work, options.rounds))
        return
    from benchmarks.results import keep  # not in a process with another checkout, which may not have it

    folders = [*([options.before] if options.before else []), HERE]
    for work in options.rows:
        found: list[list[list[float]]] = [[] for _ in folders]
        for _ in range(options.turns):
            for folder, numbers in zip(folders, found, strict=True):
                numbers.append(in_checkout(folder.resolve(), work, options.rounds))
        typical = [[statistics.median(column) for column in zip(*numbers, strict=True)] for numbers in found]
        print(work, typical, flush=True)
        RESULT.write_text(report(keep("steps", {work: typical}), options.before))
    print(RESULT.read_text())


def report(found: Mapping[str, list[list[float]]], before: Path | None) -> str:
    """The table as Markdown.

    Args:
        found: of each model and checkout, seconds of a step and of inference, and GiB.
        before: the other checkout.
    """
    rows = []
    for work, typical in found.items():
        for what, *values in zip(("training step, s", "inference, s", "peak of a step, GiB"), *typical, strict=True):
            rows.append([f"{work}: {what}", *(f"{value:.2f}" for value in values)])
            rows[-1] += [f"{values[1] / values[0]:.2f}"] if before else []
    header, command = ["", "now"], "python -m benchmarks.steps"
    if before:
        header, command = ["", "before", "now", "now / before"], f"{command} --before {revision(before)}"
    return f"# Whole models\n\n{table(header, rows)}\n\n{machine()}.\n`{command}`.\n{NOTE}"


def in_checkout(folder: Path, work: str, rounds: int) -> list[float]:
    """Seconds of a step and of inference, and GiB, with the code of a checkout."""
    command = [sys.executable, "-P", __file__, "--work", work, "--rounds", str(rounds)]  # -P: not this file's siblings
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(folder)}, stdout=subprocess.PIPE, text=True, check=True
    )
    return [float(word) for word in done.stdout.splitlines()[-1].split()]


def revision(folder: Path) -> str:
    """Commit of a checkout."""
    done = subprocess.run(["git", "-C", folder, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True)
    return done.stdout.strip() or "FOLDER"


def measure(work: str, rounds: int) -> tuple[float, float, float]:
    """Seconds of a step and of inference, and GiB at most in a step."""
    torch.manual_seed(0)
    model, train, infer = WORKS[work]()
    model.train()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    train()
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    seconds = [medians({"": train}, rounds)[""]]
    swinv2.optimize_for_inference(model)
    with torch.inference_mode():
        seconds.append(medians({"": infer}, rounds)[""])
    return seconds[0], seconds[1], peak


Made = tuple[torch.nn.Module, Callable[[], object], Callable[[], object]]  # model, training step, inference


def detector() -> Made:
    """Mask R-CNN."""
    model = MaskRCNN(BackboneConfig("swinv2_tiny_window16_256", window_size=16), 80)
    image, corners = torch.rand(3, SIDE, SIDE), torch.rand(10, 2) * (SIDE - 200)
    boxes = torch.cat([corners, corners + 40 + 120 * torch.rand(10, 2)], 1)
    masks = torch.zeros(10, SIDE, SIDE, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    target = {"boxes": boxes, "labels": torch.arange(10), "masks": masks}
    return model, partial(backward, model, lambda: total(model([image], [target]))), lambda: model([image])


def segmenter() -> Made:
    """UPerNet."""
    model = UPerNet(BackboneConfig("swinv2_tiny_window16_256", window_size=16), 150)
    images, labels = torch.rand(2, 3, SIDE, SIDE), torch.randint(0, 150, (2, SIDE, SIDE))
    return model, partial(backward, model, lambda: total(model(images, labels))), lambda: model(images[:1])


def classifier() -> Made:
    """Classifier of clips."""
    model = VideoClassifier(BackboneConfig("swinv2_tiny_window8_256", window_size=[8, 7, 7]), 400)
    clip, label = torch.randint(0, 256, (1, 3, FRAMES, 224, 224), dtype=torch.uint8), torch.zeros(1, dtype=torch.long)
    return model, partial(backward, model, lambda: F.cross_entropy(model(clip), label)), lambda: model(clip)


WORKS: dict[str, Callable[[], Made]] = {"Mask R-CNN": detector, "UPerNet": segmenter, "video classifier": classifier}


def total(losses: dict[str, Tensor]) -> Tensor:
    """Sum of the losses."""
    return torch.stack(list(losses.values())).sum()


def backward(model: torch.nn.Module, loss: Callable[[], Tensor]) -> None:
    """Forward and backward pass."""
    model.zero_grad()
    loss().backward()


if __name__ == "__main__":
    main()
