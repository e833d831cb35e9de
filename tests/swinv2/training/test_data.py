"""What the data of all tasks have in common."""

import pytest
import torch

from detection.data import CocoData
from segmentation.data import Ade20kData
from swinv2.classification.data import ImageNetData
from swinv2.simmim.data import SimMIMData
from swinv2.training.data import collate
from video.data import KineticsData

ALL = [Ade20kData, CocoData, ImageNetData, KineticsData, SimMIMData]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("setting", [{"batch_size": 0}, {"batch_size": -2}, {"num_workers": -1}])
def test_settings_out_of_range(kind, setting):
    """No data are made with less than an item a step, or fewer processes than none."""
    with pytest.raises(ValueError, match=r"batch_size -?\d+ with num_workers -?\d+: give at least 1 a step"):
        kind(**setting)


@pytest.mark.parametrize("kind", ALL)
def test_loaders_before_setup(kind):
    """Asking for batches too early says what to do first."""
    for loader in ("train_dataloader", "predict_dataloader"):
        with pytest.raises(RuntimeError, match=f"{kind.__name__} has no data for this stage yet; call setup"):
            getattr(kind(), loader)()


@pytest.mark.parametrize("kind", ALL)
def test_nothing_named_to_predict(kind):
    """The error has an example of the option that names it."""
    option = "--data.videos 'videos" if kind is KineticsData else "--data.images 'photos"
    with pytest.raises(ValueError, match=f"Nothing to predict; name files, folders or globs, e.g. {option}"):
        kind().setup("predict")


def test_unreadable_samples_are_no_part_of_a_batch():
    """Of nothing readable the lists are empty."""
    assert collate([None, None]) == ([], [])
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    assert collate([None, (image, {"image_id": 1})]) == ([image], [{"image_id": 1}])
