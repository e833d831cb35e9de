"""The pre-training command from end to end, on made data."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from swinv2 import BackboneConfig
from swinv2.classification.data.labelled_images import ScoredImages
from swinv2.classifier import ImageClassifier
from swinv2.cli import main
from swinv2.shapes import make_classification
from swinv2.simmim.data import SimMIMData
from swinv2.simmim.model import SimMIM

DWARF = {"name": "swinv2_base_window12_192", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
RUN = "runs/simmim/small"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A small set of sample data."""
    return make_classification(tmp_path_factory.mktemp("shapes") / "classification", train=8, val=5, size=64)


@pytest.fixture
def recipe(shapes, tmp_path, monkeypatch):
    """The file of a recipe of a model of the least size, below the current folder."""
    monkeypatch.chdir(tmp_path)
    content = {
        "model": {
            "model": {
                "class_path": "SimMIM",
                "init_args": {"backbone": DWARF | {"drop_path_rate": 0.1}, "mask_patch_size": 16, "norm_patch_size": 5},
            },
            "optimizer": {"lr": 1.0e-3},
            "pictures": 2,
        },
        "data": {"root": str(shapes), "batch_size": 4, "num_workers": 0, "size": 64},
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False},
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(content))
    return "small.yaml"


@pytest.fixture
def trained(recipe, finished_run):
    """The recipe of a finished run, and what the run said."""
    return recipe, finished_run("simmim", Path(recipe))


def load(path):
    """A checkpoint."""
    return torch.load(path, weights_only=True)


