"""Class folders and shards of tiny photos; a small classifier, its data and a finished run."""

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from swinv2 import BackboneConfig
from swinv2.classification.data.folders import read_class_folders
from swinv2.classification.data.imagenet_data import ImageNetData
from swinv2.classifier import ImageClassifier
from swinv2.cli import main
from swinv2.shapes import make_classification

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


@pytest.fixture
def data_of():
    """Makes data of small images below a root, loaded in this process."""
    return lambda root, **settings: ImageNetData(root, **{"num_workers": 0, "batch_size": 2, "size": 16, **settings})


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A small set of sample data."""
    return make_classification(tmp_path_factory.mktemp("shapes") / "classification", train=8, val=6, size=32)


@pytest.fixture
def small(shapes):
    """Settings of data of small images, loaded in this process."""
    return {"root": shapes, "batch_size": 4, "num_workers": 0, "size": 32}


@pytest.fixture
def dwarf():
    """Settings of a backbone of the least size."""
    return {"name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}


@pytest.fixture
def model(dwarf):
    """A classifier of the least size."""
    return ImageClassifier(BackboneConfig(**dwarf), 4)


@pytest.fixture
def recipe(small, dwarf, tmp_path, monkeypatch):
    """Writes a recipe of a model of the least size in the folder of the test, and gives its file."""
    monkeypatch.chdir(tmp_path)

    def write(data=(), **trainer):
        content = {
            "model": {"model": {"backbone": dwarf, "num_classes": None}, "label_smoothing": 0.1},
            "data": small | {"root": str(small["root"]), **dict(data)},
            "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False, **trainer},
        }
        (tmp_path / "small.yaml").write_text(yaml.safe_dump(content))
        return "small.yaml"

    return write


@pytest.fixture
def trained(recipe, finished_run):
    """The recipe of a finished run, whose folder is below the current one, and what the run said."""
    path = recipe({"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "erasing": 0.5}, log_every_n_steps=1)
    return path, finished_run("classification", Path(path))


@pytest.fixture
def run():
    """Runs a command that succeeds."""

    def run(command, path, *options):
        assert main(["classification", command, "--config", path, *options]) == 0

    return run
