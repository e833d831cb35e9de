"""Segmentation data for Lightning."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning import Trainer

from segmentation.data.ade20k_data import Ade20kData
from segmentation.data.class_list import IGNORED
from swinv2.imaging.label_maps import write_map
from swinv2.shapes import Shapes

SIZES = {1: (20, 30), 2: (24, 40), 3: (30, 24)}


@pytest.fixture
def root(tmp_path):
    """ADE20K's folders with three pairs each: the first class above, the second below, and one unknown row."""
    for split in ("training", "validation"):
        for kind in ("images", "annotations"):
            (tmp_path / kind / split).mkdir(parents=True)
        for index, (height, width) in SIZES.items():
            values = np.full((height, width), 1, np.uint8)
            values[height // 2 :] = 2
            values[0] = 0
            write_map(tmp_path / f"annotations/{split}/{index}.png", values)
            image = np.stack([values * 40 + index] * 3, axis=-1)
            cv2.imwrite(str(tmp_path / f"images/{split}/{index}.png"), image)
    (tmp_path / "objectInfo150.txt").write_text(
        "Idx\tRatio\tTrain\tVal\tName\n1\t0\t3\t3\tsky\n2\t0\t3\t3\tsea, ocean\n"
    )
    return tmp_path


def small(root, **settings):
    """Data of small crops, loaded in this process."""
    return Ade20kData(root, **{"num_workers": 0, "short_edge": 32, "long_edge": 64, "crop_size": 32} | settings)


def test_ade20k_layout_is_the_default(root):
    """Data in ADE20K's layout need the root only."""
    data = Ade20kData(root)
    data.setup("fit")
    assert len(data.train_set) == len(data.val_set) == 3
    assert (data.num_classes, data.class_names) == (2, ["sky", "sea"])
    assert data.class_list.values == (1, 2)


def test_training_batches(root):
    """A batch is one tensor of crops and one of their labels."""
    data = small(root)
    data.setup("fit")
    images, labels = next(iter(data.train_dataloader()))
    assert type(images) is type(labels) is torch.Tensor
    assert (images.shape, images.dtype) == ((2, 3, 32, 32), torch.uint8)
    assert (labels.shape, labels.dtype) == ((2, 32, 32), torch.int16)
    assert {0, 1} <= set(labels.unique().tolist()) <= {IGNORED, 0, 1}


def test_validation_batches(root):
    """Validation gives lists in order: images in the size of the file, and the size to look at them."""
    data = small(root, val_short_edge=60, val_long_edge=90)
    data.setup("validate")
    batches = list(data.val_dataloader())
    assert [image.shape[1:] for images, _ in batches for image in images] == list(SIZES.values())
    targets = [target for _, targets in batches for target in targets]
    assert [target["labels"].shape for target in targets] == list(SIZES.values())
    assert [target["size"] for target in targets] == [(60, 90), (54, 90), (75, 60)]
    assert [target["image_id"] for target in targets] == [1, 2, 3]
    assert [target["name"] for target in targets] == ["1", "2", "3"]
    assert data.train_set is None


def test_validation_in_the_size_of_the_file(root):
    """Without a short edge, images are looked at as they are."""
    data = small(root, val_short_edge=None)
    data.setup("validate")
    assert [data.val_set[index][1]["size"] for index in range(3)] == list(SIZES.values())


def test_training_order_is_random(root):
    """Crops and their order differ between epochs, and are the same when an epoch is run again."""
    data = small(root, batch_size=3)
    data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    data.setup("fit")
    epochs = []
    for epoch in (0, 1, 0):
        data.trainer.fit_loop.epoch_progress.current.completed = epoch
        ((images, _),) = data.train_dataloader()
        epochs.append(images)
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])


def test_workers_do_not_change_crops(root):
    """Crops depend on the seed, not on the process that makes them."""
    batches = []
    for workers in (0, 2):
        torch.manual_seed(3)
        data = small(root, num_workers=workers, batch_size=3)
        data.setup("fit")
        batches += list(data.train_dataloader())
    assert torch.equal(batches[0][0], batches[1][0])
    assert torch.equal(batches[0][1], batches[1][1])


def test_image_smaller_than_the_crop(root):
    """Small images are padded to the crop, with labels to be ignored."""
    data = small(root, short_edge=16, scale_range=(1.0, 1.0), crop_size=64, batch_size=3)
    data.setup("fit")
    ((images, labels),) = data.train_dataloader()
    assert images.shape == (3, 3, 64, 64)
    assert (labels[:, 32:] == IGNORED).all()
    assert (labels[:, :, 32:] == IGNORED).all()


