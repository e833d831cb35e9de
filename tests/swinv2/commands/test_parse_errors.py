"""A wrong recipe or option ends in a message of a few lines with the nearest thing that exists."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pytest
from lightning import LightningDataModule, LightningModule
from torch import nn

from swinv2.commands.parse_errors import constructible
from swinv2.commands.task import run


@dataclass
class Backbone:
    """Of the toy."""

    name: str
    window_size: int | Sequence[int] | None = None


@dataclass
class Grid:
    """An option with options of its own."""

    size: int = 8
    kinds: Sequence[Literal["small", "large"]] | None = None

    def __post_init__(self):
        if self.size < 2:
            raise ValueError(f"size must be at least 2, got {self.size}.")


class BoxFinder(nn.Module):
    def __init__(self, backbone: Backbone, num_classes: int = 80):
        super().__init__()


class CascadeBoxFinder(BoxFinder):
    def __init__(self, backbone: Backbone, num_stages: int = 3):
        super().__init__(backbone)


class Task(LightningModule):
    def __init__(self, model: nn.Module, colour: Literal["red", "green"] = "red", grid: Grid | None = None):
        super().__init__()


class Data(LightningDataModule):
    def __init__(self, root: str, batch_size: int = 2):
        super().__init__()


RECIPE = f"""# a recipe
model:
  model:
    class_path: {__name__}.BoxFinder
    init_args:
      backbone: {{name: tiny}}
      num_classes: 3
data: {{root: somewhere, batch_size: 2}}
trainer:
  max_epochs: 1
