"""COCO annotation files."""

import json
import logging
import pickle
import re

import numpy as np
import pytest

from detection.data.annotations import CocoAnnotations


def messages(caplog):
    """What the log says, but for the one crowd of the data set."""
    return [record.message for record in caplog.records if "crowd regions" not in record.message]


def test_labels_follow_the_category_ids(coco):
    """Labels are positions in the ascending list of ids, whatever the file's order and gaps."""
    annotations = CocoAnnotations(coco.write())
    assert annotations.category_ids == [2, 5]
    assert annotations.class_names == ["dog", "cat"]
    assert annotations.target(7, with_regions=False)["labels"].tolist() == [1, 0]


def test_boxes_become_corners(coco):
    """Left, top, width, height in the file are left, top, right, bottom in the target."""
    target = CocoAnnotations(coco.write()).target(7, with_regions=False)
    assert target["boxes"].tolist() == [[10, 5, 30, 21], [40, 10, 50, 30]]
    assert target["boxes"].canvas_size == (40, 60)


@pytest.mark.parametrize(
    ("image_id", "position", "rows", "columns"),
    [(7, 0, (5, 21), (10, 30)), (7, 1, (10, 30), (40, 50)), (3, 0, (10, 30), (0, 20))],
    ids=["polygon", "plain RLE", "compressed RLE"],
)
def test_masks_of_every_form(coco, image_id, position, rows, columns):
    """Polygons and both kinds of run lengths give the same kind of mask."""
    region = CocoAnnotations(coco.write()).target(image_id, with_regions=True)["regions"][position]
    assert (region.top, region.left) == (rows[0], columns[0])
    assert region.pixels.all()
    assert region.pixels.shape == (rows[1] - rows[0], columns[1] - columns[0])


def test_crowds_are_no_targets(coco):
    """A crowd region is kept for the evaluation but never a target."""
    annotations = CocoAnnotations(coco.write())
    assert len(annotations.of_image(3)) == 2
    assert len(annotations.target(3, with_regions=True)["labels"]) == 1


def test_image_without_objects(coco):
    """An image without objects has an empty target of the right shapes."""
    annotations = CocoAnnotations(coco.write())
    target = annotations.target(12, with_regions=True)
    assert target["boxes"].shape == (0, 4)
    assert target["labels"].shape == (0,)
    assert target["regions"] == []
    assert annotations.annotated == [7, 3]


def test_box_only_annotations(coco):
    """Without any segmentation there are no regions, and asking for them changes nothing."""
    for annotation in coco.content["annotations"]:
        annotation.pop("segmentation")
    annotations = CocoAnnotations(coco.write())
    assert not annotations.has_masks
    assert "regions" not in annotations.target(7, with_regions=True)


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
    assert annotations.target(7, with_regions=True)["labels"].tolist() == [0]
    assert messages(caplog) == [
        f"{coco.json}: 1 of 4 boxes have no area within their image and are left out of training, "
        f"first annotation 0: {box}"
    ]


def test_box_beyond_the_border_is_cut(coco):
    """A box that sticks out ends at the border."""
    coco.content["annotations"][0]["bbox"] = [-4, 30, 20, 20]
    assert CocoAnnotations(coco.write()).target(7, with_regions=False)["boxes"][0].tolist() == [0, 30, 16, 40]


def test_polygons_of_two_points_are_ignored(coco):
    """Of several polygons those of three corners or more count."""
    coco.content["annotations"][0]["segmentation"] = [[1, 1, 9, 9], [10, 5, 30, 5, 30, 21, 10, 21]]
    region = CocoAnnotations(coco.write()).target(7, with_regions=True)["regions"][0]
    assert region.pixels.sum() == 320


