"""Windows that slide over a video."""

import weakref

import numpy as np
import pytest
import torch

from video.data.sampling import Dense, Segments
from video.data.transforms import Crops
from video.inference.sliding_clips import (
    AT_ONCE,
    WindowScores,
    frame_bounds,
    read_windows,
    score_over_time,
    window_length,
    window_starts,
)
from video.readers.opening import open_video
from video.readers.reader import VideoReader

SIZE = 8
CROPS = Crops(SIZE, SIZE)


class Numbered(VideoReader):
    """Square frames whose number is in their first two channels, noted when they are read and when they are gone."""

    def __init__(self, length, rate=10.0):
        self.length, self.rate, self.size = length, rate, (SIZE, SIZE)
        self.asked, self.alive, self.peak = [], 0, 0

    def close(self):
        """Nothing is open."""

    def read(self, indices):
        """Frames; more of them are alive until their memory is given back."""
        frames = np.zeros((len(indices), *self.size, 3), np.uint8)
        frames[..., 0], frames[..., 1] = (np.array([divmod(i, 256) for i in indices]).T)[..., None, None]
        weakref.finalize(frames, self.gone, len(indices))
        self.asked.append(list(indices))
        self.alive += len(indices)
        self.peak = max(self.peak, self.alive)
        return frames

    def gone(self, number):
        """Some frames are."""
        self.alive -= number


def numbers(clips):
    """Frame numbers of clips (b, 3, t, s, s)."""
    return (clips[:, 0, :, 0, 0].long() * 256 + clips[:, 1, :, 0, 0]).tolist()


def looked_at(reader, sampling, **settings):
    """The frames of each window, with the scores."""
    windows = []

    def model(clips):
        windows.extend(numbers(clips))
        return torch.full((len(clips), 2), 0.5)

    return windows, score_over_time(model, reader, sampling, CROPS, **settings)


def test_windows_by_hand():
    """Every second a window begins, and the last one ends with the video."""
    windows, scores = looked_at(Numbered(45), Dense(frames=8, stride=3))  # a window spans 22 frames
    assert [(window[0], window[-1]) for window in windows] == [(0, 21), (10, 31), (20, 41), (23, 44)]
    assert windows[1] == [10, 13, 16, 19, 22, 25, 28, 31]
    assert scores.starts == pytest.approx([0, 1, 2, 2.3])
    assert scores.ends == pytest.approx([2.2, 3.2, 4.2, 4.5])


@pytest.mark.parametrize("length", [1, 7, 8, 9, 16, 31, 100])
@pytest.mark.parametrize("step", [0.01, 0.5, 1.0, 60.0])
def test_windows_leave_no_frame_out(length, step):
    """However long video and step are, every frame is in a window, and no window begins twice."""
    starts = window_starts(np.arange(length) / 10, min(length, 8), step)
    covered = {int(start) + offset for start in starts for offset in range(min(length, 8))}
    assert covered == set(range(length))
    assert (np.diff(starts) > 0).all()


def test_times_that_are_rounded():
    """A frame that is shown a little before a second, because its file rounds times, is where a window begins."""
    assert window_starts(np.array([0, 0.5, 0.9995, 1.5, 1.999, 2.5, 3]), 3, 1.0).tolist() == [0, 2, 4]


def test_steps_shorter_than_a_frame():
    """There is no more than one window for each frame to begin with."""
    assert window_starts(np.arange(10) / 10, 6, 0.001).tolist() == [0, 1, 2, 3, 4]


def test_video_shorter_than_a_clip():
    """It is one window, which begins again as a dense clip does."""
    windows, scores = looked_at(Numbered(3), Dense(frames=8, stride=1))
    assert windows == [[0, 1, 2, 0, 1, 2, 0, 1]]
    assert (scores.starts.tolist(), scores.ends.tolist()) == ([0], [pytest.approx(0.3)])


def test_windows_of_segments():
    """A model of segments looks at 4 seconds at a time, divided as it divides a whole video."""
    sampling = Segments(5)
    windows, scores = looked_at(Numbered(55), sampling)
    assert windows[0] == sampling.test(40)[0]
    assert scores.starts == pytest.approx([0, 1, 1.5])
    assert looked_at(Numbered(30), sampling)[0] == sampling.test(30)


def test_window_of_slow_segments():
    """A window has a frame for each segment, however few there are in 4 seconds."""
    assert window_length(Segments(8), rate=1.0) == 8


