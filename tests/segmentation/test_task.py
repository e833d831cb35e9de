"""The segmentation command from end to end, on made data."""

from shutil import copytree

import cv2
import numpy as np
import pytest
import torch
import yaml
from lightning import Trainer

from segmentation import SemanticFPN, UPerNet
from segmentation.data.ade20k_data import Ade20kData
from segmentation.task import SegmentationTask
from swinv2 import BackboneConfig
from swinv2.cli import main
from swinv2.imaging.label_maps import read_map


def test_fit_leaves_checkpoints_logs_and_pictures(trained, tmp_path, names):
    """The score is printed at the end; best and last checkpoints, metrics, TensorBoard and pictures are there."""
    _, said = trained
    run = tmp_path / "runs/segmentation/small"
    assert "mIoU 0." in said and "pixel accuracy 0." in said
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    header = (run / "version_0/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"mIoU", "mIoU_zero", "pixel_accuracy", "class_accuracy"} <= set(header)
    assert list((run / "version_0").glob("events.out.tfevents*"))
    assert len(list((run / "version_0/pictures").glob("*.png"))) == 2
    saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert saved["class_names"] == names
    assert saved["class_list"]["values"] == tuple(range(1, 9))


def test_validate_prints_the_classes_and_writes_maps_and_a_report(trained, tmp_path, capsys, names):
    """The best checkpoint is scored by class; the maps that it writes have the values of the data's own."""
    path, _ = trained
    assert main(["segmentation", "validate", "--config", path, "--model.output", "scored"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in names) and "over all classes, absent ones count 0" in said
    maps = sorted((tmp_path / "scored/results").iterdir())
    assert [one.name for one in maps] == [f"{i:08}.png" for i in range(1, 6)]
    values = np.stack([read_map(one) for one in maps])
    assert values.shape == (5, 64, 64)
    assert values.min() >= 1 and values.max() <= 8
    named = said.split("report: ")[1].splitlines()[0].split(", ")
    assert named and all((tmp_path / one).is_file() for one in named)


def test_figures_are_those_of_the_maps(trained, tmp_path, capsys):
    """Mean IoU counted from the written maps and the data's is what the command says."""
    path, _ = trained
    assert main(["segmentation", "validate", "--config", path, "--model.output", "scored"]) == 0
    root = yaml.safe_load((tmp_path / "small.yaml").read_text())["data"]["root"]
    pairs = [
        (read_map(one), cv2.imread(f"{root}/annotations/validation/{one.name}", cv2.IMREAD_UNCHANGED))
        for one in (tmp_path / "scored/results").iterdir()
    ]
    found, true = (np.stack(maps) for maps in zip(*pairs, strict=True))
    known = true > 0
    ious = [
        ((found == c) & (true == c)).sum() / union
        for c in range(1, 9)
        if (union := (((found == c) | (true == c)) & known).sum())
    ]
    assert f"mIoU {np.mean(ious):.3f} (over the classes that occur" in capsys.readouterr().out


def test_absent_classes_may_count_zero(shapes, tmp_path, monkeypatch, capsys, recipe):
    """The other convention is an option, and both are printed."""
    monkeypatch.chdir(tmp_path)
    zero = ["--model.absent_classes", "zero", "--ckpt_path", "null"]
    assert main(["segmentation", "validate", "--config", recipe(shapes, tmp_path), *zero]) == 0
    assert "(over all classes, absent ones count 0; " in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        ["--model.sliding.crop_size", "40"],
        ["--model.views", "{scales: [0.5, 1.0]}"],
        ["--model.sliding", "{crop_size: 32, stride: 16, batch_size: 3}", "--model.views", "{}"],
        ["--model.test_window_size", "4", "--data.val_short_edge", "96", "--data.val_long_edge", "200"],
        ["--data.val_short_edge", "null"],
    ],
    ids=["sliding", "views", "both", "window", "size of the file"],
)
def test_ways_to_look_at_an_image(trained, tmp_path, options):
    """Predict writes maps and pictures in the size of the file, whatever size the model takes."""
    path, _ = trained
    picture = np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), picture)
    given = ["--data.images", "photo.png", "--model.output", "found"]
    assert main(["segmentation", "predict", "--config", path, *given, *options]) == 0
    assert read_map(tmp_path / "found/results/photo.png").shape == (90, 130)
    assert (tmp_path / "found/pictures/photo.png").is_file()


def test_crop_as_large_as_the_image_is_the_whole_image(trained, tmp_path):
    """Windows that show everything change nothing."""
    path, _ = trained
    for name, options in {"whole": [], "windows": ["--model.sliding.crop_size", "64"]}.items():
        assert main(["segmentation", "validate", "--config", path, "--model.output", name, *options]) == 0
    for one in (tmp_path / "whole/results").iterdir():
        assert one.read_bytes() == (tmp_path / "windows/results" / one.name).read_bytes()