def test_other_folders_and_classes(root, tmp_path_factory):
    """Any folders, class list and ignored value will do; the list need not be below the root."""
    elsewhere = tmp_path_factory.mktemp("lists") / "classes.txt"
    elsewhere.write_text("0: void\n2: water\n")
    folders = {
        f"{split}_{kind}": f"{name}/training"
        for split in ("train", "val")
        for kind, name in (("images", "images"), ("maps", "annotations"))
    }
    data = small(root, **folders, classes=str(elsewhere), reduce_zero_label=False, ignore_index=1)
    data.setup("fit")
    assert data.class_names == ["void", "water"]
    assert data.val_set[0][1]["labels"].unique().tolist() == [IGNORED, 0, 1]


def test_missing_class_list(root):
    """A missing class list is named at the start."""
    with pytest.raises(FileNotFoundError, match=r"no class list .*names\.txt; check data\.root and data\.classes"):
        small(root, classes="names.txt").setup("validate")


def test_missing_root(tmp_path):
    """A missing data folder is named."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Ade20kData(tmp_path / "nowhere").setup("fit")


def test_zero_label_that_was_not_reduced(root):
    """Maps whose zero is void, read as if it were not, say which setting helps."""
    data = small(root, reduce_zero_label=False)
    with pytest.raises(ValueError, match=r"\d\.png has .*no class: 0 \(\d0 pixels\).*set reduce_zero_label"):
        data.setup("validate")


def test_no_validation(root):
    """Without validation images training is set up, there is nothing to score, and validation is refused."""
    data = small(root, val_images=None, val_maps=None)
    data.setup("fit")
    assert (len(data.train_set), data.val_set, data.val_dataloader()) == (3, None, [])
    assert Ade20kData.validation_keys == ("val_images", "val_maps")
    with pytest.raises(ValueError, match=r"nothing to validate on; name folders with --data\.val_images and"):
        data.setup("validate")
    with pytest.raises(ValueError, match="val_images None with val_maps annotations/validation: give both folders"):
        small(root, val_images=None)


@pytest.mark.parametrize("split", ["training", "validation"])
def test_images_that_cannot_be_read(root, split):
    """If more than half of the images cannot be read, training does not begin."""
    for index in (1, 3):
        (root / f"images/{split}/{index}.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=rf"2 of 3 {split} images with their maps that were tried cannot be used"):
        small(root).setup("fit")


def test_maps_without_a_known_pixel(root):
    """Placeholders in place of validation maps are refused before the first step."""
    for index, size in SIZES.items():
        write_map(root / f"annotations/validation/{index}.png", np.zeros(size, np.uint8))
    with pytest.raises(ValueError, match="3 validation maps give nothing to score"):
        small(root).setup("fit")


@pytest.mark.parametrize(("value", "classes"), [(0, r"0 \(left out, 2280 pixels\)"), (2, r"2 \(sea, 2280 pixels\)")])
def test_nothing_to_learn(root, value, classes):
    """Training maps with less than two classes stop training, and say what they hold; scoring has no need of them."""
    for index, size in SIZES.items():
        write_map(root / f"annotations/training/{index}.png", np.full(size, value, np.uint8))
    with pytest.raises(ValueError, match=f"3 training maps give nothing to learn, only {classes}; .*ignore_index"):
        small(root).setup("fit")
    small(root).setup("validate")


def test_meaning_of_values_is_said(root, monkeypatch):
    """At the start a line says which value is which class."""
    said = []
    monkeypatch.setattr("segmentation.data.ade20k_data.rank_zero_info", said.append)
    small(root).setup("validate")
    assert said == ["class values: 1 sky, 2 sea (2 classes); left out: 0, 255"]


@pytest.mark.parametrize("split", ["training", "validation"])
def test_value_that_is_no_class(root, split):
    """A value above the classes stops training at the start, wherever it is."""
    write_map(root / f"annotations/{split}/3.png", np.full(SIZES[3], 3, np.uint8))
    with pytest.raises(ValueError, match=rf"{split}/3\.png has pixel values that are no class: 3 \(720 pixels\)"):
        small(root).setup("fit")


def test_several_ignored_values(root):
    """Several values of the maps may be left out."""
    (root / "classes.txt").write_text("2: sea\n3: sand\n")
    data = small(root, classes="classes.txt", reduce_zero_label=False, ignore_index=[0, 1])
    data.setup("validate")
    assert data.val_set[0][1]["labels"].unique().tolist() == [IGNORED, 0]


def test_lists(root, tmp_path_factory):
    """Text files below the root or elsewhere say which images are meant."""
    elsewhere = tmp_path_factory.mktemp("lists") / "val.txt"
    elsewhere.write_text("3\n")
    (root / "train.txt").write_text("1\n2\n")
    data = small(root, train_list="train.txt", val_list=str(elsewhere))
    data.setup("fit")
    assert [pair.name for pair in data.train_set.pairs] == ["1", "2"]
    assert [pair.name for pair in data.val_set.pairs] == ["3"]


def test_names_of_cityscapes(root):
    """Images and maps may each have an end of their own."""
    for kind, end in (("images", "_leftImg8bit.png"), ("annotations", "_gtFine.png")):
        for path in list((root / kind / "validation").iterdir()):
            path.rename(path.with_name(path.stem + end))
    data = small(root, image_suffix="_leftImg8bit.png", map_suffix="_gtFine.png")
    data.setup("validate")
    assert [pair.name for pair in data.val_set.pairs] == ["1", "2", "3"]


def test_prediction(root):
    """Prediction takes files, folders and globs, needs no class list, and leaves out what cannot be read."""
    (root / "objectInfo150.txt").unlink()
    folder = root / "images/validation"
    (folder / "broken.png").write_text("no image")
    data = small(root, images=[str(folder / "2.png"), f"{folder}/[1b]*.png"], val_short_edge=48)
    data.setup("predict")
    targets = [target for _, targets in data.predict_dataloader() for target in targets]
    assert [target["name"] for target in targets] == ["2", "1"]
    assert targets[0]["size"] == (48, 80)
    assert "labels" not in targets[0]


def test_prediction_of_subfolders(root):
    """Results of a folder have the names of the files below it; a name that comes again gets a number."""
    other = root / "more"
    other.mkdir()
    shutil.copy(root / "images/validation/1.png", other / "1.png")
    data = small(root, images=[str(root / "images"), str(root / "images/validation/2.png"), str(other), f"{other}/1.*"])
    shutil.copy(other / "1.png", other / "1.bmp")
    data.setup("predict")
    of_images = [f"{split}/{index}" for split in ("training", "validation") for index in SIZES]
    assert data.predict_set.names == [*of_images, "1", "1_2"]


@pytest.mark.parametrize("stage", ["validate", "predict"])
def test_images_come_one_by_one(root, monkeypatch, stage):
    """Whatever the batch of training, other images come alone, few ahead and not in page-locked memory."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    data = small(root, batch_size=3, num_workers=1, images=str(root / "images/validation"))
    data.setup(stage)
    loader = data.val_dataloader() if stage == "validate" else data.predict_dataloader()
    assert (loader.batch_size, loader.prefetch_factor, loader.pin_memory) == (1, 1, False)


