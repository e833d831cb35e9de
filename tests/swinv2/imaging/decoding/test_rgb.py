"""Decoding of images."""

import random
from io import BytesIO
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageOps

from swinv2.imaging.decoding.errors import ImageDepthError, UnreadableImageError
from swinv2.imaging.decoding.rgb import decode_image, orientation_of
from tests.odd.made_images import MAKERS, chunk, png_of, save

FILE = Path("photos/a.jpg")
PIXELS = np.random.default_rng(0).integers(0, 256, (14, 18, 4), np.uint8)
RGB = PIXELS[..., :3].copy()
SMOOTH = (np.arange(14 * 18 * 3) // 3).astype(np.uint8).reshape(14, 18, 3)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True}), ("TGA", {}), ("JPEG2000", {})],
)
def test_alpha_is_left_out(kind, options):
    """A fourth channel changes nothing, also where it is 0."""
    assert np.array_equal(decode_image(save(PIXELS, kind, **options), FILE), RGB)


def test_grey_with_alpha():
    """Neither does alpha beside grey."""
    assert np.array_equal(decode_image(save(PIXELS[..., :2].copy(), "PNG"), FILE), PIXELS[..., :1].repeat(3, axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation(kind, orientation):
    """EXIF's orientation turns images of all formats that have it, as Pillow turns them, or not at all if so wished."""
    data = save(SMOOTH, kind, orientation)
    turned = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB"))
    assert np.array_equal(decode_image(data, FILE), turned)
    assert np.abs(decode_image(data, FILE, upright=False).astype(int) - SMOOTH).max() < 60


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\5\0\1\0\0\0\x1a\0\0\0" + bytes(12),  # 0 / 0
        b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\x0b\0\1\0\0\0\0\0\xc0\x7f",  # not a number
        b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\2\0\2\0\0\x006\0\0\0",  # text
        b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x63\0\0\0",  # 99
    ],
    ids=["nothing", "beyond the end", "fraction", "not a number", "text", "99"],
)
def test_odd_exif(exif):
    """EXIF data without an orientation leave the image as it is stored."""
    jpeg = save(RGB, "JPEG")
    data = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    assert np.array_equal(decode_image(data, FILE), decode_image(jpeg, FILE))
    assert orientation_of(b"") == 1


