"""Which classes are taken for which."""

import csv

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from swinv2.training.plots import confused_pairs, draw_confusion, save_figure
from swinv2.training.tables import write_csv

NAMES = ["wall", "building", "sky", "floor"]
CONFUSION = np.array([[60, 20, 0, 0], [4, 16, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def test_table_in_a_file(tmp_path):
    """Names with commas, quotes and letters of any alphabet come back as they were."""
    write_csv(tmp_path / "table.csv", ("class", "number"), [('"猫", a', 3), ("wall", 4)])
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["class", "number"], ['"猫", a', "3"], ["wall", "4"]]


def test_confused_pairs():
    """The commonest mistake comes first, with its share of the true class; what is right is none."""
    assert confused_pairs(CONFUSION, NAMES) == [
        ("wall", "building", "0.250000", 20),
        ("building", "wall", "0.200000", 4),
    ]


def test_most_confused_pairs_only():
    """Of very many kinds of mistakes the hundred commonest are listed."""
    confusion = np.arange(900).reshape(30, 30)
    pairs = confused_pairs(confusion, [f"class {label}" for label in range(30)])
    assert len(pairs) == 100
    assert pairs[0][:2] == ("class 29", "class 28")


def test_confusion_shows_classes_that_occur():
    """Rows are shares of a class's pixels; a class that is predicted and never true has an empty row."""
    confusion = CONFUSION.copy()
    confusion[1, 3] = 20
    axes, _ = draw_confusion(confusion, NAMES).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["wall", "building", "floor"]
    shown = np.ma.filled(axes.images[0].get_array(), np.nan)
    np.testing.assert_allclose(shown, [[0.75, 0.25, 0], [0.1, 0.4, 0.5], [np.nan] * 3])
    assert [text.get_text() for text in axes.texts] == ["0.75", "0.25", "0.10", "0.40", "0.50"]


@pytest.mark.parametrize(("classes", "labels", "numbers"), [(12, 12, 12), (40, 40, 0), (41, 0, 0)])
def test_confusion_of_many_classes(classes, labels, numbers):
    """Numbers and names are left out where there is no room for them."""
    axes, _ = draw_confusion(np.eye(classes, dtype=np.int64), ["name"] * classes).axes
    assert (len(axes.get_yticklabels()), len(axes.texts)) == (labels, numbers)


def test_letters_that_the_font_does_not_have(tmp_path):
    """A name in any alphabet is no reason for a warning, and the figure is there."""
    figure = Figure()
    figure.suptitle("猫")
    save_figure(tmp_path / "figure.png", figure)
    assert np.ptp(cv2.imread(str(tmp_path / "figure.png"))) > 100
