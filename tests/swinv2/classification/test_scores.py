"""Accuracy of a classifier."""

import numpy as np
import pytest
import torch

from swinv2.classification.scores import ClassificationScores, Scores, format_table, summary


def counted(scores, labels, num_classes):
    """Scores of some, counted in two parts."""
    metric = ClassificationScores(num_classes)
    for part in (slice(0, 3), slice(3, None)):
        metric.update(scores[part], labels[part])
    return metric.compute()


def test_scores_equal_counting_one_by_one():
    """Top-1, top-5 and the mean over classes are what a loop over all of them counts."""
    scores, labels = torch.rand(40, 8), torch.randint(0, 7, (40,))  # class 7 does not occur
    found = counted(scores, labels, 8)
    order = scores.argsort(1, descending=True).tolist()
    pairs = list(zip(order, labels.tolist(), strict=True))
    assert found.top1 == pytest.approx(np.mean([predictions[0] == label for predictions, label in pairs]))
    assert found.top5 == pytest.approx(np.mean([label in predictions[:5] for predictions, label in pairs]))
    by_class = [[predictions[0] == label for predictions, label in pairs if label == c] for c in range(7)]
    assert found.class_accuracy == pytest.approx(np.mean([np.mean(hits) for hits in by_class]))
    assert found.confusion.sum() == 40


def test_fewer_classes_than_guesses():
    """Of three classes the true one is always among the best five."""
    assert counted(torch.rand(10, 3), torch.randint(0, 3, (10,)), 3).top5 == 1


def test_processes_add_up():
    """Two parts counted apart and merged are the whole."""
    scores, labels = torch.rand(20, 6), torch.randint(0, 6, (20,))
    parts = [ClassificationScores(6) for _ in range(2)]
    for part, rows in zip(parts, (slice(0, 7), slice(7, None)), strict=True):
        part.update(scores[rows], labels[rows])
    parts[0].merge_state(parts[1])
    whole = counted(scores, labels, 6)
    assert parts[0].compute().figures() == whole.figures()


@pytest.mark.parametrize("num_classes", [6, 5000])
def test_processes_are_summed(num_classes):
    """What `compute` gathers from two processes is the whole, with the matrix and, for very many classes, without."""
    scores, labels = torch.rand(20, num_classes), torch.randint(0, num_classes, (20,))
    real = [[int(label)] for label in labels[:10]] + [[]] * 10
    parts = [ClassificationScores(num_classes) for _ in range(2)]
    for part, rows in zip(parts, (slice(0, 7), slice(7, None)), strict=True):
        part.update(scores[rows], labels[rows], real[rows])
    states = iter([parts[1].metric_state[name] for name in parts[0].metric_state])
    parts[0].distributed_available_fn = lambda: True
    parts[0].dist_sync_fn = lambda state, group: [state, next(states)]
    found = parts[0].compute()
    whole = ClassificationScores(num_classes)
    whole.update(scores, labels, real)
    assert found.figures() == whole.compute().figures()
    assert found.counts.sum() == 20 and found.real[1] == 10
    assert (found.confusion is None) == (num_classes == 5000)
    if num_classes == 6:
        np.testing.assert_array_equal(found.confusion, whole.compute().confusion)


def test_nothing_to_score():
    """Without data there is a message, not a division by zero."""
    with pytest.warns(UserWarning, match="before the"), pytest.raises(ValueError, match="nothing to score"):
        ClassificationScores(3).compute()


def test_table():
    """A line for each class, a dash where it does not occur."""
    lines = format_table(Scores(np.array([4, 0]), np.array([3, 0]), 4), ["walking", "sitting"]).splitlines()
    assert lines[1].split() == ["walking", "4", "0.750"]
    assert lines[2].split() == ["sitting", "0", "-"]


def test_table_of_many_classes_has_the_worst():
    """Of a thousand classes the hundred with the least accuracy stand there, those that do not occur last."""
    counts, right = np.full(1000, 1000), np.arange(1000)[::-1].copy()
    counts[999] = 0
    lines = format_table(Scores(counts, right, 0), [f"class {label}" for label in range(1000)]).splitlines()
    assert lines[0] == "the 100 least accurate of 1000 classes"
    assert [line.split()[1] for line in lines[2:]] == [str(label) for label in range(998, 898, -1)]


def test_real_labels():
    """The best guess is right if it is among the labels of an image; one without any does not count."""
    metric = ClassificationScores(3)
    predictions = torch.eye(3)[[0, 1, 2, 2]]
    metric.update(predictions, torch.tensor([0, 0, 0, 0]), [[0, 2], [2], [], [0, 1, 2]])
    assert metric.compute().figures()["real"] == pytest.approx(2 / 3)
    assert "ReaL 0.667" in summary(metric.compute())


def test_without_real_labels_there_is_no_figure():
    """Neither in the log nor in the summary."""
    metric = ClassificationScores(3)
    metric.update(torch.eye(3), torch.tensor([0, 1, 0]), [[], [], []])
    assert set(metric.compute().figures()) == {"top1", "top5", "class_accuracy"}
    assert summary(metric.compute()) == "top-1 0.667  top-5 1.000  mean class accuracy 0.750"


def test_very_many_classes_have_no_matrix():
    """The means are counted without it, in little memory."""
    metric = ClassificationScores(21841)
    scores, labels = torch.zeros(4, 21841), torch.tensor([5, 5, 21840, 7])
    scores[range(4), [5, 6, 21840, 1]] = 1
    metric.update(scores, labels)
    found = metric.compute()
    assert found.confusion is None
    assert found.top1 == 0.5
    assert found.class_accuracy == pytest.approx(0.5)
