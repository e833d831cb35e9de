"""Training, scoring and prediction on two processes, as on two GPUs."""

import json
import re

import pytest
import yaml

from swinv2.cli import main
from swinv2.shapes import make_detection
from swinv2.shapes.coco import SEMANTIC_CLASSES

IMAGES = 7  # odd: the two processes have different numbers


def recipe(folder):
    """A detector of the least size on made data, as a file."""
    make_detection(folder / "shapes", train=8, val=IMAGES, size=64)
    backbone = {"name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
    heads = {
        "fpn_channels": 8,
        "rpn": {"anchor_sizes": [8, 16, 32, 64, 128], "candidates": [50, 50], "proposals": 20},
        "roi": {
            **{"box_head": "4conv1fc", "box_head_dim": 16, "box_head_norm": "batch", "box_loss": "giou"},
            **{"mask_head_dim": 8, "mask_head_convs": 1, "samples": 16},
        },
        **{"semantic_classes": len(SEMANTIC_CLASSES), "global_attention_heads": 2},
    }
    content = {
        "model": {
            "model": {"class_path": "HybridTaskCascade", "init_args": {"backbone": backbone, **heads}},
            "optimizer": {"lr": 3.0e-3},
            "pictures": 1,
        },
        "data": {
            "root": str(folder / "shapes"),
            **{"train_images": "train", "val_images": "val", "semantic_maps": "semantic/train"},
            **{f"{split}_annotations": f"annotations/instances_{split}.json" for split in ("train", "val")},
            **{"batch_size": 2, "num_workers": 0, "short_edge": 64, "long_edge": 64},
        },
        "trainer": {"max_epochs": 3, "accelerator": "cpu", "enable_progress_bar": False, "log_every_n_steps": 1},
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def figures(said):
    """The lines with the average precision of boxes and of masks, once each."""
    lines = re.findall(r"^(?:box|mask) +AP .*$", said, re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["box", "mask"]
    return lines


def entries(path):
    """Detections of a results file, in an order that does not depend on who found them."""
    return sorted(json.loads(path.read_text()), key=lambda one: (one["image_id"], -one["score"], one["bbox"]))


def test_two_processes(on_two_processes, tmp_path, monkeypatch, capsys):
    """Training on two processes ends with a score; they then score as one process does, and predict each image once."""
    path = recipe(tmp_path)
    figures(on_two_processes("detection", "fit", "--config", path))
    checkpoint = tmp_path / "runs/detection/small/checkpoints/last.ckpt"
    scored = ["detection", "validate", "--config", path, "--ckpt_path", str(checkpoint), "--model.output"]
    both = figures(on_two_processes(*scored, "two"))
    monkeypatch.chdir(tmp_path)
    assert main([*scored, "one"]) == 0
    assert both == figures(capsys.readouterr().out)
    one, two = (entries(tmp_path / name / "results.json") for name in ("one", "two"))
    assert len(one) > IMAGES
    assert [(x["image_id"], x["category_id"]) for x in one] == [(x["image_id"], x["category_id"]) for x in two]
    assert [x["score"] for x in one] == pytest.approx([x["score"] for x in two], abs=1e-5)
    images = ["--data.images", str(tmp_path / "shapes/val"), "--ckpt_path", str(checkpoint), "--model.output", "found"]
    said = on_two_processes("detection", "predict", "--config", path, *images)
    found = entries(tmp_path / "found/results.json")
    assert f"{len(found)} detections" in said
    assert [x["score"] for x in found] == pytest.approx([x["score"] for x in one], abs=1e-5)
    assert len(list((tmp_path / "found/pictures").glob("*.png"))) == IMAGES
