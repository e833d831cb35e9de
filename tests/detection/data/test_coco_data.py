"""Detection data for Lightning."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning import Trainer

from detection import MaskRCNN
from detection.data.coco_data import CocoData, check_classes
from detection.data.instaboost import InstaBoost
from swinv2 import BackboneConfig
from swinv2.shapes import Shapes


def small(coco, **settings):
    """The small data set, for training and validation alike."""
    paths = {"train_images": "images", "val_images": "images"}
    paths |= {"train_annotations": "annotations.json", "val_annotations": "annotations.json"}
    coco.write()
    return CocoData(
        coco.folder.parent,
        **paths | {"num_workers": 0, "short_edge": (32, 48), "long_edge": 96, "masks": True} | settings,
    )


def test_training_batches(coco):
    """A batch is a list of images, each of its own size, and a list of targets with masks."""
    data = small(coco)
    data.setup("fit")
    (batch,) = data.train_dataloader()
    images, targets = batch
    assert sorted(target["image_id"] for target in targets) == [3, 7]
    for image, target in zip(images, targets, strict=True):
        assert image.shape[1:] == target["size"] == target["masks"].shape[1:]
        assert 32 <= min(target["size"]) <= 48


def test_masks_are_drawn_where_they_are_wanted(coco):
    """Unless they are asked for, masks are left to the task, which knows its model."""
    data = small(coco, masks=None)
    data.setup("fit")
    assert "masks" not in data.train_set[0][1]
    data.train_set.with_masks = True
    assert data.train_set[0][1]["masks"].any()


def test_training_order_is_random(coco):
    """Images come in another order each epoch, and in the same one when an epoch is run again."""
    data = small(coco, batch_size=1)
    data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    data.setup("fit")
    orders = []
    for epoch in (*range(20), *range(20)):
        data.trainer.fit_loop.epoch_progress.current.completed = epoch
        orders.append(tuple(targets[0]["image_id"] for _, targets in data.train_dataloader()))
    assert set(orders) == {(3, 7), (7, 3)}
    assert orders[:20] == orders[20:]


def test_validation_batches(coco):
    """All images come, in order, at the greatest short edge, neither flipped nor cropped."""
    data = small(coco)
    data.setup("validate")
    batches = list(data.val_dataloader())
    assert [target["image_id"] for _, targets in batches for target in targets] == [7, 3, 12]
    assert [target["size"] for _, targets in batches for target in targets] == [(48, 72), (48, 80), (48, 48)]
    assert data.train_set is None


def test_validation_has_its_own_short_edge(coco):
    """Validation can differ from training."""
    data = small(coco, val_short_edge=20)
    data.setup("validate")
    assert data.val_set[0][1]["size"] == (20, 30)


def test_images_keep_their_size(coco):
    """On request, images of validation and prediction come in the size of their files."""
    data = small(coco, keep_size=True, images=str(coco.folder))
    data.setup("validate")
    data.setup("predict")
    sizes = [data.val_set[index][1]["size"] for index in range(3)]
    assert sizes == [(40, 60), (30, 50), (20, 20)]
    assert {data.predict_set[index][1]["size"] for index in range(3)} == set(sizes)


def test_kept_size_does_not_change_training(coco):
    """Training images are resized all the same."""
    data = small(coco, keep_size=True)
    data.setup("fit")
    assert min(data.train_set[0][1]["size"]) in range(32, 49)


def test_classes(coco):
    """The classes are those of the annotation file."""
    data = small(coco)
    data.setup("fit")
    assert (data.num_classes, data.class_names, data.category_ids) == (2, ["dog", "cat"], [2, 5])


def test_classes_before_setup(coco):
    """Asking for classes too early says what to do first."""
    with pytest.raises(RuntimeError, match="call setup"):
        _ = small(coco).num_classes


def test_other_classes_in_validation(coco, tmp_path):
    """Training and validation with different categories is an error that shows them."""
    data = small(coco, val_annotations="other.json")
    coco.content["categories"][0]["name"] = "cow"
    (tmp_path / "other.json").write_text(json.dumps(coco.content))
    with pytest.raises(ValueError, match=r"different categories.*\(5, 'cat'\), \(5, 'cow'\)"):
        data.setup("fit")


def test_same_classes(coco):
    """The order in the files does not matter."""
    data = small(coco)
    data.setup("fit")
    check_classes(data.train_set.annotations, data.val_set.annotations)


def test_empty_images_on_request(coco):
    """Images without objects can take part in training."""
    data = small(coco, filter_empty=False)
    data.setup("fit")
    assert len(data.train_set) == 3


def test_large_scale_jitter(coco):
    """Training images are cut to the crop size."""
    data = small(coco, scale_jitter=(1.5, 2.0), crop_size=24)
    data.setup("fit")
    assert all(max(image.shape) == 24 for images, _ in data.train_dataloader() for image in images)


def test_instaboost(coco):
    """InstaBoost changes training images, before they are resized."""
    data = small(coco, short_edge=40, flip_prob=0.0, instaboost=InstaBoost(prob=1.0, scale=(0.5, 0.5)))
    data.setup("fit")
    assert data.train_set[0][1]["masks"].sum() < 0.4 * (320 + 200)
    assert data.val_set[0][1]["boxes"].tolist()[0] == [10, 5, 30, 21]


def test_instaboost_of_boxes_only(coco):
    """Without masks there is nothing to cut out, which is said at the start."""
    for annotation in coco.content["annotations"]:
        del annotation["segmentation"]
    data = small(coco, instaboost=InstaBoost())
    with pytest.raises(ValueError, match=r"InstaBoost needs masks .*annotations\.json has boxes only; leave"):
        data.setup("fit")


@pytest.mark.parametrize(("zero_is_void", "expected"), [(False, {0, 1, 255}), (True, {255, 0})])
def test_semantic_maps(coco, tmp_path, zero_is_void, expected):
    """Training targets have the class of each pixel of the transformed image; those of validation have not."""
    (tmp_path / "maps").mkdir()
    for image in coco.content["images"]:
        classes = np.repeat(np.array([[0, 1, 255]], np.uint8), 20, axis=1).repeat(40, axis=0)
        size = image["width"], image["height"]
        cv2.imwrite(str(tmp_path / f"maps/{image['id']}.png"), cv2.resize(classes, size, interpolation=0))
    data = small(coco, semantic_maps="maps", semantic_zero_is_void=zero_is_void, instaboost=InstaBoost(prob=0.0))
    data.setup("fit")
    image, target = data.train_set[0]
    assert target["semantic"].shape == image.shape[1:]
    assert set(target["semantic"].unique().tolist()) == expected
    assert "semantic" not in data.val_set[0][1]


def test_missing_semantic_maps(coco):
    """A missing folder of semantic maps is named at the start."""
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere of semantic maps"):
        small(coco, semantic_maps="nowhere").setup("fit")


def test_flip(coco):
    """The blue half of the pictures is on the left, or on the right when all are flipped."""
    blue = []
    for probability in (0.0, 1.0):
        data = small(coco, flip_prob=probability)
        data.setup("fit")
        blue.append(data.train_set[0][0][2, 5, 5].item())
    assert blue == [255, 0]


def test_missing_root(tmp_path):
    """A missing data folder is named."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        CocoData(tmp_path / "nowhere").setup("fit")