"""


@pytest.fixture
def message(tmp_path, monkeypatch, capsys):
    """The message for a command line, with a recipe in which something may be replaced."""
    monkeypatch.chdir(tmp_path)

    def of(*args, old="", new=""):
        (tmp_path / "recipe.yaml").write_text(RECIPE.replace(old, new))
        with pytest.raises(SystemExit) as error:
            run(Task, Data, [*args, "--allow", __name__], "toy", "score", lambda config: None)
        assert error.value.code == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert len(printed.err.splitlines()) <= 5
        return printed.err.removeprefix("error: ")

    return of


@pytest.mark.parametrize(
    ("option", "nearest"),
    [
        ("--trainer.devces", "trainer.devices"),
        ("--data.roots", "data.root"),
        ("--batch_size", "data.batch_size"),
        ("--modl.colour", "model"),
        ("--trainer.callback", "trainer.callbacks"),
        ("--model.model.init_args.num_clases", "num_classes"),
        ("--model.model.backbone.windw_sise", "window_size"),
    ],
)
def test_unknown_option(message, option, nearest):
    """On the command line, the nearest option is named, whichever part is wrong."""
    text = message("fit", "--config", "recipe.yaml", option, "2")
    assert text.startswith("unknown key '")
    assert f"did you mean '{nearest}'?\n" in text
    assert "all options: swinv2 toy fit --help" in text


@pytest.mark.parametrize(
    ("old", "new", "unknown", "line", "nearest"),
    [
        ("num_classes", "num_clases", "num_clases", 7, "num_classes"),
        ("{name: tiny", "{name: tiny, windw_size: 8", "windw_size", 6, "window_size"),
        ("max_epochs", "max_epoch", "trainer.max_epoch", 10, "trainer.max_epochs"),
        ("trainer:", "trainr:", "trainr", 9, "trainer"),
        ("  model:", "  modl:", "model.modl", 3, "model.model"),
        ("root:", "roots:", "data.roots", 8, "data.root"),
    ],
)
def test_unknown_key_in_a_recipe(message, old, new, unknown, line, nearest):
    """The message says which key, in which line, and what may have been meant."""
    text = message("fit", "--config", "recipe.yaml", old=old, new=new)
    assert text.startswith(f"unknown key '{unknown}' (recipe.yaml, line {line})\n  did you mean '{nearest}'?\n")


@pytest.mark.parametrize(
    ("old", "new", "first"),
    [
        ("batch_size: 2", "batch_size: two", "data.batch_size: expected int, got 'two' (recipe.yaml, line 8)"),
        ("num_classes: 3", "num_classes: three", "num_classes: expected int, got 'three' (recipe.yaml, line 7)"),
        ("epochs: 1", "epochs: x", "trainer.max_epochs: expected one of int, None, got 'x' (recipe.yaml, line 10)"),
        ("name: tiny", "", "missing: backbone.name\n  set it in a recipe (--config FILE)\n"),
        ("epochs: 1", "epochs: {1", "Problems parsing config: while parsing a flow mapping\n  in recipe.yaml, line 10"),
    ],
)
def test_wrong_value_in_a_recipe(message, old, new, first):
    """The message says what is expected, what was given, and where."""
    assert message("fit", "--config", "recipe.yaml", old=old, new=new).startswith(first)


@pytest.mark.parametrize(
    ("old", "new", "nearest"),
    [
        (f"{__name__}.BoxFinder", f"{__name__}.BoxFindr", "BoxFinder"),
        (f"{__name__}.BoxFinder", "CascadeBoxFindr", "CascadeBoxFinder"),
    ],
)
def test_unknown_class(message, old, new, nearest):
    """A class that does not exist brings the nearest one that does."""
    text = message("fit", "--config", "recipe.yaml", old=old, new=new)
    assert text.startswith(f"class_path '{new}' does not fit here (recipe.yaml, line 4)")
    assert f"did you mean '{__name__}.{nearest}'?" in text


def test_class_of_another_kind(message):
    """A class that exists but is no model is refused."""
    text = message("fit", "--config", "recipe.yaml", old="BoxFinder", new="Backbone")
    assert text.startswith(f"class_path '{__name__}.Backbone' does not fit here")


def test_value_of_a_choice(message):
    """The choices are listed."""
    text = message("fit", "--config", "recipe.yaml", "--model.colour", "blue")
    assert text.startswith("model.colour: expected Literal['red', 'green'], got 'blue'\n")


def test_value_inside_an_option(message):
    """The whole name of a value within a value is given, and only what was wrong in it."""
    text = message("fit", "--config", "recipe.yaml", "--model.grid", "{kinds: [small, tiny]}")
    assert text.startswith("model.grid.kinds: expected Literal['small', 'large'], got 'tiny'\n")


def test_what_an_option_itself_refuses(message, tmp_path):
    """What the class of an option says of its values is all that is said."""
    message("fit")  # writes the recipe
    command = ["fit", "--config", "recipe.yaml", "--model.grid.size", "1"]
    with pytest.raises(ValueError, match=r"^size must be at least 2, got 1\.$"):
        run(Task, Data, [*command, "--allow", __name__], "toy", "score", lambda config: None)


def test_missing_values(message):
    """What is missing is listed, with the ways to give it."""
    text = message("fit")
    assert text.startswith(
        "missing: model.model, data.root\n  set it in a recipe (--config FILE) or on the command line"
    )


def test_missing_recipe(message):
    """A recipe that is not there brings the nearest file that is."""
    text = message("fit", "--config", "recipes.yaml")
    assert text.startswith("there is no recipe recipes.yaml: ")
    assert text.endswith("\n  did you mean 'recipe.yaml'?\n")


@pytest.mark.parametrize(
    ("args", "given"),
    [
        ([], "nothing"),
        (["ft"], "ft; did you mean 'fit'?"),
        (["train"], "train; did you mean 'fit'?"),
        (["test"], "test; did you mean 'validate'?"),
        (["--config", "recipe.yaml", "fit"], "--config"),
    ],
)
def test_command_comes_first(message, args, given):
    """Whoever forgets, misspells or misplaces the command is told the commands, and the one that is meant."""
    assert message(*args) == f"expected a command first (fit, validate, predict), got {given}\n"


def test_constructible_classes_are_those_of_the_project():
    """What constructors ask for, and what stands in for it, but no class of a library."""
    assert set(constructible(Task, Data)) >= {Task, Data, BoxFinder, CascadeBoxFinder}
    assert nn.Linear not in constructible(Task, Data)


@pytest.mark.parametrize(
    ("old", "new", "first"),
    [
        (
            "trainer:\n  max_epochs: 1\n",
            "trainer:\n",
            "trainer is empty; give it a value, or leave it out (recipe.yaml, line ",
        ),
        (
            "trainer:",
            "last_checkpoint:\ntrainer:",
            "last_checkpoint is empty; give it a value, or leave it out (recipe.yaml",
        ),
        ("data: {root: somewhere, batch_size: 2}", "data:", "missing: data.root\n"),
    ],
)
def test_an_empty_part_is_named(message, old, new, first):
    """A heading without anything below it is null in YAML."""
    assert message("fit", "--config", "recipe.yaml", old=old, new=new).startswith(first)


@pytest.mark.parametrize(
    ("args", "first"),
    [
        (("recipe.yaml",), "recipe.yaml stands alone; a recipe is given by --config recipe.yaml\n"),
        (("--config", "recipe.yaml", "trainer.max_epochs=1"), "trainer.max_epochs stands without its dashes; write --"),
        (("--config", ""), "--config takes the file of a recipe, e.g. --config recipe.yaml, got nothing\n"),
        (("--config", "."), "--config takes the file of a recipe, e.g. --config recipe.yaml, got "),
    ],
)
def test_what_stands_in_the_wrong_place(message, args, first):
    """A recipe or an option without its dashes is told from a key that does not exist."""
    assert message("fit", *args).startswith(first)


def test_a_key_twice_is_no_recipe(message):
    """The parser would take the second one in silence."""
    text = message("fit", "--config", "recipe.yaml", old="trainer:", new="trainer: {max_epochs: 3}\ntrainer:")
    assert text.startswith("the recipe recipe.yaml has the key 'trainer' twice, in line 9 and in line 10")
