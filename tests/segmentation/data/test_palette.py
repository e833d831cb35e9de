"""Colours of classes."""

import numpy as np
import pytest

from segmentation.data.palette import palette


@pytest.mark.parametrize(
    ("label", "colour"),
    [(0, (120, 120, 120)), (1, (180, 120, 120)), (2, (6, 230, 230)), (12, (150, 5, 61)), (149, (92, 0, 255))],
)
def test_colours_of_ade20k(label, colour):
    """Wall, building, sky, person and flag have the colours of the benchmark."""
    assert tuple(palette(150)[label]) == colour


@pytest.mark.parametrize("count", [1, 6, 150, 400])
def test_as_many_as_classes(count):
    """There is one colour for each class, whatever their number."""
    assert palette(count).shape == (count, 3)


def test_more_classes_keep_ade20k_colours():
    """Lists of more than 150 classes have ADE20K's colours first."""
    assert (palette(400)[:150] == palette(150)).all()


def test_few_classes_have_colours_far_apart():
    """The few classes of a small list are told apart more easily than the first of ADE20K's."""
    least = []
    for colours in (palette(8), palette(150)[:8]):
        apart = np.linalg.norm(colours[:, None].astype(float) - colours, axis=-1)
        least.append(apart[~np.eye(8, dtype=bool)].min())
    assert least[0] > 1.5 * least[1]


def test_colours_differ():
    """No two classes share a colour but those that do in ADE20K: road and skyscraper."""
    colours, counts = np.unique(palette(400), axis=0, return_counts=True)
    assert len(colours) == 399
    assert colours[counts == 2].tolist() == [[140, 140, 140]]
