"""Tables and pictures of the benchmark of scaling."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.peers import VERSIONS
from benchmarks.timing import machine, ratio, table
from swinv2.training.plots import save_figure

LINES = {"ours": "-", "timm": "--"}
QUANTITIES = {"seconds": "time, s", "peak": "peak memory, GiB"}
ABOUT = """\
SwinV2-T, the four feature maps of one square image, float32, `torch.inference_mode`, ours after
`swinv2.optimize_for_inference`; the same random weights, in turns, medians of {rounds} rounds. Peak memory is resident,
above that of the process with the model just built, which in timm has the masks of its size already.
"""

Points = Sequence[Mapping[str, Any]]


def report(found: Mapping[str, Points], rounds: int) -> str:
    """What was measured as Markdown.

    Args:
        found: points of each part.
        rounds: how often each model was timed.
    """
    sections: dict[str, Callable[[Points], str]] = {
        "sides": of_sides,
        "windows": of_windows,
    }
    texts = [section(found[part]) for part, section in sections.items() if part in found]
    return (
        "# Time and memory against size and window\n\n"
        + "\n\n".join(texts)
        + f"\n\n{machine()},\n{VERSIONS}. `python -m benchmarks.scaling`.\n\n{ABOUT.format(rounds=rounds)}"
    )


def of_sides(points: Points) -> str:
    """Sides at fixed windows, and the exponents."""
    grown = [f"{name}: {fitted(line):.2f}" for name, line in lines_of(points, "side", "seconds", True).items()]
    held = [f"{name}: {fitted(line):.2f}" for name, line in lines_of(points, "side", "peak", True).items()]
    return (
        f"## Size of the image\n\n{compared(points)}\n\n"
        f"Time grows with this power of the number of pixels: {', '.join(grown)}.\n"
        f"Peak memory with this one: {', '.join(held)}.\n\n![time and memory](../docs/scaling_sides.png)"
    )


def of_windows(points: Points) -> str:
    """Windows at a fixed side."""
    return f"## Size of the window\n\n{compared(points)}\n\n![time and memory](../docs/scaling_windows.png)"


def compared(points: Points) -> str:
    """A table of ours and timm."""
    header = ["window", "side, pixels", "timm, s", "ours, s", "ours / timm", "timm, GiB", "ours, GiB", "ours / timm"]
    rows = []
    for point in points:
        cells = [str(point["window"]), str(point["side"])]
        for kind, digits in (("seconds", 3), ("peak", 2)):
            theirs, ours = (point[kind][whose] for whose in ("timm", "ours"))
            cells += [f"{theirs:.{digits}f}", f"{ours:.{digits}f}", ratio(ours, theirs)]
        rows.append(cells)
    return table(header, rows)


def draw(found: Mapping[str, Points], folder: Path) -> None:
    """Write the pictures of the parts that were measured.

    Args:
        found: points of each part.
        folder: for the pictures.
    """
    if "sides" in found:
        save_figure(folder / "scaling_sides.png", against(found["sides"], "side"))
    if "windows" in found:
        save_figure(folder / "scaling_windows.png", against(found["windows"], "window"))


def against(points: Points, what: str) -> Figure:
    """Time and memory, both axes in logarithms.

    Args:
        points: of ours and timm.
        what: "side" or "window", of the horizontal axis.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (kind, label) in zip(figure.subplots(1, 2), QUANTITIES.items(), strict=True):
        for name, line in lines_of(points, what, kind).items():
            color = "C1" if "16" in name else "C0"
            exponent = f", pixels^{fitted(line, 2):.2f}" if what == "side" else ""
            axes.plot(*zip(*line, strict=True), LINES[name[:4]], color=color, marker=".", label=name + exponent)
        axes.set(xscale="log", yscale="log", xlabel=f"{what}, {'pixels' if what == 'side' else 'tokens'}", ylabel=label)
        ticks = sorted({point[what] for point in points})
        axes.set_xticks(ticks, list(map(str, ticks)), minor=False)
        axes.set_xticks([], minor=True)
        dressed(axes)
    return figure


def dressed(axes: Axes) -> None:
    """Grid and legend as in the other pictures."""
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize="small")


def lines_of(points: Points, what: str, kind: str, squared: bool = False) -> dict[str, list[tuple[float, float]]]:
    """Points of each line.

    Args:
        points: of ours and timm.
        what: "side" or "window", the first number of each pair.
        kind: "seconds" or "peak", the second.
        squared: whether the first is squared, a side thus pixels.
    """
    power = 2 if squared else 1
    lines: dict[str, list[tuple[float, float]]] = {}
    for whose in LINES:
        for point in points:
            name = f"{whose}, window {point['window']}" if what == "side" else whose
            lines.setdefault(name, []).append((point[what] ** power, point[kind][whose]))
    return lines


def fitted(line: Sequence[tuple[float, float]], divisor: int = 1) -> float:
    """Exponent of the power law through some points, by least squares of the logarithms."""
    xs, ys = zip(*((math.log(x), math.log(y)) for x, y in line), strict=True)
    return statistics.linear_regression(xs, ys).slope / divisor
