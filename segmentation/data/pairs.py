"""Pairs of images and their label maps, found in two folders or in one."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from torchvision.tv_tensors import Image

from segmentation.data.name_lists import Names, composed, read_names
from swinv2.files.text_lines import Line
from swinv2.imaging.decoding.formats import SUFFIXES
from swinv2.imaging.finding import files_below
from swinv2.imaging.label_maps import size_in_header
from swinv2.imaging.reading import UnreadableImageError, read_image
from swinv2.imaging.skipped_files import tell_passed_over

MOST_OTHER = 0.5  # greatest share of pairs with different sizes
READERS = 16  # threads that read headers; on network disks most of the time is waiting


class Pair(NamedTuple):
    """Image and its label map.

    Attributes:
        name: path below the folder, without suffix.
        image: file of the image.
        map: file of its label map.
    """

    name: str
    image: Path
    map: Path


class File(NamedTuple):
    """Image or label map.

    Attributes:
        name: path below its folder, without suffix.
        path: path of the file.
    """

    name: str
    path: Path


def find_pairs(
    images: Path,
    maps: Path,
    image_suffix: str | None = None,
    map_suffix: str = ".png",
    listed: Path | None = None,
) -> list[Pair]:
    """Find the images and label maps in two folders that have the same path below them except for the suffix.

    Hidden files are ignored. Both may be the same folder: files that are maps are not taken as images.

    Args:
        images: folder of the images.
        maps: folder of the maps.
        image_suffix: end of the images' names that the maps' lack; by default the suffix of any known format.
        map_suffix: end of the maps' names that the images' lack, with the dot.
        listed: text file with the names of the pairs to use; by default all.

    Raises:
        FileNotFoundError: a folder, its content or the list is missing, or an image or a map has no partner.
        ValueError: two images or two maps of the same name, or an empty list.
    """
    for what, folder in (("images", images), ("label maps", maps)):
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder} of {what}; check data.root and the folder's name.")
    map_files = files_by_name("label maps", maps, (map_suffix,))
    suffixes = SUFFIXES if image_suffix is None else (image_suffix,)
    image_files = files_by_name("images", images, suffixes, {file.path for file in map_files.values()})
    names: Iterable[str] = image_files
    if listed is None:
        check_partners(images, maps, map_suffix, image_files, map_files)
    else:
        lines = read_names(listed, Names({*image_files, *map_files}, (images, maps), (*suffixes, map_suffix)))
        for what, folder, files in (("image", images, image_files), ("label map", maps, map_files)):
            check_listed(listed, lines, what, folder, files)
        names = lines
    pairs = [Pair(image_files[name].name, image_files[name].path, map_files[name].path) for name in names]
    return sorted(pairs, key=lambda pair: pair.name)


def files_by_name(
    what: str, folder: Path, suffixes: Sequence[str], other_than: Collection[Path] = ()
) -> dict[str, File]:
    """Files below a folder with given suffixes, by path below it without suffix, in Unicode's composed form.

    Args:
        what: kind of files, for messages.
        folder: folder to search.
        suffixes: ends of the files' names.
        other_than: files to leave out.

    Raises:
        FileNotFoundError: there is none.
        ValueError: two files have the same name, or most images have other suffixes.
    """
    files, others = [], []
    for file in files_below(folder):
        suffix = next((one for one in suffixes if file.lower().endswith(one.lower())), None)
        if suffix is None:
            others.append(file)
        elif folder / file not in other_than:
            files.append(File(file[: -len(suffix)], folder / file))
    if not files:
        rest = " and are no label maps (data.map_suffix)" if other_than else ""
        option = "data.map_suffix" if what == "label maps" else "data.image_suffix"
        there = f" It has others, e.g. {min(others)}; say with {option} how the names end." if others else ""
        raise FileNotFoundError(
            f"The folder {folder} has no {what}; looked for names that end in {', '.join(suffixes)}{rest}.{there}"
        )
    others = [file for file in others if folder / file not in other_than]
    if others and suffixes == SUFFIXES:  # a given suffix leaves others out on purpose
        tell_passed_over(folder, sorted(others), len(files))
    names = Counter(composed(file.name) for file in files)
    if twice := [name for name, count in names.items() if count > 1]:
        raise ValueError(
            f"The folder {folder} has several {what} of the name {twice[0]}; keep one of them, or say with "
            "data.image_suffix how the names end."
        )
    return {composed(file.name): file for file in files}


def check_partners(
    images: Path, maps: Path, map_suffix: str, image_files: Mapping[str, File], map_files: Mapping[str, File]
) -> None:
    """Raise unless each image has a map and each map an image.

    Raises:
        FileNotFoundError: some are missing.
    """
    complaints = []
    for what, given, partner, wanted, place in (
        ("images", image_files, "label map", map_files, maps),
        ("label maps", map_files, "image", image_files, images),
    ):
        if missing := sorted(str(file.path) for name, file in given.items() if name not in wanted):
            first = ", ".join(missing[:3])
            complaints.append(f"{len(missing)} of {len(given)} {what} have no {partner} in {place}, first {first}")
    if complaints:
        raise FileNotFoundError(
            f"{'; '.join(complaints)}. The two have the same path below their folders, but that a map's ends in "
            f"{map_suffix!r} (data.map_suffix), and an image's as data.image_suffix says. Was the archive unpacked "
            "whole? If only some of the pairs are meant, name them in a list (data.train_list, data.val_list)."
        )


def check_listed(listed: Path, lines: Mapping[str, Line], what: str, folder: Path, files: Mapping[str, File]) -> None:
    """Raise unless each name in a list has its file.

    Raises:
        FileNotFoundError: some are missing.
    """
    if missing := [line for name, line in lines.items() if name not in files]:
        raise FileNotFoundError(
            f"{len(missing)} of the {len(lines)} names in {listed} have no {what} in {folder}, first "
            f"{'; '.join(map(str, missing[:3]))}. A line is a path below this folder without suffix, e.g. "
            f"{min(files)}; how names end is said by data.image_suffix and data.map_suffix."
        )


def other_sizes(pairs: Sequence[Pair]) -> dict[int, ValueError]:
    """Errors, by position, of the pairs where image and map have different sizes in their headers.

    Sizes may agree with or without EXIF orientation; headers other than those of PNG and JPEG may not have them.

    Raises:
        ValueError: more than half of the pairs have different sizes.
    """
    found = {}
    with ThreadPoolExecutor(READERS) as pool:
        image_sizes = pool.map(size_in_header, [pair.image for pair in pairs])
        map_sizes = pool.map(size_in_header, [pair.map for pair in pairs])
        for position, (image_size, map_size) in enumerate(zip(image_sizes, map_sizes, strict=True)):
            if image_size and map_size and sorted(image_size) != sorted(map_size):
                found[position] = sizes_differ(pairs[position], image_size, map_size)
    if len(found) > MOST_OTHER * len(pairs):
        first = next(iter(found.values()))
        raise ValueError(f"Of {len(pairs)} images {len(found)} have other sizes than their maps. {first}")
    return found


def read_upright(pair: Pair, size: tuple[int, int]) -> Image:
    """Read the image of a pair, in its EXIF orientation unless only the stored one has the map's size.

    Args:
        pair: pair with the image.
        size: height and width of its map.

    Raises:
        UnreadableImageError: the file has no intact image.
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
    """Error for a map that does not have the size of its image."""
    return ValueError(
        f"The label map {pair.map} measures {tuple(map_size)} pixels (height, width), its image {pair.image} "
        f"{tuple(image_size)}; the two must agree. Do the maps belong to these images? A map is resized without mixing "
        "its values, e.g. with cv2.INTER_NEAREST."
    )
