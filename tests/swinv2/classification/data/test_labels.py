"""Labels that are numbers."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from swinv2.classification.data.labels import check_labels, read_real_labels

NAMES = ["n02/ILSVRC2012_val_00000002", "n01/ILSVRC2012_val_00000003", "n01/ILSVRC2012_val_00000001"]


@pytest.fixture
def real(tmp_path):
    """Writes a file of labels."""

    def write(content):
        path = tmp_path / "real.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_labels_by_name(real):
    """Labels are in the order of the names of the files, whatever folders they are in."""
    assert read_real_labels(real([[5], [], [7, 8]]), NAMES, 1000) == [[], [7, 8], [5]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([[5], []], r"labels of 2 images, but there are 3 validation images.*50000"),
        ([[5], [], [10]], "from 0 to 9"),
        ([[5], [], [-1]], "from 0 to 9"),
        ([[5], [], 3], "no JSON list of lists"),
        ([[5], [], ["3"]], "no JSON list of lists"),
        ({"a": []}, "no JSON list of lists"),
        ("[[5], ", "is no JSON"),
    ],
)
def test_wrong_labels(real, content, message):
    """A file that does not fit is an error that says why."""
    with pytest.raises(ValueError, match=message):
        read_real_labels(real(content), NAMES, 10)


def test_no_file_of_labels(tmp_path):
    """A missing file is named, with the options to check."""
    with pytest.raises(FileNotFoundError, match=r"real\.json; check data\.root and data\.real_labels"):
        read_real_labels(tmp_path / "real.json", NAMES, 10)


def test_label_beyond_the_classes():
    """A label that is no class is an error that says how many there are."""
    with pytest.raises(
        ValueError, match=r"val\.tar has labels up to 2, but the 2 classes are ant, bee, .*data\.classes"
    ):
        check_labels(np.array([0, 2], np.int32), ["ant", "bee"], Path("val.tar"))


def test_classes_without_labels_are_counted(caplog):
    """The log counts the classes that do not occur."""
    with caplog.at_level(logging.WARNING):
        check_labels(np.array([1, 1], np.int32), ["ant", "bee", "cat"], Path("val.tar"))
    assert "2 of the 3 classes have no images in val.tar, first ant, cat" in caplog.text
