"""Frames of a video that make a clip: `Dense` (Kinetics), `Segments` (Something-Something, TSN) or `Shuffled`."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Dense:
    """Dense sampling: frames at a fixed stride (Kinetics; mmaction2's `SampleFrames`).

    A video that is shorter than a clip is repeated.

    Attributes:
        frames: number of frames per clip, 1 or more.
        stride: distance from one frame to the next, 1 or more.

    Raises:
        ValueError: a number below 1.
    """

    frames: int = 32
    stride: int = 2

    def __post_init__(self) -> None:
        """Raise unless both are 1 or more."""
        check(frames=self.frames, stride=self.stride)

    def train(self, length: int) -> list[int]:
        """Clip at a random start, such that it and a stride after its last frame lie in the video.

        Args:
            length: number of frames in the video.

        Raises:
            ValueError: no frames.
        """
        check(length=length)
        starts = max(length - self.frames * self.stride + 1, 1)
        return self._clip(int(torch.randint(starts, ())), length)

    def test(self, length: int, clips: int = 1) -> list[list[int]]:
        """One clip in the middle, or several evenly spaced from first to last frame, which may overlap.

        Args:
            length: number of frames in the video.
            clips: number of clips.

        Raises:
            ValueError: no frames, or no clips.
        """
        check(length=length, clips=clips)
        latest = max(length - (self.frames - 1) * self.stride - 1, 0)
        starts = [latest // 2] if clips == 1 else [round(i * (latest / (clips - 1))) for i in range(clips)]
        return [self._clip(start, length) for start in starts]

    def _clip(self, start: int, length: int) -> list[int]:
        return [(start + i * self.stride) % length for i in range(self.frames)]


@dataclass(frozen=True)
class Segments:
    """Segment sampling: one frame from each of `frames` equal parts of the video (Something-Something; TSN).

    The bounds of the parts are those of SlowFast and Video Swin (mmaction2's `UniformSampleFrames` with
    `repeat_frame`): neighbours share one, and frames of a video with fewer frames than parts are repeated.

    Attributes:
        frames: number of frames per clip, 1 or more.

    Raises:
        ValueError: a number below 1.
    """

    frames: int = 8

    def __post_init__(self) -> None:
        """Raise unless it is 1 or more."""
        check(frames=self.frames)

    def train(self, length: int) -> list[int]:
        """Random frame of each part.

        Args:
            length: number of frames in the video.

        Raises:
            ValueError: no frames.
        """
        return [int(torch.randint(first, last + 1, ())) for first, last in self._parts(length)]

    def test(self, length: int, clips: int = 1) -> list[list[int]]:
        """Middle frame of each part; with several clips, each part is divided evenly among them.

        Args:
            length: number of frames in the video.
            clips: number of clips.

        Raises:
            ValueError: no frames, or no clips.
        """
        check(clips=clips)
        parts = self._parts(length)
        return [
            [first + (last - first) * (2 * clip + 1) // (2 * clips) for first, last in parts] for clip in range(clips)
        ]

    def _parts(self, length: int) -> list[tuple[int, int]]:
        """First and last frame of each part."""
        check(length=length)
        size = (length - 1) / self.frames
        return [(round(size * i), round(size * (i + 1))) for i in range(self.frames)]


@dataclass(frozen=True)
class Shuffled:
    """Another sampling with shuffled frames: a control, which shows how much the order matters.

    Attributes:
        sampling: choice of the frames.
    """

    sampling: Dense | Segments

    @property
    def frames(self) -> int:
        """Number of frames per clip."""
        return self.sampling.frames

    def train(self, length: int) -> list[int]:
        """Clip in random order; for `length` see the sampling."""
        return shuffled(self.sampling.train(length))

    def test(self, length: int, clips: int = 1) -> list[list[int]]:
        """Clips, each in its own random order, which is the same in every test."""
        chosen = enumerate(self.sampling.test(length, clips))
        return [shuffled(clip, torch.Generator().manual_seed(number)) for number, clip in chosen]


Sampling = Dense | Segments | Shuffled


def shuffled(items: list[int], generator: torch.Generator | None = None) -> list[int]:
    """Shuffle numbers."""
    return [items[place] for place in torch.randperm(len(items), generator=generator).tolist()]


def check(**numbers: int) -> None:
    """Raise unless all numbers are 1 or more.

    Raises:
        ValueError: a number is below 1.
    """
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} {number}: give 1 or more.")
