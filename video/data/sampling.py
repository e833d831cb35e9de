"""Which frames of a video make a clip: numbers only, no pictures."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Dense:
    """Neighbouring frames at a fixed stride (Kinetics; mmaction2's `SampleFrames`).

    A video that is shorter than a clip begins again.

    Attributes:
        frames: of a clip, 1 or more.
        stride: from one frame to the next, 1 or more; 1 takes all.

    Raises:
        ValueError: a number below 1.
    """

    frames: int = 32
    stride: int = 2

    def __post_init__(self) -> None:
        """Check the numbers."""
        check(frames=self.frames, stride=self.stride)

    def train(self, length: int) -> list[int]:
        """A clip that begins anywhere, as far as all of it, with a stride after its last frame, is in the video.

        Args:
            length: frames in the video.

        Raises:
            ValueError: no frames.
        """
        check(length=length)
        starts = max(length - self.frames * self.stride + 1, 1)
        return self._clip(int(torch.randint(starts, ())), length)

    def test(self, length: int, clips: int = 1) -> list[list[int]]:
        """One clip in the middle, or several evenly from the first frame to the last; they may overlap.

        Args:
            length: frames in the video.
            clips: how many.

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
    """One frame of each of as many equal parts of the whole video (Something-Something; TSN's sampling).

    The bounds of the parts are those of SlowFast and Video Swin (mmaction2's `UniformSampleFrames` with
    `repeat_frame`): neighbours share one, and of a video with fewer frames than parts some frames come repeatedly.

    Attributes:
        frames: of a clip, 1 or more.

    Raises:
        ValueError: a number below 1.
    """

    frames: int = 8

    def __post_init__(self) -> None:
        """Check the number."""
        check(frames=self.frames)

    def train(self, length: int) -> list[int]:
        """Any frame of each part.

        Args:
            length: frames in the video.

        Raises:
            ValueError: no frames.
        """
        return [int(torch.randint(first, last + 1, ())) for first, last in self._parts(length)]

    def test(self, length: int, clips: int = 1) -> list[list[int]]:
        """The middle frame of each part; with several clips, each part is divided evenly among them.

        Args:
            length: frames in the video.
            clips: how many.

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
    """The frames of another sampling in random order: a control, which shows how much of a class the order tells.

    Attributes:
        sampling: what chooses the frames.
    """

    sampling: Dense | Segments

    @property
    def frames(self) -> int:
        """Of a clip."""
        return self.sampling.frames

    def train(self, length: int) -> list[int]:
        """A clip in any order; for `length` see the sampling."""
        return shuffled(self.sampling.train(length))

    def test(self, length: int, clips: int = 1) -> list[list[int]]:
        """Each clip in an order of its own, the same in every test."""
        chosen = enumerate(self.sampling.test(length, clips))
        return [shuffled(clip, torch.Generator().manual_seed(number)) for number, clip in chosen]


Sampling = Dense | Segments | Shuffled


def shuffled(items: list[int], generator: torch.Generator | None = None) -> list[int]:
    """Numbers in random order."""
    return [items[place] for place in torch.randperm(len(items), generator=generator).tolist()]


def check(**numbers: int) -> None:
    """See that none of some numbers is below 1.

    Raises:
        ValueError: one is.
    """
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} {number}: give 1 or more.")
