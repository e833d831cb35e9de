"""Label maps of many kinds, whole and damaged: the values that were put in, or a refusal by name."""

import random
import re
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from swinv2.imaging.label_maps import map_size, read_map
from tests.odd.made_images import (
    COMPRESSIONS,
    Made,
    bmp_of,
    chunk,
    damage,
    indexed,
    packed,
    packed_tiff,
    palette_of,
    picture,
    png_of,
    save,
    tiff_of,
)
from tests.odd.outcomes import try_all


def any_colours(source: random.Random, count: int) -> np.ndarray:
    """Colours that are no greys, uint8 (count, 3)."""
    colours = np.random.default_rng(source.randrange(99)).integers(0, 250, (count, 3), np.uint8)
    colours[:, 1] = colours[:, 0] + 1
    return colours


def png_map(source: random.Random) -> Made:
    """A PNG of grey levels, indices or equal channels, with alpha or without."""
    kind = source.choice([0, 0, 2, 3, 4, 6])
    bits = source.choice({0: [1, 2, 4, 8, 16], 3: [1, 2, 4, 8]}.get(kind, [8]))
    values = picture(source, 1, min(256, 1 << bits))
    if bits == 16:
        wide = values[..., 0].astype(np.uint16) * 250
        return Made("PNG 16", cv2.imencode(".png", wide)[1].tobytes(), wide)
    palette = chunk(b"PLTE", any_colours(source, 1 << bits).tobytes()) if kind == 3 else b""
    copies = {0: 1, 2: 3, 3: 1, 4: 1, 6: 3}[kind]
    alpha = [255 - values] * (kind in (4, 6))
    data = png_of(np.concatenate([values] * copies + alpha, axis=2), bits, kind, palette, source.random() < 0.3)
    return Made(f"PNG kind {kind} bits {bits}", data, values[..., 0])


def tiff_map(source: random.Random) -> Made:
    """A TIFF of few bits, of which black is 0 if it is 1."""
    bits, kind = source.choice([1, 1, 2, 4, 8]), source.choice([0, 1, 3])
    values = picture(source, 1, 1 << bits)
    colours = np.random.default_rng(source.randrange(99)).integers(0, 65536, (3, 1 << bits)) if kind == 3 else None
    data = packed_tiff(values, bits, kind, source.choice("<>"), colours, source.random() < 0.3)
    right = 1 - values if (bits, kind) == (1, 0) else values
    return Made(f"TIFF {bits} bits kind {kind}", data, right[..., 0])


def wide_tiff_map(source: random.Random) -> Made:
    """A TIFF of 8 to 64 bits, compressed in any way, in strips or tiles, maybe of equal channels."""
    dtype = source.choice(["u1", "u1", "u2", "i2", "u4", "i4", "u8", "i1"])
    values = picture(source, 1, 100 if dtype == "i1" else 256)[..., 0].astype(dtype)
    if np.iinfo(dtype).bits > 8:
        values = values * np.array(100, dtype)
    kind = source.choice(["minisblack", "minisblack", "miniswhite", "rgb"])
    options: dict[str, object] = dict(COMPRESSIONS[source.choice([*COMPRESSIONS])])
    options |= source.choice([{"rowsperstrip": 5}, {"tile": (16, 32)}, {}])
    stored = np.stack([values] * 3, axis=-1) if kind == "rgb" else values
    orientation = source.choice([1, 1, 3])
    data = tiff_of(source, stored, orientation, photometric=kind, **options)
    right = values[::-1, ::-1] if orientation == 3 else values
    return Made(f"TIFF {dtype} {kind} {options}", data, right)


def fax_map(source: random.Random) -> Made:
    """A TIFF of 1 bit, compressed as faxes are."""
    values = picture(source, 1, 2)[..., 0]
    way = source.choice(["group3", "group4", "tiff_lzw", "packbits"])
    return Made(f"TIFF {way}", save(Image.fromarray(values.astype(bool)), "TIFF", compression=way), values)


def bmp_map(source: random.Random) -> Made:
    """A BMP of indices, of grey levels or of equal channels."""
    bits = source.choice([1, 4, 8, 8, 24])
    if bits == 24:
        values = picture(source, 1)
        return Made("BMP 24", bmp_of(values.repeat(3, axis=2), 24, np.zeros((0, 4), np.uint8)), values[..., 0])
    values, colours = picture(source, 1, 1 << bits), palette_of(source, 1 << bits)
    runs = bits == 8 and source.random() < 0.3
    data = bmp_of(values, bits, colours, runs, source.random() < 0.3 and not runs)
    return Made(f"BMP {bits} runs {runs}", data, levels(values[..., 0], colours[:, 2::-1], 1 << bits))


