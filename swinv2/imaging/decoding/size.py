"""Image sizes from headers, and limits on them."""

import os
import re
import struct
import zlib
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

from .errors import UnreadableImageError, damaged

LIMIT = "OPENCV_IO_MAX_IMAGE_PIXELS"  # OpenCV's environment variable
MOST_PIXELS = 1 << 30  # OpenCV's default
PIXELS_PER_BYTE = {"JPEG": 512, "GIF": 2731, "TGA": 128, "PNM": 8, "WebP": 1 << 16}  # JPEG 64 per bit, GIF 4096 in 12
MOST_PER_BYTE = 1 << 17  # for other formats, which have no bound; a picture of one colour has up to 120,000
BESIDE = {"GIF": 5, "PNM": 4, "TGA": 4, "AVIF": 8, "HEIC": 8, "JPEG 2000": 16}  # extra bytes per pixel while decoding
COEFFICIENT = 2  # bytes per DCT coefficient; a progressive JPEG needs all of them until its last scan

PNG = struct.Struct(">8s4x4sIIBBBBB")  # signature, first chunk, width, height, bits, colour type, three methods
PNG_START = (b"\x89PNG\r\n\x1a\n", b"IHDR")
PNG_CHUNK, CHECKSUM = struct.Struct(">I4s"), struct.Struct(">I")
PNG_EXIF = b"eXIf"
PNG_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")  # chunks that the pixels need, in order
DEFLATED = 1032  # most bytes that a byte of DEFLATE data expands to
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6  # colour types of a PNG
PNG_BITS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGB_ALPHA: (8, 16)}
PNG_CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}

JPEG_START = b"\xff\xd8"
JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of frame headers
JPEG_END, JPEG_MARKER = b"\xff\xd9", re.compile(rb"\xff[^\0\xd0-\xd7\xff]")
JPEG_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}  # a subset of the frame headers
JPEG_LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}  # a subset of the frame headers
JPEG_FRAME = struct.Struct(">xBHBHHB")  # marker, length, bits, height, width, channels
JPEG_LENGTH = 4  # of marker and length
JPEG_ALONE = {0x00, 0x01, *range(0xD0, 0xDA), 0xFF}  # markers without a segment, and bytes that are no markers
JPEG_SCAN, JPEG_APP1 = 0xDA, 0xE1
MOST_SCANS = 500  # of a JPEG; encoders write up to some 15
EXIF = b"Exif\0\0"


class PngHeader(NamedTuple):
    """Header of a PNG: size, depth, colour type.

    Attributes:
        height: pixels.
        width: pixels.
        bits: per value.
        kind: colour type: `GREY`, `RGB`, `PALETTE`, `GREY_ALPHA` or `RGB_ALPHA`.
    """

    height: int
    width: int
    bits: int
    kind: int


class JpegHeader(NamedTuple):
    """Header of a JPEG: size, depth, coding, EXIF data.

    Attributes:
        height: pixels.
        width: pixels.
        bits: per value.
        channels: 1, 3 or 4.
        exif: content of the EXIF segment; empty if there is none.
        end: offset of the header's end, bytes.
        lossless: whether it is coded without loss; libjpeg does not convert the colours of such files.
        progressive: whether it is coded in several scans, from coarse to fine.
    """

    height: int
    width: int
    bits: int
    channels: int
    exif: bytes
    end: int
    lossless: bool
    progressive: bool


def check_size(
    path: Path, kind: str, height: int, width: int, size: int, per_byte: float | None = None, beside: int | None = None
) -> None:
    """Raise unless an image's declared size is within the limits and its file is large enough for it.

    A decoder may use as many extra bytes as pixels are allowed: 1 GiB by default.

    Args:
        path: the file.
        kind: name of its format.
        height: pixels.
        width: pixels.
        size: of the file, bytes.
        per_byte: most pixels that a byte can hold; by default `PIXELS_PER_BYTE`.
        beside: extra bytes that the decoder needs per pixel; by default `BESIDE`.

    Raises:
        UnreadableImageError: the image is too large, or larger than the file allows.
    """
    per_byte = PIXELS_PER_BYTE.get(kind, MOST_PER_BYTE) if per_byte is None else per_byte
    if height * width > most_pixels():
        raise UnreadableImageError(
            f"{path} has {height} x {width} = {height * width:,} pixels, more than the {most_pixels():,} that are "
            f"taken; set the environment variable {LIMIT} to a number above, or cut the image into tiles."
        )
    if height < 1 or width < 1 or height * width > per_byte * size:
        raise damaged(path, kind, f"its header says {height} x {width} pixels (height, width), it has {size:,} bytes")
    beside = BESIDE.get(kind, 0) if beside is None else beside
    if (memory := height * width * beside) > most_pixels():
        raise UnreadableImageError(
            f"{path} has {height} x {width} pixels, for which decoding a {kind} of its kind takes {memory:,} bytes "
            f"beside them, more than the {most_pixels():,} that are taken; save it as a PNG, TIFF or baseline JPEG, or "
            f"set the environment variable {LIMIT} to a number above."
        )


