"""Classes of any images, by the command."""

import csv

import cv2
import numpy as np
import pytest
import torch

from swinv2.classification.task import ClassificationTask
from swinv2.cli import main

NAMES = ["circle", "rectangle", "star", "triangle"]


def images_below(folder):
    """All JPEG files, sorted by their names."""
    return sorted(folder.rglob("*.jpg"))


def test_predict_draws_and_prints(trained, shapes, tmp_path, capsys, run):
    """Files of one name stay apart, a bad one is left out, and the data of the training need not be there."""
    path, _ = trained
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    photo = np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(f"{folder}/photo.jpg", photo)
    given = '["a/photo.jpg", "b/photo.jpg", "broken.jpg"]'
    run("predict", path, "--data.root", "nowhere", "--data.images", given, "--model.output", "found")
    said = capsys.readouterr().out
    assert said.count("photo.jpg  0.") == 2 and "2 images: found/predictions.csv" in said
    assert "1 of 3 images could not be read or used; see the messages above" in said
    pictures = images_below(tmp_path / "found/pictures")
    assert len(pictures) == 2
    assert cv2.imread(str(pictures[0])).shape[0] > 354  # 90 x 130 enlarged to 354 x 512, and the names below


def test_images_of_any_shape(trained, tmp_path, run):
    """One pixel, a line of 20,000 and one longer than a JPEG may be are predicted and drawn like others."""
    path, _ = trained
    for name, size in {"dot": (1, 1), "line": (1, 20_000), "tall": (20_000, 1), "wide": (3, 66_000)}.items():
        cv2.imwrite(f"{name}.png", np.zeros((*size, 3), np.uint8))
    run("predict", path, "--data.images", "*.png", "--model.output", "found")
    assert len(images_below(tmp_path / "found/pictures")) == 4


def test_picture_that_cannot_be_drawn(trained, shapes, tmp_path, run, caplog, monkeypatch):
    """A picture that does not come about costs no result, of this image or another."""
    path, _ = trained
    monkeypatch.setattr("swinv2.classification.task.draw_predictions", lambda *_: cv2.resize(np.zeros((0, 0)), (1, 1)))
    run("predict", path, "--data.images", str(shapes / "val"), "--model.output", "found")
    assert len((tmp_path / "found/predictions.csv").read_text().splitlines()) == 7
    assert caplog.text.count("There is no picture of") == 6


def test_outputs_that_are_not_finite(trained, tmp_path, capsys, caplog, monkeypatch, run):
    """An image whose logits are not finite is left out of the table, and counted."""
    path, _ = trained
    for name, grey in {"dark": 0, "light": 250}.items():
        cv2.imwrite(f"{name}.png", np.full((40, 40, 3), grey, np.uint8))
    forward = ClassificationTask.forward

    def overflow(task, images):
        return forward(task, images).masked_fill(images.amax((1, 2, 3))[:, None] > 200, torch.inf)

    monkeypatch.setattr(ClassificationTask, "forward", overflow)
    run("predict", path, "--data.images", "*.png", "--model.output", "found")
    assert "1 of 2 images could not be read or used" in capsys.readouterr().out
    assert "The output of the model for light.png is not finite" in caplog.text
    assert "light.png" not in (tmp_path / "found/predictions.csv").read_text()


@pytest.mark.parametrize("command", ["validate", "predict"])
def test_weights_that_are_not_finite(trained, tmp_path, shapes, capsys, command):
    """A checkpoint of a training that diverged is refused before anything is drawn or scored."""
    path, _ = trained
    checkpoint = torch.load("runs/classification/small/checkpoints/last.ckpt", weights_only=True)
    checkpoint["state_dict"]["model.head.bias"][0] = torch.nan
    torch.save(checkpoint, "diverged.ckpt")
    given = ["--ckpt_path", "diverged.ckpt"] + ["--data.images", str(shapes)] * (command == "predict")
    assert main(["classification", command, "--config", path, *given]) == 1
    assert "The checkpoint holds NaN or infinity in 1 tensors, first model.head.bias" in capsys.readouterr().err


def test_pictures_may_be_left_out(trained, shapes, tmp_path, run):
    """The table alone is written."""
    path, _ = trained
    run("predict", path, "--data.images", str(shapes / "val"), "--model.pictures", "false", "--model.output", "found")
    assert [one.name for one in (tmp_path / "found").iterdir()] == ["predictions.csv"]


def test_nothing_readable_to_predict(trained, tmp_path, capsys):
    """If no image can be read, the command fails."""
    path, _ = trained
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert main(["classification", "predict", "--config", path, "--data.images", "broken.jpg"]) == 1
    assert "None of the images could be read" in capsys.readouterr().err


def test_model_as_built_predicts_without_names(recipe, shapes, capsys, caplog, run):
    """Without a checkpoint, and without data of as many classes, they have numbers for names."""
    images = ["--ckpt_path", "null", "--model.model.num_classes", "7", "--data.images", str(shapes / "val")]
    for data, warned in ((shapes, True), ("nowhere", False)):
        run("predict", recipe(), *images, "--data.root", str(data))
        assert "0.14" in (said := capsys.readouterr().out) and "class 6" in said
        assert ("The data have 4 classes, the model 7, which go by their numbers" in caplog.text) == warned
        caplog.clear()


@pytest.mark.parametrize("source", ["training data", "file"])
def test_released_weights_predict_with_names(recipe, model, shapes, tmp_path, capsys, source, run):
    """Weights without names of classes have those of the training data, or of a file (ImageNet's synset words)."""
    torch.save(model.state_dict(), tmp_path / "released.pth")
    (tmp_path / "synset_words.txt").write_text("".join(f"n0000000{i} word{i}, other{i}\n" for i in range(4)))
    path, names = recipe(), NAMES
    options = ["--ckpt_path", "null", "--model.model.backbone.weights", "released.pth", "--data.images", str(shapes)]
    if source == "file":
        options += ["--data.root", "nowhere", "--data.classes", "synset_words.txt"]
        names = [f"n0000000{i} word{i}" for i in range(4)]
    run("predict", path, *options, "--model.output", "found", "--model.pictures", "false")
    assert all(name in capsys.readouterr().out for name in names[:1])
    with (tmp_path / "found/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["class_1"] for row in rows} <= {*names}
    assert {rows[0][f"class_{rank}"] for rank in range(1, 5)} == {*names}


def test_file_of_names_that_is_not_there(recipe, shapes, capsys):
    """A file of names that was asked for must be there, even if the number of classes is given."""
    options = ["--ckpt_path", "null", "--model.model.num_classes", "4", "--data.images", str(shapes)]
    assert main(["classification", "predict", "--config", recipe(), *options, "--data.classes", "none.txt"]) == 1
    assert "There is no file of class names" in capsys.readouterr().err


def test_prediction_by_a_checkpoint_of_other_classes(trained, shapes, capsys):
    """Where no data are asked, the checkpoint itself says that it has other classes than the model."""
    path, _ = trained
    given = ["--model.model.num_classes", "7", "--data.images", str(shapes / "val")]
    assert main(["classification", "predict", "--config", path, *given]) == 1
    error = capsys.readouterr().err
    assert "The checkpoint has 4 classes (circle, " in error and "the model 7" in error
    assert "set model.model.init_args.num_classes to 4" in error
