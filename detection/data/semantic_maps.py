"""Semantic maps: the class of every pixel, for the semantic branch of Hybrid Task Cascade."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torchvision.tv_tensors import Mask

from detection.data.annotations import ImageRecord
from detection.detectors.semantic_branch import IGNORED
from swinv2.files.paths import Finder
from swinv2.imaging.label_maps import GREY, PALETTE, png_header, read_map
from swinv2.imaging.reading import UnreadableImageError


@dataclass(frozen=True)
class SemanticMaps:
    """Folder of 8-bit PNGs, grey or with a palette, each with the name of its image except for the suffix.

    Attributes:
        folder: folder of the maps, with the same subfolders as that of the images.
        zero_is_void: whether 0 is no class and the classes are 1, 2, … (as in ADE20K), instead of 0, 1, … with 255 for
            no class (as in COCO-stuff's stuffthingmaps).
    """

    folder: Path
    zero_is_void: bool = False

    def path(self, record: ImageRecord, finder: Finder | None = None) -> Path:
        """Path of an image's map, or where it should be if it is missing.

        Args:
            record: the image.
            finder: finder in the folder, for maps whose name is spelled differently; it lists the folder only once.
        """
        name = str(Path(record.file_name).with_suffix(".png"))
        path = self.folder / name
        return path if path.is_file() else (finder or Finder(self.folder)).find(name) or path

    def check(self, records: Sequence[ImageRecord]) -> None:
        """Raise unless all images have a map of the right format and size, judged by the first bytes of the files.

        Raises:
            FileNotFoundError: the folder or some maps are missing.
            ValueError: a map is not an 8-bit PNG of one channel, or not of the size of its image.
        """
        if not self.folder.is_dir():
            raise FileNotFoundError(
                f"There is no folder {self.folder} of semantic maps; check data.root and data.semantic_maps, or leave "
                "data.semantic_maps out and set the model's semantic_classes to 0."
            )
        finder = Finder(self.folder)
        paths = [self.path(record, finder) for record in records]
        if missing := [path for path in paths if not path.is_file()]:
            raise FileNotFoundError(
                f"{len(missing)} of {len(paths)} semantic maps are missing, first {', '.join(map(str, missing[:3]))}; "
                "each training image needs a PNG of its name. Was the archive unpacked whole?"
            )
        for path, record in zip(paths, records, strict=True):
            check_header(path, record)

    def read(self, record: ImageRecord, classes: int = IGNORED) -> Mask:
        """Read the map of an image, uint8 (height, width): class of each pixel, 255 for none.

        Args:
            record: the image.
            classes: number of classes of the model.

        Raises:
            UnreadableImageError: the file is damaged, or has a class beyond these.
        """
        pixels = read_map(self.path(record))
        if self.zero_is_void:
            pixels = np.where(pixels == IGNORED, pixels, pixels - np.uint8(1))  # 0 - 1 is 255
        beyond = pixels[(pixels >= classes) & (pixels != IGNORED)]
        if len(beyond):
            raise UnreadableImageError(
                f"{self.path(record)} has the class {beyond.max()}, but the model's semantic_classes are {classes}, "
                f"0 to {classes - 1}, with 255 for no class. Set semantic_classes, or correct the map."
            )
        return Mask(torch.from_numpy(np.require(pixels, requirements="W")))


def check_header(path: Path, record: ImageRecord) -> None:
    """Raise unless a file is an 8-bit PNG of one channel and of the size of its image.

    Raises:
        ValueError: another format or size.
    """
    header = png_header(path)
    if header is None or header.bits > 8 or header.kind not in (GREY, PALETTE):
        raise ValueError(
            f"{path} is not an 8-bit PNG of one grey channel or with a palette; a semantic map holds the class of each "
            "pixel. Save it again, e.g. from an array (height, width) of uint8 with "
            "swinv2.imaging.label_maps.write_map."
        )
    if (header.height, header.width) != (record.height, record.width):
        raise ValueError(
            f"The semantic map {path} measures {(header.height, header.width)} pixels (height, width), its image "
            f"{record.file_name} {(record.height, record.width)}; the two must agree. Do the maps belong to the images?"
        )
