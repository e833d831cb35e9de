"""Images without labels for Lightning: for pre-training, for its validation, and to look at what was learned."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from torchvision.tv_tensors import Image

from ..classification.folders import FolderImages
from ..classification.items import ImageItems, Strings
from ..classification.labelled import ScoredImages, TrainingImages
from ..classification.shards import read_shards
from ..images import SUFFIXES, NamedImages, files_below, is_image, named_images
from ..resizing import check_crops
from ..shapes import Shapes, make_classification
from ..training.loading import make_loader

TrainBatch = UInt8[Tensor, "b 3 s s"]
Batch = tuple[UInt8[Tensor, "b 3 s s"], list[dict[str, Any]]]


class SimMIMData(LightningDataModule):
    """Images, whose labels do not matter: in class folders, in one folder, in folders of any depth, or in shards.

    Defaults are those of the authors' pre-training on ImageNet-1K.

    Args:
        root: folder that `train` and `val` are below.
        train: the training images: a folder, or a pattern of WebDataset shards as in `read_shards`, e.g.
            train-{0000..0146}.tar, which need no labels.
        val: the validation images, likewise; null for none.
        batch_size: images a step and device.
        num_workers: processes that load images, at most one a core.
        size: height and width that the model is given, pixels, a multiple of the patches that are hidden.
        scale_range: least and greatest share of the area that is cut out of training images.
        flip_prob: how often left and right are exchanged in training.
        images: what to predict: files, folders with their subfolders, and globs.
        shapes: make this sample data in `root` if there is none.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        root: Path = Path("data/imagenet"),
        train: str = "train",
        val: str | None = "val",
        batch_size: int = 128,
        num_workers: int = 8,
        size: int = 192,
        scale_range: tuple[float, float] = (0.67, 1.0),
        flip_prob: float = 0.5,
        images: list[str] | str | None = None,
        shapes: Shapes | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise ValueError(
                f"batch_size {batch_size} with num_workers {num_workers}: give at least 1 image a step, and 0 or more "
                "processes that load."
            )
        check_crops(size, scale_range, flip_prob)
        self.root = root
        self.train, self.val = train, val
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.size = size
        crop = v2.RandomResizedCrop(size, scale_range)  # in shape from 3:4 to 4:3, bilinear
        self.train_transform = v2.Compose([crop, v2.RandomHorizontalFlip(flip_prob)])
        self.val_transform = v2.Compose([v2.Resize(size), v2.CenterCrop(size)])
        self.images = [images] if isinstance(images, str) else images
        self.shapes = shapes
        self.seed = torch.initial_seed()  # of the command line; the same in all processes
        self.shards: Sequence[int] = ()  # images in each of the training
        self.train_set: TrainingImages | None = None
        self.val_set: ScoredImages | None = None
        self.predict_set: NamedImages | None = None

    def prepare_data(self) -> None:
        """Make the sample data where it was asked for and is missing."""
        if self.shapes is not None:
            make_classification(self.root, **vars(self.shapes))

    def setup(self, stage: str) -> None:
        """Find what a stage needs; no image is opened.

        Args:
            stage: fit, validate or predict.

        Raises:
            FileNotFoundError: a folder is missing or has no images.
            ValueError: there is nothing to validate on or to predict.
        """
        if stage == "predict":
            if not self.images:
                raise ValueError("Nothing to predict; name files, folders or globs, e.g. --data.images 'photos/*.jpg'.")
            self.predict_set = NamedImages(named_images(self.images), self.val_transform)
            return
        if stage == "validate" and self.val is None:
            raise ValueError("There is nothing to validate on; name a folder of images with --data.val.")
        if self.val is not None:
            self.val_set = ScoredImages(read_images(self.root, self.val), self.val_transform)
        if stage == "fit":
            train = read_images(self.root, self.train)
            self.train_set, self.shards = TrainingImages(train, self.train_transform), train.shards

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of images in random order; a last one that is smaller is left out."""
        return self._loader(self.train_set, stack, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Batches of images and a list of targets with `name` and `path`; nothing if there is no validation."""
        return [] if self.val is None else self._loader(self.val_set, collate)

    def predict_dataloader(self) -> DataLoader[Any]:
        """The images to predict, likewise."""
        return self._loader(self.predict_set, collate)

    def _loader(
        self, dataset: Dataset[Any] | None, collate: Callable[[list[Any]], Any], shuffle: bool = False
    ) -> DataLoader[Any]:
        if dataset is None:
            raise RuntimeError("SimMIMData has no data for this stage yet; call setup with its name first.")
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


def read_images(root: Path, source: str) -> ImageItems:
    """The images of a folder and its subfolders, hidden ones left out, or of shards.

    Args:
        root: folder that the source is below.
        source: see `SimMIMData`.

    Raises:
        FileNotFoundError: there is no such folder, there are no such shards, or no images in them.
    """
    if source.endswith(".tar"):
        return read_shards(root, source, labelled=False)
    folder = root / source
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder} of images; check data.root, data.train and data.val.")
    files = sorted(filter(is_image, files_below(folder)))
    if not files:
        raise FileNotFoundError(
            f"The folder {folder} has no images; looked for names that end in {', '.join(SUFFIXES)}."
        )
    return FolderImages(folder, Strings(files), np.zeros(len(files), np.int32))


def stack(samples: Sequence[tuple[Image, int]]) -> TrainBatch:
    """Images in one tensor."""
    return torch.stack([image for image, _ in samples])


def collate(samples: Sequence[tuple[Image, dict[str, Any]] | None]) -> Batch:
    """A tensor of images and a list of targets, without what could not be read."""
    kept = [sample for sample in samples if sample is not None]
    images = torch.stack([image for image, _ in kept]) if kept else torch.empty((0, 3, 0, 0), dtype=torch.uint8)
    return images, [target for _, target in kept]
