import math

import pytest
import torch

from detection.inference.soft_nms import gaussian_decay, linear_decay, soft_nms

DECAYS = {
    "linear": (linear_decay(0.4), lambda iou: 1 - iou if iou > 0.4 else 1.0),
    "gaussian": (gaussian_decay(0.3), lambda iou: math.exp(-iou * iou / 0.3)),
}


def random_boxes(n, classes, seed=0):
    """Boxes that overlap much, scores and classes, in float64 so that the oracle agrees to the last box."""
    torch.manual_seed(seed)
    corners = torch.rand(n, 2, 2, dtype=torch.float64) * 30
    boxes = torch.cat([corners.amin(dim=1), corners.amax(dim=1) + 1], dim=1)
    return boxes, torch.rand(n, dtype=torch.float64), torch.randint(classes, (n,))


def iou(one, other):
    """Overlap of two boxes, in plain numbers."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


def plain_soft_nms(boxes, scores, labels, decay, threshold, limit):
    """The algorithm of the paper (fig. 2) class by class, box by box; then the best of all classes."""
    boxes, scores, labels = boxes.tolist(), scores.tolist(), labels.tolist()
    kept = []
    for label in set(labels):
        left = {i: scores[i] for i in range(len(boxes)) if labels[i] == label and scores[i] > threshold}
        while left:
            best = max(left, key=left.get)
            kept.append((left.pop(best), best))
            left = {i: score * decay(iou(boxes[best], boxes[i])) for i, score in left.items()}
            left = {i: score for i, score in left.items() if score > threshold}
    kept = sorted(kept, reverse=True)[:limit]
    return [i for _, i in kept], [score for score, _ in kept]


@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.3])
@pytest.mark.parametrize(("n", "classes"), [(1, 1), (60, 1), (60, 4), (60, 100)])
@pytest.mark.parametrize("method", DECAYS)
def test_equals_the_algorithm_as_plain_loops(method, n, classes, threshold, limit):
    """The same boxes with the same scores in the same order, for any number of classes and any limit."""
    decay, plain_decay = DECAYS[method]
    boxes, scores, labels = random_boxes(n, classes)
    kept, found = soft_nms(boxes, scores, labels, decay, threshold, limit)
    wanted, wanted_scores = plain_soft_nms(boxes, scores, labels, plain_decay, threshold, limit)
    assert kept.tolist() == wanted
    torch.testing.assert_close(found, torch.tensor(wanted_scores, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", DECAYS)
def test_single_precision_keeps_what_plain_loops_keep(method):
    """Many boxes in the precision of a detector: the same ones, scores to 1e-6."""
    decay, plain_decay = DECAYS[method]
    boxes, scores, labels = random_boxes(300, 5)
    kept, found = soft_nms(boxes.float(), scores.float(), labels, decay, 0.001, 50)
    wanted, wanted_scores = plain_soft_nms(boxes.float(), scores.float(), labels, plain_decay, 0.001, 50)
    assert kept.tolist() == wanted
    torch.testing.assert_close(found, torch.tensor(wanted_scores), atol=1e-6, rtol=0)


def test_one_class_may_fill_the_limit():
    """The best of one class, all better than those of another, are found in as many rounds as there are of them."""
    boxes = torch.arange(20.0)[:, None] * 10 + torch.tensor([0.0, 0, 5, 5])
    scores = torch.linspace(0.9, 0.1, 20)
    kept, found = soft_nms(boxes, scores, (torch.arange(20) > 9).long(), linear_decay(0.5), 0.0, 10)
    assert kept.tolist() == list(range(10))
    assert torch.equal(found, scores[:10])


def test_a_copy_of_a_better_box_goes_with_linear_decay_and_stays_weaker_with_gaussian():
    """A complete overlap leaves nothing of the score, or exp(-1 / sigma) of it."""
    boxes, scores, labels = (
        torch.tensor([[0.0, 0, 10, 10]]).expand(2, 4),
        torch.tensor([0.5, 0.9]),
        torch.zeros(2).long(),
    )
    assert soft_nms(boxes, scores, labels, linear_decay(0.5), 0.0, 10)[0].tolist() == [1]
    kept, found = soft_nms(boxes, scores, labels, gaussian_decay(0.5), 0.0, 10)
    assert kept.tolist() == [1, 0]
    torch.testing.assert_close(found, torch.tensor([0.9, 0.5 * math.exp(-2)]))


@pytest.mark.parametrize("count", [0, 3])
def test_nothing_above_the_threshold_is_empty(count):
    """Without boxes, or with weak ones only, nothing is kept."""
    boxes = torch.tensor([[0.0, 0, 10, 10]]).expand(count, 4)
    kept, found = soft_nms(boxes, torch.full((count,), 0.2), torch.arange(count), linear_decay(0.5), 0.2, 10)
    assert (kept.shape, kept.dtype, found.shape) == ((0,), torch.int64, (0,))