SQUARE = [10, 5, 30, 5, 30, 21, 10, 21]
UNUSABLE = {
    "two corners": ([SQUARE[:4]], "has a polygon of 2 corners"),
    "odd": ([[*SQUARE, 1]], "has a polygon of 9 numbers, an odd number"),
    "pairs": ([SQUARE[i : i + 2] for i in range(0, 8, 2)], "has points as pairs"),
    "nested": ([[SQUARE[i : i + 2] for i in range(0, 8, 2)]], "has points in lists of their own"),
    "flat": (SQUARE, "is one flat list"),
    "text": ([["10", "5"]], "has .*which are no numbers"),
    "runs in a list": ([{"size": [40, 60], "counts": [2400]}], "has run lengths within a list"),
    "NaN": ([[float("nan"), *SQUARE[1:]]], "has a coordinate that is not a number"),
    "far away": ([[2e8, *SQUARE[1:]]], "has the coordinate 2e\\+08, far outside of the image of 40 x 60"),
    "line": ([[10, 5, 10, 9, 10, 21]], "has polygons without any area"),
    "other size": ({"size": [60, 40], "counts": [2400]}, r"is a mask of \[60, 40\] in an image of \[40, 60\]"),
    "short": ({"size": [40, 60], "counts": [1000, 50]}, "has run lengths that add up to 1050 of the 2400 pixels"),
    "no runs": ({"size": [40, 60], "counts": []}, "has run lengths that add up to 0"),
    "below zero": ({"size": [40, 60], "counts": [2500, -100]}, "has the run lengths .*whole numbers of 0 or more"),
    "short, compressed": ({"size": [40, 60], "counts": "0"}, "has run lengths that add up to 0"),
    "cut number": ({"size": [40, 60], "counts": "X"}, "has compressed run lengths that are damaged"),
    "text of bytes": ({"size": [40, 60], "counts": "b'X'"}, r".*write counts.decode\(\)"),
    "empty mask": ({"size": [40, 60], "counts": [2400]}, "has run lengths without any pixel"),
    "no counts": ({"size": [40, 60]}, "has counts None"),
    "number": (7, "is 7; COCO has lists of polygons"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_segmentations_of_no_use_are_left_out(coco, caplog, name):
    """An object whose segmentation cannot be drawn is no target, and one line of the log counts such and says why."""
    coco.content["annotations"][1]["segmentation"], reason = UNUSABLE[name]
    with caplog.at_level(logging.WARNING):
        annotations = CocoAnnotations(coco.write())
    assert annotations.target(7, with_regions=True)["labels"].tolist() == [1]
    assert "segmentation" not in annotations.of_image(7)[1]
    (said,) = messages(caplog)
    assert "1 of 4 segmentations are of no use and left out" in said
    assert re.search(f"first annotation 11: its segmentation {reason}", said)


@pytest.mark.parametrize("name", UNUSABLE)
def test_no_usable_segmentation(coco, name):
    """More than half of the objects without a usable segmentation is an error that names the first."""
    for annotation in coco.content["annotations"]:
        annotation["segmentation"] = UNUSABLE[name][0]
    with pytest.raises(ValueError, match="3 objects have no usable segmentation, first annotation 0: its segmentation"):
        CocoAnnotations(coco.write())


@pytest.mark.parametrize("left", [[], None, {}, [[]], "", [[0] * 6], {"size": [40, 60], "counts": [2400]}])
def test_placeholders_of_annotation_tools_are_left_out(coco, caplog, left):
    """What a tool leaves of a deleted object, without box and segmentation, is nowhere, and counted."""
    empty = {"id": 9, "image_id": 7, "category_id": 5, "bbox": [0, 0, 0, 0], "area": 0, "segmentation": left}
    coco.content["annotations"].append(empty)
    with caplog.at_level(logging.WARNING):
        annotations = CocoAnnotations(coco.write())
    assert annotations.has_masks
    assert len(annotations.of_image(7)) == 2
    assert ["1 of 5 annotations have neither" in said for said in messages(caplog)] == [True]


def test_normalised_boxes(coco):
    """Boxes from 0 to 1 are an error that says how to mend them."""
    for annotation in coco.content["annotations"]:
        annotation["bbox"] = [0.1, 0.2, 0.3, 0.4]
    with pytest.raises(ValueError, match=r"4 of 4 boxes lie between 0 and 1, .* they look normalised"):
        CocoAnnotations(coco.write())


def test_boxes_by_their_corners(coco):
    """Boxes as left, top, right, bottom are told by all of them together."""
    boxes = [[3 * i, i, 3 * i + 10, i + 12] for i in range(16)] * 2
    kinds = {"image_id": 7, "category_id": 5}
    coco.content["annotations"] = [{"id": i, "bbox": box} | kinds for i, box in enumerate(boxes)]
    with pytest.raises(ValueError, match=r"boxes look like \[left, top, right, bottom\]"):
        CocoAnnotations(coco.write())


@pytest.mark.parametrize("order", [("annotations", "categories", "images"), ("categories", "annotations", "images")])
def test_order_of_the_lists(coco, order):
    """The lists may stand in any order."""
    expected = CocoAnnotations(coco.write()).of_image(7)
    coco.content = {"info": {"note": "é"}, **{name: coco.content[name] for name in order}, "other": [1.5, "a]"]}
    assert CocoAnnotations(coco.write()).of_image(7) == expected


def test_letters_of_the_world(coco):
    """Names in any script are read, written as they are or by their numbers."""
    coco.content["images"][0]["file_name"] = "裂纹 é.png"
    coco.content["categories"][0]["name"] = "猫"
    for ascii_only in (True, False):
        coco.json.write_text(json.dumps(coco.content, ensure_ascii=ascii_only), encoding="utf-8")
        annotations = CocoAnnotations(coco.json)
        assert annotations.images[7].file_name == "裂纹 é.png"
        assert annotations.class_names == ["dog", "猫"]
        assert len(annotations.of_image(7)) == 2


def test_images_of_a_test(coco):
    """A file without annotations says so; its images are there."""
    coco.content.pop("annotations")
    annotations = CocoAnnotations(coco.write())
    assert not annotations.scored
    assert annotations.of_image(7) == []


def test_numbers_with_a_point_are_ids(coco):
    """Tables turn ids into 7.0; they mean the same."""
    coco.content["annotations"][0] |= {"image_id": 7.0, "category_id": 5.0, "iscrowd": False}
    assert CocoAnnotations(coco.write()).target(7, with_regions=False)["labels"].tolist() == [1, 0]


def test_long_entries(coco, monkeypatch):
    """An entry may be longer than what is read at once."""
    monkeypatch.setattr("detection.data.coco_json.BLOCK", 64)
    assert len(CocoAnnotations(coco.write()).of_image(7)) == 2


def test_file_that_changes(coco):
    """Annotations that are changed while they are in use are an error, not other objects."""
    annotations = CocoAnnotations(coco.write())
    coco.json.write_text(" " + coco.json.read_text())
    with pytest.raises(OSError, match="was changed while a run reads from it"):
        annotations.of_image(7)


def test_index_is_remembered(coco, monkeypatch):
    """What took long is not done again, unless the file changes; an index that is damaged is made anew."""
    monkeypatch.setattr("detection.data.coco_reader.SLOW", 0.0)
    path = coco.write()
    first = CocoAnnotations(path)
    kept = path.with_name("annotations.json.index.npz")
    assert kept.exists()
    with monkeypatch.context() as context:
        context.setattr("detection.data.coco_reader.CocoReader", None)
        second = CocoAnnotations(path)
    assert second.of_image(7) == first.of_image(7)
    assert (second.images, second.annotated, second.class_names) == (first.images, first.annotated, first.class_names)
    good = dict(np.load(kept))
    kept.write_bytes(kept.read_bytes()[:200])
    assert CocoAnnotations(path).of_image(7) == first.of_image(7)
    for content in (b"null", b'{"categories": 3}'):
        np.savez(kept, **good | {"content": np.frombuffer(content, np.uint8)})
        assert CocoAnnotations(path).of_image(7) == first.of_image(7)


def test_other_processes_read_by_themselves(coco):
    """A copy for a loading process opens the file anew."""
    annotations = CocoAnnotations(coco.write())
    expected = annotations.of_image(7)
    assert pickle.loads(pickle.dumps(annotations)).of_image(7) == expected


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("image_id", 99, "annotation 0 belongs to image 99, which `images` does not list; add"),
        ("image_id", "7", "annotation 0 belongs to image '7', .* but with another type; write both alike"),
        ("image_id", None, "annotation 0 has image_id None"),
        ("category_id", 1, r"annotation 0 has category 1, but `categories` lists only \[2, 5\]"),
        ("category_id", "5", "annotation 0 has category_id '5'; write the id of a category, a whole number"),
        ("bbox", [1, 2, 3], r"annotation 0 has the box \[1, 2, 3\]"),
        ("bbox", ["1", "2", "3", "4"], "annotation 0 has the box .*four numbers"),
        ("bbox", [1, 2, float("nan"), 4], "annotation 0 has the box"),
        ("bbox", None, "annotation 0 has the box None"),
        ("area", "2050", "annotation 0 has area '2050'; write the area in pixels"),
        ("area", float("nan"), "annotation 0 has area nan"),
        ("iscrowd", "0", "annotation 0 has iscrowd '0'; it is 0 or 1"),
    ],
)
def test_bad_annotation(coco, key, value, message):
    """Fields that cannot be meant are errors that name the annotation, the field and the value."""
    coco.content["annotations"][0][key] = value
    with pytest.raises(ValueError, match=message):
        CocoAnnotations(coco.write())


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("images", "width", None, r"images\[1\] has width None; write the image's width in pixels"),
        ("images", "height", "96", r"images\[1\] has height '96'"),
        ("images", "height", 0, r"images\[1\] has height 0"),
        ("images", "file_name", None, r"images\[1\] has file_name None"),
        ("images", "id", [1], r"images\[1\] has id \[1\]; ids are whole numbers"),
        ("images", "id", "3", r"images\[1\] has id '3', images\[0\] 7; write all as numbers or as text"),
        ("images", "id", 7, r"images\[1\] has id 7, as another image has"),
        ("categories", "id", "2", r"categories\[1\] has id '2'; ids of categories are whole numbers"),
        ("categories", "name", None, r"categories\[1\] has name None; write the name of the class"),
    ],
)
def test_bad_image_or_category(coco, section, key, value, message):
    """Likewise of images and categories; an entry is named by its place."""
    coco.content[section][1][key] = value
    with pytest.raises(ValueError, match=message):
        CocoAnnotations(coco.write())


