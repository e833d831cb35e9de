"""Rows of another classifier's head."""

import logging
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from swinv2 import BackboneConfig, convert
from swinv2.classification.head_transfer import find_rows, load_head, read_rows
from swinv2.classification.task import ClassificationTask
from swinv2.classifier import ImageClassifier
from swinv2.cli import main
from swinv2.shapes import make_classification

DWARF = {"name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
ROWS = [6, 0, 5, 2]


@pytest.fixture
def many():
    """A classifier of seven classes."""
    model = ImageClassifier(BackboneConfig(**DWARF), 7)
    nn.init.normal_(model.head.bias)
    return model


@pytest.fixture
def rows_file(tmp_path):
    """A file of rows for four classes."""
    path = tmp_path / "rows.txt"
    path.write_text("".join(f"{row}\n" for row in ROWS))
    return path


@pytest.mark.parametrize("layout", ["official", "timm", "hf", "ours"])
def test_rows_are_taken_exactly(many, rows_file, tmp_path, layout):
    """Whatever layout the checkpoint has, weights and biases are those of the rows."""
    path = tmp_path / "weights.pth"
    torch.save(many.state_dict(), path)
    if layout != "ours":
        convert(path, path := tmp_path / "converted.pth", layout)
    head = nn.Linear(64, 4)
    load_head(head, str(path), str(rows_file), list("abcd"))
    assert torch.equal(head.weight, many.head.weight[ROWS])
    assert torch.equal(head.bias, many.head.bias[ROWS])


@pytest.mark.parametrize("prefix", ["model.", "module.net.", "ema.module."])
def test_rows_behind_a_prefix(many, rows_file, prefix):
    """A classifier is found wherever it lies."""
    path = rows_file.with_name("weights.pth")
    torch.save({"state_dict": {f"{prefix}{key}": value for key, value in many.state_dict().items()}}, path)
    head = nn.Linear(64, 4)
    load_head(head, str(path), str(rows_file), list("abcd"))
    assert torch.equal(head.weight, many.head.weight[ROWS])


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("head.weight", torch.full((7, 64), float("nan")), "head.weight has 448 of 448 values that are not finite"),
        ("head.bias", torch.zeros(7, dtype=torch.int8), "head.bias is of torch.int8"),
        ("head.bias", torch.zeros(3), "has 7 of 64 numbers"),
        ("head.weight", torch.zeros(7), "has 7 of 0 numbers"),
    ],
)
def test_a_classifier_of_no_use(many, rows_file, key, value, reason):
    """The error names the file and what is wrong in it."""
    path = rows_file.with_name("weights.pth")
    torch.save(many.state_dict() | {key: value}, path)
    with pytest.raises(ValueError, match=f"weights.pth.*{reason}|{reason}"):
        load_head(nn.Linear(64, 4), str(path), str(rows_file), list("abcd"))


def test_rows_by_name(many, tmp_path):
    """A checkpoint of ours has names, by which rows are found."""
    path = tmp_path / "trained.ckpt"
    state = {f"model.{key}": value for key, value in many.state_dict().items()}
    torch.save({"state_dict": state, "class_names": list("gfedcba")}, path)
    head = nn.Linear(64, 3)
    load_head(head, str(path), "names", ["b", "g", "a"])
    assert torch.equal(head.weight, many.head.weight[[5, 0, 6]])


def test_names_of_imagenet_are_known_by_their_numbers():
    """Folders are called by the number of a class, files of names add a word; either is the same class."""
    others = ["n01484850 great white shark", "n01440764", "cat"]
    assert find_rows(["n01440764 tench", "n01484850", "cat"], others) == [1, 0, 2]
    with pytest.raises(ValueError, match="1 of 1 classes of the data are not among"):
        find_rows(["n01440764"], ["n01440764 tench", "n01440764 tench, Tinca tinca"])


class Names(Sequence):
    """Names that count how often they are looked at."""

    def __init__(self, count):
        self.count_of_names, self.looks = count, 0

    def __len__(self):
        return self.count_of_names

    def __getitem__(self, index):
        self.looks += 1
        return f"n{range(self.count_of_names)[index]:08}"


