"""Figures of matplotlib as files."""

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib import rc_context, rcParams
from matplotlib.figure import Figure

from ..files.whole import write_bytes
from ..imaging.fonts import in_use


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure to a file whose suffix names the format.

    Args:
        path: the file, whose folder is there.
        figure: names in it are `legible`.

    Raises:
        OSError: it cannot be written.
    """
    fonts: Any = {"font.sans-serif": [*rcParams["font.sans-serif"], *in_use]}
    with warnings.catch_warnings(), rc_context(fonts):
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        data = BytesIO()
        figure.savefig(data, format=path.suffix[1:], dpi=110)
    write_bytes(path, data.getvalue())