def test_fit_leaves_checkpoints_logs_and_pictures(trained, tmp_path):
    """The error is printed at the end; best and last checkpoints, metrics, TensorBoard and pictures are there."""
    _, said = trained
    run = tmp_path / RUN
    assert re.search(r"error on hidden pixels \d\.\d{4}\npictures: .*version_0/pictures", said)
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    header = (run / "version_0/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"val_loss", "epoch", "step"} <= set(header)
    assert list((run / "version_0").glob("events.out.tfevents*"))
    pictures = sorted((run / "version_0/pictures").rglob("*.png"))
    assert len(pictures) == 2
    assert cv2.imread(str(pictures[0])).shape[1] > 3 * 64  # masked, reconstructed, original


def test_best_checkpoint_has_the_least_error(recipe, tmp_path):
    """Of several epochs, that with the lowest validation loss is kept."""
    options = ["--trainer.max_epochs", "4", "--model.optimizer.milestones", "[2]", "--model.optimizer.lr", "0.02"]
    assert main(["simmim", "fit", "--config", recipe, *options]) == 0
    header, *rows = (tmp_path / RUN / "version_0/metrics.csv").read_text().splitlines()
    places = [header.split(",").index(name) for name in ("val_loss", "epoch")]
    losses = {int(row[places[1]]): float(row[places[0]]) for row in (r.split(",") for r in rows) if row[places[0]]}
    assert load(tmp_path / RUN / "checkpoints/best.ckpt")["epoch"] == min(losses, key=losses.get)


def test_validation_is_the_same_each_time(trained, capsys):
    """The same patches are hidden whatever the seed and the size of a batch; only rounding differs."""
    recipe, _ = trained
    said = []
    for options in ([], ["--seed_everything", "5", "--data.batch_size", "1"]):
        assert main(["simmim", "validate", "--config", recipe, *options]) == 0
        said.append(float(re.search(r"error on hidden pixels ([\d.]+)", capsys.readouterr().out)[1]))
    assert said[0] == pytest.approx(said[1], abs=2e-4)


def test_predict_draws_any_picture(trained, tmp_path, capsys):
    """Files and globs in, of any size; bad files are left out."""
    recipe, _ = trained
    cv2.imwrite(str(tmp_path / "photo.png"), np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    given = ["--data.images", "*.png", "--model.output", "found"]
    assert main(["simmim", "predict", "--config", recipe, *given]) == 0
    assert [path.name for path in (tmp_path / "found/pictures").iterdir()] == ["photo.png"]
    assert (
        "1 of 2 images could not be read or used; see the messages above\npictures: found/pictures"
        in capsys.readouterr().out
    )
    assert main(["simmim", "predict", "--config", recipe, "--data.images", "broken.png"]) == 1
    assert "None of the images could be read" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fit", "validate"])
def test_nothing_readable_to_validate_on(recipe, tmp_path, capsys, command):
    """Without any validation image there is an error before the first step."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/1.jpg").write_bytes(b"no picture")
    given = ["--data.val", str(tmp_path / "broken")] + ["--ckpt_path", "null"] * (command == "validate")
    assert main(["simmim", command, "--config", recipe, *given]) == 1
    assert "1 of 1 validation images that were tried cannot be used" in capsys.readouterr().err


def test_epoch_without_a_readable_image_is_saved(recipe, tmp_path, caplog, monkeypatch):
    """Should no validation image be readable after all, the log says so, and the epoch is not lost."""
    monkeypatch.setattr(ScoredImages, "__getitem__", lambda *_: None)
    assert main(["simmim", "fit", "--config", recipe]) == 0
    assert {path.name for path in (tmp_path / RUN / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert "no image that can be read to validate on, and so no score of this epoch" in caplog.text


@pytest.mark.parametrize("command", ["validate", "predict"])
def test_weights_that_are_not_finite(trained, shapes, tmp_path, capsys, command):
    """A checkpoint of a training that diverged is refused before anything is drawn or measured."""
    recipe, _ = trained
    checkpoint = load(tmp_path / RUN / "checkpoints/last.ckpt")
    checkpoint["state_dict"]["model.mask_token"].fill_(torch.nan)
    torch.save(checkpoint, "diverged.ckpt")
    given = ["--ckpt_path", "diverged.ckpt"] + ["--data.images", str(shapes)] * (command == "predict")
    assert main(["simmim", command, "--config", recipe, *given]) == 1
    assert "The checkpoint holds NaN or infinity in 1 tensors, first model.mask_token" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_run_has_the_weights_of_an_uninterrupted_one(recipe, tmp_path, workers):
    """Two epochs in one go, and one resumed for a second, end with the same numbers: crops, masks, dropped paths."""
    fit = ["simmim", "fit", "--config", recipe, "--data.num_workers", str(workers)]
    assert main([*fit, "--trainer.max_epochs", "2", "--trainer.default_root_dir", "whole"]) == 0
    assert main([*fit, "--trainer.max_epochs", "1", "--trainer.default_root_dir", "parts"]) == 0
    assert main([*fit, "--trainer.max_epochs", "2", "--trainer.default_root_dir", "parts", "--ckpt_path", "last"]) == 0
    whole, parts = (load(tmp_path / run / "checkpoints/last.ckpt") for run in ("whole", "parts"))
    assert whole["global_step"] == parts["global_step"] == 4
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][name]), name


def test_pretraining_without_validation(recipe, tmp_path):
    """Nothing but training images is needed; the best checkpoint is then the latest."""
    assert main(["simmim", "fit", "--config", recipe, "--data.val", "null", "--trainer.max_epochs", "2"]) == 0
    assert load(tmp_path / RUN / "checkpoints/best.ckpt")["epoch"] == 1


def test_fine_tuning_starts_from_a_checkpoint(trained, tmp_path):
    """A classifier with another window takes the backbone as it is, and its units of the position bias."""
    checkpoint = tmp_path / RUN / "checkpoints/best.ckpt"
    backbone = BackboneConfig(**DWARF, window_size=7, weights=str(checkpoint))
    model = ImageClassifier(backbone, 4)
    saved = load(checkpoint)["state_dict"]
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, saved[f"model.backbone.{name}"]), name
    assert model.backbone.window_size == [(7, 7)] * 4
    assert model.backbone.pretrained_window_sizes == [(12, 12), (12, 12), (12, 12), (6, 6)]


def test_checkpoint_of_something_else(trained, tmp_path, capsys):
    """One of another model is refused; other tasks do not go on from one of SimMIM, but start from its weights."""
    recipe, _ = trained
    other = ["--model.model.init_args.backbone.embed_dim", "16"]
    assert main(["simmim", "validate", "--config", recipe, *other]) == 1
    assert "The checkpoint is not one of this SimMIM" in capsys.readouterr().err
    content = {"model": {"class_path": "UPerNet", "init_args": {"backbone": DWARF}}}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({"model": content}))
    checkpoint = ["--ckpt_path", f"{RUN}/checkpoints/best.ckpt"]
    assert main(["segmentation", "validate", "--config", "other.yaml", *checkpoint]) == 1
    assert "use --model.weights instead of --ckpt_path" in capsys.readouterr().err


def test_images_that_cannot_be_divided(recipe, capsys):
    """The size of images is refused before anything is computed."""
    assert main(["simmim", "fit", "--config", recipe, "--data.size", "48"]) == 1
    assert "multiples of 32 pixels, got (48, 48); set data.size" in capsys.readouterr().err


def test_training_learns_a_picture(shapes):
    """A few steps on one batch with the same patches hidden bring the loss down."""
    model = SimMIM(BackboneConfig(**DWARF), mask_patch_size=16, norm_patch_size=5)
    data = SimMIMData(shapes, batch_size=4, num_workers=0, size=64)
    data.setup("fit")
    images = next(iter(data.train_dataloader()))
    masks = model.draw_masks(images)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = model.loss(model(images, masks), images, masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]
