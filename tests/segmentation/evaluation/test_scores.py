"""Mean IoU and accuracies."""

import numpy as np
import pytest
import torch

from segmentation.evaluation import scores as module
from segmentation.evaluation.scores import SegmentationScores, format_table

CLASSES = 7
UNTRUE, ABSENT = 4, 5  # one class is predicted and never true, one is neither


def made(images=5, size=(23, 31)):
    """Predictions and truths with void, a class that is never true and one that does not occur."""
    truths = torch.randint(-1, CLASSES, (images, *size)).short()
    labels = torch.where(torch.rand(images, *size) < 0.7, truths, torch.randint(0, CLASSES, (images, *size)).short())
    labels[(labels == ABSENT) | (labels < 0)] = 0
    truths[(truths == ABSENT) | (truths == UNTRUE)] = -1
    return labels, truths


def scored(labels, truths, absent="skip"):
    """Scores of images."""
    metric = SegmentationScores(CLASSES, absent)
    for one, truth in zip(labels, truths, strict=True):
        metric.update(one, truth)
    return metric.compute()


def confusion(labels, truths):
    """The confusion matrix, pixel by pixel in NumPy."""
    counts = np.zeros((CLASSES, CLASSES), np.int64)
    known = (truths >= 0).numpy()
    np.add.at(counts, (truths.numpy()[known], labels.numpy()[known]), 1)
    return counts


def test_confusion_matrix():
    """Pixels are counted by true and predicted class, void left out."""
    labels, truths = made()
    expected = confusion(labels, truths)
    np.testing.assert_array_equal(scored(labels, truths).confusion, expected)
    assert expected.sum() == (truths >= 0).sum() < truths.numel()


@pytest.mark.parametrize(("absent", "classes", "true_classes"), [("skip", 6, 5), ("zero", 7, 7)])
def test_means(absent, classes, true_classes):
    """Absent classes are left out of the means or count 0; one that is never true has an IoU of 0 and no accuracy."""
    labels, truths = made()
    counts = confusion(labels, truths)
    right, true, found = np.diag(counts), counts.sum(1), counts.sum(0)
    assert (true + found == 0).tolist() == [label == ABSENT for label in range(CLASSES)]
    assert (true == 0).tolist() == [label in (ABSENT, UNTRUE) for label in range(CLASSES)]
    result = scored(labels, truths, absent)
    assert result.mean_iou == pytest.approx((right / np.maximum(true + found - right, 1)).sum() / classes)
    assert result.class_accuracy == pytest.approx((right / np.maximum(true, 1)).sum() / true_classes)
    assert result.pixel_accuracy == pytest.approx(right.sum() / counts.sum())


def test_each_class():
    """IoU and accuracy of a class by hand: 3 true pixels, 2 of them found, 4 predicted."""
    truth = torch.tensor([[0, 0, 0, 1, 1, 1, -1]]).short()
    labels = torch.tensor([[0, 0, 1, 0, 0, 6, 2]]).short()
    result = scored(labels[None], truth[None])
    np.testing.assert_allclose(result.iou, [2 / 5, 0, np.nan, np.nan, np.nan, np.nan, 0])
    np.testing.assert_allclose(result.accuracy, [2 / 3, 0, *[np.nan] * 5])
    assert result.pixels.tolist() == [3, 3, 0, 0, 0, 0, 0]


def test_figures_name_both_conventions():
    """What is logged has the chosen mean IoU and both, so that two papers can be compared."""
    labels, truths = made()
    figures = scored(labels, truths, "zero").figures()
    assert list(figures) == ["mIoU", "pixel_accuracy", "class_accuracy", "mIoU_skip", "mIoU_zero"]
    assert figures["mIoU"] == figures["mIoU_zero"] == pytest.approx(figures["mIoU_skip"] * 6 / 7)


def test_fifteen_of_150_classes_found():
    """Perfect answers for 15 of 150 classes are 0.1 by the benchmark's script and 1.0 over the classes that occur."""
    truth = torch.arange(15, dtype=torch.int16).repeat(4, 1)
    metric = SegmentationScores(150)
    metric.update(truth, truth)
    figures = metric.compute().figures()
    assert (figures["mIoU_zero"], figures["mIoU_skip"]) == pytest.approx((0.1, 1))
    assert figures["pixel_accuracy"] == 1


def test_order_and_size_of_images_do_not_matter():
    """The scores are those of the whole data set, not means over images."""
    labels, truths = made()
    whole = scored(labels.reshape(1, -1, 31), truths.reshape(1, -1, 31))
    assert scored(labels.flip(0), truths.flip(0)).figures() == whole.figures()


