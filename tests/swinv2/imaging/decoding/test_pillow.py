"""What Pillow and its plugins decode."""

import sys
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from swinv2.imaging.decoding.errors import ImageDepthError, UnreadableImageError
from swinv2.imaging.decoding.pillow import declared_bits, jpeg_2000_loses, pnm_header
from swinv2.imaging.decoding.rgb import decode_image
from tests.odd.made_images import save

FILE = Path("photos/a.jpg")
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)


def test_heic_without_its_library(monkeypatch):
    """Without pillow-heif a HEIC is no damaged file: the message says what to install."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableImageError, match=r"a\.jpg is a HEIC photo; `pip install pillow-heif`"):
        decode_image(HEIC, FILE)


def test_heic():
    """With it, it is read, upright; one of more bits or a damaged one is refused by name."""
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = BytesIO()
    flat = np.zeros((16, 24, 3), np.uint8) + np.array([200, 90, 30], np.uint8)
    pillow_heif.from_pillow(Image.fromarray(flat)).save(buffer, quality=90)
    assert np.abs(decode_image(buffer.getvalue(), FILE).astype(int) - flat).max() < 6
    deep = pillow_heif.from_bytes("RGB;16", (16, 12), (PIXELS.astype(np.uint16) * 200).tobytes())
    deep.save(buffer := BytesIO(), quality=90)
    with pytest.raises(ImageDepthError, match="has values of 10 bits"):
        decode_image(buffer.getvalue(), FILE)
    with pytest.raises(UnreadableImageError, match="is a HEIC photo that pillow-heif cannot read"):
        decode_image(HEIC, FILE)


def test_pillow_without_avif(monkeypatch):
    """A Pillow that was built without a format is named, and not the file."""
    monkeypatch.setattr("PIL.features.check", lambda name: name != "avif")
    with pytest.raises(UnreadableImageError, match=r"a\.jpg is AVIF, which this Pillow cannot read"):
        decode_image(save(PIXELS, "AVIF"), FILE)


def test_no_limit_of_pillow(monkeypatch):
    """Pillow's own limit on pixels does not count, and its warning is not shown."""
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 3)
    for kind in ("TGA", "JPEG2000", "PPM"):
        assert np.array_equal(decode_image(save(PIXELS, kind), FILE), PIXELS)


@pytest.mark.parametrize(("components", "said"), [(5, "5 bands"), (257, "257 bands")])
def test_bands_of_jpeg_2000(components, said):
    """JPEG 2000 of more than four bands is told by their number."""
    data = bytearray(save(PIXELS, "JPEG2000", no_jp2=True))
    data[40:42] = components.to_bytes(2, "big")
    with pytest.raises(UnreadableImageError, match=rf"is a JPEG 2000 of {said} with 8 bits"):
        decode_image(bytes(data), FILE)


def test_bits_in_headers():
    """Headers tell the bits that Pillow may reduce."""
    wide = imagecodecs.jpeg2k_encode(PIXELS.astype(np.uint16), bitspersample=12)
    assert declared_bits(wide, FILE, "JPEG 2000") == 12
    assert declared_bits(save(PIXELS, "AVIF"), FILE, "AVIF") == 8
    assert declared_bits(b"P4 3 2\n\0", FILE, "PNM") == 1
    assert declared_bits(b"GIF89a", FILE, "GIF") == 8


@pytest.mark.parametrize("lossy", [False, True])
def test_wavelets(lossy):
    """The two wavelets of JPEG 2000, one of which rounds."""
    assert jpeg_2000_loses(save(PIXELS, "JPEG2000", irreversible=lossy)) == lossy


def test_header_of_a_pnm():
    """Width, height and highest value stand among notes, and are told apart from the pixels by one space."""
    assert pnm_header(b"P5\n# 9 9\n3 # wide\n2\n255\nabc") == (3, 2, 255, 24)
    with pytest.raises(ValueError, match="begins with its width"):
        pnm_header(b"P5 3 2 255")
