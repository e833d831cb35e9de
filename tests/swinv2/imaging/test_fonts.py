"""Letters of all scripts in pictures and figures."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from swinv2.imaging import fonts
from swinv2.imaging.drawing import text_width, write
from swinv2.imaging.fonts import dejavu, font_of, legible
from swinv2.training.plots import save_figure


@pytest.fixture
def bare(monkeypatch):
    """A system without fonts of its own."""
    listed = [entry for entry in fontManager.ttflist if entry.name == "DejaVu Sans"]
    monkeypatch.setattr(fontManager, "ttflist", listed)
    fonts.font_of.cache_clear()
    yield
    fonts.font_of.cache_clear()


def drawn(text):
    """A text as pixels."""
    board = np.zeros((40, 400, 3), np.uint8)
    write(board, text, 5, 30, 16, (255, 255, 255))
    return board


@pytest.mark.parametrize("text", ["person 93 %", "größe ñ", "трещина", "μ ± 3°"])
def test_alphabets_are_written_as_they_are(text):
    """Latin, Greek and Cyrillic letters are in the font that is always there."""
    assert legible(text) == text
    assert font_of(text) == dejavu()


def test_other_scripts_without_a_font(bare):
    """What no font has is spelled in Latin letters, and so two names differ."""
    assert [legible(text) for text in ("裂纹", "污点", "裂纹 0.93")] == ["LieWen", "WuDian", "LieWen 0.93"]
    assert not np.array_equal(drawn("裂纹"), drawn("污点"))
    assert text_width("裂纹", 16) == text_width("LieWen", 16)


def test_fonts_of_the_system_are_used(bare, monkeypatch):
    """A font that has the letters is taken, but none that has signs for missing ones only."""
    entries = [fonts.Path("none.ttf"), dejavu()]
    listed = [
        type("Entry", (), {"fname": str(path), "name": name})
        for path, name in zip(entries, ("Gone", "Other"), strict=True)
    ]
    last_resort = type(
        "Entry", (), {"fname": str(dejavu().with_name("LastResortHE-Regular.ttf")), "name": "Last Resort"}
    )
    monkeypatch.setattr(fontManager, "ttflist", [last_resort, *listed])
    monkeypatch.setattr(fonts, "dejavu", lambda: Path(str(dejavu()).replace("DejaVuSans.ttf", "cmb10.ttf")))
    assert font_of("é").name == "DejaVuSans.ttf"
    assert "Other" in fonts.in_use


def test_text_beyond_the_border():
    """What lies outside of a picture is cut off, and the rest stays in its place."""
    board, whole = np.zeros((40, 60, 3), np.uint8), drawn("HHHHHH")
    write(board, "HHHHHH", 5, 30, 16, (255, 255, 255))
    assert np.array_equal(board, whole[:, :60])
    write(board, "far away", 500, 500, 16, (255, 255, 255))
    write(board, "", 5, 30, 16, (255, 255, 255))
    assert np.array_equal(board, whole[:, :60])


def test_line_breaks_are_blanks():
    """A name of several lines is written in one."""
    assert legible("a\n b\tc") == "a b c"


def test_figures(bare, tmp_path):
    """Names in figures differ where the names do."""
    shown = []
    for name in ("裂纹", "污点"):
        figure = Figure()
        figure.suptitle(legible(name))
        save_figure(tmp_path / "figure.png", figure)
        shown.append(cv2.imread(str(tmp_path / "figure.png")))
    assert not np.array_equal(*shown)
