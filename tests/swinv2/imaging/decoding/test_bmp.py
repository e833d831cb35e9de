"""BMPs."""

import struct
from pathlib import Path

import numpy as np
import pytest

from swinv2.imaging.decoding.bmp import read_bmp, read_bmp_indices
from swinv2.imaging.decoding.errors import UnreadableImageError
from tests.odd.made_images import bmp_of, packed

FILE = Path("photos/a.bmp")
NONE = np.zeros((0, 4), np.uint8)


def palette(greys):
    """Colours of a BMP that are greys."""
    return np.stack([greys, greys, greys, np.zeros_like(greys)], axis=1).astype(np.uint8)


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("greys", ["in order", "spread", "backwards", "two"])
@pytest.mark.parametrize("upper_first", [False, True])
def test_palettes_of_greys(bits, greys, upper_first):
    """Indices and colours come right of palettes that Pillow takes for others."""
    count = 2 if greys == "two" else 2**bits
    spread = np.arange(count) * 255 // (count - 1)
    levels = {"in order": np.arange(count), "spread": spread, "backwards": 255 - spread, "two": spread}[greys]
    values = (np.arange(77) % count).astype(np.uint8).reshape(7, 11, 1)
    data = bmp_of(values, bits, palette(levels), upper_first=upper_first)
    indices, colours = read_bmp_indices(data, FILE)
    assert np.array_equal(indices, values[..., 0])
    assert colours.tolist() == [[grey] * 3 for grey in levels]
    assert np.array_equal(read_bmp(data, FILE), levels[values].repeat(3, axis=2))


@pytest.mark.parametrize("bits", [24, 32])
def test_colours(bits):
    """Blue, green and red become red, green and blue; a fourth byte changes nothing."""
    values = np.arange(7 * 11 * bits // 8, dtype=np.uint8).reshape(7, 11, -1)
    assert np.array_equal(read_bmp(bmp_of(values, bits, NONE), FILE), values[..., 2::-1])


def test_runs():
    """Indices that are compressed by their runs."""
    values = (np.arange(77) // 5 % 7).astype(np.uint8).reshape(7, 11, 1)
    indices, _ = read_bmp_indices(bmp_of(values, 8, palette(np.arange(7)), runs=True), FILE)
    assert np.array_equal(indices, values[..., 0])


def test_first_version():
    """The first version of the format, whose palette has three bytes a colour."""
    values, colours = np.array([[[0], [1], [1]], [[1], [0], [1]]], np.uint8), bytes([10, 20, 30, 40, 50, 60])
    rows = b"".join(packed(row, 1) + bytes(3) for row in values[::-1])
    data = b"BM" + struct.pack("<IIIIHHHH", 32 + len(rows), 0, 32, 12, 3, 2, 1, 1) + colours + rows
    assert read_bmp(data, FILE)[0].tolist() == [[30, 20, 10], [60, 50, 40], [60, 50, 40]]


@pytest.mark.parametrize("bits", [8, 24])
@pytest.mark.parametrize("kept", [-1, 60, 30])
def test_cut_short(bits, kept):
    """A BMP that ends too early is refused."""
    data = bmp_of(np.zeros((7, 11, bits // 8), np.uint8), bits, palette(np.arange(256)) if bits == 8 else NONE)
    with pytest.raises(UnreadableImageError, match=r"a\.bmp is cut short or damaged, a BMP: it"):
        read_bmp(data[:kept], FILE)


def test_index_without_a_colour():
    """An index that the palette does not have is damage, not what lies behind the palette."""
    values = np.array([[[0], [9]]], np.uint8)
    with pytest.raises(UnreadableImageError, match=r"a\.bmp is cut short or damaged"):
        read_bmp(bmp_of(values, 8, palette(np.arange(5)), runs=True), FILE)
