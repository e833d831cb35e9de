import torch

from detection.roi.sampling import ProposalSampler

TARGET = {"boxes": torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 40]]), "labels": torch.tensor([2, 0])}
NO_OBJECTS = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}


def test_proposals_take_the_class_of_the_object_they_overlap():
    """From an overlap of one half on a proposal is the object, below it is background, the last label."""
    proposals = torch.tensor([[0.0, 0, 10, 5], [0, 0, 10, 4], [20, 20, 40, 39], [50, 50, 60, 60]])
    [samples] = ProposalSampler(num_classes=3, positive_fraction=1.0)([proposals], [TARGET])
    assert samples.labels.tolist() == [2, 3, 0, 3, 2, 0]
    assert samples.positive.tolist() == [0, 2, 4, 5]
    assert samples.only_objects().objects.tolist() == [0, 1, 0, 1]
    assert torch.equal(samples.object_boxes[2], TARGET["boxes"][1])


def test_true_boxes_are_sampled_too():
    """Without any proposal the objects themselves are learned from."""
    [samples] = ProposalSampler(num_classes=3, positive_fraction=1.0)([torch.zeros(0, 4)], [TARGET])
    assert torch.equal(samples.boxes, TARGET["boxes"])
    assert samples.labels.tolist() == [2, 0]


def test_objects_are_at_most_their_share():
    """Of 16 samples a quarter are objects however many proposals overlap one."""
    proposals = torch.cat([TARGET["boxes"][:1].expand(50, 4), torch.tensor([[50.0, 50, 60, 60]]).expand(50, 4)])
    [samples] = ProposalSampler(num_classes=3, samples=16)([proposals], [TARGET])
    assert len(samples.boxes) == 16
    assert (samples.labels < 3).sum() == 4


def test_iou_threshold_is_that_of_the_stage():
    """A later stage of a cascade calls the same proposal background."""
    proposals = torch.tensor([[0.0, 0, 10, 6]])
    labels = [
        ProposalSampler(3, t, positive_fraction=1.0)([proposals], [TARGET])[0].labels[0].item() for t in (0.5, 0.6, 0.7)
    ]
    assert labels == [2, 2, 3]


def test_image_without_objects_is_all_background():
    """Every proposal of such an image is background and of no object."""
    [samples] = ProposalSampler(num_classes=3)([torch.tensor([[0.0, 0, 10, 6], [5, 5, 9, 9]])], [NO_OBJECTS])
    assert samples.labels.tolist() == [3, 3]
    assert not samples.object_boxes.any()
