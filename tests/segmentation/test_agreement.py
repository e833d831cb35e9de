"""What of data, model and checkpoint does not go together is refused, as a user of the command sees it."""

import shutil

import cv2
import numpy as np
import pytest
import torch

from swinv2.cli import main
from swinv2.imaging.label_maps import read_map


def reversed_classes(folder, names):
    """A class list of the same names in another order."""
    (folder / "reversed.txt").write_text("\n".join(reversed(names)))
    return ["--data.classes", str(folder / "reversed.txt")]


@pytest.mark.parametrize("command", ["validate", "fit"])
def test_classes_of_a_checkpoint_are_those_of_the_data(trained, tmp_path, capsys, command, names):
    """Names in another order would be scored or trained wrongly; the message names the first."""
    path, _ = trained
    given = ["--config", path, *reversed_classes(tmp_path, names), "--ckpt_path", "last"]
    assert main(["segmentation", command, *given]) == 1
    assert "label 0 is 'gradient' there and 'triangle' in the data, and 8 labels differ" in capsys.readouterr().err


def test_values_are_those_of_the_data(trained, shapes, tmp_path, names):
    """The same classes may have other values in other files; the maps that are written have those of the data."""
    path, _ = trained
    (tmp_path / "values.txt").write_text("\n".join(f"{100 + i} {name}" for i, name in enumerate(names)))
    other = tmp_path / "other"
    shutil.copytree(shapes, other)
    for one in (other / "annotations/validation").iterdir():
        values = cv2.imread(str(one), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(one), np.where(values > 0, values + 99, 0))
    given = ["--data.root", str(other), "--data.classes", str(tmp_path / "values.txt"), "--model.output", "scored"]
    assert main(["segmentation", "validate", "--config", path, *given]) == 0
    assert min(read_map(one).min() for one in (tmp_path / "scored/results").iterdir()) >= 100


def test_other_window_than_in_training_is_said(trained, caplog):
    """A model that is built with another window than the checkpoint's is used, and the log tells both."""
    path, _ = trained
    window = ["--model.model.init_args.backbone.window_size", "4"]
    assert main(["segmentation", "validate", "--config", path, *window]) == 0
    assert "trained with windows 8x8, 8x8, 8x8, 8x8; here they are 4x4" in caplog.text


def test_nothing_readable_to_predict(trained, tmp_path, capsys):
    """If no image can be read, the command fails."""
    path, _ = trained
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert main(["segmentation", "predict", "--config", path, "--data.images", "broken.jpg"]) == 1
    assert "None of the images could be read" in capsys.readouterr().err


def test_classes_of_data_and_model_must_agree(shapes, tmp_path, monkeypatch, capsys, recipe):
    """The error names both numbers and the key to change."""
    monkeypatch.chdir(tmp_path)
    assert main(["segmentation", "fit", "--config", recipe(shapes, tmp_path, classes=7)]) == 1
    said = capsys.readouterr().err
    assert "The data has 8 classes (gradient" in said
    assert "the model 7; set model.model.init_args.num_classes to 8" in said


def test_checkpoints_of_something_else_are_refused(trained, tmp_path, capsys):
    """Another head, or a file of another kind, is named as such before its tensors are tried."""
    path, _ = trained
    assert main(["segmentation", "validate", "--config", path, "--model.model", "SemanticFPN"]) == 1
    assert "The checkpoint is not one of this SemanticFPN" in capsys.readouterr().err
    others = {"plain": {"state_dict": {}}, "pickled": {"meta": np.float64(1.0), "state_dict": {}}, "list": [1]}
    for name, content in others.items():
        torch.save(content, tmp_path / f"{name}.pth")
        assert main(["segmentation", "validate", "--config", path, "--ckpt_path", f"{name}.pth"]) == 1
        assert "to start from other weights, use --model.weights" in capsys.readouterr().err


def test_missing_data_is_named_before_anything_is_built(tmp_path, monkeypatch, capsys, recipe):
    """A wrong root is a message, not a traceback."""
    monkeypatch.chdir(tmp_path)
    assert main(["segmentation", "fit", "--config", recipe(tmp_path / "nowhere", tmp_path)]) == 1
    assert "There is no class list nowhere/objectInfo.txt" in capsys.readouterr().err.replace(f"{tmp_path}/", "")


def test_label_above_the_class_count(shapes, tmp_path, monkeypatch, capsys, recipe):
    """A map with a value that is no class stops the run with its name, from a loading process too."""
    monkeypatch.chdir(tmp_path)
    wrong = tmp_path / "wrong"
    shutil.copytree(shapes, wrong)
    path = wrong / "annotations/training/00000003.png"
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    values[:2] = 9
    cv2.imwrite(str(path), values)
    for workers in ("0", "1"):
        assert main(["segmentation", "fit", "--config", recipe(wrong, tmp_path), "--data.num_workers", workers]) == 1
        said = capsys.readouterr().err
        assert "00000003.png has pixel values that are no class: 9 (128 pixels)" in said


def test_validation_data_without_labels(shapes, tmp_path, monkeypatch, capsys, recipe):
    """Maps of which nothing is known cannot be scored, which the message says."""
    monkeypatch.chdir(tmp_path)
    void = tmp_path / "void"
    shutil.copytree(shapes, void)
    for path in (void / "annotations/validation").iterdir():
        cv2.imwrite(str(path), np.zeros((64, 64), np.uint8))
    assert main(["segmentation", "fit", "--config", recipe(void, tmp_path)]) == 1
    assert "give nothing to score" in capsys.readouterr().err