def test_variable_frame_rate(encode):
    """Windows begin by the times of frames, not by their numbers."""
    times = [0, 40, 80, 500, 510, 520, 1020, 1030, 1040, 1500, 2040, 2080]  # milliseconds
    with open_video(encode("uneven.mp4", times=times)) as reader:
        scores = score_over_time(lambda clips: torch.ones(len(clips), 1), reader, Dense(4, 1), CROPS, 0.5)
        mean = 2.08 / 11
    assert scores.starts == pytest.approx([0, 0.5, 1.02, 1.04], abs=2e-3)
    assert scores.ends == pytest.approx([0.51, 1.03, 2.04, 2.08 + mean], abs=2e-3)


def test_bounds_of_frames(encode):
    """Every frame ends where the next one begins, and the last one lasts as long as the mean."""
    with open_video(encode("uneven.mp4", times=[0, 40, 500, 1200])) as reader:
        assert frame_bounds(reader) == pytest.approx([0, 0.04, 0.5, 1.2, 1.6], abs=2e-3)


def test_crops_count_alike():
    """A window's probabilities are the mean over its crops, however clips are put into batches."""
    reader = Numbered(40)
    reader.size = (SIZE, 2 * SIZE)
    sizes = []

    def model(clips):
        sizes.append(len(clips))
        seen = model.seen = model.seen + len(clips)
        return torch.arange(seen - len(clips), seen)[:, None] / torch.ones(1, 2)

    model.seen = 0
    scores = score_over_time(model, reader, Dense(20, 1), Crops(SIZE, SIZE, 3), batch=4)
    assert scores.probabilities.tolist() == [[1, 1], [4, 4], [7, 7]]
    assert sizes == [4, 4, 1]


def test_crops_show_their_parts_of_resized_frames(encode):
    """What the classifier is given are crops of the frames brought to the short edge."""
    crops, given = Crops(32, 24, 3), []
    with open_video(encode("clip.mp4", frames=10)) as reader:
        model = lambda clips: given.append(clips) or torch.ones(len(clips), 1)  # noqa: E731
        score_over_time(model, reader, Dense(4, 2), crops, batch=3)
        frames = next(read_windows(reader, np.array([[0, 2, 4, 6]]), crops))
    assert (given[0].shape, given[0].dtype, frames.shape) == ((3, 3, 4, 24, 24), torch.uint8, (4, 3, 32, 48))
    assert torch.equal(given[0][2].transpose(0, 1), frames[:, :, 4:28, 24:48])


def test_each_frame_is_read_once_and_in_order():
    """Windows that overlap share their frames, also where they take different ones."""
    reader = Numbered(120)
    windows, _ = looked_at(reader, Dense(8, 4), step_seconds=0.7)
    asked = [number for numbers in reader.asked for number in numbers]
    assert asked == sorted({number for window in windows for number in window})
    assert max(map(len, reader.asked)) <= AT_ONCE


@pytest.mark.parametrize("length", [400, 4000])
def test_few_frames_are_alive(length):
    """Memory depends on what a window spans, not on how long the video is."""
    reader = Numbered(length)
    looked_at(reader, Dense(16, 2), step_seconds=0.5, batch=1)
    assert reader.peak <= 31 + 2 * AT_ONCE
    assert reader.alive == 0


def test_end_that_is_found_damaged():
    """Windows beyond the last frame that can be decoded are dropped, and the video ends with that."""
    reader = Numbered(60)
    read = reader.read

    def damaged(indices):
        if max(indices) > 34:
            reader.length = 35
        return read(indices)

    reader.read = damaged
    _, scores = looked_at(reader, Dense(10, 1))
    assert scores.starts == pytest.approx([0, 1, 2, 3])
    assert scores.ends == pytest.approx([1, 2, 3, 3.5])
    assert len(scores.probabilities) == 4


@pytest.mark.parametrize(("step", "batch"), [(0.0, 4), (-1.0, 4), (float("nan"), 4), (1.0, 0)])
def test_numbers_out_of_range(step, batch):
    """No progress and no clips are refused."""
    with pytest.raises(ValueError, match="step_seconds must be above 0 and batch 1 or more"):
        looked_at(Numbered(20), Dense(4, 1), step_seconds=step, batch=batch)


def test_scores_are_plain_numbers():
    """Half-precision probabilities come out in float32."""
    model = lambda clips: torch.ones(len(clips), 3, dtype=torch.bfloat16) / 4  # noqa: E731
    scores = score_over_time(model, Numbered(30), Dense(4, 1), CROPS)
    assert isinstance(scores, WindowScores)
    assert (scores.probabilities.dtype, scores.probabilities.max()) == (np.float32, 0.25)
