import torch
from torchvision.ops import box_iou

from detection.postprocess import Postprocess


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
