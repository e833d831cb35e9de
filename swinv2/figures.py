"""Figures of matplotlib as files."""

import warnings
from pathlib import Path
from typing import Any

from matplotlib import rc_context, rcParams
from matplotlib.figure import Figure

from .fonts import in_use


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure to a file whose suffix names the format.

    Args:
        path: the file, whose folder is there.
        figure: names in it are `legible`.
    """
    fonts: Any = {"font.sans-serif": [*rcParams["font.sans-serif"], *in_use]}
    with warnings.catch_warnings(), rc_context(fonts):
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(path, dpi=110)
