"""Images of classes for Lightning."""

import io
import json
import logging
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning import Trainer
from PIL import Image
from torchvision.transforms import v2

from swinv2.classification.data import ImageNetData, read_names
from swinv2.shapes import Shapes

ROTATED = (  # EXIF with orientation 6: the stored picture lies on its side
    b"\xff\xe1\x00\x22Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
)
HALVES = np.zeros((20, 30, 3), np.uint8)  # red on the left and blue on the right
HALVES[:, :15], HALVES[:, 15:] = (200, 30, 60), (10, 20, 220)


def small(root, **settings):
    """Data of small images, loaded in this process."""
    return ImageNetData(root, **{"num_workers": 0, "batch_size": 2, "size": 16, **settings})


def pillow(pixels, kind, mode="RGB"):
    """An image file written by another library."""
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode == "RGB" else image.convert(mode)).save(file, kind, **{"quality": 95} if kind == "JPEG" else {})
    return file.getvalue()


def whole(data):
    """The validation image ant/a as it is in memory, not resized."""
    data.eval_transform = v2.Identity()
    data.setup("validate")
    return data.val_set[0][0]


def trainer_at(epoch=0):
    """A trainer in some epoch."""
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit_loop.epoch_progress.current.completed = epoch
    return trainer


def test_the_root_is_enough(photos):
    """Folders as ImageNet's need the root only; classes are their names."""
    data = ImageNetData(photos.root)
    data.setup("fit")
    assert (len(data.train_set), len(data.val_set)) == (4, 4)
    assert (data.num_classes, data.class_names) == (2, ["ant", "bee"])
    assert data.mixing is data.erasing is None


def test_training_batches(photos):
    """A batch is one tensor of images and one of their labels; a small one at the end is left out."""
    photos.add("train/bee/e.jpg", (photos.root / "train/bee/d.jpg").read_bytes())
    data = small(photos.root)
    data.setup("fit")
    batches = list(data.train_dataloader())
    assert [(tuple(images.shape), len(labels)) for images, labels in batches] == 2 * [((2, 3, 16, 16), 2)]
    assert (batches[0][0].dtype, batches[0][1].dtype) == (torch.uint8, torch.int64)
    assert type(batches[0][0]) is torch.Tensor


def test_validation_batches(photos):
    """Validation gives all images in order, as a tensor and a list of targets."""
    data = small(photos.root, batch_size=3)
    data.setup("validate")
    (images, targets), last = data.val_dataloader()
    assert (images.shape, images.dtype, len(last[0])) == ((3, 3, 16, 16), torch.uint8, 1)
    assert targets[2] == {"label": 1, "labels": [], "name": "bee/c", "path": photos.root / "val/bee/c.jpg"}
    assert data.train_set is None


def test_training_order_is_random(photos):
    """Images, their order and their changes differ between epochs, and are the same when an epoch is run again."""
    data, epochs = small(photos.root, batch_size=4, rand_augment=(9.0, 0.5)), []
    data.setup("fit")
    for epoch in (0, 1, 0):
        data.trainer = trainer_at(epoch)
        ((images, _),) = data.train_dataloader()
        epochs.append(images)
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])


@pytest.mark.parametrize("pattern", ["train", "train-*.tar"])
def test_workers_do_not_change_images(photos, shards, pattern):
    """Images depend on the seed, not on the process that makes them, even where one cannot be read."""
    photos.add("train/ant/b.jpg", b"no image")
    batches = []
    for workers in (0, 2):
        torch.manual_seed(3)
        data = small(photos.root, train=pattern, classes="classes.txt", num_workers=workers, batch_size=4)
        photos.add("classes.txt", b"ant\nbee\ncat\n")
        data.setup("fit")
        batches.append(torch.cat([images for images, _ in data.train_dataloader()]))
        assert len(data.train_set.left_out) == (pattern == "train")
    assert torch.equal(*batches)


