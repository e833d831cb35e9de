"""Training of every task, killed in mid-epoch by both signals, ends with the weights of a run that was not."""

import signal

import pytest
import torch
import yaml

from swinv2.cli import main
from swinv2.shapes import make_classification, make_detection, make_segmentation, make_video

BACKBONE = {"name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
BACKBONE |= {"drop_path_rate": 0.2}
EPOCHS, STEPS, BATCHES = 3, 4, 8  # each step of the optimizer has the gradients of two batches
TRAINER = {
    "accelerator": "cpu", "accumulate_grad_batches": 2, "gradient_clip_val": 1.0, "limit_val_batches": 1,
    "enable_progress_bar": False, "enable_model_summary": False, "logger": False,
}  # fmt: skip
OPTIMIZER = {"lr": 1.0e-3, "schedule": "cosine", "warmup_steps": 4}
KILL = """
import os
from swinv2.cli import main
from swinv2.training.samplers import SeededEpochs

start = SeededEpochs.on_train_batch_start

def start_and_kill(self, trainer, task, batch, index):
    start(self, trainer, task, batch, index)
    if (trainer.current_epoch, index) == {place}:
        os.killpg(0, {number})  # all processes that load, too

SeededEpochs.on_train_batch_start = start_and_kill
raise SystemExit(main({command}))
"""


def detector():
    """A detector of the least size, and settings of its data."""
    model = {
        "backbone": BACKBONE, "num_classes": None, "fpn_channels": 8,
        "rpn": {"anchor_sizes": [4, 8, 16, 32, 64], "candidates": [50, 50], "proposals": 20},
        "roi": {"box_head_dim": 16, "mask_head_dim": 8, "mask_head_convs": 1, "samples": 16},
    }  # fmt: skip
    data = {
        "train_images": "train", "val_images": "val", "train_annotations": "annotations/instances_train.json",
        "val_annotations": "annotations/instances_val.json", "short_edge": [24, 32], "long_edge": 40,
    }  # fmt: skip
    return {"class_path": "MaskRCNN", "init_args": model}, data, {"max_epochs": EPOCHS}


def classifier():
    """All that the recipes for ImageNet do to images, and averaged weights."""
    data = {"size": 32, "rand_augment": [9.0, 0.5], "erasing": 0.25, "mixup_alpha": 0.8, "cutmix_alpha": 1.0}
    average = {"class_path": "EMAWeightAveraging", "init_args": {"decay": 0.7}}
    trainer = {"max_epochs": EPOCHS, "callbacks": [average]}
    return {"backbone": BACKBONE, "num_classes": None}, {**data, "num_workers": 2}, trainer


def pretraining():
    """Hidden patches."""
    model = {"backbone": BACKBONE, "mask_patch_size": 8, "norm_patch_size": 5}
    return {"class_path": "SimMIM", "init_args": model}, {"size": 32}, {"max_epochs": EPOCHS}


def segmenter():
    """With statistics of batches, and as many steps instead of epochs, scored within these."""
    model = {"backbone": BACKBONE, "num_classes": None, "channels": 8, "auxiliary_channels": 8}
    edges = dict.fromkeys(("short_edge", "long_edge", "crop_size", "val_short_edge", "val_long_edge"), 32)
    trainer = {"max_steps": EPOCHS * STEPS, "val_check_interval": 6, "check_val_every_n_epoch": None}
    return {"class_path": "UPerNet", "init_args": model}, {"classes": "objectInfo.txt", **edges}, trainer


def video_classifier():
    """Clips, changed and mixed like images."""
    model = {"backbone": {**BACKBONE, "window_size": [2, 4, 4]}, "num_classes": None}
    data = {"frames": 4, "size": 32, "short_edge": 32, "rand_augment": [2, 9], "mixup_alpha": 0.8, "num_workers": 2}
    return {"class_path": "VideoClassifier", "init_args": model}, data, {"max_epochs": EPOCHS}


TASKS = {
    "classification": (make_classification, classifier),
    "detection": (make_detection, detector),
    "segmentation": (make_segmentation, segmenter),
    "simmim": (make_classification, pretraining),
    "video": (make_video, video_classifier),
}


@pytest.fixture
def fit(request, tmp_path, monkeypatch):
    """The command that trains a model of the least size, in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    make, settings = TASKS[request.param]
    model, data, trainer = settings()
    make(tmp_path / "shapes", train=2 * BATCHES, val=2, size=32)
    recipe = {
        "model": {"model": model, "optimizer": OPTIMIZER},
        "data": {"root": "shapes", "batch_size": 2, "num_workers": 0, **data},
        "trainer": TRAINER | trainer,
        "last_checkpoint": {"every_n_train_steps": 2},
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(recipe))
    return [request.param, "fit", "--config", "small.yaml", "--trainer.default_root_dir"]


@pytest.fixture
def killed(run_code):
    """Runs a command until a signal comes in a batch; its exit code and what it says."""

    def run(command, number, epoch, batch):
        (code,), said = run_code(KILL.format(command=command, place=(epoch, batch), number=int(number)))
        return code, said

    return run


def last(folder):
    """The last checkpoint of a run."""
    return torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)


@pytest.mark.parametrize("fit", TASKS, indirect=True)
def test_killed_run_ends_with_the_weights_of_an_uninterrupted_one(fit, killed):
    """SIGTERM loses nothing, SIGKILL what is later than the checkpoint; both go on in the middle of an epoch."""
    code, said = killed([*fit, "parts"], signal.SIGTERM, 1, 4)
    assert code == 128 + signal.SIGTERM, said
    assert "To go on, give the same command with --ckpt_path last." in said
    assert last("parts")["global_step"] == STEPS + 3
    resumed = [*fit, "parts", "--ckpt_path", "last"]
    code, said = killed(resumed, signal.SIGKILL, 2, 6)
    assert code == -signal.SIGKILL, said
    assert last("parts")["global_step"] == 2 * STEPS + 2
    assert main(resumed) == 0
    assert main([*fit, "whole"]) == 0
    parts, whole = last("parts"), last("whole")
    assert parts["global_step"] == whole["global_step"] == EPOCHS * STEPS
    for part in {"state_dict", "current_model_state", "averaging_state"} & whole.keys():
        torch.testing.assert_close(parts[part], whole[part], rtol=0, atol=0, equal_nan=True)
    states = [checkpoint["optimizer_states"][0]["state"] for checkpoint in (parts, whole)]
    torch.testing.assert_close(*states, rtol=0, atol=0)