def test_counted_in_parts(monkeypatch):
    """An image that is counted in several parts gives the same as in one."""
    labels, truths = made()
    whole = scored(labels, truths).confusion
    monkeypatch.setattr(module, "CHUNK", 100)
    np.testing.assert_array_equal(scored(labels, truths).confusion, whole)


def test_sum_over_processes():
    """Counts of two processes are merged by adding them."""
    labels, truths = made()
    parts = [SegmentationScores(CLASSES) for _ in range(2)]
    for at, (one, truth) in enumerate(zip(labels, truths, strict=True)):
        parts[at % 2].update(one, truth)
    parts[0].merge_state(parts[1])
    np.testing.assert_array_equal(parts[0].compute().confusion, confusion(labels, truths))


def test_reset():
    """A new validation starts from nothing."""
    labels, truths = made()
    metric = SegmentationScores(CLASSES)
    metric.update(labels[0], truths[0])
    metric.reset()
    metric.update(labels[1], truths[1])
    np.testing.assert_array_equal(metric.compute().confusion, confusion(labels[1], truths[1]))


def test_deterministic_algorithms():
    """Many classes are counted also where algorithms have to be deterministic; torchmetrics' own count takes 180 GB."""
    truth = torch.randint(-1, 150, (1000, 1000)).short()
    metric = SegmentationScores(150)
    torch.use_deterministic_algorithms(True)
    try:
        metric.update(truth, truth)
    finally:
        torch.use_deterministic_algorithms(False)
    assert metric.compute().confusion.trace() == (truth >= 0).sum()


def test_void_may_be_predicted_where_truth_is_void():
    """Results that leave out what the truth leaves out are scored."""
    truth = torch.tensor([[0, 1, -1]]).short()
    assert scored(truth[None], truth[None]).pixel_accuracy == 1


def test_nothing_known():
    """Without a single known pixel scores are not a number; an error would cost the epoch of a training."""
    void = torch.full((1, 4, 4), -1, dtype=torch.int16)
    figures = scored(torch.zeros_like(void), void, "zero").figures()
    assert len(figures) == 5 and all(np.isnan(figure) for figure in figures.values())


@pytest.mark.parametrize(
    ("label", "true", "message"),
    [
        (7, 0, "label 7 in the predictions: with 7 classes labels are 0 to 6"),
        (0, 255, "label 255 in the truth: with 7 classes labels are 0 to 6, and -1 where nothing is known"),
        (0, -2, "label -2 in the truth"),
        (-1, 0, r"no class \(-1\) for 16 pixels whose true class is known"),
    ],
)
def test_labels_out_of_range(label, true, message):
    """A label that no class has is an error that says where."""
    pair = [torch.full((1, 4, 4), value, dtype=torch.int16) for value in (label, true)]
    with pytest.raises(ValueError, match=message):
        scored(*pair)


def test_table():
    """Each class has its share of the pixels and its scores, in columns that stand under each other."""
    truth = torch.tensor([[0, 0, 0, 1, 1, 1, -1]]).short()
    labels = torch.tensor([[0, 0, 1, 0, 0, 6, 2]]).short()
    result = scored(labels[None], truth[None])
    lines = format_table(result, ["wall", "sky", "a", "b", "c", "d", "traffic light"]).splitlines()
    assert len(lines) == 1 + 4
    assert lines[0].split() == ["class", "pixels", "IoU", "accuracy", "|", "class", "pixels", "IoU", "accuracy"]
    assert lines[1].split() == ["wall", "50.0%", "0.400", "0.667", "|", "c", "0.0%", "-", "-"]
    assert lines[3].split()[5:] == ["traffic", "light", "0.0%", "0.000", "-"]
    assert len({line.index("|") for line in lines[:4]}) == 1


def test_label_maps_are_counted_on_a_gpu(gpu):
    """They stay there, and the counts are those of the CPU; the host waits for bounds, bins and a check of an image."""
    scores = [SegmentationScores(CLASSES), SegmentationScores(CLASSES).to("cuda")]
    gpu.clear()
    for labels, truth in [(torch.randint(0, CLASSES, (9, 8)).short(), torch.randint(-1, CLASSES, (9, 8)).short())] * 2:
        scores[0].update(labels, truth)
        scores[1].update(*(one.to("cuda", non_blocking=True) for one in (labels, truth)))
    assert gpu.waits.total() == 2 * 3 and not gpu.copies
    assert torch.equal(scores[0].confusion, scores[1].confusion.cpu())
