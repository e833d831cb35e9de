"""What a validation leaves."""

import csv
import json

import numpy as np
import pytest

from swinv2.classification.report import write_report
from swinv2.classification.scores import Scores

CONFUSION = np.array([[3, 1, 0], [2, 2, 0], [0, 0, 0]])


def rows(path):
    """Those of a table, without its header."""
    with path.open() as file:
        return list(csv.reader(file))[1:]


def test_tables_have_what_was_counted(tmp_path):
    """Accuracy by class, empty for one that does not occur; the commonest mistakes first."""
    scores = Scores(CONFUSION.sum(1), CONFUSION.diagonal(), 8, CONFUSION)
    means, classes, picture, confused = write_report(tmp_path / "new", scores, ["ant", "蜂", "cow"])
    assert json.loads(means.read_text()) == {"top1": 0.625, "top5": 1.0, "class_accuracy": 0.625, "scored": 8}
    assert rows(classes) == [["ant", "4", "0.750000"], ["蜂", "4", "0.500000"], ["cow", "0", ""]]
    assert rows(confused) == [["蜂", "ant", "0.500000", "2"], ["ant", "蜂", "0.250000", "1"]]
    assert picture.stat().st_size > 1000


def test_without_a_matrix(tmp_path):
    """Of very many classes there are the two files that need none."""
    written = write_report(tmp_path, Scores(np.array([2, 2]), np.array([1, 2]), 4), ["ant", "bee"])
    assert [path.name for path in written] == ["scores.json", "classes.csv"]


@pytest.mark.parametrize(("labels", "total"), [([0], 1), ([0, 0], 2), ([3, 500, 999], 1000), ([7], 41)])
def test_few_of_the_classes(tmp_path, labels, total):
    """One class, one image, and a few of a thousand classes have reports as others."""
    confusion = np.zeros((total, total), np.int64)
    for label in labels:
        confusion[label, labels[0]] += 1
    scores = Scores(confusion.sum(1), confusion.diagonal(), len(labels), confusion)
    means, classes, picture, confused = write_report(tmp_path, scores, [f"class {label}" for label in range(total)])
    assert json.loads(means.read_text())["top1"] == pytest.approx(labels.count(labels[0]) / len(labels))
    assert (len(rows(classes)), len(rows(confused))) == (total, len({*labels}) - 1)
    assert picture.stat().st_size > 1000
