"""Milliseconds to read an image file in each format, beside OpenCV: `python -m benchmarks.reading PHOTOS`."""

import argparse
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.timing import machine, medians, table
from swinv2.imaging.decoding.stored_values import stored_values
from swinv2.imaging.reading import decode

RESULTS = Path(__file__).parent / "reading.md"
ROUNDS = 15
PREDICTED = {"compression": "tiff_lzw", "tiffinfo": {317: 2}}  # differences of neighbours are compressed
KINDS: dict[str, tuple[str, str, dict[str, object]]] = {  # name: format, Pillow's mode and options
    "JPEG": ("JPEG", "RGB", {"quality": 90}),
    "JPEG, progressive": ("JPEG", "RGB", {"quality": 90, "progressive": True}),
    "PNG": ("PNG", "RGB", {}),
    "PNG, grey": ("PNG", "L", {}),
    "WebP": ("WEBP", "RGB", {"quality": 85}),
    "WebP, lossless": ("WEBP", "RGB", {"lossless": True, "method": 0}),
    "BMP": ("BMP", "RGB", {}),
    "TIFF": ("TIFF", "RGB", {}),
    "TIFF, LZW": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    "TIFF, LZW with predictor": ("TIFF", "RGB", PREDICTED),
    "TIFF, deflate": ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}),
    "TIFF, JPEG": ("TIFF", "RGB", {"compression": "jpeg", "quality": 90}),
}
MAPS = ("PNG, grey", "TIFF, LZW")  # label maps, in grey
NOTES = """
Milliseconds an image, from bytes in memory to RGB: medians of {rounds} rounds over {count} photos of {pixels:.2f}
million pixels on average, written in each format by Pillow; OpenCV is `cv2.imdecode`. Label maps are the photos in 16
levels of grey, read to their values. OpenCV and Pillow with one thread.

{machine}. `python -m benchmarks.reading PHOTOS`.
"""


def main() -> None:
    """Time both, print the table and write it beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="folder of JPEGs")
    cv2.setNumThreads(1)
    photos = [Image.open(path).convert("RGB") for path in sorted(parser.parse_args().photos.rglob("*.jpg"))]
    rows = [measure(f"label map, {name}", photos, True) for name in MAPS]
    rows = [measure(name, photos, False) for name in KINDS] + rows
    notes = NOTES.format(
        rounds=ROUNDS,
        count=len(photos),
        pixels=np.mean([photo.width * photo.height for photo in photos]) / 1e6,
        machine=machine(),
    )
    text = f"# Reading of images\n\n{table(['format', 'OpenCV', 'ours', 'ours / OpenCV'], rows)}\n{notes}"
    print(text)
    RESULTS.write_text(text)


def measure(name: str, photos: list[Image.Image], is_map: bool) -> list[str]:
    """A row of the table."""
    files = [written(photo, name.removeprefix("label map, "), is_map) for photo in photos]
    flags = cv2.IMREAD_UNCHANGED if is_map else cv2.IMREAD_COLOR_RGB
    readers: dict[str, Callable[[bytes], object]] = {
        "OpenCV": lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), flags),
        "ours": lambda data: (stored_values if is_map else decode)(data, Path("photo")),
    }
    seconds = medians({who: all_of(files, read) for who, read in readers.items()}, ROUNDS)
    figures = [seconds[who] / len(files) * 1e3 for who in readers]
    return [name, *(f"{figure:.2f}" for figure in figures), f"{figures[1] / figures[0]:.2f}"]


def written(photo: Image.Image, name: str, is_map: bool) -> bytes:
    """A photo in a format, or a map made of it."""
    kind, mode, options = KINDS[name]
    image = photo.convert("L").point([level // 16 for level in range(256)]) if is_map else photo.convert(mode)
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def all_of(files: list[bytes], read: Callable[[bytes], object]) -> Callable[[], None]:
    """What reads all files once."""

    def run() -> None:
        for data in files:
            read(data)

    return run


if __name__ == "__main__":
    main()
