"""What all drawings share."""

import os
from itertools import pairwise

import cv2
import numpy as np
import pytest

from swinv2.imaging.drawing import class_colour, save, shorten, side_by_side, text_height, text_width, write


def test_long_names_are_cut():
    """A name longer than its room ends in dots within it; others stay."""
    short = shorten("television receiver or set", 100, 12)
    assert short.startswith("tel")
    assert short.endswith("...")
    assert text_width(short, 12) <= 100
    assert shorten("sky", 100, 12) == "sky"


def test_nothing_of_a_name():
    """Where there is room for no letter, dots stand for the name."""
    assert shorten("television", 1, 12) == "..."


@pytest.mark.parametrize("height", [10, 24])
def test_text_is_as_wide_as_it_says(height):
    """What is written takes the width that it is said to take, and stands on its row."""
    board = np.zeros((100, 600, 3), np.uint8)
    write(board, "HIH", 50, 60, height, (255, 255, 255))
    rows, columns = np.nonzero(board.any(2))
    assert np.ptp(columns) == pytest.approx(text_width("HIH", height), abs=height / 2)
    assert rows.max() == pytest.approx(60, abs=height / 6)


def test_colours_of_classes_differ():
    """Neighbouring classes have other hues, and objects of one class other shades."""
    colours = [class_colour(label) for label in range(20)]
    distances = [max(abs(a - b) for a, b in zip(*pair, strict=True)) for pair in pairwise(colours)]
    assert min(distances) > 100
    assert len({class_colour(3, shade) for shade in range(3)}) == 3


@pytest.mark.parametrize(("classes", "least"), [(5, 80), (8, 55), (12, 45), (20, 35)])
def test_few_classes_have_colours_far_apart(classes, least):
    """In CIE L*a*b*, where a distance of 2 can just be seen; hues of one lightness come to 6 among twelve classes."""
    colours = np.array([[class_colour(label) for label in range(classes)]], np.float32) / 255
    lab = cv2.cvtColor(colours, cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(lab[:, None] - lab, axis=-1)
    assert apart[~np.eye(classes, dtype=bool)].min() > least


def test_titles_above_pictures():
    """Pictures stay as they are, each below its title, with white between them."""
    one = np.full((600, 600, 3), 100, np.uint8)
    both = side_by_side([one, one], ["image", "truth"])
    title = 2 * text_height(one)
    assert (both[title : title + 600, :600] == 100).all()
    panel = both.shape[1] // 2
    assert (both[title : title + 600, panel : panel + 600] == 100).all()
    assert (both[:, 600:panel] == 255).all()
    assert [(both[:title, at : at + 600] < 128).any() for at in (0, panel)] == [True, True]


def test_picture_in_a_file(tmp_path):
    """A file that cannot be written is an error; OpenCV would only return False, or end Python for the second name."""
    with pytest.raises(OSError, match=r"picture\.png cannot be written: No such file"):
        save(tmp_path / "missing" / "picture.png", np.zeros((4, 4, 3), np.uint8))
    strange = tmp_path / os.fsdecode(b"\xff.png")
    save(strange, np.zeros((4, 4, 3), np.uint8))
    assert strange.read_bytes().startswith(b"\x89PNG")
