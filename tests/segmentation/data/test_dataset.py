"""Images and label maps as data sets."""

import logging

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.tv_tensors import Image, Mask

from segmentation.data.class_list import IGNORED, ClassList
from segmentation.data.dataset import ImagesAndMaps
from segmentation.data.pairs import find_pairs
from segmentation.data.transforms import InputSize
from swinv2.imaging.label_maps import write_map
from swinv2.imaging.reading import UnreadableImageError

CLASSES = ClassList(("sky", "sea"), (1, 2), reduce_zero_label=True)
VALUES = np.repeat(np.array([[0, 1, 2, 255]], np.uint8), 3, axis=1).repeat(9, axis=0)  # (9, 12)


class Folders:
    """Images a.jpg, b.png and deep/c.jpg of 9 by 12 pixels, each of another grey, with maps."""

    def __init__(self, root):
        self.images, self.maps = root / "images", root / "maps"
        for name in ("a.jpg", "b.png", "deep/c.jpg"):
            self.add(name)

    def add(self, name, size=(9, 12), values=VALUES):
        """Write an image, and its map."""
        image, label_map = self.images / name, (self.maps / name).with_suffix(".png")
        for path in (image, label_map):
            path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(image), np.full((*size, 3), 40 + 7 * len(name), np.uint8))
        write_map(label_map, values)

    def pairs(self):
        """The pairs in the folders."""
        return find_pairs(self.images, self.maps)

    def dataset(self, training=False):
        """The data set of the folders, with images as they are."""
        return ImagesAndMaps(self.pairs(), CLASSES, v2.Identity(), training)


@pytest.fixture
def folders(tmp_path):
    """Two folders of three pairs."""
    return Folders(tmp_path)


def test_sample(folders):
    """A sample is the image in RGB, and labels of its size with id, path and name."""
    image, target = folders.dataset()[2]
    assert isinstance(image, Image)
    assert image.shape == (3, 9, 12)
    assert isinstance(target["labels"], Mask)
    assert target["labels"].dtype == torch.int16
    assert target["labels"][0, ::3].tolist() == [IGNORED, 0, 1, IGNORED]
    del target["labels"]
    assert target == {"image_id": 3, "path": folders.images / "deep/c.jpg", "name": "deep/c"}


@pytest.mark.parametrize("training", [False, True])
def test_transform(folders, training):
    """The transform has the last word."""
    dataset = ImagesAndMaps(folders.pairs(), CLASSES, InputSize(18, 100), training)
    assert dataset[0][1]["size"] == (18, 24)


@pytest.mark.parametrize("name", ["b.png", "a.jpg"])
def test_other_size(folders, caplog, name):
    """A map of another size than its image is left out at the start, with both files and sizes."""
    folders.add(name, size=(9, 14))
    dataset = folders.dataset()
    assert len(dataset.skipped) == 1
    assert dataset["ab".index(name[0])] is None
    assert f"{name} (9, 14); the two must agree" in caplog.text


def test_other_sizes_of_most_images(folders):
    """If more than half of the maps have other sizes than their images, they belong to others, which is an error."""
    for name in ("a.jpg", "b.png"):
        folders.add(name, size=(9, 14))
    message = r"Of 3 images 2 have other sizes than their maps\. The label map .*a\.png measures \(9, 12\) .*must agree"
    with pytest.raises(ValueError, match=message):
        folders.dataset()


@pytest.mark.parametrize(("name", "size"), [("d.bmp", (9, 14)), ("d.jpg", (12, 9))], ids=["format", "turned"])
def test_other_size_that_is_seen_late(folders, caplog, name, size):
    """What the first bytes do not tell is left out when the pair is read."""
    folders.add(name, size=size)
    assert folders.dataset()[2] is None
    assert "d.png measures (9, 12)" in caplog.text and "the two must agree" in caplog.text


def bad_map(folders, kind):
    """Make the map of b one that is none."""
    path = folders.maps / "b.png"
    if kind == "value":
        write_map(path, VALUES + 2)
    elif kind == "colours":
        cv2.imwrite(str(path), np.arange(324, dtype=np.uint8).reshape(9, 12, 3))
    else:
        cv2.imwrite(str(folders.images / "b.png"), np.full((9, 12), 1800, np.uint16))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("value", "no class: 3 (27 pixels)"),
        ("colours", "is a coloured picture"),
        ("depth", "models take RGB of 8 bits"),
    ],
)
def test_pair_that_is_none(folders, caplog, kind, message):
    """A single map of other values or colours, or an image of 16 bits, is left out like one that cannot be read."""
    bad_map(folders, kind)
    assert [folders.dataset()[1], folders.dataset(training=True)[1][1]["name"]] == [None, "deep/c"]
    assert message in caplog.text and "Skipped an image with its map, 1 of 3 so far" in caplog.text


@pytest.mark.parametrize("shape", [(9, 12), (12, 9)], ids=["as stored", "upright"])
def test_orientation(folders, shape):
    """A photo that lies on its side fits a map of its upright form, and one of its stored form."""
    data = cv2.imencode(".jpg", np.zeros((9, 12, 3), np.uint8))[1].tobytes()
    entries = b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
    exif = b"Exif\x00\x00" + entries
    (folders.images / "a.jpg").write_bytes(
        data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    )
    write_map(folders.maps / "a.png", np.ones(shape, np.uint8))
    image, target = folders.dataset()[0]
    assert image.shape[1:] == target["labels"].shape == shape


def test_wide_maps(folders):
    """Maps of 16 bits are read as those of 8."""
    narrow = folders.dataset()[0][1]["labels"]
    write_map(folders.maps / "a.png", VALUES.astype(np.uint16))
    assert torch.equal(folders.dataset()[0][1]["labels"], narrow)


@pytest.mark.parametrize("kind", ["images", "maps"])
def test_unreadable_in_training(folders, caplog, kind):
    """In training the next sample comes for one that cannot be read, and the log counts it once."""
    path = next(getattr(folders, kind).glob("a.*"))
    path.write_bytes(path.read_bytes()[:-40])
    dataset = folders.dataset(training=True)
    with caplog.at_level(logging.WARNING):
        assert [dataset[0][1]["name"] for _ in range(2)] == ["b", "b"]
    assert len(caplog.records) == len(dataset.skipped) == 1
    assert f"1 of 3 so far: {path} is cut short" in caplog.text


def test_unreadable_in_validation(folders):
    """In validation nothing comes in its place, so that no image is scored twice."""
    (folders.images / "a.jpg").write_bytes(b"")
    dataset = folders.dataset()
    assert [dataset[0], dataset[0]] == [None, None]
    assert dataset[1][1]["name"] == "b"


def test_nothing_readable_in_training(folders):
    """If no pair can be read, training ends with an error."""
    for path in folders.maps.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UnreadableImageError, match="None of the 3 pairs can be read"):
        _ = folders.dataset(training=True)[1]
