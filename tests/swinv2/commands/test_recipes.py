"""Recipes by their names: in a checkout, in a wheel, before and beside the user's own files."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from jsonargparse import Namespace

from swinv2.cli import main
from swinv2.commands import recipes
from swinv2.commands.recipe_files import WrongRecipeError
from swinv2.commands.recipes import find_companions, find_recipe, list_recipes, recipes_table, reproduced, with_files

ROOT = Path(__file__).parents[3]
QUICKSTART = ROOT / "configs/detection/quickstart.yaml"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """The working folder, in which nothing lies."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_recipe_is_listed():
    """A row for each file that says how it is run, with what it reproduces."""
    names = list(list_recipes())
    yaml = {path.relative_to(ROOT / "configs").with_suffix("").as_posix() for path in ROOT.glob("configs/*/*.yaml")}
    assert {name for name in names if "." not in name} == yaml
    assert "detectron2/quickstart.py" in names
    assert "detectron2/coco_36_epochs.py" not in names  # what the others share
    rows = dict(line.split("  ", 1) for line in recipes_table().splitlines())
    assert list(rows) == names
    assert min(len(text.strip()) for text in rows.values()) > 20
    assert rows["detection/mask_rcnn_swinv2_tiny_coco"].strip() == "Mask R-CNN, SwinV2-T, COCO 2017, 36 epochs"


def test_a_pattern_picks_recipes(capsys):
    """As for models; what nobody has is an error that names the nearest."""
    assert main(["recipes", "simmim/*"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(list_recipes("simmim/*"))
    assert main(["recipes", "detektion"]) == 1
    assert "no recipe's name matches 'detektion'; give one such as detection/" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Net, 3 epochs: the paper's (arXiv:1).\n#   swinv2 video fit", "Net, 3 epochs"),
        ("# Net of two\n# lines (20 of them), 3 epochs (arXiv:1).\na: 1", "Net of two lines (20 of them), 3 epochs"),
        ('"""Net in detectron2.\n\n    swinv2 detectron2', "Net in detectron2"),
        ("# Net. It is small.\n", "Net"),
    ],
)
def test_what_is_reproduced(tmp_path, text, expected):
    """The first sentence of the comment, without source and details."""
    (tmp_path / "recipe").write_text(text)
    assert reproduced(tmp_path / "recipe") == expected


@pytest.mark.parametrize("name", ["detection/quickstart", "detection/quickstart.yaml"])
@pytest.mark.parametrize("before", ["", "configs/", "./configs/"])
def test_a_name_stands_for_a_file(name, before):
    """With or without its suffix, and as the README writes it."""
    assert find_recipe(before + name) == QUICKSTART


@pytest.mark.parametrize("file", ["detection/quickstart", "detection/quickstart.yaml"])
def test_own_files_come_first(tmp_path, file):
    """A file of that name in the working folder is meant."""
    (tmp_path / "detection").mkdir()
    (tmp_path / file).touch()
    assert find_recipe("detection/quickstart") == Path(file)


@pytest.mark.parametrize(
    ("name", "task", "near"),
    [
        ("detection/quickstrat", "*", "detection/quickstart"),
        ("quickstart", "segmentation", "segmentation/quickstart"),
        ("mask_rcnn_swinv2_tiny", "*", "detection/mask_rcnn_swinv2_tiny_coco"),
        ("mein", "*", "mine.yaml"),
        ("detection/quickstrat", "a_task_of_others", "detection/quickstart"),
    ],
)
def test_an_unknown_name_is_an_error(tmp_path, name, task, near):
    """The nearest of the task's recipes and of the files here is named."""
    (tmp_path / "mine.yaml").touch()
    with pytest.raises(WrongRecipeError, match=rf"there is no recipe {name}: .*\n  did you mean '{near}'\?"):
        find_recipe(name, task)


def test_a_command_line_with_names():
    """Names become files wherever --config stands; what is a file, a folder or a text stays."""
    file = str(QUICKSTART)
    given = ["--config", "detection/quickstart", "-c=detection/quickstart", "--config=detection/quickstart.yaml", "fit"]
    assert with_files(given, "detection") == ["--config", file, f"-c={file}", f"--config={file}", "fit"]
    given = ["--config", file, "--config", ".", "--config", "trainer: {max_epochs: 1}", "--config=", "--config"]
    assert with_files(given, "detection") == given


def test_files_beside_recipes(tmp_path):
    """Lists that a recipe names by their place in the repository are found, too; own ones come first."""
    name = "configs/segmentation/coco_stuff.txt"
    config = Namespace(data=Namespace(classes=Path(name)), model=Namespace(class_map=name, output="configs/none"))
    find_companions(config)
    assert (config.data.classes, config.model.class_map) == (ROOT / name, str(ROOT / name))
    assert config.model.output == "configs/none"
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    config.data.classes = Path(name)
    find_companions(config)
    assert config.data.classes == Path(name)


def test_a_run_by_name_has_its_folder_here(tmp_path, capsys):
    """The folder is that of the recipe's file, under the working directory."""
    small = [
        "--data.shapes.train",
        "4",
        "--data.shapes.val",
        "2",
        "--data.batch_size",
        "4",
        "--trainer.max_epochs",
        "1",
    ]
    assert main(["classification", "fit", "--config", "classification/quickstart", *small]) == 0
    assert (tmp_path / "runs/classification/quickstart/checkpoints/last.ckpt").is_file()


def test_recipes_travel_in_the_wheel(tmp_path):
    """What is built has recipes, lists beside them and marks for type checkers, and finds them in an empty folder."""
    lib = tmp_path / "lib"
    build = ["setup.py", "-q", "egg_info", "--egg-base", str(tmp_path), "build_py", "--build-lib", str(lib)]
    subprocess.run([sys.executable, "-W", "ignore", *build], cwd=ROOT, check=True, capture_output=True)
    assert {path.parent.name for path in lib.glob("*/py.typed")} == {"swinv2", "detection", "segmentation", "video"}
    assert (lib / "swinv2/recipes/segmentation/coco_stuff.txt").is_file()
    code = "import sys; from swinv2.cli import main; main(['recipes']); main(sys.argv[1:])"
    command = ["detection", "fit", "--config", "detection/quickstart", "--print_config"]
    environment = os.environ | {"PYTHONPATH": str(lib)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *command], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{recipes_table()}\n")
    assert "root: data/shapes/detection" in done.stdout


def test_the_checkout_has_no_second_copy():
    """Here the recipes are those of the repository."""
    assert recipes.FOLDER == ROOT / "configs"


def test_a_copy_without_recipes(monkeypatch, tmp_path):
    """What is missing is named, whatever is asked of the recipes."""
    monkeypatch.setattr(recipes, "FOLDER", tmp_path / "configs")
    for ask in (recipes.recipes_table, partial(recipes.find_recipe, "detection/quickstart")):
        with pytest.raises(FileNotFoundError, match=r"there is no folder .*configs of recipes; install swinv2 by pip"):
            ask()
