"""Changes of training clips and the crops of a test."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import Video

from video.data.transforms import SHAPES, Crops, MultiScaleCrop, train_transform


def repeated(frames=4, height=24, width=32):
    """A clip of one noisy frame again and again, with the channels innermost as after decoding."""
    frame = torch.randint(0, 256, (1, height, width, 3), dtype=torch.uint8)
    return Video(frame.repeat(frames, 1, 1, 1).permute(0, 3, 1, 2))


def numbered(height, width):
    """A clip of one frame whose red is the row and whose green is the column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return Video(torch.stack([rows, columns, columns])[None].to(torch.uint8))


@pytest.mark.parametrize("setting", [{}, {"multi_scale": True}, {"rand_augment": (2, 9)}, {"rand_augment": (4, 30)}])
def test_all_frames_change_alike(setting):
    """Frames that are equal before are equal after, whatever was drawn, and many different clips come out."""
    transform, clip = train_transform(16, **setting), repeated()
    changed = [transform(clip) for _ in range(40)]
    assert all((one.shape, one.dtype) == ((4, 3, 16, 16), torch.uint8) for one in changed)
    assert all(torch.equal(one, one[:1].expand_as(one)) for one in changed)
    assert len({one.numpy().tobytes() for one in changed}) > 30


@pytest.mark.parametrize("operation", list(v2.RandAugment._AUGMENTATION_SPACE))
def test_each_operation_of_rand_augment_treats_all_frames_alike(operation, monkeypatch):
    """Every operation of torchvision's RandAugment is done to a whole clip at once."""
    space = v2.RandAugment._AUGMENTATION_SPACE
    monkeypatch.setattr(v2.RandAugment, "_AUGMENTATION_SPACE", {operation: space[operation]})
    clip = repeated()
    changed = train_transform(16, flip_prob=0.0, rand_augment=(1, 15))(clip)
    assert torch.equal(changed, changed[:1].expand_as(changed))


def test_same_seed_gives_the_same_clip():
    """All that is random comes from torch's random numbers."""
    transform, clip = train_transform(16, rand_augment=(2, 9)), repeated()
    changed = []
    for _ in range(2):
        torch.manual_seed(5)
        changed.append(transform(clip))
    assert torch.equal(*changed)


def test_whole_frames_without_changes():
    """With the whole area, square frames are only resized."""
    clip = repeated(height=24, width=24)
    changed = train_transform(12, scale_range=(1.0, 1.0), flip_prob=0.0)(clip)
    assert torch.equal(changed, F.resize(clip, [12, 12], antialias=True))


@pytest.mark.parametrize(("flip_prob", "flipped"), [(0.0, False), (1.0, True)])
def test_flip(flip_prob, flipped, monkeypatch):
    """Left and right are never exchanged where the probability is 0, always where it is 1."""
    monkeypatch.setattr("video.data.transforms.PLACES", [(0, 0)])
    monkeypatch.setattr("video.data.transforms.SHAPES", [(1.0, 1.0)])
    clip = numbered(20, 20)
    changed = train_transform(20, multi_scale=True, flip_prob=flip_prob)(clip)
    assert torch.equal(changed, clip.flip(-1) if flipped else clip)


def test_multi_scale_crop_takes_all_sizes_and_places():
    """Sides are the four shares of the short edge, at most one step apart; places are thirteen."""
    crop = MultiScaleCrop(8)
    drawn = [crop.make_params([numbered(100, 140)])["part"] for _ in range(2000)]
    assert {(rows, columns) for _, _, rows, columns in drawn} == {(int(100 * a), int(100 * b)) for a, b in SHAPES}
    assert len(SHAPES) == 10
    whole = {(top, left) for top, left, rows, columns in drawn if (rows, columns) == (75, 75)}
    assert whole == {
        *((0, 0), (0, 65), (25, 0), (25, 65), (12, 32)),  # corners and middle
        *((0, 32), (25, 32), (12, 0), (12, 65)),  # sides
        *((6, 16), (6, 48), (18, 16), (18, 48)),  # quarters
    }


