"""Images with their label maps, and images alone, as data sets."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset
from torchvision.tv_tensors import Image, Mask

from segmentation.class_list import ClassList
from segmentation.pairs import Pair, check_sizes, read_upright
from swinv2.images import LeftOut, Transform, UnreadableImageError
from swinv2.index_maps import read_map

Sample = tuple[Image, dict[str, Any]]


class ImagesAndMaps(Dataset[Sample | None]):
    """Images with targets `labels`, `image_id`, `path` and `name`; an id is the position by name, from 1.

    An image or map that cannot be read is left out, and the log counts it: in training the next one comes in its place,
    otherwise nothing, so that no image is scored twice.

    Args:
        pairs: from `find_pairs`.
        class_list: what the values in the maps mean.
        transform: changes image and target together.
        training: give another sample for one that cannot be read, instead of None.

    Attributes:
        left_out: positions of those that cannot be read.

    Raises:
        ValueError: a map does not have the size of its image.
    """

    def __init__(
        self, pairs: Sequence[Pair], class_list: ClassList, transform: Transform, training: bool = False
    ) -> None:
        self.pairs = pairs
        self.class_list = class_list
        self.transform = transform
        self.training = training
        self.left_out = LeftOut(len(pairs))
        check_sizes(pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample | None:
        candidates = itertools.chain(range(index, len(self)), range(index)) if self.training else [index]
        for candidate in candidates:
            if candidate in self.left_out:
                continue
            try:
                return self._read(candidate)
            except UnreadableImageError as error:
                self.left_out.add(candidate, error)
        if self.training:
            raise UnreadableImageError(f"None of the {len(self)} pairs can be read, first {self.pairs[0].image}.")
        return None

    def _read(self, index: int) -> Sample:
        pair = self.pairs[index]
        labels = self._labels(pair)
        image = read_upright(pair, (labels.shape[0], labels.shape[1]))
        return self.transform(image, {"labels": labels, "image_id": index + 1, "path": pair.image, "name": pair.name})

    def _labels(self, pair: Pair) -> Mask:
        return Mask(torch.from_numpy(self.class_list.to_labels(read_map(pair.map), pair.map)))
