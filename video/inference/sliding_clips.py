"""What a classifier of clips sees in a video of any length: windows that slide over it, few frames in memory."""

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

AT_ONCE = 8  # frames that are there in the size of the file at the same time
SEGMENTS_LAST = 4.0  # seconds; what a clip of Something-Something lasts on average (arXiv 1706.04261)
INSTANT = 1e-3  # seconds; containers round the times of frames by less than this

Probabilities = Callable[[UInt8[Tensor, "b 3 t s s"]], Float[Tensor, "b k"]]


@dataclass(frozen=True)
class WindowScores:
    """Probabilities of the classes in windows that cover a video from its beginning to its end, in order.

    Attributes:
        starts: when each window begins, seconds.
        ends: when it ends, seconds; the last one's is the duration of the video.
        probabilities: of the classes in each window.
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
    """Classify windows of a video, each as long as a clip; the last one ends with the video.

    Of a dense clip that is from its first frame to its last; of segments it is the 4 seconds that a video of
    Something-Something lasts on average. A video that is shorter than that is one window. Frames are decoded once and
    in order; those that a window spans are kept, resized, so that memory does not depend on the video's length.

    Args:
        probabilities: the classifier, from clips to the probabilities of each.
        reader: the video.
        sampling: which frames of a window make a clip.
        crops: which parts of the frames are looked at; their mean counts.
        step_seconds: from the beginning of a window to that of the next, at most the length of a window.
        batch: how many clips the classifier is given at a time.

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
    there = starts < reader.length  # which became smaller if the end is damaged
    ends = bounds[np.minimum(starts + span, reader.length)]
    return WindowScores(bounds[starts[there]], ends[there], means[there])


def classify(
    probabilities: Probabilities, clips: Iterator[UInt8[Tensor, "3 t s s"]], count: int, batch: int
) -> Float32[Tensor, "n k"]:
    """The probabilities of each clip.

    Their memory is taken at once: small results that stay, put between large clips that come and go, would tear the
    free memory into pieces too small for the next clip, and the process would grow by most of each batch.

    Args:
        probabilities: the classifier.
        clips: as many as `count`.
        count: 1 or more.
        batch: how many are classified at a time.
    """
    table = torch.empty(count, 0)
    for start in range(0, count, batch):
        found = probabilities(torch.stack(list(islice(clips, batch))))
        table = table if start else torch.empty(count, found.shape[1])
        table[start : start + batch] = found
    return table


def frame_bounds(reader: VideoReader) -> Float64[np.ndarray, " {reader.length}+1"]:
    """When each frame of a video begins to be shown, and when the last one ends, seconds."""
    times = reader.times(range(reader.length))
    return np.append(times, times[-1] + 1 / reader.rate)


def window_length(sampling: Dense | Segments, rate: float) -> int:
    """How many frames of a video a window spans.

    Args:
        sampling: which of them make a clip.
        rate: frames per second.
    """
    if isinstance(sampling, Dense):
        return (sampling.frames - 1) * sampling.stride + 1
    return max(round(SEGMENTS_LAST * rate), sampling.frames)


def window_starts(times: Float64[np.ndarray, " frames"], span: int, step_seconds: float) -> Int64[np.ndarray, " n"]:
    """The first frames of windows that leave no frame out.

    Args:
        times: when each frame begins to be shown, seconds.
        span: frames of a window, at most as many as there are.
        step_seconds: from one window to the next, as far as that leaves none out.
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
    """The resized frames of each window.

    Args:
        reader: the video.
        windows: frame numbers; no window begins before the one before it.
        crops: which parts are to be seen.
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
    """The crops of a window."""
    for top, left in crops.places(*frames.shape[-2:]):
        yield frames[:, :, top : top + crops.size, left : left + crops.size].transpose(0, 1)
