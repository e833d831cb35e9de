"""What other tasks make of a pre-training, by the real commands."""

import math

import pytest
import torch
import yaml

from swinv2.cli import main
from swinv2.shapes import make_classification, make_detection, make_segmentation

DWARF = {"name": "swinv2_base_window12_192", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
TASKS = {  # a model of the least size, and its data
    "classification": ({"class_path": "ImageClassifier", "init_args": {"backbone": DWARF | {"window_size": 7}}},
                       {"size": 64}),
    "segmentation": ({"class_path": "UPerNet",
                      "init_args": {"backbone": DWARF, "channels": 8, "auxiliary_channels": 8}},
                     {"classes": "objectInfo.txt", "short_edge": 64, "long_edge": 64, "crop_size": 64}),
    "detection": ({"class_path": "MaskRCNN",
                   "init_args": {"backbone": DWARF, "fpn_channels": 8,
                                 "rpn": {"anchor_sizes": [8, 16, 32, 64, 128], "proposals": 20},
                                 "roi": {"box_head_dim": 16, "mask_head_dim": 8, "mask_head_convs": 1}}},
                  {"train_images": "train", "val_images": "val", "short_edge": 64, "long_edge": 64,
                   "train_annotations": "annotations/instances_train.json",
                   "val_annotations": "annotations/instances_val.json"}),
}  # fmt: skip
MAKE = {"classification": make_classification, "segmentation": make_segmentation, "detection": make_detection}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder of the small data of a task."""
    folder = tmp_path_factory.mktemp("shapes")
    return {task: make(folder / task, train=4, val=2, size=64) for task, make in MAKE.items()}


@pytest.fixture(scope="module")
def pretrained(data, tmp_path_factory):
    """The checkpoint of a short pre-training."""
    folder = tmp_path_factory.mktemp("pretraining")
    content = {
        "model": {
            "model": {"class_path": "SimMIM", "init_args": {"backbone": DWARF, "mask_patch_size": 16}},
            "optimizer": {"lr": 1.0e-2},
        },
        "data": {"root": str(data["classification"]), "batch_size": 4, "num_workers": 0, "size": 64, "val": None},
        "trainer": {"max_epochs": 4, "accelerator": "cpu", "enable_progress_bar": False},
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(content))
    recipe = ["--config", str(folder / "small.yaml"), "--trainer.default_root_dir", str(folder)]
    assert main(["simmim", "fit", *recipe]) == 0
    return folder / "checkpoints/last.ckpt"


@pytest.fixture
def one_step(data, tmp_path, monkeypatch):
    """Trains a task for one step without weight decay, and gives the backbone after it."""
    monkeypatch.chdir(tmp_path)

    def run(task, lr, *options):
        model, settings = TASKS[task]
        content = {
            "model": {"model": model, "optimizer": {"lr": lr, "weight_decay": 0.0}},
            "data": {"root": str(data[task]), "batch_size": 4, "num_workers": 0} | settings,
            "trainer": {"max_steps": 1, "accelerator": "cpu", "enable_progress_bar": False},
        }
        (tmp_path / "tuning.yaml").write_text(yaml.safe_dump(content))
        assert main([task, "fit", "--config", "tuning.yaml", *options]) == 0
        return backbone(tmp_path / f"runs/{task}/tuning/checkpoints/last.ckpt")

    return run


def backbone(path):
    """What a checkpoint has of the backbone."""
    state = torch.load(path, weights_only=True)["state_dict"]
    return {key.removeprefix("model.backbone."): value for key, value in state.items() if ".backbone." in key}


def table(window):
    """Relative coordinates of a window as the authors keep them, (1, 2·w - 1, 2·w - 1, 2)."""
    steps = torch.arange(1 - window, window, dtype=torch.float32) * 8 / (window - 1)
    steps = steps.sign() * torch.log2(1 + steps.abs()) / math.log2(8)
    return torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).unsqueeze(0)


def official(path, windows):
    """A checkpoint of ours as the authors' pre-training writes it, with the tables of the windows of its stages."""
    state = {"encoder.mask_token": torch.zeros(1, 1, 8), "decoder.0.weight": torch.zeros(3072, 64, 1, 1)}
    for key, value in backbone(path).items():
        if key != "_extra_state":
            state[f"encoder.{key.replace('norm3.', 'norm.').replace('cpb_mlp', 'rpe_mlp')}"] = value
    for stage, window in enumerate(windows):
        attention = f"encoder.layers.{stage}.blocks.0.attn"
        state[f"{attention}.relative_coords_table"] = table(window)
        state[f"{attention}.relative_position_index"] = torch.zeros(window**2, window**2, dtype=torch.int64)
    return {"model": state, "epoch": 799}


def test_first_step_of_a_classifier_with_layer_decay(pretrained, one_step):
    """It starts at the pre-training's weights, and each layer goes as far from them as its learning rate lets it.

    AdamW's first step is as long as the learning rate, whatever the gradient.
    """
    before = backbone(pretrained)
    after = one_step("classification", 1e-3, "--model.weights", str(pretrained), "--model.optimizer.layer_decay", "0.5")
    layers = {  # from the output
        "norm3.weight": 0,
        "layers.3.blocks.0.norm1.weight": 1,
        "layers.2.blocks.0.norm2.weight": 2,
        "layers.1.downsample.reduction.weight": 3,
        "layers.1.blocks.0.norm1.weight": 3,
        "layers.0.downsample.reduction.weight": 4,
        "patch_embed.proj.weight": 5,
    }
    steps = {name: (after[name] - before[name]).abs().max().item() for name in layers}
    assert steps == pytest.approx({name: 1e-3 * 0.5**layer for name, layer in layers.items()}, rel=0.01)


def test_pretrained_windows_go_into_a_classifier(pretrained, one_step):
    """Its window is another, its position bias stays in units of those of the pre-training."""
    after = one_step("classification", 1e-3, "--model.weights", str(pretrained))
    assert after["_extra_state"].tolist() == [[12, 12], [12, 12], [12, 12], [6, 6]]


@pytest.mark.parametrize("option", ["--model.weights", "--model.model.init_args.backbone.weights"])
@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_detectors_and_segmenters_start_from_a_pretraining(pretrained, one_step, task, option):
    """All of the backbone is that of the checkpoint but the norms of the outputs that it has not."""
    before = backbone(pretrained)
    after = one_step(task, 1e-12, option, str(pretrained))
    assert {*after} - {*before} == {f"norm{i}.{kind}" for i in range(3) for kind in ("weight", "bias")}
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=1e-9, msg=name)


def test_official_pretraining_with_tables_goes_into_a_classifier(pretrained, one_step, tmp_path):
    """Weights have the authors' names; the windows of the pre-training are read from the tables of coordinates."""
    torch.save(official(pretrained, (10, 10, 10, 5)), tmp_path / "official.pth")
    before = backbone(pretrained)
    after = one_step("classification", 1e-12, "--model.weights", "official.pth")
    assert after.pop("_extra_state").tolist() == [[10, 10], [10, 10], [10, 10], [5, 5]]
    assert {*after} == {*before} - {"_extra_state"}
    for name, value in after.items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-9, msg=name)
