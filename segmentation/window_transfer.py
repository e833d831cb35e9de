"""`swinv2 windows`: one checkpoint of a segmenter at several windows and image sizes (the paper's table 1)."""

import argparse
import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from segmentation.cli import main as segmentation
from swinv2.figures import save_figure

NOTHING_ELSE = ("--model.pictures", "0", "--model.maps", "false")

Validate = Callable[[Sequence[str]], None]  # runs a validation with these options


class Point(NamedTuple):
    """What a checkpoint gives at one window and image size.

    Attributes:
        short_edge: of the images, pixels.
        window_size: tokens.
        mean_iou: 0 to 1.
    """

    short_edge: int
    window_size: int
    mean_iou: float


def main(args: Sequence[str]) -> None:
    """Validate a segmenter at every window and size asked for; print a table, and write it and a picture.

    Args:
        args: the command line after `swinv2 windows`.
    """
    parser = argparse.ArgumentParser(
        prog="swinv2 windows",
        description="Validate one checkpoint of a segmenter at several windows and image sizes. The position bias is a "
        "function of offsets, so that no window needs new weights.",
        epilog="All other options are those of `swinv2 segmentation validate`, e.g. --config and --ckpt_path.",
    )
    parser.add_argument("--window_sizes", type=int, nargs="+", required=True, metavar="N", help="tokens")
    parser.add_argument("--short_edges", type=int, nargs="+", required=True, metavar="N", help="of the images, pixels")
    parser.add_argument("--output", type=Path, default=Path("runs/windows"), help="folder for table and picture")
    own, rest = parser.parse_known_args(args)
    points = measure(validate, rest, own.window_sizes, own.short_edges, own.output)
    with (own.output / "windows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([Point._fields, *points])
    save_figure(own.output / "windows.png", draw({"": points}))
    print("\nshort edge  window  mIoU")
    for point in points:
        print(f"{point.short_edge:10}  {point.window_size:6}  {point.mean_iou:.3f}")
    print(f"\ntable and picture: {own.output / 'windows.csv'}, {own.output / 'windows.png'}")


def validate(options: Sequence[str]) -> None:
    """Run `swinv2 segmentation validate` with these options."""
    segmentation(["validate", *options])


def measure(
    validate: Validate, options: Sequence[str], window_sizes: Sequence[int], short_edges: Sequence[int], folder: Path
) -> list[Point]:
    """Mean IoU at every window and size; each validation leaves its report in a folder of its own.

    Args:
        validate: what does the work.
        options: of all validations, which say what is validated.
        window_sizes: tokens.
        short_edges: of the images, pixels; the long edge may be four times as long.
        folder: for the reports.
    """
    points = []
    for edge in short_edges:
        for window in window_sizes:
            output = folder / f"edge{edge}_window{window}"
            size = ["--data.val_short_edge", str(edge), "--data.val_long_edge", str(4 * edge)]
            validate(
                [*options, *size, "--model.test_window_size", str(window), "--model.output", str(output), *NOTHING_ELSE]
            )
            points.append(Point(edge, window, json.loads((output / "scores.json").read_text())["mIoU"]))
    return points


def draw(series: Mapping[str, Sequence[Point]]) -> Figure:
    """Mean IoU against the window, a panel for each image size, a line for each checkpoint.

    Args:
        series: points of each checkpoint, by name.
    """
    edges = sorted({point.short_edge for points in series.values() for point in points})
    figure = Figure(figsize=(1 + 4 * len(edges), 3.6), layout="constrained")
    panels = figure.subplots(1, len(edges), sharey=True, squeeze=False)[0]
    for axes, edge in zip(panels, edges, strict=True):
        for name, points in series.items():
            line = [(point.window_size, point.mean_iou) for point in points if point.short_edge == edge]
            axes.plot(*zip(*line, strict=True), marker="o", label=name or None)
            axes.set_xticks([window for window, _ in line])
        axes.set(title=f"short edge {edge} pixels", xlabel="window, tokens")
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("mIoU")
    if any(series):
        panels[0].legend()
    return figure
