"""The most probable classes of images."""

import csv
import os

import pytest
import torch

from swinv2.classification.predictions import best_predictions, draw_predictions, format_predictions, write_predictions

NAMES = [f"class {label}" for label in range(7)]


def test_best_five_in_order():
    """The most probable first, with their names; all of them where there are fewer."""
    probabilities = torch.tensor([[0.1, 0.2, 0.05, 0.3, 0.25, 0.06, 0.04]])
    (found,) = best_predictions(probabilities, NAMES)
    assert [name for name, _ in found] == [f"class {label}" for label in (3, 4, 1, 0, 5)]
    assert [share for _, share in found] == pytest.approx([0.3, 0.25, 0.2, 0.1, 0.06])
    assert len(best_predictions(torch.tensor([[0.4, 0.6]]), NAMES[:2])[0]) == 2


def test_text_is_aligned_and_short():
    """A line for each of the first fifty images; long names are cut."""
    found = {f"{number}.jpg": [("a", 0.75), ("b" * 90, 0.25)] for number in range(60)}
    lines = format_predictions(found).splitlines()
    assert len(lines) == 51 and lines[-1] == "and 10 more"
    assert lines[0] == "0.jpg   0.750 a  0.250 " + "b" * 24


def test_table(tmp_path):
    """The image, then class and probability of each guess."""
    write_predictions(tmp_path / "found.csv", {"x,y.jpg": [("tench, fish", 0.9), ("ant", 0.1)]})
    with (tmp_path / "found.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {
                "image": "x,y.jpg",
                "class_1": "tench, fish",
                "probability_1": "0.900000",
                "class_2": "ant",
                "probability_2": "0.100000",
            }
        ]


@pytest.mark.parametrize("size", [(600, 700), (20, 30), (1, 2000), (2000, 1), (1, 1)])
def test_picture_is_above_its_names(size):
    """The picture is whole, small ones enlarged, in a size in which the names can be read."""
    image = torch.full((3, *size), 90, dtype=torch.uint8)
    drawn = draw_predictions(image, [("star", 0.9), ("circle", 0.1)])
    factor = max(1, 512 / max(size))
    height, width = (round(factor * side) for side in size)
    assert (drawn[:height, :width] == 90).all()
    assert drawn.shape[0] > height + 20 and 512 <= drawn.shape[1] == max(512, width)
    assert (drawn[height:] == 0).any()


def test_names_that_are_no_text(tmp_path):
    """Bytes of a name that are no UTF-8 are kept in the table, and do not stop the print."""
    found = {os.fsdecode(b"photo\xff.jpg"): [("star", 1.0)]}
    assert format_predictions(found).encode().startswith("photo\ufffd.jpg".encode())
    write_predictions(tmp_path / "found.csv", found)
    assert b"photo\xff.jpg,star,1.000000" in (tmp_path / "found.csv").read_bytes()


@pytest.mark.parametrize("size", [(2, 70_000), (70_000, 2)])
def test_picture_that_a_jpeg_may_have(size):
    """A picture longer than a JPEG may be comes out smaller."""
    drawn = draw_predictions(torch.full((3, *size), 90, dtype=torch.uint8), [("star", 0.9)])
    assert max(drawn.shape) < 65_500 and (drawn[0, 0] == 90).all()


def test_bar_is_as_long_as_the_guess_is_probable():
    """Half of the width is coloured for a probability of one half."""
    image = torch.zeros(3, 512, 512, dtype=torch.uint8)
    drawn = draw_predictions(image, [("", 0.5)])
    last = drawn[512 + 8, :, 0]
    assert abs((last != 255).mean() - 0.5) < 0.05
