"""Every recipe can be run."""

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from torch import nn

from detection import Detector
from segmentation import Segmenter
from swinv2.backbone import Stage
from swinv2.classifier import ImageClassifier
from swinv2.cli import main
from swinv2.shapes import make_classification, make_detection, make_segmentation, make_video
from swinv2.simmim.model import SimMIM
from tests.pretended_gpu import NAME, pretended_gpu
from video.classifier import VideoClassifier

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "configs").rglob("*.yaml"))
IDS = [f"{recipe.parent.name}-{recipe.stem}" for recipe in RECIPES]
SMALL = {"num_workers": 0, "shapes": None}  # of all data
DWARF = {"weights": None, "embed_dim": 8, "depths": [1] * 4, "num_heads": [1, 2, 4, 8]}  # of all backbones

Part = dict[str, Any]  # of a recipe


@dataclass(frozen=True)
class Task:
    """How the recipes of a task become small.

    Attributes:
        model: base class of its models.
        make: makes a few small pictures or clips in a folder.
        data: a recipe to what its data become, on the spot.
        heads: a recipe to what its heads become.
        metric: in which a validation ends.
        classes: how many its models are built with in full; none for what learns without labels.
    """

    model: type[nn.Module]
    make: Callable[[Path], Path]
    data: Callable[[Part], Part]
    heads: Callable[[Part], Part]
    metric: str
    classes: int | None = 80


def make_coco(folder):
    """A few pictures of four classes, under the names that COCO has."""
    make_detection(folder, train=8, val=8, size=64)
    annotations = folder / "annotations"
    for part in ("train", "val"):
        (folder / part).rename(folder / f"{part}2017")
        (annotations / f"instances_{part}.json").rename(annotations / f"instances_{part}2017.json")
    return folder


def coco(recipe):
    """The folders and files of `make_coco`, and semantic maps where a recipe has any."""
    folders = {f"{part}_images": f"{part}2017" for part in ("train", "val")}
    annotations = {f"{part}_annotations": f"annotations/instances_{part}2017.json" for part in ("train", "val")}
    more = {"crop_size": 64, "semantic_maps": "semantic/train"}
    given = {key: value for key, value in more.items() if key in recipe["data"]}
    sizes = dict.fromkeys(("short_edge", "val_short_edge", "long_edge"), 64)
    return {"batch_size": 1} | folders | annotations | sizes | given


def detection_heads(recipe):
    """Heads of few channels, whichever the detector has."""
    given = recipe["model"]["model"]
    ours = {"rpn": {"proposals": 50}, "roi": {"samples": 16, "box_head_dim": 64, "mask_head_dim": 16}}
    attention = {"global_attention_heads": 8} if "global_attention_heads" in given["init_args"] else {}
    heads = {} if given["class_path"] in ("FasterRCNN", "RetinaNet") else ours
    return {"fpn_channels": 32, **heads, **attention}


def make_ade20k(folder):
    """A few pictures of a few classes, in ADE20K's folders."""
    return make_segmentation(folder, train=8, val=8, size=64)


def ade20k(recipe):
    """The folders of `make_ade20k`; batch norm needs two pictures."""
    folders = {
        f"{part}_{kind}": f"{folder}/{split}"
        for part, split in (("train", "training"), ("val", "validation"))
        for kind, folder in (("images", "images"), ("maps", "annotations"))
    }
    classes = {"classes": "objectInfo.txt", "reduce_zero_label": True}
    sizes = dict.fromkeys(("short_edge", "long_edge", "crop_size", "val_short_edge", "val_long_edge"), 64)
    return {"batch_size": 2} | folders | classes | sizes


def segmentation_heads(recipe):
    """Heads of few channels, whichever the segmenter has."""
    more = {"UPerNet": "auxiliary_channels", "SemanticFPN": "fpn_channels"}
    return {"channels": 16, more[recipe["model"]["model"]["class_path"]]: 16}


def make_kinetics(folder):
    """A few clips of four motions, in lists as for Kinetics."""
    return make_video(folder, train=4, val=2, size=32)


def kinetics(recipe):
    """The lists of `make_kinetics`, in which videos are named by their paths."""
    lists = {"train": "train.txt", "val": "val.txt", "train_videos": ".", "val_videos": ".", "classes": "classes.txt"}
    return {"batch_size": 2, "frames": 4, "size": 32, "short_edge": 32} | lists


def make_imagenet(folder):
    """A few pictures of four classes, in class folders."""
    return make_classification(folder, train=8, val=8, size=64)


def imagenet(recipe):
    """The folders of `make_imagenet` have the names by default; two pictures can be mixed."""
    return {"batch_size": 2, "size": 64}


def unlabelled(recipe):
    """Likewise; a recipe may be without validation, which is wanted here."""
    return imagenet(recipe) | {"val": "val"}


def linear_head(recipe):
    """A linear layer is small as it is."""
    return {}


