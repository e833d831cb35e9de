"""Images of classes for Lightning."""

import json
import logging
from itertools import chain
from pathlib import Path

import pytest
import torch
from jsonargparse import ArgumentParser

from swinv2.classification.data.imagenet_data import ImageNetData, read_names
from swinv2.shapes import Shapes


def test_the_root_is_enough(photos):
    """Folders as ImageNet's need the root only; classes are their names."""
    data = ImageNetData(photos.root)
    data.setup("fit")
    assert (len(data.train_set), len(data.val_set)) == (4, 4)
    assert (data.num_classes, data.class_names) == (2, ["ant", "bee"])
    assert data.mixing is data.erasing is None


def test_shards(shards, data_of):
    """Shards give the same batches as folders; classes without a file of names are numbered by the labels."""
    data = data_of(shards.root, train="train-{000..001}.tar", val="train-002.tar")
    data.setup("fit")
    assert data.class_names == ["class 0", "class 1", "class 2"]
    numbers = chain.from_iterable(labels.tolist() for _, labels in data.train_dataloader())
    assert sorted(numbers) == [0, 0, 0, 1, 1, 1, 2, 2]
    images, targets = next(iter(data.val_dataloader()))
    assert images.float().mean((1, 2, 3)).tolist() == pytest.approx([160, 180], abs=1)
    expected = {"label": 2, "labels": [], "name": "0008", "path": shards.root / "train-002.tar/0008.jpg"}
    assert targets[0] == expected


def test_shards_without_labels(tmp_path, tar, jpeg, data_of):
    """There is nothing to learn from shards of bare images."""
    tar(tmp_path / "train.tar", [("a.jpg", jpeg())])
    with pytest.raises(FileNotFoundError, match="have no images with labels"):
        data_of(tmp_path, train="train.tar", val="train.tar").setup("fit")


def test_other_classes_in_validation(photos, data_of):
    """A validation class that the training has not is an error before anything is read."""
    photos.add("val/wasp/e.jpg")
    with pytest.raises(ValueError, match=r"val has the class 'wasp', but the 2 classes are ant, bee"):
        data_of(photos.root).setup("fit")


def test_other_labels_in_validation(shards, data_of):
    """A label in validation shards that the training has not is an error before anything is read."""
    data = data_of(shards.root, train="train-000.tar", val="train-001.tar", classes="two.txt")
    (shards.root / "two.txt").write_text("ant\nbee\n")
    with pytest.raises(ValueError, match=r"train-001\.tar has labels up to 2, but the 2 classes"):
        data.setup("fit")


def test_fewer_classes_in_validation(photos, caplog, data_of):
    """Validation may lack classes of the training, whose labels stay, and the log says so."""
    for path in (photos.root / "val/ant").iterdir():
        path.unlink()
    (photos.root / "val/ant").rmdir()
    data = data_of(photos.root)
    data.setup("validate")
    assert data.val_set.items.labels.tolist() == [1, 1]
    assert "1 of the 2 classes have no images" in caplog.text


def test_class_names_from_a_file(photos, tmp_path_factory, data_of):
    """classes.txt below the root needs no word; another file may be below the root or elsewhere."""
    photos.add("names.txt", b"bee\nant\n")
    elsewhere = tmp_path_factory.mktemp("lists") / "names.json"
    elsewhere.write_text('["ant", "bee", "cat"]')
    assert data_of(photos.root, classes="names.txt").class_names == ["bee", "ant"]
    assert data_of(photos.root, classes=str(elsewhere)).num_classes == 3
    photos.add("classes.txt", b"ant\nbee\nwasp\n")
    assert read_names(photos.root, "train", None) == ["ant", "bee", "wasp"]


def test_names_of_imagenet(photos, data_of):
    """With synset_words.txt folders are those of its numbers, and names have the first word."""
    for split in ("train", "val"):
        photos.add(f"{split}2/n01440764/a.JPEG", (photos.root / "val/bee/c.jpg").read_bytes())
    photos.add("synset_words.txt", b"n01440764 tench, Tinca tinca\n")
    data = data_of(photos.root, train="train2", val="val2", classes="synset_words.txt")
    data.setup("fit")
    assert data.class_names == ["n01440764 tench"]
    assert data.val_set.items.labels.tolist() == [0]


def test_imagenet_v2(photos, data_of):
    """Folders named by the labels are validated on as they are."""
    photos.add("v2/1/a.jpeg", (photos.root / "val/bee/c.jpg").read_bytes())
    data = data_of(photos.root, val="v2")
    data.setup("validate")
    assert data.val_set[0][1]["label"] == 1


def test_real_labels(photos, data_of):
    """Labels from elsewhere come with the images that they are of."""
    photos.add("real.json", json.dumps([[0], [0, 1], [], [1]]).encode())
    data = data_of(photos.root, real_labels="real.json", batch_size=4)
    data.setup("validate")
    ((_, targets),) = data.val_dataloader()
    assert [target["labels"] for target in targets] == [[0], [0, 1], [], [1]]


def test_no_validation(photos, data_of):
    """Without validation images training is set up, there is nothing to score, and validation is refused."""
    data = data_of(photos.root, val=None)
    data.setup("fit")
    assert (len(data.train_set), data.val_set, data.val_dataloader()) == (4, None, [])
    assert ImageNetData.validation_keys == ("val",)
    with pytest.raises(ValueError, match=r"nothing to validate on; name a folder of images or shards with --data\.val"):
        data.setup("validate")