def test_sample_data_is_made(tmp_path):
    """Shapes are made where they are missing, and used as any other data."""
    data = small(tmp_path / "shapes", classes="objectInfo.txt", shapes=Shapes(train=3, val=2, size=48))
    data.prepare_data()
    data.prepare_data()
    data.setup("fit")
    assert data.class_names[-4:] == ["circle", "rectangle", "star", "triangle"]
    assert (len(data.train_set), len(data.val_set)) == (3, 2)
    images, labels = next(iter(data.train_dataloader()))
    assert images.shape == (2, 3, 32, 32)
    assert labels.max() < data.num_classes


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        ([], "root", Path("data/ADEChallengeData2016")),
        (["--data.images", "photo.jpg"], "predicted", ["photo.jpg"]),
        (["--data.images", "[a.jpg, 'b/*.jpg']"], "predicted", ["a.jpg", "b/*.jpg"]),
        (["--data.shapes.size", "64"], "shapes", Shapes(size=64)),
        (["--data.ignore_index", "65535"], "ignore_index", 65535),
        (["--data.ignore_index", "[0, 255]"], "ignore_index", [0, 255]),
    ],
)
def test_command_line(arguments, name, value):
    """Settings come from the command line as they do from a recipe."""
    parser = ArgumentParser()
    parser.add_class_arguments(Ade20kData, "data")
    data = parser.instantiate(parser.parse_args([*arguments, "--data.scale_range", "[0.5, 1.5]"])).data
    assert getattr(data, name) == value
    assert data.train_transform.transforms[0].scales == (0.5, 1.5)