@pytest.mark.parametrize("mode", ["CMYK", "L", "RGB"])
def test_jpeg(mode):
    """JPEGs give Pillow's pixels, those of CMYK too."""
    data = save(Image.fromarray(RGB).convert(mode), "JPEG", quality=95)
    assert np.array_equal(decode_image(data, FILE), np.asarray(Image.open(BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("PNG", {"default_image": True}), ("WEBP", {"lossless": True}), ("GIF", {})],
    ids=["APNG", "APNG with a picture apart", "WebP", "GIF"],
)
def test_animation(kind, options):
    """Of an animation comes the first picture."""
    flat = np.zeros((9, 8, 3), np.uint8) + np.array([9, 200, 30], np.uint8)
    others = [Image.fromarray(255 - flat), Image.fromarray(flat[::-1] // 2)]
    data = save(flat, kind, save_all=True, append_images=others, **options)
    assert np.array_equal(decode_image(data, FILE), flat)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (imagecodecs.jpeg8_encode(RGB.astype(np.uint16) * 9, bitspersample=12), "values of 12 bits"),
        (imagecodecs.avif_encode(RGB.astype(np.uint16) * 4, bitspersample=10), "values of 10 bits"),
        (imagecodecs.avif_encode(RGB.astype(np.uint16) * 9, bitspersample=12), "values of 12 bits"),
        (imagecodecs.jpeg2k_encode(RGB.astype(np.uint16) * 200), "values of 16 bits"),
        (b"P6 1 1 1023\n" + bytes(6), "values of 10 bits"),
        (cv2.imencode(".hdr", RGB.astype(np.float32))[1].tobytes(), "floating-point values"),
    ],
    ids=["JPEG", "AVIF 10", "AVIF 12", "JPEG 2000", "PPM", "HDR"],
)
def test_other_depths(data, message):
    """Images of more than 8 bits are refused in every format, as those of 16 in PNG and TIFF are."""
    with pytest.raises(ImageDepthError, match=rf"a\.jpg has {message}; models take RGB of 8 bits\. Convert"):
        decode_image(data, FILE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF", "PPM", "TGA"])
@pytest.mark.parametrize("part", [0.5, 0.95])
def test_cut_short(kind, part):
    """Whatever the format, a file that ends too early is refused, not filled up, and says that."""
    data = save(RGB, kind)
    with pytest.raises(UnreadableImageError, match=r"a\.jpg is cut short or damaged, a"):
        decode_image(data[: int(part * len(data))], FILE)


@pytest.mark.parametrize("shape", [(1, 1), (1, 20000), (20000, 1)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
def test_odd_shapes(kind, shape):
    """Images of one pixel, and of one row or column, are read."""
    pixels = np.full((*shape, 3), 77, np.uint8)
    assert decode_image(save(pixels, kind), FILE).shape == (*shape, 3)


def test_image_without_pixels():
    """An image of no rows is damaged."""
    data = png_of(np.zeros((1, 3, 1), np.uint8), 8, 0)
    header = bytearray(data[16:29])
    header[7] = 0
    with pytest.raises(UnreadableImageError, match=r"its header says 0 x 3 pixels \(height, width\)"):
        decode_image(data[:8] + chunk(b"IHDR", bytes(header)) + data[33:], FILE)


def test_nothing_on_the_terminal(capfd):
    """Libraries have nothing to say of damaged files, and of odd profiles in good ones."""
    jpeg, png = save(RGB, "JPEG"), save(RGB, "PNG", icc_profile=b"no profile")
    decode_image(png, FILE)
    decode_image(jpeg[:-40] + bytes(30) + jpeg[-10:], FILE)
    for maker in MAKERS:
        data = bytearray(maker(random.Random(1)).data)
        data[len(data) // 2] ^= 255
        try:
            decode_image(bytes(data), FILE)
        except (UnreadableImageError, ImageDepthError):
            continue
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bits", [1, 4])
def test_jpeg_2000_of_few_bits(bits):
    """White is 255 whatever the number of bits."""
    values = PIXELS[..., 0] >> (8 - bits)
    expected = (values * (255 // ((1 << bits) - 1))).astype(np.uint8)[..., None].repeat(3, axis=2)
    assert np.array_equal(decode_image(imagecodecs.jpeg2k_encode(values, bitspersample=bits), FILE), expected)


@pytest.mark.parametrize("pixels", [SMOOTH, SMOOTH[..., 0].copy()], ids=["RGB", "grey"])
def test_lossless_jpeg(pixels):
    """A lossless JPEG comes as it was, also a grey one, which libjpeg does not turn into RGB."""
    expected = pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, axis=2)
    assert np.array_equal(decode_image(imagecodecs.jpeg8_encode(pixels, lossless=True), FILE), expected)


def test_formats_that_begin_like_others():
    """JPEG-LS is no damaged JPEG, and Apple's packed PNG no damaged PNG."""
    with pytest.raises(UnreadableImageError, match="a JPEG-LS"):
        decode_image(imagecodecs.jpegls_encode(RGB), FILE)
    with pytest.raises(UnreadableImageError, match=r"CgBI.*original picture"):
        decode_image(b"\x89PNG\r\n\x1a\n" + chunk(b"CgBI", b"P\0 \6") + save(RGB, "PNG")[8:], FILE)


def test_a_jpeg_of_countless_scans():
    """Each takes as long as all pixels, so that a small file could take days."""
    buffer = BytesIO()
    Image.new("L", (64, 64)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    scan = data[data.rfind(b"\xff\xda") : -2]
    with pytest.raises(UnreadableImageError, match=r"damaged, a JPEG: it has \d{3} scans\."):
        decode_image(data[:-2] + 600 * scan + data[-2:], Path("a.jpg"))
