"""What a run says of files that it had to leave out."""

import re
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from lightning import LightningModule
from torch import nn

from swinv2.imaging.datasets import Skipped
from swinv2.training.schedules import OptimizerConfig
from swinv2.training.skipped import check_scored, nothing_predicted, skipped_lines
from swinv2.training.task import Task


class Images:
    """A data set of some images."""

    def __init__(self, total, *positions):
        self.skipped = Skipped(total)
        self.total = total
        for position in positions:
            self.skipped.add(position, OSError("gone"))

    def __len__(self):
        return self.total


def test_lines():
    """Each data set that has left something out has a line with number and total; others, and none, have not."""
    said = skipped_lines(images=Images(20, 3, 5, 7), validation_images=Images(4), training_images=None)
    assert said == "3 of 20 images could not be read or used; see the messages above\n"


def test_data_of_ones_own(capsys):
    """A training on data that are not ours, without our sets or with sets that skip nothing, ends with its scores."""
    assert skipped_lines(images=[1, 2]) == ""
    task = Task(nn.Linear(1, 1), OptimizerConfig(), None, None)
    task.summary = lambda: "score 1"
    task.trainer = Mock(datamodule=SimpleNamespace(train_set=[1, 2]), is_global_zero=True)
    task.on_fit_end()
    assert capsys.readouterr().out == "\nscore 1\n"


def task_in(command):
    """A task that runs in a command."""
    task = Mock(spec=LightningModule)
    task.trainer.state.fn = command
    return task


def test_nothing_scored(caplog):
    """A validation that scored nothing is told in the log of a training, and an error where it is all that is done."""
    assert check_scored(task_in("fit"), 3, "image that can be read")
    assert not check_scored(task_in("fit"), 0, "image that can be read")
    assert "There is no image that can be read to validate on, and so no score of this epoch" in caplog.text
    with pytest.raises(ValueError, match="There is no image that can be read to validate on, and so no score; see"):
        check_scored(task_in("validate"), 0, "image that can be read")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "None of the images could be read, so there are no maps"),
        (3, "not finite for any image .*, 3 in all, so .*maps"),
    ],
)
def test_nothing_predicted(number, said):
    """A prediction without a result says whether the images or the model are to blame."""
    assert re.search(said, str(nothing_predicted(number, "maps")))
