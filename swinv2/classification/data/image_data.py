"""Base of Lightning data with images of one size: data sets, loaders, batches."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.tv_tensors import Image

from ...imaging.datasets import NamedImages, check_readable
from ...imaging.finding import named_images
from ...shapes import Shapes, make_classification
from ...training.data import TaskData
from ..items import ImageItems
from .labelled_images import ScoredImages, TrainingImages, read_item

Batch = tuple[UInt8[Tensor, "b 3 s s"], list[dict[str, Any]]]


class ImageData(TaskData):
    """Images of one size; a subclass finds those to train and to validate on in `setup`.

    Args:
        root: folder of the data.
        train: training images, in a form that the subclass defines.
        val: validation images, in the same form; None for no validation.
        batch_size: images a step and device.
        num_workers: processes that load images, at most one a core.
        size: height and width of the model's inputs, pixels.
        train_transform: of training images, to that size.
        eval_transform: of validation images and images to predict, to that size.
        images: images to predict: files, folders with their subfolders, and globs.
        shapes: sample data to make in `root` if it is missing.

    Raises:
        ValueError: a setting out of range.
    """

    make_sample_data = staticmethod(make_classification)

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
        super().__init__(root, batch_size, num_workers, images, shapes)
        self.train, self.val = train, val
        self.size = size
        self.train_transform, self.eval_transform = train_transform, eval_transform
        self.train_set: TrainingImages | None = None
        self.val_set: ScoredImages | None = None
        self.predict_set: NamedImages | None = None
        self.shards: Sequence[int] = ()  # number of images in each training shard

    def train_on(self, items: ImageItems) -> None:
        """Set the training images.

        Raises:
            ValueError: more than half of a sample of them cannot be read.
        """
        self.train_set, self.shards = TrainingImages(items, self.train_transform), items.shards
        check_readable(self.train_set.skipped, len(items), lambda index: read_item(items, index), "training images")

    def validate_on(self, items: ImageItems, real_labels: Sequence[list[int]] = ()) -> None:
        """Set the validation images.

        Args:
            items: images and their classes.
            real_labels: see `ScoredImages`.

        Raises:
            ValueError: more than half of a sample of them cannot be read.
        """
        self.val_set = ScoredImages(items, self.eval_transform, real_labels)
        check_readable(self.val_set.skipped, len(items), lambda index: read_item(items, index), "validation images")

    def find_predicted(self) -> None:
        """Find the images to predict.

        Raises:
            FileNotFoundError: a file, folder or glob matches no image.
            ValueError: no images are given.
        """
        self.check_predicted()
        self.predict_set = NamedImages(named_images(self.predicted), self.eval_transform)

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of training images in random order; a smaller last batch is left out."""
        return self.loader(self.train_set, self.stack, shuffle=True, drop_last=True, shards=self.shards)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Batches of validation images in order, and a list of targets; nothing if there is no validation."""
        return [] if self.val is None else self.loader(self.val_set, self.collate)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Batches of images to predict in order, and a list of targets."""
        return self.loader(self.predict_set, self.collate)

    def stack(self, samples: Sequence[tuple[Image, int]]) -> Any:
        """Training images in one tensor and their labels in another."""
        return torch.stack([image for image, _ in samples]), torch.tensor([label for _, label in samples])

    def collate(self, samples: Sequence[tuple[Image, dict[str, Any]] | None]) -> Batch:
        """Images in one tensor and a list of targets, without images that could not be read."""
        kept = [sample for sample in samples if sample is not None]
        none = torch.empty(0, 3, self.size, self.size, dtype=torch.uint8)
        return torch.stack([image for image, _ in kept]) if kept else none, [target for _, target in kept]