def test_coco_layout_is_the_default(coco, tmp_path):
    """Data in the layout of COCO 2017 need the root only."""
    coco.write()
    (tmp_path / "annotations").mkdir()
    for split in ("train2017", "val2017"):
        (tmp_path / split).symlink_to(coco.folder)
        (tmp_path / f"annotations/instances_{split}.json").symlink_to(coco.json)
    data = CocoData(tmp_path, num_workers=0)
    data.setup("fit")
    assert len(data.train_set) == 2
    assert len(data.val_set) == 3


def test_prediction(coco):
    """Prediction takes files, folders and globs, and leaves out what cannot be read."""
    (coco.folder / "broken.png").write_text("no image")
    data = small(coco, images=[str(coco.folder / "7.png"), f"{coco.folder}/[3b]*.png"])
    data.setup("predict")
    batches = list(data.predict_dataloader())
    assert [[target["path"].name for target in targets] for _, targets in batches] == [["7.png", "3.png"], []]
    assert batches[0][1][0]["size"] == (48, 72)


def test_prediction_of_one_name(coco):
    """A single pattern needs no list."""
    data = small(coco, images=str(coco.folder))
    data.setup("predict")
    assert len(data.predict_set) == 3


def test_prediction_of_nothing(coco):
    """Prediction without images says which option to give."""
    with pytest.raises(ValueError, match=r"--data\.images"):
        small(coco).setup("predict")