def test_rows_of_very_many_names():
    """Each name is looked at a few times only, however many there are: ImageNet-22K has 21841."""
    names = Names(1000)
    assert find_rows(["n00000007"], names) == [7]
    assert find_rows([f"n{number:08}" for number in range(1000)], names) == [*range(1000)]
    assert names.looks < 10 * 1000


@pytest.mark.parametrize(("others", "missing"), [("abx", "1 of 3"), ("aabc", "1 of 3"), ("xyz", "3 of 3")])
def test_names_that_are_not_there(others, missing):
    """Every class must be there just once."""
    with pytest.raises(ValueError, match=f"{missing} classes of the data are not among"):
        find_rows(list("abc"), list(others))


@pytest.mark.parametrize(
    ("text", "given"), [("", "nothing"), ("1\n-2\n", "'-2'"), ("1\nn01440764\n", "'n01440764'"), ("9" * 5000, "'9999")]
)
def test_bad_rows(tmp_path, text, given):
    """A file of something else is refused."""
    (tmp_path / "rows.txt").write_text(text)
    with pytest.raises(ValueError, match=f"on each line, from 0, and has {given}"):
        read_rows(tmp_path / "rows.txt")


def test_missing_file(tmp_path):
    """The message names the key to change."""
    with pytest.raises(FileNotFoundError, match=r"no file .*rows.txt of rows; give model\.head_rows"):
        read_rows(tmp_path / "rows.txt")


@pytest.mark.parametrize(("inside", "classes"), [(64, 5), (32, 4)])
def test_rows_that_do_not_fit(many, rows_file, tmp_path, inside, classes):
    """There must be as many rows as classes, of the same width."""
    torch.save(many.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"names 4 rows up to 6 .* has 7 of 64 numbers; the model has"):
        load_head(nn.Linear(inside, classes), str(tmp_path / "weights.pth"), str(rows_file), [])


def test_row_beyond_the_classifier(many, tmp_path):
    """A row that the checkpoint does not have is refused."""
    torch.save(many.state_dict(), tmp_path / "weights.pth")
    (tmp_path / "rows.txt").write_text("7")
    with pytest.raises(ValueError, match=r"names 1 rows up to 7 .* has 7 of 64"):
        load_head(nn.Linear(64, 1), str(tmp_path / "weights.pth"), str(tmp_path / "rows.txt"), [])


def test_checkpoint_without_a_classifier(many, rows_file, tmp_path):
    """A backbone has no rows."""
    torch.save(many.backbone.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"has no classifier whose rows could be taken; leave model\.head_rows out"):
        load_head(nn.Linear(64, 4), str(tmp_path / "weights.pth"), str(rows_file), [])


def test_training_starts_from_the_rows(many, rows_file, tmp_path, monkeypatch, caplog):
    """`fit` takes backbone and rows from other weights; what a checkpoint is resumed from takes their place."""
    monkeypatch.chdir(tmp_path)
    root = make_classification(tmp_path / "shapes", train=4, val=4, size=32)
    torch.save(many.state_dict(), tmp_path / "weights.pth")
    started = []
    monkeypatch.setattr(
        ClassificationTask, "on_train_start", lambda task: started.append(task.model.head.weight.detach().clone())
    )
    backbone = [word for key, value in DWARF.items() for word in (f"--model.model.backbone.{key}", str(value))]
    data = {"root": root, "batch_size": 4, "num_workers": 0, "size": 32}
    options = [*backbone, *(word for key, value in data.items() for word in (f"--data.{key}", str(value)))]
    options += ["--model.weights", "weights.pth", "--model.head_rows", str(rows_file), "--trainer.accelerator", "cpu"]
    options += ["--trainer.enable_progress_bar", "false", "--trainer.default_root_dir", "run", "--trainer.max_epochs"]
    caplog.set_level(logging.WARNING)
    assert main(["classification", "fit", *options, "1"]) == 0
    assert torch.equal(started[0], many.head.weight[ROWS])
    assert main(["classification", "fit", *options, "2", "--ckpt_path", "last"]) == 0
    kept = torch.load("run/checkpoints/last.ckpt", weights_only=True)["state_dict"]["model.head.weight"]
    assert not torch.equal(started[1], many.head.weight[ROWS])
    assert kept.shape == (4, 64)