@pytest.mark.parametrize(
    ("name", "way"), [("train-0000.tar.gz", "gunzip …"), ("x/*.TGZ", "gunzip …"), ("photos.zip", "unzip …")]
)
def test_compressed_images(photos, data_of, name, way):
    """Compressed shards and archives are told apart from folders, with the way to decompress them."""
    with pytest.raises(ValueError, match=rf"names compressed files; images are read in place, .*\({way}"):
        data_of(photos.root, train=name).setup("fit")


def test_labels_without_bound(tmp_path, tar, jpeg, data_of):
    """An enormous label in shards without a file of names is an error, not as many classes."""
    tar(tmp_path / "train.tar", [("a.jpg", jpeg()), ("a.cls", b"2000000000"), ("b.jpg", jpeg()), ("b.cls", b"0")])
    with pytest.raises(ValueError, match=r"label 2000000000 is no number of a class; without .*data\.classes"):
        data_of(tmp_path, train="train.tar", val="train.tar").setup("fit")


def test_labels_from_one(tmp_path, tar, jpeg, data_of, caplog):
    """Labels of shards that count from 1 are told where classes are not named, and refused where they are."""
    tar(tmp_path / "train.tar", [("a.jpg", jpeg()), ("a.cls", b"1"), ("b.jpg", jpeg()), ("b.cls", b"2")])
    data = data_of(tmp_path, train="train.tar", val="train.tar")
    data.setup("fit")
    assert "has no image with label 0, class 0, but labels from 1 to 2. If they count from 1, subtract 1" in caplog.text
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    with pytest.raises(ValueError, match=r"labels from 1 to 2, but those of the 2 classes count from 0\. Subtract 1"):
        data_of(tmp_path, train="train.tar", val="train.tar").setup("fit")


def test_missing_folder(tmp_path, data_of):
    """A missing data folder is named, with the options to check."""
    with pytest.raises(FileNotFoundError, match=r"nowhere.*check data\.root, data\.train.*data\.classes"):
        data_of(tmp_path / "nowhere").setup("fit")


@pytest.mark.parametrize("alphas", [{"mixup_alpha": 0.8}, {"cutmix_alpha": 1.0}])
def test_mixing(photos, alphas, data_of):
    """With a parameter there is something that mixes a batch, with the shares of all classes."""
    data = data_of(photos.root, **alphas)
    data.setup("fit")
    images, shares = data.mixing(*next(iter(data.train_dataloader())))
    assert (images.shape, shares.shape) == ((2, 3, 16, 16), (2, 2))


def test_bad_mixing_is_found_at_the_start(photos, data_of):
    """A negative parameter is refused before training begins."""
    with pytest.raises(ValueError, match=r"mixup_alpha -0\.8"):
        data_of(photos.root, mixup_alpha=-0.8).setup("fit")


def test_erasing(photos, data_of):
    """With a probability there is something that erases parts of normalised images."""
    assert data_of(photos.root, erasing=1.0).erasing(torch.zeros(2, 3, 16, 16)).abs().sum() > 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"batch_size": 0}, "batch_size 0"),
        ({"num_workers": -1}, "num_workers -1"),
        ({"size": 0}, "size 0"),
        ({"scale_range": (0.5, 0.1)}, "scale_range"),
        ({"flip_prob": 2.0}, "flip_prob"),
        ({"erasing": 2.0}, "erasing"),
    ],
)
def test_settings_out_of_range(photos, setting, message, data_of):
    """A setting that makes no sense is refused when the data are described."""
    with pytest.raises(ValueError, match=message):
        data_of(photos.root, **setting)


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        ([], "root", Path("data/imagenet")),
        (["--data.train", "train-{0000..0146}.tar"], "train", "train-{0000..0146}.tar"),
        (["--data.images", "photo.jpg"], "predicted", ["photo.jpg"]),
        (["--data.images", "[a.jpg, 'b/*.png']"], "predicted", ["a.jpg", "b/*.png"]),
        (["--data.shapes.size", "64"], "shapes", Shapes(size=64)),
    ],
)
def test_command_line(arguments, name, value):
    """Settings come from the command line as they do from a recipe."""
    parser = ArgumentParser()
    parser.add_class_arguments(ImageNetData, "data")
    data = parser.instantiate(parser.parse_args([*arguments, "--data.rand_augment", "[9, 0.5]"])).data
    assert getattr(data, name) == value
    assert len(data.train_transform.transforms) == 3


def test_nothing_to_say(photos, caplog, data_of):
    """Of data as they should be the log has no warning."""
    with caplog.at_level(logging.WARNING):
        data_of(photos.root).setup("fit")
    assert caplog.text == ""


def test_class_folders_that_are_numbers(photos, data_of):
    """Folders 1, 2, … are those of a file of names that counts from 1, also where the last one is missing."""
    (photos.root / "cat_to_name.json").write_text(json.dumps({"1": "rose", "2": "tulip", "3": "lily"}))
    for split in ("train", "val"):
        for number, name in enumerate(("ant", "bee"), start=1):
            (photos.root / split / name).rename(photos.root / split / str(number))
    data = data_of(photos.root, classes="cat_to_name.json")
    data.setup("fit")
    assert (data.class_names, data.first) == (["rose", "tulip", "lily"], 1)
    assert {*data.train_set.items.labels.tolist()} == {*data.val_set.items.labels.tolist()} == {0, 1}