def test_semantic_maps_of_sample_data(tmp_path):
    """The sample data come with maps of all their textures and shapes."""
    paths = {"train_images": "train", "val_images": "val", "semantic_maps": "semantic/train"}
    paths |= {f"{split}_annotations": f"annotations/instances_{split}.json" for split in ("train", "val")}
    sizes = {"short_edge": 48, "long_edge": 48, "num_workers": 0, "flip_prob": 0.0, "masks": True}
    data = CocoData(tmp_path / "shapes", **paths, **sizes, shapes=Shapes(train=8, val=1, size=48))
    data.prepare_data()
    data.setup("fit")
    for _, target in map(data.train_set.__getitem__, range(len(data.train_set))):
        for label, mask in zip(target["labels"], target["masks"], strict=True):
            assert (target["semantic"][mask] == 4 + label).float().mean() > 0.95  # after the four textures


def test_sample_data_is_made(tmp_path):
    """Shapes are made where they are missing, and used as any other data."""
    paths = {"train_images": "train", "val_images": "val"}
    paths |= {f"{split}_annotations": f"annotations/instances_{split}.json" for split in ("train", "val")}
    sizes = {"short_edge": 48, "long_edge": 48, "num_workers": 0, "masks": True}
    data = CocoData(tmp_path / "shapes", **paths, **sizes, shapes=Shapes(train=8, val=4, size=48))
    data.prepare_data()
    data.prepare_data()
    data.setup("fit")
    assert data.class_names == ["circle", "rectangle", "star", "triangle"]
    assert len(data.val_set) == 4
    image, target = data.train_set[0]
    assert image.shape == (3, 48, 48)
    assert target["masks"].any()


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--data.images", "photo.jpg"], "predicted", ["photo.jpg"]),
        (["--data.images", "[a.jpg, 'b/*.jpg']"], "predicted", ["a.jpg", "b/*.jpg"]),
        (["--data.shapes.size", "64"], "shapes", Shapes(size=64)),
        (["--data.instaboost", "{}"], "instaboost", InstaBoost()),
        (["--data.instaboost.prob", "0.25"], "instaboost", InstaBoost(prob=0.25)),
        (["--data.instaboost", "{scale: [0.9, 1.1]}"], "instaboost", InstaBoost(scale=(0.9, 1.1))),
        ([], "instaboost", None),
    ],
)
def test_command_line(arguments, name, value):
    """Settings come from the command line as they do from a recipe."""
    parser = ArgumentParser()
    parser.add_class_arguments(CocoData, "data")
    data = parser.instantiate(parser.parse_args(arguments)).data
    assert getattr(data, name) == value


def test_targets_are_checked_on_their_way_to_a_gpu(coco):
    """There the model would have to wait to check them: a label beyond the model's classes is told before."""
    data = small(coco, batch_size=2)
    data.setup("fit")
    ((images, targets),) = data.train_dataloader()
    model = MaskRCNN(BackboneConfig("swinv2_tiny_window8_256", depths=[1] * 4), 1)
    strategy, module = SimpleNamespace(root_device=torch.device("cuda")), SimpleNamespace(model=model)
    data.trainer = SimpleNamespace(training=True, strategy=strategy, lightning_module=module)
    with pytest.raises(ValueError, match="has label 1; the model has num_classes=1"):
        data.on_before_batch_transfer((images, targets), 0)
    strategy.root_device = torch.device("cpu")
    assert data.on_before_batch_transfer((images, targets), 0) == (images, targets)
