"""Segmentation data for Lightning: pairs of folders for training and scoring, any images for prediction."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Int16, UInt8
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.tv_tensors import Image

from segmentation.data.check_label_maps import check_maps
from segmentation.data.class_list import ClassList
from segmentation.data.dataset import ImagesAndMaps, Sample
from segmentation.data.pairs import Pair, find_pairs
from segmentation.data.transforms import eval_transform, train_transform
from swinv2.files.paths import locate
from swinv2.imaging.datasets import NamedImages, Transform, check_readable
from swinv2.imaging.finding import named_images
from swinv2.shapes import Shapes, make_segmentation
from swinv2.training.data import TaskData

TrainBatch = tuple[UInt8[Tensor, "b 3 h w"], Int16[Tensor, "b h w"]]
Batch = tuple[list[Image], list[dict[str, Any]]]


class Ade20kData(TaskData):
    """Images with the class of each pixel, in ADE20K's folders or any others; ADE20K itself needs only `root`.

    Defaults are those of the ADE20K benchmark of 150 classes and of mmsegmentation's transforms.

    Args:
        root: folder that all other paths, except `images`, are relative to.
        train_images: folder of the training images, with subfolders or without.
        train_maps: folder of their label maps: grey or palette files with the images' names.
        val_images: folder of the validation images; null, with `val_maps`, trains without validation.
        val_maps: folder of their label maps. All four may be the same folder.
        train_list: text file with the training images to use, below the root or by its own path: one per line, as path
            below `train_images` without suffix; null uses all.
        val_list: text file with the validation images to use.
        image_suffix: end of an image's name that its map's lacks, e.g. "_leftImg8bit.png"; null is .jpg or the like.
        map_suffix: end of a map's name in place of `image_suffix`, e.g. "_labels.png".
        classes: class list, below the root or by its own path; for its formats see `ClassList.read`.
        reduce_zero_label: whether 0 in the maps is ignored and classes count from 1.
        ignore_index: other value in the maps to ignore, or several, 0 to 65535.
        batch_size: training images per step and device; other images come one by one, as they may be large.
        num_workers: processes that load images, at most one per core.
        short_edge: shorter side of training images at scale 1, pixels.
        long_edge: limit of their longer side at scale 1, pixels.
        scale_range: least and greatest scale of training images.
        crop_size: side of the square crop of training images, pixels; smaller ones are padded on the right and at the
            bottom, with the mean colour and ignored labels.
        max_category_share: of up to ten random crops, take the first with at least two classes that each cover less
            than this share of the labelled pixels; 1.0 takes any.
        flip_prob: probability of a horizontal flip in training.
        photometric: change brightness, contrast, saturation and hue of training images.
        val_short_edge: shorter side to which images are resized for the model in validation and prediction, pixels;
            null keeps the size of the file, as sliding windows over large images need it.
        val_long_edge: limit of the longer side in validation and prediction, pixels.
        images: images to predict: files, folders with their subfolders, and globs.
        shapes: make this sample data in `root` if there is none; its class list is objectInfo.txt.

    Raises:
        ValueError: a setting out of range, or validation images without maps.
    """

    validation_keys: ClassVar[tuple[str, ...]] = ("val_images", "val_maps")
    make_sample_data = staticmethod(make_segmentation)

    def __init__(
        self,
        root: Path = Path("data/ADEChallengeData2016"),
        train_images: str = "images/training",
        train_maps: str = "annotations/training",
        val_images: str | None = "images/validation",
        val_maps: str | None = "annotations/validation",
        train_list: str | None = None,
        val_list: str | None = None,
        image_suffix: str | None = None,
        map_suffix: str = ".png",
        classes: str = "objectInfo150.txt",
        reduce_zero_label: bool = True,
        ignore_index: int | list[int] = 255,
        batch_size: int = 2,
        num_workers: int = 4,
        short_edge: int = 512,
        long_edge: int = 2048,
        scale_range: tuple[float, float] = (0.5, 2.0),
        crop_size: int = 512,
        max_category_share: float = 0.75,
        flip_prob: float = 0.5,
        photometric: bool = True,
        val_short_edge: int | None = 512,
        val_long_edge: int = 2048,
        images: list[str] | str | None = None,
        shapes: Shapes | None = None,
    ) -> None:
        super().__init__(root, batch_size, num_workers, images, shapes)
        if (val_images is None) != (val_maps is None):
            raise ValueError(
                f"val_images {val_images} with val_maps {val_maps}: give both folders, or set both to null to train "
                "without validation."
            )
        self.train_folders = root / train_images, root / train_maps
        self.val_folders = None if val_images is None or val_maps is None else (root / val_images, root / val_maps)
        self.train_list, self.val_list = train_list, val_list
        self.image_suffix = image_suffix
        self.map_suffix = map_suffix
        self.classes = classes
        self.reduce_zero_label = reduce_zero_label
        self.ignore_index = ignore_index
        self.train_transform = train_transform(
            short_edge=short_edge,
            long_edge=long_edge,
            scale_range=scale_range,
            crop_size=crop_size,
            max_category_share=max_category_share,
            flip_prob=flip_prob,
            photometric=photometric,
        )
        self.eval_transform = eval_transform(val_short_edge, val_long_edge)
        self.train_set: ImagesAndMaps | None = None
        self.val_set: ImagesAndMaps | None = None
        self.predict_set: NamedImages | None = None

    @cached_property
    def class_list(self) -> ClassList:
        """Names and pixel values of the classes, read from the file at first use.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is no class list.
        """
        return read_classes(self.root, self.classes, self.reduce_zero_label, self.ignore_index)

    @property
    def class_names(self) -> list[str]:
        """Class names by label."""
        return list(self.class_list.names)

    def setup(self, stage: str) -> None:
        """Find and check the images and label maps of a stage.

        Args:
            stage: fit, validate or predict.

        Raises:
            FileNotFoundError: a folder, a list, an image or a label map is missing.
            ValueError: a bad list, label maps that do not fit their images or the classes, mostly unreadable images, or
                nothing to learn, to score, to validate on or to predict.
        """
        if stage == "predict":
            self.check_predicted()
            self.predict_set = NamedImages(named_images(self.predicted), self.eval_transform)
            return
        if stage == "validate" and self.val_folders is None:
            raise ValueError(
                "There is nothing to validate on; name folders with --data.val_images and --data.val_maps."
            )
        val_pairs = [] if self.val_folders is None else self._pairs(*self.val_folders, self.val_list)
        train_pairs = self._pairs(*self.train_folders, self.train_list) if stage == "fit" else []
        rank_zero_info(f"class values: {self.class_list.summary()}")
        if self.val_folders is not None:
            self.val_set = self._checked(val_pairs, self.eval_transform, "validation")
        if stage == "fit":
            self.train_set = self._checked(train_pairs, self.train_transform, "training")

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of crops in random order: images and labels."""
        return self.loader(self.train_set, stack, shuffle=True, drop_last=True)  # batch normalisation needs two images

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Validation images one by one, each in the size of its file, as two lists: images and targets.

        An empty list without validation.
        """
        return [] if self.val_folders is None else self.loader(self.val_set, batch_size=1, large=True)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Images to predict, one by one; for one that cannot be read the lists are empty."""
        return self.loader(self.predict_set, batch_size=1, large=True)

    def _pairs(self, images: Path, maps: Path, listed: str | None) -> list[Pair]:
        path = None if listed is None else locate(self.root, listed)
        return find_pairs(images, maps, self.image_suffix, self.map_suffix, path)

    def _checked(self, pairs: Sequence[Pair], transform: Transform, split: str) -> ImagesAndMaps:
        """Data set of the pairs of a split, after checks of the label maps and of a sample of the images."""
        dataset = ImagesAndMaps(pairs, self.class_list, transform, training=split == "training")
        check_maps(pairs, self.class_list, split)
        check_readable(dataset.skipped, len(pairs), dataset.read, f"{split} images with their maps")
        return dataset


def read_classes(
    root: Path, classes: str, reduce_zero_label: bool, ignore_index: int | Sequence[int] = 255
) -> ClassList:
    """Read the class list of a data set; see `Ade20kData` for the arguments.

    Raises:
        FileNotFoundError: there is no such file, neither below the root nor by its own path.
        ValueError: the file is no class list.
    """
    return ClassList.read(locate(root, classes), reduce_zero_label, ignore_index)


def stack(samples: Sequence[Sample]) -> TrainBatch:
    """Stack crops and their labels, into one tensor each."""
    return torch.stack([image for image, _ in samples]), torch.stack([target["labels"] for _, target in samples])
