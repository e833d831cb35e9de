"""Detection data for Lightning: COCO folders for training and scoring, any images for prediction."""

from pathlib import Path
from typing import Any, ClassVar

from torch.utils.data import DataLoader
from torchvision.transforms import v2
from torchvision.tv_tensors import Image

from detection.data.annotations import CocoAnnotations
from detection.data.coco_dataset import CocoDetection
from detection.data.instaboost import InstaBoost
from detection.data.semantic_maps import SemanticMaps
from detection.data.transforms import eval_transform, train_transform
from detection.detectors.targets import check_targets
from swinv2.imaging.datasets import ImageFiles, check_readable
from swinv2.imaging.finding import find_images
from swinv2.shapes import Shapes, make_detection
from swinv2.training.data import TaskData

Sample = tuple[Image, dict[str, Any]]
Batch = tuple[list[Image], list[dict[str, Any]]]


class CocoData(TaskData):
    """Images with boxes and masks in COCO's format; COCO 2017 itself needs only `root`.

    Every image keeps its own size within a batch.

    Args:
        root: folder that all other paths, except `images`, are relative to.
        train_images: folder of the training images.
        val_images: folder of the validation images.
        train_annotations: COCO JSON of the training images.
        val_annotations: COCO JSON of the validation images; null trains without validation. With a JSON without
            `annotations` (test set) `validate` scores nothing and writes the detections under its image ids.
        batch_size: images per step and device.
        num_workers: processes that load images, at most one per core.
        short_edge: shorter side of training images after resizing, pixels, or least and greatest of a range.
        long_edge: greatest length of the longer side, pixels.
        val_short_edge: shorter side in validation and prediction, pixels; by default the greatest `short_edge`.
        keep_size: do not resize images of validation and prediction, for a detector that scales or cuts them itself.
        flip_prob: probability of a horizontal flip in training.
        random_crop: crop half of the training images to sides of 384 to 600 pixels before the last resize (as in DETR).
        scale_jitter: least and greatest scale relative to `crop_size` (large-scale jitter), instead of `short_edge` and
            `long_edge` in training.
        crop_size: greatest side of training images under `scale_jitter`, pixels.
        instaboost: move the objects of training images a little, before all other transforms (needs masks).
        semantic_maps: folder of the training images' semantic maps, 8-bit grey PNGs with the images' names; targets
            then have `semantic`, the class of each pixel, 255 for none.
        semantic_zero_is_void: whether 0 in the files is no class and 1 the first class (as in ADE20K); otherwise 0 is
            the first class and 255 no class (as in COCO-stuff's stuffthingmaps).
        filter_empty: leave images without objects out of training.
        masks: whether training targets have masks; null: if the detector has mask heads.
        images: images to predict: files, folders with their subfolders, and globs.
        shapes: make this sample data in `root` if there is none.
    """

    validation_keys: ClassVar[tuple[str, ...]] = ("val_annotations",)
    make_sample_data = staticmethod(make_detection)

    def __init__(
        self,
        root: Path = Path("data/coco"),
        train_images: str = "train2017",
        val_images: str = "val2017",
        train_annotations: str = "annotations/instances_train2017.json",
        val_annotations: str | None = "annotations/instances_val2017.json",
        batch_size: int = 2,
        num_workers: int = 4,
        short_edge: int | tuple[int, int] = (480, 800),
        long_edge: int = 1333,
        val_short_edge: int | None = None,
        keep_size: bool = False,
        flip_prob: float = 0.5,
        random_crop: bool = False,
        scale_jitter: tuple[float, float] | None = None,
        crop_size: int | None = None,
        instaboost: InstaBoost | None = None,
        semantic_maps: str | None = None,
        semantic_zero_is_void: bool = False,
        filter_empty: bool = True,
        masks: bool | None = None,
        images: list[str] | str | None = None,
        shapes: Shapes | None = None,
    ) -> None:
        super().__init__(root, batch_size, num_workers, images, shapes)
        self.train_folder, self.val_folder = root / train_images, root / val_images
        self.train_annotations = root / train_annotations
        self.val_annotations = None if val_annotations is None else root / val_annotations
        resizing = train_transform(short_edge, long_edge, flip_prob, random_crop, scale_jitter, crop_size)
        self.instaboost = instaboost
        self.train_transform = resizing if instaboost is None else v2.Compose([instaboost, resizing])
        greatest = short_edge if isinstance(short_edge, int) else short_edge[1]
        self.eval_transform = v2.Identity() if keep_size else eval_transform(val_short_edge or greatest, long_edge)
        self.semantic_maps = SemanticMaps(root / semantic_maps, semantic_zero_is_void) if semantic_maps else None
        self.filter_empty = filter_empty
        self.masks = masks
        self.crops = random_crop or scale_jitter is not None or instaboost is not None
        self.train_set: CocoDetection | None = None
        self.val_set: CocoDetection | None = None
        self.predict_set: ImageFiles | None = None

    @property
    def annotations(self) -> CocoAnnotations:
        """Categories and ground truth of the validation images, or of the training images without validation.

        Raises:
            RuntimeError: called before `setup` for training or validation.
        """
        found = self.val_set or self.train_set
        if found is None:
            raise RuntimeError(
                "CocoData has not read its annotations yet; call setup('fit') or setup('validate') first."
            )
        return found.annotations

    @property
    def class_names(self) -> list[str]:
        """Class names by label."""
        return self.annotations.class_names

    @property
    def category_ids(self) -> list[int]:
        """The annotation file's category ids by label."""
        return self.annotations.category_ids

    def setup(self, stage: str) -> None:
        """Read annotations and find images for a stage.

        Args:
            stage: fit, validate or predict.

        Raises:
            FileNotFoundError: a folder, an annotation file, an image or a semantic map is missing.
            ValueError: bad annotations or semantic maps, mostly unreadable images, different classes in training and
                validation, no masks for InstaBoost, or nothing to validate on or to predict.
        """
        if stage == "predict":
            self.check_predicted()
            self.predict_set = ImageFiles(find_images(self.predicted), self.eval_transform)
            return
        if self.val_annotations is not None:
            self.val_set = CocoDetection(self.val_folder, self.val_annotations, self.eval_transform)
        elif stage == "validate":
            raise ValueError("There is nothing to validate on; name a COCO file with --data.val_annotations.")
        if stage == "fit":
            self._set_up_training()
        for dataset, what in ((self.train_set, "training images"), (self.val_set, "validation images")):
            if dataset is not None:
                check_readable(dataset.skipped, len(dataset), dataset.read, what)

    def _set_up_training(self) -> None:
        self.train_set = CocoDetection(
            *(self.train_folder, self.train_annotations, self.train_transform, True, self.filter_empty),
            semantic_maps=self.semantic_maps,
        )
        self.train_set.with_masks, self.train_set.with_regions = bool(self.masks), self.crops
        if self.val_set is not None:
            check_classes(self.train_set.annotations, self.val_set.annotations)
            if not self.val_set.annotations.scored:
                raise ValueError(
                    f"{self.val_annotations} has no annotations, so that a training could not be scored; set "
                    "data.val_annotations to null to train without validation."
                )
        if self.instaboost is not None and not self.train_set.annotations.has_masks:
            raise ValueError(
                f"InstaBoost needs masks to cut objects out, but {self.train_annotations} has boxes only; leave "
                "data.instaboost out."
            )

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Check the targets of a training batch that goes to a GPU: the model would have to wait for it to check them.

        Raises:
            ValueError, TypeError: targets of another form, see `check_targets`.
        """
        trainer = self.trainer
        if trainer is not None and trainer.training and trainer.strategy.root_device.type != "cpu":
            model: Any = trainer.lightning_module.model
            check_targets(*batch, model.num_classes, model.has_masks, model.semantic_classes)
        return batch

    def train_dataloader(self) -> DataLoader[Sample]:
        """Batches of training images in random order."""
        return self.loader(self.train_set, shuffle=True)

    def val_dataloader(self) -> DataLoader[Sample] | list[Any]:
        """Batches of validation images; an empty list without validation."""
        return [] if self.val_annotations is None else self.loader(self.val_set)

    def predict_dataloader(self) -> DataLoader[Sample | None]:
        """Batches of the images to predict; a batch without readable images is empty."""
        return self.loader(self.predict_set)


def check_classes(train: CocoAnnotations, val: CocoAnnotations) -> None:
    """Raise unless two annotation files have the same categories.

    Raises:
        ValueError: their categories differ.
    """
    pairs = [set(zip(one.category_ids, one.class_names, strict=True)) for one in (train, val)]
    if pairs[0] != pairs[1]:
        raise ValueError(
            f"{train.path} and {val.path} list different categories; found in one of them only: "
            f"{sorted(pairs[0] ^ pairs[1])[:6]}. Write the same `categories` into both."
        )
