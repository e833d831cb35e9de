"""Annotated pictures of segmentation."""

import numpy as np
import pytest
import torch

from segmentation.data.palette import palette
from segmentation.inference.drawing import compare, draw_legend, legend_entries, overlay, resized, stack, tint

NAMES = ["wall", "building", "sky", "floor"]


def grey(height, width):
    """An even grey image."""
    return torch.full((3, height, width), 100, dtype=torch.uint8)


def halves(height, width, left=0, right=2):
    """A label on each side."""
    labels = torch.full((height, width), left, dtype=torch.int16)
    labels[:, width // 2 :] = right
    return labels


def blend(label):
    """What an even grey of 100 and the colour of a class come to."""
    return [round((100 + int(level)) / 2) for level in palette(len(NAMES))[label]]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((128, 96), (683, 512)), ((600, 700), (600, 700)), ((3000, 6000), (1024, 2048)), ((40, 4000), (20, 2048))],
)
def test_size(size, expected):
    """Small pictures are enlarged until details can be seen, and large ones made smaller."""
    assert resized(grey(*size), 2048).shape == (*expected, 3)


def test_narrow_image_does_not_get_too_long():
    """A strip is enlarged only as far as its long side allows."""
    assert resized(grey(16, 1024), 2048).shape == (32, 2048, 3)


def test_classes_are_blended_half_and_half():
    """Each pixel is between its brightness in the image and the colour of its class, whatever its own colour."""
    picture = overlay(grey(600, 600), halves(600, 600), NAMES)
    assert picture[300, 100].tolist() == blend(0)
    assert picture[300, 500].tolist() == blend(2)
    coloured = grey(600, 600)
    coloured[:, :, 300:] = torch.tensor([200, 60, 20], dtype=torch.uint8)[:, None, None]  # as bright
    assert np.abs(overlay(coloured, halves(600, 600), NAMES)[300, 500] - blend(2)).max() <= 2


def test_void_is_left_as_it_is():
    """Where nothing is known the picture shows the image, up to the border."""
    picture = overlay(grey(600, 600), halves(600, 600, left=-1), NAMES)
    assert (picture[:600, :300] == 100).all()
    assert (picture[:600, 300:] != 100).any(axis=2).all()


def test_void_alone():
    """An image of which nothing is known keeps its picture, and the legend is empty."""
    labels = torch.full((600, 600), -1, dtype=torch.int16)
    assert (overlay(grey(600, 600), labels, NAMES)[:600] == 100).all()
    assert legend_entries([labels], NAMES) == []


def test_border_between_classes():
    """A thin white line parts two classes, and nothing else is white."""
    tinted = tint(resized(grey(600, 600), 2048), halves(600, 600), len(NAMES))
    white = (tinted == 255).all(axis=2)
    assert white[:, 300].all()
    assert white.sum() == 600


def test_labels_are_enlarged_in_step():
    """Enlarged labels lie where the enlarged image has them."""
    picture = overlay(grey(64, 64), halves(64, 64), NAMES)
    assert picture[256, 250].tolist() == blend(0)
    assert picture[256, 262].tolist() == blend(2)


def test_image_and_labels_are_left_alone():
    """Drawing does not touch what was given."""
    image, labels = grey(600, 600), halves(600, 600)
    compare(image, labels, labels, NAMES)
    assert (image == 100).all()
    assert (labels == halves(600, 600)).all()


def test_legend_has_the_largest_class_first():
    """Entries are the classes that occur, with colour, name and share of the known pixels."""
    labels = halves(10, 10, right=1)
    labels[:2] = -1
    labels[2:6] = 2
    entries = legend_entries([labels], NAMES)
    assert [(entry.name, entry.figures) for entry in entries] == [
        ("sky", "50.0%"),
        ("wall", "25.0%"),
        ("building", "25.0%"),
    ]
    assert entries[0].colour == tuple(palette(len(NAMES))[2].tolist())


def test_legend_of_truth_and_prediction():
    """One legend names what is in either, with both shares."""
    entries = legend_entries([halves(10, 10, right=1), halves(10, 10, right=3)], NAMES)
    assert [(entry.name, entry.figures) for entry in entries] == [
        ("wall", "50.0% | 50.0%"),
        ("building", "50.0% | 0.0%"),
        ("floor", "0.0% | 50.0%"),
    ]


def test_legend_of_many_classes():
    """Of 150 classes twenty are named, and it says how many more there are."""
    labels = torch.arange(150).repeat(2, 1).short()
    entries = legend_entries([labels], [f"class {label}" for label in range(150)])
    assert len(entries) == 21
    assert entries[-1].name == "and 130 more"


def test_swatches():
    """The legend below the picture shows the full colour of each class, and of no other."""
    picture = overlay(grey(600, 600), halves(600, 600), NAMES)
    below = {tuple(pixel) for pixel in picture[600:].reshape(-1, 3).tolist()}
    shown = [tuple(colour) in below for colour in palette(4).tolist()]
    assert shown == [True, False, True, False]


@pytest.mark.parametrize("width", [200, 512, 1700])
def test_legend_has_room(width):
    """Nothing of a legend touches its sides, however narrow the picture; wider ones take more columns."""
    labels = torch.arange(30).repeat(2, 1).short()
    entries = legend_entries([labels], [f"a class with a long name, {label}" for label in range(30)])
    board = draw_legend(entries, "share of pixels", width, 12)
    assert board.shape[1] == max(width, 512)
    for edge in (board[:4], board[-4:], board[:, :4], board[:, -4:]):
        assert (edge == 255).all()
    assert (board.shape[0] < 300) == (width == 1700)


def test_narrow_picture_above_its_legend():
    """A picture narrower than its legend has white beside it."""
    both = stack(np.zeros((20, 30, 3), np.uint8), np.full((10, 50, 3), 7, np.uint8))
    assert both.shape == (30, 50, 3)
    assert (both[:20, 30:] == 255).all()


def test_compare():
    """Image, truth and prediction stand side by side; void of the truth shows the image."""
    picture = compare(grey(600, 600), halves(600, 600, left=-1), halves(600, 600, right=3), NAMES)
    panel = picture.shape[1] // 3
    row = picture[300]
    assert (row[:600] == 100).all()
    assert (row[panel : panel + 300] == 100).all()
    assert row[panel + 400].tolist() == blend(2)
    assert row[2 * panel + 100].tolist() == blend(0)
    assert row[2 * panel + 400].tolist() == blend(3)


def test_compare_of_a_large_image():
    """Three panels of a large image stay small enough to look at."""
    labels = halves(2500, 5000)
    assert compare(grey(2500, 5000), labels, labels, NAMES).shape[1] < 3300
