"""Whose code a recipe may name."""

import sys
from pathlib import Path

import pytest

from swinv2.classification.cli import main
from swinv2.commands.recipe_files import WrongRecipeError
from swinv2.commands.trusted_code import limit_code

RECIPE = Path(__file__).parents[3] / "configs/classification/quickstart.yaml"


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A module that leaves a file when it is imported, and what a recipe says of it."""
    (tmp_path / "stranger.py").write_text(
        "import pathlib\nfrom lightning.pytorch.callbacks import Callback\npathlib.Path('imported').touch()\n"
        "class Mine(Callback):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "imported"
    sys.modules.pop("stranger", None)


@pytest.fixture
def parse():
    """What `swinv2 classification fit` parses before it begins; gives the exit code."""

    def run(*args):
        with pytest.raises(SystemExit) as stopped:
            main(["fit", "--config", str(RECIPE), *args, "--print_config"])
        return stopped.value.code

    return run


def test_code_of_others_is_refused_before_it_is_imported(parse, foreign, capsys):
    """The message says how to allow it, and then it is taken."""
    assert parse("--trainer.callbacks+=stranger.Mine") == 2
    assert not foreign.exists()
    said = capsys.readouterr().err
    assert "class_path 'stranger.Mine' is code of another project" in said
    assert "if you trust it, add --allow stranger" in said
    assert parse("--trainer.callbacks+=stranger.Mine", "--allow", "stranger") == 0
    assert foreign.exists()


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "torch.hub.load", "builtins.eval"])
def test_what_runs_other_code_is_refused(parse, capsys, name):
    """Of Python and of torch, too."""
    assert parse("--trainer.logger", name) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--allow", "torch"]])
def test_what_runs_other_code_cannot_be_allowed(parse, capsys, more):
    """No advice is given that would not help."""
    assert parse('--trainer.callbacks+={class_path: torch.hub.load, init_args: {repo_or_dir: "."}}', *more) == 2
    said = capsys.readouterr().err
    assert "'torch.hub.load' reads or runs code from elsewhere, which no recipe may" in said and "if you" not in said


def test_no_recipe_allows_itself(parse, tmp_path, capsys):
    """The option is none of a recipe's keys."""
    (tmp_path / "own.yaml").write_text("allow: stranger\n")
    assert parse("--config", str(tmp_path / "own.yaml")) == 2
    assert "allow" in capsys.readouterr().err


def test_option_is_taken_from_the_command_line():
    """In both forms; what is no module's name is an error."""
    assert limit_code(["fit", "--allow", "mine", "--allow=other.part", "--config", "a.yaml"]) == [
        "fit",
        "--config",
        "a.yaml",
    ]
    for wrong in (["--allow"], ["--allow", "a b"], ["--allow=*"], ["--allow=jsonargparse"]):
        with pytest.raises(WrongRecipeError, match="--allow takes the name of a module"):
            limit_code(wrong)
