import pytest
import torch
from torchvision import tv_tensors

from detection.detectors.targets import check_targets

IMAGE = torch.zeros(3, 20, 30, dtype=torch.uint8)


def target(**changes):
    """A right target of one object, with changes."""
    given = {
        "boxes": torch.tensor([[1.0, 2, 11, 12]]),
        "labels": torch.tensor([1]),
        "masks": torch.ones(1, 20, 30, dtype=torch.bool),
        "image_id": 139,
    }
    return given | changes


def check(**changes):
    """Checks that target for a model of two classes."""
    return check_targets([IMAGE], [target(**changes)], num_classes=2, with_masks=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": torch.tensor([2])}, r"image 139 has label 2; the model has num_classes=2, labels run from 0 to 1"),
        ({"labels": torch.tensor([-1])}, "image 139 has label -1"),
        ({"labels": torch.tensor([0, 1])}, r"image 139 has labels of shape \(2,\) for 1 boxes"),
        ({"boxes": torch.tensor([[5.0, 2, 5, 12]])}, r"image 139 has box \[5.0, 2.0, 5.0, 12.0\]; boxes are x1, y1"),
        ({"boxes": torch.tensor([[5.0, 2, float("nan"), 12]])}, "image 139 has box"),
        ({"boxes": torch.tensor([5.0, 2, 6, 12])}, r"image 139 has boxes of shape \(4,\); give \(objects, 4\)"),
        ({"masks": torch.ones(1, 20, 20)}, r"image 139 has masks of shape \(1, 20, 20\); .* need \(1, 20, 30\)"),
        ({"masks": torch.ones(2, 20, 30)}, r"image 139 has masks of shape \(2, 20, 30\)"),
    ],
)
def test_wrong_target_names_the_image(changes, message):
    """What does not fit is an error that says in which image and what would."""
    with pytest.raises(ValueError, match=message):
        check(**changes)


def test_labels_that_are_not_whole_are_an_error():
    """Labels as floats are refused."""
    with pytest.raises(TypeError, match=r"image 139 has labels of type torch.float32; give int64"):
        check(labels=torch.tensor([1.0]))


def test_boxes_in_another_format_are_an_error():
    """A box that says it is x, y, width, height is not silently read as corners."""
    boxes = tv_tensors.BoundingBoxes([[1.0, 2, 11, 12]], format="XYWH", canvas_size=(20, 30))
    with pytest.raises(ValueError, match="image 139 has boxes in XYWH; convert them to XYXY"):
        check(boxes=boxes)


def test_masks_are_needed_only_by_a_mask_branch():
    """Targets with boxes only train a model of boxes only, and are an error for a mask branch."""
    boxes_only = {key: value for key, value in target().items() if key != "masks"}
    assert set(check_targets([IMAGE], [boxes_only], 2, with_masks=False)[0]) == {"boxes", "labels"}
    with pytest.raises(ValueError, match="image 139 has no masks in its target; add them or take a model without mask"):
        check_targets([IMAGE], [boxes_only], 2, with_masks=True)


def test_missing_boxes_are_an_error():
    """A target without boxes is an error that names the key; an image without an id is named by its place."""
    with pytest.raises(ValueError, match="image 0 has no boxes in its target; add them"):
        check_targets([IMAGE], [{"labels": torch.tensor([1])}], 2, with_masks=False)


def test_training_needs_a_target_per_image():
    """No targets at all, or too few, are errors."""
    with pytest.raises(ValueError, match=r"training needs targets, got None; for detections call model.eval\(\) first"):
        check_targets([IMAGE], None, 2, with_masks=True)
    with pytest.raises(ValueError, match="got 1 targets for 2 images"):
        check_targets([IMAGE, IMAGE], [target()], 2, with_masks=True)


def test_targets_come_out_as_plain_tensors():
    """Boxes and masks of a data set lose their wrapping, and boxes are float32."""
    boxes = tv_tensors.BoundingBoxes(torch.tensor([[1, 2, 11, 12]]), format="XYXY", canvas_size=(20, 30))
    [plain] = check(boxes=boxes, masks=tv_tensors.Mask(torch.ones(1, 20, 30, dtype=torch.bool)))
    assert {type(value) for value in plain.values()} == {torch.Tensor}
    assert plain["boxes"].dtype == torch.float32


def test_image_without_objects_is_fine():
    """Empty boxes, labels and masks are a target like any other."""
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "masks": torch.zeros(0, 20, 30)}
    assert len(check(**nothing)[0]["boxes"]) == 0
