"""`swinv2 plan` on every recipe, and its figures against those of the papers."""

import io
import re
import shlex
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest

from swinv2.cli import main
from swinv2.commands import plan
from swinv2.commands import plan_report as plan_text
from swinv2.commands.models import Cost

ROOT = Path(__file__).parents[3]
RECIPES = sorted(f"{path.parent.name}/{path.stem}" for path in (ROOT / "configs").rglob("*.yaml"))


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """There are no data, so that they are as large as published."""
    monkeypatch.chdir(tmp_path)


def hardware(recipe):
    """The options of the first command in the comment of a recipe: how many devices and nodes it wants."""
    command = re.search(r"^#   swinv2 \w+ fit --config \S+(.*(?:\n#       .+)*)", recipe.read_text(), re.MULTILINE)
    return shlex.split(command[1].replace("\n#", " "))


def planned(name, *options):
    """The plan of a recipe on the hardware that it wants, as a table, and what was built that it does not say."""
    recipe = ROOT / "configs" / f"{name}.yaml"
    with redirect_stdout(io.StringIO()) as out, patch.object(plan, "describe", wraps=plan_text.describe) as described:
        assert main(["plan", str(recipe), *hardware(recipe), *options]) == 0
    lines = out.getvalue().splitlines()
    texts = {line[:15].strip(): line[15:] for line in lines if line[:15].strip()}
    rates = {line[15:30].strip(): line.split("lr ")[1] for line in lines if not line[:15].strip()}
    return texts | rates | settings(*described.call_args.args)


def settings(_, config, task, size, length):
    """Figures of what was built."""
    optimizer = task.optimizer_config
    return {
        "items": length.items_per_step,
        "epochs": length.epochs,
        "steps": length.total_steps,
        "milestones": [*optimizer.milestones],
        "weight decay": optimizer.weight_decay,
        "layer decay": optimizer.layer_decay,
        "backbone": optimizer.backbone_lr_scale,
        "drop path": config.model.model.init_args.backbone.drop_path_rate,
        "clip": config.trainer.gradient_clip_val or 0,
    }


@pytest.fixture
def uncounted(monkeypatch):
    """Multiply-adds, the slow part, are not counted."""
    monkeypatch.setattr(plan_text, "cost", lambda model, *shape: Cost(0, 0, 0))


known = cache(planned)  # plans without options are made once; to be used with `uncounted`


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_planned(name, uncounted, tmp_path):
    """Built in full without memory, with a schedule that goes to its end; nothing is written."""
    found = known(name)
    assert re.fullmatch(r"[\d,.]+ epochs of [\d,]+ steps = [\d,]+ steps", found["length"])
    assert found["batch"].endswith(f" = {found['items']:,} a step")
    assert found["parameters"] and found["last"]
    assert [*tmp_path.iterdir()] == []


