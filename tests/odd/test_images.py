"""Images of many kinds, whole and damaged: the pixels that were put in, or a refusal by name."""

import os
import random
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from swinv2.imaging.decoding.errors import ImageDepthError
from swinv2.imaging.reading import UnreadableImageError, decode
from tests.odd.made_images import MAKERS, Made, damage, deep, tiff_colours
from tests.odd.outcomes import try_all

METHODS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # Pillow's transpositions by EXIF's orientation
FILE = Path("photos/made.jpg")


@contextmanager
def silence() -> Iterator[None]:
    """Nothing may be written to the terminal in here, by whatever library."""
    with tempfile.TemporaryFile() as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
        file.seek(0)
        if said := file.read().decode(errors="replace"):
            raise AssertionError(f"on the terminal: {said}")


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels as EXIF's orientation says, by Pillow."""
    return np.asarray(Image.fromarray(pixels).transpose(METHODS[orientation])) if orientation != 1 else pixels


def by_pillow(data: bytes) -> np.ndarray | None:
    """What Pillow makes of a file; None if it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(BytesIO(data))
            if image.width * image.height > 1 << 24:
                return None
            pixels = np.asarray(image.convert("RGB"))
        except Exception:
            return None
        try:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        except Exception:
            return pixels


def whole(source: random.Random) -> Made:
    """A good file."""
    return source.choice(MAKERS)(source)


def read_whole(made: Made) -> str | None:
    """What is wrong with what becomes of a good file."""
    try:
        with silence():
            pixels = decode(made.data, FILE)
    except (OSError, ValueError) as error:
        return f"refused: {error}"
    right = by_pillow(made.data) if made.pixels is None else upright(made.pixels, made.orientation)
    if right is None or pixels.shape != right.shape:
        return f"{pixels.shape} instead of {None if right is None else right.shape}"
    difference = np.abs(pixels.astype(int) - right).max()
    rounding = made.kind == "TIFF YCbCr"  # libtiff's, as with OpenCV
    return f"differs by up to {difference}" if difference > rounding else None


def broken(source: random.Random) -> Made:
    """A file that was damaged, with the pixels that it had."""
    made = whole(source)
    way, data = damage(source, made.data)
    pixels = by_pillow(made.data) if made.pixels is None else upright(made.pixels, made.orientation)
    return Made(f"{way}: {made.kind}", data, pixels)


def read_broken(made: Made) -> str | None:
    """What is wrong with what becomes of a damaged file, which may be read as another decoder reads it, or refused.

    Where only its orientation was lost, its pixels may come turned.
    """
    with silence():
        pixels = decode(made.data, FILE)
    if pixels.size > 1 << 26:
        return None  # too large to be compared
    others = [made.pixels, by_pillow(made.data), by_tifffile(made.data)]
    if "BMP" in made.kind or (
        "JPEG" in made.kind and "2000" not in made.kind
    ):  # of which Pillow refuses some palettes, and lost scans
        others.append(cv2.imdecode(np.frombuffer(made.data, np.uint8), cv2.IMREAD_COLOR_RGB))
    if "YCbCr" in made.kind:  # of which Pillow ignores some tags
        others.append(by_libtiff(made.data))
    for other in filter(lambda other: other is not None, others):
        for turned in (upright(other, orientation) for orientation in range(1, 9)):
            if turned.shape == pixels.shape and np.abs(pixels.astype(int) - turned).max() < 2:
                return None
    return f"{pixels.shape} of nobody else's pixels"


def by_libtiff(data: bytes) -> np.ndarray | None:
    """What libtiff makes of a file; None if it refuses."""
    try:
        return np.ascontiguousarray(imagecodecs.tiff_decode(data, asrgb=True)[..., :3])
    except Exception:
        return None


def by_tifffile(data: bytes) -> np.ndarray | None:
    """What tifffile makes of a file; None if it refuses."""
    try:
        with tifffile.TiffFile(BytesIO(data)) as file:
            page = file.pages.first
            samples = page.asarray(squeeze=False)
            bands, levels = np.concatenate([*samples[:, 0]], axis=-1), 255 / ((1 << page.bitspersample) - 1)
            if page.photometric == 3:
                rgb = (page.colormap >> 8).T[bands[..., 0].astype(int)].astype(np.uint8)
            else:
                kinds = {0: "miniswhite", 5: "separated"}
                spread = (bands * levels).round().astype(np.uint8)
                rgb = tiff_colours(spread, kinds.get(page.photometric, "rgb"))
            orientation = page.tags.valueof(274, 1)
            return upright(np.ascontiguousarray(rgb), orientation if orientation in METHODS else 1)
    except Exception:
        return None


def stranger(source: random.Random) -> Made:
    """A file that is no image, though its name says so."""
    noise = bytes(range(1, 256)) * 3
    contents = {
        "HTML": source.choice([b"<!DOCTYPE html>\n<html>", b"\n <HTML><head>", b"<!-- saved -->\n<html lang='en'>"]),
        "git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "PDF": b"%PDF-1.7\n" + noise,
        "ZIP": b"PK\3\4\x14\0" + noise,
        "archive": source.choice([b"\x1f\x8b\x08", b"7z\xbc\xaf\x27\x1c", b"BZh9", bytes(257) + b"ustar\0"]) + noise,
        "raw photo": source.choice(
            [b"II*\0\x10\0\0\0CR\2\0", b"IIU\0\x18\0\0\0", b"FUJIFILMCCD-RAW ", b"\0\0\0\x18ftypcrx "]
        )
        + noise,
        "DICOM": bytes(128) + b"DICM" + noise,
        "Photoshop": b"8BPS\0\1" + noise,
        "SVG": source.choice(
            [b"<svg xmlns='http://www.w3.org/2000/svg'>", b"<?xml version='1.0'?>\n<!-- x -->\n<svg>"]
        ),
        "XML": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        "video": source.choice(
            [b"\0\0\0\x18ftypmp42", b"RIFF\x24\0\0\0AVI LIST", b"\x1a\x45\xdf\xa3", b"\0\0\x01\xba", b"OggS\0"]
        )
        + noise,
        "JPEG XL": source.choice([b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"]) + noise,
        "HEIC": b"\0\0\0\x18ftyp" + source.choice([b"heic", b"mif1", b"heix"]) + bytes(4) + b"mif1heic" + bytes(99),
        "text": source.choice(
            [b"404 not found", "né à Zürich".encode(), b'{"error": "gone"}', b"\xff\xfea\0b\0c\0d\0"]
        ),
        "zeros": bytes(source.randint(64, 4000)),
        "AppleDouble": b"\0\5\x16\7\0\2\0\0Mac OS X" + noise,
        "NumPy": b"\x93NUMPY\1\0" + noise,
    }
    kind = source.choice([*contents])
    return Made(kind, contents[kind])


def test_whole_images():
    """Good images of all kinds give the pixels that were put in, or those of Pillow, and nothing on the terminal."""
    assert {*try_all(whole, read_whole)} == {"right"}


def test_damaged_images():
    """Damaged images give what they held, what Pillow or tifffile finds in them, or an error, and nothing else."""
    assert try_all(broken, read_broken)["clear error"]


def test_images_of_more_bits():
    """Images of more than 8 bits are refused as such, whatever their format."""

    def use(made: Made) -> str | None:
        with silence(), pytest.raises(ImageDepthError, match=r"made\.jpg has .*take RGB of 8 bits\. Convert"):
            decode(made.data, FILE)
        return None

    assert {*try_all(deep, use)} == {"right"}


def test_strangers():
    """What is no image is told by its name, and not called damaged."""

    def use(made: Made) -> str | None:
        with silence(), pytest.raises(UnreadableImageError) as caught:
            decode(made.data, FILE)
        said = str(caught.value).replace("zeros only", "zeros")
        return None if made.kind in said and "damaged" not in said else said

    assert {*try_all(stranger, use)} == {"right"}
