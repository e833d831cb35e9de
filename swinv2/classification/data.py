"""Images of classes for Lightning: class folders or tar shards for training and scoring, any images for prediction."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64, UInt8
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.tv_tensors import Image

from ..class_names import name_classes, read_class_names
from ..images import NamedImages, named_images
from ..places import locate
from ..shapes import Shapes, make_classification
from ..training.loading import make_loader
from ..training.mixing import Mixing
from .erasing import Erasing
from .folders import class_folders, read_class_folders
from .items import ImageItems
from .labelled import ScoredImages, TrainingImages
from .labels import check_labels, read_real_labels
from .shards import read_shards
from .transforms import eval_transform, train_transform

TrainBatch = tuple[UInt8[Tensor, "b 3 s s"], Int64[Tensor, " b"]]
Batch = tuple[UInt8[Tensor, "b 3 s s"], list[dict[str, Any]]]
CLASSES = "classes.txt"  # name of a file of class names that need not be asked for


class ImageNetData(LightningDataModule):
    """Images with one class each, in a folder for each class or in WebDataset shards; ImageNet needs only `root`.

    Defaults are those of ImageNet-1K; the official training has RandAugment, mixing and erasing besides.

    Args:
        root: folder that all other paths but `images` start from.
        train: training images: a folder with one folder for each class, or tar files, e.g. "train-{0000..0146}.tar" or
            "train/*.tar".
        val: validation images, likewise; ImageNet-V2's folders, which have the labels as their names, will do.
        classes: file of class names, below the root or by its own path; for its formats see `read_class_names`. By
            default classes.txt below the root, and where there is none the folders or labels that `train` has.
        real_labels: file of the labels that are right for each validation image, below the root or by its own path:
            real.json of "Are we done with ImageNet?".
        batch_size: images a step and device.
        num_workers: processes that load images, at most one a core.
        size: height and width that the model is given, pixels.
        crop: in validation and prediction the short edge is resized to 256/224 of the size, and the middle cut out;
            otherwise the whole image is resized to the size, as the release does at 384 pixels.
        scale_range: least and greatest share of the area that is cut out of training images.
        flip_prob: how often left and right are exchanged in training.
        rand_augment: magnitude (0 to 10) and its standard deviation of RandAugment in training, e.g. [9, 0.5].
        color_jitter: how far brightness, contrast and saturation of training images go from 1 either way.
        erasing: how often a rectangle of a training image is replaced by noise, e.g. 0.25; 0 for never.
        mixup_alpha: of the Beta distribution of shares when images of a batch are blended, e.g. 0.8; 0 for never.
        cutmix_alpha: likewise for rectangles of one image in the other, e.g. 1.0.
        images: what to predict: files, folders with their subfolders, and globs.
        shapes: make this sample data in `root` if there is none.

    Attributes:
        mixing: what a task does to batches in its training step, where torch's random numbers are those of the epoch;
            None for nothing, and before `setup("fit")`.
        erasing: likewise, to normalised images.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        root: Path = Path("data/imagenet"),
        train: str = "train",
        val: str = "val",
        classes: str | None = None,
        real_labels: str | None = None,
        batch_size: int = 128,
        num_workers: int = 8,
        size: int = 256,
        crop: bool = True,
        scale_range: tuple[float, float] = (0.08, 1.0),
        flip_prob: float = 0.5,
        rand_augment: tuple[float, float] | None = None,
        color_jitter: float = 0.0,
        erasing: float = 0.0,
        mixup_alpha: float = 0.0,
        cutmix_alpha: float = 0.0,
        images: list[str] | str | None = None,
        shapes: Shapes | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise ValueError(
                f"batch_size {batch_size} with num_workers {num_workers}: give at least 1 image a step, and 0 or more "
                "processes that load."
            )
        self.root = root
        self.train, self.val = train, val
        self.classes = classes
        self.real_labels = real_labels
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.size = size
        self.train_transform = train_transform(size, scale_range, flip_prob, rand_augment, color_jitter)
        self.eval_transform = eval_transform(size, crop)
        self.erasing = Erasing(erasing) if erasing else None
        self.alphas = mixup_alpha, cutmix_alpha
        self.images = [images] if isinstance(images, str) else images
        self.shapes = shapes
        self.seed = torch.initial_seed()  # of the command line; the same in all processes
        self.train_set: TrainingImages | None = None
        self.val_set: ScoredImages | None = None
        self.predict_set: NamedImages | None = None
        self.shards: Sequence[int] = ()  # images in each of the training
        self.mixing: Mixing | None = None

    @cached_property
    def class_names(self) -> list[str]:
        """Names by label, read at first use.

        Raises:
            FileNotFoundError: there is neither a file of names nor training images.
            ValueError: the file is none.
        """
        return read_names(self.root, self.train, self.classes)

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    def prepare_data(self) -> None:
        """Make the sample data where it was asked for and is missing."""
        if self.shapes is not None:
            make_classification(self.root, **vars(self.shapes))

    def setup(self, stage: str) -> None:
        """Find what a stage needs; no image is opened.

        Args:
            stage: fit, validate or predict.

        Raises:
            FileNotFoundError: a folder, a shard or a file is missing, or has no images.
            ValueError: classes that are not those of the training, labels that do not fit, a bad parameter of mixing,
                or nothing to predict.
        """
        if stage == "predict":
            if not self.images:
                raise ValueError("Nothing to predict; name files, folders or globs, e.g. --data.images 'photos/*.jpg'.")
            self.predict_set = NamedImages(named_images(self.images), self.eval_transform)
            return
        val, real = read_items(self.root, self.val, self.class_names), []
        if self.real_labels is not None:
            names = [item.name for item in val]
            real = read_real_labels(locate(self.root, self.real_labels), names, self.num_classes)
        self.val_set = ScoredImages(val, self.eval_transform, real)
        if stage == "fit":
            train = read_items(self.root, self.train, self.class_names)
            self.train_set, self.shards = TrainingImages(train, self.train_transform), train.shards
            self.mixing = Mixing(self.num_classes, *self.alphas) if any(self.alphas) else None

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of images in random order, and their labels; a last one that is smaller is left out."""
        return self._loader(self.train_set, stack, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of validation images in order, and a list of targets."""
        return self._loader(self.val_set, self._collate)

    def predict_dataloader(self) -> DataLoader[Any]:
        """The images to predict, likewise."""
        return self._loader(self.predict_set, self._collate)

    def _loader(
        self, dataset: Dataset[Any] | None, collate: Callable[[list[Any]], Any], shuffle: bool = False
    ) -> DataLoader[Any]:
        if dataset is None:
            raise RuntimeError("ImageNetData has no data for this stage yet; call setup with its name first.")
        return make_loader(
            dataset,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            collate=collate,
            seed=self.seed,
            trainer=self.trainer,
            shuffle=shuffle,
            drop_last=shuffle,
            shards=self.shards if shuffle else (),
        )

    def _collate(self, samples: Sequence[tuple[Image, dict[str, Any]] | None]) -> Batch:
        """Images and a list of targets, without what could not be read."""
        kept = [sample for sample in samples if sample is not None]
        none = torch.empty(0, 3, self.size, self.size, dtype=torch.uint8)
        return torch.stack([image for image, _ in kept]) if kept else none, [target for _, target in kept]


