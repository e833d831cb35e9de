"""The whole way of a small classifier: trained and scored by the command."""

import csv
import json
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning import Trainer

from swinv2 import BackboneConfig
from swinv2.classification.data.imagenet_data import ImageNetData
from swinv2.classification.data.labelled_images import ScoredImages
from swinv2.classification.task import ClassificationTask
from swinv2.classifier import ImageClassifier
from swinv2.cli import main
from swinv2.imaging.normalize import IMAGENET_MEAN, IMAGENET_STD
from swinv2.training.callbacks.throughput import Throughput

NAMES = ["circle", "rectangle", "star", "triangle"]
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
EMA = {"class_path": "EMAWeightAveraging", "init_args": {"decay": 0.7}}


def saved(path):
    """A checkpoint."""
    return torch.load(path, weights_only=True)


def test_fit_leaves_checkpoints_and_logs(trained, tmp_path):
    """The scores are printed at the end; checkpoints with the names of the classes and metrics are there."""
    _, said = trained
    folder = tmp_path / "runs/classification/small"
    assert "top-1 0." in said and "mean class accuracy 0." in said and "ReaL" not in said
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert saved(folder / "checkpoints/last.ckpt")["class_names"] == NAMES
    with (folder / "version_0/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"top1", "top5", "class_accuracy"} <= set(rows[0])
    first = rows[0] if rows[0]["loss"] else rows[1]
    assert float(first["images_per_second"]) > 0
    assert 0 <= float(first["train/top1"]) <= float(first["train/top5"]) == 1  # of four classes all are among five


def test_validate_prints_the_classes_and_writes_a_report(trained, capsys, tmp_path, run):
    """The best checkpoint is scored by class; table, matrix and commonest mistakes are files."""
    path, _ = trained
    run("validate", path, "--model.output", "scored")
    said = capsys.readouterr().out
    assert all(name in said for name in NAMES) and "images/s)" in said
    assert {one.name for one in (tmp_path / "scored").iterdir()} == {
        *("scores.json", "classes.csv", "confusion.png", "confused.csv"),
    }
    figures = json.loads((tmp_path / "scored/scores.json").read_text())
    assert f"top-1 {figures['top1']:.3f}  top-5 1.000" in said


def test_scores_are_those_of_the_predictions(trained, shapes, tmp_path, run):
    """Top-1 counted from the table of predictions and the folders is what validation says."""
    path, _ = trained
    run("validate", path, "--model.output", "scored")
    run("predict", path, "--data.images", str(shapes / "val"), "--model.output", "found")
    with (tmp_path / "found/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    right = np.mean([f"/{row['class_1']}/" in row["image"] for row in rows])
    assert json.loads((tmp_path / "scored/scores.json").read_text())["top1"] == pytest.approx(right)
    assert all(sum(float(row[f"probability_{i}"]) for i in range(1, 5)) == pytest.approx(1, abs=1e-5) for row in rows)


def test_epoch_without_a_readable_image_is_saved(recipe, tmp_path, caplog, monkeypatch, run):
    """Should no validation image be readable after all, the log says so, and the epoch is not lost."""
    path = recipe()
    monkeypatch.setattr(ScoredImages, "__getitem__", lambda *_: None)
    run("fit", path)
    folder = tmp_path / "runs/classification/small"
    assert {one.name for one in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert "no image that can be read to validate on, and so no score of this epoch" in caplog.text
    with (folder / "version_0/metrics.csv").open() as file:
        assert {"nan"} == {row["top1"] for row in csv.DictReader(file) if row["top1"]}


def test_images_that_are_left_out_are_counted(recipe, more, capsys, run):
    """At the end of training and validation there is a line of how many images could not be read."""
    for split in ("train", "val"):
        min((Path(more) / split / "star").iterdir()).write_bytes(b"no image")
    run("fit", recipe({"root": more}))
    said = capsys.readouterr().out
    assert "of 10 training images could not be read" in said and "1 of 7 validation images could not be read" in said
    run("validate", "small.yaml")
    assert "1 of 7 images could not be read or used" in capsys.readouterr().out


def test_real_labels_are_scored(trained, shapes, tmp_path, capsys, run):
    """With ReaL labels there is one more figure: an image without any is not counted."""
    path, _ = trained
    (tmp_path / "real.json").write_text(json.dumps([[0, 1, 2, 3], [0, 1, 2, 3], [], [], [], []]))
    run("validate", path, "--data.real_labels", str(tmp_path / "real.json"))
    assert "ReaL 1.000" in capsys.readouterr().out


def test_classes_of_data_and_model_must_agree(recipe, capsys):
    """The error names both numbers and the key to change."""
    assert main(["classification", "fit", "--config", recipe(), "--model.model.num_classes", "5"]) == 1
    said = capsys.readouterr().err
    assert "The data has 4 classes" in said and "the model 5" in said and "num_classes to 4" in said


@pytest.fixture
def more(shapes, tmp_path):
    """The sample data with a class more."""
    root = copytree(shapes, tmp_path / "more")
    for split in ("train", "val"):
        copytree(root / split / "star", root / split / "wasp")
    return str(root)


@pytest.mark.parametrize("command", ["fit", "validate"])
@pytest.mark.parametrize(
    ("count", "said"),
    [
        (
            "null",
            ["The data has 5 classes (circle, ", "the model 4", "the data must have the classes of the checkpoint"],
        ),
        ("5", ["The checkpoint has 4 classes (circle, ", "the model 5", "start from its weights"]),
    ],
)
def test_checkpoint_of_other_classes(trained, more, capsys, command, count, said):
    """Data with more classes than the checkpoint are refused with the way out, their number given or not."""
    path, _ = trained
    given = ["--ckpt_path", "last", "--model.model.num_classes", count, "--data.root", more]
    assert main(["classification", command, "--config", path, *given]) == 1
    error = capsys.readouterr().err
    assert all(part in error for part in said)


@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed"])
def test_half_precision(recipe, capsys, precision, run):
    """A model in bfloat16 is trained on erased and mixed images, and scored."""
    path = recipe({"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "erasing": 0.5}, precision=precision)
    run("fit", path)
    assert "top-1 0." in capsys.readouterr().out


def test_images_a_second_of_accumulated_batches(recipe, tmp_path, monkeypatch, run):
    """The clock is read once a step, and counts the images of all batches that it is made of."""
    counted = []
    monkeypatch.setattr(Throughput, "read", lambda clock: (counted.append(clock.items), clock.restart())[0] or 1.0)
    path = recipe({"batch_size": 2}, accumulate_grad_batches=2, log_every_n_steps=1)
    run("fit", path)
    assert counted == [4, 4, 6]  # two steps, and a validation
    with (tmp_path / "runs/classification/small/version_0/metrics.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file) if row["images_per_second"]] == ["0", "1"]


@pytest.mark.parametrize("workers", [0, 1])
def test_resumed_run_has_the_weights_of_an_uninterrupted_one(recipe, tmp_path, workers, run):
    """With mixing, erasing and averaged weights, one epoch resumed for a second is as two in one go."""
    data = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "erasing": 0.5, "num_workers": workers}
    path = recipe(data, callbacks=[EMA], max_epochs=2)
    lr = ["--model.optimizer.lr", "1e-3", "--trainer.default_root_dir"]
    run("fit", path, *lr, "whole")
    run("fit", path, *lr, "parts", "--trainer.max_epochs", "1")
    run("fit", path, *lr, "parts", "--ckpt_path", "last")
    whole, parts = (saved(tmp_path / folder / "checkpoints/last.ckpt") for folder in ("whole", "parts"))
    assert whole["global_step"] == parts["global_step"] == 4
    for part in ("state_dict", "current_model_state", "averaging_state"):
        assert whole[part].keys() == parts[part].keys()
        for name, value in whole[part].items():
            assert torch.equal(value, parts[part][name]), (part, name)


def test_loss_is_that_of_smoothed_targets(model, small, monkeypatch):
    """The loss of a normalised batch is the cross-entropy with targets smoothed as timm does."""
    task = ClassificationTask(model, label_smoothing=0.1)
    task.trainer = Trainer(**QUIET)
    task.trainer.datamodule = data = ImageNetData(**small)
    monkeypatch.setattr(task, "log_losses", lambda losses, _: sum(losses.values()))
    monkeypatch.setattr(task, "_log_progress", lambda *_: None)
    data.setup("fit")
    images, labels = next(iter(data.train_dataloader()))
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    smoothed = F.one_hot(labels, 4) * 0.9 + 0.1 / 4
    loss = -(smoothed * model((images / 255 - mean) / std).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(task.training_step((images, labels), 0), loss)


def test_batches_are_erased_and_mixed_after_they_are_normalised(model, small):
    """What the data prescribe is done to the training batch, in the order of the official training."""
    task, data, done = ClassificationTask(model), ImageNetData(**small), []
    data.setup("fit")
    data.erasing = lambda images: (done.append("erased"), images + 1)[1]
    data.mixing = lambda images, labels: (done.append("mixed"), (images * 2, F.one_hot(labels, 4).float()))[1]
    task.trainer = Trainer(**QUIET)
    task.trainer.datamodule = data
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    pixels, shares = task.augmented(images, torch.tensor([1, 3]))
    assert done == ["erased", "mixed"]
    torch.testing.assert_close(pixels, (task.normalized(images) + 1) * 2)
    assert shares.argmax(1).tolist() == [1, 3]


def test_window_of_the_test_is_for_the_test(model, small, tmp_path):
    """During training validation has its own window, and training goes on with the one that it had."""
    task, seen = ClassificationTask(model, test_window_size=3), []
    model.backbone.register_forward_pre_hook(lambda backbone, _: seen.append((model.training, backbone.window_size[0])))
    trainer = Trainer(**QUIET, max_epochs=1, default_root_dir=tmp_path, enable_checkpointing=False)
    trainer.fit(task, ImageNetData(**small))
    assert set(seen) == {(True, (8, 8)), (False, (3, 3))}
    assert model.backbone.window_size == [(8, 8)] * 4


def test_weights_of_another_run_start_a_new_one(trained, tmp_path, dwarf):
    """A checkpoint fills the whole classifier; the head stays out where the classes differ."""
    weights = "runs/classification/small/checkpoints/last.ckpt"
    kept = saved(tmp_path / weights)["state_dict"]
    same = ClassificationTask(ImageClassifier(BackboneConfig(**dwarf), 4), weights=weights).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in kept.items())
    described = ImageClassifier(BackboneConfig(**dwarf, weights=weights), 4).state_dict()
    assert all(torch.equal(value, described[name.removeprefix("model.")]) for name, value in kept.items())
    other = ClassificationTask(ImageClassifier(BackboneConfig(**dwarf), 9), weights=weights).state_dict()
    assert {name for name, value in kept.items() if not torch.equal(other[name], value)} == {
        *("model.head.weight", "model.head.bias"),
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing must be from 0 to below 1, got 1.0"),
        ({"head_rows": "map22kto1k.txt"}, "head_rows map22kto1k.txt are those of weights, but there are none"),
        ({"test_window_size": [1, 2, 3]}, "window_size"),
    ],
)
def test_bad_settings(model, settings, message):
    """Settings out of range are refused when the task is built."""
    with pytest.raises(ValueError, match=message):
        ClassificationTask(model, **settings)


def test_number_of_classes_is_needed(dwarf):
    """A classifier has to know it; 0 is for features."""
    with pytest.raises(ValueError, match=r"num_classes must be 0 \(for features\) or more, got None"):
        ImageClassifier(BackboneConfig(**dwarf))
    with pytest.raises(ValueError, match="got -1"):
        ImageClassifier(BackboneConfig(**dwarf), -1)
    assert ImageClassifier(BackboneConfig(**dwarf), 0)(torch.rand(1, 3, 32, 32)).shape == (1, 64)


def test_training_learns_a_picture(model, small):
    """A few steps on one batch bring the loss down."""
    data = ImageNetData(**small)
    data.setup("fit")
    images, labels = next(iter(data.train_dataloader()))
    pixels = ClassificationTask(model).normalized(images)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        loss = F.cross_entropy(model(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
