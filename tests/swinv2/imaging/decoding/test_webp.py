"""Headers of WebP files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swinv2.imaging.decoding.errors import UnreadableImageError
from swinv2.imaging.decoding.webp import webp_header
from tests.odd.made_images import save

PIXELS = np.arange(7 * 9 * 4, dtype=np.uint8).reshape(7, 9, 4)
FILE = Path("a.webp")


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("channels", [3, 4], ids=["RGB", "RGBA"])
@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("orientation", [1, 6])
def test_header(lossless, channels, frames, orientation):
    """Size, losses, frames and EXIF data of all kinds of WebP."""
    pixels = PIXELS[..., :channels].copy()
    others = {"save_all": True, "append_images": [Image.fromarray(255 - pixels)]} if frames > 1 else {}
    header = webp_header(save(pixels, "WEBP", orientation, lossless=lossless, **others), FILE)
    assert header[:4] == (7, 9, lossless, frames > 1)
    assert bool(header.exif) == (orientation != 1)


@pytest.mark.parametrize("kept", [-1, 30, 12])
def test_cut_short(kept):
    """A WebP that ends too early is refused."""
    with pytest.raises(UnreadableImageError, match=r"a\.webp is cut short or damaged, a WebP: it ends before its last"):
        webp_header(save(PIXELS, "WEBP")[:kept], FILE)


def test_no_picture():
    """So is one without a picture."""
    with pytest.raises(UnreadableImageError, match="it has no picture"):
        webp_header(b"RIFF\x04\0\0\0WEBP", FILE)
