"""`swinv2 windows`: one checkpoint at several windows and image sizes, without fine-tuning (the paper's table 1)."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import NamedTuple

from lightning.pytorch.utilities import rank_zero_only
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..training.plots import save_figure
from ..training.tables import write_csv
from .recipes import find_recipe
from .tasks import TASKS, task_of


class Kind(NamedTuple):
    """How a task is told the size of its images, and what it answers.

    Attributes:
        metric: the score, as it stands in scores.json.
        sizes: options that take the size, and what it is multiplied by.
        quiet: options that leave out what is not needed here.
    """

    metric: str
    sizes: Mapping[str, int]
    quiet: Sequence[str] = ()


SEGMENTATION_SIZES = {"--data.val_short_edge": 1, "--data.val_long_edge": 4}
KINDS = {
    "classification": Kind("top1", {"--data.size": 1}),
    "segmentation": Kind("mIoU", SEGMENTATION_SIZES, ("--model.pictures", "0", "--model.maps", "false")),
}


class Point(NamedTuple):
    """What a checkpoint gives at one window and image size.

    Attributes:
        short_edge: of the images, pixels.
        window_size: tokens.
        score: 0 to 1.
    """

    short_edge: int
    window_size: int
    score: float


def main(args: Sequence[str]) -> None:
    """Validate a classifier or segmenter at every window and size asked for; print a table, write it and a picture.

    Args:
        args: the command line after `swinv2 windows`.

    Raises:
        ValueError: windows and sizes are no pairs, there is no such recipe, or it is not known of which task it is.
    """
    own, rest = _parser().parse_known_args(args)
    recipes = [find_recipe(name) for name in own.config]
    task = own.task or task_of(recipes[0], KINDS, f"add --task {' or --task '.join(KINDS)}")
    metric = KINDS[task].metric
    configs = [word for recipe in recipes for word in ("--config", str(recipe))]
    cuts = combined(own.short_edges, own.window_sizes, own.pairs)
    points = measure(task, [*configs, *rest], cuts, own.output)
    if not points:
        return  # the first process has them
    table, picture = own.output / "windows.csv", own.output / "windows.png"
    write_csv(table, ("short_edge", "window_size", metric), points)
    save_figure(picture, (draw_pairs if own.pairs else draw)({"": points}, metric))
    print(f"\nshort edge  window  {metric:>5}")
    for point in points:
        print(f"{point.short_edge:10}  {point.window_size:6}  {point.score:.3f}")
    print(f"\ntable and picture: {table}, {picture}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="swinv2 windows",
        description="Validate one checkpoint of a classifier or segmenter at several windows and image sizes. The "
        "position bias is a function of offsets, so that no window needs new weights.",
        epilog="All other options are those of `validate` of the recipe's task, e.g. --ckpt_path. On several devices "
        "each scores its part of the images, and the first one writes table and picture.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="append", required=True, metavar="RECIPE", help="to validate")
    parser.add_argument("--task", choices=KINDS, help="if the recipe is in no folder of its task's name")
    parser.add_argument("--window_sizes", type=int, nargs="+", required=True, metavar="N", help="tokens")
    parser.add_argument("--short_edges", type=int, nargs="+", required=True, metavar="N", help="of the images, pixels")
    pairs = "the first window with the first size and so on, as in table 1, instead of every window with every size"
    parser.add_argument("--pairs", action="store_true", help=pairs)
    parser.add_argument("--output", type=Path, default=Path("runs/windows"), help="folder for table and picture")
    return parser


def combined(short_edges: Sequence[int], window_sizes: Sequence[int], pairs: bool) -> list[tuple[int, int]]:
    """Size and window of each validation.

    Raises:
        ValueError: there should be pairs, but there are more of the one than of the other.
    """
    if not pairs:
        return list(product(short_edges, window_sizes))
    if len(short_edges) != len(window_sizes):
        raise ValueError(
            f"--pairs needs a size for each window, got {len(short_edges)} short_edges and {len(window_sizes)} "
            "window_sizes; e.g. --window_sizes 8 12 16 --short_edges 256 384 512."
        )
    return list(zip(short_edges, window_sizes, strict=True))


def measure(task: str, options: Sequence[str], cuts: Iterable[tuple[int, int]], folder: Path) -> list[Point]:
    """The score at every size and window; each validation leaves its report in a folder of its own.

    Of several processes only the first one has the scores, the others give none.

    Args:
        task: one of `KINDS`.
        options: of all validations, which say what is validated.
        cuts: size, in pixels, and window, in tokens, of each.
        folder: for the reports.
    """
    kind, command = KINDS[task], import_module(TASKS[task][0])
    points = []
    for edge, window in cuts:
        output = folder / f"edge{edge}_window{window}"
        size = [word for option, factor in kind.sizes.items() for word in (option, str(factor * edge))]
        here = ["--model.test_window_size", str(window), "--model.output", str(output)]
        command.main(["validate", *options, *size, *here, *kind.quiet])
        if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            points.append(Point(edge, window, json.loads((output / "scores.json").read_text())[kind.metric]))
    return points


def draw(series: Mapping[str, Sequence[Point]], score: str) -> Figure:
    """The score against the window, a panel for each image size, a line for each checkpoint.

    Args:
        series: points of each checkpoint, by name.
        score: name of the score.
    """
    edges = sorted({point.short_edge for points in series.values() for point in points})
    figure = Figure(figsize=(1 + 4 * len(edges), 3.6), layout="constrained")
    panels = figure.subplots(1, len(edges), sharey=True, squeeze=False)[0]
    for axes, edge in zip(panels, edges, strict=True):
        here = {name: [point for point in points if point.short_edge == edge] for name, points in series.items()}
        lines = {name: [(point.window_size, point.score) for point in points] for name, points in here.items()}
        _draw_lines(axes, lines, {x: str(x) for line in lines.values() for x, _ in line})
        axes.set(title=f"short edge {edge} pixels", xlabel="window, tokens")
    panels[0].set_ylabel(score)
    return figure


def draw_pairs(series: Mapping[str, Sequence[Point]], score: str) -> Figure:
    """The score against pairs of window and image size, a line for each checkpoint; arguments as of `draw`."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    lines = {name: [(at, point.score) for at, point in enumerate(points)] for name, points in series.items()}
    cuts = next(iter(series.values()))
    _draw_lines(axes, lines, {at: f"{point.window_size}\n{point.short_edge}" for at, point in enumerate(cuts)})
    axes.set(xlabel="window, tokens\nshort edge, pixels", ylabel=score)
    return figure


def _draw_lines(axes: Axes, lines: Mapping[str, Sequence[tuple[int, float]]], ticks: Mapping[int, str]) -> None:
    for name, line in lines.items():
        axes.plot(*zip(*line, strict=True), marker="o", label=name or None)
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    if any(lines):
        axes.legend()
