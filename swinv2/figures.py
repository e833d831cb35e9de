"""Figures of matplotlib as files."""

import warnings
from pathlib import Path

from matplotlib.figure import Figure


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure to a file whose suffix names the format.

    Args:
        path: the file, whose folder is there.
        figure: names in it may be in letters that the font does not have; boxes then stand for them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(path, dpi=110)
