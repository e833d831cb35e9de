"""TIFFs."""

import logging
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from swinv2.imaging.decoding import tiff as tiff_decoding
from swinv2.imaging.decoding.errors import ImageDepthError, UnreadableImageError
from swinv2.imaging.decoding.rgb import decode_image
from tests.odd.made_images import packed_tiff, save

FILE = Path("photos/a.tif")
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 8), np.uint8)


def tiff(pixels, **options):
    """A TIFF that tifffile writes."""
    buffer = BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **options)
    return buffer.getvalue()


@pytest.fixture
def said(caplog):
    """The log, which has said nothing yet of the kind that is said once."""
    tiff_decoding.logger.filters[0].said.clear()
    caplog.set_level(logging.WARNING)
    return caplog


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["unspecified", "associated alpha", "alpha"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
def test_fourth_band(said, kind, planar, compression):
    """A fourth band changes no colours, whatever it is called, and that it is left out is said once."""
    stored = PIXELS[..., :4] if planar == "contig" else np.moveaxis(PIXELS[..., :4], -1, 0)
    data = tiff(stored, photometric="rgb", planarconfig=planar, extrasamples=[kind], compression=compression)
    for _ in range(2):
        assert np.array_equal(decode_image(data, FILE), PIXELS[..., :3])
    assert said.text.count("the band beside grey or RGB, e.g. alpha or infrared, is left out: photos/a.tif") == 1


@pytest.mark.parametrize(("bands", "dtype"), [(5, np.uint8), (8, np.uint8), (12, np.uint16)])
def test_more_bands(bands, dtype):
    """Images of more bands are told by their number, with the way to three."""
    data = tiff(np.zeros((bands, 9, 8), dtype), photometric="minisblack", planarconfig="separate")
    with pytest.raises(
        UnreadableImageError, match=rf"a\.tif is a TIFF of {bands} bands with values of type uint.*-b 3"
    ):
        decode_image(data, FILE)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "float16", "float64"])
def test_other_types(dtype):
    """Values that do not have 8 bits are no damage."""
    with pytest.raises(ImageDepthError, match=rf"a\.tif has values of type {dtype}; models take"):
        decode_image(tiff(np.zeros((9, 8), dtype)), FILE)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("reverse", [False, True])
