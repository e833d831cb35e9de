"""Semantic maps."""

import cv2
import numpy as np
import pytest
import torch
from torchvision.tv_tensors import Mask

from detection.data.annotations import ImageRecord
from detection.data.semantic_maps import SemanticMaps
from swinv2.imaging.reading import UnreadableImageError
from tests.odd.made_images import indexed

RECORDS = [ImageRecord(i, f"{i}.jpg", 6, 8) for i in range(4)]


@pytest.fixture
def maps(tmp_path):
    """A map for each record, whose value is void, the first class, the second and void (at the right) from the left."""
    classes = np.repeat(np.array([[0, 1, 2, 255]], np.uint8), 2, axis=1).repeat(6, axis=0)
    for record in RECORDS:
        cv2.imwrite(str(tmp_path / f"{record.id}.png"), classes)
    return SemanticMaps(tmp_path)


def test_values(maps):
    """COCO-stuff's maps come as they are: (height, width) of classes from 0, and 255 for none."""
    classes = maps.read(RECORDS[0])
    assert isinstance(classes, Mask)
    assert classes.dtype == torch.uint8
    assert classes.shape == (6, 8)
    assert classes[0].tolist() == [0, 0, 1, 1, 2, 2, 255, 255]


def test_zero_is_void(maps):
    """In ADE20K's maps 0 becomes 255, the others move down by one, and 255 stays void."""
    assert SemanticMaps(maps.folder, zero_is_void=True).read(RECORDS[0])[0, ::2].tolist() == [255, 0, 1, 255]


def test_good_maps(maps):
    """Maps that are all there and fit their images pass."""
    maps.check(RECORDS)


def test_subfolders(maps):
    """The map of an image in a subfolder is in a subfolder of the same name."""
    (maps.folder / "deep").mkdir()
    (maps.folder / "0.png").rename(maps.folder / "deep/0.png")
    maps.check([ImageRecord(0, "deep/0.jpg", 6, 8)])


def test_missing_folder(maps):
    """A missing folder is named, and the way to do without."""
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere of semantic maps.*semantic_classes to 0"):
        SemanticMaps(maps.folder / "nowhere").check(RECORDS)


def test_missing_maps(maps):
    """Missing maps are counted, and the first are named."""
    for index in (1, 3):
        (maps.folder / f"{index}.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"2 of 4 semantic maps are missing, first .*1\.png, .*3\.png; each"):
        maps.check(RECORDS)


def test_other_size(maps):
    """A map of another size than its image is an error that names both and their sizes."""
    records = [*RECORDS[:2], RECORDS[2]._replace(height=8, width=6)]
    with pytest.raises(ValueError, match=r"2\.png measures \(6, 8\) .*image 2\.jpg \(8, 6\)"):
        maps.check(records)


@pytest.mark.parametrize(
    "content",
    [
        cv2.imencode(".png", np.zeros((6, 8, 3), np.uint8))[1].tobytes(),
        cv2.imencode(".png", np.zeros((6, 8), np.uint16))[1].tobytes(),
        cv2.imencode(".jpg", np.zeros((6, 8), np.uint8))[1].tobytes(),
        b"",
    ],
    ids=["color", "16 bit", "jpeg", "empty"],
)
def test_other_format(maps, content):
    """Anything but an 8-bit PNG of one channel is an error that says what is wanted."""
    (maps.folder / "2.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"2\.png is not an 8-bit PNG of one grey channel or with a palette"):
        maps.check(RECORDS)


def test_damaged_map(maps):
    """A map that is cut short after its header is unreadable, with its name."""
    path = maps.folder / "0.png"
    path.write_bytes(path.read_bytes()[:-20])
    maps.check(RECORDS)
    with pytest.raises(UnreadableImageError, match=r"0\.png is cut short"):
        maps.read(RECORDS[0])


def test_palette(maps):
    """A map with a palette gives its indices, in memory that may be written to."""
    indices = np.tile(np.arange(8, dtype=np.uint8), (6, 1))
    indexed(indices, np.arange(768) * 37 % 256).save(maps.folder / "0.png")
    maps.check(RECORDS)
    classes = maps.read(RECORDS[0])
    classes += 1
    assert classes[0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_maps_of_windows_names(maps):
    """A name with backslashes finds its map as it finds its image."""
    folder = maps.folder / "train"
    folder.mkdir()
    (maps.folder / "0.png").rename(folder / "0.png")
    record = ImageRecord(0, "train\\0.jpg", 6, 8)
    maps.check([record])
    assert maps.read(record).shape == (6, 8)
