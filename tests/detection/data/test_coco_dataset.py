"""The COCO data set."""

import logging
import unicodedata

import cv2
import numpy as np
import pytest
import torch

from detection.data.coco_dataset import CocoDetection
from detection.data.semantic_maps import SemanticMaps
from detection.data.transforms import eval_transform
from swinv2.imaging.reading import UnreadableImageError


def test_image_and_target(coco):
    """An item is an RGB image with its objects, its id and its size."""
    image, target = CocoDetection(coco.folder, coco.write(), training=True)[0]
    assert image[:, 0, 0].tolist() == [140, 0, 255]
    assert target["image_id"] == 7
    assert target["orig_size"] == target["size"] == (40, 60)
    assert target["masks"].shape == (2, 40, 60)


def test_training_leaves_empty_images_out(coco):
    """Images without objects are used in evaluation, and in training only on request."""
    path = coco.write()
    assert len(CocoDetection(coco.folder, path)) == 3
    assert len(CocoDetection(coco.folder, path, training=True)) == 2
    assert len(CocoDetection(coco.folder, path, training=True, filter_empty=False)) == 3


def test_evaluation_needs_no_masks(coco):
    """Masks are drawn in training only."""
    assert "masks" not in CocoDetection(coco.folder, coco.write())[0][1]


def test_transform_changes_image_and_target(coco):
    """The size of the transformed image is told beside the original one."""
    image, target = CocoDetection(coco.folder, coco.write(), eval_transform(20, 30))[0]
    assert image.shape == (3, 20, 30)
    assert target["size"] == (20, 30)
    assert target["orig_size"] == (40, 60)
    assert target["boxes"][0].tolist() == [5, 2.5, 15, 10.5]


