"""Data set of images and targets from a folder and a COCO JSON."""

import itertools
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from torch.utils.data import Dataset
from torchvision.tv_tensors import Image

from detection.data.annotations import CocoAnnotations, ImageRecord
from detection.data.origins import Origins
from detection.data.regions import draw_regions
from detection.data.semantic_maps import SemanticMaps
from detection.detectors.semantic_branch import IGNORED
from swinv2.files.paths import Finder
from swinv2.imaging.datasets import Skipped, Transform
from swinv2.imaging.decoding.errors import ImageDepthError
from swinv2.imaging.finding import files_below
from swinv2.imaging.reading import UnreadableImageError, read_image


class CocoDetection(Dataset[tuple[Image, dict[str, Any]]]):
    """Images with targets `boxes`, `labels`, `masks`, `image_id`, `orig_size` and `size`.

    `boxes` (n, 4) are xyxy, `labels` (n,) from 0, `masks` (n, height, width) boolean. `orig_size` and `size` are
    (height, width) of the file and of the returned image; boxes and masks are in pixels of the latter. `masks`, drawn
    after the transform, and `semantic`, the class of each pixel (height, width), come in training only. An image that
    cannot be read is replaced by the next one, and the log counts it.

    Args:
        folder: image folder; the JSON's `file_name` is a path below it.
        annotations: COCO JSON.
        transform: joint transform of image and target. In training its targets have `regions` and `origins` instead of
            masks, see `draw_regions`.
        training: whether targets have masks and `filter_empty` applies; there must be an object to train on.
        filter_empty: leave images without objects out of training.
        semantic_maps: semantic maps of the training images, if any.

    Attributes:
        annotations: content of the JSON.
        records: the images in use, in the file's order.
        skipped: positions of the images that cannot be read.
        with_masks: whether training targets have masks; a detector of boxes needs none.
        semantic_classes: number of classes that semantic maps may have.
        with_regions: whether the transform gets the objects' regions even without masks, to fit boxes after a crop.

    Raises:
        FileNotFoundError: a folder, the JSON, an image or a semantic map is missing.
        ValueError: the JSON is not good COCO or has no object to train on, or a semantic map does not fit its image.
    """

    def __init__(
        self,
        folder: Path,
        annotations: Path,
        transform: Transform | None = None,
        training: bool = False,
        filter_empty: bool = True,
        semantic_maps: SemanticMaps | None = None,
    ) -> None:
        self.folder = folder
        self.annotations = CocoAnnotations(annotations)
        self.transform = transform
        self.training = training
        self.semantic_maps = semantic_maps
        if training and not self.annotations.annotated:
            raise ValueError(f"{annotations} has no annotated objects: nothing to train on.")
        chosen = self.annotations.annotated if training and filter_empty else self.annotations.images
        self.records = [self.annotations.images[image_id] for image_id in chosen]
        self.files = find_files(folder, self.records)
        self.with_masks = self.with_regions = True
        self.semantic_classes = IGNORED
        if semantic_maps is not None:
            semantic_maps.check(self.records)
        self.skipped = Skipped(len(self.records))

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> tuple[Image, dict[str, Any]]:
        for candidate in itertools.chain(range(index, len(self)), range(index)):
            if candidate in self.skipped:
                continue
            try:
                image, semantic = self.read(candidate)
            except (UnreadableImageError, ImageDepthError) as error:
                self.skipped.add(candidate, error)
            else:
                return self._prepare(image, self.records[candidate], semantic)
        raise UnreadableImageError(f"None of the {len(self)} images in {self.folder} can be read.")

    def read(self, index: int) -> tuple[Image, dict[str, Any]]:
        """Read the image at a position and its `semantic` map, if there are such maps, without transforms.

        Raises:
            UnreadableImageError: one of the two cannot be read, or does not have the annotated size.
            ImageDepthError: the image's values do not have 8 bits.
        """
        record = self.records[index]
        image = read_image(self.files[index], (record.height, record.width))
        if self.semantic_maps is None:
            return image, {}
        return image, {"semantic": self.semantic_maps.read(record, self.semantic_classes)}

    def _prepare(self, image: Image, record: ImageRecord, semantic: dict[str, Any]) -> tuple[Image, dict[str, Any]]:
        wanted = self.training and (self.with_masks or self.with_regions)
        target = self.annotations.target(record.id, with_regions=wanted)
        if "regions" in target:
            target["origins"] = Origins.whole(record.height, record.width)
        target |= {"image_id": record.id, "orig_size": (record.height, record.width)} | semantic
        if self.transform is not None:
            image, target = self.transform(image, target)
        if "regions" in target:
            regions, origins = target.pop("regions"), target.pop("origins")
            target |= {"masks": draw_regions(regions, origins)} if self.with_masks else {}
        return image, target | {"size": tuple(image.shape[-2:])}


def similar(folder: Path, name: str) -> str:
    """Sentence with the likely name of a missing image, or else with a file of the folder."""
    files = sorted(files_below(folder))
    wanted = PureWindowsPath(name.lower())  # accepts both kinds of slashes
    alike = [file for file in files if PureWindowsPath(file.lower()).stem == wanted.stem]
    if alike:
        return f" There is {alike[0]!r}: file_name is the path below the folder, with case and suffix."
    return f" The folder has {len(files)} files, first {files[0]!r}." if files else " The folder is empty."


def find_files(folder: Path, records: Sequence[ImageRecord]) -> list[Path]:
    """Paths of the image files, found by listing each folder once.

    Raises:
        FileNotFoundError: the folder or some images are missing.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no image folder {folder}; check the data folder and the folder's name.")
    finder = Finder(folder)
    paths = [finder.find(record.file_name) for record in records]
    found = [path for path in paths if path is not None]
    if len(found) < len(records):
        missing = [record.file_name for record, path in zip(records, paths, strict=True) if path is None]
        raise FileNotFoundError(
            f"{len(missing)} of {len(records)} annotated images are missing, first "
            f"{', '.join(str(folder / name) for name in missing[:3])}; check the image folder, or remove them from the "
            f"annotations.{similar(folder, missing[0])}"
        )
    return found
