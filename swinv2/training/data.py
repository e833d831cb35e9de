"""Base of the data of all tasks: data sets by stage, sample data, and batches."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from ..shapes import Shapes
from .loading import make_loader


def collate(samples: Sequence[tuple[Any, dict[str, Any]] | None]) -> tuple[list[Any], list[dict[str, Any]]]:
    """List of inputs and list of targets, without samples that could not be read."""
    kept = [sample for sample in samples if sample is not None]
    return [given for given, _ in kept], [target for _, target in kept]


class TaskData(LightningDataModule):
    """Data for training, validation and prediction; a subclass builds the data sets in `setup`.

    Args:
        root: folder of the data.
        batch_size: items a step and device.
        num_workers: processes that load items, at most one a core.
        predicted: inputs to predict: files, folders with their subfolders, and globs.
        shapes: sample data to make in `root` if it is missing.

    Attributes:
        validation_keys: arguments that are null where there is no validation.
        prediction_example: options of a command line that name inputs to predict, for errors.
        make_sample_data: writes sample data of the task into a folder.

    Raises:
        ValueError: a setting out of range.
    """

    validation_keys: ClassVar[tuple[str, ...]] = ("val",)
    prediction_example: ClassVar[str] = "--data.images 'photos/*.jpg'"
    make_sample_data: ClassVar[Callable[..., object]]

    def __init__(
        self, root: Path, batch_size: int, num_workers: int, predicted: list[str] | str | None, shapes: Shapes | None
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise ValueError(
                f"batch_size {batch_size} with num_workers {num_workers}: give at least 1 a step, and 0 or more "
                "processes that load."
            )
        self.root = root
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.predicted = [predicted] if isinstance(predicted, str) else predicted or []
        self.shapes = shapes
        self.seed = torch.initial_seed()  # of the command line; the same in all processes
        self.train_set: Any = None
        self.val_set: Any = None
        self.predict_set: Any = None

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def class_names(self) -> Sequence[str]:
        """Class names by label."""
        raise NotImplementedError(f"{type(self).__name__} has no classes.")

    def prepare_data(self) -> None:
        """Make the sample data if it is asked for and missing."""
        if self.shapes is not None:
            type(self).make_sample_data(self.root, **vars(self.shapes))

    def check_predicted(self) -> None:
        """Raise unless inputs to predict are given.

        Raises:
            ValueError: there are none.
        """
        if not self.predicted:
            raise ValueError(f"Nothing to predict; name files, folders or globs, e.g. {self.prediction_example}.")

    def loader(
        self,
        dataset: Dataset[Any] | None,
        collate: Callable[[list[Any]], Any] = collate,
        batch_size: int | None = None,
        **options: Any,
    ) -> DataLoader[Any]:
        """Loader of a data set's batches.

        Args:
            dataset: None before `setup`.
            collate: makes a batch of a list of items.
            batch_size: items in a batch; None for `self.batch_size`.
            options: further arguments of `make_loader`.

        Raises:
            RuntimeError: there is no data set yet.
        """
        if dataset is None:
            name = type(self).__name__
            raise RuntimeError(f"{name} has no data for this stage yet; call setup with its name first.")
        given = {"num_workers": self.num_workers, "seed": self.seed, "trainer": self.trainer, "collate": collate}
        return make_loader(dataset, **(given | {"batch_size": batch_size or self.batch_size} | options))