# What papers and public configurations state of each recipe, worked by hand; what they do not state is left out.
RELEASE = {"weight decay": 0.05, "layer decay": 1, "backbone": 1, "clip": 5}  # the authors' code
IMAGENET1K = RELEASE | {  # A1.1; 5e-4, 5e-7 and 5e-6 for 512 images
    "items": 1024,
    "length": "300 epochs of 1,251 steps = 375,300 steps",
    "warm-up": "25,020 steps = 20 epochs",
    "start": 1e-6, "after warm-up": 1e-3, "last": 1e-5,
}  # fmt: skip
IMAGENET22K = RELEASE | {  # A2.1; 1.25e-4 for 512 images
    "items": 4096,
    "length": "90 epochs of 3,466 steps = 311,940 steps",
    "warm-up": "17,330 steps = 5 epochs",
    "start": 1e-6, "after warm-up": 1e-3, "last": 1e-5,
    "weight decay": 0.1, "drop path": 0.2,
}  # fmt: skip
FINE_TUNING = RELEASE | {  # A2.1; 2e-5, 2e-8 and 2e-7 for 512 images
    "items": 1024,
    "length": "30 epochs of 1,251 steps = 37,530 steps",
    "warm-up": "6,255 steps = 5 epochs",
    "start": 4e-8, "after warm-up": 4e-5, "last": 4e-7,
    "weight decay": 1e-8, "drop path": 0.2,
}  # fmt: skip
GIANT = {"weight decay": 0.1, "clip": 100}  # A2.2, ImageNet
COCO = {  # A1.2; falls and drop path are those of the authors' Swin V1
    "items": 16,
    "length": "36 epochs of 7,330 steps = 263,880 steps",
    "after warm-up": 1e-4, "last": 1e-6, "milestones": [27, 33],
    "weight decay": 0.05,
}  # fmt: skip
HTCPP = {  # A2.1
    "items": 64,
    "length": "36 epochs of 1,833 steps = 65,988 steps",
    "after warm-up": 4e-4,
    "weight decay": 0.05, "backbone": 0.1,
}  # fmt: skip
ADE = {  # A1.2
    "items": 16,
    "length": "126.7 epochs of 1,263 steps = 160,000 steps",
    "warm-up": "1,500 steps = 1.2 epochs",
    "after warm-up": 4e-5, "last": 0,
    "weight decay": 0.05, "layer decay": 0.95, "drop path": 0.3,
}  # fmt: skip
ADE_640 = {  # A2.1
    "items": 64,
    "length": "126.6 epochs of 316 steps = 40,000 steps",
    "warm-up": "375 steps = 1.2 epochs",
    "after warm-up": 6e-5, "last": 0,
    "weight decay": 0.05, "drop path": 0.3,
}  # fmt: skip
VIDEO_SWIN = {  # its released configurations
    "items": 512,
    "length": "30 epochs of 470 steps = 14,100 steps",
    "warm-up": "1,175 steps = 2.5 epochs",
    "after warm-up": 1e-3, "last": 0,
    "backbone": 0.1,
}  # fmt: skip
FIGURES = {
    **{f"classification/imagenet1k_swinv2_{size}_window{window}_256": IMAGENET1K | {"drop path": drop_path}
       for size, drop_path in {"tiny": 0.2, "small": 0.3, "base": 0.5}.items() for window in (8, 16)},
    **{f"classification/imagenet22k_swinv2_{size}_window12_192": IMAGENET22K for size in ("base", "large")},
    **{f"classification/imagenet22kto1k_swinv2_{size}_{window}": FINE_TUNING
       for size in ("base", "large") for window in ("window12to16_192to256", "window12to24_192to384")},
    "classification/imagenet1k_swinv2_tiny_window8to12_256to384":
        {"epochs": 30, "after warm-up": 4e-5, "weight decay": 1e-8, "drop path": 0.2},
    "classification/imagenet22kext_swinv2_giant_window12_192": GIANT | {
        "items": 9216, "length": "30 epochs of 7,596 steps = 227,880 steps", "warm-up": "20,000 steps = 2.6 epochs",
        "after warm-up": 1.4e-3, "layer decay": 0.87, "drop path": 0.3,
    },
    "classification/imagenet1k_swinv2_giant_window12to40_192to640": GIANT | {
        "items": 576, "length": "10 epochs of 2,224 steps = 22,240 steps", "warm-up": "4,448 steps = 2 epochs",
        "after warm-up": 2.1e-5, "drop path": 0.5,
    },
    "classification/simmim_swinv2_base_224_ft": RELEASE | {  # 1.25e-3 and 2.5e-7 for 512 images
        "items": 2048, "length": "100 epochs of 625 steps = 62,500 steps", "warm-up": "12,500 steps = 20 epochs",
        "start": 1e-6, "after warm-up": 5e-3, "last": 1e-6, "layer decay": 0.75, "drop path": 0.1,
    },
    "simmim/simmim_swinv2_base_192": RELEASE | {  # 1e-4 and 5e-7 for 512 images
        "items": 2048, "length": "800 epochs of 625 steps = 500,000 steps", "warm-up": "6,250 steps = 10 epochs",
        "start": 2e-6, "after warm-up": 4e-4, "last": 4e-5, "milestones": [700], "drop path": 0.1,
    },
    "simmim/simmim_swinv2_giant_192": GIANT | {
        "items": 9216, "length": "20 epochs of 7,596 steps = 151,920 steps", "warm-up": "30,000 steps = 3.9 epochs",
        "after warm-up": 1.4e-3,
    },
    **{f"detection/{head}_rcnn_swinv2_{size}_coco": COCO | {"drop path": drop_path}
       for head in ("mask", "cascade_mask") for size, drop_path in {"tiny": 0.2, "small": 0.2, "base": 0.3}.items()},
    **{f"detection/{head}_swinv2_tiny_coco": COCO | {"drop path": 0.2} for head in ("faster_rcnn", "retinanet")},
    **{f"detection/htcpp_swinv2_{size}_coco": HTCPP for size in ("base", "large")},
    "detection/htcpp_swinv2_giant_coco": {
        "items": 96, "length": "36.8 epochs of 1,222 steps = 45,000 steps",
        "after warm-up": 6e-4, "weight decay": 0.05,
    },
    "detection/htcpp_swinv2_giant_objects365": {
        "items": 96, "steps": 67_500, "seen": "6,480,000 with repetition",
        "after warm-up": 1.2e-3, "weight decay": 0.05,
    },
    **{f"segmentation/upernet_swinv2_{size}_ade20k": ADE for size in ("tiny", "small", "base")},
    **{f"segmentation/upernet_swinv2_{size}_ade20k_640": ADE_640 for size in ("base", "large")},
    "segmentation/upernet_swinv2_giant_ade20k_640": ADE_640 | {
        "items": 32, "length": "126.6 epochs of 632 steps = 80,000 steps", "warm-up": "750 steps = 1.2 epochs",
        "after warm-up": 4e-5, "drop path": 0.4,
    },
    "segmentation/upernet_swinv2_tiny_coco_stuff": ADE | {
        "length": "21.6 epochs of 7,393 steps = 160,000 steps", "warm-up": "1,500 steps = 0.2 epochs",
    },
    "segmentation/semantic_fpn_swinv2_tiny_ade20k": {"items": 16, "steps": 80_000, "after warm-up": 1e-4},  # of PVT
    "video/kinetics400_swinv2_tiny": VIDEO_SWIN | {
        "items": 256, "length": "30 epochs of 940 steps = 28,200 steps", "warm-up": "2,350 steps = 2.5 epochs",
        "weight decay": 0.02, "drop path": 0.1,
    },
    "video/kinetics400_swinv2_small": VIDEO_SWIN | {"weight decay": 0.02, "drop path": 0.1},
    "video/kinetics400_swinv2_base": VIDEO_SWIN | {"weight decay": 0.05, "drop path": 0.3},
    "video/something_something_swinv2_base": VIDEO_SWIN | {
        "length": "60 epochs of 330 steps = 19,800 steps", "warm-up": "825 steps = 2.5 epochs",
        "after warm-up": 3e-4, "weight decay": 0.05, "drop path": 0.4,
    },
    "video/kinetics400_swinv2_giant_256": {
        "items": 80, "length": "20 epochs of 3,006 steps = 60,120 steps", "warm-up": "7,515 steps = 2.5 epochs",
        "after warm-up": 3.6e-4, "weight decay": 0.1,
    },
    "video/kinetics400_swinv2_giant_320": {
        "items": 64, "length": "5 epochs of 3,757 steps = 18,785 steps", "warm-up": "3,757 steps = 1 epochs",
        "after warm-up": 5e-5, "weight decay": 0.1,
    },
}  # fmt: skip


