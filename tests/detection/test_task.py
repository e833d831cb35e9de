"""The detection command from end to end, on made data."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from lightning import Trainer

from detection import MaskRCNN, RoIConfig, RPNConfig
from detection.data.coco_data import CocoData
from detection.task import DetectionTask
from swinv2 import BackboneConfig
from swinv2.cli import main
from swinv2.shapes import Shapes, make_detection

LAYOUT = {
    "train_images": "train",
    "val_images": "val",
    "train_annotations": "annotations/instances_train.json",
    "val_annotations": "annotations/instances_val.json",
}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A small set of sample data."""
    return make_detection(tmp_path_factory.mktemp("shapes") / "detection", train=8, val=8, size=64)


def recipe(shapes, folder, classes=None, **extra):
    """A recipe of a model of the least size, as a file."""
    backbone = {"name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
    heads = {"roi": {"box_head_dim": 16, "mask_head_dim": 8, "mask_head_convs": 1, "samples": 16}}
    sizes = {"fpn_channels": 8, "rpn": {"anchor_sizes": [8, 16, 32, 64, 128], "candidates": [50, 50], "proposals": 20}}
    content = {
        "model": {
            "model": {
                "class_path": "MaskRCNN",
                "init_args": {"backbone": backbone, "num_classes": classes, **heads, **sizes},
            },
            "pictures": 2,
        },
        "data": {"root": str(shapes), **LAYOUT, "batch_size": 4, "num_workers": 0, "short_edge": 64, "long_edge": 64},
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False, **extra},
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.fixture
def trained(shapes, tmp_path, monkeypatch, finished_run):
    """The recipe of a finished run, whose folder is below the current one, and what the run said."""
    monkeypatch.chdir(tmp_path)
    path = recipe(shapes, tmp_path)
    return path, finished_run("detection", Path(path))


def test_fit_leaves_checkpoints_logs_and_pictures(trained, tmp_path):
    """AP is printed at the end; best and last checkpoints, metrics, TensorBoard and pictures are there."""
    _, said = trained
    run = tmp_path / "runs/detection/small"
    assert "box   AP 0." in said and "mask  AP 0." in said
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert "box/AP" in (run / "version_0/metrics.csv").read_text().splitlines()[0]
    assert list((run / "version_0").glob("events.out.tfevents*"))
    assert len(list((run / "version_0/pictures").glob("*.png"))) == 2
    saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert saved["class_names"] == ["circle", "rectangle", "star", "triangle"]
    assert saved["category_ids"] == [1, 3, 7, 18]


def test_validate_prints_the_classes_and_writes_results(trained, tmp_path, capsys):
    """The best checkpoint is scored by class, and its detections are kept as COCO results."""
    path, _ = trained
    assert main(["detection", "validate", "--config", path]) == 0
    said = capsys.readouterr().out
    assert "triangle" in said and "box   AP" in said
    results = json.loads((tmp_path / "runs/detection/small/validate/results.json").read_text())
    assert {entry["category_id"] for entry in results} <= {1, 3, 7, 18}


def test_validate_leaves_a_report(trained, tmp_path, capsys):
    """Curves, bars by class and the worst mistakes are pictures beside the results, and the last line names them."""
    path, _ = trained
    assert main(["detection", "validate", "--config", path, "--model.output", "scored"]) == 0
    names = {"precision_recall.png", "class_ap.png", "mistakes.png"}
    assert names <= {one.name for one in (tmp_path / "scored").iterdir()}
    last = capsys.readouterr().out.splitlines()[-1]
    assert all(name in last for name in names)


@pytest.mark.parametrize(
    "options",
    [
        ["--model.tiles.size", "40"],
        ["--model.views", "{short_edges: [48, 64], long_edge: 200}"],
        [
            "--model.tiles",
            "{size: 40, overlap: 0.5}",
            "--model.views.short_edges",
            "[40]",
            "--model.views.long_edge",
            "80",
        ],
    ],
    ids=["tiles", "views", "both"],
)
def test_tiles_and_views_take_whole_images(trained, tmp_path, options, capsys):
    """Predict and validate with tiles or views read images in the size of their files, and keep to their pixels."""
    path, _ = trained
    picture = np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "large.png"), picture)
    few = ["--model.model.init_args.rpn.proposals", "5", "--trainer.limit_val_batches", "1", "--data.batch_size", "1"]
    low = ["--model.model.init_args.postprocess.score_threshold", "0", *few, *options]
    given = ["--data.images", "large.png", "--model.output", "found"]
    assert main(["detection", "predict", "--config", path, *low, *given]) == 0
    results = json.loads((tmp_path / "found/results.json").read_text())
    assert max(entry["bbox"][0] + entry["bbox"][2] for entry in results) > 100
    assert all(entry["bbox"][0] + entry["bbox"][2] <= 130.01 for entry in results)
    assert main(["detection", "validate", "--config", path, *low]) == 0
    assert "mask  AP" in capsys.readouterr().out


