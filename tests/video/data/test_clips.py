"""Videos as training clips and as views."""

import itertools

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from swinv2.training.samplers import SeededDataset
from video.data.clips import CHUNK, TrainingClips, ViewedVideos, Views, read, read_views
from video.data.lists import VideoItem
from video.data.sampling import Dense, Segments
from video.data.transforms import Crops, train_transform
from video.readers.opening import UnreadableVideoError, open_video

LENGTH, HEIGHT, WIDTH = 12, 32, 48
LEVEL = 20  # grey of frame i is 20 i


def write_video(path, length=LENGTH):
    """A video whose frames tell their number by their grey."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (WIDTH, HEIGHT))
    for index in range(length):
        writer.write(np.full((HEIGHT, WIDTH, 3), index * LEVEL % 256, np.uint8))
    writer.release()
    return path


@pytest.fixture
def items(tmp_path):
    """Three videos of classes 0, 1, 2; the second one is empty."""
    paths = [write_video(tmp_path / f"{name}.mp4") for name in "abc"]
    paths[1].write_bytes(b"")
    return [VideoItem(path, label) for label, path in enumerate(paths)]


def numbers(clip):
    """Frame numbers by grey, of frames (t, 3, h, w)."""
    return ((clip.float().mean((1, 2, 3)) - 1) / LEVEL).round().int().tolist()


def training(items, frames=4):
    """Clips of neighbouring frames, as they are."""
    return TrainingClips(items, Dense(frames, 1), v2.Identity())


def viewed(items, clips=1, crops=1, sampling=None):
    """Views of 16 pixels in frames of 16 by 24."""
    return ViewedVideos(items, sampling or Dense(4, 1), clips, Crops(16, 16, crops))


def test_training_clip(items):
    """A clip has the frames that were sampled, with the label of its video."""
    clip, label = training(items)[2]
    assert (clip.shape, clip.dtype, label) == ((4, 3, HEIGHT, WIDTH), torch.uint8, 2)
    first = numbers(clip)[0]
    assert numbers(clip) == [first, first + 1, first + 2, first + 3]


def test_training_clips_are_transformed(items):
    """The transform is given the whole clip."""
    clips = TrainingClips(items, Segments(5), train_transform(16))
    assert clips[0][0].shape == (5, 3, 16, 16)


def test_unreadable_video_in_training(items, caplog):
    """The next video comes in its place, and the log counts it once."""
    clips = training(items)
    assert [clips[1][1], clips[1][1], len(clips)] == [2, 2, 3]
    assert [record.getMessage() for record in caplog.records] == [
        f"Skipped a video, 1 of 3 so far: {items[1].path} is empty."
    ]
    assert 1 in clips.skipped


def test_last_video_is_unreadable(items):
    """After the last video comes the first."""
    assert training(items[:2])[1][1] == 0


def test_replacement_is_the_same_when_the_loss_is_known(items):
    """What comes in place of an unreadable video does not depend on whether it was tried before."""
    clips = SeededDataset(training(items, frames=2), seed=3)
    assert torch.equal(clips[5, 1][0], clips[5, 1][0])
    fresh = SeededDataset(training(items, frames=2), seed=3)
    assert torch.equal(fresh[5, 1][0], clips[5, 1][0])


def test_no_video_is_readable(items):
    """Training on nothing is an error that names the first file."""
    with pytest.raises(UnreadableVideoError, match=r"None of the 1 videos can be read, first .*b\.mp4"):
        training(items[1:2])[0]


def test_clips_differ_between_epochs(items):
    """Each epoch takes other frames, and the same ones when it is run again."""
    clips = SeededDataset(training(items, frames=2), seed=0)
    starts = [numbers(clips[epoch, 0][0])[0] for epoch in range(8)]
    assert len(set(starts)) > 2
    assert starts == [numbers(clips[epoch, 0][0])[0] for epoch in range(8)]


def test_views_of_a_video(items):
    """A test gets the clips in order, each in all crops, and what the video is."""
    views, target = viewed(items, clips=3, crops=3)[2]
    assert len(views) == len(list(views)) == 9
    assert {(view.shape, view.dtype) for view in views} == {((3, 4, 16, 16), torch.uint8)}
    assert [numbers(view.transpose(0, 1))[0] for view in views] == [0, 0, 0, 4, 4, 4, 8, 8, 8]
    assert numbers(views[8].transpose(0, 1)) == [8, 9, 10, 11]
    assert target == {"label": 2, "video_id": 3, "path": items[2].path}


def test_unreadable_video_in_validation(items, caplog):
    """It is left out, and the log counts it once."""
    videos = viewed(items)
    assert [videos[1], videos[1]] == [None, None]
    assert [record.getMessage() for record in caplog.records] == [
        f"Skipped a video, 1 of 3 so far: {items[1].path} is empty."
    ]
    assert videos[0] is not None


def test_validation_needs_a_clip(items):
    """No clips at all are refused."""
    with pytest.raises(ValueError, match=r"val_clips 0: .* 1 or more"):
        viewed(items, clips=0)


def test_video_shorter_than_a_clip(items):
    """Few frames begin again."""
    views, _ = viewed(items, sampling=Dense(16, 1))[0]
    assert numbers(views[0].transpose(0, 1)) == [*range(12), 0, 1, 2, 3]


def test_crops_are_parts_of_the_resized_frames():
    """A view shows the frames of its clip at its place."""
    frames = torch.randint(0, 256, (6, 3, 16, 24), dtype=torch.uint8)
    views = Views(frames, [[0, 1], [5, 3]], [(0, 0), (2, 7)], size=12)
    assert torch.equal(views[0], frames[[0, 1], :, :12, :12].transpose(0, 1))
    assert torch.equal(views[3], frames[[5, 3], :, 2:14, 7:19].transpose(0, 1))


@pytest.mark.parametrize("index", [-1, 4])
def test_view_that_is_not_there(index):
    """An index out of range says how many views there are."""
    views = Views(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), [[0], [1]], [(0, 0), (0, 0)], size=8)
    with pytest.raises(IndexError, match=f"no view {index}; there are 4"):
        views[index]


def test_each_frame_is_decoded_once(tmp_path, monkeypatch):
    """Overlapping clips share their frames, which are read in order, few at a time, and kept in the size looked at."""
    path = write_video(tmp_path / "long.mp4", length=CHUNK + 9)
    with open_video(path) as reader:
        reads, read_frames = [], reader.read
        monkeypatch.setattr(reader, "read", lambda indices: reads.append(list(indices)) or read_frames(indices))
        clips = Dense(20, 2).test(reader.length, clips=4)
        views = read_views(reader, clips, Crops(16, 16, 5))
    needed = list(itertools.chain.from_iterable(reads))
    assert needed == sorted({index for clip in clips for index in clip})
    assert max(map(len, reads)) <= CHUNK < len(needed)
    assert len(views) == 20
    assert views.frames.shape == (len(needed), 3, 16, 24)


def test_frames_are_resized_without_aliasing(tmp_path):
    """Frames of a test are those of torchvision's resize, chunk by chunk as all at once."""
    with open_video(write_video(tmp_path / "long.mp4", length=CHUNK + 3)) as reader:
        indices = list(range(CHUNK + 3))
        views = read_views(reader, [indices], Crops(16, 16, 1))
        assert torch.equal(views.frames, F.resize(read(reader, indices), [16, 24], antialias=True))


def test_views_pass_between_processes(items):
    """A process that loads data hands views over as they are."""
    loaded = list(DataLoader(viewed(items, clips=2), batch_size=None, num_workers=1))
    assert loaded[1] is None
    assert torch.equal(loaded[0][0][1], viewed(items, clips=2)[0][0][1])


def test_folder_of_frames(tmp_path):
    """A folder of pictures is read as a video."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(5):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((HEIGHT, WIDTH, 3), index * LEVEL + 1, np.uint8))
    clip, _ = training([VideoItem(folder, 0)])[0]
    assert numbers(clip)[3] == numbers(clip)[0] + 3
