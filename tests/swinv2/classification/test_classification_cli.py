"""What `swinv2 classification` fills in, and what it says to wrong options."""

import pytest
import yaml

from swinv2.cli import main
from swinv2.shapes import make_classification

DWARF = {"name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe in the folder of the test, and its data."""
    monkeypatch.chdir(tmp_path)
    make_classification(tmp_path / "shapes", train=4, val=4, size=32)
    content = {
        "model": {"model": {"backbone": DWARF}},
        "data": {"root": "shapes", "batch_size": 4, "num_workers": 0, "size": 32},
        "trainer": {"max_steps": 1, "accelerator": "cpu", "enable_progress_bar": False},
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(content))
    return "small.yaml"


def printed(capsys, *args):
    """The recipe as the command understands it."""
    with pytest.raises(SystemExit) as stopped:
        main(["classification", "fit", *args, "--print_config"])
    assert stopped.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize("form", ["short", "long"])
def test_model_needs_no_class(recipe, capsys, form, tmp_path):
    """There is one classifier, so that its arguments stand for it; by its name it is the same."""
    (tmp_path / "long.yaml").write_text(
        yaml.safe_dump({"model": {"model": {"class_path": "ImageClassifier", "init_args": {"backbone": DWARF}}}})
    )
    key = "--model.model.init_args.backbone" if form == "long" else "--model.model.backbone"
    source = "long.yaml" if form == "long" else recipe
    model = printed(capsys, "--config", source, f"{key}.window_size", "4", "--config", recipe)["model"]["model"]
    assert model["class_path"] == "swinv2.classifier.ImageClassifier"
    assert model["init_args"]["backbone"] | {"window_size": 4, "embed_dim": 8} == model["init_args"]["backbone"]


def test_number_of_classes_is_that_of_the_data(recipe, capsys):
    """It need not be said."""
    assert main(["classification", "fit", "--config", recipe]) == 0
    assert "top-1" in capsys.readouterr().out


def test_sample_data_is_made(recipe, tmp_path):
    """Before the number of its classes is asked for."""
    given = ["--data.root", "made", "--data.shapes", "{train: 4, val: 4, size: 32}"]
    assert main(["classification", "fit", "--config", recipe, *given]) == 0
    assert (tmp_path / "made/train/star").is_dir()


def test_no_data(recipe, capsys):
    """The folder that is missing is named."""
    assert main(["classification", "fit", "--config", recipe, "--data.root", "nowhere"]) == 1
    assert "nowhere/train" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--model.model.backbone.windw_size", "4"], "unknown key 'windw_size'\n  did you mean 'window_size'?"),
        (["--model.model.nm_classes", "4"], "unknown key 'nm_classes'\n  did you mean 'num_classes'?"),
        (["--model.model.backbone.drop_path_rate", "much"], "expected float, got 'much'"),
        (["--model.haed_rows", "x"], "unknown key 'model.haed_rows'\n  did you mean 'model.head_rows'?"),
    ],
)
def test_wrong_option(recipe, capsys, option, message):
    """A short message with the nearest key, and code 2."""
    with pytest.raises(SystemExit) as stopped:
        main(["classification", "fit", "--config", recipe, *option])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
