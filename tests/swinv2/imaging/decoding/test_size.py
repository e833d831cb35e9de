"""Sizes of images."""

import os
import struct

import cv2
import numpy as np
import pytest

from swinv2.imaging.decoding.errors import UnreadableImageError
from swinv2.imaging.decoding.size import (
    PALETTE,
    check_size,
    jpeg_scans,
    parse_jpeg,
    png_header,
    png_parts,
    size_in_header,
)
from swinv2.imaging.reading import decode
from tests.odd.made_images import chunk, exif_of, png_of

JPEG = cv2.imencode(".jpg", np.zeros((30, 50, 3), np.uint8))[1].tobytes()
LIMIT = "OPENCV_IO_MAX_IMAGE_PIXELS"


@pytest.mark.parametrize("progressive", [0, 1])
def test_size_of_a_jpeg(tmp_path, progressive):
    """The size stands in one of a JPEG's segments, behind others."""
    data = cv2.imencode(".jpg", np.zeros((30, 50, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1]
    notes = b"\xff\xe1" + struct.pack(">H", 3002) + bytes(3000)
    (tmp_path / "photo.jpg").write_bytes(data[:2].tobytes() + notes + data[2:].tobytes())
    assert size_in_header(tmp_path / "photo.jpg") == (30, 50)


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"\xff\xd8", b"\xff\xd8" + bytes(40), b"\xff\xd8\xff\xc0\x00\x11\x08\x00", b"BM" + bytes(50)],
    ids=["empty", "text", "JPEG's start", "no segment", "half a frame", "another format"],
)
def test_no_size_in_the_header(tmp_path, content):
    """Damaged files and other formats give none, without an error."""
    (tmp_path / "photo.jpg").write_bytes(content)
    assert size_in_header(tmp_path / "photo.jpg") is None
    assert size_in_header(tmp_path / "gone.jpg") is None


def test_header(tmp_path):
    """The header tells bits and kind of colour; files that are no PNG have none."""
    (tmp_path / "map.png").write_bytes(png_of(np.zeros((2, 4, 1), np.uint8), 4, PALETTE))
    assert png_header(tmp_path / "map.png") == (2, 4, 4, PALETTE)
    (tmp_path / "map.png").write_bytes(b"text")
    assert png_header(tmp_path / "map.png") is None


def test_no_size_of_a_pipe(tmp_path):
    """A pipe tells no size, and is not waited for."""
    os.mkfifo(tmp_path / "pipe.png")
    assert size_in_header(tmp_path / "pipe.png") is None


def test_too_many_pixels(tmp_path, monkeypatch):
    """An image of more pixels than are taken is refused before it is decoded, with the way to have it taken."""
    path = tmp_path / "map.png"
    message = r"map\.png has 40 x 50 = 2,000 pixels, more than the 1,999 .*OPENCV_IO_MAX_IMAGE_PIXELS to a number above"
    monkeypatch.setenv(LIMIT, "1999")
    with pytest.raises(UnreadableImageError, match=message):
        check_size(path, "PNG", 40, 50, 10_000)
    monkeypatch.setenv(LIMIT, "2000")
    check_size(path, "PNG", 40, 50, 10_000)
    monkeypatch.setenv(LIMIT, "many")
    with pytest.raises(ValueError, match=f"environment variable {LIMIT} is 'many'; set it to a number"):
        check_size(path, "PNG", 40, 50, 10_000)


@pytest.mark.parametrize(
    ("kind", "more"), [("GIF", {}), ("JPEG 2000", {}), ("JPEG", {"beside": 6})], ids=["GIF", "JPEG 2000", "progressive"]
)
def test_memory_beside_the_pixels(tmp_path, monkeypatch, kind, more):
    """What a decoder takes beside the pixels has the same limit, in bytes."""
    monkeypatch.setenv(LIMIT, "2000")
    with pytest.raises(
        UnreadableImageError, match=rf"x has 20 x 30 pixels, .*{kind} of its kind takes [39],\d00 bytes"
    ):
        check_size(tmp_path / "x", kind, 20, 30, 10_000, **more)
    check_size(tmp_path / "x", kind, 20, 6, 10_000, **more)


def test_progressive_jpegs_keep_coefficients(tmp_path, monkeypatch):
    """Of a JPEG in several scans all coefficients are kept, of one in a single scan none."""
    data = [cv2.imencode(".jpg", np.zeros((30, 50, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, i])[1] for i in (0, 1)]
    monkeypatch.setenv(LIMIT, str(30 * 50 * 5))
    assert decode(data[0].tobytes(), tmp_path / "x.jpg").shape == (30, 50, 3)
    with pytest.raises(UnreadableImageError, match=r"takes 9,000 bytes beside them, .*baseline JPEG"):
        decode(data[1].tobytes(), tmp_path / "x.jpg")


@pytest.mark.parametrize(
    "data",
    [
        png_of(np.zeros((1, 1, 1), np.uint8), 8, 0).replace(struct.pack(">II", 1, 1), struct.pack(">II", 30000, 30000)),
        JPEG.replace(struct.pack(">HH", 30, 50), struct.pack(">HH", 30000, 30000)),
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 54, 40, 30000, 30000, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(99),
        b"GIF89a" + struct.pack("<HH", 30000, 30000) + bytes(30),
        b"P6 30000 30000 255\n" + bytes(99),
        b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8L" + struct.pack("<I", 10) + b"\x2f\xff\xff\xff\x0f" + bytes(5),
        b"II*\0"
        + struct.pack("<IHHHIIHHIIHHIIHHIII", 8, 4, 256, 4, 1, 30000, 257, 4, 1, 30000, 262, 3, 1, 1, 273, 4, 1, 9, 0),
    ],
    ids=["PNG", "JPEG", "BMP", "GIF", "PNM", "WebP", "TIFF"],
)
def test_more_pixels_than_the_file_can_hold(tmp_path, data):
    """A few bytes that say to be a vast image are refused before memory is taken for it."""
    if data[:4] == b"\x89PNG":
        data = data[:12] + chunk(b"IHDR", data[16:29])[4:] + data[33:]
    with pytest.raises(UnreadableImageError, match=r"bomb\.\w+ is cut short or damaged, a"):
        decode(data, tmp_path / "bomb.jpg")


def test_parts_of_a_png():
    """Notes are left out, EXIF data come apart, and a wrong checksum of either or a lost end is told by None."""
    pixels = np.zeros((2, 3, 1), np.uint8)
    plain, exif = png_of(pixels, 8, 0), exif_of(6)
    noted = png_of(pixels, 8, 0, chunk(b"iCCP", b"a profile") + chunk(b"eXIf", exif))
    assert png_parts(noted + b"behind the end") == (plain, exif)
    for damaged in (noted[:-1], noted.replace(exif, exif[:-1] + b"x"), plain.replace(b"IDAT", b"IDAX"), noted[:40]):
        assert png_parts(damaged) is None


def test_markers_of_a_jpeg():
    """Fill bytes and what is no marker are passed over; a segment that hides the end makes a JPEG cut short."""
    odd = JPEG[:2] + b"x\0\xff\xff" + JPEG[2:]
    header = parse_jpeg(odd)
    assert header is not None and header[:4] == (30, 50, 8, 3)
    assert jpeg_scans(odd, header) == 1
    assert not jpeg_scans(odd[:-2], header)
    assert not jpeg_scans(odd[:-2] + b"\xff\xdc\0\x09\xff\xd9", header)
