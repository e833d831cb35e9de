"""Images and their label maps from two folders, and images alone."""

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import Dataset
from torchvision.transforms import v2
from torchvision.tv_tensors import Image, Mask

from segmentation.class_list import ClassList
from swinv2.images import SUFFIXES, ImageFiles, LeftOut, Transform, UnreadableImageError, read_image
from swinv2.index_maps import read_map, size_in_header

Sample = tuple[Image, dict[str, Any]]
READERS = 16  # threads that look into headers; on network disks most of the time is waiting


class Pair(NamedTuple):
    """An image and its label map.

    Attributes:
        name: path below the folder, without suffix.
        image: file of the image.
        map: file of its label map.
    """

    name: str
    image: Path
    map: Path


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
        ValueError: a map does not have the size of its image, or the first map is coloured or has a value that is no
            class. The values of the other maps are checked when they are read.
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
        with suppress(UnreadableImageError):  # which is counted when its turn comes
            self._labels(pairs[0])

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


class NamedImages(ImageFiles):
    """Images to predict: targets `image_id`, `path`, `name` and `size`; None if unreadable.

    Args:
        paths: the files.
        transform: changes image and target together.
    """

    def __init__(self, paths: Sequence[Path], transform: Transform) -> None:
        super().__init__(paths, v2.Identity())
        self.finish = transform
        self.names = unique_names(paths)

    def __getitem__(self, index: int) -> Sample | None:
        sample = super().__getitem__(index)
        if sample is None:
            return None
        image, target = sample
        return self.finish(image, target | {"name": self.names[index]})


def find_pairs(images: Path, maps: Path, map_suffix: str = ".png") -> list[Pair]:
    """The images and label maps in two folders and their subfolders that have the same path but for the suffix.

    Args:
        images: folder of the images.
        maps: folder of the maps.
        map_suffix: end of the maps' names that is not in the images', with the dot.

    Raises:
        FileNotFoundError: a folder or its content is missing, or an image or a map has no partner.
        ValueError: two images of one name.
    """
    by_name: list[dict[str, Path]] = []
    for what, folder, suffixes in (("images", images, SUFFIXES), ("label maps", maps, (map_suffix,))):
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder} of {what}; check data.root and the folder's name.")
        files = files_below(folder, suffixes)
        if not files:
            raise FileNotFoundError(
                f"The folder {folder} has no {what}; looked for names that end in {', '.join(suffixes)}."
            )
        by_name.append({name: path for name, path in files})
        if twice := [name for name, count in Counter(name for name, _ in files).items() if count > 1]:
            raise ValueError(f"The folder {folder} has several {what} of the name {twice[0]}; keep one of them.")
    check_partners(images, maps, map_suffix, *by_name)
    return [Pair(name, path, by_name[1][name]) for name, path in sorted(by_name[0].items())]


def files_below(folder: Path, suffixes: Sequence[str]) -> list[tuple[str, Path]]:
    """Files below a folder with one of some suffixes, each with its path below the folder without it; none hidden."""
    found = []
    for place, _, names in os.walk(folder, followlinks=True):
        for name in names:
            suffix = next((one for one in suffixes if name.lower().endswith(one.lower())), None)
            if suffix and not name.startswith("."):
                path = Path(place, name)
                found.append((path.relative_to(folder).as_posix()[: -len(suffix)], path))
    return found


def check_partners(
    images: Path, maps: Path, map_suffix: str, image_files: dict[str, Path], map_files: dict[str, Path]
) -> None:
    """See that each image has a map and each map an image.

    Raises:
        FileNotFoundError: one has not.
    """
    complaints = []
    for what, given, partner, wanted, place in (
        ("images", image_files, "label map", map_files, maps),
        ("label maps", map_files, "image", image_files, images),
    ):
        if missing := sorted(str(path) for name, path in given.items() if name not in wanted):
            first = ", ".join(missing[:3])
            complaints.append(f"{len(missing)} of {len(given)} {what} have no {partner} in {place}, first {first}")
    if complaints:
        raise FileNotFoundError(
            f"{'; '.join(complaints)}. The two have the same path below their folders, but that a map's ends in "
            f"{map_suffix!r} (data.map_suffix). Was the archive unpacked whole?"
        )


def check_sizes(pairs: Sequence[Pair]) -> None:
    """See by their headers that PNG and JPEG images have the sizes of their maps, upright or as they are stored.

    Raises:
        ValueError: one has not.
    """
    with ThreadPoolExecutor(READERS) as pool:
        image_sizes = pool.map(size_in_header, [pair.image for pair in pairs])
        map_sizes = pool.map(size_in_header, [pair.map for pair in pairs])
        for pair, image_size, map_size in zip(pairs, image_sizes, map_sizes, strict=True):
            if image_size and map_size and sorted(image_size) != sorted(map_size):
                raise sizes_differ(pair, image_size, map_size)


def read_upright(pair: Pair, size: tuple[int, int]) -> Image:
    """The image of a pair, turned as its EXIF orientation says unless only the stored one has the size of the map.

    Args:
        pair: whose image is meant.
        size: height and width of its map.

    Raises:
        UnreadableImageError: the file gives no whole image.
        ValueError: neither orientation has the size of the map.
    """
    image = read_image(pair.image)
    if tuple(image.shape[-2:]) == size:
        return image
    try:
        return read_image(pair.image, size)
    except UnreadableImageError as error:
        raise sizes_differ(pair, tuple(image.shape[-2:]), size) from error


def sizes_differ(pair: Pair, image_size: Sequence[int], map_size: Sequence[int]) -> ValueError:
    """What is raised if a map does not have the size of its image."""
    return ValueError(
        f"The label map {pair.map} measures {tuple(map_size)} pixels (height, width), its image {pair.image} "
        f"{tuple(image_size)}; the two must agree. Do the maps belong to these images? A map is resized without mixing "
        "its values, e.g. with cv2.INTER_NEAREST."
    )


def unique_names(paths: Sequence[Path]) -> list[str]:
    """A name for each file's results: its name without suffix, after its position from 1 where two have the same."""
    stems = [path.stem for path in paths]
    return stems if len({*stems}) == len(stems) else [f"{index}_{stem}" for index, stem in enumerate(stems, start=1)]
