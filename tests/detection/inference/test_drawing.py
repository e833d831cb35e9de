"""Annotated pictures."""

import cv2
import numpy as np
import pytest
import torch

from detection.inference.drawing import Tag, draw_detections, overlap, place
from swinv2.imaging.drawing import class_colour, save, side_by_side

NAMES = ["cat", "dog"]


def grey(height, width):
    """An even grey image."""
    return torch.full((3, height, width), 128, dtype=torch.uint8)


def one_object(box, score=0.9):
    """A detection of a dog."""
    return {"boxes": torch.tensor([box]).float(), "labels": torch.tensor([1]), "scores": torch.tensor([score])}


def changed(picture):
    """Where a picture is no longer grey."""
    return (picture != 128).any(axis=2)


@pytest.mark.parametrize(("size", "expected"), [((128, 96), (683, 512)), ((600, 700), (600, 700))])
def test_small_images_are_enlarged(size, expected):
    """Small images grow until labels can be read; others keep their size."""
    assert draw_detections(grey(*size), one_object([9, 9, 60, 60]), NAMES).shape == (*expected, 3)


def test_image_is_left_alone():
    """Drawing does not touch the image that was given."""
    image = grey(600, 700)
    draw_detections(image, one_object([100, 100, 300, 300]), NAMES)
    assert (image == 128).all()


def test_low_scores_are_left_out():
    """What scores below the threshold is not drawn."""
    low = one_object([100, 100, 300, 300], score=0.4)
    assert not changed(draw_detections(grey(600, 700), low, NAMES)).any()
    assert changed(draw_detections(grey(600, 700), low, NAMES, score_threshold=0.3)).any()


def test_no_objects():
    """An empty detection gives the bare image."""
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long(), "masks": torch.zeros(0, 28, 28)}
    assert not changed(draw_detections(grey(600, 700), empty, NAMES)).any()


def test_box_and_label():
    """A box is drawn at its edges, and its label stands above it on a tag of its colour."""
    picture = draw_detections(grey(600, 700), one_object([100, 200, 300, 400]), NAMES)
    for y, x in ((200, 250), (400, 250), (300, 100), (300, 300)):
        assert tuple(picture[y, x]) == class_colour(1)
    assert not changed(picture)[210:390, 110:290].any()
    assert tuple(picture[197, 103]) == class_colour(1)
    assert not changed(picture)[:, 310:].any()


def test_box_at_the_border_is_seen():
    """A box as large as the image is drawn within it."""
    picture = draw_detections(grey(600, 700), one_object([0, 0, 700, 600]), NAMES)
    assert changed(picture)[-1].all()
    assert changed(picture)[:, -1].all()


def test_mask_within_its_box():
    """Probabilities within the box tint the pixels of the object and no others."""
    found = one_object([100, 200, 300, 400]) | {"masks": torch.zeros(1, 28, 28)}
    found["masks"][:, :, :14] = 1
    inside = changed(draw_detections(grey(600, 700), found, NAMES))
    assert inside[205:395, 105:190].all()
    assert not inside[205:395, 210:290].any()


def test_true_masks_of_the_whole_image():
    """Masks of the whole image, without scores, are drawn on an enlarged picture too."""
    true = {"boxes": torch.tensor([[20.0, 20, 60, 60]]), "labels": torch.tensor([0])}
    true["masks"] = torch.zeros(1, 100, 100, dtype=torch.bool)
    true["masks"][:, 20:60, 20:60] = True
    inside = changed(draw_detections(grey(100, 100), true, NAMES))
    assert inside[110:300, 110:300].all()
    assert not inside[320:, 320:].any()


def test_small_objects_are_on_top():
    """The outline of a small object is not covered by a large one, whichever comes first."""
    boxes = torch.tensor([[250.0, 250, 300, 300], [100, 100, 500, 500]])
    found = {"boxes": boxes, "labels": torch.tensor([0, 1]), "scores": torch.ones(2), "masks": torch.ones(2, 28, 28)}
    assert tuple(draw_detections(grey(600, 700), found, NAMES)[300, 280]) == class_colour(0)


@pytest.mark.parametrize("box", [[0, 0, 90, 50], [660, 0, 700, 90], [600, 580, 700, 600], [-50, -50, 800, 800]])
def test_labels_stay_inside(box):
    """A tag lies within the picture wherever its box is."""
    tag = place(box, 120, 20, [], (600, 700, 3))
    assert (tag.right - tag.left, tag.bottom - tag.top) == (120, 20)
    assert 0 <= tag.left < tag.right <= 700
    assert 0 <= tag.top < tag.bottom <= 600


def test_labels_avoid_each_other():
    """Three labels of the same box have three places."""
    tags: list[Tag] = []
    for _ in range(3):
        tags.append(place([100, 200, 300, 400], 120, 20, tags, (600, 700, 3)))
    assert tags[0] == (100, 180, 220, 200)
    assert not any(overlap(tags[i], tags[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_classes_have_their_colours():
    """Eighty classes have eighty colours; shades of one are near each other and not the same."""
    assert len({class_colour(label) for label in range(80)}) == 80
    assert len({class_colour(3, shade) for shade in range(3)}) == 3
    assert class_colour(3, 0) == class_colour(3, 3)


def test_side_by_side():
    """Panels stand next to each other under their titles, unchanged."""
    left, right = np.full((200, 300, 3), 10, np.uint8), np.full((200, 300, 3), 20, np.uint8)
    both = side_by_side([left, right], ["annotated", "detected"])
    bar = both.shape[0] - 200
    assert (both[bar:, :300] == 10).all()
    assert (both[bar:, both.shape[1] // 2 :][:, :300] == 20).all()
    assert (both[:bar] < 100).any()


def test_save(tmp_path):
    """A file holds the picture in the colours given."""
    picture = np.zeros((4, 5, 3), np.uint8)
    picture[..., 0] = 200
    save(tmp_path / "picture.png", picture)
    assert cv2.imread(str(tmp_path / "picture.png"))[0, 0].tolist() == [0, 0, 200]


def test_save_into_a_missing_folder(tmp_path):
    """A file that cannot be written is an error with its name."""
    with pytest.raises(OSError, match=r"picture\.png cannot be written"):
        save(tmp_path / "none/picture.png", np.zeros((4, 5, 3), np.uint8))
