"""Pixel values as stored in lossless files: not rescaled, not converted to colours."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8
from tifffile import TiffPage

from .bmp import Colours, bmp_header, read_bmp, read_bmp_indices
from .errors import Decoding, damaged, unsupported
from .formats import floating_format, format_of, no_image
from .pillow import declared_bits, jpeg_2000_loses, open_with_pillow, pnm_header
from .rgb import turn
from .size import PALETTE, check_size, parse_png, png_parts, png_pixels_per_byte
from .tiff import LOSSLESS, MASK, RGB, WHITE_IS_ZERO, read_tiff
from .tiff import PALETTE as TIFF_PALETTE
from .webp import webp_header

Stored = Shaped[np.ndarray, "h w *channels"]
Indices = UInt8[np.ndarray, "h w"]

MOST = np.iinfo(np.uint16).max
BLACK, WHITE = 0, 255
NOTE = re.compile(rb"#[^\n]*")


def stored_values(data: bytes, path: Path) -> Stored:
    """Values in a file of a lossless format, for `read_map`.

    Args:
        data: content of the file.
        path: of the file, for messages.

    Raises:
        UnreadableImageError: the file is empty, cut short, damaged, or no image.
        ValueError: it is lossy, or has fractions, negative values or colours that are not RGB.
    """
    kind = format_of(data)
    if kind is None and floating_format(data) is None:
        raise no_image(data, path)
    if kind is None:
        raise no_classes(path, "floating-point values")
    if kind not in READERS:
        raise invented(path, kind)
    return READERS[kind](data, path)


def read_png(data: bytes, path: Path) -> Stored:
    """Values in a PNG: palette indices, or levels, where 1, 2 and 4 bits are not scaled to 8."""
    header, parts = parse_png(data), png_parts(data)
    if header is None or parts is None:
        raise damaged(path, "PNG", "it is not whole")
    check_size(path, "PNG", header.height, header.width, len(data), png_pixels_per_byte(header))
    if header.kind == PALETTE:
        return np.asarray(open_with_pillow(data, path, "PNG", png_pixels_per_byte(header)))
    with Decoding(path, "PNG"):
        pixels = cv2.imdecode(np.frombuffer(parts[0], np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise damaged(path, "PNG", "its pixels cannot be decoded")
    if pixels.ndim == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    return pixels if header.bits >= 8 else pixels // (255 // (2**header.bits - 1))


def read_tiff_map(data: bytes, path: Path) -> Stored:
    """Values in a TIFF, turned upright; with 1 bit, black is 0."""
    picture = read_tiff(data, path, accept_map)
    samples = picture.samples
    if picture.bits == 1:
        samples = samples.astype(np.uint8) ^ (picture.photometric == WHITE_IS_ZERO)
    elif samples.dtype not in (np.uint8, np.uint16):
        if samples.min(initial=0) < 0 or samples.max(initial=0) > MOST:
            raise no_classes(path, f"values from {samples.min()} to {samples.max()}")
        samples = samples.astype(np.uint16)
    return turn(np.ascontiguousarray(samples[..., 0] if samples.shape[2] < 3 else samples), picture.orientation)


def accept_map(page: TiffPage, path: Path) -> None:
    """Raise unless a page of a TIFF holds integers without loss.

    Raises:
        ValueError: it is lossy, or has other values or colours.
        UnreadableImageError: it has more than 4 bands.
    """
    if page.compression not in LOSSLESS:
        raise invented(path, f"TIFF with compression {getattr(page.compression, 'name', page.compression)}")
    if page.dtype is None or page.dtype.kind not in "bui":
        raise no_classes(path, f"pixels of type {page.dtype or page.bitspersample}")
    if page.photometric not in (*range(RGB), RGB, TIFF_PALETTE, MASK):
        raise no_classes(path, f"colours of the kind {getattr(page.photometric, 'name', page.photometric)}")
    if page.samplesperpixel > 4:
        raise unsupported(path, "TIFF", f"{page.samplesperpixel} bands")


def read_bmp_map(data: bytes, path: Path) -> Stored:
    """Values in a BMP: RGB, palette indices or grey levels."""
    header = bmp_header(data, path)
    if header.bits > 8:
        return read_bmp(data, path)
    indices, colours = read_bmp_indices(data, path)
    return levels_of(indices, colours, 1 << header.bits, path)


def read_gif(data: bytes, path: Path) -> Stored:
    """Values in a GIF: palette indices or grey levels; RGB if Pillow gives it."""
    image = open_with_pillow(data, path, "GIF")
    if image.mode not in ("L", "P"):
        return np.array(image)
    indices = np.array(image)
    greys = np.arange(256, dtype=np.uint8).repeat(3).reshape(-1, 3)
    colours = np.array(image.getpalette(), np.uint8).reshape(-1, 3) if image.mode == "P" else greys
    levels = levels_of(indices, colours, len(colours), path)
    return levels // WHITE if np.isin(levels, (BLACK, WHITE)).all() else levels


def levels_of(indices: Indices, colours: Colours, count: int, path: Path) -> Indices:
    """Palette indices, or the grey levels of the palette if it is grey and not an even ramp from black to white.

    Args:
        indices: of the palette.
        colours: of the palette, RGB.
        count: number of indices that the format allows.
        path: of the file, for messages.
    """
    numbers = np.arange(count)
    if len(colours) == count and (colours == numbers[:, None]).all():
        return indices
    with Decoding(path, "picture with a palette"):
        used = colours[np.unique(indices)]
    spread = numbers * 255 // max(count - 1, 1)
    if (used != used[:, :1]).any() or (len(colours) == count and np.array_equal(colours[:, 0], spread)):
        return indices
    levels = colours[:, 0][indices]
    return levels // WHITE if count == 2 and np.isin(used, (BLACK, WHITE)).all() else levels


def read_pnm(data: bytes, path: Path) -> Stored:
    """Values in a PBM (black is 0), PGM or PPM; Pillow would scale them by their maximum."""
    if data[1] in b"14":
        return np.array(open_with_pillow(data, path, "PNM")).astype(np.uint8)
    with Decoding(path, "PNM"):
        width, height, maximum, start = pnm_header(data)
        shape = (height, width, 3) if data[1] in b"36" else (height, width)
        check_size(path, "PNM", height, width, len(data))
        if data[1] in b"56":
            dtype = np.dtype(">u2" if maximum > 255 else "u1")
            values = np.frombuffer(data, dtype, math.prod(shape), start)
        else:
            numbers = NOTE.sub(b"", data[start:]).split(maxsplit=math.prod(shape))
            values = np.array([int(number) for number in numbers[: math.prod(shape)]])
        if values.max(initial=0) > maximum or values.min(initial=0) < 0:
            raise damaged(
                path, "PNM", f"it has values that are not from 0 to {maximum}, which it says to be the highest"
            )
        return values.reshape(shape).astype(np.uint16 if maximum > 255 else np.uint8)


def read_webp(data: bytes, path: Path) -> Stored:
    """Values in a lossless WebP."""
    header = webp_header(data, path)
    if not header.lossless:
        raise invented(path, "lossy WebP")
    check_size(path, "WebP", header.height, header.width, len(data))
    return np.array(open_with_pillow(data, path, "WebP"))


def read_jpeg_2000(data: bytes, path: Path) -> Stored:
    """Values in a lossless JPEG 2000; undoes Pillow's shift to 8 or 16 bits."""
    bits = declared_bits(data, path, "JPEG 2000")
    if jpeg_2000_loses(data):
        raise invented(path, "lossy JPEG 2000")
    pixels = np.array(open_with_pillow(data, path, "JPEG 2000"))
    if bits > 8 * pixels.itemsize:
        raise unsupported(path, "JPEG 2000", f"several channels of {bits} bits")
    return pixels >> (8 * pixels.itemsize - bits)


def read_tga(data: bytes, path: Path) -> Stored:
    """Values in a TGA."""
    return np.array(open_with_pillow(data, path, "TGA"))


READERS: dict[str | None, Callable[[bytes, Path], Stored]] = {
    "PNG": read_png,
    "TIFF": read_tiff_map,
    "BMP": read_bmp_map,
    "GIF": read_gif,
    "PNM": read_pnm,
    "TGA": read_tga,
    "WebP": read_webp,
    "JPEG 2000": read_jpeg_2000,
}


def no_classes(path: Path, what: str) -> ValueError:
    """Error for a file whose values cannot be classes."""
    return ValueError(
        f"{path} has {what}; a label map holds the class of each pixel in 8 or 16 bits. "
        "Save it again with swinv2.imaging.label_maps.write_map."
    )


def invented(path: Path, kind: str) -> ValueError:
    """Error for a lossy format."""
    return ValueError(
        f"{path} is a {kind}, whose compression changes values and so invents classes, above all at edges. Save the "
        "original label maps as PNG, e.g. with swinv2.imaging.label_maps.write_map; those in this file cannot be "
        "restored."
    )
