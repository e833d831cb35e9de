"""What a validation of segmentation leaves."""

import csv
import json

import cv2
import numpy as np
import pytest

from segmentation.evaluation.report import draw_bars, write_report
from segmentation.evaluation.scores import Scores, format_table

NAMES = ["wall", "building", "sky", "floor"]
CONFUSION = np.array([[60, 20, 0, 0], [4, 16, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def read(path):
    """Rows of a table, by column."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_files(tmp_path):
    """Two tables and two pictures that show something are written into a new folder."""
    paths = write_report(tmp_path / "new/report", Scores(CONFUSION, "skip"), NAMES)
    names = ["scores.json", "classes.csv", "classes.png", "confusion.png", "confused.csv"]
    assert [path.name for path in paths] == names
    assert json.loads(paths[0].read_text()) == Scores(CONFUSION, "skip").figures()
    for path in paths[2:4]:
        assert np.ptp(cv2.imread(str(path))) > 100


def test_scores_by_class(tmp_path):
    """The table has each class's share of the pixels, IoU and accuracy, and nothing where it does not occur."""
    rows = read(write_report(tmp_path, Scores(CONFUSION, "skip"), NAMES)[1])
    assert rows[0] == {"class": "wall", "pixels": "0.800000", "IoU": "0.714286", "accuracy": "0.750000"}
    assert rows[1] == {"class": "building", "pixels": "0.200000", "IoU": "0.400000", "accuracy": "0.800000"}
    assert rows[2] == {"class": "sky", "pixels": "0.000000", "IoU": "", "accuracy": ""}
    assert len(rows) == 4


def test_confused_pairs_in_a_file(tmp_path):
    """The commonest mistake comes first, with its share of the true class."""
    rows = read(write_report(tmp_path, Scores(CONFUSION, "skip"), NAMES)[-1])
    assert rows[0] == {"truth": "wall", "predicted": "building", "share_of_truth": "0.250000", "pixels": "20"}
    assert rows[1] == {"truth": "building", "predicted": "wall", "share_of_truth": "0.200000", "pixels": "4"}
    assert len(rows) == 2


def test_strange_names(tmp_path):
    """A name may hold what means something to matplotlib or to a table, or letters its font lacks."""
    paths = write_report(tmp_path, Scores(CONFUSION, "skip"), ['_$x_{$ "猫", a', *NAMES[1:]])
    assert read(paths[1])[0]["class"] == '_$x_{$ "猫", a'


def test_bars_are_sorted():
    """The best class comes first; classes that do not occur are left out, and the title says so."""
    confusion = CONFUSION.copy()
    confusion[2, 2] = 100
    figure = draw_bars(Scores(confusion, "skip"), NAMES)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["sky (50.0%)", "wall (40.0%)", "building (10.0%)"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([1, 60 / 84, 0.4])
    assert "1 that do not occur left out" in figure.get_suptitle()


def test_bars_of_many_classes_stand_in_columns():
    """Eighty classes stand in two columns, so that the picture is not too tall."""
    figure = draw_bars(Scores(np.eye(80, dtype=np.int64), "skip"), [str(label) for label in range(80)])
    assert [len(axes.patches) for axes in figure.axes] == [40, 40]


@pytest.mark.parametrize(("labels", "total"), [([0], 1), ([3, 500, 999], 1000), ([7], 41)])
def test_few_of_the_classes(tmp_path, labels, total):
    """One class, one pixel, and a few of a thousand classes have reports as others."""
    confusion = np.zeros((total, total), np.int64)
    for label in labels:
        confusion[label, labels[0]] += 1
    names = [f"class {label}" for label in range(total)]
    paths = write_report(tmp_path, Scores(confusion, "skip"), names)
    assert json.loads(paths[0].read_text())["pixel_accuracy"] == pytest.approx(1 / len(labels))
    assert (len(read(paths[1])), len(read(paths[-1]))) == (total, len(labels) - 1)
    assert all(np.ptp(cv2.imread(str(path))) > 100 for path in paths[2:4])
    assert len(format_table(Scores(confusion, "skip"), names).splitlines()) == 1 + -(-total // 2)