def read_names(root: Path, train: str, classes: str | None) -> list[str]:
    """The class names of a data set; see `ImageNetData` for the arguments.

    Raises:
        FileNotFoundError: there is neither a file of names nor training images.
        ValueError: the file is none.
    """
    if classes is not None or (root / CLASSES).is_file():
        return read_class_names(locate(root, classes or CLASSES))
    if train.endswith(".tar"):
        return name_classes([str(read_shards(root, train).labels.max())])
    try:
        return class_folders(root / train)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error} Without training images, name the classes by a file (data.classes), e.g. synset_words.txt."
        ) from error


def read_items(root: Path, split: str, class_names: Sequence[str]) -> ImageItems:
    """The images of a split, in class folders or shards.

    Args:
        root: folder that the split is below.
        split: folder, or pattern of shards, which ends in .tar.
        class_names: by label.

    Raises:
        FileNotFoundError: there are none.
        ValueError: they have other classes.
    """
    if not split.endswith(".tar"):
        return read_class_folders(root / split, class_names)
    images = read_shards(root, split)
    check_labels(images.labels, class_names, root / split)
    return images


def stack(samples: Sequence[tuple[Image, int]]) -> TrainBatch:
    """Images and their labels, one tensor each."""
    return torch.stack([image for image, _ in samples]), torch.tensor([label for _, label in samples])
