"""Fonts that have the letters of a text, and a transliteration where none has."""

from functools import cache
from pathlib import Path

from anyascii import anyascii
from PIL import ImageFont

CAPITALS = 0.729  # height of capitals in DejaVu Sans over the font size
NO_LETTERS = ("Last Resort", "Last Resort High-Efficiency")  # fonts of placeholders for missing letters
in_use: dict[str, None] = {}  # families of system fonts that a text needed


def legible(text: str) -> str:
    """Text on one line that a font can write: unchanged, or transliterated to Latin letters."""
    line = " ".join(text.split())
    return line if font_of(line) is not None else anyascii(line)


@cache
def font(text_font: Path, height: int) -> ImageFont.FreeTypeFont:
    """Font in the size whose capitals are about `height` pixels high."""
    return ImageFont.truetype(str(text_font), max(1, round(height / CAPITALS)))


@cache
def font_of(text: str) -> Path | None:
    """File of a font with all letters of a text: DejaVu Sans, which matplotlib brings along, or a system font."""
    needed = {ord(letter) for letter in text}
    if needed <= letters(dejavu()):
        return dejavu()
    from matplotlib.font_manager import fontManager  # lists the fonts of the system

    for entry in fontManager.ttflist:
        path = Path(entry.fname)
        if entry.name not in NO_LETTERS and path.is_file() and needed <= letters(path):
            in_use[entry.name] = None
            return path
    return None


@cache
def dejavu() -> Path:
    """File of DejaVu Sans."""
    from matplotlib import get_data_path

    return Path(get_data_path(), "fonts/ttf/DejaVuSans.ttf")


@cache
def letters(path: Path) -> frozenset[int]:
    """Code points that a font has; empty if the file is no font."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except (RuntimeError, OSError):
        return frozenset()
