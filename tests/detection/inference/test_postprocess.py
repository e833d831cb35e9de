from types import SimpleNamespace

import pytest
import torch
from torchvision.ops import batched_nms, box_iou

from detection.inference.postprocess import FIRST_PART, Postprocess
from detection.inference.soft_nms import gaussian_decay, linear_decay, soft_nms


def random_candidates(n=60, classes=3, size=50):
    """Boxes and scores of every class and of background."""
    torch.manual_seed(0)
    corners = torch.rand(n, classes, 2, 2) * size
    boxes = torch.cat([corners.amin(dim=2), corners.amax(dim=2)], dim=2)
    return boxes, torch.randn(n, classes + 1).mul(2).softmax(dim=1)


def greedy(boxes, scores, score_threshold, nms_threshold):
    """Best first over all classes, each kept unless a kept one of its class overlaps it: the definition."""
    candidates = [(scores[i, k].item(), i, k) for i in range(len(boxes)) for k in range(boxes.shape[1])]
    kept = []
    for score, i, k in sorted(candidates, reverse=True):
        same = [boxes[j, k] for _, j, other in kept if other == k]
        overlaps = box_iou(boxes[i, k][None], torch.stack(same)) if same else torch.zeros(1, 1)
        if score > score_threshold and overlaps.max() <= nms_threshold:
            kept.append((score, i, k))
    return kept


def test_equals_greedy_suppression_by_definition():
    """Thresholds and suppression within each class keep what a plain loop keeps, best first."""
    boxes, scores = random_candidates()
    found = Postprocess(0.1, 0.3, 1000)(boxes, scores)
    wanted = greedy(boxes, scores, 0.1, 0.3)
    torch.testing.assert_close(found["scores"], torch.tensor([score for score, _, _ in wanted]))
    assert found["labels"].tolist() == [k for _, _, k in wanted]
    assert torch.equal(found["boxes"], torch.stack([boxes[i, k] for _, i, k in wanted]))


def test_keeps_the_best_of_too_many():
    """A limit on the number cuts the worst."""
    boxes, scores = random_candidates()
    everything, some = Postprocess(0.1)(boxes, scores), Postprocess(0.1, detections_per_image=7)(boxes, scores)
    assert len(some["scores"]) == 7
    assert torch.equal(some["boxes"], everything["boxes"][:7])


def test_boxes_without_area_and_background_are_no_detections():
    """A box that the image border has cut to nothing is dropped, and so is a box that is likely background."""
    boxes = torch.tensor([[[0.0, 5, 0, 9]], [[1, 1, 9, 9]], [[1, 1, 9, 9]]])
    found = Postprocess()(boxes, torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.01, 0.99]]))
    assert found["boxes"].tolist() == [[1, 1, 9, 9]]
    assert found["labels"].tolist() == [0]


def test_nothing_found_is_empty():
    """No proposals give no detections, of the right shape."""
    found = Postprocess()(torch.zeros(0, 3, 4), torch.zeros(0, 4))
    assert [tuple(found[key].shape) for key in ("boxes", "scores", "labels")] == [(0, 4), (0,), (0,)]


@pytest.mark.parametrize("limit", [3, 8])
def test_looking_at_the_best_candidates_first_changes_nothing(limit):
    """Whether copies of one box crowd out all others there, so that more are needed, or not."""
    corner = torch.cat([torch.zeros(100, 1, 2), torch.rand(40, 1, 2) * 500]).expand(-1, 3, -1)
    boxes, scores = torch.cat([corner, corner + 30], dim=2), torch.rand(140, 4) / 2
    scores[:100] += 0.5
    found = Postprocess(0.0, detections_per_image=limit)(boxes, scores)
    labels = torch.arange(3).repeat(140)
    kept = batched_nms(boxes.flatten(0, 1), scores[:, :-1].flatten(), labels, 0.5)
    assert FIRST_PART * limit < 100 * 3
    assert torch.equal(found["scores"], scores[:, :-1].flatten()[kept[:limit]])
    assert torch.equal(found["labels"], labels[kept[:limit]])


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_nms_takes_the_place_of_nms(method):
    """Its thresholds and width are those of the settings, its scores those of the detections."""
    boxes, scores = random_candidates()
    found = Postprocess(0.01, 0.3, 50, soft_nms=method, soft_nms_sigma=0.7)(boxes, scores)
    decay = {"linear": linear_decay(0.3), "gaussian": gaussian_decay(0.7)}[method]
    rows, labels = torch.where(scores[:, :-1] > 0.01)
    kept, wanted = soft_nms(boxes[rows, labels], scores[rows, labels], labels, decay, 0.01, 50)
    assert torch.equal(found["scores"], wanted)
    assert torch.equal(found["labels"], labels[kept])
    assert torch.equal(found["boxes"], boxes[rows, labels][kept])


def test_soft_nms_finds_more_than_nms_but_no_other_best():
    """What NMS drops stays with a lower score; the best box of all keeps its score."""
    boxes, scores = random_candidates()
    hard, soft = (Postprocess(0.001, 0.3, 1000, soft_nms=method)(boxes, scores) for method in (None, "linear"))
    assert len(soft["scores"]) > len(hard["scores"])
    assert soft["scores"][0] == hard["scores"][0]
    assert torch.equal(soft["scores"], soft["scores"].sort(descending=True)[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score_threshold": -0.1}, "score_threshold must be from 0 to 1, got -0.1"),
        ({"nms_threshold": 50.0}, "nms_threshold must be from 0 to 1, got 50.0"),
        ({"detections_per_image": 0}, "detections_per_image must be at least 1, got 0"),
        ({"soft_nms_sigma": 0.0}, "soft_nms_sigma must be above 0, got 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    """The error says which setting, what it may be and what was given."""
    with pytest.raises(ValueError, match=message):
        Postprocess(**settings)


def test_an_unknown_method_is_refused():
    """Also where types are not checked, as they are in tests, soft-NMS is one of two."""
    settings = SimpleNamespace(**vars(Postprocess()) | {"soft_nms": "cubic"})
    with pytest.raises(ValueError, match="soft_nms must be 'linear', 'gaussian' or None, got 'cubic'"):
        Postprocess.__post_init__(settings)
