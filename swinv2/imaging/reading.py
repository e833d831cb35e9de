"""Image files, read with care."""

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from torchvision.tv_tensors import Image

from ..files.regular import SPECIAL, is_special
from .decoding.errors import UnreadableImageError
from .decoding.formats import format_of, no_image
from .decoding.rgb import decode_image
from .decoding.size import LIMIT, most_pixels

MOST_BYTES, UNCOMPRESSED = 8, ("TIFF", "BMP", "PNM")  # of a file, for a pixel that is taken, in these formats; else 1
FIRST_BYTES = 64  # that tell the format


def read_image(path: Path, size: tuple[int, int] | None = None) -> Image:
    """An image file as RGB (3, height, width), uint8, upright as its EXIF orientation says.

    The channels lie innermost in memory: torchvision resizes such images several times faster.

    Args:
        path: a file of any format of `swinv2.imaging.decoding.formats`, whatever its name.
        size: (height, width) that the annotations were made in; where only the stored orientation has it, that one
            is taken.

    Raises:
        UnreadableImageError: the file gives no whole image of that size.
        ImageDepthError: its values do not have 8 bits.
    """
    data = read_bytes(path)
    pixels = decode(data, path)
    if size is not None and pixels.shape[:2] != size:
        pixels = decode(data, path, cv2.IMREAD_IGNORE_ORIENTATION)
    if size is not None and pixels.shape[:2] != size:
        raise UnreadableImageError(
            f"{path} measures {pixels.shape[:2]} pixels (height, width), its annotation says {size}"
        )
    return Image(torch.from_numpy(pixels).permute(2, 0, 1))


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        UnreadableImageError: it cannot be opened, is too large for an image, or is no file but e.g. a pipe, which would
            wait for its writer.
    """
    try:
        if is_special(path):
            raise UnreadableImageError(f"{path} {SPECIAL}.")
        with path.open("rb") as file:
            size, start = path.stat().st_size, file.read(FIRST_BYTES)
            per_pixel = MOST_BYTES if format_of(start) in UNCOMPRESSED else 1
            if size > per_pixel * most_pixels():
                raise UnreadableImageError(
                    f"{path} has {size:,} bytes, more than {per_pixel} for each of the {most_pixels():,} pixels that "
                    f"are taken; set the environment variable {LIMIT} to a number above, or cut the image into tiles."
                )
            file.seek(0)
            return file.read()
    except UnreadableImageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise UnreadableImageError(f"{path} cannot be opened: {getattr(error, 'strerror', error)}") from error


def decode(data: bytes, path: Path, flags: int = 0) -> UInt8[np.ndarray, "h w 3"]:
    """RGB pixels of an encoded image, by its content and whatever its name.

    Args:
        data: content of the file.
        path: where it came from, for the message.
        flags: `cv2.IMREAD_IGNORE_ORIENTATION` to leave the pixels as they are stored.

    Raises:
        UnreadableImageError: empty, no image, damaged, or of a format or size that is not taken.
        ImageDepthError: its values do not have 8 bits.
    """
    if not data:
        raise no_image(data, path)
    return decode_image(data, path, upright=not flags & cv2.IMREAD_IGNORE_ORIENTATION)
