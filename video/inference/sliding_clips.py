"""Classification of a video of any length by sliding windows, with few frames in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64, UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from video.data.clips import read
from video.data.sampling import Dense, Segments
from video.data.transforms import Crops
from video.readers.reader import VideoReader

AT_ONCE = 8  # frames in memory at the same time in the size of the file
SEGMENTS_LAST = 4.0  # mean duration of a video of Something-Something, seconds (arXiv 1706.04261)
INSTANT = 1e-3  # seconds; containers round the times of frames by less than this

Probabilities = Callable[[UInt8[Tensor, "b 3 t s s"]], Float[Tensor, "b k"]]


@dataclass(frozen=True)
class WindowScores:
    """Class probabilities in windows that cover a whole video, in order.

    Attributes:
        starts: start of each window, seconds.
        ends: end of each window, seconds; the last is the duration of the video.
        probabilities: class probabilities in each window.
    """

    starts: Float64[np.ndarray, " n"]
    ends: Float64[np.ndarray, " n"]
    probabilities: Float32[np.ndarray, "n k"]


def score_over_time(
    probabilities: Probabilities,
    reader: VideoReader,
    sampling: Dense | Segments,
    crops: Crops,
    step_seconds: float = 1.0,
    batch: int = 4,
) -> WindowScores:
    """Classify sliding windows of a video, each as long as a clip; the last one ends with the video.

    A dense clip lasts from its first frame to its last; a clip of segments 4 seconds, the mean duration of a video of
    Something-Something. A shorter video is one window. Frames are decoded once and in order; only the resized frames of
    the current window are kept, so that memory does not depend on the video's length.

    Args:
        probabilities: the classifier, from clips to class probabilities.
        reader: the video.
        sampling: choice of the frames of a window that make a clip.
        crops: crops of the frames, over which probabilities are averaged.
        step_seconds: distance from the start of a window to that of the next, at most the length of a window.
        batch: number of clips per call of the classifier.

    Raises:
        UnreadableVideoError: a frame cannot be read.
        ValueError: a number out of range.
    """
    if not step_seconds > 0 or batch < 1:
        raise ValueError(f"step_seconds must be above 0 and batch 1 or more, got {step_seconds} and {batch}.")
    bounds = frame_bounds(reader)
    span = min(window_length(sampling, reader.rate), reader.length)
    starts = window_starts(bounds[:-1], span, step_seconds)
    windows = starts[:, None] + np.array(sampling.test(span)[0])  # (n, t)
    clips = (clip for frames in read_windows(reader, windows, crops) for clip in crop(frames, crops))
    found = classify(probabilities, clips, len(windows) * crops.count, batch)
    means = found.unflatten(0, (-1, crops.count)).mean(1).numpy()  # (n, k)
    there = starts < reader.length  # it became smaller if the end is damaged
    ends = bounds[np.minimum(starts + span, reader.length)]
    return WindowScores(bounds[starts[there]], ends[there], means[there])


def classify(
    probabilities: Probabilities, clips: Iterator[UInt8[Tensor, "3 t s s"]], count: int, batch: int
) -> Float32[Tensor, "n k"]:
    """Class probabilities of each clip.

    Their memory is allocated at once: small results between large temporary clips would fragment the heap, and the
    process would grow by most of each batch.

    Args:
        probabilities: the classifier.
        clips: the clips, `count` in number.
        count: number of clips, 1 or more.
        batch: number of clips per call of the classifier.
    """
    table = torch.empty(count, 0)
    for start in range(0, count, batch):
        found = probabilities(torch.stack(list(islice(clips, batch))))
        table = table if start else torch.empty(count, found.shape[1])
        table[start : start + batch] = found
    return table


def frame_bounds(reader: VideoReader) -> Float64[np.ndarray, " {reader.length}+1"]:
    """Presentation time of each frame of a video, and end of the last one, seconds."""
    times = reader.times(range(reader.length))
    return np.append(times, times[-1] + 1 / reader.rate)


def window_length(sampling: Dense | Segments, rate: float) -> int:
    """Number of frames that a window spans.

    Args:
        sampling: choice of the frames that make a clip.
        rate: frames per second.
    """
    if isinstance(sampling, Dense):
        return (sampling.frames - 1) * sampling.stride + 1
    return max(round(SEGMENTS_LAST * rate), sampling.frames)


def window_starts(times: Float64[np.ndarray, " frames"], span: int, step_seconds: float) -> Int64[np.ndarray, " n"]:
    """First frame of each window, such that windows cover all frames.

    Args:
        times: presentation time of each frame, seconds.
        span: number of frames of a window, at most that of the video.
        step_seconds: distance from one window to the next; less where frames would be left out.
    """
    last, starts = len(times) - span, [0]
    while starts[-1] < last:
        now = starts[-1]
        later = int(np.searchsorted(times, times[now] + step_seconds - INSTANT))
        starts.append(min(max(later, now + 1), now + span, last))
    return np.array(starts, np.int64)


def read_windows(
    reader: VideoReader, windows: Int64[np.ndarray, "n t"], crops: Crops
) -> Iterator[UInt8[Tensor, "t 3 h w"]]:
    """Read and resize the frames of each window.

    Args:
        reader: the video.
        windows: frame numbers of each window, in ascending order of their starts.
        crops: crops, which determine the size.
    """
    size = list(crops.resized(*reader.size))
    needed, kept, at = np.unique(windows).tolist(), dict[int, Tensor](), 0
    for window in windows.tolist():
        for dropped in [number for number in kept if number < min(window)]:
            del kept[dropped]
        while at < len(needed) and needed[at] <= max(window):
            some = needed[at : at + AT_ONCE]
            kept |= zip(some, F.resize(read(reader, some), size, antialias=True), strict=True)
            at += len(some)
        yield torch.stack([kept[number] for number in window])


def crop(frames: UInt8[Tensor, "t 3 h w"], crops: Crops) -> Iterator[UInt8[Tensor, "3 t s s"]]:
    """Crop the frames of a window."""
    for top, left in crops.places(*frames.shape[-2:]):
        yield frames[:, :, top : top + crops.size, left : left + crops.size].transpose(0, 1)