def test_multi_scale_crop_resizes_the_part():
    """What comes out is the part that was drawn, in the size asked for."""
    clip = repeated()
    changed = MultiScaleCrop(8).transform(clip, {"part": (3, 4, 12, 18)})
    assert torch.equal(changed, F.resize(clip[..., 3:15, 4:22], [8, 8], antialias=True))


def test_tiny_frames():
    """Frames of few pixels are enlarged."""
    for multi_scale in (False, True):
        assert train_transform(16, multi_scale=multi_scale)(repeated(height=1, width=2)).shape == (4, 3, 16, 16)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"size": 0}, r"size 0: give the height and width"),
        ({"scale_range": (0.0, 1.0)}, r"scale_range \(0\.0, 1\.0\): .* ascending, e\.g\. \[0\.08, 1\.0\]"),
        ({"scale_range": (0.9, 0.5)}, r"scale_range \(0\.9, 0\.5\)"),
        ({"scale_range": (0.5, 1.5)}, r"scale_range \(0\.5, 1\.5\)"),
        ({"flip_prob": 1.5}, r"flip_prob 1\.5: give a probability"),
        ({"rand_augment": (0, 9)}, r"rand_augment \(0, 9\): .* e\.g\. \[2, 9\]; null for none"),
        ({"rand_augment": (2, 31)}, r"rand_augment \(2, 31\): .* 0 to 30"),
    ],
)
def test_settings_out_of_range(setting, message):
    """A setting that makes no sense is refused with what is allowed."""
    with pytest.raises(ValueError, match=message):
        train_transform(**{"size": 16} | setting)


@pytest.mark.parametrize(
    ("size", "short_edge", "resized"),
    [((240, 320), 224, (224, 299)), ((320, 240), 256, (341, 256)), ((100, 100), 128, (128, 128))],
)
def test_short_edge(size, short_edge, resized):
    """Frames are resized to the short edge, and keep their proportions."""
    assert Crops(short_edge, 32).resized(*size) == resized


@pytest.mark.parametrize(
    ("count", "size", "places"),
    [
        (1, (64, 96), [(16, 32)]),
        (1, (65, 96), [(16, 32)]),
        (3, (64, 96), [(16, 0), (16, 32), (16, 64)]),
        (3, (96, 64), [(0, 16), (32, 16), (64, 16)]),
        (3, (32, 45), [(0, 0), (0, 6), (0, 13)]),
        (5, (32, 64), [(0, 0), (0, 8), (0, 16), (0, 24), (0, 32)]),
        (5, (42, 32), [(0, 0), (2, 0), (5, 0), (7, 0), (10, 0)]),
        (3, (32, 32), [(0, 0), (0, 0), (0, 0)]),
    ],
)
def test_places_of_crops(count, size, places):
    """One crop is in the middle; three and five are spread along the longer edge, ends included."""
    assert Crops(32, 32, count).places(*size) == places


def test_middle_of_three_is_the_one():
    """More crops contain the single one."""
    for size in ((50, 71), (71, 50), (33, 40)):
        one, three, five = (Crops(32, 32, count).places(*size) for count in (1, 3, 5))
        assert [one[0], five[2]] == [three[1], three[1]]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ((224, 256, 1), r"short_edge 224 is less than size 256; .* 256 or more"),
        ((224, 224, 2), r"val_crops 2: give 1 \(the middle\), 3 or 5"),
        ((224, -1, 1), r"size -1"),
    ],
)
def test_crops_out_of_range(setting, message):
    """Crops that do not fit, or of another number, are refused."""
    with pytest.raises(ValueError, match=message):
        Crops(*setting)


def test_channels_stay_innermost():
    """A crop is resized in the memory layout of decoding, which is the fast one."""
    frames = np.zeros((2, 20, 30, 3), np.uint8)
    changed = train_transform(8)(Video(torch.from_numpy(frames).permute(0, 3, 1, 2)))
    assert changed.stride(1) == 1
