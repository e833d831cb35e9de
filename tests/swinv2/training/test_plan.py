"""`swinv2 plan` on every recipe, and its figures against those of the papers."""

import io
import re
import shlex
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import pytest

from swinv2.cli import main
from swinv2.tables import Cost
from swinv2.training import plan_text

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
    """The plan of a recipe on the hardware that it wants, as a table."""
    recipe = ROOT / "configs" / f"{name}.yaml"
    with redirect_stdout(io.StringIO()) as out:
        assert main(["plan", str(recipe), *hardware(recipe), *options]) == 0
    lines = out.getvalue().splitlines()
    return {line[:15].strip(): line[15:] for line in lines if line[:15].strip()} | {
        line[15:30].strip(): line.split("lr ")[1] for line in lines if not line[:15].strip()
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
    assert found["parameters"] and found["last"]
    assert [*tmp_path.iterdir()] == []


IMAGENET1K = "1,024 a step", "300 epochs of 1,251 steps = 375,300 steps", "25,020 steps = 20 epochs"
IMAGENET22K = "4,096 a step", "90 epochs of 3,466 steps = 311,940 steps", "17,330 steps = 5 epochs"
FINE_TUNING = "1,024 a step", "30 epochs of 1,251 steps = 37,530 steps", "6,255 steps = 5 epochs"
ADE = "16 a step", "126.7 epochs of 1,263 steps = 160,000 steps", "1,500 steps = 1.2 epochs"
ADE_640 = "64 a step", "126.6 epochs of 316 steps = 40,000 steps", "375 steps = 1.2 epochs"
FIGURES = {  # items a step, length, warm-up
    **{f"classification/imagenet1k_swinv2_{size}_window{window}_256": IMAGENET1K
       for size in ("tiny", "small", "base") for window in (8, 16)},
    **{f"classification/imagenet22k_swinv2_{size}_window12_192": IMAGENET22K for size in ("base", "large")},
    **{f"classification/imagenet22kto1k_swinv2_{size}_{window}": FINE_TUNING
       for size in ("base", "large") for window in ("window12to16_192to256", "window12to24_192to384")},
    "classification/imagenet1k_swinv2_tiny_window8to12_256to384": FINE_TUNING,
    "classification/imagenet22kext_swinv2_giant_window12_192":
        ("9,216 a step", "30 epochs of 7,596 steps = 227,880 steps", "20,000 steps = 2.6 epochs"),
    "classification/imagenet1k_swinv2_giant_window12to40_192to640":
        ("576 a step", "10 epochs of 2,224 steps = 22,240 steps", "4,448 steps = 2 epochs"),
    "classification/simmim_swinv2_base_224_ft":
        ("2,048 a step", "100 epochs of 625 steps = 62,500 steps", "12,500 steps = 20 epochs"),
    "simmim/simmim_swinv2_base_192":
        ("2,048 a step", "800 epochs of 625 steps = 500,000 steps", "6,250 steps = 10 epochs"),
    "simmim/simmim_swinv2_giant_192":
        ("9,216 a step", "20 epochs of 7,596 steps = 151,920 steps", "30,000 steps = 3.9 epochs"),
    "detection/cascade_mask_rcnn_swinv2_tiny_coco":
        ("16 a step", "36 epochs of 7,330 steps = 263,880 steps", "1,000 steps = 0.1 epochs"),
    "detection/htcpp_swinv2_large_coco":
        ("64 a step", "36 epochs of 1,833 steps = 65,988 steps", "1,000 steps = 0.5 epochs"),
    "detection/htcpp_swinv2_giant_coco":
        ("96 a step", "36.8 epochs of 1,222 steps = 45,000 steps", "1,000 steps = 0.8 epochs"),
    "detection/htcpp_swinv2_giant_objects365":
        ("96 a step", "3.7 epochs of 18,149 steps = 67,500 steps", "1,000 steps = 0.1 epochs"),
    **{f"segmentation/upernet_swinv2_{size}_ade20k": ADE for size in ("tiny", "small", "base")},
    **{f"segmentation/upernet_swinv2_{size}_ade20k_640": ADE_640 for size in ("base", "large")},
    "segmentation/upernet_swinv2_giant_ade20k_640":
        ("32 a step", "126.6 epochs of 632 steps = 80,000 steps", "750 steps = 1.2 epochs"),
    "video/kinetics400_swinv2_giant_256":
        ("80 a step", "20 epochs of 3,006 steps = 60,120 steps", "7,515 steps = 2.5 epochs"),
    "video/kinetics400_swinv2_giant_320":
        ("64 a step", "5 epochs of 3,757 steps = 18,785 steps", "3,757 steps = 1 epochs"),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_length_is_that_of_the_paper(name, uncounted):
    """Items a step, epochs, steps and warm-up, worked by hand from the published recipes and data sizes."""
    found = known(name)
    per_step, length, warmup = FIGURES[name]
    assert found["batch"].endswith(f"= {per_step}")
    assert found["length"] == length
    assert found["warm-up"] == warmup


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
    """The message has the path."""
    assert main(["plan", "configs/detection/none.yaml"]) == 1
    assert "There is no recipe configs/detection/none.yaml" in capsys.readouterr().err


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