def most_pixels() -> int:
    """Most pixels of an image: OpenCV's limit, which an environment variable can change.

    Raises:
        ValueError: the environment variable is no number.
    """
    text = os.environ.get(LIMIT, "")
    if text and not text.strip().isdecimal():
        raise ValueError(f"The environment variable {LIMIT} is {text!r}; set it to a number of pixels, e.g. {1 << 32}.")
    return int(text or MOST_PIXELS)


def size_in_header(path: Path) -> tuple[int, int] | None:
    """Stored height and width of a PNG or JPEG by its header; None for other or damaged files."""
    if not path.is_file():  # a pipe would wait for its writer
        return None
    try:
        with path.open("rb") as file:
            start = file.read(PNG.size)
            if not start.startswith(JPEG_START):
                header: PngHeader | JpegHeader | None = parse_png(start)
            else:
                with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                    header = parse_jpeg(data)
    except OSError:
        return None
    return None if header is None or 0 in header[:2] else (header.height, header.width)


def png_header(path: Path) -> PngHeader | None:
    """Header of a PNG file; None for other or damaged files."""
    with path.open("rb") as file:
        return parse_png(file.read(PNG.size))


def parse_png(start: bytes) -> PngHeader | None:
    """Header in a PNG's first bytes; None for other or damaged files."""
    if len(start) < PNG.size:
        return None
    signature, chunk, width, height, bits, kind, deflate, filters, interlaced = PNG.unpack(start[: PNG.size])
    good = bits in PNG_BITS.get(kind, ()) and deflate == filters == 0 and interlaced < 2
    return PngHeader(height, width, bits, kind) if (signature, chunk) == PNG_START and good else None


def png_parts(data: bytes) -> tuple[bytes, bytes] | None:
    """Chunks of a PNG that the pixels need, and its EXIF data; None if it is cut short or a checksum is wrong."""
    names, parts, exif, at = list[bytes](), [data[: len(PNG_START[0])]], b"", len(PNG_START[0])
    while at + PNG_CHUNK.size + CHECKSUM.size <= len(data) and PNG_PIXELS[-1] not in names:
        length, name = PNG_CHUNK.unpack_from(data, at)
        content, end = at + PNG_CHUNK.size, at + PNG_CHUNK.size + length
        if end + CHECKSUM.size > len(data):
            return None
        if name in (*PNG_PIXELS, PNG_EXIF):
            if zlib.crc32(memoryview(data)[content - len(name) : end]) != CHECKSUM.unpack_from(data, end)[0]:
                return None
            names.append(name)
        if name in PNG_PIXELS:
            parts.append(data[at : end + CHECKSUM.size])
        elif name == PNG_EXIF:
            exif = data[content:end]
        at = end + CHECKSUM.size
    whole = names[:1] == [b"IHDR"] and names.count(b"IHDR") == 1 and {b"IDAT", b"IEND"} <= {*names}
    return (b"".join(parts), exif) if whole else None


def png_pixels_per_byte(header: PngHeader) -> float:
    """Most pixels that a byte of a PNG can hold."""
    return DEFLATED * 8 / (header.bits * PNG_CHANNELS[header.kind])


def parse_jpeg(data: bytes | mmap) -> JpegHeader | None:
    """Header of a JPEG; None if it is cut short or damaged."""
    at, exif = len(JPEG_START), b""
    while (at := data.find(b"\xff", at)) >= 0 and at + JPEG_FRAME.size <= len(data):
        marker, length, bits, height, width, channels = JPEG_FRAME.unpack_from(data, at)
        if marker in JPEG_ALONE:
            at += 1
            continue
        if length < 2 or marker == JPEG_SCAN:
            return None
        if marker in JPEG_FRAMES:
            ways = marker in JPEG_LOSSLESS, marker in JPEG_PROGRESSIVE
            return JpegHeader(height, width, bits, channels, exif, at + JPEG_FRAME.size, *ways)
        segment = at + JPEG_LENGTH
        if marker == JPEG_APP1 and not exif and data[segment : segment + len(EXIF)] == EXIF:
            exif = data[segment : at + 2 + length]
        at += 2 + length
    return None


def jpeg_scans(data: bytes, header: JpegHeader) -> int:
    """Number of scans of a JPEG, found by its markers as libjpeg does; 0 if they do not lead to its end.

    libjpeg would fill missing data with grey; each scan takes as long to decode as all pixels.
    """
    at, scans = header.end, 0
    while found := JPEG_MARKER.search(data, at):
        if found[0] == JPEG_END:
            return scans
        at = found.end()
        scans += found[0][1] == JPEG_SCAN
        if found[0][1] not in JPEG_ALONE:
            at += int.from_bytes(data[at : at + 2], "big")
    return 0
