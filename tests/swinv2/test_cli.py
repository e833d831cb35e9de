"""The `swinv2` command itself: help, errors and exit codes; the work behind it is tested where it is done."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import create_autospec

import pytest

import swinv2
from swinv2 import cli, weights


@pytest.fixture
def task(monkeypatch):
    """Makes `swinv2 detection …` call a function of the test."""

    def install(function):
        monkeypatch.setattr(cli, "import_module", {"detection.cli": SimpleNamespace(main=function)}.__getitem__)

    return install


def test_help_lists_the_commands(capsys):
    """Every command stands there with what it does, and so do examples."""
    with pytest.raises(SystemExit) as done:
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert done.value.code == 0
    assert all(f"\n    {command} " in text for command in ("models", "convert", "shapes", "detection"))
    assert "\nexamples:\n  swinv2 " in text


def test_help_is_quick():
    """Asking for help imports none of the training, data and drawing libraries."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(['lightning', 'cv2', 'torchvision', 'pycocotools']))"
    code = f"{blocked}; from swinv2.cli import main; main()"
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code, "--help"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "commands:" in result.stdout


def test_version(capsys):
    """The version is that of the installed package."""
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out.startswith("swinv2 0.")


@pytest.mark.parametrize("args", [[], ["modles"], ["convert", "a.pth"], ["shapes", "out", "--size", "big"]])
def test_wrong_command_line(args, capsys):
    """Exit code 2 and a usage line."""
    with pytest.raises(SystemExit) as done:
        cli.main(args)
    assert done.value.code == 2
    assert "usage: swinv2" in capsys.readouterr().err


def test_shapes_makes_sample_data(tmp_path, capsys):
    """The options reach the generator; those not given keep its defaults."""
    options = ["--tasks", "detection", "--train", "2", "--val", "1", "--size", "32", "--seed", "5"]
    assert cli.main(["shapes", str(tmp_path / "shapes"), *options]) == 0
    assert str(tmp_path / "shapes") in capsys.readouterr().out
    assert len(list((tmp_path / "shapes/detection").rglob("*.jpg"))) == 3


def test_models_prints_the_table(monkeypatch, capsys):
    """A pattern picks rows; without one all models are shown."""
    monkeypatch.setattr("swinv2.commands.models.models_table", lambda pattern: f"models like {pattern}")
    assert cli.main(["models", "swinv2_tiny*"]) == cli.main(["models"]) == 0
    assert capsys.readouterr().out == "models like swinv2_tiny*\nmodels like *\n"


def test_convert_writes_another_layout(monkeypatch, capsys):
    """The arguments fit the function that does the work."""
    convert = create_autospec(weights.convert)
    monkeypatch.setattr(weights, "convert", convert)
    assert cli.main(["convert", "in.pth", "out.safetensors", "--to", "timm"]) == 0
    convert.assert_called_once_with("in.pth", Path("out.safetensors"), "timm")
    assert capsys.readouterr().out == "wrote out.safetensors\n"


def test_task_gets_its_arguments(task):
    """What follows the task's name is the task's own command line."""
    given = []
    task(given.extend)
    assert cli.main(["detection", "fit", "--help"]) == 0
    assert given == ["fit", "--help"]


@pytest.mark.parametrize("error", [ValueError("window 3"), FileNotFoundError("no folder"), OSError("disk full")])
def test_error_is_one_message(task, capsys, error):
    """An error that a user can mend comes without a traceback, with exit code 1."""

    def fail(args):
        raise error

    task(fail)
    assert cli.main(["detection"]) == 1
    assert capsys.readouterr().err == f"error: {error}\n"


def test_debug_shows_the_traceback(task, monkeypatch):
    """With SWINV2_DEBUG errors go through."""
    monkeypatch.setenv("SWINV2_DEBUG", "1")
    task(lambda args: int("no number"))
    with pytest.raises(ValueError, match="no number"):
        cli.main(["detection"])


def test_fault_of_ours_asks_for_a_report(task, capsys, monkeypatch):
    """An error of another kind is one message, too; the traceback comes on request."""
    task(lambda args: {}["bug"])
    assert cli.main(["detection"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: KeyError: 'bug', at swinv2/cli.py:")
    assert "report it with the output of `swinv2 doctor`" in said
    assert "Traceback" not in said
    monkeypatch.setenv("SWINV2_DEBUG", "1")
    with pytest.raises(KeyError):
        cli.main(["detection"])


def test_ctrl_c(task, capsys):
    """Exit code 130, as a shell expects."""

    def stop(args):
        raise KeyboardInterrupt

    task(stop)
    assert cli.main(["detection"]) == 130
    assert capsys.readouterr().err == "Stopped.\n"


def test_ctrl_c_while_a_task_is_imported(tmp_path):
    """The process ends at once, with the same code."""
    (tmp_path / "slow.py").write_text(
        "import os, signal\ntry: os.kill(os.getpid(), signal.SIGINT)\nfinally: print(1)\n"
    )
    code = "import sys; from swinv2 import cli; cli.TASKS['slow'] = ('slow', ''); sys.exit(cli.main(['slow']))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Stopped.\n")


def test_the_command_starts_without_pytorch():
    """Its import takes seconds, and answers Ctrl-C badly; the names of the package are imported when asked for."""
    code = (
        "import sys; import swinv2.cli; assert 'torch' not in sys.modules; swinv2.SwinTransformerV2; swinv2.weights; "
        "assert {*swinv2.__all__} <= {*dir(swinv2)} and all(getattr(swinv2, name) for name in swinv2.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="'swinv2' has no attribute 'SwinTransformerV3'"):
        swinv2.SwinTransformerV3  # noqa: B018


@pytest.mark.parametrize(
    "command",
    ["models", "recipes", "doctor", "--help", "plan --help", "simmim fit --config simmim/quickstart --print_config"],
)
def test_a_pipe_that_is_closed(command):
    """`swinv2 models | head` ends without a message once head has its lines."""
    code = "import os, sys; os.close(0); from swinv2 import cli; sys.exit(cli.main(sys.argv[1:]))"
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-W", "ignore", "-c", code, *command.split()]
    buffered = os.environ | {"PYTHONUNBUFFERED": ""}  # without it argparse itself passes over the broken pipe
    done = subprocess.run(words, env=buffered, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("debug", ["", "1"])
def test_another_pipe_that_breaks(task, capsys, monkeypatch, debug):
    """What a task has of its own, e.g. to a process that reads its data, is an error."""
    monkeypatch.setenv("SWINV2_DEBUG", debug)

    def fail(args):
        raise BrokenPipeError(32, "Broken pipe")

    task(fail)
    if debug:
        with pytest.raises(BrokenPipeError):
            cli.main(["detection"])
    else:
        assert cli.main(["detection"]) == 1
        assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(("given", "meant"), [("detect", "detection"), ("modles", "models"), ("recipe", "recipes")])
def test_an_unknown_command(given, meant, capsys):
    """The nearest is named, with exit code 2."""
    with pytest.raises(SystemExit) as done:
        cli.main([given, "fit"])
    assert done.value.code == 2
    assert f"there is no command '{given}'; did you mean '{meant}'?" in capsys.readouterr().err


def test_models_that_nobody_has_are_an_error(capsys):
    """A pattern without a match is no empty table."""
    assert cli.main(["models", "swin_tiny*"]) == 1
    assert "no model's name matches 'swin_tiny*'; give one such as swinv2_" in capsys.readouterr().err
