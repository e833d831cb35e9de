"""Data set of images with their label maps."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset
from torchvision.tv_tensors import Image, Mask

from segmentation.data.class_list import ClassList
from segmentation.data.pairs import Pair, other_sizes, read_upright
from swinv2.imaging.datasets import Skipped, Transform
from swinv2.imaging.label_maps import read_map
from swinv2.imaging.reading import UnreadableImageError

Sample = tuple[Image, dict[str, Any]]


class ImagesAndMaps(Dataset[Sample | None]):
    """Images with targets `labels`, `image_id`, `path` and `name`; the id is the position by name, from 1.

    A pair is skipped, and the log counts it, if its image or map cannot be read, the map is no label map or has a value
    that is no class, or their sizes differ. In training it is replaced by the next pair, otherwise by None, so that no
    image is scored twice.

    Args:
        pairs: pairs from `find_pairs`.
        class_list: classes of the values in the maps.
        transform: joint transform of image and target.
        training: whether a skipped pair is replaced by another one, instead of None.

    Attributes:
        skipped: positions of the skipped pairs.

    Raises:
        ValueError: more than half of the images have other sizes than their maps.
    """

    def __init__(
        self, pairs: Sequence[Pair], class_list: ClassList, transform: Transform, training: bool = False
    ) -> None:
        self.pairs = pairs
        self.class_list = class_list
        self.transform = transform
        self.training = training
        self.skipped = Skipped(len(pairs), "an image with its map")
        for position, error in other_sizes(pairs).items():
            self.skipped.add(position, error)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample | None:
        candidates = itertools.chain(range(index, len(self)), range(index)) if self.training else [index]
        for candidate in candidates:
            if candidate in self.skipped:
                continue
            try:
                image, labels = self.read(candidate)
            except UnreadableImageError as error:
                self.skipped.add(candidate, error)
                continue
            pair = self.pairs[candidate]
            target = {"labels": labels, "image_id": candidate + 1, "path": pair.image, "name": pair.name}
            return self.transform(image, target)
        if self.training:
            raise UnreadableImageError(f"None of the {len(self)} pairs can be read, first {self.pairs[0].image}.")
        return None

    def read(self, index: int) -> tuple[Image, Mask]:
        """Read an image and the labels of its pixels.

        Raises:
            UnreadableImageError: no intact image of 8 bits, or no map of its size with values of the class list.
        """
        pair = self.pairs[index]
        try:
            labels = Mask(torch.from_numpy(self.class_list.to_labels(read_map(pair.map), pair.map)))
            return read_upright(pair, (labels.shape[0], labels.shape[1])), labels
        except ValueError as error:
            raise UnreadableImageError(str(error)) from error
