"""Images and their objects from a folder and a COCO JSON."""

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset
from torchvision.tv_tensors import Image

from detection.annotations import CocoAnnotations, ImageRecord
from detection.semantic_maps import SemanticMaps
from swinv2.images import LeftOut, Transform, UnreadableImageError, read_image


class CocoDetection(Dataset[tuple[Image, dict[str, Any]]]):
    """Images with targets `boxes`, `labels`, `masks`, `image_id`, `orig_size` and `size`.

    Both sizes are (height, width): of the image file, and of the image given out, in whose pixels boxes and masks are.
    Masks come in training only, and so does `semantic`, the class of each pixel (height, width). An image that cannot
    be read is left out: the next one comes in its place, and the log counts it.

    Args:
        folder: image folder; the JSON's `file_name` is a path below it.
        annotations: COCO JSON.
        transform: changes image and target together.
        training: give masks too, and use only what can be trained on.
        filter_empty: leave images without objects out of training.
        semantic_maps: of the training images, if any.

    Attributes:
        annotations: content of the JSON.
        records: the images in use, in the file's order.
        left_out: positions of those that cannot be read.

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
        check_files(folder, self.records)
        if semantic_maps is not None:
            semantic_maps.check(self.records)
        self.left_out = LeftOut(len(self.records))

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> tuple[Image, dict[str, Any]]:
        for candidate in itertools.chain(range(index, len(self)), range(index)):
            if candidate in self.left_out:
                continue
            record = self.records[candidate]
            try:
                image = read_image(self.folder / record.file_name, (record.height, record.width))
                semantic = {} if self.semantic_maps is None else {"semantic": self.semantic_maps.read(record)}
            except UnreadableImageError as error:
                self.left_out.add(candidate, error)
            else:
                return self._prepare(image, record, semantic)
        raise UnreadableImageError(f"None of the {len(self)} images in {self.folder} can be read.")

    def _prepare(self, image: Image, record: ImageRecord, semantic: dict[str, Any]) -> tuple[Image, dict[str, Any]]:
        target = self.annotations.target(record.id, with_masks=self.training)
        target |= {"image_id": record.id, "orig_size": (record.height, record.width)} | semantic
        if self.transform is not None:
            image, target = self.transform(image, target)
        return image, target | {"size": tuple(image.shape[-2:])}


def check_files(folder: Path, records: Iterable[ImageRecord]) -> None:
    """See that a folder holds all images, by listing it once.

    Raises:
        FileNotFoundError: the folder or some images are missing.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no image folder {folder}; check the data folder and the folder's name.")
    paths = [folder / record.file_name for record in records]
    there = {parent: set(os.listdir(parent)) for parent in {path.parent for path in paths} if parent.is_dir()}
    missing = [str(path) for path in paths if path.name not in there.get(path.parent, ())]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} annotated images are missing, first {', '.join(missing[:3])}; "
            "check the image folder, or remove them from the annotations."
        )
