"""BMP files: RGB pixels, and palette indices.

OpenCV is fast and right for uncompressed files. Pillow reads the other kinds, but misreads palettes of greys.
"""

import struct
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from .errors import Decoding, damaged
from .pillow import open_with_pillow
from .size import check_size

BMP = "BMP"
HEADER = struct.Struct("<10xIIiiHHI12xI")  # start of pixels, size, width, height, planes, bits, compression, colours
OLD_SIZE, OLD_HEADER = 12, struct.Struct("<10xIIHHHH")  # of the first version, which has no compression
RUNS = 128.0  # most pixels per byte of a run-length encoded file

Colours = UInt8[np.ndarray, "colours 3"]


class BmpHeader(NamedTuple):
    """Header of a BMP.

    Attributes:
        start: offset of the pixels in the file, bytes.
        size: of the header after the first 14 bytes.
        width: pixels.
        height: pixels; negative if the top row comes first.
        bits: per pixel; up to 8 are palette indices.
        compression: 0 for none.
        colours: number in the palette; 0 for as many as the bits allow.
    """

    start: int
    size: int
    width: int
    height: int
    bits: int
    compression: int
    colours: int

    @property
    def palette(self) -> slice:
        """Bytes of the file that hold the palette."""
        first, entry = 14 + self.size, self.entry
        held = max(self.start - first, 0) // entry
        return slice(first, first + min(held, self.colours or 256, 1 << self.bits) * entry)

    @property
    def entry(self) -> int:
        """Bytes of a colour: blue, green, red and, but for old headers, one that is not used."""
        return 3 if self.size == OLD_SIZE else 4


def read_bmp(data: bytes, path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """RGB pixels of a BMP.

    Raises:
        UnreadableImageError: the file is damaged, or its size is not accepted.
    """
    header = bmp_header(data, path)
    if is_plain(header) and (pixels := by_opencv(data, path, cv2.IMREAD_COLOR_RGB)) is not None:
        return pixels
    if header.bits > 8:
        return np.array(open_with_pillow(data, path, BMP, per_byte(header)).convert("RGB"))
    indices, colours = read_bmp_indices(data, path)
    with Decoding(path, BMP):
        return colours[indices]


def read_bmp_indices(data: bytes, path: Path) -> tuple[UInt8[np.ndarray, "h w"], Colours]:
    """Palette indices of a BMP of up to 8 bits, and the palette's RGB colours.

    Raises:
        UnreadableImageError: the file is damaged, or its size is not accepted.
    """
    header = bmp_header(data, path)
    with Decoding(path, BMP):
        colours = np.frombuffer(data[header.palette], np.uint8).reshape(-1, header.entry)
    numbers = np.arange(len(colours), dtype=np.uint8)
    if is_plain(header):
        greys = with_palette(data, header, numbers[:, None].repeat(header.entry, axis=1))
        if (indices := by_opencv(greys, path, cv2.IMREAD_GRAYSCALE)) is not None:
            return indices, colours[:, 2::-1]
    marks = np.zeros_like(colours)
    marks[:, 0], marks[:, 1] = numbers, 255 - numbers // 2
    image = open_with_pillow(with_palette(data, header, marks), path, BMP, per_byte(header))
    return np.array(image), colours[:, 2::-1]


def by_opencv(data: bytes, path: Path, flags: int) -> UInt8[np.ndarray, "h w *channels"] | None:
    """Pixels of a BMP by OpenCV; None if it cannot read the file."""
    with Decoding(path, BMP):
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)


def bmp_header(data: bytes, path: Path) -> BmpHeader:
    """Header of a BMP that is long enough for its pixels.

    Raises:
        UnreadableImageError: the file is too short, or its size is not accepted.
    """
    old = data[14:18] == OLD_SIZE.to_bytes(4, "little")
    layout = OLD_HEADER if old else HEADER
    if len(data) < layout.size:
        raise damaged(path, BMP, "it ends within its header")
    start, size, width, height, _, bits, *others = layout.unpack_from(data)
    compression, colours = (0, 0) if old else others
    header = BmpHeader(start, size, width, height, bits, compression, colours)
    check_size(path, BMP, abs(header.height), header.width, len(data), per_byte(header))
    row = (header.width * header.bits + 31) // 32 * 4
    if header.compression == 0 and header.start + row * abs(header.height) > len(data):
        raise damaged(path, BMP, "it ends before its last pixels")
    return header


def per_byte(header: BmpHeader) -> float:
    """Most pixels that a byte of the file can hold."""
    return 8 / max(header.bits, 1) if header.compression in (0, 3, 6) else RUNS


def is_plain(header: BmpHeader) -> bool:
    """Whether a BMP is uncompressed and of a common kind, and its palette ends before its pixels."""
    colours = (header.colours or 1 << header.bits) if header.bits <= 8 else 0
    common = header.size >= 40 and header.compression == 0 and header.bits in (1, 4, 8, 24, 32)
    return common and colours <= 256 and 14 + header.size + header.entry * colours <= header.start


def with_palette(data: bytes, header: BmpHeader, colours: UInt8[np.ndarray, "colours entry"]) -> bytes:
    """Content of a BMP with another palette."""
    return data[: header.palette.start] + colours.tobytes() + data[header.palette.stop :]