def test_predict_draws_files_and_writes_results(trained, tmp_path, shapes, capsys):
    """Files and globs in, pictures and COCO results out, with the classes of the checkpoint; a bad file is left out."""
    path, _ = trained
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    some = str(sorted((shapes / "val").iterdir())[0])
    images = f'["{some}", "{shapes}/train/*", "{broken}"]'
    assert main(["detection", "predict", "--config", path, "--data.images", images, "--model.output", "found"]) == 0
    assert len(list((tmp_path / "found/pictures").glob("*.png"))) == 9
    results = json.loads((tmp_path / "found/results.json").read_text())
    assert {"image_id", "category_id", "bbox", "score", "segmentation", "file_name"} <= set(results[0])
    assert f"{len(results)} detections" in capsys.readouterr().out


def test_resumed_run_has_the_weights_of_an_uninterrupted_one(shapes, tmp_path, monkeypatch):
    """Two epochs in one go and one epoch resumed for a second end with the same numbers."""
    monkeypatch.chdir(tmp_path)
    path = recipe(shapes, tmp_path)
    fit = ["detection", "fit", "--config", path, "--model.optimizer.lr", "1e-3"]
    assert main([*fit, "--trainer.max_epochs", "2", "--trainer.default_root_dir", "whole"]) == 0
    assert main([*fit, "--trainer.max_epochs", "1", "--trainer.default_root_dir", "parts"]) == 0
    assert main([*fit, "--trainer.max_epochs", "2", "--trainer.default_root_dir", "parts", "--ckpt_path", "last"]) == 0
    whole, parts = (
        torch.load(tmp_path / run / "checkpoints/last.ckpt", weights_only=True) for run in ("whole", "parts")
    )
    assert whole["global_step"] == parts["global_step"] == 4
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][name]), name


def test_recipe_may_leave_the_classes_to_the_data(trained, tmp_path, shapes, monkeypatch):
    """Without `num_classes`, the data says how many in training, the checkpoint where there is no data."""
    path, _ = trained
    assert "num_classes: null" in Path(path).read_text()
    nowhere = ["--data.root", "nowhere", "--data.images", str(shapes / "val")]
    assert main(["detection", "predict", "--config", path, *nowhere]) == 0
    saved = torch.load(tmp_path / "runs/detection/small/checkpoints/last.ckpt", weights_only=True)
    assert len(saved["state_dict"]["model.roi_heads.stages.0.box_predictor.cls_score.bias"]) == 4 + 1


def test_missing_data_is_named_before_anything_is_built(tmp_path, monkeypatch, capsys):
    """A wrong root is a message, not a traceback."""
    monkeypatch.chdir(tmp_path)
    assert main(["detection", "fit", "--config", recipe(tmp_path / "nowhere", tmp_path)]) == 1
    assert "There is no annotation file nowhere" in capsys.readouterr().err.replace(f"{tmp_path}/", "")


def test_model_as_built_predicts_without_names(shapes, tmp_path, monkeypatch):
    """Without a checkpoint there are no class names, but pictures and results."""
    monkeypatch.chdir(tmp_path)
    nothing = ["--ckpt_path", "null", "--model.model.init_args.postprocess.score_threshold", "0"]
    images = ["--data.images", str(shapes / "val")]
    assert main(["detection", "predict", "--config", recipe(shapes, tmp_path, classes=2), *nothing, *images]) == 0
    assert json.loads((tmp_path / "runs/detection/small/predict/results.json").read_text())


