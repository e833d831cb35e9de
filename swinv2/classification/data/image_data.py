"""What data of images in class folders, folders or shards have in common for Lightning: sets, loaders, batches."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import UInt8
from lightning import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.tv_tensors import Image

from ...imaging.datasets import NamedImages, check_readable
from ...imaging.finding import named_images
from ...shapes import Shapes, make_classification
from ...training.loading import make_loader
from .items import ImageItems
from .labelled_images import ScoredImages, TrainingImages, read_item

Batch = tuple[UInt8[Tensor, "b 3 s s"], list[dict[str, Any]]]


class ImageData(LightningDataModule):
    """Images of one size; `setup` of a subclass finds those to train and to validate on.

    Args:
        root: folder of the data.
        train: the training images, as the subclass says.
        val: the validation images, likewise; None for no validation.
        batch_size: images a step and device.
        num_workers: processes that load images, at most one a core.
        size: height and width that the model is given, pixels.
        train_transform: of training images, to that size.
        eval_transform: of those of validation and prediction, likewise.
        images: what to predict: files, folders with their subfolders, and globs.
        shapes: make this sample data in `root` if there is none.

    Attributes:
        validation_keys: arguments that are null where there is no validation.

    Raises:
        ValueError: a setting out of range.
    """

    validation_keys: ClassVar[tuple[str, ...]] = ("val",)

    def __init__(
        self,
        root: Path,
        train: str,
        val: str | None,
        batch_size: int,
        num_workers: int,
        size: int,
        train_transform: nn.Module,
        eval_transform: nn.Module,
        images: list[str] | str | None,
        shapes: Shapes | None,
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise ValueError(
                f"batch_size {batch_size} with num_workers {num_workers}: give at least 1 image a step, and 0 or more "
                "processes that load."
            )
        self.root = root
        self.train, self.val = train, val
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.size = size
        self.train_transform, self.eval_transform = train_transform, eval_transform
        self.images = [images] if isinstance(images, str) else images
        self.shapes = shapes
        self.seed = torch.initial_seed()  # of the command line; the same in all processes
        self.train_set: TrainingImages | None = None
        self.val_set: ScoredImages | None = None
        self.predict_set: NamedImages | None = None
        self.shards: Sequence[int] = ()  # images in each of the training

    def prepare_data(self) -> None:
        """Make the sample data where it was asked for and is missing."""
        if self.shapes is not None:
            make_classification(self.root, **vars(self.shapes))

    def train_on(self, items: ImageItems) -> None:
        """Say what the training images are.

        Raises:
            ValueError: more than half of a sample of them cannot be read.
        """
        self.train_set, self.shards = TrainingImages(items, self.train_transform), items.shards
        check_readable(self.train_set.skipped, len(items), lambda index: read_item(items, index), "training images")

    def validate_on(self, items: ImageItems, real_labels: Sequence[list[int]] = ()) -> None:
        """Say what the validation images are.

        Args:
            items: images and their classes.
            real_labels: as in `ScoredImages`.

        Raises:
            ValueError: more than half of a sample of them cannot be read.
        """
        self.val_set = ScoredImages(items, self.eval_transform, real_labels)
        check_readable(self.val_set.skipped, len(items), lambda index: read_item(items, index), "validation images")

    def find_predicted(self) -> None:
        """Find the images to predict.

        Raises:
            FileNotFoundError: a file, folder or glob that has none.
            ValueError: none are named.
        """
        if not self.images:
            raise ValueError("Nothing to predict; name files, folders or globs, e.g. --data.images 'photos/*.jpg'.")
        self.predict_set = NamedImages(named_images(self.images), self.eval_transform)

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of training images in random order; a last one that is smaller is left out."""
        return self._loader(self.train_set, self.stack, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Batches of validation images in order, and a list of targets; nothing if there is no validation."""
        return [] if self.val is None else self._loader(self.val_set, self.collate)

    def predict_dataloader(self) -> DataLoader[Any]:
        """The images to predict, likewise."""
        return self._loader(self.predict_set, self.collate)

    def _loader(
        self, dataset: Dataset[Any] | None, collate: Callable[[list[Any]], Any], shuffle: bool = False
    ) -> DataLoader[Any]:
        if dataset is None:
            name = type(self).__name__
            raise RuntimeError(f"{name} has no data for this stage yet; call setup with its name first.")
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

    def stack(self, samples: Sequence[tuple[Image, int]]) -> Any:
        """Training images and their labels, one tensor each."""
        return torch.stack([image for image, _ in samples]), torch.tensor([label for _, label in samples])

    def collate(self, samples: Sequence[tuple[Image, dict[str, Any]] | None]) -> Batch:
        """Images in one tensor and a list of targets, without what could not be read."""
        kept = [sample for sample in samples if sample is not None]
        none = torch.empty(0, 3, self.size, self.size, dtype=torch.uint8)
        return torch.stack([image for image, _ in kept]) if kept else none, [target for _, target in kept]
