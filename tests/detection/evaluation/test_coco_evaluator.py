"""Collecting detections for COCO's scores."""

import json

import pytest
import torch

from detection.data.annotations import CocoAnnotations
from detection.evaluation.coco_evaluator import CocoEvaluator, to_original

TARGET = {"image_id": 7, "size": (40, 60), "orig_size": (40, 60)}
BOXES = [[10.0, 5.0, 30.0, 21.0], [40.0, 10.0, 50.0, 30.0]]  # cat (1) and dog (0)


def detection(count=2, masks=True):
    """The first objects of the first image, as a model finds them."""
    found = {
        "boxes": torch.tensor(BOXES)[:count],
        "scores": torch.tensor([0.9, 0.8])[:count],
        "labels": torch.tensor([1, 0])[:count],
    }
    return found | ({"masks": torch.ones(count, 28, 28)} if masks else {})


@pytest.fixture
def evaluator(coco):
    """An evaluator of the small data set."""
    return CocoEvaluator(CocoAnnotations(coco.write()))


def test_perfect_detections(evaluator):
    """Boxes and masks that are exactly right score one, overall and for each class."""
    evaluator.update([detection()], [TARGET])
    figures = evaluator.compute()
    assert figures["box/AP"] == pytest.approx(1)
    assert figures["mask/AP"] == pytest.approx(1)
    assert [(row.name, row.objects, row.ap) for row in evaluator.class_scores] == [
        ("dog", 1, pytest.approx({"box": 1.0, "mask": 1.0})),
        ("cat", 1, pytest.approx({"box": 1.0, "mask": 1.0})),
    ]
    assert evaluator.table().splitlines()[1].split() == [
        "dog",
        "1",
        "1.000",
        "1.000",
        "|",
        "cat",
        "1",
        "1.000",
        "1.000",
    ]


def test_detections_on_a_resized_image(evaluator):
    """Boxes come in pixels of the image that the model saw, which need not keep the proportions."""
    resized = detection() | {"boxes": torch.tensor(BOXES) * torch.tensor([2.0, 3.0, 2.0, 3.0])}
    evaluator.update([resized], [TARGET | {"size": (120, 120)}])
    assert evaluator.compute()["mask/AP"] == pytest.approx(1)


def test_no_detections(evaluator):
    """An image without detections scores zero for boxes and masks."""
    evaluator.update([detection(0)], [TARGET])
    figures = evaluator.compute()
    assert figures["box/AP"] == figures["mask/AP"] == 0


def test_boxes_only(evaluator):
    """A detector without masks gets no mask figures."""
    evaluator.update([detection(masks=False)], [TARGET])
    assert {name.split("/")[0] for name in evaluator.compute()} == {"box"}


def test_masks_without_truth(coco):
    """Masks are not scored where the annotations have none."""
    for annotation in coco.content["annotations"]:
        annotation.pop("segmentation")
    evaluator = CocoEvaluator(CocoAnnotations(coco.write()))
    evaluator.update([detection()], [TARGET])
    assert {name.split("/")[0] for name in evaluator.compute()} == {"box"}


def test_image_that_comes_twice_counts_once(evaluator):
    """The second time that an image comes changes nothing."""
    evaluator.update([detection(), detection(1)], [TARGET, TARGET])
    assert len(evaluator.results()) == 2


def test_results_are_coco_results(evaluator, coco):
    """The results have the file's category ids, boxes with width and height, and masks that JSON can hold."""
    evaluator.update([detection(1)], [TARGET])
    (result,) = json.loads(json.dumps(evaluator.results()))
    assert result["image_id"] == 7
    assert result["category_id"] == 5
    assert result["bbox"] == coco.content["annotations"][0]["bbox"]
    assert result["score"] == pytest.approx(0.9)
    assert result["segmentation"]["size"] == [40, 60]


def test_reset(evaluator):
    """After a reset there is nothing to score, which is an error."""
    evaluator.update([detection()], [TARGET])
    evaluator.reset()
    with pytest.raises(ValueError, match="No image was evaluated"):
        evaluator.compute()


def test_other_parts_of_a_detection_stay():
    """Mapping to the original image changes the boxes of a copy only."""
    found = detection()
    mapped = to_original(found, TARGET | {"size": (80, 120)})
    assert mapped["boxes"].tolist() == (torch.tensor(BOXES) / 2).tolist()
    assert mapped["masks"] is found["masks"]
    assert found["boxes"].tolist() == BOXES


TWO_PROCESSES = """
import os, torch
from pathlib import Path
import torch.distributed as dist
from detection.data.annotations import CocoAnnotations
from detection.evaluation import CocoEvaluator

rank = int(os.environ["LOCAL_RANK"])
dist.init_process_group("gloo", rank=rank, world_size=2)
evaluator = CocoEvaluator(CocoAnnotations(Path("{path}")))
at = 1 - rank  # the first process has seen the second image
box = torch.tensor([[10.0, 5, 30, 21], [0, 10, 20, 30]][at : at + 1])
found = {{"boxes": box, "scores": torch.ones(1), "labels": torch.ones(1).long(), "masks": torch.ones(1, 28, 28)}}
size = [(40, 60), (30, 50)][at]
evaluator.update([found], [{{"image_id": [7, 3][at], "size": size, "orig_size": size}}])
figures = evaluator.compute()
outcome = [figures["box/AP"], evaluator.class_scores[1].ap["mask"], *(one["image_id"] for one in evaluator.results())]
Path(f"outcome.{{rank}}").write_text(" ".join(map(str, outcome)))
"""


def test_processes_share_their_detections(coco, run_code, tmp_path):
    """Two processes that each saw one image get the figures of both; the first holds all, in the file's order."""
    codes, said = run_code(TWO_PROCESSES.format(path=coco.write()), processes=2)
    assert codes == [0, 0], said
    first, second = ((tmp_path / f"outcome.{rank}").read_text().split() for rank in range(2))
    assert [float(figure) for figure in first] == [0.5, 1.0, 7, 3]  # both cats, but not the dog
    assert second == [*first[:2], "7"]