def with_maps(coco):
    """The training images and their maps, class 1 on the left and 2 on the right."""
    (coco.folder.parent / "maps").mkdir()
    for image in coco.content["images"]:
        classes = np.full((image["height"], image["width"]), 2, np.uint8)
        classes[:, : image["width"] // 2] = 1
        cv2.imwrite(str(coco.folder.parent / f"maps/{image['id']}.png"), classes)
    maps = SemanticMaps(coco.folder.parent / "maps")
    return CocoDetection(coco.folder, coco.write(), training=True, semantic_maps=maps)


def test_semantic_maps(coco):
    """The class of each pixel comes with the image."""
    image, target = with_maps(coco)[0]
    assert target["semantic"].shape == image.shape[1:]
    assert torch.equal(target["semantic"] == 1, image[2] > 0)  # blue on the left


def test_semantic_maps_are_checked_at_the_start(coco):
    """A map that is missing is an error before the first image is asked for; that of an unused image is not missed."""
    maps = with_maps(coco).semantic_maps
    (maps.folder / "12.png").unlink()  # the image without objects
    CocoDetection(coco.folder, coco.json, training=True, semantic_maps=maps)
    (maps.folder / "3.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 2 semantic maps are missing"):
        CocoDetection(coco.folder, coco.json, training=True, semantic_maps=maps)


def test_image_with_a_damaged_map_is_left_out(coco):
    """An image whose map cannot be read is not used."""
    images = with_maps(coco)
    path = coco.folder.parent / "maps/7.png"
    path.write_bytes(path.read_bytes()[:-20])
    assert images[0][1]["image_id"] == 3
    assert len(images.skipped) == 1


@pytest.mark.parametrize("training", [True, False])
def test_truncated_image_is_replaced(coco, caplog, training):
    """The next readable image comes in place of a truncated one, and the log counts it once."""
    path = coco.folder / "7.png"
    path.write_bytes(path.read_bytes()[:-30])
    images = CocoDetection(coco.folder, coco.write(), training=training)
    with caplog.at_level(logging.WARNING):
        assert [images[0][1]["image_id"] for _ in range(2)] == [3, 3]
    (said,) = [record.message for record in caplog.records if "crowd regions" not in record.message]
    assert said.startswith(f"Skipped an image, 1 of {len(images)} so far: {path} is cut short or damaged")


def test_image_of_another_size_is_left_out(coco):
    """An image that does not have its annotated size is not used."""
    coco.content["images"][0]["width"] = 61
    coco.content["annotations"][1]["segmentation"]["size"] = [40, 61]
    images = CocoDetection(coco.folder, coco.write())
    assert images[0][1]["image_id"] == 3
    assert len(images.skipped) == 1


def test_last_image_is_replaced_by_the_first(coco):
    """The search for a readable image goes on at the beginning."""
    (coco.folder / "12.png").write_text("")
    assert CocoDetection(coco.folder, coco.write())[2][1]["image_id"] == 7


def test_no_readable_image(coco):
    """If no image at all can be read, that is an error and not an endless search."""
    images = CocoDetection(coco.folder, coco.write())
    for path in coco.folder.iterdir():
        path.write_text("")
    with pytest.raises(UnreadableImageError, match="None of the 3 images"):
        images[1]


def test_missing_folder(coco, tmp_path):
    """A missing image folder is named."""
    with pytest.raises(FileNotFoundError, match=r"There is no image folder .*elsewhere"):
        CocoDetection(tmp_path / "elsewhere", coco.write())


def test_missing_images(coco):
    """Images that are not there are counted at the start, and the first are named."""
    (coco.folder / "7.png").unlink()
    coco.content["images"][1]["file_name"] = "deeper/3.png"
    with pytest.raises(
        FileNotFoundError, match=r"2 of 3 annotated images are missing, first .*7\.png, .*deeper/3\.png"
    ):
        CocoDetection(coco.folder, coco.write())


def test_names_of_other_systems(coco):
    """File names may have backslashes, and accents in the other form of Unicode."""
    (coco.folder / "über").mkdir()
    (coco.folder / "3.png").rename(coco.folder / "über/é.png")
    coco.content["images"][1]["file_name"] = unicodedata.normalize("NFD", "über\\é.png")
    assert CocoDetection(coco.folder, coco.write())[1][1]["image_id"] == 3


def test_image_of_16_bits_is_left_out(coco):
    """One image that a model cannot take does not end a run."""
    cv2.imwrite(str(coco.folder / "7.png"), np.zeros((40, 60, 3), np.uint16))
    images = CocoDetection(coco.folder, coco.write())
    assert images[0][1]["image_id"] == 3
    assert len(images.skipped) == 1


def test_detector_of_boxes_needs_no_masks(coco):
    """Masks are not drawn for a detector that has no use for them; boxes still shrink to what a crop leaves."""
    images = CocoDetection(coco.folder, coco.write(), training=True)
    images.with_masks = False
    target = images[0][1]
    assert not {"masks", "regions", "origins"} & target.keys()
    assert len(target["boxes"]) == 2


def test_images_in_subfolders(coco, monkeypatch):
    """File names may hold folders, and the image folder may be relative."""
    (coco.folder / "deeper").mkdir()
    (coco.folder / "3.png").rename(coco.folder / "deeper/3.png")
    coco.content["images"][1]["file_name"] = "deeper/3.png"
    monkeypatch.chdir(coco.folder)
    assert CocoDetection(coco.folder.relative_to(coco.folder), coco.write())[1][1]["image_id"] == 3


def test_nothing_to_train_on(coco):
    """Images without any usable object are fine for evaluation and an error for training."""
    coco.content["annotations"] = []
    path = coco.write()
    assert torch.equal(CocoDetection(coco.folder, path)[0][1]["boxes"], torch.zeros(0, 4))
    with pytest.raises(ValueError, match="no annotated objects"):
        CocoDetection(coco.folder, path, training=True)


def test_missing_images_are_compared_with_the_folder(coco):
    """The message says how the file is called that may be meant, or what there is."""
    path = coco.write()
    for name, hint in (("train/7.JPG", "There is '7.png'"), ("other.png", "The folder has 3 files, first '12.png'")):
        coco.content["images"][0]["file_name"] = name
        with pytest.raises(FileNotFoundError, match=hint):
            CocoDetection(coco.folder, coco.write())
    assert path == coco.json


def test_image_whose_map_has_other_classes_is_left_out(coco, tmp_path):
    """A semantic map with a class that the model does not have would end the training within a step."""
    maps = tmp_path / "maps"
    maps.mkdir()
    for record in coco.content["images"]:
        labels = np.full((record["height"], record["width"]), 9 if record["id"] == 7 else 1, np.uint8)
        cv2.imwrite(str(maps / f"{record['id']}.png"), labels)
    images = CocoDetection(coco.folder, coco.write(), training=True, semantic_maps=SemanticMaps(maps))
    images.semantic_classes = 5
    assert images[0][1]["image_id"] == 3
    with pytest.raises(UnreadableImageError, match=r"has the class 9, but the model's semantic_classes are 5"):
        images.read(0)