def test_data_with_boxes_only(shapes, tmp_path, monkeypatch, capsys):
    """Without segmentations a detector without masks is trained and scored; one with masks says what it lacks."""
    monkeypatch.chdir(tmp_path)
    boxes = tmp_path / "boxes"
    shutil.copytree(shapes, boxes)
    for part in ("train", "val"):
        path = boxes / f"annotations/instances_{part}.json"
        content = json.loads(path.read_text())
        content["annotations"] = [
            {key: value for key, value in annotation.items() if key != "segmentation"}
            for annotation in content["annotations"]
            if not annotation["iscrowd"]
        ]
        path.write_text(json.dumps(content))
    fit = ["detection", "fit", "--config", recipe(boxes, tmp_path)]
    assert main(fit) == 1
    assert "masks" in capsys.readouterr().err
    assert main([*fit, "--model.model.init_args.roi.masks", "false"]) == 0
    said = capsys.readouterr().out
    assert "box   AP" in said and "mask  AP" not in said


def test_validation_data_without_objects(shapes, tmp_path, monkeypatch, capsys):
    """Nothing to find is an error before the first step of a training, not epochs without a figure."""
    monkeypatch.chdir(tmp_path)
    empty = tmp_path / "empty"
    shutil.copytree(shapes, empty)
    path = empty / "annotations/instances_val.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))
    assert main(["detection", "fit", "--config", recipe(empty, tmp_path)]) == 1
    assert "set data.val_annotations to null to train without validation" in capsys.readouterr().err


def test_prediction_of_what_cannot_be_read(trained, tmp_path, capsys):
    """Files that cannot be read are counted beside the results, and an error if there are no others."""
    path, _ = trained
    (tmp_path / "text.png").write_text("no image")
    predict = ["detection", "predict", "--config", path, "--data.images", str(tmp_path / "*.png")]
    assert main(predict) == 1
    assert "None of the images could be read" in capsys.readouterr().err
    cv2.imwrite(str(tmp_path / "good.png"), np.full((30, 40, 3), 90, np.uint8))
    assert main(predict) == 0
    assert "1 of 2 images could not be read" in capsys.readouterr().out


def test_images_smaller_than_a_patch(shapes, tmp_path, trained):
    """A tiny picture, or one that resizing would make thinner than a patch, is predicted like any other."""
    path, _ = trained
    for name, size in {"dot": (1, 1), "line": (2000, 20), "bar": (3, 700)}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((*size, 3), 90, np.uint8))
    assert main(["detection", "predict", "--config", path, "--data.images", str(tmp_path / "*.png")]) == 0
    assert len(list((tmp_path / "runs/detection/small/predict/pictures").iterdir())) == 3


def test_resumed_run_with_workers(shapes, tmp_path, monkeypatch):
    """Processes that load data are at the epoch that the checkpoint left."""
    monkeypatch.chdir(tmp_path)
    fit = ["detection", "fit", "--config", recipe(shapes, tmp_path), "--data.num_workers", "2"]
    assert main([*fit, "--trainer.max_epochs", "2", "--trainer.default_root_dir", "whole"]) == 0
    assert main([*fit, "--trainer.max_epochs", "1", "--trainer.default_root_dir", "parts"]) == 0
    assert main([*fit, "--trainer.max_epochs", "2", "--trainer.default_root_dir", "parts", "--ckpt_path", "last"]) == 0
    whole, parts = (
        torch.load(tmp_path / run / "checkpoints/last.ckpt", weights_only=True) for run in ("whole", "parts")
    )
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][name]), name


def test_classes_of_data_and_model_must_agree(shapes, tmp_path, monkeypatch, capsys):
    """The error names both numbers and the key to change."""
    monkeypatch.chdir(tmp_path)
    assert main(["detection", "fit", "--config", recipe(shapes, tmp_path, classes=7)]) == 1
    said = capsys.readouterr().err
    assert "The data has 4 classes (circle" in said
    assert "the model 7; set model.model.init_args.num_classes to 4" in said


def test_classes_of_checkpoint_and_model_must_agree(trained, tmp_path, shapes, capsys):
    """A checkpoint of other classes is refused, with the way to use it all the same."""
    path, _ = trained
    wrong = ["--model.model.init_args.num_classes", "5", "--data.images", str(shapes / "val")]
    assert main(["detection", "predict", "--config", path, *wrong]) == 1
    assert "The checkpoint has 4 classes (circle" in capsys.readouterr().err


