"""Label maps in files."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL.Image import DecompressionBombError
from PIL.Image import open as open_picture

from swinv2.imaging.label_maps import map_size, read_map, write_map
from swinv2.imaging.reading import UnreadableImageError

GREY, RGB, PALETTE, GREY_ALPHA = 0, 2, 3, 4  # PNG's kinds of colour


def png(rows, width, bits, kind, palette=b""):
    """A PNG of packed rows of bytes."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), bits, kind, 0, 0, 0))
    colours = chunk(b"PLTE", palette) if palette else b""
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(row) for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + header + colours + pixels + chunk(b"IEND", b"")


PACKED = {  # two rows of four pixels, and their values
    1: ([[0b01100000], [0b00010000]], [[0, 1, 1, 0], [0, 0, 0, 1]]),
    2: ([[0b00011011], [0b11100100]], [[0, 1, 2, 3], [3, 2, 1, 0]]),
    4: ([[0x01, 0x2F], [0x78, 0x9A]], [[0, 1, 2, 15], [7, 8, 9, 10]]),
    8: ([[0, 1, 200, 255], [7, 8, 9, 10]], [[0, 1, 200, 255], [7, 8, 9, 10]]),
}
COLOURS = bytes((index * 37 + channel * 91) % 256 for index in range(256) for channel in range(3))


@pytest.mark.parametrize("kind", [GREY, PALETTE], ids=["grey", "palette"])
@pytest.mark.parametrize("bits", PACKED)
def test_values_come_as_they_are_stored(tmp_path, bits, kind):
    """Grey levels are not stretched to 255, and palettes give indices instead of colours."""
    rows, values = PACKED[bits]
    palette = COLOURS[: 3 * 2**bits] if kind == PALETTE else b""
    (tmp_path / "map.png").write_bytes(png(rows, 4, bits, kind, palette))
    read = read_map(tmp_path / "map.png")
    assert read.dtype == np.uint8
    assert read.tolist() == values


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_written_maps_come_back(tmp_path, dtype):
    """What is written in 8 or 16 bits is read in as many."""
    values = (np.arange(600).reshape(20, 30) * 109 % np.iinfo(dtype).max).astype(dtype)
    write_map(tmp_path / "map.png", values)
    read = read_map(tmp_path / "map.png")
    assert read.dtype == dtype
    assert np.array_equal(read, values)


def test_write_to_nowhere(tmp_path):
    """A folder that is not there is an error with the path."""
    with pytest.raises(OSError, match=r"nowhere.map\.png cannot be written: No such file"):
        write_map(tmp_path / "nowhere/map.png", np.zeros((2, 2), np.uint8))


def test_palette_beyond_the_limit_on_pictures(tmp_path, monkeypatch):
    """A palette map of more pixels than Pillow takes for an attack is read."""
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 3)
    rows, values = PACKED[8]
    (tmp_path / "map.png").write_bytes(png(rows, 4, 8, PALETTE, COLOURS))
    with pytest.raises(DecompressionBombError):
        open_picture(tmp_path / "map.png")
    assert read_map(tmp_path / "map.png").tolist() == values


def test_three_equal_channels_are_grey(tmp_path):
    """A grey picture saved as RGB is a label map all the same."""
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    cv2.imwrite(str(tmp_path / "map.png"), np.stack([values] * 3, axis=-1))
    read = read_map(tmp_path / "map.png")
    assert np.array_equal(read, values)
    assert read.flags.c_contiguous


def test_alpha_does_not_count(tmp_path):
    """An alpha channel beside grey says nothing about classes."""
    (tmp_path / "map.png").write_bytes(png([[3, 255, 5, 0]], 2, 8, GREY_ALPHA))
    assert read_map(tmp_path / "map.png").tolist() == [[3, 5]]


@pytest.mark.parametrize("channels", [3, 4], ids=["RGB", "RGBA"])
def test_colours(tmp_path, channels):
    """A coloured picture is refused, with its first colour and the way to classes."""
    picture = np.full((3, 4, channels), 9, np.uint8)
    picture[1, 2, :3] = 30, 20, 10  # blue first, as OpenCV counts
    cv2.imwrite(str(tmp_path / "map.png"), picture)
    with pytest.raises(ValueError, match=r"map\.png is a coloured.*\(10, 20, 30\) at row 1, column 2.*write_map"):
        read_map(tmp_path / "map.png")


def test_fractions(tmp_path):
    """Floating point is refused, as its values are no classes."""
    cv2.imwrite(str(tmp_path / "map.tiff"), np.zeros((3, 4), np.float32))
    with pytest.raises(ValueError, match=r"map\.tiff has pixels of type float32.*8 or 16 bits"):
        read_map(tmp_path / "map.tiff")


def test_other_formats(tmp_path):
    """Lossless formats besides PNG are read, too."""
    values = np.arange(12, dtype=np.uint16).reshape(3, 4)
    cv2.imwrite(str(tmp_path / "map.tiff"), values)
    assert np.array_equal(read_map(tmp_path / "map.tiff"), values)
    assert map_size(tmp_path / "map.tiff") == (3, 4)


GOOD = {
    "grey": cv2.imencode(".png", np.arange(64, dtype=np.uint8).reshape(8, 8))[1].tobytes(),
    "palette": png([range(8)] * 8, 8, 8, PALETTE, COLOURS),
}


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("kept", [6, 20, 30, -30], ids=["signature", "header", "after the header", "pixels"])
def test_cut_short(tmp_path, kind, kept):
    """Wherever a file ends too early, it is unreadable, with its name."""
    (tmp_path / "map.png").write_bytes(GOOD[kind][:kept])
    with pytest.raises(UnreadableImageError, match=r"map\.png is cut short"):
        read_map(tmp_path / "map.png")


@pytest.mark.parametrize(("content", "message"), [(b"", "is empty"), (b"no image at all", "no image")])
def test_no_image(tmp_path, content, message):
    """Empty files and texts are unreadable."""
    (tmp_path / "map.png").write_bytes(content)
    with pytest.raises(UnreadableImageError, match=message):
        read_map(tmp_path / "map.png")


def test_missing_file(tmp_path):
    """A missing file is unreadable, too."""
    with pytest.raises(UnreadableImageError, match=r"gone\.png cannot be opened: No such file"):
        read_map(tmp_path / "gone.png")


@pytest.mark.parametrize("kind", GOOD)
def test_size_without_pixels(tmp_path, kind):
    """The first bytes of a PNG tell its size."""
    (tmp_path / "map.png").write_bytes(GOOD[kind][:40])
    assert map_size(tmp_path / "map.png") == (8, 8)
