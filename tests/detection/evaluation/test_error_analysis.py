"""False positives and misses, and the sheet of pictures of them."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from detection.data.annotations import CocoAnnotations
from detection.evaluation.average_precision import found_entry, truth_entry
from detection.evaluation.error_analysis import (
    DETECTION,
    GREY,
    TILE,
    TRUTH,
    draw_part,
    draw_sheet,
    find_mistakes,
    match,
)

CAT, DOG = 5, 2  # category ids; image 7 has a cat and a dog, image 3 a cat and a crowd of dogs, image 12 nothing
CAT_BOX, DOG_BOX = [10, 5, 20, 16], [40, 10, 10, 20]


def found(box, score=0.9, category=CAT, image_id=7):
    """An entry of a results JSON."""
    return {"image_id": image_id, "category_id": category, "bbox": box, "score": score}


@pytest.fixture
def annotations(coco):
    """The small data set."""
    return CocoAnnotations(coco.write())


def captions(annotations, *results):
    """Of the false positives of the first image."""
    return [one.caption for one in find_mistakes(annotations, {7: list(results)}, 9)[0]]


@pytest.mark.parametrize(
    ("result", "caption"),
    [
        (found([10, 6, 20, 16], 0.5), ["cat 0.50", "duplicate", "IoU 0.88"]),
        (found([41, 10, 10, 20]), ["cat 0.90", "confused with dog", "IoU 0.82"]),
        (found([24, 5, 16, 16]), ["cat 0.90", "badly placed", "IoU 0.20"]),
        (found([30, 10, 13, 20]), ["cat 0.90", "beside dog", "IoU 0.15"]),
        (found([0, 30, 9, 9]), ["cat 0.90", "background", "IoU 0.00"]),
    ],
)
def test_reasons_of_false_positives(annotations, result, caption):
    """A wrong detection is a duplicate, another class, badly placed, beside something else, or background."""
    assert captions(annotations, found(CAT_BOX, 0.95), result) == [caption]


def test_right_detections_are_no_mistakes(annotations):
    """What COCO counts as found is neither a false positive nor a miss."""
    assert find_mistakes(annotations, {7: [found(CAT_BOX), found(DOG_BOX, 0.1, DOG)]}, 9) == ([], [])


def test_missed_objects(annotations):
    """A missed object comes with the best-scored detection that touches it, the largest object first."""
    results = [found([41, 10, 10, 20], 0.3), found([36, 10, 10, 20], 0.7)]
    _, (cat, dog) = find_mistakes(annotations, {7: results}, 9)
    assert (cat.caption, cat.detection) == (["cat", "nothing found here", ""], None)
    assert (dog.caption, dog.detection) == (["dog", "found: cat 0.70", "IoU 0.43"], results[1])


def test_crowds_are_ignored(annotations):
    """A crowd region is never missed, and a detection in it is never wrong."""
    inside = found([32, 2, 5, 5], 0.9, DOG, 3)
    assert find_mistakes(annotations, {3: [inside, found([0, 10, 20, 20], image_id=3)]}, 9) == ([], [])


def test_the_worst_come_first_and_only_so_many(annotations):
    """Of many false positives those with the highest scores are kept."""
    results = [found([0, 30, 5, 5], score / 10) for score in range(9)]
    wrong, _ = find_mistakes(annotations, {7: results}, 2)
    assert [one.detection["score"] for one in wrong] == [0.8, 0.7]


def test_matches_are_those_of_coco(coco):
    """On random boxes and crowds the same detections are wrong and the same objects missed as in COCO's code."""
    rng = np.random.default_rng(0)

    def boxes(count):
        return [[*rng.integers(0, 12, 2).tolist(), *rng.integers(8, 16, 2).tolist()] for _ in range(count)]

    coco.content["annotations"] = [
        {"id": i, "bbox": box, "category_id": (CAT, DOG)[i % 2], "iscrowd": int(i % 7 == 0), "image_id": 7}
        for i, box in enumerate(boxes(30), start=1)
    ]
    annotations = CocoAnnotations(coco.write())
    results = [found(box, rng.random(), (CAT, DOG)[i % 2]) for i, box in enumerate(boxes(80))]
    scored = coco_eval(annotations, results)
    wrong, missed = match(results, annotations.of_image(7))
    both = [one for one in scored.evalImgs if one["aRng"] == [0, 1e10]]
    unmatched = [
        one["dtScores"][at]
        for one in both
        for at in np.flatnonzero((one["dtMatches"][0] == 0) & ~one["dtIgnore"][0].astype(bool))
    ]
    assert 5 < len(wrong) < 75
    assert sorted(one["score"] for one in wrong) == sorted(unmatched)
    left = [
        one["gtIds"][at] for one in both for at in np.flatnonzero((one["gtMatches"][0] == 0) & (one["gtIgnore"] == 0))
    ]
    assert sorted(one["id"] for one in missed) == sorted(left)


