"""Video data for Lightning: lists or folders of clips for training and scoring, any videos for prediction."""

from collections.abc import Callable, Container, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.tv_tensors import Video

from swinv2.imaging.datasets import check_readable
from swinv2.shapes import Shapes, make_video
from swinv2.training.data import TaskData
from swinv2.training.mixing import Mixing
from video.data.clips import TrainingClips, ViewedVideos, Views
from video.data.files import VideoFiles, find_videos
from video.data.lists import read_videos
from video.data.naming import read_first, read_names
from video.data.sampling import Dense, Segments, Shuffled
from video.data.transforms import Crops, train_transform
from video.readers.opening import check_backend

TrainBatch = tuple[UInt8[Tensor, "b 3 t h w"], Int64[Tensor, " b"]]
Batch = tuple[list[Views | None], list[dict[str, Any]]]


class KineticsData(TaskData):
    """Videos with one class each, from lists as in Kinetics or Something-Something, or from one folder per class.

    Defaults are those of Video-Swin for Kinetics-400.

    Args:
        root: folder that all other paths, except `videos`, are relative to.
        train: training videos: a list in a format of `video.data.list_formats`, or a folder with one folder per class.
        val: validation videos in the same form; None for no validation.
        train_videos: folder that the paths and ids of the training list are relative to.
        val_videos: folder that the paths and ids of the validation list are relative to.
        classes: file of class names, below the root or by its own path; for its formats see `read_class_file`. By
            default classes.txt below the root, or else the names or numbers in `train`.
        frames: number of frames per clip.
        stride: distance from one frame of a clip to the next, in frames of the video; for dense sampling.
        sampling: "dense": frames `stride` apart; "segments": one frame from each of `frames` equal parts of the video.
        shuffle_frames: shuffle the frames of each clip, in training and validation; a control, which shows how much of
            the accuracy comes from appearance and how much from motion.
        batch_size: clips per step and device; in validation, as many videos as have no more views, at least one.
        num_workers: processes that load videos, at most one per core.
        size: height and width of clips, pixels.
        short_edge: shorter side of the frames before the crops of validation, pixels.
        scale_range: least and greatest share of the area in random crops of training clips.
        multi_scale: crop one of ten sizes at one of thirteen places instead, see `MultiScaleCrop`.
        flip_prob: probability of a horizontal flip in training; 0 for classes that differ by left and right.
        rand_augment: number of operations and magnitude (0 to 30) of RandAugment in training, e.g. [4, 7].
        mixup_alpha: parameter of MixUp's Beta distribution, e.g. 0.8; 0 for no MixUp.
        cutmix_alpha: parameter of CutMix's Beta distribution, e.g. 1.0; 0 for no CutMix.
        val_clips: number of clips per video in validation.
        val_crops: number of crops per clip: 1 (the middle), 3 or 5 (along the longer side).
        backend: decoder of files: "pyav", or "torchcodec" if installed.
        videos: videos to predict: files, folders and globs.
        shapes: make this sample data in `root` if there is none.

    Attributes:
        mixing: MixUp and CutMix for the training step, where torch's random numbers are those of the epoch; None for
            neither.
        finished: function that returns the paths of validation videos that are scored already; called when validation
            begins and the model has its weights. By default it returns none.
        missing: number of listed validation videos that do not exist.

    Raises:
        ValueError: a setting out of range.
    """

    prediction_example = "--data.videos 'videos/*.mp4'"
    make_sample_data = staticmethod(make_video)

    def __init__(
        self,
        root: Path = Path("data/kinetics400"),
        train: str = "train.txt",
        val: str | None = "val.txt",
        train_videos: str = ".",
        val_videos: str = ".",
        classes: str | None = None,
        frames: int = 32,
        stride: int = 2,
        sampling: Literal["dense", "segments"] = "dense",
        shuffle_frames: bool = False,
        batch_size: int = 8,
        num_workers: int = 4,
        size: int = 224,
        short_edge: int = 256,
        scale_range: tuple[float, float] = (0.08, 1.0),
        multi_scale: bool = False,
        flip_prob: float = 0.5,
        rand_augment: tuple[int, int] | None = None,
        mixup_alpha: float = 0.0,
        cutmix_alpha: float = 0.0,
        val_clips: int = 1,
        val_crops: int = 1,
        backend: str = "pyav",
        videos: list[str] | str | None = None,
        shapes: Shapes | None = None,
    ) -> None:
        super().__init__(root, batch_size, num_workers, videos, shapes)
        check_backend(backend)
        self.train, self.val = train, val
        self.train_videos, self.val_videos = root / train_videos, root / val_videos
        self.classes = classes
        self.sampling = Dense(frames, stride) if sampling == "dense" else Segments(frames)  # for prediction
        self.clip_sampling = Shuffled(self.sampling) if shuffle_frames else self.sampling
        self.train_transform = train_transform(size, scale_range, multi_scale, flip_prob, rand_augment)
        self.crops = Crops(short_edge, size, val_crops)
        self.val_clips = val_clips
        self.alphas = mixup_alpha, cutmix_alpha
        self.backend = backend
        self.train_set: TrainingClips | None = None
        self.val_set: ViewedVideos | None = None
        self.predict_set: VideoFiles | None = None
        self.mixing: Mixing | None = None
        self.finished: Callable[[], Container[str]] = tuple
        self.missing = 0

    @cached_property
    def class_names(self) -> list[str]:
        """Class names by label, read at first use.

        Raises:
            FileNotFoundError: there is neither a file of names nor a list or folder of training videos.
            ValueError: the file or the list is not valid.
        """
        return read_names(self.root, self.train, self.classes)

    @cached_property
    def first(self) -> int:
        """Number of the first class in lists, 0 or 1, as in the training list."""
        return read_first(self.root, (self.train, self.val), self.classes, self.class_names)

    def setup(self, stage: str) -> None:
        """Find the videos of a stage, and read a few, so that an unreadable data set is noticed at once.

        Args:
            stage: fit, validate or predict.

        Raises:
            FileNotFoundError: a list, a folder or most of the videos are missing.
            ValueError: an invalid list, a class that is not among the class names, mostly unreadable videos, a bad
                parameter of mixing, or nothing to predict or validate.
        """
        if stage == "predict":
            self.check_predicted()
            self.predict_set = VideoFiles(find_videos(self.predicted, self._results()))
            return
        if stage == "fit":
            train = read_videos(self.root / self.train, self.train_videos, self.class_names, self.first)
            self.train_set = TrainingClips(train.items, self.clip_sampling, self.train_transform, self.backend)
            self.mixing = Mixing(self.num_classes, *self.alphas) if any(self.alphas) else None
            check_readable(self.train_set.skipped, len(train.items), self.train_set.try_out, "training videos")
        if self.val is not None:
            val = read_videos(self.root / self.val, self.val_videos, self.class_names, self.first)
            self.missing = len(val.missing)
            self.val_set = ViewedVideos(val.items, self.clip_sampling, self.val_clips, self.crops, self.backend)
            if stage == "fit":
                self._try_validation()
        elif stage == "validate":
            raise ValueError("There is nothing to validate on: data.val is null. Give a list or a folder of classes.")

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of clips in random order, and their labels."""
        return self.loader(self.train_set, stack, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """Batches of validation videos as two lists, views and targets; empty if none of them can be read.

        An empty list without validation.
        """
        if self.val is None:
            return []
        views = self.val_clips * self.crops.count
        if self.val_set is not None:
            self.val_set.finished = self.finished()
        if self.train_set is None:
            self._try_validation()
        return self.loader(self.val_set, batch_size=max(self.batch_size // views, 1))

    def predict_dataloader(self) -> DataLoader[Any]:
        """Videos to predict, one per batch, not opened: see `VideoFiles`."""
        return self.loader(self.predict_set, list, batch_size=1, num_workers=0)

    def _results(self) -> list[Path]:
        """Folders that a run writes to."""
        if self.trainer is None:
            return []
        output = getattr(self.trainer.lightning_module, "output", None)
        return [Path(folder) for folder in (self.trainer.default_root_dir, output) if folder is not None]

    def _try_validation(self) -> None:
        """Read a few of the validation videos; see `setup`."""
        if self.val_set is not None:
            check_readable(self.val_set.skipped, len(self.val_set), self.val_set.try_out, "validation videos")


def stack(samples: Sequence[tuple[Video, int]]) -> TrainBatch:
    """Stack clips and their labels, into one tensor each."""
    clips = torch.stack([clip.transpose(0, 1) for clip, _ in samples])  # (b, 3, t, h, w)
    return clips, torch.tensor([label for _, label in samples])
