"""Where the size of the training data is from."""

from pathlib import Path

import pytest
from jsonargparse import Namespace
from lightning import LightningDataModule

from swinv2.commands.dataset_sizes import class_count, published, training_size
from swinv2.shapes import Shapes


class Data(LightningDataModule):
    """Five items, or none."""

    def __init__(self, there):
        super().__init__()
        self.there, self.train_set = there, None

    def setup(self, stage):
        if not self.there:
            raise FileNotFoundError("There is no folder.")
        self.train_set = range(5)


def part(root, **settings):
    """The data of a recipe."""
    return Namespace({"root": Path(root), "shapes": None, "filter_empty": True} | settings)


def test_what_the_user_says_comes_first():
    """Data that is there is not even looked at."""
    assert training_size("detection", part("data/coco"), Data(True), 7) == (7, "given by --items")


def test_data_that_is_there_is_counted():
    """Whatever its folder is called."""
    assert training_size("detection", part("data/coco"), Data(True), None) == (5, "found in data/coco")


def test_missing_data_is_as_large_as_published():
    """By the name of the folder, wherever it is."""
    size = training_size("segmentation", part("elsewhere/ADEChallengeData2016"), Data(False), None)
    assert size.items == 20_210
    assert size.origin.startswith("ADE20K")


def test_sample_data_is_as_large_as_the_recipe_says():
    """It need not be made for that."""
    assert training_size("video", part("data/x", shapes=Shapes(train=30)), Data(False), None).items == 30


def test_unknown_data_is_an_error():
    """The message names what is missing and both ways to go on."""
    with pytest.raises(ValueError, match=r"There is no folder. Say it by --items N, .*: coco, objects365\."):
        training_size("detection", part("data/mine"), Data(False), None)


def test_coco_has_images_without_objects():
    """They count where a recipe keeps them."""
    sizes = [published("detection", part("data/coco", filter_empty=keep)).items for keep in (True, False)]
    assert sizes == [117_266, 118_287]


@pytest.mark.parametrize(
    ("task", "data", "expected"),
    [
        ("classification", part("data/imagenet"), 1000),
        ("segmentation", part("data/coco"), 171),
        ("video", part("data/shapes/video", shapes=Shapes()), 4),
        ("detection", part("data/mine"), None),
    ],
)
def test_classes_of_missing_data(task, data, expected):
    """Known of public and of sample data only."""
    assert class_count(task, data) == expected