def test_window_of_the_test_is_for_the_test(shapes, tmp_path, dwarf, small):
    """During training validation has its own window, and training goes on with the one that it had."""
    model = SemanticFPN(BackboneConfig(**dwarf), 8, 8, 8)
    task = SegmentationTask(model, test_window_size=3, pictures=0)
    seen = []
    model.backbone.register_forward_pre_hook(lambda backbone, _: seen.append((model.training, backbone.window_size[0])))
    data = Ade20kData(shapes, classes="objectInfo.txt", batch_size=4, **small)
    options = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(accelerator="cpu", max_epochs=2, default_root_dir=tmp_path, enable_checkpointing=False, **options)
    trainer.fit(task, data)
    assert set(seen) == {(True, (8, 8)), (False, (3, 3))}
    assert model.backbone.window_size == [(8, 8)] * 4


def test_predict_leaves_bad_files_out(trained, tmp_path, shapes, capsys):
    """Files and globs in; names that come twice stay apart; a bad file is left out and counted."""
    path, _ = trained
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    some = str(sorted((shapes / "images/validation").iterdir())[0])
    images = f'["{some}", "{shapes}/images/training/*", "{tmp_path}/broken.jpg"]'
    assert main(["segmentation", "predict", "--config", path, "--data.images", images, "--model.output", "found"]) == 0
    assert len(list((tmp_path / "found/results").iterdir())) == len(list((tmp_path / "found/pictures").iterdir())) == 9
    assert "1 of 10 images could not be read or used" in capsys.readouterr().out


def test_outputs_that_are_not_finite(trained, tmp_path, capsys, caplog, monkeypatch):
    """An image whose logits are not finite has no map of the first class; it is left out, and the others are there."""
    path, _ = trained
    for name, grey in {"dark": 0, "light": 250}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((64, 64, 3), grey, np.uint8))
    forward = UPerNet.forward
    overflow = lambda model, images: forward(model, images) * (torch.inf if images.max() > 200 else 1)  # noqa: E731
    monkeypatch.setattr(UPerNet, "forward", overflow)
    given = ["--data.images", str(tmp_path / "*.png"), "--model.output", "found"]
    assert main(["segmentation", "predict", "--config", path, *given]) == 0
    assert [one.name for one in (tmp_path / "found/results").iterdir()] == ["dark.png"]
    assert "1 of 2 images could not be read or used" in capsys.readouterr().out
    assert "The output of the model for" in caplog.text and "light.png is not finite" in caplog.text


@pytest.mark.parametrize("command", ["validate", "predict"])
def test_weights_that_are_not_finite(trained, tmp_path, shapes, capsys, command):
    """A checkpoint of a training that diverged is refused before anything is drawn or scored."""
    path, _ = trained
    checkpoint = torch.load(tmp_path / "runs/segmentation/small/checkpoints/last.ckpt", weights_only=True)
    checkpoint["state_dict"]["model.decode_head.conv_seg.bias"][0] = torch.nan
    torch.save(checkpoint, "diverged.ckpt")
    given = ["--ckpt_path", "diverged.ckpt"] + ["--data.images", str(shapes)] * (command == "predict")
    assert main(["segmentation", command, "--config", path, *given]) == 1
    said = capsys.readouterr().err
    assert "The checkpoint holds NaN or infinity in 1 tensors, first model.decode_head.conv_seg.bias" in said


