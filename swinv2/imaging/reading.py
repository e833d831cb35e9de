"""Image files to RGB tensors; a file that cannot be read is an `UnreadableImageError`.

Data sets catch it, note the file in `Skipped` of `datasets.py`, which logs it, and give another item or None instead.
"""

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

MOST_BYTES, UNCOMPRESSED = 8, ("TIFF", "BMP", "PNM")  # of a file per pixel of the limit, in these formats; else 1
FIRST_BYTES = 64  # enough to recognize an uncompressed format


def read_image(path: Path, size: tuple[int, int] | None = None) -> Image:
    """Image of a file as RGB (3, height, width), uint8, upright by its EXIF orientation.

    Its memory layout is channels last: torchvision resizes such images several times faster.

    Args:
        path: a file of any format of `swinv2.imaging.decoding.formats`, whatever its name.
        size: (height, width) by the annotations; if only the pixels as stored have it, they are not turned upright.

    Raises:
        UnreadableImageError: the file cannot be read, or its image has another size.
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
    """Content of a file.

    Raises:
        UnreadableImageError: it cannot be opened, is too large for an image, or is not a regular file; a pipe would
            block until something is written to it.
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
    """RGB pixels of an encoded image, whatever its name.

    Args:
        data: content of the file.
        path: of the file, for messages.
        flags: `cv2.IMREAD_IGNORE_ORIENTATION` to ignore the EXIF orientation.

    Raises:
        UnreadableImageError: empty, no image, damaged, or of a format or size that is not accepted.
        ImageDepthError: its values do not have 8 bits.
    """
    if not data:
        raise no_image(data, path)
    return decode_image(data, path, upright=not flags & cv2.IMREAD_IGNORE_ORIENTATION)
