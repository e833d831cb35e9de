"""Images and their label maps, found in two folders or in one."""

from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from torchvision.tv_tensors import Image

from swinv2.images import SUFFIXES, UnreadableImageError, files_below, read_image
from swinv2.index_maps import size_in_header

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


def find_pairs(
    images: Path,
    maps: Path,
    image_suffix: str | None = None,
    map_suffix: str = ".png",
    listed: Path | None = None,
) -> list[Pair]:
    """The images and label maps in two folders and their subfolders that have the same path but for the suffix.

    What is hidden does not count. The folders may be the same one: a map is not an image.

    Args:
        images: folder of the images.
        maps: folder of the maps.
        image_suffix: end of the images' names that is not in the maps'; by default that of any known format.
        map_suffix: end of the maps' names that is not in the images', with the dot.
        listed: text file with the names of the pairs that are meant; by default all.

    Raises:
        FileNotFoundError: a folder, its content or the list is missing, or an image or a map has no partner.
        ValueError: two images or two maps of one name, or a list that names nothing.
    """
    for what, folder in (("images", images), ("label maps", maps)):
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder} of {what}; check data.root and the folder's name.")
    map_files = files_by_name("label maps", maps, (map_suffix,))
    image_suffixes = SUFFIXES if image_suffix is None else (image_suffix,)
    image_files = files_by_name("images", images, image_suffixes, other_than={*map_files.values()})
    if listed is None:
        check_partners(images, maps, map_suffix, image_files, map_files)
        names = sorted(image_files)
    else:
        names = read_names(listed)
        for what, folder, files in (("image", images, image_files), ("label map", maps, map_files)):
            check_listed(listed, names, what, folder, files)
    return [Pair(name, image_files[name], map_files[name]) for name in names]


def files_by_name(
    what: str, folder: Path, suffixes: Sequence[str], other_than: Collection[Path] = ()
) -> dict[str, Path]:
    """Files below a folder with one of some suffixes, by their path below it without suffix.

    Args:
        what: they are, for messages.
        folder: where to look.
        suffixes: ends of their names.
        other_than: files that do not count.

    Raises:
        FileNotFoundError: there is none.
        ValueError: two have the same name.
    """
    files = []
    for file in files_below(folder):
        suffix = next((one for one in suffixes if file.lower().endswith(one.lower())), None)
        if suffix and folder / file not in other_than:
            files.append((file[: -len(suffix)], folder / file))
    if not files:
        rest = " and are no label maps (data.map_suffix)" if other_than else ""
        raise FileNotFoundError(
            f"The folder {folder} has no {what}; looked for names that end in {', '.join(suffixes)}{rest}."
        )
    if twice := [name for name, count in Counter(name for name, _ in files).items() if count > 1]:
        raise ValueError(
            f"The folder {folder} has several {what} of the name {twice[0]}; keep one of them, or say with "
            "data.image_suffix how the names end."
        )
    return dict(files)


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
            f"{map_suffix!r} (data.map_suffix), and an image's as data.image_suffix says. Was the archive unpacked "
            "whole? If only some of the pairs are meant, name them in a list (data.train_list, data.val_list)."
        )


def read_names(path: Path) -> list[str]:
    """Names of pairs in a text file, one a line, sorted and each once.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no text, or empty.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no list {path}; check data.root, data.train_list and data.val_list.")
    try:
        names = {line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()} - {""}
    except UnicodeDecodeError as error:
        raise ValueError(f"The list {path} is not a text file in UTF-8.") from error
    if not names:
        raise ValueError(f"The list {path} is empty; write the names of the images in it, one a line without suffix.")
    return sorted(names)


def check_listed(listed: Path, names: Sequence[str], what: str, folder: Path, files: dict[str, Path]) -> None:
    """See that each name in a list has its file.

    Raises:
        FileNotFoundError: one has not.
    """
    if missing := [name for name in names if name not in files]:
        raise FileNotFoundError(
            f"{len(missing)} of the {len(names)} names in {listed} have no {what} in {folder}, first "
            f"{', '.join(missing[:3])}. A line is a path below this folder without suffix, e.g. {min(files)}; how "
            "names end is said by data.image_suffix and data.map_suffix."
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