def test_shards(shards):
    """Shards give the same batches as folders; classes without a file of names are numbered by the labels."""
    data = small(shards.root, train="train-{000..001}.tar", val="train-002.tar")
    data.setup("fit")
    assert data.class_names == ["class 0", "class 1", "class 2"]
    numbers = chain.from_iterable(labels.tolist() for _, labels in data.train_dataloader())
    assert sorted(numbers) == [0, 0, 0, 1, 1, 1, 2, 2]
    images, targets = next(iter(data.val_dataloader()))
    assert images.float().mean((1, 2, 3)).tolist() == pytest.approx([160, 180], abs=1)
    expected = {"label": 2, "labels": [], "name": "0008", "path": shards.root / "train-002.tar/0008.jpg"}
    assert targets[0] == expected


def test_shards_are_read_a_few_at_a_time(tmp_path, tar, jpeg):
    """In training only some shards are read from at a time, in another order each epoch."""
    for shard in range(20):
        samples = [(f"{shard}-{n}.{kind}", data) for n in range(3) for kind, data in (("jpg", jpeg()), ("cls", b"0"))]
        tar(tmp_path / f"{shard:02}.tar", samples)
    data = small(tmp_path, train="{00..19}.tar", val="00.tar", batch_size=1)
    data.setup("fit")
    orders = []
    for epoch in (0, 1, 0):
        data.trainer = trainer_at(epoch)
        order = [index // 3 for _, index in data.train_dataloader().sampler]
        assert len({*order[:24]}) == len({*order[24:48]}) == 8
        orders.append(order)
    assert orders[0] == orders[2] != orders[1]


def test_cut_off_shard(shards, caplog):
    """A shard cut off in the middle is trained on up to the cut, and the log counts it."""
    shard = shards.root / "train-001.tar"
    shard.write_bytes(shard.read_bytes()[:5000])
    data = small(shards.root, train="train-*.tar", val="train-000.tar", batch_size=1)
    data.setup("fit")
    assert 8 < len(list(data.train_dataloader())) < 12
    assert "1 of 3 shards are cut off" in caplog.text


@pytest.mark.parametrize(
    "content",
    [b"", b"no image", cv2.imencode(".jpg", HALVES)[1].tobytes()[:-200], pillow(HALVES, "GIF")],
    ids=["empty", "text", "cut short", "placeholder GIF"],
)
def test_unreadable_image(photos, caplog, content):
    """What is no whole image is replaced by the next one in training, not scored, and counted in the log."""
    for split in ("train", "val"):
        photos.add(f"{split}/ant/b.jpg", content)
    data = small(photos.root, batch_size=4)
    data.setup("fit")
    ((_, labels),) = data.train_dataloader()
    assert sorted(labels.tolist()) == [0, 1, 1, 1]
    ((images, targets),) = data.val_dataloader()
    assert len(images) == len(targets) == 3
    assert caplog.text.count("Left out an image, 1 of 4 so far") == 2


def test_nothing_readable(photos):
    """Training on no readable image ends with an error; in validation the batch is empty, of the same shape."""
    for split in ("train", "val"):
        for path in (photos.root / split).rglob("*.jpg"):
            path.write_bytes(b"text")
    data = small(photos.root, batch_size=4)
    data.setup("fit")
    with pytest.raises(OSError, match=r"None of the 4 images can be read, first .*a\.jpg"):
        next(iter(data.train_dataloader()))
    ((images, targets),) = data.val_dataloader()
    assert (images.shape, targets) == ((0, 3, 16, 16), [])


def test_cmyk(photos):
    """A JPEG in the colours of print is seen in those of the screen."""
    photos.add("val/ant/a.jpg", pillow(HALVES, "JPEG", "CMYK"))
    image = whole(small(photos.root))
    assert image.shape == (3, 20, 30)
    assert image[:, 5, 5].tolist() == pytest.approx([200, 30, 60], abs=6)
    assert image[:, 5, 25].tolist() == pytest.approx([10, 20, 220], abs=6)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P"])
def test_other_colours(photos, mode):
    """Grey, transparent and palette images come as RGB."""
    photos.add("val/ant/a.png", pillow(HALVES, "PNG", mode))
    (photos.root / "val/ant/a.jpg").unlink()
    image = whole(small(photos.root))
    expected = np.array(Image.fromarray(HALVES).convert("L" if mode[0] == "L" else "RGB").convert("RGB"))
    assert image.shape == (3, 20, 30)
    assert np.abs(image.permute(1, 2, 0).numpy() - expected.astype(int)).max() <= (60 if mode == "P" else 1)


def test_sixteen_bits(photos, caplog):
    """Images of 16 bits, which would come out almost black, are left out, counted, and the log has a way out."""
    for split in ("train", "val"):
        (photos.root / f"{split}/ant/a.jpg").unlink()
        photos.add(f"{split}/ant/a.png", cv2.imencode(".png", np.full((4, 5), 1800, np.uint16))[1].tobytes())
    data = small(photos.root, batch_size=4, images=str(photos.root / "val"))
    for stage in ("fit", "predict"):
        data.setup(stage)
    ((_, labels),) = data.train_dataloader()
    ((_, scored),), ((_, predicted),) = data.val_dataloader(), data.predict_dataloader()
    assert (sorted(labels.tolist()), len(scored), len(predicted)) == ([0, 0, 1, 1], 3, 3)
    assert caplog.text.count("Left out an image, 1 of 4 so far") == 3
    assert caplog.text.count("a.png has values of type uint16; models take RGB of 8 bits") == 3
    assert "percentiles" in caplog.text


def test_shards_without_labels(tmp_path, tar, jpeg):
    """There is nothing to learn from shards of bare images."""
    tar(tmp_path / "train.tar", [("a.jpg", jpeg())])
    with pytest.raises(FileNotFoundError, match="have no images with labels"):
        small(tmp_path, train="train.tar", val="train.tar").setup("fit")


def test_orientation(photos):
    """A picture stands upright as its EXIF says."""
    encoded = pillow(HALVES, "JPEG")
    photos.add("val/ant/a.jpg", encoded[:2] + ROTATED + encoded[2:])
    image = whole(small(photos.root))
    assert image.shape == (3, 30, 20)
    assert image[0, 5, 10] > 150 > image[0, 25, 10]  # what lay on the left is at the top


def test_other_classes_in_validation(photos):
    """A validation class that the training has not is an error before anything is read."""
    photos.add("val/wasp/e.jpg")
    with pytest.raises(ValueError, match=r"val has the class 'wasp', but the 2 classes are ant, bee"):
        small(photos.root).setup("fit")


def test_other_labels_in_validation(shards):
    """A label in validation shards that the training has not is an error before anything is read."""
    data = small(shards.root, train="train-000.tar", val="train-001.tar", classes="two.txt")
    (shards.root / "two.txt").write_text("ant\nbee\n")
    with pytest.raises(ValueError, match=r"train-001\.tar has labels up to 2, but the 2 classes"):
        data.setup("fit")


def test_fewer_classes_in_validation(photos, caplog):
    """Validation may lack classes of the training, whose labels stay, and the log says so."""
    for path in (photos.root / "val/ant").iterdir():
        path.unlink()
    (photos.root / "val/ant").rmdir()
    data = small(photos.root)
    data.setup("validate")
    assert data.val_set.items.labels.tolist() == [1, 1]
    assert "1 of the 2 classes have no images" in caplog.text


def test_class_names_from_a_file(photos, tmp_path_factory):
    """classes.txt below the root needs no word; another file may be below the root or elsewhere."""
    photos.add("names.txt", b"bee\nant\n")
    elsewhere = tmp_path_factory.mktemp("lists") / "names.json"
    elsewhere.write_text('["ant", "bee", "cat"]')
    assert small(photos.root, classes="names.txt").class_names == ["bee", "ant"]
    assert small(photos.root, classes=str(elsewhere)).num_classes == 3
    photos.add("classes.txt", b"ant\nbee\nwasp\n")
    assert read_names(photos.root, "train", None) == ["ant", "bee", "wasp"]


def test_names_of_imagenet(photos):
    """With synset_words.txt folders are those of its numbers, and names have the first word."""
    for split in ("train", "val"):
        photos.add(f"{split}2/n01440764/a.JPEG")
    photos.add("synset_words.txt", b"n01440764 tench, Tinca tinca\n")
    data = small(photos.root, train="train2", val="val2", classes="synset_words.txt")
    data.setup("fit")
    assert data.class_names == ["n01440764 tench"]
    assert data.val_set.items.labels.tolist() == [0]


def test_imagenet_v2(photos):
    """Folders named by the labels are validated on as they are."""
    photos.add("v2/1/a.jpeg", (photos.root / "val/bee/c.jpg").read_bytes())
    data = small(photos.root, val="v2")
    data.setup("validate")
    assert data.val_set[0][1]["label"] == 1


def test_real_labels(photos):
    """Labels from elsewhere come with the images that they are of."""
    photos.add("real.json", json.dumps([[0], [0, 1], [], [1]]).encode())
    data = small(photos.root, real_labels="real.json", batch_size=4)
    data.setup("validate")
    ((_, targets),) = data.val_dataloader()
    assert [target["labels"] for target in targets] == [[0], [0, 1], [], [1]]


def test_missing_folder(tmp_path):
    """A missing data folder is named, with the options to check."""
    with pytest.raises(FileNotFoundError, match=r"nowhere.*check data\.root, data\.train.*data\.classes"):
        small(tmp_path / "nowhere").setup("fit")


@pytest.mark.parametrize("alphas", [{"mixup_alpha": 0.8}, {"cutmix_alpha": 1.0}])
def test_mixing(photos, alphas):
    """With a parameter there is something that mixes a batch, with the shares of all classes."""
    data = small(photos.root, **alphas)
    data.setup("fit")
    images, shares = data.mixing(*next(iter(data.train_dataloader())))
    assert (images.shape, shares.shape) == ((2, 3, 16, 16), (2, 2))


def test_bad_mixing_is_found_at_the_start(photos):
    """A negative parameter is refused before training begins."""
    with pytest.raises(ValueError, match=r"mixup_alpha -0\.8"):
        small(photos.root, mixup_alpha=-0.8).setup("fit")


def test_erasing(photos):
    """With a probability there is something that erases parts of normalised images."""
    assert small(photos.root, erasing=1.0).erasing(torch.zeros(2, 3, 16, 16)).abs().sum() > 0


def test_prediction(photos, caplog):
    """Prediction takes files, folders and globs, needs no classes, and leaves out what cannot be read."""
    photos.add("other/a.jpg", b"text")
    data = small(photos.root / "none", images=[f"{photos.root}/val", f"{photos.root}/*/a.jpg"], batch_size=8)
    data.setup("predict")
    ((images, targets),) = data.predict_dataloader()
    assert images.shape == (4, 3, 16, 16)
    assert [target["name"] for target in targets] == ["ant/a", "ant/b", "bee/c", "bee/d"]
    assert targets[3]["path"] == photos.root / "val/bee/d.jpg"
    assert "Left out an image, 1 of 5 so far" in caplog.text


def test_prediction_of_nothing(photos):
    """Prediction without images says which option to give."""
    with pytest.raises(ValueError, match=r"--data\.images"):
        small(photos.root).setup("predict")


def test_loader_before_setup(photos):
    """Asking for images too early says what to do first."""
    with pytest.raises(RuntimeError, match="call setup"):
        small(photos.root).train_dataloader()


def test_sample_data_is_made(tmp_path):
    """Shapes are made where they are missing, and used as any other data."""
    data = small(tmp_path / "shapes", shapes=Shapes(train=8, val=4, size=32))
    data.prepare_data()
    data.prepare_data()
    data.setup("fit")
    assert (len(data.train_set), len(data.val_set), data.num_classes) == (8, 4, 4)


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
def test_settings_out_of_range(photos, setting, message):
    """A setting that makes no sense is refused when the data are described."""
    with pytest.raises(ValueError, match=message):
        small(photos.root, **setting)


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        ([], "root", Path("data/imagenet")),
        (["--data.train", "train-{0000..0146}.tar"], "train", "train-{0000..0146}.tar"),
        (["--data.images", "photo.jpg"], "images", ["photo.jpg"]),
        (["--data.images", "[a.jpg, 'b/*.png']"], "images", ["a.jpg", "b/*.png"]),
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


def test_nothing_to_say(photos, caplog):
    """Of data as they should be the log has no warning."""
    with caplog.at_level(logging.WARNING):
        small(photos.root).setup("fit")
    assert caplog.text == ""
