"""Images and label maps from folders."""

import logging

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.tv_tensors import Image, Mask

from segmentation.class_list import IGNORED, ClassList
from segmentation.folders import ImagesAndMaps, NamedImages, find_pairs, unique_names
from segmentation.transforms import LookAt
from swinv2.images import UnreadableImageError
from swinv2.index_maps import write_map

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

    def pairs(self, **settings):
        """The pairs in the folders."""
        return find_pairs(self.images, self.maps, **settings)

    def dataset(self, class_list=CLASSES, training=False):
        """The data set of the folders, with images as they are."""
        return ImagesAndMaps(self.pairs(), class_list, v2.Identity(), training)


@pytest.fixture
def folders(tmp_path):
    """Two folders of three pairs."""
    return Folders(tmp_path)


def test_pairs(folders):
    """Pairs have the same path but for the suffix, in subfolders too, and come in order of their names."""
    pairs = folders.pairs()
    assert [pair.name for pair in pairs] == ["a", "b", "deep/c"]
    assert pairs[2].image == folders.images / "deep/c.jpg"
    assert pairs[2].map == folders.maps / "deep/c.png"


def test_suffix_of_maps(folders):
    """The end of a map's name may be longer than its format."""
    for path in list(folders.maps.rglob("*.png")):
        path.rename(path.with_name(f"{path.stem}_labels.png"))
    assert [pair.name for pair in folders.pairs(map_suffix="_labels.png")] == ["a", "b", "deep/c"]


def test_other_files_do_not_count(folders):
    """Texts and hidden files are neither images nor maps."""
    (folders.images / "readme.txt").write_text("no image")
    (folders.images / "._a.jpg").write_text("no image")
    (folders.maps / ".a.png").write_text("no map")
    assert len(folders.pairs()) == 3


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
    dataset = ImagesAndMaps(folders.pairs(), CLASSES, LookAt(18, 100), training)
    assert dataset[0][1]["size"] == (18, 24)


@pytest.mark.parametrize("lost", ["images", "maps"])
def test_missing_folder(folders, lost):
    """A missing folder is named, and what it should hold."""
    getattr(folders, lost).rename(folders.images.parent / "elsewhere")
    with pytest.raises(FileNotFoundError, match=rf"no folder .*{lost} of (images|label maps); check data\.root"):
        folders.pairs()


def test_empty_folder(folders):
    """A folder without the files looked for says which ones these are."""
    with pytest.raises(FileNotFoundError, match=r"maps has no label maps; looked for names that end in \.tif\."):
        folders.pairs(map_suffix=".tif")


def test_missing_maps(folders):
    """Images without maps are counted, and the first three are named."""
    for index in range(4):
        folders.add(f"{index}.jpg")
        (folders.maps / f"{index}.png").unlink()
    message = (
        r"4 of 7 images have no label map in .*maps, first .*0\.jpg, .*1\.jpg, .*2\.jpg\. The two .*data\.map_suffix"
    )
    with pytest.raises(FileNotFoundError, match=message):
        folders.pairs()


def test_missing_images(folders):
    """So are maps without images, beside them."""
    (folders.images / "a.jpg").unlink()
    (folders.maps / "b.png").unlink()
    message = r"1 of 2 images have no .*b\.png; 1 of 2 label maps have no image in .*images, first .*a\.png\."
    with pytest.raises(FileNotFoundError, match=message):
        folders.pairs()


def test_two_images_of_one_name(folders):
    """Which of two images a map belongs to is not guessed."""
    folders.add("a.png")
    with pytest.raises(ValueError, match=r"images has several images of the name a; keep one"):
        folders.pairs()


@pytest.mark.parametrize("name", ["b.png", "a.jpg"])
def test_other_size(folders, name):
    """A map of another size than its image is an error at the start, with both files and sizes."""
    folders.add(name, size=(9, 14))
    message = rf"map .*{name[0]}\.png measures \(9, 12\) pixels .*image .*{name[0]}\.\w+ \(9, 14\); the two must agree"
    with pytest.raises(ValueError, match=message):
        folders.dataset()


@pytest.mark.parametrize(("name", "size"), [("d.bmp", (9, 14)), ("d.jpg", (12, 9))], ids=["format", "turned"])
def test_other_size_that_is_seen_late(folders, name, size):
    """What the first bytes do not tell is an error when the pair is read."""
    folders.add(name, size=size)
    dataset = folders.dataset()
    with pytest.raises(ValueError, match=r"map .*d\.png measures \(9, 12\).*the two must agree"):
        dataset[2]


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


@pytest.mark.parametrize("name", ["a", "b"])
def test_value_above_the_classes(folders, name):
    """A value that is no class is an error with the file: in the first map at the start, in others when read."""
    write_map(folders.maps / f"{name}.png", VALUES + 2)
    with pytest.raises(ValueError, match=rf"{name}\.png has pixel values that are no class: 3 \(27 pixels\)"):
        _ = folders.dataset()[1]


def test_coloured_map(folders):
    """A coloured picture in place of a map is refused at the start."""
    colours = np.zeros((9, 12, 3), np.uint8)
    colours[..., 1] = VALUES
    cv2.imwrite(str(folders.maps / "a.png"), colours)
    with pytest.raises(ValueError, match=r"a\.png is a coloured picture"):
        folders.dataset()


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
    assert len(caplog.records) == len(dataset.left_out) == 1
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


def test_images_to_predict(folders):
    """Images alone come with name, path and the size to look at them; None for one that cannot be read."""
    (folders.images / "broken.jpg").write_text("no image")
    dataset = NamedImages([folders.images / "broken.jpg", folders.images / "deep/c.jpg"], LookAt(18, 100))
    image, target = dataset[1]
    assert dataset[0] is None
    assert image.shape == (3, 9, 12)
    assert (target["image_id"], target["name"], target["size"]) == (2, "c", (18, 24))
    assert target["path"] == folders.images / "deep/c.jpg"


def test_names_are_unique(tmp_path):
    """Images of one name from two folders get their position before it, which keeps all names apart."""
    assert unique_names([tmp_path / "a.jpg", tmp_path / "b.jpg"]) == ["a", "b"]
    paths = [tmp_path / "a.jpg", tmp_path / "x/a.jpg", tmp_path / "1_a.jpg"]
    assert unique_names(paths) == ["1_a", "2_a", "3_1_a"]
