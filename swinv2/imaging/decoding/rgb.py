"""RGB pixels of image files, turned upright by the EXIF orientation, with a decoder for each format.

OpenCV prints the messages of libjpeg and libpng to the terminal, multiplies the fourth band of a TIFF into the
colours, and its versions differ. For JPEG, PNG and WebP imagecodecs gives the same pixels silently and as fast, see
benchmarks/reading.md.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from .bmp import read_bmp
from .errors import Decoding, damaged, wrong_depth
from .formats import floating_format, format_of, no_image
from .pillow import declared_bits, open_heif, open_with_pillow, quiet
from .size import (
    COEFFICIENT,
    GREY,
    GREY_ALPHA,
    MOST_SCANS,
    check_size,
    jpeg_scans,
    parse_jpeg,
    parse_png,
    png_parts,
    png_pixels_per_byte,
)
from .tiff import accept_image, read_tiff, tiff_rgb
from .webp import webp_header

Pixels = UInt8[np.ndarray, "h w 3"]

ORIENTATION = 274  # EXIF's tag
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # by EXIF orientation; 1 is upright
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.flip(cv2.transpose(pixels), -1),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def decode_image(data: bytes, path: Path, upright: bool = True) -> Pixels:
    """RGB pixels of an encoded image of any format; no fourth channel, and the first image of an animation.

    Args:
        data: content of the file.
        path: of the file, for messages.
        upright: apply the EXIF orientation.

    Raises:
        UnreadableImageError: no image, damaged, of a format or size that is not accepted, or of more than 4 bands.
        ImageDepthError: its values do not have 8 bits.
    """
    kind = format_of(data)
    if kind is not None:
        return DECODERS[kind](data, path, upright)
    if floating_format(data):
        raise wrong_depth(path, "floating-point values")
    raise no_image(data, path)


def decode_jpeg(data: bytes, path: Path, upright: bool) -> Pixels:
    """RGB pixels of a JPEG; Pillow converts CMYK."""
    header = parse_jpeg(data)
    if header is None:
        raise damaged(path, "JPEG", "it ends before it tells its size")
    if header.bits != 8:
        raise wrong_depth(path, f"values of {header.bits} bits")
    beside = COEFFICIENT * header.channels if header.progressive else 0
    check_size(path, "JPEG", header.height, header.width, len(data), beside=beside)
    if not 0 < (scans := jpeg_scans(data, header)) <= MOST_SCANS:
        raise damaged(path, "JPEG", f"it has {scans} scans" if scans else "it ends before its last pixels")
    if header.channels == 4:
        pixels = rgb_of(open_with_pillow(data, path, "JPEG"))
    else:
        with Decoding(path, "JPEG"):
            pixels = imagecodecs.jpeg8_decode(
                data, outcolorspace=None if header.lossless and header.channels == 1 else "RGB"
            )
            pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if pixels.ndim == 2 else pixels
    return turn(pixels, orientation_of(header.exif) if upright else 1)


def decode_png(data: bytes, path: Path, upright: bool) -> Pixels:
    """RGB pixels of a PNG: libpng is faster for grey, libspng for colours."""
    header, parts = parse_png(data), png_parts(data)
    if header is None or parts is None:
        raise damaged(path, "PNG", "it is not whole")
    if header.bits == 16:
        raise wrong_depth(path, "values of type uint16")
    check_size(path, "PNG", header.height, header.width, len(data), png_pixels_per_byte(header))
    with Decoding(path, "PNG"):
        if header.kind in (GREY, GREY_ALPHA):
            pixels = cv2.imdecode(np.frombuffer(parts[0], np.uint8), cv2.IMREAD_COLOR_RGB)
        else:
            pixels = imagecodecs.spng_decode(parts[0])
    if pixels is None:
        raise damaged(path, "PNG", "its pixels cannot be decoded")
    rgb = cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB) if pixels.shape[2] == 4 else pixels
    return turn(rgb, orientation_of(parts[1]) if upright else 1)


def decode_webp(data: bytes, path: Path, upright: bool) -> Pixels:
    """RGB pixels of a WebP; Pillow decodes only the first picture of an animation."""
    header = webp_header(data, path)
    check_size(path, "WebP", header.height, header.width, len(data))
    if header.animated:
        pixels = rgb_of(open_with_pillow(data, path, "WebP"))
    else:
        with Decoding(path, "WebP"):
            pixels = imagecodecs.webp_decode(data, hasalpha=False)
    return turn(pixels, orientation_of(header.exif) if upright else 1)


def decode_bmp(data: bytes, path: Path, upright: bool) -> Pixels:
    """RGB pixels of a BMP, which has no EXIF data."""
    return read_bmp(data, path)


def decode_tiff(data: bytes, path: Path, upright: bool) -> Pixels:
    """RGB pixels of a TIFF."""
    picture = read_tiff(data, path, accept_image)
    return turn(tiff_rgb(picture, path), picture.orientation if upright else 1)


def decode_heif(data: bytes, path: Path, upright: bool) -> Pixels:
    """RGB pixels of a HEIC, always upright."""
    return rgb_of(open_heif(data, path))


def decode_other(kind: str) -> Callable[[bytes, Path, bool], Pixels]:
    """Decoder for a format that Pillow reads correctly."""

    def decode(data: bytes, path: Path, upright: bool) -> Pixels:
        if (bits := declared_bits(data, path, kind)) > 8:
            raise wrong_depth(path, f"values of {bits} bits")
        image = open_with_pillow(data, path, kind)
        with quiet(path, kind):
            pixels = rgb_of(image)
            if kind == "JPEG 2000" and bits < 8:  # Pillow shifts them up, so that white is not 255
                pixels = ((pixels >> (8 - bits)) * (255 / ((1 << bits) - 1))).round().astype(np.uint8)
            return turn(pixels, image.getexif().get(ORIENTATION, 1) if upright else 1)

    return decode


DECODERS: dict[str, Callable[[bytes, Path, bool], Pixels]] = {
    "JPEG": decode_jpeg,
    "PNG": decode_png,
    "WebP": decode_webp,
    "TIFF": decode_tiff,
    "BMP": decode_bmp,
    "HEIC": decode_heif,
    **{kind: decode_other(kind) for kind in ("GIF", "JPEG 2000", "AVIF", "PNM", "TGA")},
}


def rgb_of(image: Image.Image) -> Pixels:
    """RGB pixels of a Pillow image, without alpha."""
    return np.array(image.convert("RGB"))


def turn(pixels: Shaped[np.ndarray, "h w *channels"], orientation: object) -> Shaped[np.ndarray, "H W *channels"]:
    """Pixels turned upright by an EXIF orientation; invalid values are ignored."""
    turned = TURNS.get(orientation) if isinstance(orientation, int) else None
    return pixels if turned is None else turned(pixels)


def orientation_of(exif: bytes) -> object:
    """EXIF orientation; 1 if there is none or the data is damaged."""
    if not exif:
        return 1
    tags = Image.Exif()
    with suppress(OSError), quiet(Path(), "EXIF"):
        tags.load(exif)
        return tags.get(ORIENTATION, 1)
    return 1