@pytest.mark.parametrize("section", ["images", "annotations", "categories"])
def test_entry_that_is_no_object(coco, section):
    """An entry of another type is named."""
    coco.content[section].append(None)
    with pytest.raises(ValueError, match=rf"{section}\[\d\] is None, not an object with"):
        CocoAnnotations(coco.write())


def test_name_that_is_a_number(coco):
    """A class that is called by a number has this as its name."""
    coco.content["categories"][0]["name"] = 1
    assert CocoAnnotations(coco.write()).class_names == ["dog", "1"]


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
        ('{"images": [], "annotations": []}', r"it needs lists named \['categories'\]"),
        ('{"images": {}, "categories": []}', "it has 'images' not as a list"),
        ('{"images": [], "images": []}', "it has 'images' twice"),
        ('{"images": [}', "is not valid JSON: Expecting value at byte 12"),
        ("[" * 9999, "is not valid JSON"),
        ('{"images": [{"id": 1}], "categories": [], "annotations": []}', r"images\[0\] lacks \['file_name', 'height'"),
        ('{"images": [], "categories": [], "annotations": []}', "lists no images"),
    ],
)
def test_not_coco(coco, text, message):
    """JSON of another kind is an error that names what is missing."""
    coco.json.write_text(text)
    with pytest.raises(ValueError, match=message):
        CocoAnnotations(coco.json)


