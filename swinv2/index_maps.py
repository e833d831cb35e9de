"""Label maps in files: pictures of one channel whose values are the classes of the pixels."""

import struct
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8, UInt16
from PIL.PngImagePlugin import PngImageFile

from swinv2.images import UnreadableImageError

PNG = struct.Struct(">8s4x4sIIBB")  # signature, first chunk, width, height, bits, kind of colour
PNG_START = (b"\x89PNG\r\n\x1a\n", b"IHDR")
GREY, PALETTE = 0, 3  # kinds of colour

JPEG_START = b"\xff\xd8"
JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of the segments that tell the size
JPEG_SEGMENT = struct.Struct(">BBH")  # 255, marker, length

Values = UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"]


class PngHeader(NamedTuple):
    """How a PNG keeps its pixels.

    Attributes:
        height: pixels.
        width: pixels.
        bits: of a value.
        kind: `GREY`, `PALETTE` or another one of PNG's kinds of colour.
    """

    height: int
    width: int
    bits: int
    kind: int


def read_map(path: Path) -> Values:
    """The values in a label map: indices where the file has a palette, grey levels otherwise, never stretched.

    Three equal channels count as grey; an alpha channel beside them does not count.

    Args:
        path: any format that OpenCV reads; palettes in PNGs only.

    Raises:
        UnreadableImageError: the file is missing, empty, cut short, damaged, or no image.
        ValueError: it is a coloured picture, or has fractions or negative values.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"{path} cannot be opened: {error.strerror}") from error
    if not data:
        raise UnreadableImageError(f"{path} is empty")
    header = parse_png(data[: PNG.size])
    if header is not None and header.kind == PALETTE:
        return palette_indices(data, path)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise UnreadableImageError(f"{path} cannot be decoded: {error}") from error
    if pixels is None:
        raise UnreadableImageError(f"{path} is cut short, damaged, or no image")
    if header is not None and header.bits < 8:
        pixels = pixels // (255 // (2**header.bits - 1))  # OpenCV stretches 1, 2 and 4 bits to 0 … 255
    return one_channel(pixels, path)


def palette_indices(data: bytes, path: Path) -> UInt8[np.ndarray, "h w"]:
    """The indices in a palette PNG, which OpenCV would turn into colours.

    Raises:
        UnreadableImageError: it is cut short or damaged.
    """
    try:
        with PngImageFile(BytesIO(data)) as image:  # `Image.open` has a limit on pixels, this has not
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise UnreadableImageError(f"{path} is cut short or damaged: {error}") from error


def one_channel(pixels: Shaped[np.ndarray, "h w *channels"], path: Path) -> Values:
    """A decoded picture as a label map.

    Raises:
        ValueError: its channels differ, or its values are no whole numbers from 0 to 65535.
    """
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"{path} has pixels of type {pixels.dtype}; a label map holds the class of each pixel in 8 or 16 bits. "
            "Save it again with swinv2.index_maps.write_map."
        )
    if pixels.ndim == 2:
        return pixels
    coloured = (pixels[..., 1:3] != pixels[..., :1]).any(axis=-1)
    if coloured.any():
        row, column = divmod(int(coloured.argmax()), pixels.shape[1])
        colour = tuple(pixels[row, column, 2::-1].tolist())
        raise ValueError(
            f"{path} is a coloured picture, e.g. RGB {colour} at row {row}, column {column}; a label map holds the "
            "class of each pixel in one channel. Look up the class of each colour, and save the classes with "
            "swinv2.index_maps.write_map, or as a palette PNG."
        )
    return pixels[..., 0].copy()


def write_map(path: Path, values: Values) -> None:
    """Write a label map as a grey PNG of 8 or 16 bits, by the type of the values.

    Raises:
        OSError: the file cannot be written.
    """
    path.write_bytes(cv2.imencode(".png", values)[1].tobytes())


def map_size(path: Path) -> tuple[int, int]:
    """Height and width of a label map; of PNGs the first bytes are enough, other formats are read.

    Raises:
        UnreadableImageError: the file is missing, or is neither a PNG nor another whole image.
        ValueError: it is another format, and no label map.
    """
    return size_in_header(path) or read_map(path).shape


def size_in_header(path: Path) -> tuple[int, int] | None:
    """Stored height and width of a PNG or JPEG from its first bytes; None of other or damaged files."""
    try:
        with path.open("rb") as file:
            start = file.read(PNG.size)
            if start.startswith(JPEG_START):
                return jpeg_size(file)
    except OSError:
        return None
    header = parse_png(start)
    return None if header is None else (header.height, header.width)


def png_header(path: Path) -> PngHeader | None:
    """How a PNG keeps its pixels, from its first bytes; None of other or damaged files."""
    with path.open("rb") as file:
        return parse_png(file.read(PNG.size))


def parse_png(start: bytes) -> PngHeader | None:
    """The header in a PNG's first bytes; None if these are none of a PNG."""
    if len(start) < PNG.size:
        return None
    signature, chunk, width, height, bits, kind = PNG.unpack(start)
    return PngHeader(height, width, bits, kind) if (signature, chunk) == PNG_START else None


def jpeg_size(file: BinaryIO) -> tuple[int, int] | None:
    """Height and width in an open JPEG; None if it ends before it tells them, or is damaged."""
    file.seek(len(JPEG_START))
    while len(segment := file.read(JPEG_SEGMENT.size)) == JPEG_SEGMENT.size:
        start, marker, length = JPEG_SEGMENT.unpack(segment)
        if start != 0xFF or length < 2:
            return None
        if marker in JPEG_FRAMES:
            frame = file.read(5)  # bits, height, width
            return struct.unpack(">xHH", frame) if len(frame) == 5 else None
        file.seek(length - 2, 1)
    return None
