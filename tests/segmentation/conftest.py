"""A small segmenter, its data and a finished run, for the tests of the command."""

from pathlib import Path

import pytest
import yaml

from swinv2.shapes import make_segmentation


@pytest.fixture
def names():
    """The classes of the sample data, by label."""
    return ["gradient", "noise", "stripes", "checker", "circle", "rectangle", "star", "triangle"]


@pytest.fixture
def dwarf():
    """Settings of a backbone of the least size."""
    return {"name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}


@pytest.fixture
def small():
    """Settings of data of small images, loaded in this process."""
    edges = ("short_edge", "long_edge", "crop_size", "val_short_edge", "val_long_edge")
    return {"num_workers": 0, **dict.fromkeys(edges, 64)}


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A small set of sample data."""
    return make_segmentation(tmp_path_factory.mktemp("shapes") / "segmentation", train=8, val=5, size=64)


@pytest.fixture
def recipe(dwarf, small):
    """Writes a recipe of a model of the least size, and gives its file."""

    def write(shapes, folder, classes=None, **extra):
        init_args = {"backbone": dwarf, "num_classes": classes, "channels": 8, "auxiliary_channels": 8}
        content = {
            "model": {"model": {"class_path": "UPerNet", "init_args": init_args}, "pictures": 2},
            "data": {"root": str(shapes), "classes": "objectInfo.txt", "batch_size": 4, **small},
            "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False, **extra},
        }
        path = folder / "small.yaml"
        path.write_text(yaml.safe_dump(content))
        return str(path)

    return write


@pytest.fixture
def trained(shapes, recipe, tmp_path, monkeypatch, finished_run):
    """The recipe of a finished run, whose folder is below the current one, and what the run said."""
    monkeypatch.chdir(tmp_path)
    path = recipe(shapes, tmp_path)
    return path, finished_run("segmentation", Path(path))
