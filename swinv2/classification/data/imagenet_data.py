"""ImageNet-like data for Lightning: class folders or tar shards to train and validate on, any images to predict."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from torchvision.transforms import v2

from ...files.paths import locate
from ...imaging.finding import visible
from ...shapes import Shapes
from ...training.mixing import Mixing
from ..class_names import find_class_file, first_number, name_classes
from ..items import ImageItems
from ..shards.dataset import read_shards
from ..shards.patterns import names_shards
from .crop_elongated import CropElongated
from .erasing import Erasing
from .folders import class_folders, read_class_folders
from .image_data import ImageData
from .labels import check_numbers, read_real_labels
from .transforms import eval_transform, train_transform


class ImageNetData(ImageData):
    """Images with one class each, in one folder per class or in WebDataset shards; ImageNet needs only `root`.

    Defaults are those of ImageNet-1K; the official training adds RandAugment, mixing and erasing.

    Args:
        root: folder that all other paths but `images` start from.
        train: training images: a folder with one folder per class, or tar files, e.g. "train-{0000..0146}.tar" or
            "train/*.tar".
        val: validation images in the same form; folders may be named by labels, as in ImageNet-V2. null trains
            without validation.
        classes: file of class names, below the root or by its own path; for its formats see `read_class_file`. By
            default classes.txt below the root, or else the folders or labels of `train`.
        real_labels: file with all correct labels of each validation image, below the root or by its own path:
            real.json of "Are we done with ImageNet?".
        batch_size: images a step and device.
        num_workers: processes that load images, at most one a core.
        size: height and width of the model's inputs, pixels.
        crop: in validation and prediction, resize the short edge to 256/224 of the size and cut out the middle;
            otherwise resize the whole image to the size, as the release does at 384 pixels.
        scale_range: least and greatest share of the area of random crops in training.
        flip_prob: probability of a horizontal flip in training.
        rand_augment: magnitude (0 to 10) and its standard deviation of RandAugment in training, e.g. [9, 0.5].
        color_jitter: most change of the factors of brightness, contrast and saturation from 1 in training.
        erasing: probability of Random Erasing of a training image, e.g. 0.25; 0 for none.
        mixup_alpha: parameter of mixup's Beta distribution, e.g. 0.8; 0 for no mixup.
        cutmix_alpha: parameter of CutMix's Beta distribution, e.g. 1.0; 0 for no CutMix.
        images: images to predict: files, folders with their subfolders, and globs.
        shapes: sample data to make in `root` if it is missing.

    Attributes:
        mixing: mixup and CutMix, which the task applies to batches in its training step, with the step's random
            numbers; None for neither, and before `setup("fit")`.
        erasing: Random Erasing, which the task applies to normalised batches; None for none.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        root: Path = Path("data/imagenet"),
        train: str = "train",
        val: str | None = "val",
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
        transforms = (
            train_transform(size, scale_range, flip_prob, rand_augment, color_jitter),
            v2.Compose([CropElongated(), eval_transform(size, crop)]) if crop else eval_transform(size, crop),
        )
        super().__init__(root, train, val, batch_size, num_workers, size, *transforms, images, shapes)
        self.classes = classes
        self.real_labels = real_labels
        self.erasing = Erasing(erasing) if erasing else None
        self.alphas = mixup_alpha, cutmix_alpha
        self.mixing: Mixing | None = None

    @cached_property
    def class_names(self) -> list[str]:
        """Class names by label, read at first use.

        Raises:
            FileNotFoundError: there is neither a file of names nor training images.
            ValueError: the file is no file of class names.
        """
        return read_names(self.root, self.train, self.classes)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @cached_property
    def first(self) -> int:
        """Number of the first class if folders are named by numbers: 0, or 1 if the class file counts from 1, too.

        Raises:
            ValueError: folders count from 1, but the file of class names does not.
        """
        file = find_class_file(self.root, self.classes)
        folders = [self.root / split for split in (self.train, self.val) if split and (self.root / split).is_dir()]
        names = [entry.name for folder in folders for entry in visible(folder) if entry.is_dir()]
        return first_number(names, self.class_names, file.first, folders[0]) if file and folders else 0

    def setup(self, stage: str) -> None:
        """Build the data sets of a stage, and check that a sample of the images can be read.

        Args:
            stage: fit, validate or predict.

        Raises:
            FileNotFoundError: a folder, a shard or a file is missing, or has no images.
            ValueError: classes are not those of the training, labels do not fit, most images cannot be read, a setting
                of mixing is out of range, or there is nothing to validate on or to predict.
        """
        if stage == "predict":
            self.find_predicted()
            return
        if self.val is not None:
            val, real = read_items(self.root, self.val, self.class_names, self.first), []
            if self.real_labels is not None:
                names = [item.name for item in val]
                real = read_real_labels(locate(self.root, self.real_labels), names, self.num_classes)
            self.validate_on(val, real)
        elif stage == "validate":
            raise ValueError("There is nothing to validate on; name a folder of images or shards with --data.val.")
        if stage == "fit":
            self.train_on(read_items(self.root, self.train, self.class_names, self.first))
            self.mixing = Mixing(self.num_classes, *self.alphas) if any(self.alphas) else None


def read_names(root: Path, train: str, classes: str | None) -> list[str]:
    """Class names of a data set; see `ImageNetData` for the arguments.

    Raises:
        FileNotFoundError: there is neither a file of names nor training images.
        ValueError: the file is no file of class names.
    """
    if (file := find_class_file(root, classes)) is not None:
        return file.names
    if names_shards(root, train):
        return name_classes([str(read_shards(root, train).labels.max())])
    try:
        return class_folders(root / train)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error} Without training images, name the classes by a file (data.classes), e.g. synset_words.txt."
        ) from error


def read_items(root: Path, split: str, class_names: Sequence[str], first: int = 0) -> ImageItems:
    """Images of a split, in class folders or shards.

    Args:
        root: folder of the data.
        split: folder, or pattern of shards, which ends in .tar.
        class_names: by label.
        first: number of the first class, if folders are named by numbers.

    Raises:
        FileNotFoundError: there are no images.
        ValueError: they have other classes.
    """
    if not names_shards(root, split):
        return read_class_folders(root / split, class_names, first)
    images = read_shards(root, split)
    check_numbers(images.labels, class_names, root / split)
    return images
