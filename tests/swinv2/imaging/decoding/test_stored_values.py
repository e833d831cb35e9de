"""Values as files keep them."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from swinv2.imaging.decoding.errors import UnreadableImageError
from swinv2.imaging.decoding.stored_values import stored_values
from tests.odd.made_images import bmp_of, indexed, packed, packed_tiff, png_of, save
from tests.swinv2.imaging.decoding.test_tiff import tiff

FILE = Path("maps/a.png")
BITS = (np.arange(77) % 3 > 0).astype(np.uint8).reshape(7, 11)
VALUES = (np.arange(77) * 3).astype(np.uint8).reshape(7, 11)
BLACK_AND_WHITE = np.array([[0, 0, 0, 0], [255, 255, 255, 0]], np.uint8)


def pbm(values):
    """A PBM, in which 1 is black."""
    return b"P4 %d %d\n" % values.shape[::-1] + b"".join(packed(row, 1) for row in 1 - values)


@pytest.mark.parametrize(
    "data",
    [
        save(BITS.astype(bool), "PNG"),
        save(BITS.astype(bool), "TIFF"),
        save(BITS.astype(bool), "TIFF", compression="group4"),
        packed_tiff(BITS[..., None], 1, 1),
        packed_tiff(1 - BITS[..., None], 1, 0),
        save(BITS.astype(bool), "BMP"),
        bmp_of(1 - BITS[..., None], 1, BLACK_AND_WHITE[::-1]),
        save(BITS.astype(bool), "GIF"),
        save(BITS * 255, "GIF"),
        pbm(BITS),
        save(BITS.astype(bool), "PPM"),
    ],
    ids=[
        "PNG",
        "TIFF",
        "fax",
        "black is 0",
        "white is 0",
        "BMP",
        "BMP backwards",
        "GIF",
        "grey GIF",
        "PBM",
        "Pillow's PBM",
    ],
)
def test_black_is_zero_and_white_is_one(data):
    """A mask of one bit gives the same values in every format."""
    assert stored_values(data, FILE).tolist() == BITS.tolist()


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits(bits):
    """Levels of 2 and 4 bits are not stretched, and TIFF's not inverted."""
    values = VALUES[..., None] % 2**bits
    greys = np.arange(16)[:, None].repeat(4, axis=1).astype(np.uint8)
    files = [png_of(values, bits, 0), packed_tiff(values, bits, 0), packed_tiff(values, bits, 1)]
    files += [
        bmp_of(values, 4, greys),
        bmp_of(values, 4, greys * 17),
        b"P5 11 7 %d\n" % (2**bits - 1) + values.tobytes(),
    ]
    for data in files:
        assert stored_values(data, FILE).tolist() == values[..., 0].tolist()


def test_palettes_give_indices():
    """A palette of colours gives indices in PNG, GIF, BMP, TGA and TIFF."""
    colours = np.arange(256)[:, None] * 37 + np.arange(3) * 91
    image = indexed(VALUES, colours % 256)
    for kind in ("PNG", "BMP", "TGA", "TIFF"):
        assert stored_values(save(image, kind), FILE).tolist() == VALUES.tolist()
    assert len(np.unique(stored_values(save(image, "GIF"), FILE))) == len(np.unique(VALUES))


def test_greys_of_a_gif_are_levels():
    """A GIF has no grey kind; greys in its palette stand for levels."""
    values = np.array([[0, 3, 7, 3]], np.uint8)
    assert stored_values(save(values, "GIF"), FILE).tolist() == values.tolist()


def test_white_is_zero():
    """A TIFF of 8 bits gives its numbers, also where white is zero."""
    assert stored_values(tiff(VALUES, photometric="miniswhite"), FILE).tolist() == VALUES.tolist()


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int16", "int32", "uint64"])
def test_whole_numbers(dtype):
    """Whole numbers of any type are read if 16 bits hold them."""
    values = (VALUES // 3).astype(dtype)
    read = stored_values(tiff(values, compression="lzw"), FILE)
    assert read.dtype in (np.uint8, np.uint16)
    assert read.tolist() == values.tolist()


@pytest.mark.parametrize(("dtype", "value"), [("int8", -1), ("int16", -1), ("int32", 70000), ("uint64", 1 << 40)])
def test_numbers_that_are_no_classes(dtype, value):
    """Negative numbers and those beyond 16 bits are errors that tell the range."""
    values = np.zeros((7, 11), dtype)
    values[3, 4] = value
    with pytest.raises(ValueError, match=rf"a\.png has values from .*{value}.*; a label map holds the class"):
        stored_values(tiff(values, compression="lzw"), FILE)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (save(VALUES, "JPEG", quality=100), "JPEG"),
        (save(VALUES, "WEBP", quality=100), "lossy WebP"),
        (save(VALUES, "AVIF"), "AVIF"),
        (save(VALUES, "JPEG2000", irreversible=True), "lossy JPEG 2000"),
        (save(VALUES, "TIFF", compression="jpeg"), "TIFF with compression JPEG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
    ],
)
def test_lossy_formats(data, kind):
    """A map that was compressed with losses is an error that says what that does, and no damaged file."""
    with pytest.raises(ValueError, match=rf"a\.png is a {kind}, whose compression .* invents classes, .* as PNG"):
        stored_values(data, FILE)


@pytest.mark.parametrize(
    "data",
    [
        save(VALUES, "JPEG2000"),
        imagecodecs.jpeg2k_encode(VALUES.astype(np.uint16)),
        imagecodecs.jpeg2k_encode(VALUES.astype(np.uint16), bitspersample=12),
        save(VALUES, "TGA"),
        b"P2 11 7 255 # text\n" + b" ".join(b"%d" % value for value in VALUES.ravel().tolist()),
        b"P5 11 7 300\n" + VALUES.astype(">u2").tobytes(),
    ],
    ids=["JPEG 2000", "of 16 bits", "of 12 bits", "TGA", "PGM as text", "PGM of 16 bits"],
)
def test_other_lossless_formats(data):
    """Formats without losses give what was put in."""
    assert stored_values(data, FILE).tolist() == VALUES.tolist()


@pytest.mark.parametrize("data", [b"P5 2 1 7\n\1\x09", b"P2 2 1 7\n1 9", b"P2 2 1 7\n1 -1"])
def test_value_beyond_the_highest(data):
    """A PGM with a value beyond what it says to be the highest, or below 0, is damaged."""
    with pytest.raises(UnreadableImageError, match="it has values that are not from 0 to 7, which it says to be the"):
        stored_values(data, FILE)