def test_checkpoint_of_another_detector_is_refused(trained, capsys):
    """A cascade does not take the checkpoint of a Mask R-CNN; the message names both ways on."""
    path, _ = trained
    assert main(["detection", "validate", "--config", path, "--model.model", "CascadeMaskRCNN"]) == 1
    said = capsys.readouterr().err
    assert "The checkpoint is not one of this CascadeMaskRCNN" in said and "--model.weights" in said


def test_checkpoint_has_all_weights(trained, capsys):
    """With a checkpoint, what a recipe starts from is not asked for: it may be gone."""
    path, _ = trained
    gone = ["--model.weights", "gone.pth", "--model.class_map", "gone.json"]
    backbone = ["--model.model.init_args.backbone.weights", "gone.pth"]
    assert main(["detection", "validate", "--config", path, *gone, *backbone]) == 0


def test_views_need_roi_heads(shapes, tmp_path, monkeypatch, capsys):
    """A RetinaNet has none to look at several scales with; it says so before anything is computed."""
    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load(Path(recipe(shapes, tmp_path)).read_text())
    backbone = content["model"]["model"]["init_args"]["backbone"] | {"out_indices": [1, 2, 3]}
    content["model"]["model"] = {"class_path": "RetinaNet", "init_args": {"backbone": backbone, "fpn_channels": 8}}
    (tmp_path / "retinanet.yaml").write_text(yaml.safe_dump(content))
    views = ["--config", "retinanet.yaml", "--model.views.short_edges", "[64]", "--ckpt_path", "null"]
    assert main(["detection", "validate", *views]) == 1
    assert "views need a detector with RoI heads" in capsys.readouterr().err


def test_other_checkpoints_are_named_as_such(trained, tmp_path, shapes, capsys):
    """A file without a detector is refused before its tensors are tried."""
    path, _ = trained
    torch.save({"state_dict": {}, "pytorch-lightning_version": "2.5.0"}, tmp_path / "other.ckpt")
    command = ["detection", "validate", "--config", path, "--ckpt_path", "other.ckpt"]
    assert main(command) == 1
    assert "--model.weights" in capsys.readouterr().err


def test_weights_of_another_run_start_a_new_one(trained, tmp_path, shapes):
    """A detector's checkpoint fills all of a detector, and its classifier stays out where the classes differ."""
    weights = str(tmp_path / "runs/detection/small/checkpoints/last.ckpt")
    saved = torch.load(weights, weights_only=True)["state_dict"]
    backbone = BackboneConfig("swinv2_tiny_window8_256", embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])
    small = 8, RPNConfig((8, 16, 32, 64, 128)), RoIConfig(box_head_dim=16, mask_head_dim=8, mask_head_convs=1)
    task = DetectionTask(MaskRCNN(backbone, 4, *small), weights=weights)
    assert all(torch.equal(value, saved[name]) for name, value in task.state_dict().items())
    other = DetectionTask(MaskRCNN(backbone, 9, *small), weights=weights)
    own = other.state_dict()
    kept = [name for name, value in saved.items() if own[name].shape == value.shape and torch.equal(own[name], value)]
    assert {name.split(".")[1] for name in saved if name not in kept} == {"roi_heads"}