def levels(values: np.ndarray, colours: np.ndarray, count: int) -> np.ndarray:
    """What indices of colours stand for in formats without a grey kind."""
    used = colours[np.unique(values)].tolist()
    if any(len({*colour}) > 1 for colour in used):
        return values
    greys = colours[:, 0].tolist()
    if greys == [i * 255 // max(count - 1, 1) for i in range(count)]:
        return values
    found = np.array(greys)[values]
    return found // 255 if count == 2 and {*found.ravel().tolist()} <= {0, 255} else found


def gif_map(source: random.Random) -> Made:
    """A GIF of indices, of grey levels that are few, or of black and white."""
    way = source.choice(["colours", "greys", "bits"])
    values = picture(source, 1, {"colours": 256, "greys": source.choice([3, 256]), "bits": 2}[way])[..., 0]
    image = Image.fromarray(values.astype(bool) if way == "bits" else values)
    if way == "colours":
        image = indexed(np.arange(256, dtype=np.uint8).reshape(16, 16), any_colours(source, 256))
        values = np.asarray(image)
    data = save(image, "GIF", interlace=source.choice([0, 1]))
    return Made(f"GIF {way}", data, values)


def pnm_map(source: random.Random) -> Made:
    """A PBM or PGM of any maximum, as text or as bytes."""
    maximum, text = source.choice([1, 3, 20, 255, 300, 65535]), source.random() < 0.4
    values = picture(source, 1, min(256, maximum + 1)).astype(np.uint16 if maximum > 255 else np.uint8)
    head = b"P%d\n# note\n%d %d\n" % (2 if text else 5, *values.shape[1::-1]) + b"%d\n" % maximum
    if source.random() < 0.3:
        values = picture(source, 1, 2)
        head, text = b"P4 %d %d\n" % values.shape[1::-1], False
        return Made("PBM", head + b"".join(packed(row, 1) for row in 1 - values), values[..., 0])
    body = b" ".join(b"%d" % value for value in values.ravel().tolist()) + b"\n"
    stored = values.astype(">u2") if maximum > 255 else values
    return Made(f"PGM text {text} {maximum}", head + (body if text else stored.tobytes()), values[..., 0])


def other_map(source: random.Random) -> Made:
    """A TGA, a lossless WebP or a lossless JPEG 2000."""
    values = picture(source, 1)[..., 0]
    way = source.choice(["TGA", "TGA P", "WEBP", "JPEG2000", "JPEG2000 16"])
    if way == "JPEG2000 16":
        wide = values.astype(np.uint16) * 257
        return Made(way, imagecodecs.jpeg2k_encode(wide), wide)
    image = Image.fromarray(values)
    if way == "TGA P":
        image = indexed(values, any_colours(source, 256))
    options = {"lossless": True, "exact": True} if way == "WEBP" else {}
    return Made(way, save(image.convert("RGB") if way == "WEBP" else image, way.split()[0], **options), values)


MAKERS: tuple[Callable[[random.Random], Made], ...] = (
    *(png_map, tiff_map, wide_tiff_map, wide_tiff_map, fax_map, bmp_map, gif_map, pnm_map, other_map),
)


def lossy_map(source: random.Random) -> Made:
    """A label map in a format that changes it, or of values that are no classes."""
    values = picture(source, 1)[..., 0]
    image = Image.fromarray(values)
    negative = values.astype(np.int16) - 1
    negative[0, 0] = -1
    options = COMPRESSIONS[source.choice([*COMPRESSIONS])]
    ways: dict[str, Callable[[], bytes]] = {
        "JPEG": lambda: save(image, "JPEG", quality=100, progressive=source.random() < 0.5),
        "WebP": lambda: save(image, "WEBP", quality=100),
        "AVIF": lambda: save(image, "AVIF", quality=100, speed=10),
        "JPEG 2000": lambda: save(image, "JPEG2000", irreversible=True),
        "TIFF JPEG": lambda: save(image, "TIFF", compression="jpeg"),
        "TIFF float": lambda: tiff_of(source, values.astype(source.choice(["f2", "f4", "f8"])), 1),
        "TIFF negative": lambda: tiff_of(source, negative.astype(source.choice(["i1", "i2", "i4"])), 1, **options),
        "TIFF large": lambda: tiff_of(source, values.astype(np.uint32) + 65500 + 256, 1),
        "TIFF CMYK": lambda: save(Image.new("CMYK", (9, 8), (1, 2, 3, 4)), "TIFF"),
        "HDR": lambda: cv2.imencode(".hdr", values.astype(np.float32))[1].tobytes(),
        "RGB": lambda: save(np.arange(96, dtype=np.uint8).reshape(8, 4, 3), source.choice(["PNG", "BMP", "TIFF"])),
    }
    way = source.choice([*ways])
    return Made(way, ways[way](), values)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a map is written; its suffix says nothing."""
    return tmp_path / "map.png"


def test_whole_maps(file):
    """Good maps of all kinds give the values that were put in, and their size is told."""

    def use(made: Made) -> str | None:
        file.write_bytes(made.data)
        try:
            values = read_map(file)
            size = map_size(file)
        except (OSError, ValueError) as error:
            return f"refused: {error}"
        if values.dtype not in (np.uint8, np.uint16) or size != values.shape:
            return f"{values.dtype}, {size} and {values.shape}"
        return None if np.array_equal(values, made.pixels) else f"other values: {values[:2, :8]}"

    outcomes = try_all(lambda source: source.choice(MAKERS)(source), use)
    assert {*outcomes} == {"right"}


def test_lossy_maps(file):
    """Maps in lossy formats, colours, fractions and negative numbers are errors, and no damaged files."""

    def use(made: Made) -> str | None:
        file.write_bytes(made.data)
        return f"read as {read_map(file)[:2, :8]}"

    assert {*try_all(lossy_map, use)} == {"clear error"}


def test_damaged_maps(file):
    """Damaged maps give what they held, what Pillow, tifffile or OpenCV finds in them, or an error."""

    def make(source: random.Random) -> Made:
        made = source.choice(MAKERS)(source)
        way, data = damage(source, made.data)
        return Made(f"{way}: {made.kind}", data, made.pixels)

    def use(made: Made) -> str | None:
        file.write_bytes(made.data)
        values = read_map(file)
        for other in (made.pixels, *readings(made.data)):
            for axes in ((), (0,), (1,), (0, 1)):
                for turned in (np.flip(other, axes), np.flip(other, axes).T):
                    if turned.shape == values.shape and np.array_equal(values, turned):
                        return None
        return f"{values.shape} of nobody else's values"

    assert try_all(make, use)["clear error"]


def readings(data: bytes) -> list[np.ndarray]:
    """What others read, in all ways in which it can be meant: indices and levels, 1 bit of either sign or stretched."""
    found = [*by_tifffile(data), *by_pillow(data), *by_hand(data)]
    if data[:2] == b"BM":  # of which Pillow refuses some palettes
        grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        found += [] if grey is None else [grey.astype(np.int64)]
    flat = [values[..., 0] if values.ndim == 3 else values for values in found]
    return flat + [1 - values for values in flat if values.max(initial=0) < 2] + [values // 255 for values in flat]


def by_tifffile(data: bytes) -> list[np.ndarray]:
    """What tifffile makes of a file; nothing if it refuses."""
    try:
        with tifffile.TiffFile(BytesIO(data)) as file:
            samples = file.pages.first.asarray(squeeze=False)
            return [samples[0, 0, ..., 0].astype(np.int64)]
    except Exception:
        return []


def by_pillow(data: bytes) -> list[np.ndarray]:
    """What Pillow makes of a file, indices and levels; nothing if it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(BytesIO(data))
            if image.width * image.height > 1 << 24:
                return []
            return [np.asarray(image).astype(np.int64), np.asarray(image.convert("L")).astype(np.int64)]
        except Exception:
            return []


def by_hand(data: bytes) -> list[np.ndarray]:
    """The numbers in a PGM, which Pillow stretches; nothing of other files."""
    head = re.match(rb"P([25])\s+(?:#[^\n]*\n)?\s*(\d+)\s+(\d+)\s+(\d+)\s", data)
    if head is None:
        return []
    kind, width, height, maximum = map(int, head.groups())
    size = 1 + (maximum > 255)
    numbers = np.frombuffer(data[head.end() :], f">u{size}", (len(data) - head.end()) // size)
    if kind == 2:
        numbers = np.array([int(number) for number in data[head.end() :].split() if number.isdigit()])
    return [numbers[: height * width].reshape(height, width)] if numbers.size >= height * width else []