def test_every_recipe_has_figures():
    """But for the first looks, which nobody has published."""
    assert {*FIGURES} == {name for name in RECIPES if not name.endswith("/quickstart")}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_those_of_the_papers(name, uncounted):
    """Items a step, length, warm-up, learning rates, falls, decay, drop path, clipping, worked by hand."""
    found = known(name)
    for key, value in FIGURES[name].items():
        if isinstance(value, str | list):
            assert found[key] == value, key
        else:
            assert float(found[key]) == pytest.approx(value, rel=1e-3, abs=2e-9), key  # what falls to 0 ends before it


def test_learning_rate_over_the_training(uncounted):
    """Cosine from 1e-3 to 1e-5 after the warm-up from 1e-6, as in the authors' code."""
    found = known("classification/imagenet1k_swinv2_tiny_window8_256")
    rates = [float(found[place]) for place in ("start", "after warm-up", "25 %", "50 %", "75 %", "last")]
    assert rates == pytest.approx([1e-6, 1e-3, 9.087e-4, 5.604e-4, 1.752e-4, 1e-5], rel=1e-3)


def test_falls_of_the_learning_rate(uncounted):
    """3/4 and 11/12 of 45 000 steps."""
    found = known("detection/htcpp_swinv2_giant_coco")
    assert found["schedule"] == "multistep, a tenth from step 33,727 (epoch 27.6), step 41,304 (epoch 33.8)"
    assert (found["75 %"], found["last"]) == ("6e-05", "6e-06")


