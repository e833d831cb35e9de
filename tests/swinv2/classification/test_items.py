"""Labelled images in little memory."""

import os
import pickle

import numpy as np
import pytest

from swinv2.classification.data.labelled_images import TrainingImages
from swinv2.classification.items import Strings


def test_strings():
    """Strings come out as they went in, with any letters, and bytes that are none."""
    given = ["n01440764/a.JPEG", "", "ä/ß.png", os.fsdecode(b"\xff.jpg")]
    assert [*Strings(given)] == given
    assert len(Strings(given)) == 4
    assert [*Strings([])] == []


def test_strings_take_little_memory():
    """A name takes its letters and eight bytes, which a million images want."""
    packed = Strings(f"n01440764/n01440764_{number:06}.JPEG" for number in range(1000))
    assert len(pickle.dumps(packed)) < 1000 * (31 + 8) + 1000


def test_item(photos):
    """An item has path, label and name; it may be asked for singly or in slices, not beyond the end."""
    items = photos.items()
    assert items[1] == (photos.root / "train/ant/b.jpg", 0, "ant/b")
    assert [item.name for item in items[1:3]] == ["ant/b", "bee/c"]
    assert len(list(items)) == 4
    with pytest.raises(IndexError, match="no image 4; there are 4"):
        _ = items[4]


def test_labels_are_small_integers(photos):
    """Labels of all images are one array."""
    assert photos.items().labels.dtype == np.int32
    assert TrainingImages(photos.items(), lambda image: image)[3][1] == 1
