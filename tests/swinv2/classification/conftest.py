"""Class folders and shards of tiny photos."""

import io
import tarfile

import cv2
import numpy as np
import pytest

from swinv2.classification.folders import read_class_folders

PHOTOS = ("ant/a.jpg", "ant/b.jpg", "bee/c.jpg", "bee/d.jpg")


def encoded(value=0, suffix=".jpg", shape=(20, 30, 3)):
    """An image file of one grey."""
    return cv2.imencode(suffix, np.full(shape, value, np.uint8))[1].tobytes()


class Photos:
    """Two photos each of ants and bees, in `train` and `val`; the first is the darkest."""

    def __init__(self, root):
        self.root = root
        for split in ("train", "val"):
            for number, name in enumerate(PHOTOS):
                self.add(f"{split}/{name}", encoded(40 * number))

    def add(self, name, content=b""):
        """Write a file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def items(self, split="train", class_names=()):
        """The images of a split."""
        return read_class_folders(self.root / split, class_names)


@pytest.fixture
def photos(tmp_path):
    """Class folders."""
    return Photos(tmp_path)


def write_tar(path, members):
    """Write a tar file of names and contents."""
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


class Shards:
    """Three shards of four photos, each with its label, which is 0, 1 and 2 by turns; each a bit lighter."""

    def __init__(self, root):
        self.root = root
        for shard in range(3):
            self.add(f"train-{shard:03}.tar", [4 * shard + position for position in range(4)])

    def add(self, name, numbers):
        """Write a shard of some photos."""
        pairs = [
            ((f"{number:04}.cls", str(number % 3).encode()), (f"{number:04}.jpg", encoded(20 * number)))
            for number in numbers
        ]
        return write_tar(self.root / name, [member for pair in pairs for member in pair])


@pytest.fixture
def shards(tmp_path):
    """Shards."""
    return Shards(tmp_path)


@pytest.fixture
def tar():
    """Writes a tar file of names and contents."""
    return write_tar


@pytest.fixture
def jpeg():
    """Encodes an image of one grey."""
    return encoded