def test_parameters_and_multiply_adds_of_a_classifier():
    """The released tiny model's, in both conventions."""
    found = planned("classification/imagenet1k_swinv2_tiny_window8_256")
    assert found["parameters"].startswith("28.35 M: backbone 27.58 M, heads 0.77 M; trained 28.35 M, frozen 0.00 M")
    assert found["multiply-adds"].startswith("5.93 G as the authors count, 4.35 G as the mm- tables")


def test_detectors_are_counted_without_heads():
    """What heads do depends on what is found; the quickstart's images are 96 x 96 pixels."""
    found = planned("detection/quickstart")
    assert found["multiply-adds"].endswith("for one input of 96 x 96; the backbone only")


def test_the_giants_memory_is_that_of_the_paper(uncounted):
    """3 billion parameters, 16 bytes each: 48 GB (section 3.5)."""
    assert known("video/kinetics400_swinv2_giant_256")["memory"].startswith("47.99 GB")


def test_layer_decay_makes_groups(uncounted):
    """Layers 0 to 51 of the giant, decaying and not; the first learns at 0.87^51 of the full rate."""
    found = known("classification/imagenet22kext_swinv2_giant_window12_192")
    assert found["optimizer"].startswith("AdamW, 104 groups, lr 1.152e-06 to 0.0014; weight decay 0.1 on ")


def test_frozen_parameters_are_told_apart(uncounted):
    """The patch embedding and the first stage do not train."""
    frozen = "--model.model.init_args.backbone.frozen_stages"
    found = planned("classification/imagenet1k_swinv2_tiny_window8_256", frozen, "1")
    assert found["parameters"].endswith("trained 28.04 M, frozen 0.31 M")


def test_options_of_fit_and_items(uncounted):
    """What fit takes changes the plan, and the size of the data can be said."""
    found = planned("detection/mask_rcnn_swinv2_tiny_coco", "--items", "1000", "--data.batch_size", "5")
    assert found["data"] == "1,000 to train on (given by --items)"
    assert found["batch"].endswith("= 40 a step")
    assert found["length"] == "36 epochs of 25 steps = 900 steps"


def test_data_that_is_there_is_counted(uncounted, tmp_path):
    """Six images of four classes, in the folder that the recipe means."""
    assert main(["shapes", "data", "--tasks", "classification", "--train", "6", "--val", "4", "--size", "32"]) == 0
    name = "classification/imagenet1k_swinv2_tiny_window8_256"
    found = planned(name, "--data.root", "data/classification", "--trainer.devices", "1")
    assert found["data"] == "6 to train on (found in data/classification)"


def test_recipe_of_no_task(tmp_path, capsys):
    """A recipe in a folder of another name needs its task said."""
    (tmp_path / "mine.yaml").write_text("")
    assert main(["plan", "mine.yaml"]) == 1
    assert "say it by `swinv2 TASK plan --config mine.yaml`" in capsys.readouterr().err


def test_missing_recipe(capsys):
    """The message has the path, and the recipe that is named most like it."""
    assert main(["plan", "configs/detection/quickstrat.yaml"]) == 1
    said = capsys.readouterr().err
    assert "there is no recipe configs/detection/quickstrat.yaml: " in said
    assert "did you mean 'detection/quickstart'?" in said


def test_recipe_by_its_name(capsys):
    """A name stands for a recipe that comes with swinv2, and its folder for the task."""
    assert main(["plan", "simmim/quickstart", "--items", "64"]) == 0
    assert "64 to train on" in capsys.readouterr().out


def test_unknown_data(capsys):
    """Without data, known name or --items there is nothing to plan with."""
    recipe = ROOT / "configs/detection/mask_rcnn_swinv2_tiny_coco.yaml"
    options = ["--data.root", "data/mine", "--model.model.init_args.num_classes", "3"]
    assert main(["plan", str(recipe), *options]) == 1
    assert "Say it by --items N" in capsys.readouterr().err


def test_wrong_option_is_explained(capsys):
    """As by fit: exit code 2, and the nearest key."""
    with pytest.raises(SystemExit) as stopped:
        main(["plan", str(ROOT / "configs/detection/quickstart.yaml"), "--data.batch_sise", "3"])
    assert stopped.value.code == 2
    assert "did you mean 'data.batch_size'?" in capsys.readouterr().err