def test_epoch_without_a_known_pixel_is_saved(shapes, tmp_path, monkeypatch, recipe, caplog):
    """Should no image of a validation have a known pixel after all, the log says so, and the epoch is not lost."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SegmentationTask, "validation_step", lambda *_: None)
    assert main(["segmentation", "fit", "--config", recipe(shapes, tmp_path)]) == 0
    run = tmp_path / "runs/segmentation/small"
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert "no pixel whose class is known to validate on, and so no score of this epoch" in caplog.text
    assert "nan" in (run / "version_0/metrics.csv").read_text()


def test_pairs_that_are_left_out_are_counted(trained, shapes, tmp_path, capsys):
    """A validation image that cannot be read does not end the validation, and its end says how many there were."""
    path, _ = trained
    copytree(shapes, tmp_path / "copy")
    first = min((tmp_path / "copy/annotations/validation").iterdir())
    first.write_bytes(first.read_bytes()[:100])
    assert main(["segmentation", "validate", "--config", path, "--data.root", str(tmp_path / "copy")]) == 0
    assert "1 of 5 images with their maps could not be read or used" in capsys.readouterr().out


def test_predict_without_data(trained, tmp_path, shapes):
    """The checkpoint knows the classes and their values; the data need not be there."""
    path, _ = trained
    nowhere = ["--data.root", "nowhere", "--data.images", str(shapes / "images/validation")]
    assert main(["segmentation", "predict", "--config", path, *nowhere]) == 0
    maps = [read_map(one) for one in (tmp_path / "runs/segmentation/small/predict/results").iterdir()]
    assert min(one.min() for one in maps) >= 1


def test_model_as_built_predicts_without_names(shapes, tmp_path, monkeypatch, recipe):
    """Without a checkpoint classes have numbers for names and values."""
    monkeypatch.chdir(tmp_path)
    images = ["--ckpt_path", "null", "--data.images", str(shapes / "images/validation")]
    assert main(["segmentation", "predict", "--config", recipe(shapes, tmp_path, classes=2), *images]) == 0
    maps = [read_map(one) for one in (tmp_path / "runs/segmentation/small/predict/results").iterdir()]
    assert max(one.max() for one in maps) <= 1


def test_maps_of_an_earlier_run_are_put_aside(trained, tmp_path, shapes):
    """A folder of results holds those of one run only, the others stay beside it."""
    path, _ = trained
    photos = sorted((shapes / "images/validation").iterdir())
    for photo in photos[:2]:
        given = ["--data.images", str(photo), "--model.output", "found"]
        assert main(["segmentation", "predict", "--config", path, *given]) == 0
    assert [one.stem for one in (tmp_path / "found/results").iterdir()] == [photos[1].stem]
    assert [one.stem for one in (tmp_path / "found/results.1").iterdir()] == [photos[0].stem]


def test_maps_and_pictures_may_be_left_out(trained, tmp_path):
    """Scoring alone leaves the report; prediction alone the maps."""
    path, _ = trained
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((40, 50, 3), np.uint8))
    nothing = ["--model.pictures", "0", "--model.maps", "false", "--model.output", "scored"]
    assert main(["segmentation", "validate", "--config", path, *nothing]) == 0
    assert not {"results", "pictures"} & {one.name for one in (tmp_path / "scored").iterdir()}
    given = ["--data.images", "photo.png", "--model.pictures", "0", "--model.output", "found"]
    assert main(["segmentation", "predict", "--config", path, *given]) == 0
    assert [one.name for one in (tmp_path / "found").iterdir()] == ["results"]


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_run_has_the_weights_of_an_uninterrupted_one(shapes, tmp_path, monkeypatch, workers, recipe):
    """Two epochs in one go and one epoch resumed for a second end with the same numbers, with loading processes too."""
    monkeypatch.chdir(tmp_path)
    fit = ["segmentation", "fit", "--config", recipe(shapes, tmp_path), "--model.optimizer.lr", "1e-3"]
    fit += ["--data.num_workers", str(workers)]
    assert main([*fit, "--trainer.max_epochs", "2", "--trainer.default_root_dir", "whole"]) == 0
    assert main([*fit, "--trainer.max_epochs", "1", "--trainer.default_root_dir", "parts"]) == 0
    assert main([*fit, "--trainer.max_epochs", "2", "--trainer.default_root_dir", "parts", "--ckpt_path", "last"]) == 0
    whole, parts = (
        torch.load(tmp_path / run / "checkpoints/last.ckpt", weights_only=True) for run in ("whole", "parts")
    )
    assert whole["global_step"] == parts["global_step"] == 4
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][name]), name


@pytest.mark.parametrize("options", [[], ["--data.val_short_edge", "null"]], ids=["resized", "size of the file"])
def test_images_smaller_than_a_patch(trained, tmp_path, options):
    """A tiny picture, or one that resizing would make thinner than a patch, is predicted like any other."""
    path, _ = trained
    for name, size in {"dot": (1, 1), "line": (2000, 20), "bar": (3, 700)}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((*size, 3), 90, np.uint8))
    assert main(["segmentation", "predict", "--config", path, "--data.images", str(tmp_path / "*.png"), *options]) == 0
    assert len(list((tmp_path / "runs/segmentation/small/predict/results").iterdir())) == 3


def test_weights_of_another_run_start_a_new_one(trained, tmp_path, dwarf):
    """A segmenter's checkpoint fills all of a segmenter; its classifiers stay out where the classes differ."""
    weights = str(tmp_path / "runs/segmentation/small/checkpoints/last.ckpt")
    saved = torch.load(weights, weights_only=True)["state_dict"]
    options = {"channels": 8, "auxiliary_channels": 8}
    task = SegmentationTask(UPerNet(BackboneConfig(**dwarf), 8, **options), weights=weights)
    own = task.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in saved.items() if not name.endswith("_tracked"))
    other = SegmentationTask(UPerNet(BackboneConfig(**dwarf), 9, **options), weights=weights).state_dict()
    changed = {name for name, value in saved.items() if not torch.equal(other[name], value)}
    assert {name.rpartition(".")[0] for name in changed} == {
        "model.decode_head.conv_seg",
        "model.auxiliary_head.conv_seg",
    }


def test_training_learns_a_picture(shapes, dwarf, small):
    """A few steps on one batch bring the loss down."""
    model = UPerNet(BackboneConfig(**dwarf), 8, channels=16, auxiliary_channels=8)
    data = Ade20kData(shapes, classes="objectInfo.txt", batch_size=4, **small)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        loss = sum(model(*batch).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
