"""COCO annotation files."""

import logging

import pytest
import torch

from detection.annotations import CocoAnnotations


def test_labels_follow_the_category_ids(coco):
    """Labels are positions in the ascending list of ids, whatever the file's order and gaps."""
    annotations = CocoAnnotations(coco.write())
    assert annotations.category_ids == [2, 5]
    assert annotations.class_names == ["dog", "cat"]
    assert annotations.target(7, with_masks=False)["labels"].tolist() == [1, 0]


def test_boxes_become_corners(coco):
    """Left, top, width, height in the file are left, top, right, bottom in the target."""
    target = CocoAnnotations(coco.write()).target(7, with_masks=False)
    assert target["boxes"].tolist() == [[10, 5, 30, 21], [40, 10, 50, 30]]
    assert target["boxes"].canvas_size == (40, 60)


@pytest.mark.parametrize(
    ("image_id", "position", "rows", "columns"),
    [(7, 0, (5, 21), (10, 30)), (7, 1, (10, 30), (40, 50)), (3, 0, (10, 30), (0, 20))],
    ids=["polygon", "plain RLE", "compressed RLE"],
)
def test_masks_of_every_form(coco, image_id, position, rows, columns):
    """Polygons and both kinds of run lengths give the same kind of mask."""
    target = CocoAnnotations(coco.write()).target(image_id, with_masks=True)
    expected = torch.zeros_like(target["masks"][position])
    expected[slice(*rows), slice(*columns)] = True
    assert torch.equal(target["masks"][position], expected)


def test_crowds_are_no_targets(coco):
    """A crowd region is kept for the evaluation but never a target."""
    annotations = CocoAnnotations(coco.write())
    assert len(annotations.of_image(3)) == 2
    assert len(annotations.target(3, with_masks=True)["labels"]) == 1


def test_image_without_objects(coco):
    """An image without objects has an empty target of the right shapes."""
    annotations = CocoAnnotations(coco.write())
    target = annotations.target(12, with_masks=True)
    assert target["boxes"].shape == (0, 4)
    assert target["labels"].shape == (0,)
    assert target["masks"].shape == (0, 20, 20)
    assert annotations.annotated == [7, 3]


def test_box_only_annotations(coco):
    """Without any segmentation there are no masks, and asking for them changes nothing."""
    for annotation in coco.content["annotations"]:
        annotation.pop("segmentation")
    annotations = CocoAnnotations(coco.write())
    assert not annotations.has_masks
    assert "masks" not in annotations.target(7, with_masks=True)


def test_some_without_segmentation(coco):
    """Masks for some objects only is an error that names the first without."""
    coco.content["annotations"][1]["segmentation"] = []
    with pytest.raises(ValueError, match="annotation 11 has no segmentation"):
        CocoAnnotations(coco.write())


@pytest.mark.parametrize("box", [[10, 5, 0, 4], [10, 5, -3, 4], [60, 5, 9, 9]], ids=["zero", "negative", "outside"])
def test_boxes_without_area_are_left_out(coco, caplog, box):
    """Boxes without area in the image are dropped, and one line of the log counts them."""
    coco.content["annotations"][0]["bbox"] = box
    with caplog.at_level(logging.WARNING):
        annotations = CocoAnnotations(coco.write())
    assert annotations.target(7, with_masks=True)["labels"].tolist() == [0]
    assert [record.message for record in caplog.records] == [
        f"{coco.json}: 1 of 4 boxes have no area within their image and are left out of training, "
        f"first annotation 0: {box}"
    ]


def test_box_beyond_the_border_is_cut(coco):
    """A box that sticks out ends at the border."""
    coco.content["annotations"][0]["bbox"] = [-4, 30, 20, 20]
    assert CocoAnnotations(coco.write()).target(7, with_masks=False)["boxes"][0].tolist() == [0, 30, 16, 40]


def test_polygons_of_two_points_are_ignored(coco):
    """Only polygons with three corners or more count; an object may be left with an empty mask."""
    coco.content["annotations"][0]["segmentation"] = [[1, 1, 9, 9], [10, 5, 30, 5, 30, 21, 10, 21]]
    coco.content["annotations"].append(coco.content["annotations"][0] | {"id": 20, "segmentation": [[1, 1, 9, 9]]})
    masks = CocoAnnotations(coco.write()).target(7, with_masks=True)["masks"]
    assert masks.flatten(1).sum(1).tolist() == [320, 200, 0]


def test_mask_of_another_size(coco):
    """Run lengths for another image size are an error that names the annotation."""
    coco.content["annotations"][1]["segmentation"]["size"] = [60, 40]
    with pytest.raises(ValueError, match=r"annotation 11 has a mask of \[60, 40\] in an image of \[40, 60\]"):
        CocoAnnotations(coco.write()).target(7, with_masks=True)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("image_id", 99, "annotation 0 belongs to image 99"),
        ("category_id", 1, r"annotation 0 has category 1, but `categories` lists only \[2, 5\]"),
        ("bbox", [1, 2, 3], r"annotation 0 has the box \[1, 2, 3\]"),
    ],
)
def test_bad_annotation(coco, key, value, message):
    """An unknown image, an unknown category and a box of three numbers are errors that name the annotation."""
    coco.content["annotations"][0][key] = value
    with pytest.raises(ValueError, match=message):
        CocoAnnotations(coco.write())


def test_same_id_twice(coco):
    """Two categories with one id are an error."""
    coco.content["categories"][0]["id"] = 2
    with pytest.raises(ValueError, match="ids must be unique"):
        CocoAnnotations(coco.write())


def test_missing_file(tmp_path):
    """A missing annotation file is named."""
    with pytest.raises(FileNotFoundError, match=r"There is no annotation file .*none\.json"):
        CocoAnnotations(tmp_path / "none.json")


@pytest.mark.parametrize("length", [0, 500])
def test_file_cut_short(coco, length):
    """An empty file or half a file is an error that says so."""
    coco.json.write_bytes(coco.write().read_bytes()[:length])
    with pytest.raises(ValueError, match="Was it cut short"):
        CocoAnnotations(coco.json)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", r"it needs lists named \['images', 'annotations', 'categories'\]"),
        ('{"images": [], "categories": []}', r"it needs lists named \['annotations'\]"),
        ('{"images": [{"id": 1}], "categories": [], "annotations": []}', r"images\[0\] lacks \['file_name', 'height'"),
        ('{"images": [], "categories": [], "annotations": []}', "lists no images"),
    ],
)
def test_not_coco(coco, text, message):
    """JSON of another kind is an error that names what is missing."""
    coco.json.write_text(text)
    with pytest.raises(ValueError, match=message):
        CocoAnnotations(coco.json)
