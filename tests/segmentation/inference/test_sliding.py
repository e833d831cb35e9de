import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segmentation.inference import sliding
from segmentation.inference.sliding import Sliding, ViewLogits


class Recorder(nn.Module):
    """Gives each cell its mean brightness as the only class, and keeps the shapes that it saw."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        self.seen.append(tuple(images.shape))
        return F.avg_pool2d(images.float().mean(1, keepdim=True), 4, ceil_mode=True)


def test_windows_lie_a_stride_apart_and_the_last_ends_at_the_border():
    """Windows lie where mmsegmentation places them."""
    assert Sliding(crop_size=10, stride=7).starts(25) == [0, 7, 14, 15]


@pytest.mark.parametrize(("length", "starts"), [(24, [0, 7, 14]), (10, [0]), (3, [0]), (11, [0, 1])])
def test_number_of_windows(length, starts):
    """No window is placed twice, and an axis shorter than the window has one."""
    assert Sliding(crop_size=10, stride=7).starts(length) == starts


def test_stride_as_long_as_the_window():
    """Windows may stand side by side without overlap."""
    assert Sliding(crop_size=8, stride=8).starts(24) == [0, 8, 16]


@pytest.mark.parametrize(("crop_size", "step"), [(512, 341), (640, 426), (896, 597)])
def test_stride_is_two_thirds_unless_given(crop_size, step):
    """The default stride is that of the usual recipes."""
    assert Sliding(crop_size).step == step


@pytest.mark.parametrize("stride", [0, -1, 65])
def test_stride_out_of_range(stride):
    """A stride that leaves gaps or does not move on is refused."""
    with pytest.raises(ValueError, match=f"stride must be from 1 to crop_size, 64.*{stride}"):
        Sliding(crop_size=64, stride=stride)


def test_crop_size_out_of_range():
    """A window smaller than a patch is refused."""
    with pytest.raises(ValueError, match="crop_size must be at least 4 pixels, got 3"):
        Sliding(crop_size=3)


def test_batch_size_out_of_range():
    """A batch holds at least one window."""
    with pytest.raises(ValueError, match="batch_size of sliding must be at least 1, got 0"):
        Sliding(batch_size=0)


def test_windows_come_in_batches():
    """Windows side by side go through the model together, as many as allowed."""
    model = Recorder()
    look = ViewLogits(model, torch.zeros(3, 16, 40), (16, 40), Sliding(16, 8, batch_size=3))
    look.reach(0)
    assert model.seen == [(3, 3, 16, 16), (1, 3, 16, 16)]


def test_model_runs_when_its_rows_are_reached():
    """A row of windows waits until the image is read as far as its first row."""
    model = Recorder()
    look = ViewLogits(model, torch.zeros(3, 64, 16), (64, 16), Sliding(16, 16))
    calls = []
    for row in range(0, 64, 8):
        look.reach(row)
        calls.append(len(model.seen))
    assert calls == [1, 1, 2, 2, 3, 3, 4, 4]


def test_maps_of_windows_above_are_let_go(monkeypatch):
    """However high the image, only the maps of the rows of windows that overlap are in memory."""
    kept, alive = [], []
    make = sliding.channels_last

    def watched(coarse):
        made = make(coarse)
        kept.append(weakref.ref(made))
        return made

    monkeypatch.setattr(sliding, "channels_last", watched)
    look = ViewLogits(Recorder(), torch.zeros(3, 800, 32), (800, 32), Sliding(32, 20))
    for row in range(0, 800, 4):
        look.reach(row)
        alive.append(sum(ref() is not None for ref in kept))
    assert len(kept) == 40
    assert max(alive[:-10]) == 2
    assert max(alive) <= 3  # the last window is moved back


def test_rows_of_windows_between_the_pixels_are_not_run():
    """A row of windows in which no pixel of the image has its centre is left out."""
    model = Recorder()
    look = ViewLogits(model, torch.zeros(3, 64, 16), (1, 1), Sliding(16, 16))  # the centre of the pixel lies at 32
    look.reach(0)
    assert len(model.seen) == 1
    assert look.logits((0, 1), (0, 1)).shape == (1, 1, 1)


def test_logits_of_a_flipped_look_lie_as_in_the_image():
    """A model that looks at each place for itself says the same of an image and of the flipped one."""
    image = torch.rand(3, 16, 24)
    tiles = []
    for flip in (False, True):
        look = ViewLogits(Recorder(), image, (16, 24), flip=flip)
        look.reach(0)
        tiles.append(look.logits((0, 16), (0, 24)))
    torch.testing.assert_close(tiles[0], tiles[1])


def test_windows_of_a_flipped_look_begin_at_the_right():
    """The flipped image is slid over from its own left border, as if it had been flipped before."""
    look = ViewLogits(Recorder(), torch.zeros(3, 16, 25), (16, 25), Sliding(10, 7), flip=True)
    assert sorted(look.columns.starts) == [0, 1, 8, 15]
