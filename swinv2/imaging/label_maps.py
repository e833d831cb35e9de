"""Label maps in files: images of one channel whose values are the classes of the pixels."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8, UInt16

from swinv2.files.whole import write_bytes
from swinv2.imaging.decoding.size import GREY as GREY
from swinv2.imaging.decoding.size import PALETTE as PALETTE
from swinv2.imaging.decoding.size import png_header as png_header
from swinv2.imaging.decoding.size import size_in_header as size_in_header
from swinv2.imaging.decoding.stored_values import Stored, no_classes, stored_values
from swinv2.imaging.reading import read_bytes

Values = UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"]


def read_map(path: Path) -> Values:
    """Values of a label map as stored: palette indices if the file has a palette, grey levels otherwise.

    Values are not rescaled or inverted; with 1 bit, black is 0 and white is 1 in every format. BMP and GIF have no grey
    type: there, palettes of greys mean their levels, and a GIF of black and white means 1 bit. Three equal channels
    count as grey; an alpha channel is ignored. Of several pages or pictures the first is read.

    Args:
        path: a file of a lossless format: PNG, TIFF, BMP, GIF, PNM, TGA, lossless WebP or JPEG 2000.

    Raises:
        UnreadableImageError: the file is missing, empty, cut short, damaged, or no image.
        ValueError: it is lossy, a coloured picture, or has fractions or negative values.
    """
    return one_channel(stored_values(read_bytes(path), path), path)


def one_channel(pixels: Stored, path: Path) -> Values:
    """Label map of decoded values.

    Args:
        pixels: of one channel, grey with alpha, RGB, or RGB with a fourth channel.
        path: of the file, for messages.

    Raises:
        ValueError: its channels differ, or its values are not of type uint8 or uint16.
    """
    if pixels.dtype not in (np.uint8, np.uint16):
        raise no_classes(path, f"pixels of type {pixels.dtype}")
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] > 2 and (coloured := (pixels[..., 1:3] != pixels[..., :1]).any(axis=-1)).any():
        row, column = divmod(int(coloured.argmax()), pixels.shape[1])
        colour = tuple(pixels[row, column, :3].tolist())
        raise ValueError(
            f"{path} is a coloured picture, e.g. RGB {colour} at row {row}, column {column}; a label map holds the "
            "class of each pixel in one channel. Look up the class of each colour, and save the classes with "
            "swinv2.imaging.label_maps.write_map, or as a palette PNG."
        )
    return pixels[..., 0].copy()


def write_map(path: Path, values: Values) -> None:
    """Write a label map as a grey PNG, with 8 or 16 bits by the type of the values.

    Raises:
        OSError: the file cannot be written.
    """
    write_bytes(path, cv2.imencode(".png", values)[1].tobytes())


def map_size(path: Path) -> tuple[int, int]:
    """Height and width of a label map, by the header of a PNG or JPEG; other formats are decoded.

    Raises:
        UnreadableImageError: the file is missing, cut short, damaged, or no image.
        ValueError: it is of another format, and no label map.
    """
    return size_in_header(path) or read_map(path).shape
