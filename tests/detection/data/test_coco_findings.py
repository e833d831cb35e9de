"""What is odd about the objects of a COCO file is told, and an error where it is most of them."""

import logging

import pytest

from detection.data.annotations import CocoAnnotations


def spread(segmentation, factor, shift=0):
    """Polygons elsewhere."""
    return [[factor * value + shift for value in polygon] for polygon in segmentation]


CHANGES = {  # of an annotation with a polygon
    "crowd": lambda one: one.update(iscrowd=1),
    "ignore": lambda one: one.update(ignore=1),
    "area": lambda one: one.update(area=0),
    "normalised polygon": lambda one: one.update(segmentation=spread(one["segmentation"], 1 / 60)),
    "polygon elsewhere": lambda one: one.update(segmentation=spread(one["segmentation"], 1, 14)),
    "polygon outside": lambda one: one.update(segmentation=spread(one["segmentation"], 1, 70)),
    "centre": lambda one: one.update(bbox=[20, 13, 20, 16]),
    "reaching out": lambda one: one.update(bbox=[10, 5, 20, 50]),
    "far": lambda one: one.update(bbox=[0, 0, 1e12, 1e12]),
}
TOLD = {
    "crowd": "2 of 4 annotations are crowd regions (iscrowd 1), which are left out of training, first annotation 0",
    "ignore": "1 of 4 annotations say `ignore`, which is not read here",
    "area": "1 of 4 areas cannot be those of their boxes and are worked out anew, first annotation 0: area 0",
    "normalised polygon": "1 of 4 segmentations do not lie where their boxes are, first annotation 0: box [10, 5",
    "polygon elsewhere": "1 of 4 segmentations do not lie where their boxes are",
    "polygon outside": "first annotation 0: its segmentation lies outside of its image of 40 x 60 pixels",
    "centre": "1 of 4 segmentations do not lie where their boxes are, first annotation 0: box [20, 13, 20, 16]",
    "reaching out": "1 of 4 boxes reach out of their image and are cut at its border",
    "far": "1 of 4 boxes reach far outside of their image and are left out of training, first annotation 0",
}
REFUSED = {
    "crowd": "4 of 4 annotations are crowd regions",
    "normalised polygon": "3 of 3 segmentations do not lie where their boxes are",
    "polygon outside": "3 of 3 objects have no usable segmentation",
    "centre": "3 of 3 segmentations do not lie where",
    "far": "3 of 3 boxes reach far outside of their image",
}


@pytest.mark.parametrize("name", CHANGES)
def test_one_odd_object_is_told(coco, caplog, name):
    """One line of the log counts what is odd and names the first."""
    CHANGES[name](coco.content["annotations"][0])
    with caplog.at_level(logging.WARNING):
        CocoAnnotations(coco.write())
    assert any(TOLD[name] in record.message for record in caplog.records)


@pytest.mark.parametrize("name", REFUSED)
def test_most_objects_odd(coco, name):
    """What most objects have is an error."""
    for annotation in coco.content["annotations"]:
        annotation |= {"image_id": 7, "segmentation": [[10, 5, 30, 5, 30, 21, 10, 21]], "bbox": [10, 5, 20, 16]}
        CHANGES[name](annotation)
    with pytest.raises(ValueError, match=REFUSED[name]):
        CocoAnnotations(coco.write())


def test_boxes_outside_are_no_placeholders(coco):
    """Boxes with a size that lie outside of their images are counted as objects, also without segmentations."""
    for annotation in coco.content["annotations"]:
        annotation.pop("segmentation")
        annotation["bbox"] = [70, 5, 9, 9]
    with pytest.raises(ValueError, match="3 of 3 boxes have no area within their image"):
        CocoAnnotations(coco.write())


def test_odd_images_and_categories_are_told(coco, caplog):
    """The same file or name twice, and images annotated for some classes only, are named once each."""
    coco.content["images"][1] |= {"file_name": "7.png", "not_exhaustive_category_ids": []}
    coco.content["categories"][1]["name"] = "cat"
    with caplog.at_level(logging.WARNING):
        CocoAnnotations(coco.write())
    said = " ".join(record.message for record in caplog.records)
    assert "1 of 3 images have the same file_name as another, first images[1]: 7.png" in said
    assert "1 of 2 categories have the same name as another, first categories[1]: 'cat'" in said
    assert "1 of 3 images are annotated for some classes only (LVIS)" in said
