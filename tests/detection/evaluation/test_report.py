"""The pictures that a validation leaves."""

import cv2
import numpy as np
import pytest
import torch

from detection.data.annotations import CocoAnnotations
from detection.evaluation.average_precision import ClassScore
from detection.evaluation.coco_evaluator import CocoEvaluator
from detection.evaluation.report import draw_bars, draw_curves, write_report

SIZES = {7: (40, 60), 3: (30, 50), 12: (20, 20)}


def evaluated(coco, boxes=(), masks=True):
    """An evaluator that has scored cats in all images."""
    evaluator = CocoEvaluator(CocoAnnotations(coco.write()))
    for image_id, size in SIZES.items():
        count = len(boxes)
        found = {
            "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            "scores": torch.linspace(0.9, 0.1, count),
            "labels": torch.ones(count).long(),
        }
        target = {"image_id": image_id, "size": size, "orig_size": size}
        evaluator.update([found | ({"masks": torch.ones(count, 28, 28)} if masks else {})], [target])
    evaluator.compute()
    return evaluator


def check(paths):
    """All files are pictures that show something."""
    assert [path.name for path in paths] == ["precision_recall.png", "class_ap.png", "mistakes.png"]
    for path in paths:
        assert np.ptp(cv2.imread(str(path))) > 100


@pytest.mark.parametrize("masks", [True, False])
def test_report(coco, tmp_path, masks):
    """Three pictures are written into a new folder, with masks or boxes only."""
    evaluator = evaluated(coco, [[10, 5, 30, 21], [0, 0, 9, 9]], masks)
    assert list(evaluator.curves) == (["box", "mask"] if masks else ["box"])
    check(write_report(tmp_path / "new/report", evaluator, coco.folder))


def test_report_without_detections(coco, tmp_path):
    """A detector that finds nothing gets its report too."""
    check(write_report(tmp_path, evaluated(coco), coco.folder))


def test_report_without_objects(coco, tmp_path):
    """Images without a single object give a report."""
    coco.content["annotations"] = []
    check(write_report(tmp_path, evaluated(coco, [[10, 5, 30, 21]]), coco.folder))


def test_report_of_one_class_with_a_strange_name(coco, tmp_path):
    """One class is enough, and its name may hold what means something to matplotlib, or letters its font lacks."""
    coco.content["categories"] = [{"id": 5, "name": "_$x_{$ 猫"}]
    coco.content["annotations"] = [one for one in coco.content["annotations"] if one["category_id"] == 5]
    evaluator = CocoEvaluator(CocoAnnotations(coco.write()))
    found = {"boxes": torch.tensor([[10.0, 5, 30, 21]]), "scores": torch.ones(1), "labels": torch.zeros(1).long()}
    evaluator.update([found], [{"image_id": 7, "size": (40, 60), "orig_size": (40, 60)}])
    evaluator.compute()
    check(write_report(tmp_path, evaluator, coco.folder))


def test_curves_of_few_classes_are_drawn_each():
    """Beside the three means there is a line for each class that has objects, up to twenty."""
    curves = np.tile(np.linspace(1, 0, 101)[:, None], (10, 1, 21))
    curves[:, :, 0] = np.nan
    names = [f"class {label}" for label in range(21)]
    few, many = (draw_curves({"box": x}, names[: x.shape[2]]).axes[0] for x in (curves, np.nan_to_num(curves)))
    assert (len(few.lines), len(many.lines)) == (3 + 20, 3)
    assert few.lines[0].get_label() == "0.50   AP 0.500"
    np.testing.assert_allclose(few.lines[0].get_ydata(), np.linspace(1, 0, 101))


def test_bars_are_sorted_and_name_the_objects():
    """The best class comes first; a class without objects is left out, and the title says so."""
    ap = {"a": 0.2, "b": 0.7, "c": float("nan")}
    figure = draw_bars([ClassScore(name, 3, {"box": x, "mask": x / 2}) for name, x in ap.items()])
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b (3)", "a (3)"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.7, 0.2, 0.35, 0.1])
    assert "1 without objects left out" in figure.get_suptitle()


def test_bars_of_many_classes_stand_in_columns():
    """Eighty classes stand in two columns, so that the picture is not too tall."""
    figure = draw_bars([ClassScore(str(i), 1, {"box": i / 80}) for i in range(80)])
    assert [len(axes.patches) for axes in figure.axes] == [40, 40]
    assert figure.get_size_inches()[1] < 14


def test_names_of_classes_are_cut():
    """A name of many lines or letters leaves room for the bars."""
    (axes,) = draw_bars([ClassScore("a\nb " + "long " * 50, 3, {"box": 0.5})]).axes
    (text,) = (one.get_text() for one in axes.get_yticklabels())
    assert text.startswith("a b long")
    assert text.endswith("… (3)")
    assert len(text) < 50