def coco_eval(annotations, results):
    """COCO's own evaluation by boxes."""
    from pycocotools.coco import COCO

    both = []
    entries = [truth_entry(annotations, one) for one in annotations.of_image(7)]
    for ones in (entries, [found_entry(one, "box") for one in results]):
        index = COCO()
        index.dataset = {
            "images": [{"id": 7}],
            "categories": [{"id": DOG}, {"id": CAT}],
            "annotations": [one | {"id": i} for i, one in enumerate(ones, start=1)],
        }
        both.append(index)
    with contextlib.redirect_stdout(io.StringIO()):
        for index in both:
            index.createIndex()
        scored = COCOeval(*both, "bbox")
        scored.evaluate()
    return scored


def test_sheet_has_a_tile_for_each_mistake(annotations, coco):
    """The sheet shows parts of the images with boxes in the colours of the key."""
    wrong, missed = find_mistakes(annotations, {7: [found([0, 30, 9, 9])] * 8, 3: []}, 9)
    picture = draw_sheet({"wrong": wrong, "missed": missed}, annotations, coco.folder)
    bare = draw_sheet({"wrong": [], "missed": []}, annotations, coco.folder)
    assert (len(wrong), len(missed)) == (8, 3)
    assert picture.shape[1] == bare.shape[1]
    assert picture.shape[0] > bare.shape[0] + 3 * TILE  # two rows of false positives, one of misses
    for colour in (DETECTION, TRUTH):
        assert (picture == colour).all(axis=2).sum() > 200


def test_sheet_without_the_images(annotations, tmp_path):
    """An image that is gone leaves a grey tile."""
    wrong, _ = find_mistakes(annotations, {7: [found([0, 30, 9, 9])]}, 9)
    picture = draw_sheet({"wrong": wrong}, annotations, tmp_path / "nowhere")
    assert (picture == GREY).all(axis=2).sum() > TILE * TILE * 0.8


@pytest.mark.parametrize("box", [[2, 2, 8, 9], [0, 0, 300, 20], [-40, -40, -30, -20], [290, 10, 310, 30], [5, 5, 5, 5]])
def test_part_of_an_image(box):
    """Small, large, flat and outlying boxes all give a tile."""
    pixels = np.full((20, 300, 3), 99, np.uint8)
    view = draw_part(pixels, [(np.array(box, np.float64), TRUTH)])
    assert view.shape == (TILE, TILE, 3)
    assert (view == 99).any()


def test_part_is_around_the_box():
    """The box lies where its object is, in the middle of the tile."""
    pixels = np.zeros((400, 400, 3), np.uint8)
    pixels[100:180, 200:280] = 200
    view = draw_part(pixels, [(np.array([200, 100, 280, 180], np.float64), TRUTH)])
    assert (view[TILE // 4 + 4 : 3 * TILE // 4 - 4, TILE // 4 + 4 : 3 * TILE // 4 - 4] == 200).all()
    assert (view[: TILE // 4 - 4] == 0).all()


def test_boxes_of_any_size_can_be_drawn():
    """A box that reaches far out of its image is drawn as far as it is seen."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    view = draw_part(
        pixels, [(np.array([0, 0, 1e12, 1e12]), (235, 95, 0)), (np.array([5.0, 5, 20, 20]), (0, 140, 225))]
    )
    assert view.any()