TASKS = {
    "detection": Task(Detector, make_coco, coco, detection_heads, "box/AP"),
    "segmentation": Task(Segmenter, make_ade20k, ade20k, segmentation_heads, "mIoU"),
    "video": Task(VideoClassifier, make_kinetics, kinetics, linear_head, "top1"),
    "classification": Task(ImageClassifier, make_imagenet, imagenet, linear_head, "top1"),
    "simmim": Task(SimMIM, make_imagenet, unlabelled, linear_head, "val_loss", classes=None),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A task's name to the folder of its data, which are made at first use."""
    return cache(lambda name: TASKS[name].make(tmp_path_factory.mktemp(name) / "shapes"))


def head(recipe):
    """The comment at the beginning of a recipe."""
    return "".join(line for line in recipe.read_text().splitlines(keepends=True) if line.startswith("#"))


def commands():
    """Every command in the comment of every recipe; the lines after its first are indented by four more."""
    pattern = re.compile(r"^#   swinv2 (.+(?:\n#       .+)*)", re.MULTILINE)
    return [
        pytest.param(command.replace("\n#", " "), id=f"{name}-{i}")
        for name, recipe in zip(IDS, RECIPES, strict=True)
        for i, command in enumerate(pattern.findall(head(recipe)))
    ]


@pytest.mark.parametrize("recipe", RECIPES, ids=IDS)
def test_recipe_builds_in_full(recipe):
    """The model that it describes, of 80 classes if of any, in its true size, but without memory and weights."""
    task = TASKS[recipe.parent.name]
    model = yaml.safe_load(recipe.read_text())["model"]["model"]
    settings = model.get("init_args", model)  # a recipe may leave the class out where there is only one
    settings["backbone"]["weights"] = None
    settings |= {} if task.classes is None else {"num_classes": task.classes}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=task.model)
    with torch.device("meta"):
        built = parser.instantiate(parser.parse_object({"model": model})).model
    assert getattr(built, "num_classes", None) == task.classes
    assert kept_by_evaluation(built.eval()) <= 2**30


@torch.no_grad()
def kept_by_evaluation(model):
    """Bytes of the position biases that blocks keep when they have seen whole windows; some recipes' have 100 GiB."""
    kept = []
    for stage in [module for module in model.modules() if isinstance(module, Stage)]:
        for attn in [block.attn for block in stage.blocks]:
            attn.derived().biases(attn.cpb_mlp, [stage.window], attn.trained_window, None)
            ((_, table, pairs),) = attn.derived()._values.values()
            kept += [tensor.nbytes for tensor in (table, *pairs.values())]
    assert kept
    return sum(kept)


def settings_of(content: Part, path: str = "") -> Iterator[str]:
    """Names of all settings of a recipe."""
    for key, value in content.items():
        yield from settings_of(value, f"{path}.{key}") if isinstance(value, dict) else [f"{path}.{key}"]


def first_of_kind() -> list[Path]:
    """Recipes without quickstarts, and without those that set what an earlier one does: they differ in sizes only."""
    kinds: dict[Any, Path] = {}
    for recipe in RECIPES:
        content = yaml.safe_load(recipe.read_text())
        settings = frozenset(settings_of({key: content[key] for key in ("model", "data")}))
        kinds.setdefault((recipe.parent, content["model"]["model"].get("class_path"), settings), recipe)
    return [recipe for recipe in kinds.values() if recipe.stem != "quickstart"]


ON_GPU = first_of_kind()


@pytest.mark.parametrize("recipe", RECIPES, ids=IDS)
def test_recipe_runs_two_steps(recipe, made, tmp_path, monkeypatch):
    """Built, trained for two steps, scored: with small made data, without weights from elsewhere, on the CPU.

    The first of its kind runs on a pretended GPU, where no tensors of both devices meet, nor double precision is used.
    """
    monkeypatch.chdir(tmp_path)
    device = {"accelerator": NAME, "strategy": NAME} if recipe in ON_GPU else {"accelerator": "cpu"}
    name = recipe.parent.name
    task, content = TASKS[name], yaml.safe_load(recipe.read_text())
    weights = {key: None for key in ("weights", "class_map", "head_rows") if key in content["model"]}
    model = {"backbone": DWARF} | ({} if task.classes is None else {"num_classes": None}) | task.heads(content)
    changes = {
        "data": {"root": str(made(name))} | SMALL | task.data(content),
        "model": weights | {"model": {"init_args": model}},
        "trainer": {
            "max_steps": 2,
            **device,
            "check_val_every_n_epoch": None,
            "val_check_interval": 2,
            "limit_val_batches": 1,
            "enable_progress_bar": False,
        },
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(changes))
    command = [name, "fit", "--config", str(recipe), "--config", "small.yaml", "--trainer.default_root_dir", "run"]
    with pretended_gpu() if recipe in ON_GPU else nullcontext() as record:
        assert main([*command, "--trainer.enable_checkpointing", "false"]) == 0
    assert record is None or not (record.host_only or record.float64)
    rows = (tmp_path / "run/version_0/metrics.csv").read_text()
    assert task.metric in rows.splitlines()[0].split(",")


@pytest.mark.parametrize("recipe", RECIPES, ids=IDS)
def test_recipe_says_where_it_comes_from(recipe):
    """What it reproduces, the command to run it, the score to expect, and what is assumed."""
    text = head(recipe)
    assert f"swinv2 {recipe.parent.name} fit --config {recipe.relative_to(ROOT)}" in text
    assert re.search(r"(Published|Expected): (–|.*\d\.\d)", text) and "TO MEASURE" not in text
    assert "assumed:" in text or recipe.stem == "quickstart"


@pytest.mark.parametrize("command", commands())
def test_commands_of_recipes_are_accepted(command, monkeypatch, capsys):
    """Each command in the comment of a recipe is understood."""
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stopped:
        main([*shlex.split(command), "--print_config"])
    assert stopped.value.code == 0, capsys.readouterr().err