def test_class_map_carries_classes_over(trained, tmp_path, shapes, monkeypatch):
    """Rows of the classifier go where the map says; background stays; a class without a counterpart starts anew."""
    path, _ = trained
    renamed = {"circle": "star", "rectangle": None, "star": "circle", "triangle": "triangle"}
    (tmp_path / "map.json").write_text(json.dumps(renamed))
    start = ["--model.weights", "runs/detection/small/checkpoints/last.ckpt", "--model.class_map", "map.json"]
    still = ["--model.optimizer.lr", "1e-30", "--model.optimizer.weight_decay", "0"]
    fit = ["detection", "fit", "--config", path, *still, "--trainer.default_root_dir", "next"]
    saved = torch.load(tmp_path / "runs/detection/small/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert main([*fit, *start]) == 0
    found = torch.load(tmp_path / "next/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    name = "model.roi_heads.stages.0.box_predictor.cls_score.weight"
    torch.testing.assert_close(found[name][[0, 2, 3, 4]], saved[name][[2, 0, 3, 4]])
    assert not torch.isclose(found[name][1], saved[name][1]).any()
    torch.testing.assert_close(found["model.rpn.head.bbox_pred.weight"], saved["model.rpn.head.bbox_pred.weight"])


def test_class_map_must_cover_the_data(trained, tmp_path, capsys):
    """A class of the data that the map lacks is named before training."""
    path, _ = trained
    (tmp_path / "map.json").write_text('{"circle": "star"}')
    start = ["--model.weights", "runs/detection/small/checkpoints/last.ckpt", "--model.class_map", "map.json"]
    assert main(["detection", "fit", "--config", path, *start]) == 1
    assert "does not cover 3 of the 4 classes of the data: 'rectangle'" in capsys.readouterr().err


def test_class_map_needs_weights(trained, capsys):
    """A class map alone is an error."""
    path, _ = trained
    assert main(["detection", "fit", "--config", path, "--model.class_map", "map.json"]) == 1
    assert "give model.weights" in capsys.readouterr().err


def test_semantic_branch_needs_maps(shapes, tmp_path, monkeypatch, capsys):
    """Asked for without a folder of maps, it says which key to set, before training."""
    monkeypatch.chdir(tmp_path)
    branch = ["--model.model", "HybridTaskCascade", "--model.model.init_args.semantic_classes", "5"]
    assert main(["detection", "fit", "--config", recipe(shapes, tmp_path), *branch]) == 1
    assert "name their folder by data.semantic_maps" in capsys.readouterr().err


def test_hybrid_task_cascade_trains_with_semantic_maps(shapes, tmp_path, monkeypatch, capsys):
    """The sample data has the maps that the branch learns from; InstaBoost goes with them."""
    monkeypatch.chdir(tmp_path)
    branch = ["--model.model", "HybridTaskCascade", "--model.model.init_args.semantic_classes", "9"]
    maps = ["--data.semantic_maps", "semantic/train", "--data.instaboost", "{}", "--trainer.log_every_n_steps", "1"]
    assert main(["detection", "fit", "--config", recipe(shapes, tmp_path), *branch, *maps]) == 0
    assert (
        "train/loss_semantic" in (tmp_path / "runs/detection/small/version_0/metrics.csv").read_text().splitlines()[0]
    )


def test_training_learns_a_picture(shapes):
    """A few steps on one batch bring the loss down."""
    backbone = BackboneConfig("swinv2_tiny_window8_256", embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])
    roi = RoIConfig(box_head_dim=32, mask_head_dim=16, mask_head_convs=1, samples=32)
    model = MaskRCNN(backbone, 4, 16, RPNConfig((8, 16, 32, 64, 128)), roi)
    data = CocoData(
        shapes, **LAYOUT, batch_size=4, num_workers=0, short_edge=64, long_edge=64, masks=True, shapes=Shapes(8, 8, 64)
    )
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    losses = []
    for _ in range(25):
        loss = sum(model(*batch).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_task_works_with_a_plain_trainer(shapes, tmp_path):
    """Without the command line: a trainer, the task, the data."""
    backbone = BackboneConfig("swinv2_tiny_window8_256", embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])
    roi = RoIConfig(box_head_dim=16, mask_head_dim=8, mask_head_convs=1)
    task = DetectionTask(MaskRCNN(backbone, 4, 8, RPNConfig((8, 16, 32, 64, 128)), roi), pictures=0)
    data = CocoData(shapes, **LAYOUT, batch_size=4, num_workers=0, short_edge=64, long_edge=64)
    options = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(accelerator="cpu", max_steps=1, default_root_dir=tmp_path, enable_checkpointing=False, **options)
    trainer.fit(task, data)
    assert trainer.callback_metrics["loss"] > 0
    (scores,) = trainer.validate(task, data, verbose=False)
    assert {"box/AP", "mask/AP"} <= set(scores)


def copy_of(shapes, folder):
    """The sample data in a folder of the test, which may be changed."""
    return shutil.copytree(shapes, folder / "data")


def change_annotations(root, split, change):
    """Change the content of an annotation file in place."""
    path = root / f"annotations/instances_{split}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("options", [["--trainer.limit_val_batches", "0"], ["--data.val_annotations", "null"]])
def test_training_without_validation(shapes, tmp_path, monkeypatch, options):
    """Either option trains without validation data, of which nothing need be there; checkpoints are as ever."""
    monkeypatch.chdir(tmp_path)
    root = copy_of(shapes, tmp_path)
    (root / "annotations/instances_val.json").unlink()
    assert main(["detection", "fit", "--config", recipe(root, tmp_path), *options]) == 0
    assert {path.name for path in (tmp_path / "runs/detection/small/checkpoints").iterdir()} == {
        "best.ckpt",
        "last.ckpt",
    }
    assert main(["detection", "validate", "--config", "small.yaml"]) == 1


def test_nothing_to_validate_on(trained, capsys):
    """Validation without data says what to name."""
    assert main(["detection", "validate", "--config", trained[0], "--data.val_annotations", "null"]) == 1
    assert "nothing to validate on; name a COCO file with --data.val_annotations" in capsys.readouterr().err


def test_test_images_have_results_but_no_score(trained, shapes, tmp_path, capsys):
    """A list of images without annotations gives detections under its image ids; a training is refused."""
    root = copy_of(shapes, tmp_path)
    change_annotations(root, "val", lambda content: content.pop("annotations"))
    command = ["--config", trained[0], "--data.root", str(root)]
    threshold = ["--model.model.init_args.postprocess.score_threshold", "0.0"]
    assert main(["detection", "validate", *command, "--model.output", "out", *threshold]) == 0
    said = capsys.readouterr().out
    assert "has no annotations to score by" in said and "AP" not in said.splitlines()[-1]
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert {entry["image_id"] for entry in results} <= set(range(1, 9)) and results
    assert main(["detection", "fit", *command]) == 1
    assert "set data.val_annotations to null to train without validation" in capsys.readouterr().err


def test_ids_of_images_lead_nowhere(shapes, tmp_path, monkeypatch):
    """Pictures stay in the run's folder, whatever the ids are."""
    monkeypatch.chdir(tmp_path)
    root, mark = copy_of(shapes, tmp_path), f"evil_{tmp_path.name}_"

    def rename(content):
        for image in content["images"]:
            image["id"] = f"../../../../../{mark}{image['id']}"
        for annotation in content["annotations"]:
            annotation["image_id"] = f"../../../../../{mark}{annotation['image_id']}"

    change_annotations(root, "val", rename)
    assert main(["detection", "fit", "--config", recipe(root, tmp_path)]) == 0
    run = tmp_path / "runs/detection/small/version_0/pictures"
    found = [*tmp_path.parent.rglob(f"*{mark}*")]
    assert len(found) == 2 and all(run in path.parents for path in found)


def test_unreadable_images_fail_before_the_first_step(shapes, tmp_path, monkeypatch, capsys):
    """Where most images cannot be read, that is said before anything is trained."""
    monkeypatch.chdir(tmp_path)
    root = copy_of(shapes, tmp_path)
    for path in sorted((root / "val").iterdir())[:5]:
        path.write_bytes(b"")
    assert main(["detection", "fit", "--config", recipe(root, tmp_path)]) == 1
    assert "5 of 8 validation images that were tried cannot be used, first" in capsys.readouterr().err
    assert not list((tmp_path / "runs").rglob("*.ckpt"))


def test_settings_of_a_resumed_training_are_those_asked_for(trained, tmp_path, caplog):
    """Another learning rate and decay hold, and the log tells."""
    options = ["--model.optimizer.lr", "1e-5", "--model.optimizer.weight_decay", "0.2", "--trainer.max_epochs", "2"]
    assert main(["detection", "fit", "--config", trained[0], "--ckpt_path", "last", *options]) == 0
    assert "learning rate of lr*1 decay: 0.0001 -> 1e-05, weight decay of lr*1 decay: 0.05 -> 0.2" in caplog.text
    state = torch.load(tmp_path / "runs/detection/small/checkpoints/last.ckpt", weights_only=True)
    (group, *_) = state["optimizer_states"][0]["param_groups"]
    assert (group["lr"], group["weight_decay"]) == (1e-5, 0.2)


def test_settings_that_stay_are_not_told(trained, caplog):
    """Going on without changes says nothing of settings."""
    assert main(["detection", "fit", "--config", trained[0], "--ckpt_path", "last", "--trainer.max_epochs", "2"]) == 0
    assert "other settings" not in caplog.text


def test_other_parameter_groups_are_explained(trained, capsys):
    """Settings that cannot change on the way are named with the way out."""
    fit = ["detection", "fit", "--config", trained[0], "--ckpt_path", "last", "--trainer.max_epochs", "2"]
    assert main([*fit, "--model.optimizer.layer_decay", "0.5"]) == 1
    said = capsys.readouterr().err
    assert "with its parameters in other groups: lr*1 decay (" in said
    assert "start a new training from these weights by --model.weights" in said


def test_schedule_that_does_not_come(trained, caplog):
    """A warm-up and milestones beyond the end are told before the first step."""
    options = ["--model.optimizer.warmup_steps", "1000", "--model.optimizer.milestones", "[27, 33]"]
    assert main(["detection", "fit", "--config", trained[0], *options]) == 0
    assert (
        "The warm-up of 1000 steps is not over when training ends, after 2: the learning rate gets to 0.002"
        in caplog.text
    )
    assert "before the milestones 27.0, 33.0" in caplog.text


@pytest.mark.parametrize("name", ["mAP", "mask/APx"])
def test_early_stopping_on_a_metric_that_never_comes(trained, tmp_path, capsys, name):
    """It is an error before the first step that lists the metrics."""
    stop = f"{{class_path: EarlyStopping, init_args: {{monitor: {name}, mode: max}}}}"
    assert main(["detection", "fit", "--config", trained[0], "--trainer.callbacks", f"[{stop}]"]) == 1
    said = capsys.readouterr().err
    assert f"EarlyStopping watches '{name}', which never comes in this run; its metrics are box/AP, box/AP50" in said


def test_training_that_diverges(trained, tmp_path, capsys):
    """Weights beyond all bounds stop the training before they are saved."""
    options = ["--model.optimizer.lr", "1e30", "--trainer.max_epochs", "9", "--health.most_skipped", "1"]
    assert main(["detection", "fit", "--config", trained[0], *options]) == 1
    assert "not finite" in capsys.readouterr().err
    for path in (tmp_path / "runs").rglob("*.ckpt"):
        values = torch.load(path, weights_only=True)["state_dict"].values()
        assert all(bool(value.isfinite().all()) for value in values if value.is_floating_point())


def test_checkpoint_that_is_not_finite(trained, tmp_path, capsys):
    """A checkpoint of a training that diverged, of whatever program, is not used."""
    path = tmp_path / "runs/detection/small/checkpoints/best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"]["model.backbone.patch_embed.proj.bias"][0] = float("nan")
    torch.save(checkpoint, path)
    assert main(["detection", "validate", "--config", trained[0]]) == 1
    assert "holds NaN or infinity in 1 tensors, first model.backbone.patch_embed.proj.bias" in capsys.readouterr().err


@pytest.mark.parametrize(
    "key", ["data.train_images", "data.root", "model.model.init_args.fpn_channels", "data.batch_size"]
)
def test_empty_keys_are_named(trained, capsys, key):
    """A key that is left empty is an error that names it and the line of the recipe."""
    lines = Path(trained[0]).read_text().splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.strip().startswith(f"{key.split('.')[-1]}:")]
    lines[at] = f"{lines[at].split(':')[0]}:"
    Path(trained[0]).write_text("\n".join(lines))
    with pytest.raises(SystemExit) as stopped:
        main(["detection", "fit", "--config", trained[0]])
    assert stopped.value.code == 2
    assert (
        f"error: {key} is empty; give it a value, or leave it out ({trained[0]}, line {at + 1})"
        in capsys.readouterr().err
    )


def test_own_data_in_place_of_the_sample_data(trained, shapes, tmp_path, capsys):
    """The quickstart's recipe on a folder of one's own says how."""
    root = copy_of(shapes, tmp_path)
    (root / "shapes.json").unlink()
    assert main(["detection", "fit", "--config", trained[0], "--data.root", str(root), "--data.shapes", "{}"]) == 1
    assert "set data.shapes to null (--data.shapes null)" in capsys.readouterr().err