def test_ids_of_sixty_bits(coco):
    """Ids that hashes make are whole numbers."""
    coco.content["images"][2]["id"] = 2**62
    assert [*CocoAnnotations(coco.write()).images] == [7, 3, 2**62]


@pytest.mark.parametrize("key", ["file_name", "id"])
def test_half_letters(coco, key):
    """A name that cannot be written is an error before anything is written."""
    coco.content["images"] = coco.content["images"][:1]
    coco.content["images"][0][key] = "\ud83d"
    with pytest.raises(ValueError, match=rf"images\[0\] has {key} "):
        CocoAnnotations(coco.write())


@pytest.mark.parametrize("box", [[], None])
def test_placeholders_without_a_box_are_left_out(coco, caplog, box):
    """What a tool leaves of a deleted object may have no box at all."""
    coco.content["annotations"].append({"id": 9, "image_id": 7, "category_id": 5, "bbox": box, "segmentation": []})
    with caplog.at_level(logging.WARNING):
        annotations = CocoAnnotations(coco.write())
    assert len(annotations.of_image(7)) == 2
    assert ["1 of 5 annotations have neither" in said for said in messages(caplog)] == [True]


@pytest.mark.parametrize(
    ("key", "hint"), [("segments_info", "panoptic file"), ("caption", "file of captions"), ("coco_url", "LVIS")]
)
def test_files_of_other_tasks(coco, key, hint):
    """A file of COCO's other tasks, or of LVIS, is named as such."""
    coco.content["annotations"][0] = {"id": 1, "image_id": 7, key: "something"}
    with pytest.raises(ValueError, match=rf"annotations\[0\] lacks .*This looks like .*{hint}"):
        CocoAnnotations(coco.write())


def test_file_without_objects_is_not_scored(coco):
    """An empty list of annotations is as none."""
    coco.content["annotations"] = []
    assert not CocoAnnotations(coco.write()).scored
