"""Headers of WebP files."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .errors import damaged

RIFF = struct.Struct("<4sI4s")
CHUNK = struct.Struct("<4sI")
FRAME = 16  # bytes before the chunks of a frame of an animation


class WebPHeader(NamedTuple):
    """Header of a WebP: size, coding, EXIF data.

    Attributes:
        height: pixels.
        width: pixels.
        lossless: whether its first picture is coded without loss.
        animated: whether it is an animation.
        exif: content of the EXIF chunk; empty if there is none.
    """

    height: int
    width: int
    lossless: bool
    animated: bool
    exif: bytes


def webp_header(data: bytes, path: Path) -> WebPHeader:
    """Header of a WebP.

    Args:
        data: content of the file.
        path: of the file, for messages.

    Raises:
        UnreadableImageError: it is cut short, or has no picture.
    """
    if RIFF.unpack_from(data)[1] + 8 > len(data):
        raise damaged(path, "WebP", "it ends before its last chunk")
    chunks = chunks_of(memoryview(data)[RIFF.size :])
    frame = chunks_of(chunks[b"ANMF"][FRAME:]) if b"ANMF" in chunks else chunks
    lossy, lossless = frame.get(b"VP8 "), frame.get(b"VP8L")
    if canvas := chunks.get(b"VP8X", b"")[4:10]:
        width, height = (int.from_bytes(canvas[i : i + 3], "little") + 1 for i in (0, 3))
    elif lossless is not None:
        sizes = int.from_bytes(lossless[1:5], "little")
        width, height = (sizes & 0x3FFF) + 1, (sizes >> 14 & 0x3FFF) + 1
    else:
        sizes = int.from_bytes((lossy or b"")[6:10], "little")
        width, height = sizes & 0x3FFF, sizes >> 16 & 0x3FFF
    if lossy is None and lossless is None:
        raise damaged(path, "WebP", "it has no picture")
    return WebPHeader(height, width, lossy is None, b"ANMF" in chunks, bytes(chunks.get(b"EXIF", b"")))


def chunks_of(data: memoryview) -> dict[bytes, memoryview]:
    """First chunk of each name, as views; stops where the file is cut short."""
    return dict(reversed([*read_chunks(data)]))


def read_chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Name and content of each chunk."""
    while len(data) >= CHUNK.size:
        name, length = CHUNK.unpack_from(data)
        yield name, data[CHUNK.size : CHUNK.size + length]
        data = data[CHUNK.size + length + length % 2 :]
