"""Data sets of training clips, and of the views of validation videos."""

import itertools
from collections.abc import Container, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import Video

from swinv2.imaging.datasets import Skipped
from video.data.lists import VideoItem
from video.data.sampling import Sampling
from video.data.transforms import Crops
from video.readers.opening import UnreadableVideoError, VideoReader, open_video, read_first_frame

CHUNK = 32  # frames in memory at the same time in the size of the file


class Views:
    """Views (clips × crops) of one video: few frames in memory, each view cut out on access.

    View 0 is the first crop of the first clip, view 1 its second crop. It is no list because Lightning would move all
    views of a list to the GPU at once.

    Args:
        frames: frames of all clips, resized.
        clips: indices in `frames` of each clip's frames.
        places: upper left corners of the crops, pixels.
        size: height and width of the crops, pixels.
    """

    def __init__(
        self,
        frames: UInt8[Tensor, "n 3 h w"],
        clips: Sequence[Sequence[int]],
        places: Sequence[tuple[int, int]],
        size: int,
    ) -> None:
        self.frames = frames
        self.clips = clips
        self.places = places
        self.size = size

    def __len__(self) -> int:
        return len(self.clips) * len(self.places)

    def __iter__(self) -> Iterator[UInt8[Tensor, "3 t s s"]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> UInt8[Tensor, "3 t s s"]:
        if not 0 <= index < len(self):
            raise IndexError(f"There is no view {index}; there are {len(self)}, from 0.")
        clip, place = divmod(index, len(self.places))
        top, left = self.places[place]
        square = self.frames[:, :, top : top + self.size, left : left + self.size]  # (n, 3, s, s)
        return square[list(self.clips[clip])].transpose(0, 1)  # (3, t, s, s)


class TrainingClips(Dataset[tuple[Video, int]]):
    """Random clip of each video, as uint8 (frames, 3, height, width), with its label.

    A video that cannot be read is replaced by the next one, and the log counts it.

    Args:
        items: videos and their labels.
        sampling: choice of the frames.
        transform: transform of all frames together.
        backend: decoder of files, see `open_video`.

    Attributes:
        skipped: positions of the videos that cannot be read.
    """

    def __init__(
        self, items: Sequence[VideoItem], sampling: Sampling, transform: v2.Transform, backend: str = "pyav"
    ) -> None:
        self.items = items
        self.sampling = sampling
        self.transform = transform
        self.backend = backend
        self.skipped = Skipped(len(items), "a video")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Video, int]:
        state = torch.get_rng_state()
        for candidate in itertools.chain(range(index, len(self)), range(index)):
            if candidate in self.skipped:
                continue
            try:
                return self._read(self.items[candidate])
            except UnreadableVideoError as error:
                torch.set_rng_state(state)  # the next clip is the same as if this video had been skipped at once
                self.skipped.add(candidate, error)
        raise UnreadableVideoError(f"None of the {len(self)} videos can be read, first {self.items[0].path}.")

    def try_out(self, index: int) -> None:
        """Read the first frame of a video.

        Raises:
            UnreadableVideoError: the video cannot be read.
        """
        read_first_frame(self.items[index].path, self.backend)

    def _read(self, item: VideoItem) -> tuple[Video, int]:
        with open_video(item.path, self.backend) as reader:
            frames = read(reader, self.sampling.train(reader.length))
        return self.transform(frames), item.label


class ViewedVideos(Dataset[tuple[Views | None, dict[str, Any]] | None]):
    """Views of each video with a target of `label`, `video_id` and `path`; the id is the position, from 1.

    A video that cannot be read is None, and the log counts it. A finished one has its target only.

    Args:
        items: videos and their labels.
        sampling: choice of the frames.
        clips: number of clips per video.
        crops: crops of the frames.
        backend: decoder of files, see `open_video`.

    Attributes:
        skipped: positions of the videos that cannot be read.
        finished: paths of the videos that are scored already and not opened.

    Raises:
        ValueError: no clips.
    """

    def __init__(
        self,
        items: Sequence[VideoItem],
        sampling: Sampling,
        clips: int,
        crops: Crops,
        backend: str = "pyav",
    ) -> None:
        if clips < 1:
            raise ValueError(f"val_clips {clips}: give how many clips of a video are looked at, 1 or more.")
        self.items = items
        self.sampling = sampling
        self.clips = clips
        self.crops = crops
        self.backend = backend
        self.skipped = Skipped(len(items), "a video")
        self.finished: Container[str] = ()

    def __len__(self) -> int:
        return len(self.items)

    def try_out(self, index: int) -> None:
        """Read the first frame of a video, unless it is finished.

        Raises:
            UnreadableVideoError: the video cannot be read.
        """
        if str(self.items[index].path) not in self.finished:
            read_first_frame(self.items[index].path, self.backend)

    def __getitem__(self, index: int) -> tuple[Views | None, dict[str, Any]] | None:
        if index in self.skipped:
            return None
        item = self.items[index]
        target = {"label": item.label, "video_id": index + 1, "path": item.path}
        if str(item.path) in self.finished:
            return None, target
        try:
            with open_video(item.path, self.backend) as reader:
                views = read_views(reader, self.sampling.test(reader.length, self.clips), self.crops)
        except UnreadableVideoError as error:
            self.skipped.add(index, error)
            return None
        return views, target


def read(reader: VideoReader, indices: Sequence[int]) -> Video:
    """Read frames of a video, (frames, 3, height, width) with the channels innermost in memory."""
    return Video(torch.from_numpy(reader.read(indices)).permute(0, 3, 1, 2))


def read_views(reader: VideoReader, clips: Sequence[Sequence[int]], crops: Crops) -> Views:
    """Decode and resize the frames of some clips, each frame once and few at a time.

    Args:
        reader: the video.
        clips: frame indices of each clip.
        crops: crops of the frames.

    Raises:
        UnreadableVideoError: a frame cannot be read.
    """
    needed = sorted({*itertools.chain.from_iterable(clips)})
    height, width = crops.resized(*reader.size)
    frames = torch.empty(len(needed), height, width, 3, dtype=torch.uint8).permute(0, 3, 1, 2)  # (n, 3, h, w)
    for start in range(0, len(needed), CHUNK):
        chunk = read(reader, needed[start : start + CHUNK])
        frames[start : start + CHUNK] = F.resize(chunk, [height, width], antialias=True)
    position = {frame: place for place, frame in enumerate(needed)}
    places = crops.places(height, width)
    return Views(frames, [[position[frame] for frame in clip] for clip in clips], places, crops.size)