def test_few_bits(bits, order, reverse):
    """Grey of 1, 2 and 4 bits is stretched, inverted where white is zero, and looked up where it has a palette."""
    values = (np.arange(40) % 2**bits).astype(np.uint8).reshape(4, 10, 1)
    grey = values.repeat(3, axis=2) * (255 // (2**bits - 1))
    colours = np.random.default_rng(0).integers(0, 65536, (3, 2**bits), np.uint16)
    for kind, right in ((0, 255 - grey), (1, grey), (3, (colours >> 8).T[values[..., 0]])):
        data = packed_tiff(values, bits, kind, order, colours if kind == 3 else None, reverse)
        assert np.array_equal(decode_image(data, FILE), right)


def test_palette_of_8_bits():
    """A palette whose colours were written in 8 bits instead of 16 is taken as meant."""
    values = np.arange(40, dtype=np.uint8).reshape(4, 10, 1)
    colours = np.random.default_rng(0).integers(0, 256, (3, 256), np.uint16)
    assert np.array_equal(decode_image(packed_tiff(values, 8, 3, colours=colours), FILE), colours.T[values[..., 0]])


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_other_colours(mode, compression):
    """CMYK and YCbCr give RGB, up to rounding Pillow's."""
    image = Image.fromarray(PIXELS[..., :3].copy()).convert(mode)
    data = save(image, "TIFF", 6, compression=compression)
    difference = decode_image(data, FILE, upright=False).astype(int) - np.asarray(image.convert("RGB"))
    assert np.abs(difference).max() <= (mode == "YCbCr")
    assert decode_image(data, FILE).shape == (50, 40, 3)


def test_lab():
    """Colours that cannot be turned into RGB without a profile are named."""
    with pytest.raises(UnreadableImageError, match=r"a\.tif is a TIFF of 3 bands of CIELAB; images have grey or RGB"):
        decode_image(save(Image.new("LAB", (9, 8)), "TIFF"), FILE)


def test_several_pages(said):
    """Of several pages the first comes, which is said once; a smaller copy of it is not worth a word."""
    first, second = PIXELS[..., :3], PIXELS[..., 3:6]
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(first, photometric="rgb", metadata=None)
        file.write(second[::2, ::2], photometric="rgb", metadata=None, subfiletype=1)
    assert np.array_equal(decode_image(buffer.getvalue(), FILE), first)
    assert said.text == ""
    for _ in range(2):
        assert np.array_equal(decode_image(tiff(np.stack([first, second]), photometric="rgb"), FILE), first)
    assert said.text.count("Of TIFFs with several pages the first is read, e.g. of photos/a.tif") == 1


def changed(data, tag, value):
    """A TIFF of little-endian numbers with another value of a tag."""
    with tifffile.TiffFile(BytesIO(data)) as file:
        offset = file.pages.first.tags[tag].valueoffset
    return data[:offset] + value + data[offset + len(value) :]


@pytest.mark.parametrize(
    ("tag", "value", "message"),
    [
        (279, bytes(2), "1 of its 3 strips or tiles are missing"),
        (273, bytes(4), "1 of its 3 strips or tiles are missing"),
        (273, b"\xff\xff\xff\x7f", "it ends before its last strip or tile"),
        (256, b"\0\0\1\0", "its header says 40 x 65536 pixels"),
        (259, b"\x99\x99", "compression 39321"),
    ],
    ids=["no bytes", "no place", "beyond the end", "width", "compression"],
)
def test_damaged_tags(tag, value, message):
    """Strips that are missing, sizes that the file cannot hold and unknown compressions are named."""
    data = tiff(PIXELS[..., :3], photometric="rgb", compression="zlib", rowsperstrip=16)
    with pytest.raises(UnreadableImageError, match=message):
        decode_image(changed(data, tag, value), FILE)


def test_vast_tiles():
    """A tile that is larger than memory is refused before it is made room for."""
    data = tiff(PIXELS[..., :3], photometric="rgb", compression="zlib", tile=(64, 64))
    vast = changed(changed(data, 322, b"\0\0\1\0"), 323, b"\0\0\1\0")
    with pytest.raises(UnreadableImageError, match="its tiles have 65536 x 65536 pixels"):
        decode_image(vast, FILE)


@pytest.mark.parametrize("tag", [258, 262], ids=["bits", "photometric interpretation"])
def test_lost_tags(tag):
    """Tags that are needed and gone are not made up."""
    data = tiff(PIXELS[..., :3], photometric="rgb")
    with tifffile.TiffFile(BytesIO(data)) as file:
        offset = file.pages.first.tags[tag].offset
    with pytest.raises(UnreadableImageError, match="a tag is missing, or is no number"):
        decode_image(data[:offset] + b"\xf0\xf0" + data[offset + 2 :], FILE)


def test_raw_photo():
    """A DNG is a raw photo, though a decoder would find its thumbnail."""
    data = tiff(PIXELS[..., :3], photometric="rgb", extratags=[(50706, "B", 4, (1, 4, 0, 0), True)])
    with pytest.raises(UnreadableImageError, match=r"a\.tif is no image but a raw photo of a camera\. Develop"):
        decode_image(data, FILE)


def test_jpeg_in_a_tiff():
    """JPEG in a TIFF gives Pillow's pixels, and a strip of it that ends too early is refused."""
    data = save(PIXELS[..., :3].copy(), "TIFF", compression="jpeg", quality=90)
    assert np.array_equal(decode_image(data, FILE), np.asarray(Image.open(BytesIO(data))))
    with tifffile.TiffFile(BytesIO(data)) as file:
        end = file.pages.first.dataoffsets[-1] + file.pages.first.databytecounts[-1] - 2
    with pytest.raises(UnreadableImageError, match="a strip or tile ends before its last pixels"):
        decode_image(data[:end] + bytes(2) + data[end + 2 :], FILE)


@pytest.mark.parametrize("mask", [False, True], ids=["smaller copy", "mask"])
def test_copies_and_masks_before_the_image(mask):
    """The image is the first page that is no smaller copy and no mask, wherever these are."""
    buffer, pixels = BytesIO(), PIXELS[..., :3]
    with tifffile.TiffWriter(buffer) as file:
        if mask:
            file.write(pixels[..., 0] > 9, photometric="mask", subfiletype=4, metadata=None)
        else:
            file.write(pixels[::4, ::4].copy(), photometric="rgb", subfiletype=1, metadata=None)
        file.write(pixels, photometric="rgb", metadata=None)
    assert np.array_equal(decode_image(buffer.getvalue(), FILE), pixels)


def test_copy_alone_is_read():
    """A file whose only page says that it is a copy is read."""
    pixels = PIXELS[..., :3]
    assert np.array_equal(decode_image(tiff(pixels, photometric="rgb", subfiletype=1), FILE), pixels)


def test_a_jpeg_inside_that_is_larger():
    """It is not decoded: a strip of 8 x 8 pixels can hold a JPEG that takes 12 GB."""
    data = bytearray(tiff(PIXELS[:8, :8, :3], photometric="ycbcr", compression="jpeg"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = b"\xff\xdc\xff\xdc"
    with pytest.raises(
        UnreadableImageError, match=r"a\.tif .*it holds a JPEG of 65500 x 65500 pixels, more than its own"
    ):
        decode_image(bytes(data), FILE)
