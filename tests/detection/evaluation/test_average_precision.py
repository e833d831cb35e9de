"""COCO's average precision against cases worked out by hand."""

import logging
import math

import pytest

from detection.data.annotations import CocoAnnotations
from detection.evaluation.average_precision import (
    ClassScore,
    class_precision,
    count_objects,
    evaluate,
    format_table,
    precision_curves,
    summarize,
)

CAT, DOG = 5, 2  # category ids


def found(image_id, category, box, score):
    """An entry of a results JSON."""
    return {"image_id": image_id, "category_id": category, "bbox": box, "score": score}


def scores(coco, results, kind="box"):
    """The twelve figures."""
    return summarize(evaluate(CocoAnnotations(coco.write()), results, kind))


@pytest.fixture
def truth(coco):
    """The true objects of the first image as results."""
    return [found(7, one["category_id"], one["bbox"], 0.9) for one in coco.content["annotations"][:2]]


def test_all_found(coco, truth):
    """Every object found and nothing else is an average precision of one, annotation number 0 included."""
    assert scores(coco, {7: truth})["AP"] == pytest.approx(1)


def test_nothing_found(coco):
    """No detection at all is an average precision of zero."""
    assert scores(coco, {7: []})["AP"] == 0


def test_half_found(coco):
    """One of two objects found: precision is one up to a recall of 0.5, at 51 of COCO's 101 points."""
    coco.content["annotations"][1]["category_id"] = CAT
    first = found(7, CAT, [10, 5, 20, 16], 0.9)
    figures = scores(coco, {7: [first, found(7, CAT, [0, 30, 5, 5], 0.8)]})
    assert figures["AP"] == pytest.approx(51 / 101)
    assert figures["AR100"] == 0.5


def test_false_alarm_with_a_higher_score(coco):
    """A wrong detection before the only right one halves the precision at every recall."""
    coco.content["annotations"] = coco.content["annotations"][:1]
    wrong, right = found(7, CAT, [0, 30, 5, 5], 0.9), found(7, CAT, [10, 5, 20, 16], 0.8)
    assert scores(coco, {7: [wrong, right]})["AP"] == pytest.approx(0.5)


def test_overlap_decides(coco):
    """A box that overlaps by 0.72 counts at 0.5, 0.55, 0.6, 0.65 and 0.7: half of the ten."""
    coco.content["annotations"] = coco.content["annotations"][:1] * 1
    coco.content["annotations"][0]["bbox"] = [0, 0, 25, 16]
    figures = scores(coco, {7: [found(7, CAT, [0, 0, 18, 16], 0.9)]})
    assert (figures["AP"], figures["AP50"], figures["AP75"]) == (pytest.approx(0.5), pytest.approx(1), 0)


def test_masks_are_compared_by_pixels(coco):
    """The same masks give one, with whatever box; half of a mask passes no overlap above 0.5."""
    annotations = CocoAnnotations(coco.write())
    one = annotations.of_image(3)[0]
    result = found(3, CAT, [0, 0, 1, 1], 0.9) | {"segmentation": annotations.encode(one)}
    assert scores(coco, {3: [result]}, "mask")["AP"] == pytest.approx(1)
    assert scores(coco, {3: [result]}, "box")["AP"] == 0


def test_objects_in_a_crowd_are_no_false_alarms(coco):
    """What is found within a crowd counts neither for nor against."""
    inside = found(3, DOG, [32, 2, 5, 5], 0.9)
    scored = evaluate(CocoAnnotations(coco.write()), {7: [found(7, DOG, [40, 10, 10, 20], 0.5)], 3: [inside]}, "box")
    assert class_precision(precision_curves(scored))[0] == pytest.approx(1)


def test_only_given_images_count(coco, truth):
    """Objects of images that were not looked at are not missing."""
    assert scores(coco, {7: truth})["AP"] == pytest.approx(1)
    assert scores(coco, {7: truth, 3: []})["AP"] < 1


def test_sizes(coco, truth):
    """Without objects of a size its figure is not a number; here all are small."""
    figures = scores(coco, {7: truth})
    assert figures["APs"] == pytest.approx(1)
    assert math.isnan(figures["APm"])
    assert math.isnan(figures["APl"])


def test_area_in_the_file_decides_the_size(coco, truth):
    """An `area` in the annotation goes before that of the mask or box."""
    for annotation in coco.content["annotations"]:
        annotation["area"] = 50 * 50
    assert scores(coco, {7: truth})["APm"] == pytest.approx(1)


def test_box_only_truth(coco, truth):
    """Box scores need no segmentation."""
    for annotation in coco.content["annotations"]:
        annotation.pop("segmentation")
    assert scores(coco, {7: truth})["AP"] == pytest.approx(1)


def test_class_without_objects(coco):
    """A class that the images do not show is not a number, and does not lower the mean."""
    scored = evaluate(CocoAnnotations(coco.write()), {3: [found(3, CAT, [0, 10, 20, 20], 0.9)]}, "box")
    dog, cat = class_precision(precision_curves(scored))
    assert math.isnan(dog)
    assert cat == pytest.approx(1)
    assert summarize(scored)["AP"] == pytest.approx(1)


def test_objects_are_counted_without_crowds(coco):
    """The table counts objects by class in the images looked at."""
    annotations = CocoAnnotations(coco.write())
    assert count_objects(annotations, [7, 3]) == [1, 2]
    assert count_objects(annotations, [12]) == [0, 0]


def test_nothing_is_printed(coco, truth, capsys, caplog):
    """COCO's own summary goes to the log, not to the screen."""
    with caplog.at_level(logging.INFO):
        scores(coco, {7: truth})
    assert capsys.readouterr().out == ""
    assert "Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 1.000" in caplog.text


def test_table():
    """Columns are aligned and filled from top to bottom."""
    rows = [
        ClassScore("cat", 12, {"box": 0.5, "mask": 0.25}),
        ClassScore("dog", 3, {"box": 1.0, "mask": 0.125}),
        ClassScore("traffic light", 0, {"box": math.nan, "mask": math.nan}),
    ]
    assert format_table(rows).splitlines() == [
        "class          objects  box AP  mask AP  |  class          objects  box AP  mask AP",
        "cat                 12   0.500    0.250  |  traffic light        0     nan      nan",
        "dog                  3   1.000    0.125",
    ]
    assert format_table([]) == ""


@pytest.mark.parametrize("area", [0, 1e-3, 1e20])
def test_impossible_area_is_worked_out(coco, truth, area):
    """An `area` that cannot be of its box does not decide the size."""
    for annotation in coco.content["annotations"]:
        annotation["area"] = area
    assert scores(coco, {7: truth})["APs"] == pytest.approx(1)
