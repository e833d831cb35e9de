"""Images without labels for Lightning: for pre-training, validation and prediction."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms import v2
from torchvision.tv_tensors import Image

from ..classification.data.crop_elongated import CropElongated
from ..classification.data.folders import FolderImages
from ..classification.data.image_data import ImageData
from ..classification.items import ImageItems, Strings
from ..classification.shards.dataset import read_shards
from ..classification.shards.patterns import names_shards
from ..imaging.decoding.formats import SUFFIXES
from ..imaging.finding import files_below, is_image
from ..imaging.resize import check_crops
from ..imaging.skipped_files import check_passed_over
from ..shapes import Shapes

TrainBatch = UInt8[Tensor, "b 3 s s"]


class SimMIMData(ImageData):
    """Images without labels: in class folders, in one folder, in nested folders, or in shards.

    Defaults are those of the authors' pre-training on ImageNet-1K.

    Args:
        root: folder that `train` and `val` are below.
        train: training images: a folder, or a pattern of WebDataset shards as in `read_shards`, e.g.
            train-{0000..0146}.tar, which need no labels.
        val: validation images in the same form; null for none.
        batch_size: images a step and device.
        num_workers: processes that load images, at most one a core.
        size: height and width of the model's inputs, pixels, a multiple of the masked patches.
        scale_range: least and greatest share of the area of random crops in training.
        flip_prob: probability of a horizontal flip in training.
        images: images to predict: files, folders with their subfolders, and globs.
        shapes: sample data to make in `root` if it is missing.

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
        check_crops(size, scale_range, flip_prob)
        crop = v2.RandomResizedCrop(size, scale_range)  # aspect ratio 3:4 to 4:3, bilinear
        transforms = (
            v2.Compose([crop, v2.RandomHorizontalFlip(flip_prob)]),
            v2.Compose([CropElongated(), v2.Resize(size), v2.CenterCrop(size)]),
        )
        super().__init__(root, train, val, batch_size, num_workers, size, *transforms, images, shapes)

    def setup(self, stage: str) -> None:
        """Build the data sets of a stage, and check that a sample of the images can be read.

        Args:
            stage: fit, validate or predict.

        Raises:
            FileNotFoundError: a folder is missing or has no images.
            ValueError: most images cannot be read, or there is nothing to validate on or to predict.
        """
        if stage == "predict":
            self.find_predicted()
            return
        if stage == "validate" and self.val is None:
            raise ValueError("There is nothing to validate on; name a folder of images with --data.val.")
        if self.val is not None:
            self.validate_on(read_images(self.root, self.val))
        if stage == "fit":
            self.train_on(read_images(self.root, self.train))

    def stack(self, samples: Sequence[tuple[Image, int]]) -> TrainBatch:
        """Training images in one tensor."""
        return torch.stack([image for image, _ in samples])


def read_images(root: Path, source: str) -> ImageItems:
    """Images of a folder and its subfolders, but for hidden ones, or of shards.

    Args:
        root: folder that the source is below.
        source: see `SimMIMData`.

    Raises:
        FileNotFoundError: there is no such folder, there are no such shards, or no images in them.
        ValueError: more pictures are skipped than there are images.
    """
    if names_shards(root, source):
        return read_shards(root, source, labelled=False)
    folder = root / source
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder} of images; check data.root, data.train and data.val.")
    found = sorted(files_below(folder))
    files, others = [*filter(is_image, found)], [file for file in found if not is_image(file)]
    if not files:
        more = f"; its files are no images, e.g. {others[0]}. Shards are named by a pattern, '*.tar'" if others else ""
        raise FileNotFoundError(
            f"The folder {folder} has no images; looked for names that end in {', '.join(SUFFIXES)}{more}."
        )
    check_passed_over(folder, others, files, len(files))
    return FolderImages(folder, Strings(files), np.zeros(len(files), np.int32))
